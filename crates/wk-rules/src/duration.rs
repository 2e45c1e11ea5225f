//! Durations as Prometheus writes them: `1h30m`, `15s`, `250ms`, `0`.

use std::time::Duration;

/// Units from the longest, in milliseconds; each at most once and in this order.
const UNITS: [(&str, u64); 7] = [
    ("y", 365 * 86_400_000),
    ("w", 7 * 86_400_000),
    ("d", 86_400_000),
    ("h", 3_600_000),
    ("m", 60_000),
    ("s", 1000),
    ("ms", 1),
];

/// What a duration must look like, for messages.
const RULE: &str = "must be a duration such as 15s, 1h30m or 250ms";

/// Reads a duration; the error is a sentence's end.
pub fn parse_duration(text: &str) -> Result<Duration, String> {
    if text == "0" {
        return Ok(Duration::ZERO);
    }
    let (mut rest, mut from, mut total) = (text, 0, 0_u64);
    if rest.is_empty() {
        return Err(format!("\"\": {RULE}"));
    }
    while !rest.is_empty() {
        let digits = rest.bytes().take_while(u8::is_ascii_digit).count();
        let (number, tail) = rest.split_at(digits);
        let letters = tail.bytes().take_while(u8::is_ascii_alphabetic).count();
        let (unit, tail) = tail.split_at(letters);
        let known = UNITS[from..].iter().position(|(name, _)| *name == unit);
        let (Ok(number), Some(at)) = (number.parse::<u64>(), known) else {
            return Err(format!("{text:?}: {RULE}"));
        };
        let part = number.checked_mul(UNITS[from + at].1);
        // As in Prometheus, whose durations are nanoseconds in 64 bits.
        total = part
            .and_then(|part| total.checked_add(part))
            .filter(|total| *total <= i64::MAX.unsigned_abs() / 1_000_000)
            .ok_or_else(|| format!("{text:?}: longer than 292 years"))?;
        from += at + 1;
        rest = tail;
    }
    Ok(Duration::from_millis(total))
}

/// Writes a duration as Prometheus does: years, weeks and days only where they come out even.
pub fn format_duration(duration: Duration) -> String {
    let mut ms = u64::try_from(duration.as_millis()).unwrap_or(u64::MAX);
    if ms == 0 {
        return "0s".to_owned();
    }
    let mut text = String::new();
    for (unit, of) in UNITS {
        let only_even = matches!(unit, "y" | "w" | "d");
        if ms < of || (only_even && ms % of != 0) {
            continue;
        }
        text.push_str(&(ms / of).to_string());
        text.push_str(unit);
        ms %= of;
    }
    text
}

/// A duration in milliseconds, as instants are counted.
pub(crate) fn millis(duration: Duration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_read_and_written_as_prometheus_does() {
        for (text, ms, back) in [
            ("0", 0, "0s"),
            ("0s", 0, "0s"),
            ("15s", 15_000, "15s"),
            ("90s", 90_000, "1m30s"),
            ("1h30m", 5_400_000, "1h30m"),
            ("1d", 86_400_000, "1d"),
            ("25h", 90_000_000, "25h"),
            ("1w", 604_800_000, "1w"),
            ("250ms", 250, "250ms"),
            ("1m1ms", 60_001, "1m1ms"),
        ] {
            let duration = parse_duration(text).unwrap();
            assert_eq!(duration, Duration::from_millis(ms), "{text}");
            assert_eq!(format_duration(duration), back, "{text}");
        }
    }

    #[test]
    fn anything_else_is_refused() {
        for text in
            ["", "5", "s", "5x", "1s1h", "1m1m", "-1s", "1.5s", " 1s", "300y", "9999999999y"]
        {
            assert!(parse_duration(text).is_err(), "{text}");
        }
    }
}

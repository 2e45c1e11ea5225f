//! Numbers as Go's fmt writes them, which is what Prometheus' users see.

/// As `%v`: the fewest digits that say which number it is, with an exponent from 1e+06 on or below 1e-04.
pub(super) fn shortest(value: f64) -> String {
    general(value, None)
}

/// As `%g` with the fewest digits, or as `%.Ng`.
pub(super) fn general(value: f64, precision: Option<usize>) -> String {
    if let Some(text) = special(value) {
        return text.to_owned();
    }
    let precision = precision.map(|precision| precision.max(1));
    let text = match precision {
        Some(precision) => format!("{value:.*e}", precision - 1),
        None => format!("{value:e}"),
    };
    let (mantissa, exponent) = text.split_once('e').unwrap_or((&text, "0"));
    let exponent: i32 = exponent.parse().unwrap_or(0);
    let (sign, mantissa) = match mantissa.strip_prefix('-') {
        Some(mantissa) => ("-", mantissa),
        None => ("", mantissa),
    };
    let mut digits: String = mantissa.chars().filter(char::is_ascii_digit).collect();
    digits.truncate(digits.trim_end_matches('0').len().max(1));
    let nd = i32::try_from(digits.len()).unwrap_or(i32::MAX);
    let threshold = match precision.and_then(|precision| i32::try_from(precision).ok()) {
        // Go: a precision above what the number needs counts as what it needs.
        Some(precision) if precision > nd && nd > exponent => nd,
        Some(precision) => precision,
        None => 6,
    };
    if exponent < -4 || exponent >= threshold {
        return format!("{sign}{}", with_exponent(&digits, exponent));
    }
    format!("{sign}{}", plain(&digits, exponent))
}

/// As `%.Ne`.
pub(super) fn scientific(value: f64, precision: usize) -> String {
    if let Some(text) = special(value) {
        return text.to_owned();
    }
    let text = format!("{value:.precision$e}");
    let (mantissa, exponent) = text.split_once('e').unwrap_or((&text, "0"));
    format!("{mantissa}{}", exponent_text(exponent.parse().unwrap_or(0)))
}

/// As `%.Nf`.
pub(super) fn fixed(value: f64, precision: usize) -> String {
    special(value).map_or_else(|| format!("{value:.precision$}"), str::to_owned)
}

fn special(value: f64) -> Option<&'static str> {
    if value.is_nan() {
        Some("NaN")
    } else if value.is_infinite() {
        Some(if value > 0.0 { "+Inf" } else { "-Inf" })
    } else {
        None
    }
}

fn with_exponent(digits: &str, exponent: i32) -> String {
    let (first, rest) = digits.split_at(1);
    let point = if rest.is_empty() { "" } else { "." };
    format!("{first}{point}{rest}{}", exponent_text(exponent))
}

fn exponent_text(exponent: i32) -> String {
    let sign = if exponent < 0 { '-' } else { '+' };
    format!("e{sign}{:02}", exponent.abs())
}

fn plain(digits: &str, exponent: i32) -> String {
    let zeros = |count: i32| "0".repeat(usize::try_from(count).unwrap_or(0));
    if exponent < 0 {
        return format!("0.{}{digits}", zeros(-exponent - 1));
    }
    let whole = usize::try_from(exponent).unwrap_or(0) + 1;
    if digits.len() <= whole {
        let missing = i32::try_from(whole - digits.len()).unwrap_or(0);
        return format!("{digits}{}", zeros(missing));
    }
    format!("{}.{}", &digits[..whole], &digits[whole..])
}

/// Seconds since 1970 as Go prints a time in UTC: `2015-06-23 13:19:44.128 +0000 UTC`.
pub(super) fn timestamp(seconds: f64) -> Option<String> {
    // Milliseconds, as Prometheus' time has.
    let ms = seconds * 1000.0;
    // Year 9999: what lies beyond is no instant that anybody meant.
    if !(-62_135_596_800_000.0..253_402_300_800_000.0).contains(&ms) {
        return None;
    }
    #[expect(clippy::cast_possible_truncation, reason = "checked above")]
    let ms = ms as i64;
    let (days, of_day) = (ms.div_euclid(86_400_000), ms.rem_euclid(86_400_000));
    let (year, month, day) = civil(days);
    let (hour, minute) = (of_day / 3_600_000, of_day / 60_000 % 60);
    let (second, part) = (of_day / 1000 % 60, of_day % 1000);
    let fraction = format!(".{part:03}");
    let fraction = fraction.trim_end_matches('0').trim_end_matches('.');
    Some(format!(
        "{year:04}-{month:02}-{day:02} {hour:02}:{minute:02}:{second:02}{fraction} +0000 UTC"
    ))
}

/// Year, month and day of a day counted from 1970 (Howard Hinnant's reckoning by eras of 400 years).
fn civil(days: i64) -> (i64, i64, i64) {
    let days = days + 719_468;
    let (era, of_era) = (days.div_euclid(146_097), days.rem_euclid(146_097));
    let year = (of_era - of_era / 1460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year + year / 4 - year / 100);
    let from_march = (5 * of_year + 2) / 153;
    let day = of_year - (153 * from_march + 2) / 5 + 1;
    let month = if from_march < 10 { from_march + 3 } else { from_march - 9 };
    (year + era * 400 + i64::from(month <= 2), month, day)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_look_as_gos_do() {
        for (value, want) in [
            (0.0, "0"),
            (1.0, "1"),
            (-1.5, "-1.5"),
            (100_000.0, "100000"),
            (1e6, "1e+06"),
            (123_456_789.0, "1.23456789e+08"),
            (0.0001, "0.0001"),
            (0.00001, "1e-05"),
            (f64::NAN, "NaN"),
            (f64::INFINITY, "+Inf"),
            (f64::NEG_INFINITY, "-Inf"),
        ] {
            assert_eq!(shortest(value), want);
        }
        for (value, want) in [
            (1000.0, "1000"),
            (10_000.0, "1e+04"),
            (123.456, "123.5"),
            (0.5, "0.5"),
            (99_999.0, "1e+05"),
            (-0.000_012_345_6, "-1.235e-05"),
        ] {
            assert_eq!(general(value, Some(4)), want);
        }
        assert_eq!(scientific(12345.678, 2), "1.23e+04");
        assert_eq!(fixed(2.0 / 3.0, 2), "0.67");
    }

    #[test]
    fn instants_look_as_gos_do() {
        for (seconds, want) in [
            (0.0, "1970-01-01 00:00:00 +0000 UTC"),
            (1_456_704_000.5, "2016-02-29 00:00:00.5 +0000 UTC"),
            (-1.0, "1969-12-31 23:59:59 +0000 UTC"),
        ] {
            assert_eq!(timestamp(seconds).as_deref(), Some(want));
        }
        assert_eq!(timestamp(1e18), None);
    }
}

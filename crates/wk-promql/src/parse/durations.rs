//! Units of time in expressions.

/// The longest duration: a hundred years, so that sums of a few never overflow.
pub(super) const DURATION_MAX_MS: i64 = 100 * 365 * 86_400_000;

/// The milliseconds of a unit.
pub(super) fn unit_ms(unit: &str) -> Option<i64> {
    Some(match unit {
        "ms" => 1,
        "s" => 1_000,
        "m" => 60_000,
        "h" => 3_600_000,
        "d" => 86_400_000,
        "w" => 7 * 86_400_000,
        "y" => 365 * 86_400_000,
        _ => return None,
    })
}

/// Seconds as milliseconds, if they are a time that can be.
pub(super) fn seconds_ms(seconds: f64) -> Option<i64> {
    let ms = (seconds * 1000.0).round();
    #[expect(clippy::cast_precision_loss, reason = "the bound is far below 2^53")]
    let is_in_range = ms.abs() <= DURATION_MAX_MS as f64;
    #[expect(clippy::cast_possible_truncation, reason = "bounded just above; NaN is not in range")]
    is_in_range.then_some(ms as i64)
}

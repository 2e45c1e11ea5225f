//! Arithmetic that must come out as in Prometheus: compensated sums, quantiles, Go's min and max.

/// A sum with its compensation (Neumaier's variant of Kahan's).
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Sum {
    pub(super) sum: f64,
    pub(super) rest: f64,
}

impl Sum {
    pub(super) fn add(&mut self, value: f64) {
        let total = self.sum + value;
        if total.is_infinite() {
            self.rest = 0.0;
        } else if self.sum.abs() >= value.abs() {
            self.rest += (self.sum - total) + value;
        } else {
            self.rest += (value - total) + self.sum;
        }
        self.sum = total;
    }

    pub(super) fn total(self) -> f64 {
        self.sum + self.rest
    }
}

/// A mean that sums as long as the sum does not overflow, and goes on incrementally after that.
#[derive(Clone, Copy, Debug)]
pub(super) struct Mean {
    sum: Sum,
    count: f64,
    is_incremental: bool,
}

impl Mean {
    pub(super) fn new(first: f64) -> Self {
        Self { sum: Sum { sum: first, rest: 0.0 }, count: 1.0, is_incremental: false }
    }

    pub(super) fn add(&mut self, value: f64) {
        self.count += 1.0;
        if !self.is_incremental {
            let mut next = self.sum;
            next.add(value);
            if !next.sum.is_infinite() {
                self.sum = next;
                return;
            }
            self.is_incremental = true;
            self.sum.sum /= self.count - 1.0;
            self.sum.rest /= self.count - 1.0;
        }
        let weight = (self.count - 1.0) / self.count;
        let mut next = Sum { sum: weight * self.sum.sum, rest: weight * self.sum.rest };
        next.add(value / self.count);
        self.sum = next;
    }

    pub(super) fn mean(self) -> f64 {
        if self.is_incremental {
            self.sum.total()
        } else {
            self.sum.sum / self.count + self.sum.rest / self.count
        }
    }
}

/// The quantile `q` of `values`, interpolated between neighbours; sorts them, NaN first.
pub(super) fn quantile(q: f64, values: &mut [f64]) -> f64 {
    if values.is_empty() || q.is_nan() {
        return f64::NAN;
    }
    if q < 0.0 {
        return f64::NEG_INFINITY;
    }
    if q > 1.0 {
        return f64::INFINITY;
    }
    values.sort_by(|a, b| nan_first(*a, *b));
    let last = count(values.len() - 1);
    let rank = q * last;
    let lower = rank.floor().max(0.0);
    let upper = (lower + 1.0).min(last);
    let weight = rank - rank.floor();
    values[index(lower)] * (1.0 - weight) + values[index(upper)] * weight
}

/// Ascending, NaN before all.
pub(super) fn nan_first(a: f64, b: f64) -> std::cmp::Ordering {
    a.partial_cmp(&b).unwrap_or_else(|| b.is_nan().cmp(&a.is_nan()))
}

/// Go's `math.Max`: positive infinity wins over NaN.
pub(super) fn max(a: f64, b: f64) -> f64 {
    if a == f64::INFINITY || b == f64::INFINITY {
        f64::INFINITY
    } else if a.is_nan() || b.is_nan() {
        f64::NAN
    } else {
        a.max(b)
    }
}

/// Go's `math.Min`: negative infinity wins over NaN.
pub(super) fn min(a: f64, b: f64) -> f64 {
    -max(-a, -b)
}

/// A count as a float.
#[expect(clippy::cast_precision_loss, reason = "counts are far below 2^53")]
pub(super) fn count(count: usize) -> f64 {
    count as f64
}

/// Milliseconds as seconds.
#[expect(clippy::cast_precision_loss, reason = "times of this era are below 2^53 ms")]
pub(super) fn seconds(ms: i64) -> f64 {
    ms as f64 / 1000.0
}

/// From one time to a later one, in seconds.
pub(super) fn seconds_between(later: i64, earlier: i64) -> f64 {
    seconds(later.saturating_sub(earlier))
}

/// A float that is a whole number at least 0 as an index.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "saturates; callers pass whole numbers within a slice"
)]
pub(super) fn index(at: f64) -> usize {
    at as usize
}

/// As Go's `strconv.FormatFloat(value, 'f', -1, 64)`.
pub(super) fn text(value: f64) -> String {
    if value.is_infinite() {
        return if value > 0.0 { "+Inf" } else { "-Inf" }.to_owned();
    }
    value.to_string()
}

/// As Go's `%g`, for remarks.
pub(super) fn short_text(value: f64) -> String {
    let magnitude = value.abs();
    if magnitude != 0.0 && value.is_finite() && !(1e-4..1e21).contains(&magnitude) {
        let shown = format!("{value:e}");
        let (digits, exponent) = shown.split_once('e').unwrap_or((&shown, "0"));
        let (sign, exponent) = match exponent.strip_prefix('-') {
            Some(exponent) => ('-', exponent),
            None => ('+', exponent),
        };
        return format!("{digits}e{sign}{exponent:0>2}");
    }
    text(value)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sums_keep_what_floats_lose() {
        let mut sum = Sum::default();
        for value in [1e100, 1.0, -1e100] {
            sum.add(value);
        }
        assert_eq!(sum.total(), 1.0);
        let mut mean = Mean::new(f64::MAX);
        mean.add(f64::MAX);
        assert_eq!(mean.mean(), f64::MAX);
    }

    #[test]
    fn quantiles_and_texts() {
        assert_eq!(quantile(0.5, &mut [3.0, 1.0]), 2.0);
        assert_eq!(quantile(1.5, &mut [1.0]), f64::INFINITY);
        assert!(quantile(0.5, &mut []).is_nan());
        assert_eq!((max(f64::NAN, f64::INFINITY), min(1.0, -2.0)), (f64::INFINITY, -2.0));
        assert_eq!([text(1e21), text(0.5)], ["1000000000000000000000", "0.5"]);
        assert_eq!([short_text(1e22), short_text(1.5e-7)], ["1e+22", "1.5e-07"]);
    }
}

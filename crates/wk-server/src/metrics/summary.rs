//! A summary: mean, extremes, count, sum and quantiles of whole numbers (milliseconds, sizes).
//!
//! Apache keeps a uniform sample of 4096 values for `mntr` and a sliding CKMS sketch of ten
//! minutes for Prometheus. Here one log-linear histogram serves both: exact below 32, within
//! 1/16 above, no allocation after its first value, and two of them of five minutes each give
//! the sliding window.

/// Sub-buckets of one power of two.
const SUB: u64 = 16;
/// Values below are counted exactly.
const EXACT: u64 = 2 * SUB;
/// Buckets for the whole range of u64.
const BUCKETS: usize = 32 + 59 * 16;
/// How long one half of the sliding window lasts.
const HALF_WINDOW_MS: u64 = 300_000;

/// Counts per bucket of value.
#[derive(Clone, Debug, Default)]
struct Histogram {
    counts: Vec<u32>,
    total: u64,
}

impl Histogram {
    fn add(&mut self, value: u64) {
        if self.counts.is_empty() {
            self.counts.resize(BUCKETS, 0);
        }
        let slot = &mut self.counts[bucket(value)];
        *slot = slot.saturating_add(1);
        self.total += 1;
    }
}

/// The bucket of a value.
fn bucket(value: u64) -> usize {
    if value < EXACT {
        return usize::try_from(value).unwrap_or(0);
    }
    let octave = u64::from(value.ilog2());
    let sub = (value >> (octave - 4)) & (SUB - 1);
    usize::try_from(EXACT + (octave - 5) * SUB + sub).unwrap_or(BUCKETS - 1).min(BUCKETS - 1)
}

/// The middle of a bucket's values.
fn bucket_value(index: usize) -> u64 {
    let index = index as u64;
    if index < EXACT {
        return index;
    }
    let octave = (index - EXACT) / SUB + 5;
    let low = (SUB + (index - EXACT) % SUB) << (octave - 4);
    low + (1 << (octave - 4)) / 2
}

/// The `q`-quantile over several histograms, `None` when they are empty.
fn quantile(of: &[&Histogram], q: f64) -> Option<u64> {
    let total: u64 = of.iter().map(|histogram| histogram.total).sum();
    if total == 0 {
        return None;
    }
    #[expect(
        clippy::cast_precision_loss,
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "a rank between 1 and total"
    )]
    let rank = ((total as f64 * q).ceil() as u64).clamp(1, total);
    let mut seen = 0;
    for index in 0..BUCKETS {
        for histogram in of {
            seen += u64::from(histogram.counts.get(index).copied().unwrap_or(0));
        }
        if seen >= rank {
            return Some(bucket_value(index));
        }
    }
    None
}

/// Collects values; [`Summary::snapshot`] says what was seen.
#[derive(Clone, Debug, Default)]
pub struct Summary {
    count: u64,
    sum: u64,
    min: u64,
    max: u64,
    /// All values since start or reset; only advanced summaries pay for it.
    all: Option<Histogram>,
    /// The running and the finished half of the sliding window.
    window: [Histogram; 2],
    window_started_ms: u64,
}

/// What a [`Summary`] had seen when it was asked.
#[derive(Clone, Debug, PartialEq)]
pub struct SummaryValue {
    /// Number of values since start or reset.
    pub count: u64,
    /// Their sum.
    pub sum: u64,
    /// The smallest, 0 without values.
    pub min: u64,
    /// The largest, 0 without values.
    pub max: u64,
    /// p50, p95, p99 and p99.9 since start or reset; `None` for a basic summary.
    pub percentiles: Option<[u64; 4]>,
    /// (quantile, value) over the last five to ten minutes; NaN when nothing was seen.
    pub quantiles: Vec<(f64, f64)>,
}

impl SummaryValue {
    /// The mean with four decimals, 0 without values.
    pub fn avg(&self) -> f64 {
        if self.count == 0 {
            return 0.0;
        }
        #[expect(clippy::cast_precision_loss, reason = "shown with four decimals")]
        let avg = self.sum as f64 / self.count as f64;
        (avg * 10_000.0).round() / 10_000.0
    }
}

impl Summary {
    /// A summary with percentiles.
    pub fn advanced() -> Self {
        Self { all: Some(Histogram::default()), ..Self::default() }
    }

    /// Notes one value at `now_ms` of any steady clock.
    pub fn add(&mut self, now_ms: u64, value: u64) {
        self.min = if self.count == 0 { value } else { self.min.min(value) };
        self.max = self.max.max(value);
        self.count += 1;
        self.sum = self.sum.saturating_add(value);
        if let Some(all) = &mut self.all {
            all.add(value);
        }
        self.turn_window(now_ms);
        self.window[0].add(value);
    }

    /// Forgets everything.
    pub fn reset(&mut self) {
        let advanced = self.all.is_some();
        *self = if advanced { Self::advanced() } else { Self::default() };
    }

    /// What was seen until `now_ms`.
    pub fn snapshot(&mut self, now_ms: u64) -> SummaryValue {
        self.turn_window(now_ms);
        let window = [&self.window[0], &self.window[1]];
        let asked: &[f64] = if self.all.is_some() { &[0.5, 0.9, 0.99] } else { &[0.5] };
        #[expect(clippy::cast_precision_loss, reason = "a quantile is approximate anyway")]
        let quantiles = asked
            .iter()
            .map(|&q| (q, quantile(&window, q).map_or(f64::NAN, |value| self.clamp(value) as f64)))
            .collect();
        let percentiles = self.all.as_ref().map(|all| {
            [0.5, 0.95, 0.99, 0.999]
                .map(|q| quantile(&[all], q).map_or(0, |value| self.clamp(value)))
        });
        SummaryValue {
            count: self.count,
            sum: self.sum,
            min: self.min,
            max: self.max,
            percentiles,
            quantiles,
        }
    }

    /// A bucket's middle may lie outside of what was really seen.
    fn clamp(&self, value: u64) -> u64 {
        value.clamp(self.min, self.max)
    }

    fn turn_window(&mut self, now_ms: u64) {
        let age = now_ms.saturating_sub(self.window_started_ms);
        if age < HALF_WINDOW_MS {
            return;
        }
        self.window.swap(0, 1);
        self.window[0] = Histogram::default();
        if age >= 2 * HALF_WINDOW_MS {
            self.window[1] = Histogram::default();
        }
        self.window_started_ms = now_ms;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn buckets_are_close_to_their_values() {
        for shift in 0..63 {
            for offset in [0, 1, 3] {
                let value = (1_u64 << shift) + offset;
                let found = bucket_value(bucket(value));
                assert!(found.abs_diff(value) <= value / 16, "{value} -> {found}");
            }
        }
        assert!(bucket(u64::MAX) < BUCKETS);
    }

    #[test]
    fn percentiles_of_a_known_row() {
        let mut summary = Summary::advanced();
        for value in 1..=1000 {
            summary.add(0, value);
        }
        let seen = summary.snapshot(0);
        assert_eq!((seen.count, seen.sum, seen.min, seen.max), (1000, 500_500, 1, 1000));
        let [p50, p95, p99, p999] = seen.percentiles.unwrap();
        assert!(p50.abs_diff(500) <= 32 && p95.abs_diff(950) <= 60, "{p50} {p95}");
        assert!(p99.abs_diff(990) <= 62 && p999 <= 1000, "{p99} {p999}");
        assert!((seen.avg() - 500.5).abs() < f64::EPSILON);
    }

    #[test]
    fn the_window_forgets_and_the_sums_do_not() {
        let mut summary = Summary::default();
        summary.add(1, 7);
        assert!((summary.snapshot(2).quantiles[0].1 - 7.0).abs() < f64::EPSILON);
        let later = summary.snapshot(2 * HALF_WINDOW_MS + 2);
        assert!(later.quantiles[0].1.is_nan());
        assert_eq!((later.count, later.sum), (1, 7));
    }
}

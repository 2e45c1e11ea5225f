//! Classic histograms: buckets by their label `le`.

use std::collections::BTreeMap;

use super::{Element, Evaluator};
use crate::labels::Labels;
use crate::value::{EvalError, Note};

/// The label with the upper bound of a bucket.
const LE: &str = "le";

/// Counts of neighbours that differ by less than this share are equal.
const SMALL_DELTA: f64 = 1e-12;

#[derive(Clone, Copy, Debug, PartialEq)]
struct Bucket {
    upper: f64,
    count: f64,
}

/// A histogram: its labels without the bound.
struct Histogram {
    labels: Labels,
    drops_name: bool,
    buckets: Vec<Bucket>,
}

impl Evaluator<'_> {
    pub(super) fn histogram_quantile(
        &mut self,
        q: f64,
        vector: &[Element],
    ) -> Result<Vec<Element>, EvalError> {
        if !(0.0..=1.0).contains(&q) {
            self.warn_quantile(q);
        }
        let mut out = Vec::new();
        for histogram in self.histograms(vector) {
            let (value, is_forced) = quantile(q, histogram.buckets);
            if is_forced {
                self.note(Note::Info(format!(
                    "input to histogram_quantile needed to be fixed for monotonicity (see \
                     https://prometheus.io/docs/prometheus/latest/querying/functions/\
                     #histogram_quantile) for metric name {:?}",
                    histogram.labels.name()
                )));
            }
            out.push(Element { labels: histogram.labels, drops_name: true, value });
        }
        self.drop_names(out)
    }

    pub(super) fn histogram_fraction(
        &mut self,
        lower: f64,
        upper: f64,
        vector: &[Element],
    ) -> Result<Vec<Element>, EvalError> {
        let histograms = self.histograms(vector).into_iter();
        let out = histograms.map(|histogram| Element {
            labels: histogram.labels,
            drops_name: true,
            value: fraction(lower, upper, histogram.buckets),
        });
        let out = out.collect();
        self.drop_names(out)
    }

    fn histograms(&mut self, vector: &[Element]) -> Vec<Histogram> {
        let mut places: BTreeMap<Labels, usize> = BTreeMap::new();
        let mut found: Vec<Histogram> = Vec::new();
        for element in vector {
            let bound = element.labels.get(LE);
            let Ok(upper) = bound.parse::<f64>() else {
                self.note(Note::Warning(format!(
                    "bucket label \"le\" is missing or has a malformed value of {bound:?} for \
                     metric name {:?}",
                    element.labels.name()
                )));
                continue;
            };
            let labels = element.labels.with(LE, "");
            let place = *places.entry(labels.clone()).or_insert_with(|| {
                let drops_name = element.drops_name;
                found.push(Histogram { labels, drops_name, buckets: Vec::new() });
                found.len() - 1
            });
            let histogram = &mut found[place];
            histogram.drops_name |= element.drops_name;
            histogram.buckets.push(Bucket { upper, count: element.value });
        }
        found
    }
}

/// Sorts the buckets and joins those of one bound; None where the last is not the one of all.
fn ordered(mut buckets: Vec<Bucket>) -> Option<Vec<Bucket>> {
    buckets.sort_by(|a, b| a.upper.partial_cmp(&b.upper).unwrap_or(std::cmp::Ordering::Equal));
    if buckets.last()?.upper != f64::INFINITY {
        return None;
    }
    let mut joined: Vec<Bucket> = Vec::with_capacity(buckets.len());
    for bucket in buckets {
        match joined.last_mut() {
            Some(last) if last.upper == bucket.upper => last.count += bucket.count,
            _ => joined.push(bucket),
        }
    }
    Some(joined)
}

/// Makes counts ascend; whether one really fell.
fn ascend(buckets: &mut [Bucket]) -> bool {
    let mut is_forced = false;
    let mut highest = buckets.first().map_or(0.0, |first| first.count);
    for bucket in buckets.iter_mut().skip(1) {
        if bucket.count == highest {
            continue;
        }
        if is_almost(highest, bucket.count) {
            bucket.count = highest;
        } else if bucket.count < highest {
            bucket.count = highest;
            is_forced = true;
        } else {
            highest = bucket.count;
        }
    }
    is_forced
}

/// Whether two floats differ by less than [`SMALL_DELTA`] of their size.
fn is_almost(a: f64, b: f64) -> bool {
    if a.is_nan() && b.is_nan() || a == b {
        return true;
    }
    let size = a.abs() + b.abs();
    let delta = (a - b).abs();
    if a == 0.0 || b == 0.0 || size < f64::MIN_POSITIVE {
        return delta < SMALL_DELTA * f64::MIN_POSITIVE;
    }
    delta / size.min(f64::MAX) < SMALL_DELTA
}

/// The quantile `q`, interpolated within its bucket; whether the counts had to be made to ascend.
fn quantile(q: f64, buckets: Vec<Bucket>) -> (f64, bool) {
    if q.is_nan() {
        return (f64::NAN, false);
    }
    if q < 0.0 {
        return (f64::NEG_INFINITY, false);
    }
    if q > 1.0 {
        return (f64::INFINITY, false);
    }
    let Some(mut buckets) = ordered(buckets) else { return (f64::NAN, false) };
    let is_forced = ascend(&mut buckets);
    let Some([.., before_last, last]) = buckets.get(..) else { return (f64::NAN, false) };
    if last.count == 0.0 {
        return (f64::NAN, false);
    }
    let mut rank = q * last.count;
    let others = &buckets[..buckets.len() - 1];
    // As a search of the first bucket that reaches the rank; NaN counts reach nothing.
    let Some(at) = others.iter().position(|bucket| bucket.count >= rank) else {
        return (before_last.upper, is_forced);
    };
    let bucket = buckets[at];
    if at == 0 && bucket.upper <= 0.0 {
        return (bucket.upper, is_forced);
    }
    let (mut start, mut inside) = (0.0, bucket.count);
    if let Some(previous) = at.checked_sub(1).and_then(|at| buckets.get(at)) {
        start = previous.upper;
        inside -= previous.count;
        rank -= previous.count;
    }
    (start + (bucket.upper - start) * (rank / inside), is_forced)
}

/// The share of observations between two values.
fn fraction(lower: f64, upper: f64, buckets: Vec<Bucket>) -> f64 {
    let Some(buckets) = ordered(buckets) else { return f64::NAN };
    let all = buckets.last().map_or(0.0, |last| last.count);
    if all == 0.0 || lower.is_nan() || upper.is_nan() {
        return f64::NAN;
    }
    if lower >= upper {
        return 0.0;
    }
    let rank_of = |value: f64| {
        let mut rank = 0.0;
        let mut from = f64::NEG_INFINITY;
        for bucket in &buckets {
            if from >= value {
                return rank;
            }
            if bucket.upper > value {
                let width = bucket.upper - from;
                return rank + (bucket.count - rank) * (value - from) / width;
            }
            rank = bucket.count;
            from = bucket.upper;
        }
        all
    };
    let bounded = |rank: f64| if rank > all { all } else { rank };
    (bounded(rank_of(upper)) - bounded(rank_of(lower))) / all
}

#[cfg(test)]
mod tests {
    use super::*;

    fn buckets(of: &[(f64, f64)]) -> Vec<Bucket> {
        of.iter().map(|(upper, count)| Bucket { upper: *upper, count: *count }).collect()
    }

    #[test]
    fn quantiles_are_interpolated_and_counts_made_to_ascend() {
        let plain = [(1.0, 10.0), (2.0, 20.0), (f64::INFINITY, 20.0)];
        assert_eq!(quantile(0.75, buckets(&plain)), (1.5, false));
        let falling = [(1.0, 10.0), (2.0, 5.0), (f64::INFINITY, 20.0)];
        assert_eq!(quantile(0.9, buckets(&falling)), (2.0, true));
        assert!(quantile(0.5, buckets(&[(1.0, 1.0)])).0.is_nan());
        assert_eq!(fraction(1.0, 1.5, buckets(&plain)), 0.25);
    }
}

//! Functions over a range that look at how values change: rate and its family.

use super::numbers::{Sum, count, seconds, seconds_between};

/// A range of one series, with the time it covers.
#[derive(Clone, Copy)]
pub(super) struct Span<'p> {
    pub(super) points: &'p [(i64, f64)],
    /// Not in the range any more.
    pub(super) after: i64,
    /// The last instant of the range.
    pub(super) upto: i64,
}

/// What is extrapolated.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Change {
    /// `delta`: a gauge's change.
    Delta,
    /// `increase`: a counter's growth; falling means it began anew.
    Increase,
    /// `rate`: the same by second.
    Rate,
}

/// The change over the whole range, extrapolated to its edges where the samples come close enough.
pub(super) fn extrapolated(span: Span<'_>, change: Change) -> Option<f64> {
    let [first, .., last] = span.points else { return None };
    let is_counter = change != Change::Delta;
    let mut result = last.1 - first.1;
    if is_counter {
        for pair in span.points.windows(2) {
            if pair[1].1 < pair[0].1 {
                result += pair[0].1;
            }
        }
    }
    let mut to_start = seconds_between(first.0, span.after);
    let mut to_end = seconds_between(span.upto, last.0);
    let sampled = seconds_between(last.0, first.0);
    let average = sampled / count(span.points.len() - 1);
    // Farther from the edge than samples are apart: the series begins or ends inside of the range,
    // half an interval away by the best guess.
    let threshold = average * 1.1;
    if to_start >= threshold {
        to_start = average / 2.0;
    }
    if is_counter && result > 0.0 && first.1 >= 0.0 {
        // A counter cannot have been below zero.
        let to_zero = sampled * (first.1 / result);
        if to_zero < to_start {
            to_start = to_zero;
        }
    }
    if to_end >= threshold {
        to_end = average / 2.0;
    }
    let mut factor = (sampled + to_start + to_end) / sampled;
    if change == Change::Rate {
        factor /= seconds_between(span.upto, span.after);
    }
    Some(result * factor)
}

/// The change between the last two samples: `irate` by second, `idelta` as it is.
pub(super) fn instant(points: &[(i64, f64)], change: Change) -> Option<f64> {
    let [.., before, last] = points else { return None };
    let between = last.0.saturating_sub(before.0);
    if between == 0 {
        return None;
    }
    let is_rate = change == Change::Rate;
    let fell = is_rate && last.1 < before.1;
    let result = if fell { last.1 } else { last.1 - before.1 };
    Some(if is_rate { result / seconds(between) } else { result })
}

/// Slope by second and value at `origin` of the line through the points (least squares).
pub(super) fn regression(points: &[(i64, f64)], origin: i64) -> Option<(f64, f64)> {
    let [first, _, ..] = points else { return None };
    if points.iter().all(|(_, value)| *value == first.1) {
        let is_usable = first.1.is_finite();
        return Some(if is_usable { (0.0, first.1) } else { (f64::NAN, f64::NAN) });
    }
    let [mut x_sum, mut y_sum, mut xy_sum, mut xx_sum] = [Sum::default(); 4];
    for (at, y) in points {
        let x = seconds_between(*at, origin);
        x_sum.add(x);
        y_sum.add(*y);
        xy_sum.add(x * y);
        xx_sum.add(x * x);
    }
    let n = count(points.len());
    let [x_sum, y_sum, xy_sum, xx_sum] = [x_sum, y_sum, xy_sum, xx_sum].map(Sum::total);
    let covariance = xy_sum - x_sum * y_sum / n;
    let variance = xx_sum - x_sum * x_sum / n;
    let slope = covariance / variance;
    Some((slope, y_sum / n - slope * x_sum / n))
}

/// Holt's double exponential smoothing.
pub(super) fn smoothed(points: &[(i64, f64)], smoothing: f64, trend: f64) -> Option<f64> {
    let [first, second, ..] = points else { return None };
    let mut before = 0.0;
    let mut level = first.1;
    let mut slope = second.1 - first.1;
    for (at, (_, value)) in points.iter().enumerate().skip(1) {
        let scaled = smoothing * value;
        if at > 1 {
            slope = trend * (level - before) + (1.0 - trend) * slope;
        }
        let guess = (1.0 - smoothing) * (level + slope);
        before = level;
        level = scaled + guess;
    }
    Some(level)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_counter_is_extrapolated_to_the_edges_but_not_below_zero() {
        let points = [(10_000, 10.0), (20_000, 20.0), (30_000, 30.0), (40_000, 5.0)];
        let span = Span { points: &points, after: 0, upto: 50_000 };
        // 25 over 30 s sampled; 10 s to either edge, all within 1.1 intervals.
        let increase = extrapolated(span, Change::Increase).unwrap();
        assert!((increase - 25.0 * 50.0 / 30.0).abs() < 1e-9, "{increase}");
        let rate = extrapolated(span, Change::Rate).unwrap();
        assert!((rate - increase / 50.0).abs() < 1e-9);
        let young = [(10_000, 1.0), (20_000, 11.0)];
        let span = Span { points: &young, after: 0, upto: 20_000 };
        // It was zero 1 s before the first sample.
        assert!((extrapolated(span, Change::Increase).unwrap() - 11.0).abs() < 1e-9);
        assert_eq!(extrapolated(Span { points: &young[..1], ..span }, Change::Rate), None);
        assert_eq!(instant(&points, Change::Rate), Some(0.5));
        assert_eq!(regression(&points[..3], 0), Some((1.0, 0.0)));
    }
}

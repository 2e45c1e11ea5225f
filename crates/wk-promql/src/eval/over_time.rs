//! Functions over the values of a range: the `_over_time` family, changes and resets.

use super::numbers::{Mean, Sum, count, quantile, seconds};

/// What `function` makes of the points of a range (at least one); None for another function.
pub(super) fn over_time(function: &str, points: &[(i64, f64)]) -> Option<f64> {
    let (first, last) = (points.first()?, points.last()?);
    let values = || points.iter().map(|(_, value)| *value);
    let pairs = || points.windows(2).map(|pair| (pair[0].1, pair[1].1));
    Some(match function {
        "sum_over_time" => {
            let mut sum = Sum::default();
            values().for_each(|value| sum.add(value));
            if sum.sum.is_infinite() { sum.sum } else { sum.total() }
        }
        "avg_over_time" => {
            let mut mean = Mean::new(first.1);
            values().skip(1).for_each(|value| mean.add(value));
            mean.mean()
        }
        "count_over_time" => count(points.len()),
        "last_over_time" => last.1,
        "present_over_time" => 1.0,
        "max_over_time" => extreme(points, |new, old| new > old).1,
        "min_over_time" => extreme(points, |new, old| new < old).1,
        "ts_of_max_over_time" => seconds(extreme(points, |new, old| new >= old).0),
        "ts_of_min_over_time" => seconds(extreme(points, |new, old| new <= old).0),
        "ts_of_last_over_time" => seconds(last.0),
        "stdvar_over_time" => variance(points),
        "stddev_over_time" => variance(points).sqrt(),
        "mad_over_time" => {
            let median = quantile(0.5, &mut values().collect::<Vec<_>>());
            quantile(0.5, &mut values().map(|value| (value - median).abs()).collect::<Vec<_>>())
        }
        "resets" => count(pairs().filter(|(before, after)| after < before).count()),
        "changes" => count(
            pairs()
                .filter(|(before, after)| before != after && !(before.is_nan() && after.is_nan()))
                .count(),
        ),
        _ => return None,
    })
}

/// The point that is better than all before it; anything is better than NaN.
fn extreme(points: &[(i64, f64)], is_better: impl Fn(f64, f64) -> bool) -> (i64, f64) {
    let mut best = points.first().copied().unwrap_or((0, f64::NAN));
    for point in points {
        if best.1.is_nan() || is_better(point.1, best.1) {
            best = *point;
        }
    }
    best
}

fn variance(points: &[(i64, f64)]) -> f64 {
    let (mut mean, mut squares) = (Sum::default(), Sum::default());
    for (at, (_, value)) in points.iter().enumerate() {
        let delta = value - mean.total();
        mean.add(delta / count(at + 1));
        squares.add(delta * (value - mean.total()));
    }
    squares.total() / count(points.len())
}

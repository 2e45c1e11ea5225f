//! How often a group is evaluated.

use std::time::Duration;

use super::{Pace, SetOptions};

/// Our own intervals: rules that look back at most so far are evaluated so often. What looks at the
/// last seconds is judged twice between two looks of the probes, so that `for` is not added to a
/// whole second of waiting; what looks at two minutes, once; what looks at hours changes slowly and
/// costs much.
const BY_REACH: [(Duration, Duration); 4] = [
    (Duration::from_secs(10), Duration::from_millis(500)),
    (Duration::from_mins(2), Duration::from_secs(1)),
    (Duration::from_mins(15), Duration::from_secs(5)),
    (Duration::from_hours(1), Duration::from_secs(15)),
];
/// For all that looks back further.
const LONGEST: Duration = Duration::from_mins(1);

/// The interval of a group; `reach_ms` is the furthest that one of its rules looks back beyond the
/// newest sample.
pub(super) fn interval(own: Option<Duration>, reach_ms: i64, options: &SetOptions) -> Duration {
    if let Some(interval) = own {
        return interval;
    }
    if options.pace == Pace::Prometheus {
        return options.interval;
    }
    let reach = Duration::from_millis(reach_ms.unsigned_abs());
    let row = BY_REACH.iter().find(|(upto, _)| reach <= *upto);
    row.map_or(LONGEST, |(_, interval)| *interval)
}

/// The next due instant after `now`, on the multiples of the interval: groups of one interval are
/// evaluated together, and one that is late misses instants instead of catching up.
pub(super) fn next(now: i64, interval_ms: i64) -> i64 {
    let interval = interval_ms.max(1);
    now.div_euclid(interval).saturating_add(1).saturating_mul(interval)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rule_over_hours_is_judged_less_often() {
        let own = SetOptions::default();
        let every = |reach: i64| interval(None, reach * 1000, &own).as_millis();
        assert_eq!([every(0), every(10), every(11), every(120)], [500, 500, 1000, 1000]);
        assert_eq!([every(600), every(3600), every(3601)], [5000, 15_000, 60_000]);
        assert_eq!(interval(Some(Duration::from_secs(7)), 0, &own), Duration::from_secs(7));
        let theirs = SetOptions { pace: Pace::Prometheus, ..SetOptions::default() };
        assert_eq!(interval(None, 0, &theirs), Duration::from_mins(1));
        assert_eq!((next(5000, 1000), next(5999, 1000), next(0, 15_000)), (6000, 6000, 15_000));
    }
}

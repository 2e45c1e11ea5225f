//! Local health: whether the monitor itself was awake, so that what it saw can be judged.
//!
//! A monitor that was stopped or starved finds every deadline passed when it wakes: answers that
//! came in time look late, and nothing that it knows is of now. It judges nothing until every source
//! has looked anew, and what was begun before the pause counts for nothing.

use std::time::Duration;

use wk_proto::ids::Mono;

/// What the pulse of the process says: a timer of its own, far shorter than any deadline.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Pulse {
    /// The last beat.
    pub last: Mono,
    /// The last beat that came late.
    pub late: Option<Mono>,
}

/// Bounds of local health.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HealthPolicy {
    /// A beat later than this is a pause. Default 1 s.
    pub late: Duration,
    /// A source that did not look anew for so long is not waited for. Default 10 s.
    pub anew: Duration,
}

impl Default for HealthPolicy {
    fn default() -> Self {
        Self { late: Duration::from_secs(1), anew: Duration::from_secs(10) }
    }
}

/// Whether the monitor is fit to judge.
#[derive(Clone, Debug, Default)]
pub struct Health {
    policy: HealthPolicy,
    /// The end of the last pause, while not everybody has looked since.
    resumed: Option<Mono>,
    /// The last late beat that was heard of.
    heard: Option<Mono>,
    pauses: u64,
}

impl Health {
    /// Fit, as far as it knows.
    pub fn new(policy: HealthPolicy) -> Self {
        Self { policy, ..Self::default() }
    }

    /// Hears the pulse. Says whether a pause has just been noticed.
    pub fn hear(&mut self, now: Mono, pulse: Pulse) -> bool {
        // Either the timer has noticed, or it has not even run yet.
        let noticed = pulse.late > self.heard;
        let overdue = now.since(pulse.last) > self.policy.late;
        if noticed {
            self.heard = pulse.late;
        }
        if !noticed && !overdue {
            return false;
        }
        let first = self.resumed.is_none();
        // What was overdue a moment ago is the same pause when the timer then says so.
        let resumed = if overdue { now } else { pulse.late.unwrap_or(now) };
        self.resumed = self.resumed.max(Some(resumed));
        self.pauses += u64::from(first);
        first
    }

    /// What was seen until now says nothing: a clock was set, or the like.
    pub fn doubt(&mut self, now: Mono) {
        self.resumed = self.resumed.max(Some(now));
    }

    /// Whether something that began at `begun` was seen by a monitor awake since.
    pub fn trusts(&self, begun: Mono) -> bool {
        self.resumed.is_none_or(|resumed| begun >= resumed)
    }

    /// Whether to judge: no pause, or every source (by the begin of its last look) has looked since.
    pub fn is_fit(&mut self, now: Mono, mut looks: impl Iterator<Item = Option<Mono>>) -> bool {
        let Some(resumed) = self.resumed else { return true };
        let waited = now.since(resumed) >= self.policy.anew;
        if waited || looks.all(|look| look.is_some_and(|look| look >= resumed)) {
            self.resumed = None;
        }
        self.resumed.is_none()
    }

    /// Pauses noticed so far.
    pub fn pauses(&self) -> u64 {
        self.pauses
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(ms: u64) -> Mono {
        Mono(ms * 1_000_000)
    }

    #[test]
    fn after_a_pause_nobody_is_judged_before_everybody_was_looked_at_anew() {
        let mut health = Health::new(HealthPolicy::default());
        let ordinary = Pulse { last: at(9_900), late: None };
        assert!(!health.hear(at(10_000), ordinary));
        assert!(health.is_fit(at(10_000), [None].into_iter()), "no pause, no wait");
        // Stopped for five seconds: the first thing that runs is not the timer.
        assert!(health.hear(at(15_000), ordinary));
        assert!(!health.trusts(at(14_000)) && health.trusts(at(15_000)));
        let looks = |ms: [u64; 2]| ms.map(|ms| Some(at(ms))).into_iter();
        assert!(!health.is_fit(at(15_100), looks([9_000, 9_500])));
        // The timer notices the same pause.
        assert!(!health.hear(at(15_200), Pulse { last: at(15_150), late: Some(at(15_150)) }));
        assert!(!health.is_fit(at(15_900), looks([15_300, 9_500])));
        assert!(health.is_fit(at(16_000), looks([15_300, 15_800])));
        assert!(!health.hear(at(16_100), Pulse { last: at(16_050), late: Some(at(15_150)) }));
        assert_eq!(health.pauses(), 1);
    }

    #[test]
    fn a_pause_that_only_the_timer_noticed_counts_and_a_dead_source_is_not_waited_for() {
        let mut health = Health::new(HealthPolicy::default());
        assert!(health.hear(at(5_100), Pulse { last: at(5_000), late: Some(at(5_000)) }));
        assert!(!health.is_fit(at(14_900), [None].into_iter()));
        assert!(health.is_fit(at(15_000), [None].into_iter()));
    }
}

//! Heartbeats of applications and how late they are: phi accrual.
//!
//! Phi is -log10 of the chance that a beat as late as this one still comes, were the beats spread
//! around their mean like a normal distribution (Hayashibara and others, 2004). A beat is a change of
//! data that the application makes for that purpose; who does not beat is never suspected. Time in
//! which the monitor could not see is no lateness of anybody.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use wk_proto::ids::Mono;

use crate::node::NodeKey;

/// From this phi on a node is suspected: one chance in 10^8 that it is well.
pub const SUSPECT: f64 = 8.0;
/// Distances that are remembered of a node.
const WINDOW: usize = 64;
/// Fewer distances than this are no rhythm.
const RHYTHM_MIN: usize = 5;
/// A mean longer than this is no heartbeat: data that is changed now and then.
const MEAN_MAX: Duration = Duration::from_mins(1);
/// The spread is at least this share of the mean: with it phi is 8 when the third beat is missing.
const SPREAD_SHARE: f64 = 1.0 / 3.0;
/// And at least this: no network is more punctual.
const SPREAD_MIN: f64 = 0.1;
/// With so many that beat, it is the view that is suspected once half of them are late.
const CROWD_MIN: usize = 3;

/// -log10 of the chance that a normal distribution exceeds its mean by more than `y` spreads.
pub fn phi(y: f64) -> f64 {
    let density = (-y * y / 2.0).exp() / (2.0 * std::f64::consts::PI).sqrt();
    if y < 2.0 {
        // The power series of the distribution function.
        let (mut term, mut sum, mut odd) = (y, y, 1.0);
        while (term / sum).abs() > 1e-12 && odd < 199.0 {
            odd += 2.0;
            term *= y * y / odd;
            sum += term;
        }
        return -(0.5 - density * sum).clamp(f64::MIN_POSITIVE, 1.0).log10();
    }
    // Laplace's continued fraction of the tail; in logarithms, so that no lateness underflows.
    let mut fraction = y;
    for k in (1..=60).rev() {
        fraction = y + f64::from(k) / fraction;
    }
    let log_density = -y * y / 2.0 - (2.0 * std::f64::consts::PI).sqrt().ln();
    -(log_density - fraction.ln()) / std::f64::consts::LN_10
}

/// The beats of one node.
#[derive(Clone, Debug)]
struct Beats {
    last: Mono,
    /// Distances between beats in seconds, oldest first.
    distances: VecDeque<f32>,
    /// The monitor could not see all of the time since `last`: the next distance says nothing.
    gap: bool,
}

impl Beats {
    fn new(now: Mono) -> Self {
        Self { last: now, distances: VecDeque::new(), gap: false }
    }

    fn beat(&mut self, now: Mono) {
        if !std::mem::take(&mut self.gap) {
            if self.distances.len() == WINDOW {
                self.distances.pop_front();
            }
            self.distances.push_back(now.since(self.last).as_secs_f32());
        }
        self.last = now;
    }

    /// Mean and spread, if there is a rhythm.
    fn rhythm(&self) -> Option<(f64, f64)> {
        if self.distances.len() < RHYTHM_MIN {
            return None;
        }
        let count = f64::from(u16::try_from(self.distances.len()).unwrap_or(u16::MAX));
        let mean = self.distances.iter().map(|d| f64::from(*d)).sum::<f64>() / count;
        if mean > MEAN_MAX.as_secs_f64() {
            return None;
        }
        let square = |d: &f32| (f64::from(*d) - mean).powi(2);
        let spread = (self.distances.iter().map(square).sum::<f64>() / count).sqrt();
        Some((mean, spread.max(mean * SPREAD_SHARE).max(SPREAD_MIN)))
    }

    fn phi(&self, now: Mono) -> Option<f64> {
        let (mean, spread) = self.rhythm()?;
        Some(phi((now.since(self.last).as_secs_f64() - mean) / spread))
    }
}

/// The beats of all nodes of an ensemble.
#[derive(Clone, Debug, Default)]
pub struct Heartbeats {
    nodes: BTreeMap<NodeKey, Beats>,
}

impl Heartbeats {
    /// A node beat.
    pub fn beat(&mut self, now: Mono, key: &NodeKey) {
        match self.nodes.get_mut(key) {
            Some(beats) => beats.beat(now),
            None => {
                self.nodes.insert(key.clone(), Beats::new(now));
            }
        }
    }

    /// A node does not live, or another life of it began: its old rhythm says nothing.
    pub fn forget(&mut self, key: &NodeKey) {
        self.nodes.remove(key);
    }

    /// The monitor did not see for a while, or did not run: nobody is late because of that.
    pub fn excuse(&mut self, now: Mono) {
        for beats in self.nodes.values_mut() {
            beats.last = now;
            beats.gap = true;
        }
    }

    /// The nodes that have a rhythm, each with its phi. Empty while half of a crowd is late at once:
    /// that is the ensemble or the way to it, not they.
    pub fn phis(&self, now: Mono) -> Vec<(&NodeKey, f64)> {
        let all = self.nodes.iter().filter_map(|(key, beats)| Some((key, beats.phi(now)?)));
        let all: Vec<(&NodeKey, f64)> = all.collect();
        let late = all.iter().filter(|(_, phi)| *phi >= SUSPECT).count();
        if all.len() >= CROWD_MIN && late * 2 >= all.len() { Vec::new() } else { all }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(id: &str) -> NodeKey {
        NodeKey { group: Some("g".into()), id: id.into() }
    }

    fn at(ms: u64) -> Mono {
        Mono(ms * 1_000_000)
    }

    /// The tail of the normal distribution by plain summation, to compare with.
    fn tail(y: f64) -> f64 {
        let step = 1e-4;
        let density = |x: f64| (-x * x / 2.0).exp() / (2.0 * std::f64::consts::PI).sqrt();
        (0..200_000).map(|i| density(y + (f64::from(i) + 0.5) * step) * step).sum()
    }

    #[test]
    fn phi_is_the_logarithm_of_the_normal_tail() {
        for y in [-3.0, -1.0, 0.0, 0.5, 1.0, 1.9, 2.0, 2.1, 3.0, 5.0, 6.0, 8.0] {
            let want = -tail(y).log10();
            assert!((phi(y) - want).abs() < 1e-4, "phi({y}) = {}, not {want}", phi(y));
        }
        // Known values: one in two, and the five and six sigma of the tables.
        assert!((phi(0.0) - std::f64::consts::LOG10_2).abs() < 1e-5);
        assert!((phi(5.0) - 6.542_6).abs() < 1e-3);
        assert!((phi(6.0) - 9.005_9).abs() < 1e-3);
        assert!(phi(1e6).is_finite() && phi(-40.0) >= 0.0);
    }

    /// Beats each second until `seconds`.
    fn regular(beats: &mut Heartbeats, id: &str, seconds: u64) {
        for second in 0..=seconds {
            beats.beat(at(second * 1000), &key(id));
        }
    }

    fn of(beats: &Heartbeats, id: &str, ms: u64) -> Option<f64> {
        beats.phis(at(ms)).into_iter().find(|(k, _)| **k == key(id)).map(|(_, phi)| phi)
    }

    #[test]
    fn the_third_missing_beat_is_suspicious_and_the_second_is_not() {
        let mut beats = Heartbeats::default();
        regular(&mut beats, "a", 20);
        assert!(of(&beats, "a", 21_000).is_some_and(|phi| phi < 1.0));
        assert!(of(&beats, "a", 22_500).is_some_and(|phi| phi < SUSPECT));
        assert!(of(&beats, "a", 23_000).is_some_and(|phi| phi >= SUSPECT));
        beats.beat(at(23_100), &key("a"));
        assert!(of(&beats, "a", 23_200).is_some_and(|phi| phi < 1.0));
    }

    #[test]
    fn data_that_changes_now_and_then_is_no_heartbeat() {
        let mut beats = Heartbeats::default();
        for n in 0..4 {
            beats.beat(at(n * 1000), &key("new"));
        }
        for n in 0..20 {
            beats.beat(at(n * 70_000), &key("config"));
        }
        assert_eq!(beats.phis(at(10_000_000)), []);
    }

    #[test]
    fn what_the_monitor_did_not_see_makes_nobody_late() {
        let mut beats = Heartbeats::default();
        regular(&mut beats, "a", 20);
        beats.excuse(at(50_000));
        assert!(of(&beats, "a", 50_100).is_some_and(|phi| phi < 1.0));
        // The first distance after it is none: the rhythm is as before.
        beats.beat(at(50_900), &key("a"));
        assert!(of(&beats, "a", 53_900).is_some_and(|phi| phi >= SUSPECT));
    }

    #[test]
    fn half_of_a_crowd_late_at_once_accuses_the_view_and_nobody_in_it() {
        let mut beats = Heartbeats::default();
        for id in ["a", "b", "c", "d"] {
            regular(&mut beats, id, 20);
        }
        assert_eq!(beats.phis(at(30_000)), []);
        for id in ["b", "c", "d"] {
            beats.beat(at(29_900), &key(id));
        }
        assert!(of(&beats, "a", 30_000).is_some_and(|phi| phi >= SUSPECT));
        beats.forget(&key("a"));
        assert_eq!(of(&beats, "a", 30_000), None);
    }
}

//! How late the heartbeats of nodes are, as samples, and who is suspected because of that.

use std::collections::{BTreeMap, BTreeSet};

use wk_alert::Now;
use wk_alert::beat::SUSPECT;
use wk_alert::node::{NodeKey, Nodes};
use wk_promql::{Labels, STALE, Sample};

/// Lateness is looked at so often.
const INTERVAL_MS: i64 = 1000;
/// A punctual node is sampled anew so seldom: ten thousand of them cost nothing.
const REFRESH_MS: i64 = 60_000;
/// From this phi on a node is sampled at each look.
const LATE: f64 = 1.0;

/// The series `watchkeeper_node_phi` of one ensemble.
#[derive(Debug)]
pub(crate) struct PhiSeries {
    ensemble: String,
    site: Option<String>,
    /// Each node's series, when it was last sampled, and its value then.
    live: BTreeMap<NodeKey, (Labels, i64, f64)>,
    suspects: BTreeSet<NodeKey>,
    changed: bool,
    looked: i64,
}

impl PhiSeries {
    pub(crate) fn new(ensemble: &str, site: Option<&str>) -> Self {
        Self {
            ensemble: ensemble.to_owned(),
            site: site.map(str::to_owned),
            live: BTreeMap::new(),
            suspects: BTreeSet::new(),
            changed: false,
            looked: i64::MIN,
        }
    }

    /// Forgets what was sampled: the window that had it is gone.
    pub(crate) fn restart(&mut self) {
        self.live.clear();
        self.looked = i64::MIN;
    }

    /// Whether a node is suspected.
    pub(crate) fn suspects(&self, key: &NodeKey) -> bool {
        self.suspects.contains(key)
    }

    /// Whether the last samples changed who is suspected.
    pub(crate) fn changed(&mut self) -> bool {
        std::mem::take(&mut self.changed)
    }

    /// The samples that are due.
    pub(crate) fn sample(&mut self, now: Now, nodes: &Nodes) -> Vec<Sample> {
        let at = now.wall.0;
        if at.saturating_sub(self.looked) < INTERVAL_MS {
            return Vec::new();
        }
        self.looked = at;
        let phis = nodes.phis(now.mono);
        let mut samples = Vec::new();
        let known: BTreeSet<&NodeKey> = phis.iter().map(|(key, _)| *key).collect();
        self.live.retain(|key, (labels, ..)| {
            let stays = known.contains(key);
            if !stays {
                samples.push(Sample { labels: labels.clone(), at, value: STALE });
            }
            stays
        });
        let late = phis.iter().filter(|(_, phi)| *phi >= SUSPECT);
        let suspects: BTreeSet<NodeKey> = late.map(|(key, _)| (*key).clone()).collect();
        for (key, phi) in phis {
            let due = self.live.get(key).is_none_or(|(_, sampled, old)| {
                phi >= LATE || *old >= LATE || at.saturating_sub(*sampled) >= REFRESH_MS
            });
            if due {
                let labels = match self.live.get(key) {
                    Some((labels, ..)) => labels.clone(),
                    None => self.labels(key),
                };
                samples.push(Sample { labels: labels.clone(), at, value: phi });
                self.live.insert(key.clone(), (labels, at, phi));
            }
        }
        self.changed |= suspects != self.suspects;
        self.suspects = suspects;
        samples
    }

    fn labels(&self, key: &NodeKey) -> Labels {
        let labels = [
            ("ensemble", self.ensemble.as_str()),
            ("site", self.site.as_deref().unwrap_or_default()),
            ("group", key.group.as_deref().unwrap_or_default()),
            ("node", key.id.as_str()),
        ];
        Labels::metric("watchkeeper_node_phi", labels)
    }
}

#[cfg(test)]
mod tests {
    use wk_alert::node::{Alive, Input, NodePolicy, Observation, Output};
    use wk_proto::ids::{Mono, SessionId, Wall, Zxid};

    use super::*;

    fn now(seconds: u32) -> Now {
        let mono = Mono(u64::from(seconds) * 1_000_000_000);
        Now { mono, wall: Wall(i64::from(seconds) * 1000) }
    }

    #[test]
    fn a_punctual_node_is_sampled_seldom_and_a_late_one_at_each_look() {
        let key = NodeKey { group: Some("g".into()), id: "a".into() };
        let mut nodes = Nodes::new("e", NodePolicy::default(), BTreeMap::new(), now(0));
        let mut out = Output::default();
        let alive = Some(Alive { owner: SessionId(1), czxid: Zxid(1) });
        let seen = Observation { alive, had_children: true, ..Observation::default() };
        let registry =
            Input::Registry { own_session: SessionId(9), nodes: vec![(key.clone(), seen)] };
        nodes.step(now(0), registry, &mut out);
        let mut series = PhiSeries::new("e", None);
        let mut counts = Vec::new();
        for second in 0..20 {
            nodes.step(now(second), Input::Beat(key.clone()), &mut out);
            counts.push(series.sample(now(second), &nodes).len());
        }
        // The rhythm is known after some beats; then one sample for a minute.
        assert_eq!(counts.iter().sum::<usize>(), 1, "{counts:?}");
        assert!(!series.suspects(&key) && !series.changed());
        let late: Vec<_> = (20..26).flat_map(|s| series.sample(now(s), &nodes)).collect();
        assert_eq!(late.len(), 4 + 1, "{late:?}");
        assert!(late.last().is_some_and(|sample| sample.value > SUSPECT));
        let labels = r#"watchkeeper_node_phi{ensemble="e", group="g", node="a"}"#;
        assert_eq!(late[0].labels.to_string(), labels);
        assert!(series.suspects(&key) && series.changed());
        nodes.step(now(26), Input::SightLost, &mut out);
        let stale = series.sample(now(26), &nodes);
        assert!(stale.len() == 1 && wk_promql::is_stale(stale[0].value));
        assert!(!series.suspects(&key) && series.changed());
    }
}

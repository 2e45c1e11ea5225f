//! Our own series: what the detectors and the ledger know, as samples for the rules.
//!
//! A node's series is stale while nobody can say whether it lives: not seen, never alive, left.

use std::collections::{BTreeMap, BTreeSet};

use wk_alert::node::{NodeKey, NodeRecord, NodeState, Nodes};
use wk_promql::{Labels, STALE, Sample};

/// Values that do not change are sampled anew this often, well within the rules' lookback.
const REFRESH_MS: i64 = 60_000;

/// The series of one ensemble's nodes and groups.
#[derive(Debug)]
pub(crate) struct NodeSeries {
    ensemble: String,
    site: Option<String>,
    /// Each node's series and its last value; only those that are not stale.
    nodes: BTreeMap<NodeKey, (Labels, f64)>,
    groups: BTreeMap<Labels, f64>,
    was_clear: bool,
    refreshed: i64,
    /// The latest instant that was sampled.
    sampled: i64,
}

impl NodeSeries {
    pub(crate) fn new(ensemble: &str, site: Option<&str>) -> Self {
        Self {
            ensemble: ensemble.to_owned(),
            site: site.map(str::to_owned),
            nodes: BTreeMap::new(),
            groups: BTreeMap::new(),
            was_clear: false,
            refreshed: i64::MIN,
            sampled: i64::MIN,
        }
    }

    /// The instant under which to sample now: a series has one value at a time, and its time only
    /// goes on, whatever the clock does within the bounds that are borne.
    pub(crate) fn instant(&mut self, now: i64) -> i64 {
        self.sampled = now.max(self.sampled.saturating_add(1));
        self.sampled
    }

    /// Forgets what was sampled: the window that had it is gone.
    pub(crate) fn restart(&mut self) {
        (self.refreshed, self.sampled) = (i64::MIN, i64::MIN);
    }

    /// Whether there is something to sample though nothing changed.
    pub(crate) fn is_due(&self, at: i64) -> bool {
        at.saturating_sub(self.refreshed) >= REFRESH_MS
    }

    /// The samples of what changed at `at` (milliseconds since 1970). `changed`: the nodes whose
    /// record changed since the last call; `minimum`: how many of a group have to live.
    pub(crate) fn sample(
        &mut self,
        at: i64,
        nodes: &Nodes,
        changed: &BTreeSet<NodeKey>,
        minimum: &dyn Fn(&str) -> Option<u32>,
    ) -> Vec<Sample> {
        let refresh = self.is_due(at);
        let clear = nodes.is_clear();
        let mut samples = Vec::new();
        if refresh || clear != self.was_clear {
            let known = self.nodes.keys().filter(|key| !nodes.records().contains_key(*key));
            let keys: Vec<NodeKey> = known.chain(nodes.records().keys()).cloned().collect();
            for key in &keys {
                self.node(at, key, alive(nodes, key), refresh, &mut samples);
            }
        } else {
            for key in changed {
                self.node(at, key, alive(nodes, key), refresh, &mut samples);
            }
        }
        let groups = if clear { self.counts(nodes, minimum) } else { BTreeMap::new() };
        for (labels, value) in &groups {
            if refresh || self.groups.get(labels).is_none_or(|old| !same(*old, *value)) {
                samples.push(Sample { labels: labels.clone(), at, value: *value });
            }
        }
        for labels in self.groups.keys().filter(|labels| !groups.contains_key(*labels)) {
            samples.push(Sample { labels: labels.clone(), at, value: STALE });
        }
        self.groups = groups;
        self.was_clear = clear;
        if refresh {
            self.refreshed = at;
        }
        samples
    }

    fn node(
        &mut self,
        at: i64,
        key: &NodeKey,
        alive: Option<f64>,
        refresh: bool,
        samples: &mut Vec<Sample>,
    ) {
        match (alive, self.nodes.get_mut(key)) {
            (Some(value), Some((labels, old))) => {
                if refresh || !same(*old, value) {
                    *old = value;
                    samples.push(Sample { labels: labels.clone(), at, value });
                }
            }
            (Some(value), None) => {
                let group = key.group.as_deref().unwrap_or_default();
                let labels = self.labels("watchkeeper_node_alive", group, &key.id);
                self.nodes.insert(key.clone(), (labels.clone(), value));
                samples.push(Sample { labels, at, value });
            }
            (None, Some(_)) => {
                if let Some((labels, _)) = self.nodes.remove(key) {
                    samples.push(Sample { labels, at, value: STALE });
                }
            }
            (None, None) => (),
        }
    }

    fn counts(
        &self,
        nodes: &Nodes,
        minimum: &dyn Fn(&str) -> Option<u32>,
    ) -> BTreeMap<Labels, f64> {
        let mut groups: BTreeMap<&str, u32> = BTreeMap::new();
        for (key, record) in nodes.records() {
            if let Some(group) = &key.group {
                *groups.entry(group).or_default() += u32::from(lives(record) == Some(true));
            }
        }
        let mut counts = BTreeMap::new();
        for (group, alive) in groups {
            let name = |metric| self.labels(metric, group, "");
            counts.insert(name("watchkeeper_group_alive"), f64::from(alive));
            if let Some(minimum) = minimum(group) {
                counts.insert(name("watchkeeper_group_minimum"), f64::from(minimum));
            }
        }
        counts
    }

    fn labels(&self, metric: &str, group: &str, node: &str) -> Labels {
        let site = self.site.as_deref().unwrap_or_default();
        let labels = [
            ("ensemble", self.ensemble.as_str()),
            ("site", site),
            ("group", group),
            ("node", node),
        ];
        Labels::metric(metric, labels)
    }
}

fn alive(nodes: &Nodes, key: &NodeKey) -> Option<f64> {
    let record = nodes.records().get(key).filter(|_| nodes.is_clear());
    record.and_then(lives).map(|lives| f64::from(u8::from(lives)))
}

/// Whether it lives, if that is a question.
fn lives(record: &NodeRecord) -> Option<bool> {
    match record.state {
        NodeState::Up => Some(true),
        NodeState::Down => Some(false),
        NodeState::Starting | NodeState::Left => None,
    }
}

fn same(old: f64, new: f64) -> bool {
    old.to_bits() == new.to_bits()
}

#[cfg(test)]
mod tests {
    use wk_alert::Now;
    use wk_alert::node::{Alive, Input, NodePolicy, Observation, Output};
    use wk_proto::ids::{SessionId, Zxid};

    use super::*;

    struct Bench {
        nodes: Nodes,
        series: NodeSeries,
        at: i64,
    }

    impl Bench {
        /// What is sampled after `input`, a second later: name, labels without the ensemble, value.
        fn step(&mut self, input: Input) -> Vec<String> {
            let mut out = Output::default();
            self.nodes.step(Now::default(), input, &mut out);
            self.at += 1000;
            let changed = out.changed.into_iter().collect();
            let minimum = |group: &str| (group == "g").then_some(2);
            let samples = self.series.sample(self.at, &self.nodes, &changed, &minimum);
            let show = |sample: &Sample| {
                let (group, node) = (sample.labels.get("group"), sample.labels.get("node"));
                let name = sample.labels.name().trim_start_matches("watchkeeper_");
                format!("{name} {group}/{node} {}", sample.value)
            };
            samples.iter().map(show).collect()
        }
    }

    fn key(id: &str) -> NodeKey {
        NodeKey { group: Some("g".into()), id: id.into() }
    }

    fn up() -> Observation {
        let alive = Some(Alive { owner: SessionId(7), czxid: Zxid(1) });
        Observation { alive, had_children: true, ..Observation::default() }
    }

    #[test]
    fn a_node_that_cannot_be_judged_has_no_series() {
        let nodes = Nodes::new("e", NodePolicy::default(), BTreeMap::new(), Now::default());
        let mut bench = Bench { nodes, series: NodeSeries::new("e", None), at: 1_000_000 };
        let gone = Observation { had_children: true, ..Observation::default() };
        let waiting = Observation::default();
        let all = vec![(key("a"), up()), (key("b"), gone.clone()), (key("c"), waiting)];
        let own_session = SessionId(1);
        let first = bench.step(Input::Registry { own_session, nodes: all });
        let groups = ["group_alive g/ 1", "group_minimum g/ 2"];
        assert_eq!(first, [&["node_alive g/a 1", "node_alive g/b 0"][..], &groups].concat());
        assert_eq!(bench.step(Input::Tick), Vec::<String>::new(), "nothing new");
        let down = bench.step(Input::Node(key("a"), gone));
        assert_eq!(down, ["node_alive g/a 0", "group_alive g/ 0"]);
        let lost = bench.step(Input::SightLost);
        let stale = ["node_alive g/a NaN", "node_alive g/b NaN"];
        assert_eq!(lost, [&stale[..], &["group_alive g/ NaN", "group_minimum g/ NaN"]].concat());
        let back = bench.step(Input::Registry { own_session, nodes: vec![(key("a"), up())] });
        assert_eq!(back, [&["node_alive g/a 1"][..], &groups].concat());
        assert_eq!(bench.step(Input::Gone(key("a"))).len(), 3, "the node and its group end");
        bench.step(Input::Registry { own_session, nodes: vec![(key("a"), up())] });
        bench.at += REFRESH_MS;
        assert_eq!(bench.step(Input::Tick).len(), 3, "sampled anew before the lookback ends");
    }
}

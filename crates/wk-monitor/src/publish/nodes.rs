//! The nodes of one ensemble in words: worded anew only where something changed, since a picture is
//! drawn several times a second and there may be ten thousand of them.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use wk_alert::node::{NodeKey, NodeRecord, Nodes};
use wk_alert::{Incident, Scope, Silence};

use crate::phi::PhiSeries;
use crate::text::Lang;
use crate::view::{Group, Node, NodeState};

/// The open incidents about nodes that are down, by group and id.
pub(super) type OpenNodes<'i> = BTreeMap<(Option<&'i str>, &'i str), &'i Incident>;

/// The nodes of one ensemble as they were last shown.
#[derive(Debug, Default)]
pub(crate) struct NodePictures {
    /// In the order of their keys.
    drawn: Vec<(NodeKey, Arc<Node>)>,
    /// Those whose record is another one since then.
    changed: BTreeSet<NodeKey>,
}

impl NodePictures {
    /// The record of a node changed.
    pub(crate) fn change(&mut self, key: &NodeKey) {
        self.changed.insert(key.clone());
    }

    /// All nodes as they are now.
    pub(super) fn draw(
        &mut self,
        nodes: &Nodes,
        phis: &PhiSeries,
        open: &OpenNodes<'_>,
        silences: &[&Silence],
        lang: Lang,
    ) -> Vec<Arc<Node>> {
        let changed = std::mem::take(&mut self.changed);
        let mut before = std::mem::take(&mut self.drawn).into_iter().peekable();
        for (key, record) in nodes.records() {
            while before.next_if(|(old, _)| old < key).is_some() {}
            let drawn = before.next_if(|(old, _)| old == key);
            let name = (key.group.as_deref(), key.id.as_str());
            let incident = if open.is_empty() { None } else { open.get(&name).copied() };
            let now = Standing::of(nodes, phis, (key, record), incident, silences);
            let same = drawn.filter(|(key, old)| !changed.contains(key) && now.is_that_of(old));
            self.drawn.push(same.unwrap_or_else(|| {
                let node = now.picture(nodes.path(key), (key, record), lang);
                (key.clone(), Arc::new(node))
            }));
        }
        self.drawn.iter().map(|(_, node)| Arc::clone(node)).collect()
    }
}

/// What of a node may change without its record.
struct Standing<'i> {
    state: NodeState,
    since: wk_proto::ids::Wall,
    incident: Option<&'i str>,
}

impl<'i> Standing<'i> {
    fn of(
        nodes: &Nodes,
        phis: &PhiSeries,
        (key, record): (&NodeKey, &NodeRecord),
        incident: Option<&'i Incident>,
        silences: &[&Silence],
    ) -> Self {
        let id = incident.map(|incident| incident.id.0.as_str());
        if !nodes.is_clear() {
            // What cannot be seen is unknown, since the sight was lost.
            let since = nodes.clear_since().wall;
            return Self { state: NodeState::Unknown, since, incident: id };
        }
        let mut state = NodeState::from(record.state);
        if state == NodeState::Up && phis.suspects(key) {
            state = NodeState::Suspect;
        } else if state == NodeState::Down && is_maintained(incident, silences) {
            state = NodeState::Maintenance;
        }
        Self { state, since: record.since, incident: id }
    }

    fn is_that_of(&self, drawn: &Node) -> bool {
        drawn.state == self.state
            && drawn.since == self.since.into()
            && drawn.incident.as_deref() == self.incident
    }

    fn picture(&self, path: String, (key, record): (&NodeKey, &NodeRecord), lang: Lang) -> Node {
        Node {
            group: key.group.clone(),
            id: key.id.clone(),
            path,
            state: self.state,
            since: self.since.into(),
            session: record.alive.map(|alive| alive.owner.to_string()),
            metadata: metadata(&record.data),
            evidence: record.facts.iter().map(|fact| lang.fact(fact)).collect(),
            incident: self.incident.map(str::to_owned),
        }
    }
}

/// Whether a maintenance in force speaks for what is open about a node.
fn is_maintained(incident: Option<&Incident>, silences: &[&Silence]) -> bool {
    let Some(incident) = incident else { return false };
    silences.iter().any(|silence| {
        matches!(silence.scope, Scope::Maintenance { .. }) && silence.scope.covers(incident)
    })
}

fn metadata(data: &[u8]) -> serde_json::Value {
    if data.is_empty() {
        return serde_json::Value::Null;
    }
    let text = || serde_json::Value::String(String::from_utf8_lossy(data).into_owned());
    serde_json::from_slice(data).unwrap_or_else(|_| text())
}

/// How many of each group are in which state.
pub(super) fn groups(nodes: &[Arc<Node>]) -> Vec<Group> {
    let mut groups: BTreeMap<Option<&str>, Group> = BTreeMap::new();
    for node in nodes {
        let group = groups.entry(node.group.as_deref()).or_insert_with(|| Group {
            name: node.group.clone(),
            starting: 0,
            up: 0,
            down: 0,
            left: 0,
            suspect: 0,
            unknown: 0,
            maintenance: 0,
        });
        *match node.state {
            NodeState::Starting => &mut group.starting,
            NodeState::Up => &mut group.up,
            NodeState::Down => &mut group.down,
            NodeState::Left => &mut group.left,
            NodeState::Suspect => &mut group.suspect,
            NodeState::Unknown => &mut group.unknown,
            NodeState::Maintenance => &mut group.maintenance,
        } += 1;
    }
    groups.into_values().collect()
}

#[cfg(test)]
mod tests {
    use wk_alert::node::{Alive, Input, NodePolicy, Observation, Output};
    use wk_alert::{Now, Subject};
    use wk_proto::ids::{SessionId, Wall, Zxid};

    use super::*;

    struct Bench {
        nodes: Nodes,
        phis: PhiSeries,
        pictures: NodePictures,
        now: Now,
    }

    impl Bench {
        fn step(&mut self, input: Input) {
            let mut out = Output::default();
            self.now.wall = Wall(self.now.wall.0 + 1000);
            self.nodes.step(self.now, input, &mut out);
            out.changed.iter().for_each(|key| self.pictures.change(key));
        }

        fn draw(&mut self, open: &OpenNodes<'_>) -> Vec<Arc<Node>> {
            self.pictures.draw(&self.nodes, &self.phis, open, &[], Lang::En)
        }
    }

    fn seen(id: &str, data: &[u8]) -> (NodeKey, Observation) {
        let alive = Some(Alive { owner: SessionId(7), czxid: Zxid(1) });
        let key = NodeKey { group: Some("g".into()), id: id.into() };
        let data = data.to_vec();
        (key, Observation { alive, had_children: true, data, ..Observation::default() })
    }

    #[test]
    fn only_what_changed_is_worded_anew() {
        let nodes = Nodes::new("e", NodePolicy::default(), BTreeMap::new(), Now::default());
        let (phis, pictures) = (PhiSeries::new("e", None), NodePictures::default());
        let mut bench = Bench { nodes, phis, pictures, now: Now::default() };
        let none = OpenNodes::new();
        let nodes = ["a", "b", "c"].map(|id| seen(id, b"1")).into();
        bench.step(Input::Registry { own_session: SessionId(1), nodes });
        let first = bench.draw(&none);
        let same = |one: &[Arc<Node>], other: &[Arc<Node>]| -> Vec<bool> {
            one.iter().zip(other).map(|(one, other)| Arc::ptr_eq(one, other)).collect()
        };
        assert_eq!(same(&first, &bench.draw(&none)), [true; 3]);

        let (key, observation) = seen("b", b"2");
        bench.step(Input::Node(key, observation));
        let second = bench.draw(&none);
        assert_eq!(same(&first, &second), [true, false, true]);
        assert_eq!((&first[1].metadata, &second[1].metadata), (&1.into(), &2.into()));

        // An incident that opens changes no record.
        let mut ledger = wk_alert::Ledger::restore(
            wk_alert::Policy::default(),
            wk_alert::Saved::default(),
            bench.now,
        );
        let subject = Subject {
            group: Some("g".into()),
            node: Some("c".into()),
            ..Subject::ensemble("NodeDown", "e")
        };
        let severity = wk_alert::Severity::Warning;
        ledger.find(bench.now, wk_alert::Finding::firing(subject.clone(), severity, vec![]));
        let incident = ledger.open(&subject).unwrap();
        let open = OpenNodes::from([((Some("g"), "c"), incident)]);
        let third = bench.draw(&open);
        assert_eq!(same(&second, &third), [true, true, false]);
        assert_eq!(third[2].incident.as_deref(), Some(incident.id.0.as_str()));

        bench.step(Input::Gone(seen("a", b"").0));
        let fourth = bench.draw(&none);
        assert_eq!(fourth.len(), 2);
        assert!(Arc::ptr_eq(&second[1], &fourth[0]));
        bench.step(Input::SightLost);
        let lost = bench.draw(&none);
        assert!(lost.iter().all(|node| node.state == NodeState::Unknown));
        assert_eq!(groups(&lost)[0].unknown, 2);
    }
}

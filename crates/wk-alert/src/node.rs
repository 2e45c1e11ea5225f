//! The registry `/nodes`: what was read there goes in, which node is up, down or left comes out.
//!
//! A node is a persistent znode with an ephemeral child `alive`. The shell reads and watches; this
//! judges. Two rules stand above all: liveness is never taken from the monitor's own session, and
//! while the monitor cannot see, nobody is down ([`Nodes`] turns blind as a whole, one incident).

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::Duration;

use wk_proto::ids::{Mono, SessionId, Wall, Zxid};

use crate::Now;
use crate::beat::Heartbeats;
use crate::fact::{Fact, FactKind};
use crate::finding::{Finding, Severity, Subject};

/// A registered node's `alive` is gone and it did not leave on purpose.
pub const NODE_DOWN: &str = "NodeDown";
/// The monitor cannot see the registry although servers answer.
pub const VIEW_LOST: &str = "NodeViewLost";

/// Names a node: `/nodes/ID` or `/nodes/GROUP/ID`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct NodeKey {
    /// Its group, if it has one.
    pub group: Option<String>,
    /// Its id.
    pub id: String,
}

impl NodeKey {
    /// Its path.
    pub fn path(&self) -> String {
        match &self.group {
            Some(group) => format!("/nodes/{group}/{}", self.id),
            None => format!("/nodes/{}", self.id),
        }
    }
}

/// The `alive` child as it was read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Alive {
    /// The session that holds it; none if it is not ephemeral.
    pub owner: SessionId,
    /// Its creation; tells one life from the next.
    pub czxid: Zxid,
}

/// A node as it was read.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Observation {
    /// If its data says that it is leaving: when that was written.
    pub leaving: Option<Zxid>,
    /// Whether it ever had a child.
    pub had_children: bool,
    /// Its `alive`; in a flat registry, its own ephemeral znode.
    pub alive: Option<Alive>,
    /// The configuration says that it must be there.
    pub expected: bool,
    /// Its data, as it is shown.
    pub data: Vec<u8>,
}

/// How a node stands, as far as it could last be seen.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum NodeState {
    /// Registered, never alive.
    Starting,
    /// Its `alive` is there.
    Up,
    /// Its `alive` is gone and it did not leave on purpose.
    Down,
    /// It left on purpose.
    Left,
}

/// What is kept of a node, over restarts too.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NodeRecord {
    /// How it stands.
    pub state: NodeState,
    /// Since when.
    pub since: Wall,
    /// Its `alive`, or the last one if that is gone.
    pub alive: Option<Alive>,
    /// Its data.
    pub data: Vec<u8>,
    /// Why it is in this state.
    pub facts: Vec<Fact>,
}

/// What happened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Input {
    /// The whole registry was read anew after the session was connected: sight is clear.
    Registry {
        /// The monitor's own session, which proves nobody's life.
        own_session: SessionId,
        /// All nodes.
        nodes: Vec<(NodeKey, Observation)>,
    },
    /// One node was read anew.
    Node(NodeKey, Observation),
    /// One node's application gave a sign of life.
    Beat(NodeKey),
    /// One node is not registered any more.
    Gone(NodeKey),
    /// The server saw a session end.
    SessionEnded {
        /// Which.
        session: SessionId,
        /// Its client closed it; otherwise it expired.
        closed: bool,
    },
    /// The monitor's own session is disconnected, or its picture has a gap.
    SightLost,
    /// The monitor may not read this path of the registry.
    Denied(String),
    /// The monitor itself did not run for a while: nobody's beat is late because of that.
    Woke,
    /// Whether the servers' own incidents explain that nothing can be seen.
    Explained(bool),
    /// Time has passed.
    Tick,
}

/// Thresholds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NodePolicy {
    /// Whether somebody reports session ends (the server inside `up`).
    pub session_ends: bool,
    /// How long to wait for such a report. Default 1 s.
    pub end_wait: Duration,
    /// Blind for so long is an incident. Default 10 s.
    pub blind_for: Duration,
    /// How many session ends to remember. Default 10 000.
    pub ends_max: usize,
    /// Flat registries elsewhere than under `/nodes`, with their path: `/brokers/ids/*`. Their
    /// nodes are in the group of that name; where the path has two stars, in one such group for
    /// each part that the first stands for: `dubbo:PART`.
    pub flat: BTreeMap<String, String>,
}

impl Default for NodePolicy {
    fn default() -> Self {
        Self {
            session_ends: false,
            end_wait: Duration::from_secs(1),
            blind_for: Duration::from_secs(10),
            ends_max: 10_000,
            flat: BTreeMap::new(),
        }
    }
}

/// What a step brought about.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Output {
    /// Changed judgements.
    pub findings: Vec<Finding>,
    /// Nodes whose record changed or is gone.
    pub changed: Vec<NodeKey>,
}

/// Judges the nodes of one ensemble.
#[derive(Clone, Debug)]
pub struct Nodes {
    ensemble: String,
    policy: NodePolicy,
    records: BTreeMap<NodeKey, NodeRecord>,
    own_session: SessionId,
    /// Set while the picture is complete and current.
    clear: bool,
    clear_since: Now,
    /// Whether the blindness has been said.
    blind_said: bool,
    explained: bool,
    /// The path that the monitor may not read, if that is why it is blind.
    denied: Option<String>,
    beats: Heartbeats,
    /// Whether there was a picture in this run: before the first, records are from the store.
    looked: bool,
    /// Nodes whose `alive` went and whose session's end may still be reported; with the deadline.
    waiting: BTreeMap<NodeKey, (Mono, Observation)>,
    /// Session ends, oldest first; true = closed by its client.
    ends: VecDeque<(SessionId, bool)>,
}

impl Nodes {
    /// A detector that starts from stored records, blind until the first look.
    pub fn new(
        ensemble: &str,
        policy: NodePolicy,
        records: BTreeMap<NodeKey, NodeRecord>,
        now: Now,
    ) -> Self {
        Self {
            ensemble: ensemble.to_owned(),
            policy,
            records,
            own_session: SessionId::NONE,
            clear: false,
            clear_since: now,
            blind_said: false,
            explained: false,
            denied: None,
            beats: Heartbeats::default(),
            looked: false,
            waiting: BTreeMap::new(),
            ends: VecDeque::new(),
        }
    }

    /// All nodes, as last seen.
    pub fn records(&self) -> &BTreeMap<NodeKey, NodeRecord> {
        &self.records
    }

    /// The path of a node.
    pub fn path(&self, key: &NodeKey) -> String {
        let Some((pattern, part)) = self.flat(key) else { return key.path() };
        match part {
            Some(part) => pattern.replacen('*', part, 1).replacen('*', &key.id, 1),
            None => pattern.replacen('*', &key.id, 1),
        }
    }

    /// The path of the flat registry that a node is in, and what its first star stands for.
    fn flat<'k>(&self, key: &'k NodeKey) -> Option<(&str, Option<&'k str>)> {
        let group = key.group.as_deref()?;
        let (name, part) = group.split_once(':').map_or((group, None), |(n, p)| (n, Some(p)));
        Some((self.policy.flat.get(name)?, part))
    }

    /// The nodes whose applications beat, each with its phi; none while the picture is not clear.
    pub fn phis(&self, now: Mono) -> Vec<(&NodeKey, f64)> {
        if self.clear { self.beats.phis(now) } else { Vec::new() }
    }

    /// Whether the picture is complete and current; if not, every node's state is unknown.
    pub fn is_clear(&self) -> bool {
        self.clear
    }

    /// Since when it is or is not.
    pub fn clear_since(&self) -> Now {
        self.clear_since
    }

    /// When [`Input::Tick`] is due.
    pub fn next_timeout(&self) -> Mono {
        let blind = self.clear_since.mono.after(self.policy.blind_for);
        let quiet = self.clear || self.blind_said || self.explained;
        let blind = if quiet { Mono::NEVER } else { blind };
        let wait = self.waiting.values().map(|(deadline, _)| *deadline).min();
        wait.unwrap_or(Mono::NEVER).min(blind)
    }

    /// Advances the judgement; appends what changed to `out`.
    pub fn step(&mut self, now: Now, input: Input, out: &mut Output) {
        match input {
            Input::Registry { own_session, nodes } => self.registry(now, own_session, nodes, out),
            Input::Node(key, seen) if self.clear => self.judge(now, key, seen, out),
            Input::Gone(key) if self.clear => self.forget(key, out),
            // A read that overtook the loss of sight: the next full look brings it again.
            Input::Node(..) | Input::Gone(_) => (),
            Input::Beat(key) => {
                let lives = |record: &NodeRecord| record.state == NodeState::Up;
                if self.clear && self.records.get(&key).is_some_and(lives) {
                    self.beats.beat(now.mono, &key);
                }
            }
            Input::Denied(path) => {
                self.denied = Some(path);
                self.lose_sight(now, out);
            }
            Input::Woke => self.beats.excuse(now.mono),
            Input::SessionEnded { session, closed } => {
                if self.ends.len() == self.policy.ends_max {
                    self.ends.pop_front();
                }
                self.ends.push_back((session, closed));
                self.settle(now, out);
            }
            Input::SightLost => self.lose_sight(now, out),
            Input::Explained(explained) => self.explained = explained,
            Input::Tick => self.settle(now, out),
        }
        self.say_blind(now, out);
    }

    fn registry(
        &mut self,
        now: Now,
        own_session: SessionId,
        nodes: Vec<(NodeKey, Observation)>,
        out: &mut Output,
    ) {
        self.own_session = own_session;
        self.denied = None;
        if !self.clear {
            self.clear = true;
            self.clear_since = now;
            self.beats.excuse(now.mono);
        }
        let fact = Fact::new(FactKind::SightBack, [self.ensemble.clone()]);
        let subject = Subject::ensemble(VIEW_LOST, &self.ensemble);
        out.findings.push(Finding::Gone { subject, facts: vec![fact] });
        self.blind_said = false;
        let mut stale: BTreeSet<NodeKey> = self.records.keys().cloned().collect();
        for (key, seen) in nodes {
            stale.remove(&key);
            self.judge(now, key, seen, out);
        }
        for key in stale {
            self.forget(key, out);
        }
        self.looked = true;
    }

    fn forget(&mut self, key: NodeKey, out: &mut Output) {
        self.waiting.remove(&key);
        self.beats.forget(&key);
        if self.records.remove(&key).is_some() {
            let facts = vec![Fact::new(FactKind::Deregistered, [self.path(&key)])];
            out.findings.push(Finding::Gone { subject: self.subject(&key), facts });
            out.changed.push(key);
        }
    }

    fn lose_sight(&mut self, now: Now, out: &mut Output) {
        if !self.clear {
            return;
        }
        self.clear = false;
        self.clear_since = now;
        // Whoever was being waited for is judged by the next look.
        self.waiting.clear();
        let fact = Fact::new(FactKind::SightLost, [self.ensemble.clone()]);
        for (key, record) in &self.records {
            if record.state == NodeState::Down {
                let facts = vec![fact.clone()];
                out.findings.push(Finding::Unseen { subject: self.subject(key), facts });
            }
        }
    }

    fn say_blind(&mut self, now: Now, out: &mut Output) {
        let due = self.clear_since.mono.after(self.policy.blind_for) <= now.mono;
        if self.clear || self.blind_said || !due {
            return;
        }
        // While it is explained this is asked again at every step: once is enough when it is not.
        if !self.explained {
            self.blind_said = true;
            let subject = Subject::ensemble(VIEW_LOST, &self.ensemble);
            let why = match &self.denied {
                Some(path) => Fact::new(FactKind::ReadDenied, [path.clone()]),
                None => Fact::new(FactKind::SightLost, [self.ensemble.clone()]),
            };
            let facts = vec![why];
            out.findings.push(Finding::firing(subject, Severity::Warning, facts));
        }
    }

    /// Judges who was waiting for news of his session: by the news, or because none came.
    fn settle(&mut self, now: Now, out: &mut Output) {
        let ready: Vec<NodeKey> = self
            .waiting
            .iter()
            .filter(|(key, (deadline, _))| *deadline <= now.mono || self.end_known(key))
            .map(|(key, _)| key.clone())
            .collect();
        for key in ready {
            if let Some((_, seen)) = self.waiting.remove(&key) {
                let record = self.absent(now, &key, seen, Patience::Over);
                if let Some(record) = record {
                    self.enter(now, key, record, out);
                }
            }
        }
    }

    fn end_known(&self, key: &NodeKey) -> bool {
        let alive = self.records.get(key).and_then(|record| record.alive);
        alive.is_some_and(|alive| self.ended(alive.owner).is_some())
    }

    fn ended(&self, session: SessionId) -> Option<bool> {
        self.ends.iter().rev().find(|(id, _)| *id == session).map(|(_, closed)| *closed)
    }

    fn judge(&mut self, now: Now, key: NodeKey, seen: Observation, out: &mut Output) {
        let record = match self.valid(&seen) {
            Some(alive) => {
                self.waiting.remove(&key);
                let old = self.records.get(&key);
                let again = old.is_some_and(|old| {
                    old.state == NodeState::Up && old.alive == Some(alive) && old.data == seen.data
                });
                if again && self.looked {
                    return;
                }
                let args = [self.path(&key), alive.owner.to_string()];
                Some(NodeRecord {
                    state: NodeState::Up,
                    since: now.wall,
                    alive: Some(alive),
                    data: seen.data,
                    facts: vec![Fact::new(self.kind(&key, FactKind::AliveBack), args)],
                })
            }
            None => self.absent(now, &key, seen, Patience::Left),
        };
        if let Some(record) = record {
            self.enter(now, key, record, out);
        }
    }

    /// The `alive` of an observation if it proves a life.
    fn valid(&self, seen: &Observation) -> Option<Alive> {
        let own = self.own_session;
        seen.alive.filter(|alive| alive.owner != SessionId::NONE && alive.owner != own)
    }

    /// The record of a node that has no valid `alive`; none if its session's end is waited for.
    fn absent(
        &mut self,
        now: Now,
        key: &NodeKey,
        seen: Observation,
        patience: Patience,
    ) -> Option<NodeRecord> {
        let path = self.path(key);
        let old = self.records.get(key);
        let last = old.and_then(|old| old.alive);
        let mut record = NodeRecord {
            state: NodeState::Down,
            since: now.wall,
            alive: last,
            data: vec![],
            facts: vec![],
        };
        if let Some(alive) = seen.alive {
            record.facts.push(if alive.owner == SessionId::NONE {
                Fact::new(self.kind(key, FactKind::AliveNotEphemeral), [path.clone()])
            } else {
                let args = [path.clone(), alive.owner.to_string()];
                Fact::new(self.kind(key, FactKind::AliveForged), args)
            });
        }
        let was = old.map(|old| old.state);
        match (was, last) {
            // Already judged when it went: nothing new is known since.
            (Some(state @ (NodeState::Down | NodeState::Left)), _) => {
                record.state = state;
                if record.facts.is_empty() {
                    record.facts = old.map(|old| old.facts.clone()).unwrap_or_default();
                }
            }
            (Some(NodeState::Up), Some(alive)) => {
                let gone = [path.clone(), alive.owner.to_string()];
                record.facts.push(Fact::new(self.kind(key, FactKind::AliveGone), gone));
                let verdict = self.how_it_went(&path, alive, &seen, patience);
                let Some((state, fact)) = verdict else {
                    let deadline = now.mono.after(self.policy.end_wait);
                    self.waiting.entry(key.clone()).or_insert((deadline, seen));
                    return None;
                };
                record.state = state;
                record.facts.push(fact);
                if !self.looked {
                    let since = old.map_or(now.wall, |old| old.since);
                    let args = [path.clone(), since.0.to_string()];
                    record.facts.push(Fact::new(FactKind::DiedUnseen, args));
                }
            }
            _ if seen.leaving.is_some() && seen.had_children => {
                record.state = NodeState::Left;
                record.facts.push(Fact::new(FactKind::SaidLeaving, [path]));
            }
            _ if seen.expected && !seen.had_children && seen.alive.is_none() => {
                record.facts.push(Fact::new(FactKind::ExpectedMissing, [path]));
            }
            _ if seen.had_children && seen.alive.is_none() => {
                record.facts.push(Fact::new(FactKind::FoundDead, [path]));
            }
            _ => {
                record.state = NodeState::Starting;
                record.facts.push(Fact::new(FactKind::Registered, [path]));
            }
        }
        record.data = seen.data;
        Some(record)
    }

    /// Whether a node whose `alive` went left or is down; none while a report may still come.
    fn how_it_went(
        &self,
        path: &str,
        alive: Alive,
        seen: &Observation,
        patience: Patience,
    ) -> Option<(NodeState, Fact)> {
        let session = [alive.owner.to_string()];
        // Written during an earlier life, it was cancelled by the `alive` that came after it.
        if seen.leaving.is_some_and(|written| written > alive.czxid) {
            return Some((NodeState::Left, Fact::new(FactKind::SaidLeaving, [path.to_owned()])));
        }
        match self.ended(alive.owner) {
            Some(true) => Some((NodeState::Left, Fact::new(FactKind::SessionClosed, session))),
            Some(false) => Some((NodeState::Down, Fact::new(FactKind::SessionExpired, session))),
            None if !self.policy.session_ends || !self.looked => {
                Some((NodeState::Down, Fact::new(FactKind::CannotTell, session)))
            }
            None if patience == Patience::Over => {
                Some((NodeState::Down, Fact::new(FactKind::AliveDeleted, session)))
            }
            None => None,
        }
    }

    fn enter(&mut self, now: Now, key: NodeKey, mut record: NodeRecord, out: &mut Output) {
        let old = self.records.get(&key);
        if let Some(old) = old.filter(|old| old.state == record.state) {
            record.since = old.since;
        }
        // Another life has another rhythm.
        if record.state != NodeState::Up || old.is_some_and(|old| old.alive != record.alive) {
            self.beats.forget(&key);
        }
        // Said even if nothing changed: after a restart or a blindness the ledger must hear it.
        let subject = self.subject(&key);
        let facts = record.facts.clone();
        out.findings.push(match record.state {
            NodeState::Down => Finding::firing(subject, Severity::Warning, facts),
            NodeState::Up | NodeState::Left | NodeState::Starting => {
                Finding::Gone { subject, facts }
            }
        });
        if old != Some(&record) {
            out.changed.push(key.clone());
            self.records.insert(key, record);
        }
        debug_assert!(self.clear, "nobody is judged blind at {now:?}");
    }

    /// The same fact about a flat registry, where the node itself is the ephemeral znode.
    fn kind(&self, key: &NodeKey, nested: FactKind) -> FactKind {
        const FLAT: [(FactKind, FactKind); 4] = [
            (FactKind::AliveBack, FactKind::FlatBack),
            (FactKind::AliveGone, FactKind::FlatGone),
            (FactKind::AliveNotEphemeral, FactKind::FlatNotEphemeral),
            (FactKind::AliveForged, FactKind::FlatForged),
        ];
        let flat = FLAT.iter().find(|(of_nested, _)| *of_nested == nested);
        flat.filter(|_| self.flat(key).is_some()).map_or(nested, |(_, of_flat)| *of_flat)
    }

    fn subject(&self, key: &NodeKey) -> Subject {
        Subject {
            group: key.group.clone(),
            node: Some(key.id.clone()),
            ..Subject::ensemble(NODE_DOWN, &self.ensemble)
        }
    }
}

/// Whether the report of a session's end may still come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Patience {
    Left,
    Over,
}

#[cfg(test)]
#[path = "node_tests.rs"]
mod tests;

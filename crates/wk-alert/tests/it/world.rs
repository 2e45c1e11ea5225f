//! What is outside the monitor: servers, nodes and receivers, and a store that keeps what is
//! committed whatever happens.

use std::collections::{BTreeMap, BTreeSet};

use wk_alert::node::{Alive, NodeKey, NodeRecord, Observation};
use wk_alert::server::Probe;
use wk_alert::{
    Batch, EntryKey, FactKind, Fingerprint, Incident, IncidentId, Phase, Saved, Silence, SilenceId,
};
use wk_proto::ids::{SessionId, Zxid};

/// splitmix64: all randomness of a history comes from its seed.
pub(crate) struct Dice(pub(crate) u64);

impl Dice {
    pub(crate) fn roll(&mut self, sides: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut bits = self.0;
        bits = (bits ^ (bits >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        bits = (bits ^ (bits >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (bits ^ (bits >> 31)) % sides
    }

    pub(crate) fn one_in(&mut self, sides: u64) -> bool {
        self.roll(sides) == 0
    }
}

/// A node as it really is: the session it lives by, if it lives.
#[derive(Clone, Copy, Default)]
pub(crate) struct RealNode {
    pub(crate) alive: Option<Alive>,
    pub(crate) lived: bool,
}

impl RealNode {
    pub(crate) fn observation(self) -> Observation {
        Observation { had_children: self.lived, alive: self.alive, ..Observation::default() }
    }
}

/// What rules say, beside the detectors: each a rule, its server, and whose fault it may be.
pub(crate) const RULES: &[(&str, Option<&str>, &str)] = &[
    ("ZkNoLeader", None, ""),
    ("ZkCanaryFailing", None, ""),
    ("ZkServerNotServing", Some("s1"), ""),
    ("ZkElectionSlow", None, ""),
    ("ZkFsyncSlow", Some("s0"), ""),
    ("First", None, "Second"),
    ("Second", None, "First"),
    ("Third", None, "ZkNoLeader, First"),
];

/// The things that are watched.
pub(crate) struct World {
    pub(crate) nodes: Vec<RealNode>,
    pub(crate) servers: Vec<bool>,
    /// Which of [`RULES`] are broken.
    pub(crate) broken: Vec<bool>,
    next_zxid: i64,
}

impl World {
    pub(crate) fn new(nodes: usize, servers: usize) -> Self {
        let mut world = Self {
            nodes: vec![RealNode::default(); nodes],
            servers: vec![true; servers],
            broken: vec![false; RULES.len()],
            next_zxid: 1,
        };
        (0..nodes).for_each(|node| world.revive(node));
        world
    }

    pub(crate) fn revive(&mut self, node: usize) {
        self.next_zxid += 1;
        let alive = Alive { owner: SessionId(self.next_zxid << 8), czxid: Zxid(self.next_zxid) };
        self.nodes[node] = RealNode { alive: Some(alive), lived: true };
    }

    pub(crate) fn flip(&mut self, dice: &mut Dice) {
        if dice.one_in(2) {
            let rule = usize::try_from(dice.roll(RULES.len() as u64)).expect("small");
            self.broken[rule] = !self.broken[rule];
            return;
        }
        let faces = self.nodes.len() + self.servers.len();
        let face = usize::try_from(dice.roll(faces as u64)).expect("small");
        match face.checked_sub(self.nodes.len()) {
            Some(server) => self.servers[server] = !self.servers[server],
            None if self.nodes[face].alive.is_some() => self.nodes[face].alive = None,
            None => self.revive(face),
        }
    }

    pub(crate) fn probe(&self, server: usize) -> Probe {
        if self.servers[server] {
            Probe::Serving { mode: "follower".into() }
        } else {
            Probe::NoAnswer { reason: "refused".into() }
        }
    }
}

/// The names that world and monitor share.
pub(crate) fn node_key(node: usize) -> NodeKey {
    NodeKey { group: None, id: format!("n{node}") }
}

/// What survives a crash.
#[derive(Clone, Default)]
pub(crate) struct Store {
    incidents: BTreeMap<IncidentId, Incident>,
    entries: BTreeMap<EntryKey, wk_alert::Entry>,
    episodes: BTreeMap<Fingerprint, u64>,
    pub(crate) silences: BTreeMap<SilenceId, Silence>,
    /// Incidents of which nobody was told at some time.
    pub(crate) hushed: BTreeSet<IncidentId>,
    /// How often the history says that an incident was opened.
    pub(crate) opened: BTreeMap<String, u32>,
    pub(crate) records: BTreeMap<NodeKey, NodeRecord>,
}

impl Store {
    /// One transaction: all of the batch or, if the crash comes first, nothing.
    pub(crate) fn commit(&mut self, batch: &Batch, records: &BTreeMap<NodeKey, NodeRecord>) {
        apply(&mut self.incidents, &batch.incidents);
        apply(&mut self.entries, &batch.entries);
        apply(&mut self.silences, &batch.silences);
        self.episodes.extend(batch.episodes.clone());
        let hushed = batch.audit.iter().filter(|line| line.fact.kind == FactKind::Suppressed);
        self.hushed.extend(hushed.map(|line| IncidentId(line.about.clone())));
        for line in batch.audit.iter().filter(|line| line.fact.kind == FactKind::Opened) {
            *self.opened.entry(line.about.clone()).or_default() += 1;
        }
        self.records.clone_from(records);
    }

    pub(crate) fn forget_bundles(&mut self) {
        for entry in self.entries.values_mut() {
            (entry.bundle, entry.attempts) = (None, 0);
        }
    }

    pub(crate) fn saved(&self) -> Saved {
        Saved {
            incidents: self.incidents.values().cloned().collect(),
            entries: self.entries.values().cloned().collect(),
            episodes: self.episodes.clone(),
            silences: self.silences.values().cloned().collect(),
        }
    }
}

fn apply<K: Ord + Clone, V: Clone>(table: &mut BTreeMap<K, V>, changes: &BTreeMap<K, Option<V>>) {
    for (key, value) in changes {
        match value {
            Some(value) => table.insert(key.clone(), value.clone()),
            None => table.remove(key),
        };
    }
}

/// A receiver that keeps all that comes.
#[derive(Default)]
pub(crate) struct Receiver {
    /// What came under each `Idempotency-Key` the first time.
    seen: BTreeMap<String, Vec<IncidentId>>,
    /// What one acts on that knows a repeated key when it sees one, in order.
    pub(crate) first: Vec<(IncidentId, Phase)>,
    /// What one acts on that does not.
    pub(crate) raw: Vec<(IncidentId, Phase)>,
    /// Keys under which different things came.
    pub(crate) unstable: Vec<String>,
}

impl Receiver {
    pub(crate) fn take(&mut self, key: String, incidents: &[IncidentId], phase: Phase) {
        let news = || incidents.iter().map(|id| (id.clone(), phase));
        self.raw.extend(news());
        match self.seen.get(&key) {
            Some(before) if before == incidents => (),
            Some(_) => self.unstable.push(key),
            None => {
                self.first.extend(news());
                self.seen.insert(key, incidents.to_vec());
            }
        }
    }
}

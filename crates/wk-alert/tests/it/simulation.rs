//! One history: a world that breaks and heals, a monitor that crashes between any two of
//! detection, store, sending, answer and store again; then rest, and the books are checked.

use std::collections::BTreeMap;
use std::time::Duration;

use wk_alert::node::{self, NodePolicy, Nodes};
use wk_alert::server::{ServerDetector, ServerPolicy, UNREACHABLE};
use wk_alert::{
    Bundle, ChannelPolicy, IncidentId, Ledger, Now, Outcome, Phase, Policy, Rate, Subject,
};
use wk_proto::ids::{Mono, SessionId, Wall};

use crate::world::{Dice, Receiver, Store, World, node_key};

const NODES: usize = 3;
const SERVERS: usize = 2;
const CHANNELS: [&str; 2] = ["mail", "robot"];
const ENSEMBLE: &str = "e";

/// A rule that the driver breaks, to see that the checks notice.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Sabotage {
    None,
    /// Sends what is not stored yet.
    SendBeforeStore,
    /// Stores the answer of a message that it has not sent yet.
    AnswerBeforeSend,
    /// Stores incidents without their outbox entries.
    EntriesNotStored,
    /// Gives each try a key of its own.
    KeyPerTry,
}

/// The crash: everything in memory is gone.
struct Crash;

struct Monitor {
    servers: Vec<ServerDetector>,
    nodes: Nodes,
    ledger: Ledger,
}

struct Run {
    dice: Dice,
    now: Now,
    world: World,
    store: Store,
    monitor: Monitor,
    receivers: BTreeMap<&'static str, Receiver>,
    sabotage: Sabotage,
    /// While set, crashes, failures and faults happen.
    rough: bool,
    tries: u64,
}

/// Plays the history of `seed`; says what is wrong at its end.
pub(crate) fn run(seed: u64, sabotage: Sabotage) -> Result<(), String> {
    let now = Now { mono: Mono(0), wall: Wall(1_000_000) };
    let store = Store::default();
    let monitor = Monitor::start(&store, now);
    let mut run = Run {
        dice: Dice(seed),
        now,
        world: World::new(NODES, SERVERS),
        store,
        monitor,
        receivers: CHANNELS.iter().map(|name| (*name, Receiver::default())).collect(),
        sabotage,
        rough: true,
        tries: 0,
    };
    for _ in 0..60 {
        run.turn();
    }
    run.rough = false;
    for _ in 0..200 {
        run.turn();
    }
    run.check()
}

impl Monitor {
    fn start(store: &Store, now: Now) -> Self {
        let robot = Rate { count: 4, window: Duration::from_mins(1) };
        let mut channels: Vec<_> = CHANNELS.iter().map(|name| ChannelPolicy::new(name)).collect();
        channels[1].rate = Some(robot);
        let policy = Policy { channels, seed: 7, ..Policy::default() };
        let detector = |server: usize| {
            ServerDetector::new(ENSEMBLE, &format!("s{server}"), ServerPolicy::default(), now)
        };
        Self {
            servers: (0..SERVERS).map(detector).collect(),
            nodes: Nodes::new(ENSEMBLE, NodePolicy::default(), store.records.clone(), now),
            ledger: Ledger::restore(policy, store.saved(), now),
        }
    }
}

impl Run {
    fn turn(&mut self) {
        self.pass_time();
        if self.rough && self.dice.one_in(3) {
            let mut dice = Dice(self.dice.roll(u64::MAX));
            self.world.flip(&mut dice);
        }
        if self.step().is_err() {
            self.pass_time();
            self.monitor = Monitor::start(&self.store, self.now);
        }
    }

    fn pass_time(&mut self) {
        let millis = match self.dice.roll(20) {
            0 => 200_000,
            1..5 => 20_000,
            _ => 100 + self.dice.roll(2000),
        };
        self.now.mono = self.now.mono.after(Duration::from_millis(millis));
        self.now.wall.0 += i64::try_from(millis).expect("small");
    }

    /// A place where a crash may come.
    fn danger(&mut self) -> Result<(), Crash> {
        if self.rough && self.dice.one_in(12) { Err(Crash) } else { Ok(()) }
    }

    fn step(&mut self) -> Result<(), Crash> {
        self.look();
        self.danger()?;
        self.monitor.ledger.tick(self.now);
        // Answers bring the next entries; the world may stand still meanwhile.
        for _ in 0..3 {
            self.monitor.ledger.mark_due(self.now);
            self.danger()?;
            if self.sabotage == Sabotage::SendBeforeStore {
                self.send()?;
            }
            let mut batch = self.monitor.ledger.take_batch();
            if self.rough && self.dice.one_in(15) {
                self.monitor.ledger.commit_failed(batch);
                return Ok(());
            }
            if self.sabotage == Sabotage::EntriesNotStored {
                batch.entries.clear();
            }
            self.store.commit(&batch, self.monitor.nodes.records());
            self.danger()?;
            self.send()?;
        }
        Ok(())
    }

    fn look(&mut self) {
        let mut findings = Vec::new();
        for (index, detector) in self.monitor.servers.iter_mut().enumerate() {
            detector.step(self.now, &self.world.probe(index), &mut findings);
        }
        let mut out = node::Output::default();
        let input = match self.dice.roll(6) {
            0 if self.rough => node::Input::SightLost,
            1 => {
                let node = usize::try_from(self.dice.roll(NODES as u64)).expect("small");
                node::Input::Node(node_key(node), self.world.nodes[node].observation())
            }
            _ => {
                let seen = self.world.nodes.iter().enumerate();
                let nodes = seen.map(|(i, n)| (node_key(i), n.observation())).collect();
                node::Input::Registry { own_session: SessionId(1), nodes }
            }
        };
        self.monitor.nodes.step(self.now, input, &mut out);
        for finding in findings.into_iter().chain(out.findings) {
            self.monitor.ledger.find(self.now, finding);
        }
    }

    fn send(&mut self) -> Result<(), Crash> {
        for bundle in self.monitor.ledger.committed() {
            let key = bundle.key.clone();
            if self.sabotage == Sabotage::AnswerBeforeSend {
                self.monitor.ledger.answered(self.now, &key, Outcome::Confirmed);
                let batch = self.monitor.ledger.take_batch();
                self.store.commit(&batch, self.monitor.nodes.records());
            }
            self.danger()?;
            let lost = || Outcome::Retry { error: "lost".into(), after: None };
            let outcome = match self.dice.roll(4) {
                0 if self.rough => lost(),
                // Taken, but the answer did not come back.
                1 if self.rough => {
                    self.receive(&bundle);
                    lost()
                }
                _ => {
                    self.receive(&bundle);
                    Outcome::Confirmed
                }
            };
            self.danger()?;
            self.monitor.ledger.answered(self.now, &key, outcome);
        }
        Ok(())
    }

    fn receive(&mut self, bundle: &Bundle) {
        self.tries += 1;
        let key = &bundle.key;
        let mut name = key.to_string();
        if self.sabotage == Sabotage::KeyPerTry {
            name = format!("{name}/{}", self.tries);
        }
        let receiver = self.receivers.get_mut(key.channel.as_str()).expect("a known channel");
        receiver.take(name, &bundle.incidents, key.phase);
    }

    fn check(&self) -> Result<(), String> {
        for (name, receiver) in &self.receivers {
            let mut told: BTreeMap<&IncidentId, Vec<Phase>> = BTreeMap::new();
            for (incident, phase) in &receiver.first {
                told.entry(incident).or_default().push(*phase);
            }
            for (id, phases) in &told {
                if !self.monitor.ledger.incidents().contains_key(*id) {
                    return Err(format!("{name} was told of {id}, which is not kept"));
                }
                if phases.first() != Some(&Phase::Firing) || phases.len() > 2 {
                    return Err(format!("{name} was told of {id}: {phases:?}"));
                }
            }
            for (id, incident) in self.monitor.ledger.incidents() {
                let phases = told.get(id).map_or(&[][..], Vec::as_slice);
                let want: &[Phase] = if incident.is_open() {
                    &[Phase::Firing]
                } else {
                    &[Phase::Firing, Phase::Resolved]
                };
                if phases != want {
                    return Err(format!("{name} was told {phases:?} of {incident:?}"));
                }
            }
        }
        self.check_truth()
    }

    /// What is broken at the end has an open incident, and nothing else has.
    fn check_truth(&self) -> Result<(), String> {
        let nodes = self.world.nodes.iter().enumerate().map(|(index, node)| {
            let subject = Subject::ensemble(node::NODE_DOWN, ENSEMBLE);
            (Subject { node: Some(format!("n{index}")), ..subject }, node.alive.is_none())
        });
        let servers = self.world.servers.iter().enumerate().map(|(index, serves)| {
            (Subject::server(UNREACHABLE, ENSEMBLE, &format!("s{index}")), !serves)
        });
        for (subject, broken) in nodes.chain(servers) {
            let open = self.monitor.ledger.open(&subject).is_some();
            if open != broken {
                return Err(format!("{subject:?}: broken {broken}, incident open {open}"));
            }
        }
        Ok(())
    }
}

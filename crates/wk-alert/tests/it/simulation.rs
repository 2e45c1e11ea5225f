//! One history: a world that breaks and heals, a monitor that crashes between any two of
//! detection, store, sending, answer and store again; then rest, and the books are checked.

use std::collections::BTreeMap;
use std::time::Duration;

use wk_alert::node::{self, NodePolicy, Nodes};
use wk_alert::server::{ServerDetector, ServerPolicy, UNREACHABLE};
use wk_alert::{
    Bundle, ChannelPolicy, Detail, Figure, Finding, Incident, IncidentId, Ledger, Now, Outcome,
    Phase, Policy, Rate, Scope, Severity, SilenceId, Subject,
};
use wk_proto::ids::{Mono, SessionId, Wall};

use crate::world::{Dice, RULES, Receiver, Store, World, node_key};

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
    /// Forgets over a restart which incidents went in one message.
    BundlesNotStored,
    /// Stores incidents without their history.
    HistoryNotStored,
    /// Answers that a silence holds before it is stored, and does not store it.
    SilencesNotStored,
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
    /// Silences that somebody was told of as holding.
    promised: Vec<SilenceId>,
    /// The instant of the machine's clock at which this run of the monitor began.
    started: Duration,
    elapsed: Duration,
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
        promised: Vec::new(),
        started: Duration::ZERO,
        elapsed: Duration::ZERO,
    };
    for _ in 0..60 {
        run.turn();
    }
    run.rough = false;
    for _ in 0..70 {
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
            // A new run's clock begins anew.
            self.started = self.elapsed;
            self.now.mono = Mono(0);
            let mut store = self.store.clone();
            if self.sabotage == Sabotage::BundlesNotStored {
                store.forget_bundles();
            }
            self.monitor = Monitor::start(&store, self.now);
        }
    }

    fn pass_time(&mut self) {
        let millis = match (self.rough, self.dice.roll(20)) {
            (false, 0..8) | (true, 0) => 200_000,
            (_, 1..5) => 20_000,
            _ => 100 + self.dice.roll(2000),
        };
        self.elapsed += Duration::from_millis(millis);
        let run = self.elapsed.saturating_sub(self.started).as_nanos();
        self.now.mono = Mono(u64::try_from(run).expect("short"));
        self.now.wall.0 += i64::try_from(millis).expect("small");
        if self.rough && self.dice.one_in(25) {
            // Somebody sets the clock: by up to a day, either way.
            self.now.wall.0 += i64::try_from(self.dice.roll(172_800_000)).expect("small");
            self.now.wall.0 -= 86_400_000;
        }
    }

    /// A place where a crash may come.
    fn danger(&mut self) -> Result<(), Crash> {
        if self.rough && self.dice.one_in(12) { Err(Crash) } else { Ok(()) }
    }

    fn step(&mut self) -> Result<(), Crash> {
        self.look();
        let acted = if self.rough { self.people() } else { None };
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
            match self.sabotage {
                Sabotage::EntriesNotStored => batch.entries.clear(),
                Sabotage::HistoryNotStored => batch.audit.clear(),
                Sabotage::SilencesNotStored => batch.silences.clear(),
                Sabotage::None
                | Sabotage::SendBeforeStore
                | Sabotage::AnswerBeforeSend
                | Sabotage::KeyPerTry
                | Sabotage::BundlesNotStored => (),
            }
            self.store.commit(&batch, self.monitor.nodes.records());
            self.promised.extend(acted.clone());
            self.danger()?;
            self.send()?;
        }
        Ok(())
    }

    /// What people do: silences, maintenance, taking on, putting away. Says which silence is new.
    fn people(&mut self) -> Option<SilenceId> {
        let (now, ledger) = (self.now, &mut self.monitor.ledger);
        match self.dice.roll(24) {
            0 => {
                let names = ["rule=NodeDown", "rule=~Zk.*", "severity=critical", "node=~n[01]"];
                let name = names[usize::try_from(self.dice.roll(4)).expect("small")];
                let scope = Scope::parse(&[name.to_owned()]).expect("legal");
                let time = Duration::from_secs(1 + self.dice.roll(600));
                ledger.silence(now, scope, time, "ann", "").ok()
            }
            1 => {
                let server = self.dice.one_in(2).then(|| "s0".to_owned());
                let scope = Scope::Maintenance { ensemble: ENSEMBLE.into(), server };
                let time = Duration::from_secs(1 + self.dice.roll(600));
                ledger.silence(now, scope, time, "bob", "").ok()
            }
            2 => {
                let id = ledger.silences_in_force().next().map(|silence| silence.id.clone());
                id.map(|id| ledger.end_silence(now, &id, "ann"));
                None
            }
            3 | 4 => {
                let count = ledger.incidents().len().max(1) as u64;
                let pick = usize::try_from(self.dice.roll(count)).expect("small");
                if let Some(id) = ledger.incidents().keys().nth(pick).cloned() {
                    // Refused where it makes no sense.
                    let _ = ledger.acknowledge(now, &id, "ann");
                    let _ = ledger.close(now, &id, "ann");
                }
                None
            }
            _ => None,
        }
    }

    /// What the rules say.
    fn rules(&mut self, findings: &mut Vec<Finding>) {
        for (index, (_, _, inhibited_by)) in RULES.iter().enumerate() {
            let subject = rule_subject(index);
            let severity = if index % 2 == 0 { Severity::Critical } else { Severity::Warning };
            let mut detail = Detail::default();
            if !inhibited_by.is_empty() {
                detail.annotations.insert("inhibited_by".into(), (*inhibited_by).to_owned());
            }
            detail.value = Some(Figure(self.elapsed.as_secs_f64()));
            let roll = if self.rough { self.dice.roll(8) } else { 7 };
            let facts = vec![];
            findings.push(match (self.world.broken[index], roll) {
                (_, 0) => Finding::Unseen { subject, facts },
                (true, 1) => Finding::Pending { subject, severity, facts, detail },
                (true, _) => Finding::Firing { subject, severity, facts, detail },
                (false, _) => Finding::Gone { subject, facts },
            });
        }
    }

    fn look(&mut self) {
        let mut findings = Vec::new();
        for (index, detector) in self.monitor.servers.iter_mut().enumerate() {
            detector.step(self.now, &self.world.probe(index), &mut findings);
        }
        self.rules(&mut findings);
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
            if let Some(key) = receiver.unstable.first() {
                return Err(format!("{name} got different things under {key}"));
            }
            let told = by_incident(&receiver.first);
            let raw = by_incident(&receiver.raw);
            for (id, phases) in &told {
                if !self.monitor.ledger.incidents().contains_key(*id) {
                    return Err(format!("{name} was told of {id}, which is not kept"));
                }
                if phases.first() != Some(&Phase::Firing) || phases.len() > 2 {
                    return Err(format!("{name} was told of {id}: {phases:?}"));
                }
                // Whoever knows no keys hears some things twice; the last word is the truth too.
                if raw[id].last() != phases.last() || !raw[id].is_sorted() {
                    return Err(format!("{name} heard of {id}: {:?}", raw[id]));
                }
            }
            for (id, incident) in self.monitor.ledger.incidents() {
                let phases = told.get(id).map_or(&[][..], Vec::as_slice);
                self.check_told(name, incident, phases)?;
            }
        }
        self.check_history()?;
        self.check_truth()
    }

    fn check_told(&self, name: &str, incident: &Incident, told: &[Phase]) -> Result<(), String> {
        let was_hushed = self.store.hushed.contains(&incident.id);
        let is_silent = incident.suppressed.is_some();
        let fits = match (told, incident.is_open()) {
            // Nobody was told of it as long as it lasted.
            ([], false) => was_hushed,
            ([], true) => is_silent,
            ([Phase::Firing], open) => open,
            ([Phase::Firing, Phase::Resolved], open) => !open,
            _ => false,
        };
        if !fits {
            return Err(format!("{name} was told {told:?} of {incident:?}"));
        }
        // Nothing keeps silent for ever: whoever speaks for it is there, and speaks.
        let Some(suppressed) = &incident.suppressed else { return Ok(()) };
        let ledger = &self.monitor.ledger;
        let speaks = match ledger.incidents().get(&IncidentId(suppressed.by.clone())) {
            Some(cause) => cause.is_open(),
            None => ledger.silences_in_force().any(|silence| silence.id.0 == suppressed.by),
        };
        if speaks { Ok(()) } else { Err(format!("nobody speaks for {incident:?}")) }
    }

    fn check_history(&self) -> Result<(), String> {
        for id in self.monitor.ledger.incidents().keys() {
            let opened = self.store.opened.get(&id.0);
            if opened != Some(&1) {
                return Err(format!("the history says {opened:?} times that {id} was opened"));
            }
        }
        let kept = &self.store.silences;
        match self.promised.iter().find(|id| !kept.contains_key(id)) {
            Some(id) => Err(format!("{id} was promised and is not kept")),
            None => Ok(()),
        }
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
        let rules = self.world.broken.iter().enumerate();
        let rules = rules.map(|(index, broken)| (rule_subject(index), *broken));
        for (subject, broken) in nodes.chain(servers).chain(rules) {
            let open = self.monitor.ledger.open(&subject).is_some();
            if open != broken {
                return Err(format!("{subject:?}: broken {broken}, incident open {open}"));
            }
        }
        Ok(())
    }
}

/// What is told of each incident, in order.
fn by_incident(told: &[(IncidentId, Phase)]) -> BTreeMap<&IncidentId, Vec<Phase>> {
    let mut all: BTreeMap<&IncidentId, Vec<Phase>> = BTreeMap::new();
    for (incident, phase) in told {
        all.entry(incident).or_default().push(*phase);
    }
    all
}

fn rule_subject(index: usize) -> Subject {
    let (rule, server, _) = RULES[index];
    let instance = server.map(str::to_owned);
    Subject { instance, ..Subject::ensemble(rule, ENSEMBLE) }
}

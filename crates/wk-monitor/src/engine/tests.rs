//! The owner without its tasks: events in, what becomes of them out.

use std::time::Duration;

use wk_alert::FactKind::{AtMemberGone, LastServed, ProbeFailed};
use wk_alert::server::Probe;
use wk_alert::{IncidentState, Subject};
use wk_promql::{Labels, STALE, Sample};

use super::*;
use crate::probe::Report;

/// A look that lasted over a pause.
const LONG_LOOK: Duration = Duration::from_secs(61);

/// An owner whose time the test itself moves.
struct Bench {
    engine: Engine,
    now: Now,
    /// The last late beat of the pulse.
    late: Option<Mono>,
    _dir: tempfile::TempDir,
    _events: mpsc::Receiver<Event>,
}

impl Bench {
    /// Watches one ensemble `e`, found at `seeds`; nothing there answers.
    fn new(seeds: &[&str]) -> Self {
        Self::after(seeds, Kept::new())
    }

    /// The same, after an earlier run that kept this.
    fn after(seeds: &[&str], kept: Kept) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(&dir.path().join("monitor.redb")).unwrap();
        let config = Config {
            // The test says what probes see.
            probe_interval: Duration::from_hours(1),
            ..Config::new(dir.path().to_owned())
        };
        let (events, events_in) = mpsc::channel(64);
        let start = Start {
            saved: Saved::default(),
            kept,
            rules: Vec::new(),
            prober: Prober::new(&config, events.clone()),
            stop: watch::channel(false).1,
            canaries: Canaries::new(dir.path(), events.clone()),
            events,
        };
        let (view, changes) = (watch::channel(Arc::default()).0, broadcast::channel(16).0);
        let mut engine = Engine::new(config, Arc::new(store), start, view, changes);
        let seeds: Vec<String> = seeds.iter().map(|seed| (*seed).to_owned()).collect();
        let client = Client::builder(&seeds.join(",")).start().unwrap();
        let registry = crate::task::supervise("registry", std::future::pending);
        let config = EnsembleConfig {
            canary_off: true,
            election_ports_off: true,
            ..EnsembleConfig::new("e", seeds)
        };
        let followers = Followers { registry, tap: None, host: None };
        engine.watch(config, client, Nodes::new(), false, followers);
        engine.ready(Vec::new());
        let now = now(engine.origin);
        Self { engine, now, late: None, _dir: dir, _events: events_in }
    }

    fn members(&mut self, instances: &[&str]) {
        let members = instances.iter().map(|instance| Member::configured(instance)).collect();
        self.engine.take(Event::Members { ensemble: 0, members });
    }

    fn watched(&self) -> Vec<&str> {
        self.engine.ensembles[0].servers.iter().map(|s| s.detector.instance()).collect()
    }

    /// Some seconds pass, with a probe of `instance` each that ends so.
    fn probes(&mut self, seconds: u32, instance: &str, probe: &Probe) {
        for _ in 0..seconds {
            self.pass(1000);
            self.probe(instance, probe, Duration::ZERO);
            self.weigh();
        }
    }

    fn probe(&mut self, instance: &str, probe: &Probe, took: Duration) {
        let serves = matches!(probe, Probe::Serving { .. });
        let srvr = crate::probe::Srvr { znodes: Some(5), ..crate::probe::Srvr::default() };
        let up = match probe {
            Probe::Serving { .. } | Probe::NotServing { .. } => 1.0,
            Probe::NoAnswer { .. } => 0.0,
            Probe::Barred { .. } => STALE,
        };
        let figure = |name| (name, if serves { 3.0 } else { STALE });
        let figures = ["znode_count", "leader_uptime", "quorum_size"].map(figure);
        let labels = [("ensemble", "e"), ("instance", instance), ("job", "zookeeper")];
        let sample = |(name, value)| {
            let at = self.now.wall.0;
            Sample { labels: Labels::metric(name, labels), at, value }
        };
        let samples = [("up", up)].into_iter().chain(figures).map(sample).collect();
        let report = Report {
            probe: probe.clone(),
            refused: *probe == refused(),
            took,
            srvr: serves.then_some(srvr),
            mntr: None,
            samples,
            notes: std::collections::BTreeSet::new(),
        };
        self.engine.probed(self.now, 0, instance, report);
    }

    fn pass(&mut self, millis: u32) {
        self.now.mono = Mono(self.now.mono.0 + u64::from(millis) * 1_000_000);
        self.now.wall = Wall(self.now.wall.0 + i64::from(millis));
    }

    /// Judges, by a monitor that was awake.
    fn weigh(&mut self) {
        self.engine.weigh(self.now, wk_alert::Pulse { last: self.now.mono, late: self.late });
    }

    /// Several probes in a row that are refused.
    fn silence(&mut self, instance: &str) {
        self.probes(5, instance, &refused());
    }

    /// Rule, server and state of each incident. That nobody shows the registry is no matter here.
    fn incidents(&self) -> Vec<(&str, &str, IncidentState)> {
        let incidents = self.engine.ledger.incidents().values();
        let incidents = incidents.filter(|i| i.subject.rule != wk_alert::node::VIEW_LOST);
        let shown = |incident: &wk_alert::Incident| incident.state;
        incidents
            .map(|i| {
                let instance = i.subject.instance.as_deref().unwrap_or_default();
                (i.subject.rule.as_str(), instance, shown(i))
            })
            .collect()
    }
}

#[tokio::test]
async fn members_come_and_go_with_their_probes_and_incidents() {
    let mut bench = Bench::new(&["127.0.0.1:1"]);
    assert_eq!(bench.watched(), ["127.0.0.1:1"]);
    bench.members(&["127.0.0.1:1", "127.0.0.1:2", "127.0.0.1:3"]);
    assert_eq!(bench.watched(), ["127.0.0.1:1", "127.0.0.1:2", "127.0.0.1:3"]);
    bench.silence("127.0.0.1:2");
    let found = ("ZkServerUnreachable", "127.0.0.1:2", IncidentState::Firing);
    assert_eq!(bench.incidents(), [found]);

    // It does not serve, and is a member all the same: nothing ends.
    bench.members(&["127.0.0.1:1", "127.0.0.1:2"]);
    assert_eq!(bench.incidents(), [found]);
    bench.members(&[]);
    assert_eq!(bench.watched(), ["127.0.0.1:1", "127.0.0.1:2"], "none is no news");

    bench.members(&["127.0.0.1:1"]);
    assert_eq!(bench.watched(), ["127.0.0.1:1"]);
    let over = ("ZkServerUnreachable", "127.0.0.1:2", IncidentState::Resolved);
    assert_eq!(bench.incidents(), [over]);
    let facts = bench.engine.ledger.incidents().values().next().map(|i| i.facts.clone()).unwrap();
    let last = facts.last().map(|fact| fact.kind);
    assert_eq!(last, Some(wk_alert::FactKind::NoLongerWatched));
    // A probe that was on its way when it left says nothing.
    bench.silence("127.0.0.1:2");
    assert_eq!(bench.incidents(), [over]);
}

#[tokio::test]
async fn what_was_found_is_stored() {
    let mut bench = Bench::new(&["127.0.0.1:1"]);
    bench.members(&["127.0.0.1:1", "127.0.0.1:2"]);
    bench.engine.settle().await;
    let kept = bench.engine.store.load_kept().unwrap();
    let seeds = ["127.0.0.1:1".to_owned()];
    assert_eq!(Membership::begin("e", &seeds, &kept).members.len(), 2);
}

fn refused() -> Probe {
    Probe::NoAnswer { reason: "Connection refused".into() }
}

fn serving() -> Probe {
    Probe::Serving { mode: "standalone".into() }
}

#[tokio::test]
async fn a_rule_carries_the_detectors_evidence_and_ends_when_that_is_seen() {
    let mut bench = Bench::new(&["127.0.0.1:1"]);
    bench.probes(3, "127.0.0.1:1", &serving());
    bench.silence("127.0.0.1:1");
    assert_eq!(bench.incidents(), [("ZkServerUnreachable", "127.0.0.1:1", IncidentState::Firing)]);
    let incident = bench.engine.ledger.incidents().values().next().cloned().unwrap();
    assert_eq!(incident.severity, wk_alert::Severity::Critical, "the only server");
    let kinds: Vec<_> = incident.facts.iter().map(|fact| fact.kind).collect();
    assert_eq!(kinds, [AtMemberGone, ProbeFailed, LastServed], "where first, then what was seen");
    assert!(incident.detail.annotations.contains_key("summary_zh"), "{incident:?}");
    bench.probes(2, "127.0.0.1:1", &serving());
    let over = ("ZkServerUnreachable", "127.0.0.1:1", IncidentState::Resolved);
    assert_eq!(bench.incidents(), [over]);
}

#[tokio::test]
async fn a_server_that_comes_back_with_a_wrong_certificate_cannot_be_judged_and_says_so() {
    let mut bench = Bench::new(&["127.0.0.1:1", "127.0.0.1:2"]);
    bench.probes(3, "127.0.0.1:1", &serving());
    bench.silence("127.0.0.1:1");
    let barred = Probe::Barred { reason: "UnknownIssuer".into() };
    bench.probes(30, "127.0.0.1:1", &barred);
    let found = ("ZkServerUnreachable", "127.0.0.1:1", IncidentState::Unknown);
    assert_eq!(bench.incidents(), [found]);
    let incidents = bench.engine.ledger.incidents().values();
    let incident = incidents.into_iter().find(|i| i.subject.rule == found.0).unwrap();
    let english = |fact| crate::text::Lang::En.fact(fact);
    let told: Vec<String> = incident.facts.iter().map(english).collect();
    let last: Vec<&str> = told.iter().rev().take(2).rev().map(String::as_str).collect();
    let wanted = [
        "127.0.0.1:1 is there and cannot be judged: whether the fault lasts or is over, this \
         monitor cannot tell",
        "127.0.0.1:1 is there, but it and this monitor do not trust each other: UnknownIssuer",
    ];
    assert_eq!(last, wanted);
    bench.probes(2, "127.0.0.1:1", &serving());
    let over = ("ZkServerUnreachable", "127.0.0.1:1", IncidentState::Resolved);
    assert_eq!(bench.incidents(), [over]);
}

#[tokio::test]
async fn a_refusal_is_told_from_silence_by_what_happened_and_not_by_a_word() {
    let both = ["127.0.0.1:1", "127.0.0.1:2"];
    let mut bench = Bench::new(&both);
    let silent = Probe::NoAnswer { reason: "the connection refused to end in time".into() };
    for probe in [serving(), silent] {
        for _ in 0..5 {
            for instance in both {
                bench.probes(1, instance, &probe);
            }
        }
    }
    let rules: Vec<_> = bench.incidents().into_iter().map(|(rule, ..)| rule).collect();
    assert!(rules.contains(&"MonitorBlind"), "{rules:?}");
    assert!(!rules.contains(&"ZkServerUnreachable"), "who is cut off cannot say that: {rules:?}");
}

#[tokio::test]
async fn the_servers_own_times_say_how_long_a_cause_speaks() {
    let mut bench = Bench::new(&["127.0.0.1:1"]);
    bench.weigh();
    let healing = wk_alert::Healing::default();
    assert_eq!(bench.engine.ledger.healing("e"), healing);
    let conf = wk_probe::words::Conf::parse("tickTime=500\nmaxSessionTimeout=9000\ninitLimit=6");
    bench.engine.prober.board(0).lock().unwrap().post_conf("127.0.0.1:1", conf);
    bench.pass(6000);
    bench.weigh();
    let secs = Duration::from_secs_f64;
    let healing = wk_alert::Healing { sessions: secs(9.5), joining: secs(4.5) };
    assert_eq!(bench.engine.ledger.healing("e"), healing);
    // After a restart too, before anybody has been asked.
    bench.engine.settle().await;
    let kept = bench.engine.store.load_kept().unwrap();
    let bench = Bench::after(&["127.0.0.1:1"], kept);
    assert_eq!(bench.engine.ledger.healing("e"), healing);
}

#[tokio::test]
async fn a_drift_is_located_at_the_member_that_differs() {
    let all = ["127.0.0.1:1", "127.0.0.1:2", "127.0.0.1:3"];
    let mut bench = Bench::new(&all);
    for (instance, tick) in all.into_iter().zip(["2000", "3000", "2000"]) {
        let conf = wk_probe::words::Conf::parse(&format!("tickTime={tick}\nclientPort=1"));
        bench.engine.prober.board(0).lock().unwrap().post_conf(instance, conf);
    }
    let hash = |hash, instance| {
        let labels = [("ensemble", "e"), ("instance", instance), ("config_hash", hash)];
        Labels::metric("watchkeeper_server_config_info", labels)
    };
    for _ in 0..150 {
        bench.pass(1000);
        for instance in all {
            bench.probe(instance, &serving(), Duration::ZERO);
            let labels = hash(if instance == all[1] { "odd" } else { "even" }, instance);
            let sample = Sample { labels, at: bench.now.wall.0, value: 1.0 };
            bench.engine.measured(0, &[sample]);
        }
        bench.weigh();
    }
    let subject = Subject::ensemble("ZkConfigDrift", "e");
    let facts = bench.engine.ledger.open(&subject).expect("it lasted").facts.clone();
    let shown: Vec<String> = facts.iter().map(|fact| crate::text::Lang::En.fact(fact)).collect();
    let odd = "127.0.0.1:2 runs with other values than most members (theirs in brackets): \
               tickTime=3000 (2000)";
    assert_eq!(shown, [odd]);
    // A file that changed: the new series comes before the end of the old one.
    let file = |hash, value| {
        let labels = [("ensemble", "e"), ("instance", all[0]), ("config_hash", hash)];
        let labels = Labels::metric("watchkeeper_agent_config_info", labels);
        Sample { labels, at: bench.now.wall.0, value }
    };
    let samples = [file("old", 1.0), file("new", 1.0), file("old", STALE)];
    let end = file("new", STALE);
    bench.engine.measured(0, &samples);
    let known = |bench: &Bench| bench.engine.ensembles[0].servers[0].config_file.clone();
    assert_eq!(known(&bench).as_deref(), Some("new"));
    bench.engine.measured(0, &[end]);
    assert_eq!(known(&bench), None);
}

#[tokio::test]
async fn a_paused_monitor_judges_nobody_before_it_has_looked_anew() {
    let mut bench = Bench::new(&["127.0.0.1:1", "127.0.0.1:2"]);
    for _ in 0..3 {
        bench.probes(1, "127.0.0.1:1", &serving());
        bench.probes(1, "127.0.0.1:2", &serving());
    }
    // Stopped for a minute in the middle of a look, whose time is up when it wakes.
    bench.pass(60_000);
    bench.late = Some(bench.now.mono);
    bench.weigh();
    bench.probe("127.0.0.1:1", &Probe::NoAnswer { reason: "timed out".into() }, LONG_LOOK);
    for _ in 0..5 {
        bench.pass(1000);
        bench.probe("127.0.0.1:2", &refused(), Duration::ZERO);
        bench.weigh();
    }
    assert_eq!(bench.incidents(), [], "nobody has looked at the first one since");
    bench.probe("127.0.0.1:1", &serving(), Duration::ZERO);
    bench.probes(3, "127.0.0.1:2", &refused());
    assert_eq!(bench.incidents(), [("ZkServerUnreachable", "127.0.0.1:2", IncidentState::Firing)]);
}

#[tokio::test]
async fn a_clock_that_is_set_back_does_not_stop_judging() {
    let mut bench = Bench::new(&["127.0.0.1:1"]);
    bench.probes(3, "127.0.0.1:1", &serving());
    bench.now.wall = Wall(bench.now.wall.0 - 3_600_000);
    bench.silence("127.0.0.1:1");
    assert_eq!(bench.incidents().len(), 1, "{:?}", bench.incidents());
}

#[tokio::test]
async fn a_wrong_rule_file_leaves_the_old_rules_in_force() {
    let mut bench = Bench::new(&["127.0.0.1:1"]);
    let file = |rule: &str| {
        let text = format!("groups: [{{name: g, rules: [{{alert: Mine, {rule}}}]}}]");
        Event::RuleFiles(vec![("own.yml".into(), Ok(text))])
    };
    let rules = |expr: &str| file(&format!("expr: '{expr}'"));
    bench.engine.take(file("expr: 'up == 1', labels: {severity: none}"));
    bench.probes(2, "127.0.0.1:1", &serving());
    assert_eq!(bench.incidents(), [], "of severity none nobody is told");
    bench.engine.take(rules("up == 1"));
    bench.probes(2, "127.0.0.1:1", &serving());
    assert_eq!(bench.incidents(), [("Mine", "127.0.0.1:1", IncidentState::Firing)]);
    bench.engine.take(rules("up =="));
    assert!(bench.engine.judgement.errors[0].contains("own.yml:1"), "it is said");
    bench.engine.draw();
    let notes = bench.engine.view.borrow().fleet.notes.clone();
    assert!(notes[0].starts_with("a rule file is not in force: own.yml:1"), "{notes:?}");
    bench.probes(2, "127.0.0.1:1", &serving());
    assert_eq!(bench.incidents(), [("Mine", "127.0.0.1:1", IncidentState::Firing)]);
    bench.engine.take(Event::RuleFiles(Vec::new()));
    bench.probes(2, "127.0.0.1:1", &serving());
    assert_eq!(bench.incidents(), [("Mine", "127.0.0.1:1", IncidentState::Resolved)]);
    assert_eq!(bench.engine.judgement.errors, Vec::<String>::new());
    bench.engine.draw();
    let fleet = Arc::clone(&bench.engine.view.borrow().fleet);
    assert_eq!(fleet.notes, Vec::<String>::new());
    assert!(fleet.window.series >= 4 && fleet.window.bytes > 0, "{:?}", fleet.window);
}

//! The owner without its tasks: events in, what becomes of them out.

use std::time::Duration;

use wk_alert::IncidentState;
use wk_alert::server::Probe;

use super::*;
use crate::probe::Report;

/// An owner whose time the test itself moves.
struct Bench {
    engine: Engine,
    _dir: tempfile::TempDir,
    _events: mpsc::Receiver<Event>,
}

impl Bench {
    /// Watches one ensemble `e`, found at `seeds`; nothing there answers.
    fn new(seeds: &[&str]) -> Self {
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
            kept: Kept::new(),
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
        let config = EnsembleConfig { canary_off: true, ..EnsembleConfig::new("e", seeds) };
        engine.watch(config, client, Nodes::new(), false, registry);
        engine.ready();
        Self { engine, _dir: dir, _events: events_in }
    }

    fn members(&mut self, instances: &[&str]) {
        let members = instances.iter().map(|instance| Member::configured(instance)).collect();
        self.engine.take(Event::Members { ensemble: 0, members });
    }

    fn watched(&self) -> Vec<&str> {
        self.engine.ensembles[0].servers.iter().map(|s| s.detector.instance()).collect()
    }

    /// Several probes in a row that get no answer.
    fn silence(&mut self, instance: &str) {
        for second in 0..5 {
            let mut at = now(self.engine.origin);
            at.mono = Mono(second * 1_000_000_000);
            let probe = Probe::NoAnswer { reason: "refused".into() };
            let report =
                Report { probe, took: Duration::ZERO, srvr: None, mntr: None, refused: Vec::new() };
            self.engine.probed(at, 0, instance, report);
        }
    }

    /// Rule, server and state of each incident.
    fn incidents(&self) -> Vec<(&str, &str, IncidentState)> {
        let incidents = self.engine.ledger.incidents().values();
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

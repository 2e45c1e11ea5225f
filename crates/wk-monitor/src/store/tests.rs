//! The store: what is written comes back, and what cannot be read is refused.

use std::collections::BTreeMap;

use wk_alert::node::{Alive, NodeState};
use wk_alert::{
    ChannelPolicy, Detail, Fact, FactKind, Figure, Finding, Ledger, Now, Outcome, Policy, Scope,
    Severity, Subject,
};
use wk_proto::ids::{Mono, SessionId, Wall, Zxid};

use super::*;

fn now(seconds: u32) -> Now {
    Now { mono: Mono(u64::from(seconds) * 1_000_000_000), wall: Wall(i64::from(seconds) * 1000) }
}

fn policy() -> Policy {
    Policy { channels: vec![ChannelPolicy::new("mail")], ..Policy::default() }
}

fn firing() -> Finding {
    let facts = vec![Fact::new(FactKind::ProbeFailed, ["h:1".into(), "refused".into()])];
    let labels = [("ensemble", "e"), ("instance", "h:1"), ("dir", "/log"), ("site", "a")];
    let labels = wk_promql::Labels::new(labels);
    let subject = Subject::of_alert("ZkDiskFullSoon", &labels);
    let annotations = BTreeMap::from([("summary_en".to_owned(), "nearly full".to_owned())]);
    let detail = Detail { labels, annotations, value: Some(Figure(f64::NAN)) };
    Finding::Firing { subject, severity: Severity::Warning, facts, detail }
}

#[test]
fn everything_comes_back_as_it_was() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("monitor.redb");
    let mut ledger = Ledger::restore(policy(), Saved::default(), now(0));
    ledger.find(now(1), firing());
    ledger.mark_due(now(1));
    let bundle = ledger.committed().remove(0);
    let key = bundle.entries().next().unwrap();
    ledger.answered(now(2), &bundle.key, Outcome::Retry { error: "451".into(), after: None });
    let silenced = Scope::parse(&["node=~a.*".into(), "rule!=\"x\"".into()]).unwrap();
    let hour = std::time::Duration::from_hours(1);
    ledger.silence(now(2), silenced, hour, "ann", "tests").unwrap();
    let worked_on = Scope::Maintenance { ensemble: "x".into(), server: Some("h:1".into()) };
    let id = ledger.silence(now(2), worked_on, hour, "bob", "").unwrap();
    ledger.end_silence(now(3), &id, "bob").unwrap();
    let incident = ledger.incidents().keys().next().unwrap().clone();
    ledger.acknowledge(now(3), &incident, "ann").unwrap();
    let batch = ledger.take_batch();
    let node = NodeKey { group: Some("g".into()), id: "n".into() };
    let record = NodeRecord {
        state: NodeState::Up,
        since: Wall(7),
        alive: Some(Alive { owner: SessionId(-5), czxid: Zxid(9) }),
        data: vec![0, 255],
        facts: vec![Fact::new(FactKind::Registered, ["/nodes/g/n".into()])],
    };
    {
        let store = Store::open(&path).unwrap();
        let nodes = vec![("e".to_owned(), node.clone(), Some(record.clone()))];
        let kept = Kept::from([("rules".to_owned(), vec![7, 0])]);
        store.commit(&batch, &nodes, &kept).unwrap();
        assert!(matches!(Store::open(&path), Err(StoreError::InUse { .. })));
    }
    let store = Store::open(&path).unwrap();
    let saved = store.load().unwrap();
    let incident = saved.incidents[0].clone();
    assert_eq!(ledger.incidents()[&incident.id], incident);
    assert_eq!(ledger.entries()[&key], saved.entries[0]);
    assert_eq!(saved.episodes.len(), 3, "an incident, a silence, a maintenance window");
    let silences: Vec<_> = ledger.silences().values().cloned().collect();
    assert_eq!(saved.silences, silences);
    assert_eq!(store.history(&wk_alert::IncidentId(id.0)).unwrap().len(), 2);
    let nodes = store.load_nodes().unwrap();
    assert_eq!(nodes["e"], BTreeMap::from([(node, record)]));
    assert_eq!(store.load_kept().unwrap()["rules"], [7, 0]);
    let history = store.history(&incident.id).unwrap();
    let kinds: Vec<FactKind> = history.iter().map(|line| line.fact.kind).collect();
    assert_eq!(kinds, [FactKind::Opened, FactKind::DeliveryFailed, FactKind::Acknowledged]);
}

#[test]
fn history_goes_with_its_incident() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(&dir.path().join("monitor.redb")).unwrap();
    let mut ledger = Ledger::restore(policy(), Saved::default(), now(0));
    ledger.find(now(1), firing());
    ledger.tick(now(1));
    let batch = ledger.take_batch();
    store.commit(&batch, &vec![], &Kept::new()).unwrap();
    let mut gone = Batch::default();
    let id = batch.incidents.keys().next().unwrap();
    assert_eq!(store.history(id).unwrap().len(), 1);
    gone.incidents.extend(batch.incidents.keys().map(|id| (id.clone(), None)));
    gone.entries.extend(batch.entries.keys().map(|key| (key.clone(), None)));
    store.commit(&gone, &vec![], &Kept::new()).unwrap();
    let saved = store.load().unwrap();
    assert!(saved.incidents.is_empty() && saved.entries.is_empty());
    assert!(store.history(id).unwrap().is_empty());
}

#[test]
fn the_audit_is_read_in_pages_the_newest_first() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("monitor.redb");
    let store = Store::open(&path).unwrap();
    assert_eq!(store.audit(None, 10).unwrap(), (vec![], None));
    let mut ledger = Ledger::restore(policy(), Saved::default(), now(0));
    let hour = std::time::Duration::from_hours(1);
    let commit = |ledger: &mut Ledger| {
        let batch = ledger.take_batch();
        store.commit(&batch, &vec![], &Kept::new()).unwrap();
    };
    for name in ["a", "b", "c"] {
        let scope = Scope::parse(&[format!("rule={name}")]).unwrap();
        ledger.silence(now(1), scope, hour, name, "").unwrap();
        commit(&mut ledger);
    }
    ledger.find(now(2), firing());
    ledger.tick(now(2));
    commit(&mut ledger);
    let read = |store: &Store, before, limit| {
        let (lines, next) = store.audit(before, limit).unwrap();
        let lines: Vec<String> = lines.into_iter().map(|(_, line)| line.actor).collect();
        (lines.join(" "), next)
    };
    assert_eq!(read(&store, None, 2), ("monitor c".to_owned(), Some(2)));
    assert_eq!(read(&store, Some(2), 2), ("b a".to_owned(), None));
    assert_eq!(read(&store, Some(0), 2), (String::new(), None));

    // What is not kept any more leaves a gap, and a store without the order gets it again.
    let mut gone = Batch::default();
    gone.silences.insert(wk_alert::SilenceId("silence-2".into()), None);
    store.commit(&gone, &vec![], &Kept::new()).unwrap();
    assert_eq!(read(&store, None, 9), ("monitor c a".to_owned(), None));
    drop(store);
    let database = Database::open(&path).unwrap();
    let txn = database.begin_write().unwrap();
    txn.delete_table(AUDIT_ORDER).unwrap();
    txn.commit().unwrap();
    drop(database);
    assert_eq!(read(&Store::open(&path).unwrap(), None, 9), ("monitor c a".to_owned(), None));
}

#[test]
fn an_earlier_program_that_wrote_as_many_lines_as_it_removed_leaves_an_order_to_be_made() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("monitor.redb");
    let mut ledger = Ledger::restore(policy(), Saved::default(), now(0));
    for name in ["a", "b"] {
        let scope = Scope::parse(&[format!("rule={name}")]).unwrap();
        ledger.silence(now(1), scope, std::time::Duration::from_hours(1), name, "").unwrap();
    }
    let store = Store::open(&path).unwrap();
    store.commit(&ledger.take_batch(), &vec![], &Kept::new()).unwrap();
    drop(store);
    // It knows no order: the line of `a` goes, one of `c` comes.
    let database = Database::open(&path).unwrap();
    let txn = database.begin_write().unwrap();
    {
        let (mut meta, mut audit) = (txn.open_table(META).unwrap(), txn.open_table(AUDIT).unwrap());
        let line = audit.remove(("silence-1", 0)).unwrap().unwrap().value().to_vec();
        let line = String::from_utf8(line).unwrap().replace("\"a\"", "\"c\"");
        audit.insert(("silence-3", 2), line.as_bytes()).unwrap();
        meta.insert("audit_next", 3).unwrap();
    }
    txn.commit().unwrap();
    drop(database);
    for _ in 0..2 {
        let (lines, next) = Store::open(&path).unwrap().audit(None, 9).unwrap();
        let actors: Vec<String> = lines.into_iter().map(|(_, line)| line.actor).collect();
        assert_eq!((actors.join(" "), next), ("c b".to_owned(), None));
    }
}

#[test]
fn the_history_of_an_ensemble_is_bounded() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(&dir.path().join("monitor.redb")).unwrap();
    let mut ledger = Ledger::restore(policy(), Saved::default(), now(0));
    ledger.find(now(1), firing());
    for zxid in 0..ENSEMBLE_LINES_MAX + 2 {
        let fact = Fact::new(FactKind::MembersStorm, ["1".into(), zxid.to_string()]);
        ledger.record(now(2), "e", fact);
    }
    store.commit(&ledger.take_batch(), &vec![], &Kept::new()).unwrap();
    let last = |lines: &[AuditLine]| -> Vec<String> {
        lines.iter().map(|line| line.fact.args.last().cloned().unwrap_or_default()).collect()
    };
    let of = |about: &str| store.history(&wk_alert::IncidentId(about.to_owned())).unwrap();
    let lines = of("ensemble/e");
    assert_eq!((lines.len(), last(&lines)[0].as_str()), (ENSEMBLE_LINES_MAX, "2"));
    assert_eq!(lines[0].actor, "monitor");
    assert_eq!(of("ensemble/f"), []);
    let incident = ledger.incidents().keys().next().unwrap();
    assert_eq!(of(&incident.0).len(), 1, "the incident keeps its own");
    let (whole, next) = store.audit(None, usize::MAX).unwrap();
    assert_eq!((whole.len(), next), (ENSEMBLE_LINES_MAX + 1, None), "and no gap in the order");
}

/// Rows as the first release wrote them: an open incident whose notification was under way.
#[test]
fn a_store_of_the_first_schema_goes_on_as_it_was() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("monitor.redb");
    let subject = Subject::server("ZkServerUnreachable", "e", "h:1");
    let id = wk_alert::IncidentId::new(&wk_alert::Fingerprint::of(&subject), 1);
    {
        let database = Database::create(&path).unwrap();
        let txn = database.begin_write().unwrap();
        txn.open_table(META).unwrap().insert("schema", 1).unwrap();
        let incident = r#"{"rule":"ZkServerUnreachable","ensemble":"e","instance":"h:1",
            "group":null,"node":null,"episode":1,"severity":"warning","state":"firing",
            "facts":[["probe_failed",["h:1","refused"]]],"first_seen":1000,"last_seen":1000,
            "healed_at":null,"reopened_at":null,"flaps":0,"acknowledged_by":"ann"}"#;
        let row = |text: &str| text.as_bytes().to_vec();
        let mut table = txn.open_table(INCIDENTS).unwrap();
        table.insert(id.0.as_str(), row(incident).as_slice()).unwrap();
        drop(table);
        let entry = format!(
            r#"{{"incident":"{id}","phase":"firing","channel":"mail","seq":7,"state":"sent",
            "attempts":1,"queued_at":1000,"not_after":86401000,"last_attempt_at":1000,
            "done_at":null,"last_error":null}}"#
        );
        let mut table = txn.open_table(OUTBOX).unwrap();
        table.insert(format!("{id}/firing/mail").as_str(), row(&entry).as_slice()).unwrap();
        drop(table);
        let mut table = txn.open_table(EPISODES).unwrap();
        table.insert(wk_alert::Fingerprint::of(&subject).0.as_str(), 1).unwrap();
        drop(table);
        txn.open_table(AUDIT).unwrap();
        txn.open_table(NODES).unwrap();
        txn.commit().unwrap();
    }
    let store = Store::open(&path).unwrap();
    let mut ledger = Ledger::restore(policy(), store.load().unwrap(), now(60));
    assert_eq!(ledger.open(&subject).unwrap().id, id);
    // What was under way is sent again under its key, and what somebody took on now has an end.
    ledger.tick(now(60));
    ledger.mark_due(now(60));
    let sent = ledger.committed().remove(0);
    assert_eq!(sent.key.to_string(), format!("{id}/firing"));
    let batch = ledger.take_batch();
    store.commit(&batch, &vec![], &Kept::new()).unwrap();
    let again = store.load().unwrap();
    assert_eq!(again.incidents[0].acknowledged_until, Some(Wall(60_000 + 3_600_000)));
    assert_eq!(again.entries[0].bundle.as_deref(), Some(id.0.as_str()));
    drop(store);
    let found = Database::open(&path).unwrap();
    let found = found.begin_read().unwrap().open_table(META).unwrap();
    assert_eq!(found.get("schema").unwrap().unwrap().value(), SCHEMA, "an earlier one keeps off");
}

#[test]
fn a_later_schema_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("monitor.redb");
    {
        let database = Database::create(&path).unwrap();
        let txn = database.begin_write().unwrap();
        txn.open_table(META).unwrap().insert("schema", SCHEMA + 1).unwrap();
        txn.commit().unwrap();
    }
    assert!(
        matches!(Store::open(&path), Err(StoreError::Newer { found, .. }) if found == SCHEMA + 1)
    );
}

#[test]
fn a_file_that_is_no_store_is_refused_and_left_alone() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("monitor.redb");
    std::fs::write(&path, b"not a database, but long enough to have a header to look at").unwrap();
    assert!(matches!(Store::open(&path), Err(StoreError::File { .. })));
    assert!(std::fs::read(&path).unwrap().starts_with(b"not a database"));
}

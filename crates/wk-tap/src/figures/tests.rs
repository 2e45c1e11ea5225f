//! What a stream amounts to, as samples.

use wk_promql::is_stale;
use wk_proto::txn::{CreateTxn, TxnHeader, encode_record};
use wk_proto::{AclList, SessionId, Txn, Wall, Zxid};

use super::*;
use crate::learner::LearnerStats;

fn change(session: i64, cxid: i32, txn: &Txn<'_>) -> Change {
    let (session, zxid, time) = (SessionId(session), Zxid(1), Wall(0));
    let header = TxnHeader { session, cxid, zxid, time, op: txn.op() };
    let mut record = Vec::new();
    encode_record(&header, txn, None, &mut record);
    Change::read(&record)
}

fn create(path: &str, parent_cversion: i32) -> Change {
    let txn = CreateTxn {
        path: path.to_owned().into(),
        data: None,
        acl: AclList::open(),
        ephemeral: false,
        parent_cversion,
    };
    change(7, 1, &Txn::Create(txn))
}

fn health(state: TapState) -> Health {
    let stats = LearnerStats { dropped: 2, ..LearnerStats::default() };
    Health { state, position: None, lag: 3, stats, dropped: 5, waiting: 9 }
}

fn figures() -> Figures {
    Figures::new(vec![("ensemble".to_owned(), "e".to_owned())])
}

/// Series and values but for those of the tap's health.
fn shown(samples: &[Sample]) -> Vec<String> {
    let own = |sample: &&Sample| sample.value != 0.0;
    let text = |sample: &Sample| {
        let value = if is_stale(sample.value) { "stale".into() } else { sample.value.to_string() };
        let text = sample.labels.to_string().replace("watchkeeper_tap_", "");
        format!("{} {value}", text.replace(r#"ensemble="e""#, "").replace("{, ", "{"))
    };
    samples.iter().filter(own).map(text).collect()
}

fn has(samples: &[Sample], want: &str) {
    let shown = shown(samples);
    assert!(shown.iter().any(|line| line == want), "{want} is not in {shown:#?}");
}

#[test]
fn txns_failures_and_ends_are_counted_by_name() {
    let mut figures = figures();
    figures.take(&change(7, 1, &Txn::Error { code: -101 }));
    figures.take(&change(7, 2, &Txn::Multi(vec![Txn::Error { code: -103 }])));
    let gone = |paths: &[&'static str]| Txn::CloseSession {
        paths: Some(paths.iter().map(|path| (*path).into()).collect()),
    };
    figures.take(&change(7, 0, &gone(&["/e/1", "/e/2"])));
    figures.take(&change(7, 3, &gone(&["/e/3"])));
    figures.take(&change(
        7,
        4,
        &Txn::SetAcl { path: "/a".into(), acl: AclList::open(), version: 1 },
    ));
    figures.take_gap();
    let samples = figures.samples(1000, &health(TapState::Live("zk1".to_owned())));
    for want in [
        r#"txns_total{type="error"} 1"#,
        r#"txns_total{type="closeSession"} 2"#,
        r#"failed_writes_total{error="NONODE"} 1"#,
        r#"failed_writes_total{error="BADVERSION"} 1"#,
        r#"sessions_ended_total{how="expired"} 1"#,
        r#"ephemerals_gone_total{how="expired"} 2"#,
        r#"ephemerals_gone_total{how="closed"} 1"#,
        "acl_changes_total{} 1",
        "resyncs_total{} 1",
        "dropped_txns_total{} 7",
        "lag_txns{} 3",
        "connected{} 1",
        r#"prefix_growth_znodes{prefix="/e/1"} -1"#,
    ] {
        has(&samples, want);
    }
    assert!(samples.iter().all(|sample| sample.at == 1000));
    let away = figures.samples(2000, &health(TapState::Looking(String::new())));
    has(&away, "lag_txns{} stale");
}

#[test]
fn a_prefix_that_leaves_the_largest_ends() {
    let mut figures = figures();
    let live = health(TapState::Live(String::new()));
    figures.take(&create("/app/jobs/1", 1));
    let samples = figures.samples(1000, &live);
    has(&samples, r#"prefix_growth_znodes{prefix="/app/jobs"} 1"#);
    for n in 0..20 {
        for times in 0..2 {
            figures.take(&create(&format!("/b{n}/c/{times}"), 1));
        }
    }
    let samples = figures.samples(2000, &live);
    has(&samples, r#"prefix_growth_znodes{prefix="/app/jobs"} stale"#);
    let again = figures.samples(3000, &live);
    assert!(!shown(&again).iter().any(|line| line.contains("growth") && line.contains("stale")));
}

#[test]
fn only_true_sequence_numbers_count_as_such() {
    let mut figures = figures();
    // A time in seconds looks like a number of ten digits and is none of a counter.
    figures.take(&create("/q/job-1795261831", 4));
    figures.take(&create("/q/job-0000000007", 8));
    figures.take(&create("/r/job-2000000000", 2_000_000_001));
    let samples = figures.samples(1, &health(TapState::Live(String::new())));
    let shown = shown(&samples);
    let used: Vec<_> = shown.iter().filter(|line| line.starts_with("sequence")).collect();
    assert_eq!(used.len(), 1, "{used:?}");
    assert!(used[0].starts_with(r#"sequence_used_ratio{path="/r"} 0.93"#), "{used:?}");
}

#[test]
fn tables_are_bounded_whatever_comes() {
    let mut figures = figures();
    for n in 0..6000 {
        figures.take(&create(&format!("/p{n}/x/seq-{n:010}"), n + 1));
        let mut other = create("/a", 1);
        other.op.kind = Kind::Other(n);
        figures.take(&other);
        figures.take(&change(7, 1, &Txn::Error { code: -1000 - n }));
    }
    assert!(figures.growth.len() <= PREFIXES_MAX + 1);
    assert_eq!(figures.sequences.len(), PARENTS_MAX);
    assert_eq!(figures.sequences.values().min(), Some(&(6000 - 1024)));
    let samples = figures.samples(1, &health(TapState::Live(String::new())));
    assert!(samples.len() < 2 * NAMES_MAX + 5 * TOP + 30, "{}", samples.len());
    has(&samples, r#"failed_writes_total{error="other"} 5936"#);
}

#[test]
fn prefixes_are_two_levels_deep() {
    for (path, want) in [("/", "/"), ("/a", "/a"), ("/a/b", "/a/b"), ("/a/b/c/d", "/a/b")] {
        assert_eq!(prefix(path), want);
    }
    assert_eq!((parent("/a"), parent("/a/b")), ("/", "/a"));
}

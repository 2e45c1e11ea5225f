//! Texts against those of Apache 3.9.5 (golden/README.txt).

use super::*;
use crate::metrics::{Gauges, Registry};
use crate::report::{ConnectionSession, ResponseSizes};
use std::collections::BTreeSet;

const APACHE: &str =
    "3.9.5-293c895a8d966a3ecb92872be4a1daf87d725da2, built on 2026-02-11 20:18 UTC";

/// The answer to a word in golden/session.txt.
fn session(word: &str) -> String {
    let text = include_str!("golden/session.txt");
    let (_, rest) = text.split_once(&format!("== {word}\n")).unwrap();
    rest.split("== ").next().unwrap().to_owned()
}

fn connection(port: u16) -> ConnectionStats {
    ConnectionStats {
        peer: Some(([127, 0, 0, 1], port).into()),
        secure: false,
        interest_ops: 0,
        outstanding_requests: 0,
        packets_received: 1,
        packets_sent: 0,
        established_ms: 0,
        session: None,
        min_latency_ms: 0,
        avg_latency_ms: 0.0,
        max_latency_ms: 0,
        last_latency_ms: 0,
        last_operation: "NA",
        last_cxid: -1,
        last_zxid: -1,
        last_response_time_ms: 0,
    }
}

/// The client of golden/session.txt.
fn client() -> ConnectionStats {
    ConnectionStats {
        interest_ops: 1,
        packets_received: 8,
        packets_sent: 9,
        established_ms: 1_795_261_981_023,
        session: Some(ConnectionSession { id: 0x0100_0023_dc51_0000, timeout_ms: 30_000 }),
        avg_latency_ms: 2.1111,
        max_latency_ms: 6,
        last_latency_ms: 1,
        last_operation: "PING",
        last_cxid: 6,
        last_zxid: 4,
        last_response_time_ms: 2_350_676,
        ..connection(47630)
    }
}

fn stats() -> ServerStats {
    ServerStats {
        version: APACHE.to_owned(),
        packets_received: 12,
        packets_sent: 13,
        outstanding_requests: 1,
        last_processed_zxid: 4,
        server_state: "standalone",
        min_latency_ms: 1,
        avg_latency_ms: 2.4286,
        max_latency_ms: 6,
        num_alive_connections: 2,
        node_count: 7,
        ..ServerStats::default()
    }
}

#[test]
fn srvr_and_stat_are_apaches() {
    assert_eq!(srvr(&stats()), session("srvr"));
    let later = ServerStats {
        packets_received: 13,
        packets_sent: 15,
        outstanding_requests: 0,
        avg_latency_ms: 2.25,
        ..stats()
    };
    assert_eq!(stat(&later, &[connection(47658), client()]), session("stat"));
    let fresh = ServerStats {
        version: APACHE.to_owned(),
        packets_received: 4,
        packets_sent: 3,
        num_alive_connections: 1,
        server_state: "standalone",
        node_count: 5,
        ..ServerStats::default()
    };
    assert_eq!(srvr(&fresh), include_str!("golden/srvr.txt"));
}

#[test]
fn cons_is_apaches() {
    assert_eq!(cons(&[connection(47660), client()]), session("cons"));
    assert_eq!(cons(&[connection(54266)]), include_str!("golden/cons.txt"));
}

#[test]
fn watches_are_apaches() {
    let report = WatchReport { pairs: vec![(0x0100_0023_dc51_0000, "/nope".to_owned())] };
    assert_eq!(wchc(&report), session("wchc"));
    assert_eq!(wchp(&report), session("wchp"));
    assert_eq!(wchs(&WatchSummary { connections: 1, paths: 1, total: 1 }), session("wchs"));
    assert_eq!(wchc(&WatchReport::default()), "\n");
}

#[test]
fn conf_and_dirs_are_apaches() {
    let report = ConfigurationReport {
        client_port: 38583,
        secure_client_port: -1,
        data_dir: "/srv/zookeeper/data/version-2".into(),
        data_dir_size: 67_109_358,
        data_log_dir: "/srv/zookeeper/data/version-2".into(),
        data_log_size: 67_109_358,
        tick_time_ms: 2000,
        max_client_cnxns: 60,
        min_session_timeout_ms: 4000,
        max_session_timeout_ms: 40000,
        client_port_listen_backlog: -1,
        server_id: 0,
    };
    assert_eq!(conf(&report), session("conf"));
    assert_eq!(dirs(&report), session("dirs"));
}

#[test]
fn dump_is_apaches_in_the_zone_of_the_process() {
    let id = 0x0100_0023_dc51_0000;
    let report = DumpReport {
        sessions: vec![(1_795_262_012_000, vec![id])],
        ephemerals: vec![(id, vec!["/app/e".to_owned()])],
        connections: vec![
            (1_795_262_000_000, vec![connection(47674)]),
            (1_795_262_020_000, vec![client()]),
        ],
    };
    // The zone of the machine that runs the test is not that of the capture.
    let zoneless = |text: &str| -> String {
        let lines = text.lines().map(|line| match line.split_once(" expire at ") {
            Some((n, date)) => format!("{n} expire at {} words", date.split(' ').count()),
            None => line.to_owned(),
        });
        lines.collect::<Vec<_>>().join("\n")
    };
    assert_eq!(zoneless(&dump(&report)), zoneless(&session("dump")));
    let noon = java_date(1_795_262_012_000);
    assert!(noon.ends_with(" 2026") && noon.contains(" Nov "), "{noon}");
}

fn keys(text: &str) -> BTreeSet<&str> {
    text.lines().filter_map(|line| line.split_once('\t')).map(|(key, _)| key).collect()
}

fn metrics() -> Metrics {
    let mut metrics = Gauges::default().metrics(&stats());
    metrics.extend(Registry::default().snapshot(0));
    Metrics { version: APACHE.to_owned(), server_state: "standalone", metrics }
}

#[test]
fn mntr_has_apaches_keys_and_no_others() {
    let ours = mntr(&metrics(), false);
    assert_eq!(keys(&ours), keys(include_str!("golden/mntr.txt")));
    assert!(ours.starts_with(&format!("zk_version\t{APACHE}\nzk_server_state\tstandalone\n")));
    assert!(ours.contains("zk_avg_latency\t2.4286\n"));
    assert!(ours.contains("zk_avg_readlatency\t0.0\nzk_min_readlatency\t0\n"));
}

#[test]
fn mntr_with_prometheus_has_the_samples_names() {
    let ours = mntr(&metrics(), true);
    // A JVM's and a process' figures: the former do not exist here, the latter are added by the
    // driver.
    let of_jvm = |key: &&str| {
        key.starts_with("zk_process_")
            || (key.starts_with("zk_jvm_") && !key.starts_with("zk_jvm_pause_time_ms"))
    };
    let golden = include_str!("golden/mntr_prometheus.txt");
    let golden: BTreeSet<&str> = keys(golden).into_iter().filter(|key| !of_jvm(key)).collect();
    assert_eq!(keys(&ours), golden);
    assert!(ours.contains("zk_readlatency{quantile=\"0.99\"}\tNaN\n"));
    assert!(ours.contains("zk_max_latency\t6.0\n"));
}

#[test]
fn words_are_known_by_their_bytes() {
    for word in Word::ALL {
        let bytes = word.text().as_bytes().try_into().unwrap();
        assert_eq!(Word::from_bytes(bytes), Some(*word));
    }
    assert_eq!(Word::from_bytes(*b"nope"), None);
    assert_eq!(Word::from_bytes(TELNET_CLOSE), None);
    let answer = "wchc is not executed because it is not in the whitelist.\n";
    assert_eq!(refused(Word::Wchc), answer);
}

#[test]
fn sizes_of_replies_begin_at_minus_one() {
    let mut sizes = ResponseSizes::default();
    assert_eq!((sizes.last, sizes.min, sizes.max), (-1, -1, -1));
    for bytes in [89, 16, 20] {
        sizes.note(bytes);
    }
    assert_eq!((sizes.last, sizes.min, sizes.max), (20, 16, 89));
}

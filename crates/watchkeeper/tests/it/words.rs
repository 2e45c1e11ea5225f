//! Four-letter words: the answers of our server and of Apache ZooKeeper 3.9.5 side by side.
//!
//! Both servers hold the same tree, two sessions, an ephemeral and three watches. What must be
//! equal is compared as it is; counters, times, addresses and ids are masked to their form.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use wk_peers::{Flavor, Server};
use wk_proto::OpCode;
use wk_proto::client::request::{CreateMode, Request};

use crate::harness::{Running, control, start, subject, subject_spec};
use crate::raw::Session;

/// `mntr` keys of Apache's that have no meaning outside a JVM or without Netty.
const MNTR_ABSENT: &[&str] = &["jvm_pause_time_ms", "netty_queued_buffer_capacity"];

#[test]
fn ruok_isro_and_the_whitelist() {
    let (ours, theirs) = both();
    for word in ["ruok", "isro", "crst", "srst"] {
        assert_eq!(ours.four_letter(word).unwrap(), theirs.four_letter(word).unwrap(), "{word}");
    }
    let dir = tempfile::tempdir().unwrap();
    let strict = start(&subject_spec(dir.path()).with("4lw.commands.whitelist=ruok"));
    assert_eq!(
        strict.four_letter("stat").unwrap(),
        "stat is not executed because it is not in the whitelist.\n"
    );
    assert_eq!(strict.four_letter("ruok").unwrap(), "imok");
    assert!(strict.four_letter("srvr").unwrap().contains("Mode: standalone"), "always allowed");
}

#[test]
fn srvr_and_stat_have_apaches_lines() {
    let (ours, theirs) = both();
    for word in ["srvr", "stat"] {
        assert_eq!(form(&ours, word), form(&theirs, word), "{word}");
    }
    let (ours, theirs) = (ours.four_letter("srvr").unwrap(), theirs.four_letter("srvr").unwrap());
    for key in ["Zxid:", "Mode:", "Node count:", "Outstanding:"] {
        assert_eq!(line(&ours, key), line(&theirs, key));
    }
    let version = line(&ours, "Zookeeper version:");
    assert!(version.starts_with(&format!("Zookeeper version: {}", version_prefix())), "{version}");
}

#[test]
fn mntr_has_apaches_keys_and_the_same_gauges() {
    let (ours, theirs) = both();
    let (ours, theirs) = (mntr(&ours), mntr(&theirs));
    let keys = |map: &BTreeMap<String, String>| map.keys().cloned().collect::<BTreeSet<_>>();
    let absent: BTreeSet<String> = keys(&theirs).difference(&keys(&ours)).cloned().collect();
    let unlisted: Vec<&String> = absent
        .iter()
        .filter(|key| MNTR_ABSENT.iter().all(|absent| !key.contains(absent)))
        .collect();
    assert!(unlisted.is_empty(), "keys of Apache's that are missing here: {unlisted:?}");
    for key in [
        "server_state",
        "znode_count",
        "watch_count",
        "ephemerals_count",
        "approximate_data_size",
        "global_sessions",
        "num_alive_connections",
        "outstanding_requests",
    ] {
        let key = format!("zk_{key}");
        assert_eq!(ours.get(&key), theirs.get(&key), "{key}");
    }
}

#[test]
fn mntr_moves_with_what_happens() {
    let server = subject();
    let before = mntr(&server);
    let clients = populate(&server);
    let after = mntr(&server);
    let number = |map: &BTreeMap<String, String>, key: &str| -> f64 {
        map.get(key).unwrap_or_else(|| panic!("{key} is missing")).parse().unwrap()
    };
    for key in [
        "zk_packets_received",
        "zk_packets_sent",
        "zk_znode_count",
        "zk_ephemerals_count",
        "zk_watch_count",
        "zk_approximate_data_size",
        "zk_global_sessions",
        "zk_connection_request_count",
        "zk_cnt_fsynctime",
        "zk_cnt_updatelatency",
        "zk_cnt_readlatency",
        "zk_bytes_received_count",
    ] {
        let (before, after) = (number(&before, key), number(&after, key));
        assert!(after > before, "{key} went from {before} to {after}");
    }
    drop(clients);
}

#[test]
fn conf_has_apaches_lines() {
    let (ours, theirs) = both();
    let lines = |running: &Running| -> Vec<String> {
        let text = running.four_letter("conf").unwrap();
        let dir = running.dir().display().to_string();
        let text = text.replace(&dir, "DIR").replace(&running.client.to_string(), "PORT");
        // Sizes depend on how far the log was grown.
        text.lines().filter(|line| !line.contains("Size=")).map(str::to_owned).collect()
    };
    assert_eq!(lines(&ours), lines(&theirs));
    for key in ["dataDirSize=", "dataLogSize="] {
        let text = ours.four_letter("conf").unwrap();
        let size: u64 = line(&text, key).trim_start_matches(key).parse().unwrap();
        assert!(size > 0, "{text}");
    }
}

#[test]
fn cons_dump_and_watches_have_apaches_form() {
    let (ours, theirs) = both();
    for word in ["cons", "dump", "wchs", "wchc", "wchp", "dirs"] {
        // A set of sessions that have all moved on is listed until its time has come.
        let alike = || Ok((form(&ours, word) == form(&theirs, word)).then_some(()));
        let waited = wk_peers::wait::until(word, wk_peers::wait::LONG, alike);
        assert!(waited.is_ok(), "{word}: {:?} and {:?}", form(&ours, word), form(&theirs, word));
    }
}

#[test]
fn envi_has_apaches_keys() {
    let (ours, theirs) = both();
    let keys = |server: &Server| -> Vec<String> {
        let text = server.four_letter("envi").unwrap();
        text.lines().map(|line| line.split('=').next().unwrap_or(line).to_owned()).collect()
    };
    assert_eq!(keys(&ours), keys(&theirs));
    let version = ours.four_letter("envi").unwrap();
    assert!(version.contains(&format!("\nzookeeper.version={}", version_prefix())), "{version}");
}

#[test]
fn resets_reset() {
    let (ours, _) = both();
    let received = |text: &str| -> u64 {
        line(text, "Received:").trim_start_matches("Received: ").parse().unwrap()
    };
    let before = received(&ours.four_letter("srvr").unwrap());
    ours.four_letter("srst").unwrap();
    let after = received(&ours.four_letter("srvr").unwrap());
    assert!(before > 5 && after < before, "{before} then {after}");
}

/// Digits first, as kazoo and the exporters parse it.
fn version_prefix() -> &'static str {
    match subject_spec(Path::new("")).flavor {
        Flavor::Watchkeeper(_) => "3.9.5-watchkeeper-",
        Flavor::Apache => "3.9.5-",
    }
}

/// Our server and Apache's, with the same things in them and the same clients connected.
fn both() -> (Running, Running) {
    let (mut ours, mut theirs) = (subject(), control());
    for running in [&mut ours, &mut theirs] {
        let clients = populate(running);
        running.keep(clients);
    }
    (ours, theirs)
}

/// Two sessions: the first makes znodes, the second watches.
fn populate(server: &Server) -> [Session; 2] {
    let mut first = Session::open(server, 30_000);
    first.create("/a", b"12345", CreateMode::Persistent);
    first.create("/a/b", b"12345", CreateMode::Persistent);
    first.create("/eph", b"12345", CreateMode::Ephemeral);
    let mut second = Session::open(server, 30_000);
    for path in ["/a", "/eph", "/missing"] {
        second.exists(path, true);
    }
    second.ask(&Request::Read { op: OpCode::GetChildren, path: "/a", watch: true });
    [first, second]
}

fn mntr(server: &Server) -> BTreeMap<String, String> {
    let text = server.four_letter("mntr").unwrap();
    let pair = |line: &str| line.split_once('\t').map(|(k, v)| (k.to_owned(), v.to_owned()));
    text.lines().filter_map(pair).collect()
}

/// The answer with every number as `N`, every id as `0xN` and lines in order, which is not
/// promised, sorted.
fn form(server: &Server, word: &str) -> Vec<String> {
    let text = server.four_letter(word).unwrap();
    let mut lines: Vec<String> = text.lines().map(numbers_masked).collect();
    lines.sort();
    // How many buckets of expiry there are depends on the second.
    lines.dedup_by(|a, b| a == b && a.ends_with("expire at TIME"));
    lines
}

fn numbers_masked(line: &str) -> String {
    if line.starts_with("Zookeeper version:") {
        return "Zookeeper version:".to_owned();
    }
    if let Some((head, _)) = line.split_once(" expire at ") {
        return format!("{} expire at TIME", numbers_masked(head));
    }
    let line =
        line.split(',').filter(|part| !part.starts_with("lop=")).collect::<Vec<_>>().join(",");
    let mut out = String::new();
    let mut chars = line.chars().peekable();
    while let Some(char) = chars.next() {
        let is_hex = char == '0' && chars.peek() == Some(&'x');
        if char.is_ascii_digit() {
            let belongs = |next: &char| {
                next.is_ascii_digit() || *next == '.' || (is_hex && next.is_ascii_alphanumeric())
            };
            while chars.next_if(belongs).is_some() {}
            out.push('N');
        } else {
            out.push(char);
        }
    }
    // An empty minimum is -1 there until the first request.
    out.replace("-N", "N")
}

fn line(text: &str, key: &str) -> String {
    text.lines()
        .find(|line| line.starts_with(key))
        .unwrap_or_else(|| panic!("no {key} in {text}"))
        .to_owned()
}

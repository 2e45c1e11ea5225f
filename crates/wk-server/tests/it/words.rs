//! Four-letter words over sockets, against golden answers of Apache 3.9.5.

use crate::harness::{TestServer, get};
use std::collections::BTreeSet;
use std::io::{Read as _, Write as _};
use wk_proto::OpCode;
use wk_proto::client::Request;
use wk_server::four_letter::Word;
use wk_server::zoo_cfg::{MetricsProvider, WordList};

/// What remains of a text when digits, which differ, are masked.
fn shape(text: &str) -> Vec<String> {
    let mask = |line: &str| -> String {
        line.chars().map(|c| if c.is_ascii_digit() { '9' } else { c }).collect::<String>()
    };
    text.lines().map(|line| squeeze(&mask(line))).collect()
}

/// Digits of any number are one.
fn squeeze(line: &str) -> String {
    let mut text = String::new();
    for c in line.chars() {
        if c != '9' || !text.ends_with('9') {
            text.push(c);
        }
    }
    text
}

fn golden(name: &str) -> String {
    let dir = concat!(env!("CARGO_MANIFEST_DIR"), "/src/four_letter/golden/");
    std::fs::read_to_string(format!("{dir}{name}.txt")).unwrap()
}

fn keys(text: &str) -> BTreeSet<String> {
    text.lines().filter_map(|line| line.split_once('\t')).map(|(key, _)| key.to_owned()).collect()
}

#[test]
fn a_fresh_server_answers_as_apache_does() {
    let server = TestServer::start();
    assert_eq!(server.word("ruok"), "imok");
    assert_eq!(server.word("isro"), "rw");
    assert_eq!(server.word("gtmk"), "306");
    assert_eq!(server.word("hash"), "");
    assert_eq!(server.word("crst"), "Connection stats reset.\n");
    assert_eq!(server.word("srst"), "Server stats reset.\n");
    assert_eq!(server.word("wchs"), "0 connections watching 0 paths\nTotal watches:0\n");
    for name in ["srvr", "stat", "cons"] {
        let (ours, want) = (shape(&server.word(name)), shape(&golden(name)));
        // The version differs by intent.
        let skip = usize::from(name != "cons");
        assert_eq!(ours[skip..], want[skip..], "{name}");
    }
    assert!(server.word("srvr").contains("\nNode count: 5\n"), "the root counts twice");
    let port = format!("clientPort={}\n", server.addr().port());
    assert!(server.word("conf").starts_with(&port));
    let fields = |text: &str| -> Vec<String> {
        text.lines().map(|line| line.split('=').next().unwrap().to_owned()).collect()
    };
    assert_eq!(fields(&server.word("conf")), fields(&golden("conf")));
    assert_eq!(fields(&server.word("envi")), fields(&golden("envi")));
    let headings = |text: &str| -> Vec<String> {
        text.lines().filter(|l| l.ends_with("):") || l.ends_with("dump:")).map(squeeze).collect()
    };
    let dump = shape(&server.word("dump")).join("\n");
    assert_eq!(headings(&dump), headings(&shape(&golden("dump")).join("\n")));
}

#[test]
fn mntr_has_apaches_keys_with_either_provider() {
    let server = TestServer::start();
    assert_eq!(keys(&server.word("mntr")), keys(&golden("mntr")));
    let prometheus = TestServer::start_with(|config| {
        config.metrics = MetricsProvider::Prometheus {
            host: "127.0.0.1".to_owned(),
            port: 0,
            export_jvm_info: true,
        };
    });
    let of_jvm =
        |key: &String| key.starts_with("zk_jvm_") && !key.starts_with("zk_jvm_pause_time_ms");
    let want: BTreeSet<String> =
        keys(&golden("mntr_prometheus")).into_iter().filter(|key| !of_jvm(key)).collect();
    assert_eq!(keys(&prometheus.word("mntr")), want);
}

#[test]
fn numbers_move_with_what_clients_do() {
    let server = TestServer::start();
    let mut client = server.client();
    client.create("/app", b"12345");
    client.call(&Request::Read { op: OpCode::Exists, path: "/nope", watch: true });
    client.call(&get("/app"));
    let mntr = server.word("mntr");
    let value = |key: &str| -> f64 {
        let line = mntr.lines().find(|line| line.starts_with(&format!("{key}\t"))).unwrap();
        line.split_once('\t').unwrap().1.parse().unwrap()
    };
    for (key, want) in [
        ("zk_znode_count", 6.0),
        ("zk_watch_count", 1.0),
        ("zk_global_sessions", 1.0),
        ("zk_num_alive_connections", 2.0),
        ("zk_approximate_data_size", 53.0),
        ("zk_connection_request_count", 1.0),
        ("zk_cnt_readlatency", 2.0),
        ("zk_cnt_app_read_per_namespace", 1.0),
        ("zk_cnt_app_write_per_namespace", 1.0),
        ("zk_packets_received", 5.0),
        ("zk_cnt_startup_snap_load_time", 1.0),
    ] {
        assert!((value(key) - want).abs() < 1e-9, "{key} = {}", value(key));
    }
    for key in [
        "zk_cnt_updatelatency",
        "zk_cnt_fsynctime",
        "zk_cnt_sync_processor_batch_size",
        "zk_bytes_received_count",
        "zk_response_bytes",
        "zk_open_file_descriptor_count",
        "zk_cnt_dbinittime",
        "zk_last_client_response_size",
    ] {
        assert!(value(key) > 0.0, "{key}");
    }
    let session = format!("{:x}", client.session.0);
    assert!(server.word("conf").contains("/version-2\ndataDirSize="));
    assert_eq!(server.word("wchs"), "1 connections watching 1 paths\nTotal watches:1\n");
    assert_eq!(server.word("wchc"), format!("0x{session}\n\t/nope\n\n"));
    assert_eq!(server.word("wchp"), format!("/nope\n\t0x{session}\n\n"));
    let cons = server.word("cons");
    assert!(cons.contains(&format!("(queued=0,recved=4,sent=4,sid=0x{session},lop=GETD,est=")));
    assert!(cons.contains(",to=30000,lcxid=0x3,lzxid=0x2,lresp="), "{cons}");
    assert!(server.word("dump").contains(&format!("\t0x{session}\n")));
    server.word("srst");
    assert!(server.word("srvr").contains("Received: 1\n"));
    assert!(server.word("mntr").contains("zk_connection_request_count\t0\n"));
}

#[test]
fn quotas_and_watch_events_show() {
    let server = TestServer::start();
    let mut client = server.client();
    client.create("/app", b"12345");
    client.create("/zookeeper/quota/app", b"");
    client.create("/zookeeper/quota/app/zookeeper_limits", b"count=10,bytes=-1");
    client.create("/zookeeper/quota/app/zookeeper_stats", b"count=0,bytes=0");
    client.call(&Request::Read { op: OpCode::GetData, path: "/app", watch: true });
    client.send(&Request::SetData { path: "/app", data: Some(b"1234567"), version: -1 });
    assert_eq!(client.reply().header.xid.0, -1, "the event comes before the reply");
    client.reply();
    let mntr = server.word("mntr");
    for line in [
        "zk_app_quota_count_limit_per_namespace\t10\n",
        "zk_app_quota_bytes_limit_per_namespace\t-1\n",
        "zk_app_quota_count_usage_per_namespace\t1\n",
        "zk_app_quota_bytes_usage_per_namespace\t7\n",
        "zk_sum_node_changed_watch_count\t1\n",
    ] {
        assert!(mntr.contains(line), "{line}");
    }
    assert!(server.metric("watch_bytes") > 0.0);
}

#[test]
fn only_listed_words_are_answered() {
    let server = TestServer::start_with(|config| {
        config.words = WordList::Only(["ruok".to_owned()].into());
    });
    assert!(server.word("srvr").starts_with("Zookeeper version: 3.9.5-watchkeeper-"));
    assert_eq!(server.word("ruok"), "imok");
    for word in Word::ALL.iter().map(|word| word.text()) {
        if !["srvr", "ruok"].contains(&word) {
            let want = format!("{word} is not executed because it is not in the whitelist.\n");
            assert_eq!(server.word(word), want);
        }
    }
}

#[test]
fn a_word_is_one_only_before_the_handshake() {
    let server = TestServer::start();
    let mut client = server.client();
    client.stream.write_all(b"ruok").unwrap();
    let mut rest = Vec::new();
    let _ = client.stream.read_to_end(&mut rest);
    assert_eq!(rest, b"", "an impossible length closes the connection");
    assert_eq!(server.word("ruok\n"), "imok", "what follows the word does not matter");
    let mut slowly = server.connect();
    for byte in b"ruok" {
        slowly.write_all(&[*byte]).unwrap();
    }
    let mut text = String::new();
    slowly.read_to_string(&mut text).unwrap();
    assert_eq!(text, "imok");
}

//! The AdminServer beside Apache's: the same commands, keys, order and spelling; only numbers and
//! names of this server are masked.

use std::collections::BTreeMap;
use std::net::TcpListener;

use serde_json::Value;
use wk_client::{Client, CreateMode};
use wk_peers::Server;
use wk_peers::wait::{LONG, http_get};

use crate::harness::{
    Running, cache, control_spec, control_with_pages, start, subject_spec, subject_with_pages,
};

/// Commands whose whole text must be equal. `monitor` has a test of its own.
const ALIKE: &[&str] = &[
    "ruok",
    "stats",
    "stat",
    "srvr",
    "server_stats",
    "connections",
    "cons",
    "configuration",
    "conf",
    "config",
    "dirs",
    "dump",
    "is_read_only",
    "isro",
    "leader",
    "lead",
    "obsr",
    "observers",
    "voting_view",
    "watch_summary",
    "wchs",
    "watches",
    "wchc",
    "watches_by_path",
    "wchp",
    "zabstate",
    "connection_stat_reset",
    "crst",
    "stat_reset",
    "srst",
    "nosuch",
    "no/such",
];

/// Commands that show a Java bean: Apache orders its keys as the virtual machine lists the methods,
/// which may differ from start to start.
const BEANS: &[&str] = &["stats", "stat", "srvr", "server_stats"];

/// Keys with text of this server or this moment.
const OWN_TEXT: &[&str] = &["version", "data_dir", "data_log_dir", "remote_socket_address"];

#[test]
fn commands_answer_as_apaches_do() {
    let (ours, theirs) = (subject_with_pages(), control_with_pages());
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    let _sessions = runtime.block_on(async { (session(&ours).await, session(&theirs).await) });
    for command in ALIKE {
        assert_eq!(masked(&ours, command), masked(&theirs, command), "{command}, ours left");
    }
}

#[test]
fn monitor_has_every_key_of_apaches_with_its_type() {
    let (ours, theirs) = (subject_with_pages(), control_with_pages());
    for command in ["monitor", "mntr"] {
        let (ours, theirs) = (keys(&ours, command), keys(&theirs, command));
        assert!(theirs.len() > 300, "Apache shows more: {}", theirs.len());
        for (key, kind) in theirs {
            // Figures of a JVM have no meaning here.
            if !key.starts_with("jvm_") || key.starts_with("jvm_pause") {
                assert_eq!(ours.get(&key).map(String::as_str), Some(kind.as_str()), "{key}");
            }
        }
    }
}

#[test]
fn paths_beside_the_commands_answer_as_apaches_do() {
    let (ours, theirs) = (subject_with_pages(), control_with_pages());
    let status = |server: &Server, path| http_get(server.admin, path).unwrap().0;
    for path in ["/", "/commands", "/commands/", "/nothing", "/commands/ruok?x=y"] {
        let code = |line: String| line.split(' ').nth(1).map(str::to_owned);
        assert_eq!(code(status(&ours, path)), code(status(&theirs, path)), "{path}");
    }
    let (_, links) = http_get(ours.admin, "/commands").unwrap();
    let (_, all) = http_get(theirs.admin, "/commands").unwrap();
    for line in links.lines() {
        assert!(all.contains(line), "{line} is none of Apache's");
    }
}

#[test]
fn command_url_moves_and_enable_server_turns_off() {
    let dir = tempfile::tempdir().unwrap();
    let moved = start(&subject_spec(dir.path()).with_pages().with("admin.commandURL=/ops"));
    let code = |path| http_get(moved.admin, path).unwrap().0.split(' ').nth(1).map(str::to_owned);
    assert_eq!(code("/ops/ruok").as_deref(), Some("200"));
    assert_eq!(code("/commands/ruok").as_deref(), Some("404"));

    let dir = tempfile::tempdir().unwrap();
    let off = start(&subject_spec(dir.path()).with_pages().with("admin.enableServer=false"));
    assert!(http_get(off.admin, "/commands/ruok").is_err(), "nothing listens there");
}

#[test]
fn taken_ports_of_pages_stop_the_start_with_apaches_exit_codes() {
    let holder = TcpListener::bind("127.0.0.1:0").unwrap();
    let taken = holder.local_addr().unwrap().port();
    for (key, code) in [("admin.serverPort", 4), ("metricsProvider.httpPort", 1)] {
        for spec in [subject_spec, control_spec] {
            let dir = tempfile::tempdir().unwrap();
            let spec = spec(dir.path()).with_pages().with(&format!("{key}={taken}"));
            let mut server = spec.spawn(&cache()).unwrap();
            let status = server.process.wait(LONG).unwrap();
            assert_eq!(status.code(), Some(code), "{key}: {}", server.process.tail());
        }
    }
}

/// A session with an ephemeral and a watch, the same at both servers.
async fn session(server: &Running) -> Client {
    let client = Client::builder(&server.address()).connect().await.unwrap();
    client.create("/e", "x", CreateMode::Ephemeral).await.unwrap();
    let (_, _watcher) = client.get_watch("/e").await.unwrap();
    client
}

fn keys(server: &Server, command: &str) -> BTreeMap<String, String> {
    let (_, body) = http_get(server.admin, &format!("/commands/{command}")).unwrap();
    let json: Value = serde_json::from_str(&body).unwrap();
    let kind = |value: &Value| match value {
        // "NaN" where nothing was seen, a number later: which of them is a matter of the moment.
        Value::Number(_) => "number".to_owned(),
        Value::String(text) if text == "NaN" => "number".to_owned(),
        Value::String(_) => "text".to_owned(),
        Value::Null | Value::Bool(_) | Value::Array(_) | Value::Object(_) => value.to_string(),
    };
    let all = json.as_object().unwrap().iter();
    all.map(|(key, value)| (key.clone(), kind(value))).collect()
}

fn masked(server: &Server, command: &str) -> String {
    let (status, body) = http_get(server.admin, &format!("/commands/{command}")).unwrap();
    let mut text = status.split(' ').nth(1).unwrap_or("").to_owned();
    for line in body.lines() {
        // A set of sessions that have all moved on stands there until its time has come.
        if without_numbers(line).trim() == "\"0\" : [ ]," {
            continue;
        }
        text.push('\n');
        let key = line.trim().trim_start_matches('"').split('"').next().unwrap_or("");
        if OWN_TEXT.contains(&key) {
            text.push_str(line.split(" : ").next().unwrap_or(line));
        } else {
            text.push_str(&without_numbers(line));
        }
    }
    if BEANS.contains(&command) {
        let mut lines: Vec<_> = text.lines().map(|line| line.trim_end_matches(',')).collect();
        lines.sort_unstable();
        text = lines.join("\n");
    }
    text
}

/// Runs of digits become `0`; a sign or a fraction belongs to the number.
fn without_numbers(line: &str) -> String {
    let mut out = String::new();
    for c in line.chars() {
        match c {
            '0'..='9' | '-' | '.' if out.ends_with('0') => {}
            '0'..='9' | '-' => out.push('0'),
            c => out.push(c),
        }
    }
    out
}

//! Apache's own command line, unmodified: each script is typed into it twice, at the server under
//! test and at Apache ZooKeeper 3.9.5, and must print the same.
//!
//! Both servers are fresh, so even the zxids are equal; only times, the address and the id of the
//! session are masked. Watch events come from another thread of zkCli, so their place between the
//! answers is free, but not their order among themselves.

use std::fs;
use std::io::Write;
use std::process::{Command, Stdio};

use wk_peers::{Peer, Server, java, wait};

use crate::harness::{cache, control, control_spec, peer, start, subject, subject_spec};

#[test]
fn nodes_are_made_read_changed_and_removed() {
    same_answers(&[
        "create /a hello",
        "get /a",
        "get -s /a",
        "create /a again",
        "create /missing/b x",
        "create /a/b one",
        "create -s /a/s- seq",
        "create -s /a/s- seq",
        "create -c /box",
        "create -e /eph mine",
        "create /eph/child x",
        "getEphemerals",
        "getEphemerals /nothing",
        "getAllChildrenNumber /",
        "ls /",
        "ls -s /a",
        "ls -R /",
        "set /a new",
        "set -s /a newer",
        "set -v 0 /a late",
        "set /missing x",
        "stat /a",
        "stat /missing",
        "sync /a",
        "delete /a",
        "delete -v 7 /a/b",
        "delete /a/b",
        "delete /a/b",
        "deleteall /a",
        "delete /zookeeper",
        "create bad x",
        "create /a/ x",
        "create /a//b x",
        "create /ends/. x",
        "ls -R /",
        "whoami",
    ]);
}

#[test]
fn access_lists_hold_for_the_command_line() {
    same_answers(&[
        "create /open x",
        "getAcl /open",
        "getAcl -s /open",
        "setAcl /open world:anyone:r",
        "getAcl /open",
        "set /open y",
        "get /open",
        "setAcl /open world:anyone:cdrwa",
        "addauth digest alice:secret",
        "whoami",
        "create /mine x auth::cdrwa",
        "getAcl /mine",
        "create /digest x digest:bob:Jq7wMyA/w2Vd5WIDAKdu4OIIFEQ=:cdrwa",
        "get /digest",
        "getAcl /digest",
        "setAcl /digest world:anyone:cdrwa",
        "create /local x ip:127.0.0.1:rw",
        "get /local",
        "create /local/child x",
        "setAcl /local world:anyone:cdrwa",
        "create /wrong x world:somebody:r",
        "create /wrong x digest:nocolon:r",
        "create /wrong x ip:not.an.address:r",
        "setAcl -v 5 /open world:anyone:r",
        "setAcl -s -v 2 /open world:anyone:r",
        "setAcl -R /mine auth::r",
        "getAcl /mine",
    ]);
}

#[test]
fn quotas_are_kept_as_nodes() {
    same_answers(&[
        "create /q x",
        "listquota /q",
        "setquota -n 2 /q",
        "listquota /q",
        "create /q/one 12345",
        "create /q/two 12345",
        "create /q/three 12345",
        "listquota /q",
        "get /zookeeper/quota/q/zookeeper_limits",
        "get /zookeeper/quota/q/zookeeper_stats",
        "stat /zookeeper/quota/q/zookeeper_stats",
        "setquota -b 9 /q",
        "listquota /q",
        "set /q/one 1",
        "delete /q/three",
        "listquota /q",
        "setquota -N 9 /q",
        "setquota -B 1000 /q",
        "get /zookeeper/quota/q/zookeeper_limits",
        "setquota -n 1 /q/one",
        "delquota -n /q",
        "listquota /q",
        "delquota /q",
        "listquota /q",
        "ls -R /zookeeper",
    ]);
}

#[test]
fn hard_quotas_refuse_where_they_are_enforced() {
    let dirs = [tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap()];
    let servers = [subject_spec(dirs[0].path()), control_spec(dirs[1].path())]
        .map(|spec| start(&spec.with("enforceQuota=true")));
    let lines = [
        "create /q x",
        "setquota -N 3 /q",
        "setquota -B 20 /q",
        "create /q/one 12345",
        "create /q/two 12345",
        "create /q/three 12345",
        "set /q/one 1234567890",
        "set /q/one 12345678901234567890",
        "set -v 7 /q/one 12345678901234567890",
        "create -e /q/three 1",
        "create -c /q/three 1",
        "delete /q/two",
        "create -s /q/three- 1",
        "listquota /q",
        "create /free 12345678901234567890",
    ];
    let [ours, theirs] = servers.each_ref().map(|server| type_in(server, &lines).answers);
    assert!(theirs.iter().any(|line| line.contains("Quota has exceeded")), "{theirs:#?}");
    assert_eq!(ours, theirs, "answers, ours left");
    // Counted under the first component of the path.
    let [ours, theirs] = servers.each_ref().map(|server| {
        let mntr = wait::four_letter(server.client, "mntr").unwrap();
        let row = mntr.lines().find(|line| line.contains("quota_exceeded")).map(str::to_owned);
        row.unwrap_or_else(|| panic!("not counted:\n{mntr}"))
    });
    assert_eq!(ours, theirs);
}

#[test]
fn watches_of_every_kind_fire_alike() {
    same_answers(&[
        "create /w x",
        "get -w /w",
        "set /w one",
        "set /w two",
        "ls -w /w",
        "create /w/kid x",
        "stat -w /w/later",
        "create /w/later x",
        "stat -w /w",
        "set /w three",
        "addWatch -m PERSISTENT /w",
        "set /w four",
        "create /w/more x",
        "delete /w/more",
        "addWatch -m PERSISTENT_RECURSIVE /r",
        "create /r x",
        "create /r/a x",
        "create /r/a/b x",
        "set /r/a/b y",
        "deleteall /r",
        "removewatches /w",
        "set /w five",
        "removewatches /w",
        "removewatches /nothing -d",
        "config",
        "config -s",
    ]);
}

/// Types `lines` into zkCli at both servers and compares what it prints.
fn same_answers(lines: &[&str]) {
    let (ours, theirs) = (type_in(&subject(), lines), type_in(&control(), lines));
    assert!(theirs.answers.len() > lines.len() / 2, "zkCli hardly answered:\n{theirs:#?}");
    assert_eq!(ours.answers, theirs.answers, "answers, ours left");
    assert_eq!(ours.events, theirs.events, "watch events, ours left");
}

/// What zkCli printed, masked.
#[derive(Debug)]
pub(crate) struct Printed {
    pub(crate) answers: Vec<String>,
    events: Vec<String>,
}

fn type_in(server: &Server, lines: &[&str]) -> Printed {
    type_into(&server.address(), &[], lines)
}

/// Types into zkCli, with further options of its Java.
pub(crate) fn type_into(address: &str, options: &[String], lines: &[&str]) -> Printed {
    let jars = peer(Peer::ZooKeeper);
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("printed");
    let file = fs::File::create(&path).unwrap();
    let mut command: Command = java::zookeeper_tool(&cache(), &jars).unwrap();
    command
        .args(options)
        .args(["org.apache.zookeeper.ZooKeeperMain", "-server", address])
        .args(["-timeout", "30000", "-waitforconnection"])
        // Its answers go to one stream and its errors to the other: one file keeps their order.
        .stdin(Stdio::piped())
        .stdout(file.try_clone().unwrap())
        .stderr(file);
    let mut child = command.spawn().unwrap();
    let mut input = child.stdin.take().unwrap();
    for line in lines.iter().chain(&["quit"]) {
        writeln!(input, "{line}").unwrap();
    }
    drop(input);
    child.wait().unwrap();
    let text = fs::read_to_string(&path).unwrap();
    assert!(text.contains("(CONNECTED)"), "zkCli did not connect:\n{text}");
    masked(&text, address)
}

fn masked(text: &str, address: &str) -> Printed {
    let mut printed = Printed { answers: Vec::new(), events: Vec::new() };
    // Before the first prompt come greetings and remarks on the terminal.
    let prompt = format!("[zk: {address}(");
    for part in text.split(&prompt).skip(1) {
        // A prompt ends with its number; whether a line break follows depends on the events' thread.
        let (_, part) = part.split_once("] ").unwrap_or(("", part));
        for line in part.lines().map(str::trim_end) {
            if line.starts_with("WatchedEvent") {
                // The end of the session is announced or not, depending on who is first.
                if !line.contains("type:None") {
                    printed.events.push(line.to_owned());
                }
            } else if !line.is_empty() && line != "WATCHER::" {
                printed.answers.push(mask_line(line));
            }
        }
    }
    // The identities of a connection are a set: `whoami` lists them in no order.
    if let Some(at) = printed.answers.iter().position(|line| line == "Auth scheme: User") {
        let rest = &mut printed.answers[at + 1..];
        let schemes = ["ip:", "digest:", "x509:", "sasl:", "super:"];
        let is_identity = |line: &String| schemes.iter().any(|scheme| line.starts_with(scheme));
        let end = rest.iter().position(|line| !is_identity(line)).unwrap_or(rest.len());
        rest[..end].sort();
    }
    printed
}

/// Hides what differs from server to server: times, and the id of the session.
fn mask_line(line: &str) -> String {
    for key in ["ctime = ", "mtime = "] {
        if let Some(at) = line.find(key) {
            return format!("{}TIME", &line[..at + key.len()]);
        }
    }
    match line.find("ephemeralOwner = 0x1") {
        Some(at) => format!("{}ephemeralOwner = SESSION", &line[..at]),
        None => line.to_owned(),
    }
}

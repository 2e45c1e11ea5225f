//! A live 3.9.5 ensemble whose member list and ACLs are changed: discovery follows, a rule says so,
//! and the audit of a monitor with a tap names who and what.

use std::io::Write as _;
use std::process::Stdio;

use serde_json::Value;
use wk_peers::{Ensemble, EnsembleSpec, Peer, Version, java, wait};

use crate::harness::{cache, peer};
use crate::up::Up;

/// Types lines into zkCli at a member.
fn zkcli(ensemble: &Ensemble, index: usize, lines: &[&str]) {
    let mut command = java::zookeeper_tool(&cache(), &peer(Peer::ZooKeeper)).unwrap();
    let address = ensemble.members[index].address();
    command.args(["org.apache.zookeeper.ZooKeeperMain", "-server", &address]);
    command.args(["-timeout", "30000", "-waitforconnection"]);
    let mut child =
        command.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    let mut input = child.stdin.take().unwrap();
    for line in lines.iter().chain(&["quit"]) {
        writeln!(input, "{line}").unwrap();
    }
    drop(input);
    child.wait().unwrap();
}

/// Waits until exactly these servers are watched, and up.
fn wait_watched(up: &Up, addresses: &[String]) {
    let mut wanted = addresses.to_vec();
    wanted.sort();
    wait::until("exactly the members to be watched", wait::LONG, || {
        let fleet = up.api("/api/v1/fleet");
        let servers = fleet["ensembles"][0]["servers"].as_array().cloned().unwrap_or_default();
        let is_up = |one: &&Value| one["state"] == "up";
        let mut found: Vec<String> = servers
            .iter()
            .filter(is_up)
            .map(|one| one["instance"].as_str().unwrap_or_default().to_owned())
            .collect();
        found.sort();
        Ok((found == wanted && servers.len() == wanted.len()).then_some(()))
    })
    .unwrap_or_else(|err| panic!("{err:#}\n{}", up.api("/api/v1/fleet")));
}

/// The lines of the audit about the ensemble.
fn audit(up: &Up) -> Vec<Value> {
    let mut lines = up.api("/api/v1/audit?limit=1000")["audit"].as_array().cloned().unwrap();
    lines.retain(|line| line["about"] == "ensemble/main");
    lines
}

fn wait_audit(up: &Up, parts: &[&str]) -> String {
    let found = wait::until("a line of the audit", wait::LONG, || {
        let lines = audit(up);
        let mut texts = lines.iter().filter_map(|line| line["text"].as_str());
        Ok(texts.find(|text| parts.iter().all(|part| text.contains(part))).map(str::to_owned))
    });
    found.unwrap_or_else(|err| panic!("{parts:?}: {err:#}\n{:#?}", audit(up)))
}

#[test]
fn changes_of_members_and_acls_are_followed_told_and_kept() {
    let dir = tempfile::tempdir().unwrap();
    let ensemble = EnsembleSpec::new(Version::V3_9, dir.path())
        .with("tickTime=1000")
        .with("reconfigEnabled=true")
        .with_jvm_flag("-Dzookeeper.skipACL=yes")
        .start(&cache())
        .unwrap_or_else(|err| panic!("{err:#}"));
    let leader = ensemble.leader().unwrap();
    let gone = ensemble.followers().unwrap()[0];
    let member = &ensemble.members[gone];
    let (sid, addresses) = (member.sid.to_string(), ensemble.addresses());
    let line = format!(
        "server.{sid}=127.0.0.1:{}:{}:participant;127.0.0.1:{}",
        member.quorum, member.election, member.client
    );
    let up = Up::start_with(&["--tap", &addresses[leader]]);
    wait_watched(&up, &addresses);
    wait::until("the monitor's tap to follow", wait::LONG, || {
        let observers = super::value(&ensemble, leader, "mntr", "zk_synced_observers");
        Ok((observers.as_deref() == Some("1")).then_some(()))
    })
    .unwrap();

    zkcli(&ensemble, leader, &["create /x y", "setAcl /x world:anyone:cdrw"]);
    let acl = wait_audit(&up, &["ACL of /x", "world:anyone:15", "session 0x"]);
    assert!(acl.contains("zxid 0x"), "{acl}");
    zkcli(&ensemble, leader, &[&format!("reconfig -remove {sid}")]);
    let mut left = addresses.clone();
    left.remove(gone);
    wait_watched(&up, &left);
    let removed = wait_audit(&up, &["member list was changed", "session 0x"]);
    assert!(!removed.contains(&format!("server.{sid}=")), "{removed}");
    up.incident("ZkMembersChanged", "firing");

    zkcli(&ensemble, leader, &[&format!("reconfig -add {line}")]);
    wait_watched(&up, &addresses);
    wait_audit(&up, &["member list was changed", &format!("server.{sid}=")]);
}

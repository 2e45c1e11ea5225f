//! How each fault is made. Every function gives the time and the subject of its fault; what goes on
//! afterwards (a crash loop, say) is a step that the waiting trial calls again and again.

use std::fs::{self, File, OpenOptions};
use std::io::{Read, Seek, SeekFrom, Write};
use std::net::TcpListener;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use wk_peers::disk::{BadSync, Sync};
use wk_peers::receivers::Reply;
use wk_peers::{Version, wait};

use super::rig::{Rig, pass};
use super::verdict::{Fault, Seen, Subject};

/// The address by which the monitor knows a member.
fn server(rig: &Rig, index: usize) -> Subject {
    Subject::Server(rig.ensemble.members[index].address())
}

fn follower(rig: &Rig) -> Result<usize> {
    let followers = rig.ensemble.followers()?;
    // Not always the same one.
    followers.get(rig.trials % followers.len().max(1)).copied().context("no follower")
}

fn kill(rig: &mut Rig, index: usize) -> Result<Fault> {
    let subject = server(rig, index);
    let at = Instant::now();
    rig.ensemble.kill(index)?;
    Ok(Fault::new(at, subject))
}

pub(super) fn server_kill(rig: &mut Rig) -> Result<Fault> {
    let index = follower(rig)?;
    kill(rig, index)
}

pub(super) fn leader_kill(rig: &mut Rig) -> Result<Fault> {
    let index = rig.ensemble.leader()?;
    kill(rig, index)
}

pub(super) fn majority_kill(rig: &mut Rig) -> Result<Fault> {
    let leader = rig.ensemble.leader()?;
    let followers = rig.ensemble.followers()?;
    // In turn the leader survives and a follower does: what they show differs.
    let gone = if rig.trials.is_multiple_of(2) {
        [leader, followers[0]]
    } else {
        [followers[0], followers[1]]
    };
    let at = Instant::now();
    for index in gone {
        rig.ensemble.kill(index)?;
    }
    Ok(Fault::new(at, Subject::Ensemble { at: gone.map(|index| address(rig, index)).to_vec() }))
}

fn address(rig: &Rig, index: usize) -> String {
    rig.ensemble.members[index].address()
}

fn pause(rig: &mut Rig, index: usize) -> Result<Instant> {
    let at = Instant::now();
    rig.ensemble.pause(index)?;
    Ok(at)
}

pub(super) fn leader_pause(rig: &mut Rig) -> Result<Fault> {
    let leader = rig.ensemble.leader()?;
    let at = pause(rig, leader)?;
    Ok(Fault::new(at, Subject::Ensemble { at: vec![address(rig, leader)] }))
}

pub(super) fn server_pause(rig: &mut Rig) -> Result<Fault> {
    let index = follower(rig)?;
    let subject = server(rig, index);
    let at = pause(rig, index)?;
    let mut stopped = true;
    Ok(Fault::new(at, subject).step(move |rig| {
        if stopped && at.elapsed() >= Duration::from_secs(10) {
            stopped = false;
            rig.ensemble.resume(index)?;
        }
        Ok(())
    }))
}

pub(super) fn crash_loop(rig: &mut Rig) -> Result<Fault> {
    let index = follower(rig)?;
    let fault = kill(rig, index)?;
    Ok(fault.step(move |rig| {
        let member = &rig.ensemble.members[index];
        if !member.runs() {
            rig.ensemble.launch(index)?;
        } else if member.mode().is_ok_and(|mode| mode.is_some()) {
            // Long enough for a look each second to meet it.
            pass(Duration::from_millis(1200));
            rig.ensemble.kill(index)?;
            pass(Duration::from_millis(500));
        }
        Ok(())
    }))
}

pub(super) fn port_taken(rig: &mut Rig) -> Result<Fault> {
    let index = follower(rig)?;
    let member = &rig.ensemble.members[index];
    let address = (member.place.host, member.client);
    let fault = kill(rig, index)?;
    let listener = wait::until("the port", wait::LONG, || {
        Ok(Some(TcpListener::bind(address).context("take the port")?))
    })?;
    rig.held.push(Box::new(listener));
    rig.ensemble.launch(index)?;
    Ok(fault)
}

pub(super) fn wrong_list(rig: &mut Rig) -> Result<Fault> {
    let (index, leader) = (follower(rig)?, rig.ensemble.leader()?);
    rig.ensemble.stop(index)?;
    let others = rig.ensemble.members.iter().filter(|member| member.index != leader);
    let list: Vec<_> = others.map(wk_peers::Member::listing).collect();
    let at = Instant::now();
    rig.ensemble.launch_with(index, &list)?;
    Ok(Fault::new(at, server(rig, index)))
}

fn net(rig: &Rig) -> Result<&wk_peers::Net> {
    rig.net.as_ref().context("this kind runs in namespaces")
}

pub(super) fn leader_cut(rig: &mut Rig) -> Result<Fault> {
    let leader = rig.ensemble.leader()?;
    let at = Instant::now();
    net(rig)?.isolate(leader)?;
    Ok(Fault::new(at, Subject::Ensemble { at: vec![address(rig, leader)] }))
}

pub(super) fn link_cut(rig: &mut Rig) -> Result<Fault> {
    let (leader, index) = (rig.ensemble.leader()?, follower(rig)?);
    let at = Instant::now();
    net(rig)?.cut(leader, index)?;
    let located = vec![address(rig, index)];
    Ok(Fault::new(at, Subject::ServerOrEnsemble { at: located }))
}

pub(super) fn majority_split(rig: &mut Rig) -> Result<Fault> {
    let at = Instant::now();
    for index in 0..rig.ensemble.members.len() {
        net(rig)?.isolate(index)?;
    }
    Ok(Fault::new(at, Subject::Ensemble { at: Vec::new() }))
}

pub(super) fn election_port(rig: &mut Rig) -> Result<Fault> {
    let index = follower(rig)?;
    let port = rig.ensemble.members[index].election;
    let at = Instant::now();
    net(rig)?.close_port(index, port)?;
    Ok(Fault::new(at, server(rig, index)))
}

pub(super) fn loss(rig: &mut Rig) -> Result<Fault> {
    let at = Instant::now();
    net(rig)?.lose(0.05)?;
    Ok(Fault::new(at, Subject::Ensemble { at: Vec::new() }))
}

fn disk_full(rig: &mut Rig, index: usize) -> Result<Fault> {
    let at = Instant::now();
    rig.disks.get(index).context("this kind has small disks")?.fill()?;
    Ok(Fault::new(at, server(rig, index)))
}

pub(super) fn follower_disk_full(rig: &mut Rig) -> Result<Fault> {
    let index = follower(rig)?;
    disk_full(rig, index)
}

pub(super) fn leader_disk_full(rig: &mut Rig) -> Result<Fault> {
    let index = rig.ensemble.leader()?;
    disk_full(rig, index)
}

fn bad_sync(rig: &mut Rig, index: usize, sync: Sync) -> Result<Instant> {
    let pid = rig.ensemble.members[index].pid().context("the member does not run")?;
    let log = rig.dir.path().join("strace.log");
    let at = Instant::now();
    rig.bad_syncs.push(BadSync::attach(&rig.bench.cache, pid, sync, &log)?);
    Ok(at)
}

pub(super) fn slow_fsync(rig: &mut Rig) -> Result<Fault> {
    let (leader, index) = (rig.ensemble.leader()?, follower(rig)?);
    let slow = Sync::Slow(Duration::from_millis(120));
    let at = bad_sync(rig, leader, slow)?;
    bad_sync(rig, index, slow)?;
    Ok(Fault::new(at, Subject::AnyServer(vec![address(rig, leader), address(rig, index)])))
}

pub(super) fn read_only_disk(rig: &mut Rig) -> Result<Fault> {
    let index = follower(rig)?;
    let at = bad_sync(rig, index, Sync::Fails("EROFS"))?;
    Ok(Fault::new(at, server(rig, index)))
}

pub(super) fn torn_log(rig: &mut Rig) -> Result<Fault> {
    let index = follower(rig)?;
    let fault = kill(rig, index)?;
    damage(&newest_log(rig, index)?)?;
    rig.ensemble.launch(index)?;
    Ok(fault)
}

fn newest_log(rig: &Rig, index: usize) -> Result<PathBuf> {
    let dir = rig.ensemble.members[index].data().join("version-2");
    let mut logs = Vec::new();
    for entry in fs::read_dir(&dir).with_context(|| format!("list {}", dir.display()))? {
        let path = entry.context("list the logs")?.path();
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        if let Some(zxid) = name.strip_prefix("log.") {
            logs.push((u64::from_str_radix(zxid, 16).unwrap_or(0), path));
        }
    }
    logs.sort();
    logs.pop().map(|(_, path)| path).context("a member without a log")
}

/// Turns bytes over in the last records: their checksums no longer hold.
fn damage(path: &std::path::Path) -> Result<()> {
    let mut file = OpenOptions::new().read(true).write(true).open(path)?;
    let mut bytes = Vec::new();
    file.read_to_end(&mut bytes).context("read the log")?;
    let used = bytes.iter().rposition(|byte| *byte != 0).context("an empty log")?;
    let from = used.saturating_sub(60);
    file.seek(SeekFrom::Start(from as u64)).context("damage the log")?;
    let turned: Vec<u8> = bytes[from..used].iter().map(|byte| !byte).collect();
    file.write_all(&turned).context("damage the log")?;
    File::sync_all(&file).context("damage the log")
}

pub(super) fn connection_leak(rig: &mut Rig) -> Result<Fault> {
    let index = follower(rig)?;
    let at = Instant::now();
    rig.client(&["leak", &address(rig, index), "75"])?;
    Ok(Fault::new(at, server(rig, index)))
}

pub(super) fn reconnect_loop(rig: &mut Rig) -> Result<Fault> {
    let index = follower(rig)?;
    let at = Instant::now();
    rig.client(&["churn", &address(rig, index), "20"])?;
    Ok(Fault::new(at, server(rig, index)))
}

pub(super) fn znode_flood(rig: &mut Rig) -> Result<Fault> {
    let hosts = rig.ensemble.hosts();
    let at = Instant::now();
    rig.client(&["flood", &hosts, "105000"])?;
    Ok(Fault::new(at, Subject::Anywhere))
}

pub(super) fn expiry_wave(rig: &mut Rig) -> Result<Fault> {
    let hosts = rig.ensemble.hosts();
    rig.client(&["wave", &hosts, "40", "4"])?;
    pass(Duration::from_secs(2));
    let mut wave = rig.clients.pop().context("the wave runs")?;
    let at = Instant::now();
    wave.kill()?;
    Ok(Fault::new(at, Subject::Ensemble { at: Vec::new() }))
}

/// Starts a follower again after `change`; the fault begins when it serves.
fn changed(rig: &mut Rig, change: impl FnOnce(&mut Rig, usize)) -> Result<Fault> {
    let index = follower(rig)?;
    let begun = Instant::now();
    rig.ensemble.stop(index)?;
    change(rig, index);
    rig.ensemble.restart(index)?;
    let subject = Subject::Ensemble { at: vec![address(rig, index)] };
    Ok(Fault::new(Instant::now(), subject).since(begun))
}

pub(super) fn config_drift(rig: &mut Rig) -> Result<Fault> {
    changed(rig, |rig, index| rig.ensemble.set_line(index, "tickTime=3000"))
}

pub(super) fn mixed_versions(rig: &mut Rig) -> Result<Fault> {
    changed(rig, |rig, index| rig.ensemble.members[index].version = Version::V3_8)
}

/// The fault is there from the start: time runs from the start of the monitor.
pub(super) fn certificate(rig: &mut Rig) -> Result<Fault> {
    Ok(Fault::new(rig.monitor()?.started, Subject::Anywhere))
}

/// A name that no node of an earlier trial had.
fn node_name(rig: &Rig, letter: char) -> String {
    format!("{letter}{}", rig.trials)
}

/// Registers nodes and lets the monitor see them.
fn join(rig: &mut Rig, kind: &str, group: &str, names: &[String]) -> Result<()> {
    let hosts = rig.ensemble.hosts();
    rig.registered = true;
    for name in names {
        rig.client(&[kind, &hosts, &format!("{group}/{name}"), "4"])?;
    }
    let web = rig.monitor()?.web;
    for name in names {
        let path = format!("/nodes/{group}/{name}");
        wait::until(&format!("{path} to be up"), wait::LONG, || {
            let fleet = super::rig::api(web, "fleet")?;
            let nodes = fleet["ensembles"][0]["nodes"].as_array().cloned().unwrap_or_default();
            let up = |node: &serde_json::Value| node["path"] == *path && node["state"] == "up";
            Ok(nodes.iter().any(up).then_some(()))
        })?;
    }
    Ok(())
}

pub(super) fn node_kill(rig: &mut Rig) -> Result<Fault> {
    let name = node_name(rig, 'a');
    join(rig, "node", "app", std::slice::from_ref(&name))?;
    // Not in step with the node's own pings.
    pass(Duration::from_millis(700 + 37 * (rig.trials as u64 % 40)));
    let mut node = rig.clients.pop().context("the node runs")?;
    let at = Instant::now();
    node.kill()?;
    Ok(Fault::new(at, Subject::Node(name)))
}

pub(super) fn node_flap(rig: &mut Rig) -> Result<Fault> {
    let name = node_name(rig, 'f');
    let hosts = rig.ensemble.hosts();
    rig.registered = true;
    let at = Instant::now();
    rig.client(&["flap", &hosts, &format!("app/{name}"), "4"])?;
    Ok(Fault::new(at, Subject::Node(name)))
}

pub(super) fn group_minimum(rig: &mut Rig) -> Result<Fault> {
    let names = [node_name(rig, 'a'), node_name(rig, 'b')];
    join(rig, "node", "app", &names)?;
    let mut node = rig.clients.pop().context("the node runs")?;
    let at = Instant::now();
    node.kill()?;
    Ok(Fault::new(at, Subject::Group("app".to_owned())))
}

pub(super) fn receiver_down(rig: &mut Rig) -> Result<Fault> {
    let refusals = vec![Reply::Answer { status: 503, body: "busy".into() }; 1000];
    rig.monitor()?.webhook.script(refusals);
    let index = follower(rig)?;
    let fault = kill(rig, index)?;
    let at = fault.at;
    let told = address(rig, index);
    let mut down = true;
    let fault = Fault::new(at, Subject::Channel("webhook".to_owned()));
    Ok(fault.told(&told).step(move |rig| {
        if down && at.elapsed() >= Duration::from_secs(20) {
            down = false;
            rig.monitor()?.webhook.forget_script();
        }
        Ok(())
    }))
}

pub(super) fn receiver_refuses(rig: &mut Rig) -> Result<Fault> {
    let names = [node_name(rig, 'a'), node_name(rig, 'b')];
    join(rig, "node", "app", &names)?;
    let index = follower(rig)?;
    let fault = kill(rig, index)?;
    rig.clients.clear();
    Ok(Fault::new(fault.at, Subject::Channel("dingtalk".to_owned())))
}

pub(super) fn monitor_kill(rig: &mut Rig) -> Result<Fault> {
    rig.monitor()?.webhook.script([Reply::Silence]);
    let index = follower(rig)?;
    let told = address(rig, index);
    let fault = kill(rig, index)?;
    let monitor = rig.monitor()?;
    // A monitor that tells nothing at all is not killed: that trial is missed.
    let sent = wait::until("a notification to be on its way", Duration::from_secs(30), || {
        Ok((!monitor.webhook.taken().is_empty()).then_some(()))
    });
    monitor.webhook.forget_script();
    if sent.is_ok() {
        monitor.kill()?;
        monitor.run()?;
    }
    Ok(fault.told(&told))
}

/// The outage of [`Fault::told`] was told to the first webhook, and under one key.
pub(super) fn told_once(fault: &Fault, seen: &[Seen]) -> Result<(), String> {
    let about = fault.told.as_deref().unwrap_or_default();
    let is_it = |one: &&Seen| {
        !one.spare
            && one.status == "firing"
            && one.rule == "ZkServerUnreachable"
            && one.labels["instance"] == about
    };
    let mut keys: Vec<&str> = seen.iter().filter(is_it).map(|one| one.key.as_str()).collect();
    keys.sort_unstable();
    let copies = keys.len();
    keys.dedup();
    match (keys.len(), copies) {
        (1, _) => Ok(()),
        (0, _) => Err("the outage was never told to the receiver that had failed".to_owned()),
        (distinct, _) => Err(format!("told under {distinct} keys: {}", keys.join(", "))),
    }
}

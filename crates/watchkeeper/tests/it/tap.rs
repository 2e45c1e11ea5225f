//! The tap on real ensembles of Apache servers under load: what it printed is what stands in the
//! members' own txn logs, once and in order, over the kill of leaders; a gap is said where the
//! leader's window was left, and only there.

mod load;
mod logs;
mod members;
mod monitor;

use std::path::Path;
use std::process::Command;

use rustix::process::Signal;
use serde_json::Value;
use wk_peers::{Ensemble, EnsembleSpec, Process, Version, wait};

use crate::harness::{binary, cache, control};
use load::Load;
use logs::{Line, committed};

/// How many txns a leader keeps for those who come back: Apache's default, and its least.
const WINDOW: usize = 500;

/// A running `watchkeeper tap -o jsonl` and the file that it prints to.
struct Printer {
    process: Process,
}

impl Printer {
    fn start(dir: &Path, args: &[&str]) -> Self {
        let mut command = Command::new(binary());
        command.arg("tap").args(["-o", "jsonl"]).args(args);
        let process = Process::start("the tap", &mut command, &dir.join("tap.log")).unwrap();
        let printer = Self { process };
        wait::until("the tap to follow", wait::LONG, || {
            Ok(printer.process.output().contains("following").then_some(()))
        })
        .unwrap_or_else(|err| panic!("{err:#}\n{}", printer.process.tail()));
        printer
    }

    /// The documents so far; notes on stderr are in the same file and are none.
    fn documents(&self) -> Vec<Value> {
        let output = self.process.output();
        let whole = output.rfind('\n').map_or("", |end| &output[..end]);
        let lines = whole.lines().filter(|line| line.starts_with('{'));
        lines.map(|line| serde_json::from_str(line).expect("each line is JSON")).collect()
    }

    fn lines(&self) -> Vec<Line> {
        self.documents().iter().map(Line::of_json).collect()
    }

    /// Waits until the txn `zxid` was printed.
    fn wait_for(&self, zxid: &str) -> Vec<Line> {
        wait::until("the tap to print the last txn", wait::LONG, || {
            let lines = self.lines();
            let there = lines.iter().any(|line| line.zxid() == Some(zxid));
            Ok(there.then_some(lines))
        })
        .unwrap_or_else(|err| panic!("{zxid}: {err:#}\n{}", self.process.tail()))
    }
}

fn start(version: Version, dir: &Path) -> Ensemble {
    EnsembleSpec::new(version, dir)
        .with("tickTime=1000")
        // Only the window: no help from a log that is longer than it.
        .with_jvm_flag("-Dzookeeper.snapshotSizeFactor=-1")
        .start(&cache())
        .unwrap_or_else(|err| panic!("{err:#}"))
}

fn value(ensemble: &Ensemble, index: usize, word: &str, name: &str) -> Option<String> {
    let text = ensemble.members[index].four_letter(word).ok()?;
    let line = text.lines().find(|line| line.starts_with(name))?;
    line.split_whitespace().last().map(str::to_owned)
}

/// Each line that the tap printed is the log's next, or a gap that ends before it.
fn compare(printed: &[Line], logged: &[Line]) -> usize {
    let first = printed.iter().find_map(Line::zxid).expect("a txn");
    let start = logged.iter().position(|line| line.zxid() == Some(first)).expect("it was logged");
    let mut expected = logged[start..].iter().peekable();
    let mut gaps = 0;
    for line in printed {
        if let Line::Gap { to, .. } = line {
            gaps += 1;
            while expected.next_if(|next| next.number() <= *to).is_some() {}
        } else {
            assert_eq!(Some(line), expected.next(), "what follows in the log");
        }
    }
    assert_eq!(expected.next(), None, "something was not printed");
    gaps
}

/// Two leaders are killed under load; nothing is lost, nothing comes twice.
fn over_elections(version: Version) {
    let dir = tempfile::tempdir().unwrap();
    let mut ensemble = start(version, dir.path());
    let printer = Printer::start(dir.path(), &[&ensemble.hosts()]);
    let load = Load::start(&ensemble.hosts());
    let mut leader = ensemble.leader().unwrap();
    for _ in 0..2 {
        load.wait_more(60);
        ensemble.kill(leader).unwrap();
        let next = ensemble.leader().unwrap();
        load.wait_more(60);
        ensemble.launch(leader).unwrap();
        ensemble.wait_serving(leader).unwrap();
        leader = next;
    }
    load.wait_more(30);
    load.stop();
    let last = settled(&ensemble, leader);
    let printed = printer.wait_for(&last);
    let gaps = compare(&printed, &committed(&ensemble));
    assert_eq!(gaps, 0, "the window was never left");
    let count = |kind: &str| printed.iter().filter(|line| line.is(kind)).count();
    for kind in ["create2", "setData", "delete", "multi", "error", "createSession", "closeSession"]
    {
        assert!(count(kind) > 0, "no {kind} among {} lines", printed.len());
    }
    let expired = printer.documents().iter().filter(|d| d["expired"] == true).count();
    let left = printer.documents().iter().filter(|d| d["expired"] == false).count();
    assert!(expired > 0 && left > 0, "{expired} sessions expired, {left} were closed");
    println!("{version}: {} txns over two elections, equal to the log", printed.len());
    paused(&mut ensemble, printer, leader);
}

/// A tap that does not read is dropped by the leader; what it missed beyond the window is said.
fn paused(ensemble: &mut Ensemble, mut printer: Printer, leader: usize) {
    printer.process.signal(Signal::STOP).unwrap();
    wait::until("the leader to drop the tap", wait::LONG, || {
        let observers = value(ensemble, leader, "mntr", "zk_synced_observers");
        Ok((observers.as_deref() == Some("0")).then_some(()))
    })
    .unwrap();
    load::burst(&ensemble.hosts(), WINDOW + 50);
    printer.process.signal(Signal::CONT).unwrap();
    wait::until("the tap to follow again", wait::LONG, || {
        let observers = value(ensemble, leader, "mntr", "zk_synced_observers");
        Ok((observers.as_deref() == Some("1")).then_some(()))
    })
    .unwrap();
    load::burst(&ensemble.hosts(), 20);
    let last = settled(ensemble, leader);
    let printed = printer.wait_for(&last);
    let gaps: Vec<_> = printed.iter().filter(|line| matches!(line, Line::Gap { .. })).collect();
    let [Line::Gap { from, to }] = gaps[..] else { panic!("{gaps:?}") };
    assert!(to > from);
    compare(&printed, &committed(ensemble));
    printer.process.signal(Signal::INT).unwrap();
    let status = printer.process.wait(wait::LONG).unwrap();
    assert!(status.success(), "{status}");
}

/// The last zxid when all members agree on it and nothing is written any more.
fn settled(ensemble: &Ensemble, leader: usize) -> String {
    wait::until("all sessions to end and all members to agree", wait::LONG, || {
        let sessions = value(ensemble, leader, "mntr", "zk_global_sessions");
        let zxids: Vec<_> = (0..ensemble.members.len())
            .map(|index| value(ensemble, index, "srvr", "Zxid:"))
            .collect();
        let same = zxids.iter().all(|zxid| zxid.is_some() && *zxid == zxids[0]);
        Ok((same && sessions.as_deref() == Some("0")).then(|| zxids[0].clone().unwrap()))
    })
    .unwrap()
}

#[test]
fn of_3_9_is_the_log_over_elections_and_says_its_gaps() {
    over_elections(Version::V3_9);
}

#[test]
fn of_3_8_is_the_log_over_elections_and_says_its_gaps() {
    over_elections(Version::V3_8);
}

#[test]
fn a_standalone_server_is_refused_with_a_sentence() {
    let server = control();
    let output = Command::new(binary()).args(["tap", &server.address()]).output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(said.contains("is a standalone server: it has no quorum port"), "{said}");
}

#[test]
fn a_quorum_port_that_cannot_be_reached_is_named() {
    let dir = tempfile::tempdir().unwrap();
    let ensemble = start(Version::V3_9, dir.path());
    let leader = ensemble.members[ensemble.leader().unwrap()].address();
    let [nobody] = wait::free_ports().unwrap();
    let mut command = Command::new(binary());
    command.args(["tap", "--timeout", "1s", "--quorum", &format!("127.0.0.1:{nobody}")]);
    let output = command.arg(ensemble.hosts()).output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(6), "{said}");
    let want = format!("{leader} leads, but its quorum port 127.0.0.1:{nobody} cannot be reached");
    assert!(said.contains(&want), "{said}");
    // One member is enough to find the leader, whoever it is.
    let follower = ensemble.members[ensemble.followers().unwrap()[0]].address();
    drop(Printer::start(dir.path(), &[&follower]));
}

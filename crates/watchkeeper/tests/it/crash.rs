//! kill -9 in the middle of kazoo's load: every acknowledged write is there after the restart.
//!
//! Four sessions that send one request at a time and one that keeps 32 in flight write a journal of
//! what they tried and what was acknowledged; an unanswered request may have happened or not, an
//! unanswered multi wholly or not at all.

use std::fs;
use std::path::Path;
use std::process::Command;

use wk_peers::process::run;
use wk_peers::{Peer, Process, wait};

use crate::harness::{peer, start, subject, subject_spec};

const ROUNDS: usize = 4;

/// Acknowledged requests before the server is killed, in each round.
const ACKED_MIN: usize = 600;

#[test]
fn acknowledged_writes_survive_kill_9() {
    let dir = tempfile::tempdir().unwrap();
    // Few txns a snapshot, so that crashes fall into snapshots and after them too.
    let spec = subject_spec(dir.path()).with("snapCount=500");
    let mut journals = Vec::new();
    for round in 0..ROUNDS {
        let mut server = start(&spec);
        check(&server.address(), &journals);
        let journal = dir.path().join(format!("journal-{round}"));
        let mut load = python(&["write", &server.address(), &round.to_string()]);
        load.arg(&journal);
        let mut writers =
            Process::start("the writers", &mut load, &dir.path().join("writers.log")).unwrap();
        wait::until("enough acknowledged writes", wait::LONG, || {
            assert!(writers.ended()?.is_none(), "the writers ended:\n{}", writers.tail());
            let text = fs::read_to_string(&journal).unwrap_or_default();
            let acked = text.lines().filter(|line| line.starts_with("ack ")).count();
            Ok((acked >= ACKED_MIN).then_some(()))
        })
        .unwrap();
        server.process.kill().unwrap();
        writers.wait(wait::LONG).unwrap();
        journals.push(journal);
    }
    let server = start(&spec);
    check(&server.address(), &journals);
    // The checker itself is checked: a server that lost everything does not pass.
    let empty = subject();
    let mut command = python(&["check", &empty.address()]);
    let err = run("read nothing back", command.args(&journals)).unwrap_err();
    assert!(format!("{err:#}").contains(" wrong"), "{err:#}");
}

fn check(address: &str, journals: &[impl AsRef<Path>]) {
    if journals.is_empty() {
        return;
    }
    let mut command = python(&["check", address]);
    command.args(journals.iter().map(AsRef::as_ref));
    let said = run("read everything back", &mut command).unwrap_or_else(|err| panic!("{err:#}"));
    let acked: usize = said.lines().last().unwrap().split(' ').next().unwrap().parse().unwrap();
    assert!(acked >= ACKED_MIN * journals.len(), "{said}");
}

fn python(args: &[&str]) -> Command {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it/kazoo/load.py");
    let mut command = Command::new(peer(Peer::Python).join("bin/python"));
    command.arg(folder).args(args).env("PYTHONDONTWRITEBYTECODE", "1");
    command
}

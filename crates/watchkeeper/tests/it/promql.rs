//! Our PromQL, judged by Prometheus' own suite and by its own engine (crates/wk-promql/oracle).
//!
//! The judge is a Go program: it connects to [`server`], where our evaluator answers. Differences
//! of random expressions print the seed that shows them again.
#![expect(clippy::format_push_string, reason = "reports are strings that grow")]

mod server;

use std::collections::BTreeMap;
use std::net::TcpListener;
use std::path::Path;
use std::thread;

use wk_peers::cache::workspace_root;
use wk_peers::wait::LONG;
use wk_peers::{Peer, Process};

use crate::harness::peer;

/// Where random expressions begin; each 250 of them have a seed of their own.
const SEED: u32 = 1000;

/// How many random expressions are asked.
const EXPRESSIONS: u32 = 4000;

/// What the judge prints about our evaluator.
fn judge(args: &[&str]) -> Vec<Vec<String>> {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let serving = thread::spawn(move || server::serve(&listener));
    let dir = tempfile::tempdir().unwrap();
    let oracle = peer(Peer::PromqlOracle);
    let mut command = std::process::Command::new(oracle.join("oracle"));
    command.arg(address).args(args).env("TMPDIR", scratch(dir.path()));
    let mut process =
        Process::start("promql-oracle", &mut command, &dir.path().join("log")).unwrap();
    let status = process.wait(LONG * 5).unwrap_or_else(|err| panic!("{err:#}\n{}", process.tail()));
    let output = process.output();
    assert!(status.success(), "{output}");
    serving.join().unwrap().unwrap();
    output.lines().map(|line| line.split('\t').map(str::to_owned).collect()).collect()
}

/// The judge opens a database for every case: in memory where the system has such a folder.
fn scratch(dir: &Path) -> &Path {
    let memory = Path::new("/dev/shm");
    if memory.is_dir() { memory } else { dir }
}

#[test]
fn prometheus_own_suite() {
    let oracle = peer(Peer::PromqlOracle);
    let testdata = oracle.join("testdata");
    let lines = judge(&["suite", testdata.to_str().unwrap()]);
    let mut counts: BTreeMap<(&str, &str), usize> = BTreeMap::new();
    let mut misses = String::new();
    for line in &lines {
        let fields: Vec<&str> = line.iter().map(String::as_str).collect();
        match fields[..] {
            ["file", name, verdict] => {
                *counts.entry(("files", verdict)).or_default() += 1;
                if verdict != "pass" {
                    misses += &format!("file {name}\n");
                }
            }
            ["eval", file, kind, verdict, command, complaint] => {
                *counts.entry((kind, verdict)).or_default() += 1;
                if verdict != "pass" {
                    misses += &format!("{kind} {file}: {command}\n");
                    println!("{file}: {command}\n    {complaint}");
                }
            }
            _ => panic!("{line:?}"),
        }
    }
    let count = |kind, verdict| counts.get(&(kind, verdict)).copied().unwrap_or(0);
    let mut summary = String::new();
    for kind in ["files", "float", "experimental", "native"] {
        let passed = count(kind, "pass");
        summary += &format!("{kind}: {passed} of {}\n", passed + count(kind, "miss"));
    }
    // Whatever else is committed: this much is the promise.
    let (passed, missed) = (count("float", "pass"), count("float", "miss"));
    assert!(passed >= 800 && missed * 100 <= passed + missed, "{summary}{misses}");
    let found = format!("{summary}\n{misses}");
    let committed = workspace_root().join("crates/watchkeeper/tests/it/promql/suite.txt");
    if std::env::var_os("UPDATE_EXPECT").is_some() {
        std::fs::write(&committed, &found).unwrap();
    }
    assert_eq!(std::fs::read_to_string(&committed).unwrap(), found, "see UPDATE_EXPECT=1");
    let docs = std::fs::read_to_string(workspace_root().join("docs/promql.md")).unwrap();
    for miss in misses.lines().filter(|line| !line.starts_with("file ")) {
        let command = miss.split_once(": ").map_or(miss, |(_, command)| command);
        assert!(docs.contains(command), "docs/promql.md does not name the miss `{command}`");
    }
}

#[test]
fn random_expressions_give_what_prometheus_gives() {
    let lines = judge(&["random", &SEED.to_string(), &EXPRESSIONS.to_string()]);
    let mut asked = 0;
    let mut telling = 0;
    let mut differences = String::new();
    for line in &lines {
        let fields: Vec<&str> = line.iter().map(String::as_str).collect();
        match fields[..] {
            ["difference", seed, number, text, complaint] => {
                differences += &format!("seed {seed}, number {number}: {text}\n    {complaint}\n");
            }
            ["store", _, count, _, errors, empty] => {
                let [count, errors, empty] = [count, errors, empty].map(str::parse::<u32>);
                let (count, errors, empty) = (count.unwrap(), errors.unwrap(), empty.unwrap());
                asked += count;
                telling += count - errors - empty;
            }
            _ => panic!("{line:?}"),
        }
    }
    println!("{asked} expressions, {telling} with series in the answer");
    assert!(differences.is_empty(), "{differences}");
    assert_eq!(asked, EXPRESSIONS);
    assert!(telling * 3 > asked, "only {telling} of {asked} answers have series");
}

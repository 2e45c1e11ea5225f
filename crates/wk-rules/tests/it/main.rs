//! The shipped rules under test: each fires on its fault and is silent on what looks alike.
//!
//! The test files are promtool's format and name `alerts.yml`: what `rules export` writes, without
//! annotations, so that a test need not repeat them. The interop module `rules` runs the same files
//! through promtool.
#![allow(clippy::unwrap_used, reason = "a test reports by a panic with its line")]

mod pace;

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use wk_rules::{
    Catalogue, Form, Pace, RuleFile, RuleSet, SetOptions, Spelling, Thresholds, UnitFile, Which,
    export,
};

fn files() -> Vec<PathBuf> {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/rules");
    let mut found: Vec<PathBuf> =
        std::fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path()).collect();
    found.sort();
    assert!(found.len() >= 3, "{found:?}");
    found
}

fn alerts() -> RuleFile {
    RuleFile::parse("alerts.yml", &exported()).unwrap_or_else(|error| panic!("{error}"))
}

/// What is exported, without annotations.
fn exported() -> String {
    let text =
        export(Which::Alerts, &Thresholds::default(), Spelling::ZooKeeper39, Form::Prometheus);
    let mut inside = false;
    let kept = text.lines().filter(|line| {
        inside = line.trim() == "annotations:" || inside && line.starts_with("          ");
        !inside
    });
    kept.map(|line| format!("{line}\n")).collect()
}

fn unit(path: &Path) -> UnitFile {
    let text = std::fs::read_to_string(path).unwrap();
    UnitFile::parse(&path.display().to_string(), &text).unwrap_or_else(|error| panic!("{error}"))
}

#[test]
fn every_rule_is_tested_on_its_fault_and_on_what_looks_alike() {
    let rules = [alerts()];
    let mut tested: BTreeMap<String, usize> = BTreeMap::new();
    for path in files() {
        for outcome in unit(&path).run(&rules, &|_| true) {
            assert!(
                outcome.failures.is_empty(),
                "{}: {}",
                outcome.test,
                outcome.failures.join("\n")
            );
            let rule = outcome.test.split(',').next().unwrap().to_owned();
            *tested.entry(rule).or_default() += 1;
        }
    }
    for rule in Catalogue::shipped().alerts() {
        assert!(tested.get(&rule.name).is_some_and(|count| *count >= 2), "{}", rule.name);
    }
}

/// A rule that never fires passes every test of silence: each rule made deaf must fail its tests.
#[test]
fn a_rule_that_cannot_fire_is_found() {
    let text = exported();
    let deaf: String = text
        .lines()
        .map(|line| match line.split_once("expr: ") {
            Some((head, _)) => format!("{head}expr: nothing_at_all\n"),
            None => format!("{line}\n"),
        })
        .collect();
    let rules = [RuleFile::parse("alerts.yml", &deaf).unwrap()];
    let mut failed = BTreeSet::new();
    for path in files() {
        let outcomes = unit(&path).run(&rules, &|_| true);
        let misses = outcomes.iter().filter(|outcome| !outcome.failures.is_empty());
        failed.extend(misses.map(|outcome| outcome.test.split(',').next().unwrap().to_owned()));
    }
    assert_eq!(failed.len(), Catalogue::shipped().alerts().len(), "{failed:?}");
}

/// Our own pace: an instant look each half second, hours each minute, and our shorter `for`.
#[test]
fn own_pace_is_by_how_far_a_rule_looks_back() {
    let files = Catalogue::shipped().files(&Thresholds::default());
    let set = RuleSet::new(files, SetOptions::default()).unwrap();
    let of = |name: &str| set.rules().find(|rule| &*rule.rule == name).unwrap();
    for (name, interval_ms, hold_ms) in [
        ("ZkServerUnreachable", 500, 1000),
        ("ZkNoLeader", 500, 1000),
        ("NodeDown", 500, 0),
        ("ZkCanaryFailing", 1000, 0),
        ("ZkServerRejoinLoop", 1000, 0),
        ("ZkConnectionsRejected", 5000, 10_000),
        ("ZkElectionStorm", 5000, 0),
        ("ZkServerFlapping", 15_000, 0),
        ("ZkConnectionChurn", 15_000, 60_000),
        ("ZkDataSize", 60_000, 600_000),
    ] {
        let rule = of(name);
        let (interval, hold) = (rule.interval.as_millis(), rule.hold.as_millis());
        assert_eq!((interval, hold), (interval_ms, hold_ms), "{name}");
    }
    let options = SetOptions { pace: Pace::Prometheus, ..SetOptions::default() };
    let set = RuleSet::new(vec![alerts()], options).unwrap();
    let rule = set.rules().find(|rule| &*rule.rule == "ZkNoLeader").unwrap();
    assert_eq!((rule.hold.as_secs(), rule.interval.as_secs()), (15, 60));
}

//! Curator 5.9.0, unmodified: its recipes with several clients against the server under test.
//!
//! The program beside this file ([`SOURCE`]) is compiled once and run once a recipe; it checks by
//! itself what a recipe promises (one holder, order, take-over, ...), so here only its word counts.

use std::fs;
use std::path::PathBuf;

use wk_peers::process::run;
use wk_peers::{Peer, java};

use crate::harness::{cache, peer, start, subject_spec};

/// The program.
const SOURCE: &str = include_str!("curator/Recipes.java");

#[test]
fn mutex_has_one_holder() {
    recipe("mutex");
}

#[test]
fn read_write_lock_shares_and_excludes() {
    recipe("readWriteLock");
}

#[test]
fn multi_lock_takes_all_or_none() {
    recipe("multiLock");
}

#[test]
fn semaphore_counts_leases() {
    recipe("semaphore");
}

#[test]
fn leader_latch_passes_on() {
    recipe("leaderLatch");
}

#[test]
fn leader_selector_takes_turns() {
    recipe("leaderSelector");
}

#[test]
fn barrier_opens_for_all() {
    recipe("barrier");
}

#[test]
fn double_barrier_enters_and_leaves_together() {
    recipe("doubleBarrier");
}

#[test]
fn queues_keep_order() {
    recipe("queue");
}

#[test]
fn counters_lose_no_increment() {
    recipe("counters");
}

#[test]
fn caches_follow_every_change() {
    recipe("caches");
}

#[test]
fn persistent_watcher_sees_all_events_in_order() {
    recipe("persistentWatcher");
}

#[test]
fn group_members_come_and_go() {
    recipe("groupMember");
}

#[test]
fn service_discovery_registers_and_provides() {
    recipe("serviceDiscovery");
}

#[test]
fn transactions_are_whole_or_nothing() {
    recipe("transactions");
}

#[test]
fn ttl_nodes_and_containers_end_by_themselves() {
    recipe("ttlAndContainers");
}

#[test]
fn persistent_nodes_are_made_again() {
    recipe("persistentNodes");
}

#[test]
fn digest_access_lists_keep_strangers_out() {
    recipe("accessLists");
}

/// Runs one recipe against a fresh server.
fn recipe(name: &str) {
    let jars = peer(Peer::Curator);
    let classes = compiled(&jars);
    let dir = tempfile::tempdir().unwrap();
    let spec = subject_spec(dir.path())
        .with("extendedTypesEnabled=true")
        .with_jvm_flag("-Dznode.container.checkIntervalMs=200");
    let mut server = start(&spec);
    let mut program = java::java(&format!("{}:{}/*", classes.display(), jars.display()));
    program.args(["Recipes", &server.address(), name]);
    let said = run(name, &mut program).unwrap_or_else(|err| {
        panic!("{err:#}\n--- the server's log ends\n{}", server.process.tail())
    });
    assert!(said.lines().any(|line| line == format!("ok {name}")), "{said}");
    assert!(server.process.ended().unwrap().is_none(), "the server ended");
}

/// Compiles the program into the cache, once for this text of it.
fn compiled(jars: &std::path::Path) -> PathBuf {
    let cache = cache();
    let out = cache.path("curator-recipes");
    let made = cache.once("curator-recipes", SOURCE, || {
        fs::create_dir_all(&out)?;
        let source = out.join("Recipes.java");
        fs::write(&source, SOURCE)?;
        java::compile(&source, jars, &out)
    });
    made.unwrap_or_else(|err| panic!("{err:#}"));
    out
}

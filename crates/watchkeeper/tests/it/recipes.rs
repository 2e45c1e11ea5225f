//! Recipes of others seen from outside: real kazoo and real Curator programs hold, wait, queue and
//! register; waiters, depths and nodes become incidents by rules.

use std::fs;
use std::path::Path;
use std::process::Command;

use serde_json::Value;
use wk_peers::wait::{LONG, until};
use wk_peers::{Peer, Process, java};

use crate::harness::{cache, control, peer};
use crate::up::Up;

/// The program with Curator's recipes.
const SOURCE: &str = include_str!("recipes/Contend.java");

/// What the programs do: two wait behind one holder, and so many items lie there.
const RULES: &str = "\
groups:
  - name: recipes
    rules:
      - alert: KazooLock
        expr: watchkeeper_recipe_lock_waiters{path=\"/kazoo/lock\"} == 2
        labels: {severity: warning}
      - alert: KazooQueue
        expr: watchkeeper_recipe_queue_depth{path=\"/kazoo/queue\"} == 4
        labels: {severity: warning}
      - alert: CuratorLock
        expr: watchkeeper_recipe_lock_waiters{path=\"/curator/lock\"} == 2
        labels: {severity: warning}
      - alert: CuratorReaders
        expr: watchkeeper_recipe_lock_waiters{path=\"/curator/shared\"} == 1
        labels: {severity: warning}
      - alert: CuratorQueue
        expr: watchkeeper_recipe_queue_depth{path=\"/curator/queue\"} == 3
        labels: {severity: warning}
";

fn config(dir: &Path, address: &str) -> String {
    fs::write(dir.join("recipes.yml"), RULES).unwrap();
    let locks = r#"["/kazoo/lock", "/curator/lock", "/curator/shared"]"#;
    let queues = r#"["/kazoo/queue", "/curator/queue"]"#;
    let text = format!(
        "[ensemble.e]\nservers = [\"{address}\"]\n\
         recipes = {{ locks = {locks}, queues = {queues} }}\n\
         presets = [{{ preset = \"curator\", path = \"/services\" }}]\n\
         [rules]\nfiles = [\"recipes.yml\"]\n"
    );
    let path = dir.join("watchkeeper.toml");
    fs::write(&path, text).unwrap();
    path.display().to_string()
}

fn ready(mut process: Process) -> Process {
    until("the program to be ready", LONG, || {
        assert!(process.ended()?.is_none(), "it ended:\n{}", process.tail());
        Ok(process.output().lines().any(|line| line == "ready").then_some(()))
    })
    .unwrap_or_else(|err| panic!("{err:#}\n{}", process.tail()));
    process
}

fn kazoo(address: &str, dir: &Path) -> Process {
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/it/recipes/contend.py");
    let mut command = Command::new(peer(Peer::Python).join("bin/python"));
    command.args([script, address]).env("PYTHONDONTWRITEBYTECODE", "1");
    Process::start("kazoo", &mut command, &dir.join("kazoo.log")).unwrap()
}

fn curator(address: &str, dir: &Path) -> Process {
    let (jars, cache) = (peer(Peer::Curator), cache());
    let out = cache.path("curator-contend");
    let made = cache.once("curator-contend", SOURCE, || {
        fs::create_dir_all(&out)?;
        let source = out.join("Contend.java");
        fs::write(&source, SOURCE)?;
        java::compile(&source, &jars, &out)
    });
    made.unwrap_or_else(|err| panic!("{err:#}"));
    let mut command = java::java(&format!("{}:{}/*", out.display(), jars.display()));
    command.args(["Contend", address]);
    Process::start("Curator", &mut command, &dir.join("curator.log")).unwrap()
}

/// State of the node `id` in `group`.
fn wait_node(up: &Up, group: &str, id: &str, state: &str) {
    until(&format!("{group}/{id} to be {state}"), LONG, || {
        let nodes = up.api("/api/v1/nodes");
        let mut nodes = nodes["nodes"].as_array().into_iter().flatten();
        let is_it = |n: &Value| n["group"] == group && n["id"] == id && n["state"] == state;
        Ok(nodes.any(is_it).then_some(()))
    })
    .unwrap_or_else(|err| panic!("{err:#}\n{}", up.api("/api/v1/nodes")));
}

#[test]
fn waiters_depths_and_services_of_kazoo_and_curator_are_seen() {
    let (server, dir) = (control(), tempfile::tempdir().unwrap());
    let config = config(dir.path(), &server.address());
    let (kazoo, curator) =
        (kazoo(&server.address(), dir.path()), curator(&server.address(), dir.path()));
    let (mut kazoo, mut curator) = (ready(kazoo), ready(curator));
    let up = Up::start_with(&["--client", "127.0.0.1:0", "--config", &config]);
    for rule in ["KazooLock", "KazooQueue", "CuratorLock", "CuratorReaders", "CuratorQueue"] {
        let incident = up.incident(rule, "firing");
        assert_eq!(incident["ensemble"], "e", "{incident}");
    }
    wait_node(&up, "curator:shop", "one", "up");

    // It says goodbye: what it held and waited for goes with its sessions.
    kazoo.terminate(LONG).unwrap();
    up.incident("KazooLock", "resolved");
    // It falls silent: its locks and its service are let go when its session expires.
    curator.kill().unwrap();
    wait_node(&up, "curator:shop", "one", "down");
    let down = up.incident("NodeDown", "firing");
    assert_eq!((&down["group"], &down["node"]), (&"curator:shop".into(), &"one".into()));
    up.incident("CuratorLock", "resolved");
    // Queues last without their makers.
    for rule in ["KazooQueue", "CuratorQueue"] {
        up.incident(rule, "firing");
    }
}

//! The lines of code in docs/guide.md, run as they stand: each registers a node whose death is an
//! incident.

use std::fs;
use std::path::Path;
use std::process::Command;

use wk_peers::wait::{LONG, until};
use wk_peers::{Peer, Process, java};

use crate::harness::peer;
use crate::up::Up;

const IMPORTS: &str = "\
import org.apache.curator.framework.*;
import org.apache.curator.framework.recipes.nodes.PersistentNode;
import org.apache.curator.retry.ExponentialBackoffRetry;
import org.apache.zookeeper.CreateMode;
";

/// The first block of `language` in the guide, with the server's address put in.
fn block(language: &str, up: &Up) -> String {
    let guide = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/guide.md");
    let text = fs::read_to_string(guide).unwrap();
    let (_, after) = text.split_once(&format!("```{language}\n")).unwrap();
    let (code, _) = after.split_once("```").unwrap();
    assert_eq!(code.lines().count(), 5, "five lines are promised");
    code.replace("127.0.0.1:2181", &format!("127.0.0.1:{}", up.client))
}

/// Waits until the program's node is up, kills the program, and waits for the incident.
fn lives_and_dies(up: &Up, mut program: Process) {
    until("the node to be up", LONG, || {
        if let Some(status) = program.ended()? {
            panic!("it ended ({status}):\n{}", program.tail());
        }
        let node = &up.api("/api/v1/nodes")["nodes"][0];
        Ok((node["path"] == "/nodes/web/one" && node["state"] == "up").then_some(()))
    })
    .unwrap_or_else(|err| panic!("{err:#}\n{}", program.tail()));
    program.kill().unwrap();
    let incident = up.incident("NodeDown", "firing");
    assert_eq!((incident["group"].as_str(), incident["node"].as_str()), (Some("web"), Some("one")));
}

#[test]
fn kazoos_five_lines_register_a_node() {
    let (up, dir) = (Up::start(), tempfile::tempdir().unwrap());
    let file = dir.path().join("node.py");
    fs::write(&file, block("python", &up) + "import time\ntime.sleep(600)\n").unwrap();
    let mut command = Command::new(peer(Peer::Python).join("bin/python"));
    command.arg(file);
    lives_and_dies(&up, Process::start("kazoo", &mut command, &dir.path().join("log")).unwrap());
}

#[test]
fn curators_five_lines_register_a_node() {
    let (up, dir, jars) = (Up::start(), tempfile::tempdir().unwrap(), peer(Peer::Curator));
    let file = dir.path().join("Node.java");
    let lines = block("java", &up);
    let text = format!(
        "{IMPORTS}public class Node {{ public static void main(String[] args) throws Exception {{\n\
         {lines}Thread.sleep(600000);\n}} }}\n"
    );
    fs::write(&file, text).unwrap();
    java::compile(&file, &jars, dir.path()).unwrap();
    let mut command = java::java(&format!("{}/*:{}", jars.display(), dir.path().display()));
    command.arg("Node");
    lives_and_dies(&up, Process::start("Curator", &mut command, &dir.path().join("log")).unwrap());
}

//! `up --tap`: how sessions ended decides what became of nodes, and figures feed the rules; for a
//! real ensemble by the tap, for our own server by its stream.

use std::time::Duration;

use wk_client::{Client, CreateMode};
use wk_peers::{Version, wait};

use crate::up::Up;

/// A rule over what the stream amounts to.
const RULE: &str = "\
groups:
  - name: seen
    rules:
      - record: up_to_date
        expr: watchkeeper_tap_connected == 1
      - alert: StreamSeen
        expr: watchkeeper_tap_txns_total{type=\"setData\"} >= 3 and on (ensemble) up_to_date
        labels: {severity: warning}
        annotations: {summary: \"{{ $labels.ensemble }} writes\"}
";

fn client(hosts: &str) -> Client {
    Client::builder(hosts).session_timeout(Duration::from_secs(4)).start().unwrap()
}

fn wait_state(up: &Up, node: &str, state: &str) {
    wait::until(&format!("{node} to be {state}"), wait::LONG, || {
        let nodes = up.api("/api/v1/nodes");
        let mut nodes = nodes["nodes"].as_array().into_iter().flatten();
        let path = format!("/nodes/{node}");
        Ok(nodes.any(|n| n["path"] == path.as_str() && n["state"] == state).then_some(()))
    })
    .unwrap_or_else(|err| panic!("{err:#}\n{}", up.process.tail()));
}

/// Two nodes: one whose client says goodbye to its session only, and one that falls silent.
fn two_ends(up: &Up, hosts: &str) {
    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    runtime.block_on(async {
        let (left, lost) = (client(hosts), client(hosts));
        left.create("/nodes", b"", CreateMode::Persistent).await.ok();
        for (client, node) in [(&left, "/nodes/left"), (&lost, "/nodes/lost")] {
            client.create(node, b"", CreateMode::Persistent).await.unwrap();
            client.create(&format!("{node}/alive"), b"", CreateMode::Ephemeral).await.unwrap();
        }
        for n in 0..5 {
            left.set("/nodes/left", &vec![b'x'; n], None).await.unwrap();
        }
        wait_state(up, "left", "up");
        wait_state(up, "lost", "up");
        // Nobody writes `state=leaving`: only the stream can tell these two apart.
        left.close().await.unwrap();
        lost.abandon().await;
    });
    wait_state(up, "left", "left");
    wait_state(up, "lost", "down");
}

fn up(dir: &std::path::Path, args: &[&str]) -> Up {
    let (rules, config) = (dir.join("rules.yml"), dir.join("watchkeeper.toml"));
    std::fs::write(&rules, RULE).unwrap();
    std::fs::write(&config, "[rules]\nfiles = [\"rules.yml\"]\n").unwrap();
    let config = config.display().to_string();
    Up::start_with(&[&["--tap", "--config", &config], args].concat())
}

#[test]
fn the_stream_of_an_ensemble_tells_left_from_down() {
    let dir = tempfile::tempdir().unwrap();
    let place = dir.path().join("ensemble");
    std::fs::create_dir(&place).unwrap();
    let ensemble = super::start(Version::V3_9, &place);
    let up = up(dir.path(), &[&ensemble.hosts()]);
    let leader = ensemble.leader().unwrap();
    wait::until("the monitor's tap to follow", wait::LONG, || {
        let observers = super::value(&ensemble, leader, "mntr", "zk_synced_observers");
        Ok((observers.as_deref() == Some("1")).then_some(()))
    })
    .unwrap();
    two_ends(&up, &ensemble.hosts());
    up.incident("StreamSeen", "firing");
}

#[test]
fn our_own_server_gives_its_stream_in_process() {
    let dir = tempfile::tempdir().unwrap();
    let up = up(dir.path(), &["--client", "127.0.0.1:0"]);
    two_ends(&up, &format!("127.0.0.1:{}", up.client));
    up.incident("StreamSeen", "firing");
}

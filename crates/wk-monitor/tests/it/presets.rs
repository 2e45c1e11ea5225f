//! Registries of others: Kafka's flat list, Dubbo's lists of providers, Curator's of instances.

use std::time::Duration;

use wk_client::{Client, CreateMode};
use wk_monitor::{Ensemble, EnsembleConfig, MonitorHandle, Node, NodeState, PresetConfig};

use crate::site::{Site, until};

const SHORT: Duration = Duration::from_millis(400);

fn preset(name: &str, pattern: &str) -> PresetConfig {
    let ttl = Duration::from_hours(1);
    PresetConfig { name: name.to_owned(), pattern: pattern.to_owned(), ttl }
}

fn config(presets: Vec<PresetConfig>, expected: &[&str]) -> EnsembleConfig {
    let expected = expected.iter().map(|node| (*node).to_owned()).collect();
    EnsembleConfig { presets, expected, ..EnsembleConfig::new("local", vec![]) }
}

/// Makes a znode with all above it; an ephemeral one lives as long as its client.
async fn make(client: &Client, path: &str, data: &str, mode: CreateMode) {
    for (at, _) in path.match_indices('/').skip(1) {
        let _ = client.create(&path[..at], "", CreateMode::Persistent).await;
    }
    client.create(path, data, mode).await.unwrap();
}

fn find<'e>(ensemble: &'e Ensemble, group: &str, id: &str) -> Option<&'e Node> {
    let mut nodes = ensemble.nodes.iter().map(AsRef::as_ref);
    nodes.find(|node: &&Node| node.group.as_deref() == Some(group) && node.id == id)
}

async fn until_is(handle: &MonitorHandle, group: &str, id: &str, state: NodeState) -> Node {
    until(handle, &format!("{group}/{id} to be {state:?}"), |fleet, _| {
        find(fleet.ensembles.first()?, group, id).filter(|node| node.state == state).cloned()
    })
    .await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_broker_that_vanishes_is_down_one_that_closes_has_left() {
    let site = Site::new();
    let (one, two) = (site.client(SHORT), site.client(SHORT));
    let json = r#"{"host":"k1","port":9092,"version":5}"#;
    make(&one, "/brokers/ids/1", json, CreateMode::Ephemeral).await;
    make(&two, "/brokers/ids/2", json, CreateMode::Ephemeral).await;
    let expected = ["kafka/1", "kafka/2", "kafka/3"];
    let monitor = site.with(config(vec![preset("kafka", "/brokers/ids/*")], &expected)).await;
    let handle = monitor.handle();
    let up = until_is(&handle, "kafka", "1", NodeState::Up).await;
    assert_eq!((up.path.as_str(), &up.metadata["host"]), ("/brokers/ids/1", &"k1".into()));
    let missing = until_is(&handle, "kafka", "3", NodeState::Down).await;
    assert!(missing.evidence[0].contains("/brokers/ids/3 is expected"), "{missing:?}");

    one.abandon().await;
    let down = until_is(&handle, "kafka", "1", NodeState::Down).await;
    assert!(down.evidence[0].starts_with("/brokers/ids/1 is gone"), "{down:?}");
    assert!(down.evidence.iter().any(|line| line.contains("expire")), "{down:?}");
    two.close().await.unwrap();
    until_is(&handle, "kafka", "2", NodeState::Left).await;
    // A new life of the first, and one that nobody expected.
    let again = site.client(SHORT);
    make(&again, "/brokers/ids/1", json, CreateMode::Ephemeral).await;
    make(&again, "/brokers/ids/9", json, CreateMode::Ephemeral).await;
    until_is(&handle, "kafka", "1", NodeState::Up).await;
    until_is(&handle, "kafka", "9", NodeState::Up).await;
    again.abandon().await;
    until_is(&handle, "kafka", "9", NodeState::Down).await;
    monitor.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn lists_of_lists_grow_while_they_are_watched() {
    let site = Site::new();
    let presets = vec![preset("dubbo", "/dubbo/*/providers/*"), preset("curator", "/disc/*/*")];
    let monitor = site.with(config(presets, &[])).await;
    let handle = monitor.handle();
    let service = site.client(SHORT);
    let provider = "/dubbo/a.Greeter/providers/dubbo%3A%2F%2F10.0.0.7%3A20880%2Fa.Greeter%3Fx%3D1";
    make(&service, provider, "10.0.0.7", CreateMode::Ephemeral).await;
    make(&service, "/disc/web/0a1b", r#"{"port":80}"#, CreateMode::Ephemeral).await;
    // A static service of Curator is a lasting znode: nobody's life.
    make(&service, "/disc/web/static", "{}", CreateMode::Persistent).await;
    let node = until_is(&handle, "dubbo:a.Greeter", "10.0.0.7:20880", NodeState::Up).await;
    assert!(node.path.starts_with("/dubbo/a.Greeter/providers/"), "{node:?}");
    until_is(&handle, "curator:web", "0a1b", NodeState::Up).await;
    let fleet = handle.fleet();
    assert!(find(&fleet.ensembles[0], "curator:web", "static").is_none());
    service.abandon().await;
    until_is(&handle, "dubbo:a.Greeter", "10.0.0.7:20880", NodeState::Down).await;
    until_is(&handle, "curator:web", "0a1b", NodeState::Down).await;
    monitor.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_was_seen_before_a_restart_of_the_monitor_is_missed_after_it() {
    let site = Site::new();
    let kafka = || config(vec![preset("kafka", "/brokers/ids/*")], &[]);
    let broker = site.client(SHORT);
    make(&broker, "/brokers/ids/1", "{}", CreateMode::Ephemeral).await;
    let monitor = site.with(kafka()).await;
    until_is(&monitor.handle(), "kafka", "1", NodeState::Up).await;
    monitor.stop().await;
    broker.close().await.unwrap();
    let monitor = site.with(kafka()).await;
    let down = until_is(&monitor.handle(), "kafka", "1", NodeState::Down).await;
    assert!(down.evidence.iter().any(|line| line.contains("away")), "{down:?}");
    monitor.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_list_that_may_not_be_read_is_a_note_and_hides_nothing_else() {
    let site = Site::new();
    let client = site.client(SHORT);
    make(&client, "/brokers/ids/1", "{}", CreateMode::Ephemeral).await;
    let shut = vec![wk_client::Acl::new(wk_client::Perms::WRITE, "world", "anyone")];
    client.set_acl("/brokers/ids", &shut, None).await.unwrap();
    let _node = site.join("a").await;
    let monitor = site.with(config(vec![preset("kafka", "/brokers/ids/*")], &[])).await;
    let handle = monitor.handle();
    until(&handle, "the note", |fleet, _| {
        let ensemble = fleet.ensembles.first()?;
        let noted = ensemble.notes.iter().any(|note| note.contains("NoAuth at /brokers/ids"));
        let up = ensemble.nodes.iter().any(|node| node.id == "a" && node.state == NodeState::Up);
        (noted && up).then_some(())
    })
    .await;
    monitor.stop().await;
}

//! Registered nodes: dead, left, forged, and what the receivers hear of it.

use std::time::Duration;

use wk_client::CreateMode;
use wk_monitor::{IncidentState, NodeState};
use wk_peers::receivers::{DingTalk, Reply, Webhook};

use crate::site::{Site, incidents, until, until_holds, until_incident, until_state};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_dead_node_is_one_incident_in_every_channel_and_heals() {
    let site = Site::new();
    let (webhook, robot) = (Webhook::start().unwrap(), DingTalk::start("TOKEN", "SECx").unwrap());
    // The receiver is in trouble at first: the notification must come through all the same.
    webhook.script([Reply::Answer { status: 503, body: "busy".into() }]);
    let monitor = site.inside(&[webhook.url(), robot.url()]).await;
    let handle = monitor.handle();
    let node = site.join("app/a").await;
    until_state(&handle, "a", NodeState::Up).await;
    node.abandon().await;
    let down = until_state(&handle, "a", NodeState::Down).await;
    let id = until_incident(&handle, "a").await;
    assert!(down.evidence.iter().any(|line| line.contains("expire")), "{:?}", down.evidence);
    let found = incidents(&handle);
    assert_eq!(found.len(), 1, "{found:#?}");
    assert_eq!((found[0].id.as_str(), found[0].rule.as_str()), (id.as_str(), "NodeDown"));
    assert_eq!(found[0].group.as_deref(), Some("app"));
    until_holds("both channels", || webhook.acted().len() == 1 && robot.taken().len() == 1).await;
    assert_eq!(webhook.acted()[0].incident(), id);
    assert_eq!(webhook.acted()[0].key, format!("{id}/firing"));
    assert!(robot.texts()[0].contains(&id), "{:?}", robot.texts());

    let _node = site.join("app/a").await;
    let resolved = until(&handle, "the end", |_, found| {
        found.iter().find(|one| one.state == IncidentState::Resolved).cloned()
    })
    .await;
    assert_eq!(resolved.id, id);
    until_holds("the end in both channels", || {
        webhook.acted().len() == 2 && robot.taken().len() == 2
    })
    .await;
    assert_eq!(webhook.acted()[1].key, format!("{id}/resolved"));
    assert_eq!(webhook.acted()[1].status(), "resolved");
    let detail = handle.incident(&id).await.unwrap();
    assert_eq!(detail.deliveries.len(), 4, "{detail:#?}");
    assert!(detail.timeline.len() >= 6, "{detail:#?}");
    assert_eq!(robot.refused(), Vec::<i64>::new());
    monitor.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_that_goes_on_purpose_has_left() {
    let site = Site::new();
    let monitor = site.inside(&[]).await;
    let handle = monitor.handle();
    let closing = site.join("closing").await;
    let saying = site.join("saying").await;
    until_state(&handle, "closing", NodeState::Up).await;
    until_state(&handle, "saying", NodeState::Up).await;
    closing.close().await.unwrap();
    saying.set("/nodes/saying", r#"{"state":"leaving"}"#, None).await.unwrap();
    saying.abandon().await;
    let left = until_state(&handle, "closing", NodeState::Left).await;
    assert!(left.evidence.iter().any(|line| line.contains("closed")), "{:?}", left.evidence);
    until_state(&handle, "saying", NodeState::Left).await;
    assert!(incidents(&handle).is_empty());
    monitor.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn from_outside_a_closed_session_is_down_and_says_that_it_cannot_tell() {
    let site = Site::new();
    let monitor = site.monitor(&[]).await;
    let handle = monitor.handle();
    let node = site.join("a").await;
    until_state(&handle, "a", NodeState::Up).await;
    node.close().await.unwrap();
    let down = until_state(&handle, "a", NodeState::Down).await;
    assert!(down.evidence.iter().any(|line| line.contains("cannot be told")), "{down:?}");
    // Not registered any more: nobody misses it.
    let client = site.client(Duration::from_secs(5));
    client.delete("/nodes/a", None).await.unwrap();
    until(&handle, "the node to be gone", |fleet, found| {
        let none = fleet.ensembles[0].nodes.is_empty();
        (none && found.iter().all(|one| one.state == IncidentState::Resolved)).then_some(())
    })
    .await;
    monitor.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn registered_grouped_and_lasting_are_told_apart() {
    let site = Site::new();
    let client = site.client(Duration::from_secs(5));
    let monitor = site.monitor(&[]).await;
    let handle = monitor.handle();
    for path in ["/nodes", "/nodes/waiting", "/nodes/forged", "/nodes/forged/alive"] {
        client.create(path, "", CreateMode::Persistent).await.unwrap();
    }
    until_state(&handle, "waiting", NodeState::Starting).await;
    // A lasting `alive` proves no life.
    until(&handle, "the refusal of what is forged", |fleet, _| {
        let forged = crate::site::node(fleet, "forged")?;
        let refused = forged.evidence.iter().any(|line| line.contains("refused"));
        (refused && forged.state == NodeState::Starting).then_some(())
    })
    .await;
    // With a child of another name it is a group, and no node any more.
    let member = site.join("waiting/b").await;
    until_state(&handle, "b", NodeState::Up).await;
    until(&handle, "the group", |fleet, _| {
        let nodes = &fleet.ensembles[0].nodes;
        let grouped = nodes.iter().any(|n| n.id == "b" && n.group.as_deref() == Some("waiting"));
        (grouped && nodes.iter().all(|n| n.id != "waiting")).then_some(())
    })
    .await;
    member.close().await.unwrap();
    monitor.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_monitor_that_was_away_finds_what_died_meanwhile_and_sends_once() {
    let site = Site::new();
    let webhook = Webhook::start().unwrap();
    let monitor = site.inside(&[webhook.url()]).await;
    let node = site.join("a").await;
    until_state(&monitor.handle(), "a", NodeState::Up).await;
    monitor.stop().await;
    node.abandon().await;
    let client = site.client(Duration::from_secs(5));
    let end = std::time::Instant::now() + Duration::from_mins(1);
    while client.exists("/nodes/a/alive").await.unwrap().is_some() {
        assert!(std::time::Instant::now() < end, "its session expires");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }

    let monitor = site.inside(&[webhook.url()]).await;
    let down = until_state(&monitor.handle(), "a", NodeState::Down).await;
    assert!(down.evidence.iter().any(|line| line.contains("was away")), "{down:?}");
    until_holds("the notification", || webhook.taken().len() == 1).await;
    let id = until_incident(&monitor.handle(), "a").await;
    monitor.stop().await;

    // Another restart: the same incident, and nothing is sent again.
    let monitor = site.inside(&[webhook.url()]).await;
    let down = until_state(&monitor.handle(), "a", NodeState::Down).await;
    assert_eq!(down.incident, Some(id));
    let _node = site.join("a").await;
    until_holds("the end", || webhook.taken().len() == 2).await;
    assert_eq!(webhook.taken()[1].status(), "resolved");
    monitor.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ack_and_close() {
    let site = Site::new();
    let monitor = site.inside(&[]).await;
    let handle = monitor.handle();
    let node = site.join("a").await;
    until_state(&handle, "a", NodeState::Up).await;
    node.abandon().await;
    let id = until_incident(&handle, "a").await;
    assert!(handle.acknowledge("nonsense", "ann").await.is_err());
    assert!(handle.close(&id, "ann").await.is_err(), "it is still firing");
    let taken = handle.acknowledge(&id, "ann").await.unwrap();
    assert_eq!(taken.state, IncidentState::Acknowledged);
    assert_eq!(incidents(&handle)[0].acknowledged_by.as_deref(), Some("ann"));
    let _node = site.join("a").await;
    until_state(&handle, "a", NodeState::Up).await;
    until(&handle, "the end", |_, found| (!found[0].state.is_open()).then_some(())).await;
    assert_eq!(handle.close(&id, "ann").await.unwrap().state, IncidentState::Closed);
    let timeline = handle.incident(&id).await.unwrap().timeline;
    assert!(timeline.iter().any(|line| line.actor == "ann"), "{timeline:#?}");
    monitor.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_monitors_own_session_makes_nobody_alive() {
    let site = Site::new();
    let own = site.client(Duration::from_secs(10));
    let monitor = site.monitor_by(own.clone()).await;
    let handle = monitor.handle();
    let node = site.join("a").await;
    until_state(&handle, "a", NodeState::Up).await;
    node.close().await.unwrap();
    until_state(&handle, "a", NodeState::Down).await;
    // A "recovery" that would only mask the fault.
    own.create("/nodes/a/alive", "", CreateMode::Ephemeral).await.unwrap();
    until(&handle, "the forgery to be seen", |fleet, _| {
        let node = &fleet.ensembles[0].nodes[0];
        let seen = node.evidence.iter().any(|line| line.contains("monitor's own session"));
        (seen && node.state == NodeState::Down).then_some(())
    })
    .await;
    assert!(incidents(&handle)[0].state.is_open());
    monitor.stop().await;
}

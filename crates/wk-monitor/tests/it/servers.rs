//! Servers: gone and back, and the nodes meanwhile; channels that refuse.

use std::time::Duration;

use wk_client::CreateMode;
use wk_monitor::{IncidentState, Level, NodeState, ServerState};
use wk_peers::receivers::{DingTalk, Reply, Webhook};

use crate::site::{Site, incidents, until, until_holds, until_state};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_lost_server_is_one_incident_and_its_nodes_are_unknown() {
    let mut site = Site::new();
    let webhook = Webhook::start().unwrap();
    let monitor = site.monitor(&[webhook.url()]).await;
    let handle = monitor.handle();
    let mut alive = Vec::new();
    for id in ["a", "b", "c"] {
        // They outlive the outage: what the server forgets meanwhile is another story.
        alive.push(site.join_for(id, Duration::from_secs(40)).await);
        until_state(&handle, id, NodeState::Up).await;
    }
    until(&handle, "all well", |fleet, _| (fleet.level == Level::Ok).then_some(())).await;
    let server = until(&handle, "its figures", |fleet, _| {
        let server = &fleet.ensembles[0].servers[0];
        (server.ephemerals == Some(3)).then(|| server.clone())
    })
    .await;
    assert_eq!(server.mode.as_deref(), Some("standalone"));
    assert!(server.zxid.is_some() && server.latency.is_some() && server.last_seen.is_some());
    assert!(!server.monitor_rows.is_empty(), "{server:?}");

    site.stop_server().await;
    let down = until(&handle, "the incident", |fleet, found| {
        let server = &fleet.ensembles[0].servers[0];
        (server.state == ServerState::Unreachable).then(|| found.to_vec())
    })
    .await;
    assert_eq!(down.len(), 1, "one incident, not a flood: {down:#?}");
    assert_eq!(down[0].rule, "ZkServerUnreachable");
    for id in ["a", "b", "c"] {
        until_state(&handle, id, NodeState::Unknown).await;
    }
    assert_eq!(handle.fleet().level, Level::Critical);

    site.start_server();
    until(&handle, "the end", |fleet, found| {
        let up = fleet.ensembles[0].servers[0].state == ServerState::Up;
        (up && found[0].state == IncidentState::Resolved).then_some(())
    })
    .await;
    for id in ["a", "b", "c"] {
        until_state(&handle, id, NodeState::Up).await;
    }
    until_holds("both notifications", || webhook.taken().len() == 2).await;
    assert_eq!(incidents(&handle).len(), 1, "no node was ever called down");
    drop(alive);
    monitor.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_tried_channel_shows_request_answer_and_verdict() {
    let site = Site::new();
    let (webhook, robot) = (Webhook::start().unwrap(), DingTalk::start("TOKEN", "SECx").unwrap());
    let slow = DingTalk::with_clock("TOKEN", "SECx", 7200).unwrap();
    let urls = [webhook.url(), robot.url(), robot.url_with("SECwrong"), slow.url()];
    let monitor = site.monitor(&urls).await;
    let handle = monitor.handle();
    let good = handle.test_channel("channel-0").await.unwrap();
    assert!(good.delivered && good.request.contains("Idempotency-Key: test-"), "{good:?}");
    let good = handle.test_channel("channel-1").await.unwrap();
    assert!(good.delivered && good.answer.contains("\"errcode\":0"), "{good:?}");
    assert!(!good.request.contains("TOKEN") && good.request.contains("sign=***"), "{good:?}");
    let bad = handle.test_channel("channel-2").await.unwrap();
    assert!(!bad.delivered && bad.answer.contains("HTTP 200"), "{bad:?}");
    assert!(bad.verdict.contains("310000"), "{bad:?}");
    assert!(!format!("{bad:?}").contains("SECwrong"), "{bad:?}");
    let bad = handle.test_channel("channel-3").await.unwrap();
    assert!(!bad.delivered && bad.verdict.contains("invalid timestamp"), "{bad:?}");
    assert!(handle.test_channel("nonsense").await.is_err());
    assert!(incidents(&handle).is_empty(), "a test is no incident");
    monitor.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_burst_goes_in_few_messages_that_name_every_incident() {
    let site = Site::new();
    let robot = DingTalk::start("TOKEN", "SECx").unwrap();
    let client = site.client(Duration::from_secs(5));
    client.create("/nodes", "", CreateMode::Persistent).await.unwrap();
    // Dead before the first look: 25 incidents at once.
    for index in 0..25 {
        let path = format!("/nodes/n{index}");
        client.create(&path, "", CreateMode::Persistent).await.unwrap();
        client.create(&format!("{path}/alive"), "", CreateMode::Ephemeral).await.unwrap();
        client.delete(&format!("{path}/alive"), None).await.unwrap();
    }
    let monitor = site.monitor(&[robot.url()]).await;
    let handle = monitor.handle();
    let confirmed = |fleet: &wk_monitor::Fleet| fleet.channels[0].confirmed;
    until(&handle, "25 incidents told", |fleet, found| {
        (found.len() == 25 && confirmed(fleet) == 25).then(|| found.to_vec())
    })
    .await;
    let texts = robot.texts();
    assert!(texts.len() <= 3, "found together, told together: {texts:?}");
    for incident in handle.incidents(&wk_monitor::IncidentFilter::default()) {
        let named = texts.iter().filter(|text| text.contains(&incident.id)).count();
        assert_eq!(named, 1, "{} in {texts:?}", incident.id);
    }
    assert_eq!(robot.refused(), Vec::<i64>::new(), "never too fast");
    monitor.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_answer_that_never_comes_is_sent_again_under_the_same_key() {
    let site = Site::new();
    let webhook = Webhook::start().unwrap();
    webhook.script([Reply::Silence]);
    // Dead before the first look.
    let client = site.client(Duration::from_secs(5));
    for path in ["/nodes", "/nodes/a", "/nodes/a/alive"] {
        client.create(path, "", CreateMode::Persistent).await.unwrap();
    }
    client.delete("/nodes/a/alive", None).await.unwrap();
    let monitor = site.monitor(&[webhook.url()]).await;
    until_holds("the first try", || webhook.taken().len() == 1).await;
    // The monitor is stopped while the receiver keeps silent; the next one sends again.
    monitor.stop().await;
    let monitor = site.monitor(&[webhook.url()]).await;
    until_holds("the second try", || webhook.taken().len() == 2).await;
    assert_eq!(webhook.acted().len(), 1, "one key: {:?}", webhook.taken());
    until(&monitor.handle(), "the confirmation", |fleet, _| {
        (fleet.channels[0].confirmed == 1).then_some(())
    })
    .await;
    monitor.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stop_waits_for_an_answer_that_is_on_its_way() {
    let site = Site::new();
    let webhook = Webhook::start().unwrap();
    webhook.script([Reply::Late(Duration::from_millis(700))]);
    let client = site.client(Duration::from_secs(5));
    for path in ["/nodes", "/nodes/a", "/nodes/a/alive"] {
        client.create(path, "", CreateMode::Persistent).await.unwrap();
    }
    client.delete("/nodes/a/alive", None).await.unwrap();
    let monitor = site.monitor(&[webhook.url()]).await;
    until_holds("the try", || webhook.taken().len() == 1).await;
    monitor.stop().await;
    let monitor = site.monitor(&[webhook.url()]).await;
    until(&monitor.handle(), "the picture", |fleet, _| {
        (fleet.channels[0].confirmed == 1).then_some(())
    })
    .await;
    until_state(&monitor.handle(), "a", NodeState::Down).await;
    assert_eq!(webhook.taken().len(), 1, "nothing is sent twice");
    monitor.stop().await;
}

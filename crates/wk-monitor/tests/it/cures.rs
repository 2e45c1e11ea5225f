//! The action of a node that is down: run once, guarded, and judged by the node's own session.

use std::collections::BTreeMap;
use std::path::Path;

use wk_alert::{CureMode, CurePolicy};
use wk_monitor::{
    ActionError, GroupConfig, Incident, IncidentState, MonitorHandle, NodeState, OnDown,
};

use crate::site::{Site, until, until_holds, until_state};

/// A site whose group `app` has an action that writes its node's name into a file.
fn site(mode: CureMode) -> Site {
    let mut site = Site::new();
    let script = format!("echo {{node}} >> {}; echo done it", site.data().join("ran").display());
    let exec = ["sh", "-c", &script].map(str::to_owned).to_vec();
    let on_down = OnDown { exec, policy: CurePolicy { mode, ..CurePolicy::default() } };
    let app = GroupConfig { on_down: Some(on_down), ..GroupConfig::default() };
    site.groups = BTreeMap::from([("app".to_owned(), app)]);
    site
}

fn ran(data: &Path) -> Vec<String> {
    let text = std::fs::read_to_string(data.join("ran")).unwrap_or_default();
    text.lines().map(str::to_owned).collect()
}

async fn history(handle: &MonitorHandle, id: &str) -> Vec<String> {
    let detail = handle.incident(id).await.unwrap();
    detail.timeline.into_iter().map(|line| format!("{}: {}", line.actor, line.text)).collect()
}

async fn until_history(handle: &MonitorHandle, id: &str, part: &str) -> Vec<String> {
    let end = std::time::Instant::now() + std::time::Duration::from_mins(1);
    loop {
        let lines = history(handle, id).await;
        if lines.iter().any(|line| line.contains(part)) {
            return lines;
        }
        assert!(std::time::Instant::now() < end, "waited for {part}: {lines:#?}");
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn auto_runs_once_and_the_nodes_own_session_is_the_cure() {
    let site = site(CureMode::Auto);
    let monitor = site.inside(&[]).await;
    let handle = monitor.handle();
    let _others = [site.join("app/b").await, site.join("app/c").await];
    let node = site.join("app/a").await;
    until_state(&handle, "a", NodeState::Up).await;
    node.abandon().await;
    let id = crate::site::until_incident(&handle, "a").await;
    let lines = until_history(&handle, &id, "the action ended: exit 0").await;
    assert!(lines.iter().any(|line| line.starts_with("monitor: action started: sh -c")));
    assert!(lines.iter().any(|line| line.contains("the action printed: done it")), "{lines:#?}");
    assert!(!lines.iter().any(|line| line.contains("cured")), "nobody is back: {lines:#?}");
    monitor.stop().await;

    // Another monitor on the same store: what ran is not run again, what is open is judged.
    let monitor = site.inside(&[]).await;
    let handle = monitor.handle();
    until_state(&handle, "a", NodeState::Down).await;
    let refused = handle.run(&id, "eva").await.unwrap_err();
    assert!(matches!(&refused, ActionError::Conflict(why) if why.contains("ran already")));
    let _node = site.join("app/a").await;
    until_history(&handle, &id, "cured: the node's own session is back").await;
    assert_eq!(ran(site.data()), ["a"]);
    monitor.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_person_is_asked_and_half_a_group_is_left_alone() {
    let site = site(CureMode::Ask);
    let monitor = site.inside(&[]).await;
    let handle = monitor.handle();
    let _other = site.join("app/c").await;
    let (first, second) = (site.join("app/a").await, site.join("app/b").await);
    until_state(&handle, "b", NodeState::Up).await;
    first.abandon().await;
    second.abandon().await;
    let id = crate::site::until_incident(&handle, "a").await;
    let over = crate::site::until_incident(&handle, "b").await;
    let refused = handle.run(&id, "eva").await.unwrap_err();
    assert!(matches!(&refused, ActionError::Conflict(why) if why.contains("2 of 3")), "{refused}");
    assert!(ran(site.data()).is_empty());

    let _second = site.join("app/b").await;
    until_state(&handle, "b", NodeState::Up).await;
    handle.run(&id, "eva").await.unwrap();
    let lines = until_history(&handle, &id, "the action ended").await;
    assert!(lines.iter().any(|line| line.starts_with("eva: action started")), "{lines:#?}");
    assert_eq!(ran(site.data()), ["a"]);
    // The rules see the cure a moment later than the registry does.
    until(&handle, "the end of b's incident", |_, found| {
        let is_over = |i: &Incident| i.id == over && i.state == IncidentState::Resolved;
        found.iter().any(is_over).then_some(())
    })
    .await;
    let refused = handle.run(&over, "eva").await.unwrap_err();
    assert!(matches!(&refused, ActionError::Conflict(why) if why.contains("no node is down")));
    let unknown = handle.run("nosuch-1", "eva").await.unwrap_err();
    assert!(matches!(unknown, ActionError::NotFound { .. }), "{unknown}");
    until_holds("nothing more to run", || ran(site.data()).len() == 1).await;
    monitor.stop().await;
}

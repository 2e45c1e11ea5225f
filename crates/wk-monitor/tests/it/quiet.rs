//! Silences and maintenance: nobody is told meanwhile, and whatever lasts then is told.

use std::time::Duration;

use wk_monitor::{ActionError, IncidentState, NodeState};
use wk_peers::receivers::Webhook;

use crate::site::{Site, incidents, until, until_holds, until_state};

const HOUR: Duration = Duration::from_hours(1);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_lasts_when_a_silence_or_the_work_ends_is_told_then() {
    let site = Site::new();
    let webhook = Webhook::start().unwrap();
    let monitor = site.inside(&[webhook.url()]).await;
    let handle = monitor.handle();
    let (a, b) = (site.join("app/a").await, site.join("app/b").await);
    until_state(&handle, "a", NodeState::Up).await;
    until_state(&handle, "b", NodeState::Up).await;

    let matchers = vec!["rule=NodeDown".to_owned(), "node=~a|x".to_owned()];
    let silence = handle.add_silence(matchers, HOUR, "ann", "tests").await.unwrap();
    assert!(silence.term.active && silence.id == "silence-1", "{silence:?}");
    a.abandon().await;
    let hushed = until(&handle, "a silent incident", |_, found| {
        found.iter().find(|one| one.state == IncidentState::Suppressed).cloned()
    })
    .await;
    assert_eq!(hushed.suppressed_by.as_deref(), Some("silence-1"));
    assert_eq!(handle.silences()[0].term.suppresses, std::slice::from_ref(&hushed.id));

    // The silence outlives the monitor, and another fault is told meanwhile.
    monitor.stop().await;
    let monitor = site.inside(&[webhook.url()]).await;
    let handle = monitor.handle();
    until_state(&handle, "b", NodeState::Up).await;
    b.abandon().await;
    until_holds("news of b", || webhook.acted().len() == 1).await;
    let told = webhook.acted()[0].incident();
    assert_ne!(told, hushed.id);

    let window = handle.start_maintenance("local", HOUR, "bob", "").await.unwrap();
    assert_eq!(window[0].id, "maintenance-1");
    let ended = handle.end_silence("silence-1", "ann").await.unwrap();
    assert!(!ended.term.active && ended.term.ended_by.as_deref() == Some("ann"));
    let refused = handle.end_silence("silence-1", "ann").await;
    assert!(matches!(refused, Err(ActionError::Conflict(_))), "{refused:?}");
    let by = |found: &[wk_monitor::Incident]| {
        found.iter().find(|one| one.id == hushed.id).and_then(|one| one.suppressed_by.clone())
    };
    assert_eq!(by(&incidents(&handle)).as_deref(), Some("maintenance-1"), "one after the other");
    assert_eq!(webhook.taken().len(), 1, "still nobody is told of a");

    let slip = handle.start_maintenance("locale", HOUR, "bob", "").await;
    assert!(matches!(slip, Err(ActionError::NotFound { what: "ensemble", .. })), "{slip:?}");
    let all = handle.add_silence(vec!["node=~.*".into()], HOUR, "bob", "").await;
    assert!(matches!(all, Err(ActionError::Invalid(_))), "{all:?}");

    handle.end_maintenance("local", "bob").await.unwrap();
    let id = &hushed.id;
    // An addition to the group of b: it is gathered first.
    until_holds("news of a", || webhook.acted().iter().any(|one| one.incident() == *id)).await;
    let detail = handle.incident(id).await.unwrap();
    assert_eq!(detail.incident.state, IncidentState::Firing, "{detail:#?}");
    monitor.stop().await;
}

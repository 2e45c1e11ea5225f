//! Sessions over lost connections, lost sessions and wrong ones.

use std::time::Duration;

use tokio::time::Instant;
use wk_client::{ConnectError, CreateMode, Effect, Error, Lease, Resume, Status};

use crate::fake::{Fake, reaches};

#[tokio::test(start_paused = true)]
async fn a_cut_connection_resumes_the_session() {
    let fake = Fake::default();
    let client = fake.client().await;
    let before = *client.state().borrow();
    let mut transitions = client.transitions();
    fake.cut();
    reaches(&client, Status::Suspended).await;
    let after = reaches(&client, Status::Connected).await;
    assert_eq!(after, before, "the same session, the same generation");
    let seen: Vec<Status> =
        (0..2).map(|_| transitions.try_recv().expect("logged").status).collect();
    assert_eq!(seen, [Status::Suspended, Status::Connected]);
}

#[tokio::test(start_paused = true)]
async fn a_request_made_while_disconnected_leaves_after_the_reconnect() {
    let fake = Fake::default();
    let client = fake.client().await;
    fake.faults(|faults| faults.refuse = true);
    fake.cut();
    reaches(&client, Status::Suspended).await;
    let creating = {
        let client = client.clone();
        tokio::spawn(async move { client.create("/a", "x", CreateMode::Persistent).await })
    };
    tokio::time::sleep(Duration::from_secs(2)).await;
    assert!(!creating.is_finished());
    fake.faults(|faults| faults.refuse = false);
    let (path, _) = creating.await.expect("no panic").expect("created");
    assert_eq!(path, "/a");
}

#[tokio::test(start_paused = true)]
async fn a_request_without_a_connection_fails_at_its_deadline() {
    let fake = Fake::default();
    let client = fake.client().await.with_timeout(Duration::from_secs(3));
    fake.faults(|faults| faults.refuse = true);
    fake.cut();
    reaches(&client, Status::Suspended).await;
    let start = Instant::now();
    let result = client.create("/a", "x", CreateMode::Persistent).await;
    assert_eq!(result, Err(Error::Unavailable));
    assert_eq!(start.elapsed().as_secs(), 3);
    fake.faults(|faults| faults.refuse = false);
    reaches(&client, Status::Connected).await;
    client.sync("/").await.expect("connected");
    assert_eq!(fake.log(), ["sync /"], "what has failed never leaves");
}

#[tokio::test(start_paused = true)]
async fn an_expired_session_is_followed_by_the_next_generation() {
    let fake = Fake::default();
    let client = fake.client().await;
    let before = *client.state().borrow();
    fake.expire();
    reaches(&client, Status::Lost).await;
    let after = reaches(&client, Status::Connected).await;
    assert_eq!(after.session_generation, before.session_generation + 1);
    assert_ne!(after.session, before.session);
    client.sync("/").await.expect("the new session works");
}

#[tokio::test(start_paused = true)]
async fn a_foreign_session_in_the_handshake_means_that_ours_is_lost() {
    let fake = Fake::default();
    let client = fake.client().await;
    let mut transitions = client.transitions();
    fake.faults(|faults| faults.swap_session = true);
    fake.cut();
    reaches(&client, Status::Lost).await;
    let after = reaches(&client, Status::Connected).await;
    assert_eq!(after.session_generation, 2);
    let first = transitions.try_recv().expect("logged").status;
    let second = transitions.try_recv().expect("logged").status;
    assert_eq!([first, second], [Status::Suspended, Status::Lost]);
}

#[tokio::test(start_paused = true)]
async fn a_client_told_to_stop_does_not_open_another_session() {
    let fake = Fake::default();
    let client = fake.builder().resume(Resume::Stop).connect().await.expect("connects");
    fake.expire();
    reaches(&client, Status::Lost).await;
    assert_eq!(client.sync("/").await, Err(Error::Closed));
}

#[tokio::test(start_paused = true)]
async fn a_silent_server_is_left_after_two_thirds_of_the_timeout() {
    let fake = Fake::default();
    let client = fake.client().await;
    let timeout = client.state().borrow().session_timeout;
    fake.faults(|faults| faults.mute = true);
    let start = Instant::now();
    reaches(&client, Status::Suspended).await;
    let waited = start.elapsed();
    assert!(waited <= timeout * 2 / 3 + Duration::from_millis(10), "{waited:?}");
    assert!(waited >= timeout / 3, "{waited:?}");
}

#[tokio::test(start_paused = true)]
async fn a_quiet_connection_is_kept_by_heartbeats() {
    let fake = Fake::default();
    let client = fake.client().await;
    let mut transitions = client.transitions();
    tokio::time::sleep(Duration::from_mins(10)).await;
    assert!(transitions.try_recv().is_err(), "nothing happened");
}

#[tokio::test(start_paused = true)]
async fn a_local_deadline_ends_the_session_before_the_servers_can() {
    let fake = Fake::default();
    let client = fake.builder().lease(Lease::LocalDeadline).connect().await.expect("connects");
    tokio::time::sleep(Duration::from_mins(1)).await;
    assert_eq!(client.state().borrow().session_generation, 1, "heartbeats renew it");
    let beats = fake.log();
    assert!(beats.len() > 20 && beats.iter().all(|op| op == "sync /"), "{beats:?}");
    fake.faults(|faults| (faults.mute, faults.refuse) = (true, true));
    let start = Instant::now();
    reaches(&client, Status::Lost).await;
    assert!(start.elapsed() < Duration::from_secs(10), "{:?}", start.elapsed());
}

#[tokio::test(start_paused = true)]
async fn a_write_without_an_answer_is_ambiguous_and_not_repeated() {
    let fake = Fake::default();
    let client = fake.client().await;
    fake.faults(|faults| faults.cut_after_write = true);
    let result = client.create("/a", "x", CreateMode::Persistent).await;
    let error = result.expect_err("the answer is lost");
    assert!(error.is_ambiguous());
    assert_eq!(error, Error::ConnectionLoss(Effect::Unknown));
    reaches(&client, Status::Connected).await;
    assert!(client.exists("/a").await.expect("connected").is_some(), "it was applied, this time");
    assert_eq!(fake.log(), ["create2 /a", "exists /a"]);
}

#[tokio::test(start_paused = true)]
async fn a_read_without_an_answer_changed_nothing() {
    let fake = Fake::default();
    let client = fake.client().await;
    fake.faults(|faults| faults.mute = true);
    let result = client.with_timeout(Duration::from_secs(1)).get("/a").await;
    assert_eq!(result, Err(Error::TimedOut(Effect::None)));
    let result = client.with_timeout(Duration::from_mins(1)).get("/a").await;
    assert_eq!(result, Err(Error::ConnectionLoss(Effect::None)));
}

#[tokio::test(start_paused = true)]
async fn credentials_come_first_on_every_connection() {
    let fake = Fake::default();
    let client = fake.builder().auth("digest", "u:p").connect().await.expect("connects");
    client.add_auth("digest", "v:q").await.expect("accepted");
    fake.log();
    fake.cut();
    reaches(&client, Status::Suspended).await;
    client.sync("/").await.expect("connected");
    assert_eq!(fake.log(), ["auth", "auth", "sync /"]);
    fake.faults(|faults| faults.refuse_auth = true);
    fake.cut();
    reaches(&client, Status::AuthFailed).await;
    assert_eq!(client.sync("/").await, Err(Error::Closed));
}

#[tokio::test(start_paused = true)]
async fn connecting_gives_up_in_time_and_says_why() {
    let fake = Fake::default();
    fake.faults(|faults| faults.refuse = true);
    let start = Instant::now();
    let error = fake.builder().connect_within(Duration::from_secs(5)).connect().await;
    let error = error.expect_err("nobody is there");
    assert_eq!(start.elapsed().as_secs(), 5);
    assert!(matches!(error, ConnectError::Unreachable { .. }));
    let text = error.to_string();
    assert!(text.contains("fake:1") && text.contains("connection refused"), "{text}");
}

#[tokio::test(start_paused = true)]
async fn close_is_confirmed_and_the_last_handle_closes_too() {
    let fake = Fake::default();
    let client = fake.client().await;
    client.close().await.expect("confirmed");
    assert_eq!(client.sync("/").await, Err(Error::Closed));
    assert_eq!(fake.log(), ["closeSession"]);
    let mut state = fake.client().await.state();
    // The handle above is dropped at once.
    let closed = state.wait_for(|state| state.status == Status::Closed).await.is_ok();
    assert!(closed);
    assert_eq!(fake.log(), ["closeSession"]);
}

#[tokio::test(start_paused = true)]
async fn abandoning_says_nothing_to_the_server() {
    let fake = Fake::default();
    let client = fake.client().await;
    client.abandon().await;
    assert_eq!(client.state().borrow().status, Status::Closed);
    assert!(fake.log().is_empty());
}

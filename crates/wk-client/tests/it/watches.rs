//! Watches over gaps, and readers who are slow or gone.

use std::time::Duration;

use tokio::time::timeout;
use wk_client::{Error, Event, EventType, Status, WatchMode, Zxid};

use crate::fake::{Fake, reaches};

#[tokio::test(start_paused = true)]
async fn a_one_shot_watch_sees_a_change_during_a_gap() {
    let fake = Fake::default();
    fake.put("/a", b"0");
    let client = fake.client().await;
    let (_, mut watcher) = client.get_watch("/a").await.expect("there");
    fake.faults(|faults| faults.refuse = true);
    fake.cut();
    reaches(&client, Status::Suspended).await;
    fake.put("/a", b"1");
    fake.faults(|faults| faults.refuse = false);
    let event = watcher.fired().await.expect("told after the gap");
    assert_eq!((event.kind, event.path.as_str()), (EventType::NodeDataChanged, "/a"));
    assert_eq!(event.zxid, None, "setWatches does not say which txn");
}

#[tokio::test(start_paused = true)]
async fn a_one_shot_watch_without_a_change_stays_armed_over_a_gap() {
    let fake = Fake::default();
    fake.put("/a", b"0");
    let client = fake.client().await;
    let (_, mut watcher) = client.get_watch("/a").await.expect("there");
    fake.cut();
    reaches(&client, Status::Suspended).await;
    reaches(&client, Status::Connected).await;
    client.sync("/").await.expect("watches are armed before this");
    fake.put("/a", b"1");
    let event = watcher.fired().await.expect("told");
    assert_eq!(event.zxid, Some(Zxid(3)));
}

#[tokio::test(start_paused = true)]
async fn a_cut_between_two_events_of_one_txn_loses_neither() {
    let fake = Fake::default();
    fake.put("/a", b"0");
    fake.put("/b", b"0");
    let client = fake.client().await;
    let (_, mut first) = client.get_watch("/a").await.expect("there");
    let (_, mut second) = client.get_watch("/b").await.expect("there");
    fake.put_both_and_cut_between("/a", "/b");
    let event = first.fired().await.expect("told before the cut");
    assert!(event.zxid.is_some());
    let told = timeout(Duration::from_mins(5), second.fired()).await.expect("told in time");
    let event = told.expect("told after the reconnect");
    assert_eq!(event.zxid, None);
}

#[tokio::test(start_paused = true)]
async fn a_one_shot_watch_ends_with_its_session() {
    let fake = Fake::default();
    fake.put("/a", b"0");
    let client = fake.client().await;
    let (_, mut watcher) = client.get_watch("/a").await.expect("there");
    let (missing, mut creation) = client.exists_watch("/b").await.expect("asked");
    assert_eq!(missing, None);
    fake.expire();
    assert_eq!(watcher.fired().await, Err(Error::SessionLost));
    assert_eq!(creation.fired().await, Err(Error::SessionLost));
}

#[tokio::test(start_paused = true)]
async fn an_exists_watch_waits_for_creation() {
    let fake = Fake::default();
    let client = fake.client().await;
    let (missing, mut watcher) = client.exists_watch("/b").await.expect("asked");
    assert_eq!(missing, None);
    fake.put("/b", b"0");
    assert_eq!(watcher.fired().await.expect("told").kind, EventType::NodeCreated);
}

#[tokio::test(start_paused = true)]
async fn a_stream_says_resync_after_a_gap_and_after_a_new_session_and_goes_on() {
    let fake = Fake::default();
    let client = fake.client().await;
    let mode = WatchMode::PersistentRecursive;
    let mut stream = client.add_watch("/top", mode).await.expect("armed");
    for fault in [Fake::cut, Fake::expire] {
        fault(&fake);
        assert_eq!(stream.next().await, Some(Event::Resync));
        fake.put("/top/x", b"0");
        let Some(Event::Changed(event)) = stream.next().await else { panic!("an event") };
        assert_eq!(event.path, "/top/x");
    }
    client.close().await.expect("confirmed");
    assert_eq!(stream.next().await, None);
}

#[tokio::test(start_paused = true)]
async fn a_slow_reader_blocks_nobody_and_is_told_to_look_again() {
    let fake = Fake::default();
    fake.put("/a", b"0");
    let client = fake.builder().events_max(10).connect().await.expect("connects");
    let mut stream = client.add_watch("/a", WatchMode::Persistent).await.expect("armed");
    for _ in 0..1000 {
        client.set("/a", "x", None).await.expect("answered although nobody reads the stream");
    }
    assert_eq!(stream.try_next(), Some(Event::Resync));
    let mut rest = 0;
    while stream.try_next().is_some() {
        rest += 1;
    }
    assert!(rest <= 10, "{rest}");
}

#[tokio::test(start_paused = true)]
async fn a_dropped_stream_gives_its_watch_back_unless_another_needs_it() {
    let fake = Fake::default();
    let client = fake.client().await;
    let first = client.add_watch("/a", WatchMode::Persistent).await.expect("armed");
    let second = client.add_watch("/a", WatchMode::Persistent).await.expect("armed");
    fake.log();
    drop(first);
    client.sync("/").await.expect("connected");
    assert_eq!(fake.log(), ["sync /"]);
    drop(second);
    client.sync("/").await.expect("connected");
    assert_eq!(fake.log(), ["removeWatches /a", "sync /"]);
}

#[tokio::test(start_paused = true)]
async fn waiting_for_an_event_can_be_given_up_and_taken_up_again() {
    let fake = Fake::default();
    let client = fake.client().await;
    let mut stream = client.add_watch("/a", WatchMode::Persistent).await.expect("armed");
    assert!(timeout(Duration::from_secs(1), stream.next()).await.is_err());
    fake.put("/a", b"0");
    assert!(matches!(stream.next().await, Some(Event::Changed(_))));
}

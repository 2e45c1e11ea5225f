//! Requests: order, bounds, limits.

use std::time::Duration;

use wk_client::{CreateMode, Error};

use crate::fake::Fake;

#[tokio::test(start_paused = true)]
async fn data_and_stat_come_back() {
    let fake = Fake::default();
    let client = fake.client().await;
    let (path, stat) = client.create("/a", "x", CreateMode::Persistent).await.expect("created");
    assert_eq!((path.as_str(), stat.version), ("/a", 0));
    let znode = client.get("/a").await.expect("there");
    assert_eq!((znode.data.as_deref(), znode.stat), (Some(&b"x"[..]), stat));
    let after = client.set("/a", "y", None).await.expect("set");
    assert_eq!(after.version, 1);
    assert_eq!(client.exists("/b").await, Ok(None));
}

#[tokio::test(start_paused = true)]
async fn a_chroot_is_put_before_every_path_and_taken_off_again() {
    let fake = Fake::default();
    let client = wk_client::Client::builder("fake:1/app")
        .connector(fake.clone())
        .connect()
        .await
        .expect("connects");
    let (path, _) = client.create("/a", "x", CreateMode::Persistent).await.expect("created");
    assert_eq!(path, "/a");
    client.exists("/").await.expect("asked");
    assert_eq!(fake.log(), ["create2 /app/a", "exists /app"]);
}

#[tokio::test(start_paused = true)]
async fn more_requests_than_the_bound_wait_their_turn_and_all_are_answered_in_order() {
    let fake = Fake::default();
    fake.put("/a", b"0");
    let client = fake.builder().in_flight_max(3).connect().await.expect("connects");
    let tasks: Vec<_> = (0..500)
        .map(|_| {
            let client = client.clone();
            tokio::spawn(async move { client.set("/a", "x", None).await.map(|stat| stat.version) })
        })
        .collect();
    for (n, task) in tasks.into_iter().enumerate() {
        let version = task.await.expect("no panic").expect("set");
        assert_eq!(usize::try_from(version).expect("positive"), n + 1);
    }
}

#[tokio::test(start_paused = true)]
async fn too_long_a_request_never_leaves() {
    let fake = Fake::default();
    fake.put("/a", b"0");
    let client = fake.builder().frame_max(1000).connect().await.expect("connects");
    let result = client.set("/a", &vec![0; 2000], None).await;
    assert_eq!(result, Err(Error::TooLarge { need: 2022, limit: 1000 }));
    assert!(fake.log().is_empty());
}

#[tokio::test(start_paused = true)]
async fn too_long_a_reply_fails_its_request_and_not_the_connection() {
    let fake = Fake::default();
    fake.put("/a", b"0");
    let client = fake.builder().frame_max(10_000).connect().await.expect("connects");
    let mut transitions = client.transitions();
    fake.faults(|faults| faults.data_len = Some(50_000));
    let (long, next) = tokio::join!(client.get("/a"), client.exists("/a"));
    assert_eq!(long, Err(Error::TooLarge { need: 16 + 4 + 50_000 + 68, limit: 10_000 }));
    assert!(next.expect("answered").is_some());
    assert!(transitions.try_recv().is_err(), "still connected");
}

#[tokio::test]
async fn a_server_in_this_process_is_reached_through_a_socket_pair() {
    let fake = Fake::default();
    let server = fake.clone();
    let dial = move || {
        let (ours, theirs) = std::os::unix::net::UnixStream::pair()?;
        theirs.set_nonblocking(true)?;
        tokio::spawn(server.clone().serve(tokio::net::UnixStream::from_std(theirs)?));
        Ok(ours)
    };
    let client = wk_client::Client::builder("in-process").connector(wk_client::InProcess(dial));
    let client = client.connect().await.expect("connects");
    client.create("/a", "x", CreateMode::Persistent).await.expect("created");
    fake.cut();
    let znode = loop {
        // The cut is seen sooner or later; a read may fall into it.
        match client.get("/a").await {
            Err(Error::ConnectionLoss(_)) => {}
            other => break other.expect("there"),
        }
    };
    assert_eq!(znode.data.as_deref(), Some(&b"x"[..]));
    client.close().await.expect("confirmed");
}

#[tokio::test(start_paused = true)]
async fn a_dropped_call_that_has_not_left_never_leaves() {
    let fake = Fake::default();
    fake.faults(|faults| faults.refuse = true);
    let client = fake.builder().start().expect("starts");
    let create = client.create("/a", "x", CreateMode::Persistent);
    assert!(tokio::time::timeout(Duration::from_secs(1), create).await.is_err());
    fake.faults(|faults| faults.refuse = false);
    client.wait_connected(Duration::from_secs(10)).await.expect("connects");
    client.sync("/").await.expect("connected");
    let log = fake.log();
    assert!(!log.contains(&"create2 /a".to_owned()), "{log:?}");
}

#[tokio::test(start_paused = true)]
async fn an_illegal_path_is_refused_before_it_is_sent() {
    let fake = Fake::default();
    let client = fake.client().await;
    for path in ["", "a", "/a/", "/a//b", "/a/../b"] {
        assert!(matches!(client.get(path).await, Err(Error::Argument(_))), "{path}");
    }
    assert!(fake.log().is_empty());
}

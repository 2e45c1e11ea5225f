//! The crate zookeeper-client, written by others, as a client of our server; and with ours on the
//! other side, so that each sees what the other does.

use std::time::Duration;

use wk_client::{Client as Ours, WatchMode};
use wk_peers::{Server, wait};
use zookeeper_client::{
    Acl, Acls, AddWatchMode, AuthId, Client, CreateMode, CreateOptions, Error, EventType,
    LockOptions, LockPrefix, MultiReadResult, MultiWriteError, MultiWriteResult, Permission,
    SessionState,
};

use crate::harness::{cache, subject, subject_spec};

const OPEN: CreateOptions<'static> = CreateMode::Persistent.with_acls(Acls::anyone_all());

/// Runs a test's steps; no step waits for ever.
fn run(steps: impl Future<Output = ()>) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let limited = async { tokio::time::timeout(wait::LONG, steps).await };
    runtime.block_on(limited).expect("the steps end in time");
}

async fn theirs(server: &Server) -> Client {
    let connector = Client::connector().with_server_version(3, 9, 5);
    connector.connect(&server.address()).await.unwrap()
}

#[test]
fn znodes_of_every_kind() {
    let server = subject();
    run(async {
        let client = theirs(&server).await;
        let (stat, _) = client.create("/a", b"one", &OPEN).await.unwrap();
        let (data, read) = client.get_data("/a").await.unwrap();
        assert_eq!((data, read), (b"one".to_vec(), stat));
        let set = client.set_data("/a", b"two", Some(0)).await.unwrap();
        assert_eq!((set.version, set.data_length), (1, 3));
        assert_eq!(client.set_data("/a", b"x", Some(0)).await, Err(Error::BadVersion));
        assert_eq!(client.create("/a", b"", &OPEN).await.unwrap_err(), Error::NodeExists);
        assert_eq!(client.create("/no/b", b"", &OPEN).await.unwrap_err(), Error::NoNode);

        let anyone = Acls::anyone_all();
        let sequential = CreateMode::EphemeralSequential.with_acls(anyone);
        for want in 0..3 {
            let (stat, sequence) = client.create("/a/s-", b"", &sequential).await.unwrap();
            assert_eq!(sequence.into_i64(), want);
            assert_eq!(stat.ephemeral_owner, client.session_id().0);
        }
        let container = CreateMode::Container.with_acls(anyone);
        client.create("/box", b"", &container).await.unwrap();
        let ephemeral = CreateMode::Ephemeral.with_acls(anyone);
        client.create("/box/e", b"", &ephemeral).await.unwrap();
        let below = client.create("/box/e/x", b"", &OPEN).await;
        assert_eq!(below.unwrap_err(), Error::NoChildrenForEphemerals);
        assert_eq!(client.delete("/box", None).await, Err(Error::NotEmpty));
        let mut mine = client.list_ephemerals("/").await.unwrap();
        mine.sort();
        assert_eq!(mine, ["/a/s-0000000000", "/a/s-0000000001", "/a/s-0000000002", "/box/e"]);
        assert_eq!(client.count_descendants_number("/a").await, Ok(3));
        client.sync("/").await.unwrap();
        let (names, stat) = client.get_children("/a").await.unwrap();
        assert_eq!((names.len(), stat.cversion, stat.num_children), (3, 3, 3));
        client.delete("/box/e", None).await.unwrap();
        client.delete("/box", None).await.unwrap();
        assert_eq!(client.check_stat("/box").await, Ok(None));
    });
}

#[test]
fn ttl_needs_extended_types() {
    let dir = tempfile::tempdir().unwrap();
    let spec = subject_spec(dir.path()).with_jvm_flag("-Dzookeeper.extendedTypesEnabled=true");
    let server = spec.start(&cache()).unwrap_or_else(|err| panic!("{err:#}"));
    let plain = subject();
    run(async {
        let ttl = OPEN.with_ttl(Duration::from_mins(1));
        let client = theirs(&server).await;
        let (stat, _) = client.create("/t", b"x", &ttl).await.unwrap();
        assert_eq!(stat.ephemeral_owner, 0);
        let client = theirs(&plain).await;
        assert_eq!(client.create("/t", b"x", &ttl).await.unwrap_err(), Error::Unimplemented);
    });
}

#[test]
fn watches_of_every_kind() {
    let server = subject();
    run(async {
        let client = theirs(&server).await;
        let other = Ours::builder(&server.address()).connect().await.unwrap();
        let mut tree = client.watch("/w", AddWatchMode::PersistentRecursive).await.unwrap();
        let mut node = client.watch("/w", AddWatchMode::Persistent).await.unwrap();
        let (missing, created) = client.check_and_watch_stat("/w").await.unwrap();
        assert_eq!(missing, None);
        let (_, stat) = other.create("/w", "0", wk_client::CreateMode::Persistent).await.unwrap();
        let event = created.changed().await;
        assert_eq!((event.event_type, event.path.as_str()), (EventType::NodeCreated, "/w"));
        assert_eq!(event.zxid, stat.czxid.0);
        let (_, _, data) = client.get_and_watch_data("/w").await.unwrap();
        let (_, _, children) = client.get_and_watch_children("/w").await.unwrap();
        other.create("/w/c", "0", wk_client::CreateMode::Persistent).await.unwrap();
        other.set("/w", "1", None).await.unwrap();
        assert_eq!(children.changed().await.event_type, EventType::NodeChildrenChanged);
        assert_eq!(data.changed().await.event_type, EventType::NodeDataChanged);
        let mut seen = Vec::new();
        for _ in 0..3 {
            let event = tree.changed().await;
            seen.push((event.event_type, event.path));
        }
        let want = [
            (EventType::NodeCreated, "/w".to_owned()),
            (EventType::NodeCreated, "/w/c".to_owned()),
            (EventType::NodeDataChanged, "/w".to_owned()),
        ];
        assert_eq!(seen, want);
        let mut seen = Vec::new();
        for _ in 0..3 {
            seen.push(node.changed().await.event_type);
        }
        let want =
            [EventType::NodeCreated, EventType::NodeChildrenChanged, EventType::NodeDataChanged];
        assert_eq!(seen, want);
    });
}

#[test]
fn our_watches_see_what_they_do() {
    let server = subject();
    run(async {
        let client = theirs(&server).await;
        let ours = Ours::builder(&server.address()).connect().await.unwrap();
        let mut stream = ours.add_watch("/w", WatchMode::PersistentRecursive).await.unwrap();
        let (stat, _) = client.create("/w", b"0", &OPEN).await.unwrap();
        client.create("/w/c", b"0", &OPEN).await.unwrap();
        client.delete("/w/c", None).await.unwrap();
        let mut seen = Vec::new();
        for _ in 0..3 {
            let Some(wk_client::Event::Changed(event)) = stream.next().await else { panic!() };
            seen.push((event.kind, event.path, event.zxid.unwrap().0 - stat.czxid));
        }
        let want = [
            (wk_client::EventType::NodeCreated, "/w".to_owned(), 0),
            (wk_client::EventType::NodeCreated, "/w/c".to_owned(), 1),
            (wk_client::EventType::NodeDeleted, "/w/c".to_owned(), 2),
        ];
        assert_eq!(seen, want);
    });
}

#[test]
fn several_operations_at_once() {
    let server = subject();
    run(async {
        let client = theirs(&server).await;
        let mut writer = client.new_multi_writer();
        writer.add_create("/m", b"0", &OPEN).unwrap();
        writer.add_set_data("/m", b"1", Some(0)).unwrap();
        writer.add_check_version("/m", 1).unwrap();
        writer.add_create("/m/x", b"", &OPEN).unwrap();
        writer.add_delete("/m/x", None).unwrap();
        let results = writer.commit().await.unwrap();
        assert!(matches!(&results[0], MultiWriteResult::Create { path, .. } if path == "/m"));
        assert!(matches!(&results[1], MultiWriteResult::SetData { stat } if stat.version == 1));
        assert_eq!(results.len(), 5);

        let mut writer = client.new_multi_writer();
        writer.add_set_data("/m", b"2", None).unwrap();
        writer.add_delete("/missing", None).unwrap();
        let failed = writer.commit().await.unwrap_err();
        let want = MultiWriteError::OperationFailed { index: 1, source: Error::NoNode };
        assert_eq!(failed, want);

        let mut reader = client.new_multi_reader();
        reader.add_get_data("/m").unwrap();
        reader.add_get_children("/").unwrap();
        reader.add_get_data("/missing").unwrap();
        let results = reader.commit().await.unwrap();
        assert!(matches!(&results[0], MultiReadResult::Data { data, .. } if data == b"1"));
        assert!(matches!(&results[1], MultiReadResult::Children { children }
            if children.contains(&"m".to_owned())));
        assert!(matches!(&results[2], MultiReadResult::Error { err: Error::NoNode }));
    });
}

#[test]
fn access_lists_and_identities() {
    let server = subject();
    run(async {
        let connector = Client::connector().with_auth("digest", b"alice:secret");
        let alice = connector.connect(&server.address()).await.unwrap();
        let mine = CreateMode::Persistent.with_acls(Acls::creator_all());
        alice.create("/mine", b"x", &mine).await.unwrap();
        let stranger = theirs(&server).await;
        assert_eq!(stranger.get_data("/mine").await.unwrap_err(), Error::NoAuth);
        stranger.auth("digest", b"alice:secret").await.unwrap();
        assert_eq!(stranger.get_data("/mine").await.unwrap().0, b"x");
        let users = stranger.list_auth_users().await.unwrap();
        assert!(users.iter().any(|user| user.scheme() == "digest" && user.user() == "alice"));
        let read_only = [Acl::new(Permission::READ, AuthId::anyone())];
        alice.set_acl("/mine", &read_only, None).await.unwrap();
        assert_eq!(alice.set_data("/mine", b"y", None).await, Err(Error::NoAuth));
    });
}

#[test]
fn locks_exclude_each_other() {
    let server = subject();
    run(async {
        let (first, second) = (theirs(&server).await, theirs(&server).await);
        let prefix = || LockPrefix::new_curator("/locks", "latch-").unwrap();
        let options = || LockOptions::new(Acls::anyone_all()).with_ancestor_options(OPEN).unwrap();
        let held = first.lock(prefix(), b"", options()).await.unwrap();
        let waiting = second.lock(prefix(), b"", options());
        tokio::pin!(waiting);
        let early = tokio::time::timeout(Duration::from_millis(300), &mut waiting).await;
        assert!(early.is_err(), "one holder at a time");
        held.delete(held.lock_path(), None).await.unwrap();
        waiting.await.unwrap();
    });
}

#[test]
fn a_session_lives_through_a_restart_and_ends_by_its_timeout() {
    let dir = tempfile::tempdir().unwrap();
    let [port] = wait::free_ports().unwrap();
    let spec = subject_spec(dir.path()).with(&format!("clientPort={port}"));
    let serve = || {
        let mut server = spec.spawn(&cache()).unwrap();
        server.client = port;
        server.wait_ready().unwrap_or_else(|err| panic!("{err:#}\n{}", server.process.tail()));
        server
    };
    let mut server = serve();
    run(async {
        let connector = Client::connector().with_session_timeout(Duration::from_secs(20));
        let client = connector.connect(&server.address()).await.unwrap();
        let ephemeral = CreateMode::Ephemeral.with_acls(Acls::anyone_all());
        client.create("/e", b"", &ephemeral).await.unwrap();
        let (_, _, data) = client.get_and_watch_data("/e").await.unwrap();
        let mut states = client.state_watcher();
        server.process.kill().unwrap();
        while states.changed().await != SessionState::Disconnected {}
        server = serve();
        while states.changed().await != SessionState::SyncConnected {}
        assert_eq!(
            client.session_id().0,
            client.check_stat("/e").await.unwrap().unwrap().ephemeral_owner
        );
        client.set_data("/e", b"1", None).await.unwrap();
        assert_eq!(data.changed().await.event_type, EventType::NodeDataChanged);

        // A client that says nothing more: others see its ephemeral go.
        let short =
            Client::connector().with_session_timeout(Duration::from_secs(4)).with_detached();
        let silent = short.connect(&server.address()).await.unwrap();
        silent.create("/silent", b"", &ephemeral).await.unwrap();
        let (_, gone) = client.check_and_watch_stat("/silent").await.unwrap();
        drop(silent);
        assert_eq!(gone.changed().await.event_type, EventType::NodeDeleted);
    });
}

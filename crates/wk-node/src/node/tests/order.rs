//! Order and durability of replies and events.

use super::*;
use crate::connections::READS_QUEUED_MAX;

#[test]
fn a_write_is_answered_only_once_it_is_on_disk() {
    let mut rig = Rig::new();
    let (conn, _) = rig.client();
    rig.create(conn, 1, "/a", CreateMode::Persistent);
    assert!(rig.got(conn).is_empty());
    rig.step(Input::Synced { upto: Zxid(1) });
    assert!(rig.got(conn).is_empty(), "what is synced is older");
    rig.sync();
    assert_eq!(rig.got(conn), [Got::Reply(1, 2, 0)]);
}

#[test]
fn reads_wait_behind_writes_of_their_own_session_only() {
    let mut rig = Rig::new();
    let (a, _) = rig.client();
    let (b, _) = rig.client();
    rig.create(a, 1, "/a", CreateMode::Persistent);
    rig.exists(a, 2, "/a", false);
    rig.create(a, 3, "/a", CreateMode::Persistent);
    rig.raw(a, -2, OpCode::Ping.code(), &[]);
    rig.exists(b, 1, "/a", false);
    assert_eq!(rig.got(b), [Got::Reply(1, 2, -101)], "uncommitted state is never shown");
    assert!(rig.got(a).is_empty());
    rig.step(Input::Synced { upto: Zxid(3) });
    assert_eq!(rig.got(a), [Got::Reply(1, 3, 0), Got::Reply(2, 3, 0)]);
    rig.sync();
    assert_eq!(rig.got(a), [Got::Reply(3, 4, -110), Got::Reply(-2, 4, 0)]);
    rig.exists(b, 2, "/a", false);
    assert_eq!(rig.got(b), [Got::Reply(2, 4, 0)]);
}

#[test]
fn a_sync_waits_for_the_writes_of_others() {
    let mut rig = Rig::new();
    let (a, _) = rig.client();
    let (b, _) = rig.client();
    rig.create(a, 1, "/a", CreateMode::Persistent);
    rig.ask(b, 1, &Request::Sync { path: "/" });
    rig.exists(b, 2, "/a", false);
    assert!(rig.got(b).is_empty());
    rig.sync();
    assert_eq!(rig.got(b), [Got::Reply(1, 3, 0), Got::Reply(2, 3, 0)]);
    rig.ask(b, 3, &Request::Sync { path: "/" });
    assert_eq!(rig.got(b), [Got::Reply(3, 3, 0)]);
}

#[test]
fn a_sync_in_front_of_a_write_of_the_same_batch_is_answered_first() {
    let mut rig = Rig::new();
    let (a, _) = rig.client();
    let (b, _) = rig.client();
    rig.create(a, 1, "/a", CreateMode::Persistent);
    rig.ask(b, 1, &Request::Sync { path: "/" });
    rig.exists(b, 2, "/a", false);
    rig.create(b, 3, "/b", CreateMode::Persistent);
    rig.ask(b, 4, &Request::Sync { path: "/" });
    rig.create(a, 2, "/c", CreateMode::Persistent);
    rig.create(b, 5, "/d", CreateMode::Persistent);
    rig.sync();
    assert_eq!(
        rig.got(b),
        [
            Got::Reply(1, 3, 0),
            Got::Reply(2, 3, 0),
            Got::Reply(3, 4, 0),
            Got::Reply(4, 4, 0),
            Got::Reply(5, 6, 0),
        ]
    );
}

#[test]
fn reads_behind_a_write_are_bounded() {
    let mut rig = Rig::new();
    let (conn, _) = rig.client();
    rig.stopped.clear();
    rig.create(conn, 1, "/a", CreateMode::Persistent);
    for _ in 1..READS_QUEUED_MAX {
        rig.exists(conn, 0, "/a", false);
    }
    assert!(rig.stopped.is_empty());
    rig.exists(conn, 0, "/a", false);
    assert_eq!(rig.stopped.get(&conn), Some(&true), "whatever the xid");
    rig.sync();
    assert_eq!(rig.stopped.get(&conn), Some(&false));
    assert_eq!(rig.got(conn).len(), 1 + READS_QUEUED_MAX);
}

#[test]
fn events_come_before_the_reply_that_caused_them() {
    let mut rig = Rig::new();
    let (conn, _) = rig.client();
    rig.exists(conn, 1, "/a", true);
    rig.ask(conn, 2, &Request::Read { op: OpCode::GetChildren, path: "/", watch: true });
    rig.create(conn, 3, "/a", CreateMode::Persistent);
    rig.create(conn, 4, "/b", CreateMode::Persistent);
    rig.sync();
    assert_eq!(
        rig.got(conn),
        [
            Got::Reply(1, 1, -101),
            Got::Reply(2, 1, 0),
            Got::Event(1, "/a".to_owned(), 2),
            Got::Event(4, "/".to_owned(), 2),
            Got::Reply(3, 2, 0),
            Got::Reply(4, 3, 0),
        ]
    );
}

#[test]
fn missed_changes_are_told_before_the_reply_to_set_watches() {
    let mut rig = Rig::new();
    let (conn, _) = rig.client();
    rig.create(conn, 1, "/a", CreateMode::Persistent);
    rig.sync();
    rig.got(conn);
    let request = wk_proto::client::request::SetWatches {
        relative_zxid: Zxid(1),
        data: vec!["/a", "/gone"],
        exist: vec!["/a", "/later"],
        child: vec!["/"],
        persistent: Some((vec!["/p"], vec!["/r"])),
    };
    rig.ask(conn, -8, &Request::SetWatches(request));
    let event = |kind, path: &str| Got::Event(kind, path.to_owned(), -1);
    assert_eq!(
        rig.got(conn),
        [event(3, "/a"), event(2, "/gone"), event(1, "/a"), event(4, "/"), Got::Reply(-8, 2, 0),]
    );
    rig.create(conn, 2, "/later", CreateMode::Persistent);
    rig.create(conn, 3, "/r", CreateMode::Persistent);
    rig.sync();
    assert_eq!(
        rig.got(conn),
        [
            Got::Event(1, "/later".to_owned(), 3),
            Got::Reply(2, 3, 0),
            Got::Event(1, "/r".to_owned(), 4),
            Got::Reply(3, 4, 0),
        ]
    );
}

#[test]
fn an_unknown_operation_is_answered_in_turn_then_closed() {
    for op in [0, 13, 999, -10, -1] {
        let mut rig = Rig::new();
        let (conn, _) = rig.client();
        rig.create(conn, 1, "/a", CreateMode::Persistent);
        rig.raw(conn, 2, op, &[]);
        assert!(rig.closed.is_empty());
        rig.sync();
        assert_eq!(rig.got(conn), [Got::Reply(1, 2, 0), Got::Reply(2, -1, -6)]);
        assert_eq!(rig.closed.get(&conn), Some(&CloseReason::UnknownOperation));
    }
}

#[test]
fn an_undecodable_body_is_an_error_and_the_connection_stays() {
    let mut rig = Rig::new();
    let (conn, _) = rig.client();
    rig.raw(conn, 1, OpCode::GetData.code(), &[0, 0]);
    assert_eq!(rig.got(conn), [Got::Reply(1, 1, -5)]);
    rig.raw(conn, 2, OpCode::Create.code(), &[0, 0]);
    assert_eq!(rig.got(conn), [Got::Reply(2, 1, -5)], "no txn, as in Apache");
    rig.raw(conn, 3, OpCode::Multi.code(), &[0, 0]);
    rig.sync();
    assert_eq!(rig.got(conn), [Got::Reply(3, 2, -5)], "a multi's error is a txn");
    rig.raw(conn, 4, OpCode::MultiRead.code(), &[0, 0]);
    let frames = rig.sent.remove(&conn).unwrap();
    assert_eq!(frames[0][16..], [0xff, 0xff, 0xff, 0xff, 1, 0xff, 0xff, 0xff, 0xff]);
    rig.exists(conn, 5, "/", false);
    assert_eq!(rig.got(conn), [Got::Reply(5, 2, 0)]);
    rig.step(Input::Frame { conn, frame: &[1, 2, 3] });
    assert_eq!(rig.closed.get(&conn), Some(&CloseReason::Garbage));
}

#[test]
fn a_failed_log_acknowledges_nothing_and_reads_go_on() {
    let mut rig = Rig::new();
    let (writer, _) = rig.client();
    let (reader, _) = rig.client();
    rig.create(writer, 1, "/a", CreateMode::Persistent);
    rig.step(Input::LogFailed);
    assert_eq!(rig.closed.get(&writer), Some(&CloseReason::LogFailed));
    assert!(rig.got(writer).is_empty());
    rig.exists(reader, 1, "/a", false);
    assert_eq!(rig.got(reader), [Got::Reply(1, 2, -101)]);
    rig.pass(1000);
    let newcomer = rig.open();
    rig.hello(newcomer, SessionId::NONE, [0; 16], 0);
    assert_eq!(rig.closed.get(&newcomer), Some(&CloseReason::LogFailed));
    // The records were written anew and synced: the write took place, as its client may find.
    rig.step(Input::LogHealed);
    rig.sync();
    rig.exists(reader, 2, "/a", false);
    assert_eq!(rig.got(reader), [Got::Reply(2, 3, 0)]);
    rig.create(reader, 3, "/b", CreateMode::Persistent);
    rig.sync();
    assert_eq!(rig.got(reader), [Got::Reply(3, 4, 0)]);
}

#[test]
fn too_much_under_way_stops_reading_until_it_is_answered() {
    let mut rig = Rig::with(NodeConfig { outstanding_max: 2, ..NodeConfig::default() });
    let (conn, _) = rig.client();
    rig.stopped.clear();
    for xid in 1..=3 {
        assert!(rig.stopped.is_empty());
        rig.create(conn, xid, &format!("/{xid}"), CreateMode::Persistent);
    }
    assert_eq!(rig.stopped.get(&conn), Some(&true));
    rig.sync();
    assert_eq!(rig.stopped.get(&conn), Some(&false));
}

#[test]
fn a_snapshot_is_due_after_a_number_of_txns() {
    let mut rig = Rig::with(NodeConfig { snap_count: 10, ..NodeConfig::default() });
    let (conn, _) = rig.client();
    for xid in 1..=10 {
        rig.create(conn, xid, &format!("/{xid}"), CreateMode::Persistent);
        rig.sync();
    }
    assert!(matches!(rig.other[..], [Effect::RollLog, Effect::BeginSnapshot { .. }]));
    while rig.node.snapshot_has_more() {
        rig.step(Input::SnapshotSlice { bytes_max: 100 });
    }
    assert!(rig.other.len() > 4, "several slices");
    assert!(matches!(rig.other.last(), Some(Effect::EndSnapshot { zxid: Zxid(11), .. })));
    rig.step(Input::SnapshotDone);
}

#[test]
fn an_empty_container_is_reaped() {
    let mut rig = Rig::new();
    let (conn, _) = rig.client();
    let create = CreateRequest {
        path: "/c",
        data: None,
        acl: AclList::open(),
        flags: CreateMode::Container.flags(),
        ttl: 0,
    };
    rig.ask(conn, 1, &Request::Create(OpCode::CreateContainer, create));
    rig.create(conn, 2, "/c/x", CreateMode::Persistent);
    rig.ask(conn, 3, &Request::Delete { path: "/c/x", version: -1 });
    rig.sync();
    for _ in 0..13 {
        rig.pass(5000);
        rig.raw(conn, -2, OpCode::Ping.code(), &[]);
    }
    rig.sync();
    rig.got(conn);
    rig.exists(conn, 4, "/c", false);
    assert_eq!(rig.got(conn), [Got::Reply(4, 5, -101)]);
}

#[test]
fn a_container_made_again_as_a_plain_znode_is_not_reaped() {
    let mut rig = Rig::with(NodeConfig { reap_per_minute_max: 2, ..NodeConfig::default() });
    let (conn, _) = rig.client();
    for (xid, path) in [(1, "/c"), (10, "/d")] {
        let create = CreateRequest {
            path,
            data: None,
            acl: AclList::open(),
            flags: CreateMode::Container.flags(),
            ttl: 0,
        };
        rig.ask(conn, xid, &Request::Create(OpCode::CreateContainer, create));
        rig.create(conn, xid + 1, &format!("{path}/x"), CreateMode::Persistent);
        let child = format!("{path}/x");
        rig.ask(conn, xid + 2, &Request::Delete { path: &child, version: -1 });
    }
    rig.sync();
    // The first is deleted when both are listed; half a minute later it is the second's turn.
    for _ in 0..6 {
        rig.pass(10_000);
        rig.raw(conn, -2, OpCode::Ping.code(), &[]);
    }
    rig.sync();
    rig.ask(conn, 20, &Request::Delete { path: "/d", version: -1 });
    rig.create(conn, 21, "/d", CreateMode::Persistent);
    rig.sync();
    for _ in 0..4 {
        rig.pass(10_000);
        rig.raw(conn, -2, OpCode::Ping.code(), &[]);
    }
    rig.sync();
    rig.got(conn);
    rig.exists(conn, 22, "/c", false);
    rig.exists(conn, 23, "/d", false);
    let got = rig.got(conn);
    assert!(matches!(got[..], [Got::Reply(22, _, -101), Got::Reply(23, _, 0)]), "{got:?}");
}

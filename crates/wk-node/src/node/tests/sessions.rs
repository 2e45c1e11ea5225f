//! Handshake, resumption, expiry, the end of a session.

use super::*;

#[test]
fn a_session_is_told_only_once_it_is_on_disk() {
    let mut rig = Rig::new();
    let conn = rig.open();
    rig.hello(conn, SessionId::NONE, [0; 16], 0);
    assert!(rig.sent.is_empty());
    assert_eq!(rig.stopped.get(&conn), Some(&true), "early requests wait");
    rig.sync();
    assert_eq!(rig.stopped.get(&conn), Some(&false));
    let response = rig.welcome(conn);
    assert_eq!(response.timeout, 10_000);
    assert_eq!(response.password, response.session.password());
    assert_eq!(response.read_only, Some(false), "the wish is not echoed");
}

#[test]
fn timeouts_are_clamped() {
    let mut rig = Rig::with(NodeConfig {
        session_timeout_min: Duration::from_secs(20),
        session_timeout_max: Duration::from_secs(40),
        ..NodeConfig::default()
    });
    let (_, response) = rig.client();
    assert_eq!(response.timeout, 20_000);
}

#[test]
fn a_client_that_has_seen_more_is_closed_without_a_reply() {
    let mut rig = Rig::new();
    let conn = rig.open();
    rig.hello(conn, SessionId::NONE, [0; 16], 1);
    assert!(rig.sent.is_empty());
    assert_eq!(rig.closed.get(&conn), Some(&CloseReason::ClientAhead));
}

#[test]
fn a_session_moves_to_the_connection_that_resumes_it() {
    let mut rig = Rig::new();
    let (first, welcome) = rig.client();
    let second = rig.open();
    rig.hello(second, welcome.session, welcome.password, 1);
    assert_eq!(rig.closed.get(&first), Some(&CloseReason::SessionMoved));
    assert_eq!(rig.welcome(second).session, welcome.session);
    rig.exists(second, 1, "/", false);
    assert_eq!(rig.got(second), [Got::Reply(1, 1, 0)]);
}

#[test]
fn a_wrong_password_or_an_unknown_session_is_refused() {
    let mut rig = Rig::new();
    let (_, welcome) = rig.client();
    for (session, password) in
        [(welcome.session, [1; 16]), (SessionId(99), SessionId(99).password())]
    {
        let conn = rig.open();
        rig.hello(conn, session, password, 0);
        let refused = rig.welcome(conn);
        assert_eq!(refused, ConnectResponse::refused(Some(false)));
        assert_eq!(rig.closed.get(&conn), Some(&CloseReason::SessionRefused));
    }
}

#[test]
fn a_silent_session_expires_with_its_ephemerals() {
    let mut rig = Rig::new();
    let (silent, welcome) = rig.client();
    let (other, _) = rig.client();
    rig.create(silent, 1, "/e", CreateMode::Ephemeral);
    rig.sync();
    rig.exists(other, 1, "/e", true);
    rig.got(other);
    for _ in 0..14 {
        rig.pass(1000);
        rig.raw(other, -2, OpCode::Ping.code(), &[]);
        rig.got(other);
    }
    assert_eq!(rig.closed.get(&silent), Some(&CloseReason::SessionExpired));
    assert!(rig.got(other).is_empty(), "nothing is told before the end is on disk");
    rig.sync();
    assert_eq!(rig.got(other), [Got::Event(2, "/e".to_owned(), 4)]);
    assert_eq!(
        rig.other,
        [Effect::SessionEnded {
            session: welcome.session,
            zxid: Zxid(4),
            expired: true,
            ephemerals: vec!["/e".to_owned()],
        }]
    );
    assert_eq!(rig.node.session_count(), 1);
    assert_eq!(rig.node.stats().sessions_expired, 1);
}

#[test]
fn a_close_is_answered_then_the_connection_ends() {
    let mut rig = Rig::new();
    let (conn, welcome) = rig.client();
    rig.create(conn, 1, "/e", CreateMode::Ephemeral);
    rig.ask(conn, 2, &Request::CloseSession);
    rig.exists(conn, 3, "/", false);
    rig.sync();
    assert_eq!(rig.got(conn), [Got::Reply(1, 2, 0), Got::Reply(2, 3, 0)]);
    assert_eq!(rig.closed.get(&conn), Some(&CloseReason::SessionClosed));
    assert!(matches!(
        &rig.other[..],
        [Effect::SessionEnded { session, expired: false, ephemerals, .. }]
            if *session == welcome.session && ephemerals == &["/e"]
    ));
}

#[test]
fn sessions_of_the_tree_get_their_full_timeout_at_a_start() {
    let mut rig = Rig::new();
    let (_, welcome) = rig.client();
    let tree = std::mem::replace(&mut rig.node.tree, Tree::new(TreeOptions::default()));
    let mut again = Rig::new();
    again.node = Node::new(NodeConfig::default(), tree, again.now);
    again.appended = Zxid(1);
    again.pass(10_000);
    let conn = again.open();
    again.hello(conn, welcome.session, welcome.password, 1);
    assert_eq!(again.welcome(conn).session, welcome.session);
}

#[test]
fn credentials_are_taken_or_end_the_connection() {
    let mut rig = Rig::new();
    let (conn, _) = rig.client();
    rig.ask(conn, -4, &Request::Auth { kind: 0, scheme: "digest", auth: b"u:p" });
    assert_eq!(rig.got(conn), [Got::Reply(-4, 0, 0)]);
    let ids: Vec<_> = rig.node.connections[&conn].ids().iter().map(|i| i.scheme.as_str()).collect();
    assert_eq!(ids, ["ip", "digest"]);
    rig.ask(conn, -4, &Request::Auth { kind: 0, scheme: "nonsense", auth: b"" });
    assert_eq!(rig.got(conn), [Got::Reply(-4, 0, -115)]);
    assert_eq!(rig.closed.get(&conn), Some(&CloseReason::AuthFailed));
}

//! Who must have proved what, and logins by SASL through the node.

use super::*;
use crate::sasl::{SaslOptions, Secret};

const SASL: i32 = 102;

fn required(schemes: &[&str]) -> NodeConfig {
    let schemes_required = schemes.iter().map(|&scheme| scheme.to_owned()).collect();
    NodeConfig { schemes_required, ..NodeConfig::default() }
}

fn with_bob(failed_stay: bool) -> NodeConfig {
    let users = [("bob".to_owned(), Secret("secret".to_owned()))].into();
    let nonce_secret = Secret("k".to_owned());
    let sasl = SaslOptions { users, supers: vec!["bob".to_owned()], failed_stay, nonce_secret };
    NodeConfig { sasl: Some(sasl), ..NodeConfig::default() }
}

fn token(rig: &mut Rig, conn: ConnId, xid: i32, token: &[u8]) -> (i32, Option<Vec<u8>>) {
    let mut body = Vec::new();
    body.put_buffer(Some(token));
    rig.raw(conn, xid, SASL, &body);
    let frame = rig.sent.remove(&conn).unwrap().remove(0);
    let mut reader = Reader::new(&frame);
    let header = ReplyHeader::decode(&mut reader).unwrap();
    assert_eq!((header.xid.0, header.zxid), (xid, Zxid::ZERO));
    (header.err, reader.buffer().unwrap().map(<[u8]>::to_vec))
}

#[test]
fn a_client_that_proved_nothing_is_told_so_and_closed() {
    let mut rig = Rig::with(required(&["digest", "x509"]));
    let (conn, _) = rig.client();
    rig.exists(conn, 1, "/", false);
    assert_eq!(rig.got(conn), [Got::Reply(1, 0, -124)]);
    assert_eq!(rig.closed[&conn], CloseReason::Unproved);
    // A ping counts as a request.
    let (conn, _) = rig.client();
    rig.raw(conn, -2, 11, &[]);
    assert_eq!(rig.got(conn), [Got::Reply(-2, 0, -124)]);
    // Any of the schemes is enough, by a packet or by the transport.
    let (conn, _) = rig.client();
    let digest = Request::Auth { kind: 0, scheme: "digest", auth: b"u:p" };
    rig.ask(conn, -4, &digest);
    rig.exists(conn, 2, "/", false);
    assert_eq!(rig.got(conn)[0], Got::Reply(-4, 0, 0));
    assert!(!rig.closed.contains_key(&conn));
    let conn = rig.open();
    rig.step(Input::Identified { conn, ids: &[wk_proto::Id::new("x509", "CN=a")] });
    rig.hello(conn, SessionId::NONE, [0; 16], 0);
    rig.sync();
    rig.welcome(conn);
    rig.exists(conn, 1, "/", false);
    assert!(!rig.closed.contains_key(&conn));
    // An address is an identity, too, where it is asked for.
    let mut rig = Rig::with(required(&["ip"]));
    let (conn, _) = rig.client();
    rig.exists(conn, 1, "/", false);
    assert!(!rig.closed.contains_key(&conn));
}

#[test]
fn without_sasl_a_token_is_answered_by_none() {
    let mut rig = Rig::new();
    let (conn, _) = rig.client();
    assert_eq!(token(&mut rig, conn, 1, b""), (0, None));
    assert!(!rig.closed.contains_key(&conn));
}

#[test]
fn a_failed_login_closes_or_stays_as_configured() {
    for (failed_stay, enforced, err, closes) in [
        (false, false, -115, true),
        (true, false, 0, false),
        (false, true, -124, true),
        (true, true, -124, true),
    ] {
        let mut config = with_bob(failed_stay);
        if enforced {
            config.schemes_required = vec!["sasl".to_owned()];
        }
        let mut rig = Rig::with(config);
        let (conn, _) = rig.client();
        let (ok, challenge) = token(&mut rig, conn, 1, b"");
        assert!(ok == 0 && challenge.unwrap().starts_with(b"realm=\"zk-sasl-md5\",nonce=\""));
        assert_eq!(token(&mut rig, conn, 2, b"username=\"bob\""), (err, None));
        assert_eq!(rig.closed.contains_key(&conn), closes);
        assert!(closes || rig.node.connection(conn).unwrap().ids().len() == 1);
    }
}

#[test]
fn a_token_that_is_none_closes() {
    let mut rig = Rig::with(with_bob(true));
    let (conn, _) = rig.client();
    rig.raw(conn, 1, SASL, &[0, 0, 0, 9, 1]);
    assert_eq!(rig.closed[&conn], CloseReason::Garbage);
}

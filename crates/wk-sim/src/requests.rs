//! What the simulated clients ask for.

use wk_proto::client::{ConnectRequest, CreateRequest, Request, RequestHeader};
use wk_proto::{Acl, AclList, OpCode, Perms, SessionId, Xid, Zxid};

use crate::random::Random;

const PATHS: [&str; 7] = ["/a", "/b", "/a/x", "/a/y", "/b/x", "/a/x/z", "/c"];
const SEQUENTIAL: [&str; 3] = ["/a/s-", "/b/", "/s"];
/// The larger ones reach over several sectors of the disk, so that a crash can tear them.
const DATA: [&[u8]; 5] = [b"", b"x", b"some data", &[7; 700], &[8; 1_700]];

/// The first frame of a connection.
pub(crate) fn connect(seen: Zxid, timeout: i32, session: Option<(SessionId, [u8; 16])>) -> Vec<u8> {
    let (session, password) = session.unwrap_or((SessionId::NONE, [0; 16]));
    let request = ConnectRequest {
        protocol_version: 0,
        last_zxid_seen: seen,
        timeout,
        session,
        password,
        read_only: Some(false),
    };
    let mut frame = Vec::new();
    request.encode(&mut frame);
    frame
}

pub(crate) fn ping() -> Vec<u8> {
    encode(Xid::PING, &Request::Ping)
}

pub(crate) fn close_session(xid: Xid) -> Vec<u8> {
    encode(xid, &Request::CloseSession)
}

/// Any request; half of them are writes.
pub(crate) fn any(random: &mut Random, xid: Xid) -> Vec<u8> {
    let request = match random.below(20) {
        0 => Request::Sync { path: "/" },
        1..=3 => read(random, OpCode::GetData),
        4 => read(random, OpCode::Exists),
        5 => {
            let path = random.pick(&PATHS);
            Request::GetAcl { path }
        }
        6..=8 => read(random, OpCode::GetChildren2),
        9..=12 => multi(random),
        _ => write(random),
    };
    encode(xid, &request)
}

fn encode(xid: Xid, request: &Request<'_>) -> Vec<u8> {
    let mut frame = Vec::new();
    RequestHeader { xid, op: request.op().code() }.encode(&mut frame);
    request.encode(&mut frame);
    frame
}

fn read(random: &mut Random, op: OpCode) -> Request<'static> {
    let path = if random.percent(10) { "/" } else { *random.pick(&PATHS) };
    Request::Read { op, path, watch: random.percent(50) }
}

fn write(random: &mut Random) -> Request<'static> {
    let path = *random.pick(&PATHS);
    let version = if random.percent(70) { -1 } else { *random.pick(&[0, 1, 2]) };
    match random.below(20) {
        0..=9 => create(random, path),
        10..=14 => Request::SetData { path, data: data(random), version },
        15 => Request::SetAcl { path, acl: acl(random), version },
        _ => Request::Delete { path, version },
    }
}

fn create(random: &mut Random, path: &'static str) -> Request<'static> {
    let op = *random.pick(&[OpCode::Create, OpCode::Create2]);
    let ephemeral = i32::from(random.percent(50));
    let sequential = random.percent(30);
    let path = if sequential { *random.pick(&SEQUENTIAL) } else { path };
    let flags = ephemeral + if sequential { 2 } else { 0 };
    let create = CreateRequest { path, data: data(random), acl: AclList::open(), flags, ttl: 0 };
    Request::Create(op, create)
}

/// A list that forbids nobody anything: the open one, or one that the tree keeps a table for.
fn acl(random: &mut Random) -> AclList<'static> {
    if random.percent(30) {
        return AclList::open();
    }
    let other = *random.pick(&["10.0.0.1", "10.0.0.2"]);
    AclList::from_acls(&[
        Acl::new(Perms::ALL, "world", "anyone"),
        Acl::new(Perms::READ, "ip", other),
    ])
}

fn data(random: &mut Random) -> Option<&'static [u8]> {
    (!random.percent(5)).then(|| *random.pick(&DATA))
}

fn multi(random: &mut Random) -> Request<'static> {
    let count = random.below(5);
    let op = |random: &mut Random| {
        if random.percent(15) {
            let path = random.pick(&PATHS);
            Request::Check { path, version: -1 }
        } else {
            // Apache's clients know no setACL inside a multi.
            loop {
                let op = write(random);
                if !matches!(op, Request::SetAcl { .. }) {
                    break op;
                }
            }
        }
    };
    Request::Multi((0..count).map(|_| op(random)).collect())
}

//! Requests round-trip and never panic.

use super::*;
use proptest::prelude::*;

fn round_trip(request: &Request<'_>) {
    let mut bytes = Vec::new();
    request.encode(&mut bytes);
    let mut r = Reader::new(&bytes);
    assert_eq!(Request::decode(request.op(), &mut r).as_ref(), Ok(request));
    assert!(r.rest().is_empty(), "{request:?} leaves bytes over");
    for cut in 0..bytes.len() {
        // A shorter record is an error or a smaller request, never a panic.
        let _ = Request::decode(request.op(), &mut Reader::new(&bytes[..cut]));
    }
}

fn create<'a>(op: OpCode, flags: i32) -> Request<'a> {
    let ttl = if op == OpCode::CreateTtl { 9 } else { 0 };
    let (path, data, acl) = ("/a", Some(&b"x"[..]), AclList::open());
    Request::Create(op, CreateRequest { path, data, acl, flags, ttl })
}

fn samples<'a>() -> Vec<Request<'a>> {
    let watches = SetWatches {
        relative_zxid: Zxid(4),
        data: vec!["/a"],
        exist: vec![],
        child: vec!["/b", "/c"],
        persistent: None,
    };
    let mut watches2 = watches.clone();
    watches2.persistent = Some((vec!["/p"], vec!["/r"]));
    let read = |op| Request::Read { op, path: "/a", watch: true };
    vec![
        create(OpCode::Create, 0),
        create(OpCode::Create2, 3),
        create(OpCode::CreateContainer, 4),
        create(OpCode::CreateTtl, 5),
        Request::Delete { path: "/a", version: -1 },
        Request::DeleteContainer { path: "/a" },
        read(OpCode::Exists),
        read(OpCode::GetData),
        read(OpCode::GetChildren),
        read(OpCode::GetChildren2),
        Request::SetData { path: "/a", data: None, version: 3 },
        Request::GetAcl { path: "/a" },
        Request::SetAcl { path: "/a", acl: AclList::open(), version: 0 },
        Request::Sync { path: "/" },
        Request::Ping,
        Request::Check { path: "/a", version: 2 },
        Request::Multi(vec![create(OpCode::Create, 0), Request::Check { path: "/", version: 0 }]),
        Request::Multi(vec![]),
        Request::MultiRead(vec![read(OpCode::GetData), read(OpCode::GetChildren)]),
        Request::Reconfig {
            joining: None,
            leaving: Some("3"),
            new_members: None,
            cur_config_id: -1,
        },
        Request::CheckWatches { path: "/a", kind: 1 },
        Request::RemoveWatches { path: "/a", kind: 3 },
        Request::Auth { kind: 0, scheme: "digest", auth: b"u:p" },
        Request::SetWatches(watches),
        Request::SetWatches(watches2),
        Request::Sasl { token: Some(b"t") },
        Request::GetEphemerals { prefix: "/" },
        Request::GetAllChildrenNumber { path: "/" },
        Request::AddWatch { path: "/a", mode: 1 },
        Request::WhoAmI,
        Request::CloseSession,
        Request::CreateSession { timeout: 5 },
    ]
}

#[test]
fn requests_round_trip() {
    for request in samples() {
        round_trip(&request);
    }
}

#[test]
fn every_operation_of_a_client_has_a_record() {
    let seen: Vec<_> = samples().iter().map(Request::op).collect();
    for op in OpCode::ALL {
        assert!(*op == OpCode::Error || seen.contains(op), "{op:?}");
    }
}

#[test]
fn a_multi_takes_only_what_may_be_in_it() {
    let read = Request::Read { op: OpCode::GetData, path: "/", watch: false };
    for (outer, inner) in [
        (OpCode::Multi, read.clone()),
        (OpCode::MultiRead, create(OpCode::Create, 0)),
        (OpCode::Multi, Request::SetAcl { path: "/", acl: AclList::open(), version: 0 }),
        (OpCode::Multi, Request::Multi(vec![])),
    ] {
        let mut bytes = Vec::new();
        Request::Multi(vec![inner]).encode(&mut bytes);
        assert!(matches!(
            Request::decode(outer, &mut Reader::new(&bytes)),
            Err(DecodeError::Unknown { what: "operation in a multi", .. })
        ));
    }
}

proptest! {
    #[test]
    fn prop_garbage_never_panics(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        for op in OpCode::ALL {
            let _ = Request::decode(*op, &mut Reader::new(&bytes));
        }
    }
}

//! Bytes of a real Apache ZooKeeper 3.9.5: what it took and sent, decoded and encoded back equal.
//!
//! The files are made by `cargo xtask golden`; each has a text beside it that says how.
#![allow(clippy::unwrap_used, reason = "a test reports by a panic with its line")]

use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;

use wk_proto::client::connect::{ConnectRequest, ConnectResponse};
use wk_proto::client::request::{Request, RequestHeader};
use wk_proto::client::response::{
    ReplyHeader, WatcherEvent, decode_multi, encode_acl, encode_children, encode_data,
    encode_multi_end,
};
use wk_proto::txn::Record;
use wk_proto::{AclList, JuteWrite, OpCode, Reader, Stat, Xid};

/// Steps whose request is broken on purpose: no decoder may take it.
const BROKEN: &[&str] = &[
    "bad-body-empty",
    "bad-body-of-read",
    "bad-body-of-write",
    "bad-multi",
    "bad-operation",
    "multi-read-with-write",
    "multi-with-read",
];

#[test]
fn every_exchange_with_apache_decodes_and_encodes_back_equal() {
    let mut operations = BTreeMap::new();
    let mut broken = 0;
    for (name, bytes) in files("exchange-") {
        let frames = frames(&bytes);
        let (request, answers) = frames.split_first().unwrap();
        if name.starts_with("connect") || name.starts_with("resume-") || name == "resume" {
            check_handshake(&name, request, answers);
            continue;
        }
        let header = RequestHeader::decode(&mut Reader::new(request)).unwrap();
        if BROKEN.contains(&name.as_str()) {
            assert!(decode_request(request).is_none(), "{name} was taken");
            broken += 1;
            continue;
        }
        let op = decode_request(request).unwrap_or_else(|| panic!("{name}: not a request"));
        *operations.entry(op.code()).or_insert(0) += 1;
        for answer in answers {
            check_answer(&name, op, header.xid, answer);
        }
    }
    assert_eq!(broken, BROKEN.len());
    // All but those that no client sends (createSession, error, deleteContainer), and sasl.
    assert!(operations.len() >= 24, "operations seen: {operations:?}");
}

#[test]
fn every_txn_of_apaches_log_decodes_and_encodes_back_equal() {
    let (_, log) = files("file-log").remove(0);
    let (_, reaped) = files("txn-delete-container").remove(0);
    let mut seen = BTreeMap::new();
    for body in records(&log).into_iter().chain([reaped]) {
        let record = Record::decode(&body).unwrap();
        *seen.entry(record.header.op.name()).or_insert(0) += 1;
        let mut again = Vec::new();
        record.encode(&mut again);
        assert_eq!(again, body, "{:?}", record.header);
    }
    assert!(seen.len() >= 12, "types seen: {seen:?}");
}

fn check_handshake(name: &str, request: &[u8], answers: &[Vec<u8>]) {
    let mut again = Vec::new();
    ConnectRequest::decode(request).unwrap().encode(&mut again);
    assert_eq!(again, request, "{name}: request");
    for answer in answers {
        let mut again = Vec::new();
        ConnectResponse::decode(answer).unwrap().encode(&mut again);
        assert_eq!(again, *answer, "{name}: answer");
    }
}

/// Decodes and encodes back; nothing if it is no request.
fn decode_request(frame: &[u8]) -> Option<OpCode> {
    let mut reader = Reader::new(frame);
    let header = RequestHeader::decode(&mut reader).ok()?;
    let op = OpCode::from_code(header.op)?;
    let request = Request::decode(op, &mut reader).ok()?;
    let mut again = Vec::new();
    header.encode(&mut again);
    request.encode(&mut again);
    assert_eq!(again, frame, "{op:?}");
    Some(op)
}

fn check_answer(name: &str, op: OpCode, xid: Xid, frame: &[u8]) {
    let mut reader = Reader::new(frame);
    let header = ReplyHeader::decode(&mut reader).unwrap();
    let mut again = Vec::new();
    header.encode(&mut again);
    if header.xid == Xid::NOTIFICATION {
        WatcherEvent::decode(&mut reader).unwrap().encode(&mut again);
    } else if header.err == 0 && (header.xid == xid || op == OpCode::Ping) {
        encode_again(op, &mut reader, &mut again);
    } else {
        // After an error nothing follows, but for what Apache sends of a multiRead.
        again.put_bytes(reader.rest());
        assert!(reader.rest().is_empty() || op == OpCode::MultiRead, "{name}: a body and an error");
    }
    assert_eq!(again, frame, "{name}");
}

/// Decodes the body of a reply to `op` and encodes it again.
fn encode_again(op: OpCode, r: &mut Reader<'_>, out: &mut Vec<u8>) {
    match op {
        OpCode::Create | OpCode::Sync => out.put_string(r.string().unwrap()),
        OpCode::Create2 | OpCode::CreateContainer | OpCode::CreateTtl => {
            out.put_string(r.string().unwrap());
            Stat::decode(r).unwrap().encode(out);
        }
        OpCode::Exists | OpCode::SetData | OpCode::SetAcl => Stat::decode(r).unwrap().encode(out),
        OpCode::GetData => {
            let data = r.buffer().unwrap();
            encode_data(data, &Stat::decode(r).unwrap(), out);
        }
        OpCode::GetAcl => {
            let acl = AclList::decode(r).unwrap();
            encode_acl(&acl, &Stat::decode(r).unwrap(), out);
        }
        OpCode::GetChildren | OpCode::GetEphemerals => {
            let names = r.strings().unwrap();
            encode_children(names.len(), names.into_iter(), None, out);
        }
        OpCode::GetChildren2 => {
            let names = r.strings().unwrap();
            let stat = Stat::decode(r).unwrap();
            encode_children(names.len(), names.into_iter(), Some(&stat), out);
        }
        OpCode::Multi | OpCode::MultiRead => {
            for result in decode_multi(r).unwrap() {
                result.encode(out);
            }
            encode_multi_end(out);
        }
        OpCode::GetAllChildrenNumber | OpCode::AddWatch => out.put_i32(r.i32().unwrap()),
        OpCode::WhoAmI => {
            let count = r.count(8).unwrap().unwrap();
            out.put_len(count);
            for _ in 0..2 * count {
                out.put_string(r.string().unwrap());
            }
        }
        OpCode::Delete
        | OpCode::Ping
        | OpCode::CheckWatches
        | OpCode::RemoveWatches
        | OpCode::Auth
        | OpCode::SetWatches
        | OpCode::SetWatches2
        | OpCode::CloseSession => assert!(r.rest().is_empty(), "{op:?} has no body"),
        OpCode::DeleteContainer
        | OpCode::Check
        | OpCode::Reconfig
        | OpCode::Sasl
        | OpCode::CreateSession
        | OpCode::Error => panic!("{op:?} was answered well"),
    }
    assert!(r.rest().is_empty(), "{op:?}: bytes left over");
}

/// The golden files whose names begin with `prefix`, by the rest of their names.
fn files(prefix: &str) -> Vec<(String, Vec<u8>)> {
    let dir = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../golden/zookeeper-3.9.5");
    let mut found = Vec::new();
    for entry in fs::read_dir(&dir).unwrap() {
        let path = entry.unwrap().path();
        let stem = path.file_stem().unwrap().to_str().unwrap().to_owned();
        let is_bin = path.extension().is_some_and(|extension| extension == "bin");
        if let (true, Some(name)) = (is_bin, stem.strip_prefix(prefix)) {
            found.push((name.to_owned(), fs::read(&path).unwrap()));
        }
    }
    assert!(!found.is_empty(), "no golden file {prefix}*");
    found
}

fn frames(mut bytes: &[u8]) -> Vec<Vec<u8>> {
    let mut found = Vec::new();
    while let Some((head, rest)) = bytes.split_first_chunk::<4>() {
        let (frame, rest) = rest.split_at(u32::from_be_bytes(*head) as usize);
        found.push(frame.to_vec());
        bytes = rest;
    }
    found
}

/// The bodies in a txn log: after 16 bytes each has checksum (8), length (4), body, `B`.
fn records(log: &[u8]) -> Vec<Vec<u8>> {
    let mut rest = &log[16..];
    let mut found = Vec::new();
    while let Some((head, tail)) = rest.split_first_chunk::<12>() {
        let len = u32::from_be_bytes(head[8..].try_into().unwrap()) as usize;
        if len == 0 {
            break;
        }
        found.push(tail[..len].to_vec());
        assert_eq!(tail[len], b'B');
        rest = &tail[len + 1..];
    }
    assert!(found.len() > 100, "{} records", found.len());
    found
}

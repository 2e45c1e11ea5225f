//! A data directory that something else than a server changed: what stops the start, with which
//! exit code and words, and what does not.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use wk_peers::{Server, ServerSpec, wait, wire::Wire};
use wk_proto::client::connect::ConnectRequest;
use wk_proto::client::request::{CreateMode, CreateRequest, Request, RequestHeader};
use wk_proto::{Acl, AclList, OpCode, Perms, SessionId, Xid, Zxid};
use wk_store::{Dirs, Head, LogReader, Next, OsDisk, RecoverOptions, log_zxid, recover};

use crate::harness::{cache, start, subject_spec};

const ZNODES: i32 = 20;

/// A server with some znodes, killed: its folder, and the log that holds them.
fn killed() -> (tempfile::TempDir, ServerSpec, PathBuf) {
    let dir = tempfile::tempdir().unwrap();
    let spec = subject_spec(dir.path()).with("preAllocSize=16");
    let mut server = start(&spec);
    fill(&server);
    server.process.kill().unwrap();
    let log = version_2(dir.path()).join("log.1");
    assert!(log.exists());
    (dir, spec, log)
}

fn version_2(dir: &Path) -> PathBuf {
    dir.join("data/version-2")
}

/// Creates `/0` to `/19`, each acknowledged before the next.
fn fill(server: &Server) {
    let mut wire = Wire::connect(server.client).unwrap();
    let mut hello = Vec::new();
    let connect = ConnectRequest {
        protocol_version: 0,
        last_zxid_seen: Zxid::ZERO,
        timeout: 30_000,
        session: SessionId::NONE,
        password: [0; 16],
        read_only: Some(false),
    };
    connect.encode(&mut hello);
    wire.send(&hello).unwrap();
    wire.receive().unwrap();
    for i in 0..ZNODES {
        let path = format!("/{i}");
        let acl = AclList::from_acls(&[Acl::new(Perms::ALL, "world", "anyone")]);
        let record = CreateRequest {
            path: &path,
            data: Some(b"some data"),
            acl,
            flags: CreateMode::Persistent.flags(),
            ttl: 0,
        };
        let request = Request::Create(OpCode::Create, record);
        let mut frame = Vec::new();
        RequestHeader { xid: Xid(i), op: request.op().code() }.encode(&mut frame);
        request.encode(&mut frame);
        wire.send(&frame).unwrap();
        wire.receive().unwrap();
    }
}

/// Where the records of a log begin, and their zxids.
fn records(log: &Path) -> Vec<(usize, Zxid)> {
    let disk = OsDisk::new(log.parent().unwrap());
    let first = log_zxid(log.file_name().unwrap().to_str().unwrap()).unwrap();
    let Head::Log(mut reader) = LogReader::open(&disk, first).unwrap() else { panic!("blank") };
    let mut found = Vec::new();
    while let Next::Record { offset, body } = reader.next(Zxid::ZERO).unwrap() {
        let record = wk_proto::txn::Record::decode(body).unwrap();
        found.push((usize::try_from(offset).unwrap(), record.header.zxid));
    }
    found
}

/// Starts a server that is to refuse, and gives its exit code and what it said.
fn refusal(spec: &ServerSpec) -> (Option<i32>, String) {
    let mut server = spec.spawn(&cache()).unwrap();
    let status = server.process.wait(wait::LONG).unwrap();
    (status.code(), server.process.output())
}

#[test]
fn a_damaged_byte_stops_the_start_and_names_its_place() {
    let (_dir, spec, log) = killed();
    let places = records(&log);
    let whole = fs::read(&log).unwrap();
    // In a body, in a checksum, in a length.
    for (record, byte) in [(3, 30), (7, 5), (9, 10)] {
        let (offset, _) = places[record];
        let mut damaged = whole.clone();
        damaged[offset + byte] ^= 4;
        fs::write(&log, &damaged).unwrap();
        let (code, said) = refusal(&spec);
        assert_eq!(code, Some(10), "{said}");
        let last_good = places[record - 1].1;
        for part in [
            log.to_str().unwrap(),
            &format!("offset {offset}"),
            &format!("zxid {last_good}"),
            &format!("truncate -s {offset}"),
        ] {
            assert!(said.contains(part), "{part} is not in: {said}");
        }
        assert_eq!(fs::read(&log).unwrap(), damaged, "a refused file is left as it is");
    }
    fs::write(&log, &whole).unwrap();
    start(&spec);
}

#[test]
fn a_torn_tail_is_cut_and_said() {
    let (_dir, spec, log) = killed();
    let places = records(&log);
    let (last, _) = *places.last().unwrap();
    fs::File::options().write(true).open(&log).unwrap().set_len(last as u64 + 20).unwrap();
    let server = start(&spec);
    let said = server.process.output();
    assert!(said.contains("cut a damaged end off the txn log"), "{said}");
    assert!(said.contains(&format!("{last}")), "{said}");
    // Its owner's session lives on, so that nothing but the last create is missing.
    let words = server.four_letter("srvr").unwrap();
    assert!(words.contains(&format!("Node count: {}", 5 + ZNODES - 1)), "{words}");
}

#[test]
fn a_damaged_snapshot_falls_back_to_an_older_one() {
    let (dir, spec, _log) = killed();
    let disk = Dirs::same(Arc::new(OsDisk::new(version_2(dir.path()))));
    let mut recovered = recover(&disk, &RecoverOptions::default()).unwrap();
    let info = wk_store::write_snapshot(
        disk.snapshots.clone(),
        &mut recovered.tree,
        wk_store::SnapshotOptions::default(),
    );
    let name = wk_store::snapshot_name(info.unwrap().zxid);
    let path = version_2(dir.path()).join(&name);
    let mut bytes = fs::read(&path).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    fs::write(&path, &bytes).unwrap();
    let server = start(&spec);
    let said = server.process.output();
    assert!(said.contains("snapshot not usable") && said.contains(&name), "{said}");
    let words = server.four_letter("srvr").unwrap();
    assert!(words.contains(&format!("Node count: {}", 5 + ZNODES)), "{words}");
}

#[test]
fn lost_snapshots_and_wrong_directories_have_exit_codes() {
    let (dir, spec, _log) = killed();
    let other = dir.path().join("other");
    let (code, said) = refusal(&spec.clone().with(&format!("dataLogDir={}", other.display())));
    assert_eq!(code, Some(3), "{said}");
    assert!(said.contains("check dataDir and dataLogDir"), "{said}");
    let snapshot = version_2(dir.path()).join("snapshot.0");
    fs::remove_file(&snapshot).unwrap();
    let (code, said) = refusal(&spec);
    assert_eq!(code, Some(10), "{said}");
    assert!(said.contains("snapshot.trust.empty=true"), "{said}");
    start(&spec.with("snapshot.trust.empty=true"));
}

#[test]
fn a_second_server_is_kept_out() {
    let dir = tempfile::tempdir().unwrap();
    let spec = subject_spec(dir.path());
    let _first = start(&spec);
    let (code, said) = refusal(&spec);
    assert_eq!(code, Some(3), "{said}");
    assert!(said.contains("another server is running on it"), "{said}");
}

//! What is done with a fuzzer's bytes, one function a target.
//!
//! Included by the targets and by the test that runs the corpus (`crates/wk-store/tests/corpus.rs`).
//! Nothing here may panic, whatever the bytes: where a decoder accepts them, encoding what it read
//! and decoding that again must give the same.
#![allow(dead_code, clippy::unwrap_used, reason = "each target uses one of the functions")]

use std::sync::Arc;

use wk_proto::client::connect::{ConnectRequest, ConnectResponse};
use wk_proto::client::frame;
use wk_proto::client::request::{Request, RequestHeader};
use wk_proto::client::response::{ReplyHeader, WatcherEvent, decode_multi, encode_multi_end};
use wk_proto::quorum::{self, LearnerInfo, PacketKind, SnapshotSkipper};
use wk_proto::txn::Record;
use wk_proto::{Reader, Zxid};
use wk_store::mem_disk::MemDisk;
use wk_store::{Dirs, RecoverOptions, SnapshotFile, SnapshotOptions, SnapshotWriter, ZxidDigest};

/// What is done with the bytes.
pub(crate) type Decoder = fn(&[u8]);

/// The targets by name.
pub(crate) const TARGETS: &[(&str, Decoder)] = &[
    ("connect", connect),
    ("request", request),
    ("response", response),
    ("txn", txn),
    ("log", log),
    ("records", records),
    ("snapshot", snapshot),
    ("image", image),
    ("quorum", quorum),
];

/// What a client and a server say first, each a frame.
pub(crate) fn connect(bytes: &[u8]) {
    let mut rest = bytes;
    while let Ok(Some(frame)) = frame::split(&mut rest, 1 << 20) {
        if let Ok(request) = ConnectRequest::decode(frame) {
            let mut out = Vec::new();
            request.encode(&mut out);
            assert_eq!(ConnectRequest::decode(&out), Ok(request));
        }
        if let Ok(response) = ConnectResponse::decode(frame) {
            let mut out = Vec::new();
            response.encode(&mut out);
            assert_eq!(ConnectResponse::decode(&out), Ok(response));
        }
    }
}

/// A request without its length.
pub(crate) fn request(bytes: &[u8]) {
    let mut r = Reader::new(bytes);
    let Ok(header) = RequestHeader::decode(&mut r) else { return };
    let Some(op) = wk_proto::OpCode::from_code(header.op) else { return };
    let Ok(request) = Request::decode(op, &mut r) else { return };
    let mut out = Vec::new();
    request.encode(&mut out);
    assert_eq!(Request::decode(op, &mut Reader::new(&out)), Ok(request));
}

/// A reply or an event without its length; its record is tried as each that clients read.
pub(crate) fn response(bytes: &[u8]) {
    let mut r = Reader::new(bytes);
    if ReplyHeader::decode(&mut r).is_err() {
        return;
    }
    if let Ok(event) = WatcherEvent::decode(&mut r.clone()) {
        let mut out = Vec::new();
        event.encode(&mut out);
        assert_eq!(WatcherEvent::decode(&mut Reader::new(&out)), Ok(event));
    }
    if let Ok(results) = decode_multi(&mut r.clone()) {
        let mut out = Vec::new();
        for result in &results {
            result.encode(&mut out);
        }
        encode_multi_end(&mut out);
        assert_eq!(decode_multi(&mut Reader::new(&out)), Ok(results));
    }
    let _ = r.clone().strings();
    let _ = wk_proto::Stat::decode(&mut r.clone());
    let _ = wk_proto::AclList::decode(&mut r);
}

/// The body of a log record.
pub(crate) fn txn(bytes: &[u8]) {
    let Ok(record) = Record::decode(bytes) else { return };
    let mut out = Vec::new();
    record.encode(&mut out);
    // Two old forms (a create without cversion, a closeSession without paths) are told by what
    // follows, so that a digest that was cut may read differently; nothing panics.
    let _ = Record::decode(&out);
}

/// A log file, as it is: read, cut or refused.
pub(crate) fn log(bytes: &[u8]) {
    let disk = MemDisk::new();
    disk.put("log.1", bytes);
    recover(&disk);
}

/// Bodies of log records, each after a length of two bytes; checksums and zxids are made right.
pub(crate) fn records(bytes: &[u8]) {
    let mut file = b"ZKLG\0\0\0\x02\0\0\0\0\0\0\0\0".to_vec();
    let mut rest = bytes;
    let mut zxid = 0_i64;
    while let Some((len, tail)) = rest.split_first_chunk::<2>() {
        let len = usize::from(u16::from_be_bytes(*len)).min(tail.len());
        let (body, tail) = tail.split_at(len);
        rest = tail;
        let mut body = body.to_vec();
        if body.len() < 32 {
            continue;
        }
        zxid += 1;
        body[12..20].copy_from_slice(&zxid.to_be_bytes());
        file.extend_from_slice(&u64::from(adler2::adler32_slice(&body)).to_be_bytes());
        file.extend_from_slice(&u32::try_from(body.len()).unwrap().to_be_bytes());
        file.extend_from_slice(&body);
        file.push(b'B');
    }
    let disk = MemDisk::new();
    disk.put("log.1", &file);
    recover(&disk);
}

/// A snapshot file, as it is: loaded or refused.
pub(crate) fn snapshot(bytes: &[u8]) {
    let disk = MemDisk::new();
    disk.put("snapshot.5", bytes);
    let _ = SnapshotFile::open(&disk, "snapshot.5");
    recover(&disk);
}

/// The image inside a snapshot, with the right seals round it.
pub(crate) fn image(bytes: &[u8]) {
    let disk = MemDisk::new();
    let options = SnapshotOptions::default();
    let mut writer = SnapshotWriter::begin(Arc::new(disk.clone()), Zxid(5), options).unwrap();
    writer.chunk(bytes).unwrap();
    writer.finish(ZxidDigest::new(Zxid(5), 0), Zxid(5)).unwrap();
    recover(&disk);
}

/// Recovers three times: what a start mended or wrote, the next one accepts with the same result.
fn recover(disk: &MemDisk) {
    let dirs = Dirs::same(Arc::new(disk.clone()));
    let tree = wk_tree::TreeOptions { extended_types: true, ..Default::default() };
    let options = RecoverOptions { tree, trust_empty: true, ..Default::default() };
    let Ok(first) = wk_store::recover(&dirs, &options) else { return };
    let second = wk_store::recover(&dirs, &options).expect("the second start accepts it too");
    assert_eq!(second.report.last_zxid, first.report.last_zxid);
    assert_eq!(second.tree.counts().nodes, first.tree.counts().nodes);
    assert_eq!(second.tree.counts().sessions, first.tree.counts().sessions);
    // Digest and size of a made-up record with a path like "//a" count that path as it came, and
    // no such record comes from a server: they are compared from the first snapshot on.
    let third = wk_store::recover(&dirs, &options).expect("and the third");
    assert_eq!(third.tree.counts(), second.tree.counts());
    assert_eq!(third.tree.digest(), second.tree.digest());
}

/// What a leader and a learner send each other; after a SNAP, the snapshot.
pub(crate) fn quorum(bytes: &[u8]) {
    let mut rest = bytes;
    while let Ok(Some(packet)) = quorum::split(&mut rest, 1 << 16) {
        let mut out = Vec::new();
        packet.encode(&mut out);
        assert_eq!(quorum::split(&mut &out[..], 1 << 16), Ok(Some(packet)));
        let _ = (quorum::decode_number(&packet), packet.data.map(LearnerInfo::decode));
        let _ = (quorum::decode_touches(&packet), packet.authinfo.ids());
        if let Ok((_, txn)) = quorum::decode_activate(&packet) {
            let _ = Record::decode(txn);
        }
        if packet.kind == PacketKind::Snap {
            let whole = SnapshotSkipper::default().skip(rest);
            // In two pieces it ends at the same place.
            let mut halves = SnapshotSkipper::default();
            let (left, right) = rest.split_at(rest.len() / 2);
            match (whole, halves.skip(left)) {
                (Ok(quorum::Skipped::End(at)), Ok(quorum::Skipped::All)) => {
                    assert_eq!(halves.skip(right), Ok(quorum::Skipped::End(at - left.len())));
                }
                (Ok(quorum::Skipped::All), second) => {
                    assert_eq!(second, Ok(quorum::Skipped::All));
                    assert_eq!(halves.skip(right), Ok(quorum::Skipped::All));
                }
                _ => {}
            }
            return;
        }
    }
}

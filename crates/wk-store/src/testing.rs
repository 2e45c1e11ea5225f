//! Shared by the tests: records, and reading a log back.

use std::sync::Arc;

use wk_proto::txn::encode_record;
use wk_proto::{OpCode, SessionId, Txn, TxnHeader, Wall, Zxid};

use crate::disk::Disk;
use crate::log_reader::{BadPlace, Head, LogReader, Next};
use crate::mem_disk::MemDisk;
use crate::names::log_zxid;
use crate::txn_log::{TxnLog, TxnLogOptions};

/// A setData whose data are `len` bytes that depend on the zxid.
pub(crate) fn record(zxid: i64, len: usize) -> Vec<u8> {
    let header = TxnHeader {
        session: SessionId(1),
        cxid: 1,
        zxid: Zxid(zxid),
        time: Wall(1),
        op: OpCode::SetData,
    };
    let fill = u8::try_from(zxid & 0x7f).unwrap() + 1;
    let data = Some(vec![fill; len].into());
    let mut bytes = Vec::new();
    let txn = Txn::SetData { path: "/a".into(), data, version: 1 };
    encode_record(&header, &txn, None, &mut bytes);
    bytes
}

pub(crate) fn options() -> TxnLogOptions {
    TxnLogOptions { preallocation: 8192, ..TxnLogOptions::default() }
}

pub(crate) fn log_on(disk: &MemDisk, last: i64) -> TxnLog {
    TxnLog::new(Arc::new(disk.clone()), Zxid(last), options())
}

pub(crate) fn append(log: &mut TxnLog, zxids: impl IntoIterator<Item = i64>) {
    for zxid in zxids {
        log.append(Zxid(zxid), &record(zxid, 40));
    }
}

/// What all logs hold, in the order of their names; and the bad places.
pub(crate) fn read_logs(disk: &dyn Disk) -> (Vec<i64>, Vec<BadPlace>) {
    let mut firsts: Vec<_> =
        disk.list().unwrap().iter().filter_map(|e| log_zxid(&e.name)).collect();
    firsts.sort_unstable();
    let (mut zxids, mut bad) = (Vec::new(), Vec::new());
    for first in firsts {
        let Head::Log(mut reader) = LogReader::open(disk, first).unwrap() else { continue };
        loop {
            let last = Zxid(zxids.last().copied().unwrap_or(0));
            match reader.next(last).unwrap() {
                Next::Record { body, .. } => {
                    let zxid = crate::frame::zxid(body).unwrap();
                    assert!(body.starts_with(&record(zxid.0, 0)[..TxnHeader::LEN]), "{zxid}");
                    zxids.push(zxid.0);
                }
                Next::End => break,
                Next::Bad(place) => {
                    bad.push(place);
                    break;
                }
            }
        }
    }
    (zxids, bad)
}

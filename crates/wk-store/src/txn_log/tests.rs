//! Writing the log: bytes, batches, growth, rolling, failures and healing.

use super::*;
use crate::frame::HEADER;
use crate::mem_disk::{Fault, FaultKind, MemDisk};
use crate::testing::{append, log_on, options, read_logs, record};

#[test]
fn a_file_has_apaches_bytes() {
    let disk = MemDisk::new();
    let mut log = log_on(&disk, 0);
    append(&mut log, [1, 2]);
    assert!(log.is_pending());
    assert_eq!(disk.names(), [] as [&str; 0], "appending alone does nothing");
    assert_eq!(log.sync().unwrap(), Zxid(2));
    let bytes = disk.bytes("log.1").unwrap();
    let mut want = HEADER.to_vec();
    for zxid in [1, 2] {
        let body = record(zxid, 40);
        want.extend_from_slice(&u64::from(adler2::adler32_slice(&body)).to_be_bytes());
        want.extend_from_slice(&u32::try_from(body.len()).unwrap().to_be_bytes());
        want.extend_from_slice(&body);
        want.push(b'B');
    }
    assert_eq!(bytes[..want.len()], want);
    assert_eq!(bytes.len(), 16 + 8192, "the first growth adds to the header");
    assert!(bytes[want.len()..].iter().all(|b| *b == 0));
}

#[test]
fn a_batch_is_one_write_and_one_sync() {
    let disk = MemDisk::new();
    let mut log = log_on(&disk, 0);
    append(&mut log, 1..4);
    log.sync().unwrap();
    let before = disk.ops();
    append(&mut log, 4..14);
    log.sync().unwrap();
    // The write, the sync, and the mark, which is not synced.
    assert_eq!(disk.ops() - before, 3);
    assert_eq!((log.stats().records, log.stats().batches), (13, 2));
    assert_eq!(log.sync().unwrap(), Zxid(13), "nothing to do");
    assert_eq!(disk.ops() - before, 3);
    assert_eq!(read_logs(&disk), ((1..14).collect(), vec![]));
}

#[test]
fn files_grow_in_steps_ahead_of_the_records() {
    let disk = MemDisk::new();
    let mut log = log_on(&disk, 0);
    let mut lens = std::collections::BTreeSet::new();
    for zxid in 1..=20 {
        log.append(Zxid(zxid), &record(zxid, 1000));
        log.sync().unwrap();
        let len = disk.bytes("log.1").unwrap().len();
        assert!(len as u64 > log.stats().file_bytes + GROW_WITHIN);
        lens.insert(len);
    }
    assert_eq!(lens.into_iter().collect::<Vec<_>>(), [8208, 16400, 24592, 32784]);
    let without = TxnLogOptions { preallocation: 0, ..options() };
    let mut log = TxnLog::new(Arc::new(disk.clone()), Zxid(20), without);
    append(&mut log, [21]);
    log.sync().unwrap();
    assert_eq!(disk.bytes("log.15").unwrap().len() as u64, log.stats().file_bytes);
}

#[test]
fn rolling_begins_a_file_even_in_the_midst_of_a_batch() {
    let disk = MemDisk::new();
    let mut log = log_on(&disk, 0);
    append(&mut log, [1, 2]);
    log.roll();
    log.roll();
    append(&mut log, [3]);
    log.roll();
    log.sync().unwrap();
    append(&mut log, [4]);
    log.sync().unwrap();
    assert_eq!(disk.names(), ["log.1", "log.3", "log.4", crate::sync_mark::NAME]);
    assert_eq!(read_logs(&disk), (vec![1, 2, 3, 4], vec![]));
}

#[test]
fn a_size_limit_begins_a_file() {
    let disk = MemDisk::new();
    let limited = TxnLogOptions { size_limit: Some(300), ..options() };
    let mut log = TxnLog::new(Arc::new(disk.clone()), Zxid(0), limited);
    for zxid in 1..8 {
        append(&mut log, [zxid]);
        log.sync().unwrap();
    }
    assert_eq!(log.stats().files, 3);
    assert_eq!(read_logs(&disk).0, (1..8).collect::<Vec<_>>());
}

#[test]
fn without_force_sync_no_sync_is_made() {
    let disk = MemDisk::new();
    let lax = TxnLogOptions { force_sync: false, ..options() };
    let mut log = TxnLog::new(Arc::new(disk.clone()), Zxid(0), lax);
    append(&mut log, [1]);
    assert_eq!(log.sync().unwrap(), Zxid(1));
    assert_eq!(disk.names(), ["log.1"], "no mark either");
    disk.crash(1);
    assert_eq!(log.stats().sync_total, Duration::ZERO);
}

#[test]
fn a_slow_sync_is_counted() {
    let disk = MemDisk::new();
    let strict = TxnLogOptions { slow_sync: Duration::ZERO, ..options() };
    let mut log = TxnLog::new(Arc::new(disk), Zxid(0), strict);
    append(&mut log, [1]);
    log.sync().unwrap();
    assert_eq!(log.stats().slow_syncs, 1);
    assert!(log.stats().sync_max >= log.stats().sync_last && !log.stats().sync_last.is_zero());
}

/// Lets every operation of a run fail in turn: nothing is said to be durable that is not, and
/// after healing everything is there, in files that hold no byte twice.
#[test]
fn any_failing_operation_is_survived_by_healing() {
    for kind in [FaultKind::NoSpace, FaultKind::Io] {
        for op in 0.. {
            let disk = MemDisk::new();
            disk.fault_at(op, Fault::Fail(kind));
            let mut log = log_on(&disk, 0);
            let mut failed = false;
            for batch in [1..3, 3..4, 4..9, 9..10] {
                if batch.start == 4 {
                    log.roll();
                }
                append(&mut log, batch.clone());
                if log.sync().is_err() {
                    failed = true;
                    assert!(log.is_failed() && log.synced() < Zxid(batch.end - 1));
                    assert!(matches!(log.sync(), Err(StoreError::Failed)));
                    assert_eq!(log.heal().unwrap(), Zxid(batch.end - 1), "op {op}");
                    assert!(!log.is_failed());
                }
                assert_eq!(log.synced(), Zxid(batch.end - 1));
            }
            let done = disk.ops() <= op;
            disk.crash(op);
            let (zxids, bad) = read_logs(&disk);
            assert_eq!((zxids, bad), ((1..10).collect(), vec![]), "op {op} {kind:?}");
            if done {
                assert!(!failed);
                break;
            }
        }
    }
}

#[test]
fn healing_waits_for_space() {
    let disk = MemDisk::new();
    let mut log = log_on(&disk, 0);
    append(&mut log, 1..4);
    log.sync().unwrap();
    disk.set_capacity(Some(disk.bytes("log.1").unwrap().len() as u64 + 100));
    let mut next = 4;
    let err = loop {
        append(&mut log, [next]);
        next += 1;
        match log.sync() {
            Ok(synced) => assert_eq!(synced, Zxid(next - 1)),
            Err(err) => break err,
        }
    };
    assert!(err.is_no_space() && err.exit_code() == 10, "{err}");
    assert!(next > 50, "what was reserved is used first");
    let synced = log.synced();
    let err = log.heal().unwrap_err();
    assert!(err.is_no_space() && log.is_failed() && log.synced() == synced);
    // More may come in meanwhile; nothing is lost.
    append(&mut log, [next]);
    assert!(log.heal().is_err());
    disk.set_capacity(None);
    assert_eq!(log.heal().unwrap(), Zxid(next));
    disk.crash(5);
    assert_eq!(read_logs(&disk), ((1..=next).collect(), vec![]));
}

/// The reason for `heal`: on this disk, as on Linux, a second sync of the file would say "done".
#[test]
fn a_failed_sync_is_not_tried_again_on_the_same_file() {
    let disk = MemDisk::new();
    let mut log = log_on(&disk, 0);
    append(&mut log, [1]);
    log.sync().unwrap();
    append(&mut log, [2, 3]);
    disk.fault_at(disk.ops() + 1, Fault::Fail(FaultKind::Io));
    assert!(log.sync().is_err());
    assert_eq!(log.synced(), Zxid(1));
    log.heal().unwrap();
    assert_eq!(disk.names(), ["log.1", "log.2", crate::sync_mark::NAME]);
    disk.crash(3);
    assert_eq!(read_logs(&disk), (vec![1, 2, 3], vec![]));
}

/// Power goes at every operation of a run: what was acknowledged is there, and what the logs hold
/// is the history up to some point.
#[test]
fn power_loss_anywhere_loses_nothing_acknowledged() {
    for seed in 0..40_u64 {
        for op in 0.. {
            let disk = MemDisk::new();
            disk.fault_at(op, Fault::PowerLoss);
            let mut log = log_on(&disk, 0);
            let mut acked = 0;
            for batch in [1..3, 3..20, 20..21, 21..60] {
                if batch.start == 20 {
                    log.roll();
                }
                append(&mut log, batch.clone());
                match log.sync() {
                    Ok(zxid) => acked = zxid.0,
                    Err(_) => break,
                }
            }
            let off = disk.is_off();
            disk.crash(seed * 1_000_003 + op);
            let (zxids, bad) = read_logs(&disk);
            let first_bad = bad.first().copied();
            let last = i64::try_from(zxids.len()).unwrap();
            assert!(last >= acked, "seed {seed} op {op}: {zxids:?} {first_bad:?}");
            assert_eq!(zxids, (1..=last).collect::<Vec<_>>(), "seed {seed} op {op}");
            // Whole records behind a bad place are excused by the mark, always.
            for place in bad.iter().filter(|place| place.follower.is_some()) {
                let mark = SyncMark::read(&disk).unwrap();
                assert!(place.offset >= mark.offset, "seed {seed} op {op}: {place:?} {mark:?}");
            }
            if !off {
                break;
            }
        }
    }
}

#[test]
#[should_panic(expected = "zxids ascend")]
fn a_zxid_never_comes_twice() {
    let mut log = log_on(&MemDisk::new(), 5);
    append(&mut log, [5]);
}

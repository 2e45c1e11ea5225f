//! A server's whole life on a bad disk: log, fuzzy snapshots, purge; crash, recover, go on.

use super::*;
use crate::mem_disk::{Fault, FaultKind};
use crate::purge::purge;

const TXNS: i64 = 70;

/// Runs from what the disk holds towards the history's end as a server would; stops at the first
/// error that ends one. Returns the last acknowledged zxid.
fn live(disk: &MemDisk, history: &History, acked: &mut Zxid) -> Result<(), StoreError> {
    let Recovered { mut tree, report } = recovered(disk)?;
    assert!(report.last_zxid >= *acked, "{acked} was acknowledged: {report:?}");
    assert_eq!(tree.digest(), history.digest(report.last_zxid), "{report:?}");
    assert_eq!(report.digest_mismatches, 0, "{report:?}");
    // What was recovered is served, and must not go any more.
    *acked = report.last_zxid;
    let shared: Arc<MemDisk> = Arc::new(disk.clone());
    let mut log = TxnLog::new(shared.clone(), report.last_zxid, options());
    let mut writer: Option<SnapshotWriter> = None;
    let mut next = report.last_zxid.0 + 1;
    while next <= TXNS {
        let last = (next + next % 7).min(TXNS);
        history.append(&mut log, next..=last);
        if log.sync().is_err() {
            log.heal()?;
        }
        for zxid in next..=last {
            history.apply(&mut tree, Zxid(zxid));
        }
        *acked = Zxid(last);
        next = last + 1;
        // A snapshot goes on in slices between the batches.
        if let Some(mut w) = writer.take() {
            let mut chunk = Vec::new();
            let more = tree.image_next(&mut chunk, 700);
            // A snapshot that fails is given up; the server goes on.
            if w.chunk(&chunk).is_ok() {
                if more {
                    writer = Some(w);
                } else {
                    let digest = ZxidDigest::new(tree.last_zxid(), tree.digest());
                    let _ = w.finish(digest, tree.last_zxid());
                    let _ = purge(&dirs(disk), 2);
                }
            }
        } else {
            log.roll();
            let options = SnapshotOptions::default();
            writer = SnapshotWriter::begin(shared.clone(), tree.last_zxid(), options).ok();
            tree.image_begin();
        }
    }
    Ok(())
}

#[test]
fn power_loss_at_any_operation_loses_nothing_acknowledged() {
    let history = History::new(TXNS);
    let mut crashes = 0;
    for seed in 0..6_u64 {
        for op in 0.. {
            let disk = MemDisk::new();
            let mut acked = Zxid::ZERO;
            disk.fault_at(op, Fault::PowerLoss);
            // Three lives, each ended at another place.
            for life in 0..3 {
                let done = live(&disk, &history, &mut acked).is_ok();
                assert!(done || disk.is_off(), "seed {seed} op {op} life {life}");
                crashes += usize::from(!done);
                if (seed + op + life) % 3 == 0 {
                    disk.process_death();
                } else {
                    disk.crash(seed * 7_368_787 + op * 31 + life);
                }
                disk.fault_at(disk.ops() + 3 + (op * 13 + life) % 50, Fault::PowerLoss);
            }
            disk.clear_faults();
            live(&disk, &history, &mut acked).unwrap();
            assert_eq!(acked, Zxid(TXNS));
            if disk.ops() < op {
                break;
            }
        }
    }
    assert!(crashes > 1000, "{crashes}");
}

#[test]
fn any_failing_operation_is_survived() {
    let history = History::new(TXNS);
    for kind in [FaultKind::Io, FaultKind::NoSpace] {
        for op in 0.. {
            let disk = MemDisk::new();
            let mut acked = Zxid::ZERO;
            disk.fault_at(op, Fault::Fail(kind));
            // Failing before anything runs may end the server; nothing is lost.
            let _ = live(&disk, &history, &mut acked);
            let ops = disk.ops();
            if op % 2 == 0 {
                // What a failed sync left in the page cache is read back: it must become durable.
                disk.process_death();
                live(&disk, &history, &mut acked).unwrap();
            }
            disk.crash(op + 5);
            live(&disk, &history, &mut acked).unwrap();
            assert_eq!(acked, Zxid(TXNS), "op {op} {kind:?}");
            if ops < op {
                break;
            }
        }
    }
}

#[test]
fn a_full_disk_ends_nothing_that_was_acknowledged() {
    let history = History::new(TXNS);
    for capacity in (500..40_000).step_by(333) {
        let disk = MemDisk::new();
        disk.set_capacity(Some(capacity));
        let mut acked = Zxid::ZERO;
        let result = live(&disk, &history, &mut acked);
        assert!(result.is_ok() || result.is_err_and(|e| e.is_no_space()), "{capacity}");
        disk.set_capacity(None);
        disk.crash(capacity);
        live(&disk, &history, &mut acked).unwrap();
        assert_eq!(acked, Zxid(TXNS));
    }
}

/// A failed sync, the end of the process, and a start before power goes: what that start read
/// came from memory, and the kernel holds it for written.
#[test]
fn what_a_failed_sync_left_in_the_page_cache_becomes_durable() {
    let history = History::new(9);
    for seed in 0..20 {
        let disk = fresh_disk();
        let mut log = TxnLog::new(Arc::new(disk.clone()), Zxid(0), options());
        history.append(&mut log, 1..=3);
        log.sync().unwrap();
        history.append(&mut log, 4..=9);
        disk.fault_at(disk.ops() + 1, Fault::Fail(FaultKind::Io));
        assert!(log.sync().is_err());
        drop(log);
        disk.process_death();
        assert_eq!(check(&disk, &history).last_zxid, Zxid(9));
        disk.crash(seed);
        assert_eq!(check(&disk, &history).last_zxid, Zxid(9), "seed {seed}");
    }
}

#[test]
fn a_cut_whose_sync_failed_is_made_again() {
    let history = History::new(9);
    for (failing, seed) in (0..6).flat_map(|op| (0..6).map(move |seed| (op, seed))) {
        let disk = fresh_disk();
        let mut log = TxnLog::new(Arc::new(disk.clone()), Zxid(0), options());
        history.append(&mut log, 1..=4);
        log.sync().unwrap();
        let torn_at = usize::try_from(log.stats().file_bytes).unwrap();
        let mark = disk.bytes(crate::sync_mark::NAME).unwrap();
        history.append(&mut log, 5..=8);
        log.sync().unwrap();
        drop(log);
        disk.put(crate::sync_mark::NAME, &mark);
        let mut bytes = disk.bytes("log.1").unwrap();
        bytes[torn_at..torn_at + 20].fill(0);
        disk.put("log.1", &bytes);

        disk.fault_at(disk.ops() + failing, Fault::Fail(FaultKind::Io));
        let first = recovered(&disk).is_ok();
        disk.clear_faults();
        assert_eq!(check(&disk, &history).last_zxid, Zxid(4));
        write_log(&disk, &history, 5..=9);
        disk.crash(seed);
        let report = check(&disk, &history);
        assert_eq!(report.last_zxid, Zxid(9), "operation {failing} failed, first start: {first}");
    }
}

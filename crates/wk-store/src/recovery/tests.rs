//! Recovering: what is replayed, what is cut, what is refused and in which words.

mod crash;
pub(crate) mod history;

use std::sync::Arc;

use history::{History, dirs, log_file};
use wk_proto::Zxid;

use super::*;
use crate::Compression;
use crate::frame;
use crate::mem_disk::MemDisk;
use crate::testing::options;
use crate::txn_log::TxnLog;

/// A directory with the snapshot of a fresh tree.
fn fresh_disk() -> MemDisk {
    let disk = MemDisk::new();
    recover(&dirs(&disk), &RecoverOptions::default()).unwrap();
    disk
}

fn recovered(disk: &MemDisk) -> Result<Recovered, StoreError> {
    recover(&dirs(disk), &RecoverOptions::default())
}

/// Recovers and checks the tree against the history.
fn check(disk: &MemDisk, history: &History) -> RecoveryReport {
    let Recovered { tree, report } = recovered(disk).unwrap();
    assert_eq!(tree.digest(), history.digest(report.last_zxid));
    assert_eq!(tree.counts(), history.tree(report.last_zxid).counts());
    assert_eq!(report.digest_mismatches, 0);
    report
}

fn write_log(disk: &MemDisk, history: &History, zxids: std::ops::RangeInclusive<i64>) {
    let last = Zxid(zxids.start() - 1);
    let mut log = TxnLog::new(Arc::new(disk.clone()), last, options());
    history.append(&mut log, zxids);
    log.sync().unwrap();
}

fn write_snapshot_at(disk: &MemDisk, history: &History, zxid: i64) {
    let mut tree = history.tree(Zxid(zxid));
    let options = SnapshotOptions::default();
    write_snapshot(Arc::new(disk.clone()), &mut tree, options).unwrap();
}

#[test]
fn an_empty_directory_gets_a_snapshot_first() {
    let disk = MemDisk::new();
    let report = recovered(&disk).unwrap().report;
    assert_eq!(disk.names(), ["snapshot.0"]);
    assert_eq!(report.wrote_snapshot, Some(SnapshotInfo { zxid: Zxid(0), len: 478 }));
    let again = recovered(&disk).unwrap().report;
    assert_eq!(again.snapshot, report.wrote_snapshot);
    assert_eq!(again.wrote_snapshot, None);
}

#[test]
fn logs_are_replayed_over_the_newest_snapshot() {
    let history = History::new(60);
    let disk = fresh_disk();
    write_log(&disk, &history, 1..=30);
    write_snapshot_at(&disk, &history, 25);
    write_log(&disk, &history, 31..=60);
    let report = check(&disk, &history);
    assert_eq!((report.txns_skipped, report.txns_replayed), (25, 35));
    assert_eq!(report.last_zxid, Zxid(60));
    assert_eq!(report.snapshot.unwrap().zxid, Zxid(25));
}

#[test]
fn a_log_cut_at_any_byte_gives_the_txns_before() {
    let history = History::new(7);
    let (bytes, starts) = log_file(&history, 6);
    for cut in 0..=bytes.len() {
        let disk = fresh_disk();
        disk.put("log.1", &bytes[..cut]);
        let report = check(&disk, &history);
        let whole = starts[1..].iter().filter(|end| **end <= cut).count();
        assert_eq!(report.last_zxid, Zxid(i64::try_from(whole).unwrap()), "cut {cut}");
        assert_eq!(report.removed_logs.is_empty(), cut >= 16, "cut {cut}");
        if let Some(done) = &report.cut {
            assert_eq!((done.offset, done.was_synced), (starts[whole] as u64, false));
        }
        // A second start finds nothing to mend, and the history goes on.
        let next = i64::try_from(whole).unwrap() + 1;
        write_log(&disk, &history, next..=next);
        let again = check(&disk, &history);
        assert_eq!((again.cut, again.last_zxid), (None, Zxid(next)), "cut {cut}");
    }
}

#[test]
fn every_flipped_bit_is_refused_but_in_the_last_record() {
    let history = History::new(5);
    let (bytes, starts) = log_file(&history, 5);
    for bit in 0..starts[5] * 8 {
        let at = bit / 8;
        let mut damaged = bytes.clone();
        damaged[at] ^= 1 << (bit % 8);
        let disk = fresh_disk();
        disk.put("log.1", &damaged);
        let result = recovered(&disk);
        if (8..16).contains(&at) {
            assert_eq!(result.unwrap().report.last_zxid, Zxid(5), "the dbid says nothing");
            continue;
        }
        if at < 8 {
            assert!(matches!(result, Err(StoreError::BadLogHeader { .. })));
            continue;
        }
        let hit = starts.iter().rposition(|s| *s <= at).unwrap();
        let good = Zxid(i64::try_from(hit).unwrap());
        if hit == 4 {
            let report = result.unwrap().report;
            let cut = report.cut.unwrap();
            assert_eq!((cut.offset, cut.last_good), (starts[4] as u64, good));
            assert_eq!(report.last_zxid, good);
            continue;
        }
        let err = result.err().unwrap_or_else(|| panic!("bit {bit}"));
        let text = err.to_string();
        let StoreError::CorruptLog { offset, last_good, .. } = err else { panic!("{text}") };
        assert_eq!((offset, last_good), (starts[hit] as u64, good));
        assert!(text.contains(&format!("truncate -s {offset} /mem/log.1")), "{text}");
        assert_eq!(disk.bytes("log.1").unwrap(), damaged, "a refused file is left as it is");
    }
}

/// The log before the newest snapshot reaches beyond it, so it is read from its first record on.
#[test]
fn damage_in_what_the_snapshot_has_is_passed_over() {
    let history = History::new(15);
    let (bytes, starts) = log_file(&history, 10);
    for at in starts[0]..starts[10] {
        let disk = fresh_disk();
        disk.put("log.1", &bytes);
        write_snapshot_at(&disk, &history, 6);
        write_log(&disk, &history, 11..=15);
        disk.flip("log.1", at, u8::try_from(at % 8).unwrap());
        let damaged = disk.bytes("log.1").unwrap();
        let hit = starts.iter().rposition(|start| *start <= at).unwrap();
        if hit < 6 {
            let report = check(&disk, &history);
            assert_eq!((report.last_zxid, report.passed_over), (Zxid(15), 1), "byte {at}");
        } else {
            let text = recovered(&disk).unwrap_err().to_string();
            assert!(text.contains(&format!("at offset {}", starts[hit])), "byte {at}: {text}");
        }
        assert_eq!(disk.bytes("log.1").unwrap(), damaged, "left as it is");
    }
    // Two records side by side, the second of which the snapshot does not have.
    let disk = fresh_disk();
    disk.put("log.1", &bytes);
    write_snapshot_at(&disk, &history, 6);
    disk.flip("log.1", starts[5] + 20, 1);
    disk.flip("log.1", starts[6] + 20, 1);
    let err = recovered(&disk).unwrap_err();
    let StoreError::CorruptLog { offset, last_good, .. } = err else { panic!("{err}") };
    assert_eq!((offset, last_good), (starts[5] as u64, Zxid(5)));
}

/// What is behind the mark was never acknowledged; what is before it was.
#[test]
fn the_mark_tells_a_torn_batch_from_damage() {
    let history = History::new(9);
    for (synced, refused) in [(4, false), (8, true)] {
        let disk = fresh_disk();
        let mut log = TxnLog::new(Arc::new(disk.clone()), Zxid(0), options());
        history.append(&mut log, 1..=4);
        log.sync().unwrap();
        let torn_at = usize::try_from(log.stats().file_bytes).unwrap();
        let mark = disk.bytes(crate::sync_mark::NAME).unwrap();
        history.append(&mut log, 5..=8);
        log.sync().unwrap();
        drop(log);
        if synced == 4 {
            disk.put(crate::sync_mark::NAME, &mark);
        }
        let mut bytes = disk.bytes("log.1").unwrap();
        bytes[torn_at..torn_at + 20].fill(0);
        disk.put("log.1", &bytes);
        let result = recovered(&disk);
        if refused {
            assert!(matches!(result, Err(StoreError::CorruptLog { .. })));
        } else {
            let report = result.unwrap().report;
            assert_eq!(report.last_zxid, Zxid(4));
            assert!(!report.cut.unwrap().was_synced);
            write_log(&disk, &history, 5..=9);
            assert_eq!(check(&disk, &history).last_zxid, Zxid(9));
        }
    }
}

#[test]
fn a_cut_that_takes_synced_records_is_said_to() {
    let history = History::new(5);
    let disk = fresh_disk();
    write_log(&disk, &history, 1..=5);
    let mut bytes = disk.bytes("log.1").unwrap();
    let last = frame::PREFIX_LEN + history.record(Zxid(5)).len() + 1;
    let (_, starts) = log_file(&history, 5);
    bytes[starts[5] - last + 14] ^= 1;
    disk.put("log.1", &bytes);
    let cut = check(&disk, &history).cut.unwrap();
    assert!(cut.was_synced);
    assert_eq!(cut.last_good, Zxid(4));
}

#[test]
fn a_corrupt_or_missing_newest_snapshot_falls_back() {
    let history = History::new(50);
    for damage in 0..4 {
        let disk = fresh_disk();
        write_log(&disk, &history, 1..=20);
        write_snapshot_at(&disk, &history, 20);
        write_log(&disk, &history, 21..=40);
        write_snapshot_at(&disk, &history, 40);
        write_log(&disk, &history, 41..=50);
        let mut bytes = disk.bytes("snapshot.28").unwrap();
        match damage {
            0 => bytes[100] ^= 1,
            1 => bytes.truncate(bytes.len() - 1),
            2 => bytes.clear(),
            _ => bytes[..3].copy_from_slice(b"\x1f\x8b\x08"),
        }
        disk.put("snapshot.28", &bytes);
        let report = check(&disk, &history);
        assert_eq!(report.last_zxid, Zxid(50));
        assert_eq!(report.snapshot.unwrap().zxid, Zxid(20));
        assert_eq!(report.rejected_snapshots[0].0, "snapshot.28");
        disk.remove("snapshot.28").unwrap();
        let report = check(&disk, &history);
        assert_eq!((report.last_zxid, report.rejected_snapshots.len()), (Zxid(50), 0));
    }
}

#[test]
fn no_valid_snapshot_at_all_is_refused() {
    let history = History::new(20);
    let disk = fresh_disk();
    write_log(&disk, &history, 1..=20);
    let mut bytes = disk.bytes("snapshot.0").unwrap();
    bytes[50] ^= 1;
    disk.put("snapshot.0", &bytes);
    let err = recovered(&disk).unwrap_err();
    assert_eq!(err.exit_code(), 10);
    assert!(err.to_string().contains("snapshot.0: its checksum is wrong"), "{err}");
}

#[test]
fn a_packed_snapshot_that_was_cut_is_damage_and_no_empty_start() {
    // A copy of the only snapshot that did not get to its end, without any log.
    for compression in [Compression::Gzip, Compression::Snappy] {
        let disk = MemDisk::new();
        let mut tree = History::new(20).tree(Zxid(20));
        let options = SnapshotOptions { compression, ..SnapshotOptions::default() };
        write_snapshot(Arc::new(disk.clone()), &mut tree, options).unwrap();
        let name = disk.names().pop().unwrap();
        let bytes = disk.bytes(&name).unwrap();
        for cut in [bytes.len() - 1, 20, 0] {
            disk.put(&name, &bytes[..cut]);
            let err = recovered(&disk).unwrap_err();
            assert_eq!(err.exit_code(), 10, "{name}, {cut} bytes");
            assert!(err.to_string().contains(&name), "{err}");
        }
    }
}

#[test]
fn logs_without_a_snapshot_are_refused_unless_trusted() {
    let history = History::new(20);
    let disk = fresh_disk();
    write_log(&disk, &history, 1..=20);
    for unfinished in [false, true] {
        disk.remove("snapshot.0").unwrap();
        if unfinished {
            disk.put("snapshot.0", b"ZKSN\0\0\0\x02");
        } else {
            disk.put("snapshot.0", b"");
        }
        let err = recovered(&disk).unwrap_err();
        assert!(matches!(err, StoreError::SnapshotMissing { .. }), "{err}");
        let text = err.to_string();
        assert!(
            text.contains("snapshot.trust.empty=true") && text.contains("snapshot.0"),
            "{text}"
        );
    }
    let trusting = RecoverOptions { trust_empty: true, ..RecoverOptions::default() };
    let report = recover(&dirs(&disk), &trusting).unwrap().report;
    assert_eq!(report.last_zxid, Zxid(20));
    assert_eq!(report.wrote_snapshot.unwrap().zxid, Zxid(20));
    assert_eq!(check(&disk, &history).last_zxid, Zxid(20));
}

#[test]
fn an_unfinished_first_snapshot_alone_is_an_empty_directory() {
    let disk = MemDisk::new();
    disk.put("snapshot.0", b"ZKSN\0\0\0\x02\xff");
    disk.put(".snapshot.0.tmp", b"ZKSN");
    let report = recovered(&disk).unwrap().report;
    assert!(report.wrote_snapshot.is_some());
    assert_eq!(disk.names(), ["snapshot.0"]);
    assert_eq!(recovered(&disk).unwrap().report.rejected_snapshots, []);
}

#[test]
fn a_gap_in_the_history_is_refused() {
    let history = History::new(40);
    let disk = fresh_disk();
    for zxids in [1..=10, 11..=20, 21..=30] {
        write_log(&disk, &history, zxids);
    }
    disk.remove("log.b").unwrap();
    let err = recovered(&disk).unwrap_err();
    let StoreError::Gap { last_good, found, offset, .. } = err else { panic!("{err}") };
    assert_eq!((last_good, found, offset), (Zxid(10), Zxid(21), 16));
    // A snapshot that covers it makes it whole.
    write_snapshot_at(&disk, &history, 20);
    assert_eq!(check(&disk, &history).last_zxid, Zxid(30));
}

#[test]
fn copies_of_logs_are_neither_read_nor_removed() {
    let history = History::new(9);
    let disk = fresh_disk();
    write_log(&disk, &history, 1..=5);
    disk.put("log.6", &frame::HEADER[..7]);
    let copies = ["log.6.fixed", "log.6.chopped9", "log.7.fixed"];
    for copy in copies {
        disk.put(copy, &disk.bytes("log.1").unwrap());
    }
    // log.6 was never written to; log.7 is gone.
    let report = check(&disk, &history);
    assert_eq!((report.last_zxid, report.removed_logs), (Zxid(5), vec!["log.6".to_owned()]));
    assert!(copies.iter().all(|copy| disk.bytes(copy).is_some()));
    write_log(&disk, &history, 6..=9);
    assert_eq!(check(&disk, &history).last_zxid, Zxid(9));
}

/// Apache's server leaves a torn end behind and goes on in a new file.
#[test]
fn an_older_log_may_end_torn_when_the_next_goes_on() {
    let history = History::new(40);
    let (bytes, starts) = log_file(&history, 10);
    for (goes_on_at, fine) in [(10, true), (11, false)] {
        let disk = fresh_disk();
        disk.put("log.1", &bytes[..starts[9] + 5]);
        write_log(&disk, &history, goes_on_at..=20);
        disk.put("log.15", &frame::HEADER);
        match recovered(&disk) {
            Ok(done) => {
                assert!(fine);
                assert_eq!(done.report.unfinished_logs, ["log.1"]);
                assert_eq!(done.report.last_zxid, Zxid(20));
                assert_eq!(disk.bytes("log.1").unwrap().len(), starts[9] + 5);
            }
            Err(err) => {
                assert!(!fine);
                let StoreError::CorruptLog { offset, .. } = err else { panic!("{err}") };
                assert_eq!(offset, starts[9] as u64);
            }
        }
    }
}

#[test]
fn a_record_that_is_no_txn_is_refused() {
    let disk = fresh_disk();
    let history = History::new(2);
    let mut bytes = frame::HEADER.to_vec();
    frame::encode(history.record(Zxid(1)), &mut bytes);
    let mut record = history.record(Zxid(2)).to_vec();
    record[28..32].copy_from_slice(&77_i32.to_be_bytes());
    frame::encode(&record, &mut bytes);
    disk.put("log.1", &bytes);
    let err = recovered(&disk).unwrap_err();
    assert!(matches!(err, StoreError::UnknownRecord { last_good: Zxid(1), .. }), "{err}");
}

#[test]
fn a_record_that_is_no_txn_but_is_in_the_snapshot_is_passed_over() {
    let disk = fresh_disk();
    let history = History::new(3);
    let mut bytes = frame::HEADER.to_vec();
    for zxid in 1..=3 {
        let mut record = history.record(Zxid(zxid)).to_vec();
        if zxid == 2 {
            record[28..32].copy_from_slice(&77_i32.to_be_bytes());
        }
        frame::encode(&record, &mut bytes);
    }
    disk.put("log.1", &bytes);
    write_snapshot_at(&disk, &history, 2);
    assert_eq!(check(&disk, &history).last_zxid, Zxid(3));
}

#[test]
fn ephemerals_of_sessions_that_are_no_more_are_dropped() {
    let history = History::new(10);
    let disk = MemDisk::new();
    let mut tree = history.tree(Zxid(10));
    assert_eq!(tree.counts().ephemerals, 1);
    // An image without sessions, as if they had been lost.
    let mut writer =
        SnapshotWriter::begin(Arc::new(disk.clone()), Zxid(10), SnapshotOptions::default())
            .unwrap();
    let mut image = Vec::new();
    tree.image_begin();
    while tree.image_next(&mut image, usize::MAX) {}
    assert_eq!(image[..4], [0, 0, 0, 1]);
    writer.chunk(&[0; 4]).unwrap();
    writer.chunk(&image[4 + 12..]).unwrap();
    writer.finish(ZxidDigest::new(Zxid(10), tree.digest()), Zxid(10)).unwrap();
    let done = recovered(&disk).unwrap();
    assert_eq!(done.report.orphaned_ephemerals, ["/e100"]);
    assert_eq!(done.tree.counts().ephemerals, 0);
    assert_eq!(done.report.digest_mismatches, 0, "the snapshot's digest was right");
}

#[test]
fn digests_that_differ_are_counted() {
    let history = History::new(30);
    let disk = MemDisk::new();
    let mut tree = history.tree(Zxid(10));
    let writer =
        SnapshotWriter::begin(Arc::new(disk.clone()), Zxid(10), SnapshotOptions::default());
    let mut writer = writer.unwrap();
    let mut image = Vec::new();
    tree.image_begin();
    while tree.image_next(&mut image, usize::MAX) {}
    writer.chunk(&image).unwrap();
    // As if the dump had gone on until 12, and the digest were wrong.
    writer.finish(ZxidDigest::new(Zxid(12), 42), Zxid(12)).unwrap();
    write_log(&disk, &history, 11..=30);
    let done = recovered(&disk).unwrap();
    assert_eq!(done.report.digest_mismatches, 1);
    assert_eq!(done.tree.digest(), history.digest(Zxid(30)));
}

#[test]
fn directories_that_hold_each_others_files_are_refused() {
    let (snapshots, logs) = (fresh_disk(), MemDisk::new());
    let both = Dirs::separate(Arc::new(snapshots.clone()), Arc::new(logs.clone()));
    recover(&both, &RecoverOptions::default()).unwrap();
    snapshots.put("log.1", b"");
    let err = recover(&both, &RecoverOptions::default()).unwrap_err();
    assert_eq!(err.exit_code(), 3);
    snapshots.remove("log.1").unwrap();
    logs.put("snapshot.5", b"");
    assert_eq!(recover(&both, &RecoverOptions::default()).unwrap_err().exit_code(), 3);
}

//! Snapshot files: every shape, every flipped bit, every failing operation.

use std::io::Read;

use super::*;
use crate::mem_disk::{Fault, FaultKind, MemDisk};

const IMAGE: &[u8] = b"an image of some tree, opaque to this module";

fn write(disk: &MemDisk, zxid: i64, options: SnapshotOptions) -> Result<SnapshotInfo, StoreError> {
    let mut w = SnapshotWriter::begin(Arc::new(disk.clone()), Zxid(zxid), options)?;
    for chunk in IMAGE.chunks(7) {
        w.chunk(chunk)?;
    }
    w.finish(ZxidDigest::new(Zxid(zxid + 1), 0xdead_beef_0000_0001), Zxid(zxid + 2))
}

fn image(file: &SnapshotFile) -> Vec<u8> {
    let mut bytes = Vec::new();
    file.image().read_to_end(&mut bytes).unwrap();
    assert_eq!(bytes.len() as u64, file.image_len());
    bytes
}

#[test]
fn every_shape_comes_back() {
    for (digest, last_zxid) in [(true, true), (true, false), (false, true), (false, false)] {
        let disk = MemDisk::new();
        let info =
            write(&disk, 5, SnapshotOptions { digest, last_zxid, ..SnapshotOptions::default() })
                .unwrap();
        assert_eq!(disk.names(), ["snapshot.5"]);
        let tail = 13 + 33 * usize::from(digest) + 21 * usize::from(last_zxid);
        assert_eq!(info.len, (16 + IMAGE.len() + tail) as u64);
        let file = SnapshotFile::open(&disk, "snapshot.5").unwrap();
        assert_eq!(image(&file), IMAGE);
        let want = ZxidDigest::new(Zxid(6), 0xdead_beef_0000_0001);
        assert_eq!(file.digest, digest.then_some(want));
        assert_eq!(file.last_zxid, last_zxid.then_some(Zxid(7)));
    }
}

#[test]
fn every_flipped_bit_and_every_cut_is_seen() {
    let disk = MemDisk::new();
    write(&disk, 5, SnapshotOptions::default()).unwrap();
    let good = disk.bytes("snapshot.5").unwrap();
    for bit in 0..good.len() * 8 {
        let mut bad = good.clone();
        bad[bit / 8] ^= 1 << (bit % 8);
        disk.put("snapshot.5", &bad);
        assert!(SnapshotFile::open(&disk, "snapshot.5").is_err(), "bit {bit}");
    }
    // A cut at the end of an inner seal is a whole file of an older version.
    let whole = [good.len() - 21, good.len() - 21 - 33];
    for cut in 0..good.len() {
        disk.put("snapshot.5", &good[..cut]);
        let opened = SnapshotFile::open(&disk, "snapshot.5");
        assert_eq!(opened.is_ok(), whole.contains(&cut), "cut {cut}");
    }
}

#[test]
fn packed_files_come_back_and_every_flipped_bit_and_cut_is_seen() {
    for (compression, name) in
        [(Compression::Gzip, "snapshot.5.gz"), (Compression::Snappy, "snapshot.5.snappy")]
    {
        let disk = MemDisk::new();
        let options = SnapshotOptions { compression, ..SnapshotOptions::default() };
        let info = write(&disk, 5, options).unwrap();
        assert_eq!(disk.names(), [name]);
        let good = disk.bytes(name).unwrap();
        assert_eq!(info.len, good.len() as u64);
        let file = SnapshotFile::open(&disk, name).unwrap();
        assert_eq!((&*image(&file), file.last_zxid), (IMAGE, Some(Zxid(7))));
        assert_eq!(file.digest.map(|digest| digest.zxid), Some(Zxid(6)));
        let mut harmless = 0;
        for bit in 0..good.len() * 8 {
            let mut bad = good.clone();
            bad[bit / 8] ^= 1 << (bit % 8);
            disk.put(name, &bad);
            if let Ok(file) = SnapshotFile::open(&disk, name) {
                assert_eq!((&*image(&file), file.last_zxid), (IMAGE, Some(Zxid(7))), "bit {bit}");
                harmless += 1;
            }
        }
        // A stream has several spellings: gzip's header has a time and notes on who packed it, and in
        // a run of equal bytes each is a copy of any before. What is inside is the same.
        assert!(harmless < good.len(), "{name}: {harmless} flipped bits were not seen");
        for cut in 0..good.len() {
            disk.put(name, &good[..cut]);
            assert!(SnapshotFile::open(&disk, name).is_err(), "{name}, cut {cut}");
        }
        // Under another name it is not what it says.
        disk.put("snapshot.5", &good);
        let err = SnapshotFile::open(&disk, "snapshot.5").err().unwrap();
        assert!(matches!(err, SnapshotError::BadHeader), "{err}");
    }
}

#[test]
fn a_snapshot_that_is_given_up_leaves_nothing() {
    let disk = MemDisk::new();
    let mut w =
        SnapshotWriter::begin(Arc::new(disk.clone()), Zxid(5), SnapshotOptions::default()).unwrap();
    w.chunk(&vec![7; 3 << 20]).unwrap();
    assert_eq!(disk.names(), [".snapshot.5.tmp"]);
    assert!(crate::snapshot_zxid(".snapshot.5.tmp").is_none());
    drop(w);
    assert_eq!(disk.names(), [] as [&str; 0]);
}

#[test]
fn no_failure_leaves_a_file_with_a_snapshots_name_that_is_not_valid() {
    for op in 0.. {
        let disk = MemDisk::new();
        write(
            &disk,
            5,
            SnapshotOptions { digest: false, last_zxid: false, ..SnapshotOptions::default() },
        )
        .unwrap();
        let before = disk.bytes("snapshot.5").unwrap();
        let first = disk.ops();
        disk.fault_at(first + op, Fault::Fail(FaultKind::NoSpace));
        let done = write(&disk, 5, SnapshotOptions::default()).is_ok();
        assert!(SnapshotFile::open(&disk, "snapshot.5").is_ok(), "op {op}");
        // Only the directory's sync comes after the file has its name.
        let replaced = disk.bytes("snapshot.5").unwrap() != before;
        assert!(replaced || !done);
        if done && disk.ops() <= first + op {
            break;
        }
    }
}

#[test]
fn power_loss_anywhere_leaves_the_old_snapshot_or_the_new_one() {
    for seed in 0..30 {
        for op in 0.. {
            let disk = MemDisk::new();
            write(
                &disk,
                5,
                SnapshotOptions { digest: false, last_zxid: false, ..SnapshotOptions::default() },
            )
            .unwrap();
            disk.fault_at(disk.ops() + op, Fault::PowerLoss);
            let done = write(&disk, 5, SnapshotOptions::default()).is_ok();
            disk.crash(seed * 65_537 + op);
            let file = SnapshotFile::open(&disk, "snapshot.5").unwrap();
            assert_eq!(image(&file), IMAGE);
            assert!(!done || file.last_zxid.is_some(), "seed {seed} op {op}");
            if done {
                break;
            }
        }
    }
}

#[test]
fn what_a_crash_left_unfinished_is_removed() {
    let disk = MemDisk::new();
    for name in [".snapshot.5.tmp", "snapshot.5", "snapshot.6.tmp", ".snapshot.tmp"] {
        disk.put(name, b"");
    }
    assert_eq!(remove_unfinished(&disk).unwrap(), [".snapshot.5.tmp"]);
    assert_eq!(disk.names().len(), 3);
}

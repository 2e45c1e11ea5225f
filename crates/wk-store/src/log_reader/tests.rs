//! Reading a log file: cuts, flipped bits, zeros, blank files, long records.

use super::*;
use crate::mem_disk::MemDisk;
use crate::testing::{append, log_on, read_logs};

/// A log of `n` records of equal length, and where each begins.
fn log_of(n: i64) -> (Vec<u8>, Vec<usize>) {
    let disk = MemDisk::new();
    let mut log = log_on(&disk, 0);
    append(&mut log, 1..=n);
    log.sync().unwrap();
    let len = usize::try_from(log.stats().bytes).unwrap() / usize::try_from(n).unwrap();
    let starts = (0..=usize::try_from(n).unwrap()).map(|i| frame::HEADER_LEN + i * len).collect();
    let mut bytes = disk.bytes("log.1").unwrap();
    bytes.truncate(frame::HEADER_LEN + 3000);
    (bytes, starts)
}

fn read(bytes: &[u8]) -> (Vec<i64>, Vec<BadPlace>) {
    let disk = MemDisk::new();
    disk.put("log.1", bytes);
    read_logs(&disk)
}

#[test]
fn a_file_cut_at_any_byte_reads_up_to_the_cut() {
    let (bytes, starts) = log_of(3);
    for cut in frame::HEADER_LEN..=bytes.len() {
        let (zxids, bad) = read(&bytes[..cut]);
        let whole = starts[1..].iter().filter(|end| **end <= cut).count();
        assert_eq!(zxids.len(), whole, "cut {cut}");
        for place in &bad {
            assert_eq!((place.offset, place.follower), (starts[whole] as u64, None), "cut {cut}");
        }
        // Zeros alone are no damage: Apache's server leaves such ends behind.
        let rest = &bytes[starts[whole].min(cut)..cut];
        assert_eq!(bad.is_empty(), rest.iter().all(|b| *b == 0), "cut {cut}");
    }
}

#[test]
fn every_flipped_bit_in_a_record_is_seen() {
    let (bytes, starts) = log_of(4);
    for bit in frame::HEADER_LEN * 8..starts[4] * 8 {
        let mut damaged = bytes.clone();
        damaged[bit / 8] ^= 1 << (bit % 8);
        let (zxids, bad) = read(&damaged);
        let hit = starts.iter().rposition(|s| *s <= bit / 8).unwrap();
        assert_eq!(zxids.len(), hit, "bit {bit}");
        let [place] = bad[..] else { panic!("bit {bit}: {bad:?}") };
        assert_eq!(place.offset, starts[hit] as u64, "bit {bit}");
        let follower = (hit < 3).then(|| starts[hit + 1] as u64);
        assert_eq!(place.follower, follower, "bit {bit}");
    }
}

#[test]
fn a_flipped_bit_in_the_padding_is_seen_too() {
    let (bytes, starts) = log_of(2);
    for at in starts[2]..bytes.len() {
        let mut damaged = bytes.clone();
        damaged[at] = 1;
        let (zxids, bad) = read(&damaged);
        assert_eq!(zxids, [1, 2]);
        assert_eq!((bad[0].offset, bad[0].follower), (starts[2] as u64, None));
    }
}

#[test]
fn zeros_over_any_record_but_the_last_are_seen() {
    let (bytes, starts) = log_of(3);
    for i in 0..3 {
        let mut damaged = bytes.clone();
        damaged[starts[i]..starts[i + 1]].fill(0);
        let (zxids, bad) = read(&damaged);
        assert_eq!(zxids.len(), i);
        let follower = starts.get(i + 1).filter(|_| i < 2).map(|s| *s as u64);
        let want = follower.map(|_| BadPlace {
            offset: starts[i] as u64,
            what: LogDamage::Zeros,
            follower,
        });
        assert_eq!(bad.first().copied(), want);
    }
}

#[test]
fn a_damaged_header_is_refused_and_a_blank_file_is_not_a_log() {
    let (bytes, _) = log_of(1);
    for bit in 0..64 {
        let mut damaged = bytes.clone();
        damaged[bit / 8] ^= 1 << (bit % 8);
        let disk = MemDisk::new();
        disk.put("log.1", &damaged);
        let opened = LogReader::open(&disk, Zxid(1));
        assert!(matches!(opened, Err(StoreError::BadLogHeader { .. })), "bit {bit}");
    }
    for blank in [&b""[..], b"ZKL", &frame::HEADER[..15], &[0; 16], &vec![0; 3_000_000]] {
        let disk = MemDisk::new();
        disk.put("log.1", blank);
        assert!(matches!(LogReader::open(&disk, Zxid(1)), Ok(Head::Blank)), "{}", blank.len());
    }
}

#[test]
fn records_longer_than_the_window_are_read() {
    let disk = MemDisk::new();
    let mut log = log_on(&disk, 0);
    for (zxid, len) in [(1, 10), (2, 3 * READ_AHEAD), (3, READ_AHEAD - 30), (4, 10)] {
        log.append(Zxid(zxid), &crate::testing::record(zxid, len));
    }
    log.sync().unwrap();
    assert_eq!(read_logs(&disk), (vec![1, 2, 3, 4], vec![]));
}

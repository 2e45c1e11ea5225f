//! What is found in good and damaged directories, and what a repair leaves.

use std::path::Path;
use std::sync::Arc;

use super::*;
use crate::disk::OsDisk;
use crate::mem_disk::MemDisk;
use crate::recovery::tests::history::{History, dirs};
use crate::recovery::write_snapshot;
use crate::testing::options as log_options;
use crate::txn_log::TxnLog;

/// snapshot.0, txns 1 to 20, snapshot.12 and two logs, the second from 13 on.
fn files() -> (MemDisk, History) {
    let disk = MemDisk::new();
    let history = History::new(20);
    recover(&dirs(&disk), &RecoverOptions::default()).unwrap();
    for range in [1..=12, 13..=20] {
        if *range.start() == 13 {
            let mut tree = history.tree(Zxid(12));
            write_snapshot(Arc::new(disk.clone()), &mut tree, SnapshotOptions::default()).unwrap();
        }
        let mut log = TxnLog::new(Arc::new(disk.clone()), Zxid(range.start() - 1), log_options());
        history.append(&mut log, range);
        log.sync().unwrap();
    }
    (disk, history)
}

fn checked(disk: &MemDisk) -> Fsck {
    let before: Vec<_> = disk.names().iter().map(|name| disk.bytes(name)).collect();
    let found = check(&dirs(disk), &mut |_, _, _| {}).unwrap();
    let after: Vec<_> = disk.names().iter().map(|name| disk.bytes(name)).collect();
    assert!(before == after, "a check changes nothing");
    found
}

/// The same files in a real directory.
fn real(disk: &MemDisk, dir: &Path) -> Dirs {
    for name in disk.names() {
        std::fs::write(dir.join(&name), disk.bytes(&name).unwrap()).unwrap();
    }
    Dirs::same(Arc::new(OsDisk::new(dir)))
}

#[test]
fn a_sound_directory_is_clean_and_counted() {
    let (disk, _) = files();
    let found = checked(&disk);
    assert!(found.is_clean(), "{found:?}");
    assert_eq!(found.last_zxid, Some(Zxid(20)));
    let logs: Vec<_> = found.logs.iter().map(|l| (l.name.as_str(), l.txns, l.last)).collect();
    assert_eq!(logs, [("log.1", 12, Some(Zxid(12))), ("log.d", 8, Some(Zxid(20)))]);
    let names: Vec<_> = found.snapshots.iter().map(|s| s.name.as_str()).collect();
    assert_eq!(names, ["snapshot.0", "snapshot.c"]);
}

#[test]
fn files_that_only_look_like_logs_and_snapshots_disturb_nothing() {
    let (disk, _) = files();
    for other in ["log.old", "log.1.fixed", "snapshot.old", "logs.tar"] {
        disk.put(other, b"somebody's");
    }
    let found = checked(&disk);
    assert!(found.is_clean(), "{found:?}");
    assert_eq!((found.logs.len(), found.snapshots.len()), (2, 2));
    assert_eq!(found.last_zxid, Some(Zxid(20)));
}

#[test]
fn every_flipped_bit_is_found_and_a_repair_leaves_a_clean_directory() {
    let (disk, history) = files();
    // Of a log's header, Apache's reader and ours look at no more than this.
    let unseen = |name: &str, at: usize| log_zxid(name).is_some() && (8..16).contains(&at);
    let sound = checked(&disk);
    let ends = sound.logs.iter().map(|log| (log.name.clone(), log.end));
    let ends = ends.chain(sound.snapshots.iter().map(|s| (s.name.clone(), s.len)));
    let mut at = 0;
    for (name, end) in &ends.collect::<Vec<_>>() {
        let bytes = (0..usize::try_from(*end).unwrap()).filter(|byte| !unseen(name, *byte));
        for byte in bytes.step_by(3) {
            at += 1;
            disk.flip(name, byte, u8::try_from(byte % 8).unwrap());
            let found = checked(&disk);
            assert!(!found.is_clean(), "byte {byte} of {name}: {found:?}");
            if at % 23 == 0 && found.hopeless.is_none() {
                let place = format!("byte {byte} of {name}");
                repaired(&disk, &history, &found, &place);
            }
            disk.flip(name, byte, u8::try_from(byte % 8).unwrap());
        }
    }
    assert!(at > 1_000);
    assert!(checked(&disk).is_clean());
}

/// Repairs a copy: it is as the check said, it is clean, and what was taken is in the backup.
fn repaired(disk: &MemDisk, history: &History, found: &Fsck, place: &str) {
    let dir = tempfile::tempdir().unwrap();
    let (data, backup) = (dir.path().join("version-2"), dir.path().join("backup"));
    std::fs::create_dir(&data).unwrap();
    let dirs = real(disk, &data);
    repair(&dirs, found, &backup).unwrap();
    let again = check(&dirs, &mut |_, _, _| {}).unwrap();
    assert!(again.is_clean(), "{place}: {found:?}, then {again:?}");
    assert_eq!(again.last_zxid, found.last_zxid, "{place}");
    let last = found.last_zxid.unwrap();
    let tree = recover(&dirs, &options()).unwrap().tree;
    assert_eq!(tree.digest(), history.digest(last), "{place}");
    let kept = u64::try_from(last.0).unwrap();
    let lost = &found.lost;
    assert!((20 - lost.unreadable..=20).contains(&(kept + lost.txns)), "{place}: {found:?}");
    for step in &found.steps {
        let file = step.file();
        assert_eq!(std::fs::read(backup.join(file)).unwrap(), disk.bytes(file).unwrap());
    }
}

#[test]
fn damage_in_what_the_snapshot_has_costs_nothing() {
    let (disk, history) = files();
    let mut tree = history.tree(Zxid(18));
    write_snapshot(Arc::new(disk.clone()), &mut tree, SnapshotOptions::default()).unwrap();
    // A record of 13 to 15.
    disk.flip("log.d", 200, 1);
    let found = checked(&disk);
    assert!(!found.is_clean() && found.refused.is_none(), "{found:?}");
    assert_eq!((found.last_zxid, &found.lost), (Some(Zxid(20)), &Lost::default()));
    let only_snapshots =
        |s: &Step| matches!(s, Step::MoveAway { file, .. } if file.starts_with("snapshot"));
    assert!(found.steps.iter().all(only_snapshots), "{found:?}");
}

#[test]
fn a_file_with_two_steps_is_backed_up_as_it_was() {
    let (disk, _) = files();
    disk.flip("log.d", 1, 1);
    disk.flip("log.d", 500, 1);
    let found = checked(&disk);
    let of_log: Vec<_> = found.steps.iter().filter(|step| step.file() == "log.d").collect();
    assert!(matches!(of_log[..], [Step::Header { .. }, Step::Cut { .. }]), "{found:?}");
    let dir = tempfile::tempdir().unwrap();
    let (data, backup) = (dir.path().join("version-2"), dir.path().join("backup"));
    std::fs::create_dir(&data).unwrap();
    repair(&real(&disk, &data), &found, &backup).unwrap();
    assert!(std::fs::read(backup.join("log.d")).ok() == disk.bytes("log.d"));
}

#[test]
fn a_gap_and_a_log_that_is_none_are_said_with_what_is_lost() {
    let (disk, _) = files();
    disk.remove("log.1").unwrap();
    disk.remove("snapshot.c").unwrap();
    let found = checked(&disk);
    assert!(found.refused.as_ref().is_some_and(|why| why.contains("missing")), "{found:?}");
    assert_eq!(found.last_zxid, Some(Zxid(0)));
    let lost = Lost { txns: 8, first: Some(Zxid(13)), last: Some(Zxid(20)), unreadable: 0 };
    assert_eq!(found.lost, lost);
    assert!(matches!(&found.steps[..], [Step::MoveAway { file, .. }] if file == "log.d"));
}

#[test]
fn without_any_snapshot_there_is_no_hope() {
    let (disk, _) = files();
    for name in ["snapshot.0", "snapshot.c"] {
        disk.flip(name, 100, 1);
    }
    let found = checked(&disk);
    assert!(found.hopeless.is_some() && found.steps.is_empty() && !found.is_clean());
    assert_eq!(found.snapshots.iter().filter(|s| s.problem.is_some()).count(), 2);
}

//! Takes away snapshots and logs that no recovery will want (`PurgeTxnLog`, 3.9).

use tracing::{info, warn};
use wk_proto::Zxid;
use wk_proto::sabotage::{Sabotage, is_on};

use crate::dirs::Dirs;
use crate::error::{Context, StoreError};
use crate::names::{log_zxid, snapshot_zxid};
use crate::snapshot::SnapshotFile;

/// What a purge did.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PurgeReport {
    /// Snapshots that stay, newest first. Files that are not valid do not count as kept.
    pub kept: Vec<Zxid>,
    /// Names of removed files.
    pub removed: Vec<String>,
}

/// Keeps the `keep` newest valid snapshots and every log that recovering from the oldest of them
/// may need, and removes older snapshots and logs.
///
/// Validity is by seals, every byte read: Apache's look at the last five bytes would count a
/// damaged snapshot, and purging by that may leave nothing to recover from. With no valid snapshot
/// nothing is removed.
pub fn purge(dirs: &Dirs, keep: usize) -> Result<PurgeReport, StoreError> {
    let disk = &*dirs.snapshots;
    let mut snapshots = list(disk, snapshot_zxid)?;
    let mut report = PurgeReport::default();
    for (zxid, name) in snapshots.iter().rev() {
        if report.kept.len() >= keep.max(1) {
            break;
        }
        match SnapshotFile::open(disk, name) {
            Ok(_) => report.kept.push(*zxid),
            Err(err) => warn!(path = %disk.path(name).display(), %err, "invalid snapshot"),
        }
    }
    let Some(oldest) = report.kept.last().copied() else { return Ok(report) };
    snapshots.retain(|(zxid, _)| *zxid < oldest);
    let mut logs = list(&*dirs.logs, log_zxid)?;
    // The newest log that begins at or before the snapshot may reach beyond it.
    let mut first_kept = logs.iter().rev().map(|(zxid, _)| *zxid).find(|zxid| *zxid <= oldest);
    // Broken on purpose, for the simulator to find: it is taken for what the snapshot has anyway.
    if is_on(Sabotage::PurgeTooMuch) {
        first_kept = Some(Zxid(oldest.0 + 1));
    }
    logs.retain(|(zxid, _)| Some(*zxid) < first_kept);
    // What is kept must be durable before anything goes.
    disk.sync_dir().context(|| disk.path(""), "sync")?;
    // Logs first: an old snapshot without its logs is worth less than the reverse, and a crash in
    // between leaves snapshots that the next purge removes.
    for (disk, files) in [(&*dirs.logs, logs), (disk, snapshots)] {
        for (_, name) in files {
            let path = || disk.path(&name);
            disk.remove(&name).context(path, "remove")?;
            info!(path = %disk.path(&name).display(), "purged");
            report.removed.push(name);
        }
    }
    if !report.removed.is_empty() {
        dirs.logs.sync_dir().context(|| dirs.logs.path(""), "sync")?;
        disk.sync_dir().context(|| disk.path(""), "sync")?;
    }
    Ok(report)
}

/// Files with the kind of name that `zxid_of` reads, oldest first.
pub(crate) fn list(
    disk: &dyn crate::disk::Disk,
    zxid_of: fn(&str) -> Option<Zxid>,
) -> Result<Vec<(Zxid, String)>, StoreError> {
    let entries = disk.list().context(|| disk.path(""), "list")?;
    let zxids = entries.into_iter().filter_map(|e| Some((zxid_of(&e.name)?, e.name)));
    let mut files: Vec<_> = zxids.collect();
    files.sort_unstable();
    Ok(files)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::mem_disk::MemDisk;
    use crate::snapshot::{SnapshotOptions, SnapshotWriter, ZxidDigest};

    fn snapshot(disk: &MemDisk, zxid: i64) {
        let options = SnapshotOptions::default();
        let w = SnapshotWriter::begin(Arc::new(disk.clone()), Zxid(zxid), options).unwrap();
        w.finish(ZxidDigest::new(Zxid(zxid), 1), Zxid(zxid)).unwrap();
    }

    fn purged(snapshots: &[i64], logs: &[i64], bad: &[i64], keep: usize) -> Vec<String> {
        let disk = MemDisk::new();
        for zxid in snapshots {
            snapshot(&disk, *zxid);
        }
        for zxid in bad {
            disk.put(&format!("snapshot.{zxid:x}"), b"longer than ten\0\0\0\x01/");
        }
        for zxid in logs {
            disk.put(&format!("log.{zxid:x}"), b"");
        }
        for other in ["currentEpoch", "myid", "logs.old"] {
            disk.put(other, b"");
        }
        let mut removed = purge(&Dirs::same(Arc::new(disk.clone())), keep).unwrap().removed;
        removed.sort_unstable();
        assert!(removed.iter().all(|name| disk.bytes(name).is_none()));
        assert!(disk.bytes("currentEpoch").is_some() && disk.bytes("logs.old").is_some());
        removed
    }

    #[test]
    fn the_logs_of_kept_snapshots_stay() {
        assert_eq!(
            purged(&[0, 5, 9, 12], &[1, 4, 6, 10, 13], &[], 2),
            ["log.1", "log.4", "snapshot.0", "snapshot.5"],
            "log.6 may reach beyond snapshot.9"
        );
        assert_eq!(purged(&[0, 5], &[1, 6], &[], 3), [] as [&str; 0]);
        assert_eq!(purged(&[4, 5], &[1, 6], &[], 1), ["snapshot.4"], "log.1 may hold 5");
        assert_eq!(purged(&[4, 5], &[1, 5, 6], &[], 1), ["log.1", "snapshot.4"]);
    }

    #[test]
    fn invalid_snapshots_do_not_count_and_go_when_old() {
        assert_eq!(
            purged(&[3, 6], &[1, 4, 7], &[2, 5, 8], 2),
            ["snapshot.2"],
            "log.1 holds what comes after snapshot.3"
        );
        assert_eq!(purged(&[], &[1, 4], &[2, 5], 1), [] as [&str; 0]);
    }
}

//! What a server does before it serves: the newest valid snapshot, and the logs replayed over it.
//!
//! The rules follow `FileTxnSnapLog.restore` (3.9) and are stricter in two places, where Apache's
//! server would start with txns missing: a whole record behind a damaged one is damage, not an
//! unfinished write; and the history has no gaps.

use std::io::Read;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tracing::{info, warn};
use wk_proto::Zxid;
use wk_tree::image::Loader;
use wk_tree::{Tree, TreeOptions};

use crate::dirs::Dirs;
use crate::disk::Disk;
use crate::error::{Context, StoreError};
use crate::log_reader::{Head, LogReader, Next};
use crate::names::{is_log_copy, log_zxid, snapshot_zxid};
use crate::purge::list;
use crate::replay::Replay;
use crate::snapshot::{
    SnapshotError, SnapshotFile, SnapshotInfo, SnapshotOptions, SnapshotWriter, ZxidDigest,
    is_packed, remove_unfinished,
};

/// How a server recovers.
#[derive(Clone, Debug, Default)]
pub struct RecoverOptions {
    /// What kind of tree it has.
    pub tree: TreeOptions,
    /// Which parts its snapshots have.
    pub snapshot: SnapshotOptions,
    /// Are logs without any snapshot taken for the whole history (`snapshot.trust.empty`)?
    pub trust_empty: bool,
}

/// What recovering gave.
#[derive(Debug)]
pub struct Recovered {
    /// The state after the last txn.
    pub tree: Tree,
    /// How it came about.
    pub report: RecoveryReport,
}

/// What recovering found and did.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RecoveryReport {
    /// The snapshot that was loaded.
    pub snapshot: Option<SnapshotInfo>,
    /// Newer snapshots that were not valid, and why, newest first.
    pub rejected_snapshots: Vec<(String, String)>,
    /// Txns applied from the logs.
    pub txns_replayed: u64,
    /// Whole records that were passed over, for the snapshot has them.
    pub txns_skipped: u64,
    /// Damaged places in logs that were passed over, for the snapshot has what stood there.
    pub passed_over: u64,
    /// The unfinished end that was cut off the newest log.
    pub cut: Option<Cut>,
    /// Older logs whose unfinished end was left alone: the next file goes on where it stops.
    pub unfinished_logs: Vec<String>,
    /// Newest logs that held not even a header and were removed.
    pub removed_logs: Vec<String>,
    /// Txns after which the tree's digest was not what snapshot or record said.
    pub digest_mismatches: u64,
    /// Ephemerals of sessions that are no more, which were dropped.
    pub orphaned_ephemerals: Vec<String>,
    /// The snapshot that was written because there was none.
    pub wrote_snapshot: Option<SnapshotInfo>,
    /// The last txn.
    pub last_zxid: Zxid,
    /// Time that loading the snapshot took.
    pub snapshot_time: Duration,
    /// Time that replaying took.
    pub replay_time: Duration,
}

/// An unfinished end that was cut off a log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cut {
    /// The log file.
    pub file: String,
    /// Its length now.
    pub offset: u64,
    /// The last txn that is whole.
    pub last_good: Zxid,
    /// What stood there had been synced once: the cut took acknowledged txns, and something else
    /// than a crash damaged them.
    pub was_synced: bool,
}

/// How many snapshots are tried (`FileSnap.deserialize`, 3.9).
const SNAPSHOTS_TRIED_MAX: usize = 100;
/// How much of an image is handed to the tree at once.
const CHUNK: usize = 1 << 20;

/// Brings back the state that the files hold, and leaves them ready for a log that goes on.
///
/// # Errors
/// [`StoreError`]: nothing was lost that was there before, and the server must not start.
pub fn recover(dirs: &Dirs, options: &RecoverOptions) -> Result<Recovered, StoreError> {
    dirs.check_contents()?;
    let mut report = RecoveryReport::default();
    for name in remove_unfinished(&*dirs.snapshots)? {
        info!(path = %dirs.snapshots.path(&name).display(), "removed unfinished snapshot");
    }
    let logs = usable_logs(&*dirs.logs, &mut report)?;
    let began = Instant::now();
    let loaded = load_newest(&*dirs.snapshots, &options.tree, &mut report)?;
    report.snapshot_time = began.elapsed();
    let without_snapshot = loaded.is_none();
    if without_snapshot && !options.trust_empty && has_records(&*dirs.logs, &logs)? {
        let rejected = report.rejected_snapshots.first();
        let unfinished =
            rejected.map_or_else(String::new, |(name, why)| format!(" ({name}: {why})"));
        return Err(StoreError::SnapshotMissing { path: dirs.snapshots.path(""), unfinished });
    }
    let (mut tree, digest) = loaded.unwrap_or_else(|| (Tree::new(options.tree.clone()), None));

    let began = Instant::now();
    let mut replay = Replay::new(&*dirs.logs, &mut tree, digest, &mut report);
    replay.run(&logs, without_snapshot)?;
    report.replay_time = began.elapsed();
    report.orphaned_ephemerals = tree.remove_orphaned_ephemerals();
    report.last_zxid = tree.last_zxid();
    if without_snapshot {
        // Before any log is written, or the next start would find logs and no snapshot.
        let info = write_snapshot(dirs.snapshots.clone(), &mut tree, options.snapshot)?;
        report.wrote_snapshot = Some(info);
    }
    info!(
        zxid = %report.last_zxid,
        snapshot = report.snapshot.as_ref().map(|s| tracing::field::display(s.zxid)),
        txns = report.txns_replayed,
        elapsed_ms = (report.snapshot_time + report.replay_time).as_millis(),
        "recovered"
    );
    Ok(Recovered { tree, report })
}

/// Writes a whole snapshot of `tree` while nothing else happens to it.
pub fn write_snapshot(
    disk: Arc<dyn Disk>,
    tree: &mut Tree,
    options: SnapshotOptions,
) -> Result<SnapshotInfo, StoreError> {
    let mut writer = SnapshotWriter::begin(disk, tree.last_zxid(), options)?;
    tree.image_begin_still();
    let mut chunk = Vec::with_capacity(CHUNK);
    loop {
        let more = tree.image_next(&mut chunk, CHUNK);
        writer.chunk(&chunk)?;
        chunk.clear();
        if !more {
            let digest = ZxidDigest::new(tree.last_zxid(), tree.digest());
            return writer.finish(digest, tree.last_zxid());
        }
    }
}

/// The logs' zxids, oldest first, without newest files to which no record was ever written: a
/// crash left those between their creation and their first sync.
fn usable_logs(disk: &dyn Disk, report: &mut RecoveryReport) -> Result<Vec<Zxid>, StoreError> {
    let entries = disk.list().context(|| disk.path(""), "list")?;
    for copy in entries.iter().filter(|entry| is_log_copy(&entry.name)) {
        // Apache's server would read it for the log that it is named after.
        warn!(path = %disk.path(&copy.name).display(), "a copy of a txn log is not read");
    }
    let mut logs = list(disk, log_zxid)?;
    while let Some((first, name)) = logs.last()
        && matches!(LogReader::open(disk, *first)?, Head::Blank)
    {
        let path = disk.path(name);
        warn!(path = %path.display(), "removed an empty txn log");
        let removed = disk.remove(name).and_then(|()| disk.sync_dir());
        removed.map_err(|source| StoreError::Io { path, doing: "remove empty txn log", source })?;
        report.removed_logs.extend(logs.pop().map(|(_, name)| name));
    }
    Ok(logs.into_iter().map(|(first, _)| first).collect())
}

fn has_records(disk: &dyn Disk, logs: &[Zxid]) -> Result<bool, StoreError> {
    for first in logs {
        if let Head::Log(mut reader) = LogReader::open(disk, *first)?
            && !matches!(reader.next(Zxid::ZERO)?, Next::End)
        {
            return Ok(true);
        }
    }
    Ok(false)
}

/// Loads the newest snapshot that is valid. `None` when there is none, or only such as never were
/// finished (Apache's server leaves those behind).
fn load_newest(
    disk: &dyn Disk,
    options: &TreeOptions,
    report: &mut RecoveryReport,
) -> Result<Option<(Tree, Option<ZxidDigest>)>, StoreError> {
    let mut corrupt = false;
    for (zxid, name) in list(disk, snapshot_zxid)?.into_iter().rev().take(SNAPSHOTS_TRIED_MAX) {
        let err = match load_snapshot(disk, &name, options) {
            Ok((mut tree, file)) => {
                tree.set_last_zxid(zxid);
                report.snapshot = Some(SnapshotInfo { zxid, len: file.len() });
                // A digest from before the snapshot's own zxid says nothing about its content:
                // a new leader's first snapshot has one of the epoch before.
                let digest = file.digest.filter(|d| options.digest && d.zxid >= zxid);
                return Ok(Some((tree, digest)));
            }
            Err(err) => err,
        };
        warn!(path = %disk.path(&name).display(), %err, "snapshot not usable, trying an older one");
        // Apache leaves unfinished files behind; a packed one it takes for whole, and so must we.
        let is_left_behind = matches!(err, SnapshotError::Unfinished) && !is_packed(&name);
        corrupt |= !is_left_behind;
        report.rejected_snapshots.push((name, err.to_string()));
    }
    match report.rejected_snapshots.first() {
        Some((name, reason)) if corrupt => Err(StoreError::NoValidSnapshot {
            path: disk.path(""),
            tried: report.rejected_snapshots.len(),
            newest: format!("{name}: {reason}"),
        }),
        _ => Ok(None),
    }
}

/// A snapshot for looking at.
pub struct LoadedSnapshot {
    /// What is in it, which may be a little of everything while txns went on.
    pub tree: Tree,
    /// Its digest part.
    pub digest: Option<ZxidDigest>,
}

/// Loads a snapshot for looking at: TTL znodes are taken for such.
pub fn load_snapshot_file(disk: &dyn Disk, name: &str) -> Result<LoadedSnapshot, SnapshotError> {
    let options = TreeOptions { extended_types: true, ..TreeOptions::default() };
    let (tree, file) = load_snapshot(disk, name, &options)?;
    Ok(LoadedSnapshot { tree, digest: file.digest })
}

/// Loads a snapshot, every byte of which is checked.
pub(crate) fn load_snapshot(
    disk: &dyn Disk,
    name: &str,
    options: &TreeOptions,
) -> Result<(Tree, SnapshotFile), SnapshotError> {
    SnapshotFile::open(disk, name).and_then(|file| Ok((load_image(&file, options)?, file)))
}

fn load_image(file: &SnapshotFile, options: &TreeOptions) -> Result<Tree, SnapshotError> {
    let invalid = |err: wk_tree::image::LoadError| SnapshotError::Image(err.to_string());
    let mut loader = Loader::new(options.clone());
    let mut image = file.image();
    let mut window = Vec::new();
    loop {
        // A record longer than the window wants more of it each time.
        let more = (CHUNK.max(window.len())) as u64;
        let read = image.by_ref().take(more).read_to_end(&mut window)?;
        let fed = loader.feed(&window).map_err(invalid)?;
        window.drain(..fed.consumed);
        if fed.done && window.is_empty() && image.read(&mut [0])? == 0 {
            return loader.finish().map_err(invalid);
        }
        if fed.done {
            return Err(SnapshotError::Image("it goes on behind its end".into()));
        }
        if read == 0 {
            return Err(SnapshotError::Image("it ends too early".into()));
        }
    }
}

#[cfg(test)]
pub(crate) mod tests;

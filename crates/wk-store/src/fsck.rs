//! `fsck`: every checksum and digest of a server's files, what a start would make of them, and what
//! it takes to start again, with what that loses.
//!
//! Nothing here changes a file but [`repair`]. What a start would do is found by the server's own
//! recovery over an [`Overlay`], and the same finds the steps of a repair: what recovery refuses is
//! cut or moved away in the view until it no longer does.

use std::sync::Arc;

use wk_proto::Zxid;
use wk_proto::txn::Record;
use wk_tree::TreeOptions;

use crate::dirs::Dirs;
use crate::disk::Disk;
use crate::error::{LogDamage, StoreError};
use crate::frame;
use crate::log_reader::{Head, LogReader, Next};
use crate::names::{log_zxid, snapshot_zxid};
use crate::overlay::Overlay;
use crate::purge::list;
use crate::recovery::{RecoverOptions, load_snapshot, recover};
use crate::snapshot::SnapshotOptions;

mod repair;

pub use repair::repair;

/// What was found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Fsck {
    /// Snapshots, oldest first.
    pub snapshots: Vec<SnapshotCheck>,
    /// Logs, oldest first.
    pub logs: Vec<LogCheck>,
    /// The last txn that a start would have, or a start after the repair.
    pub last_zxid: Option<Zxid>,
    /// Why a start would be refused.
    pub refused: Option<String>,
    /// Why no repair helps: without a snapshot there is nothing to begin with.
    pub hopeless: Option<String>,
    /// What a repair does, in order.
    pub steps: Vec<Step>,
    /// What is in the files and would not be there after the repair.
    pub lost: Lost,
}

/// One snapshot.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SnapshotCheck {
    /// The file.
    pub name: String,
    /// Its length.
    pub len: u64,
    /// Znodes in it.
    pub znodes: usize,
    /// Sessions in it.
    pub sessions: usize,
    /// Why it cannot be used.
    pub problem: Option<String>,
    /// Digests, its own and those of the txns after it, that the tree did not have.
    pub digest_mismatches: u64,
    /// Why the logs do not go on from it.
    pub stuck: Option<String>,
}

/// One log.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LogCheck {
    /// The file.
    pub name: String,
    /// Its length.
    pub len: u64,
    /// Where the last whole record ends; what follows is padding, or bad.
    pub end: u64,
    /// Whole records.
    pub txns: u64,
    /// The first of them.
    pub first: Option<Zxid>,
    /// The last of them.
    pub last: Option<Zxid>,
    /// Places at which a record should begin and does not.
    pub bad: Vec<Bad>,
    /// The file is no log.
    pub problem: Option<String>,
    /// Its only bad place is its end, and the next log goes on from there: a crash left it so.
    pub continued: bool,
}

/// A bad place in a log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Bad {
    /// Where.
    pub offset: u64,
    /// What is there; or what kind of record cannot be read.
    pub what: String,
    /// The last whole txn before it.
    pub after: Zxid,
}

/// A step of a repair.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    /// A log whose records are whole gets the header that every log has.
    Header {
        /// The log.
        file: String,
    },
    /// A log ends at an offset from then on.
    Cut {
        /// The log.
        file: String,
        /// Where it ends then.
        offset: u64,
        /// Its length before.
        len: u64,
    },
    /// A file goes to the backup.
    MoveAway {
        /// The file.
        file: String,
        /// Why it is of no use.
        why: String,
    },
}

/// What a repair costs.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Lost {
    /// Whole txns.
    pub txns: u64,
    /// The first of them.
    pub first: Option<Zxid>,
    /// The last of them.
    pub last: Option<Zxid>,
    /// Places where unreadable ones were.
    pub unreadable: u64,
}

impl Step {
    /// The file that it is about.
    pub fn file(&self) -> &str {
        match self {
            Self::Header { file } | Self::Cut { file, .. } | Self::MoveAway { file, .. } => file,
        }
    }
}

impl Fsck {
    /// Is there nothing to complain of?
    pub fn is_clean(&self) -> bool {
        let sound = |s: &SnapshotCheck| {
            s.problem.is_none() && s.digest_mismatches == 0 && s.stuck.is_none()
        };
        let whole = |l: &LogCheck| l.problem.is_none() && (l.bad.is_empty() || l.continued);
        self.refused.is_none()
            && self.hopeless.is_none()
            && self.steps.is_empty()
            && self.snapshots.iter().all(sound)
            && self.logs.iter().all(whole)
    }
}

/// Is told of each file and of the bytes that were read: name, done, all.
pub type Progress<'a> = &'a mut dyn FnMut(&str, u64, u64);

/// Checks everything in `dirs` and changes nothing.
///
/// # Errors
/// [`StoreError`] when the files cannot be read at all; damage is no error.
pub fn check(dirs: &Dirs, progress: Progress<'_>) -> Result<Fsck, StoreError> {
    dirs.check_contents()?;
    let snapshots = list(&*dirs.snapshots, snapshot_zxid)?;
    let logs = list(&*dirs.logs, log_zxid)?;
    let bytes = |disk: &dyn Disk, prefix: &dyn Fn(&str) -> bool| {
        disk.list().map_or(0, |all| all.iter().filter(|e| prefix(&e.name)).map(|e| e.len).sum())
    };
    let total: u64 = bytes(&*dirs.snapshots, &|name| snapshot_zxid(name).is_some())
        + bytes(&*dirs.logs, &|name| log_zxid(name).is_some());
    let mut done = 0;
    let mut found = Fsck::default();
    for (_, name) in &logs {
        progress(name, done, total);
        let log = read_log(&*dirs.logs, name, 0, &mut |at| progress(name, done + at, total));
        let log = log?;
        done += log.len;
        found.logs.push(log);
    }
    mark_continued(&mut found.logs);
    for (zxid, name) in &snapshots {
        progress(name, done, total);
        let check = check_snapshot(dirs, *zxid, name, &snapshots, &logs);
        done += check.len;
        found.snapshots.push(check);
    }
    progress("what a start would do", total, total);
    plan(dirs, &mut found)?;
    Ok(found)
}

/// Reads a log from `from` on, over bad places too.
fn read_log(
    disk: &dyn Disk,
    name: &str,
    from: u64,
    progress: &mut dyn FnMut(u64),
) -> Result<LogCheck, StoreError> {
    const STEP: u64 = 4 << 20;
    let mut check = LogCheck { name: name.to_owned(), ..LogCheck::default() };
    let mut reader = match LogReader::open_named(disk, name) {
        Ok(Head::Log(reader)) => reader,
        Ok(Head::Blank) => return Ok(check),
        Err(err @ StoreError::BadLogHeader { .. }) => {
            check.problem = Some(err.to_string());
            LogReader::open_headless(disk, name)?
        }
        Err(err) => return Err(err),
    };
    check.len = reader.len();
    if from > frame::HEADER_LEN as u64 {
        reader.skip_to(from)?;
    }
    let mut told = from;
    loop {
        let last = check.last.unwrap_or(Zxid::ZERO);
        match reader.next(last)? {
            Next::Record { offset, body } => {
                let zxid = frame::zxid(body).unwrap_or(last);
                if let Err(err) = Record::decode(body) {
                    check.bad.push(Bad { offset, what: format!("no txn: {err}"), after: last });
                }
                check.txns += 1;
                check.end = offset + (frame::PREFIX_LEN + body.len() + 1) as u64;
                check.first.get_or_insert(zxid);
                check.last = Some(zxid.max(last));
                if offset > told + STEP {
                    told = offset;
                    progress(offset);
                }
            }
            Next::End => return Ok(check),
            Next::Bad(place) => {
                let what = place.what.to_string();
                check.bad.push(Bad { offset: place.offset, what, after: last });
                match place.follower {
                    Some(next) => reader.skip_to(next)?,
                    None => return Ok(check),
                }
            }
        }
    }
}

/// Ends that crashes of Apache's server leave: the next log begins with the next txn.
fn mark_continued(logs: &mut [LogCheck]) {
    for at in 1..logs.len() {
        let next = logs[at].first;
        let log = &mut logs[at - 1];
        let goes_on = |bad: &Bad, next: Zxid| {
            bad.after.next() == Some(next) || next.epoch() > bad.after.epoch()
        };
        log.continued = log.bad.len() == 1
            && log.bad.iter().zip(next).all(|(bad, next)| {
                goes_on(bad, next) && bad.what != LogDamage::Checksum.to_string()
            })
            && next.is_some();
    }
}

fn options() -> RecoverOptions {
    let tree = TreeOptions { extended_types: true, ..TreeOptions::default() };
    RecoverOptions { tree, snapshot: SnapshotOptions::default(), trust_empty: false }
}

fn viewed(snapshots: &Overlay, logs: &Overlay) -> Dirs {
    Dirs::views(Arc::new(snapshots.clone()), Arc::new(logs.clone()))
}

fn views(dirs: &Dirs) -> (Overlay, Overlay) {
    (Overlay::new(dirs.snapshots.clone()), Overlay::new(dirs.logs.clone()))
}

/// Seals, image, and the digests on the way to the next snapshot, from the oldest to the logs' end.
fn check_snapshot(
    dirs: &Dirs,
    zxid: Zxid,
    name: &str,
    snapshots: &[(Zxid, String)],
    logs: &[(Zxid, String)],
) -> SnapshotCheck {
    let disk = &*dirs.snapshots;
    let mut check = SnapshotCheck { name: name.to_owned(), ..SnapshotCheck::default() };
    check.len = disk.open(name).and_then(|file| file.len()).unwrap_or(0);
    let file = match load_snapshot(disk, name, &options().tree) {
        Ok((tree, file)) => {
            let counts = tree.counts();
            (check.znodes, check.sessions) = (counts.nodes, counts.sessions);
            file
        }
        Err(err) => {
            check.problem = Some(err.to_string());
            return check;
        }
    };
    let next = snapshots.iter().map(|(zxid, _)| *zxid).find(|other| *other > zxid);
    let until = file.digest.map_or(zxid, |digest| digest.zxid).max(next.unwrap_or(zxid));
    let (view, log_view) = views(dirs);
    snapshots.iter().filter(|(_, other)| other != name).for_each(|(_, other)| view.hide(other));
    if next.is_some() {
        // The rest of the way is the next snapshot's to check.
        logs.iter().filter(|(first, _)| *first > until).for_each(|(_, log)| log_view.hide(log));
    }
    match recover(&viewed(&view, &log_view), &options()) {
        Ok(recovered) => check.digest_mismatches = recovered.report.digest_mismatches,
        Err(err) => check.stuck = Some(err.to_string()),
    }
    check
}

/// What a start would do, and where it refuses, what lets it start.
fn plan(dirs: &Dirs, found: &mut Fsck) -> Result<(), StoreError> {
    let (snapshots, logs) = views(dirs);
    let mut moved: Vec<(String, String)> = Vec::new();
    let mut headed: Vec<String> = Vec::new();
    let bad = |s: &&SnapshotCheck| s.problem.is_some();
    let unusable: Vec<_> = found.snapshots.iter().filter(bad).cloned().collect();
    // Each turn ends a log earlier or takes one away.
    let recovered = loop {
        let err = match recover(&viewed(&snapshots.fork(), &logs), &options()) {
            Ok(recovered) => break Some(recovered),
            Err(err) => err,
        };
        found.refused.get_or_insert_with(|| err.to_string());
        let Some((file, offset)) = place_of(&err) else {
            found.hopeless = Some(err.to_string());
            break None;
        };
        let whole = |log: &LogCheck| log.name == file && log.txns > 0;
        if offset == 0 && found.logs.iter().any(whole) && !headed.contains(&file) {
            logs.give_header(&file);
            headed.push(file);
            continue;
        }
        if offset > frame::HEADER_LEN as u64 {
            logs.cut(&file, offset);
        } else {
            logs.hide(&file);
            moved.push((file.clone(), err.to_string()));
        }
        let broken = log_zxid(&file);
        for (first, name) in list(&logs, log_zxid)? {
            if Some(first) > broken {
                logs.hide(&name);
                moved.push((name, format!("it comes after the end of {file}")));
            }
        }
    };
    let Some(recovered) = recovered else { return Ok(()) };
    let base = recovered.report.snapshot.as_ref().map_or(Zxid::ZERO, |snapshot| snapshot.zxid);
    found.steps = headed.iter().map(|file| Step::Header { file: file.clone() }).collect();
    useless(found, base, &logs, &headed, &mut moved);
    let last = recovered.report.last_zxid;
    found.last_zxid = Some(last);
    for (file, offset) in logs.cuts() {
        let len = dirs.logs.open(&file).and_then(|f| f.len()).unwrap_or(offset);
        let gone = read_log(&*dirs.logs, &file, offset, &mut |_| {})?;
        count_lost(&mut found.lost, &gone, last);
        found.steps.push(Step::Cut { file, offset, len });
    }
    for (file, why) in moved {
        if let Some(log) = found.logs.iter().find(|log| log.name == file) {
            count_lost(&mut found.lost, log, last);
        }
        found.steps.push(Step::MoveAway { file, why });
    }
    for snapshot in unusable {
        let why = snapshot.problem.unwrap_or_default();
        found.steps.push(Step::MoveAway { file: snapshot.name, why });
    }
    Ok(())
}

/// What a start from the snapshot `base` has no use for, and nobody else either: older snapshots
/// that the logs do not lead on from, and older logs that are damaged.
fn useless(
    found: &Fsck,
    base: Zxid,
    logs: &Overlay,
    headed: &[String],
    moved: &mut Vec<(String, String)>,
) {
    for snapshot in &found.snapshots {
        if let (Some(zxid), Some(why)) = (snapshot_zxid(&snapshot.name), &snapshot.stuck)
            && zxid < base
            && headed.is_empty()
        {
            moved.push((snapshot.name.clone(), why.clone()));
        }
    }
    let firsts: Vec<_> = found.logs.iter().filter_map(|log| log_zxid(&log.name)).collect();
    let next = base.next().unwrap_or(base);
    let needed = firsts.iter().rev().copied().find(|first| *first <= next);
    for log in &found.logs {
        let damaged = log.problem.is_some() || !(log.bad.is_empty() || log.continued);
        let known = headed.contains(&log.name)
            || moved.iter().any(|(name, _)| *name == log.name)
            || logs.cuts().iter().any(|(name, _)| *name == log.name);
        if damaged && !known && log_zxid(&log.name) < needed {
            let why = log.problem.clone().or(log.bad.first().map(|bad| bad.what.clone()));
            moved.push((log.name.clone(), why.unwrap_or_default()));
        }
    }
}

/// Which log an error is about, and from where on it is of no use.
fn place_of(err: &StoreError) -> Option<(String, u64)> {
    let (path, offset) = match err {
        StoreError::CorruptLog { path, offset, .. }
        | StoreError::UnknownRecord { path, offset, .. }
        | StoreError::Gap { path, offset, .. } => (path, *offset),
        StoreError::BadLogHeader { path } => (path, 0),
        StoreError::DataDir { .. }
        | StoreError::Io { .. }
        | StoreError::NoValidSnapshot { .. }
        | StoreError::SnapshotMissing { .. }
        | StoreError::Failed => return None,
    };
    Some((path.file_name()?.to_str()?.to_owned(), offset))
}

fn count_lost(lost: &mut Lost, log: &LogCheck, kept: Zxid) {
    lost.unreadable += log.bad.len() as u64;
    let (Some(first), Some(last)) = (log.first, log.last.filter(|last| *last > kept)) else {
        return;
    };
    let first = if first > kept { first } else { kept.next().unwrap_or(first) };
    let known = u64::try_from(last.0.saturating_sub(first.0)).unwrap_or(0) + 1;
    lost.txns += known.min(log.txns);
    lost.first = Some(lost.first.map_or(first, |other| other.min(first)));
    lost.last = Some(lost.last.map_or(last, |other| other.max(last)));
}

#[cfg(test)]
mod tests;

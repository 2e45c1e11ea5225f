//! The txn log's writing end: group commit, and what happens when the disk fails.
//!
//! Appending only collects; [`TxnLog::sync`] writes everything collected with one write and makes
//! it durable with one sync (`FileTxnLog`, 3.9). A record that a failed write or sync may or may
//! not have put on the disk is never trusted to a second sync of the same file: after a failed
//! fsync the kernel holds such pages for clean, and the next fsync says "done" without them. The
//! log keeps these records, refuses further work, and [`TxnLog::heal`] writes them anew.

use std::sync::Arc;
use std::time::{Duration, Instant};

use tracing::{info, warn};
use wk_proto::Zxid;
use wk_proto::sabotage::{Sabotage, is_on};

use crate::disk::{Disk, DiskFile};
use crate::error::{Context, StoreError};
use crate::frame;
use crate::names::log_name;
use crate::sync_mark::{MarkWriter, SyncMark};

/// How the log is written. The defaults are Apache's.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TxnLogOptions {
    /// Bytes by which a file grows ahead of its records (`preAllocSize`); 0: not at all.
    pub preallocation: u64,
    /// A file with more bytes of records than this is the last batch's last
    /// (`txnLogSizeLimitInKb`). `None`: no limit.
    pub size_limit: Option<u64>,
    /// Is each batch synced (`forceSync`)? Without, a loss of power loses acknowledged txns.
    pub force_sync: bool,
    /// A sync that takes longer is warned of and counted (`fsync.warningthresholdms`).
    pub slow_sync: Duration,
}

impl Default for TxnLogOptions {
    fn default() -> Self {
        Self {
            preallocation: 64 << 20,
            size_limit: None,
            force_sync: true,
            slow_sync: Duration::from_secs(1),
        }
    }
}

/// What the log has done since it was opened.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TxnLogStats {
    /// Records made durable.
    pub records: u64,
    /// Bytes of these records with their framing.
    pub bytes: u64,
    /// Batches: one write and one sync each.
    pub batches: u64,
    /// Log files begun.
    pub files: u64,
    /// Time that all syncs of batches took.
    pub sync_total: Duration,
    /// Time that the last one took.
    pub sync_last: Duration,
    /// Time that the slowest took.
    pub sync_max: Duration,
    /// Syncs that took longer than the warning threshold.
    pub slow_syncs: u64,
    /// Failed writes and syncs.
    pub failures: u64,
    /// Bytes of records in the current file, its header included.
    pub file_bytes: u64,
}

/// When a file is within this many bytes of its end, it grows (`FilePadding`, 3.9).
const GROW_WITHIN: u64 = 4096;
/// A batch buffer above this size is given back after use.
const BATCH_KEEP: usize = 4 << 20;

/// The log, open for appending.
pub struct TxnLog {
    disk: Arc<dyn Disk>,
    options: TxnLogOptions,
    /// Framed records that are not durable yet, oldest first.
    pending: Vec<u8>,
    /// How `pending` splits into files; contiguous, none empty.
    segments: Vec<Segment>,
    /// The next append begins a new file.
    roll_next: bool,
    /// synced <= appended
    appended: Zxid,
    synced: Zxid,
    current: Option<Current>,
    failed: bool,
    mark: MarkWriter,
    stats: TxnLogStats,
}

/// Records that go to one file with one write.
struct Segment {
    new_file: bool,
    first: Zxid,
    last: Zxid,
    records: u64,
    /// Where in `pending` they end.
    end: usize,
}

/// The file that is being written.
struct Current {
    first: Zxid,
    file: Box<dyn DiskFile>,
    /// Bytes that are durable; 0 while the header is not. The next write goes here.
    synced: u64,
    /// The file's length: synced <= len.
    len: u64,
    /// Does the file still grow ahead? Not after its disk had no room for that.
    preallocates: bool,
}

impl TxnLog {
    /// The log of `disk`, whose last whole record has the zxid `last`. The first record appended
    /// begins a new file, which takes the place of an (empty) one of that name.
    pub fn new(disk: Arc<dyn Disk>, last: Zxid, options: TxnLogOptions) -> Self {
        Self {
            disk,
            options,
            pending: Vec::new(),
            segments: Vec::new(),
            roll_next: true,
            appended: last,
            synced: last,
            current: None,
            failed: false,
            mark: MarkWriter::default(),
            stats: TxnLogStats::default(),
        }
    }

    /// Adds a record: `TxnHeader`, txn and digest, already encoded. It is not on the disk before
    /// [`TxnLog::sync`] says so. Bounding what is appended between two syncs is the caller's part.
    pub fn append(&mut self, zxid: Zxid, record: &[u8]) {
        assert!(zxid > self.appended, "zxids ascend: {zxid} after {}", self.appended);
        assert_eq!(frame::zxid(record), Some(zxid), "the record's header has its zxid");
        self.appended = zxid;
        frame::encode(record, &mut self.pending);
        let end = self.pending.len();
        match self.segments.last_mut().filter(|_| !self.roll_next) {
            Some(segment) => {
                segment.last = zxid;
                segment.records += 1;
                segment.end = end;
            }
            None => self.segments.push(Segment {
                new_file: std::mem::take(&mut self.roll_next),
                first: zxid,
                last: zxid,
                records: 1,
                end,
            }),
        }
    }

    /// Lets the next record begin a new file, as a snapshot's start does.
    pub fn roll(&mut self) {
        self.roll_next = true;
    }

    /// The last zxid that is durable (with `force_sync` off: written).
    pub fn synced(&self) -> Zxid {
        self.synced
    }

    /// Is there anything that [`TxnLog::sync`] would write?
    pub fn is_pending(&self) -> bool {
        !self.segments.is_empty()
    }

    /// Has a write or a sync failed, and no [`TxnLog::heal`] succeeded since?
    pub fn is_failed(&self) -> bool {
        self.failed
    }

    /// What the log has done so far.
    pub fn stats(&self) -> &TxnLogStats {
        &self.stats
    }

    /// Makes every appended record durable and returns the last one's zxid.
    ///
    /// # Errors
    /// After an error nothing beyond [`TxnLog::synced`] may be acknowledged, and every further
    /// sync is refused with [`StoreError::Failed`] until [`TxnLog::heal`] succeeds.
    pub fn sync(&mut self) -> Result<Zxid, StoreError> {
        if self.failed {
            return Err(StoreError::Failed);
        }
        self.write_segments()
    }

    /// Takes the log back into use after a failure.
    ///
    /// Cuts the failed file to the bytes that an earlier, successful sync covered, writes every
    /// kept record to a new file, syncs that, and returns the last zxid, all of which are durable
    /// then. Does no more than [`TxnLog::sync`] when nothing failed.
    ///
    /// # Errors
    /// The log stays failed, with nothing lost. Where [`StoreError::is_no_space`] says that the
    /// disk is full, heal again later; after any other error the process should end (exit 10).
    pub fn heal(&mut self) -> Result<Zxid, StoreError> {
        if self.failed {
            self.drop_unsynced()?;
            if let Some(segment) = self.segments.first_mut() {
                segment.new_file = true;
            } else {
                self.roll_next = true;
            }
            self.failed = false;
        }
        let synced = self.write_segments()?;
        info!(zxid = %synced, "txn log healed");
        Ok(synced)
    }

    /// Rids the failed file of bytes that may or may not be on the disk.
    fn drop_unsynced(&mut self) -> Result<(), StoreError> {
        let Some(mut current) = self.current.take() else { return Ok(()) };
        let name = log_name(current.first);
        let path = || self.disk.path(&name);
        let result = if current.synced <= frame::HEADER_LEN as u64 {
            // No record of it counts, and the new file will have its name.
            self.disk.remove(&name).and_then(|()| self.disk.sync_dir())
        } else {
            current.file.set_len(current.synced).and_then(|()| current.file.sync_data())
        };
        match result {
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => Ok(()),
            Err(source) => {
                self.current = Some(current);
                Err(source).context(path, "drop unsynced records")
            }
            Ok(()) => Ok(()),
        }
    }

    fn write_segments(&mut self) -> Result<Zxid, StoreError> {
        let mut done = 0;
        let mut result = Ok(());
        let pending = std::mem::take(&mut self.pending);
        let segments = std::mem::take(&mut self.segments);
        let mut written = segments.iter();
        for segment in written.by_ref() {
            result = self.write_segment(segment, &pending[done..segment.end]);
            if result.is_err() {
                break;
            }
            done = segment.end;
            self.synced = segment.last;
        }
        if let Err(err) = result {
            let kept = segments.len() - written.len() - 1;
            self.keep(pending, done, segments, kept);
            self.failed = true;
            self.stats.failures += 1;
            return Err(err);
        }
        self.reuse(pending);
        Ok(self.synced)
    }

    /// Keeps what was not written: `pending` from `done` on, `segments` from `first` on.
    fn keep(&mut self, mut pending: Vec<u8>, done: usize, segments: Vec<Segment>, first: usize) {
        pending.drain(..done);
        self.pending = pending;
        self.segments = segments.into_iter().skip(first).collect();
        for segment in &mut self.segments {
            segment.end -= done;
        }
    }

    /// Uses a batch's buffer for the next one.
    fn reuse(&mut self, mut pending: Vec<u8>) {
        if pending.capacity() <= BATCH_KEEP {
            pending.clear();
            self.pending = pending;
        }
    }

    fn write_segment(&mut self, segment: &Segment, bytes: &[u8]) -> Result<(), StoreError> {
        let over = |c: &Current| self.options.size_limit.is_some_and(|limit| c.synced > limit);
        if segment.new_file || self.current.as_ref().is_none_or(over) {
            self.begin_file(segment.first)?;
        }
        let current = self.current.as_mut().expect("a file was begun above");
        let name = log_name(current.first);
        let path = || self.disk.path(&name);
        let end = current.synced + bytes.len() as u64;
        if current.preallocates {
            current.grow(end, self.options.preallocation).context(path, "grow txn log")?;
        }
        current.file.write_at(bytes, current.synced).context(path, "write txn log")?;
        if self.options.force_sync {
            let began = Instant::now();
            current.file.sync_data().context(path, "sync txn log")?;
            let elapsed = began.elapsed();
            current.synced = end;
            let mark = SyncMark { log: current.first, offset: end };
            if let Err(err) = self.mark.advance(mark) {
                warn!(%err, "cannot write the sync mark");
            }
            self.time_sync(elapsed, segment.last);
        }
        if let Some(current) = &mut self.current {
            current.synced = end;
            current.len = current.len.max(end);
        }
        self.stats.records += segment.records;
        self.stats.bytes += bytes.len() as u64;
        self.stats.batches += 1;
        self.stats.file_bytes = end;
        Ok(())
    }

    fn time_sync(&mut self, elapsed: Duration, zxid: Zxid) {
        self.stats.sync_total += elapsed;
        self.stats.sync_last = elapsed;
        self.stats.sync_max = self.stats.sync_max.max(elapsed);
        if elapsed > self.options.slow_sync {
            self.stats.slow_syncs += 1;
            let (elapsed_ms, limit_ms) = (elapsed.as_millis(), self.options.slow_sync.as_millis());
            warn!(%zxid, elapsed_ms, limit_ms, "slow fsync");
        }
    }

    /// Begins the file of `first`: header and name are durable before any record is written, so
    /// that no crash leaves records in a file that is not recognised.
    fn begin_file(&mut self, first: Zxid) -> Result<(), StoreError> {
        let name = log_name(first);
        let path = || self.disk.path(&name);
        let file = self.disk.create(&name).context(path, "create txn log")?;
        let preallocates = self.options.preallocation > 0;
        // Known to `heal` from here on, should the rest fail.
        let current = self.current.insert(Current { first, file, synced: 0, len: 0, preallocates });
        current.file.write_at(&frame::HEADER, 0).context(path, "write txn log")?;
        let header_len = frame::HEADER_LEN as u64;
        current.len = header_len;
        if self.options.force_sync {
            current.file.sync_data().context(path, "sync txn log")?;
            let mark = SyncMark { log: first, offset: header_len };
            self.mark.begin(&*self.disk, mark).context(path, "write the sync mark of")?;
            // Broken on purpose, for the simulator to find: the name is left to chance.
            if !is_on(Sabotage::LogRolledUnsynced) {
                self.disk.sync_dir().context(path, "sync the directory of")?;
            }
        }
        current.synced = header_len;
        self.stats.files += 1;
        info!(zxid = %first, "new txn log file");
        Ok(())
    }
}

impl Current {
    /// Lets the file reach well beyond `end`.
    fn grow(&mut self, end: u64, step: u64) -> std::io::Result<()> {
        if end + GROW_WITHIN < self.len {
            return Ok(());
        }
        let steps = (end + GROW_WITHIN - self.len) / step + 1;
        let len = self.len + steps * step;
        match self.file.allocate(len) {
            Ok(()) => self.len = len,
            // No room ahead is no failure yet: go on with as much as each batch needs.
            Err(err) if err.kind() == std::io::ErrorKind::StorageFull => {
                warn!(%err, "no room to preallocate the txn log");
                self.preallocates = false;
                self.file.set_len(self.len)?;
            }
            Err(err) => return Err(err),
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;

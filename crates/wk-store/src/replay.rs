//! Applying the logs' records over a snapshot.

use tracing::{error, warn};
use wk_proto::txn::{DIGEST_VERSION, Record};
use wk_proto::{TxnDigest, Zxid};
use wk_tree::{Applied, Tree};

use crate::disk::Disk;
use crate::error::StoreError;
use crate::frame;
use crate::log_reader::{BadPlace, Head, LogReader, Next};
use crate::names::log_name;
use crate::recovery::{Cut, RecoveryReport};
use crate::snapshot::ZxidDigest;
use crate::sync_mark::SyncMark;

/// Mismatches that are logged one by one; the rest are counted.
const MISMATCHES_LOGGED: u64 = 10;

pub(crate) struct Replay<'a> {
    disk: &'a dyn Disk,
    mark: Option<SyncMark>,
    tree: &'a mut Tree,
    /// What the tree's digest must be after a txn that the fuzzy snapshot may have run ahead to.
    /// Until then records' digests say nothing.
    expected: Option<ZxidDigest>,
    report: &'a mut RecoveryReport,
    applied: Applied,
    /// The last record that was read, applied or not.
    seen: Zxid,
    /// Where an earlier file stopped without its proper end.
    torn: Option<Torn>,
}

struct Torn {
    first: Zxid,
    place: BadPlace,
    last_good: Zxid,
}

impl<'a> Replay<'a> {
    pub(crate) fn new(
        disk: &'a dyn Disk,
        tree: &'a mut Tree,
        expected: Option<ZxidDigest>,
        report: &'a mut RecoveryReport,
    ) -> Self {
        Self {
            disk,
            mark: SyncMark::read(disk),
            tree,
            expected,
            report,
            applied: Applied::quiet(),
            seen: Zxid::ZERO,
            torn: None,
        }
    }

    /// Replays what the snapshot does not have from `logs`, oldest first. With `from_nothing`
    /// there is no snapshot, and the history may begin anywhere.
    pub(crate) fn run(&mut self, logs: &[Zxid], from_nothing: bool) -> Result<(), StoreError> {
        self.check_snapshot_digest();
        let mut anywhere = from_nothing;
        let mut newest = None;
        for first in needed(logs, self.tree.last_zxid()) {
            match LogReader::open(self.disk, *first)? {
                Head::Log(mut reader) => {
                    self.file(*first, &mut reader, &mut anywhere)?;
                    newest = Some((*first, reader));
                }
                // Not the newest: whether anything is missing shows at the next record.
                Head::Blank => warn!(zxid = %first, "empty txn log amid others"),
            }
        }
        if let Some(expected) = self.expected {
            warn!(
                zxid = %self.tree.last_zxid(), digest_zxid = %expected.zxid,
                "the logs end before the txn that the snapshot's digest is of"
            );
        }
        if let Some(torn) = self.torn.take() {
            self.cut(&torn)?;
        }
        newest.map_or(Ok(()), |(first, reader)| self.settle(first, reader))
    }

    /// What was recovered will be served, so it must be as durable as what is acknowledged. Only
    /// the newest file can hold records that were never synced.
    fn settle(&self, first: Zxid, mut reader: LogReader<'_>) -> Result<(), StoreError> {
        // A log without a mark is Apache's, whose process ends at a failed sync: one sync is all
        // that can be done short of writing the whole file anew.
        let mark = self.mark.filter(|mark| mark.log == first);
        reader.settle(mark.map_or(u64::MAX, |mark| mark.offset))
    }

    fn file(
        &mut self,
        first: Zxid,
        reader: &mut LogReader<'_>,
        anywhere: &mut bool,
    ) -> Result<(), StoreError> {
        let path = self.disk.path(reader.name());
        loop {
            match reader.next(self.seen)? {
                Next::Record { offset, body } => {
                    if let Some(zxid) = frame::zxid(body)
                        && zxid <= self.tree.last_zxid()
                    {
                        self.seen = zxid.max(self.seen);
                        self.report.txns_skipped += 1;
                        continue;
                    }
                    let record = Record::decode(body).map_err(|source| {
                        let (path, last_good) = (path.clone(), self.seen);
                        StoreError::UnknownRecord { path, offset, last_good, source }
                    })?;
                    let zxid = record.header.zxid;
                    self.seen = zxid.max(self.seen);
                    if !std::mem::take(anywhere) {
                        self.check_order(first, offset, zxid)?;
                    }
                    self.apply(&record);
                }
                Next::End => return Ok(()),
                Next::Bad(place) => {
                    let torn = Torn { first, place, last_good: self.seen };
                    let acknowledged = !self.is_unsynced(first, place.offset);
                    let Some(follower) = place.follower.filter(|_| acknowledged) else {
                        self.torn = Some(torn);
                        return Ok(());
                    };
                    if !self.snapshot_has(reader, follower)? {
                        return Err(self.corrupt(&torn));
                    }
                    self.pass_over(&torn);
                }
            }
        }
    }

    /// Does the snapshot have all that stood between the last record and the one at `follower`?
    /// The reader goes on there.
    fn snapshot_has(&self, reader: &mut LogReader<'_>, follower: u64) -> Result<bool, StoreError> {
        let base = self.tree.last_zxid();
        if self.seen >= base {
            return Ok(false);
        }
        reader.skip_to(follower)?;
        let zxid = match reader.next(self.seen)? {
            Next::Record { body, .. } => frame::zxid(body),
            Next::End | Next::Bad(_) => None,
        };
        reader.skip_to(follower)?;
        Ok(zxid.is_some_and(|zxid| zxid <= base || base.next() == Some(zxid)))
    }

    fn pass_over(&mut self, torn: &Torn) {
        let name = log_name(torn.first);
        error!(
            path = %self.disk.path(&name).display(), offset = torn.place.offset,
            last_good = %torn.last_good, what = %torn.place.what,
            "passed over damage in the txn log: the snapshot has what stood there"
        );
        self.report.passed_over += 1;
    }

    /// Nothing may be missing between the last txn applied and `zxid`.
    fn check_order(&mut self, first: Zxid, offset: u64, zxid: Zxid) -> Result<(), StoreError> {
        let last = self.tree.last_zxid();
        // A new epoch: how far the old one got is not in the logs.
        let follows = zxid.epoch() > last.epoch() || last.next() == Some(zxid);
        if let Some(torn) = self.torn.take() {
            if !follows {
                return Err(self.corrupt(&torn));
            }
            self.leave_torn(&torn)?;
        }
        if follows {
            return Ok(());
        }
        let path = self.disk.path(&log_name(first));
        Err(StoreError::Gap { path, offset, last_good: last, found: zxid })
    }

    fn apply(&mut self, record: &Record<'_>) {
        self.tree.apply(&record.header, &record.txn, &mut self.applied);
        self.report.txns_replayed += 1;
        self.check_snapshot_digest();
        if self.expected.is_none()
            && let Some(TxnDigest { version: DIGEST_VERSION, digest }) = record.digest
        {
            self.compare(digest);
        }
    }

    fn check_snapshot_digest(&mut self) {
        let Some(expected) = self.expected else { return };
        let zxid = self.tree.last_zxid();
        if zxid < expected.zxid {
            return;
        }
        self.expected = None;
        if zxid > expected.zxid {
            warn!(digest_zxid = %expected.zxid, "the txn of the snapshot's digest is not there");
        } else if expected.version == DIGEST_VERSION {
            self.compare(expected.digest);
        }
    }

    fn compare(&mut self, expected: u64) {
        if !self.tree.options().digest || self.tree.digest() == expected {
            return;
        }
        self.report.digest_mismatches += 1;
        if self.report.digest_mismatches <= MISMATCHES_LOGGED {
            let (zxid, digest) = (self.tree.last_zxid(), self.tree.digest());
            error!(%zxid, digest, expected, "tree digest differs from the recorded one");
        }
    }

    /// Was nothing at or behind `offset` ever acknowledged, as far as our own mark tells?
    fn is_unsynced(&self, first: Zxid, offset: u64) -> bool {
        self.mark.is_some_and(|mark| mark.log == first && offset >= mark.offset)
    }

    fn corrupt(&self, torn: &Torn) -> StoreError {
        StoreError::CorruptLog {
            path: self.disk.path(&log_name(torn.first)),
            offset: torn.place.offset,
            last_good: torn.last_good,
            what: torn.place.what,
        }
    }

    /// An older file's unfinished end. Apache's server leaves them behind at each crash.
    fn leave_torn(&mut self, torn: &Torn) -> Result<(), StoreError> {
        let name = log_name(torn.first);
        warn!(
            path = %self.disk.path(&name).display(), offset = torn.place.offset,
            last_good = %torn.last_good, "txn log with an unfinished end; the next one goes on"
        );
        self.report.unfinished_logs.push(name);
        if torn.place.follower.is_some() {
            // The mark that excuses it will soon speak of a newer file.
            self.truncate(torn)?;
        }
        Ok(())
    }

    fn cut(&mut self, torn: &Torn) -> Result<(), StoreError> {
        let BadPlace { offset, what, .. } = torn.place;
        let file = log_name(torn.first);
        let path = self.disk.path(&file);
        let was_synced = self.mark.is_some_and(|m| m.log == torn.first && offset < m.offset);
        self.truncate(torn)?;
        if was_synced {
            error!(
                path = %path.display(), offset, last_good = %torn.last_good, %what,
                "cut a damaged end off the txn log: acknowledged txns may be lost"
            );
        } else {
            warn!(
                path = %path.display(), offset, last_good = %torn.last_good, %what,
                "cut an unfinished end off the txn log: it was never acknowledged"
            );
        }
        let last_good = torn.last_good;
        self.report.cut = Some(Cut { file, offset, last_good, was_synced });
        Ok(())
    }

    fn truncate(&self, torn: &Torn) -> Result<(), StoreError> {
        match LogReader::open(self.disk, torn.first)? {
            Head::Log(mut reader) => reader.cut(torn.place.offset),
            Head::Blank => Ok(()),
        }
    }
}

/// The logs that may hold txns after `last`: from the newest that begins no later than the next.
fn needed(logs: &[Zxid], last: Zxid) -> &[Zxid] {
    let next = last.next().unwrap_or(last);
    let from = logs.iter().rposition(|first| *first <= next).unwrap_or(0);
    &logs[from..]
}

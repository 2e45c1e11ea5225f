//! The disk thread: it owns the txn log, and makes everything that waits durable with one write
//! and one sync (group commit).
//!
//! The driver hands over a turn's appends at once. While a batch is being synced the next one
//! grows, so the batches adapt to the disk by themselves. A failing disk is said at once; a full
//! one is tried again until there is room, any other failure ends the server (exit code 10).

use crate::mailbox::lock;
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};
use tracing::{error, info, warn};
use wk_proto::Zxid;
use wk_store::{StoreError, TxnLog, TxnLogStats};

/// Pause between two attempts to heal the log of a full disk.
const HEAL_PAUSE: Duration = Duration::from_millis(500);

/// What the disk thread reports.
#[derive(Debug)]
pub(crate) enum DiskReport {
    /// Everything up to this zxid is durable.
    Synced(Batched),
    /// Nothing more can be made durable for now.
    Failed,
    /// The log takes records again; everything up to this zxid is durable.
    Healed(Batched),
    /// The log cannot be used any more.
    Fatal(StoreError),
    /// The thread has panicked: nothing is made durable any more.
    Panicked,
}

/// A batch that became durable.
#[derive(Debug)]
pub(crate) struct Batched {
    /// Its last zxid.
    pub(crate) upto: Zxid,
    /// Its records.
    pub(crate) records: u64,
    /// How long its oldest record waited for the thread.
    pub(crate) queued: Duration,
    /// How long write and sync took.
    pub(crate) flush: Duration,
    /// What the log has done so far.
    pub(crate) stats: TxnLogStats,
}

/// Records on their way to the disk.
#[derive(Debug, Default)]
pub(crate) struct Batch {
    bytes: Vec<u8>,
    items: Vec<Item>,
    /// When the first record came.
    since: Option<Instant>,
}

#[derive(Debug)]
enum Item {
    Append { zxid: Zxid, end: usize },
    Roll,
}

impl Batch {
    /// Adds a record.
    pub(crate) fn append(&mut self, zxid: Zxid, record: &[u8]) {
        self.bytes.extend_from_slice(record);
        self.items.push(Item::Append { zxid, end: self.bytes.len() });
    }

    /// Lets the next record begin a new file.
    pub(crate) fn roll(&mut self) {
        self.items.push(Item::Roll);
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.items.is_empty()
    }

    fn clear(&mut self) {
        self.bytes.clear();
        // A burst must not keep its memory for ever.
        self.bytes.shrink_to(4 << 20);
        self.items.clear();
        self.since = None;
    }

    /// Moves `other` behind this one.
    fn take(&mut self, other: &mut Self) {
        if self.is_empty() {
            std::mem::swap(self, other);
        } else {
            let shift = self.bytes.len();
            self.bytes.extend_from_slice(&other.bytes);
            self.items.extend(other.items.drain(..).map(|item| match item {
                Item::Append { zxid, end } => Item::Append { zxid, end: end + shift },
                Item::Roll => Item::Roll,
            }));
        }
        other.clear();
        self.since.get_or_insert_with(Instant::now);
    }
}

#[derive(Default)]
struct State {
    next: Batch,
    stop: bool,
    /// The thread sleeps; without this flag every hand-over would cost a system call.
    idle: bool,
}

#[derive(Default)]
struct Queue {
    state: Mutex<State>,
    work: Condvar,
}

/// The driver's end of the disk thread.
pub(crate) struct DiskThread {
    queue: Arc<Queue>,
    thread: Option<thread::JoinHandle<()>>,
}

/// When a batch is closed.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Gather {
    /// How long to wait for more records.
    pub(crate) delay: Duration,
    /// Records at which to wait no longer; 0: no limit.
    pub(crate) records_max: usize,
}

impl DiskThread {
    /// Starts the thread over a log. `report` is called on it.
    pub(crate) fn start(
        log: TxnLog,
        gather: Gather,
        report: impl Fn(DiskReport) + Send + 'static,
    ) -> std::io::Result<Self> {
        let queue = Arc::new(Queue::default());
        let theirs = queue.clone();
        let worker = move || Worker { log, queue: theirs, gather, report }.run();
        let thread = thread::Builder::new().name("wk-disk".to_owned()).spawn(worker)?;
        Ok(Self { queue, thread: Some(thread) })
    }

    /// Hands a turn's records over; `batch` is empty afterwards.
    pub(crate) fn hand_over(&self, batch: &mut Batch) {
        let mut state = lock(&self.queue.state);
        state.next.take(batch);
        let wake = std::mem::take(&mut state.idle);
        drop(state);
        if wake {
            self.queue.work.notify_one();
        }
    }

    /// Makes what was handed over durable and ends the thread.
    pub(crate) fn stop(&mut self) {
        lock(&self.queue.state).stop = true;
        self.queue.work.notify_one();
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
        {
            error!("disk thread panicked");
        }
    }
}

struct Worker<R: Fn(DiskReport)> {
    log: TxnLog,
    queue: Arc<Queue>,
    gather: Gather,
    report: R,
}

impl<R: Fn(DiskReport)> Drop for Worker<R> {
    fn drop(&mut self) {
        // Unsaid, every write would wait for ever in a server that seems to be well.
        if thread::panicking() {
            (self.report)(DiskReport::Panicked);
        }
    }
}

impl<R: Fn(DiskReport)> Worker<R> {
    fn run(mut self) {
        let mut batch = Batch::default();
        while self.next(&mut batch) {
            let queued = batch.since.map_or(Duration::ZERO, |since| since.elapsed());
            let records = self.append(&batch);
            batch.clear();
            if !self.log.is_pending() {
                continue;
            }
            let began = Instant::now();
            let synced = self.log.sync();
            let batched = |upto, log: &TxnLog| Batched {
                upto,
                records,
                queued,
                flush: began.elapsed(),
                stats: log.stats().clone(),
            };
            match synced {
                Ok(upto) => (self.report)(DiskReport::Synced(batched(upto, &self.log))),
                Err(err) => {
                    error!(%err, cause = %cause(&err), "txn log failed: writes are refused");
                    (self.report)(DiskReport::Failed);
                    match self.heal() {
                        Ok(Some(upto)) => {
                            (self.report)(DiskReport::Healed(batched(upto, &self.log)));
                        }
                        Ok(None) => return,
                        Err(err) => return (self.report)(DiskReport::Fatal(err)),
                    }
                }
            }
        }
    }

    /// Waits for work; false when there is none left and the thread is to end.
    fn next(&self, batch: &mut Batch) -> bool {
        let mut state = lock(&self.queue.state);
        while state.next.is_empty() {
            if state.stop {
                return false;
            }
            state.idle = true;
            state = self.queue.work.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
        let until = state.next.since.map(|since| since + self.gather.delay);
        while !self.gather.delay.is_zero() && !state.stop && !self.is_full(&state.next) {
            let left = until
                .map_or(Duration::ZERO, |until| until.saturating_duration_since(Instant::now()));
            if left.is_zero() {
                break;
            }
            state.idle = true;
            let waited = self.queue.work.wait_timeout(state, left);
            state = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
        state.idle = false;
        batch.take(&mut state.next);
        true
    }

    fn is_full(&self, batch: &Batch) -> bool {
        self.gather.records_max > 0 && batch.items.len() >= self.gather.records_max
    }

    /// Gives a batch to the log; returns its number of records.
    fn append(&mut self, batch: &Batch) -> u64 {
        let mut begin = 0;
        let mut records = 0;
        for item in &batch.items {
            match *item {
                Item::Append { zxid, end } => {
                    self.log.append(zxid, &batch.bytes[begin..end]);
                    begin = end;
                    records += 1;
                }
                Item::Roll => self.log.roll(),
            }
        }
        records
    }

    /// Tries until the log is whole again; `None` when the thread is to end before.
    fn heal(&mut self) -> Result<Option<Zxid>, StoreError> {
        loop {
            match self.log.heal() {
                Ok(upto) => {
                    info!(zxid = %upto, "txn log is healed: writes are taken again");
                    return Ok(Some(upto));
                }
                Err(err) if err.is_no_space() => {
                    warn!(%err, cause = %cause(&err), "txn log: waiting for room on the disk");
                }
                Err(err) => return Err(err),
            }
            let mut state = lock(&self.queue.state);
            let end = Instant::now() + HEAL_PAUSE;
            while !state.stop {
                let left = end.saturating_duration_since(Instant::now());
                if left.is_zero() {
                    break;
                }
                let waited = self.queue.work.wait_timeout(state, left);
                state = waited.unwrap_or_else(PoisonError::into_inner).0;
            }
            if state.stop {
                warn!(
                    "stopping with a txn log that cannot be written; nothing acknowledged is lost"
                );
                return Ok(None);
            }
            // Nothing was acknowledged and writes are refused: what came meanwhile waits here.
            drop(state);
        }
    }
}

/// The operating system's words for an error.
pub(crate) fn cause(err: &dyn std::error::Error) -> String {
    let mut text = Vec::new();
    let mut next = err.source();
    while let Some(source) = next {
        text.push(source.to_string());
        next = source.source();
    }
    text.join(": ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::mpsc;
    use wk_proto::txn::{Txn, TxnHeader, encode_record};
    use wk_proto::{ErrorCode, OpCode, SessionId, Wall};
    use wk_store::TxnLogOptions;
    use wk_store::mem_disk::{Fault, FaultKind, MemDisk};

    fn record(zxid: i64) -> Vec<u8> {
        let header = TxnHeader {
            session: SessionId(1),
            cxid: 0,
            zxid: Zxid(zxid),
            time: Wall(0),
            op: OpCode::Error,
        };
        let mut bytes = Vec::new();
        encode_record(&header, &Txn::error(ErrorCode::NoNode), None, &mut bytes);
        bytes
    }

    fn start(disk: &MemDisk, gather: Gather) -> (DiskThread, mpsc::Receiver<DiskReport>) {
        let log = TxnLog::new(Arc::new(disk.clone()), Zxid(0), TxnLogOptions::default());
        let (tx, rx) = mpsc::channel();
        let report = move |report| {
            let _ = tx.send(report);
        };
        (DiskThread::start(log, gather, report).unwrap(), rx)
    }

    fn batch(zxids: impl IntoIterator<Item = i64>) -> Batch {
        let mut batch = Batch::default();
        for zxid in zxids {
            batch.append(Zxid(zxid), &record(zxid));
        }
        batch
    }

    const AT_ONCE: Gather = Gather { delay: Duration::ZERO, records_max: 0 };

    #[test]
    fn what_is_handed_over_becomes_durable_even_at_the_end() {
        let disk = MemDisk::new();
        let (mut thread, rx) = start(&disk, AT_ONCE);
        thread.hand_over(&mut batch(1..4));
        let Ok(DiskReport::Synced(first)) = rx.recv() else { panic!("no batch") };
        assert_eq!((first.upto, first.records), (Zxid(3), 3));
        thread.hand_over(&mut batch([4]));
        thread.stop();
        let last = rx.try_iter().last();
        assert!(matches!(last, Some(DiskReport::Synced(Batched { upto: Zxid(4), .. }))));
    }

    #[test]
    fn records_are_gathered_until_the_batch_is_full() {
        let disk = MemDisk::new();
        let gather = Gather { delay: Duration::from_hours(1), records_max: 3 };
        let (mut thread, rx) = start(&disk, gather);
        for zxid in 1..=3 {
            thread.hand_over(&mut batch([zxid]));
        }
        let Ok(DiskReport::Synced(one)) = rx.recv() else { panic!("no batch") };
        assert_eq!((one.upto, one.records), (Zxid(3), 3));
        thread.stop();
    }

    #[test]
    fn a_full_disk_is_said_and_healed_and_a_broken_one_ends_it() {
        let disk = MemDisk::new();
        let (mut thread, rx) = start(&disk, AT_ONCE);
        thread.hand_over(&mut batch([1]));
        assert!(matches!(rx.recv(), Ok(DiskReport::Synced(_))));
        disk.fault_at(disk.ops(), Fault::Fail(FaultKind::NoSpace));
        thread.hand_over(&mut batch([2]));
        assert!(matches!(rx.recv(), Ok(DiskReport::Failed)));
        let Ok(DiskReport::Healed(healed)) = rx.recv() else { panic!("not healed") };
        assert_eq!(healed.upto, Zxid(2));
        for op in 0..8 {
            disk.fault_at(disk.ops() + op, Fault::Fail(FaultKind::Io));
        }
        thread.hand_over(&mut batch([3]));
        assert!(matches!(rx.recv(), Ok(DiskReport::Failed)));
        assert!(matches!(rx.recv(), Ok(DiskReport::Fatal(_))));
        thread.stop();
    }
}

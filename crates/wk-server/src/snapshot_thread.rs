//! The snapshot thread: it writes the tree's image as the driver walks it, slice by slice, and
//! purges old files. Both may take long, and neither may hold up a request.

use crate::disk_thread::cause;
use std::sync::{Arc, mpsc};
use std::thread;
use std::time::{Duration, Instant};
use tracing::error;
use wk_proto::Zxid;
use wk_store::{Dirs, SnapshotOptions, SnapshotWriter, StoreError, ZxidDigest, purge};

/// What the thread is to do.
#[derive(Debug)]
pub(crate) enum SnapshotJob {
    /// Begin a file.
    Begin(Zxid),
    /// Add a piece of the image.
    Chunk(Vec<u8>),
    /// The image is complete.
    End {
        /// The last txn that may show in it.
        zxid: Zxid,
        /// The tree's digest at that txn.
        digest: u64,
    },
    /// Keep so many snapshots and remove what is older.
    Purge(usize),
}

/// What the thread reports.
#[derive(Debug)]
pub(crate) enum SnapshotReport {
    /// A piece is written; its buffer may be used again.
    Written(Vec<u8>),
    /// A snapshot is complete or has failed.
    Done {
        /// Whether it is complete.
        ok: bool,
        /// How long it took since its begin.
        elapsed: Duration,
    },
    /// The thread has panicked: no snapshot is written and nothing is purged any more.
    Panicked,
}

/// The driver's end of the snapshot thread.
pub(crate) struct SnapshotThread {
    jobs: Option<mpsc::Sender<SnapshotJob>>,
    thread: Option<thread::JoinHandle<()>>,
}

impl SnapshotThread {
    /// Starts the thread. `report` is called on it.
    pub(crate) fn start(
        dirs: Dirs,
        options: SnapshotOptions,
        report: impl Fn(SnapshotReport) + Send + 'static,
    ) -> std::io::Result<Self> {
        let (jobs, queue) = mpsc::channel();
        let worker = move || Worker { dirs, options, report, current: None }.run(&queue);
        let thread = thread::Builder::new().name("wk-snapshot".to_owned()).spawn(worker)?;
        Ok(Self { jobs: Some(jobs), thread: Some(thread) })
    }

    /// Gives the thread a job. The driver bounds the pieces on their way by what was `Written`.
    pub(crate) fn give(&self, job: SnapshotJob) {
        if let Some(jobs) = &self.jobs
            && jobs.send(job).is_err()
        {
            error!("snapshot thread has ended");
        }
    }

    /// Ends the thread after the jobs that it has. An unfinished snapshot is given up.
    pub(crate) fn stop(&mut self) {
        self.jobs = None;
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
        {
            error!("snapshot thread panicked");
        }
    }
}

struct Current {
    writer: SnapshotWriter,
    /// The last applied txn when it was begun: what is later is replayed over it.
    zxid: Zxid,
    began: Instant,
}

struct Worker<R: Fn(SnapshotReport)> {
    dirs: Dirs,
    options: SnapshotOptions,
    report: R,
    /// `None` between snapshots, and after a failure until the next one begins.
    current: Option<Current>,
}

impl<R: Fn(SnapshotReport)> Drop for Worker<R> {
    fn drop(&mut self) {
        // Unsaid, the log would grow until the disk is full.
        if thread::panicking() {
            (self.report)(SnapshotReport::Panicked);
        }
    }
}

impl<R: Fn(SnapshotReport)> Worker<R> {
    fn run(mut self, queue: &mpsc::Receiver<SnapshotJob>) {
        while let Ok(job) = queue.recv() {
            match job {
                SnapshotJob::Begin(zxid) => {
                    let began = Instant::now();
                    let writer =
                        SnapshotWriter::begin(Arc::clone(&self.dirs.snapshots), zxid, self.options);
                    match writer {
                        Ok(writer) => self.current = Some(Current { writer, zxid, began }),
                        Err(err) => self.failed(&err, began),
                    }
                }
                SnapshotJob::Chunk(mut bytes) => {
                    let result = self
                        .current
                        .as_mut()
                        .map(|current| (current.writer.chunk(&bytes), current.began));
                    bytes.clear();
                    if let Some((Err(err), began)) = result {
                        self.current = None;
                        self.failed(&err, began);
                    }
                    (self.report)(SnapshotReport::Written(bytes));
                }
                SnapshotJob::End { zxid, digest } => {
                    let Some(Current { writer, zxid: first, began }) = self.current.take() else {
                        continue;
                    };
                    // An untouched tree has no digest in Apache's files either.
                    let digest = if zxid == Zxid::ZERO { 0 } else { digest };
                    match writer.finish(ZxidDigest::new(zxid, digest), first) {
                        Ok(_) => {
                            let elapsed = began.elapsed();
                            (self.report)(SnapshotReport::Done { ok: true, elapsed });
                        }
                        Err(err) => self.failed(&err, began),
                    }
                }
                SnapshotJob::Purge(keep) => {
                    if let Err(err) = purge(&self.dirs, keep) {
                        error!(%err, cause = %cause(&err), "purge failed");
                    }
                }
            }
        }
    }

    /// A snapshot that failed is no harm: the log still has everything.
    fn failed(&self, err: &StoreError, began: Instant) {
        error!(%err, cause = %cause(err), "snapshot failed");
        (self.report)(SnapshotReport::Done { ok: false, elapsed: began.elapsed() });
    }
}

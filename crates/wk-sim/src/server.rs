//! One process: the shipped node and store, driven as the shipped server drives them, with the disk
//! thread's and the snapshot thread's work done at simulated times.

use std::sync::Arc;

use wk_node::{Node, NodeConfig, Now};
use wk_proto::Zxid;
use wk_store::{
    Dirs, RecoverOptions, RecoveryReport, SnapshotOptions, SnapshotWriter, StoreError, TxnLog,
    TxnLogOptions, ZxidDigest, purge, recover,
};

use crate::disk::ProcessDisk;

/// What waits for the disk thread.
enum Item {
    Append(Zxid, Vec<u8>),
    Roll,
}

pub(crate) struct Server {
    pub(crate) node: Node,
    /// The disk thread has work or waits for room.
    pub(crate) disk_busy: bool,
    log: TxnLog,
    batch: Vec<Item>,
    disk: ProcessDisk,
    dirs: Dirs,
    snapshot: Option<SnapshotWriter>,
}

impl Server {
    /// Recovers and starts.
    pub(crate) fn start(
        disk: ProcessDisk,
        config: NodeConfig,
        log: TxnLogOptions,
        now: Now,
    ) -> Result<(Self, RecoveryReport), StoreError> {
        let dirs = Dirs::same(Arc::new(disk.clone()));
        let recovered = recover(&dirs, &RecoverOptions::default())?;
        let log = TxnLog::new(dirs.logs.clone(), recovered.tree.last_zxid(), log);
        let server = Self {
            node: Node::new(config, recovered.tree, now),
            disk_busy: false,
            log,
            batch: Vec::new(),
            disk,
            dirs,
            snapshot: None,
        };
        Ok((server, recovered.report))
    }

    /// Ends the process: its destructors no longer reach the disk.
    pub(crate) fn kill(self) {
        self.disk.kill();
    }

    pub(crate) fn append(&mut self, zxid: Zxid, record: &[u8]) {
        self.batch.push(Item::Append(zxid, record.to_vec()));
    }

    pub(crate) fn roll(&mut self) {
        self.batch.push(Item::Roll);
    }

    /// The last txn that is durable.
    pub(crate) fn synced(&self) -> Zxid {
        self.log.synced()
    }

    /// Does something wait for the disk thread, and is it free?
    pub(crate) fn wants_sync(&self) -> bool {
        !self.disk_busy && !self.batch.is_empty()
    }

    /// The disk thread's turn: all that waits becomes durable with one sync.
    pub(crate) fn sync(&mut self) -> Result<Zxid, StoreError> {
        for item in self.batch.drain(..) {
            match item {
                Item::Append(zxid, record) => self.log.append(zxid, &record),
                Item::Roll => self.log.roll(),
            }
        }
        self.log.sync()
    }

    /// The disk thread's next attempt after a failure.
    pub(crate) fn heal(&mut self) -> Result<Zxid, StoreError> {
        self.log.heal()
    }

    /// The snapshot thread begins a file; false when it cannot.
    pub(crate) fn begin_snapshot(&mut self, zxid: Zxid) -> bool {
        let writer =
            SnapshotWriter::begin(self.dirs.snapshots.clone(), zxid, SnapshotOptions::default());
        self.snapshot = writer.ok();
        self.snapshot.is_some()
    }

    /// The snapshot thread adds a piece; false when the snapshot is given up.
    pub(crate) fn write_snapshot(&mut self, bytes: &[u8]) -> bool {
        let written = self.snapshot.as_mut().is_some_and(|writer| writer.chunk(bytes).is_ok());
        if !written {
            self.snapshot = None;
        }
        written
    }

    /// The snapshot thread seals the file, and purges old ones as autopurge does.
    pub(crate) fn end_snapshot(&mut self, zxid: Zxid, digest: u64, keep: Option<usize>) -> bool {
        let digest = ZxidDigest::new(zxid, digest);
        let done = self.snapshot.take().is_some_and(|writer| writer.finish(digest, zxid).is_ok());
        if let Some(keep) = keep.filter(|_| done) {
            // A failing purge costs room, nothing else.
            let _purged = purge(&self.dirs, keep);
        }
        done
    }
}

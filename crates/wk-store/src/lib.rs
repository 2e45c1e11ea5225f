//! A server's memory across restarts: txn log and snapshots in Apache's formats.
//!
//! Everything here is synchronous and works on a [`Disk`]; which thread calls it, and when, is the
//! server's business, and in the simulator's hands the same code runs at simulated times.
//! docs/disk-format.md draws the bytes.

pub mod disk;
pub mod fsck;
pub mod mem_disk;

mod dirs;
mod error;
mod frame;
mod log_reader;
mod names;
mod overlay;
mod purge;
mod recovery;
mod replay;
mod snapshot;
mod sync_mark;
#[cfg(test)]
mod testing;
mod toolkit;
mod txn_log;

pub use dirs::{Dirs, open_dirs, open_dirs_to_check};
pub use disk::{DirEntry, Disk, DiskFile, OsDisk};
pub use error::{LogDamage, StoreError};
pub use log_reader::{BadPlace, Head, LogReader, Next};
pub use names::{log_name, log_zxid, snapshot_name, snapshot_zxid};
pub use purge::{PurgeReport, purge};
pub use recovery::{
    Cut, LoadedSnapshot, RecoverOptions, Recovered, RecoveryReport, load_snapshot_file, recover,
    write_snapshot,
};
pub use snapshot::{
    Compression, SnapshotError, SnapshotFile, SnapshotInfo, SnapshotOptions, SnapshotWriter,
    ZxidDigest, remove_unfinished,
};
pub use sync_mark::SyncMark;
pub use toolkit::{Copied, Verdict, chop_log, recover_log};
pub use txn_log::{TxnLog, TxnLogOptions, TxnLogStats};
pub use wk_tree::Tree;

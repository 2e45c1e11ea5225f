//! A server's memory across restarts: txn log and snapshots in Apache's formats.
//!
//! Everything here is synchronous and works on a [`Disk`]; which thread calls it, and when, is the
//! server's business, and in the simulator's hands the same code runs at simulated times.
//! docs/disk-format.md draws the bytes.

pub mod disk;
pub mod mem_disk;

mod error;
mod frame;
mod log_reader;
mod names;
mod sync_mark;
#[cfg(test)]
mod testing;
mod txn_log;

pub use disk::{DirEntry, Disk, DiskFile, OsDisk};
pub use error::{LogDamage, StoreError};
pub use log_reader::{BadPlace, Head, LogReader, Next};
pub use names::{log_name, log_zxid, snapshot_name, snapshot_zxid};
pub use sync_mark::SyncMark;
pub use txn_log::{TxnLog, TxnLogOptions, TxnLogStats};

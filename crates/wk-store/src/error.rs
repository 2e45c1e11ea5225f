//! What can go wrong, with what an operator needs to know and the exit code that says which it is.

use std::io;
use std::path::PathBuf;

use wk_proto::{DecodeError, Zxid};

/// Why the store cannot be opened, read or written.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StoreError {
    /// A data directory is missing and may not be made, is not writable, or holds the wrong files.
    #[error("data directory {}: {reason}", path.display())]
    DataDir {
        /// The directory.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// An operation of the disk failed.
    #[error("{}: cannot {doing}", path.display())]
    Io {
        /// The file or directory.
        path: PathBuf,
        /// What was tried, as a verb phrase.
        doing: &'static str,
        /// The operating system's answer.
        source: io::Error,
    },
    /// A log has a damaged record although records after it are whole.
    #[error(
        "{}: {what} at offset {offset}, after zxid {last_good}; later records are whole, so this \
         is damage and not an unfinished write. Restore the file from a backup; or, to go on \
         without all txns after {last_good}, move the log files of higher zxid away and run: \
         truncate -s {offset} {}",
        path.display(), path.display()
    )]
    CorruptLog {
        /// The log file.
        path: PathBuf,
        /// Where the damaged record begins.
        offset: u64,
        /// The last txn before it that is whole.
        last_good: Zxid,
        /// What is damaged.
        what: LogDamage,
    },
    /// A record's checksum is right, but this version cannot read it.
    #[error("{}: record at offset {offset}, after zxid {last_good}, is not a txn", path.display())]
    UnknownRecord {
        /// The log file.
        path: PathBuf,
        /// Where the record begins.
        offset: u64,
        /// The txn before it.
        last_good: Zxid,
        /// What the decoder found.
        source: DecodeError,
    },
    /// A log file does not begin as one.
    #[error("{}: not a txn log (its first bytes are not ZKLG, version 2)", path.display())]
    BadLogHeader {
        /// The file.
        path: PathBuf,
    },
    /// Txns between two records are missing: a log file was lost, or its end was.
    #[error(
        "{}: the record at offset {offset} has zxid {found}, but the history before it ends at \
         {last_good}: the txns between are missing. Restore the missing log file or a newer \
         snapshot from a backup",
        path.display()
    )]
    Gap {
        /// The log file in which the history goes on.
        path: PathBuf,
        /// Where it goes on.
        offset: u64,
        /// Where it ended.
        last_good: Zxid,
        /// With which txn it goes on.
        found: Zxid,
    },
    /// There are snapshots, and none can be read.
    #[error("{}: none of {tried} snapshots is valid; the newest: {newest}", path.display())]
    NoValidSnapshot {
        /// The directory.
        path: PathBuf,
        /// How many files were looked at.
        tried: usize,
        /// What is wrong with the newest.
        newest: String,
    },
    /// Logs hold txns, and no snapshot says what they began with.
    #[error(
        "{}: no snapshot found{unfinished}, but log records are there; restore the snapshot, or \
         set snapshot.trust.empty=true once when upgrading from a version that wrote none",
        path.display()
    )]
    SnapshotMissing {
        /// The snapshot directory.
        path: PathBuf,
        /// What is there and is none, in brackets; or nothing.
        unfinished: String,
    },
    /// The log failed before and has not been healed.
    #[error("the txn log failed and is not healed yet")]
    Failed,
}

impl StoreError {
    /// The process' exit code when this ends it (`ExitCode`, 3.9).
    pub fn exit_code(&self) -> u8 {
        match self {
            Self::DataDir { .. } => 3,
            Self::Io { .. }
            | Self::CorruptLog { .. }
            | Self::UnknownRecord { .. }
            | Self::BadLogHeader { .. }
            | Self::Gap { .. }
            | Self::NoValidSnapshot { .. }
            | Self::SnapshotMissing { .. }
            | Self::Failed => 10,
        }
    }

    /// Is the cause a full disk?
    pub fn is_no_space(&self) -> bool {
        matches!(self, Self::Io { source, .. } if matches!(
            source.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded))
    }
}

/// What is wrong with a log record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogDamage {
    /// The bytes do not have the checksum that is written before them.
    Checksum,
    /// The length is impossible, or the byte that ends a record is not where it says.
    Frame,
    /// Nothing but zeros where a record must be.
    Zeros,
}

impl std::fmt::Display for LogDamage {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Checksum => "bad checksum",
            Self::Frame => "record without its end",
            Self::Zeros => "zeros instead of a record",
        })
    }
}

/// Puts path and intent to the error of a disk operation.
pub(crate) trait Context<T> {
    fn context(self, path: impl FnOnce() -> PathBuf, doing: &'static str) -> Result<T, StoreError>;
}

impl<T> Context<T> for io::Result<T> {
    fn context(self, path: impl FnOnce() -> PathBuf, doing: &'static str) -> Result<T, StoreError> {
        self.map_err(|source| StoreError::Io { path: path(), doing, source })
    }
}

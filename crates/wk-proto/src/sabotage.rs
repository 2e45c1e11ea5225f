//! Faults put in on purpose, so that the simulator can show that it sees them.
//!
//! A build has them only with `--cfg wk_sabotage` (`cargo xtask sim --broken all`), and then only
//! one at a time, chosen by the simulator. In every other build [`is_on`] is a constant `false`,
//! and what stands behind it is not compiled in.

/// A fault that the simulator must find.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sabotage {
    /// A write is applied and answered before the disk has it.
    AckBeforeFsync,
    /// A new log file's name is not made durable before its records are acknowledged.
    LogRolledUnsynced,
    /// A snapshot has its name while the log of what is in it is not durable.
    SnapshotBeforeLog,
    /// Recovery does not look at a record's checksum.
    TornTailTaken,
    /// Replaying the end of a session leaves its ephemerals, and nobody looks for orphans.
    EphemeralKept,
    /// A restarted server hands out session ids from the beginning.
    SessionIdReused,
    /// Replay does what stands before the failing operation of a multi.
    MultiHalfApplied,
    /// A watch misses the writes that were under way when it was set.
    WatchLost,
    /// setACL leaves the tree's digest as it was.
    DigestStale,
    /// Purging takes the log that reaches beyond the oldest snapshot kept.
    PurgeTooMuch,
}

impl Sabotage {
    /// All of them, with the names that the command line knows.
    pub const ALL: [(&'static str, Self); 10] = [
        ("ack_before_fsync", Self::AckBeforeFsync),
        ("log_rolled_unsynced", Self::LogRolledUnsynced),
        ("snapshot_before_log", Self::SnapshotBeforeLog),
        ("torn_tail_taken", Self::TornTailTaken),
        ("ephemeral_kept", Self::EphemeralKept),
        ("session_id_reused", Self::SessionIdReused),
        ("multi_half_applied", Self::MultiHalfApplied),
        ("watch_lost", Self::WatchLost),
        ("digest_stale", Self::DigestStale),
        ("purge_too_much", Self::PurgeTooMuch),
    ];
}

/// Is this fault the one that was chosen on this thread?
#[cfg(not(wk_sabotage))]
pub const fn is_on(_: Sabotage) -> bool {
    false
}

/// Is this fault the one that was chosen on this thread?
#[cfg(wk_sabotage)]
pub fn is_on(fault: Sabotage) -> bool {
    CHOSEN.get() == Some(fault)
}

/// Chooses the fault that this thread's server has.
#[cfg(wk_sabotage)]
pub fn choose(fault: Option<Sabotage>) {
    CHOSEN.set(fault);
}

#[cfg(wk_sabotage)]
thread_local! {
    static CHOSEN: std::cell::Cell<Option<Sabotage>> = const { std::cell::Cell::new(None) };
}

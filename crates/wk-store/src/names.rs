//! File names: `log.<hex zxid>` and `snapshot.<hex zxid>`, as Apache's `Util` makes and reads them.

use wk_proto::Zxid;

/// What log files' names begin with.
pub(crate) const LOG: &str = "log";
/// What snapshots' names begin with.
pub(crate) const SNAPSHOT: &str = "snapshot";

/// Name of the log file whose first txn is `first`.
pub fn log_name(first: Zxid) -> String {
    format!("{LOG}.{:x}", first.0)
}

/// Name of the snapshot that was begun when `zxid` was the last applied txn.
pub fn snapshot_name(zxid: Zxid) -> String {
    format!("{SNAPSHOT}.{:x}", zxid.0)
}

/// The zxid of a log file's name. Copies that tools put beside a log (`log.5.fixed`) are none.
pub fn log_zxid(name: &str) -> Option<Zxid> {
    zxid_of(name, LOG).filter(|_| name.split('.').count() == 2)
}

/// Is it a log's name with more behind it, as tools name their copies?
pub(crate) fn is_log_copy(name: &str) -> bool {
    zxid_of(name, LOG).is_some() && log_zxid(name).is_none()
}

/// The zxid of a snapshot's name, whatever follows a second dot (`.gz`, `.snappy`).
pub fn snapshot_zxid(name: &str) -> Option<Zxid> {
    zxid_of(name, SNAPSHOT)
}

fn zxid_of(name: &str, prefix: &str) -> Option<Zxid> {
    let mut parts = name.split('.');
    if parts.next() != Some(prefix) {
        return None;
    }
    // Not a sign: Apache's parser takes one, but writes none.
    let hex = parts.next().filter(|h| h.bytes().all(|b| b.is_ascii_hexdigit()))?;
    i64::from_str_radix(hex, 16).ok().map(Zxid)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_apaches() {
        assert_eq!(log_name(Zxid(0x1_0000_000a)), "log.10000000a");
        assert_eq!(snapshot_name(Zxid(0)), "snapshot.0");
        assert_eq!(snapshot_zxid("snapshot.ff.gz"), Some(Zxid(255)));
        assert_eq!(log_zxid("log.10000000a"), Some(Zxid(0x1_0000_000a)));
        for copy in ["log.5.fixed", "log.5.chopped9", "log.5."] {
            assert!(log_zxid(copy).is_none() && is_log_copy(copy), "{copy}");
        }
        assert!(!is_log_copy("log.5") && !is_log_copy("log.old.5"));
        for no in ["log", "log.", "log.x", "log.-1", "logs.1", ".snapshot.1.tmp", "snapshot"] {
            assert_eq!((log_zxid(no), snapshot_zxid(no)), (None, None), "{no}");
        }
    }
}

//! What a server says about itself, as plain typed values.
//!
//! Four-letter words, the AdminServer's JSON and `/metrics` all render these, so that no two of
//! them can disagree. Taken between two turns of the driver: each value is consistent in itself.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::path::PathBuf;

/// Sizes of replies sent to clients, in bytes; -1 until the first (Apache's `BufferStats`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ResponseSizes {
    /// Size of the last reply.
    pub last: i64,
    /// Size of the smallest reply.
    pub min: i64,
    /// Size of the largest reply.
    pub max: i64,
}

impl Default for ResponseSizes {
    fn default() -> Self {
        Self { last: -1, min: -1, max: -1 }
    }
}

impl ResponseSizes {
    /// Notes a reply of `bytes`.
    pub fn note(&mut self, bytes: usize) {
        let bytes = i64::try_from(bytes).unwrap_or(i64::MAX);
        self.last = bytes;
        self.min = if self.min < 0 { bytes } else { self.min.min(bytes) };
        self.max = self.max.max(bytes);
    }
}

/// The figures of `srvr`, `stat` and the AdminServer's `server_stats`.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ServerStats {
    /// `3.9.5-watchkeeper-<version>-<hash>, built on <date>`.
    pub version: String,
    /// True while only reads are served (never for a standalone server).
    pub read_only: bool,
    /// Requests read since start or `srst`, four-letter words included, as Apache counts them.
    pub packets_received: u64,
    /// Replies and events written since start or `srst`.
    pub packets_sent: u64,
    /// How often a sync of the txn log took longer than `fsync.warningthresholdms`.
    pub fsync_threshold_exceed_count: u64,
    /// Sizes of the replies sent to clients.
    pub client_response: ResponseSizes,
    /// Milliseconds since the server began to serve.
    pub uptime_ms: u64,
    /// Bytes of the files in the snapshot directory.
    pub data_dir_size: u64,
    /// Bytes of the files in the txn log directory.
    pub log_dir_size: u64,
    /// Zxid of the last txn applied to the tree.
    pub last_processed_zxid: i64,
    /// Requests read and not yet answered.
    pub outstanding_requests: u64,
    /// `standalone`, later also `leader`, `follower`, `observer`, `read-only`.
    pub server_state: &'static str,
    /// Smallest request latency in ms (0 when none was measured).
    pub min_latency_ms: u64,
    /// Mean request latency in ms, four decimals.
    pub avg_latency_ms: f64,
    /// Largest request latency in ms.
    pub max_latency_ms: u64,
    /// Open client connections, those of four-letter words included.
    pub num_alive_connections: u64,
    /// Refused `auth` packets.
    pub auth_failed_count: u64,
    /// Znodes, the root counted twice as Apache does.
    pub node_count: u64,
}

/// One client connection, as `cons`, `stat` and the AdminServer's `connections` show it.
#[derive(Clone, Debug, PartialEq)]
pub struct ConnectionStats {
    /// Where the client is; `None` for a connection from inside this process.
    pub peer: Option<SocketAddr>,
    /// Whether it came in by the TLS port.
    pub secure: bool,
    /// Java's `SelectionKey` bits: 1 read, 4 write; 0 while reading is stopped.
    pub interest_ops: i32,
    /// Requests read and not yet answered.
    pub outstanding_requests: u64,
    /// Requests read from it since it was opened or `crst`.
    pub packets_received: u64,
    /// Replies and events written to it.
    pub packets_sent: u64,
    /// Unix time in ms at which it was opened.
    pub established_ms: i64,
    /// What is known once it has a session.
    pub session: Option<ConnectionSession>,
    /// Smallest latency in ms.
    pub min_latency_ms: u64,
    /// Mean latency in ms (Apache cuts it to a whole number in `cons`).
    pub avg_latency_ms: f64,
    /// Largest latency in ms.
    pub max_latency_ms: u64,
    /// Latency of the last request in ms.
    pub last_latency_ms: u64,
    /// Name of the last operation (`GETD`, `PING`, ...), `NA` before the first.
    pub last_operation: &'static str,
    /// xid of the last request, -1 before the first.
    pub last_cxid: i64,
    /// zxid of the last reply, -1 before the first.
    pub last_zxid: i64,
    /// Milliseconds on the server's monotonic clock when the last reply left; 0 before.
    pub last_response_time_ms: i64,
}

/// The session that a connection carries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ConnectionSession {
    /// The session's id.
    pub id: i64,
    /// Its negotiated timeout in ms.
    pub timeout_ms: u32,
}

/// The settings that `conf` and the AdminServer's `configuration` show.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConfigurationReport {
    /// Plain client port, -1 without one.
    pub client_port: i32,
    /// TLS client port, -1 without one.
    pub secure_client_port: i32,
    /// Snapshot directory, `version-2` included.
    pub data_dir: PathBuf,
    /// Bytes of its files.
    pub data_dir_size: u64,
    /// Txn log directory, `version-2` included.
    pub data_log_dir: PathBuf,
    /// Bytes of its files.
    pub data_log_size: u64,
    /// Length of a tick in ms.
    pub tick_time_ms: u32,
    /// Connections allowed per client address, 0 = no limit.
    pub max_client_cnxns: u32,
    /// Smallest session timeout granted, in ms.
    pub min_session_timeout_ms: u32,
    /// Largest session timeout granted, in ms.
    pub max_session_timeout_ms: u32,
    /// Configured backlog, -1 = the default.
    pub client_port_listen_backlog: i32,
    /// Server id, 0 for a standalone server.
    pub server_id: u32,
}

/// The figures of `wchs`: watches of the data table only, as Apache counts them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct WatchSummary {
    /// Connections that watch at least one path.
    pub connections: u64,
    /// Paths watched by at least one connection.
    pub paths: u64,
    /// Pairs of both.
    pub total: u64,
}

/// Who watches what in the data table, for `wchc` and `wchp`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct WatchReport {
    /// Pairs of session id and path, in no order.
    pub pairs: Vec<(i64, String)>,
}

impl WatchReport {
    /// The paths of each session.
    pub fn by_session(&self) -> BTreeMap<i64, BTreeSet<&str>> {
        let mut all: BTreeMap<i64, BTreeSet<&str>> = BTreeMap::new();
        for (session, path) in &self.pairs {
            all.entry(*session).or_default().insert(path);
        }
        all
    }

    /// The sessions of each path.
    pub fn by_path(&self) -> BTreeMap<&str, BTreeSet<i64>> {
        let mut all: BTreeMap<&str, BTreeSet<i64>> = BTreeMap::new();
        for (session, path) in &self.pairs {
            all.entry(path).or_default().insert(*session);
        }
        all
    }
}

/// Sessions, ephemerals and connections, for `dump`.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct DumpReport {
    /// Sessions by the time at which they expire (Unix ms), ascending.
    pub sessions: Vec<(i64, Vec<i64>)>,
    /// Paths of the ephemerals of each session that has some.
    pub ephemerals: Vec<(i64, Vec<String>)>,
    /// Connections by the time at which they would be closed (Unix ms), ascending.
    pub connections: Vec<(i64, Vec<ConnectionStats>)>,
}

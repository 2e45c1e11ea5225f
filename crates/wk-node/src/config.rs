//! What a node is told at its start.

use std::time::Duration;

use wk_proto::SessionId;

use crate::sasl::SaslOptions;

/// Settings of a node. All of them are legal values: the shell has checked them.
#[derive(Clone, Debug)]
pub struct NodeConfig {
    /// Unit of session expiry (`tickTime`).
    pub tick: Duration,
    /// Shortest session timeout that is granted (`minSessionTimeout`).
    pub session_timeout_min: Duration,
    /// Longest session timeout that is granted (`maxSessionTimeout`).
    pub session_timeout_max: Duration,
    /// The id of the first new session; later ones count up. Must not repeat after a restart.
    pub first_session: SessionId,
    /// Requests under way on all connections, above which those that wait already are not read
    /// from (`globalOutstandingLimit`).
    pub outstanding_max: usize,
    /// Txns between two snapshots: a random number in (n/2, n] (`snapCount`).
    pub snap_count: u64,
    /// Bytes of log between two snapshots, likewise; 0: no such limit (`snapSizeLimitInKb`).
    pub snap_size: u64,
    /// Seed of the jitter.
    pub seed: u64,
    /// How often containers and TTL znodes are looked at (`znode.container.checkIntervalMs`).
    pub reap_interval: Duration,
    /// How many of them may be deleted a minute (`znode.container.maxPerMinute`).
    pub reap_per_minute_max: u32,
    /// A connection must have an identity of one of these schemes before it asks for anything;
    /// empty: it need not (`enforce.auth.schemes`).
    pub schemes_required: Vec<String>,
    /// Logins by SASL, if there are any.
    pub sasl: Option<SaslOptions>,
}

impl Default for NodeConfig {
    fn default() -> Self {
        Self {
            tick: Duration::from_secs(3),
            session_timeout_min: Duration::from_secs(6),
            session_timeout_max: Duration::from_mins(1),
            first_session: SessionId(0x0100_0000_0000_0001),
            outstanding_max: 1000,
            snap_count: 100_000,
            snap_size: 4 << 30,
            seed: 0,
            reap_interval: Duration::from_mins(1),
            reap_per_minute_max: 10_000,
            schemes_required: Vec::new(),
            sasl: None,
        }
    }
}

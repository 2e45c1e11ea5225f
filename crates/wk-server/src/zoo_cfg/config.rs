//! The configuration as the server uses it: only legal values, in types that carry their units.

use crate::tls::TlsSettings;
use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;
use wk_node::sasl::SaslOptions;
use wk_store::Compression;

/// Everything a standalone server is told at its start.
#[derive(Clone, Debug)]
pub struct ServerConfig {
    /// Where clients are taken in; `None` opens no port (clients inside the process only).
    pub client_addr: Option<SocketAddr>,
    /// Connections that may wait to be accepted; `None` means 50, Java's default.
    pub listen_backlog: Option<u32>,
    /// TCP keep-alive on client connections.
    pub client_tcp_keep_alive: bool,
    /// Length of a tick, the unit of session buckets.
    pub tick_time: Duration,
    /// Smallest session timeout granted.
    pub min_session_timeout: Duration,
    /// Largest session timeout granted.
    pub max_session_timeout: Duration,
    /// What bounds connections and requests.
    pub limits: Limits,
    /// TLS towards clients, if it is asked for.
    pub tls: Option<TlsSettings>,
    /// Logins by SASL, if there are any.
    pub sasl: Option<SaslOptions>,
    /// A client must have an identity of one of these schemes; empty: it need not.
    pub schemes_required: Vec<String>,
    /// The four-letter words that are answered.
    pub words: WordList,
    /// Directories and files.
    pub storage: StorageConfig,
    /// Znodes, ACLs and schemes.
    pub tree: TreeConfig,
    /// The AdminServer.
    pub admin: AdminConfig,
    /// Which metrics provider was asked for.
    pub metrics: MetricsProvider,
    /// Whether `reconfig` is answered as unimplemented (true) or as disabled.
    pub reconfig_enabled: bool,
    /// Hash of what was given that must be the same on every member ([`crate::host::config_hash`]).
    pub common_hash: String,
}

/// What bounds connections and requests.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Connections from one address; 0 = no limit.
    pub client_cnxns_max: u32,
    /// Connections in all; 0 = no limit.
    pub cnxns_max: u32,
    /// After how long a connection without a session is closed.
    pub sessionless_timeout: Duration,
    /// Requests in progress above which connections are no longer read.
    pub outstanding_max: u32,
    /// Longest request in bytes.
    pub request_bytes_max: u32,
    /// Unsent bytes of one connection above which it is no longer read.
    pub unsent_bytes_soft: usize,
    /// Unsent bytes of one connection above which an event closes it.
    pub unsent_bytes_hard: usize,
}

/// The four-letter words that are answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum WordList {
    /// All of them (`*`).
    All,
    /// These, and `srvr` always.
    Only(BTreeSet<String>),
}

impl WordList {
    /// Whether a word is answered.
    pub fn allows(&self, word: &str) -> bool {
        match self {
            Self::All => true,
            Self::Only(words) => word == "srvr" || words.contains(word),
        }
    }
}

/// Directories and files.
#[derive(Clone, Debug)]
pub struct StorageConfig {
    /// Directory of the snapshots, without `version-2`.
    pub data_dir: PathBuf,
    /// Directory of the txn logs, without `version-2`.
    pub data_log_dir: PathBuf,
    /// Make missing directories.
    pub autocreate: bool,
    /// Txns between two snapshots, before the jitter.
    pub snap_count: u32,
    /// Bytes of log that force a snapshot.
    pub snap_size_limit: Option<u64>,
    /// Bytes by which a log file grows at a time.
    pub pre_alloc_bytes: u64,
    /// Bytes at which a new log file begins.
    pub txn_log_size_limit: Option<u64>,
    /// Whether txns are on the disk before they are acknowledged.
    pub force_sync: bool,
    /// Above this a sync is reported as slow.
    pub fsync_warning: Duration,
    /// For how long txns are gathered before a sync.
    pub flush_delay: Duration,
    /// Txns that force a sync before `flush_delay` is over; 0 = no limit.
    pub batch_max: u32,
    /// Start with logs but without a snapshot.
    pub trust_empty_snapshot: bool,
    /// Digests in snapshots and txns.
    pub digest: bool,
    /// The last zxid at the end of snapshots.
    pub serialize_last_zxid: bool,
    /// How snapshots are packed.
    pub snapshot_compression: Compression,
    /// Pause between two purges; `None` = never.
    pub purge_interval: Option<Duration>,
    /// Snapshots that a purge keeps.
    pub snap_retain_count: u32,
}

/// Znodes, ACLs and schemes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TreeConfig {
    /// TTL znodes.
    pub extended_types: bool,
    /// Pause between two looks for empty containers and TTL znodes.
    pub container_check_interval: Duration,
    /// Containers deleted in a minute at most.
    pub container_per_minute: u32,
    /// No ACL is checked.
    pub skip_acl: bool,
    /// Hard quotas refuse writes.
    pub enforce_quota: bool,
    /// `user:digest` of the superuser.
    pub super_digest: Option<String>,
    /// Whether the scheme digest exists.
    pub digest_scheme: bool,
    /// Whether the scheme x509 exists.
    pub x509_scheme: bool,
    /// Subject of the superuser's certificate.
    pub x509_super: Option<String>,
    /// Whether the scheme sasl exists.
    pub sasl_scheme: bool,
    /// The id that any SASL user matches.
    pub any_sasl: Option<String>,
}

/// The AdminServer, which wk-web serves.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AdminConfig {
    /// Whether there is one.
    pub enabled: bool,
    /// Its address (a host name is possible).
    pub address: String,
    /// Its port.
    pub port: u16,
    /// Path below which its commands are.
    pub command_url: String,
    /// After how long its idle connections are closed.
    pub idle_timeout: Duration,
}

/// Which metrics provider was asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum MetricsProvider {
    /// `mntr` alone, with averages and percentiles.
    Default,
    /// Counts nothing in Apache; here the same as the default.
    Null,
    /// A page in Prometheus' form, which wk-web serves.
    Prometheus {
        /// Its address (a host name is possible).
        host: String,
        /// Its port.
        port: u16,
        /// Figures of the process as well.
        export_jvm_info: bool,
    },
}

impl ServerConfig {
    /// The defaults of a server without a zoo.cfg: data in `dir`, no port, tick of 2 s, every
    /// four-letter word, no AdminServer, no metrics page.
    pub fn for_directory(dir: &Path) -> Self {
        let tick_time = Duration::from_secs(2);
        Self {
            client_addr: None,
            listen_backlog: None,
            client_tcp_keep_alive: false,
            tick_time,
            min_session_timeout: tick_time * 2,
            max_session_timeout: tick_time * 20,
            limits: Limits::default(),
            tls: None,
            sasl: None,
            schemes_required: Vec::new(),
            words: WordList::All,
            storage: StorageConfig::for_directory(dir),
            tree: TreeConfig::default(),
            admin: AdminConfig { enabled: false, ..AdminConfig::default() },
            metrics: MetricsProvider::Default,
            reconfig_enabled: false,
            common_hash: crate::host::config_hash(&BTreeMap::new()),
        }
    }
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            client_cnxns_max: 60,
            cnxns_max: 0,
            sessionless_timeout: Duration::from_secs(10),
            outstanding_max: 1000,
            request_bytes_max: 1_048_575,
            unsent_bytes_soft: 4 << 20,
            unsent_bytes_hard: 64 << 20,
        }
    }
}

impl StorageConfig {
    /// Apache's defaults for data in `dir`.
    pub fn for_directory(dir: &Path) -> Self {
        Self {
            data_dir: dir.to_owned(),
            data_log_dir: dir.to_owned(),
            autocreate: true,
            snap_count: 100_000,
            snap_size_limit: Some(4 << 30),
            pre_alloc_bytes: 64 << 20,
            txn_log_size_limit: None,
            force_sync: true,
            fsync_warning: Duration::from_secs(1),
            flush_delay: Duration::ZERO,
            batch_max: 1000,
            trust_empty_snapshot: false,
            digest: true,
            serialize_last_zxid: true,
            snapshot_compression: Compression::None,
            purge_interval: None,
            snap_retain_count: 3,
        }
    }
}

impl Default for TreeConfig {
    fn default() -> Self {
        Self {
            extended_types: false,
            container_check_interval: Duration::from_mins(1),
            container_per_minute: 10_000,
            skip_acl: false,
            enforce_quota: false,
            super_digest: None,
            digest_scheme: true,
            x509_scheme: false,
            x509_super: None,
            sasl_scheme: false,
            any_sasl: None,
        }
    }
}

impl Default for AdminConfig {
    fn default() -> Self {
        Self {
            enabled: true,
            address: "0.0.0.0".to_owned(),
            port: 8080,
            command_url: "/commands".to_owned(),
            idle_timeout: Duration::from_secs(30),
        }
    }
}

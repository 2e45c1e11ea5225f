//! Starting a server, and the handle by which the rest of the process reaches it.

use crate::disk_thread::{DiskThread, Gather};
use crate::driver::{Clock, Driver, Message, Parts, Port, Speech, StartFigures, WAKER};
use crate::four_letter::Word;
use crate::host::HostReader;
use crate::mailbox::Mailbox;
use crate::metrics::Metrics;
use crate::report::{
    ConfigurationReport, ConnectionStats, DumpReport, ServerStats, WatchReport, WatchSummary,
};
use crate::snapshot_thread::SnapshotThread;
use crate::socket;
use crate::tls::{Doorman, Reloading, TlsError};
use crate::txn_stream::{TxnPort, TxnStream};
use crate::zoo_cfg::ServerConfig;
use mio::{Poll, Waker};
use std::fmt;
use std::hash::{BuildHasher as _, Hasher as _, RandomState};
use std::io;
use std::net::SocketAddr;
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::thread;
use std::time::Duration;
use tokio::sync::{broadcast, oneshot, watch};
use tracing::info;
use wk_node::sasl::{SaslOptions, Secret};
use wk_node::{Node, NodeConfig, Now};
use wk_proto::{SessionId, Zxid};
use wk_store::{
    Dirs, Disk, RecoverOptions, Recovered, SnapshotOptions, StoreError, TxnLog, TxnLogOptions,
    open_dirs, recover,
};
use wk_tree::TreeOptions;
use wk_tree::auth::AuthOptions;

/// Ends of sessions that a listener may lag behind before it is told of a gap.
const SESSION_ENDS_MAX: usize = 4096;

/// How long a page waits for what the host knows, before it goes without.
const HOST_LIMIT: Duration = Duration::from_millis(300);

/// Why a server does not start.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StartError {
    /// Nothing can listen there; most often the port is taken.
    #[error(
        "cannot listen for clients on {addr}: {source}; clientPort and clientPortAddress, or \
         secureClientPort and secureClientPortAddress, say where"
    )]
    Listen {
        /// Where.
        addr: SocketAddr,
        /// Why not.
        source: io::Error,
    },
    /// A socket that was handed over has no port of the configuration.
    #[error(
        "was handed a socket that listens on {addr}: neither clientPort nor secureClientPort of \
         zoo.cfg has this port"
    )]
    Stranger {
        /// Where it listens.
        addr: SocketAddr,
    },
    /// The certificates for TLS cannot be used.
    #[error(transparent)]
    Tls(#[from] TlsError),
    /// The data cannot be opened or recovered.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The operating system refuses threads or descriptors.
    #[error("cannot start the server's threads")]
    Io(#[from] io::Error),
}

impl StartError {
    /// The exit code that Apache's supervisors know.
    pub fn exit_code(&self) -> u8 {
        match self {
            Self::Store(err) => err.exit_code(),
            Self::Tls(_) | Self::Stranger { .. } => 2,
            Self::Listen { .. } | Self::Io(_) => 1,
        }
    }
}

/// Why a server ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ExitReason {
    /// It was told to.
    Shutdown,
    /// The txn log cannot be written any more; nothing acknowledged is lost.
    LogBroken {
        /// What the disk said.
        reason: String,
    },
    /// The thread that writes snapshots and purges came upon a state that must not be.
    SnapshotsPanicked,
    /// It came upon a state that must not be.
    Panicked,
}

impl ExitReason {
    /// The process' exit code.
    pub fn exit_code(&self) -> u8 {
        match self {
            Self::Shutdown => 0,
            Self::LogBroken { .. } => 10,
            Self::SnapshotsPanicked | Self::Panicked => 1,
        }
    }
}

impl fmt::Display for ExitReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Shutdown => f.write_str("stopped"),
            Self::LogBroken { reason } => write!(f, "the txn log cannot be written: {reason}"),
            Self::SnapshotsPanicked => {
                f.write_str("no snapshots can be written: their thread panicked")
            }
            Self::Panicked => f.write_str("the server's thread panicked"),
        }
    }
}

/// A session is over.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SessionEnd {
    /// The session.
    pub session: SessionId,
    /// The txn that ended it.
    pub zxid: Zxid,
    /// Did it expire? Otherwise its client closed it.
    pub expired: bool,
    /// Paths of the ephemerals that went with it.
    pub ephemerals: Vec<String>,
}

/// The server has ended, so it does not answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the server has stopped")]
pub struct ServerStopped;

/// A standalone server.
#[derive(Debug)]
pub struct Server;

impl Server {
    /// Recovers the data, opens the port and serves on threads of its own.
    ///
    /// Blocks until it serves, which with much data takes a while.
    pub fn start(config: ServerConfig) -> Result<ServerHandle, StartError> {
        Self::start_with(config, Vec::new())
    }

    /// Like [`Server::start`], on sockets that listen already, as systemd hands them over: each of
    /// the configured ports takes the one that has it, the others are opened.
    pub fn start_with(
        config: ServerConfig,
        sockets: Vec<std::net::TcpListener>,
    ) -> Result<ServerHandle, StartError> {
        let storage = &config.storage;
        let separate = storage.data_log_dir != storage.data_dir;
        let log_dir = separate.then_some(storage.data_log_dir.as_path());
        let dirs = open_dirs(&storage.data_dir, log_dir, storage.autocreate)?;
        Self::begin(config, dirs, sockets)
    }

    /// Like [`Server::start`], on directories that are open already: tests put a disk under it
    /// that fails.
    pub fn start_on(config: ServerConfig, dirs: Dirs) -> Result<ServerHandle, StartError> {
        Self::begin(config, dirs, Vec::new())
    }

    fn begin(
        mut config: ServerConfig,
        dirs: Dirs,
        sockets: Vec<std::net::TcpListener>,
    ) -> Result<ServerHandle, StartError> {
        let clock = Clock::new();
        let now = clock.now();
        // Before the data is read, which may take long: a taken port is said at once.
        let tls = config.tls.clone().map(Reloading::new).transpose()?;
        let mut ports = listen(&mut config, sockets)?;
        let (local_addr, config) = (config.client_addr, Arc::new(config));
        let storage = &config.storage;
        let (node, log, start) = open_node(&config, &dirs, &clock, now)?;
        let poll = Poll::new()?;
        Driver::register_ports(&poll, &mut ports)?;
        let mailbox = Arc::new(Mailbox::new(Waker::new(poll.registry(), WAKER)?));
        let gather = Gather {
            delay: storage.flush_delay,
            records_max: usize::try_from(storage.batch_max).unwrap_or(usize::MAX),
        };
        let to = mailbox.clone();
        let disk = DiskThread::start(log, gather, move |report| to.post(Message::Disk(report)))?;
        let to = mailbox.clone();
        let options = snapshot_options(&config);
        // Without the slash that the empty name leaves behind.
        let directory = |disk: &dyn Disk| disk.path("").components().collect();
        let directories = (directory(&*dirs.snapshots), directory(&*dirs.logs));
        let snapshots = SnapshotThread::start(dirs, options, move |report| {
            to.post(Message::Snapshot(report));
        })?;
        let doorman = tls.map(|tls| {
            let to = mailbox.clone();
            let patience = config.limits.sessionless_timeout;
            Doorman::start(tls, patience, move |report| to.post(Message::Door(report)))
        });
        let host = HostReader::new(&storage.data_dir, &storage.data_log_dir, &config.common_hash);
        let session_ends = broadcast::Sender::new(SESSION_ENDS_MAX);
        let txns = Arc::new(TxnPort::default());
        let parts = Parts {
            config: config.clone(),
            node,
            clock,
            poll,
            ports,
            doorman: doorman.transpose()?,
            mailbox: mailbox.clone(),
            disk,
            snapshots,
            session_ends: session_ends.clone(),
            txns: Arc::clone(&txns),
            start,
            directories,
        };
        let (ended, exit) = watch::channel(None);
        thread::Builder::new().name("wk-driver".to_owned()).spawn(move || {
            // A panic must be seen by who waits, or the process would live on without a server.
            let guard = EndGuard(ended, Arc::clone(&parts.txns));
            let reason = Driver::new(parts).run();
            guard.0.send_replace(Some(reason));
        })?;
        if let Some(addr) = local_addr {
            info!(%addr, version = crate::VERSION, "serving clients");
        }
        if let Some(addr) = config.tls.as_ref().and_then(|tls| tls.secure_addr) {
            info!(%addr, version = crate::VERSION, "serving clients over TLS");
        }
        let host = Arc::new(host);
        let shared = Shared { config, mailbox, local_addr, session_ends, txns, host, exit };
        Ok(ServerHandle { shared: Arc::new(shared) })
    }
}

struct EndGuard(watch::Sender<Option<ExitReason>>, Arc<TxnPort>);

impl Drop for EndGuard {
    fn drop(&mut self) {
        self.1.end();
        self.0.send_if_modified(|reason| {
            let panicked = reason.is_none();
            reason.get_or_insert(ExitReason::Panicked);
            panicked
        });
    }
}

/// Opens the ports that clients may come by. Port 0 asks for any: the configuration gets the one
/// that it became. A port that a socket of `sockets` has is not opened but taken over.
fn listen(
    config: &mut ServerConfig,
    sockets: Vec<std::net::TcpListener>,
) -> Result<Vec<Port>, StartError> {
    let backlog = config.listen_backlog;
    let mut given = Vec::new();
    for socket in sockets {
        given.push((socket.local_addr()?, socket));
    }
    let mut open = |addr: &mut Option<SocketAddr>, speech| {
        let Some(wanted) = *addr else { return Ok(None) };
        let listener = match given.iter().position(|(addr, _)| addr.port() == wanted.port()) {
            Some(at) => socket::take_over(given.swap_remove(at).1),
            None => socket::listen(wanted, backlog),
        };
        let listener = listener.map_err(|source| StartError::Listen { addr: wanted, source })?;
        *addr = Some(listener.local_addr()?);
        Ok::<_, StartError>(Some(Port { listener, speech }))
    };
    let unified = config.tls.as_ref().is_some_and(|tls| tls.unified);
    let plain =
        open(&mut config.client_addr, if unified { Speech::Either } else { Speech::Plain })?;
    let secure = match &mut config.tls {
        Some(tls) => open(&mut tls.secure_addr, Speech::Tls)?,
        None => None,
    };
    match given.first() {
        Some((addr, _)) => Err(StartError::Stranger { addr: *addr }),
        None => Ok(plain.into_iter().chain(secure).collect()),
    }
}

/// Recovers the tree and sets up node and log over it.
fn open_node(
    config: &ServerConfig,
    dirs: &Dirs,
    clock: &Clock,
    now: Now,
) -> Result<(Node, TxnLog, StartFigures), StartError> {
    let storage = &config.storage;
    let options = RecoverOptions {
        tree: tree_options(config),
        snapshot: snapshot_options(config),
        trust_empty: storage.trust_empty_snapshot,
    };
    let Recovered { tree, report } = recover(dirs, &options)?;
    let newest = report.wrote_snapshot.as_ref().or(report.snapshot.as_ref());
    let figures = StartFigures {
        snapshot_load: report.snapshot_time,
        txns_load: report.replay_time,
        txns: report.txns_replayed,
        database_init: clock.now().mono.since(now.mono),
        snapshot_due: newest.is_none_or(|newest| newest.zxid != tree.last_zxid()),
    };
    let log = TxnLog::new(
        dirs.logs.clone(),
        tree.last_zxid(),
        TxnLogOptions {
            preallocation: storage.pre_alloc_bytes,
            size_limit: storage.txn_log_size_limit,
            force_sync: storage.force_sync,
            slow_sync: storage.fsync_warning,
        },
    );
    let ready = clock.now();
    let node = Node::new(node_config(config, ready), tree, ready);
    Ok((node, log, figures))
}

fn tree_options(config: &ServerConfig) -> TreeOptions {
    TreeOptions {
        extended_types: config.tree.extended_types,
        digest: config.storage.digest,
        reconfig: config.reconfig_enabled,
        enforce_quota: config.tree.enforce_quota,
        auth: AuthOptions {
            skip_acl: config.tree.skip_acl,
            digest: config.tree.digest_scheme,
            super_digest: config.tree.super_digest.clone(),
            x509: config.tree.x509_scheme,
            x509_super: config.tree.x509_super.clone(),
            sasl: config.tree.sasl_scheme,
            any_sasl: config.tree.any_sasl.clone(),
        },
        hash_seed: random(),
    }
}

/// A number that nobody can guess: the keys of std's hash state come from the operating system.
fn random() -> u64 {
    RandomState::new().build_hasher().finish()
}

/// What nonces are made from: the operating system's keys of hash states.
fn unguessable() -> Secret {
    Secret((0..4).map(|_| format!("{:016x}", random())).collect())
}

fn snapshot_options(config: &ServerConfig) -> SnapshotOptions {
    SnapshotOptions {
        digest: config.storage.digest,
        last_zxid: config.storage.serialize_last_zxid,
        compression: config.storage.snapshot_compression,
    }
}

fn node_config(config: &ServerConfig, now: Now) -> NodeConfig {
    NodeConfig {
        tick: config.tick_time,
        session_timeout_min: config.min_session_timeout,
        session_timeout_max: config.max_session_timeout,
        first_session: first_session(now),
        outstanding_max: usize::try_from(config.limits.outstanding_max).unwrap_or(usize::MAX),
        snap_count: u64::from(config.storage.snap_count),
        snap_size: config.storage.snap_size_limit.unwrap_or(0),
        seed: random(),
        reap_interval: config.tree.container_check_interval,
        reap_per_minute_max: config.tree.container_per_minute,
        schemes_required: config.schemes_required.clone(),
        sasl: config.sasl.clone().map(|sasl| SaslOptions { nonce_secret: unguessable(), ..sasl }),
    }
}

/// The first session id as Apache makes it: the server's id (1 when it stands alone) in the high
/// byte, then 40 bits of milliseconds, then 16 bits that count.
fn first_session(now: Now) -> SessionId {
    let millis = now.wall.0.cast_unsigned() & 0xff_ffff_ffff;
    SessionId((1_i64 << 56) | (millis << 16).cast_signed())
}

struct Shared {
    config: Arc<ServerConfig>,
    mailbox: Arc<Mailbox<Message>>,
    local_addr: Option<SocketAddr>,
    session_ends: broadcast::Sender<SessionEnd>,
    txns: Arc<TxnPort>,
    host: Arc<HostReader>,
    exit: watch::Receiver<Option<ExitReason>>,
}

/// Reaches a running server from the rest of the process. Cheap to clone.
#[derive(Clone)]
pub struct ServerHandle {
    shared: Arc<Shared>,
}

impl fmt::Debug for ServerHandle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ServerHandle").field("addr", &self.shared.local_addr).finish()
    }
}

impl ServerHandle {
    /// Where it takes clients in; `None` without a port.
    pub fn local_addr(&self) -> Option<SocketAddr> {
        self.shared.local_addr
    }

    /// Where it takes clients in over TLS; `None` without such a port.
    pub fn secure_addr(&self) -> Option<SocketAddr> {
        self.shared.config.tls.as_ref().and_then(|tls| tls.secure_addr)
    }

    /// What it was told at its start.
    pub fn config(&self) -> &ServerConfig {
        &self.shared.config
    }

    /// A client's connection that never leaves the process; the socket is non-blocking.
    pub fn connect_in_process(&self) -> io::Result<UnixStream> {
        let (theirs, ours) = UnixStream::pair()?;
        theirs.set_nonblocking(true)?;
        ours.set_nonblocking(true)?;
        let ours = mio::net::UnixStream::from_std(ours);
        let job = move |driver: &mut Driver| driver.open_local(ours);
        self.shared.mailbox.post(Message::Job(Box::new(job)));
        Ok(theirs)
    }

    /// Every txn that is committed from now on, in order, for one reader; at most `len_max` bytes
    /// wait for it, and what does not fit is said as a gap. A later call ends the earlier stream.
    pub fn txns(&self, len_max: usize) -> TxnStream {
        self.shared.txns.open(len_max)
    }

    /// Every end of a session from now on. Who lags far behind is told of the gap.
    pub fn session_ends(&self) -> broadcast::Receiver<SessionEnd> {
        self.shared.session_ends.subscribe()
    }

    /// Begins a graceful stop: nobody new is taken in, what is on its way is finished, everything
    /// is synced. [`ServerHandle::wait`] says when it is done.
    pub fn shutdown(&self) {
        self.shared.mailbox.post(Message::Shutdown);
    }

    /// Waits until the server has ended, and says why.
    pub async fn wait(&self) -> ExitReason {
        let mut exit = self.shared.exit.clone();
        match exit.wait_for(Option::is_some).await {
            Ok(reason) => reason.clone().unwrap_or(ExitReason::Panicked),
            Err(_) => ExitReason::Panicked,
        }
    }

    /// Has `question` answered between two turns of the driver.
    async fn ask<T: Send + 'static>(
        &self,
        question: impl FnOnce(&mut Driver) -> T + Send + 'static,
    ) -> Result<T, ServerStopped> {
        let (answer, answered) = oneshot::channel();
        let job = move |driver: &mut Driver| {
            // Who asked may have given up.
            let _ = answer.send(question(driver));
        };
        if self.shared.exit.borrow().is_some() {
            return Err(ServerStopped);
        }
        self.shared.mailbox.post(Message::Job(Box::new(job)));
        let mut exit = self.shared.exit.clone();
        tokio::select! {
            answer = answered => answer.map_err(|_| ServerStopped),
            _ = exit.wait_for(Option::is_some) => Err(ServerStopped),
        }
    }

    /// The figures of `srvr`.
    pub async fn stats(&self) -> Result<ServerStats, ServerStopped> {
        self.ask(|driver| driver.server_stats()).await
    }

    /// All metrics.
    pub async fn metrics(&self) -> Result<Metrics, ServerStopped> {
        self.ask(Driver::metrics).await
    }

    /// What only its host knows, as a metrics page; `None` where the host does not answer in time.
    /// The driver has no part in it.
    pub async fn host_page(&self) -> Option<Arc<str>> {
        let ask = async || {
            let host = Arc::clone(&self.shared.host);
            let read = tokio::task::spawn_blocking(move || host.page());
            tokio::time::timeout(HOST_LIMIT, read).await.ok()?.ok()?
        };
        // While the first still reads a slow disk, the second gets what was read before.
        match ask().await {
            Some(page) => Some(page),
            None => ask().await,
        }
    }

    /// The same, waiting as long as the host takes; not for threads that others wait for.
    pub fn read_host_page(&self) -> Option<Arc<str>> {
        self.shared.host.page()
    }

    /// All connections, oldest first.
    pub async fn connections(&self) -> Result<Vec<ConnectionStats>, ServerStopped> {
        self.ask(|driver| driver.connection_stats()).await
    }

    /// The settings that `conf` shows.
    pub async fn configuration(&self) -> Result<ConfigurationReport, ServerStopped> {
        self.ask(|driver| driver.configuration()).await
    }

    /// Numbers of watches.
    pub async fn watch_summary(&self) -> Result<WatchSummary, ServerStopped> {
        self.ask(|driver| driver.watch_summary()).await
    }

    /// Who watches what.
    pub async fn watches(&self) -> Result<WatchReport, ServerStopped> {
        self.ask(|driver| driver.watches()).await
    }

    /// Sessions, ephemerals and connections by expiry.
    pub async fn dump(&self) -> Result<DumpReport, ServerStopped> {
        self.ask(|driver| driver.dump()).await
    }

    /// The answer to a four-letter word, whatever the list of allowed words says.
    pub async fn word(&self, word: Word) -> Result<String, ServerStopped> {
        self.ask(move |driver| driver.answer(word)).await
    }

    /// Resets what `srst` resets.
    pub async fn reset_stats(&self) -> Result<(), ServerStopped> {
        self.ask(Driver::reset_stats).await
    }

    /// Resets what `crst` resets.
    pub async fn reset_connection_stats(&self) -> Result<(), ServerStopped> {
        self.ask(Driver::reset_connection_stats).await
    }

    /// Whether the Prometheus provider was asked for, which changes the keys of `mntr`.
    pub fn has_prometheus(&self) -> bool {
        matches!(self.shared.config.metrics, crate::zoo_cfg::MetricsProvider::Prometheus { .. })
    }
}

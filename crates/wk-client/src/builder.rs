//! Settings of a client, and the way to a connected one.

use std::hash::{BuildHasher, RandomState};
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::Duration;

use tokio::sync::{broadcast, mpsc, watch};
use tokio::time::Instant;
use wk_proto::Mono;

use crate::client::{Client, Shared};
use crate::driver::{Driver, HostsInUse, LastError, Parts};
use crate::error::ConnectError;
use crate::hosts::HostList;
use crate::session::{Lease, Resume, Session, SessionConfig, Status};
use crate::transport::{Connect, Tcp};

/// Callers' commands that wait for the driver, at most; more callers wait themselves.
const COMMANDS_MAX: usize = 256;
/// State changes kept for a slow reader of [`Client::transitions`]; older ones are skipped.
const TRANSITIONS_MAX: usize = 64;

/// Builds a [`Client`]. Every setting has a default.
#[must_use]
pub struct Builder {
    hosts: String,
    session: SessionConfig,
    request_timeout: Duration,
    connect_within: Duration,
    events_max: usize,
    auth: Vec<(String, Vec<u8>)>,
    connector: Arc<dyn Connect>,
}

impl Builder {
    pub(crate) fn new(hosts: &str) -> Self {
        // Clients that start together should not try the same server first: any value that
        // differs from process to process will do.
        let seed = RandomState::new().hash_one(std::process::id());
        Self {
            hosts: hosts.to_owned(),
            session: SessionConfig { seed, ..SessionConfig::default() },
            request_timeout: Duration::from_secs(10),
            connect_within: Duration::from_secs(10),
            events_max: 1024,
            auth: Vec::new(),
            connector: Arc::new(Tcp),
        }
    }

    /// The session timeout to ask for. Default 10 s; the server may grant another.
    pub fn session_timeout(mut self, timeout: Duration) -> Self {
        self.session.session_timeout = timeout;
        self
    }

    /// Deadline of every request, waiting for a connection included. Default 10 s.
    pub fn request_timeout(mut self, timeout: Duration) -> Self {
        self.request_timeout = timeout;
        self
    }

    /// How long [`Builder::connect`] tries. Default 10 s.
    pub fn connect_within(mut self, limit: Duration) -> Self {
        self.connect_within = limit;
        self
    }

    /// Longest wait for one connection attempt, and again for its handshake.
    pub fn connect_timeout(mut self, timeout: Duration) -> Self {
        self.session.connect_timeout = Some(timeout);
        self
    }

    /// Credentials for every connection, for example `("digest", "user:password")`.
    pub fn auth(mut self, scheme: &str, auth: impl Into<Vec<u8>>) -> Self {
        self.auth.push((scheme.to_owned(), auth.into()));
        self
    }

    /// May a server in read-only mode serve us? Default no.
    pub fn read_only(mut self, allowed: bool) -> Self {
        self.session.read_only = allowed;
        self
    }

    /// What happens when a session is over. Default: a new one.
    pub fn resume(mut self, resume: Resume) -> Self {
        self.session.resume = resume;
        self
    }

    /// When a session counts as lost although no server said so. Default: only servers decide.
    pub fn lease(mut self, lease: Lease) -> Self {
        self.session.lease = lease;
        self
    }

    /// Largest frame, both ways (`jute.maxbuffer`). Default 1 048 575 bytes.
    pub fn frame_max(mut self, bytes: usize) -> Self {
        self.session.frame_max = bytes;
        self
    }

    /// Requests sent and not yet answered, at most. Default 500.
    pub fn in_flight_max(mut self, requests: usize) -> Self {
        self.session.in_flight_max = requests;
        self
    }

    /// Events that a stream holds for a slow reader before they collapse to a resync. Default 1024.
    pub fn events_max(mut self, events: usize) -> Self {
        self.events_max = events;
        self
    }

    /// Seed of the order of servers and of the jitter, for runs that can be repeated.
    pub fn seed(mut self, seed: u64) -> Self {
        self.session.seed = seed;
        self
    }

    /// How connections are made. Default [`Tcp`]; [`crate::InProcess`] for a server in this process.
    pub fn connector(mut self, connector: impl Connect) -> Self {
        self.connector = Arc::new(connector);
        self
    }

    /// Starts the client without waiting for a connection: it keeps trying for as long as it
    /// lives. Must be called within a tokio runtime.
    ///
    /// # Errors
    /// [`ConnectError::Hosts`] when the host list cannot be read.
    pub fn start(self) -> Result<Client, ConnectError> {
        let list = HostList::parse(&self.hosts)?;
        let config = SessionConfig { hosts: list.hosts.len(), ..self.session };
        let frame_max = config.frame_max;
        let mut session = Session::new(config, Mono::default());
        for (scheme, auth) in self.auth {
            session.add_credential(scheme, auth);
        }
        let (commands, receiver) = mpsc::channel(COMMANDS_MAX);
        let (state, state_receiver) = watch::channel(session.state());
        let (log, _) = broadcast::channel(TRANSITIONS_MAX);
        let last_error = Arc::new(LastError::default());
        let in_use = Arc::new(HostsInUse::new(list.hosts));
        let parts = Parts {
            connector: self.connector,
            hosts: Arc::clone(&in_use),
            chroot: list.chroot.clone(),
            commands: receiver,
            state,
            log: log.clone(),
            last_error: Arc::clone(&last_error),
        };
        tokio::spawn(Driver::new(session, frame_max, Instant::now(), parts).run());
        Ok(Client::new(Shared {
            commands,
            state: state_receiver,
            log,
            last_error,
            hosts: self.hosts,
            in_use,
            chroot: list.chroot,
            events_max: self.events_max,
            next_watch: AtomicU64::new(1),
            request_timeout: self.request_timeout,
        }))
    }

    /// Starts the client and waits for its first session.
    ///
    /// # Errors
    /// [`ConnectError`] when the list cannot be read, no server accepts a session in time, or the
    /// credentials are refused.
    pub async fn connect(self) -> Result<Client, ConnectError> {
        let limit = self.connect_within;
        let client = self.start()?;
        client.wait_connected(limit).await?;
        Ok(client)
    }
}

impl Client {
    /// Waits until a server serves us.
    ///
    /// # Errors
    /// [`ConnectError::Unreachable`] after `limit`, [`ConnectError::AuthFailed`].
    pub async fn wait_connected(&self, limit: Duration) -> Result<(), ConnectError> {
        let mut state = self.state();
        let settled =
            state.wait_for(|state| !matches!(state.status, Status::Suspended | Status::Lost));
        match tokio::time::timeout(limit, settled).await {
            Ok(Ok(state)) => match state.status {
                Status::AuthFailed => Err(ConnectError::AuthFailed),
                Status::Connected
                | Status::ReadOnly
                | Status::Closed
                | Status::Suspended
                | Status::Lost => Ok(()),
            },
            Ok(Err(_)) | Err(_) => Err(self.unreachable(limit)),
        }
    }
}

//! The figures that steer a session, each with its default.

use std::time::Duration;

/// What happens when a session is over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Resume {
    /// Open a new session, with the next generation.
    NewSession,
    /// Stop: every later request fails with `SessionLost`.
    Stop,
}

/// When a session counts as lost although no server said so.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lease {
    /// Only a server decides. Right for clients that hold nothing which others may take over.
    ServerDecides,
    /// At the local deadline: the heartbeat is `sync("/")`, which reaches the leader, and once the
    /// servers may have expired the session it is `Lost` here too. Right for holders of locks.
    LocalDeadline,
}

/// A session's settings. All times are bounded by the caller; zero is not special.
#[derive(Clone, Debug)]
pub struct SessionConfig {
    /// Number of servers in the list; at least 1.
    pub hosts: usize,
    /// The session timeout to ask for; the server may grant another. Default 10 s.
    pub session_timeout: Duration,
    /// Longest wait for a TCP connection, and again for the handshake's answer. Default: the
    /// session timeout shared among the hosts, at least 1 s.
    pub connect_timeout: Option<Duration>,
    /// Pause after all hosts failed once, doubled each round up to `backoff_max`. Default 50 ms.
    pub backoff_min: Duration,
    /// Longest pause between rounds. Default 2 s.
    pub backoff_max: Duration,
    /// Requests sent and not yet answered, at most. More wait their turn. Default 500.
    pub in_flight_max: usize,
    /// Bytes of requests that wait for their turn, at most. Default 16 MiB.
    pub queue_bytes_max: usize,
    /// Largest frame, both ways (`jute.maxbuffer`). Default 1 048 575 bytes.
    pub frame_max: usize,
    /// May a server in read-only mode serve us? Default no.
    pub read_only: bool,
    /// Seed of the order of servers and of the jitter.
    pub seed: u64,
    /// See [`Resume`]. Default: a new session.
    pub resume: Resume,
    /// See [`Lease`]. Default: only a server decides.
    pub lease: Lease,
}

impl Default for SessionConfig {
    fn default() -> Self {
        Self {
            hosts: 1,
            session_timeout: Duration::from_secs(10),
            connect_timeout: None,
            backoff_min: Duration::from_millis(50),
            backoff_max: Duration::from_secs(2),
            in_flight_max: 500,
            queue_bytes_max: 16 << 20,
            frame_max: 1_048_575,
            read_only: false,
            seed: 0,
            resume: Resume::NewSession,
            lease: Lease::ServerDecides,
        }
    }
}

impl SessionConfig {
    /// The longest wait for a connection or for a handshake's answer.
    pub(crate) fn connect_timeout(&self) -> Duration {
        let hosts = u32::try_from(self.hosts.max(1)).unwrap_or(u32::MAX);
        let share = (self.session_timeout / hosts).max(Duration::from_secs(1));
        self.connect_timeout.unwrap_or(share)
    }
}

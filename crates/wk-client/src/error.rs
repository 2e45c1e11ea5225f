//! What can go wrong with a request, said so that the caller knows whether it may have been done.

use std::time::Duration;

use wk_proto::{DecodeError, ErrorCode};

/// Was the request possibly carried out although no answer came?
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Effect {
    /// It changed nothing: it was a read, or it never left.
    None,
    /// A write that left and was not answered: applied or not, only a later look can tell.
    /// Never repeat it blindly.
    Unknown,
}

/// Why a request has no result.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The server's own answer.
    #[error("{0}")]
    Server(ErrorCode),
    /// The server answered with a code that no release of ZooKeeper knows.
    #[error("server answered with the unknown error code {0}")]
    UnknownCode(i32),
    /// The connection broke after the request had left.
    #[error("connection lost{}", unknown(*.0))]
    ConnectionLoss(Effect),
    /// The request left, and its deadline passed without an answer.
    #[error("no answer in time{}", unknown(*.0))]
    TimedOut(Effect),
    /// No connection came about before the deadline; the request never left.
    #[error("no server reachable in time")]
    Unavailable,
    /// The session ended before the request left. The next one runs in a new session.
    #[error("session lost")]
    SessionLost,
    /// The server refused the credentials; the client is finished.
    #[error("authentication failed")]
    AuthFailed,
    /// The watch was removed by `remove_watches`.
    #[error("watch was removed")]
    WatchRemoved,
    /// The client was closed.
    #[error("client is closed")]
    Closed,
    /// A request or a reply is larger than the frame limit.
    #[error("frame of {need} bytes is over the limit of {limit}")]
    TooLarge {
        /// Length of the frame.
        need: usize,
        /// The limit (`jute.maxbuffer`).
        limit: usize,
    },
    /// The reply is not what the protocol says.
    #[error("malformed reply: {0}")]
    Malformed(#[from] DecodeError),
    /// An argument breaks a rule, found before anything was sent.
    #[error("{0}")]
    Argument(String),
}

fn unknown(effect: Effect) -> &'static str {
    match effect {
        Effect::None => "",
        Effect::Unknown => " (the write may have been applied)",
    }
}

impl Error {
    /// May the write behind this error have been applied?
    pub fn is_ambiguous(&self) -> bool {
        matches!(self, Self::ConnectionLoss(Effect::Unknown) | Self::TimedOut(Effect::Unknown))
    }

    /// The server's error code, if it answered with one.
    pub fn code(&self) -> Option<ErrorCode> {
        if let Self::Server(code) = self { Some(*code) } else { None }
    }

    /// Is this the server saying `code`?
    pub fn is(&self, code: ErrorCode) -> bool {
        self.code() == Some(code)
    }
}

/// Why [`crate::Builder::connect`] gave up.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ConnectError {
    /// The host list cannot be read.
    #[error("{0}")]
    Hosts(String),
    /// No server of the list accepted a session in time.
    #[error("cannot reach {hosts} within {}{}", seconds(*.after), last_suffix(.last.as_deref()))]
    Unreachable {
        /// The list, as given.
        hosts: String,
        /// How long was tried.
        after: Duration,
        /// What the last attempt failed with.
        last: Option<String>,
    },
    /// The server refused the credentials.
    #[error("authentication failed")]
    AuthFailed,
}

fn seconds(d: Duration) -> String {
    format!("{} s", d.as_secs_f64())
}

fn last_suffix(last: Option<&str>) -> String {
    last.map(|why| format!(": {why}")).unwrap_or_default()
}

//! What a driver tells the node, and what the node wants done.

use std::net::SocketAddr;
use std::ops::Range;

use wk_proto::{Id, Mono, SessionId, Wall, Zxid};

/// Both clocks, read together.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Now {
    /// For timeouts.
    pub mono: Mono,
    /// For the times that znodes carry.
    pub wall: Wall,
}

/// A connection, as the driver numbers them. A number is never used twice.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ConnId(pub u64);

/// What happened outside.
#[derive(Clone, Copy, Debug)]
pub enum Input<'a> {
    /// A client's transport is open.
    Opened {
        /// Its number.
        conn: ConnId,
        /// The other end.
        peer: SocketAddr,
    },
    /// The transport has proved who the client is, before any frame.
    Identified {
        /// On this connection.
        conn: ConnId,
        /// Its identities beside the address.
        ids: &'a [Id],
    },
    /// A whole frame came, without its length. Only while reading is not stopped.
    Frame {
        /// On this connection.
        conn: ConnId,
        /// The frame.
        frame: &'a [u8],
    },
    /// The transport is gone.
    Closed {
        /// Its number.
        conn: ConnId,
    },
    /// All appends up to this one are on disk.
    Synced {
        /// The last of them.
        upto: Zxid,
    },
    /// Appends can no longer be made durable: acknowledge nothing, take no writes.
    LogFailed,
    /// The log takes appends again; what was appended before follows as [`Input::Synced`].
    LogHealed,
    /// Take a snapshot now, unless one is being taken.
    TakeSnapshot,
    /// The snapshot's writer has room for this many bytes more.
    SnapshotSlice {
        /// About how many bytes to give.
        bytes_max: usize,
    },
    /// The snapshot that was begun is on disk, or has failed and is to be forgotten.
    SnapshotDone,
    /// The time of [`crate::Node::next_timeout`] has come.
    Tick,
}

/// Why a connection is closed, for the log and the counters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CloseReason {
    /// The client closed its session.
    SessionClosed,
    /// The session expired.
    SessionExpired,
    /// The session was resumed on another connection.
    SessionMoved,
    /// The session in the handshake is unknown, expired, or its password is wrong.
    SessionRefused,
    /// The client has seen a later zxid than this server has.
    ClientAhead,
    /// A frame could not be decoded.
    Garbage,
    /// An operation that no server knows.
    UnknownOperation,
    /// The credentials were refused.
    AuthFailed,
    /// It has none of the identities that are demanded.
    Unproved,
    /// A write could not be made durable.
    LogFailed,
}

/// What must be done, in this order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Effect {
    /// Send these bytes of [`Out::bytes`]: one whole frame with its length. The same bytes may be
    /// sent to many connections.
    Send {
        /// To this connection.
        conn: ConnId,
        /// Which bytes.
        frame: Range<usize>,
    },
    /// Send what is still queued, then close. The node has forgotten the connection already.
    Close {
        /// This connection.
        conn: ConnId,
        /// Why.
        reason: CloseReason,
    },
    /// Give no more frames of this connection; keep what has come.
    StopReading {
        /// This connection.
        conn: ConnId,
    },
    /// Give frames again, those that were kept first.
    StartReading {
        /// This connection.
        conn: ConnId,
    },
    /// Append a record to the txn log. Its bytes lie in [`Out::bytes`].
    Append {
        /// Its position.
        zxid: Zxid,
        /// Which bytes.
        record: Range<usize>,
    },
    /// The next append goes into a new log file.
    RollLog,
    /// Begin a snapshot file.
    BeginSnapshot {
        /// Names the file: everything up to here is in the snapshot.
        zxid: Zxid,
    },
    /// The next bytes of the snapshot's tree image.
    SnapshotChunk {
        /// Which bytes of [`Out::bytes`].
        bytes: Range<usize>,
    },
    /// The image is complete.
    EndSnapshot {
        /// The last txn that may show in the image.
        zxid: Zxid,
        /// The tree's digest at that txn.
        digest: u64,
    },
    /// A session is over, and its ephemerals with it.
    SessionEnded {
        /// The session.
        session: SessionId,
        /// The txn that ended it.
        zxid: Zxid,
        /// Did it expire? Otherwise the client closed it.
        expired: bool,
        /// Paths of the ephemerals that went with it.
        ephemerals: Vec<String>,
    },
}

/// Effects of one or several steps. The driver carries them out and clears it.
#[derive(Debug, Default)]
pub struct Out {
    /// What the ranges of the effects point into.
    pub bytes: Vec<u8>,
    /// The effects, in order.
    pub effects: Vec<Effect>,
}

impl Out {
    /// Forgets everything; keeps the memory.
    pub fn clear(&mut self) {
        self.bytes.clear();
        self.effects.clear();
    }

    /// Appends a frame that `write` fills, to be sent to `conn`.
    pub(crate) fn send(&mut self, conn: ConnId, write: impl FnOnce(&mut Vec<u8>)) {
        let frame = self.frame(write);
        self.effects.push(Effect::Send { conn, frame });
    }

    /// Appends a frame that `write` fills and returns where it lies.
    pub(crate) fn frame(&mut self, write: impl FnOnce(&mut Vec<u8>)) -> Range<usize> {
        let start = wk_proto::client::frame::begin(&mut self.bytes);
        write(&mut self.bytes);
        wk_proto::client::frame::end(&mut self.bytes, start);
        start - 4..self.bytes.len()
    }
}

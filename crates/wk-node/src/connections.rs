//! Client connections: who is there, what waits, and in which order it must be answered.

use std::collections::{BTreeMap, VecDeque};
use std::net::SocketAddr;
use std::time::Duration;

use wk_proto::{Id, Mono, OpCode, SessionId, Wall, Zxid};

use crate::input::ConnId;
use crate::sasl::Exchange;

/// Reads that may wait behind a connection's writes. They are all answered in the step that answers
/// the write, so this bounds what that step may add to the connection's output.
pub(crate) const READS_QUEUED_MAX: usize = 64;

/// Where a connection stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Phase {
    /// Nothing has come yet.
    Handshake,
    /// Its createSession is on the way to the disk.
    Creating,
    /// Requests are taken.
    Open,
    /// Its closeSession is on the way to the disk.
    Closing,
}

/// A request that has no reply yet, in the order of its connection.
#[derive(Debug)]
pub(crate) enum Queued {
    /// A write; the pipeline holds it.
    Write,
    /// A request that is answered from the tree once those before it are.
    Read {
        /// The frame as it came.
        frame: Box<[u8]>,
        /// When it came.
        received: Mono,
    },
    /// A sync: answered once this txn is applied, too.
    Sync {
        /// Everything that was proposed when the sync came.
        after: Zxid,
        /// The frame as it came.
        frame: Box<[u8]>,
        /// When it came.
        received: Mono,
    },
}

/// Counters of one connection, for `cons` and `stat`.
#[derive(Clone, Debug, Default)]
pub struct ConnectionCounters {
    /// Frames received.
    pub received: u64,
    /// Frames sent, events included.
    pub sent: u64,
    /// Last operation that was answered.
    pub last_op: Option<OpCode>,
    /// Its xid; -1 before the first.
    pub last_cxid: i64,
    /// The zxid in its reply.
    pub last_zxid: Zxid,
    /// When its reply was made.
    pub last_response: Mono,
    /// Its latency.
    pub last_latency: Duration,
    /// Shortest latency.
    pub latency_min: Duration,
    /// Longest latency.
    pub latency_max: Duration,
    /// All latencies together.
    pub latency_sum: Duration,
    /// Requests answered.
    pub answered: u64,
}

/// A client's connection.
#[derive(Debug)]
pub struct Connection {
    pub(crate) peer: SocketAddr,
    pub(crate) established: Wall,
    pub(crate) phase: Phase,
    pub(crate) session: SessionId,
    pub(crate) timeout: Duration,
    /// What the client said of read-only servers; echoed in kind.
    pub(crate) read_only: Option<bool>,
    /// Its identities, the address first.
    pub(crate) ids: Vec<Id>,
    /// How far its login by SASL is, once it has begun one.
    pub(crate) login: Option<Box<Exchange>>,
    /// Requests without a reply, oldest first. The front is never a read that could be answered.
    pub(crate) queue: VecDeque<Queued>,
    /// Those of them that are not writes; see [`READS_QUEUED_MAX`].
    pub(crate) queued_reads: usize,
    /// The driver was told not to read: too much is under way.
    pub(crate) throttled: bool,
    pub(crate) counters: ConnectionCounters,
}

impl Connection {
    pub(crate) fn new(peer: SocketAddr, established: Wall) -> Self {
        Self {
            peer,
            established,
            phase: Phase::Handshake,
            session: SessionId::NONE,
            timeout: Duration::ZERO,
            read_only: None,
            ids: vec![Id { scheme: "ip".to_owned(), id: peer.ip().to_canonical().to_string() }],
            login: None,
            queue: VecDeque::new(),
            queued_reads: 0,
            throttled: false,
            counters: ConnectionCounters { last_cxid: -1, ..ConnectionCounters::default() },
        }
    }

    /// The other end.
    pub fn peer(&self) -> SocketAddr {
        self.peer
    }

    /// When it was opened.
    pub fn established(&self) -> Wall {
        self.established
    }

    /// Its session; [`SessionId::NONE`] before the handshake is over.
    pub fn session(&self) -> SessionId {
        self.session
    }

    /// The session's timeout.
    pub fn timeout(&self) -> Duration {
        self.timeout
    }

    /// Its identities.
    pub fn ids(&self) -> &[Id] {
        &self.ids
    }

    /// Requests without a reply.
    pub fn outstanding(&self) -> usize {
        self.queue.len()
    }

    /// Counters since it was opened or since `crst`.
    pub fn counters(&self) -> &ConnectionCounters {
        &self.counters
    }
}

impl ConnectionCounters {
    pub(crate) fn record(&mut self, op: Option<OpCode>, cxid: i32, zxid: Zxid, now: Mono) {
        self.last_op = op;
        // The negative ones of pings and the like are no client's numbers (`ServerCnxn`, 3.9).
        if cxid >= 0 {
            self.last_cxid = i64::from(cxid);
        }
        self.last_zxid = zxid;
        self.last_response = now;
    }

    pub(crate) fn record_latency(&mut self, latency: Duration) {
        self.latency_min = if self.answered == 0 { latency } else { self.latency_min.min(latency) };
        self.latency_max = self.latency_max.max(latency);
        self.latency_sum += latency;
        self.last_latency = latency;
        self.answered += 1;
    }
}

/// All connections.
///
/// A `BTreeMap`: it is looked up once or twice a request, and `cons` and `dump` want an order.
pub(crate) type Connections = BTreeMap<ConnId, Connection>;

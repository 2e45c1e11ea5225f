//! The node: what it holds, and which part takes which input.

use std::collections::VecDeque;
use std::time::Duration;

use wk_proto::{Mono, SessionId, Zxid};
use wk_tree::watches::Watches;
use wk_tree::{Applied, Outstanding, Tree};

use crate::config::NodeConfig;
use crate::connections::{Connection, ConnectionCounters, Connections, Phase};
use crate::events::watcher;
use crate::input::{CloseReason, ConnId, Effect, Input, Now, Out};
use crate::reapers::Reaper;
use crate::sessions::Sessions;
use crate::snapshots::Snapshots;
use crate::stats::Stats;
use crate::writes::Pipeline;

/// A standalone coordination server without I/O. See the crate's documentation.
#[derive(Debug)]
pub struct Node {
    pub(crate) config: NodeConfig,
    /// Everything that is committed.
    pub(crate) tree: Tree,
    /// What the writes in `pipeline` will change.
    pub(crate) outstanding: Outstanding,
    pub(crate) watches: Watches,
    pub(crate) sessions: Sessions,
    pub(crate) connections: Connections,
    /// Appended, not applied. Zxids ascend from the tree's last one to `last_proposed`.
    pub(crate) pipeline: Pipeline,
    /// Zxid of the last append.
    pub(crate) last_proposed: Zxid,
    /// Syncs that wait for a txn, by its zxid, which ascend.
    pub(crate) syncs: VecDeque<(Zxid, ConnId)>,
    /// Reads and syncs in the queues of all connections.
    pub(crate) queued_reads: usize,
    /// Tokens of logins that have come.
    pub(crate) logins: u64,
    /// Appends become durable; false from `LogFailed` to `LogHealed`.
    pub(crate) log_ok: bool,
    pub(crate) reaper: Reaper,
    pub(crate) snapshots: Snapshots,
    pub(crate) stats: Stats,
    /// Memory for the outcome of a txn, used again for each.
    pub(crate) applied: Applied,
    /// Memory for expired sessions.
    pub(crate) expired: Vec<SessionId>,
}

impl Node {
    /// A node over a recovered tree. Every session gets its full timeout again.
    pub fn new(config: NodeConfig, tree: Tree, now: Now) -> Self {
        let mut sessions = Sessions::new(config.tick, config.first_session);
        for (session, timeout) in tree.sessions() {
            let timeout = Duration::from_millis(u64::try_from(timeout).unwrap_or(0));
            sessions.add(now.mono, session, timeout);
        }
        Self {
            last_proposed: tree.last_zxid(),
            reaper: Reaper::new(now.mono, &config),
            snapshots: Snapshots::new(&config),
            config,
            tree,
            outstanding: Outstanding::new(),
            watches: Watches::default(),
            sessions,
            connections: Connections::new(),
            pipeline: Pipeline::new(),
            syncs: VecDeque::new(),
            queued_reads: 0,
            logins: 0,
            log_ok: true,
            stats: Stats::default(),
            applied: Applied::default(),
            expired: Vec::new(),
        }
    }

    /// Advances the node and appends what must be done to `out`, in order.
    pub fn step(&mut self, now: Now, input: Input<'_>, out: &mut Out) {
        match input {
            Input::Opened { conn, peer } => {
                let connection = Connection::new(peer, now.wall);
                self.connections.insert(conn, connection);
            }
            Input::Identified { conn, ids } => {
                if let Some(connection) = self.connections.get_mut(&conn) {
                    connection.ids.extend_from_slice(ids);
                }
            }
            Input::Frame { conn, frame } => self.frame(now, conn, frame, out),
            Input::Closed { conn } => {
                if let Some(connection) = self.forget(conn)
                    && connection.session != SessionId::NONE
                {
                    self.stats.connections_dropped += 1;
                }
            }
            Input::Synced { upto } => self.synced(now, upto, out),
            Input::LogFailed => self.log_failed(out),
            Input::LogHealed => self.log_ok = true,
            Input::TakeSnapshot => self.begin_snapshot(out),
            Input::SnapshotSlice { bytes_max } => self.snapshot_slice(bytes_max, out),
            Input::SnapshotDone => self.snapshot_done(),
            Input::Tick => {
                self.expire_sessions(now, out);
                self.reap(now, out);
            }
        }
    }

    /// When the driver must send the next [`Input::Tick`].
    pub fn next_timeout(&self) -> Mono {
        self.sessions.next_timeout().min(self.reaper.next_timeout())
    }

    fn frame(&mut self, now: Now, conn: ConnId, frame: &[u8], out: &mut Out) {
        let Some(connection) = self.connections.get_mut(&conn) else { return };
        self.stats.packets_received += 1;
        connection.counters.received += 1;
        match connection.phase {
            Phase::Handshake => self.handshake(now, conn, frame, out),
            Phase::Open => {
                self.sessions.touch(now.mono, connection.session);
                self.request(now, conn, frame, out);
            }
            // Nothing after a closeSession is answered; before the session exists nothing comes.
            Phase::Creating | Phase::Closing => {}
        }
    }

    /// Forgets a connection and has the driver close it.
    pub(crate) fn close(&mut self, conn: ConnId, reason: CloseReason, out: &mut Out) {
        if self.forget(conn).is_some() {
            out.effects.push(Effect::Close { conn, reason });
        }
    }

    fn forget(&mut self, conn: ConnId) -> Option<Connection> {
        let connection = self.connections.remove(&conn)?;
        self.watches.drop_watcher(watcher(conn));
        self.queued_reads -= connection.queued_reads;
        if let Some(session) = self.sessions.get_mut(connection.session)
            && session.conn == Some(conn)
        {
            session.conn = None;
        }
        Some(connection)
    }

    /// The committed state.
    pub fn tree(&self) -> &Tree {
        &self.tree
    }

    /// All watches.
    pub fn watches(&self) -> &Watches {
        &self.watches
    }

    /// Counters.
    pub fn stats(&self) -> &Stats {
        &self.stats
    }

    /// Open connections in the order in which they came.
    pub fn connections(&self) -> impl Iterator<Item = (ConnId, &Connection)> {
        self.connections.iter().map(|(conn, connection)| (*conn, connection))
    }

    /// One open connection.
    pub fn connection(&self, conn: ConnId) -> Option<&Connection> {
        self.connections.get(&conn)
    }

    /// Number of live sessions.
    pub fn session_count(&self) -> usize {
        self.sessions.len()
    }

    /// Sessions by the time that they have left, shortest first, for `dump`.
    pub fn session_buckets(&self, now: Mono) -> Vec<(Duration, Vec<SessionId>)> {
        self.sessions.buckets(now)
    }

    /// Requests without a reply: writes on their way to the disk and reads behind them.
    pub fn outstanding_requests(&self) -> usize {
        self.under_way()
    }

    /// Is no write on its way to the disk? A driver that drains waits for this.
    pub fn is_idle(&self) -> bool {
        self.pipeline.is_empty()
    }

    /// Resets what `srst` resets.
    pub fn reset_stats(&mut self) {
        self.stats.reset_latency();
    }

    /// Resets what `crst` resets.
    pub fn reset_connection_stats(&mut self) {
        for connection in self.connections.values_mut() {
            let last_cxid = connection.counters.last_cxid;
            connection.counters = ConnectionCounters { last_cxid, ..ConnectionCounters::default() };
        }
    }
}

#[cfg(test)]
mod tests;

//! The write pipeline: prepare, append, and once it is on disk apply, tell watchers, reply.

use std::collections::VecDeque;

use tracing::{error, warn};
use wk_proto::client::{OpResult, Request, response};
use wk_proto::sabotage::{Sabotage, is_on};
use wk_proto::txn::{Record, encode_record};
use wk_proto::{ErrorCode, JuteWrite, OpCode, SessionId, Txn, TxnHeader, Xid, Zxid};
use wk_tree::prepare::{self, Context};
use wk_tree::{Applied, Outcome};

use crate::connections::{Phase, Queued};
use crate::input::{CloseReason, ConnId, Effect, Now, Out};
use crate::node::Node;
use crate::replies::{Asked, Replies};

/// Who waits for a write.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Origin {
    /// A client's request.
    Client(Asked),
    /// A client's handshake, for its session.
    Handshake {
        /// The connection.
        conn: ConnId,
    },
    /// The session ran out.
    Expiry,
    /// The reaper of containers and TTL znodes.
    Reaper,
}

/// A write on its way to the disk. The encoded record is its only owned form.
#[derive(Debug)]
pub(crate) struct Pending {
    pub(crate) zxid: Zxid,
    origin: Origin,
    record: Box<[u8]>,
}

impl Pending {
    /// The connection whose client waits, if one does.
    pub(crate) fn conn(&self) -> Option<ConnId> {
        match self.origin {
            Origin::Client(asked) => Some(asked.conn),
            Origin::Handshake { conn } => Some(conn),
            Origin::Expiry | Origin::Reaper => None,
        }
    }
}

/// Writes that are appended and not yet applied, oldest first; zxids ascend.
pub(crate) type Pipeline = VecDeque<Pending>;

impl Node {
    /// Takes a client's write: an undecodable one too becomes a txn, an error.
    pub(crate) fn write(
        &mut self,
        now: Now,
        asked: Asked,
        request: Result<&Request<'_>, ErrorCode>,
        out: &mut Out,
    ) {
        if !self.log_ok {
            return self.close(asked.conn, CloseReason::LogFailed, out);
        }
        let Some(connection) = self.connections.get_mut(&asked.conn) else { return };
        connection.queue.push_back(Queued::Write);
        let session = connection.session;
        if asked.op == Some(OpCode::CloseSession) {
            connection.phase = Phase::Closing;
            if let Some(entry) = self.sessions.get_mut(session) {
                entry.closing = true;
            }
        }
        self.propose(now, session, asked.xid, request, Origin::Client(asked), out);
    }

    /// Prepares a write and appends it to the log.
    pub(crate) fn propose(
        &mut self,
        now: Now,
        session: SessionId,
        xid: Xid,
        request: Result<&Request<'_>, ErrorCode>,
        origin: Origin,
        out: &mut Out,
    ) {
        // A standalone server counts on past the 32 bits of an epoch's counter, as Apache's does.
        let zxid = Zxid(self.last_proposed.0 + 1);
        self.last_proposed = zxid;
        let start = out.bytes.len();
        {
            let ids = match origin {
                Origin::Client(asked) => {
                    self.connections.get(&asked.conn).map_or(&[][..], |c| &c.ids)
                }
                Origin::Handshake { .. } | Origin::Expiry | Origin::Reaper => &[],
            };
            let context = Context { zxid, time: now.wall, session, ids };
            let prepared = match request {
                Ok(request) => {
                    prepare::prepare(&self.tree, &mut self.outstanding, &context, request)
                }
                Err(code) => prepare::Prepared { txn: Txn::error(code), digest: None },
            };
            if let Some(path) = refused_by_quota(request.ok(), &prepared.txn) {
                self.stats.quota_exceeded(path);
            }
            let op = prepared.txn.op();
            let header = TxnHeader { session, cxid: xid.0, zxid, time: now.wall, op };
            encode_record(&header, &prepared.txn, prepared.digest, &mut out.bytes);
        }
        let record = start..out.bytes.len();
        let owned = out.bytes[record.clone()].into();
        self.pipeline.push_back(Pending { zxid, origin, record: owned });
        self.stats.proposals += 1;
        let len = record.len();
        out.effects.push(Effect::Append { zxid, record });
        // Broken on purpose, for the simulator to find. In the second case it holds back the answers.
        if is_on(Sabotage::AckBeforeFsync) || is_on(Sabotage::SnapshotBeforeLog) {
            self.synced(now, zxid, out);
        }
        self.count_towards_snapshot(len, out);
    }

    /// Applies everything up to `upto`, in order.
    pub(crate) fn synced(&mut self, now: Now, upto: Zxid, out: &mut Out) {
        let mut applied = std::mem::take(&mut self.applied);
        while let Some(pending) = self.pipeline.pop_front_if(|p| p.zxid <= upto) {
            self.apply(now, &pending, &mut applied, out);
            // Before the next txn: its client may have asked for a sync in front of it.
            self.release_syncs(now, out);
        }
        self.applied = applied;
    }

    fn apply(&mut self, now: Now, pending: &Pending, applied: &mut Applied, out: &mut Out) {
        let record = match Record::decode(&pending.record) {
            Ok(record) => record,
            // We encoded it ourselves: to go on would make this server's tree differ from its log.
            Err(err) => panic!("own record of {} cannot be read: {err}", pending.zxid),
        };
        self.tree.apply(&record.header, &record.txn, applied);
        self.outstanding.applied(record.header.zxid);
        self.stats.commits += 1;
        if let Some(digest) = record.digest
            && self.tree.options().digest
            && digest.digest != self.tree.digest()
        {
            self.stats.digest_mismatches += 1;
            error!(zxid = %pending.zxid, "the tree's digest differs from the txn's");
        }
        self.deliver_events(applied, out);
        if let Txn::CloseSession { paths } = &record.txn {
            let ephemerals = paths.iter().flatten().map(|p| p.clone().into_owned()).collect();
            self.session_closed(pending, record.header.session, ephemerals, out);
        }
        self.answer_write(now, pending, &record.txn, applied, out);
    }

    fn answer_write(
        &mut self,
        now: Now,
        pending: &Pending,
        txn: &Txn<'_>,
        applied: &Applied,
        out: &mut Out,
    ) {
        let asked = match pending.origin {
            Origin::Client(asked) => asked,
            Origin::Handshake { conn } => {
                if self.accept(conn, out) {
                    out.effects.push(Effect::StartReading { conn });
                }
                return;
            }
            Origin::Expiry | Origin::Reaper => return,
        };
        let Some(connection) = self.connections.get_mut(&asked.conn) else { return };
        let front = connection.queue.pop_front();
        assert!(matches!(front, Some(Queued::Write)), "replies keep the order of the requests");
        let mut replies = Replies { now: now.mono, stats: &mut self.stats, out };
        // A failed multi is not a failed reply: its results say what happened.
        let result = match (&applied.outcome, txn) {
            (Outcome::Error(code), txn) if !matches!(txn, Txn::Multi(_)) => Err(*code),
            _ => Ok(()),
        };
        let op = asked.op;
        replies.send(connection, asked, pending.zxid, result, |bytes| {
            if result.is_ok() {
                encode_result(op, applied, txn, bytes);
            }
        });
        if op == Some(OpCode::CloseSession) {
            return self.close(asked.conn, CloseReason::SessionClosed, out);
        }
        self.drain(now, asked.conn, out);
    }

    /// A session's end has been applied.
    fn session_closed(
        &mut self,
        pending: &Pending,
        session: SessionId,
        ephemerals: Vec<String>,
        out: &mut Out,
    ) {
        let gone = self.sessions.remove(session);
        let expired = matches!(pending.origin, Origin::Expiry);
        let zxid = pending.zxid;
        out.effects.push(Effect::SessionEnded { session, zxid, expired, ephemerals });
        if expired && let Some(conn) = gone.and_then(|s| s.conn) {
            self.close(conn, CloseReason::SessionExpired, out);
        }
    }

    /// The log cannot be made durable: nobody who waits for a write may get an answer.
    pub(crate) fn log_failed(&mut self, out: &mut Out) {
        if !std::mem::replace(&mut self.log_ok, false) {
            return;
        }
        let waiting: Vec<_> = self.pipeline.iter().filter_map(Pending::conn).collect();
        warn!(writes = self.pipeline.len(), "txn log failed: closing the connections that wait");
        for conn in waiting {
            self.close(conn, CloseReason::LogFailed, out);
        }
    }

    /// Ends a session that nobody has been heard of for too long.
    pub(crate) fn expire_sessions(&mut self, now: Now, out: &mut Out) {
        let mut expired = std::mem::take(&mut self.expired);
        self.sessions.expired(now.mono, &mut expired);
        for session in expired.drain(..) {
            if !self.log_ok {
                // A session's end is a write; it has to wait for the log.
                self.sessions.postpone(now.mono, session);
                continue;
            }
            self.stats.sessions_expired += 1;
            if let Some(entry) = self.sessions.get_mut(session) {
                entry.closing = true;
            }
            if let Some(conn) = self.sessions.get(session).and_then(|s| s.conn) {
                // Requests that race with the expiry are dropped with the connection.
                self.close(conn, CloseReason::SessionExpired, out);
            }
            let request = Ok(&Request::CloseSession);
            self.propose(now, session, Xid(0), request, Origin::Expiry, out);
        }
        self.expired = expired;
    }
}

/// Writes the record of a reply to a write.
fn encode_result(op: Option<OpCode>, applied: &Applied, txn: &Txn<'_>, bytes: &mut Vec<u8>) {
    if let Txn::Multi(txns) = txn {
        for (txn, outcome) in txns.iter().zip(&applied.multi) {
            outcome.result(txn).encode(bytes);
        }
        return response::encode_multi_end(bytes);
    }
    match applied.outcome.result(txn) {
        OpResult::Create { path } => bytes.put_string(path),
        OpResult::Create2 { path, stat } => {
            bytes.put_string(path);
            if op != Some(OpCode::Create) {
                stat.encode(bytes);
            }
        }
        OpResult::SetData { stat } => stat.encode(bytes),
        OpResult::Delete
        | OpResult::Check
        | OpResult::GetData { .. }
        | OpResult::GetChildren { .. }
        | OpResult::Error { .. } => {}
    }
}

/// The path of the write, alone or in a multi, that a hard quota has refused.
fn refused_by_quota<'r>(request: Option<&Request<'r>>, txn: &Txn<'_>) -> Option<&'r str> {
    let is_it = |txn: &Txn<'_>| *txn == Txn::error(ErrorCode::QuotaExceeded);
    match (request?, txn) {
        (Request::Multi(ops), Txn::Multi(txns)) => ops.get(txns.iter().position(is_it)?)?.path(),
        (request, txn) => request.path().filter(|_| is_it(txn)),
    }
}

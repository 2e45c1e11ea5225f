//! Requests of an open connection: which are writes, which can be answered at once, which wait.

use tracing::debug;
use wk_proto::client::{ReplyHeader, Request, RequestHeader};
use wk_proto::{ErrorCode, OpCode, Reader, Zxid};

use crate::connections::{Queued, READS_QUEUED_MAX};
use crate::input::{CloseReason, ConnId, Effect, Now, Out};
use crate::node::Node;
use crate::replies::{Asked, Replies};

impl Node {
    /// Takes a frame of an open connection.
    pub(crate) fn request(&mut self, now: Now, conn: ConnId, frame: &[u8], out: &mut Out) {
        let mut reader = Reader::new(frame);
        let Ok(header) = RequestHeader::decode(&mut reader) else {
            self.stats.bad_requests += 1;
            return self.close(conn, CloseReason::Garbage, out);
        };
        let op = OpCode::from_code(header.op);
        let asked = Asked { conn, xid: header.xid, op, received: now.mono };
        match op {
            // Credentials count from the moment they come: outside of the order of requests.
            Some(OpCode::Auth) => return self.authenticate(asked, &mut reader, out),
            Some(OpCode::Sasl) => return self.sasl(asked, &mut reader, out),
            _ if self.refuse_unproved(asked, out) => return,
            Some(op) if op.is_write() && op != OpCode::Check && op != OpCode::CreateSession => {
                match Request::decode(op, &mut reader) {
                    Ok(request) => self.write(now, asked, Ok(&request), out),
                    // Only an undecodable multi has become a txn when Apache finds that out.
                    Err(_) if op == OpCode::Multi => {
                        self.write(now, asked, Err(ErrorCode::MarshallingError), out);
                    }
                    Err(_) => self.read_in_turn(now, asked, frame, out),
                }
            }
            _ => self.read_in_turn(now, asked, frame, out),
        }
        self.throttle(conn, out);
    }

    /// Answers a read now, or queues it behind what this connection still waits for.
    fn read_in_turn(&mut self, now: Now, asked: Asked, frame: &[u8], out: &mut Out) {
        let Some(connection) = self.connections.get_mut(&asked.conn) else { return };
        let received = asked.received;
        if asked.op == Some(OpCode::Sync) && !self.pipeline.is_empty() {
            let after = self.last_proposed;
            connection.queue.push_back(Queued::Sync { after, frame: frame.into(), received });
            self.syncs.push_back((after, asked.conn));
            connection.queued_reads += 1;
            self.queued_reads += 1;
        } else if connection.queue.is_empty() {
            self.read(now, asked, frame, out);
        } else {
            connection.queue.push_back(Queued::Read { frame: frame.into(), received });
            connection.queued_reads += 1;
            self.queued_reads += 1;
        }
    }

    /// Answers the reads at the front of a connection's queue, up to its next write.
    pub(crate) fn drain(&mut self, now: Now, conn: ConnId, out: &mut Out) {
        loop {
            let Some(connection) = self.connections.get_mut(&conn) else { return };
            let ready = match connection.queue.front() {
                None | Some(Queued::Write) => false,
                Some(Queued::Read { .. }) => true,
                Some(Queued::Sync { after, .. }) => *after <= self.tree.last_zxid(),
            };
            if !ready {
                break;
            }
            let (frame, received) = match connection.queue.pop_front() {
                Some(Queued::Read { frame, received } | Queued::Sync { frame, received, .. }) => {
                    (frame, received)
                }
                None | Some(Queued::Write) => break,
            };
            connection.queued_reads -= 1;
            self.queued_reads -= 1;
            let Ok(header) = RequestHeader::decode(&mut Reader::new(&frame)) else { continue };
            let op = OpCode::from_code(header.op);
            self.read(now, Asked { conn, xid: header.xid, op, received }, &frame, out);
        }
        self.unthrottle(conn, out);
    }

    /// Answers the syncs whose txns are applied and that wait behind nothing else.
    pub(crate) fn release_syncs(&mut self, now: Now, out: &mut Out) {
        while let Some((after, conn)) = self.syncs.front().copied() {
            if after > self.tree.last_zxid() {
                break;
            }
            self.syncs.pop_front();
            self.drain(now, conn, out);
        }
    }

    /// Requests that are under way on all connections.
    pub(crate) fn under_way(&self) -> usize {
        self.pipeline.len() + self.queued_reads
    }

    /// Stops reading from a connection that waits while too much is under way, or that has too
    /// many reads waiting itself.
    fn throttle(&mut self, conn: ConnId, out: &mut Out) {
        let busy = self.under_way() > self.config.outstanding_max;
        if let Some(connection) = self.connections.get_mut(&conn)
            && !connection.throttled
            && !connection.queue.is_empty()
            && (busy || connection.queued_reads >= READS_QUEUED_MAX)
        {
            connection.throttled = true;
            out.effects.push(Effect::StopReading { conn });
        }
    }

    fn unthrottle(&mut self, conn: ConnId, out: &mut Out) {
        let relaxed = self.under_way() < self.config.outstanding_max;
        if let Some(connection) = self.connections.get_mut(&conn)
            && connection.throttled
            && connection.queued_reads < READS_QUEUED_MAX
            && (relaxed || connection.queue.is_empty())
        {
            connection.throttled = false;
            out.effects.push(Effect::StartReading { conn });
        }
    }

    fn authenticate(&mut self, asked: Asked, reader: &mut Reader<'_>, out: &mut Out) {
        let request = Request::decode(OpCode::Auth, reader);
        let Some(connection) = self.connections.get_mut(&asked.conn) else { return };
        let added = match request {
            Ok(Request::Auth { scheme, auth: credentials, .. }) => {
                let peer = connection.peer.ip().to_canonical().to_string();
                self.tree.options().auth.authenticate(scheme, credentials, &peer, &connection.ids)
            }
            _ => Err(ErrorCode::AuthFailed),
        };
        let err = match added {
            Ok(ids) => {
                for id in ids {
                    if !connection.ids.contains(&id) {
                        connection.ids.push(id);
                    }
                }
                0
            }
            Err(code) => code.code(),
        };
        connection.counters.sent += 1;
        self.stats.packets_sent += 1;
        // Whatever xid the packet carried (`ZooKeeperServer.processPacket`): mostly -4, not always.
        let header = ReplyHeader { xid: asked.xid, zxid: Zxid::ZERO, err };
        out.send(asked.conn, |bytes| header.encode(bytes));
        if err != 0 {
            self.stats.auth_failed += 1;
            debug!(conn = ?asked.conn, "credentials refused");
            self.close(asked.conn, CloseReason::AuthFailed, out);
        }
    }

    /// Answers a number that no server knows, and closes.
    pub(crate) fn refuse_unknown(&mut self, now: Now, asked: Asked, out: &mut Out) {
        self.stats.bad_requests += 1;
        let Some(connection) = self.connections.get_mut(&asked.conn) else { return };
        let mut replies = Replies { now: now.mono, stats: &mut self.stats, out };
        replies.header(connection, asked, Zxid::NONE, Err(ErrorCode::Unimplemented));
        self.close(asked.conn, CloseReason::UnknownOperation, out);
    }
}

//! The handshake: a new session, an old one resumed, or a refusal.

use std::time::Duration;

use tracing::{debug, info};
use wk_proto::client::{ConnectRequest, ConnectResponse, Request};
use wk_proto::{SessionId, Xid};

use crate::connections::Phase;
use crate::input::{CloseReason, ConnId, Effect, Now, Out};
use crate::node::Node;
use crate::replies::millis;
use crate::writes::Origin;

impl Node {
    /// Takes a connection's first frame.
    pub(crate) fn handshake(&mut self, now: Now, conn: ConnId, frame: &[u8], out: &mut Out) {
        self.stats.connection_requests += 1;
        let Ok(request) = ConnectRequest::decode(frame) else {
            self.stats.bad_requests += 1;
            return self.close(conn, CloseReason::Garbage, out);
        };
        if request.last_zxid_seen > self.tree.last_zxid() {
            info!(?conn, seen = %request.last_zxid_seen, ours = %self.tree.last_zxid(),
                "client has seen a later zxid than this server has");
            return self.close(conn, CloseReason::ClientAhead, out);
        }
        let wish = Duration::from_millis(u64::try_from(request.timeout).unwrap_or(0));
        let timeout = wish.clamp(self.config.session_timeout_min, self.config.session_timeout_max);
        let Some(connection) = self.connections.get_mut(&conn) else { return };
        connection.read_only = request.read_only;
        if request.session == SessionId::NONE {
            self.create_session(now, conn, timeout, out);
        } else {
            self.resume_session(now, conn, &request, timeout, out);
        }
    }

    fn create_session(&mut self, now: Now, conn: ConnId, timeout: Duration, out: &mut Out) {
        if !self.log_ok {
            return self.close(conn, CloseReason::LogFailed, out);
        }
        let session = self.sessions.fresh_id();
        self.sessions.add(now.mono, session, timeout);
        if let Some(entry) = self.sessions.get_mut(session) {
            entry.conn = Some(conn);
        }
        let Some(connection) = self.connections.get_mut(&conn) else { return };
        connection.phase = Phase::Creating;
        connection.session = session;
        connection.timeout = timeout;
        // What the client sends early waits with the driver until the session exists.
        out.effects.push(Effect::StopReading { conn });
        let request = Request::CreateSession { timeout: millis(timeout) };
        self.propose(now, session, Xid(0), Ok(&request), Origin::Handshake { conn }, out);
    }

    fn resume_session(
        &mut self,
        now: Now,
        conn: ConnId,
        request: &ConnectRequest,
        timeout: Duration,
        out: &mut Out,
    ) {
        self.stats.connection_revalidations += 1;
        let session = request.session;
        // The rival goes even if the password is wrong, as in Apache.
        if let Some(rival) = self.sessions.get(session).and_then(|s| s.conn)
            && rival != conn
        {
            self.close(rival, CloseReason::SessionMoved, out);
        }
        let known = self.sessions.get(session).is_some_and(|s| !s.closing);
        if !known || session.password() != request.password {
            debug!(%session, known, "session refused");
            out.send(conn, |b| {
                ConnectResponse::refused(request.read_only.map(|_| false)).encode(b);
            });
            return self.close(conn, CloseReason::SessionRefused, out);
        }
        self.sessions.reopen(now.mono, session, timeout, conn);
        let Some(connection) = self.connections.get_mut(&conn) else { return };
        connection.session = session;
        connection.timeout = timeout;
        self.accept(conn, out);
    }

    /// Tells the client its session and opens the connection for requests.
    /// False: the connection is gone.
    pub(crate) fn accept(&mut self, conn: ConnId, out: &mut Out) -> bool {
        let Some(connection) = self.connections.get_mut(&conn) else { return false };
        connection.phase = Phase::Open;
        connection.counters.sent += 1;
        self.stats.packets_sent += 1;
        let response = ConnectResponse {
            timeout: millis(connection.timeout),
            session: connection.session,
            password: connection.session.password(),
            // We are never a read-only server, whatever the client would take.
            read_only: connection.read_only.map(|_| false),
        };
        out.send(conn, |bytes| response.encode(bytes));
        true
    }
}

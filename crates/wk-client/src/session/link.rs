//! The connection's part of the session machine: dialling, the handshake, frames, heartbeats.

use std::collections::VecDeque;
use std::time::Duration;

use wk_proto::client::connect::{ConnectRequest, ConnectResponse};
use wk_proto::client::frame;
use wk_proto::client::request::{Request, SetWatches, WatcherType};
use wk_proto::client::response::{ReplyHeader, WatcherEvent};
use wk_proto::{ErrorCode, Mono, OpCode, Reader, SessionId, Xid, Zxid};

use super::lease::Deadline;
use super::requests::{Credential, Whom, put_frame, reply_to};
use super::{
    Effect, Identity, LinkId, Out, Reply, Session, Status, Submit, Ticket, WatchId, WatchKind,
};
use crate::error::Error;

/// Bytes of paths in one setWatches, so that the packet stays far below any frame limit.
const REARM_BYTES_MAX: usize = 128 * 1024;

/// The connection's phase, with the times that belong to it.
#[derive(Debug)]
pub(crate) enum Link {
    /// Not connected; the next attempt begins at `until`.
    Waiting { until: Mono },
    /// The driver is connecting.
    Dialing { deadline: Mono },
    /// Our first frame left.
    Handshaking {
        /// When to give up.
        deadline: Mono,
        /// When it left.
        sent_at: Mono,
        /// Only asks whether the session still exists (see [`Session::must_probe`]).
        probe: bool,
    },
    /// The server serves us.
    Open(Open),
    /// Nothing more will happen.
    Finished,
}

/// What an open connection remembers.
#[derive(Debug)]
pub(crate) struct Open {
    heard_at: Mono,
    /// When the last heartbeat left. Any request is one, but only a sync renews a lease.
    beat_at: Mono,
    /// Credentials sent and not answered, by their place in the list.
    auths: VecDeque<usize>,
    /// closeSession left.
    closing: bool,
}

impl Link {
    pub(crate) fn next_timeout(&self, beat_every: Duration, read: Duration) -> Mono {
        match self {
            Self::Waiting { until } => *until,
            Self::Dialing { deadline } | Self::Handshaking { deadline, .. } => *deadline,
            Self::Open(open) => open.heard_at.after(read).min(open.beat_at.after(beat_every)),
            Self::Finished => Mono::NEVER,
        }
    }
}

impl Session {
    /// Silence after which a connection counts as dead (two thirds, as Apache's client).
    pub(super) fn read_timeout(&self) -> Duration {
        self.state.session_timeout * 2 / 3
    }

    /// How often a heartbeat leaves.
    pub(super) fn heartbeat_every(&self) -> Duration {
        let parts = if self.lease.is_some() { 4 } else { 3 };
        (self.state.session_timeout / parts).min(Duration::from_secs(10))
    }

    /// What is due by now.
    pub(super) fn on_time(&mut self, now: Mono, out: &mut Out) {
        self.requests.on_time(now, out);
        if self.closing.is_some_and(|(_, deadline)| deadline <= now) {
            self.finish(Status::Closed, out);
            return;
        }
        if self.lease.as_ref().is_some_and(|lease| lease.safe_until() <= now) {
            self.lose(now, out);
        }
        let (beat_every, read_timeout) = (self.heartbeat_every(), self.read_timeout());
        match &self.link {
            Link::Waiting { until } if *until <= now => self.dial(now, out),
            Link::Dialing { deadline } | Link::Handshaking { deadline, .. } if *deadline <= now => {
                self.hang_up(now, out);
            }
            Link::Open(open) if open.heard_at.after(read_timeout) <= now => {
                tracing::info!(session = %self.state.session, "server is silent");
                self.hang_up(now, out);
            }
            Link::Open(open) if open.beat_at.after(beat_every) <= now => self.beat(now, out),
            Link::Waiting { .. }
            | Link::Dialing { .. }
            | Link::Handshaking { .. }
            | Link::Open(_)
            | Link::Finished => {}
        }
    }

    fn dial(&mut self, now: Mono, out: &mut Out) {
        self.link_id = LinkId(self.link_id.0 + 1);
        self.link = Link::Dialing { deadline: now.after(self.config.connect_timeout()) };
        out.wire.clear();
        out.effects.push(Effect::Dial(self.link_id, self.hosts.next()));
    }

    /// Drops the connection or the attempt; another attempt follows.
    pub(super) fn hang_up(&mut self, now: Mono, out: &mut Out) {
        self.requests.fail_sent(out);
        out.wire.clear();
        if !matches!(self.link, Link::Waiting { .. }) {
            out.effects.push(Effect::Hangup);
        }
        let mut close_left = false;
        if let Link::Open(open) = &self.link {
            self.served_at = Some(open.heard_at);
            close_left = open.closing;
        }
        // A loss is not yet a failed round: the first attempt after it waits least.
        self.link = Link::Waiting { until: now.after(self.hosts.pause()) };
        // Late news of the dropped connection must not meet the next one.
        self.link_id = LinkId(self.link_id.0 + 1);
        if close_left {
            if let Some((ticket, _)) = self.closing.take() {
                let error = Error::ConnectionLoss(crate::error::Effect::Unknown);
                out.effects.push(Effect::Done(ticket, Err(error)));
            }
            self.finish(Status::Closed, out);
        } else if !matches!(self.state.status, Status::Lost) {
            self.publish(Status::Suspended, out);
        }
    }

    pub(super) fn on_dialed(&mut self, now: Mono, out: &mut Out) {
        if !matches!(self.link, Link::Dialing { .. }) {
            return;
        }
        let probe = self.must_probe(now);
        let timeout = self.config.session_timeout.as_millis();
        let request = ConnectRequest {
            protocol_version: 0,
            last_zxid_seen: if probe { Zxid::ZERO } else { self.last_zxid },
            timeout: i32::try_from(timeout).unwrap_or(i32::MAX),
            session: self.identity.map_or(SessionId::NONE, |identity| identity.id),
            password: self.identity.map_or([0; 16], |identity| identity.password),
            read_only: Some(self.config.read_only),
        };
        let at = frame::begin(&mut out.wire);
        request.encode(&mut out.wire);
        frame::end(&mut out.wire, at);
        let deadline = now.after(self.config.connect_timeout());
        self.link = Link::Handshaking { deadline, sent_at: now, probe };
    }

    /// Must the next handshake only ask whether the session still exists?
    ///
    /// A server whose history is shorter than what we have seen (restored from a backup, or begun
    /// anew) closes the connection without a word, for ever. So once the session may well have
    /// expired and a whole round was refused like that, every other handshake claims to have seen
    /// nothing. Such a connection is never used: if the session lives we hang up and go on as
    /// before, so that no read ever goes back in time; if not, we learn that it is over.
    fn must_probe(&self, now: Mono) -> bool {
        let away = self.served_at.map_or(Duration::ZERO, |at| now.since(at));
        self.identity.is_some()
            && self.refusals >= self.hosts.len()
            && away > self.state.session_timeout
            && self.refusals.is_multiple_of(2)
    }

    pub(super) fn on_broken(&mut self, now: Mono, out: &mut Out) {
        if matches!(self.link, Link::Waiting { .. } | Link::Finished) {
            return;
        }
        if matches!(self.link, Link::Handshaking { .. }) {
            self.refusals += 1;
        }
        self.hang_up(now, out);
    }

    pub(super) fn on_frame(&mut self, now: Mono, bytes: &[u8], out: &mut Out) {
        match &mut self.link {
            Link::Handshaking { sent_at, probe, .. } => {
                let (sent_at, probe) = (*sent_at, *probe);
                self.on_handshake(now, bytes, sent_at, probe, out);
            }
            Link::Open(open) => {
                open.heard_at = now;
                if self.on_packet(now, bytes, out).is_none() {
                    tracing::warn!(session = %self.state.session, "reply out of order");
                    self.hang_up(now, out);
                }
            }
            Link::Waiting { .. } | Link::Dialing { .. } | Link::Finished => {}
        }
    }

    fn on_handshake(&mut self, now: Mono, bytes: &[u8], sent: Mono, probe: bool, out: &mut Out) {
        let Ok(response) = ConnectResponse::decode(bytes) else {
            self.refusals += 1;
            self.hang_up(now, out);
            return;
        };
        if response.timeout <= 0 {
            // Expired, or never known here.
            if self.identity.is_some() {
                self.lose(now, out);
            } else {
                self.hang_up(now, out);
            }
            return;
        }
        let ours = self.identity.map(|identity| identity.id);
        if ours.is_some_and(|id| id != response.session) {
            // Some servers hand out a fresh session without a word: ours is over all the same.
            // The new one is left alone: it expires by itself, and we ask for one in good order.
            self.lose(now, out);
            return;
        }
        if probe {
            self.refusals += 1;
            self.hang_up(now, out);
            return;
        }
        self.open(now, &response, sent, out);
    }

    fn open(&mut self, now: Mono, response: &ConnectResponse, sent_at: Mono, out: &mut Out) {
        let timeout = u64::try_from(response.timeout).unwrap_or(0);
        self.state.session_timeout = Duration::from_millis(timeout);
        if self.identity.is_none() {
            self.state.session_generation += 1;
        }
        self.state.session = response.session;
        self.identity = Some(Identity { id: response.session, password: response.password });
        if self.config.lease == super::Lease::LocalDeadline {
            self.lease = Some(Deadline::new(sent_at, self.state.session_timeout));
        }
        self.hosts.succeeded();
        self.refusals = 0;
        self.served_at = Some(now);
        let auths = (0..self.credentials.len()).collect();
        let closing = false;
        self.link = Link::Open(Open { heard_at: now, beat_at: now, auths, closing });
        for credential in &self.credentials {
            put_auth(credential, &mut out.wire);
        }
        self.rearm(now, out);
        let read_only = response.read_only == Some(true);
        self.publish(if read_only { Status::ReadOnly } else { Status::Connected }, out);
        if self.closing.is_some() {
            self.send_close(now, out);
        } else {
            self.send_waiting(now, out);
        }
    }

    /// Arms every watch again on a new connection.
    fn rearm(&mut self, now: Mono, out: &mut Out) {
        let chunks = self.watches.rearm_chunks(REARM_BYTES_MAX);
        let count = chunks.len();
        for (at, [data, exist, child, persistent, recursive]) in chunks.into_iter().enumerate() {
            let stays = !persistent.is_empty() || !recursive.is_empty();
            let request = Request::SetWatches(SetWatches {
                relative_zxid: self.last_zxid,
                data,
                exist,
                child,
                persistent: stays.then_some((persistent, recursive)),
            });
            let mut body = Vec::new();
            request.encode(&mut body);
            let whom = Whom::Rearm { last: at + 1 == count };
            self.requests.send_own(now, whom, request.op(), &body, &mut out.wire);
        }
    }

    /// One packet of an open connection; `None`: it breaks the protocol.
    fn on_packet(&mut self, now: Mono, bytes: &[u8], out: &mut Out) -> Option<()> {
        let mut reader = Reader::new(bytes);
        let header = ReplyHeader::decode(&mut reader).ok()?;
        match header.xid {
            Xid::NOTIFICATION => {
                self.on_event(header.zxid, &mut reader, out);
                Some(())
            }
            // Having heard it is enough; in lease mode heartbeats are syncs.
            Xid::PING => Some(()),
            Xid::AUTH => self.on_auth(header, out),
            _ => {
                let body = reader.rest();
                let result =
                    match header.err {
                        0 => Ok(Reply { zxid: header.zxid, body: body.to_vec() }),
                        err => Err(ErrorCode::from_code(err)
                            .map_or(Error::UnknownCode(err), Error::Server)),
                    };
                self.on_reply(now, header, result, out)
            }
        }
    }

    /// The first bytes of a frame that was too long to take.
    pub(super) fn on_oversized(&mut self, now: Mono, head: &[u8], need: usize, out: &mut Out) {
        let Link::Open(open) = &mut self.link else {
            self.on_broken(now, out);
            return;
        };
        open.heard_at = now;
        let limit = self.config.frame_max;
        let header = ReplyHeader::decode(&mut Reader::new(head)).ok();
        let header = header.filter(|header| header.xid.0 > 0);
        let error = Err(Error::TooLarge { need, limit });
        if header.and_then(|header| self.on_reply(now, header, error, out)).is_none() {
            self.hang_up(now, out);
        }
    }

    fn on_reply(
        &mut self,
        now: Mono,
        header: ReplyHeader,
        result: Result<Reply, Error>,
        out: &mut Out,
    ) -> Option<()> {
        let sent = self.requests.answered(header.xid)?;
        if header.zxid > Zxid::ZERO {
            self.last_zxid = header.zxid;
        }
        if let Some(arm) = sent.arm {
            let missing = result == Err(Error::Server(ErrorCode::NoNode));
            match (&result, arm.kind) {
                (Ok(_), kind) if kind != WatchKind::Exist => {
                    self.watches.add(kind, &arm.path, arm.id);
                }
                // exists: on a znode that is there it is a data watch.
                (Ok(_), _) => self.watches.add(WatchKind::Data, &arm.path, arm.id),
                (Err(_), WatchKind::Exist) if missing => {
                    self.watches.add(WatchKind::Exist, &arm.path, arm.id);
                }
                (Err(_), _) => {}
            }
        }
        match sent.whom {
            Whom::Caller(_) => reply_to(&sent.whom, result, out),
            Whom::Heartbeat => {
                if let Some(lease) = &mut self.lease {
                    lease.answered(sent.at);
                }
            }
            Whom::Rearm { last: true } => {
                let staying = self.watches.staying();
                if !staying.is_empty() {
                    out.effects.push(Effect::Resync(staying));
                }
            }
            Whom::Rearm { last: false } | Whom::Nobody => {}
            Whom::Close => {
                if let Some((ticket, _)) = self.closing.take() {
                    out.effects.push(Effect::Done(ticket, result));
                }
                self.finish(Status::Closed, out);
                return Some(());
            }
        }
        self.send_waiting(now, out);
        Some(())
    }

    fn on_auth(&mut self, header: ReplyHeader, out: &mut Out) -> Option<()> {
        let Link::Open(open) = &mut self.link else { return None };
        let at = open.auths.pop_front()?;
        let credential = self.credentials.get_mut(at)?;
        let ticket = credential.ticket.take();
        if header.err == 0 {
            if let Some(ticket) = ticket {
                let reply = Reply { zxid: header.zxid, body: Vec::new() };
                out.effects.push(Effect::Done(ticket, Ok(reply)));
            }
        } else {
            if let Some(ticket) = ticket {
                out.effects.push(Effect::Done(ticket, Err(Error::AuthFailed)));
            }
            self.finish(Status::AuthFailed, out);
        }
        Some(())
    }

    fn on_event(&mut self, zxid: Zxid, reader: &mut Reader<'_>, out: &mut Out) {
        // An event of a type that this release does not know is skipped, not fatal.
        let Ok(event) = WatcherEvent::decode(reader) else { return };
        // The zxid of the reply header is not taken over into `last_zxid`: a multi causes several
        // events of one zxid, and the others may still be on their way when the connection breaks.
        let watches = self.watches.fire(event.kind, event.path);
        if !watches.is_empty() {
            let zxid = (zxid > Zxid::ZERO).then_some(zxid);
            let (kind, path) = (event.kind, event.path.to_owned());
            out.effects.push(Effect::Event { watches, kind, path, zxid });
        }
    }

    fn beat(&mut self, now: Mono, out: &mut Out) {
        let Link::Open(open) = &mut self.link else { return };
        open.beat_at = now;
        if self.lease.is_some() {
            let request = Request::Sync { path: "/" };
            let mut body = Vec::new();
            request.encode(&mut body);
            self.requests.send_own(now, Whom::Heartbeat, OpCode::Sync, &body, &mut out.wire);
        } else {
            put_frame(Xid::PING, OpCode::Ping, &[], &mut out.wire);
        }
    }

    pub(super) fn on_submit(&mut self, now: Mono, submit: Submit, out: &mut Out) {
        let refused = match self.state.status {
            _ if self.closing.is_some() => Some(Error::Closed),
            Status::Closed => Some(Error::Closed),
            Status::AuthFailed => Some(Error::AuthFailed),
            Status::Lost if self.is_finished() => Some(Error::SessionLost),
            Status::Connected | Status::ReadOnly | Status::Suspended | Status::Lost => None,
        };
        if let Some(error) = refused {
            out.effects.push(Effect::Done(submit.ticket, Err(error)));
            return;
        }
        self.requests.submit(submit, out);
        self.send_waiting(now, out);
    }

    fn send_waiting(&mut self, now: Mono, out: &mut Out) {
        let Link::Open(open) = &mut self.link else { return };
        if self.requests.send_waiting(now, &mut out.wire) && self.lease.is_none() {
            open.beat_at = now;
        }
    }

    pub(super) fn on_add_auth(
        &mut self,
        ticket: Ticket,
        scheme: String,
        auth: Vec<u8>,
        out: &mut Out,
    ) {
        let refused = match self.state.status {
            Status::AuthFailed => Some(Error::AuthFailed),
            Status::Closed => Some(Error::Closed),
            Status::Connected | Status::ReadOnly | Status::Suspended | Status::Lost => {
                (self.is_finished() || self.closing.is_some()).then_some(Error::Closed)
            }
        };
        if let Some(error) = refused {
            out.effects.push(Effect::Done(ticket, Err(error)));
            return;
        }
        let credential = Credential { scheme, auth, ticket: Some(ticket) };
        if let Link::Open(open) = &mut self.link {
            put_auth(&credential, &mut out.wire);
            open.auths.push_back(self.credentials.len());
        }
        self.credentials.push(credential);
    }

    pub(super) fn on_unwatch(&mut self, now: Mono, id: WatchId, out: &mut Out) {
        let Some((kind, path)) = self.watches.remove(id) else { return };
        let kind_on_wire = match kind {
            WatchKind::Persistent => WatcherType::Persistent,
            WatchKind::Recursive => WatcherType::PersistentRecursive,
            // A one-shot that nobody waits for fires into the void, once.
            WatchKind::Data | WatchKind::Exist | WatchKind::Child => return,
        };
        if self.requests.is_arming(kind, &path) || self.watches.holds(kind, &path) {
            return;
        }
        if matches!(self.link, Link::Open(Open { closing: false, .. })) {
            let request = Request::RemoveWatches { path: &path, kind: kind_on_wire.code() };
            let mut body = Vec::new();
            request.encode(&mut body);
            self.requests.send_own(now, Whom::Nobody, request.op(), &body, &mut out.wire);
        }
    }

    pub(super) fn on_close(&mut self, now: Mono, ticket: Ticket, deadline: Mono, out: &mut Out) {
        if self.is_finished() || self.closing.is_some() {
            out.effects.push(Effect::Done(ticket, Err(Error::Closed)));
            return;
        }
        self.closing = Some((ticket, deadline));
        self.requests.fail_waiting(&Error::Closed, out);
        if matches!(self.link, Link::Open(_)) {
            self.send_close(now, out);
        } else if self.identity.is_none() {
            // There is no session to close.
            self.closing = None;
            out.effects.push(Effect::Done(ticket, Ok(Reply::empty())));
            self.finish(Status::Closed, out);
        }
        // Else: a session lives on the servers; it is closed if we get through by the deadline.
    }

    fn send_close(&mut self, now: Mono, out: &mut Out) {
        let Link::Open(open) = &mut self.link else { return };
        open.closing = true;
        self.requests.send_own(now, Whom::Close, OpCode::CloseSession, &[], &mut out.wire);
    }
}

fn put_auth(credential: &Credential, wire: &mut Vec<u8>) {
    let (scheme, auth) = (&credential.scheme, &credential.auth);
    let mut body = Vec::new();
    Request::Auth { kind: 0, scheme, auth }.encode(&mut body);
    put_frame(Xid::AUTH, OpCode::Auth, &body, wire);
}

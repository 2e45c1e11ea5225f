//! The session machine: everything a client decides, without a socket, a clock or a thread.
//!
//! A driver feeds it what happened ([`Input`]) and carries out what must be done ([`Out`]). One
//! session after the other lives here; each has its generation. What a caller may rely on:
//! - every ticket is answered exactly once;
//! - a request that left is never sent a second time;
//! - no request of one generation leaves in a later one;
//! - replies are matched in order, as the protocol promises; anything else ends the connection.

mod config;
mod hosts;
mod lease;
mod link;
mod requests;
#[cfg(test)]
mod tests;
mod watches;

use wk_proto::client::response::EventType;
use wk_proto::{Mono, OpCode, SessionId, Zxid};

pub use config::{Lease, Resume, SessionConfig};
use hosts::Hosts;
use lease::Deadline;
use link::Link;
use requests::{Credential, Requests};
use watches::Watches;
pub use watches::{WatchId, WatchKind};

use crate::error::Error;

/// A caller's number for a request; the driver gives each only once.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Ticket(pub u64);

/// One connection attempt and, if it succeeds, its connection: what comes late from an earlier one
/// is recognised by it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LinkId(pub u64);

/// The state of a session, as users see it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Status {
    /// A server serves us.
    Connected,
    /// A server in read-only mode serves us.
    ReadOnly,
    /// No usable connection; the session may live.
    Suspended,
    /// The session is over; what it owned is gone or about to go.
    Lost,
    /// The credentials were refused; nothing more will happen.
    AuthFailed,
    /// Closed by us; nothing more will happen.
    Closed,
}

/// Status, session and generation, always published together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct State {
    /// What can be done now.
    pub status: Status,
    /// The session; [`SessionId::NONE`] before the first.
    pub session: SessionId,
    /// Counts the sessions of this client; 0 before the first. Nothing survives a change of it.
    pub session_generation: u64,
    /// The negotiated session timeout; before the first session, the one we ask for.
    pub session_timeout: std::time::Duration,
}

/// A request, encoded but for its header.
#[derive(Clone, Debug)]
pub struct Submit {
    /// Whom to answer.
    pub ticket: Ticket,
    /// The operation.
    pub op: OpCode,
    /// Its record.
    pub body: Vec<u8>,
    /// When to answer that there is no answer.
    pub deadline: Mono,
    /// The watch that a successful reply arms.
    pub arm: Option<Arm>,
}

/// A watch to be armed by a reply.
#[derive(Clone, Debug)]
pub struct Arm {
    /// The caller's number for it.
    pub id: WatchId,
    /// What it waits for, if the znode is there.
    pub kind: WatchKind,
    /// Path as the server knows it.
    pub path: String,
}

/// What happened.
#[derive(Debug)]
pub enum Input<'a> {
    /// The connection was made.
    Dialed(LinkId),
    /// It could not be made, or broke, or was refused by the frame splitter.
    Broken(LinkId),
    /// A frame came.
    Frame(LinkId, &'a [u8]),
    /// A frame over the limit came and was skipped; these are its first bytes and its length.
    Oversized(LinkId, &'a [u8], usize),
    /// A caller wants something.
    Submit(Submit),
    /// A caller adds credentials, for this and all later connections.
    AddAuth {
        /// Whom to answer.
        ticket: Ticket,
        /// Scheme of the credentials.
        scheme: String,
        /// The credentials.
        auth: Vec<u8>,
    },
    /// A caller no longer wants a watch.
    Unwatch(WatchId),
    /// All watches of these kinds on a path are gone by a removeWatches.
    Removed(&'a [WatchKind], &'a str),
    /// End the session in good order; answered when the server confirmed, or at the deadline.
    Close(Ticket, Mono),
    /// End at once without a word to the server: its side of the session expires by itself.
    Abandon,
    /// Time passed.
    Tick,
}

/// The answer to a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reply {
    /// The last zxid that the server had applied; for a write, its own.
    pub zxid: Zxid,
    /// The reply's record.
    pub body: Vec<u8>,
}

/// What must be done.
#[derive(Debug)]
pub enum Effect {
    /// Connect to this server of the list; drop what was connected before.
    Dial(LinkId, usize),
    /// Drop the connection.
    Hangup,
    /// Answer a caller.
    Done(Ticket, Result<Reply, Error>),
    /// Tell these watches; one-shot ones have nothing more to expect.
    Event {
        /// Whom to tell.
        watches: Vec<WatchId>,
        /// What happened.
        kind: EventType,
        /// Where, as the server knows it.
        path: String,
        /// The txn that caused it; `None` where the server does not say (before 3.9, setWatches).
        zxid: Option<Zxid>,
    },
    /// These watches stay, but events may be missing: look again.
    Resync(Vec<WatchId>),
    /// These watches are over, and why.
    Ended(Vec<WatchId>, Error),
    /// The published state is now this.
    Published(State),
}

/// What a step produced. `wire` holds the bytes for the present connection; the driver writes them
/// in order and removes what it wrote. [`Effect::Hangup`] and [`Effect::Dial`] clear it.
#[derive(Debug, Default)]
pub struct Out {
    /// Bytes to write.
    pub wire: Vec<u8>,
    /// What else to do, in order.
    pub effects: Vec<Effect>,
}

/// The session that we hold or hope to resume.
#[derive(Clone, Copy, Debug)]
struct Identity {
    id: SessionId,
    password: [u8; 16],
}

/// A client's session machine. See the module's head.
#[derive(Debug)]
pub struct Session {
    config: SessionConfig,
    hosts: Hosts,
    link: Link,
    /// The number of the present or last attempt.
    link_id: LinkId,
    /// Handshakes refused without a word since we were last connected.
    refusals: usize,
    /// When we last had a connection; `None` before the first.
    served_at: Option<Mono>,
    identity: Option<Identity>,
    state: State,
    /// The last zxid of any reply; watches are armed anew relative to it.
    last_zxid: Zxid,
    lease: Option<Deadline>,
    requests: Requests,
    credentials: Vec<Credential>,
    watches: Watches,
    /// `close` was called: whom to answer, and until when to wait for the server.
    closing: Option<(Ticket, Mono)>,
}

impl Session {
    /// A machine that begins to connect at its first [`Input::Tick`].
    pub fn new(config: SessionConfig, now: Mono) -> Self {
        let backoff = (config.backoff_min, config.backoff_max);
        let state = State {
            status: Status::Suspended,
            session: SessionId::NONE,
            session_generation: 0,
            session_timeout: config.session_timeout,
        };
        Self {
            hosts: Hosts::new(config.hosts, backoff, config.seed),
            link: Link::Waiting { until: now },
            link_id: LinkId(0),
            refusals: 0,
            served_at: None,
            identity: None,
            state,
            last_zxid: Zxid::ZERO,
            lease: None,
            requests: Requests::new(&config),
            credentials: Vec::new(),
            watches: Watches::default(),
            closing: None,
            config,
        }
    }

    /// Adds credentials before the first connection; should they be refused, the state says so.
    pub fn add_credential(&mut self, scheme: String, auth: Vec<u8>) {
        self.credentials.push(Credential { scheme, auth, ticket: None });
    }

    /// Takes what happened and appends to `out` what must be done.
    pub fn step(&mut self, now: Mono, input: Input<'_>, out: &mut Out) {
        match input {
            Input::Dialed(link) if link == self.link_id => self.on_dialed(now, out),
            Input::Broken(link) if link == self.link_id => self.on_broken(now, out),
            Input::Frame(link, frame) if link == self.link_id => self.on_frame(now, frame, out),
            Input::Oversized(link, head, need) if link == self.link_id => {
                self.on_oversized(now, head, need, out);
            }
            Input::Submit(submit) => self.on_submit(now, submit, out),
            Input::AddAuth { ticket, scheme, auth } => {
                self.on_add_auth(ticket, scheme, auth, out);
            }
            Input::Unwatch(id) => self.on_unwatch(now, id, out),
            Input::Removed(kinds, path) => {
                let gone = self.watches.remove_all(kinds, path);
                push_ended(out, gone, Error::WatchRemoved);
            }
            Input::Close(ticket, deadline) => self.on_close(now, ticket, deadline, out),
            Input::Abandon => self.finish(Status::Closed, out),
            // Time passed, or late news of a connection that is no more.
            Input::Tick
            | Input::Dialed(_)
            | Input::Broken(_)
            | Input::Frame(..)
            | Input::Oversized(..) => {}
        }
        self.on_time(now, out);
    }

    /// When the driver must send the next [`Input::Tick`].
    pub fn next_timeout(&self) -> Mono {
        if self.is_finished() {
            return Mono::NEVER;
        }
        let lease = self.lease.as_ref().map_or(Mono::NEVER, Deadline::safe_until);
        let closing = self.closing.map_or(Mono::NEVER, |(_, deadline)| deadline);
        self.link
            .next_timeout(self.heartbeat_every(), self.read_timeout())
            .min(self.requests.next_deadline())
            .min(lease)
            .min(closing)
    }

    /// May the driver hand in another request? If not, it leaves them with their callers.
    pub fn has_room(&self) -> bool {
        self.requests.has_room()
    }

    /// Do requests wait for a connection or for their turn?
    pub fn has_waiting(&self) -> bool {
        self.requests.has_waiting()
    }

    /// Drops those of them whose callers have gone: they never leave, and get no answer.
    pub fn retain_waiting(&mut self, wanted: impl FnMut(Ticket) -> bool) {
        self.requests.retain_waiting(wanted);
    }

    /// The published state.
    pub fn state(&self) -> State {
        self.state
    }

    /// Is nothing more to come?
    pub fn is_finished(&self) -> bool {
        matches!(self.link, Link::Finished)
    }

    /// Watches held, of all kinds.
    pub fn watch_count(&self) -> usize {
        self.watches.len()
    }

    fn publish(&mut self, status: Status, out: &mut Out) {
        if self.state.status != status {
            self.state.status = status;
            out.effects.push(Effect::Published(self.state));
        }
    }

    /// Ends everything for good.
    fn finish(&mut self, status: Status, out: &mut Out) {
        if self.is_finished() {
            return;
        }
        let error = match status {
            Status::AuthFailed => Error::AuthFailed,
            Status::Lost => Error::SessionLost,
            Status::Closed | Status::Connected | Status::ReadOnly | Status::Suspended => {
                Error::Closed
            }
        };
        self.requests.fail_sent(out);
        self.requests.fail_waiting(&error, out);
        for credential in &mut self.credentials {
            if let Some(ticket) = credential.ticket.take() {
                out.effects.push(Effect::Done(ticket, Err(error.clone())));
            }
        }
        push_ended(out, self.watches.drop_all(), error.clone());
        if let Some((ticket, _)) = self.closing.take() {
            out.effects.push(Effect::Done(ticket, Err(error)));
        }
        if !matches!(self.link, Link::Finished) {
            out.wire.clear();
            out.effects.push(Effect::Hangup);
        }
        self.link = Link::Finished;
        self.lease = None;
        self.publish(status, out);
    }

    /// The session is over; by policy the next one begins.
    fn lose(&mut self, now: Mono, out: &mut Out) {
        tracing::info!(session = %self.state.session, "session lost");
        self.requests.fail_sent(out);
        self.requests.fail_waiting(&Error::SessionLost, out);
        push_ended(out, self.watches.drop_one_shots(), Error::SessionLost);
        self.identity = None;
        self.last_zxid = Zxid::ZERO;
        self.lease = None;
        self.refusals = 0;
        if let Some((ticket, _)) = self.closing.take() {
            // What close wanted has happened by itself.
            out.effects.push(Effect::Done(ticket, Ok(Reply::empty())));
            self.finish(Status::Closed, out);
            return;
        }
        match self.config.resume {
            Resume::Stop => self.finish(Status::Lost, out),
            Resume::NewSession => {
                self.publish(Status::Lost, out);
                self.hang_up(now, out);
            }
        }
    }
}

impl Reply {
    fn empty() -> Self {
        Self { zxid: Zxid::ZERO, body: Vec::new() }
    }
}

fn push_ended(out: &mut Out, ids: Vec<WatchId>, why: Error) {
    if !ids.is_empty() {
        out.effects.push(Effect::Ended(ids, why));
    }
}

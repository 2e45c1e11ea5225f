//! Requests on their way: those that wait for a connection or for their turn, those that left.

use std::collections::VecDeque;

use wk_proto::client::frame;
use wk_proto::client::request::RequestHeader;
use wk_proto::{Mono, OpCode, Xid};

use super::{Arm, Effect as Do, Out, Reply, SessionConfig, Submit, Ticket, WatchKind};
use crate::error::{Effect, Error};

/// Who is answered by a reply.
#[derive(Clone, Debug)]
pub(crate) enum Whom {
    /// A caller; `None` once his deadline has passed.
    Caller(Option<Ticket>),
    /// The machine itself: nobody waits (removeWatches after a dropped stream).
    Nobody,
    /// The machine: a packet of watches armed anew; `last` of the series.
    Rearm {
        /// Is it the last packet of the series?
        last: bool,
    },
    /// The machine: a heartbeat by sync.
    Heartbeat,
    /// The machine: closeSession.
    Close,
}

/// A request that left and is not answered yet.
#[derive(Clone, Debug)]
pub(crate) struct Sent {
    pub(crate) xid: Xid,
    pub(crate) whom: Whom,
    pub(crate) at: Mono,
    pub(crate) arm: Option<Arm>,
    op: OpCode,
    deadline: Mono,
}

impl Sent {
    fn effect(&self) -> Effect {
        if self.op.is_write() { Effect::Unknown } else { Effect::None }
    }
}

/// Credentials, sent at the start of every connection.
#[derive(Clone, Debug)]
pub(crate) struct Credential {
    pub(crate) scheme: String,
    pub(crate) auth: Vec<u8>,
    /// Who waits for the first answer.
    pub(crate) ticket: Option<Ticket>,
}

/// Both queues and their bounds.
#[derive(Debug)]
pub(crate) struct Requests {
    waiting: VecDeque<Submit>,
    /// Bytes in `waiting`.
    waiting_bytes: usize,
    /// In the order in which they left; answers come in the same order.
    sent: VecDeque<Sent>,
    next_xid: i32,
    /// No deadline passes before this: a lower bound, made exact when it is reached.
    deadline_min: Mono,
    in_flight_max: usize,
    queue_bytes_max: usize,
    frame_max: usize,
}

impl Requests {
    pub(crate) fn new(config: &SessionConfig) -> Self {
        Self {
            waiting: VecDeque::new(),
            waiting_bytes: 0,
            sent: VecDeque::new(),
            next_xid: 1,
            deadline_min: Mono::NEVER,
            in_flight_max: config.in_flight_max.max(1),
            queue_bytes_max: config.queue_bytes_max,
            frame_max: config.frame_max,
        }
    }

    pub(crate) fn has_room(&self) -> bool {
        self.waiting.len() < self.in_flight_max && self.waiting_bytes < self.queue_bytes_max
    }

    /// Takes a caller's request, or answers at once if it is too large to leave.
    pub(crate) fn submit(&mut self, submit: Submit, out: &mut Out) {
        let need = submit.body.len() + 8;
        if need > self.frame_max {
            let error = Error::TooLarge { need, limit: self.frame_max };
            out.effects.push(Do::Done(submit.ticket, Err(error)));
            return;
        }
        self.deadline_min = self.deadline_min.min(submit.deadline);
        self.waiting_bytes += submit.body.len();
        self.waiting.push_back(submit);
    }

    /// Sends what waits, as far as the bound of unanswered requests allows. Returns whether
    /// anything left.
    pub(crate) fn send_waiting(&mut self, now: Mono, wire: &mut Vec<u8>) -> bool {
        let mut any = false;
        while self.sent.len() < self.in_flight_max
            && let Some(submit) = self.waiting.pop_front()
        {
            self.waiting_bytes -= submit.body.len();
            let whom = Whom::Caller(Some(submit.ticket));
            let (op, deadline) = (submit.op, submit.deadline);
            let xid = self.take_xid();
            put_frame(xid, op, &submit.body, wire);
            self.sent.push_back(Sent { xid, whom, at: now, arm: submit.arm, op, deadline });
            any = true;
        }
        any
    }

    /// Sends a packet of the machine's own, ahead of what waits.
    pub(crate) fn send_own(
        &mut self,
        now: Mono,
        whom: Whom,
        op: OpCode,
        body: &[u8],
        wire: &mut Vec<u8>,
    ) {
        let is_rearm = matches!(whom, Whom::Rearm { .. });
        let xid = if is_rearm { Xid::SET_WATCHES } else { self.take_xid() };
        put_frame(xid, op, body, wire);
        let deadline = Mono::NEVER;
        self.sent.push_back(Sent { xid, whom, at: now, arm: None, op, deadline });
    }

    /// The request that a reply answers: the oldest one, or the protocol is broken.
    pub(crate) fn answered(&mut self, xid: Xid) -> Option<Sent> {
        if self.sent.front()?.xid != xid {
            return None;
        }
        self.sent.pop_front()
    }

    /// The connection broke: whatever left is without an answer.
    pub(crate) fn fail_sent(&mut self, out: &mut Out) {
        for sent in self.sent.drain(..) {
            let error = Error::ConnectionLoss(sent.effect());
            if let Whom::Caller(Some(ticket)) = sent.whom {
                out.effects.push(Do::Done(ticket, Err(error)));
            }
        }
    }

    /// What waits will never leave.
    pub(crate) fn fail_waiting(&mut self, error: &Error, out: &mut Out) {
        for submit in self.waiting.drain(..) {
            out.effects.push(Do::Done(submit.ticket, Err(error.clone())));
        }
        self.waiting_bytes = 0;
    }

    pub(crate) fn has_waiting(&self) -> bool {
        !self.waiting.is_empty()
    }

    /// Drops those that wait and are no longer wanted, without an answer.
    pub(crate) fn retain_waiting(&mut self, mut wanted: impl FnMut(Ticket) -> bool) {
        self.waiting.retain(|submit| wanted(submit.ticket));
        self.waiting_bytes = self.waiting.iter().map(|submit| submit.body.len()).sum();
    }

    /// Is such a watch about to be armed by a request under way?
    pub(crate) fn is_arming(&self, kind: WatchKind, path: &str) -> bool {
        let arms = self.sent.iter().filter_map(|sent| sent.arm.as_ref());
        let waiting = self.waiting.iter().filter_map(|submit| submit.arm.as_ref());
        arms.chain(waiting).any(|arm| arm.kind == kind && arm.path == path)
    }

    /// No deadline passes before this.
    pub(crate) fn next_deadline(&self) -> Mono {
        self.deadline_min
    }

    /// Answers those whose deadline has passed. A request that left keeps its place in the order.
    pub(crate) fn on_time(&mut self, now: Mono, out: &mut Out) {
        if now < self.deadline_min {
            return;
        }
        self.deadline_min = Mono::NEVER;
        for sent in &mut self.sent {
            let effect = sent.effect();
            let Whom::Caller(ticket) = &mut sent.whom else { continue };
            if sent.deadline > now {
                self.deadline_min = self.deadline_min.min(sent.deadline);
            } else if let Some(ticket) = ticket.take() {
                out.effects.push(Do::Done(ticket, Err(Error::TimedOut(effect))));
            }
        }
        let waiting = std::mem::take(&mut self.waiting);
        for submit in waiting {
            if submit.deadline > now {
                self.deadline_min = self.deadline_min.min(submit.deadline);
                self.waiting.push_back(submit);
            } else {
                self.waiting_bytes -= submit.body.len();
                out.effects.push(Do::Done(submit.ticket, Err(Error::Unavailable)));
            }
        }
    }

    /// The next number, from 1 to the largest and then from 1 again.
    fn take_xid(&mut self) -> Xid {
        let xid = self.next_xid;
        self.next_xid = xid.checked_add(1).unwrap_or(1);
        Xid(xid)
    }
}

/// Appends a whole request.
pub(crate) fn put_frame(xid: Xid, op: OpCode, body: &[u8], wire: &mut Vec<u8>) {
    wire.reserve(body.len() + 12);
    let at = frame::begin(wire);
    RequestHeader { xid, op: op.code() }.encode(wire);
    wire.extend_from_slice(body);
    frame::end(wire, at);
}

/// Answers a caller whose request was answered.
pub(crate) fn reply_to(whom: &Whom, result: Result<Reply, Error>, out: &mut Out) {
    if let Whom::Caller(Some(ticket)) = whom {
        out.effects.push(Do::Done(*ticket, result));
    }
}

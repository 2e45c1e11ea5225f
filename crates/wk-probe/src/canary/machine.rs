//! What the canary of one server does next, and what counts as a failure: a state machine.
//!
//! A round is a write (set of one znode), the watch event of that write, and a read that must not be
//! older than the write. One round begins each second, never two at a time. A step that is not done
//! after [`Limits::step`] fails the round; as long as the same step hangs, it fails again each time
//! that span has passed once more, so that an outage keeps being counted.
//!
//! Two things are no failures. A server that takes no connection is the probes' business: here it is
//! only not asked (`connected` is 0). And time in which this process itself did not run does not
//! count: while a step is awaited the machine wants to be ticked each [`Limits::tick`], and whatever
//! a step of its own comes late is added to the deadline.

use std::time::Duration;

use wk_proto::{Mono, Zxid};

/// The spans of a canary.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// A round begins this long after the last one began. Default 1 s.
    pub interval: Duration,
    /// A step not done after this is a failure, and again after each such span. Default 2.5 s.
    pub step: Duration,
    /// While a step is awaited, the machine looks at the clock this often. Default 250 ms.
    pub tick: Duration,
    /// A tick that comes so late is a pause of our own, which no server answers for. Default 250 ms.
    pub late: Duration,
    /// A server that forbids the canary its znode is asked again after this. Default 1 min.
    pub rest: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            interval: Duration::from_secs(1),
            step: Duration::from_millis(2500),
            tick: Duration::from_millis(250),
            late: Duration::from_millis(250),
            rest: Duration::from_mins(1),
        }
    }
}

/// What is timed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Op {
    /// From the start, or the loss of the last connection, until a server serves us.
    Connect,
    /// The set of the znode.
    Write,
    /// From the set's departure until its watch event.
    Watch,
    /// The read that must see it.
    Read,
}

impl Op {
    /// Every operation.
    pub const ALL: [Self; 4] = [Self::Connect, Self::Write, Self::Watch, Self::Read];

    /// The value of the label `op`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Connect => "connect",
            Self::Write => "write",
            Self::Watch => "watch",
            Self::Read => "read",
        }
    }
}

/// What the shell is to do; one thing at a time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Order {
    /// Make sure that the znode exists, and arm the watch by a read of it.
    Prepare,
    /// Set the znode.
    Write,
    /// Wait for the watch that the last read armed.
    AwaitEvent,
    /// Read the znode and arm the watch anew.
    Read,
}

/// How an order ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Ended {
    /// Done; for writes and reads with the zxid of the znode's last change.
    Done(Zxid),
    /// The connection broke, or the request never left: no judgement on the server.
    Broken,
    /// The znode is not there: somebody deleted it.
    Missing,
    /// The server forbids it for a reason that an operator can change.
    Forbidden(String),
    /// The server answered with an error that a user's request would have met as well.
    Refused(String),
}

/// What happened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Input {
    /// The server serves us.
    Connected,
    /// It serves us, but only reads: no round can be done.
    ReadOnly,
    /// No connection at present.
    Disconnected,
    /// The order under way ended.
    Ended(Ended),
    /// Time has passed.
    Tick,
}

/// What a step brought about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Output {
    /// The shell must do this; nothing else is under way.
    Do(Order),
    /// Whatever is under way interests nobody any more.
    Drop,
    /// A step took so long.
    Took(Op, Duration),
    /// A round began.
    RoundBegun,
    /// A step failed: why.
    Failed(&'static str),
    /// What an operator should know, or that it is settled.
    Note(Option<String>),
}

/// The canary of one server.
#[derive(Clone, Debug)]
pub struct Canary {
    limits: Limits,
    phase: Phase,
    /// When the next round may begin.
    next_round: Mono,
    /// When the machine expected to be called again at the latest.
    expected: Mono,
    noted: bool,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Phase {
    /// Not connected.
    Away { since: Mono },
    /// Connected, but the znode may not be used, or the server only reads.
    Resting { until: Mono },
    /// Prepared, and waiting for the next round.
    Idle,
    /// Waiting for the end of an order.
    Busy(Busy),
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Busy {
    order: Order,
    /// When it was given.
    begun: Mono,
    /// When it fails (again).
    fails_at: Mono,
    /// When the round's write left.
    wrote_at: Mono,
    /// The round's write.
    written: Zxid,
    /// The round has failed or was disturbed by a pause of ours: its times say nothing.
    spoilt: bool,
}

impl Canary {
    /// A canary that is not connected yet.
    pub fn new(limits: Limits, now: Mono) -> Self {
        let phase = Phase::Away { since: now };
        Self { limits, phase, next_round: now, expected: Mono::NEVER, noted: false }
    }

    /// Whether a server serves us.
    pub fn is_connected(&self) -> bool {
        !matches!(self.phase, Phase::Away { .. })
    }

    /// When [`Input::Tick`] is due.
    pub fn next_timeout(&self) -> Mono {
        self.expected
    }

    /// Takes what happened and appends what must be done.
    pub fn step(&mut self, now: Mono, input: Input, out: &mut Vec<Output>) {
        self.forgive(now);
        match input {
            Input::Connected => self.connected(now, out),
            Input::ReadOnly => self.read_only(out),
            Input::Disconnected => self.disconnected(now, out),
            Input::Ended(ended) => self.ended(now, ended, out),
            Input::Tick => (),
        }
        self.on_time(now, out);
        self.expected = self.due(now);
    }

    /// A pause of our own is added to the deadline of what is awaited.
    fn forgive(&mut self, now: Mono) {
        let late = now.since(self.expected);
        if let Phase::Busy(busy) = &mut self.phase
            && late > self.limits.late
        {
            busy.fails_at = busy.fails_at.after(late);
            busy.spoilt = true;
        }
    }

    fn due(&self, now: Mono) -> Mono {
        match &self.phase {
            Phase::Away { .. } => Mono::NEVER,
            Phase::Resting { until } => *until,
            Phase::Idle => self.next_round,
            Phase::Busy(busy) => busy.fails_at.min(now.after(self.limits.tick)),
        }
    }

    fn connected(&mut self, now: Mono, out: &mut Vec<Output>) {
        match self.phase {
            Phase::Away { since } => {
                let took = now.since(since);
                if took <= self.limits.step {
                    out.push(Output::Took(Op::Connect, took));
                }
                self.give(now, Order::Prepare, out);
            }
            // A read-only server has become an ordinary one.
            Phase::Resting { .. } => self.give(now, Order::Prepare, out),
            Phase::Idle | Phase::Busy(_) => (),
        }
    }

    fn read_only(&mut self, out: &mut Vec<Output>) {
        self.drop_order(out);
        self.phase = Phase::Resting { until: Mono::NEVER };
    }

    fn disconnected(&mut self, now: Mono, out: &mut Vec<Output>) {
        if self.is_connected() {
            self.drop_order(out);
            self.phase = Phase::Away { since: now };
        }
    }

    fn drop_order(&mut self, out: &mut Vec<Output>) {
        if matches!(self.phase, Phase::Busy(_)) {
            out.push(Output::Drop);
        }
    }

    fn give(&mut self, now: Mono, order: Order, out: &mut Vec<Output>) {
        let fails_at = now.after(self.limits.step);
        let fresh =
            Busy { order, begun: now, fails_at, wrote_at: now, written: Zxid::ZERO, spoilt: false };
        self.phase = Phase::Busy(match &self.phase {
            Phase::Busy(busy) => Busy {
                wrote_at: busy.wrote_at,
                written: busy.written,
                spoilt: busy.spoilt,
                ..fresh
            },
            Phase::Away { .. } | Phase::Resting { .. } | Phase::Idle => fresh,
        });
        out.push(Output::Do(order));
    }

    fn ended(&mut self, now: Mono, ended: Ended, out: &mut Vec<Output>) {
        // Late news of an order that was dropped.
        let Phase::Busy(busy) = &self.phase else { return };
        let busy = busy.clone();
        match ended {
            Ended::Done(changed) => self.done(now, &busy, changed, out),
            // The state of the session follows; should it not, this tries again in a second.
            Ended::Broken => self.phase = Phase::Resting { until: now.after(self.limits.interval) },
            Ended::Missing if busy.order == Order::Prepare => {
                let why = "the path of the canary's znode does not exist and cannot be created: \
                           does the chroot exist?";
                self.rest(now, why.to_owned(), out);
            }
            Ended::Missing => self.give(now, Order::Prepare, out),
            Ended::Forbidden(why) => self.rest(now, why, out),
            Ended::Refused(_) => {
                if !busy.spoilt {
                    out.push(Output::Failed("the server answered with an error"));
                }
                self.phase = Phase::Resting { until: now.after(self.limits.interval) };
            }
        }
    }

    fn rest(&mut self, now: Mono, why: String, out: &mut Vec<Output>) {
        self.noted = true;
        out.push(Output::Note(Some(why)));
        self.phase = Phase::Resting { until: now.after(self.limits.rest) };
    }

    fn done(&mut self, now: Mono, busy: &Busy, changed: Zxid, out: &mut Vec<Output>) {
        let since = |begun: Mono| now.since(begun);
        match busy.order {
            Order::Prepare => {
                if std::mem::take(&mut self.noted) {
                    out.push(Output::Note(None));
                }
                self.phase = Phase::Idle;
            }
            Order::Write => {
                if !busy.spoilt {
                    out.push(Output::Took(Op::Write, since(busy.begun)));
                }
                let (wrote_at, written) = (busy.begun, changed);
                self.phase = Phase::Busy(Busy { wrote_at, written, ..busy.clone() });
                self.give(now, Order::AwaitEvent, out);
            }
            Order::AwaitEvent => {
                if !busy.spoilt {
                    out.push(Output::Took(Op::Watch, since(busy.wrote_at)));
                }
                self.give(now, Order::Read, out);
            }
            Order::Read => {
                // Somebody else's later write is not ours to judge; an older state is a loss.
                if changed < busy.written {
                    out.push(Output::Failed("the read is older than the write before it"));
                } else if !busy.spoilt {
                    out.push(Output::Took(Op::Read, since(busy.begun)));
                }
                self.phase = Phase::Idle;
            }
        }
    }

    fn on_time(&mut self, now: Mono, out: &mut Vec<Output>) {
        match &mut self.phase {
            Phase::Idle if self.next_round <= now => {
                // Rounds that were missed are not made up for.
                self.next_round = now.after(self.limits.interval);
                out.push(Output::RoundBegun);
                self.give(now, Order::Write, out);
            }
            Phase::Resting { until } if *until <= now => self.give(now, Order::Prepare, out),
            Phase::Busy(busy) if busy.fails_at <= now => {
                busy.fails_at = now.after(self.limits.step);
                busy.spoilt = true;
                out.push(Output::Failed(match busy.order {
                    Order::Prepare => "the canary's znode could not be prepared in time",
                    Order::Write => "the write was not answered in time",
                    Order::AwaitEvent => "the watch event did not come in time",
                    Order::Read => "the read was not answered in time",
                }));
            }
            Phase::Away { .. } | Phase::Resting { .. } | Phase::Idle | Phase::Busy(_) => (),
        }
    }
}

#[cfg(test)]
#[path = "machine_tests.rs"]
mod tests;

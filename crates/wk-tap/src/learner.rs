//! The learner's half of the quorum protocol, as an observer that no member list has.
//!
//! A pure machine: bytes and the time go in, bytes and events come out. It votes on nothing and
//! acknowledges no txn. What a caller may rely on, whatever a leader sends:
//! - a txn is given out once, and zxids ascend, except after a [`Event::Resync`] to an earlier one;
//! - between two txns that are given out nothing was committed, or a [`Event::Resync`] stands
//!   between them that says from where to where something may be missing;
//! - nothing is given out before the leader said that its epoch is established: what a leader sends
//!   before UPTODATE may die with it.

mod link;
#[cfg(test)]
mod tests;

use std::time::Duration;

use wk_proto::{DecodeError, Mono, Zxid};

use wk_proto::quorum::PacketError;
pub use wk_proto::stream::Event;

use link::Link;

/// Limits and times of a [`Learner`].
#[derive(Clone, Debug)]
pub struct LearnerConfig {
    /// The number by which the leader's log and figures name us; no member may have it, nor a
    /// second tap. Default 250.
    pub sid: i64,
    /// The longest packet. Default 16 MiB; a leader that sends a longer one is left.
    pub packet_max: usize,
    /// Bytes of txns that wait for UPTODATE. Default 64 MiB; beyond it they are dropped, counted
    /// and a [`Event::Resync`] takes their place.
    pub held_max: usize,
    /// Silence after which an established leader counts as gone. Default 10 s; it pings twice a
    /// tick.
    pub idle_timeout: Duration,
    /// Silence after which a leader that is being established counts as gone. Default 30 s.
    pub sync_timeout: Duration,
    /// First wait before another try; it doubles. Default 100 ms.
    pub backoff_min: Duration,
    /// The longest such wait. Default 500 ms: what is committed meanwhile must be in the leader's
    /// window when we are back.
    pub backoff_max: Duration,
    /// How often in a row a snapshot is refused before it is read and passed over. Default 2.
    pub snapshots_refused_max: u32,
    /// How often in a row a leader of an earlier epoch is left before it is believed. Default 5.
    pub stale_epochs_max: u32,
}

impl Default for LearnerConfig {
    fn default() -> Self {
        Self {
            sid: 250,
            packet_max: 16 << 20,
            held_max: 64 << 20,
            idle_timeout: Duration::from_secs(10),
            sync_timeout: Duration::from_secs(30),
            backoff_min: Duration::from_millis(100),
            backoff_max: Duration::from_millis(500),
            snapshots_refused_max: 2,
            stale_epochs_max: 5,
        }
    }
}

/// What happened.
#[derive(Debug)]
pub enum Input<'a> {
    /// A leader was found and is connected; the last zxid that it had committed when it was asked.
    Connected {
        /// Where a tap begins that has not begun anywhere yet.
        last: Zxid,
    },
    /// No leader was found, or it could not be reached.
    NotFound,
    /// Bytes came.
    Bytes(&'a [u8]),
    /// The connection ended.
    Closed,
    /// Time passed.
    Tick,
}

/// Why a connection is left.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Left {
    /// Nothing came for too long.
    #[error("nothing came for {} s", .0.as_secs())]
    Silent(Duration),
    /// The stream is not what the protocol allows.
    #[error("the stream cannot be read: {0}")]
    Packet(#[from] PacketError),
    /// A packet's data is not what belongs into it.
    #[error("a packet cannot be read: {0}")]
    Record(#[from] DecodeError),
    /// A packet where none of its kind may be.
    #[error("{0}")]
    Protocol(&'static str),
    /// The leader's epoch is before that of the last txn.
    #[error("its epoch {epoch} is before that of our last zxid {last}")]
    StaleEpoch {
        /// The leader's.
        epoch: u32,
        /// Ours.
        last: Zxid,
    },
    /// A snapshot was offered: we come back and name the zxid that it has.
    #[error("it would send a snapshot as of {0}: going on from there")]
    Snapshot(Zxid),
}

/// What must be done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Effect {
    /// Find the leader and connect; answer with [`Input::Connected`] or [`Input::NotFound`].
    Find,
    /// Drop the connection.
    Hangup(Left),
    /// The leader is established and the stream flows.
    Live {
        /// After this position.
        after: Zxid,
    },
    /// The stream's next word.
    Event(Event),
}

/// What a step produced; `wire` holds bytes for the present connection. [`Effect::Hangup`] and
/// [`Effect::Find`] clear it.
#[derive(Debug, Default)]
pub struct Out {
    /// Bytes to write.
    pub wire: Vec<u8>,
    /// What else to do, in order.
    pub effects: Vec<Effect>,
}

/// Plain counters.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LearnerStats {
    /// Txns given out.
    pub txns: u64,
    /// Txns that came again after a reconnect and were left out.
    pub duplicates: u64,
    /// Gaps said.
    pub resyncs: u64,
    /// Txns dropped because too many waited for UPTODATE.
    pub dropped: u64,
    /// Connections that became live.
    pub connections: u64,
    /// Snapshots that were read and passed over.
    pub snapshots_skipped: u64,
    /// Znodes in them.
    pub znodes_skipped: u64,
    /// Packets of kinds that mean nothing to us.
    pub ignored: u64,
}

enum State {
    /// Until then nothing is tried.
    Waiting(Mono),
    /// The driver looks for the leader.
    Finding,
    Linked(Box<Link>),
}

/// See the module's head.
pub struct Learner {
    config: LearnerConfig,
    state: State,
    /// Everything up to here was given out; `None`: the tap begins where the leader is.
    position: Option<Zxid>,
    /// Go on from here; what lies between the position and this is a gap.
    jump: Option<Zxid>,
    /// A new-epoch zxid was answered with a snapshot: name the last one before it.
    ask_before: bool,
    snapshots_refused: u32,
    stale_epochs: u32,
    backoff: Duration,
    /// The last zxid that the leader is known to have proposed.
    leader_zxid: Zxid,
    stats: LearnerStats,
}

impl Learner {
    /// A machine that begins at its first [`Input::Tick`], after `position` or where the leader is.
    pub fn new(config: LearnerConfig, position: Option<Zxid>, now: Mono) -> Self {
        Self {
            backoff: config.backoff_min,
            config,
            state: State::Waiting(now),
            position,
            jump: None,
            ask_before: false,
            snapshots_refused: 0,
            stale_epochs: 0,
            leader_zxid: Zxid::ZERO,
            stats: LearnerStats::default(),
        }
    }

    /// Everything up to here was given out.
    pub fn position(&self) -> Option<Zxid> {
        self.position
    }

    /// Does the stream flow?
    pub fn is_live(&self) -> bool {
        matches!(&self.state, State::Linked(link) if link.is_live())
    }

    /// Txns that the leader had proposed at its last ping and that were not given out; across an
    /// election only those of the new epoch are counted.
    pub fn lag(&self) -> u64 {
        let position = self.position.unwrap_or_default();
        if self.leader_zxid <= position {
            return 0;
        }
        let counter = u64::from(self.leader_zxid.counter());
        if self.leader_zxid.epoch() == position.epoch() {
            counter - u64::from(position.counter())
        } else {
            counter
        }
    }

    /// Counters.
    pub fn stats(&self) -> LearnerStats {
        self.stats
    }

    /// Takes what happened and appends to `out` what must be done.
    pub fn step(&mut self, now: Mono, input: Input<'_>, out: &mut Out) {
        match (input, &mut self.state) {
            (Input::Connected { last }, State::Finding) => self.on_connected(now, last, out),
            (Input::NotFound, State::Finding) => self.wait(now),
            (Input::Closed, State::Linked(link)) => {
                // A leader that served and went is looked for at once; one that throws us out
                // again and again is given time.
                if link.is_live() {
                    self.backoff = self.config.backoff_min;
                }
                self.wait(now);
            }
            (Input::Bytes(bytes), State::Linked(_)) => self.on_bytes(now, bytes, out),
            // Time passed, or late news of a connection that is no more.
            (
                Input::Connected { .. }
                | Input::NotFound
                | Input::Closed
                | Input::Bytes(_)
                | Input::Tick,
                _,
            ) => {}
        }
        self.on_time(now, out);
    }

    /// When the driver must send the next [`Input::Tick`].
    pub fn next_timeout(&self) -> Mono {
        match &self.state {
            State::Waiting(until) => *until,
            State::Finding => Mono::NEVER,
            State::Linked(link) => link.deadline(&self.config),
        }
    }

    fn on_time(&mut self, now: Mono, out: &mut Out) {
        match &self.state {
            State::Waiting(until) if *until <= now => {
                self.state = State::Finding;
                out.wire.clear();
                out.effects.push(Effect::Find);
            }
            State::Linked(link) if link.deadline(&self.config) <= now => {
                let limit = link.silence_max(&self.config);
                self.leave(now, Left::Silent(limit), out);
            }
            State::Waiting(_) | State::Finding | State::Linked(_) => {}
        }
    }

    fn wait(&mut self, now: Mono) {
        self.state = State::Waiting(now.after(self.backoff));
        self.backoff = (self.backoff * 2).min(self.config.backoff_max);
    }

    fn leave(&mut self, now: Mono, why: Left, out: &mut Out) {
        // What is refused on purpose is asked for again at once.
        if matches!(why, Left::Snapshot(_)) {
            self.state = State::Waiting(now);
        } else {
            self.wait(now);
        }
        out.wire.clear();
        out.effects.push(Effect::Hangup(why));
    }

    fn on_connected(&mut self, now: Mono, last: Zxid, out: &mut Out) {
        let position = *self.position.get_or_insert(last);
        let base = self.jump.unwrap_or(position);
        let link = Link::new(now, position, base, self.ask_before);
        Link::greet(self.config.sid, &mut out.wire);
        self.state = State::Linked(Box::new(link));
    }
}

//! The stream of committed txns, and what of it nobody has taken yet.
//!
//! Whoever reads a leader must never make it wait: it keeps for a slow learner in its own memory.
//! So the queue between reader and taker is bounded and never full: what does not fit is dropped,
//! counted, and one [`Event::Resync`] takes the place of a whole run of dropped txns.

use std::collections::VecDeque;

use crate::ids::Zxid;

/// What the stream says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// A committed txn: header, record and digest as in a log.
    Txn {
        /// Its position.
        zxid: Zxid,
        /// The encoded record.
        record: Vec<u8>,
    },
    /// Between these two something may be missing; the stream goes on after `to`.
    Resync {
        /// The last position up to which everything was given out.
        from: Zxid,
        /// The position after which everything will be given out.
        to: Zxid,
    },
}

/// How much of an event counts beside its record.
const EVENT_LEN: usize = 64;

/// See the module's head.
#[derive(Debug)]
pub struct Backlog {
    entries: VecDeque<Event>,
    len: usize,
    len_max: usize,
    /// The position after what is queued, and up to where everything behind it was dropped.
    gap: Option<(Zxid, Zxid)>,
    /// The position after the last event that was pushed or dropped.
    last: Zxid,
    dropped: u64,
}

impl Backlog {
    /// An empty one that holds at most `len_max` bytes, and begins after `position`.
    pub fn new(len_max: usize, position: Zxid) -> Self {
        let entries = VecDeque::new();
        Self { entries, len: 0, len_max, gap: None, last: position, dropped: 0 }
    }

    /// Queues an event, or drops it and remembers the gap.
    pub fn push(&mut self, event: Event) {
        let (from, to, is_txn) = match &event {
            Event::Txn { zxid, .. } => (self.last, *zxid, true),
            Event::Resync { from, to } => (*from, *to, false),
        };
        self.last = to;
        if let Some((_, end)) = &mut self.gap {
            // A reader that came back halfway is worth a new beginning.
            if self.len > self.len_max / 2 {
                *end = to;
                self.dropped += u64::from(is_txn);
                return;
            }
            self.end_gap();
        }
        if self.len + len_of(&event) > self.len_max {
            self.gap = Some((from, to));
            self.dropped += u64::from(is_txn);
            return;
        }
        self.len += len_of(&event);
        self.entries.push_back(event);
    }

    /// Takes the oldest event; where everything was dropped, the gap.
    pub fn pop(&mut self) -> Option<Event> {
        if self.entries.is_empty() {
            self.end_gap();
        }
        let event = self.entries.pop_front()?;
        self.len -= len_of(&event);
        Some(event)
    }

    /// Txns dropped so far.
    pub fn dropped(&self) -> u64 {
        self.dropped
    }

    /// Bytes that wait.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Does nothing wait?
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty() && self.gap.is_none()
    }

    fn end_gap(&mut self) {
        if let Some((from, to)) = self.gap.take() {
            self.len += EVENT_LEN;
            self.entries.push_back(Event::Resync { from, to });
        }
    }
}

fn len_of(event: &Event) -> usize {
    match event {
        Event::Txn { record, .. } => EVENT_LEN + record.len(),
        Event::Resync { .. } => EVENT_LEN,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn txn(zxid: i64) -> Event {
        Event::Txn { zxid: Zxid(zxid), record: vec![0; 36] }
    }

    #[test]
    fn what_does_not_fit_becomes_one_gap_and_the_stream_goes_on() {
        let mut backlog = Backlog::new(1000, Zxid(0));
        for zxid in 1..=50 {
            backlog.push(txn(zxid));
        }
        assert_eq!(backlog.dropped(), 40);
        for zxid in 1..=10 {
            assert_eq!(backlog.pop(), Some(txn(zxid)));
        }
        assert_eq!(backlog.pop(), Some(Event::Resync { from: Zxid(10), to: Zxid(50) }));
        assert_eq!(backlog.pop(), None);
        assert!(backlog.is_empty());
        backlog.push(txn(51));
        assert_eq!(backlog.pop(), Some(txn(51)));
    }

    proptest! {
        /// However a reader and a leader take turns: in order, bounded, every hole said.
        #[test]
        fn prop_every_hole_is_said(turns in proptest::collection::vec(0_usize..30, 1..60)) {
            let mut backlog = Backlog::new(1500, Zxid(0));
            let (mut next, mut at, mut dropped) = (1, 0, 0);
            let mut take = |event: Event, dropped: &mut i64| match event {
                Event::Txn { zxid, .. } => {
                    assert_eq!(zxid.0, at + 1);
                    at = zxid.0;
                }
                Event::Resync { from, to } => {
                    assert_eq!(from.0, at);
                    *dropped += to.0 - from.0;
                    at = to.0;
                }
            };
            for (n, turn) in turns.into_iter().enumerate() {
                for _ in 0..turn {
                    if n % 2 == 0 {
                        backlog.push(txn(next));
                        next += 1;
                    } else if let Some(event) = backlog.pop() {
                        take(event, &mut dropped);
                    }
                }
                prop_assert!(backlog.len() <= 1500 + EVENT_LEN);
            }
            while let Some(event) = backlog.pop() {
                take(event, &mut dropped);
            }
            prop_assert_eq!(at, next - 1);
            prop_assert_eq!(u64::try_from(dropped).unwrap(), backlog.dropped());
        }
    }
}

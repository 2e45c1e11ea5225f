//! Which sessions live, until when, and on which connection.
//!
//! Expiry goes by buckets of one tick, as Apache's `ExpiryQueue` (3.9) does: a touched session
//! ends at the first bucket's end after `now + timeout`, so within (timeout, timeout + tick].
//! A touch only notes the new time; the session moves when its old bucket comes up, so a request
//! costs one map access and no list work.

use std::collections::BTreeMap;
use std::time::Duration;

use hashbrown::HashMap;
use wk_proto::{Mono, SessionId};

use crate::input::ConnId;

/// Hash state without randomness: same inputs give same outputs.
pub(crate) type FixedState = foldhash::fast::FixedState;

/// One live session.
#[derive(Clone, Debug)]
pub(crate) struct Session {
    /// Negotiated.
    pub(crate) timeout: Duration,
    /// Bucket at whose end it expires unless it is touched.
    expires: u64,
    /// Bucket whose list holds it; `listed <= expires`.
    listed: u64,
    /// The connection that it is on.
    pub(crate) conn: Option<ConnId>,
    /// A closeSession is under way.
    pub(crate) closing: bool,
}

/// All live sessions.
#[derive(Debug)]
pub(crate) struct Sessions {
    /// Looked up, never iterated.
    by_id: HashMap<SessionId, Session, FixedState>,
    /// Number of the bucket -> sessions listed there, in order of arrival.
    buckets: BTreeMap<u64, Vec<SessionId>>,
    tick: Duration,
    next_id: SessionId,
}

impl Sessions {
    pub(crate) fn new(tick: Duration, first: SessionId) -> Self {
        Self {
            by_id: HashMap::with_hasher(FixedState::default()),
            buckets: BTreeMap::new(),
            tick,
            next_id: first,
        }
    }

    /// An id that no session has.
    pub(crate) fn fresh_id(&mut self) -> SessionId {
        loop {
            let id = self.next_id;
            self.next_id = SessionId(id.0.wrapping_add(1));
            // The mark of a container is no session.
            if id.0 != i64::MIN && id != SessionId::NONE && !self.by_id.contains_key(&id) {
                return id;
            }
        }
    }

    fn bucket(&self, now: Mono, timeout: Duration) -> u64 {
        let tick = self.tick.as_nanos().max(1);
        let bucket = u128::from(now.after(timeout).0) / tick + 1;
        u64::try_from(bucket).unwrap_or(u64::MAX)
    }

    fn bucket_end(&self, bucket: u64) -> Mono {
        let nanos = u128::from(bucket).saturating_mul(self.tick.as_nanos());
        Mono(u64::try_from(nanos).unwrap_or(u64::MAX))
    }

    /// Adds a session with a full timeout from now on.
    pub(crate) fn add(&mut self, now: Mono, id: SessionId, timeout: Duration) {
        let expires = self.bucket(now, timeout);
        let session = Session { timeout, expires, listed: expires, conn: None, closing: false };
        self.by_id.insert(id, session);
        self.buckets.entry(expires).or_default().push(id);
    }

    pub(crate) fn get(&self, id: SessionId) -> Option<&Session> {
        self.by_id.get(&id)
    }

    pub(crate) fn get_mut(&mut self, id: SessionId) -> Option<&mut Session> {
        self.by_id.get_mut(&id)
    }

    pub(crate) fn len(&self) -> usize {
        self.by_id.len()
    }

    /// The session has been heard of: it gets its full timeout again.
    pub(crate) fn touch(&mut self, now: Mono, id: SessionId) {
        let tick = self.tick.as_nanos().max(1);
        if let Some(session) = self.by_id.get_mut(&id) {
            let bucket = u128::from(now.after(session.timeout).0) / tick + 1;
            session.expires = session.expires.max(u64::try_from(bucket).unwrap_or(u64::MAX));
        }
    }

    /// A client is back on `conn`, with the timeout that it got this time.
    pub(crate) fn reopen(&mut self, now: Mono, id: SessionId, timeout: Duration, conn: ConnId) {
        if let Some(session) = self.by_id.get_mut(&id) {
            session.timeout = timeout;
            session.conn = Some(conn);
        }
        self.touch(now, id);
    }

    /// Forgets a session.
    pub(crate) fn remove(&mut self, id: SessionId) -> Option<Session> {
        // Its entry in a bucket stays and is passed over when the bucket comes up.
        self.by_id.remove(&id)
    }

    /// When [`Sessions::expired`] must be asked next.
    pub(crate) fn next_timeout(&self) -> Mono {
        self.buckets.keys().next().map_or(Mono::NEVER, |bucket| self.bucket_end(*bucket))
    }

    /// Appends the sessions that have expired by `now` and are not closing already.
    pub(crate) fn expired(&mut self, now: Mono, out: &mut Vec<SessionId>) {
        while let Some(entry) = self.buckets.first_entry() {
            let bucket = *entry.key();
            let end = u128::from(bucket).saturating_mul(self.tick.as_nanos());
            if end > u128::from(now.0) {
                break;
            }
            for id in entry.remove() {
                let Some(session) = self.by_id.get_mut(&id) else { continue };
                if session.listed != bucket {
                    continue;
                }
                if session.expires > bucket {
                    session.listed = session.expires;
                    self.buckets.entry(session.expires).or_default().push(id);
                } else if !session.closing {
                    out.push(id);
                }
            }
        }
    }

    /// Gives a session whose expiry could not be carried out another timeout.
    pub(crate) fn postpone(&mut self, now: Mono, id: SessionId) {
        let Some(timeout) = self.by_id.get(&id).map(|s| s.timeout) else { return };
        let expires = self.bucket(now, timeout);
        if let Some(session) = self.by_id.get_mut(&id) {
            session.expires = expires;
            session.listed = expires;
        }
        self.buckets.entry(expires).or_default().push(id);
    }

    /// Buckets with the sessions that expire at their end, for `dump`. Time left from `now` on.
    pub(crate) fn buckets(&self, now: Mono) -> Vec<(Duration, Vec<SessionId>)> {
        let mut buckets: BTreeMap<u64, Vec<SessionId>> = BTreeMap::new();
        for (listed, ids) in &self.buckets {
            for id in ids {
                if let Some(session) = self.by_id.get(id).filter(|s| s.listed == *listed) {
                    buckets.entry(session.expires).or_default().push(*id);
                }
            }
        }
        buckets.into_iter().map(|(b, ids)| (self.bucket_end(b).since(now), ids)).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TICK: Duration = Duration::from_secs(2);
    const ID: SessionId = SessionId(7);

    fn at(ms: u64) -> Mono {
        Mono(ms * 1_000_000)
    }

    fn expired(sessions: &mut Sessions, now: Mono) -> Vec<SessionId> {
        let mut out = Vec::new();
        sessions.expired(now, &mut out);
        out
    }

    #[test]
    fn expiry_lies_between_timeout_and_a_tick_more() {
        for start in [0, 1, 1999, 2000, 2001] {
            let mut sessions = Sessions::new(TICK, SessionId(1));
            sessions.add(at(start), ID, Duration::from_secs(4));
            assert_eq!(expired(&mut sessions, at(start + 4000)), []);
            assert!(sessions.next_timeout() <= at(start + 6000));
            assert_eq!(expired(&mut sessions, at(start + 6000)), [ID]);
            assert_eq!(sessions.next_timeout(), Mono::NEVER);
        }
    }

    #[test]
    fn a_touch_gives_the_full_timeout() {
        let mut sessions = Sessions::new(TICK, SessionId(1));
        sessions.add(at(0), ID, Duration::from_secs(4));
        for ms in (0..60_000).step_by(1000) {
            assert_eq!(expired(&mut sessions, at(ms)), []);
            sessions.touch(at(ms), ID);
        }
        assert_eq!(expired(&mut sessions, at(63_000)), []);
        assert_eq!(expired(&mut sessions, at(66_000)), [ID]);
    }

    #[test]
    fn closing_and_removed_sessions_do_not_expire() {
        let mut sessions = Sessions::new(TICK, SessionId(1));
        sessions.add(at(0), ID, Duration::from_secs(4));
        sessions.add(at(0), SessionId(8), Duration::from_secs(4));
        sessions.get_mut(ID).unwrap().closing = true;
        sessions.remove(SessionId(8));
        assert_eq!(expired(&mut sessions, at(60_000)), []);
    }

    #[test]
    fn ids_do_not_repeat_live_ones() {
        let mut sessions = Sessions::new(TICK, SessionId(-1));
        sessions.add(at(0), SessionId(1), TICK);
        assert_eq!(sessions.fresh_id(), SessionId(-1));
        assert_eq!(sessions.fresh_id(), SessionId(2), "0 is no session, 1 lives");
    }
}

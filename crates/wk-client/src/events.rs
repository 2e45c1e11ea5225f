//! Streams of watch events that never block the session and never grow without bound.
//!
//! Each stream has a queue of fixed size. When it is full, what it holds is dropped and one
//! [`Event::Resync`] takes its place: the reader looks again at what it watches.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::{Notify, mpsc};
use wk_proto::Zxid;
use wk_proto::client::response::EventType;

use crate::driver::Command;
use crate::error::Error;
use crate::session::WatchId;

/// Something happened to a watched znode.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WatchEvent {
    /// What happened.
    pub kind: EventType,
    /// To which znode, relative to the chroot.
    pub path: String,
    /// The txn that caused it; `None` from servers before 3.9 and for changes during a gap.
    pub zxid: Option<Zxid>,
}

/// What a stream yields.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// An event.
    Changed(WatchEvent),
    /// Events may be missing (a reconnect, a new session, or a slow reader): look again.
    Resync,
}

/// One stream's queue, shared by the driver (who fills it) and the reader.
#[derive(Debug)]
pub(crate) struct Queue {
    inner: Mutex<Inner>,
    filled: Notify,
    capacity: usize,
}

#[derive(Debug, Default)]
struct Inner {
    events: VecDeque<WatchEvent>,
    /// Events are missing before those in `events`.
    resync: bool,
    /// Nothing more will come, and why.
    ended: Option<Error>,
    /// Nobody reads any more.
    abandoned: bool,
}

impl Queue {
    pub(crate) fn new(capacity: usize) -> Arc<Self> {
        let capacity = capacity.max(1);
        Arc::new(Self { inner: Mutex::default(), filled: Notify::new(), capacity })
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        // No code panics while it holds the lock; a poisoned one is as good as new.
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Adds an event; `false`: nobody reads any more.
    pub(crate) fn push(&self, event: WatchEvent) -> bool {
        let mut inner = self.lock();
        if inner.events.len() >= self.capacity {
            inner.events.clear();
            inner.resync = true;
        } else {
            inner.events.push_back(event);
        }
        self.filled.notify_one();
        !inner.abandoned
    }

    /// Notes a gap: what is queued is overtaken by it.
    pub(crate) fn resync(&self) -> bool {
        let mut inner = self.lock();
        inner.events.clear();
        inner.resync = true;
        self.filled.notify_one();
        !inner.abandoned
    }

    /// Nothing more will come.
    pub(crate) fn end(&self, why: Error) {
        self.lock().ended.get_or_insert(why);
        self.filled.notify_one();
    }

    pub(crate) fn is_abandoned(&self) -> bool {
        self.lock().abandoned
    }

    fn pop(&self) -> Option<Result<Event, Error>> {
        let mut inner = self.lock();
        if std::mem::take(&mut inner.resync) {
            return Some(Ok(Event::Resync));
        }
        if let Some(event) = inner.events.pop_front() {
            return Some(Ok(Event::Changed(event)));
        }
        inner.ended.clone().map(Err)
    }

    async fn next(&self) -> Result<Event, Error> {
        loop {
            // `notify_one` keeps a permit, so nothing is missed between look and wait.
            if let Some(next) = self.pop() {
                return next;
            }
            self.filled.notified().await;
        }
    }
}

/// The reader's half of a queue; dropping it gives the watch back.
#[derive(Debug)]
pub(crate) struct Subscription {
    pub(crate) queue: Arc<Queue>,
    pub(crate) id: WatchId,
    /// Weak: a stream alone does not keep a session alive.
    pub(crate) driver: mpsc::WeakSender<Command>,
}

impl Drop for Subscription {
    fn drop(&mut self) {
        self.queue.lock().abandoned = true;
        // If the driver has no room now, it finds out at the next event.
        if let Some(driver) = self.driver.upgrade() {
            let _ = driver.try_send(Command::Unwatch(self.id));
        }
    }
}

/// Events of a persistent or recursive watch, across reconnects and sessions.
#[derive(Debug)]
pub struct EventStream(pub(crate) Subscription);

impl EventStream {
    /// The next event; `None` once the client is closed. Cancel-safe.
    pub async fn next(&mut self) -> Option<Event> {
        self.0.queue.next().await.ok()
    }

    /// The next event, if one is there.
    pub fn try_next(&mut self) -> Option<Event> {
        self.0.queue.pop()?.ok()
    }
}

/// A one-shot watch.
#[derive(Debug)]
pub struct Watcher(pub(crate) Subscription);

impl Watcher {
    /// Waits for the event. It survives reconnects within its session. Cancel-safe.
    ///
    /// # Errors
    /// [`Error::SessionLost`] when the session ends first, [`Error::Closed`] when the client does.
    pub async fn fired(&mut self) -> Result<WatchEvent, Error> {
        loop {
            if let Event::Changed(event) = self.0.queue.next().await? {
                return Ok(event);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event(n: usize) -> WatchEvent {
        WatchEvent { kind: EventType::NodeCreated, path: format!("/{n}"), zxid: None }
    }

    #[test]
    fn overflow_collapses_to_one_resync_and_later_events_follow() {
        let queue = Queue::new(3);
        for n in 0..5 {
            queue.push(event(n));
        }
        // The fourth did not fit and stands for all before it; the fifth came after.
        assert_eq!(queue.pop(), Some(Ok(Event::Resync)));
        assert_eq!(queue.pop(), Some(Ok(Event::Changed(event(4)))));
        assert_eq!(queue.pop(), None);
    }

    #[test]
    fn end_comes_after_what_is_queued() {
        let queue = Queue::new(3);
        queue.push(event(0));
        queue.end(Error::Closed);
        assert_eq!(queue.pop(), Some(Ok(Event::Changed(event(0)))));
        assert_eq!(queue.pop(), Some(Err(Error::Closed)));
        assert_eq!(queue.pop(), Some(Err(Error::Closed)));
    }
}

//! The server's own stream of committed txns, for a reader in this process.
//!
//! The driver hands over each record once the disk has it, and never waits: what a slow reader does
//! not take is dropped and counted, and one [`Event::Resync`] takes its place. Without a reader a
//! txn costs one look at a flag.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;
use wk_proto::Zxid;
use wk_proto::stream::{Backlog, Event};

/// The driver's end.
#[derive(Debug, Default)]
pub(crate) struct TxnPort {
    /// Somebody listens.
    open: AtomicBool,
    inner: Mutex<Inner>,
    wake: Notify,
}

#[derive(Debug, Default)]
struct Inner {
    /// Which reader is the present one.
    reader: u64,
    /// Appended to the log, not synced yet; no more than the disk thread holds itself.
    appended: VecDeque<(Zxid, Vec<u8>)>,
    /// What the reader may take; none before the first txn that it may see.
    ready: Option<Backlog>,
    len_max: usize,
    ended: bool,
}

impl TxnPort {
    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Begins to keep at most `len_max` bytes of txns for a reader; an earlier one gets no more.
    pub(crate) fn open(self: &Arc<Self>, len_max: usize) -> TxnStream {
        let mut inner = self.lock();
        let (reader, ended) = (inner.reader + 1, inner.ended);
        *inner = Inner { reader, len_max, ended, ..Inner::default() };
        self.open.store(true, Ordering::Release);
        drop(inner);
        self.wake.notify_waiters();
        TxnStream { port: Arc::clone(self), reader }
    }

    /// A txn goes to the log.
    pub(crate) fn appended(&self, zxid: Zxid, record: &[u8]) {
        if self.open.load(Ordering::Acquire) {
            self.lock().appended.push_back((zxid, record.to_vec()));
        }
    }

    /// All txns up to here are on the disk.
    pub(crate) fn synced(&self, upto: Zxid) {
        if !self.open.load(Ordering::Acquire) {
            return;
        }
        let mut inner = self.lock();
        let len_max = inner.len_max;
        while let Some((zxid, record)) = inner.appended.pop_front_if(|(zxid, _)| *zxid <= upto) {
            let before = Zxid(zxid.0 - 1);
            let ready = inner.ready.get_or_insert_with(|| Backlog::new(len_max, before));
            ready.push(Event::Txn { zxid, record });
        }
        drop(inner);
        self.wake.notify_one();
    }

    /// The server is gone.
    pub(crate) fn end(&self) {
        self.lock().ended = true;
        self.wake.notify_one();
    }
}

/// The reader's end; its drop ends the stream.
#[derive(Debug)]
pub struct TxnStream {
    port: Arc<TxnPort>,
    reader: u64,
}

impl TxnStream {
    /// The next event; `None` when the server has ended, or another reader took over.
    pub async fn next(&mut self) -> Option<Event> {
        loop {
            let woken = self.port.wake.notified();
            {
                let mut inner = self.port.lock();
                if inner.reader != self.reader {
                    return None;
                }
                if let Some(event) = inner.ready.as_mut().and_then(Backlog::pop) {
                    return Some(event);
                }
                if inner.ended {
                    return None;
                }
            }
            woken.await;
        }
    }

    /// Txns dropped so far because nobody took them.
    pub fn dropped(&self) -> u64 {
        self.port.lock().ready.as_ref().map_or(0, Backlog::dropped)
    }

    /// Bytes that wait.
    pub fn waiting(&self) -> usize {
        self.port.lock().ready.as_ref().map_or(0, Backlog::len)
    }
}

impl Drop for TxnStream {
    fn drop(&mut self) {
        let mut inner = self.port.lock();
        if inner.reader == self.reader {
            self.port.open.store(false, Ordering::Release);
            inner.appended.clear();
            inner.ready = None;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn zxid(event: Option<Event>) -> i64 {
        match event {
            Some(Event::Txn { zxid, .. }) => zxid.0,
            other => panic!("{other:?}"),
        }
    }

    #[tokio::test]
    async fn only_what_the_disk_has_is_given_out_and_the_driver_never_waits() {
        let port = Arc::new(TxnPort::default());
        port.appended(Zxid(1), b"nobody listens");
        port.synced(Zxid(1));
        assert!(port.lock().appended.is_empty());
        let mut stream = port.open(1000);
        for n in 2..=4 {
            port.appended(Zxid(n), b"record");
        }
        port.synced(Zxid(3));
        assert_eq!(zxid(stream.next().await), 2);
        assert_eq!(zxid(stream.next().await), 3);
        assert_eq!(stream.waiting(), 0, "4 is not synced");
        for n in 5..=100 {
            port.appended(Zxid(n), b"record");
            port.synced(Zxid(n));
        }
        let mut last = 3;
        let gap = loop {
            match stream.next().await {
                Some(Event::Resync { from, to }) => break (from.0, to.0),
                event => assert_eq!(zxid(event), last + 1),
            }
            last += 1;
        };
        assert_eq!(gap, (last, 100));
        assert_eq!(stream.dropped(), u64::try_from(100 - last).unwrap());
        port.end();
        assert_eq!(stream.next().await, None);
    }

    #[tokio::test]
    async fn a_second_reader_takes_over_and_a_drop_closes_the_port() {
        let port = Arc::new(TxnPort::default());
        let mut first = port.open(1000);
        let second = port.open(1000);
        assert_eq!(first.next().await, None);
        drop(first);
        assert!(port.open.load(Ordering::Relaxed), "it is the second's");
        drop(second);
        port.appended(Zxid(1), b"record");
        assert!(port.lock().appended.is_empty());
    }
}

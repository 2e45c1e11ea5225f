//! The driver: one thread that owns the node and all sockets.
//!
//! A turn is one walk: wait for the kernel; take what other threads posted; accept; read and feed
//! frames to the node, whose effects are carried out at once; hand the turn's appends to the disk
//! thread; write every connection that has something, once. It decides nothing about requests:
//! what it does decide is who is let in, and how much memory a connection may cost.

mod accept;
mod connection;
mod effects;
mod gather;
mod io;
mod quotas;
mod words;

use crate::disk_thread::{Batch, Batched, DiskReport, DiskThread};
use crate::mailbox::Mailbox;
use crate::metrics::{Advanced, Basic, Counter, Registry};
use crate::server::{ExitReason, SessionEnd};
use crate::snapshot_thread::{SnapshotJob, SnapshotReport, SnapshotThread};
use crate::tls::{DoorReport, Doorman};
use crate::txn_stream::TxnPort;
use crate::zoo_cfg::ServerConfig;
use accept::Accepting;
pub(crate) use accept::{Port, Speech};
use connection::Slab;
use gather::LatencyWindow;
use mio::{Events, Poll, Token};
use std::collections::VecDeque;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};
use tracing::{error, info, warn};
use wk_node::{ConnId, Input, Node, Now, Out};
use wk_proto::{Mono, Wall, Zxid};

/// The waker's token; connections have their slot's number.
pub(crate) const WAKER: Token = Token(usize::MAX);
/// The first listening socket's token; others count down from it.
pub(crate) const LISTENERS: Token = Token(usize::MAX - 1);
/// There are no tokens of listening sockets below this one.
const LISTENERS_MIN: usize = usize::MAX - 16;

/// Bytes of the snapshot's image taken between two turns: about a millisecond of walking.
const SLICE_BYTES: usize = 256 << 10;
/// Pieces of the image that may wait for the snapshot thread.
const PIECES_MAX: usize = 8;
/// How long a server that stops waits for what is on its way.
const DRAIN_MAX: Duration = Duration::from_secs(5);

/// News of sockets taken from the kernel at once.
const EVENTS_MAX: usize = 1024;

/// A job from another thread, carried out between two turns.
pub(crate) type Job = Box<dyn FnOnce(&mut Driver) + Send>;

/// What other threads tell the driver.
pub(crate) enum Message {
    /// From the disk thread.
    Disk(DiskReport),
    /// From the snapshot thread.
    Snapshot(SnapshotReport),
    /// From the doorman.
    Door(DoorReport),
    /// From a handle.
    Job(Job),
    /// Stop gracefully.
    Shutdown,
}

/// The clocks, read together once a turn.
pub(crate) struct Clock {
    origin: Instant,
}

impl Clock {
    pub(crate) fn new() -> Self {
        Self { origin: Instant::now() }
    }

    pub(crate) fn now(&self) -> Now {
        let nanos = self.origin.elapsed().as_nanos();
        let wall = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_millis();
        Now {
            mono: Mono(u64::try_from(nanos).unwrap_or(u64::MAX)),
            wall: Wall(i64::try_from(wall).unwrap_or(i64::MAX)),
        }
    }
}

/// What start-up found out, for metrics.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct StartFigures {
    /// Reading the newest snapshot.
    pub(crate) snapshot_load: Duration,
    /// Replaying the log.
    pub(crate) txns_load: Duration,
    /// Replayed txns.
    pub(crate) txns: u64,
    /// All of it.
    pub(crate) database_init: Duration,
    /// Txns were replayed over the newest snapshot: a new one is taken, as Apache does.
    pub(crate) snapshot_due: bool,
}

/// Everything that the driver is made of.
pub(crate) struct Parts {
    pub(crate) config: Arc<ServerConfig>,
    pub(crate) node: Node,
    pub(crate) clock: Clock,
    pub(crate) poll: Poll,
    pub(crate) ports: Vec<Port>,
    pub(crate) doorman: Option<Doorman>,
    pub(crate) mailbox: Arc<Mailbox<Message>>,
    pub(crate) disk: DiskThread,
    pub(crate) snapshots: SnapshotThread,
    pub(crate) session_ends: tokio::sync::broadcast::Sender<SessionEnd>,
    pub(crate) txns: Arc<TxnPort>,
    pub(crate) start: StartFigures,
    /// Directories of snapshots and logs, `version-2` included.
    pub(crate) directories: (PathBuf, PathBuf),
}

/// The owner of the node and of all sockets.
pub(crate) struct Driver {
    config: Arc<ServerConfig>,
    node: Node,
    clock: Clock,
    now: Now,
    poll: Poll,
    mailbox: Arc<Mailbox<Message>>,
    accepting: Accepting,
    doorman: Option<Doorman>,
    connections: Slab,
    /// Connections that may have bytes left to read, beyond what the kernel will tell again.
    ready: VecDeque<ConnId>,
    /// Connections with something to write this turn.
    dirty: Vec<ConnId>,
    /// Connections without a session and when they are closed; all have the same patience.
    sessionless: VecDeque<(Mono, ConnId)>,
    /// Connections that close once they are written, and when at the latest.
    lingering: VecDeque<(Mono, ConnId)>,
    out: Out,
    scratch: Vec<u8>,
    batch: Batch,
    disk: DiskThread,
    snapshots: SnapshotThread,
    /// Buffers for pieces of the image, and how many are on their way.
    pieces: Vec<Vec<u8>>,
    pieces_out: usize,
    next_purge: Mono,
    session_ends: tokio::sync::broadcast::Sender<SessionEnd>,
    txns: Arc<TxnPort>,
    registry: Registry,
    directories: (PathBuf, PathBuf),
    /// When it began to serve.
    started: Mono,
    /// Four-letter words since the last `srst`: (received, answered).
    words: (u64, u64),
    slow_syncs: u64,
    /// Handshakes of TLS that came to nothing, since the start.
    handshakes_failed: u64,
    /// Figures of the node when the registry last took them over.
    events_seen: [u64; 4],
    /// The node's own counters at the last `srst`.
    counted_before: [u64; 6],
    read_window: LatencyWindow,
    update_window: LatencyWindow,
    stopping: Option<Mono>,
    exit: Option<ExitReason>,
    snapshot_due: bool,
    reprieve: Reprieve,
}

/// Puts off the expiry of sessions while sockets are unread: after a stall (a paused machine, a
/// long turn) the pings of live sessions lie there, and are worth as much as those read in time.
#[derive(Debug, Default)]
struct Reprieve {
    /// When what is due was first put off.
    since: Option<Mono>,
}

impl Reprieve {
    /// Called when something is due: is it to wait? Never longer than `max`, or clients that send
    /// without end would let dead sessions live for ever.
    fn holds(&mut self, unread: bool, now: Mono, max: Duration) -> bool {
        if unread && now < self.since.get_or_insert(now).after(max) {
            return true;
        }
        self.since = None;
        false
    }
}

impl Driver {
    pub(crate) fn new(parts: Parts) -> Self {
        let now = parts.clock.now();
        let mut driver = Self {
            accepting: Accepting::new(parts.ports, &parts.config),
            doorman: parts.doorman,
            next_purge: if parts.config.storage.purge_interval.is_some() {
                now.mono
            } else {
                Mono::NEVER
            },
            config: parts.config,
            node: parts.node,
            clock: parts.clock,
            now,
            poll: parts.poll,
            mailbox: parts.mailbox,
            connections: Slab::default(),
            ready: VecDeque::new(),
            dirty: Vec::new(),
            sessionless: VecDeque::new(),
            lingering: VecDeque::new(),
            out: Out::default(),
            scratch: vec![0; io::READ_BYTES],
            batch: Batch::default(),
            disk: parts.disk,
            snapshots: parts.snapshots,
            pieces: Vec::new(),
            pieces_out: 0,
            session_ends: parts.session_ends,
            txns: parts.txns,
            registry: Registry::default(),
            directories: parts.directories,
            started: now.mono,
            words: (0, 0),
            slow_syncs: 0,
            handshakes_failed: 0,
            events_seen: [0; 4],
            counted_before: [0; 6],
            read_window: LatencyWindow::default(),
            update_window: LatencyWindow::default(),
            stopping: None,
            exit: None,
            snapshot_due: parts.start.snapshot_due,
            reprieve: Reprieve::default(),
        };
        driver.note_start(parts.start);
        driver
    }

    fn note_start(&mut self, start: StartFigures) {
        let at = self.now.mono.as_millis();
        let registry = &mut self.registry;
        registry.basic(at, Basic::StartupSnapLoadTime, millis(start.snapshot_load));
        registry.basic(at, Basic::StartupTxnsLoadTime, millis(start.txns_load));
        registry.basic(at, Basic::StartupTxnsLoaded, start.txns);
        registry.basic(at, Basic::Dbinittime, millis(start.database_init));
    }

    /// Serves until it is told to stop or the log breaks; the reason is returned.
    pub(crate) fn run(mut self) -> ExitReason {
        let mut events = Events::with_capacity(EVENTS_MAX);
        let mut messages = Vec::new();
        if self.snapshot_due {
            self.step(Input::TakeSnapshot);
        }
        while self.exit.is_none() {
            self.wait(&mut events);
            self.now = self.clock.now();
            self.mailbox.take(&mut messages);
            for message in messages.drain(..) {
                self.message(message);
            }
            for event in &events {
                match event.token() {
                    WAKER => {}
                    Token(LISTENERS_MIN..) => self.accepting.ready = true,
                    Token(slot) => self.socket_event(slot, event),
                }
            }
            self.accept();
            self.read_ready();
            let unread = !self.ready.is_empty() || events.iter().count() >= EVENTS_MAX;
            self.timers(unread);
            self.snapshot_slice();
            self.hand_over();
            self.flush();
            self.check_drained();
        }
        self.finish()
    }

    /// Sleeps until something happens, or not at all while there is work left.
    fn wait(&mut self, events: &mut Events) {
        let busy = !self.ready.is_empty() || self.wants_slice() || self.accepting.ready;
        let timeout = if busy || !self.mailbox.prepare_to_sleep() {
            Some(Duration::ZERO)
        } else {
            let next = self.next_timeout();
            (next != Mono::NEVER).then(|| next.since(self.clock.now().mono))
        };
        // Rounded up: epoll counts in milliseconds, and a moment too early would spin.
        let timeout = timeout
            .map(|left| if left.is_zero() { left } else { left + Duration::from_micros(999) });
        if let Err(err) = self.poll.poll(events, timeout)
            && err.kind() != std::io::ErrorKind::Interrupted
        {
            error!(%err, "cannot wait for sockets");
        }
        self.mailbox.awake();
    }

    fn next_timeout(&self) -> Mono {
        let front = |queue: &VecDeque<(Mono, ConnId)>| {
            queue.front().map_or(Mono::NEVER, |(deadline, _)| *deadline)
        };
        self.node
            .next_timeout()
            .min(front(&self.sessionless))
            .min(front(&self.lingering))
            .min(self.accepting.retry_at)
            .min(self.next_purge)
            .min(self.stopping.unwrap_or(Mono::NEVER))
    }

    /// One step of the node, with its effects.
    fn step(&mut self, input: Input<'_>) {
        let mut out = std::mem::take(&mut self.out);
        self.node.step(self.now, input, &mut out);
        self.carry_out(&mut out);
        out.clear();
        // A reply of megabytes must not keep its memory for ever.
        out.bytes.shrink_to(1 << 20);
        self.out = out;
    }

    fn message(&mut self, message: Message) {
        match message {
            Message::Disk(report) => self.disk_report(report),
            Message::Snapshot(SnapshotReport::Written(buffer)) => {
                self.pieces_out -= 1;
                self.pieces.push(buffer);
            }
            Message::Snapshot(SnapshotReport::Done { ok, elapsed }) => {
                if ok {
                    let at = self.now.mono.as_millis();
                    self.registry.basic(at, Basic::Snapshottime, millis(elapsed));
                } else {
                    self.registry.count(Counter::SnapshotErrorCount, 1);
                }
                self.step(Input::SnapshotDone);
            }
            Message::Snapshot(SnapshotReport::Panicked) => {
                error!("snapshot thread panicked: the server ends");
                self.exit = Some(ExitReason::SnapshotsPanicked);
            }
            Message::Door(report) => self.door_report(report),
            Message::Job(job) => job(self),
            Message::Shutdown => self.drain(),
        }
    }

    fn disk_report(&mut self, report: DiskReport) {
        match report {
            DiskReport::Synced(batched) => {
                self.note_batch(&batched);
                self.txns.synced(batched.upto);
                self.step(Input::Synced { upto: batched.upto });
                self.check_all_sent_to();
                self.note_events();
            }
            DiskReport::Failed => {
                self.registry.count(Counter::UnrecoverableErrorCount, 1);
                self.step(Input::LogFailed);
            }
            DiskReport::Healed(batched) => {
                self.note_batch(&batched);
                self.step(Input::LogHealed);
                self.txns.synced(batched.upto);
                self.step(Input::Synced { upto: batched.upto });
                self.check_all_sent_to();
            }
            DiskReport::Fatal(err) => {
                let cause = crate::disk_thread::cause(&err);
                self.exit = Some(ExitReason::LogBroken { reason: format!("{err}: {cause}") });
            }
            DiskReport::Panicked => {
                error!("disk thread panicked: the server ends");
                let reason = "the disk thread panicked".to_owned();
                self.exit = Some(ExitReason::LogBroken { reason });
            }
        }
    }

    fn note_batch(&mut self, batched: &Batched) {
        let at = self.now.mono.as_millis();
        let (queued, flush) = (millis(batched.queued), millis(batched.flush));
        let registry = &mut self.registry;
        if self.config.storage.force_sync {
            registry.basic(at, Basic::Fsynctime, millis(batched.stats.sync_last));
        }
        registry.basic(at, Basic::SyncProcessorBatchSize, batched.records);
        registry.basic(at, Basic::SyncProcessTime, flush);
        registry.advanced(at, Advanced::SyncProcessorQueueTimeMs, queued);
        registry.advanced(at, Advanced::SyncProcessorQueueFlushTimeMs, flush);
        registry.advanced(at, Advanced::SyncProcessorQueueAndFlushTimeMs, queued + flush);
        registry.count(Counter::SyncProcessorRequestQueued, batched.records);
        self.slow_syncs = batched.stats.slow_syncs;
    }

    /// How many watches the txns of a batch fired, by kind.
    fn note_events(&mut self) {
        let events = self.node.stats().events;
        let at = self.now.mono.as_millis();
        let kinds = [
            Basic::NodeCreatedWatchCount,
            Basic::NodeDeletedWatchCount,
            Basic::NodeChangedWatchCount,
            Basic::NodeChildrenWatchCount,
        ];
        for (index, kind) in kinds.into_iter().enumerate() {
            let fired = events[index].saturating_sub(self.events_seen[index]);
            if fired > 0 {
                self.registry.basic(at, kind, fired);
            }
        }
        self.events_seen = events;
    }

    /// Does what is due. `unread`: sockets may hold more than this turn has read.
    fn timers(&mut self, unread: bool) {
        if self.node.next_timeout() <= self.now.mono
            && !self.reprieve.holds(unread, self.now.mono, self.config.tick_time)
        {
            self.step(Input::Tick);
        }
        self.close_sessionless();
        self.close_lingering();
        if self.next_purge <= self.now.mono {
            let storage = &self.config.storage;
            let keep = usize::try_from(storage.snap_retain_count).unwrap_or(usize::MAX);
            self.snapshots.give(SnapshotJob::Purge(keep));
            self.next_purge = match storage.purge_interval {
                Some(interval) => self.now.mono.after(interval),
                None => Mono::NEVER,
            };
        }
    }

    fn wants_slice(&self) -> bool {
        self.pieces_out < PIECES_MAX && self.node.snapshot_has_more()
    }

    /// Walks a piece of the tree for the snapshot under way, if its writer keeps up.
    fn snapshot_slice(&mut self) {
        if self.wants_slice() {
            self.step(Input::SnapshotSlice { bytes_max: SLICE_BYTES });
        }
    }

    fn hand_over(&mut self) {
        if !self.batch.is_empty() {
            self.disk.hand_over(&mut self.batch);
        }
    }

    /// Begins to stop: nobody new, nothing more is read, what is on its way is finished.
    pub(crate) fn drain(&mut self) {
        if self.stopping.is_some() {
            return;
        }
        info!(connections = self.connections.len(), "stopping");
        self.accepting.stop(&self.poll);
        self.stopping = Some(self.now.mono.after(DRAIN_MAX));
    }

    fn check_drained(&mut self) {
        let Some(deadline) = self.stopping else { return };
        let drained = self.node.is_idle() && self.batch.is_empty() && self.connections.is_written();
        if !drained && self.now.mono < deadline {
            return;
        }
        if !drained {
            warn!("stopping with requests that have no answer yet");
        }
        self.exit = Some(ExitReason::Shutdown);
    }

    /// Makes durable what was handed over and ends the threads; sockets close by being dropped.
    fn finish(mut self) -> ExitReason {
        if let Some(doorman) = &mut self.doorman {
            doorman.stop();
        }
        self.disk.stop();
        self.snapshots.stop();
        let zxid: Zxid = self.node.tree().last_zxid();
        info!(%zxid, "stopped");
        self.exit.take().unwrap_or(ExitReason::Shutdown)
    }
}

/// Whole milliseconds.
pub(crate) fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn expiry_waits_for_unread_sockets_but_not_for_ever() {
        let at = |ms: u64| Mono(ms * 1_000_000);
        let tick = Duration::from_millis(100);
        let mut reprieve = Reprieve::default();
        assert!(!reprieve.holds(false, at(0), tick), "everything is read");
        assert!(reprieve.holds(true, at(1_000), tick));
        assert!(reprieve.holds(true, at(1_099), tick));
        assert!(!reprieve.holds(true, at(1_100), tick), "a flood does not suspend expiry");
        assert!(reprieve.holds(true, at(2_000), tick), "the next stall has its own reprieve");
        assert!(!reprieve.holds(false, at(2_001), tick), "nothing is left to read");
        assert!(reprieve.holds(true, at(2_200), tick));
    }
}

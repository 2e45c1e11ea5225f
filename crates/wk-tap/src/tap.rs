//! A running tap: one task that owns the machine, and the end from which events are taken.
//!
//! The task turns sockets and timers into inputs and effects into bytes; it decides nothing. It
//! reads whatever happens: a reader that is slow loses events, counted, never the leader's time.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::Notify;
use tokio::task::JoinHandle;
use tokio::time::Instant;
use tracing::{debug, info, warn};
use wk_client::Access;
use wk_proto::stream::Backlog;
use wk_proto::{Mono, Zxid};

use crate::find::{FindError, Finder};
use crate::learner::{Effect, Event, Input, Learner, LearnerConfig, LearnerStats, Out};

/// Read at once, at most.
const READ_CHUNK: usize = 64 * 1024;
/// A timer is never set further ahead.
const SLEEP_MAX: Duration = Duration::from_hours(1);
/// The shortest packet. A TLS alert is shorter.
const PACKET_MIN: usize = 20;
/// Connections that end before the leader's first word, in a row, until the reason is guessed.
const MUTE_MAX: u32 = 3;

/// What a tap is told.
#[derive(Clone, Debug)]
pub struct TapConfig {
    /// Client addresses of members, `host:port`; one is enough if it answers `conf`.
    pub servers: Vec<String>,
    /// How members are asked: with TLS, and under which credentials. The leader's port for
    /// learners is always spoken to in the clear.
    pub access: Access,
    /// Where leaders take learners; empty: it is found out.
    pub quorum: Vec<String>,
    /// Go on after this zxid; `None`: from now on.
    pub from: Option<Zxid>,
    /// Limits and times of the protocol.
    pub learner: LearnerConfig,
    /// How long a question to a member, or a connection, may take. Default 3 s.
    pub ask_timeout: Duration,
    /// Bytes that wait for the reader. Default 64 MiB; beyond it events are dropped, counted, and
    /// one [`Event::Resync`] says from where to where.
    pub backlog_max: usize,
}

impl TapConfig {
    /// A tap on the ensemble with these members.
    pub fn new(servers: Vec<String>) -> Self {
        Self {
            servers,
            access: Access::default(),
            quorum: Vec::new(),
            from: None,
            learner: LearnerConfig::default(),
            ask_timeout: Duration::from_secs(3),
            backlog_max: 64 << 20,
        }
    }
}

/// What a tap does at the moment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TapState {
    /// It looks for a leader; the text says why it has none.
    Looking(String),
    /// It is being brought up to date by this leader.
    Syncing(String),
    /// The stream of this leader flows.
    Live(String),
    /// It cannot work here.
    Refused(FindError),
}

/// How a tap is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Health {
    /// What it does.
    pub state: TapState,
    /// Everything up to here was read.
    pub position: Option<Zxid>,
    /// Txns that the leader had proposed at its last ping and that were not read yet.
    pub lag: u64,
    /// Counters of the protocol.
    pub stats: LearnerStats,
    /// Txns dropped because nobody took them.
    pub dropped: u64,
    /// Bytes that wait to be taken.
    pub waiting: usize,
}

struct Shared {
    inner: Mutex<Inner>,
    wake: Notify,
}

struct Inner {
    /// None until the tap has begun somewhere.
    backlog: Option<Backlog>,
    backlog_max: usize,
    health: Health,
    ended: bool,
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A running tap; it ends when this is dropped.
pub struct Tap {
    shared: Arc<Shared>,
    task: JoinHandle<()>,
}

impl Tap {
    /// Starts a tap. Must be called within tokio.
    pub fn start(config: TapConfig) -> Self {
        let health = Health {
            state: TapState::Looking("it has just begun".to_owned()),
            position: config.from,
            lag: 0,
            stats: LearnerStats::default(),
            dropped: 0,
            waiting: 0,
        };
        let inner = Inner { backlog: None, backlog_max: config.backlog_max, health, ended: false };
        let shared = Arc::new(Shared { inner: Mutex::new(inner), wake: Notify::new() });
        let task = tokio::spawn(Task::new(config, Arc::clone(&shared)).run());
        Self { shared, task }
    }

    /// The next event; `None` when the tap has ended for good ([`Tap::health`] says why).
    pub async fn next(&mut self) -> Option<Event> {
        loop {
            let woken = self.shared.wake.notified();
            {
                let mut inner = self.shared.lock();
                if let Some(event) = inner.backlog.as_mut().and_then(Backlog::pop) {
                    return Some(event);
                }
                if inner.ended {
                    return None;
                }
            }
            woken.await;
        }
    }

    /// The next event if it is there already.
    pub fn try_next(&mut self) -> Option<Event> {
        self.shared.lock().backlog.as_mut().and_then(Backlog::pop)
    }

    /// How it is.
    pub fn health(&self) -> Health {
        let inner = self.shared.lock();
        let mut health = inner.health.clone();
        if let Some(backlog) = &inner.backlog {
            health.dropped = backlog.dropped();
            health.waiting = backlog.len();
        }
        health
    }
}

impl Drop for Tap {
    fn drop(&mut self) {
        self.task.abort();
    }
}

struct Link {
    stream: TcpStream,
    leader: String,
    /// Bytes read; fewer than a packet's least are no word of a leader.
    read: usize,
}

struct Task {
    learner: Learner,
    out: Out,
    finder: Finder,
    shared: Arc<Shared>,
    origin: Instant,
    link: Option<Link>,
    finding: bool,
    /// Connections that ended before a word, in a row.
    mute: u32,
}

impl Task {
    fn new(config: TapConfig, shared: Arc<Shared>) -> Self {
        Self {
            learner: Learner::new(config.learner, config.from, Mono::default()),
            out: Out::default(),
            finder: Finder::new(config.servers, config.access, config.quorum, config.ask_timeout),
            shared,
            origin: Instant::now(),
            link: None,
            finding: false,
            mute: 0,
        }
    }

    async fn run(mut self) {
        let mut buffer = vec![0; READ_CHUNK];
        self.step(Input::Tick);
        loop {
            if self.finding {
                self.finding = false;
                if self.find().await.is_err() {
                    break;
                }
                continue;
            }
            let deadline = self.deadline();
            let wire = &self.out.wire;
            let link = self.link.as_mut().map(|link| &mut link.stream);
            let happened = tokio::select! {
                biased;
                happened = exchange(link, wire, &mut buffer) => happened,
                () = tokio::time::sleep_until(deadline) => Happened::Time,
            };
            match happened {
                Happened::Read(0) => self.close("it closed the connection"),
                Happened::Read(n) => {
                    if let Some(link) = &mut self.link {
                        link.read += n;
                    }
                    self.step(Input::Bytes(&buffer[..n]));
                }
                Happened::Wrote(n) => drop(self.out.wire.drain(..n)),
                Happened::Broken(why) => self.close(&why),
                Happened::Time => self.step(Input::Tick),
            }
        }
        self.shared.lock().ended = true;
        self.shared.wake.notify_one();
    }

    fn deadline(&self) -> Instant {
        let now = Mono::default().after(self.origin.elapsed());
        Instant::now() + self.learner.next_timeout().since(now).min(SLEEP_MAX)
    }

    /// `Err`: it will never work.
    async fn find(&mut self) -> Result<(), FindError> {
        match self.finder.find().await {
            Ok(found) => {
                debug!(leader = found.leader, last = %found.last, "connected to a leader");
                self.say(TapState::Syncing(found.leader.clone()));
                self.link = Some(Link { stream: found.stream, leader: found.leader, read: 0 });
                let begin = self.learner.position().unwrap_or(found.last);
                let mut inner = self.shared.lock();
                let max = inner.backlog_max;
                inner.backlog.get_or_insert_with(|| Backlog::new(max, begin));
                drop(inner);
                self.step(Input::Connected { last: found.last });
                Ok(())
            }
            Err(err) if err.is_final() => {
                warn!(%err, "the tap cannot work here");
                self.say(TapState::Refused(err.clone()));
                Err(err)
            }
            Err(err) => {
                debug!(%err, "no leader for the tap");
                self.say(TapState::Looking(err.to_string()));
                self.step(Input::NotFound);
                Ok(())
            }
        }
    }

    fn close(&mut self, why: &str) {
        if let Some(link) = self.link.take() {
            self.mute = if link.read >= PACKET_MIN { 0 } else { self.mute + 1 };
            let hint = if self.mute >= MUTE_MAX {
                " before its first word, again and again: with sslQuorum=true or \
                 quorum.auth.enableSasl=true a tap would need the certificate or the credentials \
                 of a member, which it cannot present yet"
            } else {
                ""
            };
            info!(leader = link.leader, why, "the tap's connection ended");
            self.say(TapState::Looking(format!("{}: {why}{hint}", link.leader)));
        }
        self.step(Input::Closed);
    }

    fn say(&self, state: TapState) {
        self.shared.lock().health.state = state;
    }

    fn step(&mut self, input: Input<'_>) {
        let now = Mono::default().after(self.origin.elapsed());
        self.learner.step(now, input, &mut self.out);
        let mut inner = self.shared.lock();
        let mut came = false;
        for effect in self.out.effects.drain(..) {
            match effect {
                Effect::Find => self.finding = true,
                Effect::Hangup(why) => {
                    if let Some(link) = self.link.take() {
                        info!(leader = link.leader, %why, "the tap left its leader");
                        inner.health.state =
                            TapState::Looking(format!("left {}: {why}", link.leader));
                    }
                }
                Effect::Live { after } => {
                    let leader = self.link.as_ref().map(|link| link.leader.clone());
                    let leader = leader.unwrap_or_default();
                    info!(leader, %after, "the tap follows");
                    inner.health.state = TapState::Live(leader);
                }
                Effect::Event(event) => {
                    came = true;
                    if let Some(backlog) = &mut inner.backlog {
                        backlog.push(event);
                    }
                }
            }
        }
        inner.health.position = self.learner.position();
        inner.health.lag = self.learner.lag();
        inner.health.stats = self.learner.stats();
        drop(inner);
        if came {
            self.shared.wake.notify_one();
        }
    }
}

/// What woke the task.
enum Happened {
    Read(usize),
    Wrote(usize),
    Broken(String),
    Time,
}

/// Reads, and writes if there is something to write.
async fn exchange(link: Option<&mut TcpStream>, wire: &[u8], buffer: &mut [u8]) -> Happened {
    let Some(stream) = link else { return std::future::pending().await };
    let (mut reader, mut writer) = stream.split();
    let result = tokio::select! {
        biased;
        read = reader.read(buffer) => read.map(Happened::Read),
        wrote = writer.write(wire), if !wire.is_empty() => wrote.map(Happened::Wrote),
    };
    result.unwrap_or_else(|err| Happened::Broken(err.to_string()))
}

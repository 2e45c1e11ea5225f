//! The world of one run: the clock, what is on its way, the disk, the process and its clients.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use wk_node::{ConnId, Input, Now, Out};
use wk_proto::{Mono, SessionId, Wall, Zxid};
use wk_store::mem_disk::MemDisk;

use crate::client::Client;
use crate::disk::ProcessDisk;
use crate::history::{Asked, History};
use crate::random::Random;
use crate::server::Server;

pub(crate) const MILLI: u64 = 1_000_000;
/// An hour of the time of day, in milliseconds.
const HOUR: u64 = 3_600_000;
/// Unit of session expiry, in milliseconds.
pub(crate) const TICK: u64 = 500;
/// The longest session timeout, in milliseconds.
pub(crate) const TIMEOUT_MAX: u64 = 4_000;

/// Something that will happen. Those with a `boot` concern that process alone.
#[derive(Debug)]
pub(crate) enum Event {
    /// A process starts.
    Start,
    /// It is killed, or power goes.
    Kill { boot: u64, power: bool },
    /// The full disk has room again.
    Room,
    /// The time of day jumps.
    Jump,
    /// A client does what it likes.
    Act { client: usize },
    /// A frame reaches the server.
    Frame { conn: u64, frame: Vec<u8> },
    /// The server sees that a client has gone.
    Hangup { conn: u64 },
    /// A frame reaches the client.
    Answer { conn: u64, frame: Vec<u8> },
    /// The client sees that the server has gone.
    Cut { conn: u64 },
    /// The disk thread makes what waits durable.
    Sync { boot: u64 },
    /// The disk thread tries again after a failure.
    Heal { boot: u64 },
    /// The driver hears of the disk thread's success.
    Synced { boot: u64, upto: wk_proto::Zxid, healed: bool },
    /// The driver hears of its failure.
    LogFailed { boot: u64 },
    /// The snapshot thread has room for the next piece.
    Slice { boot: u64 },
    /// The snapshot is written, or given up.
    SnapshotDone { boot: u64 },
    /// The tree is held against the model.
    Compare,
}

/// What a broken driver keeps back.
#[derive(Debug)]
pub(crate) enum Held {
    Frame(u64, Vec<u8>),
    Close(u64),
}

/// A connection, seen from both ends.
#[derive(Debug, Default)]
pub(crate) struct Conn {
    pub(crate) client: usize,
    /// The server knows it.
    pub(crate) at_server: bool,
    pub(crate) reading: bool,
    /// Frames that came while the server was not reading.
    pub(crate) held: VecDeque<Vec<u8>>,
    /// Has the first frame come?
    pub(crate) begun: bool,
    /// Has the handshake been answered?
    pub(crate) greeted: bool,
    /// The createSession of its handshake.
    pub(crate) created_at: Option<wk_proto::Zxid>,
    pub(crate) session: SessionId,
    /// Requests without an answer, oldest first.
    pub(crate) asked: VecDeque<Asked>,
    /// Nothing overtakes: when the last thing sent arrives, each way.
    pub(crate) to_server: u64,
    pub(crate) to_client: u64,
}

/// What a run has seen, for its last line.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Summary {
    pub(crate) starts: u64,
    pub(crate) power_losses: u64,
    pub(crate) replies: u64,
    pub(crate) log_failures: u64,
    pub(crate) expired: u64,
    pub(crate) snapshots: u64,
    pub(crate) rotten: u64,
}

impl Summary {
    pub(crate) fn add(&mut self, other: &Self) {
        self.starts += other.starts;
        self.power_losses += other.power_losses;
        self.replies += other.replies;
        self.log_failures += other.log_failures;
        self.expired += other.expired;
        self.snapshots += other.snapshots;
        self.rotten += other.rotten;
    }
}

pub(crate) struct World {
    pub(crate) random: Random,
    /// Nanoseconds.
    pub(crate) now: u64,
    /// Milliseconds that the time of day is ahead.
    pub(crate) wall_ahead: i64,
    events: BTreeMap<(u64, u64), Event>,
    next_event: u64,
    pub(crate) disk: MemDisk,
    pub(crate) server: Option<Server>,
    /// The present process' way to the disk.
    pub(crate) process: ProcessDisk,
    /// Number of the present process.
    pub(crate) boot: u64,
    pub(crate) clients: Vec<Client>,
    pub(crate) conns: BTreeMap<u64, Conn>,
    pub(crate) next_conn: u64,
    /// Connections that are read from again.
    pub(crate) resumed: Vec<u64>,
    pub(crate) history: History,
    /// What a driver that applies too early keeps from the clients: until when, and what.
    pub(crate) held: VecDeque<(Zxid, Held)>,
    /// How many snapshots purging keeps in this run.
    pub(crate) keep: usize,
    /// How many snapshots may still be damaged: one that purging keeps stays whole.
    pub(crate) may_rot: usize,
    /// When the server last heard of a session.
    pub(crate) heard: BTreeMap<SessionId, u64>,
    /// Names of snapshots that went bad.
    pub(crate) rotten: BTreeSet<String>,
    /// Changing operations of the disk at which a fault is planned.
    pub(crate) planned: Vec<u64>,
    /// The disk may fill up.
    pub(crate) limited: bool,
    /// Clients are silent and nothing fails any more: the run is about to end.
    pub(crate) ending: bool,
    pub(crate) summary: Summary,
    out: Out,
    trace: bool,
}

impl World {
    pub(crate) fn new(seed: u64, trace: bool) -> Self {
        let mut random = Random::new(seed);
        let clients = (0..random.range(2, 4)).map(|_| Client::new(&mut random)).collect();
        let keep = usize::try_from(random.range(1, 4)).unwrap_or(1);
        let disk = MemDisk::new();
        Self {
            random,
            now: 1_000 * MILLI,
            wall_ahead: 1_700_000_000_000,
            events: BTreeMap::new(),
            next_event: 0,
            process: ProcessDisk::new(disk.clone(), u64::MAX),
            disk,
            server: None,
            boot: 0,
            clients,
            conns: BTreeMap::new(),
            next_conn: 1,
            resumed: Vec::new(),
            history: History::new(),
            held: VecDeque::new(),
            keep,
            may_rot: keep - 1,
            rotten: BTreeSet::new(),
            heard: BTreeMap::new(),
            planned: Vec::new(),
            limited: false,
            ending: false,
            summary: Summary::default(),
            out: Out::default(),
            trace,
        }
    }

    /// One run.
    pub(crate) fn run(mut self) -> Result<Summary, String> {
        self.after(0, Event::Start);
        for client in 0..self.clients.len() {
            self.after(client as u64 * MILLI, Event::Act { client });
        }
        self.after(700 * MILLI, Event::Compare);
        self.after(3_000 * MILLI, Event::Jump);
        let end = self.now + self.random.range(5_000, 25_000) * MILLI;
        self.until(end)?;
        self.end()?;
        Ok(self.summary)
    }

    /// Everything up to `end` happens.
    pub(crate) fn until(&mut self, end: u64) -> Result<(), String> {
        loop {
            let tick = self.server.as_ref().map_or(u64::MAX, |s| s.node.next_timeout().0);
            let next = self.events.keys().next().map_or(u64::MAX, |(at, _)| *at);
            let at = tick.max(self.now).min(next);
            if at > end {
                self.now = end;
                return Ok(());
            }
            self.now = at;
            if next <= at {
                if let Some((_, event)) = self.events.pop_first() {
                    self.say(|| self.describe(&event));
                    self.happen(event)?;
                }
            } else {
                self.step(Input::Tick, None)?;
            }
            if self.disk.is_off() {
                self.crash(true);
            } else if self.process.is_killed() {
                self.crash(false);
            }
        }
    }

    pub(crate) fn after(&mut self, nanos: u64, event: Event) {
        self.at(self.now + nanos, event);
    }

    pub(crate) fn at(&mut self, at: u64, event: Event) {
        self.events.insert((at, self.next_event), event);
        self.next_event += 1;
    }

    /// A duration in nanoseconds, given in microseconds.
    pub(crate) fn micros(&mut self, min: u64, max: u64) -> u64 {
        self.random.range(min, max) * 1_000
    }

    pub(crate) fn clock(&self) -> Now {
        let millis = i64::try_from(self.now / MILLI).unwrap_or(i64::MAX);
        Now { mono: Mono(self.now), wall: Wall(self.wall_ahead + millis) }
    }

    /// Tells what happens, if somebody wants to know.
    pub(crate) fn say(&self, what: impl FnOnce() -> String) {
        if self.trace {
            let mut text = what();
            if text.len() > 300 {
                text.truncate((0..=300).rev().find(|at| text.is_char_boundary(*at)).unwrap_or(0));
            }
            let (millis, micros) = (self.now / MILLI, self.now / 1_000 % 1_000);
            crate::print(&format!("{millis:>6}.{micros:03} ms  {text}"));
        }
    }

    fn describe(&self, event: &Event) -> String {
        if let Event::Frame { conn, frame } = event
            && self.conns.get(conn).is_some_and(|c| c.greeted)
        {
            return format!("Frame {{ conn: {conn}, {:?} }}", crate::history::decode(frame));
        }
        format!("{event:?}")
    }

    fn happen(&mut self, event: Event) -> Result<(), String> {
        let boot_now = self.boot;
        match event {
            Event::Start => self.start()?,
            Event::Kill { boot, power } if boot == boot_now && !self.ending => self.crash(power),
            Event::Room => self.make_room(),
            Event::Jump => {
                // By seconds, or by hours: nothing but the times in stats may show it.
                let most = *self.random.pick(&[10_000, 10 * HOUR]);
                let jump = i64::try_from(self.random.below(2 * most)).unwrap_or(0);
                self.wall_ahead += jump - i64::try_from(most).unwrap_or(0);
                self.after(3_000 * MILLI, Event::Jump);
            }
            Event::Act { client } => self.act(client),
            Event::Frame { conn, frame } => self.arrive(conn, frame)?,
            Event::Hangup { conn } => self.hang_up(conn)?,
            Event::Answer { conn, frame } => self.answered(conn, &frame),
            Event::Cut { conn } => self.cut(conn),
            Event::Sync { boot } if boot == boot_now => self.sync(),
            Event::Heal { boot } if boot == boot_now => self.heal(),
            Event::Synced { boot, upto, healed } if boot == boot_now => {
                if let Some(server) = &mut self.server {
                    server.disk_busy = false;
                }
                if healed {
                    self.step(Input::LogHealed, None)?;
                }
                self.step(Input::Synced { upto }, None)?;
                self.release(upto)?;
                self.wake_disk();
            }
            Event::LogFailed { boot } if boot == boot_now => {
                self.summary.log_failures += 1;
                self.step(Input::LogFailed, None)?;
            }
            Event::Slice { boot } if boot == boot_now => self.slice()?,
            Event::SnapshotDone { boot } if boot == boot_now => {
                self.step(Input::SnapshotDone, None)?;
            }
            Event::Compare => {
                // With answers held back, the tree is ahead of what anybody may know.
                if let Some(server) = self.server.as_ref().filter(|_| self.held.is_empty()) {
                    self.history.compare(server.node.tree())?;
                }
                self.after(700 * MILLI, Event::Compare);
            }
            // Of a process that is no more.
            Event::Kill { .. }
            | Event::Sync { .. }
            | Event::Heal { .. }
            | Event::Synced { .. }
            | Event::LogFailed { .. }
            | Event::Slice { .. }
            | Event::SnapshotDone { .. } => {}
        }
        Ok(())
    }

    /// The node takes an input, and what it wants is done. `from` is where a frame came from.
    pub(crate) fn step(&mut self, input: Input<'_>, from: Option<u64>) -> Result<(), String> {
        let now = self.clock();
        let Some(server) = &mut self.server else { return Ok(()) };
        let mut out = std::mem::take(&mut self.out);
        out.clear();
        server.node.step(now, input, &mut out);
        let done = self.carry_out(&out, from);
        self.out = out;
        done?;
        self.wake_disk();
        self.read_held()
    }

    /// Frames that were held back, one by one, for as long as the server reads.
    fn read_held(&mut self) -> Result<(), String> {
        while let Some(id) = self.resumed.pop() {
            while let Some(conn) = self.conns.get_mut(&id).filter(|c| c.reading && c.at_server)
                && let Some(frame) = conn.held.pop_front()
            {
                self.feed(id, &frame)?;
            }
        }
        Ok(())
    }

    /// A frame reaches the server's end.
    fn arrive(&mut self, id: u64, frame: Vec<u8>) -> Result<(), String> {
        let peer = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 40_000);
        let Some(conn) = self.conns.get_mut(&id) else { return Ok(()) };
        if !conn.begun {
            if self.server.is_none() {
                // Nobody listens.
                self.after(MILLI, Event::Cut { conn: id });
                return Ok(());
            }
            conn.begun = true;
            conn.at_server = true;
            conn.reading = true;
            self.step(Input::Opened { conn: ConnId(id), peer }, None)?;
            return self.feed(id, &frame);
        }
        if conn.reading && conn.held.is_empty() {
            self.feed(id, &frame)
        } else {
            conn.held.push_back(frame);
            Ok(())
        }
    }

    fn feed(&mut self, id: u64, frame: &[u8]) -> Result<(), String> {
        let now = self.now;
        let Some(conn) = self.conns.get_mut(&id).filter(|c| c.at_server) else { return Ok(()) };
        let session = if conn.greeted {
            let proposed = self.history.last();
            conn.asked.push_back(Asked { frame: frame.to_vec(), zxid: None, proposed });
            conn.session
        } else {
            let resumed = wk_proto::client::ConnectRequest::decode(frame);
            resumed.map_or(SessionId::NONE, |request| request.session)
        };
        self.heard.insert(session, now);
        self.step(Input::Frame { conn: ConnId(id), frame }, Some(id))
    }

    fn hang_up(&mut self, id: u64) -> Result<(), String> {
        self.history.forget(id);
        if self.conns.remove(&id).is_some_and(|conn| conn.at_server) {
            self.step(Input::Closed { conn: ConnId(id) }, None)?;
        }
        Ok(())
    }
}

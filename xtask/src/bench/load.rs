//! The client side, closed loop: one thread, one epoll, as many sessions and requests in flight as
//! asked for. A reply makes the next request.

use std::collections::VecDeque;
use std::io::{ErrorKind, Read, Write};
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use mio::{Events, Interest, Poll, Token};
use wk_proto::client::{ReplyHeader, frame};
use wk_proto::{OpCode, Reader, Xid};

pub(crate) use super::script::Op;
use super::script::Script;
use super::wire::{ask_all, connect, create, unique};

/// An operation by so many sessions with so many requests in flight each.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Workload {
    pub(crate) op: Op,
    pub(crate) sessions: u32,
    pub(crate) depth: u32,
}

impl Workload {
    pub(crate) fn name(&self) -> String {
        format!("{} {}x{}", self.op.name(), self.sessions, self.depth)
    }
}

/// Bytes of one read.
pub(super) const CHUNK: usize = 64 << 10;

/// When a round is over.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Extent {
    /// After this time, and a fifth of it more at the start, which warms up and does not count.
    Time(Duration),
    /// After so many requests of each session; all count.
    Requests(u32),
}

/// What a round came to.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Load {
    pub(crate) per_second: f64,
    pub(crate) p50: Duration,
    pub(crate) p99: Duration,
    pub(crate) p999: Duration,
    pub(crate) ops: u64,
}

impl Load {
    /// The figures of these latencies, gathered in `elapsed`.
    pub(super) fn of(mut latencies: Vec<Duration>, elapsed: Duration) -> Result<Self> {
        ensure!(!latencies.is_empty(), "no reply came");
        latencies.sort_unstable();
        let at = |permille: usize| latencies[(latencies.len() - 1) * permille / 1000];
        let ops = latencies.len() as u64;
        let per_second = ops as f64 / elapsed.as_secs_f64();
        Ok(Self { per_second, p50: at(500), p99: at(990), p999: at(999), ops })
    }
}

/// A session of a load: a socket, and what is under way on it.
pub(super) struct Session {
    pub(super) socket: mio::net::TcpStream,
    pub(super) input: Vec<u8>,
    pub(super) output: Vec<u8>,
    pub(super) in_flight: VecDeque<(u32, Instant)>,
    pub(super) turn: u32,
    script: Script,
}

/// Opens the sessions, lays the znodes, runs the load for `time`.
///
/// # Errors
/// When a reply is an error or out of order: a wrong answer is no speed.
pub(crate) fn run(addr: SocketAddr, workload: &Workload, time: Duration) -> Result<Load> {
    run_for(addr, workload, Extent::Time(time), &format!("/b{}", unique()))
}

/// The same, to any extent, below `base`.
pub(super) fn run_for(
    addr: SocketAddr,
    workload: &Workload,
    extent: Extent,
    base: &str,
) -> Result<Load> {
    let mut poll = Poll::new().context("open epoll")?;
    let mut sessions = open(addr, workload, base, &poll)?;
    let (warm_up, time, last) = match extent {
        Extent::Time(time) => (time / 5, Some(time), u32::MAX),
        Extent::Requests(count) => (Duration::ZERO, None, count),
    };
    let counted_from = Instant::now() + warm_up;
    let end = time.map(|time| counted_from + time);
    let mut latencies = Vec::new();
    let mut events = Events::with_capacity(256);
    let mut chunk = vec![0; CHUNK];
    for session in &mut sessions {
        for _ in 0..workload.depth.min(last) {
            session.ask(base, Instant::now());
        }
        session.flush()?;
    }
    while end.is_none_or(|end| Instant::now() < end) {
        poll.poll(&mut events, Some(Duration::from_millis(100))).context("wait for replies")?;
        for event in &events {
            let session = &mut sessions[event.token().0];
            session.read(&mut chunk)?;
            let now = Instant::now();
            let replies = session.take(|asked| {
                if now >= counted_from {
                    latencies.push(now.duration_since(asked));
                }
            })?;
            for _ in 0..replies {
                if session.turn < last {
                    session.ask(base, now);
                }
            }
            session.flush()?;
        }
        if end.is_none() && sessions.iter().all(|session| session.in_flight.is_empty()) {
            break;
        }
    }
    Load::of(latencies, counted_from.elapsed())
}

/// Lays the znodes that a load needs and opens its sessions, the number of each its token.
pub(super) fn open(
    addr: SocketAddr,
    workload: &Workload,
    base: &str,
    poll: &Poll,
) -> Result<Vec<Session>> {
    let paths = workload.op.prepared(base, workload.sessions);
    ask_all(&mut connect(addr)?, paths.iter().map(|path| create(path)))?;
    let mut sessions = Vec::new();
    for number in 0..workload.sessions {
        let socket = connect(addr)?;
        socket.set_nonblocking(true).context("set non-blocking")?;
        let mut socket = mio::net::TcpStream::from_std(socket);
        poll.registry()
            .register(&mut socket, Token(number as usize), Interest::READABLE)
            .context("register a session")?;
        sessions.push(Session {
            socket,
            input: Vec::new(),
            output: Vec::new(),
            in_flight: VecDeque::new(),
            turn: 0,
            script: Script { op: workload.op, number },
        });
    }
    Ok(sessions)
}

impl Session {
    /// Prepares the next request; its latency counts from `at`.
    pub(super) fn ask(&mut self, base: &str, at: Instant) {
        self.turn += 1;
        self.script.ask(self.turn, base, &mut self.output);
        self.in_flight.push_back((self.turn, at));
    }

    /// Reads all that has come.
    pub(super) fn read(&mut self, chunk: &mut [u8]) -> Result<()> {
        loop {
            match self.socket.read(chunk) {
                Ok(0) => bail!("the server closed a session"),
                Ok(n) => {
                    self.input.extend_from_slice(&chunk[..n]);
                    // Edge-triggered: less than was asked for has emptied the socket.
                    if n < chunk.len() {
                        return Ok(());
                    }
                }
                Err(err) if err.kind() == ErrorKind::WouldBlock => return Ok(()),
                Err(err) => return Err(err).context("read replies"),
            }
        }
    }

    /// Takes the replies that have come whole, tells of each when it was asked for, counts them.
    pub(super) fn take(&mut self, mut tell: impl FnMut(Instant)) -> Result<u32> {
        let mut rest = &self.input[..];
        let mut replies = 0;
        while let Some(frame) = frame::split(&mut rest, frame::MAX_FRAME_DEFAULT)? {
            let mut reader = Reader::new(frame);
            let header = ReplyHeader::decode(&mut reader)?;
            let (turn, asked) = self.in_flight.pop_front().context("an unasked reply")?;
            let xid = turn.cast_signed();
            ensure!(header.xid == Xid(xid), "reply {} to request {xid}", header.xid.0);
            ensure!(header.err == 0, "request {xid} failed: {}", header.err);
            if self.script.op == Op::Bulk {
                // A failed multi has a good header and says so in its first result.
                let first = reader.i32().context("an empty reply to a multi")?;
                ensure!(first == OpCode::Create.code(), "multi {xid} failed");
            }
            tell(asked);
            replies += 1;
        }
        let left = rest.len();
        self.input.drain(..self.input.len() - left);
        Ok(replies)
    }

    pub(super) fn flush(&mut self) -> Result<()> {
        let mut sent = 0;
        while sent < self.output.len() {
            match self.socket.write(&self.output[sent..]) {
                Ok(n) => sent += n,
                // A full socket buffer of a few kilobytes of requests: the server is about to read.
                Err(err) if err.kind() == ErrorKind::WouldBlock => std::thread::yield_now(),
                Err(err) => return Err(err).context("send requests"),
            }
        }
        self.output.clear();
        Ok(())
    }
}

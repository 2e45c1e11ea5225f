//! The client side, open loop: requests go out at their time whether or not the answers to earlier
//! ones have come, and a latency counts from the time at which the request was due. So a server that
//! stands still for a while shows it in every request of that while.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use mio::{Events, Poll};

use super::load::{CHUNK, Load, Op, Session, Workload, open};
use super::wire::unique;

/// Sessions of each kind of request.
const SESSIONS: u32 = 8;
/// What may be unanswered; a server that is further behind does not carry the load.
const BEHIND_MAX: usize = 200_000;
/// How long the last answers may take.
const DRAIN: Duration = Duration::from_mins(1);

/// Requests a second.
#[derive(Clone, Copy, Debug)]
pub(super) struct Rates {
    pub(super) sets: u32,
    pub(super) gets: u32,
}

/// One kind of request: its sessions take turns.
struct Stream {
    sessions: Vec<Session>,
    base: String,
    every: Duration,
    sent: u32,
    latencies: Vec<Duration>,
}

impl Stream {
    fn due(&self, start: Instant) -> Instant {
        start + self.every * self.sent
    }
}

/// Runs both streams for `time` and a fifth of it before, which does not count. Gives the figures
/// of the sets and of the gets.
pub(super) fn run(addr: SocketAddr, rates: Rates, time: Duration) -> Result<[Load; 2]> {
    // A poll of each: tokens are numbers of sessions.
    let mut polls = [Poll::new().context("open epoll")?, Poll::new().context("open epoll")?];
    let ops = [(Op::Set, rates.sets), (Op::Get, rates.gets)];
    let mut streams = Vec::new();
    for ((op, rate), poll) in ops.into_iter().zip(&polls) {
        let base = format!("/b{}", unique());
        let workload = Workload { op, sessions: SESSIONS, depth: 1 };
        let sessions = open(addr, &workload, &base, poll)?;
        let every = Duration::from_secs(1) / rate;
        streams.push(Stream { sessions, base, every, sent: 0, latencies: Vec::new() });
    }
    let start = Instant::now();
    let counted_from = start + time / 5;
    let end = counted_from + time;
    let (mut events, mut chunk) = (Events::with_capacity(256), vec![0; CHUNK]);
    loop {
        let now = Instant::now();
        let mut waiting = 0;
        for (stream, poll) in streams.iter_mut().zip(&mut polls) {
            send(stream, start, now.min(end))?;
            // Spinning: a sleep would be a latency of the client's.
            poll.poll(&mut events, Some(Duration::ZERO)).context("wait for replies")?;
            for event in &events {
                let session = &mut stream.sessions[event.token().0];
                session.read(&mut chunk)?;
                let (now, latencies) = (Instant::now(), &mut stream.latencies);
                session.take(|due| {
                    if due >= counted_from {
                        latencies.push(now.duration_since(due));
                    }
                })?;
            }
            waiting += stream.sessions.iter().map(|one| one.in_flight.len()).sum::<usize>();
        }
        ensure!(waiting < BEHIND_MAX, "{waiting} requests wait for an answer");
        if now >= end && waiting == 0 {
            break;
        }
        ensure!(now < end + DRAIN, "{waiting} requests were not answered");
    }
    let mut loads = Vec::new();
    for stream in streams {
        loads.push(Load::of(stream.latencies, time)?);
    }
    loads.try_into().ok().context("two streams")
}

/// Sends what is due before `until`.
fn send(stream: &mut Stream, start: Instant, until: Instant) -> Result<()> {
    while stream.due(start) < until {
        let due = stream.due(start);
        let session = &mut stream.sessions[(stream.sent % SESSIONS) as usize];
        session.ask(&stream.base, due);
        session.flush()?;
        stream.sent += 1;
    }
    Ok(())
}

//! Many sessions that watch one znode: how long after a set the last of them has heard of it.

use std::io::{ErrorKind, Read, Write};
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use mio::{Events, Interest, Poll, Token};
use wk_proto::client::{ReplyHeader, Request, frame};
use wk_proto::{OpCode, Reader, Xid};

use super::wire::{DATA, ask_all, connect, connect_all, create, put, read_frame, unique};

/// How long all of them may take to hear.
const HEAR_MAX: Duration = Duration::from_mins(1);

struct Watcher {
    socket: mio::net::TcpStream,
    input: Vec<u8>,
}

/// Opens `count` sessions, and `rounds` times has all of them watch and one more set. Gives the time
/// from the set to the last event, of each round.
pub(super) fn fan_out(addr: SocketAddr, count: u32, rounds: usize) -> Result<Vec<Duration>> {
    let path = format!("/w{}", unique());
    let mut setter = connect(addr)?;
    ask_all(&mut setter, std::iter::once(create(&path)))?;
    let mut poll = Poll::new().context("open epoll")?;
    let mut watchers = Vec::new();
    for (number, socket) in connect_all(addr, count)?.into_iter().enumerate() {
        socket.set_nonblocking(true).context("set non-blocking")?;
        let mut socket = mio::net::TcpStream::from_std(socket);
        let token = Token(number);
        let registry = poll.registry();
        registry.register(&mut socket, token, Interest::READABLE).context("register a session")?;
        watchers.push(Watcher { socket, input: Vec::new() });
    }
    let mut took = Vec::new();
    for round in 1..=rounds {
        let xid = i32::try_from(round)?;
        arm(&mut poll, &mut watchers, &path, xid)?;
        let mut out = Vec::new();
        put(&mut out, xid, &Request::SetData { path: &path, data: Some(&DATA), version: -1 });
        let begun = Instant::now();
        setter.write_all(&out).context("send the set")?;
        hear(&mut poll, &mut watchers, Xid::NOTIFICATION)?;
        took.push(begun.elapsed());
        let header = ReplyHeader::decode(&mut Reader::new(&read_frame(&mut setter)?))?;
        ensure!(header.err == 0 && header.xid == Xid(xid), "the set failed: {header:?}");
    }
    Ok(took)
}

fn arm(poll: &mut Poll, watchers: &mut [Watcher], path: &str, xid: i32) -> Result<()> {
    let mut out = Vec::new();
    put(&mut out, xid, &Request::Read { op: OpCode::GetData, path, watch: true });
    for watcher in watchers.iter_mut() {
        // Less than a hundred bytes into an empty socket.
        let sent = watcher.socket.write(&out).context("send a watch")?;
        ensure!(sent == out.len(), "a watch did not fit into its socket");
    }
    hear(poll, watchers, Xid(xid))
}

/// Waits until each of them has had one frame of this number.
fn hear(poll: &mut Poll, watchers: &mut [Watcher], xid: Xid) -> Result<()> {
    let mut events = Events::with_capacity(1024);
    let (begun, mut heard) = (Instant::now(), 0);
    while heard < watchers.len() {
        ensure!(begun.elapsed() < HEAR_MAX, "{heard} of {} heard", watchers.len());
        poll.poll(&mut events, Some(Duration::from_millis(100))).context("wait for events")?;
        for event in &events {
            heard += watchers[event.token().0].frames(xid)?;
        }
    }
    ensure!(heard == watchers.len(), "{heard} frames for {} watches", watchers.len());
    Ok(())
}

impl Watcher {
    /// Reads what has come and counts its frames, which must have this number.
    fn frames(&mut self, xid: Xid) -> Result<usize> {
        let mut chunk = [0; 1024];
        loop {
            match self.socket.read(&mut chunk) {
                Ok(0) => bail!("the server closed a session"),
                Ok(n) => self.input.extend_from_slice(&chunk[..n]),
                Err(err) if err.kind() == ErrorKind::WouldBlock => break,
                Err(err) => return Err(err).context("read events"),
            }
        }
        let (mut rest, mut count) = (&self.input[..], 0);
        while let Some(bytes) = frame::split(&mut rest, frame::MAX_FRAME_DEFAULT)? {
            let header = ReplyHeader::decode(&mut Reader::new(bytes))?;
            ensure!(header.xid == xid && header.err == 0, "an unasked reply: {header:?}");
            count += 1;
        }
        let left = rest.len();
        self.input.drain(..self.input.len() - left);
        Ok(count)
    }
}

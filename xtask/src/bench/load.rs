//! The client side: one thread, one epoll, as many sessions and requests in flight as asked for.

use std::collections::VecDeque;
use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use mio::{Events, Interest, Poll, Token};
use wk_proto::client::{
    ConnectRequest, ConnectResponse, CreateRequest, ReplyHeader, Request, RequestHeader, frame,
};
use wk_proto::{AclList, OpCode, Reader, SessionId, Xid, Zxid};

/// Znodes that sets and gets choose among.
const KEYS: u32 = 1000;
/// Bytes of data in each znode.
const DATA: [u8; 100] = [b'x'; 100];
/// Children of one parent.
const CHILDREN_MAX: u32 = 10_000;

/// What the sessions do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Op {
    Create,
    Set,
    Get,
    /// Four gets to one set.
    Mixed,
}

/// An operation by so many sessions with so many requests in flight each.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Workload {
    pub(crate) op: Op,
    pub(crate) sessions: u32,
    pub(crate) depth: u32,
}

impl Workload {
    pub(crate) fn name(&self) -> String {
        let op = match self.op {
            Op::Create => "create",
            Op::Set => "set",
            Op::Get => "get",
            Op::Mixed => "80/20",
        };
        format!("{op} {}x{}", self.sessions, self.depth)
    }
}

/// What a round came to.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Load {
    pub(crate) per_second: f64,
    pub(crate) p50: Duration,
    pub(crate) p99: Duration,
    pub(crate) ops: u64,
}

struct Session {
    socket: mio::net::TcpStream,
    input: Vec<u8>,
    output: Vec<u8>,
    in_flight: VecDeque<(i32, Instant)>,
    xid: i32,
    number: u32,
}

/// Opens the sessions, lays the keys, runs the load for `time`.
///
/// # Errors
/// When a reply is an error or out of order: a wrong answer is no speed.
pub(crate) fn run(addr: SocketAddr, workload: &Workload, time: Duration) -> Result<Load> {
    let base = format!("/b{}", unique());
    prepare_keys(addr, &base, workload)?;
    let mut poll = Poll::new().context("open epoll")?;
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
            xid: 0,
            number,
        });
    }
    drive(&mut poll, &mut sessions, workload, &base, time)
}

fn drive(
    poll: &mut Poll,
    sessions: &mut [Session],
    workload: &Workload,
    base: &str,
    time: Duration,
) -> Result<Load> {
    // A fifth of the time more at the start warms server and sockets up and does not count.
    let counted_from = Instant::now() + time / 5;
    let end = counted_from + time;
    let mut latencies = Vec::new();
    let mut events = Events::with_capacity(256);
    for session in sessions.iter_mut() {
        for _ in 0..workload.depth {
            session.ask(workload.op, base);
        }
        session.flush()?;
    }
    while Instant::now() < end {
        poll.poll(&mut events, Some(Duration::from_millis(100))).context("wait for replies")?;
        for event in &events {
            let session = &mut sessions[event.token().0];
            session.take(
                |latency, done| {
                    if done >= counted_from {
                        latencies.push(latency);
                    }
                },
                workload.op,
                base,
            )?;
            session.flush()?;
        }
    }
    let elapsed = counted_from.elapsed();
    ensure!(!latencies.is_empty(), "no reply came");
    latencies.sort_unstable();
    let at = |permille: usize| latencies[(latencies.len() - 1) * permille / 1000];
    let ops = latencies.len() as u64;
    Ok(Load { per_second: ops as f64 / elapsed.as_secs_f64(), p50: at(500), p99: at(990), ops })
}

impl Session {
    fn ask(&mut self, op: Op, base: &str) {
        self.xid += 1;
        let turn = self.xid.cast_unsigned();
        let key = turn.wrapping_mul(7919).wrapping_add(self.number * 131) % KEYS;
        let op = match op {
            Op::Mixed if turn.is_multiple_of(5) => Op::Set,
            Op::Mixed => Op::Get,
            Op::Create | Op::Set | Op::Get => op,
        };
        let path = match op {
            Op::Create => format!("{base}/s{}-{}/n{turn:09}", self.number, turn / CHILDREN_MAX),
            Op::Set | Op::Get | Op::Mixed => format!("{base}/k{key:09}"),
        };
        if op == Op::Create && turn.is_multiple_of(CHILDREN_MAX) {
            let parent = format!("{base}/s{}-{}", self.number, turn / CHILDREN_MAX);
            put(&mut self.output, self.xid, &create(&parent));
        } else {
            let request = match op {
                Op::Create => create(&path),
                Op::Set => Request::SetData { path: &path, data: Some(&DATA), version: -1 },
                Op::Get | Op::Mixed => {
                    Request::Read { op: OpCode::GetData, path: &path, watch: false }
                }
            };
            put(&mut self.output, self.xid, &request);
        }
        self.in_flight.push_back((self.xid, Instant::now()));
    }

    /// Reads what has come; for each reply tells its latency and asks the next request.
    fn take(&mut self, mut tell: impl FnMut(Duration, Instant), op: Op, base: &str) -> Result<()> {
        let mut chunk = [0; 16 * 1024];
        loop {
            match self.socket.read(&mut chunk) {
                Ok(0) => bail!("the server closed a session"),
                Ok(n) => self.input.extend_from_slice(&chunk[..n]),
                Err(err) if err.kind() == ErrorKind::WouldBlock => break,
                Err(err) => return Err(err).context("read replies"),
            }
        }
        let input = std::mem::take(&mut self.input);
        let mut rest = &input[..];
        let now = Instant::now();
        while let Some(frame) = frame::split(&mut rest, frame::MAX_FRAME_DEFAULT)? {
            let header = ReplyHeader::decode(&mut Reader::new(frame))?;
            let (xid, asked) = self.in_flight.pop_front().context("an unasked reply")?;
            ensure!(header.xid == Xid(xid), "reply {} to request {xid}", header.xid.0);
            ensure!(header.err == 0, "request {xid} failed: {}", header.err);
            tell(now.duration_since(asked), now);
            self.ask(op, base);
        }
        self.input = rest.to_vec();
        Ok(())
    }

    fn flush(&mut self) -> Result<()> {
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

fn create(path: &str) -> Request<'_> {
    let create = CreateRequest { path, data: Some(&DATA), acl: AclList::open(), flags: 0, ttl: 0 };
    Request::Create(OpCode::Create, create)
}

fn put(out: &mut Vec<u8>, xid: i32, request: &Request<'_>) {
    let start = frame::begin(out);
    RequestHeader { xid: Xid(xid), op: request.op().code() }.encode(out);
    request.encode(out);
    frame::end(out, start);
}

fn unique() -> u128 {
    std::time::UNIX_EPOCH.elapsed().map_or(0, |d| d.as_nanos())
}

/// A connected session, blocking.
fn connect(addr: SocketAddr) -> Result<TcpStream> {
    let mut socket = TcpStream::connect(addr).with_context(|| format!("connect to {addr}"))?;
    socket.set_nodelay(true).context("turn Nagle off")?;
    let request = ConnectRequest {
        protocol_version: 0,
        last_zxid_seen: Zxid::ZERO,
        timeout: 40_000,
        session: SessionId::NONE,
        password: [0; 16],
        read_only: None,
    };
    let mut out = Vec::new();
    let start = frame::begin(&mut out);
    request.encode(&mut out);
    frame::end(&mut out, start);
    socket.write_all(&out).context("send the handshake")?;
    let reply = read_frame(&mut socket)?;
    ensure!(ConnectResponse::decode(&reply)?.timeout > 0, "the session was refused");
    Ok(socket)
}

fn read_frame(socket: &mut TcpStream) -> Result<Vec<u8>> {
    let mut len = [0; 4];
    socket.read_exact(&mut len).context("read a length")?;
    let mut frame = vec![0; u32::from_be_bytes(len) as usize];
    socket.read_exact(&mut frame).context("read a frame")?;
    Ok(frame)
}

/// Creates the parents and the keys that the load works on.
fn prepare_keys(addr: SocketAddr, base: &str, workload: &Workload) -> Result<()> {
    let mut socket = connect(addr)?;
    let mut paths = vec![base.to_owned()];
    if workload.op == Op::Create {
        paths.extend((0..workload.sessions).map(|n| format!("{base}/s{n}-0")));
    } else {
        paths.extend((0..KEYS).map(|key| format!("{base}/k{key:09}")));
    }
    let mut out = Vec::new();
    for (xid, path) in (1..).zip(&paths) {
        put(&mut out, xid, &create(path));
    }
    put(&mut out, i32::MAX, &Request::CloseSession);
    socket.write_all(&out).context("send the keys")?;
    for path in &paths {
        let header = ReplyHeader::decode(&mut Reader::new(&read_frame(&mut socket)?))?;
        ensure!(header.err == 0, "{path} was not created: {}", header.err);
    }
    read_frame(&mut socket).map(drop)
}

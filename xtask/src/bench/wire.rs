//! A session's bytes: handshake, requests, replies.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use wk_proto::client::{
    ConnectRequest, ConnectResponse, CreateRequest, ReplyHeader, Request, RequestHeader, frame,
};
use wk_proto::{AclList, OpCode, Reader, SessionId, Xid, Zxid};

/// Bytes of data in each znode.
pub(super) const DATA: [u8; 100] = [b'x'; 100];
/// The longest timeout that the servers grant; no session of a run ends before its time.
const SESSION_TIMEOUT_MS: i32 = 40_000;
/// Handshakes under way at a time; below the backlog of every server.
const TOGETHER: usize = 40;
/// How long a blocking session waits for an answer.
const ANSWER_MAX: Duration = Duration::from_mins(1);

/// A persistent znode with 100 bytes of data.
pub(super) fn create(path: &str) -> Request<'_> {
    let create = CreateRequest { path, data: Some(&DATA), acl: AclList::open(), flags: 0, ttl: 0 };
    Request::Create(OpCode::Create, create)
}

/// Appends a framed request.
pub(super) fn put(out: &mut Vec<u8>, xid: i32, request: &Request<'_>) {
    let start = frame::begin(out);
    RequestHeader { xid: Xid(xid), op: request.op().code() }.encode(out);
    request.encode(out);
    frame::end(out, start);
}

/// A name that no run before had.
pub(super) fn unique() -> u128 {
    std::time::UNIX_EPOCH.elapsed().map_or(0, |d| d.as_nanos())
}

/// A connected session, blocking.
pub(super) fn connect(addr: SocketAddr) -> Result<TcpStream> {
    welcome(greet(addr)?)
}

/// So many of them, some at a time: a session is a write, and a slow disk takes many in one sync.
pub(super) fn connect_all(addr: SocketAddr, count: u32) -> Result<Vec<TcpStream>> {
    let mut all = Vec::new();
    while all.len() < count as usize {
        let some = TOGETHER.min(count as usize - all.len());
        let greeted: Result<Vec<_>> = (0..some).map(|_| greet(addr)).collect();
        for socket in greeted? {
            all.push(welcome(socket)?);
        }
    }
    Ok(all)
}

fn greet(addr: SocketAddr) -> Result<TcpStream> {
    let mut socket = TcpStream::connect(addr).with_context(|| format!("connect to {addr}"))?;
    socket.set_nodelay(true).context("turn Nagle off")?;
    socket.set_read_timeout(Some(ANSWER_MAX)).context("set a read timeout")?;
    let request = ConnectRequest {
        protocol_version: 0,
        last_zxid_seen: Zxid::ZERO,
        timeout: SESSION_TIMEOUT_MS,
        session: SessionId::NONE,
        password: [0; 16],
        read_only: None,
    };
    let mut out = Vec::new();
    let start = frame::begin(&mut out);
    request.encode(&mut out);
    frame::end(&mut out, start);
    socket.write_all(&out).context("send the handshake")?;
    Ok(socket)
}

fn welcome(mut socket: TcpStream) -> Result<TcpStream> {
    let reply = read_frame(&mut socket)?;
    ensure!(ConnectResponse::decode(&reply)?.timeout > 0, "the session was refused");
    Ok(socket)
}

/// The next frame of a blocking socket.
pub(super) fn read_frame(socket: &mut TcpStream) -> Result<Vec<u8>> {
    let mut len = [0; 4];
    socket.read_exact(&mut len).context("read a length")?;
    let mut frame = vec![0; u32::from_be_bytes(len) as usize];
    socket.read_exact(&mut frame).context("read a frame")?;
    Ok(frame)
}

/// Sends requests together, numbered from 1, and reads a reply to each; none may be an error.
pub(super) fn ask_all<'r>(
    socket: &mut TcpStream,
    requests: impl Iterator<Item = Request<'r>>,
) -> Result<()> {
    let (mut out, mut count) = (Vec::new(), 0);
    for (xid, request) in (1..).zip(requests) {
        put(&mut out, xid, &request);
        count = xid;
    }
    socket.write_all(&out).context("send requests")?;
    for xid in 1..=count {
        let header = ReplyHeader::decode(&mut Reader::new(&read_frame(socket)?))?;
        ensure!(header.xid == Xid(xid), "reply {} to request {xid}", header.xid.0);
        ensure!(header.err == 0, "request {xid} failed: {}", header.err);
    }
    Ok(())
}

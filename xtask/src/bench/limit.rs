//! The limit: a server that speaks the protocol, answers at once, syncs writes in groups, and keeps
//! nothing. No real server on this machine can answer faster than this.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{ErrorKind, Read, Write};
use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;

use anyhow::{Context, Result};
use mio::net::{TcpListener, TcpStream};
use mio::{Events, Interest, Poll, Token};
use wk_proto::client::response::encode_data;
use wk_proto::client::{ConnectResponse, ReplyHeader, Request, RequestHeader, frame};
use wk_proto::{JuteWrite, OpCode, Reader, SessionId, Stat, Zxid};

const LISTENER: Token = Token(usize::MAX);

struct Peer {
    socket: TcpStream,
    input: Vec<u8>,
    output: Vec<u8>,
    greeted: bool,
}

/// Serves until it is killed; the first line of its output is its port.
pub(super) fn serve(log: &Path) -> Result<()> {
    let mut log = File::create(log).context("create the log")?;
    let mut listener = TcpListener::bind(SocketAddr::from((Ipv4Addr::LOCALHOST, 0)))?;
    println!("{}", listener.local_addr()?.port());
    let mut poll = Poll::new()?;
    poll.registry().register(&mut listener, LISTENER, Interest::READABLE)?;
    let mut peers: BTreeMap<usize, Peer> = BTreeMap::new();
    let mut events = Events::with_capacity(256);
    let mut next = 0;
    let mut zxid = 0;
    let mut records = Vec::new();
    loop {
        poll.poll(&mut events, None)?;
        let mut touched = Vec::new();
        for event in &events {
            if event.token() == LISTENER {
                while let Ok((mut socket, _)) = listener.accept() {
                    socket.set_nodelay(true)?;
                    poll.registry().register(&mut socket, Token(next), Interest::READABLE)?;
                    let (input, output) = (Vec::new(), Vec::new());
                    peers.insert(next, Peer { socket, input, output, greeted: false });
                    next += 1;
                }
                continue;
            }
            let id = event.token().0;
            let Some(peer) = peers.get_mut(&id) else { continue };
            if peer.turn(&mut records, &mut zxid)? {
                touched.push(id);
            } else {
                peers.remove(&id);
            }
        }
        if !records.is_empty() {
            log.write_all(&records)?;
            log.sync_data()?;
            records.clear();
        }
        for id in touched {
            if let Some(peer) = peers.get_mut(&id) {
                peer.socket.write_all(&peer.output)?;
                peer.output.clear();
            }
        }
    }
}

impl Peer {
    /// Reads what has come and prepares the replies. False: the peer is gone.
    fn turn(&mut self, records: &mut Vec<u8>, zxid: &mut i64) -> Result<bool> {
        let mut chunk = [0; 16 * 1024];
        loop {
            match self.socket.read(&mut chunk) {
                Ok(0) => return Ok(false),
                Ok(n) => self.input.extend_from_slice(&chunk[..n]),
                Err(err) if err.kind() == ErrorKind::WouldBlock => break,
                Err(_) => return Ok(false),
            }
        }
        let input = std::mem::take(&mut self.input);
        let mut rest = &input[..];
        while let Some(frame) = frame::split(&mut rest, frame::MAX_FRAME_DEFAULT)? {
            self.answer(frame, records, zxid)?;
        }
        self.input = rest.to_vec();
        Ok(true)
    }

    fn answer(&mut self, frame: &[u8], records: &mut Vec<u8>, zxid: &mut i64) -> Result<()> {
        let out = &mut self.output;
        let start = frame::begin(out);
        if self.greeted {
            let mut reader = Reader::new(frame);
            let header = RequestHeader::decode(&mut reader)?;
            let op = OpCode::from_code(header.op).context("an unknown operation")?;
            let request = Request::decode(op, &mut reader)?;
            if op.is_write() {
                *zxid += 1;
                records.put_bytes(frame);
            }
            ReplyHeader { xid: header.xid, zxid: Zxid(*zxid), err: 0 }.encode(out);
            if let Request::Create(_, create) = &request {
                out.put_string(create.path);
            } else if let Request::SetData { .. } = request {
                Stat::default().encode(out);
            } else if let Request::Read { .. } = request {
                encode_data(Some(&[b'x'; 100]), &Stat::default(), out);
            }
        } else {
            self.greeted = true;
            let (session, password) = (SessionId(1), [0; 16]);
            ConnectResponse { timeout: 40_000, session, password, read_only: None }.encode(out);
        }
        frame::end(out, start);
        Ok(())
    }
}

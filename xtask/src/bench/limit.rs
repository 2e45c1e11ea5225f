//! The limit: a server that speaks the protocol, answers at once, syncs writes in groups, and keeps
//! nothing. No real server on this machine can answer faster than this for long.
//!
//! One thread owns the sockets, another the log. While a group is synced the next one gathers. The
//! log is a file that was written once and is written over from its start again and again, so that
//! a sync never has to make a length or a place durable.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::fs::File;
use std::io::{ErrorKind, Read, Seek, Write};
use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, channel};

use anyhow::{Context, Result};
use mio::net::{TcpListener, TcpStream};
use mio::{Events, Interest, Poll, Token, Waker};
use wk_proto::client::response::{EventType, KeeperState, WatcherEvent};
use wk_proto::client::response::{encode_children, encode_data, encode_multi_end};
use wk_proto::client::{ConnectResponse, OpResult, ReplyHeader, Request, RequestHeader, frame};
use wk_proto::{JuteWrite, OpCode, Reader, SessionId, Stat, Xid, Zxid};

use super::script::LISTED;
use super::wire::DATA;

const LISTENER: Token = Token(usize::MAX);
const DISK: Token = Token(usize::MAX - 1);
/// Bytes of the log; more than a group ever has.
const LOG_BYTES: u64 = 64 << 20;
/// Bytes of one read.
const CHUNK: usize = 64 << 10;

/// A group of records, by its number.
type Group = (u64, Vec<u8>);

/// Serves until it is killed; the first line of its output is its port.
pub(super) fn serve(log: &Path) -> Result<()> {
    let poll = Poll::new()?;
    let mut listener = TcpListener::bind(SocketAddr::from((Ipv4Addr::LOCALHOST, 0)))?;
    poll.registry().register(&mut listener, LISTENER, Interest::READABLE)?;
    let waker = Arc::new(Waker::new(poll.registry(), DISK)?);
    let (to_log, groups) = channel();
    let (done, durable) = channel();
    let mut file = File::create(log).context("create the log")?;
    file.write_all(&vec![0; usize::try_from(LOG_BYTES)?])?;
    file.sync_all()?;
    std::thread::spawn(move || sync(file, &groups, &done, &waker));
    println!("{}", listener.local_addr()?.port());
    let names = (0..LISTED).map(|n| format!("{n:050}")).collect();
    let disk = Disk {
        groups: to_log,
        durable,
        busy: false,
        next: 1,
        records: Vec::new(),
        waiting: VecDeque::new(),
    };
    let chunk = vec![0; CHUNK];
    let limit = Limit { poll, listener, peers: BTreeMap::new(), disk, zxid: 0, names, chunk };
    limit.run()
}

/// The thread of the log.
fn sync(mut file: File, groups: &Receiver<Group>, done: &Sender<Group>, waker: &Waker) {
    let mut at = 0;
    for (number, mut records) in groups {
        let len = records.len() as u64;
        if at + len > LOG_BYTES {
            at = 0;
        }
        let written = file
            .seek(std::io::SeekFrom::Start(at))
            .and_then(|_| file.write_all(&records))
            .and_then(|()| file.sync_data());
        at += len;
        if let Err(err) = written {
            eprintln!("limit: the log: {err}");
            return;
        }
        records.clear();
        if done.send((number, records)).is_err() || waker.wake().is_err() {
            return;
        }
    }
}

struct Disk {
    groups: Sender<Group>,
    durable: Receiver<Group>,
    /// A group is with the thread of the log.
    busy: bool,
    /// Number of the group that gathers.
    next: u64,
    records: Vec<u8>,
    /// Who waits for which group, in order.
    waiting: VecDeque<(u64, usize)>,
}

struct Limit {
    poll: Poll,
    listener: TcpListener,
    peers: BTreeMap<usize, Peer>,
    disk: Disk,
    zxid: i64,
    names: Vec<String>,
    chunk: Vec<u8>,
}

struct Peer {
    socket: TcpStream,
    input: Vec<u8>,
    /// What may be sent.
    ready: Vec<u8>,
    /// What waits for its group, and what came after it.
    held: VecDeque<Group>,
    greeted: bool,
    watches: bool,
}

impl Limit {
    fn run(mut self) -> Result<()> {
        let mut events = Events::with_capacity(1024);
        let mut next = 0;
        loop {
            self.poll.poll(&mut events, None)?;
            let mut touched = BTreeSet::new();
            for event in &events {
                match event.token() {
                    LISTENER => self.accept(&mut next)?,
                    DISK => self.synced(&mut touched),
                    Token(id) => {
                        if event.is_readable() && !self.turn(id)? {
                            self.peers.remove(&id);
                        }
                        touched.insert(id);
                    }
                }
            }
            self.disk.hand_over()?;
            for id in touched {
                if self.peers.get_mut(&id).is_some_and(|peer| !peer.flush()) {
                    self.peers.remove(&id);
                }
            }
        }
    }

    fn accept(&mut self, next: &mut usize) -> Result<()> {
        while let Ok((mut socket, _)) = self.listener.accept() {
            socket.set_nodelay(true)?;
            let both = Interest::READABLE | Interest::WRITABLE;
            self.poll.registry().register(&mut socket, Token(*next), both)?;
            let (input, ready, held) = (Vec::new(), Vec::new(), VecDeque::new());
            let peer = Peer { socket, input, ready, held, greeted: false, watches: false };
            self.peers.insert(*next, peer);
            *next += 1;
        }
        Ok(())
    }

    /// Frees what waited for the groups that are durable now.
    fn synced(&mut self, touched: &mut BTreeSet<usize>) {
        while let Ok((number, spare)) = self.disk.durable.try_recv() {
            self.disk.busy = false;
            if self.disk.records.is_empty() {
                self.disk.records = spare;
            }
            let waiting = &mut self.disk.waiting;
            while let Some((_, id)) = waiting.pop_front_if(|(group, _)| *group <= number) {
                let Some(peer) = self.peers.get_mut(&id) else { continue };
                while let Some((_, bytes)) = peer.held.pop_front_if(|(group, _)| *group <= number) {
                    peer.ready.extend_from_slice(&bytes);
                }
                touched.insert(id);
            }
        }
    }

    /// Reads what has come and prepares the replies. False: the peer is gone.
    fn turn(&mut self, id: usize) -> Result<bool> {
        let Some(peer) = self.peers.get_mut(&id) else { return Ok(true) };
        let chunk = &mut self.chunk;
        loop {
            match peer.socket.read(chunk) {
                Ok(0) => return Ok(false),
                Ok(n) => {
                    peer.input.extend_from_slice(&chunk[..n]);
                    if n < chunk.len() {
                        break;
                    }
                }
                Err(err) if err.kind() == ErrorKind::WouldBlock => break,
                Err(_) => return Ok(false),
            }
        }
        let input = std::mem::take(&mut peer.input);
        let mut rest = &input[..];
        while let Some(frame) = frame::split(&mut rest, frame::MAX_FRAME_DEFAULT)? {
            self.answer(id, frame)?;
        }
        let left = rest.len();
        if let Some(peer) = self.peers.get_mut(&id) {
            peer.input = input;
            peer.input.drain(..peer.input.len() - left);
        }
        Ok(true)
    }

    fn answer(&mut self, id: usize, bytes: &[u8]) -> Result<()> {
        let Some(peer) = self.peers.get_mut(&id) else { return Ok(()) };
        if !peer.greeted {
            peer.greeted = true;
            let start = frame::begin(&mut peer.ready);
            let (session, password) = (SessionId(1), [0; 16]);
            ConnectResponse { timeout: 40_000, session, password, read_only: None }
                .encode(&mut peer.ready);
            frame::end(&mut peer.ready, start);
            return Ok(());
        }
        let mut reader = Reader::new(bytes);
        let header = RequestHeader::decode(&mut reader)?;
        let op = OpCode::from_code(header.op).context("an unknown operation")?;
        let request = Request::decode(op, &mut reader)?;
        let group = op.is_write().then_some(self.disk.next);
        if group.is_some() {
            self.zxid += 1;
            self.disk.records.put_bytes(bytes);
        }
        if let (Request::SetData { path, .. }, Some(group)) = (&request, group) {
            tell(&mut self.peers, &mut self.disk.waiting, path, self.zxid, group);
        }
        let Some(peer) = self.peers.get_mut(&id) else { return Ok(()) };
        peer.watches |= matches!(request, Request::Read { watch: true, .. });
        let out = peer.room(id, group, &mut self.disk.waiting);
        let start = frame::begin(out);
        ReplyHeader { xid: header.xid, zxid: Zxid(self.zxid), err: 0 }.encode(out);
        result(&request, &self.names, out);
        frame::end(out, start);
        Ok(())
    }
}

/// An event for everybody who watches: there is one watched znode.
fn tell(
    peers: &mut BTreeMap<usize, Peer>,
    waiting: &mut VecDeque<(u64, usize)>,
    path: &str,
    zxid: i64,
    group: u64,
) {
    for (id, peer) in peers.iter_mut().filter(|(_, peer)| peer.watches) {
        peer.watches = false;
        let out = peer.room(*id, Some(group), waiting);
        let start = frame::begin(out);
        ReplyHeader { xid: Xid::NOTIFICATION, zxid: Zxid(zxid), err: 0 }.encode(out);
        let kind = EventType::NodeDataChanged;
        WatcherEvent { kind, state: KeeperState::SYNC_CONNECTED, path }.encode(out);
        frame::end(out, start);
    }
}

#[expect(clippy::wildcard_enum_match_arm, reason = "what the bench does not ask has no result")]
fn result(request: &Request<'_>, names: &[String], out: &mut Vec<u8>) {
    match request {
        Request::Create(_, create) => out.put_string(create.path),
        Request::SetData { .. } => Stat::default().encode(out),
        Request::Read { op: OpCode::GetChildren, .. } => {
            encode_children(names.len(), names.iter().map(String::as_str), None, out);
        }
        Request::Read { .. } => encode_data(Some(&DATA), &Stat::default(), out),
        Request::Multi(ops) => {
            for op in ops {
                OpResult::Create { path: op.path().unwrap_or_default() }.encode(out);
            }
            encode_multi_end(out);
        }
        _ => {}
    }
}

impl Disk {
    /// Gives the group that has gathered to the log's thread, if that one has nothing to do.
    fn hand_over(&mut self) -> Result<()> {
        if self.busy || self.records.is_empty() {
            return Ok(());
        }
        let records = std::mem::take(&mut self.records);
        self.groups.send((self.next, records)).ok().context("the log's thread has ended")?;
        (self.busy, self.next) = (true, self.next + 1);
        Ok(())
    }
}

impl Peer {
    /// Where the next reply goes: behind those that wait, if any do or if it waits itself.
    fn room(
        &mut self,
        id: usize,
        group: Option<u64>,
        waiting: &mut VecDeque<(u64, usize)>,
    ) -> &mut Vec<u8> {
        let newest = self.held.back().map(|(group, _)| *group);
        if let Some(group) = group.filter(|group| newest.is_none_or(|newest| newest < *group)) {
            self.held.push_back((group, Vec::new()));
            waiting.push_back((group, id));
        }
        match self.held.back_mut() {
            Some((_, bytes)) => bytes,
            None => &mut self.ready,
        }
    }

    /// Sends what may be sent. False: the peer is gone.
    fn flush(&mut self) -> bool {
        let mut sent = 0;
        while sent < self.ready.len() {
            match self.socket.write(&self.ready[sent..]) {
                Ok(n) => sent += n,
                Err(err) if err.kind() == ErrorKind::WouldBlock => break,
                Err(_) => return false,
            }
        }
        self.ready.drain(..sent);
        true
    }
}

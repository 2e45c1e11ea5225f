//! The node alone: a driver of a few lines, with the disk in the test's hand.

use std::net::SocketAddr;

use wk_proto::client::{
    ConnectRequest, ConnectResponse, CreateMode, CreateRequest, ReplyHeader, Request,
    RequestHeader, WatcherEvent,
};
use wk_proto::{AclList, JuteWrite, OpCode, Reader, Wall, Xid};
use wk_tree::TreeOptions;

use super::*;

mod logins;
mod order;
mod sessions;

/// A node, its clock, its disk, and what each connection was sent.
struct Rig {
    node: Node,
    now: Now,
    out: Out,
    /// Last append, and how far the disk has got.
    appended: Zxid,
    sent: BTreeMap<ConnId, Vec<Vec<u8>>>,
    closed: BTreeMap<ConnId, CloseReason>,
    stopped: BTreeMap<ConnId, bool>,
    other: Vec<Effect>,
    next_conn: u64,
}

use std::collections::BTreeMap;

#[derive(Debug, PartialEq, Eq)]
enum Got {
    /// xid, zxid, err
    Reply(i32, i64, i32),
    /// kind, path, zxid
    Event(i32, String, i64),
}

impl Rig {
    fn new() -> Self {
        Self::with(NodeConfig::default())
    }

    fn with(config: NodeConfig) -> Self {
        let now = Now { mono: Mono(1), wall: Wall(1_000_000) };
        Self {
            node: Node::new(config, Tree::new(TreeOptions::default()), now),
            now,
            out: Out::default(),
            appended: Zxid::ZERO,
            sent: BTreeMap::new(),
            closed: BTreeMap::new(),
            stopped: BTreeMap::new(),
            other: Vec::new(),
            next_conn: 1,
        }
    }

    fn step(&mut self, input: Input<'_>) {
        self.node.step(self.now, input, &mut self.out);
        let out = std::mem::take(&mut self.out);
        for effect in out.effects {
            match effect {
                Effect::Send { conn, frame } => {
                    let len = i32::try_from(frame.len() - 4).unwrap().to_be_bytes();
                    assert_eq!(out.bytes[frame.clone()][..4], len, "frames carry their length");
                    let body = out.bytes[frame][4..].to_vec();
                    self.sent.entry(conn).or_default().push(body);
                }
                Effect::Close { conn, reason } => {
                    self.closed.insert(conn, reason);
                }
                Effect::StopReading { conn } => {
                    self.stopped.insert(conn, true);
                }
                Effect::StartReading { conn } => {
                    self.stopped.insert(conn, false);
                }
                Effect::Append { zxid, record } => {
                    assert!(zxid > self.appended, "zxids ascend");
                    assert!(record.len() > 32);
                    self.appended = zxid;
                }
                other @ (Effect::RollLog
                | Effect::BeginSnapshot { .. }
                | Effect::SnapshotChunk { .. }
                | Effect::EndSnapshot { .. }
                | Effect::SessionEnded { .. }) => self.other.push(other),
            }
        }
    }

    fn sync(&mut self) {
        let upto = self.appended;
        self.step(Input::Synced { upto });
    }

    fn pass(&mut self, ms: u64) {
        self.now.mono = self.now.mono.after(Duration::from_millis(ms));
        self.now.wall = Wall(self.now.wall.0 + i64::try_from(ms).unwrap());
        self.step(Input::Tick);
    }

    fn open(&mut self) -> ConnId {
        let conn = ConnId(self.next_conn);
        self.next_conn += 1;
        let peer: SocketAddr = "127.0.0.1:4000".parse().unwrap();
        self.step(Input::Opened { conn, peer });
        conn
    }

    fn hello(&mut self, conn: ConnId, session: SessionId, password: [u8; 16], seen: i64) {
        let request = ConnectRequest {
            protocol_version: 0,
            last_zxid_seen: Zxid(seen),
            timeout: 10_000,
            session,
            password,
            read_only: Some(true),
        };
        let mut frame = Vec::new();
        request.encode(&mut frame);
        self.step(Input::Frame { conn, frame: &frame });
    }

    fn welcome(&mut self, conn: ConnId) -> ConnectResponse {
        let frames = self.sent.remove(&conn).expect("a reply to the handshake");
        assert_eq!(frames.len(), 1);
        ConnectResponse::decode(&frames[0]).unwrap()
    }

    /// A connection with a session.
    fn client(&mut self) -> (ConnId, ConnectResponse) {
        let conn = self.open();
        self.hello(conn, SessionId::NONE, [0; 16], 0);
        self.sync();
        let response = self.welcome(conn);
        (conn, response)
    }

    fn raw(&mut self, conn: ConnId, xid: i32, op: i32, body: &[u8]) {
        let mut frame = Vec::new();
        RequestHeader { xid: Xid(xid), op }.encode(&mut frame);
        frame.put_bytes(body);
        self.step(Input::Frame { conn, frame: &frame });
    }

    fn ask(&mut self, conn: ConnId, xid: i32, request: &Request<'_>) {
        let mut body = Vec::new();
        request.encode(&mut body);
        self.raw(conn, xid, request.op().code(), &body);
    }

    fn create(&mut self, conn: ConnId, xid: i32, path: &str, mode: CreateMode) {
        let create = CreateRequest {
            path,
            data: Some(b"x"),
            acl: AclList::open(),
            flags: mode.flags(),
            ttl: 0,
        };
        self.ask(conn, xid, &Request::Create(OpCode::Create, create));
    }

    fn exists(&mut self, conn: ConnId, xid: i32, path: &str, watch: bool) {
        self.ask(conn, xid, &Request::Read { op: OpCode::Exists, path, watch });
    }

    /// What a connection got since the last call.
    fn got(&mut self, conn: ConnId) -> Vec<Got> {
        let frames = self.sent.remove(&conn).unwrap_or_default();
        frames.iter().map(|frame| decode(frame)).collect()
    }
}

fn decode(frame: &[u8]) -> Got {
    let mut r = Reader::new(frame);
    let header = ReplyHeader::decode(&mut r).unwrap();
    if header.xid == Xid::NOTIFICATION {
        let event = WatcherEvent::decode(&mut r).unwrap();
        return Got::Event(event.kind.code(), event.path.to_owned(), header.zxid.0);
    }
    Got::Reply(header.xid.0, header.zxid.0, header.err)
}

//! A raw client for tests that look at single replies: no retries, no pings, nothing hidden.

use wk_peers::Server;
use wk_peers::wire::{Received, Wire};
use wk_proto::client::connect::{ConnectRequest, ConnectResponse};
use wk_proto::client::request::{CreateMode, CreateRequest, Request, RequestHeader};
use wk_proto::client::response::ReplyHeader;
use wk_proto::{AclList, OpCode, Reader, SessionId, Xid, Zxid};

/// A session with the server.
pub(crate) struct Session {
    pub(crate) wire: Wire,
    /// What the server granted.
    pub(crate) granted: ConnectResponse,
    xid: i32,
}

impl Session {
    /// Opens a session with the wished timeout; panics when the server refuses.
    pub(crate) fn open(server: &Server, timeout_ms: i32) -> Self {
        Self::try_open(server, timeout_ms).expect("the server closed instead of a handshake")
    }

    /// The same, or nothing when the server closes instead.
    pub(crate) fn try_open(server: &Server, timeout_ms: i32) -> Option<Self> {
        let mut wire = Wire::connect(server.client).unwrap();
        let mut frame = Vec::new();
        ConnectRequest {
            protocol_version: 0,
            last_zxid_seen: Zxid(0),
            timeout: timeout_ms,
            session: SessionId::NONE,
            password: [0; 16],
            read_only: Some(false),
        }
        .encode(&mut frame);
        wire.send(&frame).ok()?;
        let Ok(Received::Frame(answer)) = wire.receive() else { return None };
        let granted = ConnectResponse::decode(&answer).unwrap();
        Some(Self { wire, granted, xid: 0 })
    }

    /// Sends a request and gives the error and the body of its reply, or nothing when the server
    /// closes. Watch events before the reply are passed over.
    pub(crate) fn try_ask(&mut self, request: &Request<'_>) -> Option<(i32, Vec<u8>)> {
        self.xid += 1;
        let auth = matches!(request, Request::Auth { .. });
        let xid = if auth { Xid::AUTH } else { Xid(self.xid) };
        let mut frame = Vec::new();
        RequestHeader { xid, op: request.op().code() }.encode(&mut frame);
        request.encode(&mut frame);
        self.wire.send(&frame).ok()?;
        loop {
            let Received::Frame(answer) = self.wire.receive().unwrap() else { return None };
            let mut reader = Reader::new(&answer);
            let header = ReplyHeader::decode(&mut reader).unwrap();
            if header.xid == xid {
                return Some((header.err, reader.rest().to_vec()));
            }
        }
    }

    /// Sends a request and gives the error of its reply, 0 if it is good.
    pub(crate) fn ask(&mut self, request: &Request<'_>) -> i32 {
        self.try_ask(request).expect("the server closed instead of a reply").0
    }

    /// Creates a znode that anybody may change; gives the error.
    pub(crate) fn create(&mut self, path: &str, data: &[u8], mode: CreateMode) -> i32 {
        let op = if mode.is_ttl() { OpCode::CreateTtl } else { OpCode::Create };
        self.ask(&Request::Create(
            op,
            CreateRequest {
                path,
                data: Some(data),
                acl: AclList::open(),
                flags: mode.flags(),
                ttl: 60_000,
            },
        ))
    }

    /// Asks whether a znode exists; gives the error. Arms a watch if `watch`.
    pub(crate) fn exists(&mut self, path: &str, watch: bool) -> i32 {
        self.ask(&Request::Read { op: OpCode::Exists, path, watch })
    }
}

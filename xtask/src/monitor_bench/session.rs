//! A client session of the bench: blocking, one request after the other or many at once.

use anyhow::{Context, Result, bail, ensure};
use wk_peers::wire::{Received, Wire};
use wk_proto::client::{
    ConnectRequest, ConnectResponse, CreateMode, CreateRequest, ReplyHeader, Request, RequestHeader,
};
use wk_proto::{AclList, OpCode, Reader, SessionId, Xid, Zxid};

/// Requests sent before their replies are read.
const IN_FLIGHT: usize = 200;

/// A session over a connection of its own. Its drop closes the connection and not the session.
pub(super) struct Session {
    wire: Wire,
    xid: i32,
}

impl Session {
    /// Opens a session at the server on `port` of this machine.
    pub(super) fn open(port: u16, timeout_ms: i32) -> Result<Self> {
        let mut wire = Wire::connect(port)?;
        let request = ConnectRequest {
            protocol_version: 0,
            last_zxid_seen: Zxid::ZERO,
            timeout: timeout_ms,
            session: SessionId::NONE,
            password: [0; 16],
            read_only: None,
        };
        let mut frame = Vec::new();
        request.encode(&mut frame);
        wire.send(&frame)?;
        let Received::Frame(reply) = wire.receive()? else { bail!("the session was refused") };
        ensure!(ConnectResponse::decode(&reply)?.timeout > 0, "the session was refused");
        Ok(Self { wire, xid: 0 })
    }

    /// Creates znodes in order.
    ///
    /// # Errors
    /// When one is refused.
    pub(super) fn create_all(
        &mut self,
        znodes: &[(String, CreateMode)],
        data: &[u8],
    ) -> Result<()> {
        for part in znodes.chunks(IN_FLIGHT) {
            for (path, mode) in part {
                self.send(&create(path, *mode, data))?;
            }
            for (path, _) in part {
                self.reply().with_context(|| format!("create {path}"))?;
            }
        }
        Ok(())
    }

    /// Arms a watch on a znode that is there.
    pub(super) fn watch(&mut self, path: &str) -> Result<()> {
        self.send(&Request::Read { op: OpCode::Exists, path, watch: true })?;
        self.reply().with_context(|| format!("watch {path}"))
    }

    /// Says that it is alive and hears that it is.
    pub(super) fn ping(&mut self) -> Result<()> {
        let mut frame = Vec::new();
        RequestHeader { xid: Xid::PING, op: Request::Ping.op().code() }.encode(&mut frame);
        self.wire.send(&frame)?;
        self.reply()
    }

    /// Waits for the event of a watch.
    pub(super) fn event(&mut self) -> Result<()> {
        loop {
            if self.receive()?.xid == Xid::NOTIFICATION {
                return Ok(());
            }
        }
    }

    fn send(&mut self, request: &Request<'_>) -> Result<()> {
        self.xid += 1;
        let mut frame = Vec::new();
        RequestHeader { xid: Xid(self.xid), op: request.op().code() }.encode(&mut frame);
        request.encode(&mut frame);
        self.wire.send(&frame)
    }

    fn reply(&mut self) -> Result<()> {
        let header = self.receive()?;
        ensure!(header.err == 0, "refused with {}", header.err);
        Ok(())
    }

    fn receive(&mut self) -> Result<ReplyHeader> {
        match self.wire.receive()? {
            Received::Frame(frame) => Ok(ReplyHeader::decode(&mut Reader::new(&frame))?),
            Received::Closed => bail!("the server closed the connection"),
        }
    }
}

fn create<'a>(path: &'a str, mode: CreateMode, data: &'a [u8]) -> Request<'a> {
    let create =
        CreateRequest { path, data: Some(data), acl: AclList::open(), flags: mode.flags(), ttl: 0 };
    Request::Create(OpCode::Create, create)
}

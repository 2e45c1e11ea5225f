//! Replies: header, record, counters, and what waited behind the answered request.

use std::time::Duration;

use wk_proto::client::ReplyHeader;
use wk_proto::{ErrorCode, Mono, OpCode, Xid, Zxid};

use crate::connections::Connection;
use crate::input::{ConnId, Out};
use crate::stats::Stats;

/// The request that a reply belongs to.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Asked {
    pub(crate) conn: ConnId,
    pub(crate) xid: Xid,
    /// `None`: a number that no server knows.
    pub(crate) op: Option<OpCode>,
    pub(crate) received: Mono,
}

/// Where replies go and are counted.
pub(crate) struct Replies<'a> {
    pub(crate) now: Mono,
    pub(crate) stats: &'a mut Stats,
    pub(crate) out: &'a mut Out,
}

impl Replies<'_> {
    /// Sends a reply and counts it. `body` writes what follows the header.
    pub(crate) fn send(
        &mut self,
        connection: &mut Connection,
        asked: Asked,
        zxid: Zxid,
        result: Result<(), i32>,
        body: impl FnOnce(&mut Vec<u8>),
    ) {
        let err = result.err().unwrap_or(0);
        let start = self.out.bytes.len();
        self.out.send(asked.conn, |bytes| {
            ReplyHeader { xid: asked.xid, zxid, err }.encode(bytes);
            body(bytes);
        });
        self.stats.record_response(self.out.bytes.len() - start);
        self.count(connection, asked, zxid);
    }

    /// A reply without a record.
    pub(crate) fn header(
        &mut self,
        connection: &mut Connection,
        asked: Asked,
        zxid: Zxid,
        result: Result<(), ErrorCode>,
    ) {
        self.send(connection, asked, zxid, result.map_err(ErrorCode::code), |_| ());
    }

    fn count(&mut self, connection: &mut Connection, asked: Asked, zxid: Zxid) {
        let counters = &mut connection.counters;
        counters.sent += 1;
        counters.record(asked.op, asked.xid.0, zxid, self.now);
        let latency = self.now.since(asked.received);
        counters.record_latency(latency);
        if asked.op == Some(OpCode::Ping) {
            return;
        }
        self.stats.latency.record(latency);
        match asked.op {
            Some(op) if op.is_write() => self.stats.update_latency.record(latency),
            Some(_) => self.stats.read_latency.record(latency),
            None => {}
        }
    }
}

/// Milliseconds for the wire: what does not fit is as long as can be said.
pub(crate) fn millis(d: Duration) -> i32 {
    i32::try_from(d.as_millis()).unwrap_or(i32::MAX)
}

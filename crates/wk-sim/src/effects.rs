//! What the node wants done, done; and every frame that it sends, checked.

use wk_node::{Effect, Out};
use wk_proto::client::{ConnectResponse, ReplyHeader};
use wk_proto::sabotage::{Sabotage, is_on};
use wk_proto::txn::Record;
use wk_proto::{OpCode, Reader, SessionId, Txn, Xid, Zxid};

use crate::history::Wish;
use crate::model::Moment;
use crate::server::Server;
use crate::world::{Event, Held, MILLI, World};

impl World {
    pub(crate) fn carry_out(&mut self, out: &Out, from: Option<u64>) -> Result<(), String> {
        let boot = self.boot;
        for effect in &out.effects {
            match effect {
                Effect::Send { conn, frame } => {
                    let frame = &out.bytes[frame.clone()];
                    if is_on(Sabotage::SnapshotBeforeLog) {
                        self.hold(Held::Frame(conn.0, frame.to_vec()))?;
                    } else {
                        self.send(conn.0, frame)?;
                    }
                }
                Effect::Close { conn, reason } => {
                    self.say(|| format!("server closes {} ({reason:?})", conn.0));
                    if is_on(Sabotage::SnapshotBeforeLog) {
                        self.hold(Held::Close(conn.0))?;
                    } else {
                        self.close(conn.0);
                    }
                }
                Effect::StopReading { conn } => {
                    if let Some(conn) = self.conns.get_mut(&conn.0) {
                        conn.reading = false;
                    }
                }
                Effect::StartReading { conn } => {
                    if let Some(open) = self.conns.get_mut(&conn.0) {
                        open.reading = true;
                        self.resumed.push(conn.0);
                    }
                }
                Effect::Append { zxid, record } => {
                    let record = &out.bytes[record.clone()];
                    self.propose(record, from)?;
                    if let Some(server) = &mut self.server {
                        server.append(*zxid, record);
                    }
                }
                Effect::RollLog => {
                    if let Some(server) = &mut self.server {
                        server.roll();
                    }
                }
                Effect::BeginSnapshot { zxid } => {
                    let begun = self.server.as_mut().is_some_and(|s| s.begin_snapshot(*zxid));
                    self.next_slice(begun);
                }
                Effect::SnapshotChunk { bytes } => {
                    let bytes = &out.bytes[bytes.clone()];
                    if !self.server.as_mut().is_some_and(|s| s.write_snapshot(bytes)) {
                        self.after(MILLI, Event::SnapshotDone { boot });
                    }
                }
                Effect::EndSnapshot { zxid, digest } => {
                    let keep = self.random.percent(30).then_some(self.keep);
                    let server = self.server.as_mut();
                    if server.is_some_and(|s| s.end_snapshot(*zxid, *digest, keep)) {
                        self.summary.snapshots += 1;
                    }
                    self.after(MILLI, Event::SnapshotDone { boot });
                }
                Effect::SessionEnded { expired, .. } => {
                    self.summary.expired += u64::from(*expired);
                }
            }
        }
        Ok(())
    }

    /// The broken driver that applies before the disk has it: it answers no sooner than others do.
    fn hold(&mut self, held: Held) -> Result<(), String> {
        self.held.push_back((self.history.last(), held));
        let synced = self.server.as_ref().map_or(Zxid::ZERO, Server::synced);
        self.release(synced)
    }

    /// What was held back for the disk goes out.
    pub(crate) fn release(&mut self, upto: Zxid) -> Result<(), String> {
        while let Some((_, held)) = self.held.pop_front_if(|(zxid, _)| *zxid <= upto) {
            match held {
                // Nobody is there any more to take the others.
                Held::Frame(conn, frame) if self.conns.get(&conn).is_some_and(|c| c.at_server) => {
                    self.send(conn, &frame)?;
                }
                Held::Frame(..) => {}
                Held::Close(conn) => self.close(conn),
            }
        }
        Ok(())
    }

    /// The node has given a write its place: enter it into the history.
    fn propose(&mut self, record: &[u8], from: Option<u64>) -> Result<(), String> {
        let record = Record::decode(record).map_err(|e| format!("own record: {e}"))?;
        let header = record.header;
        let at = Moment { zxid: header.zxid, time: header.time, session: header.session };
        let conn = from.and_then(|id| self.conns.get_mut(&id));
        let wish = match (conn, &record.txn) {
            (Some(conn), Txn::CreateSession { timeout }) => {
                conn.created_at = Some(header.zxid);
                self.heard.insert(header.session, self.now);
                Wish::OpenSession(*timeout)
            }
            (Some(conn), _) => {
                let asked = conn.asked.back_mut().ok_or("a write without a request")?;
                if asked.zxid.replace(header.zxid).is_some() {
                    return Err(format!("two txns for one request, the second {record:?}"));
                }
                Wish::Request(asked.frame.clone())
            }
            (None, Txn::CloseSession { .. }) => {
                self.check_expiry(header.session)?;
                Wish::Expiry
            }
            (None, _) => return Err(format!("nobody asked for {record:?}")),
        };
        self.history.propose(at, wish)
    }

    /// A session may only expire after its whole timeout of silence.
    fn check_expiry(&self, session: SessionId) -> Result<(), String> {
        if is_on(Sabotage::SnapshotBeforeLog) {
            // Its connections seem open for longer than the node holds them for open.
            return Ok(());
        }
        let (Some(timeout), Some(heard)) =
            (self.history.model().timeout(session), self.heard.get(&session))
        else {
            return Ok(());
        };
        let silent = (self.now - heard) / MILLI;
        if silent < u64::try_from(timeout).unwrap_or(0) {
            return Err(format!("{session} expired after {silent} of {timeout} ms of silence"));
        }
        Ok(())
    }

    /// Checks a frame and puts it on its way to the client.
    fn send(&mut self, id: u64, frame: &[u8]) -> Result<(), String> {
        let Some(conn) = self.conns.get_mut(&id).filter(|c| c.at_server) else {
            return Err(format!("sends to connection {id}, which is gone"));
        };
        let body = &frame[4..];
        if conn.greeted {
            let mut r = Reader::new(body);
            let header = ReplyHeader::decode(&mut r).map_err(|e| e.to_string())?;
            if header.xid == Xid::NOTIFICATION {
                self.history.check_event(id, &header, r.rest())?;
            } else {
                let asked = conn.asked.pop_front().ok_or("a reply that nobody waits for")?;
                self.history.check_reply(id, &asked, &header, r.rest())?;
                self.summary.replies += 1;
            }
        } else {
            let response = ConnectResponse::decode(body).map_err(|e| e.to_string())?;
            conn.greeted = true;
            conn.session = response.session;
            if response.session != SessionId::NONE {
                self.history.check_session(response.session, conn.created_at)?;
            }
        }
        let delay = self.micros(20, 3_000);
        let Some(conn) = self.conns.get_mut(&id) else { return Ok(()) };
        conn.to_client = conn.to_client.max(self.now + delay);
        let at = conn.to_client;
        self.at(at, Event::Answer { conn: id, frame: body.to_vec() });
        Ok(())
    }

    fn close(&mut self, id: u64) {
        self.history.forget(id);
        if let Some(conn) = self.conns.get_mut(&id) {
            conn.at_server = false;
            conn.held.clear();
            let at = conn.to_client.max(self.now);
            self.at(at, Event::Cut { conn: id });
        }
    }

    fn next_slice(&mut self, goes_on: bool) {
        let boot = self.boot;
        let pause = self.micros(100, 8_000);
        let event = if goes_on { Event::Slice { boot } } else { Event::SnapshotDone { boot } };
        self.after(pause, event);
    }

    pub(crate) fn slice(&mut self) -> Result<(), String> {
        let bytes_max = usize::try_from(self.random.range(1, 900)).unwrap_or(1);
        self.step(wk_node::Input::SnapshotSlice { bytes_max }, None)?;
        if self.server.as_ref().is_some_and(|s| s.node.snapshot_has_more()) {
            self.next_slice(true);
        }
        Ok(())
    }
}

/// Is this the number of a request that ends its session?
pub(crate) fn ends_session(frame: &[u8]) -> bool {
    matches!(crate::history::decode(frame).op(), OpCode::CloseSession)
}

//! A scripted session: named steps by several clients, played at any server, all bytes kept.
//!
//! [`session::main`] is *the* script: every operation, the error codes, watches and their order,
//! multis, resumed sessions. Played at Apache it gives the golden bytes; played at two servers it
//! gives two transcripts that must be equal. What differs by nature is masked by value, not by
//! place ([`mask`]), so that no decoder is trusted.

pub mod mask;
pub mod session;

use anyhow::{Context, Result, bail};
use wk_proto::client::connect::{ConnectRequest, ConnectResponse};
use wk_proto::client::request::{Request, RequestHeader};
use wk_proto::client::response::ReplyHeader;
use wk_proto::{JuteWrite, OpCode, Reader, SessionId, Xid, Zxid};

use crate::wire::{Received, Wire};

/// What one step does.
#[derive(Clone, Debug)]
pub enum Act {
    /// Opens a connection with a new session.
    Open {
        /// The wished timeout in milliseconds.
        timeout: i32,
        /// The readOnly byte, or none as old clients do.
        read_only: Option<bool>,
        /// The last zxid that the client claims to have seen.
        seen: i64,
    },
    /// Opens a connection that resumes the session that this client had.
    Resume {
        /// Whether the password is right.
        password: Password,
    },
    /// A request with the next xid, or with a special one.
    Ask(Option<Xid>, Request<'static>),
    /// Bytes after the header of operation `op` that our encoder would not write.
    Raw {
        /// The number of the operation.
        op: i32,
        /// What follows the header.
        body: Vec<u8>,
    },
    /// Bytes instead of a frame; the server is expected to close.
    Garbage(Vec<u8>),
    /// Closes the TCP connection without a word.
    Vanish,
}

/// The password of a resumed session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Password {
    /// As the server gave it.
    Right,
    /// Sixteen bytes of something else.
    Wrong,
}

/// What the step's reader waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Until {
    /// The reply (or the handshake's answer).
    Reply,
    /// The end of the connection, with or without a reply before it.
    Closed,
    /// Nothing: the effect is seen elsewhere.
    Nothing,
}

/// One step of a script.
#[derive(Clone, Debug)]
pub struct Step {
    /// Its name, unique in the script.
    pub name: String,
    /// Which client acts.
    pub client: usize,
    /// What it does.
    pub act: Act,
    /// What is read afterwards.
    pub until: Until,
}

/// What a step sent and what came back, unmasked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Exchange {
    /// The step's name.
    pub name: String,
    /// The frame that was sent, without its length.
    pub sent: Vec<u8>,
    /// The frames that the acting client then received: events, and the reply last.
    pub received: Vec<Vec<u8>>,
    /// Whether the server closed the connection.
    pub closed: bool,
    /// Frames that the other clients received by the time that the reply was there.
    pub others: Vec<(usize, Vec<u8>)>,
}

/// A played script.
#[derive(Clone, Debug, Default)]
pub struct Transcript {
    /// One exchange a step.
    pub exchanges: Vec<Exchange>,
    /// The sessions that the server gave, in order, for masking.
    pub sessions: Vec<(SessionId, [u8; 16])>,
}

impl Exchange {
    /// The same with lists of names sorted: their order is nobody's promise.
    #[must_use]
    pub fn with_names_sorted(mut self) -> Self {
        let header = RequestHeader::decode(&mut Reader::new(&self.sent)).ok();
        // An entry of whoAmI is a pair of strings.
        let strings_each = match header.and_then(|header| OpCode::from_code(header.op)) {
            Some(OpCode::GetChildren | OpCode::GetChildren2 | OpCode::GetEphemerals) => 1,
            Some(OpCode::WhoAmI) => 2,
            _ => return self,
        };
        if let Some(reply) = self.received.last_mut()
            && let Some(sorted) = sort_entries(reply, strings_each)
        {
            *reply = sorted;
        }
        self
    }
}

/// A reply that begins with a list of entries, with the list sorted.
fn sort_entries(reply: &[u8], strings_each: usize) -> Option<Vec<u8>> {
    let mut reader = Reader::new(reply);
    let header = ReplyHeader::decode(&mut reader).ok()?;
    let count = reader.count(4).ok()??;
    let mut entries = Vec::new();
    for _ in 0..count {
        let mut entry = Vec::new();
        for _ in 0..strings_each {
            entry.push(reader.string().ok()?);
        }
        entries.push(entry);
    }
    entries.sort_unstable();
    let mut out = Vec::new();
    header.encode(&mut out);
    out.put_len(count);
    for name in entries.iter().flatten() {
        out.put_string(name);
    }
    out.put_bytes(reader.rest());
    Some(out)
}

#[derive(Debug, Default)]
struct Player {
    wire: Option<Wire>,
    session: Option<(SessionId, [u8; 16])>,
    xid: i32,
}

/// Plays `steps` at the server on `port`.
///
/// After each step every other connected client pings: what a server had queued for it comes
/// before the answer, so no clock decides which events belong to a step.
pub fn play(port: u16, steps: &[Step]) -> Result<Transcript> {
    let clients = steps.iter().map(|step| step.client + 1).max().unwrap_or(0);
    let mut players: Vec<Player> = (0..clients).map(|_| Player::default()).collect();
    let mut transcript = Transcript::default();
    for step in steps {
        let player = &mut players[step.client];
        let mut exchange = player
            .act(port, step, &mut transcript.sessions)
            .with_context(|| format!("step {}", step.name))?;
        for (at, player) in players.iter_mut().enumerate() {
            if at != step.client {
                let events = player.flush().with_context(|| {
                    format!("client {at} after step {} of client {}", step.name, step.client)
                })?;
                exchange.others.extend(events.into_iter().map(|event| (at, event)));
            }
        }
        transcript.exchanges.push(exchange);
    }
    Ok(transcript)
}

impl Player {
    fn act(
        &mut self,
        port: u16,
        step: &Step,
        sessions: &mut Vec<(SessionId, [u8; 16])>,
    ) -> Result<Exchange> {
        let mut exchange = Exchange {
            name: step.name.clone(),
            sent: Vec::new(),
            received: Vec::new(),
            closed: false,
            others: Vec::new(),
        };
        let opens = matches!(step.act, Act::Open { .. } | Act::Resume { .. });
        if opens {
            self.wire = Some(Wire::connect(port)?);
        }
        let xid = if let Act::Ask(Some(xid), _) = &step.act {
            *xid
        } else {
            self.xid += 1;
            Xid(self.xid)
        };
        let wire = self.wire.as_mut().context("this client is not connected")?;
        match &step.act {
            Act::Vanish => {
                self.wire = None;
                return Ok(exchange);
            }
            Act::Garbage(bytes) => {
                exchange.sent.clone_from(bytes);
                wire.send_bytes(bytes)?;
            }
            act @ (Act::Open { .. } | Act::Resume { .. } | Act::Ask(..) | Act::Raw { .. }) => {
                exchange.sent = frame(act, xid, self.session)?;
                wire.send(&exchange.sent)?;
            }
        }
        self.read(step.until, (!opens).then_some(xid), &mut exchange)?;
        if let (true, Some(answer)) = (opens, exchange.received.first()) {
            let answer = ConnectResponse::decode(answer).context("decode the handshake")?;
            if answer.session != SessionId::NONE {
                self.session = Some((answer.session, answer.password));
                sessions.push((answer.session, answer.password));
            }
        }
        Ok(exchange)
    }

    /// Reads up to the reply with `xid`, the first frame (`xid` none), or the end.
    fn read(&mut self, until: Until, xid: Option<Xid>, exchange: &mut Exchange) -> Result<()> {
        let wire = self.wire.as_mut().context("this client is not connected")?;
        if until == Until::Nothing {
            return Ok(());
        }
        loop {
            match wire.receive()? {
                Received::Closed => {
                    exchange.closed = true;
                    self.wire = None;
                    return Ok(());
                }
                Received::Frame(frame) => {
                    let is_reply = xid.is_none_or(|xid| frame.starts_with(&xid.0.to_be_bytes()));
                    exchange.received.push(frame);
                    if is_reply && until == Until::Reply {
                        return Ok(());
                    }
                }
            }
        }
    }

    /// Pings, if connected, and gives what came before the answer.
    fn flush(&mut self) -> Result<Vec<Vec<u8>>> {
        let Some(wire) = self.wire.as_mut() else { return Ok(Vec::new()) };
        wire.send(&frame(&Act::Ask(None, Request::Ping), Xid::PING, None)?)?;
        let mut events = Vec::new();
        loop {
            match wire.receive()? {
                Received::Frame(frame) if frame.starts_with(&Xid::PING.0.to_be_bytes()) => {
                    return Ok(events);
                }
                Received::Frame(frame) => events.push(frame),
                Received::Closed => bail!("the server closed the connection of a bystander"),
            }
        }
    }
}

fn frame(act: &Act, xid: Xid, session: Option<(SessionId, [u8; 16])>) -> Result<Vec<u8>> {
    let mut out = Vec::new();
    match act {
        Act::Open { timeout, read_only, seen } => ConnectRequest {
            protocol_version: 0,
            last_zxid_seen: Zxid(*seen),
            timeout: *timeout,
            session: SessionId::NONE,
            password: [0; 16],
            read_only: *read_only,
        }
        .encode(&mut out),
        Act::Resume { password } => {
            let (id, right) = session.context("no session to resume")?;
            ConnectRequest {
                protocol_version: 0,
                last_zxid_seen: Zxid(0),
                timeout: 10_000,
                session: id,
                password: if *password == Password::Right { right } else { [7; 16] },
                read_only: Some(false),
            }
            .encode(&mut out);
        }
        Act::Ask(_, request) => {
            RequestHeader { xid, op: request.op().code() }.encode(&mut out);
            request.encode(&mut out);
        }
        Act::Raw { op, body } => {
            RequestHeader { xid, op: *op }.encode(&mut out);
            out.extend_from_slice(body);
        }
        Act::Garbage(_) | Act::Vanish => bail!("this act sends no frame"),
    }
    Ok(out)
}

//! A server that knows just enough: sessions, znodes with data, watches, and faults on demand.
#![expect(clippy::wildcard_enum_match_arm, reason = "the fake knows a part of the protocol")]

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::io;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::sync::mpsc;
use tokio::time::timeout;
use wk_client::{BoxFuture, Builder, Client, Connect, State, Status, Transport};
use wk_proto::client::connect::{ConnectRequest, ConnectResponse};
use wk_proto::client::frame;
use wk_proto::client::request::{Request, RequestHeader, SetWatches};
use wk_proto::client::response::{EventType, KeeperState, ReplyHeader, WatcherEvent};
use wk_proto::{ErrorCode, JuteWrite, OpCode, Reader, SessionId, Stat, Xid, Zxid};

/// What the test lets go wrong. All off at first.
#[derive(Clone, Debug, Default)]
pub(crate) struct Faults {
    /// Connections are refused.
    pub(crate) refuse: bool,
    /// Requests are read, done and not answered.
    pub(crate) mute: bool,
    /// The connection is cut after the next write was done, before its answer.
    pub(crate) cut_after_write: bool,
    /// The next handshake hands out a fresh session.
    pub(crate) swap_session: bool,
    /// Credentials are refused.
    pub(crate) refuse_auth: bool,
    /// Every reply to getData claims so many bytes of data.
    pub(crate) data_len: Option<usize>,
}

type Watch = (OpCode, String);

#[derive(Default)]
struct Inner {
    faults: Faults,
    znodes: BTreeMap<String, (Vec<u8>, Stat)>,
    zxid: i64,
    next_session: i64,
    sessions: BTreeSet<SessionId>,
    /// Of the present connection.
    armed: BTreeSet<Watch>,
    persistent: BTreeMap<String, bool>,
    to_client: Option<mpsc::UnboundedSender<Vec<u8>>>,
    /// Operations in the order in which they came, for the test to look at.
    log: Vec<String>,
}

/// Handle to the server; it serves one connection at a time, as one session needs.
#[derive(Clone, Default)]
pub(crate) struct Fake(Arc<Mutex<Inner>>);

impl Connect for Fake {
    fn connect(&self, _host: &str) -> BoxFuture<io::Result<Box<dyn Transport>>> {
        let fake = self.clone();
        Box::pin(async move {
            if fake.lock().faults.refuse {
                return Err(io::ErrorKind::ConnectionRefused.into());
            }
            let (ours, theirs) = tokio::io::duplex(4096);
            tokio::spawn(fake.serve(theirs));
            Ok(Box::new(ours) as Box<dyn Transport>)
        })
    }
}

impl Fake {
    pub(crate) fn builder(&self) -> Builder {
        Client::builder("fake:1").connector(self.clone()).seed(1)
    }

    pub(crate) async fn client(&self) -> Client {
        self.builder().connect().await.expect("the fake is there")
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Inner> {
        self.0.lock().expect("no test panics with the lock held")
    }

    pub(crate) fn faults(&self, change: impl FnOnce(&mut Faults)) {
        change(&mut self.lock().faults);
    }

    pub(crate) fn log(&self) -> Vec<String> {
        std::mem::take(&mut self.lock().log)
    }

    /// Cuts the present connection.
    pub(crate) fn cut(&self) {
        self.lock().to_client = None;
    }

    /// Cuts the present connection and forgets all sessions.
    pub(crate) fn expire(&self) {
        self.lock().sessions.clear();
        self.cut();
    }

    /// Sets a znode as another client would.
    pub(crate) fn put(&self, path: &str, data: &[u8]) {
        self.lock().put(path, data);
    }

    /// Sets two znodes by one txn, as another client's multi would, and breaks the connection
    /// between their events.
    pub(crate) fn put_both_and_cut_between(&self, first: &str, second: &str) {
        let mut inner = self.lock();
        inner.put(first, b"both");
        inner.zxid -= 1;
        inner.to_client = None;
        inner.put(second, b"both");
    }

    pub(crate) async fn serve(self, mut stream: impl AsyncRead + AsyncWrite + Unpin) {
        let (to_client, mut outgoing) = mpsc::unbounded_channel::<Vec<u8>>();
        {
            let mut inner = self.lock();
            inner.to_client = Some(to_client);
            inner.armed.clear();
            inner.persistent.clear();
        }
        let mut incoming = Vec::new();
        let mut pending: VecDeque<u8> = VecDeque::new();
        let mut session = None;
        loop {
            let mut chunk = [0; 4096];
            let head: Vec<u8> = pending.iter().take(4096).copied().collect();
            let (mut reader, mut writer) = tokio::io::split(&mut stream);
            tokio::select! {
                biased;
                read = reader.read(&mut chunk) => match read {
                    Ok(len @ 1..) => incoming.extend_from_slice(&chunk[..len]),
                    _ => return,
                },
                wrote = writer.write(&head), if !head.is_empty() => match wrote {
                    Ok(len @ 1..) => drop(pending.drain(..len)),
                    _ => return,
                },
                bytes = outgoing.recv() => {
                    let Some(bytes) = bytes else {
                        // What was answered before the end still goes out.
                        let _ = writer.write_all(pending.make_contiguous()).await;
                        return;
                    };
                    pending.extend(bytes);
                }
            }
            let mut rest = &incoming[..];
            while let Ok(Some(bytes)) = frame::split(&mut rest, 1 << 20) {
                let mut inner = self.lock();
                match session {
                    None => session = Some(inner.handshake(bytes)),
                    Some(_) => inner.request(bytes),
                }
            }
            let left = rest.len();
            incoming.drain(..incoming.len() - left);
        }
    }
}

impl Inner {
    fn send(&self, record: impl FnOnce(&mut Vec<u8>)) {
        let mut bytes = Vec::new();
        let at = frame::begin(&mut bytes);
        record(&mut bytes);
        frame::end(&mut bytes, at);
        if let Some(to_client) = &self.to_client {
            let _ = to_client.send(bytes);
        }
    }

    fn handshake(&mut self, bytes: &[u8]) -> SessionId {
        let request = ConnectRequest::decode(bytes).expect("a handshake");
        let swap = std::mem::take(&mut self.faults.swap_session);
        let session = if request.session == SessionId::NONE || swap {
            self.next_session += 1;
            self.zxid += 1;
            SessionId(self.next_session)
        } else if self.sessions.contains(&request.session) {
            request.session
        } else {
            self.send(|out| ConnectResponse::refused(Some(false)).encode(out));
            return SessionId::NONE;
        };
        self.sessions.insert(session);
        let password = session.password();
        let timeout = request.timeout;
        let response = ConnectResponse { timeout, session, password, read_only: Some(false) };
        self.send(|out| response.encode(out));
        session
    }

    fn put(&mut self, path: &str, data: &[u8]) {
        self.zxid += 1;
        let zxid = Zxid(self.zxid);
        let known = self.znodes.get(path).map(|(_, stat)| *stat);
        let stat = Stat {
            czxid: known.map_or(zxid, |stat| stat.czxid),
            mzxid: zxid,
            version: known.map_or(0, |stat| stat.version + 1),
            ..Stat::default()
        };
        self.znodes.insert(path.to_owned(), (data.to_vec(), stat));
        let kind =
            if known.is_some() { EventType::NodeDataChanged } else { EventType::NodeCreated };
        let one_shot = self.armed.remove(&(OpCode::GetData, path.to_owned()));
        let staying = self
            .persistent
            .iter()
            .any(|(at, recursive)| at == path || *recursive && path.starts_with(&format!("{at}/")));
        if one_shot || staying {
            self.notify(kind, path, zxid);
        }
    }

    fn notify(&self, kind: EventType, path: &str, zxid: Zxid) {
        self.send(|out| {
            ReplyHeader { xid: Xid::NOTIFICATION, zxid, err: 0 }.encode(out);
            WatcherEvent { kind, state: KeeperState::SYNC_CONNECTED, path }.encode(out);
        });
    }

    fn request(&mut self, bytes: &[u8]) {
        let mut reader = Reader::new(bytes);
        let header = RequestHeader::decode(&mut reader).expect("a header");
        let op = OpCode::from_code(header.op).expect("an operation");
        let request = Request::decode(op, &mut reader).expect("a request");
        if op != OpCode::Ping {
            let path = request.path().unwrap_or_default();
            self.log.push(format!("{} {path}", op.name()).trim_end().to_owned());
        }
        let (xid, err, body) = self.answer(header.xid, &request);
        if op.is_write() && std::mem::take(&mut self.faults.cut_after_write) {
            self.to_client = None;
            return;
        }
        if self.faults.mute {
            return;
        }
        let reply = ReplyHeader { xid, zxid: Zxid(self.zxid), err };
        self.send(|out| {
            reply.encode(out);
            out.extend_from_slice(&body);
        });
        if err == ErrorCode::AuthFailed.code() || op == OpCode::CloseSession {
            self.to_client = None;
        }
    }

    fn answer(&mut self, xid: Xid, request: &Request<'_>) -> (Xid, i32, Vec<u8>) {
        let mut body = Vec::new();
        let no_node = ErrorCode::NoNode.code();
        match request {
            Request::Ping => return (Xid::PING, 0, body),
            Request::Auth { .. } if self.faults.refuse_auth => {
                return (xid, ErrorCode::AuthFailed.code(), body);
            }
            Request::Auth { .. } | Request::CloseSession | Request::RemoveWatches { .. } => {}
            Request::Sync { path } => body.put_string(path),
            Request::SetWatches(watches) => self.rearm(watches),
            Request::AddWatch { path, mode } => {
                self.persistent.insert((*path).to_owned(), *mode == 1);
                body.put_i32(0);
            }
            Request::Create(_, create) => {
                if self.znodes.contains_key(create.path) {
                    return (xid, ErrorCode::NodeExists.code(), body);
                }
                self.put(create.path, create.data.unwrap_or_default());
                body.put_string(create.path);
                self.znodes[create.path].1.encode(&mut body);
            }
            Request::SetData { path, data, .. } => {
                if !self.znodes.contains_key(*path) {
                    return (xid, no_node, body);
                }
                self.put(path, data.unwrap_or_default());
                self.znodes[*path].1.encode(&mut body);
            }
            Request::Read { op, path, watch } => {
                let found = self.znodes.get(*path);
                if *watch && (found.is_some() || *op == OpCode::Exists) {
                    self.armed.insert((OpCode::GetData, (*path).to_owned()));
                }
                let Some((data, stat)) = found else { return (xid, no_node, body) };
                let long = self.faults.data_len.map(|len| vec![0; len]);
                if *op == OpCode::GetData {
                    body.put_buffer(Some(long.as_ref().unwrap_or(data)));
                }
                stat.encode(&mut body);
            }
            other => panic!("the fake does not know {other:?}"),
        }
        (xid, 0, body)
    }

    fn rearm(&mut self, watches: &SetWatches<'_>) {
        for path in watches.data.iter().chain(&watches.exist) {
            let mzxid = self.znodes.get(*path).map(|(_, stat)| stat.mzxid);
            if mzxid.is_some_and(|mzxid| mzxid > watches.relative_zxid) {
                self.notify(EventType::NodeDataChanged, path, Zxid::NONE);
            } else {
                self.armed.insert((OpCode::GetData, (*path).to_owned()));
            }
        }
        if let Some((persistent, recursive)) = &watches.persistent {
            for path in persistent {
                self.persistent.insert((*path).to_owned(), false);
            }
            for path in recursive {
                self.persistent.insert((*path).to_owned(), true);
            }
        }
    }
}

/// Waits until the client's state is as wanted; paused time makes it quick.
pub(crate) async fn reaches(client: &Client, status: Status) -> State {
    let mut state = client.state();
    let wanted = state.wait_for(|state| state.status == status);
    let reached = timeout(Duration::from_mins(5), wanted).await;
    *reached.expect("the state is reached in time").expect("the client lives")
}

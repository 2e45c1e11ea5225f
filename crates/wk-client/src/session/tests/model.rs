//! The servers as the session machine sees them, and the checks.
#![expect(clippy::wildcard_enum_match_arm, reason = "the model knows a part of the protocol")]

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::Duration;

use wk_proto::client::connect::{ConnectRequest, ConnectResponse};
use wk_proto::client::frame;
use wk_proto::client::request::{Request, RequestHeader};
use wk_proto::client::response::{EventType, KeeperState, ReplyHeader, WatcherEvent};
use wk_proto::{ErrorCode, JuteWrite, Mono, OpCode, Reader, SessionId, Xid, Zxid};

use crate::error::Error;
use crate::session::{
    Arm, Effect, Input, LinkId, Out, Session, SessionConfig, Status, Submit, Ticket, WatchId,
    WatchKind,
};

/// One step of a history.
#[derive(Clone, Debug)]
pub(super) enum Action {
    Write(u8),
    Read(u8),
    Watch(u8, u8),
    Unwatch(u8),
    /// Another client sets a znode.
    Change(u8),
    ServerReads(u8),
    ClientReads(u8),
    AcceptDial,
    RefuseDial,
    Cut,
    /// Milliseconds.
    Pass(u16),
    Expire,
    /// The next handshake hands out another session than the one asked for.
    SwapSession,
    /// The servers begin anew from zxid 0.
    ForgetHistory,
}

/// What we know of a request of ours.
struct Asked {
    is_write: bool,
    /// The first generation in which it may leave.
    generation: u64,
    answer: Option<Result<(), Error>>,
    reached: bool,
}

/// The server's side of one connection.
#[derive(Default)]
struct Served {
    session: Option<SessionId>,
    to_server: VecDeque<u8>,
    to_client: VecDeque<Vec<u8>>,
    armed: BTreeSet<(WatchKind, String)>,
    unanswered: usize,
}

pub(super) struct World {
    machine: Session,
    config: SessionConfig,
    now: Mono,
    out: Out,
    dialing: Option<LinkId>,
    link: Option<LinkId>,
    served: Served,
    live_sessions: BTreeSet<SessionId>,
    next_session: i64,
    swap: bool,
    zxid: i64,
    mzxid: BTreeMap<String, i64>,
    asked: BTreeMap<Ticket, Asked>,
    watch_kinds: BTreeMap<WatchId, (WatchKind, String)>,
    /// Watches that the machine said are over, or that we gave back.
    gone: BTreeSet<WatchId>,
    sessions_by_generation: BTreeMap<u64, SessionId>,
    last_status: Status,
    last_generation: u64,
}

fn path(number: u8) -> String {
    format!("/n{number}")
}

impl World {
    pub(super) fn new(config: SessionConfig) -> Self {
        let now = Mono::default();
        let mut world = Self {
            machine: Session::new(config.clone(), now),
            config,
            now,
            out: Out::default(),
            dialing: None,
            link: None,
            served: Served::default(),
            live_sessions: BTreeSet::new(),
            next_session: 1,
            swap: false,
            zxid: 0,
            mzxid: BTreeMap::new(),
            asked: BTreeMap::new(),
            watch_kinds: BTreeMap::new(),
            gone: BTreeSet::new(),
            sessions_by_generation: BTreeMap::new(),
            last_status: Status::Suspended,
            last_generation: 0,
        };
        world.step(Input::Tick);
        world
    }

    pub(super) fn generation(&self) -> u64 {
        self.machine.state().session_generation
    }

    fn step(&mut self, input: Input<'_>) {
        self.machine.step(self.now, input, &mut self.out);
        self.take_effects();
    }

    fn take_effects(&mut self) {
        for effect in std::mem::take(&mut self.out.effects) {
            match effect {
                Effect::Dial(link, host) => {
                    assert!(host < self.config.hosts);
                    self.dialing = Some(link);
                    self.drop_link();
                }
                Effect::Hangup => {
                    self.dialing = None;
                    self.drop_link();
                }
                Effect::Done(ticket, result) => {
                    let asked = self.asked.get_mut(&ticket).expect("a ticket that we gave");
                    assert!(asked.answer.is_none(), "{ticket:?} was answered twice");
                    asked.answer = Some(result.map(drop));
                }
                Effect::Event { watches, .. } => {
                    for id in &watches {
                        assert!(!self.gone.contains(id), "{id:?} told after its end");
                        if !self.watch_kinds[id].0.stays() {
                            self.gone.insert(*id);
                        }
                    }
                }
                Effect::Resync(watches) => {
                    assert!(watches.iter().all(|id| !self.gone.contains(id)));
                }
                Effect::Ended(watches, _) => self.gone.extend(watches),
                Effect::Published(state) => self.on_state(state.status, state.session_generation),
            }
        }
        let bytes = std::mem::take(&mut self.out.wire);
        if self.link.is_some() {
            self.served.to_server.extend(bytes);
        } else {
            assert!(bytes.is_empty(), "bytes without a connection");
        }
    }

    fn on_state(&mut self, status: Status, generation: u64) {
        assert!(
            !matches!(self.last_status, Status::Closed | Status::AuthFailed),
            "nothing follows the end"
        );
        assert!(generation >= self.last_generation);
        if self.last_status == Status::Lost && status == Status::Connected {
            assert_eq!(generation, self.last_generation + 1, "a new session, a new generation");
        }
        if status == Status::Connected {
            let session = self.machine.state().session;
            let known = *self.sessions_by_generation.entry(generation).or_insert(session);
            assert_eq!(known, session, "one session a generation");
        }
        (self.last_status, self.last_generation) = (status, generation);
    }

    fn drop_link(&mut self) {
        self.link = None;
        self.served = Served::default();
    }

    pub(super) fn act(&mut self, action: &Action) {
        match action {
            Action::Write(n) => self.submit(OpCode::SetData, *n, None),
            Action::Read(n) => self.submit(OpCode::GetData, *n, None),
            Action::Watch(n, kind) => {
                let kind = WatchKind::ALL[usize::from(*kind)];
                let op = match kind {
                    WatchKind::Persistent | WatchKind::Recursive => OpCode::AddWatch,
                    WatchKind::Child => OpCode::GetChildren2,
                    WatchKind::Data | WatchKind::Exist => OpCode::GetData,
                };
                self.submit(op, *n, Some(kind));
            }
            Action::Unwatch(n) => self.unwatch(*n),
            Action::Change(n) => self.change(&path(*n)),
            Action::ServerReads(n) => (0..*n).for_each(|_| self.server_reads()),
            Action::ClientReads(n) => (0..*n).for_each(|_| self.client_reads()),
            Action::AcceptDial => {
                if let Some(link) = self.dialing.take() {
                    self.link = Some(link);
                    self.step(Input::Dialed(link));
                }
            }
            Action::RefuseDial => {
                if let Some(link) = self.dialing.take() {
                    self.step(Input::Broken(link));
                }
            }
            Action::Cut => self.cut(),
            Action::Pass(ms) => self.pass(Duration::from_millis(u64::from(*ms))),
            Action::Expire => {
                self.live_sessions.clear();
                if self.served.session.is_some() {
                    self.cut();
                }
            }
            Action::SwapSession => self.swap = true,
            Action::ForgetHistory => {
                self.zxid = 0;
                self.mzxid.clear();
                self.live_sessions.clear();
                self.cut();
            }
        }
    }

    fn cut(&mut self) {
        if let Some(link) = self.link {
            self.drop_link();
            self.step(Input::Broken(link));
        }
    }

    fn submit(&mut self, op: OpCode, n: u8, kind: Option<WatchKind>) {
        if !self.machine.has_room() {
            return;
        }
        let ticket = Ticket(self.asked.len() as u64 + 1);
        let path = path(n);
        let mut body = Vec::new();
        // The ticket travels in the path, so that the server can tell which request came.
        let named = format!("{path}?{}", ticket.0);
        match op {
            OpCode::SetData => {
                Request::SetData { path: &named, data: None, version: -1 }.encode(&mut body);
            }
            OpCode::AddWatch => {
                let mode = i32::from(kind == Some(WatchKind::Recursive));
                Request::AddWatch { path: &named, mode }.encode(&mut body);
            }
            // Only reads are left.
            _ => Request::Read { op, path: &named, watch: kind.is_some() }.encode(&mut body),
        }
        let arm = kind.map(|kind| {
            let id = WatchId(ticket.0);
            self.watch_kinds.insert(id, (kind, path.clone()));
            Arm { id, kind, path: path.clone() }
        });
        let state = self.machine.state();
        let is_write = op == OpCode::SetData;
        let generation = match state.status {
            Status::Lost => state.session_generation + 1,
            _ => state.session_generation.max(1),
        };
        let asked = Asked { is_write, generation, answer: None, reached: false };
        self.asked.insert(ticket, asked);
        let deadline = self.now.after(Duration::from_secs(3));
        self.step(Input::Submit(Submit { ticket, op, body, deadline, arm }));
    }

    fn unwatch(&mut self, n: u8) {
        let held: Vec<WatchId> =
            self.watch_kinds.keys().filter(|id| !self.gone.contains(id)).copied().collect();
        if let Some(id) = held.get(usize::from(n) % held.len().max(1)).copied() {
            // Only a watch that was confirmed: before that the driver does not give it back.
            if matches!(self.asked[&Ticket(id.0)].answer, Some(Ok(()))) {
                self.gone.insert(id);
                self.step(Input::Unwatch(id));
            }
        }
    }

    fn change(&mut self, path: &str) {
        self.zxid += 1;
        self.mzxid.insert(path.to_owned(), self.zxid);
        let data = (WatchKind::Data, path.to_owned());
        let hit = self.served.armed.remove(&data)
            | self.served.armed.contains(&(WatchKind::Persistent, path.to_owned()))
            | self.served.armed.contains(&(WatchKind::Recursive, path.to_owned()));
        if hit {
            self.notify(path, self.zxid);
        }
    }

    fn notify(&mut self, path: &str, zxid: i64) {
        let mut bytes = Vec::new();
        ReplyHeader { xid: Xid::NOTIFICATION, zxid: Zxid(zxid), err: 0 }.encode(&mut bytes);
        let kind = EventType::NodeDataChanged;
        WatcherEvent { kind, state: KeeperState::SYNC_CONNECTED, path }.encode(&mut bytes);
        self.served.to_client.push_back(bytes);
    }

    fn server_reads(&mut self) {
        let bytes: Vec<u8> = self.served.to_server.iter().copied().collect();
        let mut rest = &bytes[..];
        let Ok(Some(bytes)) = frame::split(&mut rest, 1 << 20) else { return };
        self.served.to_server.drain(..bytes.len() + 4);
        let bytes = bytes.to_vec();
        match self.served.session {
            None => self.handshake(&bytes),
            Some(session) => self.serve(session, &bytes),
        }
    }

    fn handshake(&mut self, bytes: &[u8]) {
        let request = ConnectRequest::decode(bytes).expect("a handshake");
        if request.last_zxid_seen.0 > self.zxid {
            // As Apache: without a word.
            self.cut();
            return;
        }
        let swap = std::mem::take(&mut self.swap);
        let known = self.live_sessions.contains(&request.session);
        let session = if request.session == SessionId::NONE || swap {
            self.next_session += 1;
            self.zxid += 1;
            self.live_sessions.insert(SessionId(self.next_session));
            Some(SessionId(self.next_session))
        } else {
            known.then_some(request.session)
        };
        let response = match session {
            None => ConnectResponse::refused(Some(false)),
            Some(session) => ConnectResponse {
                timeout: request.timeout,
                session,
                password: session.password(),
                read_only: Some(false),
            },
        };
        self.served.session = session;
        let mut bytes = Vec::new();
        response.encode(&mut bytes);
        self.served.to_client.push_back(bytes);
    }

    fn serve(&mut self, session: SessionId, bytes: &[u8]) {
        let mut reader = Reader::new(bytes);
        let header = RequestHeader::decode(&mut reader).expect("a header");
        let op = OpCode::from_code(header.op).expect("an operation");
        let request = Request::decode(op, &mut reader).expect("a request");
        let mut xid = header.xid;
        match &request {
            Request::Ping => xid = Xid::PING,
            Request::SetWatches(w) => self.rearm(w),
            Request::RemoveWatches { path, kind } => {
                let kind = if *kind == 4 { WatchKind::Persistent } else { WatchKind::Recursive };
                self.served.armed.remove(&(kind, (*path).to_owned()));
            }
            Request::SetData { path, .. } => {
                let path = self.reach(path, session);
                self.change(&path);
            }
            Request::AddWatch { path, mode } => {
                let path = self.reach(path, session);
                let kind = if *mode == 0 { WatchKind::Persistent } else { WatchKind::Recursive };
                self.served.armed.insert((kind, path));
            }
            Request::Read { op, path, watch } => {
                let path = self.reach(path, session);
                let is_child = *op == OpCode::GetChildren2;
                let kind = if is_child { WatchKind::Child } else { WatchKind::Data };
                if *watch {
                    self.served.armed.insert((kind, path));
                }
            }
            Request::Sync { .. } => {}
            other => panic!("nobody asked for {other:?}"),
        }
        let mut bytes = Vec::new();
        ReplyHeader { xid, zxid: Zxid(self.zxid), err: 0 }.encode(&mut bytes);
        bytes.put_i32(0);
        self.served.to_client.push_back(bytes);
        self.served.unanswered += usize::from(xid.0 > 0);
        let own = 3;
        assert!(self.served.unanswered <= self.config.in_flight_max + own, "too many in flight");
    }

    fn rearm(&mut self, watches: &wk_proto::client::request::SetWatches<'_>) {
        for path in &watches.data {
            let changed = self.mzxid.get(*path).copied().unwrap_or(0);
            if changed > watches.relative_zxid.0 {
                self.notify(path, -1);
            } else {
                self.served.armed.insert((WatchKind::Data, (*path).to_owned()));
            }
        }
        for (kind, paths) in
            [(WatchKind::Exist, &watches.exist), (WatchKind::Child, &watches.child)]
        {
            let armed = paths.iter().map(|path| (kind, (*path).to_owned()));
            self.served.armed.extend(armed);
        }
        let Some((persistent, recursive)) = &watches.persistent else { return };
        for (kind, paths) in
            [(WatchKind::Persistent, persistent), (WatchKind::Recursive, recursive)]
        {
            let armed = paths.iter().map(|path| (kind, (*path).to_owned()));
            self.served.armed.extend(armed);
        }
    }

    /// Notes that a request of ours reached a server; returns its path.
    fn reach(&mut self, named: &str, session: SessionId) -> String {
        let (path, ticket) = named.split_once('?').expect("our own spelling");
        let ticket = Ticket(ticket.parse().expect("our own spelling"));
        let asked = self.asked.get_mut(&ticket).expect("a ticket that we gave");
        assert!(!asked.reached, "{ticket:?} left twice");
        asked.reached = true;
        let generation = asked.generation;
        let home = self.sessions_by_generation.get(&generation);
        assert_eq!(home, Some(&session), "{ticket:?} left in another generation");
        path.to_owned()
    }

    fn client_reads(&mut self) {
        let Some(link) = self.link else { return };
        if let Some(bytes) = self.served.to_client.pop_front() {
            let xid = Reader::new(&bytes).i32().unwrap_or(0);
            self.served.unanswered -= usize::from(xid > 0 && self.served.unanswered > 0);
            self.machine.step(self.now, Input::Frame(link, &bytes), &mut self.out);
            self.take_effects();
        }
    }

    /// Lets time pass, waking the machine whenever it wants to be woken.
    fn pass(&mut self, time: Duration) {
        let end = self.now.after(time);
        for _ in 0..10_000 {
            let next = self.machine.next_timeout();
            if next > end {
                break;
            }
            self.now = next.max(self.now);
            self.step(Input::Tick);
        }
        assert!(self.machine.next_timeout() > self.now, "the machine does not stop asking");
        self.now = end;
        self.step(Input::Tick);
    }

    /// Everything works for a while.
    pub(super) fn settle(&mut self) {
        for _ in 0..200 {
            self.act(&Action::AcceptDial);
            for _ in 0..20 {
                self.server_reads();
                self.client_reads();
            }
            self.pass(Duration::from_millis(100));
        }
    }

    pub(super) fn connect(&mut self) {
        self.settle();
        assert_eq!(self.machine.state().status, Status::Connected);
    }

    pub(super) fn heal_and_check(&mut self) {
        self.settle();
        assert_eq!(self.machine.state().status, Status::Connected, "healed means connected");
        self.check_answers();
        // What we hold is what the server has armed for us.
        for (id, (kind, path)) in &self.watch_kinds {
            let confirmed = matches!(self.asked[&Ticket(id.0)].answer, Some(Ok(())));
            if confirmed && !self.gone.contains(id) {
                let kind = if *kind == WatchKind::Exist { WatchKind::Data } else { *kind };
                let armed = self.served.armed.contains(&(kind, path.clone()));
                assert!(armed, "{id:?} on {path} ({kind:?}) is not armed");
            }
        }
    }

    pub(super) fn abandon_and_check(&mut self) {
        self.step(Input::Abandon);
        assert!(self.machine.is_finished());
        assert_eq!(self.machine.watch_count(), 0);
        assert_eq!(self.machine.next_timeout(), Mono::NEVER);
        self.check_answers();
    }

    fn check_answers(&self) {
        for (ticket, asked) in &self.asked {
            let answer = asked.answer.as_ref();
            let answer = answer.unwrap_or_else(|| panic!("{ticket:?} was never answered"));
            match answer {
                Ok(()) => assert!(asked.reached, "{ticket:?} succeeded without leaving"),
                Err(Error::Server(code)) => assert_ne!(*code, ErrorCode::SystemError),
                Err(error) if asked.is_write && !error.is_ambiguous() => {
                    assert!(!asked.reached, "{ticket:?} was done, but {error:?} says not");
                }
                Err(_) => {}
            }
        }
    }
}

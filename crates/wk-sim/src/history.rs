//! The history as it was proposed, and the checker that holds every reply against it.
//!
//! What a client asked is known from its own request, not from the server's log record; the server
//! only says at which zxid it stands. The model follows the history as far as replies show it.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use wk_proto::client::{ReplyHeader, Request, RequestHeader, WatcherEvent, response};
use wk_proto::{OpCode, Reader, SessionId, Stat, Xid, Zxid};
use wk_tree::Tree;

use crate::model::{Model, Moment, Reply};
use crate::watching::Watching;

/// What a txn is to do.
#[derive(Clone, Debug)]
pub(crate) enum Wish {
    /// A client's request, header included.
    Request(Vec<u8>),
    OpenSession(i32),
    /// The session ran out.
    Expiry,
}

/// A request on a connection that has not been answered.
#[derive(Debug)]
pub(crate) struct Asked {
    pub(crate) frame: Vec<u8>,
    /// Where the server put it; `None` for reads.
    pub(crate) zxid: Option<Zxid>,
    /// The last txn that had been proposed when it came: what a sync has to wait for.
    pub(crate) proposed: Zxid,
}

/// The proposed history and the model at the last position that somebody has seen.
pub(crate) struct History {
    entries: VecDeque<(Moment, Wish)>,
    model: Model,
    /// The model's position: everything up to here has been shown to somebody.
    shown: Zxid,
    /// The last proposed position.
    last: Zxid,
    /// Replies that writes must get.
    replies: BTreeMap<Zxid, Reply>,
    watching: Watching,
    /// Every session that anybody has ever been shown.
    sessions: BTreeSet<SessionId>,
}

impl History {
    pub(crate) fn new() -> Self {
        Self {
            entries: VecDeque::new(),
            model: Model::new(),
            shown: Zxid::ZERO,
            last: Zxid::ZERO,
            replies: BTreeMap::new(),
            watching: Watching::default(),
            sessions: BTreeSet::new(),
        }
    }

    pub(crate) fn model(&self) -> &Model {
        &self.model
    }

    /// The last txn that was proposed.
    pub(crate) fn last(&self) -> Zxid {
        self.last
    }

    /// The server has proposed a txn.
    pub(crate) fn propose(&mut self, at: Moment, wish: Wish) -> Result<(), String> {
        if at.zxid.0 != self.last.0 + 1 {
            return Err(format!("proposed {} after {}", at.zxid, self.last));
        }
        self.last = at.zxid;
        self.entries.push_back((at, wish));
        Ok(())
    }

    /// Somebody has been shown the state at `zxid`: from here on it must never be lost.
    pub(crate) fn show(&mut self, zxid: Zxid) -> Result<(), String> {
        if zxid < self.shown {
            return Err(format!("shows {zxid} after {}", self.shown));
        }
        if zxid > self.last {
            return Err(format!("shows {zxid}, which was never proposed (last {})", self.last));
        }
        while let Some((at, wish)) = self.entries.pop_front_if(|(at, _)| at.zxid <= zxid) {
            match wish {
                Wish::OpenSession(timeout) => {
                    if !self.sessions.insert(at.session) {
                        return Err(format!("{} was a session's id before", at.session));
                    }
                    self.model.open_session(at.session, timeout);
                }
                Wish::Expiry => self.model.close_session(at.zxid, at.session),
                Wish::Request(frame) => {
                    let reply = self.model.write(at, &decode(&frame));
                    self.replies.insert(at.zxid, reply);
                }
            }
            for (kind, path) in self.model.take_events() {
                self.watching.happened(at.zxid, kind, &path);
            }
        }
        self.shown = zxid;
        Ok(())
    }

    /// A server has started over with everything up to `zxid`; what was proposed later is gone.
    pub(crate) fn restart(&mut self, tree: &Tree) -> Result<(), String> {
        let zxid = tree.last_zxid();
        if zxid < self.shown {
            return Err(format!(
                "lost: {} was shown, the server came back with {zxid}",
                self.shown
            ));
        }
        self.show(zxid)?;
        self.entries.clear();
        self.replies.clear();
        self.watching.forget_all();
        self.last = zxid;
        self.model.compare(tree).map_err(|wrong| format!("after the restart at {zxid}: {wrong}"))
    }

    /// Holds a running server's tree against the model.
    pub(crate) fn compare(&mut self, tree: &Tree) -> Result<(), String> {
        let zxid = tree.last_zxid();
        self.show(zxid)?;
        self.model.compare(tree).map_err(|wrong| format!("at {zxid}: {wrong}"))
    }

    /// Checks the answer to a request.
    pub(crate) fn check_reply(
        &mut self,
        conn: u64,
        asked: &Asked,
        header: &ReplyHeader,
        body: &[u8],
    ) -> Result<(), String> {
        let request = decode(&asked.frame);
        let xid = RequestHeader::decode(&mut Reader::new(&asked.frame)).map(|h| h.xid);
        if xid != Ok(header.xid) {
            return Err(format!("answered {:?}, asked was {xid:?} {request:?}", header.xid));
        }
        self.show(header.zxid)?;
        if matches!(request, Request::Sync { .. }) && header.zxid < asked.proposed {
            let (at, proposed) = (header.zxid, asked.proposed);
            return Err(format!("a sync was answered at {at}, {proposed} had been proposed"));
        }
        let expected = match asked.zxid {
            Some(zxid) if zxid != header.zxid => {
                return Err(format!("{request:?} at {zxid} was answered with {}", header.zxid));
            }
            Some(zxid) => self.replies.remove(&zxid).ok_or("answered twice")?,
            None => self.model.read(&request),
        };
        let got = Reply { err: header.err, body: in_order(&request, header.err, body) };
        if got != expected {
            let zxid = header.zxid;
            return Err(format!("{request:?} at {zxid} got {got:?}, must get {expected:?}"));
        }
        self.watching.replied(conn, header.zxid)?;
        self.watching.answered(conn, &request, header.err);
        Ok(())
    }

    /// Checks a watch event.
    pub(crate) fn check_event(
        &mut self,
        conn: u64,
        header: &ReplyHeader,
        body: &[u8],
    ) -> Result<(), String> {
        let event = WatcherEvent::decode(&mut Reader::new(body)).map_err(|e| e.to_string())?;
        self.show(header.zxid).map_err(|wrong| format!("{event:?}: {wrong}"))?;
        self.watching.told(conn, header.zxid, &event)
    }

    /// A connection is gone for the server.
    pub(crate) fn forget(&mut self, conn: u64) {
        self.watching.forget(conn);
    }

    /// Checks that the session of an accepted handshake is there.
    pub(crate) fn check_session(
        &mut self,
        session: SessionId,
        zxid: Option<Zxid>,
    ) -> Result<(), String> {
        if let Some(zxid) = zxid {
            self.show(zxid)?;
        }
        self.model.timeout(session).map(|_| ()).ok_or(format!("accepted {session}, which is over"))
    }
}

/// A request of the simulator's own clients.
pub(crate) fn decode(frame: &[u8]) -> Request<'_> {
    let mut r = Reader::new(frame);
    let header = RequestHeader::decode(&mut r).expect("our own request");
    if header.xid == Xid::PING {
        return Request::Ping;
    }
    let op = OpCode::from_code(header.op).expect("our own request");
    Request::decode(op, &mut r).expect("our own request")
}

/// The reply's record with the names of children in order.
fn in_order(request: &Request<'_>, err: i32, body: &[u8]) -> Vec<u8> {
    if err == 0
        && let Request::Read { op: OpCode::GetChildren2, .. } = request
    {
        let mut r = Reader::new(body);
        if let (Ok(mut names), Ok(stat)) = (r.strings(), Stat::decode(&mut r)) {
            names.sort_unstable();
            let mut ordered = Vec::new();
            response::encode_children(names.len(), names.into_iter(), Some(&stat), &mut ordered);
            return ordered;
        }
    }
    body.to_vec()
}

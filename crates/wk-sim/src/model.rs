//! What a server must be, in the plainest way: a map from path to znode, one write after the other.

use std::collections::BTreeMap;

use wk_proto::client::{EventType, OpResult, Request, response};
use wk_proto::{
    Acl, AclList, ErrorCode, Id, JuteWrite, OpCode, Perms, SessionId, Stat, Wall, Zxid, path,
};
use wk_tree::{Caller, Tree};

/// A znode.
#[derive(Clone, Debug, PartialEq)]
struct Znode {
    data: Option<Vec<u8>>,
    stat: Stat,
    acl: AclList<'static>,
    /// Children ever created.
    creates: i32,
}

/// When, where in the history and on whose behalf something is done.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Moment {
    pub(crate) zxid: Zxid,
    pub(crate) time: Wall,
    pub(crate) session: SessionId,
}

/// The reply that a request must get: error number, and the record where that is 0.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Reply {
    pub(crate) err: i32,
    pub(crate) body: Vec<u8>,
}

impl Reply {
    fn error(code: ErrorCode) -> Self {
        Self { err: code.code(), body: Vec::new() }
    }
}

/// What one operation came to.
enum Done {
    Nothing,
    Created(String, Stat),
    Stat(Stat),
}

/// The model.
#[derive(Clone, Debug)]
pub(crate) struct Model {
    znodes: BTreeMap<String, Znode>,
    /// Timeouts in milliseconds.
    sessions: BTreeMap<SessionId, i32>,
    /// What has happened to znodes since somebody looked.
    events: Vec<(EventType, String)>,
}

impl Model {
    pub(crate) fn new() -> Self {
        let mut znodes = BTreeMap::new();
        for (path, children) in
            [("/", 1), ("/zookeeper", 2), ("/zookeeper/quota", 0), ("/zookeeper/config", 0)]
        {
            let aversion = if path == "/zookeeper/config" { -1 } else { 0 };
            let stat =
                Stat { cversion: -children, num_children: children, aversion, ..Stat::default() };
            let acl = if path == "/zookeeper/config" { read_only() } else { AclList::open() };
            let data = Some(Vec::new());
            znodes.insert(path.to_owned(), Znode { data, stat, acl, creates: 0 });
        }
        Self { znodes, sessions: BTreeMap::new(), events: Vec::new() }
    }

    pub(crate) fn open_session(&mut self, session: SessionId, timeout: i32) {
        self.sessions.insert(session, timeout);
    }

    /// A session ends, and all that it owned with it.
    pub(crate) fn close_session(&mut self, zxid: Zxid, session: SessionId) {
        self.sessions.remove(&session);
        let owned = |znode: &Znode| znode.stat.ephemeral_owner == session;
        let paths: Vec<_> =
            self.znodes.iter().filter(|(_, z)| owned(z)).map(|(p, _)| p.clone()).collect();
        for path in paths {
            self.remove(zxid, &path);
        }
    }

    /// What has happened to znodes since the last call.
    pub(crate) fn take_events(&mut self) -> Vec<(EventType, String)> {
        std::mem::take(&mut self.events)
    }

    pub(crate) fn timeout(&self, session: SessionId) -> Option<i32> {
        self.sessions.get(&session).copied()
    }

    /// Carries out a write.
    pub(crate) fn write(&mut self, at: Moment, request: &Request<'_>) -> Reply {
        let mut body = Vec::new();
        if let Request::Multi(ops) = request {
            for (op, result) in ops.iter().zip(self.multi(at, ops)) {
                encode_result(op, &result, &mut body);
            }
            response::encode_multi_end(&mut body);
            return Reply { err: 0, body };
        }
        match self.one(at, request) {
            Err(code) => return Reply::error(code),
            Ok(Done::Nothing) => {}
            Ok(Done::Stat(stat)) => stat.encode(&mut body),
            Ok(Done::Created(path, stat)) => {
                body.put_string(&path);
                if request.op() != OpCode::Create {
                    stat.encode(&mut body);
                }
            }
        }
        Reply { err: 0, body }
    }

    /// All or none; what comes after the first failure is not tried.
    fn multi(&mut self, at: Moment, ops: &[Request<'_>]) -> Vec<Result<Done, i32>> {
        let before = self.clone();
        let mut results = Vec::new();
        for op in ops {
            match self.one(at, op) {
                Ok(done) => results.push(Ok(done)),
                Err(code) => {
                    *self = before;
                    let mut results: Vec<_> = results.iter().map(|_| Err(0)).collect();
                    results.push(Err(code.code()));
                    let rest = ErrorCode::RuntimeInconsistency.code();
                    results.extend((results.len()..ops.len()).map(|_| Err(rest)));
                    return results;
                }
            }
        }
        results
    }

    fn one(&mut self, at: Moment, request: &Request<'_>) -> Result<Done, ErrorCode> {
        if matches!(request, Request::CloseSession) {
            self.close_session(at.zxid, at.session);
            return Ok(Done::Nothing);
        }
        if !self.sessions.contains_key(&at.session) {
            return Err(ErrorCode::SessionExpired);
        }
        #[expect(clippy::wildcard_enum_match_arm, reason = "the clients send these alone")]
        match request {
            Request::Create(_, create) => self.create(at, create.path, create.data, create.flags),
            Request::Delete { path, version } => {
                let parent = parent_of(path);
                if !self.znodes.contains_key(parent) {
                    return Err(ErrorCode::NoNode);
                }
                if self.expect(path, *version)?.stat.num_children > 0 {
                    return Err(ErrorCode::NotEmpty);
                }
                self.remove(at.zxid, path);
                Ok(Done::Nothing)
            }
            Request::SetData { path, data, version } => {
                let znode = self.expect(path, *version)?;
                znode.data = data.map(<[u8]>::to_vec);
                znode.stat.data_length = len_of(*data);
                znode.stat.version += 1;
                znode.stat.mzxid = at.zxid;
                znode.stat.mtime = at.time;
                let stat = znode.stat;
                self.events.push((EventType::NodeDataChanged, (*path).to_owned()));
                Ok(Done::Stat(stat))
            }
            Request::SetAcl { path, acl, version } => {
                let znode = self.znodes.get_mut(*path).ok_or(ErrorCode::NoNode)?;
                if *version != -1 && znode.stat.aversion != *version {
                    return Err(ErrorCode::BadVersion);
                }
                znode.acl = acl.clone().into_owned();
                znode.stat.aversion += 1;
                Ok(Done::Stat(znode.stat))
            }
            Request::Check { path, version } => self.expect(path, *version).map(|_| Done::Nothing),
            other => panic!("no client of the simulator sends {other:?}"),
        }
    }

    fn expect(&mut self, path: &str, version: i32) -> Result<&mut Znode, ErrorCode> {
        let znode = self.znodes.get_mut(path).ok_or(ErrorCode::NoNode)?;
        if version != -1 && znode.stat.version != version {
            return Err(ErrorCode::BadVersion);
        }
        Ok(znode)
    }

    fn create(
        &mut self,
        at: Moment,
        path: &str,
        data: Option<&[u8]>,
        flags: i32,
    ) -> Result<Done, ErrorCode> {
        let parent = self.znodes.get(parent_of(path)).ok_or(ErrorCode::NoNode)?;
        let path =
            if flags & 2 == 0 { path.to_owned() } else { format!("{path}{:010}", parent.creates) };
        if self.znodes.contains_key(&path) {
            return Err(ErrorCode::NodeExists);
        }
        if parent.stat.ephemeral_owner != SessionId::NONE {
            return Err(ErrorCode::NoChildrenForEphemerals);
        }
        let stat = Stat {
            czxid: at.zxid,
            mzxid: at.zxid,
            pzxid: at.zxid,
            ctime: at.time,
            mtime: at.time,
            data_length: len_of(data),
            ephemeral_owner: if flags & 1 == 0 { SessionId::NONE } else { at.session },
            ..Stat::default()
        };
        let parent = self.parent_mut(&path);
        parent.creates += 1;
        parent.stat.cversion += 1;
        parent.stat.num_children += 1;
        parent.stat.pzxid = at.zxid;
        let data = data.map(<[u8]>::to_vec);
        let acl = AclList::open();
        self.znodes.insert(path.clone(), Znode { data, stat, acl, creates: 0 });
        self.happened(EventType::NodeCreated, &path);
        Ok(Done::Created(path, stat))
    }

    fn remove(&mut self, zxid: Zxid, path: &str) {
        self.znodes.remove(path);
        let parent = self.parent_mut(path);
        parent.stat.cversion += 1;
        parent.stat.num_children -= 1;
        parent.stat.pzxid = zxid;
        self.happened(EventType::NodeDeleted, path);
    }

    /// A znode has come or gone, so its parent's list has changed.
    fn happened(&mut self, kind: EventType, path: &str) {
        self.events.push((kind, path.to_owned()));
        self.events.push((EventType::NodeChildrenChanged, parent_of(path).to_owned()));
    }

    fn parent_mut(&mut self, path: &str) -> &mut Znode {
        self.znodes.get_mut(parent_of(path)).expect("a znode's parent is there")
    }

    /// The reply to a read. Names of children are in order, which the server's need not be.
    pub(crate) fn read(&self, request: &Request<'_>) -> Reply {
        let mut body = Vec::new();
        if let Request::Sync { path } = request {
            body.put_string(path);
        }
        let (Request::Read { path, .. } | Request::GetAcl { path }) = request else {
            return Reply { err: 0, body };
        };
        let (op, path) = (request.op(), *path);
        let Some(znode) = self.znodes.get(path) else { return Reply::error(ErrorCode::NoNode) };
        if op == OpCode::GetAcl {
            response::encode_acl(&znode.acl, &znode.stat, &mut body);
        } else if op == OpCode::GetData {
            response::encode_data(znode.data.as_deref(), &znode.stat, &mut body);
        } else if op == OpCode::GetChildren2 {
            let (names, stat) = (self.children(path), Some(&znode.stat));
            response::encode_children(names.len(), names.into_iter(), stat, &mut body);
        } else {
            znode.stat.encode(&mut body);
        }
        Reply { err: 0, body }
    }

    fn children(&self, path: &str) -> Vec<&str> {
        let below = if path == "/" { "/".to_owned() } else { format!("{path}/") };
        let all = self.znodes.keys().filter_map(|p| p.strip_prefix(&below));
        all.filter(|name| !name.is_empty() && !name.contains('/')).collect()
    }

    /// Sum of the CRC-32 of every znode outside `/zookeeper/`.
    fn digest(&self) -> u64 {
        let outside = self.znodes.iter().filter(|(path, _)| !path.starts_with("/zookeeper/"));
        outside.fold(0, |sum, (path, znode)| {
            let mut bytes = Vec::new();
            bytes.put_bytes(if path == "/" { b"" } else { path.as_bytes() });
            bytes.put_bytes(znode.data.as_deref().unwrap_or_default());
            let stat = &znode.stat;
            let times = [stat.czxid.0, stat.mzxid.0, stat.pzxid.0, stat.ctime.0, stat.mtime.0];
            for time in times {
                bytes.put_i64(time);
            }
            bytes.put_i32(stat.version);
            bytes.put_i32(znode.creates);
            bytes.put_i32(stat.aversion);
            bytes.put_i64(stat.ephemeral_owner.0);
            sum.wrapping_add(u64::from(crc32fast::hash(&bytes)))
        })
    }

    /// Is the tree what it must be?
    pub(crate) fn compare(&self, tree: &Tree) -> Result<(), String> {
        let mut seen = 0;
        let mut wrong = None;
        let ids = [Id::new("super", "")];
        let super_user = Caller { session: SessionId::NONE, ids: &ids };
        tree.for_each(|path, data, stat| {
            seen += 1;
            let expected = self.znodes.get(path);
            let acl = tree.acl(path, &super_user);
            let same = expected.is_some_and(|z| {
                z.data.as_deref() == data
                    && z.stat == *stat
                    && acl.as_ref().is_ok_and(|(acl, _)| *acl == z.acl)
            });
            if !same && wrong.is_none() {
                wrong = Some(format!("{path} is {data:?} {stat:?}, must be {expected:?}"));
            }
        });
        if let Some(wrong) = wrong {
            return Err(wrong);
        }
        if seen != self.znodes.len() {
            let missing = self.znodes.keys().find(|path| tree.stat(path).is_none());
            return Err(format!("{missing:?} is missing"));
        }
        let sessions: BTreeMap<_, _> = tree.sessions().collect();
        if sessions != self.sessions {
            return Err(format!("sessions are {sessions:?}, must be {:?}", self.sessions));
        }
        if tree.digest() != self.digest() {
            return Err(format!("digest is {}, must be {}", tree.digest(), self.digest()));
        }
        Ok(())
    }
}

fn encode_result(op: &Request<'_>, result: &Result<Done, i32>, out: &mut Vec<u8>) {
    let result = match result {
        Err(code) => OpResult::Error { code: *code },
        Ok(Done::Stat(stat)) => OpResult::SetData { stat: *stat },
        Ok(Done::Created(path, _)) if op.op() == OpCode::Create => OpResult::Create { path },
        Ok(Done::Created(path, stat)) => OpResult::Create2 { path, stat: *stat },
        Ok(Done::Nothing) if op.op() == OpCode::Check => OpResult::Check,
        Ok(Done::Nothing) => OpResult::Delete,
    };
    result.encode(out);
}

/// What the znode of the configuration begins with.
fn read_only() -> AclList<'static> {
    AclList::from_acls(&[Acl::new(Perms::READ, "world", "anyone")])
}

fn parent_of(path: &str) -> &str {
    path::split(path).map_or("/", |(parent, _)| parent)
}

fn len_of(data: Option<&[u8]>) -> i32 {
    i32::try_from(data.map_or(0, <[u8]>::len)).unwrap_or(i32::MAX)
}

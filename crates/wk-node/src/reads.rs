//! Reads: answered from the committed tree, without a copy on the way to the frame.

use wk_proto::client::request::SetWatches;
use wk_proto::client::response::{encode_acl, encode_children, encode_data};
use wk_proto::client::{EventType, OpResult, Request, WatcherType, response};
use wk_proto::sabotage::{Sabotage, is_on};
use wk_proto::{ErrorCode, JuteWrite, OpCode, Reader, Xid, Zxid};
use wk_tree::watches::WatchKind;
use wk_tree::{Caller, Tree};

use crate::connections::Connection;
use crate::events::{encode_event, watcher};
use crate::input::{ConnId, Now, Out};
use crate::node::Node;
use crate::replies::{Asked, Replies};

fn caller(connection: &Connection) -> Caller<'_> {
    Caller { session: connection.session, ids: &connection.ids }
}

impl Node {
    /// Answers a request that is not a write. Everything before it on its connection is answered.
    pub(crate) fn read(&mut self, now: Now, asked: Asked, frame: &[u8], out: &mut Out) {
        let mut reader = Reader::new(frame);
        let known = asked.op.filter(|op| {
            !matches!(op, OpCode::Check | OpCode::CreateSession | OpCode::Error | OpCode::Sasl)
        });
        let (Some(op), Ok(_)) = (known, reader.bytes(8)) else {
            return self.refuse_unknown(now, asked, out);
        };
        match Request::decode(op, &mut reader) {
            Ok(Request::SetWatches(request)) => {
                self.set_watches(asked.conn, &request, out);
                self.answer_header(now, asked, Ok(()), out);
            }
            Ok(Request::AddWatch { path, mode }) => self.add_watch(now, asked, path, mode, out),
            Ok(Request::CheckWatches { path, kind } | Request::RemoveWatches { path, kind }) => {
                let result = self.find_watch(asked, path, kind);
                self.answer_header(now, asked, result, out);
            }
            Ok(request) => self.read_tree(now, asked, &request, out),
            Err(_) => self.answer_undecodable(now, asked, out),
        }
    }

    /// An error. A multiRead's has a record all the same, without results, as Apache's has.
    fn answer_undecodable(&mut self, now: Now, asked: Asked, out: &mut Out) {
        let zxid = self.tree.last_zxid();
        let Some(connection) = self.connections.get_mut(&asked.conn) else { return };
        let mut replies = Replies { now: now.mono, stats: &mut self.stats, out };
        replies.stats.bad_requests += 1;
        let result = Err(ErrorCode::MarshallingError.code());
        replies.send(connection, asked, zxid, result, |bytes| {
            if asked.op == Some(OpCode::MultiRead) {
                response::encode_multi_end(bytes);
            }
        });
    }

    /// Answers what the tree or the connection itself knows.
    fn read_tree(&mut self, now: Now, asked: Asked, request: &Request<'_>, out: &mut Out) {
        let zxid = self.tree.last_zxid();
        let Self { tree, watches, connections, stats, pipeline, .. } = self;
        let Some(connection) = connections.get_mut(&asked.conn) else { return };
        let mut replies = Replies { now: now.mono, stats, out };
        match *request {
            Request::Ping => {
                let asked = Asked { xid: Xid::PING, ..asked };
                replies.header(connection, asked, zxid, Ok(()));
            }
            Request::Sync { path } => {
                replies.send(connection, asked, zxid, Ok(()), |b| b.put_string(path));
            }
            Request::Read { op, path, watch } => {
                read_znode(tree, connection, &mut replies, asked, (op, path));
                // Broken on purpose, for the simulator to find: as if it were set a moment later.
                let late = is_on(Sabotage::WatchLost) && !pipeline.is_empty();
                if watch
                    && !late
                    && let Some(kind) = watch_of(tree, connection, op, path)
                {
                    watches.add(path, watcher(asked.conn), kind);
                }
            }
            Request::GetAcl { path } => match tree.acl(path, &caller(connection)) {
                Ok((acl, stat)) => replies.send(connection, asked, zxid, Ok(()), |b| {
                    encode_acl(&acl, &stat, b);
                }),
                Err(code) => replies.header(connection, asked, zxid, Err(code)),
            },
            Request::MultiRead(ref ops) => {
                multi_read(tree, connection, &mut replies, asked, ops);
            }
            Request::GetEphemerals { prefix } => {
                let paths = tree.ephemerals(connection.session, prefix);
                replies.send(connection, asked, zxid, Ok(()), |b| b.put_strings(&paths));
            }
            Request::GetAllChildrenNumber { path } => {
                match tree.all_children_number(path, &caller(connection)) {
                    Ok(n) => replies.send(connection, asked, zxid, Ok(()), |b| b.put_i32(n)),
                    Err(code) => replies.header(connection, asked, zxid, Err(code)),
                }
            }
            Request::WhoAmI => who_am_i(connection, &mut replies, asked, zxid),
            Request::Create(..)
            | Request::Delete { .. }
            | Request::DeleteContainer { .. }
            | Request::SetData { .. }
            | Request::SetAcl { .. }
            | Request::Check { .. }
            | Request::Multi(_)
            | Request::Reconfig { .. }
            | Request::Auth { .. }
            | Request::Sasl { .. }
            | Request::SetWatches(_)
            | Request::AddWatch { .. }
            | Request::CheckWatches { .. }
            | Request::RemoveWatches { .. }
            | Request::CloseSession
            | Request::CreateSession { .. } => self.refuse_unknown(now, asked, out),
        }
    }

    fn add_watch(&mut self, now: Now, asked: Asked, path: &str, mode: i32, out: &mut Out) {
        let kind = match mode {
            0 => WatchKind::Persistent,
            1 => WatchKind::Recursive,
            _ => {
                return self.answer_header(now, asked, Err(ErrorCode::MarshallingError), out);
            }
        };
        self.watches.add(path, watcher(asked.conn), kind);
        let zxid = self.tree.last_zxid();
        let Some(connection) = self.connections.get_mut(&asked.conn) else { return };
        let mut replies = Replies { now: now.mono, stats: &mut self.stats, out };
        replies.send(connection, asked, zxid, Ok(()), |bytes| bytes.put_i32(0));
    }

    /// checkWatches and removeWatches: is there such a watch? The latter disarms it.
    fn find_watch(&mut self, asked: Asked, path: &str, kind: i32) -> Result<(), ErrorCode> {
        let kind = WatcherType::from_code(kind).ok_or(ErrorCode::MarshallingError)?;
        let found = if asked.op == Some(OpCode::RemoveWatches) {
            self.watches.remove(path, watcher(asked.conn), kind)
        } else {
            self.watches.contains(path, watcher(asked.conn), kind)
        };
        if found { Ok(()) } else { Err(ErrorCode::NoWatcher) }
    }

    fn answer_header(
        &mut self,
        now: Now,
        asked: Asked,
        result: Result<(), ErrorCode>,
        out: &mut Out,
    ) {
        let zxid = self.tree.last_zxid();
        let Some(connection) = self.connections.get_mut(&asked.conn) else { return };
        let mut replies = Replies { now: now.mono, stats: &mut self.stats, out };
        replies.header(connection, asked, zxid, result);
    }

    /// Arms watches after a reconnect, and tells at once what their client has missed.
    fn set_watches(&mut self, conn: ConnId, request: &SetWatches<'_>, out: &mut Out) {
        let since = request.relative_zxid;
        for path in &request.data {
            match self.tree.stat(path) {
                None => self.tell(conn, EventType::NodeDeleted, path, out),
                Some(stat) if stat.mzxid > since => {
                    self.tell(conn, EventType::NodeDataChanged, path, out);
                }
                Some(_) => self.watches.add(path, watcher(conn), WatchKind::Data),
            }
        }
        for path in &request.exist {
            match self.tree.stat(path) {
                Some(_) => self.tell(conn, EventType::NodeCreated, path, out),
                None => self.watches.add(path, watcher(conn), WatchKind::Data),
            }
        }
        for path in &request.child {
            match self.tree.stat(path) {
                None => self.tell(conn, EventType::NodeDeleted, path, out),
                Some(stat) if stat.pzxid > since => {
                    self.tell(conn, EventType::NodeChildrenChanged, path, out);
                }
                Some(_) => self.watches.add(path, watcher(conn), WatchKind::Child),
            }
        }
        if let Some((persistent, recursive)) = &request.persistent {
            for path in persistent {
                self.watches.add(path, watcher(conn), WatchKind::Persistent);
            }
            for path in recursive {
                self.watches.add(path, watcher(conn), WatchKind::Recursive);
            }
        }
    }

    /// Sends one event that no single txn caused.
    fn tell(&mut self, conn: ConnId, kind: EventType, path: &str, out: &mut Out) {
        out.send(conn, |bytes| encode_event(bytes, kind, path, Zxid::NONE));
        self.stats.packets_sent += 1;
        if let Some(connection) = self.connections.get_mut(&conn) {
            connection.counters.sent += 1;
        }
    }
}

fn read_znode(
    tree: &Tree,
    connection: &mut Connection,
    replies: &mut Replies<'_>,
    asked: Asked,
    (op, path): (OpCode, &str),
) {
    let zxid = tree.last_zxid();
    let outcome = {
        let caller = caller(connection);
        if op == OpCode::Exists {
            tree.exists(path, &caller).map(Answer::Stat)
        } else if op == OpCode::GetData {
            tree.get_data(path, &caller).map(|(data, stat)| Answer::Data(data, stat))
        } else {
            let stat_wanted = op == OpCode::GetChildren2;
            tree.children(path, &caller)
                .map(|(names, stat)| Answer::Children(names, stat_wanted.then_some(stat)))
        }
    };
    match outcome {
        Ok(answer) => replies.send(connection, asked, zxid, Ok(()), |b| answer.encode(b)),
        Err(code) => replies.header(connection, asked, zxid, Err(code)),
    }
}

/// What a read of one znode found.
enum Answer<'t> {
    Stat(wk_proto::Stat),
    Data(Option<&'t [u8]>, wk_proto::Stat),
    Children(wk_tree::Children<'t>, Option<wk_proto::Stat>),
}

impl Answer<'_> {
    fn encode(self, bytes: &mut Vec<u8>) {
        match self {
            Self::Stat(stat) => stat.encode(bytes),
            Self::Data(data, stat) => encode_data(data, &stat, bytes),
            Self::Children(names, stat) => {
                encode_children(names.len(), names, stat.as_ref(), bytes);
            }
        }
    }
}

/// The watch that a read arms: a data watch on what exists and may be read, an exist watch on what
/// does not exist (for exists alone).
fn watch_of(tree: &Tree, connection: &Connection, op: OpCode, path: &str) -> Option<WatchKind> {
    let caller = caller(connection);
    match (op, tree.exists(path, &caller)) {
        (OpCode::GetChildren | OpCode::GetChildren2, Ok(_)) => Some(WatchKind::Child),
        (OpCode::Exists | OpCode::GetData, Ok(_)) | (OpCode::Exists, Err(ErrorCode::NoNode)) => {
            Some(WatchKind::Data)
        }
        _ => None,
    }
}

fn multi_read(
    tree: &Tree,
    connection: &mut Connection,
    replies: &mut Replies<'_>,
    asked: Asked,
    ops: &[Request<'_>],
) {
    let caller_ids = connection.ids.clone();
    let caller = Caller { session: connection.session, ids: &caller_ids };
    replies.send(connection, asked, tree.last_zxid(), Ok(()), |bytes| {
        for op in ops {
            // The decoder lets nothing but getData and getChildren in.
            let Request::Read { op, path, .. } = op else { continue };
            let result = if *op == OpCode::GetData {
                tree.get_data(path, &caller).map(|(data, stat)| OpResult::GetData { data, stat })
            } else {
                tree.children(path, &caller)
                    .map(|(names, _)| OpResult::GetChildren { names: names.collect() })
            };
            result.unwrap_or_else(OpResult::error).encode(bytes);
        }
        response::encode_multi_end(bytes);
    });
}

fn who_am_i(connection: &mut Connection, replies: &mut Replies<'_>, asked: Asked, zxid: Zxid) {
    let ids = connection.ids.clone();
    replies.send(connection, asked, zxid, Ok(()), |bytes| {
        bytes.put_len(ids.len());
        for id in &ids {
            bytes.put_string(&id.scheme);
            let user = match id.scheme.as_str() {
                // The hash of a password is nobody's business.
                "digest" => id.id.split(':').next().unwrap_or_default(),
                "super" => "",
                _ => &id.id,
            };
            bytes.put_string(user);
        }
    });
}

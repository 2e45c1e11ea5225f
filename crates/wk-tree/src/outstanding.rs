//! Changes that are prepared and not yet applied: what the next write is checked against.
//!
//! For every znode with such changes there is one record, which says how the znode will be. A queue
//! of (zxid, record) tells when nothing is left to come for it and the tree speaks for itself again.
//! A multi that fails is undone from a list of what the records were before.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::hash::BuildHasher;

use hashbrown::HashTable;
use wk_proto::{AclList, SessionId, StatPersisted, Zxid};

use crate::acl_table::AclId;
use crate::node::{Node, node_digest};
use crate::tree::Tree;

/// A znode's ACL: in the table already, or to come.
#[derive(Clone, Debug)]
pub(crate) enum PendingAcl {
    Stored(AclId),
    New(AclList<'static>),
}

/// How a znode will be.
#[derive(Clone, Debug)]
pub(crate) struct State {
    pub(crate) stat: StatPersisted,
    pub(crate) children: u32,
    pub(crate) acl: PendingAcl,
    /// CRC over path and data.
    pub(crate) crc: u32,
    pub(crate) digest: u32,
    pub(crate) excluded: bool,
}

impl State {
    fn of(node: &Node) -> Self {
        Self {
            stat: node.stat(),
            children: node.children,
            acl: PendingAcl::Stored(node.acl),
            crc: node.crc,
            digest: node.digest,
            excluded: node.is_excluded_from_digest(),
        }
    }
}

#[derive(Debug)]
struct Record {
    path: Box<str>,
    /// `None`: it will be gone.
    state: Option<State>,
    /// Entries of the queue that point here; at 0 the record goes.
    changes: u32,
}

#[derive(Clone, Copy, Debug)]
enum Touched {
    Node(u32),
    Session(SessionId),
}

#[derive(Clone, Copy, Debug)]
struct PendingSession {
    open: bool,
    changes: u32,
}

/// A znode as the next write sees it.
pub(crate) enum View<'a> {
    Committed(&'a Tree, &'a Node),
    Pending(&'a Tree, &'a State),
}

impl<'a> View<'a> {
    pub(crate) fn stat(&self) -> StatPersisted {
        match self {
            View::Committed(_, node) => node.stat(),
            View::Pending(_, state) => state.stat,
        }
    }

    pub(crate) fn children(&self) -> u32 {
        match self {
            View::Committed(_, node) => node.children,
            View::Pending(_, state) => state.children,
        }
    }

    pub(crate) fn acl(&self) -> AclList<'a> {
        match self {
            View::Committed(tree, node) => tree.acls.list(node.acl),
            View::Pending(tree, state) => match &state.acl {
                PendingAcl::Stored(id) => tree.acls.list(*id),
                PendingAcl::New(list) => list.borrowed(),
            },
        }
    }
}

/// Changes prepared and not yet applied.
#[derive(Debug, Default)]
pub struct Outstanding {
    records: Vec<Record>,
    free: Vec<u32>,
    by_path: HashTable<u32>,
    hash: foldhash::fast::FixedState,
    // Zxids ascend.
    queue: VecDeque<(Zxid, Touched)>,
    sessions: BTreeMap<SessionId, PendingSession>,
    /// The tree's digest once all of this is applied; kept up while `queue` has entries.
    digest: u64,
    undo: Vec<(u32, Option<State>)>,
}

/// A point to which a failing multi goes back.
pub(crate) struct Mark {
    digest: u64,
    queue_len: usize,
}

impl Outstanding {
    /// Nothing outstanding.
    pub fn new() -> Self {
        Self::default()
    }

    /// Drops the changes of all txns up to `upto`: the tree has them now.
    pub fn applied(&mut self, upto: Zxid) {
        while let Some((_, touched)) = self.queue.pop_front_if(|(zxid, _)| *zxid <= upto) {
            self.forget(touched);
        }
    }

    /// Number of changes, for statistics.
    pub fn len(&self) -> usize {
        self.queue.len()
    }

    /// Is nothing outstanding?
    pub fn is_empty(&self) -> bool {
        self.queue.is_empty()
    }

    /// The tree's digest once everything outstanding is applied.
    pub(crate) fn digest(&self, tree: &Tree) -> u64 {
        if self.queue.is_empty() { tree.digest } else { self.digest }
    }

    pub(crate) fn view<'a>(&'a self, tree: &'a Tree, path: &str) -> Option<View<'a>> {
        match self.find(path) {
            Some(at) => {
                self.records[at as usize].state.as_ref().map(|state| View::Pending(tree, state))
            }
            None => tree.get(path).map(|node| View::Committed(tree, node)),
        }
    }

    /// Will the session be there? Neither closed nor unknown.
    pub(crate) fn session_is_open(&self, tree: &Tree, session: SessionId) -> bool {
        match self.sessions.get(&session) {
            Some(pending) => pending.open,
            None => tree.sessions.contains_key(&session),
        }
    }

    pub(crate) fn set_session(&mut self, tree: &Tree, zxid: Zxid, id: SessionId, open: bool) {
        self.digest = self.digest(tree);
        let session = self.sessions.entry(id).or_insert(PendingSession { open, changes: 0 });
        session.open = open;
        session.changes += 1;
        self.queue.push_back((zxid, Touched::Session(id)));
    }

    /// Replaces what a znode will be by what `change` makes of it.
    pub(crate) fn change(
        &mut self,
        tree: &Tree,
        zxid: Zxid,
        path: &str,
        change: impl FnOnce(Option<State>) -> Option<State>,
    ) {
        self.digest = self.digest(tree);
        let at = self.find(path).unwrap_or_else(|| {
            let state = tree.get(path).map(State::of);
            self.add(Record { path: path.into(), state, changes: 0 })
        });
        let record = &mut self.records[at as usize];
        let before = record.state.clone();
        let old = before.as_ref().map_or(0, |state| state.digest);
        let mut after = change(record.state.take());
        if let Some(state) = &mut after {
            let counted = tree.options.digest && !state.excluded;
            state.digest = if counted { node_digest(state.crc, &state.stat) } else { 0 };
        }
        let new = after.as_ref().map_or(0, |state| state.digest);
        record.state = after;
        record.changes += 1;
        self.digest = self.digest.wrapping_sub(u64::from(old)).wrapping_add(u64::from(new));
        self.undo.push((at, before));
        self.queue.push_back((zxid, Touched::Node(at)));
    }

    /// Begins a write: what it changes from here on can be undone.
    pub(crate) fn begin(&mut self, tree: &Tree) -> Mark {
        self.undo.clear();
        Mark { digest: self.digest(tree), queue_len: self.queue.len() }
    }

    /// Undoes all that was changed since [`Outstanding::begin`].
    pub(crate) fn roll_back(&mut self, mark: &Mark) {
        while let Some((at, before)) = self.undo.pop() {
            self.records[at as usize].state = before;
        }
        while self.queue.len() > mark.queue_len {
            if let Some((_, touched)) = self.queue.pop_back() {
                self.forget(touched);
            }
        }
        self.digest = mark.digest;
    }

    /// The session's ephemerals as they will be.
    pub(crate) fn ephemerals_of(&self, tree: &Tree, session: SessionId) -> BTreeSet<String> {
        let mut paths: BTreeSet<_> = tree.ephemerals_of(session).collect();
        for record in self.records.iter().filter(|record| record.changes > 0) {
            match &record.state {
                Some(state) if state.stat.ephemeral_owner == session.0 => {
                    paths.insert(record.path.to_string());
                }
                _ => {
                    paths.remove(&*record.path);
                }
            }
        }
        paths
    }

    fn find(&self, path: &str) -> Option<u32> {
        let found = self
            .by_path
            .find(self.hash.hash_one(path), |at| *self.records[*at as usize].path == *path);
        found.copied()
    }

    fn add(&mut self, record: Record) -> u32 {
        let hash = self.hash.hash_one(&*record.path);
        let at = if let Some(at) = self.free.pop() {
            self.records[at as usize] = record;
            at
        } else {
            self.records.push(record);
            u32::try_from(self.records.len() - 1).expect("bounded by the requests under way")
        };
        let (records, hasher) = (&self.records, &self.hash);
        self.by_path.insert_unique(hash, at, |at| hasher.hash_one(&*records[*at as usize].path));
        at
    }

    fn forget(&mut self, touched: Touched) {
        match touched {
            Touched::Session(id) => {
                if let Some(session) = self.sessions.get_mut(&id) {
                    session.changes -= 1;
                    if session.changes == 0 {
                        self.sessions.remove(&id);
                    }
                }
            }
            Touched::Node(at) => {
                let record = &mut self.records[at as usize];
                record.changes -= 1;
                if record.changes > 0 {
                    return;
                }
                record.state = None;
                let path = std::mem::take(&mut record.path);
                let hash = self.hash.hash_one(&*path);
                if let Ok(entry) = self.by_path.find_entry(hash, |other| *other == at) {
                    entry.remove();
                }
                self.free.push(at);
            }
        }
    }
}

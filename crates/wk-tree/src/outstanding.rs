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
use crate::quota::Change;
use crate::tree::{Tree, data_len};

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
    pub(crate) data_len: i64,
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
            data_len: data_len(node.data()),
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

    pub(crate) fn data_len(&self) -> i64 {
        match self {
            View::Committed(_, node) => data_len(node.data()),
            View::Pending(_, state) => state.data_len,
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

/// Room that is kept for the next changes once none is outstanding. A burst, such as the end of
/// many sessions at once, must not hold its memory for good.
const KEPT_LEN: usize = 1024;

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
    /// The records whose znode will be there with an owner, by owner. The end of a session asks for
    /// its own; going through all records would make the end of many sessions quadratic.
    owned: BTreeSet<(SessionId, u32)>,
    /// The tree's digest once all of this is applied; kept up while `queue` has entries.
    digest: u64,
    undo: Vec<(u32, Option<State>)>,
    /// What will be booked to quotas, with the path of each. Empty unless quotas are enforced.
    charges: VecDeque<(Zxid, Box<str>, Change)>,
    /// Their sum by path.
    charged: BTreeMap<Box<str>, Change>,
}

/// A point to which a failing multi goes back.
pub(crate) struct Mark {
    digest: u64,
    queue_len: usize,
    charges_len: usize,
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
        while let Some((_, target, change)) = self.charges.pop_front_if(|(zxid, ..)| *zxid <= upto)
        {
            self.uncharge(&target, change);
        }
        if self.queue.is_empty() {
            self.give_back();
        }
    }

    fn uncharge(&mut self, target: &str, change: Change) {
        if let Some(sum) = self.charged.get_mut(target) {
            *sum = sum.plus(Change { count: -change.count, bytes: -change.bytes });
        }
        if self.charges.is_empty() {
            self.charged.clear();
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
        let owners = [owner(before.as_ref()), owner(after.as_ref())];
        record.state = after;
        record.changes += 1;
        self.change_owner(at, owners);
        self.digest = self.digest.wrapping_sub(u64::from(old)).wrapping_add(u64::from(new));
        self.undo.push((at, before));
        self.queue.push_back((zxid, Touched::Node(at)));
    }

    /// Begins a write: what it changes from here on can be undone.
    pub(crate) fn begin(&mut self, tree: &Tree) -> Mark {
        self.undo.clear();
        Mark {
            digest: self.digest(tree),
            queue_len: self.queue.len(),
            charges_len: self.charges.len(),
        }
    }

    /// Undoes all that was changed since [`Outstanding::begin`].
    pub(crate) fn roll_back(&mut self, mark: &Mark) {
        while let Some((at, before)) = self.undo.pop() {
            let to = owner(before.as_ref());
            let undone = std::mem::replace(&mut self.records[at as usize].state, before);
            self.change_owner(at, [owner(undone.as_ref()), to]);
        }
        while self.queue.len() > mark.queue_len {
            if let Some((_, touched)) = self.queue.pop_back() {
                self.forget(touched);
            }
        }
        while self.charges.len() > mark.charges_len {
            if let Some((_, target, change)) = self.charges.pop_back() {
                self.uncharge(&target, change);
            }
        }
        self.digest = mark.digest;
    }

    /// Notes what a write will book to the quota of `target`.
    pub(crate) fn charge(&mut self, zxid: Zxid, target: &str, change: Change) {
        self.charges.push_back((zxid, target.into(), change));
        let sum = self.charged.entry(target.into()).or_default();
        *sum = sum.plus(change);
    }

    /// What is noted for the quota of `target`.
    pub(crate) fn charged(&self, target: &str) -> Change {
        self.charged.get(target).copied().unwrap_or_default()
    }

    /// The session's ephemerals as they will be.
    pub(crate) fn ephemerals_of(&self, tree: &Tree, session: SessionId) -> BTreeSet<String> {
        // Where there is a record, it speaks for the znode.
        let committed = tree.ephemerals_of(session).filter(|path| self.find(path).is_none());
        let pending = self.owned.range((session, 0)..=(session, u32::MAX));
        let pending = pending.map(|(_, at)| self.records[*at as usize].path.to_string());
        committed.chain(pending).collect()
    }

    /// Moves a record from one owner to another in `owned`.
    fn change_owner(&mut self, at: u32, [from, to]: [Option<SessionId>; 2]) {
        if from == to {
            return;
        }
        if let Some(from) = from {
            self.owned.remove(&(from, at));
        }
        if let Some(to) = to {
            self.owned.insert((to, at));
        }
    }

    /// Gives back what a burst of changes took; nothing is outstanding.
    fn give_back(&mut self) {
        self.records.clear();
        self.free.clear();
        self.undo.clear();
        self.by_path.clear();
        self.records.shrink_to(KEPT_LEN);
        self.free.shrink_to(KEPT_LEN);
        self.undo.shrink_to(KEPT_LEN);
        self.queue.shrink_to(KEPT_LEN);
        self.charges.shrink_to(KEPT_LEN);
        let (records, hasher) = (&self.records, &self.hash);
        self.by_path.shrink_to(KEPT_LEN, |at| hasher.hash_one(&*records[*at as usize].path));
    }

    fn find(&self, path: &str) -> Option<u32> {
        let found = self
            .by_path
            .find(self.hash.hash_one(path), |at| *self.records[*at as usize].path == *path);
        found.copied()
    }

    fn add(&mut self, record: Record) -> u32 {
        let hash = self.hash.hash_one(&*record.path);
        let owner = owner(record.state.as_ref());
        let at = if let Some(at) = self.free.pop() {
            self.records[at as usize] = record;
            at
        } else {
            self.records.push(record);
            u32::try_from(self.records.len() - 1).expect("bounded by the requests under way")
        };
        let (records, hasher) = (&self.records, &self.hash);
        self.by_path.insert_unique(hash, at, |at| hasher.hash_one(&*records[*at as usize].path));
        self.change_owner(at, [None, owner]);
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
                let owner = owner(record.state.take().as_ref());
                let path = std::mem::take(&mut record.path);
                let hash = self.hash.hash_one(&*path);
                if let Ok(entry) = self.by_path.find_entry(hash, |other| *other == at) {
                    entry.remove();
                }
                self.free.push(at);
                self.change_owner(at, [owner, None]);
            }
        }
    }
}

fn owner(state: Option<&State>) -> Option<SessionId> {
    state.map(|state| SessionId(state.stat.ephemeral_owner)).filter(|id| *id != SessionId::NONE)
}

#[cfg(test)]
mod tests {
    use wk_proto::client::request::Request;

    use super::*;
    use crate::testing::{ME, Server, create};
    use crate::tree::TreeOptions;

    const OTHER: SessionId = SessionId(ME.0 + 1);

    fn server() -> Server {
        let mut server = Server::new(TreeOptions::default());
        server.run(OTHER, &Request::CreateSession { timeout: 4000 });
        server
    }

    fn owned(server: &Server, session: SessionId) -> Vec<&str> {
        let Outstanding { owned, records, .. } = &server.outstanding;
        let mine = owned.iter().filter(|(owner, _)| *owner == session);
        mine.map(|(_, at)| &*records[*at as usize].path).collect()
    }

    fn closing(server: &Server, session: SessionId) -> Vec<String> {
        server.outstanding.ephemerals_of(&server.tree, session).into_iter().collect()
    }

    #[test]
    fn a_session_that_ends_is_asked_for_its_own_records_only() {
        let mut s = server();
        s.create("/old", 1);
        s.prepare(ME, &create("/mine", 1));
        s.prepare(OTHER, &create("/theirs", 1));
        s.prepare(ME, &create("/p", 0));
        s.prepare(ME, &Request::Delete { path: "/old", version: -1 });
        assert_eq!((owned(&s, ME), owned(&s, OTHER)), (vec!["/mine"], vec!["/theirs"]));
        assert_eq!(closing(&s, ME), ["/mine"]);
        // Undone: one that comes, one that goes.
        let ops = [
            create("/undone", 1),
            Request::Delete { path: "/mine", version: -1 },
            Request::Delete { path: "/missing", version: -1 },
        ];
        s.prepare(ME, &Request::Multi(ops.into()));
        assert_eq!(owned(&s, ME), ["/mine"]);
        while s.apply_next() {}
        assert!(s.outstanding.owned.is_empty());
        assert_eq!(closing(&s, ME), ["/mine"]);
        // A committed one that only changes stays its owner's.
        s.prepare(ME, &crate::testing::set("/mine", b"new", -1));
        assert_eq!((owned(&s, ME), closing(&s, ME)), (vec!["/mine"], vec!["/mine".to_owned()]));
    }

    #[test]
    fn a_burst_leaves_no_memory_behind() {
        let mut s = server();
        for i in 0..4 * KEPT_LEN {
            s.prepare(ME, &create(&format!("/e{i}"), 1));
        }
        assert!(s.outstanding.records.capacity() > 2 * KEPT_LEN);
        s.prepare(ME, &Request::CloseSession);
        while s.apply_next() {}
        let Outstanding { records, free, by_path, queue, undo, .. } = &s.outstanding;
        assert_eq!((records.len(), free.len(), by_path.len()), (0, 0, 0));
        let capacities = [records.capacity(), free.capacity(), queue.capacity(), undo.capacity()];
        assert!(capacities.iter().all(|capacity| *capacity <= KEPT_LEN), "{capacities:?}");
        // A hash table keeps some of its room free.
        assert!(by_path.capacity() <= 2 * KEPT_LEN);
        assert_eq!(s.tree.counts().ephemerals, 0);
    }
}

//! Who wants to be told about what.
//!
//! Watches belong to connections. Apache keeps two tables, for data and for children, and three modes
//! in each; here one small set of bits per connection and path says the same, in two ordered maps, so
//! that a connection's end and a path's event each touch only their own entries and always in the
//! same order.

use std::collections::{BTreeMap, BTreeSet};
use std::hash::BuildHasher;

use hashbrown::HashTable;
use wk_proto::Zxid;
use wk_proto::client::request::WatcherType;
use wk_proto::client::response::EventType;

use crate::apply::TreeEvent;
use crate::tree::Tree;

/// A connection, as its owner numbers it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct WatcherId(pub u64);

impl WatcherId {
    const FIRST: Self = Self(u64::MIN);
    const LAST: Self = Self(u64::MAX);
}

/// How somebody watches.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum WatchKind {
    /// Once, data and existence (getData, exists).
    Data,
    /// Once, the list of children (getChildren).
    Child,
    /// Until removed, both.
    Persistent,
    /// Until removed, the znode and all below it; child lists never.
    Recursive,
}

/// A one-shot watch that a client arms again after a reconnect (setWatches).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rearm {
    /// On data.
    Data,
    /// On the appearance of a znode.
    Exist,
    /// On children.
    Child,
}

type Modes = u8;
const DATA: Modes = 1;
const CHILD: Modes = 2;
const PERSISTENT: Modes = 4;
const RECURSIVE: Modes = 8;
/// What Apache's data table has.
const IN_DATA_TABLE: Modes = DATA | PERSISTENT | RECURSIVE;
/// What Apache's child table has.
const IN_CHILD_TABLE: Modes = CHILD | PERSISTENT;

impl WatchKind {
    fn mode(self) -> Modes {
        match self {
            Self::Data => DATA,
            Self::Child => CHILD,
            Self::Persistent => PERSISTENT,
            Self::Recursive => RECURSIVE,
        }
    }
}

fn modes_of(kind: WatcherType) -> Modes {
    match kind {
        WatcherType::Children => CHILD,
        WatcherType::Data => DATA,
        WatcherType::Persistent => PERSISTENT,
        WatcherType::PersistentRecursive => RECURSIVE,
        WatcherType::Any => Modes::MAX,
    }
}

/// How much is watched.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct WatchCounts {
    /// Pairs of connection and path in both of Apache's tables (`watch_count`).
    pub watches: usize,
    /// Pairs in the data table alone (`wchs`).
    pub data_watches: usize,
    /// Connections in the data table.
    pub connections: usize,
    /// Paths in the data table.
    pub paths: usize,
}

#[derive(Debug)]
struct Slot {
    path: Box<str>,
    /// Connections that watch it; at 0 the slot is free.
    watchers: u32,
}

/// All watches of a server.
#[derive(Debug, Default)]
pub struct Watches {
    slots: Vec<Slot>,
    free: Vec<u32>,
    by_path: HashTable<u32>,
    hash: foldhash::fast::FixedState,
    /// Modes are never 0.
    modes: BTreeMap<(u32, WatcherId), Modes>,
    /// The same pairs, the other way round.
    by_watcher: BTreeSet<(WatcherId, u32)>,
    /// Pairs with [`RECURSIVE`]: at 0 nobody above a path need be looked for.
    recursive: usize,
    data_pairs: usize,
    child_pairs: usize,
    /// Whom the event at hand concerns; kept for its memory.
    told: Vec<WatcherId>,
}

impl Watches {
    /// Nobody watches.
    pub fn new() -> Self {
        Self::default()
    }

    /// Arms a watch.
    pub fn add(&mut self, path: &str, watcher: WatcherId, kind: WatchKind) {
        let at = self.find(path).unwrap_or_else(|| self.add_path(path));
        let old = self.modes.get(&(at, watcher)).copied().unwrap_or(0);
        self.set_modes(at, watcher, old, old | kind.mode());
    }

    /// Arms a one-shot watch again, or says what its owner missed since `seen`.
    pub fn rearm(
        &mut self,
        tree: &Tree,
        seen: Zxid,
        what: Rearm,
        path: &str,
        watcher: WatcherId,
    ) -> Option<EventType> {
        let stat = tree.stat(path);
        let missed = match (what, stat) {
            (Rearm::Data | Rearm::Child, None) => Some(EventType::NodeDeleted),
            (Rearm::Data, Some(stat)) => (stat.mzxid > seen).then_some(EventType::NodeDataChanged),
            (Rearm::Child, Some(stat)) => {
                (stat.pzxid > seen).then_some(EventType::NodeChildrenChanged)
            }
            (Rearm::Exist, stat) => stat.map(|_| EventType::NodeCreated),
        };
        if missed.is_none() {
            let child = what == Rearm::Child;
            self.add(path, watcher, if child { WatchKind::Child } else { WatchKind::Data });
        }
        missed
    }

    /// Finds who is to be told of an event, each connection once, and consumes one-shot watches.
    /// Whether a connection may read the znode is for the caller to see.
    pub fn trigger(
        &mut self,
        event: &TreeEvent<'_>,
        mut tell: impl FnMut(WatcherId, EventType, &str),
    ) {
        if self.modes.is_empty() {
            return;
        }
        let (told_of, consumed) = match event.kind {
            EventType::NodeCreated | EventType::NodeDataChanged => (IN_DATA_TABLE, DATA),
            EventType::NodeChildrenChanged => (IN_CHILD_TABLE, CHILD),
            // Both tables; who is told by the one is not told again by the other.
            EventType::NodeDeleted => (IN_DATA_TABLE | IN_CHILD_TABLE, DATA | CHILD),
        };
        let mut told = std::mem::take(&mut self.told);
        if let Some(at) = self.find(event.path) {
            told.extend(self.watchers_of(at, told_of));
            for watcher in &told {
                let old = self.modes[&(at, *watcher)];
                self.set_modes(at, *watcher, old, old & !consumed);
            }
        }
        if self.recursive > 0 && event.kind != EventType::NodeChildrenChanged {
            let mut path = event.path;
            while let Some(parent) = parent_of(path) {
                if let Some(at) = self.find(parent) {
                    told.extend(self.watchers_of(at, RECURSIVE));
                }
                path = parent;
            }
            told.sort_unstable();
            told.dedup();
        }
        for watcher in told.drain(..) {
            tell(watcher, event.kind, event.path);
        }
        self.told = told;
    }

    /// Has the connection such a watch on the path?
    pub fn contains(&self, path: &str, watcher: WatcherId, kind: WatcherType) -> bool {
        let modes = self.find(path).and_then(|at| self.modes.get(&(at, watcher)));
        modes.is_some_and(|modes| modes & modes_of(kind) != 0)
    }

    /// Disarms the connection's watches of this kind on the path; false if there were none.
    pub fn remove(&mut self, path: &str, watcher: WatcherId, kind: WatcherType) -> bool {
        let Some(at) = self.find(path) else { return false };
        let Some(old) = self.modes.get(&(at, watcher)).copied() else { return false };
        let new = old & !modes_of(kind);
        self.set_modes(at, watcher, old, new);
        old != new
    }

    /// The connection is gone, and its watches with it.
    pub fn drop_watcher(&mut self, watcher: WatcherId) {
        while let Some((_, at)) = self.by_watcher.range((watcher, 0)..=(watcher, u32::MAX)).next() {
            let at = *at;
            let old = self.modes[&(at, watcher)];
            self.set_modes(at, watcher, old, 0);
        }
    }

    /// Pairs of connection and path in both tables (`watch_count`), at no cost.
    pub fn len(&self) -> usize {
        self.data_pairs + self.child_pairs
    }

    /// Does nobody watch?
    pub fn is_empty(&self) -> bool {
        self.modes.is_empty()
    }

    /// How much is watched; walks over all of it.
    pub fn counts(&self) -> WatchCounts {
        let mut counts = WatchCounts {
            watches: self.len(),
            data_watches: self.data_pairs,
            ..WatchCounts::default()
        };
        let mut last = None;
        for (watcher, _) in self.by_watcher() {
            if last.replace(watcher) != Some(watcher) {
                counts.connections += 1;
            }
        }
        let mut last = None;
        for ((at, _), modes) in &self.modes {
            if modes & IN_DATA_TABLE != 0 && last.replace(*at) != Some(*at) {
                counts.paths += 1;
            }
        }
        counts
    }

    /// The data table by connection (`wchc`).
    pub fn by_watcher(&self) -> impl Iterator<Item = (WatcherId, &str)> {
        self.by_watcher
            .iter()
            .filter(|(watcher, at)| self.modes[&(*at, *watcher)] & IN_DATA_TABLE != 0)
            .map(|(watcher, at)| (*watcher, &*self.slots[*at as usize].path))
    }

    /// The data table by path (`wchp`); the entries of a path follow each other.
    pub fn by_path(&self) -> impl Iterator<Item = (&str, WatcherId)> {
        self.modes
            .iter()
            .filter(|(_, modes)| **modes & IN_DATA_TABLE != 0)
            .map(|((at, watcher), _)| (&*self.slots[*at as usize].path, *watcher))
    }

    fn watchers_of(&self, at: u32, modes: Modes) -> impl Iterator<Item = WatcherId> {
        self.modes
            .range((at, WatcherId::FIRST)..=(at, WatcherId::LAST))
            .filter(move |(_, has)| **has & modes != 0)
            .map(|((_, watcher), _)| *watcher)
    }

    fn find(&self, path: &str) -> Option<u32> {
        let hash = self.hash.hash_one(path);
        self.by_path.find(hash, |at| *self.slots[*at as usize].path == *path).copied()
    }

    fn add_path(&mut self, path: &str) -> u32 {
        let hash = self.hash.hash_one(path);
        let slot = Slot { path: path.into(), watchers: 0 };
        let at = if let Some(at) = self.free.pop() {
            self.slots[at as usize] = slot;
            at
        } else {
            self.slots.push(slot);
            u32::try_from(self.slots.len() - 1).expect("fewer than 2^32 watched paths")
        };
        let (slots, hasher) = (&self.slots, &self.hash);
        self.by_path.insert_unique(hash, at, |at| hasher.hash_one(&*slots[*at as usize].path));
        at
    }

    /// The one place where a pair's modes change, and the counts with them.
    fn set_modes(&mut self, at: u32, watcher: WatcherId, old: Modes, new: Modes) {
        if old == new {
            return;
        }
        let count = |counter: &mut usize, table: Modes| {
            *counter += usize::from(new & table != 0);
            *counter -= usize::from(old & table != 0);
        };
        count(&mut self.recursive, RECURSIVE);
        count(&mut self.data_pairs, IN_DATA_TABLE);
        count(&mut self.child_pairs, IN_CHILD_TABLE);
        if new != 0 {
            self.modes.insert((at, watcher), new);
            if old == 0 {
                self.by_watcher.insert((watcher, at));
                self.slots[at as usize].watchers += 1;
            }
            return;
        }
        self.modes.remove(&(at, watcher));
        self.by_watcher.remove(&(watcher, at));
        let slot = &mut self.slots[at as usize];
        slot.watchers -= 1;
        if slot.watchers == 0 {
            let hash = self.hash.hash_one(&*slot.path);
            slot.path = Box::default();
            if let Ok(entry) = self.by_path.find_entry(hash, |other| *other == at) {
                entry.remove();
            }
            self.free.push(at);
        }
    }
}

/// The path above; none above the root.
fn parent_of(path: &str) -> Option<&str> {
    match path.rfind('/')? {
        0 if path.len() == 1 => None,
        0 => Some("/"),
        at => Some(&path[..at]),
    }
}

#[cfg(test)]
mod tests;

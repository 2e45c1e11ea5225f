//! What each connection watches, and what it must be told: each event once, before any reply that
//! shows the new state.

use std::collections::{BTreeMap, BTreeSet};

use wk_proto::client::{EventType, Request, WatcherEvent};
use wk_proto::{OpCode, Zxid};

/// One connection's one-shot watches, as Apache's two tables.
#[derive(Debug, Default)]
struct Watcher {
    data: BTreeSet<String>,
    child: BTreeSet<String>,
    /// Events that it has not been told of yet.
    due: Vec<(Zxid, EventType, String)>,
}

/// All connections' watches.
#[derive(Debug, Default)]
pub(crate) struct Watching(BTreeMap<u64, Watcher>);

impl Watching {
    /// A read that may arm a watch has been answered.
    pub(crate) fn answered(&mut self, conn: u64, request: &Request<'_>, err: i32) {
        let Request::Read { op, path, watch: true } = request else { return };
        let watcher = self.0.entry(conn).or_default();
        if *op == OpCode::Exists || (*op == OpCode::GetData && err == 0) {
            watcher.data.insert((*path).to_owned());
        } else if err == 0 {
            watcher.child.insert((*path).to_owned());
        }
    }

    /// Something has happened to a znode: who watches it must be told.
    pub(crate) fn happened(&mut self, zxid: Zxid, kind: EventType, path: &str) {
        for watcher in self.0.values_mut() {
            let told = match kind {
                EventType::NodeChildrenChanged => watcher.child.remove(path),
                EventType::NodeCreated | EventType::NodeDataChanged => watcher.data.remove(path),
                // Once, though both may be armed.
                EventType::NodeDeleted => watcher.data.remove(path) | watcher.child.remove(path),
            };
            if told {
                watcher.due.push((zxid, kind, path.to_owned()));
            }
        }
    }

    /// A connection is told of an event.
    pub(crate) fn told(
        &mut self,
        conn: u64,
        zxid: Zxid,
        event: &WatcherEvent<'_>,
    ) -> Result<(), String> {
        let due = self.0.get_mut(&conn).map(|watcher| &mut watcher.due);
        // The order within one txn is not fixed where a session's ephemerals go.
        let is_it = |d: &(Zxid, EventType, String)| *d == (zxid, event.kind, event.path.to_owned());
        let found = due.and_then(|due| due.iter().position(is_it).map(|at| due.remove(at)));
        found.map(|_| ()).ok_or_else(|| format!("{event:?} at {zxid} is no watch's of {conn}"))
    }

    /// A connection gets a reply that shows the state at `zxid`.
    pub(crate) fn replied(&self, conn: u64, zxid: Zxid) -> Result<(), String> {
        let missed = self.0.get(&conn).and_then(|w| w.due.iter().find(|(at, ..)| *at <= zxid));
        missed.map_or(Ok(()), |missed| {
            Err(format!("{conn} gets a reply at {zxid} and has not been told of {missed:?}"))
        })
    }

    pub(crate) fn forget(&mut self, conn: u64) {
        self.0.remove(&conn);
    }

    pub(crate) fn forget_all(&mut self) {
        self.0.clear();
    }
}

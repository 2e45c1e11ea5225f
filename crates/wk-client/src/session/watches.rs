//! The watches that this client holds: who is told of which event, and what to send again after a
//! reconnect.
//!
//! A server keeps one watch for each connection, path and mode however many of our callers asked
//! for it, and sends one event; this table fans it out (`ZKWatchManager`, 3.9).

use std::collections::BTreeMap;

use wk_proto::client::response::EventType;

/// One caller's watch. Numbers are never used twice within a client.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct WatchId(pub u64);

/// What a watch waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum WatchKind {
    /// One-shot, set by getData or by exists on a znode that is there.
    Data,
    /// One-shot, set by exists on a znode that is missing.
    Exist,
    /// One-shot, set by getChildren.
    Child,
    /// Stays; the znode and its list of children.
    Persistent,
    /// Stays; the znode and all below it.
    Recursive,
}

impl WatchKind {
    /// All kinds.
    pub(crate) const ALL: [Self; 5] =
        [Self::Data, Self::Exist, Self::Child, Self::Persistent, Self::Recursive];

    /// Does it stay after an event?
    pub(crate) fn stays(self) -> bool {
        matches!(self, Self::Persistent | Self::Recursive)
    }
}

type Table = BTreeMap<String, Vec<WatchId>>;

/// All watches of one client, by kind and path.
#[derive(Clone, Debug, Default)]
pub(crate) struct Watches {
    tables: [Table; 5],
    places: BTreeMap<WatchId, (WatchKind, String)>,
}

impl Watches {
    fn table(&mut self, kind: WatchKind) -> &mut Table {
        &mut self.tables[kind as usize]
    }

    pub(crate) fn add(&mut self, kind: WatchKind, path: &str, id: WatchId) {
        self.table(kind).entry(path.to_owned()).or_default().push(id);
        self.places.insert(id, (kind, path.to_owned()));
    }

    /// Forgets one watch; returns its place if it was the last one there.
    pub(crate) fn remove(&mut self, id: WatchId) -> Option<(WatchKind, String)> {
        let (kind, path) = self.places.remove(&id)?;
        let table = self.table(kind);
        let ids = table.get_mut(&path)?;
        ids.retain(|other| *other != id);
        if !ids.is_empty() {
            return None;
        }
        table.remove(&path);
        Some((kind, path))
    }

    /// Forgets all watches of these kinds on a path, as removeWatches does.
    pub(crate) fn remove_all(&mut self, kinds: &[WatchKind], path: &str) -> Vec<WatchId> {
        let mut gone = Vec::new();
        for kind in kinds {
            gone.extend(self.table(*kind).remove(path).unwrap_or_default());
        }
        for id in &gone {
            self.places.remove(id);
        }
        gone
    }

    /// Who is told of an event; one-shot watches are used up by it.
    pub(crate) fn fire(&mut self, change: EventType, path: &str) -> Vec<WatchId> {
        use WatchKind::{Child, Data, Exist, Persistent, Recursive};
        let (used, stays): (&[WatchKind], bool) = match change {
            EventType::NodeCreated | EventType::NodeDataChanged => (&[Data, Exist], true),
            EventType::NodeDeleted => (&[Data, Exist, Child], true),
            EventType::NodeChildrenChanged => (&[Child], false),
        };
        let mut told = self.remove_all(used, path);
        told.extend(self.table(Persistent).get(path).into_iter().flatten());
        if stays {
            let recursive = self.table(Recursive);
            for above in ancestors(path) {
                told.extend(recursive.get(above).into_iter().flatten());
            }
        }
        told
    }

    /// Ends every one-shot watch: the session that held them is over.
    pub(crate) fn drop_one_shots(&mut self) -> Vec<WatchId> {
        let mut gone = Vec::new();
        for kind in WatchKind::ALL.into_iter().filter(|kind| !kind.stays()) {
            for (_, ids) in std::mem::take(self.table(kind)) {
                gone.extend(ids);
            }
        }
        for id in &gone {
            self.places.remove(id);
        }
        gone
    }

    /// Ends all watches.
    pub(crate) fn drop_all(&mut self) -> Vec<WatchId> {
        self.tables = Default::default();
        std::mem::take(&mut self.places).into_keys().collect()
    }

    /// Every watch that stays, to be told of a gap.
    pub(crate) fn staying(&self) -> Vec<WatchId> {
        let stays = self.places.iter().filter(|(_, (kind, _))| kind.stays());
        stays.map(|(id, _)| *id).collect()
    }

    pub(crate) fn holds(&self, kind: WatchKind, path: &str) -> bool {
        self.tables[kind as usize].contains_key(path)
    }

    /// The packets that arm everything again: at most `limit` bytes of paths each (a single longer
    /// path goes alone), in the order of the kinds.
    pub(crate) fn rearm_chunks(&self, limit: usize) -> Vec<[Vec<&str>; 5]> {
        let mut chunks = Vec::new();
        let mut chunk: [Vec<&str>; 5] = Default::default();
        let mut len = 0;
        for kind in WatchKind::ALL {
            for path in self.tables[kind as usize].keys() {
                if len > 0 && len + path.len() + 4 > limit {
                    chunks.push(std::mem::take(&mut chunk));
                    len = 0;
                }
                chunk[kind as usize].push(path);
                len += path.len() + 4;
            }
        }
        if len > 0 {
            chunks.push(chunk);
        }
        chunks
    }

    pub(crate) fn len(&self) -> usize {
        self.places.len()
    }
}

/// The path itself and every path above it, the root last.
fn ancestors(path: &str) -> impl Iterator<Item = &str> {
    std::iter::successors(Some(path), |path| {
        if *path == "/" {
            return None;
        }
        let at = path.rfind('/')?;
        Some(if at == 0 { "/" } else { &path[..at] })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ids(list: &[u64]) -> Vec<WatchId> {
        list.iter().copied().map(WatchId).collect()
    }

    #[test]
    fn deletion_uses_up_one_shots_and_reaches_recursive_watches_above() {
        let mut watches = Watches::default();
        watches.add(WatchKind::Data, "/a/b", WatchId(1));
        watches.add(WatchKind::Child, "/a/b", WatchId(2));
        watches.add(WatchKind::Persistent, "/a/b", WatchId(3));
        watches.add(WatchKind::Recursive, "/", WatchId(4));
        watches.add(WatchKind::Recursive, "/a/bb", WatchId(5));
        assert_eq!(watches.fire(EventType::NodeDeleted, "/a/b"), ids(&[1, 2, 3, 4]));
        assert_eq!(watches.fire(EventType::NodeCreated, "/a/b"), ids(&[3, 4]));
    }

    #[test]
    fn list_of_children_is_no_event_for_recursive_watches() {
        let mut watches = Watches::default();
        watches.add(WatchKind::Recursive, "/a", WatchId(1));
        watches.add(WatchKind::Persistent, "/a", WatchId(2));
        assert_eq!(watches.fire(EventType::NodeChildrenChanged, "/a"), ids(&[2]));
    }

    #[test]
    fn rearm_is_cut_at_the_limit_and_misses_nothing() {
        let mut watches = Watches::default();
        for n in 0..100 {
            watches.add(WatchKind::Data, &format!("/data/{n:04}"), WatchId(n));
            watches.add(WatchKind::Recursive, &format!("/tree/{n:04}"), WatchId(1000 + n));
        }
        let chunks = watches.rearm_chunks(100);
        let mut seen = 0;
        for chunk in &chunks {
            let bytes: usize = chunk.iter().flatten().map(|p| p.len() + 4).sum();
            assert!(bytes <= 100, "{bytes}");
            seen += chunk.iter().flatten().count();
        }
        assert_eq!(seen, 200);
    }

    #[test]
    fn last_one_out_says_so() {
        let mut watches = Watches::default();
        watches.add(WatchKind::Persistent, "/a", WatchId(1));
        watches.add(WatchKind::Persistent, "/a", WatchId(2));
        assert_eq!(watches.remove(WatchId(1)), None);
        assert_eq!(watches.remove(WatchId(2)), Some((WatchKind::Persistent, "/a".to_owned())));
        assert_eq!(watches.len(), 0);
    }
}

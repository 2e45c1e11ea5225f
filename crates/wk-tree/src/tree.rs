//! The tree itself: how znodes are found, added and removed, with digest, sizes and the sets of
//! ephemerals, containers and TTL znodes kept in step.

use std::collections::{BTreeMap, BTreeSet};

use wk_proto::sabotage::{Sabotage, is_on};
use wk_proto::{Acl, AclList, Perms, SessionId, StatPersisted, Zxid, path};

use crate::acl_table::{AclId, AclTable};
use crate::auth::AuthOptions;
use crate::image::Walk;
use crate::index::Index;
use crate::node::{NIL, Node, NodeId, OwnerKind, ROOT, Slab, content_crc, node_digest};
use crate::quota::Quotas;

/// How a tree behaves. Members of an ensemble must agree on all but `hash_seed`.
#[derive(Clone, Debug)]
pub struct TreeOptions {
    /// TTL znodes (`zookeeper.extendedTypesEnabled`). Default off.
    pub extended_types: bool,
    /// Keep the tree's digest (`zookeeper.digest.enabled`). Default on.
    pub digest: bool,
    /// Is `reconfig` allowed (`reconfigEnabled`)? A standalone server answers another error then.
    pub reconfig: bool,
    /// Refuse what a hard quota does not allow (`zookeeper.enforceQuota`). Default off.
    pub enforce_quota: bool,
    /// Who may be whom.
    pub auth: AuthOptions,
    /// Seed of the index: make it hard to guess, so that nobody can choose names that collide.
    pub hash_seed: u64,
}

impl Default for TreeOptions {
    fn default() -> Self {
        Self {
            extended_types: false,
            digest: true,
            reconfig: false,
            enforce_quota: false,
            auth: AuthOptions::default(),
            hash_seed: 0,
        }
    }
}

/// How much there is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Counts {
    /// Znodes, the root counted twice as Apache does.
    pub nodes: usize,
    /// Ephemerals of all sessions.
    pub ephemerals: usize,
    /// Bytes of all paths (UTF-16 units, as Apache) and data.
    pub approximate_data_size: i64,
    /// Sessions.
    pub sessions: usize,
}

/// The committed state: znodes, ACLs, sessions, digest, position in the history.
#[derive(Debug)]
pub struct Tree {
    pub(crate) options: TreeOptions,
    pub(crate) nodes: Slab,
    index: Index,
    pub(crate) acls: AclTable,
    /// Negotiated timeouts in milliseconds.
    pub(crate) sessions: BTreeMap<SessionId, i32>,
    /// Exactly the znodes whose owner is that session.
    pub(crate) ephemerals: BTreeSet<(SessionId, NodeId)>,
    pub(crate) containers: BTreeSet<NodeId>,
    pub(crate) ttls: BTreeSet<NodeId>,
    pub(crate) quotas: Quotas,
    /// Wrapping sum of the nodes' digests; 0 with digests off.
    pub(crate) digest: u64,
    pub(crate) last_zxid: Zxid,
    pub(crate) data_size: i64,
    /// The snapshot being written, if there is one.
    pub(crate) walk: Option<Walk>,
}

/// Where the system's own znodes live.
pub(crate) const SYSTEM: &str = "/zookeeper";
/// The configuration znode.
pub(crate) const CONFIG: &str = "/zookeeper/config";

/// Is this one of the four znodes that cannot be deleted?
pub(crate) fn is_special(path: &str) -> bool {
    matches!(path, "/" | SYSTEM | "/zookeeper/quota" | CONFIG)
}

/// Length as Java counts it.
pub(crate) fn java_len(text: &str) -> i64 {
    let len = if text.is_ascii() { text.len() } else { text.encode_utf16().count() };
    i64::try_from(len).unwrap_or(i64::MAX)
}

/// Parent and name of a path that is not the root's.
pub(crate) fn split(path: &str) -> Option<(&str, &str)> {
    path::split(path).filter(|(_, name)| !name.is_empty())
}

impl Tree {
    /// A fresh tree: the root, `/zookeeper`, `/zookeeper/quota` and `/zookeeper/config`.
    pub fn new(options: TreeOptions) -> Self {
        let mut tree = Self::bare(options);
        let stat = StatPersisted::default();
        tree.insert_root(Some(b""), AclId::OPEN, &stat);
        let readable = AclList::from_acls(&[Acl::new(Perms::READ, "world", "anyone")]);
        let config_stat = StatPersisted { aversion: -1, ..stat };
        let root = tree.lookup("/").expect("made just before");
        tree.insert(SYSTEM, root, "zookeeper", Some(b""), AclId::OPEN, &stat);
        let system = tree.lookup(SYSTEM).expect("made just before");
        // In the order in which Apache's first snapshot has them.
        let acl = tree.acls.acquire(&readable);
        tree.insert(CONFIG, system, "config", Some(b""), acl, &config_stat);
        tree.insert("/zookeeper/quota", system, "quota", Some(b""), AclId::OPEN, &stat);
        tree
    }

    /// A tree without even a root.
    pub(crate) fn bare(options: TreeOptions) -> Self {
        Self {
            index: Index::new(options.hash_seed),
            options,
            nodes: Slab::new(),
            acls: AclTable::default(),
            sessions: BTreeMap::new(),
            ephemerals: BTreeSet::new(),
            containers: BTreeSet::new(),
            ttls: BTreeSet::new(),
            quotas: Quotas::default(),
            digest: 0,
            last_zxid: Zxid::ZERO,
            data_size: 0,
            walk: None,
        }
    }

    /// The options that it was made with.
    pub fn options(&self) -> &TreeOptions {
        &self.options
    }

    /// Digest of all znodes outside `/zookeeper/` (version 2); 0 when digests are off.
    pub fn digest(&self) -> u64 {
        self.digest
    }

    /// The last txn that was applied.
    pub fn last_zxid(&self) -> Zxid {
        self.last_zxid
    }

    /// Says where in the history a tree stands that was loaded from a snapshot.
    pub fn set_last_zxid(&mut self, zxid: Zxid) {
        self.last_zxid = zxid;
    }

    /// How much there is.
    pub fn counts(&self) -> Counts {
        Counts {
            nodes: self.nodes.len() + 1,
            ephemerals: self.ephemerals.len(),
            approximate_data_size: self.data_size,
            sessions: self.sessions.len(),
        }
    }

    /// All sessions and their timeouts in milliseconds.
    pub fn sessions(&self) -> impl Iterator<Item = (SessionId, i32)> {
        self.sessions.iter().map(|(id, timeout)| (*id, *timeout))
    }

    /// A session's timeout in milliseconds; `None` if there is no such session.
    pub fn session_timeout(&self, session: SessionId) -> Option<i32> {
        self.sessions.get(&session).copied()
    }

    /// Deletes the ephemerals of sessions that are not in the table, as Apache does after loading.
    /// Returns their paths.
    pub fn remove_orphaned_ephemerals(&mut self) -> Vec<String> {
        // Broken on purpose, for the simulator to find.
        if is_on(Sabotage::EphemeralKept) {
            return Vec::new();
        }
        let orphans: Vec<_> = self
            .ephemerals
            .iter()
            .filter(|(owner, _)| !self.sessions.contains_key(owner))
            .map(|(_, id)| self.path_of(*id))
            .collect();
        let zxid = self.last_zxid;
        for path in &orphans {
            self.delete_quietly(path, zxid);
        }
        orphans
    }

    pub(crate) fn lookup(&self, path: &str) -> Option<NodeId> {
        // "" is another name of the root (as in Apache's node map).
        let Some(rest) = path.strip_prefix('/') else {
            return path.is_empty().then_some(ROOT);
        };
        if rest.is_empty() {
            return Some(ROOT);
        }
        let mut id = ROOT;
        for name in rest.as_bytes().split(|b| *b == b'/') {
            id = self.child(id, name)?;
        }
        Some(id)
    }

    pub(crate) fn child(&self, parent: NodeId, name: &[u8]) -> Option<NodeId> {
        self.index.find(&self.nodes, parent, name)
    }

    pub(crate) fn get(&self, path: &str) -> Option<&Node> {
        self.lookup(path).map(|id| self.nodes.get(id))
    }

    pub(crate) fn path_of(&self, id: NodeId) -> String {
        let mut names = Vec::new();
        let mut at = id;
        while at != ROOT {
            let node = self.nodes.get(at);
            names.push(node.name());
            at = node.parent;
        }
        if names.is_empty() {
            return "/".to_owned();
        }
        names.iter().rev().flat_map(|name| ["/", name]).collect()
    }

    pub(crate) fn kind(&self, node: &Node) -> OwnerKind {
        OwnerKind::of(node.owner, self.options.extended_types)
    }

    pub(crate) fn insert_root(&mut self, data: Option<&[u8]>, acl: AclId, stat: &StatPersisted) {
        let root = self.nodes.insert(Node::new(NIL, "", data, acl, stat));
        assert_eq!(root, ROOT, "the root comes first");
        self.data_size += 1 + data_len(data) * 2;
        self.seal_content(ROOT, "/");
    }

    /// Adds a znode below `parent`; nothing else of the parent changes than its list.
    pub(crate) fn insert(
        &mut self,
        path: &str,
        parent: NodeId,
        name: &str,
        data: Option<&[u8]>,
        acl: AclId,
        stat: &StatPersisted,
    ) -> NodeId {
        let mut node = Node::new(parent, name, data, acl, stat);
        let above = self.nodes.get(parent);
        let first = above.first_child;
        if above.is_excluded_from_digest() || (above.parent == ROOT && above.name() == "zookeeper")
        {
            node.exclude_from_digest();
        }
        let id = self.nodes.insert(node);
        self.link(id, parent, first);
        self.index.insert(&self.nodes, id);
        match OwnerKind::of(stat.ephemeral_owner, self.options.extended_types) {
            OwnerKind::Persistent => {}
            OwnerKind::Ephemeral(session) => {
                self.ephemerals.insert((session, id));
            }
            OwnerKind::Container => {
                self.containers.insert(id);
            }
            OwnerKind::Ttl(_) => {
                self.ttls.insert(id);
            }
        }
        self.data_size += java_len(path) + data_len(data);
        self.seal_content(id, path);
        id
    }

    /// Appends to the list of siblings, which runs in order of creation.
    fn link(&mut self, id: NodeId, parent: NodeId, first: NodeId) {
        if first == NIL {
            self.nodes.get_mut(id).prev = id;
            self.nodes.get_mut(parent).first_child = id;
        } else {
            let last = std::mem::replace(&mut self.nodes.get_mut(first).prev, id);
            self.nodes.get_mut(last).next = id;
            self.nodes.get_mut(id).prev = last;
        }
        self.nodes.get_mut(parent).children += 1;
    }

    fn unlink(&mut self, id: NodeId) {
        let node = self.nodes.get(id);
        let (parent, next, prev) = (node.parent, node.next, node.prev);
        let first = self.nodes.get(parent).first_child;
        if first == id {
            self.nodes.get_mut(parent).first_child = next;
        } else {
            self.nodes.get_mut(prev).next = next;
        }
        // Whose `prev` pointed here: the next sibling, or at the end of the list the first one.
        let behind = if next == NIL { first } else { next };
        if behind != id {
            self.nodes.get_mut(behind).prev = prev;
        }
        self.nodes.get_mut(parent).children -= 1;
    }

    /// Removes a znode that has no children; nothing else of its parent changes than its list.
    pub(crate) fn remove(&mut self, id: NodeId, path: &str) -> Node {
        if let Some(mut walk) = self.walk.take() {
            walk.step_off(self, id);
            self.walk = Some(walk);
        }
        self.unlink(id);
        let node = self.nodes.get(id);
        assert!(id != ROOT && node.first_child == NIL, "only leaves are removed");
        self.index.remove(&self.nodes, id);
        let node = self.nodes.remove(id);
        match self.kind(&node) {
            OwnerKind::Persistent => {}
            OwnerKind::Ephemeral(session) => {
                self.ephemerals.remove(&(session, id));
            }
            OwnerKind::Container => {
                self.containers.remove(&id);
            }
            OwnerKind::Ttl(_) => {
                self.ttls.remove(&id);
            }
        }
        self.digest = self.digest.wrapping_sub(u64::from(node.digest));
        self.data_size -= java_len(path) + data_len(node.data());
        self.acls.release(node.acl);
        node
    }

    /// Changes a znode's stat, digest kept in step.
    pub(crate) fn touch(&mut self, id: NodeId, change: impl FnOnce(&mut Node)) {
        let node = self.nodes.get_mut(id);
        change(node);
        Self::seal(node, &mut self.digest, self.options.digest);
    }

    /// Replaces a znode's data, digest and sizes kept in step.
    pub(crate) fn replace_data(&mut self, id: NodeId, path: &str, data: Option<&[u8]>) {
        let node = self.nodes.get_mut(id);
        let grown = data_len(data) - data_len(node.data());
        self.data_size += if id == ROOT { grown * 2 } else { grown };
        node.replace_data(data);
        self.seal_content(id, path);
    }

    /// Brings crc and digest of a node in line with its path, data and stat.
    fn seal_content(&mut self, id: NodeId, path: &str) {
        let node = self.nodes.get_mut(id);
        if self.options.digest && !node.is_excluded_from_digest() {
            node.crc = content_crc(path, node.data());
        }
        Self::seal(node, &mut self.digest, self.options.digest);
    }

    fn seal(node: &mut Node, digest: &mut u64, enabled: bool) {
        if !enabled || node.is_excluded_from_digest() {
            return;
        }
        let new = node_digest(node.crc, &node.stat());
        let old = std::mem::replace(&mut node.digest, new);
        *digest = digest.wrapping_sub(u64::from(old)).wrapping_add(u64::from(new));
    }

    /// The digest computed from every node, for tests of the running one.
    #[cfg(test)]
    pub(crate) fn digest_from_scratch(&self) -> u64 {
        let mut sum = 0_u64;
        let mut todo = vec![ROOT];
        while let Some(id) = todo.pop() {
            let path = self.path_of(id);
            let node = self.nodes.get(id);
            if !path.starts_with("/zookeeper/") {
                let crc = content_crc(&path, node.data());
                sum = sum.wrapping_add(u64::from(node_digest(crc, &node.stat())));
            }
            let mut child = node.first_child;
            while child != NIL {
                todo.push(child);
                child = self.nodes.get(child).next;
            }
        }
        sum
    }
}

pub(crate) fn data_len(data: Option<&[u8]>) -> i64 {
    i64::try_from(data.map_or(0, <[u8]>::len)).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fresh_tree_is_apaches() {
        let tree = Tree::new(TreeOptions::default());
        assert_eq!(tree.digest(), 1_371_985_504);
        assert_eq!(tree.digest_from_scratch(), 1_371_985_504);
        let counts = tree.counts();
        assert_eq!((counts.nodes, counts.approximate_data_size), (5, 44));
        assert_eq!(tree.get("/").unwrap().client_stat(false).cversion, -1);
        assert_eq!(tree.get("/zookeeper").unwrap().client_stat(false).cversion, -2);
        assert_eq!(tree.get("/zookeeper/config").unwrap().aversion, -1);
    }

    #[test]
    fn paths_that_are_not_legal_are_not_found() {
        let tree = Tree::new(TreeOptions::default());
        for path in ["zookeeper", "/zookeeper/", "//zookeeper", "/zookeeper//quota", "x"] {
            assert_eq!(tree.lookup(path), None, "{path}");
        }
        assert_eq!(tree.lookup(""), Some(ROOT));
        let quota = tree.lookup("/zookeeper/quota").unwrap();
        assert_eq!(tree.path_of(quota), "/zookeeper/quota");
        assert_eq!(tree.path_of(ROOT), "/");
    }
}

//! Finds a znode by parent and name: the tree's only index.
//!
//! It is many small hash tables instead of one. A table doubles at once, and with ten million znodes
//! that would hold up every request for a second or more; each of these doubles on its own.

use std::hash::{BuildHasher, Hasher};

use hashbrown::HashTable;

use crate::node::{NodeId, Slab};

/// Tables; a power of two.
const SHARDS: usize = 1024;

/// Every znode but the root, by parent and name.
#[derive(Debug)]
pub(crate) struct Index {
    shards: Box<[HashTable<NodeId>]>,
    hash: foldhash::fast::FixedState,
}

impl Index {
    pub(crate) fn new(seed: u64) -> Self {
        Self {
            shards: (0..SHARDS).map(|_| HashTable::new()).collect(),
            hash: foldhash::fast::FixedState::with_seed(seed),
        }
    }

    pub(crate) fn find(&self, nodes: &Slab, parent: NodeId, name: &[u8]) -> Option<NodeId> {
        let hash = key_hash(&self.hash, parent, name);
        let found = self.shards[shard(hash)].find(hash, |id| {
            let node = nodes.get(*id);
            node.parent == parent && node.name_bytes() == name
        });
        found.copied()
    }

    /// Adds a znode that is in the slab and not in the index.
    pub(crate) fn insert(&mut self, nodes: &Slab, id: NodeId) {
        let hasher = &self.hash;
        let hash_of = |id: &NodeId| {
            let node = nodes.get(*id);
            key_hash(hasher, node.parent, node.name_bytes())
        };
        let hash = hash_of(&id);
        self.shards[shard(hash)].insert_unique(hash, id, hash_of);
    }

    /// Removes a znode that is still in the slab.
    pub(crate) fn remove(&mut self, nodes: &Slab, id: NodeId) {
        let node = nodes.get(id);
        let hash = key_hash(&self.hash, node.parent, node.name_bytes());
        let Ok(entry) = self.shards[shard(hash)].find_entry(hash, |other| *other == id) else {
            unreachable!("every znode but the root is in the index");
        };
        entry.remove();
    }
}

fn key_hash(hash: &foldhash::fast::FixedState, parent: NodeId, name: &[u8]) -> u64 {
    let mut hasher = hash.build_hasher();
    hasher.write_u32(parent);
    hasher.write(name);
    hasher.finish()
}

/// Bits from the middle: a table itself uses the lowest and the highest ones.
fn shard(hash: u64) -> usize {
    usize::try_from((hash >> 32) & (SHARDS as u64 - 1)).expect("fewer than 1024")
}

#[cfg(test)]
mod tests {
    use wk_proto::StatPersisted;

    use super::*;
    use crate::acl_table::AclId;
    use crate::node::{Node, ROOT};

    #[test]
    fn znodes_are_found_and_shards_fill_evenly() {
        let (mut nodes, mut index) = (Slab::new(), Index::new(7));
        let mut ids = Vec::new();
        for n in 0..100_000 {
            let stat = StatPersisted::default();
            let node = Node::new(ROOT, &format!("n{n:09}"), None, AclId::OPEN, &stat);
            let id = nodes.insert(node);
            index.insert(&nodes, id);
            ids.push(id);
        }
        let largest = index.shards.iter().map(HashTable::len).max();
        assert!(largest.is_some_and(|len| len < 200), "{largest:?} where 98 is the mean");
        for (n, id) in ids.iter().enumerate().step_by(7) {
            let name = format!("n{n:09}");
            assert_eq!(index.find(&nodes, ROOT, name.as_bytes()), Some(*id));
            assert_eq!(index.find(&nodes, ROOT + 1, name.as_bytes()), None);
            index.remove(&nodes, *id);
            assert_eq!(index.find(&nodes, ROOT, name.as_bytes()), None);
        }
    }
}

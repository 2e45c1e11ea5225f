//! The tree as snapshots hold it: sessions, ACL table, znodes.
//!
//! A snapshot is *fuzzy*. It is written in slices between requests, so that nobody waits and nothing
//! is copied first; what it shows of each znode is the state at that znode's turn. It is named after
//! the last txn before it began, and the log from there on is replayed over it. Two kinds of things
//! younger than its beginning are left out, because a replayed txn brings them: znodes (skipped), and
//! ACLs (a znode with such an ACL is written as if it were open).
//!
//! The file's own header and seals belong to the store.

mod load;

pub use load::{Fed, LoadError, Loader, load};

use wk_proto::{JuteWrite, Zxid};

use crate::acl_table::AclId;
use crate::node::{NIL, NodeId, ROOT};
use crate::tree::Tree;

/// The ACL index of an open ACL, which is never in the table.
const OPEN_INDEX: i64 = -1;

/// What a skipped znode counts of a slice's bytes. It adds none, but looking at it takes time, and
/// a slice of any number of them would hold up the requests behind it.
const SKIPPED_COST: usize = 64;

/// Where the writing of a snapshot stands.
#[derive(Debug)]
pub(crate) struct Walk {
    /// The last txn before the beginning: znodes created later are skipped.
    start: Zxid,
    /// The ACL table's births at the beginning.
    births: u64,
    /// Have sessions and ACLs been written?
    begun: bool,
    /// The next znode; [`NIL`] at the end. The tree moves it on when it deletes that znode.
    next: NodeId,
    /// Path of `next`, as the image writes it: the root's is empty.
    path: String,
}

impl Walk {
    /// Moves on from `id`, which is about to be deleted and has no children.
    pub(crate) fn step_off(&mut self, tree: &Tree, id: NodeId) {
        if self.next == id {
            self.pass(tree);
        }
    }

    /// Moves on in pre-order, without what is below the present znode.
    fn pass(&mut self, tree: &Tree) {
        let mut node = tree.nodes.get(self.next);
        loop {
            if self.next == ROOT {
                self.next = NIL;
                return;
            }
            self.path.truncate(self.path.rfind('/').unwrap_or(0));
            if node.next != NIL {
                self.enter(tree, node.next);
                return;
            }
            self.next = node.parent;
            node = tree.nodes.get(self.next);
        }
    }

    /// Moves on in pre-order.
    fn advance(&mut self, tree: &Tree) {
        match tree.nodes.get(self.next).first_child {
            NIL => self.pass(tree),
            child => self.enter(tree, child),
        }
    }

    fn enter(&mut self, tree: &Tree, id: NodeId) {
        self.next = id;
        self.path.push('/');
        self.path.push_str(tree.nodes.get(id).name());
    }
}

impl Tree {
    /// Begins a snapshot, named after [`Tree::last_zxid`]; one that was being written is given up.
    pub fn image_begin(&mut self) {
        self.walk = Some(Walk {
            start: self.last_zxid,
            births: self.acls.births(),
            begun: false,
            next: ROOT,
            path: String::new(),
        });
    }

    /// Appends the next piece, of about `bytes_max` bytes, or fewer, even none, where there is much
    /// to leave out; false when that was the last.
    pub fn image_next(&mut self, out: &mut Vec<u8>, bytes_max: usize) -> bool {
        let Some(mut walk) = self.walk.take() else { return false };
        let end = out.len().saturating_add(bytes_max);
        if !walk.begun {
            walk.begun = true;
            self.encode_tables(out);
        }
        let mut skipped = 0_usize;
        while walk.next != NIL {
            if out.len().saturating_add(skipped) >= end {
                self.walk = Some(walk);
                return true;
            }
            if self.nodes.get(walk.next).czxid > walk.start.0 {
                // Its children are younger still.
                skipped = skipped.saturating_add(SKIPPED_COST);
                walk.pass(self);
            } else {
                self.encode_node(&walk, out);
                walk.advance(self);
            }
        }
        out.put_string("/");
        false
    }

    /// Gives up the snapshot that is being written.
    pub fn image_abort(&mut self) {
        self.walk = None;
    }

    fn encode_tables(&self, out: &mut Vec<u8>) {
        out.put_len(self.sessions.len());
        for (id, timeout) in &self.sessions {
            out.put_i64(id.0);
            out.put_i32(*timeout);
        }
        out.put_len(self.acls.iter().count());
        for (id, list) in self.acls.iter() {
            out.put_i64(i64::from(id.0));
            out.put_bytes(list.as_bytes());
        }
    }

    fn encode_node(&self, walk: &Walk, out: &mut Vec<u8>) {
        let node = self.nodes.get(walk.next);
        out.put_string(&walk.path);
        out.put_buffer(node.data());
        let open = node.acl == AclId::OPEN || self.acls.is_younger(node.acl, walk.births);
        out.put_i64(if open { OPEN_INDEX } else { i64::from(node.acl.0) });
        node.stat().encode(out);
    }
}

#[cfg(test)]
mod tests;

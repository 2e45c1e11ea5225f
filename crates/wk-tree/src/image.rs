//! The tree as snapshots hold it: sessions, ACL table, znodes.
//!
//! A snapshot is *fuzzy*. It is written in slices between requests, so that nobody waits and nothing
//! is copied first; what it shows of each znode is the state at that znode's turn. It is named after
//! the last txn before it began, and the log from there on is replayed over it. Two kinds of things
//! younger than its beginning are left out, because a replayed txn brings them: znodes (skipped), and
//! ACLs (a znode with such an ACL is written as shut to everybody: if the log has lost that txn, what
//! was protected must not come back open).
//!
//! The file's own header and seals belong to the store.

mod load;

pub use load::{Fed, LoadError, Loader, load};

use wk_proto::{Acl, AclList, JuteWrite, Perms, Zxid};

use crate::acl_table::AclId;
use crate::node::{NIL, NodeId, ROOT};
use crate::tree::Tree;

/// The ACL index of an open ACL, which is never in the table.
const OPEN_INDEX: i64 = -1;

/// What a skipped znode counts of a slice's bytes. It adds none, but looking at it takes time, and
/// a slice of any number of them would hold up the requests behind it.
const SKIPPED_COST: usize = 64;

/// The ACL that lets nobody but `super` do anything. An empty list would be open to everybody, here
/// and in Apache's server; one entry that grants nothing is not.
fn shut() -> AclList<'static> {
    AclList::from_acls(&[Acl::new(Perms(0), "world", "anyone")])
}

/// Where the writing of a snapshot stands.
#[derive(Debug)]
pub(crate) struct Walk {
    /// The last txn before the beginning: znodes created later are skipped.
    start: Zxid,
    /// The ACL table's births at the beginning.
    births: u64,
    /// The index of [`shut`] in the image, for younger ACLs; none if nothing changes meanwhile.
    shut: Option<i64>,
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
        // Behind all that are there. An id that comes up later is that of a younger ACL.
        self.begin_walk(Some(self.acls.end()));
    }

    /// Begins a snapshot of a tree to which nothing is applied until it is written: byte for byte
    /// what Apache writes of a fresh tree.
    pub fn image_begin_still(&mut self) {
        self.begin_walk(None);
    }

    fn begin_walk(&mut self, shut: Option<i64>) {
        self.walk = Some(Walk {
            start: self.last_zxid,
            births: self.acls.births(),
            shut,
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
            self.encode_tables(&walk, out);
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

    fn encode_tables(&self, walk: &Walk, out: &mut Vec<u8>) {
        out.put_len(self.sessions.len());
        for (id, timeout) in &self.sessions {
            out.put_i64(id.0);
            out.put_i32(*timeout);
        }
        let acls = || self.acls.iter().filter(|(id, _)| !self.acls.is_younger(*id, walk.births));
        out.put_len(acls().count() + usize::from(walk.shut.is_some()));
        for (id, list) in acls() {
            out.put_i64(i64::from(id.0));
            out.put_bytes(list.as_bytes());
        }
        if let Some(index) = walk.shut {
            out.put_i64(index);
            out.put_bytes(shut().as_bytes());
        }
    }

    fn encode_node(&self, walk: &Walk, out: &mut Vec<u8>) {
        let node = self.nodes.get(walk.next);
        out.put_string(&walk.path);
        out.put_buffer(node.data());
        out.put_i64(if node.acl == AclId::OPEN {
            OPEN_INDEX
        } else if self.acls.is_younger(node.acl, walk.births) {
            walk.shut.expect("nothing is applied while a still image is written")
        } else {
            i64::from(node.acl.0)
        });
        node.stat().encode(out);
    }
}

#[cfg(test)]
mod tests;

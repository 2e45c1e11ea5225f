//! The ACLs in use, each kept once (`ReferenceCountedACLCache`, 3.9).

use std::hash::BuildHasher;
use std::sync::Arc;

use hashbrown::HashTable;
use wk_proto::AclList;

/// Number of an ACL in the [`AclTable`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct AclId(pub(crate) u32);

impl AclId {
    /// `world:anyone` with all permissions; never in the table.
    pub(crate) const OPEN: Self = Self(0);
}

/// A znode's ACL, kept alive for as long as somebody asks: an event is filtered by the ACL of a
/// znode that is gone.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct NodeAcl(Option<Arc<AclList<'static>>>);

impl NodeAcl {
    /// The list.
    pub fn list(&self) -> AclList<'_> {
        match &self.0 {
            Some(list) => list.borrowed(),
            None => AclList::open(),
        }
    }

    /// Is it `world:anyone` with all permissions?
    pub fn is_open(&self) -> bool {
        self.0.is_none()
    }
}

#[derive(Debug)]
struct Slot {
    // Empty when `uses` is 0.
    acl: NodeAcl,
    /// Znodes with this ACL.
    uses: u64,
    /// The table's `births` when it came in.
    born: u64,
}

/// The table. [`AclId`] `n` is slot `n - 1`; slots are used again.
#[derive(Debug, Default)]
pub(crate) struct AclTable {
    slots: Vec<Slot>,
    free: Vec<u32>,
    by_bytes: HashTable<u32>,
    hash: foldhash::fast::FixedState,
    births: u64,
}

impl AclTable {
    /// The id of a list, with one more use of it.
    pub(crate) fn acquire(&mut self, list: &AclList<'_>) -> AclId {
        if list.is_open() {
            return AclId::OPEN;
        }
        let hash = self.hash.hash_one(list.as_bytes());
        let slots = &mut self.slots;
        let found = self
            .by_bytes
            .find(hash, |at| slots[*at as usize].acl.list().as_bytes() == list.as_bytes());
        if let Some(at) = found {
            slots[*at as usize].uses += 1;
            return AclId(at + 1);
        }
        self.births += 1;
        let acl = NodeAcl(Some(Arc::new(list.borrowed().into_owned())));
        let slot = Slot { acl, uses: 1, born: self.births };
        let at = if let Some(at) = self.free.pop() {
            slots[at as usize] = slot;
            at
        } else {
            slots.push(slot);
            u32::try_from(slots.len() - 1).expect("fewer ACLs than znodes")
        };
        let hasher = &self.hash;
        self.by_bytes.insert_unique(hash, at, |at| {
            hasher.hash_one(slots[*at as usize].acl.list().as_bytes())
        });
        AclId(at + 1)
    }

    /// One more use of an ACL that is in use.
    pub(crate) fn acquire_again(&mut self, id: AclId) {
        if let Some(at) = id.0.checked_sub(1) {
            self.slots[at as usize].uses += 1;
        }
    }

    /// One use less.
    pub(crate) fn release(&mut self, id: AclId) {
        let Some(at) = id.0.checked_sub(1) else { return };
        let slot = &mut self.slots[at as usize];
        slot.uses = slot.uses.checked_sub(1).expect("an ACL in use has uses");
        if slot.uses > 0 {
            return;
        }
        let acl = std::mem::take(&mut slot.acl);
        let hash = self.hash.hash_one(acl.list().as_bytes());
        if let Ok(entry) = self.by_bytes.find_entry(hash, |other| *other == at) {
            entry.remove();
        }
        self.free.push(at);
    }

    pub(crate) fn list(&self, id: AclId) -> AclList<'_> {
        match self.slot(id) {
            Some(slot) => slot.acl.list(),
            None => AclList::open(),
        }
    }

    pub(crate) fn shared(&self, id: AclId) -> NodeAcl {
        self.slot(id).map_or_else(NodeAcl::default, |slot| slot.acl.clone())
    }

    /// Which moment of the table is now: what comes in later is [`AclTable::is_younger`].
    pub(crate) fn births(&self) -> u64 {
        self.births
    }

    /// Did this ACL come in after the table had so many births?
    pub(crate) fn is_younger(&self, id: AclId, births: u64) -> bool {
        self.slot(id).is_some_and(|slot| slot.born > births)
    }

    /// The first number above all that were ever given out.
    pub(crate) fn end(&self) -> i64 {
        i64::try_from(self.slots.len()).expect("ids are 32 bits wide") + 1
    }

    /// Every ACL in use but the open one.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (AclId, AclList<'_>)> {
        self.slots
            .iter()
            .zip(1..)
            .filter(|(slot, _)| slot.uses > 0)
            .map(|(slot, id)| (AclId(id), slot.acl.list()))
    }

    fn slot(&self, id: AclId) -> Option<&Slot> {
        id.0.checked_sub(1).map(|at| &self.slots[at as usize])
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use wk_proto::{Acl, Perms};

    #[test]
    fn equal_lists_are_one_entry() {
        let list = |id| AclList::from_acls(&[Acl::new(Perms::READ, "digest", id)]);
        let mut table = AclTable::default();
        assert_eq!(table.acquire(&AclList::open()), AclId::OPEN);
        let a = table.acquire(&list("a:1"));
        let b = table.acquire(&list("b:1"));
        assert_eq!(table.acquire(&list("a:1")), a);
        assert_eq!(table.iter().count(), 2);
        let kept = table.shared(a);
        table.release(a);
        table.release(a);
        assert_eq!(table.iter().map(|(id, _)| id).collect::<Vec<_>>(), [b]);
        assert_eq!(kept.list(), list("a:1"));
        let births = table.births();
        let c = table.acquire(&list("c:1"));
        assert_eq!(c, a, "the slot is used again");
        assert!(table.is_younger(c, births) && !table.is_younger(b, births));
        assert_eq!(table.list(c), list("c:1"));
    }
}

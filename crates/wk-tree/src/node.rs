//! One znode, and the slab that all znodes live in.
//!
//! Ensembles hold millions of small znodes, so a znode is one slab entry of 112 bytes and one
//! allocation that holds its name and its data. Children are a list through the entries: no map and
//! no vector belongs to a single znode.

use wk_proto::{SessionId, Stat, StatPersisted, Wall, Zxid};

use crate::acl_table::AclId;

/// Index of a znode in the [`Slab`]. Given anew to another znode after a delete.
pub(crate) type NodeId = u32;

/// The root's index.
pub(crate) const ROOT: NodeId = 0;

/// No znode.
pub(crate) const NIL: NodeId = u32::MAX;

/// What a stored `ephemeralOwner` says about a znode (`EphemeralType`, 3.9).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OwnerKind {
    /// Stays until it is deleted.
    Persistent,
    /// Goes with this session.
    Ephemeral(SessionId),
    /// Goes some time after its last child.
    Container,
    /// Goes when it has had no children and no new data for so many milliseconds.
    Ttl(i64),
}

/// The stored owner of a container.
pub(crate) const CONTAINER_OWNER: i64 = i64::MIN;
const EXTENDED_MASK: i64 = 0xff << 56;
const FEATURE_MASK: i64 = 0x00ff_ff00_0000_0000;
/// The longest time to live, in milliseconds.
pub(crate) const TTL_MAX: i64 = 0x00ff_ffff_ffff;

impl OwnerKind {
    /// Reads a stored owner. Without `extended` types, what would be a time to live is the
    /// ephemeral of a session that cannot exist.
    pub(crate) fn of(owner: i64, extended: bool) -> Self {
        match owner {
            0 => Self::Persistent,
            CONTAINER_OWNER => Self::Container,
            _ if extended && owner & EXTENDED_MASK == EXTENDED_MASK => {
                if owner & FEATURE_MASK == 0 {
                    Self::Ttl(owner & TTL_MAX)
                } else {
                    // A feature of a release to come: keep the znode rather than lose it.
                    Self::Persistent
                }
            }
            _ => Self::Ephemeral(SessionId(owner)),
        }
    }

    /// The owner as clients get it: a session, or 0.
    pub(crate) fn client_owner(self) -> SessionId {
        match self {
            Self::Ephemeral(session) => session,
            Self::Persistent | Self::Container | Self::Ttl(_) => SessionId::NONE,
        }
    }
}

/// The stored owner of a znode with a time to live; `None` if that is not 1 to [`TTL_MAX`].
pub(crate) fn ttl_owner(ttl: i64) -> Option<i64> {
    (1..=TTL_MAX).contains(&ttl).then_some(EXTENDED_MASK | ttl)
}

/// CRC-32 over a path and the data: what a node's digest begins with. The root's path is empty.
pub(crate) fn content_crc(path: &str, data: Option<&[u8]>) -> u32 {
    let mut crc = crc32fast::Hasher::new();
    if path != "/" {
        crc.update(path.as_bytes());
    }
    crc.update(data.unwrap_or_default());
    crc.finalize()
}

/// A node's digest (version 2): [`content_crc`] carried on over the persisted stat.
pub(crate) fn node_digest(content: u32, stat: &StatPersisted) -> u32 {
    let mut bytes = [0; StatPersisted::LEN];
    let longs = [stat.czxid.0, stat.mzxid.0, stat.pzxid.0, stat.ctime.0, stat.mtime.0];
    for (at, value) in bytes.chunks_exact_mut(8).zip(longs) {
        at.copy_from_slice(&value.to_be_bytes());
    }
    let ints = [stat.version, stat.cversion, stat.aversion];
    for (at, value) in bytes[40..].chunks_exact_mut(4).zip(ints) {
        at.copy_from_slice(&value.to_be_bytes());
    }
    bytes[52..].copy_from_slice(&stat.ephemeral_owner.to_be_bytes());
    let mut crc = crc32fast::Hasher::new_with_initial(content);
    crc.update(&bytes);
    crc.finalize()
}

/// A child was created: the stored cversion and pzxid only ever grow, also when old txns are
/// replayed over a newer snapshot. `wished` -1 (very old logs) means one more than now.
pub(crate) fn child_created(cversion: i32, wished: i32) -> Option<i32> {
    let wished = if wished == -1 { cversion.wrapping_add(1) } else { wished };
    (wished > cversion).then_some(wished)
}

/// The stat as clients get it.
pub(crate) fn client_stat(
    stat: &StatPersisted,
    extended: bool,
    data_len: usize,
    children: u32,
) -> Stat {
    let children = i32::try_from(children).unwrap_or(i32::MAX);
    Stat {
        czxid: stat.czxid,
        mzxid: stat.mzxid,
        ctime: stat.ctime,
        mtime: stat.mtime,
        version: stat.version,
        // Stored is the count of creates; every create but those of the living had its delete.
        cversion: stat.cversion.wrapping_mul(2).wrapping_sub(children),
        aversion: stat.aversion,
        ephemeral_owner: OwnerKind::of(stat.ephemeral_owner, extended).client_owner(),
        data_length: i32::try_from(data_len).unwrap_or(i32::MAX),
        num_children: children,
        pzxid: stat.pzxid,
    }
}

const DATA_IS_NULL: u32 = 1 << 31;
const DIGEST_EXCLUDED: u32 = 1 << 30;
const NAME_LEN: u32 = DIGEST_EXCLUDED - 1;

/// A znode. The fields of its stat are kept one by one: as a struct they would cost 4 bytes more.
#[derive(Debug)]
pub(crate) struct Node {
    /// Name, then data.
    content: Box<[u8]>,
    pub(crate) czxid: i64,
    pub(crate) mzxid: i64,
    pub(crate) pzxid: i64,
    pub(crate) ctime: i64,
    pub(crate) mtime: i64,
    /// Stored form: [`OwnerKind::of`].
    pub(crate) owner: i64,
    pub(crate) version: i32,
    /// Stored form: children ever created.
    pub(crate) cversion: i32,
    pub(crate) aversion: i32,
    /// The parent; the root's is [`NIL`].
    pub(crate) parent: NodeId,
    pub(crate) first_child: NodeId,
    /// The next sibling; in a free entry the next free one.
    pub(crate) next: NodeId,
    /// The previous sibling; the first child's is the last child.
    pub(crate) prev: NodeId,
    pub(crate) children: u32,
    pub(crate) acl: AclId,
    /// [`content_crc`]; 0 where digests are off.
    pub(crate) crc: u32,
    /// What the node adds to the tree's digest; 0 below `/zookeeper/` and where digests are off.
    pub(crate) digest: u32,
    /// Length of the name, and two marks in the top bits.
    shape: u32,
}

impl Node {
    pub(crate) fn new(
        parent: NodeId,
        name: &str,
        data: Option<&[u8]>,
        acl: AclId,
        stat: &StatPersisted,
    ) -> Self {
        let mut node = Self {
            content: Box::default(),
            czxid: stat.czxid.0,
            mzxid: stat.mzxid.0,
            pzxid: stat.pzxid.0,
            ctime: stat.ctime.0,
            mtime: stat.mtime.0,
            owner: stat.ephemeral_owner,
            version: stat.version,
            cversion: stat.cversion,
            aversion: stat.aversion,
            parent,
            first_child: NIL,
            next: NIL,
            prev: NIL,
            children: 0,
            acl,
            crc: 0,
            digest: 0,
            shape: 0,
        };
        node.fill(name.as_bytes(), data);
        node
    }

    /// An entry that is no znode.
    fn free(next: NodeId) -> Self {
        let mut node = Self::new(NIL, "", None, AclId::OPEN, &StatPersisted::default());
        node.next = next;
        node
    }

    fn fill(&mut self, name: &[u8], data: Option<&[u8]>) {
        let name_len = u32::try_from(name.len()).unwrap_or(u32::MAX);
        assert!(name_len <= NAME_LEN, "a name fits into a frame");
        self.content = [name, data.unwrap_or_default()].concat().into_boxed_slice();
        let null = if data.is_none() { DATA_IS_NULL } else { 0 };
        self.shape = (self.shape & DIGEST_EXCLUDED) | name_len | null;
    }

    fn name_len(&self) -> usize {
        (self.shape & NAME_LEN) as usize
    }

    pub(crate) fn name_bytes(&self) -> &[u8] {
        &self.content[..self.name_len()]
    }

    pub(crate) fn name(&self) -> &str {
        std::str::from_utf8(self.name_bytes()).expect("it was copied from a str")
    }

    /// Data; `None` is null.
    pub(crate) fn data(&self) -> Option<&[u8]> {
        (self.shape & DATA_IS_NULL == 0).then(|| &self.content[self.name_len()..])
    }

    pub(crate) fn data_len(&self) -> usize {
        self.content.len() - self.name_len()
    }

    pub(crate) fn replace_data(&mut self, data: Option<&[u8]>) {
        if self.data().is_some_and(|old| data.is_some_and(|new| old.len() == new.len())) {
            let at = self.name_len();
            self.content[at..].copy_from_slice(data.unwrap_or_default());
            return;
        }
        let old = std::mem::take(&mut self.content);
        let name = &old[..self.name_len()];
        self.fill(name, data);
    }

    /// Keeps the node out of the tree's digest.
    pub(crate) fn exclude_from_digest(&mut self) {
        self.shape |= DIGEST_EXCLUDED;
    }

    pub(crate) fn is_excluded_from_digest(&self) -> bool {
        self.shape & DIGEST_EXCLUDED != 0
    }

    pub(crate) fn stat(&self) -> StatPersisted {
        StatPersisted {
            czxid: Zxid(self.czxid),
            mzxid: Zxid(self.mzxid),
            ctime: Wall(self.ctime),
            mtime: Wall(self.mtime),
            version: self.version,
            cversion: self.cversion,
            aversion: self.aversion,
            ephemeral_owner: self.owner,
            pzxid: Zxid(self.pzxid),
        }
    }

    pub(crate) fn client_stat(&self, extended: bool) -> Stat {
        client_stat(&self.stat(), extended, self.data_len(), self.children)
    }
}

const CHUNK_BITS: u32 = 12;
const CHUNK: usize = 1 << CHUNK_BITS;

/// All znodes, in chunks: growing never copies what is there.
#[derive(Debug)]
pub(crate) struct Slab {
    // Every chunk but the last is full (free entries included).
    chunks: Vec<Vec<Node>>,
    free: NodeId,
    live: usize,
}

impl Slab {
    pub(crate) fn new() -> Self {
        Self { chunks: Vec::new(), free: NIL, live: 0 }
    }

    pub(crate) fn len(&self) -> usize {
        self.live
    }

    pub(crate) fn insert(&mut self, node: Node) -> NodeId {
        self.live += 1;
        if self.free != NIL {
            let id = self.free;
            self.free = self.get(id).next;
            *self.get_mut(id) = node;
            return id;
        }
        if self.chunks.last().is_none_or(|chunk| chunk.len() == CHUNK) {
            self.chunks.push(Vec::with_capacity(CHUNK));
        }
        let full = (self.chunks.len() - 1) * CHUNK;
        let chunk = self.chunks.last_mut().expect("one was just made sure of");
        let id = NodeId::try_from(full + chunk.len()).expect("fewer than 2^32 znodes");
        assert!(id != NIL, "fewer than 2^32 znodes");
        chunk.push(node);
        id
    }

    pub(crate) fn remove(&mut self, id: NodeId) -> Node {
        self.live -= 1;
        let free = Node::free(self.free);
        self.free = id;
        std::mem::replace(self.get_mut(id), free)
    }

    pub(crate) fn get(&self, id: NodeId) -> &Node {
        &self.chunks[(id >> CHUNK_BITS) as usize][id as usize & (CHUNK - 1)]
    }

    pub(crate) fn get_mut(&mut self, id: NodeId) -> &mut Node {
        &mut self.chunks[(id >> CHUNK_BITS) as usize][id as usize & (CHUNK - 1)]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_entry_is_112_bytes() {
        assert_eq!(size_of::<Node>(), 112);
    }

    #[test]
    fn null_and_empty_data_differ() {
        let mut node = Node::new(ROOT, "n", None, AclId::OPEN, &StatPersisted::default());
        node.exclude_from_digest();
        assert_eq!(node.data(), None);
        node.replace_data(Some(b""));
        assert_eq!(node.data(), Some(&b""[..]));
        node.replace_data(Some(b"abc"));
        node.replace_data(Some(b"xyz"));
        assert_eq!((node.name(), node.data()), ("n", Some(&b"xyz"[..])));
        node.replace_data(None);
        assert_eq!((node.name(), node.data()), ("n", None));
        assert!(node.is_excluded_from_digest());
    }

    #[test]
    fn owners_say_what_a_znode_is() {
        assert_eq!(OwnerKind::of(0, true), OwnerKind::Persistent);
        assert_eq!(OwnerKind::of(i64::MIN, false), OwnerKind::Container);
        let ttl = ttl_owner(100).unwrap();
        assert_eq!(ttl.cast_unsigned(), 0xff00_0000_0000_0064);
        assert_eq!(OwnerKind::of(ttl, true), OwnerKind::Ttl(100));
        assert_eq!(OwnerKind::of(ttl, false), OwnerKind::Ephemeral(SessionId(ttl)));
        assert_eq!(ttl_owner(0), None);
        assert_eq!(ttl_owner(TTL_MAX + 1), None);
    }

    #[test]
    fn freed_entries_are_used_again() {
        let node = |name| Node::new(NIL, name, None, AclId::OPEN, &StatPersisted::default());
        let mut slab = Slab::new();
        let ids: Vec<_> = (0..=CHUNK).map(|_| slab.insert(node("a"))).collect();
        slab.remove(ids[3]);
        slab.remove(ids[CHUNK]);
        assert_eq!(slab.len(), CHUNK - 1);
        assert_eq!(slab.insert(node("b")), ids[CHUNK]);
        assert_eq!(slab.insert(node("c")), ids[3]);
        assert_eq!(slab.get(ids[3]).name(), "c");
    }
}

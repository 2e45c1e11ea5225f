//! Reads: borrowed answers, nothing copied, permissions checked.

use wk_proto::{AclList, AclRef, ErrorCode, Id, Perms, SessionId, Stat, StatPersisted, Wall};

use crate::acl_table::NodeAcl;
use crate::node::{NIL, Node, NodeId, OwnerKind, ROOT};
use crate::tree::Tree;

/// On whose behalf something is read or prepared.
#[derive(Clone, Copy, Debug)]
pub struct Caller<'a> {
    /// The session.
    pub session: SessionId,
    /// Every identity of the connection, `ip` included; one of scheme `super` passes all checks.
    pub ids: &'a [Id],
}

/// Names of a znode's children.
#[derive(Clone, Debug)]
pub struct Children<'t> {
    tree: &'t Tree,
    next: NodeId,
    left: usize,
}

impl<'t> Iterator for Children<'t> {
    type Item = &'t str;

    fn next(&mut self) -> Option<&'t str> {
        if self.next == NIL {
            return None;
        }
        let node = self.tree.nodes.get(self.next);
        self.next = node.next;
        self.left -= 1;
        Some(node.name())
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        (self.left, Some(self.left))
    }
}

impl ExactSizeIterator for Children<'_> {}

impl Tree {
    /// getData: the data (`None` is null) and the stat.
    pub fn get_data(
        &self,
        path: &str,
        caller: &Caller<'_>,
    ) -> Result<(Option<&[u8]>, Stat), ErrorCode> {
        let node = self.readable(path, caller)?;
        Ok((node.data(), self.client_stat(node)))
    }

    /// exists: the stat. A path with U+0000 in it is the one kind that is refused as such.
    pub fn exists(&self, path: &str, caller: &Caller<'_>) -> Result<Stat, ErrorCode> {
        if path.contains('\0') {
            return Err(ErrorCode::BadArguments);
        }
        Ok(self.client_stat(self.readable(path, caller)?))
    }

    /// getChildren and getChildren2.
    pub fn children(
        &self,
        path: &str,
        caller: &Caller<'_>,
    ) -> Result<(Children<'_>, Stat), ErrorCode> {
        let node = self.readable(path, caller)?;
        Ok((self.children_of(node), self.client_stat(node)))
    }

    /// getACL: who may not administer the znode sees of `digest` ids the user only.
    pub fn acl(&self, path: &str, caller: &Caller<'_>) -> Result<(AclList<'_>, Stat), ErrorCode> {
        let node = self.get(path).ok_or(ErrorCode::NoNode)?;
        let list = self.acls.list(node.acl);
        let auth = &self.options.auth;
        if !auth.check(&list, caller.ids, Perms(Perms::READ.0 | Perms::ADMIN.0)) {
            return Err(ErrorCode::NoAuth);
        }
        let stat = self.client_stat(node);
        if auth.check(&list, caller.ids, Perms::ADMIN) {
            return Ok((list, stat));
        }
        let masked: Vec<_> = list.iter().map(|acl| (acl, masked_id(&acl))).collect();
        let entries = masked.iter().map(|(acl, id)| AclRef { id, ..*acl });
        Ok((AclList::from_entries(entries), stat))
    }

    /// getAllChildrenNumber: all descendants.
    pub fn all_children_number(&self, path: &str, caller: &Caller<'_>) -> Result<i32, ErrorCode> {
        self.readable(path, caller)?;
        let root = self.lookup(path).ok_or(ErrorCode::NoNode)?;
        if root == ROOT {
            return Ok(i32::try_from(self.nodes.len() - 1).unwrap_or(i32::MAX));
        }
        let mut count = 0;
        self.walk_below(root, |_| count += 1);
        Ok(count)
    }

    /// getEphemerals: the session's own, by plain prefix; an empty prefix or `/` means all.
    pub fn ephemerals(&self, session: SessionId, prefix: &str) -> Vec<String> {
        let all = matches!(prefix.trim(), "" | "/");
        let paths = self.ephemerals_of(session);
        paths.filter(|path| all || path.starts_with(prefix)).collect()
    }

    /// Sessions that own ephemerals, in order, each with their paths.
    pub fn sessions_with_ephemerals(&self) -> Vec<(SessionId, Vec<String>)> {
        let mut sessions: Vec<(SessionId, Vec<String>)> = Vec::new();
        for (session, id) in &self.ephemerals {
            let path = self.path_of(*id);
            match sessions.last_mut() {
                Some((last, paths)) if last == session => paths.push(path),
                _ => sessions.push((*session, vec![path])),
            }
        }
        sessions
    }

    /// The stat of a znode, nobody's permission asked: for the server's own purposes.
    pub fn stat(&self, path: &str) -> Option<Stat> {
        self.get(path).map(|node| self.client_stat(node))
    }

    /// May somebody with these identities be told about a znode with this ACL?
    pub fn may_read(&self, acl: &NodeAcl, ids: &[Id]) -> bool {
        acl.is_open() || self.options.auth.check(&acl.list(), ids, Perms::READ)
    }

    /// Up to `max` containers and TTL znodes whose time has come (`ContainerManager`, 3.9).
    /// Containers that never had a child stay.
    pub fn reapable(&self, now: Wall, max: usize) -> Vec<String> {
        let all = self.containers.iter().chain(&self.ttls);
        let due = all.filter(|id| self.is_due(self.nodes.get(**id), now));
        due.take(max).map(|id| self.path_of(*id)).collect()
    }

    /// Is there a container or TTL znode at this path whose time has come?
    pub fn is_reapable(&self, path: &str, now: Wall) -> bool {
        self.get(path).is_some_and(|node| self.is_due(node, now))
    }

    fn is_due(&self, node: &Node, now: Wall) -> bool {
        let time_has_come = match self.kind(node) {
            OwnerKind::Container => node.cversion > 0,
            OwnerKind::Ttl(ttl) => ttl != 0 && now.0.saturating_sub(node.mtime) > ttl,
            OwnerKind::Persistent | OwnerKind::Ephemeral(_) => false,
        };
        time_has_come && node.children == 0
    }

    /// Every znode in pre-order, with its data and stat, for tools and checkers.
    pub fn for_each(&self, mut see: impl FnMut(&str, Option<&[u8]>, &Stat)) {
        self.for_each_stored(|path, data, stat, _| see(path, data, stat));
    }

    /// The same with the stat as it is stored: other in cversion and the owners of containers.
    pub fn for_each_stored(&self, mut see: impl FnMut(&str, Option<&[u8]>, &Stat, &StatPersisted)) {
        let root = self.nodes.get(ROOT);
        see("/", root.data(), &self.client_stat(root), &root.stat());
        self.walk_below(ROOT, |id| {
            let node = self.nodes.get(id);
            see(&self.path_of(id), node.data(), &self.client_stat(node), &node.stat());
        });
    }

    pub(crate) fn client_stat(&self, node: &Node) -> Stat {
        node.client_stat(self.options.extended_types)
    }

    pub(crate) fn children_of(&self, node: &Node) -> Children<'_> {
        Children { tree: self, next: node.first_child, left: node.children as usize }
    }

    pub(crate) fn ephemerals_of(&self, session: SessionId) -> impl Iterator<Item = String> {
        let all = (session, NodeId::MIN)..=(session, NodeId::MAX);
        self.ephemerals.range(all).map(|(_, id)| self.path_of(*id))
    }

    /// Visits all descendants in pre-order.
    pub(crate) fn walk_below(&self, root: NodeId, mut see: impl FnMut(NodeId)) {
        let mut at = self.nodes.get(root).first_child;
        while at != NIL {
            see(at);
            let mut node = self.nodes.get(at);
            if node.first_child != NIL {
                at = node.first_child;
                continue;
            }
            while node.next == NIL && node.parent != root {
                node = self.nodes.get(node.parent);
            }
            at = node.next;
        }
    }

    fn readable(&self, path: &str, caller: &Caller<'_>) -> Result<&Node, ErrorCode> {
        let node = self.get(path).ok_or(ErrorCode::NoNode)?;
        let allowed = self.options.auth.check(&self.acls.list(node.acl), caller.ids, Perms::READ);
        if allowed { Ok(node) } else { Err(ErrorCode::NoAuth) }
    }
}

/// `user:x` instead of `user:hash`.
fn masked_id(acl: &AclRef<'_>) -> String {
    match acl.id.split_once(':') {
        Some((user, _)) if acl.scheme == "digest" => format!("{user}:x"),
        _ => acl.id.to_owned(),
    }
}

//! Turns a request into the txn that goes to the log, checking it in the order of
//! `PrepRequestProcessor` (3.9) against the tree and the changes that are outstanding.

use std::borrow::Cow;

use wk_proto::client::request::{CreateMode, CreateRequest, Request};
use wk_proto::txn::{CreateTxn, DIGEST_VERSION};
use wk_proto::{
    AclList, ErrorCode, Id, OpCode, Perms, SessionId, StatPersisted, Txn, TxnDigest, Wall, Zxid,
    path,
};

use crate::node::{CONTAINER_OWNER, OwnerKind, child_created, content_crc, ttl_owner};
use crate::outstanding::{Outstanding, PendingAcl, State, View};
use crate::quota::Change;
use crate::tree::{Tree, data_len, is_special};

/// Where in the history a write will stand, when, and on whose behalf.
#[derive(Clone, Copy, Debug)]
pub struct Context<'a> {
    /// The write's own zxid; failed writes have one too.
    pub zxid: Zxid,
    /// The leader's time of day.
    pub time: Wall,
    /// Who asks; [`SessionId::NONE`] for the server itself.
    pub session: SessionId,
    /// The identities of the connection, `ip` included.
    pub ids: &'a [Id],
}

/// A prepared write.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Prepared<'a> {
    /// The txn; its `op()` is the header's type. A failed write is [`Txn::Error`], a failed multi a
    /// multi with errors in it.
    pub txn: Txn<'a>,
    /// The tree's digest once the txn is applied; none for errors and with digests off.
    pub digest: Option<TxnDigest>,
}

/// Prepares a write. What it will change joins `outstanding`; a write that fails leaves nothing there.
///
/// Requests that are not writes fail with `Unimplemented`.
pub fn prepare<'a>(
    tree: &Tree,
    outstanding: &mut Outstanding,
    context: &Context<'_>,
    request: &Request<'a>,
) -> Prepared<'a> {
    let mark = outstanding.begin(tree);
    let mut write = Write { tree, outstanding, context };
    let txn = if let Request::Multi(ops) = request {
        let mut failed = false;
        let txns = ops.iter().map(|op| {
            if failed {
                return Txn::error(ErrorCode::RuntimeInconsistency);
            }
            write.prepare(op).unwrap_or_else(|code| {
                failed = true;
                write.outstanding.roll_back(&mark);
                Txn::error(code)
            })
        });
        Txn::Multi(txns.collect())
    } else {
        write.prepare(request).unwrap_or_else(Txn::error)
    };
    let digest = outstanding.digest(tree);
    let wanted = tree.options.digest && !matches!(txn, Txn::Error { .. });
    Prepared { txn, digest: wanted.then_some(TxnDigest { version: DIGEST_VERSION, digest }) }
}

struct Write<'w> {
    tree: &'w Tree,
    outstanding: &'w mut Outstanding,
    context: &'w Context<'w>,
}

impl Write<'_> {
    fn prepare<'a>(&mut self, request: &Request<'a>) -> Result<Txn<'a>, ErrorCode> {
        match request {
            Request::Create(op, create) => self.create(*op, create),
            Request::Delete { path, version } => self.delete(path, *version),
            Request::DeleteContainer { path } => self.delete_container(path),
            Request::SetData { path, data, version } => self.set_data(path, *data, *version),
            Request::SetAcl { path, acl, version } => self.set_acl(path, acl, *version),
            Request::Check { path, version } => self.check(path, *version),
            Request::Reconfig { .. } => self.reconfig(),
            Request::CreateSession { timeout } => {
                let (zxid, session) = (self.context.zxid, self.context.session);
                self.outstanding.set_session(self.tree, zxid, session, true);
                Ok(Txn::CreateSession { timeout: *timeout })
            }
            Request::CloseSession => Ok(self.close_session()),
            Request::Multi(_)
            | Request::MultiRead(_)
            | Request::Read { .. }
            | Request::GetAcl { .. }
            | Request::Sync { .. }
            | Request::Ping
            | Request::CheckWatches { .. }
            | Request::RemoveWatches { .. }
            | Request::Auth { .. }
            | Request::SetWatches(_)
            | Request::Sasl { .. }
            | Request::GetEphemerals { .. }
            | Request::GetAllChildrenNumber { .. }
            | Request::AddWatch { .. }
            | Request::WhoAmI => Err(ErrorCode::Unimplemented),
        }
    }

    fn create<'a>(
        &mut self,
        op: OpCode,
        request: &CreateRequest<'a>,
    ) -> Result<Txn<'a>, ErrorCode> {
        let mode = CreateMode::from_flags(request.flags).ok_or(ErrorCode::BadArguments)?;
        let ttl = self.check_ttl(op, mode, request.ttl)?;
        self.check_session()?;
        let (parent_path, _) = split_checked(request.path)?;
        let acl = self.tree.options.auth.fix_acl(&request.acl, self.context.ids)?;
        let parent = self.view(parent_path)?;
        self.check_acl(&parent, Perms::CREATE)?;
        let parent_stat = parent.stat();
        let path = if mode.is_sequential() {
            Cow::Owned(format!("{}{:010}", request.path, parent_stat.cversion))
        } else {
            Cow::Borrowed(request.path)
        };
        path::validate(&path).map_err(|_| ErrorCode::BadArguments)?;
        if self.view(&path).is_ok() {
            return Err(ErrorCode::NodeExists);
        }
        let extended = self.tree.options.extended_types;
        if let OwnerKind::Ephemeral(_) = OwnerKind::of(parent_stat.ephemeral_owner, extended) {
            return Err(ErrorCode::NoChildrenForEphemerals);
        }
        self.charge(&path, Change { count: 1, bytes: data_len(request.data) })?;
        let create = CreateTxn {
            data: request.data.map(Cow::Borrowed),
            acl,
            ephemeral: mode.is_ephemeral(),
            parent_cversion: parent_stat.cversion.wrapping_add(1),
            path,
        };
        let (owner, txn) = match (op, ttl) {
            (OpCode::CreateContainer, _) => {
                let create = CreateTxn { ephemeral: false, ..create };
                (CONTAINER_OWNER, Txn::CreateContainer(create))
            }
            (OpCode::CreateTtl, Some((ttl, owner))) => {
                let create = CreateTxn { ephemeral: false, ..create };
                (owner, Txn::CreateTtl { create, ttl })
            }
            (OpCode::Create2, _) => (self.owner(&create), Txn::Create2(create)),
            _ => (self.owner(&create), Txn::Create(create)),
        };
        if let Txn::CreateContainer(create)
        | Txn::CreateTtl { create, .. }
        | Txn::Create(create)
        | Txn::Create2(create) = &txn
        {
            self.created(create, owner, parent_path);
        }
        Ok(txn)
    }

    fn owner(&self, create: &CreateTxn<'_>) -> i64 {
        if create.ephemeral { self.context.session.0 } else { 0 }
    }

    /// TTL modes need the types to be on and a time in range, and they come by their own operation.
    /// Returns the time to live and the stored owner that says it.
    fn check_ttl(
        &self,
        op: OpCode,
        mode: CreateMode,
        ttl: i64,
    ) -> Result<Option<(i64, i64)>, ErrorCode> {
        if mode.is_ttl() && !self.tree.options.extended_types {
            return Err(ErrorCode::Unimplemented);
        }
        match (op == OpCode::CreateTtl, mode.is_ttl()) {
            (true, true) => {
                let owner = ttl_owner(ttl).ok_or(ErrorCode::BadArguments)?;
                Ok(Some((ttl, owner)))
            }
            (false, false) => Ok(None),
            (true, false) | (false, true) => Err(ErrorCode::BadArguments),
        }
    }

    /// Books a create as outstanding.
    fn created(&mut self, create: &CreateTxn<'_>, owner: i64, parent_path: &str) {
        let zxid = self.context.zxid;
        let mut excluded = false;
        self.outstanding.change(self.tree, zxid, parent_path, |state| {
            let mut state = state?;
            excluded = state.excluded || parent_path == crate::tree::SYSTEM;
            if let Some(cversion) = child_created(state.stat.cversion, create.parent_cversion) {
                state.stat.cversion = cversion;
                state.stat.pzxid = zxid;
            }
            state.children += 1;
            Some(state)
        });
        let time = self.context.time;
        let stat = StatPersisted {
            czxid: zxid,
            mzxid: zxid,
            pzxid: zxid,
            ctime: time,
            mtime: time,
            ephemeral_owner: owner,
            ..StatPersisted::default()
        };
        let acl = pending_acl(&create.acl);
        let crc = self.crc(&create.path, create.data.as_deref(), excluded);
        self.outstanding.change(self.tree, zxid, &create.path, |_| {
            let data_len = data_len(create.data.as_deref());
            Some(State { stat, children: 0, data_len, acl, crc, digest: 0, excluded })
        });
    }

    fn delete<'a>(&mut self, path: &'a str, version: i32) -> Result<Txn<'a>, ErrorCode> {
        self.check_session()?;
        let (parent_path, _) = split_deletable(path)?;
        let parent = self.view(parent_path)?;
        self.check_acl(&parent, Perms::DELETE)?;
        let node = self.view(path)?;
        next_version(node.stat().version, version)?;
        if node.children() > 0 {
            return Err(ErrorCode::NotEmpty);
        }
        self.deleted(path, parent_path);
        Ok(Txn::Delete { path: path.into() })
    }

    fn delete_container<'a>(&mut self, path: &'a str) -> Result<Txn<'a>, ErrorCode> {
        let (parent_path, _) = split_deletable(path)?;
        let node = self.view(path)?;
        if node.children() > 0 {
            return Err(ErrorCode::NotEmpty);
        }
        let owner = node.stat().ephemeral_owner;
        if let OwnerKind::Ephemeral(_) = OwnerKind::of(owner, self.tree.options.extended_types) {
            return Err(ErrorCode::BadVersion);
        }
        self.view(parent_path)?;
        self.deleted(path, parent_path);
        Ok(Txn::DeleteContainer { path: path.into() })
    }

    /// Books a delete as outstanding.
    fn deleted(&mut self, path: &str, parent_path: &str) {
        let zxid = self.context.zxid;
        let bytes = self.view(path).map_or(0, |node| node.data_len());
        self.book(path, Change { count: -1, bytes: -bytes });
        self.outstanding.change(self.tree, zxid, parent_path, |state| {
            let mut state = state?;
            state.stat.pzxid = state.stat.pzxid.max(zxid);
            state.children = state.children.saturating_sub(1);
            Some(state)
        });
        self.outstanding.change(self.tree, zxid, path, |_| None);
    }

    fn set_data<'a>(
        &mut self,
        path: &'a str,
        data: Option<&'a [u8]>,
        version: i32,
    ) -> Result<Txn<'a>, ErrorCode> {
        self.check_session()?;
        path::validate(path).map_err(|_| ErrorCode::BadArguments)?;
        let node = self.view(path)?;
        self.check_acl(&node, Perms::WRITE)?;
        let grown = Change { count: 0, bytes: data_len(data) - node.data_len() };
        let stat = node.stat();
        self.check_quota(path, grown)?;
        let version = next_version(stat.version, version)?;
        self.book(path, grown);
        let (zxid, time) = (self.context.zxid, self.context.time);
        let excluded = path.starts_with("/zookeeper/");
        let crc = self.crc(path, data, excluded);
        self.outstanding.change(self.tree, zxid, path, |state| {
            let mut state = state?;
            state.stat.version = version;
            state.stat.mtime = time;
            state.stat.mzxid = zxid;
            state.data_len = data_len(data);
            state.crc = crc;
            Some(state)
        });
        Ok(Txn::SetData { path: path.into(), data: data.map(Cow::Borrowed), version })
    }

    fn set_acl<'a>(
        &mut self,
        path: &'a str,
        wished: &AclList<'a>,
        version: i32,
    ) -> Result<Txn<'a>, ErrorCode> {
        self.check_session()?;
        path::validate(path).map_err(|_| ErrorCode::BadArguments)?;
        let acl = self.tree.options.auth.fix_acl(wished, self.context.ids)?;
        let node = self.view(path)?;
        self.check_acl(&node, Perms::ADMIN)?;
        let version = next_version(node.stat().aversion, version)?;
        let pending = pending_acl(&acl);
        self.outstanding.change(self.tree, self.context.zxid, path, |state| {
            let mut state = state?;
            state.stat.aversion = version;
            state.acl = pending;
            Some(state)
        });
        Ok(Txn::SetAcl { path: path.into(), acl, version })
    }

    fn check<'a>(&mut self, path: &'a str, version: i32) -> Result<Txn<'a>, ErrorCode> {
        self.check_session()?;
        path::validate(path).map_err(|_| ErrorCode::BadArguments)?;
        let node = self.view(path)?;
        self.check_acl(&node, Perms::READ)?;
        // The log holds the version one on, as for a setData.
        let version = next_version(node.stat().version, version)?;
        Ok(Txn::Check { path: path.into(), version })
    }

    /// A standalone server has no ensemble to reconfigure.
    fn reconfig<'a>(&mut self) -> Result<Txn<'a>, ErrorCode> {
        if !self.tree.options.reconfig {
            return Err(ErrorCode::ReconfigDisabled);
        }
        self.check_session()?;
        Err(ErrorCode::Unimplemented)
    }

    fn close_session<'a>(&mut self) -> Txn<'a> {
        let (zxid, session) = (self.context.zxid, self.context.session);
        let paths = self.outstanding.ephemerals_of(self.tree, session);
        for path in &paths {
            if let Some((parent_path, _)) = path::split(path) {
                self.deleted(path, parent_path);
            }
        }
        self.outstanding.set_session(self.tree, zxid, session, false);
        Txn::CloseSession { paths: Some(paths.into_iter().map(Cow::Owned).collect()) }
    }

    /// Checks a change against the hard quota above `path` and books it.
    fn charge(&mut self, path: &str, change: Change) -> Result<(), ErrorCode> {
        self.check_quota(path, change)?;
        self.book(path, change);
        Ok(())
    }

    fn check_quota(&self, path: &str, change: Change) -> Result<(), ErrorCode> {
        let Some(target) = self.quota_above(path) else { return Ok(()) };
        let pending = self.outstanding.charged(target);
        let refused = self.tree.quota_refuses(target, change, pending);
        if refused { Err(ErrorCode::QuotaExceeded) } else { Ok(()) }
    }

    fn book(&mut self, path: &str, change: Change) {
        if let Some(target) = self.quota_above(path) {
            self.outstanding.charge(self.context.zxid, target, change);
        }
    }

    /// The path whose quota counts `path`, where quotas are enforced.
    fn quota_above<'p>(&self, path: &'p str) -> Option<&'p str> {
        let enforced = self.tree.options.enforce_quota;
        enforced.then(|| self.tree.quotas.above(path)).flatten()
    }

    fn view(&self, path: &str) -> Result<View<'_>, ErrorCode> {
        self.outstanding.view(self.tree, path).ok_or(ErrorCode::NoNode)
    }

    fn check_acl(&self, node: &View<'_>, perms: Perms) -> Result<(), ErrorCode> {
        let allowed = self.tree.options.auth.check(&node.acl(), self.context.ids, perms);
        if allowed { Ok(()) } else { Err(ErrorCode::NoAuth) }
    }

    fn check_session(&self) -> Result<(), ErrorCode> {
        let open = self.outstanding.session_is_open(self.tree, self.context.session);
        if open { Ok(()) } else { Err(ErrorCode::SessionExpired) }
    }

    fn crc(&self, path: &str, data: Option<&[u8]>, excluded: bool) -> u32 {
        if self.tree.options.digest && !excluded { content_crc(path, data) } else { 0 }
    }
}

fn pending_acl(acl: &AclList<'_>) -> PendingAcl {
    let owned = if acl.is_open() { AclList::open() } else { acl.borrowed().into_owned() };
    PendingAcl::New(owned)
}

/// Parent and name, with the first checks that every create and delete makes of its path.
fn split_checked(path: &str) -> Result<(&str, &str), ErrorCode> {
    path::split(path).filter(|_| !path.contains('\0')).ok_or(ErrorCode::BadArguments)
}

fn split_deletable(path: &str) -> Result<(&str, &str), ErrorCode> {
    if is_special(path) {
        return Err(ErrorCode::BadArguments);
    }
    split_checked(path)
}

/// The version after a change, if the expected one is the present one or -1.
fn next_version(now: i32, expected: i32) -> Result<i32, ErrorCode> {
    if expected != -1 && expected != now {
        return Err(ErrorCode::BadVersion);
    }
    Ok(now.wrapping_add(1))
}

#[cfg(test)]
mod tests;

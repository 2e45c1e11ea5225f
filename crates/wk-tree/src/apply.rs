//! Carries out txns that are committed, and says what happened.
//!
//! The rules hold also when txns are replayed over a snapshot that already has some of them: a
//! create of what exists and a delete of what is gone change nothing but what the newer history
//! must not lose (`DataTree`, 3.9). Beyond Apache, no txn touches a znode that was created after it:
//! that is another znode with the same path, which a later txn of the replay brings or has brought.

use wk_proto::client::response::{EventType, OpResult};
use wk_proto::sabotage::{Sabotage, is_on};
use wk_proto::txn::CreateTxn;
use wk_proto::{ErrorCode, SessionId, Stat, StatPersisted, Txn, TxnHeader, Zxid};

use crate::acl_table::NodeAcl;
use crate::node::{CONTAINER_OWNER, Node, NodeId, child_created, ttl_owner};
use crate::tree::{Tree, data_len, split};

/// What one txn, or one operation of a multi, came to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Outcome {
    /// Done, with nothing to tell.
    #[default]
    Done,
    /// Done; the znode's stat afterwards.
    Stat(Stat),
    /// Nothing was changed: an [`ErrorCode`]'s number, or 0 for what would have been done had a
    /// later operation of the multi not failed.
    Error(i32),
}

impl Outcome {
    fn failed(code: ErrorCode) -> Self {
        Self::Error(code.code())
    }

    /// The result on the wire of the operation that became `txn`.
    pub fn result<'a>(&self, txn: &'a Txn<'_>) -> OpResult<'a> {
        let stat = match *self {
            Self::Error(code) => return OpResult::Error { code },
            Self::Stat(stat) => stat,
            Self::Done => Stat::default(),
        };
        match txn {
            Txn::Create(c) => OpResult::Create { path: &c.path },
            Txn::Create2(c) | Txn::CreateContainer(c) | Txn::CreateTtl { create: c, .. } => {
                OpResult::Create2 { path: &c.path, stat }
            }
            Txn::Delete { .. } | Txn::DeleteContainer { .. } => OpResult::Delete,
            Txn::SetData { .. } | Txn::Reconfig { .. } | Txn::SetAcl { .. } => {
                OpResult::SetData { stat }
            }
            Txn::Check { .. }
            | Txn::CreateSession { .. }
            | Txn::CloseSession { .. }
            | Txn::Multi(_) => OpResult::Check,
            Txn::Error { code } => OpResult::Error { code: *code },
        }
    }
}

/// One thing that happened to a znode, for [`crate::Watches::trigger`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TreeEvent<'a> {
    /// What happened.
    pub kind: EventType,
    /// To which znode.
    pub path: &'a str,
    /// By which txn.
    pub zxid: Zxid,
    /// Its ACL: who may not read it is not told.
    pub acl: &'a NodeAcl,
}

#[derive(Debug)]
struct Event {
    kind: EventType,
    /// The path within [`Applied::text`].
    path: std::ops::Range<usize>,
    acl: NodeAcl,
}

/// What a txn came to; one of these serves many txns, each clears it first.
#[derive(Debug, Default)]
pub struct Applied {
    /// The outcome; of a multi, `Done` or the first error.
    pub outcome: Outcome,
    /// The outcomes of a multi's operations, in order.
    pub multi: Vec<Outcome>,
    zxid: Zxid,
    events: Vec<Event>,
    text: String,
    quiet: bool,
}

impl Applied {
    /// One that collects no events: nobody watches while a server recovers.
    pub fn quiet() -> Self {
        Self { quiet: true, ..Self::default() }
    }

    /// What happened, in the order in which watchers must hear of it.
    pub fn events(&self) -> impl Iterator<Item = TreeEvent<'_>> {
        self.events.iter().map(|event| TreeEvent {
            kind: event.kind,
            path: &self.text[event.path.clone()],
            zxid: self.zxid,
            acl: &event.acl,
        })
    }

    fn clear(&mut self, zxid: Zxid) {
        self.outcome = Outcome::Done;
        self.multi.clear();
        self.zxid = zxid;
        self.events.clear();
        self.text.clear();
    }

    fn push(&mut self, kind: EventType, path: &str, acl: NodeAcl) {
        let start = self.text.len();
        self.text.push_str(path);
        self.events.push(Event { kind, path: start..self.text.len(), acl });
    }
}

impl Tree {
    /// Carries out one committed txn. `applied` is cleared first.
    ///
    /// Failing is an outcome too, and an expected one during recovery; the position in the history
    /// moves on either way.
    pub fn apply(&mut self, header: &TxnHeader, txn: &Txn<'_>, applied: &mut Applied) {
        applied.clear(header.zxid);
        if let Txn::Multi(txns) = txn {
            self.apply_multi(header, txns, applied);
        } else {
            applied.outcome = self.apply_one(header, txn, applied);
        }
        self.last_zxid = self.last_zxid.max(header.zxid);
    }

    /// All operations or none: one error among them makes all of them errors. Those that were
    /// prepared before the failing one are in the log as if they were to be done.
    fn apply_multi(&mut self, header: &TxnHeader, txns: &[Txn<'_>], applied: &mut Applied) {
        let is_error = |txn: &Txn<'_>| matches!(txn, Txn::Error { .. });
        let failed = txns.iter().any(is_error);
        // Broken on purpose, for the simulator to find: what stands before the error is done.
        let failed = failed && !(applied.quiet && is_on(Sabotage::MultiHalfApplied));
        let mut after_error = false;
        for txn in txns {
            after_error |= is_error(txn);
            let outcome = if !failed || is_error(txn) {
                self.apply_one(header, txn, applied)
            } else if after_error {
                Outcome::failed(ErrorCode::RuntimeInconsistency)
            } else {
                Outcome::Error(0)
            };
            if let (Outcome::Done, Outcome::Error(code)) = (applied.outcome, outcome)
                && code != 0
            {
                applied.outcome = outcome;
            }
            applied.multi.push(outcome);
        }
    }

    fn apply_one(&mut self, header: &TxnHeader, txn: &Txn<'_>, applied: &mut Applied) -> Outcome {
        let done = match txn {
            Txn::Create(create) | Txn::Create2(create) => {
                let owner = if create.ephemeral { header.session.0 } else { 0 };
                self.create(header, create, owner, applied).map(Outcome::Stat)
            }
            Txn::CreateContainer(create) => {
                self.create(header, create, CONTAINER_OWNER, applied).map(Outcome::Stat)
            }
            Txn::CreateTtl { create, ttl } => match ttl_owner(*ttl) {
                Some(owner) => self.create(header, create, owner, applied).map(Outcome::Stat),
                None => Err(ErrorCode::BadArguments),
            },
            Txn::Delete { path } | Txn::DeleteContainer { path } => {
                self.delete(path, header.zxid, applied).map(|()| Outcome::Done)
            }
            Txn::SetData { path, data, version } | Txn::Reconfig { path, data, version } => {
                self.set_data(header, path, data.as_deref(), *version, applied).map(Outcome::Stat)
            }
            Txn::SetAcl { path, acl, version } => {
                self.set_acl(path, header.zxid, acl, *version).map(Outcome::Stat)
            }
            Txn::CreateSession { timeout } => {
                self.sessions.insert(header.session, *timeout);
                Ok(Outcome::Done)
            }
            Txn::CloseSession { paths } => {
                self.sessions.remove(&header.session);
                self.close_session(header.session, header.zxid, paths.as_deref(), applied);
                Ok(Outcome::Done)
            }
            Txn::Check { .. } => Ok(Outcome::Done),
            Txn::Error { code } => Ok(Outcome::Error(*code)),
            // The decoder knows no multi inside a multi.
            Txn::Multi(_) => Err(ErrorCode::MarshallingError),
        };
        done.unwrap_or_else(Outcome::failed)
    }

    fn create(
        &mut self,
        header: &TxnHeader,
        create: &CreateTxn<'_>,
        owner: i64,
        applied: &mut Applied,
    ) -> Result<Stat, ErrorCode> {
        let path: &str = &create.path;
        let (parent_path, name) = split(path).ok_or(ErrorCode::NodeExists)?;
        let parent = self.lookup_at(parent_path, header.zxid).ok_or(ErrorCode::NoNode)?;
        let existing = self.child(parent, name.as_bytes());
        let zxid = header.zxid.0;
        let new_cversion = child_created(self.nodes.get(parent).cversion, create.parent_cversion);
        if let Some(cversion) = new_cversion {
            self.touch(parent, |node| {
                node.cversion = cversion;
                node.pzxid = zxid;
            });
        }
        let acl = self.acls.acquire(&create.acl);
        if let Some(id) = existing {
            // Replay over a newer snapshot. Its ACL may be missing there; this one is at hand.
            let old = std::mem::replace(&mut self.nodes.get_mut(id).acl, acl);
            self.acls.release(old);
            return Err(ErrorCode::NodeExists);
        }
        let stat = StatPersisted {
            czxid: header.zxid,
            mzxid: header.zxid,
            ctime: header.time,
            mtime: header.time,
            pzxid: header.zxid,
            ephemeral_owner: owner,
            ..StatPersisted::default()
        };
        let data = create.data.as_deref();
        let id = self.insert(path, parent, name, data, acl, &stat);
        self.quota_created(path, parent_path, name, data_len(data));
        if !applied.quiet {
            applied.push(EventType::NodeCreated, path, self.acls.shared(acl));
            let parent_acl = self.acls.shared(self.nodes.get(parent).acl);
            applied.push(EventType::NodeChildrenChanged, parent_path, parent_acl);
        }
        Ok(self.client_stat(self.nodes.get(id)))
    }

    fn delete(&mut self, path: &str, zxid: Zxid, applied: &mut Applied) -> Result<(), ErrorCode> {
        let (parent_path, name) = split(path).ok_or(ErrorCode::BadArguments)?;
        let parent = self.lookup_at(parent_path, zxid).ok_or(ErrorCode::NoNode)?;
        // Also when the child is gone already: a snapshot may have been taken in between.
        if zxid.0 > self.nodes.get(parent).pzxid {
            self.touch(parent, |node| node.pzxid = zxid.0);
        }
        let id = self.child(parent, name.as_bytes()).ok_or(ErrorCode::NoNode)?;
        if self.nodes.get(id).czxid > zxid.0 {
            return Err(ErrorCode::NoNode);
        }
        if self.nodes.get(id).children > 0 {
            // No server logs this; a damaged history must not leave orphans behind.
            return Err(ErrorCode::NotEmpty);
        }
        let acl = self.acls.shared(self.nodes.get(id).acl);
        let node = self.remove(id, path);
        self.quota_deleted(path, parent_path, name, data_len(node.data()));
        if !applied.quiet {
            applied.push(EventType::NodeDeleted, path, acl);
            let parent_acl = self.acls.shared(self.nodes.get(parent).acl);
            applied.push(EventType::NodeChildrenChanged, parent_path, parent_acl);
        }
        Ok(())
    }

    /// The znode that a txn at `zxid` means: not one that was created later.
    fn lookup_at(&self, path: &str, zxid: Zxid) -> Option<NodeId> {
        self.lookup(path).filter(|id| self.nodes.get(*id).czxid <= zxid.0)
    }

    /// Deletes what may be gone, and tells nobody.
    pub(crate) fn delete_quietly(&mut self, path: &str, zxid: Zxid) {
        // A missing znode is as good as a deleted one.
        let _gone = self.delete(path, zxid, &mut Applied::quiet());
    }

    fn set_data(
        &mut self,
        header: &TxnHeader,
        path: &str,
        data: Option<&[u8]>,
        version: i32,
        applied: &mut Applied,
    ) -> Result<Stat, ErrorCode> {
        let id = self.lookup_at(path, header.zxid).ok_or(ErrorCode::NoNode)?;
        let node = self.nodes.get_mut(id);
        node.mtime = header.time.0;
        node.mzxid = header.zxid.0;
        node.version = version;
        let grown = data_len(data) - data_len(node.data());
        self.replace_data(id, path, data);
        let node = self.nodes.get(id);
        let (stat, acl) = (self.client_stat(node), node.acl);
        self.quota_changed(path, 0, grown);
        if !applied.quiet {
            applied.push(EventType::NodeDataChanged, path, self.acls.shared(acl));
        }
        Ok(stat)
    }

    fn set_acl(
        &mut self,
        path: &str,
        zxid: Zxid,
        acl: &wk_proto::AclList<'_>,
        version: i32,
    ) -> Result<Stat, ErrorCode> {
        let id = self.lookup_at(path, zxid).ok_or(ErrorCode::NoNode)?;
        let acl = self.acls.acquire(acl);
        let mut old = acl;
        let mut change = |node: &mut Node| {
            node.aversion = version;
            old = std::mem::replace(&mut node.acl, acl);
        };
        // Broken on purpose, for the simulator to find: the digest stays behind.
        if is_on(Sabotage::DigestStale) {
            change(self.nodes.get_mut(id));
        } else {
            self.touch(id, change);
        }
        self.acls.release(old);
        Ok(self.client_stat(self.nodes.get(id)))
    }

    /// Deletes the paths that the txn names and whatever else the session still owns.
    fn close_session(
        &mut self,
        session: SessionId,
        zxid: Zxid,
        paths: Option<&[std::borrow::Cow<'_, str>]>,
        applied: &mut Applied,
    ) {
        // Broken on purpose, for the simulator to find: a dead session's ephemerals stay.
        if applied.quiet && is_on(Sabotage::EphemeralKept) {
            return;
        }
        for path in paths.unwrap_or_default() {
            // A missing znode is as good as a deleted one.
            let _gone = self.delete(path, zxid, applied);
        }
        let rest: Vec<_> = self.ephemerals_of(session).collect();
        if paths.is_some() && !rest.is_empty() {
            tracing::warn!(%session, %zxid, count = rest.len(), "ephemerals the txn does not name");
        }
        for path in rest {
            let _gone = self.delete(&path, zxid, applied);
        }
    }
}

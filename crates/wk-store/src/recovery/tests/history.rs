//! A made-up history: txns of every kind that changes the tree, and the tree's digest after each.

use std::sync::Arc;

use wk_proto::txn::{CreateTxn, DIGEST_VERSION, encode_record};
use wk_proto::{Acl, AclList, ErrorCode, Perms, SessionId, Txn, TxnDigest, TxnHeader, Wall, Zxid};
use wk_tree::{Applied, Tree, TreeOptions};

use crate::dirs::Dirs;
use crate::mem_disk::MemDisk;
use crate::testing::options;
use crate::txn_log::TxnLog;

pub(crate) struct History {
    /// Record and digest of the txns 1, 2, ...
    txns: Vec<(Vec<u8>, u64)>,
    model: Tree,
    next_node: u64,
    nodes: Vec<String>,
}

impl History {
    pub(crate) fn new(len: i64) -> Self {
        let model = Tree::new(TreeOptions::default());
        let mut history = Self { txns: Vec::new(), model, next_node: 0, nodes: Vec::new() };
        for zxid in 1..=len {
            history.push(zxid);
        }
        history
    }

    pub(crate) fn record(&self, zxid: Zxid) -> &[u8] {
        &self.txns[usize::try_from(zxid.0).unwrap() - 1].0
    }

    /// The digest after `zxid`.
    pub(crate) fn digest(&self, zxid: Zxid) -> u64 {
        match usize::try_from(zxid.0).unwrap() {
            0 => Tree::new(TreeOptions::default()).digest(),
            n => self.txns[n - 1].1,
        }
    }

    /// The tree after `zxid`.
    pub(crate) fn tree(&self, zxid: Zxid) -> Tree {
        let mut tree = Tree::new(TreeOptions::default());
        for z in 1..=zxid.0 {
            self.apply(&mut tree, Zxid(z));
        }
        tree
    }

    pub(crate) fn apply(&self, tree: &mut Tree, zxid: Zxid) {
        let record = wk_proto::txn::Record::decode(self.record(zxid)).unwrap();
        tree.apply(&record.header, &record.txn, &mut Applied::quiet());
    }

    fn push(&mut self, zxid: i64) {
        let session = SessionId(100 + zxid / 20);
        let txn = self.txn(zxid, session);
        let header = TxnHeader {
            session,
            cxid: 1,
            zxid: Zxid(zxid),
            time: Wall(1_000_000 + zxid),
            op: txn.op(),
        };
        self.model.apply(&header, &txn, &mut Applied::quiet());
        let digest = self.model.digest();
        // Like Apache, none for a single operation that failed.
        let wants_digest = !matches!(txn, Txn::Error { .. });
        let with = wants_digest.then_some(TxnDigest { version: DIGEST_VERSION, digest });
        let mut record = Vec::new();
        encode_record(&header, &txn, with, &mut record);
        self.txns.push((record, digest));
    }

    fn txn(&mut self, zxid: i64, session: SessionId) -> Txn<'static> {
        match zxid % 20 {
            1 => Txn::CreateSession { timeout: 30_000 },
            5 => self.create(true),
            6 | 14 => {
                let path = self.nodes[self.nodes.len() / 2].clone();
                Txn::SetData { path: path.into(), data: None, version: 1 }
            }
            8 => Txn::Error { code: ErrorCode::NoNode.code() },
            10 => {
                let path = self.nodes.remove(self.nodes.len() / 2);
                Txn::Delete { path: path.into() }
            }
            12 => Txn::Multi(vec![self.create(false), self.create(false)]),
            16 => {
                let acl = Acl::new(Perms(1 + i32::try_from(zxid % 30).unwrap()), "ip", "10.0.0.1");
                let path = self.nodes[0].clone();
                Txn::SetAcl { path: path.into(), acl: AclList::from_acls(&[acl]), version: 1 }
            }
            // The session's ephemeral goes with it.
            19 => Txn::CloseSession { paths: Some(vec![format!("/e{}", session.0).into()]) },
            _ => self.create(false),
        }
    }

    fn create(&mut self, ephemeral: bool) -> Txn<'static> {
        self.next_node += 1;
        let (id, fill) = (self.next_node, usize::try_from(self.next_node).unwrap());
        let path = if ephemeral {
            format!("/e{}", 100 + (self.txns.len() + 1) / 20)
        } else {
            let path = format!("/n{id}");
            self.nodes.push(path.clone());
            path
        };
        let data = Some(vec![b'x'; fill * 7 % 60].into());
        let acl = AclList::from_acls(&[Acl::new(Perms::ALL, "world", "anyone")]);
        // The root's stored cversion counts creates; without it replaying twice would count twice.
        let parent_cversion = i32::try_from(id).unwrap();
        let create = CreateTxn { path: path.into(), data, acl, ephemeral, parent_cversion };
        Txn::Create2(create)
    }

    /// Appends the txns of `zxids` to the log, one batch.
    pub(crate) fn append(&self, log: &mut TxnLog, zxids: std::ops::RangeInclusive<i64>) {
        for zxid in zxids {
            log.append(Zxid(zxid), self.record(Zxid(zxid)));
        }
    }
}

pub(crate) fn dirs(disk: &MemDisk) -> Dirs {
    Dirs::same(Arc::new(disk.clone()))
}

/// The bytes of a log file that holds the txns 1 to `len` and a little padding, and where each
/// record begins.
pub(crate) fn log_file(history: &History, len: i64) -> (Vec<u8>, Vec<usize>) {
    let disk = MemDisk::new();
    let mut log = TxnLog::new(Arc::new(disk.clone()), Zxid::ZERO, options());
    let mut starts = vec![16];
    for zxid in 1..=len {
        history.append(&mut log, zxid..=zxid);
        log.sync().unwrap();
        starts.push(usize::try_from(log.stats().file_bytes).unwrap());
    }
    let mut bytes = disk.bytes("log.1").unwrap();
    bytes.truncate(starts[starts.len() - 1] + 60);
    (bytes, starts)
}

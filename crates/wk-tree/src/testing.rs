//! A small server for this crate's tests: prepares, applies and replays as a node does.

use wk_proto::client::request::{CreateRequest, Request};
use wk_proto::txn::encode_record;
use wk_proto::{AclList, Id, OpCode, SessionId, Txn, TxnHeader, Wall, Zxid};

use crate::apply::{Applied, Outcome};
use crate::outstanding::Outstanding;
use crate::prepare::{Context, prepare};
use crate::read::Caller;
use crate::tree::{Tree, TreeOptions};

/// The session that most tests use.
pub(crate) const ME: SessionId = SessionId(0x0100_0000_0000_0001);

pub(crate) struct Server {
    pub(crate) tree: Tree,
    pub(crate) outstanding: Outstanding,
    pub(crate) applied: Applied,
    /// Every record of the log, in order.
    pub(crate) log: Vec<(Zxid, Vec<u8>)>,
    /// Records of the log that are applied.
    pub(crate) done: usize,
    pub(crate) ids: Vec<Id>,
    next: Zxid,
}

impl Server {
    pub(crate) fn new(options: TreeOptions) -> Self {
        let mut server = Self {
            tree: Tree::new(options),
            outstanding: Outstanding::new(),
            applied: Applied::default(),
            log: Vec::new(),
            done: 0,
            ids: Vec::new(),
            next: Zxid(1),
        };
        server.run(ME, &Request::CreateSession { timeout: 4000 });
        server
    }

    /// Prepares a write; it stays outstanding.
    pub(crate) fn prepare(&mut self, session: SessionId, request: &Request<'_>) -> Txn<'static> {
        let zxid = self.next;
        self.next = zxid.next().expect("few writes");
        let time = Wall(1_000 + zxid.0);
        let context = Context { zxid, time, session, ids: &self.ids };
        let prepared = prepare(&self.tree, &mut self.outstanding, &context, request);
        let header = TxnHeader { session, cxid: 7, zxid, time, op: prepared.txn.op() };
        let mut record = Vec::new();
        encode_record(&header, &prepared.txn, prepared.digest, &mut record);
        let kept: &'static [u8] = record.clone().leak();
        self.log.push((zxid, record));
        wk_proto::txn::Record::decode(kept).expect("just encoded").txn
    }

    /// Applies the next outstanding write, and sees that its digest is the predicted one.
    pub(crate) fn apply_next(&mut self) -> bool {
        let Some((zxid, record)) = self.log.get(self.done) else { return false };
        let record = wk_proto::txn::Record::decode(record).expect("just encoded");
        self.tree.apply(&record.header, &record.txn, &mut self.applied);
        self.outstanding.applied(*zxid);
        if let Some(digest) = record.digest {
            assert_eq!(self.tree.digest(), digest.digest, "after {record:?}");
        }
        self.done += 1;
        true
    }

    /// Prepares and applies one write.
    pub(crate) fn run(&mut self, session: SessionId, request: &Request<'_>) -> Outcome {
        self.prepare(session, request);
        while self.apply_next() {}
        self.applied.outcome
    }

    pub(crate) fn create(&mut self, path: &str, flags: i32) -> Outcome {
        self.run(ME, &create(path, flags))
    }

    pub(crate) fn caller(&self) -> Caller<'_> {
        Caller { session: ME, ids: &self.ids }
    }

    pub(crate) fn text(&self, path: &str) -> String {
        let data = self.tree.get_data(path, &self.caller()).expect(path).0;
        String::from_utf8_lossy(data.expect("not null")).into_owned()
    }
}

pub(crate) fn create(path: &str, flags: i32) -> Request<'_> {
    create_with(OpCode::Create2, path, flags, b"data", AclList::open())
}

pub(crate) fn create_with<'a>(
    op: OpCode,
    path: &'a str,
    flags: i32,
    data: &'a [u8],
    acl: AclList<'a>,
) -> Request<'a> {
    Request::Create(op, CreateRequest { path, data: Some(data), acl, flags, ttl: 0 })
}

pub(crate) fn set<'a>(path: &'a str, data: &'a [u8], version: i32) -> Request<'a> {
    Request::SetData { path, data: Some(data), version }
}

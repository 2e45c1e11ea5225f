//! A plain model of the tree, and random histories that both must agree on.
//!
//! The model is a map from path to znode that carries out each write at once, by the rules as clients
//! see them. The server under test prepares writes ahead of applying them, takes snapshots in slices
//! between, and is loaded again from them.

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;
use wk_proto::client::request::{CreateRequest, Request};
use wk_proto::txn::Record;
use wk_proto::{Acl, AclList, ErrorCode, OpCode, Perms, SessionId, Stat, Wall, Zxid};

use crate::apply::{Applied, Outcome};
use crate::image;
use crate::testing::{ME, Server};
use crate::tree::{Tree, TreeOptions};

#[derive(Clone, Debug, PartialEq)]
struct Znode {
    data: Option<Vec<u8>>,
    acl: AclList<'static>,
    stat: Stat,
    /// Children ever created.
    creates: i32,
}

#[derive(Clone, Debug)]
struct Model {
    znodes: BTreeMap<String, Znode>,
    sessions: BTreeSet<SessionId>,
}

type Done = Result<Option<Stat>, ErrorCode>;

impl Model {
    fn new() -> Self {
        let mut znodes = BTreeMap::new();
        for (path, children, acl) in [
            ("/", 1, AclList::open()),
            ("/zookeeper", 2, AclList::open()),
            ("/zookeeper/quota", 0, AclList::open()),
            ("/zookeeper/config", 0, some_acl(0)),
        ] {
            let stat = Stat { cversion: -children, num_children: children, ..Stat::default() };
            let znode = Znode { data: Some(Vec::new()), acl, stat, creates: 0 };
            znodes.insert(path.to_owned(), znode);
        }
        znodes.get_mut("/zookeeper/config").unwrap().stat.aversion = -1;
        Self { znodes, sessions: BTreeSet::from([ME]) }
    }

    fn run(&mut self, session: SessionId, zxid: Zxid, op: &Op) -> Vec<Done> {
        let Op::Multi(ops) = op else { return vec![self.one(session, zxid, op)] };
        let before = self.clone();
        let mut results: Vec<Done> = Vec::new();
        for op in ops {
            results.push(self.one(session, zxid, op));
        }
        if let Some(failed) = results.iter().position(Result::is_err) {
            *self = before;
            let rest = results.len() - failed - 1;
            results.truncate(failed + 1);
            results.resize(failed + 1 + rest, Err(ErrorCode::RuntimeInconsistency));
        }
        results
    }

    fn one(&mut self, session: SessionId, zxid: Zxid, op: &Op) -> Done {
        match op {
            Op::OpenSession => {
                self.sessions.insert(session);
                Ok(None)
            }
            Op::CloseSession => {
                self.sessions.remove(&session);
                let owned: Vec<_> = self
                    .znodes
                    .iter()
                    .filter(|(_, znode)| znode.stat.ephemeral_owner == session)
                    .map(|(path, _)| path.clone())
                    .collect();
                for path in &owned {
                    self.delete(path, zxid);
                }
                Ok(None)
            }
            _ if !self.sessions.contains(&session) => Err(ErrorCode::SessionExpired),
            Op::Create { path, data, flags, acl } => {
                self.create(session, zxid, path, data.clone(), *flags, *acl).map(Some)
            }
            Op::Multi(_) => panic!("no multi in a multi"),
            Op::Delete(path, _) if !self.znodes.contains_key(parent_of(path)) => {
                Err(ErrorCode::NoNode)
            }
            Op::Delete(path, version) => {
                let znode = self.expect(path, *version)?;
                if znode.stat.num_children > 0 {
                    return Err(ErrorCode::NotEmpty);
                }
                self.delete(path, zxid);
                Ok(None)
            }
            Op::Set { path, data, version } => {
                let znode = self.expect(path, *version)?;
                znode.data.clone_from(data);
                znode.stat.data_length = len_of(data.as_deref());
                znode.stat.version += 1;
                znode.stat.mzxid = zxid;
                znode.stat.mtime = time_of(zxid);
                Ok(Some(znode.stat))
            }
            Op::SetAcl(path, acl) => {
                let znode = self.expect(path, -1)?;
                znode.acl = some_acl(*acl);
                znode.stat.aversion += 1;
                Ok(Some(znode.stat))
            }
            Op::Check(path, version) => self.expect(path, *version).map(|_| None),
        }
    }

    fn expect(&mut self, path: &str, version: i32) -> Result<&mut Znode, ErrorCode> {
        let znode = self.znodes.get_mut(path).ok_or(ErrorCode::NoNode)?;
        if version != -1 && znode.stat.version != version {
            return Err(ErrorCode::BadVersion);
        }
        Ok(znode)
    }

    fn create(
        &mut self,
        session: SessionId,
        zxid: Zxid,
        path: &str,
        data: Option<Vec<u8>>,
        flags: i32,
        acl: u8,
    ) -> Result<Stat, ErrorCode> {
        let parent = self.znodes.get(parent_of(path)).ok_or(ErrorCode::NoNode)?.clone();
        let sequential = flags & 2 != 0;
        let path =
            if sequential { format!("{path}{:010}", parent.creates) } else { path.to_owned() };
        if self.znodes.contains_key(&path) {
            return Err(ErrorCode::NodeExists);
        }
        if parent.stat.ephemeral_owner != SessionId::NONE {
            return Err(ErrorCode::NoChildrenForEphemerals);
        }
        let stat = Stat {
            czxid: zxid,
            mzxid: zxid,
            pzxid: zxid,
            ctime: time_of(zxid),
            mtime: time_of(zxid),
            data_length: len_of(data.as_deref()),
            ephemeral_owner: if flags & 1 != 0 { session } else { SessionId::NONE },
            ..Stat::default()
        };
        let parent = self.znodes.get_mut(parent_of(&path)).unwrap();
        parent.creates += 1;
        parent.stat.cversion += 1;
        parent.stat.num_children += 1;
        parent.stat.pzxid = zxid;
        self.znodes.insert(path, Znode { data, acl: some_acl(acl), stat, creates: 0 });
        Ok(stat)
    }

    fn delete(&mut self, path: &str, zxid: Zxid) {
        self.znodes.remove(path).unwrap();
        let parent = self.znodes.get_mut(parent_of(path)).unwrap();
        parent.stat.cversion += 1;
        parent.stat.num_children -= 1;
        parent.stat.pzxid = zxid;
    }
}

fn parent_of(path: &str) -> &str {
    wk_proto::path::split(path).unwrap().0
}

fn len_of(data: Option<&[u8]>) -> i32 {
    i32::try_from(data.map_or(0, <[u8]>::len)).unwrap()
}

fn time_of(zxid: Zxid) -> Wall {
    Wall(1_000 + zxid.0)
}

fn some_acl(which: u8) -> AclList<'static> {
    match which {
        0 => AclList::from_acls(&[Acl::new(Perms::READ, "world", "anyone")]),
        1 => AclList::from_acls(&[Acl::new(Perms::ALL, "digest", "u:h")]),
        _ => AclList::open(),
    }
}

#[derive(Clone, Debug)]
enum Op {
    Create { path: String, data: Option<Vec<u8>>, flags: i32, acl: u8 },
    Delete(String, i32),
    Set { path: String, data: Option<Vec<u8>>, version: i32 },
    SetAcl(String, u8),
    Check(String, i32),
    Multi(Vec<Op>),
    OpenSession,
    CloseSession,
}

impl Op {
    fn request(&self) -> Request<'_> {
        match self {
            Self::Create { path, data, flags, acl } => {
                let (data, acl) = (data.as_deref(), some_acl(*acl));
                let create = CreateRequest { path, data, acl, flags: *flags, ttl: 0 };
                Request::Create(OpCode::Create2, create)
            }
            Self::Delete(path, version) => Request::Delete { path, version: *version },
            Self::Set { path, data, version } => {
                Request::SetData { path, data: data.as_deref(), version: *version }
            }
            Self::SetAcl(path, acl) => Request::SetAcl { path, acl: some_acl(*acl), version: -1 },
            Self::Check(path, version) => Request::Check { path, version: *version },
            Self::Multi(ops) => Request::Multi(ops.iter().map(Self::request).collect()),
            Self::OpenSession => Request::CreateSession { timeout: 4000 },
            Self::CloseSession => Request::CloseSession,
        }
    }
}

#[derive(Clone, Debug)]
enum Step {
    Write(u8, Op),
    Apply(u8),
    BeginImage,
    Slice(u16),
}

fn arb_path() -> impl Strategy<Value = String> {
    prop_oneof![
        4 => prop::sample::select(vec!["/a", "/b", "/a/x", "/a/y", "/a/x/z", "/b/ü", "/q", "/"]),
        1 => prop::sample::select(vec!["/q/n-0000000000", "/q/n-0000000001", "/a/0000000000"]),
    ]
    .prop_map(str::to_owned)
}

fn arb_data() -> impl Strategy<Value = Option<Vec<u8>>> {
    prop::option::weighted(0.9, prop::collection::vec(any::<u8>(), 0..6))
}

fn arb_simple() -> impl Strategy<Value = Op> {
    let created = prop::sample::select(vec!["/a", "/b", "/a/x", "/a/y", "/a/x/z", "/b/ü", "/q"]);
    let version = -1..3_i32;
    prop_oneof![
        5 => (created, arb_data(), 0..2_i32, 0..4_u8).prop_map(|(path, data, flags, acl)| {
            Op::Create { path: path.to_owned(), data, flags, acl }
        }),
        2 => (prop::sample::select(vec!["/q/n-", "/a/", "/b/s"]), arb_data(), 2..4_i32)
            .prop_map(|(path, data, flags)| {
                Op::Create { path: path.to_owned(), data, flags, acl: 3 }
            }),
        4 => (arb_path(), version.clone())
            .prop_filter("the root is another test's", |(path, _)| path != "/")
            .prop_map(|(path, version)| Op::Delete(path, version)),
        3 => (arb_path(), arb_data(), version.clone())
            .prop_map(|(path, data, version)| Op::Set { path, data, version }),
        1 => (arb_path(), version).prop_map(|(path, version)| Op::Check(path, version)),
    ]
}

fn arb_step() -> impl Strategy<Value = Step> {
    let op = prop_oneof![
        12 => arb_simple(),
        3 => (arb_path(), 0..4_u8).prop_map(|(path, acl)| Op::SetAcl(path, acl)),
        3 => prop::collection::vec(arb_simple(), 0..5).prop_map(Op::Multi),
        1 => Just(Op::OpenSession),
        1 => Just(Op::CloseSession),
    ];
    prop_oneof![
        6 => (0..3_u8, op).prop_map(|(session, op)| Step::Write(session, op)),
        2 => (1..5_u8).prop_map(Step::Apply),
        1 => Just(Step::BeginImage),
        2 => (0..300_u16).prop_map(Step::Slice),
    ]
}

/// The server, the model, and what the model says that outstanding writes will come to.
struct Run {
    server: Server,
    model: Model,
    expected: Vec<(Vec<Done>, Model)>,
    image: Option<(Zxid, Vec<u8>)>,
}

impl Run {
    fn new() -> Self {
        let options = TreeOptions {
            auth: crate::auth::AuthOptions { skip_acl: true, ..Default::default() },
            ..TreeOptions::default()
        };
        Self {
            server: Server::new(options),
            model: Model::new(),
            expected: Vec::new(),
            image: None,
        }
    }

    fn step(&mut self, step: &Step) {
        match step {
            Step::Write(who, op) => {
                let session = SessionId(ME.0 + i64::from(*who));
                if matches!(op, Op::Check(..)) {
                    return;
                }
                self.server.prepare(session, &op.request());
                let zxid = self.server.log.last().unwrap().0;
                let results = self.model.run(session, zxid, op);
                self.expected.push((results, self.model.clone()));
            }
            Step::Apply(count) => (0..*count).for_each(|_| self.apply_one()),
            Step::BeginImage => {
                self.server.tree.image_begin();
                self.image = Some((self.server.tree.last_zxid(), Vec::new()));
            }
            Step::Slice(bytes) => self.slice(usize::from(*bytes)),
        }
    }

    fn apply_one(&mut self) {
        if !self.server.apply_next() {
            assert!(self.server.outstanding.is_empty());
            return;
        }
        let applied = &self.server.applied;
        let (results, model) = self.expected.remove(0);
        if applied.multi.is_empty() {
            if let [result] = &results[..] {
                assert_outcome(applied.outcome, result);
            }
        } else {
            assert_eq!(applied.multi.len(), results.len());
            let failed = results.iter().any(Result::is_err);
            for (outcome, result) in applied.multi.iter().zip(&results) {
                match result {
                    Ok(_) if failed => assert_eq!(*outcome, Outcome::Error(0)),
                    _ => assert_outcome(*outcome, result),
                }
            }
        }
        assert_same(&self.server.tree, &model);
    }

    fn slice(&mut self, bytes: usize) {
        let Some((start, image)) = &mut self.image else { return };
        if self.server.tree.image_next(image, bytes) {
            return;
        }
        let mut loader = image::Loader::new(self.server.tree.options().clone());
        let mut left = &image[..];
        // In pieces, as from a file.
        for end in (0..image.len()).step_by(29).chain([image.len()]) {
            let fed = loader.feed(&left[..end - (image.len() - left.len())]).expect("an image");
            left = &left[fed.consumed..];
        }
        assert!(left.is_empty());
        assert_eq!(loader.unknown_acls(), 0);
        let mut loaded = loader.finish().expect("a whole image");
        loaded.set_last_zxid(*start);
        let end = self.server.tree.last_zxid();
        let mut applied = Applied::quiet();
        for (zxid, record) in &self.server.log[..self.server.done] {
            if zxid > start {
                let record = Record::decode(record).unwrap();
                loaded.apply(&record.header, &record.txn, &mut applied);
            }
        }
        assert_eq!(loaded.last_zxid(), end);
        assert_eq!(loaded.remove_orphaned_ephemerals(), Vec::<String>::new());
        assert_eq!(loaded.digest(), loaded.digest_from_scratch());
        assert_eq!(loaded.digest(), self.server.tree.digest());
        assert_eq!(loaded.counts(), self.server.tree.counts());
        assert!(loaded.sessions().eq(self.server.tree.sessions()));
        assert_eq!(dump(&loaded), dump(&self.server.tree));
        // A log replayed over what has all of it changes nothing.
        for (_, record) in &self.server.log[..self.server.done] {
            let record = Record::decode(record).unwrap();
            loaded.apply(&record.header, &record.txn, &mut applied);
        }
        assert_eq!(dump(&loaded), dump(&self.server.tree));
        assert_eq!(loaded.digest(), self.server.tree.digest());
        // Go on with what was loaded: it must be as good.
        self.server.tree = loaded;
        self.image = None;
    }
}

fn assert_outcome(outcome: Outcome, result: &Done) {
    match (outcome, result) {
        (Outcome::Done, Ok(_)) => {}
        (Outcome::Stat(stat), Ok(Some(expected))) => assert_eq!(stat, *expected),
        (Outcome::Error(code), Err(expected)) => {
            assert_eq!(ErrorCode::from_code(code), Some(*expected));
        }
        different => panic!("{different:?}"),
    }
}

fn dump(tree: &Tree) -> BTreeMap<String, Znode> {
    let mut znodes = BTreeMap::new();
    tree.for_each(|path, data, stat| {
        let node = tree.get(path).unwrap();
        let acl = tree.acls.list(node.acl).into_owned();
        let data = data.map(<[u8]>::to_vec);
        let znode = Znode { data, acl, stat: *stat, creates: node.cversion };
        assert!(znodes.insert(path.to_owned(), znode).is_none(), "{path} came twice");
    });
    znodes
}

fn assert_same(tree: &Tree, model: &Model) {
    assert_eq!(dump(tree), model.znodes);
    assert_eq!(tree.digest(), tree.digest_from_scratch());
    assert!(tree.sessions().map(|(id, _)| id).eq(model.sessions.iter().copied()));
    let counts = tree.counts();
    assert_eq!(counts.nodes, model.znodes.len() + 1);
    let owned = model.znodes.values().filter(|z| z.stat.ephemeral_owner != SessionId::NONE);
    assert_eq!(counts.ephemerals, owned.count());
    let size = |(path, znode): (&String, &Znode)| {
        let twice = if path == "/" { znode.stat.data_length } else { 0 };
        i64::try_from(path.encode_utf16().count()).unwrap()
            + i64::from(znode.stat.data_length + twice)
    };
    assert_eq!(counts.approximate_data_size, model.znodes.iter().map(size).sum::<i64>());
    let in_use: BTreeSet<_> =
        model.znodes.values().map(|z| z.acl.clone()).filter(|acl| !acl.is_open()).collect();
    assert_eq!(tree.acls.iter().count(), in_use.len());
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1_000, ..ProptestConfig::default() })]

    #[test]
    fn prop_any_history_agrees_with_the_plain_model(
        steps in prop::collection::vec(arb_step(), 1..80)
    ) {
        let mut run = Run::new();
        for step in &steps {
            run.step(step);
        }
        while !run.expected.is_empty() {
            run.apply_one();
        }
        run.step(&Step::BeginImage);
        run.step(&Step::Slice(u16::MAX));
        prop_assert!(run.image.is_none(), "the last image was loaded");
    }
}

//! Apache's own log and snapshots: the log replayed here gives the digests that its records carry,
//! and the tree of the snapshot that Apache wrote at its end.

use std::collections::BTreeMap;
use std::path::PathBuf;

use wk_proto::acl::Id;
use wk_proto::txn::Record;
use wk_proto::{AclList, Reader, SessionId, Stat, Txn, Zxid};
use wk_tree::{Applied, Caller, Tree, TreeOptions, image};

fn golden(name: &str) -> Vec<u8> {
    let dir = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../golden/zookeeper-3.9.5");
    std::fs::read(dir.join(name)).expect(name)
}

fn options() -> TreeOptions {
    TreeOptions { extended_types: true, ..TreeOptions::default() }
}

/// The bodies of a log's records.
fn records(log: &[u8]) -> Vec<&[u8]> {
    let mut r = Reader::new(&log[16..]);
    let mut bodies = Vec::new();
    while let (Ok(_sum), Ok(Some(body))) = (r.i64(), r.buffer()) {
        if body.is_empty() {
            break;
        }
        assert_eq!(r.bytes(1), Ok(&b"B"[..]));
        bodies.push(body);
    }
    bodies
}

/// Apache's server predicts the digest of a container that is asked for by a plain create (it makes
/// a persistent znode) as if it were a container: no server's tree ever has that digest.
fn is_mispredicted(txn: &Txn<'_>) -> bool {
    matches!(txn, Txn::Create(create) if create.path == "/c/b2")
}

type Dump = BTreeMap<String, (Option<Vec<u8>>, Stat, AclList<'static>)>;

fn dump(tree: &Tree) -> Dump {
    let ids = [Id::new("super", "")];
    let caller = Caller { session: SessionId::NONE, ids: &ids };
    let mut znodes = BTreeMap::new();
    tree.for_each(|path, data, stat| {
        let acl = tree.acl(path, &caller).expect(path).0.into_owned();
        znodes.insert(path.to_owned(), (data.map(<[u8]>::to_vec), *stat, acl));
    });
    znodes
}

/// Compares znode by znode, so that a difference can be read.
fn assert_same(a: &Tree, b: &Tree) {
    let (a, b) = (dump(a), dump(b));
    assert!(a.keys().eq(b.keys()), "{:?} {:?}", a.keys(), b.keys());
    for (path, znode) in &a {
        assert_eq!(znode, &b[path], "{path}");
    }
}

/// A snapshot's image, and the digest that follows it: zxid and sum.
fn load(file: &[u8]) -> (Tree, Zxid, u64) {
    let (tree, tail) = image::load(&file[16..], options()).expect("Apache's image");
    let mut r = Reader::new(&tail[13..]);
    let zxid = Zxid(r.i64().expect("a digest part"));
    assert_eq!(r.i32(), Ok(2));
    (tree, zxid, r.i64().expect("a digest part").cast_unsigned())
}

#[test]
fn a_log_of_apaches_gives_apaches_digests_and_tree() {
    let mut tree = Tree::new(options());
    let mut applied = Applied::default();
    let log = golden("file-log.bin");
    let bodies = records(&log);
    let mut compared = 0;
    for body in &bodies {
        let record = Record::decode(body).expect("Apache's record");
        tree.apply(&record.header, &record.txn, &mut applied);
        let Some(digest) = record.digest else { continue };
        if is_mispredicted(&record.txn) {
            assert_ne!(tree.digest(), digest.digest, "Apache mends its prediction?");
        } else {
            assert_eq!(tree.digest(), digest.digest, "after {record:?}");
            compared += 1;
        }
    }
    assert!(bodies.len() > 50 && compared > 30, "{compared} of {}", bodies.len());

    let file = golden("file-snapshot.bin");
    let (mut snapshot, zxid, digest) = load(&file);
    assert_eq!(snapshot.digest(), digest);
    assert_eq!(tree.last_zxid(), zxid);
    assert_same(&tree, &snapshot);
    assert!(tree.sessions().eq(snapshot.sessions()));
    assert_eq!(tree.counts(), snapshot.counts());

    // Our image of it reads as the same tree.
    snapshot.set_last_zxid(zxid);
    snapshot.image_begin();
    let mut ours = Vec::new();
    while snapshot.image_next(&mut ours, 100) {}
    let (again, rest) = image::load(&ours, options()).expect("our image");
    assert!(rest.is_empty());
    assert_same(&again, &snapshot);
    assert_eq!(again.digest(), digest);
}

#[test]
fn a_fresh_tree_is_that_of_apaches_first_snapshot() {
    let file = golden("file-snapshot-empty.bin");
    let mut tree = Tree::new(options());
    tree.image_begin_still();
    let mut ours = Vec::new();
    while tree.image_next(&mut ours, 100) {}
    let (loaded, ..) = load(&file);
    assert_same(&loaded, &tree);
    // Header before it; seal, digest, seal, zxid, seal behind it.
    assert_eq!(ours, file[16..file.len() - (13 + 20 + 13 + 8 + 13)]);
}

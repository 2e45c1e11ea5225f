//! Files that Apache ZooKeeper 3.9.5 wrote (`golden/zookeeper-3.9.5/file-*.bin`): read here with
//! the digests that it put into them, and written again with the same bytes.
#![allow(clippy::unwrap_used, reason = "a test reports by a panic with its line")]

use std::collections::BTreeMap;
use std::io::Read;
use std::path::PathBuf;
use std::sync::Arc;

use wk_proto::{Acl, AclList, Perms, Reader, StatPersisted, Txn, Zxid};
use wk_store::mem_disk::MemDisk;
use wk_store::{
    Dirs, Head, LogReader, Next, RecoverOptions, Recovered, SnapshotFile, SnapshotOptions, TxnLog,
    TxnLogOptions, recover, write_snapshot,
};
use wk_tree::TreeOptions;

fn golden(name: &str) -> Vec<u8> {
    let dir = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../golden/zookeeper-3.9.5");
    std::fs::read(dir.join(format!("file-{name}.bin"))).unwrap()
}

fn options() -> RecoverOptions {
    // The scripted session has TTL znodes.
    let tree = TreeOptions { extended_types: true, ..TreeOptions::default() };
    RecoverOptions { tree, ..RecoverOptions::default() }
}

fn recovered(disk: &MemDisk) -> Recovered {
    recover(&Dirs::same(Arc::new(disk.clone())), &options()).unwrap()
}

/// What Apache leaves to chance taken out: the order of siblings, the numbers of ACLs.
#[derive(Debug, PartialEq)]
struct Canonical {
    sessions: BTreeMap<i64, i32>,
    nodes: BTreeMap<String, Node>,
}

#[derive(Debug, PartialEq)]
struct Node {
    data: Option<Vec<u8>>,
    acl: Option<Vec<u8>>,
    stat: StatPersisted,
}

fn canonical(image: &[u8]) -> Canonical {
    let mut r = Reader::new(image);
    let mut sessions = BTreeMap::new();
    for _ in 0..r.i32().unwrap() {
        sessions.insert(r.i64().unwrap(), r.i32().unwrap());
    }
    let mut acls = BTreeMap::new();
    for _ in 0..r.i32().unwrap() {
        let index = r.i64().unwrap();
        acls.insert(index, AclList::decode(&mut r).unwrap().as_bytes().to_vec());
    }
    let mut nodes = BTreeMap::new();
    loop {
        let path = r.string().unwrap();
        if path == "/" {
            break;
        }
        let data = r.buffer().unwrap().map(<[u8]>::to_vec);
        let index = r.i64().unwrap();
        let acl = acls.get(&index).cloned();
        assert!(acl.is_some() || index == -1, "{path}");
        // -1 is the open ACL; Apache has it in the table as well, for some znodes.
        let open = AclList::from_acls(&[Acl::new(Perms::ALL, "world", "anyone")]);
        let acl = acl.filter(|acl| acl != open.as_bytes());
        let stat = StatPersisted::decode(&mut r).unwrap();
        let twice = nodes.insert(path.to_owned(), Node { data, acl, stat });
        assert_eq!(twice, None, "{path}");
    }
    assert!(r.rest().is_empty());
    Canonical { sessions, nodes }
}

fn image_of(disk: &MemDisk, name: &str) -> Vec<u8> {
    let mut image = Vec::new();
    SnapshotFile::open(disk, name).unwrap().image().read_to_end(&mut image).unwrap();
    image
}

#[test]
fn the_snapshot_of_a_fresh_server_is_apaches() {
    let theirs = golden("snapshot-empty");
    let disk = MemDisk::new();
    let fresh = recovered(&disk);
    assert!(fresh.report.wrote_snapshot.is_some());
    let ours = disk.bytes("snapshot.0").unwrap();
    let ours_image = canonical(&image_of(&disk, "snapshot.0"));
    disk.put("snapshot.0", &theirs);
    let again = recovered(&disk);
    assert_eq!(again.tree.digest(), 1_371_985_504);
    assert_eq!(canonical(&image_of(&disk, "snapshot.0")), ours_image);
    assert_eq!(ours, theirs);
}

/// Every record is taken apart, put together again, and written by our log: the same file, but for
/// records whose zxid came before. Apache gives requests that it could not read the zxid of the
/// last write; ours has one zxid for one record.
#[test]
fn a_log_is_written_with_the_same_bytes() {
    let theirs = golden("log");
    let disk = MemDisk::new();
    disk.put("log.1", &theirs);
    let written = MemDisk::new();
    let mut log = TxnLog::new(Arc::new(written.clone()), Zxid::ZERO, TxnLogOptions::default());
    let Head::Log(mut reader) = LogReader::open(&disk, Zxid(1)).unwrap() else { panic!("blank") };
    let mut last = Zxid::ZERO;
    let mut want = theirs.clone();
    let mut repeated = 0;
    loop {
        match reader.next(last).unwrap() {
            Next::Record { body, offset } => {
                let record = wk_proto::txn::Record::decode(body).unwrap();
                let mut encoded = Vec::new();
                record.encode(&mut encoded);
                assert_eq!(encoded, body, "at {offset}: {record:?}");
                if record.header.zxid == last {
                    assert!(matches!(record.txn, Txn::Error { .. }), "{record:?}");
                    let from = usize::try_from(offset).unwrap() - repeated;
                    let framed = 12 + body.len() + 1;
                    want.drain(from..from + framed);
                    repeated += framed;
                    continue;
                }
                last = record.header.zxid;
                log.append(last, &encoded);
            }
            Next::End => break,
            Next::Bad(place) => panic!("{place:?}"),
        }
    }
    assert!(last > Zxid(100), "{last}");
    log.sync().unwrap();
    let ours = written.bytes("log.1").unwrap();
    assert_eq!(ours[..want.len()], want, "Apache's file is cut within its padding");
    assert!(ours[want.len()..].iter().all(|b| *b == 0));
    assert_eq!(ours.len(), 16 + (64 << 20), "grown as Apache grows it");
}

/// The log replayed over the empty snapshot gives what Apache's own later snapshot holds.
#[test]
fn replaying_a_log_gives_apaches_tree() {
    let disk = MemDisk::new();
    disk.put("snapshot.0", &golden("snapshot-empty"));
    disk.put("log.1", &golden("log"));
    let replayed = recovered(&disk);
    assert!(replayed.report.txns_replayed > 100);
    // Each txn's digest is compared. Apache writes a wrong one after creates that it refused (it
    // counts them for the parent's cversion), and counts one mismatch itself when it reads this.
    assert_eq!(replayed.report.digest_mismatches, 1);
    assert_eq!(replayed.report.cut, None);

    let theirs = MemDisk::new();
    let name = format!("snapshot.{:x}", replayed.report.last_zxid.0);
    theirs.put(&name, &golden("snapshot"));
    let loaded = recovered(&theirs);
    assert_eq!(loaded.report.digest_mismatches, 0);
    assert_eq!(loaded.tree.digest(), replayed.tree.digest());
    assert_eq!(loaded.tree.counts(), replayed.tree.counts());

    let mut tree = replayed.tree;
    write_snapshot(Arc::new(disk.clone()), &mut tree, SnapshotOptions::default()).unwrap();
    let (ours, theirs) = (image_of(&disk, &name), image_of(&theirs, &name));
    assert_eq!(canonical(&ours), canonical(&theirs));
}

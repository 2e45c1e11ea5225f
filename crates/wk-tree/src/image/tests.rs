//! What a fuzzy image holds, and replays over images that are newer than the txns.

use wk_proto::client::request::Request;
use wk_proto::txn::Record;
use wk_proto::{Acl, AclList, ErrorCode, Id, JuteWrite, Perms, SessionId, StatPersisted, Zxid};

use super::{LoadError, Loader, load, shut};
use crate::apply::Applied;
use crate::read::Caller;
use crate::testing::{ME, Server, create, create_with, set};
use crate::tree::{Tree, TreeOptions};

fn server() -> Server {
    Server::new(TreeOptions::default())
}

fn image(tree: &mut Tree) -> Vec<u8> {
    let mut image = Vec::new();
    while tree.image_next(&mut image, 1) {}
    image
}

fn loaded(image: &[u8]) -> Tree {
    let mut loader = Loader::new(TreeOptions::default());
    assert!(loader.feed(image).unwrap().done);
    assert_eq!(loader.unknown_acls(), 0);
    loader.finish().unwrap()
}

fn delete(path: &str) -> Request<'_> {
    Request::Delete { path, version: -1 }
}

#[test]
fn what_is_younger_than_the_beginning_is_left_out() {
    let mut s = server();
    s.create("/a", 0);
    s.create("/b", 0);
    s.tree.image_begin();
    let mine = AclList::from_acls(&[Acl::new(Perms::ALL, "digest", "u:h")]);
    s.create("/a/new", 0);
    s.run(ME, &create_with(wk_proto::OpCode::Create, "/c", 0, b"", mine.clone()));
    s.run(ME, &Request::SetAcl { path: "/b", acl: mine, version: -1 });
    let bytes = image(&mut s.tree);
    let tree = loaded(&bytes);
    assert_eq!((tree.stat("/a/new"), tree.stat("/c")), (None, None));
    let b = tree.get("/b").unwrap();
    assert_eq!(b.aversion, 1, "its turn came after the setACL");
    assert_eq!(tree.acls.list(b.acl), shut(), "until its setACL is replayed");
    assert_eq!(tree.acls.iter().count(), 2, "that of the configuration, and the shut one");
}

#[test]
fn a_lost_txn_does_not_open_what_it_protected() {
    let mut s = server();
    s.create("/secret", 0);
    s.tree.image_begin();
    let mut bytes = Vec::new();
    // Before the tables are written, and after.
    for id in ["u:h", "v:h"] {
        let mine = AclList::from_acls(&[Acl::new(Perms::ALL, "digest", id)]);
        s.run(ME, &Request::SetAcl { path: "/secret", acl: mine, version: -1 });
        assert!(s.tree.image_next(&mut bytes, 1));
    }
    s.run(ME, &set("/secret", b"told to u alone", -1));
    while s.tree.image_next(&mut bytes, 1) {}
    let tree = loaded(&bytes);
    let acl = tree.acls.list(tree.get("/secret").unwrap().acl);
    let auth = &tree.options().auth;
    let all = [Perms::READ, Perms::WRITE, Perms::CREATE, Perms::DELETE, Perms::ADMIN, Perms::ALL];
    for perms in all {
        for id in [Id::new("world", "anyone"), Id::new("ip", "::1"), Id::new("digest", "u:h")] {
            assert!(!auth.check(&acl, &[id], perms), "{perms:?}");
        }
        assert!(auth.check(&acl, &[Id::new("super", "super:h")], perms));
    }
    let nobody = Caller { session: ME, ids: &[] };
    assert_eq!(tree.get_data("/secret", &nobody).err(), Some(ErrorCode::NoAuth));
}

#[test]
fn an_unused_shut_acl_is_not_kept() {
    let mut s = server();
    s.create("/a", 0);
    s.tree.image_begin();
    let fuzzy = image(&mut s.tree);
    s.tree.image_begin_still();
    let still = image(&mut s.tree);
    assert_eq!(fuzzy.len() - still.len(), 8 + shut().as_bytes().len());
    assert_eq!(loaded(&fuzzy).acls.iter().count(), 1, "only that of the configuration");
    assert_eq!(loaded(&still).acls.iter().count(), 1);
}

#[test]
fn a_slice_ends_among_znodes_that_are_left_out() {
    let mut s = server();
    s.tree.image_begin();
    for i in 0..1000 {
        s.create(&format!("/n{i}"), 0);
    }
    s.create("/n0/below", 0);
    let mut bytes = Vec::new();
    let mut empty = 0;
    loop {
        let before = bytes.len();
        let more = s.tree.image_next(&mut bytes, 6400);
        if !more {
            break;
        }
        empty += usize::from(bytes.len() == before);
    }
    assert!((8..=10).contains(&empty), "{empty}: a hundred of them at a time");
    assert_eq!(loaded(&bytes).counts().nodes, 5);
}

#[test]
fn deleting_the_next_znode_loses_no_other() {
    let mut s = server();
    for path in ["/a", "/a/b", "/a/b/c", "/d"] {
        s.create(path, 0);
    }
    s.tree.image_begin();
    let mut bytes = Vec::new();
    // The tables, root, three of the system's own, /a and /a/b: then it stands before /a/b/c.
    while s.tree.walk.as_ref().is_some_and(|walk| walk.path != "/a/b/c") {
        assert!(s.tree.image_next(&mut bytes, 1));
    }
    for path in ["/a/b/c", "/a/b", "/a"] {
        s.run(ME, &delete(path));
    }
    assert_eq!(s.tree.walk.as_ref().unwrap().path, "/d");
    while s.tree.image_next(&mut bytes, 1) {}
    assert!(loaded(&bytes).stat("/d").is_some());
}

#[test]
fn txns_leave_younger_znodes_of_the_same_path_alone() {
    let mut s = server();
    s.create("/p", 0);
    s.run(ME, &set("/p", b"old", -1));
    let acl = AclList::from_acls(&[Acl::new(Perms::ALL, "world", "anyone")]);
    s.run(ME, &Request::SetAcl { path: "/p", acl, version: -1 });
    s.create("/p/x", 0);
    s.create("/p/y", 0);
    s.run(ME, &delete("/p/y"));
    s.run(ME, &delete("/p/x"));
    s.run(ME, &delete("/p"));
    s.create("/p", 0);
    s.create("/p/z", 0);
    let (before, digest) = (s.tree.stat("/p"), s.tree.digest());
    let mut applied = Applied::quiet();
    for (_, record) in &s.log {
        let record = Record::decode(record).unwrap();
        s.tree.apply(&record.header, &record.txn, &mut applied);
    }
    assert_eq!(s.tree.stat("/p"), before);
    assert_eq!(s.text("/p"), "data");
    assert_eq!(s.tree.digest(), digest);
    assert_eq!(s.tree.counts().nodes, 7);
}

#[test]
fn cversion_and_pzxid_never_go_back() {
    let mut s = server();
    s.create("/p", 0);
    for path in ["/p/a", "/p/b", "/p/c"] {
        s.create(path, 0);
    }
    let before = s.tree.stat("/p");
    let (_, record) = &s.log[2];
    let record = Record::decode(record).unwrap();
    s.tree.apply(&record.header, &record.txn, &mut Applied::quiet());
    assert_eq!(s.tree.stat("/p"), before);
}

#[test]
fn ephemerals_of_unknown_sessions_go_after_loading() {
    let mut s = server();
    s.create("/e", 1);
    s.tree.sessions.clear();
    s.tree.image_begin();
    let bytes = image(&mut s.tree);
    let mut tree = loaded(&bytes);
    tree.set_last_zxid(Zxid(9));
    assert_eq!(tree.remove_orphaned_ephemerals(), ["/e"]);
    assert_eq!(tree.stat("/e"), None);
    assert_eq!(tree.stat("/").unwrap().pzxid, Zxid(9));
    assert_eq!(tree.digest(), tree.digest_from_scratch());
}

#[test]
fn damage_is_an_error_and_never_a_panic() {
    let mut s = server();
    s.create("/a", 0);
    s.run(ME, &create("/a/b", 1));
    s.tree.image_begin();
    let good = image(&mut s.tree);
    for cut in 0..good.len() {
        assert_eq!(load(&good[..cut], TreeOptions::default()).err(), Some(LoadError::Truncated));
    }
    for at in 0..good.len() {
        let mut bad = good.clone();
        bad[at] ^= 0xff;
        // Some of these are images of another tree; the seal is the store's to check.
        let _read = load(&bad, TreeOptions::default());
    }
}

#[test]
fn an_acl_that_is_not_in_the_table_shuts_its_znode() {
    let mut image = Vec::new();
    image.put_i32(0); // sessions
    image.put_i32(0); // ACLs
    for (path, acl) in [("", -1), ("/zookeeper", -1), ("/secret", 7)] {
        image.put_string(path);
        image.put_buffer(Some(b"x"));
        image.put_i64(acl);
        StatPersisted::default().encode(&mut image);
    }
    image.put_string("/");
    let mut loader = Loader::new(TreeOptions::default());
    assert!(loader.feed(&image).unwrap().done);
    assert_eq!(loader.unknown_acls(), 1);
    let tree = loader.finish().unwrap();
    let stranger = Caller { session: SessionId(1), ids: &[] };
    let boss = [Id::new("super", "")];
    let boss = Caller { session: SessionId(1), ids: &boss };
    assert_eq!(tree.get_data("/secret", &stranger).err(), Some(ErrorCode::NoAuth));
    assert!(tree.get_data("/secret", &boss).is_ok());
}

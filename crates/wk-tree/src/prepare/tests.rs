//! Order of the checks, arithmetic of stats, multis.

use wk_proto::client::request::{CreateRequest, Request};
use wk_proto::{Acl, AclList, ErrorCode, Id, OpCode, Perms, SessionId, Txn, Wall};

use crate::apply::Outcome;
use crate::testing::{ME, Server, create, create_with, set};
use crate::tree::TreeOptions;

fn server() -> Server {
    Server::new(TreeOptions::default())
}

fn error(code: ErrorCode) -> Outcome {
    Outcome::Error(code.code())
}

fn acl(perms: Perms, scheme: &str, id: &str) -> AclList<'static> {
    AclList::from_acls(&[Acl::new(perms, scheme, id)])
}

#[test]
fn create_is_checked_in_apaches_order() {
    let mut s = server();
    s.create("/e", 1);
    let bad_acl = acl(Perms::ALL, "world", "nobody");
    let with = |path, flags, acl: &AclList<'static>| {
        create_with(OpCode::Create, path, flags, b"", acl.clone())
    };
    let cases = [
        (with("/a/b", 7, &bad_acl), ErrorCode::BadArguments),
        (with("/a/b", 5, &bad_acl), ErrorCode::Unimplemented),
        (with("a", 0, &bad_acl), ErrorCode::BadArguments),
        (with("/a\0", 0, &bad_acl), ErrorCode::BadArguments),
        (with("/missing/b", 0, &bad_acl), ErrorCode::InvalidAcl),
        (with("/missing/b", 0, &AclList::open()), ErrorCode::NoNode),
        (with("/a//b", 0, &AclList::open()), ErrorCode::NoNode),
        (with("/a/", 0, &AclList::open()), ErrorCode::NoNode),
        (with("/zookeeper/config/x", 0, &AclList::open()), ErrorCode::NoAuth),
        (with("/", 0, &AclList::open()), ErrorCode::NodeExists),
        (with("/.", 0, &AclList::open()), ErrorCode::BadArguments),
        (with("/e", 0, &AclList::open()), ErrorCode::NodeExists),
        (with("/e/child", 0, &AclList::open()), ErrorCode::NoChildrenForEphemerals),
    ];
    for (request, code) in cases {
        assert_eq!(s.run(ME, &request), error(code), "{request:?}");
        assert!(s.outstanding.is_empty());
    }
    let stranger = SessionId(5);
    assert_eq!(s.run(stranger, &create("/x", 0)), error(ErrorCode::SessionExpired));
    assert_eq!(s.run(stranger, &create("/x", 9)), error(ErrorCode::BadArguments));
}

#[test]
fn stats_follow_the_rules() {
    let mut s = server();
    s.create("/p", 0);
    let Outcome::Stat(a) = s.create("/p/a", 0) else { panic!("created") };
    assert_eq!((a.version, a.cversion, a.aversion, a.data_length), (0, 0, 0, 4));
    assert_eq!(a.pzxid, a.czxid);
    s.create("/p/b", 0);
    s.run(ME, &Request::Delete { path: "/p/a", version: -1 });
    let p = s.tree.stat("/p").unwrap();
    assert_eq!((p.cversion, p.num_children, p.pzxid), (3, 1, s.tree.last_zxid()));
    assert_eq!(p.mzxid, p.czxid);
    let Outcome::Stat(set_once) = s.run(ME, &set("/p", b"xyz", 0)) else { panic!("set") };
    assert_eq!((set_once.version, set_once.mzxid), (1, s.tree.last_zxid()));
    assert_eq!(s.run(ME, &set("/p", b"", 0)), error(ErrorCode::BadVersion));
    let request =
        Request::SetAcl { path: "/p", acl: acl(Perms::READ, "world", "anyone"), version: 0 };
    let Outcome::Stat(stat) = s.run(ME, &request) else { panic!("set") };
    assert_eq!((stat.aversion, stat.version, stat.mzxid), (1, 1, set_once.mzxid));
    assert_eq!(s.run(ME, &set("/p", b"", -1)), error(ErrorCode::NoAuth));
}

#[test]
fn deletes_are_checked_in_apaches_order() {
    let mut s = server();
    s.create("/p", 0);
    s.create("/p/c", 0);
    for (path, version, code) in [
        ("/", -1, ErrorCode::BadArguments),
        ("/zookeeper/config", -1, ErrorCode::BadArguments),
        ("p", -1, ErrorCode::BadArguments),
        ("/none/x", -1, ErrorCode::NoNode),
        ("/none", -1, ErrorCode::NoNode),
        ("/p", 3, ErrorCode::BadVersion),
        ("/p", -1, ErrorCode::NotEmpty),
    ] {
        assert_eq!(s.run(ME, &Request::Delete { path, version }), error(code), "{path}");
    }
    assert_eq!(s.run(ME, &Request::Delete { path: "/p/c", version: 0 }), Outcome::Done);
    assert_eq!(s.run(ME, &Request::Delete { path: "/p", version: 0 }), Outcome::Done);
}

#[test]
fn sequence_numbers_count_every_child_and_failures_take_none() {
    let mut s = server();
    s.create("/q", 0);
    let name = |s: &mut Server, path| {
        let Txn::Create2(create) = s.prepare(ME, &create(path, 2)) else { panic!("a create") };
        create.path.into_owned()
    };
    assert_eq!(name(&mut s, "/q/n-"), "/q/n-0000000000");
    assert_eq!(name(&mut s, "/q/"), "/q/0000000001", "the first is outstanding");
    s.create("/q/other", 0);
    assert_eq!(s.create("/q/other", 0), error(ErrorCode::NodeExists));
    s.run(ME, &Request::Delete { path: "/q/other", version: -1 });
    let failing = Request::Multi(vec![create("/q/m-", 2), create("/q/n-0000000000", 0)]);
    s.run(ME, &failing);
    assert_eq!(name(&mut s, "/q/n-"), "/q/n-0000000003");
}

#[test]
fn a_multi_is_done_whole_or_not_at_all() {
    let mut s = server();
    s.create("/m", 0);
    let good = Request::Multi(vec![
        create("/m/a", 0),
        set("/m/a", b"1", 0),
        Request::Check { path: "/m/a", version: 1 },
        Request::Delete { path: "/m/a", version: 1 },
        create("/m/b", 1),
    ]);
    assert_eq!(s.run(ME, &good), Outcome::Done);
    assert_eq!(s.applied.multi.len(), 5);
    assert_eq!(s.tree.stat("/m").unwrap().cversion, 3);
    let digest = s.tree.digest();
    let bad = Request::Multi(vec![
        create("/m/c", 0),
        Request::Delete { path: "/m/none", version: -1 },
        create("/m/d", 0),
    ]);
    s.prepare(ME, &bad);
    assert!(s.outstanding.is_empty());
    s.apply_next();
    assert_eq!(
        s.applied.multi,
        [Outcome::Error(0), error(ErrorCode::NoNode), error(ErrorCode::RuntimeInconsistency)]
    );
    assert_eq!(s.tree.stat("/m/c"), None);
    assert_eq!(s.tree.digest(), digest);
    assert_eq!(s.applied.events().count(), 0);
    assert_eq!(s.run(ME, &Request::Multi(vec![])), Outcome::Done);
}

#[test]
fn a_failing_multi_leaves_what_was_outstanding_before() {
    let mut s = server();
    s.prepare(ME, &create("/x", 0));
    s.prepare(ME, &set("/x", b"1", 0));
    let bad = Request::Multi(vec![
        set("/x", b"2", 1),
        Request::Delete { path: "/x", version: 2 },
        create("/y", 0),
        Request::Check { path: "/none", version: -1 },
    ]);
    s.prepare(ME, &bad);
    assert!(matches!(s.prepare(ME, &set("/x", b"3", 1)), Txn::SetData { version: 2, .. }));
    while s.apply_next() {}
    assert_eq!(s.text("/x"), "3");
    assert_eq!(s.tree.stat("/y"), None);
    assert!(s.outstanding.is_empty());
}

#[test]
fn closing_a_session_takes_its_ephemerals_with_it() {
    let mut s = server();
    let other = SessionId(9);
    s.run(other, &Request::CreateSession { timeout: 1 });
    s.run(other, &create("/mine", 1));
    s.run(other, &create("/gone", 1));
    s.prepare(other, &create("/pending", 1));
    s.prepare(other, &Request::Delete { path: "/gone", version: -1 });
    let Txn::CloseSession { paths: Some(paths) } = s.prepare(other, &Request::CloseSession) else {
        panic!("a closeSession")
    };
    assert_eq!(paths, ["/mine", "/pending"]);
    assert!(matches!(s.prepare(other, &create("/late", 1)), Txn::Error { code: -112 }));
    while s.apply_next() {}
    assert_eq!(s.tree.counts().ephemerals, 0);
    assert_eq!(s.tree.session_timeout(other), None);
    assert_eq!(s.tree.stat("/mine"), None);
}

#[test]
fn containers_and_ttls_are_reaped_when_their_time_has_come() {
    let mut s = Server::new(TreeOptions { extended_types: true, ..TreeOptions::default() });
    let ttl = |ttl, flags| {
        let acl = AclList::open();
        Request::Create(
            OpCode::CreateTtl,
            CreateRequest { path: "/t", data: None, acl, flags, ttl },
        )
    };
    for (bad, flags) in [(0, 5), (1 << 40, 5), (100, 0)] {
        assert_eq!(s.run(ME, &ttl(bad, flags)), error(ErrorCode::BadArguments));
    }
    let Outcome::Stat(stat) = s.run(ME, &ttl(100, 5)) else { panic!("created") };
    assert_eq!(stat.ephemeral_owner, SessionId::NONE);
    s.run(ME, &create_with(OpCode::CreateContainer, "/c", 4, b"", AclList::open()));
    assert!(s.tree.reapable(stat.mtime, 10).is_empty());
    assert_eq!(s.tree.reapable(Wall(stat.mtime.0 + 101), 10), ["/t"]);
    s.create("/c/child", 0);
    assert_eq!(
        s.run(SessionId::NONE, &Request::DeleteContainer { path: "/c" }),
        error(ErrorCode::NotEmpty)
    );
    s.run(ME, &Request::Delete { path: "/c/child", version: -1 });
    assert_eq!(s.tree.reapable(stat.mtime, 10), ["/c"]);
    assert_eq!(s.run(SessionId::NONE, &Request::DeleteContainer { path: "/c" }), Outcome::Done);
    s.create("/e", 1);
    assert_eq!(
        s.run(SessionId::NONE, &Request::DeleteContainer { path: "/e" }),
        error(ErrorCode::BadVersion)
    );
}

#[test]
fn permissions_are_asked_of_the_right_znode() {
    let mut s = server();
    s.ids = vec![Id::new("ip", "1.2.3.4"), Id::new("digest", "u:h")];
    let mine = |perms| acl(perms, "digest", "u:h");
    s.run(ME, &create_with(OpCode::Create, "/p", 0, b"", mine(Perms(31 - 8))));
    s.run(ME, &create_with(OpCode::Create, "/p/c", 0, b"", mine(Perms(31 - 2))));
    assert_eq!(s.run(ME, &set("/p/c", b"", -1)), error(ErrorCode::NoAuth));
    let delete = Request::Delete { path: "/p/c", version: -1 };
    assert_eq!(s.run(ME, &delete), error(ErrorCode::NoAuth));
    s.ids.clear();
    let caller = s.caller();
    assert_eq!(s.tree.get_data("/p", &caller).err(), Some(ErrorCode::NoAuth));
    assert_eq!(s.tree.acl("/p", &caller).err(), Some(ErrorCode::NoAuth));
    assert_eq!(s.run(ME, &create("/p/d", 0)), error(ErrorCode::NoAuth));
    s.ids.push(Id::new("super", ""));
    assert_eq!(s.run(ME, &delete), Outcome::Done);
}

#[test]
fn who_may_not_administer_sees_masked_digests() {
    let mut s = server();
    let list = AclList::from_acls(&[
        Acl::new(Perms::READ, "world", "anyone"),
        Acl::new(Perms::ALL, "digest", "u:secret"),
    ]);
    s.run(ME, &create_with(OpCode::Create, "/p", 0, b"", list.clone()));
    let seen = s.tree.acl("/p", &s.caller()).unwrap().0.to_vec();
    assert_eq!(seen[1].id.id, "u:x");
    s.ids.push(Id::new("digest", "u:secret"));
    assert_eq!(s.tree.acl("/p", &s.caller()).unwrap().0, list);
}

#[test]
fn descendants_are_counted_and_ephemerals_listed_by_prefix() {
    let mut s = server();
    assert_eq!(s.tree.all_children_number("/", &s.caller()), Ok(3));
    for (path, flags) in [("/p", 0), ("/p/a", 0), ("/p/a/b", 1), ("/pq", 1), ("/z", 0)] {
        s.create(path, flags);
    }
    let caller = s.caller();
    assert_eq!(s.tree.all_children_number("/", &caller), Ok(8));
    assert_eq!(s.tree.all_children_number("/p", &caller), Ok(2));
    assert_eq!(s.tree.all_children_number("/z", &caller), Ok(0));
    assert_eq!(s.tree.all_children_number("/none", &caller), Err(ErrorCode::NoNode));
    assert_eq!(s.tree.ephemerals(ME, "/p"), ["/p/a/b", "/pq"]);
    assert_eq!(s.tree.ephemerals(ME, "/p/"), ["/p/a/b"]);
    assert_eq!(s.tree.ephemerals(ME, "/").len(), 2);
    let (names, stat) = s.tree.children("/p", &caller).unwrap();
    assert_eq!((names.len(), names.collect::<Vec<_>>()), (1, vec!["a"]));
    assert_eq!(stat.num_children, 1);
}

#[test]
fn reconfig_answers_as_a_standalone_server() {
    let request =
        Request::Reconfig { joining: None, leaving: None, new_members: None, cur_config_id: -1 };
    assert_eq!(server().run(ME, &request), error(ErrorCode::ReconfigDisabled));
    let mut on = Server::new(TreeOptions { reconfig: true, ..TreeOptions::default() });
    assert_eq!(on.run(ME, &request), error(ErrorCode::Unimplemented));
}

#[test]
fn quotas_are_accounts_in_znodes() {
    let mut s = server();
    s.create("/a", 0);
    s.create("/a/b", 0);
    for path in ["/zookeeper/quota/a", "/zookeeper/quota/a/zookeeper_limits"] {
        s.create(path, 0);
    }
    s.create("/zookeeper/quota/a/zookeeper_stats", 0);
    let stats = "/zookeeper/quota/a/zookeeper_stats";
    assert_eq!(s.text(stats), "count=2,bytes=8");
    let before = s.tree.stat(stats).unwrap();
    s.create("/a/c", 0);
    s.run(ME, &set("/a/c", b"123456", -1));
    assert_eq!(s.text(stats), "count=3,bytes=14");
    s.run(ME, &Request::Delete { path: "/a/c", version: -1 });
    assert_eq!(s.text(stats), "count=2,bytes=8");
    let after = s.tree.stat(stats).unwrap();
    assert_eq!((after.version, after.mzxid), (before.version, before.mzxid));
    let limits = "/zookeeper/quota/a/zookeeper_limits";
    s.run(ME, &Request::Delete { path: limits, version: -1 });
    s.create("/a/d", 0);
    assert_eq!(s.text(stats), "count=2,bytes=8");
}

/// Under `/q`: at most 3 znodes and 20 bytes, by hard limits.
fn with_quota(enforce_quota: bool) -> Server {
    let mut s = Server::new(TreeOptions { enforce_quota, ..TreeOptions::default() });
    for path in ["/q", "/zookeeper/quota/q"] {
        s.create(path, 0);
    }
    let limits = b"count=2,bytes=-1=;byteHardLimit=20;countHardLimit=3";
    s.create("/zookeeper/quota/q/zookeeper_limits", 0);
    s.run(ME, &set("/zookeeper/quota/q/zookeeper_limits", limits, -1));
    s.create("/zookeeper/quota/q/zookeeper_stats", 0);
    s
}

#[test]
fn hard_quotas_refuse_creates_and_sets_where_they_are_enforced() {
    let refused = error(ErrorCode::QuotaExceeded);
    // Four bytes each.
    let mut s = with_quota(true);
    s.create("/q/a", 0);
    s.create("/q/b", 0);
    assert_eq!(s.text("/zookeeper/quota/q/zookeeper_stats"), "count=3,bytes=12");
    assert_eq!(s.run(ME, &create("/q/c", 0)), refused);
    assert_eq!(s.run(ME, &set("/q/a", b"0123456789abc", -1)), refused);
    // Quota before version.
    assert_eq!(s.run(ME, &set("/q/a", b"0123456789abc", 7)), refused);
    assert_ne!(s.run(ME, &set("/q/a", b"0123456789ab", -1)), refused);
    assert_eq!(s.text("/zookeeper/quota/q/zookeeper_stats"), "count=3,bytes=20");
    s.run(ME, &Request::Delete { path: "/q/b", version: -1 });
    s.create("/q/c", 0);
    assert_eq!(s.text("/zookeeper/quota/q/zookeeper_stats"), "count=3,bytes=20");
    // Not below it, nothing to ask.
    s.create("/free", 0);
    let mut s = with_quota(false);
    for path in ["/q/a", "/q/b", "/q/c"] {
        s.create(path, 0);
    }
}

#[test]
fn a_quota_counts_what_is_not_applied_yet() {
    let refused = Txn::error(ErrorCode::QuotaExceeded);
    let mut s = with_quota(true);
    s.prepare(ME, &create("/q/a", 0));
    s.prepare(ME, &create("/q/b", 0));
    assert_eq!(s.prepare(ME, &create("/q/c", 0)), refused);
    // A set that fails by its version, and a multi that fails as a whole, book nothing.
    assert_eq!(s.prepare(ME, &set("/q/a", b"12345678", 9)), Txn::error(ErrorCode::BadVersion));
    let ops = [set("/q/a", b"12345678", -1), Request::Delete { path: "/none", version: -1 }];
    s.prepare(ME, &Request::Multi(ops.into()));
    assert_ne!(s.prepare(ME, &set("/q/b", b"123456789012", -1)), refused);
    assert_eq!(s.prepare(ME, &set("/q/a", b"12345", -1)), refused);
    // What is deleted makes room before it is applied.
    s.prepare(ME, &Request::Delete { path: "/q/b", version: -1 });
    assert_ne!(s.prepare(ME, &create("/q/c", 0)), refused);
    while s.apply_next() {}
    assert_eq!(s.text("/zookeeper/quota/q/zookeeper_stats"), "count=3,bytes=12");
    assert_eq!(s.prepare(ME, &create("/q/d", 0)), refused);
}

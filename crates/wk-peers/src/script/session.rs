//! The script itself. Start the server with [`CONFIG`] and [`JVM_FLAGS`], and an empty tree.
//!
//! Every request of the surface that a standalone server answers is here at least once with its
//! good answer and with each error that can be had, in the order in which the checks come.

use wk_proto::client::request::{CreateMode, CreateRequest, Request, SetWatches};
use wk_proto::{Acl, AclList, OpCode, Perms, Xid, Zxid};

use super::{Act, Password, Step, Until};

/// Lines of zoo.cfg that the script needs.
pub const CONFIG: &[&str] = &["extendedTypesEnabled=true"];

/// `super:admin` may do everything.
pub const JVM_FLAGS: &[&str] =
    &["-Dzookeeper.DigestAuthenticationProvider.superDigest=super:xQJmxLMiHGwaqBvst5y6rkB6HQs="];

/// Builds a script.
#[derive(Debug, Default)]
struct Script {
    steps: Vec<Step>,
}

/// The whole script.
pub fn main() -> Vec<Step> {
    let mut script = Script::default();
    script.open(0, "connect");
    script.open(1, "connect-watcher");
    nodes(&mut script);
    creates(&mut script);
    access(&mut script);
    one_shot_watches(&mut script);
    lasting_watches(&mut script);
    multis(&mut script);
    quotas(&mut script);
    odd_requests(&mut script);
    sessions(&mut script);
    script.steps
}

/// A script of one client that opens a session and sends `requests`, one after the other.
pub fn plain(requests: &[Request<'static>]) -> Vec<Step> {
    let mut script = Script::default();
    script.open(0, "connect");
    for (at, request) in requests.iter().enumerate() {
        script.ask(0, &format!("request {at}"), None, request.clone());
    }
    script.steps
}

fn nodes(s: &mut Script) {
    s.ask(0, "ping", Some(Xid::PING), Request::Ping);
    s.create(0, "create", "/a", b"hello", CreateMode::Persistent);
    s.create(0, "create-exists", "/a", b"", CreateMode::Persistent);
    s.create(0, "create-no-parent", "/none/b", b"", CreateMode::Persistent);
    s.read(0, "exists", OpCode::Exists, "/a", false);
    s.read(0, "exists-missing", OpCode::Exists, "/b", false);
    s.read(0, "get", OpCode::GetData, "/a", false);
    s.read(0, "get-missing", OpCode::GetData, "/b", false);
    s.read(0, "get-malformed-path", OpCode::GetData, "a//b/", false);
    s.set(0, "set", "/a", Some(b"world"), -1);
    s.set(0, "set-version", "/a", Some(b""), 1);
    s.set(0, "set-bad-version", "/a", Some(b"x"), 7);
    s.set(0, "set-missing", "/b", Some(b"x"), -1);
    s.read(0, "get-empty", OpCode::GetData, "/a", false);
    s.set(0, "set-null", "/a", None, -1);
    s.read(0, "get-null", OpCode::GetData, "/a", false);
    s.create(0, "create-child", "/a/one", b"1", CreateMode::Persistent);
    s.create2(0, "create2", "/a/two", b"2", CreateMode::Persistent);
    s.read(0, "children", OpCode::GetChildren, "/a", false);
    s.read(0, "children2", OpCode::GetChildren2, "/a", false);
    s.read(0, "children-missing", OpCode::GetChildren, "/b", false);
    s.read(0, "children2-root", OpCode::GetChildren2, "/", false);
    s.ask(0, "all-children-number", None, Request::GetAllChildrenNumber { path: "/a" });
    s.ask(0, "all-children-number-root", None, Request::GetAllChildrenNumber { path: "/" });
    s.ask(0, "all-children-missing", None, Request::GetAllChildrenNumber { path: "/b" });
    s.ask(0, "sync", None, Request::Sync { path: "/a" });
    s.ask(0, "sync-anything", None, Request::Sync { path: "no path" });
    s.delete(0, "delete-not-empty", "/a", -1);
    s.delete(0, "delete-bad-version", "/a/one", 3);
    s.delete(0, "delete", "/a/one", 0);
    s.delete(0, "delete-missing", "/a/one", -1);
    s.delete(0, "delete-no-parent", "/none/b", -1);
    s.delete(0, "delete-root", "/", -1);
    s.delete(0, "delete-system", "/zookeeper/quota", -1);
    s.read(0, "exists-after-changes", OpCode::Exists, "/a", false);
    s.read(0, "exists-root", OpCode::Exists, "/", false);
    s.read(0, "get-config", OpCode::GetData, "/zookeeper/config", false);
    s.read(0, "exists-zookeeper", OpCode::Exists, "/zookeeper", false);
}

fn creates(s: &mut Script) {
    s.create(0, "create-parent", "/c", b"", CreateMode::Persistent);
    s.create(0, "create-sequential", "/c/s-", b"", CreateMode::PersistentSequential);
    s.create2(0, "create2-sequential", "/c/", b"", CreateMode::PersistentSequential);
    s.create(0, "create-ephemeral", "/c/eph", b"e", CreateMode::Ephemeral);
    s.create2(0, "create2-ephemeral-sequential", "/c/es-", b"", CreateMode::EphemeralSequential);
    s.create(0, "create-below-ephemeral", "/c/eph/x", b"", CreateMode::Persistent);
    s.read(0, "exists-ephemeral", OpCode::Exists, "/c/eph", false);
    s.ask(0, "ephemerals", None, Request::GetEphemerals { prefix: "/" });
    s.ask(0, "ephemerals-prefix", None, Request::GetEphemerals { prefix: "/c/ep" });
    s.ask(1, "ephemerals-none", None, Request::GetEphemerals { prefix: "" });
    s.make(0, "create-container", OpCode::CreateContainer, new("/c/box", CreateMode::Container));
    s.read(0, "exists-container", OpCode::Exists, "/c/box", false);
    let ttl = CreateRequest { ttl: 3_600_000, ..new("/c/ttl", CreateMode::Ttl) };
    s.make(0, "create-ttl", OpCode::CreateTtl, ttl);
    s.read(0, "exists-ttl", OpCode::Exists, "/c/ttl", false);
    let ttl = CreateRequest { ttl: 9_000_000, ..new("/c/ts-", CreateMode::TtlSequential) };
    s.make(0, "create-ttl-sequential", OpCode::CreateTtl, ttl);
    let ttl = CreateRequest { ttl: 0, ..new("/c/t0", CreateMode::Ttl) };
    s.make(0, "create-ttl-zero", OpCode::CreateTtl, ttl);
    let ttl = CreateRequest { ttl: 0x100_0000_0000, ..new("/c/t0", CreateMode::Ttl) };
    s.make(0, "create-ttl-too-long", OpCode::CreateTtl, ttl);
    s.make(0, "create-ttl-by-create", OpCode::Create, new("/c/t1", CreateMode::Ttl));
    let persistent = CreateRequest { ttl: 5, ..new("/c/t2", CreateMode::Persistent) };
    s.make(0, "create-ttl-of-no-ttl", OpCode::CreateTtl, persistent);
    let flags = CreateRequest { flags: 9, ..new("/c/f", CreateMode::Persistent) };
    s.make(0, "create-bad-flags", OpCode::Create, flags);
    s.make(0, "create-container-by-create", OpCode::Create, new("/c/b2", CreateMode::Container));
    for (name, path) in [
        ("create-relative", "c/x"),
        ("create-empty-path", ""),
        ("create-trailing-slash", "/c/x/"),
        ("create-double-slash", "/c//x"),
        ("create-dot", "/c/."),
        ("create-dot-dot", "/c/../x"),
        ("create-nul", "/c/\0"),
        ("create-control", "/c/\u{7f}"),
        ("create-private-use", "/c/\u{e000}"),
        ("create-unicode", "/c/\u{4e2d}\u{6587}"),
    ] {
        s.make(0, name, OpCode::Create, new(path, CreateMode::Persistent));
    }
    let null = CreateRequest { data: None, ..new("/c/null", CreateMode::Persistent) };
    s.make(0, "create-null-data", OpCode::Create, null);
    s.read(0, "children-after-creates", OpCode::GetChildren2, "/c", false);
}

fn access(s: &mut Script) {
    s.ask(0, "who-am-i", None, Request::WhoAmI);
    s.acl(0, "acl-get", "/a");
    s.acl(0, "acl-get-missing", "/b");
    s.create(0, "acl-node", "/acl", b"x", CreateMode::Persistent);
    s.create(0, "acl-child", "/acl/kid", b"x", CreateMode::Persistent);
    for (name, scheme, id) in [
        ("acl-set-world-somebody", "world", "somebody"),
        ("acl-set-no-scheme", "nothing", "x"),
        ("acl-set-digest-malformed", "digest", "nocolon"),
        ("acl-set-ip-malformed", "ip", "1.2.3"),
        ("acl-set-auth-without", "auth", ""),
    ] {
        s.set_acl(0, name, "/acl", &[Acl::new(Perms::ALL, scheme, id)], -1);
    }
    s.set_acl(0, "acl-set-empty", "/acl", &[], -1);
    let null = Request::SetAcl { path: "/acl", acl: AclList::null(), version: -1 };
    s.ask(0, "acl-set-null", None, null);
    s.set_acl(0, "acl-set-missing", "/b", &[Acl::new(Perms::ALL, "world", "anyone")], -1);
    s.auth(0, "auth-digest", "digest", b"u:p", Until::Reply);
    s.ask(0, "who-am-i-digest", None, Request::WhoAmI);
    let mine = [Acl::new(Perms::ALL, "auth", "")];
    s.set_acl(0, "acl-set-auth", "/acl", &mine, 0);
    s.set_acl(0, "acl-set-bad-version", "/acl", &mine, 0);
    s.acl(0, "acl-get-own", "/acl");
    s.acl(1, "acl-get-foreign", "/acl");
    s.read(1, "get-no-auth", OpCode::GetData, "/acl", false);
    s.read(1, "exists-no-auth", OpCode::Exists, "/acl", false);
    s.read(1, "children-no-auth", OpCode::GetChildren2, "/acl", false);
    s.set(1, "set-no-auth", "/acl", Some(b"y"), -1);
    s.create(1, "create-no-auth", "/acl/x", b"", CreateMode::Persistent);
    s.delete(1, "delete-no-auth", "/acl/kid", -1);
    let open = [Acl::new(Perms::ALL, "world", "anyone")];
    s.set_acl(1, "acl-set-no-auth", "/acl", &open, -1);
    let read = [
        Acl::new(Perms::READ, "world", "anyone"),
        Acl::new(Perms::ALL, "digest", "u:Jq7wMyA/w2Vd5WIDAKdu4OIIFEQ="),
        Acl::new(Perms::READ, "world", "anyone"),
        Acl::new(Perms::WRITE, "ip", "127.0.0.0/8"),
    ];
    s.set_acl(0, "acl-set-several", "/acl", &read, -1);
    s.acl(1, "acl-get-masked", "/acl");
    s.set(1, "set-by-ip", "/acl", Some(b"z"), -1);
    let nobody = [Acl::new(Perms::READ, "digest", "x:y")];
    s.set_acl(0, "acl-set-nobody", "/acl", &nobody, -1);
    s.open(2, "connect-super");
    s.auth(2, "auth-super", "digest", b"super:admin", Until::Reply);
    s.ask(2, "who-am-i-super", None, Request::WhoAmI);
    s.set(2, "set-by-super", "/acl", Some(b"s"), -1);
    s.acl(2, "acl-get-by-super", "/acl");
    let reconfig = Request::Reconfig {
        joining: None,
        leaving: Some("1"),
        new_members: None,
        cur_config_id: -1,
    };
    s.ask(2, "reconfig-disabled", None, reconfig);
    s.auth(2, "auth-world", "world", b"anyone", Until::Closed);
    s.open(2, "connect-again");
    // Apache takes it: only an ACL with such an id is refused.
    s.auth(2, "auth-malformed", "digest", b"nocolon", Until::Reply);
    s.ask(2, "who-am-i-malformed", None, Request::WhoAmI);
    s.auth(2, "auth-no-scheme", "nothing", b"x", Until::Closed);
}

fn one_shot_watches(s: &mut Script) {
    s.create(0, "watch-node", "/w", b"", CreateMode::Persistent);
    s.read(1, "watch-data", OpCode::GetData, "/w", true);
    s.set(0, "event-data-changed", "/w", Some(b"1"), -1);
    s.set(0, "event-consumed", "/w", Some(b"2"), -1);
    s.read(1, "watch-exists-missing", OpCode::Exists, "/w/kid", true);
    s.read(1, "watch-children", OpCode::GetChildren, "/w", true);
    s.create(0, "event-created-and-children", "/w/kid", b"", CreateMode::Persistent);
    s.read(1, "watch-exists", OpCode::Exists, "/w/kid", true);
    s.read(1, "watch-data-too", OpCode::GetData, "/w/kid", true);
    s.read(1, "watch-own-children", OpCode::GetChildren2, "/w/kid", true);
    s.read(1, "watch-parent-children", OpCode::GetChildren2, "/w", true);
    s.delete(0, "event-deleted-once", "/w/kid", -1);
    s.read(1, "watch-missing-no-watch", OpCode::GetData, "/w/later", true);
    s.create(0, "event-none", "/w/later", b"", CreateMode::Persistent);
    s.read(0, "watch-own", OpCode::GetData, "/w/later", true);
    s.set(0, "event-before-reply", "/w/later", Some(b"x"), -1);
    s.read(1, "watch-to-check", OpCode::GetData, "/w", true);
    for (name, path, kind) in [
        ("watches-check-data", "/w", 2),
        ("watches-check-children-none", "/w", 1),
        ("watches-check-any", "/w", 3),
        ("watches-check-missing", "/nothing", 3),
        ("watches-check-bad-type", "/w", 9),
    ] {
        s.ask(1, name, None, Request::CheckWatches { path, kind });
    }
    s.ask(1, "watches-remove", None, Request::RemoveWatches { path: "/w", kind: 2 });
    s.ask(1, "watches-remove-again", None, Request::RemoveWatches { path: "/w", kind: 3 });
    s.set(0, "event-removed", "/w", Some(b"3"), -1);
    s.read(1, "watch-unreadable", OpCode::GetData, "/w/later", true);
    let nobody = [Acl::new(Perms::READ, "digest", "x:y"), Acl::new(Perms(30), "world", "anyone")];
    s.set_acl(0, "watch-acl-closed", "/w/later", &nobody, -1);
    s.set(0, "event-filtered", "/w/later", Some(b"secret"), -1);
}

fn lasting_watches(s: &mut Script) {
    s.ask(1, "add-watch-persistent", None, Request::AddWatch { path: "/p", mode: 0 });
    s.ask(1, "add-watch-recursive", None, Request::AddWatch { path: "/p", mode: 1 });
    s.ask(1, "add-watch-bad-mode", None, Request::AddWatch { path: "/p", mode: 5 });
    s.create(0, "lasting-created", "/p", b"", CreateMode::Persistent);
    s.create(0, "lasting-child-created", "/p/a", b"", CreateMode::Persistent);
    s.create(0, "lasting-grandchild-created", "/p/a/b", b"", CreateMode::Persistent);
    s.set(0, "lasting-set", "/p", Some(b"x"), -1);
    s.set(0, "lasting-set-below", "/p/a/b", Some(b"x"), -1);
    s.delete(0, "lasting-grandchild-deleted", "/p/a/b", -1);
    s.ask(1, "watches-check-persistent", None, Request::CheckWatches { path: "/p", kind: 4 });
    s.ask(1, "watches-remove-recursive", None, Request::RemoveWatches { path: "/p", kind: 5 });
    s.delete(0, "lasting-child-deleted", "/p/a", -1);
    s.ask(1, "watches-remove-any", None, Request::RemoveWatches { path: "/p", kind: 3 });
    s.delete(0, "lasting-deleted-unseen", "/p", -1);
    let watches = SetWatches {
        relative_zxid: Zxid(1),
        data: vec!["/w", "/gone"],
        exist: vec!["/a", "/later"],
        child: vec!["/c", "/gone2"],
        persistent: Some((vec!["/pp"], vec!["/rr"])),
    };
    s.ask(1, "set-watches2", Some(Xid::SET_WATCHES), Request::SetWatches(watches));
    let watches = SetWatches {
        relative_zxid: Zxid(0x7fff_ffff),
        data: vec!["/w"],
        exist: vec!["/later2"],
        child: vec!["/a"],
        persistent: None,
    };
    s.ask(1, "set-watches", Some(Xid::SET_WATCHES), Request::SetWatches(watches));
    s.set(0, "event-after-set-watches", "/w", Some(b"9"), -1);
    s.create(0, "event-exist-after-set-watches", "/later2", b"", CreateMode::Persistent);
    s.create(0, "event-child-after-set-watches", "/a/three", b"", CreateMode::Persistent);
    s.create(0, "event-recursive-after-set-watches", "/rr", b"", CreateMode::Persistent);
}

fn multis(s: &mut Script) {
    s.multi(0, "multi-empty", Vec::new());
    s.multi(
        0,
        "multi",
        vec![
            Request::Create(OpCode::Create, new("/m", CreateMode::Persistent)),
            Request::Create(OpCode::Create2, new("/m/s-", CreateMode::PersistentSequential)),
            set("/m", b"v", 0),
            Request::Check { path: "/m", version: 1 },
            Request::Create(OpCode::CreateContainer, new("/m/box", CreateMode::Container)),
            Request::Create(
                OpCode::CreateTtl,
                CreateRequest { ttl: 99_000, ..new("/m/ttl", CreateMode::Ttl) },
            ),
            Request::Delete { path: "/m/s-0000000000", version: -1 },
        ],
    );
    s.multi(
        0,
        "multi-failed",
        vec![
            Request::Create(OpCode::Create, new("/m/s-", CreateMode::PersistentSequential)),
            Request::Delete { path: "/missing", version: -1 },
            Request::Create(OpCode::Create, new("/m/y", CreateMode::Persistent)),
        ],
    );
    s.multi(0, "multi-failed-check", vec![Request::Check { path: "/m", version: 9 }]);
    s.multi(0, "multi-failed-check-missing", vec![Request::Check { path: "/zz", version: -1 }]);
    s.create(0, "multi-sequence-unused", "/m/s-", b"", CreateMode::PersistentSequential);
    s.read(1, "multi-watch", OpCode::GetChildren, "/m", true);
    s.read(1, "multi-watch-data", OpCode::GetData, "/m", true);
    s.multi(
        0,
        "multi-events",
        vec![
            Request::Create(OpCode::Create, new("/m/e", CreateMode::Ephemeral)),
            set("/m", b"w", -1),
            Request::Delete { path: "/m/e", version: -1 },
        ],
    );
    let reads = vec![
        read(OpCode::GetData, "/m"),
        read(OpCode::GetChildren, "/w"),
        read(OpCode::GetData, "/missing"),
    ];
    s.ask(0, "multi-read", None, Request::MultiRead(reads));
    s.ask(0, "multi-with-read", None, Request::Multi(vec![read(OpCode::GetData, "/m")]));
    s.ask(0, "multi-read-with-write", None, Request::MultiRead(vec![set("/m", b"x", -1)]));
    s.read(0, "multi-after", OpCode::GetChildren2, "/m", false);
}

fn quotas(s: &mut Script) {
    let limits = b"count=5,bytes=50";
    s.create(0, "quota-node", "/q", b"12345", CreateMode::Persistent);
    s.create(0, "quota-child", "/q/a", b"123", CreateMode::Persistent);
    s.create(0, "quota-folder", "/zookeeper/quota/q", b"", CreateMode::Persistent);
    let limits_path = "/zookeeper/quota/q/zookeeper_limits";
    let stats_path = "/zookeeper/quota/q/zookeeper_stats";
    s.create(0, "quota-limits", limits_path, limits, CreateMode::Persistent);
    s.create(0, "quota-stats", stats_path, b"count=0,bytes=0", CreateMode::Persistent);
    s.read(0, "quota-counted", OpCode::GetData, stats_path, false);
    s.create(0, "quota-grows", "/q/b", b"1234567890", CreateMode::Persistent);
    s.set(0, "quota-shrinks", "/q/a", Some(b""), -1);
    s.read(0, "quota-counted-again", OpCode::GetData, stats_path, false);
    s.delete(0, "quota-delete", "/q/b", -1);
    s.read(0, "quota-counted-last", OpCode::GetData, stats_path, false);
}

fn odd_requests(s: &mut Script) {
    s.ask(0, "check-alone", None, Request::Check { path: "/a", version: -1 });
    s.last(Until::Closed);
    s.open(0, "connect-after-check");
    s.raw(0, "bad-operation", 77, Vec::new(), Until::Closed);
    s.open(0, "connect-after-operation");
    s.raw(0, "bad-body-of-read", 4, vec![0, 0, 0, 9, b'/'], Until::Reply);
    s.raw(0, "bad-body-of-write", 1, vec![255; 3], Until::Reply);
    s.raw(0, "bad-body-empty", 5, Vec::new(), Until::Reply);
    s.raw(0, "bad-multi", 14, vec![0, 0, 0, 99, 0, 0, 0, 0, 0], Until::Reply);
    s.read(0, "served-on", OpCode::Exists, "/a", false);
    s.push(0, "oversized-frame", Act::Garbage(vec![0x7f, 0xff, 0xff, 0xff]), Until::Closed);
    s.open(0, "connect-after-oversized");
    s.push(0, "negative-frame", Act::Garbage(vec![0xff, 0xff, 0xff, 0xfe]), Until::Closed);
}

fn sessions(s: &mut Script) {
    let open = |timeout, read_only, seen| Act::Open { timeout, read_only, seen };
    s.push(3, "connect-old-client", open(100, None, 0), Until::Reply);
    s.push(4, "connect-long-timeout", open(10_000_000, Some(true), 0), Until::Reply);
    s.push(5, "connect-from-the-future", open(10_000, Some(false), 1 << 40), Until::Closed);
    s.create(3, "session-ephemeral", "/eph", b"", CreateMode::Ephemeral);
    s.push(3, "vanish", Act::Vanish, Until::Nothing);
    s.push(3, "resume", Act::Resume { password: Password::Right }, Until::Reply);
    s.ask(3, "resumed-ephemerals", None, Request::GetEphemerals { prefix: "" });
    s.push(3, "vanish-again", Act::Vanish, Until::Nothing);
    s.push(3, "resume-wrong-password", Act::Resume { password: Password::Wrong }, Until::Closed);
    s.push(3, "resume-still-right", Act::Resume { password: Password::Right }, Until::Reply);
    s.read(4, "watch-ephemeral", OpCode::Exists, "/eph", true);
    s.ask(3, "close-session", None, Request::CloseSession);
    s.last(Until::Closed);
    s.push(3, "resume-closed", Act::Resume { password: Password::Right }, Until::Closed);
    s.read(4, "ephemeral-is-gone", OpCode::Exists, "/eph", false);
}

impl Script {
    fn push(&mut self, client: usize, name: &str, act: Act, until: Until) {
        debug_assert!(self.steps.iter().all(|step| step.name != name), "{name} twice");
        self.steps.push(Step { name: name.to_owned(), client, act, until });
    }

    /// Changes what the step just added waits for.
    fn last(&mut self, until: Until) {
        if let Some(step) = self.steps.last_mut() {
            step.until = until;
        }
    }

    fn open(&mut self, client: usize, name: &str) {
        let act = Act::Open { timeout: 30_000, read_only: Some(false), seen: 0 };
        self.push(client, name, act, Until::Reply);
    }

    fn ask(&mut self, client: usize, name: &str, xid: Option<Xid>, request: Request<'static>) {
        self.push(client, name, Act::Ask(xid, request), Until::Reply);
    }

    fn raw(&mut self, client: usize, name: &str, op: i32, body: Vec<u8>, until: Until) {
        self.push(client, name, Act::Raw { op, body }, until);
    }

    fn make(&mut self, client: usize, name: &str, op: OpCode, create: CreateRequest<'static>) {
        self.ask(client, name, None, Request::Create(op, create));
    }

    fn create(
        &mut self,
        client: usize,
        name: &str,
        path: &'static str,
        data: &'static [u8],
        mode: CreateMode,
    ) {
        let create = CreateRequest { data: Some(data), ..new(path, mode) };
        self.make(client, name, OpCode::Create, create);
    }

    fn create2(
        &mut self,
        client: usize,
        name: &str,
        path: &'static str,
        data: &'static [u8],
        mode: CreateMode,
    ) {
        let create = CreateRequest { data: Some(data), ..new(path, mode) };
        self.make(client, name, OpCode::Create2, create);
    }

    fn read(&mut self, client: usize, name: &str, op: OpCode, path: &'static str, watch: bool) {
        self.ask(client, name, None, Request::Read { op, path, watch });
    }

    fn set(
        &mut self,
        client: usize,
        name: &str,
        path: &'static str,
        data: Option<&'static [u8]>,
        version: i32,
    ) {
        self.ask(client, name, None, Request::SetData { path, data, version });
    }

    fn delete(&mut self, client: usize, name: &str, path: &'static str, version: i32) {
        self.ask(client, name, None, Request::Delete { path, version });
    }

    fn acl(&mut self, client: usize, name: &str, path: &'static str) {
        self.ask(client, name, None, Request::GetAcl { path });
    }

    fn set_acl(
        &mut self,
        client: usize,
        name: &str,
        path: &'static str,
        acl: &[Acl],
        version: i32,
    ) {
        let acl = AclList::from_acls(acl);
        self.ask(client, name, None, Request::SetAcl { path, acl, version });
    }

    fn auth(
        &mut self,
        client: usize,
        name: &str,
        scheme: &'static str,
        auth: &'static [u8],
        until: Until,
    ) {
        let request = Request::Auth { kind: 0, scheme, auth };
        self.push(client, name, Act::Ask(Some(Xid::AUTH), request), until);
    }

    fn multi(&mut self, client: usize, name: &str, ops: Vec<Request<'static>>) {
        self.ask(client, name, None, Request::Multi(ops));
    }
}

fn new(path: &'static str, mode: CreateMode) -> CreateRequest<'static> {
    CreateRequest { path, data: Some(b"d"), acl: AclList::open(), flags: mode.flags(), ttl: 0 }
}

fn set(path: &'static str, data: &'static [u8], version: i32) -> Request<'static> {
    Request::SetData { path, data: Some(data), version }
}

fn read(op: OpCode, path: &'static str) -> Request<'static> {
    Request::Read { op, path, watch: false }
}

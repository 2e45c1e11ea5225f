//! Keys of zoo.cfg, seen from outside: each test shows that a key changes what the server does, or
//! that a key whose promise cannot be kept stops the start.

use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use wk_peers::wire::{Received, Wire};
use wk_peers::{Server, ServerSpec, wait};
use wk_proto::client::request::{CreateMode, Request};
use wk_proto::{Acl, AclList, ErrorCode, OpCode, Perms};

use crate::harness::{binary, cache, start, subject_spec};
use crate::raw::Session;

#[test]
fn session_timeouts_follow_tick_and_limits() {
    let granted = |spec: &dyn Fn(ServerSpec) -> ServerSpec, wish| {
        with(spec, |server| Session::open(server, wish).granted.timeout)
    };
    assert_eq!(granted(&|spec| spec, 1), 4_000, "two ticks of 2 s");
    assert_eq!(granted(&|spec| spec, 1_000_000), 40_000, "twenty ticks");
    assert_eq!(granted(&|spec| spec.with("tickTime=500"), 1), 1_000);
    let limits =
        |spec: ServerSpec| spec.with("minSessionTimeout=7000").with("maxSessionTimeout=8000");
    assert_eq!(granted(&limits, 1), 7_000);
    assert_eq!(granted(&limits, 100_000), 8_000);
}

#[test]
fn max_client_cnxns_closes_the_one_too_many() {
    with(&|spec| spec.with("maxClientCnxns=2"), |server| {
        let _one = Session::open(server, 10_000);
        let two = Session::open(server, 10_000);
        assert!(Session::try_open(server, 10_000).is_none(), "a third from the same address");
        drop(two);
        // The server learns of the end of a connection a moment later.
        wait::until("room for another", wait::LONG, || Ok(Session::try_open(server, 10_000)))
            .unwrap();
    });
}

#[test]
fn max_cnxns_limits_all_connections() {
    with(&|spec| spec.with("maxCnxns=1"), |server| {
        let _one = Session::open(server, 10_000);
        assert!(Session::try_open(server, 10_000).is_none());
    });
}

#[test]
fn jute_maxbuffer_limits_a_request() {
    let data = vec![b'x'; 2_000_000];
    let create = |server: &Server, len: usize| {
        let mut session = Session::open(server, 10_000);
        let request = Request::SetData { path: "/none", data: Some(&data[..len]), version: -1 };
        session.try_ask(&request).map(|(err, _)| err)
    };
    with(&|spec| spec, |server| {
        assert_eq!(create(server, 1_000_000), Some(ErrorCode::NoNode.code()));
        assert_eq!(create(server, 1_100_000), None, "above 1048575 bytes the connection ends");
    });
    with(&|spec| spec.with_jvm_flag("-Djute.maxbuffer=3000000"), |server| {
        assert_eq!(create(server, 2_000_000), Some(ErrorCode::NoNode.code()));
    });
}

#[test]
fn an_idle_connection_without_session_is_closed() {
    with(&|spec| spec.with("nio.sessionlessCnxnTimeout=300"), |server| {
        let mut wire = Wire::connect(server.client).unwrap();
        assert_eq!(wire.receive().unwrap(), Received::Closed);
    });
}

#[test]
fn snap_count_decides_how_often_snapshots_are_taken() {
    with(&|spec| spec.with("snapCount=20"), |server| {
        let mut session = Session::open(server, 30_000);
        let before = names(server, "data", "snapshot.").len();
        for at in 0..200 {
            assert_eq!(session.create(&format!("/n{at}"), b"x", CreateMode::Persistent), 0);
        }
        wait::until("snapshots", wait::LONG, || {
            Ok((names(server, "data", "snapshot.").len() >= before + 3).then_some(()))
        })
        .unwrap();
        assert!(names(server, "data", "log.").len() > 2, "each snapshot begins a log file");
    });
}

#[test]
fn data_log_dir_takes_the_logs() {
    let dir = tempfile::tempdir().unwrap();
    let line = format!("dataLogDir={}", dir.path().join("logs").display());
    with(&|spec| spec.with(&line), |server| {
        let mut session = Session::open(server, 30_000);
        session.create("/a", b"", CreateMode::Persistent);
        assert!(names(server, "data", "log.").is_empty());
        assert!(names(server, "data", "snapshot.").len() == 1);
        let logs = fs::read_dir(dir.path().join("logs/version-2")).unwrap();
        assert!(logs.count() >= 1);
    });
}

#[test]
fn pre_alloc_size_grows_the_log_by_that_much() {
    let size = |flag: Option<&str>| {
        with(&|spec| flag.map_or(spec.clone(), |flag| spec.with_jvm_flag(flag)), |server| {
            Session::open(server, 30_000).create("/a", b"", CreateMode::Persistent);
            let name = &names(server, "data", "log.")[0];
            fs::metadata(data(server).join("data/version-2").join(name)).unwrap().len()
        })
    };
    assert_eq!(size(None), 16 + 64 * 1024 * 1024);
    assert_eq!(size(Some("-Dzookeeper.preAllocSize=64")), 16 + 64 * 1024);
}

#[test]
fn autopurge_keeps_the_newest_snapshots() {
    let dir = tempfile::tempdir().unwrap();
    let spec = subject_spec(dir.path());
    for round in 0..6 {
        let mut server = start(&spec);
        Session::open(&server, 30_000).create(&format!("/r{round}"), b"", CreateMode::Persistent);
        server.stop().unwrap();
    }
    let count = || {
        let files = fs::read_dir(dir.path().join("data/version-2")).unwrap();
        let names = files.map(|file| file.unwrap().file_name().into_string().unwrap());
        names.filter(|name| name.starts_with("snapshot.")).count()
    };
    assert!(count() >= 6, "each start writes a snapshot: {}", count());
    let purging = spec.with("autopurge.purgeInterval=1").with("autopurge.snapRetainCount=3");
    let server = start(&purging);
    wait::until("the first purge", wait::LONG, || Ok((count() <= 4).then_some(()))).unwrap();
    assert_eq!(
        Session::open(&server, 30_000).exists("/r0", false),
        0,
        "nothing of the tree is lost"
    );
}

#[test]
fn extended_types_allow_ttl_nodes() {
    let create =
        |server: &Server| Session::open(server, 30_000).create("/ttl", b"", CreateMode::Ttl);
    assert_eq!(with(&|spec| spec, create), ErrorCode::Unimplemented.code());
    assert_eq!(with(&|spec| spec.with("extendedTypesEnabled=true"), create), 0);
}

#[test]
fn skip_acl_lets_everybody_in() {
    let read = |server: &Server| {
        let mut session = Session::open(server, 30_000);
        session.create("/a", b"", CreateMode::Persistent);
        let acl = AclList::from_acls(&[Acl::new(Perms::ALL, "digest", "a:b")]);
        assert_eq!(session.ask(&Request::SetAcl { path: "/a", acl, version: -1 }), 0);
        session.ask(&Request::Read { op: OpCode::GetData, path: "/a", watch: false })
    };
    assert_eq!(with(&|spec| spec, read), ErrorCode::NoAuth.code());
    assert_eq!(with(&|spec| spec.with("skipACL=yes"), read), 0);
}

#[test]
fn the_digest_scheme_can_be_taken_away() {
    let auth = |server: &Server| {
        let request = Request::Auth { kind: 0, scheme: "digest", auth: b"u:p" };
        Session::open(server, 30_000).ask(&request)
    };
    assert_eq!(with(&|spec| spec, auth), 0);
    let flag = "-Dzookeeper.DigestAuthenticationProvider.enabled=false";
    assert_eq!(with(&|spec| spec.with_jvm_flag(flag), auth), ErrorCode::AuthFailed.code());
}

#[test]
fn isro_is_answered_in_read_only_mode_whatever_the_whitelist() {
    let isro = |server: &Server| server.four_letter("isro").unwrap();
    let strict = |spec: ServerSpec| spec.with("4lw.commands.whitelist=srvr");
    assert!(with(&strict, isro).contains("not in the whitelist"));
    let allowed = |spec| strict(spec).with_jvm_flag("-Dreadonlymode.enabled=true");
    assert_eq!(with(&allowed, isro), "rw");
}

#[test]
fn keys_that_cannot_be_kept_stop_the_start() {
    for (line, names) in [
        ("secureClientPort=2281", "ssl.keyStore.location"),
        ("secureClientPort=2281\nssl.keyStore.location=/x.jks\nssl.keyStore.type=JKS", "keytool"),
        ("ssl.crl=true", "ssl.crl"),
        ("sslQuorum=true", "sslQuorum"),
        ("authProvider.1=org.example.MyProvider", "authProv"),
        ("sessionRequireClientSASLAuth=true", "sessionRequireClientSASLAuth"),
        ("kerberos.removeHostFromPrincipal=true", "kerberos"),
        ("connection_throttle_tokens=5", "connection_throttle_tokens"),
        ("request_throttle_max_requests=5", "request_throttle_max_requests"),
        ("audit.enable=true", "audit.enable"),
        ("server.1=a:1:2\nserver.2=b:1:2\nserver.3=c:1:2\ninitLimit=5\nsyncLimit=2", "server."),
        ("tickTime=soon", "tickTime"),
        ("clientPort=70000", "clientPort"),
        ("forceSync=maybe", "forceSync"),
    ] {
        let said = refused(line);
        assert!(said.contains(names), "{line} was refused without its name:\n{said}");
    }
}

#[test]
fn the_same_keys_at_their_off_value_do_not() {
    with(
        &|spec| {
            spec.with("connection_throttle_tokens=0")
                .with("sslQuorum=false")
                .with("audit.enable=false")
                .with("server.1=localhost:2888:3888")
        },
        |server| assert_eq!(Session::open(server, 30_000).exists("/", false), 0),
    );
}

#[test]
fn unknown_and_meaningless_keys_warn_and_serve() {
    let dir = tempfile::tempdir().unwrap();
    let spec = subject_spec(dir.path())
        .with("tickTme=2000")
        .with("commitProcessor.numWorkerThreads=8")
        .with_jvm_flag("-Xmx1g");
    let server = start(&spec);
    let said = server.process.output();
    assert!(said.contains("tickTme") && said.contains("tickTime"), "the nearest name:\n{said}");
    assert!(said.contains("commitProcessor.numWorkerThreads"), "{said}");
}

#[test]
fn set_overrides_the_file() {
    let dir = tempfile::tempdir().unwrap();
    let cfg = dir.path().join("zoo.cfg");
    let [port] = wait::free_ports().unwrap();
    fs::write(&cfg, format!("dataDir={}\nclientPort=1\n", dir.path().join("d").display())).unwrap();
    let mut command = Command::new(binary());
    command.arg("server").arg(&cfg);
    for pair in
        [&format!("clientPort={port}"), "clientPortAddress=127.0.0.1", "admin.enableServer=false"]
    {
        command.args(["--set", pair]);
    }
    let log = dir.path().join("log");
    let mut process = wk_peers::Process::start("watchkeeper server", &mut command, &log).unwrap();
    wait::until("a serving server", wait::LONG, || {
        assert!(process.ended()?.is_none(), "{}", process.tail());
        Ok(wait::four_letter(port, "srvr")?.contains("Mode:").then_some(()))
    })
    .unwrap();
    let status = process.terminate(wait::LONG).unwrap();
    assert_eq!(status.code(), Some(0), "SIGTERM ends well");
}

/// Starts the subject with what `spec` adds and gives it to `see`.
fn with<T>(spec: &dyn Fn(ServerSpec) -> ServerSpec, see: impl FnOnce(&Server) -> T) -> T {
    let dir = tempfile::tempdir().unwrap();
    let server = start(&spec(subject_spec(dir.path())));
    see(&server)
}

/// Starts the subject with `line`, which must end it with status 2; gives what it said.
fn refused(line: &str) -> String {
    let dir = tempfile::tempdir().unwrap();
    let spec = subject_spec(dir.path()).with(line);
    let mut server = spec.spawn(&cache()).unwrap();
    let status = server.process.wait(Duration::from_mins(1)).unwrap_or_else(|err| {
        panic!("{line} did not stop the start: {err:#}\n{}", server.process.tail())
    });
    assert_eq!(status.code(), Some(2), "{line}:\n{}", server.process.tail());
    server.process.output()
}

/// The folder that the server was started in.
fn data(server: &Server) -> &Path {
    server.dir.as_path()
}

/// The files in `FOLDER/version-2` whose names begin with `prefix`.
fn names(server: &Server, folder: &str, prefix: &str) -> Vec<String> {
    let Ok(files) = fs::read_dir(data(server).join(folder).join("version-2")) else {
        return Vec::new();
    };
    let names = files.map(|file| file.unwrap().file_name().into_string().unwrap());
    names.filter(|name| name.starts_with(prefix)).collect()
}

//! Logins by SASL DIGEST-MD5 and schemes that are demanded, beside an Apache ZooKeeper 3.9.5 with the
//! same JAAS file and the same lines of zoo.cfg: zkCli, kazoo, and raw packets.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use wk_peers::{Peer, Server, ServerSpec};
use wk_proto::OpCode;
use wk_proto::client::request::Request;

use crate::harness::{control_spec, peer, start, subject_spec};
use crate::raw::Session;
use crate::zkcli::type_into;

const SASL_CLASS: &str =
    "authProvider.sasl=org.apache.zookeeper.server.auth.SASLAuthenticationProvider";

/// The server's JAAS file.
fn server_jaas(dir: &Path) -> PathBuf {
    let path = dir.join("server.jaas");
    let module = "org.apache.zookeeper.server.auth.DigestLoginModule required";
    let users = "user_super=\"admin\"\n  user_bob=\"bob's secret\"";
    fs::write(&path, format!("// Users.\nServer {{\n {module}\n  {users};\n}};\n")).unwrap();
    path
}

/// What makes a Java client log in.
fn client_options(dir: &Path, user: &str, password: &str) -> Vec<String> {
    let path = dir.join(format!("{user}.jaas"));
    let module = "org.apache.zookeeper.server.auth.DigestLoginModule required";
    let login = format!("username=\"{user}\" password=\"{password}\"");
    fs::write(&path, format!("Client {{ {module} {login}; }};\n")).unwrap();
    let login = format!("-Djava.security.auth.login.config={}", path.display());
    // Java's client knows no MD5 in its FIPS mode, which is on unless it is told.
    vec![login, "-Dzookeeper.fips-mode=false".to_owned()]
}

/// Runs `what` at our server and at Apache's, each with these lines and a folder of its own.
fn both<T>(dir: &Path, lines: &[&str], what: impl Fn(&Server) -> T) -> (T, T) {
    let flag = format!("-Djava.security.auth.login.config={}", server_jaas(dir).display());
    let at = |spec: fn(&Path) -> ServerSpec| {
        let home = tempfile::tempdir().unwrap();
        let spec = spec(home.path()).with(SASL_CLASS).with_jvm_flag(&flag);
        what(&start(&lines.iter().fold(spec, |spec, line| spec.with(line))))
    };
    (at(subject_spec), at(control_spec))
}

fn kazoo(server: &Server, user: &str, password: &str) -> String {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it/logins/kazoo_sasl.py");
    let mut command = Command::new(peer(Peer::PythonSasl).join("bin/python"));
    command.arg(script).args([&server.address(), user, password]);
    let output = command.env("PYTHONDONTWRITEBYTECODE", "1").output().unwrap();
    assert!(output.status.success(), "{output:?}");
    String::from_utf8(output.stdout).unwrap()
}

/// The error of a token, and the length of the answer's token.
fn token(session: &mut Session, token: &[u8]) -> Option<(i32, usize)> {
    session.try_ask(&Request::Sasl { token: Some(token) }).map(|(err, body)| (err, body.len()))
}

#[test]
fn who_knows_a_password_is_that_user_for_java_and_kazoo() {
    let dir = tempfile::tempdir().unwrap();
    let bob = client_options(dir.path(), "bob", "bob's secret");
    let (ours, theirs) = both(dir.path(), &["superUser=super"], |server| {
        let kazoo = [
            kazoo(server, "bob", "bob's secret"),
            kazoo(server, "super", "admin"),
            kazoo(server, "bob", "wrong"),
            kazoo(server, "eve", "x"),
        ];
        let lines = [
            "whoami",
            "getAcl /of-bob",
            "get /of-super",
            "create /wrong x sasl:a@b@c:r",
            "create /host x sasl:a/b@c:r",
            "get /host",
            "ls /",
        ];
        (kazoo, type_into(&server.address(), &bob, &lines).answers)
    });
    assert!(theirs.0[0].contains("sasl bob 31") && theirs.0[2].contains("refused"), "{theirs:#?}");
    assert!(theirs.1.iter().any(|line| line == "sasl: bob"), "{theirs:#?}");
    assert_eq!(ours, theirs, "ours left");
}

#[test]
fn what_is_demanded_and_what_fails_is_answered_as_by_apache() {
    let dir = tempfile::tempdir().unwrap();
    let wrong = b"charset=utf-8,username=\"bob\",realm=\"zk-sasl-md5\",nonce=\"x\"";
    let asked = |server: &Server| {
        let mut first = Session::open(server, 30_000);
        let without = first.try_ask(&Request::Read { op: OpCode::Exists, path: "/", watch: false });
        let mut digest = Session::open(server, 30_000);
        let auth = Request::Auth { kind: 0, scheme: "digest", auth: b"u:p" };
        let with_digest = (digest.ask(&auth), digest.try_ask(&Request::WhoAmI).map(|got| got.0));
        let mut login = Session::open(server, 30_000);
        let is_long = |(err, len)| (err, len > 80);
        let begun = token(&mut login, b"").map(is_long);
        let failed = token(&mut login, wrong);
        let mut late = Session::open(server, 30_000);
        let initial = token(&mut late, b"x").map(is_long);
        let auth = Request::Auth { kind: 0, scheme: "sasl", auth: b"x" };
        let packet = Session::open(server, 30_000).ask(&auth);
        (without.map(|got| got.0), with_digest, begun, failed, initial, packet)
    };
    for lines in [
        &["sessionRequireClientSASLAuth=true"][..],
        &["enforce.auth.enabled=true", "enforce.auth.schemes=sasl,digest"],
        &["allowSaslFailedClients=true"],
    ] {
        let (ours, theirs) = both(dir.path(), lines, asked);
        assert_eq!(ours, theirs, "{lines:?}, ours left");
    }
}

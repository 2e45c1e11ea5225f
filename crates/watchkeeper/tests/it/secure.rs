//! The server's secure side towards clients of others: zkCli 3.9.5 and kazoo over TLS, beside an
//! Apache ZooKeeper 3.9.5 with the same lines of zoo.cfg and the same files.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use rcgen::{CertificateParams, CertifiedIssuer, DistinguishedName, DnType, KeyPair};
use wk_peers::{Peer, Server, ServerSpec, wait};

use crate::harness::{binary, control_spec, peer, start, subject_spec};
use crate::zkcli::type_into;

/// An authority and the files that it has signed.
struct Authority {
    dir: tempfile::TempDir,
    issuer: CertifiedIssuer<'static, KeyPair>,
}

/// A subject with everything that must be escaped or written as a number.
const STRANGE: &[(&str, &str)] =
    &[("C", "DE"), ("O", "A, B + \"C\" <D>; E\\F=G"), ("OU", " #1 "), ("E", "me@example.org")];

impl Authority {
    fn new() -> Self {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
        params.distinguished_name.push(DnType::CommonName, "authority");
        let issuer = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join("ca.pem"), issuer.pem()).unwrap();
        Self { dir, issuer }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn text(&self, name: &str) -> String {
        self.path(name).display().to_string()
    }

    /// `NAME.crt`, `NAME.key` and `NAME.pem` with both, for `CN=NAME` after these attributes.
    fn issue(&self, name: &str, before: &[(&str, &str)]) {
        let key = KeyPair::generate().unwrap();
        let hosts = vec!["127.0.0.1".to_owned(), "localhost".to_owned()];
        let mut params = CertificateParams::new(hosts).unwrap();
        params.distinguished_name = DistinguishedName::new();
        for (kind, value) in before.iter().chain(&[("CN", name)]) {
            let kind = match *kind {
                "C" => DnType::CountryName,
                "O" => DnType::OrganizationName,
                "OU" => DnType::OrganizationalUnitName,
                "E" => DnType::CustomDnType(vec![1, 2, 840, 113_549, 1, 9, 1]),
                _ => DnType::CommonName,
            };
            params.distinguished_name.push(kind, *value);
        }
        let pem = params.signed_by(&key, &self.issuer).unwrap().pem();
        fs::write(self.path(&format!("{name}.crt")), &pem).unwrap();
        fs::write(self.path(&format!("{name}.key")), key.serialize_pem()).unwrap();
        fs::write(self.path(&format!("{name}.pem")), key.serialize_pem() + &pem).unwrap();
    }

    /// A server of `spec` with a secure port that wants certificates of this authority.
    fn serve(&self, spec: ServerSpec, more: &[&str]) -> (Server, String) {
        let [port] = wait::free_ports().unwrap();
        let lines = [
            "serverCnxnFactory=org.apache.zookeeper.server.NettyServerCnxnFactory".to_owned(),
            format!("secureClientPort={port}"),
            "secureClientPortAddress=127.0.0.1".to_owned(),
            format!("ssl.keyStore.location={}", self.text("server.pem")),
            format!("ssl.trustStore.location={}", self.text("ca.pem")),
        ];
        let spec = lines.iter().fold(spec, |spec, line| spec.with(line));
        let spec = more.iter().fold(spec, |spec, line| spec.with(line));
        (start(&spec), format!("127.0.0.1:{port}"))
    }

    /// What makes a Java client speak TLS as `name`.
    fn java(&self, name: &str) -> Vec<String> {
        let flag = |key: &str, value: &str| format!("-Dzookeeper.{key}={value}");
        vec![
            flag("clientCnxnSocket", "org.apache.zookeeper.ClientCnxnSocketNetty"),
            flag("client.secure", "true"),
            flag("ssl.keyStore.location", &self.text(&format!("{name}.pem"))),
            flag("ssl.trustStore.location", &self.text("ca.pem")),
        ]
    }

    /// One of our verbs through TLS, as `name` if it is somebody.
    fn verb(&self, address: &str, name: Option<&str>, args: &[&str]) -> std::process::Output {
        let mut command = Command::new(binary());
        command.args(args).args(["-s", address, "--timeout", "5s", "--tls-ca"]);
        command.arg(self.path("ca.pem")).env_remove("WATCHKEEPER_AUTH");
        if let Some(name) = name {
            command.arg("--tls-cert").arg(self.path(&format!("{name}.crt")));
            command.arg("--tls-key").arg(self.path(&format!("{name}.key")));
        }
        command.stdin(Stdio::null()).output().unwrap()
    }
}

/// Runs `what` at our server and at Apache's, each with these lines and a folder of its own.
fn both<T>(authority: &Authority, lines: &[&str], what: impl Fn(&Server, &str) -> T) -> (T, T) {
    let at = |spec: fn(&Path) -> ServerSpec| {
        let dir = tempfile::tempdir().unwrap();
        let (server, secure) = authority.serve(spec(dir.path()), lines);
        what(&server, &secure)
    };
    (at(subject_spec), at(control_spec))
}

#[test]
fn identities_of_certificates_are_those_of_apache() {
    let authority = Authority::new();
    for (name, before) in [("server", &[][..]), ("alice", STRANGE), ("root", &[("O", "tests")])] {
        authority.issue(name, before);
    }
    let lines = ["X509AuthenticationProvider.superUser=CN=root,O=tests"];
    let (ours, theirs) = both(&authority, &lines, |_, secure| {
        let alice = type_into(
            secure,
            &authority.java("alice"),
            &[
                "whoami",
                "create /mine x auth::cdrwa",
                "getAcl /mine",
                "get /mine",
                "create /hers x x509:CN=bob:cdrwa",
                "get /hers",
                "create /wrong x x509:nobody:cdrwa",
                "create /wrong x sasl:bob:cdrwa",
                "ls /",
            ],
        );
        let root = type_into(
            secure,
            &authority.java("root"),
            &["whoami", "get /mine", "get /hers", "getAcl /mine", "delete /hers", "ls /"],
        );
        (alice.answers, root.answers)
    });
    assert!(theirs.0.iter().any(|line| line.contains("x509: CN=alice,1.2.840.113549.1.9.1=#")));
    assert_eq!(ours.0, theirs.0, "alice, ours left");
    assert_eq!(ours.1, theirs.1, "root, ours left");
}

#[test]
fn kazoo_and_our_verbs_come_with_certificates_or_not_at_all() {
    let authority = Authority::new();
    authority.issue("server", &[]);
    authority.issue("carol", &[("O", "tests")]);
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it/secure/kazoo_tls.py");
    let (ours, theirs) = both(&authority, &[], |server, secure| {
        let created = authority.verb(secure, Some("carol"), &["create", "/verb", "x"]);
        assert!(created.status.success(), "{created:?}");
        let nobody = authority.verb(secure, None, &["get", "/verb"]);
        let said = String::from_utf8_lossy(&nobody.stderr).to_lowercase();
        assert_eq!(nobody.status.code(), Some(6), "{said}");
        assert!(said.contains("certificate"), "{said}");
        let kazoo = |name: &str| {
            let mut command = Command::new(peer(Peer::Python).join("bin/python"));
            command.arg(&script).arg(secure).arg(authority.path("ca.pem"));
            if !name.is_empty() {
                command.arg(authority.path(&format!("{name}.crt")));
                command.arg(authority.path(&format!("{name}.key")));
            }
            let output = command.output().unwrap();
            assert!(output.status.success(), "{output:?}");
            String::from_utf8(output.stdout).unwrap()
        };
        let known = kazoo("carol");
        assert!(known.contains("x509 CN=carol,O=tests"), "{known}");
        let stats = server.four_letter("mntr").unwrap();
        let failed = |text: &str| {
            text.lines().find_map(|line| {
                line.strip_prefix("zk_unsuccessful_handshake\t")?.parse::<f64>().ok()
            })
        };
        assert!(failed(&stats).is_some_and(|count| count > 0.0), "{stats}");
        assert!(server.four_letter("cons").unwrap().contains("127.0.0.1"));
        (known, kazoo(""))
    });
    assert_eq!(ours, theirs, "ours left");
}

#[test]
fn one_port_takes_both_and_anonymous_clients_where_that_is_wanted() {
    let authority = Authority::new();
    authority.issue("server", &[]);
    authority.issue("dave", &[]);
    let lines = ["client.portUnification=true", "ssl.clientAuth=want"];
    let (ours, theirs) = both(&authority, &lines, |server, secure| {
        assert_eq!(server.four_letter("ruok").unwrap(), "imok");
        let made = Command::new(binary())
            .args(["create", "/p", "x", "-s", &server.address()])
            .stdin(Stdio::null())
            .output();
        assert!(made.unwrap().status.success());
        let known = authority.java("dave");
        let dave = type_into(&server.address(), &known, &["whoami", "get /p"]);
        // Trust, and nothing to show.
        let nobody: Vec<String> =
            known.iter().filter(|flag| !flag.contains("keyStore")).cloned().collect();
        let nobody = type_into(secure, &nobody, &["whoami", "create /n x auth::cdrwa"]);
        [dave.answers, nobody.answers]
    });
    assert!(theirs[0].iter().any(|line| line == "x509: CN=dave"), "{theirs:#?}");
    assert_eq!(ours, theirs, "ours left");
}

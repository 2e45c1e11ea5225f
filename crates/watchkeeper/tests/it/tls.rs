//! The secure port of Apache ZooKeeper 3.9.5, which asks every client for a certificate: our verbs
//! and four-letter words through TLS, and what people read when something does not fit.

mod monitor;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use rcgen::{CertificateParams, CertifiedIssuer, KeyPair};
use wk_client::{Tls, TlsConfig, four_letter_over};
use wk_peers::{Server, wait};

use crate::harness::{binary, control_spec, start};

/// An authority with the certificates of one test, as files.
struct Files<'d> {
    dir: &'d Path,
    issuer: CertifiedIssuer<'static, KeyPair>,
}

impl<'d> Files<'d> {
    fn new(dir: &'d Path, name: &str) -> Self {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
        params.distinguished_name.push(rcgen::DnType::CommonName, name);
        let issuer = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
        fs::write(dir.join(format!("{name}.pem")), issuer.pem()).unwrap();
        Self { dir, issuer }
    }

    /// `NAME.crt`, `NAME.key`, and both in `NAME.both`, as Apache wants them.
    fn issue(&self, name: &str, host: &str) -> (PathBuf, PathBuf) {
        self.issue_until(name, host, 2100)
    }

    /// One that is not valid any more from the beginning of a year on.
    fn issue_until(&self, name: &str, host: &str, year: i32) -> (PathBuf, PathBuf) {
        let key = KeyPair::generate().unwrap();
        let mut certificate = CertificateParams::new(vec![host.to_owned()]).unwrap();
        certificate.not_before = rcgen::date_time_ymd(2000, 1, 1);
        certificate.not_after = rcgen::date_time_ymd(year, 1, 1);
        let pem = certificate.signed_by(&key, &self.issuer).unwrap().pem();
        let path = |end: &str| self.dir.join(format!("{name}.{end}"));
        fs::write(path("crt"), &pem).unwrap();
        fs::write(path("key"), key.serialize_pem()).unwrap();
        fs::write(path("both"), key.serialize_pem() + &pem).unwrap();
        (path("crt"), path("key"))
    }
}

/// Lines of zoo.cfg for a secure port at `host` that demands certificates of `ours` and shows that
/// of `name`.
fn secure_lines(dir: &Path, name: &str, host: &str, port: u16) -> Vec<String> {
    let store = |kind: &str, file: &str| {
        let path = dir.join(file);
        format!("ssl.{kind}.location={}\nssl.{kind}.type=PEM", path.display())
    };
    vec![
        "serverCnxnFactory=org.apache.zookeeper.server.NettyServerCnxnFactory".to_owned(),
        "authProvider.x509=org.apache.zookeeper.server.auth.X509AuthenticationProvider".to_owned(),
        format!("secureClientPort={port}"),
        format!("secureClientPortAddress={host}"),
        "ssl.clientAuth=need".to_owned(),
        store("keyStore", &format!("{name}.both")),
        store("trustStore", "ours.pem"),
    ]
}

/// Apache with such a port, its files in `dir` and itself in `home`.
fn secure_apache(dir: &Path, home: &Path, name: &str) -> (Server, String) {
    let [port] = wait::free_ports().unwrap();
    let lines = secure_lines(dir, name, "127.0.0.1", port);
    let spec = lines.iter().fold(control_spec(home), |spec, line| spec.with(line));
    (start(&spec), format!("127.0.0.1:{port}"))
}

fn verb(address: &str, args: &[&str], options: &[&str]) -> Output {
    let mut command = Command::new(binary());
    command.args(args).args(["-s", address, "--timeout", "5s"]).args(options);
    command.env_remove("WATCHKEEPER_AUTH").stdin(Stdio::null()).output().unwrap()
}

#[test]
fn a_secure_port_serves_us_and_refusals_say_why() {
    let dir = tempfile::tempdir().unwrap();
    let ours = Files::new(dir.path(), "ours");
    ours.issue("server", "127.0.0.1");
    let (certificate, key) = ours.issue("operator", "operator");
    Files::new(dir.path(), "theirs");
    let (server, secure) = secure_apache(dir.path(), dir.path(), "server");
    let file = |name: &str| dir.path().join(name).display().to_string();
    let (ca, other, crt, pem_key) =
        (file("ours.pem"), file("theirs.pem"), file("operator.crt"), file("operator.key"));
    let trust = ["--tls-ca", ca.as_str()];
    let known = [&trust[..], &["--tls-cert", &crt, "--tls-key", &pem_key]].concat();

    let created = verb(&secure, &["create", "/secret", "x"], &known);
    assert!(created.status.success(), "{created:?}");
    let read = verb(&secure, &["get", "/secret", "-o", "raw"], &known);
    assert_eq!(String::from_utf8_lossy(&read.stdout).trim_end(), "x");

    let refused = |options: &[&str], code: i32, word: &str| {
        let output = verb(&secure, &["get", "/secret"], options);
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(code), "{options:?}: {said}");
        assert!(said.to_lowercase().contains(word), "{options:?}: {said}");
    };
    refused(&trust, 6, "certificate");
    refused(&["--tls-ca", &other, "--tls-cert", &crt, "--tls-key", &pem_key], 6, "certificate");
    refused(&["--tls-ca", &file("none.pem")], 2, "none.pem: cannot read");
    refused(&["--tls-ca", &ca, "--tls-cert", &crt, "--tls-key", &ca], 2, "no private key");
    let plain = verb(&server.address(), &["get", "/secret"], &known);
    let said = String::from_utf8_lossy(&plain.stderr).into_owned();
    assert_eq!(plain.status.code(), Some(6), "{said}");
    assert!(said.contains("secure port"), "{said}");

    let identity = Some((certificate, key));
    let tls = TlsConfig { ca: Some(ca.into()), identity, any_hostname: false };
    let tls = Tls::new(tls).unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let asked = runtime.block_on(four_letter_over(&tls, &secure, "srvr", wait::LONG));
    assert!(asked.unwrap().contains("Mode: standalone"));
}

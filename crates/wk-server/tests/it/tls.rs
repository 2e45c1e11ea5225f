//! TLS towards clients: who is let in, under which name, and that nobody at the door harms those
//! who are inside.

use crate::harness::{Client, TestServer, create, get, is_closed, request, until};
use rcgen::{CertificateParams, CertifiedIssuer, DistinguishedName, DnType, KeyPair};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};
use std::io::{self, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use tempfile::TempDir;
use wk_proto::client::{CreateMode, Request};
use wk_server::tls::{ClientAuth, TlsError, TlsSettings, TlsVersion};
use wk_server::{Server, StartError, zoo_cfg::ServerConfig};

type Secure = StreamOwned<ClientConnection, TcpStream>;

/// An authority and files that it has signed.
struct Authority {
    issuer: CertifiedIssuer<'static, KeyPair>,
    dir: TempDir,
}

impl Authority {
    fn new() -> Self {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
        let issuer = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("ca.pem"), issuer.pem()).unwrap();
        Self { issuer, dir }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// `NAME.pem` with key and certificate of `CN=NAME,O=tests`.
    fn issue(&self, name: &str) -> PathBuf {
        self.issue_as(name, rcgen::IsCa::NoCa)
    }

    fn issue_as(&self, name: &str, is_ca: rcgen::IsCa) -> PathBuf {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new(vec!["localhost".to_owned()]).unwrap();
        params.is_ca = is_ca;
        params.distinguished_name = DistinguishedName::new();
        params.distinguished_name.push(DnType::OrganizationName, "tests");
        params.distinguished_name.push(DnType::CommonName, name);
        let certificate = params.signed_by(&key, &self.issuer).unwrap();
        let path = self.path(&format!("{name}.pem"));
        std::fs::write(&path, key.serialize_pem() + &certificate.pem()).unwrap();
        path
    }

    fn settings(&self, client_auth: ClientAuth) -> TlsSettings {
        TlsSettings {
            key_store: self.issue("server"),
            trust_store: Some(self.path("ca.pem")),
            client_auth,
            versions: vec![TlsVersion::V13, TlsVersion::V12],
            cipher_suites: Vec::new(),
            reload: false,
            handshakes_max: None,
            secure_addr: Some("127.0.0.1:0".parse().unwrap()),
            unified: false,
        }
    }

    fn server(&self, auth: ClientAuth, change: impl FnOnce(&mut ServerConfig)) -> TestServer {
        TestServer::start_with(|config| {
            config.tls = Some(self.settings(auth));
            config.tree.x509_scheme = true;
            change(config);
        })
    }

    fn client_config(&self, identity: Option<&Path>) -> ClientConfig {
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let mut roots = RootCertStore::empty();
        roots.add(self.issuer.der().clone()).unwrap();
        let builder = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(roots);
        match identity {
            None => builder.with_no_client_auth(),
            Some(path) => {
                let chain = CertificateDer::pem_file_iter(path).unwrap().map(Result::unwrap);
                let key = PrivateKeyDer::from_pem_file(path).unwrap();
                builder.with_client_auth_cert(chain.collect(), key).unwrap()
            }
        }
    }

    /// A connection that has not shaken hands yet.
    fn connect(&self, to: SocketAddr, identity: Option<&Path>) -> Secure {
        let name = ServerName::try_from("localhost").unwrap();
        let session = ClientConnection::new(Arc::new(self.client_config(identity)), name).unwrap();
        let stream = TcpStream::connect(to).unwrap();
        stream.set_read_timeout(Some(crate::harness::PATIENCE)).unwrap();
        StreamOwned::new(session, stream)
    }
}

fn secure_addr(server: &TestServer) -> SocketAddr {
    server.handle.secure_addr().unwrap()
}

/// Shakes hands and asks `ruok`; with TLS 1.3 a refusal comes with the first read.
fn ruok(mut stream: Secure) -> io::Result<String> {
    stream.write_all(b"ruok")?;
    let mut said = String::new();
    stream.read_to_string(&mut said)?;
    Ok(said)
}

fn is(server: &TestServer, metric: &str, wanted: f64) {
    until(metric, || (server.metric(metric) - wanted).abs() < f64::EPSILON);
}

#[test]
fn a_certificate_is_an_identity_and_large_replies_come_whole() {
    let ours = Authority::new();
    let server = ours.server(ClientAuth::Need, |_| {});
    let identity = ours.issue("alice");
    let mut alice = Client::new(ours.connect(secure_addr(&server), Some(&identity)));
    let big: Vec<u8> = (0..900_000).map(|at| u8::try_from(at % 251).unwrap()).collect();
    alice.create("/big", &big);
    // Asked often before anything is read: more than the kernel holds waits in the server.
    let asked = request(9, &get("/big"));
    for _ in 0..20 {
        alice.stream.write_all(&asked).unwrap();
    }
    for _ in 0..20 {
        let reply = alice.reply();
        assert!(reply.body[4..].starts_with(&big), "{} bytes", reply.body.len());
    }
    let mine = Request::SetAcl {
        path: "/big",
        acl: wk_proto::AclList::from_acls(&[wk_proto::Acl::new(wk_proto::Perms(31), "auth", "")]),
        version: -1,
    };
    assert_eq!(alice.call(&mine).header.err, 0);
    let mut plain = server.client();
    assert_eq!(plain.call(&get("/big")).header.err, -102, "NoAuth without the certificate");
    let asks = Request::GetAcl { path: "/big" };
    assert_eq!(plain.call(&asks).header.err, -102, "NoAuth for the list as well");
    let listed = alice.call(&asks);
    assert_eq!(listed.header.err, 0);
    let name = b"CN=alice,O=tests";
    assert!(listed.body.windows(name.len()).any(|part| part == name), "{:?}", listed.body);
    let again = Request::Auth { kind: 0, scheme: "x509", auth: b"" };
    assert_eq!(alice.call(&again).header.err, 0, "proved by the handshake");
    assert_eq!(alice.call(&asks).header.err, 0, "and the connection stays");
    let connections = server.block_on(server.handle.connections()).unwrap();
    assert_eq!(connections.iter().map(|one| one.secure).collect::<Vec<_>>(), [true, false]);
    assert!(
        server.word("conf").contains(&format!("secureClientPort={}", secure_addr(&server).port()))
    );
    is(&server, "non_mtls_local_conn_count", 1.0);
    is(&server, "unsuccessful_handshake", 0.0);
}

#[test]
fn who_must_show_a_certificate_is_told_so() {
    let (ours, theirs) = (Authority::new(), Authority::new());
    let stranger = theirs.issue("stranger");
    let known = ours.issue("known");
    for (auth, without, with_strange) in [
        (ClientAuth::Need, false, false),
        (ClientAuth::Want, true, false),
        (ClientAuth::None, true, true),
    ] {
        let server = ours.server(auth, |_| {});
        let said = |identity| ruok(ours.connect(secure_addr(&server), identity));
        assert_eq!(said(Some(&known)).unwrap(), "imok", "{auth:?}");
        let nobody = said(None);
        assert_eq!(nobody.is_ok(), without, "{auth:?}: {nobody:?}");
        let strange = said(Some(&stranger));
        assert_eq!(strange.is_ok(), with_strange, "{auth:?}: {strange:?}");
        if let Err(error) = nobody {
            assert!(error.to_string().contains("Certificate"), "{error}");
        }
        let refused = [without, with_strange].iter().filter(|served| !**served).count();
        let refused = f64::from(u32::try_from(refused).unwrap());
        is(&server, "unsuccessful_handshake", refused);
        is(&server, "auth_failed_count", refused);
        is(&server, "outstanding_tls_handshake", 0.0);
    }
}

#[test]
fn clients_are_trusted_by_their_authority_and_not_by_themselves() {
    let (ours, theirs) = (Authority::new(), Authority::new());
    let authority = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
    let issuer = ours.issue_as("issuer", authority);
    let (plain, pinned) = (ours.issue("plain"), theirs.issue("pinned"));
    // Our authority, and a certificate without its own.
    let pem = std::fs::read_to_string(&pinned).unwrap();
    let pem = &pem[pem.find("-----BEGIN CERTIFICATE").unwrap()..];
    let trust = ours.path("trust.pem");
    std::fs::write(&trust, ours.issuer.pem() + pem).unwrap();
    let server = ours.server(ClientAuth::Need, |config| {
        config.tls.as_mut().unwrap().trust_store = Some(trust);
    });
    let said = |identity| ruok(ours.connect(secure_addr(&server), Some(identity)));
    assert_eq!(said(&plain).unwrap(), "imok");
    said(&issuer).expect_err("a client that is an authority");
    said(&pinned).expect_err("a client whose own certificate is in the store");
    is(&server, "unsuccessful_handshake", 2.0);
}

#[test]
fn the_silent_at_the_door_are_sent_away_and_hold_up_nobody() {
    let ours = Authority::new();
    let server = ours.server(ClientAuth::None, |config| {
        config.limits.sessionless_timeout = Duration::from_secs(4);
        config.listen_backlog = Some(512);
    });
    let to = secure_addr(&server);
    let silent: Vec<TcpStream> = (0..100).map(|_| TcpStream::connect(to).unwrap()).collect();
    let mut halves: Vec<TcpStream> = (0..20).map(|_| TcpStream::connect(to).unwrap()).collect();
    for stream in &mut halves {
        // The begin of a hello that never ends.
        stream.write_all(&[0x16, 3, 1, 1, 0, 1, 0, 0, 0xfc, 3, 3]).unwrap();
    }
    is(&server, "outstanding_tls_handshake", 120.0);
    assert_eq!(ruok(ours.connect(to, None)).unwrap(), "imok", "served behind all of them");
    Client::new(ours.connect(to, None)).create("/served", b"");
    for stream in silent.iter().chain(&halves) {
        assert!(is_closed(stream));
    }
    is(&server, "outstanding_tls_handshake", 0.0);
    is(&server, "unsuccessful_handshake", 120.0);
    let mut garbage = TcpStream::connect(to).unwrap();
    garbage.write_all(b"ruok").unwrap();
    // Told by an alert, then closed.
    garbage.set_read_timeout(Some(crate::harness::PATIENCE)).unwrap();
    let mut rest = Vec::new();
    let _ = garbage.read_to_end(&mut rest);
    assert!(!rest.starts_with(b"imok"));
    is(&server, "unsuccessful_handshake", 121.0);
}

#[test]
fn handshakes_under_way_are_limited() {
    let ours = Authority::new();
    let server = ours.server(ClientAuth::None, |config| {
        config.tls.as_mut().unwrap().handshakes_max = Some(2);
    });
    let to = secure_addr(&server);
    let waiting = [TcpStream::connect(to).unwrap(), TcpStream::connect(to).unwrap()];
    is(&server, "outstanding_tls_handshake", 2.0);
    assert!(is_closed(&TcpStream::connect(to).unwrap()));
    is(&server, "tls_handshake_exceeded", 1.0);
    drop(waiting);
    is(&server, "outstanding_tls_handshake", 0.0);
    assert_eq!(ruok(ours.connect(to, None)).unwrap(), "imok", "room again");
}

#[test]
fn connections_of_one_address_are_limited_for_each_port() {
    let ours = Authority::new();
    let server = ours.server(ClientAuth::None, |config| config.limits.client_cnxns_max = 2);
    let to = secure_addr(&server);
    let kept = [Client::new(ours.connect(to, None)), Client::new(ours.connect(to, None))];
    assert!(ruok(ours.connect(to, None)).is_err());
    let plain = [server.client(), server.client()];
    assert!(is_closed(&server.connect()));
    is(&server, "connection_rejected", 2.0);
    drop((kept, plain));
    until("room again", || ruok(ours.connect(to, None)).is_ok_and(|said| said == "imok"));
}

#[test]
fn one_port_speaks_both_where_that_is_asked_for() {
    let ours = Authority::new();
    let server = ours.server(ClientAuth::Want, |config| {
        let tls = config.tls.as_mut().unwrap();
        (tls.unified, tls.secure_addr) = (true, None);
        config.limits.sessionless_timeout = Duration::from_secs(2);
    });
    assert_eq!(server.handle.secure_addr(), None);
    let silent = server.connect();
    // Who looks whether the port is open, and goes, is no client that was sent away.
    drop(server.connect());
    assert_eq!(server.word("ruok"), "imok");
    let mut plain = server.client();
    plain.create("/plain", b"1");
    let mut secure = Client::new(ours.connect(server.addr(), Some(&ours.issue("bob"))));
    assert_eq!(secure.get("/plain").unwrap(), b"1");
    let made = secure.call(&create("/secure", b"2", CreateMode::Persistent));
    assert_eq!(made.header.err, 0);
    assert_eq!(plain.get("/secure").unwrap(), b"2");
    let connections = server.block_on(server.handle.connections()).unwrap();
    assert_eq!(connections.iter().filter(|one| one.secure).count(), 1);
    assert!(is_closed(&silent), "whoever says nothing at all");
    is(&server, "sessionless_connections_expired", 1.0);
    is(&server, "unsuccessful_handshake", 0.0);
}

#[test]
fn changed_certificates_are_used_and_broken_ones_are_not() {
    let (old, new) = (Authority::new(), Authority::new());
    let server = old.server(ClientAuth::None, |config| {
        config.tls.as_mut().unwrap().reload = true;
    });
    let to = secure_addr(&server);
    let store = old.path("server.pem");
    let mut kept = Client::new(old.connect(to, None));
    assert!(ruok(new.connect(to, None)).is_err(), "not trusted yet");
    std::fs::copy(new.issue("server"), &store).unwrap();
    until("the new certificate", || ruok(new.connect(to, None)).is_ok_and(|said| said == "imok"));
    std::fs::write(&store, "half a f").unwrap();
    // Looked at once a second: long enough that it was seen.
    std::thread::sleep(Duration::from_millis(1_500));
    assert_eq!(ruok(new.connect(to, None)).unwrap(), "imok", "the old one goes on");
    kept.create("/kept", b"");
}

#[test]
fn files_that_cannot_be_used_stop_the_start_with_their_key() {
    let ours = Authority::new();
    let refused = |change: &dyn Fn(&mut TlsSettings)| {
        let dir = tempfile::tempdir().unwrap();
        let mut config = ServerConfig::for_directory(dir.path());
        let mut settings = ours.settings(ClientAuth::Need);
        change(&mut settings);
        config.tls = Some(settings);
        let error = Server::start(config).map(drop).unwrap_err();
        assert!(matches!(error, StartError::Tls(_)));
        assert_eq!(error.exit_code(), 2);
        error.to_string()
    };
    let key_store = refused(&|tls| tls.key_store = "/none.pem".into());
    assert!(key_store.starts_with("ssl.keyStore.location: /none.pem: cannot read"), "{key_store}");
    let trust = refused(&|tls| tls.trust_store = Some("/none.pem".into()));
    assert!(trust.starts_with("ssl.trustStore.location: /none.pem"), "{trust}");
    for auth in [ClientAuth::Need, ClientAuth::Want] {
        let nobody = refused(&|tls| {
            tls.client_auth = auth;
            tls.trust_store = None;
        });
        assert!(nobody.starts_with("ssl.trustStore.location: must be set"), "{auth:?}: {nobody}");
    }
    let suites = refused(&|tls| {
        tls.versions = vec![TlsVersion::V12];
        tls.cipher_suites = vec!["TLS_AES_128_GCM_SHA256".to_owned()];
    });
    assert!(suites.contains("ssl.ciphersuites: do not fit together"), "{suites}");
    let jks = ours.path("store.jks");
    std::fs::write(&jks, [0xfe, 0xed, 0xfe, 0xed, 0, 0]).unwrap();
    let error = TlsSettings { key_store: jks, ..ours.settings(ClientAuth::None) }.load();
    let Err(TlsError::KeyStore(error)) = error else { panic!("a store of Java was taken") };
    assert!(error.to_string().contains("keytool -importkeystore"), "{error}");
}

#[test]
fn only_the_versions_and_suites_that_are_named_are_spoken() {
    let ours = Authority::new();
    let server = ours.server(ClientAuth::None, |config| {
        let tls = config.tls.as_mut().unwrap();
        tls.versions = vec![TlsVersion::V12];
        tls.cipher_suites = vec!["TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384".to_owned()];
    });
    let mut stream = ours.connect(secure_addr(&server), None);
    stream.write_all(b"ruok").unwrap();
    let mut said = String::new();
    stream.read_to_string(&mut said).unwrap();
    assert_eq!(said, "imok");
    let suite = stream.conn.negotiated_cipher_suite().unwrap().suite();
    assert_eq!(suite, rustls::CipherSuite::TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384);
}

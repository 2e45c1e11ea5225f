//! Real handshakes on loopback: who is trusted, who is refused, and what is said.

use std::net::SocketAddr;

use std::fs;
use std::time::SystemTime;

use rcgen::{CertificateParams, CertifiedIssuer, KeyPair};
use rustls::pki_types::PrivateKeyDer;
use rustls::pki_types::pem::PemObject as _;
use rustls::server::WebPkiClientVerifier;
use rustls::{RootCertStore, ServerConfig};
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;

use super::*;

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
        fs::write(dir.path().join("ca.pem"), issuer.pem()).unwrap();
        Self { issuer, dir }
    }

    fn ca(&self) -> PathBuf {
        self.dir.path().join("ca.pem")
    }

    /// Certificate and key for `host`, as files and as a server needs them.
    fn issue(&self, host: &str) -> (PathBuf, PathBuf) {
        let key = KeyPair::generate().unwrap();
        let params = CertificateParams::new(vec![host.to_owned()]).unwrap();
        let certificate = params.signed_by(&key, &self.issuer).unwrap();
        let path = |end: &str| self.dir.path().join(format!("{host}.{end}"));
        fs::write(path("crt"), certificate.pem()).unwrap();
        fs::write(path("key"), key.serialize_pem()).unwrap();
        (path("crt"), path("key"))
    }
}

/// A server that says `hi` over TLS; with `clients` only to those whom that authority knows.
async fn server(identity: (PathBuf, PathBuf), clients: Option<&Authority>) -> SocketAddr {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = ServerConfig::builder_with_provider(Arc::clone(&provider))
        .with_safe_default_protocol_versions()
        .unwrap();
    let builder = match clients {
        None => builder.with_no_client_auth(),
        Some(authority) => {
            let mut roots = RootCertStore::empty();
            roots.add(authority.issuer.der().clone()).unwrap();
            let asks = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider);
            builder.with_client_cert_verifier(asks.build().unwrap())
        }
    };
    let chain = wk_tls::certificates(&identity.0).unwrap();
    let key = PrivateKeyDer::from_pem_file(&identity.1).unwrap();
    let acceptor = TlsAcceptor::from(Arc::new(builder.with_single_cert(chain, key).unwrap()));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            if let Ok(mut stream) = acceptor.accept(stream).await {
                let _ = stream.write_all(b"hi").await;
                let _ = stream.shutdown().await;
            }
        }
    });
    address
}

async fn greet(tls: &Tls, host: &str, address: SocketAddr) -> Result<String, String> {
    let mut stream = tls
        .connect(&format!("{host}:{}", address.port()))
        .await
        .map_err(|error| error.to_string())?;
    let mut said = String::new();
    // With TLS 1.3 a server refuses a client's certificate after the handshake.
    stream.read_to_string(&mut said).await.map_err(|error| error.to_string())?;
    Ok(said)
}

fn trusting(authority: &Authority) -> TlsConfig {
    TlsConfig { ca: Some(authority.ca()), ..TlsConfig::default() }
}

#[tokio::test]
async fn the_right_authority_and_name_are_trusted_and_no_other() {
    let (ours, other) = (Authority::new(), Authority::new());
    let address = server(ours.issue("localhost"), None).await;
    let tls = Tls::new(trusting(&ours)).unwrap();
    assert_eq!(greet(&tls, "localhost", address).await.unwrap(), "hi");
    let wrong_name = greet(&tls, "127.0.0.1", address).await.unwrap_err();
    assert!(wrong_name.contains("not valid for name"), "{wrong_name}");

    let any = Tls::new(TlsConfig { any_hostname: true, ..trusting(&ours) }).unwrap();
    assert_eq!(greet(&any, "127.0.0.1", address).await.unwrap(), "hi");
    for any_hostname in [false, true] {
        let stranger = Tls::new(TlsConfig { any_hostname, ..trusting(&other) }).unwrap();
        let unknown = greet(&stranger, "localhost", address).await.unwrap_err();
        assert!(unknown.contains("UnknownIssuer") || unknown.contains("BadSignature"), "{unknown}");
    }
}

#[tokio::test]
async fn a_server_that_asks_gets_our_certificate() {
    let (ours, clients) = (Authority::new(), Authority::new());
    let address = server(ours.issue("localhost"), Some(&clients)).await;
    let nobody = Tls::new(trusting(&ours)).unwrap();
    let refused = greet(&nobody, "localhost", address).await.unwrap_err();
    assert!(refused.to_lowercase().contains("certificate"), "{refused}");
    let known = TlsConfig { identity: Some(clients.issue("monitor")), ..trusting(&ours) };
    let known = Tls::new(known).unwrap();
    assert_eq!(greet(&known, "localhost", address).await.unwrap(), "hi");
}

#[tokio::test]
async fn rotated_files_are_read_anew_and_broken_ones_are_not_used() {
    let (old, new) = (Authority::new(), Authority::new());
    let tls = Tls::new(trusting(&old)).unwrap();
    let address = server(new.issue("localhost"), None).await;
    assert!(greet(&tls, "localhost", address).await.is_err(), "not trusted yet");
    let later = SystemTime::now() + Duration::from_secs(5);
    let replace = |bytes: &[u8], stamp: SystemTime| {
        fs::write(old.ca(), bytes).unwrap();
        fs::File::options().append(true).open(old.ca()).unwrap().set_modified(stamp).unwrap();
    };
    replace(new.issuer.pem().as_bytes(), later);
    assert_eq!(greet(&tls, "localhost", address).await.unwrap(), "hi");
    replace(b"half a f", later + Duration::from_secs(5));
    assert_eq!(greet(&tls, "localhost", address).await.unwrap(), "hi", "the old one goes on");
}

#[tokio::test]
async fn a_plain_port_is_named_as_the_likely_cause() {
    let ours = Authority::new();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move { while listener.accept().await.is_ok() {} });
    let tls = Tls::new(trusting(&ours)).unwrap();
    let error = greet(&tls, "localhost", address).await.unwrap_err();
    assert!(error.contains("secure port"), "{error}");
}

#[test]
fn files_that_cannot_be_used_are_named_with_the_reason() {
    let dir = tempfile::tempdir().unwrap();
    let file = |name: &str, bytes: &[u8]| {
        let path = dir.path().join(name);
        fs::write(&path, bytes).unwrap();
        path
    };
    let refused = |ca: PathBuf| {
        Tls::new(TlsConfig { ca: Some(ca), ..TlsConfig::default() }).unwrap_err().to_string()
    };
    let jks = refused(file("store.jks", &[0xfe, 0xed, 0xfe, 0xed, 0, 0]));
    assert!(jks.contains("store.jks: is a Java key store") && jks.contains("keytool"), "{jks}");
    let p12 = refused(file("store.p12", &[0x30, 0x82, 1, 2, 3]));
    assert!(p12.contains("openssl pkcs12"), "{p12}");
    let text = refused(file("note.txt", b"hello"));
    assert!(text.contains("note.txt: holds no certificate in PEM form"), "{text}");
    assert!(refused(dir.path().join("none")).contains("none: cannot read"));

    let ours = Authority::new();
    let (certificate, key) = ours.issue("a");
    let (_, other_key) = ours.issue("b");
    let identity = |certificate: &Path, key: &Path| {
        let identity = Some((certificate.to_owned(), key.to_owned()));
        Tls::new(TlsConfig { identity, ..trusting(&ours) }).map(drop).map_err(|e| e.to_string())
    };
    assert_eq!(identity(&certificate, &key), Ok(()));
    let unlike = identity(&certificate, &other_key).unwrap_err();
    assert!(unlike.contains("a.crt: does not fit the key"), "{unlike}");
    let no_key = identity(&certificate, &certificate).unwrap_err();
    assert!(no_key.contains("a.crt: no private key in PEM form"), "{no_key}");
    let any = TlsConfig { any_hostname: true, ..TlsConfig::default() };
    assert!(Tls::new(any).unwrap_err().to_string().contains("authority of your own"));
}

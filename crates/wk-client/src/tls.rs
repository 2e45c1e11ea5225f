//! TLS to a server's secure port: whom we trust, who we are.
//!
//! Certificates are PEM files. They are looked at before each connection and read anew when they
//! changed, so that a rotated certificate needs no restart.

use std::fs;
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::ServerCertVerifier;
use rustls::crypto::CryptoProvider;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use rustls_platform_verifier::BuilderVerifierExt;
use tokio_rustls::TlsConnector;

use crate::hosts;
use crate::transport::{BoxFuture, Connect, Tcp, Transport};

mod verify;

/// Longest file taken for certificates or a key.
const FILE_MAX: u64 = 4 << 20;
/// Longest wait for the handshake: a server's plain port never answers it.
const HANDSHAKE_MAX: Duration = Duration::from_secs(10);

/// What to trust and what to show.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TlsConfig {
    /// PEM file of the authorities to trust; none means those of the operating system.
    pub ca: Option<PathBuf>,
    /// PEM files of our own certificate chain and its key, if the server asks who we are.
    pub identity: Option<(PathBuf, PathBuf)>,
    /// Accept a certificate that was issued for another host name. Still signed by a trusted
    /// authority and valid today; for ensembles whose members share one certificate.
    pub any_hostname: bool,
}

/// Why the files cannot be used; names the file.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TlsError {
    /// It cannot be read.
    #[error("{}: cannot read: {source}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// What failed.
        source: io::Error,
    },
    /// It is no PEM file of what it should be.
    #[error("{}: {reason}", path.display())]
    Content {
        /// The file.
        path: PathBuf,
        /// What is wrong with it, and what to do.
        reason: String,
    },
    /// Certificate and key do not fit, or TLS cannot be set up.
    #[error("{0}")]
    Setup(String),
}

impl TlsConfig {
    /// Reads the files.
    fn load(&self) -> Result<ClientConfig, TlsError> {
        let setup = |err: rustls::Error| TlsError::Setup(format!("cannot set up TLS: {err}"));
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let builder = ClientConfig::builder_with_provider(Arc::clone(&provider));
        let builder = builder.with_safe_default_protocol_versions().map_err(setup)?;
        let builder = match &self.ca {
            None if self.any_hostname => {
                let reason = "a certificate of any host name is only accepted from an authority \
                              of your own: name it";
                return Err(TlsError::Setup(reason.to_owned()));
            }
            None => builder.with_platform_verifier().map_err(setup)?,
            Some(ca) => {
                let verifier = self.verifier(ca, provider)?;
                builder.dangerous().with_custom_certificate_verifier(verifier)
            }
        };
        match &self.identity {
            None => Ok(builder.with_no_client_auth()),
            Some((certificate, key)) => {
                let chain = certificates(certificate)?;
                let secret = PrivateKeyDer::from_pem_slice(&read(key)?);
                let secret = secret.map_err(|err| content(key, "private key", &err))?;
                builder.with_client_auth_cert(chain, secret).map_err(|err| {
                    let reason = format!("does not fit the key {}: {err}", key.display());
                    TlsError::Content { path: certificate.clone(), reason }
                })
            }
        }
    }

    fn verifier(
        &self,
        ca: &Path,
        provider: Arc<CryptoProvider>,
    ) -> Result<Arc<dyn ServerCertVerifier>, TlsError> {
        let mut roots = RootCertStore::empty();
        for certificate in certificates(ca)? {
            roots.add(certificate).map_err(|err| {
                let reason = format!("holds a certificate that cannot be trusted: {err}");
                TlsError::Content { path: ca.to_owned(), reason }
            })?;
        }
        let verifier = WebPkiServerVerifier::builder_with_provider(Arc::new(roots), provider);
        let verifier = verifier.build().map_err(|err| TlsError::Setup(err.to_string()))?;
        if self.any_hostname {
            return Ok(Arc::new(verify::AnyHostname(verifier)));
        }
        Ok(verifier)
    }

    fn files(&self) -> impl Iterator<Item = &Path> {
        let identity = self.identity.iter().flat_map(|(certificate, key)| [certificate, key]);
        self.ca.iter().chain(identity).map(PathBuf::as_path)
    }
}

/// Connects with TLS.
#[derive(Clone, Debug)]
pub struct Tls(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    config: TlsConfig,
    loaded: Mutex<Loaded>,
}

#[derive(Clone, Debug)]
struct Loaded {
    tls: Arc<ClientConfig>,
    stamps: Vec<Option<SystemTime>>,
}

impl Tls {
    /// Reads the files of `config`.
    ///
    /// # Errors
    /// [`TlsError`] when one of them cannot be used.
    pub fn new(config: TlsConfig) -> Result<Self, TlsError> {
        // Before the reading: a change in between is seen as one.
        let stamps = stamps(&config);
        let loaded = Loaded { tls: Arc::new(config.load()?), stamps };
        Ok(Self(Arc::new(Shared { config, loaded: Mutex::new(loaded) })))
    }

    /// The current set-up; of files that changed and cannot be used the old one goes on.
    fn current(&self) -> Arc<ClientConfig> {
        let mut loaded = self.0.loaded.lock().unwrap_or_else(PoisonError::into_inner);
        let stamps = stamps(&self.0.config);
        if stamps != loaded.stamps {
            match self.0.config.load() {
                Ok(tls) => *loaded = Loaded { tls: Arc::new(tls), stamps },
                // Not remembered: a file in the middle of being written is tried again.
                Err(error) => tracing::warn!(%error, "changed certificates cannot be used yet"),
            }
        }
        Arc::clone(&loaded.tls)
    }
}

impl Connect for Tls {
    fn connect(&self, host: &str) -> BoxFuture<io::Result<Box<dyn Transport>>> {
        let (this, host) = (self.clone(), host.to_owned());
        Box::pin(async move {
            let name = ServerName::try_from(hosts::name_of(&host).to_owned())
                .map_err(|err| io::Error::new(ErrorKind::InvalidInput, format!("{host}: {err}")))?;
            let reading = tokio::task::spawn_blocking(move || this.current());
            let tls = reading.await.map_err(io::Error::other)?;
            let stream = Tcp.connect(&host).await?;
            let handshake = TlsConnector::from(tls).connect(name, stream);
            match tokio::time::timeout(HANDSHAKE_MAX, handshake).await {
                Ok(Ok(stream)) => Ok(Box::new(stream) as Box<dyn Transport>),
                Ok(Err(error)) => Err(explain(&error)),
                Err(_) => Err(io::Error::new(ErrorKind::TimedOut, "no answer to the TLS hello")),
            }
        })
    }
}

/// What a failed handshake probably means.
fn explain(error: &io::Error) -> io::Error {
    let kind = error.kind();
    if matches!(kind, ErrorKind::UnexpectedEof | ErrorKind::ConnectionReset) {
        let hint = "closed during the TLS handshake: is this the secure port, and does it know our \
                    certificate?";
        return io::Error::new(kind, hint);
    }
    io::Error::new(kind, format!("TLS: {error}"))
}

fn stamps(config: &TlsConfig) -> Vec<Option<SystemTime>> {
    config.files().map(|file| fs::metadata(file).and_then(|meta| meta.modified()).ok()).collect()
}

fn read(path: &Path) -> Result<Vec<u8>, TlsError> {
    let failed = |source| TlsError::Read { path: path.to_owned(), source };
    let bytes = fs::metadata(path).map_err(failed)?.len();
    if bytes > FILE_MAX {
        let reason = format!("has {bytes} bytes; certificates and keys have at most {FILE_MAX}");
        return Err(TlsError::Content { path: path.to_owned(), reason });
    }
    fs::read(path).map_err(failed)
}

fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let bytes = read(path)?;
    let all: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&bytes).collect();
    let all = all.map_err(|err| content(path, "certificate", &err))?;
    if all.is_empty() {
        let reason = foreign(&bytes).unwrap_or("holds no certificate in PEM form");
        return Err(TlsError::Content { path: path.to_owned(), reason: reason.to_owned() });
    }
    Ok(all)
}

fn content(path: &Path, what: &str, err: &rustls::pki_types::pem::Error) -> TlsError {
    let bytes = read(path).unwrap_or_default();
    let known = foreign(&bytes).map(str::to_owned);
    let reason = known.unwrap_or_else(|| format!("no {what} in PEM form: {err}"));
    TlsError::Content { path: path.to_owned(), reason }
}

/// What a file is that Java programs use instead, and how to turn it into PEM.
fn foreign(bytes: &[u8]) -> Option<&'static str> {
    match bytes {
        [0xfe, 0xed, 0xfe, 0xed, ..] => Some(
            "is a Java key store; turn it into PEM: keytool -importkeystore -srckeystore FILE \
             -destkeystore x.p12 -deststoretype PKCS12, then openssl pkcs12 -in x.p12 -nodes",
        ),
        [0x30, 0x82, ..] => Some(
            "is binary (PKCS#12 or DER); turn it into PEM: openssl pkcs12 -in FILE -nodes, or \
             openssl x509 -inform der -in FILE",
        ),
        _ => None,
    }
}

#[cfg(test)]
mod tests;

//! TLS to a server's secure port: whom we trust, who we are.
//!
//! Certificates are PEM files. They are looked at before each connection and read anew when they
//! changed, so that a rotated certificate needs no restart.

use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use rustls::ClientConfig;
use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::ServerCertVerifier;
use rustls::crypto::CryptoProvider;
use rustls::pki_types::ServerName;
use rustls_platform_verifier::BuilderVerifierExt;
use tokio_rustls::TlsConnector;
use wk_tls::{FileError, Stamp};

use crate::hosts;
use crate::transport::{BoxFuture, Connect, Tcp, Transport};

mod verify;

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
    /// One of them cannot be read or holds something else.
    #[error(transparent)]
    File(#[from] FileError),
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
                let chain = wk_tls::certificates(certificate)?;
                let secret = wk_tls::private_key(key)?;
                builder.with_client_auth_cert(chain, secret).map_err(|err| {
                    let (file, key) = (certificate.display(), key.display());
                    TlsError::Setup(format!("{file}: does not fit the key {key}: {err}"))
                })
            }
        }
    }

    fn verifier(
        &self,
        ca: &Path,
        provider: Arc<CryptoProvider>,
    ) -> Result<Arc<dyn ServerCertVerifier>, TlsError> {
        let roots = wk_tls::roots(ca)?;
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
    stamps: Vec<Stamp>,
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

fn stamps(config: &TlsConfig) -> Vec<Stamp> {
    config.files().map(wk_tls::stamp).collect()
}

#[cfg(test)]
mod tests;

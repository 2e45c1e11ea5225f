//! What TLS is told, and the set-up of rustls that comes of it.

use rustls::crypto::{CryptoProvider, ring};
use rustls::server::{NoServerSessionStorage, ServerConfig, WebPkiClientVerifier};
use rustls::version::{TLS12, TLS13};
use rustls::{SupportedCipherSuite, SupportedProtocolVersion};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tracing::{info, warn};
use wk_tls::{FileError, Stamp, stamp};

/// How often changed files are looked for, at most.
const LOOK_INTERVAL: Duration = Duration::from_secs(1);

/// Must clients show a certificate?
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ClientAuth {
    /// They are not asked.
    None,
    /// They are asked, and served without one as well.
    Want,
    /// Without one they are refused.
    #[default]
    Need,
}

/// A version of the protocol.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TlsVersion {
    /// TLSv1.2
    V12,
    /// TLSv1.3
    V13,
}

impl TlsVersion {
    /// The version that Java calls so.
    pub fn from_name(name: &str) -> Option<Self> {
        match name {
            "TLSv1.2" => Some(Self::V12),
            "TLSv1.3" => Some(Self::V13),
            _ => None,
        }
    }
}

/// Everything about TLS towards clients.
#[derive(Clone, Debug)]
pub struct TlsSettings {
    /// PEM file with our private key and certificate chain.
    pub key_store: PathBuf,
    /// PEM file of the authorities that sign clients' certificates.
    pub trust_store: Option<PathBuf>,
    /// Must clients show a certificate? Then `trust_store` is there.
    pub client_auth: ClientAuth,
    /// The versions that are spoken.
    pub versions: Vec<TlsVersion>,
    /// The suites that are taken, by Java's names, the best first; empty: all that there are.
    pub cipher_suites: Vec<String>,
    /// Read the files anew when they change.
    pub reload: bool,
    /// Handshakes under way at once, above which a new connection is closed.
    pub handshakes_max: Option<usize>,
    /// Where clients are taken in over TLS alone.
    pub secure_addr: Option<std::net::SocketAddr>,
    /// The plain port takes TLS as well, told by the first byte.
    pub unified: bool,
}

/// Why TLS cannot be set up.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TlsError {
    /// The file of `ssl.keyStore.location`.
    #[error("ssl.keyStore.location: {0}")]
    KeyStore(FileError),
    /// The file of `ssl.trustStore.location`.
    #[error("ssl.trustStore.location: {0}")]
    TrustStore(FileError),
    /// Key, certificate, versions and suites do not fit together.
    #[error("{0}")]
    Setup(String),
}

/// The name of a suite in Java, which is the standard's.
fn java_name(suite: SupportedCipherSuite) -> String {
    let name = format!("{:?}", suite.suite());
    name.replacen("TLS13_", "TLS_", 1)
}

/// The names of all suites that there are.
pub fn cipher_suite_names() -> Vec<String> {
    ring::ALL_CIPHER_SUITES.iter().copied().map(java_name).collect()
}

impl TlsSettings {
    fn provider(&self) -> Arc<CryptoProvider> {
        let mut provider = ring::default_provider();
        if !self.cipher_suites.is_empty() {
            let all = provider.cipher_suites.clone();
            let named = |name: &String| all.iter().copied().find(|one| java_name(*one) == *name);
            provider.cipher_suites = self.cipher_suites.iter().filter_map(named).collect();
        }
        Arc::new(provider)
    }

    /// Reads the files and sets up rustls.
    pub fn load(&self) -> Result<Arc<ServerConfig>, TlsError> {
        let (chain, key) = wk_tls::identity(&self.key_store).map_err(TlsError::KeyStore)?;
        let versions: Vec<&'static SupportedProtocolVersion> = self
            .versions
            .iter()
            .map(|version| if *version == TlsVersion::V12 { &TLS12 } else { &TLS13 })
            .collect();
        let provider = self.provider();
        let builder = ServerConfig::builder_with_provider(Arc::clone(&provider))
            .with_protocol_versions(&versions)
            .map_err(|err| {
                let keys = "ssl.protocol, ssl.enabledProtocols, ssl.ciphersuites";
                TlsError::Setup(format!("{keys}: do not fit together: {err}"))
            })?;
        let builder = match (self.client_auth, &self.trust_store) {
            (ClientAuth::None, _) => builder.with_no_client_auth(),
            (ClientAuth::Need | ClientAuth::Want, None) => {
                let rule = "must be set where clients are asked for certificates";
                let text = format!("ssl.trustStore.location: {rule}; or set ssl.clientAuth = none");
                return Err(TlsError::Setup(text));
            }
            (auth, Some(path)) => {
                let roots = wk_tls::roots(path).map_err(TlsError::TrustStore)?;
                let asks = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider);
                let asks =
                    if auth == ClientAuth::Want { asks.allow_unauthenticated() } else { asks };
                let asks = asks
                    .build()
                    .map_err(|err| TlsError::Setup(format!("ssl.trustStore.location: {err}")))?;
                builder.with_client_cert_verifier(asks)
            }
        };
        let mut config = builder.with_single_cert(chain, key).map_err(|err| {
            let path = self.key_store.display();
            TlsError::Setup(format!("ssl.keyStore.location: {path}: {err}"))
        })?;
        // Nobody resumes a session of TLS: each connection is judged by the certificates of now.
        config.session_storage = Arc::new(NoServerSessionStorage {});
        config.send_tls13_tickets = 0;
        Ok(Arc::new(config))
    }

    fn stamps(&self) -> (Stamp, Stamp) {
        (stamp(&self.key_store), self.trust_store.as_deref().and_then(stamp))
    }
}

/// The current set-up, read anew when the files change and that is asked for.
pub(crate) struct Reloading {
    settings: TlsSettings,
    config: Arc<ServerConfig>,
    stamps: (Stamp, Stamp),
    looked: Instant,
}

impl Reloading {
    /// Reads the files.
    pub(crate) fn new(settings: TlsSettings) -> Result<Self, TlsError> {
        // Before the reading: a change in between is seen as one.
        let stamps = settings.stamps();
        Ok(Self { config: settings.load()?, settings, stamps, looked: Instant::now() })
    }

    /// The set-up for a handshake that begins now.
    pub(crate) fn current(&mut self, now: Instant) -> Arc<ServerConfig> {
        if self.settings.reload && now.saturating_duration_since(self.looked) >= LOOK_INTERVAL {
            self.looked = now;
            self.look();
        }
        Arc::clone(&self.config)
    }

    fn look(&mut self) {
        let stamps = self.settings.stamps();
        if stamps == self.stamps {
            return;
        }
        match self.settings.load() {
            Ok(config) => {
                info!("changed certificates are in use");
                (self.config, self.stamps) = (config, stamps);
            }
            // Not remembered: a file in the middle of being written is tried again.
            Err(error) => warn!(%error, "changed certificates cannot be used yet"),
        }
    }
}

//! Bounded GETs of a server's pages: no redirects, no proxies, one deadline for all of it.

use std::sync::OnceLock;
use std::time::Duration;

use reqwest::redirect::Policy;
use tokio::time::{Instant, timeout_at};

use crate::page::{More, Page, PageLimits, PageReader};

/// The longest answer of AdminServer that is taken.
const BODY_MAX: usize = 4 << 20;

/// Why there is no answer.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FetchError {
    /// No connection, or it broke before the answer began.
    #[error("{0}")]
    Silent(String),
    /// The host answered that nobody listens on that port.
    #[error("{0}")]
    Refused(String),
    /// An answer, but not what a server of ours would say.
    #[error("{0}")]
    Strange(String),
}

/// Keeps one connection a server open between looks.
#[derive(Clone, Debug)]
pub struct Fetcher {
    client: reqwest::Client,
}

impl Fetcher {
    /// A fetcher; `None` if the TLS part of the library cannot be set up. All share their
    /// connections and the trusted certificates, which take room.
    pub fn new() -> Option<Self> {
        static SHARED: OnceLock<Option<Fetcher>> = OnceLock::new();
        SHARED.get_or_init(Self::set_up).clone()
    }

    fn set_up() -> Option<Self> {
        // Another part of the process may have been first.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let client = reqwest::Client::builder()
            .redirect(Policy::none())
            .no_proxy()
            .http1_only()
            .pool_max_idle_per_host(1)
            .build();
        client.ok().map(|client| Self { client })
    }

    /// Reads a metrics page. One that does not end in time or breaks off is cut where it was.
    ///
    /// # Errors
    /// [`FetchError`].
    pub async fn page(
        &self,
        url: &str,
        limits: PageLimits,
        limit: Duration,
    ) -> Result<Page, FetchError> {
        let deadline = Instant::now() + limit;
        let mut response = self.get(url, deadline).await?;
        if response.status() != 200 {
            return Err(FetchError::Strange(format!("HTTP {}", response.status().as_u16())));
        }
        let mut reader = PageReader::new(limits);
        let page = loop {
            match timeout_at(deadline, response.chunk()).await {
                Ok(Ok(Some(piece))) => {
                    if reader.push(&piece) == More::Enough {
                        break reader.finish();
                    }
                }
                Ok(Ok(None)) => break reader.finish(),
                Ok(Err(err)) => break reader.finish_early(format!("broke off: {}", root(&err))),
                Err(_) => {
                    let waited = format!("no end within {} ms", limit.as_millis());
                    break reader.finish_early(waited);
                }
            }
        };
        if page.series.is_empty() {
            let fault = page.faults.first().map(ToString::to_string).or(page.cut);
            let reason = fault.unwrap_or_else(|| "it is empty".to_owned());
            return Err(FetchError::Strange(format!("no metrics page: {reason}")));
        }
        Ok(page)
    }

    /// Reads an answer of AdminServer: status and body.
    ///
    /// # Errors
    /// [`FetchError`].
    pub async fn body(&self, url: &str, limit: Duration) -> Result<(u16, Vec<u8>), FetchError> {
        let deadline = Instant::now() + limit;
        let mut response = self.get(url, deadline).await?;
        let mut body = Vec::new();
        loop {
            match timeout_at(deadline, response.chunk()).await {
                Ok(Ok(Some(piece))) if body.len() + piece.len() <= BODY_MAX => {
                    body.extend_from_slice(&piece);
                }
                Ok(Ok(Some(_))) => {
                    return Err(FetchError::Strange(format!("longer than {BODY_MAX} bytes")));
                }
                Ok(Ok(None)) => return Ok((response.status().as_u16(), body)),
                Ok(Err(err)) => {
                    return Err(FetchError::Strange(format!("broke off: {}", root(&err))));
                }
                Err(_) => return Err(late(limit)),
            }
        }
    }

    async fn get(&self, url: &str, deadline: Instant) -> Result<reqwest::Response, FetchError> {
        let limit = deadline.duration_since(Instant::now());
        match timeout_at(deadline, self.client.get(url).send()).await {
            Ok(Ok(response)) if response.status().is_redirection() => {
                Err(FetchError::Strange("a redirect, which is not followed".to_owned()))
            }
            Ok(Ok(response)) => Ok(response),
            Ok(Err(err)) if err.is_connect() && is_refused(&err) => {
                Err(FetchError::Refused(root(&err)))
            }
            Ok(Err(err)) if err.is_connect() => Err(FetchError::Silent(root(&err))),
            Ok(Err(err)) => Err(FetchError::Strange(root(&err))),
            Err(_) => Err(late(limit)),
        }
    }
}

fn late(limit: Duration) -> FetchError {
    FetchError::Silent(format!("no answer within {} ms", limit.as_millis()))
}

/// Whether the kernel of the other host, or a wall before it, said that the port is closed.
fn is_refused(err: &reqwest::Error) -> bool {
    let outer: &dyn std::error::Error = err;
    let mut causes = std::iter::successors(Some(outer), |err| err.source());
    causes.any(|err| {
        let io = err.downcast_ref::<std::io::Error>();
        io.is_some_and(|io| io.kind() == std::io::ErrorKind::ConnectionRefused)
    })
}

/// The innermost reason: the outer ones only repeat the address.
fn root(err: &reqwest::Error) -> String {
    let mut inner: &dyn std::error::Error = err;
    while let Some(source) = inner.source() {
        inner = source;
    }
    inner.to_string()
}

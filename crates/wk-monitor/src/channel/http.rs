//! The HTTP client of the channels that speak HTTP.

use std::sync::OnceLock;
use std::time::Duration;

use url::{Host, Url};

use crate::channel::{ANSWER_MAX, SEND_LIMIT, cut};

/// What a receiver answered.
pub(super) struct Answer {
    pub(super) status: u16,
    /// Seconds that it asked to wait (`Retry-After`).
    pub(super) retry_after: Option<Duration>,
    /// Its body, shortened.
    pub(super) body: String,
}

impl Answer {
    pub(super) fn show(&self) -> String {
        format!("HTTP {}\n{}", self.status, self.body)
    }
}

/// Two clients: a proxy that the environment names is for the world, never for this machine.
struct Clients {
    world: reqwest::Client,
    local: reqwest::Client,
}

fn clients() -> Result<&'static Clients, String> {
    static CLIENTS: OnceLock<Result<Clients, String>> = OnceLock::new();
    let build = || {
        // An error means that one is installed already: that will do as well.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let builder = || {
            reqwest::Client::builder()
                .timeout(SEND_LIMIT)
                .connect_timeout(Duration::from_secs(10))
                // A redirected POST becomes a GET: better say that the address is wrong.
                .redirect(reqwest::redirect::Policy::none())
                .user_agent(concat!("watchkeeper/", env!("CARGO_PKG_VERSION")))
        };
        let built = |builder: reqwest::ClientBuilder| {
            builder.build().map_err(|err| format!("cannot set up HTTP: {}", chain(&err)))
        };
        Ok(Clients { world: built(builder())?, local: built(builder().no_proxy())? })
    };
    CLIENTS.get_or_init(build).as_ref().map_err(Clone::clone)
}

/// Posts JSON. An error says why there was no answer, without the address (it may hold secrets).
pub(super) async fn post(
    url: Url,
    headers: &[(&'static str, String)],
    body: String,
) -> Result<Answer, String> {
    let clients = clients()?;
    let client = if is_local(&url) { &clients.local } else { &clients.world };
    let mut request = client.post(url).header("content-type", "application/json").body(body);
    for (name, value) in headers {
        request = request.header(*name, value);
    }
    let reason = |err: reqwest::Error| chain(&err.without_url());
    let mut response = request.send().await.map_err(reason)?;
    let retry_after = response.headers().get("retry-after").and_then(|v| v.to_str().ok());
    let retry_after = retry_after.and_then(|seconds| seconds.parse().ok());
    let status = response.status().as_u16();
    let mut bytes = Vec::new();
    while let Some(chunk) = response.chunk().await.map_err(reason)? {
        bytes.extend_from_slice(&chunk);
        if bytes.len() >= ANSWER_MAX {
            break;
        }
    }
    let body = cut(&String::from_utf8_lossy(&bytes), ANSWER_MAX).to_owned();
    Ok(Answer { status, retry_after: retry_after.map(Duration::from_secs), body })
}

fn is_local(url: &Url) -> bool {
    match url.host() {
        Some(Host::Domain(name)) => name == "localhost",
        Some(Host::Ipv4(ip)) => ip.is_loopback(),
        Some(Host::Ipv6(ip)) => ip.is_loopback(),
        None => false,
    }
}

/// An error with its causes: `error sending request: connection refused`.
pub(super) fn chain(err: &dyn std::error::Error) -> String {
    let mut text = err.to_string();
    let mut source = err.source();
    while let Some(cause) = source {
        let cause_text = cause.to_string();
        if !text.contains(&cause_text) {
            text.push_str(": ");
            text.push_str(&cause_text);
        }
        source = cause.source();
    }
    text
}

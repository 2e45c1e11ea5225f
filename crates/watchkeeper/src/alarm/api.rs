//! The way to a running monitor: its HTTP API.

use std::net::IpAddr;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context, anyhow};
use reqwest::{Client, Method, StatusCode, Url};
use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::exit::{Code, CodeExt};

/// Where a monitor is when nobody says otherwise.
const MONITOR_DEFAULT: &str = "http://127.0.0.1:7181";
/// Longest wait for the monitor; a channel's test may take it that long.
const ANSWER_LIMIT: Duration = Duration::from_secs(75);
const CONNECT_LIMIT: Duration = Duration::from_secs(5);

/// Where the monitor is.
#[derive(Debug, clap::Args)]
pub(crate) struct MonitorArg {
    /// Address of the monitor's pages
    #[arg(long, value_name = "URL", env = "WATCHKEEPER_MONITOR", default_value = MONITOR_DEFAULT)]
    monitor: String,
}

/// A monitor to ask.
pub(crate) struct Api {
    base: Url,
    client: Client,
}

impl MonitorArg {
    /// Prepares to ask the monitor.
    ///
    /// # Errors
    /// A usage error when the address is none.
    pub(crate) fn open(&self) -> anyhow::Result<Api> {
        let text = self.monitor.trim_end_matches('/');
        let text = if text.contains("://") { text.to_owned() } else { format!("http://{text}") };
        let base = Url::parse(&text)
            .with_context(|| format!("--monitor {}: must be http://HOST:PORT", self.monitor))
            .code(Code::Usage)?;
        if !matches!(base.scheme(), "http" | "https") {
            let rule = anyhow!("--monitor {}: must start with http:// or https://", self.monitor);
            return Err(Code::Usage.of(rule));
        }
        // An error means that one is installed already: that will do as well.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let mut builder = Client::builder().timeout(ANSWER_LIMIT).connect_timeout(CONNECT_LIMIT);
        let host = base.host_str().unwrap_or_default().trim_matches(['[', ']']).to_owned();
        let local = host.parse::<IpAddr>().map_or(host == "localhost", |ip| ip.is_loopback());
        if local {
            // A proxy that the environment names knows another loopback than ours.
            builder = builder.no_proxy();
        }
        let client = builder.build().context("set up HTTP")?;
        Ok(Api { base, client })
    }
}

impl Api {
    /// Reads `/api/v1/PATH`.
    pub(crate) async fn get<T: DeserializeOwned>(&self, path: &[&str]) -> anyhow::Result<T> {
        self.ask(Method::GET, path, &[], None).await
    }

    /// Reads `/api/v1/PATH?QUERY`.
    pub(crate) async fn find<T: DeserializeOwned>(
        &self,
        path: &[&str],
        query: &[(&str, String)],
    ) -> anyhow::Result<T> {
        self.ask(Method::GET, path, query, None).await
    }

    /// Acts: posts JSON to `/api/v1/PATH`.
    pub(crate) async fn post<T: DeserializeOwned>(
        &self,
        path: &[&str],
        body: &Value,
    ) -> anyhow::Result<T> {
        self.ask(Method::POST, path, &[], Some(body)).await
    }

    async fn ask<T: DeserializeOwned>(
        &self,
        method: Method,
        path: &[&str],
        query: &[(&str, String)],
        body: Option<&Value>,
    ) -> anyhow::Result<T> {
        let mut url = self.base.clone();
        url.path_segments_mut()
            .map_err(|()| anyhow!("{} has no paths", self.base))
            .code(Code::Usage)?
            .pop_if_empty()
            .extend(["api", "v1"])
            .extend(path);
        if !query.is_empty() {
            url.query_pairs_mut().extend_pairs(query);
        }
        let mut request = self.client.request(method, url);
        if let Some(body) = body {
            request = request.json(body);
        }
        let asked = || format!("ask the monitor at {}", self.base);
        let answer = request.send().await.map_err(reqwest::Error::without_url);
        let answer = answer.with_context(asked).code(Code::Unreachable)?;
        let status = answer.status();
        let text = answer.text().await.with_context(asked).code(Code::Unreachable)?;
        if status.is_success() {
            return serde_json::from_str(&text).with_context(|| {
                format!("{} does not answer as a monitor of this version does", self.base)
            });
        }
        Err(refusal(status, &text))
    }
}

/// The monitor's own words for a refusal, with the exit code that goes with it.
fn refusal(status: StatusCode, text: &str) -> anyhow::Error {
    let body: Option<Value> = serde_json::from_str(text).ok();
    let words = body.as_ref().and_then(|body| body["error"].as_str());
    let error = anyhow!("{}", words.map_or_else(|| status.to_string(), str::to_owned));
    match status {
        StatusCode::NOT_FOUND => Code::NoNode.of(error),
        StatusCode::BAD_REQUEST | StatusCode::UNPROCESSABLE_ENTITY => Code::Usage.of(error),
        StatusCode::CONFLICT => Code::Conflict.of(error),
        StatusCode::FORBIDDEN | StatusCode::UNAUTHORIZED => Code::NotAuthorised.of(error),
        StatusCode::SERVICE_UNAVAILABLE => Code::Unreachable.of(error),
        _ => error,
    }
}

/// Runs a verb to its end.
pub(crate) fn run(
    verb: impl Future<Output = anyhow::Result<ExitCode>>,
) -> anyhow::Result<ExitCode> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    runtime.context("start the runtime")?.block_on(verb)
}

/// Under whose name something is done.
pub(crate) fn who(named: Option<&str>) -> anyhow::Result<String> {
    let name = named.map(str::to_owned).or_else(|| std::env::var("USER").ok());
    let name = name.unwrap_or_else(|| "cli".to_owned());
    if name.trim().is_empty() || name.chars().any(char::is_control) {
        return Err(Code::Usage.error("--by: must be a name"));
    }
    Ok(name)
}

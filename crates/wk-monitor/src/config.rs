//! Configuration: what the monitor is given, and the file `watchkeeper.toml`.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::Deserialize;

use crate::channel::{Channel, UrlError};
use crate::text::Lang;

/// What the monitor runs with; only legal values.
#[derive(Clone, Debug)]
pub struct Config {
    /// The folder of `monitor.redb`; created if missing.
    pub data: PathBuf,
    /// The language of texts.
    pub lang: Lang,
    /// Where the pages are, for links in notifications: `http://127.0.0.1:7181`.
    pub page_url: String,
    /// Where notifications go.
    pub channels: Vec<Channel>,
    /// A fault that comes back within this time is the same episode. Default 5 min.
    pub hold: Duration,
    /// How often a healthy server is probed. Default 2 s.
    pub probe_interval: Duration,
    /// How often it is asked for all its figures (`mntr`). Default 10 s.
    pub figures_interval: Duration,
    /// Longest wait for a server's answer. Default 2 s.
    pub probe_timeout: Duration,
}

impl Config {
    /// The defaults, with the store in `data`.
    pub fn new(data: PathBuf) -> Self {
        Self {
            data,
            lang: Lang::En,
            page_url: "http://127.0.0.1:7181".to_owned(),
            channels: Vec::new(),
            hold: Duration::from_mins(5),
            probe_interval: Duration::from_secs(2),
            figures_interval: Duration::from_secs(10),
            probe_timeout: Duration::from_secs(2),
        }
    }
}

/// Why `watchkeeper.toml` is refused: key, value, rule.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ConfigError {
    /// It cannot be read.
    #[error("{}: cannot read: {source}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// What failed.
        source: std::io::Error,
    },
    /// It is no TOML, or has a key that does nothing.
    #[error("{}: {message}", path.display())]
    Syntax {
        /// The file.
        path: PathBuf,
        /// Where and what.
        message: String,
    },
    /// A value breaks a rule.
    #[error("{}: {key} = \"{value}\": {rule}", path.display())]
    Value {
        /// The file.
        path: PathBuf,
        /// The key, with its table.
        key: String,
        /// Its value; secrets masked.
        value: String,
        /// The rule.
        rule: String,
    },
}

/// `watchkeeper.toml`, as written. Options win over it.
#[derive(Clone, Debug, Default)]
pub struct FileConfig {
    /// `[server] client`: where clients connect.
    pub client: Option<String>,
    /// `[server] data`: the data folder.
    pub data: Option<PathBuf>,
    /// `[web] listen`: where the pages are.
    pub listen: Option<String>,
    /// `[web] insecure`: whether that may be beyond loopback.
    pub insecure: Option<bool>,
    /// `[ensemble.NAME] servers`: what else is watched.
    pub ensembles: BTreeMap<String, Vec<String>>,
    /// `[channel.NAME] url`: where notifications go.
    pub channels: Vec<Channel>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawFile {
    #[serde(default)]
    server: RawServer,
    #[serde(default)]
    web: RawWeb,
    #[serde(default)]
    ensemble: BTreeMap<String, RawEnsemble>,
    #[serde(default)]
    channel: BTreeMap<String, RawChannel>,
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct RawServer {
    client: Option<String>,
    data: Option<PathBuf>,
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct RawWeb {
    listen: Option<String>,
    insecure: Option<bool>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawEnsemble {
    servers: Vec<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawChannel {
    url: String,
}

impl FileConfig {
    /// Reads the file; `${NAME}` in channel URLs is looked up by `env`.
    ///
    /// # Errors
    /// [`ConfigError`].
    pub fn read(path: &Path, env: &dyn Fn(&str) -> Option<String>) -> Result<Self, ConfigError> {
        let text = std::fs::read_to_string(path)
            .map_err(|source| ConfigError::Read { path: path.to_owned(), source })?;
        Self::parse(path, &text, env)
    }

    fn parse(
        path: &Path,
        text: &str,
        env: &dyn Fn(&str) -> Option<String>,
    ) -> Result<Self, ConfigError> {
        let raw: RawFile = toml::from_str(text).map_err(|err| {
            let at = err.span().map_or(0, |span| span.start);
            let line = text.get(..at).unwrap_or_default().matches('\n').count() + 1;
            // Not the error's own display: it quotes the line, which may hold a secret.
            let message = format!("line {line}: {}", err.message());
            ConfigError::Syntax { path: path.to_owned(), message }
        })?;
        let refuse = |key: String, value: &str, rule: &str| ConfigError::Value {
            path: path.to_owned(),
            key,
            value: value.to_owned(),
            rule: rule.to_owned(),
        };
        let addresses = [("server.client", &raw.server.client), ("web.listen", &raw.web.listen)];
        for (key, address) in addresses {
            if let Some(address) = address.as_ref().filter(|address| !is_address(address)) {
                return Err(refuse(key.to_owned(), address, "must be HOST:PORT"));
            }
        }
        let mut ensembles = BTreeMap::new();
        for (name, ensemble) in raw.ensemble {
            let key = format!("ensemble.{name}.servers");
            if ensemble.servers.is_empty() {
                return Err(refuse(key, "[]", "must name at least one server"));
            }
            if let Some(server) = ensemble.servers.iter().find(|server| !is_address(server)) {
                return Err(refuse(key, server, "must be HOST:PORT"));
            }
            ensembles.insert(name, ensemble.servers);
        }
        let mut channels = Vec::new();
        for (name, channel) in raw.channel {
            let parsed = Channel::parse(&name, &channel.url, env);
            let shown = channel.url.split_once("://").map_or("...", |(scheme, _)| scheme);
            let refused = |err: UrlError| {
                refuse(format!("channel.{name}.url"), &format!("{shown}://..."), &err.to_string())
            };
            channels.push(parsed.map_err(refused)?);
        }
        Ok(Self {
            client: raw.server.client,
            data: raw.server.data,
            listen: raw.web.listen,
            insecure: raw.web.insecure,
            ensembles,
            channels,
        })
    }
}

/// `HOST:PORT`, an IPv6 host in brackets.
fn is_address(text: &str) -> bool {
    text.rsplit_once(':').is_some_and(|(host, port)| {
        let bare = host.strip_prefix('[').and_then(|host| host.strip_suffix(']'));
        let host_fits = !host.is_empty() && bare.map_or(!host.contains(':'), |ip| ip.contains(':'));
        host_fits && port.parse::<u16>().is_ok()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<FileConfig, String> {
        FileConfig::parse(Path::new("w.toml"), text, &|_| None).map_err(|err| err.to_string())
    }

    #[test]
    fn all_keys_are_read() {
        let file = parse(
            r#"
            [server]
            client = "127.0.0.1:2182"
            data = "/var/lib/w"
            [web]
            listen = "[::1]:7182"
            insecure = true
            [ensemble.prod]
            servers = ["zk1:2181", "zk2:2181"]
            [channel.ops]
            url = "dingtalk://T?secret=S"
            "#,
        )
        .expect("legal");
        assert_eq!(file.client.as_deref(), Some("127.0.0.1:2182"));
        assert_eq!(file.listen.as_deref(), Some("[::1]:7182"));
        assert_eq!(file.ensembles["prod"].len(), 2);
        assert_eq!(file.channels[0].name(), "ops");
    }

    #[test]
    fn errors_name_key_value_and_rule_and_hide_secrets() {
        let error = |text: &str| parse(text).map(|_| ()).expect_err(text);
        let bad = error("[server]\nclient = \"2181\"");
        assert_eq!(bad, "w.toml: server.client = \"2181\": must be HOST:PORT");
        let bad = error("[ensemble.e]\nservers = []");
        assert_eq!(bad, "w.toml: ensemble.e.servers = \"[]\": must name at least one server");
        let unknown = error("[web]\nlisten = \"a:1\"\ncolour = \"red\"");
        assert!(unknown.contains("line 3") && unknown.contains("colour"), "{unknown}");
        let secret = error("[channel.a]\nurl = \"smtp://me:hush@h?from=x\"");
        assert!(secret.contains("channel.a.url") && !secret.contains("hush"), "{secret}");
        let secret = error("[channel.a]\nurl = \"smtp://me:hush@h\" oops");
        assert!(secret.contains("line 2") && !secret.contains("hush"), "{secret}");
    }
}

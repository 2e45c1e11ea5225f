//! The file `watchkeeper.toml`: an unknown key stops the start, an error names key, value and rule.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::Deserialize;
use wk_alert::{CureMode, CurePolicy};
use wk_rules::{ThresholdError, Thresholds};

use super::access::{RawTls, access};
use super::incidents::{IncidentsConfig, RawIncidents};
use super::ports::{RawPair, ports};
use super::preset::RawPreset;
use super::recipe::RawRecipes;
use super::{EnsembleConfig, GroupConfig, OnDown, RulesConfig};
use crate::channel::{Channel, UrlError};

/// Longest name of an ensemble, a site or a group: they become labels.
const NAME_MAX: usize = 100;

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
    /// `[ensemble.NAME]`: what else is watched.
    pub ensembles: BTreeMap<String, EnsembleConfig>,
    /// `[group.NAME]`: what is known of groups of nodes.
    pub groups: BTreeMap<String, GroupConfig>,
    /// `[rules]`: which rules judge beside the shipped ones.
    pub rules: RulesConfig,
    /// `[incidents]`: how incidents are grouped, held and kept.
    pub incidents: IncidentsConfig,
    /// `[channel.NAME] url`: where notifications go.
    pub channels: Vec<Channel>,
}

/// No action and no wait for its effect is longer.
const DAY: Duration = Duration::from_hours(24);

/// Settings of rules, as written.
type Tuned = BTreeMap<String, BTreeMap<String, toml::Value>>;

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
    group: BTreeMap<String, RawGroup>,
    #[serde(default)]
    rules: RawRules,
    #[serde(default)]
    incidents: RawIncidents,
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
    site: Option<String>,
    #[serde(default)]
    tap: bool,
    #[serde(default)]
    agents: Vec<String>,
    #[serde(default)]
    presets: Vec<RawPreset>,
    #[serde(default)]
    expected: Vec<String>,
    canary: Option<bool>,
    election_ports: Option<bool>,
    #[serde(default)]
    recipes: RawRecipes,
    #[serde(default)]
    auth: Vec<String>,
    tls: Option<RawTls>,
    #[serde(default)]
    thresholds: Tuned,
    metrics_port: Option<i64>,
    admin_port: Option<i64>,
    #[serde(default)]
    ports: BTreeMap<String, RawPair>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawGroup {
    minimum: Option<i64>,
    on_down: Option<RawOnDown>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawOnDown {
    exec: Vec<String>,
    mode: Option<String>,
    timeout: Option<String>,
    budget: Option<i64>,
    verify: Option<String>,
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct RawRules {
    #[serde(default)]
    files: Vec<PathBuf>,
    #[serde(default)]
    thresholds: Tuned,
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

    pub(super) fn parse(
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
        Self::check(raw, path, env).map_err(|refusal| ConfigError::Value {
            path: path.to_owned(),
            key: refusal.key,
            value: refusal.value,
            rule: refusal.rule,
        })
    }

    fn check(
        raw: RawFile,
        path: &Path,
        env: &dyn Fn(&str) -> Option<String>,
    ) -> Result<Self, Refusal> {
        let addresses = [("server.client", &raw.server.client), ("web.listen", &raw.web.listen)];
        for (key, address) in addresses {
            if let Some(address) = address.as_ref().filter(|address| !is_address(address)) {
                return Err(Refusal::new(key.to_owned(), address, &"must be HOST:PORT"));
            }
        }
        let home = path.parent().unwrap_or(Path::new(""));
        let tuned = raw.ensemble.iter().map(|(name, raw)| (name.clone(), raw.thresholds.clone()));
        let tuned: Vec<_> = tuned.collect();
        let ensembles = raw.ensemble.into_iter();
        let ensembles =
            ensembles.map(|(name, raw)| Ok((name.clone(), ensemble(name, raw, home, env)?)));
        let groups = raw.group.into_iter();
        let groups = groups.map(|(name, raw)| Ok((name.clone(), group(&name, &raw)?)));
        let mut channels = Vec::new();
        for (name, channel) in raw.channel {
            let parsed = Channel::parse(&name, &channel.url, env);
            let shown = channel.url.split_once("://").map_or("...", |(scheme, _)| scheme);
            let key = format!("channel.{name}.url");
            let refused = |err: UrlError| Refusal::new(key, &format!("{shown}://..."), &err);
            channels.push(parsed.map_err(refused)?);
        }
        Ok(Self {
            client: raw.server.client,
            data: raw.server.data,
            listen: raw.web.listen,
            insecure: raw.web.insecure,
            ensembles: ensembles.collect::<Result<_, _>>()?,
            groups: groups.collect::<Result<_, _>>()?,
            rules: rules(raw.rules, &tuned, path)?,
            incidents: raw.incidents.check()?,
            channels,
        })
    }
}

/// A value that breaks a rule.
pub(super) struct Refusal {
    pub(super) key: String,
    pub(super) value: String,
    pub(super) rule: String,
}

impl Refusal {
    pub(super) fn new(key: String, value: &str, rule: &impl ToString) -> Self {
        Self { key, value: value.to_owned(), rule: rule.to_string() }
    }
}

fn ensemble(
    name: String,
    raw: RawEnsemble,
    home: &Path,
    env: &dyn Fn(&str) -> Option<String>,
) -> Result<EnsembleConfig, Refusal> {
    let key = |key: &str| format!("ensemble.{name}.{key}");
    is_name(&format!("ensemble.{name}"), &name)?;
    if raw.servers.is_empty() {
        return Err(Refusal::new(key("servers"), "[]", &"must name at least one server"));
    }
    for (list, addresses) in [("servers", &raw.servers), ("agents", &raw.agents)] {
        if let Some(address) = addresses.iter().find(|address| !is_address(address)) {
            return Err(Refusal::new(key(list), address, &"must be HOST:PORT"));
        }
        let twice = |(at, address): &(usize, &String)| addresses[..*at].contains(address);
        if let Some((_, address)) = addresses.iter().enumerate().find(twice) {
            return Err(Refusal::new(key(list), address, &"must be named once"));
        }
    }
    if let Some(site) = &raw.site {
        is_name(&key("site"), site)?;
    }
    let is_node = |node: &str| {
        let parts: Vec<&str> = node.split('/').collect();
        parts.len() <= 2 && parts.iter().all(|part| !part.is_empty())
    };
    if let Some(node) = raw.expected.iter().find(|node| !is_node(node)) {
        return Err(Refusal::new(key("expected"), node, &"must be ID or GROUP/ID"));
    }
    Ok(EnsembleConfig {
        ports: ports(&name, raw.metrics_port, raw.admin_port, raw.ports)?,
        access: access(&name, raw.tls, &raw.auth, home, env)?,
        servers: raw.servers,
        site: raw.site,
        tap: raw.tap,
        agents: raw.agents,
        presets: super::preset::presets(&key("presets"), raw.presets)?,
        expected: raw.expected,
        canary_off: raw.canary == Some(false),
        election_ports_off: raw.election_ports == Some(false),
        recipes: raw.recipes.check(&key("recipes"))?,
        name,
    })
}

fn group(name: &str, raw: &RawGroup) -> Result<GroupConfig, Refusal> {
    is_name(&format!("group.{name}"), name)?;
    let legal = |minimum: i64| {
        let legal = u32::try_from(minimum).ok().filter(|minimum| *minimum > 0);
        let key = format!("group.{name}.minimum");
        legal.ok_or_else(|| Refusal::new(key, &minimum.to_string(), &"must be at least 1"))
    };
    let on_down = raw.on_down.as_ref().map(|raw| on_down(&format!("group.{name}.on_down"), raw));
    Ok(GroupConfig { minimum: raw.minimum.map(legal).transpose()?, on_down: on_down.transpose()? })
}

fn on_down(key: &str, raw: &RawOnDown) -> Result<OnDown, Refusal> {
    let refuse = |end: &str, value: &str, rule: &str| {
        Err(Refusal::new(format!("{key}.{end}"), value, &rule))
    };
    let mut policy = CurePolicy::default();
    if raw.exec.first().is_none_or(String::is_empty) {
        return refuse("exec", &format!("{:?}", raw.exec), "must name a program");
    }
    policy.mode = match raw.mode.as_deref() {
        None | Some("ask") => CureMode::Ask,
        Some("auto") => CureMode::Auto,
        Some("off") => CureMode::Off,
        Some(other) => return refuse("mode", other, "must be ask, auto or off"),
    };
    for (end, given, kept) in [
        ("timeout", &raw.timeout, &mut policy.timeout),
        ("verify", &raw.verify, &mut policy.verify),
    ] {
        let Some(text) = given else { continue };
        match duration(text).filter(|time| !time.is_zero() && *time <= DAY) {
            Some(time) => *kept = time,
            None => return refuse(end, text, "must be a time with its unit, above 0s, at most 1d"),
        }
    }
    if let Some(budget) = raw.budget {
        match u32::try_from(budget).ok().filter(|budget| (1..=100).contains(budget)) {
            Some(budget) => policy.budget = budget,
            None => return refuse("budget", &budget.to_string(), "must be from 1 to 100"),
        }
    }
    Ok(OnDown { exec: raw.exec.clone(), policy })
}

/// A number and its unit: ms, s, m, h or d.
pub(super) fn duration(text: &str) -> Option<Duration> {
    let digits = text.len() - text.trim_start_matches(|c: char| c.is_ascii_digit()).len();
    let (number, unit) = text.split_at(digits);
    let number: u64 = number.parse().ok()?;
    let millis = match unit {
        "ms" => 1,
        "s" => 1000,
        "m" => 60_000,
        "h" => 3_600_000,
        "d" => 86_400_000,
        _ => return None,
    };
    number.checked_mul(millis).map(Duration::from_millis)
}

/// Files are found from where the configuration is.
fn rules(raw: RawRules, own: &[(String, Tuned)], path: &Path) -> Result<RulesConfig, Refusal> {
    let home = path.parent().unwrap_or(Path::new(""));
    let files = raw.files.into_iter().map(|file| home.join(file)).collect();
    let mut thresholds = Thresholds::default();
    tune(&mut thresholds, None, &raw.thresholds)?;
    for (ensemble, tuned) in own {
        tune(&mut thresholds, Some(ensemble), tuned)?;
    }
    Ok(RulesConfig { files, thresholds })
}

/// Settings of shipped rules: `RULE = { NUMBER = 5000, for = "1m", enabled = false }`.
fn tune(thresholds: &mut Thresholds, ensemble: Option<&str>, tuned: &Tuned) -> Result<(), Refusal> {
    let table = ensemble.map_or_else(|| "rules".to_owned(), |name| format!("ensemble.{name}"));
    for (rule, settings) in tuned {
        for (key, value) in settings {
            let text = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
            let full = format!("{table}.thresholds.{rule}.{key}");
            let refuse = |err: ThresholdError| Refusal::new(full, &text, &err);
            thresholds.set(ensemble, rule, key, &text).map_err(refuse)?;
        }
    }
    Ok(())
}

/// Names become labels and stand in addresses of pages and in messages.
fn is_name(key: &str, name: &str) -> Result<(), Refusal> {
    let legal = !name.is_empty()
        && name.len() <= NAME_MAX
        && !name.chars().any(|c| c.is_control() || c.is_whitespace() || "/,".contains(c));
    let rule = format!("must be 1 to {NAME_MAX} bytes without space, slash and comma");
    if legal { Ok(()) } else { Err(Refusal::new(key.to_owned(), name, &rule)) }
}

/// `HOST:PORT`, an IPv6 host in brackets.
pub(super) fn is_address(text: &str) -> bool {
    text.rsplit_once(':').is_some_and(|(host, port)| {
        let bare = host.strip_prefix('[').and_then(|host| host.strip_suffix(']'));
        let host_fits = !host.is_empty() && bare.map_or(!host.contains(':'), |ip| ip.contains(':'));
        host_fits && port.parse::<u16>().is_ok()
    })
}

#[cfg(test)]
mod tests {
    use wk_probe::recipes::Recipes;

    use super::*;

    fn parse(text: &str) -> Result<FileConfig, String> {
        FileConfig::parse(Path::new("/etc/w/w.toml"), text, &|_| None)
            .map_err(|err| err.to_string())
    }

    #[test]
    fn an_action_is_read_with_its_rules() {
        let file = parse(
            "[group.app]\non_down = { exec = [\"restart\", \"{node}\"], mode = \"auto\", \
             timeout = \"90s\", budget = 5, verify = \"10m\" }",
        );
        let app = file.expect("legal").groups["app"].clone();
        let on_down = app.on_down.expect("given");
        assert_eq!(on_down.exec, ["restart", "{node}"]);
        let want = CurePolicy {
            mode: CureMode::Auto,
            timeout: Duration::from_secs(90),
            budget: 5,
            verify: Duration::from_mins(10),
        };
        assert_eq!(on_down.policy, want);
        let asked = parse("[group.app.on_down]\nexec = [\"x\"]").expect("legal");
        let asked = asked.groups["app"].on_down.clone().expect("given");
        assert_eq!(asked.policy, CurePolicy::default(), "the default is to ask");

        for (wrong, want) in [
            ("exec = []", "group.app.on_down.exec = \"[]\": must name a program"),
            ("exec = [\"x\"]\nmode = \"yes\"", "mode = \"yes\": must be ask, auto or off"),
            ("exec = [\"x\"]\ntimeout = \"30\"", "timeout = \"30\": must be a time with its unit"),
            ("exec = [\"x\"]\nverify = \"0s\"", "verify = \"0s\": must be a time"),
            ("exec = [\"x\"]\nbudget = 0", "budget = \"0\": must be from 1 to 100"),
            ("exec = [\"x\"]\nshell = true", "shell"),
        ] {
            let error = parse(&format!("[group.app.on_down]\n{wrong}")).map(drop).expect_err(wrong);
            assert!(error.contains(want), "{error}");
        }
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
            site = "hangzhou"
            tap = true
            canary = false
            election_ports = false
            recipes = { locks = ["/locks/*"] }
            agents = ["zk1:7182"]
            presets = ["kafka"]
            expected = ["web/one", "two"]
            thresholds = { ZkFollowerLag = { txns = 500, for = "2m" } }
            [ensemble.dev]
            servers = ["dev:2181"]
            [group.web]
            minimum = 2
            [rules]
            files = ["own.yml", "/etc/rules.yml"]
            thresholds = { ZkFsyncSlow = { millis = 80.5 }, ZkQuorumShape = { enabled = false } }
            [channel.ops]
            url = "dingtalk://T?secret=S"
            "#,
        )
        .expect("legal");
        assert_eq!(file.client.as_deref(), Some("127.0.0.1:2182"));
        assert_eq!(file.listen.as_deref(), Some("[::1]:7182"));
        let prod = &file.ensembles["prod"];
        let list = |items: &[&str]| items.iter().map(|i| (*i).to_owned()).collect::<Vec<_>>();
        let recipes = Recipes { locks: list(&["/locks/*"]), ..Recipes::default() };
        let expected = EnsembleConfig {
            site: Some("hangzhou".into()),
            tap: true,
            canary_off: true,
            election_ports_off: true,
            recipes,
            agents: list(&["zk1:7182"]),
            presets: vec![crate::config::PresetConfig {
                name: "kafka".into(),
                pattern: "/brokers/ids/*".into(),
                ttl: Duration::from_hours(24),
            }],
            expected: list(&["web/one", "two"]),
            ..EnsembleConfig::new("prod", list(&["zk1:2181", "zk2:2181"]))
        };
        assert_eq!(*prod, expected);
        let dev = EnsembleConfig::new("dev", list(&["dev:2181"]));
        assert_eq!(file.ensembles["dev"], dev);
        assert_eq!(file.groups["web"].minimum, Some(2));
        let files: Vec<_> = file.rules.files.iter().map(|file| file.to_string_lossy()).collect();
        assert_eq!(files, ["/etc/w/own.yml", "/etc/rules.yml"]);
        let mut thresholds = Thresholds::default();
        for (ensemble, rule, key, value) in [
            (None, "ZkFsyncSlow", "millis", "80.5"),
            (None, "ZkQuorumShape", "enabled", "false"),
            (Some("prod"), "ZkFollowerLag", "txns", "500"),
            (Some("prod"), "ZkFollowerLag", "for", "2m"),
        ] {
            thresholds.set(ensemble, rule, key, value).expect("known");
        }
        assert_eq!(file.rules.thresholds, thresholds);
        assert_eq!(file.channels[0].name(), "ops");
    }

    #[test]
    fn errors_name_key_value_and_rule_and_hide_secrets() {
        let error = |text: &str| parse(text).map(|_| ()).expect_err(text);
        let bad = error("[server]\nclient = \"2181\"");
        assert_eq!(bad, "/etc/w/w.toml: server.client = \"2181\": must be HOST:PORT");
        let bad = error("[ensemble.e]\nservers = []");
        assert_eq!(
            bad,
            "/etc/w/w.toml: ensemble.e.servers = \"[]\": must name at least one server"
        );
        for (text, key) in [
            ("[ensemble.e]\nservers = [\"a:1\", \"a:1\"]", "ensemble.e.servers = \"a:1\""),
            ("[ensemble.\"a b\"]\nservers = [\"a:1\"]", "ensemble.a b = \"a b\""),
            ("[ensemble.e]\nservers = [\"a:1\"]\nsite = \"\"", "ensemble.e.site = \"\""),
            ("[ensemble.e]\nservers = [\"a:1\"]\nagents = [\"x\"]", "ensemble.e.agents = \"x\""),
            ("[ensemble.e]\nservers = [\"a:1\"]\npresets = [\"x\"]", "ensemble.e.presets = \"x\""),
            ("[ensemble.e]\nservers = [\"a:1\"]\nexpected = [\"a//b\"]", "ensemble.e.expected"),
            (
                "[ensemble.e]\nservers = [\"a:1\"]\nthresholds.ZkFsyncSlow = { millis = nan }",
                "ensemble.e.thresholds.ZkFsyncSlow.millis = \"nan\"",
            ),
            (
                "[rules]\nthresholds = { NoRule = { a = 1 } }",
                "rules.thresholds.NoRule.a = \"1\": NoRule: no shipped rule",
            ),
            ("[group.g]\nminimum = 0", "group.g.minimum = \"0\": must be at least 1"),
        ] {
            let bad = error(text);
            assert!(bad.contains(key), "{bad}");
        }
        let unknown = error("[web]\nlisten = \"a:1\"\ncolour = \"red\"");
        assert!(unknown.contains("line 3") && unknown.contains("colour"), "{unknown}");
        let secret = error("[channel.a]\nurl = \"smtp://me:hush@h?from=x\"");
        assert!(secret.contains("channel.a.url") && !secret.contains("hush"), "{secret}");
        let secret = error("[channel.a]\nurl = \"smtp://me:hush@h\" oops");
        assert!(secret.contains("line 2") && !secret.contains("hush"), "{secret}");
    }
}

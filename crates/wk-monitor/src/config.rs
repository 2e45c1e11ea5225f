//! Configuration: what the monitor is given. The file `watchkeeper.toml` is read in [`file`].

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use wk_alert::CurePolicy;
use wk_client::Access;
use wk_probe::recipes::Recipes;

use crate::channel::Channel;
use crate::text::Lang;

mod access;
mod file;
mod incidents;
mod ports;
mod preset;
mod recipe;

pub use file::{ConfigError, FileConfig};
pub use incidents::IncidentsConfig;
pub use ports::{PagePorts, PortPair};
pub use preset::PresetConfig;

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
    /// How incidents are grouped, held and kept.
    pub incidents: IncidentsConfig,
    /// How often a healthy server is asked that only words tell of. Default 2 s; one with a page is
    /// looked at each second.
    pub probe_interval: Duration,
    /// How often it is asked for all its figures (`mntr`). Default 10 s.
    pub figures_interval: Duration,
    /// Longest wait for a server's answer. Default 1 s.
    pub probe_timeout: Duration,
    /// What is known of groups of nodes beforehand, by name.
    pub groups: BTreeMap<String, GroupConfig>,
    /// Which rules judge beside the shipped ones.
    pub rules: RulesConfig,
}

impl Config {
    /// The defaults, with the store in `data`.
    pub fn new(data: PathBuf) -> Self {
        Self {
            data,
            lang: Lang::En,
            page_url: "http://127.0.0.1:7181".to_owned(),
            channels: Vec::new(),
            incidents: IncidentsConfig::default(),
            probe_interval: Duration::from_secs(2),
            figures_interval: Duration::from_secs(10),
            probe_timeout: Duration::from_secs(1),
            groups: BTreeMap::new(),
            rules: RulesConfig::default(),
        }
    }
}

/// One ensemble to watch, as configured.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct EnsembleConfig {
    /// Its name.
    pub name: String,
    /// Where it is found: some of its servers, as `host:port`. The others are discovered.
    pub servers: Vec<String>,
    /// Where it stands; the label `site` of everything seen of it.
    pub site: Option<String>,
    /// Whether its transactions are followed as an observer.
    pub tap: bool,
    /// `watchkeeper agent`s on its hosts, as `host:port`.
    pub agents: Vec<String>,
    /// Registries beside `/nodes`, by preset.
    pub presets: Vec<PresetConfig>,
    /// Nodes that must exist even if nobody registered them: `ID` or `GROUP/ID`.
    pub expected: Vec<String>,
    /// How its servers are reached: with TLS, under which credentials.
    pub access: Access,
    /// Locks, queues and elections to look at.
    pub recipes: Recipes,
    /// Whether no canary writes to it.
    pub canary_off: bool,
    /// Whether nobody tries the election ports of its servers.
    pub election_ports_off: bool,
    /// Where the pages of its servers are.
    pub ports: PagePorts,
}

impl EnsembleConfig {
    /// An ensemble found at `servers`, with the defaults.
    pub fn new(name: impl Into<String>, servers: Vec<String>) -> Self {
        Self { name: name.into(), servers, ..Self::default() }
    }
}

/// What is known of a group of nodes beforehand.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct GroupConfig {
    /// Fewer nodes alive than this is a fault.
    pub minimum: Option<u32>,
    /// What may cure a node of it that is down.
    pub on_down: Option<OnDown>,
}

/// What may cure a node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OnDown {
    /// Program and arguments; no shell reads them. `{incident}`, `{ensemble}`, `{group}` and
    /// `{node}` are replaced.
    pub exec: Vec<String>,
    /// When it may run.
    pub policy: CurePolicy,
}

/// Which rules judge beside the shipped ones.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct RulesConfig {
    /// Rule files in Prometheus' format, read again when they change.
    pub files: Vec<PathBuf>,
    /// What differs from the numbers of the shipped rules, for all ensembles or for one.
    pub thresholds: wk_rules::Thresholds,
}

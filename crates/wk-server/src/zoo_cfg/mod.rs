//! zoo.cfg: reading, judging and turning it into a [`ServerConfig`].
//!
//! One table of keys says for each what it does here. A key acts, or it stops the start with a
//! sentence on what to do instead, or it warns as meaningless; an unknown one warns with the
//! nearest known name. `--set` wins over zoo.cfg, which wins over JVM flags, as in Apache, where
//! zoo.cfg overwrites system properties.

mod build;
mod config;
mod docs;
mod jaas;
mod key;
mod logins;
mod properties;
mod table;
mod tls;
mod values;

pub use config::{
    AdminConfig, Limits, MetricsProvider, ServerConfig, StorageConfig, TreeConfig, WordList,
};
pub use docs::markdown;
pub use key::{Effect, Key, Kind, Place};
pub use table::TABLE;

use std::fmt;
use std::path::{Path, PathBuf};
use values::Values;

/// The entries of a properties file as Java reads them, in order, unjudged.
pub fn entries(bytes: &[u8]) -> Vec<(String, String)> {
    properties::parse(bytes).into_iter().map(|entry| (entry.key, entry.value)).collect()
}

/// How much a [`Finding`] matters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    /// Good to know.
    Note,
    /// The server starts, and something is not as the file says.
    Warning,
    /// The server does not start.
    Error,
}

/// One sentence about the configuration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// How much it matters.
    pub severity: Severity,
    /// Where the value was given: `zoo.cfg:12`, `--set`, `SERVER_JVMFLAGS`.
    pub place: String,
    /// Key, value and rule.
    pub text: String,
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.place, self.text)
    }
}

/// Why a configuration does not do.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ConfigError {
    /// The file cannot be read.
    #[error("{}: cannot read the configuration", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// Values are wrong or ask for what is not there; all of them are listed.
    #[error("{}", sentences(.0))]
    Refused(Vec<Finding>),
}

impl ConfigError {
    /// The exit code that Apache's supervisors know: 2, invalid invocation.
    pub fn exit_code(&self) -> u8 {
        2
    }
}

fn sentences(findings: &[Finding]) -> String {
    let lines: Vec<String> = findings
        .iter()
        .filter(|finding| finding.severity == Severity::Error)
        .map(Finding::to_string)
        .collect();
    lines.join("\n")
}

/// Where a configuration comes from.
#[derive(Clone, Debug, Default)]
pub struct Sources {
    /// The zoo.cfg.
    pub file: Option<PathBuf>,
    /// `key=value` of each `--set`, in order.
    pub set: Vec<String>,
    /// Content of the environment variable `SERVER_JVMFLAGS`.
    pub server_jvmflags: Option<String>,
    /// Content of the environment variable `JVMFLAGS`.
    pub jvmflags: Option<String>,
}

/// What came of reading a configuration.
#[derive(Debug)]
pub struct Verdict {
    /// The configuration, or why there is none.
    pub config: Result<ServerConfig, ConfigError>,
    /// Notes, warnings and errors, in the order in which they were found.
    pub findings: Vec<Finding>,
}

/// Reads and judges a configuration. Opens nothing but the named files.
pub fn load(sources: &Sources) -> Verdict {
    let mut values = Values::default();
    // zkServer.sh puts SERVER_JVMFLAGS first, and the last definition wins in Java.
    values.take_flags("SERVER_JVMFLAGS", sources.server_jvmflags.as_deref().unwrap_or(""));
    values.take_flags("JVMFLAGS", sources.jvmflags.as_deref().unwrap_or(""));
    if let Some(path) = &sources.file
        && let Err(error) = take_path(&mut values, path)
    {
        return Verdict { config: Err(error), findings: values.findings };
    }
    for text in &sources.set {
        values.take_set(text);
    }
    if let Some(dynamic) = values.text("dynamicConfigFile").map(PathBuf::from)
        && let Err(error) = take_path(&mut values, &dynamic)
    {
        return Verdict { config: Err(error), findings: values.findings };
    }
    values.judge();
    let config = build::build(&mut values);
    let findings = std::mem::take(&mut values.findings);
    let refused = findings.iter().any(|finding| finding.severity == Severity::Error);
    let config = match config {
        Some(config) if !refused => Ok(config),
        _ => Err(ConfigError::Refused(findings.clone())),
    };
    Verdict { config, findings }
}

fn take_path(values: &mut Values, path: &Path) -> Result<(), ConfigError> {
    let bytes =
        std::fs::read(path).map_err(|source| ConfigError::Io { path: path.to_owned(), source })?;
    let name = path
        .file_name()
        .map_or_else(|| path.display().to_string(), |name| name.to_string_lossy().into_owned());
    values.take_file(&name, &bytes);
    Ok(())
}

#[cfg(test)]
mod tests;

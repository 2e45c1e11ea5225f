//! Silences and maintenance windows: times in which nobody is told of some faults. The faults are
//! still found, shown and kept; whatever lasts when such a time ends is told then.

use std::fmt;

use wk_promql::{Labels, MatchOp, Matcher, MatcherError};
use wk_proto::ids::Wall;

use crate::incident::Incident;
use crate::inhibition::{DATA_DIVERGED, NO_LEADER};

/// Conditions of one silence, at most.
pub const MATCHERS_MAX: usize = 32;

/// What an ensemble is expected to say while one of its servers is under maintenance: that server
/// is missing, or joins anew.
const MEMBER_MISSING: &[&str] = &[
    "ZkConfigDrift",
    "ZkConnectionsUnbalanced",
    "ZkElectionSlow",
    "ZkElectionStorm",
    "ZkMixedVersions",
    "ZkObserverLost",
    "ZkOneFailureFromOutage",
    "ZkUnavailableTooLong",
    "ZkVoterMissing",
];

/// Names a silence: `silence-1`, or `maintenance-2`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SilenceId(pub String);

impl fmt::Display for SilenceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Which faults are silenced.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Scope {
    /// Those whose labels meet all conditions.
    Matching(Vec<Matcher>),
    /// Those of an ensemble, or of one of its servers, that is being worked on. A lost quorum and
    /// diverged data are told nevertheless: no maintenance means those.
    Maintenance {
        /// The ensemble.
        ensemble: String,
        /// Its server, as `host:port`; none is all of it.
        server: Option<String>,
    },
}

/// Why a silence is refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ScopeError {
    /// A condition has no operator.
    #[error("matcher {0:?}: must be NAME=VALUE, NAME!=VALUE, NAME=~REGEX or NAME!~REGEX")]
    Syntax(String),
    /// Its regular expression is none.
    #[error("matcher {0:?}: {1}")]
    Regex(String, MatcherError),
    /// There is none.
    #[error("a silence needs at least one matcher")]
    Empty,
    /// There are too many.
    #[error("{0} matchers: at most {MATCHERS_MAX}")]
    TooMany(usize),
    /// It would silence everything.
    #[error("these matchers fit every alert: at least one must ask for a value")]
    Everything,
}

impl Scope {
    /// Reads conditions such as `rule=NodeDown` and `node=~web-.*`; quotes around a value are
    /// optional. `rule` and `alertname` are the same label.
    ///
    /// # Errors
    /// [`ScopeError`]. A silence that fits an alert without any label is refused: it would be the
    /// end of all notifications by a slip.
    pub fn parse(conditions: &[String]) -> Result<Self, ScopeError> {
        if conditions.is_empty() {
            return Err(ScopeError::Empty);
        }
        if conditions.len() > MATCHERS_MAX {
            return Err(ScopeError::TooMany(conditions.len()));
        }
        let matchers: Vec<Matcher> =
            conditions.iter().map(|text| matcher(text)).collect::<Result<_, _>>()?;
        if matchers.iter().all(|matcher| matcher.is_match("")) {
            return Err(ScopeError::Everything);
        }
        Ok(Self::Matching(matchers))
    }

    /// The conditions as they are written; none for maintenance.
    pub fn conditions(&self) -> Vec<String> {
        match self {
            Self::Matching(matchers) => matchers.iter().map(show).collect(),
            Self::Maintenance { .. } => Vec::new(),
        }
    }

    /// Whether nobody is to be told of `incident`.
    pub fn covers(&self, incident: &Incident) -> bool {
        let subject = &incident.subject;
        match self {
            Self::Matching(matchers) => {
                let labels = labels(incident);
                matchers.iter().all(|matcher| matcher.matches(&labels))
            }
            Self::Maintenance { ensemble, .. } if subject.ensemble != *ensemble => false,
            Self::Maintenance { .. } if [NO_LEADER, DATA_DIVERGED].contains(&&*subject.rule) => {
                false
            }
            Self::Maintenance { server: None, .. } => true,
            Self::Maintenance { server, .. } => {
                subject.instance == *server || MEMBER_MISSING.contains(&&*subject.rule)
            }
        }
    }
}

impl fmt::Display for Scope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Matching(_) => f.write_str(&self.conditions().join(" ")),
            Self::Maintenance { ensemble, server: None } => f.write_str(ensemble),
            Self::Maintenance { ensemble, server: Some(server) } => {
                write!(f, "{ensemble}/{server}")
            }
        }
    }
}

/// Reads one condition.
fn matcher(text: &str) -> Result<Matcher, ScopeError> {
    let syntax = || ScopeError::Syntax(text.to_owned());
    let is_name = |c: char| c.is_ascii_alphanumeric() || c == '_';
    let end = text.find(|c| !is_name(c)).ok_or_else(syntax)?;
    let (name, rest) = text.split_at(end);
    let operators = [
        ("=~", MatchOp::Matches),
        ("!~", MatchOp::NotMatches),
        ("!=", MatchOp::NotEqual),
        ("=", MatchOp::Equal),
    ];
    let split = |(sign, op): (&str, MatchOp)| Some((op, rest.strip_prefix(sign)?));
    let (op, value) = operators.into_iter().find_map(split).ok_or_else(syntax)?;
    let starts_well = name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_');
    if !starts_well {
        return Err(syntax());
    }
    let bare = value.strip_prefix('"').and_then(|value| value.strip_suffix('"'));
    let value = bare.map_or_else(|| value.to_owned(), unescape);
    let name = if name == "rule" { "alertname" } else { name };
    Matcher::new(name, op, &value).map_err(|err| ScopeError::Regex(text.to_owned(), err))
}

/// A condition as [`matcher`] reads it.
fn show(matcher: &Matcher) -> String {
    format!("{}{}{}", matcher.name(), matcher.op(), quoted(matcher.value()))
}

/// A condition that asks for exactly this value: whoever chose the value does not choose the
/// operator.
pub fn exactly(name: &str, value: &str) -> String {
    format!("{name}={}", quoted(value))
}

fn quoted(value: &str) -> String {
    let mut text = String::from('"');
    for c in value.chars() {
        match c {
            '"' | '\\' => text.extend(['\\', c]),
            '\n' => text.push_str("\\n"),
            '\r' => text.push_str("\\r"),
            '\t' => text.push_str("\\t"),
            c => text.push(c),
        }
    }
    text.push('"');
    text
}

/// Undoes the escapes of a quoted value.
fn unescape(quoted: &str) -> String {
    let mut text = String::with_capacity(quoted.len());
    let mut chars = quoted.chars();
    while let Some(c) = chars.next() {
        if c != '\\' {
            text.push(c);
            continue;
        }
        match chars.next() {
            Some('n') => text.push('\n'),
            Some('r') => text.push('\r'),
            Some('t') => text.push('\t'),
            Some(other) => text.push(other),
            None => text.push('\\'),
        }
    }
    text
}

/// All labels that a condition may ask for.
fn labels(incident: &Incident) -> Labels {
    let subject = &incident.subject;
    let own = [
        ("alertname", Some(subject.rule.as_str())),
        ("severity", Some(incident.severity.as_str())),
        ("ensemble", Some(subject.ensemble.as_str())),
        ("instance", subject.instance.as_deref()),
        ("group", subject.group.as_deref()),
        ("node", subject.node.as_deref()),
    ];
    let own = own.into_iter().filter_map(|(name, value)| Some((name, value?)));
    Labels::new(incident.detail.labels.iter().chain(subject.labels.iter()).chain(own))
}

/// A time in which nobody is told of some faults.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Silence {
    /// Its name.
    pub id: SilenceId,
    /// Which faults.
    pub scope: Scope,
    /// Who wants it.
    pub by: String,
    /// Why.
    pub reason: String,
    /// Since when.
    pub starts_at: Wall,
    /// Until when; earlier than planned if somebody ended it.
    pub ends_at: Wall,
    /// Who ended it before its time.
    pub ended_by: Option<String>,
}

impl Silence {
    /// Whether its time is over.
    pub fn is_over(&self, at: Wall) -> bool {
        self.ended_by.is_some() || self.ends_at <= at
    }
}

#[cfg(test)]
mod tests;

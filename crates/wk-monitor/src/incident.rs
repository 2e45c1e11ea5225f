//! Incidents as every outside reader sees them: the API, `-o json`, jsonl and the pages use these
//! types and no others.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::time::Timestamp;
use crate::view::Delivery;

/// How bad an incident is.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// Worth knowing.
    #[default]
    Info,
    /// Someone should look soon.
    Warning,
    /// Someone must look now.
    Critical,
}

/// Where an incident stands.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
#[serde(rename_all = "lowercase")]
pub enum IncidentState {
    /// It looks like a fault, but has not lasted yet: nobody is told, nothing is kept.
    Pending,
    /// The fault is there.
    #[default]
    Firing,
    /// The fault is there and somebody has taken it on.
    Acknowledged,
    /// The monitor cannot see whether the fault is still there.
    Unknown,
    /// The fault is there; its cause, a silence or maintenance speaks for it.
    Suppressed,
    /// The fault is gone.
    Resolved,
    /// The fault is gone and somebody has put it away.
    Closed,
}

impl IncidentState {
    /// Whether the fault is or may be there.
    pub fn is_open(self) -> bool {
        matches!(self, Self::Firing | Self::Acknowledged | Self::Unknown | Self::Suppressed)
    }

    /// The word used in JSON and on the command line.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Firing => "firing",
            Self::Acknowledged => "acknowledged",
            Self::Unknown => "unknown",
            Self::Suppressed => "suppressed",
            Self::Resolved => "resolved",
            Self::Closed => "closed",
        }
    }
}

impl Severity {
    /// The word used in JSON and on the command line.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Info => "info",
            Self::Warning => "warning",
            Self::Critical => "critical",
        }
    }
}

/// One episode of one fault. The default is blank: tests of pages fill in what they are about.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Incident {
    /// Stable and unique: the same in every channel, on the page and in the API.
    pub id: String,
    /// Name of the rule that found the fault, such as `NodeDown`.
    pub rule: String,
    /// How bad it is.
    pub severity: Severity,
    /// Where it stands.
    pub state: IncidentState,
    /// Name of the ensemble.
    pub ensemble: String,
    /// The server concerned, as `host:port`.
    pub instance: Option<String>,
    /// The group of the node concerned.
    pub group: Option<String>,
    /// The node concerned.
    pub node: Option<String>,
    /// One sentence for a person, in the monitor's language.
    pub summary: String,
    /// What was seen, one sentence each, in the monitor's language.
    pub evidence: Vec<String>,
    /// Where the fault is, most likely first, as it was seen when it was judged.
    #[serde(default)]
    pub located: Vec<Located>,
    /// When the fault was first seen in this episode.
    pub first_seen: Timestamp,
    /// When the fault was last seen or its state last changed.
    pub last_seen: Timestamp,
    /// When it was seen to be gone.
    pub resolved_at: Option<Timestamp>,
    /// How often it came back within the hold time of this episode.
    pub flaps: u32,
    /// Who took it on.
    pub acknowledged_by: Option<String>,
    /// Until when that holds.
    #[serde(default)]
    pub acknowledged_until: Option<Timestamp>,
    /// The incident, silence or maintenance that speaks for it.
    #[serde(default)]
    pub suppressed_by: Option<String>,
    /// All labels of the alert.
    #[serde(default)]
    pub labels: BTreeMap<String, String>,
    /// The value that broke the rule.
    #[serde(default)]
    pub value: Option<f64>,
    /// Where to look.
    #[serde(default)]
    pub locate: Option<String>,
    /// What to do.
    #[serde(default)]
    pub action: Option<String>,
    /// Where to read on.
    #[serde(default)]
    pub runbook: Option<String>,
}

/// Where a fault may be.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Located {
    /// `member`, `link`, `disk`, `client`, `path` or `view`.
    pub kind: String,
    /// Which.
    pub what: String,
    /// What speaks for it, in the monitor's language.
    pub evidence: String,
}

/// An incident with all that is known about it, for its page.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct IncidentDetail {
    /// The incident itself; its fields stand beside the others in JSON.
    #[serde(flatten)]
    pub incident: Incident,
    /// Who was told, by which channel, with what outcome.
    pub deliveries: Vec<Delivery>,
    /// What happened, oldest first.
    pub timeline: Vec<TimelineEntry>,
    /// The action that may cure it, if its group has one.
    #[serde(default)]
    pub cure: Option<Cure>,
}

/// An action that may cure the node of an incident.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cure {
    /// Program and arguments.
    pub command: String,
    /// `ask`, `auto` or `off`.
    pub mode: String,
    /// Why it may not run now; none if it may.
    pub refusal: Option<String>,
}

/// One line of an incident's history, from the audit log.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TimelineEntry {
    /// When.
    pub at: Timestamp,
    /// Who: `monitor`, or the name somebody acted under.
    pub actor: String,
    /// What, in the monitor's language.
    pub text: String,
}

/// Which incidents to list. The default lists all, newest first, at most 500.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IncidentFilter {
    /// Only those that are firing, acknowledged, unknown or suppressed.
    pub open_only: bool,
    /// Only those of which nobody is told because something speaks for them, or only the others.
    pub hushed: Option<bool>,
    /// Only this state.
    pub state: Option<IncidentState>,
    /// Also what is pending; it has no place in the list otherwise, as nothing of it is kept.
    pub pending: bool,
    /// Only this severity.
    pub severity: Option<Severity>,
    /// Only this rule.
    pub rule: Option<String>,
    /// Only this ensemble.
    pub ensemble: Option<String>,
    /// At most so many.
    pub limit: usize,
}

impl Default for IncidentFilter {
    fn default() -> Self {
        Self {
            open_only: false,
            hushed: None,
            state: None,
            pending: false,
            severity: None,
            rule: None,
            ensemble: None,
            limit: 500,
        }
    }
}

impl Incident {
    /// Whether something else speaks for it, so that nobody is told: a cause, a silence, maintenance.
    pub fn is_hushed(&self) -> bool {
        self.suppressed_by.is_some() || self.state == IncidentState::Suppressed
    }
}

impl IncidentFilter {
    /// Whether what is pending is looked at.
    pub(crate) fn shows_pending(&self) -> bool {
        self.pending || self.state == Some(IncidentState::Pending)
    }

    /// Whether `incident` is asked for.
    pub fn matches(&self, incident: &Incident) -> bool {
        let is_pending = incident.state == IncidentState::Pending;
        (!self.open_only || incident.state.is_open() || (is_pending && self.pending))
            && self.hushed.is_none_or(|hushed| hushed == incident.is_hushed())
            && self.severity.is_none_or(|severity| severity == incident.severity)
            && self.state.is_none_or(|state| state == incident.state)
            && self.rule.as_ref().is_none_or(|rule| *rule == incident.rule)
            && self.ensemble.as_ref().is_none_or(|name| *name == incident.ensemble)
    }
}

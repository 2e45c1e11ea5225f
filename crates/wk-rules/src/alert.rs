//! An alert as the rules see it, and the states it goes through.

use std::collections::BTreeMap;
use std::sync::Arc;

use wk_promql::Labels;

/// Where an alert is in its life.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum AlertState {
    /// The expression gives it, its `for` has not passed.
    Pending,
    /// Its `for` has passed.
    Firing,
    /// The expression no longer gives it; said once, then it is forgotten.
    Inactive,
}

impl AlertState {
    /// As the label `alertstate` has it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Firing => "firing",
            Self::Inactive => "inactive",
        }
    }
}

/// The label `severity`, worst first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    /// `critical`
    Critical,
    /// `warning`, any word that is none of these, and no such label: an alarm is for somebody
    Warning,
    /// `info`
    Info,
    /// `none`: nobody is to be told (the dead man's switch)
    None,
}

impl Severity {
    pub(crate) fn of(labels: &Labels) -> Self {
        match labels.get("severity") {
            "critical" => Self::Critical,
            "info" => Self::Info,
            "none" => Self::None,
            _ => Self::Warning,
        }
    }

    /// As the label has it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Critical => "critical",
            Self::Warning => "warning",
            Self::Info => "info",
            Self::None => "none",
        }
    }
}

/// One series that an alerting rule gives. Cheap to clone.
#[derive(Clone, Debug, PartialEq)]
pub struct Alert {
    /// The rule's name, which is also the label `alertname`.
    pub rule: Arc<str>,
    /// The rule's group.
    pub group: Arc<str>,
    /// Those of the series without the metric's name, then the rule's and `alertname`: the alert's
    /// identity within its rule.
    pub labels: Labels,
    /// With templates filled in.
    pub annotations: Arc<BTreeMap<String, String>>,
    /// Where it is now.
    pub state: AlertState,
    /// Whether that state is new with this evaluation.
    pub changed: bool,
    /// What the expression gave last.
    pub value: f64,
    /// Since when the expression gives it, in milliseconds since 1970.
    pub active_at: i64,
    /// Since when it fires.
    pub fired_at: Option<i64>,
    /// When it became inactive.
    pub resolved_at: Option<i64>,
    /// From its labels.
    pub severity: Severity,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_alarm_without_a_known_severity_is_a_warning() {
        let of = |word| Severity::of(&Labels::metric("x", [("severity", word)]));
        for (word, severity) in [
            ("critical", Severity::Critical),
            ("warning", Severity::Warning),
            ("info", Severity::Info),
            ("none", Severity::None),
            ("page", Severity::Warning),
        ] {
            assert_eq!(of(word), severity, "{word}");
        }
        assert_eq!(Severity::of(&Labels::metric("x", [])), Severity::Warning);
    }
}

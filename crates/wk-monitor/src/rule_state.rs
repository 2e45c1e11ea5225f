//! The rules in force, as every outside reader sees them.

use serde::{Deserialize, Serialize};

use crate::time::Timestamp;

/// How a rule stands.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum RuleHealth {
    /// Its last evaluation failed, so it finds nothing.
    Error,
    /// It has an alert that fires.
    Firing,
    /// It has an alert that has not lasted yet.
    Pending,
    /// It finds nothing wrong.
    #[default]
    Inactive,
    /// It was not evaluated yet.
    Unevaluated,
}

impl RuleHealth {
    /// The word used in JSON.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Error => "error",
            Self::Firing => "firing",
            Self::Pending => "pending",
            Self::Inactive => "inactive",
            Self::Unevaluated => "unevaluated",
        }
    }
}

/// A rule in force.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct RuleState {
    /// Its name.
    pub rule: String,
    /// Its group.
    pub group: String,
    /// The file it is from.
    pub file: String,
    /// `alerting` or `recording`.
    pub kind: String,
    /// As its label says; none for recording rules.
    pub severity: Option<String>,
    /// How it stands.
    pub state: RuleHealth,
    /// Alerts that are pending.
    pub pending: usize,
    /// Alerts that fire.
    pub firing: usize,
    /// Values of its alerts, those that fire first; at most [`VALUES_MAX`].
    pub values: Vec<f64>,
    /// Its expression.
    pub expr: String,
    /// How long an alert is pending, in seconds.
    #[serde(rename = "for")]
    pub hold: f64,
    /// How often it is evaluated, in seconds.
    pub interval: f64,
    /// When it was evaluated last.
    pub evaluated_at: Option<Timestamp>,
    /// Why its last evaluation gave nothing.
    pub error: Option<String>,
}

/// Values shown of one rule, at most.
pub const VALUES_MAX: usize = 5;

/// All rules, and what keeps others from being among them.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Rules {
    /// The rules in force: failed ones first, then those that fire.
    pub rules: Vec<RuleState>,
    /// What is wrong with rule files: those are not in force, or not as they now are.
    pub errors: Vec<String>,
}

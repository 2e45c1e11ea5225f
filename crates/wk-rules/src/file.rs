//! Rule files as they are used: only what may be there, everything parsed.

mod read;

use std::collections::BTreeMap;
use std::time::Duration;

use wk_promql::Expr;

use crate::error::RuleErrors;
use crate::template::Template;

/// Groups in one file.
pub const GROUPS_MAX: usize = 1000;
/// Rules in one file.
pub const RULES_MAX: usize = 10_000;
/// Labels of a rule or group, and annotations of a rule.
pub const LABELS_MAX: usize = 64;

/// The annotation with our own, shorter `for`: Prometheus carries it along and ignores it.
pub const OWN_FOR: &str = "watchkeeper_for";

/// A rule file in Prometheus' format.
#[derive(Clone, Debug)]
pub struct RuleFile {
    /// As it was named to us.
    pub name: String,
    /// In the order of the file; names are unique.
    pub groups: Vec<Group>,
}

/// Rules that are evaluated together, one after the other.
#[derive(Clone, Debug)]
pub struct Group {
    /// Not empty.
    pub name: String,
    /// How often; `None` = the evaluator's own choice.
    pub interval: Option<Duration>,
    /// How many alerts or series one rule may give, above which it gives none and an error; 0 = any.
    pub limit: usize,
    /// How far in the past the rules are evaluated.
    pub query_offset: Duration,
    /// Given to every rule that has no label of that name.
    pub labels: BTreeMap<String, String>,
    /// In the order of evaluation.
    pub rules: Vec<Rule>,
}

/// An alerting or recording rule.
#[derive(Clone, Debug)]
pub struct Rule {
    /// The alert's name, or the metric that is recorded.
    pub name: String,
    /// Where in the file.
    pub line: usize,
    /// The expression as it was written.
    pub text: String,
    /// The same, parsed.
    pub expr: Expr,
    /// As written in the rule, without the group's.
    pub labels: BTreeMap<String, String>,
    /// What it does with what the expression gives.
    pub kind: RuleKind,
}

/// What a rule does with the result of its expression.
#[derive(Clone, Debug)]
pub enum RuleKind {
    /// Each series is an alert.
    Alerting(Alerting),
    /// Each series is written back under the rule's name.
    Recording,
}

/// What only alerting rules have.
#[derive(Clone, Debug, Default)]
pub struct Alerting {
    /// How long an alert is pending before it fires.
    pub hold: Duration,
    /// The same in our own evaluation, where samples come each second: annotation [`OWN_FOR`].
    pub own_hold: Option<Duration>,
    /// How long an alert goes on firing after the expression gave it for the last time.
    pub keep_firing: Duration,
    /// Annotations as written, [`OWN_FOR`] among them.
    pub annotations: BTreeMap<String, String>,
    /// Labels' templates, group labels included.
    pub(crate) label_templates: Vec<(String, Template)>,
    /// Annotations' templates.
    pub(crate) annotation_templates: Vec<(String, Template)>,
}

impl RuleFile {
    /// Reads a rule file; everything that Prometheus would refuse, and all that we cannot evaluate,
    /// is an error with file, line, rule, key and reason.
    pub fn parse(name: &str, text: &str) -> Result<Self, RuleErrors> {
        read::file(name, text)
    }

    /// All rules, each with its group.
    pub fn rules(&self) -> impl Iterator<Item = (&Group, &Rule)> {
        self.groups.iter().flat_map(|group| group.rules.iter().map(move |rule| (group, rule)))
    }
}

impl Rule {
    /// What only alerting rules have.
    pub fn alerting(&self) -> Option<&Alerting> {
        match &self.kind {
            RuleKind::Alerting(alerting) => Some(alerting),
            RuleKind::Recording => None,
        }
    }
}

#[cfg(test)]
mod tests;

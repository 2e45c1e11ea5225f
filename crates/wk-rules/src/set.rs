//! The rules in force: when each group is due, what its evaluation gives, and what survives a
//! restart or a change of the files.

mod evaluate;
mod pace;
mod reload;
mod saved;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use wk_promql::{Labels, Options as EvalOptions};

use crate::alert::Alert;
use crate::duration::millis;
use crate::file::{Group, Rule, RuleFile};
use crate::state::{AlertStates, External};
pub use reload::Reload;
pub use saved::{SavedAlert, SavedAlerts};

/// Rules in all files together.
pub const SET_RULES_MAX: usize = 20_000;

/// Whose clock the rules follow.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pace {
    /// Ours: samples come each second, the annotation `watchkeeper_for` wins over `for`, and a
    /// group without an interval gets one by how far back its rules look.
    Own,
    /// Prometheus': `for` counts, and a group without an interval has the default.
    Prometheus,
}

/// How a [`RuleSet`] evaluates.
#[derive(Clone, Debug)]
pub struct SetOptions {
    /// Whose clock the rules follow. Default [`Pace::Own`].
    pub pace: Pace,
    /// The interval of a group that has none, at [`Pace::Prometheus`]. Default 1 minute.
    pub interval: Duration,
    /// What templates can speak of beside the alert.
    pub external: External,
    /// Bounds of one expression.
    pub eval: EvalOptions,
}

impl Default for SetOptions {
    fn default() -> Self {
        Self {
            pace: Pace::Own,
            interval: Duration::from_mins(1),
            external: External::default(),
            eval: EvalOptions::default(),
        }
    }
}

/// Rule files in force, and the state of their alerts.
#[derive(Clone, Debug)]
pub struct RuleSet {
    options: SetOptions,
    groups: Vec<GroupState>,
    /// Alerts of rules that a reload took away: said to be inactive at the next evaluation.
    orphans: Vec<Alert>,
    /// Series of such rules, which get a stale marker then.
    orphan_series: BTreeSet<Labels>,
}

/// One group of a file.
#[derive(Clone, Debug)]
struct GroupState {
    file: Arc<str>,
    group: Arc<str>,
    interval_ms: i64,
    offset_ms: i64,
    limit: usize,
    /// When it is evaluated next; the first time at once.
    due: i64,
    rules: Vec<RuleState>,
}

/// One rule and what it gave.
#[derive(Clone, Debug)]
struct RuleState {
    name: Arc<str>,
    rule: Rule,
    /// The rule's labels over the group's.
    labels: BTreeMap<String, String>,
    hold_ms: i64,
    /// How far back its selectors read.
    reach_ms: i64,
    states: AlertStates,
    /// What it wrote last time; what is missing next time gets a stale marker.
    written: BTreeSet<Labels>,
    evaluated_at: Option<i64>,
    error: Option<String>,
}

/// Why rule files cannot be in force together.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SetError {
    /// Over [`SET_RULES_MAX`].
    #[error("{count} rules in all files; at most {SET_RULES_MAX}")]
    TooManyRules {
        /// How many there are.
        count: usize,
    },
    /// Two rules whose alerts could not be told apart.
    #[error("{file}:{line}: rule {rule}: same name and labels as in {other}")]
    Twice {
        /// The later file.
        file: String,
        /// The line there.
        line: usize,
        /// The rule.
        rule: String,
        /// The earlier place, as file:line.
        other: String,
    },
}

/// How one rule stands, for pages.
#[derive(Clone, Debug, PartialEq)]
pub struct RuleStatus {
    /// The file it is from.
    pub file: Arc<str>,
    /// Its group.
    pub group: Arc<str>,
    /// Its name.
    pub rule: Arc<str>,
    /// Whether it is an alerting rule.
    pub is_alert: bool,
    /// Its expression.
    pub expr: String,
    /// How long its alerts are pending, at this pace.
    pub hold: Duration,
    /// How often it is evaluated.
    pub interval: Duration,
    /// Its labels, the group's among them.
    pub labels: BTreeMap<String, String>,
    /// Its annotations, as written.
    pub annotations: BTreeMap<String, String>,
    /// Alerts that are pending.
    pub pending: usize,
    /// Alerts that fire.
    pub firing: usize,
    /// When it was evaluated last.
    pub evaluated_at: Option<i64>,
    /// Why its last evaluation gave nothing.
    pub error: Option<String>,
}

impl RuleSet {
    /// Puts files in force, no alert active.
    pub fn new(files: Vec<RuleFile>, options: SetOptions) -> Result<Self, SetError> {
        check(&files)?;
        let mut groups = Vec::new();
        for file in files {
            let name: Arc<str> = file.name.as_str().into();
            for group in file.groups {
                groups.push(GroupState::new(&name, group, &options));
            }
        }
        Ok(Self { options, groups, orphans: Vec::new(), orphan_series: BTreeSet::new() })
    }

    /// For each metric that a rule reads by name, how far back; and for all metrics together under
    /// the empty name, where a rule reads without one. Milliseconds; `i64::MAX` for a fixed instant.
    pub fn retention(&self) -> BTreeMap<String, i64> {
        let mut reaches: BTreeMap<String, i64> = BTreeMap::new();
        for group in &self.groups {
            for rule in &group.rules {
                for reach in rule.rule.expr.metrics(self.options.eval.lookback_ms) {
                    let needed = reach.reach_ms.saturating_add(group.offset_ms);
                    let known = reaches.entry(reach.metric.unwrap_or_default()).or_default();
                    *known = needed.max(*known);
                }
            }
        }
        reaches
    }

    /// Reorders the groups by the place of their names in `order`; those not named keep the first
    /// place, as in promtool.
    pub fn order(&mut self, order: &[String]) {
        let place = |group: &GroupState| order.iter().position(|name| **name == *group.group);
        self.groups.sort_by_key(|group| place(group).unwrap_or(0));
    }

    /// How every rule stands, in the order of files.
    pub fn rules(&self) -> impl Iterator<Item = RuleStatus> {
        self.groups.iter().flat_map(|group| group.rules.iter().map(move |rule| rule.status(group)))
    }

    /// Alerts that are pending or fire, in the order of rules.
    pub fn active(&self) -> Vec<Alert> {
        let mut alerts = Vec::new();
        for group in &self.groups {
            for rule in &group.rules {
                rule.active(group, &BTreeSet::new(), &mut alerts);
            }
        }
        alerts
    }
}

impl GroupState {
    fn new(file: &Arc<str>, group: Group, options: &SetOptions) -> Self {
        let rules: Vec<RuleState> = group
            .rules
            .into_iter()
            .map(|rule| {
                let mut labels = group.labels.clone();
                labels.extend(rule.labels.clone());
                RuleState::new(rule, labels, options)
            })
            .collect();
        let reach = rules.iter().map(|rule| rule.reach_ms).max().unwrap_or(0);
        Self {
            file: Arc::clone(file),
            group: group.name.as_str().into(),
            interval_ms: millis(pace::interval(group.interval, reach, options)),
            offset_ms: millis(group.query_offset),
            limit: group.limit,
            due: i64::MIN,
            rules,
        }
    }
}

impl RuleState {
    fn new(rule: Rule, labels: BTreeMap<String, String>, options: &SetOptions) -> Self {
        let hold = rule.alerting().map_or(Duration::ZERO, |alerting| match options.pace {
            Pace::Own => alerting.own_hold.unwrap_or(alerting.hold),
            Pace::Prometheus => alerting.hold,
        });
        let reaches = rule.expr.metrics(0);
        Self {
            name: rule.name.as_str().into(),
            labels,
            hold_ms: millis(hold),
            reach_ms: reaches.iter().map(|reach| reach.reach_ms).max().unwrap_or(0),
            states: AlertStates::default(),
            written: BTreeSet::new(),
            evaluated_at: None,
            error: None,
            rule,
        }
    }

    fn status(&self, group: &GroupState) -> RuleStatus {
        let firing = self.states.0.values().filter(|active| active.fired_at.is_some()).count();
        let alerting = self.rule.alerting();
        RuleStatus {
            file: Arc::clone(&group.file),
            group: Arc::clone(&group.group),
            rule: Arc::clone(&self.name),
            is_alert: alerting.is_some(),
            expr: self.rule.text.clone(),
            hold: Duration::from_millis(self.hold_ms.unsigned_abs()),
            interval: Duration::from_millis(group.interval_ms.unsigned_abs()),
            labels: self.labels.clone(),
            annotations: alerting.map(|rule| rule.annotations.clone()).unwrap_or_default(),
            pending: self.states.0.len() - firing,
            firing,
            evaluated_at: self.evaluated_at,
            error: self.error.clone(),
        }
    }
}

/// Refuses too many rules, and rules whose alerts could not be told apart.
fn check(files: &[RuleFile]) -> Result<(), SetError> {
    let count = files.iter().map(|file| file.rules().count()).sum();
    if count > SET_RULES_MAX {
        return Err(SetError::TooManyRules { count });
    }
    let mut known: BTreeMap<(bool, &str, BTreeMap<&str, &str>), String> = BTreeMap::new();
    for file in files {
        for (group, rule) in file.rules() {
            let all = group.labels.iter().chain(&rule.labels);
            let labels = all.map(|(name, value)| (name.as_str(), value.as_str())).collect();
            let identity = (rule.alerting().is_some(), rule.name.as_str(), labels);
            let place = format!("{}:{}", file.name, rule.line);
            if let Some(other) = known.insert(identity, place) {
                let (file, rule, line) = (file.name.clone(), rule.name.clone(), rule.line);
                return Err(SetError::Twice { file, line, rule, other });
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests;

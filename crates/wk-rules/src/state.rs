//! The state machine of one alerting rule: which of its alerts are pending, which fire.
//!
//! As Prometheus' `AlertingRule.Eval`: an alert is identified by its labels after the rule's own
//! were set; it fires when the expression has given it for the whole `for`, goes on for
//! `keep_firing_for` after the last time, and is forgotten once it was said to be inactive.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use wk_promql::Labels;

use crate::alert::{Alert, AlertState, Severity};
use crate::duration::millis;
use crate::file::{Alerting, Rule};
use crate::template::Facts;

const ALERT_NAME: &str = "alertname";

/// Settings that templates can speak of.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct External {
    /// `$externalLabels`
    pub labels: BTreeMap<String, String>,
    /// `$externalURL`
    pub url: String,
}

/// One alert that is pending or fires.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Active {
    /// Of the series that the expression gave.
    series: Labels,
    annotations: Arc<BTreeMap<String, String>>,
    value: f64,
    pub(crate) since: i64,
    /// Some exactly while it fires.
    pub(crate) fired_at: Option<i64>,
    /// Since when it fires only because of `keep_firing_for`.
    pub(crate) keep_since: Option<i64>,
    /// Restored: until then, that the expression does not give it says nothing yet.
    held_until: Option<i64>,
}

impl Active {
    /// As it was saved; the next evaluation gives it its annotations and value.
    pub(crate) fn restored(
        since: i64,
        fired_at: Option<i64>,
        keep_since: Option<i64>,
        held_until: i64,
    ) -> Self {
        Self {
            series: Labels::default(),
            annotations: Arc::default(),
            value: f64::NAN,
            since,
            fired_at,
            keep_since,
            held_until: Some(held_until),
        }
    }

    pub(crate) fn state(&self) -> AlertState {
        if self.fired_at.is_some() { AlertState::Firing } else { AlertState::Pending }
    }

    pub(crate) fn annotations(&self) -> &Arc<BTreeMap<String, String>> {
        &self.annotations
    }

    pub(crate) fn value(&self) -> f64 {
        self.value
    }

    pub(crate) fn describe(&mut self, annotations: BTreeMap<String, String>, value: f64) {
        (self.annotations, self.value) = (Arc::new(annotations), value);
    }
}

/// The alerts of one rule by their labels.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct AlertStates(pub(crate) BTreeMap<Labels, Active>);

/// What one step of a rule needs beside the result of its expression.
pub(crate) struct Step<'r> {
    pub(crate) rule: &'r Rule,
    pub(crate) alerting: &'r Alerting,
    /// Its `for`, by the pace of this evaluation.
    pub(crate) hold_ms: i64,
    /// 0 = no limit.
    pub(crate) limit: usize,
    pub(crate) external: &'r External,
    pub(crate) now: i64,
}

impl AlertStates {
    /// Advances all alerts by what the expression gave; returns those whose state is new.
    ///
    /// # Errors
    /// Two series that are one alert: nothing changes. More alerts than the group's limit: there
    /// are none any more, and the alerts in `ended` were ended by it.
    pub(crate) fn step(
        &mut self,
        step: &Step<'_>,
        found: &[(Labels, f64)],
        ended: &mut Vec<Alert>,
    ) -> Result<BTreeSet<Labels>, String> {
        let mut given: BTreeMap<Labels, &(Labels, f64)> = BTreeMap::new();
        for one in found {
            if given.insert(step.alert_labels(&one.0, one.1), one).is_some() {
                return Err(
                    "vector contains metrics with the same labelset after applying alert labels"
                        .to_owned(),
                );
            }
        }
        let mut changed = BTreeSet::new();
        for (labels, (series, value)) in &given {
            if self.take(step, labels, series, *value) {
                changed.insert(labels.clone());
            }
        }
        let gone: Vec<Labels> =
            self.0.keys().filter(|labels| !given.contains_key(*labels)).cloned().collect();
        for labels in gone {
            self.miss(step, labels, ended);
        }
        for (labels, active) in &mut self.0 {
            let waited = step.now.saturating_sub(active.since);
            if active.fired_at.is_none() && active.held_until.is_none() && waited >= step.hold_ms {
                active.fired_at = Some(step.now);
                changed.insert(labels.clone());
            }
        }
        if step.limit > 0 && self.0.len() > step.limit {
            let count = self.0.len();
            for (labels, active) in std::mem::take(&mut self.0) {
                ended.push(step.inactive(labels, &active));
            }
            return Err(format!("exceeded limit of {} with {count} alerts", step.limit));
        }
        Ok(changed)
    }

    /// The expression gave it; returns whether it is new.
    fn take(&mut self, step: &Step<'_>, labels: &Labels, series: &Labels, value: f64) -> bool {
        if let Some(active) = self.0.get_mut(labels) {
            let same = active.value.to_bits() == value.to_bits() && active.series == *series;
            if !same {
                active.annotations = step.annotations(series, value);
                (active.series, active.value) = (series.clone(), value);
            }
            (active.keep_since, active.held_until) = (None, None);
            return false;
        }
        let active = Active {
            series: series.clone(),
            annotations: step.annotations(series, value),
            value,
            since: step.now,
            fired_at: None,
            keep_since: None,
            held_until: None,
        };
        self.0.insert(labels.clone(), active);
        true
    }

    /// The expression no longer gives it.
    fn miss(&mut self, step: &Step<'_>, labels: Labels, ended: &mut Vec<Alert>) {
        let Some(active) = self.0.get_mut(&labels) else { return };
        if active.held_until.is_some_and(|until| step.now < until) {
            return;
        }
        active.held_until = None;
        let keep_ms = millis(step.alerting.keep_firing);
        if active.fired_at.is_some() && keep_ms > 0 {
            let since = *active.keep_since.get_or_insert(step.now);
            if step.now.saturating_sub(since) < keep_ms {
                return;
            }
        }
        if let Some(active) = self.0.remove(&labels) {
            ended.push(step.inactive(labels, &active));
        }
    }
}

impl Step<'_> {
    /// The labels of the alert that a series is.
    fn alert_labels(&self, series: &Labels, value: f64) -> Labels {
        let facts = self.facts(series, value);
        let own: Vec<(&str, String)> = self
            .alerting
            .label_templates
            .iter()
            .map(|(name, template)| (name.as_str(), template.expand(&facts)))
            .collect();
        let of_series = series.iter().filter(|(name, _)| *name != wk_promql::NAME);
        let of_rule = own.iter().map(|(name, value)| (*name, value.as_str()));
        Labels::new(of_series.chain(of_rule).chain([(ALERT_NAME, self.rule.name.as_str())]))
    }

    fn annotations(&self, series: &Labels, value: f64) -> Arc<BTreeMap<String, String>> {
        let facts = self.facts(series, value);
        let templates = self.alerting.annotation_templates.iter();
        Arc::new(
            templates.map(|(name, template)| (name.clone(), template.expand(&facts))).collect(),
        )
    }

    fn facts<'f>(&'f self, series: &'f Labels, value: f64) -> Facts<'f> {
        Facts {
            labels: series,
            value,
            external_labels: &self.external.labels,
            external_url: &self.external.url,
        }
    }

    fn inactive(&self, labels: Labels, active: &Active) -> Alert {
        Alert {
            rule: self.rule.name.as_str().into(),
            // The set knows it and fills it in.
            group: "".into(),
            severity: Severity::of(&labels),
            labels,
            annotations: Arc::clone(&active.annotations),
            state: AlertState::Inactive,
            changed: true,
            value: active.value,
            active_at: active.since,
            fired_at: active.fired_at,
            resolved_at: Some(self.now),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::RuleFile;

    struct Machine {
        file: RuleFile,
        states: AlertStates,
        limit: usize,
    }

    impl Machine {
        fn new(rule: &str) -> Self {
            let text = format!("groups: [{{name: g, rules: [{{alert: A, expr: x, {rule}}}]}}]");
            let file = RuleFile::parse("t", &text).unwrap_or_else(|error| panic!("{error}"));
            Self { file, states: AlertStates::default(), limit: 0 }
        }

        /// What is said at `second` when the series of `nodes` are there: `+` new, `!` fires, `-`
        /// ends, and `?` for an error.
        fn at(&mut self, second: i64, nodes: &[&str]) -> String {
            let rule = &self.file.groups[0].rules[0];
            let alerting = rule.alerting().unwrap();
            let step = Step {
                rule,
                alerting,
                hold_ms: millis(alerting.hold),
                limit: self.limit,
                external: &External::default(),
                now: second * 1000,
            };
            let found: Vec<_> =
                nodes.iter().map(|node| (Labels::metric("x", [("n", *node)]), 1.0)).collect();
            let mut ended = Vec::new();
            let changed = self.states.step(&step, &found, &mut ended);
            let mut said: Vec<String> =
                ended.iter().map(|alert| format!("-{}", alert.labels.get("n"))).collect();
            match changed {
                Ok(changed) => said.extend(changed.iter().map(|labels| {
                    let sign = if self.states.0[labels].fired_at.is_some() { "!" } else { "+" };
                    format!("{sign}{}", labels.get("n"))
                })),
                Err(error) => said.push(format!("?{error}")),
            }
            said.join(" ")
        }
    }

    #[test]
    fn without_for_it_fires_at_once_and_ends_at_once() {
        let mut machine = Machine::new("for: 0s");
        assert_eq!(machine.at(0, &["a"]), "!a");
        assert_eq!(machine.at(1, &["a", "b"]), "!b");
        assert_eq!(machine.at(2, &["b"]), "-a");
        assert_eq!(machine.at(3, &[]), "-b");
        assert_eq!(machine.at(4, &[]), "");
    }

    #[test]
    fn for_must_pass_without_a_gap() {
        let mut machine = Machine::new("for: 3s");
        assert_eq!(machine.at(0, &["a"]), "+a");
        assert_eq!(machine.at(2, &["a"]), "");
        assert_eq!(machine.at(3, &["a"]), "!a");
        assert_eq!(machine.at(4, &[]), "-a");
        assert_eq!(machine.at(5, &["a"]), "+a");
        assert_eq!(machine.at(6, &[]), "-a");
        assert_eq!(machine.at(7, &["a"]), "+a");
        assert_eq!(machine.at(9, &["a"]), "");
    }

    #[test]
    fn keep_firing_for_bridges_gaps_of_what_fires_and_not_of_what_is_pending() {
        let mut machine = Machine::new("for: 2s, keep_firing_for: 5s");
        assert_eq!(machine.at(0, &["a"]), "+a");
        assert_eq!(machine.at(1, &[]), "-a");
        assert_eq!(machine.at(2, &["a"]), "+a");
        assert_eq!(machine.at(4, &["a"]), "!a");
        assert_eq!(machine.at(5, &[]), "");
        assert_eq!(machine.at(9, &[]), "");
        assert_eq!(machine.at(9, &["a"]), "");
        assert_eq!(machine.at(10, &[]), "");
        assert_eq!(machine.at(14, &[]), "");
        assert_eq!(machine.at(15, &[]), "-a");
    }

    #[test]
    fn over_its_limit_a_rule_gives_an_error_and_no_alert() {
        let mut machine = Machine::new("for: 0s");
        machine.limit = 1;
        assert_eq!(machine.at(0, &["a"]), "!a");
        assert_eq!(machine.at(1, &["a", "b"]), "-a -b ?exceeded limit of 1 with 2 alerts");
        assert_eq!(machine.at(2, &["b"]), "!b");
    }

    #[test]
    fn series_that_become_one_alert_are_an_error_and_change_nothing() {
        let mut machine = Machine::new("labels: {n: one}");
        assert_eq!(machine.at(0, &["a"]), "!one");
        assert!(machine.at(1, &["a", "b"]).starts_with("?vector contains"));
        assert_eq!(machine.at(2, &["a"]), "");
    }

    #[test]
    fn labels_and_annotations_speak_of_the_series() {
        let mut machine = Machine::new(
            "labels: {who: 'n {{ $labels.n }}'}, annotations: {s: '{{ $labels.n }}={{ $value }}'}",
        );
        machine.at(0, &["a"]);
        let (labels, active) = machine.states.0.first_key_value().unwrap();
        assert_eq!(labels.to_string(), r#"{alertname="A", n="a", who="n a"}"#);
        assert_eq!(active.annotations["s"], "a=1");
    }
}

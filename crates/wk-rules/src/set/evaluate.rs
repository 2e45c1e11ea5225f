//! One evaluation of what is due.

use std::collections::BTreeSet;
use std::sync::Arc;

use wk_promql::{Labels, NAME, STALE, Sample, Value, Window};

use super::{GroupState, RuleSet, RuleState, SetOptions, pace};
use crate::alert::{Alert, Severity};
use crate::file::RuleKind;
use crate::state::Step;

/// The series that says of each alert that it is there.
const ALERTS: &str = "ALERTS";
/// The series that says since when.
const ALERTS_FOR_STATE: &str = "ALERTS_FOR_STATE";

/// Groups of at most this interval are evaluated at once when something changed.
const NEWS_MS: i64 = 1000;

impl RuleSet {
    /// When the next group is due; at once (`i64::MIN`) where one was never evaluated.
    pub fn next_due(&self) -> Option<i64> {
        self.groups.iter().map(|group| group.due).min()
    }

    /// Evaluates the groups that are due at `now`, milliseconds since 1970, writing recorded series
    /// and those of alerts into `window`. Returns the alerts that ended, then all that are active in
    /// any group; [`Alert::changed`] marks the news. Errors are in [`RuleSet::rules`].
    pub fn evaluate(&mut self, now: i64, window: &mut Window) -> Vec<Alert> {
        self.step(now, window, |group| group.due <= now)
    }

    /// As [`RuleSet::evaluate`], and of the groups that are evaluated each second whether due or
    /// not: something has just changed.
    pub fn evaluate_news(&mut self, now: i64, window: &mut Window) -> Vec<Alert> {
        self.step(now, window, |group| group.due <= now || group.interval_ms <= NEWS_MS)
    }

    /// As [`RuleSet::evaluate`], of all groups whether due or not: for tests of rules.
    pub fn evaluate_all(&mut self, now: i64, window: &mut Window) -> Vec<Alert> {
        self.step(now, window, |_| true)
    }

    fn step(
        &mut self,
        now: i64,
        window: &mut Window,
        is_due: impl Fn(&GroupState) -> bool,
    ) -> Vec<Alert> {
        let mut ended = std::mem::take(&mut self.orphans);
        for alert in &mut ended {
            alert.resolved_at = Some(now);
        }
        for labels in std::mem::take(&mut self.orphan_series) {
            // Whatever the window says to the end of a series that nobody writes any more is right.
            let _ = window.append(&Sample { labels, at: now, value: STALE });
        }
        let mut active = Vec::new();
        for group in &mut self.groups {
            let due = is_due(group);
            if due {
                group.due = pace::next(now, group.interval_ms);
            }
            let (at, limit, offset) = (now, group.limit, group.offset_ms);
            for index in 0..group.rules.len() {
                let from = ended.len();
                let changed = if due {
                    let rule = &mut group.rules[index];
                    rule.evaluate(at, offset, limit, &self.options, window, &mut ended)
                } else {
                    BTreeSet::new()
                };
                for alert in &mut ended[from..] {
                    alert.group = Arc::clone(&group.group);
                }
                group.rules[index].active(group, &changed, &mut active);
            }
        }
        ended.append(&mut active);
        ended
    }
}

impl RuleState {
    /// Evaluates it; returns the alerts whose state is new, and adds those that ended.
    fn evaluate(
        &mut self,
        now: i64,
        offset_ms: i64,
        limit: usize,
        options: &SetOptions,
        window: &mut Window,
        ended: &mut Vec<Alert>,
    ) -> BTreeSet<Labels> {
        self.evaluated_at = Some(now);
        let at = now.saturating_sub(offset_ms);
        let mut changed = BTreeSet::new();
        let outcome = self.query(at, options, window).and_then(|found| match &self.rule.kind {
            RuleKind::Recording => self.record(&found, limit),
            RuleKind::Alerting(alerting) => {
                let step = Step {
                    rule: &self.rule,
                    alerting,
                    hold_ms: self.hold_ms,
                    limit,
                    external: &options.external,
                    now,
                };
                changed = self.states.step(&step, &found, ended)?;
                Ok(self.alert_series())
            }
        });
        match outcome.and_then(|series| self.write(series, at, window)) {
            Ok(()) => self.error = None,
            Err(error) => self.error = Some(error),
        }
        changed
    }

    fn query(
        &self,
        at: i64,
        options: &SetOptions,
        window: &Window,
    ) -> Result<Vec<(Labels, f64)>, String> {
        match self.rule.expr.instant(window, at, &options.eval) {
            Ok(Value::Vector(found)) => Ok(found),
            Ok(Value::Scalar(value)) => Ok(vec![(Labels::default(), value)]),
            Ok(Value::Matrix(_) | Value::Text(_)) => {
                Err("rule result is not a vector or scalar".to_owned())
            }
            Err(error) => Err(error.to_string()),
        }
    }

    /// The series that a recording rule writes.
    fn record(&self, found: &[(Labels, f64)], limit: usize) -> Result<Vec<(Labels, f64)>, String> {
        let mut seen = BTreeSet::new();
        let mut series = Vec::with_capacity(found.len());
        for (labels, value) in found {
            let own = self.labels.iter().map(|(name, value)| (name.as_str(), value.as_str()));
            let labels = Labels::new(labels.iter().chain([(NAME, &*self.name)]).chain(own));
            if !seen.insert(labels.clone()) {
                return Err(
                    "vector contains metrics with the same labelset after applying rule labels"
                        .to_owned(),
                );
            }
            series.push((labels, *value));
        }
        if limit > 0 && series.len() > limit {
            return Err(format!("exceeded limit of {limit} with {} series", series.len()));
        }
        Ok(series)
    }

    /// What Prometheus writes of each alert.
    fn alert_series(&self) -> Vec<(Labels, f64)> {
        let mut series = Vec::with_capacity(2 * self.states.0.len());
        for (labels, active) in &self.states.0 {
            let state = ("alertstate", active.state().as_str());
            let alerts = labels.iter().chain([(NAME, ALERTS), state]);
            series.push((Labels::new(alerts), 1.0));
            #[expect(clippy::cast_precision_loss, reason = "seconds since 1970")]
            let since = active.since.div_euclid(1000) as f64;
            let for_state = labels.iter().chain([(NAME, ALERTS_FOR_STATE)]);
            series.push((Labels::new(for_state), since));
        }
        series
    }

    /// Writes the series, and a stale marker for each that was there last time and is not now.
    fn write(
        &mut self,
        series: Vec<(Labels, f64)>,
        at: i64,
        window: &mut Window,
    ) -> Result<(), String> {
        let mut refused = None;
        let mut before = std::mem::take(&mut self.written);
        for (labels, value) in series {
            before.remove(&labels);
            match window.append(&Sample { labels: labels.clone(), at, value }) {
                Ok(()) => {
                    self.written.insert(labels);
                }
                Err(error) => refused = Some(format!("{labels}: {error}")),
            }
        }
        for labels in before {
            if let Err(error) = window.append(&Sample { labels: labels.clone(), at, value: STALE })
            {
                refused = Some(format!("{labels}: {error}"));
            }
        }
        refused.map_or(Ok(()), Err)
    }

    /// Adds its active alerts.
    pub(super) fn active(
        &self,
        group: &GroupState,
        changed: &BTreeSet<Labels>,
        out: &mut Vec<Alert>,
    ) {
        out.extend(self.states.0.iter().map(|(labels, active)| Alert {
            rule: Arc::clone(&self.name),
            group: Arc::clone(&group.group),
            severity: Severity::of(labels),
            labels: labels.clone(),
            annotations: Arc::clone(active.annotations()),
            state: active.state(),
            changed: changed.contains(labels),
            value: active.value(),
            active_at: active.since,
            fired_at: active.fired_at,
            resolved_at: None,
        }));
    }
}

//! What survives a restart: since when each alert is pending or fires.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use wk_promql::Labels;

use super::RuleSet;
use crate::state::Active;

/// The shortest and longest time that a restored alert is kept although the expression does not
/// give it: the window is empty after a restart, so for as long as the rule looks back, that says
/// nothing.
const HELD_MS: std::ops::RangeInclusive<i64> = 10_000..=900_000;

/// The state of all alerts, to be written to disk.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct SavedAlerts {
    /// When it was taken, in milliseconds since 1970.
    pub at: i64,
    /// Those that are pending or fire.
    pub alerts: Vec<SavedAlert>,
}

/// One alert that is pending or fires.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SavedAlert {
    /// The file of its rule.
    pub file: String,
    /// The group of its rule.
    pub group: String,
    /// Its rule.
    pub rule: String,
    /// Its labels.
    pub labels: BTreeMap<String, String>,
    /// Its annotations, templates filled in.
    pub annotations: BTreeMap<String, String>,
    /// The bits of its value, which may be no number.
    pub value: u64,
    /// Since when the expression gives it.
    pub active_at: i64,
    /// Since when it fires.
    pub fired_at: Option<i64>,
    /// Since when it fires only by `keep_firing_for`.
    pub keep_since: Option<i64>,
}

impl RuleSet {
    /// What to keep over a restart.
    pub fn save(&self, now: i64) -> SavedAlerts {
        let mut alerts = Vec::new();
        for group in &self.groups {
            for rule in &group.rules {
                alerts.extend(rule.states.0.iter().map(|(labels, active)| SavedAlert {
                    file: group.file.to_string(),
                    group: group.group.to_string(),
                    rule: rule.name.to_string(),
                    labels: words(labels),
                    annotations: BTreeMap::clone(active.annotations()),
                    value: active.value().to_bits(),
                    active_at: active.since,
                    fired_at: active.fired_at,
                    keep_since: active.keep_since,
                }));
            }
        }
        SavedAlerts { at: now, alerts }
    }

    /// Takes over what was saved, before the first evaluation. The time in between was seen by
    /// nobody: it does not count towards `for`. What fired fires on, without news, until the
    /// expression could have given it again and did not. Returns how many alerts found no rule.
    pub fn restore(&mut self, saved: &SavedAlerts, now: i64) -> usize {
        let away = now.saturating_sub(saved.at).max(0);
        let mut lost = 0;
        for alert in &saved.alerts {
            let rule = self
                .groups
                .iter_mut()
                .filter(|group| *group.file == *alert.file && *group.group == *alert.group)
                .flat_map(|group| &mut group.rules)
                .find(|rule| rule.is_of(alert));
            let Some(rule) = rule else {
                lost += 1;
                continue;
            };
            let held = rule.reach_ms.clamp(*HELD_MS.start(), *HELD_MS.end());
            let shift = if alert.fired_at.is_some() { 0 } else { away };
            let mut active = Active::restored(
                alert.active_at.saturating_add(shift),
                alert.fired_at,
                alert.keep_since,
                now.saturating_add(held),
            );
            active.describe(alert.annotations.clone(), f64::from_bits(alert.value));
            let labels = alert.labels.iter().map(|(name, value)| (name.as_str(), value.as_str()));
            rule.states.0.insert(Labels::new(labels), active);
        }
        lost
    }
}

impl super::RuleState {
    /// Whether a saved alert can be one of this rule: its name, and every label without a template.
    fn is_of(&self, alert: &SavedAlert) -> bool {
        let fixed = |value: &str| !value.contains("{{");
        *self.name == *alert.rule
            && self.rule.alerting().is_some()
            && self
                .labels
                .iter()
                .filter(|(_, value)| fixed(value) && !value.is_empty())
                .all(|(name, value)| alert.labels.get(name) == Some(value))
    }
}

fn words(labels: &Labels) -> BTreeMap<String, String> {
    labels.iter().map(|(name, value)| (name.to_owned(), value.to_owned())).collect()
}

//! Other files in force, with the state of what they share with those before.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::{GroupState, RuleSet, RuleState, SetError, SetOptions};
use crate::alert::AlertState;
use crate::file::RuleFile;

/// What a reload changed; rules as `GROUP/RULE`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Reload {
    /// Rules that were not there before.
    pub added: Vec<String>,
    /// Rules that are there no more; their alerts end with the next evaluation.
    pub removed: Vec<String>,
    /// Rules of the same name and labels that now say something else; their alerts stay, and the
    /// next evaluation decides.
    pub changed: Vec<String>,
    /// How many are as they were.
    pub kept: usize,
}

/// What makes a rule the same rule: file, group, name, whether it alerts, and its labels.
type Identity = (Arc<str>, Arc<str>, Arc<str>, bool, BTreeMap<String, String>);

fn identity(group: &GroupState, rule: &RuleState) -> Identity {
    let is_alert = rule.rule.alerting().is_some();
    let (file, name) = (Arc::clone(&group.file), Arc::clone(&rule.name));
    (file, Arc::clone(&group.group), name, is_alert, rule.labels.clone())
}

impl RuleSet {
    /// Puts other files in force. On an error nothing changes.
    pub fn reload(
        &mut self,
        files: Vec<RuleFile>,
        options: SetOptions,
    ) -> Result<Reload, SetError> {
        let mut next = Self::new(files, options)?;
        let mut report = Reload::default();
        let mut known: BTreeMap<Identity, (RuleState, i64, i64)> = BTreeMap::new();
        for group in &mut self.groups {
            for rule in std::mem::take(&mut group.rules) {
                let identity = identity(group, &rule);
                known.insert(identity, (rule, group.due, group.interval_ms));
            }
        }
        for group in &mut next.groups {
            let mut due = None;
            for index in 0..group.rules.len() {
                let name = format!("{}/{}", group.group, group.rules[index].name);
                let same = known.remove(&identity(group, &group.rules[index]));
                let Some((before, was_due, interval)) = same else {
                    report.added.push(name);
                    due = Some(i64::MIN);
                    continue;
                };
                let rule = &mut group.rules[index];
                let as_before = is_same(&before, rule) && interval == group.interval_ms;
                due = Some(due.map_or(was_due, |due: i64| due.min(was_due)));
                if as_before {
                    report.kept += 1;
                } else {
                    report.changed.push(name);
                    due = Some(i64::MIN);
                }
                rule.states = before.states;
                rule.written = before.written;
                rule.evaluated_at = before.evaluated_at;
                rule.error = before.error;
            }
            group.due = due.unwrap_or(i64::MIN);
        }
        next.orphans = std::mem::take(&mut self.orphans);
        next.orphan_series = std::mem::take(&mut self.orphan_series);
        for ((_, group, ..), (rule, ..)) in known {
            report.removed.push(format!("{group}/{}", rule.name));
            next.adopt(&group, rule);
        }
        *self = next;
        Ok(report)
    }

    /// Keeps what a removed rule leaves behind until the next evaluation says that it is gone.
    fn adopt(&mut self, group: &Arc<str>, rule: RuleState) {
        let mut alerts = Vec::new();
        let owner = GroupState {
            file: "".into(),
            group: Arc::clone(group),
            interval_ms: 0,
            offset_ms: 0,
            limit: 0,
            due: 0,
            rules: Vec::new(),
        };
        rule.active(&owner, &BTreeSet::new(), &mut alerts);
        for mut alert in alerts {
            (alert.state, alert.changed) = (AlertState::Inactive, true);
            self.orphans.push(alert);
        }
        self.orphan_series.extend(rule.written);
    }
}

/// Whether two rules of one identity say the same.
fn is_same(one: &RuleState, other: &RuleState) -> bool {
    let what = |rule: &RuleState| {
        let alerting = rule.rule.alerting();
        (
            rule.rule.text.clone(),
            rule.hold_ms,
            alerting.map(|alerting| (alerting.keep_firing, alerting.annotations.clone())),
        )
    };
    what(one) == what(other)
}

//! What is read on request only, as it would make every picture larger: the audit and the rules.

use std::collections::BTreeMap;
use std::sync::Arc;

use wk_rules::{AlertState, RuleStatus};

use super::Engine;
use crate::audit::{AUDIT_LINES_MAX, AuditEntry, AuditPage};
use crate::handle::{ActionError, Reply};
use crate::rule_state::{RuleHealth, RuleState, Rules, VALUES_MAX};
use crate::time::Timestamp;

impl Engine {
    /// The lines of all histories before line `before`, or the newest ones.
    pub(super) fn audit(&self, before: Option<u64>, limit: usize, reply: Reply<AuditPage>) {
        let (store, lang) = (Arc::clone(&self.store), self.config.lang);
        tokio::task::spawn_blocking(move || {
            let limit = limit.clamp(1, AUDIT_LINES_MAX);
            let word = |(id, line): (u64, wk_alert::AuditLine)| AuditEntry {
                id,
                at: line.at.into(),
                actor: line.actor,
                about: line.about,
                text: lang.fact(&line.fact),
            };
            let page = store.audit(before, limit).map(|(lines, more)| {
                let audit: Vec<AuditEntry> = lines.into_iter().map(word).collect();
                AuditPage { audit, next: more }
            });
            // Whoever asked may have gone.
            let _ = reply.send(page.map_err(|err| ActionError::Unavailable(err.to_string())));
        });
    }

    /// The rules in force, those that need somebody first.
    pub(super) fn rules(&self, reply: Reply<Rules>) {
        let mut values: BTreeMap<Arc<str>, Vec<(bool, f64)>> = BTreeMap::new();
        // A value that is no number says nothing, and JSON has none.
        for alert in self.judgement.rules.active().into_iter().filter(|a| a.value.is_finite()) {
            let waits = alert.state == AlertState::Pending;
            values.entry(alert.rule).or_default().push((waits, alert.value));
        }
        let of = |status: RuleStatus| {
            let mut values = values.get(&status.rule).cloned().unwrap_or_default();
            values.sort_by_key(|(waits, _)| *waits);
            let values = values.into_iter().map(|(_, value)| value).take(VALUES_MAX).collect();
            state(status, values)
        };
        let mut rules: Vec<RuleState> = self.judgement.rules.rules().map(of).collect();
        rules.sort_by(|a, b| (a.state, &a.rule).cmp(&(b.state, &b.rule)));
        let _ = reply.send(Ok(Rules { rules, errors: self.judgement.errors.clone() }));
    }
}

fn state(status: RuleStatus, values: Vec<f64>) -> RuleState {
    let health = match &status {
        RuleStatus { error: Some(_), .. } => RuleHealth::Error,
        RuleStatus { firing: 1.., .. } => RuleHealth::Firing,
        RuleStatus { pending: 1.., .. } => RuleHealth::Pending,
        RuleStatus { evaluated_at: None, .. } => RuleHealth::Unevaluated,
        _ => RuleHealth::Inactive,
    };
    RuleState {
        rule: status.rule.to_string(),
        group: status.group.to_string(),
        file: status.file.to_string(),
        kind: if status.is_alert { "alerting" } else { "recording" }.to_owned(),
        severity: status.labels.get("severity").cloned(),
        state: health,
        pending: status.pending,
        firing: status.firing,
        values,
        expr: status.expr,
        hold: status.hold.as_secs_f64(),
        interval: status.interval.as_secs_f64(),
        evaluated_at: status.evaluated_at.map(Timestamp),
        error: status.error,
    }
}

//! Rules for a Prometheus outside: of a ZooKeeper version, as a file or as a Kubernetes object.

use crate::catalogue::{Catalogue, Which};
use crate::duration::format_duration;
use crate::file::{Alerting, Group, RuleFile};
use crate::selector::rewrite;
use crate::threshold::Thresholds;
use crate::write::{self, GroupText, RuleText};

/// Whose spelling of metrics.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Spelling {
    /// ZooKeeper 3.6 to 3.9, which is also ours.
    ZooKeeper39,
    /// The line of 3.10: counters end in `_total`, the second quantile of three is 0.95.
    ZooKeeper310,
}

/// In which form.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// A rule file.
    Prometheus,
    /// A `PrometheusRule` of the Prometheus operator.
    PrometheusRule,
}

/// Apache's counters: `MetricsContext.getCounter` and `getCounterSet` in 3.9 and on its master
/// branch. The client library of 3.10 gives each the suffix `_total`.
const COUNTERS: [&str; 48] = [
    "snapshot_error_count",
    "snapshot_rate_limited_count",
    "restore_error_count",
    "restore_rate_limited_count",
    "looking_count",
    "diff_count",
    "snap_count",
    "commit_count",
    "connection_request_count",
    "connection_rejected",
    "bytes_received_count",
    "unrecoverable_error_count",
    "add_dead_watcher_stall_time",
    "dead_watchers_queued",
    "dead_watchers_cleared",
    "response_packet_cache_hits",
    "response_packet_cache_misses",
    "response_packet_get_children_cache_hits",
    "response_packet_get_children_cache_misses",
    "ensemble_auth_success",
    "ensemble_auth_fail",
    "ensemble_auth_skip",
    "prep_processor_request_queued",
    "outstanding_changes_queued",
    "outstanding_changes_removed",
    "revalidate_count",
    "connection_drop_count",
    "connection_revalidate_count",
    "sessionless_connections_expired",
    "stale_sessions_expired",
    "request_commit_queued",
    "throttled_ops",
    "learner_proposal_received_count",
    "learner_commit_received_count",
    "sync_processor_request_queued",
    "proposal_count",
    "quit_leading_due_to_disloyal_voter",
    "stale_requests",
    "stale_requests_dropped",
    "stale_replies",
    "request_throttle_wait_count",
    "large_requests_rejected",
    "digest_mismatches_count",
    "unsuccessful_handshake",
    "insecure_admin_count",
    "tls_handshake_exceeded",
    "response_bytes",
    "watch_bytes",
];

/// The shipped rules as text.
pub fn export(which: Which, thresholds: &Thresholds, spelling: Spelling, form: Form) -> String {
    text(Catalogue::shipped().groups(which, thresholds), spelling, form)
}

/// Files of one's own as text.
pub fn export_files(files: &[RuleFile], spelling: Spelling, form: Form) -> String {
    text(files.iter().flat_map(|file| &file.groups).map(group_text).collect(), spelling, form)
}

fn text(mut groups: Vec<GroupText>, spelling: Spelling, form: Form) -> String {
    if spelling == Spelling::ZooKeeper310 {
        for rule in groups.iter_mut().flat_map(|group| &mut group.rules) {
            rule.expr = respelled(&rule.expr);
        }
    }
    match form {
        Form::Prometheus => write::groups(&groups, ""),
        Form::PrometheusRule => {
            let head = "apiVersion: monitoring.coreos.com/v1\nkind: PrometheusRule\nmetadata:\n  \
                        name: watchkeeper\n  labels:\n    app.kubernetes.io/name: watchkeeper\n\
                        spec:\n";
            head.to_owned() + &write::groups(&groups, "  ")
        }
    }
}

/// The expression in the spelling of 3.10.
fn respelled(expr: &str) -> String {
    rewrite(expr, |name, matchers| {
        let suffix = if COUNTERS.contains(&name) { "_total" } else { "" };
        let braces = matchers.map(|matchers| {
            // 3.10 has no 0.9; the next it has is 0.95.
            let matchers = matchers.replace("quantile=\"0.9\"", "quantile=\"0.95\"");
            format!("{{{matchers}}}")
        });
        format!("{name}{suffix}{}", braces.unwrap_or_default())
    })
}

fn group_text(group: &Group) -> GroupText {
    let rules = group.rules.iter().map(|rule| {
        let mut labels = group.labels.clone();
        labels.extend(rule.labels.clone());
        let default = Alerting::default();
        let alerting = rule.alerting();
        let known = alerting.unwrap_or(&default);
        let shown = |duration: std::time::Duration| {
            (!duration.is_zero()).then(|| format_duration(duration))
        };
        RuleText {
            is_alert: alerting.is_some(),
            name: rule.name.clone(),
            expr: rule.text.clone(),
            hold: shown(known.hold),
            keep_firing: shown(known.keep_firing),
            labels: labels.into_iter().collect(),
            annotations: known.annotations.clone().into_iter().collect(),
        }
    });
    GroupText {
        name: group.name.clone(),
        interval: group.interval.map(format_duration),
        rules: rules.collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn exported(spelling: Spelling) -> RuleFile {
        let text = export(Which::All, &Thresholds::default(), spelling, Form::Prometheus);
        RuleFile::parse("export", &text).unwrap_or_else(|error| panic!("{error}"))
    }

    #[test]
    fn what_is_exported_is_what_is_in_force() {
        let files = Catalogue::shipped().files(&Thresholds::default());
        let ours: Vec<_> = files.iter().flat_map(RuleFile::rules).map(|(_, rule)| rule).collect();
        let file = exported(Spelling::ZooKeeper39);
        assert_eq!(file.rules().count(), ours.len());
        for ((_, exported), ours) in file.rules().zip(ours) {
            assert_eq!((&exported.name, &exported.text), (&ours.name, &ours.text));
            assert_eq!(exported.labels, ours.labels);
        }
    }

    #[test]
    fn counters_of_3_10_end_in_total_and_nothing_else_does() {
        let (old, new) = (exported(Spelling::ZooKeeper39), exported(Spelling::ZooKeeper310));
        for ((_, old), (_, new)) in old.rules().zip(new.rules()) {
            let renamed = new.text.matches("_total").count() - old.text.matches("_total").count();
            let counters: usize = old
                .expr
                .metrics(0)
                .iter()
                .filter(|reach| {
                    reach.metric.as_deref().is_some_and(|name| COUNTERS.contains(&name))
                })
                .count();
            assert_eq!(renamed, counters, "{}", new.text);
        }
        assert_eq!(
            respelled(r#"rate(looking_count[1m]) > readlatency{quantile="0.9"} + looking_count_x"#),
            r#"rate(looking_count_total[1m]) > readlatency{quantile="0.95"} + looking_count_x"#
        );
    }

    #[test]
    fn an_operators_object_holds_the_same_groups() {
        let whole = export(
            Which::Alerts,
            &Thresholds::default(),
            Spelling::ZooKeeper39,
            Form::PrometheusRule,
        );
        let (head, groups) = whole.split_once("spec:\n").unwrap();
        assert!(head.contains("kind: PrometheusRule"));
        let groups: String =
            groups.lines().map(|line| line.strip_prefix("  ").unwrap().to_owned() + "\n").collect();
        let shipped = Catalogue::shipped().alerts().len();
        assert_eq!(RuleFile::parse("t", &groups).unwrap().rules().count(), shipped);
    }
}

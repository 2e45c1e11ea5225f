//! Findings: what a detector or a rule says when its judgement changes.

use std::collections::BTreeMap;

use wk_promql::{Labels, NAME};

use crate::fact::Fact;

/// Labels that never tell one fault from another: who asked, how bad, which rule.
const NO_IDENTITY: [&str; 5] = [NAME, "alertname", "job", "severity", "site"];

/// How bad a fault is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Severity {
    /// Worth knowing.
    Info,
    /// Someone should look soon.
    Warning,
    /// Someone must look now.
    Critical,
}

impl Severity {
    /// The word used in labels and stores.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Info => "info",
            Self::Warning => "warning",
            Self::Critical => "critical",
        }
    }
}

/// What a fault is about: its identity. Two findings with equal subjects are the same fault.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Subject {
    /// Name of the rule, such as `NodeDown`.
    pub rule: String,
    /// Name of the ensemble.
    pub ensemble: String,
    /// The server, as `host:port`.
    pub instance: Option<String>,
    /// The group of the node.
    pub group: Option<String>,
    /// The node.
    pub node: Option<String>,
    /// What else tells this alert of the rule from its siblings, such as `dir` or `channel`.
    pub labels: Labels,
}

impl Subject {
    /// What an alert of `rule` with these labels is about. Without a label `ensemble` it is about
    /// the monitor itself, and the ensemble's name is empty.
    pub fn of_alert(rule: &str, labels: &Labels) -> Self {
        let own = |name| Some(labels.get(name)).filter(|v| !v.is_empty()).map(str::to_owned);
        let known = ["ensemble", "instance", "group", "node"];
        let is_other = |name: &str| !known.contains(&name) && !NO_IDENTITY.contains(&name);
        Self {
            rule: rule.to_owned(),
            ensemble: labels.get("ensemble").to_owned(),
            instance: own("instance"),
            group: own("group"),
            node: own("node"),
            labels: Labels::new(labels.iter().filter(|(name, _)| is_other(name))),
        }
    }

    /// A server under `rule`.
    pub fn server(rule: &str, ensemble: &str, instance: &str) -> Self {
        let instance = Some(instance.to_owned());
        Self { instance, ..Self::ensemble(rule, ensemble) }
    }

    /// A whole ensemble under `rule`.
    pub fn ensemble(rule: &str, ensemble: &str) -> Self {
        Self {
            rule: rule.to_owned(),
            ensemble: ensemble.to_owned(),
            instance: None,
            group: None,
            node: None,
            labels: Labels::default(),
        }
    }
}

/// A figure as it was measured. Equal when its bits are: two NaNs are no news.
#[derive(Clone, Copy, Debug)]
pub struct Figure(pub f64);

impl PartialEq for Figure {
    fn eq(&self, other: &Self) -> bool {
        self.0.to_bits() == other.0.to_bits()
    }
}

impl Eq for Figure {}

/// What an alert says beyond its identity; empty for a detector's own findings.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Detail {
    /// All labels of the alert, those of its identity among them.
    pub labels: Labels,
    /// `summary_en`, `summary_zh`, `runbook`, `action`, `locate` and whatever else its rule has.
    pub annotations: BTreeMap<String, String>,
    /// The value that broke the rule.
    pub value: Option<Figure>,
}

/// A changed judgement. Saying the same twice does no harm.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Finding {
    /// It looks like a fault, but has not lasted yet. `Gone` takes it back.
    Pending {
        /// What it is about.
        subject: Subject,
        /// How bad it would be.
        severity: Severity,
        /// What was seen.
        facts: Vec<Fact>,
        /// What its rule says.
        detail: Detail,
    },
    /// The fault is there.
    Firing {
        /// What it is about.
        subject: Subject,
        /// How bad it is.
        severity: Severity,
        /// What was seen.
        facts: Vec<Fact>,
        /// What its rule says.
        detail: Detail,
    },
    /// The fault is gone, or never was.
    Gone {
        /// What it is about.
        subject: Subject,
        /// What was seen.
        facts: Vec<Fact>,
    },
    /// Nobody can see at present whether it is there.
    Unseen {
        /// What it is about.
        subject: Subject,
        /// Why.
        facts: Vec<Fact>,
    },
}

impl Finding {
    /// What it is about.
    pub fn subject(&self) -> &Subject {
        match self {
            Self::Pending { subject, .. }
            | Self::Firing { subject, .. }
            | Self::Gone { subject, .. }
            | Self::Unseen { subject, .. } => subject,
        }
    }

    /// A detector's own finding: a fault of which no rule says more.
    pub fn firing(subject: Subject, severity: Severity, facts: Vec<Fact>) -> Self {
        Self::Firing { subject, severity, facts, detail: Detail::default() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_alert_is_about_its_identity_labels_and_no_others() {
        let labels = [
            ("alertname", "ZkDiskFullSoon"),
            ("ensemble", "e"),
            ("instance", "h:1"),
            ("job", "zookeeper"),
            ("severity", "warning"),
            ("site", "a"),
        ];
        let dir = |dir| Labels::new(labels.into_iter().chain([("dir", dir)]));
        let subject = Subject::of_alert("ZkDiskFullSoon", &dir("/log"));
        let plain = Subject::server("ZkDiskFullSoon", "e", "h:1");
        assert_eq!(subject, Subject { labels: Labels::new([("dir", "/log")]), ..plain.clone() });
        assert_eq!(Subject::of_alert("ZkDiskFullSoon", &Labels::new(labels)), plain);
        assert_eq!(Subject::of_alert("Watchdog", &Labels::default()).ensemble, "");
    }
}

//! Findings: what a detector says when its judgement changes.

use crate::fact::Fact;

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
}

impl Subject {
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
        }
    }
}

/// A changed judgement. Saying the same twice does no harm.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Finding {
    /// The fault is there.
    Firing {
        /// What it is about.
        subject: Subject,
        /// How bad it is.
        severity: Severity,
        /// What was seen.
        facts: Vec<Fact>,
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

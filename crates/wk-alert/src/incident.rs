//! An incident: one episode of one fault, and its id.

use std::fmt;
use std::fmt::Write as _;

use sha1::{Digest, Sha1};
use wk_proto::ids::Wall;

use crate::fact::Fact;
use crate::finding::{Detail, Severity, Subject};
use crate::inhibition::Veil;
use crate::ledger::Case;

/// The hash of a [`Subject`]: equal in every replica and after every restart. 12 hex digits.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Fingerprint(pub String);

impl Fingerprint {
    /// The fingerprint of a subject.
    pub fn of(subject: &Subject) -> Self {
        let mut hash = Sha1::new();
        let optional = [&subject.instance, &subject.group, &subject.node];
        hash.update(subject.rule.as_bytes());
        hash.update([0]);
        hash.update(subject.ensemble.as_bytes());
        for part in optional {
            // Absent and empty differ, and no text can run into its neighbour.
            hash.update([0, u8::from(part.is_some())]);
            hash.update(part.as_deref().unwrap_or_default().as_bytes());
        }
        // None of these in the incidents of earlier versions: their fingerprints stay.
        for (name, value) in subject.labels.iter() {
            for part in [name, value] {
                hash.update([2]);
                hash.update(u64::try_from(part.len()).unwrap_or(u64::MAX).to_be_bytes());
                hash.update(part.as_bytes());
            }
        }
        let mut text = String::with_capacity(12);
        for byte in &hash.finalize()[..6] {
            // Writing to a string cannot fail.
            let _ = write!(text, "{byte:02x}");
        }
        Self(text)
    }
}

/// Name of an incident for people, programs and URLs: `FINGERPRINT-EPISODE`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct IncidentId(pub String);

impl IncidentId {
    /// The id of one episode of a fault.
    pub fn new(fingerprint: &Fingerprint, episode: u64) -> Self {
        Self(format!("{}-{episode}", fingerprint.0))
    }
}

impl fmt::Display for IncidentId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Where an incident stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum IncidentState {
    /// The fault is there. Whether somebody has taken it on: [`Incident::acknowledged_by`].
    Firing,
    /// It cannot be seen whether the fault is there.
    Unknown,
    /// The fault is gone.
    Resolved,
    /// The fault is gone and somebody has put it away.
    Closed,
}

/// Who speaks for an incident, so that nobody is told of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Suppressed {
    /// The incident that is its cause, the silence or the maintenance.
    pub by: String,
    /// How it is shown meanwhile.
    pub veil: Veil,
}

/// One episode of one fault.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Incident {
    /// Its name.
    pub id: IncidentId,
    /// What it is about.
    pub subject: Subject,
    /// Counts the episodes of this subject from 1.
    pub episode: u64,
    /// How bad it is.
    pub severity: Severity,
    /// Where it stands.
    pub state: IncidentState,
    /// What was seen, the latest judgement's facts.
    pub facts: Vec<Fact>,
    /// What its rule says of it.
    pub detail: Detail,
    /// When the fault was first seen in this episode.
    pub first_seen: Wall,
    /// When the judgement last changed or was last confirmed by new facts.
    pub last_seen: Wall,
    /// When the fault was last seen to be gone; kept while it is back within the hold time.
    pub healed_at: Option<Wall>,
    /// When it last came back within the hold time.
    pub reopened_at: Option<Wall>,
    /// How often it came back within the hold time.
    pub flaps: u32,
    /// Who took it on.
    pub acknowledged_by: Option<String>,
    /// Until when that holds: nothing is taken on for ever.
    pub acknowledged_until: Option<Wall>,
    /// Set while nobody is told of it. A resolved incident keeps none.
    pub suppressed: Option<Suppressed>,
}

impl Incident {
    /// Whether the fault is or may be there.
    pub fn is_open(&self) -> bool {
        matches!(self.state, IncidentState::Firing | IncidentState::Unknown)
    }

    /// When the fault began that lasts now.
    pub fn began_at(&self) -> Wall {
        self.reopened_at.unwrap_or(self.first_seen)
    }

    /// Takes the latest judgement.
    pub(crate) fn see(&mut self, at: Wall, case: Case) {
        (self.severity, self.facts, self.detail) = (case.severity, case.facts, case.detail);
        self.last_seen = at;
    }

    /// When the fault was seen to be gone, if it is.
    pub fn resolved_at(&self) -> Option<Wall> {
        if self.is_open() { None } else { self.healed_at }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fingerprints_tell_absent_from_empty_and_parts_apart() {
        let base = Subject::ensemble("NodeDown", "local");
        let other = |name, value| Subject {
            labels: wk_promql::Labels::new([(name, value)]),
            ..base.clone()
        };
        let with = |group: Option<&str>, node: &str| Subject {
            group: group.map(str::to_owned),
            node: Some(node.to_owned()),
            ..base.clone()
        };
        let all = [
            base.clone(),
            with(None, "ab"),
            with(Some(""), "ab"),
            with(Some("a"), "b"),
            other("dir", "ab"),
            other("dira", "b"),
            other("di", "rab"),
        ];
        let prints: Vec<_> = all.iter().map(Fingerprint::of).collect();
        let different: std::collections::BTreeSet<_> = prints.iter().collect();
        assert_eq!(different.len(), all.len());
        assert_eq!(Fingerprint::of(&all[1]), Fingerprint::of(&with(None, "ab")));
        assert_eq!(prints[0].0.len(), 12);
    }

    /// Ids in stores, mails and tickets outlive a release.
    #[test]
    fn fingerprints_are_those_of_the_first_release() {
        let node = Subject {
            group: Some("app".into()),
            node: Some("a".into()),
            ..Subject::ensemble("NodeDown", "local")
        };
        assert_eq!(Fingerprint::of(&node).0, "8a017a3dd441");
        let server = Subject::server("ZkServerUnreachable", "prod", "zk1:2181");
        assert_eq!(Fingerprint::of(&server).0, "cc65a7480b71");
    }
}

//! The history of everything, as every outside reader sees it: who did what, and when.

use serde::{Deserialize, Serialize};

use crate::time::Timestamp;

/// Lines of one answer, at most; older ones are asked for by [`AuditPage::next`].
pub const AUDIT_LINES_MAX: usize = 1000;

/// One line of the history of an incident, a silence or a maintenance window.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct AuditEntry {
    /// Its number: lines written later have larger ones.
    pub id: u64,
    /// When.
    pub at: Timestamp,
    /// Who: `monitor`, or the name somebody acted under.
    pub actor: String,
    /// The id of the incident, the silence or the maintenance window.
    pub about: String,
    /// What, in the monitor's language.
    pub text: String,
}

/// Some lines, the newest first.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct AuditPage {
    /// The lines.
    pub audit: Vec<AuditEntry>,
    /// What to ask for as `before` to read on; none at the oldest line that is kept.
    pub next: Option<u64>,
}

//! Silences and maintenance windows as every outside reader sees them.

use serde::{Deserialize, Serialize};
use wk_alert::{Ledger, Scope, Silence as Core};

use crate::time::Timestamp;

/// A time in which nobody is told of the faults that meet its conditions.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Silence {
    /// Its name.
    pub id: String,
    /// Conditions that the labels of an incident must all meet.
    pub matchers: Vec<String>,
    /// When it holds, and who wants it.
    #[serde(flatten)]
    pub term: Term,
}

/// A time in which an ensemble, or one of its servers, is worked on.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Maintenance {
    /// Its name.
    pub id: String,
    /// The ensemble.
    pub ensemble: String,
    /// Its server, as `host:port`; none is all of it.
    pub server: Option<String>,
    /// When it holds, and who wants it.
    #[serde(flatten)]
    pub term: Term,
}

/// What silences and maintenance windows have in common; in JSON beside the other fields.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Term {
    /// Who wants it.
    pub by: String,
    /// Why.
    pub reason: String,
    /// Since when.
    pub starts_at: Timestamp,
    /// Until when; once it is over, when it ended.
    pub ends_at: Timestamp,
    /// Whether it holds now.
    pub active: bool,
    /// Who ended it before its time.
    pub ended_by: Option<String>,
    /// Ids of the open incidents of which nobody is told because of it.
    pub suppresses: Vec<String>,
}

/// A core silence in the outside's types.
pub(crate) enum Either {
    Silence(Silence),
    Maintenance(Maintenance),
}

pub(crate) fn show(core: &Core, ledger: &Ledger) -> Either {
    let active = ledger.silences_in_force().any(|silence| silence.id == core.id);
    let by_it = |incident: &&wk_alert::Incident| {
        incident.suppressed.as_ref().is_some_and(|suppressed| suppressed.by == core.id.0)
    };
    let suppressed = ledger.incidents().values().filter(by_it).filter(|_| active);
    let term = Term {
        by: core.by.clone(),
        reason: core.reason.clone(),
        starts_at: core.starts_at.into(),
        ends_at: core.ends_at.into(),
        active,
        ended_by: core.ended_by.clone(),
        suppresses: suppressed.map(|incident| incident.id.0.clone()).collect(),
    };
    let id = core.id.0.clone();
    match &core.scope {
        Scope::Matching(_) => {
            Either::Silence(Silence { id, matchers: core.scope.conditions(), term })
        }
        Scope::Maintenance { ensemble, server } => {
            let (ensemble, server) = (ensemble.clone(), server.clone());
            Either::Maintenance(Maintenance { id, ensemble, server, term })
        }
    }
}

/// All of both kinds, newest first.
pub(crate) fn all(ledger: &Ledger) -> (Vec<Silence>, Vec<Maintenance>) {
    let (mut silences, mut windows) = (Vec::new(), Vec::new());
    for core in ledger.silences().values() {
        match show(core, ledger) {
            Either::Silence(silence) => silences.push(silence),
            Either::Maintenance(window) => windows.push(window),
        }
    }
    silences.sort_by_key(|silence| std::cmp::Reverse(silence.term.starts_at));
    windows.sort_by_key(|window| std::cmp::Reverse(window.term.starts_at));
    (silences, windows)
}

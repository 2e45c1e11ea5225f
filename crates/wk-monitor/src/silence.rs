//! Silences and maintenance windows as every outside reader sees them.

use std::cmp::Reverse;
use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use wk_alert::{Ledger, Scope, Silence as Core, SilenceId};

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

/// Ids of the open incidents of which nobody is told, by who speaks for them.
type Hushed<'l> = BTreeMap<&'l str, Vec<String>>;

/// One pass over the incidents, however many silences there are.
fn hushed(ledger: &Ledger) -> Hushed<'_> {
    let mut hushed = Hushed::new();
    for incident in ledger.incidents().values() {
        if let Some(suppressed) = &incident.suppressed {
            let ids = hushed.entry(suppressed.by.as_str()).or_default();
            ids.push(incident.id.0.clone());
        }
    }
    hushed
}

/// One of them.
pub(crate) fn show(id: &SilenceId, ledger: &Ledger) -> Option<Either> {
    let core = ledger.silences().get(id)?;
    let mut hushed = if ledger.is_in_force(id) { hushed(ledger) } else { Hushed::new() };
    Some(drawn(core, ledger, &mut hushed))
}

fn drawn(core: &Core, ledger: &Ledger, hushed: &mut Hushed<'_>) -> Either {
    let active = ledger.is_in_force(&core.id);
    let suppresses = hushed.remove(core.id.0.as_str()).filter(|_| active).unwrap_or_default();
    let term = Term {
        by: core.by.clone(),
        reason: core.reason.clone(),
        starts_at: core.starts_at.into(),
        ends_at: core.ends_at.into(),
        active,
        ended_by: core.ended_by.clone(),
        suppresses,
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

/// All of both kinds: those in force first, of each the newest first.
pub(crate) fn all(ledger: &Ledger) -> (Vec<Silence>, Vec<Maintenance>) {
    let (mut silences, mut windows) = (Vec::new(), Vec::new());
    let mut hushed = hushed(ledger);
    for core in ledger.silences().values() {
        match drawn(core, ledger, &mut hushed) {
            Either::Silence(silence) => silences.push(silence),
            Either::Maintenance(window) => windows.push(window),
        }
    }
    silences.sort_by_key(|silence| silence.term.order());
    windows.sort_by_key(|window| window.term.order());
    (silences, windows)
}

impl Term {
    fn order(&self) -> (Reverse<bool>, Reverse<Timestamp>) {
        (Reverse(self.active), Reverse(self.starts_at))
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use wk_alert::{Finding, Now, Policy, Saved, Severity, Subject};
    use wk_proto::ids::{Mono, Wall};

    fn at(seconds: u32) -> Now {
        let nanos = u64::from(seconds) * 1_000_000_000;
        Now { mono: Mono(nanos), wall: Wall(i64::from(seconds) * 1000) }
    }

    #[test]
    fn each_silence_has_its_own_incidents_and_those_in_force_come_first() {
        let mut ledger = Ledger::restore(Policy::default(), Saved::default(), at(0));
        let hour = Duration::from_hours(1);
        let add = |ledger: &mut Ledger, second, rule: &str| {
            let scope = Scope::parse(&[format!("rule={rule}")]).unwrap();
            ledger.silence(at(second), scope, hour, "ann", "").unwrap()
        };
        let (a, b, over) =
            (add(&mut ledger, 1, "A"), add(&mut ledger, 2, "B"), add(&mut ledger, 3, "C"));
        for rule in ["A", "B", "C", "D"] {
            let subject = Subject::ensemble(rule, "e");
            ledger.find(at(4), Finding::firing(subject, Severity::Warning, vec![]));
        }
        ledger.tick(at(4));
        ledger.end_silence(at(5), &over, "ann").unwrap();
        ledger.tick(at(5));
        let (silences, windows) = all(&ledger);
        let shown = |silence: &Silence| {
            let rules = silence.term.suppresses.iter().map(|id| {
                let incidents = ledger.incidents();
                incidents[&wk_alert::IncidentId(id.clone())].subject.rule.clone()
            });
            (silence.id.clone(), rules.collect::<Vec<_>>().join(" "))
        };
        let told: Vec<_> = silences.iter().map(shown).collect();
        let wanted = [(b.0.clone(), "B"), (a.0, "A"), (over.0, "")];
        assert_eq!(told, wanted.map(|(id, rules)| (id, rules.to_owned())));
        assert!(windows.is_empty());
        let Some(Either::Silence(one)) = show(&b, &ledger) else { panic!("kept") };
        assert_eq!(shown(&one), (b.0, "B".to_owned()));
    }
}

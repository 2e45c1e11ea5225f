//! Judging: what the rules claim, held against what can be seen, becomes findings.
//!
//! The rules know samples and nothing else. Here their alerts meet the monitor's own view: a fault
//! that vanishes together with the sight of its subject is unseen, not gone; silence everywhere at
//! once is one fault of the view, not one of every server; and what detectors know of a subject is
//! the evidence. Pure: the shell says what was claimed, what can be seen and what time it is.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use wk_proto::ids::Mono;

use crate::Now;
use crate::fact::{Fact, FactKind};
use crate::finding::{Detail, Finding, Severity, Subject};
use crate::locate;
use crate::server::{NOT_SERVING, UNREACHABLE};
use crate::sight::{Blindness, Sight, SightPolicy};

/// The monitor sees none of several servers.
pub const MONITOR_BLIND: &str = "MonitorBlind";

/// Rules that judge by any look at a server, answered or not; all others need its figures.
const BY_LOOK: [&str; 6] =
    [UNREACHABLE, NOT_SERVING, "ZkServerReadOnly", "ZkNoLeader", "ZkTwoLeaders", "ZkCanaryFailing"];

/// What a rule claims at present.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Claim {
    /// What it is about.
    pub subject: Subject,
    /// How bad the rule says it is.
    pub severity: Severity,
    /// What the rule says.
    pub detail: Detail,
    /// Whether it has lasted as long as the rule wants.
    pub fires: bool,
}

/// Bounds of judging.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct JudgePolicy {
    /// What is believed of what was seen.
    pub sight: SightPolicy,
    /// How often a firing fault of which only the value moves is said anew. Default 1 min.
    pub repeat: Duration,
}

impl Default for JudgePolicy {
    fn default() -> Self {
        Self { sight: SightPolicy::default(), repeat: Duration::from_mins(1) }
    }
}

/// What is asked of those who know a subject.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ask {
    /// Where its fault is, and what was seen.
    PlaceAndSeen,
    /// What was seen alone: the place is known already, or the fault is over.
    Seen,
}

/// Those who know a subject.
pub type Knows<'a> = &'a dyn Fn(&Subject, Ask) -> Vec<Fact>;

/// How the ledger was last told that a subject stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Told {
    /// It looks like a fault.
    Pending,
    /// It is there.
    Firing,
    /// It cannot be seen.
    Unseen,
    /// An earlier run said that it is there.
    Adopted,
}

#[derive(Clone, Debug)]
struct Standing {
    told: Told,
    at: Mono,
    severity: Severity,
    facts: Vec<Fact>,
    detail: Detail,
}

/// Turns claims into findings; remembers what it said.
#[derive(Clone, Debug, Default)]
pub struct Judge {
    policy: JudgePolicy,
    standings: BTreeMap<Subject, Standing>,
    blind: bool,
}

impl Judge {
    /// A judge who has said nothing yet.
    pub fn new(policy: JudgePolicy) -> Self {
        Self { policy, ..Self::default() }
    }

    /// Goes on from a fault that an earlier run said is there.
    pub fn adopt(&mut self, now: Now, subject: Subject, severity: Severity) {
        if subject.rule == MONITOR_BLIND {
            self.blind = true;
            return;
        }
        let (facts, detail) = (Vec::new(), Detail::default());
        let standing = Standing { told: Told::Adopted, at: now.mono, severity, facts, detail };
        self.standings.insert(subject, standing);
    }

    /// Forgets what is not watched any more, without a word.
    pub fn retire(&mut self, watched: impl Fn(&Subject) -> bool) {
        self.standings.retain(|subject, _| watched(subject));
    }

    /// Holds everything that the rules claim at this instant against `sight`; `facts` gives what
    /// detectors know of a subject. Not to be called while nobody has looked since a pause.
    pub fn step(
        &mut self,
        now: Now,
        claims: Vec<Claim>,
        sight: &Sight,
        facts: Knows<'_>,
        out: &mut Vec<Finding>,
    ) {
        let blindness = sight.blindness(now.mono, &self.policy.sight);
        self.say_view(blindness, sight, out);
        let mut claimed = BTreeSet::new();
        for mut claim in claims.into_iter().filter(|claim| sight.watches(&claim.subject)) {
            claimed.insert(claim.subject.clone());
            let known = sight.ensembles.contains_key(&claim.subject.ensemble);
            let doubted = known && blindness != Blindness::Sees
                || !sight.is_confirmed(now.mono, &self.policy.sight, &claim.subject);
            if doubted {
                self.doubt(now, claim, blindness, out);
                continue;
            }
            if claim.subject.rule == UNREACHABLE && is_alone(sight, &claim.subject.ensemble) {
                claim.severity = Severity::Critical;
            }
            let adopted = self.standings.get(&claim.subject);
            let adopted = adopted.is_some_and(|standing| standing.told == Told::Adopted);
            if adopted && !sight.shows(now.mono, &self.policy.sight, &claim.subject, true) {
                // A restored alert, before anybody has looked again: it was told already.
                continue;
            }
            let seen = self.known(&claim.subject, facts);
            self.say(now, claim, seen, out);
        }
        let missing = self.standings.keys().filter(|subject| !claimed.contains(*subject));
        for subject in missing.cloned().collect::<Vec<_>>() {
            self.miss(now, subject, sight, blindness, facts, out);
        }
    }

    /// What is known of a fault. Where it is was found when it began to fire: what it shows later,
    /// when others have taken over, accuses them.
    fn known(&self, subject: &Subject, facts: Knows<'_>) -> Vec<Fact> {
        let standing = self.standings.get(subject).filter(|s| s.told == Told::Firing);
        let Some(standing) = standing else { return facts(subject, Ask::PlaceAndSeen) };
        let places = standing.facts.iter().filter(|fact| locate::is_cause(fact));
        places.cloned().chain(facts(subject, Ask::Seen)).collect()
    }

    /// The one fault of the view itself.
    fn say_view(&mut self, blindness: Blindness, sight: &Sight, out: &mut Vec<Finding>) {
        let subject = || Subject::ensemble(MONITOR_BLIND, "");
        match blindness {
            Blindness::Blind if !self.blind => {
                self.blind = true;
                let servers = sight.ensembles.values().map(|e| e.servers.len()).sum::<usize>();
                let names: Vec<&str> = sight.ensembles.keys().map(String::as_str).collect();
                let args = [servers.to_string(), names.join(", ")];
                let facts = vec![Fact::new(FactKind::AllSilent, args)];
                out.push(Finding::firing(subject(), Severity::Critical, facts));
            }
            Blindness::Sees if self.blind => {
                self.blind = false;
                let facts = vec![Fact::new(FactKind::ViewBack, [])];
                out.push(Finding::Gone { subject: subject(), facts });
            }
            Blindness::Blind | Blindness::Doubtful | Blindness::Sees => (),
        }
    }

    /// A claim that may be the view's own fault: nothing new is said; what was said before cannot
    /// be seen while the monitor is blind.
    fn doubt(&mut self, now: Now, claim: Claim, blindness: Blindness, out: &mut Vec<Finding>) {
        let standing = self.standings.get(&claim.subject).map(|standing| standing.told);
        match standing {
            Some(Told::Firing | Told::Adopted) if blindness == Blindness::Blind => {
                self.unsee(now, claim.subject, None, out);
            }
            Some(_) => (),
            None => self.say(now, Claim { fires: false, ..claim }, Vec::new(), out),
        }
    }

    fn say(&mut self, now: Now, claim: Claim, facts: Vec<Fact>, out: &mut Vec<Finding>) {
        let Claim { subject, severity, detail, fires } = claim;
        let told = if fires { Told::Firing } else { Told::Pending };
        if let Some(old) = self.standings.get(&subject) {
            // Once it fired it is there until it is gone, whatever its rule begins to count anew.
            if !fires && old.told != Told::Pending {
                return;
            }
            let alike = old.told == told && old.severity == severity && old.facts == facts;
            let due = now.mono.since(old.at) >= self.policy.repeat;
            if alike && (old.detail == detail || !due) {
                return;
            }
        }
        let at = now.mono;
        let (told_facts, told_detail) = (facts.clone(), detail.clone());
        let standing = Standing { told, at, severity, facts: told_facts, detail: told_detail };
        self.standings.insert(subject.clone(), standing);
        out.push(if fires {
            Finding::Firing { subject, severity, facts, detail }
        } else {
            Finding::Pending { subject, severity, facts, detail }
        });
    }

    /// No rule claims it any more: it is gone if that can be seen.
    fn miss(
        &mut self,
        now: Now,
        subject: Subject,
        sight: &Sight,
        blindness: Blindness,
        facts: Knows<'_>,
        out: &mut Vec<Finding>,
    ) {
        let Some(standing) = self.standings.get(&subject) else { return };
        let by_look = BY_LOOK.contains(&subject.rule.as_str());
        let known = sight.ensembles.contains_key(&subject.ensemble);
        let sees = blindness == Blindness::Sees || !known;
        if sees && sight.shows(now.mono, &self.policy.sight, &subject, by_look) {
            self.standings.remove(&subject);
            // What looks well now says nothing of where the fault was.
            let facts = facts(&subject, Ask::Seen);
            out.push(Finding::Gone { subject, facts });
            return;
        }
        match standing.told {
            // Nobody was told anything.
            Told::Pending => {
                self.standings.remove(&subject);
                out.push(Finding::Gone { subject, facts: Vec::new() });
            }
            Told::Firing | Told::Adopted => {
                let barred = sight.is_barred(&subject).then_some(facts);
                self.unsee(now, subject, barred, out);
            }
            Told::Unseen => (),
        }
    }

    /// What was told cannot be seen any more. `barred`: its server is there and does not let the
    /// monitor in, and why.
    fn unsee(
        &mut self,
        now: Now,
        subject: Subject,
        barred: Option<Knows<'_>>,
        out: &mut Vec<Finding>,
    ) {
        let Some(standing) = self.standings.get_mut(&subject) else { return };
        (standing.told, standing.at) = (Told::Unseen, now.mono);
        let instance = subject.instance.clone();
        let facts = match (instance, barred) {
            (Some(instance), Some(knows)) => {
                let why = knows(&subject, Ask::Seen).into_iter();
                let why = why.filter(|fact| fact.kind == FactKind::Barred);
                [Fact::new(FactKind::Unjudged, [instance])].into_iter().chain(why).collect()
            }
            (Some(instance), None) => vec![Fact::new(FactKind::FiguresUnseen, [instance])],
            (None, _) => vec![Fact::new(FactKind::SightLost, [subject.ensemble.clone()])],
        };
        out.push(Finding::Unseen { subject, facts });
    }
}

fn is_alone(sight: &Sight, ensemble: &str) -> bool {
    sight.ensembles.get(ensemble).is_some_and(|ensemble| ensemble.servers.len() == 1)
}

#[cfg(test)]
mod tests;

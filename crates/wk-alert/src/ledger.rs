//! The ledger: findings become incidents, incidents become outbox entries, all of it durable first.
//!
//! Nothing is sent that is not stored: [`Ledger::take_batch`] hands out what must be written in one
//! transaction, and only [`Ledger::committed`] hands out the messages to send. Whatever happens
//! between any two of these steps, [`Ledger::restore`] goes on from what was stored: a message whose
//! answer was not stored is sent again under the same key.
//!
//! Times that decide (the hold time, an expiry, the end of a silence) run on the monotonic clock
//! within one run: a wall clock that is set back or forth delays no alarm and loses none. Across
//! a restart the wall clock tells how much of them is left, never more than the whole.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use wk_proto::ids::{Mono, Wall};

use crate::Now;
use crate::fact::{Fact, FactKind};
use crate::finding::{Detail, Finding, Severity, Subject};
use crate::incident::{Fingerprint, Incident, IncidentId};
use crate::inhibition::{Healing, LINGER_MAX};
use crate::outbox::{Bundle, ChannelPolicy, Entry, EntryKey, Lane, Phase};
use crate::silence::{Silence, SilenceId};

mod delivery;
mod life;
mod quiet;

pub use delivery::ChannelFigures;

/// What is in front of an ensemble's name where a line of history is about it; no id begins so.
pub const ABOUT_ENSEMBLE: &str = "ensemble/";

/// Who does what nobody else did.
const MONITOR: &str = "monitor";

/// How incidents are kept.
#[derive(Clone, Debug)]
pub struct Policy {
    /// A fault that comes back within this time is the same episode. Default 5 min.
    pub hold: Duration,
    /// How long somebody who took an incident on is believed to look after it. Default 1 h.
    pub ack_for: Duration,
    /// How long additions to a group are gathered after its last message. Default 30 s.
    pub group_wait: Duration,
    /// Incidents in one message, at most. Default 50.
    pub bundle_max: usize,
    /// How long an ensemble needs after an election where its servers do not tell.
    pub healing: Healing,
    /// How long a fault waits for a cause that is about to be found. Default 5 s.
    pub cause_wait: Duration,
    /// Figures of a fault that lasts are stored at most this often. Default 15 s.
    pub refresh: Duration,
    /// How long resolved incidents and ended silences are kept. Default 90 days.
    pub retention: Duration,
    /// How many incidents are kept; the oldest resolved ones go first. Default 10 000.
    pub incidents_max: usize,
    /// How many silences may be in force. Default 1000.
    pub silences_max: usize,
    /// How many that are over are kept; those that ended first go first. Default 1000.
    pub silences_over_max: usize,
    /// Where notifications go.
    pub channels: Vec<ChannelPolicy>,
    /// Seeds the spread of retries.
    pub seed: u64,
}

impl Default for Policy {
    fn default() -> Self {
        Self {
            hold: Duration::from_mins(5),
            ack_for: Duration::from_hours(1),
            group_wait: Duration::from_secs(30),
            bundle_max: 50,
            healing: Healing::default(),
            cause_wait: Duration::from_secs(5),
            refresh: Duration::from_secs(15),
            retention: Duration::from_hours(2160),
            incidents_max: 10_000,
            silences_max: 1000,
            silences_over_max: 1000,
            channels: Vec::new(),
            seed: 0,
        }
    }
}

/// One line of history.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AuditLine {
    /// When.
    pub at: Wall,
    /// Who: `monitor`, or the name somebody acted under.
    pub actor: String,
    /// The id of the incident or of the silence it is about, or [`ABOUT_ENSEMBLE`] and a name.
    pub about: String,
    /// What.
    pub fact: Fact,
}

/// What must be written in one transaction. A value of none is a deletion.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Batch {
    /// Incidents as they now are.
    pub incidents: BTreeMap<IncidentId, Option<Incident>>,
    /// Outbox entries as they now are.
    pub entries: BTreeMap<EntryKey, Option<Entry>>,
    /// The last episode of each fault, and the last number of a silence; never deleted, so that no
    /// id is ever used twice.
    pub episodes: BTreeMap<Fingerprint, u64>,
    /// Silences as they now are.
    pub silences: BTreeMap<SilenceId, Option<Silence>>,
    /// New history.
    pub audit: Vec<AuditLine>,
}

impl Batch {
    /// Whether there is nothing to write.
    pub fn is_empty(&self) -> bool {
        self.incidents.is_empty()
            && self.entries.is_empty()
            && self.episodes.is_empty()
            && self.silences.is_empty()
            && self.audit.is_empty()
    }
}

/// What a store gives back at the start.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Saved {
    /// All incidents kept.
    pub incidents: Vec<Incident>,
    /// All outbox entries kept.
    pub entries: Vec<Entry>,
    /// The last episode of each fault, and the last number of a silence.
    pub episodes: BTreeMap<Fingerprint, u64>,
    /// All silences kept.
    pub silences: Vec<Silence>,
}

/// Why an action is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum LedgerError {
    /// There is no such incident or silence.
    #[error("there is none of that name")]
    NotFound,
    /// The fault is over: there is nothing to take on.
    #[error("the fault is over")]
    NotOpen,
    /// The fault is still there: putting it away would only hide it.
    #[error("the fault is still there")]
    StillFiring,
    /// The silence is over already.
    #[error("it is over already")]
    AlreadyOver,
    /// As many silences as may be are in force.
    #[error("too many silences are in force")]
    TooManySilences,
    /// It would be over before it begins, or last longer than anything is kept.
    #[error("must last longer than no time and at most {}, as incidents are kept", words(*.most))]
    BadDuration {
        /// How long it may last.
        most: Duration,
    },
}

/// A fault that has not lasted yet: shown, but neither stored nor told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pending {
    /// The id it will have as an incident.
    pub id: IncidentId,
    /// How it looks.
    pub case: Case,
    /// Since when.
    pub since: Wall,
}

/// A fault as it was judged.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Case {
    /// What it is about.
    pub subject: Subject,
    /// How bad it is.
    pub severity: Severity,
    /// What was seen.
    pub facts: Vec<Fact>,
    /// What its rule says.
    pub detail: Detail,
}

/// An ensemble and a rule in it.
type RuleIn = (String, String);

fn rule_in(subject: &Subject) -> RuleIn {
    (subject.ensemble.clone(), subject.rule.clone())
}

/// All incidents and all notifications.
#[derive(Clone, Debug)]
pub struct Ledger {
    policy: Policy,
    /// Of the ensembles whose servers tell how long they need.
    healing: BTreeMap<String, Healing>,
    incidents: BTreeMap<IncidentId, Incident>,
    doubts: BTreeMap<Fingerprint, Pending>,
    episodes: BTreeMap<Fingerprint, u64>,
    entries: BTreeMap<EntryKey, Entry>,
    silences: BTreeMap<SilenceId, Silence>,
    /// Open incidents and those in `ended`, by rule.
    by_rule: BTreeMap<RuleIn, BTreeSet<IncidentId>>,
    /// Incidents whose rule names further causes, by cause; may hold some that no longer do.
    by_named_cause: BTreeMap<RuleIn, BTreeSet<IncidentId>>,
    /// Pending faults, by rule.
    doubts_by_rule: BTreeMap<RuleIn, BTreeSet<Fingerprint>>,
    /// When what ended lately did.
    ended: BTreeMap<IncidentId, Past>,
    /// When what came back within the hold time becomes an episode of its own.
    reopened: BTreeMap<IncidentId, Mono>,
    /// When nobody is believed any more to look after an incident.
    acks: BTreeMap<IncidentId, Mono>,
    /// When a silence in force ends.
    silence_ends: BTreeMap<SilenceId, Mono>,
    /// Open incidents whose telling or not is to be judged, and those to be judged later.
    unjudged: BTreeSet<IncidentId>,
    rejudge: BTreeMap<IncidentId, Mono>,
    /// Faults that wait for their cause, with the end of their patience.
    waits: BTreeMap<IncidentId, Mono>,
    /// Incidents with figures newer than what is stored, with the instant to store them.
    unsaved: BTreeMap<IncidentId, Mono>,
    /// What is neither sent nor over, in order, by channel.
    waiting: BTreeMap<(String, u64), delivery::Waiting>,
    lanes: BTreeMap<String, Lane>,
    windows: BTreeMap<delivery::GroupKey, delivery::GroupWindow>,
    next_seq: u64,
    /// Not stored yet.
    batch: Batch,
    /// Marked as sent in `batch`, to be handed out once that is stored.
    marked: Vec<Bundle>,
    last_sweep: Mono,
}

impl Ledger {
    /// Goes on from what was stored.
    ///
    /// An open incident of which a channel has not been told (because it is new) is queued for it.
    pub fn restore(policy: Policy, saved: Saved, now: Now) -> Self {
        let lanes = policy.channels.iter();
        let lanes = lanes.map(|c| (c.name.clone(), Lane::new(c.clone()))).collect();
        let mut ledger = Self {
            policy,
            healing: BTreeMap::new(),
            incidents: BTreeMap::new(),
            doubts: BTreeMap::new(),
            episodes: saved.episodes,
            entries: BTreeMap::new(),
            silences: BTreeMap::new(),
            by_rule: BTreeMap::new(),
            by_named_cause: BTreeMap::new(),
            doubts_by_rule: BTreeMap::new(),
            ended: BTreeMap::new(),
            reopened: BTreeMap::new(),
            acks: BTreeMap::new(),
            silence_ends: BTreeMap::new(),
            unjudged: BTreeSet::new(),
            rejudge: BTreeMap::new(),
            waits: BTreeMap::new(),
            unsaved: BTreeMap::new(),
            waiting: BTreeMap::new(),
            lanes,
            windows: BTreeMap::new(),
            next_seq: 0,
            batch: Batch::default(),
            marked: Vec::new(),
            last_sweep: now.mono,
        };
        for silence in saved.silences {
            ledger.adopt_silence(silence, now);
        }
        for incident in saved.incidents {
            ledger.adopt_incident(incident, now);
        }
        for entry in saved.entries {
            ledger.adopt(entry, now);
        }
        ledger
    }

    fn adopt_incident(&mut self, incident: Incident, now: Now) {
        let id = incident.id.clone();
        let remember = LINGER_MAX.max(self.policy.hold);
        let healed = incident.healed_at.map(|at| span(at, now.wall));
        if incident.is_open() {
            self.index(&incident);
            self.unjudged.insert(id.clone());
            if let Some(ago) = healed {
                let left = self.policy.hold.saturating_sub(ago);
                self.reopened.insert(id.clone(), now.mono.after(left));
            }
        } else if let Some(ago) = healed.filter(|ago| *ago < remember) {
            self.index(&incident);
            self.ended.insert(id.clone(), Past { seen: now.mono, ago });
        }
        let (is_open, by, until) =
            (incident.is_open(), &incident.acknowledged_by, incident.acknowledged_until);
        // Earlier versions knew no end of it.
        let endless = is_open && by.is_some() && until.is_none();
        self.incidents.insert(id.clone(), incident);
        if endless {
            let until = later(now.wall, self.policy.ack_for);
            self.change(&id, |incident| incident.acknowledged_until = Some(until));
        }
        if is_open {
            self.watch_ack(now, &id);
        }
    }

    /// The servers of an ensemble tell how long it needs after an election.
    pub fn set_healing(&mut self, ensemble: &str, healing: Healing) {
        self.healing.insert(ensemble.to_owned(), healing);
    }

    /// How long an ensemble needs after an election.
    pub fn healing(&self, ensemble: &str) -> Healing {
        self.healing.get(ensemble).copied().unwrap_or(self.policy.healing)
    }

    /// All incidents kept, by id.
    pub fn incidents(&self) -> &BTreeMap<IncidentId, Incident> {
        &self.incidents
    }

    /// All outbox entries kept.
    pub fn entries(&self) -> &BTreeMap<EntryKey, Entry> {
        &self.entries
    }

    /// All silences and maintenance windows kept, those that are over among them.
    pub fn silences(&self) -> &BTreeMap<SilenceId, Silence> {
        &self.silences
    }

    /// What has not lasted long enough to be an incident.
    pub fn pending(&self) -> impl Iterator<Item = &Pending> {
        self.doubts.values()
    }

    /// The open incident about `subject`.
    pub fn open(&self, subject: &Subject) -> Option<&Incident> {
        self.latest(&Fingerprint::of(subject)).filter(|incident| incident.is_open())
    }

    /// Takes a detector's or a rule's judgement.
    pub fn find(&mut self, now: Now, finding: Finding) {
        match finding {
            Finding::Pending { subject, severity, facts, detail } => {
                self.doubt(now, Case { subject, severity, facts, detail });
            }
            Finding::Firing { subject, severity, facts, detail } => {
                self.fire(now, Case { subject, severity, facts, detail });
            }
            Finding::Gone { subject, facts } => {
                self.dispel(&Fingerprint::of(&subject));
                self.heal(now, &subject, facts);
            }
            Finding::Unseen { subject, facts } => {
                self.dispel(&Fingerprint::of(&subject));
                self.lose_sight(now, &subject, facts);
            }
        }
    }

    /// Resolves the open incidents that nobody watches any more.
    pub fn retire(&mut self, now: Now, watched: impl Fn(&Subject) -> bool) {
        let orphans = self.incidents.values().filter(|i| i.is_open() && !watched(&i.subject));
        let orphans: Vec<Subject> = orphans.map(|i| i.subject.clone()).collect();
        for subject in orphans {
            self.heal(now, &subject, vec![Fact::new(FactKind::NoLongerWatched, [])]);
        }
        let pending = self.doubts.iter().filter(|(_, doubt)| !watched(&doubt.case.subject));
        for fingerprint in pending.map(|(print, _)| print.clone()).collect::<Vec<_>>() {
            self.dispel(&fingerprint);
        }
    }

    /// Does what time alone brings, and judges who is to be told of what was found since the last
    /// call: to be called before each [`Self::take_batch`], and at least once a second.
    pub fn tick(&mut self, now: Now) {
        for id in due(&mut self.reopened, now.mono) {
            self.promote(now, &id);
        }
        for id in due(&mut self.acks, now.mono) {
            self.forget_ack(now, &id);
        }
        for id in due(&mut self.unsaved, now.mono) {
            self.change(&id, |_| ());
        }
        let remember = LINGER_MAX.max(self.policy.hold);
        let old = self.ended.iter().filter(|(_, past)| past.age(now.mono) >= remember);
        for id in old.map(|(id, _)| id.clone()).collect::<Vec<_>>() {
            self.ended.remove(&id);
            self.unindex(&id);
        }
        self.end_silences(now);
        self.judge(now);
        self.expire(now);
        if now.mono.since(self.last_sweep) >= Duration::from_mins(1) {
            self.last_sweep = now.mono;
            self.sweep(now);
        }
    }

    /// What must be stored now, in one transaction; call [`Self::committed`] when it is, or
    /// [`Self::commit_failed`] with it when it could not be.
    pub fn take_batch(&mut self) -> Batch {
        std::mem::take(&mut self.batch)
    }

    /// The batch could not be stored: it comes again with the next one, and nothing of it is sent.
    pub fn commit_failed(&mut self, batch: Batch) {
        let newer = std::mem::replace(&mut self.batch, batch);
        self.batch.incidents.extend(newer.incidents);
        self.batch.entries.extend(newer.entries);
        self.batch.episodes.extend(newer.episodes);
        self.batch.silences.extend(newer.silences);
        self.batch.audit.extend(newer.audit);
    }

    fn latest(&self, fingerprint: &Fingerprint) -> Option<&Incident> {
        let episode = self.episodes.get(fingerprint)?;
        self.incidents.get(&IncidentId::new(fingerprint, *episode))
    }

    /// The number after the last one used under `name`, which is used from now on.
    fn next_number(&mut self, name: Fingerprint) -> u64 {
        let number = self.episodes.get(&name).map_or(1, |last| last + 1);
        self.episodes.insert(name.clone(), number);
        self.batch.episodes.insert(name, number);
        number
    }

    /// Changes an incident and has it stored.
    fn change(&mut self, id: &IncidentId, change: impl FnOnce(&mut Incident)) {
        let Some(incident) = self.incidents.get_mut(id) else { return };
        change(incident);
        self.unsaved.remove(id);
        self.batch.incidents.insert(id.clone(), Some(incident.clone()));
    }

    /// Adds a line of history about an incident that is kept.
    pub fn remark(&mut self, now: Now, id: &IncidentId, actor: &str, fact: Fact) {
        if self.incidents.contains_key(id) {
            self.note(now, id, actor, fact);
        }
    }

    /// Adds a line of history about an ensemble. How many are kept is the store's to bound.
    pub fn record(&mut self, now: Now, ensemble: &str, fact: Fact) {
        let (at, actor) = (now.wall, MONITOR.to_owned());
        self.batch.audit.push(AuditLine {
            at,
            actor,
            about: format!("{ABOUT_ENSEMBLE}{ensemble}"),
            fact,
        });
    }

    fn note(&mut self, now: Now, about: &IncidentId, actor: &str, fact: Fact) {
        let (at, actor, about) = (now.wall, actor.to_owned(), about.0.clone());
        self.batch.audit.push(AuditLine { at, actor, about, fact });
    }

    fn keys_of(&self, id: &IncidentId) -> impl Iterator<Item = &EntryKey> {
        let first = EntryKey { incident: id.clone(), phase: Phase::Firing, channel: String::new() };
        let id = id.clone();
        self.entries.range(first..).map(|(key, _)| key).take_while(move |key| key.incident == id)
    }
}

/// Takes out what is due.
fn due<K: Ord + Clone>(timers: &mut BTreeMap<K, Mono>, now: Mono) -> Vec<K> {
    let due: Vec<K> =
        timers.iter().filter(|(_, at)| **at <= now).map(|(key, _)| key.clone()).collect();
    for key in &due {
        timers.remove(key);
    }
    due
}

/// Time from one reading of the wall clock to a later one; zero if the clock was set back.
fn span(from: Wall, to: Wall) -> Duration {
    Duration::from_millis(u64::try_from(to.0.saturating_sub(from.0)).unwrap_or(0))
}

/// A length of time in its largest whole unit.
fn words(time: Duration) -> String {
    let seconds = time.as_secs();
    match (seconds % 86_400, seconds % 3600) {
        (0, _) => format!("{} days", seconds / 86_400),
        (_, 0) => format!("{} hours", seconds / 3600),
        _ => format!("{seconds} seconds"),
    }
}

/// A time of day so much later.
fn later(at: Wall, time: Duration) -> Wall {
    Wall(at.0.saturating_add(i64::try_from(time.as_millis()).unwrap_or(i64::MAX)))
}

/// An instant that may lie before the beginning of this run's clock.
#[derive(Clone, Copy, Debug)]
struct Past {
    seen: Mono,
    /// How long ago it was then.
    ago: Duration,
}

impl Past {
    fn age(self, now: Mono) -> Duration {
        now.since(self.seen) + self.ago
    }
}

#[cfg(test)]
mod quiet_tests;
#[cfg(test)]
mod tests;

//! The ledger: findings become incidents, incidents become outbox entries, all of it durable first.
//!
//! Nothing is sent that is not stored: [`Ledger::take_batch`] hands out what must be written in one
//! transaction, and only [`Ledger::committed`] hands out the entries to send. Whatever happens
//! between any two of these steps, [`Ledger::restore`] goes on from what was stored: an entry whose
//! answer was not stored is sent again under the same key.

use std::collections::BTreeMap;
use std::time::Duration;

use wk_proto::ids::{Mono, Wall};

use crate::Now;
use crate::fact::{Fact, FactKind};
use crate::finding::{Detail, Finding, Severity, Subject};
use crate::incident::{Fingerprint, Incident, IncidentId, IncidentState};
use crate::outbox::{ChannelPolicy, Entry, EntryKey, Lane, Phase};

mod delivery;

/// Who does what nobody else did.
const MONITOR: &str = "monitor";

/// How incidents are kept.
#[derive(Clone, Debug)]
pub struct Policy {
    /// A fault that comes back within this time is the same episode. Default 5 min.
    pub hold: Duration,
    /// How long resolved incidents are kept. Default 90 days.
    pub retention: Duration,
    /// How many incidents are kept; the oldest resolved ones go first. Default 10 000.
    pub incidents_max: usize,
    /// Where notifications go.
    pub channels: Vec<ChannelPolicy>,
    /// Seeds the spread of retries.
    pub seed: u64,
}

impl Default for Policy {
    fn default() -> Self {
        Self {
            hold: Duration::from_mins(5),
            retention: Duration::from_hours(2160),
            incidents_max: 10_000,
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
    /// About which incident.
    pub incident: IncidentId,
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
    /// The last episode of each fault; never deleted, so that no id is ever used twice.
    pub episodes: BTreeMap<Fingerprint, u64>,
    /// New history.
    pub audit: Vec<AuditLine>,
}

impl Batch {
    /// Whether there is nothing to write.
    pub fn is_empty(&self) -> bool {
        self.incidents.is_empty()
            && self.entries.is_empty()
            && self.episodes.is_empty()
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
    /// The last episode of each fault.
    pub episodes: BTreeMap<Fingerprint, u64>,
}

/// Why an action is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LedgerError {
    /// There is no such incident.
    NotFound,
    /// The fault is over: there is nothing to take on.
    NotOpen,
    /// The fault is still there: putting it away would only hide it.
    StillFiring,
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

/// All incidents and all notifications.
#[derive(Clone, Debug)]
pub struct Ledger {
    policy: Policy,
    incidents: BTreeMap<IncidentId, Incident>,
    pending_faults: BTreeMap<Fingerprint, Pending>,
    episodes: BTreeMap<Fingerprint, u64>,
    entries: BTreeMap<EntryKey, Entry>,
    /// The unfinished among `entries` by order, with the instant before which they rest.
    pending: BTreeMap<(String, u64), (EntryKey, Mono)>,
    lanes: BTreeMap<String, Lane>,
    next_seq: u64,
    /// Not stored yet.
    batch: Batch,
    /// Marked as sent in `batch`, to be handed out once that is stored.
    marked: Vec<EntryKey>,
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
            incidents: saved.incidents.into_iter().map(|i| (i.id.clone(), i)).collect(),
            pending_faults: BTreeMap::new(),
            episodes: saved.episodes,
            entries: BTreeMap::new(),
            pending: BTreeMap::new(),
            lanes,
            next_seq: 0,
            batch: Batch::default(),
            marked: Vec::new(),
            last_sweep: now.mono,
        };
        for entry in saved.entries {
            ledger.adopt(entry, now);
        }
        let open = ledger.incidents.values().filter(|i| i.state == IncidentState::Firing);
        let open: Vec<IncidentId> = open.map(|i| i.id.clone()).collect();
        for id in open {
            ledger.queue(&id, Phase::Firing, now);
        }
        ledger
    }

    /// All incidents kept, by id.
    pub fn incidents(&self) -> &BTreeMap<IncidentId, Incident> {
        &self.incidents
    }

    /// All outbox entries kept.
    pub fn entries(&self) -> &BTreeMap<EntryKey, Entry> {
        &self.entries
    }

    /// What has not lasted long enough to be an incident.
    pub fn pending(&self) -> impl Iterator<Item = &Pending> {
        self.pending_faults.values()
    }

    /// The open incident about `subject`.
    pub fn open(&self, subject: &Subject) -> Option<&Incident> {
        self.latest(&Fingerprint::of(subject)).filter(|incident| incident.is_open())
    }

    /// Takes a detector's judgement.
    pub fn find(&mut self, now: Now, finding: Finding) {
        match finding {
            Finding::Pending { subject, severity, facts, detail } => {
                self.doubt(now, Case { subject, severity, facts, detail });
            }
            Finding::Firing { subject, severity, facts, detail } => {
                self.fire(now, Case { subject, severity, facts, detail });
            }
            Finding::Gone { subject, facts } => {
                self.pending_faults.remove(&Fingerprint::of(&subject));
                self.heal(now, &subject, facts);
            }
            Finding::Unseen { subject, facts } => {
                let Some(id) = self.open(&subject).map(|incident| incident.id.clone()) else {
                    return;
                };
                if self.incidents[&id].state == IncidentState::Unknown {
                    return;
                }
                self.change(&id, |incident| {
                    incident.state = IncidentState::Unknown;
                    incident.last_seen = now.wall;
                    // What was seen stays; why it cannot be seen now comes on top.
                    incident.facts.extend(facts);
                });
                self.note(now, &id, MONITOR, Fact::new(FactKind::WentUnknown, []));
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
    }

    /// Somebody takes an incident on.
    ///
    /// # Errors
    /// [`LedgerError::NotFound`], [`LedgerError::NotOpen`].
    pub fn acknowledge(&mut self, now: Now, id: &IncidentId, by: &str) -> Result<(), LedgerError> {
        let incident = self.incidents.get(id).ok_or(LedgerError::NotFound)?;
        if !incident.is_open() {
            return Err(LedgerError::NotOpen);
        }
        self.change(id, |incident| incident.acknowledged_by = Some(by.to_owned()));
        self.note(now, id, by, Fact::new(FactKind::Acknowledged, []));
        Ok(())
    }

    /// Somebody puts an incident away: its fault's next coming is an episode of its own.
    ///
    /// # Errors
    /// [`LedgerError::NotFound`], [`LedgerError::StillFiring`].
    pub fn close(&mut self, now: Now, id: &IncidentId, by: &str) -> Result<(), LedgerError> {
        let incident = self.incidents.get(id).ok_or(LedgerError::NotFound)?;
        match incident.state {
            IncidentState::Closed => return Ok(()),
            IncidentState::Firing => return Err(LedgerError::StillFiring),
            // Whoever was told of it must be told of its end.
            IncidentState::Unknown => self.heal(now, &incident.subject.clone(), vec![]),
            IncidentState::Resolved => (),
        }
        self.change(id, |incident| incident.state = IncidentState::Closed);
        self.note(now, id, by, Fact::new(FactKind::Closed, []));
        Ok(())
    }

    /// Does what time alone brings: late entries, faults that came back and stayed, retention.
    pub fn tick(&mut self, now: Now) {
        self.expire(now);
        let hold = self.policy.hold;
        let stayed = |i: &&Incident| {
            let healed = i.healed_at.filter(|_| i.state == IncidentState::Firing);
            healed.is_some_and(|healed| span(healed, now.wall) >= hold)
        };
        let stayed = self.incidents.values().filter(stayed).map(|i| i.id.clone());
        for id in stayed.collect::<Vec<_>>() {
            self.promote(now, &id);
        }
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
        self.batch.audit.extend(newer.audit);
    }

    fn latest(&self, fingerprint: &Fingerprint) -> Option<&Incident> {
        let episode = self.episodes.get(fingerprint)?;
        self.incidents.get(&IncidentId::new(fingerprint, *episode))
    }

    /// Notes a fault that has not lasted yet, unless an incident about it is open.
    fn doubt(&mut self, now: Now, case: Case) {
        let fingerprint = Fingerprint::of(&case.subject);
        if self.open(&case.subject).is_some() {
            return;
        }
        let episode = self.episodes.get(&fingerprint).map_or(1, |last| last + 1);
        let id = IncidentId::new(&fingerprint, episode);
        let since = self.pending_faults.get(&fingerprint).map_or(now.wall, |p| p.since);
        self.pending_faults.insert(fingerprint, Pending { id, case, since });
    }

    fn fire(&mut self, now: Now, case: Case) {
        let fingerprint = Fingerprint::of(&case.subject);
        let since = self.pending_faults.remove(&fingerprint).map_or(now.wall, |p| p.since);
        let Some(latest) = self.latest(&fingerprint) else {
            self.begin(now, since, case);
            return;
        };
        let id = latest.id.clone();
        let held = latest.healed_at.is_some_and(|at| span(at, now.wall) < self.policy.hold);
        match latest.state {
            IncidentState::Firing => {
                if latest.facts != case.facts || latest.severity != case.severity {
                    self.change(&id, |incident| incident.see(now.wall, case));
                }
            }
            IncidentState::Unknown => {
                self.change(&id, |incident| {
                    incident.state = IncidentState::Firing;
                    incident.see(now.wall, case);
                });
                self.note(now, &id, MONITOR, Fact::new(FactKind::SeenAgain, []));
            }
            IncidentState::Resolved if held => {
                let flaps = latest.flaps.saturating_add(1);
                self.change(&id, |incident| {
                    incident.state = IncidentState::Firing;
                    incident.see(now.wall, case);
                    (incident.reopened_at, incident.flaps) = (Some(now.wall), flaps);
                });
                self.note(now, &id, MONITOR, Fact::new(FactKind::Reopened, [flaps.to_string()]));
                self.recall(&id);
            }
            IncidentState::Resolved | IncidentState::Closed => {
                self.begin(now, since, case);
            }
        }
    }

    fn begin(&mut self, now: Now, first_seen: Wall, case: Case) -> IncidentId {
        let fingerprint = Fingerprint::of(&case.subject);
        let episode = self.episodes.get(&fingerprint).map_or(1, |last| last + 1);
        let id = IncidentId::new(&fingerprint, episode);
        self.episodes.insert(fingerprint.clone(), episode);
        self.batch.episodes.insert(fingerprint, episode);
        let incident = Incident {
            id: id.clone(),
            subject: case.subject,
            episode,
            severity: case.severity,
            state: IncidentState::Firing,
            facts: case.facts,
            detail: case.detail,
            first_seen,
            last_seen: now.wall,
            healed_at: None,
            reopened_at: None,
            flaps: 0,
            acknowledged_by: None,
        };
        let before = self.incidents.insert(id.clone(), incident.clone());
        assert!(before.is_none(), "an id is used once");
        self.batch.incidents.insert(id.clone(), Some(incident));
        self.note(now, &id, MONITOR, Fact::new(FactKind::Opened, []));
        self.queue(&id, Phase::Firing, now);
        id
    }

    fn heal(&mut self, now: Now, subject: &Subject, facts: Vec<Fact>) {
        let Some(id) = self.open(subject).map(|incident| incident.id.clone()) else { return };
        self.change(&id, |incident| {
            incident.state = IncidentState::Resolved;
            (incident.last_seen, incident.healed_at) = (now.wall, Some(now.wall));
            incident.facts.extend(facts);
        });
        self.note(now, &id, MONITOR, Fact::new(FactKind::Resolved, []));
        self.queue(&id, Phase::Resolved, now);
    }

    /// A fault that came back within the hold time and was still there at its end. Whoever was told
    /// that it is over would never hear of it again: it goes on as an episode of its own.
    fn promote(&mut self, now: Now, id: &IncidentId) {
        let told_over = self.keys_of(id).any(|key| key.phase == Phase::Resolved);
        if !told_over {
            // Nobody was: the episode simply goes on, as if it had never been gone.
            self.change(id, |incident| (incident.healed_at, incident.reopened_at) = (None, None));
            return;
        }
        let Some(old) = self.incidents.get(id).cloned() else { return };
        self.change(id, |incident| incident.state = IncidentState::Resolved);
        // Some channels may have had the end recalled: this episode is over for them too.
        self.queue(id, Phase::Resolved, now);
        let first_seen = old.reopened_at.unwrap_or(now.wall);
        let (subject, severity) = (old.subject, old.severity);
        let case = Case { subject, severity, facts: old.facts, detail: old.detail };
        let next = self.begin(now, first_seen, case);
        self.note(now, id, MONITOR, Fact::new(FactKind::ContinuesAs, [next.0.clone()]));
        let (state, by) = (old.state, old.acknowledged_by);
        self.change(&next, |incident| {
            (incident.state, incident.acknowledged_by) = (state, by);
        });
    }

    fn sweep(&mut self, now: Now) {
        let over = self.incidents.len().saturating_sub(self.policy.incidents_max);
        let mut done: Vec<(Wall, IncidentId)> = self
            .incidents
            .values()
            .filter(|i| {
                !i.is_open() && self.keys_of(&i.id).all(|key| self.entries[key].state.is_final())
            })
            .map(|i| (i.last_seen, i.id.clone()))
            .collect();
        done.sort_unstable();
        for (index, (last_seen, id)) in done.into_iter().enumerate() {
            if index < over || span(last_seen, now.wall) > self.policy.retention {
                let keys: Vec<EntryKey> = self.keys_of(&id).cloned().collect();
                for key in keys {
                    self.entries.remove(&key);
                    self.batch.entries.insert(key, None);
                }
                self.incidents.remove(&id);
                self.batch.incidents.insert(id, None);
            }
        }
    }

    /// Changes an incident and has it stored.
    fn change(&mut self, id: &IncidentId, change: impl FnOnce(&mut Incident)) {
        let Some(incident) = self.incidents.get_mut(id) else { return };
        change(incident);
        self.batch.incidents.insert(id.clone(), Some(incident.clone()));
    }

    /// Adds a line of history about an incident that is kept.
    pub fn remark(&mut self, now: Now, id: &IncidentId, actor: &str, fact: Fact) {
        if self.incidents.contains_key(id) {
            self.note(now, id, actor, fact);
        }
    }

    fn note(&mut self, now: Now, id: &IncidentId, actor: &str, fact: Fact) {
        let (at, actor, incident) = (now.wall, actor.to_owned(), id.clone());
        self.batch.audit.push(AuditLine { at, actor, incident, fact });
    }

    fn keys_of(&self, id: &IncidentId) -> impl Iterator<Item = &EntryKey> {
        let first = EntryKey { incident: id.clone(), phase: Phase::Firing, channel: String::new() };
        let id = id.clone();
        self.entries.range(first..).map(|(key, _)| key).take_while(move |key| key.incident == id)
    }
}

/// Time from one reading of the wall clock to a later one; zero if the clock was set back.
fn span(from: Wall, to: Wall) -> Duration {
    Duration::from_millis(u64::try_from(to.0.saturating_sub(from.0)).unwrap_or(0))
}

#[cfg(test)]
mod tests;

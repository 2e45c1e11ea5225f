//! The life of an incident: found, lost from sight, healed, back again, taken on, put away,
//! forgotten.

use std::time::Duration;

use wk_proto::ids::Wall;

use super::{Case, Ledger, LedgerError, MONITOR, Past, Pending, later, rule_in, span};
use crate::Now;
use crate::fact::{Fact, FactKind};
use crate::finding::Subject;
use crate::incident::{Fingerprint, Incident, IncidentId, IncidentState};
use crate::outbox::{EntryKey, Phase};
use crate::silence::SilenceId;

impl Ledger {
    /// Somebody takes an incident on, for so long as the policy says.
    ///
    /// # Errors
    /// [`LedgerError::NotFound`], [`LedgerError::NotOpen`].
    pub fn acknowledge(&mut self, now: Now, id: &IncidentId, by: &str) -> Result<(), LedgerError> {
        let incident = self.incidents.get(id).ok_or(LedgerError::NotFound)?;
        if !incident.is_open() {
            return Err(LedgerError::NotOpen);
        }
        let until = later(now.wall, self.policy.ack_for);
        self.change(id, |incident| {
            incident.acknowledged_by = Some(by.to_owned());
            incident.acknowledged_until = Some(until);
        });
        self.acks.insert(id.clone(), now.mono.after(self.policy.ack_for));
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

    pub(super) fn forget_ack(&mut self, now: Now, id: &IncidentId) {
        let Some(incident) = self.incidents.get(id) else { return };
        if incident.acknowledged_until.is_none() {
            return;
        }
        self.change(id, |incident| {
            (incident.acknowledged_by, incident.acknowledged_until) = (None, None);
        });
        self.note(now, id, MONITOR, Fact::new(FactKind::AckExpired, []));
    }

    /// An incident that somebody took on is open (again): until when is that believed?
    pub(super) fn watch_ack(&mut self, now: Now, id: &IncidentId) {
        let Some(until) = self.incidents.get(id).and_then(|i| i.acknowledged_until) else { return };
        let left = span(now.wall, until).min(self.policy.ack_for);
        self.acks.insert(id.clone(), now.mono.after(left));
    }

    /// Notes a fault that has not lasted yet, unless an incident about it is open.
    pub(super) fn doubt(&mut self, now: Now, case: Case) {
        let fingerprint = Fingerprint::of(&case.subject);
        if self.open(&case.subject).is_some() {
            return;
        }
        let episode = self.episodes.get(&fingerprint).map_or(1, |last| last + 1);
        let id = IncidentId::new(&fingerprint, episode);
        let since = self.doubts.get(&fingerprint).map_or(now.wall, |doubt| doubt.since);
        let rule = self.doubts_by_rule.entry(rule_in(&case.subject)).or_default();
        rule.insert(fingerprint.clone());
        self.doubts.insert(fingerprint, Pending { id, case, since });
    }

    /// A fault did not last, or has become an incident. Says since when it was there.
    pub(super) fn dispel(&mut self, fingerprint: &Fingerprint) -> Option<Wall> {
        let doubt = self.doubts.remove(fingerprint)?;
        let rule = rule_in(&doubt.case.subject);
        if let Some(prints) = self.doubts_by_rule.get_mut(&rule) {
            prints.remove(fingerprint);
            if prints.is_empty() {
                self.doubts_by_rule.remove(&rule);
            }
        }
        // Whoever waited for it to become a cause waits no more.
        self.unjudge_effects_of(&doubt.case.subject);
        Some(doubt.since)
    }

    pub(super) fn fire(&mut self, now: Now, case: Case) {
        let fingerprint = Fingerprint::of(&case.subject);
        let since = self.dispel(&fingerprint).unwrap_or(now.wall);
        let Some(latest) = self.latest(&fingerprint) else {
            self.begin(now, since, case);
            return;
        };
        let id = latest.id.clone();
        match latest.state {
            IncidentState::Firing => self.confirm(now, &id, case),
            IncidentState::Unknown => {
                self.change(&id, |incident| {
                    incident.state = IncidentState::Firing;
                    incident.see(now.wall, case);
                });
                self.note(now, &id, MONITOR, Fact::new(FactKind::SeenAgain, []));
                self.unjudged.insert(id);
            }
            IncidentState::Resolved if self.is_held(now, &id) => self.reopen(now, &id, case),
            IncidentState::Resolved | IncidentState::Closed => {
                self.begin(now, since, case);
            }
        }
    }

    /// The fault is there as before; what was seen of it may be newer.
    fn confirm(&mut self, now: Now, id: &IncidentId, case: Case) {
        let Some(incident) = self.incidents.get_mut(id) else { return };
        if incident.severity != case.severity {
            self.change(id, |incident| incident.see(now.wall, case));
            self.unjudged.insert(id.clone());
        } else if incident.facts != case.facts || incident.detail != case.detail {
            // Figures that change all the time are shown, but not stored each time.
            incident.see(now.wall, case);
            let at = now.mono.after(self.policy.refresh);
            self.unsaved.entry(id.clone()).or_insert(at);
        }
    }

    fn is_held(&self, now: Now, id: &IncidentId) -> bool {
        let healed = self.incidents.get(id).and_then(|incident| incident.healed_at);
        let by_wall = || healed.map(|at| span(at, now.wall));
        let ago = self.ended.get(id).map(|past| past.age(now.mono)).or_else(by_wall);
        ago.is_some_and(|ago| ago < self.policy.hold)
    }

    fn reopen(&mut self, now: Now, id: &IncidentId, case: Case) {
        let Some(incident) = self.incidents.get(id) else { return };
        let flaps = incident.flaps.saturating_add(1);
        let ago = self.ended.remove(id).map_or(Duration::ZERO, |past| past.age(now.mono));
        self.change(id, |incident| {
            incident.state = IncidentState::Firing;
            incident.see(now.wall, case);
            (incident.reopened_at, incident.flaps) = (Some(now.wall), flaps);
        });
        let end = now.mono.after(self.policy.hold.saturating_sub(ago));
        self.reopened.insert(id.clone(), end);
        self.watch_ack(now, id);
        self.note(now, id, MONITOR, Fact::new(FactKind::Reopened, [flaps.to_string()]));
        self.recall(id, Phase::Resolved);
        self.turned(id);
    }

    fn begin(&mut self, now: Now, first_seen: Wall, case: Case) -> IncidentId {
        let fingerprint = Fingerprint::of(&case.subject);
        let episode = self.next_number(fingerprint.clone());
        let id = IncidentId::new(&fingerprint, episode);
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
            acknowledged_until: None,
            suppressed: None,
        };
        let before = self.incidents.insert(id.clone(), incident.clone());
        assert!(before.is_none(), "an id is used once");
        self.batch.incidents.insert(id.clone(), Some(incident));
        self.note(now, &id, MONITOR, Fact::new(FactKind::Opened, []));
        self.turned(&id);
        id
    }

    /// An incident was opened, came back or ended: it and its effects are to be judged.
    fn turned(&mut self, id: &IncidentId) {
        let Some(incident) = self.incidents.get(id).cloned() else { return };
        if incident.is_open() {
            self.index(&incident);
            self.unjudged.insert(id.clone());
        }
        self.unjudge_effects_of(&incident.subject);
    }

    pub(super) fn lose_sight(&mut self, now: Now, subject: &Subject, facts: Vec<Fact>) {
        let Some(id) = self.open(subject).map(|incident| incident.id.clone()) else { return };
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

    pub(super) fn heal(&mut self, now: Now, subject: &Subject, facts: Vec<Fact>) {
        let Some(id) = self.open(subject).map(|incident| incident.id.clone()) else { return };
        self.judge_last(now, &id);
        self.change(&id, |incident| {
            incident.state = IncidentState::Resolved;
            (incident.last_seen, incident.healed_at) = (now.wall, Some(now.wall));
            incident.suppressed = None;
            incident.facts.extend(facts);
        });
        self.end(now, &id);
        self.note(now, &id, MONITOR, Fact::new(FactKind::Resolved, []));
        self.queue(&id, Phase::Resolved, now);
        self.turned(&id);
    }

    fn end(&mut self, now: Now, id: &IncidentId) {
        self.ended.insert(id.clone(), Past { seen: now.mono, ago: Duration::ZERO });
        self.reopened.remove(id);
        self.acks.remove(id);
        self.unjudged.remove(id);
        self.waits.remove(id);
        self.rejudge.remove(id);
    }

    /// A fault that came back within the hold time and was still there at its end. Whoever was told
    /// that it is over would never hear of it again: it goes on as an episode of its own.
    pub(super) fn promote(&mut self, now: Now, id: &IncidentId) {
        let Some(old) = self.incidents.get(id).filter(|old| old.is_open()).cloned() else { return };
        if old.state == IncidentState::Unknown {
            // Whether it stayed is not known yet.
            self.reopened.insert(id.clone(), now.mono.after(Duration::from_secs(1)));
            return;
        }
        let told_over = self.keys_of(id).any(|key| key.phase == Phase::Resolved);
        if !told_over {
            // Nobody was: the episode simply goes on, as if it had never been gone.
            self.change(id, |incident| (incident.healed_at, incident.reopened_at) = (None, None));
            return;
        }
        self.change(id, |incident| {
            incident.state = IncidentState::Resolved;
            incident.suppressed = None;
        });
        self.end(now, id);
        // Some channels may have had the end recalled: this episode is over for them too.
        self.queue(id, Phase::Resolved, now);
        let first_seen = old.reopened_at.unwrap_or(now.wall);
        let (subject, severity) = (old.subject, old.severity);
        let case = Case { subject, severity, facts: old.facts, detail: old.detail };
        let next = self.begin(now, first_seen, case);
        self.note(now, id, MONITOR, Fact::new(FactKind::ContinuesAs, [next.0.clone()]));
        self.change(&next, |incident| {
            incident.acknowledged_by = old.acknowledged_by;
            incident.acknowledged_until = old.acknowledged_until;
        });
        self.watch_ack(now, &next);
    }

    pub(super) fn sweep(&mut self, now: Now) {
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
                self.ended.remove(&id);
                self.unindex(&id);
                self.incidents.remove(&id);
                self.batch.incidents.insert(id, None);
            }
        }
        let kept = self.policy.retention;
        let old = |s: &&crate::Silence| s.is_over(now.wall) && span(s.ends_at, now.wall) > kept;
        let old = self.silences.values().filter(old).map(|silence| silence.id.clone());
        for id in old.collect::<Vec<SilenceId>>() {
            self.silences.remove(&id);
            self.batch.silences.insert(id, None);
        }
        self.forget_silences(None);
    }
}

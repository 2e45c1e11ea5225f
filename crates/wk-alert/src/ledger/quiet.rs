//! Who is told of what: silences, and causes that speak for their effects. Judged after each round
//! of findings as a whole, so that an effect found a moment before its cause is not told.

use std::time::Duration;

use wk_proto::ids::{Mono, Wall};

use super::{Ledger, LedgerError, MONITOR, due, later, rule_in, span};
use crate::Now;
use crate::fact::{Fact, FactKind};
use crate::finding::Subject;
use crate::incident::{Fingerprint, Incident, IncidentId, IncidentState, Suppressed};
use crate::inhibition::{self, Veil};
use crate::outbox::Phase;
use crate::silence::{Scope, Silence, SilenceId};

/// Causes of causes are followed so far.
const CHAIN_MAX: usize = 8;

/// What is to become of an incident.
enum Verdict {
    /// It is told.
    Tell,
    /// It is not: something speaks for it.
    Hush(Suppressed),
    /// It is not until then: its cause may be found in a moment.
    Wait(Mono),
}

impl Ledger {
    /// Somebody silences faults for a time.
    ///
    /// # Errors
    /// [`LedgerError::TooManySilences`], [`LedgerError::BadDuration`].
    pub fn silence(
        &mut self,
        now: Now,
        scope: Scope,
        time: Duration,
        by: &str,
        reason: &str,
    ) -> Result<SilenceId, LedgerError> {
        if self.silence_ends.len() >= self.policy.silences_max {
            return Err(LedgerError::TooManySilences);
        }
        if time.is_zero() || time > self.policy.retention {
            return Err(LedgerError::BadDuration { most: self.policy.retention });
        }
        let kind = match scope {
            Scope::Matching(_) => "silence",
            Scope::Maintenance { .. } => "maintenance",
        };
        let number = self.next_number(Fingerprint(kind.to_owned()));
        let id = SilenceId(format!("{kind}-{number}"));
        let silence = Silence {
            id: id.clone(),
            scope,
            by: by.to_owned(),
            reason: reason.to_owned(),
            starts_at: now.wall,
            ends_at: later(now.wall, time),
            ended_by: None,
        };
        let args = [silence.scope.to_string(), silence.ends_at.0.to_string(), reason.to_owned()];
        self.note_silence(now, &id, by, Fact::new(FactKind::SilenceAdded, args));
        self.batch.silences.insert(id.clone(), Some(silence.clone()));
        self.silences.insert(id.clone(), silence);
        self.silence_ends.insert(id.clone(), now.mono.after(time));
        self.unjudge_all();
        Ok(id)
    }

    /// Somebody ends a silence before its time.
    ///
    /// # Errors
    /// [`LedgerError::NotFound`], [`LedgerError::AlreadyOver`].
    pub fn end_silence(&mut self, now: Now, id: &SilenceId, by: &str) -> Result<(), LedgerError> {
        self.silences.get(id).ok_or(LedgerError::NotFound)?;
        if self.silence_ends.remove(id).is_none() {
            return Err(LedgerError::AlreadyOver);
        }
        self.stop_silence(now, id, Some(by));
        Ok(())
    }

    /// The silences in force.
    pub fn silences_in_force(&self) -> impl Iterator<Item = &Silence> {
        self.silence_ends.keys().filter_map(|id| self.silences.get(id))
    }

    /// Whether that silence is in force.
    pub fn is_in_force(&self, id: &SilenceId) -> bool {
        self.silence_ends.contains_key(id)
    }

    pub(super) fn adopt_silence(&mut self, silence: Silence, now: Now) {
        let id = silence.id.clone();
        let whole = span(silence.starts_at, silence.ends_at);
        let left = span(now.wall, silence.ends_at).min(whole);
        if !silence.is_over(now.wall) {
            self.silence_ends.insert(id.clone(), now.mono.after(left));
        }
        self.silences.insert(id, silence);
    }

    /// Ends what has had its time by either clock: neither may keep a silence for ever.
    pub(super) fn end_silences(&mut self, now: Now) {
        let mut over = due(&mut self.silence_ends, now.mono);
        let by_wall = |id: &&SilenceId| self.silences.get(*id).is_none_or(|s| s.is_over(now.wall));
        over.extend(self.silence_ends.keys().filter(by_wall).cloned());
        for id in over {
            self.silence_ends.remove(&id);
            self.stop_silence(now, &id, None);
        }
    }

    fn stop_silence(&mut self, now: Now, id: &SilenceId, by: Option<&str>) {
        let Some(silence) = self.silences.get_mut(id) else { return };
        silence.ends_at = Wall(silence.ends_at.0.min(now.wall.0));
        silence.ended_by = by.map(str::to_owned);
        self.batch.silences.insert(id.clone(), Some(silence.clone()));
        self.note_silence(now, id, by.unwrap_or(MONITOR), Fact::new(FactKind::SilenceEnded, []));
        self.unjudge_all();
        self.forget_silences(Some(id));
    }

    /// Forgets what ended first where too many are over; whoever asked for `but` waits to see it.
    pub(super) fn forget_silences(&mut self, but: Option<&SilenceId>) {
        let over = self.silences.len().saturating_sub(self.silence_ends.len());
        let many = over.saturating_sub(self.policy.silences_over_max);
        if many == 0 {
            return;
        }
        let is_over = |id: &SilenceId| !self.silence_ends.contains_key(id) && Some(id) != but;
        let ended = self.silences.values().filter(|silence| is_over(&silence.id));
        let mut ended: Vec<(Wall, SilenceId)> =
            ended.map(|silence| (silence.ends_at, silence.id.clone())).collect();
        ended.sort_unstable();
        for (_, id) in ended.into_iter().take(many) {
            self.silences.remove(&id);
            self.batch.silences.insert(id, None);
        }
    }

    fn note_silence(&mut self, now: Now, id: &SilenceId, actor: &str, fact: Fact) {
        self.note(now, &IncidentId(id.0.clone()), actor, fact);
    }

    /// Every open incident is to be judged anew.
    fn unjudge_all(&mut self) {
        let open = self.incidents.values().filter(|incident| incident.is_open());
        self.unjudged.extend(open.map(|incident| incident.id.clone()));
    }

    /// The open incidents that a fault about `cause` may hide or have hidden.
    pub(super) fn unjudge_effects_of(&mut self, cause: &Subject) {
        let (ensemble, rule) = rule_in(cause);
        let effects = inhibition::effects_of(&rule);
        let effects =
            effects.filter_map(|effect| self.by_rule.get(&(ensemble.clone(), effect.to_owned())));
        let named = self.by_named_cause.get(&(ensemble.clone(), rule.clone()));
        let ids: Vec<IncidentId> = effects.chain(named).flatten().cloned().collect();
        let is_open = |id: &IncidentId| self.incidents.get(id).is_some_and(Incident::is_open);
        let open: Vec<IncidentId> = ids.into_iter().filter(is_open).collect();
        self.unjudged.extend(open);
    }

    pub(super) fn index(&mut self, incident: &Incident) {
        let (ensemble, rule) = rule_in(&incident.subject);
        for cause in inhibition::named_causes(incident) {
            let named = self.by_named_cause.entry((ensemble.clone(), cause.to_owned()));
            named.or_default().insert(incident.id.clone());
        }
        self.by_rule.entry((ensemble, rule)).or_default().insert(incident.id.clone());
    }

    pub(super) fn unindex(&mut self, id: &IncidentId) {
        let Some(incident) = self.incidents.get(id) else { return };
        let (ensemble, rule) = rule_in(&incident.subject);
        let remove = |index: &mut std::collections::BTreeMap<_, std::collections::BTreeSet<_>>,
                      key: super::RuleIn| {
            if let Some(ids) = index.get_mut(&key) {
                ids.remove(id);
                if ids.is_empty() {
                    index.remove(&key);
                }
            }
        };
        for cause in inhibition::named_causes(incident) {
            remove(&mut self.by_named_cause, (ensemble.clone(), cause.to_owned()));
        }
        remove(&mut self.by_rule, (ensemble, rule));
    }

    /// Judges what changed: hushes, or queues for every channel that has not been told.
    pub(super) fn judge(&mut self, now: Now) {
        let again = due(&mut self.rejudge, now.mono);
        self.unjudged.extend(again);
        for id in std::mem::take(&mut self.unjudged) {
            match self.verdict(now, &id) {
                Verdict::Wait(until) => {
                    self.waits.entry(id.clone()).or_insert(until);
                    self.rejudge.insert(id, until);
                }
                verdict @ (Verdict::Tell | Verdict::Hush(_)) => self.carry_out(now, &id, verdict),
            }
        }
    }

    /// An incident is about to end: if it was not judged yet, or waits for its cause, that is over.
    pub(super) fn judge_last(&mut self, now: Now, id: &IncidentId) {
        let waited = self.waits.remove(id).is_some();
        if self.unjudged.remove(id) || waited {
            let verdict = self.verdict(now, id);
            self.carry_out(now, id, verdict);
        }
    }

    fn carry_out(&mut self, now: Now, id: &IncidentId, verdict: Verdict) {
        self.waits.remove(id);
        let Some(incident) = self.incidents.get(id).filter(|i| i.is_open()) else { return };
        let is_firing = incident.state == IncidentState::Firing;
        match verdict {
            Verdict::Hush(by) => self.hush(now, id, by),
            Verdict::Tell | Verdict::Wait(_) => {
                self.unhush(now, id);
                if is_firing {
                    self.queue(id, Phase::Firing, now);
                }
            }
        }
    }

    fn hush(&mut self, now: Now, id: &IncidentId, by: Suppressed) {
        self.recall(id, Phase::Firing);
        if self.incidents.get(id).and_then(|i| i.suppressed.as_ref()) == Some(&by) {
            return;
        }
        let fact = Fact::new(FactKind::Suppressed, [by.by.clone()]);
        self.change(id, |incident| incident.suppressed = Some(by));
        self.note(now, id, MONITOR, fact);
    }

    fn unhush(&mut self, now: Now, id: &IncidentId) {
        if self.incidents.get(id).is_none_or(|incident| incident.suppressed.is_none()) {
            return;
        }
        self.change(id, |incident| incident.suppressed = None);
        self.note(now, id, MONITOR, Fact::new(FactKind::Unsuppressed, []));
    }

    fn verdict(&mut self, now: Now, id: &IncidentId) -> Verdict {
        let Some(incident) = self.incidents.get(id) else { return Verdict::Tell };
        let silence = self.silences_in_force().find(|silence| silence.scope.covers(incident));
        if let Some(silence) = silence {
            let (by, veil) = (silence.id.0.clone(), Veil::Hidden);
            return Verdict::Hush(Suppressed { by, veil });
        }
        let ensemble = &incident.subject.ensemble;
        let rules = inhibition::causes_of(incident);
        let rules: Vec<String> = rules.map(str::to_owned).collect();
        for rule in &rules {
            let causes = self.by_rule.get(&(ensemble.clone(), rule.clone()));
            for cause in causes.into_iter().flatten() {
                let Some(cause) = self.incidents.get(cause) else { continue };
                if let Some((by, until)) = self.hidden_by(now, incident, cause) {
                    if let Some(until) = until {
                        self.rejudge.insert(id.clone(), until);
                    }
                    return Verdict::Hush(by);
                }
            }
        }
        let told = self.keys_of(id).next().is_some();
        let pending =
            |rule: &String| self.doubts_by_rule.contains_key(&(ensemble.clone(), rule.clone()));
        let began = self.waits.get(id).copied();
        let until = began.unwrap_or_else(|| now.mono.after(self.policy.cause_wait));
        if !told && now.mono < until && rules.iter().any(pending) {
            return Verdict::Wait(until);
        }
        Verdict::Tell
    }

    /// Whether `effect` itself hides `cause`: two that accuse each other must not both be silent.
    fn speaks_for(&self, effect: &Incident, cause: &Incident) -> bool {
        let mut next = Some(cause);
        for _ in 0..CHAIN_MAX {
            let Some(by) = next.and_then(|incident| incident.suppressed.as_ref()) else {
                return false;
            };
            if by.by == effect.id.0 {
                return true;
            }
            next = self.incidents.get(&IncidentId(by.by.clone()));
        }
        // So long a chain is a ring, or as good as one.
        true
    }

    /// Whether `cause` hides `effect` now, and until when if that is known.
    fn hidden_by(
        &self,
        now: Now,
        effect: &Incident,
        cause: &Incident,
    ) -> Option<(Suppressed, Option<Mono>)> {
        let healing = self.healing(&cause.subject.ensemble);
        let hiding = inhibition::hiding(&cause.subject, effect, healing)?;
        if !hiding.elders && effect.began_at() < cause.began_at() {
            return None;
        }
        let by = Suppressed { by: cause.id.0.clone(), veil: hiding.veil };
        if cause.is_open() {
            return (!self.speaks_for(effect, cause)).then_some((by, None));
        }
        let age = self.ended.get(&cause.id)?.age(now.mono);
        let was_there = cause.healed_at.is_some_and(|healed| effect.began_at() <= healed);
        let hides = age < hiding.linger && (hiding.newcomers || was_there);
        hides.then(|| (by, Some(now.mono.after(hiding.linger.saturating_sub(age)))))
    }
}

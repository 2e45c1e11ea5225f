//! The ledger's way out: entries are queued, marked, handed out once stored, and come to an end.

use std::collections::BTreeMap;

use wk_proto::ids::{Mono, Wall};

use super::{Ledger, MONITOR, span};
use crate::Now;
use crate::fact::{Fact, FactKind};
use crate::incident::IncidentId;
use crate::outbox::{Entry, EntryKey, EntryState, Outcome, Phase};

impl Ledger {
    /// Marks what is due to be sent; the marks are part of the next batch. One entry per channel
    /// is under way at a time, in order of creation as far as rests allow, and the end of an
    /// incident never overtakes its beginning.
    pub fn mark_due(&mut self, now: Now) {
        let names: Vec<String> = self.lanes.keys().cloned().collect();
        for name in names {
            let Some(key) = self.due_on(&name, now.mono) else { continue };
            if let Some(lane) = self.lanes.get_mut(&name) {
                lane.in_flight = Some(key.clone());
                lane.tried(now.mono);
            }
            self.alter(&key, |entry| {
                entry.state = EntryState::Sent;
                entry.attempts = entry.attempts.saturating_add(1);
                entry.last_attempt_at = Some(now.wall);
            });
            self.marked.push(key);
        }
    }

    /// The last batch is stored: these entries are to be sent now, each answered by
    /// [`Self::answered`].
    pub fn committed(&mut self) -> Vec<EntryKey> {
        std::mem::take(&mut self.marked)
    }

    /// Takes what came of sending an entry.
    pub fn answered(&mut self, now: Now, key: &EntryKey, outcome: Outcome) {
        let Some(lane) = self.lanes.get_mut(&key.channel) else { return };
        if lane.in_flight.as_ref() != Some(key) {
            return;
        }
        lane.in_flight = None;
        let policy = lane.policy.clone();
        let Some(entry) = self.entries.get(key) else { return };
        let (seq, attempts) = (entry.seq, entry.attempts);
        let tried = [key.channel.clone(), key.phase.as_str().to_owned()];
        let [channel, phase] = tried;
        match outcome {
            Outcome::Confirmed => {
                self.finish(key, EntryState::Confirmed, now.wall, None);
                let args = [channel, phase, attempts.to_string()];
                self.note(now, &key.incident, MONITOR, Fact::new(FactKind::Delivered, args));
            }
            Outcome::Refused { error } => {
                self.finish(key, EntryState::Failed, now.wall, Some(error.clone()));
                let args = [channel, phase, error];
                self.note(now, &key.incident, MONITOR, Fact::new(FactKind::DeliveryRefused, args));
            }
            Outcome::Retry { error, after } => {
                let noise = mix(self.policy.seed ^ seq ^ (u64::from(attempts) << 48));
                let rest = policy.backoff(attempts, noise).max(after.unwrap_or_default());
                let at = now.mono.after(rest);
                self.pending.insert((key.channel.clone(), seq), (key.clone(), at));
                // One line of history for a failure, however often it repeats itself.
                let before = self.entries[key].last_error.clone();
                self.alter(key, |entry| {
                    entry.state = EntryState::Queued;
                    entry.last_error = Some(error.clone());
                });
                if before.as_ref() != Some(&error) {
                    let args = [channel, phase, error];
                    let fact = Fact::new(FactKind::DeliveryFailed, args);
                    self.note(now, &key.incident, MONITOR, fact);
                }
            }
        }
    }

    /// When [`Self::tick`] and [`Self::mark_due`] have something to do at the latest.
    pub fn next_timeout(&mut self, now: Now) -> Mono {
        let mut next = Mono::NEVER;
        for ((channel, _), (key, rest)) in &self.pending {
            // An end that waits for its beginning is due when that is: it has no time of its own.
            let begun = begun(&self.entries, key);
            let lane = self.lanes.get_mut(channel);
            if let Some(lane) = lane.filter(|lane| begun && lane.in_flight.is_none()) {
                next = next.min((*rest).max(lane.open_at(now.mono)));
            }
        }
        next
    }

    /// Queues one half of an episode for every channel that has not got it; the end only where
    /// the beginning was queued.
    pub(super) fn queue(&mut self, id: &IncidentId, phase: Phase, now: Now) {
        for channel in self.policy.channels.clone() {
            let key =
                |phase| EntryKey { incident: id.clone(), phase, channel: channel.name.clone() };
            let begun = self.entries.contains_key(&key(Phase::Firing));
            let key = key(phase);
            if self.entries.contains_key(&key) || (phase == Phase::Resolved && !begun) {
                continue;
            }
            let validity = i64::try_from(channel.validity.as_millis()).unwrap_or(i64::MAX);
            let entry = Entry {
                key: key.clone(),
                seq: self.next_seq,
                state: EntryState::Queued,
                attempts: 0,
                queued_at: now.wall,
                not_after: Wall(now.wall.0.saturating_add(validity)),
                last_attempt_at: None,
                done_at: None,
                last_error: None,
            };
            self.batch.entries.insert(key, Some(entry.clone()));
            self.adopt(entry, now);
        }
    }

    /// Takes back the news of an end that nobody has been sent yet: the fault is there again.
    pub(super) fn recall(&mut self, id: &IncidentId) {
        let keys = self.keys_of(id).filter(|key| key.phase == Phase::Resolved).cloned();
        for key in keys.collect::<Vec<_>>() {
            let entry = &self.entries[&key];
            if entry.state == EntryState::Queued && entry.attempts == 0 {
                self.pending.remove(&(key.channel.clone(), entry.seq));
                self.entries.remove(&key);
                self.batch.entries.insert(key, None);
            }
        }
    }

    pub(super) fn expire(&mut self, now: Now) {
        let late = self.pending.values().map(|(key, _)| key).filter(|key| {
            let entry = &self.entries[*key];
            // What is under way is not late: its answer decides.
            let waiting = self.lanes.get(&key.channel).and_then(|l| l.in_flight.as_ref());
            entry.not_after < now.wall && waiting != Some(*key)
        });
        for key in late.cloned().collect::<Vec<_>>() {
            self.finish(&key, EntryState::Expired, now.wall, None);
            let args = [key.channel.clone(), key.phase.as_str().to_owned()];
            let fact = Fact::new(FactKind::DeliveryExpired, args);
            self.note(now, &key.incident, MONITOR, fact);
        }
    }

    /// Takes an entry into the tables, new or from the store.
    pub(super) fn adopt(&mut self, entry: Entry, now: Now) {
        self.next_seq = self.next_seq.max(entry.seq + 1);
        if let (Some(at), Some(lane)) =
            (entry.last_attempt_at, self.lanes.get_mut(&entry.key.channel))
        {
            // The receiver's limit counts the tries of an earlier run as well.
            let ago = u64::try_from(span(at, now.wall).as_nanos()).unwrap_or(u64::MAX);
            if lane.policy.rate.is_some_and(|rate| span(at, now.wall) < rate.window) {
                lane.tried(Mono(now.mono.0.saturating_sub(ago)));
            }
        }
        if !entry.state.is_final() {
            let slot = (entry.key.channel.clone(), entry.seq);
            self.pending.insert(slot, (entry.key.clone(), now.mono));
        }
        self.entries.insert(entry.key.clone(), entry);
    }

    fn due_on(&mut self, name: &str, now: Mono) -> Option<EntryKey> {
        let lane = self.lanes.get_mut(name)?;
        if lane.in_flight.is_some() || lane.open_at(now) > now {
            return None;
        }
        let all = (name.to_owned(), 0)..=(name.to_owned(), u64::MAX);
        let mut waiting = self.pending.range(all).map(|(_, waiting)| waiting);
        let next = waiting.find(|(key, rest)| *rest <= now && begun(&self.entries, key));
        next.map(|(key, _)| key.clone())
    }

    fn finish(&mut self, key: &EntryKey, state: EntryState, at: Wall, error: Option<String>) {
        self.alter(key, |entry| {
            (entry.state, entry.done_at) = (state, Some(at));
            // A confirmed entry keeps the trouble it had: the page shows it.
            entry.last_error = error.or(entry.last_error.take());
        });
        if let Some(entry) = self.entries.get(key) {
            self.pending.remove(&(key.channel.clone(), entry.seq));
        }
    }

    /// Changes an entry and has it stored.
    fn alter(&mut self, key: &EntryKey, change: impl FnOnce(&mut Entry)) {
        let Some(entry) = self.entries.get_mut(key) else { return };
        change(entry);
        self.batch.entries.insert(key.clone(), Some(entry.clone()));
    }
}

/// Whether the beginning of an episode has come to its end, so that its end may follow.
fn begun(entries: &BTreeMap<EntryKey, Entry>, key: &EntryKey) -> bool {
    let beginning = EntryKey { phase: Phase::Firing, ..key.clone() };
    key.phase == Phase::Firing || entries.get(&beginning).is_none_or(|e| e.state.is_final())
}

/// Spreads the bits of a number (the finaliser of splitmix64).
fn mix(mut bits: u64) -> u64 {
    bits = (bits ^ (bits >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    bits = (bits ^ (bits >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    bits ^ (bits >> 31)
}

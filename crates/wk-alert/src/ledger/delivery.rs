//! The ledger's way out: entries are queued, gathered, marked, handed out once stored, and come to
//! an end.

use std::time::Duration;

use wk_proto::ids::{Mono, Wall};

use super::{Ledger, MONITOR, later, span};
use crate::Now;
use crate::fact::{Fact, FactKind};
use crate::finding::Severity;
use crate::incident::{Incident, IncidentId, IncidentState};
use crate::outbox::{
    Bundle, BundleKey, ChannelPolicy, Entry, EntryKey, EntryState, Outcome, Phase,
};

/// What waits at the start of a run is tried at least so long.
const GRACE: Duration = Duration::from_hours(1);

/// An entry that is neither under way nor over.
#[derive(Clone, Debug)]
pub(super) struct Waiting {
    key: EntryKey,
    /// Not before this: a failed try rests, an addition to a group is gathered.
    rest: Mono,
    /// Useless from then on.
    expires: Mono,
    /// What it may go together with.
    group: GroupKey,
}

/// What goes together: ensemble, cause and phase.
pub(super) type GroupKey = (String, String, Phase);

/// The time after a group's message in which additions are gathered.
#[derive(Clone, Copy, Debug)]
pub(super) struct GroupWindow {
    end: Mono,
    /// Whether something waits for its end.
    gathered: bool,
}

/// How a channel fares.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ChannelFigures {
    /// Its name.
    pub channel: String,
    /// Tries that failed, and notifications refused or given up, since the start.
    pub failures: u64,
    /// Notifications that wait.
    pub pending: u64,
    /// When the oldest of them was created.
    pub oldest: Option<Wall>,
}

fn group_of(incident: &Incident, phase: Phase) -> GroupKey {
    let subject = &incident.subject;
    // A rule may say that it is a face of another's fault.
    let cause = incident.detail.annotations.get("cause").unwrap_or(&subject.rule);
    (subject.ensemble.clone(), cause.clone(), phase)
}

impl Ledger {
    /// Marks what is due to be sent; the marks are part of the next batch. One message per channel
    /// is under way at a time, in order of creation as far as rests allow, and the end of an
    /// incident never overtakes its beginning.
    pub fn mark_due(&mut self, now: Now) {
        self.judge(now);
        let names: Vec<String> = self.lanes.keys().cloned().collect();
        for name in names {
            let Some(bundle) = self.due_on(&name, now.mono) else { continue };
            if let Some(lane) = self.lanes.get_mut(&name) {
                lane.in_flight = Some(bundle.clone());
                lane.tried(now.mono);
            }
            for key in bundle.entries() {
                self.alter(&key, |entry| {
                    entry.bundle = Some(bundle.key.name.clone());
                    entry.state = EntryState::Sent;
                    entry.attempts = entry.attempts.saturating_add(1);
                    entry.last_attempt_at = Some(now.wall);
                });
            }
            self.marked.push(bundle);
        }
    }

    /// The last batch is stored: these messages are to be sent now, each answered by
    /// [`Self::answered`].
    pub fn committed(&mut self) -> Vec<Bundle> {
        std::mem::take(&mut self.marked)
    }

    /// Takes what came of sending a message.
    #[expect(clippy::needless_pass_by_value, reason = "an answer is handed over")]
    pub fn answered(&mut self, now: Now, key: &BundleKey, outcome: Outcome) {
        let Some(lane) = self.lanes.get_mut(&key.channel) else { return };
        let Some(bundle) = lane.in_flight.take_if(|bundle| bundle.key == *key) else { return };
        lane.troubled = matches!(outcome, Outcome::Retry { .. });
        lane.failures += u64::from(outcome != Outcome::Confirmed);
        let policy = lane.policy.clone();
        for entry in bundle.entries() {
            self.settle(now, &policy, &entry, &outcome);
        }
    }

    fn settle(&mut self, now: Now, policy: &ChannelPolicy, key: &EntryKey, outcome: &Outcome) {
        let Some(entry) = self.entries.get(key) else { return };
        let (seq, attempts) = (entry.seq, entry.attempts);
        let (channel, phase) = (key.channel.clone(), key.phase.as_str().to_owned());
        match outcome {
            Outcome::Confirmed => {
                self.finish(key, EntryState::Confirmed, now.wall, None);
                let args = [channel, phase, attempts.to_string()];
                self.note(now, &key.incident, MONITOR, Fact::new(FactKind::Delivered, args));
            }
            Outcome::Refused { error } => {
                self.finish(key, EntryState::Failed, now.wall, Some(error.clone()));
                let args = [channel, phase, error.clone()];
                self.note(now, &key.incident, MONITOR, Fact::new(FactKind::DeliveryRefused, args));
            }
            Outcome::Retry { error, after } => {
                let noise = mix(self.policy.seed ^ seq ^ (u64::from(attempts) << 48));
                let rest = policy.backoff(attempts, noise).max(after.unwrap_or_default());
                if let Some(waiting) = self.waiting.get_mut(&(channel.clone(), seq)) {
                    waiting.rest = now.mono.after(rest);
                }
                // One line of history for a failure, however often it repeats itself.
                let before = self.entries[key].last_error.clone();
                self.alter(key, |entry| {
                    entry.state = EntryState::Queued;
                    entry.last_error = Some(error.clone());
                });
                if before.as_ref() != Some(error) {
                    let args = [channel, phase, error.clone()];
                    let fact = Fact::new(FactKind::DeliveryFailed, args);
                    self.note(now, &key.incident, MONITOR, fact);
                }
            }
        }
    }

    /// When [`Self::tick`] or [`Self::mark_due`] have something to do that cannot wait for the next
    /// second's tick.
    pub fn next_timeout(&mut self, now: Now) -> Mono {
        let mut next = self.rejudge.values().min().copied().unwrap_or(Mono::NEVER);
        let mut opens = std::collections::BTreeMap::new();
        for (name, lane) in &mut self.lanes {
            if lane.in_flight.is_none() {
                opens.insert(name.clone(), lane.open_at(now.mono));
            }
        }
        for ((channel, _), waiting) in &self.waiting {
            // An end that waits for its beginning is due when that is: it has no time of its own.
            let open = opens.get(channel).filter(|open| waiting.rest.max(**open) < next);
            if let Some(open) = open.filter(|_| self.is_begun(&waiting.key)) {
                next = waiting.rest.max(*open);
            }
        }
        if self.unjudged.is_empty() { next } else { now.mono }
    }

    /// How the channels fare.
    pub fn channel_figures(&self) -> Vec<ChannelFigures> {
        let mut all: Vec<ChannelFigures> = Vec::with_capacity(self.lanes.len());
        for (name, lane) in &self.lanes {
            let range = (name.clone(), 0)..=(name.clone(), u64::MAX);
            let waiting = self.waiting.range(range).filter_map(|(_, w)| self.entries.get(&w.key));
            let (mut pending, mut oldest) = (0, None::<Wall>);
            for entry in waiting {
                pending += 1;
                oldest = Some(oldest.map_or(entry.queued_at, |oldest| oldest.min(entry.queued_at)));
            }
            let (channel, failures) = (name.clone(), lane.failures);
            all.push(ChannelFigures { channel, failures, pending, oldest });
        }
        all
    }

    /// Queues one half of an episode for every channel that has not got it; the end only where
    /// the beginning may have been told.
    pub(super) fn queue(&mut self, id: &IncidentId, phase: Phase, now: Now) {
        let Some(incident) = self.incidents.get(id) else { return };
        let (group, severity) = (group_of(incident, phase), incident.severity);
        let mut rest = None;
        for channel in self.policy.channels.clone() {
            let key =
                |phase| EntryKey { incident: id.clone(), phase, channel: channel.name.clone() };
            let beginning = self.entries.get(&key(Phase::Firing));
            // What got too old without a single try was never told.
            let told = beginning.is_some_and(|b| b.state != EntryState::Expired || b.attempts > 0);
            let key = key(phase);
            if self.entries.contains_key(&key) || (phase == Phase::Resolved && !told) {
                continue;
            }
            let rest = *rest.get_or_insert_with(|| self.gather(now.mono, &group, severity));
            let entry = Entry {
                key: key.clone(),
                bundle: None,
                seq: self.next_seq,
                state: EntryState::Queued,
                attempts: 0,
                queued_at: now.wall,
                not_after: later(now.wall, channel.validity),
                last_attempt_at: None,
                done_at: None,
                last_error: None,
            };
            self.batch.entries.insert(key, Some(entry.clone()));
            self.enqueue(entry, rest, now.mono.after(channel.validity));
        }
    }

    /// From when on news of a group may be sent: the first at once, what follows gathered, and
    /// what is critical at once with all that was gathered.
    fn gather(&mut self, now: Mono, group: &GroupKey, severity: Severity) -> Mono {
        let wait = self.policy.group_wait;
        let fresh = GroupWindow { end: now.after(wait), gathered: false };
        let Some(window) = self.windows.get_mut(group) else {
            self.windows.insert(group.clone(), fresh);
            return now;
        };
        if severity == Severity::Critical {
            *window = fresh;
            for waiting in self.waiting.values_mut().filter(|w| w.group == *group) {
                // A failed try rests for its receiver's sake.
                let is_fresh = self.entries.get(&waiting.key).is_some_and(|e| e.bundle.is_none());
                if is_fresh {
                    waiting.rest = waiting.rest.min(now);
                }
            }
            return now;
        }
        if window.end == now.after(wait) && !window.gathered {
            // Found together, told together.
            return now;
        }
        if window.end <= now {
            let was_sent_at = window.end;
            let gathered = window.gathered;
            *window = fresh;
            // What was gathered left at the end of its window: that was a message of the group.
            if !gathered || was_sent_at.after(wait) <= now {
                return now;
            }
            window.end = was_sent_at.after(wait);
        }
        window.gathered = true;
        window.end
    }

    /// Takes back the news of one half of an episode as far as nobody has been sent it yet.
    pub(super) fn recall(&mut self, id: &IncidentId, phase: Phase) {
        let keys = self.keys_of(id).filter(|key| key.phase == phase).cloned();
        for key in keys.collect::<Vec<_>>() {
            let entry = &self.entries[&key];
            if entry.state == EntryState::Queued && entry.attempts == 0 {
                self.waiting.remove(&(key.channel.clone(), entry.seq));
                self.entries.remove(&key);
                self.batch.entries.insert(key, None);
            }
        }
    }

    /// Gives up what got too old. News of a fault that lasts never gets too old: it goes on.
    pub(super) fn expire(&mut self, now: Now) {
        let late = self.waiting.iter().filter(|(_, waiting)| waiting.expires <= now.mono);
        let late: Vec<_> = late.map(|(slot, w)| (slot.clone(), w.key.clone())).collect();
        for (slot, key) in late {
            // What is under way is not late: its answer decides.
            if self.entries.get(&key).is_none_or(|entry| entry.state == EntryState::Sent)
                && self.lanes.get(&key.channel).is_some_and(|lane| lane.in_flight.is_some())
            {
                continue;
            }
            let incident = self.incidents.get(&key.incident);
            let lasts = incident.is_some_and(|i| i.state == IncidentState::Firing);
            if let Some(lane) = self.lanes.get_mut(&key.channel) {
                if lasts && key.phase == Phase::Firing {
                    let validity = lane.policy.validity;
                    if let Some(waiting) = self.waiting.get_mut(&slot) {
                        waiting.expires = now.mono.after(validity);
                    }
                    self.alter(&key, |entry| entry.not_after = later(now.wall, validity));
                    let fact = Fact::new(FactKind::DeliveryLate, [key.channel.clone()]);
                    self.note(now, &key.incident, MONITOR, fact);
                    continue;
                }
                lane.failures += 1;
            }
            self.finish(&key, EntryState::Expired, now.wall, None);
            let args = [key.channel.clone(), key.phase.as_str().to_owned()];
            let fact = Fact::new(FactKind::DeliveryExpired, args);
            self.note(now, &key.incident, MONITOR, fact);
        }
    }

    /// Takes an entry into the tables, from the store.
    pub(super) fn adopt(&mut self, mut entry: Entry, now: Now) {
        if let (Some(at), Some(lane)) =
            (entry.last_attempt_at, self.lanes.get_mut(&entry.key.channel))
        {
            // The receiver's limit counts the tries of an earlier run as well.
            let ago = u64::try_from(span(at, now.wall).as_nanos()).unwrap_or(u64::MAX);
            if lane.policy.rate.is_some_and(|rate| span(at, now.wall) < rate.window) {
                lane.tried(Mono(now.mono.0.saturating_sub(ago)));
            }
        }
        if entry.attempts > 0 && entry.bundle.is_none() {
            // Earlier versions sent each incident by itself, under its own name.
            entry.bundle = Some(entry.key.incident.0.clone());
        }
        let whole = span(entry.queued_at, entry.not_after);
        // A clock that was set forth meanwhile must not make everything too old at once.
        let left = span(now.wall, entry.not_after).max(GRACE).min(whole);
        self.enqueue(entry, now.mono, now.mono.after(left));
    }

    fn enqueue(&mut self, entry: Entry, rest: Mono, expires: Mono) {
        self.next_seq = self.next_seq.max(entry.seq + 1);
        if !entry.state.is_final()
            && let Some(incident) = self.incidents.get(&entry.key.incident)
        {
            let slot = (entry.key.channel.clone(), entry.seq);
            let group = group_of(incident, entry.key.phase);
            self.waiting.insert(slot, Waiting { key: entry.key.clone(), rest, expires, group });
        }
        self.entries.insert(entry.key.clone(), entry);
    }

    /// The next message of a channel, if one is due.
    fn due_on(&mut self, name: &str, now: Mono) -> Option<Bundle> {
        let lane = self.lanes.get_mut(name)?;
        if lane.in_flight.is_some() || lane.open_at(now) > now {
            return None;
        }
        // All that waits goes together when there are too many messages, or when they fail.
        let is_digest = lane.troubled || lane.is_nearly_full(now);
        let all = (name.to_owned(), 0)..=(name.to_owned(), u64::MAX);
        let mut waiting = self.waiting.range(all.clone()).map(|(_, waiting)| waiting);
        let head = waiting.find(|w| w.rest <= now && self.is_begun(&w.key))?;
        let phase = head.key.phase;
        let bundle = self.entries.get(&head.key)?.bundle.clone();
        let goes_along = |other: &&Waiting| {
            let entry = self.entries.get(&other.key);
            let same = entry.is_some_and(|entry| entry.bundle == bundle);
            let together =
                bundle.is_some() || is_digest || (other.group == head.group && other.rest <= now);
            other.key.phase == phase && same && together && self.is_begun(&other.key)
        };
        // The composition of what was tried never changes, whatever its size.
        let max = if bundle.is_some() { usize::MAX } else { self.policy.bundle_max.max(1) };
        let head = head.key.incident.clone();
        let others = self.waiting.range(all).map(|(_, waiting)| waiting).filter(goes_along);
        let others = others.map(|w| w.key.incident.clone()).filter(|id| *id != head);
        let mut incidents: Vec<IncidentId> =
            std::iter::once(head.clone()).chain(others.take(max - 1)).collect();
        // The same order at each try, whichever comes first by its rest.
        let seq = |id: &IncidentId| {
            let (incident, channel) = (id.clone(), name.to_owned());
            self.entries.get(&EntryKey { incident, phase, channel }).map(|entry| entry.seq)
        };
        incidents.sort_by_key(seq);
        let name_of = bundle.unwrap_or_else(|| Bundle::name(&incidents));
        let key = BundleKey { channel: name.to_owned(), phase, name: name_of };
        Some(Bundle { key, incidents })
    }

    /// Whether the beginning of an episode has come to its end, so that its end may follow.
    fn is_begun(&self, key: &EntryKey) -> bool {
        let beginning = EntryKey { phase: Phase::Firing, ..key.clone() };
        key.phase == Phase::Firing
            || self.entries.get(&beginning).is_none_or(|entry| entry.state.is_final())
    }

    fn finish(&mut self, key: &EntryKey, state: EntryState, at: Wall, error: Option<String>) {
        self.alter(key, |entry| {
            (entry.state, entry.done_at) = (state, Some(at));
            // A confirmed entry keeps the trouble it had: the page shows it.
            entry.last_error = error.or(entry.last_error.take());
        });
        if let Some(entry) = self.entries.get(key) {
            self.waiting.remove(&(key.channel.clone(), entry.seq));
        }
    }

    /// Changes an entry and has it stored.
    fn alter(&mut self, key: &EntryKey, change: impl FnOnce(&mut Entry)) {
        let Some(entry) = self.entries.get_mut(key) else { return };
        change(entry);
        self.batch.entries.insert(key.clone(), Some(entry.clone()));
    }
}

/// Spreads the bits of a number (the finaliser of splitmix64).
fn mix(mut bits: u64) -> u64 {
    bits = (bits ^ (bits >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    bits = (bits ^ (bits >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    bits ^ (bits >> 31)
}

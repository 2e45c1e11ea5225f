//! The outbox: which notification goes when, again when, and never in the wrong order.

use std::fmt;
use std::fmt::Write as _;
use std::time::Duration;

use sha1::{Digest, Sha1};
use wk_proto::ids::{Mono, Wall};

use crate::incident::IncidentId;

/// Which half of an episode a notification tells of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Phase {
    /// The fault was found.
    Firing,
    /// The fault is gone.
    Resolved,
}

impl Phase {
    /// The word used in `Idempotency-Key` and in stores.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Firing => "firing",
            Self::Resolved => "resolved",
        }
    }
}

/// Name of an entry: there is at most one per incident, phase and channel.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct EntryKey {
    /// The incident.
    pub incident: IncidentId,
    /// Which half of its episode.
    pub phase: Phase,
    /// Name of the channel.
    pub channel: String,
}

/// How far an entry has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum EntryState {
    /// Stored, to be sent or sent again.
    Queued,
    /// Handed to the sender; the answer is not stored yet. After a crash it is sent again.
    Sent,
    /// The receiver took it.
    Confirmed,
    /// The receiver refused it for good.
    Failed,
    /// It got too old before it could be delivered.
    Expired,
}

impl EntryState {
    /// Whether nothing more will happen to the entry.
    pub fn is_final(self) -> bool {
        matches!(self, Self::Confirmed | Self::Failed | Self::Expired)
    }
}

/// Names one message: what a receiver may know it by when it comes again.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct BundleKey {
    /// The channel.
    pub channel: String,
    /// Which half of the episodes in it.
    pub phase: Phase,
    /// The id of its only incident, or `group-` and a hash of the ids of all.
    pub name: String,
}

impl fmt::Display for BundleKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.name, self.phase.as_str())
    }
}

/// One message: the entries that go together, in order of creation. Its composition is stored
/// before it is first sent and never changes, and neither does its name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Bundle {
    /// Its name.
    pub key: BundleKey,
    /// The incidents it tells of; never empty.
    pub incidents: Vec<IncidentId>,
}

impl Bundle {
    /// The name of a message about these incidents.
    pub(crate) fn name(incidents: &[IncidentId]) -> String {
        if let [only] = incidents {
            return only.0.clone();
        }
        let mut sorted: Vec<&IncidentId> = incidents.iter().collect();
        sorted.sort_unstable();
        let mut hash = Sha1::new();
        for id in sorted {
            hash.update(id.0.as_bytes());
            hash.update([0]);
        }
        let mut name = "group-".to_owned();
        for byte in &hash.finalize()[..6] {
            // Writing to a string cannot fail.
            let _ = write!(name, "{byte:02x}");
        }
        name
    }

    /// The names of its entries.
    pub fn entries(&self) -> impl Iterator<Item = EntryKey> {
        let BundleKey { channel, phase, .. } = &self.key;
        self.incidents.iter().map(|incident| EntryKey {
            incident: incident.clone(),
            phase: *phase,
            channel: channel.clone(),
        })
    }
}

/// One notification to one channel.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Its name.
    pub key: EntryKey,
    /// The name of the message it goes in; set from its first try on, and never changed.
    pub bundle: Option<String>,
    /// Order of creation over all entries; survives restarts.
    pub seq: u64,
    /// How far it has come.
    pub state: EntryState,
    /// How often it was handed to the sender.
    pub attempts: u32,
    /// When it was created.
    pub queued_at: Wall,
    /// It is useless after this.
    pub not_after: Wall,
    /// When it was last handed to the sender.
    pub last_attempt_at: Option<Wall>,
    /// When it reached its final state.
    pub done_at: Option<Wall>,
    /// What went wrong at the last try.
    pub last_error: Option<String>,
}

/// What came of a try.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The receiver took it.
    Confirmed,
    /// It may work later.
    Retry {
        /// What went wrong.
        error: String,
        /// The receiver asked to wait at least this long.
        after: Option<Duration>,
    },
    /// It will never work.
    Refused {
        /// What the receiver said.
        error: String,
    },
}

/// At most `count` tries in any `window`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rate {
    /// How many.
    pub count: usize,
    /// In which time.
    pub window: Duration,
}

/// How a channel is treated.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ChannelPolicy {
    /// Its name.
    pub name: String,
    /// What its receiver bears.
    pub rate: Option<Rate>,
    /// How long a notification is of use. Default 24 h.
    pub validity: Duration,
    /// Wait after the first failed try; doubles with each. Default 1 s.
    pub retry_first: Duration,
    /// Longest wait between tries. Default 5 min.
    pub retry_max: Duration,
}

impl ChannelPolicy {
    /// The defaults, without a rate limit.
    pub fn new(name: &str) -> Self {
        Self {
            name: name.to_owned(),
            rate: None,
            validity: Duration::from_hours(24),
            retry_first: Duration::from_secs(1),
            retry_max: Duration::from_mins(5),
        }
    }

    /// How long to wait after `attempts` tries, spread by up to a fifth either way so that entries
    /// that failed together do not come back together.
    pub(crate) fn backoff(&self, attempts: u32, noise: u64) -> Duration {
        let doubled = self.retry_first.saturating_mul(1 << attempts.saturating_sub(1).min(16));
        let base = doubled.min(self.retry_max);
        let permille = u32::try_from(800 + noise % 401).unwrap_or(1000);
        base.saturating_mul(permille) / 1000
    }
}

/// One channel at run time: what is in flight and what was tried lately.
#[derive(Clone, Debug)]
pub(crate) struct Lane {
    pub(crate) policy: ChannelPolicy,
    /// One try at a time, so that entries arrive in order.
    pub(crate) in_flight: Option<Bundle>,
    /// The last try failed and others may as well: what waits goes together.
    pub(crate) troubled: bool,
    /// Tries that failed, and entries refused or given up, in this run.
    pub(crate) failures: u64,
    /// Instants of the tries within the rate's window, oldest first.
    recent: Vec<Mono>,
}

impl Lane {
    pub(crate) fn new(policy: ChannelPolicy) -> Self {
        Self { policy, in_flight: None, troubled: false, failures: 0, recent: Vec::new() }
    }

    /// Counts a try.
    pub(crate) fn tried(&mut self, at: Mono) {
        if self.policy.rate.is_some() {
            self.recent.push(at);
            self.recent.sort_unstable();
        }
    }

    /// Whether the next try is the last that the rate allows for a while.
    pub(crate) fn is_nearly_full(&self, now: Mono) -> bool {
        self.policy.rate.is_some_and(|rate| {
            let recent = self.recent.iter().filter(|at| at.after(rate.window) > now);
            recent.count() + 1 >= rate.count
        })
    }

    /// From when on the rate limit lets another try pass.
    pub(crate) fn open_at(&mut self, now: Mono) -> Mono {
        let Some(rate) = self.policy.rate else { return now };
        self.recent.retain(|at| at.after(rate.window) > now);
        match self.recent.len().checked_sub(rate.count) {
            None => now,
            // The try after which `count - 1` are left in the window.
            Some(over) => self.recent[over].after(rate.window),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: u64) -> Mono {
        Mono(seconds * 1_000_000_000)
    }

    #[test]
    fn rate_limit_is_a_sliding_window() {
        let rate = Some(Rate { count: 2, window: Duration::from_mins(1) });
        let mut lane = Lane::new(ChannelPolicy { rate, ..ChannelPolicy::new("robot") });
        assert_eq!(lane.open_at(at(100)), at(100));
        lane.tried(at(100));
        lane.tried(at(110));
        assert_eq!(lane.open_at(at(111)), at(160));
        assert_eq!(lane.open_at(at(160)), at(160));
        lane.tried(at(160));
        assert_eq!(lane.open_at(at(161)), at(170));
    }

    #[test]
    fn backoff_doubles_up_to_its_limit_and_is_spread() {
        let policy = ChannelPolicy::new("mail");
        assert_eq!(policy.backoff(1, 200), Duration::from_secs(1));
        assert_eq!(policy.backoff(3, 0), Duration::from_millis(3200));
        assert_eq!(policy.backoff(3, 400), Duration::from_millis(4800));
        assert_eq!(policy.backoff(40, 200), Duration::from_mins(5));
    }
}

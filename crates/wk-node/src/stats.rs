//! Counters of a node: plain numbers, which shells export.

use std::collections::BTreeMap;
use std::time::Duration;

/// Number of buckets: eight to each doubling, from 1 microsecond to about an hour.
const BUCKETS: usize = 8 * 32;

/// Latencies of requests: count, sum, extremes, and a histogram for quantiles.
///
/// Buckets grow by an eighth of a doubling, so a quantile is right to about 6 %.
#[derive(Clone, Debug)]
pub struct Latency {
    count: u64,
    sum: Duration,
    min: Duration,
    max: Duration,
    buckets: Box<[u32; BUCKETS]>,
}

impl Default for Latency {
    fn default() -> Self {
        Self {
            count: 0,
            sum: Duration::ZERO,
            min: Duration::ZERO,
            max: Duration::ZERO,
            buckets: Box::new([0; BUCKETS]),
        }
    }
}

fn bucket(micros: u64) -> usize {
    let micros = micros.max(1);
    let doublings = micros.ilog2();
    // The three bits below the highest one.
    let eighth = if doublings >= 3 { micros >> (doublings - 3) } else { micros << (3 - doublings) };
    let index = u64::from(doublings) * 8 + (eighth & 7);
    usize::try_from(index).unwrap_or(BUCKETS).min(BUCKETS - 1)
}

fn bucket_end(index: usize) -> Duration {
    let (doublings, eighth) = (index / 8, index % 8 + 1);
    let micros = ((8 + eighth as u64) << doublings) / 8;
    Duration::from_micros(micros)
}

impl Latency {
    /// Adds one.
    pub fn record(&mut self, latency: Duration) {
        self.min = if self.count == 0 { latency } else { self.min.min(latency) };
        self.max = self.max.max(latency);
        self.count += 1;
        self.sum += latency;
        let micros = u64::try_from(latency.as_micros()).unwrap_or(u64::MAX);
        let slot = &mut self.buckets[bucket(micros)];
        *slot = slot.saturating_add(1);
    }

    /// Forgets everything.
    pub fn reset(&mut self) {
        *self = Self::default();
    }

    /// How many.
    pub fn count(&self) -> u64 {
        self.count
    }

    /// Of all together.
    pub fn sum(&self) -> Duration {
        self.sum
    }

    /// The shortest; zero if there is none.
    pub fn min(&self) -> Duration {
        self.min
    }

    /// The longest.
    pub fn max(&self) -> Duration {
        self.max
    }

    /// What came after `earlier`, an older state of this one that was not reset since. The
    /// extremes stay those of all.
    #[must_use]
    pub fn since(&self, earlier: &Self) -> Self {
        let mut rest = self.clone();
        rest.count = rest.count.saturating_sub(earlier.count);
        rest.sum = rest.sum.saturating_sub(earlier.sum);
        for (slot, old) in rest.buckets.iter_mut().zip(earlier.buckets.iter()) {
            *slot = slot.saturating_sub(*old);
        }
        rest
    }

    /// The latency that the share `q` (0 to 1) of all do not exceed; zero if there is none.
    pub fn quantile(&self, q: f64) -> Duration {
        let total: u64 = self.buckets.iter().map(|n| u64::from(*n)).sum();
        if total == 0 {
            return Duration::ZERO;
        }
        let mut seen = 0_u64;
        for (index, n) in self.buckets.iter().enumerate() {
            seen += u64::from(*n);
            #[expect(clippy::cast_precision_loss, reason = "a share of counts")]
            if seen as f64 >= q * total as f64 {
                return bucket_end(index).min(self.max);
            }
        }
        self.max
    }
}

/// Counters since the start of the node.
#[derive(Clone, Debug, Default)]
pub struct Stats {
    /// Frames from clients.
    pub packets_received: u64,
    /// Frames to clients.
    pub packets_sent: u64,
    /// Requests of all kinds but heartbeats, from frame to reply.
    pub latency: Latency,
    /// Reads among them.
    pub read_latency: Latency,
    /// Writes among them.
    pub update_latency: Latency,
    /// Handshakes.
    pub connection_requests: u64,
    /// Handshakes that resumed a session.
    pub connection_revalidations: u64,
    /// Sessions that expired.
    pub sessions_expired: u64,
    /// Connections that vanished without closing their session.
    pub connections_dropped: u64,
    /// Credentials refused.
    pub auth_failed: u64,
    /// Txns appended.
    pub proposals: u64,
    /// Txns applied.
    pub commits: u64,
    /// Undecodable frames and unknown operations.
    pub bad_requests: u64,
    /// Txns whose digest was not the tree's after they were applied.
    pub digest_mismatches: u64,
    /// Writes that a hard quota refused, by first path component.
    pub quota_exceeded: BTreeMap<String, u64>,
    /// Watch events sent, by kind: created, deleted, data changed, children changed.
    pub events: [u64; 4],
    /// Length of the last reply frame, and of the shortest and longest; -1 before the first.
    pub response_size: Option<ResponseSize>,
}

/// Lengths of reply frames.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ResponseSize {
    /// Of the last one.
    pub last: usize,
    /// Of the shortest.
    pub min: usize,
    /// Of the longest.
    pub max: usize,
}

/// The first path components that get a count of their own; what comes later is counted under
/// `other`, so that clients cannot make the list grow without bound.
const NAMESPACES_MAX: usize = 256;

impl Stats {
    /// A hard quota has refused a write to this path.
    pub(crate) fn quota_exceeded(&mut self, path: &str) {
        let top = path.trim_start_matches('/').split('/').next().unwrap_or_default();
        let known = self.quota_exceeded.contains_key(top);
        let key = if known || self.quota_exceeded.len() < NAMESPACES_MAX { top } else { "other" };
        *self.quota_exceeded.entry(key.to_owned()).or_default() += 1;
    }

    pub(crate) fn record_response(&mut self, len: usize) {
        self.packets_sent += 1;
        let size = self.response_size.get_or_insert(ResponseSize { last: len, min: len, max: len });
        size.last = len;
        size.min = size.min.min(len);
        size.max = size.max.max(len);
    }

    /// What `srst` and `crst` reset: latencies and packets, not the lifetime counters.
    pub fn reset_latency(&mut self) {
        self.latency.reset();
        self.packets_received = 0;
        self.packets_sent = 0;
        self.response_size = None;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_are_within_an_eighth_of_a_doubling() {
        let mut latency = Latency::default();
        for ms in 1..=100 {
            latency.record(Duration::from_millis(ms));
        }
        assert_eq!(latency.count(), 100);
        assert_eq!(latency.min(), Duration::from_millis(1));
        assert_eq!(latency.max(), Duration::from_millis(100));
        for (q, want) in [(0.5, 50.0), (0.9, 90.0), (0.99, 99.0)] {
            let got = latency.quantile(q).as_secs_f64() * 1e3;
            assert!((want..want * 1.13).contains(&got), "{q}: {got}");
        }
        assert_eq!(Latency::default().quantile(0.5), Duration::ZERO);
    }

    #[test]
    fn since_forgets_what_was_before() {
        let mut latency = Latency::default();
        latency.record(Duration::from_secs(1));
        let before = latency.clone();
        assert_eq!(latency.since(&before).quantile(0.5), Duration::ZERO);
        latency.record(Duration::from_millis(1));
        let rest = latency.since(&before);
        assert_eq!((rest.count(), rest.sum()), (1, Duration::from_millis(1)));
        assert!(rest.quantile(0.99) < Duration::from_millis(2));
    }

    #[test]
    fn every_latency_has_a_bucket() {
        for micros in [0, 1, 2, 7, 8, 9, 1000, u64::MAX] {
            assert!(bucket(micros) < BUCKETS);
            if micros < 1 << 31 {
                assert!(bucket_end(bucket(micros)) >= Duration::from_micros(micros));
            }
        }
    }
}

//! Which server to try next, and how long to wait before.
//!
//! The list is shuffled once, so that many clients spread over the servers. All of it is tried
//! before the first pause; pauses double from round to round and carry jitter, so that clients
//! which lost the same server do not come back in step.

use std::time::Duration;

/// Splitmix64: small, seeded, good enough for jitter and shuffling.
#[derive(Clone, Debug)]
struct Jitter(u64);

impl Jitter {
    fn new(seed: u64) -> Self {
        Self(seed)
    }

    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// A number below `bound`, which is not zero.
    fn below(&mut self, bound: u64) -> u64 {
        self.next() % bound
    }

    /// Between half of `d` and all of it.
    fn spread(&mut self, d: Duration) -> Duration {
        let half = u64::try_from(d.as_nanos() / 2).unwrap_or(u64::MAX / 2);
        Duration::from_nanos(half + self.below(half + 1))
    }
}

/// The order of servers and the state of the rounds.
#[derive(Clone, Debug)]
pub(crate) struct Hosts {
    order: Vec<usize>,
    at: usize,
    /// Attempts since the last session was established.
    failed: usize,
    backoff_min: Duration,
    backoff_max: Duration,
    jitter: Jitter,
}

impl Hosts {
    pub(crate) fn new(count: usize, backoff: (Duration, Duration), seed: u64) -> Self {
        let mut jitter = Jitter::new(seed);
        let mut order: Vec<usize> = (0..count.max(1)).collect();
        for i in (1..order.len()).rev() {
            let j = usize::try_from(jitter.below(i as u64 + 1)).unwrap_or(0);
            order.swap(i, j);
        }
        let (backoff_min, backoff_max) = backoff;
        Self { order, at: 0, failed: 0, backoff_min, backoff_max, jitter }
    }

    /// The server to try now.
    pub(crate) fn next(&mut self) -> usize {
        let host = self.order[self.at % self.order.len()];
        self.at = (self.at + 1) % self.order.len();
        host
    }

    /// Notes a failed attempt or a lost connection; returns the pause before the next attempt.
    pub(crate) fn pause(&mut self) -> Duration {
        self.failed += 1;
        let rounds = self.failed / self.order.len();
        if rounds == 0 {
            return Duration::ZERO;
        }
        if !self.failed.is_multiple_of(self.order.len()) {
            return Duration::ZERO;
        }
        let doublings = u32::try_from(rounds - 1).unwrap_or(u32::MAX).min(16);
        self.jitter.spread(self.backoff_min.saturating_mul(1 << doublings).min(self.backoff_max))
    }

    /// A session is established: the next loss begins anew with short pauses.
    pub(crate) fn succeeded(&mut self) {
        self.failed = 0;
    }

    /// Length of one round.
    pub(crate) fn len(&self) -> usize {
        self.order.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);

    #[test]
    fn every_host_is_tried_before_a_pause() {
        let mut hosts = Hosts::new(3, (100 * MS, 1000 * MS), 7);
        let mut tried: Vec<usize> = Vec::new();
        for attempt in 1..=3 {
            tried.push(hosts.next());
            assert_eq!(hosts.pause() > Duration::ZERO, attempt == 3);
        }
        tried.sort_unstable();
        assert_eq!(tried, [0, 1, 2]);
    }

    #[test]
    fn pauses_double_up_to_the_bound_and_start_anew_after_success() {
        let mut hosts = Hosts::new(1, (100 * MS, 1000 * MS), 7);
        let pauses: Vec<Duration> = (0..8).map(|_| hosts.pause()).collect();
        for (round, pause) in pauses.iter().enumerate() {
            let whole = (100 * MS * (1 << round)).min(1000 * MS);
            assert!(*pause >= whole / 2 && *pause <= whole, "round {round}: {pause:?}");
        }
        hosts.succeeded();
        assert!(hosts.pause() <= 100 * MS);
    }

    #[test]
    fn same_seed_same_order_and_seeds_differ() {
        let order = |seed| Hosts::new(9, (MS, MS), seed).order;
        assert_eq!(order(1), order(1));
        assert!((2..20).any(|seed| order(seed) != order(1)));
    }
}

//! The keys that come most often lately, with bounded memory.
//!
//! Space-saving counters that decay: a key that is not among the kept takes the place, and the
//! count, of the least of them, so that what is often is never missed and at worst overrated by
//! that least count.

use std::collections::BTreeMap;

/// Keys that are kept.
const KEPT: usize = 256;
/// What is left of a count after a second: a count's memory is half a minute.
const DECAY: f64 = 1.0 - 1.0 / 30.0;
/// Less than this is forgotten.
const LEAST: f64 = 0.05;

/// See the module's head.
#[derive(Debug, Default)]
pub(super) struct Hot {
    counts: BTreeMap<String, f64>,
}

impl Hot {
    pub(super) fn add(&mut self, key: &str) {
        if let Some(count) = self.counts.get_mut(key) {
            *count += 1.0;
            return;
        }
        let mut count = 1.0;
        if self.counts.len() >= KEPT {
            let least = self.counts.iter().min_by(|left, right| left.1.total_cmp(right.1));
            if let Some((key, least)) = least.map(|(key, count)| (key.clone(), *count)) {
                self.counts.remove(&key);
                count += least;
            }
        }
        self.counts.insert(key.to_owned(), count);
    }

    /// A second passed.
    pub(super) fn decay(&mut self) {
        self.counts.retain(|_, count| {
            *count *= DECAY;
            *count > LEAST
        });
    }

    /// The `n` hottest, per second, hottest first; names decide between equals.
    pub(super) fn top(&self, n: usize) -> Vec<(String, f64)> {
        let mut all: Vec<_> = self.counts.iter().collect();
        all.sort_by(|left, right| right.1.total_cmp(left.1).then_with(|| left.0.cmp(right.0)));
        // With r a second the count comes to rest at r * DECAY / (1 - DECAY).
        let rate = |count: f64| count * (1.0 - DECAY) / DECAY;
        all.into_iter().take(n).map(|(key, count)| (key.clone(), rate(*count))).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_often_is_found_among_many_that_are_not() {
        let mut hot = Hot::default();
        for second in 0..150 {
            for n in 0..200 {
                hot.add(&format!("/cold/{second}-{n}"));
                if n % 10 == 0 {
                    hot.add("/hot");
                }
            }
            hot.decay();
            assert!(hot.counts.len() <= KEPT);
        }
        let top = hot.top(1);
        assert_eq!(top[0].0, "/hot");
        // 20 a second, overrated by no more than the least of the kept.
        assert!((19.5..26.0).contains(&top[0].1), "{top:?}");
    }

    #[test]
    fn what_is_over_is_forgotten() {
        let mut hot = Hot::default();
        for _ in 0..100 {
            hot.add("/a");
        }
        for _ in 0..240 {
            hot.decay();
        }
        assert!(hot.top(1).is_empty());
    }
}

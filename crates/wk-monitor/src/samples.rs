//! Which series of a server are alive, so that they can be ended when nobody looks any more.

use std::collections::BTreeSet;

use wk_promql::{Labels, STALE, Sample, is_stale};

/// The series of one server, as last sampled.
#[derive(Debug, Default)]
pub(crate) struct ServerSeries {
    live: BTreeSet<Labels>,
    /// Ended in a look that does not count: they are over unless the next one shows them.
    doubtful: BTreeSet<Labels>,
}

impl ServerSeries {
    /// Takes the samples of one look; adds the ends that an earlier one had and that stand.
    pub(crate) fn look(&mut self, at: i64, mut samples: Vec<Sample>) -> Vec<Sample> {
        for sample in &samples {
            self.doubtful.remove(&sample.labels);
            if is_stale(sample.value) {
                self.live.remove(&sample.labels);
            } else if !self.live.contains(&sample.labels) {
                self.live.insert(sample.labels.clone());
            }
        }
        for labels in std::mem::take(&mut self.doubtful) {
            if self.live.remove(&labels) {
                samples.push(Sample { labels, at, value: STALE });
            }
        }
        samples
    }

    /// Takes note of a look that does not count: what it ended, it ends only for now.
    pub(crate) fn pass_over(&mut self, samples: &[Sample]) {
        let ended = samples.iter().filter(|sample| is_stale(sample.value));
        self.doubtful.extend(ended.map(|sample| sample.labels.clone()));
    }

    /// Ends everything: the server is not watched any more.
    pub(crate) fn retire(&mut self, at: i64) -> Vec<Sample> {
        let live = std::mem::take(&mut self.live);
        live.into_iter().map(|labels| Sample { labels, at, value: STALE }).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample(name: &str, value: f64) -> Sample {
        Sample { labels: Labels::metric(name, []), at: 1, value }
    }

    #[test]
    fn what_has_not_ended_ends_with_the_server() {
        let mut series = ServerSeries::default();
        series.look(1, vec![sample("up", 1.0), sample("znode_count", 5.0)]);
        series.look(1, vec![sample("up", 1.0), sample("znode_count", STALE)]);
        let ended = series.retire(7);
        assert_eq!((ended.len(), ended[0].labels.name(), ended[0].at), (1, "up", 7));
        assert!(is_stale(ended[0].value) && series.retire(8).is_empty());
    }

    #[test]
    fn an_end_in_a_look_that_does_not_count_stands_unless_the_next_shows_the_series() {
        let mut series = ServerSeries::default();
        series.look(1, vec![sample("a", 1.0), sample("b", 1.0)]);
        series.pass_over(&[sample("a", STALE), sample("b", STALE)]);
        let next = series.look(2, vec![sample("a", 2.0)]);
        let shown: Vec<_> = next.iter().map(|s| (s.labels.name(), is_stale(s.value))).collect();
        assert_eq!(shown, [("a", false), ("b", true)]);
        assert_eq!(series.look(3, vec![sample("a", 2.0)]).len(), 1, "it ends once");
    }
}

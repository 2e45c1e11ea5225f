//! What a canary has counted, as samples.

use std::time::Duration;

use wk_promql::{Labels, STALE, Sample};

use super::machine::Op;

/// Upper bounds of the buckets, in seconds, with their labels; the last bucket has none.
const BUCKETS: [(f64, &str); 11] = [
    (0.001, "0.001"),
    (0.002, "0.002"),
    (0.005, "0.005"),
    (0.01, "0.01"),
    (0.02, "0.02"),
    (0.05, "0.05"),
    (0.1, "0.1"),
    (0.2, "0.2"),
    (0.5, "0.5"),
    (1.0, "1"),
    (2.5, "2.5"),
];

/// Latencies of one operation.
#[derive(Clone, Debug, Default, PartialEq)]
struct Histogram {
    /// How many fell into each bucket, not cumulated; the last counts those above all bounds.
    counts: [u32; BUCKETS.len() + 1],
    sum: f64,
}

impl Histogram {
    fn observe(&mut self, took: Duration) {
        let seconds = took.as_secs_f64();
        let at = BUCKETS.iter().position(|(bound, _)| seconds <= *bound).unwrap_or(BUCKETS.len());
        self.counts[at] = self.counts[at].saturating_add(1);
        self.sum += seconds;
    }
}

/// The counters of one server's canary, and the series they go out as.
#[derive(Clone, Debug)]
pub struct Figures {
    counted: Counted,
    series: Series,
}

#[derive(Clone, Debug, Default)]
struct Counted {
    rounds: u32,
    failures: u32,
    connected: bool,
    histograms: [Histogram; Op::ALL.len()],
}

/// Label sets made once: they never change.
#[derive(Clone, Debug)]
struct Series {
    rounds: Labels,
    failures: Labels,
    connected: Labels,
    histograms: [HistogramSeries; Op::ALL.len()],
}

#[derive(Clone, Debug)]
struct HistogramSeries {
    buckets: Vec<Labels>,
    sum: Labels,
    count: Labels,
}

impl Figures {
    /// Counters at zero; every series carries `labels` (`ensemble`, `instance`, perhaps `site`).
    pub fn new(labels: &[(&str, &str)]) -> Self {
        let with = |metric: &str, more: &[(&str, &str)]| {
            Labels::metric(metric, labels.iter().chain(more).copied())
        };
        let histograms = Op::ALL.map(|op| {
            let op = ("op", op.as_str());
            let bounds = BUCKETS.iter().map(|(_, le)| *le).chain(["+Inf"]);
            let bucket = |le| with("watchkeeper_canary_latency_seconds_bucket", &[op, ("le", le)]);
            HistogramSeries {
                buckets: bounds.map(bucket).collect(),
                sum: with("watchkeeper_canary_latency_seconds_sum", &[op]),
                count: with("watchkeeper_canary_latency_seconds_count", &[op]),
            }
        });
        let series = Series {
            rounds: with("watchkeeper_canary_rounds_total", &[]),
            failures: with("watchkeeper_canary_failures_total", &[]),
            connected: with("watchkeeper_canary_connected", &[]),
            histograms,
        };
        Self { counted: Counted::default(), series }
    }

    /// A round began.
    pub fn round(&mut self) {
        self.counted.rounds = self.counted.rounds.saturating_add(1);
    }

    /// A step failed.
    pub fn failure(&mut self) {
        self.counted.failures = self.counted.failures.saturating_add(1);
    }

    /// A step took so long.
    pub fn took(&mut self, op: Op, took: Duration) {
        let at = Op::ALL.iter().position(|known| *known == op).unwrap_or(0);
        self.counted.histograms[at].observe(took);
    }

    /// Whether a server serves the canary.
    pub fn connected(&mut self, connected: bool) {
        self.counted.connected = connected;
    }

    /// The counters: rounds, failures, connected.
    pub fn counters(&self, at: i64) -> Vec<Sample> {
        let (counted, series) = (&self.counted, &self.series);
        let rows = [
            (&series.rounds, f64::from(counted.rounds)),
            (&series.failures, f64::from(counted.failures)),
            (&series.connected, f64::from(u8::from(counted.connected))),
        ];
        rows.map(|(labels, value)| Sample { labels: labels.clone(), at, value }).into()
    }

    /// The latencies.
    pub fn latencies(&self, at: i64) -> Vec<Sample> {
        let mut out = Vec::new();
        for (histogram, series) in self.counted.histograms.iter().zip(&self.series.histograms) {
            let mut below = 0.0;
            for (labels, count) in series.buckets.iter().zip(histogram.counts) {
                below += f64::from(count);
                out.push(Sample { labels: labels.clone(), at, value: below });
            }
            out.push(Sample { labels: series.sum.clone(), at, value: histogram.sum });
            out.push(Sample { labels: series.count.clone(), at, value: below });
        }
        out
    }

    /// The end of every series: this server is not asked any more.
    pub fn stale(&self, at: i64) -> Vec<Sample> {
        let mut all = self.counters(at);
        all.extend(self.latencies(at));
        for sample in &mut all {
            sample.value = STALE;
        }
        all
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn value(samples: &[Sample], series: &str) -> f64 {
        let found = samples.iter().find(|sample| sample.labels.to_string() == series);
        found.unwrap_or_else(|| panic!("{series} in {samples:#?}")).value
    }

    #[test]
    fn buckets_are_cumulative_and_agree_with_sum_and_count() {
        let mut figures = Figures::new(&[("ensemble", "e"), ("instance", "a:1")]);
        for ms in [1, 3, 3, 700, 9000] {
            figures.took(Op::Write, Duration::from_millis(ms));
        }
        let all = figures.latencies(5);
        let bucket = |le: &str| {
            let labels = format!(r#"ensemble="e", instance="a:1", le="{le}", op="write""#);
            value(&all, &format!("watchkeeper_canary_latency_seconds_bucket{{{labels}}}"))
        };
        // A bound belongs to its bucket.
        let counts = ["0.001", "0.002", "0.005", "0.5", "1", "2.5", "+Inf"].map(bucket);
        assert_eq!(counts.map(|c| c.to_string()), ["1", "1", "3", "3", "4", "4", "5"]);
        let labels = r#"{ensemble="e", instance="a:1", op="write"}"#;
        let of =
            |end: &str| value(&all, &format!("watchkeeper_canary_latency_seconds_{end}{labels}"));
        assert!((of("sum") - 9.707).abs() < 1e-9 && (of("count") - 5.0).abs() < 1e-9);
        let read = labels.replace("write", "read");
        let reads = value(&all, &format!("watchkeeper_canary_latency_seconds_count{read}"));
        assert!(reads.abs() < 1e-9, "reads are counted apart");
    }

    #[test]
    fn every_series_ends_when_the_server_is_gone() {
        let figures = Figures::new(&[("ensemble", "e"), ("instance", "a:1")]);
        let stale = figures.stale(7);
        assert_eq!(stale.len(), 3 + 4 * (12 + 2));
        assert!(stale.iter().all(|sample| wk_promql::is_stale(sample.value) && sample.at == 7));
    }
}

//! The metric registry: Apache's names, one owner (the driver thread), no locks.
//!
//! Values are noted by the driver between effects; a [`Metrics`] snapshot is what `mntr`, the
//! AdminServer's `monitor` and `/metrics` render.

mod gauges;
mod names;
mod summary;
mod text;

pub use gauges::{Gauges, QuotaGauge};
pub use names::{Advanced, Basic, Counter};
pub use summary::{Summary, SummaryValue};
pub use text::{Sample, java_double};

use std::collections::BTreeMap;

/// A gauge's value: Apache prints whole numbers and doubles differently.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Number {
    /// A whole number.
    Int(i64),
    /// A double.
    Float(f64),
}

/// The value of one metric.
#[derive(Clone, Debug, PartialEq)]
pub enum MetricValue {
    /// Goes up and down.
    Gauge(Number),
    /// Only grows.
    Counter(u64),
    /// A distribution.
    Summary(SummaryValue),
    /// One gauge for each key (the label `key`).
    GaugeSet(Vec<(String, i64)>),
    /// One counter for each key.
    CounterSet(Vec<(String, u64)>),
    /// One distribution for each key.
    SummarySet(Vec<(String, SummaryValue)>),
}

/// One metric with Apache's name (no `zk_` prefix).
#[derive(Clone, Debug, PartialEq)]
pub struct Metric {
    /// Apache's name.
    pub name: &'static str,
    /// What it showed.
    pub value: MetricValue,
}

/// Everything that `mntr`, `monitor` and `/metrics` show, taken at one moment.
#[derive(Clone, Debug, PartialEq)]
pub struct Metrics {
    /// As in [`crate::report::ServerStats::version`].
    pub version: String,
    /// As in [`crate::report::ServerStats::server_state`].
    pub server_state: &'static str,
    /// All metrics: gauges, counters, summaries, sets.
    pub metrics: Vec<Metric>,
}

/// The first path components that get a row of their own in the sets by namespace; what comes
/// later is counted under `other`, so that clients cannot grow the page without bound.
const NAMESPACES_MAX: usize = 256;

/// Holds the counters and summaries; gauges are computed when asked for.
#[derive(Debug)]
pub struct Registry {
    counters: Vec<u64>,
    basic: Vec<Summary>,
    advanced: Vec<Summary>,
    read_per_namespace: BTreeMap<String, Summary>,
    write_per_namespace: BTreeMap<String, Summary>,
}

impl Default for Registry {
    fn default() -> Self {
        Self {
            counters: vec![0; Counter::NAMES.len()],
            basic: vec![Summary::default(); Basic::NAMES.len()],
            advanced: vec![Summary::advanced(); Advanced::NAMES.len()],
            read_per_namespace: BTreeMap::new(),
            write_per_namespace: BTreeMap::new(),
        }
    }
}

impl Registry {
    /// Adds to a counter.
    pub fn count(&mut self, which: Counter, by: u64) {
        self.counters[which as usize] += by;
    }

    /// Reads a counter.
    pub fn counter(&self, which: Counter) -> u64 {
        self.counters[which as usize]
    }

    /// Sets a counter that a core keeps itself.
    pub fn set_counter(&mut self, which: Counter, value: u64) {
        self.counters[which as usize] = value;
    }

    /// Notes a value of a basic summary.
    pub fn basic(&mut self, now_ms: u64, which: Basic, value: u64) {
        self.basic[which as usize].add(now_ms, value);
    }

    /// Notes a value of an advanced summary.
    pub fn advanced(&mut self, now_ms: u64, which: Advanced, value: u64) {
        self.advanced[which as usize].add(now_ms, value);
    }

    /// Notes the size of a read below the first component of `path`.
    pub fn read_of(&mut self, now_ms: u64, path: &str, bytes: u64) {
        note_namespace(&mut self.read_per_namespace, now_ms, path, bytes);
    }

    /// Notes the size of a write below the first component of `path`.
    pub fn write_of(&mut self, now_ms: u64, path: &str, bytes: u64) {
        note_namespace(&mut self.write_per_namespace, now_ms, path, bytes);
    }

    /// Forgets everything (`srst`).
    pub fn reset(&mut self) {
        *self = Self::default();
    }

    /// The counters, summaries and sets as they stand, in the order of their declaration.
    pub fn snapshot(&mut self, now_ms: u64) -> Vec<Metric> {
        let counters = Counter::NAMES
            .iter()
            .zip(&self.counters)
            .map(|(name, value)| Metric { name, value: MetricValue::Counter(*value) });
        let basic = Basic::NAMES.iter().zip(&mut self.basic);
        let advanced = Advanced::NAMES.iter().zip(&mut self.advanced);
        let mut metrics: Vec<Metric> = counters.collect();
        metrics.extend(basic.chain(advanced).map(|(name, summary)| Metric {
            name,
            value: MetricValue::Summary(summary.snapshot(now_ms)),
        }));
        for (name, set) in [
            ("write_per_namespace", &mut self.write_per_namespace),
            ("read_per_namespace", &mut self.read_per_namespace),
        ] {
            let rows = set.iter_mut().map(|(key, of)| (key.clone(), of.snapshot(now_ms)));
            metrics.push(Metric { name, value: MetricValue::SummarySet(rows.collect()) });
        }
        metrics
    }
}

fn note_namespace(set: &mut BTreeMap<String, Summary>, now_ms: u64, path: &str, bytes: u64) {
    let Some(top) = path.strip_prefix('/').and_then(|rest| rest.split('/').next()) else {
        return;
    };
    if top.is_empty() {
        return;
    }
    if let Some(summary) = set.get_mut(top) {
        return summary.add(now_ms, bytes);
    }
    let key = if set.len() < NAMESPACES_MAX { top } else { "other" };
    set.entry(key.to_owned()).or_default().add(now_ms, bytes);
}

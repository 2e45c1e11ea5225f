//! The newest samples of many series, in memory and bounded.

use std::collections::BTreeMap;

use crate::labels::{Labels, NAME, Sample};
use crate::matcher::{MatchOp, Matcher};
use crate::value::{Source, Visit};

/// What a [`Window`] may hold.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WindowPolicy {
    /// Series at once. Default 100 000; a further one is refused.
    pub series_max: usize,
    /// Bytes of samples and labels. Default 256 MiB. Above it new series are refused, and a series
    /// that grows loses its own oldest samples instead.
    pub bytes_max: usize,
    /// How long a sample is kept where [`WindowPolicy::retention_ms`] does not name its metric.
    /// Default 10 minutes.
    pub retention_default_ms: i64,
    /// How long the samples of a metric are kept.
    pub retention_ms: BTreeMap<String, i64>,
    /// Labels of one series, its name among them. Default 64; more are refused.
    pub labels_max: usize,
    /// Bytes of a label's name. Default 256; more are refused.
    pub label_name_max: usize,
    /// Bytes of a label's value. Default 2048; more are refused.
    pub label_value_max: usize,
}

impl Default for WindowPolicy {
    fn default() -> Self {
        Self {
            series_max: 100_000,
            bytes_max: 256 << 20,
            retention_default_ms: 600_000,
            retention_ms: BTreeMap::new(),
            labels_max: 64,
            label_name_max: 256,
            label_value_max: 2048,
        }
    }
}

/// Why a sample was not taken.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum AppendError {
    /// Older than the newest sample of its series.
    #[error("out of order: the series already has a sample at {newest}")]
    OutOfOrder {
        /// Milliseconds since 1970.
        newest: i64,
    },
    /// Another value at the same time.
    #[error("duplicate: the series already has another value at that time")]
    Duplicate,
    /// Over [`WindowPolicy::series_max`].
    #[error("more than {max} series")]
    TooManySeries {
        /// The bound.
        max: usize,
    },
    /// A new series over [`WindowPolicy::bytes_max`].
    #[error("no room for a new series in {max} bytes")]
    TooManyBytes {
        /// The bound.
        max: usize,
    },
    /// A series without a metric's name.
    #[error("a series without a metric name")]
    NoName,
    /// Over [`WindowPolicy::labels_max`].
    #[error("{count} labels: at most {max}")]
    TooManyLabels {
        /// How many there are.
        count: usize,
        /// The bound.
        max: usize,
    },
    /// Over [`WindowPolicy::label_name_max`] or [`WindowPolicy::label_value_max`].
    #[error("label {label:?}: name or value too long")]
    LabelTooLong {
        /// The front of its name.
        label: String,
    },
}

#[derive(Debug, Default)]
struct Stored {
    samples: Vec<(i64, f64)>,
}

/// The newest samples of many series.
#[derive(Debug)]
pub struct Window {
    policy: WindowPolicy,
    metrics: BTreeMap<Box<str>, BTreeMap<Labels, Stored>>,
}

impl Window {
    /// An empty window.
    pub fn new(policy: WindowPolicy) -> Self {
        Self { policy, metrics: BTreeMap::new() }
    }

    /// Adds the newest sample of a series. The same sample again is no error and changes nothing.
    pub fn append(&mut self, sample: &Sample) -> Result<(), AppendError> {
        let metric = self.metrics.entry(sample.labels.name().into()).or_default();
        let stored = metric.entry(sample.labels.clone()).or_default();
        match stored.samples.last() {
            Some((newest, _)) if *newest > sample.at => {
                return Err(AppendError::OutOfOrder { newest: *newest });
            }
            Some((newest, value)) if *newest == sample.at => {
                let is_same = value.to_bits() == sample.value.to_bits();
                return if is_same { Ok(()) } else { Err(AppendError::Duplicate) };
            }
            _ => stored.samples.push((sample.at, sample.value)),
        }
        Ok(())
    }

    /// Forgets what is older than its metric's retention.
    pub fn trim(&mut self, now: i64) {
        let policy = &self.policy;
        self.metrics.retain(|name, metric| {
            let keep = policy.retention_ms.get(&**name).copied();
            let after = now.saturating_sub(keep.unwrap_or(policy.retention_default_ms));
            metric.retain(|_, stored| {
                stored.samples.retain(|(at, _)| *at >= after);
                !stored.samples.is_empty()
            });
            !metric.is_empty()
        });
    }

    /// Changes how long samples are kept, from the next [`Window::trim`] on.
    pub fn retain(&mut self, retention_ms: BTreeMap<String, i64>, retention_default_ms: i64) {
        self.policy.retention_ms = retention_ms;
        self.policy.retention_default_ms = retention_default_ms;
    }

    /// Series now.
    pub fn series(&self) -> usize {
        self.metrics.values().map(BTreeMap::len).sum()
    }

    /// Samples now.
    pub fn samples(&self) -> usize {
        let all = self.metrics.values().flat_map(BTreeMap::values);
        all.map(|stored| stored.samples.len()).sum()
    }

    /// Bytes now, of samples and labels.
    pub fn bytes(&self) -> usize {
        self.samples() * size_of::<(i64, f64)>()
    }
}

impl Source for Window {
    fn select(&self, matchers: &[Matcher], after: i64, upto: i64, visit: &mut Visit<'_>) {
        let exact = matchers.iter().find(|m| m.name() == NAME && m.op() == MatchOp::Equal);
        for (name, metric) in &self.metrics {
            if exact.is_some_and(|exact| exact.value() != &**name) {
                continue;
            }
            for (labels, stored) in metric {
                if !matchers.iter().all(|matcher| matcher.matches(labels)) {
                    continue;
                }
                let mut samples =
                    stored.samples.iter().copied().filter(|(at, _)| after < *at && *at <= upto);
                visit(labels, &mut samples);
            }
        }
    }
}

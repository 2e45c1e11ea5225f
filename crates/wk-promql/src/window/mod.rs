//! The newest samples of many series, in memory and bounded.

mod chunk;
mod store;

use std::collections::BTreeMap;

use crate::labels::{Labels, NAME, Sample};
use crate::matcher::{MatchOp, Matcher};
use crate::value::{Source, Visit};

use store::Store;

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

/// What a window has refused or given up since it was made.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Refused {
    /// Samples older than the newest of their series.
    pub out_of_order: u64,
    /// Samples with another value at the same time.
    pub duplicate: u64,
    /// Samples of series over [`WindowPolicy::series_max`].
    pub series: u64,
    /// Samples of new series over [`WindowPolicy::bytes_max`].
    pub bytes: u64,
    /// Samples whose label sets were not acceptable.
    pub labels: u64,
    /// Samples taken and given up early, to stay within [`WindowPolicy::bytes_max`].
    pub evicted: u64,
}

impl Refused {
    fn count(&mut self, why: &AppendError) {
        let counter = match why {
            AppendError::OutOfOrder { .. } => &mut self.out_of_order,
            AppendError::Duplicate => &mut self.duplicate,
            AppendError::TooManySeries { .. } => &mut self.series,
            AppendError::TooManyBytes { .. } => &mut self.bytes,
            AppendError::NoName
            | AppendError::TooManyLabels { .. }
            | AppendError::LabelTooLong { .. } => &mut self.labels,
        };
        *counter = counter.saturating_add(1);
    }
}

/// The newest samples of many series.
#[derive(Debug)]
pub struct Window {
    policy: WindowPolicy,
    metrics: BTreeMap<Box<str>, BTreeMap<Labels, Store>>,
    series: usize, // of all metrics
    bytes: usize,  // of all series: labels and chunks
    refused: Refused,
}

impl Window {
    /// An empty window.
    pub fn new(policy: WindowPolicy) -> Self {
        let refused = Refused::default();
        Self { policy, metrics: BTreeMap::new(), series: 0, bytes: 0, refused }
    }

    /// Adds the newest sample of a series. The same sample again is no error and changes nothing.
    ///
    /// # Errors
    /// [`AppendError`] says why it was not taken; [`Window::refused`] counts.
    pub fn append(&mut self, sample: &Sample) -> Result<(), AppendError> {
        let taken = self.try_append(sample);
        if let Err(why) = &taken {
            self.refused.count(why);
        }
        taken
    }

    fn try_append(&mut self, sample: &Sample) -> Result<(), AppendError> {
        let Sample { labels, at, value } = sample;
        let metric = self.metrics.get_mut(labels.name());
        let Some(store) = metric.and_then(|metric| metric.get_mut(labels)) else {
            return self.begin(sample);
        };
        let (newest, known) = store.last();
        if newest > *at {
            return Err(AppendError::OutOfOrder { newest });
        }
        if newest == *at {
            let is_same = known.to_bits() == value.to_bits();
            return if is_same { Ok(()) } else { Err(AppendError::Duplicate) };
        }
        let (before, after) = store.push(*at, *value);
        self.bytes = self.bytes + after - before;
        while self.bytes > self.policy.bytes_max {
            let Some((samples, bytes)) = store.drop_oldest() else { break };
            self.bytes -= bytes;
            self.refused.evicted = self.refused.evicted.saturating_add(samples as u64);
        }
        Ok(())
    }

    /// Takes in a series that is not there yet.
    fn begin(&mut self, sample: &Sample) -> Result<(), AppendError> {
        let Sample { labels, at, value } = sample;
        self.check(labels)?;
        if self.series >= self.policy.series_max {
            return Err(AppendError::TooManySeries { max: self.policy.series_max });
        }
        let store = Store::new(*at, *value);
        let bytes = series_bytes(labels) + store.bytes();
        if self.bytes + bytes > self.policy.bytes_max {
            return Err(AppendError::TooManyBytes { max: self.policy.bytes_max });
        }
        self.bytes += bytes;
        self.series += 1;
        let metric = self.metrics.entry(labels.name().into()).or_default();
        metric.insert(labels.clone(), store);
        Ok(())
    }

    fn check(&self, labels: &Labels) -> Result<(), AppendError> {
        if labels.name().is_empty() {
            return Err(AppendError::NoName);
        }
        let (count, max) = (labels.len(), self.policy.labels_max);
        if count > max {
            return Err(AppendError::TooManyLabels { count, max });
        }
        let is_long = |(name, value): &(&str, &str)| {
            name.len() > self.policy.label_name_max || value.len() > self.policy.label_value_max
        };
        match labels.iter().find(is_long) {
            Some((label, _)) => {
                Err(AppendError::LabelTooLong { label: label.chars().take(64).collect() })
            }
            None => Ok(()),
        }
    }

    /// Forgets what is older than its metric's retention, in whole chunks: a sample is kept at
    /// least that long. A series without any sample left is gone.
    pub fn trim(&mut self, now: i64) {
        let Self { policy, metrics, series, bytes, .. } = self;
        metrics.retain(|name, metric| {
            let keep = policy.retention_ms.get(&**name).copied();
            let cutoff = now.saturating_sub(keep.unwrap_or(policy.retention_default_ms));
            metric.retain(|labels, store| {
                let before = store.bytes();
                let is_left = store.trim(cutoff);
                if is_left {
                    *bytes = *bytes + store.bytes() - before;
                } else {
                    *bytes -= before + series_bytes(labels);
                    *series -= 1;
                }
                is_left
            });
            !metric.is_empty()
        });
    }

    /// Changes how long samples are kept, from the next [`Window::trim`] on.
    pub fn retain(&mut self, retention_ms: BTreeMap<String, i64>, retention_default_ms: i64) {
        self.policy.retention_ms = retention_ms;
        self.policy.retention_default_ms = retention_default_ms;
    }

    /// Its bounds.
    pub fn policy(&self) -> &WindowPolicy {
        &self.policy
    }

    /// Series now.
    pub fn series(&self) -> usize {
        self.series
    }

    /// Samples now. Counts all chunks.
    pub fn samples(&self) -> usize {
        self.metrics.values().flat_map(BTreeMap::values).map(Store::samples).sum()
    }

    /// Bytes now: samples and labels, without the nodes of the maps around them.
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// What was refused or given up so far.
    pub fn refused(&self) -> Refused {
        self.refused
    }

    /// Visits the series of one metric, or of all, that meet `matchers`.
    fn visit<'w>(&'w self, matchers: &[Matcher], mut visit: impl FnMut(&'w Labels, &'w Store)) {
        let (names, others): (Vec<&Matcher>, Vec<&Matcher>) =
            matchers.iter().partition(|matcher| matcher.name() == NAME);
        let mut of_metric = |metric: &'w BTreeMap<Labels, Store>| {
            for (labels, store) in metric {
                if others.iter().all(|matcher| matcher.matches(labels)) {
                    visit(labels, store);
                }
            }
        };
        let meets = |name: &str| names.iter().all(|matcher| matcher.is_match(name));
        if let Some(exact) = names.iter().find(|matcher| matcher.op() == MatchOp::Equal) {
            if let Some(metric) = self.metrics.get(exact.value()).filter(|_| meets(exact.value())) {
                of_metric(metric);
            }
            return;
        }
        // Names sort before all other labels but those in capitals: by name is by labels, nearly.
        self.metrics.iter().filter(|(name, _)| meets(name)).for_each(|(_, metric)| {
            of_metric(metric);
        });
    }
}

/// What the labels of a series take.
fn series_bytes(labels: &Labels) -> usize {
    let pair = size_of::<(Box<str>, Box<str>)>();
    let texts = labels.iter().map(|(name, value)| pair + name.len() + value.len());
    size_of::<Labels>() + size_of::<usize>() * 2 + texts.sum::<usize>()
}

impl Source for Window {
    fn select(&self, matchers: &[Matcher], after: i64, upto: i64, visit: &mut Visit<'_>) {
        self.visit(matchers, |labels, store| {
            let mut samples = store.between(after, upto).peekable();
            if samples.peek().is_some() {
                visit(labels, &mut samples);
            }
        });
    }

    fn latest(
        &self,
        matchers: &[Matcher],
        after: i64,
        upto: i64,
        visit: &mut dyn FnMut(&Labels, (i64, f64)),
    ) {
        self.visit(matchers, |labels, store| {
            if let Some(sample) = store.latest(after, upto) {
                visit(labels, sample);
            }
        });
    }
}

#[cfg(test)]
mod tests;

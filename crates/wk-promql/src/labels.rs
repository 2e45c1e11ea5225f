//! Label sets, and the sample that everything which observes hands on.

use std::fmt;
use std::sync::Arc;

/// The label that holds a metric's name.
pub const NAME: &str = "__name__";

/// The labels that say which metric a series is.
const METADATA: &[&str] = &[NAME, "__type__", "__unit__"];

/// The value that ends a series: from this sample on it is not there (Prometheus' stale marker).
pub const STALE: f64 = f64::from_bits(0x7ff0_0000_0000_0002);

/// Whether `value` is [`STALE`]; any other NaN is a value.
pub fn is_stale(value: f64) -> bool {
    value.to_bits() == STALE.to_bits()
}

/// A series' identity: labels sorted by name, each name once, none with an empty value; the metric's
/// name is the label [`NAME`]. Cheap to clone.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Labels(Arc<[(Box<str>, Box<str>)]>);

impl Labels {
    /// The labels of `metric`; a label given twice keeps its last value, an empty value is no label.
    pub fn metric<'p>(
        metric: &'p str,
        labels: impl IntoIterator<Item = (&'p str, &'p str)>,
    ) -> Self {
        Self::new(std::iter::once((NAME, metric)).chain(labels))
    }

    /// As [`Labels::metric`], with the name among the labels or without one.
    pub fn new<'p>(labels: impl IntoIterator<Item = (&'p str, &'p str)>) -> Self {
        let mut kept: Vec<(Box<str>, Box<str>)> = Vec::new();
        for (name, value) in labels {
            match kept.iter_mut().find(|(known, _)| **known == *name) {
                Some((_, known)) => *known = value.into(),
                None => kept.push((name.into(), value.into())),
            }
        }
        kept.retain(|(_, value)| !value.is_empty());
        kept.sort_unstable();
        Self(kept.into())
    }

    /// The value of `name`; the empty string where there is no such label, as in PromQL.
    pub fn get(&self, name: &str) -> &str {
        let at = self.0.binary_search_by(|(known, _)| (**known).cmp(name));
        at.map_or("", |at| &self.0[at].1)
    }

    /// How many labels there are, the metric's name among them.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The same without what says which metric it is: the labels [`NAME`], `__type__`, `__unit__`.
    #[must_use]
    pub fn without_name(&self) -> Self {
        if !self.iter().any(|(name, _)| METADATA.contains(&name)) {
            return self.clone();
        }
        self.filtered(|name| !METADATA.contains(&name))
    }

    /// The labels of `names` alone.
    #[must_use]
    pub fn only(&self, names: &[String]) -> Self {
        self.filtered(|name| names.iter().any(|kept| kept == name))
    }

    /// The labels but those of `names`.
    #[must_use]
    pub fn except(&self, names: &[String]) -> Self {
        self.filtered(|name| names.iter().all(|dropped| dropped != name))
    }

    /// The same with the label `name` set to `value`; without it where the value is empty.
    #[must_use]
    pub fn with(&self, name: &str, value: &str) -> Self {
        let mut kept: Vec<_> =
            self.0.iter().filter(|(known, _)| **known != *name).cloned().collect();
        if !value.is_empty() {
            let at = kept.partition_point(|(known, _)| **known < *name);
            kept.insert(at, (name.into(), value.into()));
        }
        Self(kept.into())
    }

    fn filtered(&self, keep: impl Fn(&str) -> bool) -> Self {
        Self(self.0.iter().filter(|(name, _)| keep(name)).cloned().collect())
    }

    /// The metric's name, or the empty string.
    pub fn name(&self) -> &str {
        self.get(NAME)
    }

    /// All labels by name, the metric's name among them.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0.iter().map(|(name, value)| (&**name, &**value))
    }
}

impl fmt::Debug for Labels {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// As Prometheus writes a series: `up{ensemble="prod"}`.
impl fmt::Display for Labels {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())?;
        let mut labels = self.iter().filter(|(name, _)| *name != NAME).peekable();
        if labels.peek().is_none() {
            return if self.name().is_empty() { f.write_str("{}") } else { Ok(()) };
        }
        let mut separator = "{";
        for (name, value) in labels {
            write!(f, "{separator}{name}={value:?}")?;
            separator = ", ";
        }
        f.write_str("}")
    }
}

/// One value of one series at one time.
#[derive(Clone, Debug, PartialEq)]
pub struct Sample {
    /// Which series.
    pub labels: Labels,
    /// Milliseconds since 1970.
    pub at: i64,
    /// The value; [`STALE`] ends the series.
    pub value: f64,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_are_sorted_and_unique_and_empty_ones_are_none() {
        let labels = Labels::metric("up", [("job", "a"), ("ensemble", "e"), ("job", "b")]);
        assert_eq!(labels.to_string(), r#"up{ensemble="e", job="b"}"#);
        assert_eq!((labels.name(), labels.get("job"), labels.get("none")), ("up", "b", ""));
        assert_eq!(labels, Labels::metric("up", [("job", "b"), ("x", ""), ("ensemble", "e")]));
        assert_eq!(Labels::default().to_string(), "{}");
    }

    #[test]
    fn only_the_marker_is_stale() {
        assert!(is_stale(STALE) && STALE.is_nan());
        assert!(!is_stale(f64::NAN) && !is_stale(0.0));
    }
}

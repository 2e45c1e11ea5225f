//! The two spellings of metrics: `mntr` lines and samples in Prometheus' manner.

use super::{Metric, MetricValue, Metrics, Number, SummaryValue};
use std::fmt::Write as _;

/// One line of a metrics page.
#[derive(Clone, Debug, PartialEq)]
pub struct Sample {
    /// Name of the sample (`readlatency_count`).
    pub name: String,
    /// Its labels, in order.
    pub labels: Vec<(&'static str, String)>,
    /// Its value.
    pub value: f64,
}

/// A double in Java's spelling (`1.4624504E7`, `0.0`, `NaN`), as Apache prints it.
pub fn java_double(value: f64) -> String {
    if value.is_nan() {
        return "NaN".to_owned();
    }
    if value.is_infinite() {
        return if value > 0.0 { "Infinity" } else { "-Infinity" }.to_owned();
    }
    let size = value.abs();
    if value == 0.0 || (1e-3..1e7).contains(&size) {
        return format!("{value:?}");
    }
    let text = format!("{value:e}");
    match text.split_once('e') {
        Some((digits, power)) if !digits.contains('.') => format!("{digits}.0E{power}"),
        Some((digits, power)) => format!("{digits}E{power}"),
        None => text,
    }
}

#[expect(clippy::cast_precision_loss, reason = "Prometheus knows doubles only")]
fn double(value: u64) -> f64 {
    value as f64
}

impl Metric {
    /// The samples that Apache's Prometheus provider (3.9) shows for this metric.
    pub fn samples(&self) -> Vec<Sample> {
        let plain = |value| vec![Sample { name: self.name.to_owned(), labels: Vec::new(), value }];
        let keyed = |key: &String, value| Sample {
            name: self.name.to_owned(),
            labels: vec![("key", key.clone())],
            value,
        };
        match &self.value {
            #[expect(clippy::cast_precision_loss, reason = "Prometheus knows doubles only")]
            MetricValue::Gauge(Number::Int(value)) => plain(*value as f64),
            MetricValue::Gauge(Number::Float(value)) => plain(*value),
            MetricValue::Counter(value) => plain(double(*value)),
            MetricValue::Summary(summary) => self.summary_samples(None, summary),
            #[expect(clippy::cast_precision_loss, reason = "Prometheus knows doubles only")]
            MetricValue::GaugeSet(rows) => {
                rows.iter().map(|(key, value)| keyed(key, *value as f64)).collect()
            }
            MetricValue::CounterSet(rows) => {
                rows.iter().map(|(key, value)| keyed(key, double(*value))).collect()
            }
            MetricValue::SummarySet(rows) => rows
                .iter()
                .flat_map(|(key, summary)| self.summary_samples(Some(key), summary))
                .collect(),
        }
    }

    /// `gauge`, `counter` or `summary`, for `# TYPE`.
    pub fn prometheus_type(&self) -> &'static str {
        match self.value {
            MetricValue::Gauge(_) | MetricValue::GaugeSet(_) => "gauge",
            MetricValue::Counter(_) | MetricValue::CounterSet(_) => "counter",
            MetricValue::Summary(_) | MetricValue::SummarySet(_) => "summary",
        }
    }

    fn summary_samples(&self, key: Option<&String>, summary: &SummaryValue) -> Vec<Sample> {
        let labels = || -> Vec<(&'static str, String)> {
            key.into_iter().map(|key| ("key", key.clone())).collect()
        };
        let mut samples = Vec::with_capacity(summary.quantiles.len() + 2);
        for (quantile, value) in &summary.quantiles {
            let mut labels = labels();
            labels.push(("quantile", java_double(*quantile)));
            samples.push(Sample { name: self.name.to_owned(), labels, value: *value });
        }
        for (suffix, value) in [("count", summary.count), ("sum", summary.sum)] {
            let name = format!("{}_{suffix}", self.name);
            samples.push(Sample { name, labels: labels(), value: double(value) });
        }
        samples
    }

    /// The (key, value) rows of `mntr` without the prefix `zk_`, default provider.
    fn mntr_rows(&self, rows: &mut Vec<(String, String)>) {
        let name = self.name;
        match &self.value {
            MetricValue::Gauge(Number::Int(value)) => {
                rows.push((name.to_owned(), value.to_string()));
            }
            MetricValue::Gauge(Number::Float(value)) => {
                rows.push((name.to_owned(), java_double(*value)));
            }
            MetricValue::Counter(value) => rows.push((name.to_owned(), value.to_string())),
            MetricValue::Summary(summary) => summary_rows(name, summary, rows),
            MetricValue::GaugeSet(set) => {
                rows.extend(set.iter().map(|(key, v)| (format!("{key}_{name}"), v.to_string())));
            }
            MetricValue::CounterSet(set) => {
                rows.extend(set.iter().map(|(key, v)| (format!("{key}_{name}"), v.to_string())));
            }
            MetricValue::SummarySet(set) => {
                for (key, summary) in set {
                    summary_rows(&format!("{key}_{name}"), summary, rows);
                }
            }
        }
    }
}

fn summary_rows(name: &str, summary: &SummaryValue, rows: &mut Vec<(String, String)>) {
    rows.push((format!("avg_{name}"), java_double(summary.avg())));
    rows.push((format!("min_{name}"), summary.min.to_string()));
    rows.push((format!("max_{name}"), summary.max.to_string()));
    rows.push((format!("cnt_{name}"), summary.count.to_string()));
    rows.push((format!("sum_{name}"), summary.sum.to_string()));
    for (key, value) in
        ["p50", "p95", "p99", "p999"].iter().zip(summary.percentiles.iter().flatten())
    {
        rows.push((format!("{key}_{name}"), value.to_string()));
    }
}

impl Metrics {
    /// The rows of `mntr` and of the AdminServer's `monitor`, without the prefix `zk_`.
    ///
    /// Apache shows the Prometheus provider's sample names once that provider is configured;
    /// `prometheus` asks for these.
    pub fn rows(&self, prometheus: bool) -> Vec<(String, String)> {
        let mut rows = vec![
            ("version".to_owned(), self.version.clone()),
            ("server_state".to_owned(), self.server_state.to_owned()),
        ];
        for metric in &self.metrics {
            if !prometheus {
                metric.mntr_rows(&mut rows);
                continue;
            }
            rows.extend(metric.samples().into_iter().map(|sample| {
                let mut key = sample.name;
                for (index, (label, value)) in sample.labels.iter().enumerate() {
                    let open = if index == 0 { '{' } else { ',' };
                    let _ = write!(key, "{open}{label}=\"{value}\"");
                }
                if !sample.labels.is_empty() {
                    key.push('}');
                }
                (key, java_double(sample.value))
            }));
        }
        rows
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn doubles_are_spelled_as_java_spells_them() {
        for (value, want) in [
            (0.0, "0.0"),
            (-1.0, "-1.0"),
            (14_624_504.0, "1.4624504E7"),
            (1e7, "1.0E7"),
            (9_999_999.0, "9999999.0"),
            (0.001, "0.001"),
            (0.0005, "5.0E-4"),
            (f64::NAN, "NaN"),
        ] {
            assert_eq!(java_double(value), want);
        }
    }
}

//! `/compat/apache/metrics`: Apache's names for the watched ensemble, whatever serves it.
//!
//! The values are the rows of the servers' own `mntr`. Apache prints these in two dialects (with
//! and without its Prometheus provider); both become the names and shapes of the provider of 3.9,
//! so that existing dashboards and rules find them, with the labels `ensemble` and `instance`.

use std::collections::BTreeMap;

use wk_monitor::{Fleet, Server};
use wk_server::metrics::{Advanced, Basic, Counter};

use super::exposition::{Kind, Page};

/// Sets: their rows are `KEY_NAME` without the provider.
const SETS: &[&str] = &[
    "ack_latency",
    "learner_handler_qp_size",
    "learner_handler_qp_time_ms",
    "quota_bytes_limit_per_namespace",
    "quota_bytes_usage_per_namespace",
    "quota_count_limit_per_namespace",
    "quota_count_usage_per_namespace",
    "quota_exceeded_error_per_namespace",
    "read_per_namespace",
    "write_per_namespace",
];

/// Prefix of a row without the provider, and the quantile that it shows.
const PERCENTILES: &[(&str, &str)] =
    &[("p50_", "0.5"), ("p95_", "0.95"), ("p99_", "0.99"), ("p999_", "0.999")];

/// A sample without the labels that all samples of a server share.
#[derive(Clone, Debug, PartialEq)]
struct Sample {
    suffix: &'static str,
    labels: Vec<(String, String)>,
    value: f64,
}

#[derive(Debug)]
struct Family {
    kind: Kind,
    samples: Vec<(String, String, Sample)>,
}

/// Draws the page.
pub(crate) fn page(fleet: &Fleet) -> Page {
    let mut families: BTreeMap<String, Family> = BTreeMap::new();
    for ensemble in &fleet.ensembles {
        for server in &ensemble.servers {
            for (name, kind, sample) in samples(server) {
                let family = families.entry(name).or_insert(Family { kind, samples: Vec::new() });
                family.samples.push((ensemble.name.clone(), server.instance.clone(), sample));
            }
        }
    }
    let mut page = Page::default();
    for (name, family) in &families {
        page.family(name, family.kind, name);
        for (ensemble, instance, sample) in &family.samples {
            let mut labels = vec![("ensemble", ensemble.as_str()), ("instance", instance.as_str())];
            labels.extend(sample.labels.iter().map(|(n, v)| (n.as_str(), v.as_str())));
            page.sample(&format!("{name}{}", sample.suffix), &labels, sample.value);
        }
    }
    page
}

fn samples(server: &Server) -> Vec<(String, Kind, Sample)> {
    let rows: BTreeMap<&str, f64> = server
        .monitor_rows
        .iter()
        .filter_map(|(key, value)| Some((key.as_str(), value.parse().ok()?)))
        .collect();
    rows.iter().map(|(key, value)| sample(key, *value, &rows)).collect::<Vec<_>>().concat()
}

/// What one row says. A row that only makes sense beside another (`avg_X` of a summary) says nothing.
fn sample(key: &str, value: f64, rows: &BTreeMap<&str, f64>) -> Vec<(String, Kind, Sample)> {
    if let Some(sample) = provider_sample(key, value, rows) {
        return vec![sample];
    }
    let has = |prefix: &str, name: &str| rows.contains_key(format!("{prefix}{name}").as_str());
    for (prefix, suffix) in [("cnt_", "_count"), ("sum_", "_sum")] {
        if let Some(name) = key.strip_prefix(prefix)
            && has("cnt_", name)
            && has("sum_", name)
        {
            return vec![keyed(name, Kind::Summary, suffix, &[], value)];
        }
    }
    for (prefix, quantile) in PERCENTILES {
        if let Some(name) = key.strip_prefix(prefix)
            && let Some(count) = rows.get(format!("cnt_{name}").as_str())
        {
            // The provider says NaN where nothing was seen; the other dialect says 0.
            let value = if *count == 0.0 { f64::NAN } else { value };
            return vec![keyed(name, Kind::Summary, "", &[("quantile", *quantile)], value)];
        }
    }
    let of_summary = ["avg_", "min_", "max_"]
        .iter()
        .any(|prefix| key.strip_prefix(prefix).is_some_and(|name| has("cnt_", name)));
    if of_summary { Vec::new() } else { vec![keyed(key, kind_of(key), "", &[], value)] }
}

/// A row that is a sample of the provider already: `name{label="value"}`, or `name_count` beside it.
fn provider_sample(
    key: &str,
    value: f64,
    rows: &BTreeMap<&str, f64>,
) -> Option<(String, Kind, Sample)> {
    if let Some((name, labels)) = key.split_once('{') {
        let labels = parse_labels(labels.strip_suffix('}')?)?;
        let is_summary = labels.iter().any(|(label, _)| label == "quantile");
        let (name, suffix) = split_suffix(name);
        let kind = if is_summary || !suffix.is_empty() { Kind::Summary } else { kind_of(name) };
        return Some((name.to_owned(), kind, Sample { suffix, labels, value }));
    }
    let (name, suffix) = split_suffix(key);
    let quantile = format!("{name}{{quantile=\"0.5\"}}");
    let beside = !suffix.is_empty() && rows.contains_key(quantile.as_str());
    let sample = Sample { suffix, labels: Vec::new(), value };
    beside.then(|| (name.to_owned(), Kind::Summary, sample))
}

fn split_suffix(name: &str) -> (&str, &'static str) {
    for suffix in ["_count", "_sum"] {
        if let Some(name) = name.strip_suffix(suffix)
            && !is_counter(&format!("{name}{suffix}"))
        {
            return (name, suffix);
        }
    }
    (name, "")
}

fn parse_labels(text: &str) -> Option<Vec<(String, String)>> {
    let mut labels = Vec::new();
    for part in text.split("\",").filter(|part| !part.is_empty()) {
        let (name, value) = part.split_once("=\"")?;
        labels.push((name.trim().to_owned(), value.trim_end_matches('"').to_owned()));
    }
    Some(labels)
}

/// A sample of `name`, or of the set that `name` is a row of.
fn keyed(
    name: &str,
    kind: Kind,
    suffix: &'static str,
    labels: &[(&str, &str)],
    value: f64,
) -> (String, Kind, Sample) {
    let labels = labels.iter().map(|(n, v)| ((*n).to_owned(), (*v).to_owned()));
    // `quorum_ack_latency` is no row of the set `ack_latency`.
    let own = Basic::NAMES.contains(&name) || Advanced::NAMES.contains(&name);
    for set in SETS.iter().filter(|_| !own) {
        if let Some(key) = name.strip_suffix(set).and_then(|key| key.strip_suffix('_')) {
            let key = ("key".to_owned(), key.to_owned());
            let labels = std::iter::once(key).chain(labels).collect();
            let kind = if kind == Kind::Summary { kind } else { kind_of(set) };
            return ((*set).to_owned(), kind, Sample { suffix, labels, value });
        }
    }
    (name.to_owned(), kind, Sample { suffix, labels: labels.collect(), value })
}

fn kind_of(name: &str) -> Kind {
    if is_counter(name) { Kind::Counter } else { Kind::Gauge }
}

fn is_counter(name: &str) -> bool {
    Counter::NAMES.contains(&name)
        || name == "quota_exceeded_error_per_namespace"
        || name.ends_with("_total")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn converted(rows: &[(&str, f64)]) -> Vec<String> {
        let rows: BTreeMap<&str, f64> = rows.iter().copied().collect();
        let all = rows.iter().flat_map(|(key, value)| sample(key, *value, &rows));
        all.map(|(name, kind, sample)| {
            let labels: Vec<String> =
                sample.labels.iter().map(|(n, v)| format!("{n}={v}")).collect();
            format!("{kind:?} {name}{}{labels:?} {}", sample.suffix, sample.value)
        })
        .collect()
    }

    #[test]
    fn rows_without_the_provider_become_its_summaries() {
        let rows = [
            ("avg_latency", 0.5),
            ("avg_readlatency", 1.0),
            ("min_readlatency", 0.0),
            ("max_readlatency", 3.0),
            ("cnt_readlatency", 4.0),
            ("sum_readlatency", 5.0),
            ("p50_readlatency", 1.0),
            ("p999_readlatency", 3.0),
            ("cnt_app_read_per_namespace", 0.0),
            ("sum_app_read_per_namespace", 0.0),
            ("cnt_quorum_ack_latency", 2.0),
            ("sum_quorum_ack_latency", 6.0),
            ("snap_count", 7.0),
            ("app_quota_count_limit_per_namespace", 9.0),
        ];
        let want = [
            "Gauge quota_count_limit_per_namespace[\"key=app\"] 9",
            "Gauge avg_latency[] 0.5",
            "Summary read_per_namespace_count[\"key=app\"] 0",
            "Summary quorum_ack_latency_count[] 2",
            "Summary readlatency_count[] 4",
            "Summary readlatency[\"quantile=0.5\"] 1",
            "Summary readlatency[\"quantile=0.999\"] 3",
            "Counter snap_count[] 7",
            "Summary read_per_namespace_sum[\"key=app\"] 0",
            "Summary quorum_ack_latency_sum[] 6",
            "Summary readlatency_sum[] 5",
        ];
        assert_eq!(converted(&rows), want);
    }

    #[test]
    fn rows_of_the_provider_stay_what_they_are() {
        let rows = [
            ("fsynctime{quantile=\"0.5\"}", 2.0),
            ("fsynctime_count", 3.0),
            ("fsynctime_sum", 6.0),
            ("znode_count", 5.0),
            ("read_per_namespace{key=\"app\",quantile=\"0.5\"}", 1.0),
            ("read_per_namespace_sum{key=\"app\"}", 8.0),
            ("snap_count", 0.0),
        ];
        let want = [
            "Summary fsynctime_count[] 3",
            "Summary fsynctime_sum[] 6",
            "Summary fsynctime[\"quantile=0.5\"] 2",
            "Summary read_per_namespace_sum[\"key=app\"] 8",
            "Summary read_per_namespace[\"key=app\", \"quantile=0.5\"] 1",
            "Counter snap_count[] 0",
            "Gauge znode_count[] 5",
        ];
        assert_eq!(converted(&rows), want);
    }
}

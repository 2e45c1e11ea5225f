//! One set of names, whatever the version and the source: a `/metrics` page of 3.6 to 3.10, the
//! rows of `mntr` (with and without the provider, 3.4 to 3.9), AdminServer's `monitor`, `srvr`.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use crate::names::{NO_ROWS, PERCENTILES, SETS, TEXTS, renamed};
use crate::page::{Page, PageLimits, Series};
use crate::words::Srvr;

/// Nobody leads for longer than a thousand years, in seconds: what says so is nonsense.
const LEADING_MAX: f64 = 1000.0 * 365.25 * 86_400.0;

/// What a server said of itself, under Apache 3.9's names.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Figures {
    /// Its numbers; no series twice.
    pub series: Vec<Series>,
    /// `version`, `server_state`, `peer_state`, `observer_master_id` as far as told.
    pub texts: BTreeMap<&'static str, String>,
}

impl Figures {
    /// How long it has been leading, in seconds, if it says something that can be.
    pub fn leading_seconds(&self) -> Option<f64> {
        let seconds = self.measured("leader_uptime")? / 1000.0;
        (seconds <= LEADING_MAX).then_some(seconds)
    }

    /// The value of a series without labels, if it is a measure: finite and not negative.
    pub fn measured(&self, name: &str) -> Option<f64> {
        self.value(name).filter(|value| value.is_finite() && *value >= 0.0)
    }

    /// From a `/metrics` page.
    pub fn from_page(page: Page) -> Self {
        Self::new(page.series, BTreeMap::new())
    }

    /// From an answer to `mntr`.
    pub fn from_mntr(text: &str) -> Self {
        let rows = text.lines().filter_map(|line| {
            let (key, value) = line.split_once('\t')?;
            Some((key.strip_prefix("zk_")?.to_owned(), value.trim().to_owned()))
        });
        Self::from_rows(&rows.collect())
    }

    /// From the answer to AdminServer's `monitor`; other keys than numbers and texts say nothing.
    pub fn from_monitor(object: &serde_json::Map<String, Value>) -> Self {
        let rows = object.iter().filter_map(|(key, value)| {
            let value = match value {
                Value::Number(number) => number.to_string(),
                Value::String(text) => text.clone(),
                Value::Null | Value::Bool(_) | Value::Array(_) | Value::Object(_) => return None,
            };
            Some((key.clone(), value))
        });
        Self::from_rows(&rows.filter(|(key, _)| key != "command" && key != "error").collect())
    }

    /// The little that `srvr` tells.
    pub fn from_srvr(srvr: &Srvr) -> Self {
        let mut series = Vec::new();
        for (name, value) in [
            ("znode_count", srvr.znodes),
            ("num_alive_connections", srvr.connections),
            ("outstanding_requests", srvr.outstanding),
            ("packets_received", srvr.received),
            ("packets_sent", srvr.sent),
        ] {
            series.extend(value.map(|value| Series::bare(name, as_float(value))));
        }
        if let Some((min, avg, max)) = srvr.latency_ms {
            let rows = [("min_latency", min), ("avg_latency", avg), ("max_latency", max)];
            series.extend(rows.map(|(name, value)| Series::bare(name, value)));
        }
        if let Some((last, min, max)) = srvr.proposal_sizes {
            let rows = [
                ("last_proposal_size", last),
                ("min_proposal_size", min),
                ("max_proposal_size", max),
            ];
            series.extend(rows.map(|(name, value)| Series::bare(name, value)));
        }
        let mut texts = BTreeMap::new();
        texts.extend(srvr.mode.clone().map(|mode| ("server_state", mode)));
        texts.extend(srvr.version.clone().map(|version| ("version", version)));
        Self { series, texts }
    }

    fn from_rows(rows: &BTreeMap<String, String>) -> Self {
        let mut texts = BTreeMap::new();
        for name in TEXTS {
            texts.extend(rows.get(*name).map(|text| (*name, text.clone())));
        }
        let series = rows.iter().filter(|(key, _)| !TEXTS.contains(&key.as_str()));
        Self::new(series.filter_map(|(key, value)| row(key, value, rows)).collect(), texts)
    }

    fn new(mut series: Vec<Series>, texts: BTreeMap<&'static str, String>) -> Self {
        let mut seen = BTreeSet::new();
        series.retain_mut(|series| {
            series.name = renamed(&series.name).to_owned();
            seen.insert((series.name.clone(), series.labels.clone()))
        });
        Self { series, texts }
    }

    /// The value of a series without labels.
    pub fn value(&self, name: &str) -> Option<f64> {
        let bare = |series: &&Series| series.name == name && series.labels.is_empty();
        self.series.iter().find(bare).map(|series| series.value)
    }

    /// Adds a series unless it is there.
    pub fn add(&mut self, name: &str, value: f64) {
        if self.value(name).is_none() {
            self.series.push(Series::bare(name, value));
        }
    }

    /// Whether the server serves: without a quorum it shows no tree.
    pub fn serves(&self) -> bool {
        self.value("znode_count").is_some()
    }

    /// Its role, as far as these figures tell it.
    pub fn mode(&self) -> Option<&str> {
        if let Some(state) = self.texts.get("server_state") {
            return Some(state);
        }
        if !self.serves() {
            return None;
        }
        let has = |name| self.value(name).is_some();
        match (has("leader_uptime"), has("quorum_size"), has("synced_observers")) {
            (true, ..) => Some("leader"),
            (false, true, true) => Some("follower"),
            (false, true, false) => Some("observer"),
            // A read-only server looks the same: `srvr` tells them apart.
            (false, false, _) => None,
        }
    }
}

/// What one row says; a row that only makes sense beside another (`avg_X` of a summary) nothing.
fn row(key: &str, value: &str, rows: &BTreeMap<String, String>) -> Option<Series> {
    if key.contains('{') {
        // With the provider, `mntr` prints its page's samples.
        let line = format!("{key} {value}");
        return Page::parse(line.as_bytes(), PageLimits::default()).series.pop();
    }
    let value: f64 = value.parse().ok()?;
    let has = |prefix: &str, name: &str| rows.contains_key(&format!("{prefix}{name}"));
    for (prefix, suffix) in [("cnt_", "_count"), ("sum_", "_sum")] {
        if let Some(name) = key.strip_prefix(prefix)
            && has("cnt_", name)
            && has("sum_", name)
        {
            return Some(of_set(name, suffix, None, value));
        }
    }
    for (prefix, quantile) in PERCENTILES {
        if let Some(name) = key.strip_prefix(prefix)
            && let Some(count) = rows.get(&format!("cnt_{name}"))
        {
            // The provider says NaN where nothing was seen; this dialect says 0.
            let value = if count == "0" { f64::NAN } else { value };
            return Some(of_set(name, "", Some(quantile), value));
        }
    }
    let of_summary = ["avg_", "min_", "max_"]
        .iter()
        .any(|prefix| key.strip_prefix(prefix).is_some_and(|name| has("cnt_", name)));
    (!of_summary).then(|| of_set(key, "", None, value))
}

/// The series `name`, or that of the set which `name` is a row of.
fn of_set(name: &str, suffix: &str, quantile: Option<&str>, value: f64) -> Series {
    let quantile = quantile.map(|quantile| ("quantile".to_owned(), quantile.to_owned()));
    let sets = SETS.iter().filter(|_| !NO_ROWS.contains(&name));
    for set in sets {
        if let Some(key) = name.strip_suffix(set).and_then(|key| key.strip_suffix('_')) {
            let key = ("key".to_owned(), key.to_owned());
            let labels = std::iter::once(key).chain(quantile).collect();
            return Series { name: format!("{set}{suffix}"), labels, value };
        }
    }
    Series { name: format!("{name}{suffix}"), labels: quantile.into_iter().collect(), value }
}

#[expect(clippy::cast_precision_loss, reason = "counts beyond 2^53 may lose their last digits")]
pub(crate) fn as_float(value: u64) -> f64 {
    value as f64
}

#[cfg(test)]
mod tests;

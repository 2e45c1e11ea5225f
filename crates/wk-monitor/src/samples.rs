//! What probes report, as samples under Apache's names: the one place where that is done.

use std::collections::BTreeSet;

use wk_alert::server::Probe;
use wk_promql::{Labels, STALE, Sample};

use crate::probe::{Report, Srvr};

/// The series of one server, as last sampled.
#[derive(Debug)]
pub(crate) struct ServerSeries {
    ensemble: String,
    site: Option<String>,
    instance: String,
    /// Names of the figures that have a sample which is not stale.
    live: BTreeSet<String>,
    mode: Option<String>,
}

impl ServerSeries {
    pub(crate) fn new(ensemble: &str, site: Option<&str>, instance: &str) -> Self {
        Self {
            ensemble: ensemble.to_owned(),
            site: site.map(str::to_owned),
            instance: instance.to_owned(),
            live: BTreeSet::new(),
            mode: None,
        }
    }

    /// The samples of one look at `at` (milliseconds since 1970).
    pub(crate) fn look(&mut self, at: i64, report: &Report) -> Vec<Sample> {
        let up = match report.probe {
            Probe::Serving { .. } | Probe::NotServing { .. } => 1.0,
            Probe::NoAnswer { .. } => 0.0,
        };
        let mut samples = vec![self.sample("up", at, up)];
        let Probe::Serving { mode } = &report.probe else {
            samples.extend(self.end(at));
            return samples;
        };
        // A new office has other figures; those of the old one say nothing any more.
        if self.mode.replace(mode.clone()).is_some_and(|old| old != *mode) {
            samples.extend(self.end(at));
        }
        let mut figures: Vec<(String, f64)> = Vec::new();
        for (name, value) in report.mntr.iter().flat_map(|rows| rows.iter()) {
            figures.extend(value.parse().ok().map(|value| (name.clone(), value)));
        }
        for (name, value) in report.srvr.iter().flat_map(of_srvr) {
            if figures.iter().all(|(known, _)| known != name) {
                figures.push((name.to_owned(), value));
            }
        }
        for (name, value) in figures {
            let sample = self.sample(&name, at, value);
            samples.retain(|older| older.labels != sample.labels);
            samples.push(sample);
            self.live.insert(name);
        }
        samples
    }

    /// Ends all figures but `up`.
    fn end(&mut self, at: i64) -> Vec<Sample> {
        let live = std::mem::take(&mut self.live);
        live.iter().map(|name| self.sample(name, at, STALE)).collect()
    }

    /// Ends everything: the server is not watched any more.
    pub(crate) fn retire(&mut self, at: i64) -> Vec<Sample> {
        let mut samples = self.end(at);
        samples.push(self.sample("up", at, STALE));
        samples
    }

    fn sample(&self, name: &str, at: i64, value: f64) -> Sample {
        let labels = [
            ("ensemble", self.ensemble.as_str()),
            ("instance", &self.instance),
            ("job", "zookeeper"),
            ("site", self.site.as_deref().unwrap_or_default()),
        ];
        Sample { labels: Labels::metric(name, labels), at, value }
    }
}

#[expect(clippy::cast_precision_loss, reason = "counts this large are no longer counted")]
fn of_srvr(srvr: &Srvr) -> impl Iterator<Item = (&'static str, f64)> {
    let figures = [
        ("znode_count", srvr.znodes),
        ("num_alive_connections", srvr.connections),
        ("outstanding_requests", srvr.outstanding),
    ];
    figures.into_iter().filter_map(|(name, value)| Some((name, value? as f64)))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn report(probe: Probe, mntr: &[(&str, &str)]) -> Report {
        let rows = mntr.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
        let srvr = Srvr { znodes: Some(5), ..Srvr::default() };
        let serves = matches!(probe, Probe::Serving { .. });
        Report {
            probe,
            took: Duration::ZERO,
            srvr: serves.then_some(srvr),
            mntr: (!mntr.is_empty()).then(|| rows.collect()),
            refused: vec![],
        }
    }

    fn shown(samples: &[Sample]) -> Vec<String> {
        let show = |sample: &Sample| format!("{} {}", sample.labels.name(), sample.value);
        samples.iter().map(show).collect()
    }

    #[test]
    fn figures_end_when_the_server_stops_to_serve() {
        let mut series = ServerSeries::new("e", Some("x"), "h:1");
        let serving = |mode: &str| Probe::Serving { mode: mode.into() };
        let rows = [("leader_uptime", "7"), ("version", "3.9.5")];
        let first = series.look(1, &report(serving("leader"), &rows));
        assert_eq!(shown(&first), ["up 1", "leader_uptime 7", "znode_count 5"]);
        let labels = r#"up{ensemble="e", instance="h:1", job="zookeeper", site="x"}"#;
        assert_eq!(first[0].labels.to_string(), labels);
        let other = series.look(2, &report(serving("follower"), &[]));
        assert_eq!(shown(&other), ["up 1", "leader_uptime NaN", "znode_count 5"]);
        let not = series.look(3, &report(Probe::NotServing { answer: "n".into() }, &[]));
        assert_eq!(shown(&not), ["up 1", "znode_count NaN"]);
        assert!(wk_promql::is_stale(not[1].value));
        let gone = series.look(4, &report(Probe::NoAnswer { reason: "r".into() }, &[]));
        assert_eq!(shown(&gone), ["up 0"]);
        assert_eq!(shown(&series.retire(5)), ["up NaN"]);
    }
}

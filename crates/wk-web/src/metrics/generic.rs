//! `/compat/generic/metrics`: three generic names that older dashboards ask for, truly filled.
//!
//! `zookeeper_metrics_up`, `zookeeper_metrics_latency_microseconds` and
//! `zookeeper_metrics_requests_total`. Latency is what the monitor's probes saw (`method` is
//! `probe`); requests are counted per operation where a server says so (`op_count_*`), else as
//! packets received.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use wk_monitor::{Fleet, Server, ServerState, Timestamp};

use super::exposition::{Kind, Page, count};

/// Upper bounds of the buckets, in microseconds.
const BOUNDS: [u32; 12] =
    [100, 250, 500, 1000, 2500, 5000, 10_000, 25_000, 50_000, 100_000, 500_000, 1_000_000];

/// Probe times of one server.
#[derive(Clone, Debug, Default)]
struct Histogram {
    seen: Timestamp,
    counts: [u64; BOUNDS.len()],
    total: u64,
    sum: f64,
}

/// Probe times of all servers, noted as the monitor publishes them.
#[derive(Debug, Default)]
pub(crate) struct ProbeTimes {
    // Held for a few assignments only, never over an await.
    servers: Mutex<BTreeMap<String, Histogram>>,
}

impl ProbeTimes {
    /// Notes the probes that `fleet` shows and an earlier picture did not.
    pub(crate) fn note(&self, fleet: &Fleet) {
        let mut servers = self.servers.lock().unwrap_or_else(PoisonError::into_inner);
        for server in fleet.ensembles.iter().flat_map(|ensemble| &ensemble.servers) {
            let (Some(seen), Some(seconds)) = (server.last_seen, server.probe_seconds) else {
                continue;
            };
            let histogram = servers.entry(server.instance.clone()).or_default();
            if seen <= histogram.seen {
                continue;
            }
            histogram.seen = seen;
            let micros = seconds * 1e6;
            for (bound, bucket) in BOUNDS.iter().zip(&mut histogram.counts) {
                *bucket += u64::from(micros <= f64::from(*bound));
            }
            histogram.total += 1;
            histogram.sum += micros;
        }
    }

    fn of(&self, instance: &str) -> Histogram {
        let servers = self.servers.lock().unwrap_or_else(PoisonError::into_inner);
        servers.get(instance).cloned().unwrap_or_default()
    }
}

/// Draws the page.
pub(crate) fn page(fleet: &Fleet, probes: &ProbeTimes) -> Page {
    let servers: Vec<&Server> =
        fleet.ensembles.iter().flat_map(|ensemble| &ensemble.servers).collect();
    let mut page = Page::default();
    let name = "zookeeper_metrics_up";
    page.family(name, Kind::Gauge, "1 while the server answers and serves.");
    for server in &servers {
        let up = f64::from(u8::from(server.state == ServerState::Up));
        page.sample(name, &[("instance", &server.instance)], up);
    }
    let name = "zookeeper_metrics_latency_microseconds";
    page.family(name, Kind::Histogram, "Time to an answer, in microseconds.");
    for server in &servers {
        latency(&mut page, name, &server.instance, &probes.of(&server.instance));
    }
    let name = "zookeeper_metrics_requests_total";
    page.family(name, Kind::Counter, "Requests received since the server's start.");
    for server in &servers {
        for (method, number) in requests(server) {
            page.sample(name, &[("instance", &server.instance), ("method", &method)], number);
        }
    }
    page
}

fn latency(page: &mut Page, name: &str, instance: &str, histogram: &Histogram) {
    let labels = [("instance", instance), ("method", "probe")];
    for (bound, number) in BOUNDS.iter().zip(histogram.counts) {
        let le = bound.to_string();
        let labels = [labels[0], labels[1], ("le", &le)];
        page.sample(&format!("{name}_bucket"), &labels, count(number));
    }
    let infinite = [labels[0], labels[1], ("le", "+Inf")];
    page.sample(&format!("{name}_bucket"), &infinite, count(histogram.total));
    page.sample(&format!("{name}_sum"), &labels, histogram.sum);
    page.sample(&format!("{name}_count"), &labels, count(histogram.total));
}

fn requests(server: &Server) -> Vec<(String, f64)> {
    let rows = server.monitor_rows.iter();
    let numbers = rows.filter_map(|(key, value)| Some((key.as_str(), value.parse::<f64>().ok()?)));
    let (mut operations, mut packets) = (Vec::new(), None);
    for (key, value) in numbers {
        match key.strip_prefix("op_count_") {
            Some("total") | None => {}
            Some(operation) => operations.push((operation.to_owned(), value)),
        }
        if key == "packets_received" {
            packets = Some(("packets".to_owned(), value));
        }
    }
    if operations.is_empty() { packets.into_iter().collect() } else { operations }
}

//! The gauges that Apache registers in `ZooKeeperServer` and `ServerStats`, computed when asked.

use super::{Metric, MetricValue, Number};
use crate::report::ServerStats;

type Field = fn(&QuotaGauge) -> i64;

/// What the gauges show beyond [`ServerStats`].
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Gauges {
    /// Armed watches of both tables.
    pub watch_count: u64,
    /// Ephemeral znodes.
    pub ephemerals_count: u64,
    /// Lengths of all paths and data together, the root counted twice.
    pub approximate_data_size: u64,
    /// Live sessions.
    pub global_sessions: u64,
    /// Open file descriptors.
    pub open_file_descriptors: u64,
    /// The most of them that the process may have.
    pub max_file_descriptors: u64,
    /// Connections of other machines without TLS.
    pub remote_connections: u64,
    /// Connections of this machine without TLS.
    pub local_connections: u64,
    /// Handshakes of TLS under way.
    pub tls_handshakes: u64,
    /// Quotas and what is used of them, by first path component.
    pub quotas: Vec<QuotaGauge>,
}

/// A quota, or the sum of those under one first path component.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct QuotaGauge {
    /// First path component.
    pub namespace: String,
    /// Znodes allowed; -1: no limit.
    pub count_limit: i64,
    /// Bytes allowed; -1: no limit.
    pub bytes_limit: i64,
    /// Znodes there are.
    pub count: i64,
    /// Bytes there are.
    pub bytes: i64,
}

impl Gauges {
    /// All gauges with Apache's names.
    pub fn metrics(&self, stats: &ServerStats) -> Vec<Metric> {
        let int = |value: u64| Number::Int(i64::try_from(value).unwrap_or(i64::MAX));
        let gauge = |name, value| Metric { name, value: MetricValue::Gauge(value) };
        let mut metrics = vec![
            gauge("avg_latency", Number::Float(stats.avg_latency_ms)),
            gauge("max_latency", int(stats.max_latency_ms)),
            gauge("min_latency", int(stats.min_latency_ms)),
            gauge("packets_received", int(stats.packets_received)),
            gauge("packets_sent", int(stats.packets_sent)),
            gauge("num_alive_connections", int(stats.num_alive_connections)),
            gauge("outstanding_requests", int(stats.outstanding_requests)),
            gauge("uptime", int(stats.uptime_ms)),
            gauge("znode_count", int(stats.node_count)),
            gauge("watch_count", int(self.watch_count)),
            gauge("ephemerals_count", int(self.ephemerals_count)),
            gauge("approximate_data_size", int(self.approximate_data_size)),
            gauge("global_sessions", int(self.global_sessions)),
            gauge("local_sessions", Number::Int(0)),
            gauge("open_file_descriptor_count", int(self.open_file_descriptors)),
            gauge("max_file_descriptor_count", int(self.max_file_descriptors)),
            gauge("connection_drop_probability", Number::Float(0.0)),
            gauge("last_client_response_size", Number::Int(stats.client_response.last)),
            gauge("max_client_response_size", Number::Int(stats.client_response.max)),
            gauge("min_client_response_size", Number::Int(stats.client_response.min)),
            gauge("outstanding_tls_handshake", int(self.tls_handshakes)),
            gauge("auth_failed_count", int(stats.auth_failed_count)),
            gauge("non_mtls_remote_conn_count", int(self.remote_connections)),
            gauge("non_mtls_local_conn_count", int(self.local_connections)),
        ];
        let sets: [(&'static str, Field); 4] = [
            ("quota_count_limit_per_namespace", |quota| quota.count_limit),
            ("quota_bytes_limit_per_namespace", |quota| quota.bytes_limit),
            ("quota_count_usage_per_namespace", |quota| quota.count),
            ("quota_bytes_usage_per_namespace", |quota| quota.bytes),
        ];
        metrics.extend(sets.map(|(name, field)| {
            let rows = self.quotas.iter().map(|quota| (quota.namespace.clone(), field(quota)));
            Metric { name, value: MetricValue::GaugeSet(rows.collect()) }
        }));
        metrics
    }
}

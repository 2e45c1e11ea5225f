//! Gathering what the server says about itself, between two turns.

use super::{Driver, millis};
use crate::VERSION;
use crate::environment::{ProcessFigures, directory_size, file_descriptors};
use crate::metrics::{Counter, Gauges, Metric, MetricValue, Metrics, Number, SummaryValue};
use crate::report::{
    ConfigurationReport, ConnectionSession, ConnectionStats, DumpReport, ResponseSizes,
    ServerStats, WatchReport, WatchSummary,
};
use crate::zoo_cfg::MetricsProvider;
use std::collections::BTreeMap;
use std::time::Duration;
use wk_node::{ConnId, Connection, Latency};
use wk_proto::{Mono, OpCode, Reader};
use wk_tree::watches::WatcherId;

/// Milliseconds with four decimals.
fn fine_millis(sum: Duration, count: u64) -> f64 {
    if count == 0 {
        return 0.0;
    }
    #[expect(clippy::cast_precision_loss, reason = "shown with four decimals")]
    let mean = sum.as_secs_f64() * 1e3 / count as f64;
    (mean * 1e4).round() / 1e4
}

impl Driver {
    /// The figures of `srvr`.
    pub(crate) fn server_stats(&self) -> ServerStats {
        let stats = self.node.stats();
        // Apache does not count the length that leads a frame.
        let size = |frame: usize| i64::try_from(frame.saturating_sub(4)).unwrap_or(i64::MAX);
        let (data_dir, log_dir) = &self.directories;
        ServerStats {
            version: VERSION.to_owned(),
            read_only: false,
            packets_received: stats.packets_received + self.words.0,
            packets_sent: stats.packets_sent + self.words.1,
            fsync_threshold_exceed_count: self.slow_syncs,
            client_response: stats.response_size.map_or_else(ResponseSizes::default, |sizes| {
                ResponseSizes { last: size(sizes.last), min: size(sizes.min), max: size(sizes.max) }
            }),
            uptime_ms: self.now.mono.as_millis().saturating_sub(self.started.as_millis()),
            data_dir_size: directory_size(data_dir),
            log_dir_size: directory_size(log_dir),
            last_processed_zxid: self.node.tree().last_zxid().0,
            outstanding_requests: self.node.outstanding_requests() as u64,
            server_state: "standalone",
            min_latency_ms: millis(stats.latency.min()),
            avg_latency_ms: fine_millis(stats.latency.sum(), stats.latency.count()),
            max_latency_ms: millis(stats.latency.max()),
            num_alive_connections: self.connections.len() as u64,
            auth_failed_count: stats.auth_failed + self.handshakes_failed,
            node_count: self.node.tree().counts().nodes as u64,
        }
    }

    /// All connections, oldest first.
    pub(crate) fn connection_stats(&self) -> Vec<ConnectionStats> {
        let ours: BTreeMap<ConnId, _> =
            self.connections.iter().map(|connection| (connection.id, connection)).collect();
        let known = self.node.connections();
        known
            .filter_map(|(id, theirs)| {
                let ours = ours.get(&id)?;
                let writes = if ours.unsent() > 0 { 4 } else { 0 };
                let mut stats = Self::one_connection(theirs);
                stats.peer = ours.peer;
                stats.secure = ours.transport.is_secure();
                stats.packets_received += ours.words;
                stats.interest_ops = i32::from(ours.feeds()) + writes;
                Some(stats)
            })
            .collect()
    }

    fn one_connection(of: &Connection) -> ConnectionStats {
        let counters = of.counters();
        let session = of.session().0;
        ConnectionStats {
            peer: None,
            secure: false,
            interest_ops: 0,
            outstanding_requests: of.outstanding() as u64,
            packets_received: counters.received,
            packets_sent: counters.sent,
            established_ms: of.established().0,
            session: (session != 0).then(|| ConnectionSession {
                id: session,
                timeout_ms: u32::try_from(of.timeout().as_millis()).unwrap_or(u32::MAX),
            }),
            min_latency_ms: millis(counters.latency_min),
            avg_latency_ms: fine_millis(counters.latency_sum, counters.answered),
            max_latency_ms: millis(counters.latency_max),
            last_latency_ms: millis(counters.last_latency),
            last_operation: match counters.last_op {
                Some(op) => op.short(),
                // The handshake is the first operation of a session in Apache.
                None if session != 0 => "SESS",
                None => "NA",
            },
            last_cxid: counters.last_cxid,
            last_zxid: counters.last_zxid.0,
            last_response_time_ms: i64::try_from(counters.last_response.as_millis()).unwrap_or(0),
        }
    }

    /// The settings that `conf` shows.
    pub(crate) fn configuration(&self) -> ConfigurationReport {
        let ms = |duration: Duration| u32::try_from(duration.as_millis()).unwrap_or(u32::MAX);
        let (data_dir, data_log_dir) = &self.directories;
        let config = &self.config;
        ConfigurationReport {
            client_port: config.client_addr.map_or(-1, |addr| i32::from(addr.port())),
            secure_client_port: config
                .tls
                .as_ref()
                .and_then(|tls| tls.secure_addr)
                .map_or(-1, |addr| i32::from(addr.port())),
            data_dir_size: directory_size(data_dir),
            data_log_size: directory_size(data_log_dir),
            data_dir: data_dir.clone(),
            data_log_dir: data_log_dir.clone(),
            tick_time_ms: ms(config.tick_time),
            max_client_cnxns: config.limits.client_cnxns_max,
            min_session_timeout_ms: ms(config.min_session_timeout),
            max_session_timeout_ms: ms(config.max_session_timeout),
            client_port_listen_backlog: config
                .listen_backlog
                .map_or(-1, |backlog| i32::try_from(backlog).unwrap_or(i32::MAX)),
            server_id: 0,
        }
    }

    /// Whether the Prometheus provider was asked for, which changes the keys of `mntr`.
    pub(crate) fn has_prometheus(&self) -> bool {
        matches!(self.config.metrics, MetricsProvider::Prometheus { .. })
    }

    /// All metrics.
    pub(crate) fn metrics(&mut self) -> Metrics {
        let now_ms = self.now.mono.as_millis();
        self.take_over_counters();
        let stats = self.server_stats();
        let mut metrics = self.gauges().metrics(&stats);
        metrics.extend(self.registry.snapshot(now_ms));
        let node = self.node.stats();
        let rows = node.quota_exceeded.iter().map(|(key, count)| (key.clone(), *count)).collect();
        let value = MetricValue::CounterSet(rows);
        metrics.push(Metric { name: "quota_exceeded_error_per_namespace", value });
        let read = self.read_window.summary(self.now.mono, &node.read_latency);
        let update = self.update_window.summary(self.now.mono, &node.update_latency);
        for metric in &mut metrics {
            match metric.name {
                "readlatency" => metric.value = MetricValue::Summary(read.clone()),
                // A txn is prepared and applied on the same server here.
                "updatelatency" | "propagation_latency" => {
                    metric.value = MetricValue::Summary(update.clone());
                }
                _ => {}
            }
        }
        if let MetricsProvider::Prometheus { export_jvm_info: true, .. } = self.config.metrics {
            metrics.extend(process_metrics());
        }
        Metrics { version: VERSION.to_owned(), server_state: stats.server_state, metrics }
    }

    /// Counters that the node keeps.
    fn node_counters(&self) -> [(Counter, u64); 6] {
        let stats = self.node.stats();
        [
            (Counter::ConnectionRequestCount, stats.connection_requests),
            (Counter::ConnectionRevalidateCount, stats.connection_revalidations),
            (Counter::ConnectionDropCount, stats.connections_dropped),
            (Counter::StaleSessionsExpired, stats.sessions_expired),
            (Counter::DigestMismatchesCount, stats.digest_mismatches),
            (Counter::PrepProcessorRequestQueued, stats.proposals),
        ]
    }

    fn take_over_counters(&mut self) {
        for ((counter, value), before) in self.node_counters().into_iter().zip(self.counted_before)
        {
            self.registry.set_counter(counter, value.saturating_sub(before));
        }
    }

    fn gauges(&self) -> Gauges {
        let counts = self.node.tree().counts();
        let (open, max) = file_descriptors();
        let remote = |peer: std::net::SocketAddr| !peer.ip().is_loopback();
        let plain = || self.connections.iter().filter(|of| !of.transport.is_secure());
        let remote = plain().filter(|of| of.peer.is_some_and(remote)).count();
        Gauges {
            watch_count: self.node.watches().len() as u64,
            ephemerals_count: counts.ephemerals as u64,
            approximate_data_size: u64::try_from(counts.approximate_data_size).unwrap_or(0),
            global_sessions: self.node.session_count() as u64,
            open_file_descriptors: open,
            max_file_descriptors: max,
            remote_connections: remote as u64,
            local_connections: (plain().count() - remote) as u64,
            tls_handshakes: self.accepting.at_the_door as u64,
            quotas: super::quotas::quotas(self.node.tree()),
        }
    }

    /// Sessions, ephemerals and connections.
    pub(crate) fn dump(&self) -> DumpReport {
        let now = self.now;
        let wall = |left: Duration| {
            now.wall.0.saturating_add(i64::try_from(left.as_millis()).unwrap_or(i64::MAX))
        };
        let tree = self.node.tree();
        let sessions = self.node.session_buckets(now.mono);
        let mut connections: BTreeMap<i64, Vec<ConnectionStats>> = BTreeMap::new();
        for ((id, of), stats) in self.node.connections().zip(self.connection_stats()) {
            let left = if of.session().0 == 0 {
                self.patience_of(id).unwrap_or(Mono::NEVER).since(now.mono)
            } else {
                of.timeout()
            };
            connections.entry(wall(left)).or_default().push(stats);
        }
        let ephemerals = tree.sessions_with_ephemerals();
        DumpReport {
            sessions: sessions
                .into_iter()
                .map(|(left, ids)| (wall(left), ids.into_iter().map(|id| id.0).collect()))
                .collect(),
            ephemerals: ephemerals.into_iter().map(|(id, paths)| (id.0, paths)).collect(),
            connections: connections.into_iter().collect(),
        }
    }

    /// Numbers of watches.
    pub(crate) fn watch_summary(&self) -> WatchSummary {
        let counts = self.node.watches().counts();
        WatchSummary {
            connections: counts.connections as u64,
            paths: counts.paths as u64,
            total: counts.data_watches as u64,
        }
    }

    /// Who watches what in the data table.
    pub(crate) fn watches(&self) -> WatchReport {
        let session = |watcher: WatcherId| {
            self.node.connection(ConnId(watcher.0)).map_or(0, |of| of.session().0)
        };
        let pairs = self.node.watches().by_watcher();
        WatchReport { pairs: pairs.map(|(who, path)| (session(who), path.to_owned())).collect() }
    }

    /// Forgets what `srst` forgets. Apache's Prometheus provider cannot reset its values.
    pub(crate) fn reset_stats(&mut self) {
        self.node.reset_stats();
        self.words = (0, 0);
        self.read_window = LatencyWindow::default();
        self.update_window = LatencyWindow::default();
        if !self.has_prometheus() {
            self.registry.reset();
            self.counted_before = self.node_counters().map(|(_, value)| value);
        }
    }

    /// Forgets what `crst` forgets.
    pub(crate) fn reset_connection_stats(&mut self) {
        self.node.reset_connection_stats();
    }

    /// Counts a request for the first component of its path.
    pub(super) fn note_namespace(&mut self, frame: &[u8]) {
        let mut reader = Reader::new(frame);
        let (Ok(_xid), Ok(op)) = (reader.i32(), reader.i32()) else { return };
        let Some(op) = OpCode::from_code(op) else { return };
        let writes = matches!(
            op,
            OpCode::Create
                | OpCode::Create2
                | OpCode::CreateContainer
                | OpCode::CreateTtl
                | OpCode::Delete
                | OpCode::SetData
                | OpCode::SetAcl
        );
        let reads = matches!(
            op,
            OpCode::Exists
                | OpCode::GetData
                | OpCode::GetChildren
                | OpCode::GetChildren2
                | OpCode::GetAcl
        );
        if !writes && !reads {
            return;
        }
        let Ok(path) = reader.string() else { return };
        let (at, bytes) = (self.now.mono.as_millis(), frame.len() as u64);
        if writes {
            self.registry.write_of(at, path, bytes);
        } else {
            self.registry.read_of(at, path, bytes);
        }
    }
}

/// Two older states of a latency, so that quantiles are those of the last minutes.
#[derive(Default)]
pub(super) struct LatencyWindow {
    older: Latency,
    newer: Latency,
    turned: Mono,
}

/// The window is between one and two of these long, if it is asked for at least that often.
const HALF_WINDOW: Duration = Duration::from_mins(5);

impl LatencyWindow {
    /// A latency of the node as a summary in milliseconds.
    fn summary(&mut self, now: Mono, latency: &Latency) -> SummaryValue {
        if now.since(self.turned) >= HALF_WINDOW {
            self.older = std::mem::replace(&mut self.newer, latency.clone());
            self.turned = now;
        }
        let recent = latency.since(&self.older);
        let ms = |q: f64| millis(latency.quantile(q));
        let quantile = |q: f64| {
            let value = recent.quantile(q).as_secs_f64() * 1e3;
            (q, if recent.count() > 0 { (value * 1e3).round() / 1e3 } else { f64::NAN })
        };
        SummaryValue {
            count: latency.count(),
            sum: millis(latency.sum()),
            min: millis(latency.min()),
            max: millis(latency.max()),
            percentiles: Some([ms(0.5), ms(0.95), ms(0.99), ms(0.999)]),
            quantiles: [0.5, 0.9, 0.99].map(quantile).to_vec(),
        }
    }
}

/// What Prometheus' Java client says about a process.
fn process_metrics() -> Vec<Metric> {
    let figures = ProcessFigures::read();
    let (open, max) = file_descriptors();
    let int = |value: u64| Number::Int(i64::try_from(value).unwrap_or(i64::MAX));
    [
        ("process_cpu_seconds_total", Number::Float(figures.cpu_seconds)),
        ("process_start_time_seconds", Number::Float(figures.start_time_seconds)),
        ("process_open_fds", int(open)),
        ("process_max_fds", int(max)),
        ("process_virtual_memory_bytes", int(figures.virtual_bytes)),
        ("process_resident_memory_bytes", int(figures.resident_bytes)),
    ]
    .into_iter()
    .map(|(name, value)| Metric { name, value: MetricValue::Gauge(value) })
    .collect()
}

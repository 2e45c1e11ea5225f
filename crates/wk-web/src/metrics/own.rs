//! `/metrics`: the monitor's own names, as the rules and boards use them.

use std::collections::BTreeMap;
use std::sync::Arc;

use wk_monitor::{
    Ensemble, Fleet, Incident, IncidentState, NodeState, Server, ServerState, Severity,
    WindowFigures,
};

use super::exposition::{Kind, Page, count};

pub(super) fn write(page: &mut Page, version: &str, fleet: &Fleet, open: &[Arc<Incident>]) {
    page.family("watchkeeper_build_info", Kind::Gauge, "Version of this process; always 1.");
    page.sample("watchkeeper_build_info", &[("version", version)], 1.0);
    page.family(
        "watchkeeper_ensemble_visible",
        Kind::Gauge,
        "1 while the monitor's own view of the ensemble is clear.",
    );
    for ensemble in &fleet.ensembles {
        let visible = f64::from(u8::from(ensemble.sight.clear));
        page.sample("watchkeeper_ensemble_visible", &[("ensemble", &ensemble.name)], visible);
    }
    window(page, &fleet.window);
    servers(page, &fleet.ensembles);
    nodes(page, &fleet.ensembles);
    incidents(page, fleet, open);
    notifications(page, fleet);
}

fn window(page: &mut Page, window: &WindowFigures) {
    for (name, kind, help, value) in [
        (
            "watchkeeper_monitor_window_series",
            Kind::Gauge,
            "Series that the rules can look at.",
            window.series as u64,
        ),
        (
            "watchkeeper_monitor_window_bytes",
            Kind::Gauge,
            "Their samples and labels.",
            window.bytes as u64,
        ),
        (
            "watchkeeper_monitor_samples_refused_total",
            Kind::Counter,
            "Samples that the window did not take.",
            window.refused,
        ),
    ] {
        page.family(name, kind, help);
        page.sample(name, &[], count(value));
    }
}

/// Name, kind, help, and where the value comes from.
type ServerGauge = (&'static str, Kind, &'static str, fn(&Server) -> Option<f64>);

const SERVER: &[ServerGauge] = &[
    ("watchkeeper_server_up", Kind::Gauge, "1 while the server answers and serves.", |s| {
        (s.state != ServerState::Unknown).then(|| f64::from(u8::from(s.state == ServerState::Up)))
    }),
    ("watchkeeper_probes_total", Kind::Counter, "Probes sent to the server.", |s| {
        Some(count(s.probes_total))
    }),
    (
        "watchkeeper_probe_failures_total",
        Kind::Counter,
        "Probes that the server did not answer as one that serves.",
        |s| Some(count(s.probe_failures_total)),
    ),
    (
        "watchkeeper_server_probe_duration_seconds",
        Kind::Gauge,
        "How long the last answered probe took.",
        |s| s.probe_seconds,
    ),
    (
        "watchkeeper_server_latency_average_seconds",
        Kind::Gauge,
        "Mean request latency since the server's start, as it says.",
        |s| s.latency.map(|latency| latency.avg),
    ),
    (
        "watchkeeper_server_latency_max_seconds",
        Kind::Gauge,
        "Largest request latency since the server's start, as it says.",
        |s| s.latency.map(|latency| latency.max),
    ),
    ("watchkeeper_server_connections", Kind::Gauge, "Open client connections.", |s| {
        s.connections.map(count)
    }),
    (
        "watchkeeper_server_outstanding_requests",
        Kind::Gauge,
        "Requests received and not yet answered.",
        |s| s.outstanding.map(count),
    ),
    ("watchkeeper_server_znodes", Kind::Gauge, "Znodes in the tree.", |s| s.znodes.map(count)),
    ("watchkeeper_server_watches", Kind::Gauge, "Watches set.", |s| s.watches.map(count)),
    ("watchkeeper_server_ephemerals", Kind::Gauge, "Ephemeral znodes in the tree.", |s| {
        s.ephemerals.map(count)
    }),
    ("watchkeeper_server_data_bytes", Kind::Gauge, "Data in the tree, roughly.", |s| {
        s.data_bytes.map(count)
    }),
    // A zxid has 64 bits and a sample 53: its halves are exact.
    ("watchkeeper_server_zxid_epoch", Kind::Gauge, "Epoch of the last zxid.", |s| {
        zxid(s).map(|zxid| count(zxid >> 32))
    }),
    (
        "watchkeeper_server_zxid_in_epoch",
        Kind::Gauge,
        "Number of the last txn in its epoch.",
        |s| zxid(s).map(|zxid| count(zxid & 0xffff_ffff)),
    ),
];

fn zxid(server: &Server) -> Option<u64> {
    let hex = server.zxid.as_ref()?;
    u64::from_str_radix(hex.trim_start_matches("0x"), 16).ok()
}

fn servers(page: &mut Page, ensembles: &[Ensemble]) {
    let all = || {
        ensembles.iter().flat_map(|ensemble| ensemble.servers.iter().map(move |s| (ensemble, s)))
    };
    for (name, kind, help, value) in SERVER {
        page.family(name, *kind, help);
        for (ensemble, server) in all() {
            if let Some(value) = value(server) {
                let labels = [("ensemble", ensemble.name.as_str()), ("instance", &server.instance)];
                page.sample(name, &labels, value);
            }
        }
    }
    let name = "watchkeeper_server_version_info";
    page.family(name, Kind::Gauge, "Version that the server says; always 1.");
    for (ensemble, server) in all() {
        if let Some(version) = &server.version {
            let labels = [
                ("ensemble", ensemble.name.as_str()),
                ("instance", &server.instance),
                ("version", version),
            ];
            page.sample(name, &labels, 1.0);
        }
    }
}

fn nodes(page: &mut Page, ensembles: &[Ensemble]) {
    let name = "watchkeeper_nodes";
    page.family(name, Kind::Gauge, "Registered nodes by state.");
    for ensemble in ensembles {
        for group in &ensemble.groups {
            let counts = [
                (NodeState::Starting, group.starting),
                (NodeState::Up, group.up),
                (NodeState::Down, group.down),
                (NodeState::Left, group.left),
                (NodeState::Suspect, group.suspect),
                (NodeState::Unknown, group.unknown),
                (NodeState::Maintenance, group.maintenance),
            ];
            for (state, number) in counts {
                let labels = [
                    ("ensemble", ensemble.name.as_str()),
                    ("group", group.name.as_deref().unwrap_or("")),
                    ("state", state.as_str()),
                ];
                page.sample(name, &labels, count(number as u64));
            }
        }
    }
    let name = "watchkeeper_group_alive";
    page.family(name, Kind::Gauge, "Nodes of the group that are up.");
    for ensemble in ensembles {
        for group in &ensemble.groups {
            let label = group.name.as_deref().unwrap_or("");
            let labels = [("ensemble", ensemble.name.as_str()), ("group", label)];
            page.sample(name, &labels, count((group.up + group.suspect) as u64));
        }
    }
    let name = "watchkeeper_node_alive";
    let help = "1 while the node is up, 0 while it is down; absent while it is starting, has left \
                or cannot be seen.";
    page.family(name, Kind::Gauge, help);
    for ensemble in ensembles {
        for node in &ensemble.nodes {
            let alive = match node.state {
                NodeState::Up | NodeState::Suspect => 1.0,
                NodeState::Down | NodeState::Maintenance => 0.0,
                NodeState::Starting | NodeState::Left | NodeState::Unknown => continue,
            };
            let labels = [
                ("ensemble", ensemble.name.as_str()),
                ("group", node.group.as_deref().unwrap_or("")),
                ("node", &node.id),
            ];
            page.sample(name, &labels, alive);
        }
    }
}

fn incidents(page: &mut Page, fleet: &Fleet, open: &[Arc<Incident>]) {
    let mut counts: BTreeMap<(Severity, &str), u64> = BTreeMap::new();
    let states = [
        IncidentState::Firing,
        IncidentState::Acknowledged,
        IncidentState::Unknown,
        IncidentState::Suppressed,
    ];
    for severity in [Severity::Info, Severity::Warning, Severity::Critical] {
        for state in states {
            counts.insert((severity, state.as_str()), 0);
        }
    }
    for incident in open {
        *counts.entry((incident.severity, incident.state.as_str())).or_default() += 1;
    }
    let name = "watchkeeper_incidents";
    page.family(name, Kind::Gauge, "Open incidents by severity and state.");
    for ((severity, state), number) in counts {
        let labels = [("severity", severity.as_str()), ("state", state)];
        page.sample(name, &labels, count(number));
    }
    let name = "watchkeeper_incidents_opened_total";
    page.family(name, Kind::Counter, "Incidents opened since the start of this process.");
    for (rule, number) in &fleet.incidents_opened {
        page.sample(name, &[("rule", rule)], count(*number));
    }
}

fn notifications(page: &mut Page, fleet: &Fleet) {
    let name = "watchkeeper_notifications_total";
    page.family(name, Kind::Counter, "Notifications by their final outcome.");
    for channel in &fleet.channels {
        let outcomes = [
            ("confirmed", channel.confirmed),
            ("failed", channel.failed),
            ("expired", channel.expired),
        ];
        for (outcome, number) in outcomes {
            page.sample(name, &[("channel", &channel.name), ("outcome", outcome)], count(number));
        }
    }
    let name = "watchkeeper_notification_failures_total";
    page.family(name, Kind::Counter, "Notifications that never arrived, by reason.");
    for channel in &fleet.channels {
        for (reason, number) in [("refused", channel.failed), ("expired", channel.expired)] {
            page.sample(name, &[("channel", &channel.name), ("reason", reason)], count(number));
        }
    }
    let name = "watchkeeper_notifications_pending";
    page.family(name, Kind::Gauge, "Notifications waiting to be confirmed.");
    for channel in &fleet.channels {
        page.sample(name, &[("channel", &channel.name)], count(channel.pending as u64));
    }
    let name = "watchkeeper_notification_oldest_pending_seconds";
    page.family(name, Kind::Gauge, "Age of the oldest notification that waits; 0 without one.");
    for channel in &fleet.channels {
        let age = channel.oldest_pending.map_or(0, |at| at.seconds_until(fleet.as_of));
        page.sample(name, &[("channel", &channel.name)], count(age));
    }
}

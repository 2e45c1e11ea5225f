//! A fleet with something of everything, for the tests of pages.

use std::sync::Arc;

use serde_json::json;
use wk_monitor::{
    ChannelKind, ChannelStatus, Cure, Delivery, DeliveryState, Ensemble, Fleet, Group, Incident,
    IncidentDetail, IncidentState, Latency, Level, Node, NodeState, Phase, Server, ServerState,
    Severity, Sight, TimelineEntry, Timestamp, View,
};

/// Seconds before now.
pub(crate) fn ago(seconds: i64) -> Timestamp {
    Timestamp(Timestamp::now().0 - seconds * 1000)
}

pub(crate) fn server(instance: &str, state: ServerState) -> Server {
    let up = state == ServerState::Up;
    let rows = [
        ("version", "3.9.5-watchkeeper-0.1.0"),
        ("znode_count", "1284"),
        ("packets_received", "90412"),
        ("cnt_readlatency", "3"),
        ("sum_readlatency", "4"),
        ("p50_readlatency", "1"),
    ];
    let rows: Vec<(String, String)> =
        rows.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
    Server {
        lag: None,
        fsync_seconds: None,
        leading_seconds: None,
        instance: instance.to_owned(),
        state,
        since: ago(if up { 90_000 } else { 131 }),
        mode: up.then(|| "standalone".to_owned()),
        version: Some("3.9.5-watchkeeper-0.1.0".to_owned()),
        zxid: Some("0x5000001a3".to_owned()),
        latency: up.then_some(Latency { min: 0.0, avg: 0.0004, max: 0.021 }),
        probe_seconds: up.then_some(0.0021),
        connections: up.then_some(12),
        outstanding: up.then_some(0),
        znodes: up.then_some(1_284_001),
        watches: up.then_some(318),
        ephemerals: up.then_some(9),
        data_bytes: up.then_some(1_204_991),
        last_seen: Some(ago(1)),
        last_error: (!up).then(|| "connection refused".to_owned()),
        incident: (!up).then(|| "7f3a91c2-1".to_owned()),
        probes_total: 412,
        probe_failures_total: u64::from(!up),
        monitor_rows: if up { rows.into() } else { Arc::new([]) },
    }
}

pub(crate) fn node(group: Option<&str>, id: &str, state: NodeState) -> Node {
    let down = state == NodeState::Down;
    let evidence = match state {
        NodeState::Down => vec![
            "session 0x100003a2f0c0001 ended and /nodes/web/web-2/alive is gone".to_owned(),
            "it did not say that it was leaving".to_owned(),
        ],
        NodeState::Starting
        | NodeState::Up
        | NodeState::Suspect
        | NodeState::Left
        | NodeState::Unknown
        | NodeState::Maintenance => Vec::new(),
    };
    Node {
        group: group.map(str::to_owned),
        id: id.to_owned(),
        path: group.map_or(format!("/nodes/{id}"), |group| format!("/nodes/{group}/{id}")),
        state,
        since: ago(if down { 131 } else { 7_400 }),
        session: (state != NodeState::Starting).then(|| "0x100003a2f0c0001".to_owned()),
        metadata: json!({ "host": "10.0.4.17", "version": "2.4.1" }),
        evidence,
        incident: down.then(|| "2b90e4d1-3".to_owned()),
    }
}

pub(crate) fn incident(id: &str, state: IncidentState) -> Incident {
    let open = state.is_open();
    Incident {
        id: id.to_owned(),
        rule: "NodeDown".to_owned(),
        severity: Severity::Warning,
        state,
        ensemble: "local".to_owned(),
        instance: None,
        group: Some("web".to_owned()),
        node: Some("web-2".to_owned()),
        summary: "Node web/web-2 is down: its session ended and it did not say goodbye".to_owned(),
        evidence: node(Some("web"), "web-2", NodeState::Down).evidence,
        located: Vec::new(),
        first_seen: ago(131),
        last_seen: ago(2),
        resolved_at: (!open).then(|| ago(20)),
        ..Incident::default()
    }
}

fn channel(name: &str, kind: ChannelKind, target: &str) -> ChannelStatus {
    ChannelStatus {
        name: name.to_owned(),
        kind,
        target: target.to_owned(),
        pending: 0,
        confirmed: 14,
        failed: 0,
        expired: 0,
        last_error: None,
        last_error_at: None,
        last_confirmed_at: Some(ago(130)),
        oldest_pending: None,
    }
}

fn delivery(channel: &str, state: DeliveryState, error: Option<&str>) -> Delivery {
    Delivery {
        channel: channel.to_owned(),
        phase: Phase::Firing,
        state,
        attempts: if error.is_some() { 4 } else { 1 },
        queued_at: ago(131),
        last_attempt_at: Some(ago(8)),
        done_at: (state == DeliveryState::Confirmed).then(|| ago(130)),
        last_error: error.map(str::to_owned),
    }
}

/// An incident with deliveries and a time line.
pub(crate) fn detail(state: IncidentState) -> IncidentDetail {
    let entry = |seconds, actor: &str, text: &str| TimelineEntry {
        at: ago(seconds),
        actor: actor.to_owned(),
        text: text.to_owned(),
    };
    IncidentDetail {
        incident: incident("2b90e4d1-3", state),
        deliveries: vec![
            delivery("dingtalk", DeliveryState::Confirmed, None),
            delivery("mail", DeliveryState::Queued, Some("connect 10.0.0.25:25: timed out")),
        ],
        timeline: vec![
            entry(131, "monitor", "opened: the session of web/web-2 ended"),
            entry(130, "monitor", "dingtalk confirmed the alarm"),
            entry(8, "monitor", "mail failed (try 4), will be tried again"),
        ],
        cure: Some(Cure {
            command: "systemctl restart web-2".to_owned(),
            mode: "ask".to_owned(),
            refusal: None,
        }),
    }
}

fn local() -> Ensemble {
    let nodes = vec![
        node(Some("web"), "web-1", NodeState::Up),
        node(Some("web"), "web-2", NodeState::Down),
        node(Some("web"), "web-3", NodeState::Up),
        node(Some("batch"), "etl-nightly", NodeState::Starting),
        node(Some("batch"), "report-generator-with-a-rather-long-name-0001", NodeState::Left),
        node(None, "gateway", NodeState::Up),
    ];
    let group = |name: Option<&str>, starting, up, down, left| Group {
        name: name.map(str::to_owned),
        starting,
        up,
        down,
        left,
        suspect: 0,
        unknown: 0,
        maintenance: 0,
    };
    Ensemble {
        voters: None,
        name: "local".to_owned(),
        level: Level::Warning,
        sight: Sight { clear: true, since: ago(90_000), session: Some("0x1".to_owned()) },
        servers: vec![server("127.0.0.1:2181", ServerState::Up)],
        nodes: nodes.into_iter().map(Arc::new).collect(),
        groups: vec![
            group(Some("batch"), 1, 0, 0, 1),
            group(Some("web"), 0, 2, 1, 0),
            group(None, 0, 1, 0, 0),
        ],
        notes: Vec::new(),
    }
}

fn prod() -> Ensemble {
    Ensemble {
        name: "prod".to_owned(),
        level: Level::Critical,
        sight: Sight { clear: false, since: ago(131), session: None },
        servers: vec![
            server("zk1.example.internal:2181", ServerState::Up),
            server("zk2.example.internal:2181", ServerState::Unreachable),
        ],
        voters: None,
        nodes: Vec::new(),
        groups: Vec::new(),
        notes: vec!["mntr is not allowed on zk1: 4lw.commands.whitelist=srvr,mntr".to_owned()],
    }
}

/// Two ensembles in trouble.
pub(crate) fn view() -> View {
    let fleet = Fleet {
        as_of: ago(1),
        level: Level::Critical,
        ensembles: vec![local(), prod()],
        channels: vec![
            channel("dingtalk", ChannelKind::Dingtalk, "oapi.dingtalk.com"),
            ChannelStatus {
                pending: 1,
                last_error: Some("connect 10.0.0.25:25: timed out".to_owned()),
                last_error_at: Some(ago(8)),
                ..channel("mail", ChannelKind::Mail, "mail.example:25, to ops@example.com")
            },
        ],
        open_incidents: 2,
        incidents_opened: [("NodeDown".to_owned(), 3)].into(),
        notes: vec!["a rule file is not in force: own.yml:3: no such function".to_owned()],
        window: wk_monitor::WindowFigures { series: 44_000, bytes: 1 << 20, refused: 2 },
    };
    let unreachable = Incident {
        rule: "ZkServerUnreachable".to_owned(),
        severity: Severity::Critical,
        ensemble: "prod".to_owned(),
        instance: Some("zk2.example.internal:2181".to_owned()),
        group: None,
        node: None,
        summary: "Server zk2.example.internal:2181 does not answer".to_owned(),
        ..incident("7f3a91c2-1", IncidentState::Firing)
    };
    let old = Incident {
        summary: "Node web/web-1 is down".to_owned(),
        ..incident("2b90e4d1-2", IncidentState::Resolved)
    };
    View {
        fleet: Arc::new(fleet),
        incidents: vec![
            Arc::new(incident("2b90e4d1-3", IncidentState::Firing)),
            Arc::new(unreachable),
            Arc::new(old),
        ],
        ..View::default()
    }
}

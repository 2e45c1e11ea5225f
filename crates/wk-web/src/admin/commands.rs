//! The AdminServer's commands: names, aliases, and the keys of their answers in Apache's order.

use std::path::Path;

use wk_server::report::{
    ConfigurationReport, ConnectionStats, DumpReport, ResponseSizes, ServerStats, WatchReport,
};
use wk_server::{ServerHandle, ServerStopped, environment};

use super::json::Json;

/// Primary names, sorted as Apache lists them, each with its aliases.
const COMMANDS: &[(&str, &[&str])] = &[
    ("configuration", &["conf", "config"]),
    ("connection_stat_reset", &["crst"]),
    ("connections", &["cons"]),
    ("dirs", &[]),
    ("dump", &[]),
    ("environment", &["env", "envi"]),
    ("is_read_only", &["isro"]),
    ("leader", &["lead"]),
    ("monitor", &["mntr"]),
    ("observers", &["obsr"]),
    ("ruok", &[]),
    ("server_stats", &["srvr"]),
    ("stat_reset", &["srst"]),
    ("stats", &["stat"]),
    ("voting_view", &[]),
    ("watch_summary", &["wchs"]),
    ("watches", &["wchc"]),
    ("watches_by_path", &["wchp"]),
    ("zabstate", &[]),
];

/// What Apache says for a server that has stopped.
const NOT_SERVING: &str = "This ZooKeeper instance is not currently serving requests";

/// The list of links that the bare command URL shows.
pub(super) fn links(command_url: &str) -> String {
    let link = |(name, _): &(&str, _)| {
        let url = command_url.replace('&', "&amp;").replace('"', "&quot;").replace('<', "&lt;");
        format!("<a href=\"{url}/{name}\">{name}</a>\n<br/>\n")
    };
    COMMANDS.iter().map(link).collect()
}

/// Runs a command. Whatever goes wrong stands in `error`; the HTTP status stays 200, as Apache's.
pub(super) async fn run(server: &ServerHandle, asked: &str) -> Json {
    let known = COMMANDS.iter().find(|(name, others)| *name == asked || others.contains(&asked));
    let Some((name, _)) = known else {
        return finished(asked, Vec::new(), Json::Text(format!("Unknown command: {asked}")));
    };
    if *name == "leader" {
        // A standalone Apache server puts the two the other way round here.
        return Json::object([
            ("error", "server is not initialized".into()),
            ("command", (*name).into()),
        ]);
    }
    match answer(server, name).await {
        Ok(pairs) => finished(name, pairs, Json::Null),
        Err(ServerStopped) => finished(name, Vec::new(), NOT_SERVING.into()),
    }
}

type Pairs = Vec<(String, Json)>;

fn finished(name: &str, mut pairs: Pairs, error: Json) -> Json {
    pairs.push(("command".to_owned(), name.into()));
    pairs.push(("error".to_owned(), error));
    Json::Object(pairs)
}

fn pairs<const N: usize>(pairs: [(&str, Json); N]) -> Pairs {
    pairs.into_iter().map(|(key, value)| (key.to_owned(), value)).collect()
}

async fn answer(server: &ServerHandle, name: &str) -> Result<Pairs, ServerStopped> {
    Ok(match name {
        "configuration" => configuration(&server.configuration().await?),
        "connection_stat_reset" => {
            server.reset_connection_stats().await?;
            Vec::new()
        }
        "connections" => connections(&server.connections().await?, Detail::Full),
        "dirs" => {
            let stats = server.stats().await?;
            pairs([
                ("datadir_size", stats.data_dir_size.into()),
                ("logdir_size", stats.log_dir_size.into()),
            ])
        }
        "dump" => dump(&server.dump().await?),
        "environment" => environment::environment()
            .into_iter()
            .map(|(key, value)| (key.to_owned(), value.into()))
            .collect(),
        "is_read_only" => pairs([("read_only", server.stats().await?.read_only.into())]),
        "monitor" => monitor(&server.metrics().await?.rows(server.has_prometheus())),
        "observers" => {
            pairs([("synced_observers", 0_i64.into()), ("observers", Json::Array(Vec::new()))])
        }
        "server_stats" => server_stats(&server.stats().await?),
        "stat_reset" => {
            server.reset_stats().await?;
            Vec::new()
        }
        "stats" => {
            let mut all = server_stats(&server.stats().await?);
            all.extend(connections(&server.connections().await?, Detail::Brief));
            all
        }
        "voting_view" => pairs([("current_config", Json::Object(Vec::new()))]),
        "watch_summary" => {
            let summary = server.watch_summary().await?;
            pairs([
                ("num_connections", summary.connections.into()),
                ("num_paths", summary.paths.into()),
                ("num_total_watches", summary.total.into()),
            ])
        }
        "watches" => watches(&server.watches().await?),
        "watches_by_path" => watches_by_path(&server.watches().await?),
        "zabstate" => pairs([("voting", false.into()), ("zabstate", "".into())]),
        // `ruok`: that it answers is the answer, but it must be the server that does.
        _ => {
            server.stats().await?;
            Vec::new()
        }
    })
}

fn configuration(report: &ConfigurationReport) -> Pairs {
    let mut all = Vec::new();
    // Apache leaves out the port that is not there.
    for (key, port) in
        [("client_port", report.client_port), ("secure_client_port", report.secure_client_port)]
    {
        if port >= 0 {
            all.push((key.to_owned(), port.into()));
        }
    }
    all.extend(pairs([
        ("data_dir", directory(&report.data_dir)),
        ("data_log_dir", directory(&report.data_log_dir)),
        ("tick_time", report.tick_time_ms.into()),
        ("max_client_cnxns", report.max_client_cnxns.into()),
        ("min_session_timeout", report.min_session_timeout_ms.into()),
        ("max_session_timeout", report.max_session_timeout_ms.into()),
        ("server_id", report.server_id.into()),
        ("client_port_listen_backlog", report.client_port_listen_backlog.into()),
    ]));
    all
}

/// A directory without a slash at its end.
fn directory(path: &Path) -> Json {
    path.display().to_string().trim_end_matches('/').into()
}

fn server_stats(stats: &ServerStats) -> Pairs {
    let inner = Json::object([
        ("packets_sent", stats.packets_sent.into()),
        ("packets_received", stats.packets_received.into()),
        ("fsync_threshold_exceed_count", stats.fsync_threshold_exceed_count.into()),
        ("client_response_stats", sizes(stats.client_response)),
        ("uptime", stats.uptime_ms.into()),
        ("data_dir_size", stats.data_dir_size.into()),
        ("log_dir_size", stats.log_dir_size.into()),
        ("provider_null", false.into()),
        ("last_processed_zxid", stats.last_processed_zxid.into()),
        ("outstanding_requests", stats.outstanding_requests.into()),
        ("server_state", stats.server_state.into()),
        ("avg_latency", stats.avg_latency_ms.into()),
        ("max_latency", stats.max_latency_ms.into()),
        ("min_latency", stats.min_latency_ms.into()),
        ("num_alive_client_connections", stats.num_alive_connections.into()),
        ("auth_failed_count", stats.auth_failed_count.into()),
        ("non_mtlsremote_conn_count", 0_i64.into()),
        ("non_mtlslocal_conn_count", 0_i64.into()),
    ]);
    pairs([
        ("version", stats.version.clone().into()),
        ("read_only", stats.read_only.into()),
        ("server_stats", inner),
        ("client_response", sizes(stats.client_response)),
        ("node_count", stats.node_count.into()),
    ])
}

fn sizes(sizes: ResponseSizes) -> Json {
    Json::object([
        ("last_buffer_size", sizes.last.into()),
        ("min_buffer_size", sizes.min.into()),
        ("max_buffer_size", sizes.max.into()),
    ])
}

/// How much of a connection is shown: `stats` is brief.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Detail {
    Brief,
    Full,
}

fn connections(all: &[ConnectionStats], detail: Detail) -> Pairs {
    let list = |secure| {
        let some = all.iter().filter(|connection| connection.secure == secure);
        Json::Array(some.map(|one| connection(one, detail)).collect())
    };
    pairs([("connections", list(false)), ("secure_connections", list(true))])
}

fn connection(one: &ConnectionStats, detail: Detail) -> Json {
    let peer = one.peer.map_or("in process".to_owned(), |peer| peer.to_string());
    let mut all = pairs([
        ("remote_socket_address", peer.into()),
        ("interest_ops", one.interest_ops.into()),
        ("outstanding_requests", one.outstanding_requests.into()),
        ("packets_received", one.packets_received.into()),
        ("packets_sent", one.packets_sent.into()),
    ]);
    if detail == Detail::Full {
        let (id, timeout) = one.session.map_or((0, 0), |s| (s.id, s.timeout_ms));
        all.extend(pairs([
            ("session_id", id.into()),
            ("last_operation", one.last_operation.into()),
            ("established", one.established_ms.into()),
            ("session_timeout", timeout.into()),
            ("last_cxid", one.last_cxid.into()),
            ("last_zxid", one.last_zxid.into()),
            ("last_response_time", one.last_response_time_ms.into()),
            ("last_latency", one.last_latency_ms.into()),
            ("min_latency", one.min_latency_ms.into()),
            // A whole number here, as in `cons`.
            ("avg_latency", whole(one.avg_latency_ms).into()),
            ("max_latency", one.max_latency_ms.into()),
        ]));
    }
    Json::Object(all)
}

#[expect(clippy::cast_possible_truncation, reason = "milliseconds, cut as Java does")]
fn whole(value: f64) -> i64 {
    value as i64
}

/// Typed as Apache does: numbers where a row is one, words where JSON has no number for it.
fn monitor(rows: &[(String, String)]) -> Pairs {
    let typed = |(key, value): &(String, String)| {
        let value = match (key.as_str(), value.parse::<i64>(), value.parse::<f64>()) {
            ("version" | "server_state", _, _) | (_, Err(_), Err(_)) => value.as_str().into(),
            (_, Ok(int), _) => int.into(),
            (_, Err(_), Ok(double)) => double.into(),
        };
        (key.clone(), value)
    };
    rows.iter().map(typed).collect()
}

fn dump(report: &DumpReport) -> Pairs {
    let ids = |ids: &[i64]| Json::Array(ids.iter().map(|id| (*id).into()).collect());
    let sessions =
        report.sessions.iter().map(|(expiry, sessions)| (expiry.to_string(), ids(sessions)));
    let ephemerals = report.ephemerals.iter().map(|(session, paths)| {
        let paths = paths.iter().map(|path| path.as_str().into()).collect();
        (session.to_string(), Json::Array(paths))
    });
    pairs([
        ("expiry_time_to_session_ids", Json::Object(sessions.collect())),
        ("session_id_to_ephemeral_paths", Json::Object(ephemerals.collect())),
    ])
}

fn watches(report: &WatchReport) -> Pairs {
    let sessions = report.by_session().into_iter().map(|(session, paths)| {
        (session.to_string(), Json::Array(paths.into_iter().map(Json::from).collect()))
    });
    pairs([("session_id_to_watched_paths", Json::Object(sessions.collect()))])
}

fn watches_by_path(report: &WatchReport) -> Pairs {
    let paths = report.by_path().into_iter().map(|(path, sessions)| {
        (path.to_owned(), Json::Array(sessions.into_iter().map(Json::from).collect()))
    });
    pairs([("path_to_session_ids", Json::Object(paths.collect()))])
}

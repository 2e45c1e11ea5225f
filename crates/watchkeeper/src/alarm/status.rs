//! `watchkeeper status`: how things are, as text and as exit code.

use std::fmt::Write as _;
use std::process::ExitCode;
use std::time::Duration;

use serde::Deserialize;
use wk_monitor::{Ensemble, Fleet, Group, Incident, NodeState, Server, ServerState, Timestamp};

use super::api::{self, Api, MonitorArg};
use super::incidents::clean;
use crate::exit::coded;
use crate::print;
use crate::shell::output::{self, Format, OutputArg};

/// Nobody can say how things are: no monitor, or it cannot see.
const UNKNOWN: u8 = 3;
/// Open incidents that are read.
const INCIDENTS_MAX: usize = 500;
/// So much of a sentence stands in a line.
const PLACE_MAX: usize = 100;

/// Show how servers and nodes are
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  watchkeeper status
  watchkeeper status -o json | jq .ensembles
  watchkeeper status >/dev/null || page-somebody

Exit codes: 0 ok, 1 warning, 2 critical, 3 unknown (no monitor, or it cannot see)")]
pub(crate) struct Args {
    #[command(flatten)]
    out: OutputArg,
    #[command(flatten)]
    monitor: MonitorArg,
}

pub(crate) fn run(args: &Args) -> anyhow::Result<ExitCode> {
    api::run(status(args))
}

/// What is shown.
#[derive(Debug)]
struct Picture {
    fleet: Fleet,
    /// Those that are open.
    incidents: Vec<Incident>,
}

#[derive(Debug, Deserialize)]
struct List {
    incidents: Vec<Incident>,
}

async fn status(args: &Args) -> anyhow::Result<ExitCode> {
    // Whatever goes wrong here, the state of things is not known.
    let unknown = |error| coded(UNKNOWN, error);
    let api = args.monitor.open().map_err(unknown)?;
    let is_json = matches!(args.out.output, Format::Json | Format::Jsonl);
    // Ten thousand nodes that are up are megabytes that nobody reads.
    let nodes = if is_json { "all" } else { "faulty" };
    let asked = [("nodes", nodes.to_owned())];
    let fleet: Fleet = api.find(&["fleet"], &asked).await.map_err(unknown)?;
    let exit = ExitCode::from(fleet.level.exit_code());
    let text = match args.out.output {
        Format::Json => output::json(&fleet)?,
        Format::Jsonl => output::jsonl(&fleet)?,
        Format::Table | Format::Raw => {
            let incidents = open(&api).await.map_err(unknown)?;
            table(&Picture { fleet, incidents })
        }
    };
    print::bytes(text.as_bytes())?;
    Ok(exit)
}

/// Those that are told, then those that say of a server why nobody is: many of the latter must not
/// take the place of the former.
async fn open(api: &Api) -> anyhow::Result<Vec<Incident>> {
    let mut incidents = Vec::new();
    for hushed in ["false", "true"] {
        let limit = INCIDENTS_MAX.to_string();
        let asked = [("open", "true"), ("hushed", hushed), ("limit", &limit)];
        let asked = asked.map(|(name, value)| (name, value.to_owned()));
        let list: List = api.find(&["incidents"], &asked).await?;
        // A monitor that does not know the question gives both.
        let fits = |i: &Incident| i.is_hushed().to_string() == hushed;
        incidents.extend(list.incidents.into_iter().filter(fits));
    }
    Ok(incidents)
}

/// Where an incident has to be looked for: the first thing that its evidence says.
fn place(incident: &Incident) -> String {
    let text = incident.evidence.first().unwrap_or(&incident.summary);
    let text = clean(text);
    match text.char_indices().nth(PLACE_MAX) {
        Some((at, _)) => format!("{}...", &text[..at]),
        None => text,
    }
}

// Writing to a string cannot fail: the results of `writeln!` say nothing.
fn table(picture: &Picture) -> String {
    let mut text = String::new();
    let fleet = &picture.fleet;
    for ensemble in &fleet.ensembles {
        ensemble_rows(ensemble, picture, &mut text);
    }
    for channel in &fleet.channels {
        let _ = write!(
            text,
            "channel {}: {} confirmed, {} waiting, {} refused, {} expired",
            clean(&channel.name),
            channel.confirmed,
            channel.pending,
            channel.failed,
            channel.expired
        );
        if let Some(error) = channel.last_error.as_ref().filter(|_| channel.pending > 0) {
            let _ = write!(text, " ({})", clean(error));
        }
        text.push('\n');
    }
    for note in &fleet.notes {
        let _ = writeln!(text, "note: {}", clean(note));
    }
    text
}

fn ensemble_rows(ensemble: &Ensemble, picture: &Picture, text: &mut String) {
    let now = picture.fleet.as_of;
    let cells = [voters(ensemble), leader(ensemble), worst(ensemble, picture)];
    let level = ensemble.level.as_str().to_uppercase();
    let _ = write!(text, "{}  {level}", clean(&ensemble.name));
    for cell in cells.into_iter().flatten() {
        let _ = write!(text, "  {cell}");
    }
    text.push('\n');
    let names: Vec<String> = ensemble.servers.iter().map(|s| clean(&s.instance)).collect();
    let wide = names.iter().map(|name| name.chars().count()).max().unwrap_or(0);
    for (name, server) in names.iter().zip(&ensemble.servers) {
        let line = match server.state {
            ServerState::Up => serving(server, picture),
            ServerState::Unknown => "not looked at yet".to_owned(),
            ServerState::NotServing | ServerState::Unreachable => lost(server, picture),
        };
        let _ = writeln!(text, "  {name:<wide$}  {line}");
    }
    let _ = writeln!(text, "  nodes: {}", nodes(&ensemble.groups));
    for node in ensemble.nodes.iter().filter(|node| node.state == NodeState::Down) {
        let _ = write!(text, "  {}  DOWN {}", clean(&node.path), age(node.since, now));
        let incident = node.incident.as_ref().map(|id| format!("  incident {id}"));
        let _ = writeln!(text, "{}", incident.unwrap_or_default());
    }
    for note in &ensemble.notes {
        let _ = writeln!(text, "  note: {}", clean(note));
    }
}

/// `3 voters, 2 serving`; what serves may be an observer.
fn voters(ensemble: &Ensemble) -> Option<String> {
    let up = ensemble.servers.iter().filter(|server| server.state == ServerState::Up).count();
    let all = ensemble.servers.len();
    match ensemble.voters {
        Some(voters) if voters > 1 => Some(format!("{voters} voters, {up} of {all} serving")),
        Some(_) | None => (all > 0).then(|| format!("{up} of {all} serving")),
    }
}

/// `leader zk2:2181 (epoch 0x1f, 4d)`.
fn leader(ensemble: &Ensemble) -> Option<String> {
    let leads = |server: &&Server| {
        server.state == ServerState::Up && server.mode.as_deref() == Some("leader")
    };
    let Some(leader) = ensemble.servers.iter().find(leads) else {
        return ensemble.voters.filter(|voters| *voters > 1).map(|_| "no leader".to_owned());
    };
    let zxid = leader.zxid.as_deref().and_then(|hex| hex.strip_prefix("0x"));
    let epoch = zxid.and_then(|hex| u64::from_str_radix(hex, 16).ok()).map(|zxid| zxid >> 32);
    let mut known: Vec<String> =
        epoch.map(|epoch| format!("epoch {epoch:#x}")).into_iter().collect();
    known.extend(
        leader
            .leading_seconds
            .and_then(|seconds| Duration::try_from_secs_f64(seconds.max(0.0)).ok())
            .map(span),
    );
    let known = if known.is_empty() { String::new() } else { format!(" ({})", known.join(", ")) };
    Some(format!("leader {}{known}", clean(&leader.instance)))
}

/// `incident 7f3a91c2d0e4-1 critical ZkNoLeader 2m11s`, and how many more there are.
fn worst(ensemble: &Ensemble, picture: &Picture) -> Option<String> {
    let told = |incident: &&Incident| incident.ensemble == ensemble.name && !incident.is_hushed();
    let open: Vec<&Incident> = picture.incidents.iter().filter(told).collect();
    let key = |incident: &&&Incident| (incident.severity, std::cmp::Reverse(incident.first_seen));
    let worst = open.iter().max_by_key(key)?;
    let (id, severity) = (&worst.id, worst.severity.as_str());
    let age = age(worst.first_seen, picture.fleet.as_of);
    let more = if open.len() > 1 { format!(" and {} more", open.len() - 1) } else { String::new() };
    Some(format!("incident {id} {severity} {} {age}{more}", clean(&worst.rule)))
}

/// `follower    lag 0      fsync 3 ms   conn 412    ok`.
fn serving(server: &Server, picture: &Picture) -> String {
    let role = clean(server.mode.as_deref().unwrap_or("serves"));
    let cell = |value: Option<String>| value.unwrap_or_default();
    let lag = cell(server.lag.map(|txns| format!("lag {txns}")));
    let fsync = cell(server.fsync_seconds.map(|s| format!("fsync {:.0} ms", s * 1000.0)));
    let conn = cell(server.connections.map(|count| format!("conn {count}")));
    let mut of_it = picture.incidents.iter().filter(|incident| {
        incident.instance.as_deref() == Some(&server.instance) && !incident.is_hushed()
    });
    let state = of_it.next().map_or("ok".to_owned(), |incident| {
        format!("{} {}: {}", clean(&incident.rule), incident.id, place(incident))
    });
    format!("{role:<10}  {lag:<9}  {fsync:<12}  {conn:<10}  {state}")
}

/// `DOWN 2m11s  zk3:2181: ... (incident ID)`.
fn lost(server: &Server, picture: &Picture) -> String {
    let word = if server.state == ServerState::NotServing { "NOT SERVING" } else { "DOWN" };
    let age = age(server.since, picture.fleet.as_of);
    let about = |incident: &&Incident| {
        let own = server.incident.as_ref() == Some(&incident.id);
        own || incident.instance.as_deref() == Some(&server.instance)
    };
    let found = picture.incidents.iter().find(about);
    match (found, &server.last_error) {
        (Some(incident), _) => {
            format!("{word} {age}  {} (incident {})", place(incident), incident.id)
        }
        (None, Some(error)) => format!("{word} {age}  {}", clean(error)),
        (None, None) => format!("{word} {age}"),
    }
}

fn nodes(groups: &[Group]) -> String {
    let sum = |count: fn(&Group) -> usize| groups.iter().map(count).sum::<usize>();
    let all = [
        (sum(|group| group.up), NodeState::Up),
        (sum(|group| group.suspect), NodeState::Suspect),
        (sum(|group| group.down), NodeState::Down),
        (sum(|group| group.maintenance), NodeState::Maintenance),
        (sum(|group| group.starting), NodeState::Starting),
        (sum(|group| group.left), NodeState::Left),
        (sum(|group| group.unknown), NodeState::Unknown),
    ];
    let some = all.iter().filter(|(count, _)| *count > 0);
    let words: Vec<String> =
        some.map(|(count, state)| format!("{count} {}", state.as_str())).collect();
    if words.is_empty() { "none".to_owned() } else { words.join(", ") }
}

fn age(since: Timestamp, now: Timestamp) -> String {
    span(Duration::from_secs(since.seconds_until(now)))
}

/// The two largest units, as `2m11s` or `4d`.
fn span(time: Duration) -> String {
    let seconds = time.as_secs();
    let two = |large: u64, one: &str, small: u64, other: &str| match small {
        0 => format!("{large}{one}"),
        _ => format!("{large}{one}{small}{other}"),
    };
    match seconds {
        0..60 => format!("{seconds}s"),
        60..3_600 => two(seconds / 60, "m", seconds % 60, "s"),
        3_600..86_400 => two(seconds / 3_600, "h", seconds / 60 % 60, "m"),
        _ => two(seconds / 86_400, "d", seconds / 3_600 % 24, "h"),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn server(instance: &str, state: &str, mode: &str) -> serde_json::Value {
        json!({
            "instance": instance, "state": state, "since": "2026-01-01T00:00:00.000Z",
            "mode": mode, "version": null, "zxid": "0x1f00000007", "latency": null,
            "lag": if mode == "leader" { json!(null) } else { json!(0) },
            "fsync_seconds": 0.0034, "probe_seconds": 0.001,
            "leading_seconds": if mode == "leader" { json!(345_605.0) } else { json!(null) },
            "connections": 412, "outstanding": null, "znodes": 7, "watches": 5,
            "ephemerals": null, "data_bytes": null, "last_seen": null,
            "last_error": "connection refused", "incident": null, "probes_total": 1,
            "probe_failures_total": 0
        })
    }

    fn picture() -> Picture {
        let servers = [
            server("zk1:2181", "up", "follower"),
            server("zk2:2181", "up", "leader"),
            server("zk3.example:2181", "unreachable", "follower"),
        ];
        let node = json!({"group": "web", "id": "one", "path": "/nodes/web/o\u{1b}ne",
            "state": "down", "since": "2026-01-01T00:01:11.000Z", "session": null,
            "metadata": null, "evidence": [], "incident": "n-1"});
        let group = json!({"name": "web", "starting": 0, "up": 2, "suspect": 0, "down": 1,
            "left": 0, "unknown": 0, "maintenance": 0});
        let fleet = json!({
            "as_of": "2026-01-01T00:02:11.000Z", "level": "warning", "open_incidents": 2,
            "channels": [], "incidents_opened": {}, "notes": ["a rule file is not in force: x"],
            "ensembles": [{
                "name": "prod", "level": "warning", "servers": servers, "nodes": [node],
                "voters": 3, "groups": [group], "notes": ["mntr is not allowed"],
                "sight": {"clear": true, "since": "2026-01-01T00:00:00.000Z", "session": null}
            }]
        });
        let incident = |id: &str, rule: &str, instance: Option<&str>| Incident {
            id: id.to_owned(),
            rule: rule.to_owned(),
            severity: wk_monitor::Severity::Warning,
            ensemble: "prod".to_owned(),
            instance: instance.map(str::to_owned),
            evidence: vec!["its log disk is full".to_owned(), "no answer".to_owned()],
            first_seen: Timestamp::parse("2026-01-01T00:00:00.000Z").unwrap(),
            ..Incident::default()
        };
        let incidents = vec![
            incident("n-1", "NodeDown", None),
            incident("a-1", "ZkServerUnreachable", Some("zk3.example:2181")),
        ];
        Picture { fleet: serde_json::from_value(fleet).unwrap(), incidents }
    }

    #[test]
    fn a_line_per_ensemble_and_server_says_how_it_is_and_where_to_look() {
        let want = "\
prod  WARNING  3 voters, 2 of 3 serving  leader zk2:2181 (epoch 0x1f, 4d)  \
incident a-1 warning ZkServerUnreachable 2m11s and 1 more
  zk1:2181          follower    lag 0      fsync 3 ms    conn 412    ok
  zk2:2181          leader                 fsync 3 ms    conn 412    ok
  zk3.example:2181  DOWN 2m11s  its log disk is full (incident a-1)
  nodes: 2 up, 1 down
  /nodes/web/o\u{fffd}ne  DOWN 1m  incident n-1
  note: mntr is not allowed
note: a rule file is not in force: x
";
        assert_eq!(table(&picture()), want);
    }

    #[test]
    fn a_number_that_is_no_time_is_left_out() {
        let mut lie = picture();
        for seconds in [1e300, f64::INFINITY, f64::NAN, -1.0] {
            lie.fleet.ensembles[0].servers[1].leading_seconds = Some(seconds);
            assert!(table(&lie).contains("leader zk2:2181 (epoch 0x1f"), "{seconds}");
        }
    }

    #[test]
    fn what_is_not_known_is_left_out() {
        let mut bare = picture();
        bare.incidents.clear();
        let ensemble = &mut bare.fleet.ensembles[0];
        ensemble.servers.truncate(1);
        (ensemble.servers[0].mode, ensemble.servers[0].lag) = (None, None);
        (ensemble.servers[0].fsync_seconds, ensemble.servers[0].connections) = (None, None);
        (ensemble.nodes, ensemble.groups, ensemble.notes) = (vec![], vec![], vec![]);
        ensemble.voters = None;
        bare.fleet.notes.clear();
        let text = table(&bare);
        let words: Vec<&str> = text.split_whitespace().collect();
        let want = "prod WARNING 1 of 1 serving zk1:2181 serves ok nodes: none";
        assert_eq!(words.join(" "), want);
        bare.fleet.ensembles[0].servers[0].state = ServerState::NotServing;
        assert!(table(&bare).contains("NOT SERVING 2m11s  connection refused"));
        bare.fleet.ensembles[0].voters = Some(5);
        assert!(table(&bare).contains("5 voters, 0 of 1 serving  no leader\n"));
    }

    #[test]
    fn spans_have_two_units() {
        let shown =
            [0, 59, 60, 3_599, 7_260, 86_400, 100_000].map(|s| span(Duration::from_secs(s)));
        assert_eq!(shown, ["0s", "59s", "1m", "59m59s", "2h1m", "1d", "1d3h"]);
    }
}

//! `watchkeeper top`: servers, groups and open incidents on one screen, again and again.

use std::fmt::Write as _;
use std::io::IsTerminal;
use std::process::ExitCode;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use tokio::signal::unix::{SignalKind, signal};
use wk_monitor::{Ensemble, Fleet, Incident, NodeState, Server, ServerState};

use super::api::{self, Api, MonitorArg};
use super::incidents::clean;
use crate::exit::coded;
use crate::print;
use crate::shell::output::{self, Format, OutputArg};
use crate::shell::text;

/// Nobody can say how things are.
const UNKNOWN: u8 = 3;
/// The screen when the terminal does not say how large it is.
const SCREEN: (usize, usize) = (100, 40);
/// Into the alternate screen, without a cursor; and back.
const ENTER: &str = "\x1b[?1049h\x1b[?25l";
const LEAVE: &str = "\x1b[?25h\x1b[?1049l";
/// To the upper left; and whatever is behind the end of the text goes.
const HOME: &str = "\x1b[H";
const CLEAR_LINE: &str = "\x1b[K";
const CLEAR_BELOW: &str = "\x1b[J";

/// Watch servers, groups and open incidents on one screen
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  watchkeeper top
  watchkeeper top --interval 5s
  watchkeeper top --once -o json | jq '.incidents[].id'

Ctrl-C ends it. Where output is no terminal, it prints once.
Exit codes: as of `status`")]
pub(crate) struct Args {
    /// Time between two looks
    #[arg(short, long, value_name = "TIME", default_value = "2s", value_parser = text::duration)]
    interval: Duration,
    /// Print once and end
    #[arg(long)]
    once: bool,
    #[command(flatten)]
    out: OutputArg,
    #[command(flatten)]
    monitor: MonitorArg,
}

/// What is shown.
#[derive(Debug, Serialize)]
struct Picture {
    fleet: Fleet,
    incidents: Vec<Incident>,
}

#[derive(Debug, Deserialize)]
struct List {
    incidents: Vec<Incident>,
}

pub(crate) fn run(args: &Args) -> anyhow::Result<ExitCode> {
    api::run(async {
        let api = args.monitor.open()?;
        let format = args.out.output;
        let live = !args.once && std::io::stdout().is_terminal();
        if live && matches!(format, Format::Table | Format::Raw) {
            return follow(&api, args.interval).await;
        }
        let picture = look(&api).await.map_err(|error| coded(UNKNOWN, error))?;
        let text = match format {
            Format::Json => output::json(&picture)?,
            Format::Jsonl => output::jsonl(&picture)?,
            Format::Table | Format::Raw => draw(&picture, (SCREEN.0, usize::MAX)),
        };
        print::bytes(text.as_bytes())?;
        Ok(ExitCode::from(picture.fleet.level.exit_code()))
    })
}

async fn look(api: &Api) -> anyhow::Result<Picture> {
    let faulty = [("nodes", "faulty".to_owned())];
    let fleet: Fleet = api.find(&["fleet"], &faulty).await?;
    let open = [("open", "true"), ("hushed", "false"), ("limit", "100")];
    let open = open.map(|(name, value)| (name, value.to_owned()));
    let mut list: List = api.find(&["incidents"], &open).await?;
    // A monitor that does not know the question gives all.
    list.incidents.retain(|incident| !incident.is_hushed());
    Ok(Picture { fleet, incidents: list.incidents })
}

/// Draws until a signal comes. A monitor that does not answer is said and asked again.
async fn follow(api: &Api, interval: Duration) -> anyhow::Result<ExitCode> {
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut terminate = signal(SignalKind::terminate())?;
    let first = look(api).await.map_err(|error| coded(UNKNOWN, error))?;
    print::bytes(ENTER.as_bytes())?;
    let mut level = first.fleet.level;
    let mut seen = Ok(first);
    let code = loop {
        let (text, size) = (String::new(), size());
        let text = match &seen {
            Ok(picture) => {
                level = picture.fleet.level;
                draw(picture, size)
            }
            Err(error) => text + &format!("the monitor does not answer: {error:#}\n"),
        };
        let screen = text.replace('\n', &format!("{CLEAR_LINE}\n"));
        if print::bytes(format!("{HOME}{screen}{CLEAR_BELOW}").as_bytes()).is_err() {
            break ExitCode::from(UNKNOWN);
        }
        tokio::select! {
            () = tokio::time::sleep(interval) => (),
            _ = interrupt.recv() => break ExitCode::from(level.exit_code()),
            _ = terminate.recv() => break ExitCode::from(143),
        }
        seen = look(api).await;
    };
    print::bytes(LEAVE.as_bytes())?;
    Ok(code)
}

/// Columns and lines of the terminal.
fn size() -> (usize, usize) {
    match rustix::termios::tcgetwinsize(std::io::stdout()) {
        Ok(size) if size.ws_col > 0 && size.ws_row > 0 => {
            (usize::from(size.ws_col), usize::from(size.ws_row))
        }
        Ok(_) | Err(_) => SCREEN,
    }
}

/// The picture in lines that fit: what does not fit is counted in the last one.
fn draw(picture: &Picture, (columns, lines): (usize, usize)) -> String {
    let mut text = Vec::new();
    let fleet = &picture.fleet;
    let level = fleet.level.as_str().to_uppercase();
    let open = fleet.open_incidents;
    text.push(format!("watchkeeper top   {level}   {open} open incidents   {}", fleet.as_of));
    for incident in &picture.incidents {
        text.push(format!(
            "  {} {:<8} {}  {}",
            incident.id,
            incident.severity.as_str(),
            incident.first_seen,
            clean(&incident.summary)
        ));
    }
    for ensemble in &fleet.ensembles {
        text.push(String::new());
        ensemble_lines(ensemble, &mut text);
    }
    let room = lines.saturating_sub(1);
    let over = text.len().saturating_sub(room);
    if over > 0 {
        text.truncate(room.saturating_sub(1));
        text.push(format!("... {} lines more", over + 1));
    }
    let mut out = String::new();
    for line in text {
        let cut: String = line.chars().take(columns).collect();
        out.push_str(cut.trim_end());
        out.push('\n');
    }
    out
}

fn ensemble_lines(ensemble: &Ensemble, text: &mut Vec<String>) {
    let level = ensemble.level.as_str().to_uppercase();
    text.push(format!("{} {level}", clean(&ensemble.name)));
    let names: Vec<String> = ensemble.servers.iter().map(|s| clean(&s.instance)).collect();
    let wide = names.iter().map(|name| name.chars().count()).max().unwrap_or(0).max(8);
    if !ensemble.servers.is_empty() {
        text.push(format!(
            "  {:<wide$} {:<11} {:<10} {:>6} {:>5} {:>8} {:>9} {:>8}  ZXID",
            "SERVER", "STATE", "MODE", "CONN", "OUT", "AVG MS", "ZNODES", "WATCHES"
        ));
    }
    for (name, server) in names.iter().zip(&ensemble.servers) {
        text.push(format!("  {name:<wide$} {}", server_cells(server)));
    }
    for group in &ensemble.groups {
        let name = group.name.as_deref().map_or_else(|| "(no group)".to_owned(), clean);
        let mut line = format!("  group {name}: {} up", group.up);
        for (count, state) in [
            (group.down, NodeState::Down),
            (group.suspect, NodeState::Suspect),
            (group.maintenance, NodeState::Maintenance),
            (group.starting, NodeState::Starting),
            (group.left, NodeState::Left),
            (group.unknown, NodeState::Unknown),
        ] {
            if count > 0 {
                // Writing to a string cannot fail.
                let _ = write!(line, ", {count} {}", state.as_str());
            }
        }
        text.push(line);
    }
    for node in ensemble.nodes.iter().filter(|node| node.state == NodeState::Down) {
        text.push(format!("  {} DOWN since {}", clean(&node.path), node.since));
    }
}

fn server_cells(server: &Server) -> String {
    let number = |value: Option<u64>| value.map_or("-".to_owned(), |value| value.to_string());
    let mode = clean(server.mode.as_deref().unwrap_or("-"));
    let latency = server.latency.map_or("-".to_owned(), |all| format!("{:.2}", all.avg * 1000.0));
    let state = server.state.as_str();
    let is_up = server.state == ServerState::Up;
    let state = if is_up { state.to_owned() } else { state.to_uppercase() };
    let zxid = clean(server.zxid.as_deref().unwrap_or("-"));
    format!(
        "{state:<11} {mode:<10} {:>6} {:>5} {latency:>8} {:>9} {:>8}  {zxid}",
        number(server.connections),
        number(server.outstanding),
        number(server.znodes),
        number(server.watches)
    )
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn server(instance: &str, state: &str) -> serde_json::Value {
        json!({
            "instance": instance, "state": state, "since": "2026-01-01T00:00:00.000Z",
            "mode": "leader", "version": null, "zxid": "0x1f00000007",
            "latency": {"min": 0.0, "avg": 0.0015, "max": 0.2}, "probe_seconds": 0.001,
            "connections": 412, "outstanding": null, "znodes": 70000, "watches": 5,
            "ephemerals": null, "data_bytes": null, "last_seen": null, "last_error": null,
            "incident": null, "probes_total": 1, "probe_failures_total": 0
        })
    }

    fn picture(servers: usize) -> Picture {
        let servers: Vec<_> = (0..servers)
            .map(|at| server(&format!("zk{at}:2181"), if at == 1 { "unreachable" } else { "up" }))
            .collect();
        let group = json!({"name": "a\u{1b}[2Jpp", "starting": 0, "up": 2, "suspect": 1, "down": 1,
                           "left": 0, "unknown": 0, "maintenance": 0});
        let fleet = json!({
            "as_of": "2026-01-01T00:00:01.000Z", "level": "warning", "open_incidents": 1,
            "channels": [], "incidents_opened": {},
            "ensembles": [{
                "name": "prod", "level": "warning", "servers": servers, "nodes": [],
                "sight": {"clear": true, "since": "2026-01-01T00:00:00.000Z", "session": null},
                "groups": [group], "notes": []
            }]
        });
        Picture { fleet: serde_json::from_value(fleet).unwrap(), incidents: Vec::new() }
    }

    #[test]
    fn servers_stand_in_columns_and_what_is_wrong_in_capitals() {
        let text = draw(&picture(2), (100, 40));
        let lines: Vec<&str> = text.lines().collect();
        assert!(lines[0].starts_with("watchkeeper top   WARNING   1 open incidents"), "{text}");
        let row = |line: &str| line.split_whitespace().map(str::to_owned).collect::<Vec<_>>();
        let want = ["zk0:2181", "up", "leader", "412", "-", "1.50", "70000", "5", "0x1f00000007"];
        assert_eq!(row(lines[4]), want);
        assert_eq!(row(lines[5])[1], "UNREACHABLE");
        assert_eq!(lines[3].find("CONN").map(|at| at + 4), lines[4].find("412").map(|at| at + 3));
        assert!(text.contains(": 2 up, 1 down, 1 suspect"), "{text}");
        assert!(!text.contains('\u{1b}'), "a name must not drive the terminal");
    }

    #[test]
    fn a_small_terminal_gets_what_fits_and_a_count_of_the_rest() {
        let whole = draw(&picture(50), (100, 200));
        let small = draw(&picture(50), (30, 10));
        assert_eq!(small.lines().count(), 9);
        assert!(small.lines().all(|line| line.chars().count() <= 30));
        let rest = whole.lines().count() - 8;
        assert_eq!(small.lines().last(), Some(format!("... {rest} lines more").as_str()));
    }
}

//! `watchkeeper status`: how things are, as text and as exit code.

use std::fmt::Write as _;
use std::process::ExitCode;

use wk_monitor::{Ensemble, Fleet, NodeState, Server};

use super::api::{self, MonitorArg};
use super::incidents::clean;
use crate::exit::coded;
use crate::print;
use crate::shell::output::{self, Format, OutputArg};

/// Nobody can say how things are: no monitor, or it cannot see.
const UNKNOWN: u8 = 3;

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

async fn status(args: &Args) -> anyhow::Result<ExitCode> {
    // Whatever goes wrong here, the state of things is not known.
    let fleet = fleet(args).await.map_err(|error| coded(UNKNOWN, error))?;
    let text = match args.out.output {
        Format::Json => output::json(&fleet)?,
        Format::Jsonl => output::jsonl(&fleet)?,
        Format::Table | Format::Raw => table(&fleet),
    };
    print::bytes(text.as_bytes())?;
    Ok(ExitCode::from(fleet.level.exit_code()))
}

async fn fleet(args: &Args) -> anyhow::Result<Fleet> {
    args.monitor.open()?.get(&["fleet"]).await
}

// Writing to a string cannot fail: the results of `writeln!` say nothing.
fn table(fleet: &Fleet) -> String {
    let mut text = String::new();
    for ensemble in &fleet.ensembles {
        ensemble_rows(ensemble, &mut text);
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
    text
}

fn ensemble_rows(ensemble: &Ensemble, text: &mut String) {
    let level = ensemble.level.as_str().to_uppercase();
    let count = |state| ensemble.nodes.iter().filter(|node| node.state == state).count();
    let states = [
        NodeState::Up,
        NodeState::Suspect,
        NodeState::Down,
        NodeState::Maintenance,
        NodeState::Starting,
        NodeState::Left,
        NodeState::Unknown,
    ];
    let nodes: Vec<String> = states
        .into_iter()
        .map(|state| (count(state), state.as_str()))
        .filter(|(count, _)| *count > 0)
        .map(|(count, state)| format!("{count} {state}"))
        .collect();
    let nodes = if nodes.is_empty() { "no nodes".to_owned() } else { nodes.join(", ") };
    let _ = writeln!(text, "{} {level}: nodes: {nodes}", clean(&ensemble.name));
    for server in &ensemble.servers {
        server_row(server, text);
    }
    for node in ensemble.nodes.iter().filter(|node| node.state == NodeState::Down) {
        let incident = node.incident.as_deref().unwrap_or_default();
        let _ = writeln!(text, "  {} down since {} {incident}", clean(&node.path), node.since);
    }
    for note in &ensemble.notes {
        let _ = writeln!(text, "  note: {}", clean(note));
    }
}

fn server_row(server: &Server, text: &mut String) {
    let mode = server.mode.as_deref().unwrap_or("-");
    let state = server.state.as_str();
    let _ = write!(text, "  {} {state} {}", clean(&server.instance), clean(mode));
    if let Some(zxid) = &server.zxid {
        let _ = write!(text, " zxid {}", clean(zxid));
    }
    if let Some(connections) = server.connections {
        let _ = write!(text, " connections {connections}");
    }
    if let Some(error) = &server.last_error {
        let _ = write!(text, " ({})", clean(error));
    }
    if let Some(incident) = &server.incident {
        let _ = write!(text, " incident {incident}");
    }
    text.push('\n');
}

//! `watchkeeper incidents`: what is and was wrong; taking it on and putting it away.

use std::fmt::Write as _;
use std::process::ExitCode;

use serde::{Deserialize, Serialize};
use serde_json::json;
use wk_monitor::{Incident, IncidentDetail};

use super::api::{self, Api, MonitorArg};
use crate::print;
use crate::shell::output::{self, Format, OutputArg};

/// List, show, acknowledge and close incidents, and let their actions run
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  watchkeeper incidents
  watchkeeper incidents ls --open -o jsonl | jq .id
  watchkeeper incidents show 1f0c2a99b3d4-1
  watchkeeper incidents ack 1f0c2a99b3d4-1 --by ann
  watchkeeper incidents run 1f0c2a99b3d4-1

Exit codes: 0 ok, 3 no such incident, 4 not in a state for this, 6 no monitor")]
pub(crate) struct Args {
    #[command(subcommand)]
    verb: Option<Verb>,
    #[command(flatten)]
    list: ListArgs,
}

#[derive(Debug, clap::Subcommand)]
enum Verb {
    /// List incidents, newest first
    Ls(ListArgs),
    /// Show one incident, who was told of it and what happened
    Show(OneArgs),
    /// Take an incident on
    Ack(ActArgs),
    /// Put a resolved incident away
    Close(ActArgs),
    /// Let the action of the group run for a node that is down: once an incident
    Run(ActArgs),
}

#[derive(Debug, clap::Args)]
struct ListArgs {
    /// Only those that are firing, acknowledged, suppressed or unknown
    #[arg(long)]
    open: bool,
    /// Also what has not lasted long enough to be an incident
    #[arg(long)]
    pending: bool,
    /// Only this state: pending, firing, acknowledged, suppressed, unknown, resolved, closed
    #[arg(long, value_name = "STATE")]
    state: Option<String>,
    /// Only this severity: critical, warning, info
    #[arg(long, value_name = "SEVERITY")]
    severity: Option<String>,
    /// Only this rule
    #[arg(long, value_name = "RULE")]
    rule: Option<String>,
    /// Only this ensemble
    #[arg(long, value_name = "NAME")]
    ensemble: Option<String>,
    /// At most so many
    #[arg(long, value_name = "N", default_value_t = 100)]
    limit: usize,
    #[command(flatten)]
    out: OutputArg,
    #[command(flatten)]
    monitor: MonitorArg,
}

#[derive(Debug, clap::Args)]
struct OneArgs {
    /// The incident's id
    #[arg(value_name = "ID")]
    id: String,
    #[command(flatten)]
    out: OutputArg,
    #[command(flatten)]
    monitor: MonitorArg,
}

#[derive(Debug, clap::Args)]
struct ActArgs {
    #[command(flatten)]
    one: OneArgs,
    /// Under whose name [default: $USER]
    #[arg(long, value_name = "NAME")]
    by: Option<String>,
}

/// The API's list.
#[derive(Debug, Serialize, Deserialize)]
struct List {
    incidents: Vec<Incident>,
}

pub(crate) fn run(args: &Args) -> anyhow::Result<ExitCode> {
    api::run(async {
        match &args.verb {
            None => list(&args.list).await,
            Some(Verb::Ls(args)) => list(args).await,
            Some(Verb::Show(args)) => show(args).await,
            Some(Verb::Ack(args)) => act(args, "ack").await,
            Some(Verb::Close(args)) => act(args, "close").await,
            Some(Verb::Run(args)) => act(args, "run").await,
        }
    })
}

async fn list(args: &ListArgs) -> anyhow::Result<ExitCode> {
    let api = args.monitor.open()?;
    let mut query = vec![("limit", args.limit.to_string())];
    for (name, flag) in [("open", args.open), ("pending", args.pending)] {
        if flag {
            query.push((name, "true".to_owned()));
        }
    }
    let named = [
        ("state", &args.state),
        ("severity", &args.severity),
        ("rule", &args.rule),
        ("ensemble", &args.ensemble),
    ];
    query.extend(named.into_iter().filter_map(|(name, value)| Some((name, value.clone()?))));
    let list: List = api.find(&["incidents"], &query).await?;
    let mut text = String::new();
    match args.out.output {
        Format::Json => text = output::json(&list)?,
        Format::Jsonl => {
            for incident in &list.incidents {
                text += &output::jsonl(incident)?;
            }
        }
        Format::Table | Format::Raw => {
            for incident in &list.incidents {
                text += &row(incident);
            }
            if list.incidents.is_empty() {
                print::note("no incidents");
            }
        }
    }
    print::bytes(text.as_bytes())?;
    Ok(ExitCode::SUCCESS)
}

fn row(incident: &Incident) -> String {
    let Incident { id, severity, state, first_seen, summary, .. } = incident;
    let (severity, state) = (severity.as_str(), state.as_str());
    format!("{id:<16} {severity:<8} {state:<12} {first_seen} {}\n", clean(summary))
}

async fn show(args: &OneArgs) -> anyhow::Result<ExitCode> {
    let api = args.monitor.open()?;
    let detail: IncidentDetail = api.get(&["incidents", &args.id]).await?;
    let text = match args.out.output {
        Format::Json => output::json(&detail)?,
        Format::Jsonl => output::jsonl(&detail)?,
        Format::Table | Format::Raw => page(&detail),
    };
    print::bytes(text.as_bytes())?;
    Ok(ExitCode::SUCCESS)
}

// Writing to a string cannot fail: the results of `writeln!` say nothing.
fn page(detail: &IncidentDetail) -> String {
    let incident = &detail.incident;
    let mut text = format!("{}\n\n", clean(&incident.summary));
    let state = match &incident.acknowledged_by {
        Some(by) => format!("{}, taken on by {}", incident.state.as_str(), clean(by)),
        None => incident.state.as_str().to_owned(),
    };
    let since = incident.first_seen.to_string();
    let rows = [
        ("id", incident.id.as_str()),
        ("rule", &incident.rule),
        ("severity", incident.severity.as_str()),
        ("state", &state),
        ("ensemble", &incident.ensemble),
        ("first seen", &since),
    ];
    for (label, value) in rows {
        let _ = writeln!(text, "{label:<12} {value}");
    }
    if let Some(at) = incident.resolved_at {
        let _ = writeln!(text, "{:<12} {at}", "resolved");
    }
    if let Some(by) = &incident.suppressed_by {
        let _ = writeln!(text, "{:<12} by {}", "suppressed", clean(by));
    }
    let advice = [("where", &incident.locate), ("what to do", &incident.action)];
    for (label, advice) in advice.into_iter().filter(|_| incident.resolved_at.is_none()) {
        if let Some(advice) = advice {
            let _ = writeln!(text, "{label:<12} {}", clean(advice));
        }
    }
    if incident.flaps > 0 {
        let _ = writeln!(text, "{:<12} {}", "came back", incident.flaps);
    }
    text.push_str("\nevidence\n");
    for line in &incident.evidence {
        let _ = writeln!(text, "  {}", clean(line));
    }
    if !detail.deliveries.is_empty() {
        text.push_str("\nnotifications\n");
    }
    for delivery in &detail.deliveries {
        let error = delivery.last_error.as_deref().map(|error| format!(": {}", clean(error)));
        let _ = writeln!(
            text,
            "  {:<12} {:<8} {:<9} {} tries{}",
            delivery.channel,
            delivery.phase.as_str(),
            delivery.state.as_str(),
            delivery.attempts,
            error.unwrap_or_default()
        );
    }
    text.push_str("\nhistory\n");
    for line in &detail.timeline {
        let _ = writeln!(text, "  {} {:<8} {}", line.at, clean(&line.actor), clean(&line.text));
    }
    text
}

async fn act(args: &ActArgs, what: &str) -> anyhow::Result<ExitCode> {
    let api: Api = args.one.monitor.open()?;
    let by = api::who(args.by.as_deref())?;
    let path = ["incidents", &args.one.id, what];
    let incident: Incident = api.post(&path, &json!({ "by": by })).await?;
    let text = match args.one.out.output {
        Format::Json => output::json(&incident)?,
        Format::Jsonl => output::jsonl(&incident)?,
        Format::Table | Format::Raw => row(&incident),
    };
    print::bytes(text.as_bytes())?;
    Ok(ExitCode::SUCCESS)
}

/// Names of znodes come from anybody: a terminal must not obey them.
pub(super) fn clean(text: &str) -> String {
    text.chars().map(|c| if wk_monitor::is_disturbing(c) { '\u{fffd}' } else { c }).collect()
}

//! `watchkeeper why`: where an incident's fault is, and what speaks for it.

use std::fmt::Write as _;
use std::process::ExitCode;

use serde::Serialize;
use wk_monitor::{Incident, IncidentDetail, Located, Timestamp};

use super::api::{self, MonitorArg};
use super::incidents::clean;
use crate::print;
use crate::shell::output::{self, Format, OutputArg};

/// Show where the fault of an incident is: member, link, disk, client or path
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  watchkeeper why 1f0c2a99b3d4-1
  watchkeeper why 1f0c2a99b3d4-1 -o json | jq -r '.located[0].what'

Exit codes: 0 ok, 3 no such incident, 6 no monitor")]
pub(crate) struct Args {
    /// The incident's id
    #[arg(value_name = "ID")]
    id: String,
    #[command(flatten)]
    out: OutputArg,
    #[command(flatten)]
    monitor: MonitorArg,
}

/// The answer.
#[derive(Serialize)]
struct Why<'i> {
    id: &'i str,
    rule: &'i str,
    state: &'i str,
    summary: &'i str,
    /// Most likely first.
    located: &'i [Located],
    evidence: &'i [String],
    /// Where to look beyond what the monitor saw.
    locate: Option<&'i str>,
    action: Option<&'i str>,
    runbook: Option<&'i str>,
    first_seen: Timestamp,
}

pub(crate) fn run(args: &Args) -> anyhow::Result<ExitCode> {
    api::run(why(args))
}

async fn why(args: &Args) -> anyhow::Result<ExitCode> {
    let detail: IncidentDetail = args.monitor.open()?.get(&["incidents", &args.id]).await?;
    let why = answer(&detail.incident);
    let text = match args.out.output {
        Format::Json => output::json(&why)?,
        Format::Jsonl => output::jsonl(&why)?,
        Format::Table | Format::Raw => page(&why),
    };
    print::bytes(text.as_bytes())?;
    Ok(ExitCode::SUCCESS)
}

fn answer(incident: &Incident) -> Why<'_> {
    Why {
        id: &incident.id,
        rule: &incident.rule,
        state: incident.state.as_str(),
        summary: &incident.summary,
        located: &incident.located,
        evidence: &incident.evidence,
        locate: incident.locate.as_deref(),
        action: incident.action.as_deref(),
        runbook: incident.runbook.as_deref(),
        first_seen: incident.first_seen,
    }
}

// Writing to a string cannot fail: the results of `writeln!` say nothing.
fn page(why: &Why<'_>) -> String {
    let mut text = format!("{}\n", clean(why.summary));
    let _ = writeln!(text, "{} {} since {}", why.rule, why.state, why.first_seen);
    text.push_str("\nwhere, most likely first\n");
    for (rank, place) in (1..).zip(why.located) {
        let Located { kind, what, evidence } = place;
        let _ = writeln!(text, "  {rank}. {kind} {}: {}", clean(what), clean(evidence));
    }
    if why.located.is_empty() {
        text.push_str("  the monitor saw nothing that tells the place\n");
    }
    let placed = |line: &&String| why.located.iter().all(|place| place.evidence != **line);
    let mut others = why.evidence.iter().filter(placed).peekable();
    if others.peek().is_some() {
        text.push_str("\nwhat else was seen\n");
    }
    for line in others {
        let _ = writeln!(text, "  {}", clean(line));
    }
    for (label, value) in [("look at", why.locate), ("do", why.action), ("read", why.runbook)] {
        if let Some(value) = value {
            let _ = writeln!(text, "\n{label}: {}", clean(value));
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_come_first_and_are_not_said_twice() {
        let place = Located {
            kind: "member".into(),
            what: "h:1".into(),
            evidence: "h:1: its port is closed".into(),
        };
        let evidence = [place.evidence.clone(), "refused\u{1b}[2J".to_owned()];
        let why = Why {
            id: "a-1",
            rule: "ZkServerUnreachable",
            state: "firing",
            summary: "h:1 does not answer",
            located: std::slice::from_ref(&place),
            evidence: &evidence,
            locate: None,
            action: Some("Restart it"),
            runbook: None,
            first_seen: Timestamp(0),
        };
        let text = page(&why);
        assert!(text.contains("1. member h:1: h:1: its port is closed"), "{text}");
        assert_eq!(text.matches("port is closed").count(), 1, "{text}");
        assert!(text.contains("do: Restart it") && !text.contains('\u{1b}'), "{text}");
    }
}

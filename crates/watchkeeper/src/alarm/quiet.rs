//! `watchkeeper silence` and `watchkeeper maintenance`: nobody is told of some faults for a time.

use std::process::ExitCode;
use std::time::Duration;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::json;
use wk_monitor::{Maintenance, Silence, Term};

use super::api::{self, MonitorArg};
use super::incidents::clean;
use crate::print;
use crate::shell::output::{self, Format, OutputArg};
use crate::shell::text;

/// Silences listed, at most; those in force come first.
const LIST_MAX: usize = 10_000;

/// Tell nobody of some faults for a time
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  watchkeeper silence add rule=NodeDown group=web --for 2h --reason 'load test'
  watchkeeper silence add 'node=~web-.*' severity!=critical --for 30m
  watchkeeper silence ls -o json
  watchkeeper silence rm silence-3

Faults are found and shown all the same; what lasts when the silence ends is told then.

Exit codes: 0 ok, 2 no such condition or time, 3 no such silence, 4 it is over, 6 no monitor")]
pub(crate) struct SilenceArgs {
    #[command(subcommand)]
    verb: SilenceVerb,
}

#[derive(Debug, clap::Subcommand)]
enum SilenceVerb {
    /// Silence the faults whose labels meet all conditions
    Add(AddArgs),
    /// List the silences in force
    Ls(LsArgs),
    /// End a silence before its time
    Rm(EndArgs),
}

/// Say that an ensemble or a server is being worked on
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  watchkeeper maintenance start prod/zk1:2181 --for 1h --reason 'new disk'
  watchkeeper maintenance start prod --for 30m
  watchkeeper maintenance end prod/zk1:2181

Nobody is told of its faults meanwhile, save a lost quorum and diverged data.

Exit codes: 0 ok, 2 no such time, 3 no such ensemble, server or window, 6 no monitor")]
pub(crate) struct MaintenanceArgs {
    #[command(subcommand)]
    verb: MaintenanceVerb,
}

#[derive(Debug, clap::Subcommand)]
enum MaintenanceVerb {
    /// Begin to work on an ensemble or one of its servers
    Start(StartArgs),
    /// List the maintenance windows in force
    Ls(LsArgs),
    /// The work is done
    End(EndArgs),
}

#[derive(Debug, clap::Args)]
struct TermArgs {
    /// For how long: 30m, 2h, 1d
    #[arg(long = "for", value_name = "TIME", value_parser = text::duration)]
    time: Duration,
    /// Why
    #[arg(long, value_name = "TEXT", default_value = "")]
    reason: String,
    #[command(flatten)]
    common: CommonArgs,
}

#[derive(Debug, clap::Args)]
struct CommonArgs {
    /// Under whose name [default: $USER]
    #[arg(long, value_name = "NAME")]
    by: Option<String>,
    #[command(flatten)]
    out: OutputArg,
    #[command(flatten)]
    monitor: MonitorArg,
}

#[derive(Debug, clap::Args)]
struct AddArgs {
    /// Conditions: NAME=VALUE, NAME!=VALUE, NAME=~REGEX, NAME!~REGEX; labels are rule, severity,
    /// ensemble, instance, group, node and those of the alert
    #[arg(value_name = "MATCHER", required = true)]
    matchers: Vec<String>,
    #[command(flatten)]
    term: TermArgs,
}

#[derive(Debug, clap::Args)]
struct StartArgs {
    /// What is worked on
    #[arg(value_name = "ENSEMBLE[/SERVER]")]
    target: String,
    #[command(flatten)]
    term: TermArgs,
}

#[derive(Debug, clap::Args)]
struct EndArgs {
    /// The id; for maintenance also ENSEMBLE or ENSEMBLE/SERVER
    #[arg(value_name = "ID")]
    id: String,
    #[command(flatten)]
    common: CommonArgs,
}

#[derive(Debug, clap::Args)]
struct LsArgs {
    /// Also those that are over
    #[arg(long)]
    all: bool,
    #[command(flatten)]
    out: OutputArg,
    #[command(flatten)]
    monitor: MonitorArg,
}

#[derive(Debug, Serialize, Deserialize)]
struct Silences {
    silences: Vec<Silence>,
}

#[derive(Debug, Serialize, Deserialize)]
struct Windows {
    maintenance: Vec<Maintenance>,
}

pub(crate) fn silence(args: &SilenceArgs) -> anyhow::Result<ExitCode> {
    api::run(async {
        match &args.verb {
            SilenceVerb::Add(args) => add(args).await,
            SilenceVerb::Ls(args) => {
                let list: Silences = list(args, "silences").await?;
                show(&args.out, &list, &list.silences, silence_row)
            }
            SilenceVerb::Rm(args) => {
                let by = api::who(args.common.by.as_deref())?;
                let api = args.common.monitor.open()?;
                let path = ["silences", &args.id, "end"];
                let silence: Silence = api.post(&path, &json!({ "by": by })).await?;
                show(&args.common.out, &silence, std::slice::from_ref(&silence), silence_row)
            }
        }
    })
}

pub(crate) fn maintenance(args: &MaintenanceArgs) -> anyhow::Result<ExitCode> {
    api::run(async {
        match &args.verb {
            MaintenanceVerb::Start(args) => {
                let StartArgs { target, term } = args;
                let by = api::who(term.common.by.as_deref())?;
                let body = json!({
                    "target": target, "for": term.time.as_secs_f64(), "reason": term.reason,
                    "by": by,
                });
                let windows: Windows =
                    term.common.monitor.open()?.post(&["maintenance"], &body).await?;
                show(&term.common.out, &windows, &windows.maintenance, window_row)
            }
            MaintenanceVerb::Ls(args) => {
                let list: Windows = list(args, "maintenance").await?;
                show(&args.out, &list, &list.maintenance, window_row)
            }
            MaintenanceVerb::End(args) => {
                let by = api::who(args.common.by.as_deref())?;
                let body = json!({ "target": args.id, "by": by });
                let api = args.common.monitor.open()?;
                let windows: Windows = api.post(&["maintenance", "end"], &body).await?;
                show(&args.common.out, &windows, &windows.maintenance, window_row)
            }
        }
    })
}

async fn add(args: &AddArgs) -> anyhow::Result<ExitCode> {
    let AddArgs { matchers, term } = args;
    let by = api::who(term.common.by.as_deref())?;
    let body = json!({
        "matchers": matchers, "for": term.time.as_secs_f64(), "reason": term.reason, "by": by,
    });
    let silence: Silence = term.common.monitor.open()?.post(&["silences"], &body).await?;
    show(&term.common.out, &silence, std::slice::from_ref(&silence), silence_row)
}

async fn list<T: DeserializeOwned>(args: &LsArgs, what: &str) -> anyhow::Result<T> {
    let api = args.monitor.open()?;
    let asked = [("all", args.all.to_string()), ("limit", LIST_MAX.to_string())];
    api.find(&[what], &asked).await
}

fn show<T: Serialize>(
    out: &OutputArg,
    whole: &impl Serialize,
    items: &[T],
    row: impl Fn(&T) -> String,
) -> anyhow::Result<ExitCode> {
    let mut text = String::new();
    match out.output {
        Format::Json => text = output::json(whole)?,
        Format::Jsonl => {
            for item in items {
                text += &output::jsonl(item)?;
            }
        }
        Format::Table | Format::Raw => {
            text.extend(items.iter().map(row));
            if items.is_empty() {
                print::note("none in force");
            }
        }
    }
    print::bytes(text.as_bytes())?;
    Ok(ExitCode::SUCCESS)
}

fn silence_row(silence: &Silence) -> String {
    row(&silence.id, &silence.matchers.join(" "), &silence.term)
}

fn window_row(window: &Maintenance) -> String {
    let server = window.server.as_ref().map_or(String::new(), |server| format!("/{server}"));
    row(&window.id, &format!("{}{server}", window.ensemble), &window.term)
}

fn row(id: &str, what: &str, term: &Term) -> String {
    let state = if term.active { "until" } else { "ended" };
    let hushed = match term.suppresses.len() {
        0 => String::new(),
        count => format!(", {count} suppressed"),
    };
    let reason = if term.reason.is_empty() { "" } else { ": " };
    format!(
        "{id:<15} {} {state} {} by {}{hushed}{reason}{}\n",
        clean(what),
        term.ends_at,
        clean(&term.by),
        clean(&term.reason)
    )
}

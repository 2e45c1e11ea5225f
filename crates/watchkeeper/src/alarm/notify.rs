//! `watchkeeper notify test`: would anybody hear of it?

use std::process::ExitCode;

use serde_json::json;
use wk_monitor::ChannelTest;

use super::api::{self, MonitorArg};
use crate::print;
use crate::shell::output::{self, Format, OutputArg};

/// Check the channels of notifications
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, clap::Subcommand)]
enum Verb {
    /// Send a test message and show request, answer and verdict
    #[command(after_help = "\
Examples:
  watchkeeper notify test mail
  watchkeeper notify test dingtalk -o json | jq .verdict

Exit codes: 0 delivered, 1 not delivered, 3 no such channel, 6 no monitor")]
    Test(TestArgs),
}

#[derive(Debug, clap::Args)]
struct TestArgs {
    /// The channel's name: webhook, dingtalk, mail, or as configured
    #[arg(value_name = "CHANNEL")]
    channel: String,
    #[command(flatten)]
    out: OutputArg,
    #[command(flatten)]
    monitor: MonitorArg,
}

pub(crate) fn run(args: &Args) -> anyhow::Result<ExitCode> {
    let Verb::Test(args) = &args.verb;
    api::run(test(args))
}

async fn test(args: &TestArgs) -> anyhow::Result<ExitCode> {
    let path = ["channels", &args.channel, "test"];
    let test: ChannelTest = args.monitor.open()?.post(&path, &json!({})).await?;
    let text = match args.out.output {
        Format::Json => output::json(&test)?,
        Format::Jsonl => output::jsonl(&test)?,
        Format::Table | Format::Raw => format!(
            "request\n{}\nanswer\n{}\nverdict\n{}",
            indented(&test.request),
            indented(&test.answer),
            indented(&test.verdict)
        ),
    };
    print::bytes(text.as_bytes())?;
    Ok(if test.delivered { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Each line two columns to the right; what a receiver answers must not steer a terminal.
fn indented(text: &str) -> String {
    let clean = |line: &str| line.replace(wk_monitor::is_disturbing, " ");
    text.lines().map(|line| format!("  {}\n", clean(line))).collect()
}

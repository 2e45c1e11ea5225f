//! `watchkeeper stat PATH...`: what the server knows about znodes.

use std::process::ExitCode;

use wk_client::{Error, ErrorCode};

use super::connection::{self, ConnectionArgs, ServerArg, explain};
use super::output::{self, Format, OutputArg, PathJson};
use super::text;
use crate::exit::Code;
use crate::print;

/// Print the stat of znodes
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  watchkeeper stat /app
  watchkeeper stat /app -o json | jq .stat.num_children
  watchkeeper stat /a /b -o jsonl")]
pub(crate) struct Args {
    /// Paths of the znodes
    #[arg(required = true, value_name = "PATH", value_parser = text::path)]
    paths: Vec<String>,
    #[command(flatten)]
    out: OutputArg,
    #[command(flatten)]
    server: ServerArg,
    #[command(flatten)]
    connection: ConnectionArgs,
}

pub(crate) fn run(args: &Args) -> anyhow::Result<ExitCode> {
    connection::run(stat(args))
}

async fn stat(args: &Args) -> anyhow::Result<ExitCode> {
    let client = args.connection.open(&args.server).await?;
    let mut found = Vec::new();
    let mut failed = Vec::new();
    for path in &args.paths {
        let missing = Err(Error::Server(ErrorCode::NoNode));
        match client.exists(path).await.and_then(|stat| stat.map_or(missing, Ok)) {
            Ok(stat) => found.push((path, stat)),
            Err(error) => failed.push(explain(error).context(format!("stat {path}"))),
        }
    }
    let several = args.paths.len() > 1;
    let mut text = String::new();
    let documents = found.iter().map(|(path, stat)| PathJson { path, stat: Some(stat.into()) });
    match args.out.output {
        Format::Table | Format::Raw => {
            for (path, stat) in &found {
                if several {
                    text.push_str(path);
                    text.push_str(":\n");
                }
                text += &output::stat_table(stat);
            }
        }
        Format::Jsonl => {
            for document in documents {
                text += &output::jsonl(&document)?;
            }
        }
        Format::Json if several => text = output::json(&documents.collect::<Vec<_>>())?,
        Format::Json => {
            for document in documents {
                text = output::json(&document)?;
            }
        }
    }
    print::bytes(text.as_bytes())?;
    connection::close(&client).await;
    let Some(last) = failed.pop() else { return Ok(ExitCode::SUCCESS) };
    for error in &failed {
        print::note(&crate::exit::describe(error));
    }
    Err(if found.is_empty() { last } else { Code::Partly.of(last) })
}

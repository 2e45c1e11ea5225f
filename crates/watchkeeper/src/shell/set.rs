//! `watchkeeper set PATH VALUE`: replaces the data of a znode.

use std::process::ExitCode;

use wk_client::{Client, CreateMode, Error, ErrorCode, Stat};

use super::connection::{self, ConnectionArgs, ServerArg, explain};
use super::output::{self, Format, OutputArg, PathJson};
use super::text;
use crate::exit::{Code, CodeExt};
use crate::print;

/// Set the data of a znode
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  watchkeeper set /app/config 'color=blue'
  watchkeeper set /app/config @config.json --if-version 7
  generate | watchkeeper set /app/config - --create")]
pub(crate) struct Args {
    /// Path of the znode
    #[arg(value_parser = text::path)]
    path: String,
    /// The data: text, @FILE, or - for stdin
    #[arg(allow_hyphen_values = true)]
    value: String,
    /// Only if its version is N
    #[arg(short = 'v', long, value_name = "N", visible_short_alias = 'V')]
    if_version: Option<i32>,
    /// Create the znode if it does not exist
    #[arg(long, conflicts_with = "if_version")]
    create: bool,
    #[command(flatten)]
    out: OutputArg,
    #[command(flatten)]
    server: ServerArg,
    #[command(flatten)]
    connection: ConnectionArgs,
}

pub(crate) fn run(args: &Args) -> anyhow::Result<ExitCode> {
    connection::run(set(args))
}

async fn set(args: &Args) -> anyhow::Result<ExitCode> {
    let value = text::value(&args.value).code(Code::Usage)?;
    let client = args.connection.open(&args.server).await?;
    let path = &args.path;
    let stat = write(args, &client, &value)
        .await
        .map_err(|error| explain(error).context(format!("set {path}")))?;
    let text = match args.out.output {
        Format::Table => format!("version {}\n", stat.version),
        Format::Json => output::json(&PathJson { path, stat: Some((&stat).into()) })?,
        Format::Jsonl => output::jsonl(&PathJson { path, stat: Some((&stat).into()) })?,
        Format::Raw => String::new(),
    };
    print::bytes(text.as_bytes())?;
    connection::close(&client).await;
    Ok(ExitCode::SUCCESS)
}

async fn write(args: &Args, client: &Client, value: &[u8]) -> Result<Stat, Error> {
    let set = client.set(&args.path, value, args.if_version).await;
    match set {
        Err(Error::Server(ErrorCode::NoNode)) if args.create => {}
        other => return other,
    }
    match client.create(&args.path, value, CreateMode::Persistent).await {
        // Somebody else was faster: then it is there to be set.
        Err(Error::Server(ErrorCode::NodeExists)) => client.set(&args.path, value, None).await,
        created => created.map(|(_, stat)| stat),
    }
}

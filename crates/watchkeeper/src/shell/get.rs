//! `watchkeeper get PATH...`: the data of znodes.

use std::process::ExitCode;

use wk_client::{Client, Error, ErrorCode, MultiRead, ReadOutcome, Znode};

use super::connection::{self, ConnectionArgs, ServerArg, explain};
use super::output::{self, Format, OutputArg, ZnodeJson};
use super::text;
use crate::exit::Code;
use crate::print;

/// Print the data of znodes
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  watchkeeper get /app/config
  watchkeeper get /app/config --stat
  watchkeeper get /app/key -o raw > key.bin
  watchkeeper get /a /b -o jsonl            (several paths are one request)
  watchkeeper get /app/config --watch       (again at every change)")]
pub(crate) struct Args {
    /// Paths of the znodes
    #[arg(required = true, value_name = "PATH", value_parser = text::path)]
    paths: Vec<String>,
    /// Print the stat, too
    #[arg(long)]
    stat: bool,
    /// Write the exact bytes: the same as -o raw
    #[arg(long)]
    raw: bool,
    /// Stay, and print the data again whenever it changes
    #[arg(short, long)]
    watch: bool,
    #[command(flatten)]
    out: OutputArg,
    #[command(flatten)]
    server: ServerArg,
    #[command(flatten)]
    connection: ConnectionArgs,
}

pub(crate) fn run(args: &Args) -> anyhow::Result<ExitCode> {
    connection::run(get(args))
}

async fn get(args: &Args) -> anyhow::Result<ExitCode> {
    let format = if args.raw { Format::Raw } else { args.out.output };
    if args.watch && args.paths.len() > 1 {
        return Err(Code::Usage.error("--watch takes one path"));
    }
    let client = args.connection.open(&args.server).await?;
    if args.watch {
        return follow(args, format, &client).await;
    }
    let found = read(&client, &args.paths).await?;
    let failed = found.iter().filter(|(_, result)| result.is_err()).count();
    show(args, format, &found)?;
    connection::close(&client).await;
    let mut first = None;
    for (path, result) in found {
        if let Err(code) = result {
            let error = explain(Error::Server(code)).context(format!("get {path}"));
            if let Some(earlier) = first.replace(error) {
                print::note(&crate::exit::describe(&earlier));
            }
        }
    }
    match first {
        None => Ok(ExitCode::SUCCESS),
        Some(error) if failed == args.paths.len() => Err(error),
        Some(error) => Err(Code::Partly.of(error)),
    }
}

type Found<'a> = Vec<(&'a str, Result<Znode, ErrorCode>)>;

/// Several paths are one request, where the server offers that.
async fn read<'a>(client: &Client, paths: &'a [String]) -> anyhow::Result<Found<'a>> {
    if let [path] = paths {
        let found = match client.get(path).await {
            Ok(znode) => Ok(znode),
            Err(Error::Server(code)) => Err(code),
            Err(error) => return Err(explain(error).context(format!("get {path}"))),
        };
        return Ok(vec![(path, found)]);
    }
    let reads = paths.iter().fold(MultiRead::new(), |reads, path| reads.get(path));
    let outcomes = client.multi_read(reads).await.map_err(|error| explain(error).context("get"))?;
    let paths = paths.iter().map(String::as_str);
    let found = paths.zip(outcomes).map(|(path, outcome)| {
        let znode = outcome.and_then(|outcome| match outcome {
            ReadOutcome::Znode(znode) => Ok(znode),
            ReadOutcome::Children(_) => Err(ErrorCode::MarshallingError),
        });
        (path, znode)
    });
    Ok(found.collect())
}

fn show(args: &Args, format: Format, found: &Found<'_>) -> anyhow::Result<()> {
    let several = args.paths.len() > 1;
    let mut text = Vec::new();
    let znodes = found.iter().filter_map(|(path, result)| Some((path, result.as_ref().ok()?)));
    let mut documents = Vec::new();
    for (path, znode) in znodes {
        match format {
            Format::Raw => text.extend_from_slice(znode.data.as_deref().unwrap_or_default()),
            Format::Table => {
                if several {
                    text.extend_from_slice(format!("{path}:\n").as_bytes());
                }
                text.extend_from_slice(output::data_table(path, znode.data.as_deref()).as_bytes());
                if args.stat {
                    text.extend_from_slice(output::stat_table(&znode.stat).as_bytes());
                }
            }
            Format::Jsonl => {
                text.extend_from_slice(output::jsonl(&ZnodeJson::new(path, znode))?.as_bytes());
            }
            Format::Json => documents.push(ZnodeJson::new(path, znode)),
        }
    }
    if format == Format::Json {
        let json = match documents.as_slice() {
            [one] if !several => output::json(one)?,
            [] if !several => String::new(),
            all => output::json(&all)?,
        };
        text.extend_from_slice(json.as_bytes());
    }
    print::bytes(&text)?;
    Ok(())
}

/// Prints the data now and after every change, until it is interrupted.
async fn follow(args: &Args, format: Format, client: &Client) -> anyhow::Result<ExitCode> {
    let path = &args.paths[0];
    let context = || format!("get {path}");
    let fail = |error: Error| explain(error).context(context());
    let mut stream =
        client.add_watch(path, wk_client::WatchMode::Persistent).await.map_err(fail)?;
    let mut shown = None;
    loop {
        match client.get(path).await {
            Ok(znode) => {
                // A resync after a short gap need not mean a change.
                if shown != Some(znode.stat.mzxid) {
                    shown = Some(znode.stat.mzxid);
                    show(args, format, &vec![(path.as_str(), Ok(znode))])?;
                }
            }
            Err(Error::Server(ErrorCode::NoNode)) if shown.is_some() => {
                print::note(&format!("{path}: deleted"));
                shown = Some(wk_client::Zxid::NONE);
            }
            Err(Error::Unavailable | Error::ConnectionLoss(_) | Error::TimedOut(_)) => {}
            Err(error) => return Err(fail(error)),
        }
        if stream.next().await.is_none() {
            return Err(fail(Error::Closed));
        }
    }
}

//! `watchkeeper delete PATH...`: removes znodes, with all below them if asked.

use std::io::{BufRead, IsTerminal};
use std::process::ExitCode;

use wk_client::{Client, Error, ErrorCode, Multi, MultiError};

use super::connection::{self, ConnectionArgs, ServerArg, explain, explain_multi};
use super::ls::walk;
use super::text;
use crate::exit::{Code, describe};
use crate::print;

/// Deletes that travel in one packet.
const BATCH_LEN: usize = 500;

/// Delete znodes
#[derive(Debug, clap::Args)]
#[command(after_help = "\
`deleteall PATH` is `delete -r --yes PATH`, as in zkCli.

Examples:
  watchkeeper delete /app/config
  watchkeeper delete /app/config --if-version 7
  watchkeeper delete -r /app                (says how many, and asks)
  watchkeeper delete -r --yes /app")]
pub(crate) struct Args {
    /// Paths of the znodes
    #[arg(required = true, value_name = "PATH", value_parser = text::path)]
    paths: Vec<String>,
    /// With all below them
    #[arg(short, long)]
    recursive: bool,
    /// Only if its version is N
    #[arg(short = 'v', long, value_name = "N", conflicts_with = "recursive")]
    if_version: Option<i32>,
    /// Do not ask
    #[arg(short, long)]
    yes: bool,
    #[command(flatten)]
    server: ServerArg,
    #[command(flatten)]
    connection: ConnectionArgs,
}

pub(crate) fn run(args: &Args) -> anyhow::Result<ExitCode> {
    connection::run(delete(args))
}

async fn delete(args: &Args) -> anyhow::Result<ExitCode> {
    let client = args.connection.open(&args.server).await?;
    let mut failed = Vec::new();
    for path in &args.paths {
        let result = if args.recursive {
            delete_tree(args, &client, path).await
        } else {
            client.delete(path, args.if_version).await.map_err(explain)
        };
        if let Err(error) = result {
            failed.push(error.context(format!("delete {path}")));
        }
    }
    connection::close(&client).await;
    let all_failed = failed.len() == args.paths.len();
    let Some(last) = failed.pop() else { return Ok(ExitCode::SUCCESS) };
    for error in &failed {
        print::note(&describe(error));
    }
    Err(if all_failed { last } else { Code::Partly.of(last) })
}

async fn delete_tree(args: &Args, client: &Client, root: &str) -> anyhow::Result<()> {
    let mut paths = Vec::new();
    let found = walk(client, root, |path, _| {
        paths.push(path.to_owned());
        Ok(())
    });
    found.await?;
    // What the server keeps for itself cannot be deleted, and is not counted.
    paths.retain(|path| path != "/" && path != "/zookeeper" && !path.starts_with("/zookeeper/"));
    if !args.yes && !confirm(root, paths.len()).await? {
        return Err(Code::Usage.error("not confirmed; --yes does not ask"));
    }
    // Pre-order reversed: children before their parents.
    paths.reverse();
    for batch in paths.chunks(BATCH_LEN) {
        delete_batch(client, batch).await?;
    }
    Ok(())
}

/// Deletes a batch by one atomic request; where something has changed meanwhile, one by one.
async fn delete_batch(client: &Client, paths: &[String]) -> anyhow::Result<()> {
    let multi = paths.iter().fold(Multi::new(), |multi, path| multi.delete(path, None));
    match client.multi(multi).await {
        Ok(_) => return Ok(()),
        Err(
            MultiError::Op { code: ErrorCode::NoNode | ErrorCode::NotEmpty, .. }
            | MultiError::Request(Error::TooLarge { .. }),
        ) => {}
        Err(MultiError::Op { index, code }) => {
            let path = paths.get(index).map_or("", String::as_str);
            return Err(explain(Error::Server(code)).context(path.to_owned()));
        }
        Err(error @ MultiError::Request(_)) => return Err(explain_multi(error)),
    }
    for path in paths {
        match client.delete(path, None).await {
            Ok(()) | Err(Error::Server(ErrorCode::NoNode)) => {}
            Err(error) => return Err(explain(error).context(path.clone())),
        }
    }
    Ok(())
}

/// Asks on the terminal, or reads the answer from a pipe.
async fn confirm(root: &str, count: usize) -> anyhow::Result<bool> {
    print::note(&format!("delete {root} and all below it: {count} znodes? [y/N]"));
    if std::io::stdin().is_terminal() {
        print::prompt("> ");
    }
    let answer = tokio::task::spawn_blocking(|| {
        let mut line = String::new();
        std::io::stdin().lock().read_line(&mut line).map(|_| line)
    });
    Ok(matches!(answer.await??.trim(), "y" | "Y" | "yes"))
}

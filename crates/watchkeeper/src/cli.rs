//! The command line: one variant a verb, each verb's options in the verb's own file.
//!
//! A verb is listed here only once it works: `--help` promises nothing that is still to come.

use std::ffi::OsString;
use std::process::ExitCode;

use clap::{CommandFactory, Parser, Subcommand};

use crate::agent;
use crate::alarm::{incidents, notify, quiet, status, top, why};
use crate::completion;
use crate::demo;
use crate::files::{classic, cleanup, fsck, snapshot, txnlog};
use crate::man;
use crate::rules;
use crate::server;
use crate::shell::{create, delete, get, ls, member, set, stat, watch};
use crate::tap;
use crate::up;

/// The whole command line.
#[derive(Debug, Parser)]
#[command(
    name = "watchkeeper",
    version,
    about = "A drop-in ZooKeeper server, its monitor and its shell, in one binary",
    after_help = "Run `watchkeeper COMMAND --help` for a command's options and examples.",
    disable_help_subcommand = true,
    max_term_width = 100
)]
pub(crate) struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    Up(up::Args),
    Demo(demo::Args),
    Server(server::Args),
    Get(get::Args),
    Set(set::Args),
    Create(create::Args),
    #[command(alias = "rm")]
    Delete(delete::Args),
    Ls(ls::Args),
    Stat(stat::Args),
    Watch(watch::Args),
    Member(member::Args),
    Tap(tap::Args),
    Agent(agent::Args),
    Incidents(incidents::Args),
    Status(status::Args),
    Why(why::Args),
    Top(top::Args),
    Notify(notify::Args),
    Rules(rules::Args),
    Silence(quiet::SilenceArgs),
    Maintenance(quiet::MaintenanceArgs),
    Snapshot(snapshot::Args),
    Txnlog(txnlog::Args),
    Fsck(fsck::Args),
    Cleanup(cleanup::Args),
    Completion(completion::Args),
    #[command(hide = true)]
    Man(man::Args),
}

/// Reads the process's arguments.
pub(crate) fn parse() -> Result<Cli, clap::Error> {
    let args: Vec<_> = std::env::args_os().collect();
    Cli::try_parse_from(classic::spell(&args).unwrap_or_else(|| spell(args)))
}

/// Rewrites the spellings that scripts already use into ours: a server named before the verb,
/// `deleteall`, and `create -s HOST:PORT`, where `-s` alone means sequential.
fn spell(mut args: Vec<OsString>) -> Vec<OsString> {
    let first = args.get(1).and_then(|arg| arg.to_str()).unwrap_or_default();
    if matches!(first, "-s" | "--server") && args.len() > 3 {
        args[1] = "--server".into();
        args[1..4].rotate_left(2);
    } else if first.starts_with("--server=") && args.len() > 2 {
        args.swap(1, 2);
    }
    match args.get(1).and_then(|verb| verb.to_str()) {
        Some("deleteall") => {
            args.splice(1..2, ["delete", "--recursive", "--yes"].map(OsString::from));
        }
        Some("create") => {
            for at in 2..args.len().saturating_sub(1) {
                if args[at] == "-s" && args[at + 1].to_str().is_some_and(is_host_list) {
                    args[at] = "--server".into();
                }
            }
        }
        _ => {}
    }
    args
}

/// Is every part of it HOST:PORT? A path never is: it starts with a slash.
fn is_host_list(text: &str) -> bool {
    let hosts = text.split('/').next().unwrap_or_default();
    hosts.split(',').all(|host| {
        host.rsplit_once(':')
            .is_some_and(|(name, port)| !name.is_empty() && port.parse::<u16>().is_ok())
    })
}

/// Runs the chosen verb to its end.
pub(crate) fn run(cli: Cli) -> anyhow::Result<ExitCode> {
    match cli.command {
        Command::Up(args) => up::run(&args),
        Command::Demo(args) => demo::run(&args),
        Command::Server(args) => server::run(&args),
        Command::Get(args) => get::run(&args),
        Command::Set(args) => set::run(&args),
        Command::Create(args) => create::run(&args),
        Command::Delete(args) => delete::run(&args),
        Command::Ls(args) => ls::run(&args),
        Command::Stat(args) => stat::run(&args),
        Command::Watch(args) => watch::run(&args),
        Command::Member(args) => member::run(&args),
        Command::Tap(args) => tap::run(&args),
        Command::Agent(args) => agent::run(&args),
        Command::Incidents(args) => incidents::run(&args),
        Command::Status(args) => status::run(&args),
        Command::Why(args) => why::run(&args),
        Command::Top(args) => top::run(&args),
        Command::Notify(args) => notify::run(&args),
        Command::Rules(args) => rules::run(&args),
        Command::Silence(args) => quiet::silence(&args),
        Command::Maintenance(args) => quiet::maintenance(&args),
        Command::Snapshot(args) => snapshot::run(&args),
        Command::Txnlog(args) => txnlog::run(&args),
        Command::Fsck(args) => fsck::run(&args),
        Command::Cleanup(args) => cleanup::run(&args),
        Command::Completion(args) => completion::run(&args),
        Command::Man(args) => man::run(&args),
    }
}

/// The grammar itself, for the completion scripts.
pub(crate) fn grammar() -> clap::Command {
    Cli::command()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spelled(line: &str) -> String {
        let args = spell(line.split(' ').map(OsString::from).collect());
        args.iter().map(|arg| arg.to_string_lossy()).collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn spellings_of_scripts_are_understood() {
        for (given, want) in [
            ("wk -s h:1 get /a", "wk get --server h:1 /a"),
            ("wk --server h get /a", "wk get --server h /a"),
            ("wk --server=h:1/x get /a", "wk get --server=h:1/x /a"),
            ("wk deleteall /a", "wk delete --recursive --yes /a"),
            ("wk create -s h:1,g:2/x /a v", "wk create --server h:1,g:2/x /a v"),
            ("wk create /a v -s h:1", "wk create /a v --server h:1"),
            ("wk create -s -e /a v", "wk create -s -e /a v"),
            ("wk create -s /a h:1", "wk create -s /a h:1"),
            ("wk get -s h:1 /a", "wk get -s h:1 /a"),
            ("wk", "wk"),
        ] {
            assert_eq!(spelled(given), want);
        }
    }

    #[test]
    fn grammar_is_consistent() {
        grammar().debug_assert();
    }
}

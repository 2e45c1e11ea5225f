//! The command line: one variant a verb, each verb's options in the verb's own file.
//!
//! A verb is listed here only once it works: `--help` promises nothing that is still to come.

use std::process::ExitCode;

use clap::{CommandFactory, Parser, Subcommand};

use crate::completion;

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
    Completion(completion::Args),
}

/// Reads the process's arguments.
pub(crate) fn parse() -> Result<Cli, clap::Error> {
    Cli::try_parse()
}

/// Runs the chosen verb to its end.
pub(crate) fn run(cli: Cli) -> anyhow::Result<ExitCode> {
    match cli.command {
        Command::Completion(args) => completion::run(&args),
    }
}

/// The grammar itself, for the completion scripts.
pub(crate) fn grammar() -> clap::Command {
    Cli::command()
}

#[cfg(test)]
mod tests {
    #[test]
    fn grammar_is_consistent() {
        super::grammar().debug_assert();
    }
}

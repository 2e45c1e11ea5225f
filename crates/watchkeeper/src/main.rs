//! The `watchkeeper` binary: reads the command line, runs one verb, turns its end into an exit code.

mod agent;
mod alarm;
mod cli;
mod completion;
mod demo;
mod exit;
mod files;
mod logging;
mod man;
mod print;
mod rules;
mod server;
mod shell;
mod signals;
mod tap;
mod up;

use std::process::ExitCode;

fn main() -> ExitCode {
    match cli::parse() {
        Ok(cli) => exit::finish(cli::run(cli)),
        Err(refused) => exit::refuse(&refused),
    }
}

//! The project's own commands: `cargo xtask --help`.
//!
//! Reading order: `test` (the steps in order), `report` (progress and closing lines), `cargo` (how
//! tests are built and run), `tidy` (what the compiler does not check).
#![allow(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "this is a command: printing is what it does"
)]

mod cargo;
mod golden;
mod report;
mod test;
mod tidy;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

use crate::report::Report;

/// Watchkeeper's development commands.
#[derive(Debug, Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask")]
struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Everything that must pass before a change lands; fetches the real peers that it needs.
    Test {
        /// Only what needs nothing but cargo: format, lints, tidy, and all tests without peers.
        #[arg(long)]
        quick: bool,
    },
    /// Layering, bans, licences, lengths: what the compiler does not check.
    Tidy,
    /// Captures the golden bytes from a live Apache ZooKeeper 3.9.5.
    Golden {
        /// Compare with what is kept instead of writing it.
        #[arg(long)]
        check: bool,
    },
    /// The tests against real peers, or one group of them (`cargo xtask interop kazoo`).
    Interop {
        /// The module of crates/watchkeeper/tests/it to run.
        group: Option<String>,
    },
}

fn main() -> ExitCode {
    let mut report = Report::new();
    let outcome = match Args::parse().command {
        Command::Test { quick: true } => test::quick(&mut report),
        Command::Test { quick: false } => test::everything(&mut report),
        Command::Tidy => {
            tidy::step(&mut report);
            Ok(())
        }
        Command::Golden { check: true } => {
            golden::check(&mut report);
            Ok(())
        }
        Command::Golden { check: false } => golden::write(&mut report),
        Command::Interop { group } => test::interop(&mut report, group.as_deref()),
    };
    if let Err(err) = outcome {
        report.fail("the command itself", &format!("{err:#}"));
    }
    report.close()
}

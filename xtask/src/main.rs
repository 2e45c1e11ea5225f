//! The project's own commands: `cargo xtask --help`.
//!
//! Reading order: `test` (the steps in order), `report` (progress and closing lines), `cargo` (how
//! tests are built and run), `tidy` (what the compiler does not check).
#![allow(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "this is a command: printing is what it does"
)]

mod bench;
mod cargo;
mod dist;
mod faults;
mod fuzz;
mod golden;
mod monitor_bench;
mod report;
mod sim;
mod tap_cost;
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
    /// The simulator: one seed again, a range of them, or new ones for a while.
    Sim {
        #[command(flatten)]
        args: sim::SimArgs,
    },
    /// Fuzzes a decoder, guided by coverage, until stopped (needs cargo-fuzz).
    Fuzz {
        /// A file in fuzz/fuzz_targets, without `.rs`.
        target: String,
        /// Stop after this many seconds.
        #[arg(long)]
        seconds: Option<u64>,
    },
    /// The tests against real peers, or one group of them (`cargo xtask interop kazoo`).
    Interop {
        /// The module of crates/watchkeeper/tests/it to run.
        group: Option<String>,
    },
    /// Our server beside Apache's and the limit: throughput, latency, CPU, memory.
    Bench {
        #[command(flatten)]
        args: bench::BenchArgs,
    },
    /// What the monitor costs and how soon it tells, with 100 servers and 10 000 nodes on one core.
    MonitorBench {
        #[command(flatten)]
        args: monitor_bench::MonitorBenchArgs,
    },
    /// Faults on real ensembles: the right notification, about whom, how soon, and what else.
    Faults {
        #[command(flatten)]
        args: faults::FaultsArgs,
    },
    /// What a tap costs the leader that it follows: latency and memory with and without.
    TapCost {
        #[command(flatten)]
        args: tap_cost::TapCostArgs,
    },
    /// What is handed to users: static binary, image, man pages, completions, units, checksums.
    Dist {
        #[command(flatten)]
        args: dist::DistArgs,
    },
    /// The load generator itself; `bench` builds it with optimisation and calls it.
    #[command(hide = true)]
    BenchRun {
        #[command(flatten)]
        args: bench::BenchArgs,
    },
    /// The server that keeps nothing, for `bench`.
    #[command(hide = true)]
    LimitServer {
        /// Where its log goes.
        file: std::path::PathBuf,
    },
}

fn main() -> ExitCode {
    match Args::parse().command {
        Command::Bench { .. } => {
            let args: Vec<_> = std::env::args().skip(2).collect();
            exit(bench::build_and_run(&args))
        }
        Command::BenchRun { args } => exit(bench::run(&args)),
        Command::Dist { args } => exit(dist::run(&args)),
        Command::MonitorBench { args } => exit(monitor_bench::run(&args)),
        Command::Faults { args } => exit(faults::run(&args)),
        Command::TapCost { args } => exit(tap_cost::run(&args)),
        Command::LimitServer { file } => exit(bench::serve_limit(&file)),
        Command::Test { quick: true } => checks(test::quick),
        Command::Test { quick: false } => checks(test::everything),
        Command::Tidy => checks(|report| {
            tidy::step(report);
            Ok(())
        }),
        Command::Golden { check: true } => checks(|report| {
            golden::check(report);
            Ok(())
        }),
        Command::Golden { check: false } => checks(golden::write),
        Command::Sim { args } => checks(|report| sim::run(report, &args)),
        Command::Fuzz { target, seconds } => checks(|report| {
            report.begin("fuzz");
            let outcome = fuzz::run(&target, seconds);
            outcome.map(|()| report.pass(&format!("fuzz {target}")))
        }),
        Command::Interop { group } => checks(|report| test::interop(report, group.as_deref())),
    }
}

/// Runs a command that counts what passed and failed.
fn checks(command: impl FnOnce(&mut Report) -> anyhow::Result<()>) -> ExitCode {
    let mut report = Report::new();
    if let Err(err) = command(&mut report) {
        report.fail("the command itself", &format!("{err:#}"));
    }
    report.close()
}

/// Ends a command that checks nothing.
fn exit(outcome: anyhow::Result<()>) -> ExitCode {
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(err) => {
            eprintln!("error: {err:#}");
            ExitCode::FAILURE
        }
    }
}

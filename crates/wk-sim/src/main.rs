//! The deterministic simulator: one server with client sessions, on a disk that fails.
//!
//! It links the shipped node and store and puts them into a world where everything comes from a seed:
//! when a frame arrives, what the clients ask for, when the disk loses power, fills up or fails. Every
//! reply is held against a plain model that carries out the clients' requests in the order in which
//! the server gave them a place; what a reply has shown must never be lost. After each restart the
//! whole tree, sessions and digest are compared.
//!
//! `wk-sim --seed N` runs one seed and tells what happened; `--seeds COUNT` runs many.

mod broken;
mod client;
mod disk;
mod effects;
mod history;
mod model;
mod power;
mod random;
mod requests;
mod rot;
mod server;
mod watching;
mod world;

use std::io::Write as _;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use clap::Parser;

use crate::world::{Summary, World};

/// Simulates one server with client sessions on a disk that fails.
#[derive(Debug, Parser)]
struct Args {
    /// Run this seed alone and tell what happens.
    #[arg(long, conflicts_with_all = ["seeds", "minutes"])]
    seed: Option<u64>,
    /// Run so many seeds.
    #[arg(long, default_value_t = 2_000)]
    seeds: u64,
    /// Run as many seeds as fit into so many minutes.
    #[arg(long, conflicts_with = "seeds")]
    minutes: Option<u64>,
    /// The first seed.
    #[arg(long, default_value_t = 0)]
    from: u64,
    /// Look for a fault that was put in on purpose, or for all of them.
    #[arg(long, value_name = "NAME|all", conflicts_with_all = ["seed", "minutes"])]
    broken: Option<String>,
    /// From how many first seeds to look.
    #[arg(long, default_value_t = 1, requires = "broken")]
    starts: u64,
}

/// Lines of progress come after so many seeds.
const PROGRESS: u64 = 200;

pub(crate) fn print(line: &str) {
    // Nobody who closed our output wants to hear of it.
    let _closed = writeln!(std::io::stdout(), "{line}");
}

/// Runs one seed. A panic of the server's own assertions is a failure of that seed like any other.
pub(crate) fn run_seed(seed: u64, talkative: bool) -> Result<Summary, String> {
    let run = || World::new(seed, talkative).run();
    std::panic::catch_unwind(run).unwrap_or_else(|panic| {
        let said = panic.downcast_ref::<String>().map(String::as_str);
        let said = said.or_else(|| panic.downcast_ref::<&str>().copied());
        Err(format!("panicked: {}", said.unwrap_or("without a word")))
    })
}

fn run_many(args: &Args) -> bool {
    let end = args.minutes.map(|minutes| Instant::now() + Duration::from_mins(minutes));
    let mut total = Summary::default();
    let mut done = 0;
    while end.map_or(done < args.seeds, |end| Instant::now() < end) {
        let seed = args.from + done;
        match run_seed(seed, false) {
            Ok(summary) => total.add(&summary),
            Err(wrong) => {
                print(&format!("seed {seed}: {wrong}"));
                return false;
            }
        }
        done += 1;
        if done % PROGRESS == 0 {
            print(&format!("seeds done: {done}"));
        }
    }
    print(&format!("seen: {total:?}"));
    print(&format!("seeds passed: {done}"));
    true
}

fn main() -> ExitCode {
    let args = Args::parse();
    if let Some(name) = &args.broken {
        return broken::find(name, args.starts, args.seeds);
    }
    let passed = match args.seed {
        None => run_many(&args),
        Some(seed) => match run_seed(seed, true) {
            Ok(summary) => {
                print(&format!("seed {seed} passed: {summary:?}"));
                true
            }
            Err(wrong) => {
                print(&format!("seed {seed}: {wrong}"));
                false
            }
        },
    };
    if passed { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

#[cfg(test)]
mod tests;

//! `cargo xtask bench`: our server, Apache's and the limit, in one run.
//!
//! Each workload runs on every server in alternating rounds, so that a machine that gets slower
//! hits all of them; the table shows medians and ratios. Reading order: here (what runs), `target`
//! (the servers), `load` (the client side), `limit` (the server that keeps nothing), `table`.

#![allow(clippy::cast_precision_loss, reason = "counts become figures to read")]

mod limit;
pub(crate) mod load;
mod table;
mod target;

use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use clap::{Args, ValueEnum};
use indicatif::{ProgressBar, ProgressStyle};

use load::{Op, Workload};
use target::{Kind, Target};

/// What to run.
#[derive(Clone, Debug, Args)]
pub(crate) struct BenchArgs {
    /// Whom to run beside ours; the limit server always runs.
    #[arg(long, value_enum, default_value = "apache")]
    against: Against,
    /// Rounds per workload; the median counts.
    #[arg(long, default_value_t = 3)]
    rounds: usize,
    /// Seconds per round.
    #[arg(long, default_value_t = 3)]
    seconds: u64,
    /// Only workloads whose name contains this.
    #[arg(long)]
    only: Option<String>,
    /// Print one JSON line per workload and server instead of the table.
    #[arg(long)]
    json: bool,
}

/// Whom to compare with.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Against {
    /// Apache ZooKeeper 3.9.5, tuned.
    Apache,
    /// The limit server alone.
    Nothing,
}

/// Builds server and load generator with optimisation and runs the latter.
pub(crate) fn build_and_run(args: &[String]) -> Result<()> {
    let status = Command::new(env!("CARGO"))
        .args(["build", "--release", "--package", "watchkeeper", "--package", "xtask"])
        .status()
        .context("run cargo")?;
    if !status.success() {
        bail!("the release build failed");
    }
    let status = Command::new(release_binary("xtask"))
        .arg("bench-run")
        .args(args)
        .status()
        .context("run the load generator")?;
    if status.success() { Ok(()) } else { bail!("the benchmark failed") }
}

fn release_binary(name: &str) -> PathBuf {
    let target = std::env::var_os("CARGO_TARGET_DIR")
        .map_or_else(|| PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../target"), PathBuf::from);
    target.join("release").join(name)
}

/// Serves as the limit server until it is killed. Prints its port.
pub(crate) fn serve_limit(file: &std::path::Path) -> Result<()> {
    limit::serve(file)
}

fn workloads() -> Vec<Workload> {
    let mut all = Vec::new();
    for op in [Op::Create, Op::Set, Op::Get, Op::Mixed] {
        for (sessions, depth) in [(1, 1), (16, 1), (64, 1), (16, 16)] {
            all.push(Workload { op, sessions, depth });
        }
    }
    all
}

/// Runs every workload on every server and prints the table.
pub(crate) fn run(args: &BenchArgs) -> Result<()> {
    let mut kinds = vec![Kind::Watchkeeper, Kind::Limit];
    if args.against == Against::Apache {
        kinds.insert(1, Kind::Apache);
    }
    let wanted = |w: &Workload| args.only.as_ref().is_none_or(|part| w.name().contains(part));
    let workloads: Vec<_> = workloads().into_iter().filter(wanted).collect();
    let mut targets = kinds.iter().map(|kind| Target::start(*kind)).collect::<Result<Vec<_>>>()?;
    let steps = workloads.len() * args.rounds * targets.len();
    let progress = progress(steps as u64);
    let idle: Vec<_> = targets.iter().map(Target::resident_kib).collect::<Result<_>>()?;
    let fsyncs = target::fdatasyncs_per_second()?;
    let mut rows = Vec::new();
    for workload in &workloads {
        let mut outcomes = vec![Vec::new(); targets.len()];
        for _ in 0..args.rounds {
            for (target, outcomes) in targets.iter_mut().zip(&mut outcomes) {
                progress.set_message(format!("{} on {}", workload.name(), target.kind.name()));
                outcomes.push(target.measure(workload, Duration::from_secs(args.seconds))?);
                progress.inc(1);
            }
        }
        rows.push((workload.name(), outcomes));
    }
    progress.finish_and_clear();
    let names: Vec<_> = targets.iter().map(|t| t.kind.name()).collect();
    if args.json {
        table::print_json(&names, &rows);
    } else {
        println!("fdatasync of 512 B appends: {fsyncs:.0}/s on this disk");
        for (name, kib) in names.iter().zip(idle) {
            println!("{name}: {:.1} MiB resident before the first session", kib as f64 / 1024.0);
        }
        table::print(&names, &rows);
    }
    Ok(())
}

fn progress(steps: u64) -> ProgressBar {
    let style = ProgressStyle::with_template("{bar:30} {pos}/{len} {msg} ({eta} left)");
    let bar = ProgressBar::new(steps);
    style.map_or(bar.clone(), |style| bar.with_style(style))
}

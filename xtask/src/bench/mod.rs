//! `cargo xtask bench`: our server, Apache's and the limit, in one run.
//!
//! Each workload runs on every server in alternating rounds, so that a machine that gets slower
//! hits all of them; tables and plots show medians and ratios. Reading order: here (what runs),
//! `target` (the servers), `script`, `load`, `open` and `watches` (the client side), `limit` (the
//! server that keeps nothing), `parts` (what is measured beside throughput), `record` (figures as
//! they are kept), `table` and `plot` (as they are shown).

#![allow(clippy::cast_precision_loss, reason = "counts become figures to read")]

mod limit;
pub(crate) mod load;
mod open;
mod parts;
mod plot;
mod record;
mod script;
mod table;
mod target;
mod watches;
mod wire;

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use clap::{Args, ValueEnum};
use indicatif::{ProgressBar, ProgressStyle};
use wk_peers::cache::workspace_root;

use load::{Op, Workload};
use parts::{Run, micros};
use record::Figures;
use target::{Kind, Target};

/// What to run.
#[derive(Clone, Debug, Args)]
pub(crate) struct BenchArgs {
    /// What to measure; all but ten-million if nothing is named.
    #[arg(value_enum)]
    parts: Vec<Part>,
    /// Whom to run beside ours; the limit server always runs.
    #[arg(long, value_enum, default_value = "apache")]
    against: Against,
    /// Rounds per workload; the median counts.
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..))]
    rounds: u32,
    /// Seconds per round.
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u64).range(1..))]
    seconds: u64,
    /// Of throughput, only workloads whose name contains this.
    #[arg(long)]
    only: Option<String>,
    /// Where the figures are kept; what is measured again takes the place of what was there.
    #[arg(long, default_value = "target/bench")]
    out: PathBuf,
    /// Write tables and plots into docs/ from the figures that are there, and end.
    #[arg(long)]
    render: bool,
}

/// What can be measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Part {
    /// Operations a second, latency and CPU in closed loops
    Throughput,
    /// Latency at a given rate
    Open,
    /// Resident memory: empty, and of idle sessions
    Memory,
    /// From a set to the last of 10 000 watchers
    Watches,
    /// Starts over no data
    Start,
    /// A million znodes: load, weight, starts, and what a snapshot of them does to others
    Million,
    /// The same with ten million; takes long and some gigabytes
    TenMillion,
}

impl Part {
    fn name(self) -> &'static str {
        match self {
            Self::Throughput => "throughput",
            Self::Open => "open",
            Self::Memory => "memory",
            Self::Watches => "watches",
            Self::Start => "start",
            Self::Million => "million",
            Self::TenMillion => "ten-million",
        }
    }
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
pub(crate) fn serve_limit(file: &Path) -> Result<()> {
    limit::serve(file)
}

fn workloads() -> Vec<Workload> {
    let shapes = [(1, 1), (16, 1), (64, 1), (16, 16)];
    let of = |op| shapes.map(|(sessions, depth)| Workload { op, sessions, depth });
    let mut all: Vec<_> =
        [Op::Create, Op::Set, Op::Get, Op::Mixed].into_iter().flat_map(of).collect();
    all.extend([(16, 1), (16, 16)].map(|(s, depth)| Workload {
        op: Op::RaftKeeper,
        sessions: s,
        depth,
    }));
    all
}

/// Runs the parts on every server and prints the tables.
pub(crate) fn run(args: &BenchArgs) -> Result<()> {
    let out = workspace_root().join(&args.out);
    let mut figures = Figures::open(&out)?;
    if args.render {
        return table::render(&figures);
    }
    let kinds = match args.against {
        Against::Apache => vec![Kind::Watchkeeper, Kind::Apache, Kind::Limit],
        Against::Nothing => vec![Kind::Watchkeeper, Kind::Limit],
    };
    let all = Part::value_variants().iter().copied().filter(|part| *part != Part::TenMillion);
    let parts = if args.parts.is_empty() { all.collect() } else { args.parts.clone() };
    println!("{}", parts::machine()?);
    let fsyncs = target::fdatasyncs_per_second()?;
    println!("fdatasync of 512 B appends: {fsyncs:.0}/s on this disk");
    figures.forget("machine", "disk");
    figures.add(("machine", "disk", ""), "fdatasyncs_per_second", vec![fsyncs])?;
    for part in &parts {
        if *part == Part::Throughput {
            throughput(args, &kinds, &mut figures)?;
        } else {
            beside(*part, args, &kinds, &mut figures)?;
        }
        print!("{}", table::part(&figures, *part));
    }
    if let Some(doubt) = parts::judge(&figures, fsyncs) {
        println!("\nDo not quote these figures: {doubt}.");
    }
    Ok(())
}

fn beside(part: Part, args: &BenchArgs, kinds: &[Kind], figures: &mut Figures) -> Result<()> {
    let bar = ProgressBar::new_spinner();
    bar.enable_steady_tick(Duration::from_millis(200));
    let say = |what: String| bar.set_message(what);
    let (rounds, time) = (args.rounds as usize, Duration::from_secs(args.seconds));
    let mut run = Run { kinds, rounds, time, figures, say: &say };
    match part {
        Part::Throughput => {}
        Part::Open => run.open_loop()?,
        Part::Memory => run.sessions()?,
        Part::Watches => run.watches()?,
        Part::Start => run.starts()?,
        Part::Million => run.filled(part, 1)?,
        Part::TenMillion => run.filled(part, 10)?,
    }
    bar.finish_and_clear();
    Ok(())
}

fn throughput(args: &BenchArgs, kinds: &[Kind], figures: &mut Figures) -> Result<()> {
    let wanted = |w: &Workload| args.only.as_ref().is_none_or(|part| w.name().contains(part));
    let workloads: Vec<_> = workloads().into_iter().filter(wanted).collect();
    let mut targets = kinds.iter().map(|kind| Target::start(*kind)).collect::<Result<Vec<_>>>()?;
    let steps = workloads.len() * args.rounds as usize * targets.len();
    let progress = progress(steps as u64);
    for workload in &workloads {
        let mut outcomes = vec![Vec::new(); targets.len()];
        for _ in 0..args.rounds {
            for (target, outcomes) in targets.iter_mut().zip(&mut outcomes) {
                progress.set_message(format!("{} on {}", workload.name(), target.kind.name()));
                outcomes.push(target.measure(workload, Duration::from_secs(args.seconds))?);
                progress.inc(1);
            }
        }
        let (part, load) = (Part::Throughput.name(), workload.name());
        figures.forget(part, &load);
        for (target, outcomes) in targets.iter().zip(&outcomes) {
            let of = |f: &dyn Fn(&target::Outcome) -> f64| outcomes.iter().map(f).collect();
            let at = (part, &*load, target.kind.name());
            figures.add(at, "per_second", of(&|o| o.load.per_second))?;
            figures.add(at, "p50_us", of(&|o| micros(o.load.p50)))?;
            figures.add(at, "p99_us", of(&|o| micros(o.load.p99)))?;
            figures.add(at, "cpu_us", of(&|o| micros(o.cpu)))?;
        }
    }
    progress.finish_and_clear();
    Ok(())
}

fn progress(steps: u64) -> ProgressBar {
    let style = ProgressStyle::with_template("{bar:30} {pos}/{len} {msg} ({eta} left)");
    let bar = ProgressBar::new(steps);
    style.map_or(bar.clone(), |style| bar.with_style(style))
}

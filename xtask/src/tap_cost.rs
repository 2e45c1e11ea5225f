//! `cargo xtask tap-cost`: what a tap costs the leader that it follows.
//!
//! Two ensembles of three Apache servers, one of them tapped, take the same load in turn. Latency
//! as clients of the leader see it, and the leader's memory at the end, as medians over the rounds.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result};
use wk_peers::cache::workspace_root;
use wk_peers::{Cache, Ensemble, EnsembleSpec, Process, Version, wait};

use crate::bench::load::{Load, Op, Workload, run as load};

/// Sessions that write, each with one request in flight.
const SESSIONS: u32 = 16;

#[derive(Debug, clap::Args)]
pub(crate) struct TapCostArgs {
    /// Which release of Apache ZooKeeper
    #[arg(long, default_value = "3.9.5", value_parser = version)]
    version: Version,
    /// Rounds of each
    #[arg(long, default_value_t = 5)]
    rounds: usize,
    /// Length of a round
    #[arg(long, default_value_t = 5)]
    seconds: u64,
    /// The binary whose tap is measured [default: target/debug/watchkeeper]
    #[arg(long)]
    binary: Option<PathBuf>,
}

fn version(text: &str) -> Result<Version, String> {
    Version::find(text).ok_or_else(|| "no release that is known here".to_owned())
}

/// An ensemble, who leads it, and its tap if it has one.
struct Side {
    name: &'static str,
    ensemble: Ensemble,
    leader: usize,
    _tap: Option<Process>,
    rounds: Vec<Load>,
}

pub(crate) fn run(args: &TapCostArgs) -> Result<()> {
    let binary = args.binary.clone();
    let binary = binary.unwrap_or_else(|| workspace_root().join("target/debug/watchkeeper"));
    let dir = tempfile::tempdir().context("make a folder for the ensembles")?;
    let mut sides = Vec::new();
    for name in ["without", "with"] {
        let place = dir.path().join(name);
        std::fs::create_dir(&place).context("make a folder")?;
        let ensemble = EnsembleSpec::new(args.version, &place).start(&Cache::open()?)?;
        let leader = ensemble.leader()?;
        let tap = match name {
            "with" => {
                let mut command = Command::new(&binary);
                command.args(["tap", "-o", "jsonl", &ensemble.hosts()]);
                let tap = Process::start("the tap", &mut command, &place.join("tap"))?;
                wait::until("the tap to follow", wait::LONG, || {
                    Ok(tap.output().contains("following").then_some(()))
                })?;
                Some(tap)
            }
            _ => None,
        };
        sides.push(Side { name, ensemble, leader, _tap: tap, rounds: Vec::new() });
    }
    let workload = Workload { op: Op::Set, sessions: SESSIONS, depth: 1 };
    // The first round of each warms it up and does not count.
    for round in 0..=args.rounds {
        for side in &mut sides {
            let port = side.ensemble.members[side.leader].client;
            let addr = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
            let found = load(addr, &workload, Duration::from_secs(args.seconds))?;
            if round > 0 {
                side.rounds.push(found);
            }
        }
    }
    println!("{}: {} by {SESSIONS} sessions at the leader", args.version, workload.name());
    println!(
        "{:<10} {:>10} {:>10} {:>10} {:>12}",
        "tap", "writes/s", "p50 ms", "p99 ms", "leader MiB"
    );
    for side in &sides {
        println!("{}", row(side)?);
    }
    Ok(())
}

fn row(side: &Side) -> Result<String> {
    let of = |value: fn(&Load) -> f64| median(side.rounds.iter().map(value).collect());
    let millis = |value: f64| value * 1000.0;
    let pid = side.ensemble.members[side.leader].pid().context("the leader has ended")?;
    let status = std::fs::read_to_string(format!("/proc/{pid}/status"))?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).context("no VmRSS")?;
    let kib: f64 = line.trim().trim_end_matches(" kB").parse().context("read VmRSS")?;
    Ok(format!(
        "{:<10} {:>10.0} {:>10.2} {:>10.2} {:>12.1}",
        side.name,
        of(|load| load.per_second),
        millis(of(|load| load.p50.as_secs_f64())),
        millis(of(|load| load.p99.as_secs_f64())),
        kib / 1024.0
    ))
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or_default()
}

//! `cargo xtask monitor-bench`: what the monitor costs under load, and how soon it tells.
//!
//! The real `watchkeeper up`, kept on one core, watches played ensembles: each server speaks words,
//! shows the metrics page of a real 3.9.5 and passes sessions on to a real server that holds the
//! nodes. Measured are a quiet time, then deaths of nodes and of servers while all else goes on.
//! Reading order: here (what is measured), `ensemble`, `stand_in`, `page`, `session`, `table`.

#![allow(clippy::cast_precision_loss, reason = "counts become figures to read")]

mod ensemble;
mod page;
mod session;
mod stand_in;
mod table;
mod watched;

use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use wk_peers::cache::workspace_root;

use ensemble::{Ensemble, Plan};
use table::Figures;
use watched::Watched;

/// How often the sessions that hold the nodes are heard.
const PING: Duration = Duration::from_secs(2);
/// Between two deaths.
const STEP: Duration = Duration::from_millis(1_300);
/// So long a node lives before it dies: the monitor has seen it by then.
const VICTIM_LIFE: Duration = Duration::from_secs(6);
/// The longest wait for a notification.
const TOLD_MAX: Duration = Duration::from_mins(2);

#[derive(Clone, Debug, clap::Args)]
pub(crate) struct MonitorBenchArgs {
    /// Ensembles; the first death in each is told at once and measured
    #[arg(long, default_value_t = 20)]
    ensembles: usize,
    /// Servers of each
    #[arg(long, default_value_t = 5)]
    servers: usize,
    /// Nodes over all ensembles
    #[arg(long, default_value_t = 10_000)]
    nodes: usize,
    /// Let the first ensemble have all of them
    #[arg(long)]
    together: bool,
    /// Length of the quiet time
    #[arg(long, default_value_t = 60)]
    seconds: u64,
    /// The core that the monitor is kept on
    #[arg(long, default_value_t = 0)]
    core: usize,
    /// The binary that is measured [default: target/debug/watchkeeper]
    #[arg(long)]
    binary: Option<PathBuf>,
    /// Print one JSON object instead of lines
    #[arg(long)]
    json: bool,
    /// Keep what the monitor wrote in this folder
    #[arg(long)]
    keep: Option<PathBuf>,
}

/// Plays, measures and prints.
pub(crate) fn run(args: &MonitorBenchArgs) -> Result<()> {
    ensure!(args.ensembles > 0 && args.servers > 2, "a quorum needs three servers");
    let binary = args.binary.clone();
    let binary = binary.unwrap_or_else(|| workspace_root().join("target/debug/watchkeeper"));
    watched::leave_core(args.core)?;
    let temporary = tempfile::Builder::new().prefix("wk-monitor-bench-").tempdir();
    let temporary = temporary.context("make a folder")?;
    let dir = args.keep.clone().unwrap_or_else(|| temporary.path().to_owned());
    let plan = Plan { binary: &binary, dir: &dir, servers: args.servers, begun: Instant::now() };
    say("starting servers and registering nodes");
    let nodes_of = |index: usize| match (args.together, index) {
        (true, 0) => args.nodes,
        (true, _) => 0,
        (false, _) => args.nodes / args.ensembles,
    };
    let ensembles = (0..args.ensembles).map(|index| Ensemble::start(&plan, index, nodes_of(index)));
    let ensembles = Mutex::new(ensembles.collect::<Result<Vec<_>>>()?);
    let done = AtomicBool::new(false);
    let figures = std::thread::scope(|scope| {
        let kept = scope.spawn(|| keep_alive(&ensembles, &done));
        let figures = {
            let _end = End(&done);
            measure(args, &plan, &ensembles)
        };
        kept.join().map_err(|_| anyhow::anyhow!("the nodes' sessions panicked"))??;
        figures
    })?;
    if args.json {
        table::print_json(args, &figures);
    } else {
        table::print(args, &figures);
    }
    Ok(())
}

/// Says that it is over, after a panic too: the scope waits for the nodes' sessions.
struct End<'a>(&'a AtomicBool);

impl Drop for End<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::SeqCst);
    }
}

fn keep_alive(ensembles: &Mutex<Vec<Ensemble>>, done: &AtomicBool) -> Result<()> {
    while !done.load(Ordering::SeqCst) {
        for ensemble in lock(ensembles).iter_mut() {
            ensemble.ping()?;
        }
        std::thread::sleep(PING);
    }
    Ok(())
}

fn lock(ensembles: &Mutex<Vec<Ensemble>>) -> std::sync::MutexGuard<'_, Vec<Ensemble>> {
    ensembles.lock().unwrap_or_else(PoisonError::into_inner)
}

fn measure(
    args: &MonitorBenchArgs,
    plan: &Plan<'_>,
    ensembles: &Mutex<Vec<Ensemble>>,
) -> Result<Figures> {
    let toml: String = lock(ensembles).iter().map(Ensemble::toml).collect();
    let monitor = Watched::start(plan.binary, plan.dir, &toml, args.core)?;
    let mut figures = Figures::default();
    let each = args.nodes / args.ensembles;
    let nodes = if args.together { args.nodes } else { each * args.ensembles };
    say("waiting until the monitor sees everything");
    figures.start = monitor.wait_complete(args.ensembles * args.servers, nodes)?;
    say("the quiet time");
    std::thread::sleep(Duration::from_secs(10));
    let before = monitor.usage()?;
    let opened = monitor.opened();
    let begun = Instant::now();
    while begun.elapsed() < Duration::from_secs(args.seconds) {
        figures.resident.push(monitor.usage()?.resident_kib);
        std::thread::sleep(Duration::from_secs(1));
    }
    figures.quiet_cpu = monitor.usage()?.cpu_since(&before, begun.elapsed());
    figures.quiet_alarms = monitor.opened() - opened;
    figures.pages = monitor.pages()?;
    figures.own = monitor.own_figures()?;

    say("nodes die");
    let (before, begun) = (monitor.usage()?, Instant::now());
    let mut deaths = Vec::new();
    for index in 0..args.ensembles {
        let id = format!("victim-{index:02}");
        let victim = lock(ensembles)[index].victim(&id)?;
        let life = VICTIM_LIFE;
        deaths.push((id, std::thread::spawn(move || victim.expire(life))));
        std::thread::sleep(STEP);
    }
    for (id, death) in deaths {
        let at = death.join().map_err(|_| anyhow::anyhow!("a node's session panicked"))??;
        let told = monitor.told("NodeDown", "node", &id, TOLD_MAX)?;
        figures.node_latencies.push(told.saturating_duration_since(at));
    }
    say("servers die");
    let mut deaths = Vec::new();
    for index in 0..args.ensembles {
        let last = args.servers - 1;
        let at = Instant::now();
        let mut all = lock(ensembles);
        all[index].stand_ins[last].kill();
        deaths.push((all[index].stand_ins[last].instance(), at));
        drop(all);
        std::thread::sleep(STEP);
    }
    for (instance, at) in deaths {
        let told = monitor.told("ZkServerUnreachable", "instance", &instance, TOLD_MAX)?;
        figures.server_latencies.push(told.saturating_duration_since(at));
    }
    figures.busy_cpu = monitor.usage()?.cpu_since(&before, begun.elapsed());
    figures.resident.push(monitor.usage()?.resident_kib);
    figures.others = monitor.others();
    Ok(figures)
}

fn say(what: &str) {
    eprintln!("monitor-bench: {what}");
}

//! `cargo xtask faults`: real ensembles, real faults, and how soon the right notification comes.
//!
//! Each trial is one line of JSON in `results.jsonl` of the output folder; an interrupted command
//! goes on with `--resume`. Whatever becomes of it, processes end with their parent and a janitor
//! removes namespaces, mounts and folders. Reading order: `kinds` (what is tried), `inject` (how),
//! `rig` (on what), `verdict` (what counts), `record` and `render` (lines and the table), `calm`
//! (hours in which nothing may be told).

mod calm;
mod inject;
mod kinds;
mod record;
mod render;
mod rig;
mod verdict;

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use clap::Args;
use indicatif::{ProgressBar, ProgressStyle};
use serde_json::{Value, json};
use wk_peers::cache::workspace_root;
use wk_peers::{Cache, Peer, Version};

use kinds::{Kind, Needs};
use rig::{Bench, Rig, pass};
use verdict::Verdict;

/// What else a detected fault makes the monitor say is waited for so long.
const LINGER: Duration = Duration::from_secs(3);

/// How often a waiting trial looks.
const LOOK: Duration = Duration::from_millis(20);

/// A command stops when so many trials of a kind in a row could not be made at all.
const BROKEN_IN_A_ROW_MAX: usize = 3;

/// What to try.
#[derive(Clone, Debug, Args)]
pub(crate) struct FaultsArgs {
    /// Only this kind; may be repeated. `--list` names all.
    #[arg(long, value_name = "KIND")]
    only: Vec<String>,
    /// Trials per kind [default: 100 for the four kinds of kill, 5 for the others].
    #[arg(long)]
    runs: Option<usize>,
    /// Where results.jsonl is.
    #[arg(long, default_value = "target/faults")]
    out: PathBuf,
    /// Keep the trials that are there and make the missing ones.
    #[arg(long)]
    resume: bool,
    /// The monitor to try [default: the newer of target/release and target/debug].
    #[arg(long)]
    binary: Option<PathBuf>,
    /// The release of the servers.
    #[arg(long, default_value = "3.9.5")]
    zookeeper: String,
    /// How long a healthy ensemble is watched before each fault.
    #[arg(long, default_value = "2s", value_parser = duration)]
    settle: Duration,
    /// Name the kinds and end.
    #[arg(long)]
    list: bool,
    /// Write the table into docs/faults.md from the results that are there, and end.
    #[arg(long)]
    render: bool,
    /// No faults: watch a calm ensemble; any notification is a failure.
    #[arg(long, value_name = "KIND", value_enum, conflicts_with_all = ["only", "runs"])]
    calm: Option<calm::Calm>,
    /// How long to watch it.
    #[arg(long = "for", default_value = "1h", value_parser = duration, requires = "calm")]
    length: Duration,
    /// Keep the monitor's log of each trial in the output folder.
    #[arg(long)]
    keep_logs: bool,
}

/// Runs the command; an error when a trial was missed.
pub(crate) fn run(args: &FaultsArgs) -> Result<()> {
    let kinds = chosen(args)?;
    if args.list {
        for kind in &kinds {
            println!("{:<18} {}", kind.name, kind.title);
        }
        return Ok(());
    }
    let out = workspace_root().join(&args.out);
    std::fs::create_dir_all(&out).with_context(|| format!("create {}", out.display()))?;
    if args.render {
        return render::write(&out);
    }
    let bench = bench(args)?;
    println!("the monitor: {} ({})", bench.binary.display(), build_of(&bench.binary));
    if let Some(calm) = args.calm {
        return calm::run(calm, args.length, &bench, &out);
    }
    if !args.resume {
        record::put_aside(&out, &kinds.iter().map(|kind| kind.name).collect::<Vec<_>>())?;
    }
    trials(args, &bench, &out, &kinds)
}

fn chosen(args: &FaultsArgs) -> Result<Vec<Kind>> {
    let all = kinds::all();
    for name in &args.only {
        if !all.iter().any(|kind| kind.name == name) {
            bail!("--only {name}: no such kind; --list names all");
        }
    }
    let wanted = |kind: &Kind| args.only.is_empty() || args.only.iter().any(|n| n == kind.name);
    Ok(all.into_iter().filter(wanted).collect())
}

fn bench(args: &FaultsArgs) -> Result<Bench> {
    let binary = match &args.binary {
        Some(path) => path.clone(),
        None => newest_binary()?,
    };
    let version = Version::find(&args.zookeeper);
    let numbers = || Version::ALL.map(Version::number).join(", ");
    let version = version.with_context(|| format!("--zookeeper: one of {}", numbers()))?;
    let cache = Cache::open()?;
    for peer in [Peer::ZooKeeperAt(version), Peer::Python] {
        peer.ensure(&cache, &|what| println!("{what}"))?;
    }
    Ok(Bench { cache, binary, version, settle: args.settle })
}

/// The product's binary that was built last.
fn newest_binary() -> Result<PathBuf> {
    let target = std::env::var_os("CARGO_TARGET_DIR")
        .map_or_else(|| workspace_root().join("target"), PathBuf::from);
    let built = |profile: &str| {
        let path = target.join(profile).join("watchkeeper");
        let time = std::fs::metadata(&path).and_then(|about| about.modified()).ok()?;
        Some((time, path))
    };
    let newest = ["release", "debug"].iter().filter_map(|profile| built(profile)).max();
    let (_, path) = newest.context("no monitor is built: cargo build -p watchkeeper")?;
    Ok(path)
}

/// `release` or `debug`, by the folder.
fn build_of(binary: &Path) -> &'static str {
    if binary.components().any(|part| part.as_os_str() == "release") { "release" } else { "debug" }
}

fn trials(args: &FaultsArgs, bench: &Bench, out: &Path, kinds: &[Kind]) -> Result<()> {
    let done = record::finished(out)?;
    let root = is_root();
    let mut todo = Vec::new();
    for kind in kinds {
        if kind.needs == Needs::Root && !root {
            println!("skipped  {}: namespaces and mounts need root", kind.name);
            continue;
        }
        let have = done.get(kind.name).copied().unwrap_or(0);
        let missing = args.runs.unwrap_or(kind.runs).saturating_sub(have);
        todo.push((kind, have, missing));
    }
    let total: usize = todo.iter().map(|(_, _, missing)| missing).sum();
    let mut progress = Progress::new(total);
    let mut missed = 0;
    for (kind, have, missing) in todo {
        missed += one_kind(args, bench, out, kind, have..have + missing, &mut progress)?;
    }
    progress.close();
    render::print(out)?;
    if missed > 0 {
        bail!("{missed} of {total} trials were missed, broken, or told something false");
    }
    Ok(())
}

/// Makes the trials of one kind; gives how many were missed.
fn one_kind(
    args: &FaultsArgs,
    bench: &Bench,
    out: &Path,
    kind: &Kind,
    runs: std::ops::Range<usize>,
    progress: &mut Progress,
) -> Result<usize> {
    let mut standing: Option<Rig> = None;
    let (mut missed, mut broken) = (0, 0);
    for run in runs {
        progress.begin(kind.name, run + 1);
        let outcome = trial(bench, kind, &mut standing);
        if let (true, Some(rig)) = (args.keep_logs, &standing) {
            keep_log(rig, out, kind.name, run)?;
        }
        if kind.fresh || outcome.is_err() || standing.as_mut().is_some_and(|r| r.mend().is_err()) {
            standing = None;
        }
        let line = match outcome {
            Ok(verdict) => {
                broken = 0;
                let detected = verdict.is_detected(kind);
                missed += usize::from(!detected || !verdict.wrong.is_empty());
                let outcome = if detected { "detected" } else { "missed" };
                let mut line = record::line(kind.name, run, outcome, bench);
                merge(&mut line, verdict.json());
                line
            }
            Err(err) => {
                broken += 1;
                missed += 1;
                let mut line = record::line(kind.name, run, "failed", bench);
                merge(&mut line, json!({ "why": format!("{err:#}") }));
                line
            }
        };
        record::append(out, &line)?;
        progress.end(&render::one_line(&line));
        if broken >= BROKEN_IN_A_ROW_MAX {
            progress.say(&format!("{}: given up, {broken} trials in a row failed", kind.name));
            break;
        }
    }
    Ok(missed)
}

fn trial(bench: &Bench, kind: &Kind, standing: &mut Option<Rig>) -> Result<Verdict> {
    let rig = match standing {
        Some(rig) => rig,
        None => standing.insert(Rig::start(bench, &kind.setup)?),
    };
    rig.begin()?;
    let mut fault = (kind.inject)(rig).context("make the fault")?;
    let mut step = fault.step.take();
    let mut told_at = None;
    loop {
        pass(LOOK);
        if let Some(step) = &mut step {
            step(rig).context("go on with the fault")?;
        }
        let verdict = Verdict::of(kind, &fault, &rig.seen());
        if verdict.right.is_some() && verdict.broken.is_none() {
            told_at.get_or_insert_with(Instant::now);
        }
        if told_at.is_some_and(|at: Instant| at.elapsed() >= LINGER)
            || fault.at.elapsed() >= kind.patience
        {
            if let Some(tail) = rig.monitor()?.ended() {
                bail!("the monitor ended:\n{tail}");
            }
            return Ok(verdict);
        }
    }
}

fn keep_log(rig: &Rig, out: &Path, kind: &str, run: usize) -> Result<()> {
    let from = rig.dir.path().join(format!("monitor-{}/up.log", rig.trials));
    let to = out.join(format!("{kind}-{run}.log"));
    std::fs::copy(&from, &to).with_context(|| format!("copy {}", from.display())).map(drop)
}

fn merge(line: &mut Value, more: Value) {
    if let (Value::Object(line), Value::Object(more)) = (line, more) {
        line.extend(more);
    }
}

fn is_root() -> bool {
    wk_peers::tools::is_root()
}

/// `90s`, `5m`, `1h`.
fn duration(text: &str) -> Result<Duration, String> {
    let split = text.len() - text.chars().last().map_or(0, char::len_utf8);
    let (number, unit) = text.split_at(split);
    let scale = match unit {
        "s" => 1,
        "m" => 60,
        "h" => 3600,
        _ => return Err("a number and s, m or h".to_owned()),
    };
    let number: u64 = number.parse().map_err(|_| "a number and s, m or h".to_owned())?;
    Ok(Duration::from_secs(number.saturating_mul(scale)))
}

/// A bar with the time left on a terminal, lines elsewhere.
struct Progress {
    bar: Option<ProgressBar>,
    begun: Instant,
    done: usize,
    total: usize,
}

impl Progress {
    fn new(total: usize) -> Self {
        let bar = std::io::IsTerminal::is_terminal(&std::io::stderr()).then(|| {
            let bar = ProgressBar::new(total as u64);
            let style = "{bar:30} {pos}/{len} {msg} ({eta} left)";
            if let Ok(style) = ProgressStyle::with_template(style) {
                bar.set_style(style);
            }
            bar.enable_steady_tick(Duration::from_millis(250));
            bar
        });
        Self { bar, begun: Instant::now(), done: 0, total }
    }

    fn begin(&self, kind: &str, run: usize) {
        if let Some(bar) = &self.bar {
            bar.set_message(format!("{kind}, run {run}"));
        }
    }

    fn end(&mut self, line: &str) {
        self.done += 1;
        if let Some(bar) = &self.bar {
            bar.inc(1);
            bar.suspend(|| println!("{line}"));
            return;
        }
        let each = self.begun.elapsed() / u32::try_from(self.done.max(1)).unwrap_or(u32::MAX);
        let left = each * u32::try_from(self.total.saturating_sub(self.done)).unwrap_or(0);
        println!("{}/{} ({} s left)  {line}", self.done, self.total, left.as_secs());
    }

    fn say(&self, line: &str) {
        match &self.bar {
            Some(bar) => bar.suspend(|| println!("{line}")),
            None => println!("{line}"),
        }
    }

    fn close(&self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_have_a_unit() {
        assert_eq!(duration("90s"), Ok(Duration::from_secs(90)));
        assert_eq!(duration("1h"), Ok(Duration::from_hours(1)));
        for bad in ["", "5", "m", "1d", "-1s", "5µ"] {
            assert!(duration(bad).is_err(), "{bad}");
        }
    }
}

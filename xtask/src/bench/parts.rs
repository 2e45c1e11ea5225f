//! The parts of the benchmark beside throughput: each starts its servers, measures, adds figures.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};

use super::load::{Op, Workload};
use super::open::{self, Rates};
use super::record::Figures;
use super::script::BULK;
use super::target::{Kind, SELDOM, Target, resident_kib};
use super::wire::{connect_all, unique};
use super::{Part, watches};

/// What the open loop asks for a second.
const RATES: Rates = Rates { sets: 1000, gets: 5000 };
/// Sessions that are idle or watch.
const SESSIONS: u32 = 10_000;
/// The bulk load: sessions, and requests in flight of each.
const BULK_SESSIONS: u32 = 16;
/// Writes between two snapshots, where one shall fall into a round.
const OFTEN: u32 = 10_000;
/// How long a server has to come to rest.
const REST: Duration = Duration::from_secs(1);

/// What all parts share.
pub(super) struct Run<'r> {
    pub(super) kinds: &'r [Kind],
    pub(super) rounds: usize,
    pub(super) time: Duration,
    pub(super) figures: &'r mut Figures,
    /// Says what is being done.
    pub(super) say: &'r dyn Fn(String),
}

impl Run<'_> {
    fn add(&mut self, part: Part, load: &str, kind: Kind, figure: &str, v: Vec<f64>) -> Result<()> {
        self.figures.add((part.name(), load, kind.name()), figure, v)
    }

    /// Latency at a given rate, server after server in alternating rounds.
    pub(super) fn open_loop(&mut self) -> Result<()> {
        let load = format!("{} set/s and {} get/s", RATES.sets, RATES.gets);
        let start = |kind: &Kind| Target::start(*kind);
        let mut targets = self.kinds.iter().map(start).collect::<Result<Vec<_>>>()?;
        let mut rounds = vec![Vec::new(); targets.len()];
        for round in 1..=self.rounds {
            for (target, rounds) in targets.iter_mut().zip(&mut rounds) {
                (self.say)(format!("{load} on {}, round {round}", target.kind.name()));
                rounds.push(open::run(target.addr(), RATES, self.time)?);
            }
        }
        self.figures.forget(Part::Open.name(), &load);
        for (target, rounds) in targets.iter().zip(&rounds) {
            for (at, what) in [(0, "set"), (1, "get")] {
                let of = |f: &dyn Fn(&super::load::Load) -> Duration| {
                    rounds.iter().map(|loads| micros(f(&loads[at]))).collect::<Vec<_>>()
                };
                let (kind, part) = (target.kind, Part::Open);
                self.add(part, &load, kind, &format!("{what}_p50_us"), of(&|l| l.p50))?;
                self.add(part, &load, kind, &format!("{what}_p99_us"), of(&|l| l.p99))?;
                self.add(part, &load, kind, &format!("{what}_p999_us"), of(&|l| l.p999))?;
            }
        }
        Ok(())
    }

    /// Resident memory: empty, and of idle sessions.
    pub(super) fn sessions(&mut self) -> Result<()> {
        let load = format!("{SESSIONS} idle sessions");
        self.figures.forget(Part::Memory.name(), &load);
        for kind in self.kinds {
            (self.say)(format!("{load} on {}", kind.name()));
            let target = Target::start(*kind)?;
            std::thread::sleep(REST);
            let empty = target.resident_kib()?;
            let sessions = connect_all(target.addr(), SESSIONS)?;
            std::thread::sleep(REST);
            let full = target.resident_kib()?;
            drop(sessions);
            let each = full.saturating_sub(empty) as f64 * 1024.0 / f64::from(SESSIONS);
            self.add(Part::Memory, &load, *kind, "empty_kib", vec![empty as f64])?;
            self.add(Part::Memory, &load, *kind, "session_bytes", vec![each])?;
        }
        Ok(())
    }

    /// From a set to the last of many watchers.
    pub(super) fn watches(&mut self) -> Result<()> {
        let load = format!("{SESSIONS} watches on one znode");
        self.figures.forget(Part::Watches.name(), &load);
        for kind in self.kinds {
            (self.say)(format!("{load} on {}", kind.name()));
            let target = Target::start(*kind)?;
            // The first round warms up.
            let took = watches::fan_out(target.addr(), SESSIONS, self.rounds + 1)?;
            let took = took.iter().skip(1).map(|took| micros(*took)).collect();
            self.add(Part::Watches, &load, *kind, "last_us", took)?;
        }
        Ok(())
    }

    /// Starts over no data.
    pub(super) fn starts(&mut self) -> Result<()> {
        let kinds = self.kinds.iter().filter(|kind| kind.keeps());
        self.figures.forget(Part::Start.name(), "empty");
        for kind in kinds {
            (self.say)(format!("start of {}", kind.name()));
            let mut took = Vec::new();
            for _ in 0..self.rounds {
                let mut target = Target::start(*kind)?;
                target.stop()?;
                // A start after a clean end: neither folder nor first files have to be made.
                took.push(millis(target.launch(SELDOM)?));
                target.stop()?;
            }
            self.add(Part::Start, "empty", *kind, "start_ms", took)?;
        }
        Ok(())
    }

    /// `millions` of znodes: how soon they are in, what they weigh, how soon a server is back with
    /// them, and what a snapshot of them does to others.
    pub(super) fn filled(&mut self, part: Part, millions: u32) -> Result<()> {
        let load = format!("{millions} million znodes");
        self.figures.forget(part.name(), &load);
        for kind in self.kinds {
            (self.say)(format!("{load} into {}", kind.name()));
            let mut target = Target::start(*kind)?;
            std::thread::sleep(REST);
            let empty = target.resident_kib()?;
            let workload = Workload { op: Op::Bulk, sessions: BULK_SESSIONS, depth: 16 };
            let each = millions * 1_000_000 / BULK / BULK_SESSIONS;
            let loaded = target.fill(&workload, each, &format!("/b{}", unique()))?;
            let per_second = loaded.per_second * f64::from(BULK);
            self.add(part, &load, *kind, "znodes_per_second", vec![per_second])?;
            if !kind.keeps() {
                continue;
            }
            std::thread::sleep(REST);
            let weight = target.resident_kib()?.saturating_sub(empty) as f64 * 1024.0;
            let weight = weight / (f64::from(millions) * 1e6);
            self.add(part, &load, *kind, "znode_bytes", vec![weight])?;
            self.back(part, &load, &mut target)?;
            self.snapshot(part, &load, &mut target)?;
        }
        Ok(())
    }

    /// The next start reads the log and writes a snapshot; those after it read the snapshot.
    fn back(&mut self, part: Part, load: &str, target: &mut Target) -> Result<()> {
        (self.say)(format!("starts of {} over {load}", target.kind.name()));
        target.stop()?;
        let log = millis(target.launch(SELDOM)?);
        self.add(part, load, target.kind, "start_from_log_ms", vec![log])?;
        let mut took = Vec::new();
        for _ in 0..self.rounds {
            settle(target)?;
            target.stop()?;
            took.push(millis(target.launch(SELDOM)?));
        }
        self.add(part, load, target.kind, "start_ms", took)?;
        settle(target)?;
        let resident = vec![target.resident_kib()? as f64];
        self.add(part, load, target.kind, "resident_kib", resident)
    }

    /// The open loop without a snapshot in it, and with one or more.
    fn snapshot(&mut self, part: Part, load: &str, target: &mut Target) -> Result<()> {
        let kind = target.kind;
        for (snap_count, what) in [(SELDOM, "calm"), (OFTEN, "snapshot")] {
            (self.say)(format!("{load} in {}, {what}", kind.name()));
            target.stop()?;
            target.launch(snap_count)?;
            settle(target)?;
            let before = target.snapshots()?;
            let time = Duration::from_secs(u64::from(3 * OFTEN / RATES.sets));
            let watch = Peak::watch(target.id()?);
            let [sets, gets] = open::run(target.addr(), RATES, time)?;
            let peak = watch.end();
            let taken = target.snapshots()?.saturating_sub(before);
            ensure!((taken > 0) == (what == "snapshot"), "{taken} snapshots while {what}");
            for (figure, value) in [
                ("set_p999_us", micros(sets.p999)),
                ("get_p999_us", micros(gets.p999)),
                ("peak_kib", peak as f64),
            ] {
                self.add(part, load, kind, &format!("{what}_{figure}"), vec![value])?;
            }
        }
        Ok(())
    }
}

/// Waits until a server writes no snapshot any more.
fn settle(target: &Target) -> Result<()> {
    let begun = Instant::now();
    let mut last = (target.snapshots()?, Instant::now());
    while last.1.elapsed() < 3 * REST {
        ensure!(begun.elapsed() < Duration::from_mins(5), "it writes snapshots without end");
        std::thread::sleep(REST / 4);
        let now = target.snapshots()?;
        if now != last.0 {
            last = (now, Instant::now());
        }
    }
    Ok(())
}

/// The most memory that a process has, looked at ten times a second.
struct Peak {
    thread: std::thread::JoinHandle<()>,
    done: std::sync::Arc<(AtomicBool, AtomicU64)>,
}

impl Peak {
    fn watch(id: u32) -> Self {
        let done = std::sync::Arc::new((AtomicBool::new(false), AtomicU64::new(0)));
        let of = done.clone();
        let thread = std::thread::spawn(move || {
            while !of.0.load(Ordering::Relaxed) {
                of.1.fetch_max(resident_kib(id).unwrap_or(0), Ordering::Relaxed);
                std::thread::sleep(Duration::from_millis(100));
            }
        });
        Self { thread, done }
    }

    fn end(self) -> u64 {
        self.done.0.store(true, Ordering::Relaxed);
        // It cannot panic; and if it did, what it has seen still stands.
        let _ = self.thread.join();
        self.done.1.load(Ordering::Relaxed)
    }
}

/// What a run must show to have measured the servers and not its client.
pub(super) fn judge(figures: &Figures, fsyncs: f64) -> Option<String> {
    let of = |load: &str, server| figures.get("throughput", load, server, "per_second");
    let creates = of("create 16x1", Kind::Limit.name())?;
    let most = 16.0 * fsyncs;
    if creates < 0.7 * most {
        let share = 100.0 * creates / most;
        return Some(format!(
            "the limit server reached {creates:.0} creates a second by 16 sessions, \
             {share:.0} % of 16 x {fsyncs:.0} syncs: below 70 % the client was measured"
        ));
    }
    let (limit, apache) =
        (of("get 16x16", Kind::Limit.name())?, of("get 16x16", Kind::Apache.name())?);
    (limit < 10.0 * apache).then(|| {
        format!(
            "the limit server got {:.1} x Apache's gets: below 10 the client was measured",
            limit / apache
        )
    })
}

pub(super) fn micros(d: Duration) -> f64 {
    d.as_secs_f64() * 1e6
}

fn millis(d: Duration) -> f64 {
    d.as_secs_f64() * 1e3
}

/// Not needed where nothing is measured.
pub(super) fn machine() -> Result<String> {
    let info = std::fs::read_to_string("/proc/cpuinfo").context("read /proc/cpuinfo")?;
    let model = info.lines().find_map(|line| line.strip_prefix("model name"));
    let model = model.and_then(|line| line.split_once(':')).map_or("", |(_, name)| name.trim());
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let load = std::fs::read_to_string("/proc/loadavg").unwrap_or_default();
    let load = load.split(' ').next().unwrap_or_default().to_owned();
    Ok(format!("{cores} cores of {model}, load average {load} at the start"))
}

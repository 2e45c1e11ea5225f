//! Hours in which nothing may be told: ordinary load, short pauses, lossy links, restarts under
//! maintenance. A node with a session of 10 s is registered all the while.

use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use clap::ValueEnum;
use serde_json::{Value, json};

use super::record;
use super::rig::{Bench, Rig, Setup, api, pass};
use super::verdict::about;

/// What goes on in a calm hour.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Calm {
    /// Ordinary load.
    Load,
    /// A member or the monitor is stopped for 2 s, every 2 min.
    Pauses,
    /// The same every 15 s: writes are slow then, which alone may be told.
    ManyPauses,
    /// 5 % of all packets are lost, those of the monitor too.
    Loss,
    /// One member after the other is restarted, under maintenance.
    Rolling,
}

/// How long a pause is.
const PAUSE: Duration = Duration::from_secs(2);
/// From one pause to the next: of members with a small heap, and of ill ones.
const PAUSE_EVERY: Duration = Duration::from_mins(2);
const MANY_EVERY: Duration = Duration::from_secs(15);
/// From one restart to the next.
const RESTART_EVERY: Duration = Duration::from_secs(30);
/// How often a line says that it still goes on.
const SIGN_EVERY: Duration = Duration::from_secs(30);

impl Calm {
    fn name(self) -> &'static str {
        match self {
            Self::Load => "load",
            Self::Pauses => "pauses",
            Self::ManyPauses => "many-pauses",
            Self::Loss => "loss",
            Self::Rolling => "rolling",
        }
    }

    /// What is true and may be told: with a pause each 15 s one write in twenty takes seconds.
    fn may_tell(self, rule: &str) -> bool {
        self == Self::ManyPauses && rule == "ZkCanarySlow"
    }
}

/// Watches a calm ensemble; an error when anything was told.
pub(super) fn run(calm: Calm, length: Duration, bench: &Bench, out: &Path) -> Result<()> {
    if calm == Calm::Loss && !super::is_root() {
        println!("skipped  loss: namespaces need root");
        return Ok(());
    }
    let setup = Setup { net: calm == Calm::Loss, load: Some((20, 128)), ..Setup::default() };
    let mut rig = Rig::start(bench, &setup)?;
    rig.begin()?;
    let hosts = rig.ensemble.hosts();
    rig.client(&["node", &hosts, "app/calm", "10"])?;
    let begun = Instant::now();
    if calm == Calm::Loss {
        rig.net.as_ref().context("loss runs in namespaces")?.lose(0.05)?;
    }
    if calm == Calm::Rolling {
        begin_maintenance(&mut rig)?;
    }
    let (mut turn, mut sign, mut told) = (0, Instant::now(), 0);
    while begun.elapsed() < length {
        match calm {
            Calm::Load | Calm::Loss => pass(Duration::from_millis(500)),
            Calm::Pauses => pause(&mut rig, turn, PAUSE_EVERY)?,
            Calm::ManyPauses => pause(&mut rig, turn, MANY_EVERY)?,
            Calm::Rolling => restart(&mut rig, turn)?,
        }
        turn += 1;
        if let Some(tail) = rig.monitor()?.ended() {
            bail!("the monitor ended:\n{tail}");
        }
        for one in rig.seen().iter().skip(told) {
            let after = one.at.duration_since(begun).as_secs();
            println!("TOLD after {after} s: {} {} {}", one.status, one.rule, about(&one.labels));
            told += 1;
        }
        if sign.elapsed() >= SIGN_EVERY {
            sign = Instant::now();
            let left = length.saturating_sub(begun.elapsed()).as_secs();
            println!("{}: {turn} turns, {told} notifications, {left} s left", calm.name());
        }
    }
    let line = outcome(calm, length, bench, &rig, begun);
    record::append_to(&out.join("calm.jsonl"), &line)?;
    if line["outcome"] == "alarmed" {
        bail!("{}: told in a calm time: {}", calm.name(), line["told"]);
    }
    println!("{}: nothing false was told in {} s", calm.name(), length.as_secs());
    Ok(())
}

fn outcome(calm: Calm, length: Duration, bench: &Bench, rig: &Rig, begun: Instant) -> Value {
    let told = |one: &super::verdict::Seen| {
        let after = one.at.duration_since(begun).as_millis();
        let after = u64::try_from(after).unwrap_or(u64::MAX);
        json!({ "rule": one.rule, "about": about(&one.labels), "after_ms": after })
    };
    let seen = rig.seen();
    let told: Vec<Value> = seen
        .iter()
        .filter(|one| one.status == "firing" && one.rule != "Watchdog")
        .map(told)
        .collect();
    let is_false = |one: &Value| !calm.may_tell(one["rule"].as_str().unwrap_or_default());
    let alarmed = told.iter().any(is_false);
    let outcome = if alarmed { "alarmed" } else { "calm" };
    let mut line = record::line(calm.name(), 0, outcome, bench);
    line["seconds"] = json!(length.as_secs());
    line["told"] = json!(told);
    line
}

/// Stops the members and the monitor in turn.
fn pause(rig: &mut Rig, turn: usize, every: Duration) -> Result<()> {
    let members = rig.ensemble.members.len();
    let whom = turn % (members + 1);
    if whom < members {
        rig.ensemble.pause(whom)?;
        pass(PAUSE);
        rig.ensemble.resume(whom)?;
    } else {
        let monitor = rig.monitor()?;
        monitor.stop()?;
        pass(PAUSE);
        monitor.go_on()?;
    }
    pass(every.saturating_sub(PAUSE));
    Ok(())
}

fn begin_maintenance(rig: &mut Rig) -> Result<()> {
    let web = rig.monitor()?.web;
    let fleet = api(web, "fleet")?;
    let name = fleet["ensembles"][0]["name"].as_str().context("an ensemble has a name")?.to_owned();
    let binary = rig.bench.binary.clone();
    rig.monitor()?.verb(&binary, &["maintenance", "start", &name, "--for", "4h"]).map(drop)
}

/// Restarts followers first, the leader last, as a rolling upgrade does.
fn restart(rig: &mut Rig, turn: usize) -> Result<()> {
    let begun = Instant::now();
    let followers = rig.ensemble.followers()?;
    let index = match turn % 3 {
        2 => rig.ensemble.leader()?,
        place => *followers.get(place).context("two followers")?,
    };
    rig.ensemble.restart(index)?;
    rig.ensemble.wait_quorum()?;
    pass(RESTART_EVERY.saturating_sub(begun.elapsed()));
    Ok(())
}

//! `cargo xtask sim`: the simulator, and its broken variants that must be found.

use std::process::Command;

use anyhow::{Context, Result, bail};
use wk_peers::cache::workspace_root;

use crate::cargo::{cargo, lines_of};
use crate::report::Report;

/// Seeds of the test command. Fixed, so that a failure is one of the change and not of the day.
const SEEDS: &str = "2000";

/// The faults that can be compiled in (`--cfg wk_sabotage="..."`): the checkers must see each.
const SABOTAGE: [&str; 3] = ["ack_before_fsync", "ephemeral_kept", "multi_half_applied"];

/// One seed, or as many as the minutes allow; or so many histories of the monitor's crashes.
pub(crate) fn run(
    report: &mut Report,
    seed: Option<u64>,
    minutes: Option<u64>,
    alerts: Option<u64>,
) -> Result<()> {
    if let Some(seeds) = alerts {
        return histories(report, seeds);
    }
    let args = match (seed, minutes) {
        (Some(seed), None) => vec!["--seed".to_owned(), seed.to_string()],
        (None, Some(minutes)) => vec!["--minutes".to_owned(), minutes.to_string()],
        _ => bail!("say --seed N, --minutes M or --alerts N"),
    };
    let name = format!("simulation {}", args.join(" "));
    report.begin(&name);
    let mut command = cargo(&["run", "--quiet", "-p", "wk-sim", "--"]);
    let (ok, text) = lines_of(command.args(&args), |line| report.progress(line))?;
    report.say(text.trim_end());
    if ok {
        report.pass(&name);
    } else {
        report.fail(&name, "a checker complained");
    }
    Ok(())
}

/// The test of the monitor's core over so many histories full of crashes.
fn histories(report: &mut Report, seeds: u64) -> Result<()> {
    let name = format!("simulation of {seeds} histories of alerts");
    report.begin(&name);
    let mut command = cargo(&["test", "--quiet", "-p", "wk-alert", "--test", "it"]);
    command.arg("each_episode").env("WATCHKEEPER_ALERT_SEEDS", seeds.to_string());
    let (ok, text) = lines_of(&mut command, |line| report.progress(line))?;
    // A filter that finds no test passes, too.
    if ok && text.contains("1 passed") {
        report.pass(&name);
    } else {
        report.fail(&name, &text);
    }
    Ok(())
}

/// The simulator's part of the test command.
pub(crate) fn step(report: &mut Report) {
    seeds(report);
    for variant in SABOTAGE {
        let name = format!("simulation finds {variant}");
        report.begin(&name);
        match find(report, variant) {
            Ok(complaint) => report.count(&name, 1, 0, &complaint),
            Err(err) => report.fail(&name, &format!("{err:#}")),
        }
    }
}

/// Thousands of seeds on the shipped code, one row.
pub(crate) fn seeds(report: &mut Report) {
    const NAME: &str = "simulation";
    report.begin(NAME);
    let mut command = cargo(&["run", "--quiet", "-p", "wk-sim", "--", "--seeds", SEEDS]);
    match lines_of(&mut command, |line| report.progress(line)) {
        Ok((true, text)) => match passed(&text) {
            Some(seeds) if seeds > 0 => report.count(NAME, 1, 0, &format!("{seeds} seeds")),
            _ => report.fail(NAME, &format!("the simulator ran no seed:\n{}", text.trim_end())),
        },
        Ok((false, text)) => report.fail(NAME, &text),
        Err(err) => report.fail(NAME, &format!("{err:#}")),
    }
}

/// Builds a broken variant in a target folder of its own; gives the checker's complaint.
fn find(report: &mut Report, variant: &str) -> Result<String> {
    let flags = format!("--cfg wk_sabotage=\"{variant}\"");
    let target = workspace_root().join("target/sabotage").join(variant);
    let mut build = cargo(&["build", "--quiet", "-p", "wk-sim"]);
    build.env("RUSTFLAGS", flags).env("CARGO_TARGET_DIR", &target);
    let (ok, text) = lines_of(&mut build, |line| report.progress(line))?;
    if !ok {
        bail!("the variant does not compile:\n{text}");
    }
    let mut simulator = Command::new(target.join("debug/wk-sim"));
    simulator.args(["--seeds", SEEDS]);
    let (ok, text) = lines_of(&mut simulator, |line| report.progress(line))?;
    if ok {
        bail!("{SEEDS} seeds did not find it: the checkers are blind");
    }
    let complaint = text.lines().find(|line| line.starts_with("seed "));
    let complaint = complaint.with_context(|| format!("it ended without a seed:\n{text}"))?;
    Ok(complaint.chars().take(70).collect())
}

fn passed(text: &str) -> Option<u64> {
    text.lines().find_map(|line| line.strip_prefix("seeds passed: ")?.trim().parse().ok())
}

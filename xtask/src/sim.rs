//! `cargo xtask sim`: the simulator, and its broken variants that must be found.

use std::process::Command;

use anyhow::{Result, bail};
use wk_peers::cache::workspace_root;

use crate::cargo::{cargo, lines_of};
use crate::report::Report;

/// Seeds of the test command. Fixed, so that a failure is one of the change and not of the day.
const SEEDS: &str = "2000";

/// A search for a fault gives up after so many seeds.
const BROKEN_SEEDS: u64 = 20_000;

/// How the simulator's lines of progress begin.
const PROGRESS: &str = "seeds done: ";

/// In how many lines the simulator tells of the faults that it was to find.
const FAULTS: usize = 10;

/// What to simulate.
#[derive(Debug, clap::Args)]
#[group(skip)]
pub(crate) struct SimArgs {
    /// The seed that a failure printed.
    #[arg(long, conflicts_with_all = ["minutes", "seeds"])]
    seed: Option<u64>,
    /// How long to try seeds.
    #[arg(long, conflicts_with = "seeds")]
    minutes: Option<u64>,
    /// How many seeds to try; a range can be gone through piece by piece.
    #[arg(long)]
    seeds: Option<u64>,
    /// The first seed.
    #[arg(long, default_value_t = 0)]
    from: u64,
    /// Put a fault into the server, or each of them in turn, and say how many seeds it took to
    /// find it from each of `--starts` first seeds.
    #[arg(long, value_name = "NAME|all", conflicts_with_all = ["seed", "minutes", "alerts"])]
    broken: Option<String>,
    /// How many searches to make for a fault.
    #[arg(long, default_value_t = 10, requires = "broken")]
    starts: u64,
    /// Play so many histories of a monitor that crashes instead.
    #[arg(long, conflicts_with_all = ["seed", "minutes", "seeds"])]
    alerts: Option<u64>,
}

/// One seed, a range, as many as the minutes allow; a search for faults put in on purpose; or so
/// many histories of the monitor's crashes.
pub(crate) fn run(report: &mut Report, args: &SimArgs) -> Result<()> {
    if let Some(seeds) = args.alerts {
        return histories(report, seeds);
    }
    if let Some(fault) = &args.broken {
        let seeds = args.seeds.unwrap_or(BROKEN_SEEDS);
        for line in search(report, fault, args.starts, seeds)? {
            let (name, complaint) = line.split_once(": ").unwrap_or((&line, ""));
            if name.starts_with("found ") {
                report.count(name, 1, 0, complaint);
            } else {
                report.fail(name, complaint);
            }
        }
        return Ok(());
    }
    let from = args.from.to_string();
    let number = |n: u64| n.to_string();
    let options = match (args.seed, args.minutes, args.seeds) {
        (Some(seed), ..) => vec!["--seed".to_owned(), number(seed)],
        (_, Some(minutes), _) => {
            vec!["--from".to_owned(), from, "--minutes".to_owned(), number(minutes)]
        }
        (.., Some(seeds)) => vec!["--from".to_owned(), from, "--seeds".to_owned(), number(seeds)],
        _ => {
            bail!("say --seed N, --from N --seeds M, --minutes M, --broken NAME|all or --alerts N")
        }
    };
    let name = format!("simulation {}", options.join(" "));
    report.begin(&name);
    let mut command = cargo(&["run", "--quiet", "--profile", "sim", "-p", "wk-sim", "--"]);
    let (ok, text) = lines_of(command.args(&options), |line| report.progress(line))?;
    let kept = text.lines().filter(|line| !line.starts_with(PROGRESS));
    report.say(&kept.collect::<Vec<_>>().join("\n"));
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
    const NAME: &str = "simulation of broken servers";
    seeds(report);
    let wanted = SEEDS.parse().unwrap_or(BROKEN_SEEDS);
    match search(report, "all", 1, wanted) {
        Ok(lines) => {
            let found = lines.iter().filter(|line| line.starts_with("found ")).count();
            if found == FAULTS && lines.len() == FAULTS {
                report.count(NAME, 10, 0, "each fault found");
            } else {
                report.fail(NAME, &lines.join("\n"));
            }
        }
        Err(err) => report.fail(NAME, &format!("{err:#}")),
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

/// Builds the broken servers in a target folder of their own, and gives a line for each search.
fn search(report: &mut Report, fault: &str, starts: u64, seeds: u64) -> Result<Vec<String>> {
    report.begin(&format!("simulation of {fault}"));
    let target = workspace_root().join("target/sabotage");
    let mut build = cargo(&["build", "--quiet", "-p", "wk-sim"]);
    build.env("RUSTFLAGS", "--cfg wk_sabotage").env("CARGO_TARGET_DIR", &target);
    let (ok, text) = lines_of(&mut build, |line| report.progress(line))?;
    if !ok {
        bail!("the broken servers do not compile:\n{text}");
    }
    let mut simulator = Command::new(target.join("debug/wk-sim"));
    simulator.args(["--broken", fault, "--starts", &starts.to_string()]);
    simulator.args(["--seeds", &seeds.to_string()]);
    let (ok, text) = lines_of(&mut simulator, |line| report.progress(line))?;
    let told = |line: &&str| line.starts_with("found ") || line.starts_with("missed ");
    let lines: Vec<_> = text.lines().filter(told).map(str::to_owned).collect();
    if lines.is_empty() || (!ok && !lines.iter().any(|line| line.starts_with("missed "))) {
        bail!("it ended without a search:\n{text}");
    }
    Ok(lines)
}

fn passed(text: &str) -> Option<u64> {
    text.lines().find_map(|line| line.strip_prefix("seeds passed: ")?.trim().parse().ok())
}

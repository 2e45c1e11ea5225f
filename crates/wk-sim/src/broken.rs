//! Servers that are broken on purpose: how many seeds it takes until a checker complains.
//!
//! Only a build with `--cfg wk_sabotage` has them; `cargo xtask sim --broken all` makes one.

use std::process::ExitCode;

use wk_proto::sabotage::Sabotage;

use crate::{print, run_seed};

/// Starts of a search are so far apart.
const STRIDE: u64 = 1_000_000;

/// Looks for each fault from `starts` different first seeds; all must be found within `seeds_max`.
pub(crate) fn find(name: &str, starts: u64, seeds_max: u64) -> ExitCode {
    if !cfg!(wk_sabotage) {
        print("error: this build has no faults: run `cargo xtask sim --broken NAME|all`");
        return ExitCode::FAILURE;
    }
    let chosen = Sabotage::ALL.iter().filter(|(known, _)| name == "all" || name == *known);
    let chosen: Vec<_> = chosen.collect();
    if chosen.is_empty() {
        let names: Vec<_> = Sabotage::ALL.iter().map(|(known, _)| *known).collect();
        print(&format!("error: no fault is named {name}: all, {}", names.join(", ")));
        return ExitCode::FAILURE;
    }
    // Each complaint is shown once, by us.
    std::panic::set_hook(Box::new(|_| {}));
    let mut blind = false;
    for (known, fault) in chosen {
        choose(Some(*fault));
        let searches: Vec<_> = (0..starts).map(|n| search(n * STRIDE, seeds_max)).collect();
        blind |= searches.iter().any(Option::is_none);
        print(&line(known, &searches, seeds_max));
    }
    choose(None);
    if blind { ExitCode::FAILURE } else { ExitCode::SUCCESS }
}

/// How many seeds from `from` on it takes, and what the checker says then.
fn search(from: u64, seeds_max: u64) -> Option<(u64, String)> {
    (0..seeds_max).find_map(|n| run_seed(from + n, false).err().map(|wrong| (n + 1, wrong)))
}

fn line(name: &str, searches: &[Option<(u64, String)>], seeds_max: u64) -> String {
    let mut seeds: Vec<u64> = searches.iter().flatten().map(|(seeds, _)| *seeds).collect();
    seeds.sort_unstable();
    let missed = searches.len() - seeds.len();
    if missed > 0 {
        return format!("missed {name}: {missed} of {} searches of {seeds_max}", searches.len());
    }
    let (low, high) = (seeds.first().unwrap_or(&0), seeds.last().unwrap_or(&0));
    let median = seeds.get(seeds.len() / 2).unwrap_or(&0);
    let complaint = searches.first().and_then(Option::as_ref).map_or("", |(_, wrong)| wrong);
    let complaint: String = complaint.chars().take(120).collect();
    format!("found {name}: median {median} ({low} to {high}) seeds; {complaint}")
}

#[cfg(wk_sabotage)]
fn choose(fault: Option<Sabotage>) {
    wk_proto::sabotage::choose(fault);
}

#[cfg(not(wk_sabotage))]
fn choose(_: Option<Sabotage>) {}

//! The core as the shell drives it, through thousands of histories full of crashes.

mod simulation;
mod world;

use simulation::{Sabotage, run};

/// Histories of the test command; `cargo xtask sim --alerts N` plays more.
const SEEDS: u64 = 3000;
/// Where that command says how many.
const SEEDS_WANTED: &str = "WATCHKEEPER_ALERT_SEEDS";
/// Histories of each broken driver.
const BROKEN_SEEDS: u64 = 40;

#[test]
fn each_episode_is_told_once_and_none_is_lost() {
    let wanted = std::env::var(SEEDS_WANTED).ok();
    let seeds = wanted.map_or(SEEDS, |seeds| seeds.parse().expect("a number of seeds"));
    for seed in 0..seeds {
        if let Err(wrong) = run(seed, Sabotage::None) {
            panic!("seed {seed}: {wrong}");
        }
    }
}

/// The checks above are worth what they find: each of these drivers breaks one rule.
#[test]
fn the_checks_find_each_broken_driver() {
    let broken = [
        Sabotage::SendBeforeStore,
        Sabotage::AnswerBeforeSend,
        Sabotage::EntriesNotStored,
        Sabotage::KeyPerTry,
        Sabotage::BundlesNotStored,
        Sabotage::HistoryNotStored,
        Sabotage::SilencesNotStored,
    ];
    for sabotage in broken {
        let found = (0..BROKEN_SEEDS).filter(|seed| run(*seed, sabotage).is_err()).count();
        assert!(found > 0, "no seed of {BROKEN_SEEDS} finds {sabotage:?}");
    }
}

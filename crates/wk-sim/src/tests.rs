//! A first look at many seeds; `cargo xtask sim` runs thousands.

use crate::run_seed;
use crate::world::Summary;

/// `WK_SIM_SEEDS` runs more or fewer.
#[test]
fn seeds_pass_and_see_all_kinds_of_trouble() {
    let seeds = std::env::var("WK_SIM_SEEDS").ok().and_then(|n| n.parse().ok()).unwrap_or(200);
    let mut total = Summary::default();
    for seed in 0..seeds {
        match run_seed(seed, false) {
            Ok(summary) => total.add(&summary),
            Err(wrong) => panic!("seed {seed}: {wrong}"),
        }
    }
    assert!(total.power_losses > 0 && total.log_failures > 0, "{total:?}");
    assert!(total.expired > 0 && total.snapshots > 0 && total.replies > 0, "{total:?}");
}

#[test]
fn a_seed_gives_the_same_run_again() {
    let run = |seed| format!("{:?}", run_seed(seed, false));
    assert_eq!(run(3), run(3));
}

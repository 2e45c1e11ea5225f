//! The shipped rules and the guide name only samples that a tap gives.
#![allow(clippy::unwrap_used, reason = "a test reports by a panic with its line")]

use std::collections::BTreeSet;
use std::path::Path;

use wk_proto::quorum::{self, PacketKind};
use wk_rules::Catalogue;
use wk_tap::{Change, Figures, Health, LearnerStats, TapState};

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().parent().unwrap()
}

/// Names of all samples after a stream in which everything happens.
fn names() -> BTreeSet<String> {
    let mut figures = Figures::new(Vec::new());
    let golden = root().join("golden/zookeeper-3.9.5-ensemble/quorum-inform-leader.bin");
    let bytes = std::fs::read(golden).unwrap();
    let mut rest = &bytes[..];
    while let Some(packet) = quorum::split(&mut rest, 1 << 20).unwrap() {
        if packet.kind == PacketKind::Inform {
            let mut change = Change::read(packet.data.unwrap());
            // A counter near its end, which no captured stream has.
            change.op.sequence = change.op.sequence.map(|_| i32::MAX);
            figures.take(&change);
        }
    }
    let (state, stats) = (TapState::Live(String::new()), LearnerStats::default());
    let health = Health { state, position: None, lag: 0, stats, dropped: 0, waiting: 0 };
    let samples = figures.samples(0, &health);
    samples.iter().map(|sample| sample.labels.name().to_owned()).collect()
}

#[test]
fn shipped_rules_and_the_guide_name_only_what_a_tap_gives() {
    let names = names();
    let mut used = BTreeSet::new();
    for rule in Catalogue::shipped().alerts() {
        let words = rule.expr.split(|c: char| !c.is_ascii_alphanumeric() && c != '_');
        let of_tap = words.filter(|word| word.starts_with("watchkeeper_tap_"));
        used.extend(of_tap.map(str::to_owned));
    }
    assert!(used.len() >= 8, "{used:?}");
    for name in &used {
        assert!(names.contains(name), "{name} is none of {names:#?}");
    }
    // What the guide's table lists is what there is: `_suffix` stands for the same prefix.
    let guide = std::fs::read_to_string(root().join("docs/tap.md")).unwrap();
    for name in &names {
        let short = name.trim_start_matches("watchkeeper_tap");
        assert!(guide.contains(name) || guide.contains(short), "{name} is not in the guide");
    }
}

//! The fuzzers' corpus (`fuzz/corpus/TARGET/*`) and small changes of it, through every decoder.
//! `cargo xtask fuzz TARGET` goes further, guided by coverage.
#![allow(clippy::unwrap_used, reason = "a test reports by a panic with its line")]

#[path = "../../../fuzz/decoders.rs"]
mod decoders;

use std::panic::catch_unwind;
use std::path::{Path, PathBuf};

fn fuzz_dir() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz")
}

fn corpus(target: &str) -> Vec<(PathBuf, Vec<u8>)> {
    let dir = fuzz_dir().join("corpus").join(target);
    let entries = std::fs::read_dir(&dir).unwrap_or_else(|err| panic!("{}: {err}", dir.display()));
    let mut files: Vec<_> = entries.map(|entry| entry.unwrap().path()).collect();
    files.sort_unstable();
    assert!(!files.is_empty(), "{}", dir.display());
    files.into_iter().map(|path| (path.clone(), std::fs::read(path).unwrap())).collect()
}

fn try_one(run: fn(&[u8]), bytes: &[u8], what: &str) {
    if catch_unwind(|| run(bytes)).is_err() {
        let hex: String = bytes.iter().map(|b| format!("{b:02x}")).collect();
        panic!("{what} panics for {hex}");
    }
}

#[test]
fn corpus_runs_through_every_decoder() {
    for (target, run) in decoders::TARGETS {
        for (path, bytes) in corpus(target) {
            try_one(*run, &bytes, &path.display().to_string());
        }
    }
}

/// Bytes flipped, lengths made extreme, ends cut off: what random changes find, every time alike.
#[test]
fn corpus_changed_a_little_panics_nowhere() {
    let mut random = 0x9e37_79b9_7f4a_7c15_u64;
    let mut below = |n: usize| {
        random ^= random << 13;
        random ^= random >> 7;
        random ^= random << 17;
        usize::try_from(random >> 11).unwrap() % n.max(1)
    };
    for (target, run) in decoders::TARGETS {
        for (path, bytes) in corpus(target) {
            for _ in 0..60 {
                let mut changed = bytes.clone();
                for _ in 0..=below(3) {
                    let at = below(changed.len());
                    match below(4) {
                        0 => changed.truncate(at),
                        1 => changed[at..].iter_mut().take(4).for_each(|b| *b = 0xff),
                        2 => changed[at..].iter_mut().take(4).for_each(|b| *b = 0),
                        _ => changed[at..].iter_mut().take(1).for_each(|b| *b ^= 1 << (at % 8)),
                    }
                }
                try_one(*run, &changed, &format!("a change of {}", path.display()));
            }
        }
    }
}

#[test]
fn corpus_and_targets_are_the_same_set() {
    let sources = std::fs::read_dir(fuzz_dir().join("fuzz_targets")).unwrap();
    let mut sources: Vec<String> = sources
        .map(|entry| entry.unwrap().path().file_stem().unwrap().to_str().unwrap().to_owned())
        .collect();
    sources.sort_unstable();
    let mut targets: Vec<&str> = decoders::TARGETS.iter().map(|(name, _)| *name).collect();
    // Their corpus is run by the tests of wk-promql, wk-probe and wk-node.
    targets.extend(["expression", "page", "sasl"]);
    targets.sort_unstable();
    assert_eq!(sources, targets);
}

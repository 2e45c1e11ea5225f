//! The fuzzer's corpus of logins (`fuzz/corpus/sasl/*`) and small changes of it.
//! `cargo xtask fuzz sasl` goes further, guided by coverage.
#![allow(clippy::unwrap_used, reason = "a test reports by a panic with its line")]

#[path = "../../../fuzz/logins.rs"]
mod logins;

use std::path::Path;

#[test]
fn nobody_gets_in_and_nothing_panics() {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz/corpus/sasl");
    let mut seen = 0;
    for entry in std::fs::read_dir(dir).unwrap() {
        let bytes = std::fs::read(entry.unwrap().path()).unwrap();
        logins::sasl(&bytes);
        for at in 0..bytes.len() {
            logins::sasl(&bytes[..at]);
            logins::sasl(&bytes[at..]);
            for flip in [0x01, 0x04, 0x80] {
                let mut changed = bytes.clone();
                changed[at] ^= flip;
                logins::sasl(&changed);
            }
            seen += 1;
        }
    }
    assert!(seen > 300, "the corpus is gone");
}

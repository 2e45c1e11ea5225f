//! The fuzzer's corpus of pages (`fuzz/corpus/page/*`), the captured pages, and small changes of
//! them. `cargo xtask fuzz page` goes further, guided by coverage.
#![allow(clippy::unwrap_used, reason = "a test reports by a panic with its line")]

#[path = "../../../fuzz/pages.rs"]
mod pages;

use std::path::Path;

#[test]
fn corpus_and_small_changes_of_it_are_read_without_a_panic() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let mut files = 0;
    for dir in ["fuzz/corpus/page", "golden/pages"] {
        for entry in std::fs::read_dir(root.join(dir)).unwrap() {
            let bytes = std::fs::read(entry.unwrap().path()).unwrap();
            files += 1;
            pages::page(&bytes);
            let head = &bytes[..bytes.len().min(400)];
            for at in (0..head.len()).step_by(7) {
                pages::page(&head[..at]);
                for byte in [0, b'"', b'{', b'\n', 0xff] {
                    let mut changed = head.to_vec();
                    changed[at] = byte;
                    pages::page(&changed);
                }
            }
        }
    }
    assert!(files > 20, "{files} files");
}

//! The fuzzer's corpus of expressions (`fuzz/corpus/expression/*`) and small changes of them.
//! `cargo xtask fuzz expression` goes further, guided by coverage.
#![allow(clippy::unwrap_used, reason = "a test reports by a panic with its line")]

#[path = "../../../fuzz/expressions.rs"]
mod expressions;

use std::path::Path;

#[test]
fn corpus_and_small_changes_of_it_are_evaluated_without_a_panic() {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz/corpus/expression");
    let mut files = 0;
    for entry in std::fs::read_dir(dir).unwrap() {
        let bytes = std::fs::read(entry.unwrap().path()).unwrap();
        files += 1;
        expressions::expression(&bytes);
        for at in (0..bytes.len()).step_by(2) {
            expressions::expression(&bytes[..at]);
            let without = [&bytes[..at], &bytes[at + 1..]].concat();
            expressions::expression(&without);
            for byte in *b"0(y" {
                let mut changed = bytes.clone();
                changed[at] = byte;
                expressions::expression(&changed);
            }
        }
    }
    assert!(files > 10, "{files} files");
}

#[test]
fn the_deepest_and_longest_expressions_fit_the_stack() {
    let nested = format!("{}a{}", "-(".repeat(31), ")".repeat(31));
    let chain = ["a"; 512].join(" + ");
    let calls = format!("{}a{}", "abs(".repeat(60), ")".repeat(60));
    let subqueries = format!("{}a{}", "max_over_time((".repeat(15), ")[1m:1s])".repeat(15));
    for text in [nested, chain, calls, subqueries] {
        expressions::expression(text.as_bytes());
        assert!(wk_promql::Expr::parse(&text).is_ok(), "{text}");
    }
}

#[test]
fn labels_that_grow_without_end_are_stopped() {
    let mut text = "a".to_owned();
    for _ in 0..10 {
        text = format!("label_replace({text}, \"x\", \"{}\", \"x\", \"(.*)\")", "${1}y".repeat(20));
    }
    expressions::expression(text.as_bytes());
    let expr = wk_promql::Expr::parse(&text).unwrap();
    let mut window = wk_promql::Window::new(wk_promql::WindowPolicy::default());
    let labels = wk_promql::Labels::metric("a", []);
    window.append(&wk_promql::Sample { labels, at: 0, value: 1.0 }).unwrap();
    let err = expr.instant(&window, 0, &wk_promql::Options::default()).unwrap_err();
    assert!(err.to_string().contains("at most 4096"), "{err}");
}

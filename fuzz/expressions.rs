//! What is done with a fuzzer's text: parsed, and if it is an expression, evaluated.
//!
//! Included by the target and by the test that runs the corpus (`crates/wk-promql/tests/corpus.rs`).
//! Nothing here may panic or run for long, whatever the text.

use wk_promql::{
    Expr, Features, Labels, NameRemoval, Options, STALE, Sample, Window, WindowPolicy,
};

/// Parses the bytes and evaluates what they say at ordinary and at absurd instants.
pub(crate) fn expression(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    let stable = Expr::parse(text);
    let Ok(expr) = Expr::parse_with(text, Features::Experimental) else {
        assert!(stable.is_err(), "stable, but not with more features: {text}");
        return;
    };
    let window = window();
    let _ = expr.metrics(300_000);
    for name_removal in [NameRemoval::AtOnce, NameRemoval::Delayed] {
        let options = Options {
            name_removal,
            samples_max: 20_000,
            series_max: 20,
            steps_max: 200,
            ..Options::default()
        };
        for at in [0, 60_000, 100_000, i64::MIN, i64::MAX] {
            let once = expr.instant(&window, at, &options);
            let again = expr.instant(&window, at, &options);
            // NaN is not equal to itself: compare what is shown.
            assert_eq!(format!("{once:?}"), format!("{again:?}"), "{text} at {at}");
        }
        let _ = expr.range(&window, 0, 120_000, 7_000, &options);
        let _ = expr.range(&window, i64::MIN, i64::MAX, i64::MAX, &options);
    }
}

/// Some series: whole numbers, a stale end, not numbers, times at the ends of time, a histogram.
fn window() -> Window {
    let mut window = Window::new(WindowPolicy::default());
    let mut add = |labels: &Labels, at: i64, value: f64| {
        let _ = window.append(&Sample { labels: labels.clone(), at, value });
    };
    for node in ["1", "2"] {
        let labels = Labels::metric("a", [("node", node), ("group", "g")]);
        for n in 0..20_u32 {
            add(&labels, i64::from(n) * 5_000, f64::from(n % 7));
        }
        add(&labels, 100_000, STALE);
    }
    let odd = Labels::metric("b_total", [("node", "1")]);
    for (n, value) in (0..).zip([f64::NAN, f64::INFINITY, -0.0, f64::MAX, f64::NEG_INFINITY]) {
        add(&odd, 50_000 + n * 1000, value);
    }
    let ends = Labels::metric("c", [("x", "é")]);
    for at in [i64::MIN, -1, 0, i64::MAX] {
        add(&ends, at, 1.0);
    }
    for (le, value) in [("1", 3.0), ("2", 2.0), ("+Inf", 5.0), ("what", 1.0)] {
        add(&Labels::metric("h_bucket", [("le", le)]), 60_000, value);
    }
    window
}

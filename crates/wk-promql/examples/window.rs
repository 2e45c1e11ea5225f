//! What a sample costs and how long a rule over ten thousand nodes takes: the figures of
//! docs/promql.md. `cargo run --release -p wk-promql --example window`.
#![expect(clippy::print_stdout, reason = "an example that reports")]
#![expect(clippy::disallowed_methods, reason = "it measures; the library has no clock")]

use std::time::Instant;

use wk_promql::{Expr, Labels, Options, Sample, Value, Window, WindowPolicy};

/// A step of a deterministic generator of noise.
fn noise(state: &mut u64) -> u64 {
    *state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
    *state >> 33
}

/// A kind of series: what its n-th value is.
type Values = fn(i64, f64, &mut u64) -> f64;

fn memory(name: &str, jitter: u64, values: Values) {
    const SERIES: usize = 100;
    const SAMPLES: i64 = 4800;
    let policy = WindowPolicy { retention_default_ms: i64::MAX, ..WindowPolicy::default() };
    let mut window = Window::new(policy);
    let mut state = 1;
    for series in 0..SERIES {
        let labels = Labels::metric("m", [("node", format!("{series}").as_str())]);
        let mut value = 0.0;
        for n in 0..SAMPLES {
            let late = i64::try_from(noise(&mut state) % jitter).unwrap_or(0);
            value = values(n, value, &mut state);
            let sample = Sample { labels: labels.clone(), at: n * 1000 + late, value };
            if let Err(err) = window.append(&sample) {
                println!("{err}");
            }
        }
    }
    let bytes = window.bytes() * 100 / window.samples();
    println!(
        "{name}: {}.{:02} bytes a sample, labels and chunks included",
        bytes / 100,
        bytes % 100
    );
}

fn nodes() -> Window {
    let mut window = Window::new(WindowPolicy::default());
    let labels: Vec<Labels> = (0..10_000)
        .map(|n| {
            let (node, group) = (format!("node-{n:05}"), format!("group-{}", n % 20));
            Labels::metric(
                "watchkeeper_node_alive",
                [("ensemble", "prod"), ("group", group.as_str()), ("node", node.as_str())],
            )
        })
        .collect();
    let began = Instant::now();
    for second in 0..300 {
        for labels in &labels {
            let sample = Sample { labels: labels.clone(), at: second * 1000, value: 1.0 };
            if let Err(err) = window.append(&sample) {
                println!("{err}");
            }
        }
    }
    let each = began.elapsed() / 300;
    let (series, bytes) = (window.series(), window.bytes());
    println!("{series} constant series of 300 samples: {bytes} bytes; {each:?} a tick to append");
    window
}

fn main() {
    memory("constant on a grid", 1, |_, _, _| 1.0);
    memory("constant, times within 5 ms", 5, |_, _, _| 1.0);
    memory("counter of small steps, within 5 ms", 5, |_, last, state| {
        last + f64::from(u32::try_from(noise(state) % 10).unwrap_or(0))
    });
    memory("whole numbers below 1000, within 5 ms", 5, |_, _, state| {
        f64::from(u32::try_from(noise(state) % 1000).unwrap_or(0))
    });
    memory("any float, within 5 ms", 5, |n, _, _| f64::from(u32::try_from(n).unwrap_or(0)).sin());
    let window = nodes();
    for text in [
        "watchkeeper_node_alive == 0",
        "sum by (group) (watchkeeper_node_alive)",
        "changes(watchkeeper_node_alive[5m]) > 3",
        "watchkeeper_node_alive{node=\"node-00042\"}",
    ] {
        let Ok(expr) = Expr::parse(text) else { continue };
        let began = Instant::now();
        let value = expr.instant(&window, 299_000, &Options::default());
        let took = began.elapsed();
        let count = match value {
            Ok(Value::Vector(vector)) => vector.len().to_string(),
            other => format!("{other:?}"),
        };
        println!("{text}: {took:?}, {count} series");
    }
}

//! The figures as a table, or as JSON lines.

use std::time::Duration;

use super::target::Outcome;

/// Outcomes of a workload: per server, per round.
type Row = (String, Vec<Vec<Outcome>>);

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

struct Medians {
    per_second: f64,
    p50: Duration,
    p99: Duration,
    cpu: Duration,
    resident_kib: f64,
}

fn medians(outcomes: &[Outcome]) -> Medians {
    let of = |f: &dyn Fn(&Outcome) -> f64| median(outcomes.iter().map(f).collect());
    Medians {
        per_second: of(&|o| o.load.per_second),
        p50: Duration::from_secs_f64(of(&|o| o.load.p50.as_secs_f64())),
        p99: Duration::from_secs_f64(of(&|o| o.load.p99.as_secs_f64())),
        cpu: Duration::from_secs_f64(of(&|o| o.cpu.as_secs_f64())),
        resident_kib: of(&|o| o.resident_kib as f64),
    }
}

/// Prints throughput with ratios, then latency, CPU and memory.
pub(super) fn print(names: &[&str], rows: &[Row]) {
    println!("\nmedian operations a second (ours as a multiple of each other server)");
    for (name, outcomes) in rows {
        let all: Vec<_> = outcomes.iter().map(|o| medians(o)).collect();
        print!("{name:<14}");
        for (server, m) in names.iter().zip(&all) {
            print!("  {server} {:>9.0}", m.per_second);
        }
        for (server, m) in names.iter().zip(&all).skip(1) {
            print!("  / {server} {:.2}", all[0].per_second / m.per_second);
        }
        println!();
    }
    println!(
        "\nmedian p50 / p99 latency, server CPU per operation, resident memory after the round"
    );
    for (name, outcomes) in rows {
        print!("{name:<14}");
        for (server, outcomes) in names.iter().zip(outcomes) {
            let m = medians(outcomes);
            let (p50, p99, cpu) = (micros(m.p50), micros(m.p99), m.cpu.as_secs_f64() * 1e6);
            let mib = m.resident_kib / 1024.0;
            print!("  {server} {p50:.0}/{p99:.0} us {cpu:.1} us {mib:.0} MiB");
        }
        println!();
    }
}

/// One line per workload and server.
pub(super) fn print_json(names: &[&str], rows: &[Row]) {
    for (name, outcomes) in rows {
        for (server, outcomes) in names.iter().zip(outcomes) {
            let m = medians(outcomes);
            let line = serde_json::json!({
                "workload": name,
                "server": server,
                "per_second": m.per_second,
                "p50_us": micros(m.p50),
                "p99_us": micros(m.p99),
                "cpu_us": m.cpu.as_secs_f64() * 1e6,
                "resident_kib": m.resident_kib,
                "rounds": outcomes.len(),
            });
            println!("{line}");
        }
    }
}

fn micros(d: Duration) -> f64 {
    d.as_secs_f64() * 1e6
}

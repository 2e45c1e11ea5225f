//! The figures, as lines or as JSON.

use std::collections::BTreeMap;
use std::time::Duration;

use super::MonitorBenchArgs;

/// One answer of the monitor's pages.
#[derive(Clone, Debug)]
pub(super) struct Shown {
    pub(super) path: String,
    pub(super) bytes: usize,
    pub(super) took: Duration,
}

/// What was measured.
#[derive(Clone, Debug, Default)]
pub(super) struct Figures {
    /// From the monitor's start until it saw everything.
    pub(super) start: Duration,
    /// KiB, each second of the quiet time and once at the end.
    pub(super) resident: Vec<u64>,
    /// Share of a core.
    pub(super) quiet_cpu: f64,
    pub(super) busy_cpu: f64,
    /// Beginnings told while nothing happened.
    pub(super) quiet_alarms: usize,
    pub(super) node_latencies: Vec<Duration>,
    pub(super) server_latencies: Vec<Duration>,
    pub(super) pages: Vec<Shown>,
    /// What the monitor says of itself.
    pub(super) own: BTreeMap<String, f64>,
    /// Rules that fired though nothing was done to what they judge.
    pub(super) others: BTreeMap<String, usize>,
}

impl Figures {
    fn resident_max(&self) -> u64 {
        self.resident.iter().copied().max().unwrap_or_default()
    }
}

/// Median and longest, in seconds.
fn spread(latencies: &[Duration]) -> (f64, f64) {
    let mut sorted: Vec<f64> = latencies.iter().map(Duration::as_secs_f64).collect();
    sorted.sort_by(f64::total_cmp);
    let at = |at: usize| sorted.get(at).copied().unwrap_or_default();
    (at(sorted.len() / 2), at(sorted.len().saturating_sub(1)))
}

pub(super) fn print(args: &MonitorBenchArgs, figures: &Figures) {
    let (servers, nodes) = (args.ensembles * args.servers, args.nodes);
    println!("{servers} servers in {} ensembles, {nodes} nodes, one core", args.ensembles);
    println!("start to whole picture   {:.1} s", figures.start.as_secs_f64());
    println!("resident, most           {:.1} MiB", figures.resident_max() as f64 / 1024.0);
    println!("CPU, quiet               {:.1} % of a core", figures.quiet_cpu * 100.0);
    println!("CPU, while things die    {:.1} % of a core", figures.busy_cpu * 100.0);
    println!("told while quiet         {}", figures.quiet_alarms);
    for (what, latencies) in
        [("node", &figures.node_latencies), ("server", &figures.server_latencies)]
    {
        let ((median, max), count) = (spread(latencies), latencies.len());
        println!(
            "{:<25}median {median:.2} s, max {max:.2} s of {count}",
            format!("{what}'s end to webhook")
        );
    }
    for Shown { path, bytes, took } in &figures.pages {
        println!("{path:<25}{bytes} bytes in {:.0} ms", took.as_secs_f64() * 1000.0);
    }
    for (name, value) in &figures.own {
        println!("{name} {value}");
    }
    for (rule, count) in &figures.others {
        println!("told beside that         {rule} {count}");
    }
}

pub(super) fn print_json(args: &MonitorBenchArgs, figures: &Figures) {
    let latency = |latencies: &[Duration]| {
        let (median, max) = spread(latencies);
        serde_json::json!({ "median_s": median, "max_s": max, "count": latencies.len() })
    };
    let page = |shown: &Shown| {
        let took_ms = shown.took.as_secs_f64() * 1000.0;
        serde_json::json!({ "path": shown.path, "bytes": shown.bytes, "took_ms": took_ms })
    };
    let pages: Vec<_> = figures.pages.iter().map(page).collect();
    let object = serde_json::json!({
        "servers": args.ensembles * args.servers,
        "ensembles": args.ensembles,
        "nodes": args.nodes,
        "together": args.together,
        "start_s": figures.start.as_secs_f64(),
        "resident_kib_max": figures.resident_max(),
        "quiet_cpu": figures.quiet_cpu,
        "busy_cpu": figures.busy_cpu,
        "quiet_alarms": figures.quiet_alarms,
        "node": latency(&figures.node_latencies),
        "server": latency(&figures.server_latencies),
        "pages": pages,
        "own": figures.own,
        "others": figures.others,
    });
    println!("{object}");
}

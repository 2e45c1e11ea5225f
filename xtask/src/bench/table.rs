//! The figures as Markdown, for the terminal and for docs/performance.md.

use std::fmt::Write as _;
use std::fs;

use anyhow::{Context, Result};
use wk_peers::cache::workspace_root;

use super::Part;
use super::plot::{Bars, Group};
use super::record::Figures;
use super::target::Kind;

const OURS: &str = "watchkeeper";
const APACHE: &str = "apache 3.9.5";
const LIMIT: &str = "limit";
/// Between these lines docs/performance.md is ours to write.
const BEGIN: &str = "<!-- figures: cargo xtask bench --render -->";
const END: &str = "<!-- figures end -->";

/// A figure of a part, as a row.
struct Line {
    what: &'static str,
    figure: &'static str,
    /// How a value is written: its unit and what one of it is.
    unit: (&'static str, f64),
}

/// The table of a part.
pub(super) fn part(figures: &Figures, part: Part) -> String {
    let loads = figures.loads(part.name());
    if loads.is_empty() {
        return String::new();
    }
    if part == Part::Throughput { throughput(figures) } else { beside(figures, part) }
}

fn throughput(figures: &Figures) -> String {
    let mut text = String::from(
        "\n| load | ours /s | Apache /s | limit /s | ours / Apache | ours / limit | p50, p99 ours \
         (us) | p50, p99 Apache (us) | CPU per operation: ours, Apache, limit (us) |\n\
         |---|---|---|---|---|---|---|---|---|\n",
    );
    for load in figures.loads("throughput") {
        let get = |server, figure| figures.get("throughput", load, server, figure);
        let of = |figure| [OURS, APACHE, LIMIT].map(|server| get(server, figure));
        let [ours, apache, limit] = of("per_second");
        let [p50, apache_p50, _] = of("p50_us");
        let [p99, apache_p99, _] = of("p99_us");
        let cpu = of("cpu_us").map(|value| shown(value, 1));
        let _ = writeln!(
            text,
            "| {load} | {} | {} | {} | {} | {} | {}, {} | {}, {} | {} |",
            shown(ours, 0),
            shown(apache, 0),
            shown(limit, 0),
            ratio(ours, apache),
            ratio(ours, limit),
            shown(p50, 0),
            shown(p99, 0),
            shown(apache_p50, 0),
            shown(apache_p99, 0),
            cpu.join(", "),
        );
    }
    text
}

fn lines(part: Part) -> &'static [Line] {
    const US: (&str, f64) = ("us", 1.0);
    const MS: (&str, f64) = ("ms", 1.0);
    const MIB: (&str, f64) = ("MiB", 1024.0);
    const BYTES: (&str, f64) = ("B", 1.0);
    match part {
        Part::Throughput => &[],
        Part::Open => &[
            Line { what: "set, p50", figure: "set_p50_us", unit: US },
            Line { what: "set, p99", figure: "set_p99_us", unit: US },
            Line { what: "set, p99.9", figure: "set_p999_us", unit: US },
            Line { what: "get, p50", figure: "get_p50_us", unit: US },
            Line { what: "get, p99", figure: "get_p99_us", unit: US },
            Line { what: "get, p99.9", figure: "get_p999_us", unit: US },
        ],
        Part::Memory => &[
            Line { what: "resident, empty", figure: "empty_kib", unit: MIB },
            Line { what: "a session", figure: "session_bytes", unit: BYTES },
        ],
        Part::Watches => {
            &[Line { what: "set to last event", figure: "last_us", unit: ("ms", 1000.0) }]
        }
        Part::Start => &[Line { what: "start to first session", figure: "start_ms", unit: MS }],
        Part::Million | Part::TenMillion => &[
            Line { what: "loaded a second", figure: "znodes_per_second", unit: ("znodes", 1.0) },
            Line { what: "a znode", figure: "znode_bytes", unit: BYTES },
            Line { what: "start from the log", figure: "start_from_log_ms", unit: MS },
            Line { what: "start from a snapshot", figure: "start_ms", unit: MS },
            Line { what: "resident after a start", figure: "resident_kib", unit: MIB },
            Line { what: "set, p99.9", figure: "calm_set_p999_us", unit: US },
            Line { what: "with a snapshot", figure: "snapshot_set_p999_us", unit: US },
            Line { what: "get, p99.9", figure: "calm_get_p999_us", unit: US },
            Line { what: "with a snapshot", figure: "snapshot_get_p999_us", unit: US },
            Line { what: "resident, most", figure: "calm_peak_kib", unit: MIB },
            Line { what: "with a snapshot", figure: "snapshot_peak_kib", unit: MIB },
        ],
    }
}

fn beside(figures: &Figures, part: Part) -> String {
    let mut text = String::new();
    for load in figures.loads(part.name()) {
        let _ = writeln!(
            text,
            "\n| {load} | ours | Apache | limit | ours / Apache | ours / limit |\n\
             |---|---|---|---|---|---|"
        );
        for Line { what, figure, unit: (unit, one) } in lines(part) {
            let of = |server| figures.get(part.name(), load, server, figure).map(|v| v / one);
            let [ours, apache, limit] = [OURS, APACHE, LIMIT].map(of);
            if ours.is_none() && apache.is_none() {
                continue;
            }
            let _ = writeln!(
                text,
                "| {what} ({unit}) | {} | {} | {} | {} | {} |",
                shown(ours, digits(ours)),
                shown(apache, digits(apache)),
                shown(limit, digits(limit)),
                ratio(ours, apache),
                ratio(ours, limit),
            );
        }
    }
    text
}

fn digits(value: Option<f64>) -> usize {
    usize::from(value.is_some_and(|value| value < 100.0))
}

fn shown(value: Option<f64>, digits: usize) -> String {
    value.map_or_else(|| "-".to_owned(), |value| format!("{value:.digits$}"))
}

fn ratio(a: Option<f64>, b: Option<f64>) -> String {
    shown(a.zip(b).map(|(a, b)| a / b), 2)
}

/// Writes the tables into docs/performance.md and the plots beside it.
pub(super) fn render(figures: &Figures) -> Result<()> {
    use clap::ValueEnum as _;
    let docs = workspace_root().join("docs");
    let page = docs.join("performance.md");
    let text = fs::read_to_string(&page).context("read docs/performance.md")?;
    let (head, rest) = text.split_once(BEGIN).with_context(|| format!("no line {BEGIN}"))?;
    let (_, tail) = rest.split_once(END).with_context(|| format!("no line {END}"))?;
    let mut ours = String::new();
    for (name, title, svg) in plots(figures) {
        fs::create_dir_all(docs.join("img")).context("make docs/img")?;
        fs::write(docs.join("img").join(format!("{name}.svg")), svg).context("write a plot")?;
        let _ = writeln!(ours, "\n![{title}](img/{name}.svg)");
    }
    for part in Part::value_variants() {
        ours.push_str(&self::part(figures, *part));
    }
    let disk = figures.get("machine", "disk", "", "fdatasyncs_per_second");
    let disk = format!("\nfdatasync of 512 B: {} a second.\n", shown(disk, 0));
    fs::write(&page, format!("{head}{BEGIN}\n{disk}{ours}\n{END}{tail}"))
        .context("write docs/performance.md")
}

/// Name, title and picture of each plot for which there are figures.
fn plots(figures: &Figures) -> Vec<(&'static str, &'static str, String)> {
    let servers = [OURS, APACHE, LIMIT];
    let groups = |part: &str, figure: &str, one: f64| -> Vec<Group> {
        let of = |load: &str| Group {
            name: load.to_owned(),
            values: servers.map(|server| figures.get(part, load, server, figure).map(|v| v / one)),
        };
        figures.loads(part).into_iter().map(of).collect()
    };
    let mut plots = Vec::new();
    let mut add = |name, title, unit, groups: Vec<Group>| {
        if groups.iter().any(|group| group.values.iter().any(Option::is_some)) {
            let bars = Bars { title, unit, servers: servers.map(label), groups };
            plots.push((name, title, bars.svg()));
        }
    };
    add("throughput", "Throughput", "operations a second", groups("throughput", "per_second", 1.0));
    add("p99", "Latency, closed loop, p99", "us", groups("throughput", "p99_us", 1.0));
    let named = |part: Part, only: &[&str]| -> Vec<Group> {
        let name = part.name();
        let rows = lines(part).iter().filter(|line| only.is_empty() || only.contains(&line.figure));
        let of = |line: &Line| {
            let loads = figures.loads(name);
            let load = loads.first().copied().unwrap_or_default();
            let get =
                |server| figures.get(name, load, server, line.figure).map(|v| v / line.unit.1);
            Group { name: line.what.to_owned(), values: servers.map(get) }
        };
        rows.map(of).collect()
    };
    add("open", "Latency at 1000 set/s and 5000 get/s", "us", named(Part::Open, &[]));
    let memory = [named(Part::Memory, &["session_bytes"]), named(Part::Million, &["znode_bytes"])];
    add("memory", "Memory", "bytes each", memory.concat());
    plots
}

fn label(server: &'static str) -> &'static str {
    if server == Kind::Limit.name() { "limit server" } else { server }
}

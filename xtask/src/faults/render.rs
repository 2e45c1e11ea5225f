//! The table of docs/faults.md, made from the lines of the trials.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;
use std::path::Path;

use anyhow::{Context, Result};
use serde_json::Value;
use wk_peers::cache::workspace_root;

use super::kinds::{self, Kind};
use super::record;

/// From so many trials on the 99th of a hundred says more than the last.
const P99_RUNS_MIN: usize = 100;

/// What a run says in the terminal.
pub(super) fn one_line(line: &Value) -> String {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let kind = format!("{} #{}", text(&line["kind"]), line["run"].as_u64().unwrap_or(0) + 1);
    let mut said = match line["outcome"].as_str() {
        Some("detected") if line["right"].is_null() => {
            format!("{kind}: nothing told, as it should")
        }
        Some("detected") => format!("{kind}: {}", told(&line["right"])),
        Some("failed") => return format!("{kind}: FAILED: {}", text(&line["why"])),
        _ => format!("{kind}: MISSED"),
    };
    if line["located"] == false {
        said += ", member not named";
    }
    for (name, label) in [("also", "also"), ("false", "FALSE")] {
        let all: Vec<String> = line[name].as_array().into_iter().flatten().map(told).collect();
        if !all.is_empty() {
            let _ = write!(said, "; {label}: {}", all.join(", "));
        }
    }
    if let Some(broken) = line["broken"].as_str() {
        let _ = write!(said, "; {broken}");
    }
    said
}

fn told(one: &Value) -> String {
    let text = |name: &str| one[name].as_str().unwrap_or_default().to_owned();
    let seconds = one["after_ms"].as_f64().unwrap_or_default() / 1000.0;
    format!("{}({}) {seconds:.2} s", text("rule"), text("about"))
}

/// Figures of one kind.
struct Row {
    kind: Kind,
    finished: usize,
    detected: usize,
    /// Milliseconds of the right notifications, ascending.
    times: Vec<f64>,
    located: (usize, usize),
    also: BTreeMap<String, usize>,
    wrong: BTreeMap<String, usize>,
    builds: BTreeMap<String, usize>,
    /// How busy the machine was, by trial.
    loads: Vec<f64>,
}

fn rows(out: &Path) -> Result<Vec<Row>> {
    let lines = record::read(&record::file(out))?;
    let mut rows = Vec::new();
    for kind in kinds::all() {
        let name = kind.name;
        let of_kind = lines.iter().filter(|l| l["kind"] == name && l["outcome"] != "failed");
        let mut row = Row {
            kind,
            finished: 0,
            detected: 0,
            times: Vec::new(),
            located: (0, 0),
            also: BTreeMap::new(),
            wrong: BTreeMap::new(),
            builds: BTreeMap::new(),
            loads: Vec::new(),
        };
        for line in of_kind {
            row.add(line);
        }
        row.times.sort_by(f64::total_cmp);
        if row.finished > 0 {
            rows.push(row);
        }
    }
    Ok(rows)
}

impl Row {
    fn add(&mut self, line: &Value) {
        self.finished += 1;
        self.detected += usize::from(line["outcome"] == "detected");
        self.times.extend(line["right"]["after_ms"].as_f64());
        if let Some(located) = line["located"].as_bool() {
            self.located.0 += usize::from(located);
            self.located.1 += 1;
        }
        for (name, counts) in [("also", &mut self.also), ("false", &mut self.wrong)] {
            for one in line[name].as_array().into_iter().flatten() {
                let rule = one["rule"].as_str().unwrap_or_default().to_owned();
                *counts.entry(rule).or_default() += 1;
            }
        }
        let text = |name: &str| line[name].as_str().unwrap_or_default();
        let build = format!("{} at {}", text("build"), text("commit"));
        *self.builds.entry(build).or_default() += 1;
        self.loads.extend(line["load"].as_f64());
    }

    /// The 99th percentile of a hundred and more, else the longest.
    fn tail(&self) -> Option<f64> {
        let last = self.times.len().checked_sub(1)?;
        let place = if self.times.len() >= P99_RUNS_MIN { last * 99 / 100 } else { last };
        Some(self.times[place])
    }

    fn cells(&self) -> [String; 10] {
        let seconds = |millis: Option<f64>| {
            millis.map_or_else(|| "-".to_owned(), |millis| format!("{:.1} s", millis / 1000.0))
        };
        let median = self.times.get(self.times.len() / 2).copied();
        let tail_name = if self.times.len() >= P99_RUNS_MIN { "p99" } else { "max" };
        let tail = match self.tail() {
            Some(tail) => format!("{tail_name} {}", seconds(Some(tail))),
            None => "-".to_owned(),
        };
        let goal = match self.kind.goal {
            None => "-".to_owned(),
            Some(goal) => {
                let kept = self.detected == self.finished
                    && self.tail().is_some_and(|tail| tail <= goal.as_secs_f64() * 1000.0);
                format!("{} s, {}", goal.as_secs(), if kept { "kept" } else { "**missed**" })
            }
        };
        let (named, of) = self.located;
        [
            self.kind.name.to_owned(),
            self.kind.title.to_owned(),
            if self.kind.expects.is_empty() { "nothing" } else { "" }.to_owned()
                + &self.kind.expects.join(" or "),
            format!("{} of {}", self.detected, self.finished),
            seconds(median),
            tail,
            goal,
            if of == 0 { "-".to_owned() } else { format!("{named} of {of}") },
            counted(&self.also),
            counted(&self.wrong),
        ]
    }
}

fn counted(rules: &BTreeMap<String, usize>) -> String {
    if rules.is_empty() {
        return "-".to_owned();
    }
    let one = |(rule, count): (&String, &usize)| format!("{rule} {count}");
    rules.iter().map(one).collect::<Vec<_>>().join(", ")
}

fn table(rows: &[Row]) -> String {
    let mut text =
        "| kind | what is done | right rule | told | median | longest | goal | member named \
                    | also told | false |\n|---|---|---|---|---|---|---|---|---|---|\n"
            .to_owned();
    let mut builds = BTreeMap::new();
    for row in rows {
        let _ = writeln!(text, "| {} |", row.cells().join(" | "));
        for (build, count) in &row.builds {
            *builds.entry(build).or_insert(0_usize) += count;
        }
    }
    let builds: Vec<String> =
        builds.iter().map(|(build, count)| format!("{count} of a {build}")).collect();
    let _ = write!(text, "\nTrials: {}{}.\n", builds.join(", "), busy(rows));
    text
}

/// How busy the machine was.
fn busy(rows: &[Row]) -> String {
    let mut loads: Vec<f64> = rows.iter().flat_map(|row| &row.loads).copied().collect();
    loads.sort_by(f64::total_cmp);
    let (Some(least), Some(most)) = (loads.first(), loads.last()) else { return String::new() };
    let processors = std::thread::available_parallelism().map_or(1, usize::from);
    let median = loads[loads.len() / 2];
    format!("; load {least:.1} to {most:.1} (median {median:.1}) on {processors} processors")
}

fn calm_table(out: &Path) -> Result<String> {
    let mut text = "| kind | watched | notifications |\n|---|---|---|\n".to_owned();
    for line in record::read(&out.join("calm.jsonl"))? {
        let told: Vec<String> = line["told"].as_array().into_iter().flatten().map(told).collect();
        let told = if told.is_empty() { "none".to_owned() } else { told.join(", ") };
        let minutes = line["seconds"].as_f64().unwrap_or_default() / 60.0;
        let kind = line["kind"].as_str().unwrap_or_default();
        let _ = writeln!(text, "| {kind} | {minutes:.0} min | {told} |");
    }
    Ok(text)
}

/// Prints a short form of the table.
pub(super) fn print(out: &Path) -> Result<()> {
    println!();
    for row in rows(out)? {
        let [name, _, _, told, median, tail, goal, named, _, wrong] = row.cells();
        println!(
            "{name:<18} told {told:<11} median {median:<7} {tail:<11} goal {goal:<16} \
             named {named:<9} false {wrong}"
        );
    }
    Ok(())
}

/// Writes both tables into docs/faults.md.
pub(super) fn write(out: &Path) -> Result<()> {
    let path = workspace_root().join("docs/faults.md");
    let mut text = fs::read_to_string(&path).with_context(|| format!("read {}", path.display()))?;
    for (name, table) in [("faults", table(&rows(out)?)), ("calm", calm_table(out)?)] {
        text = replaced(&text, name, &table)?;
    }
    fs::write(&path, text).with_context(|| format!("write {}", path.display()))
}

/// Puts `table` between the comments `NAME: begin` and `NAME: end`.
fn replaced(text: &str, name: &str, table: &str) -> Result<String> {
    let (begin, end) = (format!("<!-- {name}: begin -->\n"), format!("<!-- {name}: end -->"));
    let (before, rest) =
        text.split_once(&begin).with_context(|| format!("no line {}", begin.trim()))?;
    let (_, after) = rest.split_once(&end).with_context(|| format!("no line {end}"))?;
    Ok(format!("{before}{begin}{table}{end}{after}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn out_with(lines: &[Value]) -> tempfile::TempDir {
        let dir = tempfile::tempdir().unwrap();
        for line in lines {
            record::append(dir.path(), line).unwrap();
        }
        dir
    }

    fn told_after(ms: u64) -> Value {
        json!({
            "kind": "server-kill", "outcome": "detected", "located": true, "build": "debug",
            "right": { "rule": "ZkServerUnreachable", "about": "h:1", "after_ms": ms },
            "also": [], "false": [{ "rule": "ZkNoLeader", "about": "e", "after_ms": 5 }],
        })
    }

    #[test]
    fn a_hundred_trials_have_a_99th_percentile_and_fewer_a_maximum() {
        let lines: Vec<Value> = (1..=100).map(|n| told_after(n * 10)).collect();
        let cells = rows(out_with(&lines).path()).unwrap()[0].cells();
        assert_eq!(cells[5], "p99 1.0 s");
        assert_eq!((cells[6].as_str(), cells[9].as_str()), ("3 s, kept", "ZkNoLeader 100"));
        let cells = rows(out_with(&lines[95..]).path()).unwrap()[0].cells();
        assert_eq!(cells[5], "max 1.0 s");
    }

    #[test]
    fn the_table_says_how_busy_the_machine_was() {
        let lines = [0.5, 9.0, 2.0].map(|load| {
            let mut line = told_after(10);
            line["load"] = json!(load);
            line
        });
        let busy = busy(&rows(out_with(&lines).path()).unwrap());
        assert!(busy.starts_with("; load 0.5 to 9.0 (median 2.0) on "), "{busy}");
        assert_eq!(super::busy(&rows(out_with(&[told_after(1)]).path()).unwrap()), "");
    }

    #[test]
    fn a_missed_trial_misses_the_goal_however_quick_the_others_were() {
        let missed = json!({ "kind": "server-kill", "outcome": "missed", "right": null });
        let cells = rows(out_with(&[told_after(100), missed]).path()).unwrap()[0].cells();
        assert_eq!((cells[3].as_str(), cells[6].as_str()), ("1 of 2", "3 s, **missed**"));
    }

    #[test]
    fn only_what_is_between_the_marks_is_replaced() {
        let text = "a\n<!-- x: begin -->\nold\n<!-- x: end -->\nb\n";
        let new = replaced(text, "x", "| t |\n").unwrap();
        assert_eq!(new, "a\n<!-- x: begin -->\n| t |\n<!-- x: end -->\nb\n");
        assert!(replaced(text, "y", "").is_err());
    }
}

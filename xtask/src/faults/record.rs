//! Trials as JSON lines: appended one by one, so that an interrupted command loses only the trial
//! that it was at.

use std::collections::BTreeMap;
use std::fs::{self, File, OpenOptions};
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use anyhow::{Context, Result};
use serde_json::{Value, json};
use wk_peers::cache::workspace_root;
use wk_peers::process::run;

use super::build_of;
use super::rig::Bench;

/// The file of the trials in an output folder.
pub(super) fn file(out: &Path) -> PathBuf {
    out.join("results.jsonl")
}

/// What every line says.
pub(super) fn line(kind: &str, run: usize, outcome: &str, bench: &Bench) -> Value {
    json!({
        "kind": kind,
        "run": run,
        "outcome": outcome,
        "at": unix_seconds(),
        "zookeeper": bench.version.number(),
        "build": build_of(&bench.binary),
        "commit": commit(),
        "load": load(),
    })
}

/// Adds a line to `results.jsonl`.
pub(super) fn append(out: &Path, line: &Value) -> Result<()> {
    append_to(&file(out), line)
}

/// Adds a line to a file.
pub(super) fn append_to(path: &Path, line: &Value) -> Result<()> {
    let mut file = OpenOptions::new()
        .create(true)
        .append(true)
        .open(path)
        .with_context(|| format!("open {}", path.display()))?;
    // One write, which begins a line of its own: whoever was killed in the middle of the one before
    // loses that one alone.
    let text = format!("\n{line}\n");
    file.write_all(text.as_bytes()).with_context(|| format!("write {}", path.display()))
}

/// All whole lines of a file; none if there is no file.
pub(super) fn read(path: &Path) -> Result<Vec<Value>> {
    let file = match File::open(path) {
        Ok(file) => file,
        Err(err) if err.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(err) => return Err(err).with_context(|| format!("open {}", path.display())),
    };
    let mut lines = Vec::new();
    for line in BufReader::new(file).lines() {
        let line = line.with_context(|| format!("read {}", path.display()))?;
        lines.extend(serde_json::from_str(&line).ok());
    }
    Ok(lines)
}

/// How many trials of each kind are finished: told or missed, not broken.
pub(super) fn finished(out: &Path) -> Result<BTreeMap<String, usize>> {
    let mut counts = BTreeMap::new();
    for line in read(&file(out))? {
        if line["outcome"] != "failed"
            && let Some(kind) = line["kind"].as_str()
        {
            *counts.entry(kind.to_owned()).or_default() += 1;
        }
    }
    Ok(counts)
}

/// Moves the trials of these kinds to `results.old.jsonl`: they begin anew.
pub(super) fn put_aside(out: &Path, kinds: &[&str]) -> Result<()> {
    let path = file(out);
    let (old, kept): (Vec<Value>, Vec<Value>) = read(&path)?
        .into_iter()
        .partition(|line| line["kind"].as_str().is_some_and(|kind| kinds.contains(&kind)));
    if old.is_empty() {
        return Ok(());
    }
    for line in &old {
        append_to(&out.join("results.old.jsonl"), line)?;
    }
    let text: String = kept.iter().map(|line| format!("{line}\n")).collect();
    fs::write(&path, text).with_context(|| format!("write {}", path.display()))
}

/// How busy the machine is: the mean of the last minute.
fn load() -> Option<f64> {
    fs::read_to_string("/proc/loadavg").ok()?.split(' ').next()?.parse().ok()
}

fn unix_seconds() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs())
}

/// The commit of this workspace, with a plus when it has changes of its own.
pub(super) fn commit() -> String {
    let git = |args: &[&str]| {
        let mut command = std::process::Command::new("git");
        run("git", command.args(args).current_dir(workspace_root())).unwrap_or_default()
    };
    let head = git(&["rev-parse", "--short", "HEAD"]).trim().to_owned();
    if git(&["status", "--porcelain"]).trim().is_empty() { head } else { head + "+" }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_broken_trial_is_not_finished_and_a_torn_line_is_left_out() {
        let dir = tempfile::tempdir().unwrap();
        for (kind, outcome) in [("a", "detected"), ("a", "failed"), ("b", "missed")] {
            append(dir.path(), &json!({ "kind": kind, "outcome": outcome })).unwrap();
        }
        let mut file = OpenOptions::new().append(true).open(file(dir.path())).unwrap();
        file.write_all(b"{\"kind\":\"a\",\"outc").unwrap();
        append(dir.path(), &json!({ "kind": "b", "outcome": "detected" })).unwrap();
        let counts = finished(dir.path()).unwrap();
        assert_eq!((counts["a"], counts["b"]), (1, 2));
    }

    #[test]
    fn what_is_put_aside_is_kept() {
        let dir = tempfile::tempdir().unwrap();
        for kind in ["a", "b", "a"] {
            append(dir.path(), &json!({ "kind": kind, "outcome": "detected" })).unwrap();
        }
        put_aside(dir.path(), &["a"]).unwrap();
        assert_eq!(finished(dir.path()).unwrap().keys().collect::<Vec<_>>(), ["b"]);
        assert_eq!(read(&dir.path().join("results.old.jsonl")).unwrap().len(), 2);
    }
}

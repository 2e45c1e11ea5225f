//! The figures of a run, kept as JSON lines: each part adds its own and takes its earlier ones away,
//! so that a part can be measured again without the others.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use serde_json::{Value, json};

/// One figure: what was done, on which server, what was measured.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Key {
    pub(super) part: String,
    pub(super) load: String,
    pub(super) server: String,
    pub(super) figure: String,
}

/// The values of its rounds, in ascending order.
pub(super) type Rounds = Vec<f64>;

/// All figures of a folder.
#[derive(Debug)]
pub(super) struct Figures {
    file: PathBuf,
    /// By place in the file, which is the order in which loads came.
    rows: Vec<(Key, Rounds)>,
}

impl Figures {
    /// Reads what the folder holds.
    pub(super) fn open(dir: &Path) -> Result<Self> {
        fs::create_dir_all(dir).with_context(|| format!("make {}", dir.display()))?;
        let file = dir.join("figures.jsonl");
        let text = fs::read_to_string(&file).unwrap_or_default();
        let rows: Result<Vec<_>> = text.lines().map(row).collect();
        Ok(Self { rows: rows.with_context(|| format!("read {}", file.display()))?, file })
    }

    /// Forgets what a part measured of this load before.
    pub(super) fn forget(&mut self, part: &str, load: &str) {
        self.rows.retain(|(key, _)| key.part != part || key.load != load);
    }

    /// Adds a figure. The file is written anew: it is small, and a run that is stopped keeps what it
    /// has.
    pub(super) fn add(
        &mut self,
        (part, load, server): (&str, &str, &str),
        figure: &str,
        mut rounds: Rounds,
    ) -> Result<()> {
        rounds.sort_by(f64::total_cmp);
        let [part, load, server, figure] = [part, load, server, figure].map(str::to_owned);
        self.rows.push((Key { part, load, server, figure }, rounds));
        let lines = self.rows.iter().map(|(key, rounds)| {
            let (part, load) = (&key.part, &key.load);
            let (server, figure) = (&key.server, &key.figure);
            let line = json!({"part": part, "load": load, "server": server, "figure": figure,
                "median": median(rounds), "rounds": rounds});
            format!("{line}\n")
        });
        let text: String = lines.collect();
        fs::write(&self.file, text).with_context(|| format!("write {}", self.file.display()))
    }

    /// A median.
    pub(super) fn get(&self, part: &str, load: &str, server: &str, figure: &str) -> Option<f64> {
        let is_it = |key: &Key| {
            (&*key.part, &*key.load, &*key.server, &*key.figure) == (part, load, server, figure)
        };
        self.rows.iter().find(|(key, _)| is_it(key)).map(|(_, rounds)| median(rounds))
    }

    /// The loads of a part, in the order in which they were measured.
    pub(super) fn loads(&self, part: &str) -> Vec<&str> {
        let mut seen = BTreeMap::new();
        for (at, (key, _)) in self.rows.iter().enumerate().filter(|(_, (key, _))| key.part == part)
        {
            seen.entry(&*key.load).or_insert(at);
        }
        let mut loads: Vec<_> = seen.into_iter().collect();
        loads.sort_by_key(|(_, at)| *at);
        loads.into_iter().map(|(load, _)| load).collect()
    }
}

fn row(line: &str) -> Result<(Key, Rounds)> {
    let value: Value = serde_json::from_str(line).context("a line that is no JSON")?;
    let text = |name: &str| {
        let text =
            value[name].as_str().with_context(|| format!("a line without {name}: {line}"))?;
        anyhow::Ok(text.to_owned())
    };
    let rounds = value["rounds"].as_array().context("a line without rounds")?;
    let key = Key {
        part: text("part")?,
        load: text("load")?,
        server: text("server")?,
        figure: text("figure")?,
    };
    Ok((key, rounds.iter().filter_map(Value::as_f64).collect()))
}

fn median(sorted: &[f64]) -> f64 {
    sorted.get(sorted.len() / 2).copied().unwrap_or(f64::NAN)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_are_kept_in_order_and_a_load_can_be_measured_again() {
        let dir = tempfile::tempdir().unwrap();
        let mut figures = Figures::open(dir.path()).unwrap();
        for (load, value) in [("set 16x1", 3.0), ("create 1x1", 1.0), ("set 16x1", 2.0)] {
            figures.forget("throughput", load);
            let rounds = vec![value * 3.0, value, value * 2.0];
            figures.add(("throughput", load, "ours"), "per_second", rounds).unwrap();
        }
        let figures = Figures::open(dir.path()).unwrap();
        assert_eq!(figures.get("throughput", "set 16x1", "ours", "per_second"), Some(4.0));
        assert_eq!(figures.get("throughput", "set 16x1", "theirs", "per_second"), None);
        assert_eq!(figures.loads("throughput"), ["create 1x1", "set 16x1"]);
    }
}

//! The metrics page of a stand-in: that of a real 3.9.5, whose busy figures move.

use std::fmt::Write as _;
use std::time::Duration;

use anyhow::{Context, Result};
use wk_peers::cache::workspace_root;

/// What a stand-in plays.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Role {
    Leader,
    Follower,
}

impl Role {
    /// As the server's own word has it.
    pub(super) fn as_str(self) -> &'static str {
        match self {
            Self::Leader => "leader",
            Self::Follower => "follower",
        }
    }
}

/// Parts of names of counters that stand still in a healthy ensemble.
const STILL: [&str; 14] = [
    "election",
    "looking",
    "snap",
    "startup",
    "sync",
    "unavailable",
    "session",
    "token",
    "diff_count",
    "learner",
    "inflight",
    "rejected",
    "fail",
    "dbinittime",
];
/// Gauges that move with the counters.
const MOVING: [&str; 8] = [
    "packets_received",
    "packets_sent",
    "bytes_received_count",
    "response_bytes",
    "process_cpu_seconds_total",
    "jvm_memory_bytes_used",
    "jvm_memory_pool_bytes_used",
    "process_resident_memory_bytes",
];

/// A page that can be shown at any time.
#[derive(Clone, Debug)]
pub(super) struct Page {
    rows: Vec<Row>,
}

#[derive(Clone, Debug)]
enum Row {
    /// Always the same.
    Still(String),
    /// A series, and its value at the start.
    Moving(String, f64),
}

impl Page {
    /// The page of a member of an ensemble of `voters` that holds so many znodes.
    ///
    /// # Errors
    /// When the golden page cannot be read.
    pub(super) fn read(role: Role, voters: usize, znodes: usize) -> Result<Self> {
        let name = format!("golden/pages/3.9.5-{}-metrics.txt", role.as_str());
        let path = workspace_root().join(&name);
        let text = std::fs::read_to_string(path).with_context(|| format!("read {name}"))?;
        let given = [
            ("quorum_size", voters),
            ("synced_followers", voters - 1),
            ("learners", voters - 1),
            ("synced_observers", 0),
            ("synced_non_voting_followers", 0),
            ("znode_count", znodes),
            ("leader_uptime", 86_400_000),
        ];
        let row = |line: &str| {
            let Some((series, value)) = line.rsplit_once(' ').filter(|_| !line.starts_with('#'))
            else {
                return Row::Still(line.to_owned());
            };
            let name = series.split('{').next().unwrap_or_default();
            if let Some((_, value)) = given.iter().find(|(given, _)| *given == name) {
                return Row::Still(format!("{series} {value}.0"));
            }
            let number = value.parse::<f64>().ok().filter(|number| *number > 0.0);
            match number.filter(|_| moves(name)) {
                Some(number) => Row::Moving(series.to_owned(), number),
                None => Row::Still(line.to_owned()),
            }
        };
        Ok(Self { rows: text.lines().map(row).collect() })
    }

    /// How many series it shows, and how many of them move.
    #[cfg(test)]
    fn series(&self) -> (usize, usize) {
        let is_series = |row: &&Row| !matches!(row, Row::Still(line) if line.starts_with('#'));
        let moving = self.rows.iter().filter(|row| matches!(row, Row::Moving(..)));
        (self.rows.iter().filter(is_series).count(), moving.count())
    }

    /// The page after so much time: counters and sums have grown by a hundredth a second, so that
    /// no mean changes.
    pub(super) fn show(&self, after: Duration) -> String {
        let grown = 1.0 + after.as_secs_f64() / 100.0;
        let mut text = String::with_capacity(40 << 10);
        for row in &self.rows {
            let _ = match row {
                Row::Still(line) => writeln!(text, "{line}"),
                Row::Moving(series, value) => {
                    writeln!(text, "{series} {}", (value * grown).floor())
                }
            };
        }
        text
    }
}

fn moves(name: &str) -> bool {
    let counts = name.ends_with("_count") || name.ends_with("_sum") || name.ends_with("_total");
    let still = STILL.iter().any(|part| name.contains(part));
    MOVING.contains(&name) || counts && !still && !name.starts_with("znode")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_is_a_real_one_whose_busy_figures_move() {
        let page = Page::read(Role::Leader, 5, 77).unwrap();
        let (series, moving) = page.series();
        assert!(series > 400 && moving > 40 && moving < series, "{series} {moving}");
        let (first, later) = (page.show(Duration::ZERO), page.show(Duration::from_secs(50)));
        assert!(first.contains("\nquorum_size 5.0\n") && first.contains("\nznode_count 77.0\n"));
        assert!(first.contains("\nproposal_count 100\n"), "as captured");
        assert!(later.contains("\nproposal_count 150\n"), "half as much again");
        let elections = |text: &str| {
            let row = text.lines().find(|row| row.starts_with("election_time_count"));
            row.map(str::to_owned)
        };
        assert_eq!(elections(&first), Some("election_time_count 1.0".to_owned()));
        assert_eq!(elections(&first), elections(&later), "nobody elects");
    }
}

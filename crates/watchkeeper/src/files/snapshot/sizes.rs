//! How large each subtree is, in znodes and bytes.

use std::collections::BTreeMap;
use std::fmt;
use std::fmt::Write as _;

use serde_json::{Value, json};
use wk_store::Tree;

/// A znode and all below it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Size {
    /// Znodes, itself included.
    pub(super) count: i64,
    /// Bytes of data.
    pub(super) bytes: i64,
}

/// The sizes of all znodes of a snapshot.
pub(super) struct Sizes {
    nodes: BTreeMap<String, Size>,
    /// Znodes at each depth; the root's is 0.
    depths: Vec<u64>,
}

/// A znode whose subtree differs.
pub(super) struct Difference {
    path: String,
    left: Option<Size>,
    right: Option<Size>,
}

fn depth(path: &str) -> usize {
    if path == "/" { 0 } else { path.matches('/').count() }
}

fn parent(path: &str) -> Option<&str> {
    let (parent, name) = path.rsplit_once('/')?;
    match (parent, name) {
        ("", "") => None,
        ("", _) => Some("/"),
        (parent, _) => Some(parent),
    }
}

impl Sizes {
    pub(super) fn of(tree: &Tree) -> Self {
        let mut nodes: BTreeMap<String, Size> = BTreeMap::new();
        let mut depths = Vec::new();
        tree.for_each(|path, data, _| {
            let bytes = i64::try_from(data.map_or(0, <[u8]>::len)).unwrap_or(i64::MAX);
            nodes.insert(path.to_owned(), Size { count: 1, bytes });
            let depth = depth(path);
            if depths.len() <= depth {
                depths.resize(depth + 1, 0);
            }
            depths[depth] += 1;
        });
        // Deepest first: a parent's name is shorter than its child's in every case.
        let mut paths: Vec<String> = nodes.keys().cloned().collect();
        paths.sort_by_key(|path| std::cmp::Reverse(depth(path)));
        for path in paths {
            let own = nodes.get(&path).copied().unwrap_or_default();
            if let Some(above) = parent(&path).and_then(|parent| nodes.get_mut(parent)) {
                above.count += own.count;
                above.bytes += own.bytes;
            }
        }
        Self { nodes, depths }
    }

    pub(super) fn get(&self, path: &str) -> Option<Size> {
        self.nodes.get(path).copied()
    }

    /// Every znode with children below `path`, to a depth, as `SnapshotRecursiveSummary` prints it.
    pub(super) fn summary(&self, path: &str, depth_max: usize) -> String {
        let mut out = String::new();
        let below = if path == "/" { "/".to_owned() } else { format!("{path}/") };
        let within = |other: &str| other == path || other.starts_with(&below);
        let mut paths: Vec<_> = self.nodes.iter().filter(|(other, _)| within(other)).collect();
        // A znode, then what is below it, whatever else sorts in between.
        paths.sort_by_cached_key(|(path, _)| path.replace('/', "\0"));
        for (other, size) in paths {
            let level = depth(other) - depth(path);
            if size.count > 1 && (depth_max == 0 || level <= depth_max) {
                let dashes = "--".repeat(level);
                let _ = writeln!(out, "{dashes} {other}");
                let _ = writeln!(out, "{dashes}   children: {}", size.count - 1);
                let _ = writeln!(out, "{dashes}   data: {}", size.bytes);
            }
        }
        out
    }

    /// Count, bytes and depths of the whole, as `SnapshotComparer` prints them.
    pub(super) fn totals(&self) -> String {
        let bytes = self.get("/").map_or(0, |root| root.bytes);
        let mut out = format!("Node count: {}\nTotal size: {bytes}\n", self.nodes.len());
        let _ = writeln!(out, "Max depth: {}", self.depths.len());
        for (depth, count) in self.depths.iter().enumerate() {
            let _ = writeln!(out, "Count of nodes at depth {depth}: {count}");
        }
        out
    }

    /// Znodes that are on one side only or differ by more than the bounds, by path.
    pub(super) fn differences(&self, other: &Self, bytes: i64, nodes: i64) -> Vec<Difference> {
        let mut paths: Vec<&String> = self.nodes.keys().chain(other.nodes.keys()).collect();
        paths.sort_unstable();
        paths.dedup();
        let pair = |path: &String| (self.get(path), other.get(path));
        let differs = |path: &&String| {
            let (left, right) = pair(path);
            let (l, r) = (left.unwrap_or_default(), right.unwrap_or_default());
            (l.bytes - r.bytes).abs() > bytes || (l.count - r.count).abs() > nodes
        };
        let found = paths.into_iter().filter(differs);
        found
            .map(|path| {
                let (left, right) = pair(path);
                Difference { path: path.clone(), left, right }
            })
            .collect()
    }
}

impl Difference {
    pub(super) fn json(&self) -> Value {
        let size =
            |size: Option<Size>| size.map(|s| json!({ "znodes": s.count, "bytes": s.bytes }));
        json!({ "path": self.path, "left": size(self.left), "right": size(self.right) })
    }
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let path = &self.path;
        let size = |s: Size| format!("{} znodes, {} bytes", s.count, s.bytes);
        match (self.left, self.right) {
            (Some(left), Some(right)) => {
                let (count, bytes) = (right.count - left.count, right.bytes - left.bytes);
                write!(
                    f,
                    "{path}: {count:+} znodes, {bytes:+} bytes (left {}, right {})",
                    size(left),
                    size(right)
                )
            }
            (Some(left), None) => write!(f, "{path}: only on the left, {}", size(left)),
            (None, Some(right)) => write!(f, "{path}: only on the right, {}", size(right)),
            (None, None) => Ok(()),
        }
    }
}

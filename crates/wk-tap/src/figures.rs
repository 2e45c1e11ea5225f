//! What the stream amounts to: counters, what is hot, what grows, as samples for the rules.
//!
//! Pure and bounded: whatever paths and sessions a stream names, each table has a limit, and what
//! is given out with a path or a session in its labels is the few largest of it.

mod hot;

use std::collections::{BTreeMap, BTreeSet};

use wk_promql::{Labels, STALE, Sample};
use wk_proto::OpCode;

use crate::change::{Change, ChangeOp, Failure, Kind};
use crate::tap::{Health, TapState};
use hot::Hot;

/// Kinds and errors that are counted by name; a leader that invents more gets one count for them.
const NAMES_MAX: usize = 64;
/// Prefixes whose growth is known; more count together as `other`.
const PREFIXES_MAX: usize = 4096;
/// Parents whose sequence counter is known; the least advanced make room.
const PARENTS_MAX: usize = 1024;
/// How many series with a path or session each name has.
const TOP: usize = 10;
/// A sequence counter is shown from this part of its range on.
const SEQUENCE_SHOWN: f64 = 0.5;
const CREATES: &[OpCode] =
    &[OpCode::Create, OpCode::Create2, OpCode::CreateContainer, OpCode::CreateTtl];
const DELETES: &[OpCode] = &[OpCode::Delete, OpCode::DeleteContainer];
/// Where a sequence counter ends: it is an int.
const SEQUENCE_END: f64 = 2_147_483_648.0;

/// See the module's head.
#[derive(Debug)]
pub struct Figures {
    /// Labels of every sample.
    labels: Vec<(String, String)>,
    txns: BTreeMap<Kind, u64>,
    txns_other: u64,
    failed: BTreeMap<Failure, u64>,
    failed_other: u64,
    written_bytes: u64,
    sessions_expired: u64,
    sessions_closed: u64,
    ephemerals_expired: u64,
    ephemerals_closed: u64,
    acl_changes: u64,
    member_changes: u64,
    gaps: u64,
    paths: Hot,
    prefixes: Hot,
    sessions: Hot,
    growth: BTreeMap<String, i64>,
    sequences: BTreeMap<String, i32>,
    /// Series with a path or session that the last samples had.
    shown: BTreeSet<Labels>,
}

impl Figures {
    /// Nothing counted; every sample gets these labels.
    pub fn new(labels: Vec<(String, String)>) -> Self {
        Self {
            labels,
            txns: BTreeMap::new(),
            txns_other: 0,
            failed: BTreeMap::new(),
            failed_other: 0,
            written_bytes: 0,
            sessions_expired: 0,
            sessions_closed: 0,
            ephemerals_expired: 0,
            ephemerals_closed: 0,
            acl_changes: 0,
            member_changes: 0,
            gaps: 0,
            paths: Hot::default(),
            prefixes: Hot::default(),
            sessions: Hot::default(),
            growth: BTreeMap::new(),
            sequences: BTreeMap::new(),
            shown: BTreeSet::new(),
        }
    }

    /// Counts a txn.
    pub fn take(&mut self, change: &Change) {
        count(&mut self.txns, &mut self.txns_other, change.op.kind);
        self.written_bytes += change.len as u64;
        if change.session.0 != 0 {
            self.sessions.add(&change.session.to_string());
        }
        if let Some(error) = change.op.error {
            // A failed multi changed nothing, whatever its parts say.
            return count(&mut self.failed, &mut self.failed_other, error);
        }
        for op in std::iter::once(&change.op).chain(&change.ops) {
            self.take_op(op);
        }
        let ephemerals = change.ephemerals.len() as u64;
        match change.expired {
            Some(true) => {
                self.sessions_expired += 1;
                self.ephemerals_expired += ephemerals;
            }
            Some(false) => {
                self.sessions_closed += 1;
                self.ephemerals_closed += ephemerals;
            }
            None => {}
        }
        for path in &change.ephemerals {
            self.grow(path, -1);
        }
    }

    /// Something may be missing from what was counted.
    pub fn take_gap(&mut self) {
        self.gaps += 1;
    }

    fn take_op(&mut self, op: &ChangeOp) {
        let Kind::Op(code) = op.kind else { return };
        let Some(path) = &op.path else { return };
        if code == OpCode::Check {
            return;
        }
        self.paths.add(path);
        self.prefixes.add(prefix(path));
        if CREATES.contains(&code) {
            self.grow(path, 1);
        } else if DELETES.contains(&code) {
            self.grow(path, -1);
        }
        self.acl_changes += u64::from(code == OpCode::SetAcl);
        self.member_changes += u64::from(code == OpCode::Reconfig);
        if let Some(number) = op.sequence {
            self.advance(parent(path), number);
        }
    }

    fn grow(&mut self, path: &str, by: i64) {
        let known = self.growth.len() < PREFIXES_MAX || self.growth.contains_key(prefix(path));
        let name = if known { prefix(path) } else { "other" };
        *self.growth.entry(name.to_owned()).or_default() += by;
    }

    fn advance(&mut self, parent: &str, number: i32) {
        if !self.sequences.contains_key(parent) && self.sequences.len() >= PARENTS_MAX {
            let least = self.sequences.iter().min_by_key(|(_, number)| **number);
            match least.map(|(parent, number)| (parent.clone(), *number)) {
                Some((least, at)) if at < number => self.sequences.remove(&least),
                _ => return,
            };
        }
        self.sequences.insert(parent.to_owned(), number);
    }

    /// Everything as it is at `at` (milliseconds since 1970); call once a second. A series with a
    /// path or session that is no longer among the largest ends.
    pub fn samples(&mut self, at: i64, health: &Health) -> Vec<Sample> {
        let mut out = Vec::new();
        self.health_samples(at, health, &mut out);
        self.counter_samples(at, &mut out);
        let mut shown = BTreeSet::new();
        for (labels, value) in self.top() {
            out.push(Sample { labels: labels.clone(), at, value });
            shown.insert(labels);
        }
        for labels in self.shown.difference(&shown) {
            out.push(Sample { labels: labels.clone(), at, value: STALE });
        }
        self.shown = shown;
        out
    }

    fn health_samples(&self, at: i64, health: &Health, out: &mut Vec<Sample>) {
        let live = matches!(health.state, TapState::Live(_));
        for (name, value) in [
            ("watchkeeper_tap_connected", u64::from(live)),
            ("watchkeeper_tap_connections_total", health.stats.connections),
            ("watchkeeper_tap_resyncs_total", self.gaps),
            ("watchkeeper_tap_dropped_txns_total", health.dropped + health.stats.dropped),
            ("watchkeeper_tap_waiting_bytes", health.waiting as u64),
        ] {
            out.push(self.sample(name, &[], at, float(value)));
        }
        // Who does not follow knows no distance.
        let lag = if live { float(health.lag) } else { STALE };
        out.push(self.sample("watchkeeper_tap_lag_txns", &[], at, lag));
    }

    fn counter_samples(&self, at: i64, out: &mut Vec<Sample>) {
        let other = |count: u64| (count > 0).then(|| ("other".to_owned(), count));
        let txns = self.txns.iter().map(|(kind, count)| (kind.to_string(), *count));
        for (kind, count) in txns.chain(other(self.txns_other)) {
            let name = "watchkeeper_tap_txns_total";
            out.push(self.sample(name, &[("type", &kind)], at, float(count)));
        }
        let failed = self.failed.iter().map(|(error, count)| (error.to_string(), *count));
        for (error, count) in failed.chain(other(self.failed_other)) {
            let name = "watchkeeper_tap_failed_writes_total";
            out.push(self.sample(name, &[("error", &error)], at, float(count)));
        }
        for (name, how, count) in [
            ("watchkeeper_tap_sessions_ended_total", "expired", self.sessions_expired),
            ("watchkeeper_tap_sessions_ended_total", "closed", self.sessions_closed),
            ("watchkeeper_tap_ephemerals_gone_total", "expired", self.ephemerals_expired),
            ("watchkeeper_tap_ephemerals_gone_total", "closed", self.ephemerals_closed),
        ] {
            out.push(self.sample(name, &[("how", how)], at, float(count)));
        }
        for (name, count) in [
            ("watchkeeper_tap_written_bytes_total", self.written_bytes),
            ("watchkeeper_tap_acl_changes_total", self.acl_changes),
            ("watchkeeper_tap_member_changes_total", self.member_changes),
        ] {
            out.push(self.sample(name, &[], at, float(count)));
        }
    }

    /// The series that have a path or a session.
    fn top(&mut self) -> Vec<(Labels, f64)> {
        let mut found = Vec::new();
        let mut add = |name: &str, label: &str, value: &str, number: f64| {
            found.push((metric(&self.labels, name, &[(label, value)]), number));
        };
        for (hot, name, label) in [
            (&mut self.paths, "watchkeeper_tap_path_writes_per_second", "path"),
            (&mut self.prefixes, "watchkeeper_tap_prefix_writes_per_second", "prefix"),
            (&mut self.sessions, "watchkeeper_tap_session_writes_per_second", "session"),
        ] {
            hot.decay();
            hot.top(TOP).into_iter().for_each(|(key, rate)| add(name, label, &key, rate));
        }
        let mut growth: Vec<_> = self.growth.iter().filter(|(_, net)| **net != 0).collect();
        growth.sort_by_key(|(_, net)| std::cmp::Reverse(net.unsigned_abs()));
        for (prefix, net) in growth.into_iter().take(TOP) {
            let value = float(net.unsigned_abs());
            let value = if *net < 0 { -value } else { value };
            add("watchkeeper_tap_prefix_growth_znodes", "prefix", prefix, value);
        }
        let used = |number: &i32| (f64::from(*number) + 1.0) / SEQUENCE_END;
        let mut far: Vec<_> = self.sequences.iter().map(|(path, n)| (path, used(n))).collect();
        far.retain(|(_, used)| *used >= SEQUENCE_SHOWN);
        far.sort_by(|left, right| right.1.total_cmp(&left.1));
        for (parent, used) in far.into_iter().take(TOP) {
            add("watchkeeper_tap_sequence_used_ratio", "path", parent, used);
        }
        found
    }

    fn sample(&self, name: &str, extra: &[(&str, &str)], at: i64, value: f64) -> Sample {
        Sample { labels: metric(&self.labels, name, extra), at, value }
    }
}

fn metric(labels: &[(String, String)], name: &str, extra: &[(&str, &str)]) -> Labels {
    let base = labels.iter().map(|(name, value)| (name.as_str(), value.as_str()));
    Labels::metric(name, base.chain(extra.iter().copied()))
}

fn count<K: Ord>(counts: &mut BTreeMap<K, u64>, other: &mut u64, key: K) {
    if counts.len() < NAMES_MAX || counts.contains_key(&key) {
        *counts.entry(key).or_default() += 1;
    } else {
        *other += 1;
    }
}

#[expect(clippy::cast_precision_loss, reason = "counts beyond 2^53 may be off by a few")]
fn float(count: u64) -> f64 {
    count as f64
}

/// The znode two levels down that a path is below, or the path itself.
fn prefix(path: &str) -> &str {
    let mut ends = path.char_indices().filter(|(at, c)| *c == '/' && *at > 0).map(|(at, _)| at);
    path.get(..ends.nth(1).unwrap_or(path.len())).unwrap_or(path)
}

fn parent(path: &str) -> &str {
    match path.rfind('/') {
        Some(at) if at > 0 => &path[..at],
        _ => "/",
    }
}

#[cfg(test)]
mod tests;

//! Quotas as znodes: which subtrees have one, and the accounts kept in their `zookeeper_stats`.
//!
//! `/zookeeper/quota<path>/zookeeper_limits` arms a path; `.../zookeeper_stats` holds its account as
//! text, changed in place on each server: no version, no watch, no digest moves. Only the deepest
//! quota above a znode counts it. Crossing a soft limit is a warning in the log. A hard one refuses the
//! write where the server is told to enforce it: the account then counts what is prepared and not yet
//! applied too, so that no burst of requests passes it.

use std::collections::BTreeSet;
use std::fmt::Write as _;

use crate::node::NIL;
use crate::tree::{Tree, data_len};

const QUOTA: &str = "/zookeeper/quota";
const LIMITS: &str = "zookeeper_limits";
const STATS: &str = "zookeeper_stats";
const HARD_COUNT: &str = "countHardLimit";
const HARD_BYTES: &str = "byteHardLimit";

/// The armed paths.
#[derive(Debug, Default)]
pub(crate) struct Quotas {
    paths: BTreeSet<String>,
}

/// What a write adds to an account, or takes from it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Change {
    pub(crate) count: i64,
    pub(crate) bytes: i64,
}

impl Change {
    pub(crate) fn plus(self, other: Self) -> Self {
        let count = self.count.saturating_add(other.count);
        Self { count, bytes: self.bytes.saturating_add(other.bytes) }
    }
}

impl Quotas {
    /// The deepest armed path at or above `path`. The root's own quota is never consulted.
    pub(crate) fn above<'p>(&self, path: &'p str) -> Option<&'p str> {
        let mut prefix = path;
        while !self.paths.is_empty() && !prefix.is_empty() && prefix != "/" {
            if self.paths.contains(prefix) {
                return Some(prefix);
            }
            prefix = &prefix[..prefix.rfind('/')?];
        }
        None
    }
}

/// The path whose quota lives in this parent of a limits or stats znode.
fn quota_target(parent: &str) -> Option<&str> {
    parent.strip_prefix(QUOTA).filter(|rest| rest.starts_with('/'))
}

/// The account: `count=N,bytes=M`, and after a lone `=` further keys in order.
#[derive(Debug, Default, PartialEq, Eq)]
struct Account {
    count: i64,
    bytes: i64,
    rest: Vec<(String, i64)>,
}

impl Account {
    /// Reads an account leniently: what is not a number counts as unset (-1).
    fn parse(text: &[u8]) -> Self {
        let text = String::from_utf8_lossy(text);
        let mut account = Self { count: -1, bytes: -1, rest: Vec::new() };
        for pair in text.split([',', ';']).filter(|pair| !pair.is_empty()) {
            let mut parts = pair.split('=');
            let key = parts.next().unwrap_or_default();
            let value = parts.next().and_then(|v| v.parse().ok()).unwrap_or(-1);
            match key {
                "count" => account.count = value,
                "bytes" => account.bytes = value,
                _ => account.rest.push((key.to_owned(), value)),
            }
        }
        account.rest.sort();
        account
    }

    /// A limit under one of the further keys, if it is set.
    fn hard(&self, key: &str) -> Option<i64> {
        let found = self.rest.iter().find(|(name, _)| name == key);
        found.map(|(_, limit)| *limit).filter(|limit| *limit > -1)
    }

    fn to_text(&self) -> String {
        let mut text = format!("count={},bytes={}", self.count, self.bytes);
        for (at, (key, value)) in self.rest.iter().enumerate() {
            let lead = if at == 0 { "=;" } else { ";" };
            write!(text, "{lead}{key}={value}").expect("a String takes all");
        }
        text
    }
}

impl Tree {
    /// A znode was created: arms or counts.
    pub(crate) fn quota_created(&mut self, path: &str, parent: &str, name: &str, bytes: i64) {
        if let Some(target) = quota_target(parent) {
            match name {
                LIMITS => {
                    self.quotas.paths.insert(target.to_owned());
                }
                STATS => self.quota_recount(target),
                _ => {}
            }
        }
        self.quota_changed(path, 1, bytes);
    }

    /// A znode was deleted: disarms or counts.
    pub(crate) fn quota_deleted(&mut self, path: &str, parent: &str, name: &str, bytes: i64) {
        if name == LIMITS
            && let Some(target) = quota_target(parent)
        {
            self.quotas.paths.remove(target);
        }
        self.quota_changed(path, -1, -bytes);
    }

    /// Books a change to the deepest quota above `path`.
    pub(crate) fn quota_changed(&mut self, path: &str, count: i64, bytes: i64) {
        let Some(target) = self.quotas.above(path) else { return };
        let stats = format!("{QUOTA}{target}/{STATS}");
        let Some(id) = self.lookup(&stats) else {
            tracing::error!(path = stats, "quota has no account");
            return;
        };
        let before = Account::parse(self.nodes.get(id).data().unwrap_or_default());
        let account = Account {
            count: before.count.saturating_add(count),
            bytes: before.bytes.saturating_add(bytes),
            rest: before.rest.clone(),
        };
        self.warn_of_quota(target, &before, &account);
        self.replace_data(id, &stats, Some(account.to_text().as_bytes()));
    }

    /// Says when a soft limit is crossed; only then, for a core has no clock to say it now and then.
    fn warn_of_quota(&self, target: &str, before: &Account, now: &Account) {
        let limits = self.get(&format!("{QUOTA}{target}/{LIMITS}")).and_then(|node| node.data());
        let limits = Account::parse(limits.unwrap_or_default());
        if crosses(limits.count, before.count, now.count) {
            let (count, limit) = (now.count, limits.count);
            tracing::warn!(path = target, count, limit, "quota of znodes exceeded");
        }
        if crosses(limits.bytes, before.bytes, now.bytes) {
            let (bytes, limit) = (now.bytes, limits.bytes);
            tracing::warn!(path = target, bytes, limit, "quota of bytes exceeded");
        }
    }

    /// Whether a hard limit of this armed path forbids `more` znodes and bytes beside what is
    /// `pending`. Only what grows or shrinks is looked at, as Apache does: a smaller value of a
    /// subtree that is over its limit is refused too.
    pub(crate) fn quota_refuses(&self, target: &str, more: Change, pending: Change) -> bool {
        let account = |name: &str| {
            let node = self.get(&format!("{QUOTA}{target}/{name}"))?;
            Some(Account::parse(node.data().unwrap_or_default()))
        };
        let (Some(limits), Some(used)) = (account(LIMITS), account(STATS)) else {
            tracing::error!(path = target, "quota has no limits or no account");
            return false;
        };
        let passes = |limit: Option<i64>, used: i64, pending: i64, more: i64| {
            let after = used.saturating_add(pending).saturating_add(more);
            more != 0 && limit.is_some_and(|limit| after > limit)
        };
        passes(limits.hard(HARD_COUNT), used.count, pending.count, more.count)
            || passes(limits.hard(HARD_BYTES), used.bytes, pending.bytes, more.bytes)
    }

    fn quota_recount(&mut self, target: &str) {
        let mut account = Account::default();
        if let Some(root) = self.lookup(target) {
            account.count = 1;
            account.bytes = data_len(self.nodes.get(root).data());
            self.walk_below(root, |id| {
                account.count += 1;
                account.bytes += data_len(self.nodes.get(id).data());
            });
        }
        let stats = format!("{QUOTA}{target}/{STATS}");
        if let Some(id) = self.lookup(&stats) {
            self.replace_data(id, &stats, Some(account.to_text().as_bytes()));
        } else {
            tracing::warn!(path = stats, "quota has no account");
        }
    }

    /// Arms and counts all quotas of a tree that was just loaded.
    pub(crate) fn quota_load(&mut self) {
        let Some(root) = self.lookup(QUOTA) else { return };
        let mut targets = Vec::new();
        self.walk_below(root, |id| {
            let node = self.nodes.get(id);
            if node.name() == LIMITS && node.first_child == NIL {
                let parent = self.path_of(node.parent);
                targets.extend(quota_target(&parent).map(str::to_owned));
            }
        });
        for target in targets {
            self.quota_recount(&target);
            self.quotas.paths.insert(target);
        }
    }
}

/// Does an account pass its limit here? -1 is no limit.
fn crosses(limit: i64, before: i64, now: i64) -> bool {
    limit > -1 && before <= limit && now > limit
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_limit_is_crossed_once() {
        assert!(crosses(5, 5, 6) && crosses(0, -1, 1));
        assert!(!crosses(5, 4, 5) && !crosses(5, 6, 7) && !crosses(5, 6, 5) && !crosses(-1, 0, 9));
    }

    #[test]
    fn accounts_keep_unknown_keys() {
        for text in ["count=4,bytes=5", "count=4,bytes=5=;byteHardLimit=10;countHardLimit=-1"] {
            assert_eq!(Account::parse(text.as_bytes()).to_text(), text);
        }
        assert_eq!(Account::parse(b"").to_text(), "count=-1,bytes=-1");
        assert_eq!(Account::parse(b"count=x,,bytes").to_text(), "count=-1,bytes=-1");
    }

    #[test]
    fn the_deepest_quota_counts() {
        let mut quotas = Quotas::default();
        quotas.paths.extend(["/a".to_owned(), "/a/b/c".to_owned()]);
        assert_eq!(quotas.above("/a/b"), Some("/a"));
        assert_eq!(quotas.above("/a/b/c"), Some("/a/b/c"));
        assert_eq!(quotas.above("/a/b/c/d"), Some("/a/b/c"));
        assert_eq!(quotas.above("/ab"), None);
        assert_eq!(quotas.above("/"), None);
    }
}

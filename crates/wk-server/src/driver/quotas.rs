//! Quotas and what is used of them, read from the znodes that hold them.
//!
//! Summed up by first path component, as Apache's `QuotaMetricsUtils` (3.9) does.

use crate::metrics::QuotaGauge;
use std::collections::BTreeMap;
use wk_proto::{Id, SessionId};
use wk_tree::{Caller, Tree};

const QUOTA: &str = "/zookeeper/quota";

/// All quotas by first path component.
pub(super) fn quotas(tree: &Tree) -> Vec<QuotaGauge> {
    let ids = [Id::new("super", "")];
    let caller = Caller { session: SessionId::NONE, ids: &ids };
    let mut found = BTreeMap::new();
    // Paths are walked by a list of their own: a deep tree must not use up the stack.
    let mut left = vec![QUOTA.to_owned()];
    while let Some(path) = left.pop() {
        let Ok((children, _)) = tree.children(&path, &caller) else { continue };
        if children.len() == 0 {
            let data = tree.get_data(&path, &caller).ok().and_then(|(data, _)| data);
            if let Some(text) = data.and_then(|data| std::str::from_utf8(data).ok()) {
                note(&path, text, &mut found);
            }
        }
        left.extend(children.map(|name| format!("{path}/{name}")));
    }
    found.into_values().collect()
}

fn note(path: &str, text: &str, found: &mut BTreeMap<String, QuotaGauge>) {
    let Some((target, leaf)) =
        path.strip_prefix(QUOTA).and_then(|rest| rest.strip_prefix('/')?.rsplit_once('/'))
    else {
        return;
    };
    let namespace = target.split('/').next().unwrap_or(target).to_owned();
    let field = |name: &str| -> i64 {
        let fields = text.split([',', ';']).filter_map(|field| field.split_once('='));
        let value = fields.filter(|(key, _)| *key == name).map(|(_, value)| value).next();
        value.and_then(|value| value.parse().ok()).unwrap_or(-1)
    };
    let limit = |hard: &str, soft: &str| match field(hard) {
        -1 => field(soft),
        hard => hard,
    };
    let gauge = || QuotaGauge { namespace: namespace.clone(), ..QuotaGauge::default() };
    match leaf {
        "zookeeper_limits" => {
            let gauge = found.entry(namespace.clone()).or_insert_with(gauge);
            gauge.count_limit += limit("countHardLimit", "count");
            gauge.bytes_limit += limit("byteHardLimit", "bytes");
        }
        "zookeeper_stats" => {
            let gauge = found.entry(namespace.clone()).or_insert_with(gauge);
            gauge.count += field("count");
            gauge.bytes += field("bytes");
        }
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hard_limits_win_and_namespaces_add_up() {
        let mut found = BTreeMap::new();
        for (path, text) in [
            ("/zookeeper/quota/app/zookeeper_limits", "count=5,bytes=-1"),
            ("/zookeeper/quota/app/zookeeper_stats", "count=3,bytes=40"),
            (
                "/zookeeper/quota/app/sub/zookeeper_limits",
                "count=7,bytes=-1=;byteHardLimit=100;countHardLimit=9",
            ),
            ("/zookeeper/quota/app/sub/zookeeper_stats", "count=1,bytes=2"),
            ("/zookeeper/quota/zookeeper_stats", "count=1,bytes=2"),
        ] {
            note(path, text, &mut found);
        }
        let want = QuotaGauge {
            namespace: "app".to_owned(),
            count_limit: 14,
            bytes_limit: 99,
            count: 4,
            bytes: 42,
        };
        assert_eq!(found.into_values().collect::<Vec<_>>(), [want]);
    }
}

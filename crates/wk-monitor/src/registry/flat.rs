//! Flat registries of others: a node is an ephemeral znode in a list, and gone when it is not there.
//!
//! Nothing in such a list says who should exist. Whoever was once seen is known for
//! [`PresetConfig::ttl`] after it vanished, whoever is expected for ever. Lists are followed with
//! one-shot watches, which servers of every release have.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Instant;

use tokio::task::JoinSet;
use wk_alert::node::{Alive, NodeKey, Observation};
use wk_client::{Client, Error, ErrorCode, Watcher};

use super::{DATA_MAX, READS_MAX};
use crate::config::PresetConfig;

/// Lists that are followed in one ensemble, at most; the rest is left out and said so.
const LISTS_MAX: usize = 1000;
/// Nodes of one list, at most; likewise.
const NODES_MAX: usize = 10_000;

/// A list of nodes.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct List {
    preset: usize,
    path: String,
    group: String,
}

/// What changed.
#[derive(Clone, Debug)]
pub(super) enum Fired {
    /// The nodes of a list.
    List(List),
    /// The lists of a registry.
    Lists,
}

/// What was read.
pub(super) type Seen = Vec<(NodeKey, Observation)>;

/// The registries of one ensemble.
pub(super) struct Flats {
    client: Client,
    presets: Vec<PresetConfig>,
    expected: BTreeSet<NodeKey>,
    /// Who is known, and since when it is not there.
    known: BTreeMap<NodeKey, Option<Instant>>,
    fired: JoinSet<Fired>,
    /// What could not be seen.
    pub(super) notes: BTreeSet<String>,
}

impl Flats {
    /// `known`: nodes that earlier runs saw.
    pub(super) fn new(
        client: Client,
        presets: Vec<PresetConfig>,
        expected: &BTreeSet<NodeKey>,
        known: &BTreeSet<NodeKey>,
    ) -> Self {
        let ours = |key: &&NodeKey| {
            let group = key.group.as_deref().unwrap_or_default();
            presets.iter().any(|preset| preset.has(group))
        };
        let expected: BTreeSet<NodeKey> = expected.iter().filter(ours).cloned().collect();
        let now = Instant::now();
        let known = known.iter().filter(ours).map(|key| (key.clone(), Some(now))).collect();
        let (fired, notes) = (JoinSet::new(), BTreeSet::new());
        Self { client, presets, expected, known, fired, notes }
    }

    /// The next change; for ever if nothing is followed.
    pub(super) async fn next(&mut self) -> Fired {
        match self.fired.join_next().await {
            Some(fired) => fired.unwrap_or(Fired::Lists),
            None => std::future::pending().await,
        }
    }

    /// Reads everything and follows it from here on.
    pub(super) async fn look_at_all(&mut self) -> Result<Seen, Error> {
        self.fired = JoinSet::new();
        self.notes.clear();
        let mut lists = Vec::new();
        for preset in 0..self.presets.len() {
            lists.extend(self.lists(preset).await?);
        }
        if lists.len() > LISTS_MAX {
            self.notes.insert(format!(
                "presets: {} lists of nodes, only the first {LISTS_MAX} are followed",
                lists.len()
            ));
            lists.truncate(LISTS_MAX);
        }
        let mut seen = Seen::new();
        for list in lists {
            seen.extend(self.read(&list).await?);
        }
        let there: BTreeSet<&NodeKey> = seen.iter().map(|(key, _)| key).collect();
        let absent = self.known.keys().chain(&self.expected).filter(|key| !there.contains(key));
        let absent: BTreeSet<NodeKey> = absent.cloned().collect();
        seen.extend(absent.into_iter().map(|key| self.absent(key)));
        Ok(seen)
    }

    /// Reads one list anew: who is there, and who of it is not any more.
    pub(super) async fn look_at(&mut self, list: &List) -> Result<Seen, Error> {
        let mut seen = self.read(list).await?;
        let there: BTreeSet<&NodeKey> = seen.iter().map(|(key, _)| key).collect();
        let of_list = |key: &&NodeKey| key.group.as_deref() == Some(list.group.as_str());
        let absent = self.known.keys().chain(&self.expected).filter(of_list);
        let absent: BTreeSet<NodeKey> = absent.filter(|k| !there.contains(k)).cloned().collect();
        seen.extend(absent.into_iter().map(|key| self.absent(key)));
        Ok(seen)
    }

    /// Those who have been away for so long that they are forgotten.
    pub(super) fn forget(&mut self) -> Vec<NodeKey> {
        let ttl = |key: &NodeKey| {
            let group = key.group.as_deref().unwrap_or_default();
            let preset = self.presets.iter().find(|preset| preset.has(group));
            preset.map_or(std::time::Duration::ZERO, |preset| preset.ttl)
        };
        let over = |(key, since): &(&NodeKey, &Option<Instant>)| {
            since.is_some_and(|since| since.elapsed() >= ttl(key)) && !self.expected.contains(*key)
        };
        let gone: Vec<NodeKey> = self.known.iter().filter(over).map(|(k, _)| k.clone()).collect();
        for key in &gone {
            self.known.remove(key);
        }
        gone
    }

    fn absent(&mut self, key: NodeKey) -> (NodeKey, Observation) {
        let had_children = match self.known.get_mut(&key) {
            Some(since) => {
                since.get_or_insert_with(Instant::now);
                true
            }
            None => false,
        };
        let expected = self.expected.contains(&key);
        (key, Observation { expected, had_children, ..Observation::default() })
    }

    /// The lists of a registry: one, or one for each child of what is before the first star.
    async fn lists(&mut self, preset: usize) -> Result<Vec<List>, Error> {
        let config = &self.presets[preset];
        let parts: Vec<&str> = config.pattern.split("/*").collect();
        let (name, base) = (config.name.clone(), parts[0].to_owned());
        if parts.len() == 2 {
            return Ok(vec![List { preset, path: base, group: name }]);
        }
        let middle = parts[1].to_owned();
        let Some(children) = self.children(&base, Fired::Lists).await? else {
            return Ok(Vec::new());
        };
        let list = |child: String| List {
            preset,
            path: format!("{base}/{child}{middle}"),
            group: format!("{name}:{child}"),
        };
        Ok(children.into_iter().map(list).collect())
    }

    /// The children of `path`, watched; none if it may not be read or is not there.
    async fn children(&mut self, path: &str, tell: Fired) -> Result<Option<Vec<String>>, Error> {
        loop {
            match self.client.children_watch(path).await {
                Ok((children, _, watcher)) => {
                    self.follow(watcher, tell);
                    return Ok(Some(children));
                }
                Err(Error::Server(ErrorCode::NoNode)) => (),
                Err(Error::Server(ErrorCode::NoAuth)) => {
                    self.notes.insert(format!(
                        "presets: NoAuth at {path}: its nodes are not seen. Give the monitor's \
                         credentials ([ensemble.NAME] auth in watchkeeper.toml) the right r on it"
                    ));
                    return Ok(None);
                }
                Err(err) => return Err(err),
            }
            let (stat, watcher) = self.client.exists_watch(path).await?;
            if stat.is_none() {
                self.follow(watcher, tell);
                return Ok(None);
            }
            // It came between the two questions.
        }
    }

    fn follow(&mut self, mut watcher: Watcher, tell: Fired) {
        self.fired.spawn(async move {
            // Lost with its session: that too asks for a new look.
            let _ = watcher.fired().await;
            tell
        });
    }

    /// Reads the nodes that are in a list now.
    async fn read(&mut self, list: &List) -> Result<Seen, Error> {
        let children = self.children(&list.path, Fired::List(list.clone())).await?;
        let mut children = children.unwrap_or_default();
        if children.len() > NODES_MAX {
            self.notes.insert(format!(
                "presets: {} nodes at {}, only {NODES_MAX} of them are followed",
                children.len(),
                list.path
            ));
            children.sort_unstable();
            children.truncate(NODES_MAX);
        }
        let mut children = children.into_iter();
        let (mut reads, mut seen) = (JoinSet::new(), Seen::new());
        loop {
            while reads.len() < READS_MAX
                && let Some(child) = children.next()
            {
                let (client, path) = (self.client.clone(), format!("{}/{child}", list.path));
                reads.spawn(async move { (child, client.get(&path).await) });
            }
            let Some(read) = reads.join_next().await else { break };
            let (child, znode) = read.map_err(|_| Error::Closed)?;
            let znode = match znode {
                Ok(znode) => znode,
                // The watch on the list tells who went meanwhile.
                Err(Error::Server(ErrorCode::NoNode | ErrorCode::NoAuth)) => continue,
                Err(err) => return Err(err),
            };
            if znode.stat.ephemeral_owner.0 == 0 {
                // A lasting znode (a static service, say) says nothing about a life.
                continue;
            }
            let key = NodeKey { group: Some(list.group.clone()), id: id(&child) };
            self.known.insert(key.clone(), None);
            let alive = Alive { owner: znode.stat.ephemeral_owner, czxid: znode.stat.czxid };
            let mut data = znode.data.unwrap_or_default();
            data.truncate(DATA_MAX);
            seen.push((key, Observation { alive: Some(alive), data, ..Observation::default() }));
        }
        Ok(seen)
    }
}

/// The node's id: the znode's name; of a URL that is escaped whole (Dubbo), its host and port.
fn id(name: &str) -> String {
    let Some((_, rest)) = name.split_once("%3A%2F%2F") else { return name.to_owned() };
    let host = rest.split("%2F").next().unwrap_or(rest);
    host.replace("%3A", ":")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_escaped_url_is_its_host_and_port() {
        let dubbo = "dubbo%3A%2F%2F10.0.0.7%3A20880%2Fcom.foo.Bar%3Fapplication%3Dp%26side%3Dx";
        assert_eq!(id(dubbo), "10.0.0.7:20880");
        assert_eq!(
            (id("1"), id("127.0.0.1:8983_solr")),
            ("1".into(), "127.0.0.1:8983_solr".into())
        );
    }
}

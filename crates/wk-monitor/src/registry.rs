//! The registry `/nodes`, read and followed through the ordinary client.
//!
//! One persistent recursive watch; every event has its node read anew, every gap the whole registry.
//! Servers before 3.6 know no such watch: there a one-shot watch on everything has everything read
//! anew. What is read says nothing by itself: the core judges.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tracing::debug;
use wk_alert::node::{Alive, Input, NodeKey, Observation};
use wk_client::{Client, Error, ErrorCode, Event, EventStream, Stat, Status, WatchMode, Watcher};

/// Where nodes are registered.
const ROOT: &str = "/nodes";
const ALIVE: &str = "alive";
/// Reads under way at a time.
const READS_MAX: usize = 64;
/// How much of a node's data is kept to be shown.
const DATA_MAX: usize = 4096;
/// Wait before a failed look is repeated.
const AGAIN: Duration = Duration::from_millis(500);

/// News for the monitor.
#[derive(Clone, Debug)]
pub(crate) enum News {
    /// For the core.
    Input(Input),
    /// The servers know no persistent watches.
    OldWatches,
}

/// What a child of the root is, as last read.
#[derive(Clone, Debug)]
enum Kind {
    Node,
    Group(BTreeSet<String>),
}

/// Follows the registry of one ensemble.
#[derive(Clone)]
pub(crate) struct Registry {
    client: Client,
    news: mpsc::Sender<News>,
    top: BTreeMap<String, Kind>,
    /// Children of the root that once had an `alive`: nodes, whatever children they have now.
    proven: BTreeSet<String>,
}

/// The watch that brings the events.
enum Watch {
    Recursive(EventStream),
    OneShot(JoinSet<()>),
}

/// What changed.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Dirty {
    /// A child of the root, with all below.
    Top(String),
    /// A child of a group.
    Member(String, String),
}

impl Registry {
    /// `proven`: the nodes without a group that are known from earlier runs.
    pub(crate) fn new(client: Client, news: mpsc::Sender<News>, proven: BTreeSet<String>) -> Self {
        Self { client, news, top: BTreeMap::new(), proven }
    }

    /// Runs until the monitor stops listening or the client is closed.
    pub(crate) async fn run(mut self) {
        loop {
            if !self.wait_connected().await {
                return;
            }
            match self.follow().await {
                Ok(()) => return,
                Err(err) => debug!(%err, "the registry cannot be followed for now"),
            }
            if self.tell(Input::SightLost).await.is_err() {
                return;
            }
            tokio::time::sleep(AGAIN).await;
        }
    }

    /// `false`: the client is finished.
    async fn wait_connected(&self) -> bool {
        let mut state = self.client.state();
        loop {
            let status = state.borrow_and_update().status;
            match status {
                Status::Connected => return true,
                Status::Closed | Status::AuthFailed => return false,
                Status::ReadOnly | Status::Suspended | Status::Lost => (),
            }
            if state.changed().await.is_err() {
                return false;
            }
        }
    }

    /// Reads everything and follows it. `Ok`: nobody listens any more.
    async fn follow(&mut self) -> Result<(), Error> {
        let mut watch = match self.client.add_watch(ROOT, WatchMode::PersistentRecursive).await {
            Ok(stream) => Watch::Recursive(stream),
            Err(Error::Server(ErrorCode::Unimplemented)) => {
                if self.news.send(News::OldWatches).await.is_err() {
                    return Ok(());
                }
                Watch::OneShot(JoinSet::new())
            }
            Err(err) => return Err(err),
        };
        let mut state = self.client.state();
        self.look_at_all(&mut watch).await?;
        loop {
            tokio::select! {
                biased;
                changed = state.changed() => {
                    let status = state.borrow_and_update().status;
                    if changed.is_err() || status == Status::Closed {
                        return Ok(());
                    }
                    if status != Status::Connected {
                        return Err(Error::Unavailable);
                    }
                }
                () = self.news.closed() => return Ok(()),
                happened = next(&mut watch) => match happened {
                    None => return Ok(()),
                    Some(Event::Resync) => self.look_at_all(&mut watch).await?,
                    Some(Event::Changed(first)) => {
                        let mut dirty = BTreeSet::new();
                        let mut gap = false;
                        self.mark(&first.path, &mut dirty);
                        while let Watch::Recursive(stream) = &mut watch {
                            match stream.try_next() {
                                Some(Event::Changed(event)) => self.mark(&event.path, &mut dirty),
                                Some(Event::Resync) => gap = true,
                                None => break,
                            }
                        }
                        if gap {
                            self.look_at_all(&mut watch).await?;
                        } else if self.look_at(dirty).await?.is_err() {
                            return Ok(());
                        }
                    }
                },
            }
        }
    }

    /// Which read an event on `path` asks for.
    fn mark(&self, path: &str, dirty: &mut BTreeSet<Dirty>) {
        let below = path.strip_prefix(ROOT).unwrap_or_default().trim_start_matches('/');
        let mut names = below.split('/').filter(|name| !name.is_empty());
        let (Some(top), child) = (names.next(), names.next()) else { return };
        let grandchild = names.next();
        let group = matches!(self.top.get(top), Some(Kind::Group(_)));
        match child {
            Some(member) if group && member != ALIVE => {
                // Below a member only its `alive` matters.
                if grandchild.is_none_or(|name| name == ALIVE) && names.next().is_none() {
                    dirty.insert(Dirty::Member(top.to_owned(), member.to_owned()));
                }
            }
            _ => {
                dirty.insert(Dirty::Top(top.to_owned()));
            }
        }
    }

    async fn look_at(&mut self, dirty: BTreeSet<Dirty>) -> Result<Result<(), Gone>, Error> {
        for what in &dirty {
            let told = match what {
                Dirty::Top(name) => self.look_at_top(name).await?,
                // All of it is read anew already.
                Dirty::Member(group, _) if dirty.contains(&Dirty::Top(group.clone())) => Ok(()),
                Dirty::Member(group, id) => self.look_at_member(group, id).await?,
            };
            if told.is_err() {
                return Ok(told);
            }
        }
        Ok(Ok(()))
    }

    async fn look_at_member(&mut self, group: &str, id: &str) -> Result<Result<(), Gone>, Error> {
        let key = NodeKey { group: Some(group.to_owned()), id: id.to_owned() };
        let seen = read_node(&self.client, &key).await?;
        if let Some(Kind::Group(members)) = self.top.get_mut(group) {
            match seen {
                Some(_) => members.insert(id.to_owned()),
                None => members.remove(id),
            };
        }
        Ok(match seen {
            Some(seen) => self.tell(Input::Node(key, seen)).await,
            None => self.tell(Input::Gone(key)).await,
        })
    }

    async fn look_at_top(&mut self, name: &str) -> Result<Result<(), Gone>, Error> {
        let before = self.keys_under(name);
        let found = read_top(&self.client, name, self.proven.contains(name), self.was_group(name));
        let found = found.await?;
        self.remember(name, found.as_ref());
        let nodes = found.map(|found| found.nodes).unwrap_or_default();
        let now: BTreeSet<NodeKey> = nodes.iter().map(|(key, _)| key.clone()).collect();
        for key in before.difference(&now) {
            if let Err(gone) = self.tell(Input::Gone(key.clone())).await {
                return Ok(Err(gone));
            }
        }
        for (key, seen) in nodes {
            if let Err(gone) = self.tell(Input::Node(key, seen)).await {
                return Ok(Err(gone));
            }
        }
        Ok(Ok(()))
    }

    /// Reads the whole registry; arms one-shot watches anew where there are no others.
    async fn look_at_all(&mut self, watch: &mut Watch) -> Result<(), Error> {
        if let Watch::OneShot(watchers) = watch {
            // Watches first: what changes between them and the reads fires them.
            *watchers = arm(&self.client).await?;
        }
        let own_session = self.client.session();
        let names = match self.client.children(ROOT).await {
            Ok(names) => names,
            Err(Error::Server(ErrorCode::NoNode)) => Vec::new(),
            Err(err) => return Err(err),
        };
        let known: BTreeSet<String> = names.iter().cloned().collect();
        let mut reads = JoinSet::new();
        let mut names = names.into_iter();
        let mut nodes = Vec::new();
        loop {
            while reads.len() < READS_MAX
                && let Some(name) = names.next()
            {
                let (client, proven) = (self.client.clone(), self.proven.contains(&name));
                let was_group = self.was_group(&name);
                reads.spawn(async move {
                    let found = read_top(&client, &name, proven, was_group).await;
                    (name, found)
                });
            }
            let Some(read) = reads.join_next().await else { break };
            let (name, found) = read.map_err(|_| Error::Closed)?;
            let found = found?;
            self.remember(&name, found.as_ref());
            nodes.extend(found.into_iter().flat_map(|found| found.nodes));
        }
        self.top.retain(|name, _| known.contains(name));
        // If nobody listens the caller finds out at its next word.
        let _ = self.tell(Input::Registry { own_session, nodes }).await;
        Ok(())
    }

    fn was_group(&self, name: &str) -> bool {
        matches!(self.top.get(name), Some(Kind::Group(_)))
    }

    fn remember(&mut self, name: &str, found: Option<&Found>) {
        match found {
            None => {
                self.top.remove(name);
                self.proven.remove(name);
            }
            Some(found) => {
                self.top.insert(name.to_owned(), found.kind.clone());
                if found.nodes.iter().any(|(key, seen)| key.group.is_none() && seen.alive.is_some())
                {
                    self.proven.insert(name.to_owned());
                }
            }
        }
    }

    fn keys_under(&self, name: &str) -> BTreeSet<NodeKey> {
        match self.top.get(name) {
            None => BTreeSet::new(),
            Some(Kind::Node) => [NodeKey { group: None, id: name.to_owned() }].into(),
            Some(Kind::Group(members)) => members
                .iter()
                .map(|id| NodeKey { group: Some(name.to_owned()), id: id.clone() })
                .collect(),
        }
    }

    async fn tell(&self, input: Input) -> Result<(), Gone> {
        self.news.send(News::Input(input)).await.map_err(|_| Gone)
    }
}

/// Nobody listens any more.
#[derive(Clone, Copy, Debug)]
struct Gone;

/// A child of the root as it was read.
struct Found {
    kind: Kind,
    nodes: Vec<(NodeKey, Observation)>,
}

async fn next(watch: &mut Watch) -> Option<Event> {
    match watch {
        Watch::Recursive(stream) => stream.next().await,
        Watch::OneShot(watchers) => {
            // None armed is no end: the root may not exist yet, and something will be armed on it.
            if watchers.join_next().await.is_none() {
                tokio::time::sleep(Duration::from_secs(1)).await;
            }
            Some(Event::Resync)
        }
    }
}

/// Arms one-shot watches on the root, its children and theirs.
async fn arm(client: &Client) -> Result<JoinSet<()>, Error> {
    let mut fired = JoinSet::new();
    let mut wait = |mut watcher: Watcher| {
        fired.spawn(async move {
            // Lost with its session: that too asks for a new look.
            let _ = watcher.fired().await;
        });
    };
    let (root, watcher) = client.exists_watch(ROOT).await?;
    wait(watcher);
    let mut level = if root.is_some() { vec![ROOT.to_owned()] } else { vec![] };
    for depth in 0..3 {
        let mut below = Vec::new();
        for path in level {
            let (children, _, watcher) = match client.children_watch(&path).await {
                Ok(found) => found,
                Err(Error::Server(ErrorCode::NoNode)) => continue,
                Err(err) => return Err(err),
            };
            wait(watcher);
            let children = children.iter().filter(|name| *name != ALIVE && depth < 2);
            below.extend(children.map(|name| format!("{path}/{name}")));
        }
        level = below;
    }
    Ok(fired)
}

/// Reads a child of the root: a node, or a group with its nodes; none if it is gone.
async fn read_top(
    client: &Client,
    name: &str,
    proven: bool,
    was_group: bool,
) -> Result<Option<Found>, Error> {
    let path = format!("{ROOT}/{name}");
    let (children, stat) = match client.children_stat(&path).await {
        Ok(found) => found,
        Err(Error::Server(ErrorCode::NoNode)) => return Ok(None),
        Err(err) => return Err(err),
    };
    let is_node = proven
        || children.iter().any(|child| child == ALIVE)
        || (children.is_empty() && !was_group);
    if is_node {
        let key = NodeKey { group: None, id: name.to_owned() };
        let seen = complete(client, &key, &children, &stat).await?;
        return Ok(seen.map(|seen| Found { kind: Kind::Node, nodes: vec![(key, seen)] }));
    }
    let mut members = BTreeSet::new();
    let mut nodes = Vec::new();
    let mut children = children.into_iter();
    let mut reads = JoinSet::new();
    loop {
        while reads.len() < READS_MAX
            && let Some(id) = children.next()
        {
            let (client, group) = (client.clone(), Some(name.to_owned()));
            reads.spawn(async move {
                let key = NodeKey { group, id };
                let seen = read_node(&client, &key).await;
                (key, seen)
            });
        }
        let Some(read) = reads.join_next().await else { break };
        let (key, seen) = read.map_err(|_| Error::Closed)?;
        if let Some(seen) = seen? {
            members.insert(key.id.clone());
            nodes.push((key, seen));
        }
    }
    Ok(Some(Found { kind: Kind::Group(members), nodes }))
}

/// Reads a node; none if it is not registered.
async fn read_node(client: &Client, key: &NodeKey) -> Result<Option<Observation>, Error> {
    match client.children_stat(&key.path()).await {
        Ok((children, stat)) => complete(client, key, &children, &stat).await,
        Err(Error::Server(ErrorCode::NoNode)) => Ok(None),
        Err(err) => Err(err),
    }
}

/// Reads what its children and stat, read together, do not tell of a node.
///
/// The order matters. Whether it ever had children is told with the children: a first child that
/// comes between two reads must not look like one that went. The data comes last: what was written
/// before `alive` went is in it. Whatever changes meanwhile brings an event.
async fn complete(
    client: &Client,
    key: &NodeKey,
    children: &[String],
    stat: &Stat,
) -> Result<Option<Observation>, Error> {
    let path = key.path();
    let alive = if children.iter().any(|child| child == ALIVE) {
        client.exists(&format!("{path}/{ALIVE}")).await?
    } else {
        None
    };
    let znode = match client.get(&path).await {
        Ok(znode) => znode,
        Err(Error::Server(ErrorCode::NoNode)) => return Ok(None),
        Err(err) => return Err(err),
    };
    let mut data = znode.data.unwrap_or_default();
    let leaving = says_leaving(&data).then_some(znode.stat.mzxid);
    data.truncate(DATA_MAX);
    let alive = alive.map(|stat| Alive { owner: stat.ephemeral_owner, czxid: stat.czxid });
    Ok(Some(Observation { leaving, had_children: stat.cversion != 0, alive, data }))
}

/// `state=leaving`, alone or among other words, or JSON with `"state": "leaving"`.
fn says_leaving(data: &[u8]) -> bool {
    let Ok(text) = std::str::from_utf8(data) else { return false };
    let json: Option<serde_json::Value> = serde_json::from_str(text).ok();
    let in_json = json.is_some_and(|json| json["state"] == "leaving");
    let mut words = text.split(|c: char| c.is_whitespace() || ";,&".contains(c));
    in_json || words.any(|word| word == "state=leaving")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn leaving_is_said_in_two_ways() {
        for yes in ["state=leaving", "host=a\nstate=leaving\n", r#"{"a":1,"state":"leaving"}"#] {
            assert!(says_leaving(yes.as_bytes()), "{yes}");
        }
        for no in ["", "state=up", r#"{"state":"up"}"#, r#"["leaving"]"#, "xstate=leaving"] {
            assert!(!says_leaving(no.as_bytes()), "{no}");
        }
        assert!(!says_leaving(&[0xff]));
    }
}

//! The registry `/nodes`, read and followed through the ordinary client.
//!
//! One persistent recursive watch; every event has its node read anew, every gap the whole registry.
//! Servers before 3.6 know no such watch: there a one-shot watch on everything has everything read
//! anew. What is read says nothing by itself: the core judges. Registries of others are read beside
//! it, in [`flat`].

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tracing::debug;
use wk_alert::node::{Input, NodeKey, Observation};
use wk_client::{
    Client, Error, ErrorCode, Event, EventStream, EventType, Status, WatchEvent, WatchMode,
};

use crate::config::EnsembleConfig;

mod flat;
mod read;

use flat::{Fired, Flats};
use read::{Found, Reader, arm};

/// Where nodes are registered.
const ROOT: &str = "/nodes";
const ALIVE: &str = "alive";
/// Nodes that are read at a time, over the whole registry; each costs the server three questions,
/// which go together.
const READS_MAX: usize = 64;
/// After so long without a session it is said why there is none.
const CONNECT_PATIENCE: Duration = Duration::from_secs(5);
/// How much of a node's data is kept to be shown.
const DATA_MAX: usize = 4096;
/// Wait before a failed look is repeated.
const AGAIN: Duration = Duration::from_millis(500);
/// The same where the ACL forbids it: only an operator can change that.
const AGAIN_DENIED: Duration = Duration::from_secs(5);
/// How often it is looked who has been away for too long to be remembered.
const FORGET_INTERVAL: Duration = Duration::from_secs(10);

/// News for the monitor.
#[derive(Clone, Debug)]
pub(crate) enum News {
    /// For the core.
    Input(Input),
    /// The servers know no persistent watches.
    OldWatches,
    /// What could not be seen, and the line that would change it; none: nothing.
    Note(Option<String>),
}

/// What a child of the root is, as last read.
#[derive(Clone, Debug)]
enum Kind {
    Node,
    Group(BTreeSet<String>),
}

/// Follows the registry of one ensemble.
pub(crate) struct Registry {
    client: Client,
    news: mpsc::Sender<News>,
    top: BTreeMap<String, Kind>,
    /// Children of the root that once had an `alive`: nodes, whatever children they have now.
    proven: BTreeSet<String>,
    /// Nodes that the configuration says must be there.
    expected: BTreeSet<NodeKey>,
    flats: Flats,
    /// The servers know no persistent watches; they hang up on who asks for one.
    old_watches: bool,
    /// Parts of the registry that may not be read.
    denied: BTreeSet<String>,
    /// Why there is no session with the ensemble.
    unconnected: Option<String>,
    noted: Option<String>,
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
    /// `known`: the nodes that earlier runs saw alive.
    pub(crate) fn new(
        client: Client,
        news: mpsc::Sender<News>,
        config: &EnsembleConfig,
        known: &BTreeSet<NodeKey>,
    ) -> Self {
        let expected: BTreeSet<NodeKey> = config.expected.iter().map(|node| key(node)).collect();
        let flats = Flats::new(client.clone(), config.presets.clone(), &expected, known);
        let of_preset = |key: &NodeKey| {
            let group = key.group.as_deref().unwrap_or_default();
            config.presets.iter().any(|preset| preset.has(group))
        };
        let expected = expected.into_iter().filter(|key| !of_preset(key)).collect();
        let lone = known.iter().filter(|key| key.group.is_none());
        Self {
            client,
            news,
            top: BTreeMap::new(),
            proven: lone.map(|key| key.id.clone()).collect(),
            expected,
            flats,
            old_watches: false,
            denied: BTreeSet::new(),
            unconnected: None,
            noted: None,
        }
    }

    /// Runs until the monitor stops listening or the client is closed.
    pub(crate) async fn run(mut self) {
        loop {
            if !self.wait_connected().await {
                return;
            }
            match self.follow().await {
                Ok(()) => return,
                Err(err) if err.is(ErrorCode::NoAuth) => {
                    if self.tell(Input::Denied(ROOT.to_owned())).await.is_err() {
                        return;
                    }
                    tokio::time::sleep(AGAIN_DENIED).await;
                    continue;
                }
                Err(err) => debug!(%err, "the registry cannot be followed for now"),
            }
            if self.tell(Input::SightLost).await.is_err() {
                return;
            }
            tokio::time::sleep(AGAIN).await;
        }
    }

    /// `false`: the client is finished.
    async fn wait_connected(&mut self) -> bool {
        let mut state = self.client.state();
        loop {
            let status = state.borrow_and_update().status;
            match status {
                Status::Connected => {
                    self.unconnected = None;
                    self.note().await;
                    return true;
                }
                Status::AuthFailed => {
                    self.unconnected = Some(
                        "registry: the servers refuse the monitor's credentials: correct \
                         [ensemble.NAME] auth in watchkeeper.toml, then start it again"
                            .to_owned(),
                    );
                    self.note().await;
                    return false;
                }
                Status::Closed => return false,
                Status::ReadOnly | Status::Suspended | Status::Lost => (),
            }
            match tokio::time::timeout(CONNECT_PATIENCE, state.changed()).await {
                Ok(Ok(())) => (),
                Ok(Err(_)) => return false,
                Err(_) => {
                    let why = self.client.last_error();
                    self.unconnected = why.map(|why| format!("registry: no session: {why}"));
                    self.note().await;
                }
            }
        }
    }

    /// Reads everything and follows it. `Ok`: nobody listens any more.
    async fn follow(&mut self) -> Result<(), Error> {
        let Some(mut watch) = self.watch().await? else { return Ok(()) };
        let mut state = self.client.state();
        self.look_at_all(&mut watch).await?;
        let mut forget = tokio::time::interval(FORGET_INTERVAL);
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
                fired = self.flats.next() => match fired {
                    Fired::Lists => self.look_at_all(&mut watch).await?,
                    Fired::List(list) => {
                        let seen = self.flats.look_at(&list).await?;
                        if self.tell_all(seen).await.is_err() {
                            return Ok(());
                        }
                    }
                },
                _ = forget.tick() => {
                    for key in self.flats.forget() {
                        if self.tell(Input::Gone(key)).await.is_err() {
                            return Ok(());
                        }
                    }
                }
                happened = next(&mut watch) => match happened {
                    None => return Ok(()),
                    Some(Event::Resync) => self.look_at_all(&mut watch).await?,
                    Some(Event::Changed(first)) => {
                        let (mut dirty, mut beats) = (BTreeSet::new(), Vec::new());
                        let mut gap = false;
                        self.mark(&first, &mut dirty, &mut beats);
                        while let Watch::Recursive(stream) = &mut watch {
                            match stream.try_next() {
                                Some(Event::Changed(event)) => {
                                    self.mark(&event, &mut dirty, &mut beats);
                                }
                                Some(Event::Resync) => gap = true,
                                None => break,
                            }
                        }
                        for key in beats {
                            if self.tell(Input::Beat(key)).await.is_err() {
                                return Ok(());
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

    /// The watch on everything; none if nobody listens any more.
    async fn watch(&mut self) -> Result<Option<Watch>, Error> {
        if !self.old_watches {
            match self.client.add_watch(ROOT, WatchMode::PersistentRecursive).await {
                Ok(stream) => return Ok(Some(Watch::Recursive(stream))),
                Err(Error::Server(ErrorCode::Unimplemented)) => self.old_watches = true,
                Err(err) => return Err(err),
            }
            if self.news.send(News::OldWatches).await.is_err() {
                return Ok(None);
            }
        }
        Ok(Some(Watch::OneShot(JoinSet::new())))
    }

    /// Which read an event asks for, and whether it is a sign of life: changed data of an `alive`
    /// says nothing else, that of a node may also say that it is leaving.
    fn mark(&self, event: &WatchEvent, dirty: &mut BTreeSet<Dirty>, beats: &mut Vec<NodeKey>) {
        let below = event.path.strip_prefix(ROOT).unwrap_or_default().trim_start_matches('/');
        let mut names = below.split('/').filter(|name| !name.is_empty());
        let (Some(top), child) = (names.next(), names.next()) else { return };
        let grandchild = names.next();
        let group = matches!(self.top.get(top), Some(Kind::Group(_)));
        if event.kind == EventType::NodeDataChanged {
            let (key, of_alive) = match (group, child, grandchild) {
                (false, None | Some(ALIVE), None) => {
                    (NodeKey { group: None, id: top.to_owned() }, child.is_some())
                }
                (true, Some(id), None | Some(ALIVE)) if names.clone().next().is_none() => {
                    let key = NodeKey { group: Some(top.to_owned()), id: id.to_owned() };
                    (key, grandchild.is_some())
                }
                _ => return,
            };
            beats.push(key);
            if of_alive {
                return;
            }
        }
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
        let seen = Reader::new(self.client.clone()).node(&key).await?;
        if let Some(Kind::Group(members)) = self.top.get_mut(group) {
            match seen {
                Some(_) => members.insert(id.to_owned()),
                None => members.remove(id),
            };
        }
        Ok(match seen {
            Some(seen) => self.tell(Input::Node(key, seen)).await,
            None => self.tell_gone(key).await,
        })
    }

    async fn look_at_top(&mut self, name: &str) -> Result<Result<(), Gone>, Error> {
        let before = self.keys_under(name);
        let reader = Reader::new(self.client.clone());
        let found = reader.top(name, self.proven.contains(name), self.was_group(name)).await?;
        self.remember(name, found.as_ref());
        let nodes = found.map(|found| found.nodes).unwrap_or_default();
        let now: BTreeSet<NodeKey> = nodes.iter().map(|(key, _)| key.clone()).collect();
        for key in before.difference(&now) {
            if let Err(gone) = self.tell_gone(key.clone()).await {
                return Ok(Err(gone));
            }
        }
        Ok(self.tell_all(nodes).await)
    }

    /// Reads the whole registry; arms one-shot watches anew where there are no others.
    async fn look_at_all(&mut self, watch: &mut Watch) -> Result<(), Error> {
        if let Watch::OneShot(watchers) = watch {
            // Watches first: what changes between them and the reads fires them.
            *watchers = arm(&self.client).await?;
        }
        let own_session = self.client.session();
        self.denied.clear();
        let names = match self.client.children(ROOT).await {
            Ok(names) => names,
            Err(Error::Server(ErrorCode::NoNode)) => Vec::new(),
            Err(err) => return Err(err),
        };
        let known: BTreeSet<String> = names.iter().cloned().collect();
        let mut reads = JoinSet::new();
        let reader = Reader::new(self.client.clone());
        let mut names = names.into_iter();
        let mut nodes = Vec::new();
        loop {
            while reads.len() < READS_MAX
                && let Some(name) = names.next()
            {
                let (reader, proven) = (reader.clone(), self.proven.contains(&name));
                let was_group = self.was_group(&name);
                reads.spawn(async move {
                    let found = reader.top(&name, proven, was_group).await;
                    (name, found)
                });
            }
            let Some(read) = reads.join_next().await else { break };
            let (name, found) = read.map_err(|_| Error::Closed)?;
            let found = match found {
                Err(Error::Server(ErrorCode::NoAuth)) => {
                    self.denied.insert(format!("{ROOT}/{name}"));
                    continue;
                }
                found => found?,
            };
            self.remember(&name, found.as_ref());
            nodes.extend(found.into_iter().flat_map(|found| found.nodes));
        }
        self.top.retain(|name, _| known.contains(name));
        let there: BTreeSet<&NodeKey> = nodes.iter().map(|(key, _)| key).collect();
        let missing = self.expected.iter().filter(|key| !there.contains(key));
        let missing: Vec<NodeKey> = missing.cloned().collect();
        nodes.extend(missing.into_iter().map(|key| (key, unregistered())));
        nodes.extend(self.flats.look_at_all().await?);
        self.note().await;
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

    /// Says what could not be seen, if that is news.
    async fn note(&mut self) {
        let denied = self.denied.first().map(|path| {
            let count = self.denied.len();
            format!(
                "registry: NoAuth at {path} ({count} such): its nodes are not seen. Give the \
                 monitor's credentials ([ensemble.NAME] auth in watchkeeper.toml) the right r on it"
            )
        });
        let lost = self.unconnected.clone().into_iter();
        let notes: Vec<String> = lost.chain(denied).chain(self.flats.notes.clone()).collect();
        let note = (!notes.is_empty()).then(|| notes.join("; "));
        if note != self.noted {
            self.noted.clone_from(&note);
            // If nobody listens the caller finds out at its next word.
            let _ = self.news.send(News::Note(note)).await;
        }
    }

    /// A node is not registered any more; if it is expected, that is no end.
    async fn tell_gone(&self, key: NodeKey) -> Result<(), Gone> {
        if self.expected.contains(&key) {
            return self.tell(Input::Node(key, unregistered())).await;
        }
        self.tell(Input::Gone(key)).await
    }

    async fn tell_all(&self, nodes: Vec<(NodeKey, Observation)>) -> Result<(), Gone> {
        for (key, seen) in nodes {
            self.tell(Input::Node(key, seen)).await?;
        }
        Ok(())
    }

    async fn tell(&self, input: Input) -> Result<(), Gone> {
        self.news.send(News::Input(input)).await.map_err(|_| Gone)
    }
}

/// `ID` or `GROUP/ID`.
fn key(text: &str) -> NodeKey {
    match text.split_once('/') {
        Some((group, id)) => NodeKey { group: Some(group.to_owned()), id: id.to_owned() },
        None => NodeKey { group: None, id: text.to_owned() },
    }
}

/// What is seen of a node that must be there and that nobody registered.
fn unregistered() -> Observation {
    Observation { expected: true, ..Observation::default() }
}

/// Nobody listens any more.
#[derive(Clone, Copy, Debug)]
struct Gone;

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

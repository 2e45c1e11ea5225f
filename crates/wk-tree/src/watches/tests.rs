//! Watches against the two plain tables that Apache keeps, and the order of events.

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;
use wk_proto::Zxid;
use wk_proto::client::request::{Request, WatcherType};
use wk_proto::client::response::EventType::{
    self, NodeChildrenChanged, NodeCreated, NodeDataChanged, NodeDeleted,
};

use super::{Rearm, WatchKind, WatcherId, Watches};
use crate::NodeAcl;
use crate::apply::TreeEvent;
use crate::testing::{ME, Server, create, set};
use crate::tree::TreeOptions;

const ONE: WatcherId = WatcherId(1);
const TWO: WatcherId = WatcherId(2);

/// One of Apache's tables: path, connection, modes.
#[derive(Clone, Debug, Default)]
struct Table(BTreeMap<String, BTreeMap<WatcherId, BTreeSet<WatchKind>>>);

impl Table {
    fn add(&mut self, path: &str, watcher: WatcherId, kind: WatchKind) {
        self.0.entry(path.to_owned()).or_default().entry(watcher).or_default().insert(kind);
    }

    /// All on the path, once each; the one-shot ones go. Above it, the recursive ones.
    fn trigger(&mut self, path: &str) -> BTreeSet<WatcherId> {
        let mut told = BTreeSet::new();
        for (watched, watchers) in &mut self.0 {
            for (watcher, modes) in watchers {
                let below = watched == "/" || path.starts_with(&format!("{watched}/"));
                if watched == path && !modes.is_empty() {
                    told.insert(*watcher);
                    modes.retain(|m| matches!(m, WatchKind::Persistent | WatchKind::Recursive));
                } else if below && modes.contains(&WatchKind::Recursive) {
                    told.insert(*watcher);
                }
            }
        }
        told
    }

    fn has(&self, path: &str, watcher: WatcherId) -> BTreeSet<WatchKind> {
        self.0.get(path).and_then(|w| w.get(&watcher)).cloned().unwrap_or_default()
    }

    fn retain(&mut self, mut keep: impl FnMut(&str, WatcherId, WatchKind) -> bool) {
        for (path, watchers) in &mut self.0 {
            for (watcher, modes) in watchers {
                modes.retain(|mode| keep(path, *watcher, *mode));
            }
        }
    }

    fn pairs(&self) -> BTreeSet<(String, WatcherId)> {
        let mut pairs = BTreeSet::new();
        for (path, watchers) in &self.0 {
            let armed = watchers.iter().filter(|(_, modes)| !modes.is_empty());
            pairs.extend(armed.map(|(watcher, _)| (path.clone(), *watcher)));
        }
        pairs
    }
}

#[derive(Clone, Debug, Default)]
struct Model {
    data: Table,
    child: Table,
}

impl Model {
    fn add(&mut self, path: &str, watcher: WatcherId, kind: WatchKind) {
        if kind != WatchKind::Child {
            self.data.add(path, watcher, kind);
        }
        if matches!(kind, WatchKind::Child | WatchKind::Persistent) {
            self.child.add(path, watcher, kind);
        }
    }

    fn trigger(&mut self, kind: EventType, path: &str) -> BTreeSet<WatcherId> {
        match kind {
            NodeCreated | NodeDataChanged => self.data.trigger(path),
            NodeChildrenChanged => self.child.trigger(path),
            NodeDeleted => {
                let mut told = self.data.trigger(path);
                told.extend(self.child.trigger(path));
                told
            }
        }
    }
}

#[derive(Clone, Debug)]
enum Step {
    Add(String, WatcherId, WatchKind),
    Event(EventType, String),
    Remove(String, WatcherId, WatcherType),
    Drop(WatcherId),
}

fn means(kind: WatcherType, mode: WatchKind) -> bool {
    match kind {
        WatcherType::Any => true,
        WatcherType::Data => mode == WatchKind::Data,
        WatcherType::Children => mode == WatchKind::Child,
        WatcherType::Persistent => mode == WatchKind::Persistent,
        WatcherType::PersistentRecursive => mode == WatchKind::Recursive,
    }
}

fn arb_step() -> impl Strategy<Value = Step> {
    let path = prop::sample::select(vec!["/", "/a", "/a/b", "/a/b/c", "/ab", "/a/bc"])
        .prop_map(str::to_owned);
    let watcher = (0..3_u64).prop_map(WatcherId);
    let kind = prop::sample::select(vec![
        WatchKind::Data,
        WatchKind::Child,
        WatchKind::Persistent,
        WatchKind::Recursive,
    ]);
    let event =
        prop::sample::select(vec![NodeCreated, NodeDeleted, NodeDataChanged, NodeChildrenChanged]);
    let removed = (1..6).prop_map(|code| WatcherType::from_code(code).unwrap());
    prop_oneof![
        4 => (path.clone(), watcher.clone(), kind).prop_map(|(p, w, k)| Step::Add(p, w, k)),
        4 => (event, path.clone()).prop_map(|(e, p)| Step::Event(e, p)),
        2 => (path, watcher.clone(), removed).prop_map(|(p, w, k)| Step::Remove(p, w, k)),
        1 => watcher.prop_map(Step::Drop),
    ]
}

fn check_step(watches: &mut Watches, model: &mut Model, step: &Step) {
    match step {
        Step::Add(path, watcher, kind) => {
            watches.add(path, *watcher, *kind);
            model.add(path, *watcher, *kind);
        }
        Step::Event(kind, path) => {
            let acl = NodeAcl::default();
            let event = TreeEvent { kind: *kind, path, zxid: Zxid(1), acl: &acl };
            let mut told = Vec::new();
            watches.trigger(&event, |watcher, of, at| {
                assert_eq!((of, at), (*kind, &**path));
                told.push(watcher);
            });
            let expected: Vec<_> = model.trigger(*kind, path).into_iter().collect();
            assert_eq!(told, expected, "each once, in order");
        }
        Step::Remove(path, watcher, kind) => {
            let mut modes = model.data.has(path, *watcher);
            modes.extend(model.child.has(path, *watcher));
            let any = modes.iter().any(|mode| means(*kind, *mode));
            assert_eq!(watches.contains(path, *watcher, *kind), any);
            assert_eq!(watches.remove(path, *watcher, *kind), any);
            for table in [&mut model.data, &mut model.child] {
                table.retain(|p, w, mode| p != path || w != *watcher || !means(*kind, mode));
            }
        }
        Step::Drop(watcher) => {
            watches.drop_watcher(*watcher);
            for table in [&mut model.data, &mut model.child] {
                table.retain(|_, w, _| w != *watcher);
            }
        }
    }
    let data = model.data.pairs();
    assert_eq!(watches.by_path().map(|(p, w)| (p.to_owned(), w)).collect::<BTreeSet<_>>(), data);
    assert_eq!(watches.by_watcher().map(|(w, p)| (p.to_owned(), w)).collect::<BTreeSet<_>>(), data);
    let counts = watches.counts();
    assert_eq!(counts.data_watches, data.len());
    assert_eq!(counts.watches, data.len() + model.child.pairs().len());
    let distinct = |n: BTreeSet<String>| n.len();
    assert_eq!(counts.paths, distinct(data.iter().map(|(p, _)| p.clone()).collect()));
    assert_eq!(counts.connections, data.iter().map(|(_, w)| w).collect::<BTreeSet<_>>().len());
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1_000, ..ProptestConfig::default() })]

    #[test]
    fn prop_watches_are_apaches_two_tables(steps in prop::collection::vec(arb_step(), 1..60)) {
        let (mut watches, mut model) = (Watches::new(), Model::default());
        for step in &steps {
            check_step(&mut watches, &mut model, step);
        }
        for watcher in 0..3 {
            check_step(&mut watches, &mut model, &Step::Drop(WatcherId(watcher)));
        }
        prop_assert!(watches.is_empty());
    }
}

/// What each connection is told by the txn that was applied last.
fn told(server: &Server, watches: &mut Watches) -> Vec<(u64, i32, String)> {
    let mut told = Vec::new();
    for event in server.applied.events() {
        assert_eq!(event.zxid, server.tree.last_zxid());
        watches.trigger(&event, |w, kind, path| told.push((w.0, kind.code(), path.to_owned())));
    }
    told
}

fn events(list: &[(u64, i32, &str)]) -> Vec<(u64, i32, String)> {
    list.iter().map(|(w, kind, path)| (*w, *kind, (*path).to_owned())).collect()
}

#[test]
fn events_of_a_write_come_in_apaches_order() {
    let mut s = Server::new(TreeOptions::default());
    let mut watches = Watches::new();
    s.create("/p", 0);
    watches.add("/p", ONE, WatchKind::Persistent);
    watches.add("/p", ONE, WatchKind::Recursive);
    watches.add("/p/c", TWO, WatchKind::Data);
    s.create("/p/c", 0);
    assert_eq!(told(&s, &mut watches), events(&[(1, 1, "/p/c"), (2, 1, "/p/c"), (1, 4, "/p")]));
    watches.add("/p/c", TWO, WatchKind::Data);
    watches.add("/p/c", TWO, WatchKind::Child);
    watches.add("/p", TWO, WatchKind::Child);
    let multi = Request::Multi(vec![
        set("/p", b"", -1),
        Request::Delete { path: "/p/c", version: -1 },
        create("/p/d", 0),
    ]);
    s.run(ME, &multi);
    let expected = [
        (1, 3, "/p"),
        (1, 2, "/p/c"),
        (2, 2, "/p/c"),
        (1, 4, "/p"),
        (2, 4, "/p"),
        (1, 1, "/p/d"),
        (1, 4, "/p"),
    ];
    assert_eq!(told(&s, &mut watches), events(&expected));
}

#[test]
fn the_end_of_a_session_is_told_for_each_ephemeral() {
    let mut s = Server::new(TreeOptions::default());
    let mut watches = Watches::new();
    s.create("/e1", 1);
    s.create("/e2", 1);
    watches.add("/", ONE, WatchKind::Child);
    watches.add("/e2", ONE, WatchKind::Data);
    s.run(ME, &Request::CloseSession);
    assert_eq!(told(&s, &mut watches), events(&[(1, 4, "/"), (1, 2, "/e2")]));
}

#[test]
fn rearmed_watches_tell_what_was_missed() {
    let mut s = Server::new(TreeOptions::default());
    s.create("/old", 0);
    let seen = s.tree.last_zxid();
    s.create("/old/child", 0);
    s.create("/new", 0);
    s.run(ME, &set("/new", b"", -1));
    let mut watches = Watches::new();
    let mut rearm = |what, path| watches.rearm(&s.tree, seen, what, path, ONE);
    assert_eq!(rearm(Rearm::Data, "/gone"), Some(NodeDeleted));
    assert_eq!(rearm(Rearm::Child, "/gone"), Some(NodeDeleted));
    assert_eq!(rearm(Rearm::Data, "/new"), Some(NodeDataChanged));
    assert_eq!(rearm(Rearm::Child, "/old"), Some(NodeChildrenChanged));
    assert_eq!(rearm(Rearm::Exist, "/new"), Some(NodeCreated));
    assert_eq!(rearm(Rearm::Data, "/old"), None);
    assert_eq!(rearm(Rearm::Exist, "/gone"), None);
    assert_eq!(rearm(Rearm::Child, "/zookeeper"), None);
    assert_eq!(watches.len(), 3);
    assert!(watches.contains("/gone", ONE, WatcherType::Data));
    assert!(watches.contains("/zookeeper", ONE, WatcherType::Children));
}

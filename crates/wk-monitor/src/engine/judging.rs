//! From samples to findings: when the rules are asked, and what the detectors add.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::sync::PoisonError;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use wk_alert::locate::{self, Group, Role, Scene};
use wk_alert::node::{self, NodeKey, NodeState};
use wk_alert::server::Probe;
use wk_alert::{Ask, Fact, FactKind, Healing, Look, Now, Pulse, Sight, Subject};
use wk_probe::board::{Board, Difference, Timing};

use super::{Engine, Event};
use crate::judgement::Awake;
use crate::publish::{Watched, WatchedServer};
use crate::store::Kept;
use crate::task::{Task, forward, supervise};
use crate::{notification, rule_files};

/// How often it is sampled how the channels fare.
const CHANNELS_INTERVAL: Duration = Duration::from_secs(5);

/// Under which name the store keeps how long an ensemble needs after an election.
const KEPT_HEALING: &str = "healing/";

/// Keys that differ from member to member and are named in evidence, at most.
const DRIFT_KEYS_MAX: usize = 8;
/// Characters of such a value that are shown, at most.
const DRIFT_VALUE_MAX: usize = 80;

/// Nodes of a group that are named one by one in evidence, at most.
const GROUP_NAMED_MAX: usize = 20;

impl Engine {
    /// Asks the rules what is due and judges it; what the detectors know goes in first.
    pub(super) fn weigh(&mut self, now: Now, pulse: Pulse) {
        let awake = self.judgement.hear(now, pulse);
        if awake == Awake::WindowLost {
            self.ensembles.iter_mut().for_each(|ensemble| {
                ensemble.node_series.restart();
                ensemble.phis.restart();
            });
        }
        if awake != Awake::Yes {
            tracing::warn!("the monitor was not awake, or its clock was set: looking anew");
            for index in 0..self.ensembles.len() {
                self.judge(now, index, node::Input::Woke);
            }
            for server in self.ensembles.iter().flat_map(|ensemble| &ensemble.servers) {
                server.probing.nudge.notify_one();
            }
        }
        for index in 0..self.ensembles.len() {
            self.sample_nodes(now, index);
            self.sample_beats(now, index);
        }
        self.sample_channels(now);
        let mut findings = Vec::new();
        let (ensembles, prober) = (&self.ensembles, &self.prober);
        let groups = RefCell::new(Groups::new());
        let facts = |sight: &Sight, subject: &Subject, ask: Ask| {
            let Some(index) = ensembles.iter().position(|e| e.name() == subject.ensemble) else {
                return Vec::new();
            };
            let drift = || {
                let board = prober.board(index);
                drift(&board.lock().unwrap_or_else(PoisonError::into_inner))
            };
            let watched = &ensembles[index];
            let mut facts = if ask == Ask::PlaceAndSeen {
                locate::locate(subject, &scene(watched, sight, &groups, drift, subject))
            } else {
                Vec::new()
            };
            facts.extend(seen(watched, subject));
            facts
        };
        self.judgement.step(now, &facts, &mut findings);
        if let Some((name, bytes)) = self.judgement.keep(now) {
            self.kept_changes.insert(name, bytes);
        }
        self.find(now, findings);
    }

    /// How late the beats of applications are.
    fn sample_beats(&mut self, now: Now, index: usize) {
        let watched = &mut self.ensembles[index];
        let samples = watched.phis.sample(now, &watched.nodes);
        if !samples.is_empty() {
            self.stale |= watched.phis.changed();
            self.judgement.append(&samples);
            self.judgement.hurry();
        }
    }

    /// How the channels fare: rules watch those who tell of all others.
    fn sample_channels(&mut self, now: Now) {
        if now.mono < self.channels_due {
            return;
        }
        self.channels_due = now.mono.after(CHANNELS_INTERVAL);
        self.heed_timing();
        let samples = notification::samples(&self.ledger.channel_figures(), now.wall.0);
        if !samples.is_empty() {
            self.judgement.append(&samples);
        }
    }

    /// How long ensembles need after an election is what their servers say.
    fn heed_timing(&mut self) {
        for (index, watched) in self.ensembles.iter().enumerate() {
            let board = self.prober.board(index);
            let timing = board.lock().unwrap_or_else(PoisonError::into_inner).timing();
            let Some(Timing { tick, session_max, init_limit }) = timing else { continue };
            let healing = Healing::of(tick, session_max, init_limit);
            if healing != self.ledger.healing(watched.name()) {
                self.ledger.set_healing(watched.name(), healing);
                self.kept_changes.extend([keep_healing(watched.name(), healing)]);
            }
        }
    }

    fn sample_nodes(&mut self, now: Now, index: usize) {
        let watched = &mut self.ensembles[index];
        let clear = watched.nodes.is_clear();
        let sight = &mut self.judgement.sight;
        let turned =
            sight.ensembles.get(&watched.config.name).is_some_and(|e| e.is_clear() != clear);
        if !turned && watched.unsampled.is_empty() && !watched.node_series.is_due(now.wall.0) {
            return;
        }
        sight.set_clear(&watched.config.name, now.mono, clear);
        let at = watched.node_series.instant(now.wall.0);
        let changed = std::mem::take(&mut watched.unsampled);
        let groups = &self.config.groups;
        let minimum = |group: &str| groups.get(group).and_then(|group| group.minimum);
        let samples = watched.node_series.sample(at, &watched.nodes, &changed, &minimum);
        if !samples.is_empty() {
            self.judgement.append(&samples);
            self.judgement.hurry();
        }
    }

    /// Follows the rule files, if there are any.
    pub(super) fn follow_rules(&mut self, known: rule_files::Texts) {
        let paths = self.config.rules.files.clone();
        if !paths.is_empty() {
            let (news, news_in) = tokio::sync::mpsc::channel(1);
            forward(news_in, self.events.clone(), Event::RuleFiles);
            let watch = move || rule_files::watch(paths.clone(), known.clone(), news.clone());
            self.rule_files = Some(supervise("rule files", watch));
        }
    }
}

/// How long an ensemble needs after an election, as it is kept over a restart.
#[derive(Serialize, Deserialize)]
struct KeptHealing {
    sessions_ms: u64,
    joining_ms: u64,
}

/// Name and bytes for the store.
fn keep_healing(ensemble: &str, healing: Healing) -> (String, Vec<u8>) {
    let millis = |time: Duration| u64::try_from(time.as_millis()).unwrap_or(u64::MAX);
    let Healing { sessions, joining } = healing;
    let kept = KeptHealing { sessions_ms: millis(sessions), joining_ms: millis(joining) };
    let bytes = serde_json::to_vec(&kept).expect("numbers only");
    (format!("{KEPT_HEALING}{ensemble}"), bytes)
}

/// What the servers of an ensemble said in an earlier run: until they say it again, what a cause of
/// before the restart made unknown must not be judged by the times of others.
pub(super) fn kept_healing(ensemble: &str, kept: &Kept) -> Option<Healing> {
    let bytes = kept.get(&format!("{KEPT_HEALING}{ensemble}"))?;
    let kept: KeptHealing = serde_json::from_slice(bytes).ok()?;
    let millis = Duration::from_millis;
    Some(Healing { sessions: millis(kept.sessions_ms), joining: millis(kept.joining_ms) })
}

/// What the task that follows the rule files is to the owner.
pub(super) type RuleFiles = Option<Task>;

/// How groups fare at this evaluation, by ensemble and name: many nodes of one may be down.
type Groups = BTreeMap<(String, String), Group>;

/// What the detectors saw of a subject.
fn seen(watched: &Watched, subject: &Subject) -> Vec<Fact> {
    if let Some(id) = &subject.node {
        let key = NodeKey { group: subject.group.clone(), id: id.clone() };
        return match watched.nodes.records().get(&key) {
            Some(record) => record.facts.clone(),
            None => vec![Fact::new(FactKind::Deregistered, [key.path()])],
        };
    }
    let instance = subject.instance.as_deref();
    let server = watched.servers.iter().find(|s| Some(s.detector.instance()) == instance);
    server.into_iter().flat_map(|server| server.detector.facts()).collect()
}

/// Values of the keys that are not alike on all members, by member.
type Drift = BTreeMap<String, BTreeMap<String, String>>;

/// What the members' configurations differ in.
fn drift(board: &Board) -> Drift {
    let mut drift = Drift::new();
    for Difference { key, values } in board.differences().into_iter().take(DRIFT_KEYS_MAX) {
        for (value, members) in values {
            let value: String = value.chars().take(DRIFT_VALUE_MAX).collect();
            for member in members {
                drift.entry(member).or_default().insert(key.clone(), value.clone());
            }
        }
    }
    drift
}

/// The ensemble as it is seen at this moment. `drift` tells what configurations differ in.
fn scene(
    watched: &Watched,
    sight: &Sight,
    groups: &RefCell<Groups>,
    drift: impl Fn() -> Drift,
    subject: &Subject,
) -> Scene {
    if let Some(name) = &subject.group {
        let key = (watched.name().to_owned(), name.clone());
        let mut groups = groups.borrow_mut();
        let group = groups.entry(key).or_insert_with(|| group(watched, name));
        return Scene { group: Some(group.clone()), ..Scene::default() };
    }
    let seen = sight.ensembles.get(watched.name());
    let drift = if subject.rule == locate::CONFIG_DRIFT { drift() } else { Drift::new() };
    let member = |server: &WatchedServer| {
        let instance = server.detector.instance();
        let seen = seen.and_then(|seen| seen.servers.get(instance));
        let mode = server.srvr.as_ref().and_then(|srvr| srvr.mode.as_deref());
        let look = seen.map_or(Look::Never, |seen| seen.look);
        let listed = watched.membership.members.iter().find(|m| m.instance == instance);
        let listed = listed.and_then(|member| member.role.as_deref());
        let observes = listed == Some("observer") || mode == Some("observer");
        let answers = matches!(look, Look::Figures | Look::Answers);
        let version = server.srvr.as_ref().and_then(|srvr| srvr.version.clone());
        locate::Member {
            config: drift.get(instance).filter(|_| answers).cloned(),
            file: server.config_file.clone(),
            version: version.filter(|_| answers),
            instance: instance.to_owned(),
            role: if observes { Role::Observer } else { Role::Voter },
            look,
            state: Some(server.detector.state()),
            leads: mode == Some("leader") && look == Look::Figures,
            synced: server.figure("synced_followers"),
            disk: server.disks.iter().min_by_key(|(_, free)| **free).map(|(d, f)| (d.clone(), *f)),
        }
    };
    let members = watched.servers.iter().map(member).collect();
    Scene { members, last_leader: watched.last_leader.clone(), group: None }
}

fn group(watched: &Watched, name: &str) -> Group {
    let mut group = Group::default();
    let of_group = watched.nodes.records().iter();
    for (key, record) in of_group.filter(|(key, _)| key.group.as_deref() == Some(name)) {
        group.all += 1;
        if record.state == NodeState::Down {
            group.down += 1;
            if group.named.len() < GROUP_NAMED_MAX {
                group.named.push(key.id.clone());
            }
        }
    }
    group
}

/// What a probe's report shows of a server.
pub(super) fn look(report: &crate::probe::Report) -> Look {
    match &report.probe {
        Probe::Serving { mode } if mode != "?" => Look::Figures,
        Probe::Serving { .. } | Probe::NotServing { .. } => Look::Answers,
        Probe::Barred { .. } => Look::Barred,
        Probe::NoAnswer { .. } if report.refused => Look::Refused,
        Probe::NoAnswer { .. } => Look::Silent,
    }
}

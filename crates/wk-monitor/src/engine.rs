//! The owner of all decisions: feeds the core, stores, lets out, publishes. It decides nothing
//! itself; what it adds is order: stored before sent, stored before answered.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::{broadcast, mpsc, watch};
use tracing::error;
use wk_alert::node::{self, NodePolicy};
use wk_alert::{BundleKey, Fact, Finding, IncidentId, Ledger, Now, Outcome, Policy, Saved};
use wk_client::Client;
use wk_probe::members::ClientPort;
use wk_promql::Sample;
use wk_proto::ids::{Mono, Wall};

use crate::action::Done;
use crate::agents::Pull;
use crate::canary::{Canaries, Perch};
use crate::channel::Channel;
use crate::config::{Config, EnsembleConfig};
use crate::discover::Discovery;
use crate::doors::Doors;
use crate::handle::{Change, Command, View};
use crate::incident::Incident;
use crate::judgement::Judgement;
use crate::member::{Member, Membership};
use crate::monitor::SessionEnd;
use crate::own::NodeSeries;
use crate::phi::PhiSeries;
use crate::probe::Report;
use crate::publish::{NodePictures, Watched};
use crate::pulse::Heart;
use crate::registry::News;
use crate::rule_files::Texts;
use crate::store::{Kept, NodeChanges, Nodes, Store};
use crate::task::{Followers, Prober, supervise};
use crate::time::Timestamp;
use crate::{convert, publish};
use cure::Curing;
use judging::RuleFiles;
use quiet::Promise;
use sending::log_outcome;

mod command;
mod cure;
mod judging;
mod quiet;
mod reading;
mod sending;
mod source;

/// The owner looks at the time at least this often.
const TICK: Duration = Duration::from_secs(1);
/// A picture is drawn at most this often.
const PICTURE_INTERVAL: Duration = Duration::from_millis(100);
/// How long a stop waits for answers that are still to come.
const GOODBYE: Duration = Duration::from_secs(3);
/// How long one try may take, whatever the channel does.
const TRY_LIMIT: Duration = Duration::from_mins(1);
/// Events taken in one go before anything is stored.
const EVENTS_AT_ONCE: usize = 512;

/// What the tasks report.
pub(crate) enum Event {
    /// A server was probed.
    Probed { ensemble: usize, instance: Arc<str>, report: Box<Report> },
    /// Something was measured; the labels are whole.
    Samples { ensemble: usize, samples: Vec<Sample> },
    /// An agent's page was pulled, or not.
    Pulled { ensemble: usize, pull: Box<Pull> },
    /// What keeps a part of the monitor from its work, with the line that would change it; none:
    /// nothing any more.
    Note { ensemble: usize, about: String, note: Option<String> },
    /// Discovery found the members: all of them, those that do not serve too.
    Members { ensemble: usize, members: Vec<Member> },
    /// The registry was read.
    Registry { ensemble: usize, news: News },
    /// Something changed in an ensemble that its audit shall tell.
    Recorded { ensemble: usize, fact: Fact },
    /// A session ended.
    SessionEnded { ensemble: usize, end: SessionEnd },
    /// The rule files say something else, or the same anew.
    RuleFiles(Texts),
    /// The action of a node ended.
    Acted { incident: IncidentId, done: Done },
    /// A notification was sent, or not.
    Answered { key: BundleKey, outcome: Outcome },
}

/// What an engine starts with.
pub(crate) struct Start {
    /// What the ledger goes on from.
    pub(crate) saved: Saved,
    /// What parts of the monitor kept for themselves.
    pub(crate) kept: Kept,
    /// What the rule files say.
    pub(crate) rules: Texts,
    pub(crate) prober: Prober,
    /// Becomes true when the monitor is to stop.
    pub(crate) stop: watch::Receiver<bool>,
    pub(crate) canaries: Canaries,
    /// Where those that it starts report to.
    pub(crate) events: mpsc::Sender<Event>,
}

/// The owner.
pub(crate) struct Engine {
    config: Config,
    store: Arc<Store>,
    ledger: Ledger,
    ensembles: Vec<Watched>,
    channels: BTreeMap<String, Channel>,
    origin: Instant,
    events: mpsc::Sender<Event>,
    view: watch::Sender<Arc<View>>,
    changes: broadcast::Sender<Change>,
    /// Node records to be stored with the next batch.
    node_changes: NodeChanges,
    /// What parts keep, to be stored with the next batch.
    kept_changes: Kept,
    /// What they had kept at the start.
    kept: Kept,
    prober: Prober,
    judgement: Judgement,
    heart: Heart,
    rule_files: RuleFiles,
    curing: Curing,
    /// Becomes true when the monitor is to stop.
    stop: watch::Receiver<bool>,
    canaries: Canaries,
    /// Answers that wait for their action to be stored.
    waiting: Vec<Promise>,
    /// When it is sampled next how the channels fare.
    channels_due: Mono,
    /// Every kept incident in words.
    worded: BTreeMap<IncidentId, Arc<Incident>>,
    opened: BTreeMap<String, u64>,
    /// The picture is older than what is known.
    stale: bool,
    drawn_at: Instant,
    /// The last commit failed.
    store_failed: bool,
    /// Tries whose answers are not here yet.
    under_way: usize,
    /// Nothing new is sent any more.
    stopping: bool,
}

impl Engine {
    pub(crate) fn new(
        config: Config,
        store: Arc<Store>,
        start: Start,
        view: watch::Sender<Arc<View>>,
        changes: broadcast::Sender<Change>,
    ) -> Self {
        let origin = Instant::now();
        let seed = u64::from(std::process::id()) ^ Timestamp::now().0.unsigned_abs();
        let channels = config.channels.iter().map(Channel::policy).collect();
        let policy = Policy { channels, seed, ..config.incidents.policy() };
        let ledger = Ledger::restore(policy, start.saved, now(origin));
        let judgement = Judgement::begin(&config, &start.rules, &start.kept, now(origin));
        let curing = Curing::restore(&start.kept, now(origin));
        let lang = config.lang;
        let word = |core| Arc::new(convert::incident(core, lang));
        let worded = ledger.incidents().iter().map(|(id, core)| (id.clone(), word(core)));
        let worded = worded.collect();
        let channels = config.channels.iter().map(|c| (c.name().to_owned(), c.clone())).collect();
        Self {
            config,
            store,
            ledger,
            ensembles: Vec::new(),
            channels,
            origin,
            events: start.events,
            view,
            changes,
            node_changes: Vec::new(),
            kept_changes: Kept::new(),
            curing,
            stop: start.stop,
            kept: start.kept,
            prober: start.prober,
            judgement,
            heart: Heart::start(origin),
            rule_files: None,
            canaries: start.canaries,
            waiting: Vec::new(),
            channels_due: Mono(0),
            worded,
            opened: BTreeMap::new(),
            stale: true,
            drawn_at: origin,
            store_failed: false,
            under_way: 0,
            stopping: false,
        }
    }

    /// Adds an ensemble; its index is the order of the calls.
    pub(crate) fn watch(
        &mut self,
        config: EnsembleConfig,
        client: Client,
        records: Nodes,
        session_ends: bool,
        followers: Followers,
    ) {
        let flat = config.presets.iter();
        let flat = flat.map(|preset| (preset.name.clone(), preset.pattern.clone())).collect();
        let policy = NodePolicy { session_ends, flat, ..NodePolicy::default() };
        let nodes = node::Nodes::new(&config.name, policy, records, now(self.origin));
        self.cure_policies(&config.name);
        if let Some(healing) = judging::kept_healing(&config.name, &self.kept) {
            self.ledger.set_healing(&config.name, healing);
        }
        let membership = Membership::begin(&config.name, &config.servers, &self.kept);
        let node_series = NodeSeries::new(&config.name, config.site.as_deref());
        let index = self.ensembles.len();
        let discovery = Discovery {
            ensemble: index,
            name: config.name.clone(),
            client: client.clone(),
            port: if config.access.is_secure() { ClientPort::Secure } else { ClientPort::Plain },
            board: self.prober.board(index),
            seeds: config.servers.clone(),
            known: membership.members.iter().map(|member| member.instance.clone()).collect(),
            lang: self.config.lang,
            events: self.events.clone(),
        };
        let discovery = supervise("discovery", move || discovery.clone().run());
        self.ensembles.push(Watched {
            unsampled: BTreeSet::new(),
            pictures: NodePictures::default(),
            node_series,
            phis: PhiSeries::new(&config.name, config.site.as_deref()),
            agents: BTreeMap::new(),
            _looking: self.look_from_outside(&config, &client),
            doors: Doors::start(index, &config, &self.events),
            config,
            membership,
            servers: Vec::new(),
            client,
            notes: BTreeMap::new(),
            nodes,
            old_watches: false,
            _discovery: discovery,
            last_leader: None,
            _followers: followers,
        });
        self.follow_members(index);
    }

    /// All ensembles are there: what is open about anything else is over.
    pub(crate) fn ready(&mut self, rules: Texts) {
        self.retire();
        self.judgement.adopt(now(self.origin), &self.ledger);
        self.follow_rules(rules);
        let open: Vec<_> = self.ledger.incidents().values().filter(|i| i.is_open()).collect();
        let open: Vec<_> = open.into_iter().cloned().collect();
        for incident in &open {
            self.cure_heard(now(self.origin), incident);
        }
        // Nobody shall see a monitor without a picture.
        self.draw();
    }

    /// Runs until it is told to stop.
    pub(crate) async fn run(
        mut self,
        mut events: mpsc::Receiver<Event>,
        mut commands: mpsc::Receiver<Command>,
        mut stop: watch::Receiver<bool>,
    ) {
        loop {
            self.settle().await;
            let wait = self.wait();
            tokio::select! {
                event = events.recv() => {
                    let mut next = event;
                    let mut taken = 0;
                    while let Some(event) = next {
                        self.take(event);
                        taken += 1;
                        next = if taken < EVENTS_AT_ONCE { events.try_recv().ok() } else { None };
                    }
                }
                Some(command) = commands.recv() => self.obey(command),
                () = tokio::time::sleep(wait) => (),
                changed = stop.changed() => {
                    if changed.is_err() || *stop.borrow() {
                        break;
                    }
                }
            }
        }
        self.wind_down(&mut events).await;
        let servers = self.ensembles.iter_mut().flat_map(|ensemble| &mut ensemble.servers);
        let perches: Vec<Perch> = servers.filter_map(|server| server.perch.take()).collect();
        // Their last words would wait for room that nobody makes any more.
        drop(events);
        Perch::end(perches).await;
        for ensemble in &self.ensembles {
            // Its session would expire by itself; closing says goodbye.
            let _ = tokio::time::timeout(TICK, ensemble.client.close()).await;
        }
    }

    /// Waits a little for the answers that are still to come: what is confirmed and stored is not
    /// sent again after the next start.
    async fn wind_down(&mut self, events: &mut mpsc::Receiver<Event>) {
        self.stopping = true;
        let end = tokio::time::Instant::now() + GOODBYE;
        while self.under_way > 0 {
            match tokio::time::timeout_at(end, events.recv()).await {
                Ok(Some(event)) => self.take(event),
                Ok(None) | Err(_) => break,
            }
        }
        self.settle().await;
    }

    fn wait(&mut self) -> Duration {
        let now = now(self.origin);
        let nodes = self.ensembles.iter().map(|ensemble| ensemble.nodes.next_timeout());
        let next = nodes.min().unwrap_or(Mono::NEVER).min(self.ledger.next_timeout(now));
        let next = next.min(self.curing.next_timeout());
        let mut wait = next.since(now.mono).min(TICK).min(self.judgement.wait(now.wall.0));
        if self.store_failed {
            wait = TICK;
        }
        if self.stale {
            wait = wait.min(PICTURE_INTERVAL.saturating_sub(self.drawn_at.elapsed()));
        }
        wait
    }

    fn take(&mut self, event: Event) {
        let now = now(self.origin);
        // Pages do not show samples.
        self.stale |= !matches!(event, Event::Samples { .. });
        match event {
            Event::Probed { ensemble, instance, report } => {
                self.probed(now, ensemble, &instance, *report);
            }
            Event::Samples { ensemble, samples } => self.measured(ensemble, &samples),
            Event::RuleFiles(texts) => {
                self.judgement.reload(&self.config, &texts);
                self.judgement.hurry();
            }
            Event::Pulled { ensemble, pull } => self.pulled(ensemble, &pull),
            Event::Note { ensemble, about, note } => {
                let notes = &mut self.ensembles[ensemble].notes;
                match note {
                    Some(note) => notes.insert(about, note),
                    None => notes.remove(&about),
                };
            }
            Event::Members { ensemble, members } => {
                let watched = &mut self.ensembles[ensemble];
                if watched.membership.update(&watched.config.name, members) {
                    self.kept_changes.extend([watched.membership.keep(&watched.config.name)]);
                    self.follow_members(ensemble);
                    self.retire();
                }
            }
            Event::Registry { ensemble, news: News::Input(input) } => {
                if input == node::Input::SightLost {
                    self.ensembles[ensemble]
                        .servers
                        .iter()
                        .for_each(|s| s.probing.nudge.notify_one());
                }
                self.judge(now, ensemble, input);
            }
            Event::Registry { ensemble, news: News::Note(note) } => {
                self.take(Event::Note { ensemble, about: "registry".to_owned(), note });
            }
            Event::Registry { ensemble, news: News::OldWatches } => {
                self.ensembles[ensemble].old_watches = true;
            }
            Event::Recorded { ensemble, fact } => {
                self.ledger.record(now, self.ensembles[ensemble].name(), fact);
            }
            Event::SessionEnded { ensemble, end: SessionEnd { session, closed } } => {
                self.judge(now, ensemble, node::Input::SessionEnded { session, closed });
            }
            Event::Acted { incident, done } => self.cure_done(now, &incident, done),
            Event::Answered { key, outcome } => {
                log_outcome(&key, &outcome);
                self.under_way = self.under_way.saturating_sub(1);
                self.ledger.answered(now, &key, outcome);
            }
        }
    }

    fn judge(&mut self, now: Now, ensemble: usize, input: node::Input) {
        let mut out = node::Output::default();
        let watched = &mut self.ensembles[ensemble];
        watched.nodes.step(now, input, &mut out);
        for key in out.changed {
            let record = watched.nodes.records().get(&key).cloned();
            watched.unsampled.insert(key.clone());
            watched.pictures.change(&key);
            self.node_changes.push((watched.config.name.clone(), key, record));
        }
        for finding in &mut out.findings {
            if let Finding::Firing { subject, facts, .. } = finding
                && subject.rule == node::VIEW_LOST
            {
                facts.extend(source::distrust(&watched.servers));
            }
        }
        self.notice(now, out.findings);
    }

    /// Takes a detector's findings; where a rule judges the same, they are only evidence.
    fn notice(&mut self, now: Now, findings: Vec<Finding>) {
        let judged = |finding: &Finding| self.judgement.judges(finding.subject());
        let own = findings.into_iter().filter(|finding| !judged(finding)).collect();
        self.find(now, own);
    }

    fn find(&mut self, now: Now, findings: Vec<Finding>) {
        for finding in findings {
            self.ledger.find(now, finding);
        }
    }

    /// Lets time pass, stores what is new, sends what is due, draws the picture.
    async fn settle(&mut self) {
        let now = now(self.origin);
        for ensemble in 0..self.ensembles.len() {
            if self.ensembles[ensemble].nodes.next_timeout() <= now.mono {
                self.judge(now, ensemble, node::Input::Tick);
            }
        }
        self.weigh(now, self.heart.read());
        self.ledger.tick(now);
        self.cure_tick(now);
        if !self.stopping {
            self.ledger.mark_due(now);
        }
        let batch = self.ledger.take_batch();
        if !batch.is_empty() || !self.node_changes.is_empty() || !self.kept_changes.is_empty() {
            let nodes = std::mem::take(&mut self.node_changes);
            let kept = std::mem::take(&mut self.kept_changes);
            let store = Arc::clone(&self.store);
            let stored = tokio::task::spawn_blocking(move || {
                let result = store.commit(&batch, &nodes, &kept);
                (result, batch, nodes, kept)
            });
            let (result, batch, nodes, kept) = stored.await.expect("storing does not panic");
            if let Err(err) = result {
                self.stuck(&err, batch, nodes, kept);
                return;
            }
            self.store_failed = false;
            self.announce(batch);
        }
        self.cure_run();
        // Marked before the stop and stored after it: sent after the next start.
        for bundle in self.ledger.committed().into_iter().filter(|_| !self.stopping) {
            self.under_way += 1;
            self.send(bundle);
        }
        self.answer();
        if self.stale && self.drawn_at.elapsed() >= PICTURE_INTERVAL {
            self.draw();
        }
    }

    /// Nothing was stored: nothing may go out. It is tried again at the next tick.
    fn stuck(
        &mut self,
        err: &crate::StoreError,
        batch: wk_alert::Batch,
        nodes: NodeChanges,
        kept: Kept,
    ) {
        if !self.store_failed {
            error!(%err, "cannot store incidents; nothing is sent until that works");
        }
        self.store_failed = true;
        self.ledger.commit_failed(batch);
        // What came meanwhile is newer.
        let newer = std::mem::replace(&mut self.node_changes, nodes);
        self.node_changes.extend(newer);
        let newer = std::mem::replace(&mut self.kept_changes, kept);
        self.kept_changes.extend(newer);
        self.waiting.drain(..).for_each(|promise| promise.fail(&err.to_string()));
    }

    /// Tells pages and terminals what has just become durable.
    fn announce(&mut self, batch: wk_alert::Batch) {
        for (id, incident) in batch.incidents {
            self.stale = true;
            let Some(core) = incident else {
                self.worded.remove(&id);
                continue;
            };
            if !self.worded.contains_key(&id) {
                *self.opened.entry(core.subject.rule.clone()).or_default() += 1;
            }
            self.cure_heard(now(self.origin), &core);
            let worded = Arc::new(convert::incident(&core, self.config.lang));
            self.worded.insert(id, Arc::clone(&worded));
            // Nobody may be listening.
            let _ = self.changes.send(Change::Incident(worded));
        }
        self.stale |= !batch.entries.is_empty() || !batch.silences.is_empty();
    }

    fn draw(&mut self) {
        let fleet = publish::fleet(
            &self.config,
            &mut self.ensembles,
            &self.ledger,
            &self.channels,
            &self.opened,
            &self.judgement,
        );
        let mut incidents: Vec<Arc<Incident>> = self.worded.values().cloned().collect();
        incidents.sort_by(|a, b| (b.first_seen, &b.id).cmp(&(a.first_seen, &a.id)));
        let lang = self.config.lang;
        let pending = self.ledger.pending();
        let pending = pending.map(|fault| Arc::new(convert::pending(fault, lang))).collect();
        let (silences, maintenance) = crate::silence::all(&self.ledger);
        let fleet = Arc::new(fleet);
        self.view.send_replace(Arc::new(View { fleet, incidents, pending, silences, maintenance }));
        let _ = self.changes.send(Change::Fleet);
        self.stale = false;
        self.drawn_at = Instant::now();
    }
}

fn now(origin: Instant) -> Now {
    let nanos = u64::try_from(origin.elapsed().as_nanos()).unwrap_or(u64::MAX);
    Now { mono: Mono(nanos), wall: Wall(Timestamp::now().0) }
}

#[cfg(test)]
mod tests;

//! What observes: servers that come and go, what their probes say, what is measured.

use tokio::sync::mpsc;
use wk_alert::server::{Probe, ServerDetector, ServerPolicy, ServerState};
use wk_alert::{Fact, FactKind, Now, Severity, Subject, node};
use wk_client::Client;
use wk_probe::recipes;
use wk_promql::Sample;
use wk_proto::ids::Mono;

use super::{Engine, Event, judging, now};
use crate::agents::{self, Pull};
use crate::canary;
use crate::config::EnsembleConfig;
use crate::member::Member;
use crate::probe::Report;
use crate::publish::WatchedServer;
use crate::task::{Task, forward, supervise};

/// What an agent says of the disks of its server.
const DISK_FREE: &str = "watchkeeper_server_disk_free_bytes";
/// What an agent says of the zoo.cfg of its server.
const CONFIG_FILE: &str = "watchkeeper_agent_config_info";
/// Folders of one server, at most.
const DISKS_MAX: usize = 16;
/// Servers that are named as evidence of why nothing is seen.
const DISTRUST_MAX: usize = 3;

impl Engine {
    /// Starts and ends probes until exactly the members of an ensemble are probed.
    pub(super) fn follow_members(&mut self, ensemble: usize) {
        let now = now(self.origin);
        let watched = &mut self.ensembles[ensemble];
        let members = &watched.membership.members;
        let mut known = std::mem::take(&mut watched.servers);
        let alone = members.len() == 1;
        let unreachable = if alone { Severity::Critical } else { Severity::Warning };
        let policy = ServerPolicy { unreachable, ..ServerPolicy::default() };
        let mut servers: Vec<WatchedServer> = Vec::with_capacity(members.len());
        for member in members {
            let instance = &member.instance;
            let at = known.iter().position(|server| server.detector.instance() == instance);
            if let Some(at) = at {
                let mut server = known.swap_remove(at);
                server.detector.obey(policy.clone());
                servers.push(server);
                continue;
            }
            let detector = ServerDetector::new(&watched.config.name, instance, policy.clone(), now);
            let config = &watched.config;
            let alone = is_alone_on_host(members, instance);
            let probing = self.prober.start(ensemble, config, instance, alone);
            let perch =
                (!config.canary_off).then(|| self.canaries.start(ensemble, config, instance));
            servers.push(WatchedServer::new(detector, probing, perch));
        }
        watched.servers = servers;
        watched.doors.follow(&watched.membership.members);
        // Those that left: their probes end with them.
        for gone in &known {
            watched.notes.remove(&canary::about(gone.detector.instance()));
        }
        let ended: Vec<Sample> =
            known.iter_mut().flat_map(|gone| gone.series.retire(now.wall.0)).collect();
        let sight = self.judgement.sight.ensembles.entry(watched.config.name.clone());
        let members = members_of(&watched.servers);
        sight.or_default().keep(members);
        self.judgement.append(&ended);
        self.judgement.hurry();
    }

    /// What is open about anything that is not watched is over.
    pub(super) fn retire(&mut self) {
        let ensembles = &self.ensembles;
        let watched = |subject: &Subject| {
            let ensemble = ensembles.iter().find(|ensemble| ensemble.name() == subject.ensemble);
            // Without an ensemble it is about the monitor itself.
            subject.ensemble.is_empty()
                || ensemble.is_some_and(|ensemble| {
                    let known =
                        |name| ensemble.servers.iter().any(|s| s.detector.instance() == name);
                    subject.instance.as_deref().is_none_or(known)
                })
        };
        self.ledger.retire(now(self.origin), watched);
        self.judgement.retire(watched);
    }

    /// Begins to pull the pages of an ensemble's agents and to look at its recipes; it becomes the
    /// next one.
    pub(super) fn look_from_outside(&self, config: &EnsembleConfig, client: &Client) -> Vec<Task> {
        let ensemble = self.ensembles.len();
        let start = |agent: &String| {
            let (pulls, pulled) = mpsc::channel(1);
            forward(pulled, self.events.clone(), move |pull| Event::Pulled {
                ensemble,
                pull: Box::new(pull),
            });
            let agent = agent.clone();
            supervise("agent", move || agents::watch(agent.clone(), pulls.clone()))
        };
        let mut tasks: Vec<Task> = config.agents.iter().map(start).collect();
        if !config.recipes.is_empty() {
            let (news, told) = mpsc::channel(1);
            forward(told, self.events.clone(), move |news| match news {
                recipes::News::Samples(samples) => Event::Samples { ensemble, samples },
                recipes::News::Note(note) => {
                    Event::Note { ensemble, about: "recipes".to_owned(), note }
                }
            });
            let mut labels = vec![("ensemble".to_owned(), config.name.clone())];
            labels.extend(config.site.iter().map(|site| ("site".to_owned(), site.clone())));
            let (client, wanted) = (client.clone(), config.recipes.clone());
            tasks.push(supervise("recipes", move || {
                let (client, wanted) = (client.clone(), wanted.clone());
                let pace = recipes::Pace::default();
                recipes::watch(client, wanted, pace, labels.clone(), news.clone())
            }));
        }
        tasks
    }

    /// An agent's page was pulled, or not.
    pub(super) fn pulled(&mut self, ensemble: usize, pull: &Pull) {
        let watched = &mut self.ensembles[ensemble];
        let site = watched.config.site.as_deref().unwrap_or_default();
        let labels = [("ensemble", watched.config.name.as_str()), ("site", site)];
        let about = pull.about();
        let series = watched.agents.entry(about.clone()).or_default();
        let (samples, note) = series.take(pull, &labels, &watched.membership.members);
        match note {
            Some(note) => watched.notes.insert(about, note),
            None => watched.notes.remove(&about),
        };
        self.measured(ensemble, &samples);
    }

    /// Takes what canaries, agents and the tap measured.
    pub(super) fn measured(&mut self, ensemble: usize, samples: &[Sample]) {
        let watched = &mut self.ensembles[ensemble];
        for sample in samples.iter().filter(|sample| sample.labels.name() == DISK_FREE) {
            if let Some(server) = watched.server(sample.labels.get("instance")) {
                let dir = sample.labels.get("dir").to_owned();
                let room = server.disks.len() < DISKS_MAX || server.disks.contains_key(&dir);
                if sample.value.is_finite() && room {
                    #[expect(
                        clippy::cast_possible_truncation,
                        clippy::cast_sign_loss,
                        reason = "a float that is out of range saturates"
                    )]
                    server.disks.insert(dir, sample.value as u64);
                } else {
                    server.disks.remove(&dir);
                }
            }
        }
        for sample in samples.iter().filter(|sample| sample.labels.name() == CONFIG_FILE) {
            let hash = sample.labels.get("config_hash");
            if let Some(server) = watched.server(sample.labels.get("instance")) {
                if sample.value.is_finite() {
                    server.config_file = Some(hash.to_owned());
                } else if server.config_file.as_deref() == Some(hash) {
                    // Not the end of what another took the place of.
                    server.config_file = None;
                }
            }
        }
        self.judgement.append(samples);
    }

    /// A server was probed. One that is not watched any more had a probe on its way.
    pub(super) fn probed(&mut self, now: Now, ensemble: usize, instance: &str, mut report: Report) {
        let took = u64::try_from(report.took.as_nanos()).unwrap_or(u64::MAX);
        let begun = Mono(now.mono.0.saturating_sub(took));
        let samples = std::mem::take(&mut report.samples);
        let trusted = self.judgement.health.trusts(begun);
        let watched = &mut self.ensembles[ensemble];
        let Some(server) = watched.server(instance) else { return };
        if !trusted {
            // Begun before a pause of our own: whatever it says, it says of us.
            server.series.pass_over(&samples);
            return;
        }
        let before = server.detector.state();
        let samples = server.series.look(now.wall.0, samples);
        let look = judging::look(&report);
        let leads = matches!(&report.probe, Probe::Serving { mode } if mode == "leader");
        let mut findings = Vec::new();
        server.take(now, report, &mut findings);
        let bad = |server: &WatchedServer| {
            let state = server.detector.state();
            matches!(state, ServerState::NotServing | ServerState::Unreachable)
        };
        if leads {
            watched.last_leader = Some(instance.to_owned());
        }
        let Some(server) = watched.server(instance) else { return };
        let turned = before != server.detector.state();
        let explained = watched.servers.iter().all(bad);
        let seen = self.judgement.sight.ensembles.get(watched.name());
        let seen = seen.and_then(|ensemble| ensemble.servers.get(instance));
        if turned || seen.is_none_or(|seen| seen.look != look) {
            self.judgement.hurry();
        }
        self.judgement.sight.take(watched.name(), instance, begun, now.mono, look);
        self.judgement.append(&samples);
        self.notice(now, findings);
        self.judge(now, ensemble, node::Input::Explained(explained));
    }
}

fn members_of(servers: &[WatchedServer]) -> impl Iterator<Item = &str> {
    servers.iter().map(|server| server.detector.instance())
}

/// Servers that do not let the monitor in, as evidence of what that keeps it from.
pub(super) fn distrust(servers: &[WatchedServer]) -> impl Iterator<Item = Fact> {
    let facts = servers.iter().flat_map(|server| server.detector.facts());
    facts.filter(|fact| fact.kind == FactKind::Barred).take(DISTRUST_MAX)
}

/// Whether no other watched server is on the host of `instance`.
fn is_alone_on_host(members: &[Member], instance: &str) -> bool {
    let host = |instance: &str| instance.rsplit_once(':').map(|(host, _)| host.to_owned());
    members.iter().filter(|member| host(&member.instance) == host(instance)).count() == 1
}

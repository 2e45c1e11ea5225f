//! What observes: servers that come and go, what their probes say, what is measured.

use wk_alert::server::{ServerDetector, ServerPolicy, ServerState};
use wk_alert::{Now, Severity, Subject, node};
use wk_promql::Sample;

use super::{Engine, now};
use crate::canary;
use crate::probe::Report;
use crate::publish::WatchedServer;
use crate::samples::ServerSeries;

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
            let (name, site) = (&watched.config.name, watched.config.site.as_deref());
            let detector = ServerDetector::new(name, instance, policy.clone(), now);
            let series = ServerSeries::new(name, site, instance);
            let probing = self.prober.start(ensemble, instance);
            let config = &watched.config;
            let perch =
                (!config.canary_off).then(|| self.canaries.start(ensemble, config, instance));
            servers.push(WatchedServer::new(detector, series, probing, perch));
        }
        watched.servers = servers;
        // Those that left: their probes end with them.
        for gone in &known {
            watched.notes.remove(&canary::about(gone.detector.instance()));
        }
        let ended: Vec<Sample> =
            known.iter_mut().flat_map(|gone| gone.series.retire(now.wall.0)).collect();
        self.measured(ensemble, ended);
    }

    /// What is open about anything that is not watched is over.
    pub(super) fn retire(&mut self) {
        let ensembles = &self.ensembles;
        let watched = |subject: &Subject| {
            let ensemble = ensembles.iter().find(|ensemble| ensemble.name() == subject.ensemble);
            ensemble.is_some_and(|ensemble| {
                let known = |name| ensemble.servers.iter().any(|s| s.detector.instance() == name);
                subject.instance.as_deref().is_none_or(known)
            })
        };
        self.ledger.retire(now(self.origin), watched);
    }

    /// A server was probed. One that is not watched any more had a probe on its way.
    pub(super) fn probed(&mut self, now: Now, ensemble: usize, instance: &str, report: Report) {
        let watched = &mut self.ensembles[ensemble];
        let Some(server) = watched.server(instance) else { return };
        let samples = server.series.look(now.wall.0, &report);
        let mut findings = Vec::new();
        server.take(now, report, &mut findings);
        let bad = |server: &WatchedServer| {
            let state = server.detector.state();
            matches!(state, ServerState::NotServing | ServerState::Unreachable)
        };
        let explained = watched.servers.iter().all(bad);
        self.measured(ensemble, samples);
        self.find(now, findings);
        self.judge(now, ensemble, node::Input::Explained(explained));
    }

    /// Takes what was measured.
    #[expect(clippy::unused_self, reason = "the window of the rules takes it")]
    pub(super) fn measured(&mut self, ensemble: usize, samples: Vec<Sample>) {
        tracing::trace!(ensemble, samples = samples.len(), "measured");
        drop(samples);
    }
}

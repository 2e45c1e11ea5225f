//! What the monitor can see at present: of each server, of each ensemble, at all.
//!
//! A fault that can no longer be seen has not healed, and one that only the monitor sees from
//! behind a cut line is none of the ensemble's. A host that refuses a connection has answered: it is
//! silence that may be ours.

use std::collections::BTreeMap;
use std::time::Duration;

use wk_proto::ids::Mono;

use crate::finding::Subject;

/// What the last look at a server showed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Look {
    /// Nobody has looked yet.
    #[default]
    Never,
    /// It serves and shows its figures.
    Figures,
    /// It answers, but its figures are not to be seen: it does not serve, or refuses to say.
    Answers,
    /// It is there, and it and the monitor do not trust each other: how it fares cannot be told.
    Barred,
    /// The host answers, the port is closed.
    Refused,
    /// Nothing: no answer in time, no way there.
    Silent,
}

/// One server as it can be seen.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ServerSight {
    /// What the last look showed.
    pub look: Look,
    /// When the last look began and ended; none before the first.
    begun: Option<Mono>,
    looked: Option<Mono>,
    /// When it, or its host, last answered.
    answered: Option<Mono>,
    /// Since when it is silent: the begin of the first look without an answer.
    silent_since: Option<Mono>,
}

impl ServerSight {
    fn take(&mut self, begun: Mono, ended: Mono, look: Look) {
        self.look = look;
        (self.begun, self.looked) = (Some(begun), Some(ended));
        match look {
            Look::Never => (),
            Look::Figures | Look::Answers | Look::Barred | Look::Refused => {
                self.answered = Some(ended);
                self.silent_since = None;
            }
            Look::Silent => {
                self.silent_since.get_or_insert(begun);
            }
        }
    }

    /// When the last look began.
    pub fn begun(&self) -> Option<Mono> {
        self.begun
    }
}

/// One ensemble as it can be seen.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct EnsembleSight {
    /// Whether the monitor's own session is connected and its picture of the nodes complete.
    clear: bool,
    /// Its servers, by `host:port`.
    pub servers: BTreeMap<String, ServerSight>,
}

impl EnsembleSight {
    /// Whether the monitor's own session is connected and its picture of the nodes complete.
    pub fn is_clear(&self) -> bool {
        self.clear
    }

    /// Exactly these servers are watched from now on.
    pub fn keep<'i>(&mut self, instances: impl Iterator<Item = &'i str>) {
        let mut known = std::mem::take(&mut self.servers);
        for instance in instances {
            let server = known.remove(instance).unwrap_or_default();
            self.servers.insert(instance.to_owned(), server);
        }
    }
}

/// Bounds of trust in what was seen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SightPolicy {
    /// A look older than this shows nothing any more. Default 15 s.
    pub fresh: Duration,
    /// How long another source may take to confirm that the monitor itself is not cut off before
    /// silence is believed all the same. Default 6 s.
    pub confirm: Duration,
    /// All silent for so long means that the monitor sees nothing. Default 3 s.
    pub blind_for: Duration,
}

impl Default for SightPolicy {
    fn default() -> Self {
        Self {
            fresh: Duration::from_secs(15),
            confirm: Duration::from_secs(6),
            blind_for: Duration::from_secs(3),
        }
    }
}

/// What the monitor itself can see.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Blindness {
    /// At least one server or its host answers, or there is only one to ask.
    Sees,
    /// Everybody is silent, not yet for long.
    Doubtful,
    /// Everybody has been silent for long: the monitor is cut off, or everything is gone.
    Blind,
}

/// Everything that can be seen.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Sight {
    /// By the ensemble's name.
    pub ensembles: BTreeMap<String, EnsembleSight>,
}

impl Sight {
    /// Takes a look at a server, if it is a known one.
    pub fn take(&mut self, ensemble: &str, instance: &str, begun: Mono, ended: Mono, look: Look) {
        if matches!(look, Look::Figures | Look::Answers | Look::Barred | Look::Refused) {
            self.hear(ended);
        }
        let ensemble = self.ensembles.get_mut(ensemble);
        if let Some(server) = ensemble.and_then(|ensemble| ensemble.servers.get_mut(instance)) {
            server.take(begun, ended, look);
        }
    }

    /// The monitor's own session with an ensemble is connected and its picture complete, or not.
    pub fn set_clear(&mut self, ensemble: &str, now: Mono, clear: bool) {
        if clear && self.ensembles.get(ensemble).is_some_and(|ensemble| !ensemble.clear) {
            self.hear(now);
        }
        if let Some(ensemble) = self.ensembles.get_mut(ensemble) {
            ensemble.clear = clear;
        }
    }

    /// Somebody answers. If that is the first word after silence everywhere, the silence of the
    /// others says nothing before they have been looked at anew.
    fn hear(&mut self, at: Mono) {
        let silent = self.servers().all(|server| server.silent_since.is_some());
        if silent && self.ensembles.values().all(|ensemble| !ensemble.clear) {
            for server in self.ensembles.values_mut().flat_map(|e| e.servers.values_mut()) {
                server.silent_since = Some(at);
            }
        }
    }

    /// Whether a subject is watched: not a server that has left its ensemble.
    pub fn watches(&self, subject: &Subject) -> bool {
        let servers = self.ensembles.get(&subject.ensemble).map(|ensemble| &ensemble.servers);
        match (servers, &subject.instance) {
            (Some(servers), Some(instance)) => servers.contains_key(instance),
            _ => true,
        }
    }

    /// Whether the monitor sees anything at all. One server alone cannot be told from the way to
    /// it: then it is the server's fault.
    pub fn blindness(&self, now: Mono, policy: &SightPolicy) -> Blindness {
        let mut latest = None;
        for server in self.servers() {
            match server.silent_since {
                Some(since) => latest = latest.max(Some(since)),
                None => return Blindness::Sees,
            }
        }
        let own_sessions = self.ensembles.values().any(|ensemble| ensemble.clear);
        match latest {
            Some(_) if own_sessions || self.servers().count() < 2 => Blindness::Sees,
            Some(since) if now.since(since) >= policy.blind_for => Blindness::Blind,
            Some(_) => Blindness::Doubtful,
            None => Blindness::Sees,
        }
    }

    /// Whether a fault of `subject` is believed. Silence is, once it has lasted over two looks (one
    /// may have met a busy moment) and somebody else has answered the monitor since it began; or
    /// once it is [`SightPolicy::confirm`] old, however many looks that were and whoever answered.
    pub fn is_confirmed(&self, now: Mono, policy: &SightPolicy, subject: &Subject) -> bool {
        let Some(ensemble) = self.ensembles.get(&subject.ensemble) else { return true };
        let concerned = |name: &str| subject.instance.as_deref().is_none_or(|only| only == name);
        let mut since: Option<Mono> = None;
        let mut anew = true;
        for (name, server) in &ensemble.servers {
            if concerned(name) {
                match server.silent_since {
                    Some(silent) => {
                        since = Some(since.map_or(silent, |s| s.min(silent)));
                        anew &= server.begun.is_some_and(|begun| begun > silent);
                    }
                    // Somebody there speaks, or nobody has asked yet.
                    None => return true,
                }
            }
        }
        let Some(since) = since else { return true };
        let all = self.servers().count();
        let answered = |server: &ServerSight| server.answered.is_some_and(|at| at > since);
        let confirmed = anew && (all < 2 || self.servers().any(answered));
        confirmed || now.since(since) >= policy.confirm
    }

    /// Whether the absence of a fault of `subject` can be seen. `by_look`: for its rule any look
    /// is enough; other rules need the figures of those concerned.
    pub fn shows(&self, now: Mono, policy: &SightPolicy, subject: &Subject, by_look: bool) -> bool {
        let Some(ensemble) = self.ensembles.get(&subject.ensemble) else { return true };
        if subject.node.is_some() || subject.group.is_some() {
            return ensemble.clear;
        }
        let shown = |server: &ServerSight| {
            let fresh = server.looked.is_some_and(|at| now.since(at) <= policy.fresh);
            fresh
                && match server.look {
                    Look::Figures => true,
                    Look::Answers | Look::Refused | Look::Silent => by_look,
                    // Neither the fault nor its end.
                    Look::Barred | Look::Never => false,
                }
        };
        match &subject.instance {
            Some(instance) => ensemble.servers.get(instance).is_none_or(shown),
            None => ensemble.servers.values().any(shown),
        }
    }

    /// Whether `subject` is a server of which nothing can be told, because it and the monitor do
    /// not trust each other.
    pub fn is_barred(&self, subject: &Subject) -> bool {
        let servers = self.ensembles.get(&subject.ensemble).map(|ensemble| &ensemble.servers);
        let server = subject.instance.as_ref().zip(servers);
        let server = server.and_then(|(instance, servers)| servers.get(instance));
        server.is_some_and(|server| server.look == Look::Barred)
    }

    fn servers(&self) -> impl Iterator<Item = &ServerSight> {
        self.ensembles.values().flat_map(|ensemble| ensemble.servers.values())
    }
}

//! Silences and maintenance windows: what people ask, and answers once it is stored.

use std::time::Duration;

use wk_alert::{IncidentId, LedgerError, Scope, SilenceId};

use super::{Engine, now};
use crate::handle::{ActionError, Reply};
use crate::incident::Incident;
use crate::silence::{self, Either, Maintenance, Silence};

/// The longest reason that is kept, in characters.
const REASON_MAX: usize = 500;

/// An answer that waits for its action to be stored.
pub(super) enum Promise {
    Incident(IncidentId, Reply<Incident>),
    Silence(SilenceId, Reply<Silence>),
    Maintenance(Vec<SilenceId>, Reply<Vec<Maintenance>>),
}

impl Promise {
    /// Nothing was stored.
    pub(super) fn fail(self, why: &str) {
        let error = || ActionError::Unavailable(why.to_owned());
        // Whoever asked may have gone.
        let _ = match self {
            Self::Incident(_, reply) => reply.send(Err(error())).is_ok(),
            Self::Silence(_, reply) => reply.send(Err(error())).is_ok(),
            Self::Maintenance(_, reply) => reply.send(Err(error())).is_ok(),
        };
    }
}

impl Engine {
    pub(super) fn keep(&self, promise: Promise) {
        let gone = |what, name| ActionError::NotFound { what, name };
        match promise {
            Promise::Incident(id, reply) => {
                let incident = self.worded.get(&id).map(|incident| (**incident).clone());
                let _ = reply.send(incident.ok_or_else(|| gone("incident", id.0)));
            }
            Promise::Silence(id, reply) => {
                let found = match self.shown(&id) {
                    Some(Either::Silence(silence)) => Ok(silence),
                    Some(Either::Maintenance(_)) | None => Err(gone("silence", id.0)),
                };
                let _ = reply.send(found);
            }
            Promise::Maintenance(ids, reply) => {
                let shown = ids.iter().filter_map(|id| self.shown(id));
                let windows = shown.filter_map(|either| match either {
                    Either::Maintenance(window) => Some(window),
                    Either::Silence(_) => None,
                });
                let _ = reply.send(Ok(windows.collect()));
            }
        }
    }

    fn shown(&self, id: &SilenceId) -> Option<Either> {
        silence::show(id, &self.ledger)
    }

    pub(super) fn add_silence(
        &mut self,
        matchers: &[String],
        time: Duration,
        by: &str,
        reason: &str,
        reply: Reply<Silence>,
    ) {
        let scope = match Scope::parse(matchers) {
            Ok(scope) => scope,
            Err(err) => {
                let _ = reply.send(Err(ActionError::Invalid(err.to_string())));
                return;
            }
        };
        let reason: String = reason.chars().take(REASON_MAX).collect();
        match self.ledger.silence(now(self.origin), scope, time, by, &reason) {
            Ok(id) => self.waiting.push(Promise::Silence(id, reply)),
            Err(err) => {
                let _ = reply.send(Err(refused("silence", "", err)));
            }
        }
    }

    pub(super) fn end_silence(&mut self, id: &str, by: &str, reply: Reply<Silence>) {
        let id = SilenceId(id.to_owned());
        let is_one = matches!(self.shown(&id), Some(Either::Silence(_)));
        let done = if is_one {
            self.ledger.end_silence(now(self.origin), &id, by)
        } else {
            Err(LedgerError::NotFound)
        };
        match done {
            Ok(()) => self.waiting.push(Promise::Silence(id, reply)),
            Err(err) => {
                let _ = reply.send(Err(refused("silence", &id.0, err)));
            }
        }
    }

    pub(super) fn start_maintenance(
        &mut self,
        target: &str,
        time: Duration,
        by: &str,
        reason: &str,
        reply: Reply<Vec<Maintenance>>,
    ) {
        let reason: String = reason.chars().take(REASON_MAX).collect();
        let done = self.target(target).and_then(|(ensemble, server)| {
            let scope = Scope::Maintenance { ensemble, server };
            let added = self.ledger.silence(now(self.origin), scope, time, by, &reason);
            added.map_err(|err| refused("maintenance", target, err))
        });
        match done {
            Ok(id) => self.waiting.push(Promise::Maintenance(vec![id], reply)),
            Err(err) => {
                let _ = reply.send(Err(err));
            }
        }
    }

    /// Ends the window of that id, or all windows of that ensemble or server.
    pub(super) fn end_maintenance(
        &mut self,
        target: &str,
        by: &str,
        reply: Reply<Vec<Maintenance>>,
    ) {
        let named = self.target(target).ok();
        let fits = |silence: &&wk_alert::Silence| match &silence.scope {
            Scope::Matching(_) => false,
            Scope::Maintenance { .. } if silence.id.0 == target => true,
            Scope::Maintenance { ensemble, server } => named
                .as_ref()
                .is_some_and(|(in_it, one)| in_it == ensemble && (one.is_none() || one == server)),
        };
        let ids: Vec<SilenceId> = self
            .ledger
            .silences_in_force()
            .filter(fits)
            .map(|silence| silence.id.clone())
            .collect();
        let mut done = Vec::new();
        for id in ids {
            if self.ledger.end_silence(now(self.origin), &id, by).is_ok() {
                done.push(id);
            }
        }
        if done.is_empty() {
            let _ = reply.send(Err(refused("maintenance", target, LedgerError::NotFound)));
        } else {
            self.waiting.push(Promise::Maintenance(done, reply));
        }
    }

    /// Reads `ENSEMBLE` or `ENSEMBLE/SERVER`. A slip would silence nothing, or the wrong ones: both
    /// must be known. A server's port may be left out where that leaves no doubt.
    fn target(&self, target: &str) -> Result<(String, Option<String>), ActionError> {
        let (name, server) = match target.split_once('/') {
            Some((name, server)) => (name, Some(server)),
            None => (target, None),
        };
        let missing = |what, name: &str| ActionError::NotFound { what, name: name.to_owned() };
        let watched = self.ensembles.iter().find(|watched| watched.name() == name);
        let watched = watched.ok_or_else(|| missing("ensemble", name))?;
        let Some(server) = server else { return Ok((name.to_owned(), None)) };
        let known: Vec<&str> = watched.servers.iter().map(|one| one.detector.instance()).collect();
        let is_it = |one: &&&str| {
            **one == server || one.rsplit_once(':').is_some_and(|(host, _)| host == server)
        };
        let found: Vec<&str> = known.iter().filter(is_it).copied().collect();
        match (found.as_slice(), known.contains(&server)) {
            (_, true) => Ok((name.to_owned(), Some(server.to_owned()))),
            ([only], false) => Ok((name.to_owned(), Some((*only).to_owned()))),
            (_, false) => Err(missing("server", target)),
        }
    }
}

fn refused(what: &'static str, name: &str, err: LedgerError) -> ActionError {
    if err == LedgerError::NotFound {
        return ActionError::NotFound { what, name: name.to_owned() };
    }
    if matches!(err, LedgerError::BadDuration { .. }) {
        return ActionError::Invalid(format!("for: {err}"));
    }
    ActionError::Conflict(format!("{what} {name}: {err}"))
}

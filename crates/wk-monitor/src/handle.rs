//! The one door to a running monitor: pictures to read without waiting, and a few actions.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{broadcast, mpsc, oneshot, watch};

use crate::audit::AuditPage;
use crate::incident::{Incident, IncidentDetail, IncidentFilter};
use crate::rule_state::Rules;
use crate::silence::{Maintenance, Silence};
use crate::view::{ChannelTest, Fleet};

/// What changed, for live pages. A receiver that lags reads the whole picture again.
#[derive(Clone, Debug)]
pub enum Change {
    /// The fleet has a new picture: [`MonitorHandle::fleet`].
    Fleet,
    /// An incident was opened or changed.
    Incident(Arc<Incident>),
}

/// The picture that the monitor publishes after each change.
#[derive(Clone, Debug, Default)]
pub struct View {
    /// The fleet.
    pub fleet: Arc<Fleet>,
    /// Open incidents and the latest closed ones, newest first.
    pub incidents: Vec<Arc<Incident>>,
    /// What has not lasted long enough to be an incident.
    pub pending: Vec<Arc<Incident>>,
    /// Silences, newest first.
    pub silences: Vec<Silence>,
    /// Maintenance windows, newest first.
    pub maintenance: Vec<Maintenance>,
}

/// Why an action was not done.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ActionError {
    /// There is none of that name.
    #[error("no such {what}: {name}")]
    NotFound {
        /// `incident`, `channel`, `silence`, `ensemble` and so on.
        what: &'static str,
        /// What was asked for.
        name: String,
    },
    /// It is there, but not in a state for this.
    #[error("{0}")]
    Conflict(String),
    /// It makes no sense: what is wrong with it.
    #[error("{0}")]
    Invalid(String),
    /// The monitor is stopping, or its store cannot be written.
    #[error("the monitor cannot do this now: {0}")]
    Unavailable(String),
}

/// A request to the monitor's own task, which alone changes anything.
pub(crate) enum Command {
    /// Everything about one incident.
    Detail { id: String, reply: Reply<IncidentDetail> },
    /// The lines of all histories before a number, newest first.
    Audit { before: Option<u64>, limit: usize, reply: Reply<AuditPage> },
    /// The rules in force.
    Rules { reply: Reply<Rules> },
    /// Somebody takes an incident on.
    Acknowledge { id: String, by: String, reply: Reply<Incident> },
    /// Somebody puts a resolved incident away.
    Close { id: String, by: String, reply: Reply<Incident> },
    /// Somebody lets the action of an incident run.
    Run { id: String, by: String, reply: Reply<Incident> },
    /// Somebody silences what meets the conditions.
    AddSilence {
        matchers: Vec<String>,
        time: Duration,
        by: String,
        reason: String,
        reply: Reply<Silence>,
    },
    /// Somebody ends a silence before its time.
    EndSilence { id: String, by: String, reply: Reply<Silence> },
    /// Somebody works on an ensemble or a server.
    StartMaintenance {
        target: String,
        time: Duration,
        by: String,
        reason: String,
        reply: Reply<Vec<Maintenance>>,
    },
    /// Somebody has done so.
    EndMaintenance { target: String, by: String, reply: Reply<Vec<Maintenance>> },
    /// Sends a test notification.
    TestChannel { name: String, reply: Reply<ChannelTest> },
}

/// Where an answer goes.
pub(crate) type Reply<T> = oneshot::Sender<Result<T, ActionError>>;

/// A running monitor. Clones are cheap and speak to the same one.
#[derive(Clone, Debug)]
pub struct MonitorHandle {
    view: watch::Receiver<Arc<View>>,
    commands: mpsc::Sender<Command>,
    changes: broadcast::Sender<Change>,
}

impl MonitorHandle {
    /// A handle over the monitor's ends of its channels.
    pub(crate) fn new(
        view: watch::Receiver<Arc<View>>,
        commands: mpsc::Sender<Command>,
        changes: broadcast::Sender<Change>,
    ) -> Self {
        Self { view, commands, changes }
    }

    /// A handle over a fixed picture, for tests of pages: it can be read, actions are unavailable.
    pub fn fixed(view: View) -> Self {
        Self {
            view: watch::channel(Arc::new(view)).1,
            commands: mpsc::channel(1).0,
            changes: broadcast::channel(1).0,
        }
    }

    /// The fleet as it was last seen.
    pub fn fleet(&self) -> Arc<Fleet> {
        Arc::clone(&self.view.borrow().fleet)
    }

    /// The incidents that `filter` asks for, newest first.
    pub fn incidents(&self, filter: &IncidentFilter) -> Vec<Arc<Incident>> {
        let view = Arc::clone(&self.view.borrow());
        let pending = view.pending.iter().filter(|_| filter.shows_pending());
        let all = pending.chain(&view.incidents);
        all.filter(|incident| filter.matches(incident)).take(filter.limit).cloned().collect()
    }

    /// Silences, those in force first, the newest of each first.
    pub fn silences(&self) -> Vec<Silence> {
        self.view.borrow().silences.clone()
    }

    /// Maintenance windows, in the same order.
    pub fn maintenance(&self) -> Vec<Maintenance> {
        self.view.borrow().maintenance.clone()
    }

    /// For `time` nobody is told of what meets all of `matchers`; whatever lasts then is told then.
    ///
    /// # Errors
    /// [`ActionError::Invalid`] for conditions that are none, or that fit everything.
    pub async fn add_silence(
        &self,
        matchers: Vec<String>,
        time: Duration,
        by: &str,
        reason: &str,
    ) -> Result<Silence, ActionError> {
        let (by, reason) = (by.to_owned(), reason.to_owned());
        self.ask(|reply| Command::AddSilence { matchers, time, by, reason, reply }).await
    }

    /// Ends a silence before its time.
    ///
    /// # Errors
    /// [`ActionError::NotFound`], [`ActionError::Conflict`] if it is over already.
    pub async fn end_silence(&self, id: &str, by: &str) -> Result<Silence, ActionError> {
        let (id, by) = (id.to_owned(), by.to_owned());
        self.ask(|reply| Command::EndSilence { id, by, reply }).await
    }

    /// For `time` nobody is told of faults of `ENSEMBLE` or `ENSEMBLE/SERVER`, save a lost quorum
    /// and diverged data.
    ///
    /// # Errors
    /// [`ActionError::NotFound`] if there is no such ensemble or server.
    pub async fn start_maintenance(
        &self,
        target: &str,
        time: Duration,
        by: &str,
        reason: &str,
    ) -> Result<Vec<Maintenance>, ActionError> {
        let (target, by, reason) = (target.to_owned(), by.to_owned(), reason.to_owned());
        self.ask(|reply| Command::StartMaintenance { target, time, by, reason, reply }).await
    }

    /// Ends the maintenance window of that id, or all of `ENSEMBLE` or `ENSEMBLE/SERVER`.
    ///
    /// # Errors
    /// [`ActionError::NotFound`].
    pub async fn end_maintenance(
        &self,
        target: &str,
        by: &str,
    ) -> Result<Vec<Maintenance>, ActionError> {
        let (target, by) = (target.to_owned(), by.to_owned());
        self.ask(|reply| Command::EndMaintenance { target, by, reply }).await
    }

    /// Everything about one incident: it, who was told, what happened.
    ///
    /// # Errors
    /// [`ActionError::NotFound`], [`ActionError::Unavailable`].
    pub async fn incident(&self, id: &str) -> Result<IncidentDetail, ActionError> {
        let id = id.to_owned();
        self.ask(|reply| Command::Detail { id, reply }).await
    }

    /// The lines of all histories, newest first: those before line `before`, or the newest; at
    /// most [`crate::AUDIT_LINES_MAX`].
    ///
    /// # Errors
    /// [`ActionError::Unavailable`].
    pub async fn audit(&self, before: Option<u64>, limit: usize) -> Result<AuditPage, ActionError> {
        self.ask(|reply| Command::Audit { before, limit, reply }).await
    }

    /// The rules in force and how each stands.
    ///
    /// # Errors
    /// [`ActionError::Unavailable`].
    pub async fn rules(&self) -> Result<Rules, ActionError> {
        self.ask(|reply| Command::Rules { reply }).await
    }

    /// Takes an incident on, under the name `by`.
    ///
    /// # Errors
    /// [`ActionError::Conflict`] if it is over already.
    pub async fn acknowledge(&self, id: &str, by: &str) -> Result<Incident, ActionError> {
        let (id, by) = (id.to_owned(), by.to_owned());
        self.ask(|reply| Command::Acknowledge { id, by, reply }).await
    }

    /// Puts an incident away, under the name `by`.
    ///
    /// # Errors
    /// [`ActionError::Conflict`] while it is firing: hiding a fault does not end it.
    pub async fn close(&self, id: &str, by: &str) -> Result<Incident, ActionError> {
        let (id, by) = (id.to_owned(), by.to_owned());
        self.ask(|reply| Command::Close { id, by, reply }).await
    }

    /// Lets the action of an incident's group run, under the name `by`. Answered once that is
    /// stored: the history tells how it went.
    ///
    /// # Errors
    /// [`ActionError::Conflict`] with what stands against it.
    pub async fn run(&self, id: &str, by: &str) -> Result<Incident, ActionError> {
        let (id, by) = (id.to_owned(), by.to_owned());
        self.ask(|reply| Command::Run { id, by, reply }).await
    }

    /// Sends a test notification by the channel `name` and says what came of it.
    ///
    /// # Errors
    /// [`ActionError::NotFound`], [`ActionError::Unavailable`]. A refusal by the receiver is no
    /// error: it is the verdict.
    pub async fn test_channel(&self, name: &str) -> Result<ChannelTest, ActionError> {
        let name = name.to_owned();
        self.ask(|reply| Command::TestChannel { name, reply }).await
    }

    /// Changes from now on.
    pub fn subscribe(&self) -> broadcast::Receiver<Change> {
        self.changes.subscribe()
    }

    async fn ask<T>(&self, command: impl FnOnce(Reply<T>) -> Command) -> Result<T, ActionError> {
        let stopped = || ActionError::Unavailable("it has stopped".to_owned());
        let (reply, answer) = oneshot::channel();
        self.commands.send(command(reply)).await.map_err(|_| stopped())?;
        answer.await.map_err(|_| stopped())?
    }
}

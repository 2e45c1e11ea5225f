//! The running monitor: tasks that look and send, and one task that owns every decision.
//!
//! Probes, registries and senders only report; the owner feeds the core, stores what it decided and
//! only then lets anything out. A task that panics is started again and said so; the owner's own end
//! is the monitor's end ([`Monitor::wait`]).

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{Notify, broadcast, mpsc, watch};
use tokio::task::JoinHandle;
use tracing::error;
use wk_alert::node::NodeKey;
use wk_client::Client;
use wk_proto::ids::SessionId;

use crate::config::Config;
use crate::engine::{Engine, Event};
use crate::handle::{Command, MonitorHandle};
use crate::probe::{self, Pace};
use crate::registry::Registry;
use crate::store::{Store, StoreError};

/// Reports that wait for the owner, at most; more reporters wait themselves.
const EVENTS_MAX: usize = 1024;
const COMMANDS_MAX: usize = 64;
/// Changes kept for a slow page; older ones are skipped and it reads the whole picture again.
const CHANGES_MAX: usize = 256;
/// Wait before a task that panicked is started again.
const RESTART: Duration = Duration::from_secs(1);

/// An ensemble to watch, through its client port only.
pub struct EnsemblePort {
    /// Its name.
    pub name: String,
    /// Its servers, as `host:port`, to be probed.
    pub servers: Vec<String>,
    /// A started client of the monitor's own.
    pub client: Client,
    /// News of session ends, where the server is in this process.
    pub session_ends: Option<mpsc::Receiver<SessionEnd>>,
}

/// A session ended, as the server itself saw it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SessionEnd {
    /// Which.
    pub session: SessionId,
    /// Its client closed it; otherwise it expired.
    pub closed: bool,
}

/// Why the monitor does not start.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StartError {
    /// The data folder cannot be made.
    #[error("{}: cannot create: {source}", path.display())]
    Folder {
        /// The folder.
        path: std::path::PathBuf,
        /// What failed.
        source: std::io::Error,
    },
    /// The store cannot be used.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// Two ensembles or two channels have one name.
    #[error("two {what} are called {name}")]
    Twice {
        /// `ensembles` or `channels`.
        what: &'static str,
        /// The name.
        name: String,
    },
}

/// A running monitor.
pub struct Monitor {
    handle: MonitorHandle,
    owner: JoinHandle<()>,
    stop: watch::Sender<bool>,
}

impl Monitor {
    /// Opens the store, goes on from it and starts to watch. Must be called within tokio.
    ///
    /// # Errors
    /// [`StartError`].
    pub async fn start(config: Config, ports: Vec<EnsemblePort>) -> Result<Self, StartError> {
        refuse_twice("ensembles", ports.iter().map(|port| port.name.as_str()))?;
        refuse_twice("channels", config.channels.iter().map(crate::Channel::name))?;
        let folder = |source| StartError::Folder { path: config.data.clone(), source };
        std::fs::create_dir_all(&config.data).map_err(folder)?;
        let path = config.data.join("monitor.redb");
        let opened = tokio::task::spawn_blocking(move || {
            let store = Store::open(&path)?;
            let (saved, nodes) = (store.load()?, store.load_nodes()?);
            Ok::<_, StoreError>((store, saved, nodes))
        });
        let (store, saved, mut nodes) = opened.await.expect("opening a store does not panic")?;

        let (events, events_in) = mpsc::channel(EVENTS_MAX);
        let (commands, commands_in) = mpsc::channel::<Command>(COMMANDS_MAX);
        let (changes, _) = broadcast::channel(CHANGES_MAX);
        let (view, view_out) = watch::channel(Arc::default());
        let (stop, stopped) = watch::channel(false);
        let handle = MonitorHandle::new(view_out, commands, changes.clone());
        let mut engine =
            Engine::new(config.clone(), Arc::new(store), saved, events.clone(), view, changes);
        for (index, port) in ports.into_iter().enumerate() {
            let records = nodes.remove(&port.name).unwrap_or_default();
            let proven = records.iter().filter(|(_, record)| record.alive.is_some());
            let proven = proven.filter_map(|(key, _)| no_group(key)).collect();
            let nudges = start_probes(index, &port.servers, &config, &events);
            follow_registry(index, port.client.clone(), proven, &events);
            let tells_ends = port.session_ends.is_some();
            if let Some(ends) = port.session_ends {
                let wrap = move |end| Event::SessionEnded { ensemble: index, end };
                tokio::spawn(forward(ends, events.clone(), wrap));
            }
            engine.watch(port.name, &port.servers, port.client, nudges, records, tells_ends);
        }
        engine.ready();
        let owner = tokio::spawn(engine.run(events_in, commands_in, stopped));
        Ok(Self { handle, owner, stop })
    }

    /// The door for pages and commands.
    pub fn handle(&self) -> MonitorHandle {
        self.handle.clone()
    }

    /// Stops; what is not sent yet is sent after the next start.
    pub async fn stop(self) {
        self.stop.send_replace(true);
        let _ = self.owner.await;
    }

    /// Returns when the monitor ended by itself, which is a fault of its own.
    pub async fn wait(&mut self) {
        let _ = (&mut self.owner).await;
    }
}

fn refuse_twice<'n>(
    what: &'static str,
    names: impl Iterator<Item = &'n str>,
) -> Result<(), StartError> {
    let mut seen = BTreeSet::new();
    for name in names {
        if !seen.insert(name) {
            return Err(StartError::Twice { what, name: name.to_owned() });
        }
    }
    Ok(())
}

fn no_group(key: &NodeKey) -> Option<String> {
    key.group.is_none().then(|| key.id.clone())
}

fn start_probes(
    ensemble: usize,
    servers: &[String],
    config: &Config,
    events: &mpsc::Sender<Event>,
) -> Vec<Arc<Notify>> {
    let pace = Pace {
        interval: config.probe_interval,
        figures_interval: config.figures_interval,
        timeout: config.probe_timeout,
    };
    let start = |(server, address): (usize, &String)| {
        let nudge = Arc::new(Notify::new());
        let (reports, reports_in) = mpsc::channel(1);
        let (address, pace, nudged) = (address.clone(), pace.clone(), Arc::clone(&nudge));
        supervise("probe", move || {
            probe::watch(address.clone(), pace.clone(), Arc::clone(&nudged), reports.clone())
        });
        let wrap = move |report| Event::Probed { ensemble, server, report: Box::new(report) };
        tokio::spawn(forward(reports_in, events.clone(), wrap));
        nudge
    };
    servers.iter().enumerate().map(start).collect()
}

fn follow_registry(
    ensemble: usize,
    client: Client,
    proven: BTreeSet<String>,
    events: &mpsc::Sender<Event>,
) {
    let (news, news_in) = mpsc::channel(EVENTS_MAX);
    let registry = Registry::new(client, news, proven);
    supervise("registry", move || registry.clone().run());
    let wrap = move |news| Event::Registry { ensemble, news };
    tokio::spawn(forward(news_in, events.clone(), wrap));
}

/// Starts a task and starts it again whenever it panics.
fn supervise<F>(task: &'static str, start: impl Fn() -> F + Send + 'static)
where
    F: Future<Output = ()> + Send + 'static,
{
    tokio::spawn(async move {
        while let Err(err) = tokio::spawn(start()).await {
            if !err.is_panic() {
                return;
            }
            error!(task, %err, "task of the monitor panicked; starting it again");
            tokio::time::sleep(RESTART).await;
        }
    });
}

async fn forward<T>(
    mut from: mpsc::Receiver<T>,
    to: mpsc::Sender<Event>,
    wrap: impl Fn(T) -> Event,
) {
    while let Some(item) = from.recv().await {
        if to.send(wrap(item)).await.is_err() {
            return;
        }
    }
}

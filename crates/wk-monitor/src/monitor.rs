//! The running monitor: tasks that look and send, and one task that owns every decision.
//!
//! Probes, registries and senders only report; the owner feeds the core, stores what it decided and
//! only then lets anything out. A task that panics is started again and said so; the owner's own end
//! is the monitor's end ([`Monitor::wait`]).

use std::collections::BTreeSet;
use std::sync::Arc;

use tokio::sync::{broadcast, mpsc, watch};
use tokio::task::JoinHandle;
use wk_alert::node::NodeKey;
use wk_client::Client;
use wk_proto::ids::SessionId;

use crate::agents::{self, MakePage};
use crate::canary::Canaries;
use crate::config::{Config, EnsembleConfig};
use crate::engine::{Engine, Event, Start};
use crate::handle::{Command, MonitorHandle};
use crate::registry::Registry;
use crate::rule_files;
use crate::store::{Store, StoreError};
use crate::tap;
use crate::task::{Followers, Prober, Task, forward, supervise};

/// Reports that wait for the owner, at most; more reporters wait themselves.
const EVENTS_MAX: usize = 1024;
const COMMANDS_MAX: usize = 64;
/// Changes kept for a slow page; older ones are skipped and it reads the whole picture again.
const CHANGES_MAX: usize = 256;

/// An ensemble to watch, through its client port only.
pub struct EnsemblePort {
    /// What it is and how it is watched.
    pub config: EnsembleConfig,
    /// A started client of the monitor's own.
    pub client: Client,
    /// News of session ends, where the server is in this process.
    pub session_ends: Option<mpsc::Receiver<SessionEnd>>,
    /// Every committed txn, where the server is in this process and its stream is wanted.
    pub txns: Option<mpsc::Receiver<wk_proto::stream::Event>>,
    /// What only this host knows, where the server is in this process.
    pub host: Option<MakePage>,
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
        refuse_twice("ensembles", ports.iter().map(|port| port.config.name.as_str()))?;
        refuse_twice("channels", config.channels.iter().map(crate::Channel::name))?;
        let folder = |source| StartError::Folder { path: config.data.clone(), source };
        std::fs::create_dir_all(&config.data).map_err(folder)?;
        let path = config.data.join("monitor.redb");
        let paths = config.rules.files.clone();
        let opened = tokio::task::spawn_blocking(move || {
            let rules = rule_files::read(&paths);
            let store = Store::open(&path)?;
            let (saved, nodes, kept) = (store.load()?, store.load_nodes()?, store.load_kept()?);
            Ok::<_, StoreError>((store, saved, nodes, kept, rules))
        });
        let (store, saved, mut nodes, kept, rules) =
            opened.await.expect("opening a store does not panic")?;

        let (events, events_in) = mpsc::channel(EVENTS_MAX);
        let (commands, commands_in) = mpsc::channel::<Command>(COMMANDS_MAX);
        let (changes, _) = broadcast::channel(CHANGES_MAX);
        let (view, view_out) = watch::channel(Arc::default());
        let (stop, stopped) = watch::channel(false);
        let handle = MonitorHandle::new(view_out, commands, changes.clone());
        let prober = Prober::new(&config, events.clone());
        let stop_seen = stopped.clone();
        let canaries = Canaries::new(&config.data, events.clone());
        let start = Start {
            saved,
            kept,
            rules: rules.clone(),
            prober,
            stop: stop_seen,
            canaries,
            events: events.clone(),
        };
        let mut engine = Engine::new(config, Arc::new(store), start, view, changes);
        for (index, port) in ports.into_iter().enumerate() {
            let records = nodes.remove(&port.config.name).unwrap_or_default();
            let proven = records.iter().filter(|(_, record)| record.alive.is_some());
            let known = proven.map(|(key, _)| key.clone()).collect();
            let registry =
                follow_registry(index, port.client.clone(), &port.config, known, &events);
            let tap = match port.txns {
                Some(txns) => Some(tap::follow_own(index, &port.config, txns, &events)),
                None if port.config.tap => Some(tap::follow_ensemble(index, &port.config, &events)),
                None => None,
            };
            let tells_ends = port.session_ends.is_some() || port.config.tap;
            let host = port.host.map(|make| agents::follow_own(index, make, &events));
            if let Some(ends) = port.session_ends {
                let wrap = move |end| Event::SessionEnded { ensemble: index, end };
                forward(ends, events.clone(), wrap);
            }
            let tasks = Followers { registry, tap, host };
            engine.watch(port.config, port.client, records, tells_ends, tasks);
        }
        engine.ready(rules);
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

fn follow_registry(
    ensemble: usize,
    client: Client,
    config: &EnsembleConfig,
    known: BTreeSet<NodeKey>,
    events: &mpsc::Sender<Event>,
) -> Task {
    let (news, news_in) = mpsc::channel(EVENTS_MAX);
    forward(news_in, events.clone(), move |news| Event::Registry { ensemble, news });
    let config = config.clone();
    supervise("registry", move || {
        Registry::new(client.clone(), news.clone(), &config, &known).run()
    })
}

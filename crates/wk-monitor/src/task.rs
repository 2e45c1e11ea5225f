//! Tasks that look: started with what they watch, started again when they panic, ended by a drop.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::{Notify, mpsc};
use tokio::task::{AbortHandle, JoinSet};
use tracing::error;
use wk_probe::look::{Pace, Ports, SharedBoard, Target};

use crate::config::{Config, EnsembleConfig};
use crate::engine::Event;
use crate::probe::{self, Setup};

/// Wait before a task that panicked is started again.
const RESTART: Duration = Duration::from_secs(1);

/// A running task; its drop ends it, with all that it started.
#[derive(Debug)]
pub(crate) struct Task(AbortHandle);

impl Drop for Task {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// The tasks that follow an ensemble as a whole.
#[derive(Debug)]
pub(crate) struct Followers {
    /// Its registry.
    #[expect(dead_code, reason = "kept for its drop")]
    pub(crate) registry: Task,
    /// Its transactions, if they are wanted.
    #[expect(dead_code, reason = "kept for its drop")]
    pub(crate) tap: Option<Task>,
    /// What the host of a server in this process knows.
    #[expect(dead_code, reason = "kept for its drop")]
    pub(crate) host: Option<Task>,
}

/// Starts a task and starts it again whenever it panics.
pub(crate) fn supervise<F>(task: &'static str, start: impl Fn() -> F + Send + 'static) -> Task
where
    F: Future<Output = ()> + Send + 'static,
{
    let supervisor = tokio::spawn(async move {
        loop {
            // A set, not a handle: it goes down with its supervisor.
            let mut running = JoinSet::new();
            running.spawn(start());
            match running.join_next().await {
                Some(Err(err)) if err.is_panic() => {
                    error!(task, %err, "task of the monitor panicked; starting it again");
                }
                Some(_) | None => return,
            }
            tokio::time::sleep(RESTART).await;
        }
    });
    Task(supervisor.abort_handle())
}

/// Hands on what a task says, wrapped as an event.
pub(crate) fn forward<T: Send + 'static>(
    mut from: mpsc::Receiver<T>,
    to: mpsc::Sender<Event>,
    wrap: impl Fn(T) -> Event + Send + 'static,
) {
    tokio::spawn(async move {
        while let Some(item) = from.recv().await {
            if to.send(wrap(item)).await.is_err() {
                return;
            }
        }
    });
}

/// Starts the probes of servers, while the monitor runs too.
pub(crate) struct Prober {
    pace: Pace,
    words_interval: Duration,
    origin: Instant,
    /// What the looks at one ensemble share, by its index.
    boards: Mutex<BTreeMap<usize, SharedBoard>>,
    events: mpsc::Sender<Event>,
}

/// The probes of one server; their drop ends them.
#[derive(Debug)]
pub(crate) struct Probing {
    /// Asks for a look at once.
    pub(crate) nudge: Arc<Notify>,
    _task: Task,
}

impl Prober {
    pub(crate) fn new(config: &Config, events: mpsc::Sender<Event>) -> Self {
        let (limit, mntr) = (config.probe_timeout, config.figures_interval);
        let patience = limit * 2 / 5;
        let pace = Pace { limit, patience, mntr, ..Pace::default() };
        let (words_interval, origin) = (config.probe_interval, Instant::now());
        Self { pace, words_interval, origin, boards: Mutex::default(), events }
    }

    /// The board of the ensemble with this index.
    pub(crate) fn board(&self, ensemble: usize) -> SharedBoard {
        let mut boards = self.boards.lock().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(boards.entry(ensemble).or_default())
    }

    /// Begins to look at `instance` of the ensemble with this index; `alone_on_host` says that no
    /// other watched server is on its host.
    pub(crate) fn start(
        &self,
        ensemble: usize,
        config: &EnsembleConfig,
        instance: &str,
        alone_on_host: bool,
    ) -> Probing {
        let nudge = Arc::new(Notify::new());
        let (reports, reports_in) = mpsc::channel(1);
        let target = Target {
            ensemble: config.name.clone(),
            site: config.site.clone(),
            instance: instance.to_owned(),
            ports: Ports {
                alone_on_host,
                secure: config.access.is_secure(),
                ..config.ports_of(instance)
            },
        };
        // A handshake on top of the question, on a Java that may have made none yet.
        let patient = if config.access.is_secure() { 2 } else { 1 };
        let setup = Setup {
            target,
            pace: Pace { limit: self.pace.limit * patient, ..self.pace },
            words_interval: self.words_interval,
            connect: Arc::new(config.access.clone()),
            board: self.board(ensemble),
            origin: self.origin,
        };
        let nudged = Arc::clone(&nudge);
        let task = supervise("probe", move || {
            probe::watch(setup.clone(), Arc::clone(&nudged), reports.clone())
        });
        let instance: Arc<str> = instance.into();
        forward(reports_in, self.events.clone(), move |report| Event::Probed {
            ensemble,
            instance: Arc::clone(&instance),
            report: Box::new(report),
        });
        Probing { nudge, _task: task }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;

    #[tokio::test]
    async fn a_task_that_panics_is_started_again_and_a_drop_ends_it() {
        let (starts, (told, mut tell)) = (Arc::new(AtomicUsize::new(0)), mpsc::channel::<()>(1));
        let counted = Arc::clone(&starts);
        let task = supervise("test", move || {
            let (first, told) = (counted.fetch_add(1, Ordering::Relaxed) == 0, told.clone());
            async move {
                assert!(!first, "the first one fails");
                // Its end closes the channel.
                let _told = told;
                std::future::pending::<()>().await;
            }
        });
        while starts.load(Ordering::Relaxed) < 2 {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        drop(task);
        assert_eq!(tell.recv().await, None);
    }
}

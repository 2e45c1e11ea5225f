//! Tasks that look: started with what they watch, started again when they panic, ended by a drop.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{Notify, mpsc};
use tokio::task::{AbortHandle, JoinSet};
use tracing::error;

use crate::config::Config;
use crate::engine::Event;
use crate::probe::{self, Pace};

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
#[derive(Debug)]
pub(crate) struct Prober {
    pace: Pace,
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
        let pace = Pace {
            interval: config.probe_interval,
            figures_interval: config.figures_interval,
            timeout: config.probe_timeout,
        };
        Self { pace, events }
    }

    /// Begins to probe `instance` of the ensemble with this index.
    pub(crate) fn start(&self, ensemble: usize, instance: &str) -> Probing {
        let nudge = Arc::new(Notify::new());
        let (reports, reports_in) = mpsc::channel(1);
        let (address, pace, nudged) = (instance.to_owned(), self.pace.clone(), Arc::clone(&nudge));
        let task = supervise("probe", move || {
            probe::watch(address.clone(), pace.clone(), Arc::clone(&nudged), reports.clone())
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

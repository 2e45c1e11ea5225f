//! The canaries of the watched servers: who runs them, and how they end in good order.

use std::fs;
use std::hash::{BuildHasher, RandomState};
use std::io::Write;
use std::path::Path;
use std::time::Duration;

use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;
use tracing::error;
use wk_probe::canary::{self, Limits, News, Settings};

use crate::config::EnsembleConfig;
use crate::engine::Event;

/// The file in the data folder that holds this monitor's name among canaries.
const ID_FILE: &str = "canary-id";
/// News that wait for the owner, at most; a canary waits itself.
const NEWS_MAX: usize = 64;
/// Wait before a canary that panicked is started again.
const RESTART: Duration = Duration::from_secs(1);
/// How long the end of the monitor waits until the znodes are deleted.
const GOODBYE: Duration = Duration::from_secs(3);

/// Starts canaries.
#[derive(Debug)]
pub(crate) struct Canaries {
    /// This monitor's name in the paths of znodes.
    monitor: String,
    events: mpsc::Sender<Event>,
}

/// A running canary; its drop tells it to clean up and end.
#[derive(Debug)]
pub(crate) struct Perch {
    stop: watch::Sender<bool>,
    ended: JoinHandle<()>,
}

impl Perch {
    /// Waits until all have cleaned up, but not for ever.
    pub(crate) async fn end(all: Vec<Self>) {
        for perch in &all {
            perch.stop.send_replace(true);
        }
        let waiting = async {
            for perch in all {
                let _ = perch.ended.await;
            }
        };
        let _ = tokio::time::timeout(GOODBYE, waiting).await;
    }
}

impl Canaries {
    /// The monitor with the data folder `data` keeps its name over restarts, so that it finds its
    /// own znodes again.
    pub(crate) fn new(data: &Path, events: mpsc::Sender<Event>) -> Self {
        Self { monitor: own_name(data), events }
    }

    /// Begins to ask `instance` of the ensemble with this index.
    pub(crate) fn start(&self, ensemble: usize, config: &EnsembleConfig, instance: &str) -> Perch {
        let mut labels =
            vec![("ensemble".into(), config.name.clone()), ("instance".into(), instance.into())];
        labels.extend(config.site.iter().map(|site| ("site".into(), site.clone())));
        let settings = Settings {
            instance: instance.to_owned(),
            labels,
            monitor: self.monitor.clone(),
            access: config.access.clone(),
            limits: Limits::default(),
        };
        let (news, mut told) = mpsc::channel(NEWS_MAX);
        let (stop, stopped) = watch::channel(false);
        let ended = tokio::spawn(async move {
            loop {
                let running = canary::watch(settings.clone(), news.clone(), stopped.clone());
                match tokio::spawn(running).await {
                    Err(err) if err.is_panic() => {
                        error!(task = "canary", %err, "task of the monitor panicked; again");
                        tokio::time::sleep(RESTART).await;
                    }
                    Ok(()) | Err(_) => return,
                }
            }
        });
        let (events, about) = (self.events.clone(), about(instance));
        tokio::spawn(async move {
            while let Some(news) = told.recv().await {
                let event = match news {
                    News::Samples(samples) => Event::Samples { ensemble, samples },
                    News::Note(note) => Event::Note { ensemble, about: about.clone(), note },
                };
                if events.send(event).await.is_err() {
                    return;
                }
            }
        });
        Perch { stop, ended }
    }
}

/// What a canary's notes are about.
pub(crate) fn about(instance: &str) -> String {
    format!("canary {instance}")
}

/// The name in the folder's file; a new one where there is none. Without a place to keep it, it is
/// as good for this run.
fn own_name(data: &Path) -> String {
    let path = data.join(ID_FILE);
    let legal = |text: &str| text.len() == 12 && text.bytes().all(|b| b.is_ascii_hexdigit());
    if let Some(kept) = fs::read_to_string(&path).ok().filter(|text| legal(text.trim())) {
        return kept.trim().to_owned();
    }
    let name = format!("{:012x}", RandomState::new().hash_one(std::process::id()) >> 16);
    let written = fs::File::create(&path).and_then(|mut file| writeln!(file, "{name}"));
    if let Err(err) = written {
        error!(path = %path.display(), %err, "cannot keep the canary's name");
    }
    name
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_name_stays_over_restarts_and_nonsense_is_replaced() {
        let dir = tempfile::tempdir().expect("a folder");
        let name = own_name(dir.path());
        assert_eq!((name.len(), own_name(dir.path())), (12, name.clone()));
        fs::write(dir.path().join(ID_FILE), "../../etc").expect("written");
        let other = own_name(dir.path());
        assert!(other != name && other.len() == 12 && own_name(dir.path()) == other);
    }
}

//! The transaction stream of a watched ensemble: which sessions ended and how, and figures.
//!
//! Of an ensemble that is there already it comes by a tap (an observer that no member list has), of
//! our own server from the server itself. It reports; it judges nothing. What it says of sessions
//! beats a watch: an expired one and one that was closed leave the same trace in the tree.

mod lines;

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{Mutex, mpsc};
use tokio::time::{Instant, MissedTickBehavior, interval};
use wk_alert::Fact;
use wk_proto::stream::Event as Txns;
use wk_tap::{Change, Figures, Health, LearnerStats, Tap, TapConfig, TapState};

use crate::config::EnsembleConfig;
use crate::engine::Event;
use crate::monitor::SessionEnd;
use crate::task::{Task, supervise};
use crate::time::Timestamp;
use lines::Lines;

/// The number by which leaders know the tap of a monitor. `watchkeeper tap` has the one before it,
/// so that both can follow one ensemble.
const SID: i64 = 251;
/// How often figures are given.
const FIGURES_INTERVAL: Duration = Duration::from_secs(1);
/// Txns that are counted in one go before anything else gets its turn.
const TXNS_AT_ONCE: usize = 1024;
/// What notes about it are about.
const ABOUT: &str = "tap";

/// Where the txns come from.
enum Source {
    Tap(Box<Tap>),
    Own(Arc<Mutex<mpsc::Receiver<Txns>>>),
}

impl Source {
    async fn next(&mut self) -> Option<Txns> {
        match self {
            Self::Tap(tap) => tap.next().await,
            Self::Own(txns) => txns.lock().await.recv().await,
        }
    }

    async fn try_next(&mut self) -> Option<Txns> {
        match self {
            Self::Tap(tap) => tap.try_next(),
            Self::Own(txns) => txns.lock().await.try_recv().ok(),
        }
    }

    fn health(&self) -> Health {
        match self {
            Self::Tap(tap) => tap.health(),
            // In process there is nothing between the server and us.
            Self::Own(_) => Health {
                state: TapState::Live("this process".to_owned()),
                position: None,
                lag: 0,
                stats: LearnerStats::default(),
                dropped: 0,
                waiting: 0,
            },
        }
    }
}

/// Follows the stream of an ensemble as long as the task is kept.
pub(crate) fn follow_ensemble(
    ensemble: usize,
    config: &EnsembleConfig,
    events: &mpsc::Sender<Event>,
) -> Task {
    let (labels, servers, events) = (labels(config), config.servers.clone(), events.clone());
    let access = config.access.clone();
    supervise("tap", move || {
        let mut config = TapConfig::new(servers.clone());
        config.access = access.clone();
        config.learner.sid = SID;
        let follower = Follower {
            ensemble,
            figures: Figures::new(labels.clone()),
            events: events.clone(),
            tells_ends: true,
            noted: None,
            lines: Lines::default(),
        };
        async move { follower.run(Source::Tap(Box::new(Tap::start(config)))).await }
    })
}

/// Follows the stream of the server in this process; it tells the ends of sessions itself.
pub(crate) fn follow_own(
    ensemble: usize,
    config: &EnsembleConfig,
    txns: mpsc::Receiver<Txns>,
    events: &mpsc::Sender<Event>,
) -> Task {
    let (labels, events) = (labels(config), events.clone());
    let txns = Arc::new(Mutex::new(txns));
    supervise("stream", move || {
        let follower = Follower {
            ensemble,
            figures: Figures::new(labels.clone()),
            events: events.clone(),
            tells_ends: false,
            noted: None,
            lines: Lines::default(),
        };
        let source = Source::Own(Arc::clone(&txns));
        async move { follower.run(source).await }
    })
}

fn labels(config: &EnsembleConfig) -> Vec<(String, String)> {
    let mut labels = vec![("ensemble".to_owned(), config.name.clone())];
    labels.extend(config.site.iter().map(|site| ("site".to_owned(), site.clone())));
    labels
}

/// The monitor has ended.
struct Gone;

struct Follower {
    ensemble: usize,
    figures: Figures,
    events: mpsc::Sender<Event>,
    tells_ends: bool,
    /// The note that stands.
    noted: Option<String>,
    /// What the audit is told.
    lines: Lines,
}

impl Follower {
    async fn run(mut self, mut source: Source) {
        let mut timer = interval(FIGURES_INTERVAL);
        timer.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            let done = tokio::select! {
                biased;
                _ = timer.tick() => self.tell(&source.health()).await,
                next = source.next() => if let Some(first) = next {
                    self.take_all(first, &mut source).await
                } else {
                    // It will not work here: say so once more, and keep still.
                    let told = self.tell(&source.health()).await;
                    self.events.closed().await;
                    told.and(Err(Gone))
                },
            };
            if done.is_err() {
                return;
            }
        }
    }

    async fn take_all(&mut self, first: Txns, source: &mut Source) -> Result<(), Gone> {
        let until = Instant::now() + FIGURES_INTERVAL;
        self.take(&first).await?;
        for _ in 1..TXNS_AT_ONCE {
            let Some(event) = source.try_next().await else { break };
            self.take(&event).await?;
            if Instant::now() >= until {
                break;
            }
        }
        Ok(())
    }

    async fn take(&mut self, event: &Txns) -> Result<(), Gone> {
        let Txns::Txn { record, .. } = event else {
            self.figures.take_gap();
            return Ok(());
        };
        let change = Change::read(record);
        self.figures.take(&change);
        if let Some(expired) = change.expired.filter(|_| self.tells_ends) {
            let end = SessionEnd { session: change.session, closed: !expired };
            self.send(Event::SessionEnded { ensemble: self.ensemble, end }).await?;
        }
        let mut facts = Vec::new();
        self.lines.take(Instant::now(), &change, &mut facts);
        self.record(facts).await
    }

    async fn record(&self, facts: Vec<Fact>) -> Result<(), Gone> {
        for fact in facts {
            self.send(Event::Recorded { ensemble: self.ensemble, fact }).await?;
        }
        Ok(())
    }

    async fn tell(&mut self, health: &Health) -> Result<(), Gone> {
        let samples = self.figures.samples(Timestamp::now().0, health);
        self.send(Event::Samples { ensemble: self.ensemble, samples }).await?;
        let mut facts = Vec::new();
        self.lines.tick(Instant::now(), &mut facts);
        self.record(facts).await?;
        let note = note(&health.state);
        if note != self.noted {
            self.noted.clone_from(&note);
            let (ensemble, about) = (self.ensemble, ABOUT.to_owned());
            self.send(Event::Note { ensemble, about, note }).await?;
        }
        Ok(())
    }

    async fn send(&self, event: Event) -> Result<(), Gone> {
        self.events.send(event).await.map_err(|_| Gone)
    }
}

/// What keeps it from following, in a sentence.
fn note(state: &TapState) -> Option<String> {
    match state {
        TapState::Live(_) | TapState::Syncing(_) => None,
        TapState::Looking(why) => Some(format!("the tap follows no leader: {why}")),
        TapState::Refused(why) => Some(format!("the tap cannot work here: {why}")),
    }
}

#[cfg(test)]
mod tests {
    use wk_proto::txn::{TxnHeader, encode_record};
    use wk_proto::{OpCode, SessionId, Txn, Wall, Zxid};

    use super::*;

    fn close(session: i64, cxid: i32) -> Txns {
        let (session, zxid, time) = (SessionId(session), Zxid(1), Wall(0));
        let header = TxnHeader { session, cxid, zxid, time, op: OpCode::CloseSession };
        let mut record = Vec::new();
        encode_record(&header, &Txn::CloseSession { paths: Some(Vec::new()) }, None, &mut record);
        Txns::Txn { zxid, record }
    }

    async fn ends(tells_ends: bool) -> Vec<(i64, bool)> {
        let (events, mut told) = mpsc::channel(16);
        let (txns, from) = mpsc::channel(16);
        let figures = Figures::new(Vec::new());
        let lines = Lines::default();
        let follower = Follower { ensemble: 3, figures, events, tells_ends, noted: None, lines };
        let source = Source::Own(Arc::new(Mutex::new(from)));
        let running = tokio::spawn(follower.run(source));
        txns.send(close(7, 0)).await.expect("it listens");
        txns.send(close(8, 4)).await.expect("it listens");
        let mut ends = Vec::new();
        loop {
            let event = told.recv().await.expect("it reports");
            if let Event::SessionEnded { ensemble: 3, end } = event {
                ends.push((end.session.0, end.closed));
                continue;
            }
            let Event::Samples { ensemble: 3, samples } = event else {
                panic!("nothing else is told");
            };
            let ended = samples
                .iter()
                .filter(|sample| sample.labels.name() == "watchkeeper_tap_sessions_ended_total");
            if ended.map(|sample| sample.value).sum::<f64>() > 1.5 {
                break;
            }
        }
        drop(told);
        running.abort();
        ends
    }

    #[tokio::test]
    async fn the_stream_tells_which_sessions_expired_and_which_were_closed() {
        assert_eq!(ends(true).await, [(7, false), (8, true)]);
        assert_eq!(ends(false).await, [], "our own server tells them itself");
    }

    #[test]
    fn what_keeps_it_from_following_is_noted() {
        assert_eq!(note(&TapState::Live("zk1:2181".to_owned())), None);
        let why = wk_tap::FindError::Standalone("zk1:2181".to_owned());
        let note = note(&TapState::Refused(why)).expect("a note");
        assert!(note.starts_with("the tap cannot work here: zk1:2181 is a standalone"), "{note}");
    }
}

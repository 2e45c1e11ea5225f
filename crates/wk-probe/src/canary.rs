//! The canary: writes, reads and watches one znode through every server, once a second.
//!
//! Only this sees an ensemble whose members all look healthy while nothing is written: a leader that
//! is paused or cut off has followers that answer every question for 10 s and more. Each server has a
//! session of its own, pinned to it. [`machine`] decides; here is the task that asks.
//!
//! The znode is `/watchkeeper/canary/MONITOR/SERVER`: made once, then set again and again, a few
//! bytes each time, and deleted when the monitor leaves.

mod figures;
mod machine;
mod znode;

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use tokio::sync::{mpsc, watch};
use tokio::time::Instant;
use tracing::debug;
use wk_client::{Access, Client, Status};
use wk_promql::Sample;
use wk_proto::Mono;

pub use figures::Figures;
pub use machine::{Canary, Ended, Input, Limits, Op, Order, Output};
use znode::Znode;

/// The session timeout that is asked for. Two thirds of it is the silence after which the connection
/// is made anew.
const SESSION_TIMEOUT: Duration = Duration::from_secs(10);
/// The machine decides what is late; this only ends requests that nobody waits for any more.
const REQUEST_TIMEOUT: Duration = Duration::from_mins(2);
/// Longest wait for a connection, and again for its handshake.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// Latencies go out this often, counters each second and at each failure.
const LATENCIES_INTERVAL: Duration = Duration::from_secs(10);
/// Counters go out at least this often.
const COUNTERS_INTERVAL: Duration = Duration::from_secs(1);
/// How long the end may take: the znode is deleted and the session closed.
const GOODBYE: Duration = Duration::from_secs(2);

/// What a canary is told.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The server, as `host:port`: the value of the label `instance` and the name of its znode.
    pub instance: String,
    /// The labels of every sample, `instance` among them.
    pub labels: Vec<(String, String)>,
    /// Tells this monitor from others; the same after a restart. A name without slashes.
    pub monitor: String,
    /// How the server is reached. If that brings credentials, the znode belongs to them.
    pub access: Access,
    /// The spans.
    pub limits: Limits,
}

/// News of a canary.
#[derive(Clone, Debug, PartialEq)]
pub enum News {
    /// Figures.
    Samples(Vec<Sample>),
    /// What keeps the canary from its work, with the line that would change it; none: nothing.
    Note(Option<String>),
}

/// Watches one server until `stop` is true or nobody listens any more.
pub async fn watch(settings: Settings, news: mpsc::Sender<News>, mut stop: watch::Receiver<bool>) {
    let builder = settings
        .access
        .client(&settings.instance)
        .session_timeout(SESSION_TIMEOUT)
        .request_timeout(REQUEST_TIMEOUT)
        .connect_timeout(CONNECT_TIMEOUT)
        .read_only(true);
    let client = match builder.start() {
        Ok(client) => client,
        Err(err) => {
            let _ = news.send(News::Note(Some(format!("canary: {err}")))).await;
            return;
        }
    };
    let znode = Znode::new(client.clone(), &settings);
    let mut task = Task::new(&settings, client.clone(), znode.clone(), news);
    tokio::select! {
        () = task.run() => (),
        _ = stop.wait_for(|stop| *stop) => (),
    }
    let stale = task.figures.stale(wall());
    let _ = task.news.try_send(News::Samples(stale));
    let goodbye = async {
        if client.state().borrow().status == Status::Connected {
            znode.clean().await;
        }
        let _ = client.close().await;
    };
    let _ = tokio::time::timeout(GOODBYE, goodbye).await;
}

/// The task around the machine.
struct Task {
    machine: Canary,
    figures: Figures,
    client: Client,
    znode: Znode,
    news: mpsc::Sender<News>,
    origin: Instant,
    out: Vec<Output>,
    latencies_at: Instant,
    counters_at: Instant,
    /// The counters changed in a way that must be told at once.
    urgent: bool,
    notes: Vec<Option<String>>,
}

impl Task {
    fn new(settings: &Settings, client: Client, znode: Znode, news: mpsc::Sender<News>) -> Self {
        let labels: Vec<(&str, &str)> =
            settings.labels.iter().map(|(name, value)| (&**name, &**value)).collect();
        let origin = Instant::now();
        Self {
            machine: Canary::new(settings.limits, Mono::default()),
            figures: Figures::new(&labels),
            client,
            znode,
            news,
            origin,
            out: Vec::new(),
            latencies_at: origin,
            counters_at: origin,
            urgent: true,
            notes: Vec::new(),
        }
    }

    /// Runs until nobody listens or the client is finished.
    async fn run(&mut self) {
        let mut state = self.client.state();
        let mut order: Option<znode::Running> = None;
        self.step(status_input(state.borrow_and_update().status), &mut order);
        loop {
            if self.tell().await.is_err() {
                return;
            }
            let due = self.instant(self.machine.next_timeout());
            let tick = due.min(self.counters_at);
            tokio::select! {
                // An answer that is there is taken before the time is looked at.
                biased;
                ended = finished(&mut order) => self.step(Input::Ended(ended), &mut order),
                changed = state.changed() => {
                    let status = state.borrow_and_update().status;
                    if changed.is_err() || matches!(status, Status::Closed) {
                        return;
                    }
                    if status == Status::AuthFailed {
                        self.refused_for_good().await;
                        return;
                    }
                    self.step(status_input(status), &mut order);
                }
                () = tokio::time::sleep_until(tick) => self.step(Input::Tick, &mut order),
            }
        }
    }

    fn step(&mut self, input: Input, order: &mut Option<znode::Running>) {
        if matches!(input, Input::Ended(_)) {
            *order = None;
        }
        let now = Mono::default().after(self.origin.elapsed());
        self.machine.step(now, input, &mut self.out);
        for output in std::mem::take(&mut self.out) {
            match output {
                Output::Do(what) => *order = Some(self.znode.run(what)),
                Output::Drop => *order = None,
                Output::Took(op, took) => self.figures.took(op, took),
                Output::RoundBegun => self.figures.round(),
                Output::Failed(why) => {
                    debug!(why, "the canary failed");
                    self.figures.failure();
                    self.urgent = true;
                }
                Output::Note(note) => self.notes.push(note),
            }
        }
        self.figures.connected(self.machine.is_connected());
    }

    /// Hands on what is due; an error if nobody listens.
    async fn tell(&mut self) -> Result<(), mpsc::error::SendError<News>> {
        for note in std::mem::take(&mut self.notes) {
            self.news.send(News::Note(note)).await?;
        }
        let now = Instant::now();
        let counters = self.counters_at <= now || self.urgent;
        let mut samples = Vec::new();
        if counters {
            self.urgent = false;
            self.counters_at = now + COUNTERS_INTERVAL;
            samples = self.figures.counters(wall());
        }
        if self.latencies_at <= now {
            self.latencies_at = now + LATENCIES_INTERVAL;
            samples.extend(self.figures.latencies(wall()));
        }
        if samples.is_empty() { Ok(()) } else { self.news.send(News::Samples(samples)).await }
    }

    async fn refused_for_good(&mut self) {
        let why = "the server refuses the monitor's credentials: no canary. \
                   Correct the ensemble's credentials in watchkeeper.toml";
        let _ = self.news.send(News::Note(Some(why.to_owned()))).await;
    }

    fn instant(&self, at: Mono) -> Instant {
        // Far enough away to be looked at again before it matters.
        let ahead = at.since(Mono::default()).min(self.origin.elapsed() + COUNTERS_INTERVAL);
        self.origin + ahead
    }
}

fn status_input(status: Status) -> Input {
    match status {
        Status::Connected => Input::Connected,
        Status::ReadOnly => Input::ReadOnly,
        Status::Suspended | Status::Lost | Status::AuthFailed | Status::Closed => {
            Input::Disconnected
        }
    }
}

async fn finished(order: &mut Option<znode::Running>) -> Ended {
    match order {
        Some(order) => order.await,
        None => std::future::pending().await,
    }
}

fn wall() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
}

#[cfg(test)]
#[path = "canary/task_tests.rs"]
mod tests;

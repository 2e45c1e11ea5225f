//! A webhook that takes Alertmanager's JSON, once per `Idempotency-Key`.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use anyhow::Result;
use serde_json::Value;

use super::http::{Reply, Request, Server};

/// One request that was taken, or kept without an answer.
#[derive(Clone, Debug)]
pub struct Notification {
    /// Its `Idempotency-Key`.
    pub key: String,
    /// Its body.
    pub body: Value,
    /// When the whole of it was here and was taken.
    pub at: Instant,
    /// Whether it was answered; one that is kept in silence is not accepted yet.
    pub answered: bool,
}

/// One alert of a notification.
#[derive(Clone, Debug)]
pub struct Alert {
    /// Its name: the rule's.
    pub rule: String,
    /// `firing` or `resolved`.
    pub status: String,
    /// Its labels and annotations, as they came.
    pub labels: Value,
    /// What people read.
    pub annotations: Value,
}

impl Notification {
    /// The alerts in it, several when they are grouped.
    pub fn alerts(&self) -> Vec<Alert> {
        let alerts = self.body["alerts"].as_array().map(Vec::as_slice).unwrap_or_default();
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let read = |alert: &Value| Alert {
            rule: text(&alert["labels"]["alertname"]),
            status: text(&alert["status"]),
            labels: alert["labels"].clone(),
            annotations: alert["annotations"].clone(),
        };
        alerts.iter().map(read).collect()
    }

    /// The incident that its annotations name.
    pub fn incident(&self) -> String {
        let id = &self.body["alerts"][0]["annotations"]["incident_id"];
        id.as_str().unwrap_or_default().to_owned()
    }

    /// `firing` or `resolved`.
    pub fn status(&self) -> &str {
        self.body["status"].as_str().unwrap_or_default()
    }
}

#[derive(Default)]
struct State {
    taken: Vec<Notification>,
    script: VecDeque<Reply>,
}

/// A running webhook.
pub struct Webhook {
    server: Server,
    state: Arc<Mutex<State>>,
}

impl Webhook {
    /// Starts one that takes everything.
    ///
    /// # Errors
    /// No free port.
    pub fn start() -> Result<Self> {
        let state: Arc<Mutex<State>> = Arc::default();
        let shared = Arc::clone(&state);
        let server = Server::start(move |request| take(&shared, &request))?;
        Ok(Self { server, state })
    }

    /// The notification URL of this webhook.
    pub fn url(&self) -> String {
        format!("webhook+http://{}/hook", self.server.address())
    }

    /// The next requests get these replies; then everything is taken again.
    pub fn script(&self, replies: impl IntoIterator<Item = Reply>) {
        self.lock().script.extend(replies);
    }

    /// Takes everything from now on.
    pub fn forget_script(&self) {
        self.lock().script.clear();
    }

    /// Every request that reached it and was not refused, in order, repetitions too.
    pub fn taken(&self) -> Vec<Notification> {
        self.lock().taken.clone()
    }

    /// What an idempotent receiver acts on: the first of each key.
    pub fn acted(&self) -> Vec<Notification> {
        let mut seen = std::collections::BTreeSet::new();
        self.taken().into_iter().filter(|one| seen.insert(one.key.clone())).collect()
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn take(state: &Mutex<State>, request: &Request) -> Reply {
    let mut state = state.lock().unwrap_or_else(PoisonError::into_inner);
    let next = state.script.pop_front();
    let refused = matches!(&next, Some(Reply::Answer { status, .. }) if *status >= 300);
    if !refused {
        let key = request.header("idempotency-key").unwrap_or_default().to_owned();
        let answered = !matches!(&next, Some(Reply::Silence));
        let body = serde_json::from_slice(&request.body).unwrap_or_default();
        state.taken.push(Notification { key, body, at: Instant::now(), answered });
    }
    next.unwrap_or(Reply::Answer { status: 200, body: "{}".into() })
}

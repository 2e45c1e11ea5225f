//! `/api/v1/silences` and `/api/v1/maintenance`: times in which nobody is told of some faults.

use std::sync::Arc;
use std::time::Duration;

use axum::extract::{Path, Query, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use serde::Deserialize;
use serde_json::json;

use super::{By, answer, error, foreign};
use crate::guard::is_cross_site;
use crate::web::{App, Shared};

pub(super) fn routes() -> Router<Arc<App>> {
    Router::new()
        .route("/api/v1/silences", get(silences).post(add))
        .route("/api/v1/silences/{id}/end", post(end))
        .route("/api/v1/maintenance", get(maintenance).post(start))
        .route("/api/v1/maintenance/end", post(stop))
}

/// What may be asked of the lists.
#[derive(Debug, Deserialize)]
struct Asked {
    /// Also what is over.
    all: Option<bool>,
}

async fn silences(State(app): Shared, Query(asked): Query<Asked>) -> Response {
    let all = asked.all.unwrap_or(false);
    let mut silences = app.monitor.silences();
    silences.retain(|silence| all || silence.term.active);
    Json(json!({ "silences": silences })).into_response()
}

async fn maintenance(State(app): Shared, Query(asked): Query<Asked>) -> Response {
    let all = asked.all.unwrap_or(false);
    let mut windows = app.monitor.maintenance();
    windows.retain(|window| all || window.term.active);
    Json(json!({ "maintenance": windows })).into_response()
}

/// How long: seconds.
#[derive(Debug, Deserialize)]
struct Term {
    #[serde(rename = "for")]
    seconds: f64,
    #[serde(default)]
    reason: String,
    #[serde(flatten)]
    by: By,
}

impl Term {
    fn time(&self) -> Option<Duration> {
        Duration::try_from_secs_f64(self.seconds).ok()
    }
}

#[derive(Debug, Deserialize)]
struct NewSilence {
    matchers: Vec<String>,
    #[serde(flatten)]
    term: Term,
}

#[derive(Debug, Deserialize)]
struct Target {
    target: String,
}

#[derive(Debug, Deserialize)]
struct NewMaintenance {
    #[serde(flatten)]
    target: Target,
    #[serde(flatten)]
    term: Term,
}

#[derive(Debug, Deserialize)]
struct EndOfMaintenance {
    #[serde(flatten)]
    target: Target,
    #[serde(flatten)]
    by: By,
}

fn bad_time() -> Response {
    error(StatusCode::BAD_REQUEST, "for: must be a number of seconds, not below 0")
}

async fn add(State(app): Shared, headers: HeaderMap, Json(new): Json<NewSilence>) -> Response {
    if is_cross_site(&headers) {
        return foreign();
    }
    let Some(time) = new.term.time() else { return bad_time() };
    let (by, reason) = (new.term.by.name(), &new.term.reason);
    answer(app.monitor.add_silence(new.matchers, time, &by, reason).await)
}

async fn end(
    State(app): Shared,
    Path(id): Path<String>,
    headers: HeaderMap,
    Json(by): Json<By>,
) -> Response {
    if is_cross_site(&headers) {
        return foreign();
    }
    answer(app.monitor.end_silence(&id, &by.name()).await)
}

async fn start(
    State(app): Shared,
    headers: HeaderMap,
    Json(new): Json<NewMaintenance>,
) -> Response {
    if is_cross_site(&headers) {
        return foreign();
    }
    let Some(time) = new.term.time() else { return bad_time() };
    let (by, reason) = (new.term.by.name(), &new.term.reason);
    let started = app.monitor.start_maintenance(&new.target.target, time, &by, reason).await;
    answer(started.map(|windows| json!({ "maintenance": windows })))
}

async fn stop(
    State(app): Shared,
    headers: HeaderMap,
    Json(end): Json<EndOfMaintenance>,
) -> Response {
    if is_cross_site(&headers) {
        return foreign();
    }
    let ended = app.monitor.end_maintenance(&end.target.target, &end.by.name()).await;
    answer(ended.map(|windows| json!({ "maintenance": windows })))
}

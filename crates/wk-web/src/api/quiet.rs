//! `/api/v1/silences` and `/api/v1/maintenance`: times in which nobody is told of some faults.

use std::sync::Arc;

use axum::extract::{Path, State};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use serde::Deserialize;
use serde_json::json;

use super::{LIMIT_DEFAULT, LIMIT_MAX, WAY, answer};
use crate::acts::{self, By, OurJson, OurQuery, Term};
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
    /// At most so many, those in force first.
    limit: Option<usize>,
}

impl Asked {
    /// What is asked for of a list that has those in force first.
    fn of<T>(&self, mut list: Vec<T>, is_active: impl Fn(&T) -> bool) -> Vec<T> {
        let all = self.all.unwrap_or(false);
        list.retain(|one| all || is_active(one));
        list.truncate(self.limit.unwrap_or(LIMIT_DEFAULT).min(LIMIT_MAX));
        list
    }
}

async fn silences(State(app): Shared, OurQuery(asked): OurQuery<Asked>) -> Response {
    let silences = asked.of(app.monitor.silences(), |silence| silence.term.active);
    Json(json!({ "silences": silences })).into_response()
}

async fn maintenance(State(app): Shared, OurQuery(asked): OurQuery<Asked>) -> Response {
    let windows = asked.of(app.monitor.maintenance(), |window| window.term.active);
    Json(json!({ "maintenance": windows })).into_response()
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

async fn add(State(app): Shared, OurJson(new): OurJson<NewSilence>) -> Response {
    let NewSilence { matchers, term } = new;
    answer(acts::silence(&app, matchers, &term, WAY).await)
}

async fn end(State(app): Shared, Path(id): Path<String>, OurJson(by): OurJson<By>) -> Response {
    answer(app.monitor.end_silence(&id, &by.name(WAY)).await)
}

async fn start(State(app): Shared, OurJson(new): OurJson<NewMaintenance>) -> Response {
    let started = acts::work_on(&app, &new.target.target, &new.term, WAY).await;
    answer(started.map(|windows| json!({ "maintenance": windows })))
}

async fn stop(State(app): Shared, OurJson(end): OurJson<EndOfMaintenance>) -> Response {
    let ended = app.monitor.end_maintenance(&end.target.target, &end.by.name(WAY)).await;
    answer(ended.map(|windows| json!({ "maintenance": windows })))
}

//! The JSON API and the stream of events, the monitor's own types unchanged.
//!
//! Actions want `content-type: application/json`: a form on a foreign page cannot send that.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use axum::extract::{Path, State};
use axum::http::{HeaderMap, StatusCode, Uri};
use axum::response::sse::{Event, KeepAlive, Sse};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use serde::{Deserialize, Serialize};
use serde_json::json;
use tokio::sync::broadcast::error::RecvError;
use tokio::sync::mpsc;
use tokio_stream::Stream;
use tokio_stream::wrappers::ReceiverStream;
use wk_monitor::{
    AUDIT_LINES_MAX, ActionError, Change, Fleet, IncidentFilter, IncidentState, NodeState, Severity,
};

use crate::acts::{Act, By, OurJson, OurQuery, error};
use crate::handlers::{self, status};
use crate::web::{App, Shared};

/// Incidents in one answer unless `limit` says less or more.
const LIMIT_DEFAULT: usize = 500;
/// The most that `limit` may ask for.
const LIMIT_MAX: usize = 10_000;
/// Lines of the audit in one answer unless `limit` says less or more.
const AUDIT_DEFAULT: usize = 100;
/// Under which name acts stand in the history that came by the API without one.
const WAY: &str = "api";
/// Events waiting for one slow reader before it is told to read everything anew.
const EVENTS_MAX: usize = 64;

mod quiet;

pub(crate) fn routes() -> Router<Arc<App>> {
    Router::new()
        .merge(quiet::routes())
        .route("/api/v1/incidents", get(incidents))
        .route("/api/v1/incidents/{id}", get(incident))
        .route("/api/v1/incidents/{id}/{verb}", post(act))
        .route("/api/v1/audit", get(audit))
        .route("/api/v1/rules", get(rules))
        .route("/api/v1/fleet", get(fleet))
        .route("/api/v1/ensembles", get(ensembles))
        .route("/api/v1/nodes", get(nodes))
        .route("/api/v1/status", get(status_word))
        .route("/api/v1/channels/{name}/test", post(test_channel))
        .route("/api/v1/notify/test", post(notify_test))
        .route("/api/v1/events", get(events))
}

/// What may be asked of the list.
#[derive(Debug, Deserialize)]
struct Asked {
    open: Option<bool>,
    hushed: Option<bool>,
    state: Option<String>,
    pending: Option<bool>,
    severity: Option<Severity>,
    rule: Option<String>,
    ensemble: Option<String>,
    limit: Option<usize>,
}

async fn incidents(State(app): Shared, OurQuery(asked): OurQuery<Asked>) -> Response {
    let state = match asked.state.as_deref().map(parse_state) {
        Some(None) => {
            let known = "pending, firing, acknowledged, suppressed, unknown, resolved, closed";
            return error(StatusCode::BAD_REQUEST, &format!("state: must be one of {known}"));
        }
        Some(state) => state,
        None => None,
    };
    let filter = IncidentFilter {
        open_only: asked.open.unwrap_or(false),
        hushed: asked.hushed,
        state,
        pending: asked.pending.unwrap_or(false),
        severity: asked.severity,
        rule: asked.rule,
        ensemble: asked.ensemble,
        limit: asked.limit.unwrap_or(LIMIT_DEFAULT).min(LIMIT_MAX),
    };
    let incidents = app.monitor.incidents(&filter);
    let incidents: Vec<_> = incidents.iter().map(AsRef::as_ref).collect();
    Json(json!({ "incidents": incidents })).into_response()
}

fn parse_state(text: &str) -> Option<IncidentState> {
    serde_json::from_value(text.into()).ok()
}

async fn incident(State(app): Shared, Path(id): Path<String>) -> Response {
    answer(app.monitor.incident(&id).await)
}

/// Which nodes are listed; the groups count all of them.
#[derive(Debug, Deserialize)]
struct Listed {
    nodes: Option<String>,
}

async fn fleet(State(app): Shared, OurQuery(listed): OurQuery<Listed>) -> Response {
    let fleet = app.monitor.fleet();
    let is_listed: fn(&NodeState) -> bool = match listed.nodes.as_deref() {
        None | Some("all") => return Json(fleet.as_ref()).into_response(),
        Some("faulty") => |state| !matches!(state, NodeState::Up | NodeState::Left),
        Some("none") => |_| false,
        Some(_) => {
            return error(StatusCode::BAD_REQUEST, "nodes: must be one of all, faulty, none");
        }
    };
    let mut fleet = Fleet::clone(&fleet);
    for ensemble in &mut fleet.ensembles {
        ensemble.nodes.retain(|node| is_listed(&node.state));
    }
    Json(fleet).into_response()
}

async fn ensembles(State(app): Shared) -> Response {
    Json(json!({ "ensembles": app.monitor.fleet().ensembles })).into_response()
}

async fn nodes(State(app): Shared) -> Response {
    let fleet = app.monitor.fleet();
    let nodes: Vec<_> = fleet
        .ensembles
        .iter()
        .flat_map(|ensemble| ensemble.nodes.iter().map(|node| (&ensemble.name, node)))
        .filter_map(|(name, node)| {
            let mut node = serde_json::to_value(node.as_ref()).ok()?;
            node.as_object_mut()?.insert("ensemble".to_owned(), name.as_str().into());
            Some(node)
        })
        .collect();
    Json(json!({ "nodes": nodes })).into_response()
}

async fn status_word(State(app): Shared) -> Response {
    let fleet = app.monitor.fleet();
    Json(json!({
        "status": fleet.level,
        "code": fleet.level.exit_code(),
        "open_incidents": fleet.open_incidents,
        "as_of": fleet.as_of,
        "version": app.version,
    }))
    .into_response()
}

async fn act(
    State(app): Shared,
    Path((id, verb)): Path<(String, String)>,
    headers: HeaderMap,
    uri: Uri,
    OurJson(by): OurJson<By>,
) -> Response {
    let Some(act) = Act::parse(&verb) else {
        return handlers::not_found(State(app), headers, uri).await;
    };
    answer(act.carry_out(&app.monitor, &id, &by.name(WAY)).await)
}

/// Which lines of the audit.
#[derive(Debug, Deserialize)]
struct Lines {
    before: Option<u64>,
    limit: Option<usize>,
}

async fn audit(State(app): Shared, OurQuery(lines): OurQuery<Lines>) -> Response {
    let limit = lines.limit.unwrap_or(AUDIT_DEFAULT);
    if !(1..=AUDIT_LINES_MAX).contains(&limit) {
        let rule = format!("limit: must be from 1 to {AUDIT_LINES_MAX}");
        return error(StatusCode::BAD_REQUEST, &rule);
    }
    answer(app.monitor.audit(lines.before, limit).await)
}

async fn rules(State(app): Shared) -> Response {
    answer(app.monitor.rules().await)
}

async fn test_channel(
    State(app): Shared,
    Path(name): Path<String>,
    OurJson(_): OurJson<serde_json::Value>,
) -> Response {
    answer(app.monitor.test_channel(&name).await)
}

/// The channel to test.
#[derive(Debug, Deserialize)]
struct Channel {
    channel: String,
}

async fn notify_test(State(app): Shared, OurJson(asked): OurJson<Channel>) -> Response {
    answer(app.monitor.test_channel(&asked.channel).await)
}

fn answer<T: Serialize>(result: Result<T, ActionError>) -> Response {
    match result {
        Ok(value) => Json(value).into_response(),
        Err(err) => error(status(&err), &err.to_string()),
    }
}

/// `GET /api/v1/events`: `fleet` and `incident` as they change, `resync` when a reader was too slow.
///
/// The first event is the fleet as it is, so that a reconnecting page is right at once.
async fn events(State(app): Shared) -> Sse<impl Stream<Item = Result<Event, Infallible>>> {
    let (out, stream) = mpsc::channel(EVENTS_MAX);
    tokio::spawn(forward(app, out));
    let beat = KeepAlive::new().interval(Duration::from_secs(15));
    Sse::new(ReceiverStream::new(stream)).keep_alive(beat)
}

async fn forward(app: Arc<App>, out: mpsc::Sender<Result<Event, Infallible>>) {
    let mut changes = app.monitor.subscribe();
    let mut stopping = app.stopping.clone();
    let mut next = fleet_event(&app);
    loop {
        // A reader that is gone ends the task; one that is slow makes the broadcast lag, not us.
        tokio::select! {
            sent = out.send(Ok(next)) => if sent.is_err() { return },
            _ = stopping.wait_for(|stop| *stop) => return,
        }
        let change = tokio::select! {
            change = changes.recv() => change,
            () = out.closed() => return,
            _ = stopping.wait_for(|stop| *stop) => return,
        };
        next = match change {
            Ok(Change::Fleet) => fleet_event(&app),
            Ok(Change::Incident(incident)) => named("incident", incident.as_ref()),
            Err(RecvError::Lagged(_)) => Event::default().event("resync").data("{}"),
            Err(RecvError::Closed) => return,
        };
    }
}

fn fleet_event(app: &App) -> Event {
    let fleet = app.monitor.fleet();
    let short = json!({
        "level": fleet.level, "open_incidents": fleet.open_incidents, "as_of": fleet.as_of,
    });
    named("fleet", &short)
}

fn named(name: &str, value: &impl Serialize) -> Event {
    let event = Event::default().event(name);
    match event.json_data(value) {
        Ok(event) => event,
        // Only a type that JSON cannot hold fails here; the reader then reads for itself.
        Err(_) => Event::default().event("resync").data("{}"),
    }
}

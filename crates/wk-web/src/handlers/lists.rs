//! The pages with lists of their own: silences and maintenance, the rules, the audit.

use axum::extract::{Path, Query, State};
use axum::http::{HeaderMap, StatusCode, Uri};
use axum::response::{Redirect, Response};
use serde::Deserialize;

use super::{Reader, WAY, after, context, refused};
use crate::acts::{self, By, OurForm, Term};
use crate::pages;
use crate::web::Shared;

/// Lines on one page of the audit.
const AUDIT_LINES: usize = 100;

/// `?lang=&matchers=`.
#[derive(Debug, Default, Deserialize)]
pub(crate) struct Wanted {
    #[serde(flatten)]
    reader: Reader,
    /// Conditions to begin a new silence with.
    #[serde(default)]
    matchers: String,
    /// Also what is over.
    #[serde(default)]
    all: bool,
}

/// `GET /silences`
pub(crate) async fn silences(
    State(app): Shared,
    Query(wanted): Query<Wanted>,
    headers: HeaderMap,
) -> Response {
    let ctx = context(&app, wanted.reader.lang(&app, &headers), "/silences");
    let (silences, windows) = (app.monitor.silences(), app.monitor.maintenance());
    let quiet = pages::Quiet {
        silences: &silences,
        windows: &windows,
        fleet: &app.monitor.fleet(),
        matchers: &wanted.matchers,
        over: wanted.all,
    };
    wanted.reader.respond(StatusCode::OK, pages::silences(&ctx, &quiet).into_string())
}

/// `GET /maintenance`: beside the silences.
pub(crate) async fn to_silences() -> Redirect {
    Redirect::permanent("/silences#maintenance")
}

/// A silence as the form sends it.
#[derive(Debug, Deserialize)]
pub(crate) struct NewSilence {
    /// One condition a line.
    matchers: String,
    #[serde(flatten)]
    term: Term,
}

/// `POST /silences`
pub(crate) async fn add_silence(
    State(app): Shared,
    headers: HeaderMap,
    uri: Uri,
    OurForm(new): OurForm<NewSilence>,
) -> Response {
    let lines = new.matchers.lines().map(str::trim).filter(|line| !line.is_empty());
    let matchers = lines.map(str::to_owned).collect();
    let done = acts::silence(&app, matchers, &new.term, WAY).await;
    after(&app, &headers, &uri, done)
}

/// `POST /silences/{id}/end`
pub(crate) async fn end_silence(
    State(app): Shared,
    Path(id): Path<String>,
    headers: HeaderMap,
    uri: Uri,
    OurForm(by): OurForm<By>,
) -> Response {
    let done = app.monitor.end_silence(&id, &by.name(WAY)).await;
    after(&app, &headers, &uri, done)
}

/// A maintenance window as the form sends it.
#[derive(Debug, Deserialize)]
pub(crate) struct NewMaintenance {
    target: String,
    #[serde(flatten)]
    term: Term,
}

/// `POST /maintenance`
pub(crate) async fn start_maintenance(
    State(app): Shared,
    headers: HeaderMap,
    uri: Uri,
    OurForm(new): OurForm<NewMaintenance>,
) -> Response {
    let done = acts::work_on(&app, &new.target, &new.term, WAY).await;
    after(&app, &headers, &uri, done)
}

/// `POST /maintenance/{id}/end`
pub(crate) async fn end_maintenance(
    State(app): Shared,
    Path(id): Path<String>,
    headers: HeaderMap,
    uri: Uri,
    OurForm(by): OurForm<By>,
) -> Response {
    let done = app.monitor.end_maintenance(&id, &by.name(WAY)).await;
    after(&app, &headers, &uri, done)
}

/// `GET /rules`
pub(crate) async fn rules(
    State(app): Shared,
    Query(reader): Query<Reader>,
    headers: HeaderMap,
) -> Response {
    let lang = reader.lang(&app, &headers);
    let ctx = context(&app, lang, "/rules");
    match app.monitor.rules().await {
        Ok(rules) => reader.respond(StatusCode::OK, pages::rules(&ctx, &rules).into_string()),
        Err(err) => refused(&app, lang, &err, "/"),
    }
}

/// `?lang=&before=`.
#[derive(Debug, Default, Deserialize)]
pub(crate) struct Lines {
    #[serde(flatten)]
    reader: Reader,
    /// Only lines older than this number.
    before: Option<String>,
}

/// `GET /audit`
pub(crate) async fn audit(
    State(app): Shared,
    Query(lines): Query<Lines>,
    headers: HeaderMap,
) -> Response {
    let lang = lines.reader.lang(&app, &headers);
    let ctx = context(&app, lang, "/audit");
    // Whatever is no number asks for the newest.
    let before = lines.before.as_deref().and_then(|number| number.parse().ok());
    match app.monitor.audit(before, AUDIT_LINES).await {
        Ok(page) => {
            let page = pages::audit(&ctx, &page, before.is_some());
            lines.reader.respond(StatusCode::OK, page.into_string())
        }
        Err(err) => refused(&app, lang, &err, "/"),
    }
}

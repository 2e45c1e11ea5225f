//! From a request to a page: reads what the monitor has, chooses the language, checks forms.

use std::sync::Arc;

use axum::extract::{Path, Query, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode, Uri, header};
use axum::response::{Html, IntoResponse, Redirect, Response};
use serde::Deserialize;
use wk_monitor::{ActionError, Incident, IncidentFilter};

use crate::acts::{Act, By, OurForm};
use crate::lang::{Clock, Lang};
use crate::pages::{self, Context, Detail, Notice};
use crate::web::{App, Shared};

pub(crate) mod lists;

/// Open incidents read for the fleet page; the rest is counted there.
const INCIDENTS_MAX: usize = 200;
/// Under which name acts stand in the history that came by a form without one.
pub(crate) const WAY: &str = "web";

/// `?lang=`.
#[derive(Debug, Default, Deserialize)]
pub(crate) struct Reader {
    lang: Option<String>,
}

impl Reader {
    /// The language of this reader: what he clicked, what `--lang` says, what his browser says.
    pub(crate) fn lang(&self, app: &App, headers: &HeaderMap) -> Lang {
        let header = |name| headers.get(name).and_then(|value| value.to_str().ok());
        let mut cookies = header(header::COOKIE).unwrap_or("").split(';');
        let cookie = cookies.find_map(|pair| pair.trim().strip_prefix("lang="));
        let clicked = self.lang.as_deref().or(cookie).and_then(Lang::from_tag);
        let accepts = || header(header::ACCEPT_LANGUAGE).and_then(Lang::from_accept);
        clicked.or(app.lang).or_else(accepts).unwrap_or_default()
    }

    /// Answers with `page`; a language that was clicked is remembered.
    pub(crate) fn respond(&self, status: StatusCode, page: String) -> Response {
        let mut response = (status, Html(readable(page))).into_response();
        let vary = HeaderValue::from_static("accept-language, cookie");
        response.headers_mut().insert(header::VARY, vary);
        if let Some(lang) = self.lang.as_deref().and_then(Lang::from_tag) {
            let cookie = format!(
                "lang={}; Path=/; Max-Age=31536000; SameSite=Strict; HttpOnly",
                lang.code()
            );
            if let Ok(cookie) = HeaderValue::from_str(&cookie) {
                response.headers_mut().insert(header::SET_COOKIE, cookie);
            }
        }
        response
    }
}

pub(crate) fn context<'a>(app: &'a App, lang: Lang, path: &str) -> Context<'a> {
    let (path, clock) = (path.to_owned(), Clock::now());
    Context { lang, clock, tokens: &app.tokens, version: &app.version, path }
}

/// `GET /`
pub(crate) async fn fleet(
    State(app): Shared,
    Query(reader): Query<Reader>,
    headers: HeaderMap,
) -> Response {
    let ctx = context(&app, reader.lang(&app, &headers), "/");
    // Apart, so that many of which nobody is told leave room for those that need somebody.
    let open = |hushed, limit| {
        let hushed = Some(hushed);
        let filter = IncidentFilter { open_only: true, hushed, limit, ..IncidentFilter::default() };
        app.monitor.incidents(&filter)
    };
    let mut incidents = open(false, INCIDENTS_MAX);
    // The page names some and counts them all.
    incidents.extend(open(true, usize::MAX));
    let latest = app.monitor.incidents(&IncidentFilter::default());
    incidents.extend(latest.into_iter().filter(|incident| !incident.state.is_open()));
    let page = pages::fleet(&ctx, &app.monitor.fleet(), &incidents);
    reader.respond(StatusCode::OK, page.into_string())
}

/// `GET /incidents`: the fleet page lists them.
pub(crate) async fn to_fleet() -> Redirect {
    Redirect::permanent("/")
}

/// `GET /incidents/{id}`
pub(crate) async fn incident(
    State(app): Shared,
    Path(id): Path<String>,
    Query(reader): Query<Reader>,
    headers: HeaderMap,
    uri: Uri,
) -> Response {
    let lang = reader.lang(&app, &headers);
    let ctx = context(&app, lang, uri.path());
    let fleet = app.monitor.fleet();
    let page = match app.monitor.incident(&id).await {
        Ok(full) => pages::incident(&ctx, Detail::Full(&full), &fleet),
        Err(err) => match in_memory(&app, &id) {
            Some(incident) => pages::incident(&ctx, Detail::Bare(&incident), &fleet),
            None => return refused(&app, lang, &err, "/"),
        },
    };
    reader.respond(StatusCode::OK, page.into_string())
}

fn in_memory(app: &App, id: &str) -> Option<Arc<Incident>> {
    let all = app.monitor.incidents(&IncidentFilter::default());
    all.into_iter().find(|incident| incident.id == id)
}

/// `POST /incidents/{id}/ack`, `/close`, `/run`
pub(crate) async fn act(
    State(app): Shared,
    Path((id, verb)): Path<(String, String)>,
    headers: HeaderMap,
    uri: Uri,
    OurForm(by): OurForm<By>,
) -> Response {
    let Some(act) = Act::parse(&verb) else { return not_found(State(app), headers, uri).await };
    let done = act.carry_out(&app.monitor, &id, &by.name(WAY)).await;
    after(&app, &headers, &uri, done)
}

/// Goes back to the page of the form, or says why it was not done.
pub(crate) fn after<T>(
    app: &App,
    headers: &HeaderMap,
    uri: &Uri,
    done: Result<T, ActionError>,
) -> Response {
    let back = page_of(uri.path());
    match done {
        Ok(_) => Redirect::to(&back).into_response(),
        Err(err) => refused(app, Reader::default().lang(app, headers), &err, &back),
    }
}

/// The page on which the form that posts to `path` is.
pub(crate) fn page_of(path: &str) -> String {
    let mut parts = path.split('/').skip(1);
    match (parts.next(), parts.next()) {
        (Some("incidents"), Some(id)) => format!("/incidents/{id}"),
        (Some("silences" | "maintenance"), _) => "/silences".to_owned(),
        _ => "/".to_owned(),
    }
}

/// `POST /channels/{name}/test`
pub(crate) async fn test_channel(
    State(app): Shared,
    Path(channel): Path<String>,
    headers: HeaderMap,
    OurForm(By { .. }): OurForm<By>,
) -> Response {
    let lang = Reader::default().lang(&app, &headers);
    let test = match app.monitor.test_channel(&channel).await {
        Ok(test) => test,
        Err(err) => return refused(&app, lang, &err, "/"),
    };
    let facts = [
        (lang.of("Request", "请求"), test.request.as_str()),
        (lang.of("Answer", "应答"), test.answer.as_str()),
    ];
    let tone = if test.delivered { "ok" } else { "critical" };
    let notice = Notice { tone, headline: &test.verdict, facts: &facts, back: "/" };
    say(&app, lang, StatusCode::OK, &notice)
}

/// The path as the form was made for it: a browser may escape what the page did not.
pub(crate) fn decoded(path: &str) -> String {
    let mut out = Vec::with_capacity(path.len());
    let mut rest = path.as_bytes();
    while let Some((&byte, tail)) = rest.split_first() {
        let hex = (byte == b'%').then(|| tail.get(..2)).flatten();
        let hex = hex.and_then(|hex| std::str::from_utf8(hex).ok());
        let escaped = hex.and_then(|hex| u8::from_str_radix(hex, 16).ok());
        rest = if escaped.is_some() { &tail[2..] } else { tail };
        out.push(escaped.unwrap_or(byte));
    }
    String::from_utf8_lossy(&out).into_owned()
}

/// A form that did not come from a page of ours.
pub(crate) fn forged(app: &App, lang: Lang, back: &str) -> Response {
    let headline =
        lang.of("This form is out of date: go back and try again", "表单已过期：请返回后重试");
    let notice = Notice { tone: "warning", headline, facts: &[], back };
    say(app, lang, StatusCode::FORBIDDEN, &notice)
}

/// What the monitor did not do.
pub(crate) fn refused(app: &App, lang: Lang, err: &ActionError, back: &str) -> Response {
    let text = err.to_string();
    let notice = Notice { tone: "warning", headline: &text, facts: &[], back };
    say(app, lang, status(err), &notice)
}

/// The HTTP status of a refusal.
pub(crate) fn status(err: &ActionError) -> StatusCode {
    match err {
        ActionError::NotFound { .. } => StatusCode::NOT_FOUND,
        ActionError::Conflict(_) => StatusCode::CONFLICT,
        ActionError::Invalid(_) => StatusCode::BAD_REQUEST,
        ActionError::Unavailable(_) | _ => StatusCode::SERVICE_UNAVAILABLE,
    }
}

fn say(app: &App, lang: Lang, status: StatusCode, notice: &Notice<'_>) -> Response {
    let page = pages::notice(&context(app, lang, "/"), notice);
    (status, Html(readable(page.into_string()))).into_response()
}

/// A page without characters that move what stands around them; our own are ends of lines alone.
fn readable(page: String) -> String {
    let disturbs = |c: char| c != '\n' && wk_monitor::is_disturbing(c);
    if page.contains(disturbs) { page.replace(disturbs, "\u{fffd}") } else { page }
}

/// `GET /healthz`: this process answers.
pub(crate) async fn healthy() -> &'static str {
    "ok\n"
}

/// `GET /readyz`: the monitor has a picture.
pub(crate) async fn ready(State(app): Shared) -> (StatusCode, &'static str) {
    if app.monitor.fleet().ensembles.is_empty() {
        return (StatusCode::SERVICE_UNAVAILABLE, "the monitor has no picture yet\n");
    }
    (StatusCode::OK, "ready\n")
}

/// Everything else.
pub(crate) async fn not_found(State(app): Shared, headers: HeaderMap, uri: Uri) -> Response {
    if uri.path().starts_with("/api/") {
        let error = serde_json::json!({ "error": format!("no such path: {}", uri.path()) });
        return (StatusCode::NOT_FOUND, axum::Json(error)).into_response();
    }
    let lang = Reader::default().lang(&app, &headers);
    let headline = lang.of("There is no such page", "没有这个页面");
    let notice = Notice { tone: "unknown", headline, facts: &[], back: "/" };
    say(&app, lang, StatusCode::NOT_FOUND, &notice)
}

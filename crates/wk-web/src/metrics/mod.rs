//! Three pages for Prometheus: our own names, Apache's names, and the generic names of older
//! dashboards. Own and generic names follow Prometheus' rules; Apache's cannot.

pub(crate) mod apache;
pub(crate) mod exposition;
pub(crate) mod generic;
mod own;
mod process;

use axum::extract::State;
use axum::http::header;
use axum::response::{IntoResponse, Response};

use crate::web::Shared;
use exposition::Page;

fn respond(page: Page) -> Response {
    ([(header::CONTENT_TYPE, exposition::CONTENT_TYPE)], page.finish()).into_response()
}

/// `GET /metrics`
pub(crate) async fn own_page(State(app): Shared) -> Response {
    let open =
        wk_monitor::IncidentFilter { open_only: true, limit: usize::MAX, ..Default::default() };
    let mut page = Page::default();
    own::write(&mut page, &app.version, &app.monitor.fleet(), &app.monitor.incidents(&open));
    process::write(&mut page);
    respond(page)
}

/// `GET /compat/apache/metrics`
pub(crate) async fn apache_page(State(app): Shared) -> Response {
    respond(apache::page(&app.monitor.fleet()))
}

/// `GET /compat/generic/metrics`
pub(crate) async fn generic_page(State(app): Shared) -> Response {
    respond(generic::page(&app.monitor.fleet(), &app.probes))
}

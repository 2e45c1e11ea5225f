//! The files that the pages load, inside the binary: nothing comes from elsewhere, nothing has to
//! be installed beside it.

use axum::extract::Path;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};

pub(crate) const STYLE: &str = "/assets/style.css";
pub(crate) const SCRIPT: &str = "/assets/live.js";
pub(crate) const ICON: &str = "/assets/icon.svg";

/// `GET /assets/{name}`.
pub(crate) async fn asset(Path(name): Path<String>) -> Response {
    let (kind, text) = match name.as_str() {
        "style.css" => ("text/css; charset=utf-8", include_str!("assets/style.css")),
        "live.js" => ("text/javascript; charset=utf-8", include_str!("assets/live.js")),
        "icon.svg" => ("image/svg+xml", include_str!("assets/icon.svg")),
        _ => return StatusCode::NOT_FOUND.into_response(),
    };
    ([(header::CONTENT_TYPE, kind)], text).into_response()
}

//! One page of text and nothing else: the metrics page of `agent`.

use std::future::Future;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::http::header::CONTENT_TYPE;
use axum::response::IntoResponse;
use axum::routing::get;
use tokio::net::TcpListener;

use crate::listener::{BoundedListener, Bounds};

/// Connections open at a time; one monitor needs one.
const CONNECTIONS_MAX: usize = 32;
/// A connection without a byte for so long is closed.
const IDLE: Duration = Duration::from_mins(1);

/// Makes the page; may wait for a disk.
pub type MakePage = Arc<dyn Fn() -> String + Send + Sync>;

/// Serves `page` under `/metrics`, made anew for every request, until `end`.
///
/// # Errors
/// When the listener fails.
pub async fn serve_metrics(
    listener: TcpListener,
    page: MakePage,
    end: impl Future<Output = ()> + Send + 'static,
) -> io::Result<()> {
    let metrics = move || async move {
        // A file system that hangs must not take the other connections with it.
        let made = tokio::task::spawn_blocking(move || page()).await.unwrap_or_default();
        ([(CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")], made).into_response()
    };
    let router = Router::new()
        .route("/metrics", get(metrics))
        .fallback(|| async { "The page is /metrics.\n".into_response() });
    let bounds = Bounds { connections_max: CONNECTIONS_MAX, idle: IDLE };
    let listener = BoundedListener::new(listener, bounds);
    axum::serve(listener, router).with_graceful_shutdown(end).await
}

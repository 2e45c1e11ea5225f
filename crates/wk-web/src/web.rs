//! The web listener of `up`: its configuration, its routes, its start and its end.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::DefaultBodyLimit;
use axum::middleware::from_fn_with_state;
use axum::routing::{get, post};
use tokio::net::TcpListener;
use tokio::sync::broadcast::error::RecvError;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use wk_monitor::MonitorHandle;

use crate::guard::{FormTokens, Hosts, guard};
use crate::handlers::lists;
use crate::lang::Lang;
use crate::listener::{BoundedListener, Bounds};
use crate::metrics::generic::ProbeTimes;
use crate::{api, assets, handlers, metrics};

/// Connections open at a time; a live page holds one each.
const CONNECTIONS_MAX: usize = 256;
/// A connection without a byte for so long is closed; live streams send a comment every 15 s.
const IDLE: Duration = Duration::from_mins(1);
/// The longest request body: a name in a form.
const BODY_MAX: usize = 16 * 1024;
/// How long open requests may take once the end was asked for.
const DRAIN: Duration = Duration::from_secs(2);

/// How the listener is to be.
#[derive(Clone, Debug)]
pub struct WebConfig {
    /// Where to listen.
    pub listen: SocketAddr,
    /// Whether an address beyond loopback is meant: there are no logins yet.
    pub insecure: bool,
    /// The language that was asked for; without one the reader's browser decides.
    pub lang: Option<Lang>,
    /// Version shown on the pages.
    pub version: String,
}

/// Why the listener did not start.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum WebError {
    /// Everybody on the network could acknowledge and close incidents.
    #[error(
        "{0} is reachable from other machines and the web pages have no logins yet: \
         add --insecure if that is meant, or listen on 127.0.0.1"
    )]
    BeyondLoopback(SocketAddr),
    /// The address cannot be listened on.
    #[error("cannot listen on {addr} for the web pages")]
    Bind {
        /// Where.
        addr: SocketAddr,
        /// Why not.
        source: io::Error,
    },
    /// The machine gives no random numbers, so forms could be forged.
    #[error("cannot make a secret for the forms: {0}")]
    Random(String),
}

/// What handlers share.
#[derive(Debug)]
pub(crate) struct App {
    pub(crate) monitor: MonitorHandle,
    pub(crate) probes: ProbeTimes,
    pub(crate) tokens: FormTokens,
    pub(crate) lang: Option<Lang>,
    pub(crate) version: String,
    /// Becomes true when the listener is to end: live streams end by it.
    pub(crate) stopping: watch::Receiver<bool>,
}

/// What a handler gets.
pub(crate) type Shared = axum::extract::State<Arc<App>>;

/// A running listener. It ends when [`Web::stop`] is called.
#[derive(Debug)]
pub struct Web {
    addr: SocketAddr,
    stop: watch::Sender<bool>,
    task: JoinHandle<io::Result<()>>,
}

/// An address that is bound and not served yet, so that a taken port is known before anything else
/// of `up` is started.
#[derive(Debug)]
pub struct BoundWeb {
    listener: TcpListener,
    addr: SocketAddr,
    config: WebConfig,
}

impl Web {
    /// Takes the address.
    ///
    /// # Errors
    /// [`WebError::BeyondLoopback`], [`WebError::Bind`].
    pub async fn bind(config: WebConfig) -> Result<BoundWeb, WebError> {
        let addr = config.listen;
        if !addr.ip().is_loopback() && !config.insecure {
            return Err(WebError::BeyondLoopback(addr));
        }
        let bind = |source| WebError::Bind { addr, source };
        let listener = TcpListener::bind(addr).await.map_err(bind)?;
        let addr = listener.local_addr().map_err(bind)?;
        Ok(BoundWeb { listener, addr, config })
    }

    /// Where it listens.
    pub fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// Ends it: open requests are finished, live streams are closed.
    pub async fn stop(self) {
        let _ = self.stop.send(true);
        let abort = self.task.abort_handle();
        if tokio::time::timeout(DRAIN, self.task).await.is_err() {
            abort.abort();
        }
    }
}

impl BoundWeb {
    /// Where it will listen.
    pub fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// Begins to serve what `monitor` sees.
    ///
    /// # Errors
    /// [`WebError::Random`].
    pub fn serve(self, monitor: MonitorHandle) -> Result<Web, WebError> {
        let (stop, stopping) = watch::channel(false);
        let app = Arc::new(App {
            monitor,
            probes: ProbeTimes::default(),
            tokens: FormTokens::new().map_err(|err| WebError::Random(err.to_string()))?,
            lang: self.config.lang,
            version: self.config.version,
            stopping: stopping.clone(),
        });
        tokio::spawn(note_probes(Arc::clone(&app)));
        let router = router(app, Hosts::new(self.addr.ip()));
        let bounds = Bounds { connections_max: CONNECTIONS_MAX, idle: IDLE };
        let listener = BoundedListener::new(self.listener, bounds);
        let mut stopped = stopping;
        let ended = async move {
            // An error means that the owner is gone, which ends it too.
            let _ = stopped.wait_for(|stop| *stop).await;
        };
        let serve = axum::serve(listener, router).with_graceful_shutdown(ended);
        let task = tokio::spawn(async move { serve.await });
        Ok(Web { addr: self.addr, stop, task })
    }
}

/// Notes the times of the probes for the generic metrics until the end.
async fn note_probes(app: Arc<App>) {
    let mut changes = app.monitor.subscribe();
    let mut stopping = app.stopping.clone();
    loop {
        app.probes.note(&app.monitor.fleet());
        tokio::select! {
            // Lagging is no loss: the next picture holds the last probe of every server.
            change = changes.recv() => if matches!(change, Err(RecvError::Closed)) { return },
            _ = stopping.wait_for(|stop| *stop) => return,
        }
    }
}

fn router(app: Arc<App>, hosts: Hosts) -> Router {
    Router::new()
        .route("/", get(handlers::fleet))
        .route("/incidents", get(handlers::to_fleet))
        .route("/incidents/{id}", get(handlers::incident))
        .route("/incidents/{id}/{verb}", post(handlers::act))
        .route("/silences", get(lists::silences).post(lists::add_silence))
        .route("/silences/{id}/end", post(lists::end_silence))
        .route("/maintenance", get(lists::to_silences).post(lists::start_maintenance))
        .route("/maintenance/{id}/end", post(lists::end_maintenance))
        .route("/rules", get(lists::rules))
        .route("/audit", get(lists::audit))
        .route("/channels/{name}/test", post(handlers::test_channel))
        .route("/assets/{name}", get(assets::asset))
        .merge(api::routes())
        .route("/metrics", get(metrics::own_page))
        .route("/compat/apache/metrics", get(metrics::apache_page))
        .route("/compat/generic/metrics", get(metrics::generic_page))
        .route("/healthz", get(handlers::healthy))
        .route("/readyz", get(handlers::ready))
        .fallback(handlers::not_found)
        .layer(DefaultBodyLimit::max(BODY_MAX))
        .layer(from_fn_with_state(hosts, guard))
        .with_state(app)
}

#[cfg(test)]
mod tests;

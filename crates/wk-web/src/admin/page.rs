//! The two listeners of `server`: AdminServer and metrics.

use std::io;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::{Method, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tracing::info;
use wk_server::metrics::{Metrics, java_double};
use wk_server::zoo_cfg::{AdminConfig, MetricsProvider, ServerConfig};
use wk_server::{ServerHandle, ServerStopped};

use super::commands;
use crate::listener::{BoundedListener, Bounds};
use crate::metrics::exposition;

/// Connections that each of the pages keeps open at a time.
const CONNECTIONS_MAX: usize = 64;
/// A scraper may be silent for so long between two scrapes on one connection.
const METRICS_IDLE: Duration = Duration::from_mins(2);
/// How long open requests may take once the end was asked for.
const DRAIN: Duration = Duration::from_secs(1);

/// Which page could not listen.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BindError {
    /// The AdminServer.
    #[error(
        "cannot listen on {addr} for the AdminServer; admin.serverPort changes it, \
             admin.enableServer=false turns it off"
    )]
    Admin {
        /// Where.
        addr: String,
        /// Why not.
        source: io::Error,
    },
    /// The metrics provider.
    #[error("cannot listen on {addr} for metrics; metricsProvider.httpPort changes it")]
    Metrics {
        /// Where.
        addr: String,
        /// Why not.
        source: io::Error,
    },
}

impl BindError {
    /// The exit code that Apache's supervisors know: 4 for the AdminServer, 1 otherwise.
    pub fn exit_code(&self) -> u8 {
        match self {
            Self::Admin { .. } => 4,
            Self::Metrics { .. } => 1,
        }
    }
}

/// The addresses that zoo.cfg asks for, taken and not served yet.
#[derive(Debug)]
pub struct BoundPages {
    admin: Option<(TcpListener, AdminConfig)>,
    metrics: Option<TcpListener>,
}

impl BoundPages {
    /// Takes the addresses.
    ///
    /// # Errors
    /// [`BindError`], when one of them is taken or is not this machine's.
    pub async fn bind(config: &ServerConfig) -> Result<Self, BindError> {
        let admin = &config.admin;
        let admin = if admin.enabled {
            let listener = TcpListener::bind((bare(&admin.address), admin.port)).await;
            let addr = format!("{}:{}", admin.address, admin.port);
            Some((listener.map_err(|source| BindError::Admin { addr, source })?, admin.clone()))
        } else {
            None
        };
        let metrics = match &config.metrics {
            MetricsProvider::Prometheus { host, port, .. } => {
                let listener = TcpListener::bind((bare(host), *port)).await;
                let addr = format!("{host}:{port}");
                Some(listener.map_err(|source| BindError::Metrics { addr, source })?)
            }
            MetricsProvider::Default | MetricsProvider::Null => None,
        };
        Ok(Self { admin, metrics })
    }

    /// Begins to serve what `server` says about itself.
    pub fn serve(self, server: &ServerHandle) -> AdminPages {
        let (stop, stopping) = watch::channel(false);
        let mut tasks = Vec::new();
        if let Some((listener, config)) = self.admin {
            announce("AdminServer listens", &listener);
            let bounds = Bounds { connections_max: CONNECTIONS_MAX, idle: config.idle_timeout };
            let command_url = config.command_url.trim_end_matches('/').to_owned();
            let state = Admin { server: server.clone(), command_url };
            let router = Router::new().fallback(admin).with_state(state);
            tasks.push(spawn(listener, bounds, router, stopping.clone()));
        }
        if let Some(listener) = self.metrics {
            announce("metrics page listens", &listener);
            let bounds = Bounds { connections_max: CONNECTIONS_MAX, idle: METRICS_IDLE };
            let router = Router::new().route("/metrics", get(metrics)).with_state(server.clone());
            tasks.push(spawn(listener, bounds, router, stopping));
        }
        AdminPages { stop, tasks }
    }
}

/// `[::1]` without its brackets.
fn bare(host: &str) -> &str {
    host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host)
}

fn announce(what: &'static str, listener: &TcpListener) {
    if let Ok(addr) = listener.local_addr() {
        info!(%addr, "{what}");
    }
}

fn spawn(
    listener: TcpListener,
    bounds: Bounds,
    router: Router,
    mut stopping: watch::Receiver<bool>,
) -> JoinHandle<io::Result<()>> {
    let ended = async move {
        // An error means that the owner is gone, which ends it too.
        let _ = stopping.wait_for(|stop| *stop).await;
    };
    let listener = BoundedListener::new(listener, bounds);
    let serve = axum::serve(listener, router).with_graceful_shutdown(ended);
    tokio::spawn(async move { serve.await })
}

/// The running pages; dropping this ends them too.
#[derive(Debug)]
pub struct AdminPages {
    stop: watch::Sender<bool>,
    tasks: Vec<JoinHandle<io::Result<()>>>,
}

impl AdminPages {
    /// Ends them: open requests are finished, within bounds.
    pub async fn stop(self) {
        let _ = self.stop.send(true);
        for task in self.tasks {
            let abort = task.abort_handle();
            if tokio::time::timeout(DRAIN, task).await.is_err() {
                abort.abort();
            }
        }
    }
}

#[derive(Clone, Debug)]
struct Admin {
    server: ServerHandle,
    command_url: String,
}

/// Everything on the AdminServer's port. The path is matched by hand: `admin.commandURL` is the
/// user's text.
async fn admin(State(admin): State<Admin>, request: Request) -> Response {
    let Some(rest) = request.uri().path().strip_prefix(&admin.command_url) else {
        return StatusCode::NOT_FOUND.into_response();
    };
    match request.method() {
        &Method::GET | &Method::HEAD => {}
        &Method::TRACE => return StatusCode::FORBIDDEN.into_response(),
        _ => return StatusCode::METHOD_NOT_ALLOWED.into_response(),
    }
    if rest.is_empty() || rest == "/" {
        // Apache gives no content type here.
        return Response::new(Body::from(commands::links(&admin.command_url)));
    }
    let Some(name) = rest.strip_prefix('/') else {
        return StatusCode::NOT_FOUND.into_response();
    };
    let answer = commands::run(&admin.server, name).await;
    ([(header::CONTENT_TYPE, "application/json")], answer.pretty()).into_response()
}

async fn metrics(State(server): State<ServerHandle>) -> Response {
    match server.metrics().await {
        Ok(metrics) => {
            let mut text = apache_text(&metrics);
            // Ours, below Apache's: the names of an agent's page.
            text.push_str(&server.host_page().await.unwrap_or_default());
            ([(header::CONTENT_TYPE, exposition::CONTENT_TYPE)], text).into_response()
        }
        Err(ServerStopped) => StatusCode::SERVICE_UNAVAILABLE.into_response(),
    }
}

/// Families that Apache announces and that have no samples in a standalone server.
const WITHOUT_SAMPLES: &[(&str, &str)] = &[
    ("ack_latency", "summary"),
    ("learner_handler_qp_size", "summary"),
    ("learner_handler_qp_time_ms", "summary"),
];

/// The text as Apache's provider writes it: Java's doubles, a comma behind the last label.
fn apache_text(metrics: &Metrics) -> String {
    use std::fmt::Write as _;
    let mut text = String::new();
    for metric in &metrics.metrics {
        let name = metric.name;
        let kind = if name.ends_with("_total") { "counter" } else { metric.prometheus_type() };
        let _ = writeln!(text, "# HELP {name} {name}\n# TYPE {name} {kind}");
        for sample in metric.samples() {
            text.push_str(&sample.name);
            if !sample.labels.is_empty() {
                text.push('{');
                for (label, value) in &sample.labels {
                    let _ = write!(text, "{label}=\"{}\",", exposition::escaped(value, true));
                }
                text.push('}');
            }
            let _ = writeln!(text, " {}", java_double(sample.value));
        }
    }
    for (name, kind) in WITHOUT_SAMPLES {
        if metrics.metrics.iter().all(|metric| metric.name != *name) {
            let _ = writeln!(text, "# HELP {name} {name}\n# TYPE {name} {kind}");
        }
    }
    text
}

//! Server, monitor and web as one thing that is started and stopped in the right order.

use std::fs::{self, File, TryLockError};
use std::io::{Read as _, Write as _};
use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, anyhow};
use tokio::sync::broadcast::error::RecvError;
use tokio::sync::{broadcast, mpsc};
use wk_client::{Client, InProcess};
use wk_monitor::{
    Config, EnsembleConfig, EnsemblePort, Lang, MakePage, Monitor, MonitorHandle, SessionEnd,
};
use wk_proto::stream::Event as TxnEvent;
use wk_server::host::HostPage;
use wk_server::zoo_cfg::ServerConfig;
use wk_server::{ExitReason, Server, ServerHandle, StartError, TxnStream};
use wk_web::{Web, WebConfig, WebError};

use super::settings::Settings;
use crate::exit::coded;

/// Name of the ensemble that is our own server.
const OWN: &str = "local";
/// How often snapshots and logs that are no longer needed are removed.
const PURGE_INTERVAL: Duration = Duration::from_hours(1);
/// Ends of sessions that wait for the monitor.
const SESSION_ENDS_MAX: usize = 1024;
/// Txns of our own server that wait for the monitor, and their bytes before that.
const TXNS_MAX: usize = 64;
const TXN_BYTES_MAX: usize = 64 << 20;
/// How long the monitor's own session may take to say goodbye.
const GOODBYE: Duration = Duration::from_secs(2);

/// Why a stack came to its end.
#[derive(Debug)]
pub(crate) enum End {
    /// The user.
    Signal,
    /// Our own server.
    Server(ExitReason),
    /// The monitor's task, which never ends by itself.
    Monitor,
}

impl End {
    /// What that means for the process.
    pub(crate) fn result(&self) -> anyhow::Result<ExitCode> {
        match self {
            Self::Signal | Self::Server(ExitReason::Shutdown) => Ok(ExitCode::SUCCESS),
            Self::Server(reason) => Err(coded(reason.exit_code(), anyhow!("{reason}"))),
            Self::Monitor => Err(anyhow!("the monitor ended by itself")),
        }
    }
}

/// The running parts.
pub(crate) struct Stack {
    server: Option<ServerHandle>,
    clients: Vec<Client>,
    monitor: Monitor,
    web: Web,
    url: String,
    data: PathBuf,
    watched: Vec<(String, Vec<String>)>,
    channels: Vec<String>,
    /// Keeps a second instance off the data; released by its drop.
    _lock: File,
}

impl Stack {
    /// Starts everything; what is taken or in use is said before anything has begun.
    pub(crate) async fn start(settings: Settings) -> anyhow::Result<Self> {
        let lock = lock(&settings.data)?;
        let web = Web::bind(WebConfig {
            listen: settings.web,
            insecure: settings.insecure,
            lang: settings.lang_given.then(|| page_language(settings.lang)),
            version: env!("CARGO_PKG_VERSION").to_owned(),
        });
        let web = match web.await {
            Err(WebError::Bind { addr, source }) => {
                let what = "cannot listen for the web pages on";
                return Err(anyhow!("{what} {addr}: {source}; --web ADDR changes it"));
            }
            other => other?,
        };
        let url = format!("http://{}", reachable(web.addr()));
        let mut ports = Vec::new();
        let server = match settings.client {
            Some(addr) => {
                let server = start_server(addr, &settings.data.join("zookeeper")).await?;
                ports.push(own_port(&server, settings.tap)?);
                Some(server)
            }
            None => None,
        };
        for config in &settings.ensembles {
            let client = config.access.client(&config.servers.join(",")).start();
            let client = client.with_context(|| format!("ensemble {}", config.name))?;
            let config = config.clone();
            let (session_ends, txns, host) = (None, None, None);
            ports.push(EnsemblePort { config, client, session_ends, txns, host });
        }
        let clients = ports.iter().map(|port| port.client.clone()).collect();
        let watched = ports.iter().map(|port| port.config.clone());
        let watched = watched.map(|config| (config.name, config.servers)).collect();
        let channels = settings.channels.iter().map(|c| c.name().to_owned()).collect();
        let config = Config {
            lang: settings.lang,
            page_url: url.clone(),
            channels: settings.channels,
            groups: settings.groups,
            rules: settings.rules,
            incidents: settings.incidents,
            ..Config::new(settings.data.clone())
        };
        let monitor = Monitor::start(config, ports).await.context("start the monitor")?;
        let web = web.serve(monitor.handle())?;
        let data = settings.data;
        Ok(Self { server, clients, monitor, web, url, data, watched, channels, _lock: lock })
    }

    /// Where our own server takes clients, if there is one.
    pub(crate) fn client_addr(&self) -> Option<SocketAddr> {
        self.server.as_ref().and_then(ServerHandle::local_addr)
    }

    /// The first server that is watched.
    pub(crate) fn first_server(&self) -> &str {
        self.watched.first().and_then(|(_, servers)| servers.first()).map_or("", String::as_str)
    }

    /// The ensembles that are not ours.
    pub(crate) fn watched(&self) -> impl Iterator<Item = &(String, Vec<String>)> {
        self.watched.iter().filter(|(name, _)| self.server.is_none() || name != OWN)
    }

    /// Names of the channels.
    pub(crate) fn channels(&self) -> &[String] {
        &self.channels
    }

    /// Where the pages are.
    pub(crate) fn url(&self) -> &str {
        &self.url
    }

    /// The data folder.
    pub(crate) fn data(&self) -> &Path {
        &self.data
    }

    /// The door to the monitor.
    pub(crate) fn handle(&self) -> MonitorHandle {
        self.monitor.handle()
    }

    /// Waits until a part ends by itself.
    pub(crate) async fn ended(&mut self) -> End {
        let server = self.server.clone();
        let server = async {
            match server {
                Some(server) => server.wait().await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            reason = server => End::Server(reason),
            () = self.monitor.wait() => End::Monitor,
        }
    }

    /// Stops everything: pages first, the server last, so that nothing is reported that is our own
    /// doing.
    pub(crate) async fn stop(self) -> anyhow::Result<ExitCode> {
        self.web.stop().await;
        self.monitor.stop().await;
        for client in self.clients {
            // A server that is gone cannot be said goodbye to.
            let _ = tokio::time::timeout(GOODBYE, client.close()).await;
        }
        if let Some(server) = self.server {
            server.shutdown();
            let reason = server.wait().await;
            return End::Server(reason).result();
        }
        Ok(ExitCode::SUCCESS)
    }
}

fn page_language(lang: Lang) -> wk_web::Lang {
    match lang {
        Lang::En => wk_web::Lang::En,
        Lang::Zh => wk_web::Lang::Zh,
    }
}

/// An address that a client on this machine can use.
fn reachable(addr: SocketAddr) -> SocketAddr {
    match addr.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => ([127, 0, 0, 1], addr.port()).into(),
        IpAddr::V6(ip) if ip.is_unspecified() => {
            (std::net::Ipv6Addr::LOCALHOST, addr.port()).into()
        }
        IpAddr::V4(_) | IpAddr::V6(_) => addr,
    }
}

/// Takes the data folder for this process.
fn lock(data: &Path) -> anyhow::Result<File> {
    fs::create_dir_all(data).with_context(|| format!("create {}", data.display()))?;
    let path = data.join("lock");
    let mut file = File::options().create(true).truncate(false).read(true).write(true).open(&path);
    let file = file.as_mut().map_err(|err| anyhow!("open {}: {err}", path.display()))?;
    let mut file = file.try_clone().with_context(|| format!("open {}", path.display()))?;
    match file.try_lock() {
        Ok(()) => {}
        Err(TryLockError::WouldBlock) => {
            let mut holder = String::new();
            let _ = file.read_to_string(&mut holder);
            return Err(anyhow!(
                "{} is in use by another watchkeeper (process {}); --data DIR takes another folder",
                data.display(),
                holder.trim()
            ));
        }
        Err(TryLockError::Error(err)) => {
            return Err(anyhow!("lock {}: {err}", path.display()));
        }
    }
    // Only read by people, and by the message above.
    let _ = file.set_len(0);
    let _ = write!(file, "{}", std::process::id());
    Ok(file)
}

async fn start_server(addr: SocketAddr, data: &Path) -> anyhow::Result<ServerHandle> {
    let mut config = ServerConfig::for_directory(data);
    config.client_addr = Some(addr);
    config.storage.purge_interval = Some(PURGE_INTERVAL);
    let started = tokio::task::spawn_blocking(|| Server::start(config)).await;
    started.context("start the server")?.map_err(|err| match err {
        StartError::Listen { addr, source } => {
            anyhow!("cannot listen for clients on {addr}: {source}; --client ADDR changes it")
        }
        err @ (StartError::Store(_) | StartError::Io(_) | _) => coded(err.exit_code(), err.into()),
    })
}

/// Our own server as the monitor sees it: by the client protocol, without a socket between, and
/// with the news of how each session ended.
fn own_port(server: &ServerHandle, tap: bool) -> anyhow::Result<EnsemblePort> {
    let addr = server.local_addr().context("the server has no port")?;
    let address = reachable(addr).to_string();
    let connecting = server.clone();
    let connect = InProcess(move || connecting.connect_in_process());
    let client = Client::builder(&address).connector(connect).start()?;
    let (ends, session_ends) = mpsc::channel(SESSION_ENDS_MAX);
    tokio::spawn(forward(server.session_ends(), ends));
    let config = EnsembleConfig::new(OWN, vec![address]);
    let txns = tap.then(|| {
        let (to, txns) = mpsc::channel(TXNS_MAX);
        tokio::spawn(forward_txns(server.txns(TXN_BYTES_MAX), to));
        txns
    });
    let host = Some(host_page(server, addr.port()));
    Ok(EnsemblePort { config, client, session_ends: Some(session_ends), txns, host })
}

/// The page that an agent on this host would serve about our own server.
fn host_page(server: &ServerHandle, port: u16) -> MakePage {
    let mut head = HostPage::default();
    let (help, port) = ("Which server this host's facts are about.", port.to_string());
    head.metric("watchkeeper_agent_info", help, &[(&[("client_port", &port)], 1.0)]);
    let (head, server) = (head.finish(), server.clone());
    Arc::new(move || Some(format!("{head}{}", server.read_host_page()?)))
}

async fn forward_txns(mut from: TxnStream, to: mpsc::Sender<TxnEvent>) {
    while let Some(event) = from.next().await {
        if to.send(event).await.is_err() {
            return;
        }
    }
}

async fn forward(
    mut from: broadcast::Receiver<wk_server::SessionEnd>,
    to: mpsc::Sender<SessionEnd>,
) {
    loop {
        match from.recv().await {
            Ok(end) => {
                let end = SessionEnd { session: end.session, closed: !end.expired };
                if to.send(end).await.is_err() {
                    return;
                }
            }
            // Of a session in the gap nothing is known: its node counts as down, not as left.
            Err(RecvError::Lagged(missed)) => {
                tracing::warn!(missed, "ends of sessions missed");
            }
            Err(RecvError::Closed) => return,
        }
    }
}

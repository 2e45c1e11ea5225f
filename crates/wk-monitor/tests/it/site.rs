//! A server, a monitor and the nodes of a test, in one folder.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

use tempfile::TempDir;
use tokio::sync::mpsc;
use wk_client::{Client, CreateMode};
use wk_monitor::{
    Channel, Config, EnsembleConfig, EnsemblePort, Fleet, GroupConfig, Incident, IncidentFilter,
    Monitor, MonitorHandle, Node, NodeState, SessionEnd,
};
use wk_server::zoo_cfg::ServerConfig;
use wk_server::{Server, ServerHandle};

/// A session that falls silent is expired this fast, so that tests need not wait long.
const TICK: Duration = Duration::from_millis(200);
/// The deadline of a wait that a busy machine ends long before.
const LONG: Duration = Duration::from_mins(1);

/// The folder and the port of a server that may come and go.
pub(crate) struct Site {
    dir: TempDir,
    pub(crate) address: SocketAddr,
    pub(crate) server: Option<ServerHandle>,
    /// What monitors know of groups beforehand.
    pub(crate) groups: BTreeMap<String, GroupConfig>,
}

impl Site {
    pub(crate) fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let [port] = wk_peers::wait::free_ports::<1>().unwrap();
        let address = SocketAddr::from(([127, 0, 0, 1], port));
        let mut site = Self { dir, address, server: None, groups: BTreeMap::new() };
        site.start_server();
        site
    }

    pub(crate) fn start_server(&mut self) {
        let mut config = ServerConfig::for_directory(&self.dir.path().join("zookeeper"));
        config.client_addr = Some(self.address);
        config.tick_time = TICK;
        config.min_session_timeout = TICK * 2;
        config.max_session_timeout = LONG;
        self.server = Some(Server::start(config).unwrap());
    }

    pub(crate) async fn stop_server(&mut self) {
        let server = self.server.take().unwrap();
        server.shutdown();
        server.wait().await;
    }

    /// Where the monitor keeps its store.
    pub(crate) fn data(&self) -> &Path {
        self.dir.path()
    }

    /// A monitor as an outsider sees the server: by its address alone.
    pub(crate) async fn monitor(&self, urls: &[String]) -> Monitor {
        self.start_monitor(urls, None, self.client(Duration::from_secs(10))).await
    }

    /// A monitor that uses this very client.
    pub(crate) async fn monitor_by(&self, client: Client) -> Monitor {
        self.start_monitor(&[], None, client).await
    }

    /// A monitor as inside `up`: the server tells it of session ends.
    pub(crate) async fn inside(&self, urls: &[String]) -> Monitor {
        self.inside_as(EnsembleConfig::default(), urls).await
    }

    /// The same, with what else is configured of the ensemble.
    pub(crate) async fn with(&self, ensemble: EnsembleConfig) -> Monitor {
        self.inside_as(ensemble, &[]).await
    }

    async fn inside_as(&self, ensemble: EnsembleConfig, urls: &[String]) -> Monitor {
        let mut ends = self.server.as_ref().unwrap().session_ends();
        let (tell, told) = mpsc::channel(1024);
        tokio::spawn(async move {
            while let Ok(end) = ends.recv().await {
                let end = SessionEnd { session: end.session, closed: !end.expired };
                if tell.send(end).await.is_err() {
                    return;
                }
            }
        });
        let client = self.client(Duration::from_secs(10));
        self.start(ensemble, urls, Some(told), client).await
    }

    async fn start_monitor(
        &self,
        urls: &[String],
        session_ends: Option<mpsc::Receiver<SessionEnd>>,
        client: Client,
    ) -> Monitor {
        self.start(EnsembleConfig::default(), urls, session_ends, client).await
    }

    async fn start(
        &self,
        ensemble: EnsembleConfig,
        urls: &[String],
        session_ends: Option<mpsc::Receiver<SessionEnd>>,
        client: Client,
    ) -> Monitor {
        let channel = |(index, url): (usize, &String)| {
            Channel::parse(&format!("channel-{index}"), url, &|_| None).unwrap()
        };
        let channels = urls.iter().enumerate().map(channel).collect();
        let figures_interval = Duration::from_millis(200);
        let defaults = Config::new(self.data().to_owned());
        let groups = self.groups.clone();
        let config = Config { channels, figures_interval, groups, ..defaults };
        let servers = vec![self.address.to_string()];
        let ensemble = EnsembleConfig { name: "local".into(), servers, ..ensemble };
        let port = EnsemblePort { config: ensemble, client, session_ends, txns: None, host: None };
        Monitor::start(config, vec![port]).await.unwrap()
    }

    /// A client whose session lives this long after its last word.
    pub(crate) fn client(&self, session_timeout: Duration) -> Client {
        let builder = Client::builder(&self.address.to_string());
        builder.session_timeout(session_timeout).start().unwrap()
    }

    /// A node: registered at `/nodes/PATH`, and alive as long as the returned client is.
    pub(crate) async fn join(&self, path: &str) -> Client {
        self.join_for(path, TICK * 2).await
    }

    /// The same with a session that lives this long after its last word.
    pub(crate) async fn join_for(&self, path: &str, session_timeout: Duration) -> Client {
        let client = self.client(session_timeout);
        let mut full = String::from("/nodes");
        let _ = client.create(&full, "", CreateMode::Persistent).await;
        for name in path.split('/') {
            full = format!("{full}/{name}");
            let _ = client.create(&full, "", CreateMode::Persistent).await;
        }
        let alive = format!("{full}/alive");
        client.create(&alive, "", CreateMode::Ephemeral).await.unwrap();
        client
    }
}

/// Polls the monitor's picture until `fact` gives something.
pub(crate) async fn until<T>(
    handle: &MonitorHandle,
    what: &str,
    mut fact: impl FnMut(&Fleet, &[Incident]) -> Option<T>,
) -> T {
    let end = std::time::Instant::now() + LONG;
    loop {
        let fleet = handle.fleet();
        let incidents = incidents(handle);
        if let Some(value) = fact(&fleet, &incidents) {
            return value;
        }
        assert!(std::time::Instant::now() < end, "waited for {what}: {fleet:#?} {incidents:#?}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

pub(crate) fn incidents(handle: &MonitorHandle) -> Vec<Incident> {
    let all = handle.incidents(&IncidentFilter::default());
    all.iter().map(|incident| (**incident).clone()).collect()
}

pub(crate) fn node<'f>(fleet: &'f Fleet, id: &str) -> Option<&'f Node> {
    fleet.ensembles.first()?.nodes.iter().map(AsRef::as_ref).find(|node: &&Node| node.id == id)
}

/// Waits until a node is in a state.
pub(crate) async fn until_state(handle: &MonitorHandle, id: &str, state: NodeState) -> Node {
    let what = format!("{id} to be {state:?}");
    until(handle, &what, |fleet, _| node(fleet, id).filter(|n| n.state == state).cloned()).await
}

/// Waits for the incident about a node: the rule that opens it needs a moment more than the state.
pub(crate) async fn until_incident(handle: &MonitorHandle, id: &str) -> String {
    until(handle, &format!("the incident of {id}"), |fleet, _| node(fleet, id)?.incident.clone())
        .await
}

/// Polls anything else until it holds.
pub(crate) async fn until_holds(what: &str, mut fact: impl FnMut() -> bool) {
    let end = std::time::Instant::now() + LONG;
    while !fact() {
        assert!(std::time::Instant::now() < end, "waited for {what}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

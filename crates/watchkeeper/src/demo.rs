//! `watchkeeper demo`: a server and five application nodes in this process; one is killed and comes
//! back, so that a first incident can be followed within a minute.
//!
//! The nodes are real clients with real sessions over TCP. Nothing is acted: the killed one drops
//! its connection without a word, its session expires, and the monitor finds out as it always does.

use std::io::ErrorKind;
use std::net::TcpListener;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context as _, anyhow};
use tokio::sync::broadcast;
use tokio::sync::broadcast::error::RecvError;
use tokio::time::sleep;
use wk_client::{Client, CreateMode, Error, ErrorCode};
use wk_monitor::{Change, Incident, IncidentState, Lang, MonitorHandle, NodeState};

use crate::exit::coded;
use crate::logging::LogArgs;
use crate::print;
use crate::signals::Signals;
use crate::up::incidents::Incidents;
use crate::up::settings::Settings;
use crate::up::stack::Stack;
use crate::up::{self, choose};

/// The nodes; the second one is killed.
const NODES: [(&str, &str); 5] = [
    ("shop", "web-1"),
    ("shop", "web-2"),
    ("shop", "web-3"),
    ("jobs", "mailer"),
    ("jobs", "report"),
];
const KILLED: usize = 1;
/// How long a node may be silent before its session ends: the least that a tick of 2 s allows.
const SESSION_TIMEOUT: Duration = Duration::from_secs(4);
/// Time to look at the page between two steps.
const LOOK: Duration = Duration::from_secs(6);

/// Watch one of five nodes die and come back, within a minute
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Everything runs in this process and on loopback; its data is in a temporary folder that is removed
at the end. Taken default ports are replaced by free ones.

Examples:
  watchkeeper demo
  watchkeeper demo --lang zh
  watchkeeper demo --once --notify 'dingtalk://${DINGTALK_TOKEN}?secret=${DINGTALK_SECRET}'")]
pub(crate) struct Args {
    /// Where the server takes clients [default: 127.0.0.1:2181, or a free port]
    #[arg(long, value_name = "ADDR")]
    client: Option<String>,
    /// Where pages, API and metrics are [default: 127.0.0.1:7181, or a free port]
    #[arg(long, value_name = "ADDR")]
    web: Option<String>,
    /// Whom to tell: webhook+http(s)://, dingtalk:// or smtp(s)://; may be repeated
    #[arg(long, value_name = "[NAME=]URL")]
    notify: Vec<String>,
    /// Language of texts: en or zh [default: by LC_ALL, LC_MESSAGES, LANG]
    #[arg(long, value_name = "LANG", value_parser = up::language)]
    lang: Option<Lang>,
    /// End after the node has come back instead of waiting for Ctrl-C
    #[arg(long)]
    once: bool,
    #[command(flatten)]
    log: LogArgs,
}

pub(crate) fn run(args: &Args) -> anyhow::Result<ExitCode> {
    args.log.init("error").map_err(|err| coded(2, err.context("--log-level")))?;
    let folder = tempfile::tempdir().context("make a temporary folder")?;
    let settings = Settings::for_demo(
        args.client.clone().unwrap_or_else(|| free("127.0.0.1:2181")),
        args.web.clone().unwrap_or_else(|| free("127.0.0.1:7181")),
        folder.path().to_path_buf(),
        &args.notify,
        args.lang,
    )?;
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let result = runtime.block_on(play(settings, args.once));
    runtime.shutdown_background();
    folder.close().context("remove the temporary folder")?;
    result
}

/// The default address, or a free port beside it if something listens there already.
fn free(default: &str) -> String {
    match TcpListener::bind(default) {
        Err(err) if err.kind() == ErrorKind::AddrInUse => "127.0.0.1:0".to_owned(),
        _ => default.to_owned(),
    }
}

async fn play(settings: Settings, once: bool) -> anyhow::Result<ExitCode> {
    let mut signals = Signals::new()?;
    let lang = settings.lang;
    let stack = Stack::start(settings).await?;
    let mut incidents = Incidents::follow(stack.handle(), stack.url(), lang);
    let mut show = Show::new(&stack, lang);
    let script = async {
        let result = show.run().await;
        if result.is_ok() && !once {
            say_last(lang);
            std::future::pending::<()>().await;
        }
        result
    };
    let result = tokio::select! {
        result = script => result,
        () = incidents.print_all() => Err(anyhow!("the monitor ended by itself")),
        _ = signals.end() => Ok(()),
    };
    incidents.print_rest();
    let nodes = show.nodes;
    // The nodes are stopped with the server: nobody has to be told of that.
    let stopped = tokio::select! {
        stopped = stack.stop() => stopped,
        name = signals.end() => Err(anyhow!("stopped at once by {name}")),
    };
    drop(nodes);
    result?;
    stopped
}

fn say_last(lang: Lang) {
    let text = choose(
        lang,
        "That was it. The page stays up; Ctrl-C ends the demo and removes its data.",
        "演示完成。网页会继续提供；按 Ctrl-C 结束演示并删除数据。",
    );
    let _ = print::bytes(format!("\n{text}\n").as_bytes());
}

/// The script and what it holds on to.
struct Show {
    began: Instant,
    lang: Lang,
    server: String,
    url: String,
    monitor: MonitorHandle,
    changes: broadcast::Receiver<Change>,
    nodes: Vec<Client>,
}

impl Show {
    fn new(stack: &Stack, lang: Lang) -> Self {
        let monitor = stack.handle();
        let changes = monitor.subscribe();
        let (server, url) = (stack.first_server().to_owned(), stack.url().to_owned());
        Self { began: Instant::now(), lang, server, url, monitor, changes, nodes: Vec::new() }
    }

    fn say(&self, en: &str, zh: &str) {
        let seconds = self.began.elapsed().as_secs();
        let text = choose(self.lang, en, zh);
        let _ = print::bytes(format!("[{seconds:>2} s] {text}\n").as_bytes());
    }

    async fn run(&mut self) -> anyhow::Result<()> {
        let (server, url) = (self.server.clone(), self.url.clone());
        self.say(
            &format!("a ZooKeeper server serves on {server}; open {url}"),
            &format!("ZooKeeper 服务器已在 {server} 提供服务；请打开 {url}"),
        );
        for (group, id) in NODES {
            let node = start_node(&server, group, id).await?;
            self.nodes.push(node);
        }
        self.until_up().await?;
        let names = NODES.map(|(group, id)| format!("{group}/{id}")).join(", ");
        self.say(
            &format!("five nodes have registered and are up: {names}"),
            &format!("五个节点已登记并在线：{names}"),
        );
        sleep(LOOK).await;
        self.kill().await?;
        sleep(LOOK).await;
        self.bring_back().await
    }

    async fn kill(&mut self) -> anyhow::Result<()> {
        let (group, id) = NODES[KILLED];
        self.say(
            &format!(
                "killing {group}/{id}: its connection ends without a word, as after kill -9. Its \
                 session may come back for {} s, so nobody is alarmed before",
                SESSION_TIMEOUT.as_secs()
            ),
            &format!(
                "杀死 {group}/{id}：连接直接中断，如同 kill -9。其会话在 {} 秒内仍可能恢复，\
                 在此之前不会告警",
                SESSION_TIMEOUT.as_secs()
            ),
        );
        self.nodes[KILLED].abandon().await;
        let incident = self.until(IncidentState::Firing).await?;
        let page = format!("{}/incidents/{}", self.url, incident.id);
        self.say(
            &format!("the monitor found it; read on at {page}"),
            &format!("监控已发现；详情见 {page}"),
        );
        Ok(())
    }

    async fn bring_back(&mut self) -> anyhow::Result<()> {
        let (group, id) = NODES[KILLED];
        self.say(
            &format!("starting {group}/{id} again: it registers itself with a new session"),
            &format!("重新启动 {group}/{id}：它会用新的会话自行注册"),
        );
        self.nodes[KILLED] = start_node(&self.server, group, id).await?;
        self.until(IncidentState::Resolved).await?;
        self.say("the incident is resolved by itself", "事件已自动恢复");
        Ok(())
    }

    /// Waits until the monitor sees all nodes up.
    async fn until_up(&mut self) -> anyhow::Result<()> {
        loop {
            let fleet = self.monitor.fleet();
            let nodes = fleet.ensembles.iter().flat_map(|ensemble| &ensemble.nodes);
            if nodes.filter(|node| node.state == NodeState::Up).count() == NODES.len() {
                return Ok(());
            }
            self.next().await?;
        }
    }

    /// Waits until the killed node's incident is in `state`.
    async fn until(&mut self, state: IncidentState) -> anyhow::Result<Arc<Incident>> {
        let (group, id) = NODES[KILLED];
        loop {
            if let Some(incident) = self.next().await?
                && incident.state == state
                && incident.node.as_deref() == Some(id)
                && incident.group.as_deref() == Some(group)
            {
                return Ok(incident);
            }
        }
    }

    /// The next change; the incident, if it is one.
    async fn next(&mut self) -> anyhow::Result<Option<Arc<Incident>>> {
        match self.changes.recv().await {
            Ok(Change::Incident(incident)) => Ok(Some(incident)),
            Ok(Change::Fleet) | Err(RecvError::Lagged(_)) => Ok(None),
            Err(RecvError::Closed) => Err(anyhow!("the monitor ended by itself")),
        }
    }
}

/// What an application does to be watched: it says that it should exist, and that it lives.
async fn start_node(server: &str, group: &str, id: &str) -> anyhow::Result<Client> {
    let client = Client::builder(server).session_timeout(SESSION_TIMEOUT).connect().await?;
    let data = format!(r#"{{"host":"127.0.0.1","pid":{}}}"#, std::process::id());
    let parts = ["/nodes".to_owned(), format!("/nodes/{group}"), format!("/nodes/{group}/{id}")];
    for path in &parts {
        let content = if path.ends_with(id) { data.as_str() } else { "" };
        match client.create(path, content, CreateMode::Persistent).await {
            Ok(_) | Err(Error::Server(ErrorCode::NodeExists)) => {}
            Err(err) => return Err(err).with_context(|| format!("create {path}")),
        }
    }
    let alive = format!("/nodes/{group}/{id}/alive");
    client.create(&alive, "", CreateMode::Ephemeral).await.with_context(|| alive.clone())?;
    Ok(client)
}

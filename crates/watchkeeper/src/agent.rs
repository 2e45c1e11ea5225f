//! `watchkeeper agent`: what only the host of a ZooKeeper server knows, as a metrics page.
//!
//! Free space, files, certificates, the configuration and whether this host reaches the ports of
//! the other members cannot be seen over the network. The monitor pulls the page; the agent opens
//! no other connection than those to the members' ports, and changes nothing.

mod certificates;
mod host;
mod links;
mod page;
mod zoo;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;

use anyhow::{Context, anyhow};
use tokio::net::TcpListener;

use crate::exit::Code;
use crate::logging::LogArgs;
use crate::print;
use crate::signals::Signals;
use links::Links;
use zoo::Zoo;

/// Where distributions and the tarball keep the file.
const USUAL: &[&str] = &[
    "conf/zoo.cfg",
    "/etc/zookeeper/conf/zoo.cfg",
    "/etc/zookeeper/zoo.cfg",
    "/opt/zookeeper/conf/zoo.cfg",
    "/conf/zoo.cfg",
];

/// Serve the facts of a ZooKeeper server's host to the monitor
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Run it on the server's host, as a user who may read zoo.cfg and the data directories, and name it in
the monitor's watchkeeper.toml: [ensemble.NAME] agents = [\"zk1:7182\"]. Whoever reaches the page
may read it: listen on an address that only the monitor reaches.

Examples:
  watchkeeper agent
  watchkeeper agent --listen 10.0.0.7:7182 --zoo-cfg /etc/zookeeper/conf/zoo.cfg")]
pub(crate) struct Args {
    /// Where the page is served
    #[arg(long, value_name = "HOST:PORT", default_value = "127.0.0.1:7182")]
    listen: SocketAddr,
    /// The server's configuration; without it, the first of the usual places
    #[arg(long, value_name = "FILE")]
    zoo_cfg: Option<PathBuf>,
    #[command(flatten)]
    log: LogArgs,
}

pub(crate) fn run(args: &Args) -> anyhow::Result<ExitCode> {
    args.log.init("warn").map_err(|err| Code::Usage.of(err.context("--log-level")))?;
    let path = match &args.zoo_cfg {
        Some(path) => path.clone(),
        None => usual()?,
    };
    // Read once now, so that a wrong path is said at the start and not on a page nobody reads.
    Zoo::read(&path).map_err(|err| Code::Usage.of(err))?;
    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build()?;
    let result = runtime.block_on(serve(args.listen, path));
    runtime.shutdown_background();
    result
}

async fn serve(listen: SocketAddr, path: PathBuf) -> anyhow::Result<ExitCode> {
    let mut signals = Signals::new()?;
    let listener = TcpListener::bind(listen).await;
    let listener = listener.with_context(|| format!("cannot listen on {listen}"))?;
    let addr = listener.local_addr()?;
    let links = Links::default();
    tokio::spawn(links.clone().watch(path.clone()));
    print::bytes(format!("agent: http://{addr}/metrics of {}\n", path.display()).as_bytes())?;
    let made = move || page::page(&path, &links.known());
    let end = async move {
        signals.end().await;
    };
    wk_web::serve_metrics(listener, Arc::new(made), end).await.context("serve the page")?;
    Ok(ExitCode::SUCCESS)
}

fn usual() -> anyhow::Result<PathBuf> {
    let found = USUAL.iter().map(PathBuf::from).find(|path| path.is_file());
    found.ok_or_else(|| {
        let tried = USUAL.join(", ");
        Code::Usage.of(anyhow!("no zoo.cfg at {tried}: name it by --zoo-cfg FILE"))
    })
}

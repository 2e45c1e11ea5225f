//! An ensemble that is played: stand-ins before one real server, and the nodes registered in it.

use std::fmt::Write as _;
use std::fs;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use wk_peers::process::bound;
use wk_peers::{Process, wait};
use wk_proto::client::CreateMode;

use super::page::{Page, Role};
use super::session::Session;
use super::stand_in::{Part, StandIn};

/// The session that holds the nodes that live all the time, in milliseconds.
const KEEPER_TIMEOUT: i32 = 10_000;
/// The session of a node that is to die: the least that the server grants.
const VICTIM_TIMEOUT: i32 = 1_000;
/// How often that one is heard.
const VICTIM_PING: Duration = Duration::from_millis(300);
/// Nodes of one group.
const GROUP: usize = 100;
/// What a node says of itself.
const DATA: &[u8] = br#"{"host":"10.20.30.40","port":8080,"version":"2.7.1"}"#;

/// One ensemble. Fields are dropped in this order.
pub(super) struct Ensemble {
    pub(super) name: String,
    pub(super) stand_ins: Vec<StandIn>,
    keeper: Session,
    backend: u16,
    _server: Process,
}

/// What all ensembles have in common.
pub(super) struct Plan<'p> {
    pub(super) binary: &'p Path,
    pub(super) dir: &'p Path,
    pub(super) servers: usize,
    pub(super) begun: Instant,
}

impl Ensemble {
    /// Starts the real server, registers `nodes` nodes and lets the stand-ins begin.
    pub(super) fn start(plan: &Plan<'_>, index: usize, nodes: usize) -> Result<Self> {
        let name = format!("e{index:02}");
        let dir = plan.dir.join(&name);
        fs::create_dir_all(&dir).context("make a folder")?;
        let ports = wait::lasting_ports(plan.servers * 2 + 1)?;
        let (backend, ports) = (ports[0], &ports[1..]);
        let server = start_server(plan.binary, &dir, backend)?;
        let mut keeper = Session::open(backend, KEEPER_TIMEOUT)?;
        keeper.create_all(&znodes(nodes), DATA)?;
        let mut members = String::new();
        for (sid, pair) in ports.chunks(2).enumerate() {
            let (sid, quorum) = (sid + 1, 2888 + sid * 2);
            let election = quorum + 1;
            let at = format!("127.0.0.1:{quorum}:{election}:participant;127.0.0.1:{}", pair[0]);
            let _ = writeln!(members, "server.{sid}={at}");
        }
        let page = |role| Ok::<_, anyhow::Error>(Arc::new(Page::read(role, plan.servers, nodes)?));
        let pages = [page(Role::Leader)?, page(Role::Follower)?];
        let start = |(sid, pair): (usize, &[u16])| {
            let (role, page) = match sid {
                0 => (Role::Leader, &pages[0]),
                _ => (Role::Follower, &pages[1]),
            };
            let (client, own_page, members) = (pair[0], pair[1], members.clone());
            let part = Part { role, sid: sid + 1, client, page: own_page, backend, members };
            StandIn::start(part, Arc::clone(page), plan.begun)
        };
        let stand_ins = ports.chunks(2).enumerate().map(start).collect::<Result<_>>()?;
        Ok(Self { name, stand_ins, keeper, backend, _server: server })
    }

    /// Its table in watchkeeper.toml.
    pub(super) fn toml(&self) -> String {
        let servers: Vec<String> =
            self.stand_ins.iter().map(|one| format!("{:?}", one.instance())).collect();
        let port =
            |one: &StandIn| format!("{:?} = {{ metrics = {} }}", one.instance(), one.part.page);
        let ports: Vec<String> = self.stand_ins.iter().map(port).collect();
        let (name, servers, ports) = (&self.name, servers.join(", "), ports.join(", "));
        format!("[ensemble.{name}]\nservers = [{servers}]\nports = {{ {ports} }}\n")
    }

    /// Keeps the session of the nodes alive.
    pub(super) fn ping(&mut self) -> Result<()> {
        self.keeper.ping()
    }

    /// Registers a node whose session is its own.
    pub(super) fn victim(&self, id: &str) -> Result<Victim> {
        let mut session = Session::open(self.backend, VICTIM_TIMEOUT)?;
        let path = format!("/nodes/g000/{id}");
        let alive = format!("{path}/alive");
        let znodes = [(path, CreateMode::Persistent), (alive.clone(), CreateMode::Ephemeral)];
        session.create_all(&znodes, DATA)?;
        let mut watcher = Session::open(self.backend, KEEPER_TIMEOUT)?;
        watcher.watch(&alive)?;
        Ok(Victim { session, watcher })
    }
}

/// A node that is to die.
pub(super) struct Victim {
    session: Session,
    watcher: Session,
}

impl Victim {
    /// Lives for a while, falls silent, and gives the moment in which its session's end was told.
    pub(super) fn expire(mut self, after: Duration) -> Result<Instant> {
        let begun = Instant::now();
        while begun.elapsed() < after {
            std::thread::sleep(VICTIM_PING);
            self.session.ping()?;
        }
        drop(self.session);
        self.watcher.event()?;
        Ok(Instant::now())
    }
}

/// `/nodes`, its groups and all that belongs to `nodes` nodes.
fn znodes(nodes: usize) -> Vec<(String, CreateMode)> {
    let mut znodes = vec![("/nodes".to_owned(), CreateMode::Persistent)];
    for node in 0..nodes.max(1) {
        let group = format!("/nodes/g{:03}", node / GROUP);
        if node % GROUP == 0 {
            znodes.push((group.clone(), CreateMode::Persistent));
        }
        if node < nodes {
            let path = format!("{group}/node-{node:05}");
            znodes.push((path.clone(), CreateMode::Persistent));
            znodes.push((format!("{path}/alive"), CreateMode::Ephemeral));
        }
    }
    znodes
}

fn start_server(binary: &Path, dir: &Path, port: u16) -> Result<Process> {
    let data = dir.join("data");
    fs::create_dir_all(&data).context("make a folder")?;
    let cfg = dir.join("zoo.cfg");
    let lines = [
        // A session may then be as short as a second.
        "tickTime=500".to_owned(),
        format!("dataDir={}", data.display()),
        format!("clientPort={port}"),
        "clientPortAddress=127.0.0.1".to_owned(),
        "maxClientCnxns=0".to_owned(),
        "admin.enableServer=false".to_owned(),
        "minSessionTimeout=1000".to_owned(),
        "maxSessionTimeout=40000".to_owned(),
    ];
    fs::write(&cfg, lines.join("\n") + "\n").context("write zoo.cfg")?;
    let mut command = Command::new(binary);
    command.arg("server").arg(&cfg);
    let process = Process::start("server", &mut bound(&command), &dir.join("server.log"))?;
    wait::until("the server", wait::LONG, || {
        let answer = wait::four_letter(port, "srvr").unwrap_or_default();
        Ok(answer.contains("Mode:").then_some(()))
    })
    .with_context(|| process.tail())?;
    Ok(process)
}

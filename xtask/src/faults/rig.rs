//! What one trial runs on: an ensemble, a monitor with fresh data, receivers that note the time.

use std::fs;
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use serde_json::Value;
use tempfile::TempDir;
use wk_peers::disk::{BadSync, SmallDisk};
use wk_peers::ensemble::Place;
use wk_peers::process::{Signal, bound, run};
use wk_peers::receivers::{DingTalk, Webhook};
use wk_peers::{Cache, Ensemble, EnsembleSpec, Janitor, Net, Peer, Process, Version, wait};

/// The copy of zoo.cfg that an agent reads.
const AGENT_CFG: &str = "agent.cfg";

/// The clients' side of the faults, in Python.
const CLIENTS: &str = include_str!("clients.py");

/// What a kind of fault needs beside three servers with their pages.
#[derive(Clone, Debug, Default)]
pub(super) struct Setup {
    /// Every member on a host of its own.
    pub(super) net: bool,
    /// Every member's log on a small disk of its own.
    pub(super) small_logs: bool,
    /// A port for TLS on every member, with a certificate that is valid for so many days.
    pub(super) certificate_days: Option<u32>,
    /// Writes a second and their size, all the time.
    pub(super) load: Option<(u32, u32)>,
    /// The servers' heap, if it is not the usual small one.
    pub(super) heap: Option<&'static str>,
    /// Further lines of zoo.cfg.
    pub(super) lines: &'static [&'static str],
    /// watchkeeper.toml.
    pub(super) toml: &'static str,
    /// `watchkeeper agent` beside every member.
    pub(super) agents: bool,
    /// A robot that refuses everything inside HTTP 200 is told too.
    pub(super) robot: bool,
    /// A second webhook is told too.
    pub(super) spare: bool,
}

/// What the runs of one command have in common.
#[derive(Clone, Debug)]
pub(super) struct Bench {
    pub(super) cache: Cache,
    /// The monitor's binary.
    pub(super) binary: PathBuf,
    /// The release of the servers.
    pub(super) version: Version,
    /// How long a healthy ensemble is watched before the fault.
    pub(super) settle: Duration,
}

/// A standing ensemble and everything round it. Fields are dropped in this order.
pub(super) struct Rig {
    pub(super) bench: Bench,
    pub(super) setup: Setup,
    /// Things of a fault that end with the trial.
    pub(super) held: Vec<Box<dyn std::any::Any>>,
    pub(super) clients: Vec<Process>,
    pub(super) monitor: Option<Monitor>,
    pub(super) bad_syncs: Vec<BadSync>,
    pub(super) ensemble: Ensemble,
    pub(super) disks: Vec<SmallDisk>,
    pub(super) net: Option<Net>,
    /// Undoes the rest when it is dropped.
    _janitor: Janitor,
    pub(super) dir: TempDir,
    /// Trials on this ensemble so far.
    pub(super) trials: usize,
    /// Whether nodes were registered that the next monitor must not know.
    pub(super) registered: bool,
}

impl Rig {
    /// Starts the ensemble and waits until it serves.
    pub(super) fn start(bench: &Bench, setup: &Setup) -> Result<Self> {
        let dir = tempfile::Builder::new().prefix("wk-faults-").tempdir();
        let dir = dir.context("make a folder")?;
        fs::write(dir.path().join("clients.py"), CLIENTS).context("write the clients")?;
        let mut janitor = Janitor::start()?;
        janitor.at_end(&format!("rm -rf {}", wk_peers::janitor::quote(dir.path())))?;
        let mut spec = EnsembleSpec::new(bench.version, dir.path()).pages();
        for line in setup.lines {
            spec = spec.with(line);
        }
        if let Some(heap) = setup.heap {
            // Java goes by the last one.
            spec = spec.with_jvm_flag(&format!("-Xmx{heap}"));
        }
        let net = if setup.net { Some(Net::start(&bench.cache, &mut janitor, 3)?) } else { None };
        let places = net.as_ref().map_or_else(own_addresses, Net::places);
        let mut ensemble = spec.at(places).prepare(&bench.cache)?;
        for member in &mut ensemble.members {
            // Where a real installation has them: nobody tells the monitor.
            (member.admin, member.metrics) = (8080, 7000);
        }
        let mut disks = Vec::new();
        if setup.small_logs {
            for member in &mut ensemble.members {
                let logs = member.dir.join("logs");
                disks.push(SmallDisk::mount(&mut janitor, &logs, 8)?);
                member.set_line(&format!("dataLogDir={}", logs.display()));
                // The log grows in steps of this: room that it already holds cannot be taken.
                member.jvm_flags.push("-Dzookeeper.preAllocSize=16".to_owned());
            }
        }
        if let Some(days) = setup.certificate_days {
            add_tls(&mut ensemble, dir.path(), days)?;
        }
        for index in 0..ensemble.members.len() {
            ensemble.launch(index)?;
        }
        ensemble.wait_quorum()?;
        Ok(Self {
            bench: bench.clone(),
            setup: setup.clone(),
            held: Vec::new(),
            clients: Vec::new(),
            monitor: None,
            bad_syncs: Vec::new(),
            ensemble,
            disks,
            net,
            _janitor: janitor,
            dir,
            trials: 0,
            registered: false,
        })
    }

    /// Starts load and a monitor with fresh data, and waits until it sees a healthy ensemble.
    pub(super) fn begin(&mut self) -> Result<()> {
        self.trials += 1;
        if let Some((rate, size)) = self.setup.load {
            let hosts = self.ensemble.hosts();
            self.client(&["load", &hosts, &rate.to_string(), &size.to_string()])?;
        }
        let dir = self.dir.path().join(format!("monitor-{}", self.trials));
        fs::create_dir_all(&dir).context("make the monitor's folder")?;
        let mut monitor = Monitor::new(&self.bench.binary, &dir, &self.ensemble, &self.setup)?;
        monitor.run()?;
        let web = monitor.web;
        self.monitor = Some(monitor);
        wait::until("the monitor to see a healthy ensemble", wait::LONG, || {
            let fleet: Value = api(web, "fleet")?;
            let ensemble = &fleet["ensembles"][0];
            let servers = ensemble["servers"].as_array().map(Vec::as_slice).unwrap_or_default();
            // In a role, and with figures: whoever judges by those has them.
            let seen = |server: &&Value| {
                server["state"] == "up" && server["mode"].is_string() && server["znodes"].is_u64()
            };
            let seen = servers.iter().filter(seen).count();
            let clear = ensemble["sight"]["clear"] == true;
            Ok((seen == self.ensemble.members.len() && clear).then_some(()))
        })?;
        pass(self.bench.settle);
        Ok(())
    }

    /// Ends monitor and clients, mends everything and waits until the ensemble serves again.
    pub(super) fn mend(&mut self) -> Result<()> {
        self.monitor = None;
        self.clients.clear();
        self.held.clear();
        self.bad_syncs.clear();
        if let Some(net) = &self.net {
            net.heal()?;
        }
        for disk in &self.disks {
            disk.free()?;
        }
        for index in 0..self.ensemble.members.len() {
            if self.ensemble.members[index].runs() && self.ensemble.resume(index).is_err() {
                self.ensemble.kill(index)?;
            }
            if !self.ensemble.members[index].runs() {
                self.ensemble.launch(index)?;
            }
        }
        self.ensemble.wait_quorum()?;
        if std::mem::take(&mut self.registered) {
            self.client(&["forget", &self.ensemble.hosts()])?;
            self.clients.clear();
        }
        Ok(())
    }

    /// Starts one of `clients.py` and waits until it is ready.
    pub(super) fn client(&mut self, args: &[&str]) -> Result<()> {
        let python = Peer::Python.ensure(&self.bench.cache, &|_| ())?.join("bin/python");
        let mut command = Command::new(python);
        command.arg(self.dir.path().join("clients.py")).args(args);
        let log = self.dir.path().join(format!("client-{}-{}", self.trials, self.clients.len()));
        // A log of an earlier start would already say that it is ready.
        let _ = fs::remove_file(&log);
        let mut client = Process::start("clients.py", &mut bound(&command), &log)?;
        wait::until("a client to be ready", wait::LONG, || {
            if client.ended()?.is_some() {
                bail!("clients.py {} ended:\n{}", args.join(" "), client.tail());
            }
            Ok(client.output().contains("ready").then_some(()))
        })?;
        self.clients.push(client);
        Ok(())
    }

    /// The monitor; it runs from [`Rig::begin`] to [`Rig::mend`].
    pub(super) fn monitor(&mut self) -> Result<&mut Monitor> {
        self.monitor.as_mut().context("the monitor does not run")
    }

    /// Everything that was accepted by any receiver so far, in order of time.
    pub(super) fn seen(&self) -> Vec<Seen> {
        self.monitor.as_ref().map(Monitor::seen).unwrap_or_default()
    }
}

/// Lets time go by: the measure of a trial, not a way to wait for a fact.
pub(super) fn pass(time: Duration) {
    std::thread::sleep(time);
}

/// One alert as a receiver accepted it.
#[derive(Clone, Debug)]
pub(super) struct Seen {
    pub(super) rule: String,
    pub(super) status: String,
    pub(super) labels: Value,
    /// Labels and annotations, to look for a member in.
    pub(super) text: String,
    pub(super) key: String,
    pub(super) at: Instant,
    /// Whether the second webhook took it.
    pub(super) spare: bool,
}

/// `watchkeeper up HOSTS` with its receivers.
pub(super) struct Monitor {
    pub(super) process: Option<Process>,
    pub(super) webhook: Webhook,
    pub(super) spare: Option<Webhook>,
    pub(super) started: Instant,
    pub(super) web: u16,
    command: Command,
    log: PathBuf,
    /// Kept for their life.
    _robot: Option<DingTalk>,
    _agents: Vec<Process>,
}

impl Monitor {
    fn new(binary: &Path, dir: &Path, ensemble: &Ensemble, setup: &Setup) -> Result<Self> {
        // No outgoing connection of a command beside this one takes it before the monitor does.
        let web = wait::lasting_ports(1)?[0];
        let webhook = Webhook::start()?;
        let spare = if setup.spare { Some(Webhook::start()?) } else { None };
        let robot = if setup.robot { Some(DingTalk::start("TOKEN", "SECx")?) } else { None };
        let toml = dir.join("watchkeeper.toml");
        let (agents, table) =
            if setup.agents { start_agents(binary, dir, ensemble)? } else { Default::default() };
        fs::write(&toml, setup.toml.to_owned() + &table).context("write watchkeeper.toml")?;
        let mut command = Command::new(binary);
        command.arg("up").arg(ensemble.hosts()).arg("--data").arg(dir.join("data"));
        command.args(["--web", &format!("127.0.0.1:{web}"), "--lang", "en"]);
        command.arg("--config").arg(&toml).args(["--notify", &webhook.url()]);
        if let Some(spare) = &spare {
            command.args(["--notify", &format!("spare={}", spare.url())]);
        }
        if let Some(robot) = &robot {
            command.args(["--notify", &robot.url_with("a wrong secret")]);
        }
        let command = bound(&command);
        let log = dir.join("up.log");
        let started = Instant::now();
        let process = None;
        Ok(Self {
            process,
            webhook,
            spare,
            started,
            web,
            command,
            log,
            _robot: robot,
            _agents: agents,
        })
    }

    /// Starts it, a second time over the same data.
    pub(super) fn run(&mut self) -> Result<()> {
        self.started = Instant::now();
        let mut process = Process::start("watchkeeper up", &mut self.command, &self.log)?;
        wait::until("`up` to be ready", wait::LONG, || {
            if process.ended()?.is_some() {
                bail!("it ended:\n{}", process.tail());
            }
            let (status, _) = wait::http_get(self.web, "/healthz")?;
            Ok(status.contains(" 200 ").then_some(()))
        })?;
        self.process = Some(process);
        Ok(())
    }

    /// kill -9.
    pub(super) fn kill(&mut self) -> Result<()> {
        self.process.take().context("the monitor does not run")?.kill().map(drop)
    }

    /// SIGSTOP.
    pub(super) fn stop(&mut self) -> Result<()> {
        self.process.as_mut().context("the monitor does not run")?.signal(Signal::STOP)
    }

    /// SIGCONT.
    pub(super) fn go_on(&mut self) -> Result<()> {
        self.process.as_mut().context("the monitor does not run")?.signal(Signal::CONT)
    }

    /// Whether it ended by itself, with the end of its log.
    pub(super) fn ended(&mut self) -> Option<String> {
        let process = self.process.as_mut()?;
        process.ended().ok().flatten().map(|_| process.tail())
    }

    /// Runs one of our verbs against it.
    pub(super) fn verb(&self, binary: &Path, args: &[&str]) -> Result<String> {
        let mut command = Command::new(binary);
        command.args(args).env("WATCHKEEPER_MONITOR", format!("http://127.0.0.1:{}", self.web));
        run(&format!("watchkeeper {}", args.join(" ")), &mut command)
    }

    fn seen(&self) -> Vec<Seen> {
        let mut all = Vec::new();
        let receivers = [(Some(&self.webhook), false), (self.spare.as_ref(), true)];
        for (receiver, spare) in receivers {
            let taken = receiver.map(Webhook::taken).unwrap_or_default();
            for notification in taken.iter().filter(|one| one.answered) {
                for alert in notification.alerts() {
                    all.push(Seen {
                        text: format!("{} {}", alert.labels, alert.annotations),
                        rule: alert.rule,
                        status: alert.status,
                        labels: alert.labels,
                        key: notification.key.clone(),
                        at: notification.at,
                        spare,
                    });
                }
            }
        }
        all.sort_by_key(|one| one.at);
        all
    }
}

/// An agent on each member's host, and the lines of watchkeeper.toml that name them.
fn start_agents(binary: &Path, dir: &Path, ensemble: &Ensemble) -> Result<(Vec<Process>, String)> {
    let (mut agents, mut names) = (Vec::new(), Vec::new());
    for member in &ensemble.members {
        let address = format!("{}:{}", member.place.host, wait::lasting_ports(1)?[0]);
        let mut command = Command::new(binary);
        command.args(["agent", "--listen", &address, "--zoo-cfg"]);
        command.arg(member.dir.join(AGENT_CFG));
        // zoo.cfg names a store with a password, which no agent reads: the copy names what is in it.
        let cfg = fs::read_to_string(member.dir.join("zoo.cfg")).context("read zoo.cfg")?;
        fs::write(member.dir.join(AGENT_CFG), cfg.replace("key.p12", "key.pem"))
            .context("write the agent's zoo.cfg")?;
        let log = dir.join(format!("agent-{}.log", member.sid));
        let mut agent = Process::start("watchkeeper agent", &mut bound(&command), &log)?;
        wait::until("an agent to listen", wait::LONG, || {
            if agent.ended()?.is_some() {
                bail!("it ended:\n{}", agent.tail());
            }
            Ok(agent.output().contains("http://").then_some(()))
        })?;
        agents.push(agent);
        names.push(address);
    }
    let table =
        format!("[ensemble.main]\nservers = {:?}\nagents = {names:?}\n", ensemble.addresses());
    Ok((agents, table))
}

/// An address of loopback for each member, which no other command of the kind uses: three hosts, as
/// the monitor sees them, each with the default ports of its pages.
fn own_addresses() -> Vec<Place> {
    let [_, _, high, low] = std::process::id().to_be_bytes();
    let place = |member| Place {
        host: Ipv4Addr::new(127, 64 + high % 128, low, member),
        wrapper: Vec::new(),
    };
    (1..=3).map(place).collect()
}

/// The JSON of a page of the API.
pub(super) fn api(web: u16, page: &str) -> Result<Value> {
    let (status, body) = wait::http_get(web, &format!("/api/v1/{page}"))?;
    if !status.contains(" 200 ") {
        bail!("GET {page}: {status}");
    }
    serde_json::from_str(&body).with_context(|| format!("GET {page}"))
}

/// Gives every member a secure port whose certificate ends in `days`.
fn add_tls(ensemble: &mut Ensemble, dir: &Path, days: u32) -> Result<()> {
    let store = dir.join("key.p12");
    let mut keytool = Command::new("keytool");
    keytool.args(["-genkeypair", "-alias", "zk", "-keyalg", "EC", "-dname", "CN=localhost"]);
    keytool.args(["-ext", "SAN=IP:127.0.0.1", "-storetype", "PKCS12", "-storepass", "secret"]);
    keytool.args(["-validity", &days.to_string(), "-keystore"]).arg(&store);
    run("keytool", &mut keytool)?;
    let mut export = Command::new("keytool");
    export.args(["-exportcert", "-rfc", "-alias", "zk", "-storepass", "secret", "-keystore"]);
    export.arg(&store).arg("-file").arg(dir.join("key.pem"));
    run("keytool", &mut export)?;
    let ports = wait::lasting_ports(ensemble.members.len())?;
    for (member, port) in ensemble.members.iter_mut().zip(ports) {
        member.set_line(&format!("secureClientPort={port}"));
        member.set_line(&format!("secureClientPortAddress={}", member.place.host));
        member.set_line("serverCnxnFactory=org.apache.zookeeper.server.NettyServerCnxnFactory");
        member.set_line("ssl.clientAuth=none");
        for kind in ["key", "trust"] {
            member.set_line(&format!("ssl.{kind}Store.location={}", store.display()));
            member.set_line(&format!("ssl.{kind}Store.password=secret"));
        }
    }
    Ok(())
}

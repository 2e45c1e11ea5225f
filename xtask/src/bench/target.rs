//! The servers: started alike, each in a folder of its own on the same disk.

use std::fs;
use std::io::Write;
use std::net::SocketAddr;
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use tempfile::TempDir;
use wk_peers::{Cache, Peer, Process, java, wait};

use super::load::{self, Load, Workload};

/// Which server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Watchkeeper,
    Apache,
    Limit,
}

impl Kind {
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Watchkeeper => "watchkeeper",
            Self::Apache => "apache 3.9.5",
            Self::Limit => "limit",
        }
    }
}

/// A round on a server.
#[derive(Clone, Copy, Debug)]
pub(super) struct Outcome {
    pub(super) load: Load,
    /// CPU time of the server per operation.
    pub(super) cpu: Duration,
    pub(super) resident_kib: u64,
}

/// A running server.
pub(super) struct Target {
    pub(super) kind: Kind,
    process: Process,
    addr: SocketAddr,
    _dir: TempDir,
}

/// Kernel clock ticks a second, in which /proc counts CPU time on every Linux port of today.
const TICKS_PER_SECOND: u32 = 100;

impl Target {
    pub(super) fn start(kind: Kind) -> Result<Self> {
        // Beside the build, not in /tmp, which may be memory.
        let base = super::release_binary("");
        let dir = tempfile::tempdir_in(base).context("make a folder")?;
        let log = dir.path().join("log");
        let [port] = wait::free_ports()?;
        let mut command = match kind {
            Kind::Limit => {
                let mut command = Command::new(std::env::current_exe()?);
                command.arg("limit-server").arg(dir.path().join("records"));
                command
            }
            Kind::Watchkeeper => {
                let mut command = Command::new(super::release_binary("watchkeeper"));
                command.arg("server").arg(zoo_cfg(&dir, port)?);
                command
            }
            Kind::Apache => apache(&zoo_cfg(&dir, port)?)?,
        };
        let process = Process::start(kind.name(), &mut command, &log)?;
        let port = if kind == Kind::Limit {
            wait::until("the limit server's port", wait::LONG, || {
                Ok(process.output().lines().next().and_then(|line| line.parse().ok()))
            })?
        } else {
            wait::until(kind.name(), wait::LONG, || {
                let answer = wait::four_letter(port, "srvr").unwrap_or_default();
                Ok(answer.contains("Mode:").then_some(()))
            })
            .with_context(|| process.tail())?;
            port
        };
        Ok(Self { kind, process, addr: SocketAddr::from(([127, 0, 0, 1], port)), _dir: dir })
    }

    pub(super) fn measure(&mut self, workload: &Workload, time: Duration) -> Result<Outcome> {
        let before = self.cpu()?;
        let started = Instant::now();
        let load = load::run(self.addr, workload, time)
            .with_context(|| format!("{} on {}", workload.name(), self.kind.name()))?;
        let used = self.cpu()?.saturating_sub(before);
        // The CPU figure covers warm-up and set-up too; scale it to the counted share.
        let share = time.as_secs_f64() / started.elapsed().as_secs_f64();
        let cpu = used.mul_f64(share).div_f64(load.ops as f64);
        Ok(Outcome { load, cpu, resident_kib: self.resident_kib()? })
    }

    fn cpu(&self) -> Result<Duration> {
        let stat = fs::read_to_string(format!("/proc/{}/stat", self.process.id()))?;
        // The command's name, in brackets, may hold anything.
        let fields: Vec<_> =
            stat.rsplit(')').next().unwrap_or_default().split_whitespace().collect();
        let ticks = |at: usize| fields.get(at).and_then(|f| f.parse::<u32>().ok());
        let (user, system) = ticks(11).zip(ticks(12)).context("read CPU times")?;
        Ok(Duration::from_secs(1) / TICKS_PER_SECOND * (user + system))
    }

    pub(super) fn resident_kib(&self) -> Result<u64> {
        let status = fs::read_to_string(format!("/proc/{}/status", self.process.id()))?;
        let line = status.lines().find_map(|l| l.strip_prefix("VmRSS:")).context("no VmRSS")?;
        line.trim().trim_end_matches(" kB").parse().context("read VmRSS")
    }
}

fn zoo_cfg(dir: &TempDir, port: u16) -> Result<std::path::PathBuf> {
    let data = dir.path().join("data");
    fs::create_dir_all(&data)?;
    let cfg = dir.path().join("zoo.cfg");
    let lines = [
        "tickTime=2000".to_owned(),
        format!("dataDir={}", data.display()),
        format!("clientPort={port}"),
        "clientPortAddress=127.0.0.1".to_owned(),
        "maxClientCnxns=0".to_owned(),
        "admin.enableServer=false".to_owned(),
        "digest.enabled=false".to_owned(),
        "snapCount=2000000".to_owned(),
        "globalOutstandingLimit=100000".to_owned(),
    ];
    fs::write(&cfg, lines.join("\n") + "\n")?;
    Ok(cfg)
}

fn apache(cfg: &std::path::Path) -> Result<Command> {
    let cache = Cache::open()?;
    let jars = Peer::ZooKeeper.ensure(&cache, &|what| eprintln!("{what}"))?;
    let logback = java::server_logback(&cache)?;
    let mut command = Command::new("java");
    command
        .args(["-Xms4g", "-Xmx4g", "-XX:+UseParallelGC", "-cp"])
        .arg(format!("{}/*", jars.display()))
        .arg(format!("-Dlogback.configurationFile={}", logback.display()))
        .args(["-Dzookeeper.jmx.log4j.disable=true"])
        .arg("org.apache.zookeeper.server.quorum.QuorumPeerMain")
        .arg(cfg);
    Ok(command)
}

/// How often this disk makes a small append durable.
pub(super) fn fdatasyncs_per_second() -> Result<f64> {
    let mut file = tempfile::tempfile_in(super::release_binary(""))?;
    // Preallocated, as a log is: a sync then need not write the file's length.
    file.write_all(&vec![0; 1 << 20])?;
    file.sync_all()?;
    std::io::Seek::rewind(&mut file)?;
    let start = Instant::now();
    let mut count = 0;
    while count < 2000 && start.elapsed() < Duration::from_secs(2) {
        file.write_all(&[b'x'; 512])?;
        file.sync_data()?;
        count += 1;
    }
    Ok(f64::from(count) / start.elapsed().as_secs_f64())
}

//! The servers: started alike, each in a folder of its own on the same disk.

use std::fs;
use std::io::Write;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use tempfile::TempDir;
use wk_peers::{Cache, Peer, Process, java, wait};

use super::load::{self, Extent, Load, Workload};
use super::wire;

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

    /// Whether it keeps what it is told.
    pub(super) fn keeps(self) -> bool {
        self != Self::Limit
    }
}

/// A round on a server.
#[derive(Clone, Copy, Debug)]
pub(super) struct Outcome {
    pub(super) load: Load,
    /// CPU time of the server per operation.
    pub(super) cpu: Duration,
}

/// A server, running or not.
pub(super) struct Target {
    pub(super) kind: Kind,
    process: Option<Process>,
    port: u16,
    snap_count: u32,
    dir: TempDir,
}

/// Kernel clock ticks a second, in which /proc counts CPU time on every Linux port of today.
const TICKS_PER_SECOND: u32 = 100;
/// So seldom that no snapshot falls into a round.
pub(super) const SELDOM: u32 = 2_000_000;
/// How long a server that is told to may take to end: it may write a snapshot of a million znodes.
const END_MAX: Duration = Duration::from_mins(2);
/// How often a server that starts is asked for its first answer.
const ASK_EVERY: Duration = Duration::from_micros(200);

impl Target {
    /// Starts a server with no data.
    pub(super) fn start(kind: Kind) -> Result<Self> {
        // Beside the build, not in /tmp, which may be memory.
        let base = super::release_binary("");
        let dir = tempfile::tempdir_in(base).context("make a folder")?;
        let [port] = wait::free_ports()?;
        let mut target = Self { kind, process: None, port, snap_count: SELDOM, dir };
        target.launch(SELDOM)?;
        Ok(target)
    }

    /// Starts it over its data; gives the time to the first session that it grants.
    pub(super) fn launch(&mut self, snap_count: u32) -> Result<Duration> {
        self.snap_count = snap_count;
        let mut command = match self.kind {
            Kind::Limit => {
                let mut command = Command::new(std::env::current_exe()?);
                command.arg("limit-server").arg(self.dir.path().join("records"));
                command
            }
            Kind::Watchkeeper => {
                let mut command = Command::new(super::release_binary("watchkeeper"));
                command.arg("server").arg(self.zoo_cfg()?);
                command
            }
            Kind::Apache => apache(&self.zoo_cfg()?)?,
        };
        let begun = Instant::now();
        let name = self.kind.name();
        let mut process = Process::start(name, &mut command, &self.dir.path().join("log"))?;
        if self.kind == Kind::Limit {
            self.port = wait::until("the limit server's port", wait::LONG, || {
                Ok(process.output().lines().next().and_then(|line| line.parse().ok()))
            })?;
        }
        while wire::connect(self.addr()).is_err() {
            ensure!(process.ended()?.is_none(), "{name} ended:\n{}", process.tail());
            ensure!(begun.elapsed() < END_MAX, "{name} does not answer:\n{}", process.tail());
            std::thread::sleep(ASK_EVERY);
        }
        let took = begun.elapsed();
        self.process = Some(process);
        Ok(took)
    }

    /// Ends it in order.
    pub(super) fn stop(&mut self) -> Result<()> {
        if let Some(mut process) = self.process.take() {
            process.terminate(END_MAX)?;
        }
        Ok(())
    }

    pub(super) fn addr(&self) -> SocketAddr {
        SocketAddr::from(([127, 0, 0, 1], self.port))
    }

    /// Snapshots that it keeps.
    pub(super) fn snapshots(&self) -> Result<usize> {
        let files = fs::read_dir(self.dir.path().join("data/version-2")).context("list files")?;
        let names = files.filter_map(|file| file.ok()?.file_name().into_string().ok());
        Ok(names.filter(|name| name.starts_with("snapshot.")).count())
    }

    pub(super) fn measure(&mut self, workload: &Workload, time: Duration) -> Result<Outcome> {
        let before = self.cpu()?;
        let started = Instant::now();
        let load = load::run(self.addr(), workload, time)
            .with_context(|| format!("{} on {}", workload.name(), self.kind.name()))?;
        let used = self.cpu()?.saturating_sub(before);
        // The CPU figure covers warm-up and set-up too; scale it to the counted share.
        let share = time.as_secs_f64() / started.elapsed().as_secs_f64();
        let cpu = used.mul_f64(share).div_f64(load.ops as f64);
        Ok(Outcome { load, cpu })
    }

    /// Runs so many requests of each session, below `base`.
    pub(super) fn fill(&mut self, workload: &Workload, each: u32, base: &str) -> Result<Load> {
        load::run_for(self.addr(), workload, Extent::Requests(each), base)
            .with_context(|| format!("{} on {}", workload.name(), self.kind.name()))
    }

    pub(super) fn id(&self) -> Result<u32> {
        Ok(self.process.as_ref().context("the server does not run")?.id())
    }

    fn cpu(&self) -> Result<Duration> {
        let stat = fs::read_to_string(format!("/proc/{}/stat", self.id()?))?;
        // The command's name, in brackets, may hold anything.
        let fields: Vec<_> =
            stat.rsplit(')').next().unwrap_or_default().split_whitespace().collect();
        let ticks = |at: usize| fields.get(at).and_then(|f| f.parse::<u32>().ok());
        let (user, system) = ticks(11).zip(ticks(12)).context("read CPU times")?;
        Ok(Duration::from_secs(1) / TICKS_PER_SECOND * (user + system))
    }

    pub(super) fn resident_kib(&self) -> Result<u64> {
        resident_kib(self.id()?)
    }

    fn zoo_cfg(&self) -> Result<PathBuf> {
        let data = self.dir.path().join("data");
        fs::create_dir_all(&data)?;
        let cfg = self.dir.path().join("zoo.cfg");
        let lines = [
            "tickTime=2000".to_owned(),
            format!("dataDir={}", data.display()),
            format!("clientPort={}", self.port),
            "clientPortAddress=127.0.0.1".to_owned(),
            "maxClientCnxns=0".to_owned(),
            "admin.enableServer=false".to_owned(),
            "digest.enabled=false".to_owned(),
            format!("snapCount={}", self.snap_count),
            "globalOutstandingLimit=100000".to_owned(),
        ];
        fs::write(&cfg, lines.join("\n") + "\n")?;
        Ok(cfg)
    }
}

/// Resident memory of a process.
pub(super) fn resident_kib(id: u32) -> Result<u64> {
    let status = fs::read_to_string(format!("/proc/{id}/status"))?;
    let line = status.lines().find_map(|l| l.strip_prefix("VmRSS:")).context("no VmRSS")?;
    line.trim().trim_end_matches(" kB").parse().context("read VmRSS")
}

fn apache(cfg: &Path) -> Result<Command> {
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

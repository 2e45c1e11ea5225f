//! A coordination server under test, Apache's or ours, with a zoo.cfg on free ports.

use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus};

use anyhow::{Context, Result, bail};

use crate::cache::Cache;
use crate::java;
use crate::process::{Process, describe};
use crate::versions::Version;
use crate::wait;

/// Whose server it is.
#[derive(Clone, Debug)]
pub enum Flavor {
    /// Apache ZooKeeper, of [`ServerSpec::version`].
    Apache,
    /// `watchkeeper server`, by the path of the binary.
    Watchkeeper(PathBuf),
}

/// What to start. The zoo.cfg has tickTime 2000, all four-letter words and no limit of
/// connections per address (every client of a test is 127.0.0.1); `extra` adds or overrides.
#[derive(Clone, Debug)]
pub struct ServerSpec {
    /// Whose server.
    pub flavor: Flavor,
    /// The release, if it is Apache's; 3.9.5 unless told.
    pub version: Version,
    /// Holds zoo.cfg, the log of the process and `data`; must exist.
    pub dir: PathBuf,
    /// Further lines of zoo.cfg, `key=value` each; a key given here replaces ours.
    pub extra: Vec<String>,
    /// `-D` options: Java's command line, and the variable SERVER_JVMFLAGS of ours.
    pub jvm_flags: Vec<String>,
    /// Whether AdminServer and the Prometheus page listen.
    pub pages: Pages,
}

/// Whether the server's HTTP pages listen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pages {
    /// Neither AdminServer nor metrics.
    Off,
    /// AdminServer and metricsProvider, each on a port of its own.
    On,
}

impl ServerSpec {
    /// A server of `flavor` in `dir` with nothing special.
    pub fn new(flavor: Flavor, dir: &Path) -> Self {
        Self {
            flavor,
            version: Version::default(),
            dir: dir.to_path_buf(),
            extra: Vec::new(),
            jvm_flags: Vec::new(),
            pages: Pages::Off,
        }
    }

    /// Takes another release of Apache's server.
    #[must_use]
    pub fn at(mut self, version: Version) -> Self {
        self.version = version;
        self
    }

    /// Adds a line of zoo.cfg.
    #[must_use]
    pub fn with(mut self, line: &str) -> Self {
        self.extra.push(line.to_owned());
        self
    }

    /// Lets AdminServer and metrics listen.
    #[must_use]
    pub fn with_pages(mut self) -> Self {
        self.pages = Pages::On;
        self
    }

    /// Adds a `-D` option.
    #[must_use]
    pub fn with_jvm_flag(mut self, flag: &str) -> Self {
        self.jvm_flags.push(flag.to_owned());
        self
    }

    /// Starts the server and waits until it serves.
    ///
    /// A port that another process took in between leads to another try with other ports.
    ///
    /// # Errors
    /// With the end of the server's log when it ended or does not serve in time.
    pub fn start(&self, cache: &Cache) -> Result<Server> {
        let mut tries = 0;
        loop {
            tries += 1;
            let mut server = self.spawn(cache)?;
            match server.wait_ready() {
                Ok(()) => return Ok(server),
                Err(err) => {
                    let tail = server.process.tail();
                    let taken = tail.contains("in use") || tail.contains("BindException");
                    if !(taken && tries < 4) {
                        return Err(err.context(format!("its log ends:\n{tail}")));
                    }
                }
            }
        }
    }

    /// Starts the server without waiting: for starts that are to fail.
    pub fn spawn(&self, cache: &Cache) -> Result<Server> {
        let [client, admin, metrics] = wait::free_ports()?;
        let cfg = self.dir.join("zoo.cfg");
        fs::create_dir_all(self.dir.join("data")).context("create the data folder")?;
        fs::write(&cfg, self.zoo_cfg([client, admin, metrics]))
            .with_context(|| format!("write {}", cfg.display()))?;
        let (name, mut command) = match &self.flavor {
            Flavor::Apache => ("Apache ZooKeeper", self.apache(cache, &cfg)?),
            Flavor::Watchkeeper(binary) => ("watchkeeper server", self.watchkeeper(binary, &cfg)),
        };
        let process = Process::start(name, &mut command, &self.dir.join("log"))?;
        Ok(Server { dir: self.dir.clone(), process, client, admin, metrics })
    }

    fn zoo_cfg(&self, [client, admin, metrics]: [u16; 3]) -> String {
        let mut lines = vec![
            "tickTime=2000".to_owned(),
            format!("dataDir={}", self.dir.join("data").display()),
            format!("clientPort={client}"),
            "clientPortAddress=127.0.0.1".to_owned(),
            "4lw.commands.whitelist=*".to_owned(),
            "maxClientCnxns=0".to_owned(),
        ];
        lines.extend(page_lines(self.version, self.pages, "127.0.0.1", admin, metrics));
        let key = |line: &str| line.split('=').next().unwrap_or_default().to_owned();
        lines.retain(|line| self.extra.iter().all(|extra| key(extra) != key(line)));
        lines.extend(self.extra.iter().cloned());
        lines.join("\n") + "\n"
    }

    fn apache(&self, cache: &Cache, cfg: &Path) -> Result<Command> {
        let mut command = java::server(cache, self.version, &self.jvm_flags)?;
        command.arg(cfg);
        Ok(command)
    }

    fn watchkeeper(&self, binary: &Path, cfg: &Path) -> Command {
        let mut command = Command::new(binary);
        command.arg("server").arg(cfg).env_remove("JVMFLAGS");
        command.env("SERVER_JVMFLAGS", OsString::from(self.jvm_flags.join(" ")));
        command
    }
}

/// The lines of zoo.cfg about the HTTP pages that `version` can have.
pub(crate) fn page_lines(
    version: Version,
    pages: Pages,
    host: &str,
    admin: u16,
    metrics: u16,
) -> Vec<String> {
    let mut lines = Vec::new();
    match pages {
        _ if !version.has_admin() => return lines,
        Pages::Off => return vec!["admin.enableServer=false".to_owned()],
        Pages::On => lines
            .extend([format!("admin.serverAddress={host}"), format!("admin.serverPort={admin}")]),
    }
    if version.has_metrics() {
        lines.extend([
            "metricsProvider.className=\
             org.apache.zookeeper.metrics.prometheus.PrometheusMetricsProvider"
                .to_owned(),
            format!("metricsProvider.httpHost={host}"),
            format!("metricsProvider.httpPort={metrics}"),
        ]);
    }
    lines
}

/// A running server; killed, with its whole process group, when dropped.
#[derive(Debug)]
pub struct Server {
    /// The folder with zoo.cfg, log and `data`.
    pub dir: PathBuf,
    /// The process.
    pub process: Process,
    /// The client port on 127.0.0.1.
    pub client: u16,
    /// AdminServer's port, if pages are on.
    pub admin: u16,
    /// The Prometheus page's port, if pages are on.
    pub metrics: u16,
}

impl Server {
    /// `127.0.0.1:port` for clients.
    pub fn address(&self) -> String {
        format!("127.0.0.1:{}", self.client)
    }

    /// The answer to a four-letter word.
    pub fn four_letter(&self, word: &str) -> Result<String> {
        wait::four_letter(self.client, word)
    }

    /// Waits until the server serves: `srvr` names its mode. An open port says nothing.
    pub fn wait_ready(&mut self) -> Result<()> {
        let client = self.client;
        let ended = wait::until("a serving server", wait::LONG, || {
            if let Some(status) = self.process.ended()? {
                return Ok(Some(Some(status)));
            }
            let answer = wait::four_letter(client, "srvr")?;
            Ok(answer.lines().any(|line| line.starts_with("Mode:")).then_some(None))
        })?;
        match ended {
            None => Ok(()),
            Some(status) => bail!("the server ended at once: {}", describe(status)),
        }
    }

    /// SIGTERM, then waits for the end.
    pub fn stop(&mut self) -> Result<ExitStatus> {
        self.process.terminate(wait::LONG)
    }
}

//! One member of an ensemble: its ports, its files, its process.

use std::ffi::OsStr;
use std::fs;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::process::{Command, ExitStatus};

use anyhow::{Context, Result, bail};
use rustix::process::Signal;

use crate::cache::Cache;
use crate::java;
use crate::process::{Process, bound};
use crate::server::{Pages, page_lines};
use crate::versions::Version;
use crate::wait;

/// Where a member runs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    /// The address that all its ports are bound to.
    pub host: Ipv4Addr,
    /// What comes before `java` on the command line, `ip netns exec NAME` say.
    pub wrapper: Vec<String>,
}

impl Default for Place {
    fn default() -> Self {
        Self { host: Ipv4Addr::LOCALHOST, wrapper: Vec::new() }
    }
}

/// A member as the server list names it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listing {
    /// `myid`.
    pub sid: usize,
    /// Its address.
    pub host: Ipv4Addr,
    /// The ports of quorum, election and clients.
    pub ports: [u16; 3],
    /// Whether it has no vote.
    pub observer: bool,
}

impl Listing {
    /// The line of zoo.cfg. 3.4 refuses the client port after the semicolon.
    fn line(&self, version: Version) -> String {
        let Self { sid, host, ports: [quorum, election, client], observer } = self;
        let role = if *observer { "observer" } else { "participant" };
        if version == Version::V3_4 {
            let role = if *observer { ":observer" } else { "" };
            return format!("server.{sid}={host}:{quorum}:{election}{role}");
        }
        format!("server.{sid}={host}:{quorum}:{election}:{role};{host}:{client}")
    }
}

/// A member. Its public fields say what the next start uses.
#[derive(Debug)]
pub struct Member {
    /// Its place in [`super::Ensemble::members`].
    pub index: usize,
    /// `myid`: one more than the place.
    pub sid: usize,
    /// The release.
    pub version: Version,
    /// Where it runs.
    pub place: Place,
    /// The port of clients.
    pub client: u16,
    /// The port of the leader's followers.
    pub quorum: u16,
    /// The port of elections.
    pub election: u16,
    /// AdminServer's port, if pages are on and the release has it.
    pub admin: u16,
    /// The Prometheus page's port, if pages are on and the release has it.
    pub metrics: u16,
    /// Whether it has no vote.
    pub observer: bool,
    /// Whether its HTTP pages listen.
    pub pages: Pages,
    /// Further lines of zoo.cfg.
    pub lines: Vec<String>,
    /// Further options of Java.
    pub jvm_flags: Vec<String>,
    /// Holds zoo.cfg, the log of the process and `data`.
    pub dir: PathBuf,
    process: Option<Process>,
}

impl Member {
    pub(super) fn new(
        index: usize,
        version: Version,
        place: Place,
        ports: &[u16],
        dir: PathBuf,
    ) -> Result<Self> {
        let &[client, quorum, election, admin, metrics] = ports else {
            bail!("a member has five ports")
        };
        fs::create_dir_all(dir.join("data"))
            .with_context(|| format!("create {}", dir.display()))?;
        Ok(Self {
            index,
            sid: index + 1,
            version,
            place,
            client,
            quorum,
            election,
            admin,
            metrics,
            observer: false,
            pages: Pages::Off,
            lines: Vec::new(),
            jvm_flags: Vec::new(),
            dir,
            process: None,
        })
    }

    /// `host:port` for clients.
    pub fn address(&self) -> String {
        format!("{}:{}", self.place.host, self.client)
    }

    /// The folder with snapshots and logs.
    pub fn data(&self) -> PathBuf {
        self.dir.join("data")
    }

    /// The member as the server list names it.
    pub fn listing(&self) -> Listing {
        Listing {
            sid: self.sid,
            host: self.place.host,
            ports: [self.quorum, self.election, self.client],
            observer: self.observer,
        }
    }

    /// The process id of the server, if it was started. Through a wrapper it is the same: both
    /// `ip netns exec` and `setpriv` become what they start.
    pub fn pid(&self) -> Option<u32> {
        self.process.as_ref().map(Process::id)
    }

    /// Whether it was started and not ended by us.
    pub fn runs(&self) -> bool {
        self.process.is_some()
    }

    /// The exit status, if it was started and has ended by itself.
    ///
    /// # Errors
    /// When the system does not tell.
    pub fn ended(&mut self) -> Result<Option<ExitStatus>> {
        self.process.as_mut().map_or(Ok(None), Process::ended)
    }

    /// The answer to a four-letter word.
    ///
    /// # Errors
    /// When it cannot be reached or does not answer.
    pub fn four_letter(&self, word: &str) -> Result<String> {
        wait::four_letter_at(SocketAddr::from((self.place.host, self.client)), word)
    }

    /// `leader`, `follower`, `observer`, or nothing while it does not serve.
    ///
    /// # Errors
    /// When it cannot be reached or does not answer.
    pub fn mode(&self) -> Result<Option<String>> {
        let answer = self.four_letter("srvr")?;
        let mode = answer.lines().find_map(|line| line.strip_prefix("Mode: "));
        Ok(mode.map(|mode| mode.trim().to_owned()))
    }

    /// All that it has printed, over all its starts.
    pub fn output(&self) -> String {
        let bytes = fs::read(self.dir.join("log")).unwrap_or_default();
        String::from_utf8_lossy(&bytes).into_owned()
    }

    /// The last lines of that.
    pub fn tail(&self) -> String {
        let text = self.output();
        let lines: Vec<&str> = text.lines().collect();
        lines[lines.len().saturating_sub(25)..].join("\n")
    }

    /// Adds a line to its zoo.cfg, from its next start on; replaces one of the same key.
    pub fn set_line(&mut self, line: &str) {
        self.lines.retain(|old| key(old) != key(line));
        self.lines.push(line.to_owned());
    }

    pub(super) fn launch(&mut self, cache: &Cache, list: &[Listing]) -> Result<()> {
        let cfg = self.dir.join("zoo.cfg");
        // Releases from 3.5 on move the list of servers out of a zoo.cfg when told to
        // reconfigure: each start writes it anew.
        fs::write(&cfg, self.zoo_cfg(list)).with_context(|| format!("write {}", cfg.display()))?;
        let myid = self.data().join("myid");
        fs::write(&myid, self.sid.to_string())
            .with_context(|| format!("write {}", myid.display()))?;
        let mut flags = vec!["-Xmx128m".to_owned(), "-Dzookeeper.preAllocSize=64".to_owned()];
        flags.extend(self.jvm_flags.iter().cloned());
        let mut java = java::server(cache, self.version, &flags)?;
        java.arg(&cfg);
        let bound = bound(&java);
        let mut words: Vec<&OsStr> = self.place.wrapper.iter().map(OsStr::new).collect();
        words.push(bound.get_program());
        words.extend(bound.get_args());
        let mut command = Command::new(words[0]);
        command.args(&words[1..]);
        let name = format!("member {} ({})", self.index, self.version.title());
        self.process = Some(Process::start(&name, &mut command, &self.dir.join("log"))?);
        Ok(())
    }

    pub(super) fn zoo_cfg(&self, list: &[Listing]) -> String {
        let host = self.place.host.to_string();
        let mut lines = vec![
            "tickTime=2000".to_owned(),
            "initLimit=10".to_owned(),
            "syncLimit=5".to_owned(),
            format!("dataDir={}", self.data().display()),
            "4lw.commands.whitelist=*".to_owned(),
            "maxClientCnxns=0".to_owned(),
        ];
        lines.extend(page_lines(self.version, self.pages, &host, self.admin, self.metrics));
        if self.version == Version::V3_4 {
            lines.push(format!("clientPort={}", self.client));
            lines.push(format!("clientPortAddress={host}"));
        }
        if self.observer {
            lines.push("peerType=observer".to_owned());
        }
        lines.extend(list.iter().map(|one| one.line(self.version)));
        lines.retain(|line| self.lines.iter().all(|own| key(own) != key(line)));
        lines.extend(self.lines.iter().cloned());
        lines.join("\n") + "\n"
    }

    pub(super) fn kill(&mut self) -> Result<()> {
        self.process.take().map_or(Ok(()), |mut process| process.kill().map(drop))
    }

    pub(super) fn stop(&mut self) -> Result<()> {
        let mut process = self.process.take().context("the member does not run")?;
        process.terminate(wait::LONG).map(drop)
    }

    pub(super) fn signal(&mut self, signal: Signal) -> Result<()> {
        self.process.as_mut().context("the member does not run")?.signal(signal)
    }
}

fn key(line: &str) -> &str {
    line.split('=').next().unwrap_or_default()
}

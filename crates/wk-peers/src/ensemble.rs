//! An ensemble of Apache servers: members that are killed, paused, changed and started again.
//!
//! Members are counted from 0 (`myid` is one more). All of them end with the value, and also when
//! the process that started them is killed (`setpriv --pdeathsig`, where the machine has it).

mod member;

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use rustix::process::Signal;

pub use member::{Listing, Member, Place};

use crate::cache::Cache;
use crate::process::describe;
use crate::server::Pages;
use crate::versions::Version;
use crate::wait;

/// What to start: three voters of one release, tickTime 2000, small heaps, unless told otherwise.
#[derive(Clone, Debug)]
pub struct EnsembleSpec {
    version: Version,
    dir: PathBuf,
    voters: usize,
    observers: usize,
    pages: Pages,
    lines: Vec<String>,
    jvm_flags: Vec<String>,
    places: Vec<Place>,
}

impl EnsembleSpec {
    /// Three voters of `version`, each in a folder of its own below `dir`, which must exist.
    pub fn new(version: Version, dir: &Path) -> Self {
        Self {
            version,
            dir: dir.to_path_buf(),
            voters: 3,
            observers: 0,
            pages: Pages::Off,
            lines: Vec::new(),
            jvm_flags: Vec::new(),
            places: Vec::new(),
        }
    }

    /// How many voters.
    #[must_use]
    pub fn members(mut self, voters: usize) -> Self {
        self.voters = voters;
        self
    }

    /// How many observers beside them; they come after the voters.
    #[must_use]
    pub fn observers(mut self, observers: usize) -> Self {
        self.observers = observers;
        self
    }

    /// Adds a line of zoo.cfg on every member; a key given here replaces ours.
    #[must_use]
    pub fn with(mut self, line: &str) -> Self {
        self.lines.push(line.to_owned());
        self
    }

    /// Adds an option of Java on every member.
    #[must_use]
    pub fn with_jvm_flag(mut self, flag: &str) -> Self {
        self.jvm_flags.push(flag.to_owned());
        self
    }

    /// Lets AdminServer and the Prometheus page listen, as far as the release has them.
    #[must_use]
    pub fn pages(mut self) -> Self {
        self.pages = Pages::On;
        self
    }

    /// Where the members run, in order; loopback of this machine for those that are not named.
    #[must_use]
    pub fn at(mut self, places: Vec<Place>) -> Self {
        self.places = places;
        self
    }

    /// Starts all members and waits until one leads and all serve.
    ///
    /// A port that another process took in between leads to another try with other ports.
    ///
    /// # Errors
    /// With the end of a member's log when one ended or does not serve in time.
    pub fn start(&self, cache: &Cache) -> Result<Ensemble> {
        let mut tries = 0;
        loop {
            tries += 1;
            let mut ensemble = self.spawn(cache)?;
            let Err(err) = ensemble.wait_quorum() else { return Ok(ensemble) };
            let taken = |member: &Member| {
                let log = member.output();
                log.contains("in use") || log.contains("BindException")
            };
            if !(ensemble.members.iter().any(taken) && tries < 4) {
                return Err(err);
            }
            drop(ensemble);
            for sid in 1..=self.voters + self.observers {
                let dir = self.dir.join(sid.to_string());
                std::fs::remove_dir_all(&dir)
                    .with_context(|| format!("empty {}", dir.display()))?;
            }
        }
    }

    /// Starts all members without waiting.
    ///
    /// # Errors
    /// When the jars cannot be fetched or a process cannot be started.
    pub fn spawn(&self, cache: &Cache) -> Result<Ensemble> {
        let mut ensemble = self.prepare(cache)?;
        for index in 0..ensemble.members.len() {
            ensemble.launch(index)?;
        }
        Ok(ensemble)
    }

    /// Chooses ports and folders, starts nothing.
    ///
    /// # Errors
    /// When there are no free ports or a folder cannot be made.
    pub fn prepare(&self, cache: &Cache) -> Result<Ensemble> {
        let count = self.voters + self.observers;
        let ports = wait::lasting_ports(count * 5)?;
        let mut members = Vec::with_capacity(count);
        for (index, ports) in ports.chunks_exact(5).enumerate() {
            let place = self.places.get(index).cloned().unwrap_or_default();
            let dir = self.dir.join((index + 1).to_string());
            let mut member = Member::new(index, self.version, place, ports, dir)?;
            member.observer = index >= self.voters;
            member.pages = self.pages;
            member.lines.clone_from(&self.lines);
            member.jvm_flags.clone_from(&self.jvm_flags);
            members.push(member);
        }
        Ok(Ensemble { members, cache: cache.clone() })
    }
}

/// A running ensemble. Members are killed, with their process groups, when it is dropped.
#[derive(Debug)]
pub struct Ensemble {
    /// The voters, then the observers.
    pub members: Vec<Member>,
    cache: Cache,
}

impl Ensemble {
    /// `127.0.0.1:port` of each member, for clients.
    pub fn addresses(&self) -> Vec<String> {
        self.members.iter().map(Member::address).collect()
    }

    /// All addresses in one connect string.
    pub fn hosts(&self) -> String {
        self.addresses().join(",")
    }

    /// Waits until exactly one member that runs says that it leads, and gives its place.
    ///
    /// # Errors
    /// When there is none in time.
    pub fn leader(&self) -> Result<usize> {
        wait::until("a leader", wait::LONG, || {
            let mut leading = Vec::new();
            for member in self.members.iter().filter(|member| member.runs()) {
                if member.mode().is_ok_and(|mode| mode.as_deref() == Some("leader")) {
                    leading.push(member.index);
                }
            }
            Ok(if let [only] = leading[..] { Some(only) } else { None })
        })
    }

    /// The voters that run and do not lead, in order.
    ///
    /// # Errors
    /// When no member leads in time.
    pub fn followers(&self) -> Result<Vec<usize>> {
        let leader = self.leader()?;
        let follows =
            |member: &&Member| !member.observer && member.runs() && member.index != leader;
        Ok(self.members.iter().filter(follows).map(|member| member.index).collect())
    }

    /// Waits until one member leads and every member that runs serves.
    ///
    /// # Errors
    /// When a member has ended by itself, or not all serve in time; with the end of its log.
    pub fn wait_quorum(&mut self) -> Result<()> {
        for index in 0..self.members.len() {
            if self.members[index].runs() {
                self.wait_serving(index)?;
            }
        }
        self.leader().map(drop)
    }

    /// Waits until a member serves: `srvr` names its mode. An open port says nothing.
    ///
    /// # Errors
    /// When it has ended by itself or does not serve in time; with the end of its log.
    pub fn wait_serving(&mut self, index: usize) -> Result<()> {
        let member = &mut self.members[index];
        let what = format!("member {index} to serve");
        let ended = wait::until(&what, wait::LONG, || {
            if let Some(status) = member.ended()? {
                return Ok(Some(Some(status)));
            }
            Ok(member.mode()?.map(|_| None))
        });
        let tail = || format!("the log of member {index} ends:\n{}", member.tail());
        match ended {
            Ok(None) => Ok(()),
            Ok(Some(status)) => {
                Err(anyhow::anyhow!("member {index} ended: {}", describe(status)).context(tail()))
            }
            Err(err) => Err(err.context(tail())),
        }
    }

    /// Writes the member's zoo.cfg and `myid` as its fields say now and starts it; does not wait.
    ///
    /// # Errors
    /// When it runs already or cannot be started.
    pub fn launch(&mut self, index: usize) -> Result<()> {
        if self.members[index].runs() {
            bail!("member {index} runs already");
        }
        let list: Vec<_> = self.members.iter().map(Member::listing).collect();
        self.launch_with(index, &list)
    }

    /// [`Ensemble::launch`] with another server list than the true one.
    ///
    /// # Errors
    /// When it cannot be started.
    pub fn launch_with(&mut self, index: usize, list: &[Listing]) -> Result<()> {
        self.members[index].launch(&self.cache, list)
    }

    /// kill -9 with the whole process group; returns when it has ended.
    ///
    /// # Errors
    /// When it cannot be killed.
    pub fn kill(&mut self, index: usize) -> Result<()> {
        self.members[index].kill()
    }

    /// SIGTERM, then waits for the end.
    ///
    /// # Errors
    /// When it does not run or does not end in time.
    pub fn stop(&mut self, index: usize) -> Result<()> {
        self.members[index].stop()
    }

    /// SIGSTOP: its ports stay open, nothing answers.
    ///
    /// # Errors
    /// When it does not run.
    pub fn pause(&mut self, index: usize) -> Result<()> {
        self.members[index].signal(Signal::STOP)
    }

    /// SIGCONT.
    ///
    /// # Errors
    /// When it does not run.
    pub fn resume(&mut self, index: usize) -> Result<()> {
        self.members[index].signal(Signal::CONT)
    }

    /// Ends the member by SIGTERM if it runs, starts it again over its data and waits until it
    /// serves. Without a quorum that is never: [`Ensemble::launch`] then.
    ///
    /// # Errors
    /// As of its parts.
    pub fn restart(&mut self, index: usize) -> Result<()> {
        if self.members[index].runs() {
            self.stop(index)?;
        }
        self.launch(index)?;
        self.wait_serving(index)
    }

    /// Adds a line to a member's zoo.cfg, from its next start on; replaces one of the same key.
    pub fn set_line(&mut self, index: usize, line: &str) {
        self.members[index].set_line(line);
    }
}

#[cfg(test)]
mod tests;

//! Disks that are full, slow or broken, for one process or one folder.

use std::fs::{self, File};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use rustix::process::Signal;

use crate::cache::Cache;
use crate::fetch::{Peer, library_path};
use crate::janitor::{Janitor, quote};
use crate::process::{Process, run};
use crate::tools::{is_root, on_path};
use crate::wait;

/// A file system in memory that can be filled; unmounted by its janitor. Needs root.
#[derive(Debug)]
pub struct SmallDisk {
    dir: PathBuf,
}

impl SmallDisk {
    /// Mounts one of `megabytes` on `dir`, which is created.
    ///
    /// # Errors
    /// Without root.
    pub fn mount(janitor: &mut Janitor, dir: &Path, megabytes: u32) -> Result<Self> {
        if !is_root() {
            bail!("mounts need root");
        }
        fs::create_dir_all(dir).with_context(|| format!("create {}", dir.display()))?;
        // Lazily: a server may hold files open there for a moment more.
        janitor.at_end(&format!("umount -l {}", quote(dir)))?;
        let mut mount = Command::new("mount");
        mount.args(["-t", "tmpfs", "-o", &format!("size={megabytes}m"), "tmpfs"]).arg(dir);
        run("mount", &mut mount)?;
        Ok(Self { dir: dir.to_path_buf() })
    }

    /// Takes all the space that is left.
    ///
    /// # Errors
    /// When the file that takes it cannot be made.
    pub fn fill(&self) -> Result<()> {
        let path = self.dir.join("filler");
        let mut file = File::create(&path).with_context(|| format!("create {}", path.display()))?;
        let block = [0x77; 4096];
        loop {
            match file.write(&block) {
                Ok(1..) => (),
                Ok(0) => return Ok(()),
                Err(err) if err.kind() == std::io::ErrorKind::StorageFull => return Ok(()),
                Err(err) => return Err(err).context("fill the disk"),
            }
        }
    }

    /// Gives it back, if it was taken.
    ///
    /// # Errors
    /// When the file that takes it cannot be removed.
    pub fn free(&self) -> Result<()> {
        let path = self.dir.join("filler");
        match fs::remove_file(&path) {
            Err(err) if err.kind() != std::io::ErrorKind::NotFound => {
                Err(err).with_context(|| format!("remove {}", path.display()))
            }
            Ok(()) | Err(_) => Ok(()),
        }
    }
}

/// What happens to the system calls by which a process makes its writes durable.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sync {
    /// Each takes so much longer.
    Slow(Duration),
    /// Each fails with this error (`EIO`, `EROFS`).
    Fails(&'static str),
}

/// strace on a running process, which does to its disk as told; ends when it is dropped.
#[derive(Debug)]
pub struct BadSync {
    strace: Process,
}

impl BadSync {
    /// Attaches to the process `pid` and all its threads.
    ///
    /// # Errors
    /// When strace cannot be fetched or does not attach.
    pub fn attach(cache: &Cache, pid: u32, sync: Sync, log: &Path) -> Result<Self> {
        let inject = match sync {
            Sync::Slow(by) => format!("fsync,fdatasync:delay_enter={}us", by.as_micros()),
            Sync::Fails(error) => format!("fsync,fdatasync:error={error}"),
        };
        let mut command = strace(cache)?;
        command.args(["-f", "-o", "/dev/null", "-e", "trace=fsync,fdatasync", "-e"]);
        command.arg(format!("inject={inject}")).args(["-p", &pid.to_string()]);
        let mut strace = Process::start("strace", &mut command, log)?;
        // Every thread must have its tracer: one that is missed would go on at full speed.
        wait::until("strace to attach", wait::LONG, || {
            if strace.ended()?.is_some() {
                bail!("strace ended:\n{}", strace.tail());
            }
            Ok(all_traced(pid)?.then_some(()))
        })?;
        Ok(Self { strace })
    }
}

impl Drop for BadSync {
    fn drop(&mut self) {
        // SIGINT lets strace detach in order; its threads then go on as before. Killed after that.
        if self.strace.signal(Signal::INT).is_ok() {
            let _ = self.strace.wait(Duration::from_secs(5));
        }
    }
}

fn all_traced(pid: u32) -> Result<bool> {
    let tasks = format!("/proc/{pid}/task");
    for task in fs::read_dir(&tasks).with_context(|| format!("list {tasks}"))? {
        let path = task.with_context(|| format!("list {tasks}"))?.path().join("status");
        // A thread may end while we look.
        let status = fs::read_to_string(path).unwrap_or_default();
        if status.contains("TracerPid:\t0\n") {
            return Ok(false);
        }
    }
    Ok(true)
}

/// The system's strace, else the one that is fetched.
fn strace(cache: &Cache) -> Result<Command> {
    if on_path("strace").is_some() {
        return Ok(Command::new("strace"));
    }
    let tools = Peer::FaultTools.ensure(cache, &|_| ())?;
    let mut command = Command::new(tools.join("usr/bin/strace"));
    command.env("LD_LIBRARY_PATH", library_path(&tools)?);
    Ok(command)
}

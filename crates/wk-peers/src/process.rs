//! A child process in a process group of its own, ended by its id when its owner goes.

use std::ffi::OsStr;
use std::fs::{self, File};
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, bail};
pub use rustix::process::Signal;
use rustix::process::{Pid, kill_process, kill_process_group};

use crate::tools::on_path;
use crate::wait;

/// A running child, its name for messages, and the file that takes its output.
#[derive(Debug)]
pub struct Process {
    name: String,
    child: Child,
    log: PathBuf,
    ended: Option<ExitStatus>,
}

impl Process {
    /// Starts `command` with no input and with both outputs appended to `log`.
    pub fn start(name: &str, command: &mut Command, log: &Path) -> Result<Self> {
        let open = || {
            File::options()
                .create(true)
                .append(true)
                .open(log)
                .with_context(|| format!("open {}", log.display()))
        };
        let child = command
            .stdin(Stdio::null())
            .stdout(open()?)
            .stderr(open()?)
            .process_group(0)
            .spawn()
            .with_context(|| format!("start {name} ({})", command.get_program().display()))?;
        Ok(Self { name: name.to_owned(), child, log: log.to_path_buf(), ended: None })
    }

    /// The process id, which is the id of the group too.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// The exit status, if the process has ended.
    pub fn ended(&mut self) -> Result<Option<ExitStatus>> {
        if self.ended.is_none() {
            self.ended = self.child.try_wait().with_context(|| format!("look at {}", self.name))?;
        }
        Ok(self.ended)
    }

    /// Waits for the end of the process.
    pub fn wait(&mut self, within: Duration) -> Result<ExitStatus> {
        let what = format!("the end of {}", self.name);
        wait::until(&what, within, || self.ended())
    }

    /// Sends `signal` to the process alone.
    pub fn signal(&mut self, signal: Signal) -> Result<()> {
        if self.ended()?.is_some() {
            bail!("{} has already ended", self.name);
        }
        kill_process(self.pid()?, signal).with_context(|| format!("signal {}", self.name))
    }

    /// SIGTERM, then waits for the end.
    pub fn terminate(&mut self, within: Duration) -> Result<ExitStatus> {
        self.signal(Signal::TERM)?;
        self.wait(within)
    }

    /// SIGKILL to the whole group, then waits for the end. Harmless when it has ended.
    pub fn kill(&mut self) -> Result<ExitStatus> {
        if let Some(status) = self.ended()? {
            return Ok(status);
        }
        let group = self.pid()?;
        kill_process_group(group, Signal::KILL).with_context(|| format!("kill {}", self.name))?;
        let status = self.child.wait().with_context(|| format!("wait for {}", self.name))?;
        self.ended = Some(status);
        Ok(status)
    }

    /// What the process has printed so far.
    pub fn output(&self) -> String {
        let bytes = fs::read(&self.log).unwrap_or_default();
        String::from_utf8_lossy(&bytes).into_owned()
    }

    /// The last lines of the output, for error messages.
    pub fn tail(&self) -> String {
        let text = self.output();
        let lines: Vec<&str> = text.lines().collect();
        lines[lines.len().saturating_sub(25)..].join("\n")
    }

    fn pid(&self) -> Result<Pid> {
        let raw = i32::try_from(self.child.id()).context("a process id above i32")?;
        Pid::from_raw(raw).context("a process id of zero")
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // Nobody is left to tell: a child that cannot be killed has ended by itself.
        let _ = self.kill();
    }
}

/// The same command, ended by the kernel when the thread that starts it is gone, so that also a
/// parent that is killed leaves nothing behind. Where `setpriv` is missing, the command unchanged.
#[must_use]
pub fn bound(command: &Command) -> Command {
    let mut words: Vec<&OsStr> = Vec::new();
    if on_path("setpriv").is_some() {
        words.extend(["setpriv", "--pdeathsig", "KILL", "--"].map(OsStr::new));
    }
    words.push(command.get_program());
    words.extend(command.get_args());
    let mut bound = Command::new(words[0]);
    bound.args(&words[1..]);
    for (name, value) in command.get_envs() {
        match value {
            Some(value) => bound.env(name, value),
            None => bound.env_remove(name),
        };
    }
    bound
}

/// `exit 3` or `signal 9`, as a person would say it.
pub fn describe(status: ExitStatus) -> String {
    match (status.code(), status.signal()) {
        (Some(code), _) => format!("exit {code}"),
        (None, Some(signal)) => format!("signal {signal}"),
        (None, None) => "no status".to_owned(),
    }
}

/// Runs `command` to its end and gives its standard output.
///
/// # Errors
/// When it cannot be started or ends with another status than 0; both outputs are in the message.
pub fn run(what: &str, command: &mut Command) -> Result<String> {
    let output = command
        .stdin(Stdio::null())
        .output()
        .with_context(|| format!("{what}: start {}", command.get_program().display()))?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    if output.status.success() {
        return Ok(text);
    }
    let err = String::from_utf8_lossy(&output.stderr);
    bail!("{what}: {}\n{}\n{}", describe(output.status), text.trim_end(), err.trim_end())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_dropped_process_takes_its_children_with_it() {
        let dir = tempfile::tempdir().unwrap();
        let log = dir.path().join("log");
        let mut shell = Command::new("sh");
        shell.args(["-c", "sleep 1000 & echo child $!; wait"]);
        let process = Process::start("shell", &mut shell, &log).unwrap();
        let child = wait::until("the child's id", wait::LONG, || {
            let text = process.output();
            Ok(text.strip_prefix("child ").and_then(|id| id.trim().parse::<i32>().ok()))
        })
        .unwrap();
        drop(process);
        wait::until("the end of the child", wait::LONG, || {
            // A killed orphan may wait for its new parent as a zombie: that is gone too.
            let stat = fs::read_to_string(format!("/proc/{child}/stat")).unwrap_or_default();
            Ok((stat.is_empty() || stat.contains(") Z ")).then_some(()))
        })
        .unwrap();
    }

    #[test]
    fn a_failed_command_shows_status_and_output() {
        let err = run("try", Command::new("sh").args(["-c", "echo out; echo why >&2; exit 3"]));
        let text = format!("{:#}", err.unwrap_err());
        assert!(text.contains("exit 3") && text.contains("out") && text.contains("why"), "{text}");
    }
}

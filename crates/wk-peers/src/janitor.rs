//! Undoes what a test did to the machine, whatever becomes of the test.
//!
//! Namespaces and mounts outlive the process that made them. A janitor is a small shell with a pipe
//! to its owner: it reads how to undo each thing, and when the pipe closes, because the owner is
//! done, has failed, was interrupted or was killed, it does so, the last thing first.

use std::io::Write;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, ChildStdin, Command, Stdio};

use anyhow::{Context, Result};

/// Reads lines; at their end runs all of them in reverse. A line that fails does not stop the rest.
const SCRIPT: &str = r#"trap '' INT TERM HUP
todo=
while IFS= read -r line; do
    todo="$line
$todo"
done
eval "$todo""#;

/// A running janitor; dropping it undoes everything and waits for that.
#[derive(Debug)]
pub struct Janitor {
    child: Child,
    lines: Option<ChildStdin>,
}

impl Janitor {
    /// Starts one with nothing to undo.
    ///
    /// # Errors
    /// When there is no shell.
    pub fn start() -> Result<Self> {
        let mut child = shell(Stdio::piped())?;
        let lines = child.stdin.take();
        Ok(Self { child, lines })
    }

    /// Takes note of a shell command to run at the end, before those noted earlier. Note it before
    /// the thing is done: to undo what was never done does no harm, the reverse does.
    ///
    /// # Errors
    /// When the janitor is gone.
    pub fn at_end(&mut self, command: &str) -> Result<()> {
        let lines = self.lines.as_mut().context("the janitor has ended")?;
        writeln!(lines, "{command}").context("tell the janitor")
    }
}

impl Drop for Janitor {
    fn drop(&mut self) {
        self.lines = None;
        // Nobody is left to tell, and the shell cannot fail but by itself.
        let _ = self.child.wait();
    }
}

fn shell(lines: Stdio) -> Result<Child> {
    Command::new("sh")
        .args(["-c", SCRIPT])
        .stdin(lines)
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        // Ctrl-C on a terminal goes to the owner's group.
        .process_group(0)
        .spawn()
        .context("start the shell that cleans up")
}

/// A path as one word of a shell command.
pub fn quote(path: &Path) -> String {
    format!("'{}'", path.display().to_string().replace('\'', "'\\''"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_thing_is_undone_first_and_a_failure_stops_nothing() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("it's");
        let mut janitor = Janitor::start().unwrap();
        janitor.at_end(&format!("echo first >>{}", quote(&file))).unwrap();
        janitor.at_end("false").unwrap();
        janitor.at_end(&format!("echo 'se  cond' >>{}", quote(&file))).unwrap();
        assert!(!file.exists());
        drop(janitor);
        assert_eq!(std::fs::read_to_string(&file).unwrap(), "se  cond\nfirst\n");
    }

    #[test]
    fn it_undoes_when_its_owner_is_killed() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("done");
        let order = format!("echo 'echo gone >{}'; exec sleep 1000", file.display());
        let mut owner = Command::new("sh")
            .args(["-c", &order])
            .stdout(Stdio::piped())
            .process_group(0)
            .spawn()
            .unwrap();
        let mut janitor = shell(owner.stdout.take().unwrap().into()).unwrap();
        // Killed before its line is there the janitor has nothing to do: let it be written.
        crate::wait::until("the order", crate::wait::LONG, || {
            let name = std::fs::read_to_string(format!("/proc/{}/comm", owner.id()))?;
            Ok((name.trim() == "sleep").then_some(()))
        })
        .unwrap();
        assert!(!file.exists());
        owner.kill().unwrap();
        owner.wait().unwrap();
        janitor.wait().unwrap();
        assert_eq!(std::fs::read_to_string(&file).unwrap(), "gone\n");
    }
}

//! Runs the action that is to cure a node: a process of its own group, with an end.
//!
//! It gets its incident in its environment and as `{node}`-like words among its arguments, never
//! through a shell. Nothing of ours is inherited but the environment.

use std::process::Stdio;
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process_group};
use tokio::io::{AsyncRead, AsyncReadExt};
use tokio::process::{Child, Command};
use tokio::sync::watch;
use wk_alert::Ended;

/// What is kept of what it prints, of each stream: the end.
const OUTPUT_MAX: usize = 4096;
/// How long it has after SIGTERM before SIGKILL.
const GRACE: Duration = Duration::from_secs(5);
/// How long its output is waited for after its end: a child of its own may hold it open.
const OUTPUT_WAIT: Duration = Duration::from_millis(500);

/// What to run, and about what.
#[derive(Clone, Debug)]
pub(crate) struct Action {
    /// Program and arguments; `{incident}`, `{ensemble}`, `{group}` and `{node}` are replaced.
    pub(crate) exec: Vec<String>,
    /// How long it may take.
    pub(crate) timeout: Duration,
    pub(crate) incident: String,
    pub(crate) ensemble: String,
    pub(crate) group: String,
    pub(crate) node: String,
}

/// How it ended, and the end of what it printed.
#[derive(Debug)]
pub(crate) struct Done {
    pub(crate) how: Ended,
    pub(crate) output: String,
}

impl Action {
    /// Runs to its end, to its timeout, or to the monitor's own end (`stop`).
    pub(crate) async fn run(self, mut stop: watch::Receiver<bool>) -> Done {
        let mut child = match self.command().spawn() {
            Ok(child) => child,
            Err(err) => {
                let how = Ended::Failed(format!("cannot start {}: {err}", self.exec[0]));
                return Done { how, output: String::new() };
            }
        };
        let out = tokio::spawn(tail(child.stdout.take()));
        let err = tokio::spawn(tail(child.stderr.take()));
        let how = tokio::select! {
            status = child.wait() => ended(status),
            () = tokio::time::sleep(self.timeout) => {
                end(&mut child).await;
                Ended::TimedOut
            }
            () = async { drop(stop.wait_for(|stop| *stop).await) } => {
                end(&mut child).await;
                Ended::Failed("the monitor was stopped meanwhile".to_owned())
            }
        };
        let mut output = String::new();
        for stream in [out, err] {
            if let Ok(Ok(text)) = tokio::time::timeout(OUTPUT_WAIT, stream).await {
                output.push_str(&text);
            }
        }
        Done { how, output }
    }

    fn command(&self) -> Command {
        let words = [
            ("{incident}", &self.incident),
            ("{ensemble}", &self.ensemble),
            ("{group}", &self.group),
            ("{node}", &self.node),
        ];
        let mut exec = self.exec.iter().map(|word| fill(word, &words));
        let mut command = Command::new(exec.next().unwrap_or_default());
        command.args(exec).process_group(0).kill_on_drop(true);
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        command.env("WATCHKEEPER_INCIDENT", &self.incident);
        command.env("WATCHKEEPER_ENSEMBLE", &self.ensemble);
        command.env("WATCHKEEPER_GROUP", &self.group);
        command.env("WATCHKEEPER_NODE", &self.node);
        command
    }
}

/// Replaces the placeholders in one go: a node that is called `{group}` stays what it is.
fn fill(word: &str, values: &[(&str, &String)]) -> String {
    let mut out = String::with_capacity(word.len());
    let mut rest = word;
    while let Some(at) = rest.find('{') {
        out.push_str(&rest[..at]);
        rest = &rest[at..];
        let known = values.iter().find(|(name, _)| rest.starts_with(name));
        let taken = known.map_or(1, |(name, _)| name.len());
        out.push_str(known.map_or("{", |(_, value)| value.as_str()));
        rest = &rest[taken..];
    }
    out + rest
}

fn ended(status: std::io::Result<std::process::ExitStatus>) -> Ended {
    match status {
        Ok(status) => match status.code() {
            Some(code) => Ended::Exited(code),
            None => Ended::Failed(status.to_string()),
        },
        Err(err) => Ended::Failed(err.to_string()),
    }
}

/// SIGTERM to the whole group, SIGKILL to what is left of it.
async fn end(child: &mut Child) {
    let group = child.id().and_then(|id| i32::try_from(id).ok()).and_then(Pid::from_raw);
    let Some(group) = group else { return };
    let _ = kill_process_group(group, Signal::TERM);
    let _ = tokio::time::timeout(GRACE, child.wait()).await;
    // What the program itself left behind, too; nobody can have taken the group's number yet
    // unless the group is empty, and then nobody is hit.
    let _ = kill_process_group(group, Signal::KILL);
    let _ = child.wait().await;
}

/// Reads to the end and keeps the last bytes.
async fn tail(stream: Option<impl AsyncRead + Unpin>) -> String {
    let Some(mut stream) = stream else { return String::new() };
    let mut kept = Vec::new();
    let mut buffer = [0; 4096];
    while let Ok(len) = stream.read(&mut buffer).await {
        if len == 0 {
            break;
        }
        kept.extend_from_slice(&buffer[..len]);
        let over = kept.len().saturating_sub(OUTPUT_MAX);
        kept.drain(..over);
    }
    String::from_utf8_lossy(&kept).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn action(exec: &[&str]) -> Action {
        Action {
            exec: exec.iter().map(|&word| word.to_owned()).collect(),
            timeout: Duration::from_mins(1),
            incident: "i-1".to_owned(),
            ensemble: "e".to_owned(),
            group: "g".to_owned(),
            node: "{group} $(n)".to_owned(),
        }
    }

    async fn run(action: Action) -> Done {
        let (_stop, stopped) = watch::channel(false);
        action.run(stopped).await
    }

    #[tokio::test]
    async fn arguments_and_environment_name_the_node_and_no_shell_reads_them() {
        let script = "printf '%s|' \"$@\" $WATCHKEEPER_INCIDENT $WATCHKEEPER_GROUP; exit 3";
        let done = run(action(&["sh", "-c", script, "x", "{node}-{ensemble}", "{other}"])).await;
        assert_eq!(done.how, Ended::Exited(3));
        assert_eq!(done.output, "{group} $(n)-e|{other}|i-1|g|");
    }

    #[tokio::test]
    async fn a_timeout_ends_the_whole_group() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("child");
        let script =
            format!("sleep 600 & echo $! >{0}.part; mv {0}.part {0}; wait", file.display());
        // On a busy machine the shell may not get so far within the shortest of these.
        let mut child = None;
        for timeout in [2, 10, 50].map(Duration::from_secs) {
            let done = run(Action { timeout, ..action(&["sh", "-c", &script]) }).await;
            assert_eq!(done.how, Ended::TimedOut);
            child = std::fs::read_to_string(&file).ok();
            if child.is_some() {
                break;
            }
        }
        let stat = format!("/proc/{}/stat", child.unwrap().trim());
        let is_gone = || std::fs::read_to_string(&stat).map_or(true, |stat| stat.contains(") Z "));
        let mut gone = is_gone();
        for _ in 0..600 {
            if gone {
                break;
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
            gone = is_gone();
        }
        assert!(gone, "the child of the action lives on");
    }

    #[tokio::test]
    async fn what_cannot_start_and_what_dies_is_said() {
        let none = run(action(&["/nonexistent/program"])).await.how;
        assert!(matches!(&none, Ended::Failed(why) if why.contains("/nonexistent/program")));
        let killed = run(action(&["sh", "-c", "kill -9 $$"])).await.how;
        assert!(matches!(&killed, Ended::Failed(why) if why.contains("signal: 9")), "{killed:?}");
    }

    #[tokio::test]
    async fn the_monitors_end_ends_it_and_much_output_is_cut() {
        let (stop, stopped) = watch::channel(false);
        let running = tokio::spawn(action(&["sleep", "600"]).run(stopped));
        stop.send_replace(true);
        let done = running.await.unwrap();
        assert!(matches!(done.how, Ended::Failed(_)), "{done:?}");
        let much = run(action(&["sh", "-c", "yes | head -c 100000; echo last >&2"])).await;
        assert_eq!(much.output.len(), OUTPUT_MAX + "last\n".len());
        assert!(much.output.ends_with("last\n"));
    }
}

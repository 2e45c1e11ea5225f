//! Builds the tests once and runs the executables that came out.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::mpsc;
use std::thread;

use anyhow::{Context, Result, bail};
use serde_json::Value;
use wk_peers::cache::workspace_root;

use crate::report::Report;

/// A built test executable.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct TestBinary {
    /// The package, e.g. `wk-proto`.
    pub(crate) package: String,
    /// The target: the library's name, or that of a file in `tests/`.
    pub(crate) target: String,
    /// Where cargo put it.
    pub(crate) executable: PathBuf,
    /// The package's folder, in which cargo runs tests.
    pub(crate) dir: PathBuf,
}

/// How a run of a test executable ended.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Counts {
    /// Tests that passed.
    pub(crate) passed: u64,
    /// Tests that failed; at least 1 when the executable itself failed.
    pub(crate) failed: u64,
    /// `peer-tests: NAME N` lines: tests that a peer's own suite ran inside one of ours.
    pub(crate) inner: BTreeMap<String, u64>,
}

/// `cargo` as the one that runs us, in the workspace.
pub(crate) fn cargo(args: &[&str]) -> Command {
    let mut command = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    command.args(args).current_dir(workspace_root()).stdin(Stdio::null());
    command
}

/// Runs a cargo command that is one check.
pub(crate) fn check(report: &mut Report, name: &str, args: &[&str]) {
    report.begin(name);
    match lines_of(&mut cargo(args), |line| report.progress(line.trim())) {
        Ok((true, _)) => report.pass(name),
        Ok((false, text)) => report.fail(name, &text),
        Err(err) => report.fail(name, &format!("{err:#}")),
    }
}

/// Builds all tests of `command` (a `cargo test --no-run ...`) and gives the executables.
///
/// # Errors
/// When something does not compile; the compiler's words are in the error.
pub(crate) fn build(report: &mut Report, mut command: Command) -> Result<Vec<TestBinary>> {
    command.arg("--message-format=json-render-diagnostics");
    let mut found = Vec::new();
    let mut built = 0_u64;
    let (ok, said) = lines_of(&mut command, |line| {
        let Ok(message) = serde_json::from_str::<Value>(line) else { return };
        if message["reason"] != "compiler-artifact" {
            return;
        }
        built += 1;
        let target = message["target"]["name"].as_str().unwrap_or_default();
        report.progress(&format!("{built} units, {target}"));
        if message["profile"]["test"] == true
            && let Some(test) = test_binary(&message)
        {
            found.push(test);
        }
    })?;
    if !ok {
        let text: Vec<&str> = said.lines().filter(|line| !line.starts_with('{')).collect();
        bail!("the tests do not compile:\n{}", text.join("\n"));
    }
    found.sort_by(|a, b| (&a.package, &a.target).cmp(&(&b.package, &b.target)));
    Ok(found)
}

fn test_binary(message: &Value) -> Option<TestBinary> {
    let manifest = Path::new(message["manifest_path"].as_str()?);
    let dir = manifest.parent()?.to_path_buf();
    Some(TestBinary {
        package: dir.file_name()?.to_str()?.to_owned(),
        target: message["target"]["name"].as_str()?.to_owned(),
        executable: PathBuf::from(message["executable"].as_str()?),
        dir,
    })
}

impl TestBinary {
    /// The names of all tests in it.
    pub(crate) fn tests(&self) -> Result<Vec<String>> {
        let text = wk_peers::process::run(&self.target, self.command().args(["--list"]))?;
        let name = |line: &str| line.strip_suffix(": test").map(str::to_owned);
        Ok(text.lines().filter_map(name).collect())
    }

    /// Runs the tests that `args` (of the test executable) select; the output of failures is shown.
    pub(crate) fn run(&self, report: &mut Report, args: &[&str]) -> Result<Counts> {
        let mut command = self.command();
        command.args(args);
        run_tests(report, &mut command)
    }

    fn command(&self) -> Command {
        let mut command = Command::new(&self.executable);
        command
            .current_dir(&self.dir)
            .env("CARGO_MANIFEST_DIR", &self.dir)
            .env("CARGO_PKG_NAME", &self.package)
            // The line of the panic is enough; a hundred frames bury it.
            .env("RUST_BACKTRACE", "0")
            .stdin(Stdio::null());
        command
    }
}

/// Runs a command that prints as Rust's test harness does, and counts.
pub(crate) fn run_tests(report: &mut Report, command: &mut Command) -> Result<Counts> {
    let mut done = 0_u64;
    let (ok, text) = lines_of(command, |line| {
        if let Some(rest) = line.strip_prefix("test ") {
            done += 1;
            report.progress(&format!("{done} done, {}", rest.trim_end_matches(" ... ok")));
        }
    })?;
    let mut counts = counts_of(&text);
    if !ok {
        counts.failed = counts.failed.max(1);
        report.say(text.trim_end());
    }
    Ok(counts)
}

/// Reads the closing lines of Rust's test harness.
fn counts_of(text: &str) -> Counts {
    let mut counts = Counts::default();
    for line in text.lines() {
        if let Some(rest) = line.strip_prefix("test result: ") {
            let mut words = rest.split_whitespace().peekable();
            while let Some(word) = words.next() {
                let Ok(number) = word.parse::<u64>() else { continue };
                match words.peek() {
                    Some(what) if what.starts_with("passed") => counts.passed += number,
                    Some(what) if what.starts_with("failed") => counts.failed += number,
                    _ => (),
                }
            }
        } else if let Some(rest) = line.strip_prefix("peer-tests: ")
            && let Some((name, number)) = rest.rsplit_once(' ')
            && let Ok(number) = number.parse::<u64>()
        {
            *counts.inner.entry(name.to_owned()).or_default() += number;
        }
    }
    counts
}

/// Runs `command`, hands each line of both outputs to `seen`, and gives success and all lines.
pub(crate) fn lines_of(
    command: &mut Command,
    mut seen: impl FnMut(&str),
) -> Result<(bool, String)> {
    let mut child = command
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .with_context(|| format!("start {}", command.get_program().display()))?;
    let (send, lines) = mpsc::sync_channel(1024);
    let streams: [Box<dyn Read + Send>; 2] = [
        Box::new(child.stdout.take().context("its output is piped")?),
        Box::new(child.stderr.take().context("its errors are piped")?),
    ];
    let readers = streams.map(|stream| {
        let send = send.clone();
        thread::spawn(move || {
            let mut reader = BufReader::new(stream);
            let mut line = Vec::new();
            while reader.read_until(b'\n', &mut line).is_ok_and(|read| read > 0) {
                let text = String::from_utf8_lossy(&line).into_owned();
                if send.send(text).is_err() {
                    return;
                }
                line.clear();
            }
        })
    });
    drop(send);
    let mut text = String::new();
    for line in lines {
        seen(line.trim_end());
        text += &line;
    }
    for reader in readers {
        // A reader cannot panic; if it did, the text is short and the status still tells.
        drop(reader.join());
    }
    let status = child.wait().context("wait for the end")?;
    Ok((status.success(), text))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn closing_lines_are_summed() {
        let text = "running 2 tests\ntest a ... ok\ntest result: ok. 2 passed; 0 failed; \
                    0 measured; 0 filtered out; finished in 0.1s\npeer-tests: kazoo 200\n\
                    test result: FAILED. 1 passed; 3 failed; 0 ignored; 0 measured\n";
        let counts = counts_of(text);
        assert_eq!((counts.passed, counts.failed), (3, 3));
        assert_eq!(counts.inner["kazoo"], 200);
    }

    #[test]
    fn a_failed_command_keeps_both_outputs() {
        let mut lines = Vec::new();
        let mut shell = Command::new("sh");
        shell.args(["-c", "echo one; echo two >&2; exit 1"]);
        let (ok, text) = lines_of(&mut shell, |line| lines.push(line.to_owned())).unwrap();
        lines.sort();
        assert_eq!((ok, lines), (false, vec!["one".to_owned(), "two".to_owned()]));
        assert!(text.contains("one\n") && text.contains("two\n"));
    }
}

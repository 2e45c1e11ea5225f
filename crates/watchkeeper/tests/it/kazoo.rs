//! kazoo 2.11.0: its own test suite, unmodified, against the server under test.
//!
//! kazoo's harness runs `java` from PATH with a zoo.cfg that always configures TLS and SASL. A
//! stand-in of that name strips these lines and starts our server. `kazoo/left-out.txt` lists what
//! cannot run so, with reasons; everything else must pass, and no test may skip itself.

use std::fs;
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use wk_peers::{Flavor, Peer, Process, wait};

use crate::harness::{peer, subject_spec};

/// `FILE or FILE::CLASS::TEST`, two spaces, the reason.
const LEFT_OUT: &str = include_str!("kazoo/left-out.txt");

/// Three parts that take about the same time. What is in neither of the first two is in the rest.
const CLIENT: &[&str] = &["test_client.py", "test_connection.py", "test_watchers.py"];
const HANDLERS: &[&str] = &[
    "test_eventlet_handler.py",
    "test_gevent_handler.py",
    "test_selectors_select.py",
    "test_threading_handler.py",
];

#[test]
fn own_tests_of_client_and_watchers_pass() {
    suite(CLIENT, 130);
}

#[test]
fn own_tests_of_all_handlers_pass() {
    suite(HANDLERS, 180);
}

#[test]
fn own_tests_of_recipes_pass() {
    let tests = tests_folder();
    let files = wk_peers::fetch::files(&tests, "py").unwrap();
    let names: Vec<String> =
        files.iter().map(|path| path.file_name().unwrap().to_str().unwrap().to_owned()).collect();
    let rest: Vec<&str> = names
        .iter()
        .map(String::as_str)
        .filter(|name| name.starts_with("test_"))
        .filter(|name| !CLIENT.contains(name) && !HANDLERS.contains(name))
        .collect();
    suite(&rest, 135);
}

/// Runs the tests in `files`; at least `passed_min` must pass and none fail or skip.
fn suite(files: &[&str], passed_min: u64) {
    let dir = tempfile::tempdir().unwrap();
    let bin = dir.path().join("bin");
    fs::create_dir(&bin).unwrap();
    stand_in(&bin.join("java"), dir.path());
    // An own configuration: kazoo's prints every log line of every test.
    let config = dir.path().join("pytest.ini");
    fs::write(&config, "[pytest]\n").unwrap();
    let tests = tests_folder();
    let chosen = files.iter().filter(|file| !left_out().any(|(what, _)| what == **file));
    let mut pytest = Command::new(peer(Peer::Python).join("bin/python"));
    pytest
        .args(["-m", "pytest", "-q", "-rfEs", "--color=no", "-p", "no:cacheprovider"])
        .args(["-p", "no:logging", "-W", "ignore"])
        // Only a guard against a hang: the slowest test takes some ten seconds.
        .args(["--timeout", "300", "-c"])
        .arg(&config)
        .arg(format!("--rootdir={}", tests.display()))
        .args(chosen.map(|file| tests.join(file)))
        .current_dir(&tests)
        .env("PATH", format!("{}:{}", bin.display(), std::env::var("PATH").unwrap()))
        .env("PYTHONDONTWRITEBYTECODE", "1")
        .env("ZOOKEEPER_VERSION", "3.9.5")
        .env("ZOOKEEPER_CLASSPATH", "unused")
        .env("ZOOKEEPER_CLUSTER_SIZE", "1")
        .env("ZOOKEEPER_PORT_OFFSET", five_free_ports().to_string())
        .env_remove("CI");
    for (what, _) in left_out().filter(|(what, _)| what.contains("::")) {
        pytest.arg(format!("--deselect={what}"));
    }
    let log = dir.path().join("pytest.log");
    let mut process = Process::start("kazoo's tests", &mut pytest, &log).unwrap();
    let status = process.wait(Duration::from_hours(1)).unwrap();
    let text = process.output();
    let count = |what| count_of(&text, what);
    assert!(
        status.success() && count("failed") == 0 && count("error") == 0,
        "kazoo's own tests failed; the end of their output:\n{}",
        end_of(&text)
    );
    assert_eq!(count("skipped"), 0, "a test skipped itself:\n{}", end_of(&text));
    assert!(count("passed") >= passed_min, "only {} ran:\n{}", count("passed"), end_of(&text));
    println!("\npeer-tests: kazoo's own {}", count("passed"));
}

#[test]
fn every_test_left_out_exists() {
    let tests = tests_folder();
    for (what, why) in left_out() {
        let mut parts = what.split("::");
        let file = parts.next().unwrap();
        let text = fs::read_to_string(tests.join(file)).unwrap_or_else(|err| {
            panic!("{what}: {err}");
        });
        for name in parts {
            // A test may stand in a base class of another file: the name must stand somewhere.
            let known = text.contains(name)
                || fs::read_to_string(tests.join("test_client.py")).unwrap().contains(name);
            assert!(known, "{what}: there is no {name}");
        }
        assert!(!why.is_empty(), "{what} is left out without a reason");
    }
}

fn left_out() -> impl Iterator<Item = (&'static str, &'static str)> {
    LEFT_OUT
        .lines()
        .filter(|line| !line.is_empty() && !line.starts_with('#'))
        .map(|line| line.split_once("  ").unwrap_or((line, "")))
}

fn tests_folder() -> PathBuf {
    peer(Peer::Python).join("sdist/kazoo-2.11.0/kazoo/tests")
}

/// Writes the program that kazoo's harness takes for `java`: its last argument is the zoo.cfg.
fn stand_in(path: &Path, dir: &Path) {
    let start = match subject_spec(dir).flavor {
        Flavor::Watchkeeper(binary) => {
            format!(
                "exec env SERVER_JVMFLAGS=\"$flags\" '{}' server \"$cfg.plain\"",
                binary.display()
            )
        }
        Flavor::Apache => {
            let java = wk_peers::tools::on_path("java").unwrap();
            let jars = peer(Peer::ZooKeeper);
            format!(
                "exec '{}' -Xmx256m -XX:TieredStopAtLevel=1 -cp '{}/*' $flags \
                 org.apache.zookeeper.server.quorum.QuorumPeerMain \"$cfg.plain\"",
                java.display(),
                jars.display()
            )
        }
    };
    let script = format!(
        "#!/bin/sh\n\
         flags=\n\
         for cfg; do case $cfg in -Dzookeeper.Digest*) flags=\"$flags $cfg\";; esac; done\n\
         grep -v -E '^(secureClientPort|serverCnxnFactory|authProvider|ssl\\.)' \"$cfg\" \
         >\"$cfg.plain\"\n\
         {start} >>'{}/server.log' 2>&1\n",
        dir.display()
    );
    fs::write(path, script).unwrap();
    fs::set_permissions(path, fs::Permissions::from_mode(0o755)).unwrap();
}

/// The first of five free ports in a row: the harness counts up from there.
fn five_free_ports() -> u16 {
    wait::until("five free ports in a row", wait::LONG, || {
        let [first] = wait::free_ports()?;
        let row = first..=first.saturating_add(4);
        let held: Vec<_> = row.map(|port| TcpListener::bind(("127.0.0.1", port))).collect();
        Ok((held.len() == 5 && held.iter().all(Result::is_ok)).then_some(first))
    })
    .unwrap()
}

/// The number before `what` in pytest's closing line, e.g. `2 failed, 30 passed in 3s`.
fn count_of(text: &str, what: &str) -> u64 {
    // Threads that outlive the tests may print after it.
    let is_closing = |line: &&str| line.contains(" in ") && line.contains("passed");
    let closing = text.lines().rev().find(is_closing).unwrap_or_default();
    let words: Vec<&str> = closing.split([' ', ',']).filter(|word| !word.is_empty()).collect();
    let at = words.iter().position(|word| word.starts_with(what)).unwrap_or(0);
    at.checked_sub(1).and_then(|at| words[at].parse().ok()).unwrap_or(0)
}

fn end_of(text: &str) -> String {
    let lines: Vec<&str> = text.lines().collect();
    lines[lines.len().saturating_sub(120)..].join("\n")
}

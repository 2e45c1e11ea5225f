//! `up` and `demo` as a user types them: what they print, whom they refuse, what they leave behind;
//! and a killed member followed to the end of its incident. A killed server is in `alarm`.

use std::path::Path;
use std::process::{Command, Output};

use serde_json::Value;
use tempfile::TempDir;
use wk_peers::Process;
use wk_peers::wait::{LONG, http_get, until};

use crate::harness::binary;

/// A running `up` on ports of its own.
pub(crate) struct Up {
    pub(crate) process: Process,
    pub(crate) client: u16,
    pub(crate) web: u16,
    dir: TempDir,
}

impl Up {
    /// Our own server, monitor and web.
    pub(crate) fn start() -> Self {
        Self::start_with(&["--client", "127.0.0.1:0"])
    }

    /// `up` with `args`, its data in a folder of its own, its pages in English.
    pub(crate) fn start_with(args: &[&str]) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let process = spawn(dir.path(), "up.log", args);
        Self::wait(process, dir)
    }

    fn wait(mut process: Process, dir: TempDir) -> Self {
        let web = until("the address of the pages", LONG, || {
            if let Some(status) = process.ended()? {
                panic!("up ended at once ({status}):\n{}", process.tail());
            }
            Ok(port_after(&process.output(), "http://127.0.0.1:"))
        })
        .unwrap();
        let client = port_after(&process.output(), "server       127.0.0.1:").unwrap_or(0);
        let up = Self { process, client, web, dir };
        until("a monitor that is ready", LONG, || {
            let (status, _) = http_get(up.web, "/readyz")?;
            Ok(status.contains(" 200 ").then_some(()))
        })
        .unwrap();
        up
    }

    /// The answer of the API.
    pub(crate) fn api(&self, path: &str) -> Value {
        let (status, body) = http_get(self.web, path).unwrap();
        assert!(status.contains(" 200 "), "{path}: {status}\n{body}");
        serde_json::from_str(&body).unwrap()
    }

    /// Waits for the incident of `rule` to be in `state`.
    pub(crate) fn incident(&self, rule: &str, state: &str) -> Value {
        until(&format!("{rule} to be {state}"), LONG, || {
            let all = self.api("/api/v1/incidents");
            let mut all = all["incidents"].as_array().into_iter().flatten();
            Ok(all.find(|i| i["rule"] == rule && i["state"] == state).cloned())
        })
        .unwrap_or_else(|err| panic!("{err:#}\n{}", self.process.tail()))
    }

    /// A member of the registry: a process of its own, killed on drop.
    pub(crate) fn member(&self, id: &str) -> Process {
        let address = format!("127.0.0.1:{}", self.client);
        let mut command = Command::new(binary());
        command.args(["member", "join", id, "-s", &address, "--session-timeout", "4s"]);
        let log = self.dir.path().join(id.replace('/', "-"));
        let member = Process::start("member", &mut command, &log).unwrap();
        until(&format!("{id} to be up"), LONG, || {
            let nodes = self.api("/api/v1/nodes");
            let mut nodes = nodes["nodes"].as_array().into_iter().flatten();
            let path = format!("/nodes/{id}");
            Ok(nodes
                .any(|node| node["path"] == path.as_str() && node["state"] == "up")
                .then_some(()))
        })
        .unwrap_or_else(|err| panic!("{err:#}\n{}", member.tail()));
        member
    }
}

fn spawn(dir: &Path, log: &str, args: &[&str]) -> Process {
    let mut command = Command::new(binary());
    command.arg("up").args(["--web", "127.0.0.1:0", "--lang", "en", "--data"]);
    command.arg(dir.join("data")).args(args);
    Process::start("up", &mut command, &dir.join(log)).unwrap()
}

fn port_after(text: &str, before: &str) -> Option<u16> {
    let (_, rest) = text.split_once(before)?;
    let digits: String = rest.chars().take_while(char::is_ascii_digit).collect();
    digits.parse().ok()
}

/// Runs the binary to its end.
fn run(args: &[&str]) -> Output {
    Command::new(binary()).args(args).output().unwrap()
}

fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

#[test]
fn killed_member_is_one_incident_from_page_to_terminal() {
    let up = Up::start();
    let mut member = up.member("web/one");
    let _other = up.member("web/two");
    member.kill().unwrap();
    let firing = up.incident("NodeDown", "firing");
    let id = firing["id"].as_str().unwrap();
    assert_eq!((firing["group"].as_str(), firing["node"].as_str()), (Some("web"), Some("one")));
    let (_, page) = http_get(up.web, &format!("/incidents/{id}")).unwrap();
    assert!(page.contains("What was seen") && page.contains("/nodes/web/one"), "{page}");
    let (_, fleet) = http_get(up.web, "/").unwrap();
    assert!(fleet.contains("One thing needs you") && fleet.contains(id), "{fleet}");
    let (_, metrics) = http_get(up.web, "/metrics").unwrap();
    let down = "watchkeeper_node_alive{ensemble=\"local\",group=\"web\",node=\"one\"} 0";
    assert!(metrics.contains(down), "{metrics}");

    let _again = up.member("web/one");
    let resolved = up.incident("NodeDown", "resolved");
    assert_eq!(resolved["id"], id, "one episode, one id");
    until("the lines on the terminal", LONG, || {
        let text = up.process.output();
        let url = format!("/incidents/{id}");
        let both = text.contains("WARNING") && text.contains("RESOLVED");
        Ok((both && text.matches(&url).count() == 2).then_some(()))
    })
    .unwrap();
}

#[test]
fn member_that_leaves_is_no_incident() {
    let up = Up::start();
    let mut member = up.member("one");
    member.terminate(LONG).unwrap();
    until("the node to have left", LONG, || {
        let nodes = up.api("/api/v1/nodes");
        Ok((nodes["nodes"][0]["state"] == "left").then_some(()))
    })
    .unwrap();
    assert_eq!(up.api("/api/v1/incidents")["incidents"], Value::Array(Vec::new()));
}

#[test]
fn taken_port_names_the_option_that_changes_it() {
    let up = Up::start();
    let (dir, free) = (tempfile::tempdir().unwrap(), "127.0.0.1:0");
    let data = dir.path().join("data");
    let data = data.to_str().unwrap();
    let (client, web) = (format!("127.0.0.1:{}", up.client), format!("127.0.0.1:{}", up.web));
    let output = run(&["up", "--client", &client, "--web", free, "--data", data]);
    assert_eq!(output.status.code(), Some(1));
    assert!(stderr(&output).contains("--client ADDR changes it"), "{}", stderr(&output));
    let output = run(&["up", "--client", free, "--web", &web, "--data", data]);
    assert_eq!(output.status.code(), Some(1));
    assert!(stderr(&output).contains("--web ADDR changes it"), "{}", stderr(&output));
}

#[test]
fn second_instance_on_the_same_data_is_refused() {
    let up = Up::start();
    let data = up.dir.path().join("data");
    let free = "127.0.0.1:0";
    let output = run(&["up", "--client", free, "--web", free, "--data", data.to_str().unwrap()]);
    assert_eq!(output.status.code(), Some(1));
    let said = stderr(&output);
    assert!(said.contains("in use by another watchkeeper"), "{said}");
    assert!(said.contains(&format!("process {}", up.process.id())), "{said}");
}

#[test]
fn misuse_is_refused_before_anything_starts() {
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().join("data");
    let data = data.to_str().unwrap();
    for (args, word) in [
        (&["--web", "0.0.0.0:0"][..], "--insecure"),
        (&["--client", "127.0.0.1:0", "zk1:2181"], "--client"),
        (&["zk1"], "HOST:PORT"),
        (&["--notify", "gopher://x"], "--notify"),
        (&["--lang", "de"], "en or zh"),
    ] {
        let args: Vec<&str> = ["up", "--data", data].iter().chain(args).copied().collect();
        let output = run(&args);
        assert_eq!(output.status.code(), Some(2), "{args:?}: {}", stderr(&output));
        assert!(stderr(&output).contains(word), "{args:?}: {}", stderr(&output));
    }
    assert!(!dir.path().join("data").exists());
}

#[test]
fn sigterm_stops_gracefully_and_data_is_there_at_the_next_start() {
    let mut up = Up::start();
    let address = format!("127.0.0.1:{}", up.client);
    assert!(run(&["create", "-s", &address, "/kept", "value"]).status.success());
    let status = up.process.terminate(LONG).unwrap();
    assert_eq!(status.code(), Some(0), "{}", up.process.tail());
    let data = up.dir.path().join("data");
    assert!(data.join("zookeeper/version-2").is_dir() && data.join("monitor.redb").is_file());

    let again = Up::wait(spawn(up.dir.path(), "again.log", &["--client", &address]), up.dir);
    let kept = run(&["get", "-s", &format!("127.0.0.1:{}", again.client), "/kept"]);
    assert!(String::from_utf8_lossy(&kept.stdout).contains("value"), "{}", stderr(&kept));
}

#[test]
fn settings_come_from_the_file_and_options_win() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("watchkeeper.toml");
    let text = "[server]\nclient = \"127.0.0.1:0\"\n[web]\nlisten = \"0.0.0.0:0\"\n\
                [channel.ops]\nurl = \"webhook+http://127.0.0.1:9/x\"\n";
    std::fs::write(&file, text).unwrap();
    let up = Up::start_with(&["--config", file.to_str().unwrap()]);
    assert_ne!(up.client, 0, "the file's client address");
    assert!(up.process.output().contains("ops"), "{}", up.process.output());
    assert_eq!(up.api("/api/v1/fleet")["channels"][0]["name"], "ops");
}

#[test]
fn demo_shows_a_death_and_a_return_and_leaves_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let free = "127.0.0.1:0";
    let output = Command::new(binary())
        .args(["demo", "--once", "--lang", "en", "--client", free, "--web", free])
        .env("TMPDIR", dir.path())
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{text}\n{}", stderr(&output));
    let steps =
        ["five nodes", "killing shop/web-2", "WARNING", "/incidents/", "starting", "RESOLVED"];
    for step in steps {
        assert!(text.contains(step), "no {step:?} in\n{text}");
    }
    assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 0, "the folder is removed");
}

//! What only the host knows of our own server: on its metrics page and inside `up`, under the names
//! of an agent's page, so that the rules judge it without an agent.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Command;

use serde_json::Value;
use wk_peers::Process;
use wk_peers::wait::{LONG, http_get, until};

use crate::harness::{binary, subject_with_pages};
use crate::up::Up;

/// True of every disk: the smallest threshold that there is.
const RULES: &str = "\
groups:
  - name: own
    rules:
      - alert: DiskSeen
        expr: watchkeeper_server_disk_free_bytes / watchkeeper_server_disk_size_bytes < 1
        labels: {severity: warning}
        annotations: {summary: \"{{ $labels.dir }} of {{ $labels.instance }}\"}
";

/// watchkeeper.toml with that rule, a shipped one made sharp, and what `more` says.
fn config(dir: &Path, more: &str) -> String {
    std::fs::write(dir.join("own.yml"), RULES).unwrap();
    let sharp = "{ snapshots = -1, for = \"0s\", watchkeeper_for = \"0s\" }";
    let text = format!(
        "{more}[rules]\nfiles = [\"own.yml\"]\nthresholds = {{ ZkLogsNotPurged = {sharp} }}\n"
    );
    let path = dir.join("watchkeeper.toml");
    std::fs::write(&path, text).unwrap();
    path.display().to_string()
}

fn incident(up: &Up, rule: &str, ensemble: &str, what: (&str, &str)) -> Value {
    let found = until(&format!("{rule} of {ensemble}"), LONG, || {
        let all = up.api("/api/v1/incidents");
        let mut all = all["incidents"].as_array().into_iter().flatten();
        let is_it = |i: &&Value| i["rule"] == rule && i["ensemble"] == ensemble;
        Ok(all.find(is_it).cloned())
    });
    let incident = found.unwrap_or_else(|err| panic!("{err:#}\n{}", up.process.tail()));
    assert_eq!(incident["labels"][what.0], what.1, "{incident}");
    incident
}

#[test]
fn the_page_of_our_server_feeds_disk_rules_without_an_agent() {
    let (server, dir) = (subject_with_pages(), tempfile::tempdir().unwrap());
    let ensemble = format!(
        "[ensemble.e]\nservers = [\"{}\"]\nmetrics_port = {}\n",
        server.address(),
        server.metrics
    );
    let config = config(dir.path(), &ensemble);
    let up = Up::start_with(&["--client", "127.0.0.1:0", "--config", &config]);
    let data = server.dir().join("data").display().to_string();
    let disk = incident(&up, "DiskSeen", "e", ("dir", &data));
    assert_eq!(disk["instance"], server.address());
    incident(&up, "ZkLogsNotPurged", "e", ("kind", "snapshot"));
}

#[test]
fn inside_up_the_monitor_knows_the_host_of_its_own_server() {
    let dir = tempfile::tempdir().unwrap();
    let config = config(dir.path(), "");
    let up = Up::start_with(&["--client", "127.0.0.1:0", "--config", &config]);
    let disk = incident(&up, "DiskSeen", "local", ("ensemble", "local"));
    assert_eq!(disk["instance"], format!("127.0.0.1:{}", up.client));
    assert!(disk["labels"]["dir"].as_str().unwrap().ends_with("data/zookeeper"), "{disk}");
    let files = incident(&up, "ZkLogsNotPurged", "local", ("kind", "snapshot"));
    assert_eq!(files["labels"]["instance"], disk["instance"], "one server, one name");
}

/// Names and labels of what an agent tells about a server, with the value.
fn facts(page: &str) -> BTreeMap<String, f64> {
    let of_server = |line: &&str| {
        line.starts_with("watchkeeper_server_") || line.starts_with("watchkeeper_agent_config_")
    };
    let lines = page.lines().filter(of_server).filter_map(|line| line.rsplit_once(' '));
    lines.map(|(name, value)| (name.to_owned(), value.parse().unwrap())).collect()
}

#[test]
fn our_page_has_the_names_of_an_agents() {
    let server = subject_with_pages();
    let zoo_cfg = server.dir().join("zoo.cfg");
    let mut command = Command::new(binary());
    command.args(["agent", "--listen", "127.0.0.1:0", "--zoo-cfg"]).arg(zoo_cfg);
    let agent = Process::start("agent", &mut command, &server.dir().join("agent.log")).unwrap();
    let port = until("the agent's address", LONG, || {
        let output = agent.output();
        let after = output.split_once("http://127.0.0.1:").map(|(_, after)| after.to_owned());
        Ok(after.and_then(|after| after.split_once('/')?.0.parse::<u16>().ok()))
    })
    .unwrap();
    // A host that is slow to answer is left out of one page.
    let (theirs, ours) = until("pages with the same names", LONG, || {
        let (_, theirs) = http_get(port, "/metrics")?;
        let (_, ours) = http_get(server.metrics, "/metrics")?;
        let (theirs, ours) = (facts(&theirs), facts(&ours));
        let same = ours.keys().eq(theirs.keys());
        Ok(same.then_some((theirs, ours)))
    })
    .unwrap();
    assert!(ours.len() >= 6, "{ours:?}");
    for (name, value) in &theirs {
        // Space comes and goes between two looks.
        if !name.contains("_free_") {
            assert!((value - ours[name]).abs() < 0.5, "{name}: {value} and {}", ours[name]);
        }
    }
}

//! `watchkeeper agent` beside real Apache 3.9.5 members: its page, and what the rules make of it.

use std::fs;
use std::path::Path;
use std::process::Command;

use wk_peers::wait::{LONG, http_get, until};
use wk_peers::{EnsembleSpec, Process, Version};

use crate::harness::{binary, cache};
use crate::prometheus::promtool_is_silent;
use crate::up::Up;

/// An agent beside the server with this configuration, and its port.
fn agent(dir: &Path) -> (Process, u16) {
    let mut command = Command::new(binary());
    command.args(["agent", "--listen", "127.0.0.1:0", "--zoo-cfg"]).arg(dir.join("zoo.cfg"));
    let mut agent = Process::start("agent", &mut command, &dir.join("agent.log")).unwrap();
    let port = until("the agent's address", LONG, || {
        assert!(agent.ended()?.is_none(), "it ended:\n{}", agent.tail());
        let output = agent.output();
        let after = output.split_once("http://127.0.0.1:").map(|(_, after)| after.to_owned());
        Ok(after.and_then(|after| after.split_once('/')?.0.parse().ok()))
    });
    (agent, port.unwrap())
}

/// A certificate that ends in five days, as a PEM file.
fn certificate(path: &Path) {
    let key = rcgen::KeyPair::generate().unwrap();
    let mut params = rcgen::CertificateParams::new(vec!["zk1".to_owned()]).unwrap();
    let now = std::time::SystemTime::now();
    params.not_before = now.into();
    params.not_after = (now + std::time::Duration::from_hours(5 * 24)).into();
    fs::write(path, params.self_signed(&key).unwrap().pem()).unwrap();
}

#[test]
fn certificates_and_drift_of_members_are_told_by_their_agents() {
    let dir = tempfile::tempdir().unwrap();
    let pem = dir.path().join("zk1.pem");
    certificate(&pem);
    let spec = EnsembleSpec::new(Version::V3_9, dir.path()).members(2);
    let mut ensemble = spec.prepare(&cache()).unwrap();
    ensemble.set_line(0, &format!("ssl.keyStore.location={}", pem.display()));
    // A key that no server shows over the network.
    ensemble.set_line(1, "snapCount=77777");
    ensemble.launch(0).unwrap();
    ensemble.launch(1).unwrap();
    ensemble.wait_quorum().unwrap_or_else(|err| panic!("{err:#}"));
    let agents: Vec<_> = ensemble.members.iter().map(|member| agent(&member.dir)).collect();
    let page = until("the links to be tried", LONG, || {
        let (_, page) = http_get(agents[0].1, "/metrics")?;
        Ok(page.contains("watchkeeper_link_up{").then_some(page))
    });
    let page = page.unwrap();
    promtool_is_silent(&page);
    let pid = ensemble.members[0].pid().unwrap();
    assert!(page.contains("watchkeeper_server_process_start_time_seconds"), "{pid}:\n{page}");

    let at_once = "{ for = \"0s\", watchkeeper_for = \"0s\" }";
    let text = format!(
        "[ensemble.e]\nservers = [\"{}\"]\nagents = [\"127.0.0.1:{}\", \"127.0.0.1:{}\"]\n\
         thresholds = {{ ZkConfigDrift = {at_once} }}\n",
        ensemble.addresses().join("\", \""),
        agents[0].1,
        agents[1].1
    );
    let config = dir.path().join("watchkeeper.toml");
    fs::write(&config, text).unwrap();
    let up = Up::start_with(&["--client", "127.0.0.1:0", "--config", config.to_str().unwrap()]);
    let expiring = up.incident("ZkCertExpiring", "firing");
    assert_eq!(expiring["instance"], ensemble.members[0].address(), "{expiring}");
    assert_eq!(expiring["labels"]["port"], "client", "{expiring}");
    let drift = up.incident("ZkConfigDrift", "firing");
    assert_eq!(drift["ensemble"], "e", "{drift}");

    // The agent reads the file anew: what is mended there is over here.
    let path = ensemble.members[1].dir.join("zoo.cfg");
    let mended = fs::read_to_string(&path).unwrap().replace("snapCount=77777\n", "");
    fs::write(&path, mended).unwrap();
    let over = up.incident("ZkConfigDrift", "resolved");
    assert_eq!(over["id"], drift["id"]);
    let still = up.incident("ZkCertExpiring", "firing");
    assert_eq!(still["id"], expiring["id"]);
}

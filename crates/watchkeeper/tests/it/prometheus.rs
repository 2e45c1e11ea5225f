//! A real Prometheus scrapes our pages, and promtool reads our own.

use std::collections::BTreeSet;
use std::fs;
use std::io::Write as _;
use std::process::{Command, Stdio};

use serde_json::Value;
use wk_peers::wait::{LONG, free_ports, http_get, until};
use wk_peers::{Peer, Process};

use crate::harness::{control_with_pages, peer, subject_with_pages};
use crate::up::Up;

#[test]
fn promtool_finds_nothing_to_say_about_our_page() {
    let up = Up::start();
    let _member = up.member("web/one");
    let (_, page) = http_get(up.web, "/metrics").unwrap();
    assert!(page.contains("watchkeeper_node_alive"), "{page}");
    promtool_is_silent(&page);
}

#[test]
fn promtool_finds_nothing_to_say_about_our_part_of_the_servers_page() {
    let server = subject_with_pages();
    // A host that is slow to answer is left out of one page.
    let page = until("a page with what only the host knows", LONG, || {
        let (_, page) = http_get(server.metrics, "/metrics")?;
        Ok(page.contains("watchkeeper_server_disk_free_bytes{dir=").then_some(page))
    })
    .unwrap();
    let ours = page.lines().filter(|line| line.contains("watchkeeper_"));
    let ours: String = ours.map(|line| format!("{line}\n")).collect();
    promtool_is_silent(&ours);
}

/// Debian's `promtool check metrics` takes the page and has no remarks.
pub(crate) fn promtool_is_silent(page: &str) {
    let mut promtool = Command::new(peer(Peer::Prometheus).join("usr/bin/promtool"))
        .args(["check", "metrics"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    promtool.stdin.take().unwrap().write_all(page.as_bytes()).unwrap();
    let output = promtool.wait_with_output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && said.is_empty(), "{said}\n{page}");
}

#[test]
fn prometheus_scrapes_every_page() {
    let (up, server) = (Up::start(), subject_with_pages());
    let _member = up.member("web/one");
    let dir = tempfile::tempdir().unwrap();
    let job = |name: &str, path: &str, port: u16| {
        format!(
            "- job_name: {name}\n  metrics_path: {path}\n  honor_labels: true\n  \
             static_configs:\n  - targets: ['127.0.0.1:{port}']\n"
        )
    };
    let config = [
        "global: {scrape_interval: 1s, scrape_timeout: 1s}\nscrape_configs:\n".to_owned(),
        job("own", "/metrics", up.web),
        job("apache", "/compat/apache/metrics", up.web),
        job("generic", "/compat/generic/metrics", up.web),
        job("server", "/metrics", server.metrics),
    ];
    fs::write(dir.path().join("prom.yml"), config.concat()).unwrap();
    let [port] = free_ports().unwrap();
    let mut command = Command::new(peer(Peer::Prometheus).join("usr/bin/prometheus"));
    command
        .arg(format!("--config.file={}", dir.path().join("prom.yml").display()))
        .arg(format!("--storage.tsdb.path={}", dir.path().join("tsdb").display()))
        .arg(format!("--web.listen-address=127.0.0.1:{port}"));
    let prometheus =
        Process::start("prometheus", &mut command, &dir.path().join("prom.log")).unwrap();
    for (query, want) in [
        ("up{job='own'}", 1.0),
        ("up{job='apache'}", 1.0),
        ("up{job='generic'}", 1.0),
        ("up{job='server'}", 1.0),
        ("watchkeeper_node_alive{node='one'}", 1.0),
        ("watchkeeper_server_up{ensemble='local'}", 1.0),
        ("zookeeper_metrics_up", 1.0),
        ("quorum_size{job='server'} or znode_count{job='server'} > bool 4", 1.0),
        ("znode_count{job='apache'} > bool 4", 1.0),
        ("fsynctime_count{job='apache'} > bool 0", 1.0),
    ] {
        until(query, LONG, || Ok((value(port, query)? == Some(want)).then_some(())))
            .unwrap_or_else(|err| panic!("{err:#}\n{}", prometheus.tail()));
    }
}

/// The value of the first sample that `query` gives.
fn value(port: u16, query: &str) -> anyhow::Result<Option<f64>> {
    let escaped: String = query
        .bytes()
        .map(|byte| match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'_' => char::from(byte).to_string(),
            other => format!("%{other:02X}"),
        })
        .collect();
    let (_, body) = http_get(port, &format!("/api/v1/query?query={escaped}"))?;
    let json: Value = serde_json::from_str(&body)?;
    let text = json["data"]["result"][0]["value"][1].as_str();
    Ok(text.and_then(|text| text.parse().ok()))
}

#[test]
fn provider_page_has_every_family_of_apaches() {
    let (ours, theirs) = (subject_with_pages(), control_with_pages());
    let families = |port| -> BTreeSet<String> {
        let (_, page) = http_get(port, "/metrics").unwrap();
        let types = page.lines().filter_map(|line| line.strip_prefix("# TYPE "));
        types.map(str::to_owned).collect()
    };
    let (ours, theirs) = (families(ours.metrics), families(theirs.metrics));
    assert!(theirs.len() > 150, "Apache shows more: {}", theirs.len());
    let of_jvm = |line: &&String| line.starts_with("jvm_") && !line.starts_with("jvm_pause");
    let missing: Vec<_> =
        theirs.iter().filter(|line| !of_jvm(line) && !ours.contains(*line)).collect();
    assert!(missing.is_empty(), "families with their types: {missing:?}");
}

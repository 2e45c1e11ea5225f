//! Looks at real servers of every release: one set of names, the right line to fix what is missing,
//! all members from one address, and what stands when the quorum is gone.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};
use std::time::Instant;

use serde_json::Value;
use wk_client::Tcp;
use wk_peers::{Ensemble, EnsembleSpec, Process, Version, wait};
use wk_probe::board::Board;
use wk_probe::look::{Look, Looker, Outcome, Pace, Ports, Target};
use wk_probe::note::NoteKind;

use crate::harness::{binary, cache};
use crate::product::Product;
use crate::up::Up;

fn looker(instance: String, ports: Ports) -> Looker {
    let target = Target { ensemble: "e".into(), site: None, instance, ports };
    let board = Arc::new(Mutex::new(Board::default()));
    Looker::new(target, Pace::default(), Arc::new(Tcp), board, Instant::now())
}

async fn until(looker: &mut Looker, what: &str, wanted: impl Fn(&Look) -> bool) -> Look {
    let end = Instant::now() + wait::LONG;
    loop {
        let at = std::time::UNIX_EPOCH.elapsed().unwrap().as_millis();
        let look = looker.look(i64::try_from(at).unwrap()).await;
        if wanted(&look) {
            return look;
        }
        assert!(Instant::now() < end, "{what}: {:?} {:?}", look.outcome, look.notes);
        tokio::time::sleep(std::time::Duration::from_millis(100)).await;
    }
}

fn names(look: &Look) -> BTreeSet<String> {
    look.samples.iter().map(|sample| sample.labels.name().to_owned()).collect()
}

fn kinds(look: &Look) -> BTreeSet<NoteKind> {
    look.notes.iter().map(|note| note.kind).collect()
}

/// What every release shows of a server that serves, by whatever way.
const ALWAYS: &[&str] = &[
    "up",
    "znode_count",
    "num_alive_connections",
    "outstanding_requests",
    "avg_latency",
    "packets_received",
    "watchkeeper_server_version_info",
];

/// A server of no ensemble: nobody leads.
fn alone(spec: &EnsembleSpec) -> Ensemble {
    let mut one = spec.spawn(&cache()).unwrap_or_else(|err| panic!("{err:#}"));
    one.wait_serving(0).unwrap_or_else(|err| panic!("{err:#}"));
    one
}

/// One server of `version`, looked at with all it has and with its default configuration.
fn one_server(version: Version) {
    let dir = tempfile::tempdir().unwrap();
    let open = EnsembleSpec::new(version, dir.path()).members(1).pages();
    let mut ensemble = alone(&open);
    let member = &ensemble.members[0];
    let given = Ports {
        metrics: version.has_metrics().then_some(member.metrics),
        admin: version.has_admin().then_some(member.admin),
        ..Ports::default()
    };
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let address = ensemble.members[0].address();
        let mut looker = looker(address.clone(), given);
        let rich = |look: &Look| {
            let names = names(look);
            names.contains("watch_count") && names.contains("approximate_data_size")
        };
        let look = until(&mut looker, "figures", rich).await;
        assert_eq!(look.outcome, Outcome::Serving { mode: "standalone".into() }, "{version}");
        for name in ALWAYS {
            assert!(names(&look).contains(*name), "{version}: {name}");
        }
        // What `for` and windows of the rules need: the names of 3.9 from 3.6 on.
        let modern = !matches!(version, Version::V3_4 | Version::V3_5);
        for name in ["fsynctime_sum", "looking_count", "uptime", "readlatency_count"] {
            assert_eq!(names(&look).contains(name), modern, "{version}: {name}");
        }
        assert_eq!(look.identity.version.as_deref(), Some(version.number()));
        // A page tells without a line in its log, once it is found.
        let quiet = version.has_metrics() || version.has_admin();
        let end = Instant::now() + wait::LONG;
        while looker.is_quiet() != quiet {
            assert!(Instant::now() < end, "{version}: no quiet way found");
            tokio::time::sleep(std::time::Duration::from_millis(100)).await;
            looker.look(1).await;
        }
        let config = |look: &Look| names(look).contains("watchkeeper_server_config_info");
        until(&mut looker, "its configuration", config).await;
    });
    // The default: only `srvr` is allowed, no AdminServer, no provider.
    ensemble.stop(0).unwrap();
    drop(ensemble);
    let dir = tempfile::tempdir().unwrap();
    let shut = EnsembleSpec::new(version, dir.path()).members(1);
    let shut = shut.with("4lw.commands.whitelist=srvr");
    let ensemble = alone(&shut);
    runtime.block_on(async {
        // Ports that nobody listens at: a default port may be another server's.
        let nothing = Ports { metrics: Some(1), admin: Some(1), ..Ports::default() };
        let mut looker = looker(ensemble.members[0].address(), nothing);
        let hidden = |look: &Look| {
            let kinds = kinds(look);
            kinds.contains(&NoteKind::FiguresHidden) && kinds.contains(&NoteKind::ConfHidden)
        };
        let look = until(&mut looker, "notes on what is hidden", hidden).await;
        for name in ALWAYS {
            assert!(names(&look).contains(*name), "{version}: {name}");
        }
        let modern = !matches!(version, Version::V3_4 | Version::V3_5);
        let provider = |look: &Look| kinds(look).contains(&NoteKind::NoMetricsPage);
        if modern {
            until(&mut looker, "the provider's line", provider).await;
        } else {
            assert!(!provider(&looker.look(1).await), "{version} has no provider to offer");
        }
    });
}

#[test]
fn servers_of_3_9_and_3_8() {
    one_server(Version::V3_9);
    one_server(Version::V3_8);
}

#[test]
fn servers_of_3_5_and_3_4() {
    one_server(Version::V3_5);
    one_server(Version::V3_4);
}

/// State of each server that the product watches, by address.
fn servers(product: &Product) -> BTreeMap<String, String> {
    let fleet = product.api("fleet");
    let servers = fleet["ensembles"][0]["servers"].as_array().cloned().unwrap_or_default();
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    servers.iter().map(|one| (text(&one["instance"]), text(&one["state"]))).collect()
}

fn until_servers(product: &Product, what: &str, wanted: &BTreeMap<String, String>) {
    wait::until(what, wait::LONG, || Ok((servers(product) == *wanted).then_some(())))
        .unwrap_or_else(|err| panic!("{err:#}\n{:#?}\n{}", servers(product), product.printed()));
}

fn all_up(ensemble: &Ensemble) -> BTreeMap<String, String> {
    ensemble.addresses().into_iter().map(|address| (address, "up".to_owned())).collect()
}

#[test]
fn all_members_from_one_observer_remembered_and_judged_without_a_quorum() {
    let dir = tempfile::tempdir().unwrap();
    let spec = EnsembleSpec::new(Version::V3_9, dir.path()).observers(1).pages();
    let mut ensemble = spec.start(&cache()).unwrap_or_else(|err| panic!("{err:#}"));
    let addresses = ensemble.addresses();
    let mut product = Product::start_for(&addresses[3], &[]);
    let mut wanted = all_up(&ensemble);
    until_servers(&product, "all four from the observer", &wanted);

    // One that stops to serve is remembered, over a restart of the monitor too.
    let followers = ensemble.followers().unwrap();
    let victim = *followers.iter().find(|index| **index != 3).unwrap();
    ensemble.kill(victim).unwrap();
    wanted.insert(addresses[victim].clone(), "unreachable".to_owned());
    until_servers(&product, "the killed member unreachable", &wanted);
    product.kill();
    product.run();
    until_servers(&product, "the killed member remembered", &wanted);

    // The quorum goes: the survivor answers, and serves nobody.
    let leader = ensemble.leader().unwrap();
    ensemble.kill(leader).unwrap();
    wanted.insert(addresses[leader].clone(), "unreachable".to_owned());
    let others = (0..4).filter(|index| *index != leader && *index != victim);
    wanted.extend(others.map(|index| (addresses[index].clone(), "not_serving".to_owned())));
    until_servers(&product, "survivors that do not serve", &wanted);

    ensemble.restart(leader).unwrap();
    ensemble.restart(victim).unwrap();
    until_servers(&product, "all of them again", &all_up(&ensemble));
}

/// Rules over what only a look at several members of one ensemble can tell.
const COMPARED: &str = "\
groups:
  - name: compared
    rules:
      - alert: LagSeen
        expr: count by (ensemble) (watchkeeper_server_zxid_lag_txns >= 0) == 2
        labels: {severity: warning}
";

#[test]
fn members_of_a_live_ensemble_are_compared_with_each_other() {
    let dir = tempfile::tempdir().unwrap();
    let spec = EnsembleSpec::new(Version::V3_9, dir.path()).pages();
    let mut ensemble = spec.prepare(&cache()).unwrap();
    ensemble.set_line(1, "maxSessionTimeout=55555");
    for index in 0..3 {
        ensemble.launch(index).unwrap();
    }
    ensemble.wait_quorum().unwrap_or_else(|err| panic!("{err:#}"));
    std::fs::write(dir.path().join("compared.yml"), COMPARED).unwrap();
    let config = dir.path().join("watchkeeper.toml");
    let at_once = "{ for = \"0s\", watchkeeper_for = \"0s\" }";
    let text = format!(
        "[rules]\nfiles = [\"compared.yml\"]\nthresholds = {{ ZkConfigDrift = {at_once} }}\n"
    );
    std::fs::write(&config, text).unwrap();
    let up = Up::start_with(&["--config", config.to_str().unwrap(), &ensemble.addresses()[0]]);
    up.incident("ZkConfigDrift", "firing");
    let notes = up.api("/api/v1/fleet")["ensembles"][0].to_string();
    assert!(notes.contains("maxSessionTimeout") && notes.contains("55555"), "{notes}");
    up.incident("LagSeen", "firing");
    // Both followers, and nobody else, are measured against the leader.
    ensemble.set_line(1, "maxSessionTimeout=40000");
    ensemble.restart(1).unwrap();
    up.incident("ZkConfigDrift", "resolved");
}

#[test]
fn a_member_joins_at_3_4_and_leaves() {
    let dir = tempfile::tempdir().unwrap();
    let server = alone(&EnsembleSpec::new(Version::V3_4, dir.path()).members(1));
    let address = server.members[0].address();
    let product = Product::start_for(&address, &[]);
    let mut command = std::process::Command::new(binary());
    command.args(["member", "join", "web/one", "-s", &address, "--session-timeout", "4s"]);
    let mut member = Process::start("member", &mut command, &dir.path().join("member")).unwrap();
    product.until_state("/nodes/web/one", "up");
    member.terminate(wait::LONG).unwrap();
    product.until_state("/nodes/web/one", "left");
}

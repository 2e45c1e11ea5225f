//! The monitor and an ensemble that wants TLS and credentials: everything that speaks to it does so
//! through them, and whatever does not fit is said, never taken for a fault of the ensemble.

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};

use serde_json::Value;
use wk_peers::ensemble::{Ensemble, EnsembleSpec, Place};
use wk_peers::{Version, wait};

use super::{Files, secure_apache, secure_lines};
use crate::harness::{binary, cache};
use crate::product::Product;

/// The password of the monitor, which must be seen nowhere.
const PASSWORD: &str = "hu:sh";

/// One of our verbs through the secure port, as the monitor's own identity.
fn verb(dir: &Path, address: &str, args: &[&str]) -> Command {
    let file = |name: &str| dir.join(name).display().to_string();
    let mut command = Command::new(binary());
    command.args(args).args(["-s", address, "--auth", "digest:monitor:${ZK_PASSWORD}"]);
    command.args(["--tls-ca", &file("ours.pem")]);
    command.args(["--tls-cert", &file("operator.crt"), "--tls-key", &file("operator.key")]);
    command.env("ZK_PASSWORD", PASSWORD).stdin(Stdio::null());
    command
}

fn run(mut command: Command) {
    let output = command.output().unwrap();
    assert!(output.status.success(), "{output:?}");
}

/// The first handshakes of a Java that has just started take seconds.
fn warm_up(dir: &Path, address: &str) {
    (0..3).for_each(|_| run(verb(dir, address, &["ls", "/"])));
}

/// `[ensemble.NAME]` with the files of the configuration's folder.
fn section(name: &str, server: &str, ca: &str, password: &str) -> String {
    format!(
        "[ensemble.{name}]\nservers = [\"{server}\"]\nauth = [\"digest:monitor:{password}\"]\n\
         tls = {{ ca = \"{ca}\", certificate = \"operator.crt\", key = \"operator.key\" }}\n"
    )
}

fn start(dir: &Path, config: &str) -> Product {
    let path = dir.join("watchkeeper.toml");
    fs::write(&path, config).unwrap();
    Product::start(&["--config", path.to_str().unwrap()], &[("ZK_PASSWORD", PASSWORD)])
}

fn ensemble(product: &Product, name: &str) -> Value {
    let fleet = product.api("fleet");
    let all = fleet["ensembles"].as_array().unwrap();
    all.iter().find(|one| one["name"] == name).unwrap().clone()
}

fn until(product: &Product, what: &str, fact: impl Fn() -> bool) {
    wait::until(what, wait::LONG, || Ok(fact().then_some(()))).unwrap_or_else(|err| {
        let incidents = product.incidents();
        panic!("{err:#}\n{:#}\n{incidents:#?}\n{}", product.api("fleet"), product.printed())
    });
}

/// Three members, each with the same secure port at an address of its own.
fn secure_ensemble(dir: &Path, port: u16) -> Ensemble {
    let places: Vec<Place> =
        (1..=3).map(|n| Place { host: [127, 0, 0, n].into(), wrapper: Vec::new() }).collect();
    let files = Files::new(dir, "ours");
    files.issue("operator", "operator");
    let spec = EnsembleSpec::new(Version::V3_9, dir).at(places.clone());
    let mut ensemble = spec.prepare(&cache()).unwrap();
    for (index, place) in places.iter().enumerate() {
        let (name, host) = (format!("member{index}"), place.host.to_string());
        files.issue(&name, &host);
        for line in secure_lines(dir, &name, &host, port).iter().flat_map(|line| line.lines()) {
            ensemble.set_line(index, line);
        }
        ensemble.launch(index).unwrap();
    }
    ensemble.wait_quorum().unwrap();
    ensemble
}

#[test]
fn everything_goes_by_tls_and_credentials() {
    let dir = tempfile::tempdir().unwrap();
    let port = wait::lasting_ports(1).unwrap()[0];
    let _ensemble = secure_ensemble(dir.path(), port);
    let seed = format!("127.0.0.1:{port}");
    for path in ["/nodes", "/nodes/a", "/nodes/a/alive"] {
        run(verb(dir.path(), &seed, &["create", path, "--acl", "auth:any:cdrwa"]));
    }
    (1..=3).for_each(|n| warm_up(dir.path(), &format!("127.0.0.{n}:{port}")));
    let config = section("prod", &seed, "ours.pem", "${ZK_PASSWORD}") + "tap = true\n";
    let product = start(dir.path(), &config);
    // Found: the others, at their secure ports, though the list names plain ones.
    let members: Vec<String> = (1..=3).map(|n| format!("127.0.0.{n}:{port}")).collect();
    until(&product, "all members to be seen", || {
        let servers = ensemble(&product, "prod")["servers"].as_array().unwrap().clone();
        let up = servers.iter().filter(|one| one["state"] == "up");
        let mut up: Vec<&str> = up.filter_map(|one| one["instance"].as_str()).collect();
        up.sort_unstable();
        up == members
    });
    // The registry, which only these credentials open. Its `alive` is not ephemeral, and said so.
    until(&product, "the registry", || {
        let nodes = ensemble(&product, "prod")["nodes"].clone();
        nodes[0]["path"] == "/nodes/a" && nodes[0]["evidence"].to_string().contains("not ephemeral")
    });
    // A canary through each member, and the tap over the leader's quorum port.
    until(&product, "every canary", || {
        let args = ["ls", "-R", "/watchkeeper", "-o", "jsonl"];
        let listed = verb(dir.path(), &seed, &args).output().unwrap();
        let listed = String::from_utf8_lossy(&listed.stdout).into_owned();
        members.iter().all(|member| listed.contains(member.as_str()))
    });
    until(&product, "no note of what is missing", || {
        let notes = ensemble(&product, "prod")["notes"].to_string();
        !["canary", "tap", "registry", "trust"].iter().any(|word| notes.contains(word))
    });
    assert_eq!(product.incidents(), Vec::<Value>::new());
    assert!(!product.printed().contains(PASSWORD) && !product.page("/").contains(PASSWORD));
}

#[test]
fn what_does_not_fit_is_said_and_nothing_is_called_down() {
    let dir = tempfile::tempdir().unwrap();
    let home = |name: &str| {
        let home = dir.path().join(name);
        fs::create_dir(&home).unwrap();
        home
    };
    let ours = Files::new(dir.path(), "ours");
    Files::new(dir.path(), "theirs");
    ours.issue("operator", "operator");
    ours.issue("server", "127.0.0.1");
    ours.issue_until("old", "127.0.0.1", 2020);
    let (_server, good) = secure_apache(dir.path(), &home("good"), "server");
    let (_old, expired) = secure_apache(dir.path(), &home("late"), "old");
    run(verb(dir.path(), &good, &["create", "/nodes", "--acl", "auth:any:cdrwa"]));
    warm_up(dir.path(), &good);
    let named = good.replace("127.0.0.1", "localhost");
    let config = [
        section("stranger", &good, "theirs.pem", "${ZK_PASSWORD}"),
        section("named", &named, "ours.pem", "${ZK_PASSWORD}"),
        section("expired", &expired, "ours.pem", "${ZK_PASSWORD}"),
        section("guessed", &good, "ours.pem", "guess"),
    ];
    let product = start(dir.path(), &config.concat());
    for (name, server, why) in [
        ("stranger", &good, "UnknownIssuer"),
        ("named", &named, "not valid for name"),
        ("expired", &expired, "expired"),
    ] {
        until(&product, &format!("the note of {name}"), || {
            let notes = ensemble(&product, name)["notes"].to_string();
            [server.as_str(), why, "[ensemble.NAME] tls"].iter().all(|word| notes.contains(word))
        });
    }
    // People are told that nothing is seen, and why; nobody is told of a fault that is none.
    until(&product, "one incident each", || {
        let all = product.incidents();
        ["stranger", "named", "expired", "guessed"]
            .iter()
            .all(|name| all.iter().any(|one| one["ensemble"] == *name && one["state"] == "firing"))
    });
    // Servers count the handshakes that fail, ours too: that is true.
    let own = |one: &Value| {
        ["ZkAuthFailures", "ZkTlsHandshakeFailures"].iter().any(|r| one["rule"] == *r)
    };
    for incident in product.incidents().into_iter().filter(|one| !own(one)) {
        assert_eq!(incident["rule"], "NodeViewLost", "{incident:#}");
        let said = incident["evidence"].to_string();
        let why = match incident["ensemble"].as_str().unwrap() {
            "stranger" => "UnknownIssuer",
            "named" => "not valid for name",
            "expired" => "expired",
            _ => "[ensemble.NAME] auth",
        };
        assert!(said.contains(why), "{incident:#}");
    }
    for name in ["stranger", "named", "expired"] {
        let server = &ensemble(&product, name)["servers"][0];
        assert_eq!(server["state"], "unknown", "{server:#}");
    }
    assert_eq!(ensemble(&product, "guessed")["servers"][0]["state"], "up");
    assert!(!product.printed().contains(PASSWORD));
}

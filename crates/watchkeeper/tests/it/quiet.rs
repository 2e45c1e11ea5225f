//! Silences, maintenance and what people do with incidents, by the commands that they type: who is
//! told of what and when, and what a slip of the hand is answered with.

mod acts;
mod failing;
mod slips;

use serde_json::Value;
use wk_peers::receivers::Webhook;
use wk_peers::{Process, ServerSpec, wait};

use crate::harness::{binary, cache, subject_spec};
use crate::product::Product;

/// A node: `watchkeeper member join`, whose session lives 4 s without it.
fn join(product: &Product, id: &str) -> Process {
    let mut command = std::process::Command::new(binary());
    let address = product.address();
    command.args(["member", "join", id, "-s", &address, "--session-timeout", "4s"]);
    let log = product.folder().join(id.replace('/', "-"));
    let member = Process::start("member", &mut command, &log).unwrap();
    product.until_state(&format!("/nodes/{id}"), "up");
    member
}

fn until(what: &str, fact: impl Fn() -> bool) {
    wait::until(what, wait::LONG, || Ok(fact().then_some(()))).unwrap();
}

/// A verb that must succeed, its JSON.
fn json(product: &Product, args: &[&str]) -> Value {
    let output = product.verb(&[args, &["-o", "json"]].concat());
    assert!(output.status.success(), "{args:?}: {output:?}");
    serde_json::from_slice(&output.stdout).unwrap()
}

/// Nodes and rules of all alerts of that status that arrived, in order.
fn told(webhook: &Webhook, status: &str) -> Vec<String> {
    let alerts = webhook.acted().into_iter().flat_map(|one| one.alerts());
    let of = |alert: wk_peers::receivers::Alert| match alert.labels["node"].as_str() {
        Some(node) => node.to_owned(),
        None => alert.rule,
    };
    alerts.filter(|alert| alert.status == status).map(of).collect()
}

/// The incident of a node in a state.
fn node_incident(product: &Product, node: &str, state: &str) -> Value {
    let find = || {
        let mut all = product.incidents().into_iter();
        Ok(all.find(|one| one["node"] == node && one["state"] == state))
    };
    let what = format!("{node} to be {state}");
    wait::until(&what, wait::LONG, find)
        .unwrap_or_else(|err| panic!("{err:#}\n{:#?}", product.incidents()))
}

#[test]
fn a_silence_hides_what_it_fits_and_only_that() {
    let webhook = Webhook::start().unwrap();
    let product = Product::start(&["--notify", &webhook.url()], &[]);
    let (mut quiet, mut loud) = (join(&product, "web/a"), join(&product, "db/c"));
    let added = json(
        &product,
        &["silence", "add", "rule=NodeDown", "group=~we.", "--for", "2h", "--by", "ann"],
    );
    let id = added["id"].as_str().unwrap();
    assert_eq!((&added["active"], &added["by"]), (&Value::Bool(true), &"ann".into()));
    quiet.kill().unwrap();
    let hidden = node_incident(&product, "a", "suppressed");
    assert_eq!(hidden["suppressed_by"], id);
    loud.kill().unwrap();
    node_incident(&product, "c", "firing");
    until("the notification of the other", || told(&webhook, "firing") == ["c"]);
    let listed = json(&product, &["silence", "ls"]);
    assert_eq!(listed["silences"][0]["suppresses"][0], hidden["id"]);

    // A person ends it: what lasts is told now, as the same incident.
    let ended = json(&product, &["silence", "rm", id, "--by", "bob"]);
    assert_eq!((&ended["active"], &ended["ended_by"]), (&Value::Bool(false), &"bob".into()));
    until("what was hidden", || told(&webhook, "firing") == ["c", "a"]);
    assert_eq!(node_incident(&product, "a", "firing")["id"], hidden["id"]);
    assert_eq!(json(&product, &["silence", "ls"])["silences"].as_array().unwrap().len(), 0);
    assert_eq!(json(&product, &["silence", "ls", "--all"])["silences"][0]["id"], id);

    let audit = product.api("audit?limit=1000");
    let said = |by: &str, about: &str| {
        audit["audit"].as_array().unwrap().iter().any(|l| l["actor"] == by && l["about"] == about)
    };
    assert!(said("ann", id) && said("bob", id), "{audit:#}");
    assert!(said("monitor", hidden["id"].as_str().unwrap()), "{audit:#}");
}

#[test]
fn a_silence_ends_at_its_time_and_what_lasts_is_told_then() {
    let webhook = Webhook::start().unwrap();
    let product = Product::start(&["--notify", &webhook.url()], &[]);
    let (mut lasting, mut brief) = (join(&product, "a"), join(&product, "b"));
    let added = json(&product, &["silence", "add", "rule=NodeDown", "--for", "45s"]);
    lasting.kill().unwrap();
    brief.kill().unwrap();
    let lasts = node_incident(&product, "a", "suppressed");
    node_incident(&product, "b", "suppressed");
    let _brief = join(&product, "b");
    node_incident(&product, "b", "resolved");
    assert_eq!(told(&webhook, "firing"), Vec::<String>::new());
    until("what lasted", || told(&webhook, "firing") == ["a"]);
    let detail = product.api(&format!("incidents/{}", lasts["id"].as_str().unwrap()));
    let queued = detail["deliveries"][0]["queued_at"].as_str().unwrap().to_owned();
    // RFC 3339 in UTC with milliseconds: the order of texts is that of times.
    assert!(queued.as_str() >= added["ends_at"].as_str().unwrap(), "{detail:#} {added:#}");
    let over = json(&product, &["silence", "ls", "--all"]);
    let over = &over["silences"][0];
    assert_eq!((&over["active"], &over["ended_by"]), (&Value::Bool(false), &Value::Null));
    assert_eq!(told(&webhook, "resolved"), Vec::<String>::new(), "no end without a beginning");
}

#[test]
fn maintenance_of_an_ensemble_and_of_one_server() {
    let webhook = Webhook::start().unwrap();
    let dir = tempfile::tempdir().unwrap();
    let port = wait::lasting_ports(1).unwrap()[0];
    let spec = subject_spec(dir.path()).with(&format!("clientPort={port}"));
    let address = format!("127.0.0.1:{port}");
    let mut server = serve(&spec, port);
    let product = Product::start_for(&address, &["--notify", &webhook.url()]);
    until("a first look", || product.api("fleet")["ensembles"][0]["servers"][0]["state"] == "up");
    let name = product.api("fleet")["ensembles"][0]["name"].as_str().unwrap().to_owned();

    // One server: a port may be left out where that leaves no doubt.
    let target = format!("{name}/127.0.0.1");
    let started = json(&product, &["maintenance", "start", &target, "--for", "1h"]);
    assert_eq!(started["maintenance"][0]["server"], address.as_str());
    server.process.kill().unwrap();
    let hidden = product.until_incidents("suppressed", 1).remove(0);
    let listed = json(&product, &["maintenance", "ls"]);
    assert_eq!(listed["maintenance"][0]["suppresses"][0], hidden.as_str());
    assert!(webhook.taken().is_empty());
    let ended = json(&product, &["maintenance", "end", &target]);
    assert_eq!(ended["maintenance"][0]["active"], false);
    until("the server's fault", || told(&webhook, "firing") == ["ZkServerUnreachable"]);

    // All of it: what was told before is told to be over, whatever is silent by then.
    json(&product, &["maintenance", "start", &name, "--for", "1h", "--reason", "new disk"]);
    assert_eq!(product.until_incidents("suppressed", 1), [hidden.as_str()]);
    let code = product.verb(&["status"]).status.code();
    assert_eq!(code, Some(3), "it is meant to be down; of its nodes nothing can be said");
    let why = format!("(incident {hidden})");
    let status = || String::from_utf8(product.verb(&["status"]).stdout).unwrap();
    // The server's state wants a look more than the rule.
    until("status to say why the server is down", || status().contains(&why));
    let top = product.verb(&["top", "--once", "-o", "json"]).stdout;
    let top: Value = serde_json::from_slice(&top).unwrap();
    assert_eq!(top["incidents"], serde_json::json!([]), "nobody is told: none needs a line");
    let _server = serve(&spec, port);
    until("the end", || told(&webhook, "resolved") == ["ZkServerUnreachable"]);
    assert_eq!(told(&webhook, "firing"), ["ZkServerUnreachable"], "told once");
    let page = product.page("/silences");
    assert!(page.contains("new disk") && page.contains(&format!("<code>{name}</code>")), "{page}");
}

fn serve(spec: &ServerSpec, port: u16) -> wk_peers::Server {
    let mut server = spec.spawn(&cache()).unwrap();
    wait::until("the server", wait::LONG, || {
        assert!(server.process.ended()?.is_none(), "it ended:\n{}", server.process.tail());
        Ok(wait::four_letter(port, "srvr")?.contains("Mode:").then_some(()))
    })
    .unwrap();
    server
}

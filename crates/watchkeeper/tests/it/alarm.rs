//! The first alarm, end to end: a real kazoo process dies, and the same incident is in the mail, in
//! the DingTalk group, at the webhook, in the API, on the page and on the terminal; kill -9 of `up`
//! at the worst moments; an Apache server and our own watched from outside.

use std::process::Command;
use std::time::Duration;

use wk_peers::receivers::{DingTalk, Reply, Smtp, SmtpMode, Webhook};
use wk_peers::{Peer, Process, Server, ServerSpec, wait};

use crate::harness::{cache, control_spec, peer, subject_spec};
use crate::product::Product;

/// A kazoo process that is a node.
fn join(product: &Product, address: &str, path: &str, timeout: u32) -> Process {
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/it/alarm/node.py");
    let mut command = Command::new(peer(Peer::Python).join("bin/python"));
    command.arg(script).args([address, path, &timeout.to_string()]);
    command.env("PYTHONDONTWRITEBYTECODE", "1");
    let log = product.folder().join(format!("{}.log", path.replace('/', "-")));
    let before = std::fs::read_to_string(&log).unwrap_or_default().matches("alive").count();
    let mut process = Process::start("a kazoo node", &mut command, &log).unwrap();
    wait::until("the node to be alive", wait::LONG, || {
        assert!(process.ended()?.is_none(), "it ended:\n{}", process.tail());
        let text = std::fs::read_to_string(&log).unwrap_or_default();
        Ok((text.matches("alive").count() > before).then_some(()))
    })
    .unwrap();
    process
}

fn until(what: &str, fact: impl Fn() -> bool) {
    wait::until(what, wait::LONG, || Ok(fact().then_some(()))).unwrap();
}

#[test]
fn a_killed_node_is_the_same_incident_everywhere() {
    let dir = tempfile::tempdir().unwrap();
    let python = peer(Peer::Python).join("bin/python");
    let smtp = Smtp::start(&python, dir.path(), SmtpMode::Plain, None, None).unwrap();
    let (webhook, robot) = (Webhook::start().unwrap(), DingTalk::start("TOKEN", "SECx").unwrap());
    // Each receiver but the robot is in trouble at first.
    webhook.script([Reply::Answer { status: 503, body: "busy".into() }]);
    let mail = format!("smtp://127.0.0.1:{}?from=wk@x.test&to=ops@tempfail.test", smtp.port());
    let robot_url = robot.url_with("${SECRET}");
    let args = ["--notify", &mail, "--notify", &robot_url, "--notify", &webhook.url()];
    let product = Product::start(&args, &[("SECRET", "SECx")]);
    let mut node = join(&product, &product.address(), "app/a", 4);
    product.until_state("/nodes/app/a", "up");
    assert_eq!(product.verb(&["status"]).status.code(), Some(0));

    node.kill().unwrap();
    let id = product.until_incidents("firing", 1).remove(0);
    product.until_state("/nodes/app/a", "down");
    until("all three channels", || {
        smtp.mails().len() == 1 && robot.taken().len() == 1 && webhook.taken().len() == 1
    });
    assert_eq!(smtp.mails()[0].header("X-Watchkeeper-Incident").as_deref(), Some(id.as_str()));
    assert!(robot.texts()[0].contains(&id), "{:?}", robot.texts());
    assert_eq!(webhook.taken()[0].incident(), id);
    assert_eq!(webhook.taken()[0].key, format!("{id}/firing"));
    assert!(product.page(&format!("/incidents/{id}")).contains(&id));
    assert!(product.page("/").contains(&format!("/incidents/{id}")));
    until("the terminal", || product.printed().contains(&id));
    let incident = product.incidents().remove(0);
    assert_eq!((&incident["rule"], &incident["node"]), (&"NodeDown".into(), &"a".into()));
    assert_eq!(product.verb(&["status"]).status.code(), Some(1));
    let shown = product.verb(&["incidents", "show", &id]);
    let shown = String::from_utf8(shown.stdout).unwrap();
    assert!(shown.contains(&id) && shown.contains("expire"), "{shown}");
    let why = product.verb(&["why", &id, "-o", "json"]);
    let why: serde_json::Value = serde_json::from_slice(&why.stdout).unwrap();
    assert_eq!(why["located"][0]["kind"], "client", "{why}");

    let _node = join(&product, &product.address(), "app/a", 4);
    assert_eq!(product.until_incidents("resolved", 1), [id.as_str()]);
    until("the end in all three channels", || {
        smtp.mails().len() == 2 && robot.taken().len() == 2 && webhook.taken().len() == 2
    });
    let mails = smtp.mails();
    assert_eq!(mails[1].header("References"), mails[0].header("Message-ID"), "one thread");
    assert_eq!(webhook.taken()[1].key, format!("{id}/resolved"));
    assert!(robot.refused().is_empty());
    assert_eq!(product.verb(&["status"]).status.code(), Some(0));
    assert!(!product.printed().contains("SECx"), "no secret on the terminal");
}

#[test]
fn a_node_that_closes_its_session_has_left() {
    let product = Product::start(&[], &[]);
    let mut node = join(&product, &product.address(), "b", 4);
    product.until_state("/nodes/b", "up");
    node.terminate(wait::LONG).unwrap();
    product.until_state("/nodes/b", "left");
    assert!(product.incidents().is_empty());
}

#[test]
fn kill_9_of_up_between_detection_and_delivery_loses_and_repeats_nothing() {
    let webhook = Webhook::start().unwrap();
    let mut product = Product::start(&["--notify", &webhook.url()], &[]);
    let mut node = join(&product, &product.address(), "a", 4);
    product.until_state("/nodes/a", "up");
    // Stored and not taken: the receiver refuses until `up` is dead.
    webhook.script(vec![Reply::Answer { status: 503, body: String::new() }; 1000]);
    node.kill().unwrap();
    let id = product.until_incidents("firing", 1).remove(0);
    product.kill();
    assert!(webhook.taken().is_empty());
    webhook.forget_script();
    product.run();
    until("the notification", || webhook.taken().len() == 1);
    assert_eq!(webhook.taken()[0].incident(), id);
    assert_eq!(product.until_incidents("firing", 1), [id.as_str()]);

    // Taken and not answered: only the receiver knows.
    webhook.script([Reply::Silence]);
    let _node = join(&product, &product.address(), "a", 4);
    until("the end to be on its way", || webhook.taken().len() == 2);
    product.kill();
    product.run();
    until("the end once more", || webhook.taken().len() == 3);
    until("the confirmation", || product.api("fleet")["channels"][0]["confirmed"] == 2);
    let keys: Vec<String> = webhook.acted().into_iter().map(|one| one.key).collect();
    assert_eq!(keys, [format!("{id}/firing"), format!("{id}/resolved")]);
    assert_eq!(product.incidents().len(), 1);
}

#[test]
fn apache_watched_from_outside_is_killed_and_comes_back() {
    outage(control_spec);
}

#[test]
fn our_server_watched_from_outside_is_killed_and_comes_back() {
    outage(subject_spec);
}

fn outage(spec: impl Fn(&std::path::Path) -> ServerSpec) {
    let dir = tempfile::tempdir().unwrap();
    let [port] = wait::free_ports::<1>().unwrap();
    let spec = spec(dir.path()).with(&format!("clientPort={port}"));
    let address = format!("127.0.0.1:{port}");
    let mut server = serve(&spec, port);
    let webhook = Webhook::start().unwrap();
    let product = Product::start_for(&address, &["--notify", &webhook.url()]);
    let _node = join(&product, &address, "app/a", 40);
    product.until_state("/nodes/app/a", "up");

    server.process.kill().unwrap();
    let id = product.until_incidents("firing", 1).remove(0);
    product.until_state("/nodes/app/a", "unknown");
    assert_eq!(product.incidents()[0]["rule"], "ZkServerUnreachable");
    assert_eq!(product.verb(&["status"]).status.code(), Some(2));
    let _server = serve(&spec, port);
    assert_eq!(product.until_incidents("resolved", 1), [id.as_str()]);
    product.until_state("/nodes/app/a", "up");
    until("both notifications", || webhook.taken().len() == 2);
    assert_eq!(product.incidents().len(), 1, "one incident, never a flood");
}

fn serve(spec: &ServerSpec, port: u16) -> Server {
    let mut server = spec.spawn(&cache()).unwrap();
    wait::until("the server", Duration::from_mins(1), || {
        assert!(server.process.ended()?.is_none(), "it ended:\n{}", server.process.tail());
        Ok(wait::four_letter(port, "srvr")?.contains("Mode:").then_some(()))
    })
    .unwrap();
    server
}

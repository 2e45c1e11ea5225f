//! What people do with an incident: take it on, ask why, let its action run, put it away.

use serde_json::Value;

use super::{join, json, node_incident, until};
use crate::product::Product;

/// A node's name that a shell would run, if one ever saw it as more than an argument.
const NAME: &str = "$(id);`id`&|'\"";

#[test]
fn an_incident_is_taken_on_cured_and_put_away() {
    let dir = tempfile::tempdir().unwrap();
    let (config, mark) = (dir.path().join("watchkeeper.toml"), dir.path().join("ran"));
    let text = format!(
        "[group.web]\n\
         on_down = {{ exec = ['/bin/sh', '-c', 'printf %s \"$0\" > {}', '{{node}}'] }}\n",
        mark.display()
    );
    std::fs::write(&config, text).unwrap();
    let product = Product::start(&["--config", config.to_str().unwrap()], &[]);
    let id = format!("web/{NAME}");
    let mut node = join(&product, &id);
    let _others = ["web/b", "web/c"].map(|id| join(&product, id));
    node.kill().unwrap();
    let firing = node_incident(&product, NAME, "firing");
    let id = firing["id"].as_str().unwrap();

    let listed = json(&product, &["incidents", "ls", "--open", "--rule", "NodeDown"]);
    assert_eq!(listed["incidents"][0]["id"], id);
    let jsonl = product.verb(&["incidents", "-o", "jsonl"]);
    let line: Value = serde_json::from_slice(&jsonl.stdout).unwrap();
    assert_eq!(line["id"], id);
    let shown = json(&product, &["incidents", "show", id]);
    assert!(shown["timeline"].as_array().is_some_and(|lines| !lines.is_empty()), "{shown:#}");
    let why = json(&product, &["why", id]);
    assert_eq!((&why["id"], &why["rule"]), (&id.into(), &"NodeDown".into()));
    assert!(why["evidence"][0].as_str().is_some_and(|line| line.contains("/nodes/web/$(id)")));
    assert_eq!(why["located"][0]["what"].as_str().map(str::is_empty), Some(false), "{why:#}");

    let taken = json(&product, &["incidents", "ack", id, "--by", "ann"]);
    assert_eq!(
        (&taken["state"], &taken["acknowledged_by"]),
        (&"acknowledged".into(), &"ann".into())
    );
    assert!(taken["acknowledged_until"].as_str() > taken["first_seen"].as_str());
    json(&product, &["incidents", "run", id, "--by", "bob"]);
    until("the action", || std::fs::read_to_string(&mark).is_ok_and(|text| text == NAME));
    until("its end in the history", || {
        let shown = product.api(&format!("incidents/{id}"));
        let mut lines = shown["timeline"].as_array().into_iter().flatten();
        lines.any(|line| line["text"].as_str().is_some_and(|text| text.contains("action ended")))
    });
    let _node = join(&product, &format!("web/{NAME}"));
    node_incident(&product, NAME, "resolved");
    let closed = json(&product, &["incidents", "close", id]);
    assert_eq!((&closed["state"], &closed["id"]), (&"closed".into(), &id.into()));
    assert_eq!(product.verb(&["status"]).status.code(), Some(0));
}

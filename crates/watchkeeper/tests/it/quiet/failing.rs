//! A channel that takes nothing is itself a fault, told by the channels that work.

use wk_peers::receivers::{DingTalk, Reply, Webhook};

use super::{join, node_incident, until};
use crate::product::Product;

/// Rules about channels that arrived, with the channel that each is about.
fn told_of_channels(webhook: &Webhook, status: &str) -> Vec<(String, String)> {
    let alerts = webhook.acted().into_iter().flat_map(|one| one.alerts());
    let alerts = alerts.filter(|alert| alert.status == status && alert.rule.starts_with("Notify"));
    let channel = |alert: &wk_peers::receivers::Alert| {
        alert.labels["channel"].as_str().unwrap_or_default().to_owned()
    };
    alerts.map(|alert| (alert.rule.clone(), channel(&alert))).collect()
}

fn is_told(webhook: &Webhook, status: &str, rule: &str, channel: &str) -> bool {
    told_of_channels(webhook, status).contains(&(rule.to_owned(), channel.to_owned()))
}

#[test]
fn a_receiver_that_is_busy_is_told_by_the_other_channel() {
    let dir = tempfile::tempdir().unwrap();
    let config = dir.path().join("watchkeeper.toml");
    // What the shipped rule waits two minutes for.
    std::fs::write(
        &config,
        "[rules]\nthresholds = { NotifyBacklog = { seconds = 8, for = \"1s\" } }\n",
    )
    .unwrap();
    let (good, bad) = (Webhook::start().unwrap(), Webhook::start().unwrap());
    bad.script(vec![Reply::Answer { status: 503, body: "busy".into() }; 1000]);
    let (good_url, bad_url) = (format!("good={}", good.url()), format!("bad={}", bad.url()));
    let args = ["--config", config.to_str().unwrap(), "--notify", &good_url, "--notify", &bad_url];
    let product = Product::start(&args, &[]);
    let mut node = join(&product, "a");
    node.kill().unwrap();
    let id = node_incident(&product, "a", "firing")["id"].as_str().unwrap().to_owned();
    until("both rules about the channel", || {
        ["NotifyBacklog", "NotifyFailing"].iter().all(|rule| is_told(&good, "firing", rule, "bad"))
    });
    assert!(!told_of_channels(&good, "firing").iter().any(|(_, channel)| channel == "good"));
    assert!(bad.taken().is_empty());
    let fleet = product.api("fleet");
    let channels = fleet["channels"].as_array().unwrap();
    let bad_one = channels.iter().find(|one| one["name"] == "bad").unwrap();
    assert!(bad_one["last_error"].as_str().unwrap().contains("503"), "{bad_one:#}");

    // It works again: what waited arrives, and the backlog is over.
    bad.forget_script();
    until("what waited", || bad.taken().iter().any(|one| one.body.to_string().contains(&id)));
    until("the end", || is_told(&good, "resolved", "NotifyBacklog", "bad"));
}

#[test]
fn a_receiver_that_refuses_inside_http_200_is_told_by_the_other_channel() {
    let dir = tempfile::tempdir().unwrap();
    let (config, rules) = (dir.path().join("watchkeeper.toml"), dir.path().join("own.yml"));
    std::fs::write(&config, "[rules]\nfiles = [\"own.yml\"]\n").unwrap();
    // Faults of four kinds: four messages, four refusals.
    let rule = |name| {
        format!(
            "  - alert: {name}\n    expr: vector(1)\n    labels: \
             {{severity: warning, ensemble: local}}\n"
        )
    };
    let text: String = ["OwnA", "OwnB", "OwnC", "OwnD"].map(rule).concat();
    let text = format!("groups:\n- name: own\n  rules:\n{text}");
    std::fs::write(&rules, text).unwrap();
    let (good, robot) = (Webhook::start().unwrap(), DingTalk::start("TOKEN", "SECx").unwrap());
    let (good_url, bad_url) =
        (format!("good={}", good.url()), format!("bad={}", robot.url_with("SECy")));
    let args = ["--config", config.to_str().unwrap(), "--notify", &good_url, "--notify", &bad_url];
    let product = Product::start(&args, &[]);
    until("the refused channel", || is_told(&good, "firing", "NotifyFailing", "bad"));
    assert!(robot.taken().is_empty() && robot.refused().iter().all(|code| *code == 310_000));
    let fleet = product.api("fleet");
    let channels = fleet["channels"].as_array().unwrap();
    let bad_one = channels.iter().find(|one| one["name"] == "bad").unwrap();
    assert!(bad_one["failed"].as_u64() >= Some(4), "refused for good: {bad_one:#}");
    assert!(bad_one["last_error"].as_str().unwrap().contains("310000"), "{bad_one:#}");
}

//! What others write: names and data of znodes that want to be markup, commands or another message;
//! rule files that are broken; keys that nobody knows. Each is shown as what it is, or refused with
//! a word that names it, and everything else goes on.

use std::process::Command;

use wk_peers::receivers::{DingTalk, Smtp, SmtpMode, Webhook};
use wk_peers::{Peer, Process, wait};

use crate::harness::{binary, peer};
use crate::product::Product;

/// Names that a znode may have, each with a trick of its own. `\u{202e}` turns the direction of
/// writing, `\u{2028}` is a line's end to some.
const NAMES: [&str; 7] = [
    "<img src=x onerror=alert(1)>",
    "$(touch owned);`id`&|'\"",
    "[click](http:evil.example)*b*_i_<@all>",
    "gpj.\u{202e}exe\u{2066}",
    "two\u{2028}lines",
    "%2e%2e%2fetc",
    "中文-节点 名",
];

fn until(what: &str, fact: impl Fn() -> bool) {
    wait::until(what, wait::LONG, || Ok(fact().then_some(()))).unwrap();
}

/// Characters that no output for people may hold: they move what stands around them.
fn moves(text: &str) -> bool {
    let is_mover = |c: char| {
        matches!(c, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{2028}' | '\u{2029}')
            || (c.is_control() && !matches!(c, '\n' | '\r' | '\t'))
    };
    text.chars().any(is_mover)
}

/// What the verbs print stays in its lines.
fn for_people(product: &Product) {
    let id = product.incidents()[0]["id"].as_str().unwrap().to_owned();
    let verbs: [&[&str]; 5] = [
        &["incidents"],
        &["incidents", "show", &id],
        &["why", &id],
        &["top", "--once"],
        &["status"],
    ];
    for args in verbs {
        let output = product.verb(args);
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        assert!(!text.is_empty() && !moves(&text), "{args:?}: {text:?}");
    }
}

#[test]
fn hostile_names_stay_names_everywhere() {
    let dir = tempfile::tempdir().unwrap();
    let python = peer(Peer::Python).join("bin/python");
    let smtp = Smtp::start(&python, dir.path(), SmtpMode::Plain, None, None).unwrap();
    let (webhook, robot) = (Webhook::start().unwrap(), DingTalk::start("TOKEN", "SECx").unwrap());
    let mail = format!("smtp://127.0.0.1:{}?from=wk@x.test&to=ops@x.test", smtp.port());
    let robot_url = robot.url();
    let args = ["--notify", &mail, "--notify", &robot_url, "--notify", &webhook.url()];
    let product = Product::start(&args, &[]);
    let long = "x".repeat(3000);
    let names: Vec<&str> = NAMES.into_iter().chain([long.as_str()]).collect();
    let member = |(at, name): (usize, &&str)| {
        let mut command = Command::new(binary());
        let data = "\u{1b}[2J{\"host\":\"<b>\"}\r\nBcc: eve@x.test";
        let id = format!("app/{name}");
        command.args(["member", "join", &id, "-s", &product.address(), "--data", data]);
        command.args(["--session-timeout", "4s"]);
        let log = product.folder().join(format!("member-{at}"));
        Process::start("member", &mut command, &log).unwrap()
    };
    let mut members: Vec<Process> = names.iter().enumerate().map(member).collect();
    for name in &names {
        product.until_state(&format!("/nodes/app/{name}"), "up");
    }
    for member in &mut members {
        member.kill().unwrap();
    }
    product.until_incidents("firing", names.len());
    let told = || webhook.acted().iter().map(|one| one.alerts().len()).sum::<usize>();
    until("every channel", || {
        told() == names.len() && !smtp.mails().is_empty() && !robot.taken().is_empty()
    });

    // Programs get the names as they are.
    let nodes = product.api("nodes");
    for name in &names {
        let is_it = |node: &serde_json::Value| node["id"] == *name;
        assert!(nodes["nodes"].as_array().unwrap().iter().any(is_it), "{name:?}");
    }
    // People get them as text.
    let pages: Vec<String> = product
        .incidents()
        .iter()
        .map(|one| one["id"].as_str().unwrap().into())
        .map(|id: String| product.page(&format!("/incidents/{id}")))
        .chain(["/", "/audit", "/silences"].map(|path| product.page(path)))
        .collect();
    for page in &pages {
        assert!(["<img", "<b>", "<@all"].iter().all(|tag| !page.contains(tag)), "{page}");
        assert!(page.len() < 100_000, "{} bytes", page.len());
        assert!(!moves(page), "{page}");
    }
    for_people(&product);
    assert!(!moves(&product.printed()), "terminal and log: {:?}", product.printed());
    for mail in smtp.mails() {
        assert_eq!(mail.header("X-Test-Rcpt").as_deref(), Some("ops@x.test"));
        assert!(mail.header("Bcc").is_none() && !moves(&mail.text), "{}", mail.text);
    }
    for text in robot.texts() {
        // JSON's own escapes: what the group sees is in the message.
        assert!(!text.contains("](http:evil") && !moves(&text), "{text}");
    }
}

#[test]
fn a_broken_rule_file_is_named_and_the_rules_in_force_go_on() {
    let dir = tempfile::tempdir().unwrap();
    let (config, own) = (dir.path().join("watchkeeper.toml"), dir.path().join("own.yml"));
    std::fs::write(&config, "[rules]\nfiles = [\"own.yml\", \"none.yml\"]\n").unwrap();
    let file = |expr: &str| {
        format!(
            "groups:\n- name: own\n  rules:\n  - alert: Own\n    expr: {expr}\n    labels: \
             {{severity: warning, ensemble: local}}\n"
        )
    };
    std::fs::write(&own, file("sum by (")).unwrap();
    let product = Product::start(&["--config", config.to_str().unwrap()], &[]);
    let errors = || product.api("rules")["errors"].to_string();
    let said = errors();
    assert!(said.contains("own.yml") && said.contains("Own") && said.contains(":5"), "{said}");
    assert!(said.contains("none.yml"), "{said}");
    let rules = product.api("rules");
    let in_force = |name: &str| {
        let rules = product.api("rules");
        rules["rules"].as_array().unwrap().iter().any(|rule| rule["rule"] == name)
    };
    assert!(in_force("NodeDown") && !in_force("Own"), "{rules:#}");
    assert!(product.page("/rules").contains("own.yml"));

    // Mended: it judges without a restart. Broken again: it goes on judging as it was.
    std::fs::write(&own, file("vector(1)")).unwrap();
    std::fs::write(dir.path().join("none.yml"), "groups: []\n").unwrap();
    until("the mended rule", || in_force("Own"));
    product.until_incidents("firing", 1);
    assert_eq!(errors(), "[]");
    std::fs::write(&own, file("no_such_function(up)")).unwrap();
    until("the error", || errors().contains("no_such_function"));
    assert!(in_force("Own"));
}

#[test]
fn unknown_keys_stop_the_start_and_are_named() {
    let dir = tempfile::tempdir().unwrap();
    let config = dir.path().join("watchkeeper.toml");
    for (text, words) in [
        ("[web]\nlistn = \"127.0.0.1:1\"\n", &["listn", "line 2"][..]),
        ("[ensemble.prod]\nservers = [\"h:1\"]\ntls = { cert = \"x\" }\n", &["cert", "line 3"]),
        ("[ensembles.prod]\nservers = [\"h:1\"]\n", &["ensembles"]),
        ("[rules]\nthresholds = { ZkNoSuch = { a = 1 } }\n", &["ZkNoSuch"]),
        (
            "[rules]\nthresholds = { NotifyBacklog = { second = 1 } }\n",
            &["NotifyBacklog", "second"],
        ),
        ("[group.web]\nminimum = -1\n", &["minimum", "-1"]),
        ("[ensemble.prod]\nservers = [\"h\"]\n", &["ensemble.prod.servers", "h"]),
    ] {
        std::fs::write(&config, text).unwrap();
        let data = dir.path().join("data");
        let output = Command::new(binary())
            .args(["up", "--web", "127.0.0.1:0", "--client", "127.0.0.1:0"])
            .arg("--config")
            .arg(&config)
            .arg("--data")
            .arg(&data)
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(2), "{text}: {said}");
        assert!(said.contains("watchkeeper.toml"), "{text}: {said}");
        for word in words {
            assert!(said.contains(word), "{text}: no {word:?} in {said}");
        }
        assert!(!data.exists(), "{text}: nothing was begun");
    }
}

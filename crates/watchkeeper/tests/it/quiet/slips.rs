//! Slips of the hand: each is answered with what is wrong, where and what is right, and the exit
//! code that scripts go by; and changes nothing.

use super::{join, json, node_incident, until};
use crate::product::Product;

/// The exit code and what was said.
fn refused(product: &Product, args: &[&str]) -> (i32, String) {
    let output = product.verb(args);
    assert!(output.stdout.is_empty(), "{args:?}: {output:?}");
    (output.status.code().unwrap(), String::from_utf8_lossy(&output.stderr).into_owned())
}

#[test]
fn slips_are_named_and_change_nothing() {
    let product = Product::start(&[], &[]);
    let mut node = join(&product, "a");
    let over = json(&product, &["silence", "add", "rule=x", "--for", "1h"]);
    let over = over["id"].as_str().unwrap();
    json(&product, &["silence", "rm", over]);
    let long = vec!["x=y"; 33];
    let many = [&["silence", "add", "--for", "1h"][..], &long].concat();
    for (args, code, words) in [
        (&["silence", "add", "NodeDown", "--for", "1h"][..], 2, &["NodeDown", "NAME=VALUE"][..]),
        (&["silence", "add", "rule=~(", "--for", "1h"], 2, &["rule=~("]),
        (&["silence", "add", "rule=~.*", "--for", "1h"], 2, &["fit every alert"]),
        (&["silence", "add", "rule!=x", "--for", "1h"], 2, &["fit every alert"]),
        (&["silence", "add", "rule=x"], 2, &["--for"]),
        (&["silence", "add", "--for", "1h"], 2, &["MATCHER"]),
        (
            &["silence", "add", "rule=x", "--for", "soon"],
            2,
            &["soon", "must be a number with a unit"],
        ),
        (&["silence", "add", "rule=x", "--for", "10"], 2, &["10", "unit"]),
        (&["silence", "add", "rule=x", "--for", "0s"], 2, &["for:", "longer than no time"]),
        (&["silence", "add", "rule=x", "--for", "91d"], 2, &["for:", "at most 90 days"]),
        (&many, 2, &["33 matchers", "at most 32"]),
        (&["silence", "rm", "silence-77"], 3, &["no such silence: silence-77"]),
        (&["silence", "rm", over], 4, &[over, "over already"]),
        (&["maintenance", "start", "nowhere", "--for", "1h"], 3, &["no such ensemble: nowhere"]),
        (&["maintenance", "start", "local/zk9", "--for", "1h"], 3, &["no such server: local/zk9"]),
        (&["maintenance", "end", "local"], 3, &["no such maintenance: local"]),
        (&["maintenance", "end", over], 3, &["no such maintenance"]),
        (&["incidents", "show", "feed-1"], 3, &["no such incident: feed-1"]),
        (&["incidents", "ack", "feed-1"], 3, &["no such incident: feed-1"]),
        (&["incidents", "run", "feed-1"], 3, &["no such incident: feed-1"]),
        (&["incidents", "ls", "--state", "bad"], 2, &["state: must be one of", "suppressed"]),
        (&["incidents", "ls", "--severity", "bad"], 2, &["severity", "critical"]),
        (&["incidents", "ack", "feed-1", "--by", " "], 2, &["--by: must be a name"]),
        (&["why", "feed-1"], 3, &["no such incident: feed-1"]),
        (&["notify", "test", "nobody"], 3, &["no such channel: nobody"]),
    ] {
        let (got, said) = refused(&product, args);
        assert_eq!(got, code, "{args:?}: {said}");
        for word in words {
            assert!(said.contains(word), "{args:?}: no {word:?} in: {said}");
        }
    }
    assert_eq!(json(&product, &["silence", "ls"])["silences"].as_array().unwrap().len(), 0);

    node.kill().unwrap();
    let id = node_incident(&product, "a", "firing")["id"].as_str().unwrap().to_owned();
    let (code, said) = refused(&product, &["incidents", "close", &id]);
    assert!(code == 4 && said.contains("acknowledge it instead"), "{code} {said}");
    let (code, said) = refused(&product, &["incidents", "run", &id]);
    assert!(code == 4 && said.contains("on_down"), "{code} {said}");
    let _node = join(&product, "a");
    node_incident(&product, "a", "resolved");
    let (code, said) = refused(&product, &["incidents", "ack", &id]);
    assert!(code == 4 && said.contains("nothing to acknowledge"), "{code} {said}");
}

#[test]
fn without_a_monitor_every_command_says_where_it_looked() {
    let mut product = Product::start(&[], &[]);
    product.kill();
    let web = format!("127.0.0.1:{}", product.web);
    for args in [
        &["silence", "ls"][..],
        &["silence", "add", "rule=x", "--for", "1h"],
        &["maintenance", "start", "local", "--for", "1h"],
        &["incidents"],
        &["why", "feed-1"],
    ] {
        let (code, said) = refused(&product, args);
        assert!(code == 6 && said.contains(&web), "{args:?}: {code} {said}");
    }
    assert_eq!(product.verb(&["status"]).status.code(), Some(3));
}

#[test]
fn the_audit_is_bounded_and_paged() {
    let product = Product::start(&[], &[]);
    for name in ["x", "y", "z"] {
        json(&product, &["silence", "add", &format!("rule={name}"), "--for", "1h"]);
    }
    until("three lines", || product.api("audit")["audit"].as_array().unwrap().len() == 3);
    let first = product.api("audit?limit=2");
    assert_eq!(first["audit"][0]["about"], "silence-3");
    let rest = product.api(&format!("audit?limit=2&before={}", first["next"]));
    assert_eq!((&rest["audit"][0]["about"], &rest["next"]), (&"silence-1".into(), &().into()));
    let (status, _) = wk_peers::wait::http_get(product.web, "/api/v1/audit?limit=1001").unwrap();
    assert!(status.contains(" 400 "), "{status}");
    let page = product.page("/audit");
    assert!(page.contains(">silence-3<") && page.contains("until 20"), "{page}");
    assert!(product.page("/rules").contains("NotifyBacklog"));
}

//! The listener as a client sees it, over a fixed picture.

use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use wk_monitor::MonitorHandle;

use super::*;
use crate::fixture;

async fn started() -> Web {
    started_with(fixture::view()).await
}

async fn started_with(view: wk_monitor::View) -> Web {
    let config = WebConfig {
        listen: ([127, 0, 0, 1], 0).into(),
        insecure: false,
        lang: None,
        version: "0.0.0".to_owned(),
    };
    let bound = Web::bind(config).await.unwrap();
    bound.serve(MonitorHandle::fixed(view)).unwrap()
}

/// One request as written, the whole answer as text.
async fn ask(web: &Web, head: &str, body: &str) -> String {
    let mut stream = TcpStream::connect(web.addr()).await.unwrap();
    let length = body.len();
    let request = format!("{head}\r\nConnection: close\r\nContent-Length: {length}\r\n\r\n{body}");
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).await.unwrap();
    String::from_utf8(answer).unwrap()
}

async fn get(web: &Web, path: &str) -> String {
    ask(web, &format!("GET {path} HTTP/1.1\r\nHost: localhost"), "").await
}

fn status(answer: &str) -> &str {
    answer.split(' ').nth(1).unwrap_or("")
}

#[tokio::test]
async fn pages_come_with_a_strict_policy() {
    let web = started().await;
    for path in ["/", "/incidents/2b90e4d1-3", "/nothing", "/api/v1/fleet", "/metrics"] {
        let answer = get(&web, path).await.to_lowercase();
        let policy = "content-security-policy: default-src 'none'; script-src 'self'";
        assert!(answer.contains(policy), "{path}: {answer}");
        assert!(answer.contains("x-content-type-options: nosniff"), "{path}");
    }
    let page = get(&web, "/").await;
    assert!(!page.contains(" style="), "the policy would refuse it");
    assert!(!page.contains(" onclick="), "the policy would refuse it");
    for path in [assets::STYLE, assets::SCRIPT, assets::ICON] {
        assert_eq!(status(&get(&web, path).await), "200", "{path}");
    }
}

#[tokio::test]
async fn language_follows_click_then_browser() {
    let web = started().await;
    let asked = |headers: &str| format!("GET / HTTP/1.1\r\nHost: localhost{headers}");
    assert!(ask(&web, &asked(""), "").await.contains("things need you"));
    let zh = "\r\nAccept-Language: zh-CN,zh;q=0.9";
    assert!(ask(&web, &asked(zh), "").await.contains("个问题需要处理"));
    let both = "\r\nAccept-Language: zh-CN\r\nCookie: lang=en";
    assert!(ask(&web, &asked(both), "").await.contains("things need you"));
    let clicked = get(&web, "/?lang=zh").await;
    assert!(clicked.contains("个问题需要处理"));
    assert!(clicked.contains("set-cookie: lang=zh;"), "the next page is in Chinese too");
}

#[tokio::test]
async fn foreign_names_get_nothing() {
    let web = started().await;
    let answer = ask(&web, "GET / HTTP/1.1\r\nHost: evil.example:7181", "").await;
    assert_eq!(status(&answer), "421");
    assert!(!answer.contains("web-2"));
}

#[tokio::test]
async fn get_never_acts_and_forms_need_their_token() {
    let web = started().await;
    let path = "/incidents/2b90e4d1-3/ack";
    assert_eq!(status(&get(&web, path).await), "405");
    let head = format!(
        "POST {path} HTTP/1.1\r\nHost: localhost\r\n\
         Content-Type: application/x-www-form-urlencoded"
    );
    assert_eq!(status(&ask(&web, &head, "by=eve").await), "403");
    assert_eq!(status(&ask(&web, &head, "by=eve&token=00").await), "403");

    let page = get(&web, "/incidents/2b90e4d1-3").await;
    let (_, after) = page.split_once("name=\"token\" value=\"").unwrap();
    let body = format!("by=eve&token={}", after.split('"').next().unwrap());
    let foreign = format!("{head}\r\nOrigin: https://evil.example");
    assert_eq!(status(&ask(&web, &foreign, &body).await), "403");
    // The fixed monitor can do nothing, but this one has come through to it.
    assert_eq!(status(&ask(&web, &head, &body).await), "503");
}

#[tokio::test]
async fn every_form_needs_its_own_token_and_json_its_type() {
    let web = started().await;
    for path in [
        "/silences",
        "/maintenance",
        "/silences/silence-1/end",
        "/maintenance/maintenance-1/end",
        "/channels/mail/test",
        "/incidents/2b90e4d1-3/close",
        "/incidents/2b90e4d1-3/run",
    ] {
        let form = "Host: localhost\r\nContent-Type: application/x-www-form-urlencoded";
        let head = format!("POST {path} HTTP/1.1\r\n{form}");
        let fields = "by=eve&for=60&reason=&matchers=rule%3Dx&target=prod";
        assert_eq!(status(&ask(&web, &head, fields).await), "403", "{path}");
        // Our own forms come through to the monitor, which can do nothing here.
        let tokens = get(&web, "/silences").await;
        let (_, after) = tokens.split_once("name=\"token\" value=\"").unwrap();
        let body = format!("{fields}&token={}", after.split('"').next().unwrap());
        let expected = if path == "/silences" { "503" } else { "403" };
        assert_eq!(status(&ask(&web, &head, &body).await), expected, "{path}: another's token");
    }
    let json = "Host: localhost\r\nContent-Type: application/json";
    let post = |path: &str| format!("POST /api/v1{path} HTTP/1.1\r\n{json}");
    for (path, body, want) in [
        ("/silences", r#"{"matchers": ["a=b"], "for": 60}"#, "503"),
        ("/silences", r#"{"matchers": ["a=b"], "for": -60}"#, "400"),
        ("/silences", r#"{"matchers": ["a=b"]}"#, "422"),
        ("/silences", "{", "400"),
        ("/maintenance", r#"{"target": "prod", "for": "60"}"#, "503"),
        ("/maintenance/end", r#"{"target": "prod"}"#, "503"),
        ("/incidents/2b90e4d1-3/run", "{}", "503"),
        ("/incidents/2b90e4d1-3/nonsense", "{}", "404"),
    ] {
        let answer = ask(&web, &post(path), body).await;
        assert_eq!(status(&answer), want, "{path} {body}: {answer}");
        assert!(answer.contains("\"error\":"), "{path} {body}: {answer}");
        let foreign = format!("{}\r\nOrigin: http://evil.example", post(path));
        assert_eq!(status(&ask(&web, &foreign, body).await), "403", "{path}");
    }
}

#[tokio::test]
async fn api_gives_the_monitors_own_json() {
    let web = started().await;
    let json = |answer: String| -> serde_json::Value {
        serde_json::from_str(answer.split_once("\r\n\r\n").unwrap().1).unwrap()
    };
    let all = json(get(&web, "/api/v1/incidents").await);
    assert_eq!(all["incidents"].as_array().unwrap().len(), 3);
    assert_eq!(all["incidents"][0]["id"], "2b90e4d1-3");
    let open = json(get(&web, "/api/v1/incidents?open=true&rule=NodeDown").await);
    assert_eq!(open["incidents"].as_array().unwrap().len(), 1);
    let resolved = json(get(&web, "/api/v1/incidents?state=resolved").await);
    assert_eq!(resolved["incidents"][0]["state"], "resolved");
    for (query, word) in [
        ("incidents?state=wrong", "state"),
        ("incidents?severity=wrong", "severity"),
        ("incidents?limit=many", "limit"),
        ("audit?limit=0", "limit: must be from 1 to 1000"),
        ("audit?before=x", "before"),
        ("silences?all=maybe", "all"),
    ] {
        let answer = get(&web, &format!("/api/v1/{query}")).await;
        assert_eq!(status(&answer), "400", "{query}");
        let said = json(answer)["error"].as_str().unwrap().to_owned();
        assert!(said.contains(word), "{query}: {said}");
    }
    let fleet = json(get(&web, "/api/v1/fleet").await);
    assert_eq!(fleet["ensembles"][0]["nodes"][1]["state"], "down");
    for (asked, count) in [("all", 6), ("faulty", 2), ("none", 0)] {
        let fleet = json(get(&web, &format!("/api/v1/fleet?nodes={asked}")).await);
        let ensemble = &fleet["ensembles"][0];
        assert_eq!(ensemble["nodes"].as_array().map(Vec::len), Some(count), "{asked}");
        assert_eq!(ensemble["groups"].as_array().map(Vec::len), Some(3), "all are counted");
    }
    let refused = get(&web, "/api/v1/fleet?nodes=some").await;
    assert!(status(&refused) == "400" && refused.contains("all, faulty, none"), "{refused}");
    assert_eq!(json(get(&web, "/api/v1/status").await)["code"], 2);
    assert_eq!(json(get(&web, "/api/v1/nodes").await)["nodes"][0]["ensemble"], "local");
    let missing = get(&web, "/api/v1/nothing").await;
    assert_eq!(status(&missing), "404");
    assert!(json(missing)["error"].is_string());
}

#[tokio::test]
async fn those_of_which_nobody_is_told_take_nobodys_place() {
    let mut view = fixture::view();
    let told = view.incidents.iter().find(|i| i.state.is_open()).unwrap().clone();
    let hushed = |n: u32| {
        let mut incident = (*told).clone();
        incident.id = format!("hushed-{n}");
        incident.state = wk_monitor::IncidentState::Suppressed;
        incident.suppressed_by = Some("silence-1".to_owned());
        std::sync::Arc::new(incident)
    };
    // Newer ones than those that somebody has to know.
    view.incidents.splice(0..0, (0..700).map(hushed));
    let web = started_with(view).await;
    let page = get(&web, "/").await;
    let card = format!("class=\"card {}\" href=\"/incidents/{}\"", told.severity.as_str(), told.id);
    assert!(page.contains(&card), "{page}");
    assert!(page.contains("Nobody is told of 700 more"), "all are counted");
    let asked = get(&web, "/api/v1/incidents?open=true&hushed=false&limit=5").await;
    assert!(asked.contains(&told.id) && !asked.contains("hushed-"), "{asked}");
    let asked = get(&web, "/api/v1/incidents?open=true&hushed=true&limit=5").await;
    assert_eq!(asked.matches("\"id\":\"hushed-").count(), 5, "{asked}");
    assert!(!asked.contains(&told.id));
}

#[tokio::test]
async fn the_list_of_silences_has_a_limit_and_those_in_force_come_before_it() {
    let mut view = fixture::view();
    let silence = |n: u32| wk_monitor::Silence {
        id: format!("silence-{n}"),
        matchers: vec!["rule=NodeDown".to_owned()],
        term: wk_monitor::Term { active: n < 3, ..wk_monitor::Term::default() },
    };
    view.silences = (0..800).map(silence).collect();
    let web = started_with(view).await;
    for (asked, count) in [("", 3), ("?limit=2", 2), ("?all=true", 500), ("?all=true&limit=5", 5)] {
        let answer = get(&web, &format!("/api/v1/silences{asked}")).await;
        assert_eq!(answer.matches("\"id\":").count(), count, "{asked}");
        assert!(answer.contains("\"silence-0\""), "{asked}");
    }
    let refused = get(&web, "/api/v1/maintenance?limit=many").await;
    assert!(status(&refused) == "400" && refused.contains("limit"), "{refused}");
}

#[tokio::test]
async fn api_actions_want_json_from_here() {
    let web = started().await;
    let post = |more: &str| {
        format!("POST /api/v1/incidents/2b90e4d1-3/ack HTTP/1.1\r\nHost: localhost{more}")
    };
    let form = post("\r\nContent-Type: application/x-www-form-urlencoded");
    assert_eq!(status(&ask(&web, &form, "by=eve").await), "415");
    let foreign = post("\r\nContent-Type: application/json\r\nOrigin: http://evil.example");
    assert_eq!(status(&ask(&web, &foreign, "{}").await), "403");
    let ours = post("\r\nContent-Type: application/json");
    assert_eq!(status(&ask(&web, &ours, r#"{"by":"eve"}"#).await), "503");
}

#[tokio::test]
async fn stream_begins_with_the_fleet_and_ends_with_the_listener() {
    let web = started().await;
    let mut stream = TcpStream::connect(web.addr()).await.unwrap();
    let ask = "GET /api/v1/events HTTP/1.1\r\nHost: localhost\r\n\r\n";
    stream.write_all(ask.as_bytes()).await.unwrap();
    let mut seen = Vec::new();
    while !String::from_utf8_lossy(&seen).contains("\n\n") {
        assert_ne!(stream.read_buf(&mut seen).await.unwrap(), 0, "ended early");
    }
    let text = String::from_utf8(seen).unwrap();
    assert!(text.contains("event: fleet") && text.contains("\"open_incidents\":2"), "{text}");
    web.stop().await;
    let mut rest = Vec::new();
    stream.read_to_end(&mut rest).await.unwrap();
}

#[tokio::test]
async fn beyond_loopback_is_refused_unless_meant() {
    let config = WebConfig {
        listen: ([0, 0, 0, 0], 0).into(),
        insecure: false,
        lang: None,
        version: "0.0.0".to_owned(),
    };
    let refused = Web::bind(config.clone()).await.unwrap_err();
    assert!(refused.to_string().contains("--insecure"), "{refused}");
    Web::bind(WebConfig { insecure: true, ..config }).await.unwrap();
}

#[tokio::test]
async fn taken_port_is_an_error_that_names_it() {
    let web = started().await;
    let config =
        WebConfig { listen: web.addr(), insecure: false, lang: None, version: "0.0.0".to_owned() };
    let taken = Web::bind(config).await.unwrap_err();
    assert!(taken.to_string().contains(&web.addr().to_string()), "{taken}");
}

#[tokio::test]
async fn metrics_pages_show_the_fleet() {
    let web = started().await;
    let own = get(&web, "/metrics").await;
    for line in [
        "watchkeeper_node_alive{ensemble=\"local\",group=\"web\",node=\"web-2\"} 0",
        "watchkeeper_server_up{ensemble=\"prod\",instance=\"zk2.example.internal:2181\"} 0",
        "watchkeeper_incidents{severity=\"critical\",state=\"firing\"} 1",
        "watchkeeper_incidents_opened_total{rule=\"NodeDown\"} 3",
        "watchkeeper_notifications_total{channel=\"mail\",outcome=\"confirmed\"} 14",
        "watchkeeper_server_zxid_epoch{ensemble=\"local\",instance=\"127.0.0.1:2181\"} 5",
    ] {
        assert!(own.contains(line), "no {line} in\n{own}");
    }
    let apache = get(&web, "/compat/apache/metrics").await;
    assert!(apache.contains("znode_count{ensemble=\"local\",instance=\"127.0.0.1:2181\"} 1284"));
    // The histogram is filled by a task of its own.
    let want = "zookeeper_metrics_latency_microseconds_count\
                {instance=\"127.0.0.1:2181\",method=\"probe\"} 1";
    tokio::time::timeout(Duration::from_secs(20), async {
        while !get(&web, "/compat/generic/metrics").await.contains(want) {
            tokio::task::yield_now().await;
        }
    })
    .await
    .expect("the probe is noted");
}

//! Looks at a stand-in on loopback that answers as told: as servers do, and as none should.
#![allow(clippy::unwrap_used, clippy::float_cmp, reason = "told numbers come back as they are")]

mod stub;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use stub::{Say, Stub};
use wk_client::Tcp;
use wk_probe::board::Board;
use wk_probe::look::{Look, Looker, Outcome, Pace, Ports, Silence, Target};
use wk_probe::note::NoteKind;
use wk_promql::is_stale;

const LEADER: &str = include_str!("../../../golden/pages/3.9.5-leader-metrics.txt");
const DEAF: &str = include_str!("../../../golden/pages/3.9.5-noquorum-metrics.txt");
const SRVR: &str = include_str!("../../../golden/pages/3.8.6-leader-srvr.txt");
const MNTR: &str = include_str!("../../../golden/pages/3.8.6-leader-mntr.txt");
const CONF: &str = include_str!("../../../golden/pages/3.8.6-leader-conf.txt");
const NOT_SERVING: &str = "This ZooKeeper instance is not currently serving requests\n";

/// Short enough for a test, long enough for a busy machine.
fn pace() -> Pace {
    let limit = Duration::from_millis(700);
    Pace { limit, patience: Duration::from_millis(300), ..Pace::default() }
}

fn looker(stub: &Stub, ports: Ports) -> Looker {
    let target = Target { ensemble: "e".into(), instance: stub.address(), ports, site: None };
    looker_of(target, pace())
}

fn looker_of(target: Target, pace: Pace) -> Looker {
    let board = Arc::new(Mutex::new(Board::default()));
    Looker::new(target, pace, Arc::new(Tcp), board, Instant::now())
}

fn page_at(stub: &Stub) -> Ports {
    Ports { metrics: Some(stub.port()), ..Ports::default() }
}

/// Looks until the looker has learnt what is offered and `wanted` holds.
async fn until(looker: &mut Looker, wanted: impl Fn(&Look) -> bool) -> Look {
    let end = Instant::now() + Duration::from_mins(1);
    loop {
        let look = looker.look(1).await;
        if wanted(&look) {
            return look;
        }
        assert!(Instant::now() < end, "last: {:?} {:?}", look.outcome, look.notes);
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

fn values(look: &Look) -> BTreeMap<String, f64> {
    let bare = look.samples.iter().filter(|sample| sample.labels.get("quantile").is_empty());
    bare.map(|sample| (sample.labels.name().to_owned(), sample.value)).collect()
}

fn serves(look: &Look) -> bool {
    matches!(look.outcome, Outcome::Serving { .. })
}

/// A page gave its figures.
fn by_page(look: &Look) -> bool {
    values(look).contains_key("looking_count")
}

fn notes(look: &Look) -> Vec<NoteKind> {
    look.notes.iter().map(|note| note.kind).collect()
}

#[tokio::test]
async fn a_page_tells_all_and_its_serving_gauges_end_with_the_quorum() {
    let stub = Stub::start().await;
    stub.say("/metrics", Say::page(LEADER));
    stub.say("srvr", Say::text(SRVR));
    stub.say("conf", Say::text(CONF));
    let mut looker = looker(&stub, page_at(&stub));
    let look = until(&mut looker, by_page).await;
    assert_eq!(look.outcome, Outcome::Serving { mode: "leader".into() });
    let figures = values(&look);
    assert_eq!((figures["up"], figures["quorum_size"]), (1.0, 3.0));
    assert_eq!(look.identity.version.as_deref(), Some("3.8.6"));
    assert!(figures.contains_key("watchkeeper_server_version_info"));
    assert!(figures.contains_key("watchkeeper_server_config_info"));
    assert!(looker.is_quiet() && looker.leads());

    stub.say("/metrics", Say::page(DEAF));
    let look = until(&mut looker, |look| !serves(look)).await;
    assert!(matches!(look.outcome, Outcome::NotServing { .. }), "{:?}", look.outcome);
    let figures = values(&look);
    assert_eq!(figures["up"], 1.0);
    for gone in ["znode_count", "leader_uptime", "uptime", "synced_followers"] {
        assert!(is_stale(figures[gone]), "{gone}");
    }
    assert!(!is_stale(figures["looking_count"]));
    assert!(!values(&looker.look(2).await).contains_key("znode_count"), "it ends once");
}

#[tokio::test]
async fn words_alone_tell_what_they_can_and_the_notes_say_the_missing_lines() {
    let stub = Stub::start().await;
    stub.say("srvr", Say::text(SRVR));
    let refused = |word: &str| {
        Say::text(&format!("{word} is not executed because it is not in the whitelist.\n"))
    };
    stub.say("mntr", refused("mntr"));
    stub.say("conf", refused("conf"));
    let mut looker = looker(&stub, Ports { admin: Some(1), metrics: Some(1), ..Ports::default() });
    let look = until(&mut looker, |look| notes(look).contains(&NoteKind::NoMetricsPage)).await;
    assert_eq!(look.outcome, Outcome::Serving { mode: "leader".into() });
    assert!(notes(&look).contains(&NoteKind::FiguresHidden), "{:?}", look.notes);
    assert!(notes(&look).contains(&NoteKind::ConfHidden), "{:?}", look.notes);
    assert!(!looker.is_quiet());
    let look = looker.look(1).await;
    assert_eq!(values(&look)["znode_count"], 10.0);
    assert!(values(&look)["leader_uptime"] >= 0.0);

    // Allowed at last: `mntr` is asked again, but a refused word only after a minute.
    let asked = stub.asked("mntr");
    looker.look(1).await;
    assert_eq!(stub.asked("mntr"), asked);

    stub.say("srvr", Say::text(NOT_SERVING));
    let look = looker.look(1).await;
    assert!(matches!(look.outcome, Outcome::NotServing { .. }));
    assert!(is_stale(values(&look)["znode_count"]));
}

#[tokio::test]
async fn mntr_gives_the_figures_where_there_is_no_page() {
    let stub = Stub::start().await;
    stub.say("srvr", Say::text(SRVR));
    stub.say("mntr", Say::text(MNTR));
    stub.say("conf", Say::text(CONF));
    let mut looker = looker(&stub, Ports { admin: Some(1), metrics: Some(1), ..Ports::default() });
    let look = looker.look(1).await;
    assert!(by_page(&look) && values(&look)["looking_count"] >= 1.0);
    assert!(!notes(&look).contains(&NoteKind::FiguresHidden));
    // Between two `mntr`s only the state is asked, and the figures stand.
    let look = looker.look(2).await;
    assert_eq!((stub.asked("mntr"), serves(&look), look.figures.is_none()), (1, true, true));
    assert!(look.samples.iter().all(|sample| !is_stale(sample.value)));
}

#[tokio::test]
async fn before_its_first_figures_a_server_has_those_of_its_word() {
    let stub = Stub::start().await;
    stub.say("srvr", Say::text(SRVR));
    stub.say("mntr", Say::Hang);
    stub.say("conf", Say::text(CONF));
    let mut looker = looker(&stub, Ports { admin: Some(1), metrics: Some(1), ..Ports::default() });
    // Who serves without any figures would look as if it did not serve, and lead nobody.
    let look = looker.look(1).await;
    assert!(serves(&look) && stub.asked("mntr") == 1, "{:?}", look.outcome);
    assert_eq!(values(&look)["znode_count"], 10.0);
    assert!(values(&look).contains_key("leader_uptime"));
    // Those of `mntr` stand over an answer that does not come.
    stub.say("mntr", Say::text(MNTR));
    let all = until(&mut looker, |look| values(look).contains_key("looking_count")).await;
    assert_eq!(values(&all)["znode_count"], 10.0);
    assert!(!values(&looker.look(3).await).contains_key("looking_count"), "nothing new");
}

#[tokio::test]
async fn a_page_that_never_ends_is_cut_and_the_server_is_up() {
    let stub = Stub::start().await;
    stub.say("srvr", Say::text(SRVR));
    stub.say("/metrics", Say::page(LEADER));
    let mut looker = looker(&stub, page_at(&stub));
    until(&mut looker, by_page).await;
    let head = "HTTP/1.1 200 OK\r\ncontent-type: text/plain\r\n\r\n";
    stub.say("/metrics", Say::Endless(format!("{head}{LEADER}"), "more_{} 1\n".into()));
    let look = until(&mut looker, |look| notes(look).contains(&NoteKind::PageCut)).await;
    assert!(serves(&look) && look.samples.len() < 25_000);
    assert_eq!(values(&look)["up"], 1.0);
    // One that trickles without an end is cut by time.
    stub.say("/metrics", Say::Trickle(format!("{head}{LEADER}")));
    let begun = Instant::now();
    let look = looker.look(1).await;
    assert!(notes(&look).contains(&NoteKind::PageCut), "{:?}", look.notes);
    assert!(begun.elapsed() < Duration::from_secs(30));
}

#[tokio::test]
async fn lies_of_http_are_named_and_a_word_tells_the_state() {
    let stub = Stub::start().await;
    stub.say("srvr", Say::text(SRVR));
    stub.say("/metrics", Say::page(LEADER));
    stub.say("/elsewhere", Say::page(LEADER));
    let mut looker = looker(&stub, page_at(&stub));
    until(&mut looker, by_page).await;
    let redirect = "HTTP/1.1 302 Found\r\nlocation: /elsewhere\r\ncontent-length: 0\r\n\r\n";
    let html = "HTTP/1.1 200 OK\r\ncontent-length: 13\r\n\r\n<html></html>";
    for (answer, why) in [
        (redirect, "redirect"),
        (html, "no metrics page: line 1"),
        ("HTTP/1.1 500 Oh\r\ncontent-length: 0\r\n\r\n", "HTTP 500"),
        ("\0\x01\x02 garbage\r\n\r\n", ""),
        ("HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n", "it is empty"),
    ] {
        stub.say("/metrics", Say::text(answer));
        let look = looker.look(1).await;
        assert!(serves(&look), "{why}: {:?}", look.outcome);
        let silent = |note: &&wk_probe::note::Note| note.kind == NoteKind::PageSilent;
        let note = look.notes.iter().find(silent).unwrap_or_else(|| panic!("{why}"));
        assert!(note.args[1].contains(why), "{why}: {}", note.args[1]);
    }
    assert_eq!(stub.asked("/elsewhere"), 0, "a redirect is not followed");
    // A length that promises more than comes: what came counts, and the cut is said.
    let body = format!("HTTP/1.1 200 OK\r\ncontent-length: 999999\r\n\r\n{LEADER}");
    stub.say("/metrics", Say::text(&body));
    let look = looker.look(1).await;
    assert!(serves(&look) && by_page(&look));
    assert!(notes(&look).contains(&NoteKind::PageCut), "{:?}", look.notes);
    // Huge labels: that line is left out, by name.
    let huge = format!("{LEADER}huge{{a=\"{}\"}} 1\nfine 1\n", "x".repeat(10_000));
    stub.say("/metrics", Say::page(&huge));
    let look = looker.look(1).await;
    assert!(notes(&look).contains(&NoteKind::PageUnsound) && values(&look).contains_key("fine"));
}

#[tokio::test]
async fn a_paused_server_is_down_within_the_limit_and_up_again_at_once() {
    let stub = Stub::start().await;
    stub.say("/metrics", Say::page(LEADER));
    stub.say("srvr", Say::text(SRVR));
    let mut looker = looker(&stub, page_at(&stub));
    until(&mut looker, by_page).await;
    stub.say("/metrics", Say::Hang);
    stub.say("srvr", Say::Hang);
    let begun = Instant::now();
    let look = looker.look(1).await;
    assert!(begun.elapsed() < Duration::from_secs(20), "{:?}", begun.elapsed());
    let silent = matches!(look.outcome, Outcome::NoAnswer { silence: Silence::Full, .. });
    assert!(silent, "{:?}", look.outcome);
    assert_eq!(values(&look)["up"], 0.0);
    assert!(is_stale(values(&look)["znode_count"]) && is_stale(values(&look)["looking_count"]));
    stub.say("/metrics", Say::page(LEADER));
    stub.say("srvr", Say::text(SRVR));
    assert_eq!(values(&looker.look(1).await)["up"], 1.0);
}

#[tokio::test]
async fn a_slow_page_is_backed_by_a_word() {
    let stub = Stub::start().await;
    stub.say("/metrics", Say::page(LEADER));
    stub.say("srvr", Say::text(SRVR));
    let mut looker = looker(&stub, page_at(&stub));
    until(&mut looker, by_page).await;
    stub.say("/metrics", Say::Hang);
    let look = looker.look(1).await;
    assert!(serves(&look), "{:?}", look.outcome);
    assert!(notes(&look).contains(&NoteKind::PageSilent));
}

#[tokio::test]
async fn words_that_are_closed_beside_a_page_are_the_limit_of_connections() {
    let stub = Stub::start().await;
    stub.say("/metrics", Say::page(LEADER));
    stub.say("srvr", Say::text(""));
    stub.say("conf", Say::text(""));
    let mut looker = looker(&stub, page_at(&stub));
    let look = until(&mut looker, |look| notes(look).contains(&NoteKind::ConnectionLimit)).await;
    assert_eq!(look.outcome, Outcome::Serving { mode: "leader".into() });
    assert_eq!(values(&look)["up"], 1.0);
}

#[tokio::test]
async fn admin_server_is_believed_when_it_is_this_servers_and_leads_to_the_page() {
    let stub = Stub::start().await;
    let said = |command: &str, more: &str| {
        Say::page(&format!("{{\"command\": \"{command}\", \"error\": null{more}}}"))
    };
    let admin = Ports { admin: Some(stub.port()), ..Ports::default() };
    stub.say("/commands/ruok", said("ruok", ""));
    let port = format!(", \"client_port\": {}, \"server_id\": 3", stub.port());
    stub.say("/commands/configuration", said("configuration", &port));
    stub.say("/commands/monitor", said("monitor", ", \"znode_count\": 7, \"followers\": 2"));
    let who = ", \"version\": \"3.5.10-a\", \"server_stats\": {\"server_state\": \"leader\"}";
    stub.say("/commands/server_stats", said("server_stats", who));
    let mut looker = looker(&stub, admin);
    let look = until(&mut looker, |look| values(look).contains_key("learners")).await;
    assert_eq!(look.outcome, Outcome::Serving { mode: "leader".into() });
    assert_eq!(values(&look)["learners"], 2.0);
    assert!(looker.is_quiet());
    let deaf = "{\"command\": \"ruok\", \"error\": \"This ZooKeeper instance is not currently \
                serving requests\"}";
    stub.say("/commands/ruok", Say::page(deaf));
    let look = looker.look(1).await;
    assert!(matches!(look.outcome, Outcome::NotServing { .. }));
    assert!(is_stale(values(&look)["znode_count"]));
    assert!(!looker.is_quiet(), "each call is a line in its log now");

    let zoo_cfg = format!(
        "metricsProvider.className=a.PrometheusMetricsProvider\\nmetricsProvider.httpPort={}\\n",
        stub.port()
    );
    stub.say("/commands/ruok", said("ruok", ""));
    let text = format!(", \"initial_configuration\": \"{zoo_cfg}\"");
    stub.say("/commands/initial_configuration", said("initial_configuration", &text));
    stub.say("/metrics", Say::page(LEADER));
    let mut second =
        looker_of(Target { instance: stub.address(), ports: admin, ..Target::default() }, pace());
    until(&mut second, by_page).await;
    assert!(stub.asked("/metrics") >= 2);
}

#[tokio::test]
async fn nothing_there_is_no_answer() {
    let stub = Stub::start().await;
    let address = stub.address();
    drop(stub);
    let mut looker = looker_of(Target { instance: address, ..Target::default() }, pace());
    let look = looker.look(7).await;
    assert!(matches!(look.outcome, Outcome::NoAnswer { .. }));
    assert_eq!((look.samples.len(), look.samples[0].at, look.samples[0].value), (1, 7, 0.0));
    // The listener closes in a moment; from then on the host says so.
    let refused =
        |look: &Look| matches!(look.outcome, Outcome::NoAnswer { silence: Silence::Refused, .. });
    until(&mut looker, refused).await;
}

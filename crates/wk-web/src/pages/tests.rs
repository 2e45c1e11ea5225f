//! What pages say, tried on fixed fleets; how they look is tried in a real browser (tests/it).

use std::sync::Arc;

use wk_monitor::{Fleet, IncidentState, Level, View};

use super::*;
use crate::fixture;
use crate::guard::FormTokens;

fn with_context<T>(lang: Lang, draw: impl FnOnce(&Context<'_>) -> T) -> T {
    let tokens = FormTokens::new().unwrap();
    draw(&Context {
        lang,
        clock: Clock::now(),
        tokens: &tokens,
        version: "0.0.0",
        path: "/".to_owned(),
    })
}

fn fleet_page(lang: Lang, view: &View) -> String {
    with_context(lang, |ctx| fleet(ctx, &view.fleet, &view.incidents).into_string())
}

fn incident_page(lang: Lang, state: IncidentState) -> String {
    let (detail, view) = (fixture::detail(state), fixture::view());
    with_context(lang, |ctx| incident(ctx, Detail::Full(&detail), &view.fleet).into_string())
}

/// Positions of `needles` in `page`, which must all be there.
fn order(page: &str, needles: &[&str]) -> Vec<usize> {
    needles.iter().map(|n| page.find(n).unwrap_or_else(|| panic!("no {n:?} in {page}"))).collect()
}

#[test]
fn worst_comes_first() {
    let page = fleet_page(Lang::En, &fixture::view());
    let at = order(&page, &["2 things need you", "zk2.example.internal:2181 does not answer"]);
    assert!(at.is_sorted());
    assert!(order(&page, &["<h2>prod</h2>", "<h2>local</h2>"]).is_sorted());
    assert!(order(&page, &[">zk2.example", ">zk1.example"]).is_sorted());
    assert!(order(&page, &[">web-2</span>", ">web-1</span>", ">web-3</span>"]).is_sorted());
}

#[test]
fn empty_states_tell_what_to_do() {
    let mut view = fixture::view();
    let mut fleet = Fleet { level: Level::Ok, channels: Vec::new(), ..(*view.fleet).clone() };
    fleet.ensembles.truncate(1);
    fleet.ensembles[0].nodes.clear();
    fleet.ensembles[0].groups.clear();
    view.fleet = Arc::new(fleet);
    view.incidents.clear();
    let page = fleet_page(Lang::En, &view);
    order(&page, &["All is well", "watchkeeper member join web/one", "Nobody is told yet"]);
    let page = fleet_page(Lang::Zh, &view);
    order(&page, &["一切正常", "watchkeeper member join web/one", "目前不会通知任何人"]);
}

#[test]
fn incident_page_answers_the_questions_of_the_night() {
    let page = incident_page(Lang::En, IncidentState::Firing);
    order(
        &page,
        &[
            "<h1>Node web/web-2 is down",
            "since ",
            "What was seen",
            "/nodes/web/web-2",
            "What to do next",
            "delete /nodes/web/web-2",
            "confirmed",
            "connect 10.0.0.25:25: timed out",
            "Time line",
        ],
    );
    assert!(page.contains(r#"action="/incidents/2b90e4d1-3/ack""#));
    assert!(!page.contains("/close\""), "a fault that is there cannot be closed");
    assert!(page.contains(r#"action="/incidents/2b90e4d1-3/run""#), "the action of its group");
    let page = incident_page(Lang::Zh, IncidentState::Resolved);
    assert!(!page.contains("/run\""), "there is nothing to cure");
    order(&page, &["已恢复", "证据", "/incidents/2b90e4d1-3/close", "时间线"]);
}

#[test]
fn an_action_that_may_not_run_has_no_button_but_a_reason() {
    let mut detail = fixture::detail(IncidentState::Firing);
    detail.cure.as_mut().unwrap().refusal = Some("2 of 3 nodes <b>".to_owned());
    let view = fixture::view();
    let page =
        with_context(Lang::En, |c| incident(c, Detail::Full(&detail), &view.fleet).into_string());
    assert!(page.contains("2 of 3 nodes &lt;b&gt;") && !page.contains("/run\""), "{page}");
}

#[test]
fn values_cannot_become_markup() {
    let mut detail = fixture::detail(IncidentState::Firing);
    let bad = "<script>alert(1)</script>\"'>";
    detail.incident.summary = bad.to_owned();
    detail.incident.evidence = vec![bad.to_owned()];
    detail.incident.node = Some(bad.to_owned());
    detail.incident.id = bad.to_owned();
    detail.deliveries[1].last_error = Some(bad.to_owned());
    detail.timeline[0].text = bad.to_owned();
    let view = fixture::view();
    let page =
        with_context(Lang::En, |c| incident(c, Detail::Full(&detail), &view.fleet).into_string());
    assert!(!page.contains("<script>alert"), "{page}");
    assert_eq!(page.matches("<script").count(), 1, "only our own file");
}

#[test]
fn long_groups_are_cut_and_counted() {
    let mut view = fixture::view();
    let mut fleet = (*view.fleet).clone();
    fleet.ensembles.truncate(1);
    let up = |n| fixture::node(Some("web"), &format!("n{n}"), wk_monitor::NodeState::Up);
    fleet.ensembles[0].nodes.extend((0..5000).map(up));
    view.fleet = Arc::new(fleet);
    let page = fleet_page(Lang::En, &view);
    assert!(page.contains("and 4803 more"), "web has 5003, 200 are shown");
    assert!(page.contains(">web-2<"), "the one that is down is among them");
}

#[test]
fn numbers_are_readable() {
    assert_eq!(grouped(7), "7");
    assert_eq!(grouped(1_284_001), "1\u{202f}284\u{202f}001");
    assert_eq!(short_seconds(0.0004), "0.4 ms");
    assert_eq!(short_seconds(0.021), "21 ms");
    assert_eq!(short_seconds(1.26), "1.3 s");
}

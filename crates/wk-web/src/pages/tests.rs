//! What pages say, tried on fixed fleets; how they look is tried in a real browser (tests/it).

use std::sync::Arc;

use wk_monitor::{
    AuditEntry, AuditPage, IncidentState, Level, Maintenance, RuleHealth, RuleState, Rules,
    Silence, Term, View,
};

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
    assert!(order(&page, &["rule file is not in force: own.yml:3", "<h2>prod</h2>"]).is_sorted());
    assert!(order(&page, &[">web-2</span>", ">web-1</span>", ">web-3</span>"]).is_sorted());
}

#[test]
fn empty_states_tell_what_to_do() {
    let mut view = fixture::view();
    let mut fleet = (*view.fleet).clone();
    (fleet.level, fleet.open_incidents, fleet.channels) = (Level::Ok, 0, Vec::new());
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
fn silences_and_windows_stand_with_who_until_when_and_why() {
    let term = |active| Term {
        by: "ann<".to_owned(),
        reason: "load test".to_owned(),
        starts_at: fixture::ago(60),
        ends_at: fixture::ago(-3600),
        active,
        ended_by: (!active).then(|| "bob".to_owned()),
        suppresses: vec!["2b90e4d1-3".to_owned()],
    };
    let silence = |id: &str, active| Silence {
        id: id.to_owned(),
        matchers: vec!["rule=NodeDown".to_owned(), "node=~\"<b>\"".to_owned()],
        term: term(active),
    };
    let window = Maintenance {
        id: "maintenance-1".to_owned(),
        ensemble: "prod".to_owned(),
        server: Some("zk1.example.internal:2181".to_owned()),
        term: term(true),
    };
    let all = [silence("silence-2", true), silence("silence-1", false)];
    let fleet = fixture::view().fleet;
    let draw = |lang, over| {
        let windows = std::slice::from_ref(&window);
        let quiet = Quiet { silences: &all, windows, fleet: &fleet, matchers: "a=b\nc=d", over };
        with_context(lang, |ctx| silences(ctx, &quiet).into_string())
    };
    let page = draw(Lang::En, false);
    let first = ["rule=NodeDown", "silence-2", "ann&lt;", "load test", "/incidents/2b90e4d1-3"];
    assert!(order(&page, &first).is_sorted());
    assert!(page.contains(r#"action="/silences/silence-2/end""#) && page.contains("a=b\nc=d"));
    assert!(page.contains("prod/zk1.example.internal:2181</code>"));
    assert!(page.contains(r#"action="/maintenance/maintenance-1/end""#));
    assert!(page.contains(r#"value="prod/zk2.example.internal:2181""#), "to be chosen");
    assert!(!page.contains("silence-1") && !page.contains("<b>") && !page.contains("refresh"));
    let page = draw(Lang::Zh, true);
    assert!(page.contains("silence-1") && page.contains("已结束") && page.contains("bob"));
    assert!(!page.contains("/silences/silence-1/end"), "what is over cannot be ended");
}

#[test]
fn silences_without_end_are_counted() {
    let silence = |n: usize| Silence {
        id: format!("silence-{n}"),
        matchers: vec!["rule=NodeDown".to_owned()],
        term: Term { active: true, ..Term::default() },
    };
    let all: Vec<Silence> = (0..1000).map(silence).collect();
    let fleet = fixture::view().fleet;
    let quiet = Quiet { silences: &all, windows: &[], fleet: &fleet, matchers: "", over: false };
    let page = with_context(Lang::En, |ctx| silences(ctx, &quiet).into_string());
    assert_eq!(page.matches("<code>rule=NodeDown</code>").count(), 200);
    assert!(page.contains("and 800 older ones in force"), "{page}");
}

#[test]
fn rules_say_how_they_stand_and_what_is_wrong() {
    let rule = |rule: &str, state, error: Option<&str>| RuleState {
        rule: rule.to_owned(),
        state,
        values: vec![0.25],
        error: error.map(str::to_owned),
        expr: "up < 1".to_owned(),
        ..RuleState::default()
    };
    let all = Rules {
        rules: vec![
            rule("Bad", RuleHealth::Error, Some("many-to-many <x>")),
            rule("Good", RuleHealth::Inactive, None),
            RuleState {
                severity: Some("none".to_owned()),
                ..rule("Watchdog", RuleHealth::Firing, None)
            },
        ],
        errors: vec!["own.yml:5: Own: unclosed".to_owned()],
    };
    let page = with_context(Lang::En, |ctx| rules(ctx, &all).into_string());
    let want = [
        "3 in force · 0 firing",
        "own.yml:5: Own: unclosed",
        "Bad",
        "0.250",
        "many-to-many &lt;x&gt;",
    ];
    assert!(order(&page, &want).is_sorted());
    assert!(page.contains("up &lt; 1") && page.contains("nothing found"));
    assert!(page.contains("firing, as it must"), "a watchdog that fires is well");
}

#[test]
fn the_audit_leads_on_and_to_what_each_line_is_about() {
    let entry = |id, about: &str| AuditEntry {
        id,
        about: about.to_owned(),
        text: "found <i>".to_owned(),
        actor: "monitor".to_owned(),
        ..AuditEntry::default()
    };
    let all =
        AuditPage { audit: vec![entry(8, "2b90e4d1-3"), entry(7, "silence-1")], next: Some(7) };
    let page = with_context(Lang::En, |ctx| audit(ctx, &all, true).into_string());
    let want = ["found &lt;i&gt;", "/incidents/2b90e4d1-3", "/silences?all=true", "before=7"];
    assert!(order(&page, &want).is_sorted());
    assert!(page.contains("data-pace=\"0\"") && page.contains("Newest"));
}

#[test]
fn what_nobody_is_told_of_does_not_need_you() {
    let mut view = fixture::view();
    let hushed = wk_monitor::Incident {
        suppressed_by: Some("silence-3".to_owned()),
        summary: "hushed one".to_owned(),
        ..fixture::incident("feed-1", IncidentState::Suppressed)
    };
    view.incidents.push(Arc::new(hushed.clone()));
    // A cause that makes unknown what it stands for hides it as well.
    view.incidents.push(Arc::new(wk_monitor::Incident {
        suppressed_by: Some("cause-1".to_owned()),
        ..fixture::incident("feed-2", IncidentState::Unknown)
    }));
    let page = fleet_page(Lang::En, &view);
    assert!(
        order(&page, &["2 things need you", "Nobody is told of 2 more", "hushed one"]).is_sorted()
    );
    let detail =
        wk_monitor::IncidentDetail { incident: hushed, ..fixture::detail(IncidentState::Firing) };
    let page =
        with_context(Lang::En, |c| incident(c, Detail::Full(&detail), &view.fleet).into_string());
    order(&page, &["Nobody is told of it", r#"href="/silences""#, "silence-3"]);
    let page = incident_page(Lang::En, IncidentState::Firing);
    let link = "/silences?matchers=rule%3D%22NodeDown%22%0Aensemble%3D%22local%22%0A\
                group%3D%22web%22%0Anode%3D%22web-2%22";
    order(&page, &[link]);
    let mut regex = fixture::detail(IncidentState::Firing);
    regex.incident.node = Some("~.*\"".to_owned());
    regex.incident.labels.insert("channel".to_owned(), "ops".to_owned());
    let page =
        with_context(Lang::En, |c| incident(c, Detail::Full(&regex), &view.fleet).into_string());
    order(&page, &["node%3D%22~.%2A%5C%22%22%0Achannel%3D%22ops%22"]);
}

#[test]
fn a_page_of_ten_thousand_groups_is_small() {
    let mut view = fixture::view();
    let mut fleet = (*view.fleet).clone();
    fleet.ensembles.truncate(1);
    let ensemble = &mut fleet.ensembles[0];
    let blank = ensemble.groups[0].clone();
    for n in 0..10_000 {
        let name = format!("g{n}");
        ensemble.nodes.push(Arc::new(fixture::node(Some(&name), "n", wk_monitor::NodeState::Up)));
        let group =
            wk_monitor::Group { name: Some(name), up: 1, starting: 0, left: 0, ..blank.clone() };
        ensemble.groups.push(group);
    }
    view.fleet = Arc::new(fleet);
    let page = fleet_page(Lang::En, &view);
    assert!(page.len() < 100_000, "{} bytes", page.len());
    assert!(
        page.contains("and 9953 more groups") && page.contains(">web-2<"),
        "the worst is there"
    );
}

#[test]
fn long_groups_are_cut_and_counted() {
    let mut view = fixture::view();
    let mut fleet = (*view.fleet).clone();
    fleet.ensembles.truncate(1);
    let up = |n| fixture::node(Some("web"), &format!("n{n}"), wk_monitor::NodeState::Up);
    fleet.ensembles[0].nodes.extend((0..5000).map(up).map(Arc::new));
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

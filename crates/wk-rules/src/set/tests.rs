//! Rules in force over a window: what is written back, what survives, what a reload keeps.

use wk_promql::{Sample, Window, WindowPolicy};

use super::*;
use crate::alert::AlertState;

fn file(rules: &str) -> RuleFile {
    let text = format!("groups:\n- name: g\n  rules:\n{rules}");
    RuleFile::parse("t.yml", &text).unwrap_or_else(|error| panic!("{error}"))
}

fn set(rules: &str) -> RuleSet {
    RuleSet::new(vec![file(rules)], SetOptions::default()).unwrap()
}

fn window(samples: &[(i64, &str, f64)]) -> Window {
    let mut window = Window::new(WindowPolicy::default());
    put(&mut window, samples);
    window
}

fn put(window: &mut Window, samples: &[(i64, &str, f64)]) {
    for (second, node, value) in samples {
        let labels = Labels::metric("x", [("n", *node)]);
        window.append(&Sample { labels, at: second * 1000, value: *value }).unwrap();
    }
}

/// What is new, as `rule/node state`.
fn news(alerts: &[Alert]) -> Vec<String> {
    let new = alerts.iter().filter(|alert| alert.changed);
    new.map(|alert| format!("{}/{} {}", alert.rule, alert.labels.get("n"), alert.state.as_str()))
        .collect()
}

const DOWN: &str = "  - {alert: Down, expr: x == 0, for: 1m, annotations: {watchkeeper_for: 3s}}\n";

#[test]
fn our_own_for_wins_here_and_for_wins_in_prometheus() {
    let mut window = window(&[(0, "a", 0.0)]);
    let mut own = set(DOWN);
    assert_eq!(own.next_due(), Some(i64::MIN));
    assert_eq!(news(&own.evaluate(0, &mut window)), ["Down/a pending"]);
    assert_eq!(own.next_due(), Some(500));
    assert_eq!(news(&own.evaluate(3000, &mut window)), ["Down/a firing"]);
    let theirs = SetOptions { pace: Pace::Prometheus, ..SetOptions::default() };
    let mut theirs = RuleSet::new(vec![file(DOWN)], theirs).unwrap();
    theirs.evaluate_all(4000, &mut window);
    assert_eq!(news(&theirs.evaluate_all(63_000, &mut window)), Vec::<String>::new());
    assert_eq!(news(&theirs.evaluate_all(64_000, &mut window)), ["Down/a firing"]);
}

#[test]
fn a_group_that_is_not_due_says_what_it_said() {
    let mut window = window(&[(0, "a", 0.0)]);
    let mut set = set(DOWN);
    set.evaluate(3000, &mut window);
    set.evaluate(6000, &mut window);
    let alerts = set.evaluate(6001, &mut window);
    assert_eq!((alerts.len(), news(&alerts).len()), (1, 0));
    assert_eq!(alerts, set.active());
    assert_eq!((alerts[0].active_at, alerts[0].fired_at), (3000, Some(6000)));
}

#[test]
fn recorded_series_are_there_for_later_rules_and_end_when_they_are_not_given() {
    let rules = "  - {record: 'n:x:sum', expr: sum by (n) (x), labels: {site: s}}
  - {alert: High, expr: 'n:x:sum > 1'}\n";
    let mut set = set(rules);
    let mut window = window(&[(0, "a", 2.0), (0, "b", 1.0)]);
    assert_eq!(news(&set.evaluate(0, &mut window)), ["High/a firing"]);
    put(&mut window, &[(1, "a", wk_promql::STALE)]);
    // The recorded series ends with its input, not five minutes later.
    assert_eq!(news(&set.evaluate(1000, &mut window)), ["High/a inactive"]);
    assert_eq!(set.retention().keys().collect::<Vec<_>>(), ["n:x:sum", "x"]);
}

#[test]
fn an_expression_that_fails_is_an_error_of_its_rule_and_keeps_its_alerts() {
    let rules = "  - {alert: A, expr: x / on () x}\n  - {alert: B, expr: x}\n";
    let mut set = set(rules);
    let mut window = window(&[(0, "a", 1.0)]);
    assert_eq!(news(&set.evaluate(0, &mut window)).len(), 2);
    put(&mut window, &[(1, "b", 1.0)]);
    let alerts = set.evaluate(1000, &mut window);
    assert_eq!(alerts.iter().filter(|alert| &*alert.rule == "A").count(), 1);
    let errors: Vec<bool> = set.rules().map(|rule| rule.error.is_some()).collect();
    assert_eq!(errors, [true, false]);
}

#[test]
fn a_restart_neither_forgets_nor_counts_the_time_in_between() {
    let mut before = set(DOWN);
    let mut old = window(&[(0, "a", 0.0)]);
    before.evaluate(0, &mut old);
    put(&mut old, &[(2, "b", 0.0)]);
    before.evaluate(2500, &mut old);
    before.evaluate(3000, &mut old);
    let json = serde_json::to_string(&before.save(3000)).unwrap();
    let saved: SavedAlerts = serde_json::from_str(&json).unwrap();

    let mut after = set(DOWN);
    assert_eq!(after.restore(&saved, 103_000), 0);
    assert_eq!(after.active().len(), 2);
    // Nobody has looked yet: nothing ends, nothing is new.
    let mut new = Window::new(WindowPolicy::default());
    assert_eq!(news(&after.evaluate(103_000, &mut new)), Vec::<String>::new());
    put(&mut new, &[(104, "a", 0.0), (104, "b", 0.0)]);
    // a fired before and is no news; b was pending for half a second, the pause does not count.
    assert_eq!(news(&after.evaluate(104_000, &mut new)), Vec::<String>::new());
    assert_eq!(news(&after.evaluate(105_000, &mut new)), Vec::<String>::new());
    assert_eq!(news(&after.evaluate(105_500, &mut new)), ["Down/b firing"]);
}

#[test]
fn what_healed_during_a_restart_ends_once_that_is_sure() {
    let mut before = set(DOWN);
    let mut old = window(&[(0, "a", 0.0)]);
    before.evaluate(0, &mut old);
    before.evaluate(3000, &mut old);
    let mut after = set(DOWN);
    after.restore(&before.save(3000), 4000);
    let mut new = window(&[(4, "a", 1.0)]);
    assert_eq!(news(&after.evaluate(5000, &mut new)), Vec::<String>::new());
    assert_eq!(news(&after.evaluate(14_000, &mut new)), ["Down/a inactive"]);
    // A rule that is not there any more takes nothing over.
    let mut other = set("  - {alert: Other, expr: x}\n");
    assert_eq!(other.restore(&before.save(3000), 4000), 1);
}

#[test]
fn a_reload_keeps_what_did_not_change_and_says_what_did() {
    let other = "  - {alert: Other, expr: x > 5, labels: {l: v}}\n";
    let mut set = set(&format!("{DOWN}{other}"));
    let mut window = window(&[(0, "a", 0.0), (0, "b", 9.0)]);
    set.evaluate(0, &mut window);
    set.evaluate(3000, &mut window);
    assert_eq!(set.active().len(), 2);
    let third = "  - {alert: Third, expr: x > 7}\n";
    let changed = "  - {alert: Other, expr: x > 6, labels: {l: v}}\n";
    let files = vec![file(&format!("{DOWN}{changed}{third}"))];
    let report = set.reload(files, SetOptions::default()).unwrap();
    let want = Reload {
        added: vec!["g/Third".into()],
        removed: vec![],
        changed: vec!["g/Other".into()],
        kept: 1,
    };
    assert_eq!(report, want);
    // The alerts of both old rules are still the same ones.
    assert_eq!(news(&set.evaluate(4000, &mut window)), ["Third/b firing"]);
    let report = set.reload(vec![file(third)], SetOptions::default()).unwrap();
    assert_eq!((report.removed.len(), report.kept), (2, 1));
    let said = set.evaluate(5000, &mut window);
    assert_eq!(news(&said), ["Down/a inactive", "Other/b inactive"]);
    let ended = said.iter().filter(|alert| alert.changed);
    assert!(ended.into_iter().all(|alert| alert.resolved_at == Some(5000)));
    assert_eq!(news(&set.evaluate(6000, &mut window)), Vec::<String>::new());
}

#[test]
fn files_that_cannot_be_told_apart_are_refused_and_nothing_changes() {
    let mut set = set(DOWN);
    let mut again = file(DOWN);
    again.name = "u.yml".to_owned();
    let error = set.reload(vec![file(DOWN), again], SetOptions::default()).unwrap_err();
    let want = "u.yml:4: rule Down: same name and labels as in t.yml:4";
    assert_eq!(error.to_string(), want);
    assert_eq!(set.rules().count(), 1);
}

#[test]
fn alerts_are_series_too() {
    let mut set = set(DOWN);
    let mut window = window(&[(0, "a", 0.0)]);
    set.evaluate(0, &mut window);
    let at = |window: &Window, at: i64| {
        let expr = wk_promql::Expr::parse("ALERTS").unwrap();
        match expr.instant(window, at, &EvalOptions::default()) {
            Ok(wk_promql::Value::Vector(found)) => {
                found.iter().map(|(labels, _)| labels.get("alertstate").to_owned()).collect()
            }
            other => vec![format!("{other:?}")],
        }
    };
    assert_eq!(at(&window, 0), ["pending"]);
    set.evaluate(3000, &mut window);
    assert_eq!(at(&window, 3000), ["firing"]);
    put(&mut window, &[(4, "a", 1.0)]);
    let alerts = set.evaluate(4000, &mut window);
    assert_eq!(alerts[0].state, AlertState::Inactive);
    assert_eq!(at(&window, 4000), Vec::<String>::new());
}

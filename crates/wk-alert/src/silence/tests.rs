//! Which silence covers what, and that a slip silences nothing.

use proptest::prelude::*;

use super::*;
use crate::finding::{Detail, Finding, Severity, Subject};
use crate::{Ledger, Now, Policy, Saved};

fn incident(subject: Subject, detail: Detail) -> Incident {
    let mut ledger = Ledger::restore(Policy::default(), Saved::default(), Now::default());
    let severity = Severity::Warning;
    let finding = Finding::Firing { subject, severity, facts: vec![], detail };
    ledger.find(Now::default(), finding);
    ledger.incidents().values().next().expect("one").clone()
}

fn node() -> Incident {
    let subject = Subject {
        group: Some("web".into()),
        node: Some("web-2".into()),
        ..Subject::ensemble("NodeDown", "prod")
    };
    let labels = Labels::new([("site", "b")]);
    incident(subject, Detail { labels, ..Detail::default() })
}

fn covers(conditions: &[&str], incident: &Incident) -> bool {
    let conditions: Vec<String> = conditions.iter().map(|text| (*text).to_owned()).collect();
    Scope::parse(&conditions).expect("legal").covers(incident)
}

#[test]
fn conditions_are_met_all_together() {
    let node = node();
    assert!(covers(&["rule=NodeDown"], &node));
    assert!(covers(&["alertname=NodeDown", "group=web", "severity=warning", "site=b"], &node));
    assert!(!covers(&["rule=NodeDown", "node=web-1"], &node));
    assert!(covers(&["node=~web-.*", "ensemble!=test"], &node));
    assert!(!covers(&["node=~web"], &node), "anchored at both ends");
    assert!(covers(&["group=web", "node!~db.*"], &node));
    assert!(covers(&[r#"node="web-2""#], &node));
    assert!(!covers(&["instance=~.+"], &node), "a label that is not there is empty");
}

#[test]
fn what_is_no_condition_or_fits_everything_is_refused() {
    let parse = |text: &[&str]| {
        let text: Vec<String> = text.iter().map(|text| (*text).to_owned()).collect();
        Scope::parse(&text).expect_err("refused")
    };
    assert_eq!(parse(&[]), ScopeError::Empty);
    for bad in ["", "node", "=x", "1a=x", "no de=x", "node~x", "node==~x\u{0}=!"] {
        let refused = Scope::parse(&[bad.to_owned()]);
        // `node==~x` is a legal equality with an odd value.
        assert!(
            matches!(refused, Err(ScopeError::Syntax(_))) || bad.starts_with("node=="),
            "{bad}"
        );
    }
    assert!(matches!(parse(&["node=~("]), ScopeError::Regex(..)));
    for all in ["node=~.*", "node!=x", "node!~x.+", "node="] {
        assert_eq!(parse(&[all]), ScopeError::Everything);
    }
    assert_eq!(parse(&["a=b"; MATCHERS_MAX + 1]), ScopeError::TooMany(MATCHERS_MAX + 1));
}

#[test]
fn maintenance_hides_all_but_a_lost_quorum_and_diverged_data() {
    let of = |server: Option<&str>| Scope::Maintenance {
        ensemble: "prod".into(),
        server: server.map(str::to_owned),
    };
    let about = |rule, server| incident(Subject::server(rule, "prod", server), Detail::default());
    let whole = |rule| incident(Subject::ensemble(rule, "prod"), Detail::default());
    for rule in [NO_LEADER, DATA_DIVERGED] {
        assert!(!of(None).covers(&whole(rule)) && !of(Some("a:1")).covers(&about(rule, "a:1")));
    }
    assert!(of(None).covers(&node()) && !of(Some("a:1")).covers(&node()));
    assert!(of(Some("a:1")).covers(&about("ZkServerUnreachable", "a:1")));
    assert!(!of(Some("a:1")).covers(&about("ZkServerUnreachable", "b:1")));
    assert!(of(Some("a:1")).covers(&about("ZkOneFailureFromOutage", "b:1")), "its own absence");
    assert!(!of(Some("a:1")).covers(&whole("ZkCanaryFailing")), "users feel that");
    let elsewhere = incident(Subject::server("ZkServerUnreachable", "x", "a:1"), Detail::default());
    assert!(!of(None).covers(&elsewhere) && !of(Some("a:1")).covers(&elsewhere));
}

proptest! {
    /// What is shown can be typed again.
    #[test]
    fn prop_conditions_are_read_as_they_are_shown(
        name in "[a-z_][a-z0-9_]{0,8}",
        equal in any::<bool>(),
        value in any::<String>(),
    ) {
        let op = if equal { MatchOp::Equal } else { MatchOp::NotEqual };
        let matcher = Matcher::new(&name, op, &value).expect("no regular expression");
        let scope = Scope::Matching(vec![matcher, Matcher::metric("x")]);
        let Ok(Scope::Matching(read)) = Scope::parse(&scope.conditions()) else {
            return Err(TestCaseError::fail(format!("{:?}", scope.conditions())));
        };
        prop_assert_eq!(Scope::Matching(read).conditions(), {
            let mut shown = scope.conditions();
            if name == "rule" {
                shown[0] = shown[0].replacen("rule", "alertname", 1);
            }
            shown
        });
    }

    /// The four operators against a model that knows no regular expressions.
    #[test]
    fn prop_conditions_against_a_model(
        picks in prop::collection::vec((0..3usize, 0..4usize, 0..4usize), 1..5),
        group in prop::option::of(0..4usize),
        instance in prop::option::of(0..4usize),
    ) {
        const NAMES: [&str; 3] = ["group", "instance", "nowhere"];
        const VALUES: [&str; 4] = ["a", "b", "ab", ""];
        let value = |index: Option<usize>| index.map(|i| VALUES[i]).filter(|v| !v.is_empty());
        let subject = Subject {
            group: value(group).map(str::to_owned),
            instance: value(instance).map(str::to_owned),
            ..Subject::ensemble("R", "e")
        };
        let has = [value(group).unwrap_or(""), value(instance).unwrap_or(""), ""];
        let conditions: Vec<String> = picks
            .iter()
            .map(|&(name, op, v)| {
                let (name, v) = (NAMES[name], VALUES[v]);
                match op {
                    0 => format!("{name}={v}"),
                    1 => format!("{name}!={v}"),
                    2 => format!("{name}=~{v}|x"),
                    _ => format!("{name}!~{v}|x"),
                }
            })
            .chain(["rule=R".to_owned()])
            .collect();
        let want = picks.iter().all(|&(name, op, v)| {
            let equal = has[name] == VALUES[v];
            if op % 2 == 0 { equal } else { !equal }
        });
        let scope = Scope::parse(&conditions).expect("legal");
        prop_assert_eq!(scope.covers(&incident(subject, Detail::default())), want);
    }

    #[test]
    fn prop_no_text_breaks_the_reader(text in any::<String>()) {
        let _ = Scope::parse(&[text]);
    }
}

#[test]
fn whoever_names_a_node_does_not_choose_the_operator() {
    for name in ["~.*", "a\"b", "back\\slash", " two\nlines\t", ""] {
        let condition = super::exactly("node", name);
        let scope = Scope::parse(&["rule=NodeDown".to_owned(), condition]).unwrap();
        let Scope::Matching(matchers) = &scope else { unreachable!("conditions were given") };
        assert!(matchers[1].is_match(name), "{name:?}");
        assert!(!matchers[1].is_match("another"), "{name:?}");
    }
}

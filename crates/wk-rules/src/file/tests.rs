//! What a rule file may say, and how it is refused where it says anything else.

use std::fmt::Write as _;

use proptest::prelude::*;

use super::*;

fn errors(text: &str) -> Vec<String> {
    match RuleFile::parse("r.yml", text) {
        Ok(file) => vec![format!("taken: {} rules", file.rules().count())],
        Err(errors) => errors.0.iter().map(ToString::to_string).collect(),
    }
}

fn rule(body: &str) -> String {
    format!("groups:\n- name: g\n  rules:\n  - {{{body}}}\n")
}

#[test]
fn everything_that_a_file_may_say_is_taken() {
    let text = "
groups:
- name: one
  interval: 30s
  limit: 5
  query_offset: 1m
  labels: {team: a, page: no}
  rules:
  - alert: A
    expr: up == 0
    for: 1m
    keep_firing_for: 2m
    labels: {severity: critical, page: 'yes'}
    annotations: {watchkeeper_for: 5s, summary: '{{ $labels.instance }}'}
  - record: job:up:sum
    expr: |
      sum by (job) (
        up
      )
- {name: two, rules: }
";
    let file = RuleFile::parse("r.yml", text).unwrap();
    let (one, two) = (&file.groups[0], &file.groups[1]);
    assert_eq!((one.interval, one.limit), (Some(Duration::from_secs(30)), 5));
    assert_eq!((one.query_offset, two.rules.len()), (Duration::from_mins(1), 0));
    let alerting = one.rules[0].alerting().unwrap();
    let (hold, own) = (Duration::from_mins(1), Some(Duration::from_secs(5)));
    assert_eq!((alerting.hold, alerting.own_hold), (hold, own));
    assert_eq!(alerting.keep_firing, Duration::from_mins(2));
    assert_eq!(one.rules[0].line, 9);
    assert!(one.rules[1].alerting().is_none());
    assert_eq!(errors(""), ["taken: 0 rules"]);
}

#[test]
fn everything_else_is_refused_by_line_rule_key_and_reason() {
    let duration = "must be a duration such as 15s, 1h30m or 250ms";
    let label = "no label's name: a letter or _, then letters, digits or _";
    let known = "alert, record, expr, for, keep_firing_for, labels, annotations";
    for (body, want) in [
        ("alert: A", "rule A: expr: every rule must have one".to_owned()),
        ("expr: up", "group g: a rule must have `alert` or `record`".to_owned()),
        (
            "alert: A, record: b, expr: up",
            "rule b: both `alert` and `record`: a rule is one of them".to_owned(),
        ),
        (
            "alert: A, expr: up, severity: x",
            format!("rule A: severity: unknown key; known here: {known}"),
        ),
        ("alert: A, expr: up, for: soon", format!("rule A: for: \"soon\": {duration}")),
        ("alert: A, expr: up, labels: {bad-name: x}", format!("rule A: bad-name: {label}")),
        (
            "alert: A, expr: up, labels: {__name__: x}",
            "rule A: __name__: the metric's name, which no label may set".to_owned(),
        ),
        (
            "alert: A, expr: up, labels: [x]",
            "rule A: labels: must be a mapping, is a list".to_owned(),
        ),
        (
            "alert: A, expr: up, annotations: {s: '{{ query \"x\" }}'}",
            "rule A: s: template: `query`: no function known here".to_owned(),
        ),
        (
            "alert: A, expr: up, labels: {s: '{{ $labels.x'}",
            "rule A: s: template: `{{` is not closed".to_owned(),
        ),
        (
            "alert: A, expr: up, annotations: {watchkeeper_for: 5}",
            format!("rule A: watchkeeper_for: \"5\": {duration}"),
        ),
        ("record: a, expr: up, for: 1m", "rule a: for: a recording rule has none".to_owned()),
        (
            "record: 'a{b}', expr: up",
            "rule a{b}: record: a metric's name, no expression: no braces".to_owned(),
        ),
    ] {
        assert_eq!(errors(&rule(body)), [format!("r.yml:4: {want}")], "{body}");
    }
}

#[test]
fn unsupported_promql_is_named() {
    let said = errors(&rule("alert: A, expr: 'histogram_avg(x) > 1'"));
    let head = "r.yml:4: rule A: expr: ";
    assert!(said[0].starts_with(head) && said[0].contains("histogram_avg"), "{said:?}");
}

#[test]
fn groups_and_files_have_their_own_refusals() {
    for (text, want) in [
        ("group: []\n", "1: group: unknown key; known here: groups"),
        ("groups: x\n", "1: groups: must be a list, is a word"),
        ("groups:\n- rules: []\n", "2: name: a group must have a name"),
        ("groups:\n- name: g\n- name: g\n", "3: name: g: given before, on line 2"),
        (
            "groups:\n- {name: g, every: 5s}\n",
            "2: group g: every: unknown key; known here: name, interval, limit, query_offset, \
             labels, rules",
        ),
        (
            "groups:\n- {name: g, limit: many}\n",
            "2: group g: limit: \"many\": must be a whole number",
        ),
        ("groups:\n- name: g\n  name: h\n", "3: name: given before, on line 2"),
    ] {
        assert_eq!(errors(text), [format!("r.yml:{want}")], "{text}");
    }
    let twice = "groups:\n- name: g\n  rules:\n  - {alert: A, expr: up}\n  \
                 - {alert: A, expr: down}\n";
    let want = "r.yml:5: rule A: same name and labels as on line 4: give one of them another label";
    assert_eq!(errors(twice), [want]);
}

#[test]
fn all_that_is_wrong_is_said_at_once() {
    let text = "groups:\n- name: g\n  rules:\n  - {alert: A, expr: 'up ==', for: x}\n  \
                - {alert: B}\n";
    let said = errors(text);
    assert_eq!(said.len(), 3, "{said:?}");
}

#[test]
fn sizes_are_bounded() {
    let mut text = String::from("groups:\n- name: g\n  rules:\n");
    for at in 0..=RULES_MAX {
        writeln!(text, "  - {{alert: A{at}, expr: a}}").unwrap();
    }
    let want = format!("r.yml:1: {} rules; at most {RULES_MAX} in a file", RULES_MAX + 1);
    assert_eq!(errors(&text), [want]);
    let labels: String = (0..=LABELS_MAX).map(|at| format!("l{at}: v, ")).collect();
    let said = errors(&rule(&format!("alert: A, expr: a, labels: {{{labels}}}")));
    assert!(said[0].contains("at most"), "{said:?}");
}

/// Pieces that YAML, rules and templates are made of, so that random files go deep.
const PIECES: &[&str] = &[
    "groups:",
    "- name: g",
    "\n",
    "\n  ",
    "\n    ",
    "rules:",
    "- alert: A",
    "- record: r",
    "expr: ",
    "up",
    "{",
    "}",
    "[",
    "]",
    ": ",
    "&a ",
    "*a",
    "<<: ",
    "|",
    "'",
    "\"",
    "{{ ",
    " }}",
    "$labels.x",
    "if ",
    "end",
    "for: ",
    "1h",
    "labels: ",
    "annotations: ",
    "é",
    "\0",
    "---",
    "printf \"%",
    "#",
    "sum by (a) (",
    ")",
    "[5m]",
    "!t ",
    "tests:",
    "- input_series:",
    "values: ",
    "1x3",
    "_x2",
];

fn pieces() -> impl Strategy<Value = String> {
    let piece = prop::sample::select(PIECES);
    prop::collection::vec(piece, 0..60).prop_map(|pieces| pieces.concat())
}

proptest! {
    #[test]
    fn prop_no_text_makes_it_panic(text in ".{0,300}") {
        let _ = RuleFile::parse("r.yml", &text);
        let _ = crate::UnitFile::parse("r.yml", &text);
    }

    #[test]
    fn prop_no_pieces_make_it_panic(text in pieces()) {
        let _ = RuleFile::parse("r.yml", &text);
        let _ = crate::UnitFile::parse("r.yml", &text);
        let _ = Template::parse(&text);
        let _ = crate::selector::with_matcher(&text, "a=\"b\"");
    }

    #[test]
    fn prop_templates_expand_or_are_refused(
        text in "\\{\\{ .{0,40} \\}\\}",
        value in any::<f64>(),
    ) {
        if let Ok(template) = Template::parse(&text) {
            let facts = crate::template::Facts {
                labels: &wk_promql::Labels::default(),
                value,
                external_labels: &BTreeMap::new(),
                external_url: "",
            };
            let _ = template.expand(&facts);
        }
    }

    #[test]
    fn prop_what_is_taken_is_exported_and_taken_again(
        name in "[a-zA-Z: ]{1,8}",
        note in "[^{}]{0,20}",
        seconds in 0_u64..100_000,
    ) {
        let (name, note) = (crate::write::scalar(&name), crate::write::scalar(&note));
        let text = rule(&format!(
            "alert: {name}, expr: up == 0, for: {seconds}s, annotations: {{note: {note}}}"
        ));
        let file = RuleFile::parse("r.yml", &text);
        let file = file.unwrap_or_else(|error| panic!("{error}\n{text}"));
        let (spelling, form) = (crate::Spelling::ZooKeeper39, crate::Form::Prometheus);
        let again = crate::export_files(std::slice::from_ref(&file), spelling, form);
        let again = RuleFile::parse("r.yml", &again)
            .unwrap_or_else(|error| panic!("{error}\n{again}"));
        for ((_, one), (_, two)) in file.rules().zip(again.rules()) {
            prop_assert_eq!(&one.name, &two.name);
            let (one, two) = (one.alerting().unwrap(), two.alerting().unwrap());
            prop_assert_eq!(one.hold, two.hold);
            prop_assert_eq!(&one.annotations, &two.annotations);
        }
    }
}

//! `watchkeeper rules` beside promtool: the same files, the same verdicts, the same exit codes.
//!
//! promtool is Debian's 2.42. One thing it does otherwise than 3.5, whose verdicts are ours: it counts
//! a sample on the left edge of a range in ([`the_one_known_difference`]).

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use wk_peers::Peer;

use crate::harness::{binary, peer};

fn ours(args: &[&str], dir: &Path) -> Output {
    Command::new(binary()).arg("rules").args(args).current_dir(dir).output().unwrap()
}

fn promtool(args: &[&str], dir: &Path) -> Output {
    let program = peer(Peer::Prometheus).join("usr/bin/promtool");
    Command::new(program).args(args).current_dir(dir).output().unwrap()
}

fn said(output: &Output) -> String {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    text(&output.stdout) + &text(&output.stderr)
}

/// Exit codes of both for one test file.
fn verdicts(file: &str, dir: &Path) -> (Option<i32>, Option<i32>) {
    let (ours, theirs) = (ours(&["test", file], dir), promtool(&["test", "rules", file], dir));
    println!("ours: {}\ntheirs: {}", said(&ours), said(&theirs));
    (ours.status.code(), theirs.status.code())
}

#[test]
fn promtool_finds_every_rule_in_every_export() {
    let dir = tempfile::tempdir().unwrap();
    for version in ["3.9", "3.10"] {
        let file = format!("{version}.yml");
        let thresholds = ["--set", "ZkFollowerLag.txns=7", "--set", "ZkFsyncSlow.for=1m"];
        let args = ["export", "--zookeeper", version, "-o", &file];
        let output = ours(&[&args[..], &thresholds].concat(), dir.path());
        assert!(output.status.success(), "{}", said(&output));
        let text = fs::read_to_string(dir.path().join(&file)).unwrap();
        assert!(text.contains("zxid_lag_txns > 7"), "{text}");
        assert_eq!(text.contains("looking_count_total"), version == "3.10");
        for output in
            [promtool(&["check", "rules", &file], dir.path()), ours(&["check", &file], dir.path())]
        {
            assert!(output.status.success(), "{}", said(&output));
            let found = format!("SUCCESS: {} rules found", 58 + wk_rules::BESIDE.len());
            assert!(said(&output).contains(&found), "{}", said(&output));
        }
    }
    // A copy for one ensemble, and the recording rules too.
    let args = ["export", "--only", "all", "--set", "prod/ZkFollowerLag.txns=7", "-o", "all.yml"];
    assert!(ours(&args, dir.path()).status.success());
    let output = promtool(&["check", "rules", "all.yml"], dir.path());
    let found = format!("SUCCESS: {} rules found", 67 + wk_rules::BESIDE.len());
    assert!(said(&output).contains(&found), "{}", said(&output));
}

/// The shipped rules as the tests take them: exported, without annotations.
fn write_rules(dir: &Path) {
    let output = ours(&["export"], dir);
    let text = String::from_utf8(output.stdout).unwrap();
    let mut inside = false;
    let kept = text.lines().filter(|line| {
        inside = line.trim() == "annotations:" || inside && line.starts_with("          ");
        !inside
    });
    let kept: String = kept.map(|line| format!("{line}\n")).collect();
    fs::write(dir.join("alerts.yml"), kept).unwrap();
}

fn test_files() -> Vec<PathBuf> {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("../wk-rules/tests/rules");
    let found: Vec<_> = fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path()).collect();
    assert!(found.len() >= 3, "{found:?}");
    found
}

#[test]
fn every_shipped_rule_has_the_same_verdict_there() {
    let dir = tempfile::tempdir().unwrap();
    write_rules(dir.path());
    for path in test_files() {
        fs::copy(&path, dir.path().join("t.yml")).unwrap();
        assert_eq!(verdicts("t.yml", dir.path()), (Some(0), Some(0)), "{}", path.display());
    }
}

/// Every other test of the shipped rules with a wrong expectation: exactly those fail on both.
#[test]
fn a_wrong_expectation_fails_there_and_here() {
    let dir = tempfile::tempdir().unwrap();
    write_rules(dir.path());
    for path in test_files() {
        let text = fs::read_to_string(&path).unwrap();
        let mut tests = text.split("\n- name: ");
        let mut broken = tests.next().unwrap().to_owned();
        let mut wrong = BTreeSet::new();
        for (index, test) in tests.enumerate() {
            broken.push_str("\n- name: ");
            if index % 2 == 0 {
                broken.push_str(test);
                continue;
            }
            wrong.insert(test.lines().next().unwrap().to_owned());
            broken.push_str(&made_wrong(test));
        }
        fs::write(dir.path().join("t.yml"), &broken).unwrap();
        let ours = ours(&["test", "t.yml"], dir.path());
        let theirs = promtool(&["test", "rules", "t.yml"], dir.path());
        assert_eq!((ours.status.code(), theirs.status.code()), (Some(1), Some(1)));
        let (ours, theirs) = (said(&ours), said(&theirs));
        let failed_here: BTreeSet<String> = ours
            .lines()
            .filter_map(|line| line.strip_prefix("  test "))
            .map(str::to_owned)
            .collect();
        let failed_there: BTreeSet<String> = theirs
            .lines()
            .filter_map(|line| line.trim().strip_prefix("name: ")?.strip_suffix(','))
            .map(str::to_owned)
            .collect();
        assert_eq!((&failed_here, &failed_there), (&wrong, &wrong), "{}", path.display());
    }
}

/// Another label where an alert is expected, an alert where none is.
fn made_wrong(test: &str) -> String {
    if test.contains("exp_alerts") {
        return test.replacen("exp_labels: {", "exp_labels: {wrong: x, ", 1);
    }
    let (before, after) = test.split_once("eval_time: ").unwrap();
    let (time, after) = after.split_once('}').unwrap();
    format!("{before}eval_time: {time}, exp_alerts: [{{exp_labels: {{wrong: x}}}}]}}{after}")
}

/// Files of all kinds of good and bad, as rules and as tests: accepted or refused by both.
#[test]
fn what_is_refused_there_is_refused_here() {
    let dir = tempfile::tempdir().unwrap();
    let rule = |body: &str| format!("groups: [{{name: g, rules: [{{{body}}}]}}]\n");
    let cases = [
        (rule("alert: A, expr: up"), true),
        (rule("record: 'a:b', expr: sum(up), labels: {c: d}"), true),
        (rule("alert: A, expr: up, for: 1d, annotations: {a: '{{ $value | humanize }}'}"), true),
        (rule("alert: A, expr: 1"), true),
        (rule("alert: A, expr: up, keep_firing_for: 1m"), true),
        (String::new(), true),
        (rule("alert: A"), false),
        (rule("expr: up"), false),
        (rule("alert: A, record: b, expr: up"), false),
        (rule("alert: A, expr: up, four: 1m"), false),
        (rule("alert: A, expr: up, for: 1 minute"), false),
        (rule("alert: A, expr: 'up =='"), false),
        (rule("alert: A, expr: rate(up)"), false),
        (rule("alert: A, expr: up, labels: {a-b: c}"), false),
        (rule("alert: A, expr: up, labels: {a: [b]}"), false),
        (rule("alert: A, expr: up, annotations: {a: '{{ $value '}"), false),
        (rule("alert: A, expr: up, annotations: {a: '{{ nothing $value }}'}"), false),
        (rule("record: a, expr: up, for: 1m"), false),
        (rule("record: a, expr: up, annotations: {a: b}"), false),
        ("groups: [{name: g}, {name: g}]\n".to_owned(), false),
        ("groups: [{rules: []}]\n".to_owned(), false),
        ("grups: []\n".to_owned(), false),
        ("groups: [\n".to_owned(), false),
    ];
    for (text, is_good) in cases {
        fs::write(dir.path().join("r.yml"), &text).unwrap();
        let (ours, theirs) = (
            ours(&["check", "r.yml"], dir.path()),
            promtool(&["check", "rules", "r.yml"], dir.path()),
        );
        let want = Some(i32::from(!is_good));
        let verdicts = (ours.status.code(), theirs.status.code());
        assert_eq!(verdicts, (want, want), "{text}\n{}\n{}", said(&ours), said(&theirs));
    }
}

const NOTATIONS: &str = r#"
evaluation_interval: 1m
tests:
- interval: 1m
  external_labels: {site: north}
  input_series:
  - {series: 'a{x="1"}', values: '1 2.5 -3 1e3 _ _x2 7'}
  - {series: 'b', values: '0+2x5 stale _x3 10-1x3'}
  - {series: '{__name__="c", x="é"}', values: '1 1 1'}
  promql_expr_test:
  - {expr: a, eval_time: 3m, exp_samples: [{labels: 'a{x="1"}', value: 1000}]}
  - {expr: a, eval_time: 7m, exp_samples: [{labels: 'a{x="1"}', value: 7}]}
  - {expr: b, eval_time: 5m, exp_samples: [{labels: b, value: 10}]}
  - {expr: b, eval_time: 6m}
  - {expr: b, eval_time: 11m, exp_samples: [{labels: b, value: 9}]}
  - {expr: sum(c) by (x) * 2, eval_time: 1m, exp_samples: [{labels: '{x="é"}', value: 2}]}
  - {expr: time(), eval_time: 90s, exp_samples: [{labels: '{}', value: 90}]}
"#;

#[test]
fn notations_of_series_mean_the_same() {
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("t.yml"), NOTATIONS).unwrap();
    assert_eq!(verdicts("t.yml", dir.path()), (Some(0), Some(0)));
    for (from, to) in [
        ("value: 1000", "value: 1001"),
        ("eval_time: 6m}", "eval_time: 5m}"),
        ("values: '1 1 1'", "values: '1 NaNx2'"),
        ("values: '1 1 1'", "values: 'one'"),
        ("x=\"1\"}', values", "x=1}', values"),
        ("promql_expr_test", "promql_expr_tests"),
        ("labels: b, value: 10", "labels: '', value: 10"),
    ] {
        let text = NOTATIONS.replacen(from, to, 1);
        assert_ne!(text, NOTATIONS, "{from}");
        fs::write(dir.path().join("t.yml"), text).unwrap();
        assert_eq!(verdicts("t.yml", dir.path()), (Some(1), Some(1)), "{to}");
    }
}

#[test]
fn the_one_known_difference() {
    let dir = tempfile::tempdir().unwrap();
    let test = |count: u32| {
        format!(
            "evaluation_interval: 1m\ntests:\n- interval: 1m\n  input_series: \
             [{{series: a, values: '1x9'}}]\n  promql_expr_test: \
             [{{expr: 'count_over_time(a[3m])', eval_time: 5m, \
             exp_samples: [{{labels: '{{}}', value: {count}}}]}}]\n"
        )
    };
    for (count, want) in [(3, (Some(0), Some(1))), (4, (Some(1), Some(0)))] {
        fs::write(dir.path().join("t.yml"), test(count)).unwrap();
        assert_eq!(verdicts("t.yml", dir.path()), want);
    }
}

#[test]
fn reports_as_json_name_file_line_rule_key_and_reason() {
    let dir = tempfile::tempdir().unwrap();
    let text = "groups:\n- name: g\n  rules:\n  - alert: A\n    expr: up ==\n";
    fs::write(dir.path().join("r.yml"), text).unwrap();
    let output = ours(&["check", "-o", "json", "r.yml", "gone.yml"], dir.path());
    assert_eq!(output.status.code(), Some(1));
    let json: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    let error = &json["files"][0]["errors"][0];
    assert_eq!(
        (&error["file"], &error["line"], &error["rule"], &error["key"]),
        (&"r.yml".into(), &5.into(), &"A".into(), &"expr".into())
    );
    let gone = json["files"][1]["errors"][0]["reason"].as_str().unwrap();
    assert!(gone.contains("open gone.yml"), "{gone}");
    fs::write(dir.path().join("t.yml"), NOTATIONS).unwrap();
    let output = ours(&["test", "-o", "json", "t.yml"], dir.path());
    let json: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(json["files"][0]["tests"][0]["success"], true);
    for bad in [["--set", "ZkNothing.a=1"], ["--set", "ZkFollowerLag.txns=x"], ["--set", "x"]] {
        let output = ours(&[&["export"], &bad[..]].concat(), dir.path());
        assert_eq!(output.status.code(), Some(2), "{}", said(&output));
    }
}

//! Unit test files for rules, in promtool's format and with promtool's verdicts.

mod read;
mod run;
mod series;

use std::collections::BTreeMap;
use std::time::Duration;

use wk_promql::{Expr, Labels};

use crate::error::RuleErrors;

/// Values of all input series of one test; a longer notation (`1x999999999`) is refused.
pub const VALUES_MAX: usize = 2_000_000;
/// Evaluations of one test: its last `eval_time` over `evaluation_interval`.
pub const EVALUATIONS_MAX: i64 = 200_000;

/// A unit test file.
#[derive(Clone, Debug)]
pub struct UnitFile {
    /// As it was named to us.
    pub name: String,
    /// Paths and patterns, relative to the file.
    pub rule_files: Vec<String>,
    evaluation_interval: Duration,
    group_eval_order: Vec<String>,
    fuzzy_compare: bool,
    tests: Vec<Test>,
}

/// How one test ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UnitOutcome {
    /// Its name, else `unnamed#N`.
    pub test: String,
    /// What differed; empty when all was as expected.
    pub failures: Vec<String>,
}

#[derive(Clone, Debug)]
struct Test {
    name: Option<String>,
    interval: Option<Duration>,
    input: Vec<(Labels, Vec<Option<f64>>)>,
    alerts: Vec<AlertCase>,
    exprs: Vec<ExprCase>,
    external_labels: BTreeMap<String, String>,
    external_url: String,
}

#[derive(Clone, Debug)]
struct AlertCase {
    eval_time: Duration,
    alertname: String,
    expected: Vec<Expected>,
}

/// An alert: its labels, `alertname` among them, and its annotations.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Expected {
    labels: BTreeMap<String, String>,
    annotations: BTreeMap<String, String>,
}

#[derive(Clone, Debug)]
struct ExprCase {
    eval_time: Duration,
    text: String,
    expr: Result<Expr, String>,
    expected: Result<Vec<(Labels, f64)>, String>,
}

impl UnitFile {
    /// Reads a unit test file; unknown keys and bad notations are errors with file and line.
    pub fn parse(name: &str, text: &str) -> Result<Self, RuleErrors> {
        read::file(name, text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::RuleFile;

    const RULES: &str = "
groups:
- name: g
  rules:
  - record: job:up:sum
    expr: sum by (job) (up)
  - alert: Down
    expr: up == 0
    for: 2m
    labels: {severity: page}
    annotations: {summary: '{{ $labels.instance }} down in {{ $externalLabels.site }}'}
";

    fn failures(tests: &str) -> Vec<String> {
        let rules = RuleFile::parse("rules.yml", RULES).unwrap();
        let text = format!("rule_files: [rules.yml]\nevaluation_interval: 1m\ntests:\n{tests}");
        let file = UnitFile::parse("t", &text).unwrap_or_else(|error| panic!("{error}"));
        file.run(&[rules], &|_| true).into_iter().flat_map(|outcome| outcome.failures).collect()
    }

    const SERIES: &str = "
- interval: 1m
  external_labels: {site: north}
  input_series:
  - {series: 'up{job=\"a\", instance=\"x\"}', values: '1 0x5 _ _x2 1'}
  - {series: 'up{job=\"a\", instance=\"y\"}', values: '1+0x9 stale'}
";

    #[test]
    fn what_is_as_expected_succeeds() {
        let good = format!(
            "{SERIES}
  alert_rule_test:
  - {{eval_time: 2m, alertname: Down}}
  - eval_time: 3m30s
    alertname: Down
    exp_alerts:
    - exp_labels: {{severity: page, job: a, instance: x}}
      exp_annotations: {{summary: x down in north}}
  promql_expr_test:
  - {{expr: 'job:up:sum', eval_time: 1m, exp_samples: [{{labels: 'job:up:sum{{job=\"a\"}}', \
      value: 1}}]}}
  - expr: ALERTS
    eval_time: 1m
    exp_samples:
    - {{labels: 'ALERTS{{alertname=\"Down\", alertstate=\"pending\", instance=\"x\", job=\"a\", \
        severity=\"page\"}}', value: 1}}
  - {{expr: 'ALERTS_FOR_STATE', eval_time: 3m, \
      exp_samples: [{{labels: 'ALERTS_FOR_STATE{{alertname=\"Down\", instance=\"x\", job=\"a\", \
      severity=\"page\"}}', value: 60}}]}}
  - {{expr: 'up{{instance=\"y\"}}', eval_time: 10m}}
  - {{expr: '1 + 1', eval_time: 0, exp_samples: [{{labels: '{{}}', value: 2}}]}}
"
        );
        assert_eq!(failures(&good), Vec::<String>::new());
    }

    #[test]
    fn every_kind_of_miss_fails() {
        for case in [
            "alert_rule_test: [{eval_time: 3m, alertname: Down}]",
            "alert_rule_test: [{eval_time: 2m, alertname: Down, \
                exp_alerts: [{exp_labels: {severity: page, job: a, instance: x}, \
                exp_annotations: {summary: x down in north}}]}]",
            "alert_rule_test: [{eval_time: 3m, alertname: Down, \
                exp_alerts: [{exp_labels: {severity: page, job: a, instance: x}}]}]",
            "alert_rule_test: [{eval_time: 3m, alertname: Down, \
                exp_alerts: [{exp_labels: {job: a, instance: x}, \
                exp_annotations: {summary: x down in north}}]}]",
            "alert_rule_test: [{eval_time: 3m, alertname: ''}]",
            "promql_expr_test: [{expr: 'job:up:sum', eval_time: 1m, \
                exp_samples: [{labels: 'job:up:sum{job=\"a\"}', value: 2}]}]",
            "promql_expr_test: [{expr: 'job:up:sum', eval_time: 1m}]",
            "promql_expr_test: [{expr: 'up{', eval_time: 1m}]",
            "promql_expr_test: [{expr: 'up[1m]', eval_time: 1m}]",
            "promql_expr_test: [{expr: 'vector(1)', eval_time: 1m, exp_samples: [{value: 1}]}]",
        ] {
            let said = failures(&format!("{SERIES}\n  {case}\n"));
            assert_eq!(said.len(), 1, "{case}: {said:?}");
        }
    }

    #[test]
    fn bad_files_are_refused_with_line_and_reason() {
        for (text, line, part) in [
            ("rule_files: []\nextra: 1\n", 2, "unknown key"),
            ("tests:\n- intervall: 1m\n", 2, "unknown key"),
            ("tests:\n- input_series:\n  - {series: 'a{', values: '1'}\n", 3, "series"),
            ("tests:\n- input_series:\n  - {series: a, values: '1 2y'}\n", 3, "values"),
            ("tests:\n- input_series:\n  - {series: a, values: '1x99999999'}\n", 3, "at most"),
            ("tests:\n- input_series:\n  - {series: a, values: '{{schema:1}}'}\n", 3, "histogram"),
            ("evaluation_interval: soon\n", 1, "duration"),
            ("group_eval_order: [a, a]\n", 1, "repeated"),
            (
                "tests:\n- promql_expr_test:\n  - {expr: a, exp_samples: [{value: x}]}\n",
                3,
                "number",
            ),
        ] {
            let errors = UnitFile::parse("t", text).expect_err(text).0;
            assert!(errors[0].line == line && errors[0].to_string().contains(part), "{errors:?}");
        }
    }
}

//! Running unit tests: the same instants, in the same order, as promtool.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::time::Duration;

use wk_promql::{Labels, Options, Sample, Value, Window, WindowPolicy};

use super::{AlertCase, EVALUATIONS_MAX, Expected, ExprCase, Test, UnitFile, UnitOutcome};
use crate::alert::AlertState;
use crate::duration::{format_duration, millis};
use crate::file::RuleFile;
use crate::set::{Pace, RuleSet, SetOptions};
use crate::state::External;

impl UnitFile {
    /// Runs the tests whose names `chosen` takes, each over these rules and a window of its own.
    pub fn run(&self, rules: &[RuleFile], chosen: &dyn Fn(&str) -> bool) -> Vec<UnitOutcome> {
        let mut outcomes = Vec::new();
        for (index, test) in self.tests.iter().enumerate() {
            if !chosen(test.name.as_deref().unwrap_or_default()) {
                continue;
            }
            let name = test.name.clone().unwrap_or_else(|| format!("unnamed#{index}"));
            outcomes.push(UnitOutcome { test: name, failures: self.run_one(test, rules) });
        }
        outcomes
    }

    fn run_one(&self, test: &Test, rules: &[RuleFile]) -> Vec<String> {
        if let Some(case) = test.alerts.iter().find(|case| case.alertname.is_empty()) {
            let at = format_duration(case.eval_time);
            return vec![format!("an item of alert_rule_test at {at} has no alertname")];
        }
        let interval = test.interval.unwrap_or(self.evaluation_interval);
        let mut run = match Run::new(self, test, rules, interval) {
            Ok(run) => run,
            Err(reason) => return vec![reason],
        };
        let step = millis(self.evaluation_interval);
        let times = test.alerts.iter().map(|case| case.eval_time);
        let last = times.chain(test.exprs.iter().map(|case| case.eval_time)).max();
        let last = millis(last.unwrap_or_default());
        if last / step > EVALUATIONS_MAX {
            return vec![format!("more than {EVALUATIONS_MAX} evaluations")];
        }
        let mut failures = Vec::new();
        let mut at = 0;
        while at <= last {
            if let Err(mut errors) = run.step(at) {
                failures.append(&mut errors);
                return failures;
            }
            for case in &test.alerts {
                // Judged by the evaluation at or before its time.
                if (at..at + step).contains(&millis(case.eval_time)) {
                    failures.extend(run.alerts(case));
                }
            }
            at += step;
        }
        failures.extend(test.exprs.iter().filter_map(|case| run.expr(case, self.fuzzy_compare)));
        failures
    }
}

/// One test under way.
struct Run<'t> {
    set: RuleSet,
    window: Window,
    /// The samples of the input, the newest first.
    input: Vec<(i64, &'t Labels, f64)>,
    firing: BTreeMap<String, Vec<Expected>>,
    options: Options,
}

impl<'t> Run<'t> {
    fn new(
        file: &UnitFile,
        test: &'t Test,
        rules: &[RuleFile],
        interval: Duration,
    ) -> Result<Self, String> {
        let options =
            Options { subquery_step_ms: millis(file.evaluation_interval), ..Options::default() };
        let external =
            External { labels: test.external_labels.clone(), url: test.external_url.clone() };
        let options_of_set =
            SetOptions { pace: Pace::Prometheus, interval, external, eval: options.clone() };
        let mut set =
            RuleSet::new(rules.to_vec(), options_of_set).map_err(|error| error.to_string())?;
        set.order(&file.group_eval_order);
        // As promtool: a series given twice has the later values.
        let series: BTreeMap<&Labels, &Vec<Option<f64>>> =
            test.input.iter().map(|(labels, values)| (labels, values)).collect();
        let step = millis(interval);
        let mut input = Vec::new();
        for (labels, values) in series {
            let mut at = 0_i64;
            for value in values {
                input.extend(value.map(|value| (at, labels, value)));
                at = at.saturating_add(step);
            }
        }
        input.sort_by(|one, other| other.0.cmp(&one.0).then_with(|| other.1.cmp(one.1)));
        let policy = WindowPolicy {
            series_max: usize::MAX,
            bytes_max: usize::MAX,
            retention_default_ms: i64::MAX,
            ..WindowPolicy::default()
        };
        Ok(Self { set, window: Window::new(policy), input, firing: BTreeMap::new(), options })
    }

    /// Takes the samples up to `at` and evaluates all rules.
    fn step(&mut self, at: i64) -> Result<(), Vec<String>> {
        let mut errors = Vec::new();
        while let Some((sampled, labels, value)) = self.input.pop_if(|(next, ..)| *next <= at) {
            let sample = Sample { labels: labels.clone(), at: sampled, value };
            if let Err(error) = self.window.append(&sample) {
                errors.push(format!("    series: {labels}, {error}"));
            }
        }
        let alerts = self.set.evaluate_all(at, &mut self.window);
        for rule in self.set.rules() {
            if let Some(error) = rule.error {
                errors.push(format!("    rule: {}, time: {}, err: {error}", rule.rule, shown(at)));
            }
        }
        self.firing.clear();
        for alert in alerts.iter().filter(|alert| alert.state == AlertState::Firing) {
            let labels = alert.labels.iter();
            let labels = labels.map(|(name, value)| (name.to_owned(), value.to_owned())).collect();
            let annotations = BTreeMap::clone(&alert.annotations);
            let found = self.firing.entry(alert.rule.to_string()).or_default();
            found.push(Expected { labels, annotations });
        }
        if errors.is_empty() { Ok(()) } else { Err(errors) }
    }

    fn alerts(&self, case: &AlertCase) -> Option<String> {
        let mut got = self.firing.get(&case.alertname).cloned().unwrap_or_default();
        let mut expected = case.expected.clone();
        got.sort();
        expected.sort();
        (got != expected).then(|| {
            format!(
                "    alertname: {}, time: {},\n        exp:{}\n        got:{}",
                case.alertname,
                format_duration(case.eval_time),
                listed(&expected),
                listed(&got)
            )
        })
    }

    fn expr(&self, case: &ExprCase, fuzzy: bool) -> Option<String> {
        let time = format_duration(case.eval_time);
        let failed =
            |reason: &str| Some(format!("    expr: {:?}, time: {time}, err: {reason}", case.text));
        let expr = match &case.expr {
            Ok(expr) => expr,
            Err(reason) => return failed(reason),
        };
        let mut got = match expr.instant(&self.window, millis(case.eval_time), &self.options) {
            Ok(Value::Vector(samples)) => samples,
            Ok(Value::Scalar(value)) => vec![(Labels::default(), value)],
            Ok(Value::Matrix(_) | Value::Text(_)) => {
                return failed("rule result is not a vector or scalar");
            }
            Err(error) => return failed(&error.to_string()),
        };
        let mut expected = match &case.expected {
            Ok(expected) => expected.clone(),
            Err(reason) => return failed(reason),
        };
        for samples in [&mut got, &mut expected] {
            samples.sort_by(|(one, _), (other, _)| one.cmp(other));
        }
        let same = got.len() == expected.len()
            && got
                .iter()
                .zip(&expected)
                .all(|(got, expected)| got.0 == expected.0 && is_equal(got.1, expected.1, fuzzy));
        (!same).then(|| {
            let (expected, got) = (sampled(&expected), sampled(&got));
            format!(
                "    expr: {:?}, time: {time},\n        exp: {expected}\n        got: {got}",
                case.text
            )
        })
    }
}

#[expect(clippy::float_cmp, reason = "promtool compares exactly, or to the neighbouring number")]
fn is_equal(one: f64, other: f64, fuzzy: bool) -> bool {
    one == other || (fuzzy && (one.next_up() == other || one.next_down() == other))
}

fn shown(at: i64) -> String {
    format_duration(Duration::from_millis(at.unsigned_abs()))
}

fn listed(alerts: &[Expected]) -> String {
    let mut out = String::new();
    for (index, alert) in alerts.iter().enumerate() {
        // Writing to a string cannot fail.
        let _ = write!(
            out,
            "\n            {index}: labels {:?}\n               annotations {:?}",
            alert.labels, alert.annotations
        );
    }
    if out.is_empty() { " none".to_owned() } else { out }
}

fn sampled(samples: &[(Labels, f64)]) -> String {
    let shown = samples.iter().map(|(labels, value)| format!("{labels} {value}"));
    let shown: BTreeSet<String> = shown.collect();
    if shown.is_empty() {
        return "none".to_owned();
    }
    shown.into_iter().collect::<Vec<_>>().join(", ")
}

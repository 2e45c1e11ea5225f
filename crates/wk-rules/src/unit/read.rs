//! From YAML to a unit test file, every key known or refused.

use std::collections::BTreeMap;
use std::time::Duration;

use wk_promql::{Expr, Labels};

use super::{AlertCase, Expected, ExprCase, Test, UnitFile, VALUES_MAX, series};
use crate::duration::parse_duration;
use crate::error::{RuleError, RuleErrors};
use crate::yaml::{self, Key, Node, Value};

type Found<T> = Result<T, Box<RuleError>>;

pub(super) fn file(name: &str, text: &str) -> Result<UnitFile, RuleErrors> {
    Reader { file: name }.file(text).map_err(|error| RuleErrors(vec![*error]))
}

struct Reader<'f> {
    file: &'f str,
}

impl Reader<'_> {
    fn refuse<T>(&self, line: usize, key: Option<&str>, reason: impl Into<String>) -> Found<T> {
        Err(Box::new(RuleError {
            file: self.file.to_owned(),
            line,
            group: None,
            rule: None,
            key: key.map(str::to_owned),
            reason: reason.into(),
        }))
    }

    fn file(&self, text: &str) -> Found<UnitFile> {
        let root = match yaml::read(text) {
            Ok(root) => root,
            Err(error) => return self.refuse(error.line, None, error.reason),
        };
        let mut file = UnitFile {
            name: self.file.to_owned(),
            rule_files: Vec::new(),
            evaluation_interval: Duration::ZERO,
            group_eval_order: Vec::new(),
            fuzzy_compare: false,
            tests: Vec::new(),
        };
        for (key, value) in self.map(&root)? {
            match key.name.as_str() {
                "rule_files" => file.rule_files = self.texts(key, value)?,
                "evaluation_interval" => file.evaluation_interval = self.duration(key, value)?,
                "group_eval_order" => {
                    file.group_eval_order = self.texts(key, value)?;
                    let mut sorted = file.group_eval_order.clone();
                    sorted.sort();
                    if sorted.windows(2).any(|pair| pair[0] == pair[1]) {
                        return self.refuse(value.line, Some(&key.name), "a group is repeated");
                    }
                }
                "fuzzy_compare" => file.fuzzy_compare = self.text(key, value)? == "true",
                "tests" => {
                    for node in self.list(key, value)? {
                        file.tests.push(self.test(node)?);
                    }
                }
                _ => return self.unknown(key),
            }
        }
        if file.evaluation_interval.is_zero() {
            file.evaluation_interval = Duration::from_mins(1);
        }
        Ok(file)
    }

    fn test(&self, node: &Node) -> Found<Test> {
        let mut test = Test {
            name: None,
            interval: None,
            input: Vec::new(),
            alerts: Vec::new(),
            exprs: Vec::new(),
            external_labels: BTreeMap::new(),
            external_url: String::new(),
        };
        let mut budget = VALUES_MAX;
        for (key, value) in self.map(node)? {
            match key.name.as_str() {
                "name" => test.name = Some(self.text(key, value)?).filter(|name| !name.is_empty()),
                "interval" => {
                    test.interval =
                        Some(self.duration(key, value)?).filter(|interval| !interval.is_zero());
                }
                "input_series" => {
                    for node in self.list(key, value)? {
                        test.input.push(self.series(node, &mut budget)?);
                    }
                }
                "alert_rule_test" => {
                    for node in self.list(key, value)? {
                        test.alerts.push(self.alert_case(node)?);
                    }
                }
                "promql_expr_test" => {
                    for node in self.list(key, value)? {
                        test.exprs.push(self.expr_case(node)?);
                    }
                }
                "external_labels" => test.external_labels = self.words(value)?,
                "external_url" => test.external_url = self.text(key, value)?,
                _ => return self.unknown(key),
            }
        }
        Ok(test)
    }

    fn series(&self, node: &Node, budget: &mut usize) -> Found<(Labels, Vec<Option<f64>>)> {
        let (mut labels, mut values) = (None, Vec::new());
        for (key, value) in self.map(node)? {
            let text = self.text(key, value)?;
            let refused = |reason| self.refuse(value.line, Some(&key.name), reason);
            match key.name.as_str() {
                "series" => labels = Some(series::labels(&text).or_else(refused)?),
                "values" => {
                    let refused = |reason| self.refuse(value.line, Some(&key.name), reason);
                    values = series::values(&text, budget).or_else(refused)?;
                }
                _ => return self.unknown(key),
            }
        }
        match labels {
            Some(labels) => Ok((labels, values)),
            None => self.refuse(node.line, Some("series"), "missing"),
        }
    }

    fn alert_case(&self, node: &Node) -> Found<AlertCase> {
        let mut case =
            AlertCase { eval_time: Duration::ZERO, alertname: String::new(), expected: Vec::new() };
        for (key, value) in self.map(node)? {
            match key.name.as_str() {
                "eval_time" => case.eval_time = self.duration(key, value)?,
                "alertname" => case.alertname = self.text(key, value)?,
                "exp_alerts" => {
                    for node in self.list(key, value)? {
                        case.expected.push(self.expected(node)?);
                    }
                }
                _ => return self.unknown(key),
            }
        }
        // What a rule's alert always has, so that nobody writes it.
        for expected in &mut case.expected {
            expected.labels.insert("alertname".to_owned(), case.alertname.clone());
        }
        Ok(case)
    }

    fn expected(&self, node: &Node) -> Found<Expected> {
        let mut expected = Expected { labels: BTreeMap::new(), annotations: BTreeMap::new() };
        if node.value == Value::Null {
            return Ok(expected);
        }
        for (key, value) in self.map(node)? {
            match key.name.as_str() {
                "exp_labels" => expected.labels = self.words(value)?,
                "exp_annotations" => expected.annotations = self.words(value)?,
                _ => return self.unknown(key),
            }
        }
        Ok(expected)
    }

    fn expr_case(&self, node: &Node) -> Found<ExprCase> {
        let (mut text, mut eval_time) = (String::new(), Duration::ZERO);
        let mut expected = Ok(Vec::new());
        for (key, value) in self.map(node)? {
            match key.name.as_str() {
                "expr" => text = self.text(key, value)?,
                "eval_time" => eval_time = self.duration(key, value)?,
                "exp_samples" => {
                    for node in self.list(key, value)? {
                        let sample = self.sample(node)?;
                        match (&mut expected, sample) {
                            (Ok(samples), Ok(sample)) => samples.push(sample),
                            (Ok(_), Err(reason)) => expected = Err(reason),
                            (Err(_), _) => {}
                        }
                    }
                }
                _ => return self.unknown(key),
            }
        }
        // As in promtool a bad expression fails its case, not the file.
        let expr = Expr::parse(&text).map_err(|error| error.to_string());
        Ok(ExprCase { eval_time, text, expr, expected })
    }

    fn sample(&self, node: &Node) -> Found<Result<(Labels, f64), String>> {
        let (mut labels, mut number) = (String::new(), 0.0);
        for (key, value) in self.map(node)? {
            match key.name.as_str() {
                "labels" => labels = self.text(key, value)?,
                "value" => {
                    let text = self.text(key, value)?;
                    let Some(parsed) = yaml_number(&text) else {
                        return self.refuse(value.line, Some("value"), "must be a number");
                    };
                    number = parsed;
                }
                "histogram" => {
                    let reason = "native histograms are not supported";
                    return self.refuse(key.line, Some("histogram"), reason);
                }
                _ => return self.unknown(key),
            }
        }
        Ok(series::labels(&labels).map(|labels| (labels, number)))
    }

    fn unknown<T>(&self, key: &Key) -> Found<T> {
        self.refuse(key.line, Some(&key.name), "unknown key")
    }

    fn map<'n>(&self, node: &'n Node) -> Found<&'n [(Key, Node)]> {
        match &node.value {
            Value::Map(entries) => Ok(entries),
            Value::Null => Ok(&[]),
            Value::Scalar(_) | Value::List(_) => {
                let reason = format!("must be a mapping, is {}", node.value.kind());
                self.refuse(node.line, None, reason)
            }
        }
    }

    fn list<'n>(&self, key: &Key, node: &'n Node) -> Found<&'n [Node]> {
        match &node.value {
            Value::List(items) => Ok(items),
            Value::Null => Ok(&[]),
            Value::Scalar(_) | Value::Map(_) => {
                let reason = format!("must be a list, is {}", node.value.kind());
                self.refuse(node.line, Some(&key.name), reason)
            }
        }
    }

    fn text(&self, key: &Key, node: &Node) -> Found<String> {
        match &node.value {
            Value::Scalar(text) => Ok(text.clone()),
            Value::Null => Ok(String::new()),
            Value::List(_) | Value::Map(_) => {
                let reason = format!("must be a word, is {}", node.value.kind());
                self.refuse(node.line, Some(&key.name), reason)
            }
        }
    }

    fn texts(&self, key: &Key, node: &Node) -> Found<Vec<String>> {
        self.list(key, node)?.iter().map(|item| self.text(key, item)).collect()
    }

    fn words(&self, node: &Node) -> Found<BTreeMap<String, String>> {
        let entries = self.map(node)?.iter();
        entries.map(|(key, value)| Ok((key.name.clone(), self.text(key, value)?))).collect()
    }

    fn duration(&self, key: &Key, node: &Node) -> Found<Duration> {
        parse_duration(&self.text(key, node)?)
            .or_else(|reason| self.refuse(node.line, Some(&key.name), reason))
    }
}

/// A number as YAML writes it.
fn yaml_number(text: &str) -> Option<f64> {
    match text.to_ascii_lowercase().as_str() {
        ".inf" | "+.inf" => Some(f64::INFINITY),
        "-.inf" => Some(f64::NEG_INFINITY),
        ".nan" => Some(f64::NAN),
        lower if lower.contains(|char: char| char.is_ascii_digit()) => lower.parse().ok(),
        _ => None,
    }
}

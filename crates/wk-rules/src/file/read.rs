//! From YAML to [`RuleFile`]: every key is known or refused, every value is parsed once.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use wk_promql::Expr;

use super::{Alerting, GROUPS_MAX, Group, LABELS_MAX, OWN_FOR, RULES_MAX};
use super::{Rule, RuleFile, RuleKind};
use crate::duration::parse_duration;
use crate::error::{RuleError, RuleErrors};
use crate::template::Template;
use crate::yaml::{self, Key, Node, Value};

/// The label that holds a metric's name; no rule may set it.
const METRIC_NAME: &str = "__name__";

pub(super) fn file(name: &str, text: &str) -> Result<RuleFile, RuleErrors> {
    let mut reader = Reader { file: name, group: None, rule: None, errors: Vec::new() };
    let groups = match yaml::read(text) {
        Ok(node) => reader.groups(&node),
        Err(error) => {
            reader.refuse(error.line, None, error.reason);
            Vec::new()
        }
    };
    if reader.errors.is_empty() {
        return Ok(RuleFile { name: name.to_owned(), groups });
    }
    reader.errors.sort_by_key(|error| error.line);
    Err(RuleErrors(reader.errors))
}

/// Where we are in the file, and what was wrong so far: one reading finds all that is.
struct Reader<'f> {
    file: &'f str,
    group: Option<String>,
    rule: Option<String>,
    errors: Vec<RuleError>,
}

type Entries<'n> = &'n [(Key, Node)];

impl Reader<'_> {
    fn refuse(&mut self, line: usize, key: Option<&str>, reason: impl Into<String>) {
        self.errors.push(RuleError {
            file: self.file.to_owned(),
            line,
            group: self.group.clone(),
            rule: self.rule.clone(),
            key: key.map(str::to_owned),
            reason: reason.into(),
        });
    }

    fn groups(&mut self, root: &Node) -> Vec<Group> {
        let mut groups = Vec::new();
        if root.value == Value::Null {
            return groups;
        }
        let Some(entries) = self.map(root, None) else { return groups };
        let (mut names, mut rules) = (BTreeMap::new(), 0);
        for (key, value) in entries {
            if key.name != "groups" {
                self.unknown(key, "groups");
                continue;
            }
            let Some(items) = self.list(key, value) else { continue };
            if items.len() > GROUPS_MAX {
                let reason = format!("{} groups; at most {GROUPS_MAX}", items.len());
                self.refuse(value.line, Some("groups"), reason);
                return groups;
            }
            for item in items {
                let Some(group) = self.group(item) else { continue };
                rules += group.rules.len();
                if let Some(first) = names.insert(group.name.clone(), item.line) {
                    let reason = format!("{}: given before, on line {first}", group.name);
                    self.refuse(item.line, Some("name"), reason);
                }
                groups.push(group);
            }
        }
        if rules > RULES_MAX {
            self.refuse(1, None, format!("{rules} rules; at most {RULES_MAX} in a file"));
        }
        groups
    }

    fn group(&mut self, node: &Node) -> Option<Group> {
        let entries = self.map(node, Some("groups"))?;
        let named = entries.iter().find(|(key, _)| key.name == "name");
        let name = named.and_then(|(key, value)| self.text(key, value)).unwrap_or_default();
        self.group = (!name.is_empty()).then(|| name.clone());
        if name.is_empty() {
            self.refuse(node.line, Some("name"), "a group must have a name");
        }
        let mut group = Group {
            name,
            interval: None,
            limit: 0,
            query_offset: Duration::ZERO,
            labels: BTreeMap::new(),
            rules: Vec::new(),
        };
        let mut rules = None;
        for (key, value) in entries {
            match key.name.as_str() {
                "name" => {}
                // Zero is what an absent key is.
                "interval" => {
                    group.interval = self.duration(key, value).filter(|every| !every.is_zero());
                }
                "query_offset" => {
                    group.query_offset = self.duration(key, value).unwrap_or_default();
                }
                "limit" => group.limit = self.limit(key, value).unwrap_or_default(),
                "labels" => group.labels = self.labels(key, value),
                "rules" => rules = Some((key, value)),
                _ => self.unknown(key, "name, interval, limit, query_offset, labels, rules"),
            }
        }
        if let Some((key, value)) = rules {
            self.rules(key, value, &mut group);
        }
        self.group = None;
        Some(group)
    }

    fn rules(&mut self, key: &Key, value: &Node, group: &mut Group) {
        let mut known = BTreeMap::new();
        for item in self.list(key, value).unwrap_or_default() {
            if let Some(rule) = self.rule(item, &group.labels) {
                let identity = (rule.alerting().is_some(), rule.name.clone(), rule.labels.clone());
                if let Some(first) = known.insert(identity, item.line) {
                    self.rule = Some(rule.name.clone());
                    let reason = format!(
                        "same name and labels as on line {first}: give one of them another label"
                    );
                    self.refuse(item.line, None, reason);
                }
                group.rules.push(rule);
            }
            self.rule = None;
        }
    }

    fn rule(&mut self, node: &Node, group_labels: &BTreeMap<String, String>) -> Option<Rule> {
        let entries = self.map(node, Some("rules"))?;
        let (name, is_alert) = self.rule_name(node, entries)?;
        let before = self.errors.len();
        let (mut text, mut labels) = (None, BTreeMap::new());
        let (mut lines, mut alerting) = (BTreeMap::new(), Alerting::default());
        for (key, value) in entries {
            lines.insert(key.name.as_str(), key.line);
            match key.name.as_str() {
                "alert" | "record" => {}
                "expr" => text = self.text(key, value).map(|text| (text, value.line)),
                "labels" => labels = self.labels(key, value),
                "for" => alerting.hold = self.duration(key, value).unwrap_or_default(),
                "keep_firing_for" => {
                    alerting.keep_firing = self.duration(key, value).unwrap_or_default();
                }
                "annotations" => {
                    alerting.annotations = self.words(key, value);
                    alerting.own_hold = self.own_hold(value, &alerting);
                }
                _ => self
                    .unknown(key, "alert, record, expr, for, keep_firing_for, labels, annotations"),
            }
        }
        let expr = self.expression(node, text.as_ref());
        let kind = if is_alert {
            self.templates(node, entries, group_labels, &labels, &mut alerting);
            RuleKind::Alerting(alerting)
        } else {
            for key in ["for", "keep_firing_for", "annotations"] {
                if let Some(line) = lines.get(key) {
                    self.refuse(*line, Some(key), "a recording rule has none");
                }
            }
            RuleKind::Recording
        };
        let (text, expr) = (text?.0, expr?);
        (self.errors.len() == before).then(|| Rule {
            name,
            line: node.line,
            text,
            expr,
            labels,
            kind,
        })
    }

    /// The rule's name, and whether it is an alert.
    fn rule_name(&mut self, node: &Node, entries: Entries<'_>) -> Option<(String, bool)> {
        let mut found: Vec<(String, bool)> = Vec::new();
        for (key, value) in entries {
            if matches!(key.name.as_str(), "alert" | "record")
                && let Some(name) = self.text(key, value).filter(|name| !name.is_empty())
            {
                found.push((name, key.name == "alert"));
            }
        }
        let (name, is_alert) = match (found.pop(), found.is_empty()) {
            (Some(found), true) => found,
            (Some((name, _)), false) => {
                self.rule = Some(name);
                self.refuse(node.line, None, "both `alert` and `record`: a rule is one of them");
                return None;
            }
            (None, _) => {
                self.refuse(node.line, None, "a rule must have `alert` or `record`");
                return None;
            }
        };
        self.rule = Some(name.clone());
        if !is_alert && name.contains(['{', '}']) {
            self.refuse(node.line, Some("record"), "a metric's name, no expression: no braces");
        }
        Some((name, is_alert))
    }

    fn expression(&mut self, node: &Node, text: Option<&(String, usize)>) -> Option<Expr> {
        let Some((text, line)) = text.filter(|(text, _)| !text.trim().is_empty()) else {
            let is_said =
                |error: &RuleError| error.key.as_deref() == Some("expr") && error.line >= node.line;
            if !self.errors.iter().any(is_said) {
                self.refuse(node.line, Some("expr"), "every rule must have one");
            }
            return None;
        };
        match Expr::parse(text) {
            Ok(expr) => Some(expr),
            Err(error) => {
                self.refuse(*line, Some("expr"), error.to_string());
                None
            }
        }
    }

    /// Our own `for`: at most the one that Prometheus waits.
    fn own_hold(&mut self, annotations: &Node, alerting: &Alerting) -> Option<Duration> {
        let text = alerting.annotations.get(OWN_FOR)?;
        match parse_duration(text) {
            Ok(duration) => Some(duration),
            Err(reason) => {
                self.refuse(line_of(annotations, OWN_FOR), Some(OWN_FOR), reason);
                None
            }
        }
    }

    /// Parses the templates of the labels (the group's too) and of the annotations.
    fn templates(
        &mut self,
        node: &Node,
        entries: Entries<'_>,
        group_labels: &BTreeMap<String, String>,
        labels: &BTreeMap<String, String>,
        alerting: &mut Alerting,
    ) {
        let mut names: BTreeSet<&String> = group_labels.keys().collect();
        names.extend(labels.keys());
        let all: Vec<_> = names
            .into_iter()
            .filter_map(|name| Some((name, labels.get(name).or_else(|| group_labels.get(name))?)))
            .collect();
        let place = |section: &str, name: &str| {
            let section = entries.iter().find(|(key, _)| key.name == section);
            section.map_or(node.line, |(_, value)| line_of(value, name))
        };
        for (name, text) in all {
            match Template::parse(text) {
                Ok(template) => alerting.label_templates.push((name.clone(), template)),
                Err(error) => self.refuse(place("labels", name), Some(name), error.to_string()),
            }
        }
        for (name, text) in alerting.annotations.clone() {
            match Template::parse(&text) {
                Ok(template) => alerting.annotation_templates.push((name, template)),
                Err(error) => {
                    self.refuse(place("annotations", &name), Some(&name), error.to_string());
                }
            }
        }
    }

    fn labels(&mut self, key: &Key, value: &Node) -> BTreeMap<String, String> {
        let labels = self.words(key, value);
        if labels.contains_key(METRIC_NAME) {
            let line = line_of(value, METRIC_NAME);
            self.refuse(line, Some(METRIC_NAME), "the metric's name, which no label may set");
        }
        labels
    }

    /// A mapping of words to words.
    fn words(&mut self, key: &Key, value: &Node) -> BTreeMap<String, String> {
        let mut words = BTreeMap::new();
        if value.value == Value::Null {
            return words;
        }
        let Some(entries) = self.map(value, Some(&key.name)) else { return words };
        if entries.len() > LABELS_MAX {
            let reason = format!("{} of them; at most {LABELS_MAX}", entries.len());
            self.refuse(value.line, Some(&key.name), reason);
            return words;
        }
        for (name, value) in entries {
            if !is_label_name(&name.name) {
                let reason = "no label's name: a letter or _, then letters, digits or _";
                self.refuse(name.line, Some(&name.name), reason);
            } else if let Some(text) = self.text(name, value) {
                words.insert(name.name.clone(), text);
            }
        }
        words
    }

    fn duration(&mut self, key: &Key, value: &Node) -> Option<Duration> {
        let text = self.text(key, value)?;
        let parsed = parse_duration(&text);
        parsed.map_err(|reason| self.refuse(value.line, Some(&key.name), reason)).ok()
    }

    fn limit(&mut self, key: &Key, value: &Node) -> Option<usize> {
        let text = self.text(key, value)?;
        let Ok(limit) = text.parse::<i64>() else {
            self.refuse(value.line, Some(&key.name), format!("{text:?}: must be a whole number"));
            return None;
        };
        // As in Prometheus: below one there is no limit.
        Some(usize::try_from(limit).unwrap_or(0))
    }

    /// A scalar's text; nothing at all is the empty text, as in Go's YAML.
    fn text(&mut self, key: &Key, value: &Node) -> Option<String> {
        match &value.value {
            Value::Scalar(text) => Some(text.clone()),
            Value::Null => Some(String::new()),
            Value::List(_) | Value::Map(_) => {
                let reason = format!("must be a word, is {}", value.value.kind());
                self.refuse(value.line, Some(&key.name), reason);
                None
            }
        }
    }

    fn map<'n>(&mut self, node: &'n Node, key: Option<&str>) -> Option<Entries<'n>> {
        match &node.value {
            Value::Map(entries) => Some(entries),
            Value::Null | Value::Scalar(_) | Value::List(_) => {
                let reason = format!("must be a mapping, is {}", node.value.kind());
                self.refuse(node.line, key, reason);
                None
            }
        }
    }

    fn list<'n>(&mut self, key: &Key, node: &'n Node) -> Option<&'n [Node]> {
        match &node.value {
            Value::List(items) => Some(items),
            Value::Null => Some(&[]),
            Value::Scalar(_) | Value::Map(_) => {
                let reason = format!("must be a list, is {}", node.value.kind());
                self.refuse(node.line, Some(&key.name), reason);
                None
            }
        }
    }

    fn unknown(&mut self, key: &Key, known: &str) {
        self.refuse(key.line, Some(&key.name), format!("unknown key; known here: {known}"));
    }
}

/// The line of a key in a mapping, else the mapping's own.
fn line_of(map: &Node, name: &str) -> usize {
    let Value::Map(entries) = &map.value else { return map.line };
    entries.iter().find(|(key, _)| key.name == name).map_or(map.line, |(key, _)| key.line)
}

fn is_label_name(name: &str) -> bool {
    let mut chars = name.chars();
    chars.next().is_some_and(|first| first.is_ascii_alphabetic() || first == '_')
        && chars.all(|char| char.is_ascii_alphanumeric() || char == '_')
}

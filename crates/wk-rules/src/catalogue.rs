//! The shipped rules: their sources, their thresholds, and the rule files they compile to.
//!
//! A number that an operator may change stands in the source as `${name=default}`. An ensemble with
//! values of its own gets a copy of the rule: the copy's selectors have `ensemble="NAME"`, those of
//! the general rule exclude it. So an exported file shows all that is in force, and Prometheus
//! judges as we do.

use std::collections::BTreeMap;
use std::sync::LazyLock;

use crate::file::{OWN_FOR, RuleFile};
use crate::selector::{selectors, with_matcher};
use crate::threshold::{ENABLED, FOR, Settings, Thresholds};
use crate::write::{self, GroupText, RuleText};
use crate::yaml::{self, Node, Value};

/// Rules beside the 58 of the first catalogue, by name.
pub const BESIDE: &[&str] = &[
    "TapBehind",
    "TapMissedTxns",
    "ZkElectionPortUnreachable",
    "ZkFailedWriteStorm",
    "ZkMembersChanged",
    "ZkPrefixGrows",
    "ZkSequenceNearEnd",
    "ZkSessionsExpire",
];
/// The alerting rules: 58, and those beside them.
const ALERTS: [(&str, &str); 6] = [
    ("quorum.yml", include_str!("../catalogue/quorum.yml")),
    ("load.yml", include_str!("../catalogue/load.yml")),
    ("clients.yml", include_str!("../catalogue/clients.yml")),
    ("data.yml", include_str!("../catalogue/data.yml")),
    ("nodes.yml", include_str!("../catalogue/nodes.yml")),
    ("tap.yml", include_str!("../catalogue/tap.yml")),
];
/// The recording rules.
const RECORDINGS: (&str, &str) = ("recording.yml", include_str!("../catalogue/recording.yml"));

/// Where the runbooks are; the rule's name follows.
const RUNBOOKS: &str = "https://github.com/watchkeeper/watchkeeper/blob/main/docs/rules.md#";

/// What is in front of a shipped file's name.
const PREFIX: &str = "shipped/";

static SHIPPED: LazyLock<Catalogue> = LazyLock::new(Catalogue::read);

/// The shipped rules.
#[derive(Clone, Debug)]
pub struct Catalogue {
    files: Vec<(String, Vec<GroupText>)>,
    recordings: Vec<GroupText>,
    alerts: Vec<Shipped>,
}

/// One shipped alerting rule, with its default values.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Shipped {
    /// Its name.
    pub name: String,
    /// Its group.
    pub group: String,
    /// Its expression, default values filled in.
    pub expr: String,
    /// Its `for` in Prometheus.
    pub hold: String,
    /// Its `for` here.
    pub own_hold: String,
    /// The label `severity`, as written.
    pub severity: String,
    /// Its annotations, as written.
    pub annotations: BTreeMap<String, String>,
    /// Its numbers by name, with the default of each.
    pub thresholds: BTreeMap<String, String>,
    /// Whether it judges ensembles, so that one may have values of its own.
    pub per_ensemble: bool,
}

/// Which shipped rules.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Which {
    /// The alerting rules.
    Alerts,
    /// The recording rules.
    Recordings,
    /// Both.
    All,
}

impl Catalogue {
    /// The rules in this binary.
    pub fn shipped() -> &'static Self {
        &SHIPPED
    }

    fn read() -> Self {
        let mut files = Vec::new();
        let mut alerts = Vec::new();
        for (name, text) in ALERTS {
            let groups = sources(text);
            for group in &groups {
                alerts.extend(group.rules.iter().map(|rule| shipped(&group.name, rule)));
            }
            files.push((name.to_owned(), groups));
        }
        Self { files, recordings: sources(RECORDINGS.1), alerts }
    }

    /// The alerting rules, in the order of the catalogue.
    pub fn alerts(&self) -> &[Shipped] {
        &self.alerts
    }

    /// An alerting rule by its name.
    pub fn rule(&self, name: &str) -> Option<&Shipped> {
        self.alerts.iter().find(|rule| rule.name == name)
    }

    /// The recording rules: name and expression.
    pub fn recordings(&self) -> impl Iterator<Item = (&str, &str)> {
        let rules = self.recordings.iter().flat_map(|group| &group.rules);
        rules.map(|rule| (rule.name.as_str(), rule.expr.as_str()))
    }

    /// All shipped rules with these thresholds, ready to be put in force.
    pub fn files(&self, thresholds: &Thresholds) -> Vec<RuleFile> {
        let alerts = self.files.iter().map(|(name, groups)| (name.as_str(), groups));
        let all = alerts.chain([(RECORDINGS.0, &self.recordings)]);
        all.map(|(name, groups)| {
            let name = format!("{PREFIX}{name}");
            let text = write::groups(&compile(groups, thresholds), "");
            RuleFile::parse(&name, &text)
                .expect("a test parses every shipped rule; values are checked")
        })
        .collect()
    }

    /// The groups that are exported.
    pub(crate) fn groups(&self, which: Which, thresholds: &Thresholds) -> Vec<GroupText> {
        let mut groups = Vec::new();
        if which != Which::Recordings {
            for (_, sources) in &self.files {
                groups.extend(compile(sources, thresholds));
            }
        }
        if which != Which::Alerts {
            groups.extend(self.recordings.clone());
        }
        groups
    }
}

/// Reads a source; its values are still `${name=default}`.
fn sources(text: &str) -> Vec<GroupText> {
    let root = yaml::read(text).expect("a test reads every shipped file");
    let list = |node: &Node| match &node.value {
        Value::List(items) => items.clone(),
        Value::Map(_) | Value::Scalar(_) | Value::Null => Vec::new(),
    };
    let groups = field(&root, "groups").map(&list).unwrap_or_default();
    groups
        .iter()
        .map(|group| GroupText {
            name: text_of(group, "name").unwrap_or_default(),
            interval: text_of(group, "interval"),
            rules: field(group, "rules").map(&list).unwrap_or_default().iter().map(rule).collect(),
        })
        .collect()
}

fn rule(node: &Node) -> RuleText {
    let alert = text_of(node, "alert");
    let name = alert.clone().or_else(|| text_of(node, "record")).unwrap_or_default();
    let pairs = |key: &str| match field(node, key).map(|node| &node.value) {
        Some(Value::Map(entries)) => entries
            .iter()
            .filter_map(|(key, value)| match &value.value {
                Value::Scalar(text) => Some((key.name.clone(), text.clone())),
                Value::Null | Value::List(_) | Value::Map(_) => None,
            })
            .collect(),
        _ => Vec::new(),
    };
    let mut annotations: Vec<(String, String)> = pairs("annotations");
    if alert.is_some() {
        annotations.push(("runbook".into(), format!("{RUNBOOKS}{}", name.to_lowercase())));
    }
    RuleText {
        is_alert: alert.is_some(),
        name,
        expr: text_of(node, "expr").unwrap_or_default(),
        hold: text_of(node, "for"),
        keep_firing: text_of(node, "keep_firing_for"),
        labels: pairs("labels"),
        annotations,
    }
}

fn field<'n>(node: &'n Node, name: &str) -> Option<&'n Node> {
    let Value::Map(entries) = &node.value else { return None };
    entries.iter().find(|(key, _)| key.name == name).map(|(_, value)| value)
}

fn text_of(node: &Node, name: &str) -> Option<String> {
    match &field(node, name)?.value {
        Value::Scalar(text) => Some(text.clone()),
        Value::Null | Value::List(_) | Value::Map(_) => None,
    }
}

fn shipped(group: &str, source: &RuleText) -> Shipped {
    let pair = |pairs: &[(String, String)], name: &str| {
        pairs.iter().find(|(key, _)| key == name).map(|(_, value)| value.clone())
    };
    let expr = fill(&source.expr, &Settings::new());
    Shipped {
        name: source.name.clone(),
        group: group.to_owned(),
        hold: source.hold.clone().unwrap_or_else(|| "0s".to_owned()),
        own_hold: pair(&source.annotations, OWN_FOR).unwrap_or_default(),
        severity: pair(&source.labels, "severity").unwrap_or_default(),
        annotations: source.annotations.iter().cloned().collect(),
        thresholds: values(&source.expr),
        per_ensemble: is_of_ensembles(&expr),
        expr,
    }
}

/// Whether it reads series of ensembles, and not only the monitor's own.
fn is_of_ensembles(expr: &str) -> bool {
    let found = selectors(expr);
    let is_own = |name: &str| name.starts_with("watchkeeper_notification_");
    !found.is_empty() && !found.iter().any(|one| is_own(&expr[one.name.clone()]))
}

/// The names and defaults of `${name=default}`.
fn values(expr: &str) -> BTreeMap<String, String> {
    let mut values = BTreeMap::new();
    for part in expr.split("${").skip(1) {
        let inner = part.split('}').next().unwrap_or_default();
        if let Some((name, default)) = inner.split_once('=') {
            values.insert(name.to_owned(), default.to_owned());
        }
    }
    values
}

/// The expression with its values.
fn fill(expr: &str, settings: &Settings) -> String {
    let mut parts = expr.split("${");
    let mut out = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let (inner, rest) = part.split_once('}').unwrap_or((part, ""));
        let (name, default) = inner.split_once('=').unwrap_or((inner, "0"));
        out.push_str(settings.get(name).map_or(default, String::as_str));
        out.push_str(rest);
    }
    out
}

fn compile(groups: &[GroupText], thresholds: &Thresholds) -> Vec<GroupText> {
    let mut compiled = Vec::new();
    for group in groups {
        let mut rules = Vec::new();
        for source in &group.rules {
            compile_rule(source, thresholds, &mut rules);
        }
        if !rules.is_empty() {
            compiled.push(GroupText { rules, ..group.clone() });
        }
    }
    compiled
}

fn compile_rule(source: &RuleText, thresholds: &Thresholds, out: &mut Vec<RuleText>) {
    let own = thresholds.of_ensembles(&source.name);
    let mut general = with_settings(source, &thresholds.everywhere(&source.name));
    if let Some(rule) = &mut general
        && !own.is_empty()
    {
        let names: Vec<String> = own.keys().map(|name| escape_regex(name)).collect();
        let matcher = format!("ensemble!~{:?}", names.join("|"));
        rule.expr = with_matcher(&rule.expr, &matcher);
    }
    out.extend(general);
    for (ensemble, settings) in own {
        let Some(mut rule) = with_settings(source, &settings) else { continue };
        rule.expr = with_matcher(&rule.expr, &format!("ensemble={ensemble:?}"));
        // What the series has anyway; it tells the copy from the general rule.
        rule.labels.push(("ensemble".to_owned(), ensemble.to_owned()));
        out.push(rule);
    }
}

/// The rule with these values; None where it is switched off.
fn with_settings(source: &RuleText, settings: &Settings) -> Option<RuleText> {
    if settings.get(ENABLED).is_some_and(|enabled| enabled == "false") {
        return None;
    }
    let mut rule = source.clone();
    rule.expr = fill(&source.expr, settings);
    if let Some(hold) = settings.get(FOR) {
        rule.hold = Some(hold.clone());
    }
    if let Some(hold) = settings.get(OWN_FOR)
        && let Some(own) = rule.annotations.iter_mut().find(|(name, _)| name == OWN_FOR)
    {
        own.1.clone_from(hold);
    }
    Some(rule)
}

fn escape_regex(text: &str) -> String {
    regex::escape(text)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::duration::parse_duration;

    fn tuned(settings: &[(Option<&str>, &str, &str, &str)]) -> Thresholds {
        let mut thresholds = Thresholds::default();
        for (ensemble, rule, key, value) in settings {
            thresholds.set(*ensemble, rule, key, value).unwrap_or_else(|error| panic!("{error}"));
        }
        thresholds
    }

    fn exprs(thresholds: &Thresholds, rule: &str) -> Vec<String> {
        let groups = Catalogue::shipped().groups(Which::Alerts, thresholds);
        let rules = groups.into_iter().flat_map(|group| group.rules);
        rules.filter(|one| one.name == rule).map(|one| one.expr).collect()
    }

    #[test]
    fn every_shipped_rule_is_whole() {
        let catalogue = Catalogue::shipped();
        let beside = |rule: &&Shipped| BESIDE.contains(&rule.name.as_str());
        assert_eq!(catalogue.alerts().iter().filter(|rule| !beside(rule)).count(), 58);
        assert_eq!(catalogue.alerts().iter().filter(beside).count(), BESIDE.len());
        let files = catalogue.files(&Thresholds::default());
        assert_eq!(
            files.iter().flat_map(RuleFile::rules).count(),
            58 + BESIDE.len() + catalogue.recordings().count()
        );
        for rule in catalogue.alerts() {
            let name = &rule.name;
            let known = ["critical", "warning", "info", "none"].contains(&rule.severity.as_str());
            assert!(known || name == "NodeDown", "{name}: {}", rule.severity);
            let (hold, own) = (parse_duration(&rule.hold), parse_duration(&rule.own_hold));
            assert!(own.unwrap() <= hold.unwrap(), "{name}");
            for key in [
                "summary_en",
                "summary_zh",
                "locate",
                "locate_zh",
                "action",
                "action_zh",
                "runbook",
            ] {
                assert!(rule.annotations.contains_key(key), "{name}: {key}");
            }
            assert!(rule.annotations["summary_zh"].chars().any(|char| char > '\u{4e00}'), "{name}");
        }
    }

    #[test]
    fn alerts_keep_the_ensemble() {
        // An aggregation or match by other labels would lose it.
        for rule in Catalogue::shipped().alerts() {
            for (list, _) in rule.expr.match_indices(" by (").chain(rule.expr.match_indices("on ("))
            {
                let inside = rule.expr[list..].split(')').next().unwrap();
                assert!(inside.contains("ensemble"), "{}: {inside}", rule.name);
            }
        }
    }

    #[test]
    fn a_threshold_holds_everywhere_or_for_one_ensemble() {
        let all = tuned(&[(None, "ZkFollowerLag", "txns", "5000")]);
        assert_eq!(exprs(&all, "ZkFollowerLag"), ["watchkeeper_server_zxid_lag_txns > 5000"]);
        let one = tuned(&[(Some("prod.a"), "ZkFollowerLag", "txns", "7")]);
        assert_eq!(
            exprs(&one, "ZkFollowerLag"),
            [
                r#"watchkeeper_server_zxid_lag_txns{ensemble!~"prod\\.a"} > 1000"#,
                r#"watchkeeper_server_zxid_lag_txns{ensemble="prod.a"} > 7"#
            ]
        );
        let off = tuned(&[(None, "ZkMixedVersions", "enabled", "false")]);
        assert!(exprs(&off, "ZkMixedVersions").is_empty());
        // Every rule that can be copied for an ensemble still parses.
        let mut thresholds = Thresholds::default();
        for rule in Catalogue::shipped().alerts().iter().filter(|rule| rule.per_ensemble) {
            thresholds.set(Some("a\"b"), &rule.name, "for", "7m").unwrap();
        }
        let copies = Catalogue::shipped().files(&thresholds);
        let count = copies.iter().flat_map(RuleFile::rules).count();
        assert!(count > 58 + 50, "{count}");
    }

    #[test]
    fn a_bad_threshold_is_refused_with_what_is_known() {
        let mut thresholds = Thresholds::default();
        for (ensemble, rule, key, value, part) in [
            (None, "ZkNothing", "txns", "1", "no shipped rule"),
            (None, "ZkFollowerLag", "lag", "1", "known here: txns, for, watchkeeper_for, enabled"),
            (None, "ZkFollowerLag", "txns", "many", "must be a number"),
            (None, "ZkFollowerLag", "txns", "inf", "must be a number"),
            (None, "ZkFollowerLag", "for", "soon", "must be a duration"),
            (None, "ZkFollowerLag", "enabled", "0", "true or false"),
            (Some("a"), "Watchdog", "for", "1s", "judges no ensemble"),
            (Some(""), "ZkFollowerLag", "for", "1s", "has a name"),
            (Some("{{"), "ZkFollowerLag", "for", "1s", "has a name"),
        ] {
            let error = thresholds.set(ensemble, rule, key, value).unwrap_err().to_string();
            assert!(error.contains(part), "{error}");
        }
        assert_eq!(thresholds, Thresholds::default());
    }
}

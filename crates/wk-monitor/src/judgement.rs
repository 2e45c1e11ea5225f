//! The rules over the window, and the judge over the rules: samples in, findings out.
//!
//! Everything here is driven by the owner, who says what time it is. What is kept over a restart are
//! the alerts' states; the window begins empty and fills within the reach of each rule.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use tracing::{info, warn};
use wk_alert::{
    Ask, Claim, Detail, Fact, Figure, Finding, Judge, JudgePolicy, Now, Severity, Sight,
};
use wk_alert::{Health, HealthPolicy, Ledger, Pulse, Subject};
use wk_promql::{Sample, Window, WindowPolicy};
use wk_proto::ids::Mono;
use wk_rules::{
    Alert, AlertState, Catalogue, External, RuleSet, SavedAlerts, SetError, SetOptions,
};

use crate::config::Config;
use crate::rule_files::{self, Texts};
use crate::store::Kept;

/// Under which name the store keeps the states of alerts.
const KEPT: &str = "rules/alerts";
/// The window forgets what is too old this often.
const TRIM_MS: i64 = 10_000;
/// Two evaluations for news are at least so far apart.
const NEWS_MS: i64 = 100;
/// States of so many alerts are kept with every change; of more, each [`KEEP_MANY_MS`].
const KEEP_EACH: usize = 1000;
const KEEP_MANY_MS: i64 = 15_000;
/// The wall clock may move so much against the steady one before it counts as set anew.
const CLOCK_MS: i64 = 2_000;

/// What detectors find by themselves where no rule does.
const DETECTORS: [&str; 4] = [
    wk_alert::server::UNREACHABLE,
    wk_alert::server::NOT_SERVING,
    wk_alert::node::NODE_DOWN,
    wk_alert::node::VIEW_LOST,
];
/// While nothing may be judged this is asked again so often.
const UNFIT: Duration = Duration::from_millis(50);

/// Whether the monitor was awake all the time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Awake {
    /// Yes.
    Yes,
    /// It was stopped: everybody has to look anew.
    Paused,
    /// The clock was set: that too, and nothing is left of what was sampled.
    WindowLost,
}

/// The window, the rules and the judge.
pub(crate) struct Judgement {
    pub(crate) window: Window,
    pub(crate) rules: RuleSet,
    pub(crate) sight: Sight,
    pub(crate) health: Health,
    /// Names of the rules in force.
    pub(crate) names: BTreeSet<String>,
    judge: Judge,
    options: SetOptions,
    /// What is wrong with rule files: those that are not in force, or not as they now are.
    pub(crate) errors: Vec<String>,
    /// Samples that the window refused.
    pub(crate) refused: u64,
    /// Nothing was judged when last asked: not everybody has looked since a pause.
    unfit: bool,
    /// Something changed that should be judged at once.
    news: bool,
    evaluated: i64,
    trimmed: i64,
    /// States changed since they were last kept.
    unkept: bool,
    kept_at: i64,
    /// Both clocks when last seen, to notice that one was set.
    clocks: Option<Now>,
}

impl Judgement {
    /// Puts the shipped rules and those of the configuration in force, and goes on from what was
    /// kept. A file that is wrong does not keep the others from judging.
    pub(crate) fn begin(config: &Config, texts: &Texts, kept: &Kept, now: Now) -> Self {
        let external = External { url: config.page_url.clone(), ..External::default() };
        let options = SetOptions { external, ..SetOptions::default() };
        let (rules, errors) = match in_force(config, texts, &options) {
            (Ok(rules), errors) => (rules, errors),
            (Err(err), mut errors) => {
                errors.push(err.to_string());
                let shipped = RuleSet::new(
                    Catalogue::shipped().files(&config.rules.thresholds),
                    options.clone(),
                );
                (shipped.expect("the shipped rules are tried by tests"), errors)
            }
        };
        let mut judgement = Self {
            window: Window::new(WindowPolicy::default()),
            rules,
            names: BTreeSet::new(),
            sight: Sight::default(),
            health: Health::new(HealthPolicy::default()),
            judge: Judge::new(JudgePolicy::default()),
            options,
            errors,
            refused: 0,
            unfit: false,
            news: true,
            evaluated: i64::MIN,
            trimmed: i64::MIN,
            unkept: false,
            kept_at: i64::MIN,
            clocks: None,
        };
        judgement.complain();
        judgement.retain();
        let saved = kept.get(KEPT).map(|bytes| serde_json::from_slice::<SavedAlerts>(bytes));
        match saved {
            Some(Ok(saved)) => {
                let lost = judgement.rules.restore(&saved, now.wall.0);
                info!(alerts = saved.alerts.len(), lost, "states of alerts restored");
            }
            Some(Err(err)) => warn!(%err, "states of alerts cannot be read; they begin anew"),
            None => (),
        }
        judgement
    }

    /// Goes on from the incidents that an earlier run left open.
    pub(crate) fn adopt(&mut self, now: Now, ledger: &Ledger) {
        let is_ours = |rule: &str| self.names.contains(rule) || !DETECTORS.contains(&rule);
        let open = ledger.incidents().values();
        let open = open.filter(|i| i.is_open() && is_ours(&i.subject.rule) && fits(&i.subject));
        let open = open.collect::<Vec<_>>();
        for incident in open {
            self.judge.adopt(now, incident.subject.clone(), incident.severity);
        }
    }

    /// Whether a rule judges what a detector finds of `subject`: there is one, and the window has
    /// room for the names.
    pub(crate) fn judges(&self, subject: &Subject) -> bool {
        self.names.contains(&subject.rule) && fits(subject)
    }

    /// Rule files changed. If the set cannot be in force, the old one stays.
    pub(crate) fn reload(&mut self, config: &Config, texts: &Texts) {
        let (files, mut errors) = rule_files::parse(texts);
        if errors.is_empty() {
            let mut all = Catalogue::shipped().files(&config.rules.thresholds);
            all.extend(files);
            match self.rules.reload(all, self.options.clone()) {
                Ok(report) => {
                    let (added, removed) = (report.added.len(), report.removed.len());
                    let changed = report.changed.len();
                    info!(added, removed, changed, kept = report.kept, "rules read again");
                    self.retain();
                    self.unkept = true;
                }
                Err(err) => errors.push(err.to_string()),
            }
        }
        self.errors = errors;
        self.complain();
    }

    fn complain(&self) {
        for err in &self.errors {
            warn!(%err, "rule file refused; the rules in force stay");
        }
    }

    fn retain(&mut self) {
        self.names =
            self.rules.rules().filter(|r| r.is_alert).map(|r| r.rule.to_string()).collect();
        let mut retention = self.rules.retention();
        let least = retention.remove("").unwrap_or(0);
        let default = WindowPolicy::default().retention_default_ms.max(least);
        for reach in retention.values_mut() {
            *reach = (*reach).max(default);
        }
        self.window.retain(retention, default);
    }

    /// Takes samples; what the window refuses is counted.
    pub(crate) fn append(&mut self, samples: &[Sample]) {
        for sample in samples {
            if self.window.append(sample).is_err() {
                self.refused += 1;
            }
        }
    }

    /// Something changed: judge as soon as may be, not only with the next second.
    pub(crate) fn hurry(&mut self) {
        self.news = true;
    }

    /// Hears whether the monitor was stopped or a clock was set.
    pub(crate) fn hear(&mut self, now: Now, pulse: Pulse) -> Awake {
        let paused = self.health.hear(now.mono, pulse);
        let before = self.clocks.replace(now);
        if let Some(before) = before {
            let steady = i64::try_from(now.mono.since(before.mono).as_millis()).unwrap_or(i64::MAX);
            let moved = now.wall.0.saturating_sub(before.wall.0).saturating_sub(steady);
            if moved.abs() > CLOCK_MS {
                warn!(moved_ms = moved, "the clock was set: looking at everything anew");
                // What was sampled under the other time can neither be compared nor continued.
                let policy = WindowPolicy::default();
                self.window = Window::new(policy);
                self.retain();
                self.health.doubt(now.mono);
                (self.evaluated, self.trimmed, self.kept_at) = (i64::MIN, i64::MIN, i64::MIN);
                return Awake::WindowLost;
            }
        }
        if paused { Awake::Paused } else { Awake::Yes }
    }

    /// When there is something to evaluate next.
    fn next_due(&self, now: i64) -> i64 {
        let due = self.rules.next_due().unwrap_or(i64::MAX);
        if self.news { due.min(self.evaluated.saturating_add(NEWS_MS)).max(now) } else { due }
    }

    /// How long the owner may sleep.
    pub(crate) fn wait(&mut self, now: i64) -> Duration {
        let wait = self.next_due(now).saturating_sub(now);
        let wait = Duration::from_millis(u64::try_from(wait).unwrap_or(0));
        if self.unfit { wait.max(UNFIT) } else { wait }
    }

    /// Evaluates what is due and judges it. Nothing is judged while the monitor is not fit to.
    pub(crate) fn step(
        &mut self,
        now: Now,
        facts: &dyn Fn(&Sight, &Subject, Ask) -> Vec<Fact>,
        out: &mut Vec<Finding>,
    ) {
        let at = now.wall.0;
        if self.next_due(at) > at {
            return;
        }
        self.unfit = !self.is_fit(now.mono);
        if self.unfit {
            return;
        }
        let alerts = if self.news {
            self.rules.evaluate_news(at, &mut self.window)
        } else {
            self.rules.evaluate(at, &mut self.window)
        };
        (self.news, self.evaluated) = (false, at);
        self.unkept |= alerts.iter().any(|alert| alert.changed);
        let claims = alerts.iter().filter_map(claim).collect();
        let sight = &self.sight;
        self.judge.step(now, claims, sight, &|subject, ask| facts(sight, subject, ask), out);
        if at.saturating_sub(self.trimmed) >= TRIM_MS {
            self.window.trim(at);
            self.trimmed = at;
        }
    }

    fn is_fit(&mut self, now: Mono) -> bool {
        let servers = self.sight.ensembles.values().flat_map(|ensemble| ensemble.servers.values());
        self.health.is_fit(now, servers.map(wk_alert::ServerSight::begun))
    }

    /// What is not watched any more needs no judgement.
    pub(crate) fn retire(&mut self, watched: impl Fn(&Subject) -> bool) {
        self.judge.retire(watched);
    }

    /// The states of alerts for the store, if they changed.
    pub(crate) fn keep(&mut self, now: Now) -> Option<(String, Vec<u8>)> {
        if !self.unkept {
            return None;
        }
        let saved = self.rules.save(now.wall.0);
        let early = now.wall.0.saturating_sub(self.kept_at) < KEEP_MANY_MS;
        if saved.alerts.len() > KEEP_EACH && early {
            return None;
        }
        (self.unkept, self.kept_at) = (false, now.wall.0);
        let bytes = serde_json::to_vec(&saved).expect("strings and numbers only");
        Some((KEPT.to_owned(), bytes))
    }
}

/// Whether the window takes labels of that length: a znode's name may be as long as its author
/// likes, and nobody shall hide behind that.
fn fits(subject: &Subject) -> bool {
    let max = WindowPolicy::default().label_value_max;
    let names = [&subject.instance, &subject.group, &subject.node];
    names.into_iter().flatten().all(|name| name.len() <= max)
}

/// All rules, those in files that cannot be read left out.
fn in_force(
    config: &Config,
    texts: &Texts,
    options: &SetOptions,
) -> (Result<RuleSet, SetError>, Vec<String>) {
    let (files, errors) = rule_files::parse(texts);
    let mut all = Catalogue::shipped().files(&config.rules.thresholds);
    all.extend(files);
    (RuleSet::new(all, options.clone()), errors)
}

/// What an alert claims; none if it has ended or nobody is to be told.
fn claim(alert: &Alert) -> Option<Claim> {
    let severity = match alert.severity {
        wk_rules::Severity::Critical => Severity::Critical,
        wk_rules::Severity::Warning => Severity::Warning,
        wk_rules::Severity::Info => Severity::Info,
        wk_rules::Severity::None => return None,
    };
    let fires = match alert.state {
        AlertState::Pending => false,
        AlertState::Firing => true,
        AlertState::Inactive => return None,
    };
    let detail = Detail {
        labels: alert.labels.clone(),
        annotations: BTreeMap::clone(&alert.annotations),
        value: Some(Figure(alert.value)),
    };
    let subject = Subject::of_alert(&alert.rule, &alert.labels);
    Some(Claim { subject, severity, detail, fires })
}

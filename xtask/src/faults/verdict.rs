//! What a trial says: the right rule about the right member, and how soon; what else was told.

use std::time::{Duration, Instant};

use anyhow::Result;
use serde_json::{Value, json};

use super::kinds::Kind;
use super::rig::Rig;
pub(super) use super::rig::Seen;

/// Whom the right notification must be about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Subject {
    /// A server, by the label `instance`.
    Server(String),
    /// Any of these servers.
    AnyServer(Vec<String>),
    /// The ensemble as a whole; a notification that names one of these members locates it.
    Ensemble { at: Vec<String> },
    /// One of these servers, or the ensemble as a whole.
    ServerOrEnsemble { at: Vec<String> },
    /// A node, by the label `node`.
    Node(String),
    /// A group, by the label `group`.
    Group(String),
    /// A channel, by the label `channel`.
    Channel(String),
    /// Whatever the rule says.
    Anywhere,
}

impl Subject {
    fn is_met_by(&self, labels: &Value) -> bool {
        let label = |name: &str| labels[name].as_str();
        match self {
            Self::Server(address) => label("instance") == Some(address),
            Self::AnyServer(all) => label("instance").is_some_and(|one| is_in(all, one)),
            Self::Ensemble { .. } => label("ensemble").is_some(),
            Self::ServerOrEnsemble { at } => label("instance").is_none_or(|one| is_in(at, one)),
            Self::Node(name) => label("node") == Some(name),
            Self::Group(name) => label("group") == Some(name),
            Self::Channel(name) => label("channel") == Some(name),
            Self::Anywhere => true,
        }
    }

    /// Whether a text names the member; nothing where there is none to name.
    fn is_located_by(&self, text: &str) -> Option<bool> {
        let addresses: &[String] = match self {
            Self::Server(address) => std::slice::from_ref(address),
            Self::AnyServer(all) => all,
            Self::Ensemble { at } | Self::ServerOrEnsemble { at } => at,
            Self::Node(_) | Self::Group(_) | Self::Channel(_) | Self::Anywhere => &[],
        };
        let named = addresses.iter().any(|address| text.contains(address.as_str()));
        (!addresses.is_empty()).then_some(named)
    }
}

fn is_in(all: &[String], one: &str) -> bool {
    all.iter().any(|other| other == one)
}

type Step = Box<dyn FnMut(&mut Rig) -> Result<()>>;

/// A fault that was made.
pub(super) struct Fault {
    pub(super) at: Instant,
    /// When its making began, if consequences may be told before it is there.
    pub(super) since: Option<Instant>,
    pub(super) subject: Subject,
    /// The server whose loss must be told in the end, for the faults of our own making.
    pub(super) told: Option<String>,
    /// What goes on while the trial waits.
    pub(super) step: Option<Step>,
}

impl Fault {
    pub(super) fn new(at: Instant, subject: Subject) -> Self {
        Self { at, since: None, subject, told: None, step: None }
    }

    pub(super) fn since(mut self, since: Instant) -> Self {
        self.since = Some(since);
        self
    }

    pub(super) fn step(mut self, step: impl FnMut(&mut Rig) -> Result<()> + 'static) -> Self {
        self.step = Some(Box::new(step));
        self
    }

    pub(super) fn told(mut self, address: &str) -> Self {
        self.told = Some(address.to_owned());
        self
    }
}

/// A firing notification, with the time after the fault (negative before it).
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Told {
    pub(super) rule: String,
    /// Which server, node, group or channel.
    pub(super) about: String,
    pub(super) after_ms: i64,
}

impl Told {
    fn json(&self) -> Value {
        json!({ "rule": self.rule, "about": self.about, "after_ms": self.after_ms })
    }
}

/// The verdict on one trial.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Verdict {
    /// The first right notification.
    pub(super) right: Option<Told>,
    /// Whether it named the member, where there is one to name.
    pub(super) located: Option<bool>,
    /// True things told beside it.
    pub(super) also: Vec<Told>,
    /// Everything else.
    pub(super) wrong: Vec<Told>,
    /// What [`Kind::check`] found.
    pub(super) broken: Option<String>,
}

impl Verdict {
    /// Reads what was accepted.
    pub(super) fn of(kind: &Kind, fault: &Fault, seen: &[Seen]) -> Self {
        let mut verdict = Self::default();
        let mut told = std::collections::BTreeSet::new();
        let begun = fault.since.unwrap_or(fault.at);
        for one in seen.iter().filter(|one| one.status == "firing" && one.rule != "Watchdog") {
            let this = Told {
                rule: one.rule.clone(),
                about: about(&one.labels),
                after_ms: millis_between(fault.at, one.at),
            };
            // Once each, whatever the number of receivers.
            if !told.insert((this.rule.clone(), this.about.clone())) {
                continue;
            }
            let expected = kind.expects.contains(&one.rule.as_str());
            let late_enough = this.after_ms >= 0;
            if expected && late_enough && fault.subject.is_met_by(&one.labels) {
                if verdict.right.is_none() {
                    verdict.located = fault.subject.is_located_by(&one.text);
                    verdict.right = Some(this);
                } else {
                    verdict.also.push(this);
                }
            } else if kind.also.contains(&one.rule.as_str()) && one.at >= begun {
                verdict.also.push(this);
            } else {
                verdict.wrong.push(this);
            }
        }
        verdict.broken = kind.check.and_then(|check| check(fault, seen).err());
        verdict
    }

    /// Whether this is what was wanted.
    pub(super) fn is_detected(&self, kind: &Kind) -> bool {
        (self.right.is_some() || kind.expects.is_empty()) && self.broken.is_none()
    }

    pub(super) fn json(&self) -> Value {
        let all = |told: &[Told]| told.iter().map(Told::json).collect::<Vec<_>>();
        json!({
            "right": self.right.as_ref().map(Told::json),
            "located": self.located,
            "also": all(&self.also),
            "false": all(&self.wrong),
            "broken": self.broken,
        })
    }
}

/// The member, node, group or channel in labels, else the ensemble.
pub(super) fn about(labels: &Value) -> String {
    let names = ["instance", "node", "group", "channel", "ensemble"];
    let found = names.iter().find_map(|name| labels[*name].as_str());
    found.unwrap_or_default().to_owned()
}

fn millis_between(from: Instant, to: Instant) -> i64 {
    let millis = |time: Duration| i64::try_from(time.as_millis()).unwrap_or(i64::MAX);
    match to.checked_duration_since(from) {
        Some(after) => millis(after),
        None => -millis(from.duration_since(to)) - 1,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kind(name: &str) -> Kind {
        super::super::kinds::all().into_iter().find(|kind| kind.name == name).unwrap()
    }

    fn seen(at: Instant, rule: &str, labels: Value) -> Seen {
        Seen {
            rule: rule.to_owned(),
            status: "firing".to_owned(),
            text: labels.to_string(),
            labels,
            key: "k/firing".to_owned(),
            at,
            spare: false,
        }
    }

    #[test]
    fn the_right_rule_about_another_member_is_no_detection() {
        let at = Instant::now();
        let fault = Fault::new(at, Subject::Server("h:1".to_owned()));
        let other = seen(at, "ZkServerUnreachable", json!({ "instance": "h:2" }));
        let kind = kind("torn-log");
        let verdict = Verdict::of(&kind, &fault, std::slice::from_ref(&other));
        assert!(!verdict.is_detected(&kind));
        let right = seen(at, "ZkServerUnreachable", json!({ "instance": "h:1" }));
        let verdict = Verdict::of(&kind, &fault, &[other, right]);
        assert!(verdict.is_detected(&kind) && verdict.located == Some(true));
    }

    #[test]
    fn what_was_told_before_the_fault_or_is_no_consequence_is_false() {
        let at = Instant::now();
        let kind = kind("server-kill");
        let fault = Fault::new(at + Duration::from_secs(1), Subject::Server("h:1".to_owned()));
        let early = seen(at, "ZkServerUnreachable", json!({ "instance": "h:1" }));
        let alien = seen(at + Duration::from_secs(2), "ZkNoLeader", json!({ "ensemble": "e" }));
        let verdict = Verdict::of(&kind, &fault, &[early, alien]);
        assert!(!verdict.is_detected(&kind));
        assert_eq!(verdict.wrong.len(), 2);
        assert!(verdict.wrong[0].after_ms < -900 && verdict.wrong[1].after_ms >= 900);
    }

    #[test]
    fn a_restart_that_makes_the_fault_has_consequences_of_its_own() {
        let at = Instant::now();
        let after = |seconds| at + Duration::from_secs(seconds);
        let kind = kind("config-drift");
        let subject = Subject::Ensemble { at: Vec::new() };
        let fault = Fault::new(after(5), subject).since(after(2));
        let down =
            |seconds| seen(after(seconds), "ZkServerUnreachable", json!({ "instance": "h" }));
        assert_eq!(Verdict::of(&kind, &fault, &[down(1)]).wrong.len(), 1);
        assert_eq!(Verdict::of(&kind, &fault, &[down(3)]).also.len(), 1);
    }

    #[test]
    fn an_outage_told_under_two_keys_breaks_the_promise() {
        let at = Instant::now();
        let kind = kind("monitor-kill");
        let fault = Fault::new(at, Subject::Server("h:1".to_owned())).told("h:1");
        let first = seen(at, "ZkServerUnreachable", json!({ "instance": "h:1" }));
        let mut second = first.clone();
        assert!(Verdict::of(&kind, &fault, &[first.clone(), second.clone()]).is_detected(&kind));
        second.key = "other/firing".to_owned();
        assert!(!Verdict::of(&kind, &fault, &[first, second]).is_detected(&kind));
    }

    #[test]
    fn nothing_may_be_told_where_nothing_is_expected() {
        let at = Instant::now();
        let kind = kind("loss");
        let fault = Fault::new(at, Subject::Anywhere);
        assert!(Verdict::of(&kind, &fault, &[]).is_detected(&kind));
        let verdict = Verdict::of(&kind, &fault, &[seen(at, "NodeDown", json!({}))]);
        assert_eq!(verdict.wrong.len(), 1);
    }
}

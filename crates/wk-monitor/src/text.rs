//! Words for what the core says in facts: English and Chinese, one table each.

use wk_alert::{Fact, FactKind, Incident, Phase, Subject};
use wk_probe::note::Note;

use crate::time::Timestamp;

mod chinese;
mod english;

/// The language of texts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Lang {
    /// English.
    #[default]
    En,
    /// Simplified Chinese.
    Zh,
}

impl Lang {
    /// The language that a name such as `zh`, `zh_CN.UTF-8` or `en` means.
    pub fn parse(name: &str) -> Option<Self> {
        let name = name.to_ascii_lowercase();
        match name.split(['_', '-', '.']).next()? {
            "zh" => Some(Self::Zh),
            "en" | "c" | "posix" => Some(Self::En),
            _ => None,
        }
    }

    /// What the option says, else what the environment says (LC_ALL, LC_MESSAGES, LANG), else
    /// English.
    pub fn choose(option: Option<Self>, env: impl Fn(&str) -> Option<String>) -> Self {
        let set = |name| env(name).filter(|value| !value.is_empty());
        let named = || ["LC_ALL", "LC_MESSAGES", "LANG"].into_iter().find_map(set);
        option.or_else(|| Self::parse(&named()?)).unwrap_or_default()
    }

    /// The tag for `lang` attributes and headers.
    pub fn tag(self) -> &'static str {
        match self {
            Self::En => "en",
            Self::Zh => "zh-CN",
        }
    }

    fn template(self, kind: FactKind) -> &'static str {
        match self {
            Self::En => english::fact(kind),
            Self::Zh => chinese::fact(kind),
        }
    }

    /// What is wrong with a rule file.
    pub(crate) fn rule_file(self, err: &str) -> String {
        match self {
            Self::En => format!("a rule file is not in force: {err}"),
            Self::Zh => format!("规则文件未生效：{err}"),
        }
    }

    /// A fact as a sentence.
    pub(crate) fn fact(self, fact: &Fact) -> String {
        fill(self.template(fact.kind), &fact.args)
    }

    /// An incident in one sentence: what is wrong, or, once it is over, what is right again. What
    /// its rule says comes before our own words.
    pub(crate) fn summary(self, incident: &Incident) -> String {
        let phase = if incident.is_open() { Phase::Firing } else { Phase::Resolved };
        self.headline(incident, phase)
    }

    /// As [`Self::summary`], for a message about one half of the episode, which may come late.
    pub(crate) fn headline(self, incident: &Incident, phase: Phase) -> String {
        let subject = &incident.subject;
        let (broken, over) = match self {
            Self::En => (english::summary(&subject.rule), english::over(&subject.rule)),
            Self::Zh => (chinese::summary(&subject.rule), chinese::over(&subject.rule)),
        };
        let (name, template) = match (self, phase) {
            (Self::En, Phase::Firing) => ("summary_en", broken),
            (Self::Zh, Phase::Firing) => ("summary_zh", broken),
            (Self::En, Phase::Resolved) => ("resolved_en", over),
            (Self::Zh, Phase::Resolved) => ("resolved_zh", over),
        };
        if let Some(said) = incident.detail.annotations.get(name).filter(|s| !s.is_empty()) {
            return calm(said);
        }
        let args = [subject.ensemble.clone(), subject_name(subject), subject.rule.clone()];
        fill(template, &args)
    }

    /// The word before a notification's summary.
    pub(crate) fn phase(self, phase: Phase) -> &'static str {
        match (self, phase) {
            (Self::En, Phase::Firing) => "FIRING",
            (Self::En, Phase::Resolved) => "RESOLVED",
            (Self::Zh, Phase::Firing) => "告警",
            (Self::Zh, Phase::Resolved) => "已恢复",
        }
    }

    /// Labels and sentences of notifications and notes.
    pub(crate) fn word(self, word: Word) -> &'static str {
        match self {
            Self::En => english::word(word),
            Self::Zh => chinese::word(word),
        }
    }

    /// What a look could not see, and what would change that.
    pub(crate) fn note(self, note: &Note) -> String {
        let template = match self {
            Self::En => english::note(note.kind),
            Self::Zh => chinese::note(note.kind),
        };
        let args: Vec<String> =
            std::iter::once(note.instance.clone()).chain(note.args.iter().cloned()).collect();
        fill(template, &args)
    }

    /// A sentence of [`Word`] with its arguments.
    pub(crate) fn sentence(self, word: Word, args: &[String]) -> String {
        fill(self.word(word), args)
    }
}

/// Whether a character moves or hides what stands around it: control characters, ends of lines,
/// and those that turn the direction of writing. Names of znodes come from anybody; people read
/// them among words of ours.
pub fn is_disturbing(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{61c}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}')
        || matches!(c, '\u{2060}' | '\u{2066}'..='\u{2069}' | '\u{feff}')
}

/// Text without such characters, for people.
pub(crate) fn calm(text: &str) -> String {
    text.chars().map(|c| if is_disturbing(c) { ' ' } else { c }).collect()
}

/// Texts that are no facts. Those with arguments name them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Word {
    Severity,
    Ensemble,
    Server,
    Node,
    Since,
    Until,
    Incident,
    Page,
    Evidence,
    /// What follows did not fit.
    Truncated,
    /// There are others in the message: how many.
    AndMore,
    /// Where to look.
    Locate,
    /// What to do.
    Action,
    /// A test message: channel.
    TestSummary,
    /// Verdict: the receiver took it.
    TestDelivered,
    /// Verdict: it did not: error.
    TestRefused,
    /// Verdict: it may work later: error.
    TestRetry,
    /// The registry's watches are the old kind: ensemble.
    OldWatches,
    /// Why an action is refused.
    NotOpen,
    StillFiring,
}

/// What a subject is called: the server, the node with its group, the group or the ensemble, and
/// what else tells it from its siblings.
pub(crate) fn subject_name(subject: &Subject) -> String {
    let mut name = match (&subject.instance, &subject.group, &subject.node) {
        (Some(instance), ..) => instance.clone(),
        (None, Some(group), Some(node)) => format!("{group}/{node}"),
        (None, None, Some(name)) | (None, Some(name), None) => name.clone(),
        (None, None, None) => subject.ensemble.clone(),
    };
    for (label, value) in subject.labels.iter() {
        name.push_str(if name.is_empty() { "" } else { " " });
        name.extend([label, "=", value]);
    }
    name
}

/// Puts arguments into a template: `{0}`, or `{0:time}` for milliseconds since 1970.
fn fill(template: &str, args: &[String]) -> String {
    let mut text = String::with_capacity(template.len() + 32);
    let mut rest = template;
    while let Some((before, after)) = rest.split_once('{') {
        text.push_str(before);
        let Some((name, behind)) = after.split_once('}') else { break };
        let (index, is_time) = match name.split_once(':') {
            Some((index, _)) => (index, true),
            None => (name, false),
        };
        let arg = index.parse().ok().and_then(|index: usize| args.get(index));
        let arg = arg.map_or("?", String::as_str);
        match arg.parse() {
            Ok(millis) if is_time => text.push_str(&Timestamp(millis).to_string()),
            _ => text.push_str(&calm(arg)),
        }
        rest = behind;
    }
    text.push_str(rest);
    text
}

#[cfg(test)]
mod tests {
    use wk_alert::{Finding, Ledger, Now, Policy, Saved, Severity};

    use super::*;

    #[test]
    fn every_fact_has_words_in_both_languages_for_all_its_arguments() {
        for kind in FactKind::ALL {
            let count = |lang: Lang| lang.template(*kind).matches('{').count();
            assert!(!Lang::En.template(*kind).is_empty() && !Lang::Zh.template(*kind).is_empty());
            assert_eq!(count(Lang::En), count(Lang::Zh), "{kind:?}");
        }
    }

    #[test]
    fn times_are_shown_and_control_characters_are_not() {
        let fact = Fact::new(FactKind::LastServed, ["1795252443120".into()]);
        assert!(Lang::En.fact(&fact).contains("2026-"), "{}", Lang::En.fact(&fact));
        let fact = Fact::new(FactKind::ProbeFailed, ["h:1".into(), "bad\r\nBcc: x".into()]);
        assert!(!Lang::En.fact(&fact).contains(['\r', '\n']));
        let fact = Fact::new(FactKind::Registered, ["/nodes/gpj.\u{202e}exe\u{2028}x".into()]);
        assert!(!Lang::Zh.fact(&fact).contains(is_disturbing), "{}", Lang::Zh.fact(&fact));
    }

    fn incident(rule: &str, resolved: bool) -> Incident {
        let subject = Subject { node: Some("a".into()), ..Subject::ensemble(rule, "e") };
        let at = Now::default();
        let mut ledger = Ledger::restore(Policy::default(), Saved::default(), at);
        ledger.find(at, Finding::firing(subject.clone(), Severity::Warning, vec![]));
        if resolved {
            ledger.find(at, Finding::Gone { subject, facts: vec![] });
        }
        ledger.incidents().values().next().expect("one").clone()
    }

    /// Once, a mail said `[RESOLVED] Node a is down`.
    #[test]
    fn what_is_over_does_not_read_as_if_it_were_there() {
        let rules = ["NodeDown", "ZkServerUnreachable", "ZkServerNotServing", "NodeViewLost", "X"];
        for (lang, rule) in [Lang::En, Lang::Zh].iter().flat_map(|l| rules.map(|rule| (l, rule))) {
            let (open, over) = (incident(rule, false), incident(rule, true));
            assert_ne!(lang.summary(&open), lang.summary(&over), "{rule}");
        }
        assert_eq!(
            Lang::En.summary(&incident("NodeDown", true)),
            "Node a is not down any more (e)"
        );
        assert_eq!(Lang::En.summary(&incident("ZkX", true)), "ZkX is over: a (e)");
    }

    #[test]
    fn a_rules_own_words_come_first_and_only_while_they_are_true() {
        let mut open = incident("NodeDown", false);
        let annotations = &mut open.detail.annotations;
        annotations.insert("summary_en".into(), "a is gone\r\nBcc: x".into());
        annotations.insert("resolved_zh".into(), "好了".into());
        assert_eq!(Lang::En.summary(&open), "a is gone  Bcc: x");
        assert_eq!(Lang::Zh.summary(&open), "节点 a 已宕机（e）");
        let over = Incident { state: wk_alert::IncidentState::Resolved, ..open };
        assert_eq!(Lang::En.summary(&over), "Node a is not down any more (e)");
        assert_eq!(Lang::Zh.summary(&over), "好了");
    }

    #[test]
    fn the_language_comes_from_option_then_environment() {
        let env =
            |value: &'static str| move |name: &str| (name == "LANG").then(|| value.to_owned());
        assert_eq!(Lang::choose(None, env("zh_CN.UTF-8")), Lang::Zh);
        assert_eq!(Lang::choose(Some(Lang::En), env("zh_CN.UTF-8")), Lang::En);
        assert_eq!(Lang::choose(None, env("de_DE.UTF-8")), Lang::En);
        assert_eq!(Lang::choose(None, |_| None), Lang::En);
    }
}

//! The words of a notification, as plain text and as markdown.

use std::fmt::Write as _;

use crate::channel::{Message, cut};
use crate::incident::Incident;
use crate::text::{Word, calm, is_disturbing};

// Writing to a string cannot fail: the results of `writeln!` say nothing.

/// A label and its value.
type Row = (&'static str, String);

impl Message {
    /// The incident that speaks for all: the worst, and of these the first.
    fn worst(&self) -> Option<&Incident> {
        // Of equals the last one wins: from behind, that is the first.
        self.incidents.iter().rev().max_by_key(|incident| incident.severity)
    }

    /// `[FIRING] Node a is down (local)`.
    pub(super) fn title(&self) -> String {
        let summary = self.worst().map_or("", |incident| &incident.summary);
        let title = format!("[{}] {summary}", self.lang.phase(self.phase));
        match self.incidents.len() {
            0 | 1 => title,
            several => {
                let more = self.lang.sentence(Word::AndMore, &[(several - 1).to_string()]);
                format!("{title} {more}")
            }
        }
    }

    fn rows(&self, incident: &Incident) -> Vec<Row> {
        let lang = self.lang;
        let mut rows = vec![(lang.word(Word::Severity), incident.severity.as_str().to_owned())];
        if !incident.ensemble.is_empty() {
            rows.push((lang.word(Word::Ensemble), incident.ensemble.clone()));
        }
        if let Some(instance) = &incident.instance {
            rows.push((lang.word(Word::Server), instance.clone()));
        }
        if let Some(node) = &incident.node {
            let group = incident.group.as_ref().map_or(String::new(), |group| format!("{group}/"));
            rows.push((lang.word(Word::Node), format!("{group}{node}")));
        }
        rows.push((lang.word(Word::Since), incident.first_seen.to_string()));
        if let Some(at) = incident.resolved_at {
            rows.push((lang.word(Word::Until), at.to_string()));
        }
        let open = incident.resolved_at.is_none();
        let advice = [(Word::Locate, &incident.locate), (Word::Action, &incident.action)];
        for (label, text) in advice.into_iter().filter(|_| open) {
            rows.extend(text.iter().map(|text| (lang.word(label), text.clone())));
        }
        rows
    }

    /// The message for a mail.
    pub(super) fn plain(&self) -> String {
        let mut text = format!("{}\n", self.title());
        let colon = |(label, value): &Row| format!("{label}: {}\n", calm(value));
        let lang = self.lang;
        for incident in &self.incidents {
            text.push('\n');
            if self.incidents.len() > 1 {
                let _ = writeln!(text, "{}", incident.summary);
            }
            self.rows(incident).iter().for_each(|row| text.push_str(&colon(row)));
            let _ = writeln!(text, "\n{}:", lang.word(Word::Evidence));
            for line in &incident.evidence {
                let _ = writeln!(text, "- {line}");
            }
            text.push('\n');
            text.push_str(&colon(&(lang.word(Word::Incident), incident.id.clone())));
            text.push_str(&colon(&(lang.word(Word::Page), self.link(incident))));
        }
        text
    }

    /// The message for a chat, at most `max` bytes; what does not fit is cut from the evidence,
    /// never the ids nor the link.
    pub(super) fn markdown(&self, max: usize) -> String {
        match self.incidents.as_slice() {
            [only] => self.markdown_of_one(only, max),
            _ => self.markdown_of_several(max),
        }
    }

    fn markdown_of_one(&self, incident: &Incident, max: usize) -> String {
        let lang = self.lang;
        // The title may be long too: a node's name has no limit of ours.
        let mut head = format!("### {}\n\n", escape(cut(&self.title(), max / 8)));
        for (label, value) in self.rows(incident) {
            let _ = writeln!(head, "- {label}: {}", escape(cut(&value, max / 16)));
        }
        let foot = format!(
            "\n{}: `{}`\n\n[{}]({})\n",
            lang.word(Word::Incident),
            incident.id,
            lang.word(Word::Page),
            self.link(incident)
        );
        let truncated = format!("> {}\n", lang.word(Word::Truncated));
        let room = max.saturating_sub(head.len() + foot.len() + truncated.len());
        let mut body = String::new();
        for line in &incident.evidence {
            let line = format!("> {}\n>\n", escape(line));
            if body.len() + line.len() > room {
                body.push_str(&truncated);
                break;
            }
            body.push_str(&line);
        }
        format!("{head}\n{body}{foot}")
    }

    /// One line an incident, the worst first; where room is short, the id alone.
    fn markdown_of_several(&self, max: usize) -> String {
        let lang = self.lang;
        let head = format!("### {}\n\n", escape(cut(&self.title(), max / 8)));
        let foot = format!("\n[{}]({})\n", lang.word(Word::Page), self.home);
        let mut sorted: Vec<&Incident> = self.incidents.iter().collect();
        sorted.sort_by_key(|incident| std::cmp::Reverse(incident.severity));
        let ids: usize = sorted.iter().map(|incident| incident.id.len() + 6).sum();
        let mut room = max.saturating_sub(head.len() + foot.len() + ids);
        let mut body = String::new();
        for incident in sorted {
            let summary = escape(cut(&incident.summary, max / 16));
            let (severity, since) = (incident.severity.as_str(), incident.first_seen);
            let words = format!("{severity} {summary}, {since} ");
            if words.len() <= room {
                room -= words.len();
                let _ = writeln!(body, "- {words}`{}`", incident.id);
            } else {
                let _ = writeln!(body, "- `{}`", incident.id);
            }
        }
        format!("{head}{body}{foot}")
    }
}

/// Text that markdown shows as it is: names of znodes come from anybody.
fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len() + 8);
    for c in text.chars() {
        match c {
            '\\' | '`' | '*' | '_' | '{' | '}' | '[' | ']' | '(' | ')' | '#' | '<' | '>' | '|'
            | '~' | '!' | '@' => {
                escaped.push('\\');
                escaped.push(c);
            }
            c if is_disturbing(c) => escaped.push(' '),
            c => escaped.push(c),
        }
    }
    escaped
}

#[cfg(test)]
pub(crate) mod tests {
    use wk_alert::Phase;

    use super::*;
    use crate::incident::{IncidentState, Severity};
    use crate::text::Lang;
    use crate::time::Timestamp;

    pub(crate) fn message(evidence: Vec<String>) -> Message {
        let incident = Incident {
            id: "0123456789ab-1".into(),
            rule: "NodeDown".into(),
            severity: Severity::Warning,
            state: IncidentState::Firing,
            ensemble: "local".into(),
            instance: None,
            group: Some("app".into()),
            node: Some("a[b](http://evil)".into()),
            summary: "Node app/a[b](http://evil) is down (local)".into(),
            evidence,
            first_seen: Timestamp(0),
            last_seen: Timestamp(0),
            ..Incident::default()
        };
        let home = "http://127.0.0.1:7181".into();
        Message {
            name: incident.id.clone(),
            incidents: vec![incident],
            threads: Vec::new(),
            phase: Phase::Firing,
            home,
            lang: Lang::En,
        }
    }

    /// A message of a group.
    pub(crate) fn several(count: usize) -> Message {
        let mut message = message(vec!["gone".into()]);
        let first = message.incidents[0].clone();
        message.name = "group-0123456789ab".into();
        message.incidents = (0..count)
            .map(|index| Incident {
                id: format!("{index:012x}-1"),
                node: Some(format!("n{index}")),
                summary: format!("Node n{index} is down (local)"),
                severity: if index == 1 { Severity::Critical } else { Severity::Warning },
                ..first.clone()
            })
            .collect();
        message
    }

    #[test]
    fn a_group_names_every_incident_however_many() {
        let message = several(50);
        assert_eq!(message.title(), "[FIRING] Node n1 is down (local) (and 49 more)");
        for (text, max) in [(message.markdown(3000), 3000), (message.markdown(20_000), 20_000)] {
            assert!(text.len() <= max, "{}", text.len());
            for incident in &message.incidents {
                assert!(text.contains(&format!("`{}`", incident.id)), "{}: {text}", incident.id);
            }
            assert!(text.contains("](http://127.0.0.1:7181)"), "{text}");
        }
        let text = message.plain();
        assert!(text.contains("/incidents/000000000007-1") && text.contains("Node n7 is down"));
    }

    #[test]
    fn markdown_escapes_what_names_bring_along() {
        let text = message(vec!["*bold*".into()]).markdown(20_000);
        assert!(text.contains(r"a\[b\]\(http://evil\)"), "{text}");
        assert!(text.contains(r"\*bold\*"), "{text}");
        assert_eq!(text.matches("](").count(), 1, "one link, ours: {text}");
    }

    #[test]
    fn what_is_too_long_is_cut_but_keeps_id_and_link() {
        let long = (0..500).map(|i| format!("fact {i} 中文")).collect();
        let text = message(long).markdown(3000);
        assert!(text.len() <= 3000, "{}", text.len());
        assert!(text.contains("`0123456789ab-1`") && text.contains("/incidents/0123456789ab-1)"));
        assert!(text.contains("shortened"));
    }

    #[test]
    fn a_name_cannot_write_lines_of_its_own() {
        let mut message = message(vec!["gone".into()]);
        message.incidents[0].node = Some("x\r\nBcc: eve\u{202e}@x\u{2028}y".into());
        let (plain, markdown) = (message.plain(), message.markdown(3000));
        assert!(plain.contains("Node: app/x  Bcc: eve @x y\n"), "{plain}");
        for text in [plain, markdown] {
            assert!(!text.contains(|c| c != '\n' && is_disturbing(c)), "{text:?}");
        }
    }

    #[test]
    fn plain_text_names_everything() {
        let text = message(vec!["gone".into()]).plain();
        for part in ["[FIRING]", "app/a", "warning", "- gone", "0123456789ab-1", "First seen"] {
            assert!(text.contains(part), "{part}: {text}");
        }
    }
}

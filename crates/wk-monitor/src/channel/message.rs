//! The words of a notification, as plain text and as markdown.

use std::fmt::Write as _;

use crate::channel::{Message, cut};
use crate::text::Word;

// Writing to a string cannot fail: the results of `writeln!` say nothing.

/// A label and its value.
type Row = (&'static str, String);

impl Message {
    /// `[FIRING] Node a is down (local)`.
    pub(super) fn title(&self) -> String {
        format!("[{}] {}", self.lang.phase(self.phase), self.incident.summary)
    }

    fn rows(&self) -> Vec<Row> {
        let (lang, incident) = (self.lang, &self.incident);
        let mut rows = vec![
            (lang.word(Word::Severity), incident.severity.as_str().to_owned()),
            (lang.word(Word::Ensemble), incident.ensemble.clone()),
        ];
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
        rows
    }

    /// The message for a mail.
    pub(super) fn plain(&self) -> String {
        let mut text = format!("{}\n\n", self.title());
        let colon = |(label, value): &Row| format!("{label}: {value}\n");
        self.rows().iter().for_each(|row| text.push_str(&colon(row)));
        let lang = self.lang;
        let _ = writeln!(text, "\n{}:", lang.word(Word::Evidence));
        for line in &self.incident.evidence {
            let _ = writeln!(text, "- {line}");
        }
        text.push('\n');
        text.push_str(&colon(&(lang.word(Word::Incident), self.incident.id.clone())));
        text.push_str(&colon(&(lang.word(Word::Page), self.link.clone())));
        text
    }

    /// The message for a chat, at most `max` bytes; what does not fit is cut from the evidence,
    /// never the id nor the link.
    pub(super) fn markdown(&self, max: usize) -> String {
        let lang = self.lang;
        // The title may be long too: a node's name has no limit of ours.
        let mut head = format!("### {}\n\n", escape(cut(&self.title(), max / 8)));
        for (label, value) in self.rows() {
            let _ = writeln!(head, "- {label}: {}", escape(cut(&value, max / 16)));
        }
        let foot = format!(
            "\n{}: `{}`\n\n[{}]({})\n",
            lang.word(Word::Incident),
            self.incident.id,
            lang.word(Word::Page),
            self.link
        );
        let truncated = format!("> {}\n", lang.word(Word::Truncated));
        let room = max.saturating_sub(head.len() + foot.len() + truncated.len());
        let mut body = String::new();
        for line in &self.incident.evidence {
            let line = format!("> {}\n>\n", escape(line));
            if body.len() + line.len() > room {
                body.push_str(&truncated);
                break;
            }
            body.push_str(&line);
        }
        format!("{head}\n{body}{foot}")
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
            c if c.is_control() => escaped.push(' '),
            c => escaped.push(c),
        }
    }
    escaped
}

#[cfg(test)]
pub(crate) mod tests {
    use wk_alert::Phase;

    use super::*;
    use crate::incident::{Incident, IncidentState, Severity};
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
        let link = "http://127.0.0.1:7181/incidents/0123456789ab-1".into();
        let home = "http://127.0.0.1:7181".into();
        Message { incident, phase: Phase::Firing, link, home, lang: Lang::En }
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
    fn plain_text_names_everything() {
        let text = message(vec!["gone".into()]).plain();
        for part in ["[FIRING]", "app/a", "warning", "- gone", "0123456789ab-1", "First seen"] {
            assert!(text.contains(part), "{part}: {text}");
        }
    }
}

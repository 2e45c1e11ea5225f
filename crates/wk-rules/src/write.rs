//! Rule files as text: what the catalogue compiles to and what `export` writes is the same.

use std::fmt::Write as _;

/// A group to be written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct GroupText {
    pub(crate) name: String,
    pub(crate) interval: Option<String>,
    pub(crate) rules: Vec<RuleText>,
}

/// A rule to be written; values as they stand in the file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct RuleText {
    pub(crate) is_alert: bool,
    pub(crate) name: String,
    pub(crate) expr: String,
    pub(crate) hold: Option<String>,
    pub(crate) keep_firing: Option<String>,
    pub(crate) labels: Vec<(String, String)>,
    pub(crate) annotations: Vec<(String, String)>,
}

/// A rule file of these groups, each line after `indent`.
pub(crate) fn groups(groups: &[GroupText], indent: &str) -> String {
    let mut out = format!("{indent}groups:\n");
    for group in groups {
        // Writing to a string cannot fail.
        let _ = writeln!(out, "{indent}  - name: {}", scalar(&group.name));
        if let Some(interval) = &group.interval {
            let _ = writeln!(out, "{indent}    interval: {}", scalar(interval));
        }
        let _ = writeln!(out, "{indent}    rules:");
        for one in &group.rules {
            rule(one, indent, &mut out);
        }
    }
    out
}

fn rule(rule: &RuleText, indent: &str, out: &mut String) {
    let kind = if rule.is_alert { "alert" } else { "record" };
    let _ = writeln!(out, "{indent}      - {kind}: {}", scalar(&rule.name));
    let _ = writeln!(out, "{indent}        expr: {}", scalar(&rule.expr));
    for (key, value) in [("for", &rule.hold), ("keep_firing_for", &rule.keep_firing)] {
        if let Some(value) = value {
            let _ = writeln!(out, "{indent}        {key}: {}", scalar(value));
        }
    }
    for (key, pairs) in [("labels", &rule.labels), ("annotations", &rule.annotations)] {
        if pairs.is_empty() {
            continue;
        }
        let _ = writeln!(out, "{indent}        {key}:");
        for (name, value) in pairs {
            let _ = writeln!(out, "{indent}          {name}: {}", scalar(value));
        }
    }
}

/// A scalar that every YAML reader takes for this text and nothing else.
pub(crate) fn scalar(text: &str) -> String {
    let first_is_letter = text.starts_with(|char: char| char.is_ascii_alphabetic());
    let is_word = text.chars().all(|char| char.is_ascii_alphanumeric() || "_-:".contains(char));
    let is_special = matches!(
        text.to_ascii_lowercase().as_str(),
        "true" | "false" | "yes" | "no" | "on" | "off" | "null" | "y" | "n"
    );
    if first_is_letter && is_word && !is_special && !text.ends_with(':') {
        return text.to_owned();
    }
    if !text.chars().any(|char| char.is_control() || is_break(char)) {
        return format!("'{}'", text.replace('\'', "''"));
    }
    let mut out = String::from("\"");
    for char in text.chars() {
        match char {
            '"' | '\\' => out.extend(['\\', char]),
            '\n' => out.push_str("\\n"),
            '\t' => out.push_str("\\t"),
            char if char.is_control() || is_break(char) => {
                let _ = write!(out, "\\u{:04X}", u32::from(char));
            }
            char => out.push(char),
        }
    }
    out.push('"');
    out
}

/// What YAML takes for the end of a line, or does not take at all.
fn is_break(char: char) -> bool {
    matches!(char, '\u{85}' | '\u{2028}' | '\u{2029}' | '\u{feff}')
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::yaml::{Value, read};

    #[test]
    fn every_text_comes_back_as_it_was() {
        for text in [
            "",
            "a",
            "on",
            "yes",
            "~",
            "1",
            "a: b",
            "- x",
            "it's",
            "x # y",
            "a\nb",
            "\t",
            "\u{85}",
            "名字",
            "{{ $labels.x }}",
            "\\",
            "\"q\"",
            " lead",
            "trail ",
            "a:",
            "5m",
            "null",
        ] {
            let tree = read(&format!("k: {}\n", scalar(text))).unwrap();
            let Value::Map(entries) = tree.value else { panic!("{text:?}") };
            assert_eq!(entries[0].1.value, Value::Scalar(text.to_owned()), "{text:?}");
        }
    }
}

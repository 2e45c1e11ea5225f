//! Gathering: what was given by whom, checked against the table one key at a time.

use super::key::{Effect, Key, Kind, Place, nearest};
use super::{Finding, Severity, TABLE, properties};
use std::collections::BTreeMap;
use std::fmt;

/// Who gave a value; later ones win.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Origin {
    /// `-D` in this environment variable.
    Flag(&'static str),
    /// This line of this file.
    File { name: String, line: usize },
    /// `--set`.
    Set,
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Flag(variable) => write!(f, "{variable}"),
            Self::File { name, line } => write!(f, "{name}:{line}"),
            Self::Set => write!(f, "--set"),
        }
    }
}

/// A value and who gave it.
#[derive(Clone, Debug)]
pub(super) struct Given {
    pub(super) value: String,
    pub(super) origin: Origin,
}

/// All values by the name that was given, and what is to be said about them.
#[derive(Default)]
pub(super) struct Values {
    given: BTreeMap<String, Given>,
    /// All lines of the files and of `--set`, known to us or not.
    pub(super) lines: BTreeMap<String, String>,
    pub(super) findings: Vec<Finding>,
}

impl Values {
    /// Takes the `-D` options of one environment variable.
    pub(super) fn take_flags(&mut self, variable: &'static str, flags: &str) {
        for flag in flags.split_whitespace() {
            let Some(definition) = flag.strip_prefix("-D") else {
                self.note(variable, format!("{flag}: ignored, there is no JVM"));
                continue;
            };
            let (name, value) = definition.split_once('=').unwrap_or((definition, "true"));
            let short = name.strip_prefix("zookeeper.");
            let known = match short {
                Some(short) => find(short).filter(|key| key.place == Place::Property),
                None => find(name).filter(|key| key.place == Place::Bare),
            };
            if known.is_some() {
                let origin = Origin::Flag(variable);
                let given = Given { value: value.to_owned(), origin };
                self.given.insert(short.unwrap_or(name).to_owned(), given);
                continue;
            }
            match short.map(|short| (short, find(short))) {
                Some((short, Some(_))) => self.warn(
                    variable,
                    format!("-D{name}: has no effect, {short} is read from zoo.cfg only"),
                ),
                Some((short, None)) => self.unknown(variable, &format!("-D{name}"), short),
                None => self.note(variable, format!("-D{name}: ignored, there is no JVM")),
            }
        }
    }

    /// Takes the lines of a zoo.cfg, or of a dynamic file.
    pub(super) fn take_file(&mut self, name: &str, bytes: &[u8]) {
        for entry in properties::parse(bytes) {
            let origin = Origin::File { name: name.to_owned(), line: entry.line };
            self.take(entry.key, entry.value, origin);
        }
    }

    /// Takes one `--set key=value`.
    pub(super) fn take_set(&mut self, text: &str) {
        match text.split_once('=') {
            Some((key, value)) => {
                self.take(key.trim().to_owned(), value.trim().to_owned(), Origin::Set);
            }
            None => self.error("--set", format!("\"{text}\": must have the form key=value")),
        }
    }

    fn take(&mut self, name: String, value: String, origin: Origin) {
        self.lines.insert(name.clone(), value.clone());
        let Some(key) = find(&name) else {
            let place = origin.to_string();
            return self.unknown(&place, &name, &name);
        };
        if key.place == Place::Bare {
            let text = "Apache takes this only as a JVM flag; it acts here";
            self.note(&origin.to_string(), format!("{name}: {text}"));
        }
        if let Some(earlier) = self.given.get(&name) {
            let twice = matches!(
                (&earlier.origin, &origin),
                (Origin::File { name: a, .. }, Origin::File { name: b, .. }) if a == b
            );
            if twice {
                let text = format!("{name}: given twice, this value wins over {}", earlier.origin);
                self.warn(&origin.to_string(), text);
            }
        }
        self.given.insert(name, Given { value, origin });
    }

    /// Judges every given value by its row in the table.
    pub(super) fn judge(&mut self) {
        let given: Vec<(String, Given)> =
            self.given.iter().map(|(name, given)| (name.clone(), given.clone())).collect();
        for (name, Given { value, origin }) in given {
            let Some(key) = find(&name) else { continue };
            let place = origin.to_string();
            if let Some(rule) = key.broken_rule(&value) {
                let lenient = value.is_empty() && matches!(key.effect, Effect::Refused { .. });
                if !lenient {
                    self.error(&place, format!("{name} = \"{value}\": {rule}"));
                    continue;
                }
            }
            match key.effect {
                Effect::Acts | Effect::Ensemble => {}
                Effect::Meaningless(why) => {
                    self.warn(&place, format!("{name}: has no effect here, {why}"));
                }
                Effect::Refused { off, instead } => {
                    let is_off = value.is_empty()
                        || value.eq_ignore_ascii_case(key.default)
                        || off.iter().any(|word| value.eq_ignore_ascii_case(word));
                    if !is_off {
                        let text = format!("{name} = \"{}\": {instead}", shown(&name, key, &value));
                        self.error(&place, text);
                    }
                }
            }
        }
    }

    /// The value of a key: as given, else its default; `None` where that is empty.
    pub(super) fn text(&self, name: &'static str) -> Option<&str> {
        let value = match self.given.get(name) {
            Some(given) => given.value.as_str(),
            None => find(name).map_or("", |key| key.default),
        };
        (!value.is_empty()).then_some(value)
    }

    /// The value of a whole number; an illegal one was reported by [`Values::judge`].
    pub(super) fn int<T: TryFrom<i64>>(&self, name: &'static str) -> Option<T> {
        self.text(name)?.parse::<i64>().ok().and_then(|number| T::try_from(number).ok())
    }

    /// The value of a switch, `true` and `yes` alike.
    pub(super) fn on(&self, name: &'static str) -> bool {
        self.text(name).is_some_and(|v| v.eq_ignore_ascii_case("true") || v == "yes")
    }

    /// Everything given under a pattern, with the part that the star stands for.
    pub(super) fn under(&self, prefix: &str) -> Vec<(String, Given)> {
        self.given
            .iter()
            .filter_map(|(name, given)| {
                Some((name.strip_prefix(prefix)?.to_owned(), given.clone()))
            })
            .collect()
    }

    /// Who gave a value, or a word for its default.
    pub(super) fn place(&self, name: &str) -> String {
        self.given.get(name).map_or_else(|| "default".to_owned(), |given| given.origin.to_string())
    }

    pub(super) fn error(&mut self, place: &str, text: String) {
        self.findings.push(Finding { severity: Severity::Error, place: place.to_owned(), text });
    }

    pub(super) fn warn(&mut self, place: &str, text: String) {
        self.findings.push(Finding { severity: Severity::Warning, place: place.to_owned(), text });
    }

    pub(super) fn note(&mut self, place: &str, text: String) {
        self.findings.push(Finding { severity: Severity::Note, place: place.to_owned(), text });
    }

    fn unknown(&mut self, place: &str, shown: &str, name: &str) {
        let hint = nearest(name).map_or(String::new(), |known| format!("; did you mean {known}?"));
        self.warn(place, format!("{shown}: unknown key, ignored{hint}"));
    }
}

/// Passwords do not belong into logs. The row of a given name may be a pattern, which says less
/// than the name.
fn shown<'v>(name: &str, key: &Key, value: &'v str) -> &'v str {
    let secret = name.to_lowercase().contains("password")
        || key.name == "ssl.*"
        || key.name == "ssl.quorum.*";
    if secret && matches!(key.kind, Kind::Text) { "..." } else { value }
}

/// The row of a name; exact names come before patterns in the table.
pub(super) fn find(name: &str) -> Option<&'static Key> {
    TABLE.iter().find(|key| key.matches(name))
}

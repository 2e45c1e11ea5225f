//! What a configuration key is: its name, where it may stand, which values are legal and what
//! becomes of it. One table of these (`table.rs`) drives parsing, checking and the docs.

/// Where a key may be given.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// In zoo.cfg only: Apache reads no system property of this name.
    Cfg,
    /// In zoo.cfg, or as `-Dzookeeper.NAME=value`.
    Property,
    /// In Apache only as `-DNAME=value` without a prefix; here zoo.cfg takes it as well.
    Bare,
}

/// Which values are legal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Any text.
    Text,
    /// A directory or file.
    Path,
    /// `true` or `false`.
    Bool,
    /// `yes` or `no`.
    YesNo,
    /// A whole number between the two, both included.
    Int(i64, i64),
    /// A decimal number.
    Decimal,
    /// One of these words.
    OneOf(&'static [&'static str]),
}

/// What becomes of a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Effect {
    /// It changes what the server does.
    Acts,
    /// It stops the start unless its value is one of `off`; `instead` says what to do.
    Refused {
        /// Values (besides the default) that mean "off".
        off: &'static [&'static str],
        /// What to do instead, as the end of a sentence.
        instead: &'static str,
    },
    /// It acts in an ensemble only: checked, and without effect on a standalone server, as in
    /// Apache.
    Ensemble,
    /// It has no meaning here, which is said as a warning; the text says why.
    Meaningless(&'static str),
}

/// One configuration key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Key {
    /// The name as in zoo.cfg; a final `*` stands for any rest.
    pub name: &'static str,
    /// Where it may be given.
    pub place: Place,
    /// Which values are legal.
    pub kind: Kind,
    /// The value when it is not given, "" for none.
    pub default: &'static str,
    /// What becomes of it.
    pub effect: Effect,
    /// What it is for.
    pub what: &'static str,
}

impl Key {
    /// Whether `name` is this key.
    pub fn matches(&self, name: &str) -> bool {
        match self.name.strip_suffix('*') {
            Some(prefix) => name.len() > prefix.len() && name.starts_with(prefix),
            None => self.name == name,
        }
    }

    /// The rule that `value` breaks, if it breaks one.
    pub fn broken_rule(&self, value: &str) -> Option<String> {
        match self.kind {
            Kind::Text => None,
            Kind::Path => value.is_empty().then(|| "must be a path".to_owned()),
            Kind::Bool => {
                let legal = ["true", "false"].iter().any(|b| value.eq_ignore_ascii_case(b));
                (!legal).then(|| "must be true or false".to_owned())
            }
            Kind::YesNo => {
                (!["yes", "no"].contains(&value)).then(|| "must be yes or no".to_owned())
            }
            Kind::Int(min, max) => match value.parse::<i64>() {
                Ok(number) if (min..=max).contains(&number) => None,
                Ok(number) if number < min => Some(format!("must be at least {min}")),
                Ok(_) => Some(format!("must be at most {max}")),
                Err(_) => Some("must be a whole number".to_owned()),
            },
            Kind::Decimal => value
                .parse::<f64>()
                .is_ok_and(f64::is_finite)
                .then_some(())
                .map_or_else(|| Some("must be a number".to_owned()), |()| None),
            Kind::OneOf(words) => (!words.contains(&value)).then(|| {
                let words: Vec<String> = words.iter().map(|word| format!("\"{word}\"")).collect();
                format!("must be one of {}", words.join(", "))
            }),
        }
    }
}

/// The known name nearest to an unknown one, if one is near.
pub(super) fn nearest(unknown: &str) -> Option<&'static str> {
    let lower = unknown.to_lowercase();
    super::TABLE
        .iter()
        .filter(|key| !key.name.ends_with('*'))
        .map(|key| (distance(&lower, &key.name.to_lowercase()), key.name))
        .filter(|(distance, name)| *distance <= 1.max(name.len().min(unknown.len()) / 3))
        .min()
        .map(|(_, name)| name)
}

/// How many single characters must be changed, added or dropped (Levenshtein).
fn distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.chars().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, y) in b.iter().enumerate() {
            let changed = diagonal + usize::from(x != *y);
            diagonal = row[j + 1];
            row[j + 1] = changed.min(diagonal + 1).min(row[j] + 1);
        }
    }
    row[b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn distance_counts_changes() {
        assert_eq!(distance("kitten", "sitting"), 3);
        assert_eq!(distance("", "abc"), 3);
        assert_eq!(distance("same", "same"), 0);
    }

    #[test]
    fn nearest_names_what_was_meant() {
        assert_eq!(nearest("tickTme"), Some("tickTime"));
        assert_eq!(nearest("maxClientConns"), Some("maxClientCnxns"));
        assert_eq!(nearest("zookeeper.snapCount"), None);
        assert_eq!(nearest("completely-else"), None);
    }
}

//! One condition on one label, as selectors, silences and queries write it.

use std::fmt;

use regex::Regex;

use crate::labels::{Labels, NAME};

/// The longest regular expression of a matcher, in bytes.
pub const REGEX_LEN_MAX: usize = 4096;

/// How a [`Matcher`] compares.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum MatchOp {
    /// `=`
    Equal,
    /// `!=`
    NotEqual,
    /// `=~`, over the whole value
    Matches,
    /// `!~`
    NotMatches,
}

impl fmt::Display for MatchOp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Equal => "=",
            Self::NotEqual => "!=",
            Self::Matches => "=~",
            Self::NotMatches => "!~",
        })
    }
}

/// A condition on the value of one label; a label that is not there has the empty value.
#[derive(Clone)]
pub struct Matcher {
    name: Box<str>,
    op: MatchOp,
    value: Box<str>,
    regex: Option<Regex>, // Some exactly for the two regular operators
}

/// Why a matcher cannot be made.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum MatcherError {
    /// The expression is not one.
    #[error("bad regular expression {regex:?}: {reason}")]
    Regex {
        /// What was given.
        regex: String,
        /// The first line of what is wrong with it.
        reason: String,
    },
    /// Longer than [`REGEX_LEN_MAX`].
    #[error("regular expression of {len} bytes: at most {REGEX_LEN_MAX}")]
    TooLong {
        /// Its length.
        len: usize,
    },
}

impl Matcher {
    /// `name op "value"`; regular expressions are anchored at both ends.
    pub fn new(name: &str, op: MatchOp, value: &str) -> Result<Self, MatcherError> {
        let regex = match op {
            MatchOp::Equal | MatchOp::NotEqual => None,
            MatchOp::Matches | MatchOp::NotMatches => Some(anchored(value)?),
        };
        Ok(Self { name: name.into(), op, value: value.into(), regex })
    }

    /// The matcher of a metric's name.
    pub fn metric(name: &str) -> Self {
        Self { name: NAME.into(), op: MatchOp::Equal, value: name.into(), regex: None }
    }

    /// The label.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// How it compares.
    pub fn op(&self) -> MatchOp {
        self.op
    }

    /// The value or the expression as written.
    pub fn value(&self) -> &str {
        &self.value
    }

    /// Whether `value` meets the condition.
    pub fn is_match(&self, value: &str) -> bool {
        match (self.op, &self.regex) {
            (MatchOp::Equal, _) => *self.value == *value,
            (MatchOp::NotEqual, _) => *self.value != *value,
            (MatchOp::Matches, regex) => regex.as_ref().is_some_and(|regex| regex.is_match(value)),
            (MatchOp::NotMatches, regex) => {
                regex.as_ref().is_some_and(|regex| !regex.is_match(value))
            }
        }
    }

    /// Whether the series meets the condition.
    pub fn matches(&self, labels: &Labels) -> bool {
        self.is_match(labels.get(&self.name))
    }
}

/// Compiles `text` to match whole values; `.` also matches a line's end, as in Prometheus 3.
pub(crate) fn anchored(text: &str) -> Result<Regex, MatcherError> {
    if text.len() > REGEX_LEN_MAX {
        return Err(MatcherError::TooLong { len: text.len() });
    }
    let build = |text: &str| {
        regex::RegexBuilder::new(&format!("^(?s:{text})$")).size_limit(1 << 20).build()
    };
    build(text).map_err(|err| MatcherError::Regex {
        regex: text.to_owned(),
        reason: err.to_string().lines().last().unwrap_or_default().to_owned(),
    })
}

impl fmt::Display for Matcher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{}{:?}", self.name, self.op, self.value)
    }
}

impl fmt::Debug for Matcher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl PartialEq for Matcher {
    fn eq(&self, other: &Self) -> bool {
        (&self.name, self.op, &self.value) == (&other.name, other.op, &other.value)
    }
}

impl Eq for Matcher {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn regular_expressions_match_whole_values() {
        let matcher = Matcher::new("a", MatchOp::Matches, "zk|b.*").unwrap();
        assert!(matcher.is_match("zk") && matcher.is_match("b\n1"));
        assert!(!matcher.is_match("zk1") && !matcher.is_match(""));
        let none = Matcher::new("a", MatchOp::NotMatches, "x").unwrap();
        assert!(none.matches(&Labels::default()));
        assert!(matches!(
            Matcher::new("a", MatchOp::Matches, "("),
            Err(MatcherError::Regex { .. })
        ));
    }
}

//! What was wrong in a rule file, and where.

use std::fmt;

/// One thing that a rule file says and may not say.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RuleError {
    /// The file, as it was named to us.
    pub file: String,
    /// From 1.
    pub line: usize,
    /// The group's name, where it is inside of one that has one.
    pub group: Option<String>,
    /// The rule's name, where it is inside of one that has one.
    pub rule: Option<String>,
    /// The key whose value it is, or that is too many.
    pub key: Option<String>,
    /// Why it is refused.
    pub reason: String,
}

impl fmt::Display for RuleError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}: ", self.file, self.line)?;
        match (&self.rule, &self.group) {
            (Some(rule), _) => write!(f, "rule {rule}: ")?,
            (None, Some(group)) => write!(f, "group {group}: ")?,
            (None, None) => {}
        }
        if let Some(key) = &self.key {
            write!(f, "{key}: ")?;
        }
        f.write_str(&self.reason)
    }
}

/// All that was wrong in a rule file, in the order of its lines; never empty.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RuleErrors(pub Vec<RuleError>);

impl fmt::Display for RuleErrors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, error) in self.0.iter().enumerate() {
            let separator = if at == 0 { "" } else { "\n" };
            write!(f, "{separator}{error}")?;
        }
        Ok(())
    }
}

impl std::error::Error for RuleErrors {}

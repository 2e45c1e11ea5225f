//! The numbers of the shipped rules that an operator may change: for all ensembles, or for one.

use std::collections::{BTreeMap, BTreeSet};

use crate::catalogue::Catalogue;
use crate::duration::parse_duration;

/// Ensembles with thresholds of their own.
const ENSEMBLES_MAX: usize = 1000;

/// Settings of a rule beside its named numbers.
pub(crate) const FOR: &str = "for";
pub(crate) const OWN_FOR: &str = crate::file::OWN_FOR;
pub(crate) const ENABLED: &str = "enabled";

/// The settings of one rule, by their names.
pub(crate) type Settings = BTreeMap<String, String>;

/// What differs from the defaults of the catalogue.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Thresholds {
    everywhere: BTreeMap<String, Settings>,
    /// By ensemble, then by rule.
    ensembles: BTreeMap<String, BTreeMap<String, Settings>>,
}

/// Why a threshold is refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ThresholdError {
    /// No such rule among the shipped.
    #[error("{rule}: no shipped rule has this name")]
    UnknownRule {
        /// What was given.
        rule: String,
    },
    /// The rule has no such number.
    #[error("{rule}.{key}: unknown; known here: {known}")]
    UnknownKey {
        /// The rule.
        rule: String,
        /// What was given.
        key: String,
        /// What there is.
        known: String,
    },
    /// The value is none.
    #[error("{rule}.{key} = {value:?}: {reason}")]
    BadValue {
        /// The rule.
        rule: String,
        /// The key.
        key: String,
        /// What was given.
        value: String,
        /// What it must be.
        reason: String,
    },
    /// The rule does not judge ensembles, or there are too many ensembles.
    #[error("{rule}: {reason}")]
    NotPerEnsemble {
        /// The rule.
        rule: String,
        /// Why.
        reason: String,
    },
}

impl Thresholds {
    /// Sets one value of a shipped rule: a number by its name, `for`, `watchkeeper_for` or
    /// `enabled`; for one ensemble, else for all.
    pub fn set(
        &mut self,
        ensemble: Option<&str>,
        rule: &str,
        key: &str,
        value: &str,
    ) -> Result<(), ThresholdError> {
        let known = Catalogue::shipped()
            .rule(rule)
            .ok_or_else(|| ThresholdError::UnknownRule { rule: rule.to_owned() })?;
        check(rule, key, value, &known.thresholds)?;
        let settings = match ensemble {
            None => &mut self.everywhere,
            Some(name) => {
                let refuse = |reason: &str| ThresholdError::NotPerEnsemble {
                    rule: rule.to_owned(),
                    reason: reason.to_owned(),
                };
                if !known.per_ensemble {
                    return Err(refuse("judges no ensemble: set it for all"));
                }
                if name.is_empty() || name.contains("{{") || name.chars().any(char::is_control) {
                    return Err(refuse(
                        "an ensemble has a name, without {{ and control characters",
                    ));
                }
                if self.ensembles.len() >= ENSEMBLES_MAX && !self.ensembles.contains_key(name) {
                    return Err(refuse("thresholds for more than 1000 ensembles"));
                }
                self.ensembles.entry(name.to_owned()).or_default()
            }
        };
        let settings = settings.entry(rule.to_owned()).or_default();
        settings.insert(key.to_owned(), value.to_owned());
        Ok(())
    }

    /// What holds for a rule in ensembles that have nothing of their own for it.
    pub(crate) fn everywhere(&self, rule: &str) -> Settings {
        self.everywhere.get(rule).cloned().unwrap_or_default()
    }

    /// The ensembles that have settings of their own for a rule, with all that holds there.
    pub(crate) fn of_ensembles(&self, rule: &str) -> BTreeMap<&str, Settings> {
        let own = self.ensembles.iter().filter_map(|(name, rules)| {
            let own = rules.get(rule)?;
            let mut settings = self.everywhere(rule);
            settings.extend(own.clone());
            Some((name.as_str(), settings))
        });
        own.collect()
    }

    /// The ensembles that have thresholds of their own.
    pub fn ensembles(&self) -> BTreeSet<&str> {
        self.ensembles.keys().map(String::as_str).collect()
    }
}

fn check(
    rule: &str,
    key: &str,
    value: &str,
    numbers: &BTreeMap<String, String>,
) -> Result<(), ThresholdError> {
    let bad = |reason: String| ThresholdError::BadValue {
        rule: rule.to_owned(),
        key: key.to_owned(),
        value: value.to_owned(),
        reason,
    };
    match key {
        FOR | OWN_FOR => parse_duration(value).map(|_| ()).map_err(bad),
        ENABLED if matches!(value, "true" | "false") => Ok(()),
        ENABLED => Err(bad("must be true or false".to_owned())),
        _ if numbers.contains_key(key) => match value.parse::<f64>() {
            Ok(number) if number.is_finite() => Ok(()),
            _ => Err(bad("must be a number".to_owned())),
        },
        _ => {
            let mut known: Vec<&str> = numbers.keys().map(String::as_str).collect();
            known.extend([FOR, OWN_FOR, ENABLED]);
            let (rule, key) = (rule.to_owned(), key.to_owned());
            Err(ThresholdError::UnknownKey { rule, key, known: known.join(", ") })
        }
    }
}

//! Rule files in Prometheus' format: loading, the states of alerts, the shipped catalogue, export.
//!
//! A rule file is read ([`RuleFile`]), put in force ([`RuleSet`]) and evaluated at instants over a
//! window of samples. No files, no clock: text and time are arguments.

mod alert;
mod catalogue;
#[cfg(test)]
mod docs;
mod duration;
mod error;
mod export;
mod file;
mod selector;
mod set;
mod state;
mod template;
mod threshold;
mod unit;
mod write;
mod yaml;

pub use alert::{Alert, AlertState, Severity};
pub use catalogue::{BESIDE, Catalogue, Shipped, Which};
pub use duration::{format_duration, parse_duration};
pub use error::{RuleError, RuleErrors};
pub use export::{Form, Spelling, export, export_files};
pub use file::RuleKind;
pub use file::{Alerting, GROUPS_MAX, Group, LABELS_MAX, OWN_FOR, RULES_MAX, Rule, RuleFile};
pub use set::SetOptions;
pub use set::{
    Pace, Reload, RuleSet, RuleStatus, SET_RULES_MAX, SavedAlert, SavedAlerts, SetError,
};
pub use state::External;
pub use template::FUNCTIONS;
pub use threshold::{ThresholdError, Thresholds};
pub use unit::{EVALUATIONS_MAX, UnitFile, UnitOutcome, VALUES_MAX};
pub use yaml::FILE_BYTES_MAX;

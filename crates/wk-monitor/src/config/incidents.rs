//! `[incidents]` of watchkeeper.toml: how incidents are grouped, held and kept.

use std::time::Duration;

use serde::Deserialize;
use wk_alert::Policy;

use super::file::{Refusal, duration};

const SECOND: Duration = Duration::from_secs(1);
const MINUTE: Duration = Duration::from_mins(1);
const HOUR: Duration = Duration::from_hours(1);
const DAY: Duration = Duration::from_hours(24);

/// How incidents are grouped, held and kept: [`Policy`] says what each is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IncidentsConfig {
    /// A fault that comes back within this time is the same episode. Default 5 min; at most a day.
    pub hold: Duration,
    /// How long somebody who took an incident on is believed. Default 1 h; a minute to 30 days.
    pub ack_for: Duration,
    /// How long additions to a group are gathered. Default 30 s; at most an hour.
    pub group_wait: Duration,
    /// Incidents in one message, at most. Default 50; 1 to 200.
    pub bundle_max: usize,
    /// How long a fault waits for a cause that is about to be found. Default 5 s; at most a minute.
    pub cause_wait: Duration,
    /// How long resolved incidents are kept. Default 90 days; an hour to ten years.
    pub retention: Duration,
    /// How many incidents are kept. Default 10 000; 100 to 100 000.
    pub incidents_max: usize,
    /// How many silences may be in force. Default 1000; 1 to 100 000.
    pub silences_max: usize,
}

impl Default for IncidentsConfig {
    fn default() -> Self {
        let policy = Policy::default();
        Self {
            hold: policy.hold,
            ack_for: policy.ack_for,
            group_wait: policy.group_wait,
            bundle_max: policy.bundle_max,
            cause_wait: policy.cause_wait,
            retention: policy.retention,
            incidents_max: policy.incidents_max,
            silences_max: policy.silences_max,
        }
    }
}

impl IncidentsConfig {
    /// The same as the ledger goes by it.
    pub(crate) fn policy(&self) -> Policy {
        let Self { hold, ack_for, group_wait, bundle_max, cause_wait, .. } = *self;
        let Self { retention, incidents_max, silences_max, .. } = *self;
        let ours = Policy { hold, ack_for, group_wait, bundle_max, ..Policy::default() };
        Policy { cause_wait, retention, incidents_max, silences_max, ..ours }
    }
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawIncidents {
    hold: Option<String>,
    ack_for: Option<String>,
    group_wait: Option<String>,
    bundle_max: Option<i64>,
    cause_wait: Option<String>,
    retention: Option<String>,
    incidents_max: Option<i64>,
    silences_max: Option<i64>,
}

impl RawIncidents {
    pub(super) fn check(self) -> Result<IncidentsConfig, Refusal> {
        let mut config = IncidentsConfig::default();
        let none = Duration::ZERO;
        for (key, given, least, most, kept) in [
            ("hold", self.hold, none, DAY, &mut config.hold),
            ("ack_for", self.ack_for, MINUTE, DAY * 30, &mut config.ack_for),
            ("group_wait", self.group_wait, none, HOUR, &mut config.group_wait),
            ("cause_wait", self.cause_wait, none, MINUTE, &mut config.cause_wait),
            ("retention", self.retention, HOUR, DAY * 3650, &mut config.retention),
        ] {
            let Some(text) = given else { continue };
            let legal = duration(&text).filter(|time| (least..=most).contains(time));
            *kept = legal.ok_or_else(|| refusal(key, &text, &time_rule(least, most)))?;
        }
        for (key, given, least, most, kept) in [
            ("bundle_max", self.bundle_max, 1, 200, &mut config.bundle_max),
            ("incidents_max", self.incidents_max, 100, 100_000, &mut config.incidents_max),
            ("silences_max", self.silences_max, 1, 100_000, &mut config.silences_max),
        ] {
            let Some(number) = given else { continue };
            let legal = usize::try_from(number).ok();
            let legal = legal.filter(|number| (least..=most).contains(number));
            let rule = || format!("must be from {least} to {most}");
            *kept = legal.ok_or_else(|| refusal(key, &number.to_string(), &rule()))?;
        }
        Ok(config)
    }
}

fn refusal(key: &str, value: &str, rule: &String) -> Refusal {
    Refusal::new(format!("incidents.{key}"), value, rule)
}

fn time_rule(least: Duration, most: Duration) -> String {
    format!("must be a time with its unit, from {} to {}", shown(least), shown(most))
}

/// In the largest unit that leaves no rest.
fn shown(time: Duration) -> String {
    let units = [("d", DAY), ("h", HOUR), ("m", MINUTE), ("s", SECOND)];
    let whole = |(_, unit): &&(&str, Duration)| {
        !time.is_zero() && time.as_secs().is_multiple_of(unit.as_secs())
    };
    let (name, unit) = units.iter().find(whole).copied().unwrap_or(("s", SECOND));
    format!("{}{name}", time.as_secs() / unit.as_secs())
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::config::FileConfig;

    fn parse(text: &str) -> Result<IncidentsConfig, String> {
        let text = format!("[incidents]\n{text}");
        let file = FileConfig::parse(Path::new("w.toml"), &text, &|_| None);
        file.map(|file| file.incidents).map_err(|err| err.to_string())
    }

    #[test]
    fn every_key_reaches_the_ledger() {
        let config = parse(
            "hold = \"2m\"\nack_for = \"8h\"\ngroup_wait = \"0s\"\nbundle_max = 7\n\
             cause_wait = \"1500ms\"\nretention = \"400d\"\nincidents_max = 500\n\
             silences_max = 9",
        );
        let policy = config.expect("legal").policy();
        let (hold, ack_for) = (MINUTE * 2, HOUR * 8);
        let cause_wait = Duration::from_millis(1500);
        assert_eq!((policy.hold, policy.ack_for), (hold, ack_for));
        assert_eq!((policy.group_wait, policy.cause_wait), (Duration::ZERO, cause_wait));
        assert_eq!((policy.bundle_max, policy.retention), (7, DAY * 400));
        assert_eq!((policy.incidents_max, policy.silences_max), (500, 9));
        assert_eq!(parse("").expect("legal"), IncidentsConfig::default());
    }

    #[test]
    fn what_is_out_of_bounds_is_refused_by_key_value_and_rule() {
        for (wrong, want) in [
            ("hold = \"2d\"", "incidents.hold = \"2d\": must be a time with its unit, from 0s"),
            ("hold = \"2d\"", " to 1d"),
            ("hold = \"5\"", "incidents.hold = \"5\": must be a time"),
            ("ack_for = \"59s\"", "incidents.ack_for = \"59s\": must be a time with its unit"),
            ("ack_for = \"59s\"", "from 1m to 30d"),
            ("group_wait = \"61m\"", "incidents.group_wait = \"61m\": must be a time"),
            ("cause_wait = \"2m\"", "to 1m"),
            ("retention = \"1m\"", "from 1h to 3650d"),
            ("bundle_max = 0", "incidents.bundle_max = \"0\": must be from 1 to 200"),
            ("bundle_max = -1", "must be from 1 to 200"),
            ("incidents_max = 99", "must be from 100 to 100000"),
            ("silences_max = 100001", "must be from 1 to 100000"),
            ("keep = 1", "unknown field `keep`"),
        ] {
            let error = parse(wrong).expect_err(wrong);
            assert!(error.contains(want), "{error}");
        }
    }
}

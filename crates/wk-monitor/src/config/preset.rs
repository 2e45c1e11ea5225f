//! Presets: registries of others beside `/nodes`, flat lists of ephemeral znodes.

use std::time::Duration;

use serde::Deserialize;

use super::file::Refusal;

/// A known registry, by its preset: the path above its stars, and what comes below it.
const KNOWN: &[(&str, Option<&str>, &str)] = &[
    ("kafka", Some("/brokers/ids"), "/*"),
    ("hbase", Some("/hbase/rs"), "/*"),
    ("solr", Some("/live_nodes"), "/*"),
    ("storm", Some("/storm/supervisors"), "/*"),
    // Every application chooses its own base path.
    ("curator", None, "/*/*"),
    ("dubbo", Some("/dubbo"), "/*/providers/*"),
];
/// How long a node that vanished stays known, unless it is expected. Default 24 h.
const TTL: Duration = Duration::from_hours(24);

/// A registry of others to watch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PresetConfig {
    /// The group of its nodes; with two stars in the path, the first part of it.
    pub name: String,
    /// Where its nodes are: `/brokers/ids/*`, `/dubbo/*/providers/*`.
    pub pattern: String,
    /// How long a node that vanished stays known, unless it is expected.
    pub ttl: Duration,
}

impl PresetConfig {
    /// Whether this registry has nodes in `group`.
    pub(crate) fn has(&self, group: &str) -> bool {
        let rest = group.strip_prefix(self.name.as_str());
        rest.is_some_and(|rest| rest.is_empty() || rest.starts_with(':'))
    }
}

/// `"kafka"`, or a table with more.
#[derive(Deserialize)]
#[serde(untagged)]
pub(super) enum RawPreset {
    Name(String),
    Table(RawTable),
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawTable {
    preset: String,
    path: Option<String>,
    name: Option<String>,
    ttl: Option<String>,
}

/// Reads the list under `key`.
pub(super) fn presets(key: &str, raw: Vec<RawPreset>) -> Result<Vec<PresetConfig>, Refusal> {
    let mut presets: Vec<PresetConfig> = Vec::new();
    for raw in raw {
        let preset = preset(key, raw)?;
        if presets.iter().any(|other| other.name == preset.name) {
            let rule = "is named twice: give one of them a name of its own";
            return Err(Refusal::new(key.to_owned(), &preset.name, &rule));
        }
        presets.push(preset);
    }
    Ok(presets)
}

fn preset(key: &str, raw: RawPreset) -> Result<PresetConfig, Refusal> {
    let raw = match raw {
        RawPreset::Name(preset) => RawTable { preset, path: None, name: None, ttl: None },
        RawPreset::Table(raw) => raw,
    };
    let Some((_, default, below)) = KNOWN.iter().find(|(name, ..)| *name == raw.preset) else {
        let names: Vec<&str> = KNOWN.iter().map(|(name, ..)| *name).collect();
        let rule = format!("must be one of {}", names.join(", "));
        return Err(Refusal::new(key.to_owned(), &raw.preset, &rule));
    };
    let Some(path) = raw.path.as_deref().or(*default) else {
        let rule = "needs its base path: { preset = \"curator\", path = \"/base\" }";
        return Err(Refusal::new(key.to_owned(), &raw.preset, &rule));
    };
    if wk_proto::path::validate(path).is_err() || path == "/" || path.contains('*') {
        let rule = "must be an absolute path without stars";
        return Err(Refusal::new(format!("{key}.path"), path, &rule));
    }
    let name = raw.name.unwrap_or_else(|| raw.preset.clone());
    if name.is_empty() || name.contains([':', '/']) {
        let rule = "must not be empty or have a colon or a slash";
        return Err(Refusal::new(format!("{key}.name"), &name, &rule));
    }
    let ttl = match &raw.ttl {
        None => TTL,
        Some(text) => super::file::duration(text).ok_or_else(|| {
            let rule = "must be a duration such as 90s, 10m or 24h";
            Refusal::new(format!("{key}.ttl"), text, &rule)
        })?,
    };
    Ok(PresetConfig { name, pattern: format!("{path}{below}"), ttl })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Deserialize)]
    struct Raw {
        presets: Vec<RawPreset>,
    }

    fn read(text: &str) -> Result<Vec<(String, String)>, String> {
        let raw: Raw = toml::from_str(&format!("presets = [{text}]")).map_err(|e| e.to_string())?;
        let shown = |preset: PresetConfig| (preset.name, preset.pattern);
        let read = presets("p", raw.presets);
        read.map(|all| all.into_iter().map(shown).collect())
            .map_err(|r| format!("{} = \"{}\": {}", r.key, r.value, r.rule))
    }

    #[test]
    fn presets_by_name_and_by_table() {
        let text = r#""kafka", "dubbo", { preset = "kafka", name = "k2", path = "/k2/brokers/ids" },
            { preset = "curator", path = "/services", ttl = "10m" }"#;
        let want = [
            ("kafka", "/brokers/ids/*"),
            ("dubbo", "/dubbo/*/providers/*"),
            ("k2", "/k2/brokers/ids/*"),
            ("curator", "/services/*/*"),
        ];
        assert_eq!(read(text).unwrap(), want.map(|(a, b)| (a.to_owned(), b.to_owned())));
    }

    #[test]
    fn what_is_wrong_is_named() {
        for (text, want) in [
            (r#""kafak""#, "\"kafak\": must be one of kafka"),
            (r#""curator""#, "needs its base path"),
            (r#""kafka", "kafka""#, "twice"),
            (r#"{ preset = "solr", path = "solr" }"#, "p.path = \"solr\""),
            (r#"{ preset = "solr", ttl = "soon" }"#, "p.ttl = \"soon\""),
            (r#"{ preset = "solr", colour = "red" }"#, "did not match"),
        ] {
            let err = read(text).expect_err(text);
            assert!(err.contains(want), "{text}: {err}");
        }
    }

    #[test]
    fn groups_below_a_registry_belong_to_it() {
        let raw = vec![RawPreset::Name("dubbo".into())];
        let Ok(found) = presets("p", raw) else { panic!("legal") };
        assert!(found[0].has("dubbo") && found[0].has("dubbo:a.B") && !found[0].has("dubbox"));
    }
}

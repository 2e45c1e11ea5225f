//! docs/zoo-cfg.md, made from the table of keys: the page cannot say what the code does not do.

use super::key::{Effect, Kind, Place};
use super::{Key, TABLE};
use std::fmt::Write as _;

const HEAD: &str = "\
# Keys of zoo.cfg

Made from the table of keys in `crates/wk-server/src/zoo_cfg/table.rs` by its tests
(`UPDATE_EXPECT=1 cargo test -p wk-server --lib docs` writes it anew).

A key *acts*, or is *refused* (the start ends with exit code 2, unless the value is the default,
empty or named as off), or acts in an *ensemble* only (checked, without effect on a standalone
server), or is *meaningless* here (a warning). Unknown keys warn with the nearest known name.
Values come from `--set`, else from the file, else from JVM flags in SERVER_JVMFLAGS and JVMFLAGS:
column *flag* says how a key is spelled there (`-D` is put before).
";

/// A heading and which keys stand below it.
type Group = (&'static str, fn(&Effect) -> bool);

/// The whole page.
pub fn markdown() -> String {
    let mut text = HEAD.to_owned();
    let groups: [Group; 4] = [
        ("Keys that act", |effect| *effect == Effect::Acts),
        ("Refused", |effect| matches!(effect, Effect::Refused { .. })),
        ("Ensembles only", |effect| *effect == Effect::Ensemble),
        ("Meaningless", |effect| matches!(effect, Effect::Meaningless(_))),
    ];
    for (title, belongs) in groups {
        let keys: Vec<&Key> = TABLE.iter().filter(|key| belongs(&key.effect)).collect();
        let _ = write!(text, "\n## {title} ({})\n\n", keys.len());
        text.push_str("| key | default | values | flag | |\n|---|---|---|---|---|\n");
        for key in keys {
            let what = match key.effect {
                Effect::Acts | Effect::Ensemble => key.what.to_owned(),
                Effect::Refused { instead, .. } => format!("{}: {instead}", key.what),
                Effect::Meaningless(why) => format!("{}: {why}", key.what),
            };
            let default = if key.default.is_empty() { "" } else { &format!("`{}`", key.default) };
            let row = [&format!("`{}`", key.name), default, &values(key), &flag(key), &what];
            let _ = writeln!(text, "| {} |", row.join(" | "));
        }
    }
    text
}

fn values(key: &Key) -> String {
    let int = i64::from(i32::MAX);
    match key.kind {
        Kind::Text => "text".to_owned(),
        Kind::Path => "path".to_owned(),
        Kind::Bool => "true, false".to_owned(),
        Kind::YesNo => "yes, no".to_owned(),
        Kind::Int(min, max) if max >= int && min <= -int => "number".to_owned(),
        Kind::Int(min, max) if max >= int => format!("from {min}"),
        Kind::Int(min, max) => format!("{min} to {max}"),
        Kind::Decimal => "decimal".to_owned(),
        Kind::OneOf(words) => {
            let words: Vec<_> =
                words.iter().map(|w| if w.is_empty() { "empty" } else { w }).collect();
            words.join(", ")
        }
    }
}

fn flag(key: &Key) -> String {
    match key.place {
        Place::Cfg => String::new(),
        Place::Property => format!("`zookeeper.{}`", key.name),
        Place::Bare => format!("`{}`", key.name),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn docs_are_those_of_the_table() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/zoo-cfg.md");
        if std::env::var_os("UPDATE_EXPECT").is_some() {
            std::fs::write(path, markdown()).unwrap();
        }
        let page = std::fs::read_to_string(path).unwrap();
        assert!(page == markdown(), "run UPDATE_EXPECT=1 cargo test -p wk-server --lib docs");
    }
}

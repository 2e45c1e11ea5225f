//! A document that names a test as proof must name one that exists.
//!
//! In COMPAT.md a feature "works" only where a named test shows it: names are written as
//! `` `crate: module::test_name` `` or `` `it: group::test_name` `` and checked against the sources.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use anyhow::{Context, Result};
use wk_peers::cache::workspace_root;

use super::sources::Source;

/// Checks COMPAT.md: every row that says yes or differs names a test, every named test exists.
pub(super) fn check(files: &[Source]) -> Result<Vec<String>> {
    let path = workspace_root().join("COMPAT.md");
    let text = match fs::read_to_string(&path) {
        Ok(text) => text,
        Err(err) if err.kind() == std::io::ErrorKind::NotFound => String::new(),
        Err(err) => return Err(err).with_context(|| format!("read {}", path.display())),
    };
    let known = test_functions(files);
    let mut complaints = Vec::new();
    for (at, line) in text.lines().enumerate() {
        let cells: Vec<&str> = line.split('|').map(str::trim).collect();
        let claims = cells.iter().any(|cell| matches!(*cell, "yes" | "differs"));
        let named: Vec<(&str, &str)> = names(line).collect();
        if line.starts_with('|') && claims && named.is_empty() {
            complaints.push(format!("COMPAT.md:{}: names no test that shows it", at + 1));
        }
        for (place, name) in named {
            let function = name.rsplit("::").next().unwrap_or(name);
            if !known.contains(&(place, function)) {
                complaints.push(format!("COMPAT.md:{}: {place} has no test {name}", at + 1));
            }
        }
    }
    Ok(complaints)
}

/// The test names in a line, with their places: back quotes around `where: path::name`.
fn names(line: &str) -> impl Iterator<Item = (&str, &str)> {
    line.split('`').skip(1).step_by(2).filter_map(|quoted| {
        let (place, name) = quoted.split_once(": ")?;
        let is_place = place == "it" || place == "xtask" || place.starts_with("wk-");
        (is_place && name.contains("::") && !name.contains(' ')).then_some((place, name))
    })
}

/// All functions that stand under `#[test]` or the like, with the place that documents give them.
fn test_functions(files: &[Source]) -> BTreeSet<(&str, &str)> {
    let mut found = BTreeSet::new();
    for file in files {
        let mut is_test = false;
        let place = place_of(&file.path);
        for line in file.text.lines().map(str::trim) {
            if line.starts_with("#[test]") || line.starts_with("#[tokio::test") {
                is_test = true;
            } else if !line.starts_with("#[") && !line.starts_with("//") {
                let rest = line.strip_prefix("async ").unwrap_or(line);
                if let (true, Some(rest)) = (is_test, rest.strip_prefix("fn ")) {
                    found.insert((place, rest.split(['(', '<']).next().unwrap_or_default()));
                }
                is_test = false;
            }
        }
    }
    found
}

/// `it` for the interop tests, else the crate.
fn place_of(path: &Path) -> &str {
    if path.starts_with("crates/watchkeeper/tests/it") {
        return "it";
    }
    let mut parts = path.iter().filter_map(|part| part.to_str());
    match parts.next() {
        Some("crates") => parts.next().unwrap_or_default(),
        other => other.unwrap_or_default(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_names_in_the_agreed_form_count() {
        let line = "| a | yes | `it: zkcli::nodes` and `wk-tree: quota::soft`, `get: x` `plain` |";
        assert_eq!(
            names(line).collect::<Vec<_>>(),
            [("it", "zkcli::nodes"), ("wk-tree", "quota::soft")]
        );
    }

    #[test]
    fn test_functions_are_told_from_helpers() {
        let text =
            "#[test]\n// why\nfn a_fact() {}\nfn helper() {}\n#[tokio::test]\nasync fn b() {}";
        let file = Source { path: "crates/wk-x/src/lib.rs".into(), text: text.to_owned() };
        let files = [file];
        let names: Vec<_> = test_functions(&files).into_iter().collect();
        assert_eq!(names, [("wk-x", "a_fact"), ("wk-x", "b")]);
    }
}

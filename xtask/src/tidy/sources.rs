//! Lengths and heads of the source files.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use wk_peers::cache::workspace_root;

const FILE_LINES_MAX: usize = 800;
const FUNCTION_LINES_MAX: usize = 70;
const COLUMNS_MAX: usize = 100;

/// A source file: its path from the root of the workspace, and its text.
pub(super) struct Source {
    pub(super) path: PathBuf,
    pub(super) text: String,
}

/// All Rust files of the workspace and of the fuzz targets.
pub(super) fn rust_files() -> Result<Vec<Source>> {
    let root = workspace_root();
    let mut todo = vec![root.join("crates"), root.join("xtask"), root.join("fuzz")];
    let mut found = Vec::new();
    while let Some(dir) = todo.pop() {
        if !dir.exists() {
            continue;
        }
        for entry in fs::read_dir(&dir).with_context(|| format!("list {}", dir.display()))? {
            let path = entry.with_context(|| format!("list {}", dir.display()))?.path();
            if path.is_dir() {
                if path.file_name().is_some_and(|name| name != "target") {
                    todo.push(path);
                }
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                let text = fs::read_to_string(&path)
                    .with_context(|| format!("read {}", path.display()))?;
                let path = path.strip_prefix(&root).unwrap_or(&path).to_path_buf();
                found.push(Source { path, text });
            }
        }
    }
    found.sort_by(|a, b| a.path.cmp(&b.path));
    Ok(found)
}

/// Checks every file by itself.
pub(super) fn check(files: &[Source]) -> Vec<String> {
    files.iter().flat_map(|file| check_file(&file.path, &file.text)).collect()
}

/// An interop test that uses a peer stands in the list of groups, else the quick command would run
/// it without having fetched anything.
pub(super) fn check_interop(files: &[Source]) -> Vec<String> {
    const FOLDER: &str = "crates/watchkeeper/tests/it";
    let mut complaints = Vec::new();
    for file in files.iter().filter(|file| file.path.parent() == Some(Path::new(FOLDER))) {
        let module = file.path.file_stem().unwrap_or_default().to_string_lossy();
        let is_test = file.text.contains("#[test]") || file.text.contains("#[tokio::test");
        let uses_peer =
            ["Peer::", "control()", "control_spec"].iter().any(|sign| file.text.contains(sign));
        if is_test && uses_peer && crate::test::peer_modules().all(|known| known != module) {
            complaints.push(format!(
                "{FOLDER}/{module}.rs uses a peer and is not in PEER_GROUPS (xtask/src/test.rs)"
            ));
        }
    }
    complaints
}

fn check_file(path: &Path, text: &str) -> Vec<String> {
    let path = path.display();
    let mut complaints = Vec::new();
    let lines: Vec<&str> = text.lines().collect();
    if lines.len() > FILE_LINES_MAX {
        complaints.push(format!("{path}: {} lines, at most {FILE_LINES_MAX}", lines.len()));
    }
    if !lines.first().is_some_and(|line| line.starts_with("//!")) {
        complaints.push(format!("{path}:1: begins without `//!` what this is and why"));
    }
    for (at, line) in lines.iter().enumerate() {
        let number = at + 1;
        let code = line.trim_start();
        if line.chars().count() > COLUMNS_MAX && !code.starts_with("//") {
            complaints.push(format!("{path}:{number}: wider than {COLUMNS_MAX} columns"));
        }
        // Written apart, so that this file does not complain about itself.
        for mark in [concat!("TO", "DO"), concat!("FIX", "ME"), concat!("#[ig", "nore")] {
            if line.contains(mark) {
                complaints.push(format!("{path}:{number}: {mark}: do it or leave it out"));
            }
        }
        if is_function(code)
            && let Some(long) = length(&lines[at..])
            && long > FUNCTION_LINES_MAX
        {
            complaints.push(format!(
                "{path}:{number}: a function of {long} lines, at most {FUNCTION_LINES_MAX}"
            ));
        }
    }
    complaints
}

fn is_function(code: &str) -> bool {
    let mut rest = code;
    for word in ["pub(crate) ", "pub(super) ", "pub ", "const ", "async ", "unsafe "] {
        rest = rest.strip_prefix(word).unwrap_or(rest);
    }
    rest.starts_with("fn ")
}

/// The lines of the function that begins on the first line: rustfmt puts its closing brace at the
/// same indentation.
fn length(lines: &[&str]) -> Option<usize> {
    let first = lines.first()?;
    let indentation = &first[..first.len() - first.trim_start().len()];
    if first.trim_end().ends_with(['}', ';']) {
        return Some(1);
    }
    let end = lines.iter().position(|line| {
        line.strip_prefix(indentation).is_some_and(|rest| rest == "}" || rest.ends_with(");"))
            && !line[indentation.len()..].starts_with(' ')
    })?;
    Some(end + 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn complaints(text: &str) -> Vec<String> {
        check_file(Path::new("a.rs"), text)
    }

    #[test]
    fn a_long_function_a_wide_line_and_a_headless_file_are_found() {
        let body = "    let x = 1;\n".repeat(69);
        let text = format!("//! Head.\n\npub(crate) fn f(\n    a: u8,\n) {{\n{body}}}\n");
        assert_eq!(complaints(&text), ["a.rs:3: a function of 73 lines, at most 70"]);
        let wide = format!("//! Head.\n// {0}\nconst A: &str = \"{0}\";\n", "x".repeat(100));
        assert_eq!(complaints(&wide), ["a.rs:3: wider than 100 columns"]);
        assert_eq!(complaints("fn f() {}\n").len(), 1);
        let long = format!("//! Head.\n{}", "\n".repeat(800));
        assert_eq!(complaints(&long), ["a.rs: 801 lines, at most 800"]);
    }

    #[test]
    fn a_function_ends_at_its_own_brace() {
        let inner = "    fn g() {\n    }\n".repeat(20);
        let text = format!("//! Head.\nimpl A {{\n{inner}}}\nfn h();\n{}", "// x\n".repeat(80));
        assert_eq!(complaints(&text), Vec::<String>::new());
    }
}

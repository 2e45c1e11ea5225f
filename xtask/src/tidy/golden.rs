//! The golden files are there, each with the text that says how it was made.

use std::fs;

use anyhow::{Context, Result};
use wk_peers::cache::workspace_root;

/// The folder, from the root of the workspace.
const FOLDER: &str = "golden/zookeeper-3.9.5";

/// Every `.bin` has its `.txt`, every `.txt` its `.bin`, and there are some.
pub(super) fn check() -> Result<Vec<String>> {
    let dir = workspace_root().join(FOLDER);
    if !dir.exists() {
        return Ok(vec![format!("{FOLDER} is gone")]);
    }
    let mut names = Vec::new();
    for entry in fs::read_dir(&dir).with_context(|| format!("list {}", dir.display()))? {
        let name = entry.with_context(|| format!("list {}", dir.display()))?.file_name();
        names.push(name.to_string_lossy().into_owned());
    }
    let has = |name: &str| names.iter().any(|known| known == name);
    let mut complaints = Vec::new();
    if !names.iter().any(|name| name.rsplit_once('.').is_some_and(|(_, kind)| kind == "bin")) {
        complaints.push(format!("{FOLDER} holds no golden bytes"));
    }
    for name in &names {
        let partner = match name.rsplit_once('.') {
            Some((stem, "bin")) => format!("{stem}.txt"),
            Some((stem, "txt")) => format!("{stem}.bin"),
            _ => continue,
        };
        if !has(&partner) {
            complaints.push(format!("{FOLDER}/{name} stands without {partner}"));
        }
    }
    Ok(complaints)
}

//! What the compiler does not check: crate layers and bans, licences, lengths, golden files, and
//! that documents name tests that exist.

mod golden;
mod layers;
mod licences;
mod named_tests;
mod sources;

use anyhow::{Context, Result};
use serde_json::Value;

use crate::cargo::cargo;
use crate::report::Report;

/// Runs every check as one step; all complaints are shown.
pub(crate) fn step(report: &mut Report) {
    report.begin("tidy");
    match complaints() {
        Ok(complaints) if complaints.is_empty() => report.pass("tidy"),
        Ok(complaints) => report.fail("tidy", &complaints.join("\n")),
        Err(err) => report.fail("tidy", &format!("{err:#}")),
    }
}

fn complaints() -> Result<Vec<String>> {
    let text = wk_peers::process::run(
        "cargo metadata",
        &mut cargo(&["metadata", "--format-version", "1", "--locked"]),
    )?;
    let metadata: Value = serde_json::from_str(&text).context("read cargo metadata")?;
    let mut complaints = layers::check(&metadata)?;
    complaints.extend(licences::check(&metadata));
    let files = sources::rust_files()?;
    complaints.extend(sources::check(&files));
    complaints.extend(sources::check_interop(&files));
    complaints.extend(named_tests::check(&files)?);
    complaints.extend(golden::check()?);
    Ok(complaints)
}

//! `cargo xtask fuzz TARGET`: a long run by hand; the corpus runs in the ordinary tests.

use std::process::Command;

use anyhow::{Context, Result, bail};
use wk_peers::cache::workspace_root;
use wk_peers::fetch::files;

/// Runs cargo-fuzz until it is stopped or finds something.
pub(crate) fn run(target: &str, seconds: Option<u64>) -> Result<()> {
    let root = workspace_root();
    let sources = files(&root.join("fuzz/fuzz_targets"), "rs").context("find the fuzz targets")?;
    let names: Vec<String> = sources
        .iter()
        .filter_map(|path| path.file_stem().map(|stem| stem.to_string_lossy().into_owned()))
        .collect();
    if !names.iter().any(|name| name == target) {
        bail!("there is no target {target}; there are: {}", names.join(", "));
    }
    let mut command = Command::new("cargo");
    command.arg("fuzz").current_dir(&root);
    if !command.arg("--version").output().is_ok_and(|output| output.status.success()) {
        bail!("cargo-fuzz is missing: cargo install --locked cargo-fuzz");
    }
    let mut command = Command::new("cargo");
    // Without a nightly toolchain: the same on stable, without the address sanitizer (there is no
    // unsafe code of ours that it could watch).
    command
        .args(["fuzz", "run", "-s", "none", target, "--"])
        .env("RUSTC_BOOTSTRAP", "1")
        .current_dir(&root);
    if let Some(seconds) = seconds {
        command.arg(format!("-max_total_time={seconds}"));
    }
    let status = command.status().context("start cargo-fuzz")?;
    if !status.success() {
        bail!("cargo-fuzz found something: see fuzz/artifacts/{target}");
    }
    Ok(())
}

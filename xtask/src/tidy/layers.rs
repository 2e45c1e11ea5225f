//! Dependency arrows point down, and the cores stay small.
//!
//! The table below is the map of ARCHITECTURE.md. A crate that is not in it may not exist; an arrow
//! that is not in it may not either.

use std::fs;

use anyhow::{Context, Result};
use serde_json::Value;
use wk_peers::cache::workspace_root;

/// Each crate and the crates of ours that it may use when shipped, bottom up.
const LAYERS: &[(&str, &[&str])] = &[
    ("wk-proto", &[]),
    ("wk-tree", &["wk-proto"]),
    ("wk-node", &["wk-proto", "wk-tree"]),
    ("wk-promql", &[]),
    ("wk-rules", &["wk-promql"]),
    ("wk-alert", &["wk-proto", "wk-promql", "wk-rules"]),
    ("wk-store", &["wk-proto", "wk-tree"]),
    ("wk-tls", &[]),
    ("wk-server", &["wk-proto", "wk-tree", "wk-node", "wk-store", "wk-tls"]),
    ("wk-client", &["wk-proto", "wk-tls"]),
    ("wk-probe", &["wk-client", "wk-promql", "wk-proto"]),
    ("wk-tap", &["wk-client", "wk-promql", "wk-proto"]),
    (
        "wk-monitor",
        &["wk-alert", "wk-rules", "wk-promql", "wk-probe", "wk-tap", "wk-client", "wk-proto"],
    ),
    ("wk-web", &["wk-server", "wk-monitor", "wk-alert", "wk-promql", "wk-proto"]),
    (
        "watchkeeper",
        &[
            "wk-proto",
            "wk-server",
            "wk-client",
            "wk-promql",
            "wk-rules",
            "wk-alert",
            "wk-probe",
            "wk-tap",
            "wk-monitor",
            "wk-web",
            "wk-store",
        ],
    ),
    // Development only, below.
    ("wk-sim", &["wk-proto", "wk-tree", "wk-node", "wk-store"]),
    ("wk-peers", &["wk-proto"]),
    ("xtask", &["wk-peers", "wk-proto", "wk-sim"]),
];

/// Crates without tokio, files, clock and threads.
const CORES: &[&str] = &["wk-proto", "wk-tree", "wk-node", "wk-promql", "wk-rules", "wk-alert"];

/// All that a core may use beside the cores below it.
const CORE_ALLOWED: &[&str] = &[
    "adler2",
    "base64",
    "bytes",
    "crc32fast",
    "foldhash",
    "hashbrown",
    "md-5",
    "regex",
    "saphyr-parser",
    "serde",
    "sha1",
    "thiserror",
    "tracing",
];

/// Crates of the development alone: nobody ships with them.
const DEVELOPMENT: &[&str] = &["wk-sim", "wk-peers", "xtask"];

/// Never in the tree, with the reason.
const BANNED: &[(&str, &str)] = &[
    ("openssl-sys", "TLS is rustls with ring"),
    ("native-tls", "TLS is rustls with ring"),
    ("aws-lc-sys", "TLS is rustls with ring: no C tool chain in a musl build"),
    ("aws-lc-rs", "TLS is rustls with ring"),
    ("async-std", "one async runtime: tokio"),
];

/// What a core's clippy.toml must forbid.
const CORE_BANS: &[&str] = &[
    "std::time::Instant::now",
    "std::time::SystemTime::now",
    "std::thread::spawn",
    "std::thread::sleep",
    "std::collections::HashMap",
    "std::collections::HashSet",
    "std::fs::File",
];

/// Checks the dependencies that `cargo metadata` gives.
pub(super) fn check(metadata: &Value) -> Result<Vec<String>> {
    let packages = metadata["packages"].as_array().context("cargo metadata without packages")?;
    let mut complaints = Vec::new();
    for package in packages {
        let name = package["name"].as_str().unwrap_or_default();
        if let Some((_, why)) = BANNED.iter().find(|(banned, _)| *banned == name) {
            complaints.push(format!("Cargo.lock: {name} is banned: {why}"));
        }
        // Only crates of this workspace have no registry source.
        if package["source"].is_null() {
            complaints.extend(check_crate(name, package));
        }
    }
    for core in CORES {
        complaints.extend(check_core_lints(core)?);
    }
    Ok(complaints)
}

fn check_crate(name: &str, package: &Value) -> Vec<String> {
    let Some((_, allowed)) = LAYERS.iter().find(|(known, _)| *known == name) else {
        return vec![format!("{name}: not on the map (xtask/src/tidy/layers.rs, ARCHITECTURE.md)")];
    };
    let mut complaints = Vec::new();
    let dependencies = package["dependencies"].as_array().map(Vec::as_slice).unwrap_or_default();
    for dependency in dependencies {
        let other = dependency["name"].as_str().unwrap_or_default();
        let is_ours = LAYERS.iter().any(|(known, _)| *known == other);
        if dependency["kind"] == "dev" {
            continue;
        }
        if DEVELOPMENT.contains(&other) && !DEVELOPMENT.contains(&name) {
            complaints.push(format!("{name}: {other} is for development only"));
        } else if is_ours && !allowed.contains(&other) {
            complaints.push(format!("{name}: the arrow to {other} does not point down"));
        } else if !is_ours && CORES.contains(&name) && !CORE_ALLOWED.contains(&other) {
            complaints.push(format!("{name}: a core may not use {other}"));
        }
    }
    complaints
}

fn check_core_lints(core: &str) -> Result<Vec<String>> {
    let dir = workspace_root().join("crates").join(core);
    if !dir.exists() {
        return Ok(Vec::new());
    }
    let path = dir.join("clippy.toml");
    let text = match fs::read_to_string(&path) {
        Ok(text) => text,
        Err(err) if err.kind() == std::io::ErrorKind::NotFound => String::new(),
        Err(err) => return Err(err).with_context(|| format!("read {}", path.display())),
    };
    let missing = CORE_BANS.iter().filter(|ban| !text.contains(&format!("\"{ban}\"")));
    Ok(missing.map(|ban| format!("crates/{core}/clippy.toml does not forbid {ban}")).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn an_arrow_upwards_a_stranger_in_a_core_and_a_test_crate_shipped_are_found() {
        let package = json!({ "dependencies": [
            { "name": "wk-tree", "kind": null }, { "name": "tokio", "kind": null },
            { "name": "wk-peers", "kind": null }, { "name": "wk-sim", "kind": "dev" },
            { "name": "thiserror", "kind": null },
        ]});
        let complaints = check_crate("wk-proto", &package);
        assert_eq!(
            complaints,
            [
                "wk-proto: the arrow to wk-tree does not point down",
                "wk-proto: a core may not use tokio",
                "wk-proto: wk-peers is for development only",
            ]
        );
    }

    #[test]
    fn every_arrow_of_the_map_points_to_an_earlier_crate() {
        for (at, (name, allowed)) in LAYERS.iter().enumerate() {
            for other in *allowed {
                let below = LAYERS[..at].iter().any(|(known, _)| known == other);
                assert!(below, "{name} -> {other}");
            }
        }
    }
}

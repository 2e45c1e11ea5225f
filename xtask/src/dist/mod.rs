//! `cargo xtask dist`: what is handed to users, in one folder.
//!
//! A static binary where the musl target can be had (else one for this system, and the command says
//! so), completions, man pages, systemd units, an OCI image of the static binary, and checksums.

mod oci;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, ensure};
use sha2::{Digest, Sha256};
use wk_peers::cache::workspace_root;
use wk_peers::process::run as run_tool;

/// The target of the static binary.
const STATIC: &str = "x86_64-unknown-linux-musl";
const SHELLS: [(&str, &str); 3] =
    [("bash", "watchkeeper.bash"), ("zsh", "_watchkeeper"), ("fish", "watchkeeper.fish")];

#[derive(Debug, clap::Args)]
pub(crate) struct DistArgs {
    /// Where everything goes; what is there is replaced
    #[arg(long, default_value = "target/dist")]
    out: PathBuf,
}

/// Builds and gathers everything.
pub(crate) fn run(args: &DistArgs) -> Result<()> {
    let out = workspace_root().join(&args.out);
    if out.exists() {
        fs::remove_dir_all(&out).with_context(|| format!("empty {}", out.display()))?;
    }
    fs::create_dir_all(&out)?;
    let is_static = target_is_there();
    if !is_static {
        println!(
            "not static: rustup cannot add {STATIC} here; the binary is linked with this \
             system's libraries, and there is no image"
        );
    }
    let built = build(is_static)?;
    let binary = out.join("watchkeeper");
    fs::copy(&built, &binary).with_context(|| format!("copy {}", built.display()))?;
    if is_static {
        ensure_static(&binary)?;
        oci::write(&binary, &out.join("watchkeeper-oci.tar"))?;
    }
    generated(&binary, &out)?;
    for unit in ["watchkeeper-server.service", "watchkeeper-server.socket"] {
        fs::copy(workspace_root().join("packaging").join(unit), out.join(unit))?;
    }
    let sums = checksums(&out)?;
    fs::write(out.join("SHA256SUMS"), &sums)?;
    print!("{sums}");
    println!("{}: {} MiB", binary.display(), fs::metadata(&binary)?.len() >> 20);
    Ok(())
}

/// Has rustup the target, or can it get it?
fn target_is_there() -> bool {
    let mut command = Command::new("rustup");
    run_tool("rustup", command.args(["target", "add", STATIC])).is_ok()
}

fn build(is_static: bool) -> Result<PathBuf> {
    let mut command = Command::new(env!("CARGO"));
    command.args(["build", "--release", "--package", "watchkeeper"]);
    if is_static {
        // What little C there is needs no libc: the system's compiler will do.
        command.args(["--target", STATIC]).env("CC_x86_64_unknown_linux_musl", "cc");
    }
    let status = command.current_dir(workspace_root()).status().context("run cargo")?;
    ensure!(status.success(), "the build failed");
    let target = std::env::var_os("CARGO_TARGET_DIR")
        .map_or_else(|| workspace_root().join("target"), PathBuf::from);
    let folder = if is_static { target.join(STATIC) } else { target };
    Ok(folder.join("release/watchkeeper"))
}

/// A static executable names no interpreter: nothing of the system has to load it.
fn ensure_static(binary: &Path) -> Result<()> {
    let mut command = Command::new("readelf");
    let headers = run_tool("readelf", command.args(["--program-headers", "--wide"]).arg(binary))?;
    ensure!(!headers.contains("INTERP"), "the binary is not static:\n{headers}");
    Ok(())
}

/// Completions and man pages, made by the binary itself.
fn generated(binary: &Path, out: &Path) -> Result<()> {
    let completions = out.join("completions");
    fs::create_dir_all(&completions)?;
    for (shell, name) in SHELLS {
        let mut command = Command::new(binary);
        let script = run_tool("completion", command.args(["completion", shell]))?;
        fs::write(completions.join(name), script)?;
    }
    let pages = out.join("man");
    let mut command = Command::new(binary);
    run_tool("man", command.arg("man").arg(&pages))?;
    let count = fs::read_dir(&pages)?.count();
    ensure!(count > 10, "{count} man pages");
    Ok(())
}

/// The digest of every file below, in the form that `sha256sum --check` reads.
fn checksums(out: &Path) -> Result<String> {
    let mut files = Vec::new();
    let mut folders = vec![out.to_path_buf()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder)? {
            let entry = entry?;
            if entry.file_type()?.is_dir() {
                folders.push(entry.path());
            } else {
                files.push(entry.path());
            }
        }
    }
    files.sort();
    let line = |file: &PathBuf| {
        let name = file.strip_prefix(out)?.display().to_string();
        Ok(format!("{}  {name}\n", hex(&fs::read(file)?)))
    };
    files.iter().map(line).collect()
}

/// SHA-256 in hexadecimal.
fn hex(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect()
}

//! Finds the commit and its date for the version string; a source tree without git has neither.

use std::process::Command;

fn git(args: &[&str]) -> Option<String> {
    let output = Command::new("git").args(args).output().ok()?;
    let text = String::from_utf8(output.stdout).ok()?;
    (output.status.success() && !text.trim().is_empty()).then(|| text.trim().to_owned())
}

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    println!("cargo::rerun-if-env-changed=WATCHKEEPER_COMMIT");
    println!("cargo::rerun-if-env-changed=WATCHKEEPER_COMMIT_DATE");
    // A debug build would be linked anew at every commit if it followed them.
    let release = std::env::var("PROFILE").is_ok_and(|profile| profile == "release");
    if release && let Some(head) = git(&["rev-parse", "--git-path", "logs/HEAD"]) {
        println!("cargo::rerun-if-changed={head}");
    }
    let found = |variable, args: &[&str], or: &str| {
        let given = std::env::var(variable).ok();
        given.or_else(|| release.then(|| git(args)).flatten()).unwrap_or_else(|| or.to_owned())
    };
    let commit = found("WATCHKEEPER_COMMIT", &["rev-parse", "--short=12", "HEAD"], "dev");
    let args = ["log", "-1", "--format=%cd", "--date=format-local:%Y-%m-%d %H:%M UTC"];
    let date = found("WATCHKEEPER_COMMIT_DATE", &args, "1970-01-01 00:00 UTC");
    println!("cargo::rustc-env=WATCHKEEPER_COMMIT={commit}");
    println!("cargo::rustc-env=WATCHKEEPER_COMMIT_DATE={date}");
}

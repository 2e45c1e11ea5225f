//! `watchkeeper rules`: rule files checked, tested and exported, without a monitor.

mod check;
mod export;
mod test;

use std::fs::File;
use std::io::Read as _;
use std::path::Path;
use std::process::ExitCode;

use anyhow::Context;
use clap::Subcommand;
use serde::Serialize;
use wk_rules::{FILE_BYTES_MAX, RuleError, RuleErrors};

use crate::print;
use crate::shell::output::{self, Format};

/// Check, test and export alerting rules in Prometheus' format
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  watchkeeper rules check my-rules.yml
  watchkeeper rules test my-rules.test.yml
  watchkeeper rules export --zookeeper 3.10 -o zookeeper-rules.yml")]
pub(crate) struct Args {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    Check(check::Args),
    Test(test::Args),
    Export(export::Args),
}

pub(crate) fn run(args: &Args) -> anyhow::Result<ExitCode> {
    match &args.verb {
        Verb::Check(args) => check::run(args),
        Verb::Test(args) => test::run(args),
        Verb::Export(args) => export::run(args),
    }
}

/// The text of a rule or test file; one that is larger than any that is accepted is not read.
fn read(path: &Path) -> anyhow::Result<String> {
    let mut bytes = Vec::new();
    let limit = u64::try_from(FILE_BYTES_MAX).unwrap_or(u64::MAX) + 1;
    let file = File::open(path).with_context(|| format!("open {}", path.display()))?;
    file.take(limit).read_to_end(&mut bytes).with_context(|| format!("read {}", path.display()))?;
    String::from_utf8(bytes).with_context(|| format!("{}: not UTF-8", path.display()))
}

/// An error of a file, for JSON.
#[derive(Debug, Serialize)]
struct ErrorJson {
    file: String,
    line: usize,
    group: Option<String>,
    rule: Option<String>,
    key: Option<String>,
    reason: String,
}

impl From<RuleError> for ErrorJson {
    fn from(error: RuleError) -> Self {
        let RuleError { file, line, group, rule, key, reason } = error;
        Self { file, line, group, rule, key, reason }
    }
}

/// Why a file was not read or not understood.
fn errors_json(path: &Path, error: anyhow::Error) -> Vec<ErrorJson> {
    match error.downcast::<RuleErrors>() {
        Ok(errors) => errors.0.into_iter().map(ErrorJson::from).collect(),
        Err(error) => vec![ErrorJson {
            file: path.display().to_string(),
            line: 0,
            group: None,
            rule: None,
            key: None,
            reason: format!("{error:#}"),
        }],
    }
}

/// Prints the reports: as text, or as JSON of this key.
fn show<T: Serialize>(
    reports: &[T],
    format: Format,
    text: impl Fn(&T) -> String,
) -> anyhow::Result<()> {
    let out = match format {
        Format::Json => output::json(&serde_json::json!({ "files": reports }))?,
        Format::Jsonl => {
            let mut lines = String::new();
            for report in reports {
                lines.push_str(&output::jsonl(report)?);
            }
            lines
        }
        Format::Table | Format::Raw => reports.iter().map(text).collect(),
    };
    print::bytes(out.as_bytes())?;
    Ok(())
}

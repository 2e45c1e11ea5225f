//! `watchkeeper rules check FILES`: would these files be taken?

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use serde::Serialize;
use wk_rules::RuleFile;

use super::{ErrorJson, errors_json, read, show};
use crate::shell::output::OutputArg;

/// Check rule files, as promtool does, and that Watchkeeper can evaluate them
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  watchkeeper rules check rules.yml more-rules.yml
  watchkeeper rules check -o json rules.yml | jq '.files[].errors[]'

Exit codes: 0 all files are good, 1 at least one is refused")]
pub(crate) struct Args {
    /// Rule files
    #[arg(required = true)]
    files: Vec<PathBuf>,
    #[command(flatten)]
    out: OutputArg,
}

#[derive(Debug, Serialize)]
struct Report {
    file: String,
    /// How many rules it has; 0 where it is refused.
    rules: usize,
    errors: Vec<ErrorJson>,
    #[serde(skip)]
    text: String,
}

pub(super) fn run(args: &Args) -> anyhow::Result<ExitCode> {
    let reports: Vec<Report> = args.files.iter().map(|path| check(path)).collect();
    show(&reports, args.out.output, |report| report.text.clone())?;
    let is_good = reports.iter().all(|report| report.errors.is_empty());
    Ok(if is_good { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn check(path: &Path) -> Report {
    let file = path.display().to_string();
    let parsed = read(path).and_then(|text| Ok(RuleFile::parse(&file, &text)?));
    match parsed {
        Ok(parsed) => {
            let rules = parsed.rules().count();
            let text = format!("Checking {file}\n  SUCCESS: {rules} rules found\n");
            Report { file, rules, errors: Vec::new(), text }
        }
        Err(error) => {
            let text = format!("Checking {file}\n  FAILED:\n{error:#}\n");
            Report { file, rules: 0, errors: errors_json(path, error), text }
        }
    }
}

//! `watchkeeper rules test FILES`: promtool's unit tests, with promtool's verdicts.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::Context;
use regex::Regex;
use serde::Serialize;
use wk_rules::{RuleFile, UnitFile};

use super::{ErrorJson, errors_json, read, show};
use crate::exit::{Code, CodeExt};
use crate::print;
use crate::shell::output::OutputArg;

/// Run unit test files for rules, in promtool's format
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  watchkeeper rules test rules.test.yml
  watchkeeper rules test --run 'leader|quorum' rules.test.yml
  watchkeeper rules test -o json rules.test.yml | jq '.files[].tests[]'

The rule files are those that the test file names, relative to it. `for` counts, not
watchkeeper_for: verdicts and exit codes are promtool's.

Exit codes: 0 all tests succeed, 1 one fails or a file is refused")]
pub(crate) struct Args {
    /// Unit test files
    #[arg(required = true)]
    files: Vec<PathBuf>,
    /// Only tests whose name matches this regular expression (repeatable)
    #[arg(long, value_name = "REGEX")]
    run: Vec<String>,
    #[command(flatten)]
    out: OutputArg,
}

#[derive(Debug, Serialize)]
struct Report {
    file: String,
    success: bool,
    errors: Vec<ErrorJson>,
    tests: Vec<TestJson>,
}

#[derive(Debug, Serialize)]
struct TestJson {
    test: String,
    success: bool,
    failures: Vec<String>,
}

pub(super) fn run(args: &Args) -> anyhow::Result<ExitCode> {
    let pattern = args.run.join("|");
    let chosen = Regex::new(&pattern).context("--run").code(Code::Usage)?;
    let reports: Vec<Report> = args.files.iter().map(|path| test(path, &chosen)).collect();
    show(&reports, args.out.output, text)?;
    let is_good = reports.iter().all(|report| report.success);
    Ok(if is_good { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn test(path: &Path, chosen: &Regex) -> Report {
    let file = path.display().to_string();
    match outcomes(path, chosen) {
        Ok(tests) => {
            let success = tests.iter().all(|test| test.success);
            Report { file, success, errors: Vec::new(), tests }
        }
        Err(error) => {
            let errors = errors_json(path, error);
            Report { file, success: false, errors, tests: Vec::new() }
        }
    }
}

fn outcomes(path: &Path, chosen: &Regex) -> anyhow::Result<Vec<TestJson>> {
    let unit = UnitFile::parse(&path.display().to_string(), &read(path)?)?;
    // Each file once, however many patterns find it.
    let mut rules = BTreeMap::new();
    for pattern in &unit.rule_files {
        for found in files(path, pattern)? {
            let name = found.display().to_string();
            let parsed = RuleFile::parse(&name, &read(&found)?)?;
            rules.insert(name, parsed);
        }
    }
    let rules: Vec<RuleFile> = rules.into_values().collect();
    let outcomes = unit.run(&rules, &|name| chosen.is_match(name));
    Ok(outcomes
        .into_iter()
        .map(|outcome| TestJson {
            test: outcome.test,
            success: outcome.failures.is_empty(),
            failures: outcome.failures,
        })
        .collect())
}

/// The files that a pattern names, relative to the test file.
fn files(test: &Path, pattern: &str) -> anyhow::Result<Vec<PathBuf>> {
    let whole = test.parent().unwrap_or(Path::new("")).join(pattern);
    let found =
        glob::glob(&whole.to_string_lossy()).with_context(|| format!("rule_files: {pattern}"))?;
    let found: Vec<PathBuf> = found.collect::<Result<_, _>>().context("rule_files")?;
    if found.is_empty() {
        print::note(&format!("warning: no file matches {}", whole.display()));
    }
    Ok(found)
}

fn text(report: &Report) -> String {
    let mut text = format!("Unit Testing:  {}\n", report.file);
    // Writing to a string cannot fail.
    if report.success {
        text.push_str("  SUCCESS\n\n");
        return text;
    }
    text.push_str("  FAILED:\n");
    for error in &report.errors {
        let ErrorJson { file, line, reason, .. } = error;
        let place: Vec<&str> =
            [&error.rule, &error.key].into_iter().flatten().map(String::as_str).collect();
        let _ = writeln!(text, "    {file}:{line}: {}: {reason}", place.join(": "));
    }
    for test in report.tests.iter().filter(|test| !test.success) {
        let _ = writeln!(text, "  test {}", test.test);
        for failure in &test.failures {
            let _ = writeln!(text, "{failure}");
        }
    }
    text.push('\n');
    text
}

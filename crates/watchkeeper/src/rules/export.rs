//! `watchkeeper rules export`: the shipped rules, or one's own, for a Prometheus outside.

use std::fs;
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context, anyhow};
use wk_rules::{Form, RuleFile, Spelling, Thresholds, Which, export, export_files};

use super::read;
use crate::exit::Code;
use crate::print;

/// Write rules for a Prometheus outside
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  watchkeeper rules export -o zookeeper.yml             (the shipped alerts)
  watchkeeper rules export --zookeeper 3.10             (counters end in _total)
  watchkeeper rules export --format prometheusrule | kubectl apply -f -
  watchkeeper rules export --set ZkFollowerLag.txns=5000 --set prod/ZkFsyncSlow.millis=20
  watchkeeper rules export --only recording
  watchkeeper rules export --zookeeper 3.10 my-rules.yml

Prometheus needs the label `ensemble` on what it scrapes: see docs/rules.md.")]
pub(crate) struct Args {
    /// Files of one's own, instead of the shipped rules
    #[arg(conflicts_with_all = ["only", "set"])]
    files: Vec<PathBuf>,
    /// Whose spelling of metrics
    #[arg(long, value_enum, default_value = "3.9", value_name = "VERSION")]
    zookeeper: Version,
    /// In which form
    #[arg(long, value_enum, default_value = "prometheus", value_name = "FORM")]
    format: FormArg,
    /// Which of the shipped rules
    #[arg(long, value_enum, default_value = "alerts", value_name = "WHICH")]
    only: Only,
    /// Change a threshold: [ENSEMBLE/]RULE.KEY=VALUE (repeatable)
    #[arg(long, value_name = "THRESHOLD")]
    set: Vec<String>,
    /// Write to this file instead of stdout
    #[arg(short, long, value_name = "FILE")]
    output: Option<PathBuf>,
}

#[derive(Clone, Copy, Debug, clap::ValueEnum)]
enum Version {
    /// ZooKeeper 3.6 to 3.9, and Watchkeeper
    #[value(name = "3.9")]
    V39,
    /// ZooKeeper 3.10
    #[value(name = "3.10")]
    V310,
}

#[derive(Clone, Copy, Debug, clap::ValueEnum)]
enum FormArg {
    /// A rule file
    Prometheus,
    /// An object of the Prometheus operator
    Prometheusrule,
}

#[derive(Clone, Copy, Debug, clap::ValueEnum)]
enum Only {
    /// The alerting rules
    Alerts,
    /// The recording rules
    Recording,
    /// Both
    All,
}

pub(super) fn run(args: &Args) -> anyhow::Result<ExitCode> {
    let spelling = match args.zookeeper {
        Version::V39 => Spelling::ZooKeeper39,
        Version::V310 => Spelling::ZooKeeper310,
    };
    let form = match args.format {
        FormArg::Prometheus => Form::Prometheus,
        FormArg::Prometheusrule => Form::PrometheusRule,
    };
    let text = if args.files.is_empty() {
        let which = match args.only {
            Only::Alerts => Which::Alerts,
            Only::Recording => Which::Recordings,
            Only::All => Which::All,
        };
        export(which, &thresholds(&args.set)?, spelling, form)
    } else {
        let mut files = Vec::new();
        for path in &args.files {
            files.push(RuleFile::parse(&path.display().to_string(), &read(path)?)?);
        }
        export_files(&files, spelling, form)
    };
    match &args.output {
        Some(path) => fs::write(path, text).with_context(|| format!("write {}", path.display()))?,
        None => print::bytes(text.as_bytes())?,
    }
    Ok(ExitCode::SUCCESS)
}

fn thresholds(settings: &[String]) -> anyhow::Result<Thresholds> {
    let mut thresholds = Thresholds::default();
    for setting in settings {
        set(&mut thresholds, setting)
            .map_err(|error| Code::Usage.of(error.context(format!("--set {setting}"))))?;
    }
    Ok(thresholds)
}

fn set(thresholds: &mut Thresholds, setting: &str) -> anyhow::Result<()> {
    let (name, value) =
        setting.split_once('=').ok_or_else(|| anyhow!("RULE.KEY=VALUE expected"))?;
    let (ensemble, name) = match name.rsplit_once('/') {
        Some((ensemble, name)) => (Some(ensemble), name),
        None => (None, name),
    };
    let (rule, key) = name.split_once('.').ok_or_else(|| anyhow!("RULE.KEY=VALUE expected"))?;
    Ok(thresholds.set(ensemble, rule, key, value)?)
}

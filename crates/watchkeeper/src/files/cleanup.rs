//! `watchkeeper cleanup`: old snapshots and logs away (`PurgeTxnLog`, 3.9).

use std::path::PathBuf;
use std::process::ExitCode;

use wk_store::{open_dirs_to_check, purge};

use crate::files::failed;
use crate::print;
use crate::shell::output::{self, Format, OutputArg};

/// Remove old snapshots and txn logs, and keep what the newest N snapshots need
///
/// A snapshot counts as kept when every byte of it is right. While a server runs on the directory,
/// use its autopurge keys instead: this refuses.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  watchkeeper cleanup /var/lib/zookeeper -n 3
  watchkeeper cleanup /var/lib/zookeeper-logs /var/lib/zookeeper -n 5
  zkCleanup.sh /var/lib/zookeeper -n 3")]
pub(crate) struct Args {
    /// dataLogDir; also dataDir, where there is no other
    #[arg(value_name = "DIR")]
    logs: PathBuf,
    /// dataDir, where it is another one
    #[arg(value_name = "SNAPSHOT_DIR")]
    snapshots: Option<PathBuf>,
    /// How many snapshots to keep
    #[arg(short = 'n', long, value_name = "N", value_parser = clap::value_parser!(u32).range(3..))]
    count: u32,
    #[command(flatten)]
    output: OutputArg,
}

pub(crate) fn run(args: &Args) -> anyhow::Result<ExitCode> {
    let data = args.snapshots.as_ref().unwrap_or(&args.logs);
    let dirs = open_dirs_to_check(data, Some(&args.logs)).map_err(failed)?;
    let keep = usize::try_from(args.count)?;
    let report = purge(&dirs, keep).map_err(failed)?;
    let shown = match args.output.output {
        Format::Table | Format::Raw => {
            let line = |name: &String| format!("Removing file: {name}\n");
            report.removed.iter().map(line).collect()
        }
        Format::Json | Format::Jsonl => {
            let kept: Vec<_> = report.kept.iter().map(ToString::to_string).collect();
            let value = serde_json::json!({ "removed": report.removed, "kept": kept });
            output::jsonl(&value)?
        }
    };
    print::bytes(shown.as_bytes())?;
    Ok(ExitCode::SUCCESS)
}

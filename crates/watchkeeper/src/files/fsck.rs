//! `watchkeeper fsck`: every checksum and digest of a data directory, and a repair that says its
//! price first.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use serde::Serialize;
use wk_store::fsck::{self, Fsck, LogCheck, SnapshotCheck, Step};
use wk_store::{Dirs, open_dirs_to_check};

use crate::exit::{Code, CodeExt};
use crate::files::progress::Progress;
use crate::files::{ask, failed};
use crate::print;
use crate::shell::output::{self, Format, OutputArg};

/// Check every checksum and digest of a data directory; repair it if asked
///
/// Nothing is changed without --repair. What a repair cuts or moves away is kept in a new directory
/// fsck-TIME beside version-2. The server must not run meanwhile.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Exit: 0 clean, or clean after the repair; 10 damaged; 3 no such directory, or a server runs on it.

Examples:
  watchkeeper fsck /var/lib/zookeeper
  watchkeeper fsck /var/lib/zookeeper --log-dir /var/lib/zookeeper-logs -o json
  watchkeeper fsck /var/lib/zookeeper --repair          # says what would be lost, then asks
  watchkeeper fsck /var/lib/zookeeper --repair --yes")]
pub(crate) struct Args {
    /// dataDir, or its version-2
    #[arg(value_name = "DIR")]
    dir: PathBuf,
    /// dataLogDir, where it is another one
    #[arg(long, value_name = "DIR")]
    log_dir: Option<PathBuf>,
    /// Make it so that a server starts again, after asking
    #[arg(long)]
    repair: bool,
    /// Do not ask
    #[arg(short, long, requires = "repair")]
    yes: bool,
    #[command(flatten)]
    output: OutputArg,
}

/// Exit code of a directory that is damaged.
const DAMAGED: u8 = 10;

pub(crate) fn run(args: &Args) -> anyhow::Result<ExitCode> {
    let dirs = open_dirs_to_check(&args.dir, args.log_dir.as_deref()).map_err(failed)?;
    let found = check(&dirs)?;
    if !args.repair || found.steps.is_empty() {
        return show(&found, None, args.output.output);
    }
    if args.output.output == Format::Table {
        print::bytes(text(&found).as_bytes())?;
    }
    if !args.yes && !matches!(ask("Repair? [y/N]")?.as_str(), "y" | "yes") {
        print::note("Nothing was changed.");
        return Ok(ExitCode::from(DAMAGED));
    }
    let backup = backup_dir(&dirs)?;
    fsck::repair(&dirs, &found, &backup).map_err(failed)?;
    print::note(&format!("Repaired; what was taken is in {}", backup.display()));
    show(&check(&dirs)?, Some(&backup), args.output.output)
}

fn check(dirs: &Dirs) -> anyhow::Result<Fsck> {
    let bar = Progress::new();
    fsck::check(dirs, &mut |file, done, total| bar.at(file, done, total)).map_err(failed)
}

/// A directory beside the logs' version-2 that is not there yet.
fn backup_dir(dirs: &Dirs) -> anyhow::Result<PathBuf> {
    let logs = dirs.logs.path("");
    let parent = logs.parent().map_or_else(|| PathBuf::from("."), Path::to_path_buf);
    let now = jiff::Timestamp::now().strftime("%Y%m%dT%H%M%S%3fZ").to_string();
    let dir = parent.join(format!("fsck-{now}"));
    if dir.exists() {
        return Err(anyhow::anyhow!("{} is there already", dir.display())).code(Code::Conflict);
    }
    Ok(dir)
}

fn show(found: &Fsck, backup: Option<&Path>, format: Format) -> anyhow::Result<ExitCode> {
    let shown = match format {
        Format::Table | Format::Raw => text(found),
        Format::Json => output::json(&FsckJson::new(found, backup))?,
        Format::Jsonl => output::jsonl(&FsckJson::new(found, backup))?,
    };
    print::bytes(shown.as_bytes())?;
    Ok(if found.is_clean() { ExitCode::SUCCESS } else { ExitCode::from(DAMAGED) })
}

fn text(found: &Fsck) -> String {
    let mut out = String::new();
    let mut line = |text: String| {
        let _ = writeln!(out, "{text}");
    };
    for s in &found.snapshots {
        let counts = format!("{} bytes, {} znodes, {} sessions", s.len, s.znodes, s.sessions);
        line(format!("{:<24} {counts}: {}", s.name, state_of(s).join("; ")));
    }
    for log in &found.logs {
        let range = match (log.first, log.last) {
            (Some(first), Some(last)) => format!("{} txns {first} to {last}", log.txns),
            _ => "no txn".to_owned(),
        };
        line(format!("{:<24} {} bytes, {range}: {}", log.name, log.len, damage_of(log)));
    }
    match (&found.refused, found.last_zxid) {
        (Some(why), _) => line(format!("A start is refused: {why}")),
        (None, Some(last)) => line(format!("A start serves what is there up to {last}.")),
        (None, None) => {}
    }
    if let Some(why) = &found.hopeless {
        line(format!("No repair helps here; restore a snapshot from a backup: {why}"));
    }
    if !found.steps.is_empty() {
        line("A repair would, with a copy of each file first:".to_owned());
        found.steps.iter().for_each(|step| line(format!("  {}", sentence(step))));
        if let Some(last) = found.last_zxid {
            line(format!("and serve what is there up to {last}. {}", loss(found)));
        }
    }
    line(if found.is_clean() { "clean" } else { "DAMAGED" }.to_owned());
    out
}

fn state_of(snapshot: &SnapshotCheck) -> Vec<String> {
    let mut said = Vec::new();
    said.extend(snapshot.problem.clone());
    if snapshot.digest_mismatches > 0 {
        said.push(format!("{} digests differ", snapshot.digest_mismatches));
    }
    said.extend(snapshot.stuck.as_ref().map(|why| format!("the logs do not lead on: {why}")));
    if said.is_empty() {
        said.push("seals and digests are right".to_owned());
    }
    said
}

fn damage_of(log: &LogCheck) -> String {
    if let Some(problem) = &log.problem {
        return problem.clone();
    }
    if log.bad.is_empty() {
        return "checksums are right".to_owned();
    }
    let place = |b: &fsck::Bad| format!("{} at {}, after {}", b.what, b.offset, b.after);
    let places: Vec<_> = log.bad.iter().map(place).collect();
    let note = if log.continued { " (a crash left it so, the next log goes on)" } else { "" };
    places.join("; ") + note
}

fn sentence(step: &Step) -> String {
    match step {
        Step::Header { file } => format!("give {file} the header that every log has"),
        Step::Cut { file, offset, len } => format!("cut {file} at {offset} of {len} bytes"),
        Step::MoveAway { file, why } => format!("move {file} away: {why}"),
    }
}

fn loss(found: &Fsck) -> String {
    let lost = &found.lost;
    let whole = match (lost.first, lost.last) {
        (Some(first), Some(last)) if lost.txns > 0 => {
            format!("{} whole txns, {first} to {last}", lost.txns)
        }
        _ => "no whole txn".to_owned(),
    };
    format!("Lost by that: {whole}; places that cannot be read: {}.", lost.unreadable)
}

#[derive(Debug, Serialize)]
struct FsckJson<'a> {
    clean: bool,
    snapshots: Vec<serde_json::Value>,
    logs: Vec<serde_json::Value>,
    last_zxid: Option<String>,
    refused: &'a Option<String>,
    hopeless: &'a Option<String>,
    steps: Vec<serde_json::Value>,
    lost: serde_json::Value,
    #[serde(skip_serializing_if = "Option::is_none")]
    backup: Option<String>,
}

impl<'a> FsckJson<'a> {
    fn new(found: &'a Fsck, backup: Option<&Path>) -> Self {
        use serde_json::json;
        let text = |zxid: Option<wk_proto::Zxid>| zxid.map(|zxid| zxid.to_string());
        let snapshot = |s: &SnapshotCheck| {
            json!({
                "file": s.name, "bytes": s.len, "znodes": s.znodes, "sessions": s.sessions,
                "problem": s.problem, "digest_mismatches": s.digest_mismatches, "stuck": s.stuck,
            })
        };
        let bad = |bad: &fsck::Bad| {
            let after = bad.after.to_string();
            json!({ "offset": bad.offset, "what": bad.what, "after": after })
        };
        let log = |log: &LogCheck| {
            json!({
                "file": log.name, "bytes": log.len, "end": log.end, "txns": log.txns,
                "first": text(log.first), "last": text(log.last), "problem": log.problem,
                "bad": log.bad.iter().map(bad).collect::<Vec<_>>(), "continued": log.continued,
            })
        };
        let step = |step: &Step| match step {
            Step::Header { file } => json!({ "step": "header", "file": file }),
            Step::Cut { file, offset, len } => {
                json!({ "step": "cut", "file": file, "offset": offset, "bytes": len })
            }
            Step::MoveAway { file, why } => json!({ "step": "move", "file": file, "why": why }),
        };
        let lost = &found.lost;
        Self {
            clean: found.is_clean(),
            snapshots: found.snapshots.iter().map(snapshot).collect(),
            logs: found.logs.iter().map(log).collect(),
            last_zxid: text(found.last_zxid),
            refused: &found.refused,
            hopeless: &found.hopeless,
            steps: found.steps.iter().map(step).collect(),
            lost: json!({
                "txns": lost.txns, "first": text(lost.first), "last": text(lost.last),
                "unreadable": lost.unreadable,
            }),
            backup: backup.map(|dir| dir.display().to_string()),
        }
    }
}

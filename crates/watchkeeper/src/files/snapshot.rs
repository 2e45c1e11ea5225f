//! `watchkeeper snapshot`: what is in a snapshot, and what differs between two
//! (`SnapshotFormatter`, `SnapshotComparer`, `SnapshotRecursiveSummary`, 3.9).

mod sizes;

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::anyhow;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use clap::Subcommand;
use serde_json::json;
use sizes::Sizes;
use wk_client::SessionId;
use wk_proto::{StatPersisted, Zxid};
use wk_store::{LoadedSnapshot, load_snapshot_file, snapshot_zxid};

use crate::exit::{Code, coded};
use crate::files::{split, stdout};
use crate::shell::output::{self, Format, OutputArg};

/// Exit code of a snapshot that is damaged.
const DAMAGED: u8 = 10;

/// Look into a snapshot, compare two, or sum one up
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  watchkeeper snapshot inspect version-2/snapshot.1f4
  watchkeeper snapshot inspect version-2/snapshot.1f4 -d -o jsonl
  watchkeeper snapshot summary version-2/snapshot.1f4 / 2
  watchkeeper snapshot compare -l old/snapshot.0 -r new/snapshot.1f4 -b 1024 -n 10")]
pub(crate) struct Args {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    Inspect(InspectArgs),
    Compare(CompareArgs),
    Summary(SummaryArgs),
}

/// Print every znode, the sessions, and the last zxid
#[derive(Debug, clap::Args)]
struct InspectArgs {
    /// The snapshot
    #[arg(value_name = "FILE")]
    file: PathBuf,
    /// Print the data too, as base64
    #[arg(short, long)]
    data: bool,
    #[command(flatten)]
    output: OutputArg,
}

/// Print where two snapshots differ by more than so many bytes or znodes
#[derive(Debug, clap::Args)]
struct CompareArgs {
    /// The one
    #[arg(short, long, value_name = "FILE")]
    left: PathBuf,
    /// The other
    #[arg(short, long, value_name = "FILE")]
    right: PathBuf,
    /// Print a znode whose subtree differs by more bytes than this
    #[arg(short, long, value_name = "BYTES", default_value_t = 0)]
    bytes: i64,
    /// Print a znode whose subtree differs by more znodes than this
    #[arg(short, long, value_name = "COUNT", default_value_t = 0)]
    nodes: i64,
    #[command(flatten)]
    output: OutputArg,
}

/// Sum up children and data below a znode
#[derive(Debug, clap::Args)]
struct SummaryArgs {
    /// The snapshot
    #[arg(value_name = "FILE")]
    file: PathBuf,
    /// Where to begin
    #[arg(value_name = "PATH", default_value = "/")]
    path: String,
    /// How deep to print; 0 is no limit. Sums always go to the bottom
    #[arg(value_name = "DEPTH", default_value_t = 0)]
    depth: usize,
    #[command(flatten)]
    output: OutputArg,
}

pub(crate) fn run(args: &Args) -> anyhow::Result<ExitCode> {
    match &args.verb {
        Verb::Inspect(args) => inspect(args),
        Verb::Compare(args) => compare(args),
        Verb::Summary(args) => summary(args),
    }
}

fn load(file: &Path) -> anyhow::Result<LoadedSnapshot> {
    let (disk, name) = split(file)?;
    load_snapshot_file(&disk, &name)
        .map_err(|err| coded(DAMAGED, anyhow!("{}: {err}", file.display())))
}

fn inspect(args: &InspectArgs) -> anyhow::Result<ExitCode> {
    let loaded = load(&args.file)?;
    let mut out = stdout();
    let name = args.file.file_name().and_then(|name| name.to_str()).unwrap_or_default();
    let mut last = snapshot_zxid(name).unwrap_or(Zxid::ZERO);
    let mut failed = Ok(());
    let table = args.output.output == Format::Table;
    if table {
        writeln!(out, "ZNode Details (count={}):", loaded.tree.counts().nodes)?;
    }
    loaded.tree.for_each_stored(|path, data, stat, stored| {
        last = last.max(stat.mzxid).max(stat.pzxid);
        if failed.is_ok() {
            let text = if table {
                znode_text(path, data, stored, args.data)
            } else {
                let data_b64 = args.data.then(|| data.map(|data| STANDARD.encode(data)));
                let stat = output::StatJson::from(stat);
                let mut value = json!({ "path": path, "stat": stat });
                if let Some(data) = data_b64 {
                    value["data_b64"] = json!(data);
                }
                format!("{value}\n")
            };
            failed = out.write_all(text.as_bytes());
        }
    });
    failed?;
    let sessions: Vec<_> = loaded.tree.sessions().collect();
    let ephemerals = |id: SessionId| loaded.tree.ephemerals(id, "/").len();
    if table {
        writeln!(out, "----\nSession Details (sid, timeout, ephemeralCount):")?;
        for (id, timeout) in sessions {
            writeln!(out, "{:#016x}, {timeout}, {}", id.0, ephemerals(id))?;
        }
        if let Some(digest) = &loaded.digest {
            writeln!(out, "Target zxid digest is: {:x}, {}", digest.zxid.0, digest.digest)?;
        }
        writeln!(out, "----\nLast zxid: {last}")?;
    } else {
        for (id, timeout) in sessions {
            let count = ephemerals(id);
            let value =
                json!({ "session": id.to_string(), "timeout_ms": timeout, "ephemerals": count });
            writeln!(out, "{value}")?;
        }
        let digest = loaded.digest.map(|digest| digest.digest.to_string());
        writeln!(out, "{}", json!({ "last_zxid": last.to_string(), "digest": digest }))?;
    }
    out.flush()?;
    Ok(ExitCode::SUCCESS)
}

fn znode_text(path: &str, data: Option<&[u8]>, stat: &StatPersisted, with_data: bool) -> String {
    let hex = |value: i64| format!("{value:#016x}");
    let content = if with_data {
        format!("data = {}", data.map(|data| STANDARD.encode(data)).unwrap_or_default())
    } else {
        format!("dataLength = {}", data.map_or(0, <[u8]>::len))
    };
    let lines = [
        format!("----\n{path}"),
        format!("  cZxid = {}", hex(stat.czxid.0)),
        format!("  ctime = {}", output::time(stat.ctime.0)),
        format!("  mZxid = {}", hex(stat.mzxid.0)),
        format!("  mtime = {}", output::time(stat.mtime.0)),
        format!("  pZxid = {}", hex(stat.pzxid.0)),
        format!("  cversion = {}", stat.cversion),
        format!("  dataVersion = {}", stat.version),
        format!("  aclVersion = {}", stat.aversion),
        format!("  ephemeralOwner = {}", hex(stat.ephemeral_owner)),
        format!("  {content}\n"),
    ];
    lines.join("\n")
}

fn summary(args: &SummaryArgs) -> anyhow::Result<ExitCode> {
    let sizes = Sizes::of(&load(&args.file)?.tree);
    let Some(node) = sizes.get(&args.path) else {
        return Err(Code::NoNode.of(anyhow!("{}: no such znode", args.path)));
    };
    let mut out = stdout();
    if args.output.output == Format::Table {
        out.write_all(sizes.summary(&args.path, args.depth).as_bytes())?;
    } else {
        let below = node.count - 1;
        let value = json!({ "path": args.path, "children": below, "data": node.bytes });
        writeln!(out, "{value}")?;
    }
    out.flush()?;
    Ok(ExitCode::SUCCESS)
}

fn compare(args: &CompareArgs) -> anyhow::Result<ExitCode> {
    let (left, right) = (Sizes::of(&load(&args.left)?.tree), Sizes::of(&load(&args.right)?.tree));
    let found = left.differences(&right, args.bytes, args.nodes);
    let mut out = stdout();
    if args.output.output == Format::Table {
        for (file, sizes) in [(&args.left, &left), (&args.right, &right)] {
            writeln!(out, "{}\n{}", file.display(), sizes.totals())?;
        }
        writeln!(
            out,
            "Znodes that differ by more than {} bytes or {} znodes:",
            args.bytes, args.nodes
        )?;
        for difference in &found {
            writeln!(out, "{difference}")?;
        }
        writeln!(out, "{} found", found.len())?;
    } else {
        for difference in &found {
            writeln!(out, "{}", difference.json())?;
        }
    }
    out.flush()?;
    Ok(ExitCode::SUCCESS)
}

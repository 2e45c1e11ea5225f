//! `watchkeeper txnlog`: a txn log read, put right or ended earlier (`TxnLogToolkit`, 3.9).

mod line;

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, anyhow};
use clap::Subcommand;
use wk_proto::Zxid;
use wk_proto::txn::Record;
use wk_store::{Disk, Head, LogReader, Next, Verdict, chop_log, recover_log};

use crate::exit::Code;
use crate::files::progress::Progress;
use crate::files::{ask, failed, split, stdout};
use crate::print;
use crate::shell::output::{Format, OutputArg};

/// Exit code of a log with a bad place.
const DAMAGED: u8 = 10;

/// Read, mend or chop a txn log
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  watchkeeper txnlog dump version-2/log.100000001
  watchkeeper txnlog dump version-2/log.1 -o jsonl | jq 'select(.type == \"delete\")'
  watchkeeper txnlog recover version-2/log.1 --yes
  watchkeeper txnlog chop version-2/log.1 --zxid 0x1f4")]
pub(crate) struct Args {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    Dump(DumpArgs),
    Recover(RecoverArgs),
    Chop(ChopArgs),
}

/// Print every txn, and where the log is damaged
#[derive(Debug, clap::Args)]
struct DumpArgs {
    /// The log
    #[arg(value_name = "FILE")]
    file: PathBuf,
    #[command(flatten)]
    output: OutputArg,
}

/// Copy a log to FILE.fixed with wrong checksums made right
///
/// A wrong checksum means that the bytes are not those that were written: look at each before you
/// believe it.
#[derive(Debug, clap::Args)]
struct RecoverArgs {
    /// The log
    #[arg(value_name = "FILE")]
    file: PathBuf,
    /// Make all right without asking
    #[arg(short, long)]
    yes: bool,
    /// Print all txns, not the bad ones alone
    #[arg(short, long)]
    verbose: bool,
}

/// Copy a log up to a txn to FILE.choppedZXID
#[derive(Debug, clap::Args)]
struct ChopArgs {
    /// The log
    #[arg(value_name = "FILE")]
    file: PathBuf,
    /// The last txn to keep, as 0x1f or 31
    #[arg(short, long, value_parser = zxid)]
    zxid: Zxid,
}

/// Hexadecimal behind 0x, else decimal.
fn zxid(text: &str) -> Result<Zxid, String> {
    let parsed = match text.strip_prefix("0x").or(text.strip_prefix("0X")) {
        Some(hex) => i64::from_str_radix(hex, 16),
        None => text.parse(),
    };
    parsed.map(Zxid).map_err(|_| format!("{text} is no zxid: 0x1f or 31"))
}

pub(crate) fn run(args: &Args) -> anyhow::Result<ExitCode> {
    match &args.verb {
        Verb::Dump(args) => dump(args),
        Verb::Recover(args) => recover(args),
        Verb::Chop(args) => chop(args),
    }
}

fn dump(args: &DumpArgs) -> anyhow::Result<ExitCode> {
    let (disk, name) = split(&args.file)?;
    let bar = Progress::new();
    let mut out = stdout();
    let table = args.output.output == Format::Table;
    let Head::Log(mut reader) = LogReader::open_named(&disk, &name).map_err(failed)? else {
        print::note(&format!("{name}: no record was ever written to it"));
        return Ok(ExitCode::SUCCESS);
    };
    let total = reader.len();
    let (mut txns, mut bad, mut last) = (0_u64, 0_u64, Zxid::ZERO);
    if table {
        writeln!(out, "ZooKeeper txn log, format version 2, {total} bytes")?;
    }
    loop {
        match reader.next(last).map_err(failed)? {
            Next::Record { offset, body } => {
                if txns.is_multiple_of(1_000) {
                    bar.at(&name, offset, total);
                }
                let record = Record::decode(body)
                    .with_context(|| format!("{name}: the record at {offset} is no txn"))?;
                last = last.max(record.header.zxid);
                txns += 1;
                let text = if table { line::text(&record) } else { line::json(&record, offset)? };
                writeln!(out, "{text}")?;
            }
            Next::End => break,
            Next::Bad(place) => {
                bad += 1;
                let what = place.what.to_string();
                let text = if table {
                    format!("BAD PLACE at offset {}: {what}", place.offset)
                } else {
                    let bad = serde_json::json!({ "offset": place.offset, "bad": what });
                    bad.to_string()
                };
                writeln!(out, "{text}")?;
                match place.follower {
                    Some(next) => reader.skip_to(next).map_err(failed)?,
                    None => break,
                }
            }
        }
    }
    if table {
        writeln!(out, "EOF reached after {txns} txns.")?;
    }
    out.flush()?;
    Ok(if bad == 0 { ExitCode::SUCCESS } else { ExitCode::from(DAMAGED) })
}

fn recover(args: &RecoverArgs) -> anyhow::Result<ExitCode> {
    let (disk, name) = split(&args.file)?;
    let target = format!("{name}.fixed");
    refuse_existing(&disk.path(&target))?;
    let total = disk.open(&name).and_then(|file| file.len()).unwrap_or(0);
    let bar = Progress::new();
    let mut trouble = None;
    let copied = recover_log(&disk, &name, &target, &mut |offset, body, good| {
        bar.at(&name, offset, total);
        let shown = match Record::decode(body) {
            Ok(record) => line::text(&record),
            Err(err) => format!("{} bytes at {offset} that are no txn: {err}", body.len()),
        };
        let state = match (good, args.yes) {
            (true, _) if args.verbose => "",
            (true, _) => return Verdict::Keep,
            (false, true) => "CRC FIXED - ",
            (false, false) => "CRC ERROR - ",
        };
        let printed = print::bytes(format!("{state}{shown}\n").as_bytes());
        let verdict = if good {
            Ok(Verdict::Keep)
        } else if args.yes {
            Ok(Verdict::Fix)
        } else {
            choose()
        };
        match printed.map_err(anyhow::Error::from).and(verdict) {
            Ok(verdict) => verdict,
            Err(err) => {
                trouble = Some(err);
                Verdict::Abort
            }
        }
    });
    let copied = copied.map_err(failed)?;
    if let Some(err) = trouble {
        return Err(err);
    }
    if copied.aborted {
        print::note("Recovery aborted; nothing was written.");
        return Ok(ExitCode::from(Code::Partly as u8));
    }
    let torn = if copied.torn { ", up to an end that is torn" } else { "" };
    let (txns, fixed) = (copied.txns, copied.fixed);
    print::note(&format!("{target}: {txns} txns, {fixed} with a new checksum{torn}"));
    Ok(ExitCode::SUCCESS)
}

fn choose() -> anyhow::Result<Verdict> {
    loop {
        match ask("Would you like to fix it (Yes/No/Abort) ?")?.chars().next() {
            Some('y') => return Ok(Verdict::Fix),
            Some('n') => return Ok(Verdict::Keep),
            // An end of input is no consent.
            Some('a') | None => return Ok(Verdict::Abort),
            Some(_) => {}
        }
    }
}

fn chop(args: &ChopArgs) -> anyhow::Result<ExitCode> {
    let (disk, name) = split(&args.file)?;
    // Apache's name has the zxid in decimal.
    let target = format!("{name}.chopped{}", args.zxid.0);
    refuse_existing(&disk.path(&target))?;
    let copied = chop_log(&disk, &name, &target, args.zxid).map_err(failed)?;
    if copied.aborted {
        let text = format!("{name}: bad checksum at offset {}; nothing was written", copied.end);
        return Err(crate::exit::coded(DAMAGED, anyhow!(text)));
    }
    if copied.last != Some(args.zxid) {
        disk.remove(&target).with_context(|| format!("remove {target}"))?;
        let text = format!("{name} does not contain zxid {}; nothing was written", args.zxid);
        return Err(Code::NoNode.of(anyhow!(text)));
    }
    print::note(&format!("{target}: {} txns, the last {}", copied.txns, args.zxid));
    Ok(ExitCode::SUCCESS)
}

fn refuse_existing(path: &Path) -> anyhow::Result<()> {
    if path.exists() {
        return Err(Code::Conflict.of(anyhow!("{} is there already", path.display())));
    }
    Ok(())
}

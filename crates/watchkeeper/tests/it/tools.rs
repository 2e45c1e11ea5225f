//! Our tools beside Apache's own on one directory that a 3.9.5 server wrote: the same facts.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use wk_peers::process::run;
use wk_peers::{Peer, java};

use crate::disk::{configured, version_2, write};
use crate::harness::{cache, control_spec, peer, start};

/// What a 3.9.5 server leaves that wrote one of everything and was killed.
fn written_by_apache() -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    let mut server = start(&configured(control_spec(dir.path())));
    let mut writers = Vec::new();
    for round in 0..3 {
        writers.push(write(&server, round));
    }
    server.process.kill().unwrap();
    for mut writer in writers {
        writer.kill().unwrap();
    }
    dir
}

fn files(dir: &Path, prefix: &str) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path());
    let mut found: Vec<_> =
        entries.filter(|p| p.file_name().unwrap().to_str().unwrap().starts_with(prefix)).collect();
    found.sort_by_key(|p| {
        i64::from_str_radix(p.extension().unwrap().to_str().unwrap(), 16).unwrap()
    });
    found
}

fn copy_of(dir: &Path) -> tempfile::TempDir {
    let copy = tempfile::tempdir().unwrap();
    std::fs::create_dir(copy.path().join("version-2")).unwrap();
    for entry in std::fs::read_dir(dir).unwrap() {
        let entry = entry.unwrap();
        std::fs::copy(entry.path(), copy.path().join("version-2").join(entry.file_name())).unwrap();
    }
    copy
}

fn apache(class: &str, args: &[&str]) -> String {
    let mut command = java::zookeeper_tool(&cache(), &peer(Peer::ZooKeeper)).unwrap();
    command.arg(format!("org.apache.zookeeper.server.{class}")).args(args);
    run(class, &mut command).unwrap_or_else(|err| panic!("{err:#}"))
}

fn output_of(args: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_watchkeeper")).args(args).output().unwrap()
}

fn ours(args: &[&str]) -> String {
    let output = output_of(args);
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{args:?}: {} {said}", output.status);
    String::from_utf8(output.stdout).unwrap()
}

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

/// Txns without their times, one a line; of a multi only what stands before its fields.
fn txns(dump: &str) -> Vec<String> {
    let mut txns: Vec<String> = Vec::new();
    for line in dump.lines() {
        if let Some((_, txn)) = line.split_once(" session 0x").filter(|_| line.contains(" cxid 0x"))
        {
            txns.push(txn.to_owned());
        } else if let Some(last) = txns.last_mut().filter(|_| !line.starts_with("EOF reached")) {
            // Apache's list of ACLs has line ends in it.
            last.push_str(line);
        }
    }
    for txn in &mut txns {
        let end = txn.find(" multi ").map_or(txn.len(), |at| at + " multi".len());
        txn.truncate(end);
    }
    txns.iter().map(|txn| txn.trim_end().to_owned()).collect()
}

#[test]
fn our_txn_log_tool_says_what_apaches_says() {
    let dir = written_by_apache();
    let version_2 = version_2(dir.path());
    let script = dir.path().join("zkTxnLogToolkit.sh");
    std::os::unix::fs::symlink(env!("CARGO_BIN_EXE_watchkeeper"), &script).unwrap();
    let (mut seen, mut chops) = (BTreeSet::new(), 0);
    for log in files(&version_2, "log.").iter().take(3) {
        let theirs = apache("persistence.TxnLogToolkit", &[text(log)]);
        let dump = ours(&["txnlog", "dump", text(log)]);
        let called = Command::new(&script).arg("-d").arg(log).output().unwrap();
        assert!(called.status.success() && called.stdout == dump.as_bytes(), "{called:?}");
        let (theirs_txns, our_txns) = (txns(&theirs), txns(&dump));
        for (theirs, ours) in theirs_txns.iter().zip(&our_txns) {
            assert_eq!(ours, theirs);
        }
        assert_eq!(our_txns.len(), theirs_txns.len());
        let end = |said: &str| said.lines().find(|l| l.starts_with("EOF")).map(str::to_owned);
        assert_eq!(end(&dump), end(&theirs));
        seen.extend(our_txns.iter().filter_map(|t| t.split(' ').nth(5).map(str::to_owned)));
        // The same beginning of the log, byte by byte.
        let zxids = dump.lines().filter_map(|line| line.split_once(" zxid "));
        let Some((_, zxid)) = zxids.take(our_txns.len() - 1).nth(3) else { continue };
        chops += 1;
        let zxid = zxid.split(' ').next().unwrap();
        let name = i64::from_str_radix(zxid.trim_start_matches("0x"), 16).unwrap();
        let chopped = PathBuf::from(format!("{}.chopped{name}", log.display()));
        apache("persistence.TxnLogToolkit", &["-c", "-z", zxid, text(log)]);
        let theirs = std::fs::read(&chopped).unwrap();
        std::fs::remove_file(&chopped).unwrap();
        ours(&["txnlog", "chop", text(log), "--zxid", zxid]);
        assert!(theirs == std::fs::read(&chopped).unwrap(), "{zxid} of {}", log.display());
        std::fs::remove_file(&chopped).unwrap();
    }
    assert!(seen.len() >= 5 && chops >= 1, "{seen:?}, {chops} chops");
}

/// Each znode's lines but the times; what else there is under its own name.
fn znodes(dump: &str) -> BTreeMap<String, Vec<String>> {
    let mut blocks = BTreeMap::new();
    let mut path = String::from("head");
    // The snapshot's digest is what later releases and ours print too.
    let unlike = |line: &str| line.contains("time = ") || line.starts_with("Target zxid digest");
    for line in dump.lines().filter(|line| !unlike(line) && *line != "----") {
        if line.starts_with('/') || line.starts_with("Session Details") {
            line.clone_into(&mut path);
        }
        let block: &mut Vec<String> = blocks.entry(path.clone()).or_default();
        block.push(line.to_owned());
        block.sort();
    }
    blocks
}

fn facts(summary: &str) -> BTreeSet<String> {
    let mut facts = BTreeSet::new();
    let mut name = "";
    for line in summary.lines().filter(|line| !line.trim().is_empty()) {
        if !line.contains("   ") {
            name = line;
        }
        facts.insert(format!("{name} {line}"));
    }
    facts
}

#[test]
fn our_snapshot_tools_say_what_apaches_say() {
    let dir = written_by_apache();
    let snapshots = files(&version_2(dir.path()), "snapshot.");
    let (first, last) = (text(&snapshots[0]), text(snapshots.last().unwrap()));
    let theirs = znodes(&apache("SnapshotFormatter", &["-d", last]));
    let found = znodes(&ours(&["snapshot", "inspect", "-d", last]));
    for (path, theirs) in &theirs {
        assert_eq!(found.get(path), Some(theirs), "{path}");
    }
    assert_eq!(found.len(), theirs.len());
    assert!(found.len() > 20, "{found:?}");

    let theirs = facts(&apache("SnapshotRecursiveSummary", &[last, "/", "0"]));
    assert_eq!(facts(&ours(&["snapshot", "summary", last, "/", "0"])), theirs);
    assert!(theirs.len() > 3, "{theirs:?}");

    let bounds = ["-l", first, "-r", last, "-b", "0", "-n", "0"];
    let theirs = apache("SnapshotComparer", &bounds);
    let found = ours(&[&["snapshot", "compare"][..], &bounds[..]].concat());
    let totals = |said: &str| {
        let starts = ["Node count", "Total size", "Max depth", "Count of nodes"];
        let wanted = |line: &&str| starts.iter().any(|start| line.starts_with(start));
        said.lines().filter(wanted).map(str::to_owned).collect::<Vec<_>>()
    };
    assert_eq!(totals(&found), totals(&theirs));
    assert!(totals(&found).len() > 6);
}

fn json(text: &[u8]) -> serde_json::Value {
    serde_json::from_slice(text).unwrap()
}

fn zxid_of(path: &Path) -> i64 {
    i64::from_str_radix(path.extension().unwrap().to_str().unwrap(), 16).unwrap()
}

#[test]
fn fsck_and_cleanup_on_a_directory_of_apaches() {
    let dir = written_by_apache();
    let original = version_2(dir.path());
    let (theirs, cleaned, hurt) = (copy_of(&original), copy_of(&original), copy_of(&original));
    let names = |dir: &Path| {
        let all = std::fs::read_dir(dir.join("version-2")).unwrap();
        all.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect::<BTreeSet<_>>()
    };
    let before = names(theirs.path());
    apache("PurgeTxnLog", &[text(theirs.path()), text(theirs.path()), "-n", "3"]);
    ours(&["cleanup", text(cleaned.path()), "-n", "3"]);
    assert_eq!(names(cleaned.path()), names(theirs.path()));
    assert!(names(cleaned.path()).len() < before.len(), "{before:?}");

    // The kill may have left a snapshot or a txn unfinished; nothing else may be missing.
    let repair = ["fsck", text(hurt.path()), "--repair", "--yes", "-o", "json"];
    let first = json(&output_of(&["fsck", text(hurt.path()), "-o", "json"]).stdout);
    assert_eq!(first["lost"]["txns"], 0, "{first:#}");
    let sound = json(ours(&repair).as_bytes());
    assert_eq!(sound["clean"], true, "{sound:#}");
    assert!(ours(&["fsck", text(hurt.path())]).ends_with("clean\n"));

    // A flipped bit in the third txn of a log: found, and what its repair leaves is sound.
    let version_2 = hurt.path().join("version-2");
    let logs = sound["logs"].as_array().unwrap();
    let at = logs.iter().rposition(|log| log["txns"].as_u64().unwrap() > 4).unwrap();
    let log = version_2.join(logs[at]["file"].as_str().unwrap());
    for snapshot in files(&version_2, "snapshot.") {
        if zxid_of(&snapshot) >= zxid_of(&log) {
            std::fs::remove_file(snapshot).unwrap();
        }
    }
    let dump = ours(&["txnlog", "dump", text(&log), "-o", "jsonl"]);
    let third = json(dump.lines().nth(2).unwrap().as_bytes());
    let mut bytes = std::fs::read(&log).unwrap();
    bytes[usize::try_from(third["offset"].as_u64().unwrap()).unwrap() + 30] ^= 4;
    std::fs::write(&log, &bytes).unwrap();
    let found = output_of(&["fsck", text(hurt.path()), "-o", "json"]);
    assert_eq!(found.status.code(), Some(10));
    let found = json(&found.stdout);
    let txns: u64 = logs[at..].iter().map(|log| log["txns"].as_u64().unwrap()).sum();
    assert_eq!(found["lost"]["txns"].as_u64().unwrap() + 3, txns, "{found:#}");
    assert_eq!((&found["clean"], &found["lost"]["unreadable"]), (&false.into(), &1.into()));
    assert_eq!(std::fs::read(&log).unwrap(), bytes, "nothing is repaired unasked");
    let repaired = json(ours(&repair).as_bytes());
    assert_eq!(repaired["last_zxid"], found["last_zxid"]);
    let backup = Path::new(repaired["backup"].as_str().unwrap()).join(log.file_name().unwrap());
    assert_eq!(std::fs::read(backup).unwrap(), bytes);
    let said = apache("persistence.TxnLogToolkit", &[text(&log)]);
    assert!(said.contains("EOF reached after 2 txns.") && !said.contains("CRC ERROR"), "{said}");
}

//! `cargo xtask golden`: bytes of a live Apache ZooKeeper 3.9.5, kept or compared.
//!
//! One `.bin` a step of the scripted session: the request and all that came back, each frame after
//! its length, ids and times masked. Beside them real files: a txn log that holds every type of
//! txn, and two snapshots. `--check` captures anew and compares; without it the folder is written.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use wk_peers::cache::workspace_root;
use wk_peers::script::mask::{Mask, wall_ms};
use wk_peers::script::{Exchange, Step, Transcript, play, session};
use wk_peers::{Cache, Flavor, ServerSpec, wait};
use wk_proto::SessionId;
use wk_proto::client::request::{CreateMode, CreateRequest, Request};
use wk_proto::{AclList, OpCode};

use crate::report::Report;

/// The folder, from the root of the workspace.
const FOLDER: &str = "golden/zookeeper-3.9.5";

/// A golden file: its bytes, and the text that says how it was made.
struct Golden {
    bytes: Vec<u8>,
    text: String,
}

/// Captures anew and compares; one row in the report.
pub(crate) fn check(report: &mut Report) {
    const NAME: &str = "golden bytes, captured anew from Apache";
    report.begin(NAME);
    match capture().and_then(|fresh| compare(&fresh)) {
        Ok((equal, complaints)) => {
            for complaint in &complaints {
                report.say(complaint);
            }
            report.count(NAME, equal, complaints.len() as u64, "");
        }
        Err(err) => report.fail(NAME, &format!("{err:#}")),
    }
}

/// Captures and writes the folder.
pub(crate) fn write(report: &mut Report) -> Result<()> {
    report.begin("capture");
    let fresh = capture()?;
    let dir = folder();
    fs::create_dir_all(&dir).with_context(|| format!("create {}", dir.display()))?;
    for (name, golden) in &fresh {
        for (kind, bytes) in [("bin", golden.bytes.as_slice()), ("txt", golden.text.as_bytes())] {
            let path = dir.join(format!("{name}.{kind}"));
            fs::write(&path, bytes).with_context(|| format!("write {}", path.display()))?;
        }
    }
    report.count("files written", fresh.len() as u64, 0, "");
    Ok(())
}

fn folder() -> PathBuf {
    workspace_root().join(FOLDER)
}

fn capture() -> Result<BTreeMap<String, Golden>> {
    let cache = Cache::open()?;
    let dir = tempfile::tempdir().context("make a folder for the server")?;
    let mut spec = ServerSpec::new(Flavor::Apache, dir.path());
    for line in session::CONFIG {
        spec = spec.with(line);
    }
    for flag in session::JVM_FLAGS {
        spec = spec.with_jvm_flag(flag);
    }
    let steps = session::main();
    let from = wall_ms();
    let mut server = spec.start(&cache)?;
    let played = play(server.client, &steps)?;
    server.stop()?;
    let mask = Mask::new(&played, from, wall_ms());
    let mut found = BTreeMap::new();
    for (step, exchange) in steps.iter().zip(&played.exchanges) {
        if let Some(golden) = exchange_file(step, &mask.hide_all(exchange)) {
            found.insert(format!("exchange-{}", step.name), golden);
        }
    }
    let data = dir.path().join("data/version-2");
    let from_file = |path: PathBuf, what: &str| -> Result<Golden> {
        let bytes = fs::read(&path).with_context(|| format!("read {}", path.display()))?;
        Ok(Golden { bytes: without_padding(bytes), text: made(what) })
    };
    found.insert(
        "file-snapshot-empty".to_owned(),
        from_file(data.join("snapshot.0"), "The first snapshot of a fresh server, as it is.")?,
    );
    found.insert(
        "file-log".to_owned(),
        from_file(data.join("log.1"), "The txn log of the scripted session; padding cut at 64.")?,
    );
    // A second start reads that log and writes a snapshot of what is in it.
    spec.start(&cache)?.stop()?;
    let newest = newest_snapshot(&data)?;
    found.insert(
        "file-snapshot".to_owned(),
        from_file(newest, "The snapshot after the scripted session, as it is.")?,
    );
    found.insert("txn-delete-container".to_owned(), container_reaped(&cache)?);
    Ok(found)
}

/// A server that looks for empty containers twice a second deletes one: that txn's body, masked.
fn container_reaped(cache: &Cache) -> Result<Golden> {
    let dir = tempfile::tempdir().context("make a folder for the server")?;
    let spec = ServerSpec::new(Flavor::Apache, dir.path())
        .with_jvm_flag("-Dznode.container.checkIntervalMs=500");
    let mut server = spec.start(cache)?;
    let new = |path, mode: CreateMode| CreateRequest {
        path,
        data: None,
        acl: AclList::open(),
        flags: mode.flags(),
        ttl: 0,
    };
    let box_ = Request::Create(OpCode::CreateContainer, new("/box", CreateMode::Container));
    let kid = Request::Create(OpCode::Create, new("/box/kid", CreateMode::Persistent));
    let requests = [box_, kid, Request::Delete { path: "/box/kid", version: -1 }];
    play(server.client, &session::plain(&requests))?;
    wait::until("the end of an empty container", wait::LONG, || {
        let answer = server.four_letter("srvr")?;
        // Five nodes are a fresh tree; the connection that created the container is gone.
        Ok(answer.contains("Node count: 5\n").then_some(()))
    })?;
    server.stop()?;
    let path = dir.path().join("data/version-2/log.1");
    let bytes = fs::read(&path).with_context(|| format!("read {}", path.display()))?;
    let bodies = bodies(&bytes)?;
    let body = bodies
        .iter()
        .find(|body| txn_type(body) == OpCode::DeleteContainer.code())
        .context("the log holds no deleteContainer")?;
    let bytes = mask_of_log(&bodies)?.hide(body);
    let text = made("Body of the txn by which a server deletes an empty container; masked.");
    Ok(Golden { bytes: hide_digest(bytes), text })
}

/// The file of one step, or nothing for a step that leaves no frames.
fn exchange_file(step: &Step, exchange: &Exchange) -> Option<Golden> {
    if exchange.sent.is_empty() || matches!(step.act, wk_peers::script::Act::Garbage(_)) {
        return None;
    }
    let mut bytes = Vec::new();
    let others = exchange.others.iter().map(|(_, frame)| frame);
    for frame in [&exchange.sent].into_iter().chain(&exchange.received).chain(others) {
        let len = u32::try_from(frame.len()).unwrap_or(u32::MAX);
        bytes.extend_from_slice(&len.to_be_bytes());
        bytes.extend_from_slice(frame);
    }
    let text = made(&format!(
        "Step {} of the scripted session (crates/wk-peers/src/script/session.rs): the request by \
         client {}, {} frames back to it{}, {} events to others; each after its length; session \
         ids, passwords and times masked (mask.rs there).",
        step.name,
        step.client,
        exchange.received.len(),
        if exchange.closed { ", then the end of the connection" } else { "" },
        exchange.others.len(),
    ));
    Some(Golden { bytes, text })
}

fn made(what: &str) -> String {
    format!("{what}\nCaptured from Apache ZooKeeper 3.9.5 by `cargo xtask golden`.\n")
}

/// Compares with the folder: how many are equal, and what is wrong with the others.
fn compare(fresh: &BTreeMap<String, Golden>) -> Result<(u64, Vec<String>)> {
    let mut equal = 0;
    let mut complaints = Vec::new();
    for (name, golden) in fresh {
        let path = folder().join(format!("{name}.bin"));
        let kept = fs::read(&path).with_context(|| format!("read {}", path.display()))?;
        let (kept, new) = match name.as_str() {
            "file-log" => (masked_log(&kept)?, masked_log(&golden.bytes)?),
            // Times, checksums and the order of siblings differ from run to run.
            "file-snapshot" => (outline(&kept), outline(&golden.bytes)),
            name if name.starts_with("exchange-") => {
                (vec![names_sorted(&kept)], vec![names_sorted(&golden.bytes)])
            }
            _ => (vec![kept], vec![golden.bytes.clone()]),
        };
        if kept == new {
            equal += 1;
        } else {
            let at = kept.iter().zip(&new).position(|(kept, new)| kept != new).unwrap_or(0);
            let part = |parts: &[Vec<u8>]| parts.get(at).map(|part| hex(part)).unwrap_or_default();
            complaints.push(format!(
                "{FOLDER}/{name}.bin differs, part {at}:\n  kept {}\n  now  {}",
                part(&kept),
                part(&new)
            ));
        }
    }
    let folder = folder();
    for path in wk_peers::fetch::files(&folder, "bin")? {
        let name = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
        if !fresh.contains_key(&name) {
            complaints.push(format!("{FOLDER}/{name}.bin is captured by no step"));
        }
    }
    Ok((equal, complaints))
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect::<Vec<_>>().concat()
}

/// Sorts the names in the reply of an exchange file.
fn names_sorted(bytes: &[u8]) -> Vec<u8> {
    let mut frames = frames(bytes).into_iter();
    let exchange = Exchange {
        name: String::new(),
        sent: frames.next().unwrap_or_default(),
        received: frames.collect(),
        closed: false,
        others: Vec::new(),
    };
    let sorted = exchange.with_names_sorted();
    [sorted.sent].into_iter().chain(sorted.received).flatten().collect()
}

fn frames(bytes: &[u8]) -> Vec<Vec<u8>> {
    let mut rest = bytes;
    let mut found = Vec::new();
    while let Some((head, tail)) = rest.split_first_chunk::<4>() {
        let (frame, tail) = tail.split_at(tail.len().min(u32::from_be_bytes(*head) as usize));
        found.push(frame.to_vec());
        rest = tail;
    }
    found
}

/// What of a snapshot is the same in every run: its head and its length.
fn outline(bytes: &[u8]) -> Vec<Vec<u8>> {
    vec![bytes[..bytes.len().min(16)].to_vec(), bytes.len().to_be_bytes().to_vec()]
}

/// The bodies of a log's records, masked by what the log itself says.
fn masked_log(bytes: &[u8]) -> Result<Vec<Vec<u8>>> {
    let bodies = bodies(bytes)?;
    let mask = mask_of_log(&bodies)?;
    Ok(bodies.iter().map(|body| hide_digest(mask.hide(body))).collect())
}

/// Splits a txn log: 16 bytes of header, then checksum (8), length (4), body, `B`.
fn bodies(bytes: &[u8]) -> Result<Vec<&[u8]>> {
    if !bytes.starts_with(b"ZKLG") || bytes.len() < 16 {
        bail!("not a txn log");
    }
    let mut rest = &bytes[16..];
    let mut found = Vec::new();
    while let Some((head, tail)) = rest.split_first_chunk::<12>() {
        let len = u32::from_be_bytes([head[8], head[9], head[10], head[11]]) as usize;
        if len == 0 {
            break;
        }
        let (body, tail) = tail.split_at_checked(len).context("a record is cut off")?;
        rest = tail.strip_prefix(b"B").context("a record without its end")?;
        found.push(body);
    }
    Ok(found)
}

/// A mask from the headers of a log: clientId (8 bytes), cxid (4), zxid (8), time (8), type (4).
fn mask_of_log(bodies: &[&[u8]]) -> Result<Mask> {
    let number = |body: &[u8], at: usize| -> Result<i64> {
        let bytes = body.get(at..at + 8).context("a record without a header")?;
        Ok(i64::from_be_bytes(bytes.try_into().context("eight bytes")?))
    };
    let mut transcript = Transcript::default();
    let (mut from, mut to) = (i64::MAX, i64::MIN);
    for body in bodies {
        let time = number(body, 20)?;
        (from, to) = (from.min(time), to.max(time));
        if txn_type(body) == OpCode::CreateSession.code() {
            // A password is not in a log: this one hides nothing, being its own mask.
            transcript.sessions.push((SessionId(number(body, 0)?), [b'p'; 16]));
        }
    }
    Ok(Mask::new(&transcript, from, to))
}

fn txn_type(body: &[u8]) -> i32 {
    body.get(28..32).and_then(|bytes| bytes.try_into().ok()).map_or(0, i32::from_be_bytes)
}

/// The digest at the end of a txn (version 2, then 8 bytes) covers times: hide it.
fn hide_digest(mut body: Vec<u8>) -> Vec<u8> {
    let at = body.len().saturating_sub(12);
    // Most error txns have none; that of a request that could not be read has.
    if at >= 32 && body[at..].starts_with(&[0, 0, 0, 2]) {
        body[at + 4..].fill(0xdd);
    }
    body
}

/// A log is grown by 64 MiB of zeros: 64 bytes of them tell the same.
fn without_padding(mut bytes: Vec<u8>) -> Vec<u8> {
    let end = bytes.iter().rposition(|byte| *byte != 0).map_or(0, |last| last + 1);
    bytes.truncate((end + 64).min(bytes.len()));
    bytes
}

fn newest_snapshot(data: &Path) -> Result<PathBuf> {
    let mut newest = None;
    for entry in fs::read_dir(data).with_context(|| format!("list {}", data.display()))? {
        let path = entry.with_context(|| format!("list {}", data.display()))?.path();
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        if let Some(zxid) = name.strip_prefix("snapshot.") {
            let zxid = u64::from_str_radix(zxid, 16).with_context(|| format!("read {name}"))?;
            newest = newest.max(Some((zxid, path)));
        }
    }
    newest.map(|(_, path)| path).context("no snapshot")
}

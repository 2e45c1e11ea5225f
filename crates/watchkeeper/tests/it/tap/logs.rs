//! The members' own txn logs, and what the tap printed, in one form.

use std::collections::BTreeMap;
use std::path::Path;

use serde_json::Value;
use wk_client::Zxid;
use wk_peers::Ensemble;
use wk_store::{Head, LogReader, Next, OsDisk};

use wk_tap::Change;

/// A txn or a gap; what it wrote in one text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Line {
    Txn { zxid: String, session: String, cxid: i64, kind: String, what: String },
    Gap { from: u64, to: u64 },
}

impl Line {
    pub(super) fn of_json(document: &Value) -> Self {
        let text = |name: &str| document[name].as_str().unwrap_or_default().to_owned();
        let kind = text("type");
        if kind == "resync" {
            return Self::Gap { from: hex(&text("from")), to: hex(&text("to")) };
        }
        let list = |name: &str| document[name].as_array().unwrap().clone();
        let paths = |name: &str| {
            let path = |v: &Value| v.as_str().or(v["path"].as_str()).unwrap_or_default().to_owned();
            list(name).iter().map(path).collect::<Vec<_>>().join(" ")
        };
        let error = text("error");
        // A leader that sends a failed multi late no longer says what its parts were.
        let ops = if error.is_empty() { paths("ops") } else { String::new() };
        let size = document["size"].as_u64().map(|size| size.to_string()).unwrap_or_default();
        let what =
            format!("{} {size} {error} ops {ops} gone {}", text("path"), paths("ephemerals"));
        let cxid = document["cxid"].as_i64().unwrap();
        Self::Txn { zxid: text("zxid"), session: text("session"), cxid, kind, what }
    }

    fn of_record(body: &[u8]) -> Self {
        let change = Change::read(body);
        let error = change.op.error.map(|error| error.to_string()).unwrap_or_default();
        let paths = change.ops.iter().map(|op| op.path.clone().unwrap_or_default());
        let ops =
            if error.is_empty() { paths.collect::<Vec<_>>().join(" ") } else { String::new() };
        let size = change.op.size.map(|size| size.to_string()).unwrap_or_default();
        let path = change.op.path.clone().unwrap_or_default();
        Self::Txn {
            zxid: change.zxid.to_string(),
            session: change.session.to_string(),
            cxid: change.cxid.into(),
            kind: change.op.kind.to_string(),
            what: format!("{path} {size} {error} ops {ops} gone {}", change.ephemerals.join(" ")),
        }
    }

    pub(super) fn zxid(&self) -> Option<&str> {
        match self {
            Self::Txn { zxid, .. } => Some(zxid),
            Self::Gap { .. } => None,
        }
    }

    pub(super) fn number(&self) -> u64 {
        hex(self.zxid().unwrap_or("0x0"))
    }

    pub(super) fn is(&self, name: &str) -> bool {
        matches!(self, Self::Txn { kind, .. } if kind == name)
    }
}

fn hex(text: &str) -> u64 {
    u64::from_str_radix(text.trim_start_matches("0x"), 16).unwrap()
}

/// The committed history: what at least two of the three members have logged, which they must have
/// alike. A member that was killed may have logged what nobody else saw, and one that came back by
/// a snapshot lacks what is in it.
pub(super) fn committed(ensemble: &Ensemble) -> Vec<Line> {
    let mut logged: BTreeMap<u64, Vec<Line>> = BTreeMap::new();
    for member in &ensemble.members {
        for line in of_member(&member.data()) {
            logged.entry(line.number()).or_default().push(line);
        }
    }
    logged.retain(|_, lines| lines.len() > 1);
    for lines in logged.values() {
        assert!(lines.iter().all(|line| *line == lines[0]), "the members differ: {lines:?}");
    }
    logged.into_values().map(|mut lines| lines.remove(0)).collect()
}

/// Every txn in a member's log files, read from a copy.
fn of_member(data: &Path) -> Vec<Line> {
    let copy = tempfile::tempdir().unwrap();
    let mut firsts = Vec::new();
    for entry in std::fs::read_dir(data.join("version-2")).unwrap() {
        let entry = entry.unwrap();
        let name = entry.file_name().to_string_lossy().into_owned();
        if let Some(first) = name.strip_prefix("log.") {
            firsts.push(i64::from_str_radix(first, 16).unwrap());
            std::fs::copy(entry.path(), copy.path().join(&name)).unwrap();
        }
    }
    firsts.sort_unstable();
    let disk = OsDisk::new(copy.path());
    let mut found: Vec<Line> = Vec::new();
    for first in firsts {
        let Head::Log(mut reader) = LogReader::open(&disk, Zxid(first)).unwrap() else { continue };
        let mut last = Zxid::ZERO;
        loop {
            match reader.next(last).unwrap() {
                Next::Record { body, .. } => {
                    last = Change::read(body).zxid;
                    found.push(Line::of_record(body));
                }
                Next::End => break,
                Next::Bad(place) => panic!("{place:?}"),
            }
        }
    }
    found
}

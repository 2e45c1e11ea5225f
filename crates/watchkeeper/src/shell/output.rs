//! How znodes are shown: for people, as JSON with stable names, or as the exact bytes.

use anyhow::Context;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::Serialize;
use wk_client::{Stat, Znode};

use crate::print;

/// The form of what goes to stdout.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Format {
    /// For people
    #[default]
    Table,
    /// One JSON document
    Json,
    /// One JSON document a line
    Jsonl,
    /// The bytes as they are
    Raw,
}

/// The option that chooses the form.
#[derive(Debug, clap::Args)]
pub(crate) struct OutputArg {
    /// Form of the output
    #[arg(short, long, value_enum, default_value_t, value_name = "FORM")]
    pub(crate) output: Format,
}

/// A stat with the names that jute gives its fields. zxids and sessions are text, because JSON
/// numbers are not safe for 64 bits.
#[derive(Debug, Serialize)]
pub(crate) struct StatJson {
    czxid: String,
    mzxid: String,
    pzxid: String,
    ctime: String,
    mtime: String,
    version: i32,
    cversion: i32,
    aversion: i32,
    ephemeral_owner: String,
    data_length: i32,
    num_children: i32,
}

impl From<&Stat> for StatJson {
    fn from(stat: &Stat) -> Self {
        Self {
            czxid: stat.czxid.to_string(),
            mzxid: stat.mzxid.to_string(),
            pzxid: stat.pzxid.to_string(),
            ctime: time(stat.ctime.0),
            mtime: time(stat.mtime.0),
            version: stat.version,
            cversion: stat.cversion,
            aversion: stat.aversion,
            ephemeral_owner: stat.ephemeral_owner.to_string(),
            data_length: stat.data_length,
            num_children: stat.num_children,
        }
    }
}

/// A znode as JSON: null data is null in both fields, data that is not UTF-8 has `data_b64` only.
#[derive(Debug, Serialize)]
pub(crate) struct ZnodeJson<'a> {
    path: &'a str,
    #[serde(skip_serializing_if = "Text::is_binary")]
    data: Text<'a>,
    data_b64: Option<String>,
    stat: StatJson,
}

#[derive(Debug, Serialize)]
#[serde(untagged)]
enum Text<'a> {
    Utf8(&'a str),
    Null(Option<()>),
    Binary,
}

impl Text<'_> {
    fn is_binary(&self) -> bool {
        matches!(self, Self::Binary)
    }
}

impl<'a> ZnodeJson<'a> {
    pub(crate) fn new(path: &'a str, znode: &'a Znode) -> Self {
        let data = match znode.data.as_deref().map(std::str::from_utf8) {
            None => Text::Null(None),
            Some(Ok(text)) => Text::Utf8(text),
            Some(Err(_)) => Text::Binary,
        };
        let data_b64 = znode.data.as_ref().map(|data| STANDARD.encode(data));
        Self { path, data, data_b64, stat: (&znode.stat).into() }
    }
}

/// A path and its stat, where no data was read.
#[derive(Debug, Serialize)]
pub(crate) struct PathJson<'a> {
    pub(crate) path: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) stat: Option<StatJson>,
}

/// Milliseconds since 1970 as RFC 3339 with milliseconds, in UTC.
pub(crate) fn time(millis: i64) -> String {
    match jiff::Timestamp::from_millisecond(millis) {
        Ok(time) => time.strftime("%Y-%m-%dT%H:%M:%S%.3fZ").to_string(),
        // A clock beyond the year 9999: show what the znode says.
        Err(_) => millis.to_string(),
    }
}

/// How long ago that was, in one unit.
pub(crate) fn age(millis: i64, now: i64) -> String {
    let seconds = now.saturating_sub(millis).max(0) / 1000;
    match seconds {
        0..=119 => format!("{seconds}s"),
        120..=7_199 => format!("{}m", seconds / 60),
        7_200..=172_799 => format!("{}h", seconds / 3600),
        _ => format!("{}d", seconds / 86_400),
    }
}

/// The present time in milliseconds since 1970.
pub(crate) fn now() -> i64 {
    jiff::Timestamp::now().as_millisecond()
}

/// A stat for people: the wire's names, times readable.
pub(crate) fn stat_table(stat: &Stat) -> String {
    let owner = match stat.ephemeral_owner {
        wk_client::SessionId::NONE => "none (containers and TTL znodes say the same)".to_owned(),
        session => format!("session {session}"),
    };
    let now = now();
    let at = |millis: i64| format!("{} ({} ago)", time(millis), age(millis, now));
    let rows = [
        ("czxid", stat.czxid.to_string()),
        ("mzxid", stat.mzxid.to_string()),
        ("pzxid", stat.pzxid.to_string()),
        ("ctime", at(stat.ctime.0)),
        ("mtime", at(stat.mtime.0)),
        ("version", stat.version.to_string()),
        ("cversion", stat.cversion.to_string()),
        ("aversion", stat.aversion.to_string()),
        ("ephemeral_owner", owner),
        ("data_length", stat.data_length.to_string()),
        ("num_children", stat.num_children.to_string()),
    ];
    rows.iter().map(|(name, value)| format!("{name:<16} {value}\n")).collect()
}

/// Data for people: text as it is with a line end, anything else as base64.
pub(crate) fn data_table(path: &str, data: Option<&[u8]>) -> String {
    match data.map(std::str::from_utf8) {
        None => {
            print::note(&format!("{path}: no data (null)"));
            String::new()
        }
        Some(Ok("")) => String::new(),
        Some(Ok(text)) if text.ends_with('\n') => text.to_owned(),
        Some(Ok(text)) => format!("{text}\n"),
        Some(Err(_)) => {
            print::note(&format!("{path}: not UTF-8: shown as base64; -o raw writes the bytes"));
            format!("{}\n", STANDARD.encode(data.unwrap_or_default()))
        }
    }
}

/// A JSON document for a person's eyes or for jq.
pub(crate) fn json(value: &impl Serialize) -> anyhow::Result<String> {
    let text = serde_json::to_string_pretty(value).context("write JSON")?;
    Ok(text + "\n")
}

/// A JSON document on one line.
pub(crate) fn jsonl(value: &impl Serialize) -> anyhow::Result<String> {
    let text = serde_json::to_string(value).context("write JSON")?;
    Ok(text + "\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn znode(data: Option<&[u8]>) -> Znode {
        let stat = Stat { version: 3, ..Stat::default() };
        Znode { data: data.map(<[u8]>::to_vec), stat }
    }

    #[test]
    fn null_empty_and_binary_data_are_three_things() {
        let start = |data| {
            let text = jsonl(&ZnodeJson::new("/a", &znode(data))).expect("it is JSON");
            text[..text.find(",\"stat\"").expect("stat follows")].to_owned()
        };
        assert_eq!(start(None), r#"{"path":"/a","data":null,"data_b64":null"#);
        assert_eq!(start(Some(b"")), r#"{"path":"/a","data":"","data_b64":"""#);
        assert_eq!(start(Some(b"hi")), r#"{"path":"/a","data":"hi","data_b64":"aGk=""#);
        assert_eq!(start(Some(b"\xff")), r#"{"path":"/a","data_b64":"/w==""#);
    }

    #[test]
    fn times_are_rfc_3339_with_milliseconds() {
        assert_eq!(time(0), "1970-01-01T00:00:00.000Z");
        assert_eq!(time(1_795_261_831_837), "2026-11-21T11:50:31.837Z");
        assert_eq!(time(i64::MAX), i64::MAX.to_string());
    }

    #[test]
    fn ages_have_one_unit() {
        for (millis, want) in [(0, "0s"), (90_000, "90s"), (180_000, "3m"), (10_000_000, "2h")] {
            assert_eq!(age(0, millis), want);
        }
    }
}

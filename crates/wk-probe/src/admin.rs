//! What AdminServer says, `/commands/X`. Its status is no answer: a server that does not serve says
//! so with HTTP 200 and `error`, and `monitor` then ends in HTTP 500.

use std::collections::BTreeMap;

use serde_json::{Map, Value};

use crate::words::{Conf, short_version};

/// What came back for a command.
#[derive(Clone, Debug, PartialEq)]
pub enum AdminAnswer {
    /// Its keys.
    Said(Map<String, Value>),
    /// The server lives and does not serve.
    NotServing,
    /// It does not know the command, or failed at it.
    Failed(String),
    /// No AdminServer speaks so.
    Strange,
}

impl AdminAnswer {
    /// What `body` is.
    pub fn read(status: u16, body: &[u8]) -> Self {
        if status == 500 && String::from_utf8_lossy(body).contains("\"zkServer\"") {
            return Self::NotServing;
        }
        let Ok(Value::Object(object)) = serde_json::from_slice(body) else { return Self::Strange };
        if !object.contains_key("command") {
            return Self::Strange;
        }
        match object.get("error") {
            None | Some(Value::Null) => Self::Said(object),
            Some(Value::String(error)) if error.contains("not currently serving") => {
                Self::NotServing
            }
            Some(error) => Self::Failed(error.to_string()),
        }
    }
}

/// The answer to `server_stats`: who it is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ServerStats {
    /// Its version without the hash of the build.
    pub version: Option<String>,
    /// Its role.
    pub mode: Option<String>,
    /// Its last txn.
    pub zxid: Option<u64>,
}

impl ServerStats {
    /// Reads the answer; what is missing is not told.
    pub fn read(object: &Map<String, Value>) -> Self {
        let stats = &object.get("server_stats").unwrap_or(&Value::Null);
        Self {
            version: object.get("version").and_then(Value::as_str).map(short_version),
            mode: stats.get("server_state").and_then(Value::as_str).map(str::to_owned),
            zxid: stats.get("last_processed_zxid").and_then(Value::as_i64).map(i64::cast_unsigned),
        }
    }
}

/// The answer to `configuration` in the words of `conf`, as far as it goes.
pub fn configuration(object: &Map<String, Value>) -> Conf {
    const KEYS: &[(&str, &str)] = &[
        ("client_port", "clientPort"),
        ("tick_time", "tickTime"),
        ("max_client_cnxns", "maxClientCnxns"),
        ("min_session_timeout", "minSessionTimeout"),
        ("max_session_timeout", "maxSessionTimeout"),
        ("client_port_listen_backlog", "clientPortListenBacklog"),
        ("server_id", "serverId"),
    ];
    let keys = KEYS.iter().filter_map(|(theirs, ours)| {
        let value = object.get(*theirs)?.as_i64()?;
        Some(((*ours).to_owned(), value.to_string()))
    });
    Conf { keys: keys.collect(), servers: BTreeMap::new() }
}

/// The answer to `voting_view`, as lines of the server list. Observers are not among them.
pub fn voting_view(object: &Map<String, Value>) -> BTreeMap<u64, String> {
    let Some(Value::Object(members)) = object.get("current_config") else { return BTreeMap::new() };
    let line = |(sid, member): (&String, &Value)| {
        let first = |key: &str| member.get(key)?.get(0)?.as_str().map(str::to_owned);
        let quorum = first("server_addresses")?;
        let election = first("election_addresses")?;
        let election_port = election.rsplit_once(':')?.1.to_owned();
        let role = member.get("learner_type")?.as_str()?;
        let client = member.get("client_address").and_then(Value::as_str).unwrap_or_default();
        let client = if client.is_empty() { String::new() } else { format!(";{client}") };
        Some((sid.parse().ok()?, format!("{quorum}:{election_port}:{role}{client}")))
    };
    members.iter().filter_map(line).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    macro_rules! golden {
        ($name:literal) => {
            include_bytes!(concat!("../../../golden/pages/", $name))
        };
    }

    fn said(body: &[u8]) -> Map<String, Value> {
        let answer = AdminAnswer::read(200, body);
        let AdminAnswer::Said(object) = answer else { panic!("{answer:?}") };
        object
    }

    #[test]
    fn the_error_counts_not_the_status() {
        let deaf = golden!("3.8.6-noquorum-admin-ruok.json");
        assert_eq!(AdminAnswer::read(200, deaf), AdminAnswer::NotServing);
        let html = b"<h2>HTTP ERROR 500 Cannot invoke ... because \"zkServer\" is null</h2>";
        assert_eq!(AdminAnswer::read(500, html), AdminAnswer::NotServing);
        let unknown = br#"{"command": "leader", "error": "Unknown command: leader"}"#;
        assert!(matches!(AdminAnswer::read(200, unknown), AdminAnswer::Failed(_)));
        for strange in [&b"<html>"[..], b"{}", b"[1]", b"{\"error\": null}", b""] {
            assert_eq!(AdminAnswer::read(200, strange), AdminAnswer::Strange);
        }
    }

    #[test]
    fn identity_configuration_and_voters_are_read() {
        let stats = br#"{"version": "3.6.4--d652, built", "server_stats": {
            "server_state": "follower", "last_processed_zxid": 4294967372},
            "command": "server_stats", "error": null}"#;
        let stats = ServerStats::read(&said(stats));
        let want = (Some("3.6.4"), Some("follower"), Some(0x1_0000_004c));
        assert_eq!((stats.version.as_deref(), stats.mode.as_deref(), stats.zxid), want);
        let conf = configuration(&said(golden!("3.8.6-leader-admin-configuration.json")));
        assert_eq!((conf.keys["tickTime"].as_str(), conf.keys["serverId"].as_str()), ("2000", "3"));
        let voters = voting_view(&said(golden!("3.8.6-leader-admin-voting_view.json")));
        assert_eq!(voters[&1], "127.0.0.1:32965:57533:participant;127.0.0.1:41359");
        let words = Conf::parse(include_str!("../../../golden/pages/3.8.6-leader-conf.txt"));
        assert_eq!(voters, words.servers);
    }
}

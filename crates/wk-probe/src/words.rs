//! Answers to the four-letter words `srvr` and `conf`, and what words say instead of an answer.

use std::collections::BTreeMap;

/// The answer to `srvr`.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Srvr {
    /// `3.9.5`, without the hash of the build.
    pub version: Option<String>,
    /// `standalone`, `leader`, `follower`, `observer` or `read-only`.
    pub mode: Option<String>,
    /// The last txn.
    pub zxid: Option<u64>,
    /// Smallest, mean, largest request latency in ms.
    pub latency_ms: Option<(f64, f64, f64)>,
    /// Packets received.
    pub received: Option<u64>,
    /// Packets sent.
    pub sent: Option<u64>,
    /// Open client connections.
    pub connections: Option<u64>,
    /// Requests not yet answered.
    pub outstanding: Option<u64>,
    /// Znodes.
    pub znodes: Option<u64>,
    /// Last, smallest, largest proposal in bytes; a leader's.
    pub proposal_sizes: Option<(f64, f64, f64)>,
}

/// What came back for a word.
#[derive(Clone, Debug, PartialEq)]
pub enum Answer {
    /// The word's own answer.
    Said(String),
    /// `4lw.commands.whitelist` has not that word; the server lives.
    Refused,
    /// The server lives and does not serve.
    NotServing,
    /// The connection was taken and closed without a byte: the limit of connections per address,
    /// or a server in trouble.
    Nothing,
}

impl Answer {
    /// What `text` is.
    pub fn read(text: String) -> Self {
        if text.contains("is not executed because it is not in the whitelist") {
            Self::Refused
        } else if text.starts_with("This ZooKeeper instance is not currently serving requests") {
            Self::NotServing
        } else if text.trim().is_empty() {
            Self::Nothing
        } else {
            Self::Said(text)
        }
    }
}

impl Srvr {
    /// Reads the answer; unknown lines say nothing.
    pub fn parse(text: &str) -> Self {
        let mut srvr = Self::default();
        for (key, value) in text.lines().filter_map(|line| line.split_once(": ")) {
            let value = value.trim();
            match key {
                "Zookeeper version" => srvr.version = Some(short_version(value)),
                "Mode" => srvr.mode = Some(value.to_owned()),
                "Zxid" => srvr.zxid = hex(value),
                "Latency min/avg/max" => srvr.latency_ms = triple(value),
                "Received" => srvr.received = value.parse().ok(),
                "Sent" => srvr.sent = value.parse().ok(),
                "Connections" => srvr.connections = value.parse().ok(),
                "Outstanding" => srvr.outstanding = value.parse().ok(),
                "Node count" => srvr.znodes = value.parse().ok(),
                // Before 3.5.5 the order of the last two was another; only `last` stays sure.
                "Proposal sizes last/min/max" => srvr.proposal_sizes = triple(value),
                _ => (),
            }
        }
        srvr
    }
}

/// What our own server has after the digits.
pub(crate) const OURS: &str = "-watchkeeper";

/// `3.6.4` of `3.6.4--d652..., built on ...`; `3.9.5-watchkeeper` of our own server.
pub fn short_version(text: &str) -> String {
    let end = text.find(|c: char| c != '.' && !c.is_ascii_digit()).unwrap_or(text.len());
    let ours = if text[end..].starts_with(OURS) { OURS } else { "" };
    format!("{}{ours}", text[..end].trim_end_matches('.'))
}

/// A zxid as servers print it: `0x500000003`.
pub(crate) fn hex(text: &str) -> Option<u64> {
    u64::from_str_radix(text.strip_prefix("0x")?, 16).ok()
}

fn triple(text: &str) -> Option<(f64, f64, f64)> {
    let mut parts = text.split('/').map(|part| part.parse::<f64>().ok());
    let mut next = || parts.next().flatten();
    Some((next()?, next()?, next()?))
}

/// The answer to `conf`, or the text of zoo.cfg: its keys, and the lines of the server list.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Conf {
    /// `tickTime` and so on.
    pub keys: BTreeMap<String, String>,
    /// Server id and what stands behind `server.N=`.
    pub servers: BTreeMap<u64, String>,
}

impl Conf {
    /// Reads `key=value` lines; others say nothing.
    pub fn parse(text: &str) -> Self {
        let mut conf = Self::default();
        for line in text.lines().map(str::trim).filter(|line| !line.starts_with(['#', '!'])) {
            let Some((key, value)) = line.split_once('=') else { continue };
            let (key, value) = (key.trim(), value.trim().to_owned());
            match key.strip_prefix("server.").map(str::parse) {
                Some(Ok(sid)) => conf.servers.insert(sid, value).map(|_| ()),
                _ => conf.keys.insert(key.to_owned(), value).map(|_| ()),
            };
        }
        conf
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn srvr_of_every_version_is_read() {
        let old = Srvr::parse(include_str!("../../../golden/pages/3.4.14-leader-srvr.txt"));
        assert_eq!(old.version.as_deref(), Some("3.4.14"));
        assert_eq!((old.mode.as_deref(), old.zxid), (Some("leader"), Some(0x1_0000_004c)));
        assert_eq!(old.proposal_sizes, Some((32.0, 32.0, 132.0)));
        let odd = Srvr::parse(include_str!("../../../golden/pages/3.6.4-standalone-srvr.txt"));
        assert_eq!(odd.version.as_deref(), Some("3.6.4"));
        assert_eq!(odd.mode.as_deref(), Some("standalone"));
        let new = Srvr::parse(include_str!("../../../golden/pages/3.8.6-leader-srvr.txt"));
        assert_eq!((new.znodes, new.connections, new.received), (Some(10), Some(1), Some(49)));
        assert_eq!(new.latency_ms, Some((0.0, 1.3913, 6.0)));
    }

    #[test]
    fn our_own_server_is_known_by_its_version() {
        assert_eq!(short_version("3.9.5-watchkeeper-0.1.0-abc, built on"), "3.9.5-watchkeeper");
        assert_eq!((short_version("3.10.0"), short_version("")), ("3.10.0".into(), String::new()));
    }

    #[test]
    fn an_answer_that_is_none_is_told_apart() {
        let of = |text: &str| Answer::read(text.to_owned());
        assert_eq!(
            of("mntr is not executed because it is not in the whitelist.\n"),
            Answer::Refused
        );
        let deaf = "This ZooKeeper instance is not currently serving requests\n";
        assert_eq!(of(deaf), Answer::NotServing);
        assert_eq!(of(" \n"), Answer::Nothing);
        assert_eq!(of("imok"), Answer::Said("imok".into()));
    }

    #[test]
    fn conf_gives_keys_and_members() {
        let conf = Conf::parse(include_str!("../../../golden/pages/3.9.5-observer-conf.txt"));
        assert_eq!((conf.keys["tickTime"].as_str(), conf.keys["version"].as_str()), ("2000", "0"));
        assert_eq!(conf.servers.len(), 4);
        assert!(conf.servers[&4].contains(":observer;"));
        let old = Conf::parse(include_str!("../../../golden/pages/3.4.14-leader-conf.txt"));
        assert_eq!((old.keys["serverId"].as_str(), old.servers.len()), ("3", 0));
    }
}

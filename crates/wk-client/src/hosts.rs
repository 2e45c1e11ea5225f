//! The connect string: `host:port,host:port/chroot`, as every ZooKeeper client writes it.

use wk_proto::path;

use crate::error::ConnectError;

/// The port that a host without one gets.
const PORT_DEFAULT: u16 = 2181;

/// Servers to connect to, and the znode that paths are relative to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HostList {
    /// `host:port` each, in the order given; never empty.
    pub hosts: Vec<String>,
    /// Prefix of all paths: empty, or a path without a slash at its end.
    pub chroot: String,
}

impl HostList {
    /// Reads a connect string. IPv6 addresses with a port stand in brackets.
    ///
    /// # Errors
    /// [`ConnectError::Hosts`] says which part cannot be read.
    pub fn parse(text: &str) -> Result<Self, ConnectError> {
        let (list, chroot) = match text.find('/') {
            Some(at) => (&text[..at], text[at..].trim_end_matches('/')),
            None => (text, ""),
        };
        if let Err(why) = path::validate(if chroot.is_empty() { "/" } else { chroot }) {
            return Err(ConnectError::Hosts(format!("chroot {chroot:?}: {why}")));
        }
        let hosts = list
            .split(',')
            .map(str::trim)
            .filter(|host| !host.is_empty())
            .map(with_port)
            .collect::<Result<Vec<String>, ConnectError>>()?;
        if hosts.is_empty() {
            return Err(ConnectError::Hosts(format!("{text:?} names no server")));
        }
        Ok(Self { hosts, chroot: chroot.to_owned() })
    }
}

fn with_port(host: &str) -> Result<String, ConnectError> {
    let bad = |why: &str| ConnectError::Hosts(format!("{host:?}: {why}"));
    let after_address = match host.strip_prefix('[') {
        Some(rest) => rest.split_once(']').ok_or_else(|| bad("missing ]"))?.1,
        None if host.matches(':').count() > 1 => return Ok(format!("[{host}]:{PORT_DEFAULT}")),
        None => host.find(':').map_or("", |at| &host[at..]),
    };
    if after_address.is_empty() {
        return Ok(format!("{host}:{PORT_DEFAULT}"));
    }
    let port = after_address.strip_prefix(':').and_then(|port| port.parse::<u16>().ok());
    match port {
        None | Some(0) => Err(bad("the port is not a number from 1 to 65535")),
        Some(_) => Ok(host.to_owned()),
    }
}

/// The host of `host:port`, an IPv6 address without its brackets.
pub(crate) fn name_of(host: &str) -> &str {
    let name = host.rsplit_once(':').map_or(host, |(name, _)| name);
    name.strip_prefix('[').and_then(|name| name.strip_suffix(']')).unwrap_or(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts_ports_and_chroot() {
        let list = HostList::parse("a,b:1,[::1]:2,::1, c/app/x/").expect("legal");
        assert_eq!(list.hosts, ["a:2181", "b:1", "[::1]:2", "[::1]:2181", "c:2181"]);
        assert_eq!(list.chroot, "/app/x");
        assert_eq!(HostList::parse("a/").expect("legal").chroot, "");
        let names: Vec<&str> = list.hosts.iter().map(|host| name_of(host)).collect();
        assert_eq!(names, ["a", "b", "::1", "::1", "c"]);
    }

    #[test]
    fn what_cannot_be_read_is_said() {
        for (text, want) in [
            ("", "names no server"),
            ("/a", "names no server"),
            ("a:x", "\"a:x\": the port"),
            ("a:0", "the port"),
            ("[::1", "missing ]"),
            ("a//b", "chroot"),
        ] {
            let error = HostList::parse(text).expect_err(text).to_string();
            assert!(error.contains(want), "{text}: {error}");
        }
    }
}

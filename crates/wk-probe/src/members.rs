//! Discovery: the members of an ensemble from what any one of them shows: the dynamic configuration
//! in `/zookeeper/config`, else the list that `conf` or AdminServer printed.
//!
//! The list names servers as they see each other; we may know them by other names. A member is the
//! same server if it said its id itself, else if its address is one that we know, else if both
//! names lead to the same machine. A name that means nothing here is not watched.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

/// Most members that are taken from one list.
const LISTED_MAX: usize = 256;

/// Which of a server's ports for clients is meant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ClientPort {
    /// The plain one, which every list names.
    Plain,
    /// The one with TLS. Lists before 3.10 do not name it: it is taken to be the same on all
    /// machines, as on the server that the configuration names.
    Secure,
}

/// One line of a server list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listed {
    /// Its id.
    pub sid: u64,
    /// Host of its quorum address, the first if it has several; without brackets.
    pub host: String,
    /// Quorum and election port there.
    pub ports: (u16, u16),
    /// Whether it is an observer.
    pub observer: bool,
    /// Host and port of its client address, as far as the list says.
    pub client: Option<(String, u16)>,
    /// The same of its address for TLS.
    pub secure: Option<(String, u16)>,
}

impl Listed {
    /// Reads what stands behind `server.SID=`:
    /// `host:quorum:election[:role][;[clienthost:]clientport]`, several addresses joined by `|`.
    pub fn parse(sid: u64, text: &str) -> Option<Self> {
        let mut parts = text.split(';');
        let peers = parts.next()?;
        let mut address = || {
            let text = parts.next().map(str::trim).filter(|text| !text.is_empty())?;
            match text.parse() {
                Ok(port) => Some((String::new(), port)),
                Err(_) => {
                    split_host(text).and_then(|(host, port)| Some((host, port.parse().ok()?)))
                }
            }
        };
        // 3.10 may add the port for TLS behind a second semicolon.
        let (client, secure) = (address(), address());
        let (host, rest) = split_host(peers.split('|').next()?.trim())?;
        let mut parts = rest.split(':');
        let mut port = || parts.next()?.parse().ok();
        let ports = (port()?, port()?);
        let observer = peers.ends_with(":observer");
        Some(Self { sid, host, ports, observer, client, secure })
    }

    /// Where clients reach it: the wildcard address means the host of the quorum address, a missing
    /// port is `port_default`.
    fn client_address(&self, of: ClientPort, port_default: u16) -> String {
        let told = match of {
            ClientPort::Plain => self.client.as_ref(),
            ClientPort::Secure => self.secure.as_ref(),
        };
        let host = told.or(self.client.as_ref()).map(|(host, _)| host);
        let host = host.filter(|host| !is_wildcard(host)).unwrap_or(&self.host);
        let port = told.map_or(port_default, |(_, port)| *port);
        if host.contains(':') { format!("[{host}]:{port}") } else { format!("{host}:{port}") }
    }
}

/// The server list in the text of a dynamic configuration.
pub fn list(servers: &BTreeMap<u64, String>) -> Vec<Listed> {
    let lines = servers.iter().filter_map(|(sid, text)| Listed::parse(*sid, text));
    lines.take(LISTED_MAX).collect()
}

/// A member that is to be watched.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Found {
    /// `host:port` of its client port, by the name that we know.
    pub instance: String,
    /// Its line.
    pub listed: Listed,
}

/// What a server list means here.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Members {
    /// The members.
    pub found: Vec<Found>,
    /// Servers that we know and that none of these is: kept, because some line means nothing here
    /// and may be theirs.
    pub kept: Vec<String>,
    /// Names that mean nothing here.
    pub unresolved: Vec<String>,
    /// Servers whose secure port nobody tells, and which are none of those kept.
    pub unported: Vec<String>,
}

/// The hosts whose addresses [`reconcile`] must know.
pub fn hosts<'m>(listed: &'m [Listed], known: &'m [String]) -> BTreeSet<String> {
    let of_list = listed.iter().map(|line| line.client_address(ClientPort::Plain, 0));
    let all = of_list.chain(known.iter().cloned());
    all.filter_map(|address| Some(split_host(&address)?.0)).collect()
}

/// Matches the lines with the servers that we know: `known` by name, `sids` by what they said, both
/// by the machines behind their names (`addresses`).
pub fn reconcile(
    listed: &[Listed],
    known: &[String],
    sids: &BTreeMap<u64, String>,
    addresses: &BTreeMap<String, BTreeSet<IpAddr>>,
    of: ClientPort,
) -> Members {
    let none = BTreeSet::new();
    let machines = |address: &str| {
        let host = split_host(address).map(|(host, _)| host).unwrap_or_default();
        addresses.get(&host).unwrap_or(&none)
    };
    let port = |address: &str| address.rsplit_once(':').and_then(|(_, port)| port.parse().ok());
    let port_default = known.iter().find_map(|known| port(known)).unwrap_or(2181_u16);
    let mut members = Members::default();
    let mut free: Vec<&String> = known.iter().collect();
    for line in listed {
        let address = line.client_address(of, port_default);
        // Two servers of one machine cannot both have the port that is only supposed.
        let shares = |other: &Listed| {
            other.sid != line.sid
                && (other.host == line.host
                    || !machines(&other.client_address(of, 0)).is_disjoint(machines(&address)))
        };
        let is_guess =
            of == ClientPort::Secure && line.secure.is_none() && listed.iter().any(shares);
        let same_machine = |known: &&&String| {
            port(known) == port(&address) && !machines(known).is_disjoint(machines(&address))
        };
        let said = sids.get(&line.sid);
        let by_name =
            || free.iter().find(|known| ***known == address).map(|known| (*known).clone());
        let by_machine = || free.iter().find(same_machine).map(|known| (*known).clone());
        let new = || (!machines(&address).is_empty()).then(|| address.clone());
        let guess = || by_name().or_else(by_machine).or_else(new).filter(|_| !is_guess);
        match said.cloned().or_else(guess) {
            Some(instance) => {
                free.retain(|known| **known != instance);
                members.found.push(Found { instance, listed: line.clone() });
            }
            None if is_guess => members.unported.push(line.client_address(ClientPort::Plain, 0)),
            None => members.unresolved.push(address),
        }
    }
    // Another name of a member is no second server.
    let said: BTreeSet<&String> = sids.values().collect();
    if !members.unresolved.is_empty() || !members.unported.is_empty() {
        members.kept = free.into_iter().filter(|known| !said.contains(known)).cloned().collect();
    }
    // Those that are kept may be they.
    let missing = members.unported.len().saturating_sub(members.kept.len());
    members.unported.truncate(missing);
    members
}

/// `host:rest`, an IPv6 host in brackets.
fn split_host(text: &str) -> Option<(String, &str)> {
    match text.strip_prefix('[') {
        Some(inside) => {
            let (host, rest) = inside.split_once(']')?;
            Some((host.to_owned(), rest.strip_prefix(':')?))
        }
        None => text.split_once(':').map(|(host, rest)| (host.to_owned(), rest)),
    }
}

fn is_wildcard(host: &str) -> bool {
    host.is_empty() || host.parse::<IpAddr>().is_ok_and(|address| address.is_unspecified())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(sid: u64, text: &str) -> Listed {
        Listed::parse(sid, text).unwrap_or_else(|| panic!("{text}"))
    }

    fn addresses(names: &[(&str, &str)]) -> BTreeMap<String, BTreeSet<IpAddr>> {
        let parse = |(name, ip): &(&str, &str)| {
            ((*name).to_owned(), BTreeSet::from([ip.parse::<IpAddr>().unwrap()]))
        };
        names.iter().map(parse).collect()
    }

    fn instances(members: &Members) -> Vec<&str> {
        members.found.iter().map(|found| found.instance.as_str()).collect()
    }

    #[test]
    fn every_shape_of_a_line_is_read() {
        let client = |text: &str| line(1, text).client_address(ClientPort::Plain, 2181);
        assert_eq!(client("a:2888:3888:participant;0.0.0.0:2182"), "a:2182");
        assert_eq!(client("a:2888:3888;2182"), "a:2182");
        assert_eq!(client("a:2888:3888:observer;b:2182"), "b:2182");
        assert_eq!(client("a:2888:3888"), "a:2181");
        assert_eq!(client("a:2888:3888|b:2888:3888:participant;[::]:2182"), "a:2182");
        assert_eq!(client("[fd00::1]:2888:3888;[::]:2182"), "[fd00::1]:2182");
        assert_eq!(client("a:2888:3888:participant;a:2181;a:2281"), "a:2181");
        assert!(line(4, "a:2888:3888:observer;2181").observer);
        assert_eq!(line(4, "a:2888:3888").ports, (2888, 3888));
        for broken in ["", "a", "a:b:c", "a:1", "[::1:2:3", "a:99999:1"] {
            assert_eq!(Listed::parse(1, broken), None, "{broken}");
        }
    }

    #[test]
    fn all_members_are_found_from_one_and_none_twice() {
        let listed =
            [line(1, "10.0.0.1:1:2;2181"), line(2, "10.0.0.2:1:2;2181"), line(3, "zk3:1:2;2181")];
        let known = ["zk1.example:2181".to_owned()];
        let all = addresses(&[
            ("zk1.example", "10.0.0.1"),
            ("10.0.0.1", "10.0.0.1"),
            ("10.0.0.2", "10.0.0.2"),
            ("zk3", "10.0.0.3"),
        ]);
        let members = reconcile(&listed, &known, &BTreeMap::new(), &all, ClientPort::Plain);
        let want = ["zk1.example:2181", "10.0.0.2:2181", "zk3:2181"];
        assert_eq!((instances(&members), members.unresolved.len()), (want.into(), 0));

        // A name for all of them, or a forwarded port: what it said itself decides.
        let known = ["vip:9999".to_owned(), "zk3:2181".to_owned(), "other:2181".to_owned()];
        let sids = BTreeMap::from([(2, "vip:9999".to_owned())]);
        let members = reconcile(&listed, &known, &sids, &all, ClientPort::Plain);
        assert_eq!(instances(&members), ["10.0.0.1:2181", "vip:9999", "zk3:2181"]);
        assert_eq!(members.kept, Vec::<String>::new(), "one that left the list is retired");
    }

    #[test]
    fn names_that_mean_nothing_here_are_not_watched_and_what_we_know_stays() {
        let listed = [line(1, "zk1:1:2;2181"), line(2, "zk2:1:2;2181")];
        let known = ["127.0.0.1:12181".to_owned()];
        let local = addresses(&[("127.0.0.1", "127.0.0.1")]);
        let members = reconcile(&listed, &known, &BTreeMap::new(), &local, ClientPort::Plain);
        assert_eq!((members.found.len(), &members.kept[..]), (0, &known[..]));
        assert_eq!(members.unresolved, ["zk1:2181", "zk2:2181"]);
        let sids = BTreeMap::from([(1, known[0].clone())]);
        let members = reconcile(&listed, &known, &sids, &local, ClientPort::Plain);
        assert_eq!((instances(&members), members.kept.len()), (vec!["127.0.0.1:12181"], 0));
    }

    #[test]
    fn members_on_one_machine_are_told_apart_by_their_ports() {
        let listed = [line(1, "127.0.0.1:1:2;127.0.0.1:21"), line(2, "127.0.0.1:3:4;127.0.0.1:22")];
        let local = addresses(&[("127.0.0.1", "127.0.0.1"), ("localhost", "127.0.0.1")]);
        let known = ["localhost:22".to_owned()];
        let members = reconcile(&listed, &known, &BTreeMap::new(), &local, ClientPort::Plain);
        assert_eq!(instances(&members), ["127.0.0.1:21", "localhost:22"]);
        assert_eq!(hosts(&listed, &known).len(), 2);
    }

    #[test]
    fn secure_ports_are_told_or_supposed_and_never_plain_ones() {
        let secure = |text: &str| line(1, text).client_address(ClientPort::Secure, 2281);
        assert_eq!(secure("a:2888:3888:participant;0.0.0.0:2181"), "a:2281");
        assert_eq!(secure("a:2888:3888:participant;b:2181;c:2381"), "c:2381");
        assert_eq!(secure("a:2888:3888:participant;;2381"), "a:2381");
        let three = [line(1, "zk1:1:2;2181"), line(2, "zk2:1:2;2181"), line(3, "zk3:1:2;2181")];
        let known = ["zk1:2281".to_owned()];
        let all = addresses(&[("zk1", "10.0.0.1"), ("zk2", "10.0.0.2"), ("zk3", "10.0.0.3")]);
        let none = BTreeMap::new();
        let members = reconcile(&three, &known, &none, &all, ClientPort::Secure);
        assert_eq!(instances(&members), ["zk1:2281", "zk2:2281", "zk3:2281"]);
    }

    #[test]
    fn secure_ports_of_one_machine_are_only_told_by_the_servers() {
        let three = [11, 12, 13].map(|n| line(n, &format!("127.0.0.1:1:2;127.0.0.1:{n}")));
        let local = addresses(&[("127.0.0.1", "127.0.0.1")]);
        let known = ["127.0.0.1:21".to_owned(), "127.0.0.1:22".to_owned()];
        // Nobody has said who he is: what was named stays, and nothing is made up.
        let none = BTreeMap::new();
        let members = reconcile(&three, &known, &none, &local, ClientPort::Secure);
        assert_eq!((members.found.len(), &members.kept[..]), (0, &known[..]));
        assert_eq!(members.unported.len(), 1, "two of the three are named");
        let sids = BTreeMap::from([(12, known[1].clone())]);
        let members = reconcile(&three, &known, &sids, &local, ClientPort::Secure);
        assert_eq!((instances(&members), &members.kept[..]), (vec!["127.0.0.1:22"], &known[..1]));
    }
}

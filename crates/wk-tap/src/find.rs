//! Finding the leader, and the port on which it takes learners.
//!
//! Members are asked `srvr`: one says that it leads, and its last zxid. Where it takes learners
//! stands in its `conf` (3.4 to 3.9), else in `/zookeeper/config`, else the user says it. Only a
//! leader listens on that port.

use std::time::Duration;

use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio::time::timeout;
use wk_client::Access;
use wk_proto::Zxid;

/// Members that one answer may name; more are left out.
const MEMBERS_MAX: usize = 64;

/// Why there is no connection to a leader. The text is for people.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum FindError {
    /// A server without an ensemble has no such port, now or later.
    #[error(
        "{0} is a standalone server: it has no quorum port and no leader that a tap could follow; \
         the server inside `watchkeeper up` gives its stream without one"
    )]
    Standalone(String),
    /// No server answers.
    #[error("no server answers: {0}")]
    Unreachable(String),
    /// Servers answer, and none leads.
    #[error("no leader: {0}")]
    NoLeader(String),
    /// The leader's port for learners is not known.
    #[error(
        "{leader} leads, but where it takes learners is not known ({why}); allow `conf` there \
         (4lw.commands.whitelist=srvr,conf) or give --quorum HOST:PORT"
    )]
    NoPort {
        /// Its client address.
        leader: String,
        /// What was tried.
        why: String,
    },
    /// The leader's port for learners cannot be reached.
    #[error(
        "{leader} leads, but its quorum port {quorum} cannot be reached ({why}); open it for this \
         machine, or give --quorum HOST:PORT"
    )]
    PortUnreachable {
        /// Its client address.
        leader: String,
        /// The port.
        quorum: String,
        /// The cause.
        why: String,
    },
}

impl FindError {
    /// Will another try end the same way until somebody changes something?
    pub fn is_final(&self) -> bool {
        matches!(self, Self::Standalone(_))
    }
}

/// A leader, connected.
#[derive(Debug)]
pub(crate) struct Found {
    pub(crate) stream: TcpStream,
    /// Its client address.
    pub(crate) leader: String,
    /// The last zxid that it had committed.
    pub(crate) last: Zxid,
}

/// What `srvr` says.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Srvr {
    mode: Mode,
    zxid: Zxid,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Mode {
    Leader,
    Standalone,
    Other,
}

/// Finds the leader again and again.
pub(crate) struct Finder {
    /// Client addresses: those given, then those that members named.
    servers: Vec<String>,
    access: Access,
    /// Where leaders take learners, if the user says so.
    quorum: Vec<String>,
    limit: Duration,
}

impl Finder {
    pub(crate) fn new(
        servers: Vec<String>,
        access: Access,
        quorum: Vec<String>,
        limit: Duration,
    ) -> Self {
        Self { servers, access, quorum, limit }
    }

    /// Asks all servers at once, then connects to the one that leads.
    pub(crate) async fn find(&mut self) -> Result<Found, FindError> {
        let (leader, last) = self.leader().await?;
        let ports = self.ports(&leader).await?;
        let mut failure = None;
        for quorum in ports {
            match self.connect(&quorum).await {
                Ok(stream) => return Ok(Found { stream, leader, last }),
                Err(why) => failure = failure.or(Some((quorum, why))),
            }
        }
        let (quorum, why) = failure.unwrap_or_default();
        Err(FindError::PortUnreachable { leader, quorum, why })
    }

    async fn connect(&self, quorum: &str) -> Result<TcpStream, String> {
        match timeout(self.limit, TcpStream::connect(quorum)).await {
            Ok(Ok(stream)) => {
                // Answers to pings are small and must not wait.
                let _ = stream.set_nodelay(true);
                Ok(stream)
            }
            Ok(Err(err)) => Err(err.to_string()),
            Err(_) => Err(format!("no connection within {} s", self.limit.as_secs_f32())),
        }
    }

    async fn leader(&mut self) -> Result<(String, Zxid), FindError> {
        let mut asked = JoinSet::new();
        for server in self.servers.clone() {
            let (access, limit) = (self.access.clone(), self.limit);
            asked.spawn(async move {
                let answer = access.four_letter(&server, "srvr", limit).await;
                (server, answer)
            });
        }
        let (mut silent, mut others) = (Vec::new(), Vec::new());
        let mut standalone = None;
        while let Some(Ok((server, answer))) = asked.join_next().await {
            match answer.map(|text| (parse_srvr(&text), text)) {
                Ok((Some(Srvr { mode: Mode::Leader, zxid }), _)) => return Ok((server, zxid)),
                Ok((Some(Srvr { mode: Mode::Standalone, .. }), _)) => standalone = Some(server),
                Ok((Some(_), _)) => others.push(server),
                Ok((None, text)) => {
                    let line = text.lines().next().unwrap_or_default();
                    let line: String = line.chars().take(100).collect();
                    silent.push(format!("{server} says {line:?}"));
                }
                Err(err) => silent.push(format!("{server}: {err}")),
            }
        }
        silent.sort_unstable();
        if let Some(server) = standalone {
            return Err(FindError::Standalone(server));
        }
        let Some(follower) = others.first() else {
            return Err(FindError::Unreachable(silent.join("; ")));
        };
        // The leader may be one that nobody told us of.
        let learned = self.learn(follower).await;
        let why = format!("{} follow or observe; {}", others.join(", "), silent.join("; "));
        if learned {
            return Box::pin(self.leader()).await;
        }
        Err(FindError::NoLeader(why.trim_end_matches("; ").to_owned()))
    }

    /// Adds the members that `server` knows; says whether any was new.
    async fn learn(&mut self, server: &str) -> bool {
        let text = self.access.four_letter(server, "conf", self.limit).await.unwrap_or_default();
        let members = parse_conf(&text).members.into_iter();
        let found: Vec<String> = if self.access.is_secure() {
            // Lists name plain ports; the one with TLS is taken to be the same on all machines.
            members.map(|member| secure_address(&member, server)).collect()
        } else {
            members.filter_map(|member| member.client).collect()
        };
        let before = self.servers.len();
        for client in found {
            if !self.servers.contains(&client) && self.servers.len() < MEMBERS_MAX {
                self.servers.push(client);
            }
        }
        self.servers.len() > before
    }

    /// Where `leader` may take learners, best first.
    async fn ports(&self, leader: &str) -> Result<Vec<String>, FindError> {
        if !self.quorum.is_empty() {
            return Ok(self.quorum.clone());
        }
        let conf = match self.access.four_letter(leader, "conf", self.limit).await {
            Ok(text) => parse_conf(&text),
            Err(_) => Conf::default(),
        };
        let mut ports = Vec::new();
        let own = conf.members.iter().find(|member| Some(member.sid) == conf.sid);
        ports.extend(own.map(|member| member.quorum.clone()));
        // What members call each other may mean nothing here; the leader's own host is known.
        let host = leader.rsplit_once(':').map_or(leader, |(host, _)| host);
        let port = own.and_then(|member| member.quorum.rsplit_once(':'));
        let port = port.map(|(_, port)| port.to_owned()).or(conf.quorum_port);
        ports.extend(port.map(|port| format!("{host}:{port}")));
        if ports.is_empty() {
            // Only a leader listens there, so all members' may be tried.
            let members = self.config(leader).await.map_err(|why| FindError::NoPort {
                leader: leader.to_owned(),
                why: format!("conf is not answered, and {why}"),
            })?;
            ports.extend(members.into_iter().map(|member| member.quorum));
        }
        ports.retain(|port| !port.starts_with("0.0.0.0:") && !port.starts_with("[::]:"));
        ports.dedup();
        if ports.is_empty() {
            let why = "no member list names it".to_owned();
            return Err(FindError::NoPort { leader: leader.to_owned(), why });
        }
        Ok(ports)
    }

    /// The members as `/zookeeper/config` has them.
    async fn config(&self, server: &str) -> Result<Vec<Member>, String> {
        let client = self.access.client(server).start().map_err(|err| err.to_string())?;
        let read = timeout(self.limit, client.get("/zookeeper/config")).await;
        let text = match &read {
            Ok(Ok(znode)) => String::from_utf8_lossy(znode.data.as_deref().unwrap_or_default()),
            Ok(Err(err)) => return Err(format!("/zookeeper/config: {err}")),
            Err(_) => return Err("/zookeeper/config is not answered".to_owned()),
        };
        let members = parse_members(&text);
        let _ = timeout(self.limit, client.close()).await;
        Ok(members)
    }
}

/// What `conf` says that matters here.
#[derive(Debug, Default, PartialEq, Eq)]
struct Conf {
    sid: Option<i64>,
    quorum_port: Option<String>,
    members: Vec<Member>,
}

/// A line of the member list.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Member {
    sid: i64,
    quorum: String,
    /// Its client address, where the list has it.
    client: Option<String>,
}

fn parse_srvr(text: &str) -> Option<Srvr> {
    let value = |name: &str| text.lines().find_map(|line| line.strip_prefix(name)).map(str::trim);
    let mode = match value("Mode:")? {
        "leader" => Mode::Leader,
        "standalone" => Mode::Standalone,
        _ => Mode::Other,
    };
    let zxid = u64::from_str_radix(value("Zxid:")?.trim_start_matches("0x"), 16).ok()?;
    Some(Srvr { mode, zxid: Zxid(zxid.cast_signed()) })
}

fn parse_conf(text: &str) -> Conf {
    let value = |name: &str| text.lines().find_map(|line| line.trim().strip_prefix(name));
    Conf {
        sid: value("serverId=").and_then(|sid| sid.trim().parse().ok()),
        quorum_port: value("quorumPort=").map(|port| port.trim().to_owned()),
        members: parse_members(text),
    }
}

/// Lines `server.SID=HOST:QUORUM:ELECTION[:ROLE][;[HOST:]CLIENT]`; of several addresses the first.
fn parse_members(text: &str) -> Vec<Member> {
    text.lines().filter_map(parse_member).take(MEMBERS_MAX).collect()
}

fn parse_member(line: &str) -> Option<Member> {
    let (sid, value) = line.trim().strip_prefix("server.")?.split_once('=')?;
    let (addresses, client) = match value.split_once(';') {
        Some((addresses, client)) => (addresses, Some(client)),
        None => (value, None),
    };
    let address = addresses.split('|').next()?;
    // An IPv6 host has colons of its own, inside brackets.
    let host_len = match address.strip_prefix('[') {
        Some(rest) => rest.find(']')? + 2,
        None => address.find(':')?,
    };
    let (host, ports) = address.split_at_checked(host_len)?;
    let quorum: u16 = ports.strip_prefix(':')?.split(':').next()?.parse().ok()?;
    let client = client.and_then(|client| client_address(host, client));
    Some(Member { sid: sid.parse().ok()?, quorum: format!("{host}:{quorum}"), client })
}

/// The member's machine with the port of `known`.
fn secure_address(member: &Member, known: &str) -> String {
    let address = member.client.as_ref().unwrap_or(&member.quorum);
    let host = address.rsplit_once(':').map_or(address.as_str(), |(host, _)| host);
    let port = known.rsplit_once(':').map_or("2281", |(_, port)| port);
    format!("{host}:{port}")
}

fn client_address(host: &str, client: &str) -> Option<String> {
    let client = client.split(';').next()?.trim();
    let (own, port) = client.rsplit_once(':').unwrap_or(("", client));
    let port: u16 = port.parse().ok().filter(|port| *port != 0)?;
    // A wildcard is where it listens, not where it is.
    let own = if matches!(own, "" | "0.0.0.0" | "[::]" | "[0:0:0:0:0:0:0:0]") { host } else { own };
    Some(format!("{own}:{port}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn members(text: &str) -> Vec<String> {
        let line =
            |m: &Member| format!("{} {} {}", m.sid, m.quorum, m.client.as_deref().unwrap_or("-"));
        parse_members(text).iter().map(line).collect()
    }

    #[test]
    fn member_lists_of_all_versions_are_read() {
        let text = "server.1=zk1:2888:3888:participant;2181\nserver.2=zk2:2888:3888\n\
                    server.3=[::1]:2888:3888:observer;[::1]:2183\nversion=0\n\
                    server.4=a:1:2|b:3:4:participant;0.0.0.0:2184;;a:2281\nserver.x=a:1:2\n\
                    server.5=a:x:2\nserver.6\n";
        let want =
            ["1 zk1:2888 zk1:2181", "2 zk2:2888 -", "3 [::1]:2888 [::1]:2183", "4 a:1 a:2184"];
        assert_eq!(members(text), want);
    }

    #[test]
    fn with_tls_members_are_asked_at_the_port_that_is_known() {
        let text = "server.1=zk1:2888:3888:participant;2181\nserver.2=[::1]:2888:3888";
        let asked: Vec<String> =
            parse_members(text).iter().map(|m| secure_address(m, "zk9:2281")).collect();
        assert_eq!(asked, ["zk1:2281", "[::1]:2281"]);
    }

    #[test]
    fn srvr_and_conf_of_a_real_server() {
        let srvr = "Zookeeper version: 3.9.5-x, built on y\nZxid: 0x10000000d\nMode: leader\n";
        let want = Srvr { mode: Mode::Leader, zxid: Zxid(0x1_0000_000d) };
        assert_eq!(parse_srvr(srvr), Some(want));
        for silent in ["", "This ZooKeeper instance is not currently serving requests\n"] {
            assert_eq!(parse_srvr(silent), None);
        }
        let conf = "clientPort=1\nserverId=3\nelectionPort=33\nquorumPort=43\nmembership: \n\
                    server.3=127.0.0.1:43:33:participant;127.0.0.1:1\nversion=0";
        let conf = parse_conf(conf);
        assert_eq!((conf.sid, conf.quorum_port.as_deref()), (Some(3), Some("43")));
        assert_eq!(conf.members.len(), 1);
    }
}

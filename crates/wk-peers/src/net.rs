//! Hosts round a router, made of network namespaces: links that can be cut one by one.
//!
//! Every member has an address of its own, `10.X.I.2`, and all packets between members, and between
//! a member and this machine, pass the router. A monitor on this machine so sees every member, while
//! members may not see each other. Needs root; names hold our process id, so that runs side by side
//! do not meet, and a [`Janitor`] removes all of it.

use std::net::Ipv4Addr;
use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context, Result, bail};

use crate::cache::Cache;
use crate::ensemble::Place;
use crate::fetch::{Peer, library_path};
use crate::janitor::Janitor;
use crate::process::run;
use crate::tools::is_root;

/// The last byte but one of the link between this machine and the router.
const OWN_LINK: u8 = 250;

/// A running network; heals and vanishes with its janitor.
#[derive(Debug)]
pub struct Net {
    name: String,
    second: u8,
    hosts: u8,
    tools: PathBuf,
}

impl Net {
    /// Makes a router and as many hosts.
    ///
    /// # Errors
    /// Without root, without namespaces in this kernel, or when iptables cannot be fetched.
    pub fn start(cache: &Cache, janitor: &mut Janitor, hosts: usize) -> Result<Self> {
        if !is_root() {
            bail!("network namespaces need root");
        }
        let tools = Peer::FaultTools.ensure(cache, &|_| ())?;
        let id = std::process::id();
        let hosts = u8::try_from(hosts).ok().filter(|hosts| *hosts < OWN_LINK);
        let hosts = hosts.context("a network of at most 249 hosts")?;
        let name = format!("wkf{id}");
        let net = Self { second: free_second(id)?, name, hosts, tools };
        // Removing a namespace removes the links that end in it, on both sides.
        for host in 0..=hosts {
            janitor.at_end(&format!("ip netns del {}", net.space(host)))?;
        }
        net.add_router()?;
        for host in 1..=hosts {
            net.add_host(host)?;
        }
        Ok(net)
    }

    /// Where the members of an ensemble run, in order.
    pub fn places(&self) -> Vec<Place> {
        let place = |host| Place {
            host: self.address(host),
            wrapper: ["ip", "netns", "exec", &self.space(host)].map(str::to_owned).to_vec(),
        };
        (1..=self.hosts).map(place).collect()
    }

    /// Drops all packets between two members, both ways.
    ///
    /// # Errors
    /// When iptables refuses.
    pub fn cut(&self, one: usize, other: usize) -> Result<()> {
        let (one, other) = (self.member(one)?, self.member(other)?);
        self.drop_packets(&["-s", &one, "-d", &other])?;
        self.drop_packets(&["-s", &other, "-d", &one])
    }

    /// Drops all packets between a member and all others, both ways; this machine still sees it.
    ///
    /// # Errors
    /// When iptables refuses.
    pub fn isolate(&self, member: usize) -> Result<()> {
        for other in (0..usize::from(self.hosts)).filter(|other| *other != member) {
            self.cut(member, other)?;
        }
        Ok(())
    }

    /// Drops what is sent to a port of a member, by anybody.
    ///
    /// # Errors
    /// When iptables refuses.
    pub fn close_port(&self, member: usize, port: u16) -> Result<()> {
        let address = self.member(member)?;
        self.drop_packets(&["-d", &address, "-p", "tcp", "--dport", &port.to_string()])
    }

    /// Loses a share of all packets, ours to the members among them.
    ///
    /// # Errors
    /// When iptables refuses.
    pub fn lose(&self, share: f64) -> Result<()> {
        let share = share.to_string();
        self.drop_packets(&["-m", "statistic", "--mode", "random", "--probability", &share])
    }

    /// Lets everything pass again.
    ///
    /// # Errors
    /// When iptables refuses.
    pub fn heal(&self) -> Result<()> {
        self.iptables(&["-F", "FORWARD"])
    }

    fn add_router(&self) -> Result<()> {
        let (router, up, down) = (self.space(0), format!("{}u", self.name), self.port(OWN_LINK));
        let net = |last: u8| format!("10.{}.{OWN_LINK}.{last}", self.second);
        ip(&format!("netns add {router}"))?;
        ip(&format!("-n {router} link set lo up"))?;
        let forward = "echo 1 >/proc/sys/net/ipv4/ip_forward";
        let mut command = Command::new("ip");
        command.args(["netns", "exec", &router, "sh", "-c", forward]);
        run("let the router forward", &mut command)?;
        ip(&format!("link add {up} type veth peer name {down} netns {router}"))?;
        ip(&format!("addr add {}/24 dev {up}", net(2)))?;
        ip(&format!("link set {up} up"))?;
        ip(&format!("-n {router} addr add {}/24 dev {down}", net(1)))?;
        ip(&format!("-n {router} link set {down} up"))?;
        ip(&format!("route add 10.{}.0.0/16 via {}", self.second, net(1)))
    }

    fn add_host(&self, host: u8) -> Result<()> {
        let (router, space, port) = (self.space(0), self.space(host), self.port(host));
        let gate = format!("10.{}.{host}.1", self.second);
        ip(&format!("netns add {space}"))?;
        ip(&format!("link add eth0 netns {space} type veth peer name {port} netns {router}"))?;
        ip(&format!("-n {space} addr add {}/24 dev eth0", self.address(host)))?;
        ip(&format!("-n {space} link set eth0 up"))?;
        ip(&format!("-n {space} link set lo up"))?;
        ip(&format!("-n {router} addr add {gate}/24 dev {port}"))?;
        ip(&format!("-n {router} link set {port} up"))?;
        ip(&format!("-n {space} route add default via {gate}"))
    }

    fn drop_packets(&self, which: &[&str]) -> Result<()> {
        self.iptables(&[&["-I", "FORWARD"], which, &["-j", "DROP"]].concat())
    }

    fn iptables(&self, args: &[&str]) -> Result<()> {
        let mut command = Command::new("ip");
        command.args(["netns", "exec", &self.space(0)]);
        command.arg(self.tools.join("usr/sbin/xtables-legacy-multi")).arg("iptables").args(args);
        command.env("LD_LIBRARY_PATH", library_path(&self.tools)?);
        let extensions = self.tools.join("usr/lib/x86_64-linux-gnu/xtables");
        command.env("XTABLES_LIBDIR", extensions);
        run("iptables", &mut command).map(drop)
    }

    /// The name of a namespace; 0 is the router.
    fn space(&self, host: u8) -> String {
        format!("{}-{host}", self.name)
    }

    /// The name of the router's end of a link.
    fn port(&self, host: u8) -> String {
        format!("{}r{host}", self.name)
    }

    fn address(&self, host: u8) -> Ipv4Addr {
        Ipv4Addr::new(10, self.second, host, 2)
    }

    fn member(&self, index: usize) -> Result<String> {
        let host = u8::try_from(index + 1).ok().filter(|host| *host <= self.hosts);
        Ok(self.address(host.context("no such host in the network")?).to_string())
    }
}

/// A second byte of 10.X.0.0/16 that no route of this machine mentions.
fn free_second(id: u32) -> Result<u8> {
    let routes = run("ip route", Command::new("ip").arg("route"))?;
    let taken = |second: &u8| routes.contains(&format!("10.{second}."));
    let first = u8::try_from(id % 100).unwrap_or(0);
    let mut candidates = (0..100).map(|step| 100 + (first + step) % 100);
    candidates.find(|second| !taken(second)).context("no free network 10.100 to 10.199")
}

fn ip(args: &str) -> Result<()> {
    run("ip", Command::new("ip").args(args.split(' '))).map(drop)
}

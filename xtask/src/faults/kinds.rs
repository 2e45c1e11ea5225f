//! The kinds of faults: what is done, which rules may be the first to tell, about whom, how soon.

use std::time::Duration;

use super::inject;
use super::rig::{Rig, Setup};
use super::verdict::{Fault, Seen};

/// Says what is broken.
type Check = fn(&Fault, &[Seen]) -> Result<(), String>;

/// A kind of fault.
#[derive(Clone, Debug)]
pub(super) struct Kind {
    pub(super) name: &'static str,
    /// What is done, for the table.
    pub(super) title: &'static str,
    /// Any of these is the right rule; none: nothing may be told at all.
    pub(super) expects: &'static [&'static str],
    /// True things that may be told beside it.
    pub(super) also: &'static [&'static str],
    /// The time that the project wants to keep.
    pub(super) goal: Option<Duration>,
    /// How long a trial waits before it says "missed".
    pub(super) patience: Duration,
    pub(super) runs: usize,
    pub(super) setup: Setup,
    /// Whether each trial needs an ensemble of its own.
    pub(super) fresh: bool,
    pub(super) needs: Needs,
    pub(super) inject: fn(&mut Rig) -> anyhow::Result<Fault>,
    /// What must hold beside the first notification.
    pub(super) check: Option<Check>,
}

/// What the machine must allow.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Needs {
    Nothing,
    /// Namespaces or mounts.
    Root,
}

const SECOND: Duration = Duration::from_secs(1);

/// One voter of three is gone.
const VOTER: [&str; 3] = ["ZkServerUnreachable", "ZkOneFailureFromOutage", "ZkVoterMissing"];

/// One voter of three comes and goes: it enters an election each time, and that is counted.
const LOOPING: [&str; 4] =
    ["ZkServerUnreachable", "ZkOneFailureFromOutage", "ZkVoterMissing", "ZkServerRejoinLoop"];

/// One voter of three is there and does not serve.
const SICK: [&str; 6] = [
    "ZkServerUnreachable",
    "ZkServerNotServing",
    "ZkServerRejoinLoop",
    "ZkCriticalThreadDied",
    "ZkOneFailureFromOutage",
    "ZkVoterMissing",
];

/// Nobody leads, or nobody can be sure to.
const OUTAGE: [&str; 10] = [
    "ZkNoLeader",
    "ZkCanaryFailing",
    "ZkServerUnreachable",
    "ZkServerNotServing",
    "ZkOneFailureFromOutage",
    "ZkVoterMissing",
    "ZkElectionSlow",
    "ZkUnavailableTooLong",
    "ZkTwoLeaders",
    "NodeViewLost",
];

impl Kind {
    fn new(
        name: &'static str,
        title: &'static str,
        expects: &'static [&'static str],
        inject: fn(&mut Rig) -> anyhow::Result<Fault>,
    ) -> Self {
        Self {
            name,
            title,
            expects,
            also: &[],
            goal: None,
            patience: 30 * SECOND,
            runs: 5,
            setup: Setup::default(),
            fresh: false,
            needs: Needs::Nothing,
            inject,
            check: None,
        }
    }

    fn also(mut self, also: &'static [&'static str]) -> Self {
        self.also = also;
        self
    }

    fn goal(mut self, seconds: u32) -> Self {
        self.goal = Some(seconds * SECOND);
        self
    }

    fn patience(mut self, seconds: u32) -> Self {
        self.patience = seconds * SECOND;
        self
    }

    fn often(mut self) -> Self {
        self.runs = 100;
        self
    }

    fn once(mut self) -> Self {
        self.runs = 1;
        self
    }

    fn fresh(mut self) -> Self {
        self.fresh = true;
        self
    }

    fn on(mut self, setup: Setup) -> Self {
        if setup.net || setup.small_logs {
            self.needs = Needs::Root;
        }
        self.setup = setup;
        self
    }

    fn check(mut self, check: Check) -> Self {
        self.check = Some(check);
        self
    }
}

/// All kinds, in the order of the table.
pub(super) fn all() -> Vec<Kind> {
    [servers(), networks(), disks(), clients(), configurations(), nodes(), ours()].concat()
}

fn servers() -> Vec<Kind> {
    vec![
        Kind::new(
            "server-kill",
            "a follower is killed (kill -9)",
            &["ZkServerUnreachable"],
            inject::server_kill,
        )
        .also(&VOTER)
        .goal(3)
        .often(),
        Kind::new(
            "leader-kill",
            "the leader is killed (kill -9)",
            &["ZkServerUnreachable"],
            inject::leader_kill,
        )
        .also(&VOTER)
        .goal(3)
        .often(),
        Kind::new(
            "majority-kill",
            "two of three are killed at once",
            &["ZkNoLeader"],
            inject::majority_kill,
        )
        .also(&OUTAGE)
        .goal(5)
        .often(),
        Kind::new(
            "leader-pause",
            "the leader is stopped (SIGSTOP) and stays so",
            &["ZkCanaryFailing"],
            inject::leader_pause,
        )
        .also(&OUTAGE)
        .goal(5),
        Kind::new(
            "server-pause",
            "a follower is stopped (SIGSTOP) for 10 s",
            &["ZkServerUnreachable", "ZkCanaryFailing"],
            inject::server_pause,
        )
        .also(&VOTER),
        Kind::new(
            "crash-loop",
            "a follower is killed whenever it serves again",
            &["ZkServerFlapping"],
            inject::crash_loop,
        )
        .also(&LOOPING)
        .patience(90),
        Kind::new(
            "port-taken",
            "a killed follower finds its client port taken and ends",
            &["ZkServerUnreachable"],
            inject::port_taken,
        )
        .also(&VOTER)
        .fresh(),
        Kind::new(
            "wrong-list",
            "a follower starts again with a server list that lacks the leader",
            &["ZkServerNotServing"],
            inject::wrong_list,
        )
        .also(&VOTER)
        .fresh(),
    ]
}

fn networks() -> Vec<Kind> {
    let net = || Setup { net: true, ..Setup::default() };
    vec![
        Kind::new(
            "leader-cut",
            "the leader is cut off from its peers, the monitor sees all",
            &["ZkCanaryFailing"],
            inject::leader_cut,
        )
        .also(&OUTAGE)
        .goal(5)
        .on(net()),
        Kind::new(
            "link-cut",
            "the link between the leader and one follower is cut",
            &["ZkServerNotServing", "ZkCanaryFailing"],
            inject::link_cut,
        )
        .also(&OUTAGE)
        .fresh()
        .on(net()),
        Kind::new(
            "majority-split",
            "no member reaches another",
            &["ZkNoLeader", "ZkCanaryFailing"],
            inject::majority_split,
        )
        .also(&OUTAGE)
        .fresh()
        .on(net()),
        Kind::new(
            "election-port",
            "packets to the election port of one follower are dropped",
            &["ZkElectionPortUnreachable"],
            inject::election_port,
        )
        // An open port is tried once a minute: each try costs its server lines in its log.
        .patience(90)
        .on(net()),
        Kind::new("loss", "5 % of all packets are lost, for a minute", &[], inject::loss)
            .patience(60)
            .on(net()),
    ]
}

fn disks() -> Vec<Kind> {
    let small = || Setup { small_logs: true, load: Some((60, 1024)), ..Setup::default() };
    let busy = || Setup { load: Some((30, 128)), ..Setup::default() };
    vec![
        Kind::new(
            "log-disk-full",
            "the log disk of a follower is full",
            &["ZkServerRejoinLoop"],
            inject::follower_disk_full,
        )
        .also(&SICK)
        .goal(15)
        .fresh()
        .on(small()),
        Kind::new(
            "leader-disk-full",
            "the log disk of the leader is full",
            &["ZkServerRejoinLoop"],
            inject::leader_disk_full,
        )
        .also(&SICK)
        .goal(15)
        .fresh()
        .on(small()),
        Kind::new(
            "slow-fsync",
            "fsync takes 120 ms longer on the leader and a follower (strace)",
            &["ZkFsyncSlow"],
            inject::slow_fsync,
        )
        .also(&["ZkLogDiskSaturated", "ZkWriteLatencyHigh", "ZkCanarySlow"])
        .patience(150)
        .on(busy()),
        Kind::new(
            "read-only-disk",
            "every fsync of a follower fails with EROFS (strace)",
            &["ZkServerRejoinLoop", "ZkCriticalThreadDied"],
            inject::read_only_disk,
        )
        .also(&SICK)
        .fresh()
        .on(busy()),
        Kind::new(
            "torn-log",
            "a killed follower finds the end of its log damaged",
            &["ZkServerUnreachable"],
            inject::torn_log,
        )
        .also(&VOTER)
        .fresh()
        .on(busy()),
    ]
}

fn clients() -> Vec<Kind> {
    let limit = || Setup { lines: &["maxClientCnxns=60"], ..Setup::default() };
    vec![
        Kind::new(
            "connection-leak",
            "a client holds 60 connections to one server and asks for more",
            &["ZkConnectionsRejected"],
            inject::connection_leak,
        )
        .also(&["ZkConnectionsUnbalanced"])
        .patience(90)
        .on(limit()),
        Kind::new(
            "reconnect-loop",
            "a client makes 20 sessions a second and drops them",
            &["ZkConnectionChurn"],
            inject::reconnect_loop,
        )
        .also(&["ZkSessionExpiryStorm"])
        .patience(150)
        // The sessions that it left expire in the next trial.
        .fresh(),
        Kind::new(
            "znode-flood",
            "a client creates 105 000 znodes within a minute or so",
            &["ZkZnodeGrowth"],
            inject::znode_flood,
        )
        .also(&["ZkRequestBacklog", "ZkWriteLatencyHigh"])
        .on(Setup { heap: Some("512m"), ..Setup::default() })
        // The rule waits for half an hour of growth.
        .patience(2000)
        .once()
        .fresh(),
        Kind::new(
            "expiry-wave",
            "40 sessions of 4 s expire at once",
            &["ZkSessionExpiryStorm"],
            inject::expiry_wave,
        )
        .also(&["ZkConnectionChurn"]),
    ]
}

fn configurations() -> Vec<Kind> {
    vec![
        Kind::new(
            "config-drift",
            "a follower starts again with another tickTime",
            &["ZkConfigDrift"],
            inject::config_drift,
        )
        .also(&VOTER)
        .patience(180)
        .fresh(),
        Kind::new(
            "mixed-versions",
            "a follower starts again as 3.8.6",
            &["ZkMixedVersions"],
            inject::mixed_versions,
        )
        .also(&VOTER)
        // The rule waits for an hour, so that an upgrade in steps is no news.
        .patience(3700)
        .once()
        .fresh(),
        Kind::new(
            "certificate",
            "the certificate of the secure port ends in 5 days (agents on the hosts)",
            &["ZkCertExpiring"],
            inject::certificate,
        )
        .patience(60)
        .on(Setup { certificate_days: Some(5), agents: true, ..Setup::default() }),
    ]
}

fn nodes() -> Vec<Kind> {
    vec![
        Kind::new(
            "node-kill",
            "a registered node (kazoo, session timeout 4 s) is killed",
            &["NodeDown"],
            inject::node_kill,
        )
        .also(&["NodeSuspected"])
        // Session timeout, one tick in which the server notices, one second of ours.
        .goal(7)
        .often(),
        Kind::new(
            "node-flap",
            "a node loses its session again and again",
            &["NodeFlapping"],
            inject::node_flap,
        )
        .also(&["NodeDown", "NodeSuspected"])
        .patience(90),
        Kind::new(
            "group-minimum",
            "a group of two that needs two loses one",
            &["GroupBelowMinimum"],
            inject::group_minimum,
        )
        .also(&["NodeDown", "NodeSuspected"])
        .on(Setup { toml: "[group.app]\nminimum = 2\n", ..Setup::default() }),
    ]
}

fn ours() -> Vec<Kind> {
    vec![
        Kind::new(
            "receiver-down",
            "a follower is killed, the receiver answers 503 for 20 s",
            &["NotifyFailing"],
            inject::receiver_down,
        )
        .also(&["ZkServerUnreachable", "ZkOneFailureFromOutage", "NotifyBacklog"])
        .patience(60)
        .on(Setup { spare: true, ..Setup::default() })
        .check(inject::told_once),
        Kind::new(
            "receiver-refuses",
            "two nodes and a follower are killed, the robot refuses inside HTTP 200",
            &["NotifyFailing"],
            inject::receiver_refuses,
        )
        .also(&["ZkServerUnreachable", "ZkOneFailureFromOutage", "NodeDown", "NodeSuspected"])
        .patience(60)
        .fresh()
        .on(Setup { robot: true, ..Setup::default() }),
        Kind::new(
            "monitor-kill",
            "a follower is killed, then the monitor (kill -9) while it tells",
            &["ZkServerUnreachable"],
            inject::monitor_kill,
        )
        .also(&VOTER)
        .check(inject::told_once),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_distinct_and_nothing_right_is_called_false() {
        let kinds = all();
        let mut names: Vec<_> = kinds.iter().map(|kind| kind.name).collect();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), kinds.len());
        assert!(kinds.iter().all(|kind| kind.runs >= 1 && kind.goal <= Some(kind.patience)));
    }
}

//! The shipped rules at our own pace: how soon each fault is told, and what is never told.
//!
//! Three servers are looked at once a second, each at its own moment of the second, as the probes
//! do; rules are evaluated when they are due. All is counted in milliseconds, nothing waits.

use std::collections::BTreeMap;

use wk_promql::{Labels, STALE, Sample, Window, WindowPolicy};
use wk_rules::{AlertState, Catalogue, RuleSet, SetOptions, Thresholds};

const SERVERS: [&str; 3] = ["a", "b", "c"];
/// When the fault comes: the counters have a history by then.
const FAULT: i64 = 120_000;

/// What a look at a server finds.
#[derive(Clone, Copy, PartialEq)]
enum Seen {
    Leader,
    Follower,
    /// It answers and serves nobody.
    Looking,
    Gone,
}

struct World {
    set: RuleSet,
    window: Window,
    /// When each rule fired first, after the fault.
    fired: BTreeMap<String, i64>,
    canary_failures: [u32; 3],
    lookings: [u32; 3],
}

impl World {
    fn new() -> Self {
        let files = Catalogue::shipped().files(&Thresholds::default());
        Self {
            set: RuleSet::new(files, SetOptions::default()).unwrap(),
            window: Window::new(WindowPolicy::default()),
            fired: BTreeMap::new(),
            canary_failures: [0; 3],
            lookings: [1; 3],
        }
    }

    fn put(&mut self, name: &str, server: usize, at: i64, value: f64) {
        let labels = [("ensemble", "e"), ("instance", SERVERS[server]), ("job", "zookeeper")];
        let labels = Labels::metric(name, labels);
        self.window.append(&Sample { labels, at, value }).unwrap();
    }

    fn look(&mut self, server: usize, at: i64, seen: Seen) {
        let serves = matches!(seen, Seen::Leader | Seen::Follower);
        let gauge = |is: bool, value: f64| if is { value } else { STALE };
        let leads = seen == Seen::Leader;
        for (name, value) in [
            ("up", f64::from(u8::from(seen != Seen::Gone))),
            ("znode_count", gauge(serves, 5.0)),
            ("quorum_size", gauge(serves, 3.0)),
            ("leader_uptime", gauge(leads, 1.0)),
            ("synced_followers", gauge(leads, 2.0)),
            ("synced_non_voting_followers", gauge(leads, 0.0)),
            ("looking_count", gauge(seen != Seen::Gone, f64::from(self.lookings[server]))),
        ] {
            self.put(name, server, at, value);
        }
    }

    /// Runs a minute beyond the fault. `seen` and `fails` say what a look and a canary through a
    /// server find at a time after the fault (negative before it).
    fn run(
        &mut self,
        seen: impl Fn(usize, i64) -> Seen,
        fails: impl Fn(usize, i64) -> bool,
        phases: [i64; 3],
    ) {
        for at in (0..FAULT + 60_000).step_by(50) {
            for (server, phase) in phases.into_iter().enumerate() {
                if at % 1000 != phase {
                    continue;
                }
                let seen = seen(server, at - FAULT);
                if seen == Seen::Looking {
                    self.lookings[server] += 1;
                }
                self.look(server, at, seen);
                // A canary that began 2.5 s ago is counted now.
                if fails(server, at - FAULT) {
                    self.canary_failures[server] += 1;
                }
                let failures = f64::from(self.canary_failures[server]);
                self.put("watchkeeper_canary_failures_total", server, at, failures);
            }
            if self.set.next_due().is_some_and(|due| due <= at) {
                self.evaluate(at);
            }
        }
    }

    fn evaluate(&mut self, at: i64) {
        for alert in self.set.evaluate(at, &mut self.window) {
            let is_watchdog = &*alert.rule == "Watchdog";
            if alert.state == AlertState::Firing && alert.changed && !is_watchdog {
                assert!(at >= FAULT, "{} before the fault", alert.rule);
                self.fired.entry(alert.rule.to_string()).or_insert(at - FAULT);
            }
        }
    }
}

/// The slowest of many arrangements of the looks within the second.
fn slowest(
    rule: &str,
    seen: impl Fn(usize, i64) -> Seen,
    fails: impl Fn(usize, i64) -> bool,
) -> i64 {
    let mut worst = 0;
    for phase in (0..1000).step_by(250) {
        let phases = [phase, (phase + 350) % 1000, (phase + 700) % 1000];
        let mut world = World::new();
        world.run(&seen, &fails, phases);
        let fired = world.fired.get(rule);
        worst = worst.max(*fired.unwrap_or_else(|| panic!("{rule} is silent: {:?}", world.fired)));
    }
    worst
}

/// As [`slowest`], for what must not be told: all that fires in any arrangement.
fn told(seen: impl Fn(usize, i64) -> Seen, fails: impl Fn(usize, i64) -> bool) -> Vec<String> {
    let mut told = Vec::new();
    for phase in (0..1000).step_by(250) {
        let phases = [phase, (phase + 350) % 1000, (phase + 700) % 1000];
        let mut world = World::new();
        world.run(&seen, &fails, phases);
        told.extend(world.fired.into_keys());
    }
    told.sort();
    told.dedup();
    told
}

fn usual(server: usize) -> Seen {
    if server == 0 { Seen::Leader } else { Seen::Follower }
}

#[test]
fn a_killed_server_is_told_within_three_seconds() {
    let seen = |server, after| match server {
        2 if after >= 0 => Seen::Gone,
        _ => usual(server),
    };
    let fails = |server, after| server == 2 && after >= 2500;
    assert!(slowest("ZkServerUnreachable", seen, fails) <= 2950);
    // One server's canary is no ensemble's outage.
    assert_eq!(told(seen, fails), ["ZkServerUnreachable"]);
}

#[test]
fn a_killed_leader_is_told_within_three_seconds_and_is_no_outage() {
    let seen = |server, after| match (server, after) {
        (0, 0..) => Seen::Gone,
        // A new leader after 0.7 s.
        (1 | 2, 300..700) => Seen::Looking,
        (1, 700..) => Seen::Leader,
        _ => usual(server),
    };
    let fails = |server, after| server == 0 && after >= 2500;
    assert!(slowest("ZkServerUnreachable", seen, fails) <= 2950);
    assert_eq!(told(seen, fails), ["ZkServerUnreachable"]);
}

#[test]
fn a_lost_majority_is_told_within_five_seconds() {
    // The survivor led, and says so for up to 2.2 s more.
    let led = |server, after| match (server, after) {
        (1 | 2, 0..) => Seen::Gone,
        (0, 2200..) => Seen::Looking,
        _ => usual(server),
    };
    assert!(slowest("ZkNoLeader", led, |_, after| after >= 2500) <= 4950);
    let followed = |server, after| match (server, after) {
        (0 | 1, 0..) => Seen::Gone,
        (2, 300..) => Seen::Looking,
        _ => usual(server),
    };
    assert!(slowest("ZkNoLeader", followed, |_, after| after >= 2500) <= 3450);
}

#[test]
fn a_paused_leader_is_told_by_the_canary_within_five_seconds() {
    // Its followers look well for ten seconds; its own looks find nobody after their time limit.
    // That there is no leader is not so while followers serve, and would hide the canary's alarm.
    let seen = |server, after| match (server, after) {
        (0, 3000..) => Seen::Gone,
        (1 | 2, 10_000..10_700) => Seen::Looking,
        (1, 10_700..) => Seen::Leader,
        _ => usual(server),
    };
    let fails = |_, after| (2500..13_000).contains(&after);
    assert!(slowest("ZkCanaryFailing", seen, fails) <= 4950);
    assert_eq!(told(seen, fails), ["ZkCanaryFailing", "ZkServerUnreachable"]);
}

#[test]
fn a_follower_cut_off_from_its_leader_is_told_before_it_knows_itself() {
    let seen = |server, after| match server {
        2 if after >= 9500 => Seen::Looking,
        _ => usual(server),
    };
    // It hangs for 2.5 s, and again.
    let fails = |server, after| server == 2 && after >= 2500 && (after - 2500) % 2500 < 1000;
    let told_after = slowest("ZkServerNotServing", seen, fails);
    assert!(told_after <= 10_000, "{told_after}");
    // A write that fails once through one server.
    let once = |server, after| server == 2 && (2500..3500).contains(&after);
    assert_eq!(told(|server, _| usual(server), once), Vec::<String>::new());
}

#[test]
fn a_rejoin_loop_is_told_within_fifteen_seconds() {
    // The member serves at each other look, and its counter runs.
    let seen = |server, after| match server {
        2 if after >= 0 && (after / 1000) % 2 == 0 => Seen::Looking,
        _ => usual(server),
    };
    assert!(slowest("ZkServerRejoinLoop", seen, |_, _| false) <= 15_000);
}

#[test]
fn ordinary_things_are_not_told() {
    let never = |_, _| false;
    // One look that finds nobody: a lost SYN.
    let lost = |server, after| match (server, after) {
        (1, 0..1000) => Seen::Gone,
        _ => usual(server),
    };
    assert_eq!(told(lost, never), Vec::<String>::new());
    // The leadership moves, with an election of three seconds in which nobody leads.
    let moved = |server, after| match (server, after) {
        (_, 0..3000) => Seen::Looking,
        (0, 3000..) => Seen::Follower,
        (1, 3000..) => Seen::Leader,
        _ => usual(server),
    };
    assert_eq!(told(moved, never), Vec::<String>::new());
    // A write that fails once through each server, while a leader is elected.
    let once = |_, after| (2500..3500).contains(&after);
    let said = told(|server, _| usual(server), |server, after| server < 2 && once(server, after));
    assert_eq!(said, Vec::<String>::new());
}

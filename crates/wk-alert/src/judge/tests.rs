//! Judging in simulated time: a small world of ensembles, looks at them and two rules.

use wk_proto::ids::Wall;

use super::*;
use crate::sight::{EnsembleSight, Look, ServerSight};

/// Ticks of the world.
const STEP_MS: u64 = 250;
/// A look at a silent server takes this long.
const TIMEOUT_MS: u64 = 1_000;
/// Time between looks at one server.
const INTERVAL_MS: u64 = 1_000;
/// The rule's `for`.
const FOR_MS: u64 = 1_500;

/// Deterministic noise.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963);
        (self.0 >> 33) % sides
    }
}

/// A server, and how far the look at it has come.
struct Server {
    ensemble: String,
    instance: String,
    /// What a look would show.
    truth: Look,
    next_look: u64,
    /// A look under way: begun, ends, shows.
    under_way: Option<(u64, u64, Look)>,
    /// As the rule's `for` sees it.
    down_since: Option<u64>,
}

struct World {
    ms: u64,
    servers: Vec<Server>,
    sight: Sight,
    judge: Judge,
    /// The monitor's own line is cut.
    cut: bool,
    /// Everything said: time, sign, rule, about.
    said: Vec<(u64, char, String, String)>,
}

impl World {
    fn new(ensembles: &[(&str, usize)], dice: &mut Dice) -> Self {
        let mut servers = Vec::new();
        let mut sight = Sight::default();
        for (ensemble, count) in ensembles {
            let mut seen = EnsembleSight::default();
            for server in 1..=*count {
                let instance = format!("{ensemble}{server}:2181");
                seen.servers.insert(instance.clone(), ServerSight::default());
                servers.push(Server {
                    ensemble: (*ensemble).to_owned(),
                    instance,
                    truth: Look::Figures,
                    next_look: dice.roll(INTERVAL_MS),
                    under_way: None,
                    down_since: None,
                });
            }
            sight.ensembles.insert((*ensemble).to_owned(), seen);
            sight.set_clear(ensemble, Mono(0), true);
        }
        let judge = Judge::new(JudgePolicy::default());
        Self { ms: 10_000, servers, sight, judge, cut: false, said: Vec::new() }
    }

    fn set(&mut self, instance: &str, truth: Look) {
        let server = self.servers.iter_mut().find(|server| server.instance == instance);
        server.unwrap().truth = truth;
    }

    fn run(&mut self, seconds: u64) {
        for _ in 0..seconds * 1000 / STEP_MS {
            self.ms += STEP_MS;
            self.look();
            self.judge();
        }
    }

    fn look(&mut self) {
        let mono = |ms: u64| Mono(ms * 1_000_000);
        for server in &mut self.servers {
            let truth = if self.cut { Look::Silent } else { server.truth };
            if server.under_way.is_none() && server.next_look <= self.ms {
                let took = if truth == Look::Silent { TIMEOUT_MS } else { 0 };
                server.under_way = Some((self.ms, self.ms + took, truth));
            }
            if let Some((begun, ends, look)) = server.under_way.filter(|(_, e, _)| *e <= self.ms) {
                server.under_way = None;
                server.next_look = begun + INTERVAL_MS;
                let (ensemble, instance) = (&server.ensemble, &server.instance);
                self.sight.take(ensemble, instance, mono(begun), mono(ends), look);
                let down = matches!(look, Look::Silent | Look::Refused);
                server.down_since = down.then(|| server.down_since.unwrap_or(self.ms));
            }
        }
        let names: Vec<String> = self.sight.ensembles.keys().cloned().collect();
        for name in names {
            let mut own = self.servers.iter().filter(|server| server.ensemble == name);
            let clear = !self.cut && own.any(|server| server.truth == Look::Figures);
            self.sight.set_clear(&name, mono(self.ms), clear);
        }
    }

    fn judge(&mut self) {
        let mut claims = Vec::new();
        for server in &self.servers {
            let Some(since) = server.down_since else { continue };
            claims.push(Claim {
                subject: Subject::server(UNREACHABLE, &server.ensemble, &server.instance),
                severity: Severity::Warning,
                detail: annotated(),
                fires: self.ms - since >= FOR_MS,
            });
        }
        self.step(claims);
    }

    fn step(&mut self, claims: Vec<Claim>) {
        let now = Now {
            mono: Mono(self.ms * 1_000_000),
            wall: Wall(i64::try_from(self.ms).unwrap_or(i64::MAX)),
        };
        let mut out = Vec::new();
        self.judge.step(now, claims, &self.sight, &|_, _| Vec::new(), &mut out);
        for finding in out {
            let (sign, subject) = match finding {
                Finding::Pending { subject, .. } => ('+', subject),
                Finding::Firing { subject, severity: Severity::Critical, .. } => ('C', subject),
                Finding::Firing { subject, .. } => ('!', subject),
                Finding::Gone { subject, .. } => ('-', subject),
                Finding::Unseen { subject, .. } => ('?', subject),
            };
            let about = subject.node.or(subject.instance).unwrap_or(subject.ensemble);
            self.said.push((self.ms, sign, subject.rule, about));
        }
    }

    /// Signs and subjects; those that only began to look bad are left out.
    fn told(&self) -> Vec<String> {
        let mut pending = BTreeSet::new();
        let mut told = Vec::new();
        for (_, sign, rule, about) in &self.said {
            if *sign == '+' {
                pending.insert((rule, about));
                continue;
            }
            let was_pending = pending.remove(&(rule, about));
            if *sign != '-' || !was_pending {
                told.push(format!("{sign}{rule} {about}"));
            }
        }
        told
    }
}

fn annotated() -> Detail {
    let annotations = BTreeMap::from([("summary_en".to_owned(), "s".to_owned())]);
    Detail { annotations, ..Detail::default() }
}

#[test]
fn one_silent_server_of_three_is_found_within_seconds() {
    let mut world = World::new(&[("a", 3)], &mut Dice(1));
    world.run(10);
    world.set("a2:2181", Look::Silent);
    let from = world.ms;
    world.run(10);
    assert_eq!(world.told(), ["!ZkServerUnreachable a2:2181"]);
    let (at, ..) = world.said.last().unwrap();
    assert!(at - from <= INTERVAL_MS + TIMEOUT_MS + FOR_MS + STEP_MS, "{}", at - from);
    world.set("a2:2181", Look::Figures);
    world.run(5);
    assert_eq!(world.told()[1..], ["-ZkServerUnreachable a2:2181"]);
}

#[test]
fn one_silent_look_is_not_believed_however_long_the_next_one_takes() {
    let mut world = World::new(&[("a", 3)], &mut Dice(1));
    world.run(3);
    let at = |ms: u64| Mono(ms * 1_000_000);
    let claim = || Claim {
        subject: Subject::server(UNREACHABLE, "a", "a2:2181"),
        severity: Severity::Warning,
        detail: annotated(),
        fires: true,
    };
    let from = world.ms;
    world.sight.take("a", "a2:2181", at(from), at(from + 1000), Look::Silent);
    world.sight.take("a", "a1:2181", at(from + 1100), at(from + 1200), Look::Figures);
    world.ms += 2200;
    world.step(vec![claim()]);
    assert_eq!(world.told(), Vec::<String>::new());
    world.sight.take("a", "a2:2181", at(from + 1500), at(from + 2500), Look::Silent);
    world.ms += 300;
    world.step(vec![claim()]);
    assert_eq!(world.told(), ["!ZkServerUnreachable a2:2181"]);
}

#[test]
fn a_cut_off_monitor_is_one_fault_and_not_a_flood() {
    for seed in 0..200 {
        let mut dice = Dice(seed);
        let mut world = World::new(&[("a", 3), ("b", 5), ("c", 1)], &mut dice);
        world.run(5);
        // A fault of before stays known, and is not told to be over.
        world.set("b1:2181", Look::Refused);
        world.run(5);
        world.cut = true;
        world.run(20 + dice.roll(60));
        world.cut = false;
        world.run(10);
        let told = [
            "!ZkServerUnreachable b1:2181",
            "CMonitorBlind ",
            "?ZkServerUnreachable b1:2181",
            "-MonitorBlind ",
            "!ZkServerUnreachable b1:2181",
        ];
        assert_eq!(world.told(), told, "seed {seed}");
    }
}

#[test]
fn a_short_cut_says_nothing_at_all() {
    for seed in 0..200 {
        let mut world = World::new(&[("a", 3), ("b", 3)], &mut Dice(seed));
        world.run(5);
        world.cut = true;
        world.run(2);
        world.cut = false;
        world.run(20);
        assert_eq!(world.told(), Vec::<String>::new(), "seed {seed}");
    }
}

#[test]
fn all_servers_refusing_are_their_own_faults() {
    let mut world = World::new(&[("a", 3)], &mut Dice(7));
    world.run(5);
    for server in ["a1:2181", "a2:2181", "a3:2181"] {
        world.set(server, Look::Refused);
    }
    world.run(10);
    assert_eq!(world.told().len(), 3, "{:?}", world.told());
    assert!(world.told().iter().all(|told| told.starts_with("!ZkServerUnreachable")));
}

#[test]
fn a_whole_silent_ensemble_is_found_while_another_answers() {
    let mut world = World::new(&[("a", 3), ("b", 1)], &mut Dice(3));
    world.run(5);
    for server in ["a1:2181", "a2:2181", "a3:2181"] {
        world.set(server, Look::Silent);
    }
    world.run(15);
    assert_eq!(world.told().len(), 3, "{:?}", world.told());
}

#[test]
fn the_only_server_is_critical_and_needs_no_witness() {
    let mut world = World::new(&[("a", 1)], &mut Dice(3));
    world.run(5);
    world.set("a1:2181", Look::Silent);
    world.run(10);
    assert_eq!(world.told(), ["CZkServerUnreachable a1:2181"]);
}

#[test]
fn what_vanishes_with_its_server_is_unseen_and_ends_when_it_is_seen_to_end() {
    let mut world = World::new(&[("a", 3)], &mut Dice(3));
    world.run(5);
    let lag = |detail| Claim {
        subject: Subject::server("ZkFollowerLag", "a", "a2:2181"),
        severity: Severity::Warning,
        detail,
        fires: true,
    };
    let node = || Claim {
        subject: Subject { node: Some("n".into()), ..Subject::ensemble("NodeDown", "a") },
        severity: Severity::Warning,
        detail: annotated(),
        fires: true,
    };
    world.step(vec![lag(annotated()), node()]);
    world.said.clear();
    world.set("a2:2181", Look::Refused);
    for _ in 0..8 {
        world.ms += STEP_MS;
        world.look();
    }
    world.sight.set_clear("a", Mono(world.ms * 1_000_000), false);
    world.step(vec![]);
    world.step(vec![]);
    assert_eq!(world.told(), ["?NodeDown n", "?ZkFollowerLag a2:2181"], "once each");
    world.sight.set_clear("a", Mono(world.ms * 1_000_000), true);
    world.step(vec![lag(annotated())]);
    assert_eq!(world.told()[2..], ["!ZkFollowerLag a2:2181", "-NodeDown n"]);
    world.set("a2:2181", Look::Figures);
    for _ in 0..8 {
        world.ms += STEP_MS;
        world.look();
    }
    world.step(vec![]);
    assert_eq!(world.told()[4..], ["-ZkFollowerLag a2:2181"]);
}

#[test]
fn a_server_that_comes_back_barred_is_not_said_to_be_well() {
    let mut world = World::new(&[("a", 3)], &mut Dice(3));
    world.run(5);
    world.set("a2:2181", Look::Refused);
    world.run(5);
    world.set("a2:2181", Look::Barred);
    world.run(60);
    let told = ["!ZkServerUnreachable a2:2181", "?ZkServerUnreachable a2:2181"];
    assert_eq!(world.told(), told, "it answers, and may serve or not");
    world.set("a2:2181", Look::Figures);
    world.run(5);
    assert_eq!(world.told()[2..], ["-ZkServerUnreachable a2:2181"]);
}

#[test]
fn who_answers_and_bars_us_is_a_witness_that_we_see() {
    let mut world = World::new(&[("a", 2)], &mut Dice(3));
    world.run(5);
    world.set("a1:2181", Look::Barred);
    world.set("a2:2181", Look::Silent);
    world.run(10);
    assert_eq!(world.told(), ["!ZkServerUnreachable a2:2181"]);
}

#[test]
fn after_a_restart_nothing_is_said_twice_and_what_healed_meanwhile_ends() {
    let mut world = World::new(&[("a", 3)], &mut Dice(5));
    let now = Now::default();
    for server in ["a1:2181", "a2:2181"] {
        let subject = Subject::server(UNREACHABLE, "a", server);
        world.judge.adopt(now, subject, Severity::Warning);
    }
    let restored = Claim {
        subject: Subject::server(UNREACHABLE, "a", "a1:2181"),
        severity: Severity::Warning,
        detail: Detail::default(),
        fires: true,
    };
    world.step(vec![restored]);
    assert_eq!(world.told(), ["?ZkServerUnreachable a2:2181"], "nobody has looked yet");
    world.set("a1:2181", Look::Refused);
    world.run(5);
    let told = ["-ZkServerUnreachable a2:2181", "!ZkServerUnreachable a1:2181"];
    let mut rest = world.told()[1..].to_vec();
    rest.retain(|told| !told.starts_with('?'));
    assert_eq!(rest, told);
}

#[test]
fn a_moving_value_is_said_seldom_and_a_worse_severity_at_once() {
    let mut world = World::new(&[("a", 1)], &mut Dice(5));
    world.run(3);
    let claim = |value: f64, severity| Claim {
        subject: Subject::server("ZkFollowerLag", "a", "a1:2181"),
        severity,
        detail: Detail { value: Some(crate::Figure(value)), ..annotated() },
        fires: true,
    };
    for second in 0..90 {
        world.ms += 1000;
        world.look();
        world.step(vec![claim(f64::from(second), Severity::Warning)]);
    }
    assert_eq!(world.told().len(), 2, "at first and after a minute: {:?}", world.said);
    world.step(vec![claim(0.0, Severity::Critical)]);
    assert_eq!(world.told().len(), 3);
}

#[test]
fn where_a_fault_is_was_found_when_it_began_and_is_not_asked_at_its_end() {
    let subject = Subject::ensemble("ZkCanaryFailing", "a");
    let claim = || Claim {
        subject: subject.clone(),
        severity: Severity::Critical,
        detail: annotated(),
        fires: true,
    };
    let mut world = World::new(&[("a", 1)], &mut Dice(1));
    world.set("a1:2181", Look::Figures);
    world.run(2);
    let mut step = |seconds: u64, claims: Vec<Claim>, leader: &str| {
        world.ms += seconds * 1000;
        world.look();
        let now = Now { mono: Mono(world.ms * 1_000_000), wall: Wall(0) };
        let facts = |_: &Subject, ask: Ask| {
            let place = Fact::new(FactKind::AtLeaderPath, [leader.to_owned()]);
            let seen = Fact::new(FactKind::LastServed, [leader.to_owned()]);
            if ask == Ask::Seen { vec![seen] } else { vec![place, seen] }
        };
        let mut out = Vec::new();
        world.judge.step(now, claims, &world.sight, &facts, &mut out);
        out
    };
    let args = |facts: &[Fact]| -> Vec<String> {
        facts.iter().map(|fact| format!("{} {}", fact.kind.as_str(), fact.args[0])).collect()
    };
    let Some(Finding::Firing { facts, .. }) = step(1, vec![claim()], "old").pop() else { panic!() };
    assert_eq!(args(&facts), ["at_leader_path old", "last_served old"]);
    let Some(Finding::Firing { facts, .. }) = step(1, vec![claim()], "new").pop() else { panic!() };
    assert_eq!(args(&facts), ["at_leader_path old", "last_served new"], "another leads by now");
    let Some(Finding::Gone { facts, .. }) = step(1, Vec::new(), "new").pop() else { panic!() };
    assert_eq!(args(&facts), ["last_served new"]);
}

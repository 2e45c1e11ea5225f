//! What the registry says about nodes, and what is made of it.

use super::*;

fn key(id: &str) -> NodeKey {
    NodeKey { group: None, id: id.to_owned() }
}

fn alive(session: i64, czxid: i64) -> Observation {
    let alive = Some(Alive { owner: SessionId(session), czxid: Zxid(czxid) });
    Observation { alive, had_children: true, ..Observation::default() }
}

fn gone() -> Observation {
    Observation { had_children: true, ..Observation::default() }
}

fn never() -> Observation {
    Observation::default()
}

/// A detector at second 0 that has just seen `nodes`.
struct Bench {
    nodes: Nodes,
    seconds: u32,
}

impl Bench {
    fn new(session_ends: bool, seen: Vec<(NodeKey, Observation)>) -> Self {
        let policy = NodePolicy { session_ends, ..NodePolicy::default() };
        let nodes = Nodes::new("e", policy, BTreeMap::new(), Now::default());
        let mut bench = Self { nodes, seconds: 0 };
        bench.step(Input::Registry { own_session: SessionId(99), nodes: seen });
        bench
    }

    fn now(&self) -> Now {
        let seconds = self.seconds;
        Now {
            mono: Mono(u64::from(seconds) * 1_000_000_000),
            wall: Wall(i64::from(seconds) * 1000),
        }
    }

    /// Shows the findings as `!x` firing, `-x` gone, `?x` unseen; the view itself is `VIEW`.
    fn step(&mut self, input: Input) -> String {
        let mut out = Output::default();
        self.nodes.step(self.now(), input, &mut out);
        let shown = out.findings.iter().map(|finding| {
            let (mark, subject) = match finding {
                Finding::Firing { subject, .. } => ('!', subject),
                Finding::Pending { subject, .. } => ('~', subject),
                Finding::Gone { subject, .. } => ('-', subject),
                Finding::Unseen { subject, .. } => ('?', subject),
            };
            format!("{mark}{}", subject.node.as_deref().unwrap_or("VIEW"))
        });
        shown.collect::<Vec<_>>().join(" ")
    }

    fn at(&mut self, seconds: u32, input: Input) -> String {
        self.seconds = seconds;
        self.step(input)
    }

    fn state(&self, id: &str) -> NodeState {
        self.nodes.records()[&key(id)].state
    }

    fn facts(&self, id: &str) -> Vec<FactKind> {
        self.nodes.records()[&key(id)].facts.iter().map(|fact| fact.kind).collect()
    }
}

#[test]
fn registered_and_never_alive_is_starting_and_no_alarm() {
    let mut bench = Bench::new(false, vec![(key("a"), never())]);
    assert_eq!(bench.state("a"), NodeState::Starting);
    assert_eq!(bench.step(Input::Node(key("a"), alive(1, 5))), "-a");
    assert_eq!(bench.state("a"), NodeState::Up);
}

#[test]
fn gone_without_a_word_is_down_and_says_that_it_cannot_tell() {
    let mut bench = Bench::new(false, vec![(key("a"), alive(1, 5))]);
    assert_eq!(bench.step(Input::Node(key("a"), gone())), "!a");
    assert_eq!(bench.facts("a"), [FactKind::AliveGone, FactKind::CannotTell]);
    assert_eq!(bench.step(Input::Node(key("a"), alive(2, 9))), "-a");
}

#[test]
fn a_closed_session_is_left_and_an_expired_one_is_down() {
    let seen = || vec![(key("a"), alive(1, 5)), (key("b"), alive(2, 6))];
    for end_first in [true, false] {
        let mut bench = Bench::new(true, seen());
        let mut shown = Vec::new();
        let ends = [
            Input::SessionEnded { session: SessionId(1), closed: true },
            Input::SessionEnded { session: SessionId(2), closed: false },
        ];
        let reads = [Input::Node(key("a"), gone()), Input::Node(key("b"), gone())];
        let order: Vec<Input> = if end_first {
            ends.into_iter().chain(reads).collect()
        } else {
            reads.into_iter().chain(ends).collect()
        };
        for input in order {
            shown.push(bench.step(input));
        }
        assert_eq!(bench.state("a"), NodeState::Left, "end first: {end_first}");
        assert_eq!(bench.state("b"), NodeState::Down, "end first: {end_first}");
        assert_eq!(shown.iter().filter(|text| text.contains('!')).count(), 1, "{shown:?}");
        assert!(bench.facts("b").contains(&FactKind::SessionExpired));
    }
}

#[test]
fn alive_deleted_while_its_session_lives_is_down_after_a_wait() {
    let mut bench = Bench::new(true, vec![(key("a"), alive(1, 5))]);
    assert_eq!(bench.step(Input::Node(key("a"), gone())), "");
    assert_eq!(bench.state("a"), NodeState::Up);
    assert_eq!(bench.nodes.next_timeout(), Mono(1_000_000_000));
    assert_eq!(bench.at(1, Input::Tick), "!a");
    assert!(bench.facts("a").contains(&FactKind::AliveDeleted));
}

#[test]
fn alive_back_within_the_wait_is_no_fault() {
    let mut bench = Bench::new(true, vec![(key("a"), alive(1, 5))]);
    bench.step(Input::Node(key("a"), gone()));
    bench.step(Input::Node(key("a"), alive(2, 7)));
    assert_eq!(bench.at(5, Input::Tick), "");
    assert_eq!(bench.state("a"), NodeState::Up);
}

#[test]
fn leaving_counts_for_the_life_in_which_it_was_written() {
    let leaving = |mut seen: Observation, zxid| {
        seen.leaving = Some(Zxid(zxid));
        seen
    };
    let mut bench = Bench::new(false, vec![(key("a"), alive(1, 5))]);
    // Still alive: it is up until it goes.
    bench.step(Input::Node(key("a"), leaving(alive(1, 5), 8)));
    assert_eq!(bench.state("a"), NodeState::Up);
    assert_eq!(bench.step(Input::Node(key("a"), leaving(gone(), 8))), "-a");
    assert_eq!(bench.state("a"), NodeState::Left);
    // A later life cancels it, although the data still says so.
    bench.step(Input::Node(key("a"), leaving(alive(2, 9), 8)));
    assert_eq!(bench.step(Input::Node(key("a"), leaving(gone(), 8))), "!a");
    assert_eq!(bench.state("a"), NodeState::Down);
}

#[test]
fn the_monitors_own_session_and_a_lasting_alive_prove_no_life() {
    let mut bench = Bench::new(false, vec![(key("a"), alive(1, 5)), (key("b"), never())]);
    assert_eq!(bench.step(Input::Node(key("a"), alive(99, 7))), "!a");
    assert!(bench.facts("a").contains(&FactKind::AliveForged));
    bench.step(Input::Node(key("b"), alive(0, 8)));
    assert_eq!(bench.state("b"), NodeState::Starting);
    assert!(bench.facts("b").contains(&FactKind::AliveNotEphemeral));
}

#[test]
fn blind_means_unknown_and_one_incident_for_all() {
    let many: Vec<_> = (0..50).map(|i| (key(&format!("n{i}")), alive(i + 1, 5))).collect();
    let mut bench = Bench::new(false, many.clone());
    assert_eq!(bench.at(10, Input::Node(key("n7"), gone())), "!n7");
    assert_eq!(bench.at(20, Input::SightLost), "?n7");
    assert!(!bench.nodes.is_clear());
    // What was read before the loss and arrives after it changes nothing.
    assert_eq!(bench.at(21, Input::Node(key("n8"), gone())), "");
    assert_eq!(bench.at(29, Input::Tick), "");
    assert_eq!(bench.at(30, Input::Tick), "!VIEW");
    assert_eq!(bench.at(60, Input::Tick), "");
    let mut nodes = many;
    nodes[7].1 = gone();
    let shown = bench.at(61, Input::Registry { own_session: SessionId(99), nodes });
    assert_eq!(shown, "-VIEW !n7", "nobody else was judged anew");
}

#[test]
fn an_outage_of_the_servers_explains_the_blindness() {
    let mut bench = Bench::new(false, vec![(key("a"), alive(1, 5))]);
    bench.at(1, Input::SightLost);
    assert_eq!(bench.at(5, Input::Explained(true)), "");
    assert_eq!(bench.nodes.next_timeout(), Mono::NEVER);
    assert_eq!(bench.at(60, Input::Tick), "");
    // The servers are back and the monitor still cannot see: that is a fault of its own.
    assert_eq!(bench.at(61, Input::Explained(false)), "!VIEW");
}

#[test]
fn a_restart_goes_on_from_the_records() {
    let mut bench = Bench::new(
        false,
        vec![(key("a"), alive(1, 5)), (key("b"), alive(2, 5)), (key("c"), alive(3, 5))],
    );
    bench.at(5, Input::Node(key("a"), gone()));
    let records = bench.nodes.records().clone();
    let policy = NodePolicy::default();
    bench.nodes = Nodes::new("e", policy, records, bench.now());
    let seen = vec![(key("a"), gone()), (key("b"), gone())];
    let shown = bench.at(9, Input::Registry { own_session: SessionId(98), nodes: seen });
    assert_eq!(shown, "-VIEW !a !b -c");
    let kinds = bench.facts("b");
    assert_eq!(kinds, [FactKind::AliveGone, FactKind::CannotTell, FactKind::DiedUnseen]);
    assert_eq!(
        bench.nodes.records()[&key("a")].since,
        Wall(5000),
        "down since then, not since now"
    );
    assert!(!bench.nodes.records().contains_key(&key("c")), "it is not registered any more");
}

#[test]
fn found_dead_at_the_first_look_is_down() {
    let bench = Bench::new(false, vec![(key("a"), gone())]);
    assert_eq!(bench.state("a"), NodeState::Down);
    assert_eq!(bench.facts("a"), [FactKind::FoundDead]);
}

#[test]
fn who_beats_is_late_after_three_beats_and_a_new_life_starts_anew() {
    let mut bench = Bench::new(false, vec![(key("a"), alive(1, 5)), (key("b"), alive(2, 6))]);
    let phi = |bench: &Bench, id: &str| {
        let now = bench.now().mono;
        bench.nodes.phis(now).into_iter().find(|(k, _)| k.id == id).map(|(_, phi)| phi)
    };
    for second in 0..20 {
        bench.at(second, Input::Beat(key("a")));
    }
    // Nobody registered it: its beats are nobody's.
    bench.step(Input::Beat(key("stranger")));
    bench.seconds = 23;
    assert!(phi(&bench, "a").is_some_and(|phi| phi > crate::beat::SUSPECT));
    assert_eq!((phi(&bench, "b"), phi(&bench, "stranger")), (None, None), "who never beats");
    assert_eq!(bench.state("a"), NodeState::Up, "late is not down");
    bench.step(Input::Woke);
    assert!(phi(&bench, "a").is_some_and(|phi| phi < 1.0), "it was the monitor that slept");
    bench.at(30, Input::SightLost);
    assert_eq!(phi(&bench, "a"), None);
    bench.at(
        31,
        Input::Registry {
            own_session: SessionId(99),
            nodes: vec![(key("a"), alive(1, 5)), (key("b"), alive(2, 6))],
        },
    );
    assert!(phi(&bench, "a").is_some_and(|phi| phi < 1.0), "nobody could see it beat");
    bench.at(32, Input::Node(key("a"), alive(3, 9)));
    assert_eq!(phi(&bench, "a"), None);
}

#[test]
fn an_expected_node_that_is_not_there_is_down_and_says_why() {
    let missing = Observation { expected: true, ..Observation::default() };
    let mut bench = Bench::new(false, vec![(key("a"), missing)]);
    assert_eq!(bench.state("a"), NodeState::Down);
    assert_eq!(bench.facts("a"), [FactKind::ExpectedMissing]);
    assert_eq!(bench.step(Input::Node(key("a"), alive(1, 5))), "-a");
}

#[test]
fn a_flat_registry_has_paths_and_words_of_its_own() {
    let flat = BTreeMap::from([
        ("kafka".to_owned(), "/brokers/ids/*".to_owned()),
        ("dubbo".to_owned(), "/dubbo/*/providers/*".to_owned()),
    ]);
    let policy = NodePolicy { flat, ..NodePolicy::default() };
    let nodes = Nodes::new("e", policy, BTreeMap::new(), Now::default());
    let mut bench = Bench { nodes, seconds: 0 };
    let broker = NodeKey { group: Some("kafka".into()), id: "1".into() };
    let seen = vec![(broker.clone(), alive(7, 5))];
    bench.step(Input::Registry { own_session: SessionId(99), nodes: seen });
    assert_eq!(bench.step(Input::Node(broker.clone(), gone())), "!1");
    let record = &bench.nodes.records()[&broker];
    assert_eq!(record.facts[0].kind, FactKind::FlatGone);
    assert_eq!(record.facts[0].args, ["/brokers/ids/1", "0x7"]);
    let provider = NodeKey { group: Some("dubbo:a.B".into()), id: "h:1".into() };
    assert_eq!(bench.nodes.path(&provider), "/dubbo/a.B/providers/h:1");
}

#[test]
fn a_registry_that_may_not_be_read_says_so() {
    let mut bench = Bench::new(false, vec![(key("a"), alive(1, 5))]);
    bench.step(Input::Denied("/nodes".into()));
    assert!(!bench.nodes.is_clear());
    bench.seconds = 11;
    let mut out = Output::default();
    bench.nodes.step(bench.now(), Input::Tick, &mut out);
    let [Finding::Firing { facts, .. }] = &out.findings[..] else { panic!("{:?}", out.findings) };
    assert_eq!(facts[..], [Fact::new(FactKind::ReadDenied, ["/nodes".to_owned()])]);
}

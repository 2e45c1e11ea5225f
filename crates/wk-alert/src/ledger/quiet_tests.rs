//! Who is told of what: causes, silences, groups, and what a clock that jumps may not do.

use super::tests::{at, deliver, id_of, ledger, ledger_with, saved};
use super::*;
use crate::incident::IncidentState;
use crate::outbox::{EntryState, Outcome};
use crate::silence::Scope;
use crate::{Severity, Veil};

const E: &str = "e";

fn about(rule: &str) -> Subject {
    Subject::ensemble(rule, E)
}

fn fires(ledger: &mut Ledger, now: Now, subject: &Subject, severity: Severity) {
    ledger.find(now, Finding::firing(subject.clone(), severity, vec![]));
}

fn ends(ledger: &mut Ledger, now: Now, subject: &Subject) {
    ledger.find(now, Finding::Gone { subject: subject.clone(), facts: vec![] });
}

fn node(name: &str) -> Subject {
    Subject { node: Some(name.to_owned()), ..about("NodeDown") }
}

fn all_of(rule: &str) -> Scope {
    Scope::parse(&[format!("rule={rule}")]).expect("legal")
}

fn told(ledger: &mut Ledger, now: Now) -> usize {
    ledger.tick(now);
    deliver(ledger, now).len()
}

#[test]
fn a_cause_hides_its_effects_and_what_does_not_heal_with_it_is_told() {
    let mut ledger = ledger(&["mail"]);
    let (cause, effect) = (about("ZkNoLeader"), about("ZkCanaryFailing"));
    // The effect a moment before its cause: they are judged together.
    fires(&mut ledger, at(1), &effect, Severity::Critical);
    fires(&mut ledger, at(1), &cause, Severity::Critical);
    assert_eq!(told(&mut ledger, at(1)), 1);
    let hidden = &ledger.open(&effect).expect("open").suppressed.clone().expect("hidden");
    assert_eq!((hidden.by.as_str(), hidden.veil), (id_of(&cause, 1).0.as_str(), Veil::Hidden));
    ends(&mut ledger, at(20), &cause);
    assert_eq!(told(&mut ledger, at(20)), 1, "the end of the cause");
    assert_eq!(told(&mut ledger, at(94)), 0, "it has time to heal");
    assert_eq!(told(&mut ledger, at(96)), 1, "it did not heal");
    ends(&mut ledger, at(99), &effect);
    assert_eq!(told(&mut ledger, at(99)), 1);
}

#[test]
fn an_effect_that_heals_with_its_cause_is_never_told() {
    let mut ledger = ledger(&["mail"]);
    fires(&mut ledger, at(1), &about("ZkNoLeader"), Severity::Critical);
    fires(&mut ledger, at(2), &about("ZkServerNotServing"), Severity::Critical);
    assert_eq!(told(&mut ledger, at(2)), 1);
    ends(&mut ledger, at(9), &about("ZkNoLeader"));
    ends(&mut ledger, at(10), &about("ZkServerNotServing"));
    assert_eq!(told(&mut ledger, at(10)), 1);
    assert_eq!(told(&mut ledger, at(200)), 0);
}

#[test]
fn a_second_outage_is_never_hidden() {
    let mut ledger = ledger(&["mail"]);
    let (cause, effect) = (about("ZkNoLeader"), about("ZkCanaryFailing"));
    fires(&mut ledger, at(1), &cause, Severity::Critical);
    ends(&mut ledger, at(9), &cause);
    assert_eq!(told(&mut ledger, at(9)), 2);
    fires(&mut ledger, at(12), &effect, Severity::Critical);
    assert_eq!(told(&mut ledger, at(12)), 1, "it began after the outage");
    fires(&mut ledger, at(13), &about("ZkElectionSlow"), Severity::Warning);
    assert_eq!(told(&mut ledger, at(13)), 0, "its window still holds the outage");
    assert_eq!(told(&mut ledger, at(9 + 901)), 1);
    // The outage itself again, after the hold time: an episode of its own.
    fires(&mut ledger, at(2000), &cause, Severity::Critical);
    assert_eq!(told(&mut ledger, at(2000)), 1);
}

#[test]
fn a_thread_that_died_before_the_quorum_was_lost_is_told_and_one_that_died_of_it_is_not() {
    let mut ledger = ledger(&["mail"]);
    let thread = |server| Subject::server("ZkCriticalThreadDied", E, server);
    fires(&mut ledger, at(1), &thread("a"), Severity::Critical);
    fires(&mut ledger, at(3), &about("ZkNoLeader"), Severity::Critical);
    fires(&mut ledger, at(5), &thread("b"), Severity::Critical);
    assert_eq!(told(&mut ledger, at(5)), 2);
    assert!(ledger.open(&thread("a")).expect("open").suppressed.is_none());
    assert!(ledger.open(&thread("b")).expect("open").suppressed.is_some());
    ends(&mut ledger, at(9), &about("ZkNoLeader"));
    // Its window of five minutes is over before the time in which the cause speaks for it.
    ends(&mut ledger, at(305), &thread("b"));
    assert_eq!(told(&mut ledger, at(400)), 1, "the end of the cause");
    ends(&mut ledger, at(401), &thread("a"));
    assert_eq!(told(&mut ledger, at(401)), 1);
}

#[test]
fn without_a_leader_nodes_are_unknown_until_every_session_had_its_timeout() {
    let mut ledger = ledger(&["mail"]);
    fires(&mut ledger, at(1), &about("ZkNoLeader"), Severity::Critical);
    fires(&mut ledger, at(2), &node("a"), Severity::Warning);
    ends(&mut ledger, at(5), &about("ZkNoLeader"));
    fires(&mut ledger, at(6), &node("b"), Severity::Warning);
    assert_eq!(told(&mut ledger, at(6)), 2, "the quorum alone");
    for name in ["a", "b"] {
        let suppressed = ledger.open(&node(name)).expect("open").suppressed.clone();
        assert_eq!(suppressed.map(|s| s.veil), Some(Veil::Unknown), "{name}");
    }
    ends(&mut ledger, at(20), &node("a"));
    assert_eq!(told(&mut ledger, at(46)), 0);
    assert_eq!(told(&mut ledger, at(48)), 1, "b is really dead");
}

#[test]
fn how_long_a_cause_speaks_after_its_end_is_what_the_servers_say() {
    let secs = Duration::from_secs;
    assert_eq!(Healing::of(secs(2), secs(40), 10), Healing::default(), "their own defaults");
    let endless = Healing::of(secs(60), Duration::MAX, u32::MAX);
    assert_eq!((endless.sessions, endless.joining), (LINGER_MAX, LINGER_MAX));
    let mut ledger = ledger(&["mail"]);
    ledger.set_healing(E, Healing::of(secs(1), secs(9), 4));
    ledger.set_healing("other", Healing::of(secs(1), secs(99), 99));
    fires(&mut ledger, at(1), &about("ZkNoLeader"), Severity::Critical);
    fires(&mut ledger, at(2), &about("ZkServerNotServing"), Severity::Critical);
    ends(&mut ledger, at(5), &about("ZkNoLeader"));
    fires(&mut ledger, at(6), &node("b"), Severity::Warning);
    assert_eq!(told(&mut ledger, at(6)), 2, "the quorum alone");
    assert_eq!(told(&mut ledger, at(10)), 0);
    assert_eq!(told(&mut ledger, at(12)), 1, "four ticks and half as much to join");
    assert_eq!(told(&mut ledger, at(14)), 0);
    assert_eq!(told(&mut ledger, at(16)), 1, "the longest session and a tick");
}

#[test]
fn an_unreachable_server_hides_only_its_own_figures() {
    let mut ledger = ledger(&["mail"]);
    let on = |rule, server| Subject::server(rule, E, server);
    fires(&mut ledger, at(1), &on("ZkServerUnreachable", "a"), Severity::Warning);
    fires(&mut ledger, at(2), &on("ZkFsyncSlow", "a"), Severity::Warning);
    fires(&mut ledger, at(2), &on("ZkFsyncSlow", "b"), Severity::Warning);
    assert_eq!(told(&mut ledger, at(2)), 2);
    assert!(ledger.open(&on("ZkFsyncSlow", "b")).expect("open").suppressed.is_none());
}

#[test]
fn an_effect_waits_a_little_for_a_cause_that_is_pending() {
    let mut ledger = ledger(&["mail"]);
    let (cause, effect) = (about("ZkNoLeader"), about("ZkServerNotServing"));
    let (severity, detail) = (Severity::Critical, Detail::default());
    let pending = Finding::Pending { subject: cause.clone(), severity, facts: vec![], detail };
    ledger.find(at(1), pending.clone());
    fires(&mut ledger, at(2), &effect, severity);
    assert_eq!(told(&mut ledger, at(2)), 0);
    assert_eq!(told(&mut ledger, at(6)), 0);
    assert_eq!(ledger.next_timeout(at(6)), at(7).mono);
    assert_eq!(told(&mut ledger, at(7)), 1, "no longer than that");
    // The cause comes while it waits: the cause alone is told.
    let mut ledger = self::ledger(&["mail"]);
    ledger.find(at(1), pending);
    fires(&mut ledger, at(2), &effect, severity);
    assert_eq!(told(&mut ledger, at(2)), 0);
    fires(&mut ledger, at(3), &cause, severity);
    assert_eq!(told(&mut ledger, at(3)), 1);
    assert!(ledger.open(&effect).expect("open").suppressed.is_some());
}

#[test]
fn two_rules_that_accuse_each_other_are_not_both_silent() {
    let mut ledger = ledger(&["mail"]);
    let rule = |name: &str, by: &str| {
        let annotations = BTreeMap::from([("inhibited_by".to_owned(), by.to_owned())]);
        let detail = Detail { annotations, ..Detail::default() };
        Finding::Firing { subject: about(name), severity: Severity::Warning, facts: vec![], detail }
    };
    ledger.find(at(1), rule("A", "B"));
    ledger.find(at(1), rule("B", "C, A"));
    assert_eq!(told(&mut ledger, at(1)), 1);
    // What names a third is hidden by whoever speaks for that.
    ledger.find(at(2), rule("D", "A"));
    ledger.find(at(2), rule("E", "nobody"));
    assert_eq!(told(&mut ledger, at(2)), 1, "E alone");
}

#[test]
fn what_lasts_when_a_silence_ends_is_told_then() {
    let mut ledger = ledger(&["mail"]);
    let minute = Duration::from_mins(1);
    ledger.silence(at(0), all_of("NodeDown"), minute, "ann", "").expect("added");
    fires(&mut ledger, at(1), &node("a"), Severity::Critical);
    fires(&mut ledger, at(1), &node("b"), Severity::Critical);
    assert_eq!(told(&mut ledger, at(30)), 0);
    ends(&mut ledger, at(40), &node("a"));
    assert_eq!(told(&mut ledger, at(59)), 0, "gone as silently");
    assert_eq!(told(&mut ledger, at(61)), 1);
    assert!(ledger.silences_in_force().next().is_none());
}

#[test]
fn a_silence_takes_back_what_nobody_was_sent_and_not_the_end_of_what_was_told() {
    let mut ledger = ledger(&["mail"]);
    fires(&mut ledger, at(1), &node("a"), Severity::Warning);
    assert_eq!(told(&mut ledger, at(1)), 1);
    fires(&mut ledger, at(2), &node("b"), Severity::Warning);
    ledger.tick(at(2));
    let hour = Duration::from_hours(1);
    let id = ledger.silence(at(3), all_of("NodeDown"), hour, "ann", "").expect("added");
    assert_eq!(told(&mut ledger, at(60)), 0, "b was being gathered");
    ends(&mut ledger, at(61), &node("a"));
    assert_eq!(told(&mut ledger, at(61)), 1, "whoever heard of a hears of its end");
    ledger.end_silence(at(70), &id, "ann").expect("in force");
    assert_eq!(ledger.end_silence(at(70), &id, "ann"), Err(LedgerError::AlreadyOver));
    assert_eq!(told(&mut ledger, at(70)), 1, "b");
}

#[test]
fn a_silence_does_not_outlast_its_time_whatever_the_clock_says() {
    let day = 86_400;
    let mut ledger = ledger(&["mail"]);
    let start = Now { wall: at(10 * day).wall, ..at(0) };
    let hour = Duration::from_hours(1);
    ledger.silence(start, all_of("NodeDown"), hour, "ann", "").expect("added");
    fires(&mut ledger, start, &node("a"), Severity::Critical);
    // The wall clock is set back by ten days; an hour passes.
    assert_eq!(told(&mut ledger, at(3599)), 0);
    assert_eq!(told(&mut ledger, at(3601)), 1);
    // After a restart, too: it cannot last longer than it was meant to.
    let mut ledger = self::ledger(&["mail"]);
    ledger.silence(start, all_of("NodeDown"), hour, "ann", "").expect("added");
    let mut ledger = ledger_with(&["mail"], saved(&ledger), at(0));
    fires(&mut ledger, at(0), &node("a"), Severity::Critical);
    assert_eq!(told(&mut ledger, at(3601)), 1);
}

#[test]
fn silences_that_are_over_are_kept_up_to_their_bound() {
    let policy = Policy { silences_over_max: 2, ..Policy::default() };
    let mut ledger = Ledger::restore(policy.clone(), Saved::default(), at(0));
    let hour = Duration::from_hours(1);
    let add = |ledger: &mut Ledger, second| {
        ledger.silence(at(second), all_of("NodeDown"), hour, "ann", "").expect("added")
    };
    let lasting = add(&mut ledger, 0);
    for second in 1..6 {
        let id = add(&mut ledger, second);
        ledger.end_silence(at(second), &id, "ann").expect("in force");
        assert!(ledger.silences().contains_key(&id), "whoever ended it sees it");
    }
    let kept = |ledger: &Ledger| -> Vec<String> {
        ledger.silences().keys().map(|id| id.0.clone()).collect()
    };
    assert_eq!(kept(&ledger), [lasting.0.as_str(), "silence-5", "silence-6"]);
    let batch = ledger.take_batch();
    let gone = batch.silences.iter().filter(|(_, silence)| silence.is_none());
    assert_eq!(gone.count(), 3, "the store forgets them too");
    // More of them, from an earlier program.
    let fewer = Policy { silences_over_max: 1, ..policy };
    let mut ledger = Ledger::restore(fewer, saved(&ledger), at(10));
    ledger.tick(at(80));
    assert_eq!(kept(&ledger), [lasting.0.as_str(), "silence-6"]);
}

#[test]
fn the_first_of_a_group_goes_at_once_and_additions_together_later() {
    let mut ledger = ledger(&["mail"]);
    fires(&mut ledger, at(1), &node("a"), Severity::Warning);
    assert_eq!(told(&mut ledger, at(1)), 1);
    for (second, name) in [(2, "b"), (5, "c"), (30, "d")] {
        fires(&mut ledger, at(second), &node(name), Severity::Warning);
        assert_eq!(told(&mut ledger, at(second)), 0);
    }
    assert_eq!(ledger.next_timeout(at(30)), at(31).mono);
    ledger.tick(at(31));
    let sent = deliver(&mut ledger, at(31));
    assert!(sent.len() == 1 && sent[0].matches('+').count() == 2, "{sent:?}");
    // That was a message too: what follows is gathered again.
    fires(&mut ledger, at(32), &node("e"), Severity::Warning);
    assert_eq!(told(&mut ledger, at(60)), 0);
    assert_eq!(told(&mut ledger, at(61)), 1);
    fires(&mut ledger, at(120), &node("f"), Severity::Warning);
    assert_eq!(told(&mut ledger, at(120)), 1, "long after: at once");
    fires(&mut ledger, at(121), &about("ZkFsyncSlow"), Severity::Warning);
    assert_eq!(told(&mut ledger, at(121)), 1, "another group");
}

#[test]
fn what_is_critical_never_waits_and_takes_along_what_was_gathered() {
    let mut ledger = ledger(&["mail"]);
    fires(&mut ledger, at(1), &node("a"), Severity::Warning);
    assert_eq!(told(&mut ledger, at(1)), 1);
    fires(&mut ledger, at(2), &node("b"), Severity::Warning);
    assert_eq!(told(&mut ledger, at(2)), 0);
    fires(&mut ledger, at(3), &node("c"), Severity::Critical);
    ledger.tick(at(3));
    let sent = deliver(&mut ledger, at(3));
    assert!(sent.len() == 1 && sent[0].contains('+'), "{sent:?}");
}

#[test]
fn a_message_that_was_tried_keeps_its_incidents_and_its_key() {
    let mut ledger = ledger(&["mail"]);
    let all = [node("a"), node("b")];
    for one in &all {
        fires(&mut ledger, at(1), one, Severity::Warning);
    }
    ledger.mark_due(at(1));
    let first = ledger.committed().remove(0);
    assert_eq!(first.incidents.len(), 2);
    assert!(first.key.name.starts_with("group-"), "{:?}", first.key);
    let lost = Outcome::Retry { error: "lost".into(), after: None };
    ledger.answered(at(1), &first.key, lost);
    fires(&mut ledger, at(2), &node("c"), Severity::Critical);
    ends(&mut ledger, at(3), &node("a"));
    // After a restart as well.
    let mut ledger = ledger_with(&["mail"], saved(&ledger), at(10));
    ledger.mark_due(at(10));
    assert_eq!(ledger.committed(), [first]);
}

#[test]
fn what_waits_goes_together_when_the_rate_or_the_receiver_leaves_no_room() {
    let rate = Some(crate::Rate { count: 3, window: Duration::from_mins(1) });
    let channels = vec![ChannelPolicy { rate, ..ChannelPolicy::new("robot") }];
    let policy = Policy { channels, ..Policy::default() };
    let mut ledger = Ledger::restore(policy, Saved::default(), at(0));
    // Nine groups at once: two messages by themselves, the third tells of all others.
    (0..9).for_each(|i| fires(&mut ledger, at(1), &about(&format!("R{i}")), Severity::Warning));
    ledger.tick(at(1));
    let sent = deliver(&mut ledger, at(1));
    assert_eq!(sent.len(), 3, "{sent:?}");
    assert_eq!(sent[2].matches('+').count(), 6, "{sent:?}");
    assert!(ledger.entries().values().all(|entry| entry.state == EntryState::Confirmed));
}

#[test]
fn an_acknowledgement_expires() {
    let mut ledger = ledger(&["mail"]);
    fires(&mut ledger, at(1), &node("a"), Severity::Warning);
    let id = id_of(&node("a"), 1);
    ledger.acknowledge(at(2), &id, "ann").expect("open");
    ledger.tick(at(3601));
    assert_eq!(ledger.incidents()[&id].acknowledged_by.as_deref(), Some("ann"));
    let mut restarted = ledger_with(&["mail"], saved(&ledger), at(3601));
    for ledger in [&mut ledger, &mut restarted] {
        ledger.tick(at(7300));
        assert_eq!(ledger.incidents()[&id].acknowledged_by, None);
        assert_eq!(ledger.incidents()[&id].state, IncidentState::Firing);
    }
}

#[test]
fn news_of_a_fault_that_lasts_does_not_get_too_old() {
    let mut ledger = ledger(&["mail"]);
    fires(&mut ledger, at(1), &node("a"), Severity::Warning);
    ledger.tick(at(1));
    ledger.tick(at(2 * 86_400));
    let late = ledger.take_batch().audit;
    assert!(late.iter().any(|line| line.fact.kind == FactKind::DeliveryLate), "{late:?}");
    assert_eq!(told(&mut ledger, at(2 * 86_400)), 1);
}

#[test]
fn figures_count_failures_and_what_waits() {
    let mut ledger = ledger(&["mail"]);
    fires(&mut ledger, at(7), &node("a"), Severity::Warning);
    ledger.mark_due(at(7));
    let bundle = ledger.committed().remove(0);
    let lost = Outcome::Retry { error: "lost".into(), after: None };
    ledger.answered(at(8), &bundle.key, lost);
    let figures = ledger.channel_figures();
    assert_eq!((figures[0].failures, figures[0].pending), (1, 1));
    assert_eq!(figures[0].oldest, Some(at(7).wall));
    assert_eq!(told(&mut ledger, at(20)), 1);
    assert_eq!(ledger.channel_figures()[0].oldest, None);
}

#[test]
fn figures_that_change_are_shown_at_once_and_stored_now_and_then() {
    let mut ledger = ledger(&["mail"]);
    let value = |value| {
        let detail = Detail { value: Some(crate::Figure(value)), ..Detail::default() };
        let (subject, severity) = (node("a"), Severity::Warning);
        Finding::Firing { subject, severity, facts: vec![], detail }
    };
    ledger.find(at(1), value(1.0));
    assert_eq!(told(&mut ledger, at(1)), 1);
    ledger.take_batch();
    for second in 2..16 {
        ledger.find(at(second), value(f64::from(second)));
        ledger.tick(at(second));
        assert!(ledger.take_batch().is_empty(), "{second}");
    }
    assert_eq!(ledger.open(&node("a")).and_then(|i| i.detail.value), Some(crate::Figure(15.0)));
    ledger.tick(at(17));
    assert_eq!(ledger.take_batch().incidents.len(), 1);
}

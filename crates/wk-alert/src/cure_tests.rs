//! The guard, word by word: when an action runs, and when it does not.

use super::*;

const FINE: GroupView = GroupView { clear: true, expected: 4, down: 1 };

fn at(seconds: u64) -> Now {
    let wall = Wall(1_700_000_000_000 + i64::try_from(seconds * 1000).unwrap());
    Now { mono: Mono::default().after(Duration::from_secs(seconds)), wall }
}

fn id(text: &str) -> IncidentId {
    IncidentId(text.to_owned())
}

fn node(name: &str) -> Target {
    Target { ensemble: "e".into(), group: "g".into(), node: name.into() }
}

fn cures(mode: CureMode) -> Cures {
    let mut cures = Cures::default();
    cures.set_policy("e", "g", CurePolicy { mode, ..CurePolicy::default() });
    cures
}

fn tick(cures: &mut Cures, now: Now, view: GroupView) -> Vec<CureEvent> {
    let mut out = Vec::new();
    cures.tick(now, &|_| view, &mut out);
    out
}

fn ask(cures: &mut Cures, now: Now, view: GroupView) -> Result<Vec<CureEvent>, Refusal> {
    let mut out = Vec::new();
    cures.ask(now, &id("a"), "eva", &|_| view, &mut out).map(|()| out)
}

fn ran(events: &[CureEvent]) -> Vec<&str> {
    let mut names = Vec::new();
    for event in events {
        let CureEvent::Run(attempt) = event else { panic!("{events:?}") };
        names.push(&*attempt.incident.0);
    }
    names
}

#[test]
fn by_default_a_person_is_asked_and_it_runs_once() {
    let mut cures = cures(CureMode::Ask);
    assert_eq!(ask(&mut cures, at(0), FINE), Err(Refusal::NotFiring));
    cures.down(id("a"), node("n1"));
    assert_eq!(tick(&mut cures, at(1), FINE), []);
    assert_eq!(ran(&ask(&mut cures, at(2), FINE).unwrap()), ["a"]);
    assert_eq!(cures.attempt(&id("a")).unwrap().by, "eva");
    assert_eq!(ask(&mut cures, at(3), FINE), Err(Refusal::AlreadyRun));
    let mut out = Vec::new();
    cures.ended(at(4), &id("a"), Ended::Exited(1), &mut out);
    assert_eq!(ask(&mut cures, at(5), FINE), Err(Refusal::AlreadyRun), "a failed one as well");
}

#[test]
fn groups_without_an_action_and_switched_off_ones_never_run() {
    let mut off = cures(CureMode::Off);
    off.down(id("a"), node("n1"));
    assert_eq!(tick(&mut off, at(1), FINE), []);
    assert_eq!(ask(&mut off, at(1), FINE), Err(Refusal::Off));
    let mut none = Cures::default();
    none.down(id("a"), node("n1"));
    assert_eq!(ask(&mut none, at(1), FINE), Err(Refusal::NoAction));
}

#[test]
fn one_at_a_time_in_order_of_their_turn() {
    let mut cures = cures(CureMode::Auto);
    cures.down(id("a"), node("n1"));
    cures.down(id("b"), node("n2"));
    let two = GroupView { down: 2, ..FINE };
    assert_eq!(ran(&tick(&mut cures, at(1), two)), ["a"]);
    assert_eq!(tick(&mut cures, at(2), two), [], "the other waits without a word");
    let mut out = Vec::new();
    cures.ended(at(3), &id("b"), Ended::Exited(0), &mut out);
    assert_eq!(out, [], "that one does not run");
    cures.ended(at(3), &id("a"), Ended::Exited(0), &mut out);
    assert!(matches!(&out[..], [CureEvent::Ended(a)] if a.ended == Some(Ended::Exited(0))));
    assert_eq!(ran(&tick(&mut cures, at(4), two)), ["b"]);
}

#[test]
fn a_bad_view_or_half_a_group_down_holds_it_back_and_is_said_once() {
    let mut cures = cures(CureMode::Auto);
    cures.down(id("a"), node("n1"));
    let blind = GroupView { clear: false, ..FINE };
    assert_eq!(tick(&mut cures, at(1), blind), [CureEvent::Held(id("a"), Refusal::ViewBad)]);
    assert_eq!(tick(&mut cures, at(2), blind), []);
    let most = GroupView { down: 3, ..FINE };
    let half_down = Refusal::HalfDown { down: 3, expected: 4 };
    assert_eq!(tick(&mut cures, at(3), most), [CureEvent::Held(id("a"), half_down.clone())]);
    assert_eq!(ask(&mut cures, at(3), most), Err(half_down), "nor for a person");
    let half = GroupView { down: 2, ..FINE };
    assert_eq!(ran(&tick(&mut cures, at(4), half)), ["a"], "exactly half is not over half");
}

#[test]
fn the_budget_is_per_group_and_hour_and_outlives_a_restart() {
    let mut cures = cures(CureMode::Auto);
    let mut out = Vec::new();
    for (second, name) in [(1, "a"), (2, "b"), (3, "c")] {
        cures.down(id(name), node(name));
        assert_eq!(ran(&tick(&mut cures, at(second), FINE)), [name]);
        cures.ended(at(second), &id(name), Ended::Exited(0), &mut out);
        cures.over(&id(name), true, &mut out);
    }
    cures.down(id("d"), node("d"));
    let held = CureEvent::Held(id("d"), Refusal::BudgetUsed { budget: 3 });
    assert_eq!(tick(&mut cures, at(4), FINE), std::slice::from_ref(&held));

    let stored = cures.attempts.values().cloned().collect();
    let mut again = Cures::restore(stored, at(5));
    let auto = CurePolicy { mode: CureMode::Auto, ..CurePolicy::default() };
    again.set_policy("e", "g", auto.clone());
    again.set_policy("e", "other", auto);
    again.down(id("d"), node("d"));
    assert_eq!(tick(&mut again, at(5), FINE), [held]);
    again.down(id("x"), Target { group: "other".into(), ..node("x") });
    assert_eq!(ran(&tick(&mut again, at(6), FINE)), ["x"], "another group has its own");
    again.ended(at(7), &id("x"), Ended::Exited(0), &mut out);
    assert_eq!(ran(&tick(&mut again, at(3601), FINE)[1..]), ["d"], "the first is an hour old");
}

#[test]
fn cured_means_that_the_nodes_own_session_is_back_in_time() {
    for (back_at, cured) in [(Some(60), true), (None, false)] {
        let mut cures = cures(CureMode::Auto);
        cures.down(id("a"), node("n1"));
        tick(&mut cures, at(1), FINE);
        let mut out = Vec::new();
        cures.ended(at(10), &id("a"), Ended::Exited(0), &mut out);
        out.clear();
        assert_eq!(cures.next_timeout(), at(130).mono);
        if let Some(second) = back_at {
            assert_eq!(tick(&mut cures, at(second), FINE), []);
            cures.over(&id("a"), true, &mut out);
        } else {
            out = tick(&mut cures, at(130), FINE);
        }
        assert!(matches!(&out[..], [CureEvent::Judged(a)] if a.cured == Some(cured)), "{out:?}");
        assert_eq!(cures.next_timeout(), Mono::NEVER);
    }
}

#[test]
fn a_node_that_is_back_before_its_action_ended_is_cured_with_the_end() {
    let mut cures = cures(CureMode::Auto);
    cures.down(id("a"), node("n1"));
    tick(&mut cures, at(1), FINE);
    let mut out = Vec::new();
    cures.over(&id("a"), true, &mut out);
    assert_eq!(out, [], "it still runs");
    cures.ended(at(3), &id("a"), Ended::TimedOut, &mut out);
    let [CureEvent::Ended(ended), CureEvent::Judged(judged)] = &out[..] else {
        panic!("{out:?}");
    };
    assert_eq!((ended.cured, judged.cured), (None, Some(true)));
}

#[test]
fn what_a_dying_monitor_left_is_never_run_again_but_still_judged() {
    let mut cures = cures(CureMode::Auto);
    cures.down(id("a"), node("n1"));
    tick(&mut cures, at(1), FINE);
    let stored: Vec<Attempt> = cures.attempts.values().cloned().collect();
    let mut again = Cures::restore(stored, at(2));
    let auto = CurePolicy { mode: CureMode::Auto, ..CurePolicy::default() };
    again.set_policy("e", "g", auto);
    again.down(id("a"), node("n1"));
    assert_eq!(tick(&mut again, at(3), FINE), []);
    assert!(matches!(again.attempt(&id("a")).unwrap().ended, Some(Ended::Failed(_))));
    let mut out = Vec::new();
    again.over(&id("a"), true, &mut out);
    assert!(matches!(&out[..], [CureEvent::Judged(a)] if a.cured == Some(true)));
}

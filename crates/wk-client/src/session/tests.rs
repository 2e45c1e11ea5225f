//! Random histories against a small model of the servers: whatever is cut, lost, delayed, expired
//! or handed out anew, what the module's head promises must hold.

mod model;

use std::time::Duration;

use proptest::prelude::*;

use super::{Lease, Resume, SessionConfig};
use model::{Action, World};

fn action() -> impl Strategy<Value = Action> {
    prop_oneof![
        6 => (0..4_u8).prop_map(Action::Write),
        4 => (0..4_u8).prop_map(Action::Read),
        2 => (0..4_u8, 0..5_u8).prop_map(|(path, kind)| Action::Watch(path, kind)),
        1 => any::<u8>().prop_map(Action::Unwatch),
        2 => (0..4_u8).prop_map(Action::Change),
        8 => (1..6_u8).prop_map(Action::ServerReads),
        8 => (1..6_u8).prop_map(Action::ClientReads),
        6 => Just(Action::AcceptDial),
        1 => Just(Action::RefuseDial),
        2 => Just(Action::Cut),
        4 => (1..500_u16).prop_map(Action::Pass),
        1 => (500..20_000_u16).prop_map(Action::Pass),
        1 => Just(Action::Expire),
        1 => Just(Action::SwapSession),
        1 => Just(Action::ForgetHistory),
    ]
}

fn config(lease: Lease, resume: Resume) -> SessionConfig {
    SessionConfig {
        hosts: 3,
        session_timeout: Duration::from_secs(6),
        in_flight_max: 5,
        lease,
        resume,
        seed: 7,
        ..SessionConfig::default()
    }
}

fn history() -> impl Strategy<Value = Vec<Action>> {
    prop::collection::vec(action(), 1..250)
}

fn settings() -> ProptestConfig {
    ProptestConfig { cases: 250, failure_persistence: None, ..ProptestConfig::default() }
}

proptest! {
    #![proptest_config(settings())]

    #[test]
    fn prop_promises_hold_under_faults(actions in history()) {
        let mut world = World::new(config(Lease::ServerDecides, Resume::NewSession));
        for action in &actions {
            world.act(action);
        }
        world.heal_and_check();
    }

    #[test]
    fn prop_promises_hold_with_a_local_deadline(actions in history()) {
        let mut world = World::new(config(Lease::LocalDeadline, Resume::NewSession));
        for action in &actions {
            world.act(action);
        }
        world.heal_and_check();
    }

    #[test]
    fn prop_a_client_that_stops_answers_everybody(actions in history()) {
        let mut world = World::new(config(Lease::ServerDecides, Resume::Stop));
        for action in &actions {
            world.act(action);
        }
        world.abandon_and_check();
    }
}

#[test]
fn server_with_a_shorter_history_is_left_for_a_new_session_once_ours_is_over() {
    let mut world = World::new(config(Lease::ServerDecides, Resume::NewSession));
    world.connect();
    world.act(&Action::Write(0));
    world.settle();
    // The data directory was wiped: such a server knows no session and hangs up without a word on
    // whoever has seen more than it has.
    world.act(&Action::Expire);
    world.act(&Action::ForgetHistory);
    world.act(&Action::Cut);
    world.heal_and_check();
    assert_eq!(world.generation(), 2);
}

//! What is a failure of the canary, and what is not.

use proptest::prelude::*;

use super::*;

const MS: u64 = 1_000_000;

/// A machine, the time in milliseconds, and what it wants done.
struct Bench {
    canary: Canary,
    ms: u64,
    order: Option<Order>,
    failures: u32,
    rounds: u32,
    took: Vec<(Op, Duration)>,
    notes: Vec<Option<String>>,
    zxid: i64,
}

impl Bench {
    fn new() -> Self {
        Self {
            canary: Canary::new(Limits::default(), Mono::default()),
            ms: 0,
            order: None,
            failures: 0,
            rounds: 0,
            took: vec![],
            notes: vec![],
            zxid: 0,
        }
    }

    /// Connected and prepared, at time 0, with the first write under way.
    fn ready() -> Self {
        let mut bench = Self::new();
        bench.step(Input::Connected);
        assert_eq!(bench.order, Some(Order::Prepare));
        bench.done();
        assert_eq!(bench.order, Some(Order::Write));
        bench
    }

    fn step(&mut self, input: Input) {
        if matches!(input, Input::Ended(_)) {
            self.order = None;
        }
        let mut out = Vec::new();
        self.canary.step(Mono(self.ms * MS), input, &mut out);
        for output in out {
            match output {
                Output::Do(order) => {
                    assert_eq!(self.order, None, "one thing at a time");
                    self.order = Some(order);
                }
                Output::Drop => self.order = None,
                Output::Took(op, took) => self.took.push((op, took)),
                Output::RoundBegun => self.rounds += 1,
                Output::Failed(_) => self.failures += 1,
                Output::Note(note) => self.notes.push(note),
            }
        }
    }

    fn ended(&mut self, ended: Ended) {
        assert!(self.order.is_some(), "something is under way");
        self.step(Input::Ended(ended));
    }

    /// The order under way is done as a good server does it.
    fn done(&mut self) {
        if self.order == Some(Order::Write) {
            self.zxid += 1;
        }
        self.ended(Ended::Done(Zxid(self.zxid)));
    }

    /// Lets time pass, ticking in time.
    fn until(&mut self, ms: u64) {
        loop {
            let due = self.canary.next_timeout().0.div_ceil(MS);
            if due > ms {
                self.ms = ms;
                return;
            }
            self.ms = self.ms.max(due);
            self.step(Input::Tick);
        }
    }

    /// The process itself does not run until then.
    fn paused_until(&mut self, ms: u64) {
        self.ms = ms;
    }
}

#[test]
fn a_round_is_write_event_read_and_the_next_begins_a_second_after_it_began() {
    let mut bench = Bench::ready();
    bench.until(10);
    bench.done();
    assert_eq!(bench.order, Some(Order::AwaitEvent));
    bench.until(12);
    bench.done();
    assert_eq!(bench.order, Some(Order::Read));
    bench.until(15);
    bench.done();
    assert_eq!((bench.order, bench.rounds, bench.failures), (None, 1, 0));
    let took: Vec<_> = bench.took.iter().map(|(op, took)| (*op, took.as_millis())).collect();
    assert_eq!(took, [(Op::Connect, 0), (Op::Write, 10), (Op::Watch, 12), (Op::Read, 3)]);
    bench.until(999);
    assert_eq!(bench.order, None);
    bench.until(1000);
    assert_eq!((bench.order, bench.rounds), (Some(Order::Write), 2));
}

#[test]
fn a_step_not_done_in_time_fails_and_goes_on_failing_without_a_second_round() {
    let mut bench = Bench::ready();
    bench.until(2499);
    assert_eq!(bench.failures, 0);
    bench.until(2500);
    assert_eq!(bench.failures, 1);
    bench.until(12_400);
    assert_eq!((bench.failures, bench.rounds), (4, 1));
    // It comes at last: the round goes on, its times are not counted, the next round is clean.
    bench.done();
    bench.done();
    bench.done();
    assert_eq!(bench.order, Some(Order::Write), "the next round is due");
    assert!(bench.took.iter().all(|(op, _)| *op == Op::Connect), "{:?}", bench.took);
    bench.done();
    assert_eq!(bench.took.last(), Some(&(Op::Write, Duration::ZERO)));
    assert_eq!(bench.failures, 4);
}

#[test]
fn a_missing_event_and_a_read_without_answer_fail_as_well() {
    let mut bench = Bench::ready();
    bench.done();
    bench.until(2500);
    assert_eq!(bench.failures, 1, "no event");
    bench.done();
    assert_eq!(bench.order, Some(Order::Read));
    bench.until(5000);
    assert_eq!(bench.failures, 2, "no answer to the read");
}

#[test]
fn a_read_older_than_the_write_is_a_failure_a_newer_one_is_not() {
    let mut bench = Bench::ready();
    bench.ended(Ended::Done(Zxid(5)));
    bench.done();
    bench.ended(Ended::Done(Zxid(4)));
    assert_eq!(bench.failures, 1);
    bench.until(1000);
    bench.ended(Ended::Done(Zxid(6)));
    bench.done();
    bench.ended(Ended::Done(Zxid(9)));
    assert_eq!(bench.failures, 1);
}

#[test]
fn a_pause_of_two_seconds_of_the_server_or_of_ourselves_is_no_failure() {
    let mut bench = Bench::ready();
    bench.until(2000);
    bench.done();
    assert_eq!(bench.failures, 0);
    // Ours: the write's answer waits in the socket, but the timer is looked at first.
    let mut bench = Bench::ready();
    bench.until(600);
    bench.paused_until(2700);
    bench.step(Input::Tick);
    assert_eq!(bench.failures, 0, "time in which we did not run does not count");
    bench.done();
    assert!(bench.took.iter().all(|(op, _)| *op == Op::Connect), "nor is it a latency");
    // A pause does not excuse for ever.
    let mut bench = Bench::ready();
    bench.until(600);
    bench.paused_until(2700);
    bench.step(Input::Tick);
    bench.until(4900);
    assert_eq!(bench.failures, 1);
}

#[test]
fn a_server_that_takes_no_connection_is_not_the_canarys_business() {
    let mut bench = Bench::ready();
    bench.until(1000);
    bench.step(Input::Disconnected);
    assert_eq!(bench.order, None);
    assert!(!bench.canary.is_connected());
    bench.until(60_000);
    assert_eq!(bench.failures, 0);
    bench.step(Input::Connected);
    assert_eq!(bench.order, Some(Order::Prepare));
    assert_eq!(bench.took.len(), 1, "a connection that took a minute is no latency");
}

#[test]
fn a_broken_request_is_no_judgement_and_is_tried_again() {
    let mut bench = Bench::ready();
    bench.ended(Ended::Broken);
    assert_eq!((bench.order, bench.failures), (None, 0));
    bench.until(1000);
    assert_eq!(bench.order, Some(Order::Prepare));
}

#[test]
fn what_is_forbidden_is_a_note_and_settled_when_it_is_allowed() {
    let mut bench = Bench::ready();
    bench.ended(Ended::Forbidden("no".into()));
    bench.until(59_999);
    assert_eq!((bench.order, bench.failures), (None, 0));
    bench.until(60_000);
    assert_eq!(bench.order, Some(Order::Prepare));
    bench.done();
    assert_eq!(bench.notes, [Some("no".to_owned()), None]);
}

#[test]
fn a_deleted_znode_is_made_again_and_a_missing_chroot_is_a_note() {
    let mut bench = Bench::ready();
    bench.ended(Ended::Missing);
    assert_eq!((bench.order, bench.failures), (Some(Order::Prepare), 0));
    bench.ended(Ended::Missing);
    assert!(bench.notes[0].as_deref().is_some_and(|note| note.contains("chroot")));
}

#[test]
fn an_error_that_users_would_meet_is_a_failure_each_second() {
    let mut bench = Bench::ready();
    for second in 1..=3 {
        bench.ended(Ended::Refused("THROTTLEDOP".into()));
        assert_eq!(bench.failures, second);
        assert_eq!(bench.order, None);
        bench.until(u64::from(second) * 1000);
        assert_eq!(bench.order, Some(Order::Prepare));
        bench.done();
        assert_eq!(bench.order, Some(Order::Write));
    }
}

#[test]
fn a_read_only_server_is_not_written_to() {
    let mut bench = Bench::ready();
    bench.step(Input::ReadOnly);
    bench.until(60_000);
    assert_eq!((bench.order, bench.failures), (None, 0));
    bench.step(Input::Connected);
    assert_eq!(bench.order, Some(Order::Prepare));
}

proptest! {
    /// Whatever the server's delays below the limit and our own pauses: no failure.
    #[test]
    fn prop_slow_servers_and_own_pauses_never_fail(
        delays in prop::collection::vec((0..2200u64, 0..5000u64, 0..2200u64), 1..60),
    ) {
        let mut bench = Bench::ready();
        for (delay, pause, at) in delays {
            if bench.order.is_none() {
                let due = bench.canary.next_timeout().0.div_ceil(MS);
                bench.until(due);
                continue;
            }
            // The server needs `delay`; we do not run for `pause`, from `at` on.
            let begun = bench.ms;
            if at < delay {
                bench.until(begun + at);
                bench.paused_until(begun + at + pause);
                bench.step(Input::Tick);
                let answered = (begun + delay).max(bench.ms);
                bench.until(answered);
            } else {
                bench.until(begun + delay);
            }
            bench.done();
        }
        prop_assert_eq!(bench.failures, 0);
    }

    /// A server that stops answering at any moment has failed a round 3.5 s later, and fails at
    /// least once in each further 2.5 s.
    #[test]
    fn prop_a_silent_server_is_found(answered in 0..200usize, more in 0..8u64) {
        let mut bench = Bench::ready();
        for _ in 0..answered {
            match bench.order {
                Some(_) => bench.done(),
                None => bench.until(bench.canary.next_timeout().0.div_ceil(MS)),
            }
        }
        let silent = bench.ms;
        bench.until(silent + 3500 + more * 2500);
        prop_assert!(u64::from(bench.failures) > more, "{} of {}", bench.failures, more);
    }
}

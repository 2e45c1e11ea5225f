//! One server: probe answers in, a judgement out.
//!
//! A single lost answer is no fault, and a single good one no cure: the detector asks for several in
//! a row over some time. The shell probes faster while [`ServerDetector::in_doubt`].

use std::time::Duration;

use wk_proto::ids::Mono;

use crate::Now;
use crate::fact::{Fact, FactKind};
use crate::finding::{Finding, Severity, Subject};

/// The server does not answer.
pub const UNREACHABLE: &str = "ZkServerUnreachable";
/// The server answers, but does not serve.
pub const NOT_SERVING: &str = "ZkServerNotServing";

/// What one probe said.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Probe {
    /// It serves, in this mode.
    Serving {
        /// `standalone`, `leader`, ...
        mode: String,
    },
    /// It answered that it does not serve.
    NotServing {
        /// Its answer, shortened.
        answer: String,
    },
    /// No answer.
    NoAnswer {
        /// What failed.
        reason: String,
    },
    /// It is there and does not let the monitor in, or shows a certificate that is not trusted:
    /// whether it serves others cannot be told.
    Barred {
        /// What does not fit.
        reason: String,
    },
}

/// The judgement.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ServerState {
    /// None yet.
    Unknown,
    /// It answers and serves.
    Up,
    /// It answers but does not serve.
    NotServing,
    /// It does not answer.
    Unreachable,
}

/// Thresholds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServerPolicy {
    /// How many bad probes in a row make a fault. Default 3.
    pub bad_probes: u32,
    /// Over at least how long. Default 1.5 s: a quick restart is no fault.
    pub bad_for: Duration,
    /// How long a faulty server must fail in another way before that is the fault. Default 5 s: a
    /// server that starts answers for a while before it serves.
    pub other_for: Duration,
    /// How many good probes in a row end it. Default 2.
    pub good_probes: u32,
    /// What losing this server means: critical if it is the only one of its ensemble.
    pub unreachable: Severity,
}

impl Default for ServerPolicy {
    fn default() -> Self {
        Self {
            bad_probes: 3,
            bad_for: Duration::from_millis(1500),
            other_for: Duration::from_secs(5),
            good_probes: 2,
            unreachable: Severity::Warning,
        }
    }
}

/// Judges one server.
#[derive(Clone, Debug)]
pub struct ServerDetector {
    ensemble: String,
    instance: String,
    policy: ServerPolicy,
    state: ServerState,
    since: Now,
    /// Bad probes in a row, and when the first of them was. `bad > 0` implies `good == 0`.
    bad: u32,
    bad_since: Mono,
    /// Since when the bad probes say the same: what they say, and when that began.
    alike: ServerState,
    alike_since: Mono,
    /// Good probes in a row, counted up to the threshold.
    good: u32,
    last_served: Option<Now>,
    /// What the last probe said.
    last: Option<Fact>,
}

impl ServerDetector {
    /// A detector without a judgement.
    pub fn new(ensemble: &str, instance: &str, policy: ServerPolicy, now: Now) -> Self {
        Self {
            ensemble: ensemble.to_owned(),
            instance: instance.to_owned(),
            policy,
            state: ServerState::Unknown,
            since: now,
            bad: 0,
            bad_since: now.mono,
            alike: ServerState::Unknown,
            alike_since: now.mono,
            good: 0,
            last_served: None,
            last: None,
        }
    }

    /// `host:port`.
    pub fn instance(&self) -> &str {
        &self.instance
    }

    /// Goes on under another policy.
    pub fn obey(&mut self, policy: ServerPolicy) {
        self.policy = policy;
    }

    /// The judgement.
    pub fn state(&self) -> ServerState {
        self.state
    }

    /// What is known of it: the last probe's word, and when it last served if it does not now.
    pub fn facts(&self) -> Vec<Fact> {
        let mut facts: Vec<Fact> = self.last.iter().cloned().collect();
        if let Some(served) = self.last_served.filter(|_| self.bad > 0) {
            facts.push(Fact::new(FactKind::LastServed, [served.wall.0.to_string()]));
        }
        facts
    }

    /// Since when it stands.
    pub fn since(&self) -> Now {
        self.since
    }

    /// Whether the last probes disagree with the judgement, so that the next should come soon.
    pub fn in_doubt(&self) -> bool {
        match self.state {
            ServerState::Unknown => true,
            ServerState::Up => self.bad > 0,
            ServerState::NotServing | ServerState::Unreachable => self.good > 0,
        }
    }

    /// Takes one probe's answer; says in `out` what changed.
    pub fn step(&mut self, now: Now, probe: &Probe, out: &mut Vec<Finding>) {
        self.last = Some(self.word(probe));
        if let Probe::Serving { mode } = probe {
            self.good = (self.good + 1).min(self.policy.good_probes);
            self.bad = 0;
            self.last_served = Some(now);
            // At the start one good answer is enough: there is nothing to end.
            let cured = self.good == self.policy.good_probes;
            if self.state == ServerState::Unknown || (self.state != ServerState::Up && cured) {
                let fact = Fact::new(FactKind::Serves, [self.instance.clone(), mode.clone()]);
                self.turn(ServerState::Up, now);
                self.end(UNREACHABLE, &fact, out);
                self.end(NOT_SERVING, &fact, out);
            }
            return;
        }
        if matches!(probe, Probe::Barred { .. }) {
            (self.good, self.bad) = (0, 0);
            let rule = match self.state {
                ServerState::Unreachable => Some(UNREACHABLE),
                ServerState::NotServing => Some(NOT_SERVING),
                ServerState::Unknown | ServerState::Up => None,
            };
            if let Some(rule) = rule {
                // It may have healed, or not.
                let subject = Subject::server(rule, &self.ensemble, &self.instance);
                let unjudged = Fact::new(FactKind::Unjudged, [self.instance.clone()]);
                let facts = [unjudged].into_iter().chain(self.last.clone()).collect();
                out.push(Finding::Unseen { subject, facts });
            }
            if self.state != ServerState::Unknown {
                self.turn(ServerState::Unknown, now);
            }
            return;
        }
        if self.bad == 0 {
            self.bad_since = now.mono;
        }
        let says = match probe {
            Probe::NotServing { .. } => ServerState::NotServing,
            Probe::NoAnswer { .. } | Probe::Serving { .. } | Probe::Barred { .. } => {
                ServerState::Unreachable
            }
        };
        if self.bad == 0 || self.alike != says {
            (self.alike, self.alike_since) = (says, now.mono);
        }
        self.bad = self.bad.saturating_add(1);
        self.good = 0;
        let healthy = matches!(self.state, ServerState::Up | ServerState::Unknown);
        let lasting = if healthy {
            now.mono.since(self.bad_since) >= self.policy.bad_for
        } else {
            now.mono.since(self.alike_since) >= self.policy.other_for
        };
        if self.bad >= self.policy.bad_probes && lasting {
            self.condemn(now, probe, out);
        }
    }

    fn word(&self, probe: &Probe) -> Fact {
        let (kind, said) = match probe {
            Probe::Serving { mode } => (FactKind::Serves, mode),
            Probe::NotServing { answer } => (FactKind::NotServing, answer),
            Probe::NoAnswer { reason } => (FactKind::ProbeFailed, reason),
            Probe::Barred { reason } => (FactKind::Barred, reason),
        };
        Fact::new(kind, [self.instance.clone(), said.clone()])
    }

    fn condemn(&mut self, now: Now, probe: &Probe, out: &mut Vec<Finding>) {
        let instance = self.instance.clone();
        let (state, rule, other, severity, fact) = match probe {
            Probe::Serving { .. } | Probe::Barred { .. } => return,
            Probe::NotServing { answer } => (
                ServerState::NotServing,
                NOT_SERVING,
                UNREACHABLE,
                Severity::Critical,
                Fact::new(FactKind::NotServing, [instance, answer.clone()]),
            ),
            Probe::NoAnswer { reason } => (
                ServerState::Unreachable,
                UNREACHABLE,
                NOT_SERVING,
                self.policy.unreachable,
                Fact::new(FactKind::ProbeFailed, [instance, reason.clone()]),
            ),
        };
        if self.state == state {
            return;
        }
        // A server that now fails in another way has one fault, not two.
        self.end(other, &fact, out);
        self.turn(state, now);
        let mut facts = vec![fact];
        if let Some(last) = self.last_served {
            facts.push(Fact::new(FactKind::LastServed, [last.wall.0.to_string()]));
        }
        let subject = Subject::server(rule, &self.ensemble, &self.instance);
        out.push(Finding::firing(subject, severity, facts));
    }

    fn turn(&mut self, state: ServerState, now: Now) {
        self.state = state;
        self.since = now;
    }

    fn end(&self, rule: &str, fact: &Fact, out: &mut Vec<Finding>) {
        let subject = Subject::server(rule, &self.ensemble, &self.instance);
        out.push(Finding::Gone { subject, facts: vec![fact.clone()] });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use wk_proto::ids::Wall;

    /// Probes one letter per half second: `.` serves, `x` no answer, `n` not serving. Shows when
    /// which rule fires (`!`) or ends (`-`).
    fn trace(probes: &str) -> String {
        let mut detector = ServerDetector::new("e", "h:1", ServerPolicy::default(), Now::default());
        let mut shown = String::new();
        for (at, letter) in (0i64..).zip(probes.chars()) {
            let now = Now { mono: Mono(at.unsigned_abs() * 500_000_000), wall: Wall(at * 500) };
            let probe = match letter {
                '.' => Probe::Serving { mode: "standalone".into() },
                'n' => Probe::NotServing { answer: "not serving".into() },
                'b' => Probe::Barred { reason: "TLS: unknown issuer".into() },
                _ => Probe::NoAnswer { reason: "refused".into() },
            };
            let mut out = Vec::new();
            detector.step(now, &probe, &mut out);
            shown.push(letter);
            for finding in out {
                let (mark, subject) = match finding {
                    Finding::Firing { subject, .. } => ('!', subject),
                    Finding::Pending { subject, .. } => ('~', subject),
                    Finding::Gone { subject, .. } => ('-', subject),
                    Finding::Unseen { subject, .. } => ('?', subject),
                };
                shown.push(mark);
                shown.push(if subject.rule == UNREACHABLE { 'U' } else { 'N' });
            }
        }
        shown
    }

    #[test]
    fn a_fault_needs_several_bad_probes_over_some_time() {
        assert_eq!(trace("..xx.xx."), ".-U-N.xx.xx.");
        assert_eq!(trace(".xxxxx"), ".-U-Nxxx".to_owned() + "x-N!Ux");
    }

    #[test]
    fn a_cure_needs_two_good_probes() {
        assert_eq!(trace("xxxx.x..."), "xxxx-N!U.x..-U-N.");
    }

    #[test]
    fn a_server_that_comes_back_by_way_of_not_serving_has_one_fault() {
        assert_eq!(trace("xxxxnn.."), "xxxx-N!Unn..-U-N");
    }

    #[test]
    fn one_that_does_not_let_us_in_is_neither_up_nor_down() {
        assert_eq!(trace("bbbbbbbb"), "bbbbbbbb");
        assert_eq!(trace(".bbbbxxbxxx"), ".-U-Nbbbbxxbxxx".to_owned(), "counted anew");
        assert_eq!(trace("xxxxbbb."), "xxxx-N!Ub?Ubb.-U-N", "what was told is not over");
        let mut detector = ServerDetector::new("e", "h:1", ServerPolicy::default(), Now::default());
        for probe in [Probe::Serving { mode: "?".into() }, Probe::Barred { reason: "x".into() }] {
            detector.step(Now::default(), &probe, &mut Vec::new());
        }
        assert_eq!(detector.state(), ServerState::Unknown);
        assert_eq!(detector.facts()[0].kind, FactKind::Barred);
    }

    #[test]
    fn one_fault_at_a_time() {
        assert_eq!(trace("xxxxnnnnnnnnnnn.."), "xxxx-N!Unnnnnnnnnnn-U!N..-U-N");
    }
}

//! The first cure of a node that is down: may its action run now, and did it help?
//!
//! An action runs at most once an incident, one at a time over all groups, within a budget per hour
//! and group; never while our own view is bad and never while over half of the group is down. It has
//! helped only when the node's *own* session is back. The shell stores [`Attempt`]s before it runs
//! anything: one that was under way when the monitor died is never run a second time.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use wk_proto::ids::{Mono, Wall};

use crate::Now;
use crate::incident::IncidentId;

/// Over which time [`CurePolicy::budget`] counts.
pub const BUDGET_WINDOW: Duration = Duration::from_hours(1);

/// Who decides that the action runs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum CureMode {
    /// Nobody: it does not run.
    Off,
    /// A person, by `incidents run`.
    #[default]
    Ask,
    /// The monitor, as soon as the guard allows it.
    Auto,
}

/// The rules of one group.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CurePolicy {
    /// Who decides.
    pub mode: CureMode,
    /// How long the action may take. Default 30 s.
    pub timeout: Duration,
    /// How often it may run in an hour. Default 3.
    pub budget: u32,
    /// How long after its end the node has for its own session to be back. Default 2 min.
    pub verify: Duration,
}

impl Default for CurePolicy {
    fn default() -> Self {
        Self {
            mode: CureMode::Ask,
            timeout: Duration::from_secs(30),
            budget: 3,
            verify: Duration::from_mins(2),
        }
    }
}

/// What is to be cured.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Target {
    /// The ensemble in which it is registered.
    pub ensemble: String,
    /// Its group.
    pub group: String,
    /// The node.
    pub node: String,
}

/// What is known of a group at this moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct GroupView {
    /// Our own view of the registry is clear.
    pub clear: bool,
    /// Nodes that ought to be there: all but those that left.
    pub expected: usize,
    /// Those among them that are not alive.
    pub down: usize,
}

/// Why the action does not run.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Refusal {
    /// The group has no action.
    NoAction,
    /// It is switched off.
    Off,
    /// There is no such fault at present.
    NotFiring,
    /// It ran already for this incident.
    AlreadyRun,
    /// Another one is running.
    Busy {
        /// For which incident.
        incident: IncidentId,
    },
    /// It ran as often in this hour as it may.
    BudgetUsed {
        /// How often that is.
        budget: u32,
    },
    /// Our own view is bad: what looks down may be alive.
    ViewBad,
    /// Over half of the group is down: that is no single node's fault.
    HalfDown {
        /// How many.
        down: usize,
        /// Of how many.
        expected: usize,
    },
}

/// How an action ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Ended {
    /// With this exit code.
    Exited(i32),
    /// By a signal, by the monitor's own end, or it could not be started.
    Failed(String),
    /// It took too long and was ended.
    TimedOut,
}

/// One run, as it is stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Attempt {
    /// For which incident.
    pub incident: IncidentId,
    /// On what.
    pub target: Target,
    /// Who decided.
    pub by: String,
    /// When it was decided.
    pub started_at: Wall,
    /// How it ended; none while it runs, and for ever if the monitor died meanwhile.
    pub ended: Option<Ended>,
    /// Whether the node came back by itself afterwards; none while nobody knows.
    pub cured: Option<bool>,
}

/// What changed, in order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CureEvent {
    /// Store this attempt, then run its action.
    Run(Attempt),
    /// It ended; the node has until the time for verification is over.
    Ended(Attempt),
    /// The node's own session is back, or is not.
    Judged(Attempt),
    /// It would run by itself but may not at present; said once a reason.
    Held(IncidentId, Refusal),
}

/// All cures.
#[derive(Clone, Debug, Default)]
pub struct Cures {
    policies: BTreeMap<(String, String), CurePolicy>,
    /// The faults that are there, and about what.
    firing: BTreeMap<IncidentId, Target>,
    attempts: BTreeMap<IncidentId, Attempt>,
    running: Option<IncidentId>,
    /// Until when a node has time to come back.
    verifying: BTreeMap<IncidentId, Mono>,
    /// Reasons already said.
    said: BTreeSet<(IncidentId, Refusal)>,
}

impl Cures {
    /// Goes on from the attempts that were stored. One without an end was cut off by the monitor's
    /// own end: whether its action did its work is not known, so it only waits for the node.
    pub fn restore(attempts: Vec<Attempt>, now: Now) -> Self {
        let mut cures = Self::default();
        for mut attempt in attempts {
            if attempt.ended.is_none() {
                attempt.ended = Some(Ended::Failed("the monitor ended meanwhile".to_owned()));
            }
            if attempt.cured.is_none() {
                let until = now.mono.after(CurePolicy::default().verify);
                cures.verifying.insert(attempt.incident.clone(), until);
            }
            cures.attempts.insert(attempt.incident.clone(), attempt);
        }
        cures
    }

    /// Sets the rules of a group of an ensemble; they may change at any time.
    pub fn set_policy(&mut self, ensemble: &str, group: &str, policy: CurePolicy) {
        self.policies.insert((ensemble.to_owned(), group.to_owned()), policy);
    }

    /// The attempt for an incident.
    pub fn attempt(&self, incident: &IncidentId) -> Option<&Attempt> {
        self.attempts.get(incident)
    }

    /// A node is down.
    pub fn down(&mut self, incident: IncidentId, target: Target) {
        self.firing.insert(incident, target);
    }

    /// The incident is over; `back` when it ended because the node's own session is there again.
    pub fn over(&mut self, incident: &IncidentId, back: bool, out: &mut Vec<CureEvent>) {
        self.firing.remove(incident);
        self.said.retain(|(said, _)| said != incident);
        if self.running.as_ref() != Some(incident) {
            self.judge(incident, back, out);
        } else if back && let Some(attempt) = self.attempts.get_mut(incident) {
            // It came back before the action's end: that is told with the end.
            attempt.cured = Some(true);
        }
    }

    /// Forgets attempts of incidents that are kept no longer.
    pub fn retain(&mut self, kept: impl Fn(&IncidentId) -> bool) {
        self.attempts.retain(|id, _| kept(id));
        self.verifying.retain(|id, _| kept(id));
    }

    /// Somebody asks for the action.
    ///
    /// # Errors
    /// The [`Refusal`] that stands against it.
    pub fn ask(
        &mut self,
        now: Now,
        incident: &IncidentId,
        by: &str,
        view: &dyn Fn(&Target) -> GroupView,
        out: &mut Vec<CureEvent>,
    ) -> Result<(), Refusal> {
        self.check(now, incident, view)?;
        let target = self.firing.get(incident).ok_or(Refusal::NotFiring)?.clone();
        self.start(now, incident, target, by, out);
        Ok(())
    }

    /// Whether somebody could let the action run now.
    ///
    /// # Errors
    /// The [`Refusal`] that stands against it.
    pub fn check(
        &self,
        now: Now,
        incident: &IncidentId,
        view: &dyn Fn(&Target) -> GroupView,
    ) -> Result<(), Refusal> {
        let target = self.firing.get(incident).ok_or(Refusal::NotFiring)?;
        self.guard(now, incident, target, view(target))
    }

    /// Lets time pass: starts what may start by itself, ends verifications.
    pub fn tick(
        &mut self,
        now: Now,
        view: &dyn Fn(&Target) -> GroupView,
        out: &mut Vec<CureEvent>,
    ) {
        let late = self.verifying.iter().filter(|(_, until)| **until <= now.mono);
        let late: Vec<IncidentId> = late.map(|(id, _)| id.clone()).collect();
        for incident in late {
            self.judge(&incident, false, out);
        }
        let waiting = self.firing.iter().filter(|(id, _)| !self.attempts.contains_key(*id));
        let waiting: Vec<_> = waiting.map(|(id, target)| (id.clone(), target.clone())).collect();
        for (incident, target) in waiting {
            let policy = self.policies.get(&(target.ensemble.clone(), target.group.clone()));
            if policy.is_none_or(|policy| policy.mode != CureMode::Auto) {
                continue;
            }
            match self.guard(now, &incident, &target, view(&target)) {
                Ok(()) => self.start(now, &incident, target, "monitor", out),
                // Its turn comes: nothing to say.
                Err(Refusal::Busy { .. }) => (),
                Err(refusal) => {
                    if self.said.insert((incident.clone(), refusal.clone())) {
                        out.push(CureEvent::Held(incident, refusal));
                    }
                }
            }
        }
    }

    /// When [`Cures::tick`] has something to do by time alone.
    pub fn next_timeout(&self) -> Mono {
        self.verifying.values().min().copied().unwrap_or(Mono::NEVER)
    }

    /// The action of `incident` ended.
    pub fn ended(&mut self, now: Now, incident: &IncidentId, how: Ended, out: &mut Vec<CureEvent>) {
        if self.running.as_ref() != Some(incident) {
            return;
        }
        self.running = None;
        let Some(attempt) = self.attempts.get_mut(incident) else { return };
        attempt.ended = Some(how);
        let back = attempt.cured.take();
        out.push(CureEvent::Ended(attempt.clone()));
        let verify = self.policy(incident).map_or(CurePolicy::default().verify, |p| p.verify);
        self.verifying.insert(incident.clone(), now.mono.after(verify));
        if back == Some(true) {
            self.judge(incident, true, out);
        }
    }

    fn policy(&self, incident: &IncidentId) -> Option<&CurePolicy> {
        let target = &self.attempts.get(incident)?.target;
        self.policies.get(&(target.ensemble.clone(), target.group.clone()))
    }

    fn judge(&mut self, incident: &IncidentId, cured: bool, out: &mut Vec<CureEvent>) {
        if self.verifying.remove(incident).is_none() {
            return;
        }
        if let Some(attempt) = self.attempts.get_mut(incident) {
            attempt.cured = Some(cured);
            out.push(CureEvent::Judged(attempt.clone()));
        }
    }

    fn guard(
        &self,
        now: Now,
        incident: &IncidentId,
        target: &Target,
        view: GroupView,
    ) -> Result<(), Refusal> {
        let policy = self.policies.get(&(target.ensemble.clone(), target.group.clone()));
        let policy = policy.ok_or(Refusal::NoAction)?;
        if policy.mode == CureMode::Off {
            return Err(Refusal::Off);
        }
        if self.attempts.contains_key(incident) {
            return Err(Refusal::AlreadyRun);
        }
        if !view.clear {
            return Err(Refusal::ViewBad);
        }
        if view.down * 2 > view.expected {
            return Err(Refusal::HalfDown { down: view.down, expected: view.expected });
        }
        let same = |attempt: &&Attempt| {
            let recent = now.wall.0.saturating_sub(attempt.started_at.0) < window_millis();
            let of_group =
                |t: &Target| (&t.ensemble, &t.group) == (&target.ensemble, &target.group);
            of_group(&attempt.target) && recent
        };
        let used = self.attempts.values().filter(same).count();
        if u32::try_from(used).unwrap_or(u32::MAX) >= policy.budget {
            return Err(Refusal::BudgetUsed { budget: policy.budget });
        }
        match &self.running {
            Some(other) => Err(Refusal::Busy { incident: other.clone() }),
            None => Ok(()),
        }
    }

    fn start(
        &mut self,
        now: Now,
        incident: &IncidentId,
        target: Target,
        by: &str,
        out: &mut Vec<CureEvent>,
    ) {
        let attempt = Attempt {
            incident: incident.clone(),
            target,
            by: by.to_owned(),
            started_at: now.wall,
            ended: None,
            cured: None,
        };
        self.running = Some(incident.clone());
        self.attempts.insert(incident.clone(), attempt.clone());
        out.push(CureEvent::Run(attempt));
    }
}

fn window_millis() -> i64 {
    i64::try_from(BUDGET_WINDOW.as_millis()).unwrap_or(i64::MAX)
}

#[cfg(test)]
#[path = "cure_tests.rs"]
mod tests;

//! Actions of nodes that are down: carries out what [`wk_alert::Cures`] decides.
//!
//! An attempt is stored, with its line of history, before its action runs: a monitor that dies in
//! between leaves an attempt without an end, which is never run again.

use serde::{Deserialize, Serialize};
use wk_alert::{
    Attempt, CureEvent, CureMode, Cures, Ended, Fact, FactKind, GroupView, Incident, IncidentId,
    IncidentState, Now, Refusal, Target,
};
use wk_proto::ids::{Mono, Wall};

use super::quiet::Promise;
use super::{Engine, Event, now};
use crate::action::{Action, Done};
use crate::config::OnDown;
use crate::handle::{ActionError, Reply};
use crate::incident::Cure;
use crate::store::Kept;
use crate::text::Lang;

/// Under which name the store keeps the attempts.
const KEPT: &str = "cures";
/// Attempts kept, at most; the oldest go first. Budgets need those of the last hour.
const ATTEMPTS_MAX: usize = 1000;
/// What is shown of an action's output in history.
const OUTPUT_SHOWN: usize = 400;

/// What the engine holds for cures.
#[derive(Debug, Default)]
pub(super) struct Curing {
    cures: Cures,
    attempts: Vec<Attempt>,
    /// Decided, to be run as soon as that is stored.
    decided: Vec<Attempt>,
}

#[derive(Serialize, Deserialize)]
struct Row {
    incident: String,
    ensemble: String,
    group: String,
    node: String,
    by: String,
    started_at: i64,
    /// `exit N`, `timeout`, or why it failed.
    ended: Option<String>,
    cured: Option<bool>,
}

impl Curing {
    /// Goes on from what was kept; what cannot be read says nothing.
    pub(super) fn restore(kept: &Kept, now: Now) -> Self {
        let rows = kept.get(KEPT).and_then(|bytes| serde_json::from_slice::<Vec<Row>>(bytes).ok());
        let attempts: Vec<Attempt> = rows.unwrap_or_default().into_iter().map(attempt).collect();
        let cures = Cures::restore(attempts.clone(), now);
        Self { cures, attempts, decided: Vec::new() }
    }

    pub(super) fn next_timeout(&self) -> Mono {
        self.cures.next_timeout()
    }

    fn keep(&mut self, attempt: Attempt) -> (String, Vec<u8>) {
        self.attempts.retain(|known| known.incident != attempt.incident);
        self.attempts.push(attempt);
        let over = self.attempts.len().saturating_sub(ATTEMPTS_MAX);
        self.attempts.drain(..over);
        let rows: Vec<Row> = self.attempts.iter().map(row).collect();
        let bytes = serde_json::to_vec(&rows).expect("rows hold strings and numbers only");
        (KEPT.to_owned(), bytes)
    }
}

impl Engine {
    /// The rules of all groups, for an ensemble that is watched from now on.
    pub(super) fn cure_policies(&mut self, ensemble: &str) {
        for (group, config) in &self.config.groups {
            if let Some(OnDown { policy, .. }) = &config.on_down {
                self.curing.cures.set_policy(ensemble, group, policy.clone());
            }
        }
    }

    /// An incident changed and is stored so.
    pub(super) fn cure_heard(&mut self, now: Now, incident: &Incident) {
        let subject = &incident.subject;
        let (Some(group), Some(node)) = (&subject.group, &subject.node) else { return };
        if subject.rule != wk_alert::node::NODE_DOWN {
            return;
        }
        let (ensemble, group, node) = (subject.ensemble.clone(), group.clone(), node.clone());
        let mut out = Vec::new();
        match incident.state {
            // What nobody is told of is no reason to act: its cause or the people at work are.
            IncidentState::Firing if incident.suppressed.is_some() => (),
            IncidentState::Firing => {
                let target = Target { ensemble, group, node };
                self.curing.cures.down(incident.id.clone(), target);
            }
            IncidentState::Resolved | IncidentState::Closed => {
                // Deregistered, or not watched any more: gone, but nobody is back.
                let back = incident.facts.iter().any(|fact| fact.kind == FactKind::AliveBack);
                self.curing.cures.over(&incident.id, back, &mut out);
            }
            // It may be down still: an action has the guard of its own view.
            IncidentState::Unknown => (),
        }
        self.cure_take(now, out);
    }

    /// Lets time pass: what may run by itself is decided here.
    pub(super) fn cure_tick(&mut self, now: Now) {
        if self.stopping {
            return;
        }
        let mut out = Vec::new();
        let ensembles = &self.ensembles;
        self.curing.cures.tick(now, &|target| view(ensembles, target), &mut out);
        self.cure_take(now, out);
    }

    /// Somebody asks for the action of an incident.
    pub(super) fn cure_asked(
        &mut self,
        id: String,
        by: &str,
        reply: Reply<crate::incident::Incident>,
    ) {
        let (now, id) = (now(self.origin), IncidentId(id));
        if !self.ledger.incidents().contains_key(&id) {
            let _ = reply.send(Err(ActionError::NotFound { what: "incident", name: id.0 }));
            return;
        }
        let mut out = Vec::new();
        let ensembles = &self.ensembles;
        let view = |target: &Target| view(ensembles, target);
        match self.curing.cures.ask(now, &id, by, &view, &mut out) {
            Ok(()) => {
                self.cure_take(now, out);
                self.waiting.push(Promise::Incident(id, reply));
            }
            Err(refusal) => {
                let why = in_words(&refusal, self.config.lang);
                let _ = reply.send(Err(ActionError::Conflict(why)));
            }
        }
    }

    /// The action that may cure an incident, and what stands against it now.
    pub(super) fn cure_of(&self, id: &IncidentId) -> Option<Cure> {
        let group = self.ledger.incidents().get(id)?.subject.group.as_ref()?;
        let OnDown { exec, policy } = self.config.groups.get(group)?.on_down.as_ref()?;
        let mode = match policy.mode {
            CureMode::Off => "off",
            CureMode::Ask => "ask",
            CureMode::Auto => "auto",
        };
        let view = |target: &Target| view(&self.ensembles, target);
        let allowed = self.curing.cures.check(now(self.origin), id, &view);
        let refusal = allowed.err().map(|refusal| in_words(&refusal, self.config.lang));
        Some(Cure { command: exec.join(" "), mode: mode.to_owned(), refusal })
    }

    /// An action ended.
    pub(super) fn cure_done(&mut self, now: Now, incident: &IncidentId, done: Done) {
        self.under_way = self.under_way.saturating_sub(1);
        let text = done.output.trim();
        let from = text.char_indices().rev().nth(OUTPUT_SHOWN - 1).map_or(0, |(at, _)| at);
        if !text.is_empty() {
            let output = Fact::new(FactKind::ActionSaid, [text[from..].to_owned()]);
            self.ledger.remark(now, incident, "monitor", output);
        }
        let mut out = Vec::new();
        self.curing.cures.ended(now, incident, done.how, &mut out);
        self.cure_take(now, out);
    }

    /// Runs what was decided and is stored now.
    pub(super) fn cure_run(&mut self) {
        for attempt in std::mem::take(&mut self.curing.decided) {
            let Target { ensemble, group, node } = attempt.target;
            let on_down = self.config.groups.get(&group).and_then(|g| g.on_down.as_ref());
            let Some(OnDown { exec, policy }) = on_down else { continue };
            let (exec, timeout) = (exec.clone(), policy.timeout);
            let incident = attempt.incident.0.clone();
            let action = Action { exec, timeout, incident, ensemble, group, node };
            let (events, stop) = (self.events.clone(), self.stop.clone());
            self.under_way += 1;
            tokio::spawn(async move {
                let done = action.run(stop).await;
                let _ = events.send(Event::Acted { incident: attempt.incident, done }).await;
            });
        }
    }

    fn cure_take(&mut self, now: Now, events: Vec<CureEvent>) {
        for event in events {
            let (id, by, fact) = match &event {
                CureEvent::Run(attempt) => {
                    self.curing.decided.push(attempt.clone());
                    let on_down = self.config.groups.get(&attempt.target.group);
                    let on_down = on_down.and_then(|group| group.on_down.as_ref());
                    let exec = on_down.map_or_else(String::new, |on_down| on_down.exec.join(" "));
                    (&attempt.incident, &*attempt.by, Fact::new(FactKind::ActionStarted, [exec]))
                }
                CureEvent::Ended(attempt) => {
                    let how = attempt.ended.as_ref().map_or_else(String::new, word);
                    (&attempt.incident, "monitor", Fact::new(FactKind::ActionEnded, [how]))
                }
                CureEvent::Judged(attempt) => {
                    let cured = attempt.cured == Some(true);
                    let kind = if cured { FactKind::ActionCured } else { FactKind::ActionInVain };
                    (&attempt.incident, "monitor", Fact::new(kind, []))
                }
                CureEvent::Held(incident, refusal) => {
                    let why = in_words(refusal, self.config.lang);
                    (incident, "monitor", Fact::new(FactKind::ActionHeld, [why]))
                }
            };
            self.ledger.remark(now, id, by, fact);
            match event {
                CureEvent::Run(attempt)
                | CureEvent::Ended(attempt)
                | CureEvent::Judged(attempt) => {
                    self.kept_changes.extend([self.curing.keep(attempt)]);
                }
                CureEvent::Held(..) => (),
            }
        }
    }
}

/// What the guard has to know of a group.
fn view(ensembles: &[crate::publish::Watched], target: &Target) -> GroupView {
    let mut view = GroupView { clear: false, expected: 0, down: 0 };
    let Some(watched) = ensembles.iter().find(|one| one.name() == target.ensemble) else {
        return view;
    };
    view.clear = watched.nodes.is_clear();
    for (key, record) in watched.nodes.records() {
        if key.group.as_deref() == Some(&target.group) {
            use wk_alert::node::NodeState;
            view.expected += usize::from(record.state != NodeState::Left);
            view.down += usize::from(record.state == NodeState::Down);
        }
    }
    view
}

fn in_words(refusal: &Refusal, lang: Lang) -> String {
    match (refusal, lang) {
        (Refusal::NoAction, Lang::En) => "the group has no on_down action".to_owned(),
        (Refusal::NoAction, Lang::Zh) => "该组未配置 on_down 动作".to_owned(),
        (Refusal::Off, Lang::En) => "the action of the group is switched off".to_owned(),
        (Refusal::Off, Lang::Zh) => "该组的动作已关闭".to_owned(),
        (Refusal::NotFiring, Lang::En) => {
            "no node is down by this incident in a group with an on_down action".to_owned()
        }
        (Refusal::NotFiring, Lang::Zh) => {
            "该事件当前没有带 on_down 动作的分组中的宕机节点".to_owned()
        }
        (Refusal::AlreadyRun, Lang::En) => "the action ran already for this incident".to_owned(),
        (Refusal::AlreadyRun, Lang::Zh) => "该事件的动作已执行过".to_owned(),
        (Refusal::Busy { incident }, Lang::En) => {
            format!("another action is running, for {incident}; one at a time")
        }
        (Refusal::Busy { incident }, Lang::Zh) => {
            format!("事件 {incident} 的动作正在执行，一次只执行一个")
        }
        (Refusal::BudgetUsed { budget }, Lang::En) => {
            format!("the group's budget of {budget} runs an hour is used up")
        }
        (Refusal::BudgetUsed { budget }, Lang::Zh) => format!("该组每小时 {budget} 次的额度已用完"),
        (Refusal::ViewBad, Lang::En) => {
            "the monitor's own view is bad: what looks down may be alive".to_owned()
        }
        (Refusal::ViewBad, Lang::Zh) => "监控自身视野不清：看似宕机的节点可能仍存活".to_owned(),
        (Refusal::HalfDown { down, expected }, Lang::En) => {
            format!("{down} of {expected} nodes of the group are down: no single node's fault")
        }
        (Refusal::HalfDown { down, expected }, Lang::Zh) => {
            format!("该组 {expected} 个节点中有 {down} 个宕机：并非单个节点的故障")
        }
    }
}

fn word(ended: &Ended) -> String {
    match ended {
        Ended::Exited(code) => format!("exit {code}"),
        Ended::TimedOut => "timeout".to_owned(),
        Ended::Failed(why) => why.clone(),
    }
}

fn row(attempt: &Attempt) -> Row {
    let Target { ensemble, group, node } = attempt.target.clone();
    Row {
        incident: attempt.incident.0.clone(),
        ensemble,
        group,
        node,
        by: attempt.by.clone(),
        started_at: attempt.started_at.0,
        ended: attempt.ended.as_ref().map(word),
        cured: attempt.cured,
    }
}

fn attempt(row: Row) -> Attempt {
    let ended = row.ended.map(|ended| {
        let code = ended.strip_prefix("exit ").and_then(|code| code.parse().ok());
        match code {
            Some(code) => Ended::Exited(code),
            None if ended == "timeout" => Ended::TimedOut,
            None => Ended::Failed(ended),
        }
    });
    Attempt {
        incident: IncidentId(row.incident),
        target: Target { ensemble: row.ensemble, group: row.group, node: row.node },
        by: row.by,
        started_at: Wall(row.started_at),
        ended,
        cured: row.cured,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn attempts_come_back_as_they_were_kept_and_are_bounded() {
        let mut curing = Curing::default();
        let ends = [
            None,
            Some(Ended::Exited(-1)),
            Some(Ended::TimedOut),
            Some(Ended::Failed("signal: 9".to_owned())),
        ];
        let mut kept = Kept::new();
        for number in 0..ATTEMPTS_MAX + 4 {
            let attempt = Attempt {
                incident: IncidentId(format!("i-{number}")),
                target: Target { ensemble: "e".into(), group: "g".into(), node: "n".into() },
                by: "eva".to_owned(),
                started_at: Wall(7),
                ended: ends[number % ends.len()].clone(),
                cured: (number % 2 == 0).then_some(true),
            };
            kept.extend([curing.keep(attempt)]);
        }
        let now = Now { mono: wk_proto::ids::Mono::default(), wall: Wall(8) };
        let again = Curing::restore(&kept, now);
        assert_eq!(again.attempts.len(), ATTEMPTS_MAX);
        assert_eq!(again.attempts, curing.attempts);
        let broken = Kept::from([(KEPT.to_owned(), b"{".to_vec())]);
        assert!(Curing::restore(&broken, now).attempts.is_empty());
    }
}

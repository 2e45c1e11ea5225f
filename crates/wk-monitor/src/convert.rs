//! The core's types as the outside sees them.

use wk_alert::node::NodeState as CoreNodeState;
use wk_alert::server::ServerState as CoreServerState;
use wk_alert::{Entry, EntryState, Incident as CoreIncident, IncidentState as CoreState, Veil};
use wk_proto::ids::Wall;

use crate::incident::{Incident, IncidentState, Located, Severity};
use crate::text::Lang;
use crate::time::Timestamp;
use crate::view::{Delivery, DeliveryState, NodeState, Phase, ServerState};

impl From<Wall> for Timestamp {
    fn from(at: Wall) -> Self {
        Self(at.0)
    }
}

impl From<wk_alert::Severity> for Severity {
    fn from(severity: wk_alert::Severity) -> Self {
        match severity {
            wk_alert::Severity::Info => Self::Info,
            wk_alert::Severity::Warning => Self::Warning,
            wk_alert::Severity::Critical => Self::Critical,
        }
    }
}

impl From<wk_alert::Phase> for Phase {
    fn from(phase: wk_alert::Phase) -> Self {
        match phase {
            wk_alert::Phase::Firing => Self::Firing,
            wk_alert::Phase::Resolved => Self::Resolved,
        }
    }
}

impl From<EntryState> for DeliveryState {
    fn from(state: EntryState) -> Self {
        match state {
            EntryState::Queued => Self::Queued,
            EntryState::Sent => Self::Sent,
            EntryState::Confirmed => Self::Confirmed,
            EntryState::Failed => Self::Failed,
            EntryState::Expired => Self::Expired,
        }
    }
}

impl From<CoreNodeState> for NodeState {
    fn from(state: CoreNodeState) -> Self {
        match state {
            CoreNodeState::Starting => Self::Starting,
            CoreNodeState::Up => Self::Up,
            CoreNodeState::Down => Self::Down,
            CoreNodeState::Left => Self::Left,
        }
    }
}

impl From<CoreServerState> for ServerState {
    fn from(state: CoreServerState) -> Self {
        match state {
            CoreServerState::Unknown => Self::Unknown,
            CoreServerState::Up => Self::Up,
            CoreServerState::NotServing => Self::NotServing,
            CoreServerState::Unreachable => Self::Unreachable,
        }
    }
}

impl From<&Entry> for Delivery {
    fn from(entry: &Entry) -> Self {
        Self {
            channel: entry.key.channel.clone(),
            phase: entry.key.phase.into(),
            state: entry.state.into(),
            attempts: entry.attempts,
            queued_at: entry.queued_at.into(),
            last_attempt_at: entry.last_attempt_at.map(Timestamp::from),
            done_at: entry.done_at.map(Timestamp::from),
            last_error: entry.last_error.clone(),
        }
    }
}

/// A fault that has not lasted yet, in words.
pub(crate) fn pending(fault: &wk_alert::Pending, lang: Lang) -> Incident {
    let case = fault.case.clone();
    let core = CoreIncident {
        id: fault.id.clone(),
        subject: case.subject,
        episode: 0,
        severity: case.severity,
        state: CoreState::Firing,
        facts: case.facts,
        detail: case.detail,
        first_seen: fault.since,
        last_seen: fault.since,
        healed_at: None,
        reopened_at: None,
        flaps: 0,
        acknowledged_by: None,
        acknowledged_until: None,
        suppressed: None,
    };
    Incident { state: IncidentState::Pending, ..incident(&core, lang) }
}

/// Where the facts of an incident say that its fault is.
fn located(core: &CoreIncident, lang: Lang) -> Vec<Located> {
    let place = |fact| {
        let (place, what) = wk_alert::locate::place(fact)?;
        let (kind, what) = (place.as_str().to_owned(), what.to_owned());
        Some(Located { kind, what, evidence: lang.fact(fact) })
    };
    core.facts.iter().filter_map(place).collect()
}

/// An incident in words.
pub(crate) fn incident(core: &CoreIncident, lang: Lang) -> Incident {
    let state = match core.state {
        CoreState::Firing | CoreState::Unknown
            if core.suppressed.as_ref().is_some_and(|by| by.veil == Veil::Hidden) =>
        {
            IncidentState::Suppressed
        }
        CoreState::Firing if core.suppressed.is_some() => IncidentState::Unknown,
        CoreState::Firing if core.acknowledged_by.is_some() => IncidentState::Acknowledged,
        CoreState::Firing => IncidentState::Firing,
        CoreState::Unknown => IncidentState::Unknown,
        CoreState::Resolved => IncidentState::Resolved,
        CoreState::Closed => IncidentState::Closed,
    };
    let labels = &core.detail.labels;
    let said = |name| core.detail.annotations.get(name).cloned();
    Incident {
        id: core.id.0.clone(),
        rule: core.subject.rule.clone(),
        severity: core.severity.into(),
        state,
        ensemble: core.subject.ensemble.clone(),
        instance: core.subject.instance.clone(),
        group: core.subject.group.clone(),
        node: core.subject.node.clone(),
        summary: lang.summary(core),
        evidence: core.facts.iter().map(|fact| lang.fact(fact)).collect(),
        located: located(core, lang),
        first_seen: core.first_seen.into(),
        last_seen: core.last_seen.into(),
        resolved_at: core.resolved_at().map(Timestamp::from),
        flaps: core.flaps,
        acknowledged_by: core.acknowledged_by.clone(),
        acknowledged_until: core.acknowledged_until.map(Timestamp::from),
        suppressed_by: core.suppressed.as_ref().map(|suppressed| suppressed.by.clone()),
        labels: labels.iter().map(|(name, value)| (name.to_owned(), value.to_owned())).collect(),
        value: core.detail.value.map(|value| value.0),
        locate: said("locate"),
        action: said("action"),
        runbook: said("runbook"),
    }
}

//! Which fault speaks for which others: a cause hides its effects while it lasts, and after its end
//! only as long as they need to heal. A second outage is never hidden.
//!
//! A rule of one's own joins in by the annotation `inhibited_by`: names of rules of the same
//! ensemble, separated by commas.

use std::time::Duration;

use crate::finding::Subject;
use crate::incident::Incident;

/// The quorum is lost.
pub const NO_LEADER: &str = "ZkNoLeader";
/// The trees of two servers differ.
pub const DATA_DIVERGED: &str = "ZkDataDiverged";

/// How long an effect named by an annotation may outlast its cause.
const HEAL_DEFAULT: Duration = Duration::from_mins(1);

/// How long an ensemble takes to be whole again after an election.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Healing {
    /// Until every session has had its fresh timeout: the longest that servers grant, and a tick.
    /// Default 42 s, the longest with a tick of 2 s.
    pub sessions: Duration,
    /// Until every server has joined and serves. Default 30 s: ten ticks of 2 s to join, and half
    /// as much to be looked at.
    pub joining: Duration,
}

impl Default for Healing {
    fn default() -> Self {
        Self { sessions: Duration::from_secs(42), joining: Duration::from_secs(30) }
    }
}

impl Healing {
    /// Of servers with this `tickTime`, that grant sessions so long and wait for so many ticks for
    /// one that joins (`initLimit`). No figure makes a cause speak for longer than 15 min.
    pub fn of(tick: Duration, session_max: Duration, init_limit: u32) -> Self {
        let half_more = tick.saturating_mul(init_limit).saturating_mul(3) / 2;
        let sessions = session_max.saturating_add(tick).min(LINGER_MAX);
        Self { sessions, joining: half_more.min(LINGER_MAX) }
    }
}

/// What an effect must have in common with its cause.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Same {
    Ensemble,
    Server,
}

/// How an effect is shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Veil {
    /// As suppressed.
    Hidden,
    /// As unknown: what was seen of it says nothing.
    Unknown,
}

/// Until when after the end of its cause an effect is hidden.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Heal {
    /// So long, if it was there before that end.
    Present(Duration),
    /// So long, whenever it begins: its window still holds the cause.
    Window(Duration),
    /// The same, but what was there before the cause may be the cause of that: it is never hidden.
    Wake(Duration),
    /// Until every session had its fresh timeout.
    Sessions,
    /// Until every server has joined, if it was there before that end.
    Joining,
}

struct Row {
    cause: &'static str,
    effects: &'static [&'static str],
    same: Same,
    heal: Heal,
    veil: Veil,
}

const SHIPPED: &[Row] = &[
    Row {
        cause: NO_LEADER,
        effects: &["ZkServerNotServing", "ZkServerReadOnly", "NodeViewLost"],
        same: Same::Ensemble,
        heal: Heal::Joining,
        veil: Veil::Hidden,
    },
    Row {
        cause: NO_LEADER,
        effects: &["ZkCanaryFailing"],
        same: Same::Ensemble,
        // Its window of a minute, and the first good canary.
        heal: Heal::Present(Duration::from_secs(75)),
        veil: Veil::Hidden,
    },
    Row {
        cause: NO_LEADER,
        effects: &["ZkElectionStorm", "ZkElectionSlow", "ZkUnavailableTooLong"],
        same: Same::Ensemble,
        heal: Heal::Window(Duration::from_mins(15)),
        veil: Veil::Hidden,
    },
    Row {
        cause: NO_LEADER,
        // A server that leaves its quorum may count one of its threads as dead.
        effects: &["ZkCriticalThreadDied"],
        same: Same::Ensemble,
        heal: Heal::Wake(Duration::from_mins(5)),
        veil: Veil::Hidden,
    },
    Row {
        cause: NO_LEADER,
        effects: &["NodeDown", "NodeSuspected", "GroupBelowMinimum"],
        same: Same::Ensemble,
        heal: Heal::Sessions,
        veil: Veil::Unknown,
    },
    Row {
        cause: "ZkServerUnreachable",
        effects: &[
            "ZkFollowerLag",
            "ZkFollowerSyncSlow",
            "ZkFsyncSlow",
            "ZkLogDiskSaturated",
            "ZkPendingSyncs",
            "ZkReadLatencyHigh",
            "ZkRequestBacklog",
            "ZkWriteLatencyHigh",
        ],
        same: Same::Server,
        heal: Heal::Present(Duration::from_mins(5)),
        veil: Veil::Hidden,
    },
];

/// The longest that any cause is remembered after its end.
pub(crate) const LINGER_MAX: Duration = Duration::from_mins(15);

/// How a cause hides an effect.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Hiding {
    pub(crate) veil: Veil,
    /// After its end, for so long.
    pub(crate) linger: Duration,
    /// Then also what begins only after that end.
    pub(crate) newcomers: bool,
    /// Also what began before the cause did.
    pub(crate) elders: bool,
}

/// The rules whose faults `cause` hides as shipped.
pub(crate) fn effects_of(cause: &str) -> impl Iterator<Item = &'static str> {
    let rows = SHIPPED.iter().filter(move |row| row.cause == cause);
    rows.flat_map(|row| row.effects.iter().copied())
}

/// The rules whose faults may hide `effect`.
pub(crate) fn causes_of(effect: &Incident) -> impl Iterator<Item = &str> {
    let rule = effect.subject.rule.as_str();
    let rows = SHIPPED.iter().filter(move |row| row.effects.contains(&rule));
    rows.map(|row| row.cause).chain(named_causes(effect))
}

/// The rules that the annotation `inhibited_by` of `effect` names.
pub(crate) fn named_causes(effect: &Incident) -> impl Iterator<Item = &str> {
    let names = effect.detail.annotations.get("inhibited_by").map_or("", String::as_str);
    names.split(',').map(str::trim).filter(|name| !name.is_empty())
}

/// Whether a fault about `cause` can hide `effect`, and how. `healing` is that of their ensemble.
pub(crate) fn hiding(cause: &Subject, effect: &Incident, healing: Healing) -> Option<Hiding> {
    let about = &effect.subject;
    if cause.ensemble != about.ensemble || cause.rule == about.rule {
        return None;
    }
    let fits = |row: &&Row| {
        let same = row.same == Same::Ensemble || cause.instance == about.instance;
        row.cause == cause.rule && row.effects.contains(&about.rule.as_str()) && same
    };
    if let Some(row) = SHIPPED.iter().find(fits) {
        let (linger, newcomers) = match row.heal {
            Heal::Present(time) => (time, false),
            Heal::Window(time) | Heal::Wake(time) => (time, true),
            Heal::Sessions => (healing.sessions, true),
            Heal::Joining => (healing.joining, false),
        };
        let elders = !matches!(row.heal, Heal::Wake(_));
        return Some(Hiding { veil: row.veil, linger, newcomers, elders });
    }
    let named = named_causes(effect).any(|name| name == cause.rule);
    named.then_some(Hiding {
        veil: Veil::Hidden,
        linger: HEAL_DEFAULT,
        newcomers: false,
        elders: true,
    })
}

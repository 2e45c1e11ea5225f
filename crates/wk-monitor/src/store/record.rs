//! The core's values as rows: words instead of variants, numbers instead of newtypes.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use wk_alert::node::{Alive, NodeKey, NodeRecord, NodeState};
use wk_alert::{
    AuditLine, Detail, Entry, EntryKey, EntryState, Fact, FactKind, Figure, Fingerprint, Incident,
    IncidentId, IncidentState, Phase, Scope, Severity, Silence, SilenceId, Subject, Suppressed,
    Veil,
};
use wk_promql::{Labels, MatchOp, Matcher};
use wk_proto::ids::{SessionId, Wall, Zxid};

/// A fact: its word, then its arguments.
type FactRow = (String, Vec<String>);

fn fact_row(fact: &Fact) -> FactRow {
    (fact.kind.as_str().to_owned(), fact.args.clone())
}

fn fact((word, args): FactRow) -> Option<Fact> {
    Some(Fact { kind: FactKind::parse(&word)?, args })
}

fn facts(rows: Vec<FactRow>) -> Vec<Fact> {
    // A word that this version does not know (a store from a later one) is left out.
    rows.into_iter().filter_map(fact).collect()
}

#[derive(Serialize, Deserialize)]
pub(super) struct IncidentRow {
    rule: String,
    ensemble: String,
    instance: Option<String>,
    group: Option<String>,
    node: Option<String>,
    episode: u64,
    severity: String,
    state: String,
    facts: Vec<FactRow>,
    first_seen: i64,
    last_seen: i64,
    healed_at: Option<i64>,
    reopened_at: Option<i64>,
    flaps: u32,
    acknowledged_by: Option<String>,
    /// From schema 2 on, as everything below.
    #[serde(default)]
    identity: Pairs,
    #[serde(default)]
    labels: Pairs,
    #[serde(default)]
    annotations: Pairs,
    /// The bits of the value: JSON knows no NaN.
    #[serde(default)]
    value_bits: Option<u64>,
    #[serde(default)]
    acknowledged_until: Option<i64>,
    /// Who speaks for it, and `hidden` or `unknown`.
    #[serde(default)]
    suppressed: Option<(String, String)>,
}

/// Names and values.
type Pairs = BTreeMap<String, String>;

fn pairs(labels: &Labels) -> Pairs {
    labels.iter().map(|(name, value)| (name.to_owned(), value.to_owned())).collect()
}

fn labels(pairs: &Pairs) -> Labels {
    Labels::new(pairs.iter().map(|(name, value)| (name.as_str(), value.as_str())))
}

impl From<&Incident> for IncidentRow {
    fn from(incident: &Incident) -> Self {
        let subject = incident.subject.clone();
        let detail = &incident.detail;
        Self {
            identity: pairs(&subject.labels),
            labels: pairs(&detail.labels),
            annotations: detail.annotations.clone(),
            acknowledged_until: incident.acknowledged_until.map(|at| at.0),
            suppressed: incident.suppressed.as_ref().map(|suppressed| {
                let veil = match suppressed.veil {
                    Veil::Hidden => "hidden",
                    Veil::Unknown => "unknown",
                };
                (suppressed.by.clone(), veil.to_owned())
            }),
            value_bits: detail.value.map(|value| value.0.to_bits()),
            rule: subject.rule,
            ensemble: subject.ensemble,
            instance: subject.instance,
            group: subject.group,
            node: subject.node,
            episode: incident.episode,
            severity: crate::Severity::from(incident.severity).as_str().to_owned(),
            state: match incident.state {
                IncidentState::Firing => "firing",
                IncidentState::Unknown => "unknown",
                IncidentState::Resolved => "resolved",
                IncidentState::Closed => "closed",
            }
            .to_owned(),
            facts: incident.facts.iter().map(fact_row).collect(),
            first_seen: incident.first_seen.0,
            last_seen: incident.last_seen.0,
            healed_at: incident.healed_at.map(|at| at.0),
            reopened_at: incident.reopened_at.map(|at| at.0),
            flaps: incident.flaps,
            acknowledged_by: incident.acknowledged_by.clone(),
        }
    }
}

impl IncidentRow {
    /// The incident, if the row makes sense under its key.
    pub(super) fn restore(self, key: &str) -> Option<Incident> {
        let subject = Subject {
            rule: self.rule,
            ensemble: self.ensemble,
            instance: self.instance,
            group: self.group,
            node: self.node,
            labels: labels(&self.identity),
        };
        let detail = Detail {
            labels: labels(&self.labels),
            annotations: self.annotations,
            value: self.value_bits.map(|bits| Figure(f64::from_bits(bits))),
        };
        let id = IncidentId::new(&Fingerprint::of(&subject), self.episode);
        let incident = Incident {
            id,
            subject,
            episode: self.episode,
            severity: match self.severity.as_str() {
                "info" => Severity::Info,
                "warning" => Severity::Warning,
                "critical" => Severity::Critical,
                _ => return None,
            },
            state: match self.state.as_str() {
                "firing" => IncidentState::Firing,
                "unknown" => IncidentState::Unknown,
                "resolved" => IncidentState::Resolved,
                "closed" => IncidentState::Closed,
                _ => return None,
            },
            facts: facts(self.facts),
            detail,
            first_seen: Wall(self.first_seen),
            last_seen: Wall(self.last_seen),
            healed_at: self.healed_at.map(Wall),
            reopened_at: self.reopened_at.map(Wall),
            flaps: self.flaps,
            acknowledged_by: self.acknowledged_by,
            acknowledged_until: self.acknowledged_until.map(Wall),
            suppressed: match self.suppressed {
                None => None,
                Some((by, veil)) => Some(Suppressed { by, veil: read_veil(&veil)? }),
            },
        };
        Some(incident).filter(|incident| incident.id.0 == key)
    }
}

fn read_veil(word: &str) -> Option<Veil> {
    match word {
        "hidden" => Some(Veil::Hidden),
        "unknown" => Some(Veil::Unknown),
        _ => None,
    }
}

/// A silence or a maintenance window.
#[derive(Serialize, Deserialize)]
pub(super) struct SilenceRow {
    id: String,
    /// Name, operator, value; none for maintenance.
    matchers: Option<Vec<(String, String, String)>>,
    ensemble: Option<String>,
    server: Option<String>,
    by: String,
    reason: String,
    starts_at: i64,
    ends_at: i64,
    ended_by: Option<String>,
}

impl From<&Silence> for SilenceRow {
    fn from(silence: &Silence) -> Self {
        let (matchers, ensemble, server) = match &silence.scope {
            Scope::Matching(matchers) => {
                let row = |matcher: &Matcher| {
                    let (name, value) = (matcher.name().to_owned(), matcher.value().to_owned());
                    (name, matcher.op().to_string(), value)
                };
                (Some(matchers.iter().map(row).collect()), None, None)
            }
            Scope::Maintenance { ensemble, server } => {
                (None, Some(ensemble.clone()), server.clone())
            }
        };
        Self {
            id: silence.id.0.clone(),
            matchers,
            ensemble,
            server,
            by: silence.by.clone(),
            reason: silence.reason.clone(),
            starts_at: silence.starts_at.0,
            ends_at: silence.ends_at.0,
            ended_by: silence.ended_by.clone(),
        }
    }
}

impl SilenceRow {
    pub(super) fn restore(self) -> Option<Silence> {
        let matcher = |(name, op, value): (String, String, String)| {
            let op = match op.as_str() {
                "=" => MatchOp::Equal,
                "!=" => MatchOp::NotEqual,
                "=~" => MatchOp::Matches,
                "!~" => MatchOp::NotMatches,
                _ => return None,
            };
            Matcher::new(&name, op, &value).ok()
        };
        let scope = match (self.matchers, self.ensemble) {
            (Some(rows), None) => {
                Scope::Matching(rows.into_iter().map(matcher).collect::<Option<_>>()?)
            }
            (None, Some(ensemble)) => Scope::Maintenance { ensemble, server: self.server },
            (Some(_), Some(_)) | (None, None) => return None,
        };
        Some(Silence {
            id: SilenceId(self.id),
            scope,
            by: self.by,
            reason: self.reason,
            starts_at: Wall(self.starts_at),
            ends_at: Wall(self.ends_at),
            ended_by: self.ended_by,
        })
    }
}

#[derive(Serialize, Deserialize)]
pub(super) struct EntryRow {
    incident: String,
    phase: String,
    channel: String,
    seq: u64,
    state: String,
    attempts: u32,
    queued_at: i64,
    not_after: i64,
    last_attempt_at: Option<i64>,
    done_at: Option<i64>,
    last_error: Option<String>,
    /// From schema 2 on: the message it goes in.
    #[serde(default)]
    bundle: Option<String>,
}

impl From<&Entry> for EntryRow {
    fn from(entry: &Entry) -> Self {
        Self {
            incident: entry.key.incident.0.clone(),
            phase: entry.key.phase.as_str().to_owned(),
            channel: entry.key.channel.clone(),
            seq: entry.seq,
            state: crate::DeliveryState::from(entry.state).as_str().to_owned(),
            attempts: entry.attempts,
            queued_at: entry.queued_at.0,
            not_after: entry.not_after.0,
            last_attempt_at: entry.last_attempt_at.map(|at| at.0),
            done_at: entry.done_at.map(|at| at.0),
            last_error: entry.last_error.clone(),
            bundle: entry.bundle.clone(),
        }
    }
}

impl EntryRow {
    pub(super) fn restore(self) -> Option<Entry> {
        let phase = match self.phase.as_str() {
            "firing" => Phase::Firing,
            "resolved" => Phase::Resolved,
            _ => return None,
        };
        let incident = IncidentId(self.incident);
        Some(Entry {
            key: EntryKey { incident, phase, channel: self.channel },
            seq: self.seq,
            state: match self.state.as_str() {
                "queued" => EntryState::Queued,
                "sent" => EntryState::Sent,
                "confirmed" => EntryState::Confirmed,
                "failed" => EntryState::Failed,
                "expired" => EntryState::Expired,
                _ => return None,
            },
            attempts: self.attempts,
            queued_at: Wall(self.queued_at),
            not_after: Wall(self.not_after),
            last_attempt_at: self.last_attempt_at.map(Wall),
            done_at: self.done_at.map(Wall),
            last_error: self.last_error,
            bundle: self.bundle,
        })
    }
}

#[derive(Serialize, Deserialize)]
pub(super) struct AuditRow {
    at: i64,
    actor: String,
    incident: String,
    fact: FactRow,
}

impl From<&AuditLine> for AuditRow {
    fn from(line: &AuditLine) -> Self {
        Self {
            at: line.at.0,
            actor: line.actor.clone(),
            incident: line.about.clone(),
            fact: fact_row(&line.fact),
        }
    }
}

impl AuditRow {
    pub(super) fn restore(self) -> Option<AuditLine> {
        let about = self.incident;
        Some(AuditLine { at: Wall(self.at), actor: self.actor, about, fact: fact(self.fact)? })
    }
}

#[derive(Serialize, Deserialize)]
pub(super) struct NodeRow {
    ensemble: String,
    group: Option<String>,
    id: String,
    state: String,
    since: i64,
    /// Session and czxid of its last `alive`.
    alive: Option<(i64, i64)>,
    data: Vec<u8>,
    facts: Vec<FactRow>,
}

impl NodeRow {
    pub(super) fn new(ensemble: &str, key: &NodeKey, record: &NodeRecord) -> Self {
        Self {
            ensemble: ensemble.to_owned(),
            group: key.group.clone(),
            id: key.id.clone(),
            state: crate::NodeState::from(record.state).as_str().to_owned(),
            since: record.since.0,
            alive: record.alive.map(|alive| (alive.owner.0, alive.czxid.0)),
            data: record.data.clone(),
            facts: record.facts.iter().map(fact_row).collect(),
        }
    }

    pub(super) fn restore(self) -> Option<(String, NodeKey, NodeRecord)> {
        let alive =
            self.alive.map(|(owner, czxid)| Alive { owner: SessionId(owner), czxid: Zxid(czxid) });
        let record = NodeRecord {
            state: match self.state.as_str() {
                "starting" => NodeState::Starting,
                "up" => NodeState::Up,
                "down" => NodeState::Down,
                "left" => NodeState::Left,
                _ => return None,
            },
            since: Wall(self.since),
            alive,
            data: self.data,
            facts: facts(self.facts),
        };
        Some((self.ensemble, NodeKey { group: self.group, id: self.id }, record))
    }
}

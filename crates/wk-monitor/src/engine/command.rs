//! What people ask of the monitor.

use std::sync::Arc;

use wk_alert::{IncidentId, LedgerError, Outcome};

use super::quiet::Promise;
use super::{Engine, TRY_LIMIT, now};
use crate::channel::{Message, TEST_RULE};
use crate::handle::{ActionError, Command, Reply};
use crate::incident::{Incident, IncidentDetail, IncidentState, Severity, TimelineEntry};
use crate::publish::Watched;
use crate::text::Word;
use crate::time::Timestamp;
use crate::view::{ChannelTest, Delivery};

impl Engine {
    pub(super) fn obey(&mut self, command: Command) {
        let now = now(self.origin);
        match command {
            Command::Detail { id, reply } => self.detail(id, reply),
            Command::Audit { before, limit, reply } => self.audit(before, limit, reply),
            Command::Rules { reply } => self.rules(reply),
            Command::Acknowledge { id, by, reply } => {
                let id = IncidentId(id);
                let done = self.ledger.acknowledge(now, &id, &by);
                self.acted(id, done, reply);
            }
            Command::Close { id, by, reply } => {
                let id = IncidentId(id);
                let done = self.ledger.close(now, &id, &by);
                self.acted(id, done, reply);
            }
            Command::Run { id, by, reply } => self.cure_asked(id, &by, reply),
            Command::AddSilence { matchers, time, by, reason, reply } => {
                self.add_silence(&matchers, time, &by, &reason, reply);
            }
            Command::EndSilence { id, by, reply } => self.end_silence(&id, &by, reply),
            Command::StartMaintenance { target, time, by, reason, reply } => {
                self.start_maintenance(&target, time, &by, &reason, reply);
            }
            Command::EndMaintenance { target, by, reply } => {
                self.end_maintenance(&target, &by, reply);
            }
            Command::TestChannel { name, reply } => self.test(name, reply),
        }
    }

    /// An action is answered once it is stored.
    fn acted(&mut self, id: IncidentId, done: Result<(), LedgerError>, reply: Reply<Incident>) {
        let lang = self.config.lang;
        let refusal = match done {
            Ok(()) => {
                self.waiting.push(Promise::Incident(id, reply));
                return;
            }
            Err(LedgerError::NotFound) => ActionError::NotFound { what: "incident", name: id.0 },
            Err(LedgerError::NotOpen) => ActionError::Conflict(lang.word(Word::NotOpen).into()),
            Err(LedgerError::StillFiring) => {
                ActionError::Conflict(lang.word(Word::StillFiring).into())
            }
            Err(err) => ActionError::Conflict(err.to_string()),
        };
        let _ = reply.send(Err(refusal));
    }

    /// Answers the actions that are stored now; the picture shows them already.
    pub(super) fn answer(&mut self) {
        if self.waiting.is_empty() {
            return;
        }
        self.draw();
        for promise in std::mem::take(&mut self.waiting) {
            self.keep(promise);
        }
    }

    fn detail(&self, id: String, reply: Reply<IncidentDetail>) {
        let id = IncidentId(id);
        let Some(incident) = self.worded.get(&id) else {
            let gone = ActionError::NotFound { what: "incident", name: id.0 };
            let _ = reply.send(Err(gone));
            return;
        };
        let incident = (**incident).clone();
        let entries = self.ledger.entries().values().filter(|entry| entry.key.incident == id);
        let mut deliveries: Vec<Delivery> = entries.map(Delivery::from).collect();
        deliveries.sort_by_key(|delivery| (delivery.queued_at, delivery.phase));
        let (store, lang) = (Arc::clone(&self.store), self.config.lang);
        let cure = self.cure_of(&id);
        tokio::task::spawn_blocking(move || {
            let line = |line: wk_alert::AuditLine| TimelineEntry {
                at: line.at.into(),
                actor: line.actor,
                text: lang.fact(&line.fact),
            };
            let detail = match store.history(&id) {
                Ok(lines) => {
                    let timeline = lines.into_iter().map(line).collect();
                    Ok(IncidentDetail { incident, deliveries, timeline, cure })
                }
                Err(err) => Err(ActionError::Unavailable(err.to_string())),
            };
            let _ = reply.send(detail);
        });
    }

    fn test(&self, name: String, reply: Reply<ChannelTest>) {
        let Some(channel) = self.channels.get(&name).cloned() else {
            let _ = reply.send(Err(ActionError::NotFound { what: "channel", name }));
            return;
        };
        let message = self.test_message(&name);
        let lang = self.config.lang;
        tokio::spawn(async move {
            let Ok(receipt) = tokio::time::timeout(TRY_LIMIT, channel.send(&message)).await else {
                let late = ActionError::Unavailable("no answer in time".into());
                let _ = reply.send(Err(late));
                return;
            };
            let verdict = match &receipt.outcome {
                Outcome::Confirmed => lang.word(Word::TestDelivered).to_owned(),
                Outcome::Refused { error } => {
                    lang.sentence(Word::TestRefused, std::slice::from_ref(error))
                }
                Outcome::Retry { error, .. } => {
                    lang.sentence(Word::TestRetry, std::slice::from_ref(error))
                }
            };
            let _ = reply.send(Ok(ChannelTest {
                channel: name,
                kind: channel.kind(),
                request: receipt.request,
                answer: receipt.answer,
                delivered: receipt.outcome == Outcome::Confirmed,
                verdict,
            }));
        });
    }

    /// A message that looks like a real one and says that it is none.
    fn test_message(&self, channel: &str) -> Message {
        let (at, lang) = (Timestamp::now(), self.config.lang);
        let summary = lang.sentence(Word::TestSummary, &[channel.to_owned()]);
        let incident = Incident {
            id: format!("test-{:x}", at.0),
            rule: TEST_RULE.into(),
            severity: Severity::Info,
            state: IncidentState::Firing,
            ensemble: self.ensembles.first().map_or("test", Watched::name).to_owned(),
            instance: None,
            group: None,
            node: None,
            summary: summary.clone(),
            evidence: vec![summary],
            located: Vec::new(),
            first_seen: at,
            last_seen: at,
            ..Incident::default()
        };
        Message {
            name: incident.id.clone(),
            incidents: vec![incident],
            threads: Vec::new(),
            phase: wk_alert::Phase::Firing,
            home: self.config.page_url.clone(),
            lang,
        }
    }
}

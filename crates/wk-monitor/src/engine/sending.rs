//! What is due goes to its channel, worded as it was then.

use std::collections::BTreeSet;

use tracing::{error, info, warn};
use wk_alert::{Bundle, BundleKey, EntryKey, IncidentId, Outcome, Phase};

use super::{Engine, Event, TRY_LIMIT};
use crate::channel::Message;
use crate::convert;
use crate::incident::Incident;

impl Engine {
    /// Hands a message to its channel; the answer comes as an event.
    pub(super) fn send(&self, bundle: Bundle) {
        let events = self.events.clone();
        let Bundle { key, incidents } = bundle;
        let Some(channel) = self.channels.get(&key.channel).cloned() else {
            unreachable!("only what goes to configured channels is handed out");
        };
        // Said as it was then: a beginning that comes late is still one.
        let lang = self.config.lang;
        let cores = incidents.iter().filter_map(|id| self.ledger.incidents().get(id));
        let worded = cores.map(|core| Incident {
            summary: lang.headline(core, key.phase),
            ..convert::incident(core, lang)
        });
        let message = Message {
            name: key.name.clone(),
            incidents: worded.collect(),
            threads: self.beginnings(&key, &incidents),
            phase: key.phase,
            home: self.config.page_url.clone(),
            lang,
        };
        tokio::spawn(async move {
            let attempt = tokio::spawn(async move { channel.send(&message).await });
            let abort = attempt.abort_handle();
            let outcome = match tokio::time::timeout(TRY_LIMIT, attempt).await {
                Ok(Ok(receipt)) => receipt.outcome,
                Ok(Err(err)) => Outcome::Retry { error: err.to_string(), after: None },
                Err(_) => {
                    abort.abort();
                    Outcome::Retry { error: "no answer in time".into(), after: None }
                }
            };
            let _ = events.send(Event::Answered { key, outcome }).await;
        });
    }

    /// The names of the messages in which the beginnings of what ends now were told.
    fn beginnings(&self, key: &BundleKey, incidents: &[IncidentId]) -> Vec<String> {
        if key.phase == Phase::Firing {
            return Vec::new();
        }
        let told = incidents.iter().filter_map(|incident| {
            let (incident, channel) = (incident.clone(), key.channel.clone());
            let beginning = EntryKey { incident, phase: Phase::Firing, channel };
            self.ledger.entries().get(&beginning)?.bundle.clone()
        });
        told.collect::<BTreeSet<String>>().into_iter().collect()
    }
}

/// What became of a message.
pub(super) fn log_outcome(key: &BundleKey, outcome: &Outcome) {
    let channel = &key.channel;
    match outcome {
        Outcome::Confirmed => info!(channel, notification = %key, "notification confirmed"),
        Outcome::Retry { error: err, .. } => {
            warn!(channel, notification = %key, err, "notification failed; it will be sent again");
        }
        Outcome::Refused { error: err } => {
            error!(channel, notification = %key, err, "notification refused");
        }
    }
}

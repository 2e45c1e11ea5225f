//! The generic webhook: the JSON that Alertmanager posts (version 4), one alert an incident.

use serde_json::{Map, Value, json};
use sha2::{Digest, Sha256};
use url::Url;
use wk_alert::{Outcome, Phase};

use crate::channel::http::{self, Answer};
use crate::channel::{Message, Receipt, url::mask_url};
use crate::incident::Incident;

/// What Alertmanager writes where there is no end yet.
const NO_TIME: &str = "0001-01-01T00:00:00Z";

/// An address that takes the JSON.
#[derive(Clone)]
pub(super) struct Webhook {
    pub(super) url: Url,
}

impl std::fmt::Debug for Webhook {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.redacted())
    }
}

impl Webhook {
    pub(super) fn redacted(&self) -> String {
        format!("webhook+{}", mask_url(&self.url))
    }

    pub(super) async fn send(&self, receiver: &str, message: &Message) -> Receipt {
        let body = body(receiver, message).to_string();
        let key = message.key();
        let request = format!(
            "POST {}\nContent-Type: application/json\nIdempotency-Key: {key}\n\n{body}",
            mask_url(&self.url)
        );
        let answer = http::post(self.url.clone(), &[("idempotency-key", key)], body).await;
        match answer {
            Ok(answer) => Receipt { request, answer: answer.show(), outcome: judge(&answer) },
            Err(error) => {
                let outcome = Outcome::Retry { error: error.clone(), after: None };
                Receipt { request, answer: error, outcome }
            }
        }
    }
}

fn judge(answer: &Answer) -> Outcome {
    let error = || answer.show().replace('\n', " ");
    match answer.status {
        200..300 => Outcome::Confirmed,
        408 | 425 | 429 | 500.. => Outcome::Retry { error: error(), after: answer.retry_after },
        _ => Outcome::Refused { error: error() },
    }
}

fn body(receiver: &str, message: &Message) -> Value {
    let status = message.phase.as_str();
    let alerts: Vec<Alert> = message.incidents.iter().map(|one| Alert::new(message, one)).collect();
    let rules = common(alerts.iter().map(|alert| &alert.labels));
    let group_labels: Map<String, Value> =
        rules.iter().filter(|(name, _)| *name == "alertname").map(owned).collect();
    let what = if alerts.len() == 1 { "incident" } else { "group" };
    json!({
        "version": "4",
        "groupKey": format!("{{}}:{{{what}=\"{}\"}}", message.name),
        "truncatedAlerts": 0,
        "status": status,
        "receiver": receiver,
        "groupLabels": group_labels,
        "commonLabels": rules,
        "commonAnnotations": common(alerts.iter().map(|alert| &alert.annotations)),
        "externalURL": message.home,
        "alerts": alerts.into_iter().map(|alert| alert.show(status)).collect::<Vec<Value>>(),
    })
}

fn owned((name, value): (&String, &Value)) -> (String, Value) {
    (name.clone(), value.clone())
}

/// What all have in common.
fn common<'m>(mut all: impl Iterator<Item = &'m Map<String, Value>>) -> Map<String, Value> {
    let Some(first) = all.next() else { return Map::new() };
    all.fold(first.clone(), |common, next| {
        let same = |(name, value): &(&String, &Value)| next.get(*name) == Some(*value);
        common.iter().filter(same).map(owned).collect()
    })
}

/// One element of `alerts`.
struct Alert {
    labels: Map<String, Value>,
    annotations: Map<String, Value>,
    starts_at: String,
    ends_at: String,
    link: String,
}

impl Alert {
    fn new(message: &Message, incident: &Incident) -> Self {
        let mut labels = Map::new();
        for (name, value) in &incident.labels {
            labels.insert(name.clone(), json!(value));
        }
        let own = [
            ("alertname", Some(incident.rule.as_str())),
            ("severity", Some(incident.severity.as_str())),
            ("ensemble", Some(incident.ensemble.as_str())),
            ("instance", incident.instance.as_deref()),
            ("group", incident.group.as_deref()),
            ("node", incident.node.as_deref()),
        ];
        for (name, value) in own {
            if let Some(value) = value.filter(|value| !value.is_empty()) {
                labels.insert(name.into(), json!(value));
            }
        }
        let link = message.link(incident);
        let (evidence, value) = (incident.evidence.join("\n"), incident.value);
        let said = [
            ("summary", Some(incident.summary.clone())),
            ("description", Some(evidence)),
            ("incident_id", Some(incident.id.clone())),
            ("incident_url", Some(link.clone())),
            ("locate", incident.locate.clone()),
            ("action", incident.action.clone()),
            ("runbook_url", incident.runbook.clone()),
            ("value", value.map(|value| value.to_string())),
        ];
        let said =
            said.into_iter().filter_map(|(name, text)| Some((name.to_owned(), json!(text?))));
        let ends_at = match message.phase {
            Phase::Firing => NO_TIME.to_owned(),
            Phase::Resolved => incident.resolved_at.unwrap_or(incident.last_seen).to_string(),
        };
        let starts_at = incident.first_seen.to_string();
        Self { labels, annotations: said.collect(), starts_at, ends_at, link }
    }

    fn show(self, status: &str) -> Value {
        // Alertmanager's fingerprint is 16 hex digits over the labels that name the alert.
        let mut identity = self.labels.clone();
        identity.remove("severity");
        let hash = Sha256::digest(Value::Object(identity).to_string().as_bytes());
        let fingerprint: String = hash.iter().take(8).map(|byte| format!("{byte:02x}")).collect();
        json!({
            "status": status,
            "labels": self.labels,
            "annotations": self.annotations,
            "startsAt": self.starts_at,
            "endsAt": self.ends_at,
            "generatorURL": self.link,
            "fingerprint": fingerprint,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::channel::message::tests::message;

    #[test]
    fn the_body_has_alertmanagers_fields() {
        let mut message = message(vec!["gone".into()]);
        let firing = body("ops", &message);
        assert_eq!(firing["version"], "4");
        assert_eq!(firing["receiver"], "ops");
        assert_eq!(firing["alerts"][0]["annotations"]["incident_id"], "0123456789ab-1");
        assert_eq!(firing["alerts"][0]["labels"]["alertname"], "NodeDown");
        assert_eq!(firing["alerts"][0]["endsAt"], NO_TIME);
        message.phase = Phase::Resolved;
        message.incidents[0].resolved_at = Some(crate::Timestamp(1000));
        let resolved = body("ops", &message);
        assert_eq!(resolved["status"], "resolved");
        assert_eq!(resolved["alerts"][0]["endsAt"], "1970-01-01T00:00:01.000Z");
        let print = |body: &Value| body["alerts"][0]["fingerprint"].clone();
        assert_eq!(print(&firing), print(&resolved), "the same alert");
    }

    #[test]
    fn what_may_work_later_is_told_from_what_never_will() {
        let judged = |status| judge(&Answer { status, retry_after: None, body: String::new() });
        assert_eq!(judged(204), Outcome::Confirmed);
        assert!(matches!(judged(503), Outcome::Retry { .. }));
        assert!(matches!(judged(429), Outcome::Retry { .. }));
        assert!(matches!(judged(400), Outcome::Refused { .. }));
        assert!(matches!(judged(302), Outcome::Refused { .. }), "never followed");
    }
}

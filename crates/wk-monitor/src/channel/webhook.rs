//! The generic webhook: the JSON that Alertmanager posts (version 4), one alert a message.

use serde_json::{Map, Value, json};
use sha2::{Digest, Sha256};
use url::Url;
use wk_alert::{Outcome, Phase};

use crate::channel::http::{self, Answer};
use crate::channel::{Message, Receipt, url::mask_url};

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
    let incident = &message.incident;
    let mut labels = Map::new();
    labels.insert("alertname".into(), json!(incident.rule));
    labels.insert("severity".into(), json!(incident.severity.as_str()));
    labels.insert("ensemble".into(), json!(incident.ensemble));
    let optional =
        [("instance", &incident.instance), ("group", &incident.group), ("node", &incident.node)];
    for (name, value) in optional {
        if let Some(value) = value {
            labels.insert(name.into(), json!(value));
        }
    }
    let annotations = json!({
        "summary": incident.summary,
        "description": incident.evidence.join("\n"),
        "incident_id": incident.id,
        "incident_url": message.link,
    });
    // Alertmanager's fingerprint is 16 hex digits over the labels that name the alert.
    let mut identity = labels.clone();
    identity.remove("severity");
    let hash = Sha256::digest(Value::Object(identity).to_string().as_bytes());
    let fingerprint: String = hash.iter().take(8).map(|byte| format!("{byte:02x}")).collect();
    let ends_at = match message.phase {
        Phase::Firing => NO_TIME.to_owned(),
        Phase::Resolved => incident.resolved_at.unwrap_or(incident.last_seen).to_string(),
    };
    let status = message.phase.as_str();
    json!({
        "version": "4",
        "groupKey": format!("{{}}:{{incident=\"{}\"}}", incident.id),
        "truncatedAlerts": 0,
        "status": status,
        "receiver": receiver,
        "groupLabels": {"alertname": incident.rule},
        "commonLabels": labels,
        "commonAnnotations": annotations,
        "externalURL": message.home,
        "alerts": [{
            "status": status,
            "labels": labels,
            "annotations": annotations,
            "startsAt": incident.first_seen.to_string(),
            "endsAt": ends_at,
            "generatorURL": message.link,
            "fingerprint": fingerprint,
        }],
    })
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
        message.incident.resolved_at = Some(crate::Timestamp(1000));
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

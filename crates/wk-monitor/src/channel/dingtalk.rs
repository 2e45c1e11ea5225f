//! The DingTalk group robot: signed request, markdown message, success read from the body.
//!
//! The vendor answers HTTP 200 to refusals too; `errcode` decides.

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use hmac::{Hmac, KeyInit, Mac};
use serde_json::{Value, json};
use sha2::Sha256;
use url::Url;
use wk_alert::{Outcome, Rate};

use crate::channel::http::{self, Answer};
use crate::channel::{Message, Receipt, cut};
use crate::time::Timestamp;

/// A robot that gets more than 20 messages a minute is blocked for ten.
pub(super) const RATE: Rate = Rate { count: 20, window: Duration::from_secs(61) };
/// A request is at most 20 000 bytes; JSON may need more bytes than the text in it.
const TEXT_MAX: usize = 8000;
/// How long to leave a robot alone that says "too fast".
const BLOCKED: Duration = Duration::from_mins(10);

/// A robot.
#[derive(Clone)]
pub(super) struct DingTalk {
    pub(super) base: Url,
    pub(super) token: String,
    pub(super) secret: Option<String>,
}

impl std::fmt::Debug for DingTalk {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.redacted())
    }
}

impl DingTalk {
    pub(super) fn redacted(&self) -> String {
        let base = self.base.as_str().trim_end_matches('/');
        format!("dingtalk://***?base={base}")
    }

    pub(super) async fn send(&self, message: &Message) -> Receipt {
        let body = json!({
            "msgtype": "markdown",
            "markdown": {
                "title": cut(&message.title(), 200),
                "text": message.markdown(TEXT_MAX),
            },
        })
        .to_string();
        let (url, shown) = self.address(Timestamp::now());
        let request = format!("POST {shown}\nContent-Type: application/json\n\n{body}");
        // The vendor ignores this header; gateways in between may know it.
        let key = message.key();
        match http::post(url, &[("idempotency-key", key)], body).await {
            Ok(answer) => Receipt { request, answer: answer.show(), outcome: judge(&answer) },
            Err(error) => {
                let outcome = Outcome::Retry { error: error.clone(), after: None };
                Receipt { request, answer: error, outcome }
            }
        }
    }

    /// The signed address, and the same as it may be shown.
    fn address(&self, now: Timestamp) -> (Url, String) {
        let mut url = self.base.clone();
        let path = format!("{}/robot/send", url.path().trim_end_matches('/'));
        url.set_path(&path);
        let shown = format!("{url}?access_token=***&timestamp={}&sign=***", now.0);
        let mut query = url.query_pairs_mut();
        query.clear().append_pair("access_token", &self.token);
        if let Some(secret) = &self.secret {
            query.append_pair("timestamp", &now.0.to_string());
            query.append_pair("sign", &sign(secret, now));
        }
        drop(query);
        (url, shown)
    }
}

/// HMAC-SHA256 over `timestamp\nsecret` under the secret, in base64.
fn sign(secret: &str, now: Timestamp) -> String {
    let mut mac =
        Hmac::<Sha256>::new_from_slice(secret.as_bytes()).expect("HMAC takes a key of any length");
    mac.update(format!("{}\n{secret}", now.0).as_bytes());
    BASE64.encode(mac.finalize().into_bytes())
}

fn judge(answer: &Answer) -> Outcome {
    let error = answer.show().replace('\n', " ");
    if answer.status == 429 || answer.status >= 500 {
        return Outcome::Retry { error, after: answer.retry_after };
    }
    let body: Option<Value> = serde_json::from_str(&answer.body).ok();
    let code = body.as_ref().and_then(|body| body["errcode"].as_i64());
    match (answer.status, code) {
        (200, Some(0)) => Outcome::Confirmed,
        // Too fast: every further try makes it worse.
        (_, Some(130_101 | 410_100)) => Outcome::Retry { error, after: Some(BLOCKED) },
        // The vendor's own trouble; or not the robot at all: a gateway's page, half an answer.
        (_, Some(-1)) | (200..300, None) => Outcome::Retry { error, after: None },
        (_, _) => Outcome::Refused { error },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn signature_is_the_vendors() {
        let signed = sign("SECtest", Timestamp(1_700_000_000_000));
        assert_eq!(signed, "aZLLrriXgn05YbwaGR7knYsLeJADjr9NwLaNNKpxh4g=");
    }

    #[test]
    fn the_address_shown_hides_token_and_signature() {
        let robot = DingTalk {
            base: "http://127.0.0.1:1/gw/".parse().expect("a URL"),
            token: "tok+en".into(),
            secret: Some("SECtest".into()),
        };
        let (url, shown) = robot.address(Timestamp(1_700_000_000_000));
        assert_eq!(
            url.as_str(),
            "http://127.0.0.1:1/gw/robot/send?access_token=tok%2Ben&timestamp=1700000000000\
             &sign=aZLLrriXgn05YbwaGR7knYsLeJADjr9NwLaNNKpxh4g%3D"
        );
        assert!(
            !shown.contains("tok+") && !shown.contains("%2B") && !shown.contains("aZLL"),
            "{shown}"
        );
        assert!(!format!("{robot:?}").contains("SECtest"));
    }

    #[test]
    fn success_is_read_from_the_body() {
        let judged = |status, body: &str| {
            judge(&Answer { status, retry_after: None, body: body.to_owned() })
        };
        assert_eq!(judged(200, r#"{"errcode":0,"errmsg":"ok"}"#), Outcome::Confirmed);
        let refused = judged(200, r#"{"errcode":310000,"errmsg":"sign not match"}"#);
        assert!(matches!(refused, Outcome::Refused { error } if error.contains("310000")));
        let fast = judged(200, r#"{"errcode":130101,"errmsg":"too fast"}"#);
        assert!(matches!(fast, Outcome::Retry { after: Some(BLOCKED), .. }));
        assert!(matches!(judged(200, "<html>"), Outcome::Retry { .. }));
        assert!(matches!(judged(502, ""), Outcome::Retry { .. }));
    }
}

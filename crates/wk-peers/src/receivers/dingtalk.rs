//! A stand-in for the DingTalk robot's API: it checks token, signature, clock, length and rate, and
//! refuses as the vendor does, with HTTP 200 and an error code in the body.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use anyhow::Result;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, KeyInit, Mac};
use serde_json::{Value, json};
use sha2::Sha256;

use super::http::{Reply, Request, Server};

/// Requests a minute; more are refused for ten.
const RATE_MAX: usize = 20;
/// Bytes of a request.
const LENGTH_MAX: usize = 20_000;
/// How far the sender's clock may be off.
const SKEW_MAX: Duration = Duration::from_hours(1);

#[derive(Default)]
struct State {
    taken: Vec<Value>,
    refused: Vec<i64>,
    times: Vec<Instant>,
}

/// A running robot.
pub struct DingTalk {
    server: Server,
    state: Arc<Mutex<State>>,
    token: String,
    secret: String,
}

impl DingTalk {
    /// Starts a robot with this token and secret.
    ///
    /// # Errors
    /// No free port.
    pub fn start(token: &str, secret: &str) -> Result<Self> {
        Self::with_clock(token, secret, 0)
    }

    /// One whose clock is off by some seconds.
    ///
    /// # Errors
    /// No free port.
    pub fn with_clock(token: &str, secret: &str, skew_seconds: i64) -> Result<Self> {
        let state: Arc<Mutex<State>> = Arc::default();
        let shared = Arc::clone(&state);
        let (own_token, own_secret) = (token.to_owned(), secret.to_owned());
        let server = Server::start(move |request| {
            let mut state = shared.lock().unwrap_or_else(PoisonError::into_inner);
            let (code, text) =
                match check(&mut state, &request, &own_token, &own_secret, skew_seconds) {
                    Ok(message) => {
                        state.taken.push(message);
                        (0, "ok")
                    }
                    Err((code, text)) => {
                        state.refused.push(code);
                        (code, text)
                    }
                };
            let body = json!({ "errcode": code, "errmsg": text }).to_string();
            Reply::Answer { status: 200, body }
        })?;
        Ok(Self { server, state, token: token.to_owned(), secret: secret.to_owned() })
    }

    /// The notification URL of this robot.
    pub fn url(&self) -> String {
        self.url_with(&self.secret)
    }

    /// The same with another secret.
    pub fn url_with(&self, secret: &str) -> String {
        let base = self.server.address();
        format!("dingtalk://{}?secret={secret}&base=http://{base}", self.token)
    }

    /// The messages that were taken.
    pub fn taken(&self) -> Vec<Value> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner).taken.clone()
    }

    /// The texts of the messages that were taken.
    pub fn texts(&self) -> Vec<String> {
        let text = |message: &Value| {
            format!("{} {}", message["markdown"]["title"], message["markdown"]["text"])
        };
        self.taken().iter().map(text).collect()
    }

    /// The codes of the refusals.
    pub fn refused(&self) -> Vec<i64> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner).refused.clone()
    }
}

fn check(
    state: &mut State,
    request: &Request,
    token: &str,
    secret: &str,
    skew_seconds: i64,
) -> Result<Value, (i64, &'static str)> {
    let now = Instant::now();
    state.times.retain(|at| now.duration_since(*at) < Duration::from_mins(1));
    if state.times.len() >= RATE_MAX {
        return Err((130_101, "send too fast"));
    }
    state.times.push(now);
    if !request.target.starts_with("/robot/send?") {
        return Err((404, "no such api"));
    }
    if request.query("access_token").as_deref() != Some(token) {
        return Err((300_001, "token is not exist"));
    }
    let stamp: i64 = request
        .query("timestamp")
        .and_then(|stamp| stamp.parse().ok())
        .ok_or((310_000, "timestamp missing"))?;
    let wall = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let wall = i64::try_from(wall.as_millis()).unwrap_or(0) + skew_seconds * 1000;
    if wall.abs_diff(stamp) > u64::try_from(SKEW_MAX.as_millis()).unwrap_or(0) {
        return Err((310_000, "invalid timestamp"));
    }
    let mut mac = Hmac::<Sha256>::new_from_slice(secret.as_bytes()).map_err(|_| (1, "key"))?;
    mac.update(format!("{stamp}\n{secret}").as_bytes());
    let sign = STANDARD.encode(mac.finalize().into_bytes());
    if request.query("sign").as_deref() != Some(&sign) {
        return Err((310_000, "sign not match"));
    }
    if request.body.len() > LENGTH_MAX {
        return Err((460_101, "message too long"));
    }
    if !request.header("content-type").is_some_and(|kind| kind.starts_with("application/json")) {
        return Err((43_004, "content type must be json"));
    }
    let body: Value = serde_json::from_slice(&request.body).map_err(|_| (40_035, "bad json"))?;
    let filled = |name: &str| body["markdown"][name].as_str().is_some_and(|text| !text.is_empty());
    if body["msgtype"] != "markdown" || !filled("title") || !filled("text") {
        return Err((40_035, "missing parameter"));
    }
    Ok(body)
}

//! What somebody asks to be done, however he asks: by a form of ours or by JSON.
//!
//! Both ways end in the same acts. A form is believed only with the token of its page, JSON only
//! because a foreign page cannot send it; neither if a browser says that it comes from elsewhere.

use std::sync::Arc;
use std::time::Duration;

use axum::extract::{Form, FromRequest, FromRequestParts, Json, Query, Request};
use axum::http::StatusCode;
use axum::http::request::Parts;
use axum::response::{IntoResponse, Response};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::json;
use wk_monitor::{ActionError, Incident, Maintenance, MonitorHandle, Silence};

use crate::guard::is_cross_site;
use crate::handlers::{self, Reader};
use crate::web::App;

/// The longest name somebody acts under, in characters.
const NAME_MAX: usize = 64;

/// What may be done with an incident.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Act {
    Acknowledge,
    Close,
    Run,
}

impl Act {
    /// The act that the last part of a path names.
    pub(crate) fn parse(verb: &str) -> Option<Self> {
        match verb {
            "ack" => Some(Self::Acknowledge),
            "close" => Some(Self::Close),
            "run" => Some(Self::Run),
            _ => None,
        }
    }

    pub(crate) async fn carry_out(
        self,
        monitor: &MonitorHandle,
        id: &str,
        by: &str,
    ) -> Result<Incident, ActionError> {
        match self {
            Self::Acknowledge => monitor.acknowledge(id, by).await,
            Self::Close => monitor.close(id, by).await,
            Self::Run => monitor.run(id, by).await,
        }
    }
}

/// Silences what meets `matchers`; `way` is how somebody without a name came.
pub(crate) async fn silence(
    app: &App,
    matchers: Vec<String>,
    term: &Term,
    way: &str,
) -> Result<Silence, ActionError> {
    let (time, by) = (term.time()?, term.by.name(way));
    app.monitor.add_silence(matchers, time, &by, &term.reason).await
}

/// Says that `target` is being worked on.
pub(crate) async fn work_on(
    app: &App,
    target: &str,
    term: &Term,
    way: &str,
) -> Result<Vec<Maintenance>, ActionError> {
    let (time, by) = (term.time()?, term.by.name(way));
    app.monitor.start_maintenance(target, time, &by, &term.reason).await
}

/// Who acts.
#[derive(Debug, Default, Deserialize)]
pub(crate) struct By {
    by: Option<String>,
}

impl By {
    /// The name, cut to a sane length; `way` where there is none.
    pub(crate) fn name(&self, way: &str) -> String {
        let name = self.by.as_deref().map(str::trim).filter(|name| !name.is_empty());
        name.unwrap_or(way).chars().take(NAME_MAX).collect()
    }
}

/// How long something is to hold, and why.
#[derive(Debug, Deserialize)]
pub(crate) struct Term {
    /// Seconds: a number in JSON, its text in a form.
    #[serde(rename = "for", deserialize_with = "seconds")]
    time: Option<Duration>,
    #[serde(default)]
    pub(crate) reason: String,
    #[serde(flatten)]
    pub(crate) by: By,
}

impl Term {
    pub(crate) fn time(&self) -> Result<Duration, ActionError> {
        let rule = "for: must be a number of seconds, not below 0";
        self.time.ok_or_else(|| ActionError::Invalid(rule.to_owned()))
    }
}

fn seconds<'de, D: serde::Deserializer<'de>>(from: D) -> Result<Option<Duration>, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Number {
        Bare(f64),
        Text(String),
    }
    let number = match Number::deserialize(from)? {
        Number::Bare(number) => Some(number),
        Number::Text(text) => text.trim().parse().ok(),
    };
    Ok(number.and_then(|number| Duration::try_from_secs_f64(number).ok()))
}

/// A form of ours, sent from our own page.
#[derive(Debug)]
pub(crate) struct OurForm<T>(pub(crate) T);

#[derive(Deserialize)]
struct Signed<T> {
    #[serde(default)]
    token: String,
    #[serde(flatten)]
    fields: T,
}

impl<T: DeserializeOwned> FromRequest<Arc<App>> for OurForm<T> {
    type Rejection = Response;

    async fn from_request(request: Request, app: &Arc<App>) -> Result<Self, Response> {
        let (headers, uri) = (request.headers().clone(), request.uri().clone());
        let lang = Reader::default().lang(app, &headers);
        let back = handlers::page_of(uri.path());
        match Form::<Signed<T>>::from_request(request, app).await {
            Ok(Form(Signed { token, fields }))
                if !is_cross_site(&headers)
                    && app.tokens.accepts(&handlers::decoded(uri.path()), &token) =>
            {
                Ok(Self(fields))
            }
            Ok(_) => Err(handlers::forged(app, lang, &back)),
            Err(err) if err.status() == StatusCode::UNPROCESSABLE_ENTITY => {
                let invalid = ActionError::Invalid(err.body_text());
                Err(handlers::refused(app, lang, &invalid, &back))
            }
            Err(err) => Err(err.into_response()),
        }
    }
}

/// JSON that no page from elsewhere sent.
#[derive(Debug)]
pub(crate) struct OurJson<T>(pub(crate) T);

impl<T: DeserializeOwned> FromRequest<Arc<App>> for OurJson<T> {
    type Rejection = Response;

    async fn from_request(request: Request, app: &Arc<App>) -> Result<Self, Response> {
        if is_cross_site(request.headers()) {
            let why = "a page from elsewhere may not act here";
            return Err(error(StatusCode::FORBIDDEN, why));
        }
        match Json::<T>::from_request(request, app).await {
            Ok(Json(asked)) => Ok(Self(asked)),
            Err(err) => Err(error(err.status(), &err.body_text())),
        }
    }
}

/// A query of the API; a key that is wrong is named as the API does it.
#[derive(Debug)]
pub(crate) struct OurQuery<T>(pub(crate) T);

impl<T: DeserializeOwned> FromRequestParts<Arc<App>> for OurQuery<T> {
    type Rejection = Response;

    async fn from_request_parts(parts: &mut Parts, app: &Arc<App>) -> Result<Self, Response> {
        match Query::<T>::from_request_parts(parts, app).await {
            Ok(Query(asked)) => Ok(Self(asked)),
            Err(err) => Err(error(err.status(), &err.body_text())),
        }
    }
}

/// A refusal as the API says it.
pub(crate) fn error(status: StatusCode, text: &str) -> Response {
    (status, Json(json!({ "error": text }))).into_response()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_term_is_a_number_or_its_text() {
        let read = |text: &str| serde_json::from_str::<Term>(text).unwrap();
        let minute = Duration::from_mins(1);
        assert_eq!(read(r#"{"for": 60}"#).time().unwrap(), minute);
        assert_eq!(read(r#"{"for": "60", "reason": "x"}"#).time().unwrap(), minute);
        for wrong in ["-1", "\"\"", "\"1h\"", "1e300"] {
            let refused = read(&format!("{{\"for\": {wrong}}}")).time().unwrap_err();
            assert!(refused.to_string().starts_with("for: must be a number"), "{refused}");
        }
        assert!(serde_json::from_str::<Term>("{}").is_err(), "without a time it would have no end");
    }

    #[test]
    fn a_name_is_trimmed_and_cut() {
        let named = |by: &str| By { by: Some(by.to_owned()) }.name("web");
        assert_eq!((named(" ann "), named(" "), By::default().name("api")), {
            ("ann".to_owned(), "web".to_owned(), "api".to_owned())
        });
        assert_eq!(named(&"中".repeat(100)).chars().count(), NAME_MAX);
    }
}

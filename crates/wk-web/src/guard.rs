//! What protects the pages while there are no logins: which `Host` is answered, whose forms are
//! believed, and the headers that keep a browser from running anything but our own files.
//!
//! A page from elsewhere can make a visitor's browser send requests to 127.0.0.1. It cannot read
//! our answers (another origin), so it does not know the token of our forms; and a name that it
//! points at 127.0.0.1 to become the same origin ("DNS rebinding") is refused by the `Host` check.

use std::net::IpAddr;

use axum::extract::{Request, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;

/// Only our own files: no inline script or style, no frames, forms to ourselves.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; \
    connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'";

/// Names under which the pages answer, beside `localhost` and IP addresses.
#[derive(Clone, Debug, Default)]
pub(crate) struct Hosts {
    names: Vec<String>,
}

impl Hosts {
    /// The names of a listener; one beyond loopback is also reached by the machine's name.
    pub(crate) fn new(listen: IpAddr) -> Self {
        let mut names = vec!["localhost".to_owned()];
        if !listen.is_loopback() {
            let name = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
            names.push(name.trim().to_ascii_lowercase());
        }
        Self { names }
    }

    /// Whether a `Host` header names this machine in a way that no foreign name server can forge.
    fn allows(&self, host: &str) -> bool {
        let name = without_port(host);
        let bare = name.strip_prefix('[').and_then(|name| name.strip_suffix(']')).unwrap_or(name);
        bare.parse::<IpAddr>().is_ok()
            || (!name.is_empty() && self.names.iter().any(|own| own.eq_ignore_ascii_case(name)))
    }
}

fn without_port(host: &str) -> &str {
    match host.rfind(':') {
        Some(at) if !host[at..].contains(']') => &host[..at],
        _ => host,
    }
}

/// Refuses foreign names and adds the security headers to every answer.
pub(crate) async fn guard(State(hosts): State<Hosts>, request: Request, next: Next) -> Response {
    let host = text(request.headers(), &header::HOST).or(request.uri().host()).unwrap_or("");
    let mut response = if hosts.allows(host) {
        next.run(request).await
    } else {
        let why = "This name is not served here: use localhost or the machine's IP address.\n";
        (StatusCode::MISDIRECTED_REQUEST, why).into_response()
    };
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_SECURITY_POLICY, HeaderValue::from_static(POLICY));
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    headers.insert(header::X_FRAME_OPTIONS, HeaderValue::from_static("DENY"));
    headers.insert(header::REFERRER_POLICY, HeaderValue::from_static("no-referrer"));
    let same = HeaderValue::from_static("same-origin");
    headers.insert("cross-origin-opener-policy", same.clone());
    headers.insert("cross-origin-resource-policy", same);
    if !headers.contains_key(header::CACHE_CONTROL) {
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    }
    response
}

/// Whether a browser says that a page from elsewhere sent this request.
///
/// Programs that are no browsers send neither header.
pub(crate) fn is_cross_site(headers: &HeaderMap) -> bool {
    if let Some(site) = text(headers, &header::HeaderName::from_static("sec-fetch-site")) {
        return !matches!(site, "same-origin" | "none");
    }
    let Some(origin) = text(headers, &header::ORIGIN) else { return false };
    let host = text(headers, &header::HOST).unwrap_or("");
    let (_, authority) = origin.split_once("://").unwrap_or(("", origin));
    !authority.eq_ignore_ascii_case(host)
}

fn text<'a>(headers: &'a HeaderMap, name: &header::HeaderName) -> Option<&'a str> {
    headers.get(name).and_then(|value| value.to_str().ok())
}

/// Makes and checks the hidden token of our forms: one per form, valid while this process lives.
#[derive(Clone)]
pub(crate) struct FormTokens {
    key: Hmac<Sha256>,
}

impl FormTokens {
    pub(crate) fn new() -> Result<Self, getrandom::Error> {
        let mut secret = [0; 32];
        getrandom::fill(&mut secret)?;
        let key = Hmac::new_from_slice(&secret).expect("HMAC takes keys of any length");
        Ok(Self { key })
    }

    /// The token of the form that posts to `path`.
    pub(crate) fn token(&self, path: &str) -> String {
        let mac = self.key.clone().chain_update(path).finalize().into_bytes();
        mac.iter().map(|byte| format!("{byte:02x}")).collect()
    }

    /// Whether `token` came from our own form for `path`; takes the same time for any wrong one.
    pub(crate) fn accepts(&self, path: &str, token: &str) -> bool {
        let bytes: Option<Vec<u8>> = (0..token.len())
            .step_by(2)
            .map(|at| token.get(at..at + 2).and_then(|hex| u8::from_str_radix(hex, 16).ok()))
            .collect();
        bytes.is_some_and(|mac| self.key.clone().chain_update(path).verify_slice(&mac).is_ok())
    }
}

impl std::fmt::Debug for FormTokens {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("FormTokens")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn foreign_names_are_refused_and_addresses_are_not() {
        let hosts = Hosts::new([127, 0, 0, 1].into());
        for good in ["127.0.0.1:7181", "localhost", "LOCALHOST:7181", "[::1]:7181", "10.0.0.7:80"] {
            assert!(hosts.allows(good), "{good}");
        }
        for bad in ["", ":7181", "evil.example", "evil.example:7181", "127.0.0.1.evil.example"] {
            assert!(!hosts.allows(bad), "{bad}");
        }
    }

    #[test]
    fn token_is_bound_to_its_form() {
        let (ours, other) = (FormTokens::new().unwrap(), FormTokens::new().unwrap());
        let token = ours.token("/incidents/a/ack");
        assert!(ours.accepts("/incidents/a/ack", &token));
        assert!(!ours.accepts("/incidents/b/ack", &token));
        assert!(!other.accepts("/incidents/a/ack", &token));
        for wrong in ["", "00", "zz", "é", &token[1..]] {
            assert!(!ours.accepts("/incidents/a/ack", wrong), "{wrong}");
        }
    }

    #[test]
    fn browsers_tell_where_a_request_comes_from() {
        let headers = |pairs: &[(&'static str, &'static str)]| -> HeaderMap {
            pairs
                .iter()
                .map(|(name, value)| {
                    (header::HeaderName::from_static(name), HeaderValue::from_static(value))
                })
                .collect()
        };
        assert!(!is_cross_site(&headers(&[("host", "127.0.0.1:7181")])));
        assert!(!is_cross_site(&headers(&[("host", "a:1"), ("origin", "http://a:1")])));
        assert!(is_cross_site(&headers(&[("host", "a:1"), ("origin", "http://a:2")])));
        assert!(is_cross_site(&headers(&[("host", "a:1"), ("origin", "null")])));
        assert!(is_cross_site(&headers(&[("host", "a:1"), ("sec-fetch-site", "cross-site")])));
        assert!(!is_cross_site(&headers(&[("host", "a:1"), ("sec-fetch-site", "same-origin")])));
    }
}

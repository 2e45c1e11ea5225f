//! Notification URLs: parsed once, here; an error names the rule and never shows a secret.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use url::Url;

use crate::channel::dingtalk::DingTalk;
use crate::channel::mail::{Mail, Security, mailbox};
use crate::channel::webhook::Webhook;
use crate::channel::{Channel, Target};

/// Where DingTalk's robots are.
const DINGTALK: &str = "https://oapi.dingtalk.com";

/// Why a notification URL is refused. The text shows its scheme at most.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum UrlError {
    /// Not a URL, or not one of ours.
    #[error(
        "a notification URL starts with webhook+http://, webhook+https://, dingtalk://, \
         smtp://, smtp+starttls:// or smtps://"
    )]
    Scheme,
    /// The URL cannot be read.
    #[error("{scheme}://...: {rule}")]
    Invalid {
        /// The scheme.
        scheme: String,
        /// What it must be like.
        rule: String,
    },
    /// `${NAME}` is not set.
    #[error("${{{0}}} is not set in the environment")]
    NotSet(String),
    /// `${` without `}`.
    #[error("\"${{\" has no \"}}\"")]
    Unclosed,
    /// Two channels have one name.
    #[error("two channels are called {0}: write NAME=URL to tell them apart")]
    Twice(String),
}

/// Reads repeated `[NAME=]URL` options; channels without a name are called after their kind.
///
/// # Errors
/// [`UrlError`] of the first that is refused.
pub fn parse_notify(
    options: &[String],
    env: &dyn Fn(&str) -> Option<String>,
) -> Result<Vec<Channel>, UrlError> {
    let mut channels: Vec<Channel> = Vec::new();
    for option in options {
        let (name, url) = match option.split_once('=') {
            Some((name, url)) if is_name(name) => (Some(name), url),
            _ => (None, option.as_str()),
        };
        let mut channel = Channel::parse("", url, env)?;
        channel.name = match name {
            Some(name) if channels.iter().any(|other| other.name == name) => {
                return Err(UrlError::Twice(name.to_owned()));
            }
            Some(name) => name.to_owned(),
            None => free_name(&channel, &channels),
        };
        channels.push(channel);
    }
    Ok(channels)
}

/// Letters, digits, `-`, `_` and `.`: what stands in front of a URL's own `=` is never that.
fn is_name(name: &str) -> bool {
    !name.is_empty() && name.chars().all(|c| c.is_ascii_alphanumeric() || "-_.".contains(c))
}

/// `mail`, then `mail-2`, ...
fn free_name(channel: &Channel, others: &[Channel]) -> String {
    let base = match channel.target {
        Target::Webhook(_) => "webhook",
        Target::DingTalk(_) => "dingtalk",
        Target::Mail(_) => "mail",
    };
    let taken = |name: &String| others.iter().any(|other| other.name == *name);
    let numbered = (2..).map(|n: usize| format!("{base}-{n}"));
    let mut names = std::iter::once(base.to_owned()).chain(numbered);
    names.find(|name| !taken(name)).expect("there are more names than channels")
}

pub(super) fn parse(text: &str, env: &dyn Fn(&str) -> Option<String>) -> Result<Target, UrlError> {
    let text = substitute(text.trim(), env)?;
    let (scheme, rest) = text.split_once("://").ok_or(UrlError::Scheme)?;
    let invalid = |rule: &str| UrlError::Invalid { scheme: scheme.into(), rule: rule.into() };
    match scheme {
        "webhook+http" | "webhook+https" => {
            let address = format!("{}://{rest}", scheme.trim_start_matches("webhook+"));
            let url = Url::parse(&address).map_err(|err| invalid(&err.to_string()))?;
            Ok(Target::Webhook(Webhook { url }))
        }
        "dingtalk" => {
            let url = Url::parse(&text).map_err(|err| invalid(&err.to_string()))?;
            dingtalk(&url).map(Target::DingTalk).map_err(|rule| invalid(&rule))
        }
        "smtp" | "smtp+starttls" | "smtps" => {
            let url = Url::parse(&text).map_err(|err| invalid(&err.to_string()))?;
            let security = match scheme {
                "smtp" => Security::Opportunistic,
                "smtps" => Security::Implicit,
                _ => Security::StartTls,
            };
            mail(&url, security).map(Target::Mail).map_err(|rule| invalid(&rule))
        }
        _ => Err(UrlError::Scheme),
    }
}

fn dingtalk(url: &Url) -> Result<DingTalk, String> {
    let mut query = query(url)?;
    let token = url.host_str().map(decode).unwrap_or_default();
    if token.is_empty() {
        return Err("must be dingtalk://TOKEN?secret=SECRET: the token is missing".into());
    }
    let base = query.remove("base").unwrap_or_else(|| DINGTALK.to_owned());
    let base = Url::parse(&base).ok().filter(|base| matches!(base.scheme(), "http" | "https"));
    let base = base.ok_or("base must be an http:// or https:// address")?;
    let secret = query.remove("secret").filter(|secret| !secret.is_empty());
    nothing_else(&query, "secret and base")?;
    Ok(DingTalk { base, token, secret })
}

fn mail(url: &Url, security: Security) -> Result<Mail, String> {
    let mut query = query(url)?;
    let host = url.host_str().unwrap_or_default();
    if host.is_empty() {
        return Err("the mail server's host is missing".into());
    }
    let port = url.port().unwrap_or(match security {
        Security::Opportunistic => 25,
        Security::StartTls => 587,
        Security::Implicit => 465,
    });
    let user = decode(url.username());
    let login = (!user.is_empty()).then(|| (user, decode(url.password().unwrap_or_default())));
    let from = query.remove("from").as_deref().and_then(mailbox);
    let from = from.ok_or("from must be a mail address, as in from=watchkeeper@example.org")?;
    let to = query.remove("to").unwrap_or_default();
    let to: Option<Vec<_>> = to.split(',').map(mailbox).collect();
    let to = to.ok_or("to must be mail addresses, as in to=ops@example.org,boss@example.org")?;
    let ca = query.remove("ca");
    let read = |path| std::fs::read(&path).map_err(|err| format!("ca: cannot read {path}: {err}"));
    let ca = ca.map(read).transpose()?;
    nothing_else(&query, "from, to and ca")?;
    let host = host.trim_start_matches('[').trim_end_matches(']').to_owned();
    Ok(Mail { host, port, security, login, from, to, ca })
}

fn query(url: &Url) -> Result<BTreeMap<String, String>, String> {
    let mut found = BTreeMap::new();
    for (name, value) in url.query_pairs() {
        if found.insert(name.clone().into_owned(), value.into_owned()).is_some() {
            return Err(format!("{name} is given twice"));
        }
    }
    Ok(found)
}

fn nothing_else(query: &BTreeMap<String, String>, known: &str) -> Result<(), String> {
    match query.keys().next() {
        Some(unknown) => Err(format!("unknown setting {unknown}; there are {known}")),
        None => Ok(()),
    }
}

/// Puts in `${NAME}`. A value becomes one part of the URL whatever characters it has, so that any
/// password will do; a URL that is nothing but one `${NAME}` is taken as it is.
fn substitute(text: &str, env: &dyn Fn(&str) -> Option<String>) -> Result<String, UrlError> {
    let value = |name: &str| env(name).ok_or_else(|| UrlError::NotSet(name.to_owned()));
    let whole = text.strip_prefix("${").and_then(|rest| rest.strip_suffix('}'));
    if let Some(name) = whole.filter(|name| is_name(name)) {
        return value(name);
    }
    let mut done = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((before, after)) = rest.split_once("${") {
        let (name, behind) = after.split_once('}').ok_or(UrlError::Unclosed)?;
        done.push_str(before);
        encode(&value(name)?, &mut done);
        rest = behind;
    }
    done.push_str(rest);
    Ok(done)
}

fn encode(value: &str, out: &mut String) {
    for byte in value.bytes() {
        if byte.is_ascii_alphanumeric() || b"-_.~:,".contains(&byte) {
            out.push(char::from(byte));
        } else {
            // Writing to a string cannot fail.
            let _ = write!(out, "%{byte:02X}");
        }
    }
}

/// Undoes percent-encoding. Unlike in a query, a plus sign is a plus sign.
fn decode(text: &str) -> String {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((first, after)) = rest.split_first() {
        let hex = after.get(..2).and_then(|two| std::str::from_utf8(two).ok());
        let byte = hex.and_then(|two| u8::from_str_radix(two, 16).ok());
        if let Some(byte) = byte.filter(|_| *first == b'%') {
            bytes.push(byte);
            rest = &after[2..];
        } else {
            bytes.push(*first);
            rest = after;
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

/// A URL as it may be shown: no login, no values, and no path segment long enough for a token.
pub(super) fn mask_url(url: &Url) -> String {
    let port = url.port().map_or(String::new(), |port| format!(":{port}"));
    let mut shown = format!("{}://{}{port}", url.scheme(), url.host_str().unwrap_or_default());
    for segment in url.path_segments().into_iter().flatten() {
        shown.push('/');
        shown.push_str(if segment.len() >= 16 { "***" } else { segment });
    }
    if url.query().is_some() {
        shown.push_str("?***");
    }
    shown
}

#[cfg(test)]
#[path = "url_tests.rs"]
mod tests;

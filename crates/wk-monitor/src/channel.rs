//! Channels: how a notification reaches people, and what the receiver made of it.

use std::time::Duration;

use wk_alert::{ChannelPolicy, Outcome, Phase};

use crate::incident::Incident;
use crate::text::Lang;
use crate::view::ChannelKind;

mod dingtalk;
mod http;
mod mail;
mod message;
mod url;
mod webhook;

pub use url::{UrlError, parse_notify};

/// The rule of test messages: their incidents have no page.
pub(crate) const TEST_RULE: &str = "NotifyTest";
/// Longest wait for a receiver, connecting included.
const SEND_LIMIT: Duration = Duration::from_secs(20);
/// How much of a receiver's answer is kept.
const ANSWER_MAX: usize = 2000;

/// One configured channel.
#[derive(Clone, Debug)]
pub struct Channel {
    name: String,
    target: Target,
}

/// Where a channel goes. Every variant's `Debug` hides its secrets.
#[derive(Clone, Debug)]
enum Target {
    Webhook(webhook::Webhook),
    DingTalk(dingtalk::DingTalk),
    Mail(mail::Mail),
}

/// One notification, ready to be worded for any channel.
#[derive(Clone, Debug)]
pub(crate) struct Message {
    /// The id of its only incident, or the name of its group.
    pub(crate) name: String,
    /// What it tells of, at least one.
    pub(crate) incidents: Vec<Incident>,
    /// The names of the messages that told the beginnings of what is over.
    pub(crate) threads: Vec<String>,
    pub(crate) phase: Phase,
    /// Address of the first page.
    pub(crate) home: String,
    pub(crate) lang: Lang,
}

impl Message {
    /// The same for every try of one notification, and for no other.
    pub(crate) fn key(&self) -> String {
        format!("{}/{}", self.name, self.phase.as_str())
    }

    /// Address of an incident's page.
    pub(crate) fn link(&self, incident: &Incident) -> String {
        if incident.rule == TEST_RULE {
            return self.home.clone();
        }
        format!("{}/incidents/{}", self.home.trim_end_matches('/'), incident.id)
    }
}

/// What was sent and what came back, without secrets.
#[derive(Clone, Debug)]
pub(crate) struct Receipt {
    pub(crate) request: String,
    pub(crate) answer: String,
    pub(crate) outcome: Outcome,
}

impl Channel {
    /// Reads a notification URL; `${NAME}` in it is looked up by `env`.
    ///
    /// # Errors
    /// [`UrlError`], which never shows a secret.
    pub fn parse(
        name: &str,
        url: &str,
        env: &dyn Fn(&str) -> Option<String>,
    ) -> Result<Self, UrlError> {
        let target = url::parse(url, env)?;
        Ok(Self { name: name.to_owned(), target })
    }

    /// Its name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// What it speaks.
    pub fn kind(&self) -> ChannelKind {
        match self.target {
            Target::Webhook(_) => ChannelKind::Webhook,
            Target::DingTalk(_) => ChannelKind::Dingtalk,
            Target::Mail(_) => ChannelKind::Mail,
        }
    }

    /// Where it goes, without secrets.
    pub fn target(&self) -> String {
        match &self.target {
            Target::Webhook(webhook) => webhook.redacted(),
            Target::DingTalk(robot) => robot.redacted(),
            Target::Mail(mail) => mail.redacted(),
        }
    }

    /// How the outbox treats it.
    pub(crate) fn policy(&self) -> ChannelPolicy {
        let rate = match self.target {
            Target::DingTalk(_) => Some(dingtalk::RATE),
            Target::Webhook(_) | Target::Mail(_) => None,
        };
        ChannelPolicy { rate, ..ChannelPolicy::new(&self.name) }
    }

    /// Sends one message and waits for the receiver's word.
    pub(crate) async fn send(&self, message: &Message) -> Receipt {
        match &self.target {
            Target::Webhook(webhook) => webhook.send(&self.name, message).await,
            Target::DingTalk(robot) => robot.send(message).await,
            Target::Mail(mail) => mail.send(message).await,
        }
    }
}

/// The first `max` bytes of `text`, cut between characters.
fn cut(text: &str, max: usize) -> &str {
    let mut end = max.min(text.len());
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    &text[..end]
}

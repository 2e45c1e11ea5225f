//! Receivers of notifications: a webhook and a DingTalk robot in this process, a real SMTP server
//! beside it. They keep what arrived, and refuse as scripted.

mod dingtalk;
mod http;
mod smtp;
mod webhook;

pub use dingtalk::DingTalk;
pub use http::{Reply, Request};
pub use smtp::{Mail, Smtp, SmtpMode};
pub use webhook::{Alert, Notification, Webhook};

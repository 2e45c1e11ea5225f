//! E-mail by SMTP, in three ways to TLS; firing and resolved of one incident form one thread.

use lettre::message::header::{ContentType, HeaderName, HeaderValue};
use lettre::message::{Mailbox, Mailboxes};
use lettre::transport::smtp::Error as SmtpError;
use lettre::transport::smtp::authentication::Credentials;
use lettre::transport::smtp::client::{Certificate, Tls, TlsParameters};
use lettre::{Address, AsyncSmtpTransport, AsyncTransport, Tokio1Executor};
use wk_alert::{Outcome, Phase};

use crate::channel::http::chain;
use crate::channel::{Message, Receipt, SEND_LIMIT};

/// When the connection is encrypted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Security {
    /// By STARTTLS if the server offers it.
    Opportunistic,
    /// By STARTTLS, or nothing is sent.
    StartTls,
    /// From the first byte.
    Implicit,
}

/// A mail server and who gets mail.
#[derive(Clone)]
pub(super) struct Mail {
    pub(super) host: String,
    pub(super) port: u16,
    pub(super) security: Security,
    pub(super) login: Option<(String, String)>,
    pub(super) from: Mailbox,
    pub(super) to: Vec<Mailbox>,
    /// Further certificates to trust, as PEM.
    pub(super) ca: Option<Vec<u8>>,
}

impl std::fmt::Debug for Mail {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.redacted())
    }
}

impl Mail {
    pub(super) fn redacted(&self) -> String {
        let scheme = match self.security {
            Security::Opportunistic => "smtp",
            Security::StartTls => "smtp+starttls",
            Security::Implicit => "smtps",
        };
        let login = self.login.as_ref().map_or(String::new(), |(user, _)| format!("{user}:***@"));
        let to: Vec<String> = self.to.iter().map(|to| to.email.to_string()).collect();
        format!("{scheme}://{login}{}:{}?to={}", self.host, self.port, to.join(","))
    }

    pub(super) async fn send(&self, message: &Message) -> Receipt {
        let refused = |error: String| Receipt {
            request: String::new(),
            answer: error.clone(),
            outcome: Outcome::Refused { error },
        };
        let mail = match self.compose(message) {
            Ok(mail) => mail,
            Err(error) => return refused(error),
        };
        let transport = match self.transport() {
            Ok(transport) => transport,
            Err(error) => return refused(error),
        };
        let text = String::from_utf8_lossy(&mail.formatted()).into_owned();
        let request = format!("{}\n\n{text}", self.redacted());
        let raw = mail.formatted();
        let all = transport.send_raw(mail.envelope(), &raw).await;
        let (answer, outcome) = match all {
            Ok(response) => (show(&response), Outcome::Confirmed),
            Err(err) if err.is_permanent() && self.to.len() > 1 => {
                self.one_by_one(&transport, &raw).await
            }
            Err(err) => (chain(&err), judge(&err)),
        };
        Receipt { request, answer, outcome }
    }

    /// One address that is refused must not keep the mail from the others.
    async fn one_by_one(
        &self,
        transport: &AsyncSmtpTransport<Tokio1Executor>,
        raw: &[u8],
    ) -> (String, Outcome) {
        let (mut lines, mut taken, mut outcome) = (Vec::new(), false, Outcome::Confirmed);
        for to in &self.to {
            let from = Some(self.from.email.clone());
            let sent = match lettre::address::Envelope::new(from, vec![to.email.clone()]) {
                Ok(envelope) => transport.send_raw(&envelope, raw).await,
                Err(err) => {
                    lines.push(format!("{}: {err}", to.email));
                    continue;
                }
            };
            match sent {
                Ok(response) => {
                    taken = true;
                    lines.push(format!("{}: {}", to.email, show(&response)));
                }
                Err(err) => {
                    lines.push(format!("{}: {}", to.email, chain(&err)));
                    // What may still work later counts for more than what never will.
                    if !matches!(outcome, Outcome::Retry { .. }) {
                        outcome = judge(&err);
                    }
                }
            }
        }
        let refused_for_good = matches!(outcome, Outcome::Refused { .. });
        if taken && refused_for_good {
            outcome = Outcome::Confirmed;
        }
        (lines.join("\n"), outcome)
    }

    fn compose(&self, message: &Message) -> Result<lettre::Message, String> {
        let domain = self.from.email.domain();
        let id = |name: &str, phase: Phase| format!("<{name}.{}@{domain}>", phase.as_str());
        let ids: Vec<&str> = message.incidents.iter().map(|one| one.id.as_str()).collect();
        let to: Mailboxes = self.to.iter().cloned().collect();
        let mut builder = lettre::Message::builder()
            .from(self.from.clone())
            .mailbox(lettre::message::header::To::from(to))
            .subject(message.title())
            .message_id(Some(id(&message.name, message.phase)))
            .header(ContentType::TEXT_PLAIN)
            .raw_header(header("X-Watchkeeper-Incident", &ids.join(", ")))
            .raw_header(header("Auto-Submitted", "auto-generated"))
            .raw_header(header("Content-Language", message.lang.tag()));
        let threads: Vec<String> =
            message.threads.iter().map(|name| id(name, Phase::Firing)).collect();
        if let Some(first) = threads.first() {
            builder = builder.in_reply_to(first.clone()).references(threads.join(" "));
        }
        builder.body(message.plain()).map_err(|err| chain(&err))
    }

    fn transport(&self) -> Result<AsyncSmtpTransport<Tokio1Executor>, String> {
        let parameters = || {
            let mut builder = TlsParameters::builder(self.host.clone());
            if let Some(pem) = &self.ca {
                let certificate = Certificate::from_pem(pem).map_err(|err| chain(&err))?;
                builder = builder.add_root_certificate(certificate);
            }
            builder.build_rustls().map_err(|err| chain(&err))
        };
        let tls = match self.security {
            Security::Opportunistic => Tls::Opportunistic(parameters()?),
            Security::StartTls => Tls::Required(parameters()?),
            Security::Implicit => Tls::Wrapper(parameters()?),
        };
        let mut builder =
            AsyncSmtpTransport::<Tokio1Executor>::builder_dangerous(self.host.clone())
                .port(self.port)
                .tls(tls)
                .timeout(Some(SEND_LIMIT));
        if let Some((user, password)) = &self.login {
            builder = builder.credentials(Credentials::new(user.clone(), password.clone()));
        }
        Ok(builder.build())
    }
}

fn header(name: &'static str, value: &str) -> HeaderValue {
    let name = HeaderName::new_from_ascii_str(name);
    HeaderValue::new(name, value.to_owned())
}

fn show(response: &lettre::transport::smtp::response::Response) -> String {
    let lines: Vec<&str> = response.message().collect();
    format!("{} {}", response.code(), lines.join(" "))
}

fn judge(err: &SmtpError) -> Outcome {
    let error = chain(err);
    // A login that is refused is as likely a slip on the server's side: it is tried again.
    let login = err.status().is_some_and(|code| code.to_string() == "535");
    if err.is_permanent() && !login {
        Outcome::Refused { error }
    } else {
        Outcome::Retry { error, after: None }
    }
}

/// Reads `a@x.test` or `Name <a@x.test>`.
pub(super) fn mailbox(text: &str) -> Option<Mailbox> {
    let text = text.trim();
    text.parse::<Mailbox>().ok().or_else(|| Some(Mailbox::new(None, text.parse::<Address>().ok()?)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::channel::message::tests::message;

    fn mail() -> Mail {
        Mail {
            host: "localhost".into(),
            port: 25,
            security: Security::Opportunistic,
            login: Some(("user".into(), "hush".into())),
            from: mailbox("watchkeeper@example.test").expect("an address"),
            to: vec![mailbox("Ops <ops@example.test>").expect("an address")],
            ca: None,
        }
    }

    #[test]
    fn firing_and_resolved_form_a_thread() {
        let mut message = message(vec!["中文".into()]);
        message.incidents[0].summary = "节点 a 已宕机".into();
        let firing = mail().compose(&message).expect("a mail").formatted();
        let firing = String::from_utf8(firing).expect("ASCII");
        assert!(firing.contains("Message-ID: <0123456789ab-1.firing@example.test>"), "{firing}");
        assert!(firing.contains("X-Watchkeeper-Incident: 0123456789ab-1\r\n"));
        assert!(firing.contains("Auto-Submitted: auto-generated"));
        assert!(firing.is_ascii() && firing.contains("Subject: [FIRING] =?utf-8?b?"), "{firing}");
        message.phase = Phase::Resolved;
        message.threads = vec![message.name.clone(), "group-1".into()];
        let resolved = mail().compose(&message).expect("a mail").formatted();
        let resolved = String::from_utf8(resolved).expect("ASCII");
        let both = "<0123456789ab-1.firing@example.test> <group-1.firing@example.test>";
        assert!(
            resolved.replace("\r\n", "").contains(&format!("References: {both}")),
            "{resolved}"
        );
        assert!(resolved.contains("In-Reply-To: <0123456789ab-1.firing@example.test>"));
    }

    #[test]
    fn a_line_break_in_a_name_makes_no_header() {
        let mut message = message(vec![]);
        message.incidents[0].summary = "x\r\nBcc: evil@example.test".into();
        let text = String::from_utf8(mail().compose(&message).expect("a mail").formatted());
        let text = text.expect("ASCII");
        let (headers, _) = text.split_once("\r\n\r\n").expect("headers, then the body");
        assert!(!headers.contains("\nBcc:"), "{headers}");
    }

    #[test]
    fn the_password_is_never_shown() {
        assert!(!format!("{:?}", mail()).contains("hush"));
    }
}

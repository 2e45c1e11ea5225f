//! The options that every verb shares, the connection behind them, and the way from a client's
//! error to an exit code.
#![expect(clippy::wildcard_enum_match_arm, reason = "most answers share one treatment")]

use std::future::Future;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context, anyhow};
use tokio::signal::unix::{SignalKind, signal};
use wk_client::{Client, ConnectError, Error, ErrorCode, MultiError, Tls, TlsConfig};

use super::text;
use crate::exit::{Code, CodeExt};
use crate::print;

/// The server that a verb talks to when nobody says otherwise.
const SERVER_DEFAULT: &str = "127.0.0.1:2181";

/// Where the servers are. `create` has the same without the short form, which is taken there.
#[derive(Debug, clap::Args)]
pub(crate) struct ServerArg {
    /// Servers and chroot: HOST:PORT,HOST:PORT/CHROOT [env: WATCHKEEPER_SERVER]
    /// [default: 127.0.0.1:2181]
    #[arg(short, long, value_name = "HOSTS")]
    pub(crate) server: Option<String>,
}

/// How to connect.
#[derive(Debug, clap::Args)]
#[command(next_help_heading = "Connection")]
pub(crate) struct ConnectionArgs {
    /// Give up after this time, connecting included
    #[arg(long, value_name = "TIME", default_value = "10s", value_parser = text::duration)]
    pub(crate) timeout: Duration,
    /// Session timeout to ask for
    #[arg(long, value_name = "TIME", default_value = "10s", value_parser = text::duration)]
    session_timeout: Duration,
    /// Credentials SCHEME:CREDENTIALS with the secret taken from the environment, for example
    /// 'digest:admin:${PASSWORD}' [env: WATCHKEEPER_AUTH]
    #[arg(long, value_name = "CREDENTIALS")]
    auth: Vec<String>,
    /// File of credentials, one SCHEME:CREDENTIALS a line
    #[arg(long, value_name = "FILE")]
    auth_file: Option<PathBuf>,
    /// Let a server in read-only mode answer, too
    #[arg(long)]
    read_only: bool,
    #[command(flatten)]
    tls: TlsArgs,
}

/// How to reach a secure port.
#[derive(Debug, clap::Args)]
pub(crate) struct TlsArgs {
    /// Speak TLS, for servers' secureClientPort; the authorities of the operating system are trusted
    /// unless --tls-ca names others
    #[arg(long)]
    tls: bool,
    /// PEM file of the authorities to trust; implies --tls
    #[arg(long, value_name = "FILE")]
    tls_ca: Option<PathBuf>,
    /// PEM file of our own certificate, for servers that ask for one; implies --tls
    #[arg(long, value_name = "FILE", requires = "tls_key")]
    tls_cert: Option<PathBuf>,
    /// PEM file of its key
    #[arg(long, value_name = "FILE", requires = "tls_cert")]
    tls_key: Option<PathBuf>,
    /// Accept a certificate of another host name, if an authority of --tls-ca signed it
    #[arg(long, requires = "tls_ca")]
    tls_any_hostname: bool,
}

impl TlsArgs {
    /// What to connect with, if TLS is asked for at all.
    pub(crate) fn connector(&self) -> anyhow::Result<Option<Tls>> {
        let identity = self.tls_cert.clone().zip(self.tls_key.clone());
        if !self.tls && self.tls_ca.is_none() && identity.is_none() {
            return Ok(None);
        }
        let any_hostname = self.tls_any_hostname;
        let config = TlsConfig { ca: self.tls_ca.clone(), identity, any_hostname };
        Tls::new(config).map(Some).map_err(anyhow::Error::new).code(Code::Usage)
    }
}

impl ConnectionArgs {
    /// Connects, or says why not.
    pub(crate) async fn open(&self, server: &ServerArg) -> anyhow::Result<Client> {
        let from_env = || std::env::var("WATCHKEEPER_SERVER").ok();
        let hosts = server.server.clone().or_else(from_env);
        let hosts = hosts.unwrap_or_else(|| SERVER_DEFAULT.to_owned());
        let mut builder = Client::builder(&hosts)
            .session_timeout(self.session_timeout)
            .request_timeout(self.timeout)
            .connect_within(self.timeout)
            .read_only(self.read_only);
        for (scheme, auth) in self.credentials().code(Code::Usage)? {
            builder = builder.auth(&scheme, auth);
        }
        if let Some(tls) = self.tls.connector()? {
            builder = builder.connector(tls);
        }
        let client = builder.start().map_err(explain_connect)?;
        self.wait_connected(&client).await?;
        Ok(client)
    }

    /// Waits for the first session; a person who has to wait learns what for.
    async fn wait_connected(&self, client: &Client) -> anyhow::Result<()> {
        let patience = Duration::from_secs(1);
        if self.timeout > patience {
            match client.wait_connected(patience).await {
                Ok(()) => return Ok(()),
                Err(ConnectError::Unreachable { .. }) => {
                    let why = client.last_error().unwrap_or_else(|| "no answer".to_owned());
                    let limit = self.timeout.as_secs_f64();
                    print::note(&format!("{why}; trying for {limit} s"));
                }
                Err(error) => return Err(explain_connect(error)),
            }
            let rest = self.timeout.saturating_sub(patience);
            return client.wait_connected(rest).await.map_err(|error| match error {
                ConnectError::Unreachable { hosts, last, .. } => {
                    let after = self.timeout;
                    explain_connect(ConnectError::Unreachable { hosts, last, after })
                }
                other => explain_connect(other),
            });
        }
        client.wait_connected(self.timeout).await.map_err(explain_connect)
    }

    fn credentials(&self) -> anyhow::Result<Vec<(String, Vec<u8>)>> {
        let mut all = Vec::new();
        if let Ok(lines) = std::env::var("WATCHKEEPER_AUTH") {
            for line in lines.lines().filter(|line| !line.trim().is_empty()) {
                all.push(text::credentials(line.trim()).context("WATCHKEEPER_AUTH")?);
            }
        }
        if let Some(file) = &self.auth_file {
            let shown = file.display();
            let lines = std::fs::read_to_string(file).with_context(|| format!("read {shown}"))?;
            for line in lines.lines().map(str::trim) {
                if !line.is_empty() && !line.starts_with('#') {
                    all.push(text::credentials(line).with_context(|| shown.to_string())?);
                }
            }
        }
        for given in &self.auth {
            let (expanded, any) = text::expand(given, |name| std::env::var(name).ok())?;
            if !any && given.starts_with("digest:") {
                return Err(anyhow!(
                    "--auth: a password here is seen by everybody in the process list: write \
                     'digest:user:${{NAME}}' and set NAME, or use --auth-file"
                ));
            }
            all.push(text::credentials(&expanded).context("--auth")?);
        }
        Ok(all)
    }
}

/// Runs a verb to its end on a runtime of its own. SIGINT ends it with 130, SIGTERM with 143.
pub(crate) fn run(
    verb: impl Future<Output = anyhow::Result<ExitCode>>,
) -> anyhow::Result<ExitCode> {
    // The verb itself runs on this thread, the client on another: a reader who takes his time
    // (`ls -R / | less`) blocks our printing, but not the heartbeats of the session.
    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build()?;
    let result = runtime.block_on(async {
        let mut interrupt = signal(SignalKind::interrupt())?;
        let mut terminate = signal(SignalKind::terminate())?;
        tokio::select! {
            result = verb => result,
            _ = interrupt.recv() => Ok(ExitCode::from(130)),
            _ = terminate.recv() => Ok(ExitCode::from(143)),
        }
    });
    // A read of stdin may still block a thread: do not wait for it.
    runtime.shutdown_background();
    result
}

/// Closes the session; its result is nobody's concern, the work is done.
pub(crate) async fn close(client: &Client) {
    let _ = client.with_timeout(Duration::from_secs(1)).close().await;
}

/// Says in words what a request failed with, and marks the exit code.
pub(crate) fn explain(error: Error) -> anyhow::Error {
    let code = code_of(&error);
    let error = match error {
        Error::Server(code) => anyhow!("{} ({})", in_words(code), code.name()),
        other => anyhow::Error::new(other),
    };
    match code {
        Some(code) => crate::exit::coded(code as u8, error),
        None => error,
    }
}

/// The same for a multi: the operation that failed decides.
pub(crate) fn explain_multi(error: MultiError) -> anyhow::Error {
    match error {
        MultiError::Op { code, .. } => explain(Error::Server(code)),
        MultiError::Request(error) => explain(error),
    }
}

fn explain_connect(error: ConnectError) -> anyhow::Error {
    let code = match &error {
        ConnectError::Hosts(_) => Code::Usage,
        ConnectError::AuthFailed => Code::NotAuthorised,
        _ => Code::Unreachable,
    };
    crate::exit::coded(code as u8, anyhow::Error::new(error))
}

/// The shell's table of exit codes.
fn code_of(error: &Error) -> Option<Code> {
    match error {
        Error::Server(code) => match code {
            ErrorCode::NoNode => Some(Code::NoNode),
            ErrorCode::BadVersion
            | ErrorCode::NodeExists
            | ErrorCode::NotEmpty
            | ErrorCode::NoChildrenForEphemerals => Some(Code::Conflict),
            ErrorCode::NoAuth | ErrorCode::AuthFailed | ErrorCode::SessionClosedRequireSaslAuth => {
                Some(Code::NotAuthorised)
            }
            ErrorCode::QuotaExceeded | ErrorCode::ThrottledOp => Some(Code::Limit),
            ErrorCode::SessionExpired | ErrorCode::SessionMoved | ErrorCode::OperationTimeout => {
                Some(Code::Unreachable)
            }
            _ => None,
        },
        Error::AuthFailed => Some(Code::NotAuthorised),
        Error::ConnectionLoss(_) | Error::TimedOut(_) | Error::Unavailable | Error::SessionLost => {
            Some(Code::Unreachable)
        }
        Error::TooLarge { .. } => Some(Code::Limit),
        Error::Argument(_) => Some(Code::Usage),
        _ => None,
    }
}

fn in_words(code: ErrorCode) -> &'static str {
    match code {
        ErrorCode::NoNode => "no such znode",
        ErrorCode::NodeExists => "the znode exists already",
        ErrorCode::BadVersion => "the version is another",
        ErrorCode::NotEmpty => "the znode has children",
        ErrorCode::NoChildrenForEphemerals => "an ephemeral znode cannot have children",
        ErrorCode::NoAuth => "the ACL does not allow it",
        ErrorCode::AuthFailed => "the credentials were refused",
        ErrorCode::InvalidAcl => "the ACL is not valid",
        ErrorCode::QuotaExceeded => "the quota is used up",
        ErrorCode::BadArguments => "the server refuses the arguments",
        ErrorCode::Unimplemented => "the server does not offer this",
        _ => "the server refuses",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use wk_client::Effect;

    #[test]
    fn exit_codes_of_the_table() {
        for (error, want) in [
            (Error::Server(ErrorCode::NoNode), Some(Code::NoNode)),
            (Error::Server(ErrorCode::BadVersion), Some(Code::Conflict)),
            (Error::Server(ErrorCode::NodeExists), Some(Code::Conflict)),
            (Error::Server(ErrorCode::NotEmpty), Some(Code::Conflict)),
            (Error::Server(ErrorCode::NoAuth), Some(Code::NotAuthorised)),
            (Error::Server(ErrorCode::QuotaExceeded), Some(Code::Limit)),
            (Error::TooLarge { need: 2, limit: 1 }, Some(Code::Limit)),
            (Error::ConnectionLoss(Effect::Unknown), Some(Code::Unreachable)),
            (Error::Unavailable, Some(Code::Unreachable)),
            (Error::Argument("x".to_owned()), Some(Code::Usage)),
            (Error::Server(ErrorCode::SystemError), None),
        ] {
            assert_eq!(code_of(&error), want, "{error}");
        }
    }
}

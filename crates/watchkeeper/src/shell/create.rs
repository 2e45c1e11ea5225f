//! `watchkeeper create PATH [VALUE]`: makes a znode and prints its final path.

use std::process::ExitCode;
use std::time::Duration;

use anyhow::Context as _;
use tokio::signal::unix::{SignalKind, signal};
use wk_client::{Acl, Client, CreateMode, CreateOptions, Error, ErrorCode, Perms, Stat};

use super::connection::{self, ConnectionArgs, ServerArg, explain};
use super::output::{self, Format, OutputArg, PathJson};
use super::text;
use crate::exit::{Code, CodeExt};
use crate::print;

/// Create a znode and print its path
#[derive(Debug, clap::Args)]
#[command(after_help = "\
-s means sequential, as in zkCli; `-s HOST:PORT` is understood as the server all the same.
An ephemeral znode outlives this command by the session timeout, as with zkCli; with --hold it
lasts exactly as long as the command.

Examples:
  watchkeeper create /app 'first'
  watchkeeper create -p /app/config/color @color.txt
  watchkeeper create -s -e /queue/item- hello
  watchkeeper create --ttl 1h /cache/x data
  watchkeeper create -e --hold /workers/w1")]
pub(crate) struct Args {
    /// Path of the znode
    path: String,
    /// The data: text, @FILE, or - for stdin; without it the znode has no data (null)
    #[arg(allow_hyphen_values = true)]
    value: Option<String>,
    /// ACL, as zkCli takes it: SCHEME:ID:PERMS,... with PERMS of the letters cdrwa
    acl: Option<String>,
    /// Ephemeral: it goes with the session
    #[arg(short, long)]
    ephemeral: bool,
    /// Append a sequence number to the name
    #[arg(short, long)]
    sequential: bool,
    /// Container: the server removes it once its last child is gone
    #[arg(short, long, conflicts_with_all = ["ephemeral", "sequential", "ttl"])]
    container: bool,
    /// The server removes it when it was not set for so long; plain numbers are milliseconds
    #[arg(short, long, value_name = "TIME", conflicts_with = "ephemeral",
          value_parser = text::ttl)]
    ttl: Option<Duration>,
    /// Create missing parents, without data
    #[arg(short, long)]
    parents: bool,
    /// Stay until interrupted, then close the session
    #[arg(long, requires = "ephemeral")]
    hold: bool,
    /// Servers and chroot: HOST:PORT,HOST:PORT/CHROOT [env: WATCHKEEPER_SERVER]
    /// [default: 127.0.0.1:2181]
    #[arg(long, value_name = "HOSTS")]
    server: Option<String>,
    #[command(flatten)]
    out: OutputArg,
    #[command(flatten)]
    connection: ConnectionArgs,
}

pub(crate) fn run(args: &Args) -> anyhow::Result<ExitCode> {
    if args.hold {
        // Here the signals end the holding in good order, not the command.
        return tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()?
            .block_on(create(args));
    }
    connection::run(create(args))
}

impl Args {
    fn mode(&self) -> CreateMode {
        match (self.ephemeral, self.sequential, self.ttl) {
            _ if self.container => CreateMode::Container,
            (_, false, Some(_)) => CreateMode::Ttl,
            (_, true, Some(_)) => CreateMode::TtlSequential,
            (false, false, None) => CreateMode::Persistent,
            (false, true, None) => CreateMode::PersistentSequential,
            (true, false, None) => CreateMode::Ephemeral,
            (true, true, None) => CreateMode::EphemeralSequential,
        }
    }

    fn options(&self) -> anyhow::Result<CreateOptions> {
        let mut options = CreateOptions::from(self.mode());
        if let Some(acl) = &self.acl {
            options = options.acl(parse_acl(acl)?);
        }
        if let Some(ttl) = self.ttl {
            options = options.ttl(ttl);
        }
        Ok(options)
    }

    /// A sequential znode may have an empty name (`/queue/`); else a slash at the end is forgiven.
    fn path(&self) -> anyhow::Result<String> {
        if self.sequential && self.path.starts_with('/') {
            return Ok(self.path.clone());
        }
        text::path(&self.path).map_err(|why| anyhow::anyhow!("{:?}: {why}", self.path))
    }
}

async fn create(args: &Args) -> anyhow::Result<ExitCode> {
    let path = args.path().code(Code::Usage)?;
    let value = args.value.as_deref().map(text::value).transpose().code(Code::Usage)?;
    let options = args.options().code(Code::Usage)?;
    let server = ServerArg { server: args.server.clone() };
    // Registered before anything is created, so that no signal finds us without a hand on it.
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut terminate = signal(SignalKind::terminate())?;
    let client = args.connection.open(&server).await?;
    let (path, stat) = make(args, &client, &path, value.as_deref(), &options)
        .await
        .map_err(|error| explain(error).context(format!("create {path}")))?;
    let path = path.as_str();
    let text = match args.out.output {
        Format::Table | Format::Raw => format!("{path}\n"),
        Format::Json => output::json(&PathJson { path, stat: Some((&stat).into()) })?,
        Format::Jsonl => output::jsonl(&PathJson { path, stat: Some((&stat).into()) })?,
    };
    print::bytes(text.as_bytes())?;
    if args.hold {
        let code = tokio::select! {
            _ = interrupt.recv() => 130,
            _ = terminate.recv() => 143,
            () = lost(&client) => {
                let error = anyhow::anyhow!("the session is lost and the znode with it");
                return Err(Code::Lost.of(error.context(format!("hold {path}"))));
            }
        };
        connection::close(&client).await;
        return Ok(ExitCode::from(code));
    }
    if args.ephemeral {
        let limit = client.state().borrow().session_timeout.as_secs_f64();
        print::note(&format!(
            "{path} goes when its session times out, in {limit} s (--hold keeps it)"
        ));
        client.abandon().await;
    } else {
        connection::close(&client).await;
    }
    Ok(ExitCode::SUCCESS)
}

/// Waits until the present session is over.
async fn lost(client: &Client) {
    let mut state = client.state();
    let generation = state.borrow().session_generation;
    let over = state.wait_for(|state| {
        state.session_generation != generation
            || matches!(state.status, wk_client::Status::Lost | wk_client::Status::Closed)
    });
    let _ = over.await;
}

async fn make(
    args: &Args,
    client: &Client,
    path: &str,
    data: Option<&[u8]>,
    options: &CreateOptions,
) -> Result<(String, Stat), Error> {
    let created = client.create(path, data, options.clone()).await;
    if !args.parents || created != Err(Error::Server(ErrorCode::NoNode)) {
        return created;
    }
    let slashes = path.char_indices().skip(1).filter(|(_, c)| *c == '/').map(|(at, _)| at);
    for at in slashes {
        match client.create(&path[..at], None, CreateMode::Persistent).await {
            Ok(_) | Err(Error::Server(ErrorCode::NodeExists)) => {}
            Err(error) => return Err(error),
        }
    }
    client.create(path, data, options.clone()).await
}

/// Reads zkCli's form of an ACL. The id may hold colons (`digest:user:hash:cdrwa`).
fn parse_acl(text: &str) -> anyhow::Result<Vec<Acl>> {
    let entry = |entry: &str| {
        let (scheme, rest) = entry.split_once(':')?;
        let (id, letters) = rest.rsplit_once(':')?;
        let perms = letters.chars().try_fold(0, |perms, letter| {
            let bit = match letter {
                'c' => Perms::CREATE,
                'd' => Perms::DELETE,
                'r' => Perms::READ,
                'w' => Perms::WRITE,
                'a' => Perms::ADMIN,
                _ => return None,
            };
            Some(perms | bit.0)
        })?;
        Some(Acl::new(Perms(perms), scheme, id))
    };
    text.split(',')
        .map(|part| entry(part).with_context(|| format!("ACL {part:?} is not SCHEME:ID:PERMS")))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn acl_as_zkcli_takes_it() {
        let acl = parse_acl("world:anyone:r,digest:u:Jq7w=:cdrwa").expect("legal");
        let want =
            [Acl::new(Perms::READ, "world", "anyone"), Acl::new(Perms::ALL, "digest", "u:Jq7w=")];
        assert_eq!(acl, want);
        for bad in ["", "world", "world:anyone", "world:anyone:x"] {
            assert!(parse_acl(bad).is_err(), "{bad}");
        }
    }
}

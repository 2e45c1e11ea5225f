//! `watchkeeper server zoo.cfg`: the coordination server alone, a drop-in for Apache's.
//!
//! Exit codes are those that supervisors know from Apache: 0 after a stop, 1 unexpected (a taken
//! port among it), 2 refused configuration, 3 data directory, 10 log or snapshot damage.

use std::fmt::Write as _;
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context as _, anyhow};
use tracing::{info, warn};
use wk_server::zoo_cfg::{self, ConfigError, ServerConfig, Severity, Sources, Verdict};
use wk_server::{ExitReason, Server, ServerHandle};
use wk_web::admin::BoundPages;

use crate::exit::coded;
use crate::logging::LogArgs;
use crate::print;
use crate::signals::Signals;

mod supervisor;

/// Run a coordination server from a zoo.cfg
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Keys are taken from --set, then from the file, then from -Dzookeeper.KEY=VALUE in the environment
variables SERVER_JVMFLAGS and JVMFLAGS, so that service files of Apache's server carry over.
SIGTERM and SIGINT stop it gracefully; SIGHUP is ignored. Under systemd it says when it serves and
when it stops (Type=notify), feeds the watchdog (WatchdogSec=), and takes over sockets that have
the port of clientPort or secureClientPort (a .socket unit).
Exit codes: 0 stopped, 1 unexpected (port taken), 2 refused configuration, 3 data directory,
4 AdminServer's port taken, 10 damaged log or snapshot.

Examples:
  watchkeeper server zoo.cfg
  watchkeeper server zoo.cfg --check
  watchkeeper server zoo.cfg --set clientPort=2182 --set admin.enableServer=false")]
pub(crate) struct Args {
    /// The configuration, as Apache's server reads it
    #[arg(value_name = "ZOO.CFG")]
    config: PathBuf,
    /// Override a key of the file; may be repeated
    #[arg(long, value_name = "KEY=VALUE")]
    set: Vec<String>,
    /// Say what each key would do, and start nothing
    #[arg(long)]
    check: bool,
    #[command(flatten)]
    log: LogArgs,
}

/// Serves until a signal or a broken disk ends it.
pub(crate) fn run(args: &Args) -> anyhow::Result<ExitCode> {
    let verdict = zoo_cfg::load(&Sources {
        file: Some(args.config.clone()),
        set: args.set.clone(),
        server_jvmflags: std::env::var("SERVER_JVMFLAGS").ok(),
        jvmflags: std::env::var("JVMFLAGS").ok(),
    });
    if args.check {
        return check(args, &verdict);
    }
    args.log.init("info").map_err(|err| coded(2, err.context("--log-level")))?;
    for finding in &verdict.findings {
        match finding.severity {
            Severity::Note => info!(place = %finding.place, "{}", finding.text),
            Severity::Warning => warn!(place = %finding.place, "{}", finding.text),
            // Told below, once.
            Severity::Error => {}
        }
    }
    let config = verdict.config.map_err(refused)?;
    // The server has threads of its own: pages and signals need only this one.
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let reason = runtime.block_on(serve(config));
    // A page may still wait for a disk that hangs.
    runtime.shutdown_background();
    let reason = reason?;
    if reason == ExitReason::Shutdown {
        return Ok(ExitCode::SUCCESS);
    }
    Err(coded(reason.exit_code(), anyhow!("{reason}")))
}

/// A refused configuration; every wrong key is named, one on a line.
fn refused(err: ConfigError) -> anyhow::Error {
    let code = err.exit_code();
    coded(code, anyhow::Error::new(err).context("configuration refused"))
}

async fn serve(config: ServerConfig) -> anyhow::Result<ExitReason> {
    let signals = Signals::new()?;
    // As Apache does: a taken port of a page stops the start before any data is touched.
    let pages = BoundPages::bind(&config).await;
    let pages = pages.map_err(|err| coded(err.exit_code(), err.into()))?;
    let sockets = supervisor::sockets().map_err(|err| coded(2, err))?;
    let server = tokio::task::spawn_blocking(|| Server::start_with(config, sockets))
        .await
        .context("start the server")?
        .map_err(|err| coded(err.exit_code(), err.into()))?;
    let pages = pages.serve(&server);
    let supervised = supervisor::serving(&server);
    let reason = until_the_end(&server, signals).await;
    drop(supervised);
    pages.stop().await;
    Ok(reason)
}

/// Lets the server run until it ends by itself or a signal asks for it; a second signal does not
/// wait for what is still on its way.
async fn until_the_end(server: &ServerHandle, mut signals: Signals) -> ExitReason {
    tokio::select! {
        reason = server.wait() => return reason,
        name = signals.end() => info!(signal = name, "stopping"),
    }
    supervisor::stopping();
    server.shutdown();
    tokio::select! {
        reason = server.wait() => reason,
        name = signals.end() => {
            warn!(signal = name, "stopped at once");
            ExitReason::Shutdown
        }
    }
}

/// Prints what was found and the verdict.
fn check(args: &Args, verdict: &Verdict) -> anyhow::Result<ExitCode> {
    let mut text = String::new();
    for finding in &verdict.findings {
        let severity = match finding.severity {
            Severity::Note => "note",
            Severity::Warning => "warning",
            Severity::Error => "error",
        };
        writeln!(text, "{severity}: {finding}")?;
    }
    let file = args.config.display();
    let count = |severity| verdict.findings.iter().filter(|f| f.severity == severity).count();
    let code = match &verdict.config {
        Ok(_) => {
            writeln!(text, "{file}: starts, {} warnings", count(Severity::Warning))?;
            ExitCode::SUCCESS
        }
        Err(err @ ConfigError::Refused(_)) => {
            writeln!(text, "{file}: refused, {} errors", count(Severity::Error))?;
            ExitCode::from(err.exit_code())
        }
        Err(err) => return Err(coded(err.exit_code(), anyhow!("{err}"))),
    };
    print::bytes(text.as_bytes())?;
    Ok(code)
}

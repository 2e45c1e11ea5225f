//! `watchkeeper tap HOSTS`: every txn of a running ensemble, as it is committed.

pub(crate) mod line;

use std::process::ExitCode;
use std::time::Duration;

use anyhow::anyhow;
use tokio::time::Instant;
use wk_client::{HostList, SessionId, Zxid};
use wk_tap::{Change, Event, FindError, Tap, TapConfig, TapState};

use crate::exit::{Code, CodeExt as _};
use crate::logging::LogArgs;
use crate::print;
use crate::shell::text;
use crate::signals::Signals;
use line::Filter;

/// Events that one write to stdout takes, at most.
const BATCH_MAX: usize = 512;
/// How often the state is looked at while nothing happens.
const LOOK: Duration = Duration::from_millis(200);

/// Print every transaction of a running ensemble as it is committed
#[derive(Debug, clap::Args)]
#[command(after_help = "\
The tap follows the leader as an observer that no member list has: nothing is configured there and
no snapshot is sent. It needs the leader's quorum port (usually 2888), votes on nothing and shows
as one more in zk_synced_observers. It finds the next leader after an election and goes on where it
was; `resync` names both ends of what the leader no longer had.

A standalone server has no such port; two taps on one ensemble need two --sid.

Examples:
  watchkeeper tap zk1:2181,zk2:2181,zk3:2181
  watchkeeper tap zk1:2181 -o jsonl | jq 'select(.expired)'
  watchkeeper tap zk1:2181 --path /locks --errors
  watchkeeper tap zk1:2181 --session 0x100000a5b2c0003
  watchkeeper tap zk1:2181 --from 0x500000000 --type closeSession")]
pub(crate) struct Args {
    /// Client addresses of members; one that answers `conf` is enough
    #[arg(value_name = "HOSTS")]
    hosts: String,
    /// Form of the output: one line for people, or one JSON document a line
    #[arg(short, long, value_enum, default_value_t, value_name = "FORM")]
    output: Form,
    /// Go on after this zxid instead of from now on
    #[arg(long, value_name = "ZXID", value_parser = zxid)]
    from: Option<Zxid>,
    /// Only what touches this znode or one below it
    #[arg(long, value_name = "PREFIX", value_parser = text::path)]
    path: Option<String>,
    /// Only what this session does
    #[arg(long, value_name = "ID", value_parser = session)]
    session: Option<SessionId>,
    /// Only this type: create, setData, delete, multi, closeSession, error, ...
    #[arg(long = "type", value_name = "TYPE")]
    kind: Option<String>,
    /// Only writes that failed
    #[arg(long)]
    errors: bool,
    /// End after so many lines
    #[arg(short = 'n', long, value_name = "N")]
    count: Option<u64>,
    /// Where the leader takes learners, if it cannot be found out
    #[arg(long, value_name = "HOST:PORT", value_delimiter = ',')]
    quorum: Vec<String>,
    /// The number that the leader knows us by; no member may have it
    #[arg(long, default_value_t = 250, allow_negative_numbers = true)]
    sid: i64,
    /// Give up if no leader is followed after this time
    #[arg(long, value_name = "TIME", default_value = "10s", value_parser = text::duration)]
    timeout: Duration,
    #[command(flatten)]
    log: LogArgs,
}

/// The form of the lines.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Form {
    /// For people
    #[default]
    Table,
    /// One JSON document a line
    Jsonl,
}

fn number(text: &str) -> Result<i64, String> {
    let parsed = match text.strip_prefix("0x") {
        Some(hex) => u64::from_str_radix(hex, 16),
        None => text.parse(),
    };
    parsed.map(u64::cast_signed).map_err(|_| "must be a number, decimal or 0x...".to_owned())
}

fn zxid(text: &str) -> Result<Zxid, String> {
    number(text).map(Zxid)
}

fn session(text: &str) -> Result<SessionId, String> {
    number(text).map(SessionId)
}

pub(crate) fn run(args: &Args) -> anyhow::Result<ExitCode> {
    args.log.init("warn").map_err(|err| Code::Usage.of(err.context("--log-level")))?;
    let hosts = HostList::parse(&args.hosts).code(Code::Usage)?;
    let mut config = TapConfig::new(hosts.hosts);
    config.quorum.clone_from(&args.quorum);
    config.from = args.from;
    config.learner.sid = args.sid;
    // Several threads: while stdout is blocked, the leader is still read.
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let result = runtime.block_on(follow(args, config));
    runtime.shutdown_background();
    result
}

async fn follow(args: &Args, config: TapConfig) -> anyhow::Result<ExitCode> {
    let mut signals = Signals::new()?;
    let mut tap = Tap::start(config);
    let mut lines = Lines::new(args);
    let deadline = Instant::now() + args.timeout;
    let mut said = Said::default();
    while lines.left > 0 {
        tokio::select! {
            _ = signals.end() => return Ok(ExitCode::SUCCESS),
            event = tap.next() => match event {
                Some(event) => lines.print(&event, &mut tap)?,
                None => return Err(refusal(&tap)),
            },
            () = tokio::time::sleep(LOOK) => {}
        }
        let state = tap.health().state;
        said.note(&state);
        if !said.lived && Instant::now() >= deadline {
            return Err(given_up(&state));
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// What was said on stderr, so that it is said once.
#[derive(Default)]
struct Said {
    last: Option<TapState>,
    lived: bool,
}

impl Said {
    fn note(&mut self, state: &TapState) {
        if self.last.as_ref() == Some(state) {
            return;
        }
        match state {
            TapState::Live(leader) => {
                self.lived = true;
                print::note(&format!("following {leader}"));
            }
            TapState::Looking(why) if self.lived => print::note(&format!("looking: {why}")),
            TapState::Looking(_) | TapState::Syncing(_) | TapState::Refused(_) => {}
        }
        self.last = Some(state.clone());
    }
}

fn refusal(tap: &Tap) -> anyhow::Error {
    match tap.health().state {
        TapState::Refused(why) => anyhow!(why),
        TapState::Looking(_) | TapState::Syncing(_) | TapState::Live(_) => {
            anyhow!("the tap ended by itself")
        }
    }
}

fn given_up(state: &TapState) -> anyhow::Error {
    let why = match state {
        TapState::Looking(why) => why.clone(),
        TapState::Refused(why @ FindError::Standalone(_)) => return anyhow!(why.clone()),
        TapState::Refused(why) => why.to_string(),
        TapState::Syncing(leader) | TapState::Live(leader) => {
            format!("{leader} does not bring us up to date")
        }
    };
    Code::Unreachable.of(anyhow!("no stream: {why}"))
}

/// Prints what was asked for.
struct Lines<'a> {
    form: Form,
    filter: Filter<'a>,
    left: u64,
}

impl<'a> Lines<'a> {
    fn new(args: &'a Args) -> Self {
        let filter = Filter {
            path: args.path.as_deref(),
            session: args.session,
            kind: args.kind.as_deref(),
            errors: args.errors,
        };
        Self { form: args.output, filter, left: args.count.unwrap_or(u64::MAX) }
    }

    /// Prints an event and those that are there already with one write.
    fn print(&mut self, first: &Event, tap: &mut Tap) -> anyhow::Result<()> {
        let mut text = String::new();
        self.add(first, &mut text)?;
        for _ in 1..BATCH_MAX {
            let Some(event) = tap.try_next() else { break };
            self.add(&event, &mut text)?;
        }
        if !text.is_empty() {
            print::bytes(text.as_bytes())?;
        }
        Ok(())
    }

    fn add(&mut self, event: &Event, text: &mut String) -> anyhow::Result<()> {
        if self.left == 0 {
            return Ok(());
        }
        match event {
            Event::Txn { record, .. } => {
                let change = Change::read(record);
                if !self.filter.takes(&change) {
                    return Ok(());
                }
                text.push_str(&line::of_change(&change, self.form)?);
            }
            // A gap may hold what was asked for: nobody filters it away.
            Event::Resync { from, to } => text.push_str(&line::of_gap(*from, *to, self.form)?),
        }
        self.left -= 1;
        Ok(())
    }
}

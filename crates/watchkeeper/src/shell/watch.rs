//! `watchkeeper watch PATH`: what happens to a znode, across reconnects and sessions.

use std::process::{ExitCode, Stdio};

use anyhow::Context as _;
use serde::Serialize;
use tokio::process::Command;
use wk_client::{Client, Error, Event, EventStream, EventType, WatchMode, Zxid};

use super::connection::{self, ConnectionArgs, ServerArg, explain};
use super::ls::walk;
use super::output::{self, Format, OutputArg};
use super::text;
use crate::exit::Code;
use crate::print;

/// Print what happens to a znode, until interrupted
#[derive(Debug, clap::Args)]
#[command(after_help = "\
The watch survives reconnects and new sessions. After each it prints `resync`: events may be
missing before it, so look again at what you watch.

With -- CMD, CMD runs once for every event, one after the other, with WATCHKEEPER_EVENT_TYPE,
WATCHKEEPER_EVENT_PATH and WATCHKEEPER_EVENT_ZXID in its environment.

Examples:
  watchkeeper watch /app/config
  watchkeeper watch -r /app -o jsonl
  watchkeeper watch --initial -r /app -o jsonl
  watchkeeper watch /app/config -- systemctl reload app")]
pub(crate) struct Args {
    /// Path of the znode; it need not exist yet
    #[arg(value_parser = text::path)]
    path: String,
    /// The znode and all below it
    #[arg(short, long, conflicts_with = "children")]
    recursive: bool,
    /// Also when its list of children changes
    #[arg(long)]
    children: bool,
    /// First say `created` for what is there already
    #[arg(long)]
    initial: bool,
    /// End after so many events
    #[arg(short = 'n', long, value_name = "N")]
    count: Option<u64>,
    /// Command to run for every event, without a shell
    #[arg(last = true, value_name = "CMD")]
    command: Vec<String>,
    #[command(flatten)]
    out: OutputArg,
    #[command(flatten)]
    server: ServerArg,
    #[command(flatten)]
    connection: ConnectionArgs,
}

/// What happened, by the names that scripts see.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum EventName {
    Created,
    Changed,
    Deleted,
    Children,
    Resync,
}

impl EventName {
    fn as_str(self) -> &'static str {
        match self {
            Self::Created => "created",
            Self::Changed => "changed",
            Self::Deleted => "deleted",
            Self::Children => "children",
            Self::Resync => "resync",
        }
    }
}

impl From<EventType> for EventName {
    fn from(kind: EventType) -> Self {
        match kind {
            EventType::NodeCreated => Self::Created,
            EventType::NodeDeleted => Self::Deleted,
            EventType::NodeDataChanged => Self::Changed,
            EventType::NodeChildrenChanged => Self::Children,
        }
    }
}

/// One event, as `watch` and `ls --watch` print it.
#[derive(Clone, Copy, Debug, Serialize)]
pub(crate) struct EventJson<'a> {
    pub(crate) event: EventName,
    pub(crate) path: &'a str,
    #[serde(serialize_with = "zxid_text")]
    pub(crate) zxid: Option<Zxid>,
}

#[expect(clippy::ref_option, reason = "serde gives a reference to the field")]
fn zxid_text<S: serde::Serializer>(zxid: &Option<Zxid>, serializer: S) -> Result<S::Ok, S::Error> {
    match zxid {
        Some(zxid) => serializer.collect_str(zxid),
        None => serializer.serialize_none(),
    }
}

impl EventJson<'_> {
    /// Prints one line at once: whoever reads a stream wants it now.
    pub(crate) fn print(&self, format: Format) -> anyhow::Result<()> {
        print::bytes(self.line(format)?.as_bytes())?;
        Ok(())
    }

    fn line(&self, format: Format) -> anyhow::Result<String> {
        let zxid = self.zxid.map(|zxid| format!(" {zxid}")).unwrap_or_default();
        Ok(match format {
            Format::Json | Format::Jsonl => output::jsonl(self)?,
            Format::Table | Format::Raw => {
                format!("{:<8} {}{zxid}\n", self.event.as_str(), self.path)
            }
        })
    }
}

pub(crate) fn run(args: &Args) -> anyhow::Result<ExitCode> {
    connection::run(watch(args))
}

async fn watch(args: &Args) -> anyhow::Result<ExitCode> {
    let client = args.connection.open(&args.server).await?;
    let mode = if args.recursive { WatchMode::PersistentRecursive } else { WatchMode::Persistent };
    let path = &args.path;
    let fail = |error: Error| explain(error).context(format!("watch {path}"));
    // The watch first, then the look: nothing falls between them.
    let mut stream = client.add_watch(path, mode).await.map_err(fail)?;
    let mut left = args.count.unwrap_or(u64::MAX);
    if args.initial {
        for (path, zxid) in present(args, &client).await? {
            if left == 0 {
                break;
            }
            left -= 1;
            tell(args, EventJson { event: EventName::Created, path: &path, zxid: Some(zxid) })
                .await?;
        }
    }
    while left > 0 {
        let (event, path, zxid) = next(args, &mut stream).await.map_err(fail)?;
        left -= 1;
        tell(args, EventJson { event, path: &path, zxid }).await?;
    }
    connection::close(&client).await;
    Ok(ExitCode::SUCCESS)
}

/// The next event that was asked for.
async fn next(
    args: &Args,
    stream: &mut EventStream,
) -> Result<(EventName, String, Option<Zxid>), Error> {
    loop {
        match stream.next().await {
            None => return Err(Error::Closed),
            Some(Event::Resync) => return Ok((EventName::Resync, args.path.clone(), None)),
            Some(Event::Changed(event)) => {
                let name = EventName::from(event.kind);
                if name != EventName::Children || args.children {
                    return Ok((name, event.path, event.zxid));
                }
            }
        }
    }
}

/// What is there now, with the txns that created it.
async fn present(args: &Args, client: &Client) -> anyhow::Result<Vec<(String, Zxid)>> {
    let path = &args.path;
    let stat = client.exists(path).await;
    let stat = stat.map_err(|error| explain(error).context(format!("watch {path}")))?;
    let Some(stat) = stat else { return Ok(Vec::new()) };
    if !args.recursive {
        return Ok(vec![(path.clone(), stat.czxid)]);
    }
    let mut found = Vec::new();
    walk(client, path, |path, stat| {
        found.push((path.to_owned(), stat.map_or(Zxid::NONE, |stat| stat.czxid)));
        Ok(())
    })
    .await?;
    Ok(found)
}

/// Prints an event, or runs the command for it.
async fn tell(args: &Args, event: EventJson<'_>) -> anyhow::Result<()> {
    let Some((program, arguments)) = args.command.split_first() else {
        return event.print(args.out.output);
    };
    let zxid = event.zxid.map(|zxid| zxid.to_string()).unwrap_or_default();
    let status = Command::new(program)
        .args(arguments)
        .env("WATCHKEEPER_EVENT_TYPE", event.event.as_str())
        .env("WATCHKEEPER_EVENT_PATH", event.path)
        .env("WATCHKEEPER_EVENT_ZXID", zxid)
        .stdin(Stdio::null())
        .status()
        .await
        .with_context(|| format!("run {program}"))
        .map_err(|error| Code::Usage.of(error))?;
    if !status.success() {
        print::note(&format!("{program}: {status}"));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_have_the_documented_form() {
        let event = EventJson { event: EventName::Changed, path: "/a", zxid: Some(Zxid(18)) };
        let line = |event: EventJson<'_>, format| event.line(format).expect("a line");
        assert_eq!(
            line(event, Format::Jsonl),
            "{\"event\":\"changed\",\"path\":\"/a\",\"zxid\":\"0x12\"}\n"
        );
        assert_eq!(line(event, Format::Table), "changed  /a 0x12\n");
        let resync = EventJson { event: EventName::Resync, path: "/a", zxid: None };
        assert_eq!(
            line(resync, Format::Json),
            "{\"event\":\"resync\",\"path\":\"/a\",\"zxid\":null}\n"
        );
    }
}

//! `watchkeeper ls PATH`: the children of a znode, or all below it.

use std::collections::VecDeque;
use std::process::ExitCode;

use tokio::task::JoinHandle;
use wk_client::{Client, Error, ErrorCode, Event, EventType, Stat, WatchMode};

use super::connection::{self, ConnectionArgs, ServerArg, explain};
use super::output::{self, Format, OutputArg, PathJson};
use super::text;
use super::watch::{EventJson, EventName};
use crate::exit::Code;
use crate::print;

/// Lists of children asked for ahead of the one being printed.
const AHEAD: usize = 64;
/// Printed at once.
const BUFFER_LEN: usize = 32 * 1024;

/// List the children of a znode
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  watchkeeper ls /
  watchkeeper ls -l /app
  watchkeeper ls -R / -o jsonl              (one {\"path\"} a line)
  watchkeeper ls /workers --watch           (then whoever comes and goes)")]
pub(crate) struct Args {
    /// Path of the znode
    #[arg(default_value = "/", value_parser = text::path)]
    path: String,
    /// With version, size, number of children, age and owner
    #[arg(short)]
    long: bool,
    /// The znode and all below it, by full path
    #[arg(short = 'R', long, conflicts_with = "watch")]
    recursive: bool,
    /// Stay, and print children that come and go
    #[arg(short, long)]
    watch: bool,
    #[command(flatten)]
    out: OutputArg,
    #[command(flatten)]
    server: ServerArg,
    #[command(flatten)]
    connection: ConnectionArgs,
}

pub(crate) fn run(args: &Args) -> anyhow::Result<ExitCode> {
    connection::run(ls(args))
}

async fn ls(args: &Args) -> anyhow::Result<ExitCode> {
    let client = args.connection.open(&args.server).await?;
    let path = &args.path;
    let mut printer = Printer::new(args);
    if args.recursive {
        let hidden = walk(&client, path, |path, stat| printer.add(path, path, stat)).await?;
        printer.finish()?;
        if hidden > 0 {
            connection::close(&client).await;
            return Err(Code::Partly.of(anyhow::anyhow!("ls {path}: {hidden} znodes not readable")));
        }
    } else if args.watch {
        return follow(args, &client, printer).await;
    } else {
        let names = children(&client, path).await?;
        list(&client, &names, path, args.long, &mut printer).await?;
        printer.finish()?;
    }
    connection::close(&client).await;
    Ok(ExitCode::SUCCESS)
}

async fn children(client: &Client, path: &str) -> anyhow::Result<Vec<String>> {
    let names = client.children(path).await;
    let mut names = names.map_err(|error| explain(error).context(format!("ls {path}")))?;
    names.sort_unstable();
    Ok(names)
}

/// Prints one level, with stats where they are wanted: asked for together, not one by one.
async fn list(
    client: &Client,
    names: &[String],
    parent: &str,
    long: bool,
    printer: &mut Printer<'_>,
) -> anyhow::Result<()> {
    if !long {
        return names.iter().try_for_each(|name| printer.add(&join(parent, name), name, None));
    }
    for names in names.chunks(AHEAD) {
        let ask = |name: &String| {
            let (client, path) = (client.clone(), join(parent, name));
            tokio::spawn(async move { (client.exists(&path).await, path) })
        };
        let asked: Vec<_> = names.iter().map(ask).collect();
        for (name, asked) in names.iter().zip(asked) {
            let (stat, path) = asked.await?;
            match stat {
                Ok(Some(stat)) => printer.add(&path, name, Some(&stat))?,
                // Deleted since the list was read.
                Ok(None) => {}
                Err(error) => return Err(explain(error).context(format!("ls {path}"))),
            }
        }
    }
    Ok(())
}

/// The path of a child.
pub(crate) fn join(parent: &str, name: &str) -> String {
    if parent == "/" { format!("/{name}") } else { format!("{parent}/{name}") }
}

type Asked = JoinHandle<Result<(Vec<String>, Stat), Error>>;

/// The children of one znode that is being walked: those whose lists were asked for, then those
/// for later.
struct Level {
    asked: VecDeque<(String, Asked)>,
    later: std::vec::IntoIter<String>,
}

/// Visits a znode and all below it, parents first, children by name. The lists of siblings are
/// asked for ahead, so that a wide tree costs bandwidth and not round trips. What is deleted on
/// the way is left out. A znode whose ACL hides its children is visited without a stat; returned
/// is how many of these there were.
pub(crate) async fn walk(
    client: &Client,
    root: &str,
    mut visit: impl FnMut(&str, Option<&Stat>) -> anyhow::Result<()>,
) -> anyhow::Result<usize> {
    let mut hidden = 0;
    let ask = |path: String| {
        let (client, asked) = (client.clone(), path.clone());
        (path, tokio::spawn(async move { client.children_stat(&asked).await }))
    };
    let mut levels = vec![Level {
        asked: VecDeque::from([ask(root.to_owned())]),
        later: Vec::new().into_iter(),
    }];
    while let Some(level) = levels.last_mut() {
        while level.asked.len() < AHEAD
            && let Some(path) = level.later.next()
        {
            level.asked.push_back(ask(path));
        }
        let Some((path, asked)) = level.asked.pop_front() else {
            levels.pop();
            continue;
        };
        let (mut names, stat) = match asked.await? {
            Ok(found) => found,
            Err(Error::Server(ErrorCode::NoNode)) if path != root => continue,
            Err(Error::Server(ErrorCode::NoAuth)) if path != root => {
                hidden += 1;
                print::note(&format!("{path}: the ACL does not let us look below it"));
                visit(&path, None)?;
                continue;
            }
            Err(error) => return Err(explain(error).context(format!("ls {path}"))),
        };
        visit(&path, Some(&stat))?;
        names.sort_unstable();
        let below: Vec<String> = names.iter().map(|name| join(&path, name)).collect();
        levels.push(Level { asked: VecDeque::new(), later: below.into_iter() });
    }
    Ok(hidden)
}

/// Prints the list, then what changes, until it is interrupted.
async fn follow(
    args: &Args,
    client: &Client,
    mut printer: Printer<'_>,
) -> anyhow::Result<ExitCode> {
    let path = &args.path;
    let fail = |error: Error| explain(error).context(format!("ls {path}"));
    let mut stream = client.add_watch(path, WatchMode::Persistent).await.map_err(fail)?;
    let mut known = children(client, path).await?;
    list(client, &known, path, args.long, &mut printer).await?;
    printer.finish()?;
    while let Some(event) = stream.next().await {
        let zxid = match event {
            Event::Changed(event) if event.kind == EventType::NodeChildrenChanged => event.zxid,
            Event::Changed(event) if event.kind == EventType::NodeDeleted => event.zxid,
            Event::Changed(_) => continue,
            Event::Resync => {
                EventJson { event: EventName::Resync, path, zxid: None }.print(args.out.output)?;
                None
            }
        };
        let mut now = match client.children(path).await {
            Ok(names) => names,
            Err(Error::Server(ErrorCode::NoNode)) => Vec::new(),
            // The stream says resync once we are connected again.
            Err(Error::Unavailable | Error::ConnectionLoss(_) | Error::TimedOut(_)) => continue,
            Err(error) => return Err(fail(error)),
        };
        now.sort_unstable();
        let gone = known.iter().filter(|name| now.binary_search(name).is_err());
        let come = now.iter().filter(|name| known.binary_search(name).is_err());
        let changes = gone.map(|name| (EventName::Deleted, name));
        for (event, name) in changes.chain(come.map(|name| (EventName::Created, name))) {
            let path = &join(path, name);
            EventJson { event, path, zxid }.print(args.out.output)?;
        }
        known = now;
    }
    Err(fail(Error::Closed))
}

/// Collects rows and prints them as they fill a buffer; JSON is one array.
struct Printer<'a> {
    args: &'a Args,
    text: String,
    rows: usize,
    now: i64,
}

impl<'a> Printer<'a> {
    fn new(args: &'a Args) -> Self {
        Self { args, text: String::new(), rows: 0, now: output::now() }
    }

    fn add(&mut self, path: &str, name: &str, stat: Option<&Stat>) -> anyhow::Result<()> {
        let stat = stat.filter(|_| self.args.long);
        let document = || PathJson { path, stat: stat.map(Into::into) };
        match (self.args.out.output, stat) {
            (Format::Json, _) => {
                self.text += if self.rows == 0 { "[\n" } else { ",\n" };
                self.text += output::jsonl(&document())?.trim_end();
            }
            (Format::Jsonl, _) => self.text += &output::jsonl(&document())?,
            (Format::Table | Format::Raw, None) => {
                self.text += name;
                self.text.push('\n');
            }
            (Format::Table | Format::Raw, Some(stat)) => {
                if self.rows == 0 {
                    self.text += "VERSION    BYTES CHILDREN    AGE OWNER                NAME\n";
                }
                self.text += &self.row(stat, name);
            }
        }
        self.rows += 1;
        if self.text.len() >= BUFFER_LEN { self.flush() } else { Ok(()) }
    }

    fn row(&self, stat: &Stat, name: &str) -> String {
        let owner = match stat.ephemeral_owner {
            wk_client::SessionId::NONE => "-".to_owned(),
            session => session.to_string(),
        };
        let (version, bytes, children) = (stat.version, stat.data_length, stat.num_children);
        let age = output::age(stat.mtime.0, self.now);
        format!("{version:>7} {bytes:>8} {children:>8} {age:>6} {owner:<20} {name}\n")
    }

    fn flush(&mut self) -> anyhow::Result<()> {
        print::bytes(self.text.as_bytes())?;
        self.text.clear();
        Ok(())
    }

    fn finish(&mut self) -> anyhow::Result<()> {
        if self.args.out.output == Format::Json {
            self.text += if self.rows == 0 { "[]\n" } else { "\n]\n" };
        }
        self.flush()
    }
}

#[cfg(test)]
mod tests {
    use super::join;

    #[test]
    fn children_of_the_root_have_one_slash() {
        assert_eq!(join("/", "a"), "/a");
        assert_eq!(join("/a", "b"), "/a/b");
    }
}

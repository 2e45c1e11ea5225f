//! `watchkeeper member join [GROUP/]ID [-- CMD]`: shows that a node lives, for as long as it does.
//!
//! Layout: `/nodes/[GROUP/]ID`, persistent, says who should exist; its child `alive`, ephemeral,
//! says that it does. Leaving on purpose is written into the node's data before `alive` goes, so
//! that nobody is woken by a planned stop. An end that is no leaving must not look like one: then
//! `alive` is deleted but the session is not closed, since a session closed by its client counts
//! as leaving where the server's own records are at hand.

use std::process::ExitCode;
use std::time::Duration;

use anyhow::Context as _;
use serde_json::{Map, Value};
use tokio::process::{Child, Command};
use tokio::signal::unix::{Signal, SignalKind, signal};
use wk_client::{Client, CreateMode, Error, ErrorCode, SessionId, Watcher};

use super::connection::{self, ConnectionArgs, ServerArg, explain};
use super::text;
use crate::exit::{Code, CodeExt};
use crate::print;

/// The registry of nodes.
const ROOT: &str = "/nodes";
/// How long a goodbye is tried.
const GOODBYE_LIMIT: Duration = Duration::from_secs(5);

/// Be a member of the registry of nodes
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, clap::Subcommand)]
enum Verb {
    Join(JoinArgs),
}

/// Register a node and show it alive while this runs
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Without CMD the node lives until SIGINT or SIGTERM, which mean that it leaves: no alarm.
With CMD the node lives as long as CMD runs. If CMD exits with 0, or we get SIGTERM, it has left;
at any other end it is down. Signals are passed on to CMD, and its exit code is ours.

Examples:
  watchkeeper member join web-1
  watchkeeper member join shop/web-1 -- ./server --port 8080
  watchkeeper member join db/node-3 --data '{\"zone\":\"a\"}' -- postgres")]
struct JoinArgs {
    /// The node's name, in a group if there is one
    #[arg(value_name = "[GROUP/]ID", value_parser = node_path)]
    id: String,
    /// Metadata of the node: text, @FILE, or - for stdin; JSON is best
    #[arg(long, value_name = "DATA")]
    data: Option<String>,
    /// Replace the `alive` of an older session of the same node instead of waiting for its end
    #[arg(long)]
    take_over: bool,
    /// The program to run, without a shell
    #[arg(last = true, value_name = "CMD")]
    command: Vec<String>,
    #[command(flatten)]
    server: ServerArg,
    #[command(flatten)]
    connection: ConnectionArgs,
}

pub(crate) fn run(args: &Args) -> anyhow::Result<ExitCode> {
    let Verb::Join(args) = &args.verb;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let result = runtime.block_on(join(args));
    runtime.shutdown_background();
    result
}

/// Reads `ID` or `GROUP/ID` and returns the znode's path.
fn node_path(text: &str) -> Result<String, String> {
    let parts: Vec<&str> = text.split('/').collect();
    let legal = |part: &&str| !part.is_empty() && *part != "." && *part != ".." && *part != "alive";
    if parts.len() > 2 || !parts.iter().all(legal) {
        return Err("must be ID or GROUP/ID; `alive` is taken".to_owned());
    }
    Ok(format!("{ROOT}/{text}"))
}

/// The signals that a service manager or a person sends.
struct Signals {
    interrupt: Signal,
    terminate: Signal,
    hangup: Signal,
}

impl Signals {
    fn new() -> anyhow::Result<Self> {
        Ok(Self {
            interrupt: signal(SignalKind::interrupt())?,
            terminate: signal(SignalKind::terminate())?,
            hangup: signal(SignalKind::hangup())?,
        })
    }

    async fn next(&mut self) -> SignalKind {
        tokio::select! {
            _ = self.interrupt.recv() => SignalKind::interrupt(),
            _ = self.terminate.recv() => SignalKind::terminate(),
            _ = self.hangup.recv() => SignalKind::hangup(),
        }
    }
}

/// How a member's time ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    /// On purpose.
    Left(u8),
    /// Not on purpose.
    Down(u8),
}

async fn join(args: &JoinArgs) -> anyhow::Result<ExitCode> {
    let data = args.data.as_deref().map(text::value).transpose().code(Code::Usage)?;
    let mut signals = Signals::new()?;
    let client = tokio::select! {
        client = args.connection.open(&args.server) => client?,
        kind = signals.next() => return Ok(ExitCode::from(by_signal(kind.as_raw_value()))),
    };
    let member = Member { client, path: args.id.clone(), take_over: args.take_over };
    let registered = async {
        member.register(data.as_deref()).await?;
        member.show_alive().await
    };
    let watcher = tokio::select! {
        watcher = registered => {
            watcher.map_err(|error| explain(error).context(format!("join {}", args.id)))?
        }
        kind = signals.next() => {
            connection::close(&member.client).await;
            return Ok(ExitCode::from(by_signal(kind.as_raw_value())));
        }
    };
    print::note(&format!("{} is alive", member.path));
    // Only now, under the new `alive`, the mark of an earlier leaving is taken away.
    if let Err(error) = member.renew_metadata().await {
        // It is cancelled by the later `alive` all the same.
        print::note(&format!("{}: its data is that of an earlier life: {error}", member.path));
    }
    let end = {
        let keeping = member.keep_alive(watcher);
        tokio::pin!(keeping);
        tokio::select! {
            end = live(args, &member, &mut signals) => end,
            error = &mut keeping => {
                return Err(explain(error).context(format!("keep {} alive", member.path)));
            }
        }
    };
    let end = match end {
        Ok(end) => end,
        Err(error) => {
            // The program never ran: that is the caller's mistake and no failure of the node.
            member.leave().await;
            return Err(error);
        }
    };
    match end {
        End::Left(_) => member.leave().await,
        End::Down(_) => member.go_down().await,
    }
    let (End::Left(code) | End::Down(code)) = end;
    Ok(ExitCode::from(code))
}

/// Runs the program, or waits for a signal.
async fn live(args: &JoinArgs, member: &Member, signals: &mut Signals) -> anyhow::Result<End> {
    let Some((program, arguments)) = args.command.split_first() else {
        loop {
            let kind = signals.next().await;
            if kind != SignalKind::hangup() {
                return Ok(End::Left(by_signal(kind.as_raw_value())));
            }
        }
    };
    let child = Command::new(program)
        .args(arguments)
        .env("WATCHKEEPER_NODE", &member.path)
        .env("WATCHKEEPER_SESSION", member.client.session().to_string())
        .spawn()
        .with_context(|| format!("run {program}"));
    let mut child = child.map_err(|error| crate::exit::coded(127, error))?;
    let mut leaving = false;
    loop {
        let status = tokio::select! {
            status = child.wait() => status?,
            kind = signals.next() => {
                if kind == SignalKind::terminate() && !leaving {
                    leaving = true;
                    // Said before the program stops, so that its end finds it written.
                    member.say_leaving().await;
                }
                pass_on(&child, kind);
                continue;
            }
        };
        let code = exit_code(status);
        let left = leaving || status.success();
        return Ok(if left { End::Left(code) } else { End::Down(code) });
    }
}

fn pass_on(child: &Child, kind: SignalKind) {
    let pid = child.id().and_then(|pid| i32::try_from(pid).ok());
    let pid = pid.and_then(rustix::process::Pid::from_raw);
    let signal = rustix::process::Signal::from_named_raw(kind.as_raw_value());
    if let (Some(pid), Some(signal)) = (pid, signal) {
        // It may have ended in this very moment; then `wait` says so.
        let _ = rustix::process::kill_process(pid, signal);
    }
}

/// The program's own code, or 128 and the signal that ended it.
fn exit_code(status: std::process::ExitStatus) -> u8 {
    use std::os::unix::process::ExitStatusExt;
    match (status.code(), status.signal()) {
        (Some(code), _) => u8::try_from(code).unwrap_or(1),
        (None, Some(signal)) => by_signal(signal),
        (None, None) => 1,
    }
}

fn by_signal(signal: i32) -> u8 {
    u8::try_from(128 + signal).unwrap_or(u8::MAX)
}

/// A node that this process stands for.
struct Member {
    client: Client,
    path: String,
    take_over: bool,
}

impl Member {
    fn alive(&self) -> String {
        format!("{}/alive", self.path)
    }

    /// Creates what is missing of the node and those above it.
    async fn register(&self, data: Option<&[u8]>) -> Result<(), Error> {
        let slashes = self.path.match_indices('/').skip(1).map(|(at, _)| &self.path[..at]);
        for above in slashes {
            create_if_missing(&self.client, above, None).await?;
        }
        let metadata = data.map_or_else(default_metadata, <[u8]>::to_vec);
        let is_new = create_if_missing(&self.client, &self.path, Some(&metadata)).await?;
        if let Some(data) = data
            && !is_new
        {
            self.client.set(&self.path, data, None).await?;
        }
        Ok(())
    }

    /// Creates `alive` for our session and watches it.
    async fn show_alive(&self) -> Result<Watcher, Error> {
        let alive = self.alive();
        loop {
            // As servers before 3.5 can, too.
            let created = self.client.create_plain(&alive, None, CreateMode::Ephemeral).await;
            match created {
                Ok(_) | Err(Error::Server(ErrorCode::NodeExists)) => {}
                // Created or not, the look below tells: the owner is our session or it is not.
                Err(error) if error.is_ambiguous() => {}
                Err(error) => return Err(error),
            }
            let (stat, mut watcher) = match self.client.exists_watch(&alive).await {
                Ok((Some(stat), watcher)) => (stat, watcher),
                Ok((None, _)) | Err(Error::ConnectionLoss(_)) => continue,
                Err(error) => return Err(error),
            };
            if stat.ephemeral_owner == self.client.session() {
                return Ok(watcher);
            }
            self.give_way(stat.ephemeral_owner, stat.version, &mut watcher).await?;
        }
    }

    /// Another session holds `alive`: replaces it, or waits for it to go.
    async fn give_way(
        &self,
        owner: SessionId,
        version: i32,
        watcher: &mut Watcher,
    ) -> Result<(), Error> {
        let alive = self.alive();
        if self.take_over {
            return match self.client.delete(&alive, Some(version)).await {
                Ok(()) | Err(Error::Server(ErrorCode::NoNode)) => Ok(()),
                Err(error) => Err(error),
            };
        }
        print::note(&format!("{alive} belongs to session {owner}: waiting for its end"));
        match watcher.fired().await {
            // A lost session of ours: the next round runs in the new one.
            Ok(_) | Err(Error::SessionLost) => Ok(()),
            Err(error) => Err(error),
        }
    }

    /// Creates `alive` again whenever it is gone: after a lost session, or if somebody deleted it.
    /// Ends only with an error that repeating does not mend.
    async fn keep_alive(&self, mut watcher: Watcher) -> Error {
        loop {
            match watcher.fired().await {
                Ok(_) => print::note(&format!("{}: changed by somebody else", self.alive())),
                Err(Error::SessionLost) => print::note("session lost: joining again"),
                Err(error) => return error,
            }
            watcher = loop {
                match self.show_alive().await {
                    Ok(watcher) => break watcher,
                    Err(
                        Error::Unavailable
                        | Error::ConnectionLoss(_)
                        | Error::TimedOut(_)
                        | Error::SessionLost,
                    ) => {}
                    // The whole node was removed: it should no longer exist, says somebody. We
                    // live, so it is registered again.
                    Err(Error::Server(ErrorCode::NoNode)) => {
                        if let Err(error) = self.register(None).await {
                            print::note(&format!("register {}: {error}", self.path));
                            tokio::time::sleep(Duration::from_secs(1)).await;
                        }
                    }
                    Err(error) => return error,
                }
            };
        }
    }

    /// Takes an earlier `leaving` out of the data and, where we described the node ourselves,
    /// describes it anew; leaves what others wrote as it is.
    async fn renew_metadata(&self) -> Result<(), Error> {
        let znode = self.client.get(&self.path).await?;
        let Some(data) = renewed(znode.data.as_deref(), default_metadata()) else { return Ok(()) };
        match self.client.set(&self.path, &data, Some(znode.stat.version)).await {
            // Whoever was faster knows better.
            Ok(_) | Err(Error::Server(ErrorCode::BadVersion)) => Ok(()),
            Err(error) => Err(error),
        }
    }

    /// Writes `leaving` into the node's data.
    async fn say_leaving(&self) {
        let client = self.client.with_timeout(GOODBYE_LIMIT);
        let say = async {
            let znode = client.get(&self.path).await?;
            let data = with_leaving(znode.data.as_deref());
            client.set(&self.path, &data, None).await
        };
        if let Err(error) = say.await {
            print::note(&format!("cannot say that {} leaves: {error}", self.path));
        }
    }

    /// Goes on purpose.
    async fn leave(&self) {
        self.say_leaving().await;
        let _ = self.client.with_timeout(GOODBYE_LIMIT).close().await;
    }

    /// Goes as a failure: at once, and without the look of a leaving.
    async fn go_down(&self) {
        let client = self.client.with_timeout(GOODBYE_LIMIT);
        if let Err(error) = client.delete(&self.alive(), None).await {
            print::note(&format!("cannot delete {}: {error}; it will expire", self.alive()));
        }
        self.client.abandon().await;
    }
}

/// Creates a persistent znode; returns whether it is new.
async fn create_if_missing(
    client: &Client,
    path: &str,
    data: Option<&[u8]>,
) -> Result<bool, Error> {
    match client.create_plain(path, data, CreateMode::Persistent).await {
        Ok(_) => Ok(true),
        Err(Error::Server(ErrorCode::NodeExists)) => Ok(false),
        Err(error) => Err(error),
    }
}

/// What is written about a node that nobody described.
fn default_metadata() -> Vec<u8> {
    let mut metadata = Map::new();
    if let Ok(host) = std::fs::read_to_string("/proc/sys/kernel/hostname") {
        metadata.insert("host".to_owned(), host.trim().into());
    }
    metadata.insert("pid".to_owned(), std::process::id().into());
    Value::Object(metadata).to_string().into_bytes()
}

fn object(data: Option<&[u8]>) -> Option<Map<String, Value>> {
    serde_json::from_slice(data?).ok()
}

/// The data with the mark: inside a JSON object, else instead of what was there.
fn with_leaving(data: Option<&[u8]>) -> Vec<u8> {
    match object(data) {
        Some(mut object) => {
            object.insert("state".to_owned(), "leaving".into());
            Value::Object(object).to_string().into_bytes()
        }
        None => b"state=leaving".to_vec(),
    }
}

/// The data of a node that lives again; `None` if it may stay as it is. `ours` is what we write
/// about a node that nobody described.
fn renewed(data: Option<&[u8]>, ours: Vec<u8>) -> Option<Vec<u8>> {
    if data == Some(b"state=leaving") {
        return Some(ours);
    }
    let mut object = object(data)?;
    let had_mark = object.get("state").is_some_and(|state| state == "leaving");
    if had_mark {
        object.remove("state");
    }
    if object.keys().all(|key| key == "host" || key == "pid") {
        return (data != Some(&ours)).then_some(ours);
    }
    had_mark.then(|| Value::Object(object).to_string().into_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_one_or_two_parts() {
        assert_eq!(node_path("web-1"), Ok("/nodes/web-1".to_owned()));
        assert_eq!(node_path("shop/web-1"), Ok("/nodes/shop/web-1".to_owned()));
        for bad in ["", "/a", "a/", "a/b/c", "alive", "a/alive", "..", "a/."] {
            assert!(node_path(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn leaving_keeps_metadata_and_goes_without_a_trace() {
        let data = br#"{"zone":"a"}"#;
        let leaving = with_leaving(Some(data));
        assert_eq!(leaving, br#"{"state":"leaving","zone":"a"}"#);
        let ours = br#"{"host":"h","pid":2}"#;
        let renewed = |data| renewed(data, ours.to_vec());
        assert_eq!(renewed(Some(&leaving)).as_deref(), Some(&data[..]));
        assert_eq!(renewed(Some(data)), None);
        let earlier = br#"{"host":"h","pid":1,"state":"leaving"}"#;
        assert_eq!(renewed(Some(earlier)).as_deref(), Some(&ours[..]));
        assert_eq!(renewed(Some(ours)), None);
        assert_eq!(with_leaving(Some(b"text")), b"state=leaving");
        assert_eq!(with_leaving(None), b"state=leaving");
        assert_eq!(renewed(Some(b"state=leaving")).as_deref(), Some(&ours[..]));
        assert_eq!(renewed(Some(br#"{"state":"busy"}"#)), None);
        assert_eq!(renewed(Some(b"text")), None);
    }

    #[test]
    fn signals_are_128_and_their_number() {
        assert_eq!(by_signal(15), 143);
    }
}

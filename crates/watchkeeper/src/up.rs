//! `watchkeeper up`: server, monitor and web in one process; or monitor and web for an ensemble
//! that is there already.

pub(crate) mod incidents;
pub(crate) mod settings;
pub(crate) mod stack;

use std::fmt::Write as _;
use std::path::PathBuf;
use std::process::ExitCode;

use wk_monitor::Lang;

use crate::exit::coded;
use crate::logging::LogArgs;
use crate::print;
use crate::signals::Signals;
use incidents::Incidents;
use settings::Settings;
use stack::{End, Stack};

/// Start server, monitor and web together, or watch an ensemble that is there
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Everything listens on loopback unless told otherwise; nothing but the client and the web port is
opened. Incidents appear here, on the web page and in every channel of --notify.

Examples:
  watchkeeper up
  watchkeeper up zk1:2181,zk2:2181,zk3:2181
  watchkeeper up zk1:2181,zk2:2181,zk3:2181 --tap
  watchkeeper up --notify 'smtp://mail.example:25?from=wk@example.com&to=you@example.com'
  watchkeeper up --notify 'dingtalk://${DINGTALK_TOKEN}?secret=${DINGTALK_SECRET}'
  watchkeeper up --client 127.0.0.1:2182 --web 127.0.0.1:7182 --data ./second")]
pub(crate) struct Args {
    /// Servers of an ensemble to watch instead of starting a server here
    #[arg(value_name = "HOST:PORT", value_delimiter = ',', conflicts_with = "client")]
    servers: Vec<String>,
    /// Where our own server takes clients [default: 127.0.0.1:2181]
    #[arg(long, value_name = "ADDR")]
    client: Option<String>,
    /// Where pages, API and metrics are [default: 127.0.0.1:7181]
    #[arg(long, value_name = "ADDR")]
    web: Option<String>,
    /// Where data is kept [default: ./watchkeeper-data]
    #[arg(long, value_name = "DIR")]
    data: Option<PathBuf>,
    /// A watchkeeper.toml; options win over it
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Whom to tell: webhook+http(s)://, dingtalk:// or smtp(s)://; may be repeated
    #[arg(long, value_name = "[NAME=]URL")]
    notify: Vec<String>,
    /// Follow the transactions of every ensemble as an observer (docs/tap.md); needs the leader's
    /// quorum port. Our own server gives its stream without one
    #[arg(long)]
    tap: bool,
    /// Language of texts: en or zh [default: by LC_ALL, LC_MESSAGES, LANG]
    #[arg(long, value_name = "LANG", value_parser = language)]
    lang: Option<Lang>,
    /// Let the web pages be reached from other machines, though there are no logins yet
    #[arg(long)]
    insecure: bool,
    #[command(flatten)]
    log: LogArgs,
}

pub(crate) fn language(text: &str) -> Result<Lang, String> {
    match text {
        "en" => Ok(Lang::En),
        "zh" => Ok(Lang::Zh),
        _ => Err("must be en or zh".to_owned()),
    }
}

pub(crate) fn run(args: &Args) -> anyhow::Result<ExitCode> {
    args.log.init("warn").map_err(|err| coded(2, err.context("--log-level")))?;
    let settings = Settings::read(args)?;
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let result = runtime.block_on(serve(settings));
    runtime.shutdown_background();
    result
}

async fn serve(settings: Settings) -> anyhow::Result<ExitCode> {
    let mut signals = Signals::new()?;
    let lang = settings.lang;
    let mut stack = Stack::start(settings).await?;
    print::bytes(greeting(&stack, lang).as_bytes())?;
    let mut incidents = Incidents::follow(stack.handle(), stack.url(), lang);
    let end = tokio::select! {
        end = stack.ended() => end,
        () = incidents.print_all() => End::Monitor,
        _ = signals.end() => End::Signal,
    };
    if matches!(end, End::Signal) {
        print::note(choose(lang, "stopping", "正在停止"));
    }
    let stopped = tokio::select! {
        stopped = stack.stop() => stopped,
        // Asked twice: what is on its way is not waited for.
        name = signals.end() => Err(anyhow::anyhow!("stopped at once by {name}")),
    };
    end.result().and(stopped)
}

pub(crate) fn choose<T>(lang: Lang, en: T, zh: T) -> T {
    match lang {
        Lang::En => en,
        Lang::Zh => zh,
    }
}

/// Fills up to `width` columns of a terminal, on which a Chinese character takes two.
pub(crate) fn padded(text: &str, width: usize) -> String {
    let columns: usize = text.chars().map(|c| if c.is_ascii() { 1 } else { 2 }).sum();
    format!("{text}{}", " ".repeat(width.saturating_sub(columns)))
}

/// What was done, and what to try next.
fn greeting(stack: &Stack, lang: Lang) -> String {
    let mut out = String::new();
    let t = |en, zh| choose(lang, en, zh);
    let _ = writeln!(out, "Watchkeeper {}\n", env!("CARGO_PKG_VERSION"));
    if let Some(addr) = stack.client_addr() {
        let _ = writeln!(out, "  {} {addr}", padded(t("server", "服务器"), 12));
    }
    for (name, servers) in stack.watched() {
        let _ =
            writeln!(out, "  {} {name}: {}", padded(t("watching", "监视"), 12), servers.join(", "));
    }
    let _ = writeln!(out, "  {} {}", padded(t("web", "网页"), 12), stack.url());
    let _ = writeln!(out, "  {} {}", padded(t("data", "数据"), 12), stack.data().display());
    let told = match stack.channels() {
        [] => t("nobody yet: add --notify URL", "还没有人：请加上 --notify URL").to_owned(),
        names => names.join(", "),
    };
    let _ = writeln!(out, "  {} {told}\n", padded(t("told", "通知"), 12));
    let _ =
        writeln!(out, "{}", t("Try next, in another terminal:", "接下来可以在另一个终端尝试："));
    for command in tries(stack) {
        let _ = writeln!(out, "  {command}");
    }
    let _ = writeln!(
        out,
        "\n{}",
        t("Incidents follow here; Ctrl-C stops.", "事件会显示在下面；按 Ctrl-C 停止。")
    );
    out
}

/// Commands that work as printed, with what differs from the defaults.
fn tries(stack: &Stack) -> Vec<String> {
    let server = match stack.first_server() {
        "127.0.0.1:2181" => String::new(),
        server => format!(" -s {server}"),
    };
    let monitor = match stack.url() {
        "http://127.0.0.1:7181" => String::new(),
        url => format!(" --monitor {url}"),
    };
    vec![
        format!("watchkeeper ls{server} /"),
        format!("watchkeeper member join{server} web/one -- sleep 1000"),
        format!("watchkeeper status{monitor}"),
    ]
}

//! The pages for people, rendered on the server and readable without JavaScript.
//!
//! Pure functions from what the monitor's handle gave to HTML. maud escapes every value; nothing
//! here marks text as already escaped.

mod audit;
mod fleet;
mod incident;
mod notice;
mod rules;
mod silences;

pub(crate) use audit::audit;
pub(crate) use fleet::fleet;
pub(crate) use incident::{Detail, incident};
pub(crate) use notice::{Notice, notice};
pub(crate) use rules::rules;
pub(crate) use silences::{Quiet, silences};

use maud::{DOCTYPE, Markup, html};
use wk_monitor::{Level, Timestamp};

use crate::assets;
use crate::guard::FormTokens;
use crate::lang::{Clock, Lang};

/// What every page needs to know about its reader and its moment.
#[derive(Debug)]
pub(crate) struct Context<'a> {
    pub(crate) lang: Lang,
    pub(crate) clock: Clock,
    pub(crate) tokens: &'a FormTokens,
    pub(crate) version: &'a str,
    /// Path of this page, for the links that change the language.
    pub(crate) path: String,
}

impl Context<'_> {
    /// `for 2 min 11 s`, kept running by the script.
    fn since(&self, at: Timestamp) -> Markup {
        let text = self.lang.duration(at.seconds_until(self.clock.now));
        html! { time datetime=(at) data-since title=(self.clock.time(at)) { (text) } }
    }

    /// A point in time.
    fn at(&self, at: Timestamp) -> Markup {
        html! { time datetime=(at) { (self.clock.time(at)) } }
    }

    /// The hidden proof that a form is ours.
    fn token(&self, action: &str) -> Markup {
        html! { input type="hidden" name="token" value=(self.tokens.token(action)); }
    }
}

/// A coloured word; the shape before it says the same without colour.
fn pill(tone: &str, text: &str) -> Markup {
    html! { span class={ "pill " (tone) } { span.shape aria-hidden="true" {} (text) } }
}

/// The class of a level.
fn tone(level: Level) -> &'static str {
    match level {
        Level::Ok => "ok",
        Level::Unknown => "unknown",
        Level::Warning => "warning",
        Level::Critical => "critical",
    }
}

/// How a page follows what happens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Pace {
    /// At once; without a script every ten seconds.
    Live,
    /// Every five seconds; without a script every ten.
    Slow,
    /// As slow, but without a script never: a form would be emptied under somebody's hands.
    Form,
    /// Not at all.
    Still,
}

impl Pace {
    /// Least milliseconds between two readings by the script; 0 is never.
    fn millis(self) -> u32 {
        match self {
            Self::Live => 500,
            Self::Slow | Self::Form => 5000,
            Self::Still => 0,
        }
    }
}

/// Puts `main` into the frame of all pages.
fn frame(ctx: &Context<'_>, title: &str, pace: Pace, main: &Markup) -> Markup {
    let lang = ctx.lang;
    let reloads = matches!(pace, Pace::Live | Pace::Slow);
    html! {
        (DOCTYPE)
        html lang=(lang.tag()) {
            head {
                meta charset="utf-8";
                title { (title) }
                meta name="viewport" content="width=device-width, initial-scale=1";
                meta name="color-scheme" content="light dark";
                link rel="icon" type="image/svg+xml" href=(assets::ICON);
                link rel="stylesheet" href=(assets::STYLE);
                script src=(assets::SCRIPT) defer {}
                @if reloads { noscript { meta http-equiv="refresh" content="10"; } }
            }
            body {
                a.skip href="#main" { (lang.of("Skip to content", "跳到正文")) }
                header.top {
                    a.brand href="/" { span.mark aria-hidden="true" {} "Watchkeeper" }
                    (navigation(ctx))
                    span.live role="status"
                        data-on=(lang.of("live", "实时"))
                        data-off=(lang.of("not live: trying again", "未连接，正在重试")) {}
                }
                main id="main" tabindex="-1" data-pace=(pace.millis()) { (main) }
                (footer(ctx))
            }
        }
    }
}

fn navigation(ctx: &Context<'_>) -> Markup {
    let lang = ctx.lang;
    let places = [
        ("/", lang.of("Fleet", "总览")),
        ("/silences", lang.of("Silences", "静默")),
        ("/rules", lang.of("Rules", "规则")),
        ("/audit", lang.of("Audit", "审计")),
    ];
    html! {
        nav.places aria-label=(lang.of("Pages", "页面")) {
            @for (path, name) in places {
                a href=(path) aria-current=[(ctx.path == path).then_some("page")] { (name) }
            }
        }
    }
}

/// A value of a query, so that no character of it means anything in an address.
fn encoded(value: &str) -> String {
    let mut out = String::with_capacity(value.len());
    for byte in value.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            out.push(char::from(byte));
        } else {
            out.extend(['%', HEX[usize::from(byte >> 4)], HEX[usize::from(byte & 15)]]);
        }
    }
    out
}

const HEX: [char; 16] =
    ['0', '1', '2', '3', '4', '5', '6', '7', '8', '9', 'A', 'B', 'C', 'D', 'E', 'F'];

fn footer(ctx: &Context<'_>) -> Markup {
    let lang = ctx.lang;
    let (other, name) = lang.of(("zh", "中文"), ("en", "English"));
    html! {
        footer {
            nav aria-label=(lang.of("More", "更多")) {
                a href="/api/v1/incidents" { "API" }
                a href="/metrics" { (lang.of("Metrics", "指标")) }
                a href="/healthz" { (lang.of("Health", "健康检查")) }
                a href={ (ctx.path) "?lang=" (other) } lang=(other) { (name) }
            }
            p {
                "Watchkeeper " (ctx.version) " · "
                (lang.of("times in ", "时区 ")) (ctx.clock.zone())
            }
        }
    }
}

/// `1 234 567` with thin spaces: long counts stay readable.
fn grouped(count: u64) -> String {
    let digits = count.to_string();
    let mut out = String::with_capacity(digits.len() * 2);
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            out.push('\u{202f}');
        }
        out.push(digit);
    }
    out
}

/// `4.2 ms`, `1.3 s`.
fn short_seconds(seconds: f64) -> String {
    if seconds < 0.9995 {
        let ms = seconds * 1000.0;
        return if ms < 9.95 { format!("{ms:.1} ms") } else { format!("{ms:.0} ms") };
    }
    format!("{seconds:.1} s")
}

#[cfg(test)]
mod tests;

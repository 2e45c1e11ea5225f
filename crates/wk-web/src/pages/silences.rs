//! Silences and maintenance: of what nobody is told, until when, who wants it and why; and the
//! forms that begin and end such times.

use maud::{Markup, html};
use wk_monitor::{Fleet, Maintenance, Silence, Term};

use super::{Context, Pace, frame, pill};
use crate::lang::Lang;

/// How long a silence may be asked for here; any time goes by the command line and the API.
const TIMES: [(u32, &str, &str); 8] = [
    (1800, "30 minutes", "30 分钟"),
    (3600, "1 hour", "1 小时"),
    (7200, "2 hours", "2 小时"),
    (14_400, "4 hours", "4 小时"),
    (28_800, "8 hours", "8 小时"),
    (86_400, "1 day", "1 天"),
    (259_200, "3 days", "3 天"),
    (604_800, "1 week", "1 周"),
];
/// What is chosen at first.
const TIME_DEFAULT: u32 = 3600;
/// Those in force that are listed, of each kind; the others are counted.
const ACTIVE_MAX: usize = 200;
/// What is over and still listed, of each kind.
const OVER_MAX: usize = 100;

/// What the page shows.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Quiet<'a> {
    pub(crate) silences: &'a [Silence],
    pub(crate) windows: &'a [Maintenance],
    pub(crate) fleet: &'a Fleet,
    /// Conditions that the form begins with.
    pub(crate) matchers: &'a str,
    /// Whether what is over is listed too.
    pub(crate) over: bool,
}

/// Draws the page.
pub(crate) fn silences(ctx: &Context<'_>, quiet: &Quiet<'_>) -> Markup {
    let lang = ctx.lang;
    let main = html! {
        h1 { (lang.of("Silences and maintenance", "静默与维护")) }
        p.quiet { (lang.of(
            "Faults are found, shown and kept all the same; nobody is told of them. What lasts \
             when the time ends is told then.",
            "故障照常发现、显示和保存，只是不通知任何人；到期时仍存在的故障会立即通知。",
        )) }
        (silence_list(ctx, quiet))
        (window_list(ctx, quiet))
        p {
            @if quiet.over {
                a href="/silences" { (lang.of("Hide those that are over", "隐藏已结束的")) }
            } @else {
                a href="/silences?all=true" { (lang.of("Show those that are over", "显示已结束的")) }
            }
        }
    };
    let title = lang.of("Silences · Watchkeeper", "静默 · Watchkeeper");
    frame(ctx, title, Pace::Form, &main)
}

fn silence_list(ctx: &Context<'_>, quiet: &Quiet<'_>) -> Markup {
    let lang = ctx.lang;
    let (active, over): (Vec<_>, Vec<_>) = quiet.silences.iter().partition(|s| s.term.active);
    let over = over.into_iter().filter(|_| quiet.over).take(OVER_MAX);
    let more = active.len().saturating_sub(ACTIVE_MAX);
    html! {
        section.panel {
            h2 { (lang.of("Silences", "静默")) }
            @if active.is_empty() {
                p.quiet { (lang.of("None in force.", "当前没有生效的静默。")) }
            }
            ul.terms {
                @for silence in active.into_iter().take(ACTIVE_MAX).chain(over) {
                    (term(ctx, &silence.id, &silence.matchers, &silence.term,
                        &format!("/silences/{}/end", silence.id)))
                }
            }
            (left_out(lang, more))
            details data-key="add" open[!quiet.matchers.is_empty()] {
                summary { (lang.of("Add a silence", "添加静默")) }
                form.fields method="post" action="/silences" {
                    (ctx.token("/silences"))
                    label for="matchers" { (lang.of(
                        "Conditions, one a line; all must be met",
                        "条件，每行一个，须全部满足",
                    )) }
                    textarea id="matchers" name="matchers" rows="3" required maxlength="4000"
                        spellcheck="false" placeholder="rule=NodeDown\nnode=~web-.*" {
                        (quiet.matchers)
                    }
                    p.quiet { (lang.of(
                        "NAME=VALUE, NAME!=VALUE, NAME=~REGEX, NAME!~REGEX over rule, severity, \
                         ensemble, instance, group, node and the alert's own labels.",
                        "NAME=VALUE、NAME!=VALUE、NAME=~正则、NAME!~正则；标签有 rule、severity、\
                         ensemble、instance、group、node 以及告警自身的标签。",
                    )) }
                    (term_fields(lang, "silence"))
                    button.primary type="submit" { (lang.of("Silence", "静默")) }
                }
            }
        }
    }
}

fn window_list(ctx: &Context<'_>, quiet: &Quiet<'_>) -> Markup {
    let lang = ctx.lang;
    let (active, over): (Vec<_>, Vec<_>) = quiet.windows.iter().partition(|w| w.term.active);
    let over = over.into_iter().filter(|_| quiet.over).take(OVER_MAX);
    let more = active.len().saturating_sub(ACTIVE_MAX);
    html! {
        section.panel id="maintenance" {
            h2 { (lang.of("Maintenance", "维护")) }
            @if active.is_empty() {
                p.quiet { (lang.of("Nothing is being worked on.", "当前没有维护。")) }
            }
            ul.terms {
                @for window in active.into_iter().take(ACTIVE_MAX).chain(over) {
                    (term(ctx, &window.id, &[target(window)], &window.term,
                        &format!("/maintenance/{}/end", window.id)))
                }
            }
            (left_out(lang, more))
            details data-key="begin" {
                summary { (lang.of("Begin maintenance", "开始维护")) }
                form.fields method="post" action="/maintenance" {
                    (ctx.token("/maintenance"))
                    label for="target" { (lang.of("What is worked on", "维护对象")) }
                    select id="target" name="target" required { (targets(lang, quiet.fleet)) }
                    p.quiet { (lang.of(
                        "A lost quorum and diverged data are told nevertheless.",
                        "丢失法定人数和数据分歧仍会通知。",
                    )) }
                    (term_fields(lang, "maintenance"))
                    button.primary type="submit" { (lang.of("Begin", "开始")) }
                }
            }
        }
    }
}

/// How many more are in force than are listed.
fn left_out(lang: Lang, more: usize) -> Markup {
    html! {
        @if more > 0 {
            p.quiet { (lang.of(
                format!("and {more} older ones in force: watchkeeper silence ls, maintenance ls"),
                format!("另有 {more} 个较早的生效中：见 watchkeeper silence ls、maintenance ls"),
            )) }
        }
    }
}

fn target(window: &Maintenance) -> String {
    let server = window.server.as_ref().map_or(String::new(), |server| format!("/{server}"));
    format!("{}{server}", window.ensemble)
}

fn targets(lang: Lang, fleet: &Fleet) -> Markup {
    html! {
        @for (at, ensemble) in fleet.ensembles.iter().enumerate() {
            option value=(ensemble.name) selected[at == 0] {
                (ensemble.name) (lang.of(": all of it", "：整个集群"))
            }
            @for server in &ensemble.servers {
                option value={ (ensemble.name) "/" (server.instance) } {
                    (ensemble.name) "/" (server.instance)
                }
            }
        }
    }
}

/// One silence or window: what, until when, by whom, why, and the form that ends it.
fn term(ctx: &Context<'_>, id: &str, what: &[String], term: &Term, end: &str) -> Markup {
    let lang = ctx.lang;
    let field = format!("by-{id}");
    html! {
        li {
            div.what {
                @for one in what { code { (one) } }
                @if !term.active { (pill("unknown", lang.of("over", "已结束"))) }
            }
            p.quiet {
                span.id { (id) } " · "
                @if term.active { (lang.of("until ", "至 ")) } @else { (lang.of("ended ", "结束于 ")) }
                (ctx.at(term.ends_at)) " · " (lang.of("by ", "由 ")) (term.by)
                @if let Some(by) = &term.ended_by { (lang.of(", ended by ", "，结束者 ")) (by) }
            }
            @if !term.reason.is_empty() { p { (term.reason) } }
            @if !term.suppresses.is_empty() { (suppressed(lang, &term.suppresses)) }
            @if term.active {
                details data-key=(end) {
                    summary { (lang.of("End it now", "立即结束")) }
                    form.act method="post" action=(end) {
                        (ctx.token(end))
                        label for=(field) { (lang.of("Your name", "你的名字")) }
                        div.row {
                            input id=(field) name="by" required maxlength="64"
                                autocomplete="username";
                            button type="submit" { (lang.of("End it", "结束")) }
                        }
                    }
                }
            }
        }
    }
}

/// Incidents listed of one silence; the others are counted.
const SUPPRESSED_MAX: usize = 20;

fn suppressed(lang: Lang, ids: &[String]) -> Markup {
    let more = ids.len().saturating_sub(SUPPRESSED_MAX);
    html! {
        p {
            (lang.of("Nobody is told of ", "未通知："))
            @for (at, id) in ids.iter().take(SUPPRESSED_MAX).enumerate() {
                @if at > 0 { ", " }
                a.id href={ "/incidents/" (id) } { (id) }
            }
            @if more > 0 {
                (lang.of(format!(" and {more} more"), format!(" 以及另外 {more} 个")))
            }
        }
    }
}

fn term_fields(lang: Lang, kind: &str) -> Markup {
    let id = |name: &str| format!("{kind}-{name}");
    html! {
        div.pair {
            div {
                label for=(id("for")) { (lang.of("For how long", "多长时间")) }
                select id=(id("for")) name="for" {
                    @for (seconds, en, zh) in TIMES {
                        option value=(seconds) selected[seconds == TIME_DEFAULT] {
                            (lang.of(en, zh))
                        }
                    }
                }
            }
            div {
                label for=(id("by")) { (lang.of("Your name", "你的名字")) }
                input id=(id("by")) name="by" required maxlength="64" autocomplete="username";
            }
        }
        label for=(id("reason")) { (lang.of("Why", "原因")) }
        input id=(id("reason")) name="reason" maxlength="500" autocomplete="off";
    }
}

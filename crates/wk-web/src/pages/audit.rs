//! The audit: every line of every history, the newest first.

use maud::{Markup, html};
use wk_monitor::{AuditEntry, AuditPage};

use super::{Context, Pace, frame};

/// Draws the page; `later` says that newer lines are on the pages before this one.
pub(crate) fn audit(ctx: &Context<'_>, page: &AuditPage, later: bool) -> Markup {
    let lang = ctx.lang;
    let main = html! {
        h1 { (lang.of("Audit", "审计")) }
        p.quiet { (lang.of(
            "What was found, who was told, who did what. The newest is on top.",
            "发现了什么、通知了谁、谁做了什么；最新的在最上面。",
        )) }
        section.panel {
            @if page.audit.is_empty() {
                p.quiet { (lang.of("Nothing yet.", "暂无记录。")) }
            } @else {
                ol.audit { @for entry in &page.audit { (item(ctx, entry)) } }
            }
        }
        p.row {
            @if later { a href="/audit" { (lang.of("← Newest", "← 最新")) } }
            @if let Some(next) = page.next {
                a href={ "/audit?before=" (next) } { (lang.of("Older →", "更早 →")) }
            }
        }
    };
    // What is older does not change.
    let pace = if later { Pace::Still } else { Pace::Slow };
    frame(ctx, lang.of("Audit · Watchkeeper", "审计 · Watchkeeper"), pace, &main)
}

fn item(ctx: &Context<'_>, entry: &AuditEntry) -> Markup {
    let is_silence = ["silence-", "maintenance-"].iter().any(|kind| entry.about.starts_with(kind));
    let href = if is_silence {
        "/silences?all=true".to_owned()
    } else if entry.about.starts_with("ensemble/") {
        "/".to_owned()
    } else {
        format!("/incidents/{}", entry.about)
    };
    html! {
        li {
            (ctx.at(entry.at))
            span { (entry.text) }
            span.quiet { (entry.actor) " · " a.id href=(href) { (entry.about) } }
        }
    }
}

//! A page with one message: something was not found, an action was refused, a test was sent.

use maud::{Markup, html};

use super::{Context, Pace, frame};

/// What such a page says.
#[derive(Clone, Debug)]
pub(crate) struct Notice<'a> {
    /// `ok`, `warning`, `critical` or `unknown`.
    pub(crate) tone: &'static str,
    /// One sentence.
    pub(crate) headline: &'a str,
    /// Names and texts to show below, in order.
    pub(crate) facts: &'a [(&'a str, &'a str)],
    /// Where to go on.
    pub(crate) back: &'a str,
}

/// Draws the page.
pub(crate) fn notice(ctx: &Context<'_>, notice: &Notice<'_>) -> Markup {
    let main = html! {
        section.lead.(notice.tone) {
            h1 { span.shape aria-hidden="true" {} (notice.headline) }
        }
        @if !notice.facts.is_empty() {
            section.panel {
                @for (name, text) in notice.facts {
                    h2 { (name) }
                    pre tabindex="0" { code { (text) } }
                }
            }
        }
        p { a href=(notice.back) { "← " (ctx.lang.of("Back", "返回")) } }
    };
    frame(ctx, notice.headline, Pace::Still, &main)
}

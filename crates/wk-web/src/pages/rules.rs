//! The rules in force: how each stands, its last values, what is wrong with it.

use maud::{Markup, html};
use wk_monitor::{RuleHealth, RuleState, Rules};

use super::{Context, Pace, frame, pill};
use crate::lang::Lang;

/// Draws the page.
pub(crate) fn rules(ctx: &Context<'_>, rules: &Rules) -> Markup {
    let lang = ctx.lang;
    let main = html! {
        h1 { (lang.of("Rules", "规则")) }
        p.quiet { (counts(lang, rules)) }
        @if !rules.errors.is_empty() {
            section.panel {
                h2 { (lang.of("Rule files that are not in force", "未生效的规则文件")) }
                p.quiet { (lang.of(
                    "The rules that were in force before go on.",
                    "此前生效的规则继续有效。",
                )) }
                ul.told { @for error in &rules.errors { li { span.why { (error) } } } }
            }
        }
        section.panel {
            ul.rules { @for rule in &rules.rules { (item(ctx, rule)) } }
        }
    };
    frame(ctx, lang.of("Rules · Watchkeeper", "规则 · Watchkeeper"), Pace::Slow, &main)
}

fn counts(lang: Lang, rules: &Rules) -> String {
    let count = |state| rules.rules.iter().filter(|rule| rule.state == state).count();
    let firing = rules.rules.iter().filter(|rule| alarms(rule)).count();
    let all = rules.rules.len();
    let (pending, failed) = (count(RuleHealth::Pending), count(RuleHealth::Error));
    lang.of(
        format!("{all} in force · {firing} firing · {pending} pending · {failed} failed"),
        format!("{all} 条生效 · {firing} 条告警中 · {pending} 条待定 · {failed} 条出错"),
    )
}

/// Whether it fires and that is a fault: nobody is told of severity `none` (Watchdog).
fn alarms(rule: &RuleState) -> bool {
    rule.state == RuleHealth::Firing && rule.severity.as_deref() != Some("none")
}

fn item(ctx: &Context<'_>, rule: &RuleState) -> Markup {
    let lang = ctx.lang;
    let (tone, word) = match rule.state {
        RuleHealth::Error => ("critical", lang.of("failed", "出错")),
        RuleHealth::Firing if !alarms(rule) => ("ok", lang.of("firing, as it must", "按设计触发")),
        RuleHealth::Firing => ("critical", lang.of("firing", "告警中")),
        RuleHealth::Pending => ("warning", lang.of("pending", "待定")),
        RuleHealth::Inactive => ("ok", lang.of("nothing found", "未发现异常")),
        RuleHealth::Unevaluated => ("unknown", lang.of("not evaluated yet", "尚未计算")),
    };
    let values: Vec<String> = rule.values.iter().map(|value| short(*value)).collect();
    html! {
        li {
            div.row {
                strong.id { (rule.rule) }
                (pill(tone, word))
                @if !values.is_empty() {
                    span { (lang.of("value ", "值 ")) strong { (values.join(", ")) } }
                }
            }
            p.quiet {
                @match rule.severity.as_deref() {
                    // A template: each alert has its own.
                    Some(text) if text.contains("{{") => {
                        (lang.of("severity by the node", "严重程度由节点决定")) " · "
                    },
                    Some(text) => { (text) " · " },
                    None => {},
                }
                @if rule.kind == "recording" { (lang.of("recording", "记录规则")) " · " }
                (lang.of("for ", "持续 ")) (rule.hold) " s · "
                (lang.of("every ", "每 ")) (rule.interval) " s"
                @if let Some(at) = rule.evaluated_at {
                    " · " (lang.of("last ", "最近 ")) (ctx.at(at))
                }
            }
            @if let Some(error) = &rule.error { p.why { (error) } }
            details data-key={ (rule.group) " " (rule.rule) " " (rule.expr) } {
                summary { (lang.of("Expression", "表达式")) }
                pre tabindex="0" { code { (rule.expr) } }
                p.quiet { (rule.group) " · " (rule.file) }
            }
        }
    }
}

/// Four digits tell enough at a glance.
fn short(value: f64) -> String {
    let digits = if value.abs() >= 1000.0 || value.fract() == 0.0 { 0 } else { 3 };
    format!("{value:.digits$}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_short() {
        let all = [2.0, 0.12345, 120_400.7, -1.5].map(short);
        assert_eq!(all, ["2", "0.123", "120401", "-1.500"]);
    }
}

//! The incident page, read at three in the morning: what is broken, since when, who knows, where,
//! what to do.

use maud::{Markup, html};
use wk_monitor::{
    Cure, Delivery, DeliveryState, Ensemble, Fleet, Incident, IncidentDetail, IncidentState,
    Located, Node, exactly,
};

use super::{Context, Pace, encoded, frame, pill};
use crate::lang::Lang;
use crate::runbook;

/// How much is known: the monitor's store may be out of reach while its last picture is there.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Detail<'a> {
    /// All of it.
    Full(&'a IncidentDetail),
    /// The incident alone.
    Bare(&'a Incident),
}

/// Draws the page.
pub(crate) fn incident(ctx: &Context<'_>, detail: Detail<'_>, fleet: &Fleet) -> Markup {
    let lang = ctx.lang;
    let (incident, full) = match detail {
        Detail::Full(full) => (&full.incident, Some(full)),
        Detail::Bare(incident) => (incident, None),
    };
    let ensemble = fleet.ensembles.iter().find(|ensemble| ensemble.name == incident.ensemble);
    let node = ensemble.and_then(|ensemble| node_of(ensemble, incident));
    let title = format!("{} · {}", lang.incident(incident.state), incident.summary);
    let open = full.filter(|_| incident.state.is_open());
    let action = open.and_then(|full| full.cure.as_ref());
    let main = html! {
        p.crumb { a href="/" { "← " (lang.of("Fleet", "总览")) } }
        (head(ctx, incident))
        div.columns {
            div.side {
                @match full {
                    Some(full) => (told(ctx, full, fleet.channels.is_empty())),
                    None => p.note { (lang.of(
                        "The monitor's store cannot be read now: who was told and the time line \
                         are missing here.",
                        "目前无法读取监控存储：此处缺少通知记录和时间线。",
                    )) },
                }
                (actions(ctx, incident))
            }
            div {
                (evidence(lang, incident))
                (next_steps(lang, incident, ensemble, node))
                @if let Some(one) = action { (cure(ctx, incident, one)) }
                (location(ctx, incident, node))
                @if let Some(full) = full { (time_line(ctx, full)) }
            }
        }
    };
    frame(ctx, &title, Pace::Live, &main)
}

fn node_of<'a>(ensemble: &'a Ensemble, incident: &Incident) -> Option<&'a Node> {
    let id = incident.node.as_ref()?;
    let mut nodes = ensemble.nodes.iter().map(AsRef::as_ref);
    nodes.find(|node: &&Node| node.id == *id && node.group == incident.group)
}

fn head(ctx: &Context<'_>, incident: &Incident) -> Markup {
    let lang = ctx.lang;
    let tone = if incident.state.is_open() { incident.severity.as_str() } else { "ok" };
    html! {
        section.lead.(tone) {
            p.row {
                (pill(tone, lang.incident(incident.state)))
                span.quiet { (lang.severity(incident.severity)) " · " (incident.rule) }
            }
            h1 { (incident.summary) }
            p {
                (lang.of("since ", "开始于 ")) strong { (ctx.at(incident.first_seen)) }
                @match incident.resolved_at {
                    Some(at) => {
                        (lang.of(", until ", "，恢复于 ")) strong { (ctx.at(at)) }
                        (lang.of(": it lasted ", "，持续 "))
                        (lang.duration(incident.first_seen.seconds_until(at)))
                    },
                    None => { " · " (lang.of("for ", "已持续 ")) (ctx.since(incident.first_seen)) },
                }
                @if incident.flaps > 0 {
                    " · " (lang.of(
                        format!("came back {} times", incident.flaps),
                        format!("反复 {} 次", incident.flaps),
                    ))
                }
                @if let Some(by) = &incident.acknowledged_by {
                    " · " (lang.of("taken on by ", "认领人：")) strong { (by) }
                }
            }
            @if let (true, Some(by)) = (incident.state.is_open(), &incident.suppressed_by) {
                p.note {
                    (lang.of("Nobody is told of it: ", "不通知任何人："))
                    a.id href=(speaker(by)) { (by) }
                    (lang.of(" speaks for it.", " 已代表它。"))
                }
            }
        }
    }
}

/// The page of what speaks for an incident: its cause, a silence or maintenance.
fn speaker(id: &str) -> String {
    let is_term = id.starts_with("silence-") || id.starts_with("maintenance-");
    if is_term { "/silences".to_owned() } else { format!("/incidents/{id}") }
}

/// Labels beside the usual ones that tell the faults of one rule apart.
const TELLING: [&str; 4] = ["channel", "dir", "path", "port"];

/// The form for a silence that fits this incident and no other, filled in.
fn silence_link(incident: &Incident) -> String {
    let of_rule = TELLING.map(|name| (name, incident.labels.get(name)));
    let labels = [
        ("rule", Some(&incident.rule)),
        ("ensemble", Some(&incident.ensemble).filter(|name| !name.is_empty())),
        ("instance", incident.instance.as_ref()),
        ("group", incident.group.as_ref()),
        ("node", incident.node.as_ref()),
    ];
    let all = labels.into_iter().chain(of_rule);
    let known = all.filter_map(|(name, value)| Some(exactly(name, value?)));
    let lines: Vec<String> = known.collect();
    format!("/silences?matchers={}", encoded(&lines.join("\n")))
}

fn evidence(lang: Lang, incident: &Incident) -> Markup {
    html! {
        section.panel {
            h2 { (lang.of("What was seen", "证据")) }
            @if incident.evidence.is_empty() {
                p.quiet { (lang.of("Nothing beyond the sentence above.", "除上面一句外没有更多信息。")) }
            } @else {
                ul { @for line in &incident.evidence { li { (line) } } }
            }
        }
    }
}

fn location(ctx: &Context<'_>, incident: &Incident, node: Option<&Node>) -> Markup {
    let lang = ctx.lang;
    let row = |name: &str, value: Option<&str>| {
        html! {
            @if let Some(value) = value { div { dt { (name) } dd.id { (value) } } }
        }
    };
    html! {
        section.panel {
            h2 { (lang.of("Where", "位置")) }
            @if !incident.located.is_empty() {
                ol.steps { @for place in &incident.located { (place_item(lang, place)) } }
            }
            dl {
                (row(lang.of("Ensemble", "集群"), Some(&incident.ensemble)))
                (row(lang.of("Server", "服务器"), incident.instance.as_deref()))
                (row(lang.of("Group", "分组"), incident.group.as_deref()))
                (row(lang.of("Node", "节点"), incident.node.as_deref()))
                @if let Some(node) = node {
                    (row("znode", Some(&node.path)))
                    div {
                        dt { (lang.of("State now", "当前状态")) }
                        dd { (lang.node(node.state)) " " (ctx.since(node.since)) }
                    }
                    (row(lang.of("Session", "会话"), node.session.as_deref()))
                    @if !node.metadata.is_null() {
                        (row(lang.of("Metadata", "元数据"), Some(&metadata(node))))
                    }
                }
            }
        }
    }
}

/// A place where the fault may be, the likeliest first, and what speaks for it.
fn place_item(lang: Lang, place: &Located) -> Markup {
    let kind = match place.kind.as_str() {
        "member" => lang.of("member", "成员"),
        "link" => lang.of("link", "链路"),
        "disk" => lang.of("disk", "磁盘"),
        "client" => lang.of("client", "客户端"),
        "path" => lang.of("path", "路径"),
        "view" => lang.of("the monitor's own view", "监控自身的视野"),
        other => other,
    };
    html! {
        li { (kind) " " span.id { (place.what) } span.why { (place.evidence) } }
    }
}

fn metadata(node: &Node) -> String {
    node.metadata.as_str().map_or_else(|| node.metadata.to_string(), str::to_owned)
}

fn next_steps(
    lang: Lang,
    incident: &Incident,
    ensemble: Option<&Ensemble>,
    node: Option<&Node>,
) -> Markup {
    html! {
        section.panel {
            h2 { (lang.of("What to do next", "接下来做什么")) }
            ol.steps {
                @for step in runbook::steps(lang, incident, ensemble, node) {
                    li {
                        (step.text)
                        @if let Some(command) = &step.command {
                            pre tabindex="0" { code { (command) } }
                        }
                    }
                }
            }
        }
    }
}

fn actions(ctx: &Context<'_>, incident: &Incident) -> Markup {
    let lang = ctx.lang;
    let (verb, hint, label) = match incident.state {
        IncidentState::Firing | IncidentState::Unknown | IncidentState::Suppressed => (
            "ack",
            lang.of(
                "Say that you look after it, so that nobody else has to get up.",
                "表明由你处理，其他人就不必起床了。",
            ),
            lang.of("I take it", "我来处理"),
        ),
        IncidentState::Resolved => (
            "close",
            lang.of(
                "It is over. Close it when its cause is understood.",
                "故障已恢复。查明原因后即可关闭。",
            ),
            lang.of("Close", "关闭"),
        ),
        IncidentState::Pending | IncidentState::Acknowledged | IncidentState::Closed => {
            return html! {};
        }
    };
    let action = format!("/incidents/{}/{verb}", incident.id);
    html! {
        section.panel {
            form.act method="post" action=(action) {
                (ctx.token(&action))
                p { (hint) }
                label for="by" { (lang.of("Your name", "你的名字")) }
                div.row {
                    input id="by" name="by" required maxlength="64" autocomplete="username";
                    button.primary type="submit" { (label) }
                }
            }
            @if incident.state.is_open() && incident.suppressed_by.is_none() {
                p.quiet { a href=(silence_link(incident)) {
                    (lang.of("Silence it for a time", "静默一段时间"))
                } }
            }
        }
    }
}

/// The action of the node's group: what it is, and a button where it may run.
fn cure(ctx: &Context<'_>, incident: &Incident, cure: &Cure) -> Markup {
    let lang = ctx.lang;
    let action = format!("/incidents/{}/run", incident.id);
    html! {
        section.panel {
            h2 { (lang.of("Action of the group", "该组的动作")) }
            pre tabindex="0" { code { (cure.command) } }
            @match &cure.refusal {
                Some(why) => p.quiet { (lang.of("It may not run now: ", "当前不能执行：")) (why) },
                None => form.act method="post" action=(action) {
                    (ctx.token(&action))
                    p { (lang.of(
                        "It runs once for this incident, on the monitor's host. The node counts as \
                         cured when its own session is back.",
                        "每个事件只在监控主机上执行一次；节点自己的会话恢复后才算修复。",
                    )) }
                    label for="runner" { (lang.of("Your name", "你的名字")) }
                    div.row {
                        input id="runner" name="by" required maxlength="64"
                            autocomplete="username";
                        button type="submit" { (lang.of("Run it", "执行")) }
                    }
                },
            }
        }
    }
}

fn told(ctx: &Context<'_>, detail: &IncidentDetail, no_channels: bool) -> Markup {
    let lang = ctx.lang;
    html! {
        section.panel {
            h2 { (lang.of("Who was told", "已通知谁")) }
            @if detail.deliveries.is_empty() {
                p.note {
                    @if no_channels {
                        (lang.of(
                            "Nobody: no channel is configured. Add one with --notify.",
                            "没有人：未配置任何通知通道。请用 --notify 添加。",
                        ))
                    } @else {
                        (lang.of("Nobody yet.", "尚未通知任何人。"))
                    }
                }
            } @else {
                ul.told { @for delivery in &detail.deliveries { (delivery_item(ctx, delivery)) } }
            }
        }
    }
}

fn delivery_item(ctx: &Context<'_>, delivery: &Delivery) -> Markup {
    let lang = ctx.lang;
    let tone = match delivery.state {
        DeliveryState::Confirmed => "ok",
        DeliveryState::Queued | DeliveryState::Sent => "unknown",
        DeliveryState::Failed | DeliveryState::Expired => "critical",
    };
    let confirmed = delivery.state == DeliveryState::Confirmed;
    html! {
        li {
            span { strong { (delivery.channel) } " " span.quiet { (lang.phase(delivery.phase)) } }
            (pill(tone, lang.delivery(delivery.state)))
            span.quiet {
                @match delivery.done_at.or(delivery.last_attempt_at) {
                    Some(at) => (ctx.at(at)),
                    None => (ctx.at(delivery.queued_at)),
                }
                @if delivery.attempts > 1 {
                    " · " (lang.of(
                        format!("{} tries", delivery.attempts),
                        format!("共尝试 {} 次", delivery.attempts),
                    ))
                }
            }
            @if let (false, Some(error)) = (confirmed, &delivery.last_error) {
                span.why { (error) }
            }
        }
    }
}

fn time_line(ctx: &Context<'_>, detail: &IncidentDetail) -> Markup {
    html! {
        section.panel {
            h2 { (ctx.lang.of("Time line", "时间线")) }
            ol.timeline {
                @for entry in &detail.timeline {
                    li {
                        (ctx.at(entry.at))
                        span { (entry.text) " " span.quiet { (entry.actor) } }
                    }
                }
            }
        }
    }
}

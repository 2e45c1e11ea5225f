//! The fleet page: what is wrong first, then every ensemble with its servers and nodes.

use std::collections::BTreeMap;
use std::sync::Arc;

use maud::{Markup, html};
use wk_monitor::{
    ChannelStatus, Ensemble, Fleet, Group, Incident, Level, Node, NodeState, Server, ServerState,
};

use super::{Context, Pace, frame, grouped, pill, short_seconds, tone};
use crate::lang::Lang;

/// Nodes shown per group, and of all groups of an ensemble; the rest is counted, since a page of ten
/// thousand serves nobody.
const NODES_MAX: usize = 200;
const NODES_IN_ALL_MAX: usize = 400;
/// Groups shown per ensemble, the worst first; the rest is counted.
const GROUPS_MAX: usize = 50;
/// Incidents shown of which nobody is told; the rest is counted.
const HUSHED_MAX: usize = 50;
/// Incidents that are over and still listed.
const OVER_MAX: usize = 8;

/// Draws the page. `incidents` are the open ones and the latest others, newest first.
pub(crate) fn fleet(ctx: &Context<'_>, fleet: &Fleet, incidents: &[Arc<Incident>]) -> Markup {
    let lang = ctx.lang;
    let (open, over): (Vec<_>, Vec<_>) =
        incidents.iter().partition(|incident| incident.state.is_open());
    let (hushed, mut open): (Vec<_>, Vec<_>) =
        open.into_iter().partition(|incident| incident.is_hushed());
    open.sort_by_key(|incident| std::cmp::Reverse(incident.severity));
    // There may be more than were read for this page.
    let count = open.len().max(fleet.open_incidents);
    let title = match count {
        0 => format!("{} · Watchkeeper", lang.level(fleet.level)),
        n => format!("({n}) {} · Watchkeeper", lang.level(fleet.level)),
    };
    let main = html! {
        (lead(ctx, fleet, count))
        @if !open.is_empty() {
            section.cards aria-label=(lang.of("Open incidents", "未恢复的事件")) {
                @for incident in &open { (card(ctx, incident)) }
                @if count > open.len() {
                    p.quiet { (lang.of(
                        format!("and {} more, older ones", count - open.len()),
                        format!("另有 {} 个较早的", count - open.len()),
                    )) }
                }
            }
        }
        (hushed_list(ctx, &hushed))
        @if !fleet.notes.is_empty() {
            ul.notes { @for note in &fleet.notes { li.note { (note) } } }
        }
        @for ensemble in sorted(&fleet.ensembles, |e| std::cmp::Reverse(e.level)) {
            (ensemble_section(ctx, ensemble))
        }
        (channels(ctx, &fleet.channels))
        (history(ctx, &over))
    };
    frame(ctx, &title, Pace::Live, &main)
}

fn sorted<T, K: Ord>(of: &[T], key: impl Fn(&T) -> K) -> Vec<&T> {
    let mut all: Vec<&T> = of.iter().collect();
    all.sort_by_key(|item| key(item));
    all
}

fn lead(ctx: &Context<'_>, fleet: &Fleet, open: usize) -> Markup {
    let lang = ctx.lang;
    let headline = match (fleet.level, open) {
        (Level::Ok, 0) => lang.of("All is well".to_owned(), "一切正常".to_owned()),
        (_, 0) if fleet.ensembles.is_empty() => {
            lang.of("Looking for servers".to_owned(), "正在寻找服务器".to_owned())
        }
        (_, 0) => lang.of("Still looking".to_owned(), "正在观察".to_owned()),
        (_, 1) => lang.of("One thing needs you".to_owned(), "有 1 个问题需要处理".to_owned()),
        (_, n) => lang.of(format!("{n} things need you"), format!("有 {n} 个问题需要处理")),
    };
    html! {
        section.lead.(tone(fleet.level)) {
            h1 { span.shape aria-hidden="true" {} (headline) }
            p { (summary(lang, fleet)) }
            p.quiet { (lang.of("as of ", "截至 ")) (ctx.at(fleet.as_of)) }
        }
    }
}

fn summary(lang: Lang, fleet: &Fleet) -> String {
    let servers = fleet.ensembles.iter().flat_map(|ensemble| &ensemble.servers);
    let (mut serving, mut all_servers) = (0, 0);
    for server in servers {
        all_servers += 1;
        serving += usize::from(server.state == ServerState::Up);
    }
    let groups = fleet.ensembles.iter().flat_map(|ensemble| &ensemble.groups);
    let (up, expected) = groups.fold((0, 0), |(up, expected), group| {
        (up + group.up, expected + group.up + group.down + group.unknown + group.starting)
    });
    lang.of(
        format!("{serving} of {all_servers} servers serve · {up} of {expected} nodes are up"),
        format!("服务器 {serving}/{all_servers} 正常 · 节点 {up}/{expected} 在线"),
    )
}

fn card(ctx: &Context<'_>, incident: &Incident) -> Markup {
    let lang = ctx.lang;
    html! {
        a.card.(incident.severity.as_str()) href={ "/incidents/" (incident.id) } {
            span.row {
                (pill(incident.severity.as_str(), lang.severity(incident.severity)))
                span.quiet {
                    (lang.incident(incident.state)) " · " (ctx.since(incident.first_seen))
                }
            }
            strong { (incident.summary) }
            span.quiet { (incident.rule) " · " (incident.ensemble) }
        }
    }
}

/// Faults that are there and of which nobody is told: their cause is, or they are silenced.
fn hushed_list(ctx: &Context<'_>, hushed: &[&Arc<Incident>]) -> Markup {
    let lang = ctx.lang;
    let all = hushed.len();
    let more = all.saturating_sub(HUSHED_MAX);
    html! {
        @if !hushed.is_empty() {
            details.panel data-key="hushed" {
                summary { (lang.of(
                    format!("Nobody is told of {all} more: causes, silences, maintenance"),
                    format!("另有 {all} 个未通知：由原因、静默或维护代表"),
                )) }
                ul.history {
                    @for incident in hushed.iter().take(HUSHED_MAX) {
                        li {
                            a href={ "/incidents/" (incident.id) } { (incident.summary) }
                            span.quiet { (ctx.since(incident.first_seen)) }
                        }
                    }
                }
                @if more > 0 {
                    p.quiet { (lang.of(format!("and {more} more"), format!("另有 {more} 个"))) }
                }
            }
        }
    }
}

fn ensemble_section(ctx: &Context<'_>, ensemble: &Ensemble) -> Markup {
    let lang = ctx.lang;
    html! {
        section.panel {
            header.row {
                h2 { (ensemble.name) }
                (pill(tone(ensemble.level), lang.level(ensemble.level)))
            }
            @if !ensemble.sight.clear {
                p.note {
                    (lang.of(
                        "The monitor has no clear view here, so nodes show as unknown. Since ",
                        "监控暂时看不清这里，节点显示为未知。自 ",
                    ))
                    (ctx.at(ensemble.sight.since)) "."
                }
            }
            (servers(ctx, ensemble))
            (nodes(ctx, ensemble))
            @if !ensemble.notes.is_empty() {
                details.notes data-key={ "notes " (ensemble.name) } {
                    summary { (lang.of("What I could not see", "未能观察到的内容"))
                        " (" (ensemble.notes.len()) ")" }
                    ul { @for note in &ensemble.notes { li { (note) } } }
                }
            }
        }
    }
}

fn servers(ctx: &Context<'_>, ensemble: &Ensemble) -> Markup {
    let lang = ctx.lang;
    let worst_first = |server: &Server| match server.state {
        ServerState::Unreachable => 0,
        ServerState::NotServing => 1,
        ServerState::Unknown => 2,
        ServerState::Up => 3,
    };
    html! {
        h3 { (lang.of("Servers", "服务器")) }
        table.servers {
            thead { tr {
                th scope="col" { (lang.of("Server", "服务器")) }
                th scope="col" { (lang.of("State", "状态")) }
                th scope="col" { (lang.of("Role", "角色")) }
                th.num scope="col" { (lang.of("Latency", "延迟")) }
                th.num scope="col" { (lang.of("Connections", "连接数")) }
                th.num scope="col" { (lang.of("Znodes", "znode 数")) }
                th.num scope="col" { (lang.of("Watches", "watch 数")) }
            } }
            tbody {
                @for server in sorted(&ensemble.servers, worst_first) { (server_row(ctx, server)) }
            }
        }
    }
}

fn server_row(ctx: &Context<'_>, server: &Server) -> Markup {
    let lang = ctx.lang;
    let tone = match server.state {
        ServerState::Up => "ok",
        ServerState::Unknown => "unknown",
        ServerState::NotServing | ServerState::Unreachable => "critical",
    };
    html! {
        tr {
            th scope="row" {
                span.id { (server.instance) }
                @if let Some(version) = &server.version { span.quiet.version { (version) } }
            }
            td data-label=(lang.of("State", "状态")) {
                span {
                    @if let Some(id) = &server.incident {
                        a href={ "/incidents/" (id) } { (pill(tone, lang.server(server.state))) }
                    } @else {
                        (pill(tone, lang.server(server.state)))
                    }
                    span.quiet { " " (ctx.since(server.since)) }
                    @if let Some(error) = &server.last_error { span.why { (error) } }
                }
            }
            (figure(lang.of("Role", "角色"), "", server.mode.as_deref()))
            @for (label, value) in [
                (lang.of("Latency", "延迟"), server.latency.map(|l| short_seconds(l.avg))),
                (lang.of("Connections", "连接数"), server.connections.map(grouped)),
                (lang.of("Znodes", "znode 数"), server.znodes.map(grouped)),
                (lang.of("Watches", "watch 数"), server.watches.map(grouped)),
            ] { (figure(label, "num", value.as_deref())) }
        }
    }
}

/// A cell of the table; without a value it is left out on a phone.
fn figure(label: &str, class: &str, value: Option<&str>) -> Markup {
    let none = if value.is_some() { "" } else { " none" };
    html! { td class={ (class) (none) } data-label=(label) { (value.unwrap_or("–")) } }
}

fn nodes(ctx: &Context<'_>, ensemble: &Ensemble) -> Markup {
    let lang = ctx.lang;
    html! {
        @if !ensemble.nodes.is_empty() || ensemble.sight.clear {
            h3 { (lang.of("Nodes", "节点")) }
        }
        @if ensemble.nodes.is_empty() && ensemble.sight.clear {
            div.empty {
                p { (lang.of(
                    "Nothing is registered under /nodes yet. Register a first node:",
                    "/nodes 下还没有登记任何节点。登记第一个节点：",
                )) }
                pre tabindex="0" { code { (join_command(ensemble)) } }
                p { (lang.of(
                    "Press Ctrl-C there and it has left; end it by kill -9 and an alarm follows.",
                    "在那里按 Ctrl-C 表示正常离开；用 kill -9 结束它则会产生告警。",
                )) }
            }
        }
        (groups(ctx, ensemble))
    }
}

/// The worst groups, and how many more there are.
fn groups(ctx: &Context<'_>, ensemble: &Ensemble) -> Markup {
    let lang = ctx.lang;
    let mut members: BTreeMap<Option<&str>, Vec<&Node>> = BTreeMap::new();
    for node in &ensemble.nodes {
        members.entry(node.group.as_deref()).or_default().push(node);
    }
    let worst_first = sorted(&ensemble.groups, |group| (group.down == 0, group.unknown == 0));
    let more = worst_first.len().saturating_sub(GROUPS_MAX);
    let mut left = NODES_IN_ALL_MAX;
    let mut lists = Vec::new();
    for group in worst_first.into_iter().take(GROUPS_MAX) {
        let own = members.remove(&group.name.as_deref()).unwrap_or_default();
        let shown = own.len().min(NODES_MAX).min(left);
        left -= shown;
        lists.push(group_list(ctx, group, own, shown));
    }
    html! {
        @for list in &lists { (list) }
        @if more > 0 {
            p.quiet { (lang.of(
                format!("and {more} more groups, none of them worse"),
                format!("另有 {more} 个分组，状态都不更差"),
            )) }
        }
    }
}

fn join_command(ensemble: &Ensemble) -> String {
    let server = ensemble.servers.first().map_or("127.0.0.1:2181", |s| s.instance.as_str());
    let server = if server == "127.0.0.1:2181" { String::new() } else { format!("-s {server} ") };
    format!("watchkeeper {server}member join web/one -- sleep 1000")
}

fn group_list(ctx: &Context<'_>, group: &Group, mut own: Vec<&Node>, shown: usize) -> Markup {
    let lang = ctx.lang;
    own.sort_by(|a, b| (rank(a.state), &a.id).cmp(&(rank(b.state), &b.id)));
    let more = own.len() - shown;
    let name = group.name.as_deref();
    html! {
        div.group {
            h4 {
                span.id { (name.unwrap_or(lang.of("without a group", "未分组"))) }
                span.quiet { " " (counts(lang, group)) }
            }
            ul.nodes {
                @for node in own.iter().take(shown) { (node_item(ctx, node)) }
            }
            @if more > 0 {
                p.quiet { (lang.of(
                    format!("and {more} more, none of them worse"),
                    format!("另有 {more} 个，状态都不更差"),
                )) }
            }
        }
    }
}

fn rank(state: NodeState) -> u8 {
    match state {
        NodeState::Down => 0,
        NodeState::Maintenance => 1,
        NodeState::Suspect => 2,
        NodeState::Unknown => 3,
        NodeState::Starting => 4,
        NodeState::Up => 5,
        NodeState::Left => 6,
    }
}

fn counts(lang: Lang, group: &Group) -> String {
    let all = [
        (group.down, NodeState::Down),
        (group.maintenance, NodeState::Maintenance),
        (group.suspect, NodeState::Suspect),
        (group.unknown, NodeState::Unknown),
        (group.starting, NodeState::Starting),
        (group.up, NodeState::Up),
        (group.left, NodeState::Left),
    ];
    let some = all.iter().filter(|(count, _)| *count > 0);
    let words: Vec<String> =
        some.map(|(count, state)| format!("{count} {}", lang.node(*state))).collect();
    words.join(" · ")
}

fn node_item(ctx: &Context<'_>, node: &Node) -> Markup {
    let lang = ctx.lang;
    let inner = html! {
        span.name { span.shape aria-hidden="true" {} span.id { (node.id) } }
        span.quiet { (lang.node(node.state)) " " (ctx.since(node.since)) }
        @if matches!(node.state, NodeState::Down | NodeState::Unknown) {
            @if let Some(why) = node.evidence.first() { span.why { (why) } }
        }
    };
    html! {
        li.node.(node.state.as_str()) {
            @match &node.incident {
                Some(id) => a href={ "/incidents/" (id) } { (inner) },
                None => span { (inner) },
            }
        }
    }
}

fn channels(ctx: &Context<'_>, channels: &[ChannelStatus]) -> Markup {
    let lang = ctx.lang;
    html! {
        section.panel {
            h2 { (lang.of("Who is told", "通知谁")) }
            @if channels.is_empty() {
                div.empty {
                    p { (lang.of(
                        "Nobody is told yet. Start Watchkeeper with one or more channels:",
                        "目前不会通知任何人。启动时加上一个或多个通知通道：",
                    )) }
                    pre tabindex="0" { code {
                        "--notify 'smtp://mail.example:25?from=wk@example.com&to=you@example.com'\n"
                        "--notify 'dingtalk://${DINGTALK_TOKEN}?secret=${DINGTALK_SECRET}'\n"
                        "--notify webhook+https://hooks.example/alarms"
                    } }
                }
            } @else {
                ul.channels { @for channel in channels { (channel_item(ctx, channel)) } }
            }
        }
    }
}

fn channel_item(ctx: &Context<'_>, channel: &ChannelStatus) -> Markup {
    let lang = ctx.lang;
    let action = format!("/channels/{}/test", channel.name);
    // An error counts until the receiver has confirmed something after it.
    let error = channel.last_error.as_ref().filter(|_| {
        channel.last_confirmed_at.is_none_or(|good| channel.last_error_at > Some(good))
    });
    html! {
        li {
            span.name { strong { (channel.name) } span.quiet { " " (lang.channel(channel.kind)) } }
            span.id { (channel.target) }
            span.quiet {
                (channel.confirmed) " " (lang.of("confirmed", "已送达"))
                @if channel.pending > 0 { " · " (channel.pending) " " (lang.of("waiting", "待发送")) }
                @if channel.failed > 0 { " · " (channel.failed) " " (lang.of("refused", "被拒收")) }
                @if channel.expired > 0 { " · " (channel.expired) " " (lang.of("expired", "已过期")) }
            }
            @if let Some(error) = error { span.why { (error) } }
            form method="post" action=(action) {
                (ctx.token(&action))
                button type="submit" { (lang.of("Send a test", "发送测试")) }
            }
        }
    }
}

fn history(ctx: &Context<'_>, over: &[&Arc<Incident>]) -> Markup {
    let lang = ctx.lang;
    html! {
        @if !over.is_empty() {
            section.panel {
                h2 { (lang.of("Lately over", "最近恢复")) }
                ul.history {
                    @for incident in over.iter().take(OVER_MAX) {
                        li {
                            a href={ "/incidents/" (incident.id) } { (incident.summary) }
                            span.quiet {
                                @match incident.resolved_at {
                                    Some(at) => { (lang.of("resolved ", "恢复于 ")) (ctx.at(at)) },
                                    None => (lang.incident(incident.state)),
                                }
                            }
                        }
                    }
                }
            }
        }
    }
}

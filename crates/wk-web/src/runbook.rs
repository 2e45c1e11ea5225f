//! What to do next, by rule: short numbered steps that can be typed, in the reader's language.

use wk_monitor::{Ensemble, Incident, Node};

use crate::lang::Lang;

/// One step: a sentence, and what to type for it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Step {
    pub(crate) text: String,
    pub(crate) command: Option<String>,
}

fn say(text: impl Into<String>) -> Step {
    Step { text: text.into(), command: None }
}

fn run(text: impl Into<String>, command: String) -> Step {
    Step { text: text.into(), command: Some(command) }
}

/// The steps for `incident`; `node` is the registered node it is about, if there is one.
pub(crate) fn steps(
    lang: Lang,
    incident: &Incident,
    ensemble: Option<&Ensemble>,
    node: Option<&Node>,
) -> Vec<Step> {
    if !incident.state.is_open() {
        return over(lang);
    }
    let server = incident.instance.clone().or_else(|| first_serving(ensemble));
    match incident.rule.as_str() {
        "NodeDown" => node_down(lang, server.as_deref(), node),
        rule if rule.starts_with("ZkServer") => server_down(lang, incident, rule),
        "NodeViewLost" => vec![
            say(lang.of(
                "Nodes may be well: it is the monitor that cannot see them. See whether the \
                 servers of this ensemble serve.",
                "节点可能都正常：是监控看不到它们。请检查该集群的服务器是否在提供服务。",
            )),
            run(
                lang.of("Ask from here as the monitor does.", "像监控一样从这里询问。"),
                format!("watchkeeper -s {} ls /nodes", server.as_deref().unwrap_or("HOST:PORT")),
            ),
        ],
        rule if rule.starts_with("Notify") => vec![
            say(lang.of(
                "Look at the channel's last error in the evidence above.",
                "查看上面证据中该通道的最后一条错误。",
            )),
            run(
                lang.of(
                    "Send a test by that channel: it prints request, answer and verdict.",
                    "通过该通道发送测试消息：会打印请求、应答和结论。",
                ),
                "watchkeeper notify test CHANNEL".to_owned(),
            ),
        ],
        _ => vec![say(lang.of(
            "Go through the evidence above from top to bottom; this page follows by itself.",
            "从上到下查看证据；本页面会自动更新。",
        ))],
    }
}

fn over(lang: Lang) -> Vec<Step> {
    vec![say(lang.of(
        "Nothing: it is over. Close it when its cause is understood.",
        "无需处理：故障已恢复。查明原因后即可关闭。",
    ))]
}

fn first_serving(ensemble: Option<&Ensemble>) -> Option<String> {
    let servers = &ensemble?.servers;
    let up = servers.iter().find(|server| server.state == wk_monitor::ServerState::Up);
    up.or(servers.first()).map(|server| server.instance.clone())
}

fn node_down(lang: Lang, server: Option<&str>, node: Option<&Node>) -> Vec<Step> {
    let host = node.and_then(|node| node.metadata.get("host")).and_then(|host| host.as_str());
    let look = match host {
        Some(host) => lang.of(
            format!("Log in to {host} and see whether the process runs and what it logged last."),
            format!("登录 {host}，检查进程是否在运行以及最后的日志。"),
        ),
        None => lang.of(
            "See whether its process runs and what it logged last.".to_owned(),
            "检查其进程是否在运行以及最后的日志。".to_owned(),
        ),
    };
    let mut steps = vec![
        say(look),
        say(lang.of(
            "Start it again. It registers itself; nothing has to be created by hand, \
             and this incident then ends by itself.",
            "重新启动它。它会自行注册，无需手工创建任何节点；随后本事件会自动恢复。",
        )),
    ];
    if let (Some(server), Some(node)) = (server, node) {
        steps.push(run(
            lang.of(
                "If it is not to come back, take it out of the registry.",
                "如果它不再回来，请将其从注册表中删除。",
            ),
            format!("watchkeeper -s {server} delete {}", quoted(&node.path)),
        ));
    }
    steps
}

fn server_down(lang: Lang, incident: &Incident, rule: &str) -> Vec<Step> {
    let instance = incident.instance.as_deref().unwrap_or("HOST:PORT");
    let ask = run(
        lang.of("Ask it yourself.", "亲自询问该服务器。"),
        format!("watchkeeper -s {} stat /", quoted(instance)),
    );
    let last = if rule == "ZkServerUnreachable" {
        say(lang.of(
            "If the process is gone, read the end of its log and start it again. \
             If it runs, look at the network between here and there.",
            "如果进程已退出，请查看其日志末尾并重新启动；如果仍在运行，请检查两端之间的网络。",
        ))
    } else {
        say(lang.of(
            "Do not restart it because it does not serve: first see whether the others reach it \
             and whether its disk has space.",
            "不要因为它不提供服务就重启：先确认其他成员能否连接到它，以及磁盘是否有空间。",
        ))
    };
    let clients = say(lang.of(
        "Clients keep their sessions if it is back within the session timeout.",
        "若能在会话超时前恢复，客户端会话不会丢失。",
    ));
    vec![ask, last, clients]
}

/// A word that a shell takes as one.
fn quoted(word: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "/._-:@[]".contains(c);
    if !word.is_empty() && word.chars().all(plain) {
        return word.to_owned();
    }
    format!("'{}'", word.replace('\'', r"'\''"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_from_the_registry_are_quoted_for_the_shell() {
        assert_eq!(quoted("/nodes/web/a-1"), "/nodes/web/a-1");
        assert_eq!(quoted("/nodes/$(rm)"), "'/nodes/$(rm)'");
        assert_eq!(quoted("/nodes/it's"), r"'/nodes/it'\''s'");
    }
}

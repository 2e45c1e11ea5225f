//! Chinese (simplified).

use wk_alert::FactKind;
use wk_probe::note::NoteKind;

use super::Word;

#[expect(clippy::wildcard_enum_match_arm, reason = "a test has words for every kind")]
pub(super) fn fact(kind: FactKind) -> &'static str {
    match kind {
        FactKind::ProbeFailed => "{0} 无应答：{1}",
        FactKind::NotServing => "{0} 有应答但不提供服务：{1}",
        FactKind::Barred => "{0} 在线，但与本监控互不信任：{1}",
        FactKind::LastServed => "最后一次正常服务时间 {0:time}",
        FactKind::Serves => "{0} 正常服务，角色 {1}",
        FactKind::AliveGone => "{0}/alive 已消失，原由会话 {1} 持有",
        FactKind::SessionExpired => "会话 {0} 已被服务器判定过期：客户端失去联系",
        FactKind::SessionClosed => "客户端主动关闭了会话 {0}",
        FactKind::AliveDeleted => "会话 {0} 并未结束：alive 节点被单独删除",
        FactKind::CannotTell => "从外部无法判断会话 {0} 是过期还是主动关闭；未写入 state=leaving",
        FactKind::SaidLeaving => "{0} 已声明 state=leaving",
        FactKind::FlatBack => "{0} 存在，由会话 {1} 持有",
        FactKind::FlatGone => "{0} 已消失；原由会话 {1} 持有",
        FactKind::FlatForged => "{0} 由监控自身的会话 {1} 持有：拒绝采信，不能证明存活",
        FactKind::FlatNotEphemeral => "{0} 不是临时节点：拒绝采信，不能证明存活",
        FactKind::ExpectedMissing => "watchkeeper.toml 要求 {0} 存在，但它不在",
        FactKind::ReadDenied => {
            "{0} 的 ACL 不允许监控读取：请为监控的凭据（[ensemble.NAME] auth）授予 r 权限"
        }
        FactKind::FoundDead => "{0} 在监控首次查看之前曾经存活，现在不在",
        FactKind::DiedUnseen => "{0} 自 {1:time} 起在线，在监控离线期间消失",
        FactKind::AliveForged => "{0}/alive 由监控自身的会话 {1} 持有：拒绝采信，不能证明存活",
        FactKind::AliveNotEphemeral => "{0}/alive 不是临时节点：拒绝采信，不能证明存活",
        FactKind::AliveBack => "{0}/alive 存在，由会话 {1} 持有",
        FactKind::Registered => "{0} 已注册，尚未上线",
        FactKind::Deregistered => "{0} 已不再注册",
        FactKind::SightLost => "监控与 {0} 的会话连接已断开",
        FactKind::SightBack => "监控已重新看到 {0}",
        FactKind::NoLongerWatched => "已不再监控",
        FactKind::Opened => "发现故障",
        FactKind::Reopened => "在保持时间内再次出现（第 {0} 次）",
        FactKind::ContinuesAs => "再次出现并持续，转为 {0}",
        FactKind::Resolved => "已恢复",
        FactKind::WentUnknown => "目前无法观察",
        FactKind::SeenAgain => "恢复观察，故障仍在",
        FactKind::Acknowledged => "已确认",
        FactKind::Closed => "已关闭",
        FactKind::AckExpired => "确认已过期",
        FactKind::Suppressed => "不再通知：由 {0} 代为说明",
        FactKind::Unsuppressed => "抑制已解除",
        FactKind::SilenceAdded => "{0}：静默至 {1:time}：{2}",
        FactKind::SilenceEnded => "静默已结束",
        FactKind::DeliveryLate => "{0}：通知已迟到；故障仍在，继续发送",
        FactKind::Delivered => "{0} 已接收 {1} 通知（第 {2} 次发送）",
        FactKind::DeliveryFailed => "{0}：{1} 通知发送失败，将重试：{2}",
        FactKind::DeliveryRefused => "{0} 永久拒绝了 {1} 通知：{2}",
        FactKind::ActionStarted => "已执行动作：{0}",
        FactKind::ActionSaid => "动作输出：{0}",
        FactKind::ActionEnded => "动作结束：{0}",
        FactKind::ActionCured => "已恢复：节点自己的会话已回来",
        FactKind::ActionInVain => "未恢复：节点自己的会话未按时回来",
        FactKind::ActionHeld => "动作暂缓：{0}",
        FactKind::AclChanged => "会话 {2} 将 {0} 的 ACL 设为 {1}（zxid {3}）",
        FactKind::AclStorm => "一分钟内另有 {0} 次 ACL 变更，最后一次在 {1}",
        FactKind::MembersChanged => "会话 {1} 变更了成员列表（zxid {2}）：{0}",
        FactKind::MembersStorm => "一分钟内成员列表另有 {0} 次变更，最后 zxid {1}",
        FactKind::DeliveryExpired => "{0}：{1} 通知已过有效期",
        _ => place(kind),
    }
}

/// Where a fault is, and what of the view itself.
const PLACES: [(FactKind, &str); 18] = [
    (
        FactKind::AllSilent,
        "{0} 台服务器均不应答监视器（{1}）：可能是监视器自身网络中断，也可能全部宕机",
    ),
    (FactKind::ViewBack, "服务器又能应答监视器了"),
    (FactKind::FiguresUnseen, "暂时看不到 {0} 的指标"),
    (FactKind::Unjudged, "{0} 在线但无法判断：故障是否仍在，本监视器无从得知"),
    (FactKind::AtMemberGone, "{0}：主机有应答，端口已关闭：进程已退出"),
    (FactKind::AtMemberSilent, "{0}：毫无应答：进程停顿、主机宕机，或链路中断"),
    (FactKind::AtMemberLooking, "{0} 有应答，正在寻找 Leader"),
    (
        FactKind::AtLeaderSilent,
        "{0} 是最近的 Leader，现无应答：停顿或被隔离；syncLimit 之前其 Follower 看似正常",
    ),
    (FactKind::AtLeaderAlone, "{0} 自称 Leader，但没有成员与其同步：与它们隔离"),
    (
        FactKind::AtElectionLinks,
        "{0} 均有应答且足以选举，却选不出 Leader：它们在选举端口或同步端口上互不可达",
    ),
    (
        FactKind::AtLeaderPath,
        "所有服务器看似正常，但经它们的写入均无响应：Leader {0} 到 Follower 的链路或其磁盘",
    ),
    (FactKind::AtLogDisk, "{0}：事务日志所在磁盘已满、只读或故障"),
    (FactKind::AtLogDiskFree, "{0}：{1} 所在磁盘剩余 {2} 字节"),
    (FactKind::AtMemberConfig, "{0} 的运行配置与多数成员不同（括号内为多数成员的值）：{1}"),
    (FactKind::AtMemberFile, "{0} 的 zoo.cfg 与多数成员的不一致"),
    (FactKind::AtMemberVersion, "{0} 运行 {1}，多数成员运行 {2}"),
    (FactKind::AtNoMajority, "{0} 彼此不一致，没有占多数的值：{1}"),
    (FactKind::AtGroup, "分组 {0}：{2} 个节点中有 {1} 个下线（{3}）：请查它们的共同之处"),
];

fn place(kind: FactKind) -> &'static str {
    PLACES.iter().find(|(known, _)| *known == kind).map_or("", |(_, text)| text)
}

pub(super) fn summary(rule: &str) -> &'static str {
    match rule {
        "ZkServerUnreachable" => "{0} 的 ZooKeeper 服务器 {1} 无应答",
        "ZkServerNotServing" => "{0} 的 ZooKeeper 服务器 {1} 有应答但不提供服务",
        "MonitorBlind" => "监视器看不到任何集群的任何服务器",
        "NodeDown" => "节点 {1} 已宕机（{0}）",
        "NodeViewLost" => "监控无法看到 {0} 中注册的节点",
        _ => "{2}：{1}（{0}）",
    }
}

/// A summary of what is over.
pub(super) fn over(rule: &str) -> &'static str {
    match rule {
        "ZkServerUnreachable" => "{0} 的 ZooKeeper 服务器 {1} 已恢复应答",
        "ZkServerNotServing" => "{0} 的 ZooKeeper 服务器 {1} 已恢复服务",
        "NodeDown" => "节点 {1} 不再处于宕机状态（{0}）",
        "NodeViewLost" => "监控已重新看到 {0} 中注册的节点",
        _ => "{2} 已解除：{1}（{0}）",
    }
}

pub(super) fn word(word: Word) -> &'static str {
    match word {
        Word::Severity => "级别",
        Word::Ensemble => "集群",
        Word::Server => "服务器",
        Word::Node => "节点",
        Word::Since => "首次发现",
        Word::Until => "恢复时间",
        Word::Incident => "故障编号",
        Word::Page => "页面",
        Word::Evidence => "依据",
        Word::Truncated => "（内容已截断，完整内容见页面）",
        Word::AndMore => "（另有 {0} 项）",
        Word::Locate => "排查位置",
        Word::Action => "处理办法",
        Word::TestSummary => "通道 {0} 的测试消息：一切正常",
        Word::TestDelivered => "已送达：接收方已接受该消息",
        Word::TestRefused => "被永久拒绝：{0}",
        Word::TestRetry => "未送达，正式通知将会重试：{0}",
        Word::OldWatches => {
            "{0} 的服务器不支持持久监视（ZooKeeper 3.6 之前）：改用一次性监视跟踪节点"
        }
        Word::NotOpen => "该故障已结束，无需确认",
        Word::StillFiring => "故障仍在：请先确认；恢复后方可关闭",
    }
}

pub(super) fn note(kind: NoteKind) -> &'static str {
    match kind {
        NoteKind::FiguresHidden => {
            "{0} 不允许四字命令 mntr；如需更多信息，请在其 zoo.cfg 中设置：\
             4lw.commands.whitelist=srvr,mntr,conf,ruok"
        }
        NoteKind::NoMetricsPage => {
            "{0} 没有指标页面；如需每秒看到全部指标，请在其 zoo.cfg 中设置：\
             metricsProvider.className=\
             org.apache.zookeeper.metrics.prometheus.PrometheusMetricsProvider\
             （端口不是 7000 时，请在 watchkeeper.toml 中设置 metrics_port）"
        }
        NoteKind::ConfHidden => {
            "{0} 不显示其配置，无法发现配置不一致；请在其 zoo.cfg 中设置：\
             4lw.commands.whitelist=srvr,mntr,conf,ruok"
        }
        NoteKind::PageSilent => "{0} 有应答，但其页面 {1} 没有：{2}",
        NoteKind::PageUnsound => "{0} 的指标页面有 {2} 行不合规范，第一处：{1}",
        NoteKind::PageCut => "{0} 的指标页面没有读完：{1}",
        NoteKind::ConnectionLimit => {
            "{0} 的页面有应答，但不应答就关闭来自本机的连接：每个地址的连接数已达上限；\
             请找出泄漏连接的客户端，或在其 zoo.cfg 中设置：maxClientCnxns=0"
        }
        NoteKind::ForeignAdmin => {
            "{0} 旁端口 {1} 的 AdminServer 属于客户端端口为 {2} 的服务器；请在 zoo.cfg 中\
             分别设置（admin.serverPort=...）并写入 watchkeeper.toml"
        }
        NoteKind::ConfigDiffers => "{0} 各服务器的 {1} 不一致：{2}",
        NoteKind::MembersUnknown => {
            "{0} 无法给出其服务器列表（ZooKeeper 3.5 之前）；请在 watchkeeper.toml 的 \
             [ensemble.{0}] servers 中列出全部服务器"
        }
        NoteKind::MemberUnresolved => {
            "{0} 的服务器 {1} 的名字在本机无法解析，因此没有监视它；请使该名字可解析，\
             或在 watchkeeper.toml 中写明该服务器"
        }
        NoteKind::Barred => {
            "{0} 在线，但与本监控互不信任，因此看不到它的任何情况：{1}；请更正 watchkeeper.toml 的 \
             [ensemble.NAME] tls（ca、certificate、key、any_hostname）或服务器证书"
        }
        NoteKind::SecurePortUnknown => {
            "{0} 有一台服务器的非 TLS 客户端地址为 {1}，而其 TLS 端口不在任何列表中（ZooKeeper 3.10 之前），\
             因此没有监视它；请在 watchkeeper.toml 的 [ensemble.{0}] servers 中列出全部服务器"
        }
    }
}

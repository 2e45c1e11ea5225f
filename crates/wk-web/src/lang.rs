//! The words of the pages, in English and Chinese.
//!
//! What the monitor says (summaries, evidence, notes) comes in the monitor's one language; the
//! words around it follow the reader.

use wk_monitor::{
    ChannelKind, DeliveryState, IncidentState, Level, NodeState, Phase, ServerState, Severity,
    Timestamp,
};

/// A language of the pages.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Lang {
    /// English.
    #[default]
    En,
    /// Chinese, simplified.
    Zh,
}

impl Lang {
    /// Reads `en`, `zh`, and longer tags such as `zh-CN` or `en_US.UTF-8`.
    pub fn from_tag(tag: &str) -> Option<Self> {
        let primary = tag.split(['-', '_', '.', ';']).next().unwrap_or("").trim();
        match primary.to_ascii_lowercase().as_str() {
            "en" => Some(Self::En),
            "zh" => Some(Self::Zh),
            _ => None,
        }
    }

    /// The first language of an `Accept-Language` header that we have, by the reader's weights.
    pub fn from_accept(header: &str) -> Option<Self> {
        let mut best: Option<(f32, Self)> = None;
        for part in header.split(',') {
            let weight = part.split(';').skip(1).find_map(|p| p.trim().strip_prefix("q="));
            let weight = weight.map_or(1.0, |q| q.trim().parse().unwrap_or(0.0));
            if let Some(lang) = Self::from_tag(part.trim())
                && weight > 0.0
                && best.is_none_or(|(most, _)| weight > most)
            {
                best = Some((weight, lang));
            }
        }
        best.map(|(_, lang)| lang)
    }

    /// The tag for HTML.
    pub fn tag(self) -> &'static str {
        match self {
            Self::En => "en",
            Self::Zh => "zh-CN",
        }
    }

    /// The short code, as in `?lang=`.
    pub fn code(self) -> &'static str {
        match self {
            Self::En => "en",
            Self::Zh => "zh",
        }
    }

    /// The English or the Chinese of two.
    pub(crate) fn of<T>(self, en: T, zh: T) -> T {
        match self {
            Self::En => en,
            Self::Zh => zh,
        }
    }

    pub(crate) fn severity(self, severity: Severity) -> &'static str {
        match severity {
            Severity::Info => self.of("info", "提示"),
            Severity::Warning => self.of("warning", "警告"),
            Severity::Critical => self.of("critical", "严重"),
        }
    }

    pub(crate) fn incident(self, state: IncidentState) -> &'static str {
        match state {
            IncidentState::Pending => self.of("pending", "待定"),
            IncidentState::Suppressed => self.of("suppressed", "已抑制"),
            IncidentState::Firing => self.of("firing", "告警中"),
            IncidentState::Acknowledged => self.of("acknowledged", "已认领"),
            IncidentState::Unknown => self.of("cannot see", "无法观察"),
            IncidentState::Resolved => self.of("resolved", "已恢复"),
            IncidentState::Closed => self.of("closed", "已关闭"),
        }
    }

    pub(crate) fn server(self, state: ServerState) -> &'static str {
        match state {
            ServerState::Unknown => self.of("not probed yet", "尚未探测"),
            ServerState::Up => self.of("serving", "服务中"),
            ServerState::NotServing => self.of("not serving", "不提供服务"),
            ServerState::Unreachable => self.of("unreachable", "无法连接"),
        }
    }

    pub(crate) fn node(self, state: NodeState) -> &'static str {
        match state {
            NodeState::Starting => self.of("starting", "启动中"),
            NodeState::Up => self.of("up", "在线"),
            NodeState::Down => self.of("down", "宕机"),
            NodeState::Left => self.of("left", "已离开"),
            NodeState::Suspect => self.of("suspect", "可疑"),
            NodeState::Unknown => self.of("unknown", "未知"),
            NodeState::Maintenance => self.of("maintenance", "维护中"),
        }
    }

    pub(crate) fn level(self, level: Level) -> &'static str {
        match level {
            Level::Ok => self.of("OK", "正常"),
            Level::Unknown => self.of("unknown", "未知"),
            Level::Warning => self.of("warning", "警告"),
            Level::Critical => self.of("critical", "严重"),
        }
    }

    pub(crate) fn delivery(self, state: DeliveryState) -> &'static str {
        match state {
            DeliveryState::Queued => self.of("waiting", "待发送"),
            DeliveryState::Sent => self.of("sent, not confirmed", "已发送，未确认"),
            DeliveryState::Confirmed => self.of("confirmed", "已确认送达"),
            DeliveryState::Failed => self.of("refused", "被拒收"),
            DeliveryState::Expired => self.of("too late to send", "已过期"),
        }
    }

    pub(crate) fn phase(self, phase: Phase) -> &'static str {
        match phase {
            Phase::Firing => self.of("alarm", "告警"),
            Phase::Resolved => self.of("all clear", "恢复"),
        }
    }

    pub(crate) fn channel(self, kind: ChannelKind) -> &'static str {
        match kind {
            ChannelKind::Webhook => "webhook",
            ChannelKind::Dingtalk => self.of("DingTalk", "钉钉"),
            ChannelKind::Mail => self.of("mail", "邮件"),
        }
    }

    /// `2 min 11 s`: the two largest units.
    pub(crate) fn duration(self, seconds: u64) -> String {
        let (days, hours) = (seconds / 86_400, seconds / 3600 % 24);
        let (minutes, rest) = (seconds / 60 % 60, seconds % 60);
        let units = self.of(["d", "h", "min", "s"], ["天", "小时", "分", "秒"]);
        let two = |big: u64, big_unit, small: u64, small_unit| match small {
            0 => format!("{big} {big_unit}"),
            _ => format!("{big} {big_unit} {small} {small_unit}"),
        };
        match (days, hours, minutes) {
            (0, 0, 0) => format!("{rest} {}", units[3]),
            (0, 0, _) => two(minutes, units[2], rest, units[3]),
            (0, _, _) => two(hours, units[1], minutes, units[2]),
            _ => two(days, units[0], hours, units[1]),
        }
    }
}

/// Times as people read them: the machine's own time zone.
#[derive(Clone, Debug)]
pub(crate) struct Clock {
    zone: jiff::tz::TimeZone,
    pub(crate) now: Timestamp,
}

impl Clock {
    pub(crate) fn now() -> Self {
        Self { zone: jiff::tz::TimeZone::system(), now: Timestamp::now() }
    }

    /// `03:02:14` today, with the date before on other days.
    pub(crate) fn time(&self, at: Timestamp) -> String {
        let (Some(at), Some(now)) = (self.zoned(at), self.zoned(self.now)) else {
            return at.to_string();
        };
        let form = if at.date() == now.date() { "%H:%M:%S" } else { "%Y-%m-%d %H:%M:%S" };
        at.strftime(form).to_string()
    }

    /// `UTC`, `Asia/Shanghai`, or the offset.
    pub(crate) fn zone(&self) -> String {
        match self.zone.iana_name() {
            Some(name) => name.to_owned(),
            None => self.zoned(self.now).map_or(String::new(), |at| at.offset().to_string()),
        }
    }

    fn zoned(&self, at: Timestamp) -> Option<jiff::Zoned> {
        let at = jiff::Timestamp::from_millisecond(at.0).ok()?;
        Some(at.to_zoned(self.zone.clone()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reader_gets_the_language_he_weighs_most() {
        assert_eq!(Lang::from_accept("zh-CN,zh;q=0.9,en;q=0.8"), Some(Lang::Zh));
        assert_eq!(Lang::from_accept("de, en;q=0.4, zh;q=0.6"), Some(Lang::Zh));
        assert_eq!(Lang::from_accept("fr"), None);
        assert_eq!(Lang::from_accept("zh;q=0, en;q=0.1"), Some(Lang::En));
        assert_eq!(Lang::from_tag("zh_CN.UTF-8"), Some(Lang::Zh));
        assert_eq!(Lang::from_tag("C"), None);
    }

    #[test]
    fn durations_show_two_units() {
        assert_eq!(Lang::En.duration(0), "0 s");
        assert_eq!(Lang::En.duration(131), "2 min 11 s");
        assert_eq!(Lang::En.duration(7200), "2 h");
        assert_eq!(Lang::Zh.duration(90_061), "1 天 1 小时");
    }
}

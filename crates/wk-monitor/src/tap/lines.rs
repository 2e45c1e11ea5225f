//! Changes of ACLs and of the member list, as lines for the audit: each by itself, a storm of them
//! as one line a minute with its count.

use std::time::Duration;

use tokio::time::Instant;
use wk_alert::{Fact, FactKind};
use wk_proto::OpCode;
use wk_tap::{Change, Kind};

/// What is counted together.
const MINUTE: Duration = Duration::from_mins(1);
/// So many changes of a kind have a line of their own in a minute; more are a storm.
const LINES_MAX: u32 = 5;
/// A path, a member list or an ACL is kept so far, in characters.
const DETAIL_MAX: usize = 400;

/// See the module's head.
#[derive(Debug, Default)]
pub(super) struct Lines {
    acls: Storm,
    members: Storm,
}

/// The changes of one kind in the minute that runs.
#[derive(Debug, Default)]
struct Storm {
    /// When it ends; none: nothing changed of late.
    until: Option<Instant>,
    /// Lines that it may still have.
    left: u32,
    /// Changes without a line of their own, and where the last of them was.
    more: u64,
    last: String,
}

impl Storm {
    /// Whether a change has a line of its own.
    fn take(&mut self, now: Instant, place: &str) -> bool {
        if self.until.is_none() {
            *self = Self { until: Some(now + MINUTE), left: LINES_MAX, ..Self::default() };
        }
        if self.left > 0 {
            self.left -= 1;
            return true;
        }
        self.more += 1;
        place.clone_into(&mut self.last);
        false
    }

    /// How many changes had no line in the minute that is over, and where the last of them was.
    fn tick(&mut self, now: Instant) -> Option<(u64, String)> {
        if self.until.is_none_or(|until| now < until) {
            return None;
        }
        if self.more == 0 {
            self.until = None;
            return None;
        }
        // It goes on until a minute brings nothing.
        self.until = Some(now + MINUTE);
        Some((std::mem::take(&mut self.more), std::mem::take(&mut self.last)))
    }
}

impl Lines {
    /// What a txn gives to write.
    pub(super) fn take(&mut self, now: Instant, change: &Change, facts: &mut Vec<Fact>) {
        if change.op.error.is_some() {
            return;
        }
        let (session, zxid) = (change.session.to_string(), change.zxid.to_string());
        for op in std::iter::once(&change.op).chain(&change.ops) {
            let path = shown(op.path.as_deref().unwrap_or_default());
            let detail = shown(change.detail.as_deref().unwrap_or_default());
            let (session, zxid) = (session.clone(), zxid.clone());
            match op.kind {
                Kind::Op(OpCode::SetAcl) if self.acls.take(now, &path) => {
                    facts.push(Fact::new(FactKind::AclChanged, [path, detail, session, zxid]));
                }
                Kind::Op(OpCode::Reconfig) if self.members.take(now, &zxid) => {
                    facts.push(Fact::new(FactKind::MembersChanged, [detail, session, zxid]));
                }
                Kind::Op(_) | Kind::Other(_) => {}
            }
        }
    }

    /// What a minute that is over gives to write.
    pub(super) fn tick(&mut self, now: Instant, facts: &mut Vec<Fact>) {
        if let Some((more, path)) = self.acls.tick(now) {
            facts.push(Fact::new(FactKind::AclStorm, [more.to_string(), path]));
        }
        if let Some((more, zxid)) = self.members.tick(now) {
            facts.push(Fact::new(FactKind::MembersStorm, [more.to_string(), zxid]));
        }
    }
}

/// On one line, and not too long.
fn shown(detail: &str) -> String {
    let lines: Vec<&str> = detail.lines().map(str::trim).filter(|line| !line.is_empty()).collect();
    let line = lines.join("; ");
    match line.char_indices().nth(DETAIL_MAX) {
        Some((end, _)) => format!("{}...", &line[..end]),
        None => line,
    }
}

#[cfg(test)]
mod tests {
    use wk_proto::txn::{TxnHeader, encode_record};
    use wk_proto::{SessionId, Txn, Wall, Zxid};

    use super::*;

    fn change(op: OpCode, txn: &Txn<'_>) -> Change {
        let header =
            TxnHeader { session: SessionId(7), cxid: 1, zxid: Zxid(0x2a), time: Wall(0), op };
        let mut record = Vec::new();
        encode_record(&header, txn, None, &mut record);
        Change::read(&record)
    }

    fn members(list: &[u8]) -> Change {
        let txn =
            Txn::Reconfig { path: "/zookeeper/config".into(), data: Some(list.into()), version: 3 };
        change(OpCode::Reconfig, &txn)
    }

    fn told(lines: &mut Lines, at: Instant, change: &Change) -> Vec<Fact> {
        let mut facts = Vec::new();
        lines.take(at, change, &mut facts);
        facts
    }

    #[test]
    fn a_storm_is_one_line_a_minute_with_its_count() {
        let (mut lines, begin) = (Lines::default(), Instant::now());
        let list = members(b"server.1=a:1:2\nserver.2=b:1:2\nversion=5\n");
        let first = told(&mut lines, begin, &list);
        let args = ["server.1=a:1:2; server.2=b:1:2; version=5", "0x7", "0x2a"];
        assert_eq!(first, [Fact::new(FactKind::MembersChanged, args.map(str::to_owned))]);
        for _ in 0..1000 {
            told(&mut lines, begin, &list);
        }
        let tick = |lines: &mut Lines, at: Instant| {
            let mut facts = Vec::new();
            lines.tick(at, &mut facts);
            facts
        };
        assert_eq!(tick(&mut lines, begin + MINUTE / 2), []);
        // 1001 changes, of which five had their own lines.
        let storm = |count: &str| Fact::new(FactKind::MembersStorm, [count.into(), "0x2a".into()]);
        assert_eq!(tick(&mut lines, begin + MINUTE), [storm("996")]);
        assert_eq!(told(&mut lines, begin + MINUTE, &list), [], "it goes on");
        assert_eq!(tick(&mut lines, begin + MINUTE * 2), [storm("1")]);
        assert_eq!(tick(&mut lines, begin + MINUTE * 3), []);
        assert_eq!(told(&mut lines, begin + MINUTE * 3, &list).len(), 1, "calm again");
    }
}

//! A txn of the stream, taken apart for people, figures and judgement.
//!
//! Whatever the record holds, something is said: a type that nobody knows yet is named by its
//! number, and a record that cannot be read keeps its header.

use wk_proto::txn::TxnHeader;
use wk_proto::{ErrorCode, OpCode, Reader, SessionId, Txn, Wall, Zxid};

/// How much of an ACL or a member list is kept.
const DETAIL_MAX: usize = 4096;

/// One committed txn.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    /// Position in the history.
    pub zxid: Zxid,
    /// The leader's time of day.
    pub time: Wall,
    /// Whose write; [`SessionId::NONE`]: the servers' own.
    pub session: SessionId,
    /// The session's xid of the request; 0 where no client asked.
    pub cxid: i32,
    /// What it did. A multi's parts are in `ops`.
    pub op: ChangeOp,
    /// The parts of a multi.
    pub ops: Vec<ChangeOp>,
    /// The ephemerals that went with a closed session.
    pub ephemerals: Vec<String>,
    /// Of a closed session: did it expire, or did its client close it?
    pub expired: Option<bool>,
    /// The ACL that was set, or the member list, shortened.
    pub detail: Option<String>,
    /// Bytes of the whole record.
    pub len: usize,
}

/// An operation: the txn's own, or a part of a multi.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ChangeOp {
    /// The operation's name, or its number if it has none.
    pub kind: Kind,
    /// Which znode; a failed write does not say.
    pub path: Option<String>,
    /// Bytes of the data that was written; null data has none.
    pub size: Option<usize>,
    /// Why it failed.
    pub error: Option<Failure>,
    /// The number that a sequential create got from its parent's counter.
    pub sequence: Option<i32>,
}

/// What kind of txn it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// One that we know.
    Op(OpCode),
    /// The number of another.
    Other(i32),
}

impl std::fmt::Display for Kind {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Op(op) => f.pad(op.name()),
            Self::Other(code) => write!(f, "type{code}"),
        }
    }
}

/// Why a write failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Failure(pub i32);

impl std::fmt::Display for Failure {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match ErrorCode::from_code(self.0) {
            Some(code) => f.pad(code.name()),
            None => write!(f, "{}", self.0),
        }
    }
}

impl Change {
    /// Takes a record apart that [`crate::Event::Txn`] holds.
    pub fn read(record: &[u8]) -> Self {
        let mut r = Reader::new(record);
        let mut change = Self::header(&mut r.clone(), record.len());
        let Ok(header) = TxnHeader::decode(&mut r) else { return change };
        if let Ok(txn) = Txn::decode(header.op, &mut r) {
            change.fill(&txn);
        }
        if header.op == OpCode::CloseSession {
            change.expired = Some(header.cxid == 0);
        }
        change
    }

    /// The part that every record has; zeros stand for what is cut off.
    fn header(r: &mut Reader<'_>, len: usize) -> Self {
        let session = SessionId(r.i64().unwrap_or_default());
        let cxid = r.i32().unwrap_or_default();
        let zxid = Zxid(r.i64().unwrap_or_default());
        let time = Wall(r.i64().unwrap_or_default());
        let code = r.i32().unwrap_or_default();
        let kind = OpCode::from_code(code).map_or(Kind::Other(code), Kind::Op);
        Self {
            zxid,
            time,
            session,
            cxid,
            op: ChangeOp { kind, path: None, size: None, error: None, sequence: None },
            ops: Vec::new(),
            ephemerals: Vec::new(),
            expired: None,
            detail: None,
            len,
        }
    }

    fn fill(&mut self, txn: &Txn<'_>) {
        self.op = ChangeOp::of(txn);
        match txn {
            Txn::Multi(parts) => {
                self.ops = parts.iter().map(ChangeOp::of).collect();
                // One part failed; the others say that they did not run.
                let failed = self.ops.iter().filter_map(|op| op.error);
                let skipped = ErrorCode::RuntimeInconsistency.code();
                self.op.error = failed.clone().find(|e| e.0 != skipped).or(failed.clone().next());
            }
            Txn::CloseSession { paths: Some(paths) } => {
                self.ephemerals = paths.iter().map(ToString::to_string).collect();
            }
            Txn::SetAcl { acl, .. } => {
                let entry = |acl: wk_proto::AclRef<'_>| {
                    format!("{}:{}:{}", acl.scheme, acl.id, acl.perms.0)
                };
                let entries: Vec<_> = acl.iter().map(entry).collect();
                self.detail = Some(shortened(&entries.join(",")));
            }
            Txn::Reconfig { data: Some(data), .. } => {
                self.detail = Some(shortened(&String::from_utf8_lossy(data)));
            }
            Txn::Create(_)
            | Txn::Create2(_)
            | Txn::CreateContainer(_)
            | Txn::CreateTtl { .. }
            | Txn::Delete { .. }
            | Txn::DeleteContainer { .. }
            | Txn::SetData { .. }
            | Txn::Reconfig { data: None, .. }
            | Txn::Check { .. }
            | Txn::CreateSession { .. }
            | Txn::CloseSession { paths: None }
            | Txn::Error { .. } => {}
        }
    }

    /// Does it, or a part of it, touch `prefix` or something below?
    pub fn is_under(&self, prefix: &str) -> bool {
        self.paths().any(|path| is_under(path, prefix))
    }

    /// Every path that it names.
    pub fn paths(&self) -> impl Iterator<Item = &str> {
        let own = std::iter::once(&self.op).chain(&self.ops);
        let named = own.filter_map(|op| op.path.as_deref());
        named.chain(self.ephemerals.iter().map(String::as_str))
    }
}

impl ChangeOp {
    fn of(txn: &Txn<'_>) -> Self {
        let (path, size, error) = match txn {
            Txn::Create(create)
            | Txn::Create2(create)
            | Txn::CreateContainer(create)
            | Txn::CreateTtl { create, .. } => {
                (Some(&create.path), create.data.as_ref().map(|data| data.len()), None)
            }
            Txn::SetData { path, data, .. } | Txn::Reconfig { path, data, .. } => {
                (Some(path), data.as_ref().map(|data| data.len()), None)
            }
            Txn::Delete { path }
            | Txn::DeleteContainer { path }
            | Txn::SetAcl { path, .. }
            | Txn::Check { path, .. } => (Some(path), None, None),
            // Parts of a failed multi that a leader sends late keep the first bytes of what they
            // were where the error should stand.
            Txn::Error { code: 0.. } => (None, None, None),
            Txn::Error { code } => (None, None, Some(Failure(*code))),
            Txn::CreateSession { .. } | Txn::CloseSession { .. } | Txn::Multi(_) => {
                (None, None, None)
            }
        };
        let (kind, path) = (Kind::Op(txn.op()), path.map(ToString::to_string));
        Self { kind, path, size, error, sequence: sequence(txn) }
    }
}

/// A create is sequential where its name ends with the number of the parent's counter, which the
/// txn has advanced by one. Nothing else says so.
fn sequence(txn: &Txn<'_>) -> Option<i32> {
    let (Txn::Create(create)
    | Txn::Create2(create)
    | Txn::CreateContainer(create)
    | Txn::CreateTtl { create, .. }) = txn
    else {
        return None;
    };
    let digits = create.path.get(create.path.len().checked_sub(10)?..)?;
    let number: i32 = digits.parse().ok().filter(|_| digits.bytes().all(|b| b.is_ascii_digit()))?;
    (create.parent_cversion.checked_sub(1) == Some(number)).then_some(number)
}

/// Is `path` the znode `prefix` or below it?
pub fn is_under(path: &str, prefix: &str) -> bool {
    let prefix = prefix.trim_end_matches('/');
    path.strip_prefix(prefix).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

fn shortened(text: &str) -> String {
    let mut end = text.len().min(DETAIL_MAX);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    text[..end].to_owned()
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use wk_proto::quorum::{self, PacketKind};

    use super::*;

    fn changes(name: &str) -> Vec<Change> {
        let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../golden");
        let file = dir.join(format!("zookeeper-3.9.5-ensemble/quorum-{name}-leader.bin"));
        let bytes = std::fs::read(file).unwrap();
        let mut rest = &bytes[..];
        let mut found = Vec::new();
        while let Some(packet) = quorum::split(&mut rest, 1 << 20).unwrap() {
            if matches!(packet.kind, PacketKind::Inform | PacketKind::Proposal) {
                found.push(Change::read(packet.data.unwrap()));
            } else if packet.kind == PacketKind::InformAndActivate {
                found.push(Change::read(quorum::decode_activate(&packet).unwrap().1));
            }
        }
        found
    }

    fn line(change: &Change) -> String {
        let path = change.op.path.as_deref().unwrap_or("-");
        let error = change.op.error.map(|error| error.to_string()).unwrap_or_default();
        format!("{} {path} {error}", change.op.kind).trim_end().to_owned()
    }

    #[test]
    fn a_real_stream_says_what_was_written_and_what_failed() {
        let changes = changes("inform");
        let lines: Vec<_> = changes.iter().map(line).collect();
        let want = [
            "createSession -",
            "create /golden",
            "create /golden/a",
            "setData /golden/a",
            "error - NODEEXISTS",
            "error - NONODE",
            "error - BADVERSION",
            "create /golden/e-0000000001",
            "create /golden/eph",
            "multi -",
            "multi - BADVERSION",
            "setACL /golden/a",
            "closeSession -",
        ];
        assert_eq!(lines, want);
        assert_eq!(changes[2].op.size, Some(3));
        assert_eq!((changes[7].op.sequence, changes[8].op.sequence), (Some(1), None));
        let kinds: Vec<_> = changes[9].ops.iter().map(|op| op.kind.to_string()).collect();
        assert_eq!(kinds, ["create", "setData", "check", "delete"]);
        assert_eq!(changes[11].detail.as_deref(), Some("world:anyone:31"));
        let closed = &changes[12];
        assert_eq!(closed.expired, Some(false), "its client closed it");
        assert_eq!(closed.ephemerals, ["/golden/eph", "/golden/e-0000000001"]);
        assert!(closed.is_under("/golden/eph") && !closed.is_under("/gold"));
        assert!(changes[9].is_under("/golden/m") && changes[9].is_under("/"));
    }

    #[test]
    fn a_failed_multi_that_comes_late_says_its_error_too() {
        let late = changes("diff");
        let failed = late.iter().find(|change| change.zxid == Zxid(0x1_0000_000b)).unwrap();
        assert_eq!(line(failed), "multi - BADVERSION");
    }

    #[test]
    fn a_change_of_members_has_the_new_list() {
        let changes = changes("reconfig");
        let change = changes.iter().find(|c| c.op.kind == Kind::Op(OpCode::Reconfig)).unwrap();
        assert!(change.detail.as_deref().unwrap().ends_with("version=100000002"));
        assert_eq!(change.op.path.as_deref(), Some("/zookeeper/config"));
    }

    #[test]
    fn what_cannot_be_read_keeps_its_header() {
        let mut record = Vec::new();
        record.extend_from_slice(&7_i64.to_be_bytes());
        record.extend_from_slice(&3_i32.to_be_bytes());
        record.extend_from_slice(&9_i64.to_be_bytes());
        record.extend_from_slice(&1_i64.to_be_bytes());
        for (code, want) in [(99_i32, "type99"), (1, "create")] {
            let bytes = [&record[..], &code.to_be_bytes(), &[0xff; 3]].concat();
            let change = Change::read(&bytes);
            assert_eq!((change.zxid, change.session, change.cxid), (Zxid(9), SessionId(7), 3));
            assert_eq!(change.op.kind.to_string(), want);
        }
        for len in 0..record.len() {
            let _ = Change::read(&record[..len]);
        }
        assert_eq!(shortened(&"é".repeat(3000)).len(), DETAIL_MAX);
    }
}

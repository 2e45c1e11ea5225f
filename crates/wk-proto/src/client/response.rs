//! Replies and watch events.

use crate::acl::AclList;
use crate::client::request::put_multi_header;
use crate::error::ErrorCode;
use crate::ids::{Xid, Zxid};
use crate::jute::{DecodeError, JuteWrite, Reader};
use crate::op::OpCode;
use crate::stat::Stat;

/// What stands before every reply. 16 bytes. The record follows only where `err` is 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ReplyHeader {
    /// The request's xid, or a special one.
    pub xid: Xid,
    /// The last txn that the server has applied; for a write, its own.
    pub zxid: Zxid,
    /// An [`ErrorCode`], or 0.
    pub err: i32,
}

impl ReplyHeader {
    /// Length of the encoding.
    pub const LEN: usize = 16;

    /// Appends the record.
    pub fn encode(&self, out: &mut Vec<u8>) {
        out.put_i32(self.xid.0);
        out.put_i64(self.zxid.0);
        out.put_i32(self.err);
    }

    /// Reads the record.
    pub fn decode(r: &mut Reader<'_>) -> Result<Self, DecodeError> {
        Ok(Self { xid: Xid(r.i32()?), zxid: Zxid(r.i64()?), err: r.i32()? })
    }
}

/// What happened to a watched znode.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum EventType {
    /// It was created.
    NodeCreated,
    /// It was deleted.
    NodeDeleted,
    /// Its data was set.
    NodeDataChanged,
    /// A child was created or deleted.
    NodeChildrenChanged,
}

impl EventType {
    /// The number on the wire.
    pub fn code(self) -> i32 {
        match self {
            Self::NodeCreated => 1,
            Self::NodeDeleted => 2,
            Self::NodeDataChanged => 3,
            Self::NodeChildrenChanged => 4,
        }
    }

    /// The type behind a number of the wire.
    pub fn from_code(code: i32) -> Option<Self> {
        Some(match code {
            1 => Self::NodeCreated,
            2 => Self::NodeDeleted,
            3 => Self::NodeDataChanged,
            4 => Self::NodeChildrenChanged,
            _ => return None,
        })
    }
}

/// State of the connection, as events carry it. A server only ever sends `SyncConnected`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KeeperState(pub i32);

impl KeeperState {
    /// Connected to a server of the quorum.
    pub const SYNC_CONNECTED: Self = Self(3);
}

/// The record of a notification.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WatcherEvent<'a> {
    /// What happened.
    pub kind: EventType,
    /// State of the connection.
    pub state: KeeperState,
    /// To which znode.
    pub path: &'a str,
}

impl<'a> WatcherEvent<'a> {
    /// Appends the record.
    pub fn encode(&self, out: &mut Vec<u8>) {
        out.put_i32(self.kind.code());
        out.put_i32(self.state.0);
        out.put_string(self.path);
    }

    /// Reads the record.
    pub fn decode(r: &mut Reader<'a>) -> Result<Self, DecodeError> {
        let value = r.i32()?;
        let kind = EventType::from_code(value)
            .ok_or(DecodeError::Unknown { what: "event type", value })?;
        Ok(Self { kind, state: KeeperState(r.i32()?), path: r.string()? })
    }
}

/// Appends the reply to getChildren (without stat) or getChildren2 (with it).
/// `count` is the number of names that `names` yields.
pub fn encode_children<'n>(
    count: usize,
    names: impl Iterator<Item = &'n str>,
    stat: Option<&Stat>,
    out: &mut Vec<u8>,
) {
    out.put_len(count);
    for name in names {
        out.put_string(name);
    }
    if let Some(stat) = stat {
        stat.encode(out);
    }
}

/// Appends the reply to getData.
pub fn encode_data(data: Option<&[u8]>, stat: &Stat, out: &mut Vec<u8>) {
    out.put_buffer(data);
    stat.encode(out);
}

/// Appends the reply to getACL.
pub fn encode_acl(acl: &AclList<'_>, stat: &Stat, out: &mut Vec<u8>) {
    out.put_bytes(acl.as_bytes());
    stat.encode(out);
}

/// The result of one operation of a multi or a multiRead.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum OpResult<'a> {
    /// create: the final path.
    Create {
        /// Final path.
        path: &'a str,
    },
    /// create2, createContainer, createTTL: the final path and the stat.
    Create2 {
        /// Final path.
        path: &'a str,
        /// Stat of the new znode.
        stat: Stat,
    },
    /// delete.
    Delete,
    /// setData.
    SetData {
        /// Stat afterwards.
        stat: Stat,
    },
    /// check.
    Check,
    /// getData.
    GetData {
        /// Data; `None` is null.
        data: Option<&'a [u8]>,
        /// Its stat.
        stat: Stat,
    },
    /// getChildren.
    GetChildren {
        /// Names, in no order.
        names: Vec<&'a str>,
    },
    /// It failed, or another one did. 0: it would have succeeded.
    Error {
        /// An [`ErrorCode`], or 0.
        code: i32,
    },
}

impl<'a> OpResult<'a> {
    /// A failure.
    pub fn error(code: ErrorCode) -> Self {
        Self::Error { code: code.code() }
    }

    /// The type on the wire. createContainer and createTTL answer as create2.
    fn op(&self) -> OpCode {
        match self {
            Self::Create { .. } => OpCode::Create,
            Self::Create2 { .. } => OpCode::Create2,
            Self::Delete => OpCode::Delete,
            Self::SetData { .. } => OpCode::SetData,
            Self::Check => OpCode::Check,
            Self::GetData { .. } => OpCode::GetData,
            Self::GetChildren { .. } => OpCode::GetChildren,
            Self::Error { .. } => OpCode::Error,
        }
    }

    /// Appends header and record; the last result is followed by [`encode_multi_end`].
    pub fn encode(&self, out: &mut Vec<u8>) {
        let err = if let Self::Error { code } = self { *code } else { 0 };
        put_multi_header(out, self.op().code(), false, err);
        match self {
            Self::Create { path } => out.put_string(path),
            Self::Create2 { path, stat } => {
                out.put_string(path);
                stat.encode(out);
            }
            Self::Delete | Self::Check => {}
            Self::SetData { stat } => stat.encode(out),
            Self::GetData { data, stat } => encode_data(*data, stat, out),
            Self::GetChildren { names } => out.put_strings(names),
            Self::Error { code } => out.put_i32(*code),
        }
    }

    fn decode(code: i32, r: &mut Reader<'a>) -> Result<Self, DecodeError> {
        Ok(match OpCode::from_code(code) {
            Some(OpCode::Create) => Self::Create { path: r.string()? },
            Some(OpCode::Create2) => Self::Create2 { path: r.string()?, stat: Stat::decode(r)? },
            Some(OpCode::Delete) => Self::Delete,
            Some(OpCode::SetData) => Self::SetData { stat: Stat::decode(r)? },
            Some(OpCode::Check) => Self::Check,
            Some(OpCode::GetData) => Self::GetData { data: r.buffer()?, stat: Stat::decode(r)? },
            Some(OpCode::GetChildren) => Self::GetChildren { names: r.strings()? },
            Some(OpCode::Error) => Self::Error { code: r.i32()? },
            _ => {
                return Err(DecodeError::Unknown { what: "result type", value: code });
            }
        })
    }
}

/// Appends the mark after the last result of a multi.
pub fn encode_multi_end(out: &mut Vec<u8>) {
    put_multi_header(out, -1, true, -1);
}

/// Reads the reply to a multi or a multiRead.
pub fn decode_multi<'a>(r: &mut Reader<'a>) -> Result<Vec<OpResult<'a>>, DecodeError> {
    let mut results = Vec::new();
    loop {
        let code = r.i32()?;
        let done = r.bool()?;
        r.i32()?;
        if done {
            return Ok(results);
        }
        results.push(OpResult::decode(code, r)?);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failed_multi_is_byte_exact() {
        let mut out = Vec::new();
        for code in [0, -101, -2] {
            OpResult::Error { code }.encode(&mut out);
        }
        encode_multi_end(&mut out);
        let hex: String = out.iter().map(|b| format!("{b:02x}")).collect();
        assert_eq!(
            hex,
            "ffffffff000000000000000000\
             ffffffff00ffffff9bffffff9b\
             ffffffff00fffffffefffffffe\
             ffffffff01ffffffff"
        );
    }

    #[test]
    fn results_round_trip() {
        let stat = Stat { version: 3, ..Stat::default() };
        let results = vec![
            OpResult::Create { path: "/a" },
            OpResult::Create2 { path: "/b", stat },
            OpResult::Delete,
            OpResult::SetData { stat },
            OpResult::Check,
            OpResult::GetData { data: Some(b"x"), stat },
            OpResult::GetChildren { names: vec!["c", "d"] },
            OpResult::error(ErrorCode::NoNode),
        ];
        let mut out = Vec::new();
        for result in &results {
            result.encode(&mut out);
        }
        encode_multi_end(&mut out);
        assert_eq!(decode_multi(&mut Reader::new(&out)), Ok(results));
        for cut in 0..out.len() {
            assert!(decode_multi(&mut Reader::new(&out[..cut])).is_err());
        }
    }

    #[test]
    fn events_round_trip() {
        let event = WatcherEvent {
            kind: EventType::NodeDeleted,
            state: KeeperState::SYNC_CONNECTED,
            path: "/a",
        };
        let mut out = Vec::new();
        event.encode(&mut out);
        assert_eq!(out, [0, 0, 0, 2, 0, 0, 0, 3, 0, 0, 0, 2, b'/', b'a']);
        assert_eq!(WatcherEvent::decode(&mut Reader::new(&out)), Ok(event));
    }
}

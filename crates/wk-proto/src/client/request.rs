//! Requests: a header and, for most operations, a record.

use crate::acl::AclList;
use crate::ids::{Xid, Zxid};
use crate::jute::{DecodeError, JuteWrite, Reader};
use crate::op::OpCode;

/// What stands before every request. 8 bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RequestHeader {
    /// The client's number for the request.
    pub xid: Xid,
    /// The operation's number, which the server may not know.
    pub op: i32,
}

impl RequestHeader {
    /// Appends the record.
    pub fn encode(&self, out: &mut Vec<u8>) {
        out.put_i32(self.xid.0);
        out.put_i32(self.op);
    }

    /// Reads the record.
    pub fn decode(r: &mut Reader<'_>) -> Result<Self, DecodeError> {
        Ok(Self { xid: Xid(r.i32()?), op: r.i32()? })
    }
}

/// What kind of znode a create makes (`CreateMode`, 3.9).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum CreateMode {
    /// Stays until it is deleted.
    #[default]
    Persistent,
    /// Goes with its session.
    Ephemeral,
    /// Persistent, with a sequence suffix.
    PersistentSequential,
    /// Ephemeral, with a sequence suffix.
    EphemeralSequential,
    /// Removed some time after its last child.
    Container,
    /// Removed when it has no children and has not been set for its time to live.
    Ttl,
    /// The same, with a sequence suffix.
    TtlSequential,
}

impl CreateMode {
    /// The flags on the wire.
    pub fn flags(self) -> i32 {
        match self {
            Self::Persistent => 0,
            Self::Ephemeral => 1,
            Self::PersistentSequential => 2,
            Self::EphemeralSequential => 3,
            Self::Container => 4,
            Self::Ttl => 5,
            Self::TtlSequential => 6,
        }
    }

    /// The mode behind the flags.
    pub fn from_flags(flags: i32) -> Option<Self> {
        Some(match flags {
            0 => Self::Persistent,
            1 => Self::Ephemeral,
            2 => Self::PersistentSequential,
            3 => Self::EphemeralSequential,
            4 => Self::Container,
            5 => Self::Ttl,
            6 => Self::TtlSequential,
            _ => return None,
        })
    }

    /// Does it end with its session?
    pub fn is_ephemeral(self) -> bool {
        matches!(self, Self::Ephemeral | Self::EphemeralSequential)
    }

    /// Does its name get a sequence suffix?
    pub fn is_sequential(self) -> bool {
        matches!(self, Self::PersistentSequential | Self::EphemeralSequential | Self::TtlSequential)
    }

    /// Has it a time to live?
    pub fn is_ttl(self) -> bool {
        matches!(self, Self::Ttl | Self::TtlSequential)
    }
}

/// Mode of an addWatch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WatchMode {
    /// On one znode, data and children, until removed.
    Persistent,
    /// On a znode and all below it, until removed.
    PersistentRecursive,
}

/// Which watches a checkWatches or removeWatches means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WatcherType {
    /// One-shot on the children.
    Children,
    /// One-shot on the data.
    Data,
    /// Every kind.
    Any,
    /// Persistent.
    Persistent,
    /// Persistent recursive.
    PersistentRecursive,
}

impl WatcherType {
    /// The number on the wire.
    pub fn code(self) -> i32 {
        match self {
            Self::Children => 1,
            Self::Data => 2,
            Self::Any => 3,
            Self::Persistent => 4,
            Self::PersistentRecursive => 5,
        }
    }

    /// The type behind a number of the wire.
    pub fn from_code(code: i32) -> Option<Self> {
        Some(match code {
            1 => Self::Children,
            2 => Self::Data,
            3 => Self::Any,
            4 => Self::Persistent,
            5 => Self::PersistentRecursive,
            _ => return None,
        })
    }
}

/// The record of a create of any flavour.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CreateRequest<'a> {
    /// Path; for sequential znodes without the suffix.
    pub path: &'a str,
    /// Data; `None` is null.
    pub data: Option<&'a [u8]>,
    /// The wished ACL.
    pub acl: AclList<'a>,
    /// The mode's number, as sent: the server checks it in its turn.
    pub flags: i32,
    /// Time to live in milliseconds; only on the wire of createTTL.
    pub ttl: i64,
}

/// A request's record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Request<'a> {
    /// Operations 1, 15, 19 and 21, told apart by the code.
    Create(OpCode, CreateRequest<'a>),
    /// Operation 2.
    Delete {
        /// Path of the znode.
        path: &'a str,
        /// Expected version; -1: any.
        version: i32,
    },
    /// Operation 20; the path travels as a buffer.
    DeleteContainer {
        /// Path of the znode.
        path: &'a str,
    },
    /// Operations 3, 4, 8 and 12: a path and whether to watch it.
    Read {
        /// Which of the four.
        op: OpCode,
        /// Path of the znode.
        path: &'a str,
        /// Arm a one-shot watch?
        watch: bool,
    },
    /// Operation 5.
    SetData {
        /// Path of the znode.
        path: &'a str,
        /// Data; `None` is null.
        data: Option<&'a [u8]>,
        /// Expected version; -1: any.
        version: i32,
    },
    /// Operation 6.
    GetAcl {
        /// Path of the znode.
        path: &'a str,
    },
    /// Operation 7.
    SetAcl {
        /// Path of the znode.
        path: &'a str,
        /// The wished ACL.
        acl: AclList<'a>,
        /// Expected aversion; -1: any.
        version: i32,
    },
    /// Operation 9.
    Sync {
        /// Any path; echoed.
        path: &'a str,
    },
    /// Operation 11.
    Ping,
    /// Operation 13.
    Check {
        /// Path of the znode.
        path: &'a str,
        /// Expected version; -1: it exists.
        version: i32,
    },
    /// Operation 14.
    Multi(Vec<Request<'a>>),
    /// Operation 22.
    MultiRead(Vec<Request<'a>>),
    /// Operation 16.
    Reconfig {
        /// Servers to add or change, as text.
        joining: Option<&'a str>,
        /// Server ids to remove, as text.
        leaving: Option<&'a str>,
        /// The whole new membership, as text.
        new_members: Option<&'a str>,
        /// Expected version of the configuration; -1: any.
        cur_config_id: i64,
    },
    /// Operation 17: is such a watch armed?
    CheckWatches {
        /// Path of the watch.
        path: &'a str,
        /// A [`WatcherType`] as sent.
        kind: i32,
    },
    /// Operation 18.
    RemoveWatches {
        /// Path of the watch.
        path: &'a str,
        /// A [`WatcherType`] as sent.
        kind: i32,
    },
    /// Operation 100.
    Auth {
        /// 0.
        kind: i32,
        /// Scheme of the credentials.
        scheme: &'a str,
        /// The credentials.
        auth: &'a [u8],
    },
    /// Operations 101 and 105.
    SetWatches(SetWatches<'a>),
    /// Operation 102.
    Sasl {
        /// The step's token.
        token: Option<&'a [u8]>,
    },
    /// Operation 103.
    GetEphemerals {
        /// Plain prefix of the paths.
        prefix: &'a str,
    },
    /// Operation 104.
    GetAllChildrenNumber {
        /// Path of the znode.
        path: &'a str,
    },
    /// Operation 106.
    AddWatch {
        /// Path of the watch.
        path: &'a str,
        /// 0 persistent, 1 persistent recursive, as sent.
        mode: i32,
    },
    /// Operation 107.
    WhoAmI,
    /// Operation -11.
    CloseSession,
    /// Operation -10: never from a client; prepared for the handshake.
    CreateSession {
        /// Negotiated timeout in milliseconds.
        timeout: i32,
    },
}

/// The record of a setWatches or setWatches2.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SetWatches<'a> {
    /// The last zxid that the client has seen: what changed since is told at once.
    pub relative_zxid: Zxid,
    /// Data watches.
    pub data: Vec<&'a str>,
    /// Exist watches.
    pub exist: Vec<&'a str>,
    /// Child watches.
    pub child: Vec<&'a str>,
    /// Persistent and recursive watches; `None` on operation 101, which does not know them.
    pub persistent: Option<(Vec<&'a str>, Vec<&'a str>)>,
}

impl<'a> Request<'a> {
    /// The operation.
    pub fn op(&self) -> OpCode {
        match self {
            Self::Create(op, _) | Self::Read { op, .. } => *op,
            Self::Delete { .. } => OpCode::Delete,
            Self::DeleteContainer { .. } => OpCode::DeleteContainer,
            Self::SetData { .. } => OpCode::SetData,
            Self::GetAcl { .. } => OpCode::GetAcl,
            Self::SetAcl { .. } => OpCode::SetAcl,
            Self::Sync { .. } => OpCode::Sync,
            Self::Ping => OpCode::Ping,
            Self::Check { .. } => OpCode::Check,
            Self::Multi(_) => OpCode::Multi,
            Self::MultiRead(_) => OpCode::MultiRead,
            Self::Reconfig { .. } => OpCode::Reconfig,
            Self::CheckWatches { .. } => OpCode::CheckWatches,
            Self::RemoveWatches { .. } => OpCode::RemoveWatches,
            Self::Auth { .. } => OpCode::Auth,
            Self::SetWatches(w) if w.persistent.is_some() => OpCode::SetWatches2,
            Self::SetWatches(_) => OpCode::SetWatches,
            Self::Sasl { .. } => OpCode::Sasl,
            Self::GetEphemerals { .. } => OpCode::GetEphemerals,
            Self::GetAllChildrenNumber { .. } => OpCode::GetAllChildrenNumber,
            Self::AddWatch { .. } => OpCode::AddWatch,
            Self::WhoAmI => OpCode::WhoAmI,
            Self::CloseSession => OpCode::CloseSession,
            Self::CreateSession { .. } => OpCode::CreateSession,
        }
    }

    /// The path that it is about, if it is about one.
    pub fn path(&self) -> Option<&'a str> {
        match self {
            Self::Create(_, c) => Some(c.path),
            Self::Delete { path, .. }
            | Self::DeleteContainer { path }
            | Self::Read { path, .. }
            | Self::SetData { path, .. }
            | Self::GetAcl { path }
            | Self::SetAcl { path, .. }
            | Self::Sync { path }
            | Self::Check { path, .. }
            | Self::CheckWatches { path, .. }
            | Self::RemoveWatches { path, .. }
            | Self::GetAllChildrenNumber { path }
            | Self::AddWatch { path, .. } => Some(path),
            Self::Ping
            | Self::Multi(_)
            | Self::MultiRead(_)
            | Self::Reconfig { .. }
            | Self::Auth { .. }
            | Self::SetWatches(_)
            | Self::Sasl { .. }
            | Self::GetEphemerals { .. }
            | Self::WhoAmI
            | Self::CloseSession
            | Self::CreateSession { .. } => None,
        }
    }

    /// Appends the record (without the header).
    pub fn encode(&self, out: &mut Vec<u8>) {
        match self {
            Self::Create(op, c) => encode_create(*op, c, out),
            Self::Delete { path, version } | Self::Check { path, version } => {
                out.put_string(path);
                out.put_i32(*version);
            }
            Self::Read { path, watch, .. } => {
                out.put_string(path);
                out.put_bool(*watch);
            }
            Self::SetData { path, data, version } => {
                out.put_string(path);
                out.put_buffer(*data);
                out.put_i32(*version);
            }
            Self::DeleteContainer { path }
            | Self::GetAcl { path }
            | Self::Sync { path }
            | Self::GetAllChildrenNumber { path }
            | Self::GetEphemerals { prefix: path } => out.put_string(path),
            Self::SetAcl { path, acl, version } => {
                out.put_string(path);
                out.put_bytes(acl.as_bytes());
                out.put_i32(*version);
            }
            Self::Ping | Self::WhoAmI | Self::CloseSession => {}
            Self::Multi(ops) | Self::MultiRead(ops) => {
                for op in ops {
                    put_multi_header(out, op.op().code(), false, -1);
                    op.encode(out);
                }
                put_multi_header(out, -1, true, -1);
            }
            Self::Reconfig { joining, leaving, new_members, cur_config_id } => {
                for text in [joining, leaving, new_members] {
                    out.put_buffer(text.map(str::as_bytes));
                }
                out.put_i64(*cur_config_id);
            }
            Self::CheckWatches { path, kind: number }
            | Self::RemoveWatches { path, kind: number }
            | Self::AddWatch { path, mode: number } => {
                out.put_string(path);
                out.put_i32(*number);
            }
            Self::Auth { kind, scheme, auth } => {
                out.put_i32(*kind);
                out.put_string(scheme);
                out.put_buffer(Some(auth));
            }
            Self::SetWatches(w) => w.encode(out),
            Self::Sasl { token } => out.put_buffer(*token),
            Self::CreateSession { timeout } => out.put_i32(*timeout),
        }
    }

    /// Reads the record that a header with `op` announces.
    ///
    /// # Errors
    /// [`DecodeError`] when the bytes are not such a record, or for an operation inside a multi
    /// that may not be there: the reply is `MARSHALLINGERROR` and the connection stays.
    pub fn decode(op: OpCode, r: &mut Reader<'a>) -> Result<Self, DecodeError> {
        if op == OpCode::Multi {
            return decode_multi(r, is_multi_write).map(Self::Multi);
        }
        if op == OpCode::MultiRead {
            return decode_multi(r, is_multi_read).map(Self::MultiRead);
        }
        decode_single(op, r)
    }
}

fn encode_create(op: OpCode, c: &CreateRequest<'_>, out: &mut Vec<u8>) {
    out.put_string(c.path);
    out.put_buffer(c.data);
    out.put_bytes(c.acl.as_bytes());
    out.put_i32(c.flags);
    if op == OpCode::CreateTtl {
        out.put_i64(c.ttl);
    }
}

fn decode_single<'a>(op: OpCode, r: &mut Reader<'a>) -> Result<Request<'a>, DecodeError> {
    Ok(match op {
        OpCode::Create | OpCode::Create2 | OpCode::CreateContainer | OpCode::CreateTtl => {
            Request::Create(op, decode_create(op, r)?)
        }
        OpCode::Delete => Request::Delete { path: r.string()?, version: r.i32()? },
        OpCode::DeleteContainer => Request::DeleteContainer { path: r.string()? },
        OpCode::Exists | OpCode::GetData | OpCode::GetChildren | OpCode::GetChildren2 => {
            Request::Read { op, path: r.string()?, watch: r.bool()? }
        }
        OpCode::SetData => {
            Request::SetData { path: r.string()?, data: r.buffer()?, version: r.i32()? }
        }
        OpCode::GetAcl => Request::GetAcl { path: r.string()? },
        OpCode::SetAcl => {
            Request::SetAcl { path: r.string()?, acl: AclList::decode(r)?, version: r.i32()? }
        }
        OpCode::Sync => Request::Sync { path: r.string()? },
        OpCode::Ping => Request::Ping,
        OpCode::Check => Request::Check { path: r.string()?, version: r.i32()? },
        OpCode::Reconfig => Request::Reconfig {
            joining: r.string_or_null()?,
            leaving: r.string_or_null()?,
            new_members: r.string_or_null()?,
            cur_config_id: r.i64()?,
        },
        OpCode::CheckWatches => Request::CheckWatches { path: r.string()?, kind: r.i32()? },
        OpCode::RemoveWatches => Request::RemoveWatches { path: r.string()?, kind: r.i32()? },
        OpCode::Auth => Request::Auth {
            kind: r.i32()?,
            scheme: r.string()?,
            auth: r.buffer()?.unwrap_or_default(),
        },
        OpCode::SetWatches | OpCode::SetWatches2 => Request::SetWatches(SetWatches::decode(op, r)?),
        OpCode::Sasl => Request::Sasl { token: r.buffer()? },
        OpCode::GetEphemerals => Request::GetEphemerals { prefix: r.string()? },
        OpCode::GetAllChildrenNumber => Request::GetAllChildrenNumber { path: r.string()? },
        OpCode::AddWatch => Request::AddWatch { path: r.string()?, mode: r.i32()? },
        OpCode::WhoAmI => Request::WhoAmI,
        OpCode::CloseSession => Request::CloseSession,
        OpCode::CreateSession => Request::CreateSession { timeout: r.i32()? },
        OpCode::Multi | OpCode::MultiRead | OpCode::Error => {
            return Err(DecodeError::Unknown { what: "operation", value: op.code() });
        }
    })
}

fn decode_create<'a>(op: OpCode, r: &mut Reader<'a>) -> Result<CreateRequest<'a>, DecodeError> {
    Ok(CreateRequest {
        path: r.string()?,
        data: r.buffer()?,
        acl: AclList::decode(r)?,
        flags: r.i32()?,
        ttl: if op == OpCode::CreateTtl { r.i64()? } else { 0 },
    })
}

fn is_multi_write(op: OpCode) -> bool {
    matches!(
        op,
        OpCode::Create
            | OpCode::Create2
            | OpCode::CreateContainer
            | OpCode::CreateTtl
            | OpCode::Delete
            | OpCode::SetData
            | OpCode::Check
    )
}

fn is_multi_read(op: OpCode) -> bool {
    matches!(op, OpCode::GetData | OpCode::GetChildren)
}

/// Appends a MultiHeader: `type: i32, done: bool, err: i32`.
pub(crate) fn put_multi_header(out: &mut Vec<u8>, op: i32, done: bool, err: i32) {
    out.put_i32(op);
    out.put_bool(done);
    out.put_i32(err);
}

fn decode_multi<'a>(
    r: &mut Reader<'a>,
    allowed: fn(OpCode) -> bool,
) -> Result<Vec<Request<'a>>, DecodeError> {
    let mut ops = Vec::new();
    loop {
        let code = r.i32()?;
        let done = r.bool()?;
        r.i32()?;
        if done {
            return Ok(ops);
        }
        let op = OpCode::from_code(code)
            .filter(|op| allowed(*op))
            .ok_or(DecodeError::Unknown { what: "operation in a multi", value: code })?;
        ops.push(decode_single(op, r)?);
    }
}

impl<'a> SetWatches<'a> {
    fn encode(&self, out: &mut Vec<u8>) {
        out.put_i64(self.relative_zxid.0);
        out.put_strings(&self.data);
        out.put_strings(&self.exist);
        out.put_strings(&self.child);
        if let Some((persistent, recursive)) = &self.persistent {
            out.put_strings(persistent);
            out.put_strings(recursive);
        }
    }

    fn decode(op: OpCode, r: &mut Reader<'a>) -> Result<Self, DecodeError> {
        Ok(Self {
            relative_zxid: Zxid(r.i64()?),
            data: r.strings()?,
            exist: r.strings()?,
            child: r.strings()?,
            persistent: if op == OpCode::SetWatches2 {
                Some((r.strings()?, r.strings()?))
            } else {
                None
            },
        })
    }
}

#[cfg(test)]
mod tests;

//! Txns: what a write became once it was prepared, as the log holds it.
//!
//! A log record's body is `TxnHeader`, the txn, and since 3.6 a `TxnDigest`. The encoded record is
//! the one owned form of a write under way: it is made once from the request, goes to the disk, and
//! is decoded again, borrowed, when it is applied.

use std::borrow::Cow;

use crate::acl::AclList;
use crate::error::ErrorCode;
use crate::ids::{SessionId, Wall, Zxid};
use crate::jute::{DecodeError, JuteWrite, Reader};
use crate::op::OpCode;

/// Who wrote, when, and where in the history. 32 bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TxnHeader {
    /// The session that asked (0: the server itself).
    pub session: SessionId,
    /// The session's xid of the request.
    pub cxid: i32,
    /// Position in the history.
    pub zxid: Zxid,
    /// The leader's time of day.
    pub time: Wall,
    /// What kind of record follows.
    pub op: OpCode,
}

impl TxnHeader {
    /// Length of the encoding.
    pub const LEN: usize = 32;

    /// Appends the record.
    pub fn encode(&self, out: &mut Vec<u8>) {
        out.put_i64(self.session.0);
        out.put_i32(self.cxid);
        out.put_i64(self.zxid.0);
        out.put_i64(self.time.0);
        out.put_i32(self.op.code());
    }

    /// Reads the record.
    pub fn decode(r: &mut Reader<'_>) -> Result<Self, DecodeError> {
        Ok(Self {
            session: SessionId(r.i64()?),
            cxid: r.i32()?,
            zxid: Zxid(r.i64()?),
            time: Wall(r.i64()?),
            op: op_code(r.i32()?)?,
        })
    }
}

fn op_code(value: i32) -> Result<OpCode, DecodeError> {
    OpCode::from_code(value).ok_or(DecodeError::Unknown { what: "txn type", value })
}

/// Digest of the whole tree after a txn.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TxnDigest {
    /// Version of the digest's rules; 2 since 3.6.
    pub version: i32,
    /// The digest.
    pub digest: u64,
}

/// The version of the digest that we write.
pub const DIGEST_VERSION: i32 = 2;

/// A create of any flavour but container and TTL.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CreateTxn<'a> {
    /// Final path, the sequence suffix included.
    pub path: Cow<'a, str>,
    /// Data; `None` is null.
    pub data: Option<Cow<'a, [u8]>>,
    /// The stored ACL.
    pub acl: AclList<'a>,
    /// Is it owned by the header's session?
    pub ephemeral: bool,
    /// The parent's stored cversion after this create; -1 (old logs): one more than before.
    pub parent_cversion: i32,
}

/// One txn's record. The variant's name says which [`OpCode`] its header has.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Txn<'a> {
    /// Type 1.
    Create(CreateTxn<'a>),
    /// Type 15: the same record; the reply has a stat.
    Create2(CreateTxn<'a>),
    /// Type 19; its `ephemeral` is false.
    CreateContainer(CreateTxn<'a>),
    /// Type 21; its `ephemeral` is false.
    CreateTtl {
        /// The common part.
        create: CreateTxn<'a>,
        /// Time to live in milliseconds.
        ttl: i64,
    },
    /// Type 2.
    Delete {
        /// Path of the znode.
        path: Cow<'a, str>,
    },
    /// Type 20.
    DeleteContainer {
        /// Path of the znode.
        path: Cow<'a, str>,
    },
    /// Type 5.
    SetData {
        /// Path of the znode.
        path: Cow<'a, str>,
        /// Data; `None` is null.
        data: Option<Cow<'a, [u8]>>,
        /// The version after the change.
        version: i32,
    },
    /// Type 16; the record of a setData on the configuration znode.
    Reconfig {
        /// Path of the znode.
        path: Cow<'a, str>,
        /// Data; `None` is null.
        data: Option<Cow<'a, [u8]>>,
        /// The version after the change.
        version: i32,
    },
    /// Type 7.
    SetAcl {
        /// Path of the znode.
        path: Cow<'a, str>,
        /// The stored ACL.
        acl: AclList<'a>,
        /// The aversion after the change.
        version: i32,
    },
    /// Type 13, inside a multi.
    Check {
        /// Path of the znode.
        path: Cow<'a, str>,
        /// The version that was asked for.
        version: i32,
    },
    /// Type -10.
    CreateSession {
        /// Negotiated timeout in milliseconds.
        timeout: i32,
    },
    /// Type -11.
    CloseSession {
        /// The ephemerals that go with it; `None` in logs that do not say.
        paths: Option<Vec<Cow<'a, str>>>,
    },
    /// Type -1: a write that failed. `code` may be 0 or unknown in a multi's record.
    Error {
        /// The error's number.
        code: i32,
    },
    /// Type 14.
    Multi(Vec<Txn<'a>>),
}

impl<'a> Txn<'a> {
    /// A failed write.
    pub fn error(code: ErrorCode) -> Self {
        Self::Error { code: code.code() }
    }

    /// The type that the header of this record has.
    pub fn op(&self) -> OpCode {
        match self {
            Self::Create(_) => OpCode::Create,
            Self::Create2(_) => OpCode::Create2,
            Self::CreateContainer(_) => OpCode::CreateContainer,
            Self::CreateTtl { .. } => OpCode::CreateTtl,
            Self::Delete { .. } => OpCode::Delete,
            Self::DeleteContainer { .. } => OpCode::DeleteContainer,
            Self::SetData { .. } => OpCode::SetData,
            Self::Reconfig { .. } => OpCode::Reconfig,
            Self::SetAcl { .. } => OpCode::SetAcl,
            Self::Check { .. } => OpCode::Check,
            Self::CreateSession { .. } => OpCode::CreateSession,
            Self::CloseSession { .. } => OpCode::CloseSession,
            Self::Error { .. } => OpCode::Error,
            Self::Multi(_) => OpCode::Multi,
        }
    }

    /// Appends the record.
    pub fn encode(&self, out: &mut Vec<u8>) {
        match self {
            Self::Create(c) | Self::Create2(c) => {
                encode_create_head(c, out);
                out.put_bool(c.ephemeral);
                out.put_i32(c.parent_cversion);
            }
            Self::CreateContainer(c) => {
                encode_create_head(c, out);
                out.put_i32(c.parent_cversion);
            }
            Self::CreateTtl { create, ttl } => {
                encode_create_head(create, out);
                out.put_i32(create.parent_cversion);
                out.put_i64(*ttl);
            }
            Self::Delete { path } | Self::DeleteContainer { path } => out.put_string(path),
            Self::SetData { path, data, version } | Self::Reconfig { path, data, version } => {
                out.put_string(path);
                out.put_buffer(data.as_deref());
                out.put_i32(*version);
            }
            Self::SetAcl { path, acl, version } => {
                out.put_string(path);
                out.put_bytes(acl.as_bytes());
                out.put_i32(*version);
            }
            Self::Check { path, version } => {
                out.put_string(path);
                out.put_i32(*version);
            }
            Self::CreateSession { timeout } => out.put_i32(*timeout),
            Self::CloseSession { paths: None } => {}
            Self::CloseSession { paths: Some(paths) } => out.put_strings(paths),
            Self::Error { code } => out.put_i32(*code),
            Self::Multi(txns) => {
                out.put_len(txns.len());
                for txn in txns {
                    out.put_i32(txn.op().code());
                    let at = out.len();
                    out.put_i32(0);
                    txn.encode(out);
                    let len = i32::try_from(out.len() - at - 4).unwrap_or(i32::MAX);
                    out[at..at + 4].copy_from_slice(&len.to_be_bytes());
                }
            }
        }
    }

    /// Reads the record that a header of type `op` announces.
    ///
    /// # Errors
    /// [`DecodeError`] when the bytes are not such a record, or for a multi inside a multi.
    pub fn decode(op: OpCode, r: &mut Reader<'a>) -> Result<Self, DecodeError> {
        if op == OpCode::Multi {
            let n = r.count(8)?.ok_or(DecodeError::Null)?;
            let txns: Result<_, _> = (0..n).map(|_| decode_sub_txn(r)).collect();
            return Ok(Self::Multi(txns?));
        }
        decode_single(op, r)
    }
}

fn encode_create_head(c: &CreateTxn<'_>, out: &mut Vec<u8>) {
    out.put_string(&c.path);
    out.put_buffer(c.data.as_deref());
    out.put_bytes(c.acl.as_bytes());
}

fn decode_sub_txn<'a>(r: &mut Reader<'a>) -> Result<Txn<'a>, DecodeError> {
    let op = op_code(r.i32()?)?;
    let mut body = Reader::new(r.buffer()?.ok_or(DecodeError::Null)?);
    decode_single(op, &mut body)
}

fn decode_single<'a>(op: OpCode, r: &mut Reader<'a>) -> Result<Txn<'a>, DecodeError> {
    Ok(match op {
        OpCode::Create => Txn::Create(decode_create(r)?),
        OpCode::Create2 => Txn::Create2(decode_create(r)?),
        OpCode::CreateContainer => {
            let mut create = decode_create_head(r)?;
            create.parent_cversion = r.i32()?;
            Txn::CreateContainer(create)
        }
        OpCode::CreateTtl => {
            let mut create = decode_create_head(r)?;
            create.parent_cversion = r.i32()?;
            Txn::CreateTtl { create, ttl: r.i64()? }
        }
        OpCode::Delete => Txn::Delete { path: r.string()?.into() },
        OpCode::DeleteContainer => Txn::DeleteContainer { path: r.string()?.into() },
        OpCode::SetData => {
            let (path, data, version) = decode_set_data(r)?;
            Txn::SetData { path, data, version }
        }
        OpCode::Reconfig => {
            let (path, data, version) = decode_set_data(r)?;
            Txn::Reconfig { path, data, version }
        }
        OpCode::SetAcl => {
            Txn::SetAcl { path: r.string()?.into(), acl: AclList::decode(r)?, version: r.i32()? }
        }
        OpCode::Check => Txn::Check { path: r.string()?.into(), version: r.i32()? },
        OpCode::CreateSession => Txn::CreateSession { timeout: r.i32()? },
        OpCode::CloseSession => decode_close_session(r)?,
        OpCode::Error => Txn::Error { code: r.i32()? },
        other @ (OpCode::Multi
        | OpCode::MultiRead
        | OpCode::Exists
        | OpCode::GetData
        | OpCode::GetAcl
        | OpCode::GetChildren
        | OpCode::GetChildren2
        | OpCode::Sync
        | OpCode::Ping
        | OpCode::CheckWatches
        | OpCode::RemoveWatches
        | OpCode::Auth
        | OpCode::SetWatches
        | OpCode::SetWatches2
        | OpCode::Sasl
        | OpCode::GetEphemerals
        | OpCode::GetAllChildrenNumber
        | OpCode::AddWatch
        | OpCode::WhoAmI) => {
            return Err(DecodeError::Unknown { what: "txn type", value: other.code() });
        }
    })
}

fn decode_create_head<'a>(r: &mut Reader<'a>) -> Result<CreateTxn<'a>, DecodeError> {
    Ok(CreateTxn {
        path: r.string()?.into(),
        data: r.buffer()?.map(Cow::Borrowed),
        acl: AclList::decode(r)?,
        ephemeral: false,
        parent_cversion: -1,
    })
}

fn decode_create<'a>(r: &mut Reader<'a>) -> Result<CreateTxn<'a>, DecodeError> {
    let mut create = decode_create_head(r)?;
    create.ephemeral = r.bool()?;
    // Logs of 3.3 and before end here.
    create.parent_cversion = if r.rest().is_empty() { -1 } else { r.i32()? };
    Ok(create)
}

type SetDataFields<'a> = (Cow<'a, str>, Option<Cow<'a, [u8]>>, i32);

fn decode_set_data<'a>(r: &mut Reader<'a>) -> Result<SetDataFields<'a>, DecodeError> {
    Ok((r.string()?.into(), r.buffer()?.map(Cow::Borrowed), r.i32()?))
}

/// A closeSession of old logs, or with `closeSessionTxn.enabled=false`, has no record at all: what
/// follows the header is nothing, or a digest. Twelve bytes that begin with the digest's version
/// are a digest: as a vector they would be two empty paths, which no znode has.
fn decode_close_session<'a>(r: &mut Reader<'a>) -> Result<Txn<'a>, DecodeError> {
    let digest_only =
        r.rest().len() == TxnDigest::LEN && r.rest().starts_with(&DIGEST_VERSION.to_be_bytes());
    if r.rest().is_empty() || digest_only {
        return Ok(Txn::CloseSession { paths: None });
    }
    let paths = r.strings()?.into_iter().map(Cow::Borrowed).collect();
    Ok(Txn::CloseSession { paths: Some(paths) })
}

impl TxnDigest {
    /// Length of the encoding.
    pub const LEN: usize = 12;
}

/// A log record's body, taken apart.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record<'a> {
    /// Who, when, where.
    pub header: TxnHeader,
    /// What.
    pub txn: Txn<'a>,
    /// The tree's digest afterwards, where the writer added one.
    pub digest: Option<TxnDigest>,
}

impl<'a> Record<'a> {
    /// Appends the body (without checksum, length and end mark, which the log adds).
    pub fn encode(&self, out: &mut Vec<u8>) {
        encode_record(&self.header, &self.txn, self.digest, out);
    }

    /// Reads a whole body.
    pub fn decode(body: &'a [u8]) -> Result<Self, DecodeError> {
        let mut r = Reader::new(body);
        let header = TxnHeader::decode(&mut r)?;
        let txn = Txn::decode(header.op, &mut r)?;
        let digest = if r.rest().is_empty() {
            None
        } else {
            let version = r.i32()?;
            Some(TxnDigest { version, digest: r.i64()?.cast_unsigned() })
        };
        Ok(Self { header, txn, digest })
    }
}

/// Appends a log record's body.
pub fn encode_record(
    header: &TxnHeader,
    txn: &Txn<'_>,
    digest: Option<TxnDigest>,
    out: &mut Vec<u8>,
) {
    header.encode(out);
    txn.encode(out);
    if let Some(d) = digest {
        out.put_i32(d.version);
        out.put_i64(d.digest.cast_signed());
    }
}

#[cfg(test)]
mod tests;

//! The packets between a leader and those that learn from it (the port that is usually 2888).
//!
//! A stream of jute records without an outer length: `int type, long zxid, buffer data,
//! vector<Id> authinfo` (`QuorumPacket`, 3.9). Every length is checked against a limit before it is
//! believed, so that no peer can make us wait for, or hold, more than [`split`] was told.

mod snapshot_stream;

use crate::ids::{SessionId, Zxid};
use crate::jute::{DecodeError, JuteWrite, Reader};

pub use snapshot_stream::{Skipped, SnapshotSkipper};

/// The version of the learner's protocol that we speak, as every server since 3.4 does.
pub const PROTOCOL_VERSION: i32 = 0x1_0000;

/// Identities in one packet, at most; a client has a handful.
pub const IDS_MAX: usize = 1024;

macro_rules! kinds {
    ($($(#[$doc:meta])* $name:ident = $code:literal;)*) => {
        /// What a packet is (`Leader.java`, 3.9).
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub enum PacketKind {
            $($(#[$doc])* $name,)*
            /// A number that 3.9 does not know; learners ignore such packets.
            Other(i32),
        }

        impl PacketKind {
            /// The number on the wire.
            pub fn code(self) -> i32 {
                match self { $(Self::$name => $code,)* Self::Other(code) => code }
            }
            /// The kind behind a number of the wire.
            pub fn from_code(code: i32) -> Self {
                match code { $($code => Self::$name,)* other => Self::Other(other) }
            }
        }
    };
}

kinds! {
    /// Learner to leader: a client's write.
    Request = 1;
    /// Leader to follower: a txn to log; to an observer only inside the sync.
    Proposal = 2;
    /// Learner to leader: logged up to here, or NEWLEADER accepted.
    Ack = 3;
    /// Leader to follower: the txn is committed; to an observer only inside the sync.
    Commit = 4;
    /// Leader to learner, and back: alive.
    Ping = 5;
    /// Learner to leader, and back: does that session live?
    Revalidate = 6;
    /// Leader to learner: the answer to a sync.
    Sync = 7;
    /// Leader to observer: a committed txn.
    Inform = 8;
    /// Leader to follower: the change of members is committed.
    CommitAndActivate = 9;
    /// Leader to learner: the sync is complete; data is the member list.
    NewLeader = 10;
    /// Follower to leader: who I am.
    FollowerInfo = 11;
    /// Leader to learner: the epoch is established.
    UpToDate = 12;
    /// Leader to learner: what follows goes on from your zxid.
    Diff = 13;
    /// Leader to learner: forget what comes after this zxid.
    Trunc = 14;
    /// Leader to learner: a snapshot follows, outside the packets.
    Snap = 15;
    /// Observer to leader: who I am.
    ObserverInfo = 16;
    /// Leader to learner: the epoch.
    LeaderInfo = 17;
    /// Learner to leader: the epoch is accepted; the zxid is the learner's last.
    AckEpoch = 18;
    /// Leader to observer: a committed change of members.
    InformAndActivate = 19;
}

/// A vector of identities as it stands on the wire, its count included.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AuthInfo<'a>(&'a [u8]);

impl<'a> AuthInfo<'a> {
    /// A null vector: what every packet but a REQUEST has.
    pub const NULL: AuthInfo<'static> = AuthInfo(&[0xff; 4]);

    /// Scheme and name of each identity.
    ///
    /// # Errors
    /// [`DecodeError::NotUtf8`]; the lengths were checked by [`split`].
    pub fn ids(&self) -> Result<Vec<(&'a str, &'a str)>, DecodeError> {
        let mut r = Reader::new(self.0);
        let n = r.count(8)?.unwrap_or(0);
        (0..n).map(|_| Ok((r.string()?, r.string()?))).collect()
    }
}

/// One packet, borrowed from the bytes it came in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Packet<'a> {
    /// What it is.
    pub kind: PacketKind,
    /// A position; what it means depends on the kind.
    pub zxid: Zxid,
    /// What belongs to it; `None` is null, which is not the same as empty.
    pub data: Option<&'a [u8]>,
    /// On whose behalf.
    pub authinfo: AuthInfo<'a>,
}

impl<'a> Packet<'a> {
    /// A packet without identities.
    pub fn new(kind: PacketKind, zxid: Zxid, data: Option<&'a [u8]>) -> Self {
        Self { kind, zxid, data, authinfo: AuthInfo::NULL }
    }

    /// Appends the record.
    pub fn encode(&self, out: &mut Vec<u8>) {
        out.put_i32(self.kind.code());
        out.put_i64(self.zxid.0);
        out.put_buffer(self.data);
        out.put_bytes(self.authinfo.0);
    }

    /// The data, or the error that there is none.
    ///
    /// # Errors
    /// [`DecodeError::Null`].
    pub fn required(&self) -> Result<&'a [u8], DecodeError> {
        self.data.ok_or(DecodeError::Null)
    }
}

/// Why a stream cannot be read on. The peer is not what it should be: close the connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PacketError {
    /// A negative length other than -1, or one that makes the packet longer than the limit.
    #[error("a length of {len} in a packet of type {kind}; a packet may have {max} bytes")]
    Length {
        /// The packet's type.
        kind: i32,
        /// The length.
        len: i32,
        /// The limit.
        max: usize,
    },
    /// More identities than [`IDS_MAX`].
    #[error("{0} identities in a packet")]
    Ids(i32),
}

/// Splits one packet off the front of `buf`.
///
/// Returns `Ok(None)` when `buf` does not hold a whole packet yet; call again with more. No packet
/// is longer than `max`, so a caller who keeps `max` bytes can always go on.
///
/// # Errors
/// [`PacketError`] as soon as a length says what cannot be: close the connection.
pub fn split<'a>(buf: &mut &'a [u8], max: usize) -> Result<Option<Packet<'a>>, PacketError> {
    let mut parts = Parts { bytes: buf, at: 0, max, kind: 0 };
    let Some(kind) = parts.i32() else { return Ok(None) };
    parts.kind = kind;
    let Some(zxid) = parts.i64() else { return Ok(None) };
    let Some(Buffer(data)) = parts.buffer()? else { return Ok(None) };
    let authinfo = parts.at;
    let Some(count) = parts.i32() else { return Ok(None) };
    let ids = usize::try_from(count).unwrap_or(0);
    if count < -1 || ids > IDS_MAX {
        return Err(PacketError::Ids(count));
    }
    for _ in 0..2 * ids {
        if parts.buffer()?.is_none() {
            return Ok(None);
        }
    }
    let end = parts.at;
    let packet = Packet {
        kind: PacketKind::from_code(kind),
        zxid: Zxid(zxid),
        data,
        authinfo: AuthInfo(&buf[authinfo..end]),
    };
    *buf = &buf[end..];
    Ok(Some(packet))
}

/// A buffer that is there; null or bytes.
struct Buffer<'a>(Option<&'a [u8]>);

/// Reads fields of a packet that may not be there yet: `None` asks for more bytes.
struct Parts<'a> {
    bytes: &'a [u8],
    at: usize,
    max: usize,
    kind: i32,
}

impl<'a> Parts<'a> {
    fn array<const N: usize>(&mut self) -> Option<[u8; N]> {
        let found = *self.bytes.get(self.at..)?.first_chunk::<N>()?;
        self.at += N;
        Some(found)
    }

    fn i32(&mut self) -> Option<i32> {
        self.array().map(i32::from_be_bytes)
    }

    fn i64(&mut self) -> Option<i64> {
        self.array().map(i64::from_be_bytes)
    }

    fn buffer(&mut self) -> Result<Option<Buffer<'a>>, PacketError> {
        let Some(len) = self.i32() else { return Ok(None) };
        if len == -1 {
            return Ok(Some(Buffer(None)));
        }
        let error = PacketError::Length { kind: self.kind, len, max: self.max };
        let n = usize::try_from(len).map_err(|_| error)?;
        if n > self.max.saturating_sub(self.at) {
            return Err(error);
        }
        let Some(found) = self.bytes.get(self.at..self.at + n) else { return Ok(None) };
        self.at += n;
        Ok(Some(Buffer(Some(found))))
    }
}

/// What a learner says of itself: data of FOLLOWERINFO and OBSERVERINFO.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LearnerInfo {
    /// Its number; one that no member has is served too.
    pub sid: i64,
    /// [`PROTOCOL_VERSION`]; 0 where it is not said (before 3.4).
    pub protocol_version: i32,
    /// Version of the member list that it has; the leader refuses a later one than its own.
    pub config_version: i64,
}

impl LearnerInfo {
    /// Appends the record.
    pub fn encode(&self, out: &mut Vec<u8>) {
        out.put_i64(self.sid);
        out.put_i32(self.protocol_version);
        out.put_i64(self.config_version);
    }

    /// Reads the record; its later fields came with later versions.
    ///
    /// # Errors
    /// [`DecodeError`] when it ends inside a field.
    pub fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        let mut r = Reader::new(bytes);
        let sid = r.i64()?;
        let protocol_version = if r.rest().is_empty() { 0 } else { r.i32()? };
        let config_version = if r.rest().is_empty() { 0 } else { r.i64()? };
        Ok(Self { sid, protocol_version, config_version })
    }
}

/// The number that LEADERINFO (protocol version) and ACKEPOCH (current epoch, -1: do not count me)
/// have as their data.
///
/// # Errors
/// [`DecodeError`] when there is no such number.
pub fn decode_number(packet: &Packet<'_>) -> Result<i32, DecodeError> {
    Reader::new(packet.required()?).i32()
}

/// Takes the designated leader's number off the data of INFORMANDACTIVATE; a txn follows.
///
/// # Errors
/// [`DecodeError`] when the data is shorter.
pub fn decode_activate<'a>(packet: &Packet<'a>) -> Result<(i64, &'a [u8]), DecodeError> {
    let mut r = Reader::new(packet.required()?);
    Ok((r.i64()?, r.rest()))
}

/// A client session that was heard of, and its timeout in milliseconds: data of a PING's answer.
///
/// # Errors
/// [`DecodeError`] when the data ends inside an entry.
pub fn decode_touches(packet: &Packet<'_>) -> Result<Vec<(SessionId, i32)>, DecodeError> {
    let mut r = Reader::new(packet.required()?);
    let mut found = Vec::with_capacity(r.rest().len() / 12);
    while !r.rest().is_empty() {
        found.push((SessionId(r.i64()?), r.i32()?));
    }
    Ok(found)
}

#[cfg(test)]
mod tests;

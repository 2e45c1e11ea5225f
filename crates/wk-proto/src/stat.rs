//! What a server tells about a znode, and what it keeps of it on disk.

use crate::ids::{SessionId, Wall, Zxid};
use crate::jute::{DecodeError, JuteWrite, Reader};

/// A znode's stat as clients get it. 68 bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Stat {
    /// Txn that created the znode.
    pub czxid: Zxid,
    /// Txn that last set its data.
    pub mzxid: Zxid,
    /// Time of creation.
    pub ctime: Wall,
    /// Time of the last change of the data.
    pub mtime: Wall,
    /// Changes of the data.
    pub version: i32,
    /// Changes of the children: one for each create and each delete.
    pub cversion: i32,
    /// Changes of the ACL.
    pub aversion: i32,
    /// Owning session of an ephemeral; 0 for all else, containers and TTL znodes included.
    pub ephemeral_owner: SessionId,
    /// Bytes of data; 0 for null.
    pub data_length: i32,
    /// Children.
    pub num_children: i32,
    /// Txn that last created or deleted a child.
    pub pzxid: Zxid,
}

impl Stat {
    /// Length of the encoding.
    pub const LEN: usize = 68;

    /// Appends the record.
    pub fn encode(&self, out: &mut Vec<u8>) {
        out.put_i64(self.czxid.0);
        out.put_i64(self.mzxid.0);
        out.put_i64(self.ctime.0);
        out.put_i64(self.mtime.0);
        out.put_i32(self.version);
        out.put_i32(self.cversion);
        out.put_i32(self.aversion);
        out.put_i64(self.ephemeral_owner.0);
        out.put_i32(self.data_length);
        out.put_i32(self.num_children);
        out.put_i64(self.pzxid.0);
    }

    /// Reads the record.
    pub fn decode(r: &mut Reader<'_>) -> Result<Self, DecodeError> {
        Ok(Self {
            czxid: Zxid(r.i64()?),
            mzxid: Zxid(r.i64()?),
            ctime: Wall(r.i64()?),
            mtime: Wall(r.i64()?),
            version: r.i32()?,
            cversion: r.i32()?,
            aversion: r.i32()?,
            ephemeral_owner: SessionId(r.i64()?),
            data_length: r.i32()?,
            num_children: r.i32()?,
            pzxid: Zxid(r.i64()?),
        })
    }
}

/// A znode's stat as snapshots keep it. 60 bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct StatPersisted {
    /// Txn that created the znode.
    pub czxid: Zxid,
    /// Txn that last set its data.
    pub mzxid: Zxid,
    /// Time of creation.
    pub ctime: Wall,
    /// Time of the last change of the data.
    pub mtime: Wall,
    /// Changes of the data.
    pub version: i32,
    /// Children ever created: the stored form, which deletes do not count in.
    pub cversion: i32,
    /// Changes of the ACL.
    pub aversion: i32,
    /// Owning session, or the mark of a container or of a time to live.
    pub ephemeral_owner: i64,
    /// Txn that last created or deleted a child.
    pub pzxid: Zxid,
}

impl StatPersisted {
    /// Length of the encoding.
    pub const LEN: usize = 60;

    /// Appends the record.
    pub fn encode(&self, out: &mut Vec<u8>) {
        out.put_i64(self.czxid.0);
        out.put_i64(self.mzxid.0);
        out.put_i64(self.ctime.0);
        out.put_i64(self.mtime.0);
        out.put_i32(self.version);
        out.put_i32(self.cversion);
        out.put_i32(self.aversion);
        out.put_i64(self.ephemeral_owner);
        out.put_i64(self.pzxid.0);
    }

    /// Reads the record.
    pub fn decode(r: &mut Reader<'_>) -> Result<Self, DecodeError> {
        Ok(Self {
            czxid: Zxid(r.i64()?),
            mzxid: Zxid(r.i64()?),
            ctime: Wall(r.i64()?),
            mtime: Wall(r.i64()?),
            version: r.i32()?,
            cversion: r.i32()?,
            aversion: r.i32()?,
            ephemeral_owner: r.i64()?,
            pzxid: Zxid(r.i64()?),
        })
    }
}

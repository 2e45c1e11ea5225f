//! The ZooKeeper wire and disk records: the only crate that knows jute.
//!
//! Bytes from the network or the disk become typed values here, once, and are never checked again
//! further up. Decoders borrow from their input and never panic; encoders append to a `Vec<u8>`.
//! Facts come from Apache ZooKeeper 3.9 (`zookeeper.jute`, `org.apache.jute`).

pub mod acl;
pub mod client;
pub mod error;
pub mod ids;
pub mod jute;
pub mod op;
pub mod path;
pub mod quorum;
pub mod sabotage;
pub mod stat;
pub mod stream;
pub mod txn;

pub use acl::{Acl, AclList, AclRef, Id, Perms};
pub use error::ErrorCode;
pub use ids::{Epoch, Mono, SessionId, Wall, Xid, Zxid};
pub use jute::{DecodeError, JuteWrite, Reader};
pub use op::OpCode;
pub use stat::{Stat, StatPersisted};
pub use txn::{Txn, TxnDigest, TxnHeader};

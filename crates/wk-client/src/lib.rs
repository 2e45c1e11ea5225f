//! A ZooKeeper client: a pure session machine ([`session`]) and an async shell around it.
//!
//! ```no_run
//! # async fn example() -> Result<(), Box<dyn std::error::Error>> {
//! use wk_client::{Client, CreateMode};
//!
//! let client = Client::builder("127.0.0.1:2181/app").connect().await?;
//! client.create("/greeting", "hello", CreateMode::Persistent).await?;
//! let znode = client.get("/greeting").await?;
//! println!("{:?} at {}", znode.data, znode.stat.mzxid);
//! client.close().await?;
//! # Ok(()) }
//! ```
//!
//! What it promises: a write without an answer is reported as ambiguous and never repeated; state
//! is a watch cell with a `session_generation`, so that a slow reader never blocks the session;
//! watches survive reconnects, and where events may be missing the stream says
//! [`Event::Resync`]; every queue is bounded and every call has a deadline.

mod access;
mod builder;
mod client;
mod driver;
mod error;
mod events;
mod four_letter;
mod frames;
mod hosts;
mod multi;
pub mod session;
mod tls;
mod transport;

pub use access::Access;
pub use builder::Builder;
pub use client::{Client, CreateOptions, Data, Znode};
pub use error::{ConnectError, Effect, Error};
pub use events::{Event, EventStream, WatchEvent, Watcher};
pub use four_letter::{four_letter, four_letter_over};
pub use hosts::HostList;
pub use multi::{Multi, MultiError, MultiRead, OpOutcome, ReadOutcome};
pub use session::{Lease, Resume, SessionConfig, State, Status};
pub use tls::{Tls, TlsConfig, TlsError};
pub use transport::{BoxFuture, Connect, InProcess, Tcp, Transport};
pub use wk_proto::client::request::{CreateMode, WatchMode, WatcherType};
pub use wk_proto::client::response::EventType;
pub use wk_proto::{Acl, ErrorCode, Id, Perms, SessionId, Stat, Zxid};

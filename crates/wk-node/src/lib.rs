//! A whole coordination server as one step machine, without I/O.
//!
//! [`Node::step`] gets the time and one [`Input`] and appends [`Effect`]s to an [`Out`]. A write is
//! one walk: [`Input::Frame`] -> prepare -> [`Effect::Append`] -> [`Input::Synced`] -> apply ->
//! watch events -> reply. No reply to a write leaves before the `Synced` that covers it, so no
//! driver can acknowledge what is not on disk. Agreement between servers plugs in between the
//! append and the apply: then a quorum's acks, not the own disk alone, release a write.

mod config;
mod connections;
mod events;
mod handshake;
mod input;
mod logins;
mod node;
mod reads;
mod reapers;
mod replies;
mod requests;
pub mod sasl;
mod sessions;
mod snapshots;
mod stats;
mod writes;

pub use config::NodeConfig;
pub use connections::{Connection, ConnectionCounters};
pub use input::{CloseReason, ConnId, Effect, Input, Now, Out};
pub use node::Node;
pub use stats::{Latency, Stats};

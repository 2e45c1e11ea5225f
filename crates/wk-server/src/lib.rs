//! The server's shell: it owns the sockets, the disk and the clocks around wk-node and decides
//! nothing by itself.
//!
//! Reading order: [`zoo_cfg`] (configuration), [`report`] (what a server says about itself),
//! [`metrics`] (counters and summaries with Apache's names), [`four_letter`] (their oldest form),
//! [`host`] (what only this host knows);
//! `driver` (the thread that owns node and sockets), `disk_thread`, `snapshot_thread`, [`tls`] with
//! the thread that shakes hands, and [`Server`], which starts all of it.

mod disk_thread;
mod driver;
pub mod environment;
pub mod four_letter;
pub mod host;
mod mailbox;
pub mod metrics;
pub mod report;
mod server;
mod snapshot_thread;
mod socket;
pub mod tls;
mod txn_stream;
mod version;
pub mod zoo_cfg;

pub use server::{ExitReason, Server, ServerHandle, ServerStopped, SessionEnd, StartError};
pub use txn_stream::TxnStream;
pub use version::VERSION;

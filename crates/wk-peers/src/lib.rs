//! The real peers of the tests: Apache ZooKeeper, Curator, kazoo, Prometheus, a browser.
//!
//! Development only. Peers are fetched by package name with the ordinary clients (Maven, pip, npm,
//! apt) into one cache folder, `target/peers` unless `WATCHKEEPER_PEERS` names another, and nothing
//! is installed system-wide except missing tools (a JDK, Maven, ...) where that is allowed.
//! Reading order: [`cache`] (where, stamps, locks), [`fetch`] (what and from where), [`process`]
//! (a child that never outlives its owner), [`server`] (an Apache or Watchkeeper server with a
//! zoo.cfg on free ports), [`versions`] and [`ensemble`] (several Apache servers of any release that
//! elect a leader), [`net`], [`disk`] and [`janitor`] (what is done to them and how it is undone),
//! [`receivers`] (of notifications), [`java`] (zkCli and other Java programs),
//! [`wait`] (polling, ports).

pub mod cache;
pub mod disk;
pub mod ensemble;
pub mod fetch;
pub mod janitor;
pub mod java;
pub mod net;
pub mod process;
pub mod receivers;
pub mod script;
pub mod server;
pub mod tools;
pub mod versions;
pub mod wait;
pub mod wire;

pub use cache::Cache;
pub use ensemble::{Ensemble, EnsembleSpec, Member};
pub use fetch::Peer;
pub use janitor::Janitor;
pub use net::Net;
pub use process::Process;
pub use server::{Flavor, Server, ServerSpec};
pub use versions::Version;

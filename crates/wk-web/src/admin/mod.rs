//! Apache's HTTP side of a server: the AdminServer's commands, and the metrics page of its
//! Prometheus provider, with the paths, keys and shapes of 3.9.5.
//!
//! Both listen where zoo.cfg says, beyond loopback too: that is Apache's contract, and neither
//! page can change anything but counters.

mod commands;
mod json;
mod page;

pub use page::{AdminPages, BindError, BoundPages};

//! The monitor against a real server in this process and receivers on loopback: what a fault
//! becomes, over restarts too.
#![allow(clippy::unwrap_used, reason = "a test reports by a panic with its line")]

mod cures;
mod nodes;
mod presets;
mod quiet;
mod servers;
mod site;

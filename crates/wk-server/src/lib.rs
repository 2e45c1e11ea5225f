//! The server's shell: it owns the sockets, the disk and the clocks around wk-node and decides
//! nothing by itself.
//!
//! Reading order: [`report`] (what a server says about itself), [`metrics`] (counters and
//! summaries with Apache's names), [`zoo_cfg`] (configuration).

pub mod metrics;
pub mod report;
pub mod zoo_cfg;

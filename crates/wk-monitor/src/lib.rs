//! The monitor around the pure core `wk-alert`: what it sees, what it keeps, whom it tells.
//!
//! Pages, the HTTP API and the command line read only what [`MonitorHandle`] gives; they never look
//! at the store or at a detector.

mod handle;
mod incident;
mod time;
mod view;

pub use handle::{ActionError, Change, MonitorHandle, View};
pub use incident::{
    Incident, IncidentDetail, IncidentFilter, IncidentState, Severity, TimelineEntry,
};
pub use time::Timestamp;
pub use view::{
    ChannelKind, ChannelStatus, ChannelTest, Delivery, DeliveryState, Ensemble, Fleet, Group,
    Latency, Level, Node, NodeState, Phase, Server, ServerState, Sight,
};

pub(crate) use handle::Command;

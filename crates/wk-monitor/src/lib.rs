//! The monitor around the pure core `wk-alert`: what it sees, what it keeps, whom it tells.
//!
//! Pages, the HTTP API and the command line read only what [`MonitorHandle`] gives; they never look
//! at the store or at a detector.

mod action;
mod agents;
mod audit;
mod canary;
mod channel;
mod config;
mod convert;
mod discover;
mod doors;
mod engine;
mod handle;
mod incident;
mod judgement;
mod member;
mod monitor;
mod notification;
mod own;
mod phi;
mod probe;
mod publish;
mod pulse;
mod registry;
mod rule_files;
mod rule_state;
mod samples;
mod silence;
mod store;
mod tap;
mod task;
mod text;
mod time;
mod view;

pub use agents::MakePage;
pub use audit::{AUDIT_LINES_MAX, AuditEntry, AuditPage};
pub use channel::{Channel, UrlError, parse_notify};
pub use config::{
    Config, ConfigError, EnsembleConfig, FileConfig, GroupConfig, IncidentsConfig, OnDown,
    PagePorts, PortPair, PresetConfig, RulesConfig,
};
pub use handle::{ActionError, Change, MonitorHandle, View};
pub use incident::{
    Cure, Incident, IncidentDetail, IncidentFilter, IncidentState, Located, Severity, TimelineEntry,
};
pub use monitor::{EnsemblePort, Monitor, SessionEnd, StartError};
pub use rule_state::{RuleHealth, RuleState, Rules, VALUES_MAX};
pub use silence::{Maintenance, Silence, Term};
pub use store::StoreError;
pub use text::{Lang, is_disturbing};
pub use time::Timestamp;
pub use view::{
    ChannelKind, ChannelStatus, ChannelTest, Delivery, DeliveryState, Ensemble, Fleet, Group,
    Latency, Level, Node, NodeState, Phase, Server, ServerState, Sight, WindowFigures,
};
pub use wk_alert::exactly;

//! The monitor's core: what is a fault, what becomes of it, who has to be told. No I/O, no clock.
//!
//! A fault walks down this list: an observation enters a detector ([`server`], [`node`]), which says
//! a [`Finding`] when its judgement changes; the [`Ledger`] turns findings into incidents with
//! a life of their own and into outbox entries; the shell stores each [`Batch`] before it sends
//! anything of it. Every struct takes the time as an argument, so that a simulation can run years
//! of crashes in seconds.

pub mod beat;
pub mod cure;
pub mod fact;
pub mod finding;
pub mod health;
pub mod incident;
pub mod inhibition;
pub mod judge;
pub mod ledger;
pub mod locate;
pub mod node;
pub mod outbox;
pub mod server;
pub mod sight;
pub mod silence;

pub use cure::{
    Attempt, CureEvent, CureMode, CurePolicy, Cures, Ended, GroupView, Refusal, Target,
};
pub use fact::{Fact, FactKind};
pub use finding::{Detail, Figure, Finding, Severity, Subject};
pub use health::{Health, HealthPolicy, Pulse};
pub use incident::{Fingerprint, Incident, IncidentId, IncidentState, Suppressed};
pub use inhibition::{Healing, Veil};
pub use judge::{Ask, Claim, Judge, JudgePolicy};
pub use ledger::{
    ABOUT_ENSEMBLE, AuditLine, Batch, Case, ChannelFigures, Ledger, LedgerError, Pending, Policy,
    Saved,
};
pub use outbox::{
    Bundle, BundleKey, ChannelPolicy, Entry, EntryKey, EntryState, Outcome, Phase, Rate,
};
pub use sight::{Look, ServerSight, Sight, SightPolicy};
pub use silence::{Scope, ScopeError, Silence, SilenceId, exactly};

use wk_proto::ids::{Mono, Wall};

/// Both clocks at one instant: timeouts use `mono`, what is written down uses `wall`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Now {
    /// For timeouts within one run.
    pub mono: Mono,
    /// Time of day, for what must be understood after a restart.
    pub wall: Wall,
}

//! The transaction stream of any ensemble, followed as an unlisted observer.
//!
//! Every committed txn of a running ensemble, in order, without a snapshot and without a line of
//! configuration there (docs/tap.md). Reading order: [`learner`] (the protocol, pure), [`change`]
//! (a txn for people and figures), [`find`]
//! (which member leads, and where it takes learners), [`tap`] (the task around them).

pub mod change;
pub mod figures;
pub mod find;
pub mod learner;
pub mod tap;

pub use change::{Change, ChangeOp, Failure, Kind};
pub use figures::Figures;
pub use find::FindError;
pub use learner::{Effect, Event, Input, Learner, LearnerConfig, LearnerStats, Left, Out};
pub use tap::{Health, Tap, TapConfig, TapState};

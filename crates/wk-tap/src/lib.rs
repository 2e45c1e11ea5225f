//! The transaction stream of any ensemble, followed as an unlisted observer.

pub mod learner;

pub use learner::{Effect, Event, Input, Learner, LearnerConfig, LearnerStats, Left, Out};

//! PromQL over floats, in process: a bounded window of samples and an evaluator with the semantics
//! of Prometheus 3. No I/O, no clock: every instant is an argument, in milliseconds since 1970.

mod labels;

pub use labels::{Labels, NAME, STALE, Sample, is_stale};

//! PromQL over floats, in process: a bounded window of samples and an evaluator with the semantics
//! of Prometheus 3. No I/O, no clock: every instant is an argument, in milliseconds since 1970.

#![expect(clippy::float_cmp, reason = "the language compares exactly, and so do its tests")]

mod eval;
mod expr;
mod labels;
mod matcher;
mod parse;
mod value;
mod window;

pub use expr::{Expr, Reach};
pub use labels::{Labels, NAME, STALE, Sample, is_stale};
pub use matcher::{MatchOp, Matcher, MatcherError, REGEX_LEN_MAX};
pub use parse::{EXPR_DEPTH_MAX, EXPR_LEN_MAX, Features, ParseError};
pub use value::{
    EvalError, Kind, LOOKBACK_MS, NameRemoval, Note, Options, Series, Source, Value, Visit,
};
pub use window::{AppendError, Window, WindowPolicy};

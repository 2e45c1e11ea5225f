//! What evaluations give, what they may cost, and why they fail.

use crate::labels::Labels;
use crate::matcher::Matcher;

/// How far back an instant selector looks for a sample: 5 minutes.
pub const LOOKBACK_MS: i64 = 300_000;

/// What a [`Source`] calls for each series.
pub type Visit<'v> = dyn FnMut(&Labels, &mut dyn Iterator<Item = (i64, f64)>) + 'v;

/// Where samples come from.
pub trait Source {
    /// Visits each series that meets all `matchers` and has samples with `after < at <= upto`, in
    /// the order of labels: its labels and those samples, oldest first. Stale markers are samples.
    fn select(&self, matchers: &[Matcher], after: i64, upto: i64, visit: &mut Visit<'_>);

    /// As [`Source::select`], with the newest of those samples alone.
    fn latest(
        &self,
        matchers: &[Matcher],
        after: i64,
        upto: i64,
        visit: &mut dyn FnMut(&Labels, (i64, f64)),
    ) {
        self.select(matchers, after, upto, &mut |labels, samples| {
            if let Some(newest) = samples.last() {
                visit(labels, newest);
            }
        });
    }
}

/// A series of a [`Value::Matrix`]: its labels, and points of milliseconds and value.
pub type Series = (Labels, Vec<(i64, f64)>);

/// What an expression gives.
#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    /// One number.
    Scalar(f64),
    /// One value a series, all at the instant of the evaluation.
    Vector(Vec<(Labels, f64)>),
    /// Points a series, in the order of time.
    Matrix(Vec<Series>),
    /// A string literal.
    Text(String),
}

/// The kinds of [`Value`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// One number.
    Scalar,
    /// One value a series.
    Vector,
    /// Points a series.
    Matrix,
    /// A string.
    Text,
}

impl std::fmt::Display for Kind {
    /// By Prometheus' names.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Scalar => "scalar",
            Self::Vector => "instant vector",
            Self::Matrix => "range vector",
            Self::Text => "string",
        })
    }
}

/// When the name of a metric leaves a series that a function has changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum NameRemoval {
    /// At once: what Prometheus 3 does by default.
    AtOnce,
    /// At the end of the evaluation: Prometheus' feature `promql-delayed-name-removal`.
    Delayed,
}

/// What an evaluation may cost, and its few settings.
#[derive(Clone, Debug, PartialEq)]
pub struct Options {
    /// How far back an instant selector looks. Default [`LOOKBACK_MS`].
    pub lookback_ms: i64,
    /// The step of a subquery that names none. Default 60 s.
    pub subquery_step_ms: i64,
    /// Samples read and made in one evaluation. Default 10 million; more end it with
    /// [`EvalError::TooManySamples`].
    pub samples_max: u64,
    /// Series of one vector. Default 200 000; more end it with [`EvalError::TooManySeries`].
    pub series_max: usize,
    /// Instants of one range evaluation or subquery. Default 11 000, as Prometheus' API.
    pub steps_max: u64,
    /// Default [`NameRemoval::AtOnce`].
    pub name_removal: NameRemoval,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            lookback_ms: LOOKBACK_MS,
            subquery_step_ms: 60_000,
            samples_max: 10_000_000,
            series_max: 200_000,
            steps_max: 11_000,
            name_removal: NameRemoval::AtOnce,
        }
    }
}

/// Why an evaluation gave nothing.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum EvalError {
    /// Over [`Options::samples_max`].
    #[error("the expression touches more than {max} samples")]
    TooManySamples {
        /// The bound.
        max: u64,
    },
    /// Over [`Options::series_max`].
    #[error("a vector of more than {max} series")]
    TooManySeries {
        /// The bound.
        max: usize,
    },
    /// Over [`Options::steps_max`].
    #[error("more than {max} steps")]
    TooManySteps {
        /// The bound.
        max: u64,
    },
    /// A step that is not positive, or an end before the start.
    #[error("a range needs a positive step and an end at or after its start")]
    BadRange,
    /// Two series of one vector would have the same labels.
    #[error("vector cannot contain metrics with the same labelset: {labels}")]
    SameLabels {
        /// They.
        labels: Labels,
    },
    /// Series on the side that must be unique meet the same labels of a match.
    #[error(
        "found duplicate series for the match group {group} on the {side} hand-side of the \
         operation: [{one}, {other}]; many-to-many matching not allowed: matching labels must be \
         unique on one side"
    )]
    ManyToMany {
        /// The labels matched on.
        group: Labels,
        /// `left` or `right`.
        side: &'static str,
        /// One of the two.
        one: Labels,
        /// The other.
        other: Labels,
    },
    /// Several series on the side of one without group_left or group_right, or a result that is
    /// there twice.
    #[error("multiple matches for labels: {rule}: {labels}")]
    ManyToOne {
        /// What must be.
        rule: &'static str,
        /// The labels.
        labels: Labels,
    },
    /// An argument that a function cannot work with.
    #[error("{function}: {reason}")]
    Argument {
        /// The function or aggregation.
        function: &'static str,
        /// What is wrong with which argument.
        reason: String,
    },
    /// Only scalars and vectors can be evaluated over a range.
    #[error("invalid expression type {kind} for a range query, must be scalar or instant vector")]
    RangeOf {
        /// What it is.
        kind: Kind,
    },
}

/// A remark on a result that is not an error.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Note {
    /// Probably a mistake in the expression.
    Info(String),
    /// The result may be wrong.
    Warning(String),
}

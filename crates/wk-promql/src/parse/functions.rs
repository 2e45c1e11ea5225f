//! The functions: their arguments, and which are refused.

use crate::value::Kind;

/// Which parts of the language an expression may use.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum Features {
    /// What Prometheus 3 offers by default.
    #[default]
    Stable,
    /// Also what it offers behind `--enable-feature=promql-experimental-functions`, as far as it
    /// works here.
    Experimental,
}

/// How a function is called.
#[derive(Debug, PartialEq)]
pub(crate) struct Signature {
    pub(crate) name: &'static str,
    pub(crate) arguments: &'static [Kind],
    /// How many of the last argument: at least and at most.
    pub(crate) last: (usize, usize),
    pub(crate) gives: Kind,
    pub(crate) features: Features,
}

const V: Kind = Kind::Vector;
const M: Kind = Kind::Matrix;
const S: Kind = Kind::Scalar;
const T: Kind = Kind::Text;

const MANY: usize = 64;

const fn plain(name: &'static str, arguments: &'static [Kind]) -> Signature {
    Signature { name, arguments, last: (1, 1), gives: V, features: Features::Stable }
}

const fn optional(name: &'static str, arguments: &'static [Kind]) -> Signature {
    Signature { name, arguments, last: (0, 1), gives: V, features: Features::Stable }
}

const fn scalar(name: &'static str, arguments: &'static [Kind]) -> Signature {
    Signature { name, arguments, last: (1, 1), gives: S, features: Features::Stable }
}

const fn experimental(name: &'static str, arguments: &'static [Kind]) -> Signature {
    Signature { name, arguments, last: (1, 1), gives: V, features: Features::Experimental }
}

/// All functions, by name.
static FUNCTIONS: &[Signature] = &[
    plain("abs", &[V]),
    plain("absent", &[V]),
    plain("absent_over_time", &[M]),
    plain("acos", &[V]),
    plain("acosh", &[V]),
    plain("asin", &[V]),
    plain("asinh", &[V]),
    plain("atan", &[V]),
    plain("atanh", &[V]),
    plain("avg_over_time", &[M]),
    plain("ceil", &[V]),
    plain("changes", &[M]),
    plain("clamp", &[V, S, S]),
    plain("clamp_max", &[V, S]),
    plain("clamp_min", &[V, S]),
    plain("cos", &[V]),
    plain("cosh", &[V]),
    plain("count_over_time", &[M]),
    optional("day_of_month", &[V]),
    optional("day_of_week", &[V]),
    optional("day_of_year", &[V]),
    optional("days_in_month", &[V]),
    plain("deg", &[V]),
    plain("delta", &[M]),
    plain("deriv", &[M]),
    experimental("double_exponential_smoothing", &[M, S, S]),
    plain("exp", &[V]),
    plain("floor", &[V]),
    plain("histogram_fraction", &[S, S, V]),
    plain("histogram_quantile", &[S, V]),
    optional("hour", &[V]),
    plain("idelta", &[M]),
    plain("increase", &[M]),
    plain("irate", &[M]),
    Signature { last: (0, MANY), ..plain("label_join", &[V, T, T, T]) },
    plain("label_replace", &[V, T, T, T, T]),
    plain("last_over_time", &[M]),
    plain("ln", &[V]),
    plain("log10", &[V]),
    plain("log2", &[V]),
    experimental("mad_over_time", &[M]),
    plain("max_over_time", &[M]),
    plain("min_over_time", &[M]),
    optional("minute", &[V]),
    optional("month", &[V]),
    scalar("pi", &[]),
    plain("predict_linear", &[M, S]),
    plain("present_over_time", &[M]),
    plain("quantile_over_time", &[S, M]),
    plain("rad", &[V]),
    plain("rate", &[M]),
    plain("resets", &[M]),
    optional("round", &[V, S]),
    scalar("scalar", &[V]),
    plain("sgn", &[V]),
    plain("sin", &[V]),
    plain("sinh", &[V]),
    plain("sort", &[V]),
    Signature { last: (0, MANY), ..experimental("sort_by_label", &[V, T]) },
    Signature { last: (0, MANY), ..experimental("sort_by_label_desc", &[V, T]) },
    plain("sort_desc", &[V]),
    plain("sqrt", &[V]),
    plain("stddev_over_time", &[M]),
    plain("stdvar_over_time", &[M]),
    plain("sum_over_time", &[M]),
    plain("tan", &[V]),
    plain("tanh", &[V]),
    scalar("time", &[]),
    plain("timestamp", &[V]),
    experimental("ts_of_last_over_time", &[M]),
    experimental("ts_of_max_over_time", &[M]),
    experimental("ts_of_min_over_time", &[M]),
    plain("vector", &[S]),
    optional("year", &[V]),
];

/// Functions of Prometheus that are refused, with the reason.
const REFUSED: &[(&str, &str)] = &[
    ("histogram_avg", NATIVE),
    ("histogram_count", NATIVE),
    ("histogram_stddev", NATIVE),
    ("histogram_stdvar", NATIVE),
    ("histogram_sum", NATIVE),
    ("info", "it is experimental and joins by rules that are still moving"),
    ("holt_winters", "Prometheus 3 calls it double_exponential_smoothing"),
];

const NATIVE: &str = "it is for native histograms, and values are floats here";

/// The function of that name, if it may be used.
pub(super) fn find(name: &str, features: Features) -> Result<&'static Signature, String> {
    if let Some((_, reason)) = REFUSED.iter().find(|(refused, _)| *refused == name) {
        return Err(format!("function {name}() is not supported: {reason}"));
    }
    let at = FUNCTIONS
        .binary_search_by(|known| known.name.cmp(name))
        .map_err(|_| format!("unknown function {name:?}"))?;
    let found = &FUNCTIONS[at];
    if found.features == Features::Experimental && features == Features::Stable {
        return Err(format!("function {name}() is experimental and not enabled"));
    }
    Ok(found)
}

impl Signature {
    /// The kind of the argument number `at`.
    pub(crate) fn argument(&self, at: usize) -> Option<Kind> {
        self.arguments.get(at).or(self.arguments.last()).copied()
    }

    /// How many arguments there may be.
    pub(crate) fn count(&self) -> std::ops::RangeInclusive<usize> {
        let Some(fixed) = self.arguments.len().checked_sub(1) else { return 0..=0 };
        fixed + self.last.0..=fixed + self.last.1
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_is_sorted_and_gates_hold() {
        assert!(FUNCTIONS.is_sorted_by(|a, b| a.name < b.name));
        assert!(find("rate", Features::Stable).is_ok());
        assert!(find("mad_over_time", Features::Stable).is_err());
        assert!(find("mad_over_time", Features::Experimental).is_ok());
        let native = find("histogram_sum", Features::Experimental).unwrap_err();
        assert!(native.contains("native histograms"), "{native}");
    }
}

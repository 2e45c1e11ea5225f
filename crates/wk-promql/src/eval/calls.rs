//! Functions: which code serves which name.

use std::collections::BTreeSet;

use super::dates::Part;
use super::numbers::{max, min, quantile, seconds};
use super::over_time::over_time;
use super::ranges::{Change, Span, extrapolated, instant, regression, smoothed};
use super::{Answer, Element, Evaluator, Range, names};
use crate::labels::{Labels, NAME};
use crate::matcher::{MatchOp, Matcher};
use crate::parse::{Call, Node, Selector, Tree};
use crate::value::{EvalError, Kind, Note};

/// Endings that counters have by convention.
const COUNTER_ENDINGS: &[&str] = &["_total", "_sum", "_count", "_bucket"];

impl Evaluator<'_> {
    pub(super) fn call(&mut self, call: &Call, at: i64) -> Result<Answer, EvalError> {
        let name = call.signature.name;
        if call.signature.arguments.contains(&Kind::Matrix) {
            return self.over_range(call, at).map(Answer::Vector);
        }
        if let Some(part) = Part::named(name) {
            return self.dates(part, call, at).map(Answer::Vector);
        }
        let arguments = &call.arguments[..];
        match (name, arguments) {
            ("time", _) => Ok(Answer::Scalar(seconds(at))),
            ("pi", _) => Ok(Answer::Scalar(std::f64::consts::PI)),
            ("scalar", [vector]) => {
                let vector = self.vector(vector, at)?;
                Ok(Answer::Scalar(match &vector[..] {
                    [one] => one.value,
                    _ => f64::NAN,
                }))
            }
            ("vector", [scalar]) => {
                let value = self.scalar(scalar, at)?;
                let labels = Labels::default();
                Ok(Answer::Vector(vec![Element { labels, drops_name: false, value }]))
            }
            _ => self.vector_call(name, arguments, at).map(Answer::Vector),
        }
    }

    fn vector_call(
        &mut self,
        name: &str,
        arguments: &[Node],
        at: i64,
    ) -> Result<Vec<Element>, EvalError> {
        match (name, arguments) {
            ("label_replace", _) => self.label_replace(arguments, at),
            ("label_join", _) => self.label_join(arguments, at),
            ("absent", [inner]) => {
                let is_there = !self.vector(inner, at)?.is_empty();
                Ok(absent(inner, is_there))
            }
            ("timestamp", [inner]) => self.timestamps(inner, at),
            ("histogram_quantile", [q, inner]) => {
                let (q, vector) = (self.scalar(q, at)?, self.vector(inner, at)?);
                self.histogram_quantile(q, &vector)
            }
            ("histogram_fraction", [lower, upper, inner]) => {
                let (lower, upper) = (self.scalar(lower, at)?, self.scalar(upper, at)?);
                let vector = self.vector(inner, at)?;
                self.histogram_fraction(lower, upper, &vector)
            }
            ("sort" | "sort_desc" | "sort_by_label" | "sort_by_label_desc", [inner, by @ ..]) => {
                let mut vector = self.vector(inner, at)?;
                match name {
                    "sort" => names::sort(&mut vector),
                    "sort_desc" => names::sort_desc(&mut vector),
                    _ => names::sort_by_label(&mut vector, by),
                }
                if name == "sort_by_label_desc" {
                    vector.reverse();
                }
                Ok(vector)
            }
            (_, [inner, bounds @ ..]) => {
                let vector = self.vector(inner, at)?;
                let mut numbers = Vec::with_capacity(bounds.len());
                for bound in bounds {
                    numbers.push(self.scalar(bound, at)?);
                }
                self.numeric(name, vector, &numbers)
            }
            (_, []) => Ok(Vec::new()),
        }
    }

    /// Functions of each value by itself.
    fn numeric(
        &mut self,
        name: &str,
        vector: Vec<Element>,
        numbers: &[f64],
    ) -> Result<Vec<Element>, EvalError> {
        let vector = vector.into_iter();
        match (name, numbers) {
            ("clamp", [low, high]) if high < low => Ok(Vec::new()),
            ("clamp", [low, high]) => self.renamed(vector, |value| max(*low, min(*high, value))),
            ("clamp_min", [low]) => {
                self.renamed(vector, |value| max(*low, min(f64::INFINITY, value)))
            }
            ("clamp_max", [high]) => {
                self.renamed(vector, |value| max(f64::NEG_INFINITY, min(*high, value)))
            }
            ("round", _) => {
                let inverse = 1.0 / numbers.first().copied().unwrap_or(1.0);
                self.renamed(vector, |value| (value * inverse + 0.5).floor() / inverse)
            }
            _ => match math(name) {
                Some(function) => self.renamed(vector, function),
                None => Ok(Vec::new()),
            },
        }
    }

    fn timestamps(&mut self, inner: &Node, at: i64) -> Result<Vec<Element>, EvalError> {
        let mut out = Vec::new();
        if let Some(selector) = bare_selector(inner) {
            for (element, time) in self.select(selector, at)? {
                out.push(Element { value: seconds(time), drops_name: true, ..element });
            }
        } else {
            for element in self.vector(inner, at)? {
                out.push(Element { value: seconds(at), drops_name: true, ..element });
            }
        }
        self.drop_names(out)
    }

    fn dates(&mut self, part: Part, call: &Call, at: i64) -> Result<Vec<Element>, EvalError> {
        let Some(inner) = call.arguments.first() else {
            let value = part.of(seconds(at).floor());
            return Ok(vec![Element { labels: Labels::default(), drops_name: false, value }]);
        };
        let vector = self.vector(inner, at)?;
        self.renamed(vector.into_iter(), |value| part.of(value))
    }

    fn over_range(&mut self, call: &Call, at: i64) -> Result<Vec<Element>, EvalError> {
        let name = call.signature.name;
        let mut numbers = Vec::new();
        let mut range = None;
        for (place, argument) in call.arguments.iter().enumerate() {
            if call.signature.argument(place) == Some(Kind::Matrix) {
                range = Some(argument);
            } else {
                numbers.push(self.scalar(argument, at)?);
            }
        }
        let Some(argument) = range else { return Ok(Vec::new()) };
        let ranges = self.ranges(argument, at)?;
        if name == "absent_over_time" {
            return Ok(absent(argument, !ranges.series.is_empty()));
        }
        if let ("quantile_over_time", [q], false) = (name, &numbers[..], ranges.series.is_empty())
            && !(0.0..=1.0).contains(q)
        {
            self.warn_quantile(*q);
        }
        let mut out = Vec::with_capacity(ranges.series.len());
        for series in ranges.series {
            let span = Span { points: series.points(), after: ranges.after, upto: ranges.upto };
            let Some(value) = range_function(name, span, &numbers, at)? else { continue };
            self.note_non_counter(name, &series);
            let drops_name = series.drops_name || name != "last_over_time";
            out.push(Element { labels: series.labels, drops_name, value });
        }
        self.drop_names(out)
    }

    fn note_non_counter(&mut self, function: &str, series: &Range) {
        let metric = series.labels.name();
        let is_counter = COUNTER_ENDINGS.iter().any(|ending| metric.ends_with(ending));
        if matches!(function, "rate" | "increase") && !metric.is_empty() && !is_counter {
            self.note(Note::Info(format!(
                "metric might not be a counter, name does not end in \
                 _total/_sum/_count/_bucket: {metric:?}"
            )));
        }
    }
}

fn range_function(
    name: &str,
    span: Span<'_>,
    numbers: &[f64],
    at: i64,
) -> Result<Option<f64>, EvalError> {
    let points = span.points;
    Ok(match (name, numbers) {
        ("rate", _) => extrapolated(span, Change::Rate),
        ("increase", _) => extrapolated(span, Change::Increase),
        ("delta", _) => extrapolated(span, Change::Delta),
        ("irate", _) => instant(points, Change::Rate),
        ("idelta", _) => instant(points, Change::Delta),
        ("deriv", _) => {
            let origin = points.first().map_or(0, |(time, _)| *time);
            regression(points, origin).map(|(slope, _)| slope)
        }
        ("predict_linear", [ahead]) => {
            regression(points, at).map(|(slope, now)| slope * ahead + now)
        }
        ("quantile_over_time", [q]) => {
            let mut values: Vec<f64> = points.iter().map(|(_, value)| *value).collect();
            Some(quantile(*q, &mut values))
        }
        ("double_exponential_smoothing", [smoothing, trend]) => {
            for (what, factor) in [("smoothing", smoothing), ("trend", trend)] {
                if !(*factor > 0.0 && *factor < 1.0) {
                    let reason =
                        format!("invalid {what} factor. Expected: 0 < factor < 1, got: {factor}");
                    let function = "double_exponential_smoothing";
                    return Err(EvalError::Argument { function, reason });
                }
            }
            smoothed(points, *smoothing, *trend)
        }
        _ => over_time(name, points),
    })
}

/// The function of one number by that name.
fn math(name: &str) -> Option<fn(f64) -> f64> {
    Some(match name {
        "abs" => f64::abs,
        "ceil" => f64::ceil,
        "floor" => f64::floor,
        "exp" => f64::exp,
        "sqrt" => f64::sqrt,
        "ln" => f64::ln,
        "log2" => f64::log2,
        "log10" => f64::log10,
        "sin" => f64::sin,
        "cos" => f64::cos,
        "tan" => f64::tan,
        "asin" => f64::asin,
        "acos" => f64::acos,
        "atan" => f64::atan,
        "sinh" => f64::sinh,
        "cosh" => f64::cosh,
        "tanh" => f64::tanh,
        "asinh" => f64::asinh,
        "acosh" => f64::acosh,
        "atanh" => f64::atanh,
        "rad" => f64::to_radians,
        "deg" => f64::to_degrees,
        "sgn" => |value| {
            if value < 0.0 {
                -1.0
            } else if value > 0.0 {
                1.0
            } else {
                value
            }
        },
        _ => return None,
    })
}

/// The selector that a node is, through parentheses.
fn bare_selector(node: &Node) -> Option<&Selector> {
    match &node.tree {
        Tree::Selector(selector) => Some(selector),
        Tree::Paren(inner) => bare_selector(inner),
        Tree::Number(_)
        | Tree::Text(_)
        | Tree::Subquery(_)
        | Tree::Positive(_)
        | Tree::Negative(_)
        | Tree::Binary(_)
        | Tree::Aggregate(_)
        | Tree::Call(_) => None,
    }
}

/// One series where there is none, with the labels that the selector asked for by `=`.
fn absent(inner: &Node, is_there: bool) -> Vec<Element> {
    if is_there {
        return Vec::new();
    }
    let matchers = bare_selector(inner).map(|selector| &selector.matchers[..]);
    let labels = asked_for(matchers.unwrap_or_default());
    vec![Element { labels, drops_name: false, value: 1.0 }]
}

/// As Prometheus: the first `=` of a label sets it, any further condition on it takes it away.
fn asked_for(matchers: &[Matcher]) -> Labels {
    let mut labels = Labels::default();
    let mut seen = BTreeSet::new();
    for matcher in matchers.iter().filter(|matcher| matcher.name() != NAME) {
        let is_first = matcher.op() == MatchOp::Equal && seen.insert(matcher.name());
        labels = labels.with(matcher.name(), if is_first { matcher.value() } else { "" });
    }
    labels
}

//! Aggregations.

use std::collections::BTreeMap;

use super::numbers::{Mean, Sum, count, max, min, nan_first, quantile, short_text, text};
use super::{Element, Evaluator};
use crate::labels::{Labels, NAME};
use crate::parse::{Aggregate, Aggregation, Grouping};
use crate::value::{EvalError, Note};

impl Evaluator<'_> {
    pub(super) fn aggregate(
        &mut self,
        aggregate: &Aggregate,
        at: i64,
    ) -> Result<Vec<Element>, EvalError> {
        let parameter = match &aggregate.parameter {
            Some(node) if aggregate.what != Aggregation::CountValues => self.scalar(node, at)?,
            _ => 0.0,
        };
        let label = aggregate.parameter.as_deref().map(super::names::text_of).unwrap_or_default();
        if aggregate.what == Aggregation::CountValues && label.is_empty() {
            return Err(argument(aggregate.what, format!("invalid label name {label:?}")));
        }
        let vector = self.vector(&aggregate.inner, at)?;
        self.warn(aggregate.what, parameter);
        match aggregate.what {
            Aggregation::Topk
            | Aggregation::Bottomk
            | Aggregation::Limitk
            | Aggregation::LimitRatio => choose(aggregate, parameter, vector),
            Aggregation::CountValues => Ok(count_values(aggregate, label, &vector)),
            _ => {
                let groups = grouped(&aggregate.grouping, vector);
                let folded = groups.into_iter().map(|(labels, members)| Element {
                    labels,
                    drops_name: members.first().is_some_and(|first| first.drops_name),
                    value: fold(aggregate.what, parameter, &members),
                });
                Ok(folded.collect())
            }
        }
    }

    fn warn(&mut self, what: Aggregation, parameter: f64) {
        let is_outside = |low: f64| !(low..=1.0).contains(&parameter);
        if what == Aggregation::Quantile && is_outside(0.0) {
            self.warn_quantile(parameter);
        }
        if what == Aggregation::LimitRatio && is_outside(-1.0) && !parameter.is_nan() {
            self.note(Note::Warning(format!(
                "ratio value should be between -1 and 1, got {}, capping to {}",
                short_text(parameter),
                parameter.signum()
            )));
        }
    }

    pub(super) fn warn_quantile(&mut self, q: f64) {
        self.note(Note::Warning(format!(
            "quantile value should be between 0 and 1, got {}",
            short_text(q)
        )));
    }
}

fn argument(what: Aggregation, reason: String) -> EvalError {
    EvalError::Argument { function: what.name(), reason }
}

/// The labels of a group.
fn group_labels(labels: &Labels, grouping: &Grouping) -> Labels {
    match grouping {
        Grouping::Only(names) if names.is_empty() => Labels::default(),
        Grouping::Only(names) => labels.only(names),
        Grouping::Except(names) => labels.except(names).with(NAME, ""),
    }
}

fn grouped(grouping: &Grouping, vector: Vec<Element>) -> Vec<(Labels, Vec<Element>)> {
    if vector.is_empty() {
        return Vec::new();
    }
    if matches!(grouping, Grouping::Only(names) if names.is_empty()) {
        return vec![(Labels::default(), vector)];
    }
    // Groups come in the order of their first member, as in Prometheus.
    let mut places: BTreeMap<Labels, usize> = BTreeMap::new();
    let mut groups: Vec<(Labels, Vec<Element>)> = Vec::new();
    for element in vector {
        let labels = group_labels(&element.labels, grouping);
        let place = *places.entry(labels.clone()).or_insert_with(|| {
            groups.push((labels, Vec::new()));
            groups.len() - 1
        });
        groups[place].1.push(element);
    }
    groups
}

fn fold(what: Aggregation, parameter: f64, members: &[Element]) -> f64 {
    let values = members.iter().map(|member| member.value);
    let first = members.first().map_or(f64::NAN, |member| member.value);
    match what {
        Aggregation::Sum => {
            let mut sum = Sum { sum: first, rest: 0.0 };
            values.skip(1).for_each(|value| sum.add(value));
            sum.total()
        }
        Aggregation::Avg => {
            let mut mean = Mean::new(first);
            values.skip(1).for_each(|value| mean.add(value));
            mean.mean()
        }
        // NaN is left as soon as there is a number.
        Aggregation::Min => values.fold(f64::NAN, |a, b| if a.is_nan() || b < a { b } else { a }),
        Aggregation::Max => values.fold(f64::NAN, |a, b| if a.is_nan() || b > a { b } else { a }),
        Aggregation::Group => 1.0,
        Aggregation::Stddev => variance(members).sqrt(),
        Aggregation::Stdvar => variance(members),
        Aggregation::Quantile => quantile(parameter, &mut values.collect::<Vec<_>>()),
        Aggregation::Count
        | Aggregation::Topk
        | Aggregation::Bottomk
        | Aggregation::CountValues
        | Aggregation::Limitk
        | Aggregation::LimitRatio => count(members.len()),
    }
}

/// Welford's way, as Prometheus.
fn variance(members: &[Element]) -> f64 {
    let mut mean = 0.0;
    let mut sum = 0.0;
    for (at, member) in members.iter().enumerate() {
        let value = member.value;
        if at == 0 {
            mean = value;
            sum = if value.is_finite() { 0.0 } else { f64::NAN };
            continue;
        }
        let delta = value - mean;
        mean += delta / count(at + 1);
        sum += delta * (value - mean);
    }
    sum / count(members.len())
}

fn choose(
    aggregate: &Aggregate,
    parameter: f64,
    vector: Vec<Element>,
) -> Result<Vec<Element>, EvalError> {
    let what = aggregate.what;
    if vector.is_empty() {
        return Ok(vector);
    }
    if what == Aggregation::LimitRatio {
        if parameter.is_nan() {
            return Err(argument(what, "Ratio value NaN is NaN".to_owned()));
        }
        let ratio = max(-1.0, min(1.0, parameter));
        return Ok(vector.into_iter().filter(|element| is_sampled(ratio, element)).collect());
    }
    // As Go converts: what does not fit into 64 bits is an error.
    if !(-(2f64.powi(63))..=2f64.powi(63)).contains(&parameter) {
        let reason = format!("Scalar value {} overflows int64", short_text(parameter));
        return Err(argument(what, reason));
    }
    if parameter < 1.0 {
        return Ok(Vec::new());
    }
    let most = super::numbers::index(parameter);
    let mut out = Vec::new();
    for (_, mut members) in grouped(&aggregate.grouping, vector) {
        match what {
            // NaN comes last in both.
            Aggregation::Topk => members.sort_by(|a, b| nan_first(b.value, a.value)),
            Aggregation::Bottomk => members.sort_by(|a, b| nan_last(a.value, b.value)),
            _ => (),
        }
        members.truncate(most);
        out.append(&mut members);
    }
    Ok(out)
}

fn nan_last(a: f64, b: f64) -> std::cmp::Ordering {
    a.partial_cmp(&b).unwrap_or_else(|| a.is_nan().cmp(&b.is_nan()))
}

/// Whether a series belongs to that share of all: by a hash of its labels, the same each time.
fn is_sampled(ratio: f64, element: &Element) -> bool {
    // FNV-1a, then mixed so that the high bits depend on all bytes.
    let mut hash: u64 = 0xcbf2_9ce4_8422_2325;
    for byte in element
        .labels
        .iter()
        .flat_map(|(name, value)| name.bytes().chain([0xff]).chain(value.bytes()).chain([0xff]))
    {
        hash = (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
    }
    hash ^= hash >> 33;
    hash = hash.wrapping_mul(0xff51_afd7_ed55_8ccd);
    hash ^= hash >> 33;
    #[expect(clippy::cast_precision_loss, reason = "a share between 0 and 1")]
    let place = hash as f64 / u64::MAX as f64;
    if ratio >= 0.0 { place < ratio } else { place >= 1.0 + ratio }
}

fn count_values(aggregate: &Aggregate, label: &str, vector: &[Element]) -> Vec<Element> {
    let grouping = match &aggregate.grouping {
        Grouping::Only(names) => {
            let mut names = names.clone();
            names.push(label.to_owned());
            Grouping::Only(names)
        }
        without @ Grouping::Except(_) => without.clone(),
    };
    let mut counts: BTreeMap<Labels, usize> = BTreeMap::new();
    for element in vector {
        let labels = element.labels.with(label, &text(element.value));
        *counts.entry(group_labels(&labels, &grouping)).or_default() += 1;
    }
    let counted = counts.into_iter().map(|(labels, members)| Element {
        labels,
        drops_name: false,
        value: count(members),
    });
    counted.collect()
}

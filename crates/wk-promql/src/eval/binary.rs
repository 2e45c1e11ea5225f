//! Binary operators: arithmetic, comparison, sets, and which series meet.

use std::collections::{BTreeMap, BTreeSet};

use super::{Answer, Element, Evaluator};
use crate::labels::{Labels, NAME};
use crate::parse::{Binary, Cardinality, Grouping, Operator};
use crate::value::{EvalError, NameRemoval};

impl Evaluator<'_> {
    pub(super) fn binary(&mut self, binary: &Binary, at: i64) -> Result<Answer, EvalError> {
        let left = self.eval(&binary.left, at)?;
        let right = self.eval(&binary.right, at)?;
        match (left, right) {
            (Answer::Scalar(left), Answer::Scalar(right)) => {
                let (value, keep) = apply(binary.operator, left, right);
                let is_comparison = binary.operator.is_comparison();
                Ok(Answer::Scalar(if is_comparison { truth(keep) } else { value }))
            }
            (Answer::Vector(vector), Answer::Scalar(scalar)) => {
                self.with_scalar(binary, vector, scalar, Side::Right).map(Answer::Vector)
            }
            (Answer::Scalar(scalar), Answer::Vector(vector)) => {
                self.with_scalar(binary, vector, scalar, Side::Left).map(Answer::Vector)
            }
            (Answer::Vector(left), Answer::Vector(right)) => {
                if binary.operator.is_set() {
                    return Ok(Answer::Vector(set(binary, left, right)));
                }
                self.with_vector(binary, left, right).map(Answer::Vector)
            }
            // Types were checked when the expression was parsed.
            (Answer::Text(_), _) | (_, Answer::Text(_)) => Ok(Answer::Vector(Vec::new())),
        }
    }

    fn with_scalar(
        &mut self,
        binary: &Binary,
        vector: Vec<Element>,
        scalar: f64,
        scalar_side: Side,
    ) -> Result<Vec<Element>, EvalError> {
        let operator = binary.operator;
        let mut out = Vec::with_capacity(vector.len());
        for mut element in vector {
            let (left, right) = match scalar_side {
                Side::Left => (scalar, element.value),
                Side::Right => (element.value, scalar),
            };
            let (value, keep) = apply(operator, left, right);
            if operator.is_comparison() {
                if binary.is_bool {
                    element.value = truth(keep);
                    element.drops_name = true;
                } else if !keep {
                    continue;
                }
                // A filter keeps the series' own value, whichever side it is on.
            } else {
                element.value = value;
                element.drops_name = true;
            }
            out.push(element);
        }
        self.drop_names(out)
    }

    fn with_vector(
        &mut self,
        binary: &Binary,
        left: Vec<Element>,
        right: Vec<Element>,
    ) -> Result<Vec<Element>, EvalError> {
        if left.is_empty() || right.is_empty() {
            return Ok(Vec::new());
        }
        let is_swapped = binary.cardinality == Cardinality::OneToMany;
        let (many, one) = if is_swapped { (right, left) } else { (left, right) };
        let mut ones: BTreeMap<String, &Element> = BTreeMap::new();
        for element in &one {
            if let Some(other) = ones.insert(key(&element.labels, &binary.matching), element) {
                return Err(EvalError::ManyToMany {
                    group: matched(&element.labels, &binary.matching),
                    side: if is_swapped { "left" } else { "right" },
                    one: element.labels.clone(),
                    other: other.labels.clone(),
                });
            }
        }
        let mut met: BTreeMap<String, BTreeSet<Labels>> = BTreeMap::new();
        let mut out = Vec::new();
        for element in many {
            let key = key(&element.labels, &binary.matching);
            let Some(other) = ones.get(&key) else { continue };
            let (left, right) = if is_swapped {
                (other.value, element.value)
            } else {
                (element.value, other.value)
            };
            let (mut value, keep) = apply(binary.operator, left, right);
            if binary.is_bool {
                value = truth(keep);
            } else if !keep {
                continue;
            }
            let mut labels = result_labels(binary, &element.labels, &other.labels);
            let mut drops_name = binary.is_bool;
            if drops_name && self.options.name_removal == NameRemoval::AtOnce {
                labels = labels.without_name();
                drops_name = false;
            }
            let group = met.entry(key);
            let is_first = matches!(group, std::collections::btree_map::Entry::Vacant(_));
            let is_new = group.or_default().insert(labels.clone());
            if binary.cardinality == Cardinality::OneToOne && !is_first {
                let rule = "many-to-one matching must be explicit (group_left/group_right)";
                return Err(EvalError::ManyToOne { rule, labels });
            }
            if !is_new {
                let rule = "grouping labels must ensure unique matches";
                return Err(EvalError::ManyToOne { rule, labels });
            }
            out.push(Element { labels, drops_name, value });
        }
        super::unique(&out)?;
        Ok(out)
    }
}

/// Where the scalar stands.
#[derive(Clone, Copy)]
enum Side {
    Left,
    Right,
}

fn truth(holds: bool) -> f64 {
    if holds { 1.0 } else { 0.0 }
}

/// The value, and whether a comparison holds (its value is then the left side's).
fn apply(operator: Operator, left: f64, right: f64) -> (f64, bool) {
    match operator {
        Operator::Add => (left + right, true),
        Operator::Sub => (left - right, true),
        Operator::Mul => (left * right, true),
        Operator::Div => (left / right, true),
        Operator::Mod => (left % right, true),
        Operator::Pow => (left.powf(right), true),
        Operator::Atan2 => (left.atan2(right), true),
        Operator::Equal => (left, left == right),
        Operator::NotEqual => (left, left != right),
        Operator::Greater => (left, left > right),
        Operator::Less => (left, left < right),
        Operator::GreaterEqual => (left, left >= right),
        Operator::LessEqual => (left, left <= right),
        Operator::And | Operator::Or | Operator::Unless => (left, false),
    }
}

/// What two series must have in common to meet.
fn key(labels: &Labels, matching: &Grouping) -> String {
    let mut key = String::new();
    for (name, value) in labels.iter() {
        let counts = match matching {
            Grouping::Only(names) => names.iter().any(|only| only == name),
            Grouping::Except(names) => name != NAME && names.iter().all(|other| other != name),
        };
        if counts {
            // Lengths keep different labels apart.
            key.push_str(&name.len().to_string());
            key.push(':');
            key.push_str(name);
            key.push_str(&value.len().to_string());
            key.push(':');
            key.push_str(value);
        }
    }
    key
}

fn matched(labels: &Labels, matching: &Grouping) -> Labels {
    match matching {
        Grouping::Only(names) => labels.only(names),
        Grouping::Except(names) => labels.except(names).with(NAME, ""),
    }
}

fn result_labels(binary: &Binary, many: &Labels, one: &Labels) -> Labels {
    let mut labels =
        if binary.operator.is_comparison() { many.clone() } else { many.without_name() };
    if binary.cardinality == Cardinality::OneToOne {
        labels = match &binary.matching {
            Grouping::Only(names) => labels.only(names),
            Grouping::Except(names) if names.is_empty() => labels,
            Grouping::Except(names) => labels.except(names),
        };
    }
    for name in &binary.include {
        labels = labels.with(name, one.get(name));
    }
    labels
}

fn set(binary: &Binary, left: Vec<Element>, right: Vec<Element>) -> Vec<Element> {
    let keys = |vector: &[Element]| -> BTreeSet<String> {
        vector.iter().map(|element| key(&element.labels, &binary.matching)).collect()
    };
    let is_in = |keys: &BTreeSet<String>, element: &Element| {
        keys.contains(&key(&element.labels, &binary.matching))
    };
    if binary.operator == Operator::Or {
        let known = keys(&left);
        let others = right.into_iter().filter(|element| !is_in(&known, element));
        return left.iter().cloned().chain(others).collect();
    }
    let known = keys(&right);
    let is_and = binary.operator == Operator::And;
    left.into_iter().filter(|element| is_in(&known, element) == is_and).collect()
}

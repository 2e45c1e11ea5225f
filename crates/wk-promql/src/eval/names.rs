//! Functions that change labels or order.

use std::cmp::Ordering;

use super::numbers::nan_first;
use super::{Element, Evaluator, unique};
use crate::labels::NAME;
use crate::matcher::anchored;
use crate::parse::{Node, Tree};
use crate::value::EvalError;

/// The longest label that a function makes, in bytes.
const LABEL_MADE_MAX: usize = 4096;

/// The string that a node is; empty where it is none, which types exclude.
pub(super) fn text_of(node: &Node) -> &str {
    match &node.tree {
        Tree::Text(text) => text,
        Tree::Paren(inner) => text_of(inner),
        Tree::Number(_)
        | Tree::Selector(_)
        | Tree::Subquery(_)
        | Tree::Positive(_)
        | Tree::Negative(_)
        | Tree::Binary(_)
        | Tree::Aggregate(_)
        | Tree::Call(_) => "",
    }
}

impl Evaluator<'_> {
    pub(super) fn label_replace(
        &mut self,
        arguments: &[Node],
        at: i64,
    ) -> Result<Vec<Element>, EvalError> {
        let [vector, destination, replacement, source, regex] = arguments else {
            return Ok(Vec::new());
        };
        let [destination, replacement, source, regex] =
            [destination, replacement, source, regex].map(text_of);
        let refuse = |reason: String| EvalError::Argument { function: "label_replace", reason };
        let known = self.regexes.get(regex).cloned();
        let compiled = match known {
            Some(known) => known,
            None => anchored(regex).map_err(|err| refuse(err.to_string()))?,
        };
        self.regexes.insert(regex.to_owned(), compiled.clone());
        if destination.is_empty() {
            return Err(refuse("invalid destination label name \"\"".to_owned()));
        }
        let mut vector = self.vector(vector, at)?;
        for element in &mut vector {
            let Some(captures) = compiled.captures(element.labels.get(source)) else { continue };
            let mut value = String::new();
            captures.expand(replacement, &mut value);
            self.set_label(element, destination, &value)?;
        }
        unique(&vector)?;
        Ok(vector)
    }

    pub(super) fn label_join(
        &mut self,
        arguments: &[Node],
        at: i64,
    ) -> Result<Vec<Element>, EvalError> {
        let [vector, destination, separator, sources @ ..] = arguments else {
            return Ok(Vec::new());
        };
        let (destination, separator) = (text_of(destination), text_of(separator));
        let sources: Vec<&str> = sources.iter().map(text_of).collect();
        if destination.is_empty() || sources.contains(&"") {
            let reason = "invalid label name \"\"".to_owned();
            return Err(EvalError::Argument { function: "label_join", reason });
        }
        let mut vector = self.vector(vector, at)?;
        for element in &mut vector {
            let values: Vec<&str> = sources.iter().map(|name| element.labels.get(name)).collect();
            let value = values.join(separator);
            self.set_label(element, destination, &value)?;
        }
        unique(&vector)?;
        Ok(vector)
    }

    /// Bounded, and paid for like samples: replacements within replacements grow without end.
    fn set_label(
        &mut self,
        element: &mut Element,
        name: &str,
        value: &str,
    ) -> Result<(), EvalError> {
        if value.len() > LABEL_MADE_MAX {
            let reason = format!("a label of {} bytes: at most {LABEL_MADE_MAX}", value.len());
            return Err(EvalError::Argument { function: "label_replace and label_join", reason });
        }
        self.spend(value.len() / size_of::<(i64, f64)>())?;
        element.labels = element.labels.with(name, value);
        if name == NAME {
            element.drops_name = false;
        }
        Ok(())
    }
}

/// Ascending, NaN last.
pub(super) fn sort(vector: &mut [Element]) {
    vector.sort_by(|a, b| nan_last(a.value, b.value, Ordering::Less));
}

/// Descending, NaN last.
pub(super) fn sort_desc(vector: &mut [Element]) {
    vector.sort_by(|a, b| nan_last(a.value, b.value, Ordering::Greater));
}

fn nan_last(a: f64, b: f64, order: Ordering) -> Ordering {
    match (a.is_nan(), b.is_nan()) {
        (false, false) if order == Ordering::Less => nan_first(a, b),
        (false, false) => nan_first(b, a),
        (a, b) => a.cmp(&b),
    }
}

/// By the values of labels in their natural order (`a2` before `a10`), then by all labels.
pub(super) fn sort_by_label(vector: &mut [Element], names: &[Node]) {
    vector.sort_by(|a, b| {
        let by_name =
            names.iter().map(text_of).map(|name| natural(a.labels.get(name), b.labels.get(name)));
        let first = by_name.into_iter().find(|order| order.is_ne());
        first.unwrap_or_else(|| a.labels.cmp(&b.labels))
    });
}

fn natural(a: &str, b: &str) -> Ordering {
    let (mut a, mut b) = (a, b);
    loop {
        if a.is_empty() || b.is_empty() {
            return a.len().cmp(&b.len());
        }
        let (left, right) = (chunk(a), chunk(b));
        a = &a[left.len()..];
        b = &b[right.len()..];
        let order = match (left.parse::<u64>(), right.parse::<u64>()) {
            (Ok(left), Ok(right)) => left.cmp(&right),
            _ => left.cmp(right),
        };
        if order.is_ne() {
            return order;
        }
    }
}

/// The digits, or what is none, at the front.
fn chunk(text: &str) -> &str {
    let is_digits = text.starts_with(|c: char| c.is_ascii_digit());
    let end = text.find(|c: char| c.is_ascii_digit() != is_digits).unwrap_or(text.len());
    &text[..end]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn natural_order_reads_numbers() {
        assert_eq!(natural("a2", "a10"), Ordering::Less);
        assert_eq!(natural("a", "a1"), Ordering::Less);
        assert_eq!(natural("b1", "a2"), Ordering::Greater);
    }
}

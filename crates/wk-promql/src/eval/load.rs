//! What an evaluation reads: each selector once, for all instants.

use std::rc::Rc;

use super::Evaluator;
use crate::labels::{Labels, is_stale};
use crate::parse::{At, Node, Selector, Tree};
use crate::value::{EvalError, Options};

/// The time that a selector covers over a whole evaluation: left open, right closed.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Need {
    after: i64,
    upto: i64,
    /// Only the newest sample matters: one instant.
    is_latest: bool,
}

/// Time and value of samples, shared between the ranges over them.
pub(super) type Points = Rc<[(i64, f64)]>;

/// The samples of a selector.
#[derive(Debug)]
pub(super) struct Loaded {
    pub(super) series: Vec<(Labels, Points)>,
}

/// The first multiple of `step` after `after`, as Prometheus computes it (its division truncates).
pub(super) fn aligned_after(after: i64, step: i64) -> i64 {
    let start = step.saturating_mul(after / step);
    if start <= after { start.saturating_add(step) } else { start }
}

/// What each selector below `root` needs, by its number.
pub(super) fn needs(root: &Node, span: (i64, i64), options: &Options) -> Vec<Need> {
    let mut found = Vec::new();
    walk(root, span, span, options, &mut found);
    found
}

fn moved(
    (first, last): (i64, i64),
    span: (i64, i64),
    fixed: Option<At>,
    offset: i64,
) -> (i64, i64) {
    let (first, last) = match fixed {
        None => (first, last),
        Some(At::Time(time)) => (time, time),
        Some(At::Start) => (span.0, span.0),
        Some(At::End) => (span.1, span.1),
    };
    (first.saturating_sub(offset), last.saturating_sub(offset))
}

fn walk(node: &Node, at: (i64, i64), span: (i64, i64), options: &Options, found: &mut Vec<Need>) {
    match &node.tree {
        Tree::Number(_) | Tree::Text(_) => (),
        Tree::Selector(selector) => {
            let (first, last) = moved(at, span, selector.fixed, selector.offset);
            let back = selector.range.unwrap_or(options.lookback_ms);
            if found.len() <= selector.id {
                found.resize(selector.id + 1, Need::default());
            }
            found[selector.id] = Need {
                after: first.saturating_sub(back),
                upto: last,
                is_latest: selector.range.is_none() && first == last,
            };
        }
        Tree::Subquery(subquery) => {
            let (first, last) = moved(at, span, subquery.fixed, subquery.offset);
            let at = (first.saturating_sub(subquery.range), last);
            walk(&subquery.inner, at, span, options, found);
        }
        Tree::Paren(inner) | Tree::Positive(inner) | Tree::Negative(inner) => {
            walk(inner, at, span, options, found);
        }
        Tree::Binary(binary) => {
            walk(&binary.left, at, span, options, found);
            walk(&binary.right, at, span, options, found);
        }
        Tree::Aggregate(aggregate) => {
            if let Some(parameter) = &aggregate.parameter {
                walk(parameter, at, span, options, found);
            }
            walk(&aggregate.inner, at, span, options, found);
        }
        Tree::Call(call) => {
            for argument in &call.arguments {
                walk(argument, at, span, options, found);
            }
        }
    }
}

impl Evaluator<'_> {
    /// The samples of a selector, read at its first use.
    pub(super) fn load(&mut self, selector: &Selector) -> Result<Rc<Loaded>, EvalError> {
        let need = self.needs.get(selector.id).copied().unwrap_or_default();
        if let Some(Some(loaded)) = self.loaded.get(selector.id) {
            return Ok(Rc::clone(loaded));
        }
        let room = usize::try_from(self.options.samples_max.saturating_sub(self.spent));
        let room = room.unwrap_or(usize::MAX);
        let series_max = self.options.series_max;
        let mut read = 0;
        let mut series: Vec<(Labels, Points)> = Vec::new();
        if need.is_latest {
            let visit = &mut |labels: &Labels, sample| {
                read += 1;
                if read <= room && series.len() <= series_max {
                    series.push((labels.clone(), Rc::new([sample])));
                }
            };
            self.source.latest(&selector.matchers, need.after, need.upto, visit);
        } else {
            let is_range = selector.range.is_some();
            let visit = &mut |labels: &Labels, samples: &mut dyn Iterator<Item = (i64, f64)>| {
                if read > room || series.len() > series_max {
                    return;
                }
                let mut points = Vec::new();
                for sample in samples.take((room - read).saturating_add(1)) {
                    read += 1;
                    // Ranges skip the markers, instants end at them.
                    if !is_range || !is_stale(sample.1) {
                        points.push(sample);
                    }
                }
                if !points.is_empty() {
                    series.push((labels.clone(), points.into()));
                }
            };
            self.source.select(&selector.matchers, need.after, need.upto, visit);
        }
        self.spend(read)?;
        if series.len() > series_max {
            return Err(EvalError::TooManySeries { max: series_max });
        }
        let loaded = Rc::new(Loaded { series });
        if let Some(slot) = self.loaded.get_mut(selector.id) {
            *slot = Some(Rc::clone(&loaded));
        }
        Ok(loaded)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn steps_of_subqueries_are_aligned_to_zero() {
        let found = [0, 1, 9, 10, -1, -10, -11].map(|after| aligned_after(after, 10));
        assert_eq!(found, [10, 10, 10, 20, 0, 0, -10]);
    }
}

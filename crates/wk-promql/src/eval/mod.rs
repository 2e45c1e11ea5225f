//! Evaluation of a tree at instants.

use crate::expr::Expr;
use crate::labels::is_stale;
use crate::parse::{Node, Tree};
use crate::value::{EvalError, Note, Options, Source, Value};

impl Expr {
    /// The value at the instant `at`.
    pub fn instant(
        &self,
        source: &dyn Source,
        at: i64,
        options: &Options,
    ) -> Result<Value, EvalError> {
        self.instant_noted(source, at, options, &mut Vec::new())
    }

    /// As [`Expr::instant`], and adds remarks on the result to `notes`.
    pub fn instant_noted(
        &self,
        source: &dyn Source,
        at: i64,
        options: &Options,
        _notes: &mut Vec<Note>,
    ) -> Result<Value, EvalError> {
        eval(&self.root, source, at, options)
    }

    /// The values from `start` to `end`, both included, each `step`: a [`Value::Matrix`].
    pub fn range(
        &self,
        source: &dyn Source,
        start: i64,
        end: i64,
        step: i64,
        options: &Options,
    ) -> Result<Value, EvalError> {
        let _ = (source, start, end, step, options);
        Err(EvalError::BadRange)
    }
}

fn eval(node: &Node, source: &dyn Source, at: i64, options: &Options) -> Result<Value, EvalError> {
    match &node.tree {
        Tree::Number(number) => Ok(Value::Scalar(*number)),
        Tree::Text(text) => Ok(Value::Text(text.clone())),
        Tree::Selector(selector) if selector.range.is_none() => {
            let mut found = Vec::new();
            let after = at.saturating_sub(options.lookback_ms);
            source.latest(&selector.matchers, after, at, &mut |labels, (_, value)| {
                if !is_stale(value) {
                    found.push((labels.clone(), value));
                }
            });
            Ok(Value::Vector(found))
        }
        Tree::Selector(_)
        | Tree::Subquery(_)
        | Tree::Paren(_)
        | Tree::Negative(_)
        | Tree::Binary(_)
        | Tree::Aggregate(_)
        | Tree::Call(_) => Err(EvalError::BadRange),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Labels, STALE, Sample, Window, WindowPolicy};

    #[test]
    fn an_instant_selector_looks_back_five_minutes_and_stops_at_the_marker() {
        let mut window = Window::new(WindowPolicy::default());
        for (instance, at, value) in [("a", 1000, 1.0), ("b", 2000, 2.0), ("b", 3000, STALE)] {
            let labels = Labels::metric("up", [("instance", instance)]);
            window.append(&Sample { labels, at, value }).unwrap();
        }
        let up = Expr::parse("up").unwrap();
        let count = |at| match up.instant(&window, at, &Options::default()) {
            Ok(Value::Vector(found)) => found.len(),
            other => panic!("{other:?}"),
        };
        let counts = [999, 1000, 2000, 3000, 300_999, 301_000].map(count);
        assert_eq!(counts, [0, 1, 2, 1, 1, 0]);
    }
}

//! An expression: parsed once, evaluated as often as wanted.

use crate::labels::NAME;
use crate::matcher::MatchOp;
use crate::parse::{self, Features, Node, ParseError, Tree};
use crate::value::Kind;

/// A parsed expression whose types fit and that uses nothing unsupported.
#[derive(Clone, Debug)]
pub struct Expr {
    text: Box<str>,
    pub(crate) root: Node,
}

impl Expr {
    /// Parses `text` as Prometheus 3 does by default, without native histograms.
    ///
    /// # Errors
    /// [`ParseError`] with line, column and reason: bad syntax, types that do not fit, or the name
    /// of what is not supported.
    pub fn parse(text: &str) -> Result<Self, ParseError> {
        Self::parse_with(text, Features::Stable)
    }

    /// As [`Expr::parse`], with a choice of the language.
    pub fn parse_with(text: &str, features: Features) -> Result<Self, ParseError> {
        Ok(Self { text: text.into(), root: parse::parse(text, features)? })
    }

    /// The text that it was parsed from.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// What it gives.
    pub fn kind(&self) -> Kind {
        parse::check::kind(&self.root)
    }

    /// What its selectors read, in the order of the text: what a window must keep. `lookback_ms`
    /// is that of the evaluation.
    pub fn metrics(&self, lookback_ms: i64) -> Vec<Reach> {
        let mut found = Vec::new();
        reaches(&self.root, lookback_ms, Some(0), &mut found);
        found
    }
}

/// What one selector of an expression reads.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reach {
    /// The metric, where the selector names one.
    pub metric: Option<String>,
    /// How far before the instant of evaluation the selector reads, in milliseconds; `i64::MAX`
    /// for a selector with a fixed instant.
    pub reach_ms: i64,
}

/// Adds the selectors below `node`; `before` is how far back its evaluation is, None for ever.
fn reaches(node: &Node, lookback: i64, before: Option<i64>, found: &mut Vec<Reach>) {
    match &node.tree {
        Tree::Number(_) | Tree::Text(_) => (),
        Tree::Selector(selector) => {
            let metric = selector
                .matchers
                .iter()
                .find(|matcher| matcher.name() == NAME && matcher.op() == MatchOp::Equal);
            let own = selector.range.unwrap_or(lookback).saturating_add(selector.offset);
            let before = before.filter(|_| selector.fixed.is_none());
            found.push(Reach {
                metric: metric.map(|matcher| matcher.value().to_owned()),
                reach_ms: before.map_or(i64::MAX, |before| before.saturating_add(own).max(0)),
            });
        }
        Tree::Subquery(subquery) => {
            let own = subquery.range.saturating_add(subquery.offset);
            let before = before.filter(|_| subquery.fixed.is_none());
            let before = before.map(|before| before.saturating_add(own));
            reaches(&subquery.inner, lookback, before, found);
        }
        Tree::Paren(inner) | Tree::Positive(inner) | Tree::Negative(inner) => {
            reaches(inner, lookback, before, found);
        }
        Tree::Binary(binary) => {
            reaches(&binary.left, lookback, before, found);
            reaches(&binary.right, lookback, before, found);
        }
        Tree::Aggregate(aggregate) => {
            if let Some(parameter) = &aggregate.parameter {
                reaches(parameter, lookback, before, found);
            }
            reaches(&aggregate.inner, lookback, before, found);
        }
        Tree::Call(call) => {
            for argument in &call.arguments {
                reaches(argument, lookback, before, found);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_window_must_keep() {
        let text = "rate(a[5m] offset 1m) > max_over_time(sum(b)[1h:1m]) + {c=\"x\"} + d @ 5";
        let found = Expr::parse(text).unwrap().metrics(300_000);
        let found: Vec<(Option<&str>, i64)> =
            found.iter().map(|reach| (reach.metric.as_deref(), reach.reach_ms)).collect();
        let want = [(Some("a"), 360_000), (Some("b"), 3_900_000), (None, 300_000)];
        assert_eq!(found[..3], want);
        assert_eq!(found[3], (Some("d"), i64::MAX));
    }

    #[test]
    fn complaints_have_a_place_and_a_name() {
        for (text, place, part) in [
            ("sum(\n  histogram_sum(x))", (2, 3), "histogram_sum() is not supported"),
            ("up +", (1, 5), "unexpected end of input"),
            ("rate(up)", (1, 6), "expected type range vector"),
            ("up == bool 1 2", (1, 14), "after the expression"),
            ("é", (1, 1), "unexpected character"),
            ("1 == 1", (1, 1), "BOOL"),
            ("{a=\"\"}", (1, 1), "non-empty matcher"),
            ("x{a=~\"(\"}", (1, 6), "bad regular expression"),
        ] {
            let err = Expr::parse(text).unwrap_err();
            assert_eq!((err.line, err.column), place, "{text}: {err}");
            assert!(err.reason.contains(part), "{text}: {err}");
        }
        let deep = format!("{}1{}", "(".repeat(5000), ")".repeat(5000));
        assert!(Expr::parse(&deep).unwrap_err().reason.contains("nested deeper"));
        let long = "1+".repeat(5000) + "1";
        assert!(Expr::parse(&long).unwrap_err().reason.contains("binary operators"));
    }

    #[test]
    fn precedence_is_prometheus() {
        let shape = |text: &str| format!("{:?}", Expr::parse(text).unwrap().root.tree);
        assert!(shape("-1 ^ 2").starts_with("Negative"));
        assert!(shape("-x * 2").starts_with("Binary(Binary { operator: Mul"));
        assert!(shape("2 ^ 3 ^ 2").contains("left: Node { at: 0, tree: Number(2.0) }"));
        assert!(shape("1 + 2 * 3").starts_with("Binary(Binary { operator: Add"));
        assert!(shape("a or b and c").starts_with("Binary(Binary { operator: Or"));
        assert!(shape("a - b - c").contains("right: Node { at: 8"));
    }
}

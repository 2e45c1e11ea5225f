//! Whether the types of a tree fit.

use super::{Aggregation, Cardinality, Grouping, Node, Tree, Wrong, wrong};
use crate::value::Kind;

/// What a node gives.
pub(crate) fn kind(node: &Node) -> Kind {
    match &node.tree {
        Tree::Number(_) => Kind::Scalar,
        Tree::Text(_) => Kind::Text,
        Tree::Selector(selector) => match selector.range {
            Some(_) => Kind::Matrix,
            None => Kind::Vector,
        },
        Tree::Subquery(_) => Kind::Matrix,
        Tree::Paren(inner) | Tree::Positive(inner) | Tree::Negative(inner) => kind(inner),
        Tree::Binary(binary) => match (kind(&binary.left), kind(&binary.right)) {
            (Kind::Scalar, Kind::Scalar) => Kind::Scalar,
            _ => Kind::Vector,
        },
        Tree::Aggregate(_) => Kind::Vector,
        Tree::Call(call) => call.signature.gives,
    }
}

/// Refuses what a sign cannot stand before.
pub(super) fn number_or_vector(node: &Node) -> Result<(), Wrong> {
    match kind(node) {
        Kind::Scalar | Kind::Vector => Ok(()),
        other @ (Kind::Matrix | Kind::Text) => wrong(
            node.at,
            format!("unary expression only allowed on scalar or instant vector, got {other}"),
        ),
    }
}

fn expect(node: &Node, want: Kind, place: &str) -> Result<(), Wrong> {
    let got = kind(node);
    if got == want {
        return Ok(());
    }
    wrong(node.at, format!("expected type {want} in {place}, got {got}"))
}

/// Checks the whole tree.
pub(super) fn check(node: &Node) -> Result<(), Wrong> {
    match &node.tree {
        Tree::Number(_) | Tree::Text(_) | Tree::Selector(_) => Ok(()),
        Tree::Paren(inner) => check(inner),
        Tree::Positive(inner) | Tree::Negative(inner) => {
            number_or_vector(inner)?;
            check(inner)
        }
        Tree::Subquery(subquery) => {
            let got = kind(&subquery.inner);
            if got != Kind::Vector {
                let reason = format!("subquery is only allowed on instant vector, got {got}");
                return wrong(subquery.inner.at, reason);
            }
            check(&subquery.inner)
        }
        Tree::Binary(_) => binary(node),
        Tree::Aggregate(aggregate) => {
            let name = aggregate.what.name();
            expect(&aggregate.inner, Kind::Vector, &format!("aggregation {name}"))?;
            if let Some(parameter) = &aggregate.parameter {
                let is_text = aggregate.what == Aggregation::CountValues;
                let want = if is_text { Kind::Text } else { Kind::Scalar };
                expect(parameter, want, &format!("aggregation parameter of {name}"))?;
                check(parameter)?;
            }
            check(&aggregate.inner)
        }
        Tree::Call(call) => {
            for (at, argument) in call.arguments.iter().enumerate() {
                if let Some(want) = call.signature.argument(at) {
                    let place = format!("call to function {}()", call.signature.name);
                    expect(argument, want, &place)?;
                }
                check(argument)?;
            }
            Ok(())
        }
    }
}

fn binary(node: &Node) -> Result<(), Wrong> {
    let Tree::Binary(binary) = &node.tree else { return Ok(()) };
    let (left, right) = (kind(&binary.left), kind(&binary.right));
    for (side, kind) in [(&binary.left, left), (&binary.right, right)] {
        if !matches!(kind, Kind::Scalar | Kind::Vector) {
            let reason = "binary expression must contain only scalar and instant vector types";
            return wrong(side.at, format!("{reason}, got {kind}"));
        }
    }
    let sign = binary.operator.sign();
    if left == Kind::Scalar || right == Kind::Scalar {
        if binary.operator.is_set() {
            let reason = format!("set operator {sign:?} not allowed in binary scalar expression");
            return wrong(node.at, reason);
        }
        let is_matched = !matches!(&binary.matching, Grouping::Except(none) if none.is_empty());
        if is_matched || binary.cardinality != Cardinality::OneToOne {
            return wrong(node.at, "vector matching only allowed between instant vectors");
        }
        if binary.operator.is_comparison() && left == right && !binary.is_bool {
            return wrong(node.at, "comparisons between scalars must use BOOL modifier");
        }
    }
    check(&binary.left)?;
    check(&binary.right)
}

//! From text to a tree whose types fit. The grammar is that of Prometheus 3 without native
//! histograms; whatever is not supported is refused here, by name and position.

mod ast;
pub(crate) mod check;
mod durations;
mod functions;
#[expect(
    clippy::wildcard_enum_match_arm,
    reason = "a grammar names the tokens that it takes; all others are unexpected"
)]
mod grammar;
#[expect(
    clippy::wildcard_enum_match_arm,
    reason = "a grammar names the tokens that it takes; all others are unexpected"
)]
mod lexer;
mod strings;

pub(crate) use ast::{
    Aggregate, Aggregation, At, Binary, Call, Cardinality, Grouping, Node, Operator, Selector,
    Subquery, Tree,
};
pub use functions::Features;
pub(crate) use functions::Signature;
pub(crate) use grammar::parse;

/// The longest expression, in bytes.
pub const EXPR_LEN_MAX: usize = 16 * 1024;

/// The deepest nesting of an expression.
pub const EXPR_DEPTH_MAX: usize = 64;

/// Why a text is no expression that is supported here.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{line}:{column}: {reason}")]
pub struct ParseError {
    /// Line, from 1.
    pub line: usize,
    /// Character in the line, from 1.
    pub column: usize,
    /// What is wrong there.
    pub reason: String,
}

/// A complaint at a byte of the text, before that is made a line and a column.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Wrong {
    at: usize,
    reason: String,
}

fn wrong<T>(at: usize, reason: impl Into<String>) -> Result<T, Wrong> {
    Err(Wrong { at, reason: reason.into() })
}

impl Wrong {
    fn in_text(self, text: &str) -> ParseError {
        let mut at = self.at.min(text.len());
        while !text.is_char_boundary(at) {
            at -= 1;
        }
        let before = &text[..at];
        let line = before.matches('\n').count() + 1;
        let start = before.rfind('\n').map_or(0, |newline| newline + 1);
        ParseError { line, column: before[start..].chars().count() + 1, reason: self.reason }
    }
}

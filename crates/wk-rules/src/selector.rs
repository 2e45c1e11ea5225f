//! Where the selectors are in the text of an expression, so that it can be rewritten as text:
//! another metric name, one more matcher. Comments and layout stay as they were.

use std::ops::Range;

/// One selector: `name`, `name{...}` or `{...}`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Found {
    /// Empty where the selector has no name.
    pub(crate) name: Range<usize>,
    /// Between the braces, without them.
    pub(crate) matchers: Option<Range<usize>>,
}

/// Words that are followed by a list of labels.
const LISTS: [&str; 6] = ["by", "without", "on", "ignoring", "group_left", "group_right"];
/// Words of the language that stand alone.
const WORDS: [&str; 8] = ["and", "or", "unless", "bool", "offset", "atan2", "inf", "nan"];
/// Aggregations: `sum by (x) (...)` has no parenthesis at once.
const AGGREGATIONS: [&str; 14] = [
    "sum",
    "avg",
    "count",
    "min",
    "max",
    "group",
    "stddev",
    "stdvar",
    "topk",
    "bottomk",
    "limitk",
    "limit_ratio",
    "count_values",
    "quantile",
];

/// The selectors of an expression that parses.
pub(crate) fn selectors(text: &str) -> Vec<Found> {
    let mut scanner = Scanner { text, at: 0 };
    let mut found = Vec::new();
    while let Some(char) = scanner.peek() {
        match char {
            '"' | '\'' | '`' => scanner.string(char),
            '#' => scanner.skip_while(|char| char != '\n'),
            '[' => {
                scanner.until(']');
            }
            '{' => {
                let at = scanner.at;
                let matchers = scanner.braces();
                found.push(Found { name: at..at, matchers: Some(matchers) });
            }
            '0'..='9' | '.' => {
                scanner
                    .skip_while(|char| char.is_ascii_alphanumeric() || matches!(char, '.' | '_'));
            }
            char if is_name(char) => found.extend(scanner.name()),
            other => scanner.at += other.len_utf8(),
        }
    }
    found
}

/// The expression with `matcher` added to each selector.
pub(crate) fn with_matcher(text: &str, matcher: &str) -> String {
    rewrite(text, |name, matchers| {
        let matchers = matchers.unwrap_or_default().trim().trim_end_matches(',').trim_end();
        let separator = if matchers.is_empty() { "" } else { ", " };
        format!("{name}{{{matchers}{separator}{matcher}}}")
    })
}

/// The expression with each selector written anew from its name and what is between its braces.
pub(crate) fn rewrite(text: &str, write: impl Fn(&str, Option<&str>) -> String) -> String {
    let (mut out, mut upto) = (String::new(), 0);
    for found in selectors(text) {
        let end = found.matchers.as_ref().map_or(found.name.end, |range| range.end + 1);
        out.push_str(&text[upto..found.name.start]);
        out.push_str(&write(&text[found.name], found.matchers.map(|range| &text[range])));
        upto = end.min(text.len());
    }
    out.push_str(&text[upto..]);
    out
}

fn is_name(char: char) -> bool {
    char.is_ascii_alphanumeric() || matches!(char, '_' | ':')
}

struct Scanner<'t> {
    text: &'t str,
    at: usize,
}

impl Scanner<'_> {
    fn peek(&self) -> Option<char> {
        self.text[self.at..].chars().next()
    }

    fn skip_while(&mut self, keep: impl Fn(char) -> bool) {
        let rest = &self.text[self.at..];
        self.at += rest.find(|char| !keep(char)).unwrap_or(rest.len());
    }

    fn string(&mut self, quote: char) {
        let mut escaped = false;
        self.at += 1;
        while let Some(char) = self.peek() {
            self.at += char.len_utf8();
            if char == quote && !escaped {
                return;
            }
            escaped = char == '\\' && !escaped && quote != '`';
        }
    }

    /// Moves behind the next `close`, strings skipped; returns whether there was one.
    fn until(&mut self, close: char) -> bool {
        self.at += 1;
        while let Some(char) = self.peek() {
            match char {
                '"' | '\'' | '`' => self.string(char),
                char => {
                    self.at += char.len_utf8();
                    if char == close {
                        return true;
                    }
                }
            }
        }
        false
    }

    /// At `{`: what is inside; moves behind `}`.
    fn braces(&mut self) -> Range<usize> {
        let start = self.at + 1;
        let is_closed = self.until('}');
        start..self.at - usize::from(is_closed)
    }

    /// A selector, unless the name is a word of the language or a function's.
    fn name(&mut self) -> Option<Found> {
        let start = self.at;
        self.skip_while(is_name);
        let name = start..self.at;
        let word = self.text[name.clone()].to_ascii_lowercase();
        self.skip_while(char::is_whitespace);
        let next = self.peek();
        if LISTS.contains(&word.as_str()) && matches!(next, Some('(')) {
            self.until(')');
            return None;
        }
        let is_word = WORDS.contains(&word.as_str()) || LISTS.contains(&word.as_str());
        let is_called = next == Some('(');
        let is_aggregation = AGGREGATIONS.contains(&word.as_str())
            && LISTS.iter().any(|list| self.text[self.at..].to_ascii_lowercase().starts_with(list));
        if is_word || is_called || is_aggregation {
            return None;
        }
        let matchers = (next == Some('{')).then(|| self.braces());
        if matchers.is_none() {
            self.at = name.end;
        }
        Some(Found { name, matchers })
    }
}

#[cfg(test)]
mod tests {
    use wk_promql::Expr;

    use super::*;

    const EXPRESSIONS: [&str; 9] = [
        "up",
        r#"sum by (job, up) (rate(up{job="a}\"b"}[5m] offset 1m)) > on (up) group_left (x) down"#,
        r#"{__name__="up"} unless on () ({job="b"} or up{})"#,
        "max_over_time(sum(a)[1h:1m]) - 1e3 * 0x1F + b # up {comment\n + inf",
        "quantile by (ensemble) (0.5, increase(looking_count[15m])) > 3.5",
        "count without (a) (up == bool 1) and on(a)b",
        "topk(3, a) or sum(b) by (c) atan2 d",
        "vector(1) + time()",
        "a:b_c:rate1m @ 5 > b @ end()",
    ];

    #[test]
    fn every_selector_is_found_and_nothing_else() {
        for text in EXPRESSIONS {
            let expr = Expr::parse(text).unwrap_or_else(|error| panic!("{text}: {error}"));
            let names: Vec<&str> =
                selectors(text).iter().map(|found| &text[found.name.clone()]).collect();
            let want = expr.metrics(0);
            assert_eq!(names.len(), want.len(), "{text}: {names:?}");
            for (name, reach) in names.iter().zip(&want) {
                if !name.is_empty() {
                    assert_eq!(reach.metric.as_deref(), Some(*name), "{text}");
                }
            }
        }
    }

    #[test]
    fn a_matcher_is_added_to_each() {
        for text in EXPRESSIONS {
            let added = with_matcher(text, "ensemble=\"prod\"");
            let expr = Expr::parse(&added).unwrap_or_else(|error| panic!("{added}: {error}"));
            let count = expr.metrics(0).len();
            assert_eq!(added.matches("ensemble=\"prod\"").count(), count, "{added}");
        }
        assert_eq!(with_matcher("up{a=\"b\",}", "c=\"d\""), "up{a=\"b\", c=\"d\"}");
    }

    #[test]
    fn any_text_is_scanned_to_its_end() {
        for text in
            ["{", "up{a", "\"", "[", "by(", "é{\"", "up{\\\"}", "sum by", "a{'é}", "{é", "a{é"]
        {
            let _ = with_matcher(text, "x=\"y\"");
        }
    }
}

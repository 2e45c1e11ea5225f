//! The notation of series: `metric{label="value"}` and `1 2+1x3 _x2 stale`.

use wk_promql::{Labels, NAME, STALE};

use super::VALUES_MAX;

/// Reads `name{label="value", ...}`, name or braces alone too.
pub(super) fn labels(text: &str) -> Result<Labels, String> {
    let mut cursor = Cursor { text, at: 0 };
    cursor.spaces();
    let name = cursor.word(|char| char == ':').to_owned();
    let mut pairs = Vec::new();
    if !name.is_empty() {
        pairs.push((NAME.to_owned(), name));
    }
    cursor.spaces();
    if cursor.take('{') {
        cursor.pairs(&mut pairs)?;
    } else if pairs.is_empty() {
        return Err(format!("{text:?}: a metric's name or {{...}} expected"));
    }
    cursor.spaces();
    if cursor.at < text.len() {
        return Err(format!("{text:?}: unexpected {:?}", &text[cursor.at..]));
    }
    Ok(Labels::new(pairs.iter().map(|(name, value)| (name.as_str(), value.as_str()))))
}

struct Cursor<'t> {
    text: &'t str,
    at: usize,
}

impl<'t> Cursor<'t> {
    fn refuse<T>(&self, what: &str) -> Result<T, String> {
        Err(format!("{:?}: {what} at {}", self.text, self.at + 1))
    }

    fn peek(&self) -> Option<char> {
        self.text[self.at..].chars().next()
    }

    fn spaces(&mut self) {
        let rest = &self.text[self.at..];
        self.at += rest.len() - rest.trim_start().len();
    }

    fn take(&mut self, char: char) -> bool {
        let is_next = self.peek() == Some(char);
        self.at += if is_next { char.len_utf8() } else { 0 };
        is_next
    }

    fn word(&mut self, also: impl Fn(char) -> bool) -> &'t str {
        let rest: &'t str = &self.text[self.at..];
        let is_word = |char: char| char.is_ascii_alphanumeric() || char == '_' || also(char);
        let len = rest.find(|char| !is_word(char)).unwrap_or(rest.len());
        let len = if rest.starts_with(|char: char| char.is_ascii_digit()) { 0 } else { len };
        self.at += len;
        &rest[..len]
    }

    /// Behind `{`: the pairs up to `}`.
    fn pairs(&mut self, pairs: &mut Vec<(String, String)>) -> Result<(), String> {
        loop {
            self.spaces();
            if self.take('}') {
                return Ok(());
            }
            let is_quoted = matches!(self.peek(), Some('"' | '\''));
            let name = if is_quoted { self.string()? } else { self.word(|_| false).to_owned() };
            self.spaces();
            if is_quoted && matches!(self.peek(), Some(',' | '}')) {
                pairs.push((NAME.to_owned(), name));
            } else {
                if name.is_empty() || !self.take('=') {
                    return self.refuse("label=\"value\" expected");
                }
                self.spaces();
                let value = self.string()?;
                if pairs.iter().any(|(known, _)| *known == name) {
                    return self.refuse("a label given twice");
                }
                pairs.push((name, value));
            }
            self.spaces();
            if !self.take(',') && self.peek() != Some('}') {
                return self.refuse("`,` or `}` expected");
            }
        }
    }

    fn string(&mut self) -> Result<String, String> {
        let Some(quote @ ('"' | '\'' | '`')) = self.peek() else {
            return self.refuse("a quoted value expected");
        };
        self.at += 1;
        let mut value = String::new();
        while let Some(char) = self.peek() {
            self.at += char.len_utf8();
            match char {
                char if char == quote => return Ok(value),
                '\\' if quote != '`' => {
                    let escaped = self.peek();
                    self.at += escaped.map_or(0, char::len_utf8);
                    value.push(match escaped {
                        Some('n') => '\n',
                        Some('t') => '\t',
                        Some('r') => '\r',
                        Some(same @ ('\\' | '"' | '\'')) => same,
                        _ => return self.refuse("an escape that is not known here"),
                    });
                }
                char => value.push(char),
            }
        }
        self.refuse("a quote is not closed")
    }
}

/// Reads a row of values; `None` is a missing one. `budget` values are left.
pub(super) fn values(text: &str, budget: &mut usize) -> Result<Vec<Option<f64>>, String> {
    let mut found = Vec::new();
    for item in text.split_whitespace() {
        if item.starts_with("{{") {
            return Err("native histograms are not supported".to_owned());
        }
        let (head, times) = match item.rsplit_once('x') {
            Some((head, times)) => {
                let times: usize =
                    times.parse().map_err(|_| format!("{item:?}: a count expected behind x"))?;
                (head, Some(times))
            }
            None => (item, None),
        };
        let is_blank = head == "_";
        // As in promtool: a word is one with the x behind it.
        if times.is_some() && head.contains(|char: char| char.is_ascii_alphabetic() && char != 'e')
        {
            return Err(format!("{item:?}: only numbers and _ can be repeated"));
        }
        // `1x3` is the first and three more; `_x3` is three.
        let count = match (times, is_blank) {
            (None, _) => 1,
            (Some(times), true) => times,
            (Some(times), false) => times.saturating_add(1),
        };
        if count > *budget {
            return Err(format!("{item:?}: at most {VALUES_MAX} values in one test"));
        }
        *budget -= count;
        if is_blank {
            found.extend(std::iter::repeat_n(None, count));
            continue;
        }
        let (first, step) = value(head, times.is_some()).ok_or_else(|| {
            format!("{item:?}: a value such as 1, 1.5, 2x3, 1+2x3, _, _x2 or stale expected")
        })?;
        let mut next = first;
        for _ in 0..count {
            found.push(Some(next));
            if let Some(step) = step {
                next += step;
            }
        }
    }
    Ok(found)
}

/// A value, and what is added each time.
fn value(text: &str, may_step: bool) -> Option<(f64, Option<f64>)> {
    if text == "stale" {
        return Some((STALE, None));
    }
    if let Some(number) = number(text) {
        return Some((number, None));
    }
    // The sign of the step is the last one that is no exponent's.
    let at = text.char_indices().skip(1).filter(|(at, char)| {
        matches!(char, '+' | '-') && !text[..*at].ends_with(['e', 'E', '+', '-'])
    });
    let at = at.last()?.0;
    let (first, step) = (number(&text[..at])?, number(&text[at..])?);
    may_step.then_some((first, Some(step)))
}

fn number(text: &str) -> Option<f64> {
    let bare = text.trim_start_matches(['+', '-']);
    let sign = &text[..text.len() - bare.len()];
    if sign.len() > 1 {
        return None;
    }
    let negative = sign == "-";
    let positive = match bare.to_ascii_lowercase().as_str() {
        "inf" => f64::INFINITY,
        "nan" => f64::NAN,
        _ if bare.starts_with(|char: char| char.is_ascii_digit() || char == '.') => {
            bare.parse().ok()?
        }
        _ => return None,
    };
    Some(if negative { -positive } else { positive })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> String {
        let found = values(text, &mut 100).unwrap_or_else(|error| panic!("{error}"));
        let shown = found.iter().map(|value| match value {
            None => "_".to_owned(),
            Some(value) if wk_promql::is_stale(*value) => "stale".to_owned(),
            Some(value) => value.to_string(),
        });
        shown.collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn values_expand_as_in_promtool() {
        for (text, want) in [
            ("", ""),
            ("1 -2 .5 1e3", "1 -2 0.5 1000"),
            ("1x3", "1 1 1 1"),
            ("1+2x2", "1 3 5"),
            ("10-5x2", "10 5 0"),
            ("-1-1x2", "-1 -2 -3"),
            ("1e-1+1e+0x1", "0.1 1.1"),
            ("_ _x2 stale NaN Inf -Inf", "_ _ _ stale NaN inf -inf"),
            ("stale 0x0", "stale 0"),
        ] {
            assert_eq!(read(text), want, "{text}");
        }
        for bad in [
            "a", "1+", "1+2", "1x", "1xx2", "x3", "--1", "1++2x3", "1x-1", "1x101", "NaNx2",
            "stalex1", "-Infx1",
        ] {
            assert!(values(bad, &mut 100).is_err(), "{bad}");
        }
    }

    #[test]
    fn labels_are_read_as_in_promtool() {
        for (text, want) in [
            ("up", "up"),
            ("a:b{c=\"d\", e='f',}", r#"a:b{c="d", e="f"}"#),
            ("{}", "{}"),
            ("{__name__=\"up\",x=\"\"}", "up"),
            ("{\"up\", a=`\\`}", r#"up{a="\\"}"#),
            ("up {a=\"}\\\"\"} ", r#"up{a="}\""}"#),
        ] {
            assert_eq!(labels(text).unwrap().to_string(), want, "{text}");
        }
        for bad in [
            "",
            "1a",
            "up{",
            "up{a}",
            "up{a=b}",
            "up{a=\"b\" c=\"d\"}",
            "up x",
            "up{a=\"1\",a=\"2\"}",
        ] {
            assert!(labels(bad).is_err(), "{bad}");
        }
    }
}

//! Text to tokens with their positions.

use super::durations::unit_ms;
use super::strings::unquote;
use super::{Wrong, wrong};

/// A token; its place is beside it.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Token {
    /// A name or keyword; may contain colons.
    Name(String),
    Number(f64),
    /// A duration, in milliseconds, such as `1h30m`.
    Duration(i64),
    Text(String),
    /// An operator or bracket.
    Sign(&'static str),
    End,
}

impl std::fmt::Display for Token {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Name(name) => write!(f, "{name:?}"),
            Self::Number(number) => write!(f, "number {number}"),
            Self::Duration(ms) => write!(f, "duration of {ms} ms"),
            Self::Text(text) => write!(f, "string {text:?}"),
            Self::Sign(sign) => write!(f, "{sign:?}"),
            Self::End => f.write_str("end of input"),
        }
    }
}

/// Longest first.
const SIGNS: &[&str] = &[
    "=~", "!~", "==", "!=", ">=", "<=", "=", ">", "<", "+", "-", "*", "/", "%", "^", "(", ")", "{",
    "}", "[", "]", ",", ":", "@",
];

/// All tokens of `text`, the last [`Token::End`].
pub(super) fn tokens(text: &str) -> Result<Vec<(usize, Token)>, Wrong> {
    let mut lexer = Lexer { text, at: 0, in_brackets: false };
    let mut found = Vec::new();
    loop {
        let (at, token) = lexer.next()?;
        match token {
            Token::Sign("[") => lexer.in_brackets = true,
            Token::Sign("]") => lexer.in_brackets = false,
            _ => (),
        }
        let is_end = token == Token::End;
        found.push((at, token));
        if is_end {
            return Ok(found);
        }
    }
}

struct Lexer<'t> {
    text: &'t str,
    at: usize,
    /// Between `[` and `]` a colon stands alone.
    in_brackets: bool,
}

impl<'t> Lexer<'t> {
    fn rest(&self) -> &'t str {
        &self.text[self.at..]
    }

    fn skip_blanks(&mut self) {
        loop {
            let rest = self.rest();
            let blanks = rest.len() - rest.trim_start_matches([' ', '\t', '\n', '\r']).len();
            self.at += blanks;
            if !self.rest().starts_with('#') {
                return;
            }
            self.at += self.rest().find('\n').unwrap_or(self.rest().len());
        }
    }

    fn next(&mut self) -> Result<(usize, Token), Wrong> {
        self.skip_blanks();
        let at = self.at;
        let rest = self.rest();
        let Some(first) = rest.chars().next() else { return Ok((at, Token::End)) };
        let second = rest[first.len_utf8()..].chars().next();
        let token = match first {
            '"' | '\'' | '`' => {
                let (text, len) =
                    unquote(rest).map_err(|bad| Wrong { at: at + bad.at, reason: bad.reason })?;
                self.at += len;
                Token::Text(text)
            }
            '0'..='9' => self.number()?,
            '.' if second.is_some_and(|digit| digit.is_ascii_digit()) => self.number()?,
            'a'..='z' | 'A'..='Z' | '_' => self.name(),
            ':' if !self.in_brackets && second.is_some_and(is_name_char) => self.name(),
            _ => {
                let Some(sign) = SIGNS.iter().find(|sign| rest.starts_with(**sign)) else {
                    return wrong(at, format!("unexpected character {first:?}"));
                };
                self.at += sign.len();
                Token::Sign(sign)
            }
        };
        Ok((at, token))
    }

    fn name(&mut self) -> Token {
        let rest = self.rest();
        let in_brackets = self.in_brackets;
        let len = rest
            .find(|c: char| !is_name_char(c) || (in_brackets && c == ':'))
            .unwrap_or(rest.len());
        self.at += len;
        let name = &rest[..len];
        match name.to_ascii_lowercase().as_str() {
            "inf" => Token::Number(f64::INFINITY),
            "nan" => Token::Number(f64::NAN),
            _ => Token::Name(name.to_owned()),
        }
    }

    /// A number or a duration: what follows the digits decides.
    fn number(&mut self) -> Result<Token, Wrong> {
        let at = self.at;
        let len = self
            .rest()
            .find(|c: char| !(c.is_ascii_alphanumeric() || c == '.' || c == '_'))
            .unwrap_or(self.rest().len());
        let mut word = &self.rest()[..len];
        let is_hex = word.starts_with("0x") || word.starts_with("0X");
        // The sign of an exponent belongs to the number: 1e-3.
        if !is_hex && word.ends_with(['e', 'E']) {
            let tail = &self.rest()[len..];
            let signed = tail.strip_prefix(['+', '-']).unwrap_or_default();
            let digits = signed.find(|c: char| !c.is_ascii_digit()).unwrap_or(signed.len());
            if digits > 0 {
                word = &self.rest()[..len + 1 + digits];
            }
        }
        self.at += word.len();
        if let Some(number) = number(word) {
            return Ok(Token::Number(number));
        }
        match duration(word) {
            Some(ms) => Ok(Token::Duration(ms)),
            None => wrong(at, format!("bad number or duration syntax: {word:?}")),
        }
    }
}

fn is_name_char(c: char) -> bool {
    c.is_ascii_alphanumeric() || c == '_' || c == ':'
}

/// A number as Go reads it with base 0: 0x1f, 017, 1_000, 1e3.
fn number(word: &str) -> Option<f64> {
    let plain = word.replace('_', "");
    if word.ends_with('_') || word.contains("__") || word.contains("._") || word.contains("_.") {
        return None;
    }
    let radix = |text: &str, radix| {
        let value = u64::from_str_radix(text, radix).ok()?;
        #[expect(clippy::cast_precision_loss, reason = "a float is what is asked for")]
        Some(value as f64)
    };
    let lower = plain.to_ascii_lowercase();
    if let Some(hex) = lower.strip_prefix("0x") {
        return radix(hex, 16);
    }
    if lower.len() > 1 && lower.starts_with('0') && lower.bytes().all(|c| c.is_ascii_digit()) {
        return radix(&lower, 8).or_else(|| lower.parse().ok());
    }
    // Rust also reads `inf` and `1.e`; neither gets here with a letter other than e.
    if !lower.bytes().all(|c| c.is_ascii_digit() || matches!(c, b'.' | b'e' | b'+' | b'-')) {
        return None;
    }
    lower.parse().ok()
}

/// `1h30m` in milliseconds: units from long to short, each at most once.
fn duration(word: &str) -> Option<i64> {
    let mut rest = word;
    let mut total: i64 = 0;
    let mut last = i64::MAX;
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit())?;
        let count: i64 = rest[..digits].parse().ok()?;
        rest = &rest[digits..];
        let letters = rest.find(|c: char| c.is_ascii_digit()).unwrap_or(rest.len());
        let unit = unit_ms(&rest[..letters])?;
        rest = &rest[letters..];
        if unit >= last {
            return None;
        }
        last = unit;
        total = total.checked_add(count.checked_mul(unit)?)?;
    }
    (total <= super::durations::DURATION_MAX_MS).then_some(total)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn only(text: &str) -> Option<Token> {
        let mut found = tokens(text).ok()?;
        (found.len() == 2).then(|| found.remove(0).1)
    }

    #[test]
    fn numbers_and_durations() {
        for (text, want) in
            [("0x1F", 31.0), ("017", 15.0), ("1_000", 1000.0), ("1e-3", 0.001), (".5", 0.5)]
        {
            assert_eq!(only(text), Some(Token::Number(want)), "{text}");
        }
        assert_eq!(only("1h30m"), Some(Token::Duration(5_400_000)));
        assert_eq!(only("5ms"), Some(Token::Duration(5)));
        for text in ["1m1h", "5x", "1__0", "0xg", "99999999999y"] {
            assert!(tokens(text).is_err(), "{text}");
        }
    }

    #[test]
    fn a_colon_joins_names_outside_brackets_alone() {
        assert_eq!(only("a:b"), Some(Token::Name("a:b".into())));
        assert_eq!(only(":b"), Some(Token::Name(":b".into())));
        let subquery = tokens("x[5m:1m]").unwrap();
        assert_eq!(subquery[3].1, Token::Sign(":"));
    }
}

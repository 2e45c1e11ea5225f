//! Quoted strings, with the escapes of Go.

use super::{Wrong, wrong};

/// Reads the quoted string at the front of `text`: what it means and how many bytes it takes.
/// Positions of complaints count from the front of `text`.
pub(super) fn unquote(text: &str) -> Result<(String, usize), Wrong> {
    let Some(quote) = text.chars().next() else { return wrong(0, "expected a string") };
    let body = &text[1..];
    if quote == '`' {
        return match body.find('`') {
            Some(end) => Ok((body[..end].to_owned(), end + 2)),
            None => wrong(0, "unterminated raw string"),
        };
    }
    let mut bytes: Vec<u8> = Vec::new();
    let mut chars = body.char_indices();
    while let Some((at, c)) = chars.next() {
        match c {
            '\n' => return wrong(0, "unterminated quoted string"),
            '\\' => {
                let rest = &body[at + 1..];
                let (meant, len) = escape(rest, quote)
                    .ok_or_else(|| Wrong { at: at + 1, reason: "bad escape in string".into() })?;
                bytes.extend(meant);
                for _ in 0..len {
                    chars.next();
                }
            }
            c if c == quote => {
                return match String::from_utf8(bytes) {
                    Ok(meant) => Ok((meant, at + 2)),
                    Err(_) => wrong(0, "the string is not valid UTF-8"),
                };
            }
            c => bytes.extend(c.encode_utf8(&mut [0; 4]).bytes()),
        }
    }
    wrong(0, "unterminated quoted string")
}

/// The escape after a backslash: its bytes, and how many characters (all ASCII) it takes.
fn escape(rest: &str, quote: char) -> Option<(Vec<u8>, usize)> {
    let first = rest.chars().next()?;
    let simple = |byte: u8| Some((vec![byte], 1));
    let numbered = |skip: usize, len: usize, radix: u32| {
        let digits = rest.get(skip..skip + len)?;
        let is_plain = digits.chars().all(|c| c.is_digit(radix));
        is_plain.then(|| u32::from_str_radix(digits, radix).ok()).flatten()
    };
    match first {
        'a' => simple(7),
        'b' => simple(8),
        'f' => simple(12),
        'n' => simple(b'\n'),
        'r' => simple(b'\r'),
        't' => simple(b'\t'),
        'v' => simple(11),
        '\\' => simple(b'\\'),
        '\'' | '"' if first == quote => simple(u8::try_from(first).ok()?),
        '0'..='7' => Some((vec![u8::try_from(numbered(0, 3, 8)?).ok()?], 3)),
        'x' => Some((vec![u8::try_from(numbered(1, 2, 16)?).ok()?], 3)),
        'u' | 'U' => {
            let len = if first == 'u' { 4 } else { 8 };
            let meant = char::from_u32(numbered(1, len, 16)?)?;
            Some((meant.to_string().into_bytes(), len + 1))
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn escapes_are_gos() {
        let read = |text: &str| unquote(text).map(|(meant, _)| meant);
        assert_eq!(read(r#""a\"b\n\x41\u00e9\101""#).unwrap(), "a\"b\nAéA");
        assert_eq!(read(r"'it\'s'").unwrap(), "it's");
        assert_eq!(read(r"`raw\n`").unwrap(), r"raw\n");
        assert_eq!(unquote("\"é\" x").unwrap().1, 4);
        for bad in [r#""a"#, r#""\q""#, r#""\'""#, "\"a\nb\"", "`a", r#""\xff""#, r#""\"#] {
            assert!(unquote(bad).is_err(), "{bad}");
        }
    }
}

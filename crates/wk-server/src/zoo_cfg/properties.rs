//! Java's properties format, in which a zoo.cfg is written.
//!
//! `#` and `!` begin a comment line; `=`, `:` or white space end a key; a line whose last
//! backslash is not itself escaped goes on in the next one; `\t \n \r \f \uXXXX` are escapes and
//! any other escaped character stands for itself (`java.util.Properties.load`).

use std::iter::Peekable;
use std::str::Chars;

/// One entry, in the order of the file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Entry {
    pub(super) key: String,
    pub(super) value: String,
    /// Number of the line on which it begins, from 1.
    pub(super) line: usize,
}

/// Reads a properties file; bytes that are not UTF-8 are taken as Latin-1, as Java does.
pub(super) fn parse(bytes: &[u8]) -> Vec<Entry> {
    let text = match std::str::from_utf8(bytes) {
        Ok(text) => text.to_owned(),
        Err(_) => bytes.iter().map(|&byte| char::from(byte)).collect(),
    };
    let mut entries = Vec::new();
    let mut lines = text.split(['\n', '\r']).enumerate();
    while let Some((number, line)) = lines.next() {
        let start = line.trim_start_matches([' ', '\t', '\x0c']);
        if start.is_empty() || start.starts_with(['#', '!']) {
            continue;
        }
        let mut logical = start.to_owned();
        while ends_with_open_backslash(&logical) {
            logical.pop();
            let Some((_, mut next)) = lines.next() else { break };
            // "\r\n" splits into the line and an empty rest, which is no line of its own.
            if next.is_empty() && text.contains("\r\n") {
                let Some((_, after)) = lines.next() else { break };
                next = after;
            }
            logical.push_str(next.trim_start_matches([' ', '\t', '\x0c']));
        }
        let (key, value) = split(&logical);
        entries.push(Entry { key, value, line: number + 1 });
    }
    entries
}

fn ends_with_open_backslash(line: &str) -> bool {
    line.chars().rev().take_while(|&c| c == '\\').count() % 2 == 1
}

fn split(line: &str) -> (String, String) {
    let mut chars = line.chars().peekable();
    let key = unescape(&mut chars, |c| matches!(c, '=' | ':' | ' ' | '\t' | '\x0c'));
    let white = |c: &char| matches!(c, ' ' | '\t' | '\x0c');
    while chars.next_if(white).is_some() {}
    if chars.next_if(|c| matches!(c, '=' | ':')).is_some() {
        while chars.next_if(white).is_some() {}
    }
    let value = unescape(&mut chars, |_| false);
    (key, value.trim().to_owned())
}

fn unescape(chars: &mut Peekable<Chars<'_>>, ends: impl Fn(char) -> bool) -> String {
    let mut text = String::new();
    while let Some(c) = chars.next_if(|&c| !ends(c)) {
        if c != '\\' {
            text.push(c);
            continue;
        }
        match chars.next() {
            Some('t') => text.push('\t'),
            Some('n') => text.push('\n'),
            Some('r') => text.push('\r'),
            Some('f') => text.push('\x0c'),
            Some('u') => {
                let hex: String =
                    (0..4).map_while(|_| chars.next_if(char::is_ascii_hexdigit)).collect();
                let code = u32::from_str_radix(&hex, 16).ok().and_then(char::from_u32);
                text.push(code.unwrap_or(char::REPLACEMENT_CHARACTER));
            }
            Some(other) => text.push(other),
            None => {}
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pairs(text: &str) -> Vec<(String, String)> {
        parse(text.as_bytes()).into_iter().map(|e| (e.key, e.value)).collect()
    }

    fn pair(key: &str, value: &str) -> (String, String) {
        (key.to_owned(), value.to_owned())
    }

    #[test]
    fn reads_what_java_reads() {
        let text = "# comment\n! another\n\n a=b\nc : d\ne f\n g \t=\t h \nempty=\nalone\n";
        let want = [("a", "b"), ("c", "d"), ("e", "f"), ("g", "h"), ("empty", ""), ("alone", "")];
        assert_eq!(pairs(text), want.map(|(k, v)| pair(k, v)));
    }

    #[test]
    fn continues_and_escapes() {
        assert_eq!(pairs("a=b,\\\n   c\nd=e"), [pair("a", "b,c"), pair("d", "e")]);
        assert_eq!(pairs("a=b,\\\r\n   c\r\nd=e\r\n"), [pair("a", "b,c"), pair("d", "e")]);
        assert_eq!(pairs("k\\ ey=C\\:\\\\data\\u0041"), [pair("k ey", "C:\\dataA")]);
        assert_eq!(
            pairs("a=ends with two\\\\\nb=c"),
            [pair("a", "ends with two\\"), pair("b", "c")]
        );
        assert_eq!(pairs("a=url=x:y"), [pair("a", "url=x:y")]);
    }

    #[test]
    fn latin1_is_not_lost() {
        let entries = parse(b"dataDir=/caf\xe9");
        assert_eq!(entries[0].value, "/caf\u{e9}");
    }
}

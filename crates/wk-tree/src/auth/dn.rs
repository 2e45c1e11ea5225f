//! Which texts are distinguished names: those that Java's `X500Principal` takes.

/// Names of attributes that Java knows, in any case.
const KEYWORDS: &[&str] = &[
    "CN",
    "C",
    "L",
    "S",
    "ST",
    "O",
    "OU",
    "T",
    "IP",
    "STREET",
    "DC",
    "DNQUALIFIER",
    "DNQ",
    "SURNAME",
    "GIVENNAME",
    "INITIALS",
    "GENERATION",
    "EMAIL",
    "EMAILADDRESS",
    "UID",
    "SERIALNUMBER",
];

/// Is this a distinguished name?
pub(super) fn is_valid(name: &str) -> bool {
    let Some(parts) = split(name) else { return false };
    name.is_empty() || parts.iter().all(|part| is_pair(part))
}

/// Splits at `,`, `;` and `+` outside of quotes; `None` when a quote or an escape does not end.
fn split(name: &str) -> Option<Vec<&str>> {
    let (mut parts, mut start, mut quoted, mut escaped) = (Vec::new(), 0, false, false);
    for (at, c) in name.char_indices() {
        match c {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            '"' => quoted = !quoted,
            ',' | ';' | '+' if !quoted => {
                parts.push(&name[start..at]);
                start = at + 1;
            }
            _ => {}
        }
    }
    parts.push(&name[start..]);
    (!quoted && !escaped).then_some(parts)
}

fn is_pair(part: &str) -> bool {
    part.split_once('=').is_some_and(|(kind, value)| is_kind(kind.trim()) && is_value(value))
}

fn is_kind(kind: &str) -> bool {
    let upper = kind.to_ascii_uppercase();
    KEYWORDS.contains(&upper.as_str()) || is_number(upper.strip_prefix("OID.").unwrap_or(&upper))
}

/// An object identifier in its dotted form.
fn is_number(text: &str) -> bool {
    let arcs: Option<Vec<u64>> = text
        .split('.')
        .map(|arc| if arc.starts_with('+') { None } else { arc.parse().ok() })
        .collect();
    match arcs.as_deref() {
        Some([root, second, ..]) => *root <= 2 && (*root == 2 || *second < 40),
        _ => false,
    }
}

fn is_value(value: &str) -> bool {
    let blanks: &[char] = &[' ', '\n'];
    let value = value.trim_start_matches(blanks);
    if let Some(hex) = value.strip_prefix('#') {
        return is_element(hex.trim_end_matches(blanks));
    }
    if let Some(rest) = value.strip_prefix('"') {
        // Up to the quote that ends it, and only blanks behind it.
        return match closing_quote(rest) {
            Some(end) => escapes_are_valid(&rest[..end]) && rest[end + 1..].trim().is_empty(),
            None => false,
        };
    }
    escapes_are_valid(value) && !has_bare(value)
}

fn closing_quote(text: &str) -> Option<usize> {
    let mut escaped = false;
    text.char_indices().find_map(|(at, c)| {
        let ends = c == '"' && !escaped;
        escaped = c == '\\' && !escaped;
        ends.then_some(at)
    })
}

/// Characters that must be escaped outside of quotes.
fn has_bare(value: &str) -> bool {
    let mut escaped = false;
    value.chars().any(|c| {
        let bare = !escaped && "<>\"".contains(c);
        escaped = c == '\\' && !escaped;
        bare
    })
}

fn escapes_are_valid(value: &str) -> bool {
    let mut chars = value.chars();
    while let Some(c) = chars.next() {
        if c != '\\' {
            continue;
        }
        match chars.next() {
            Some(c) if c.is_ascii_hexdigit() => {
                if !chars.next().is_some_and(|c| c.is_ascii_hexdigit()) {
                    return false;
                }
            }
            Some(c) if ",=+<>#;\"\\ \n".contains(c) => {}
            _ => return false,
        }
    }
    true
}

/// Hex digits of one whole element of DER.
fn is_element(hex: &str) -> bool {
    let digits = hex.as_bytes();
    if digits.len() < 4
        || !digits.len().is_multiple_of(2)
        || !digits.iter().all(u8::is_ascii_hexdigit)
    {
        return false;
    }
    let byte = |at: usize| hex.get(at..at + 2).and_then(|two| u8::from_str_radix(two, 16).ok());
    match byte(2) {
        Some(len) if len < 0x80 => digits.len() / 2 == usize::from(len) + 2,
        // The lengths of longer ones are believed.
        other => other.is_some(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What `new X500Principal(text)` of Java 17 takes.
    #[test]
    fn valid_names_are_those_of_java() {
        for good in [
            "",
            "CN=a",
            "cn=a",
            "CN=a;O=b",
            "CN=a+OU=b",
            "1.2.3=a",
            "OID.1.2.3=a",
            "oid.1.2.3=#0401ff",
            "CN=\"a,b\"",
            "CN=a\\,b",
            " CN = a , O = b ",
            "CN=",
            "CN=a=b",
            "S=x",
            "EMAIL=x",
            "EMAILADDRESS=x",
            "SURNAME=x",
            "DNQ=x",
            "IP=x",
            "T=x",
            "UID=x",
            "CN=#0c0161",
            "CN=a\nb",
            "CN=\\41",
            "CN=a\\\"b",
            "CN=a\\ ",
            "CN= \\ a",
            "CN=kafka,OU=Data,O=Example GmbH,C=DE",
        ] {
            assert!(is_valid(good), "{good}");
        }
        for bad in [
            "a",
            "CN",
            "=a",
            "CN=a,",
            ",CN=a",
            "CN=a,,O=b",
            "CN=a+",
            "FOO=a",
            "1.2=#04",
            "CN=\"a",
            "CN=a\\",
            "CN=a\\zz",
            "E=x",
            "CN=a<b",
            "CN=#zz",
            "1=a",
            "1.=a",
            "3.1.2=a",
            "1.99.1=a",
            "TITLE=x",
            "anyone",
            "super",
            "CN=a, world",
            "CN=a\"b",
            "O=\"a\"b",
        ] {
            assert!(!is_valid(bad), "{bad}");
        }
    }
}

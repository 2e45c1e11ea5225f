//! The JAAS file, as far as a server of ZooKeeper reads one: sections, modules and their options.

use std::collections::BTreeMap;
use std::fmt;
use wk_node::sasl::Secret;

/// What begins an option that is a user's password.
const USER: &str = "user_";

/// The users of a section.
///
/// # Errors
/// A sentence: what is wrong, and what to do. `None` where there is no such section.
pub(super) fn users(text: &str, section: &str) -> Result<Option<BTreeMap<String, Secret>>, String> {
    let Some(modules) = sections(text)?.remove(section) else { return Ok(None) };
    let mut users = BTreeMap::new();
    for module in modules {
        match module.class.rsplit('.').next().unwrap_or_default() {
            "DigestLoginModule" => {}
            "Krb5LoginModule" => {
                let text = "logins by Kerberos are not there: use DigestLoginModule, or \
                            certificates (secureClientPort)";
                return Err(format!("section {section}: {}: {text}", module.class));
            }
            _ => {
                let text = "classes of Java cannot be loaded: use DigestLoginModule";
                return Err(format!("section {section}: {}: {text}", module.class));
            }
        }
        for (name, value) in module.options {
            let Some(user) = name.strip_prefix(USER) else { continue };
            if user.is_empty() || user.contains(['/', '@']) {
                let rule = "must name a user without / and @, which are Kerberos' own";
                return Err(format!("section {section}: {name}: {rule}"));
            }
            users.insert(user.to_owned(), Secret(value));
        }
    }
    if users.is_empty() {
        let text = "has no user: add user_NAME=\"PASSWORD\" behind DigestLoginModule required";
        return Err(format!("section {section}: {text}"));
    }
    Ok(Some(users))
}

struct Module {
    class: String,
    options: Vec<(String, String)>,
}

/// A piece of the file, with the line that it stands in.
#[derive(Clone, PartialEq, Eq)]
enum Token {
    Word(String),
    Quoted(String),
    Sign(char),
}

/// For messages: a quoted text may be a password, and so may a word behind `=`.
impl fmt::Display for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Word(_) => write!(f, "a word"),
            Self::Quoted(_) => write!(f, "a text"),
            Self::Sign(sign) => write!(f, "{sign}"),
        }
    }
}

fn sections(text: &str) -> Result<BTreeMap<String, Vec<Module>>, String> {
    let mut tokens = tokens(text)?.into_iter().peekable();
    let mut found = BTreeMap::new();
    let wrong = |(line, token): (usize, Token), wanted: &str| {
        Err(format!("line {line}: {token} where {wanted} must stand"))
    };
    let end = || "the file ends in the middle of a section".to_owned();
    while let Some((line, token)) = tokens.next() {
        let name = match token {
            Token::Word(name) | Token::Quoted(name) => name,
            Token::Sign(_) => return wrong((line, token), "the name of a section"),
        };
        match tokens.next().ok_or_else(end)? {
            (_, Token::Sign('{')) => {}
            other => return wrong(other, "{"),
        }
        let mut modules = Vec::new();
        loop {
            let class = match tokens.next().ok_or_else(end)? {
                (_, Token::Sign('}')) => break,
                (_, Token::Word(class) | Token::Quoted(class)) => class,
                other @ (_, Token::Sign(_)) => return wrong(other, "the class of a module or }"),
            };
            match tokens.next().ok_or_else(end)? {
                (_, Token::Word(flag)) if is_flag(&flag) => {}
                other => return wrong(other, "required, requisite, sufficient or optional"),
            }
            let mut options = Vec::new();
            loop {
                let name = match tokens.next().ok_or_else(end)? {
                    (_, Token::Sign(';')) => break,
                    (_, Token::Word(name) | Token::Quoted(name)) => name,
                    other @ (_, Token::Sign(_)) => return wrong(other, "an option or ;"),
                };
                match tokens.next().ok_or_else(end)? {
                    (_, Token::Sign('=')) => {}
                    other => return wrong(other, "="),
                }
                match tokens.next().ok_or_else(end)? {
                    (line, Token::Word(value) | Token::Quoted(value)) => {
                        if value.contains("${") {
                            let text = "properties of Java are not put in: write the value itself";
                            return Err(format!("line {line}: {name}: {text}"));
                        }
                        options.push((name, value));
                    }
                    other @ (_, Token::Sign(_)) => return wrong(other, "a value"),
                }
            }
            modules.push(Module { class, options });
        }
        match tokens.next().ok_or_else(end)? {
            (_, Token::Sign(';')) => {}
            other => return wrong(other, "; behind }"),
        }
        found.insert(name, modules);
    }
    Ok(found)
}

fn is_flag(word: &str) -> bool {
    ["required", "requisite", "sufficient", "optional"]
        .iter()
        .any(|flag| word.eq_ignore_ascii_case(flag))
}

fn tokens(text: &str) -> Result<Vec<(usize, Token)>, String> {
    let mut found = Vec::new();
    let mut rest = text;
    loop {
        rest = rest.trim_start();
        let Some(first) = rest.chars().next() else { return Ok(found) };
        let line = 1 + text[..text.len() - rest.len()].matches('\n').count();
        if let Some(comment) = rest.strip_prefix("/*") {
            let (_, behind) =
                comment.split_once("*/").ok_or(format!("line {line}: a comment does not end"))?;
            rest = behind;
        } else if rest.starts_with("//") || first == '#' {
            rest = rest.split_once('\n').map_or("", |(_, behind)| behind);
        } else if let Some(behind) = rest.strip_prefix(['{', '}', ';', '=']) {
            found.push((line, Token::Sign(first)));
            rest = behind;
        } else if first == '"' || first == '\'' {
            let (value, behind) =
                quoted(&rest[1..], first).ok_or(format!("line {line}: a text does not end"))?;
            found.push((line, Token::Quoted(value)));
            rest = behind;
        } else {
            let is_end = |c: char| c.is_whitespace() || "{};=\"'".contains(c);
            let end = rest.find(is_end).unwrap_or(rest.len());
            found.push((line, Token::Word(rest[..end].to_owned())));
            rest = &rest[end..];
        }
    }
}

/// The text up to the quote that ends it, on one line, and what is behind it.
fn quoted(text: &str, quote: char) -> Option<(String, &str)> {
    let mut value = String::new();
    let mut chars = text.char_indices();
    while let Some((at, c)) = chars.next() {
        match c {
            _ if c == quote => return Some((value, &text[at + 1..])),
            '\n' => return None,
            '\\' => match chars.next()?.1 {
                'n' => value.push('\n'),
                't' => value.push('\t'),
                other => value.push(other),
            },
            _ => value.push(c),
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    const FILE: &str = "\
        // Of the server.\n\
        Server {\n\
          org.apache.zookeeper.server.auth.DigestLoginModule required\n\
          user_super=\"admin secret\" # and\n\
          /* more\n of them */\n\
          user_bob='it\\'s';\n\
        };\n\
        Client { org.apache.zookeeper.server.auth.DigestLoginModule required\n\
          username=\"bob\" password=plain; };\n";

    fn names(text: &str) -> Vec<(String, String)> {
        let users = users(text, "Server").unwrap().unwrap();
        users.into_iter().map(|(name, secret)| (name, secret.0)).collect()
    }

    #[test]
    fn users_of_the_section_are_read() {
        let pair = |a: &str, b: &str| (a.to_owned(), b.to_owned());
        assert_eq!(names(FILE), [pair("bob", "it's"), pair("super", "admin secret")]);
        assert_eq!(users(FILE, "Nobody"), Ok(None));
        assert_eq!(users("", "Server"), Ok(None));
    }

    #[test]
    fn what_cannot_be_used_is_said_with_its_place() {
        let said = |text: &str| users(text, "Server").unwrap_err();
        let krb = "Server { com.sun.security.auth.module.Krb5LoginModule required a=b; };";
        assert!(said(krb).contains("logins by Kerberos are not there"));
        assert!(said("Server { my.Module required; };").contains("my.Module: classes of Java"));
        assert!(said(&FILE.replace("user_", "")).contains("section Server: has no user"));
        assert!(said(&FILE.replace("user_bob", "user_bob@R")).contains("without / and @"));
        assert!(said(&FILE.replace("it\\'s", "${x}")).contains("line 7: user_bob: properties"));
        for (from, to, want) in [
            (" required\n", " maybe\n", "where required, requisite, sufficient or optional"),
            ("};\nClient", "}\nClient", "line 9: a word where ; behind }"),
            ("user_bob=", "user_bob", "where = must stand"),
            ("super=\"admin secret\"", "super=;", "where a value must stand"),
            ("secret\"", "secret", "line 4: a text does not end"),
            ("of them */", "of them", "line 5: a comment does not end"),
            ("Server {", "{", "line 2: { where the name of a section"),
        ] {
            let text = said(&FILE.replacen(from, to, 1));
            assert!(text.contains(want), "{from} -> {to}: {text}");
        }
        assert!(said("Server {").contains("the file ends in the middle"));
    }

    #[test]
    fn a_message_tells_no_password() {
        for (from, to, want) in [
            ("user_super=\"", "user_super \"", "line 4: a text where = must stand"),
            ("user_super=\"", "user_super=x \"", "line 7: a word where = must stand"),
            ("required\nuser_super=", "", "line 3: a text where required"),
            ("user_bob='it\\'s'", "user_bob=admin secret", "line 7: ; where = must stand"),
            ("user_bob='it\\'s'", "user_bob secret", "line 7: a word where = must stand"),
            ("user_bob='it\\'s';\n};", "user_bob=it;\n} 'secret';", "a text where ; behind }"),
        ] {
            let text = users(&FILE.replacen(from, to, 1), "Server").unwrap_err();
            assert!(text.contains(want), "{from} -> {to}: {text}");
            assert!(!text.contains("secret") && !text.contains("admin"), "{text}");
        }
    }
}

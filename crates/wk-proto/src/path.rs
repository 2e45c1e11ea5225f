//! The rules of znode paths (`PathUtils`, 3.9).

/// Why a path is not legal.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PathError {
    /// The path is empty or does not begin with a slash.
    #[error("path must start with /")]
    NotAbsolute,
    /// A slash at the end.
    #[error("path must not end with /")]
    TrailingSlash,
    /// Two slashes in a row.
    #[error("path has an empty component")]
    EmptyComponent,
    /// `.` or `..` as a component.
    #[error("path is relative: it has . or .. as a component")]
    Relative,
    /// A control character, a surrogate, or one of the ranges that ZooKeeper forbids.
    #[error("path has a character that is not allowed: {0:?}")]
    Character(char),
}

/// May `c` stand in a path? Forbidden: U+0000 to 001F, 007F to 009F, D800 to F8FF (a character
/// beyond the basic plane is two surrogates in Java), FFF0 to FFFF.
fn allowed(c: char) -> bool {
    !matches!(c, '\0'..='\u{1f}' | '\u{7f}'..='\u{9f}' | '\u{e000}'..='\u{f8ff}' | '\u{fff0}'..)
}

/// Checks a whole path as the server does before it creates a znode.
///
/// # Errors
/// The first rule that is broken, as [`PathError`].
pub fn validate(path: &str) -> Result<(), PathError> {
    let Some(rest) = path.strip_prefix('/') else {
        return Err(PathError::NotAbsolute);
    };
    if rest.is_empty() {
        return Ok(());
    }
    if rest.ends_with('/') {
        return Err(PathError::TrailingSlash);
    }
    for component in rest.split('/') {
        match component {
            "" => return Err(PathError::EmptyComponent),
            "." | ".." => return Err(PathError::Relative),
            _ => {}
        }
        // Printable ASCII is by far the most common; it needs no decoding.
        if !component.bytes().all(|b| (0x20..0x7f).contains(&b))
            && let Some(c) = component.chars().find(|c| !allowed(*c))
        {
            return Err(PathError::Character(c));
        }
    }
    Ok(())
}

/// Splits a path into its parent's path and its own name: `/a/b` into `/a` and `b`, `/a` into `/`
/// and `a`. `None` without a slash.
pub fn split(path: &str) -> Option<(&str, &str)> {
    let at = path.rfind('/')?;
    let parent = if at == 0 { "/" } else { &path[..at] };
    Some((parent, &path[at + 1..]))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rules_of_a_path() {
        for good in ["/", "/a", "/a/b", "/a.b/..c/...", "/日本/ü", "/zoo keeper"] {
            assert_eq!(validate(good), Ok(()), "{good}");
        }
        for (bad, why) in [
            ("", PathError::NotAbsolute),
            ("a", PathError::NotAbsolute),
            ("/a/", PathError::TrailingSlash),
            ("/a//b", PathError::EmptyComponent),
            ("/a/./b", PathError::Relative),
            ("/..", PathError::Relative),
            ("/a\0", PathError::Character('\0')),
            ("/\u{85}", PathError::Character('\u{85}')),
            ("/\u{e123}", PathError::Character('\u{e123}')),
            ("/\u{fffd}", PathError::Character('\u{fffd}')),
            ("/😀", PathError::Character('😀')),
        ] {
            assert_eq!(validate(bad), Err(why), "{bad}");
        }
    }

    #[test]
    fn split_finds_parent_and_name() {
        assert_eq!(split("/a/b"), Some(("/a", "b")));
        assert_eq!(split("/a"), Some(("/", "a")));
        assert_eq!(split("/a/"), Some(("/a", "")));
        assert_eq!(split("a"), None);
    }
}

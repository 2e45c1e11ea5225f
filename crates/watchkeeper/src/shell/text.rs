//! Values that people write on the command line: durations, data, credentials.

use std::io::Read;
use std::time::Duration;

use anyhow::{Context, bail};

/// Reads a duration: `10s`, `250ms`, `2m`, `1h`, `7d`.
pub(crate) fn duration(text: &str) -> Result<Duration, String> {
    let digits = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (number, unit) = text.split_at(digits);
    let millis_per_unit: u64 = match unit {
        "ms" => 1,
        "s" => 1000,
        "m" => 60_000,
        "h" => 3_600_000,
        "d" => 86_400_000,
        _ => return Err("must be a number with a unit: 250ms, 10s, 2m, 1h, 7d".to_owned()),
    };
    let number: u64 = number.parse().map_err(|_| "must begin with a number".to_owned())?;
    number
        .checked_mul(millis_per_unit)
        .map(Duration::from_millis)
        .ok_or_else(|| "is too long".to_owned())
}

/// Reads a time to live: a duration, or plain milliseconds as zkCli takes them.
pub(crate) fn ttl(text: &str) -> Result<Duration, String> {
    text.parse::<u64>().map(Duration::from_millis).or_else(|_| duration(text))
}

/// Reads the value of a znode: the text itself, `@FILE`, or `-` for stdin.
pub(crate) fn value(text: &str) -> anyhow::Result<Vec<u8>> {
    if text == "-" {
        let mut bytes = Vec::new();
        std::io::stdin().lock().read_to_end(&mut bytes).context("read stdin")?;
        return Ok(bytes);
    }
    match text.strip_prefix('@') {
        Some(file) => std::fs::read(file).with_context(|| format!("read {file}")),
        None => Ok(text.as_bytes().to_vec()),
    }
}

/// Reads credentials: `SCHEME:CREDENTIALS`.
pub(crate) fn credentials(text: &str) -> anyhow::Result<(String, Vec<u8>)> {
    match text.split_once(':') {
        Some((scheme, auth)) if !scheme.is_empty() && !auth.is_empty() => {
            Ok((scheme.to_owned(), auth.as_bytes().to_vec()))
        }
        // Never quote the text: it may be a password.
        _ => bail!("credentials must be SCHEME:CREDENTIALS, for example digest:user:password"),
    }
}

/// Fills in `${NAME}` from the environment; the flag says whether there was one.
pub(crate) fn expand(
    text: &str,
    lookup: impl Fn(&str) -> Option<String>,
) -> anyhow::Result<(String, bool)> {
    let mut expanded = String::new();
    let mut rest = text;
    let mut any = false;
    while let Some(at) = rest.find("${") {
        let (before, after) = (&rest[..at], &rest[at + 2..]);
        let (name, tail) = after.split_once('}').context("${ without }")?;
        expanded.push_str(before);
        expanded.push_str(
            &lookup(name).with_context(|| format!("environment variable {name} is not set"))?,
        );
        rest = tail;
        any = true;
    }
    expanded.push_str(rest);
    Ok((expanded, any))
}

/// A path, spelled as it may be: a slash at the end is forgiven, one at the start is needed.
pub(crate) fn path(text: &str) -> Result<String, String> {
    if !text.starts_with('/') {
        return Err("a path starts with /".to_owned());
    }
    let trimmed = text.trim_end_matches('/');
    Ok(if trimmed.is_empty() { "/" } else { trimmed }.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_need_a_unit_and_a_ttl_may_do_without() {
        assert_eq!(duration("250ms"), Ok(Duration::from_millis(250)));
        assert_eq!(duration("2m"), Ok(Duration::from_mins(2)));
        for bad in ["", "10", "s", "1.5s", "-1s", "99999999999999999999s", "10y"] {
            assert!(duration(bad).is_err(), "{bad}");
        }
        assert_eq!(ttl("1500"), Ok(Duration::from_millis(1500)));
        assert_eq!(ttl("2s"), Ok(Duration::from_secs(2)));
    }

    #[test]
    fn environment_fills_credentials_in() {
        let lookup = |name: &str| (name == "PW").then(|| "secret".to_owned());
        let (text, any) = expand("digest:u:${PW}!", lookup).expect("PW is set");
        assert_eq!((text.as_str(), any), ("digest:u:secret!", true));
        assert!(expand("${NO}", lookup).expect_err("NO is not").to_string().contains("NO"));
        assert_eq!(expand("a:b", lookup).expect("plain"), ("a:b".to_owned(), false));
    }

    #[test]
    fn wrong_credentials_are_not_quoted() {
        let error = credentials("hunter2").expect_err("no scheme").to_string();
        assert!(!error.contains("hunter2"));
    }

    #[test]
    fn paths_are_absolute() {
        assert_eq!(path("/a/"), Ok("/a".to_owned()));
        assert_eq!(path("//"), Ok("/".to_owned()));
        assert!(path("a").is_err());
    }
}

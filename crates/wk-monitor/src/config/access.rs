//! `[ensemble.NAME] auth` and `tls`: how its servers are reached.

use std::path::{Path, PathBuf};

use serde::Deserialize;
use wk_client::{Access, TlsConfig};

use super::file::Refusal;

/// `tls = { ca, certificate, key, any_hostname }`, all files PEM.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawTls {
    ca: Option<PathBuf>,
    certificate: Option<PathBuf>,
    key: Option<PathBuf>,
    #[serde(default)]
    any_hostname: bool,
}

/// Reads the files, found from `home`, and the credentials. No error shows a credential.
pub(super) fn access(
    ensemble: &str,
    tls: Option<RawTls>,
    auth: &[String],
    home: &Path,
    env: &dyn Fn(&str) -> Option<String>,
) -> Result<Access, Refusal> {
    let key = |end: &str| format!("ensemble.{ensemble}.{end}");
    let mut credentials = Vec::new();
    for given in auth {
        let scheme = given.split_once(':').map_or("", |(scheme, _)| scheme);
        let refuse = |rule: &str| Refusal::new(key("auth"), &format!("{scheme}:..."), &rule);
        let filled = fill(given, env).map_err(|rule| refuse(&rule))?;
        match filled.split_once(':') {
            Some((scheme, rest)) if !scheme.is_empty() && !rest.is_empty() => {
                credentials.push((scheme.to_owned(), rest.as_bytes().to_vec()));
            }
            _ => return Err(refuse("must be SCHEME:CREDENTIALS, such as digest:user:${PASSWORD}")),
        }
    }
    let tls = tls.map(|raw| {
        let find = |file: PathBuf| home.join(file);
        let identity = match (raw.certificate, raw.key) {
            (Some(certificate), Some(key)) => Some((find(certificate), find(key))),
            (None, None) => None,
            (Some(alone), None) | (None, Some(alone)) => {
                let rule = "certificate and key go together";
                return Err(Refusal::new(key("tls"), &alone.display().to_string(), &rule));
            }
        };
        let any_hostname = raw.any_hostname;
        Ok(TlsConfig { ca: raw.ca.map(find), identity, any_hostname })
    });
    let tls = tls.transpose()?;
    Access::new(tls, credentials).map_err(|err| Refusal::new(key("tls"), "...", &err))
}

/// Puts in `${NAME}`.
fn fill(text: &str, env: &dyn Fn(&str) -> Option<String>) -> Result<String, String> {
    let mut done = String::new();
    let mut rest = text;
    while let Some((before, after)) = rest.split_once("${") {
        let (name, behind) = after.split_once('}').ok_or("${ without }")?;
        let value = env(name);
        done.push_str(before);
        done.push_str(&value.ok_or_else(|| format!("${{{name}}} is not set in the environment"))?);
        rest = behind;
    }
    Ok(done + rest)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(auth: &[&str], tls: &str) -> Result<Access, String> {
        let auth: Vec<String> = auth.iter().map(|&one| one.to_owned()).collect();
        let tls = (!tls.is_empty()).then(|| toml::from_str(tls).unwrap());
        let env = |name: &str| (name == "PW").then(|| "hu:sh".to_owned());
        let refused =
            |refusal: Refusal| format!("{} = {}: {}", refusal.key, refusal.value, refusal.rule);
        access("prod", tls, &auth, Path::new("/nonexistent"), &env).map_err(refused)
    }

    #[test]
    fn credentials_are_filled_in_and_never_shown() {
        let filled = read(&["digest:me:${PW}"], "").unwrap();
        let want = vec![("digest".to_owned(), b"me:hu:sh".to_vec())];
        assert_eq!(filled, Access::new(None, want).unwrap());
        for (wrong, rule) in [
            ("hush", "must be SCHEME:CREDENTIALS"),
            ("digest:", "must be SCHEME:CREDENTIALS"),
            ("digest:me:${NO}", "${NO} is not set"),
            ("digest:hush${PW", "${ without }"),
        ] {
            let said = read(&[wrong], "").unwrap_err();
            assert!(said.starts_with("ensemble.prod.auth") && said.contains(rule), "{said}");
            assert!(!said.contains("hush") && !said.contains("hu:sh"), "{said}");
        }
    }

    #[test]
    fn files_are_found_from_the_configuration_and_errors_name_them() {
        let said = read(&[], "ca = \"ca.pem\"").unwrap_err();
        assert!(said.starts_with("ensemble.prod.tls"), "{said}");
        assert!(said.contains("/nonexistent/ca.pem: cannot read"), "{said}");
        let said = read(&[], "key = \"k.pem\"").unwrap_err();
        assert!(said.contains("certificate and key go together"), "{said}");
        let said = read(&[], "any_hostname = true").unwrap_err();
        assert!(said.contains("authority of your own"), "{said}");
    }
}

//! The keys of logins: SASL, its users, and who must have proved what.

use super::jaas;
use super::values::Values;
use std::path::Path;
use wk_node::sasl::{SaslOptions, Secret};

/// The section that is read when no other is named.
const SECTION: &str = "Server";

/// The schemes of which a connection must have an identity.
pub(super) fn required(values: &mut Values, has_x509: bool, has_sasl: bool) -> Vec<String> {
    // As in Apache, this one alone counts where it is on.
    let (key, schemes) = if values.on("sessionRequireClientSASLAuth") {
        ("sessionRequireClientSASLAuth", vec!["sasl".to_owned()])
    } else if values.on("enforce.auth.enabled") {
        let list = values.text("enforce.auth.schemes").unwrap_or_default().split(',');
        let list = list.map(|scheme| scheme.trim().to_owned()).filter(|one| !one.is_empty());
        ("enforce.auth.schemes", list.collect())
    } else {
        return Vec::new();
    };
    if schemes.is_empty() {
        let text = "enforce.auth.enabled = \"true\": needs enforce.auth.schemes, a list of digest, \
                    ip, x509 and sasl";
        values.error(&values.place("enforce.auth.enabled"), text.to_owned());
    }
    for scheme in &schemes {
        let instead = match scheme.as_str() {
            "ip" => continue,
            "digest" if values.on("DigestAuthenticationProvider.enabled") => continue,
            "x509" if has_x509 => continue,
            "sasl" if has_sasl => continue,
            "digest" => "needs DigestAuthenticationProvider.enabled = true",
            "x509" => "needs secureClientPort or client.portUnification",
            "sasl" => {
                "needs authProvider.sasl = \
                 org.apache.zookeeper.server.auth.SASLAuthenticationProvider"
            }
            _ => "must be one of digest, ip, x509, sasl",
        };
        let text = format!("{key}: the scheme \"{scheme}\" {instead}");
        values.error(&values.place(key), text);
    }
    schemes
}

/// Logins by SASL, where a JAAS file has users for us.
pub(super) fn sasl(values: &mut Values) -> Option<SaslOptions> {
    let key = "java.security.auth.login.config";
    let named = values.text("sasl.serverconfig").map(str::to_owned);
    let Some(path) = values.text(key).map(|path| path.trim_start_matches("file:").to_owned())
    else {
        if let Some(section) = named {
            let text = format!("sasl.serverconfig = \"{section}\": needs {key}, the JAAS file");
            values.error(&values.place("sasl.serverconfig"), text);
        }
        return None;
    };
    let section = named.as_deref().unwrap_or(SECTION);
    let place = values.place(key);
    let read = std::fs::read_to_string(Path::new(&path));
    let users = match read.map_err(|err| format!("cannot read: {err}")) {
        Ok(text) => jaas::users(&text, section),
        Err(reason) => Err(reason),
    };
    let mut users = match users {
        Ok(Some(users)) => users,
        Ok(None) if named.is_some() => {
            let text = format!("sasl.serverconfig = \"{section}\": {path} has no such section");
            values.error(&values.place("sasl.serverconfig"), text);
            return None;
        }
        Ok(None) => {
            let text = format!("{key}: {path} has no section {SECTION}: there are no SASL logins");
            values.warn(&place, text);
            return None;
        }
        Err(reason) => {
            values.error(&place, format!("{key} = \"{path}\": {reason}"));
            return None;
        }
    };
    if let Some(password) = values.text("SASLAuthenticationProvider.superPassword")
        && let Some(of_super) = users.get_mut("super")
    {
        *of_super = Secret(password.to_owned());
    }
    let mut supers: Vec<String> =
        values.under("superUser.").into_iter().map(|(_, given)| given.value).collect();
    supers.extend(values.text("superUser").map(str::to_owned));
    supers.retain(|user| !user.is_empty());
    Some(SaslOptions {
        users,
        supers,
        failed_stay: values.on("allowSaslFailedClients"),
        // Made at the start.
        nonce_secret: Secret(String::new()),
    })
}

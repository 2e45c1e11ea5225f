//! The keys of TLS towards clients, joined and judged.

use super::build::resolve;
use super::values::Values;
use crate::tls::{ClientAuth, TlsSettings, TlsVersion, cipher_suite_names};
use std::net::{Ipv6Addr, SocketAddr};
use std::path::PathBuf;

/// How stores of Java become files that are read here.
const CONVERT: &str = "keytool -importkeystore -srckeystore FILE -destkeystore x.p12 \
                       -deststoretype PKCS12, then openssl pkcs12 -in x.p12 -nodes -out FILE.pem";

/// What the keys ask for; `None` where neither a secure port nor port unification is wanted.
pub(super) fn tls(values: &mut Values) -> Option<TlsSettings> {
    let unified = values.on("client.portUnification");
    let secure_addr = secure_addr(values);
    if !unified && values.text("secureClientPort").is_none() {
        return None;
    }
    store_types(values);
    let client_auth = client_auth(values);
    let Some(key_store) = values.text("ssl.keyStore.location").map(PathBuf::from) else {
        let text = "ssl.keyStore.location: must be set for TLS: a PEM file with the server's \
                    private key and its certificates";
        values.error("zoo.cfg", text.to_owned());
        return None;
    };
    let trust_store = values.text("ssl.trustStore.location").map(PathBuf::from);
    if trust_store.is_none() && client_auth != ClientAuth::None {
        let text = "ssl.trustStore.location: must be set, a PEM file with the authorities of \
                    clients' certificates; or set ssl.clientAuth = none, and they are not asked \
                    for any";
        values.error("zoo.cfg", text.to_owned());
    }
    Some(TlsSettings {
        key_store,
        trust_store,
        client_auth,
        versions: versions(values),
        cipher_suites: cipher_suites(values),
        reload: values.on("client.certReload"),
        handshakes_max: values
            .int::<usize>("netty.server.outstandingHandshake.limit")
            .filter(|&limit| limit > 0),
        secure_addr,
        unified,
    })
}

fn secure_addr(values: &mut Values) -> Option<SocketAddr> {
    let host = values.text("secureClientPortAddress").map(str::to_owned);
    match (values.int::<u16>("secureClientPort"), host) {
        (None, None) => None,
        (None, Some(host)) => {
            let text = format!("secureClientPortAddress = \"{host}\": needs secureClientPort");
            values.error(&values.place("secureClientPortAddress"), text);
            None
        }
        (Some(port), None) => Some((Ipv6Addr::UNSPECIFIED, port).into()),
        (Some(port), Some(host)) => resolve(values, "secureClientPortAddress", &host, port),
    }
}

fn store_types(values: &mut Values) {
    for name in ["ssl.keyStore.type", "ssl.trustStore.type"] {
        let Some(kind) = values.text(name).filter(|kind| !kind.eq_ignore_ascii_case("PEM")) else {
            continue;
        };
        let text = format!("{name} = \"{kind}\": must be PEM; turn the store into one: {CONVERT}");
        values.error(&values.place(name), text);
    }
}

fn client_auth(values: &mut Values) -> ClientAuth {
    let word = values.text("ssl.clientAuth").unwrap_or("need").to_owned();
    match word.to_ascii_lowercase().as_str() {
        "none" => ClientAuth::None,
        "want" => ClientAuth::Want,
        "need" => ClientAuth::Need,
        _ => {
            let text = format!("ssl.clientAuth = \"{word}\": must be none, want or need");
            values.error(&values.place("ssl.clientAuth"), text);
            ClientAuth::Need
        }
    }
}

/// The names in a list with commas.
fn list(text: &str) -> Vec<String> {
    text.split(',').map(|name| name.trim().to_owned()).filter(|name| !name.is_empty()).collect()
}

fn versions(values: &mut Values) -> Vec<TlsVersion> {
    // As in Apache, the list wins over the one.
    let key = if values.text("ssl.enabledProtocols").is_some() {
        "ssl.enabledProtocols"
    } else {
        "ssl.protocol"
    };
    let Some(text) = values.text(key).map(str::to_owned) else {
        return vec![TlsVersion::V13, TlsVersion::V12];
    };
    let names = list(&text);
    let known: Option<Vec<_>> = names.iter().map(|name| TlsVersion::from_name(name)).collect();
    match known {
        Some(known) if !known.is_empty() => known,
        _ => {
            let rule = "must name TLSv1.3 or TLSv1.2; there are no older ones";
            values.error(&values.place(key), format!("{key} = \"{text}\": {rule}"));
            vec![TlsVersion::V13]
        }
    }
}

fn cipher_suites(values: &mut Values) -> Vec<String> {
    let Some(text) = values.text("ssl.ciphersuites").map(str::to_owned) else { return Vec::new() };
    let names = list(&text);
    let all = cipher_suite_names();
    if let Some(strange) = names.iter().find(|name| !all.contains(name)) {
        let rule = format!("\"{strange}\" is none of {}", all.join(", "));
        values.error(&values.place("ssl.ciphersuites"), format!("ssl.ciphersuites: {rule}"));
    }
    names
}

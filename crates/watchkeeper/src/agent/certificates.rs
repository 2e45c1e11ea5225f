//! Until when the server's certificates are valid, as far as their files can be read without secrets.

use std::fs;
use std::path::Path;

use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;
use x509_parser::prelude::{FromDer as _, X509Certificate};

use super::zoo::Zoo;

/// Keys that name a store, and the port that it belongs to.
const STORES: &[(&str, &str)] =
    &[("ssl.keyStore.location", "client"), ("ssl.quorum.keyStore.location", "quorum")];

/// A certificate.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Certificate {
    pub(super) port: &'static str,
    pub(super) subject: String,
    /// Seconds since 1970.
    pub(super) not_after: i64,
}

/// The certificates of a configuration; the second are sentences on what cannot be seen.
pub(super) fn certificates(zoo: &Zoo) -> (Vec<Certificate>, Vec<String>) {
    let (mut found, mut notes) = (Vec::new(), Vec::new());
    for (key, port) in STORES {
        let Some(path) = zoo.keys.get(*key) else { continue };
        match read(Path::new(path), port) {
            Ok(certificates) => found.extend(certificates),
            Err(why) => notes.push(format!("{key}={path}: {why}")),
        }
    }
    (found, notes)
}

fn read(path: &Path, port: &'static str) -> Result<Vec<Certificate>, String> {
    let bytes = fs::read(path).map_err(|err| format!("cannot read: {err}"))?;
    let text = bytes.windows(11).any(|window| window == b"-----BEGIN ");
    if !text {
        return Err("not PEM (JKS and PKCS12 need their password): its end is not seen; \
                    a PEM file with the same certificate can be named in a copy of zoo.cfg"
            .to_owned());
    }
    let mut found = Vec::new();
    for der in CertificateDer::pem_slice_iter(&bytes) {
        let der = der.map_err(|err| format!("broken PEM: {err}"))?;
        let parsed = X509Certificate::from_der(&der);
        let (_, certificate) = parsed.map_err(|err| format!("broken certificate: {err}"))?;
        let subject = certificate.subject().to_string();
        let not_after = certificate.validity().not_after.timestamp();
        found.push(Certificate { port, subject, not_after });
    }
    if found.is_empty() { Err("has no certificate".to_owned()) } else { Ok(found) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pem_tells_its_end_and_other_stores_a_note() {
        let dir = tempfile::tempdir().expect("a folder");
        let key = rcgen::KeyPair::generate().expect("a key");
        let mut params = rcgen::CertificateParams::new(vec!["zk1".to_owned()]).expect("legal");
        params.not_after = rcgen::date_time_ymd(2031, 5, 17);
        params.distinguished_name.push(rcgen::DnType::CommonName, "zk1");
        let pem = params.self_signed(&key).expect("signed").pem();
        let (good, jks) = (dir.path().join("zk.pem"), dir.path().join("zk.jks"));
        fs::write(&good, format!("{}{pem}", key.serialize_pem())).expect("written");
        fs::write(&jks, [0xfe, 0xed, 0xfe, 0xed, 0, 0, 0, 2]).expect("written");
        let key = |key: &str, path: &Path| (key.to_owned(), path.display().to_string());
        let keys = [key("ssl.keyStore.location", &good), key("ssl.quorum.keyStore.location", &jks)];
        let zoo = Zoo { keys: keys.into(), peers: vec![], myid: None };
        let (found, notes) = certificates(&zoo);
        assert_eq!(found.len(), 1);
        assert_eq!((found[0].port, found[0].not_after), ("client", 1_936_742_400));
        assert!(found[0].subject.contains("CN=zk1"), "{found:?}");
        assert!(notes[0].starts_with("ssl.quorum.keyStore.location=") && notes[0].contains("JKS"));
    }
}

//! Reading the files: bounded, and with errors for people.

use rustls::RootCertStore;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

/// Longest file taken for certificates or a key.
const FILE_MAX: u64 = 4 << 20;

/// Why a file cannot be used; names the file.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum FileError {
    /// It cannot be read.
    #[error("{}: cannot read: {source}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// What failed.
        source: io::Error,
    },
    /// It is no PEM file of what it should be.
    #[error("{}: {reason}", path.display())]
    Content {
        /// The file.
        path: PathBuf,
        /// What is wrong with it, and what to do.
        reason: String,
    },
}

impl FileError {
    fn content(path: &Path, reason: impl Into<String>) -> Self {
        Self::Content { path: path.to_owned(), reason: reason.into() }
    }
}

/// What changes when a file is replaced: its time and its length; `None` while it cannot be seen.
pub type Stamp = Option<(SystemTime, u64)>;

/// The stamp of a file now.
pub fn stamp(path: &Path) -> Stamp {
    let meta = fs::metadata(path).ok()?;
    Some((meta.modified().ok()?, meta.len()))
}

/// All certificates of a PEM file, in order; at least one.
pub fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, FileError> {
    let bytes = read(path)?;
    let all: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&bytes).collect();
    let all = all.map_err(|err| no(path, &bytes, "certificate", &err.to_string()))?;
    if all.is_empty() {
        let reason = foreign(&bytes).unwrap_or("holds no certificate in PEM form");
        return Err(FileError::content(path, reason));
    }
    Ok(all)
}

/// The first private key of a PEM file.
pub fn private_key(path: &Path) -> Result<PrivateKeyDer<'static>, FileError> {
    let bytes = read(path)?;
    let locked = b"-----BEGIN ENCRYPTED PRIVATE KEY-----";
    if bytes.windows(locked.len()).any(|window| window == locked) {
        let reason = "its private key is encrypted with a password, which is not supported; turn \
                      it into a plain one that only the server may read: openssl pkcs8 -in FILE \
                      -out key.pem, then chmod 600";
        return Err(FileError::content(path, reason));
    }
    PrivateKeyDer::from_pem_slice(&bytes)
        .map_err(|err| no(path, &bytes, "private key", &err.to_string()))
}

/// Our own key and certificate chain out of one PEM file, as Apache's key stores of type PEM are.
pub fn identity(
    path: &Path,
) -> Result<(Vec<CertificateDer<'static>>, PrivateKeyDer<'static>), FileError> {
    Ok((certificates(path)?, private_key(path)?))
}

/// The authorities of a PEM file.
pub fn roots(path: &Path) -> Result<RootCertStore, FileError> {
    let mut roots = RootCertStore::empty();
    for certificate in certificates(path)? {
        roots.add(certificate).map_err(|err| {
            FileError::content(path, format!("holds a certificate that cannot be trusted: {err}"))
        })?;
    }
    Ok(roots)
}

fn read(path: &Path) -> Result<Vec<u8>, FileError> {
    let failed = |source| FileError::Read { path: path.to_owned(), source };
    let bytes = fs::metadata(path).map_err(failed)?.len();
    if bytes > FILE_MAX {
        let reason = format!("has {bytes} bytes; certificates and keys have at most {FILE_MAX}");
        return Err(FileError::content(path, reason));
    }
    fs::read(path).map_err(failed)
}

fn no(path: &Path, bytes: &[u8], what: &str, err: &str) -> FileError {
    let known = foreign(bytes).map(str::to_owned);
    FileError::content(path, known.unwrap_or_else(|| format!("no {what} in PEM form: {err}")))
}

/// What a file is that Java programs use instead, and how to turn it into PEM.
fn foreign(bytes: &[u8]) -> Option<&'static str> {
    match bytes {
        [0xfe, 0xed, 0xfe, 0xed, ..] => Some(
            "is a Java key store; turn it into PEM: keytool -importkeystore -srckeystore FILE \
             -destkeystore x.p12 -deststoretype PKCS12, then openssl pkcs12 -in x.p12 -nodes",
        ),
        [0x30, 0x82, ..] => Some(
            "is binary (PKCS#12 or DER); turn it into PEM: openssl pkcs12 -in FILE -nodes, or \
             openssl x509 -inform der -in FILE",
        ),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rcgen::{CertificateParams, KeyPair};

    #[test]
    fn one_file_holds_key_and_chain_in_any_order() {
        let dir = tempfile::tempdir().unwrap();
        let key = KeyPair::generate().unwrap();
        let certificate =
            CertificateParams::new(vec!["a".to_owned()]).unwrap().self_signed(&key).unwrap();
        let path = dir.path().join("both.pem");
        for pem in
            [key.serialize_pem() + &certificate.pem(), certificate.pem() + &key.serialize_pem()]
        {
            fs::write(&path, pem).unwrap();
            let (chain, _) = identity(&path).unwrap();
            assert_eq!(chain, [certificate.der().clone()]);
        }
        fs::write(&path, key.serialize_pem()).unwrap();
        let error = identity(&path).unwrap_err().to_string();
        assert!(error.ends_with("both.pem: holds no certificate in PEM form"), "{error}");
    }

    #[test]
    fn stores_of_java_and_encrypted_keys_are_refused_with_the_way_out() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("store");
        let said = |bytes: &[u8]| {
            fs::write(&path, bytes).unwrap();
            roots(&path).unwrap_err().to_string()
        };
        assert!(said(&[0xfe, 0xed, 0xfe, 0xed, 0, 0]).contains("keytool -importkeystore"));
        assert!(said(&[0x30, 0x82, 1, 2]).contains("openssl pkcs12 -in FILE -nodes"));
        assert!(said(b"hello").ends_with("store: holds no certificate in PEM form"));
        let locked =
            "-----BEGIN ENCRYPTED PRIVATE KEY-----\nAAAA\n-----END ENCRYPTED PRIVATE KEY-----\n";
        fs::write(&path, locked).unwrap();
        let error = private_key(&path).unwrap_err().to_string();
        assert!(error.contains("encrypted") && error.contains("openssl pkcs8"), "{error}");
    }

    #[test]
    fn a_replaced_file_has_another_stamp() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a.pem");
        assert_eq!(stamp(&path), None);
        fs::write(&path, "a").unwrap();
        let before = stamp(&path);
        fs::write(&path, "ab").unwrap();
        assert_ne!(stamp(&path), before);
    }
}

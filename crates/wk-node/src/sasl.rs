//! SASL: who may log in, and the exchange of DIGEST-MD5 (RFC 2831) as a machine without I/O.
//!
//! [`Exchange::step`] takes a client's token and gives the server's. The nonce comes from outside;
//! what the machine reads is bounded by [`TOKEN_MAX`].

mod digest_md5;

pub use digest_md5::{Exchange, Refusal, Step, TOKEN_MAX};

use std::collections::BTreeMap;
use std::fmt;

/// A password. It is shown nowhere.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(pub String);

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(...)")
    }
}

/// Who may log in by SASL.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SaslOptions {
    /// Passwords by user.
    pub users: BTreeMap<String, Secret>,
    /// Users who are superusers (`zookeeper.superUser`).
    pub supers: Vec<String>,
    /// Keep a connection whose login fails, without an identity
    /// (`zookeeper.allowSaslFailedClients`).
    pub failed_stay: bool,
    /// What nonces are made from; nobody else knows it.
    pub nonce_secret: Secret,
}

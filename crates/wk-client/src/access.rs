//! How the servers of one ensemble are reached: plain or with TLS, and under which credentials.

use std::fmt;
use std::io;
use std::time::Duration;

use crate::builder::Builder;
use crate::client::Client;
use crate::four_letter::four_letter_over;
use crate::tls::{Tls, TlsConfig, TlsError};
use crate::transport::{BoxFuture, Connect, Tcp, Transport};

/// Makes clients, and asks four-letter words, in one way. Clones share what was read of files.
#[derive(Clone, Default)]
pub struct Access {
    tls: Option<(TlsConfig, Tls)>,
    credentials: Vec<(String, Vec<u8>)>,
}

impl Access {
    /// With TLS where it is given, and these credentials: scheme and what goes with it.
    ///
    /// # Errors
    /// [`TlsError`] when a file cannot be used.
    pub fn new(
        tls: Option<TlsConfig>,
        credentials: Vec<(String, Vec<u8>)>,
    ) -> Result<Self, TlsError> {
        let tls =
            tls.map(|config| Tls::new(config.clone()).map(|tls| (config, tls))).transpose()?;
        Ok(Self { tls, credentials })
    }

    /// A client of these servers.
    pub fn client(&self, hosts: &str) -> Builder {
        let builder = Client::builder(hosts).connector(self.clone());
        let add = |builder: Builder, (scheme, auth): &(String, Vec<u8>)| {
            builder.auth(scheme, auth.clone())
        };
        self.credentials.iter().fold(builder, add)
    }

    /// Asks a four-letter word.
    ///
    /// # Errors
    /// As [`crate::four_letter`].
    pub async fn four_letter(
        &self,
        address: &str,
        word: &str,
        limit: Duration,
    ) -> io::Result<String> {
        four_letter_over(self, address, word, limit).await
    }

    /// Whether there are credentials, so that znodes can be kept from others.
    pub fn has_credentials(&self) -> bool {
        !self.credentials.is_empty()
    }

    /// Whether it speaks TLS.
    pub fn is_secure(&self) -> bool {
        self.tls.is_some()
    }
}

impl Connect for Access {
    fn connect(&self, host: &str) -> BoxFuture<io::Result<Box<dyn Transport>>> {
        match &self.tls {
            Some((_, tls)) => tls.connect(host),
            None => Tcp.connect(host),
        }
    }
}

/// The same files and the same credentials.
impl PartialEq for Access {
    fn eq(&self, other: &Self) -> bool {
        let files = |access: &Self| access.tls.as_ref().map(|(config, _)| config.clone());
        files(self) == files(other) && self.credentials == other.credentials
    }
}

impl fmt::Debug for Access {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Never the credentials themselves.
        let schemes: Vec<&str> = self.credentials.iter().map(|(scheme, _)| &**scheme).collect();
        let tls = self.tls.as_ref().map(|(config, _)| config);
        f.debug_struct("Access").field("tls", &tls).field("credentials", &schemes).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_are_not_shown_and_equal_means_the_same_way() {
        let with = |secret: &str| {
            Access::new(None, vec![("digest".to_owned(), secret.as_bytes().to_vec())]).unwrap()
        };
        let access = with("me:hush");
        let shown = format!("{access:?}");
        assert!(shown.contains("digest") && !shown.contains("hush"), "{shown}");
        assert!(access.has_credentials() && !access.is_secure());
        assert_eq!(access, access.clone());
        assert_ne!(access, with("me:other"));
        assert_ne!(access, Access::default());
    }
}

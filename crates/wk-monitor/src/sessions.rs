//! How a session at one server of an ensemble is made: credentials and TLS are in it.

use std::fmt;

use wk_client::{Builder, Client};
use wk_probe::canary::MakeClient;

/// Makes sessions of the monitor's own, each at the one server that it is told.
#[derive(Clone)]
pub struct Sessions {
    make: MakeClient,
    has_credentials: bool,
}

impl fmt::Debug for Sessions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Never what is in it.
        f.debug_struct("Sessions")
            .field("has_credentials", &self.has_credentials)
            .finish_non_exhaustive()
    }
}

impl Default for Sessions {
    /// Plain TCP, without credentials.
    fn default() -> Self {
        Self { make: std::sync::Arc::new(Client::builder), has_credentials: false }
    }
}

impl Sessions {
    /// Sessions made by `make`; `has_credentials` says whether it brings some.
    pub fn new(
        make: impl Fn(&str) -> Builder + Send + Sync + 'static,
        has_credentials: bool,
    ) -> Self {
        Self { make: std::sync::Arc::new(make), has_credentials }
    }

    pub(crate) fn maker(&self) -> MakeClient {
        std::sync::Arc::clone(&self.make)
    }

    pub(crate) fn has_credentials(&self) -> bool {
        self.has_credentials
    }
}

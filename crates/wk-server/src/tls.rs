//! TLS towards clients: the settings, the transport, and the thread that shakes hands.
//!
//! A handshake costs up to milliseconds of computing and as long as a client likes to wait, so no
//! handshake takes place on the driver's thread: the [`doorman`] does it and hands over what is
//! ready. Plain ports never see any of this.

mod doorman;
mod settings;
mod stream;

pub(crate) use doorman::{DoorReport, Doorman, Guest, Turned};
pub(crate) use settings::Reloading;
pub use settings::{ClientAuth, TlsError, TlsSettings, TlsVersion, cipher_suite_names};
pub(crate) use stream::TlsStream;

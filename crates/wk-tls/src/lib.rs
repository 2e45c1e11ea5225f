//! Certificates and keys of PEM files, and the names in them.
//!
//! Used on both sides of TLS: by the client towards servers and by the server towards clients.
//! Errors name the file, what is wrong with it and how to mend it; stores of Java are recognised
//! by their first bytes and refused with the command that turns them into PEM.

mod name;
mod store;

pub use name::subject;
pub use store::{FileError, Stamp, certificates, identity, private_key, roots, stamp};

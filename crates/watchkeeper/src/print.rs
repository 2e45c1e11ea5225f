//! The one place that writes to the terminal: data on stdout, everything else on stderr.
//!
//! A closed pipe (`watchkeeper ls -R / | head`) is reported as an error of its own kind, which
//! `exit` turns into a quiet end.

use std::io::{self, Write};

/// Writes raw bytes to stdout and flushes them.
pub(crate) fn bytes(data: &[u8]) -> io::Result<()> {
    let mut out = io::stdout().lock();
    out.write_all(data)?;
    out.flush()
}

/// Writes one line to stderr: progress, hints, errors. A closed stderr is nobody's concern.
pub(crate) fn note(text: &str) {
    let _ = writeln!(io::stderr().lock(), "{text}");
}

/// Writes a prompt to stderr, without a line end.
pub(crate) fn prompt(text: &str) {
    let mut out = io::stderr().lock();
    let _ = write!(out, "{text}").and_then(|()| out.flush());
}

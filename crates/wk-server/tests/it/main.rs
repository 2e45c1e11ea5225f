//! The server over real loopback sockets: words, limits, bad input, slow readers, restarts.
#![allow(clippy::unwrap_used, missing_docs, reason = "tests")]

mod bad_input;
mod disk_failure;
mod harness;
mod limits;
mod restart;
mod serving;
mod tls;
mod words;

//! The product against real peers: one file per peer, one folder of helpers.
//!
//! Every module below is a group that `cargo xtask test` runs and counts by itself; a group named
//! after a peer in xtask's list that runs no test fails the whole command. Each test starts its own
//! servers on free ports (see [`harness`]), so all of them may run at once.
//!
//! `WATCHKEEPER_SUBJECT=apache` puts Apache ZooKeeper in the place of the server under test, which
//! checks the tests themselves.
#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    clippy::print_stderr,
    dead_code,
    reason = "a test reports by a panic with its line; the harness serves later files too"
)]

mod admin;
mod agent;
mod alarm;
mod browser;
mod canary;
mod channels;
mod crash;
mod curator;
mod damage;
mod disk;
mod ensembles;
mod faults;
mod guide;
mod harness;
mod host;
mod hostile;
mod kazoo;
mod keys;
mod logins;
mod probes;
mod product;
mod prometheus;
mod promql;
mod quiet;
mod raw;
mod recipes;
mod rules;
mod rust_client;
mod script;
mod secure;
mod sessions;
mod shell;
mod supervisor;
mod tap;
mod tls;
mod tools;
mod up;
mod words;
mod zkcli;

//! Starts the servers that the tests of this binary speak with.
//!
//! [`subject`] is the server under test, [`control`] is Apache ZooKeeper 3.9.5. Both live in a
//! folder of their own and end when the value is dropped; a failing test prints the end of their
//! logs. For more than the default (lines of zoo.cfg, JVM flags, an own folder to restart in) take
//! [`subject_spec`] or [`control_spec`] and `start` from them.

use std::any::Any;
use std::ops::{Deref, DerefMut};
use std::path::{Path, PathBuf};

use tempfile::TempDir;
use wk_peers::{Cache, Flavor, Peer, Server, ServerSpec};

/// A running server and the folder that goes with it.
pub(crate) struct Running {
    name: &'static str,
    server: Server,
    dir: TempDir,
    kept: Vec<Box<dyn Any>>,
}

impl Running {
    /// Keeps something, a connection say, for as long as the server runs.
    pub(crate) fn keep(&mut self, thing: impl Any) {
        self.kept.push(Box::new(thing));
    }

    /// The folder with zoo.cfg, log and `data`.
    pub(crate) fn dir(&self) -> &Path {
        self.dir.path()
    }
}

impl Deref for Running {
    type Target = Server;
    fn deref(&self) -> &Server {
        &self.server
    }
}

impl DerefMut for Running {
    fn deref_mut(&mut self) -> &mut Server {
        &mut self.server
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("--- end of the log of {}\n{}", self.name, self.server.process.tail());
        }
    }
}

/// The server under test, serving, with an empty tree.
pub(crate) fn subject() -> Running {
    run("the subject", subject_flavor())
}

/// Apache ZooKeeper 3.9.5, serving, with an empty tree.
pub(crate) fn control() -> Running {
    run("the control (Apache)", Flavor::Apache)
}

/// The server under test with AdminServer and metrics page.
pub(crate) fn subject_with_pages() -> Running {
    run_with_pages("the subject", subject_flavor())
}

/// Apache ZooKeeper 3.9.5 with AdminServer and metrics page.
pub(crate) fn control_with_pages() -> Running {
    run_with_pages("the control (Apache)", Flavor::Apache)
}

/// What [`subject`] starts, in a folder of the caller's.
pub(crate) fn subject_spec(dir: &Path) -> ServerSpec {
    ServerSpec::new(subject_flavor(), dir)
}

/// What [`control`] starts, in a folder of the caller's.
pub(crate) fn control_spec(dir: &Path) -> ServerSpec {
    ServerSpec::new(Flavor::Apache, dir)
}

/// Starts `spec`; on failure the panic carries the end of the server's log.
pub(crate) fn start(spec: &ServerSpec) -> Server {
    spec.start(&cache()).unwrap_or_else(|err| panic!("{err:#}"))
}

/// The cache of fetched peers.
pub(crate) fn cache() -> Cache {
    Cache::open().unwrap()
}

/// Fetches `peer` if it is not there and gives its folder.
pub(crate) fn peer(peer: Peer) -> PathBuf {
    peer.ensure(&cache(), &|what| eprintln!("{what}")).unwrap_or_else(|err| panic!("{err:#}"))
}

/// The product's binary.
pub(crate) fn binary() -> PathBuf {
    PathBuf::from(env!("CARGO_BIN_EXE_watchkeeper"))
}

fn subject_flavor() -> Flavor {
    match std::env::var("WATCHKEEPER_SUBJECT").as_deref() {
        Ok("apache") => Flavor::Apache,
        _ => Flavor::Watchkeeper(binary()),
    }
}

fn run_with_pages(name: &'static str, flavor: Flavor) -> Running {
    let dir = tempfile::tempdir().unwrap();
    let server = start(&ServerSpec::new(flavor, dir.path()).with_pages());
    Running { name, server, dir, kept: Vec::new() }
}

fn run(name: &'static str, flavor: Flavor) -> Running {
    let dir = tempfile::tempdir().unwrap();
    let server = start(&ServerSpec::new(flavor, dir.path()));
    Running { name, server, dir, kept: Vec::new() }
}

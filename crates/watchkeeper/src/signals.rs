//! The signals that end a long-running verb.

use anyhow::Context;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tracing::info;

/// SIGINT and SIGTERM, taken over from the moment this is made.
#[derive(Debug)]
pub(crate) struct Signals {
    interrupt: Signal,
    terminate: Signal,
    hang_up: Signal,
}

impl Signals {
    /// From now on these signals do not end the process by themselves.
    pub(crate) fn new() -> anyhow::Result<Self> {
        let take = |kind| signal(kind).context("listen for signals");
        Ok(Self {
            interrupt: take(SignalKind::interrupt())?,
            terminate: take(SignalKind::terminate())?,
            hang_up: take(SignalKind::hangup())?,
        })
    }

    /// Waits for the next one that asks us to end, and names it.
    pub(crate) async fn end(&mut self) -> &'static str {
        loop {
            tokio::select! {
                _ = self.interrupt.recv() => return "SIGINT",
                _ = self.terminate.recv() => return "SIGTERM",
                // Log rotation of old habits must not end us.
                _ = self.hang_up.recv() => {
                    info!("SIGHUP ignored: there is nothing to read again");
                }
            }
        }
    }
}

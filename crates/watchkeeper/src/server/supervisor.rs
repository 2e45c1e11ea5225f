//! What systemd is told and what it hands over; without systemd nothing happens.

use std::net::TcpListener;
use std::time::Duration;

use anyhow::Context as _;
use listenfd::ListenFd;
use sd_notify::NotifyState;
use tokio::task::AbortHandle;
use tracing::{info, warn};
use wk_server::ServerHandle;

/// The sockets of a .socket unit.
pub(super) fn sockets() -> anyhow::Result<Vec<TcpListener>> {
    let mut given = ListenFd::from_env();
    let mut sockets = Vec::new();
    for at in 0..given.len() {
        let socket = given.take_tcp_listener(at).with_context(|| {
            format!("socket {at} that was handed over (LISTEN_FDS): must be a TCP socket")
        })?;
        sockets.extend(socket);
    }
    Ok(sockets)
}

/// Ends what feeds the watchdog when it is dropped.
#[derive(Debug)]
pub(super) struct Supervised(Option<AbortHandle>);

impl Drop for Supervised {
    fn drop(&mut self) {
        if let Some(task) = self.0.take() {
            task.abort();
        }
    }
}

/// Says that the server serves, and from now on that it is alive: each time only after the thread
/// that serves has answered.
pub(super) fn serving(server: &ServerHandle) -> Supervised {
    let status = server.local_addr().map_or_else(String::new, |addr| format!("serving {addr}"));
    notify(&[NotifyState::Ready, NotifyState::Status(&status)]);
    let mut micros = 0;
    if !sd_notify::watchdog_enabled(false, &mut micros) {
        return Supervised(None);
    }
    let (server, every) = (server.clone(), Duration::from_micros(micros) / 2);
    info!(every_ms = every.as_millis(), "feeding the watchdog");
    let task = tokio::spawn(async move {
        let mut timer = tokio::time::interval(every);
        loop {
            timer.tick().await;
            if server.stats().await.is_err() {
                return;
            }
            notify(&[NotifyState::Watchdog]);
        }
    });
    Supervised(Some(task.abort_handle()))
}

/// Says that the server was told to stop.
pub(super) fn stopping() {
    notify(&[NotifyState::Stopping]);
}

fn notify(states: &[NotifyState<'_>]) {
    if let Err(err) = sd_notify::notify(false, states) {
        warn!(%err, "cannot tell systemd (NOTIFY_SOCKET)");
    }
}

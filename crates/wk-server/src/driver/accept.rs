//! Who is let in: the listening socket, and the limits on connections.

use super::connection::{Connection, slot_of};
use super::{Driver, LISTENER};
use crate::metrics::Counter;
use crate::socket::Transport;
use crate::zoo_cfg::ServerConfig;
use mio::net::{TcpListener, TcpStream, UnixStream};
use mio::{Interest, Poll, Token};
use std::collections::HashMap;
use std::io::ErrorKind;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::Duration;
use tracing::{debug, error, warn};
use wk_node::{ConnId, Input};
use wk_proto::Mono;

/// Connections accepted in one turn, so that a storm of them does not starve the others.
const ACCEPTS_A_TURN: usize = 64;
/// Pause after the process ran out of file descriptors.
const PAUSE: Duration = Duration::from_secs(1);

/// The listening socket and what it counts.
pub(super) struct Accepting {
    listener: Option<TcpListener>,
    /// The kernel may have more connections waiting.
    pub(super) ready: bool,
    /// When to try again after a failure.
    pub(super) retry_at: Mono,
    per_address: HashMap<IpAddr, u32>,
    per_address_max: u32,
    total_max: u32,
    keep_alive: bool,
}

impl Accepting {
    pub(super) fn new(listener: Option<TcpListener>, config: &ServerConfig) -> Self {
        Self {
            listener,
            ready: true,
            retry_at: Mono::NEVER,
            per_address: HashMap::new(),
            per_address_max: config.limits.client_cnxns_max,
            total_max: config.limits.cnxns_max,
            keep_alive: config.client_tcp_keep_alive,
        }
    }

    /// Takes in nobody any more.
    pub(super) fn stop(&mut self, poll: &Poll) {
        if let Some(mut listener) = self.listener.take()
            && let Err(err) = poll.registry().deregister(&mut listener)
        {
            debug!(%err, "cannot deregister the listening socket");
        }
        self.ready = false;
        self.retry_at = Mono::NEVER;
    }

    fn refuses(&self, ip: IpAddr, open: usize) -> bool {
        let total = self.total_max > 0 && open >= self.total_max as usize;
        let here = self.per_address.get(&ip).copied().unwrap_or(0);
        total || (self.per_address_max > 0 && here >= self.per_address_max)
    }

    pub(super) fn left(&mut self, peer: SocketAddr) {
        let ip = peer.ip().to_canonical();
        if let Some(count) = self.per_address.get_mut(&ip) {
            *count -= 1;
            if *count == 0 {
                self.per_address.remove(&ip);
            }
        }
    }
}

impl Driver {
    /// Accepts what waits, within the limits.
    pub(super) fn accept(&mut self) {
        if self.accepting.retry_at <= self.now.mono {
            self.accepting.retry_at = Mono::NEVER;
            self.accepting.ready = true;
        }
        if !self.accepting.ready {
            return;
        }
        for _ in 0..ACCEPTS_A_TURN {
            let Some(listener) = &self.accepting.listener else {
                self.accepting.ready = false;
                return;
            };
            match listener.accept() {
                Ok((stream, peer)) => self.admit(stream, peer),
                Err(err) if err.kind() == ErrorKind::WouldBlock => {
                    self.accepting.ready = false;
                    return;
                }
                // The client gave up before we came to it.
                Err(err) if err.kind() == ErrorKind::ConnectionAborted => {}
                Err(err) if err.kind() == ErrorKind::Interrupted => {}
                Err(err) => {
                    error!(%err, "cannot accept connections");
                    self.accepting.ready = false;
                    self.accepting.retry_at = self.now.mono.after(PAUSE);
                    return;
                }
            }
        }
    }

    fn admit(&mut self, stream: TcpStream, peer: SocketAddr) {
        let ip = peer.ip().to_canonical();
        if self.accepting.refuses(ip, self.connections.len()) {
            // Accepted and closed at once, as in Apache.
            self.registry.count(Counter::ConnectionRejected, 1);
            warn!(%peer, limit = self.accepting.per_address_max, "too many connections");
            return;
        }
        match Transport::tcp(stream, self.accepting.keep_alive) {
            Ok(transport) => {
                let peer = SocketAddr::new(ip, peer.port());
                if self.open(transport, Some(peer)).is_some() {
                    *self.accepting.per_address.entry(ip).or_default() += 1;
                }
            }
            Err(err) => debug!(%peer, %err, "connection was gone at once"),
        }
    }

    /// Takes in a client of this process. No limit counts it.
    pub(crate) fn open_local(&mut self, stream: UnixStream) {
        if self.stopping.is_none() {
            self.open(Transport::Local(stream), None);
        }
    }

    fn open(&mut self, mut transport: Transport, peer: Option<SocketAddr>) -> Option<ConnId> {
        let (slot, id) = self.connections.reserve()?;
        let interest = Interest::READABLE | Interest::WRITABLE;
        if let Err(err) = self.poll.registry().register(transport.source(), Token(slot), interest) {
            error!(%err, "cannot watch a connection");
            self.connections.release(slot);
            return None;
        }
        self.connections.insert(
            slot,
            Connection {
                id,
                transport,
                peer,
                input: Vec::new(),
                output: Vec::new(),
                written: 0,
                greeted: false,
                stopped: false,
                stalled: false,
                readable: false,
                finished: false,
                dirty: false,
                queued: false,
                closing: false,
                words: 0,
            },
        );
        let address = peer.unwrap_or_else(|| (Ipv4Addr::LOCALHOST, 0).into());
        self.step(Input::Opened { conn: id, peer: address });
        let patience = self.config.limits.sessionless_timeout;
        self.sessionless.push_back((self.now.mono.after(patience), id));
        Some(id)
    }

    /// Closes connections that have not brought a session in time.
    pub(super) fn close_sessionless(&mut self) {
        while let Some((deadline, id)) = self.sessionless.front().copied() {
            if deadline > self.now.mono {
                break;
            }
            self.sessionless.pop_front();
            let waits = self.node.connection(id);
            if waits.is_some_and(|connection| connection.session().0 == 0) {
                self.registry.count(Counter::SessionlessConnectionsExpired, 1);
                debug!(conn = id.0, "connection without a session");
                self.lose(id);
            }
        }
    }

    /// Registers the listening socket; connections register when they are opened.
    pub(crate) fn register_listener(
        poll: &Poll,
        listener: &mut TcpListener,
    ) -> std::io::Result<()> {
        poll.registry().register(listener, LISTENER, Interest::READABLE)
    }

    /// When a connection without a session is closed, for `dump`.
    pub(super) fn patience_of(&self, id: ConnId) -> Option<Mono> {
        let of = |queue: &std::collections::VecDeque<(Mono, ConnId)>| {
            queue.iter().find(|(_, other)| slot_of(*other) == slot_of(id) && *other == id).copied()
        };
        of(&self.sessionless).map(|(deadline, _)| deadline)
    }
}

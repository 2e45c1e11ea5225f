//! Who is let in: the listening sockets, and the limits on connections.

use super::connection::{Connection, slot_of};
use super::{Driver, LISTENERS};
use crate::metrics::Counter;
use crate::server::ExitReason;
use crate::socket::Transport;
use crate::tls::{DoorReport, Guest, Turned};
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

/// What is spoken at a listening socket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Speech {
    /// Plain bytes.
    Plain,
    /// TLS.
    Tls,
    /// Either, told by the first byte.
    Either,
}

/// Where a connection goes in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Entrance {
    /// As it is.
    Open,
    /// Past the doorman.
    Door,
    /// Nowhere: what must be encrypted is not taken plainly.
    Shut,
}

fn entrance(speech: Speech, has_doorman: bool) -> Entrance {
    match (speech, has_doorman) {
        (Speech::Plain, _) | (Speech::Either, false) => Entrance::Open,
        (Speech::Tls | Speech::Either, true) => Entrance::Door,
        (Speech::Tls, false) => Entrance::Shut,
    }
}

/// A listening socket. Its place in the list is its number.
pub(crate) struct Port {
    pub(crate) listener: TcpListener,
    pub(crate) speech: Speech,
}

/// The token of the listening socket with this number; there are few of them.
pub(crate) fn listener_token(number: usize) -> Token {
    Token(LISTENERS.0 - number)
}

/// The listening sockets and what they count.
pub(super) struct Accepting {
    ports: Vec<Port>,
    /// The kernel may have more connections waiting.
    pub(super) ready: bool,
    /// When to try again after a failure.
    pub(super) retry_at: Mono,
    /// Connections that are with the doorman.
    pub(super) at_the_door: usize,
    /// How many of them there may be.
    door_max: usize,
    per_address: HashMap<(usize, IpAddr), u32>,
    per_address_max: u32,
    total_max: u32,
    keep_alive: bool,
}

impl Accepting {
    pub(super) fn new(ports: Vec<Port>, config: &ServerConfig) -> Self {
        Self {
            ports,
            ready: true,
            retry_at: Mono::NEVER,
            at_the_door: 0,
            door_max: config.tls.as_ref().and_then(|tls| tls.handshakes_max).unwrap_or(usize::MAX),
            per_address: HashMap::new(),
            per_address_max: config.limits.client_cnxns_max,
            total_max: config.limits.cnxns_max,
            keep_alive: config.client_tcp_keep_alive,
        }
    }

    /// Takes in nobody any more.
    pub(super) fn stop(&mut self, poll: &Poll) {
        for mut port in self.ports.drain(..) {
            if let Err(err) = poll.registry().deregister(&mut port.listener) {
                debug!(%err, "cannot deregister a listening socket");
            }
        }
        self.ready = false;
        self.retry_at = Mono::NEVER;
    }

    fn refuses(&self, port: usize, ip: IpAddr, open: usize) -> bool {
        let total = self.total_max > 0 && open >= self.total_max as usize;
        let here = self.per_address.get(&(port, ip)).copied().unwrap_or(0);
        total || (self.per_address_max > 0 && here >= self.per_address_max)
    }

    fn came(&mut self, port: usize, ip: IpAddr) {
        *self.per_address.entry((port, ip)).or_default() += 1;
    }

    pub(super) fn left(&mut self, port: usize, peer: SocketAddr) {
        let key = (port, peer.ip().to_canonical());
        if let Some(count) = self.per_address.get_mut(&key) {
            *count -= 1;
            if *count == 0 {
                self.per_address.remove(&key);
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
        self.accepting.ready = false;
        for port in 0..self.accepting.ports.len() {
            self.accept_from(port);
        }
    }

    fn accept_from(&mut self, number: usize) {
        for _ in 0..ACCEPTS_A_TURN {
            let Some(port) = self.accepting.ports.get(number) else { return };
            let speech = port.speech;
            match port.listener.accept() {
                Ok((stream, peer)) => self.admit(stream, peer, number, speech),
                Err(err) if err.kind() == ErrorKind::WouldBlock => return,
                // The client gave up before we came to it.
                Err(err) if err.kind() == ErrorKind::ConnectionAborted => {}
                Err(err) if err.kind() == ErrorKind::Interrupted => {}
                Err(err) => {
                    error!(%err, "cannot accept connections");
                    self.accepting.retry_at = self.now.mono.after(PAUSE);
                    return;
                }
            }
        }
        // There may be more: the next turn goes on.
        self.accepting.ready = true;
    }

    fn admit(&mut self, stream: TcpStream, peer: SocketAddr, port: usize, speech: Speech) {
        let ip = peer.ip().to_canonical();
        let open = self.connections.len() + self.accepting.at_the_door;
        if self.accepting.refuses(port, ip, open) {
            // Accepted and closed at once, as in Apache.
            self.registry.count(Counter::ConnectionRejected, 1);
            warn!(%peer, limit = self.accepting.per_address_max, "too many connections");
            return;
        }
        if let Err(err) = Transport::prepare(&stream, self.accepting.keep_alive) {
            return debug!(%peer, %err, "connection was gone at once");
        }
        let peer = SocketAddr::new(ip, peer.port());
        self.accepting.came(port, ip);
        match (entrance(speech, self.doorman.is_some()), &self.doorman) {
            (Entrance::Door, Some(doorman)) => {
                if self.accepting.at_the_door >= self.accepting.door_max {
                    self.registry.count(Counter::TlsHandshakeExceeded, 1);
                    return self.accepting.left(port, peer);
                }
                self.accepting.at_the_door += 1;
                doorman.give(Guest { stream, peer, port, unified: speech == Speech::Either });
            }
            (Entrance::Open, _) => self.let_in(Transport::Tcp(stream), peer, port, None),
            _ => {
                self.registry.count(Counter::ConnectionRejected, 1);
                error!(%peer, "a port of TLS that nobody shakes hands at: closed");
                self.accepting.left(port, peer);
            }
        }
    }

    /// Takes in a client of the network, with the subject of its certificate.
    fn let_in(
        &mut self,
        transport: Transport,
        peer: SocketAddr,
        port: usize,
        subject: Option<&str>,
    ) {
        let opened =
            if self.stopping.is_none() { self.open(transport, Some(peer), port) } else { None };
        let Some(conn) = opened else { return self.accepting.left(port, peer) };
        if let Some(subject) = subject {
            let ids = self.node.tree().options().auth.certified(subject);
            self.step(Input::Identified { conn, ids: &ids });
            // What came right behind the handshake was read with it: no news comes of that.
        }
        if let Some(connection) = self.connections.get_mut(conn)
            && connection.transport.is_secure()
        {
            connection.readable = true;
            self.mark_ready(conn);
        }
    }

    /// What became of a connection at the door.
    pub(super) fn door_report(&mut self, report: DoorReport) {
        match report {
            DoorReport::Plain(Guest { stream, peer, port, .. }) => {
                self.accepting.at_the_door -= 1;
                self.let_in(Transport::Tcp(stream), peer, port, None);
            }
            DoorReport::Secure { stream, peer, port, subject } => {
                self.accepting.at_the_door -= 1;
                self.let_in(Transport::Tls(Box::new(stream)), peer, port, subject.as_deref());
            }
            DoorReport::Refused { peer, port, why } => {
                self.accepting.at_the_door -= 1;
                self.accepting.left(port, peer);
                match why {
                    Turned::Handshake => {
                        self.registry.count(Counter::UnsuccessfulHandshake, 1);
                        self.handshakes_failed += 1;
                    }
                    Turned::Silent => {
                        self.registry.count(Counter::SessionlessConnectionsExpired, 1);
                    }
                    Turned::Left => {}
                }
            }
            DoorReport::Panicked => {
                error!("the doorman's thread panicked: the server ends");
                self.exit = Some(ExitReason::Panicked);
            }
        }
    }

    /// Takes in a client of this process. No limit counts it.
    pub(crate) fn open_local(&mut self, stream: UnixStream) {
        if self.stopping.is_none() {
            self.open(Transport::Local(stream), None, 0);
        }
    }

    fn open(
        &mut self,
        mut transport: Transport,
        peer: Option<SocketAddr>,
        port: usize,
    ) -> Option<ConnId> {
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
                port,
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

    /// Registers the listening sockets; connections register when they are opened.
    pub(crate) fn register_ports(poll: &Poll, ports: &mut [Port]) -> std::io::Result<()> {
        for (number, port) in ports.iter_mut().enumerate() {
            let token = listener_token(number);
            poll.registry().register(&mut port.listener, token, Interest::READABLE)?;
        }
        Ok(())
    }

    /// When a connection without a session is closed, for `dump`.
    pub(super) fn patience_of(&self, id: ConnId) -> Option<Mono> {
        let of = |queue: &std::collections::VecDeque<(Mono, ConnId)>| {
            queue.iter().find(|(_, other)| slot_of(*other) == slot_of(id) && *other == id).copied()
        };
        of(&self.sessionless).map(|(deadline, _)| deadline)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_port_of_tls_takes_nobody_in_plainly() {
        assert_eq!(entrance(Speech::Tls, false), Entrance::Shut);
        assert_eq!(entrance(Speech::Tls, true), Entrance::Door);
        assert_eq!(entrance(Speech::Either, true), Entrance::Door);
        assert_eq!(entrance(Speech::Either, false), Entrance::Open);
        for has_doorman in [true, false] {
            assert_eq!(entrance(Speech::Plain, has_doorman), Entrance::Open);
        }
    }
}

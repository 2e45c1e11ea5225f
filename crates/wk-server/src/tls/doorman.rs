//! The doorman: a thread that shakes hands and hands over who is let in.
//!
//! The driver gives it each connection that came by a port with TLS. On a unified port the first
//! byte says what the client speaks: plain connections go back as they came. Every guest has the
//! same patience from its arrival on; a silent one costs a socket and nothing else.

use super::{Reloading, TlsStream};
use crate::mailbox::Mailbox;
use mio::net::TcpStream;
use mio::{Events, Interest, Poll, Token, Waker};
use rustls::ServerConnection;
use std::collections::{HashMap, VecDeque};
use std::io::{self, ErrorKind};
use std::net::SocketAddr;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};
use tracing::{debug, error};

/// The waker's token; guests count up from 0.
const WAKER: Token = Token(usize::MAX);
/// The first byte of a TLS handshake; no length of a frame and no four-letter word begins so.
const HANDSHAKE: u8 = 0x16;
/// News of sockets taken from the kernel at once.
const EVENTS_MAX: usize = 256;

/// A connection that waits at the door.
pub(crate) struct Guest {
    pub(crate) stream: TcpStream,
    pub(crate) peer: SocketAddr,
    /// By which listening socket it came.
    pub(crate) port: usize,
    /// It may speak plainly as well.
    pub(crate) unified: bool,
}

/// What became of a guest.
pub(crate) enum DoorReport {
    /// It speaks plainly; nothing was read from it.
    Plain(Guest),
    /// The handshake is over.
    Secure {
        /// The connection.
        stream: TlsStream,
        /// Where it came from.
        peer: SocketAddr,
        /// By which listening socket.
        port: usize,
        /// The subject of its certificate, if it showed one.
        subject: Option<String>,
    },
    /// It is gone.
    Refused {
        /// Where it came from.
        peer: SocketAddr,
        /// By which listening socket.
        port: usize,
        /// Why.
        why: Turned,
    },
    /// The thread has panicked: nobody comes in by TLS any more.
    Panicked,
}

/// Why a guest is gone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Turned {
    /// Its handshake failed or took too long.
    Handshake,
    /// It said nothing at all on a unified port for too long.
    Silent,
    /// It left by itself before it had said anything.
    Left,
}

enum Job {
    Guest(Guest),
    Stop,
}

/// The driver's end of the thread.
pub(crate) struct Doorman {
    jobs: Arc<Mailbox<Job>>,
    thread: Option<thread::JoinHandle<()>>,
}

impl Doorman {
    /// Starts the thread. `report` is called on it.
    pub(crate) fn start(
        tls: Reloading,
        patience: Duration,
        report: impl Fn(DoorReport) + Send + 'static,
    ) -> io::Result<Self> {
        let poll = Poll::new()?;
        let jobs = Arc::new(Mailbox::new(Waker::new(poll.registry(), WAKER)?));
        let door = Door {
            poll,
            jobs: Arc::clone(&jobs),
            tls,
            patience,
            guests: HashMap::new(),
            deadlines: VecDeque::new(),
            arrived: 0,
            report,
        };
        let thread = thread::Builder::new().name("wk-doorman".to_owned()).spawn(move || {
            let mut door = PanicGuard(door);
            door.0.run();
        })?;
        Ok(Self { jobs, thread: Some(thread) })
    }

    /// Gives it a connection.
    pub(crate) fn give(&self, guest: Guest) {
        self.jobs.post(Job::Guest(guest));
    }

    /// Ends the thread; guests are gone.
    pub(crate) fn stop(&mut self) {
        self.jobs.post(Job::Stop);
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
        {
            error!("the doorman's thread had panicked");
        }
    }
}

/// Says when the thread ends by a panic.
struct PanicGuard<R: Fn(DoorReport)>(Door<R>);

impl<R: Fn(DoorReport)> Drop for PanicGuard<R> {
    fn drop(&mut self) {
        if thread::panicking() {
            (self.0.report)(DoorReport::Panicked);
        }
    }
}

/// A guest and how far its handshake is.
struct Waiting {
    guest: Guest,
    /// `None` while it is unknown whether it speaks TLS.
    session: Option<Box<ServerConnection>>,
}

/// Where a guest stands after what could be done was done.
enum Stand {
    Waits,
    Plain,
    Done,
    Refused(String),
}

struct Door<R> {
    poll: Poll,
    jobs: Arc<Mailbox<Job>>,
    tls: Reloading,
    patience: Duration,
    guests: HashMap<usize, Waiting>,
    /// When each guest's patience ends, in the order of their arrival.
    deadlines: VecDeque<(Instant, usize)>,
    arrived: usize,
    report: R,
}

impl<R: Fn(DoorReport)> Door<R> {
    fn run(&mut self) {
        let mut events = Events::with_capacity(EVENTS_MAX);
        let mut jobs = Vec::new();
        loop {
            let timeout =
                if self.jobs.prepare_to_sleep() { self.timeout() } else { Some(Duration::ZERO) };
            if let Err(err) = self.poll.poll(&mut events, timeout)
                && err.kind() != ErrorKind::Interrupted
            {
                error!(%err, "the doorman cannot wait for sockets");
            }
            self.jobs.awake();
            self.jobs.take(&mut jobs);
            for job in jobs.drain(..) {
                match job {
                    Job::Guest(guest) => self.arrive(guest),
                    Job::Stop => return,
                }
            }
            for event in &events {
                if event.token() != WAKER {
                    self.attend(event.token().0);
                }
            }
            self.lose_patience();
        }
    }

    fn timeout(&self) -> Option<Duration> {
        let (deadline, _) = self.deadlines.front()?;
        let left = deadline.saturating_duration_since(Instant::now());
        // Rounded up: epoll counts in milliseconds, and a moment too early would spin.
        Some(left + Duration::from_micros(999))
    }

    fn arrive(&mut self, mut guest: Guest) {
        let number = self.arrived;
        self.arrived += 1;
        let interest = Interest::READABLE | Interest::WRITABLE;
        let watched = self.poll.registry().register(&mut guest.stream, Token(number), interest);
        if let Err(err) = watched {
            error!(%err, "cannot watch a connection");
            return self.refuse(guest, Turned::Left);
        }
        let unified = guest.unified;
        let mut waiting = Waiting { guest, session: None };
        if !unified && let Err(err) = self.begin(&mut waiting) {
            error!(%err, "cannot begin a handshake");
            return self.refuse(waiting.guest, Turned::Handshake);
        }
        self.guests.insert(number, waiting);
        self.deadlines.push_back((Instant::now() + self.patience, number));
        // The kernel tells what lies there already.
    }

    fn begin(&mut self, waiting: &mut Waiting) -> Result<(), rustls::Error> {
        let config = self.tls.current(Instant::now());
        waiting.session = Some(Box::new(ServerConnection::new(config)?));
        Ok(())
    }

    /// Does what can be done for a guest.
    fn attend(&mut self, number: usize) {
        let Some(mut waiting) = self.guests.remove(&number) else { return };
        if waiting.session.is_none() {
            match speaks_tls(&waiting.guest.stream) {
                Ok(Some(true)) => {
                    if let Err(err) = self.begin(&mut waiting) {
                        error!(%err, "cannot begin a handshake");
                        return self.refuse(waiting.guest, Turned::Handshake);
                    }
                }
                Ok(Some(false)) => return self.let_in(waiting, Stand::Plain),
                Ok(None) => {
                    self.guests.insert(number, waiting);
                    return;
                }
                Err(_) => return self.refuse(waiting.guest, Turned::Left),
            }
        }
        let stand = match &mut waiting.session {
            Some(session) => shake(session, &mut waiting.guest.stream),
            None => Stand::Waits,
        };
        if matches!(stand, Stand::Waits) {
            self.guests.insert(number, waiting);
        } else {
            self.let_in(waiting, stand);
        }
    }

    /// Reports a guest that waits no more.
    fn let_in(&mut self, waiting: Waiting, stand: Stand) {
        let Waiting { mut guest, session } = waiting;
        match (stand, session) {
            (Stand::Done, Some(session)) => {
                let Ok(subject) = subject_of(&session) else {
                    debug!(peer = %guest.peer, "the certificate has no subject that can be read");
                    return self.refuse(guest, Turned::Handshake);
                };
                if let Err(err) = self.poll.registry().deregister(&mut guest.stream) {
                    error!(%err, "cannot hand over a connection");
                    return self.refuse(guest, Turned::Handshake);
                }
                let (peer, port) = (guest.peer, guest.port);
                let stream = TlsStream::new(guest.stream, session);
                (self.report)(DoorReport::Secure { stream, peer, port, subject });
            }
            (Stand::Refused(why), _) => {
                debug!(peer = %guest.peer, why, "handshake failed");
                self.refuse(guest, Turned::Handshake);
            }
            _ => match self.poll.registry().deregister(&mut guest.stream) {
                Ok(()) => (self.report)(DoorReport::Plain(guest)),
                Err(err) => {
                    error!(%err, "cannot hand over a connection");
                    self.refuse(guest, Turned::Left);
                }
            },
        }
    }

    fn refuse(&self, guest: Guest, why: Turned) {
        let (peer, port) = (guest.peer, guest.port);
        drop(guest);
        (self.report)(DoorReport::Refused { peer, port, why });
    }

    /// Sends away who has taken too long.
    fn lose_patience(&mut self) {
        let now = Instant::now();
        while let Some((deadline, number)) = self.deadlines.front().copied() {
            if deadline > now {
                break;
            }
            self.deadlines.pop_front();
            if let Some(waiting) = self.guests.remove(&number) {
                debug!(peer = %waiting.guest.peer, "handshake took too long");
                let began = waiting.session.is_some();
                let why = if began { Turned::Handshake } else { Turned::Silent };
                self.refuse(waiting.guest, why);
            }
        }
        // Who was let in long ago leaves its deadline behind: they end by themselves, in order.
    }
}

/// What the first byte says; `None` before it came.
fn speaks_tls(stream: &TcpStream) -> io::Result<Option<bool>> {
    let mut first = [0];
    match stream.peek(&mut first) {
        Ok(0) => Err(ErrorKind::UnexpectedEof.into()),
        Ok(_) => Ok(Some(first[0] == HANDSHAKE)),
        Err(err) if matches!(err.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted) => {
            Ok(None)
        }
        Err(err) => Err(err),
    }
}

/// Goes on with a handshake until the socket has nothing more.
fn shake(session: &mut ServerConnection, stream: &mut TcpStream) -> Stand {
    loop {
        while session.wants_write() {
            match session.write_tls(stream) {
                Ok(_) => {}
                Err(err) if err.kind() == ErrorKind::WouldBlock => return Stand::Waits,
                Err(err) => return Stand::Refused(err.to_string()),
            }
        }
        if !session.is_handshaking() {
            return Stand::Done;
        }
        match session.read_tls(stream) {
            Ok(0) => return Stand::Refused("closed by the client".to_owned()),
            Ok(_) => {}
            Err(err) if err.kind() == ErrorKind::WouldBlock => return Stand::Waits,
            Err(err) if err.kind() == ErrorKind::Interrupted => {}
            Err(err) => return Stand::Refused(err.to_string()),
        }
        if let Err(err) = session.process_new_packets() {
            // The alert tells the client why.
            let _ = session.write_tls(stream);
            return Stand::Refused(err.to_string());
        }
    }
}

/// The subject of the client's certificate, if it showed one; `Err` if it cannot be read.
fn subject_of(session: &ServerConnection) -> Result<Option<String>, ()> {
    match session.peer_certificates().and_then(<[_]>::first) {
        None => Ok(None),
        Some(certificate) => wk_tls::subject(certificate).map(Some).ok_or(()),
    }
}

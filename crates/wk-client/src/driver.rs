//! The task that owns a session: turns sockets, timers and callers into inputs of the machine, and
//! its effects into bytes and answers. It decides nothing.

use std::collections::BTreeMap;
use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt, ReadHalf, WriteHalf};
use tokio::sync::{broadcast, mpsc, oneshot, watch};
use tokio::time::{Instant, Sleep};
use wk_proto::{Mono, OpCode};

use crate::error::Error;
use crate::events::{Queue, WatchEvent};
use crate::frames::{Frames, Next};
use crate::session::{
    Arm, Effect, Input, LinkId, Out, Reply, Session, State, Submit, Ticket, WatchId, WatchKind,
};
use crate::transport::{BoxFuture, Connect, Transport};

/// Requests taken from callers before the socket gets its turn.
const BATCH_MAX: usize = 64;
/// Read at once, at most.
const READ_CHUNK: usize = 64 * 1024;
/// A timer is never set further ahead.
const SLEEP_MAX: Duration = Duration::from_hours(1);

type Answer = oneshot::Sender<Result<Reply, Error>>;

/// What callers ask of the driver.
#[derive(Debug)]
pub(crate) enum Command {
    /// A request.
    Request {
        op: OpCode,
        body: Vec<u8>,
        deadline: Instant,
        watch: Option<NewWatch>,
        answer: Answer,
    },
    /// Further credentials.
    AddAuth { scheme: String, auth: Vec<u8>, answer: Answer },
    /// A watch's reader is gone.
    Unwatch(WatchId),
    /// The server has removed all watches of these kinds on a path.
    Removed(Vec<WatchKind>, String),
    /// End the session in good order.
    Close { deadline: Instant, answer: Answer },
    /// End at once without a word.
    Abandon,
}

/// A watch that a request arms.
#[derive(Debug)]
pub(crate) struct NewWatch {
    pub(crate) arm: Arm,
    pub(crate) queue: Arc<Queue>,
}

/// Why the last connection attempt failed, for messages to people.
#[derive(Debug, Default)]
pub(crate) struct LastError(Mutex<Option<String>>);

impl LastError {
    pub(crate) fn get(&self) -> Option<String> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn set(&self, text: String) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(text);
    }
}

/// The servers that a session may be at; they may be replaced while it lives.
#[derive(Debug)]
pub(crate) struct HostsInUse(Mutex<(Vec<String>, Option<usize>)>);

impl HostsInUse {
    /// `hosts` must not be empty.
    pub(crate) fn new(hosts: Vec<String>) -> Self {
        Self(Mutex::new((hosts, None)))
    }

    pub(crate) fn replace(&self, hosts: Vec<String>) {
        let mut inner = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if !hosts.is_empty() && inner.0 != hosts {
            *inner = (hosts, Some(0));
        }
    }

    /// The next to try: the machine's choice, or, where it counted others, each in turn.
    fn take(&self, chosen: usize) -> String {
        let mut inner = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let (hosts, turn) = &mut *inner;
        let at = turn.as_mut().map_or(chosen, |turn| {
            *turn = turn.wrapping_add(1);
            *turn
        });
        hosts[at % hosts.len()].clone()
    }
}

/// What the driver is made of, besides the machine.
pub(crate) struct Parts {
    pub(crate) connector: Arc<dyn Connect>,
    pub(crate) hosts: Arc<HostsInUse>,
    pub(crate) chroot: String,
    pub(crate) commands: mpsc::Receiver<Command>,
    pub(crate) state: watch::Sender<State>,
    pub(crate) log: broadcast::Sender<State>,
    pub(crate) last_error: Arc<LastError>,
}

struct Waiter {
    answer: Answer,
    watch: Option<WatchId>,
}

struct Connection {
    id: LinkId,
    host: String,
    reader: ReadHalf<Box<dyn Transport>>,
    writer: WriteHalf<Box<dyn Transport>>,
    frames: Frames,
    must_flush: bool,
}

type Dialing = (LinkId, String, BoxFuture<io::Result<Box<dyn Transport>>>);

/// See the module's head.
pub(crate) struct Driver {
    session: Session,
    out: Out,
    parts: Parts,
    origin: Instant,
    frame_max: usize,
    connection: Option<Connection>,
    dialing: Option<Dialing>,
    waiters: BTreeMap<Ticket, Waiter>,
    queues: BTreeMap<WatchId, Arc<Queue>>,
    next_ticket: u64,
    /// All handles are gone: the session is being closed for nobody.
    orphaned: bool,
}

/// What woke the driver.
enum Woken {
    Command(Option<Command>),
    Dialed(io::Result<Box<dyn Transport>>),
    Read(io::Result<usize>),
    Wrote(io::Result<usize>),
    Flushed(io::Result<()>),
    Time,
}

impl Driver {
    pub(crate) fn new(session: Session, frame_max: usize, origin: Instant, parts: Parts) -> Self {
        Self {
            session,
            out: Out::default(),
            parts,
            origin,
            frame_max,
            connection: None,
            dialing: None,
            waiters: BTreeMap::new(),
            queues: BTreeMap::new(),
            next_ticket: 0,
            orphaned: false,
        }
    }

    pub(crate) async fn run(mut self) {
        let mut sleep = Box::pin(tokio::time::sleep_until(self.origin));
        self.step(Input::Tick);
        while !self.session.is_finished() {
            let deadline = self.instant(self.session.next_timeout());
            if sleep.deadline() != deadline {
                sleep.as_mut().reset(deadline);
            }
            match self.wake(sleep.as_mut()).await {
                Woken::Command(command) => self.on_commands(command),
                Woken::Dialed(result) => self.on_dialed(result),
                Woken::Read(result) => self.on_read(&result),
                Woken::Wrote(result) => self.on_wrote(&result),
                Woken::Flushed(result) => self.on_flushed(&result),
                Woken::Time => self.step(Input::Tick),
            }
        }
        self.refuse_the_rest();
    }

    async fn wake(&mut self, sleep: Pin<&mut Sleep>) -> Woken {
        let dialing = self.dialing.as_mut().map(|(_, _, dial)| dial);
        let (reader, writer, frames, must_flush) = match &mut self.connection {
            Some(c) => {
                (Some(&mut c.reader), Some(&mut c.writer), Some(&mut c.frames), c.must_flush)
            }
            None => (None, None, None, false),
        };
        let wire = &self.out.wire;
        let takes_commands = self.session.has_room() && !self.orphaned;
        tokio::select! {
            biased;
            () = sleep => Woken::Time,
            result = read(reader, frames) => Woken::Read(result),
            result = write(writer, wire, must_flush) => result,
            result = dial(dialing) => Woken::Dialed(result),
            command = self.parts.commands.recv(), if takes_commands => Woken::Command(command),
        }
    }

    fn now(&self) -> Mono {
        Mono::default().after(self.origin.elapsed())
    }

    fn mono(&self, at: Instant) -> Mono {
        Mono::default().after(at.saturating_duration_since(self.origin))
    }

    fn instant(&self, at: Mono) -> Instant {
        let ahead = at.since(self.now()).min(SLEEP_MAX);
        Instant::now() + ahead
    }

    fn step(&mut self, input: Input<'_>) {
        let now = self.now();
        self.session.step(now, input, &mut self.out);
        self.carry_out();
    }

    fn carry_out(&mut self) {
        // Carrying one out may bring the next (a reader who is gone gives his watch back).
        while !self.out.effects.is_empty() {
            for effect in std::mem::take(&mut self.out.effects) {
                self.carry_out_one(effect);
            }
        }
    }

    fn carry_out_one(&mut self, effect: Effect) {
        match effect {
            Effect::Dial(link, host) => {
                self.connection = None;
                let host = self.parts.hosts.take(host);
                let dial = self.parts.connector.connect(&host);
                self.dialing = Some((link, host, dial));
            }
            Effect::Hangup => {
                self.connection = None;
                self.dialing = None;
            }
            Effect::Done(ticket, result) => self.on_done(ticket, result),
            Effect::Event { watches, kind, path, zxid } => {
                let path = strip(&self.parts.chroot, &path).to_owned();
                let event = WatchEvent { kind, path, zxid };
                self.tell(&watches, |queue| queue.push(event.clone()));
            }
            Effect::Resync(watches) => self.tell(&watches, Queue::resync),
            Effect::Ended(watches, why) => {
                for id in watches {
                    if let Some(queue) = self.queues.remove(&id) {
                        queue.end(why.clone());
                    }
                }
            }
            Effect::Published(state) => {
                let _ = self.parts.log.send(state);
                self.parts.state.send_replace(state);
            }
        }
    }

    fn on_done(&mut self, ticket: Ticket, result: Result<Reply, Error>) {
        let Some(waiter) = self.waiters.remove(&ticket) else { return };
        let gone = waiter.answer.send(result).is_err();
        if let Some(id) = waiter.watch
            && (gone || self.queues.get(&id).is_some_and(|queue| queue.is_abandoned()))
        {
            self.forget(id);
        }
    }

    fn tell(&mut self, watches: &[WatchId], say: impl Fn(&Queue) -> bool) {
        for id in watches {
            if self.queues.get(id).is_some_and(|queue| !say(queue)) {
                self.forget(*id);
            }
        }
    }

    /// A watch's reader is gone.
    fn forget(&mut self, id: WatchId) {
        self.queues.remove(&id);
        let now = self.now();
        self.session.step(now, Input::Unwatch(id), &mut self.out);
    }

    fn ticket(&mut self, answer: Answer, watch: Option<WatchId>) -> Ticket {
        self.next_ticket += 1;
        let ticket = Ticket(self.next_ticket);
        self.waiters.insert(ticket, Waiter { answer, watch });
        ticket
    }

    fn on_commands(&mut self, first: Option<Command>) {
        let Some(first) = first else {
            // The last handle is gone: close the session in good order, for nobody.
            self.orphaned = true;
            let (answer, _) = oneshot::channel();
            let deadline = Instant::now() + self.session.state().session_timeout / 3;
            self.on_command(Command::Close { deadline, answer });
            return;
        };
        self.on_command(first);
        for _ in 1..BATCH_MAX {
            if !self.session.has_room() {
                break;
            }
            let Ok(command) = self.parts.commands.try_recv() else { break };
            self.on_command(command);
        }
    }

    fn on_command(&mut self, command: Command) {
        match command {
            Command::Request { op, body, deadline, watch, answer } => {
                if answer.is_closed() {
                    // The caller gave up before the request left: it never will.
                    return;
                }
                let (arm, queue) = watch.map(|watch| (watch.arm, watch.queue)).unzip();
                let id = arm.as_ref().map(|arm| arm.id);
                if let (Some(id), Some(queue)) = (id, queue) {
                    self.queues.insert(id, queue);
                }
                let ticket = self.ticket(answer, id);
                let deadline = self.mono(deadline);
                self.step(Input::Submit(Submit { ticket, op, body, deadline, arm }));
            }
            Command::AddAuth { scheme, auth, answer } => {
                let ticket = self.ticket(answer, None);
                self.step(Input::AddAuth { ticket, scheme, auth });
            }
            Command::Unwatch(id) => {
                self.queues.remove(&id);
                self.step(Input::Unwatch(id));
            }
            Command::Removed(kinds, path) => self.step(Input::Removed(&kinds, &path)),
            Command::Close { deadline, answer } => {
                let ticket = self.ticket(answer, None);
                let deadline = self.mono(deadline);
                self.step(Input::Close(ticket, deadline));
            }
            Command::Abandon => self.step(Input::Abandon),
        }
    }

    fn on_dialed(&mut self, result: io::Result<Box<dyn Transport>>) {
        let Some((id, host, _)) = self.dialing.take() else { return };
        match result {
            Ok(stream) => {
                self.parts.last_error.set(format!("{host}: closed the connection"));
                let (reader, writer) = tokio::io::split(stream);
                let frames = Frames::default();
                self.connection =
                    Some(Connection { id, host, reader, writer, frames, must_flush: false });
                self.step(Input::Dialed(id));
            }
            Err(error) => {
                tracing::debug!(peer = %host, err = %error, "cannot connect");
                self.parts.last_error.set(format!("{host}: {error}"));
                self.step(Input::Broken(id));
            }
        }
    }

    fn on_read(&mut self, result: &io::Result<usize>) {
        let Some(connection) = &mut self.connection else { return };
        let id = connection.id;
        if !matches!(result, Ok(1..)) {
            if let Err(error) = result {
                // Over TLS this may be the server's refusal of our certificate.
                self.parts.last_error.set(format!("{}: {error}", connection.host));
            }
            self.step(Input::Broken(id));
            return;
        }
        let mut frames = std::mem::take(&mut connection.frames);
        self.drop_unwanted();
        let now = self.now();
        loop {
            let input = match frames.next(self.frame_max) {
                Next::Wait => break,
                Next::Garbage => Input::Broken(id),
                Next::Frame(bytes) => Input::Frame(id, bytes),
                Next::Oversized(head, len) => Input::Oversized(id, head, len),
            };
            let is_broken = matches!(input, Input::Broken(_));
            self.session.step(now, input, &mut self.out);
            self.carry_out();
            if is_broken || self.connection.is_none() {
                return;
            }
        }
        frames.compact();
        if let Some(connection) = &mut self.connection {
            connection.frames = frames;
        }
    }

    /// What waits may leave with the next frame: not for those who gave up meanwhile.
    fn drop_unwanted(&mut self) {
        if !self.session.has_waiting() {
            return;
        }
        let (waiters, queues) = (&mut self.waiters, &mut self.queues);
        self.session.retain_waiting(|ticket| {
            if waiters.get(&ticket).is_some_and(|waiter| !waiter.answer.is_closed()) {
                return true;
            }
            if let Some(id) = waiters.remove(&ticket).and_then(|waiter| waiter.watch) {
                queues.remove(&id);
            }
            false
        });
    }

    fn on_wrote(&mut self, result: &io::Result<usize>) {
        let Some(connection) = &mut self.connection else { return };
        match result {
            Ok(len) if *len > 0 => {
                self.out.wire.drain(..*len);
                connection.must_flush = true;
            }
            Ok(_) | Err(_) => {
                let id = connection.id;
                self.step(Input::Broken(id));
            }
        }
    }

    fn on_flushed(&mut self, result: &io::Result<()>) {
        let Some(connection) = &mut self.connection else { return };
        connection.must_flush = false;
        if result.is_err() {
            let id = connection.id;
            self.step(Input::Broken(id));
        }
    }

    /// The machine is finished: whoever still asks is told so.
    fn refuse_the_rest(&mut self) {
        self.carry_out();
        self.parts.commands.close();
        while let Ok(command) = self.parts.commands.try_recv() {
            self.on_command(command);
        }
    }
}

async fn dial(
    dialing: Option<&mut BoxFuture<io::Result<Box<dyn Transport>>>>,
) -> io::Result<Box<dyn Transport>> {
    match dialing {
        Some(dial) => dial.await,
        None => std::future::pending().await,
    }
}

async fn read(
    reader: Option<&mut ReadHalf<Box<dyn Transport>>>,
    frames: Option<&mut Frames>,
) -> io::Result<usize> {
    match (reader, frames) {
        (Some(reader), Some(frames)) => {
            frames.buf.reserve(READ_CHUNK);
            reader.read_buf(&mut frames.buf).await
        }
        _ => std::future::pending().await,
    }
}

async fn write(
    writer: Option<&mut WriteHalf<Box<dyn Transport>>>,
    wire: &[u8],
    must_flush: bool,
) -> Woken {
    match writer {
        Some(writer) if !wire.is_empty() => Woken::Wrote(writer.write(wire).await),
        Some(writer) if must_flush => Woken::Flushed(writer.flush().await),
        _ => std::future::pending().await,
    }
}

/// A server's path, relative to the chroot.
pub(crate) fn strip<'p>(chroot: &str, path: &'p str) -> &'p str {
    match path.strip_prefix(chroot) {
        Some("") => "/",
        Some(rest) if rest.starts_with('/') => rest,
        // Not below the chroot: cannot come, and is better shown than hidden.
        _ => path,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn chroot_is_stripped_by_component() {
        assert_eq!(strip("", "/a"), "/a");
        assert_eq!(strip("/app", "/app"), "/");
        assert_eq!(strip("/app", "/app/x"), "/x");
        assert_eq!(strip("/app", "/apple"), "/apple");
    }
}

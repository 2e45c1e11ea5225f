//! A server that is played: words and a metrics page of its own, all other bytes of its client port
//! passed on to a real server, so that sessions, canary and registry are real.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::Instant;

use anyhow::{Context, Result};
use wk_peers::wait;

use super::page::{Page, Role};

/// Small: hundreds of them only copy bytes.
const STACK: usize = 256 << 10;
/// What real servers of that version say.
const VERSION: &str = "Zookeeper version: 3.9.5-0000000, built on 2026-01-28 20:28 UTC";

/// Who it is.
#[derive(Clone, Debug)]
pub(super) struct Part {
    pub(super) role: Role,
    pub(super) sid: usize,
    pub(super) client: u16,
    pub(super) page: u16,
    /// The client port of the real server behind it.
    pub(super) backend: u16,
    /// The `server.N` lines of all members.
    pub(super) members: String,
}

/// A running stand-in.
pub(super) struct StandIn {
    pub(super) part: Part,
    shared: Arc<Shared>,
    accepting: Vec<JoinHandle<()>>,
}

/// Answers on one connection.
type Serve = fn(&Shared, TcpStream);

struct Shared {
    part: Part,
    page: Arc<Page>,
    begun: Instant,
    dead: AtomicBool,
    open: Mutex<BTreeMap<u64, TcpStream>>,
    next: AtomicU64,
}

impl StandIn {
    /// Begins to answer.
    ///
    /// # Errors
    /// When a port is taken.
    pub(super) fn start(part: Part, page: Arc<Page>, begun: Instant) -> Result<Self> {
        let shared = Arc::new(Shared {
            part: part.clone(),
            page,
            begun,
            dead: AtomicBool::new(false),
            open: Mutex::default(),
            next: AtomicU64::new(0),
        });
        let serve: [(u16, Serve); 2] = [(part.client, client), (part.page, page_reader)];
        let mut accepting = Vec::new();
        for (port, serve) in serve {
            let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, port));
            let listener = listener.with_context(|| format!("listen on {port}"))?;
            let shared = Arc::clone(&shared);
            accepting.push(thread(move || accept(&listener, &shared, serve))?);
        }
        Ok(Self { part, shared, accepting })
    }

    /// Its client port's address.
    pub(super) fn instance(&self) -> String {
        format!("127.0.0.1:{}", self.part.client)
    }

    /// Ends all at once, as kill -9 does: connections are cut, its ports refuse.
    pub(super) fn kill(&mut self) {
        self.shared.dead.store(true, Ordering::SeqCst);
        for port in [self.part.client, self.part.page] {
            // Wakes who accepts; whether it still does is no matter.
            let _ = TcpStream::connect((Ipv4Addr::LOCALHOST, port));
        }
        for accepting in self.accepting.drain(..) {
            let _ = accepting.join();
        }
        for (_, socket) in std::mem::take(&mut *self.shared.open()) {
            let _ = socket.shutdown(Shutdown::Both);
        }
    }
}

impl Drop for StandIn {
    fn drop(&mut self) {
        self.kill();
    }
}

impl Shared {
    fn open(&self) -> MutexGuard<'_, BTreeMap<u64, TcpStream>> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn thread(work: impl FnOnce() + Send + 'static) -> Result<JoinHandle<()>> {
    let started = std::thread::Builder::new().stack_size(STACK).spawn(work);
    started.context("start a thread")
}

fn accept(listener: &TcpListener, shared: &Arc<Shared>, serve: Serve) {
    for socket in listener.incoming() {
        if shared.dead.load(Ordering::SeqCst) {
            return;
        }
        let Ok(socket) = socket else { continue };
        let Ok(kept) = socket.try_clone() else { continue };
        let _ = socket.set_nodelay(true);
        let id = shared.next.fetch_add(1, Ordering::Relaxed);
        shared.open().insert(id, kept);
        let of_it = Arc::clone(shared);
        let _ = thread(move || {
            serve(&of_it, socket);
            of_it.open().remove(&id);
        });
    }
}

/// A word, or a session.
fn client(shared: &Shared, mut socket: TcpStream) {
    let mut first = [0; 4];
    if socket.read_exact(&mut first).is_err() {
        return;
    }
    let part = &shared.part;
    let answer = match &first {
        b"srvr" => srvr(part),
        b"conf" => conf(part),
        b"mntr" | b"ruok" | b"stat" => {
            let word = String::from_utf8_lossy(&first);
            format!("{word} is not executed because it is not in the whitelist.\n")
        }
        _ => return pass_on(part.backend, &first, &socket),
    };
    let _ = socket.write_all(answer.as_bytes());
}

/// The real server's own words, with the part's version and role.
fn srvr(part: &Part) -> String {
    let text = wait::four_letter(part.backend, "srvr").unwrap_or_default();
    let line = |line: &str| match line.split(':').next() {
        Some("Zookeeper version") => VERSION.to_owned(),
        Some("Mode") => format!("Mode: {}", part.role.as_str()),
        _ => line.to_owned(),
    };
    text.lines().map(|text| line(text) + "\n").collect()
}

fn conf(part: &Part) -> String {
    let Part { client, sid, members, .. } = part;
    format!(
        "clientPort={client}\nsecureClientPort=-1\ndataDir=/var/lib/zookeeper/version-2\n\
         dataLogDir=/var/lib/zookeeper/version-2\ntickTime=2000\nmaxClientCnxns=60\n\
         minSessionTimeout=4000\nmaxSessionTimeout=40000\nserverId={sid}\ninitLimit=10\n\
         syncLimit=5\nelectionAlg=3\nelectionPort=3888\nquorumPort=2888\npeerType=0\n\
         membership: \n{members}version=0"
    )
}

fn pass_on(backend: u16, first: &[u8], socket: &TcpStream) {
    let both = || {
        let mut server = TcpStream::connect(SocketAddr::from((Ipv4Addr::LOCALHOST, backend)))?;
        server.set_nodelay(true)?;
        server.write_all(first)?;
        Ok::<_, std::io::Error>((server.try_clone()?, socket.try_clone()?, server))
    };
    let Ok((mut to_server, mut from_client, mut from_server)) = both() else { return };
    let up = thread(move || {
        let _ = std::io::copy(&mut from_client, &mut to_server);
        let _ = to_server.shutdown(Shutdown::Both);
    });
    let _ = std::io::copy(&mut from_server, &mut &*socket);
    let _ = socket.shutdown(Shutdown::Both);
    if let Ok(up) = up {
        let _ = up.join();
    }
}

/// One reader of the page, as often as it asks.
fn page_reader(shared: &Shared, mut socket: TcpStream) {
    let Ok(reading) = socket.try_clone() else { return };
    let mut lines = BufReader::new(reading).lines();
    loop {
        // The head ends with an empty line; nobody sends a body.
        loop {
            match lines.next() {
                Some(Ok(line)) if line.is_empty() => break,
                Some(Ok(_)) => (),
                Some(Err(_)) | None => return,
            }
        }
        let page = shared.page.show(shared.begun.elapsed());
        let head = "HTTP/1.1 200 OK\r\nContent-Type: text/plain; version=0.0.4; charset=utf-8";
        let answer = format!("{head}\r\nContent-Length: {}\r\n\r\n{page}", page.len());
        if socket.write_all(answer.as_bytes()).is_err() {
            return;
        }
    }
}

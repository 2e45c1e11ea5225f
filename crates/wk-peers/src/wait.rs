//! Waiting for facts instead of for time, and ports that nobody holds.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicU16, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

/// The deadline of a wait that a healthy machine, however busy, ends long before.
pub const LONG: Duration = Duration::from_mins(1);

/// Polls `fact` until it gives something, for at most `within`.
///
/// # Errors
/// Names `what` when the deadline passes, and the last error that `fact` gave.
pub fn until<T>(
    what: &str,
    within: Duration,
    mut fact: impl FnMut() -> Result<Option<T>>,
) -> Result<T> {
    let end = Instant::now() + within;
    loop {
        let last = match fact() {
            Ok(Some(value)) => return Ok(value),
            Ok(None) => None,
            Err(err) => Some(err),
        };
        if Instant::now() >= end {
            let why = last.map(|err| format!(": {err:#}")).unwrap_or_default();
            bail!("waited {} s for {what}{why}", within.as_secs());
        }
        thread::sleep(Duration::from_millis(20));
    }
}

/// `n` different TCP ports on 127.0.0.1 that were free a moment ago.
///
/// All are held at once while they are chosen. Another process can still take one before it is
/// used, so whoever starts a server must be ready to try again with others.
pub fn free_ports<const N: usize>() -> Result<[u16; N]> {
    let mut held = Vec::with_capacity(N);
    let mut ports = [0; N];
    for port in &mut ports {
        let listener = TcpListener::bind(("127.0.0.1", 0)).context("find a free port")?;
        *port = listener.local_addr().context("read the port")?.port();
        held.push(listener);
    }
    Ok(ports)
}

/// Where the search of [`lasting_ports`] goes on in this process.
static NEXT_PORT: AtomicU16 = AtomicU16::new(0);

/// `n` different free TCP ports on 127.0.0.1 for servers that stop and start again.
///
/// They lie below the range that the kernel gives to outgoing connections (32768 and up unless
/// changed), so that no client can sit on one while its server is down. As with [`free_ports`]
/// another process can still take one.
pub fn lasting_ports(n: usize) -> Result<Vec<u16>> {
    const FIRST: u16 = 12_000;
    const COUNT: u16 = 20_000;
    // Processes that run side by side begin at different places.
    let process = u16::try_from(std::process::id() % u32::from(COUNT)).unwrap_or(0);
    let mut ports = Vec::with_capacity(n);
    for _ in 0..COUNT {
        if ports.len() == n {
            return Ok(ports);
        }
        let step = NEXT_PORT.fetch_add(1, Ordering::Relaxed) % COUNT;
        let offset = (u32::from(process) * 131 + u32::from(step)) % u32::from(COUNT);
        let port = FIRST + u16::try_from(offset).unwrap_or(0);
        if TcpListener::bind(("127.0.0.1", port)).is_ok() {
            ports.push(port);
        }
    }
    bail!("found {} free ports of the {n} wanted", ports.len())
}

/// Sends a four-letter word to a server on loopback and reads the answer to its end.
pub fn four_letter(port: u16, word: &str) -> Result<String> {
    four_letter_at(SocketAddr::from(([127, 0, 0, 1], port)), word)
}

/// Sends a four-letter word to a server anywhere and reads the answer to its end.
pub fn four_letter_at(addr: SocketAddr, word: &str) -> Result<String> {
    let mut socket = TcpStream::connect_timeout(&addr, Duration::from_secs(2))
        .with_context(|| format!("connect to {addr}"))?;
    socket.set_read_timeout(Some(Duration::from_secs(5))).context("set a read timeout")?;
    socket.write_all(word.as_bytes()).with_context(|| format!("send {word}"))?;
    let mut text = Vec::new();
    socket.read_to_end(&mut text).with_context(|| format!("read the answer to {word}"))?;
    Ok(String::from_utf8_lossy(&text).into_owned())
}

/// Sends `GET path` to a server on loopback and gives status line and body.
pub fn http_get(port: u16, path: &str) -> Result<(String, String)> {
    let addr = SocketAddr::from(([127, 0, 0, 1], port));
    let mut socket = TcpStream::connect_timeout(&addr, Duration::from_secs(2))
        .with_context(|| format!("connect to {addr}"))?;
    socket.set_read_timeout(Some(Duration::from_secs(10))).context("set a read timeout")?;
    // HTTP/1.0: the body ends with the connection and is never chunked.
    let request = format!("GET {path} HTTP/1.0\r\nHost: 127.0.0.1:{port}\r\n\r\n");
    socket.write_all(request.as_bytes()).context("send the request")?;
    let mut answer = Vec::new();
    socket.read_to_end(&mut answer).context("read the answer")?;
    let answer = String::from_utf8_lossy(&answer).into_owned();
    let (head, body) = answer.split_once("\r\n\r\n").context("no end of the HTTP head")?;
    Ok((head.lines().next().unwrap_or_default().to_owned(), body.to_owned()))
}

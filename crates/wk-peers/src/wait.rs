//! Waiting for facts instead of for time, and ports that nobody holds.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
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

/// Sends a four-letter word to a server on loopback and reads the answer to its end.
pub fn four_letter(port: u16, word: &str) -> Result<String> {
    let addr = SocketAddr::from(([127, 0, 0, 1], port));
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

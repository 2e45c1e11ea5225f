//! A raw connection: whole frames out and in, nothing interpreted.

use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use anyhow::{Context, Result, bail};

/// Longer than any healthy server takes to answer, shorter than anybody's patience.
const SILENCE_MAX: Duration = Duration::from_secs(20);

/// What came in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Received {
    /// A frame, without its length.
    Frame(Vec<u8>),
    /// The server closed the connection.
    Closed,
}

/// A TCP connection to a server on loopback.
#[derive(Debug)]
pub struct Wire {
    socket: TcpStream,
}

impl Wire {
    /// Connects; sends nothing.
    pub fn connect(port: u16) -> Result<Self> {
        let addr = SocketAddr::from(([127, 0, 0, 1], port));
        let socket = TcpStream::connect(addr).with_context(|| format!("connect to {addr}"))?;
        socket.set_nodelay(true).context("turn Nagle off")?;
        socket.set_read_timeout(Some(SILENCE_MAX)).context("set a read timeout")?;
        Ok(Self { socket })
    }

    /// Sends bytes as they are.
    pub fn send_bytes(&mut self, bytes: &[u8]) -> Result<()> {
        self.socket.write_all(bytes).context("send")
    }

    /// Sends a frame after its length.
    pub fn send(&mut self, frame: &[u8]) -> Result<()> {
        let len = u32::try_from(frame.len()).context("a frame of more than 4 GiB")?;
        let mut bytes = len.to_be_bytes().to_vec();
        bytes.extend_from_slice(frame);
        self.send_bytes(&bytes)
    }

    /// The next frame, or the end of the connection.
    ///
    /// # Errors
    /// When nothing comes for 20 s, or the connection ends inside a frame.
    pub fn receive(&mut self) -> Result<Received> {
        let mut head = [0; 4];
        let mut have = 0;
        while have < head.len() {
            match self.socket.read(&mut head[have..]) {
                Ok(0) if have == 0 => return Ok(Received::Closed),
                Ok(0) => bail!("the connection ended inside a length"),
                Ok(read) => have += read,
                Err(err) if err.kind() == ErrorKind::Interrupted => (),
                Err(err) if is_reset(&err) && have == 0 => return Ok(Received::Closed),
                Err(err) => return Err(err).context("wait for an answer"),
            }
        }
        let len = u32::from_be_bytes(head);
        if len > 64 << 20 {
            bail!("a frame of {len} bytes");
        }
        let mut frame = vec![0; len as usize];
        self.socket.read_exact(&mut frame).context("read a frame")?;
        Ok(Received::Frame(frame))
    }
}

/// A server that closes with unread bytes before it resets the connection.
fn is_reset(err: &std::io::Error) -> bool {
    matches!(err.kind(), ErrorKind::ConnectionReset | ErrorKind::BrokenPipe)
}

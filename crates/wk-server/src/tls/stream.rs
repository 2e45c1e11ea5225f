//! A TLS connection as a transport: plain bytes in and out of a non-blocking socket.

use mio::net::TcpStream;
use rustls::ServerConnection;
use std::io::{self, ErrorKind, Read as _, Write as _};

/// Plain bytes that are encrypted for one call to the kernel.
const CHUNK: usize = 64 << 10;

/// A connection whose handshake is over.
pub(crate) struct TlsStream {
    socket: TcpStream,
    session: Box<ServerConnection>,
    /// Plain bytes whose ciphertext the kernel has not wholly taken yet.
    owed: usize,
}

impl TlsStream {
    pub(super) fn new(socket: TcpStream, session: Box<ServerConnection>) -> Self {
        Self { socket, session, owed: 0 }
    }

    pub(crate) fn socket(&mut self) -> &mut TcpStream {
        &mut self.socket
    }

    /// Reads what is there; `WouldBlock` says that everything was read, a short read does not.
    pub(crate) fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        loop {
            match self.session.reader().read(into) {
                Err(err) if err.kind() == ErrorKind::WouldBlock => {}
                other => return other,
            }
            if self.session.read_tls(&mut self.socket)? == 0 {
                // The end without a farewell; the reader says so next.
                self.session.process_new_packets().map_err(io::Error::other)?;
                return self.session.reader().read(into);
            }
            if let Err(err) = self.session.process_new_packets() {
                // The alert that says why; it is of no matter whether it arrives.
                let _ = self.session.write_tls(&mut self.socket);
                return Err(io::Error::other(err));
            }
        }
    }

    /// Writes the begin of `bytes` and says how many of them the kernel has, encrypted. After
    /// `WouldBlock` the same bytes must come again first: some of them may be on their way.
    pub(crate) fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.owed == 0 {
            self.owed = self.session.writer().write(&bytes[..bytes.len().min(CHUNK)])?;
        }
        while self.session.wants_write() {
            self.session.write_tls(&mut self.socket)?;
        }
        Ok(std::mem::take(&mut self.owed))
    }

    /// Says farewell, as far as the kernel takes it.
    pub(crate) fn shutdown(&mut self) {
        self.session.send_close_notify();
        let _ = self.session.write_tls(&mut self.socket);
        let _ = self.socket.shutdown(std::net::Shutdown::Both);
    }
}

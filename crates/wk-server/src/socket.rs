//! Sockets: how the server listens, and the transports that connections come by.

use crate::tls::TlsStream;
use mio::net::{TcpListener, TcpStream, UnixStream};
use socket2::{Domain, Protocol, SockAddr, Socket, TcpKeepalive, Type};
use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, Shutdown, SocketAddr};

/// Java's default when no backlog is configured.
const BACKLOG_DEFAULT: u32 = 50;

/// Listens on an address; the unspecified IPv6 address takes in IPv4 as well, as Java's does.
pub(crate) fn listen(addr: SocketAddr, backlog: Option<u32>) -> io::Result<TcpListener> {
    match bind(addr, backlog) {
        // A machine without IPv6.
        Err(err) if addr.ip().is_unspecified() && addr.is_ipv6() && no_ipv6(&err) => {
            bind((Ipv4Addr::UNSPECIFIED, addr.port()).into(), backlog)
        }
        other => other,
    }
}

fn no_ipv6(err: &io::Error) -> bool {
    use rustix::io::Errno;
    [Errno::AFNOSUPPORT, Errno::ADDRNOTAVAIL]
        .iter()
        .any(|errno| err.raw_os_error() == Some(errno.raw_os_error()))
}

fn bind(addr: SocketAddr, backlog: Option<u32>) -> io::Result<TcpListener> {
    let socket = Socket::new(Domain::for_address(addr), Type::STREAM, Some(Protocol::TCP))?;
    socket.set_reuse_address(true)?;
    if addr.is_ipv6() {
        socket.set_only_v6(false)?;
    }
    socket.set_nonblocking(true)?;
    socket.bind(&SockAddr::from(addr))?;
    let backlog = i32::try_from(backlog.unwrap_or(BACKLOG_DEFAULT)).unwrap_or(i32::MAX);
    socket.listen(backlog)?;
    Ok(TcpListener::from_std(socket.into()))
}

/// A socket that listens already, made ready for the driver's loop.
pub(crate) fn take_over(socket: std::net::TcpListener) -> io::Result<TcpListener> {
    socket.set_nonblocking(true)?;
    Ok(TcpListener::from_std(socket))
}

/// How a connection's bytes travel.
pub(crate) enum Transport {
    /// From a client over TCP.
    Tcp(TcpStream),
    /// From a client over TLS.
    Tls(Box<TlsStream>),
    /// From a client in this process.
    Local(UnixStream),
}

impl Transport {
    /// Sets a TCP connection up as Apache does: no delay, no lingering.
    pub(crate) fn prepare(stream: &TcpStream, keep_alive: bool) -> io::Result<()> {
        stream.set_nodelay(true)?;
        if keep_alive {
            socket2::SockRef::from(stream).set_tcp_keepalive(&TcpKeepalive::new())?;
        }
        Ok(())
    }

    /// Encrypted?
    pub(crate) fn is_secure(&self) -> bool {
        matches!(self, Self::Tls(_))
    }

    pub(crate) fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::Tcp(stream) => stream.read(into),
            Self::Tls(stream) => stream.read(into),
            Self::Local(stream) => stream.read(into),
        }
    }

    pub(crate) fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Self::Tcp(stream) => stream.write(bytes),
            Self::Tls(stream) => stream.write(bytes),
            Self::Local(stream) => stream.write(bytes),
        }
    }

    /// Ends both directions; what the kernel holds is still sent.
    pub(crate) fn shutdown(&mut self) {
        // It may be gone already, which is what is wanted.
        let _ = match self {
            Self::Tcp(stream) => stream.shutdown(Shutdown::Both),
            Self::Tls(stream) => {
                stream.shutdown();
                Ok(())
            }
            Self::Local(stream) => stream.shutdown(Shutdown::Both),
        };
    }

    pub(crate) fn source(&mut self) -> &mut dyn mio::event::Source {
        match self {
            Self::Tcp(stream) => stream,
            Self::Tls(stream) => stream.socket(),
            Self::Local(stream) => stream,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unspecified_address_takes_in_both_families() {
        let listener = listen("[::]:0".parse().unwrap(), None).unwrap();
        let port = listener.local_addr().unwrap().port();
        std::net::TcpStream::connect(("127.0.0.1", port)).unwrap();
        if listener.local_addr().unwrap().is_ipv6() {
            std::net::TcpStream::connect(("::1", port)).unwrap();
        }
    }

    #[test]
    fn taken_port_is_an_error() {
        let first = listen("127.0.0.1:0".parse().unwrap(), Some(1)).unwrap();
        let err = listen(first.local_addr().unwrap(), None).unwrap_err();
        assert_eq!(err.kind(), io::ErrorKind::AddrInUse);
    }
}

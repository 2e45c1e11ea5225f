//! Bounds around a listening socket: so many connections, and none that is silent for ever.
//!
//! axum accepts without limit and waits for a request without end; a few idle clients would then
//! keep everybody else out. A connection beyond the limit waits in the kernel's backlog.

use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use axum::serve::Listener;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{Instant, Sleep, sleep};

/// What a listener allows.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Bounds {
    /// Connections open at a time.
    pub(crate) connections_max: usize,
    /// How long a connection may be without a byte in either direction.
    pub(crate) idle: Duration,
}

/// A TCP listener that keeps to its [`Bounds`].
#[derive(Debug)]
pub(crate) struct BoundedListener {
    inner: TcpListener,
    permits: Arc<Semaphore>,
    idle: Duration,
}

impl BoundedListener {
    pub(crate) fn new(inner: TcpListener, bounds: Bounds) -> Self {
        let permits = Arc::new(Semaphore::new(bounds.connections_max));
        Self { inner, permits, idle: bounds.idle }
    }
}

impl Listener for BoundedListener {
    type Io = BoundedStream;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (Self::Io, SocketAddr) {
        let permits = Arc::clone(&self.permits);
        let permit = permits.acquire_owned().await.expect("nobody closes this semaphore");
        let (stream, peer) = Listener::accept(&mut self.inner).await;
        // Live pages are small writes that must not wait for each other; without it they still work.
        let _ = stream.set_nodelay(true);
        let sleep = Box::pin(sleep(self.idle));
        (BoundedStream { stream, sleep, idle: self.idle, _permit: permit }, peer)
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        self.inner.local_addr()
    }
}

/// A connection that fails with `TimedOut` when it was silent for too long.
#[derive(Debug)]
pub(crate) struct BoundedStream {
    stream: TcpStream,
    sleep: Pin<Box<Sleep>>,
    idle: Duration,
    _permit: OwnedSemaphorePermit,
}

impl BoundedStream {
    fn touch(&mut self) {
        self.sleep.as_mut().reset(Instant::now() + self.idle);
    }

    fn poll_idle<T>(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<T>> {
        ready!(self.sleep.as_mut().poll(cx));
        Poll::Ready(Err(io::ErrorKind::TimedOut.into()))
    }
}

impl AsyncRead for BoundedStream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        match Pin::new(&mut self.stream).poll_read(cx, buf) {
            Poll::Ready(result) => {
                self.touch();
                Poll::Ready(result)
            }
            Poll::Pending => self.poll_idle(cx),
        }
    }
}

impl AsyncWrite for BoundedStream {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        match Pin::new(&mut self.stream).poll_write(cx, buf) {
            Poll::Ready(result) => {
                self.touch();
                Poll::Ready(result)
            }
            Poll::Pending => self.poll_idle(cx),
        }
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    use super::*;

    async fn serve(bounds: Bounds) -> SocketAddr {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let addr = listener.local_addr().unwrap();
        let app = axum::Router::new().route("/", axum::routing::get(|| async { "here" }));
        tokio::spawn(async move {
            let _ = axum::serve(BoundedListener::new(listener, bounds), app).await;
        });
        addr
    }

    #[tokio::test]
    async fn silent_connection_is_closed() {
        let bounds = Bounds { connections_max: 8, idle: Duration::from_millis(50) };
        let mut silent = TcpStream::connect(serve(bounds).await).await.unwrap();
        let mut read = Vec::new();
        // Ends only because the server closes it.
        let _ = silent.read_to_end(&mut read).await;
        assert!(read.is_empty());
    }

    #[tokio::test]
    async fn connection_beyond_the_limit_waits_its_turn() {
        let bounds = Bounds { connections_max: 1, idle: Duration::from_mins(1) };
        let addr = serve(bounds).await;
        let first = TcpStream::connect(addr).await.unwrap();
        let mut second = TcpStream::connect(addr).await.unwrap();
        let ask = b"GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n";
        second.write_all(ask).await.unwrap();
        let mut start = [0; 1];
        let early = tokio::time::timeout(Duration::from_millis(100), second.read(&mut start)).await;
        assert!(early.is_err(), "answered beyond the limit");
        drop(first);
        let mut rest = String::new();
        second.read_to_string(&mut rest).await.unwrap();
        assert!(rest.ends_with("here"), "{rest}");
    }
}

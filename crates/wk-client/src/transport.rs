//! How a connection is made: over TCP, within the process, or by whatever a test invents.

use std::future::Future;
use std::io;
use std::os::unix::net::UnixStream as StdUnixStream;
use std::pin::Pin;

use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpStream, UnixStream, lookup_host};

/// A future that a trait object can return.
pub type BoxFuture<T> = Pin<Box<dyn Future<Output = T> + Send>>;

/// A byte stream to a server.
pub trait Transport: AsyncRead + AsyncWrite + Send + Unpin {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin> Transport for T {}

/// Makes connections.
pub trait Connect: Send + Sync + 'static {
    /// Connects to one entry of the host list.
    fn connect(&self, host: &str) -> BoxFuture<io::Result<Box<dyn Transport>>>;
}

impl<F> Connect for F
where
    F: Fn(&str) -> BoxFuture<io::Result<Box<dyn Transport>>> + Send + Sync + 'static,
{
    fn connect(&self, host: &str) -> BoxFuture<io::Result<Box<dyn Transport>>> {
        self(host)
    }
}

/// TCP, with names resolved anew for every attempt.
#[derive(Clone, Copy, Debug, Default)]
pub struct Tcp;

impl Connect for Tcp {
    fn connect(&self, host: &str) -> BoxFuture<io::Result<Box<dyn Transport>>> {
        let host = host.to_owned();
        Box::pin(async move {
            let mut last = io::Error::new(io::ErrorKind::NotFound, "name has no address");
            for address in lookup_host(&host).await? {
                match TcpStream::connect(address).await {
                    Ok(stream) => {
                        stream.set_nodelay(true)?;
                        return Ok(Box::new(stream) as Box<dyn Transport>);
                    }
                    Err(error) => last = error,
                }
            }
            Err(last)
        })
    }
}

/// A server in this process: `dial` gives one end of a socket pair whose other end it serves.
pub struct InProcess<F>(pub F);

impl<F> Connect for InProcess<F>
where
    F: Fn() -> io::Result<StdUnixStream> + Send + Sync + 'static,
{
    fn connect(&self, _host: &str) -> BoxFuture<io::Result<Box<dyn Transport>>> {
        let stream = (self.0)();
        Box::pin(async move {
            let stream = stream?;
            stream.set_nonblocking(true)?;
            Ok(Box::new(UnixStream::from_std(stream)?) as Box<dyn Transport>)
        })
    }
}

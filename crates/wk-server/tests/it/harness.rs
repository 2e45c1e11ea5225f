//! A server in a directory of its own on a free port, and a client that speaks raw frames.

use std::io::{self, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tempfile::TempDir;
use wk_proto::client::{
    ConnectRequest, ConnectResponse, CreateMode, CreateRequest, ReplyHeader, Request,
    RequestHeader, frame,
};
use wk_proto::{AclList, OpCode, Reader, SessionId, Xid, Zxid};
use wk_server::zoo_cfg::ServerConfig;
use wk_server::{ExitReason, Server, ServerHandle};
use wk_store::Dirs;
use wk_store::mem_disk::MemDisk;

/// Longer than anything on a busy machine; only a test that fails waits for it.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);

/// A running server that is stopped when it is dropped.
pub(crate) struct TestServer {
    pub(crate) handle: ServerHandle,
    runtime: tokio::runtime::Runtime,
    dir: Option<TempDir>,
}

impl TestServer {
    pub(crate) fn start() -> Self {
        Self::start_with(|_| {})
    }

    pub(crate) fn start_with(change: impl FnOnce(&mut ServerConfig)) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let mut server = Self::start_in(dir.path(), change);
        server.dir = Some(dir);
        server
    }

    pub(crate) fn start_in(dir: &Path, change: impl FnOnce(&mut ServerConfig)) -> Self {
        let mut config = ServerConfig::for_directory(dir);
        config.client_addr = Some("127.0.0.1:0".parse().unwrap());
        config.limits.client_cnxns_max = 0;
        config.storage.pre_alloc_bytes = 64 << 10;
        change(&mut config);
        Self::over(Server::start(config).unwrap())
    }

    /// A server on a disk that can be made to fail.
    pub(crate) fn start_on(disk: &MemDisk) -> Self {
        Self::start_over(Dirs::same(Arc::new(disk.clone())), |_| {})
    }

    /// A server on directories that are open already.
    pub(crate) fn start_over(dirs: Dirs, change: impl FnOnce(&mut ServerConfig)) -> Self {
        let mut config = ServerConfig::for_directory(Path::new("/"));
        config.client_addr = Some("127.0.0.1:0".parse().unwrap());
        config.storage.pre_alloc_bytes = 0;
        change(&mut config);
        Self::over(Server::start_on(config, dirs).unwrap())
    }

    fn over(handle: ServerHandle) -> Self {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        Self { handle, runtime, dir: None }
    }

    pub(crate) fn addr(&self) -> SocketAddr {
        self.handle.local_addr().unwrap()
    }

    pub(crate) fn connect(&self) -> TcpStream {
        let stream = TcpStream::connect(self.addr()).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream
    }

    pub(crate) fn client(&self) -> Client<TcpStream> {
        Client::new(self.connect())
    }

    /// The answer to a four-letter word.
    pub(crate) fn word(&self, word: &str) -> String {
        let mut stream = self.connect();
        stream.write_all(word.as_bytes()).unwrap();
        let mut text = String::new();
        stream.read_to_string(&mut text).unwrap();
        text
    }

    pub(crate) fn block_on<T>(&self, future: impl Future<Output = T>) -> T {
        self.runtime.block_on(future)
    }

    /// Stops gracefully and says how it ended.
    pub(crate) fn stop(self) -> ExitReason {
        self.handle.shutdown();
        self.block_on(self.handle.wait())
    }

    pub(crate) fn metric(&self, name: &str) -> f64 {
        let metrics = self.block_on(self.handle.metrics()).unwrap();
        let found = metrics.metrics.iter().find(|metric| metric.name == name).unwrap();
        found.samples().last().unwrap().value
    }
}

impl Drop for TestServer {
    fn drop(&mut self) {
        self.handle.shutdown();
        self.block_on(self.handle.wait());
    }
}

/// Waits for a condition.
pub(crate) fn until(what: &str, mut met: impl FnMut() -> bool) {
    let end = Instant::now() + PATIENCE;
    while !met() {
        assert!(Instant::now() < end, "never: {what}");
        std::thread::sleep(Duration::from_millis(2));
    }
}

/// A client with a session.
pub(crate) struct Client<S> {
    pub(crate) stream: S,
    pub(crate) session: SessionId,
    pub(crate) password: [u8; 16],
    xid: i32,
}

/// A reply: its header and the body.
pub(crate) struct Reply {
    pub(crate) header: ReplyHeader,
    pub(crate) body: Vec<u8>,
}

/// The handshake of a client.
pub(crate) fn handshake(session: SessionId, password: [u8; 16]) -> Vec<u8> {
    let request = ConnectRequest {
        protocol_version: 0,
        last_zxid_seen: Zxid::ZERO,
        timeout: 30_000,
        session,
        password,
        read_only: Some(false),
    };
    framed(|bytes| request.encode(bytes))
}

/// The handshake of a client that has no session yet.
pub(crate) fn handshake_of_nobody() -> Vec<u8> {
    handshake(SessionId::NONE, [0; 16])
}

/// A frame around what `write` writes.
pub(crate) fn framed(write: impl FnOnce(&mut Vec<u8>)) -> Vec<u8> {
    let mut bytes = Vec::new();
    let start = frame::begin(&mut bytes);
    write(&mut bytes);
    frame::end(&mut bytes, start);
    bytes
}

/// A request's frame.
pub(crate) fn request(xid: i32, request: &Request<'_>) -> Vec<u8> {
    framed(|bytes| {
        RequestHeader { xid: Xid(xid), op: request.op().code() }.encode(bytes);
        request.encode(bytes);
    })
}

/// The request that creates a znode.
pub(crate) fn create<'a>(path: &'a str, data: &'a [u8], mode: CreateMode) -> Request<'a> {
    Request::Create(
        OpCode::Create,
        CreateRequest { path, data: Some(data), acl: AclList::open(), flags: mode.flags(), ttl: 0 },
    )
}

/// One whole frame; `None` when the other end has closed.
pub(crate) fn read_frame(stream: &mut impl Read) -> io::Result<Option<Vec<u8>>> {
    let mut len = [0; 4];
    match stream.read_exact(&mut len) {
        Ok(()) => {}
        Err(err) if err.kind() == io::ErrorKind::UnexpectedEof => return Ok(None),
        Err(err) if err.kind() == io::ErrorKind::ConnectionReset => return Ok(None),
        Err(err) => return Err(err),
    }
    let mut body = vec![0; usize::try_from(i32::from_be_bytes(len)).unwrap()];
    stream.read_exact(&mut body)?;
    Ok(Some(body))
}

impl<S: Read + Write> Client<S> {
    pub(crate) fn new(stream: S) -> Self {
        Self::resume(stream, SessionId::NONE, [0; 16])
    }

    pub(crate) fn resume(mut stream: S, session: SessionId, password: [u8; 16]) -> Self {
        stream.write_all(&handshake(session, password)).unwrap();
        let frame = read_frame(&mut stream).unwrap().expect("a reply to the handshake");
        let response = ConnectResponse::decode(&frame).unwrap();
        Self { stream, session: response.session, password: response.password, xid: 0 }
    }

    pub(crate) fn send(&mut self, what: &Request<'_>) -> i32 {
        self.xid += 1;
        self.stream.write_all(&request(self.xid, what)).unwrap();
        self.xid
    }

    pub(crate) fn reply(&mut self) -> Reply {
        let frame = read_frame(&mut self.stream).unwrap().expect("a reply");
        let mut reader = Reader::new(&frame);
        let header = ReplyHeader::decode(&mut reader).unwrap();
        Reply { header, body: reader.rest().to_vec() }
    }

    pub(crate) fn call(&mut self, what: &Request<'_>) -> Reply {
        let xid = self.send(what);
        let reply = self.reply();
        assert_eq!(reply.header.xid, Xid(xid));
        reply
    }

    /// Creates a znode and returns its zxid.
    pub(crate) fn create(&mut self, path: &str, data: &[u8]) -> Zxid {
        let reply = self.call(&create(path, data, CreateMode::Persistent));
        assert_eq!(reply.header.err, 0, "create {path}");
        reply.header.zxid
    }

    /// A znode's data, `None` without such a znode.
    pub(crate) fn get(&mut self, path: &str) -> Option<Vec<u8>> {
        let reply = self.call(&get(path));
        (reply.header.err == 0)
            .then(|| Reader::new(&reply.body).buffer().unwrap().unwrap_or_default().to_vec())
    }
}

/// The request for a znode's data.
pub(crate) fn get(path: &str) -> Request<'_> {
    Request::Read { op: OpCode::GetData, path, watch: false }
}

/// Whether the server closes a connection without a word.
pub(crate) fn is_closed(mut stream: &TcpStream) -> bool {
    let mut byte = [0];
    matches!(stream.read(&mut byte), Ok(0)) || stream.shutdown(Shutdown::Both).is_err()
}

//! The handle that programs use: one method an operation.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::sync::{broadcast, mpsc, oneshot, watch};
use tokio::time::Instant;
use wk_proto::client::request::{CreateMode, CreateRequest, Request, WatchMode, WatcherType};
use wk_proto::{Acl, AclList, ErrorCode, Id, OpCode, Perms, Reader, SessionId, Stat, path};

use crate::builder::Builder;
use crate::driver::{Command, HostsInUse, LastError, NewWatch, strip};
use crate::error::{ConnectError, Effect, Error};
use crate::events::{EventStream, Queue, Subscription, Watcher};
use crate::session::{Arm, Reply, State, WatchId, WatchKind};

/// Data of a znode to write: bytes, or null, which is not the same as empty.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Data<'d>(pub Option<&'d [u8]>);

impl<'d> From<&'d [u8]> for Data<'d> {
    fn from(bytes: &'d [u8]) -> Self {
        Self(Some(bytes))
    }
}

impl<'d, const N: usize> From<&'d [u8; N]> for Data<'d> {
    fn from(bytes: &'d [u8; N]) -> Self {
        Self(Some(bytes))
    }
}

impl<'d> From<&'d Vec<u8>> for Data<'d> {
    fn from(bytes: &'d Vec<u8>) -> Self {
        Self(Some(bytes))
    }
}

impl<'d> From<&'d str> for Data<'d> {
    fn from(text: &'d str) -> Self {
        Self(Some(text.as_bytes()))
    }
}

impl<'d> From<Option<&'d [u8]>> for Data<'d> {
    fn from(bytes: Option<&'d [u8]>) -> Self {
        Self(bytes)
    }
}

/// Data and stat of a znode.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Znode {
    /// Its data; `None` is null.
    pub data: Option<Vec<u8>>,
    /// Its stat.
    pub stat: Stat,
}

/// How a znode is created. A [`CreateMode`] alone will mostly do.
#[derive(Clone, Debug, PartialEq, Eq)]
#[must_use]
pub struct CreateOptions {
    /// What kind of znode it is.
    pub mode: CreateMode,
    /// Its ACL. Default: everything for everybody.
    pub acl: Vec<Acl>,
    /// Time to live; only for the two TTL modes.
    pub ttl: Option<Duration>,
}

impl From<CreateMode> for CreateOptions {
    fn from(mode: CreateMode) -> Self {
        Self { mode, acl: vec![Acl::new(Perms::ALL, "world", "anyone")], ttl: None }
    }
}

impl CreateOptions {
    /// The same with this ACL.
    pub fn acl(mut self, acl: Vec<Acl>) -> Self {
        self.acl = acl;
        self
    }

    /// The same with this time to live.
    pub fn ttl(mut self, ttl: Duration) -> Self {
        self.ttl = Some(ttl);
        self
    }

    pub(crate) fn ttl_millis(&self) -> i64 {
        self.ttl.map_or(0, |ttl| i64::try_from(ttl.as_millis()).unwrap_or(i64::MAX))
    }
}

/// The operation that creates such a znode and answers with its stat.
pub(crate) fn create_op(mode: CreateMode) -> OpCode {
    match mode {
        CreateMode::Container => OpCode::CreateContainer,
        CreateMode::Ttl | CreateMode::TtlSequential => OpCode::CreateTtl,
        CreateMode::Persistent
        | CreateMode::Ephemeral
        | CreateMode::PersistentSequential
        | CreateMode::EphemeralSequential => OpCode::Create2,
    }
}

/// What all handles of one client share.
pub(crate) struct Shared {
    pub(crate) commands: mpsc::Sender<Command>,
    pub(crate) state: watch::Receiver<State>,
    pub(crate) log: broadcast::Sender<State>,
    pub(crate) last_error: Arc<LastError>,
    pub(crate) hosts: String,
    pub(crate) in_use: Arc<HostsInUse>,
    pub(crate) chroot: String,
    pub(crate) events_max: usize,
    pub(crate) next_watch: AtomicU64,
    pub(crate) request_timeout: Duration,
}

/// A ZooKeeper client. Cloning is cheap and gives another handle to the same session; when the
/// last one is dropped, the session is closed in the background.
///
/// Every call fails with [`Error::Unavailable`] at its deadline if no server can be reached, and
/// is cancel-safe: a request that has not left when its future is dropped never leaves.
#[derive(Clone)]
pub struct Client {
    shared: Arc<Shared>,
    request_timeout: Duration,
}

impl std::fmt::Debug for Client {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Client")
            .field("hosts", &self.shared.hosts)
            .field("state", &*self.shared.state.borrow())
            .finish_non_exhaustive()
    }
}

impl Client {
    /// Begins a client for `host:port,host:port/chroot`.
    pub fn builder(hosts: &str) -> Builder {
        Builder::new(hosts)
    }

    pub(crate) fn new(shared: Shared) -> Self {
        let request_timeout = shared.request_timeout;
        Self { shared: Arc::new(shared), request_timeout }
    }

    /// Another handle to the same session, whose requests have this deadline.
    #[must_use]
    pub fn with_timeout(&self, request_timeout: Duration) -> Self {
        Self { shared: Arc::clone(&self.shared), request_timeout }
    }

    /// The session's state: the latest value, and a way to wait for the next.
    pub fn state(&self) -> watch::Receiver<State> {
        self.shared.state.clone()
    }

    /// Every state change from now on, a bounded number kept for a slow reader.
    pub fn transitions(&self) -> broadcast::Receiver<State> {
        self.shared.log.subscribe()
    }

    /// The present session; [`SessionId::NONE`] before the first.
    pub fn session(&self) -> SessionId {
        self.shared.state.borrow().session
    }

    /// Why the last connection attempt failed, for messages to people.
    pub fn last_error(&self) -> Option<String> {
        self.shared.last_error.get()
    }

    /// The prefix of all paths; empty without one.
    pub fn chroot(&self) -> &str {
        &self.shared.chroot
    }

    /// Creates a znode; returns its final path and its stat.
    pub async fn create<'d>(
        &self,
        path: &str,
        data: impl Into<Data<'d>>,
        options: impl Into<CreateOptions>,
    ) -> Result<(String, Stat), Error> {
        let (data, options) = (data.into().0, options.into());
        let full = self.create_path(path, options.mode)?;
        let op = create_op(options.mode);
        let create = CreateRequest {
            path: &full,
            data,
            acl: AclList::from_acls(&options.acl),
            flags: options.mode.flags(),
            ttl: options.ttl_millis(),
        };
        let reply = self.send(&Request::Create(op, create)).await?;
        let mut reader = Reader::new(&reply.body);
        let path = strip(&self.shared.chroot, reader.string()?).to_owned();
        Ok((path, Stat::decode(&mut reader)?))
    }

    /// Creates a znode as every release of the server can (before 3.5 there is no other way): the
    /// answer has no stat.
    pub async fn create_plain<'d>(
        &self,
        path: &str,
        data: impl Into<Data<'d>>,
        options: impl Into<CreateOptions>,
    ) -> Result<String, Error> {
        let (data, options) = (data.into().0, options.into());
        let full = self.create_path(path, options.mode)?;
        let create = CreateRequest {
            path: &full,
            data,
            acl: AclList::from_acls(&options.acl),
            flags: options.mode.flags(),
            ttl: options.ttl_millis(),
        };
        let reply = self.send(&Request::Create(OpCode::Create, create)).await?;
        Ok(strip(&self.shared.chroot, Reader::new(&reply.body).string()?).to_owned())
    }

    /// Deletes a znode without children, if its version is as expected.
    pub async fn delete(&self, path: &str, version: Option<i32>) -> Result<(), Error> {
        let path = self.full_path(path)?;
        let version = version.unwrap_or(-1);
        self.send(&Request::Delete { path: &path, version }).await.map(drop)
    }

    /// The stat of a znode, if it exists.
    pub async fn exists(&self, path: &str) -> Result<Option<Stat>, Error> {
        let reply = self.read(OpCode::Exists, path, None).await.map(|(reply, _)| reply);
        stat_if_exists(reply)
    }

    /// The same, with a one-shot watch: for creation if it is missing, else for change or deletion.
    pub async fn exists_watch(&self, path: &str) -> Result<(Option<Stat>, Watcher), Error> {
        let path = self.full_path(path)?;
        let (watch, watcher) = self.subscribe(WatchKind::Exist, &path);
        let body = encode(&Request::Read { op: OpCode::Exists, path: &path, watch: true });
        let reply = self.call(OpCode::Exists, body, Some(watch)).await;
        Ok((stat_if_exists(reply)?, Watcher(watcher)))
    }

    /// Data and stat of a znode.
    pub async fn get(&self, path: &str) -> Result<Znode, Error> {
        let (reply, _) = self.read(OpCode::GetData, path, None).await?;
        znode(&reply)
    }

    /// The same, with a one-shot watch for change or deletion.
    pub async fn get_watch(&self, path: &str) -> Result<(Znode, Watcher), Error> {
        let (reply, watcher) = self.read_watch(OpCode::GetData, path, WatchKind::Data).await?;
        Ok((znode(&reply)?, watcher))
    }

    /// Connects to these servers (`host:port`) from the next connection on; the one that stands
    /// stays. No servers are no news.
    pub fn use_hosts(&self, hosts: Vec<String>) {
        self.shared.in_use.replace(hosts);
    }

    /// Names of the children, in no order.
    pub async fn children(&self, path: &str) -> Result<Vec<String>, Error> {
        self.children_stat(path).await.map(|(names, _)| names)
    }

    /// Names of the children, in no order, and the stat of their parent.
    pub async fn children_stat(&self, path: &str) -> Result<(Vec<String>, Stat), Error> {
        let (reply, _) = self.read(OpCode::GetChildren2, path, None).await?;
        children(&reply)
    }

    /// The same, with a one-shot watch for a change of the list or deletion of the parent.
    pub async fn children_watch(&self, path: &str) -> Result<(Vec<String>, Stat, Watcher), Error> {
        let op = OpCode::GetChildren2;
        let (reply, watcher) = self.read_watch(op, path, WatchKind::Child).await?;
        let (names, stat) = children(&reply)?;
        Ok((names, stat, watcher))
    }

    /// Replaces the data, if the version is as expected.
    pub async fn set<'d>(
        &self,
        path: &str,
        data: impl Into<Data<'d>>,
        version: Option<i32>,
    ) -> Result<Stat, Error> {
        let path = self.full_path(path)?;
        let (data, version) = (data.into().0, version.unwrap_or(-1));
        let reply = self.send(&Request::SetData { path: &path, data, version }).await?;
        Ok(Stat::decode(&mut Reader::new(&reply.body))?)
    }

    /// Waits until our server has caught up with what the leader had proposed: later reads of
    /// this session see it.
    pub async fn sync(&self, path: &str) -> Result<(), Error> {
        let path = self.full_path(path)?;
        self.send(&Request::Sync { path: &path }).await.map(drop)
    }

    /// ACL and stat of a znode.
    pub async fn get_acl(&self, path: &str) -> Result<(Vec<Acl>, Stat), Error> {
        let path = self.full_path(path)?;
        let reply = self.send(&Request::GetAcl { path: &path }).await?;
        let mut reader = Reader::new(&reply.body);
        let acl = AclList::decode(&mut reader)?.to_vec();
        Ok((acl, Stat::decode(&mut reader)?))
    }

    /// Replaces the ACL, if its version is as expected.
    pub async fn set_acl(
        &self,
        path: &str,
        acl: &[Acl],
        version: Option<i32>,
    ) -> Result<Stat, Error> {
        let path = self.full_path(path)?;
        let (acl, version) = (AclList::from_acls(acl), version.unwrap_or(-1));
        let reply = self.send(&Request::SetAcl { path: &path, acl, version }).await?;
        Ok(Stat::decode(&mut Reader::new(&reply.body))?)
    }

    /// Watches a znode (and, recursively, all below it) until the stream is dropped. The stream
    /// survives reconnects and sessions; after each it says [`crate::Event::Resync`].
    pub async fn add_watch(&self, path: &str, mode: WatchMode) -> Result<EventStream, Error> {
        let path = self.full_path(path)?;
        let (kind, number) = match mode {
            WatchMode::Persistent => (WatchKind::Persistent, 0),
            WatchMode::PersistentRecursive => (WatchKind::Recursive, 1),
        };
        let (watch, subscription) = self.subscribe(kind, &path);
        let body = encode(&Request::AddWatch { path: &path, mode: number });
        self.call(OpCode::AddWatch, body, Some(watch)).await?;
        Ok(EventStream(subscription))
    }

    /// Removes all watches of a type on a path, at the server and here; their streams end.
    ///
    /// # Errors
    /// `NoWatcher` when there is none.
    pub async fn remove_watches(&self, path: &str, kind: WatcherType) -> Result<(), Error> {
        let path = self.full_path(path)?;
        self.send(&Request::RemoveWatches { path: &path, kind: kind.code() }).await?;
        let kinds = match kind {
            WatcherType::Children => vec![WatchKind::Child],
            WatcherType::Data => vec![WatchKind::Data, WatchKind::Exist],
            WatcherType::Any => WatchKind::ALL.to_vec(),
            WatcherType::Persistent => vec![WatchKind::Persistent],
            WatcherType::PersistentRecursive => vec![WatchKind::Recursive],
        };
        self.command(Command::Removed(kinds, path)).await
    }

    /// Paths of this session's ephemerals that begin with `prefix`.
    pub async fn ephemerals(&self, prefix: &str) -> Result<Vec<String>, Error> {
        let prefix = format!("{}{prefix}", self.shared.chroot);
        let reply = self.send(&Request::GetEphemerals { prefix: &prefix }).await?;
        let paths = Reader::new(&reply.body).strings()?;
        Ok(paths.into_iter().map(|path| strip(&self.shared.chroot, path).to_owned()).collect())
    }

    /// Number of znodes below a path, at any depth.
    pub async fn all_children_number(&self, path: &str) -> Result<i32, Error> {
        let path = self.full_path(path)?;
        let reply = self.send(&Request::GetAllChildrenNumber { path: &path }).await?;
        Ok(Reader::new(&reply.body).i32()?)
    }

    /// The identities that the server sees on our connection.
    pub async fn who_am_i(&self) -> Result<Vec<Id>, Error> {
        let reply = self.send(&Request::WhoAmI).await?;
        let mut reader = Reader::new(&reply.body);
        let count = reader.count(8)?.unwrap_or(0);
        (0..count).map(|_| Ok(Id::new(reader.string()?, reader.string()?))).collect()
    }

    /// Adds credentials, for this and every later connection.
    ///
    /// # Errors
    /// [`Error::AuthFailed`] when the server refuses them; the client is finished then.
    pub async fn add_auth(&self, scheme: &str, auth: impl Into<Vec<u8>>) -> Result<(), Error> {
        let (answer, answered) = oneshot::channel();
        let (scheme, auth) = (scheme.to_owned(), auth.into());
        let add = async {
            self.command(Command::AddAuth { scheme, auth, answer }).await?;
            answered.await.unwrap_or(Err(Error::Closed)).map(drop)
        };
        tokio::time::timeout(self.request_timeout, add)
            .await
            .unwrap_or(Err(Error::TimedOut(Effect::None)))
    }

    /// Closes the session in good order: its ephemerals are gone when this returns.
    ///
    /// # Errors
    /// When the server did not confirm in time; the session then ends by its timeout.
    pub async fn close(&self) -> Result<(), Error> {
        let (answer, answered) = oneshot::channel();
        let deadline = Instant::now() + self.request_timeout;
        self.command(Command::Close { deadline, answer }).await?;
        answered.await.unwrap_or(Err(Error::Closed)).map(drop)
    }

    /// Ends this client without a word to the server, as a crash would: the session ends by its
    /// timeout, and whoever watches sees it expire.
    pub async fn abandon(&self) {
        let _ = self.command(Command::Abandon).await;
        let mut state = self.state();
        // The driver drops its sender when it is done.
        while state.changed().await.is_ok() {}
    }

    async fn send(&self, request: &Request<'_>) -> Result<Reply, Error> {
        self.call(request.op(), encode(request), None).await
    }

    async fn read(
        &self,
        op: OpCode,
        path: &str,
        watch: Option<NewWatch>,
    ) -> Result<(Reply, String), Error> {
        let path = self.full_path(path)?;
        let body = encode(&Request::Read { op, path: &path, watch: watch.is_some() });
        self.call(op, body, watch).await.map(|reply| (reply, path))
    }

    async fn read_watch(
        &self,
        op: OpCode,
        path: &str,
        kind: WatchKind,
    ) -> Result<(Reply, Watcher), Error> {
        let (watch, subscription) = self.subscribe(kind, &self.full_path(path)?);
        let (reply, _) = self.read(op, path, Some(watch)).await?;
        Ok((reply, Watcher(subscription)))
    }

    /// One request and its reply.
    pub(crate) async fn call(
        &self,
        op: OpCode,
        body: Vec<u8>,
        watch: Option<NewWatch>,
    ) -> Result<Reply, Error> {
        let (answer, answered) = oneshot::channel();
        let deadline = Instant::now() + self.request_timeout;
        let command = Command::Request { op, body, deadline, watch, answer };
        // The driver takes no commands while its queue is full: the deadline counts here too.
        match tokio::time::timeout_at(deadline, self.command(command)).await {
            Ok(sent) => sent?,
            Err(_) => return Err(Error::Unavailable),
        }
        answered.await.unwrap_or(Err(Error::Closed))
    }

    async fn command(&self, command: Command) -> Result<(), Error> {
        self.shared.commands.send(command).await.map_err(|_| Error::Closed)
    }

    fn subscribe(&self, kind: WatchKind, path: &str) -> (NewWatch, Subscription) {
        let id = WatchId(self.shared.next_watch.fetch_add(1, Ordering::Relaxed));
        let queue = Queue::new(if kind.stays() { self.shared.events_max } else { 1 });
        let arm = Arm { id, kind, path: path.to_owned() };
        let driver = self.shared.commands.downgrade();
        let subscription = Subscription { queue: Arc::clone(&queue), id, driver };
        (NewWatch { arm, queue }, subscription)
    }

    /// The path as the server knows it.
    pub(crate) fn full_path(&self, relative: &str) -> Result<String, Error> {
        check_path(relative, relative)?;
        let chroot = &self.shared.chroot;
        Ok(if relative == "/" && !chroot.is_empty() {
            chroot.clone()
        } else {
            format!("{chroot}{relative}")
        })
    }

    /// The same for a create, where a sequential name may be empty (`/queue/`).
    pub(crate) fn create_path(&self, relative: &str, mode: CreateMode) -> Result<String, Error> {
        if mode.is_sequential() {
            check_path(&format!("{relative}0"), relative)?;
            return Ok(format!("{}{relative}", self.shared.chroot));
        }
        self.full_path(relative)
    }

    pub(crate) fn unreachable(&self, after: Duration) -> ConnectError {
        let hosts = self.shared.hosts.clone();
        ConnectError::Unreachable { hosts, after, last: self.last_error() }
    }
}

fn check_path(checked: &str, shown: &str) -> Result<(), Error> {
    path::validate(checked).map_err(|why| Error::Argument(format!("{shown:?}: {why}")))
}

fn encode(request: &Request<'_>) -> Vec<u8> {
    let mut body = Vec::new();
    request.encode(&mut body);
    body
}

fn znode(reply: &Reply) -> Result<Znode, Error> {
    let mut reader = Reader::new(&reply.body);
    let data = reader.buffer()?.map(<[u8]>::to_vec);
    Ok(Znode { data, stat: Stat::decode(&mut reader)? })
}

fn children(reply: &Reply) -> Result<(Vec<String>, Stat), Error> {
    let mut reader = Reader::new(&reply.body);
    let names = reader.strings()?.into_iter().map(str::to_owned).collect();
    Ok((names, Stat::decode(&mut reader)?))
}

fn stat_if_exists(reply: Result<Reply, Error>) -> Result<Option<Stat>, Error> {
    match reply {
        Ok(reply) => Ok(Some(Stat::decode(&mut Reader::new(&reply.body))?)),
        Err(Error::Server(ErrorCode::NoNode)) => Ok(None),
        Err(error) => Err(error),
    }
}

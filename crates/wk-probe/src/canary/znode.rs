//! The canary's znode: how each order is carried out with a client, and what its errors mean.

use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{SystemTime, UNIX_EPOCH};

use wk_client::{Acl, Client, CreateMode, CreateOptions, Error, ErrorCode, Perms, Watcher, Zxid};

use super::Settings;
use super::machine::{Ended, Order};

/// Where all canaries live.
const ROOT: &str = "/watchkeeper/canary";

/// An order under way.
pub(super) type Running = Pin<Box<dyn Future<Output = Ended> + Send>>;

/// The znode of one server's canary.
#[derive(Clone)]
pub(super) struct Znode {
    client: Client,
    /// `/watchkeeper/canary/MONITOR`.
    folder: String,
    path: String,
    acl: Vec<Acl>,
    /// The watch that the last read armed.
    watcher: Arc<Mutex<Option<Watcher>>>,
}

impl Znode {
    pub(super) fn new(client: Client, settings: &Settings) -> Self {
        let folder = format!("{ROOT}/{}", settings.monitor);
        let path = format!("{folder}/{}", settings.instance);
        let acl = if settings.access.has_credentials() {
            // Whoever may read the path may see it, nobody else may make it lie.
            vec![Acl::new(Perms::ALL, "auth", ""), Acl::new(Perms::READ, "world", "anyone")]
        } else {
            vec![Acl::new(Perms::ALL, "world", "anyone")]
        };
        Self { client, folder, path, acl, watcher: Arc::default() }
    }

    /// Begins an order.
    pub(super) fn run(&self, order: Order) -> Running {
        let znode = self.clone();
        Box::pin(async move {
            let done = match order {
                Order::Prepare => znode.prepare().await,
                Order::Write => znode.write().await,
                Order::AwaitEvent => znode.await_event().await,
                Order::Read => znode.read().await,
            };
            match done {
                Ok(zxid) => Ended::Done(zxid),
                Err(err) => znode.meaning(&err),
            }
        })
    }

    async fn prepare(&self) -> Result<Zxid, Error> {
        match self.read().await {
            Err(Error::Server(ErrorCode::NoNode)) => (),
            other => return other,
        }
        let open = CreateOptions::from(CreateMode::Persistent);
        let own = open.clone().acl(self.acl.clone());
        let steps = [
            ("/watchkeeper", &open),
            (ROOT, &open),
            (self.folder.as_str(), &own),
            (self.path.as_str(), &own),
        ];
        for (path, options) in steps {
            match self.client.create_plain(path, "", options.clone()).await {
                Ok(_) | Err(Error::Server(ErrorCode::NodeExists)) => (),
                Err(err) => return Err(err),
            }
        }
        self.read().await
    }

    async fn write(&self) -> Result<Zxid, Error> {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        // Ten digits, so that the znode never grows.
        let text = format!("{:010}", since.as_secs());
        Ok(self.client.set(&self.path, &*text, None).await?.mzxid)
    }

    async fn await_event(&self) -> Result<Zxid, Error> {
        let watcher = self.watcher.lock().unwrap_or_else(PoisonError::into_inner).take();
        match watcher {
            // Deleted is told by the read that follows.
            Some(mut watcher) => watcher.fired().await.map(|_| Zxid::ZERO),
            // Another order took it, which cannot have ended well.
            None => Err(Error::WatchRemoved),
        }
    }

    async fn read(&self) -> Result<Zxid, Error> {
        let (znode, watcher) = self.client.get_watch(&self.path).await?;
        *self.watcher.lock().unwrap_or_else(PoisonError::into_inner) = Some(watcher);
        Ok(znode.stat.mzxid)
    }

    /// Deletes the znode, and what is empty then. `/watchkeeper` may be the operator's own.
    pub(super) async fn clean(&self) {
        for path in [&self.path, &self.folder, ROOT] {
            if self.client.delete(path, None).await.is_err() {
                return;
            }
        }
    }

    fn meaning(&self, err: &Error) -> Ended {
        let path = &self.path;
        if let Error::UnknownCode(code) = err {
            return Ended::Refused(format!("error {code}"));
        }
        // Anything that is not the server's own answer is the connection's business.
        let Some(code) = err.code() else { return Ended::Broken };
        if code == ErrorCode::NoNode {
            return Ended::Missing;
        }
        let broken = [ErrorCode::SessionExpired, ErrorCode::SessionMoved, ErrorCode::NotReadOnly];
        if broken.contains(&code) {
            return Ended::Broken;
        }
        let advice = if code == ErrorCode::NoAuth {
            "the monitor may not write there, so it cannot tell whether writes work. Make \
             /watchkeeper as one who may, and let the monitor use it: create /watchkeeper, \
             setAcl /watchkeeper world:anyone:cdrwa (or digest:..., if [ensemble.NAME] in \
             watchkeeper.toml brings credentials)"
        } else if [ErrorCode::InvalidAcl, ErrorCode::SessionClosedRequireSaslAuth].contains(&code) {
            "the ensemble wants to know who writes. Give the monitor credentials in \
             [ensemble.NAME] of watchkeeper.toml"
        } else if code == ErrorCode::QuotaExceeded {
            "a quota above it is used up: raise it, or take it off /watchkeeper"
        } else {
            return Ended::Refused(code.to_string());
        };
        Ended::Forbidden(format!("canary: {code} at {path}: {advice}"))
    }
}

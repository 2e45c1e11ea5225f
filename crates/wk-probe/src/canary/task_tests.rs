//! The canary's task at a real server in this process, behind a gate that can be shut.

use std::net::SocketAddr;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use wk_client::{Acl, Perms};
use wk_server::zoo_cfg::ServerConfig;
use wk_server::{Server, ServerHandle};

use super::*;

/// A deadline that a busy machine ends long before.
const LONG: Duration = Duration::from_mins(1);

struct Site {
    _dir: tempfile::TempDir,
    server: ServerHandle,
    address: SocketAddr,
}

impl Site {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let [port] = wk_peers::wait::free_ports::<1>().unwrap();
        let address = SocketAddr::from(([127, 0, 0, 1], port));
        let mut config = ServerConfig::for_directory(dir.path());
        config.client_addr = Some(address);
        let server = Server::start(config).unwrap();
        Self { _dir: dir, server, address }
    }

    async fn client(&self) -> Client {
        Client::builder(&self.address.to_string()).connect().await.unwrap()
    }
}

/// Passes bytes on while the gate is open; the connection stays either way.
async fn gate(to: SocketAddr, open: watch::Receiver<bool>) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((inner, _)) = listener.accept().await {
            let Ok(outer) = TcpStream::connect(to).await else { continue };
            let ((a, b), (c, d)) = (inner.into_split(), outer.into_split());
            for (mut from, mut to) in [(a, d), (c, b)] {
                let mut open = open.clone();
                tokio::spawn(async move {
                    let mut bytes = [0; 4096];
                    loop {
                        let read = from.read(&mut bytes).await.unwrap_or(0);
                        if open.wait_for(|open| *open).await.is_err() || read == 0 {
                            return;
                        }
                        if to.write_all(&bytes[..read]).await.is_err() {
                            return;
                        }
                    }
                });
            }
        }
    });
    address
}

struct Running {
    news: mpsc::Receiver<News>,
    stop: watch::Sender<bool>,
    task: tokio::task::JoinHandle<()>,
    instance: String,
}

fn start(address: SocketAddr, auth: Option<&'static str>) -> Running {
    let (tell, news) = mpsc::channel(1024);
    let (stop, stopped) = watch::channel(false);
    let instance = address.to_string();
    let credentials =
        auth.iter().map(|auth| ("digest".to_owned(), auth.as_bytes().to_vec())).collect();
    let settings = Settings {
        instance: instance.clone(),
        labels: vec![
            ("ensemble".to_owned(), "e".to_owned()),
            ("instance".to_owned(), instance.clone()),
        ],
        monitor: "m1".to_owned(),
        access: Access::new(None, credentials).unwrap(),
        limits: Limits {
            interval: Duration::from_millis(100),
            step: Duration::from_millis(600),
            ..Limits::default()
        },
    };
    let task = tokio::spawn(super::watch(settings, tell, stopped));
    Running { news, stop, task, instance }
}

impl Running {
    async fn next(&mut self) -> News {
        tokio::time::timeout(LONG, self.news.recv()).await.expect("in time").expect("running")
    }

    /// Waits until a counter is at least so much.
    async fn until(&mut self, metric: &str, at_least: f64) -> f64 {
        loop {
            let News::Samples(samples) = self.next().await else { continue };
            let found = samples.iter().find(|sample| sample.labels.name() == metric);
            if let Some(found) = found.filter(|found| found.value >= at_least) {
                assert_eq!(found.labels.get("instance"), self.instance);
                return found.value;
            }
        }
    }

    async fn stop(self) -> Vec<Sample> {
        let Self { mut news, stop, task, .. } = self;
        stop.send_replace(true);
        task.await.unwrap();
        let mut last = vec![];
        while let Some(told) = news.recv().await {
            if let News::Samples(samples) = told {
                last = samples;
            }
        }
        last
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rounds_go_round_a_hang_fails_and_the_end_leaves_nothing() {
    let site = Site::new();
    let (open, shut) = watch::channel(true);
    let front = gate(site.address, shut).await;
    let mut canary = start(front, None);
    canary.until("watchkeeper_canary_rounds_total", 5.0).await;
    let client = site.client().await;
    let path = format!("/watchkeeper/canary/m1/{front}");
    let before = client.get(&path).await.unwrap();
    assert_eq!(before.data.map(|data| data.len()), Some(10));
    canary.until("watchkeeper_canary_rounds_total", 9.0).await;
    let after = client.get(&path).await.unwrap();
    assert_eq!(after.stat.czxid, before.stat.czxid, "set, not made anew");
    assert!(after.stat.version > before.stat.version);

    open.send_replace(false);
    canary.until("watchkeeper_canary_failures_total", 2.0).await;
    open.send_replace(true);
    let rounds = canary.until("watchkeeper_canary_rounds_total", 10.0).await;
    canary.until("watchkeeper_canary_rounds_total", rounds + 5.0).await;

    let last = canary.stop().await;
    assert!(!last.is_empty() && last.iter().all(|sample| wk_promql::is_stale(sample.value)));
    assert_eq!(client.exists("/watchkeeper/canary").await.unwrap(), None, "cleaned");
    site.server.shutdown();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_root_that_is_shut_is_a_note_with_the_line_and_no_failure() {
    let site = Site::new();
    let client = site.client().await;
    let shut = vec![Acl::new(Perms::READ, "world", "anyone")];
    client.set_acl("/", &shut, None).await.unwrap();
    let mut canary = start(site.address, None);
    let note = loop {
        match canary.next().await {
            News::Note(note) => break note.expect("something is wrong"),
            News::Samples(samples) => {
                let failures = &samples[1];
                assert_eq!(failures.labels.name(), "watchkeeper_canary_failures_total");
                assert!(failures.value < 0.5);
            }
        }
    };
    assert!(note.contains("NOAUTH") && note.contains("setAcl /watchkeeper"), "{note}");
    canary.stop().await;
    site.server.shutdown();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn with_credentials_the_znode_is_the_monitors_own() {
    let site = Site::new();
    let mut canary = start(site.address, Some("wk:secret"));
    canary.until("watchkeeper_canary_rounds_total", 3.0).await;
    let path = format!("/watchkeeper/canary/m1/{}", site.address);
    let client = site.client().await;
    let refused = client.set(&path, "lies", None).await.expect_err("not ours");
    assert!(refused.is(wk_client::ErrorCode::NoAuth), "{refused}");
    assert!(client.get(&path).await.is_ok(), "whoever may read sees it");
    canary.stop().await;
    assert_eq!(client.exists(&path).await.unwrap(), None);
    site.server.shutdown();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_is_not_there_gives_counters_at_zero_and_no_failure() {
    let [port] = wk_peers::wait::free_ports::<1>().unwrap();
    let mut canary = start(SocketAddr::from(([127, 0, 0, 1], port)), None);
    for _ in 0..2 {
        let News::Samples(samples) = canary.next().await else { panic!("no note") };
        assert!(samples.iter().all(|sample| sample.value < 0.5), "{samples:?}");
    }
    canary.stop().await;
}

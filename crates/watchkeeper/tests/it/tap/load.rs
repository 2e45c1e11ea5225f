//! Writers of every kind, at a pace at which an election stays inside the leader's window.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use tokio::runtime::Runtime;
use wk_client::{Client, CreateMode, Multi};
use wk_peers::wait;

/// Between two rounds of a writer.
const PACE: Duration = Duration::from_millis(60);

/// Writers that run until they are told to stop.
pub(super) struct Load {
    written: Arc<AtomicUsize>,
    stop: Arc<AtomicBool>,
    thread: JoinHandle<()>,
}

impl Load {
    pub(super) fn start(hosts: &str) -> Self {
        let (written, stop) = (Arc::<AtomicUsize>::default(), Arc::<AtomicBool>::default());
        let (hosts, count, until) = (hosts.to_owned(), Arc::clone(&written), Arc::clone(&stop));
        let thread = std::thread::spawn(move || {
            runtime().block_on(async {
                let writers = (0..3).map(|n| write(hosts.clone(), n, &count, &until));
                for writer in writers.collect::<Vec<_>>() {
                    writer.await.unwrap();
                }
            });
        });
        Self { written, stop, thread }
    }

    /// Waits until so many more rounds were written.
    pub(super) fn wait_more(&self, rounds: usize) {
        let goal = self.written.load(Ordering::Relaxed) + rounds;
        wait::until("the writers to go on", wait::LONG, || {
            Ok((self.written.load(Ordering::Relaxed) >= goal).then_some(()))
        })
        .unwrap();
    }

    pub(super) fn stop(self) {
        self.stop.store(true, Ordering::Relaxed);
        self.thread.join().unwrap();
    }
}

fn runtime() -> Runtime {
    tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap()
}

fn client(hosts: &str) -> Client {
    let builder = Client::builder(hosts).session_timeout(Duration::from_secs(4));
    builder.request_timeout(Duration::from_secs(3)).start().unwrap()
}

fn write(
    hosts: String,
    writer: usize,
    count: &Arc<AtomicUsize>,
    stop: &Arc<AtomicBool>,
) -> tokio::task::JoinHandle<()> {
    let (count, stop) = (Arc::clone(count), Arc::clone(stop));
    tokio::spawn(async move {
        let own = client(&hosts);
        let mut round = 0;
        while !stop.load(Ordering::Relaxed) {
            round += 1;
            // What fails in an election fails; the log knows what was done.
            if one_round(&own, writer, round).await.is_ok() {
                count.fetch_add(1, Ordering::Relaxed);
            }
            if round % 25 == 0 {
                visit(&hosts, writer, round).await;
            }
            tokio::time::sleep(PACE).await;
        }
        let _ = own.close().await;
    })
}

async fn one_round(client: &Client, writer: usize, round: usize) -> Result<(), wk_client::Error> {
    let path = format!("/w{writer}-{round}");
    client.create(&path, b"one", CreateMode::Persistent).await?;
    client.set(&path, &vec![7; round % 300], None).await?;
    let _ = client.delete("/nobody", None).await;
    let both = Multi::new().set(&path, b"two", None).check(&path, None);
    let _ = client.multi(both).await;
    let fails = Multi::new().set(&path, b"three", None).check(&path, Some(99));
    let _ = client.multi(fails).await;
    client.delete(&path, None).await
}

/// A session with ephemerals that ends well, and one that is left to expire.
async fn visit(hosts: &str, writer: usize, round: usize) {
    for ends_well in [true, false] {
        let guest = client(hosts);
        let path = format!("/guest-{writer}-{round}-{ends_well}");
        let _ = guest.create(&path, b"", CreateMode::Ephemeral).await;
        if ends_well {
            let _ = guest.close().await;
        } else {
            guest.abandon().await;
        }
    }
}

/// So many txns as fast as they go, in one session.
pub(super) fn burst(hosts: &str, txns: usize) {
    runtime().block_on(async {
        let client = client(hosts);
        client.wait_connected(wait::LONG).await.unwrap();
        for n in 0..txns {
            let path = format!("/burst-{n}");
            if n % 2 == 0 {
                client.create(&path, b"", CreateMode::Persistent).await.unwrap();
            } else {
                client.delete(&format!("/burst-{}", n - 1), None).await.unwrap();
            }
        }
        client.close().await.unwrap();
    });
}

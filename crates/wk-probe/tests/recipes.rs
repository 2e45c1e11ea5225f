//! Recipes at a real server: what a look finds, by kazoo's and Curator's names.

#![allow(clippy::unwrap_used, reason = "a test reports by a panic with its line")]

use std::net::SocketAddr;
use std::time::Duration;

use tokio::sync::mpsc;
use wk_client::{Client, CreateMode};
use wk_probe::recipes::{self, News, Pace, Recipes};
use wk_server::Server;
use wk_server::zoo_cfg::ServerConfig;

const LONG: Duration = Duration::from_mins(1);

async fn until(news: &mut mpsc::Receiver<News>, series: &str, value: f64) {
    let wait = async {
        loop {
            let News::Samples(samples) = news.recv().await.unwrap() else { continue };
            let found = samples.iter().find(|sample| sample.labels.to_string() == series);
            if found.is_some_and(|found| (found.value - value).abs() < 0.5) {
                return;
            }
        }
    };
    tokio::time::timeout(LONG, wait).await.unwrap_or_else(|_| panic!("{series} {value}"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn waiters_depth_and_changes_are_seen_and_what_may_not_be_is_a_note() {
    let dir = tempfile::tempdir().unwrap();
    let [port] = wk_peers::wait::free_ports::<1>().unwrap();
    let mut config = ServerConfig::for_directory(dir.path());
    config.client_addr = Some(SocketAddr::from(([127, 0, 0, 1], port)));
    let server = Server::start(config).unwrap();
    let client = Client::builder(&format!("127.0.0.1:{port}")).connect().await.unwrap();
    for path in ["/locks", "/locks/a", "/jobs", "/jobs/entries", "/office", "/shut"] {
        client.create(path, "", CreateMode::Persistent).await.unwrap();
    }
    let mut made = Vec::new();
    for (prefix, mode) in [
        ("/locks/a/_c_6f-lock-", CreateMode::EphemeralSequential),
        ("/locks/a/_c_70-lock-", CreateMode::EphemeralSequential),
        ("/locks/a/0a1b__lock__", CreateMode::EphemeralSequential),
        ("/jobs/entries/entry-100-", CreateMode::PersistentSequential),
        ("/office/x-latch-", CreateMode::EphemeralSequential),
        ("/office/y-latch-", CreateMode::EphemeralSequential),
    ] {
        made.push(client.create(prefix, "", mode).await.unwrap().0);
    }
    let shut = vec![wk_client::Acl::new(wk_client::Perms::WRITE, "world", "anyone")];
    client.set_acl("/shut", &shut, None).await.unwrap();
    let list = |path: &str| vec![path.to_owned()];
    let wanted = Recipes {
        locks: list("/locks/*"),
        queues: vec!["/jobs".to_owned(), "/shut".to_owned()],
        elections: list("/office"),
    };
    let (tell, mut news) = mpsc::channel(16);
    let pace = Pace { interval: Duration::from_millis(100), ..Pace::default() };
    tokio::spawn(recipes::watch(client.clone(), wanted, pace, Vec::new(), tell));
    let Some(News::Note(Some(note))) = news.recv().await else { panic!("a note comes first") };
    assert!(note.contains("/shut: NOAUTH"), "{note}");
    until(&mut news, r#"watchkeeper_recipe_lock_waiters{path="/locks/a"}"#, 2.0).await;
    until(&mut news, r#"watchkeeper_recipe_queue_depth{path="/jobs"}"#, 1.0).await;
    client.delete(&made[0], None).await.unwrap();
    client.delete(&made[4], None).await.unwrap();
    until(&mut news, r#"watchkeeper_recipe_lock_waiters{path="/locks/a"}"#, 1.0).await;
    let changes = r#"watchkeeper_recipe_election_changes_total{path="/office"}"#;
    until(&mut news, changes, 1.0).await;
    server.shutdown();
}

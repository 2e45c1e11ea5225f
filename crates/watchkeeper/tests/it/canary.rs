//! The canary at real ensembles: a leader that is paused, while all that followers say of
//! themselves is healthy.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use tokio::sync::{mpsc, watch};
use wk_client::Access;
use wk_peers::{Ensemble, EnsembleSpec, Version};
use wk_probe::canary::{self, Limits, News, Settings};

use crate::harness::cache;

const LONG: Duration = Duration::from_mins(1);
const ROUNDS: &str = "watchkeeper_canary_rounds_total";
const FAILURES: &str = "watchkeeper_canary_failures_total";

/// A canary at each member, and what they have counted.
struct Flock {
    news: mpsc::Receiver<News>,
    stop: watch::Sender<bool>,
    figures: BTreeMap<(String, String), f64>,
    instances: Vec<String>,
}

impl Flock {
    fn start(ensemble: &Ensemble) -> Self {
        let (tell, news) = mpsc::channel(1024);
        let (stop, stopped) = watch::channel(false);
        let instances = ensemble.addresses();
        for instance in &instances {
            let settings = Settings {
                instance: instance.clone(),
                labels: vec![("instance".to_owned(), instance.clone())],
                monitor: "it".to_owned(),
                access: Access::default(),
                limits: Limits::default(),
            };
            tokio::spawn(canary::watch(settings, tell.clone(), stopped.clone()));
        }
        Self { news, stop, figures: BTreeMap::new(), instances }
    }

    async fn until(&mut self, what: &str, holds: impl Fn(&Self) -> bool) {
        let end = Instant::now() + LONG;
        while !holds(self) {
            assert!(Instant::now() < end, "waited for {what}: {:#?}", self.figures);
            let news = tokio::time::timeout(LONG, self.news.recv()).await;
            match news.expect("canaries speak each second").expect("they run") {
                News::Samples(samples) => {
                    for sample in samples {
                        let key = (sample.labels.name().to_owned(), sample.labels.get("instance"));
                        self.figures.insert((key.0, key.1.to_owned()), sample.value);
                    }
                }
                News::Note(note) => assert_eq!(note, None),
            }
        }
    }

    /// What each member's canary has counted.
    fn all(&self, metric: &str) -> Vec<f64> {
        let of = |instance: &String| self.figures.get(&(metric.to_owned(), instance.clone()));
        self.instances.iter().map(|instance| of(instance).copied().unwrap_or(0.0)).collect()
    }

    fn at_least(&self, metric: &str, least: &[f64]) -> bool {
        self.all(metric).iter().zip(least).all(|(value, least)| value >= least)
    }

    async fn rounds(&mut self, more: f64) {
        let least: Vec<f64> = self.all(ROUNDS).iter().map(|rounds| rounds + more).collect();
        self.until("rounds through every member", |flock| flock.at_least(ROUNDS, &least)).await;
    }
}

/// The leader stops, and only the canary says so: both followers still call themselves healthy.
async fn leader_paused(version: Version) {
    let dir = tempfile::tempdir().unwrap();
    let spec = EnsembleSpec::new(version, dir.path());
    let mut ensemble = spec.start(&cache()).unwrap_or_else(|err| panic!("{err:#}"));
    let leader = ensemble.leader().unwrap();
    let followers = ensemble.followers().unwrap();
    let mut flock = Flock::start(&ensemble);
    flock.rounds(3.0).await;
    let before = flock.all(FAILURES);

    ensemble.pause(leader).unwrap();
    let paused = Instant::now();
    let failed: Vec<f64> = before.iter().map(|count| count + 1.0).collect();
    flock.until("a failure through each", |flock| flock.at_least(FAILURES, &failed)).await;
    println!("{version}: failures through all members after {:?}", paused.elapsed());
    for follower in followers {
        let mode = ensemble.members[follower].mode().unwrap();
        assert_eq!(mode.as_deref(), Some("follower"), "it looks healthy");
    }

    ensemble.resume(leader).unwrap();
    flock.rounds(5.0).await;
    let client = Access::default().client(&ensemble.hosts()).connect().await.unwrap();
    let folder = "/watchkeeper/canary/it";
    let mut znodes = client.children(folder).await.unwrap();
    znodes.sort_unstable();
    let mut instances = flock.instances.clone();
    instances.sort_unstable();
    assert_eq!(znodes, instances, "one znode a member, and no more");
    flock.stop.send_replace(true);
    let end = Instant::now() + LONG;
    while client.exists(folder).await.unwrap().is_some() {
        assert!(Instant::now() < end, "the canaries clean up");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_paused_leader_of_3_9_is_seen_through_every_member() {
    leader_paused(Version::V3_9).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_paused_leader_of_3_4_is_seen_through_every_member() {
    leader_paused(Version::V3_4).await;
}

//! Three faults on an Apache ensemble, end to end: the right rule about the right member reaches
//! the receiver. How soon, and many more kinds, is measured by `cargo xtask faults`.

use serde_json::Value;
use wk_peers::receivers::{Alert, Notification, Webhook};
use wk_peers::{Ensemble, EnsembleSpec, Version, wait};

use crate::harness::cache;
use crate::product::Product;

/// A monitor with fresh data that sees a healthy ensemble, and its receiver.
struct Watch {
    product: Product,
    webhook: Webhook,
}

impl Watch {
    fn start(ensemble: &Ensemble) -> Self {
        let webhook = Webhook::start().unwrap();
        let product = Product::start_for(&ensemble.hosts(), &["--notify", &webhook.url()]);
        let watch = Self { product, webhook };
        wait::until("a healthy ensemble", wait::LONG, || {
            let fleet = watch.product.api("fleet");
            let servers = fleet["ensembles"][0]["servers"].as_array().cloned();
            let servers = servers.unwrap_or_default();
            let all_up = servers.len() == 3 && servers.iter().all(|one| one["state"] == "up");
            let clear = fleet["ensembles"][0]["sight"]["clear"] == true;
            Ok((all_up && clear).then_some(()))
        })
        .unwrap_or_else(|err| panic!("{err:#}\n{:#}", watch.product.api("fleet")));
        assert_eq!(watch.told(), Vec::<String>::new(), "nothing before the fault");
        watch
    }

    fn firing(&self) -> Vec<Alert> {
        let all = self.webhook.taken();
        let alerts = all.iter().flat_map(Notification::alerts);
        alerts.filter(|alert| alert.status == "firing" && alert.rule != "Watchdog").collect()
    }

    fn told(&self) -> Vec<String> {
        self.firing().iter().map(|alert| format!("{} {}", alert.rule, alert.labels)).collect()
    }

    /// Waits until `rule` is told with these labels.
    fn until_told(&self, rule: &str, about: &dyn Fn(&Value) -> bool) -> Alert {
        wait::until(&format!("{rule} to be told"), wait::LONG, || {
            let mut alerts = self.firing().into_iter();
            Ok(alerts.find(|alert| alert.rule == rule && about(&alert.labels)))
        })
        .unwrap_or_else(|err| panic!("{err:#}\n{:#?}\n{}", self.told(), self.product.printed()))
    }
}

#[test]
fn killed_and_stopped_leaders_and_a_lost_majority_are_told_by_their_rules() {
    let dir = tempfile::tempdir().unwrap();
    let spec = EnsembleSpec::new(Version::V3_9, dir.path()).pages();
    let mut ensemble = spec.start(&cache()).unwrap_or_else(|err| panic!("{err:#}"));

    // The leader is killed: that server is named, and no outage is made of it.
    let watch = Watch::start(&ensemble);
    let leader = ensemble.leader().unwrap();
    let address = ensemble.members[leader].address();
    ensemble.kill(leader).unwrap();
    watch.until_told("ZkServerUnreachable", &|labels| labels["instance"] == address);
    let others = |alert: &Alert| alert.rule == "ZkServerUnreachable";
    assert_eq!(watch.firing().iter().filter(|alert| others(alert)).count(), 1);
    drop(watch);
    ensemble.restart(leader).unwrap();
    ensemble.wait_quorum().unwrap();

    // The leader stands still: every member says that all is well, only writes tell.
    let watch = Watch::start(&ensemble);
    let leader = ensemble.leader().unwrap();
    ensemble.pause(leader).unwrap();
    watch.until_told("ZkCanaryFailing", &|labels| labels["ensemble"].is_string());
    drop(watch);
    ensemble.resume(leader).unwrap();
    ensemble.wait_quorum().unwrap();

    // Two of three are gone.
    let watch = Watch::start(&ensemble);
    let gone = ensemble.followers().unwrap();
    for index in gone {
        ensemble.kill(index).unwrap();
    }
    watch.until_told("ZkNoLeader", &|labels| labels["ensemble"].is_string());
}

//! Looks at real servers: all members from one address, and what stands when the quorum is gone.

use std::collections::BTreeMap;

use serde_json::Value;
use wk_peers::{Ensemble, EnsembleSpec, Version, wait};

use crate::harness::cache;
use crate::product::Product;

/// State of each server that the product watches, by address.
fn servers(product: &Product) -> BTreeMap<String, String> {
    let fleet = product.api("fleet");
    let servers = fleet["ensembles"][0]["servers"].as_array().cloned().unwrap_or_default();
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    servers.iter().map(|one| (text(&one["instance"]), text(&one["state"]))).collect()
}

fn until_servers(product: &Product, what: &str, wanted: &BTreeMap<String, String>) {
    wait::until(what, wait::LONG, || Ok((servers(product) == *wanted).then_some(())))
        .unwrap_or_else(|err| panic!("{err:#}\n{:#?}\n{}", servers(product), product.printed()));
}

fn all_up(ensemble: &Ensemble) -> BTreeMap<String, String> {
    ensemble.addresses().into_iter().map(|address| (address, "up".to_owned())).collect()
}

#[test]
fn all_members_from_one_observer_remembered_and_judged_without_a_quorum() {
    let dir = tempfile::tempdir().unwrap();
    let spec = EnsembleSpec::new(Version::V3_9, dir.path()).observers(1).pages();
    let mut ensemble = spec.start(&cache()).unwrap_or_else(|err| panic!("{err:#}"));
    let addresses = ensemble.addresses();
    let mut product = Product::start_for(&addresses[3], &[]);
    let mut wanted = all_up(&ensemble);
    until_servers(&product, "all four from the observer", &wanted);

    // One that stops to serve is remembered, over a restart of the monitor too.
    let followers = ensemble.followers().unwrap();
    let victim = *followers.iter().find(|index| **index != 3).unwrap();
    ensemble.kill(victim).unwrap();
    wanted.insert(addresses[victim].clone(), "unreachable".to_owned());
    until_servers(&product, "the killed member unreachable", &wanted);
    product.kill();
    product.run();
    until_servers(&product, "the killed member remembered", &wanted);

    // The quorum goes: the survivor answers, and serves nobody.
    let leader = ensemble.leader().unwrap();
    ensemble.kill(leader).unwrap();
    wanted.insert(addresses[leader].clone(), "unreachable".to_owned());
    let others = (0..4).filter(|index| *index != leader && *index != victim);
    wanted.extend(others.map(|index| (addresses[index].clone(), "not_serving".to_owned())));
    until_servers(&product, "survivors that do not serve", &wanted);

    ensemble.restart(leader).unwrap();
    ensemble.restart(victim).unwrap();
    until_servers(&product, "all of them again", &all_up(&ensemble));
}

//! The tests' own tool: ensembles of Apache servers that are killed, paused and started again.

use wk_peers::{EnsembleSpec, Version};

use crate::harness::cache;

/// A leader that is killed and comes back, a follower that is paused and goes on.
fn life(version: Version, observers: usize) {
    let dir = tempfile::tempdir().unwrap();
    let spec = EnsembleSpec::new(version, dir.path()).observers(observers).pages();
    let mut ensemble = spec.start(&cache()).unwrap_or_else(|err| panic!("{err:#}"));
    let leader = ensemble.leader().unwrap();
    let followers = ensemble.followers().unwrap();
    assert_eq!(followers.len(), 2);
    let member = &ensemble.members[leader];
    assert!(member.four_letter("srvr").unwrap().contains(&format!("version: {version}")));
    if version.has_admin() {
        let (_, page) = wk_peers::wait::http_get(member.admin, "/commands/srvr").unwrap();
        assert!(page.contains("leader"), "{page}");
    }
    if version.has_metrics() {
        let (_, page) = wk_peers::wait::http_get(member.metrics, "/metrics").unwrap();
        assert!(page.contains("leader_uptime"), "{page}");
    }
    ensemble.kill(leader).unwrap();
    let next = ensemble.leader().unwrap();
    assert_ne!(next, leader);
    ensemble.restart(leader).unwrap();
    assert_eq!(ensemble.members[leader].mode().unwrap().as_deref(), Some("follower"));
    ensemble.pause(followers[0]).unwrap();
    ensemble.members[followers[0]].mode().unwrap_err();
    ensemble.resume(followers[0]).unwrap();
    ensemble.wait_quorum().unwrap();
    ensemble.stop(leader).unwrap();
    assert!(!ensemble.members[leader].runs());
}

#[test]
fn of_3_9() {
    life(Version::V3_9, 1);
}

#[test]
fn of_3_8_and_3_5() {
    life(Version::V3_8, 0);
    life(Version::V3_5, 0);
}

#[test]
fn of_3_4() {
    life(Version::V3_4, 0);
}

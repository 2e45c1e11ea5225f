//! What needs no Java: the text of zoo.cfg. Live ensembles are in the product's interop tests.

use super::*;

fn cfg(version: Version, index: usize) -> String {
    let dir = tempfile::tempdir().unwrap();
    let spec = EnsembleSpec::new(version, dir.path()).observers(1).pages().with("tickTime=500");
    let mut ensemble = spec.prepare(&Cache::open().unwrap()).unwrap();
    ensemble.set_line(index, "tickTime=700");
    ensemble.set_line(index, "snapCount=9");
    let list: Vec<_> = ensemble.members.iter().map(Member::listing).collect();
    ensemble.members[index].zoo_cfg(&list)
}

#[test]
fn a_members_own_line_replaces_the_ensembles_and_ours() {
    let text = cfg(Version::V3_9, 1);
    let ticks: Vec<&str> = text.lines().filter(|line| line.starts_with("tickTime")).collect();
    assert_eq!(ticks, ["tickTime=700"]);
    assert!(text.contains("snapCount=9\n"));
    assert_eq!(text.matches("server.").count(), 4);
    assert_eq!(text.matches(":participant;127.0.0.1:").count(), 3);
    assert!(text.contains("metricsProvider.httpPort=") && !text.contains("peerType"));
}

#[test]
fn an_observer_of_3_4_is_told_in_the_words_of_3_4() {
    let text = cfg(Version::V3_4, 3);
    assert!(text.contains("peerType=observer\n") && text.contains("clientPort="), "{text}");
    assert!(text.contains(":observer\n") && !text.contains(';'), "{text}");
    assert!(!text.contains("admin.") && !text.contains("metricsProvider"), "{text}");
}

#[test]
fn ports_lie_below_those_of_outgoing_connections_and_differ() {
    let ports = wait::lasting_ports(50).unwrap();
    let mut distinct = ports.clone();
    distinct.sort_unstable();
    distinct.dedup();
    assert_eq!(distinct.len(), 50);
    assert!(ports.iter().all(|port| (12_000..32_000).contains(port)), "{ports:?}");
}

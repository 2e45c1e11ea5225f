//! One data directory under both servers: what Apache wrote opens here, what we wrote opens there,
//! with equal trees and digests, and Apache's own tools read our files.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;

use wk_peers::process::run;
use wk_peers::{Peer, Process, Server, ServerSpec, java, wait};
use wk_store::{Dirs, OsDisk, RecoverOptions, Recovered, recover};
use wk_tree::TreeOptions;

use crate::harness::{cache, control_spec, peer, start, subject_spec};

/// Keys under which both servers write everything there is, and several snapshots of it.
pub(crate) fn configured(spec: ServerSpec) -> ServerSpec {
    spec.with("extendedTypesEnabled=true").with("snapCount=60").with("preAllocSize=16")
}

pub(crate) fn version_2(dir: &Path) -> PathBuf {
    dir.join("data/version-2")
}

/// Writes one of everything; the session that owns the ephemerals lives on.
pub(crate) fn write(server: &Server, round: u32) -> Process {
    let mut command = tree_py(&["write", &server.address(), &round.to_string()]);
    let log = server.dir.join(format!("writer-{round}.log"));
    let mut writer = Process::start("the writer", &mut command, &log).unwrap();
    wait::until("everything written", wait::LONG, || {
        assert!(writer.ended()?.is_none(), "the writer ended:\n{}", writer.tail());
        Ok(writer.output().contains("ready").then_some(()))
    })
    .unwrap();
    writer
}

/// Every znode with data, stat and ACL, a line each.
fn dump(server: &Server) -> String {
    let mut command = tree_py(&["dump", &server.address()]);
    run("print the tree", &mut command).unwrap_or_else(|err| panic!("{err:#}"))
}

fn tree_py(args: &[&str]) -> Command {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it/disk/tree.py");
    let mut command = Command::new(peer(Peer::Python).join("bin/python"));
    command.arg(script).args(args).env("PYTHONDONTWRITEBYTECODE", "1");
    command
}

/// How the newest snapshot is packed: what follows the zxid in its name.
fn newest_packing(dir: &Path) -> String {
    let files = std::fs::read_dir(version_2(dir)).unwrap();
    let names = files.map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let snapshots = names.filter_map(|name| {
        let rest = name.strip_prefix("snapshot.")?;
        let (zxid, method) = rest.split_once('.').unwrap_or((rest, ""));
        Some((i64::from_str_radix(zxid, 16).ok()?, method.to_owned()))
    });
    snapshots.max().unwrap().1
}

fn mismatches(server: &Server) -> String {
    let words = server.four_letter("mntr").unwrap();
    let line = words.lines().find(|line| line.starts_with("zk_digest_mismatches_count"));
    line.unwrap().split_whitespace().last().unwrap().to_owned()
}

fn assert_equal(left: &str, right: &str, what: &str) {
    let differ = || left.lines().zip(right.lines()).find(|(l, r)| l != r);
    assert!(left == right, "{what}: {:#?}", differ());
    assert!(left.lines().count() > 100, "{left}");
}

/// Recovers a copy of the directory here in the test, and says what came out.
fn recover_copy(dir: &Path) -> Recovered {
    let copy = tempfile::tempdir().unwrap();
    for entry in std::fs::read_dir(version_2(dir)).unwrap() {
        let entry = entry.unwrap();
        std::fs::copy(entry.path(), copy.path().join(entry.file_name())).unwrap();
    }
    let tree = TreeOptions { extended_types: true, ..TreeOptions::default() };
    let options = RecoverOptions { tree, ..RecoverOptions::default() };
    let dirs = Dirs::same(Arc::new(OsDisk::new(copy.path())));
    recover(&dirs, &options).unwrap_or_else(|err| panic!("{err}"))
}

/// The digest that Apache says its tree had when it was loaded.
fn digest_at_start(server: &Server) -> u64 {
    let log = server.process.output();
    let digest = log.lines().rev().find_map(|line| line.split_once(", digest is ")).unwrap().1;
    digest.trim().parse().unwrap()
}

#[test]
fn both_servers_take_turns_on_one_directory() {
    let dir = tempfile::tempdir().unwrap();
    let apache = configured(control_spec(dir.path()));
    let ours = configured(subject_spec(dir.path()));
    let mut before: Option<String> = None;
    // Each reads what the other has packed.
    let turns =
        [(&apache, ""), (&ours, "gz"), (&apache, "snappy"), (&ours, "snappy"), (&apache, "gz")];
    for (round, (spec, method)) in turns.into_iter().enumerate() {
        let mut server =
            start(&spec.clone().with(&format!("snapshot.compression.method={method}")));
        let said = server.process.output();
        assert!(!said.contains("problem reading snap") && !said.contains("not usable"), "{said}");
        let found = dump(&server);
        if let Some(before) = &before {
            assert_equal(before, &found, &format!("round {round}"));
        }
        assert_eq!(mismatches(&server), "0", "round {round}");
        let round = u32::try_from(round).unwrap();
        let mut writer = write(&server, round);
        before = Some(dump(&server));
        assert_eq!(newest_packing(dir.path()), method, "round {round}");
        // By turns the power cord and the proper way.
        if round % 2 == 0 {
            server.process.kill().unwrap();
        } else {
            server.stop().unwrap();
        }
        writer.kill().unwrap();
    }
}

#[test]
fn a_directory_of_apaches_gives_apaches_digest() {
    let dir = tempfile::tempdir().unwrap();
    let spec = configured(control_spec(dir.path()));
    let mut server = start(&spec);
    let mut writer = write(&server, 0);
    server.process.kill().unwrap();
    writer.kill().unwrap();
    let ours = recover_copy(dir.path());
    assert_eq!(ours.report.digest_mismatches, 0, "{:?}", ours.report);
    assert_eq!(ours.report.rejected_snapshots, []);
    assert!(ours.report.snapshot.is_some_and(|snapshot| snapshot.zxid.0 > 0));
    assert!(ours.tree.counts().ephemerals >= 2);
    let again = start(&spec);
    assert_eq!(digest_at_start(&again), ours.tree.digest());
}

/// Snapshots taken while sessions write show each znode at another time; the log makes them whole,
/// whoever wrote them and whoever reads them.
#[test]
fn fuzzy_snapshots_under_load_change_hands() {
    for writes in [control_spec, subject_spec] {
        let dir = tempfile::tempdir().unwrap();
        let spec = |make: fn(&Path) -> ServerSpec| make(dir.path()).with("snapCount=200");
        let mut server = start(&spec(writes));
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it/kazoo/load.py");
        let mut load = Command::new(peer(Peer::Python).join("bin/python"));
        load.arg(script).args(["write", &server.address(), "0"]).arg(dir.path().join("journal"));
        load.env("PYTHONDONTWRITEBYTECODE", "1");
        let log = dir.path().join("load.log");
        let mut load = Process::start("the load", &mut load, &log).unwrap();
        wait::until("six snapshots", wait::LONG, || {
            assert!(load.ended()?.is_none(), "the load ended:\n{}", load.tail());
            let files = std::fs::read_dir(version_2(dir.path()))?;
            let names = files.map(|entry| entry.unwrap().file_name().into_string().unwrap());
            Ok((names.filter(|name| name.starts_with("snapshot.")).count() >= 6).then_some(()))
        })
        .unwrap();
        server.process.kill().unwrap();
        load.kill().unwrap();
        let ours = recover_copy(dir.path());
        assert_eq!(ours.report.digest_mismatches, 0, "{:?}", ours.report);
        let apache = start(&spec(control_spec));
        assert_eq!(digest_at_start(&apache), ours.tree.digest(), "{:?}", ours.report);
        assert_eq!(mismatches(&apache), "0");
    }
}

#[test]
fn apaches_tools_read_our_files() {
    let dir = tempfile::tempdir().unwrap();
    let mut server = start(&configured(subject_spec(dir.path())));
    let mut writer = write(&server, 0);
    let znodes = dump(&server).lines().count();
    server.stop().unwrap();
    writer.kill().unwrap();
    let ours = recover_copy(dir.path());
    let mut snapshots = 0;
    let mut txns = 0;
    for entry in std::fs::read_dir(version_2(dir.path())).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_str().unwrap().to_owned();
        if name.starts_with("snapshot.") {
            snapshots += 1;
            let said = tool("org.apache.zookeeper.server.SnapshotFormatter", &path);
            assert!(said.contains("ZNode Details"), "{name}: {said}");
        }
        if name.starts_with("log.") {
            let said = tool("org.apache.zookeeper.server.persistence.TxnLogToolkit", &path);
            assert!(!said.contains("CRC ERROR"), "{name}: {said}");
            let (_, end) = said.split_once("EOF reached after ").unwrap();
            txns += end.split(' ').next().unwrap().parse::<i64>().unwrap();
        }
    }
    assert!(snapshots >= 2, "{snapshots} snapshots");
    assert_eq!(txns, ours.report.last_zxid.0, "one record a zxid");
    assert!(ours.tree.counts().nodes > znodes);
    let apache = start(&configured(control_spec(dir.path())));
    assert_eq!(digest_at_start(&apache), ours.tree.digest());
    assert_eq!(mismatches(&apache), "0");
}

fn tool(class: &str, file: &Path) -> String {
    let mut command = java::zookeeper_tool(&cache(), &peer(Peer::ZooKeeper)).unwrap();
    command.arg(class).arg(file);
    run(class, &mut command).unwrap_or_else(|err| panic!("{err:#}"))
}

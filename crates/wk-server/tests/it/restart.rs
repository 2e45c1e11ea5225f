//! What outlives a stop, and which data is refused.

use crate::harness::{Client, TestServer, create, until};
use std::path::Path;
use wk_proto::client::CreateMode;
use wk_server::zoo_cfg::ServerConfig;
use wk_server::{Server, StartError};

#[test]
fn data_and_sessions_outlive_a_stop() {
    let dir = tempfile::tempdir().unwrap();
    let server = TestServer::start_in(dir.path(), |_| {});
    let mut client = server.client();
    client.create("/kept", b"value");
    client.call(&create("/ephemeral", b"", CreateMode::Ephemeral));
    let (session, password) = (client.session, client.password);
    assert_eq!(server.stop().exit_code(), 0);
    let server = TestServer::start_in(dir.path(), |_| {});
    let mut resumed = Client::resume(server.connect(), session, password);
    assert_eq!(resumed.session, session);
    assert_eq!(resumed.get("/kept").unwrap(), b"value");
    assert_eq!(resumed.get("/ephemeral").unwrap(), b"", "its session lives");
}

#[test]
fn a_first_snapshot_is_written_and_later_ones_do_not_stall() {
    let dir = tempfile::tempdir().unwrap();
    let server = TestServer::start_in(dir.path(), |config| config.storage.snap_count = 100);
    let mut client = server.client();
    for i in 0..400 {
        client.create(&format!("/n{i}"), b"data");
    }
    let snapshots = || {
        let files = std::fs::read_dir(dir.path().join("version-2")).unwrap();
        let names = files.map(|file| file.unwrap().file_name().into_string().unwrap());
        names.filter(|name| name.starts_with("snapshot.")).count()
    };
    until("three snapshots", || snapshots() >= 3);
    until("they are counted", || server.metric("snapshottime") > 0.0 || snapshots() > 3);
    assert_eq!(server.stop().exit_code(), 0);
    let server = TestServer::start_in(dir.path(), |_| {});
    let mut client = server.client();
    for i in 0..400 {
        assert_eq!(client.get(&format!("/n{i}")).unwrap(), b"data", "/n{i}");
    }
}

#[test]
fn missing_directory_is_an_error_with_exit_code_3() {
    let dir = tempfile::tempdir().unwrap();
    let mut config = ServerConfig::for_directory(&dir.path().join("missing"));
    config.storage.autocreate = false;
    let err = Server::start(config).unwrap_err();
    assert_eq!(err.exit_code(), 3, "{err}");
    let file = dir.path().join("file");
    std::fs::write(&file, b"").unwrap();
    let err = Server::start(ServerConfig::for_directory(&file)).unwrap_err();
    assert!(matches!(err, StartError::Store(_)));
    assert_eq!(err.exit_code(), 3, "{err}");
}

#[test]
fn damage_in_the_middle_of_the_log_is_refused_with_exit_code_10() {
    let dir = tempfile::tempdir().unwrap();
    let server = TestServer::start_in(dir.path(), |_| {});
    let mut client = server.client();
    for i in 0..20 {
        client.create(&format!("/n{i}"), b"some data to damage");
    }
    assert_eq!(server.stop().exit_code(), 0);
    let log = newest(&dir.path().join("version-2"), "log.");
    let mut bytes = std::fs::read(&log).unwrap();
    let at = bytes.windows(9).position(|w| w == b"/n10\0\0\0\x13s").unwrap();
    bytes[at + 12] ^= 0x20;
    std::fs::write(&log, bytes).unwrap();
    let err = Server::start(ServerConfig::for_directory(dir.path())).unwrap_err();
    assert_eq!(err.exit_code(), 10);
    let text = err.to_string();
    assert!(text.contains(&log.display().to_string()) && text.contains("offset"), "{text}");
}

fn newest(dir: &Path, prefix: &str) -> std::path::PathBuf {
    let files = std::fs::read_dir(dir).unwrap().map(|file| file.unwrap().path());
    let is_one = |path: &std::path::PathBuf| {
        path.file_name().is_some_and(|name| name.to_string_lossy().starts_with(prefix))
    };
    files.filter(is_one).max().unwrap()
}

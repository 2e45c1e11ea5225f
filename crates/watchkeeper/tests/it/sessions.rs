//! Sessions of clients that vanish: each ends in its time, with its ephemerals, and no other does.

use wk_peers::wait;
use wk_proto::client::request::CreateMode;

use crate::harness::{start, subject_spec};
use crate::raw::Session;

#[test]
fn sessions_of_vanished_clients_end_and_no_others() {
    let dir = tempfile::tempdir().unwrap();
    let server = start(&subject_spec(dir.path()).with("tickTime=100"));
    let mut stays = Session::open(&server, 60_000);
    assert_eq!(stays.create("/stays", b"", CreateMode::Ephemeral), 0);
    for round in 0..10 {
        let mut sessions = Vec::new();
        for at in 0..20 {
            let mut session = Session::open(&server, 200 + 37 * at);
            let path = format!("/r{round}-{at}");
            assert_eq!(session.create(&path, b"", CreateMode::Ephemeral), 0);
            sessions.push((session, path));
            // Half of them vanish one by one while others still come.
            if at % 2 == 1 {
                sessions.remove(0);
            }
        }
        let paths: Vec<String> = sessions.iter().map(|(_, path)| path.clone()).collect();
        drop(sessions);
        for path in paths {
            wait::until("the end of a session", wait::LONG, || {
                Ok((stays.exists(&path, true) != 0).then_some(()))
            })
            .unwrap();
        }
    }
    wait::until("the last of them", wait::LONG, || {
        Ok(server.four_letter("mntr")?.contains("zk_ephemerals_count\t1\n").then_some(()))
    })
    .unwrap();
    assert_eq!(stays.exists("/stays", false), 0);
}

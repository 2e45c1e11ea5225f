//! Garbage before, in and after the handshake, and clients that fall silent.

use crate::harness::{TestServer, handshake, is_closed, read_frame, until};
use std::io::Write as _;
use std::net::Shutdown;
use std::time::Duration;
use wk_proto::SessionId;

/// The server serves on: somebody else's request is answered.
fn serves(server: &TestServer) {
    assert_eq!(server.word("ruok"), "imok");
    assert_eq!(server.client().get("/nothing"), None);
}

#[test]
fn garbage_before_the_handshake_closes_without_a_word() {
    let server = TestServer::start();
    let cases: [&[u8]; 6] = [
        b"GET / HTTP/1.1\r\nHost: x\r\n\r\n",
        &[0x16, 0x03, 0x01, 0x02, 0x00],
        &[0xff, 0xff, 0xff, 0xff],
        &[0x80, 0, 0, 0],
        &[0x7f, 0xff, 0xff, 0xff],
        &[0, 0, 0, 3, 1, 2, 3],
    ];
    for bytes in cases {
        let mut stream = server.connect();
        stream.write_all(bytes).unwrap();
        assert!(is_closed(&stream), "{bytes:?}");
    }
    serves(&server);
}

#[test]
fn garbage_after_the_handshake_closes_only_its_connection() {
    let server = TestServer::start();
    let mut other = server.client();
    for bytes in [&[0xff, 0xff, 0xff, 0xfe][..], &[0, 0, 0, 2, 1, 2], &[0x00, 0x20, 0, 0, 1]] {
        let mut client = server.client();
        client.stream.write_all(bytes).unwrap();
        assert!(read_frame(&mut client.stream).unwrap().is_none(), "{bytes:?}");
    }
    assert_eq!(other.get("/nothing"), None);
    serves(&server);
}

#[test]
fn a_frame_above_the_limit_is_refused_and_one_at_it_is_not() {
    let server = TestServer::start_with(|config| config.limits.request_bytes_max = 1000);
    let mut client = server.client();
    client.create("/a", &[7; 900]);
    client.stream.write_all(&1001_i32.to_be_bytes()).unwrap();
    assert!(read_frame(&mut client.stream).unwrap().is_none());
    serves(&server);
}

#[test]
fn an_announced_length_takes_no_memory_before_its_bytes_come() {
    let server = TestServer::start_with(|config| config.limits.request_bytes_max = 1 << 30);
    let before = server.metric("num_alive_connections");
    let streams: Vec<_> = (0..50)
        .map(|_| {
            let mut stream = server.connect();
            stream.write_all(&(1_i32 << 30).to_be_bytes()).unwrap();
            stream.write_all(&[0; 16]).unwrap();
            stream
        })
        .collect();
    until("all are taken in", || server.metric("num_alive_connections") - before >= 50.0);
    let resident = resident_bytes();
    assert!(resident < 1 << 30, "50 GB were announced, {resident} bytes are in use");
    serves(&server);
    drop(streams);
}

fn resident_bytes() -> u64 {
    let statm = std::fs::read_to_string("/proc/self/statm").unwrap();
    statm.split_whitespace().nth(1).unwrap().parse::<u64>().unwrap() * 4096
}

#[test]
fn half_open_and_silent_connections_are_closed_in_time() {
    let server = TestServer::start_with(|config| {
        config.limits.sessionless_timeout = Duration::from_millis(100);
    });
    let silent = server.connect();
    let mut halfway = server.connect();
    halfway.write_all(&handshake(SessionId::NONE, [0; 16])[..20]).unwrap();
    let client = server.client();
    assert!(is_closed(&silent) && is_closed(&halfway));
    until("both are counted", || server.metric("sessionless_connections_expired") >= 2.0);
    let mut client = client;
    assert_eq!(client.get("/nothing"), None, "a session keeps its connection");
}

#[test]
fn a_client_that_stops_sending_is_forgotten() {
    let server = TestServer::start();
    let client = server.client();
    assert!((server.metric("num_alive_connections") - 1.0).abs() < f64::EPSILON);
    client.stream.shutdown(Shutdown::Write).unwrap();
    until("the connection is gone", || server.metric("num_alive_connections") < 1.0);
    assert!((server.metric("connection_drop_count") - 1.0).abs() < f64::EPSILON);
    assert!((server.metric("global_sessions") - 1.0).abs() < f64::EPSILON, "its session lives on");
}

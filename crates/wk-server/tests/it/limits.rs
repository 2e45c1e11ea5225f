//! Limits on connections and on what a client that does not read may cost.

use crate::harness::{TestServer, create, get, is_closed, request, until};
use std::io::Write as _;
use wk_proto::Xid;
use wk_proto::client::{CreateMode, Request};
use wk_server::{Server, StartError};

#[test]
fn connections_of_one_address_are_limited() {
    let server = TestServer::start_with(|config| config.limits.client_cnxns_max = 3);
    let mut clients: Vec<_> = (0..3).map(|_| server.client()).collect();
    assert!(is_closed(&server.connect()), "the fourth is closed at once");
    let inside = server.handle.connect_in_process().unwrap();
    inside.set_nonblocking(false).unwrap();
    crate::harness::Client::new(inside);
    assert!((server.metric("connection_rejected") - 1.0).abs() < f64::EPSILON);
    drop(clients.pop());
    until("room again", || {
        let mut stream = server.connect();
        stream.write_all(b"ruok").unwrap();
        !is_closed(&stream)
    });
}

#[test]
fn connections_in_all_are_limited() {
    let server = TestServer::start_with(|config| config.limits.cnxns_max = 2);
    let _clients = [server.client(), server.client()];
    assert!(is_closed(&server.connect()));
}

#[test]
fn a_client_that_never_reads_costs_bounded_memory_and_harms_nobody() {
    let soft = 256 << 10;
    let server = TestServer::start_with(|config| {
        config.limits.unsent_bytes_soft = soft;
        config.limits.unsent_bytes_hard = 4 << 20;
    });
    let mut client = server.client();
    client.create("/big", &vec![1; 100_000]);
    // Ten thousand requests ask for a gigabyte; nothing of it is read.
    let frame = request(9, &get("/big"));
    let mut deaf = server.client();
    deaf.stream.set_nonblocking(true).unwrap();
    let mut sent = 0;
    let mut others = server.client();
    for _ in 0..10_000 {
        if deaf.stream.write_all(&frame).is_err() {
            break;
        }
        sent += 1;
    }
    assert!(sent > 100);
    assert_eq!(others.get("/big").unwrap().len(), 100_000, "others are served");
    // What was answered is what the kernel holds and the soft limit allows, not what was asked.
    let answered = server.metric("response_bytes");
    assert!(answered < 64e6, "{answered} bytes of replies for {sent} requests");
    until("it stays so", || (server.metric("response_bytes") - answered).abs() < 2e6);
    // Once it reads, everything comes.
    deaf.stream.set_nonblocking(false).unwrap();
    for _ in 0..100 {
        assert_eq!(deaf.reply().header.err, 0);
    }
}

#[test]
fn a_client_that_asks_much_behind_a_write_gets_all_of_it() {
    let server = TestServer::start_with(|config| {
        config.limits.unsent_bytes_soft = 64 << 10;
        config.limits.unsent_bytes_hard = 1 << 20;
    });
    let mut client = server.client();
    client.create("/big", &vec![1; 500_000]);
    let mut bytes = request(1, &create("/write", b"", CreateMode::Persistent));
    for xid in 2..=60 {
        bytes.extend(request(xid, &get("/big")));
    }
    client.stream.write_all(&bytes).unwrap();
    for xid in 1..=60 {
        let reply = client.reply();
        assert_eq!((reply.header.xid, reply.header.err), (Xid(xid), 0), "of 30 MB");
    }
}

#[test]
fn a_client_that_never_reads_gains_nothing_by_asking_behind_writes() {
    let server = TestServer::start_with(|config| {
        config.limits.unsent_bytes_soft = 64 << 10;
        config.limits.unsent_bytes_hard = 1 << 20;
    });
    let mut client = server.client();
    client.create("/big", &vec![1; 100_000]);
    let mut deaf = server.client();
    let mut bytes = Vec::new();
    for xid in 1..=5_000 {
        bytes.extend(match xid % 500 {
            1 => request(xid, &create("/write", b"", CreateMode::Persistent)),
            _ => request(xid, &get("/big")),
        });
    }
    // The kernel's buffers hold all of it, so that writing it does not wait for the server.
    deaf.stream.write_all(&bytes).unwrap();
    until("the first write is answered", || client.get("/write").is_some());
    let mut before = -1.0;
    until("it is read no further", || {
        let answered = server.metric("response_bytes");
        (answered - std::mem::replace(&mut before, answered)).abs() < 1e5
    });
    assert!(before < 64e6, "{before} bytes of replies, of 500 MB");
    // Once it reads, everything comes, in order.
    for xid in 1..=5_000 {
        assert_eq!(deaf.reply().header.xid, Xid(xid));
    }
}

#[test]
fn a_watcher_that_never_reads_is_closed_at_the_hard_limit() {
    let server = TestServer::start_with(|config| {
        config.limits.unsent_bytes_soft = 16 << 10;
        config.limits.unsent_bytes_hard = 64 << 10;
    });
    let mut writer = server.client();
    // Long paths make large events: the kernel's buffers are soon full.
    let path = format!("/{}", "w".repeat(200_000));
    let mut deaf = server.client();
    deaf.call(&Request::AddWatch { path: &path, mode: 0 });
    let before = server.metric("num_alive_connections");
    until("the deaf one is closed", || {
        for _ in 0..10 {
            writer.call(&create(&path, b"", CreateMode::Persistent));
            writer.call(&Request::Delete { path: &path, version: -1 });
        }
        server.metric("num_alive_connections") < before
    });
    assert_eq!(writer.get("/nothing"), None);
}

#[test]
fn a_taken_port_is_said_with_the_option_that_changes_it() {
    let server = TestServer::start();
    let dir = tempfile::tempdir().unwrap();
    let mut config = wk_server::zoo_cfg::ServerConfig::for_directory(dir.path());
    config.client_addr = Some(server.addr());
    let err = Server::start(config).unwrap_err();
    assert!(matches!(err, StartError::Listen { .. }));
    assert_eq!(err.exit_code(), 1);
    let text = err.to_string();
    assert!(text.contains(&server.addr().to_string()) && text.contains("clientPort"), "{text}");
}

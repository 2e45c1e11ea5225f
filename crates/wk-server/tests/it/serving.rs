//! Plain service: writes, pipelines, large requests, clients in the process, the end.

use crate::harness::{Client, TestServer, create, get, read_frame, request};
use std::io::Write as _;
use wk_proto::client::{CreateMode, ReplyHeader, Request};
use wk_proto::{Reader, Xid};

#[test]
fn writes_are_read_back_by_others() {
    let server = TestServer::start();
    let mut writer = server.client();
    let mut reader = server.client();
    writer.create("/a", b"one");
    assert_eq!(reader.get("/a").unwrap(), b"one");
    assert_eq!(reader.get("/b"), None);
}

#[test]
fn a_pipeline_is_answered_in_order_byte_by_byte() {
    let server = TestServer::start();
    let mut client = server.client();
    let mut bytes = Vec::new();
    for i in 1..=200 {
        let path = format!("/n{i}");
        let what =
            if i % 2 == 1 { create(&path, b"x", CreateMode::Persistent) } else { get("/n1") };
        bytes.extend(request(i, &what));
    }
    // In pieces that cut frames at every place.
    for piece in bytes.chunks(7) {
        client.stream.write_all(piece).unwrap();
    }
    for i in 1..=200 {
        let reply = client.reply();
        assert_eq!((reply.header.xid, reply.header.err), (Xid(i), 0));
    }
}

#[test]
fn a_client_inside_the_process_is_a_client() {
    let server = TestServer::start();
    let stream = server.handle.connect_in_process().unwrap();
    stream.set_nonblocking(false).unwrap();
    let mut inside = Client::new(stream);
    inside.create("/from-inside", b"1");
    assert_eq!(server.client().get("/from-inside").unwrap(), b"1");
    assert!(server.word("cons").contains(" /in-process[1](queued=0,recved=2,sent=2,sid=0x1"));
}

#[test]
fn a_large_request_and_reply_pass_whole() {
    let server = TestServer::start();
    let mut client = server.client();
    let data: Vec<u8> = (0..900_000_u32).map(|i| i.to_le_bytes()[0]).collect();
    client.create("/large", &data);
    assert_eq!(client.get("/large").unwrap(), data);
    assert!(server.metric("bytes_received_count") > 900_000.0);
    assert!(server.metric("response_bytes") > 900_000.0);
}

#[test]
fn closing_a_session_is_answered_and_told() {
    let server = TestServer::start();
    let mut ends = server.handle.session_ends();
    let mut client = server.client();
    client.call(&create("/e", b"", CreateMode::Ephemeral));
    let xid = client.send(&Request::CloseSession);
    let frame = read_frame(&mut client.stream).unwrap().unwrap();
    let header = ReplyHeader::decode(&mut Reader::new(&frame)).unwrap();
    assert_eq!((header.xid, header.err), (Xid(xid), 0));
    assert!(read_frame(&mut client.stream).unwrap().is_none(), "closed after the reply");
    let end = server.block_on(ends.recv()).unwrap();
    assert_eq!((end.session, end.expired), (client.session, false));
    assert_eq!(end.ephemerals, ["/e"]);
    assert_eq!(end.zxid, header.zxid);
}

#[test]
fn a_stopped_server_says_so_and_has_answered() {
    let server = TestServer::start();
    let mut client = server.client();
    let handle = server.handle.clone();
    for _ in 0..50 {
        client.send(&create("/s", b"", CreateMode::PersistentSequential));
    }
    // All of them are on their way once the first is answered.
    assert_eq!(client.reply().header.err, 0);
    assert_eq!(server.stop().exit_code(), 0);
    let mut answered = 1;
    while let Ok(Some(_)) = read_frame(&mut client.stream) {
        answered += 1;
    }
    assert!((1..=50).contains(&answered));
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    assert!(runtime.block_on(handle.stats()).is_err());
}

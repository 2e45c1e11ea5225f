//! A disk that fills up, fails, or dies under a serving server.

use crate::harness::{Client, TestServer, create, handshake_of_nobody, read_frame, until};
use std::io::{self, Write as _};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;
use wk_proto::client::CreateMode;
use wk_server::ExitReason;
use wk_store::mem_disk::{Fault, FaultKind, MemDisk};
use wk_store::{DirEntry, Dirs, Disk, DiskFile};

/// Bytes after which the disk is full: a few hundred txns.
const ROOM: u64 = 64 << 10;

#[test]
fn a_full_disk_refuses_writes_serves_reads_and_loses_nothing_acknowledged() {
    let disk = MemDisk::new();
    let server = TestServer::start_on(&disk);
    let mut reader = server.client();
    let mut writer = server.client();
    disk.set_capacity(Some(ROOM));
    let mut acknowledged = 0;
    // Until one is not answered: its connection is closed.
    loop {
        let path = format!("/n{acknowledged}");
        writer.send(&create(&path, &[1; 500], CreateMode::Persistent));
        match read_frame(&mut writer.stream).unwrap() {
            Some(_) => acknowledged += 1,
            None => break,
        }
        assert!(acknowledged < 10_000, "the disk never fills");
    }
    assert!(acknowledged > 10);
    assert_eq!(reader.get("/n0").unwrap().len(), 500, "reads go on");
    assert!(server.word("srvr").contains("Mode: standalone"));
    assert!((server.metric("unrecoverable_error_count") - 1.0).abs() < f64::EPSILON);
    // No new session either: it would be a write.
    let mut refused = server.connect();
    std::io::Write::write_all(&mut refused, &crate::harness::handshake_of_nobody()).unwrap();
    assert!(read_frame(&mut refused).unwrap().is_none());
    disk.set_capacity(None);
    until("writes are taken again", || {
        let mut again = server.connect();
        std::io::Write::write_all(&mut again, &crate::harness::handshake_of_nobody()).unwrap();
        read_frame(&mut again).unwrap().is_some()
    });
    let (session, password) = (reader.session, reader.password);
    reader.create("/after", b"");
    assert_eq!(server.stop(), ExitReason::Shutdown);
    disk.crash(7);
    let server = TestServer::start_on(&disk);
    let mut client = Client::resume(server.connect(), session, password);
    for n in 0..acknowledged {
        assert!(client.get(&format!("/n{n}")).is_some(), "/n{n} was acknowledged");
    }
    assert!(client.get("/after").is_some());
}

#[test]
fn a_dead_disk_ends_the_server_with_exit_code_10() {
    let disk = MemDisk::new();
    let server = TestServer::start_on(&disk);
    let mut client = server.client();
    client.create("/kept", b"");
    let next = disk.ops();
    for op in next..next + 50 {
        disk.fault_at(op, Fault::Fail(FaultKind::Io));
    }
    client.send(&create("/lost", b"", CreateMode::Persistent));
    assert!(read_frame(&mut client.stream).unwrap().is_none(), "it is not acknowledged");
    let reason = server.block_on(server.handle.wait());
    assert!(matches!(reason, ExitReason::LogBroken { .. }), "{reason}");
    assert_eq!(reason.exit_code(), 10);
    disk.clear_faults();
    disk.crash(3);
    let server = TestServer::start_on(&disk);
    assert!(server.client().get("/kept").is_some());
}

#[test]
fn a_failing_sync_is_never_trusted_to_a_second_one() {
    let disk = MemDisk::new();
    let server = TestServer::start_on(&disk);
    let mut client = server.client();
    client.create("/before", b"");
    // The next operations are the batch's write and its sync: the sync fails, once.
    disk.fault_at(disk.ops() + 1, Fault::Fail(FaultKind::Io));
    client.send(&create("/pending", b"", CreateMode::Persistent));
    assert!(read_frame(&mut client.stream).unwrap().is_none(), "it is not acknowledged");
    until("healed", || {
        let mut again = server.connect();
        std::io::Write::write_all(&mut again, &crate::harness::handshake_of_nobody()).unwrap();
        read_frame(&mut again).unwrap().is_some()
    });
    assert_eq!(server.stop(), ExitReason::Shutdown);
    disk.crash(11);
    let server = TestServer::start_on(&disk);
    let mut client = server.client();
    assert!(client.get("/before").is_some());
    assert!(client.get("/pending").is_some(), "written anew to a new file");
}

/// A disk that panics under one of the server's threads.
struct PanicsUnder {
    thread: &'static str,
    disk: MemDisk,
}

impl PanicsUnder {
    fn dirs(thread: &'static str) -> Dirs {
        Dirs::same(Arc::new(Self { thread, disk: MemDisk::new() }))
    }

    fn disk(&self) -> &MemDisk {
        assert_ne!(std::thread::current().name(), Some(self.thread), "panics as it is to");
        &self.disk
    }
}

impl Disk for PanicsUnder {
    fn list(&self) -> io::Result<Vec<DirEntry>> {
        self.disk().list()
    }

    fn create(&self, name: &str) -> io::Result<Box<dyn DiskFile>> {
        self.disk().create(name)
    }

    fn open(&self, name: &str) -> io::Result<Box<dyn DiskFile>> {
        self.disk().open(name)
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        self.disk().remove(name)
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        self.disk().rename(from, to)
    }

    fn sync_dir(&self) -> io::Result<()> {
        self.disk().sync_dir()
    }

    fn path(&self, name: &str) -> PathBuf {
        self.disk.path(name)
    }
}

#[test]
fn a_panic_of_the_disk_thread_ends_the_server_with_exit_code_10() {
    let server = TestServer::start_over(PanicsUnder::dirs("wk-disk"), |_| {});
    let mut stream = server.connect();
    // A new session is a write.
    stream.write_all(&handshake_of_nobody()).unwrap();
    assert!(read_frame(&mut stream).unwrap().is_none(), "it is not acknowledged");
    let reason = server.block_on(server.handle.wait());
    assert!(matches!(reason, ExitReason::LogBroken { .. }), "{reason}");
    assert_eq!(reason.exit_code(), 10);
}

#[test]
fn a_panic_of_the_snapshot_thread_ends_the_server_with_exit_code_1() {
    let server = TestServer::start_over(PanicsUnder::dirs("wk-snapshot"), |config| {
        // The first purge is at the start.
        config.storage.purge_interval = Some(Duration::from_hours(1));
    });
    let reason = server.block_on(server.handle.wait());
    assert_eq!(reason, ExitReason::SnapshotsPanicked);
    assert_eq!(reason.exit_code(), 1);
}

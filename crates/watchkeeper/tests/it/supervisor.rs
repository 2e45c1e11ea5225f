//! `watchkeeper server` under systemd's protocols: readiness, the watchdog, sockets handed over.

use std::fs;
use std::os::unix::net::UnixDatagram;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use wk_peers::{Peer, Process, wait};

use crate::harness::{binary, peer};

/// Listens on a port as descriptor 3, as systemd does, and becomes the rest of its arguments.
const HAND_OVER: &str = "\
import os, socket, sys
s = socket.socket()
s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
s.bind(('127.0.0.1', int(sys.argv[1])))
s.listen(50)
os.dup2(s.fileno(), 3)
os.set_inheritable(3, True)
os.environ.update(LISTEN_FDS='1', LISTEN_PID=str(os.getpid()))
os.execv(sys.argv[2], sys.argv[2:])
";

fn zoo_cfg(dir: &Path, port: u16) -> std::path::PathBuf {
    let cfg = dir.join("zoo.cfg");
    let text = format!(
        "dataDir={}\nclientPort={port}\nclientPortAddress=127.0.0.1\nadmin.enableServer=false\n",
        dir.join("data").display()
    );
    fs::write(&cfg, text).unwrap();
    cfg
}

#[test]
fn systemd_hears_of_readiness_life_and_end() {
    let dir = tempfile::tempdir().unwrap();
    let [port] = wait::free_ports().unwrap();
    let path = dir.path().join("notify");
    let socket = UnixDatagram::bind(&path).unwrap();
    socket.set_read_timeout(Some(Duration::from_mins(1))).unwrap();
    let next = || {
        let mut message = [0; 256];
        let len = socket.recv(&mut message).unwrap();
        String::from_utf8_lossy(&message[..len]).into_owned()
    };
    // systemd names the process that it watches.
    let mut command = Command::new("sh");
    command.args(["-c", "WATCHDOG_PID=$$ exec \"$@\"", "sh"]);
    command.arg(binary()).arg("server").arg(zoo_cfg(dir.path(), port));
    command.env("NOTIFY_SOCKET", &path).env("WATCHDOG_USEC", "200000");
    let mut server = Process::start("server", &mut command, &dir.path().join("log")).unwrap();
    let first = next();
    assert!(first.contains("READY=1") && first.contains(&format!(":{port}")), "{first}");
    assert!(wait::four_letter(port, "srvr").unwrap().contains("Mode:"), "ready when it serves");
    assert!((0..3).all(|_| next().contains("WATCHDOG=1")));
    server.signal(wk_peers::process::Signal::TERM).unwrap();
    wait::until("the word of its end", wait::LONG, || {
        Ok(next().contains("STOPPING=1").then_some(()))
    })
    .unwrap();
    assert!(server.wait(wait::LONG).unwrap().success());
}

#[test]
fn a_socket_that_is_handed_over_is_served_and_a_stranger_refused() {
    let dir = tempfile::tempdir().unwrap();
    let [port, other] = wait::free_ports().unwrap();
    let cfg = zoo_cfg(dir.path(), port);
    let start = |held: u16, log: &str| {
        let mut command = Command::new(peer(Peer::Python).join("bin/python"));
        command.args(["-c", HAND_OVER, &held.to_string()]).arg(binary()).arg("server").arg(&cfg);
        Process::start("server", &mut command, &dir.path().join(log)).unwrap()
    };
    // It could not open the port itself: somebody has it.
    let mut server = start(port, "log");
    wait::until("the server", wait::LONG, || {
        assert!(server.ended()?.is_none(), "{}", server.tail());
        let answer = wait::four_letter(port, "srvr").unwrap_or_default();
        Ok(answer.contains("Mode:").then_some(()))
    })
    .unwrap();
    server.terminate(wait::LONG).unwrap();
    let mut server = start(other, "refused");
    let code = server.wait(wait::LONG).unwrap().code();
    let said = server.tail();
    assert_eq!(code, Some(2), "{said}");
    assert!(said.contains(&other.to_string()) && said.contains("clientPort"), "{said}");
}

//! The verbs of our own command line, run as users run them, against our server and Apache 3.9.5.
//!
//! Both servers are fresh and see the same commands in the same order, so that even the zxids in
//! the transcripts are equal; only times, ports and session ids are masked.
#![expect(clippy::format_push_string, reason = "a transcript is a string that grows")]

use std::fs;
use std::path::Path;
use std::process::{Command, Output, Stdio};

use expect_test::expect_file;
use wk_peers::{Process, Server, wait};

use crate::harness::{binary, control, start, subject, subject_spec};

/// Runs our command line at `server`.
fn verb(server: &str, args: &[&str]) -> Command {
    let mut command = Command::new(binary());
    command
        .args(args)
        .env("WATCHKEEPER_SERVER", server)
        .env_remove("WATCHKEEPER_AUTH")
        .stdin(Stdio::null());
    command
}

fn run(server: &Server, args: &[&str]) -> Output {
    verb(&server.address(), args).output().unwrap()
}

fn stdout(server: &Server, args: &[&str]) -> String {
    let output = run(server, args);
    assert!(output.status.success(), "{args:?}: {output:?}");
    String::from_utf8(output.stdout).unwrap()
}

/// Masks what differs from run to run: times, ages, session ids, the server's address.
fn mask(text: &str, server: &Server) -> String {
    let text = text.replace(&server.address(), "SERVER");
    let mut masked = String::new();
    for line in text.lines() {
        masked.push_str(&mask_line(line));
        masked.push('\n');
    }
    masked
}

fn mask_line(line: &str) -> String {
    let mut words: Vec<String> = line.split(' ').map(mask_word).collect();
    // `ls -l`: version, bytes, children, age, owner, name.
    let filled: Vec<usize> = (0..words.len()).filter(|at| !words[*at].is_empty()).collect();
    if let [_, _, _, age, _, _] = filled[..]
        && words[filled[0]].parse::<i32>().is_ok()
    {
        "AGE".clone_into(&mut words[age]);
    }
    words.join(" ")
}

fn mask_word(word: &str) -> String {
    let bare = word.trim_matches(|c: char| !c.is_ascii_alphanumeric());
    let is_time = bare.len() == 24 && bare.ends_with('Z') && bare.contains('T');
    let is_session = bare.starts_with("0x") && bare.len() >= 15;
    // `(3s ago)`
    let is_age = word.starts_with('(') && bare.len() > 1 && bare.ends_with(['s', 'm', 'h', 'd']);
    match (is_time, is_session) {
        _ if is_age && bare[..bare.len() - 1].parse::<u32>().is_ok() => "(AGE".to_owned(),
        (true, _) => word.replace(bare, "TIME"),
        (_, true) => word.replace(bare, "SESSION"),
        _ if word.contains("time\":\"") => mask_json(word),
        _ => word.to_owned(),
    }
}

/// Times inside a line of JSON, which has no blanks.
fn mask_json(line: &str) -> String {
    let mut parts = line.split("time\":\"");
    let mut masked = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        masked.push_str("time\":\"TIME");
        masked.push_str(&part[24..]);
    }
    masked
}

/// Runs each line of `script` as a command and writes down what came of it.
fn transcript(server: &Server, dir: &Path, script: &str) -> String {
    let mut seen = String::new();
    for line in script.lines().map(str::trim).filter(|line| !line.is_empty()) {
        let args: Vec<&str> = line.split(' ').collect();
        let output = verb(&server.address(), &args).current_dir(dir).output().unwrap();
        let code = output.status.code().unwrap();
        seen.push_str(&format!("$ watchkeeper {line}\n"));
        seen.push_str(&mask(&String::from_utf8_lossy(&output.stdout), server));
        for line in mask(&String::from_utf8_lossy(&output.stderr), server).lines() {
            seen.push_str(&format!("! {line}\n"));
        }
        if code != 0 {
            seen.push_str(&format!("= {code}\n"));
        }
    }
    seen
}

/// The golden transcript holds for both servers.
fn check(name: &str, script: &str) {
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("bytes"), b"\xff\x00line\n").unwrap();
    fs::write(dir.path().join("large"), vec![b'x'; 1_100_000]).unwrap();
    fs::write(dir.path().join("auth"), "# ours\ndigest:alice:secret\n").unwrap();
    let golden = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it/shell").join(name);
    for server in [control(), subject()] {
        let seen = transcript(&server, dir.path(), script);
        expect_file![&golden].assert_eq(&seen);
    }
}

#[test]
fn znodes_in_every_form() {
    check(
        "forms.txt",
        "create /a hello
         create /a/null
         create /a/empty -o json --timeout 9s
         set /a/empty @/dev/null
         create -p /a/deep/er/still x -o jsonl
         create -s -e /a/seq- one --session-timeout 40s
         create /a/bytes @bytes
         get /a
         get /a --stat
         get /a -o json
         get /a/null -o jsonl
         get /a/empty -o jsonl
         get /a/bytes
         get /a/bytes -o jsonl
         get /a /a/null /a/bytes -o json
         get /a /a/empty /a/deep
         ls /a
         ls -l /a
         ls /a -o json
         ls /a -o jsonl
         ls -R /a
         ls -R /a -o jsonl
         ls -l /a/deep -o jsonl
         ls /a/null
         ls /a/null -o json
         stat /a
         stat /a -o json
         stat /a /a/deep -o jsonl
         set /a bye
         set /a bye-bye --if-version 1 -o json
         set /new made --create -o jsonl
         set /a @bytes -o raw
         delete /new
         ls -R /",
    );
}

#[test]
fn exit_codes_of_the_table() {
    check(
        "exit-codes.txt",
        "create /a x
         get /a
         get a
         get
         get /a --output yaml
         get /a --timeout soon
         set /a @/no/such/file
         create /a -t 5s -e
         get /missing
         set /missing x
         stat /missing
         ls /missing
         delete /missing
         create /missing/child x
         create /a again
         set /a x --if-version 7
         create /a/b x
         delete /a
         delete /a --if-version 7
         create -e /e mine --session-timeout 40s
         create /e/child x
         create /ro x world:anyone:r
         set /ro y
         create /ro/child x
         set /a @large
         get /a /missing
         get /missing /gone
         delete /a/b /missing
         get /a --server 127.0.0.1:1 --timeout 300ms
         get /a --server no-port:x
         get /a --auth digest:alice:secret
         get /a --auth digest:alice:${WK_NOT_SET}
         create /acl x world:anyone:q
         delete /zookeeper",
    );
}

#[test]
fn spellings_of_zkcli() {
    check(
        "zkcli.txt",
        "create /box data
         create -s -e /box/n- x --session-timeout 40s
         create -c /box/container
         create /box/mine x digest:alice:aYXlLOpEooaV1cRAvUL1fp9Qt7E=:cdrwa
         get /box/mine
         get /box/mine --auth-file auth
         set -v 0 /box new
         delete -v 1 /box
         create /box/deep x
         create /box/deep/er x
         ls -R /box
         delete -r /box
         deleteall /box
         ls /",
    );
}

#[test]
fn raw_is_the_exact_bytes() {
    for server in [subject(), control()] {
        let dir = tempfile::tempdir().unwrap();
        let bytes: Vec<u8> = (0..=255).cycle().take(70_000).collect();
        let file = dir.path().join("bytes");
        fs::write(&file, &bytes).unwrap();
        let create = verb(&server.address(), &["create", "/a", "-"])
            .stdin(fs::File::open(&file).unwrap())
            .output()
            .unwrap();
        assert!(create.status.success(), "{create:?}");
        assert_eq!(run(&server, &["get", "/a", "-o", "raw"]).stdout, bytes);
        assert_eq!(run(&server, &["get", "/a", "--raw"]).stdout, bytes);
    }
}

/// Creates so many children of a znode.
fn many(server: &str, parent: &str, count: usize) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let client = wk_client::Client::builder(server).connect().await.unwrap();
        for start in (0..count).step_by(100) {
            let multi =
                (start..count.min(start + 100)).fold(wk_client::Multi::new(), |multi, n| {
                    let path = format!("{parent}/{n}");
                    multi.create(&path, None, wk_client::CreateMode::Persistent)
                });
            client.multi(multi).await.unwrap();
        }
        client.close().await.unwrap();
    });
}

#[test]
fn deleting_a_tree_asks_and_counts() {
    for server in [subject(), control()] {
        stdout(&server, &["create", "-p", "/top/a", "x"]);
        // More than one request can delete.
        many(&server.address(), "/top/a", 1200);
        let answered = |answer: &str| {
            let dir = tempfile::tempdir().unwrap();
            let file = dir.path().join("answer");
            fs::write(&file, answer).unwrap();
            let mut command = verb(&server.address(), &["delete", "-r", "/top"]);
            command.stdin(fs::File::open(&file).unwrap()).output().unwrap()
        };
        let refused = answered("n\n");
        assert_eq!(refused.status.code(), Some(2));
        let asked = String::from_utf8(refused.stderr).unwrap();
        assert!(asked.contains("1202 znodes?"), "{asked}");
        assert_eq!(stdout(&server, &["ls", "/top"]), "a\n");
        assert!(answered("y\n").status.success());
        assert_eq!(stdout(&server, &["ls", "/"]), "zookeeper\n");
    }
}

#[test]
fn a_reader_who_takes_his_time_does_not_cost_the_session() {
    use std::io::Read;
    let dir = tempfile::tempdir().unwrap();
    // Short ticks allow short sessions.
    let server = start(&subject_spec(dir.path()).with("tickTime=200"));
    let long = format!("/{}", "x".repeat(100));
    stdout(&server, &["create", &long]);
    // More than pipe and buffers hold together.
    many(&server.address(), &long, 3000);
    let args = ["ls", "-R", "/", "--session-timeout", "1s", "--timeout", "9s"];
    let mut command = verb(&server.address(), &args);
    let mut listing = command.stdout(Stdio::piped()).spawn().unwrap();
    let mut output = listing.stdout.take().unwrap();
    let mut start = [0];
    output.read_exact(&mut start).unwrap();
    // What this is about: more time than the session may be silent.
    std::thread::sleep(std::time::Duration::from_secs(3));
    let mut rest = String::new();
    output.read_to_string(&mut rest).unwrap();
    assert!(listing.wait().unwrap().success());
    assert_eq!(rest.lines().count(), 3000 + 5, "all of it, and the root's own four");
}

#[test]
fn a_chroot_is_all_that_a_verb_sees() {
    for server in [subject(), control()] {
        stdout(&server, &["create", "/app", "x"]);
        let chroot = format!("{}/app", server.address());
        let at = |args: &[&str]| {
            let output = verb(&chroot, args).output().unwrap();
            assert!(output.status.success(), "{args:?}: {output:?}");
            String::from_utf8(output.stdout).unwrap()
        };
        assert_eq!(at(&["create", "-s", "/n-", "y"]), "/n-0000000000\n");
        assert_eq!(at(&["ls", "-R", "/"]), "/\n/n-0000000000\n");
        assert_eq!(stdout(&server, &["ls", "-R", "/app"]), "/app\n/app/n-0000000000\n");
    }
}

/// Starts a verb that stays, with its output in a file.
fn stay(server: &str, dir: &Path, name: &str, args: &[&str]) -> Process {
    let mut command = verb(server, args);
    Process::start(name, &mut command, &dir.join(name)).unwrap()
}

/// Waits until a verb that stays has printed so many lines.
fn lines(process: &Process, count: usize) -> Vec<String> {
    let what = format!("{count} lines");
    wait::until(&what, wait::LONG, || {
        let seen: Vec<String> = process.output().lines().map(str::to_owned).collect();
        Ok((seen.len() >= count).then_some(seen))
    })
    .unwrap_or_else(|err| panic!("{err:#}\n{}", process.tail()))
}

#[test]
fn a_watch_goes_on_after_the_server_was_restarted() {
    let dir = tempfile::tempdir().unwrap();
    let [port] = wait::free_ports().unwrap();
    let spec = subject_spec(dir.path()).with(&format!("clientPort={port}"));
    let address = format!("127.0.0.1:{port}");
    let at = |args: &[&str]| {
        let output = verb(&address, args).output().unwrap();
        assert!(output.status.success(), "{args:?}: {output:?}");
    };
    let restart = || {
        let mut server = spec.spawn(&crate::harness::cache()).unwrap();
        server.client = port;
        server.wait_ready().unwrap_or_else(|err| panic!("{err:#}\n{}", server.process.tail()));
        server
    };
    let server = restart();
    at(&["create", "/a", "0"]);
    let watch = &["watch", "-r", "/a", "--initial", "-o", "jsonl"];
    let mut watch = stay(&address, dir.path(), "watch", watch);
    lines(&watch, 1);
    at(&["set", "/a", "1"]);
    at(&["create", "/a/b", "x"]);
    at(&["delete", "/a/b"]);
    lines(&watch, 4);
    drop(server);
    let _server = restart();
    lines(&watch, 5);
    at(&["set", "/a", "2"]);
    let seen = lines(&watch, 6);
    let events: Vec<serde_json::Value> =
        seen.iter().map(|line| serde_json::from_str(line).unwrap()).collect();
    let names: Vec<&str> = events.iter().map(|event| event["event"].as_str().unwrap()).collect();
    assert_eq!(names, ["created", "changed", "created", "deleted", "resync", "changed"]);
    let zxids = events.iter().filter_map(|event| event["zxid"].as_str());
    assert!(zxids.clone().is_sorted() && zxids.clone().all(|zxid| zxid.starts_with("0x")));
    watch.signal(rustix::process::Signal::INT).unwrap();
    assert_eq!(watch.wait(wait::LONG).unwrap().code(), Some(130));
}

#[test]
fn verbs_that_stay_follow_changes() {
    for server in [subject(), control()] {
        let dir = tempfile::tempdir().unwrap();
        let address = server.address();
        stdout(&server, &["create", "/a", "0"]);
        let get = stay(&address, dir.path(), "get", &["get", "/a", "--watch"]);
        let ls = stay(&address, dir.path(), "ls", &["ls", "/a", "--watch", "-o", "jsonl"]);
        let script = "echo $WATCHKEEPER_EVENT_TYPE $WATCHKEEPER_EVENT_PATH";
        let mut once = stay(
            &address,
            dir.path(),
            "once",
            &["watch", "/b", "-n", "1", "--", "sh", "-c", script],
        );
        lines(&get, 1);
        // The watches are armed once the server counts them.
        wait::until("three armed watches", wait::LONG, || {
            let wchs = server.four_letter("wchs")?;
            Ok(wchs.contains("watching 2 paths").then_some(()))
        })
        .unwrap();
        stdout(&server, &["set", "/a", "1"]);
        assert_eq!(lines(&get, 2), ["0", "1"]);
        stdout(&server, &["create", "/a/c", "x"]);
        stdout(&server, &["delete", "/a/c"]);
        let seen = lines(&ls, 2);
        assert!(seen[0].starts_with(r#"{"event":"created","path":"/a/c","zxid":"0x"#), "{seen:?}");
        assert!(seen[1].starts_with(r#"{"event":"deleted","path":"/a/c","zxid":"0x"#), "{seen:?}");
        stdout(&server, &["create", "/b", "x"]);
        assert!(once.wait(wait::LONG).unwrap().success());
        assert_eq!(lines(&once, 1), ["created /b"]);
    }
}

#[test]
fn an_ephemeral_that_is_held_goes_with_the_command() {
    for server in [subject(), control()] {
        let dir = tempfile::tempdir().unwrap();
        let args = &["create", "-e", "--hold", "/e", "mine"];
        let mut held = stay(&server.address(), dir.path(), "held", args);
        assert_eq!(lines(&held, 1), ["/e"]);
        assert_eq!(stdout(&server, &["get", "/e"]), "mine\n");
        assert_eq!(held.terminate(wait::LONG).unwrap().code(), Some(143));
        // Closed in good order: nobody waits for a timeout.
        assert_eq!(run(&server, &["stat", "/e"]).status.code(), Some(3));
    }
}

#[test]
fn a_member_says_how_its_program_ended() {
    for server in [subject(), control()] {
        let joined = |script: &str| {
            let output = run(&server, &["member", "join", "shop/web-1", "--", "sh", "-c", script]);
            output.status.code().unwrap()
        };
        let node = || stdout(&server, &["get", "/nodes/shop/web-1"]);
        let alive = || run(&server, &["stat", "/nodes/shop/web-1/alive"]).status.code();
        // Down at once, and without the mark of leaving.
        assert_eq!(joined("exit 7"), 7);
        assert!(!node().contains("leaving"), "{}", node());
        assert_eq!(alive(), Some(3));
        assert_eq!(joined("kill -9 $$"), 137);
        assert!(!node().contains("leaving"), "{}", node());
        // Left on purpose: the mark is there before `alive` goes.
        assert_eq!(joined("exit 0"), 0);
        assert!(node().contains("\"state\":\"leaving\""), "{}", node());
        assert_eq!(alive(), Some(3));
        // The next life takes the mark away again, and a SIGTERM is passed on.
        let dir = tempfile::tempdir().unwrap();
        let script = "trap 'exit 9' TERM; echo up; while :; do sleep 0.05; done";
        let args = &["member", "join", "shop/web-1", "--", "sh", "-c", script];
        let mut member = stay(&server.address(), dir.path(), "member", args);
        wait::until("the program's first line", wait::LONG, || {
            Ok(member.output().contains("up\n").then_some(()))
        })
        .unwrap();
        wait::until("the mark's end", wait::LONG, || {
            Ok((!node().contains("leaving")).then_some(()))
        })
        .unwrap();
        assert_eq!(alive(), Some(0));
        assert_eq!(member.terminate(wait::LONG).unwrap().code(), Some(9));
        assert!(node().contains("\"state\":\"leaving\""), "{}", node());
        assert_eq!(alive(), Some(3));
    }
}

#[test]
fn a_killed_member_is_neither_left_nor_alive_once_its_session_is_over() {
    let server = subject();
    let dir = tempfile::tempdir().unwrap();
    let args = &["member", "join", "web-2", "--session-timeout", "4s"];
    let mut member = stay(&server.address(), dir.path(), "member", args);
    lines(&member, 1);
    let alive = || run(&server, &["stat", "/nodes/web-2/alive"]).status.code();
    assert_eq!(alive(), Some(0));
    member.kill().unwrap();
    wait::until("the session's end", wait::LONG, || Ok((alive() == Some(3)).then_some(())))
        .unwrap();
    assert!(!stdout(&server, &["get", "/nodes/web-2"]).contains("leaving"));
}

#[test]
fn a_member_paused_beyond_its_session_joins_again() {
    let dir = tempfile::tempdir().unwrap();
    // Short ticks allow short sessions.
    let server = start(&subject_spec(dir.path()).with("tickTime=200"));
    let args = &["member", "join", "web-3", "--session-timeout", "1s", "--", "sleep", "1000"];
    let mut member = stay(&server.address(), dir.path(), "member", args);
    lines(&member, 1);
    let owner = || {
        let output = run(&server, &["stat", "/nodes/web-3/alive", "-o", "json"]);
        let stat: Option<serde_json::Value> = serde_json::from_slice(&output.stdout).ok();
        stat.map(|stat| stat["stat"]["ephemeral_owner"].as_str().unwrap().to_owned())
    };
    let before = owner().expect("alive");
    member.signal(rustix::process::Signal::STOP).unwrap();
    wait::until("the session's end", wait::LONG, || Ok(owner().is_none().then_some(()))).unwrap();
    member.signal(rustix::process::Signal::CONT).unwrap();
    let after = wait::until("the next life", wait::LONG, || Ok(owner())).unwrap();
    assert_ne!(before, after, "another session");
}

#[test]
fn a_server_that_answers_nothing_is_given_up_in_time() {
    let dir = tempfile::tempdir().unwrap();
    let server = start(&subject_spec(dir.path()));
    stdout(&server, &["create", "/a", "x"]);
    // Stopped, it takes the request and answers nothing.
    rustix::process::kill_process(
        rustix::process::Pid::from_raw(i32::try_from(server.process.id()).unwrap()).unwrap(),
        rustix::process::Signal::STOP,
    )
    .unwrap();
    let output = run(&server, &["get", "/a", "--timeout", "500ms"]);
    assert_eq!(output.status.code(), Some(6), "{output:?}");
}

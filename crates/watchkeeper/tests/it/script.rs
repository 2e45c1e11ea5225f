//! One scripted session, byte by byte, at our server and at Apache ZooKeeper 3.9.5.
//!
//! Both begin with an empty tree, so zxids, versions and xids must be equal as they are; times,
//! session ids and passwords are masked, lists of names are sorted. What the script does stands in
//! `wk_peers::script::session`.

use std::fmt::Write;

use wk_peers::script::mask::{Mask, wall_ms};
use wk_peers::script::{Exchange, play, session};
use wk_peers::{Flavor, ServerSpec};

use crate::harness::{control_spec, start, subject_spec};

#[test]
fn every_reply_and_event_is_as_apache_sends_it() {
    let ours = transcript(subject_spec);
    let theirs = transcript(control_spec);
    let mut differences = String::new();
    let mut equal = 0;
    for (ours, theirs) in ours.iter().zip(&theirs) {
        if ours == theirs {
            equal += 1;
        } else {
            describe(&mut differences, ours, theirs);
        }
    }
    assert_eq!(ours.len(), theirs.len(), "one of the sessions ended early");
    assert!(differences.is_empty(), "{equal} steps are equal, these are not:\n{differences}");
    assert!(equal > 150, "the script lost its steps: {equal}");
}

fn transcript(spec: fn(&std::path::Path) -> ServerSpec) -> Vec<Exchange> {
    let dir = tempfile::tempdir().unwrap();
    let mut spec = spec(dir.path());
    for line in session::CONFIG {
        spec = spec.with(line);
    }
    for flag in session::JVM_FLAGS {
        spec = spec.with_jvm_flag(flag);
    }
    let who = if matches!(spec.flavor, Flavor::Apache) { "Apache" } else { "our server" };
    let from = wall_ms();
    let server = start(&spec);
    let played = play(server.client, &session::main()).unwrap_or_else(|err| {
        panic!("{who}: {err:#}\n--- its log ends\n{}", server.process.tail());
    });
    let mask = Mask::new(&played, from, wall_ms());
    let hidden = played.exchanges.iter().map(|exchange| mask.hide_all(exchange));
    hidden.map(Exchange::with_names_sorted).collect()
}

fn describe(out: &mut String, ours: &Exchange, theirs: &Exchange) {
    writeln!(out, "{}:", theirs.name).unwrap();
    for (who, exchange) in [("ours  ", ours), ("theirs", theirs)] {
        for frame in &exchange.received {
            writeln!(out, "  {who} {}", hex(frame)).unwrap();
        }
        for (client, frame) in &exchange.others {
            writeln!(out, "  {who} to client {client}: {}", hex(frame)).unwrap();
        }
        if exchange.closed {
            writeln!(out, "  {who} closes").unwrap();
        }
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

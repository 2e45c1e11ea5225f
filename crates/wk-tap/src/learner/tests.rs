//! The machine against a scripted leader: real bytes, faults at every byte, lies.

use std::path::Path;

use wk_proto::quorum::{LearnerInfo, Packet, PacketKind, split};
use wk_proto::txn::{TxnHeader, encode_record};
use wk_proto::{Epoch, OpCode, SessionId, Txn, Wall};

use super::*;

mod faults;
mod model;

fn golden(name: &str) -> Vec<u8> {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../golden/zookeeper-3.9.5-ensemble");
    std::fs::read(dir.join(format!("quorum-{name}.bin"))).unwrap()
}

/// A learner with what it produced.
pub(super) struct Bench {
    pub(super) learner: Learner,
    pub(super) now: Mono,
    pub(super) wire: Vec<u8>,
    pub(super) effects: Vec<Effect>,
}

impl Bench {
    pub(super) fn new(config: LearnerConfig, position: Option<Zxid>) -> Self {
        let learner = Learner::new(config, position, Mono::default());
        let mut bench =
            Self { learner, now: Mono::default(), wire: Vec::new(), effects: Vec::new() };
        bench.step(Input::Tick);
        bench
    }

    pub(super) fn step(&mut self, input: Input<'_>) {
        let mut out = Out { wire: std::mem::take(&mut self.wire), effects: Vec::new() };
        self.learner.step(self.now, input, &mut out);
        self.wire = out.wire;
        self.effects.append(&mut out.effects);
    }

    /// Lets time pass until a leader is looked for.
    pub(super) fn until_find(&mut self) {
        for _ in 0..100 {
            if self.effects.contains(&Effect::Find) {
                self.effects.retain(|effect| *effect != Effect::Find);
                return;
            }
            self.now = self.learner.next_timeout();
            self.step(Input::Tick);
        }
        panic!("no leader is looked for");
    }

    pub(super) fn connect(&mut self, last: Zxid) {
        self.until_find();
        self.step(Input::Connected { last });
    }

    pub(super) fn send(&mut self, kind: PacketKind, zxid: i64, data: Option<&[u8]>) {
        self.step(Input::Bytes(&bytes(kind, zxid, data)));
    }

    /// What was sent to the leader.
    pub(super) fn sent(&mut self) -> Vec<(PacketKind, i64)> {
        let wire = std::mem::take(&mut self.wire);
        let mut rest = &wire[..];
        let mut found = Vec::new();
        while let Some(packet) = split(&mut rest, 1 << 20).unwrap() {
            found.push((packet.kind, packet.zxid.0));
        }
        found
    }

    pub(super) fn left(&self) -> Option<&Left> {
        self.effects.iter().rev().find_map(|effect| match effect {
            Effect::Hangup(why) => Some(why),
            Effect::Find | Effect::Live { .. } | Effect::Event(_) => None,
        })
    }

    /// The events so far, as text.
    pub(super) fn events(&self) -> Vec<String> {
        let name = |effect: &Effect| match effect {
            Effect::Event(Event::Txn { zxid, .. }) => Some(zxid.to_string()),
            Effect::Event(Event::Resync { from, to }) => Some(format!("{from}..{to}")),
            Effect::Find | Effect::Live { .. } | Effect::Hangup(_) => None,
        };
        self.effects.iter().filter_map(name).collect()
    }
}

pub(super) fn bytes(kind: PacketKind, zxid: i64, data: Option<&[u8]>) -> Vec<u8> {
    let mut out = Vec::new();
    Packet::new(kind, Zxid(zxid), data).encode(&mut out);
    out
}

pub(super) fn record(zxid: i64) -> Vec<u8> {
    let header = TxnHeader {
        session: SessionId(7),
        cxid: 1,
        zxid: Zxid(zxid),
        time: Wall(5),
        op: OpCode::Delete,
    };
    let mut out = Vec::new();
    encode_record(&header, &Txn::Delete { path: "/a".into() }, None, &mut out);
    out
}

pub(super) const VERSION: [u8; 4] = [0, 1, 0, 0];

/// Takes the learner through the handshake up to the header.
fn greeted(position: i64, epoch: i64) -> Bench {
    let mut bench = Bench::new(LearnerConfig::default(), Some(Zxid(position)));
    bench.connect(Zxid(position));
    bench.send(PacketKind::LeaderInfo, epoch << 32, Some(&VERSION));
    bench
}

/// ... and on until the stream flows.
fn live(position: i64, epoch: i64) -> Bench {
    let mut bench = greeted(position, epoch);
    bench.send(PacketKind::Diff, position, None);
    bench.send(PacketKind::NewLeader, epoch << 32, Some(b"version=0"));
    bench.send(PacketKind::UpToDate, -1, None);
    bench.effects.clear();
    bench
}

#[test]
fn apaches_stream_comes_out_in_order_however_it_is_cut() {
    let leader = golden("inform-leader");
    let want: Vec<_> = (1..=13).map(|n| Zxid(0x1_0000_0000 + n).to_string()).collect();
    for size in [1, 2, 3, 7, 64, 1000, 1 << 20] {
        let mut bench = Bench::new(LearnerConfig::default(), None);
        bench.connect(Zxid(0x1_0000_0000));
        for piece in leader.chunks(size) {
            bench.step(Input::Bytes(piece));
        }
        assert_eq!(bench.events(), want, "pieces of {size}");
        // Byte for byte what the scripted observer sent that the bytes were captured with.
        assert_eq!(bench.wire, golden("inform-tap"), "pieces of {size}");
    }
}

#[test]
fn a_diff_is_given_out_only_when_the_leader_is_established() {
    let leader = golden("diff-leader");
    let up_to_date = bytes(PacketKind::UpToDate, -1, None);
    let at = leader.windows(up_to_date.len()).position(|found| found == up_to_date).unwrap();
    let mut bench = Bench::new(LearnerConfig::default(), Some(Zxid(0x1_0000_0003)));
    bench.connect(Zxid::ZERO);
    bench.step(Input::Bytes(&leader[..at]));
    assert!(bench.events().is_empty());
    bench.step(Input::Bytes(&leader[at..]));
    assert_eq!(bench.events().len(), 10);
    assert_eq!(bench.learner.position(), Some(Zxid(0x1_0000_000d)));
}

#[test]
fn a_sync_that_dies_before_it_is_complete_leaves_no_trace() {
    let mut bench = greeted(0x1_0000_0003, 2);
    bench.send(PacketKind::Diff, 0x1_0000_0004, None);
    bench.send(PacketKind::Proposal, 0x1_0000_0004, Some(&record(0x1_0000_0004)));
    bench.send(PacketKind::Commit, 0x1_0000_0004, None);
    bench.send(PacketKind::NewLeader, 2 << 32, None);
    bench.step(Input::Closed);
    assert!(bench.events().is_empty());
    // The next leader never had that txn.
    bench.connect(Zxid::ZERO);
    bench.send(PacketKind::LeaderInfo, 3 << 32, Some(&VERSION));
    assert_eq!(bench.sent().last(), Some(&(PacketKind::AckEpoch, 0x1_0000_0003)));
    bench.send(PacketKind::Diff, 0x1_0000_0003, None);
    bench.send(PacketKind::NewLeader, 3 << 32, None);
    bench.send(PacketKind::UpToDate, -1, None);
    bench.send(PacketKind::Inform, 0x3_0000_0001, Some(&record(0x3_0000_0001)));
    assert_eq!(bench.events(), ["0x300000001"]);
}

#[test]
fn pings_are_answered_and_tell_how_far_the_leader_is() {
    let mut bench = live(0x1_0000_0003, 1);
    bench.sent();
    bench.send(PacketKind::Ping, 0x1_0000_0005, None);
    assert_eq!(bench.sent(), [(PacketKind::Ping, 0x1_0000_0005)]);
    assert_eq!(bench.learner.lag(), 2);
    bench.send(PacketKind::Inform, 0x1_0000_0004, Some(&record(0x1_0000_0004)));
    bench.send(PacketKind::Inform, 0x1_0000_0005, Some(&record(0x1_0000_0005)));
    assert_eq!(bench.learner.lag(), 0);
}

#[test]
fn a_change_of_members_is_a_txn_like_others() {
    let mut bench = live(0x1_0000_0003, 1);
    let data = [&3_i64.to_be_bytes()[..], &record(0x1_0000_0004)].concat();
    bench.send(PacketKind::InformAndActivate, 0x1_0000_0004, Some(&data));
    assert_eq!(bench.events(), ["0x100000004"]);
}

#[test]
fn what_comes_twice_is_given_out_once_and_what_is_missing_is_said() {
    let mut bench = live(0x1_0000_0003, 2);
    for zxid in [0x1_0000_0003, 0x1_0000_0004, 0x1_0000_0004, 0x1_0000_0008, 0x2_0000_0001] {
        bench.send(PacketKind::Inform, zxid, Some(&record(zxid)));
    }
    bench.send(PacketKind::Inform, 0x2_0000_0005, Some(&record(0x2_0000_0005)));
    let want = [
        "0x100000004",
        "0x100000004..0x100000007",
        "0x100000008",
        "0x200000001",
        "0x200000001..0x200000004",
        "0x200000005",
    ];
    assert_eq!(bench.events(), want);
    assert_eq!(bench.learner.stats().duplicates, 2);
    assert_eq!(bench.learner.stats().resyncs, 2);
}

#[test]
fn a_snapshot_is_refused_twice_and_the_gap_is_said_once() {
    let mut bench = greeted(0x1_0000_0003, 1);
    for zxid in [0x1_0000_0100, 0x1_0000_0900] {
        bench.send(PacketKind::Snap, zxid, None);
        assert_eq!(bench.left(), Some(&Left::Snapshot(Zxid(zxid))));
        bench.connect(Zxid::ZERO);
        bench.wire.clear();
        bench.send(PacketKind::LeaderInfo, 1 << 32, Some(&VERSION));
        assert_eq!(bench.sent(), [(PacketKind::AckEpoch, zxid)]);
    }
    bench.send(PacketKind::Diff, 0x1_0000_0900, None);
    bench.send(PacketKind::NewLeader, 1 << 32, None);
    assert!(bench.events().is_empty(), "nothing is said of a leader that is not established");
    bench.send(PacketKind::UpToDate, -1, None);
    bench.send(PacketKind::Inform, 0x1_0000_0901, Some(&record(0x1_0000_0901)));
    assert_eq!(bench.events(), ["0x100000003..0x100000900", "0x100000901"]);
}

#[test]
fn a_third_snapshot_is_read_and_passed_over() {
    let config = LearnerConfig { snapshots_refused_max: 0, ..LearnerConfig::default() };
    let mut bench = Bench::new(config, Some(Zxid(0x1_0000_0001)));
    bench.connect(Zxid::ZERO);
    let leader = golden("snap-leader");
    for piece in leader.chunks(5) {
        bench.step(Input::Bytes(piece));
    }
    bench.send(PacketKind::NewLeader, 1 << 32, None);
    bench.send(PacketKind::UpToDate, -1, None);
    bench.send(PacketKind::Inform, 0x1_0000_000e, Some(&record(0x1_0000_000e)));
    assert_eq!(bench.events(), ["0x100000001..0x10000000d", "0x10000000e"]);
    assert_eq!(bench.learner.stats().znodes_skipped, 6);
}

#[test]
fn an_epoch_without_txns_that_ended_is_no_gap() {
    // The tap began at an epoch's beginning; nothing was written before the next election. A
    // leader knows that zxid from no log and offers a snapshot, but not for the zxid before it.
    let mut bench = greeted(4 << 32, 5);
    bench.send(PacketKind::Snap, 5 << 32, None);
    bench.connect(Zxid::ZERO);
    bench.wire.clear();
    bench.send(PacketKind::LeaderInfo, 5 << 32, Some(&VERSION));
    assert_eq!(bench.sent(), [(PacketKind::AckEpoch, (4 << 32) - 1)]);
    bench.send(PacketKind::Trunc, 0x2_0000_0007, None);
    bench.send(PacketKind::NewLeader, 5 << 32, None);
    bench.send(PacketKind::UpToDate, -1, None);
    bench.send(PacketKind::Inform, 0x5_0000_0001, Some(&record(0x5_0000_0001)));
    assert_eq!(bench.events(), ["0x500000001"]);
}

#[test]
fn a_history_that_lost_our_last_txn_is_said() {
    let mut bench = greeted(0x1_0000_0009, 2);
    bench.send(PacketKind::Trunc, 0x1_0000_0005, None);
    bench.send(PacketKind::NewLeader, 2 << 32, None);
    bench.send(PacketKind::UpToDate, -1, None);
    bench.send(PacketKind::Inform, 0x2_0000_0001, Some(&record(0x2_0000_0001)));
    assert_eq!(bench.events(), ["0x100000009..0x100000005", "0x200000001"]);
}

#[test]
fn a_leader_of_an_earlier_epoch_is_left_and_believed_only_when_there_is_no_other() {
    let mut bench = greeted(0x7_0000_0009, 6);
    let stale = Left::StaleEpoch { epoch: 6, last: Zxid(0x7_0000_0009) };
    for _ in 0..5 {
        assert_eq!(bench.left(), Some(&stale));
        bench.effects.clear();
        bench.connect(Zxid::ZERO);
        bench.send(PacketKind::LeaderInfo, 6 << 32, Some(&VERSION));
    }
    assert_eq!(bench.left(), None, "an ensemble that began anew has no later epoch");
    assert_eq!(Zxid(6 << 32).epoch(), Epoch(6));
}

#[test]
fn silence_ends_a_connection_and_waits_grow() {
    let mut bench = live(0x1_0000_0003, 1);
    bench.now = bench.now.after(Duration::from_secs(9));
    bench.step(Input::Tick);
    assert_eq!(bench.left(), None);
    bench.now = bench.now.after(Duration::from_secs(1));
    bench.step(Input::Tick);
    assert_eq!(bench.left(), Some(&Left::Silent(Duration::from_secs(10))));
    let mut waits = Vec::new();
    for _ in 0..7 {
        let before = bench.now;
        bench.until_find();
        waits.push(bench.now.since(before).as_millis());
        bench.step(Input::NotFound);
    }
    assert_eq!(waits, [100, 200, 400, 500, 500, 500, 500]);
}

#[test]
fn too_much_before_up_to_date_becomes_one_gap() {
    let config = LearnerConfig { held_max: 2000, ..LearnerConfig::default() };
    let mut bench = Bench::new(config, Some(Zxid(0x1_0000_0000)));
    bench.connect(Zxid::ZERO);
    bench.send(PacketKind::LeaderInfo, 1 << 32, Some(&VERSION));
    bench.send(PacketKind::Diff, 0x1_0000_0064, None);
    for zxid in 0x1_0000_0001..=0x1_0000_0064_i64 {
        bench.send(PacketKind::Proposal, zxid, Some(&record(zxid)));
        bench.send(PacketKind::Commit, zxid, None);
    }
    bench.send(PacketKind::NewLeader, 1 << 32, None);
    bench.send(PacketKind::UpToDate, -1, None);
    let events = bench.events();
    let (_, end) = events[0].split_once("..").unwrap();
    let end = i64::from_str_radix(&end[2..], 16).unwrap();
    let rest: Vec<_> = (end + 1..=0x1_0000_0064).map(|zxid| Zxid(zxid).to_string()).collect();
    assert_eq!(events[1..], rest, "{events:?}");
    let dropped = bench.learner.stats().dropped;
    assert_eq!(dropped + rest.len() as u64, 100);
    assert!(dropped > 50);
}

#[test]
fn a_gap_that_meets_the_limit_is_still_said() {
    // Whatever event is the one too much, each next txn follows the last or a gap ends before it.
    for held_max in 100..1500 {
        let config = LearnerConfig { held_max, ..LearnerConfig::default() };
        let mut bench = Bench::new(config, Some(Zxid(0x1_0000_0000)));
        bench.connect(Zxid::ZERO);
        bench.send(PacketKind::LeaderInfo, 1 << 32, Some(&VERSION));
        bench.send(PacketKind::Diff, 0x1_0000_0000, None);
        for zxid in (0x1_0000_0001..0x1_0000_0006_i64).chain(0x1_0000_0010..0x1_0000_0013) {
            bench.send(PacketKind::Inform, zxid, Some(&record(zxid)));
        }
        bench.send(PacketKind::NewLeader, 1 << 32, None);
        bench.send(PacketKind::UpToDate, -1, None);
        let mut at = Zxid(0x1_0000_0000);
        for effect in &bench.effects {
            match effect {
                Effect::Event(Event::Txn { zxid, .. }) => {
                    assert_eq!(Some(*zxid), at.next(), "limit {held_max}");
                    at = *zxid;
                }
                Effect::Event(Event::Resync { from, to }) => {
                    assert_eq!(*from, at, "limit {held_max}");
                    at = *to;
                }
                Effect::Find | Effect::Live { .. } | Effect::Hangup(_) => {}
            }
        }
        assert_eq!(at, Zxid(0x1_0000_0012), "limit {held_max}");
    }
}

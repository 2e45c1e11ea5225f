//! Leaders that lie, and bytes that are none of a leader's.

use proptest::prelude::*;

use super::*;

/// What the reason says, and what the leader does at the next zxid.
type Lie = (&'static str, fn(&mut Bench, i64));

#[test]
fn lies_end_the_connection_and_say_why() {
    let at = 0x1_0000_0004;
    let lies: &[Lie] = &[
        ("different zxids", |b, at| b.send(PacketKind::Inform, at, Some(&record(at + 1)))),
        ("cannot give", |b, _| b.send(PacketKind::Inform, 2 << 32, Some(&record(2 << 32)))),
        ("cannot give", |b, _| {
            b.send(PacketKind::Inform, 0x3_0000_0001, Some(&record(0x3_0000_0001)));
        }),
        ("null where", |b, at| b.send(PacketKind::Inform, at, None)),
        ("ends inside", |b, at| b.send(PacketKind::Inform, at, Some(&record(at)[..31]))),
        ("ends inside", |b, at| b.send(PacketKind::InformAndActivate, at, Some(&[0; 7]))),
        ("second sync", |b, at| b.send(PacketKind::Diff, at, None)),
        ("second sync", |b, _| b.send(PacketKind::LeaderInfo, 2 << 32, Some(&VERSION))),
        ("up to date twice", |b, _| b.send(PacketKind::UpToDate, -1, None)),
        ("another epoch", |b, _| b.send(PacketKind::NewLeader, 2 << 32, None)),
        ("does not follow", |b, at| b.send(PacketKind::Commit, at, None)),
        ("does not follow", |b, at| {
            b.send(PacketKind::Proposal, at + 1, Some(&record(at + 1)));
            b.send(PacketKind::Commit, at, None);
        }),
        ("commits nothing", |b, at| {
            for zxid in at..at + 2000 {
                b.send(PacketKind::Proposal, zxid, Some(&record(zxid)));
            }
        }),
        ("does not read", |b, at| {
            for _ in 0..100_000 {
                let mut out = Out { wire: std::mem::take(&mut b.wire), effects: Vec::new() };
                b.learner.step(b.now, Input::Bytes(&bytes(PacketKind::Ping, at, None)), &mut out);
                b.wire = out.wire;
                b.effects.append(&mut out.effects);
            }
        }),
        ("a length of 2147483647", |b, _| {
            b.step(Input::Bytes(&[0, 0, 0, 8, 0, 0, 0, 0, 0, 0, 0, 0, 0x7f, 0xff, 0xff, 0xff]));
        }),
    ];
    for (n, (want, lie)) in lies.iter().enumerate() {
        let mut bench = live(0x1_0000_0003, 2);
        lie(&mut bench, at);
        let left = bench.left().unwrap_or_else(|| panic!("lie {n} ({want}) was believed"));
        assert!(left.to_string().contains(want), "lie {n}: {left}");
        assert!(bench.events().is_empty(), "lie {n}: {:?}", bench.events());
        assert!(bench.wire.is_empty());
        // What we have is still true, and we come back.
        bench.until_find();
    }
}

#[test]
fn a_handshake_out_of_order_ends_the_connection() {
    let mut bench = Bench::new(LearnerConfig::default(), Some(Zxid(5)));
    bench.connect(Zxid::ZERO);
    bench.send(PacketKind::Diff, 5, None);
    assert_eq!(bench.left(), Some(&Left::Protocol("it did not begin with LEADERINFO")));
    for (zxid, data) in [(1 << 32, Some(&[0; 4][..])), (7, Some(&VERSION[..])), (1 << 32, None)] {
        bench.effects.clear();
        bench.now = bench.learner.next_timeout();
        bench.step(Input::Tick);
        bench.connect(Zxid::ZERO);
        bench.send(PacketKind::LeaderInfo, zxid, data);
        assert!(bench.left().is_some(), "{zxid:x} {data:?}");
    }
    let mut bench = greeted(0x1_0000_0003, 1);
    bench.send(PacketKind::Inform, 0x1_0000_0004, Some(&record(0x1_0000_0004)));
    assert!(bench.left().unwrap().to_string().contains("neither DIFF nor SNAP"));
    let mut bench = greeted(0x1_0000_0003, 1);
    bench.send(PacketKind::Trunc, 0x1_0000_0009, None);
    assert!(bench.left().unwrap().to_string().contains("forget what we do not have"));
}

#[test]
fn kinds_of_later_versions_are_passed_over() {
    let mut bench = live(0x1_0000_0003, 1);
    bench.send(PacketKind::Other(20), 0, Some(b"?"));
    bench.send(PacketKind::Sync, 0, None);
    bench.send(PacketKind::Inform, 0x1_0000_0004, Some(&record(0x1_0000_0004)));
    assert_eq!(bench.events(), ["0x100000004"]);
    assert_eq!(bench.learner.stats().ignored, 2);
}

#[test]
fn observer_info_names_an_unlisted_sid_and_promises_nothing() {
    let mut bench = Bench::new(LearnerConfig { sid: -5, ..LearnerConfig::default() }, None);
    bench.connect(Zxid(9));
    let mut rest = &bench.wire[..];
    let packet = split(&mut rest, 1 << 20).unwrap().unwrap();
    assert_eq!((packet.kind, packet.zxid), (PacketKind::ObserverInfo, Zxid::ZERO));
    assert_eq!(LearnerInfo::decode(packet.data.unwrap()).unwrap().sid, -5);
    assert!(rest.is_empty());
}

proptest! {
    /// Whatever a stream holds, and wherever it is cut: no panic, no memory beyond the limits.
    #[test]
    fn prop_no_bytes_make_it_panic(
        start in 0_usize..5, flips in proptest::collection::vec((any::<u16>(), any::<u8>()), 0..6),
        cut in any::<u16>(), garbage in proptest::collection::vec(any::<u8>(), 0..100),
    ) {
        let names = ["inform", "diff", "trunc", "snap", "reconfig"];
        let mut stream = golden(&format!("{}-leader", names[start]));
        for (at, byte) in flips {
            let len = stream.len();
            stream[usize::from(at) % len] = byte;
        }
        stream.truncate(usize::from(cut) % (stream.len() + 1));
        stream.extend_from_slice(&garbage);
        let mut bench = Bench::new(LearnerConfig::default(), Some(Zxid(0x1_0000_0003)));
        bench.connect(Zxid::ZERO);
        for piece in stream.chunks(13) {
            bench.step(Input::Bytes(piece));
        }
        bench.step(Input::Closed);
        bench.until_find();
    }
}

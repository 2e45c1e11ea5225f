//! Packets of a real leader decode and encode back equal; nothing else panics or is believed.

use std::path::Path;

use proptest::prelude::*;

use super::*;
use crate::op::OpCode;
use crate::txn::Record;

const MAX: usize = 1 << 20;

fn golden(name: &str) -> Vec<u8> {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../golden/zookeeper-3.9.5-ensemble");
    std::fs::read(dir.join(format!("quorum-{name}.bin"))).unwrap()
}

/// All packets of a stream, encoded back equal; what follows a SNAP is left.
fn packets(bytes: &[u8]) -> (Vec<Packet<'_>>, &[u8]) {
    let mut rest = bytes;
    let mut found = Vec::new();
    while let Some(packet) = split(&mut rest, MAX).unwrap() {
        found.push(packet);
        if packet.kind == PacketKind::Snap {
            break;
        }
    }
    let mut again = Vec::new();
    for packet in &found {
        packet.encode(&mut again);
    }
    assert_eq!(again, bytes[..bytes.len() - rest.len()]);
    (found, rest)
}

fn kinds(name: &str) -> Vec<PacketKind> {
    let bytes = golden(name);
    let mut kinds: Vec<_> = packets(&bytes).0.iter().map(|p| p.kind).collect();
    kinds.retain(|kind| *kind != PacketKind::Ping);
    kinds.dedup();
    kinds
}

#[test]
fn every_packet_of_apaches_leader_decodes_and_encodes_back_equal() {
    use PacketKind::{
        Ack, AckEpoch, Diff, Inform, InformAndActivate, LeaderInfo, NewLeader, ObserverInfo, Snap,
        Trunc, UpToDate,
    };
    let head = [LeaderInfo, Diff, NewLeader, UpToDate];
    assert_eq!(kinds("inform-leader"), [&head[..], &[Inform]].concat());
    assert_eq!(kinds("trunc-leader"), [LeaderInfo, Trunc, NewLeader, UpToDate]);
    assert_eq!(kinds("snap-leader"), [LeaderInfo, Snap]);
    let reconfig = [&head[..], &[Inform, InformAndActivate, Inform]].concat();
    assert_eq!(kinds("reconfig-leader"), reconfig);
    let diff = kinds("diff-leader");
    assert_eq!(diff.len(), 2 + 2 * 10 + 2, "{diff:?}");
    assert_eq!(diff[2..4], [PacketKind::Proposal, PacketKind::Commit]);
    for tap in ["inform-tap", "diff-tap", "trunc-tap", "reconfig-tap"] {
        assert_eq!(kinds(tap), [ObserverInfo, AckEpoch, Ack], "{tap}");
    }
}

#[test]
fn what_is_inside_decodes_too() {
    let tap = golden("inform-tap");
    let (sent, _) = packets(&tap);
    let info = LearnerInfo::decode(sent[0].data.unwrap()).unwrap();
    assert_eq!(
        info,
        LearnerInfo { sid: 250, protocol_version: PROTOCOL_VERSION, config_version: 0 }
    );
    let mut again = Vec::new();
    info.encode(&mut again);
    assert_eq!(Some(&again[..]), sent[0].data);
    assert_eq!(decode_number(&sent[1]), Ok(-1));
    let answer = sent.iter().find(|p| p.kind == PacketKind::Ping).unwrap();
    assert_eq!(decode_touches(answer), Ok(Vec::new()));

    let leader = golden("inform-leader");
    let (got, _) = packets(&leader);
    assert_eq!(decode_number(&got[0]), Ok(PROTOCOL_VERSION));
    let txns: Vec<_> = got.iter().filter(|p| p.kind == PacketKind::Inform).collect();
    for packet in &txns {
        let record = Record::decode(packet.data.unwrap()).unwrap();
        assert_eq!(record.header.zxid, packet.zxid);
    }
    assert_eq!(txns.len(), 13);

    let reconfig = golden("reconfig-leader");
    let (got, _) = packets(&reconfig);
    let change = got.iter().find(|p| p.kind == PacketKind::InformAndActivate).unwrap();
    let (leader, txn) = decode_activate(change).unwrap();
    assert_eq!(leader, 3);
    assert_eq!(Record::decode(txn).unwrap().header.op, OpCode::Reconfig);
}

#[test]
fn a_snapshot_is_passed_over_in_pieces_of_any_size() {
    let bytes = golden("snap-leader");
    let (_, snapshot) = packets(&bytes);
    let mut with_more = snapshot.to_vec();
    with_more.extend_from_slice(b"next packet");
    for size in 1..with_more.len() {
        let mut skipper = SnapshotSkipper::default();
        let mut at = 0;
        let end = loop {
            let piece = &with_more[at..with_more.len().min(at + size)];
            match skipper.skip(piece).unwrap() {
                Skipped::All => at += piece.len(),
                Skipped::End(used) => break at + used,
            }
        };
        assert_eq!(end, snapshot.len(), "pieces of {size}");
        // The root, /zookeeper with config and quota, /golden and /golden/a.
        assert_eq!(skipper.znodes(), 6);
    }
}

#[test]
fn lengths_that_cannot_be_are_refused_at_once() {
    for len in [-2, i32::MIN, 1 << 20, i32::MAX] {
        let mut bytes = Vec::new();
        bytes.put_i32(8);
        bytes.put_i64(1);
        bytes.put_i32(len);
        let error = split(&mut &bytes[..], MAX).unwrap_err();
        assert_eq!(error, PacketError::Length { kind: 8, len, max: MAX });
    }
    let mut bytes = Vec::new();
    Packet::new(PacketKind::Ack, Zxid(1), None).encode(&mut bytes);
    let at = bytes.len() - 4;
    for count in [-2, 1025, i32::MAX] {
        bytes[at..].copy_from_slice(&i32::to_be_bytes(count));
        assert_eq!(split(&mut &bytes[..], MAX), Err(PacketError::Ids(count)));
    }
    bytes[at..].copy_from_slice(&1_i32.to_be_bytes());
    bytes.put_string("ip");
    bytes.put_string("::1");
    let mut rest = &bytes[..];
    let packet = split(&mut rest, MAX).unwrap().unwrap();
    assert_eq!(packet.authinfo.ids(), Ok(vec![("ip", "::1")]));
    let mut skipper = SnapshotSkipper::default();
    assert!(skipper.skip(&(-2_i32).to_be_bytes()).is_err());
}

fn packet() -> impl Strategy<Value = (i32, i64, Option<Vec<u8>>)> {
    (
        any::<i32>(),
        any::<i64>(),
        proptest::option::of(proptest::collection::vec(any::<u8>(), 0..40)),
    )
}

proptest! {
    #[test]
    fn prop_packets_round_trip_however_cut(sent in proptest::collection::vec(packet(), 1..5)) {
        let mut bytes = Vec::new();
        for (kind, zxid, data) in &sent {
            let kind = PacketKind::from_code(*kind);
            Packet::new(kind, Zxid(*zxid), data.as_deref()).encode(&mut bytes);
        }
        let mut rest = &bytes[..];
        for (kind, zxid, data) in &sent {
            let whole = rest;
            let packet = split(&mut rest, MAX).unwrap().unwrap();
            prop_assert_eq!((packet.kind.code(), packet.zxid.0), (*kind, *zxid));
            prop_assert_eq!(packet.data, data.as_deref());
            for cut in 0..whole.len() - rest.len() {
                prop_assert_eq!(split(&mut &whole[..cut], MAX), Ok(None));
            }
        }
        prop_assert!(rest.is_empty());
    }

    #[test]
    fn prop_garbage_never_panics(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        let mut rest = &bytes[..];
        while let Ok(Some(packet)) = split(&mut rest, 64) {
            let _ = (packet.authinfo.ids(), decode_number(&packet), decode_touches(&packet));
            let _ = (decode_activate(&packet), packet.data.map(LearnerInfo::decode));
        }
        let _ = SnapshotSkipper::default().skip(&bytes);
    }
}

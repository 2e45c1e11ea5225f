//! One connection to a leader: handshake, sync, stream.

use std::collections::VecDeque;
use std::time::Duration;

use wk_proto::quorum::{
    self, LearnerInfo, PROTOCOL_VERSION, Packet, PacketKind, Skipped, SnapshotSkipper,
};
use wk_proto::{Mono, Reader, Zxid};

use super::{Effect, Event, Learner, LearnerConfig, LearnerStats, Left, Out, State};

/// Proposals inside a sync that are not committed yet, at most; a leader sends each commit right
/// behind its proposal.
const PENDING_MAX: usize = 1024;
/// Answers that the leader has not taken yet, at most.
const WIRE_MAX: usize = 1 << 20;
/// How much of an event counts beside its record.
const EVENT_LEN: usize = 64;

/// What the leader may send next.
enum Phase {
    /// LEADERINFO.
    Epoch,
    /// DIFF, SNAP or TRUNC.
    Header,
    /// A snapshot, until its end.
    Snapshot(Box<SnapshotSkipper>),
    /// Txns, then NEWLEADER, then UPTODATE.
    Sync,
    /// Txns and pings.
    Live,
}

/// See the module's head.
pub(super) struct Link {
    phase: Phase,
    heard_at: Mono,
    /// NEWLEADER's zxid: the epoch, counter 0.
    new_leader: Zxid,
    /// What was given out before this connection.
    given: Zxid,
    /// What we go on from.
    base: Zxid,
    /// The zxid before it was named, as it is that of an epoch's beginning.
    ask_before: bool,
    /// The last txn of this connection.
    last: Zxid,
    /// Bytes that are no whole packet yet; shorter than the longest packet.
    unread: Vec<u8>,
    /// Proposed, not committed.
    pending: VecDeque<(Zxid, Vec<u8>)>,
    pending_len: usize,
    /// Committed, but the leader is not established.
    held: Vec<Event>,
    held_len: usize,
}

impl Link {
    pub(super) fn new(now: Mono, given: Zxid, base: Zxid, ask_before: bool) -> Self {
        Self {
            phase: Phase::Epoch,
            heard_at: now,
            new_leader: Zxid::ZERO,
            given,
            base,
            ask_before: ask_before && begins_epoch(base),
            last: base,
            unread: Vec::new(),
            pending: VecDeque::new(),
            pending_len: 0,
            held: Vec::new(),
            held_len: 0,
        }
    }

    pub(super) fn is_live(&self) -> bool {
        matches!(self.phase, Phase::Live)
    }

    pub(super) fn silence_max(&self, config: &LearnerConfig) -> Duration {
        if self.is_live() { config.idle_timeout } else { config.sync_timeout }
    }

    pub(super) fn deadline(&self, config: &LearnerConfig) -> Mono {
        self.heard_at.after(self.silence_max(config))
    }

    /// Who we are: an observer that has promised nothing, so that no election is pushed up.
    pub(super) fn greet(sid: i64, wire: &mut Vec<u8>) {
        let info = LearnerInfo { sid, protocol_version: PROTOCOL_VERSION, config_version: 0 };
        let mut data = Vec::new();
        info.encode(&mut data);
        Packet::new(PacketKind::ObserverInfo, Zxid::ZERO, Some(&data)).encode(wire);
    }

    /// The zxid that the leader is asked to go on from.
    fn asked(&self) -> Zxid {
        if self.ask_before { Zxid(self.base.0 - 1) } else { self.base }
    }

    fn on_leader_info(&mut self, packet: &Packet<'_>, wire: &mut Vec<u8>) -> Result<(), Left> {
        if packet.kind != PacketKind::LeaderInfo {
            return Err(Left::Protocol("it did not begin with LEADERINFO"));
        }
        if quorum::decode_number(packet)? < PROTOCOL_VERSION || packet.zxid.counter() != 0 {
            return Err(Left::Protocol("its LEADERINFO names no version or epoch that can be"));
        }
        self.new_leader = packet.zxid;
        // -1: our word does not count for the epoch.
        let epoch = (-1_i32).to_be_bytes();
        Packet::new(PacketKind::AckEpoch, self.asked(), Some(&epoch)).encode(wire);
        self.phase = Phase::Header;
        Ok(())
    }

    fn on_new_leader(&self, packet: &Packet<'_>, wire: &mut Vec<u8>) -> Result<(), Left> {
        if packet.zxid != self.new_leader || self.is_live() {
            return Err(Left::Protocol("its NEWLEADER is of another epoch"));
        }
        Packet::new(PacketKind::Ack, packet.zxid, None).encode(wire);
        Ok(())
    }

    /// A txn that the leader says is committed.
    fn commit(
        &mut self,
        (zxid, record): (Zxid, Vec<u8>),
        limit: usize,
        stats: &mut LearnerStats,
        out: &mut Out,
    ) -> Result<(), Left> {
        if zxid <= self.last {
            stats.duplicates += 1;
            return Ok(());
        }
        if zxid.counter() == 0 || zxid.epoch() > self.new_leader.epoch() {
            return Err(Left::Protocol("a txn has a zxid that its leader cannot give"));
        }
        let expected = if zxid.epoch() == self.last.epoch() {
            self.last.0 + 1
        } else {
            // What of the earlier epoch came after our last cannot be known; that an epoch begins
            // with 1 can.
            (zxid.0 & !0xffff_ffff) | 1
        };
        if zxid.0 != expected {
            let gap = Event::Resync { from: self.last, to: Zxid(zxid.0 - 1) };
            self.last = Zxid(zxid.0 - 1);
            self.give(gap, limit, stats, out);
        }
        self.last = zxid;
        self.give(Event::Txn { zxid, record }, limit, stats, out);
        Ok(())
    }

    /// Gives an event out, or keeps it until the leader is established.
    fn give(&mut self, event: Event, limit: usize, stats: &mut LearnerStats, out: &mut Out) {
        if self.is_live() {
            count(&event, stats);
            out.effects.push(Effect::Event(event));
            return;
        }
        self.held_len += len_of(&event);
        self.held.push(event);
        if self.held_len > limit {
            // All of it goes: one gap with both ends beats a stream with many.
            stats.dropped +=
                self.held.iter().filter(|event| matches!(event, Event::Txn { .. })).count() as u64;
            self.held = vec![Event::Resync { from: self.given, to: self.last }];
            self.held_len = EVENT_LEN;
        }
    }

    fn propose(&mut self, packet: &Packet<'_>, config: &LearnerConfig) -> Result<(), Left> {
        let (zxid, record) = txn(packet.zxid, packet.required()?)?;
        self.pending_len += record.len();
        self.pending.push_back((zxid, record));
        if self.pending.len() > PENDING_MAX || self.pending_len > config.held_max {
            return Err(Left::Protocol("it proposes without end and commits nothing"));
        }
        Ok(())
    }

    fn take_proposal(&mut self, zxid: Zxid) -> Result<(Zxid, Vec<u8>), Left> {
        let found = self.pending.pop_front().filter(|(proposed, _)| *proposed == zxid);
        let found = found.ok_or(Left::Protocol("a commit does not follow its proposal"))?;
        self.pending_len -= found.1.len();
        Ok(found)
    }
}

impl Learner {
    pub(super) fn on_bytes(&mut self, now: Mono, bytes: &[u8], out: &mut Out) {
        let State::Linked(link) = &mut self.state else { return };
        link.heard_at = now;
        // Whole packets are read where they lie; only the piece of one at the end is kept.
        let mut unread = std::mem::take(&mut link.unread);
        if unread.is_empty() {
            let mut rest = bytes;
            if let Err(why) = self.on_rest(&mut rest, out) {
                return self.leave(now, why, out);
            }
            unread.extend_from_slice(rest);
        } else {
            unread.extend_from_slice(bytes);
            let mut rest = &unread[..];
            if let Err(why) = self.on_rest(&mut rest, out) {
                return self.leave(now, why, out);
            }
            let used = unread.len() - rest.len();
            unread.drain(..used);
        }
        if let State::Linked(link) = &mut self.state {
            link.unread = unread;
        }
    }

    fn on_rest(&mut self, rest: &mut &[u8], out: &mut Out) -> Result<(), Left> {
        loop {
            let State::Linked(link) = &mut self.state else { return Ok(()) };
            if let Phase::Snapshot(skipper) = &mut link.phase {
                match skipper.skip(rest)? {
                    Skipped::All => {
                        *rest = &[];
                        return Ok(());
                    }
                    Skipped::End(used) => {
                        self.stats.snapshots_skipped += 1;
                        self.stats.znodes_skipped += skipper.znodes();
                        link.phase = Phase::Sync;
                        *rest = &rest[used..];
                    }
                }
            }
            let Some(packet) = quorum::split(rest, self.config.packet_max)? else { return Ok(()) };
            match link.phase {
                Phase::Epoch => self.on_epoch(&packet, out)?,
                Phase::Header => self.on_header(&packet, out)?,
                Phase::Sync | Phase::Live => self.on_packet(&packet, out)?,
                Phase::Snapshot(_) => {}
            }
        }
    }

    fn on_epoch(&mut self, packet: &Packet<'_>, out: &mut Out) -> Result<(), Left> {
        let State::Linked(link) = &mut self.state else { return Ok(()) };
        link.on_leader_info(packet, &mut out.wire)?;
        let (epoch, last) = (packet.zxid.epoch(), link.base);
        if epoch < last.epoch() && self.stale_epochs < self.config.stale_epochs_max {
            self.stale_epochs += 1;
            return Err(Left::StaleEpoch { epoch: epoch.0, last });
        }
        Ok(())
    }

    /// How the leader goes on: from where we asked, from elsewhere, or with everything.
    fn on_header(&mut self, packet: &Packet<'_>, out: &mut Out) -> Result<(), Left> {
        let State::Linked(link) = &mut self.state else { return Ok(()) };
        let (zxid, asked) = (packet.zxid, link.asked());
        let base = if packet.kind == PacketKind::Diff {
            link.phase = Phase::Sync;
            link.base
        } else if packet.kind == PacketKind::Trunc && zxid > asked {
            return Err(Left::Protocol("it tells us to forget what we do not have"));
        } else if packet.kind == PacketKind::Trunc {
            link.phase = Phase::Sync;
            // No txn has the zxid before an epoch's: there is nothing of ours to forget.
            if link.ask_before { link.base } else { zxid }
        } else if packet.kind != PacketKind::Snap {
            return Err(Left::Protocol("it began with neither DIFF nor SNAP nor TRUNC"));
        } else if zxid != link.base && begins_epoch(link.base) && !link.ask_before {
            // A leader knows no way from an epoch in which nothing was written; from the end of
            // the one before it does.
            self.ask_before = true;
            return Err(Left::Snapshot(zxid));
        } else if self.snapshots_refused < self.config.snapshots_refused_max {
            self.snapshots_refused += 1;
            self.ask_before = false;
            self.jump = Some(zxid);
            return Err(Left::Snapshot(zxid));
        } else {
            link.phase = Phase::Snapshot(Box::default());
            zxid
        };
        link.base = base;
        link.last = base;
        if base != link.given {
            let gap = Event::Resync { from: link.given, to: base };
            link.give(gap, self.config.held_max, &mut self.stats, out);
        }
        Ok(())
    }

    fn on_packet(&mut self, packet: &Packet<'_>, out: &mut Out) -> Result<(), Left> {
        let State::Linked(link) = &mut self.state else { return Ok(()) };
        let limit = self.config.held_max;
        let committed = match packet.kind {
            PacketKind::Inform => Some(txn(packet.zxid, packet.required()?)?),
            PacketKind::InformAndActivate => {
                Some(txn(packet.zxid, quorum::decode_activate(packet)?.1)?)
            }
            PacketKind::Proposal => {
                link.propose(packet, &self.config)?;
                None
            }
            PacketKind::Commit | PacketKind::CommitAndActivate => {
                Some(link.take_proposal(packet.zxid)?)
            }
            PacketKind::NewLeader => return link.on_new_leader(packet, &mut out.wire),
            PacketKind::UpToDate => return self.on_up_to_date(out),
            PacketKind::Ping => return self.on_ping(packet, out),
            PacketKind::Diff | PacketKind::Snap | PacketKind::Trunc | PacketKind::LeaderInfo => {
                return Err(Left::Protocol("it began a second sync"));
            }
            PacketKind::Request
            | PacketKind::Ack
            | PacketKind::Revalidate
            | PacketKind::Sync
            | PacketKind::FollowerInfo
            | PacketKind::ObserverInfo
            | PacketKind::AckEpoch
            | PacketKind::Other(_) => {
                self.stats.ignored += 1;
                None
            }
        };
        if let Some(committed) = committed {
            link.commit(committed, limit, &mut self.stats, out)?;
            if link.is_live() {
                self.position = Some(link.last);
                self.leader_zxid = self.leader_zxid.max(link.last);
            }
        }
        Ok(())
    }

    fn on_ping(&mut self, packet: &Packet<'_>, out: &mut Out) -> Result<(), Left> {
        // Before UPTODATE nobody answers; the leader does not wait for it yet.
        if !self.is_live() {
            return Ok(());
        }
        if out.wire.len() > WIRE_MAX {
            return Err(Left::Protocol("it asks and does not read our answers"));
        }
        self.leader_zxid = packet.zxid;
        Packet::new(PacketKind::Ping, packet.zxid, Some(&[])).encode(&mut out.wire);
        Ok(())
    }

    /// The leader is established: what waited is true.
    fn on_up_to_date(&mut self, out: &mut Out) -> Result<(), Left> {
        let State::Linked(link) = &mut self.state else { return Ok(()) };
        if link.is_live() {
            return Err(Left::Protocol("it is up to date twice"));
        }
        Packet::new(PacketKind::Ack, link.new_leader, None).encode(&mut out.wire);
        link.phase = Phase::Live;
        out.effects.push(Effect::Live { after: link.base });
        for event in link.held.drain(..) {
            count(&event, &mut self.stats);
            out.effects.push(Effect::Event(event));
        }
        link.held_len = 0;
        self.position = Some(link.last);
        self.leader_zxid = link.last.max(link.new_leader);
        self.jump = None;
        self.ask_before = false;
        self.snapshots_refused = 0;
        self.stale_epochs = 0;
        self.backoff = self.config.backoff_min;
        self.stats.connections += 1;
        Ok(())
    }
}

/// Is it an epoch's own zxid, which no txn has?
fn begins_epoch(zxid: Zxid) -> bool {
    zxid.counter() == 0 && zxid.0 > 0
}

/// A txn's own header must agree with its packet: position is all that order rests on.
fn txn(zxid: Zxid, record: &[u8]) -> Result<(Zxid, Vec<u8>), Left> {
    let mut r = Reader::new(record);
    r.bytes(12)?;
    if r.i64()? != zxid.0 {
        return Err(Left::Protocol("a packet and its txn have different zxids"));
    }
    r.bytes(12)?;
    Ok((zxid, record.to_vec()))
}

fn len_of(event: &Event) -> usize {
    match event {
        Event::Txn { record, .. } => EVENT_LEN + record.len(),
        Event::Resync { .. } => EVENT_LEN,
    }
}

fn count(event: &Event, stats: &mut LearnerStats) {
    match event {
        Event::Txn { .. } => stats.txns += 1,
        Event::Resync { .. } => stats.resyncs += 1,
    }
}

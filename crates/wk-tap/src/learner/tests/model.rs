//! Whole lives of a tap under a model of an ensemble: elections, cut connections, windows left.
//!
//! The model leader follows the rules by which Apache's chooses DIFF, TRUNC and SNAP
//! (`LearnerHandler.syncFollower`, 3.9). A checker knows the committed history and compares.

use super::*;

/// Numbers from a seed.
struct Random(u64);

impl Random {
    fn below(&mut self, n: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 11) % n
    }

    fn chance(&mut self, percent: u64) -> bool {
        self.below(100) < percent
    }
}

/// The committed history of an ensemble and its present leader.
struct Ensemble {
    history: Vec<i64>,
    epoch: i64,
    counter: i64,
    window: usize,
}

impl Ensemble {
    fn commit(&mut self) -> i64 {
        self.counter += 1;
        let zxid = self.epoch << 32 | self.counter;
        self.history.push(zxid);
        zxid
    }

    fn elect(&mut self) {
        self.epoch += 1;
        self.counter = 0;
    }

    fn last_processed(&self) -> i64 {
        if self.counter == 0 { self.epoch << 32 } else { *self.history.last().unwrap() }
    }

    /// Header and txns for a learner that names `asked`.
    fn sync(&self, asked: i64) -> Vec<u8> {
        let window = &self.history[self.history.len().saturating_sub(self.window)..];
        let last = self.last_processed();
        let (min, max) = match (window.first(), window.last()) {
            (Some(min), Some(max)) => (*min, *max),
            _ => (last, last),
        };
        let begins_epoch = Zxid(asked).counter() == 0;
        let epoch_of = |zxid: i64| zxid >> 32;
        let (kind, zxid, from) = if asked == last {
            (PacketKind::Diff, asked, asked)
        } else if asked > max && !begins_epoch {
            (PacketKind::Trunc, max, max)
        } else if min <= asked && asked <= max {
            let next = window.iter().find(|zxid| **zxid > asked).copied();
            let before = window.iter().rev().find(|zxid| **zxid < asked).copied();
            match next {
                _ if begins_epoch || window.contains(&asked) => (PacketKind::Diff, max, asked),
                Some(next) if epoch_of(next) == epoch_of(asked) => {
                    (PacketKind::Trunc, before.unwrap(), before.unwrap())
                }
                _ => (PacketKind::Snap, last, last),
            }
        } else {
            (PacketKind::Snap, last, last)
        };
        let mut out = bytes(kind, zxid, None);
        if kind == PacketKind::Snap {
            out.extend_from_slice(&empty_snapshot());
        }
        for zxid in self.history.iter().filter(|zxid| **zxid > from) {
            out.extend(bytes(PacketKind::Proposal, *zxid, Some(&record(*zxid))));
            out.extend(bytes(PacketKind::Commit, *zxid, None));
        }
        out.extend(bytes(PacketKind::NewLeader, self.epoch << 32, Some(b"version=0")));
        out
    }
}

/// No sessions, no ACLs, the root.
fn empty_snapshot() -> Vec<u8> {
    let mut out = vec![0; 12];
    out.extend_from_slice(&(-1_i32).to_be_bytes());
    out.extend_from_slice(&[0; 68]);
    out.extend_from_slice(&[0, 0, 0, 1, b'/', 0, 0, 0, 10]);
    out.extend_from_slice(b"BenWasHere");
    out
}

/// Sends bytes in pieces, perhaps not all of them; `false`: the connection was cut.
fn deliver(bench: &mut Bench, random: &mut Random, mut stream: &[u8], cut_percent: u64) -> bool {
    if random.chance(cut_percent) {
        let keep = random.below(stream.len() as u64 + 1);
        stream = &stream[..usize::try_from(keep).unwrap()];
        send_pieces(bench, random, stream);
        bench.step(Input::Closed);
        return false;
    }
    send_pieces(bench, random, stream);
    true
}

fn send_pieces(bench: &mut Bench, random: &mut Random, mut stream: &[u8]) {
    while !stream.is_empty() {
        let size = usize::try_from(1 + random.below(200)).unwrap().min(stream.len());
        let (piece, rest) = stream.split_at(size);
        bench.step(Input::Bytes(piece));
        stream = rest;
    }
}

/// Connects once; `true` when the stream flows.
fn link(bench: &mut Bench, random: &mut Random, ensemble: &mut Ensemble) -> bool {
    bench.connect(Zxid(ensemble.last_processed()));
    bench.wire.clear();
    if !deliver(
        bench,
        random,
        &bytes(PacketKind::LeaderInfo, ensemble.epoch << 32, Some(&VERSION)),
        5,
    ) {
        return false;
    }
    let sent = bench.sent();
    let Some((PacketKind::AckEpoch, asked)) = sent.last().copied() else { return false };
    let mut stream = ensemble.sync(asked);
    if random.chance(20) {
        // A txn that this leader has but never gets committed: it dies before it is established,
        // and the next one begins another history.
        let lost = ensemble.last_processed() + 1;
        stream.extend(bytes(PacketKind::Proposal, lost, Some(&record(lost))));
        stream.extend(bytes(PacketKind::Commit, lost, None));
        send_pieces(bench, random, &stream);
        bench.step(Input::Closed);
        ensemble.elect();
        return false;
    }
    if !deliver(bench, random, &stream, 10) || bench.left().is_some() {
        return false;
    }
    let zxid = ensemble.commit();
    let mut more = bytes(PacketKind::Inform, zxid, Some(&record(zxid)));
    more.extend(bytes(PacketKind::UpToDate, -1, None));
    deliver(bench, random, &more, 10) && bench.learner.is_live()
}

/// One life; returns how many gaps were said and how many snapshots passed over.
fn live_through(seed: u64) -> (u64, u64) {
    let mut random = Random(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1);
    let mut ensemble = Ensemble { history: Vec::new(), epoch: 1, counter: 0, window: 30 };
    for _ in 0..random.below(3) {
        ensemble.commit();
    }
    let mut bench = Bench::new(LearnerConfig::default(), None);
    // A tap begins where the leader is when it is first connected.
    let began = Zxid(ensemble.last_processed());
    let mut events = Vec::new();
    for _ in 0..30 {
        let live = link(&mut bench, &mut random, &mut ensemble);
        if live {
            for _ in 0..random.below(20) {
                let zxid = ensemble.commit();
                if !deliver(
                    &mut bench,
                    &mut random,
                    &bytes(PacketKind::Inform, zxid, Some(&record(zxid))),
                    3,
                ) {
                    break;
                }
            }
            bench.step(Input::Closed);
        }
        if random.chance(50) {
            ensemble.elect();
        }
        // What is committed while we are away: mostly inside the window, at times beyond it.
        let away = if random.chance(85) { random.below(10) } else { random.below(80) };
        for _ in 0..away {
            ensemble.commit();
        }
        let (found, rest) = std::mem::take(&mut bench.effects)
            .into_iter()
            .partition(|effect| matches!(effect, Effect::Event(_)));
        events.extend::<Vec<_>>(found);
        bench.effects = rest;
        bench.effects.retain(|effect| *effect == Effect::Find);
    }
    check(seed, began, &ensemble.history, &events);
    (bench.learner.stats().resyncs, bench.learner.stats().snapshots_skipped)
}

/// Once, in order, and every hole said; no gap is said where the window was not left.
fn check(seed: u64, began: Zxid, history: &[i64], events: &[Effect]) {
    let mut at = began.0;
    for event in events {
        match event {
            Effect::Event(Event::Txn { zxid, .. }) => {
                let next = history.iter().find(|known| **known > at);
                assert_eq!(Some(&zxid.0), next, "seed {seed}: after {at:x}");
                at = zxid.0;
            }
            Effect::Event(Event::Resync { from, to }) => {
                assert_eq!(from.0, at, "seed {seed}: a gap begins where nobody was");
                let missing = history.iter().filter(|known| **known > at && **known <= to.0);
                // An ensemble whose very first txn came after us knows no zxid before it.
                let fresh = history.iter().all(|known| *known > from.0);
                let left = missing.count() >= 30 || fresh;
                assert!(left, "seed {seed}: {from}..{to} was inside the window");
                at = to.0;
            }
            Effect::Find | Effect::Hangup(_) | Effect::Live { .. } => {}
        }
    }
}

#[test]
fn thousands_of_lives_give_every_txn_once_or_say_the_gap() {
    let (mut gaps, mut skipped) = (0, 0);
    for seed in 1..=2000 {
        let (said, passed) = live_through(seed);
        gaps += said;
        skipped += passed;
    }
    assert!(gaps > 100, "only {gaps} gaps: the window was hardly ever left");
    assert!(skipped < gaps, "{skipped} snapshots read for {gaps} gaps");
}

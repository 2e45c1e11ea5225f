//! What a session asks next.

use wk_proto::OpCode;
use wk_proto::client::Request;

use super::wire::{DATA, create, put};

/// Znodes that sets and gets choose among.
pub(super) const KEYS: u32 = 1000;
/// Children of one parent.
const CHILDREN_MAX: u32 = 10_000;
/// Creates in one multi of the bulk load.
pub(crate) const BULK: u32 = 10;
/// Children of the znode that RaftKeeper's mix lists, with names of 50 bytes.
pub(super) const LISTED: u32 = 100;

/// What the sessions do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Op {
    Create,
    Set,
    Get,
    /// Four gets to one set.
    Mixed,
    /// What RaftKeeper publishes: create 1, set 8, get 45, list 45, delete 1 %.
    RaftKeeper,
    /// Multis of ten creates.
    Bulk,
}

impl Op {
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Create => "create",
            Self::Set => "set",
            Self::Get => "get",
            Self::Mixed => "80/20",
            Self::RaftKeeper => "raftkeeper",
            Self::Bulk => "bulk",
        }
    }

    /// The znodes that the load needs below its base, parents first.
    pub(super) fn prepared(self, base: &str, sessions: u32) -> Vec<String> {
        let mut paths = vec![base.to_owned()];
        let own = (0..sessions).map(|n| format!("{base}/s{n}-0"));
        let keys = (0..KEYS).map(|key| key_path(base, key));
        match self {
            Self::Create | Self::Bulk => paths.extend(own),
            Self::Set | Self::Get | Self::Mixed => paths.extend(keys),
            Self::RaftKeeper => {
                paths.extend(keys);
                paths.extend(own);
                paths.push(listed(base));
                paths.extend((0..LISTED).map(|n| format!("{}/{n:050}", listed(base))));
            }
        }
        paths
    }
}

fn key_path(base: &str, key: u32) -> String {
    format!("{base}/k{key:09}")
}

fn listed(base: &str) -> String {
    format!("{base}/listed")
}

/// The requests of one session, in order.
#[derive(Clone, Copy, Debug)]
pub(super) struct Script {
    pub(super) op: Op,
    /// The session's own number.
    pub(super) number: u32,
}

impl Script {
    /// Appends the request of turn `turn`, from 1.
    pub(super) fn ask(self, turn: u32, base: &str, out: &mut Vec<u8>) {
        let xid = turn.cast_signed();
        let key = turn.wrapping_mul(7919).wrapping_add(self.number * 131) % KEYS;
        match self.op {
            Op::Create => self.create(turn, base, out),
            Op::Bulk => self.bulk(turn, base, out),
            Op::Set => set(&key_path(base, key), xid, out),
            Op::Mixed if turn.is_multiple_of(5) => set(&key_path(base, key), xid, out),
            Op::Get | Op::Mixed => read(OpCode::GetData, &key_path(base, key), xid, out),
            // 37 and 100 have no common divisor: each hundred turns has each number once.
            Op::RaftKeeper => match turn.wrapping_mul(37) % 100 {
                37 => put(out, xid, &create(&self.short_lived(turn, base))),
                // Turn 73 of the same hundred, which began with the create.
                1 => {
                    let path = self.short_lived(turn - 72, base);
                    put(out, xid, &Request::Delete { path: &path, version: -1 });
                }
                2..=9 => set(&key_path(base, key), xid, out),
                10..=36 | 38..=55 => read(OpCode::GetData, &key_path(base, key), xid, out),
                _ => read(OpCode::GetChildren, &listed(base), xid, out),
            },
        }
    }

    fn create(self, turn: u32, base: &str, out: &mut Vec<u8>) {
        let parent = format!("{base}/s{}-{}", self.number, turn / CHILDREN_MAX);
        let xid = turn.cast_signed();
        if turn.is_multiple_of(CHILDREN_MAX) {
            put(out, xid, &create(&parent));
        } else {
            put(out, xid, &create(&format!("{parent}/n{turn:09}")));
        }
    }

    fn bulk(self, turn: u32, base: &str, out: &mut Vec<u8>) {
        let of_parent = CHILDREN_MAX / BULK;
        let parent = format!("{base}/s{}-{}", self.number, turn / of_parent);
        let first = turn * BULK;
        let names = (first..first + BULK).map(|name| format!("{parent}/n{name:09}"));
        let begins = turn.is_multiple_of(of_parent).then(|| parent.clone());
        let paths: Vec<String> = begins.into_iter().chain(names).collect();
        let creates = paths.iter().map(|path| create(path));
        put(out, turn.cast_signed(), &Request::Multi(creates.collect()));
    }

    fn short_lived(self, turn: u32, base: &str) -> String {
        format!("{base}/s{}-0/t{turn:09}", self.number)
    }
}

fn set(path: &str, xid: i32, out: &mut Vec<u8>) {
    put(out, xid, &Request::SetData { path, data: Some(&DATA), version: -1 });
}

fn read(op: OpCode, path: &str, xid: i32, out: &mut Vec<u8>) {
    put(out, xid, &Request::Read { op, path, watch: false });
}

#[cfg(test)]
mod tests {
    use wk_proto::Reader;
    use wk_proto::client::{RequestHeader, frame};

    use super::*;

    #[test]
    fn the_mix_of_raftkeeper_is_as_published_and_deletes_what_it_created() {
        let script = Script { op: Op::RaftKeeper, number: 3 };
        let (mut count, mut alive) = (std::collections::BTreeMap::new(), None);
        for turn in 1..=1000 {
            let mut out = Vec::new();
            script.ask(turn, "/b", &mut out);
            let mut rest = &out[..];
            let frame = frame::split(&mut rest, 1 << 20).unwrap().unwrap();
            let mut reader = Reader::new(frame);
            let header = RequestHeader::decode(&mut reader).unwrap();
            let op = OpCode::from_code(header.op).unwrap();
            *count.entry(header.op).or_insert(0) += 1;
            let request = Request::decode(op, &mut reader).unwrap();
            if let Request::Create(_, create) = &request {
                assert_eq!(alive.replace(create.path.to_owned()), None);
            }
            if let Request::Delete { path, .. } = &request {
                assert_eq!(alive.take().as_deref(), Some(*path));
            }
        }
        let of = |op: OpCode| count[&op.code()];
        let all = [OpCode::Create, OpCode::SetData, OpCode::GetData, OpCode::GetChildren];
        assert_eq!(all.map(of), [10, 80, 450, 450]);
        assert_eq!(of(OpCode::Delete), 10);
    }

    #[test]
    fn a_bulk_load_makes_its_parents_and_ten_znodes_a_request() {
        let script = Script { op: Op::Bulk, number: 0 };
        let (mut names, mut parents) = (0, Op::Bulk.prepared("/b", 1));
        for turn in 1..=2500 {
            let mut out = Vec::new();
            script.ask(turn, "/b", &mut out);
            let mut rest = &out[..];
            let frame = frame::split(&mut rest, 1 << 20).unwrap().unwrap();
            let mut reader = Reader::new(frame);
            RequestHeader::decode(&mut reader).unwrap();
            let Request::Multi(ops) = Request::decode(OpCode::Multi, &mut reader).unwrap() else {
                panic!("no multi");
            };
            for op in &ops {
                let path = op.path().unwrap();
                let parent = path.rsplit_once('/').unwrap().0;
                assert!(parents.iter().any(|known| known == parent), "{path}");
                if parent == "/b" {
                    parents.push(path.to_owned());
                } else {
                    names += 1;
                }
            }
        }
        assert_eq!(names, 25_000);
    }
}

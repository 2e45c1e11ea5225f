//! What the looks at the members of one ensemble must know of each other: who leads and how far it
//! is, how many vote, what their configurations say.

use std::collections::{BTreeMap, BTreeSet};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::time::Duration;

use wk_proto::Mono;

use crate::words::Conf;

/// A leader's position older than this says nothing about a follower's.
const LEADER_AGE_MAX: Duration = Duration::from_secs(15);

/// What AdminServer does not tell.
const INIT_LIMIT_DEFAULT: u32 = 10;

/// Keys that differ from member to member of a healthy ensemble, or are none of the configuration.
const PER_MEMBER: &[&str] = &[
    "clientPort",
    "clientPortAddress",
    "secureClientPort",
    "dataDir",
    "dataDirSize",
    "dataLogDir",
    "dataLogSize",
    "serverId",
    "electionPort",
    "quorumPort",
    "peerType",
];

/// One member as last looked at.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Seen {
    sid: Option<u64>,
    leads: bool,
    /// Its last txn, and when that was asked.
    zxid: Option<(u64, Mono)>,
    conf: Option<Conf>,
}

/// A key that is not the same on all members.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Difference {
    /// The key, `server.N` for a line of the server list.
    pub key: String,
    /// Each value with those that have it.
    pub values: BTreeMap<String, Vec<String>>,
}

/// The times that an ensemble's servers go by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Timing {
    /// `tickTime`.
    pub tick: Duration,
    /// `maxSessionTimeout`: the longest session that is granted.
    pub session_max: Duration,
    /// `initLimit`: so many ticks one that joins may take; 10 where it is not shown.
    pub init_limit: u32,
}

/// The board of one ensemble.
#[derive(Clone, Debug, Default)]
pub struct Board {
    members: BTreeMap<String, Seen>,
    voters: Option<usize>,
}

impl Board {
    /// How many vote, as discovery or a server list says.
    pub fn voters(&self) -> Option<usize> {
        self.voters
    }

    /// Discovery found so many voters.
    pub fn set_voters(&mut self, voters: usize) {
        self.voters = Some(voters);
    }

    /// Forgets members that are not watched any more.
    pub fn retain(&mut self, watched: impl Fn(&str) -> bool) {
        self.members.retain(|instance, _| watched(instance));
    }

    /// `instance` was asked at `asked` for its last txn.
    pub fn post_zxid(&mut self, instance: &str, leads: bool, zxid: u64, asked: Mono) {
        let seen = self.members.entry(instance.to_owned()).or_default();
        (seen.leads, seen.zxid) = (leads, Some((zxid, asked)));
    }

    /// `instance` does not serve: it leads nobody.
    pub fn post_silence(&mut self, instance: &str) {
        if let Some(seen) = self.members.get_mut(instance) {
            (seen.leads, seen.zxid) = (false, None);
        }
    }

    /// `instance` showed its configuration. It stays when the server stops to serve.
    pub fn post_conf(&mut self, instance: &str, conf: Conf) {
        let seen = self.members.entry(instance.to_owned()).or_default();
        let sid = conf.keys.get("serverId").and_then(|sid| sid.parse().ok());
        // A server of no ensemble calls itself 0.
        seen.sid = sid.filter(|sid| *sid != 0).or(seen.sid);
        if !conf.servers.is_empty() && self.voters.is_none() {
            let votes = |line: &&String| !line.contains(":observer");
            self.voters = Some(conf.servers.values().filter(votes).count());
        }
        seen.conf = Some(conf);
    }

    /// The longest times that members show, if any shows its own.
    pub fn timing(&self) -> Option<Timing> {
        let confs = self.members.values().filter_map(|seen| seen.conf.as_ref());
        let of = |conf: &Conf| {
            let number = |key: &str| conf.keys.get(key)?.parse::<u32>().ok();
            let millis = |key| number(key).map(|millis| Duration::from_millis(millis.into()));
            Some(Timing {
                tick: millis("tickTime")?,
                session_max: millis("maxSessionTimeout")?,
                init_limit: number("initLimit").unwrap_or(INIT_LIMIT_DEFAULT),
            })
        };
        confs.filter_map(of).reduce(|one, other| Timing {
            tick: one.tick.max(other.tick),
            session_max: one.session_max.max(other.session_max),
            init_limit: one.init_limit.max(other.init_limit),
        })
    }

    /// The server ids that members gave as their own.
    pub fn sids(&self) -> BTreeMap<u64, String> {
        let known = self.members.iter();
        known.filter_map(|(instance, seen)| Some((seen.sid?, instance.clone()))).collect()
    }

    /// The server list that a member showed, the longest one first seen.
    pub fn servers(&self) -> BTreeMap<u64, String> {
        let lists = self.members.values().filter_map(|seen| Some(&seen.conf.as_ref()?.servers));
        lists.max_by_key(|list| list.len()).cloned().unwrap_or_default()
    }

    /// Whether a member showed its configuration as one, and no other member in it: so before 3.5.
    pub fn names_nobody(&self) -> bool {
        let confs = self.members.values().filter_map(|seen| seen.conf.as_ref());
        let mut alone = confs.filter(|conf| conf.keys.contains_key("quorumPort"));
        alone.any(|conf| conf.servers.is_empty())
    }

    /// How many txns `instance` is behind the leader, within the leader's epoch. The leader's
    /// position must have been asked first: what it did since then is not held against a follower.
    pub fn lag(&self, instance: &str) -> Option<u32> {
        let own = self.members.get(instance).filter(|seen| !seen.leads)?;
        let (zxid, asked) = own.zxid?;
        let leaders = self.members.values().filter(|seen| seen.leads);
        let earlier = leaders.filter_map(|seen| seen.zxid.filter(|(_, at)| *at <= asked));
        let (leader, at) = earlier.max_by_key(|(zxid, _)| *zxid)?;
        let same_epoch = leader >> 32 == zxid >> 32;
        let behind = leader.saturating_sub(zxid);
        (same_epoch && asked.since(at) <= LEADER_AGE_MAX).then(|| u32::try_from(behind).ok())?
    }

    /// The hash of `instance`'s configuration without what differs per member, over the keys that
    /// all members show: another version or another source shows more.
    pub fn config_hash(&self, instance: &str) -> Option<String> {
        let own = self.members.get(instance)?.conf.as_ref()?;
        let mut hasher = DefaultHasher::new();
        for key in self.shared_keys() {
            (&key, value(own, &key)).hash(&mut hasher);
        }
        Some(format!("{:016x}", hasher.finish()))
    }

    /// The keys that are not the same on all members.
    pub fn differences(&self) -> Vec<Difference> {
        let mut differences = Vec::new();
        for key in self.shared_keys() {
            let mut values: BTreeMap<String, Vec<String>> = BTreeMap::new();
            for (instance, seen) in &self.members {
                if let Some(conf) = &seen.conf {
                    let shown = value(conf, &key).unwrap_or("-").to_owned();
                    values.entry(shown).or_default().push(instance.clone());
                }
            }
            if values.len() > 1 {
                differences.push(Difference { key, values });
            }
        }
        differences
    }

    fn shared_keys(&self) -> BTreeSet<String> {
        let confs: Vec<&Conf> =
            self.members.values().filter_map(|seen| seen.conf.as_ref()).collect();
        let mut keys: BTreeSet<String> =
            confs.iter().flat_map(|conf| conf.keys.keys().cloned()).collect();
        keys.retain(|key| confs.iter().all(|conf| conf.keys.contains_key(key)));
        keys.retain(|key| !PER_MEMBER.contains(&key.as_str()));
        // A server list is one whole: a line that only some have is a difference.
        if confs.iter().all(|conf| !conf.servers.is_empty()) {
            let sids = confs.iter().flat_map(|conf| conf.servers.keys());
            keys.extend(sids.map(|sid| format!("server.{sid}")));
        }
        keys
    }
}

fn value<'c>(conf: &'c Conf, key: &str) -> Option<&'c str> {
    let line = key.strip_prefix("server.").and_then(|sid| conf.servers.get(&sid.parse().ok()?));
    line.or_else(|| conf.keys.get(key)).map(String::as_str)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: u64) -> Mono {
        Mono(seconds * 1_000_000_000)
    }

    #[test]
    fn lag_is_counted_within_the_epoch_and_never_against_a_later_leader() {
        let mut board = Board::default();
        board.post_zxid("a", true, 0x2_0000_0100, at(10));
        board.post_zxid("b", false, 0x2_0000_00f0, at(11));
        assert_eq!((board.lag("b"), board.lag("a"), board.lag("c")), (Some(16), None, None));
        // Ahead of what the leader was: not behind.
        board.post_zxid("b", false, 0x2_0000_0200, at(12));
        assert_eq!(board.lag("b"), Some(0));
        // The leader was asked later: that says nothing about then.
        board.post_zxid("a", true, 0x2_0000_9000, at(20));
        assert_eq!(board.lag("b"), None);
        board.post_zxid("b", false, 0x1_ffff_ffff, at(21));
        assert_eq!(board.lag("b"), None, "another epoch");
        board.post_zxid("b", false, 0x2_0000_8fff, at(40));
        assert_eq!(board.lag("b"), None, "the leader was not seen for too long");
        board.post_zxid("a", true, 0x2_0000_9000, at(40));
        assert_eq!(board.lag("b"), Some(1));
        board.post_silence("a");
        assert_eq!(board.lag("b"), None);
    }

    #[test]
    fn the_longest_times_of_all_members_count() {
        let mut board = Board::default();
        board.post_conf("a", Conf::parse("tickTime=2000\nclientPort=1"));
        assert_eq!(board.timing(), None, "how long sessions may be is not shown");
        board.post_conf("a", Conf::parse("tickTime=2000\nmaxSessionTimeout=40000"));
        board.post_conf("b", Conf::parse("tickTime=500\nmaxSessionTimeout=60000\ninitLimit=20"));
        let (tick, session_max) = (Duration::from_secs(2), Duration::from_mins(1));
        assert_eq!(board.timing(), Some(Timing { tick, session_max, init_limit: 20 }));
    }

    #[test]
    fn members_of_one_ensemble_hash_alike_and_a_drifting_key_is_named() {
        let conf = |text: &str| Conf::parse(text);
        let mut board = Board::default();
        board.post_conf("a", conf("tickTime=2000\nclientPort=1\nserverId=1\nmaxClientCnxns=60"));
        board.post_conf("b", conf("tickTime=2000\nclientPort=2\nserverId=2"));
        assert_eq!(board.config_hash("a"), board.config_hash("b"), "b does not show the limit");
        assert_eq!((board.differences(), board.sids().len()), (vec![], 2));
        board.post_conf("b", conf("tickTime=3000\nclientPort=2\nserverId=2\nmaxClientCnxns=60"));
        assert_ne!(board.config_hash("a"), board.config_hash("b"));
        let [difference] = &board.differences()[..] else { panic!("one key") };
        assert_eq!(difference.key, "tickTime");
        assert_eq!(difference.values["3000"], ["b"]);
        assert!(!board.names_nobody());
        board.post_conf("c", conf(include_str!("../../../golden/pages/3.4.14-leader-conf.txt")));
        assert!(board.names_nobody());
        board.retain(|instance| instance != "c");
        let list = "server.1=h:1:2:participant\nserver.2=i:1:2:observer";
        board.post_conf("a", conf(list));
        board.post_conf("b", conf(&list.replace("i:", "j:")));
        assert_eq!(board.differences()[0].key, "server.2");
        assert_eq!(board.voters(), Some(1));
    }
}

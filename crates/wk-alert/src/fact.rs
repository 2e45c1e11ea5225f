//! Facts: what was seen or done, as a kind and its arguments.
//!
//! The core writes no sentences: the shell words a fact in the reader's language, today's facts and
//! those read back from a store years later alike. A time among the arguments is milliseconds since
//! 1970 in decimal.

/// One fact.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fact {
    /// What kind of fact.
    pub kind: FactKind,
    /// Its arguments, in the order that [`FactKind`] names them.
    pub args: Vec<String>,
}

impl Fact {
    /// A fact with its arguments.
    pub fn new<const N: usize>(kind: FactKind, args: [String; N]) -> Self {
        Self { kind, args: args.into() }
    }
}

macro_rules! fact_kinds {
    ($($(#[$doc:meta])* $name:ident = $word:literal,)*) => {
        /// The kinds of facts; each names its arguments.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum FactKind { $($(#[$doc])* $name,)* }

        impl FactKind {
            /// Every kind, for tables that must be complete.
            pub const ALL: &[Self] = &[$(Self::$name,)*];

            /// The word under which a store keeps this kind. Never changed once released.
            pub fn as_str(self) -> &'static str {
                match self { $(Self::$name => $word,)* }
            }

            /// The kind that `word` names.
            pub fn parse(word: &str) -> Option<Self> {
                match word { $($word => Some(Self::$name),)* _ => None }
            }
        }
    };
}

fact_kinds! {
    /// A probe got no answer: instance, reason.
    ProbeFailed = "probe_failed",
    /// A server answered that it does not serve: instance, its answer.
    NotServing = "not_serving",
    /// A server is there and does not let the monitor in: instance, reason.
    Barred = "barred",
    /// When a server was last seen serving: time.
    LastServed = "last_served",
    /// A server serves: instance, mode.
    Serves = "serves",
    /// A node's `alive` is gone: path of the node, session that held it.
    AliveGone = "alive_gone",
    /// The server let the session expire: session.
    SessionExpired = "session_expired",
    /// The server saw the client close its session: session.
    SessionClosed = "session_closed",
    /// The server saw no end of the session: `alive` alone was deleted: session.
    AliveDeleted = "alive_deleted",
    /// From outside, expiry, close and deletion look the same: session.
    CannotTell = "cannot_tell",
    /// Its data said `state=leaving` when `alive` went: path.
    SaidLeaving = "said_leaving",
    /// The configuration says that it must be there, and it is not: path.
    ExpectedMissing = "expected_missing",
    /// It had been alive before the monitor first looked: path.
    FoundDead = "found_dead",
    /// It was up when last seen, and the monitor was away meanwhile: path, time.
    DiedUnseen = "died_unseen",
    /// `alive` is held by the monitor's own session, which says nothing: path, session.
    AliveForged = "alive_forged",
    /// `alive` is not ephemeral, which says nothing: path.
    AliveNotEphemeral = "alive_not_ephemeral",
    /// `alive` is there: path, session.
    AliveBack = "alive_back",
    /// The ephemeral znode of a flat registry is there: path, session.
    FlatBack = "flat_back",
    /// The ephemeral znode of a flat registry is gone: path, session that held it.
    FlatGone = "flat_gone",
    /// A znode of a flat registry is held by the monitor's own session: path, session.
    FlatForged = "flat_forged",
    /// A znode of a flat registry is not ephemeral: path.
    FlatNotEphemeral = "flat_not_ephemeral",
    /// Registered, not alive yet: path.
    Registered = "registered",
    /// It is not registered any more: path.
    Deregistered = "deregistered",
    /// The monitor's own session cannot see the registry: ensemble.
    SightLost = "sight_lost",
    /// The ACL does not let the monitor read: path.
    ReadDenied = "read_denied",
    /// The monitor sees the registry again: ensemble.
    SightBack = "sight_back",
    /// No server of any ensemble answers: how many there are, names of the ensembles.
    AllSilent = "all_silent",
    /// Somebody answers the monitor again.
    ViewBack = "view_back",
    /// A server's figures cannot be seen at present: instance.
    FiguresUnseen = "figures_unseen",
    /// Whether a server's fault lasts or is over cannot be judged: instance.
    Unjudged = "unjudged",
    /// Where: a host answers, its server's port is closed: instance.
    AtMemberGone = "at_member_gone",
    /// Where: neither server nor host answers: instance.
    AtMemberSilent = "at_member_silent",
    /// Where: a server answers and looks for a leader: instance.
    AtMemberLooking = "at_member_looking",
    /// Where: who led last does not answer: instance.
    AtLeaderSilent = "at_leader_silent",
    /// Where: a leader whom nobody follows: instance.
    AtLeaderAlone = "at_leader_alone",
    /// Where: enough voters answer, none leads: their instances.
    AtElectionLinks = "at_election_links",
    /// Where: all answer as if all were well: the leader's instance.
    AtLeaderPath = "at_leader_path",
    /// Where: the disk of a server's txn log: instance.
    AtLogDisk = "at_log_disk",
    /// Where: the same, and what is free: instance, folder, bytes.
    AtLogDiskFree = "at_log_disk_free",
    /// Where: a member runs with values that most others do not have: instance, keys with its
    /// value and theirs.
    AtMemberConfig = "at_member_config",
    /// Where: a member's zoo.cfg is not that of most others: instance.
    AtMemberFile = "at_member_file",
    /// Where: a member runs another version than most: instance, its version, theirs.
    AtMemberVersion = "at_member_version",
    /// Where: members differ, and none of their values is that of most: all of them, each value
    /// with those that have it.
    AtNoMajority = "at_no_majority",
    /// Where: several nodes of one group: the group, how many are down, how many there are, which.
    AtGroup = "at_group",
    /// It is not watched any more.
    NoLongerWatched = "no_longer_watched",
    /// History: an incident was opened.
    Opened = "opened",
    /// History: it came back within the hold time: how often so far.
    Reopened = "reopened",
    /// History: it came back and stayed, and goes on as another: that one's id.
    ContinuesAs = "continues_as",
    /// History: it was seen to be gone.
    Resolved = "resolved",
    /// History: it cannot be seen at present.
    WentUnknown = "went_unknown",
    /// History: it can be seen again and is still there.
    SeenAgain = "seen_again",
    /// History: somebody took it on.
    Acknowledged = "acknowledged",
    /// History: somebody put it away.
    Closed = "closed",
    /// History: nobody has taken it on any more: that was so long ago.
    AckExpired = "ack_expired",
    /// History: nobody is told of it: the cause, silence or maintenance that speaks for it.
    Suppressed = "suppressed",
    /// History: nothing speaks for it any more.
    Unsuppressed = "unsuppressed",
    /// History of a silence: it begins: its scope, until when, why.
    SilenceAdded = "silence_added",
    /// History of a silence: it ends, in time or by somebody.
    SilenceEnded = "silence_ended",
    /// History: a receiver took a notification: channel, phase, attempts.
    Delivered = "delivered",
    /// History: a try failed and will be repeated: channel, phase, error.
    DeliveryFailed = "delivery_failed",
    /// History: a receiver refused for good: channel, phase, error.
    DeliveryRefused = "delivery_refused",
    /// History: the action of the node's group was started: what.
    ActionStarted = "action_started",
    /// History: the end of what the action printed: text.
    ActionSaid = "action_said",
    /// History: the action ended: how.
    ActionEnded = "action_ended",
    /// History: the node's own session is back after the action.
    ActionCured = "action_cured",
    /// History: the node did not come back after the action.
    ActionInVain = "action_in_vain",
    /// History: the action would run by itself and may not: why.
    ActionHeld = "action_held",
    /// History of an ensemble: an ACL was set: path, the ACL, session, zxid.
    AclChanged = "acl_changed",
    /// History of an ensemble: more ACLs were set within a minute: how many, path of the last.
    AclStorm = "acl_storm",
    /// History of an ensemble: the member list was changed: the list, session, zxid.
    MembersChanged = "members_changed",
    /// History of an ensemble: that list changed more within a minute: how often, zxid of the last.
    MembersStorm = "members_storm",
    /// History: a notification got too old: channel, phase.
    DeliveryExpired = "delivery_expired",
    /// History: it got too old while the fault lasts; it goes on as part of a digest: channel.
    DeliveryLate = "delivery_late",
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_kind_has_a_word_of_its_own() {
        for kind in FactKind::ALL {
            assert_eq!(FactKind::parse(kind.as_str()), Some(*kind));
        }
        assert_eq!(FactKind::parse("nonsense"), None);
    }
}

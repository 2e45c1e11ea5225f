//! English.

use wk_alert::FactKind;
use wk_probe::note::NoteKind;

use super::Word;

const CANNOT_TELL: &str = "whether session {0} expired or was closed cannot be told from outside; \
     no state=leaving was written";
const FLAT_FORGED: &str =
    "{0} is held by the monitor's own session {1}: refused, it proves nobody's life";

#[expect(clippy::wildcard_enum_match_arm, reason = "a test has words for every kind")]
pub(super) fn fact(kind: FactKind) -> &'static str {
    match kind {
        FactKind::ProbeFailed => "{0} gives no answer: {1}",
        FactKind::NotServing => "{0} answers but does not serve: {1}",
        FactKind::Barred => "{0} is there, but it and this monitor do not trust each other: {1}",
        FactKind::LastServed => "it last served at {0:time}",
        FactKind::Serves => "{0} serves, as {1}",
        FactKind::AliveGone => "{0}/alive is gone; session {1} held it",
        FactKind::SessionExpired => "the server let session {0} expire: its client fell silent",
        FactKind::SessionClosed => "the client closed its session {0}",
        FactKind::AliveDeleted => "session {0} did not end: alive itself was deleted",
        FactKind::CannotTell => CANNOT_TELL,
        FactKind::SaidLeaving => "{0} said state=leaving",
        FactKind::FlatBack => "{0} is there, held by session {1}",
        FactKind::FlatGone => "{0} is gone; session {1} held it",
        FactKind::FlatForged => FLAT_FORGED,
        FactKind::FlatNotEphemeral => "{0} is not ephemeral: refused, it proves nobody's life",
        FactKind::ExpectedMissing => "{0} is expected by watchkeeper.toml, and is not there",
        FactKind::ReadDenied => {
            "the ACL of {0} does not let the monitor read it: grant it r there, or correct \
             [ensemble.NAME] auth in watchkeeper.toml (a wrong password is not refused, it only \
             opens nothing)"
        }
        FactKind::FoundDead => "{0} had been alive before the monitor first looked, and is not now",
        FactKind::DiedUnseen => {
            "{0} was up since {1:time} when last seen; the monitor was away when it went"
        }
        FactKind::AliveForged => {
            "{0}/alive is held by the monitor's own session {1}: refused, it proves no life"
        }
        FactKind::AliveNotEphemeral => "{0}/alive is not ephemeral: refused, it proves no life",
        FactKind::AliveBack => "{0}/alive is there, held by session {1}",
        FactKind::Registered => "{0} is registered and has not been alive yet",
        FactKind::Deregistered => "{0} is not registered any more",
        FactKind::SightLost => "the monitor's own session with {0} has lost its connection",
        FactKind::SightBack => "the monitor sees {0} again",
        FactKind::NoLongerWatched => "it is not watched any more",
        FactKind::Opened => "found",
        FactKind::Reopened => "came back within the hold time (time {0})",
        FactKind::ContinuesAs => "came back and stayed; goes on as {0}",
        FactKind::Resolved => "resolved",
        FactKind::WentUnknown => "cannot be seen at present",
        FactKind::SeenAgain => "can be seen again and is still there",
        FactKind::Acknowledged => "acknowledged",
        FactKind::Closed => "closed",
        FactKind::AckExpired => "not acknowledged any more: that was so long ago",
        FactKind::Suppressed => "nobody is told: {0} speaks for it",
        FactKind::Unsuppressed => "nothing speaks for it any more",
        FactKind::SilenceAdded => "{0}: silenced until {1:time}: {2}",
        FactKind::SilenceEnded => "the silence is over",
        FactKind::DeliveryLate => "{0}: the notification is late; the fault lasts, so it goes on",
        FactKind::Delivered => "{0} confirmed the {1} notification (attempt {2})",
        FactKind::DeliveryFailed => "{0}: the {1} notification failed and will be repeated: {2}",
        FactKind::DeliveryRefused => "{0} refused the {1} notification for good: {2}",
        FactKind::ActionStarted => "action started: {0}",
        FactKind::ActionSaid => "the action printed: {0}",
        FactKind::ActionEnded => "the action ended: {0}",
        FactKind::ActionCured => "cured: the node's own session is back",
        FactKind::ActionInVain => "not cured: the node's own session did not come back in time",
        FactKind::ActionHeld => "the action is held back: {0}",
        FactKind::AclChanged => "the ACL of {0} was set to {1} by session {2} (zxid {3})",
        FactKind::AclStorm => "{0} more ACLs were set within a minute, the last of {1}",
        FactKind::MembersChanged => "the member list was changed by session {1} (zxid {2}): {0}",
        FactKind::MembersStorm => "it was changed {0} more times within a minute, last at zxid {1}",
        FactKind::DeliveryExpired => "{0}: the {1} notification got too old",
        _ => place(kind),
    }
}

/// Where a fault is, and what of the view itself.
const PLACES: [(FactKind, &str); 18] = [
    (
        FactKind::AllSilent,
        "none of {0} servers answers the monitor ({1}): its own network may be cut, \
             or all of them are gone",
    ),
    (FactKind::ViewBack, "servers answer the monitor again"),
    (FactKind::FiguresUnseen, "the figures of {0} cannot be seen at present"),
    (
        FactKind::Unjudged,
        "{0} is there and cannot be judged: whether the fault lasts or is over, this monitor \
             cannot tell",
    ),
    (FactKind::AtMemberGone, "{0}: its host answers and its port is closed: the process is gone"),
    (
        FactKind::AtMemberSilent,
        "{0}: nothing answers: the process is paused, the host gone, or the way there cut",
    ),
    (FactKind::AtMemberLooking, "{0} answers and looks for a leader"),
    (
        FactKind::AtLeaderSilent,
        "{0} led last and does not answer: paused or cut off; its followers look healthy \
             until syncLimit has passed",
    ),
    (FactKind::AtLeaderAlone, "{0} leads and no voter is in sync with it: cut off from them"),
    (
        FactKind::AtElectionLinks,
        "{0} answer and are enough to elect a leader, and do not: they cannot reach each \
             other on the election or quorum port",
    ),
    (
        FactKind::AtLeaderPath,
        "every server looks healthy, and writes through them hang: the links of the leader {0} \
             to its followers, or its disk",
    ),
    (FactKind::AtLogDisk, "{0}: the disk of its txn log, full, read-only or failing"),
    (FactKind::AtLogDiskFree, "{0}: the disk of {1}: {2} bytes free"),
    (
        FactKind::AtMemberConfig,
        "{0} runs with other values than most members (theirs in brackets): {1}",
    ),
    (FactKind::AtMemberFile, "the zoo.cfg of {0} says other things than that of most members"),
    (FactKind::AtMemberVersion, "{0} runs {1}; most members run {2}"),
    (FactKind::AtNoMajority, "{0} differ, and none is like most of them: {1}"),
    (FactKind::AtGroup, "group {0}: {1} of {2} nodes are down ({3}): look for what they share"),
];

fn place(kind: FactKind) -> &'static str {
    PLACES.iter().find(|(known, _)| *known == kind).map_or("", |(_, text)| text)
}

pub(super) fn summary(rule: &str) -> &'static str {
    match rule {
        "ZkServerUnreachable" => "ZooKeeper server {1} of {0} does not answer",
        "ZkServerNotServing" => "ZooKeeper server {1} of {0} answers but does not serve",
        "MonitorBlind" => "The monitor sees no server of any ensemble",
        "NodeDown" => "Node {1} is down ({0})",
        "NodeViewLost" => "The monitor cannot see the nodes of {0}",
        _ => "{2}: {1} ({0})",
    }
}

/// A summary of what is over.
pub(super) fn over(rule: &str) -> &'static str {
    match rule {
        "ZkServerUnreachable" => "ZooKeeper server {1} of {0} answers again",
        "ZkServerNotServing" => "ZooKeeper server {1} of {0} serves again",
        "NodeDown" => "Node {1} is not down any more ({0})",
        "NodeViewLost" => "The monitor sees the nodes of {0} again",
        _ => "{2} is over: {1} ({0})",
    }
}

pub(super) fn word(word: Word) -> &'static str {
    match word {
        Word::Severity => "Severity",
        Word::Ensemble => "Ensemble",
        Word::Server => "Server",
        Word::Node => "Node",
        Word::Since => "First seen",
        Word::Until => "Resolved",
        Word::Incident => "Incident",
        Word::Page => "Page",
        Word::Evidence => "Evidence",
        Word::Truncated => "(shortened; the page shows all)",
        Word::AndMore => "(and {0} more)",
        Word::Locate => "Where to look",
        Word::Action => "What to do",
        Word::TestSummary => "Test message of channel {0}: nothing is wrong",
        Word::TestDelivered => "delivered: the receiver took the message",
        Word::TestRefused => "refused for good: {0}",
        Word::TestRetry => "not delivered; a notification would be sent again: {0}",
        Word::OldWatches => {
            "the servers of {0} know no persistent watches (before ZooKeeper 3.6): \
             nodes are followed by one-shot watches"
        }
        Word::NotOpen => "the incident is over: there is nothing to acknowledge",
        Word::StillFiring => {
            "the fault is still there: acknowledge it instead; it closes once it is resolved"
        }
    }
}

pub(super) fn note(kind: NoteKind) -> &'static str {
    match kind {
        NoteKind::FiguresHidden => {
            "{0} does not allow the four-letter word mntr; to see more, set in its zoo.cfg: \
             4lw.commands.whitelist=srvr,mntr,conf,ruok"
        }
        NoteKind::NoMetricsPage => {
            "{0} shows no metrics page; to see all of its figures each second, set in its zoo.cfg: \
             metricsProvider.className=\
             org.apache.zookeeper.metrics.prometheus.PrometheusMetricsProvider \
             (another port than 7000 is metrics_port in watchkeeper.toml)"
        }
        NoteKind::ConfHidden => {
            "{0} does not show its configuration, so a drift cannot be seen; set in its zoo.cfg: \
             4lw.commands.whitelist=srvr,mntr,conf,ruok"
        }
        NoteKind::PageSilent => "{0} answers, but its page {1} does not: {2}",
        NoteKind::PageUnsound => "the metrics page of {0} has {2} unsound lines; the first: {1}",
        NoteKind::PageCut => "the metrics page of {0} was not read to its end: {1}",
        NoteKind::ConnectionLimit => {
            "{0} closes connections from this address without an answer, though its page answers: \
             the limit of connections per address is reached; find the client that leaks them, or \
             set in its zoo.cfg: maxClientCnxns=0"
        }
        NoteKind::ForeignAdmin => {
            "the AdminServer at port {1} beside {0} is that of the server at client port {2}; give \
             each its own in zoo.cfg (admin.serverPort=...) and name it in watchkeeper.toml"
        }
        NoteKind::ConfigDiffers => "{1} is not the same on all servers of {0}: {2}",
        NoteKind::MembersUnknown => {
            "{0} cannot say which servers it has (before ZooKeeper 3.5); name all of them in \
             watchkeeper.toml: [ensemble.{0}] servers"
        }
        NoteKind::MemberUnresolved => {
            "{0} has a server called {1}, a name that means nothing on this machine: it is not \
             watched; make the name known here, or name the server in watchkeeper.toml"
        }
        NoteKind::Barred => {
            "{0} is there, but it and this monitor do not trust each other, so nothing of it is \
             seen: {1}; correct [ensemble.NAME] tls in watchkeeper.toml (ca, certificate, key, \
             any_hostname) or the server's certificate"
        }
        NoteKind::SecurePortUnknown => {
            "{0} has a server whose clients without TLS use {1}; its port for TLS stands in no \
             list (before ZooKeeper 3.10): it is not watched; name all servers in \
             watchkeeper.toml: [ensemble.{0}] servers"
        }
    }
}

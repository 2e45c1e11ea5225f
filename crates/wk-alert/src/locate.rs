//! Where a fault is: which member, link, disk, client or path, most likely first, with what speaks
//! for it.
//!
//! Pure: the shell gives the scene as it was when the fault was judged. What comes out are facts that
//! are stored with the incident, so that the answer to *why* is the one of that moment.

use std::collections::BTreeMap;

use crate::fact::{Fact, FactKind};
use crate::finding::Subject;
use crate::server::{NOT_SERVING, ServerState, UNREACHABLE};
use crate::sight::Look;

/// The members run with different configurations.
pub const CONFIG_DRIFT: &str = "ZkConfigDrift";
/// The members run different versions.
pub const MIXED_VERSIONS: &str = "ZkMixedVersions";

/// Causes named of one incident, at most.
const CAUSES_MAX: usize = 8;

/// Where a cause is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Place {
    /// A member of the ensemble, its process or its host.
    Member,
    /// The way between members.
    Link,
    /// A disk of a member.
    Disk,
    /// A client: a node, its session.
    Client,
    /// A path in the tree.
    Path,
    /// The monitor's own view.
    View,
}

impl Place {
    /// The word used in JSON and on the command line.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Member => "member",
            Self::Link => "link",
            Self::Disk => "disk",
            Self::Client => "client",
            Self::Path => "path",
            Self::View => "view",
        }
    }
}

/// What a member does in elections.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Role {
    /// It votes; also whoever is not known to be an observer.
    #[default]
    Voter,
    /// It follows and does not vote.
    Observer,
}

/// One server of the scene.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Member {
    /// `host:port`.
    pub instance: String,
    /// What it does in elections.
    pub role: Role,
    /// What the last look showed.
    pub look: Look,
    /// How it is judged.
    pub state: Option<ServerState>,
    /// It says that it leads.
    pub leads: bool,
    /// Voters in sync with it, if it leads and says so.
    pub synced: Option<u64>,
    /// Its log device, if something is known: folder, bytes free.
    pub disk: Option<(String, u64)>,
    /// Its values of the keys that are not alike on all members; none if it shows none.
    pub config: Option<BTreeMap<String, String>>,
    /// A hash over what its zoo.cfg has in common with the others', as its agent says.
    pub file: Option<String>,
    /// Its version, if it says so.
    pub version: Option<String>,
}

/// The ensemble of a fault as it was seen at that moment.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Scene {
    /// Its servers.
    pub members: Vec<Member>,
    /// Who led last.
    pub last_leader: Option<String>,
    /// Nodes of the subject's group.
    pub group: Option<Group>,
}

/// How the nodes of a group fare.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Group {
    /// Some of those that are down.
    pub named: Vec<String>,
    /// How many are down.
    pub down: usize,
    /// How many there are.
    pub all: usize,
}

/// The causes of a fault of `subject`, most likely first.
pub fn locate(subject: &Subject, scene: &Scene) -> Vec<Fact> {
    let of_subject = scene.members.iter().find(|m| Some(&m.instance) == subject.instance.as_ref());
    let mut causes = match subject.rule.as_str() {
        UNREACHABLE => of_subject.and_then(gone).into_iter().collect(),
        NOT_SERVING | "ZkNoLeader" | "ZkServerReadOnly" => match of_subject {
            // The others have a leader: it is this one alone.
            Some(member) if scene.members.iter().any(|member| member.leads) => {
                gone(member).or_else(|| looking(member)).into_iter().collect()
            }
            _ => no_quorum(scene),
        },
        "ZkOneFailureFromOutage" | "ZkVoterMissing" => missing(voters(scene)),
        "ZkObserverLost" => missing(observers(scene)),
        "ZkCanaryFailing" | "ZkCanarySlow" => canary(scene),
        "ZkServerRejoinLoop"
        | "ZkCriticalThreadDied"
        | "ZkFsyncSlow"
        | "ZkLogDiskSaturated"
        | "ZkDiskFullSoon"
        | "ZkSnapshotFailed" => of_subject.map(disk).into_iter().collect(),
        CONFIG_DRIFT => drift(scene),
        MIXED_VERSIONS => versions(scene),
        "NodeDown" | "GroupBelowMinimum" => group(subject, scene),
        _ => Vec::new(),
    };
    causes.truncate(CAUSES_MAX);
    causes
}

/// Whether a fact is one that [`locate`] makes.
pub fn is_cause(fact: &Fact) -> bool {
    fact.kind.as_str().starts_with("at_")
}

/// Reads back where a stored fact says that the cause is; none if it says no place.
#[expect(clippy::wildcard_enum_match_arm, reason = "most facts say no place")]
pub fn place(fact: &Fact) -> Option<(Place, &str)> {
    let place = match fact.kind {
        FactKind::AtMemberGone
        | FactKind::AtMemberSilent
        | FactKind::AtMemberLooking
        | FactKind::AtMemberConfig
        | FactKind::AtMemberFile
        | FactKind::AtMemberVersion
        | FactKind::AtNoMajority
        | FactKind::AtLeaderSilent => Place::Member,
        FactKind::AtLeaderAlone | FactKind::AtElectionLinks | FactKind::AtLeaderPath => Place::Link,
        FactKind::AtLogDisk | FactKind::AtLogDiskFree => Place::Disk,
        FactKind::AtGroup
        | FactKind::SessionExpired
        | FactKind::AliveDeleted
        | FactKind::CannotTell => Place::Client,
        FactKind::AliveForged | FactKind::AliveNotEphemeral => Place::Path,
        FactKind::AllSilent | FactKind::Barred => Place::View,
        _ => return None,
    };
    Some((place, fact.args.first().map_or("", String::as_str)))
}

/// A member that does not answer.
fn gone(member: &Member) -> Option<Fact> {
    let kind = match member.look {
        Look::Refused => FactKind::AtMemberGone,
        Look::Silent => FactKind::AtMemberSilent,
        Look::Never | Look::Figures | Look::Answers | Look::Barred => return None,
    };
    Some(Fact::new(kind, [member.instance.clone()]))
}

fn voters(scene: &Scene) -> Vec<&Member> {
    scene.members.iter().filter(|member| member.role == Role::Voter).collect()
}

/// The observers; where nobody is known to be one, any may be.
fn observers(scene: &Scene) -> Vec<&Member> {
    let known: Vec<&Member> =
        scene.members.iter().filter(|member| member.role == Role::Observer).collect();
    if known.is_empty() { scene.members.iter().collect() } else { known }
}

/// Those that do not answer, whose process is known to be gone first; then those without a leader.
fn missing(mut members: Vec<&Member>) -> Vec<Fact> {
    members.sort_by_key(|member| member.look != Look::Refused);
    let silent = members.iter().filter_map(|member| gone(member));
    silent.chain(members.iter().filter_map(|member| looking(member))).collect()
}

/// A member that answers and looks for a leader.
fn looking(member: &Member) -> Option<Fact> {
    let is = member.look == Look::Answers && member.state == Some(ServerState::NotServing);
    is.then(|| Fact::new(FactKind::AtMemberLooking, [member.instance.clone()]))
}

/// Nobody leads: which voters are missing; if enough answer, the way between them.
fn no_quorum(scene: &Scene) -> Vec<Fact> {
    let voters = voters(scene);
    let majority = voters.len() / 2 + 1;
    let answers = |look| matches!(look, Look::Figures | Look::Answers | Look::Barred);
    let answering = voters.iter().filter(|member| answers(member.look));
    let names: Vec<&str> = answering.map(|member| member.instance.as_str()).collect();
    let mut causes = Vec::new();
    if names.len() >= majority && voters.len() > 1 {
        // Enough of them answer to elect somebody, and they do not.
        causes.push(Fact::new(FactKind::AtElectionLinks, [names.join(", ")]));
    }
    causes.extend(missing(voters));
    causes
}

/// Writes fail end to end: the leader first, whatever its followers say.
fn canary(scene: &Scene) -> Vec<Fact> {
    let leads = scene.members.iter().find(|member| member.leads);
    let last = scene.members.iter().find(|m| Some(&m.instance) == scene.last_leader.as_ref());
    let missing = missing(scene.members.iter().collect());
    let mut causes = Vec::new();
    match (leads, last) {
        (_, Some(leader)) if leader.look == Look::Silent => {
            causes.push(Fact::new(FactKind::AtLeaderSilent, [leader.instance.clone()]));
        }
        (Some(leader), _) if leader.synced == Some(0) && scene.members.len() > 1 => {
            causes.push(Fact::new(FactKind::AtLeaderAlone, [leader.instance.clone()]));
        }
        // Whoever is missing is the likelier cause.
        (Some(leader), _) if missing.is_empty() => {
            causes.push(Fact::new(FactKind::AtLeaderPath, [leader.instance.clone()]));
        }
        _ => (),
    }
    let named: Vec<String> = causes.iter().flat_map(|cause| cause.args.clone()).collect();
    causes.extend(missing.into_iter().filter(|cause| !named.contains(&cause.args[0])));
    causes
}

fn disk(member: &Member) -> Fact {
    match &member.disk {
        Some((folder, free)) => {
            let args = [member.instance.clone(), folder.clone(), free.to_string()];
            Fact::new(FactKind::AtLogDiskFree, args)
        }
        None => Fact::new(FactKind::AtLogDisk, [member.instance.clone()]),
    }
}

/// Members by what they have of something that should be alike; those that do not say are left out.
fn by<'s, V: Ord>(
    scene: &'s Scene,
    value: impl Fn(&'s Member) -> Option<V>,
) -> BTreeMap<V, Vec<&'s str>> {
    let mut groups: BTreeMap<V, Vec<&str>> = BTreeMap::new();
    for member in &scene.members {
        if let Some(value) = value(member) {
            groups.entry(value).or_default().push(&member.instance);
        }
    }
    groups
}

/// Who has not what more than half of them have; if nobody has that, all of them in one fact.
fn odd<V: Ord>(
    groups: &BTreeMap<V, Vec<&str>>,
    show: impl Fn(&V) -> String,
    name: impl Fn(&str, &V, &V) -> Fact,
) -> Vec<Fact> {
    if groups.len() < 2 {
        return Vec::new();
    }
    let all = groups.values().map(Vec::len).sum::<usize>();
    let Some((most, _)) = groups.iter().find(|(_, members)| members.len() * 2 > all) else {
        let names: Vec<&str> = groups.values().flatten().copied().collect();
        let values =
            groups.iter().map(|(v, members)| format!("{}: {}", show(v), members.join(", ")));
        let values: Vec<String> = values.collect();
        return vec![Fact::new(FactKind::AtNoMajority, [names.join(", "), values.join("; ")])];
    };
    let others = groups.iter().filter(|(value, _)| *value != most);
    let each = |(value, members)| -> Vec<Fact> {
        let members: &Vec<&str> = members;
        members.iter().map(|instance| name(instance, value, most)).collect()
    };
    others.flat_map(each).collect()
}

/// Configurations differ: of those that run, else of the files.
fn drift(scene: &Scene) -> Vec<Fact> {
    let show = |config: &&BTreeMap<String, String>| {
        let keys: Vec<String> = config.iter().map(|(key, v)| format!("{key}={v}")).collect();
        keys.join(" ")
    };
    let differs = |instance: &str, own: &&BTreeMap<String, String>, most: &&BTreeMap<_, _>| {
        let keys = own.iter().filter_map(|(key, value)| {
            let theirs: &String = most.get(key).filter(|theirs| *theirs != value)?;
            Some(format!("{key}={value} ({theirs})"))
        });
        let keys: Vec<String> = keys.collect();
        Fact::new(FactKind::AtMemberConfig, [instance.to_owned(), keys.join(", ")])
    };
    let running = odd(&by(scene, |member| member.config.as_ref()), show, differs);
    if !running.is_empty() {
        return running;
    }
    let named = |instance: &str, _: &&str, _: &&str| {
        Fact::new(FactKind::AtMemberFile, [instance.to_owned()])
    };
    odd(&by(scene, |member| member.file.as_deref()), |hash| (*hash).to_owned(), named)
}

fn versions(scene: &Scene) -> Vec<Fact> {
    let named = |instance: &str, own: &&str, most: &&str| {
        let args = [instance, own, most].map(str::to_owned);
        Fact::new(FactKind::AtMemberVersion, args)
    };
    odd(&by(scene, |member| member.version.as_deref()), |own| (*own).to_owned(), named)
}

/// A node is down: is it alone, or does its whole group fail?
fn group(subject: &Subject, scene: &Scene) -> Vec<Fact> {
    let (Some(name), Some(group)) = (&subject.group, &scene.group) else { return Vec::new() };
    let Group { named, down, all } = group;
    if *down < 2 && subject.node.is_some() {
        return Vec::new();
    }
    let args = [name.clone(), down.to_string(), all.to_string(), named.join(", ")];
    vec![Fact::new(FactKind::AtGroup, args)]
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Three members `a`, `b`, `c` as looks at them ended; `a` led last.
    fn scene(looks: [Look; 3]) -> Scene {
        let member = |(name, look): (&str, Look)| Member {
            instance: name.to_owned(),
            look,
            state: (look == Look::Answers).then_some(ServerState::NotServing),
            leads: name == "a" && look == Look::Figures,
            ..Member::default()
        };
        let members = ["a", "b", "c"].into_iter().zip(looks).map(member).collect();
        Scene { members, last_leader: Some("a".into()), ..Scene::default() }
    }

    fn found(subject: &Subject, scene: &Scene) -> Vec<String> {
        let show = |fact: &Fact| {
            let (place, what) = place(fact).expect("a cause has a place");
            format!("{} {what}: {}", place.as_str(), fact.kind.as_str())
        };
        locate(subject, scene).iter().map(show).collect()
    }

    #[test]
    fn a_lost_quorum_names_the_missing_voters() {
        let rule = Subject::ensemble("ZkNoLeader", "e");
        let two_gone = scene([Look::Silent, Look::Refused, Look::Answers]);
        let told = [
            "member b: at_member_gone",
            "member a: at_member_silent",
            "member c: at_member_looking",
        ];
        assert_eq!(found(&rule, &two_gone), told);
        let nobody_gone = scene([Look::Answers; 3]);
        assert_eq!(found(&rule, &nobody_gone)[0], "link a, b, c: at_election_links");
        let all_gone = scene([Look::Refused; 3]);
        assert_eq!(found(&rule, &all_gone).len(), 3);
    }

    #[test]
    fn observers_are_no_part_of_a_majority() {
        let rule = Subject::ensemble("ZkNoLeader", "e");
        let mut lost = scene([Look::Silent, Look::Refused, Look::Answers]);
        for name in ["d", "e"] {
            let (instance, role) = (name.to_owned(), Role::Observer);
            let (look, state) = (Look::Answers, Some(ServerState::NotServing));
            lost.members.push(Member { instance, role, look, state, ..Member::default() });
        }
        let told = [
            "member b: at_member_gone",
            "member a: at_member_silent",
            "member c: at_member_looking",
        ];
        assert_eq!(found(&rule, &lost), told, "one of three voters is left");
        lost.members[0].look = Look::Answers;
        assert_eq!(found(&rule, &lost)[0], "link a, c: at_election_links");
        lost.members[3].look = Look::Refused;
        let rule = Subject::ensemble("ZkObserverLost", "e");
        assert_eq!(
            found(&rule, &lost),
            ["member d: at_member_gone", "member e: at_member_looking"]
        );
        let rule = Subject::ensemble("ZkVoterMissing", "e");
        assert!(!found(&rule, &lost).iter().any(|cause| cause.starts_with("member d")));
    }

    #[test]
    fn one_member_that_does_not_serve_is_no_lost_quorum() {
        let rule = Subject::server(NOT_SERVING, "e", "c");
        let cut = scene([Look::Figures, Look::Figures, Look::Answers]);
        assert_eq!(found(&rule, &cut), ["member c: at_member_looking"]);
        let mut barred = cut.clone();
        barred.members[2].state = None;
        assert_eq!(found(&rule, &barred), Vec::<String>::new(), "it may serve: nobody can tell");
        let nobody_leads = scene([Look::Answers; 3]);
        assert_eq!(found(&rule, &nobody_leads)[0], "link a, b, c: at_election_links");
    }

    #[test]
    fn a_failing_canary_names_the_leader() {
        let rule = Subject::ensemble("ZkCanaryFailing", "e");
        let paused = scene([Look::Silent, Look::Figures, Look::Figures]);
        assert_eq!(found(&rule, &paused), ["member a: at_leader_silent"]);
        let mut cut = scene([Look::Figures; 3]);
        cut.members[0].synced = Some(0);
        assert_eq!(found(&rule, &cut), ["link a: at_leader_alone"]);
        cut.members[0].synced = Some(2);
        assert_eq!(found(&rule, &cut), ["link a: at_leader_path"]);
        cut.members[1].look = Look::Silent;
        assert_eq!(found(&rule, &cut), ["member b: at_member_silent"], "not all look well");
    }

    #[test]
    fn one_server_is_named_by_what_its_host_says() {
        let rule = Subject::server(UNREACHABLE, "e", "b");
        let refused = scene([Look::Figures, Look::Refused, Look::Figures]);
        assert_eq!(found(&rule, &refused), ["member b: at_member_gone"]);
        assert_eq!(found(&rule, &scene([Look::Figures; 3])), Vec::<String>::new());
        let mut full = scene([Look::Figures; 3]);
        full.members[1].disk = Some(("/log".into(), 0));
        let rule = Subject::server("ZkServerRejoinLoop", "e", "b");
        assert_eq!(found(&rule, &full), ["disk b: at_log_disk_free"]);
    }

    /// Members with these versions, or configurations of a key `k`.
    fn differing(values: &[&str]) -> Scene {
        let member = |(index, value): (usize, &&str)| Member {
            instance: format!("m{index}"),
            config: Some(BTreeMap::from([("k".to_owned(), (*value).to_owned())])),
            file: Some((*value).to_owned()),
            version: Some((*value).to_owned()),
            ..Member::default()
        };
        let members = values.iter().enumerate().map(member).collect();
        Scene { members, ..Scene::default() }
    }

    #[test]
    fn a_drift_names_whoever_is_not_like_most() {
        let told = |rule: &str, scene: &Scene| -> Vec<String> {
            let causes = locate(&Subject::ensemble(rule, "e"), scene);
            let shown = |fact: &Fact| {
                assert_eq!(place(fact).expect("a place").0, Place::Member);
                format!("{} {}", fact.kind.as_str(), fact.args.join(" | "))
            };
            causes.iter().map(shown).collect()
        };
        let one = differing(&["2", "3", "2"]);
        assert_eq!(told(CONFIG_DRIFT, &one), ["at_member_config m1 | k=3 (2)"]);
        assert_eq!(told(MIXED_VERSIONS, &one), ["at_member_version m1 | 3 | 2"]);
        let two = differing(&["2", "3", "2", "1", "2"]);
        let both = ["at_member_version m3 | 1 | 2", "at_member_version m1 | 3 | 2"];
        assert_eq!(told(MIXED_VERSIONS, &two), both);
        let split = differing(&["2", "3", "2", "3"]);
        let nobody = "at_no_majority m0, m2, m1, m3 | 2: m0, m2; 3: m1, m3";
        assert_eq!(told(MIXED_VERSIONS, &split), [nobody]);
        let nobody = "at_no_majority m0, m2, m1, m3 | k=2: m0, m2; k=3: m1, m3";
        assert_eq!(told(CONFIG_DRIFT, &split), [nobody]);
        // Running alike, or not showing it: the files speak.
        let mut files = one;
        files.members.iter_mut().for_each(|member| member.config = None);
        assert_eq!(told(CONFIG_DRIFT, &files), ["at_member_file m1"]);
        assert_eq!(told(CONFIG_DRIFT, &differing(&["2", "2"])), Vec::<String>::new());
    }

    #[test]
    fn a_node_that_fails_with_its_group_says_so() {
        let node = Subject {
            group: Some("g".into()),
            node: Some("n1".into()),
            ..Subject::ensemble("NodeDown", "e")
        };
        let with = |down: &[&str]| {
            let named: Vec<String> = down.iter().take(2).map(|id| (*id).to_owned()).collect();
            let group = Group { named, down: down.len(), all: 5 };
            Scene { group: Some(group), ..Scene::default() }
        };
        assert_eq!(found(&node, &with(&["n1"])), Vec::<String>::new(), "it alone");
        let three = with(&["n1", "n2", "n3"]);
        assert_eq!(found(&node, &three), ["client g: at_group"]);
        assert_eq!(locate(&node, &three)[0].args, ["g", "3", "5", "n1, n2"], "all are counted");
    }
}

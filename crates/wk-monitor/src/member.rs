//! Members of an ensemble: which servers there are to watch, as discovery found them.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use tracing::warn;

/// Members of one ensemble that are watched, at most; the others are left out and said so.
pub(crate) const MEMBERS_MAX: usize = 256;
/// Under which name the store keeps an ensemble's members.
const KEPT: &str = "members/";

/// One member, as discovery found it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Member {
    /// `host:port` of its client port.
    pub(crate) instance: String,
    /// Its id, if known.
    pub(crate) sid: Option<u64>,
    /// `participant` or `observer`, if known.
    pub(crate) role: Option<String>,
    /// Where it takes its peers: quorum port, election port.
    pub(crate) peers: Vec<String>,
    /// How it was found.
    pub(crate) source: String,
}

impl Member {
    /// A member as the configuration names it.
    pub(crate) fn configured(instance: &str) -> Self {
        Self {
            instance: instance.to_owned(),
            sid: None,
            role: None,
            peers: Vec::new(),
            source: "configured".to_owned(),
        }
    }
}

/// The members of an ensemble as they are kept over a restart, with the servers it was found by:
/// where those changed, what was found by the old ones says nothing.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Membership {
    seeds: Vec<String>,
    pub(crate) members: Vec<Member>,
}

impl Membership {
    /// The members that an ensemble starts with: those found before, else those configured.
    pub(crate) fn begin(name: &str, seeds: &[String], kept: &BTreeMap<String, Vec<u8>>) -> Self {
        let found = kept.get(&Self::key(name));
        let found = found.and_then(|bytes| serde_json::from_slice::<Self>(bytes).ok());
        let found = found.filter(|found| found.seeds == seeds && !found.members.is_empty());
        found.unwrap_or_else(|| Self {
            seeds: seeds.to_vec(),
            members: seeds.iter().map(|seed| Member::configured(seed)).collect(),
        })
    }

    /// Takes what discovery found: all members, those that do not serve among them. Says whether
    /// anything changed.
    pub(crate) fn update(&mut self, name: &str, mut members: Vec<Member>) -> bool {
        let mut seen = std::collections::BTreeSet::new();
        members.retain(|member| seen.insert(member.instance.clone()));
        if members.len() > MEMBERS_MAX {
            let (found, watched) = (members.len(), MEMBERS_MAX);
            warn!(ensemble = name, found, watched, "too many members: the last are left out");
            members.truncate(MEMBERS_MAX);
        }
        // An ensemble has members: a list of none is no news about it.
        let changed = !members.is_empty() && members != self.members;
        if changed {
            self.members = members;
        }
        changed
    }

    /// Name and bytes for the store.
    pub(crate) fn keep(&self, name: &str) -> (String, Vec<u8>) {
        let bytes = serde_json::to_vec(self).expect("strings and numbers only");
        (Self::key(name), bytes)
    }

    fn key(name: &str) -> String {
        format!("{KEPT}{name}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn members_are_kept_for_the_seeds_they_were_found_by() {
        let seeds = ["a:1".to_owned()];
        let mut first = Membership::begin("e", &seeds, &BTreeMap::new());
        assert_eq!(first.members, [Member::configured("a:1")]);
        let found: Vec<Member> = ["a:1", "b:1", "b:1"].map(Member::configured).into();
        assert!(first.update("e", found.clone()) && first.members == found[..2]);
        assert!(!first.update("e", found), "the same again");
        assert!(!first.update("e", vec![]), "no members is no news");
        let kept = BTreeMap::from([first.keep("e")]);
        assert_eq!(Membership::begin("e", &seeds, &kept).members.len(), 2);
        assert_eq!(Membership::begin("other", &seeds, &kept).members.len(), 1);
        assert_eq!(Membership::begin("e", &["c:1".to_owned()], &kept).members.len(), 1);
    }

    #[test]
    fn a_list_without_end_is_cut() {
        let mut members = Membership::begin("e", &["a:1".to_owned()], &BTreeMap::new());
        let many = (0..10_000).map(|port| Member::configured(&format!("h:{port}"))).collect();
        assert!(members.update("e", many));
        assert_eq!(members.members.len(), MEMBERS_MAX);
    }
}

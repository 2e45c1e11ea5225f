//! The election ports of an ensemble: which they are, and the task that tries them.

use tokio::sync::{mpsc, watch};
use wk_probe::doors::{self, Door, Pace};

use crate::config::EnsembleConfig;
use crate::engine::Event;
use crate::member::Member;
use crate::task::{Task, forward, supervise};

/// The place of the election port among a member's peer addresses.
const ELECTION: usize = 1;

/// The election ports of one ensemble; their drop ends the tries.
#[derive(Debug)]
pub(crate) struct Doors {
    change: watch::Sender<Vec<Door>>,
    _task: Option<Task>,
}

impl Doors {
    /// Begins to try the doors that [`Doors::follow`] names, unless the configuration forbids it;
    /// of the ensemble with this index.
    pub(crate) fn start(
        ensemble: usize,
        config: &EnsembleConfig,
        events: &mpsc::Sender<Event>,
    ) -> Self {
        let (change, known) = watch::channel(Vec::new());
        let mut labels = vec![("ensemble".to_owned(), config.name.clone())];
        labels.extend(config.site.iter().map(|site| ("site".to_owned(), site.clone())));
        let start = || {
            let (samples, told) = mpsc::channel(1);
            let wrap = move |samples| Event::Samples { ensemble, samples };
            forward(told, events.clone(), wrap);
            supervise("election ports", move || {
                doors::watch(known.clone(), labels.clone(), Pace::default(), samples.clone())
            })
        };
        let task = (!config.election_ports_off).then(start);
        Self { change, _task: task }
    }

    /// These are the members now.
    pub(crate) fn follow(&self, members: &[Member]) {
        self.change.send_replace(doors_of(members));
    }
}

/// Of members whose line of the server list is known.
fn doors_of(members: &[Member]) -> Vec<Door> {
    let door = |member: &Member| Door::new(&member.instance, member.peers.get(ELECTION)?);
    members.iter().filter_map(door).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_member_of_which_only_the_client_port_is_known_has_no_door() {
        let listed = Member {
            peers: vec!["10.0.0.1:2888".to_owned(), "10.0.0.1:3888".to_owned()],
            ..Member::configured("zk1:2181")
        };
        let doors = doors_of(&[listed, Member::configured("zk2:2181")]);
        let [door] = &doors[..] else { panic!("one door: {doors:?}") };
        assert_eq!((&*door.instance, &*door.host, door.port), ("zk1:2181", "10.0.0.1", 3888));
    }
}

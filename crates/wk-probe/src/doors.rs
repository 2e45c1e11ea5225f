//! Election ports from outside: whether each member still takes connections where its peers would
//! come at the next election. A healthy ensemble shows a closed one nowhere.
//!
//! Each connection to an open port costs the member a line and a warning with a stack trace in its
//! log (nobody spoke), so a door that opens is tried seldom. One that does not costs
//! nothing and is tried again soon. A way that may be closed to the monitor on purpose says nothing:
//! nothing is told of an ensemble before one of its doors has opened to us.

use std::collections::BTreeMap;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use tokio::net::TcpStream;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep_until, timeout};
use wk_promql::{Labels, STALE, Sample};

/// The metric: 1 it takes connections, 0 it does not.
const METRIC: &str = "watchkeeper_server_port_open";
/// So many failures in a row make a closed door: one may be a lost packet.
const FAILURES: u32 = 2;

/// The election port of one member.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Door {
    /// The member, as `host:port` of its client port: the label `instance`.
    pub instance: String,
    /// Its host as its peers name it.
    pub host: String,
    /// The port.
    pub port: u16,
}

impl Door {
    /// The door at `host:port` of the member that we know as `instance`. A wildcard is the host of
    /// the instance.
    pub fn new(instance: &str, address: &str) -> Option<Self> {
        let (host, port) = address.rsplit_once(':')?;
        let host = host.trim_start_matches('[').trim_end_matches(']');
        let wildcard = host.is_empty()
            || host.parse::<std::net::IpAddr>().is_ok_and(|address| address.is_unspecified());
        let own = || instance.rsplit_once(':').map_or(instance, |(host, _)| host);
        let host = if wildcard { own().trim_matches(['[', ']']) } else { host };
        let port = port.parse().ok()?;
        Some(Self { instance: instance.to_owned(), host: host.to_owned(), port })
    }
}

/// How often, and how long to wait.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pace {
    /// From one try of an open door to the next. Default 1 min.
    pub open: Duration,
    /// The same for one that was open and is not. Default 2 s.
    pub shut: Duration,
    /// A connection that takes longer is none. Default 3 s: one lost packet is no closed door.
    pub limit: Duration,
}

impl Default for Pace {
    fn default() -> Self {
        let seconds = Duration::from_secs;
        Self { open: seconds(60), shut: seconds(2), limit: seconds(3) }
    }
}

/// Tries the doors of one ensemble until nobody listens any more. `labels` are those of every
/// sample; the doors may change at any time.
pub async fn watch(
    mut doors: watch::Receiver<Vec<Door>>,
    labels: Vec<(String, String)>,
    pace: Pace,
    samples: mpsc::Sender<Vec<Sample>>,
) {
    let mut hall = Hall { labels, pace, tried: BTreeMap::new(), opened: false };
    loop {
        let known = doors.borrow_and_update().clone();
        let mut told = hall.retire(&known);
        let due = hall.due(&known, Instant::now());
        let mut tries = JoinSet::new();
        for door in due {
            tries.spawn(async move {
                let opened = opens(&door, pace.limit).await;
                (door.instance, opened)
            });
        }
        for (instance, opened) in tries.join_all().await {
            hall.take(instance, opened, Instant::now());
            hall.opened |= opened;
        }
        told.extend(hall.samples(wall()));
        if !told.is_empty() && samples.send(told).await.is_err() {
            return;
        }
        let next = hall.next(&known, Instant::now());
        tokio::select! {
            () = sleep_until(next) => (),
            changed = doors.changed() => {
                if changed.is_err() {
                    return;
                }
            }
            () = samples.closed() => return,
        }
    }
}

async fn opens(door: &Door, limit: Duration) -> bool {
    let connected = TcpStream::connect((door.host.as_str(), door.port));
    matches!(timeout(limit, connected).await, Ok(Ok(_)))
}

/// What is known of one door.
#[derive(Clone, Debug)]
struct Tried {
    failures: u32,
    /// As it was last told; none before that.
    open: Option<bool>,
    due: Instant,
    /// Tried since the samples were last taken.
    fresh: bool,
}

/// The doors of one ensemble.
struct Hall {
    labels: Vec<(String, String)>,
    pace: Pace,
    tried: BTreeMap<String, Tried>,
    /// Whether any of them has ever opened to us.
    opened: bool,
}

impl Hall {
    /// The ends of what was told of doors that are no more.
    fn retire(&mut self, known: &[Door]) -> Vec<Sample> {
        let is_known = |instance: &str| known.iter().any(|door| door.instance == instance);
        let gone = self.tried.extract_if(.., |instance, _| !is_known(instance));
        let told: Vec<String> =
            gone.filter(|(_, tried)| tried.open.is_some()).map(|(instance, _)| instance).collect();
        let at = wall();
        told.iter()
            .map(|instance| Sample { labels: self.labels(instance), at, value: STALE })
            .collect()
    }

    fn due(&self, known: &[Door], now: Instant) -> Vec<Door> {
        let due =
            |door: &&Door| self.tried.get(&door.instance).is_none_or(|tried| tried.due <= now);
        known.iter().filter(due).cloned().collect()
    }

    fn next(&self, known: &[Door], now: Instant) -> Instant {
        let due = known.iter().filter_map(|door| Some(self.tried.get(&door.instance)?.due));
        due.min().unwrap_or(now + self.pace.open)
    }

    fn take(&mut self, instance: String, opened: bool, now: Instant) {
        let tried = self.tried.entry(instance).or_insert(Tried {
            failures: 0,
            open: None,
            due: now,
            fresh: false,
        });
        tried.failures = if opened { 0 } else { tried.failures.saturating_add(1) };
        // A door that nobody has seen open, in a house where none has opened, is no hurry.
        let hurry = !opened && (self.opened || tried.failures < FAILURES);
        tried.due = now + if hurry { self.pace.shut } else { self.pace.open };
        tried.fresh = true;
    }

    /// What there is to tell since the last time.
    fn samples(&mut self, at: i64) -> Vec<Sample> {
        if !self.opened {
            return Vec::new();
        }
        let mut told = Vec::new();
        for (instance, tried) in &mut self.tried {
            let judged = match tried.failures {
                0 => Some(true),
                FAILURES.. => Some(false),
                _ => None,
            };
            tried.open = judged.or(tried.open);
            if let (true, Some(open)) = (std::mem::take(&mut tried.fresh), tried.open) {
                told.push((instance.clone(), f64::from(u8::from(open))));
            }
        }
        let sample = |(instance, value): (String, f64)| {
            let labels = self.labels(&instance);
            Sample { labels, at, value }
        };
        told.into_iter().map(sample).collect()
    }

    fn labels(&self, instance: &str) -> Labels {
        let common = self.labels.iter().map(|(name, value)| (name.as_str(), value.as_str()));
        let own = [("instance", instance), ("port", "election")];
        Labels::metric(METRIC, common.chain(own))
    }
}

fn wall() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use tokio::net::TcpListener;
    use wk_promql::is_stale;

    use super::*;

    const QUICK: Pace = Pace {
        open: Duration::from_millis(20),
        shut: Duration::from_millis(5),
        limit: Duration::from_secs(3),
    };

    async fn listener() -> (TcpListener, u16) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        (listener, port)
    }

    fn door(instance: &str, port: u16) -> Door {
        Door::new(instance, &format!("127.0.0.1:{port}")).unwrap()
    }

    fn begin(doors: Vec<Door>) -> (watch::Sender<Vec<Door>>, mpsc::Receiver<Vec<Sample>>) {
        let (change, doors) = watch::channel(doors);
        let (tell, told) = mpsc::channel(1);
        let labels = vec![("ensemble".to_owned(), "e".to_owned())];
        tokio::spawn(watch(doors, labels, QUICK, tell));
        (change, told)
    }

    /// Waits until `instance` is told as wanted; gives all that was told until then.
    async fn until(
        told: &mut mpsc::Receiver<Vec<Sample>>,
        instance: &str,
        wanted: impl Fn(f64) -> bool,
    ) -> Vec<(String, f64)> {
        let mut all = Vec::new();
        loop {
            let samples = timeout(Duration::from_mins(1), told.recv()).await;
            for sample in samples.expect("told in time").expect("the task runs") {
                assert_eq!(sample.labels.get("port"), "election");
                all.push((sample.labels.get("instance").to_owned(), sample.value));
            }
            if all.iter().any(|(name, value)| name == instance && wanted(*value)) {
                return all;
            }
        }
    }

    #[tokio::test]
    async fn a_door_that_shuts_is_told_and_one_that_opens_again() {
        let ((a, a_port), (b, b_port)) = (listener().await, listener().await);
        let doors = vec![door("a:1", a_port), door("b:1", b_port)];
        let (change, mut told) = begin(doors.clone());
        let first = until(&mut told, "b:1", |value| value > 0.0).await;
        assert!(first.iter().all(|(_, value)| *value > 0.0), "{first:?}");
        drop(b);
        let shut = until(&mut told, "b:1", |value| value == 0.0).await;
        assert!(shut.iter().all(|(name, value)| name == "b:1" || *value > 0.0), "{shut:?}");
        let _b = TcpListener::bind(("127.0.0.1", b_port)).await.unwrap();
        until(&mut told, "b:1", |value| value > 0.0).await;
        // One that left the ensemble ends.
        change.send(doors[..1].to_vec()).unwrap();
        until(&mut told, "b:1", is_stale).await;
        drop((a, change));
    }

    #[tokio::test]
    async fn of_an_ensemble_without_an_open_door_nothing_is_told() {
        let [shut, other] = wk_peers::wait::free_ports::<2>().unwrap();
        let (_change, mut told) = begin(vec![door("a:1", shut), door("b:1", other)]);
        // Long enough for many tries.
        let quiet = timeout(QUICK.open * 20, told.recv()).await;
        assert!(quiet.is_err(), "{quiet:?}");
        // The other one opens: now it is known that there is a way.
        let _listener = TcpListener::bind(("127.0.0.1", other)).await.unwrap();
        let all = until(&mut told, "a:1", |value| value == 0.0).await;
        assert!(all.contains(&("b:1".to_owned(), 1.0)), "{all:?}");
    }

    #[test]
    fn one_lost_try_changes_nothing() {
        let mut hall = Hall { labels: vec![], pace: QUICK, tried: BTreeMap::new(), opened: true };
        let now = Instant::now();
        let mut told = |opened| {
            hall.take("a:1".to_owned(), opened, now);
            hall.samples(1).iter().map(|sample| sample.value > 0.5).collect::<Vec<_>>()
        };
        let told = [true, false, true, false, false, false, true].map(|opened| told(opened)[0]);
        assert_eq!(told, [true, true, true, true, false, false, true]);
    }

    #[test]
    fn addresses_are_read_as_peers_name_them() {
        let parts = |address| Door::new("zk1:2181", address).map(|door| (door.host, door.port));
        let is = |host: &str, port| Some((host.to_owned(), port));
        assert_eq!(parts("10.0.0.1:3888"), is("10.0.0.1", 3888));
        assert_eq!(parts("fd00::1:3888"), is("fd00::1", 3888));
        assert_eq!(parts("0.0.0.0:3888"), is("zk1", 3888));
        assert_eq!(parts(":::3888"), is("zk1", 3888));
        assert_eq!((parts("zk1"), parts("zk1:x")), (None, None));
    }
}

//! Recipes of others, seen from outside: who waits for a lock, how long a queue is, how often an
//! election changes. Children of configured paths are listed at a slow pace; nothing is watched and
//! nothing written.
//!
//! Curator, kazoo and Apache's own recipes all queue by sequence: the children of a lock or an
//! election end in ten digits, and the lowest is the holder.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use tokio::sync::mpsc;
use wk_client::{Client, Error, ErrorCode};
use wk_promql::{Labels, STALE, Sample};

/// Which znodes are recipes; a `*` stands for any one name.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Recipes {
    /// Locks of any kind.
    pub locks: Vec<String>,
    /// Queues.
    pub queues: Vec<String>,
    /// Elections: latches, selectors, candidates.
    pub elections: Vec<String>,
}

impl Recipes {
    /// Whether there is nothing to look at.
    pub fn is_empty(&self) -> bool {
        self.locks.is_empty() && self.queues.is_empty() && self.elections.is_empty()
    }
}

/// How it is looked.
#[derive(Clone, Debug)]
pub struct Pace {
    /// From one look to the next. Default 5 s.
    pub interval: Duration,
    /// Znodes of one kind that stars may stand for; the rest is left out and said so. Default 200.
    pub paths_max: usize,
}

impl Default for Pace {
    fn default() -> Self {
        Self { interval: Duration::from_secs(5), paths_max: 200 }
    }
}

/// News of a look.
#[derive(Clone, Debug, PartialEq)]
pub enum News {
    /// Figures.
    Samples(Vec<Sample>),
    /// What could not be seen; none: nothing.
    Note(Option<String>),
}

/// Looks until nobody listens any more. `labels` are those of every sample.
pub async fn watch(
    client: Client,
    recipes: Recipes,
    pace: Pace,
    labels: Vec<(String, String)>,
    news: mpsc::Sender<News>,
) {
    let client = client.with_timeout(pace.interval);
    let mut seen = Seen::default();
    let mut noted = None;
    let mut timer = tokio::time::interval(pace.interval);
    timer.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        timer.tick().await;
        let look = look(&client, &recipes, &pace).await;
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let at = i64::try_from(since.as_millis()).unwrap_or(i64::MAX);
        // Without a connection nothing is known; the rules' lookback bridges a short while.
        let Ok((found, note)) = look else { continue };
        let samples = seen.take(Instant::now(), at, found, &labels);
        let told = async {
            if note != noted {
                noted.clone_from(&note);
                news.send(News::Note(note)).await?;
            }
            if samples.is_empty() { Ok(()) } else { news.send(News::Samples(samples)).await }
        };
        if told.await.is_err() {
            return;
        }
    }
}

/// What kind of recipe a znode is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Kind {
    Lock,
    Queue,
    Election,
}

/// One znode of a recipe as it was read.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Found {
    kind: Kind,
    path: String,
    children: Vec<String>,
}

async fn look(
    client: &Client,
    recipes: &Recipes,
    pace: &Pace,
) -> Result<(Vec<Found>, Option<String>), Error> {
    let kinds = [
        (Kind::Lock, &recipes.locks),
        (Kind::Queue, &recipes.queues),
        (Kind::Election, &recipes.elections),
    ];
    let (mut all, mut notes) = (Vec::new(), BTreeSet::new());
    for (kind, patterns) in kinds {
        let mut paths = BTreeSet::new();
        for pattern in patterns {
            expand(client, pattern, &mut paths, pace.paths_max, &mut notes).await?;
        }
        for path in paths {
            let Some(mut children) = children(client, &path, &mut notes).await? else { continue };
            // kazoo's LockingQueue keeps its items one level lower.
            if kind == Kind::Queue && children.iter().any(|name| name == "entries") {
                let below = format!("{path}/entries");
                children = self::children(client, &below, &mut notes).await?.unwrap_or_default();
            }
            all.push(Found { kind, path, children });
        }
    }
    let note = (!notes.is_empty()).then(|| {
        let notes: Vec<String> = notes.into_iter().collect();
        format!("recipes: {}", notes.join("; "))
    });
    Ok((all, note))
}

/// The znodes that a pattern stands for.
async fn expand(
    client: &Client,
    pattern: &str,
    paths: &mut BTreeSet<String>,
    paths_max: usize,
    notes: &mut BTreeSet<String>,
) -> Result<(), Error> {
    let mut heads = vec![String::new()];
    for part in pattern.split('/').skip(1) {
        let mut next = Vec::new();
        for head in heads {
            if part != "*" {
                next.push(format!("{head}/{part}"));
                continue;
            }
            let mut names = children(client, &head, notes).await?.unwrap_or_default();
            names.sort_unstable();
            next.extend(names.into_iter().map(|name| format!("{head}/{name}")));
            if next.len() > paths_max {
                notes.insert(format!(
                    "{pattern}: more than {paths_max} znodes, the rest is left out"
                ));
                next.truncate(paths_max);
                break;
            }
        }
        heads = next;
    }
    for path in heads {
        if paths.len() >= paths_max && !paths.contains(&path) {
            notes.insert(format!("{pattern}: more than {paths_max} znodes, the rest is left out"));
            break;
        }
        paths.insert(path);
    }
    Ok(())
}

/// The children of a znode; none if it is not there or may not be seen.
async fn children(
    client: &Client,
    path: &str,
    notes: &mut BTreeSet<String>,
) -> Result<Option<Vec<String>>, Error> {
    match client.children(if path.is_empty() { "/" } else { path }).await {
        Ok(children) => Ok(Some(children)),
        Err(Error::Server(ErrorCode::NoNode)) => Ok(None),
        Err(err @ (Error::Server(ErrorCode::NoAuth) | Error::TooLarge { .. })) => {
            notes.insert(format!("{path}: {err}"));
            Ok(None)
        }
        Err(err) => Err(err),
    }
}

/// The sequence at the end of a name: ten digits, negative once the counter has wrapped.
fn sequence(name: &str) -> Option<i32> {
    let at = name.len().checked_sub(10)?;
    let (head, digits) = (name.get(..at)?, name.get(at..)?);
    if !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    // A hyphen before the digits is the recipe's own, unless its own stands before that.
    let negative = head.ends_with("--") || head.ends_with("__-");
    let number: i64 = digits.parse().ok()?;
    i32::try_from(if negative { -number } else { number }).ok()
}

/// Those who want a lock or an office, in the order in which they came.
fn queue(children: &[String]) -> Vec<&str> {
    let mut queue: Vec<(i32, &str)> =
        children.iter().filter_map(|name| Some((sequence(name)?, name.as_str()))).collect();
    // Sequences near the wrap are compared by their distance.
    queue.sort_unstable_by(|(a, _), (b, _)| a.wrapping_sub(*b).cmp(&0));
    queue.into_iter().map(|(_, name)| name).collect()
}

fn reads(name: &str) -> bool {
    name.contains("__READ__") || name.contains("__rlock__")
}

/// How many of a queue hold: the first, or all readers before the first writer.
fn holders(queue: &[&str]) -> usize {
    let readers = queue.iter().take_while(|name| reads(name)).count();
    readers.max(1).min(queue.len())
}

/// What is remembered from look to look.
#[derive(Debug, Default)]
struct Seen {
    /// Who was first, and since when it was seen so.
    first: BTreeMap<(Kind, String), (Option<String>, Instant)>,
    changes: BTreeMap<String, u32>,
    live: BTreeSet<Labels>,
}

impl Seen {
    fn take(
        &mut self,
        now: Instant,
        at: i64,
        found: Vec<Found>,
        labels: &[(String, String)],
    ) -> Vec<Sample> {
        let mut values: BTreeMap<Labels, f64> = BTreeMap::new();
        for Found { kind, path, children } in found {
            let common = labels.iter().map(|(name, value)| (name.as_str(), value.as_str()));
            let series =
                |metric| Labels::metric(metric, common.clone().chain([("path", path.as_str())]));
            if kind == Kind::Queue {
                values.insert(series("watchkeeper_recipe_queue_depth"), count(children.len()));
                continue;
            }
            let queue = queue(&children);
            let first = queue.first().map(|name| (*name).to_owned());
            let key = (kind, path.clone());
            let known = self.first.get(&key);
            let changed = known.is_some_and(|(old, _)| *old != first);
            if known.is_none() || changed {
                self.first.insert(key.clone(), (first.clone(), now));
            }
            if kind == Kind::Election {
                let changes = self.changes.entry(path.clone()).or_default();
                // An office that falls vacant is one change with the next who takes it.
                *changes += u32::from(changed && first.is_some());
                let changes = f64::from(*changes);
                values.insert(series("watchkeeper_recipe_election_changes_total"), changes);
                continue;
            }
            let waiters = queue.len() - holders(&queue);
            values.insert(series("watchkeeper_recipe_lock_waiters"), count(waiters));
            if first.is_some() {
                let since = self.first.get(&key).map_or(now, |(_, since)| *since);
                let held = now.duration_since(since).as_secs_f64();
                values.insert(series("watchkeeper_recipe_lock_held_seconds"), held);
            }
        }
        let ended = self.live.iter().filter(|labels| !values.contains_key(*labels));
        let ended = ended.map(|labels| Sample { labels: labels.clone(), at, value: STALE });
        let mut samples: Vec<Sample> = ended.collect();
        self.live = values.keys().cloned().collect();
        let sample = |(labels, value)| Sample { labels, at, value };
        samples.extend(values.into_iter().map(sample));
        samples
    }
}

#[expect(clippy::cast_precision_loss, reason = "children that fit into a frame")]
fn count(number: usize) -> f64 {
    number as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(kind: Kind, path: &str, children: &[&str]) -> Found {
        let children = children.iter().map(|name| (*name).to_owned()).collect();
        Found { kind, path: path.to_owned(), children }
    }

    fn shown(samples: &[Sample]) -> Vec<String> {
        let row = |sample: &Sample| format!("{} {}", sample.labels, sample.value);
        samples.iter().map(row).collect()
    }

    #[test]
    fn sequences_of_all_dialects_are_read() {
        for (name, want) in [
            ("_c_6f3a-lock-0000000007", Some(7)),
            ("0a1b__lock__0000000012", Some(12)),
            ("x-72057594-0000000003", Some(3)),
            ("_c_6f3a-lock--2147483648", Some(i32::MIN)),
            ("0a1b__lock__-2147483647", Some(-2_147_483_647)),
            ("leases", None),
            ("0000000001", Some(1)),
            ("café-000000001", None),
        ] {
            assert_eq!(sequence(name), want, "{name}");
        }
    }

    #[test]
    fn waiters_are_all_behind_the_holder_or_the_first_readers() {
        let waiters = |names: &[&str]| {
            let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
            let queue = queue(&names);
            queue.len() - holders(&queue)
        };
        assert_eq!(waiters(&[]), 0);
        assert_eq!(waiters(&["a-lock-0000000002", "b-lock-0000000001", "config"]), 1);
        let (read, write) = ("a-__READ__0000000001", "b-__WRIT__0000000003");
        assert_eq!(waiters(&[read, "c-__READ__0000000002", write, "d-__READ__0000000004"]), 2);
        assert_eq!(waiters(&[write, "d-__READ__0000000004"]), 1);
        // The counter has wrapped: the large number came first.
        let wrapped = ["b__lock__-2147483648".to_owned(), "a__lock__2147483647".to_owned()];
        assert_eq!(queue(&wrapped)[0], "a__lock__2147483647");
    }

    #[test]
    fn figures_follow_holders_depths_and_changes() {
        let (mut seen, start) = (Seen::default(), Instant::now());
        let labels = [("ensemble".to_owned(), "e".to_owned())];
        let at = |seconds| start + Duration::from_secs(seconds);
        let lock = |names: &[&str]| found(Kind::Lock, "/l", names);
        let first = vec![
            lock(&["a-lock-0000000001", "b-lock-0000000002"]),
            found(Kind::Queue, "/q", &["queue-0000000001", "queue-0000000002"]),
            found(Kind::Election, "/e", &["x-latch-0000000001"]),
        ];
        seen.take(at(0), 0, first.clone(), &labels);
        assert_eq!(
            shown(&seen.take(at(7), 7, first, &labels)),
            [
                r#"watchkeeper_recipe_election_changes_total{ensemble="e", path="/e"} 0"#,
                r#"watchkeeper_recipe_lock_held_seconds{ensemble="e", path="/l"} 7"#,
                r#"watchkeeper_recipe_lock_waiters{ensemble="e", path="/l"} 1"#,
                r#"watchkeeper_recipe_queue_depth{ensemble="e", path="/q"} 2"#,
            ]
        );
        let second = vec![
            lock(&["b-lock-0000000002"]),
            found(Kind::Election, "/e", &["y-latch-0000000002"]),
        ];
        assert_eq!(
            shown(&seen.take(at(9), 9, second, &labels)),
            [
                r#"watchkeeper_recipe_queue_depth{ensemble="e", path="/q"} NaN"#,
                r#"watchkeeper_recipe_election_changes_total{ensemble="e", path="/e"} 1"#,
                r#"watchkeeper_recipe_lock_held_seconds{ensemble="e", path="/l"} 0"#,
                r#"watchkeeper_recipe_lock_waiters{ensemble="e", path="/l"} 0"#,
            ]
        );
    }
}

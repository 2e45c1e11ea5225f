//! Reads of the registry: what a child of the root is, what is seen of a node. They decide nothing.

use std::collections::BTreeSet;
use std::sync::Arc;

use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use wk_alert::node::{Alive, NodeKey, Observation};
use wk_client::{Client, Error, ErrorCode, Stat, Watcher, Znode};

use super::{ALIVE, DATA_MAX, Kind, READS_MAX, ROOT};

/// Reads within the bound. Clones share it.
#[derive(Clone)]
pub(super) struct Reader {
    client: Client,
    room: Arc<Semaphore>,
}

/// A child of the root as it was read.
pub(super) struct Found {
    pub(super) kind: Kind,
    pub(super) nodes: Vec<(NodeKey, Observation)>,
}

/// Arms one-shot watches on the root, its children and theirs.
pub(super) async fn arm(client: &Client) -> Result<JoinSet<()>, Error> {
    let mut fired = JoinSet::new();
    let mut wait = |mut watcher: Watcher| {
        fired.spawn(async move {
            // Lost with its session: that too asks for a new look.
            let _ = watcher.fired().await;
        });
    };
    let (root, watcher) = client.exists_watch(ROOT).await?;
    wait(watcher);
    let mut level = if root.is_some() { vec![ROOT.to_owned()] } else { vec![] };
    for depth in 0..3 {
        let mut below = Vec::new();
        for path in level {
            let (children, _, watcher) = match client.children_watch(&path).await {
                Ok(found) => found,
                Err(Error::Server(ErrorCode::NoNode)) => continue,
                Err(err) => return Err(err),
            };
            wait(watcher);
            let children = children.iter().filter(|name| *name != ALIVE && depth < 2);
            below.extend(children.map(|name| format!("{path}/{name}")));
        }
        level = below;
    }
    Ok(fired)
}

impl Reader {
    pub(super) fn new(client: Client) -> Self {
        Self { client, room: Arc::new(Semaphore::new(READS_MAX)) }
    }

    /// Reads a child of the root: a node, or a group with its nodes; none if it is gone.
    pub(super) async fn top(
        &self,
        name: &str,
        proven: bool,
        was_group: bool,
    ) -> Result<Option<Found>, Error> {
        let Some(asked) = self.ask(&format!("{ROOT}/{name}")).await? else { return Ok(None) };
        let is_node = proven
            || asked.children.iter().any(|child| child == ALIVE)
            || (asked.children.is_empty() && !was_group);
        if is_node {
            let key = NodeKey { group: None, id: name.to_owned() };
            let nodes = vec![(key, asked.seen())];
            return Ok(Some(Found { kind: Kind::Node, nodes }));
        }
        let mut reads = JoinSet::new();
        let mut children = asked.children.into_iter();
        let mut members = BTreeSet::new();
        let mut nodes = Vec::new();
        loop {
            while reads.len() < READS_MAX
                && let Some(id) = children.next()
            {
                let (reader, group) = (self.clone(), Some(name.to_owned()));
                reads.spawn(async move {
                    let key = NodeKey { group, id };
                    let seen = reader.node(&key).await;
                    (key, seen)
                });
            }
            let Some(read) = reads.join_next().await else { break };
            let (key, seen) = read.map_err(|_| Error::Closed)?;
            if let Some(seen) = seen? {
                members.insert(key.id.clone());
                nodes.push((key, seen));
            }
        }
        Ok(Some(Found { kind: Kind::Group(members), nodes }))
    }

    /// Reads a node; none if it is not registered.
    pub(super) async fn node(&self, key: &NodeKey) -> Result<Option<Observation>, Error> {
        Ok(self.ask(&key.path()).await?.map(Asked::seen))
    }

    /// Asks three questions at once; none if there is no such znode.
    ///
    /// Their order matters, and a session keeps it. Whether it ever had children is told with the
    /// children: a first child that comes between two reads must not look like one that went. The
    /// data comes last: what was written before `alive` went is in it. Whatever changes meanwhile
    /// brings an event.
    async fn ask(&self, path: &str) -> Result<Option<Asked>, Error> {
        let _room = self.room.acquire().await.map_err(|_| Error::Closed)?;
        let alive = format!("{path}/{ALIVE}");
        let (children, alive, znode) = tokio::join!(
            biased;
            self.client.children_stat(path),
            self.client.exists(&alive),
            self.client.get(path)
        );
        let (children, stat) = match children {
            Ok(found) => found,
            Err(Error::Server(ErrorCode::NoNode)) => return Ok(None),
            Err(err) => return Err(err),
        };
        let znode = match znode {
            Ok(znode) => znode,
            Err(Error::Server(ErrorCode::NoNode)) => return Ok(None),
            Err(err) => return Err(err),
        };
        Ok(Some(Asked { children, stat, alive: alive?, znode }))
    }
}

/// What the three questions brought.
struct Asked {
    children: Vec<String>,
    stat: Stat,
    alive: Option<Stat>,
    znode: Znode,
}

impl Asked {
    /// The same of a node.
    fn seen(self) -> Observation {
        // One that came after the first answer brings an event.
        let alive = self.alive.filter(|_| self.children.iter().any(|child| child == ALIVE));
        let alive = alive.map(|stat| Alive { owner: stat.ephemeral_owner, czxid: stat.czxid });
        let mut data = self.znode.data.unwrap_or_default();
        let leaving = says_leaving(&data).then_some(self.znode.stat.mzxid);
        data.truncate(DATA_MAX);
        let had_children = self.stat.cversion != 0;
        Observation { leaving, had_children, alive, expected: false, data }
    }
}

/// `state=leaving`, alone or among other words, or JSON with `"state": "leaving"`.
fn says_leaving(data: &[u8]) -> bool {
    let Ok(text) = std::str::from_utf8(data) else { return false };
    let json: Option<serde_json::Value> = serde_json::from_str(text).ok();
    let in_json = json.is_some_and(|json| json["state"] == "leaving");
    let mut words = text.split(|c: char| c.is_whitespace() || ";,&".contains(c));
    in_json || words.any(|word| word == "state=leaving")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn leaving_is_said_in_two_ways() {
        for yes in ["state=leaving", "host=a\nstate=leaving\n", r#"{"a":1,"state":"leaving"}"#] {
            assert!(says_leaving(yes.as_bytes()), "{yes}");
        }
        for no in ["", "state=up", r#"{"state":"up"}"#, r#"["leaving"]"#, "xstate=leaving"] {
            assert!(!says_leaving(no.as_bytes()), "{no}");
        }
        assert!(!says_leaving(&[0xff]));
    }
}

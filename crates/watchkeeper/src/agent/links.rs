//! Whether this host reaches the ports of the other members: what no one else can see.

use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::net::TcpStream;

use super::zoo::{Peer, Zoo};

/// Each connection costs the member a line in its log.
const INTERVAL: Duration = Duration::from_secs(30);
/// After a change it is looked again so soon.
const AGAIN: Duration = Duration::from_secs(5);
/// A connection that takes longer is none.
const LIMIT: Duration = Duration::from_secs(3);

/// One way to one port.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Link {
    pub(super) from: String,
    pub(super) to: String,
    pub(super) port: &'static str,
    pub(super) up: bool,
}

/// The links as last tried.
#[derive(Clone, Debug, Default)]
pub(super) struct Links(Arc<Mutex<Vec<Link>>>);

impl Links {
    pub(super) fn known(&self) -> Vec<Link> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Tries all links for ever; the members may change.
    pub(super) async fn watch(self, path: PathBuf) {
        loop {
            let reading = path.clone();
            let zoo = tokio::task::spawn_blocking(move || Zoo::read(&reading)).await;
            let tried = match zoo {
                Ok(Ok(zoo)) => try_all(&zoo).await,
                Ok(Err(_)) | Err(_) => Vec::new(),
            };
            let old = std::mem::replace(
                &mut *self.0.lock().unwrap_or_else(PoisonError::into_inner),
                tried.clone(),
            );
            tokio::time::sleep(if old == tried { INTERVAL } else { AGAIN }).await;
        }
    }
}

async fn try_all(zoo: &Zoo) -> Vec<Link> {
    let Some(own) = zoo.peers.iter().find(|peer| Some(&peer.sid) == zoo.myid.as_ref()) else {
        return Vec::new();
    };
    let others = || zoo.peers.iter().filter(|peer| peer.sid != own.sid);
    let mut tries = Vec::new();
    for peer in others() {
        for (port, number) in [("quorum", peer.quorum), ("election", peer.election)] {
            let (host, from, to) = (peer.host.clone(), name(own), name(peer));
            tries.push(tokio::spawn(async move {
                let connected = TcpStream::connect((host.as_str(), number));
                let up = match tokio::time::timeout(LIMIT, connected).await {
                    Ok(Ok(_)) => true,
                    // Only the leader listens on the quorum port: a refusal came from its host.
                    Ok(Err(err)) => {
                        port == "quorum" && err.kind() == std::io::ErrorKind::ConnectionRefused
                    }
                    Err(_) => false,
                };
                Link { from, to, port, up }
            }));
        }
    }
    let mut links = Vec::new();
    for tried in tries {
        links.extend(tried.await.ok());
    }
    links
}

/// Unique even where all members are on one host.
fn name(peer: &Peer) -> String {
    format!("{}:{}", peer.host, peer.election)
}

#[cfg(test)]
mod tests {
    use tokio::net::TcpListener;

    use super::*;

    #[tokio::test]
    async fn an_open_port_a_refusal_and_oneself_are_told_apart() {
        let open = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = open.local_addr().unwrap().port();
        let [shut] = wk_peers::wait::free_ports::<1>().unwrap();
        let peer = |sid: &str, quorum, election| Peer {
            sid: sid.into(),
            host: "127.0.0.1".into(),
            quorum,
            election,
        };
        let peers = vec![peer("1", 1, 2), peer("2", shut, port), peer("3", shut, shut)];
        let zoo = Zoo { keys: [].into(), peers, myid: Some("1".into()) };
        let links = try_all(&zoo).await;
        let up: Vec<(&str, bool)> = links.iter().map(|link| (link.port, link.up)).collect();
        // A refused quorum port shows that the way is open; a refused election port, no member.
        assert_eq!(
            up,
            [("quorum", true), ("election", true), ("quorum", true), ("election", false)]
        );
        assert!(links.iter().all(|link| link.from == "127.0.0.1:2"));
        let alone = Zoo { myid: None, ..zoo };
        assert_eq!(try_all(&alone).await, []);
    }
}

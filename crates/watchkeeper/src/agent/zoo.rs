//! What the agent needs of a zoo.cfg and of the files that it names.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::Context;
use wk_server::zoo_cfg::entries;

/// A file longer than this is none of a server's configuration.
const FILE_MAX: u64 = 1 << 20;

/// Another member, as the configuration names it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Peer {
    pub(super) sid: String,
    pub(super) host: String,
    pub(super) quorum: u16,
    pub(super) election: u16,
}

/// A configuration as it is now.
#[derive(Clone, Debug)]
pub(super) struct Zoo {
    pub(super) keys: BTreeMap<String, String>,
    pub(super) peers: Vec<Peer>,
    /// This server's own number, if it has one.
    pub(super) myid: Option<String>,
}

impl Zoo {
    /// Reads the file, the dynamic one that it names, and `myid`.
    pub(super) fn read(path: &Path) -> anyhow::Result<Self> {
        let mut keys: BTreeMap<String, String> = read(path)?.into_iter().collect();
        if let Some(dynamic) = keys.get("dynamicConfigFile").cloned() {
            // The server may be writing it at this moment: the next page has it.
            keys.extend(read(Path::new(&dynamic)).unwrap_or_default());
        }
        let dir = keys.get("dataDir").with_context(|| {
            format!("{}: has no dataDir: is this a server's zoo.cfg?", path.display())
        })?;
        let myid = fs::read_to_string(Path::new(dir).join("myid")).ok();
        let myid = myid.map(|text| text.trim().to_owned()).filter(|text| !text.is_empty());
        let peers = keys.iter().filter_map(|(key, value)| peer(key, value)).collect();
        Ok(Self { keys, peers, myid })
    }

    pub(super) fn data_dir(&self) -> PathBuf {
        self.keys.get("dataDir").map(PathBuf::from).unwrap_or_default()
    }

    /// Where the txn log is; the data directory unless it is said.
    pub(super) fn log_dir(&self) -> PathBuf {
        self.keys.get("dataLogDir").map_or_else(|| self.data_dir(), PathBuf::from)
    }

    /// The port for clients; of a dynamic configuration, from the server's own line.
    pub(super) fn client_port(&self) -> Option<String> {
        let own = self.myid.as_ref().and_then(|sid| self.keys.get(&format!("server.{sid}")));
        let dynamic = own.and_then(|line| line.split_once(';')).map(|(_, client)| client);
        let dynamic = dynamic.map(|client| client.rsplit(':').next().unwrap_or(client).trim());
        let fixed = self.keys.get("clientPort").or_else(|| self.keys.get("secureClientPort"));
        fixed.map(String::as_str).or(dynamic).map(str::to_owned)
    }
}

fn read(path: &Path) -> anyhow::Result<Vec<(String, String)>> {
    let reading = || format!("{}: cannot read", path.display());
    let len = fs::metadata(path).with_context(reading)?.len();
    anyhow::ensure!(len <= FILE_MAX, "{}: longer than {FILE_MAX} bytes", path.display());
    Ok(entries(&fs::read(path).with_context(reading)?))
}

/// `server.1=host:2888:3888[:role][;...]`, the first of several addresses separated by `|`.
fn peer(key: &str, value: &str) -> Option<Peer> {
    let sid = key.strip_prefix("server.")?;
    let address = value.split([';', '|']).next()?.trim();
    let (host, ports) = match address.strip_prefix('[') {
        Some(rest) => rest.split_once("]:")?,
        None => address.split_once(':')?,
    };
    let mut ports = ports.split(':');
    let quorum = ports.next()?.parse().ok()?;
    let election = ports.next()?.parse().ok()?;
    Some(Peer { sid: sid.to_owned(), host: host.to_owned(), quorum, election })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn members_ports_and_what_must_be_alike_are_read() {
        let dir = tempfile::tempdir().expect("a folder");
        let cfg = dir.path().join("zoo.cfg");
        let dynamic = dir.path().join("dynamic");
        let text = format!(
            "tickTime=2000\ndataDir={0}\nclientPort=2181\ndynamicConfigFile={1}\n\
             ssl.keyStore.password=secret\n",
            dir.path().display(),
            dynamic.display()
        );
        fs::write(&cfg, &text).expect("written");
        let lines = "server.1=zk1:2888:3888:participant;0.0.0.0:2181\n\
                     server.2=[::1]:2889:3889;2182\nserver.x=nonsense\n";
        fs::write(&dynamic, lines).expect("written");
        fs::write(dir.path().join("myid"), "1\n").expect("written");
        let zoo = Zoo::read(&cfg).expect("legal");
        assert_eq!((zoo.myid.as_deref(), zoo.client_port().as_deref()), (Some("1"), Some("2181")));
        let shown: Vec<String> = zoo.peers.iter().map(|p| format!("{p:?}")).collect();
        assert_eq!(zoo.peers.len(), 2, "{shown:?}");
        assert_eq!((zoo.peers[1].host.as_str(), zoo.peers[1].election), ("::1", 3889));
        let common = wk_server::host::common_lines(&zoo.keys);
        assert!(common.contains("tickTime=2000\n") && common.contains("server.1="), "{common}");
        assert!(!common.contains("secret") && !common.contains("dataDir"), "{common}");
    }

    #[test]
    fn a_file_that_is_none_is_refused_with_its_name() {
        let dir = tempfile::tempdir().expect("a folder");
        let err = Zoo::read(&dir.path().join("no.cfg")).expect_err("missing").to_string();
        assert!(err.contains("no.cfg: cannot read"), "{err}");
        let cfg = dir.path().join("zoo.cfg");
        fs::write(&cfg, "a=b").expect("written");
        let err = Zoo::read(&cfg).expect_err("no dataDir").to_string();
        assert!(err.contains("has no dataDir"), "{err}");
    }
}

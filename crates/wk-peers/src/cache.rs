//! The cache folder of fetched peers: its place, and stamps and locks that make fetching
//! idempotent and safe when several test processes start at once.

use std::fs::{self, File};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

/// The folder in which all fetched peers live.
#[derive(Clone, Debug)]
pub struct Cache {
    root: PathBuf,
}

impl Cache {
    /// `WATCHKEEPER_PEERS`, or `target/peers` in this workspace.
    pub fn open() -> Result<Self> {
        let root = match std::env::var_os("WATCHKEEPER_PEERS") {
            Some(path) => PathBuf::from(path),
            None => workspace_root().join("target").join("peers"),
        };
        fs::create_dir_all(&root).with_context(|| format!("create {}", root.display()))?;
        let root = fs::canonicalize(&root).with_context(|| format!("find {}", root.display()))?;
        Ok(Self { root })
    }

    /// A path inside the cache.
    pub fn path(&self, name: &str) -> PathBuf {
        self.root.join(name)
    }

    /// Runs `make` unless `name` was already made from the same `spec`; says with the result
    /// whether it ran. A file lock lets one process do it while the others wait.
    pub fn once(&self, name: &str, spec: &str, make: impl FnOnce() -> Result<()>) -> Result<bool> {
        let stamp = self.root.join(format!(".{name}.done"));
        // Looked at first without the lock: the common case must not queue behind a download.
        if is_stamped(&stamp, spec) {
            return Ok(false);
        }
        self.locked(name, || {
            if is_stamped(&stamp, spec) {
                return Ok(false);
            }
            make()?;
            fs::write(&stamp, spec).with_context(|| format!("write {}", stamp.display()))?;
            Ok(true)
        })
    }

    /// Runs `work` while no other process runs work under the same name.
    pub fn locked<T>(&self, name: &str, work: impl FnOnce() -> Result<T>) -> Result<T> {
        let path = self.root.join(format!(".{name}.lock"));
        let lock = File::create(&path).with_context(|| format!("create {}", path.display()))?;
        lock.lock().with_context(|| format!("lock {}", path.display()))?;
        work()
    }
}

/// The workspace that this crate was built in.
pub fn workspace_root() -> PathBuf {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    here.ancestors().nth(2).unwrap_or(here).to_path_buf()
}

fn is_stamped(stamp: &Path, spec: &str) -> bool {
    fs::read_to_string(stamp).is_ok_and(|text| text == spec)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_peer_is_made_once_per_spec_and_again_after_a_failure() {
        let dir = tempfile::tempdir().unwrap();
        let cache = Cache { root: dir.path().to_path_buf() };
        assert!(cache.once("x", "1", || anyhow::bail!("no network")).is_err());
        assert!(cache.once("x", "1", || Ok(())).unwrap());
        assert!(!cache.once("x", "1", || panic!("made twice")).unwrap());
        assert!(cache.once("x", "2", || Ok(())).unwrap());
    }
}
